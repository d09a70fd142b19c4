"""The compiled mapping search: candidate tiles under lower bounds, the best of each problem.

`search_all` takes problems as rows. Rows of one nest that follow each other share its tables. Rows may belong together:
an option runs some of them one after the other, and of the options of a case only the best matters, so the search of a
row ends once its option cannot be the fastest any more.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.compiled import loop, piece
from hwmodels.mapping_latency import N_STEP_SIZES, grouped_bound, latency_cycles, step_sizes
from hwmodels.mapping_tables import (
    F_BA,
    F_BO,
    F_BPC,
    F_BW,
    F_BX,
    F_CW,
    F_CX,
    F_CY,
    F_DW,
    F_DX,
    F_DY,
    F_E0,
    F_ED,
    F_EW,
    F_EX,
    F_EYR,
    F_EYW,
    F_FLOOR,
    F_S,
    F_SW,
    F_SX,
    F_SY,
    I_B,
    I_BUFFERS,
    I_C,
    I_FF,
    I_G,
    I_HX,
    I_HY,
    I_N,
    I_ONTHEFLY,
    I_OX,
    I_OY,
    I_PX,
    I_PY,
    I_STEP_K,
    I_STEP_N,
    I_SX,
    I_SY,
    L_LAST,
    L_LAST_U,
    L_LAST_V,
    L_LEAST_U,
    L_LEAST_V,
    L_READS,
    L_TILE,
    L_TRIPS,
    L_U,
    L_V,
    M_HEAD,
    M_INPUT,
    M_INPUT_MAX,
    M_LAST,
    M_LAST_U,
    M_LAST_V,
    M_QB,
    M_READS,
    M_SIZE,
    M_TB,
    M_TRIPS,
    M_TX,
    M_TY,
    M_U,
    M_V,
    N_LINE,
    N_M,
    N_RESULT,
    POSITION,
    R_COMPUTE,
    R_ENERGY,
    R_HEAD,
    R_LATENCY,
    R_ORDER,
    R_SRAM,
    R_STATUS,
    R_STEPS,
    R_TAIL,
    R_TB,
    R_TK,
    R_TN,
    R_TRAFFIC,
    R_TX,
    R_TY,
    R_USED,
    R_W,
    R_X,
    R_YREAD,
    R_YWRITE,
    ceil_div,
    extent_sum,
    line_table,
    m_sums,
    m_table,
    most_candidates,
    orders,
    reloads,
    unit,
)

__all__ = ["Workspace", "search_all", "workspace"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SLACK = 1.0 + 1e-12
"""Bounds and exact values are rounded differently."""


class Workspace(NamedTuple):
    """Arrays that a search of P problems on N nests, for O options of C cases, writes to."""

    ms: Floats
    """Candidates of m, of one nest at a time; ns and ks the same."""
    ns: Floats
    ks: Floats
    tiles: Ints
    """(3, most candidates of an axis)"""
    steps: Ints
    """(13, 6) tile, trips, and what `latency_cycles` needs."""
    sizes: Floats
    fastest: Floats
    """(C,) cycles of the fastest option so far."""
    spent: Floats
    """(O,) cycles of its problems so far."""
    left: Ints
    """(O,) problems still to be searched."""
    limits: Floats
    """(P,) cycles that a problem had to stay below."""


def workspace(ints: Ints, option: Ints, case: Ints) -> Workspace:
    """Arrays for `search_all`."""
    most = [most_candidates(ints[:, axis]) for axis in (I_B, I_OY, I_OX, I_N, I_C)]
    b, y, x, n, k = most
    return Workspace(
        ms=np.empty(((b * y * x).max(initial=0), N_M)), ns=np.empty((n.max(initial=0), N_LINE)),
        ks=np.empty((k.max(initial=0), N_LINE)),
        tiles=np.empty((3, max(int(axis.max(initial=0)) for axis in most)), dtype=np.int64),
        steps=np.zeros((13, 6), dtype=np.int64), sizes=np.zeros(N_STEP_SIZES),
        fastest=np.full(int(case.max(initial=-1)) + 1, np.inf), spent=np.zeros(len(case)),
        left=np.bincount(option, minlength=len(case)), limits=np.empty(len(option)))


@piece
def _primary(objective, latency, energy, traffic):
    if objective == 0:
        return latency
    if objective == 1:
        return energy
    if objective == 2:
        return traffic
    return latency * energy


@piece
def _compare(objective, latency, energy, traffic, result):
    """-1, 0, 1: is a mapping better than, equal to or worse than the best: objective, then energy, traffic, latency.

    With traffic as the objective latency comes second: ties are the rule there, and the slow ones are useless.
    """
    ours = _primary(objective, latency, energy, traffic)
    best = _primary(objective, result[R_LATENCY], result[R_ENERGY], result[R_TRAFFIC])
    if ours != best:
        return -1 if ours < best else 1
    if objective == 2 and latency != result[R_LATENCY]:
        return -1 if latency < result[R_LATENCY] else 1
    if energy != result[R_ENERGY]:
        return -1 if energy < result[R_ENERGY] else 1
    if traffic != result[R_TRAFFIC]:
        return -1 if traffic < result[R_TRAFFIC] else 1
    if latency != result[R_LATENCY]:
        return -1 if latency < result[R_LATENCY] else 1
    return 0


@piece
def _earlier(tile, order, result):
    """Last tie-break: smaller tiles, in the order b, y, x, n, k, then the earlier loop order."""
    for d in range(5):
        if tile[d] != result[R_TB + d]:
            return tile[d] < result[R_TB + d]
    return order < result[R_ORDER]


@piece
def _worse(objective, latency, energy, traffic, floor, result):
    """True if a lower bound on all three already exceeds the best mapping's objective.

    No latency is below `floor`: once it is reached, energy decides.
    """
    if objective == 0 and result[R_LATENCY] <= floor and energy > result[R_ENERGY] * _SLACK:
        return True
    best = _primary(objective, result[R_LATENCY], result[R_ENERGY], result[R_TRAFFIC])
    bound = _primary(objective, latency, energy, traffic)
    if bound > best * _SLACK:
        return True
    return objective == 2 and bound > best * (1.0 - 1e-12) and latency > result[R_LATENCY] * _SLACK


# Longer than a screen: one tile under every order, over local variables; see `hwmodels.kernel_single`.
@piece
def _consider(ints, floats, units, objective, m, n, k, x_edge, result, steps, q):
    """Evaluate one tile (rows of the tables) under every order; keep it in `result` if it is better."""
    groups = float(ints[I_G])
    qm, qn, qk = m[M_TRIPS], n[L_TRIPS], k[L_TRIPS]
    many = ints[I_G] > 1
    factor = float(ints[I_BUFFERS])
    outputs = float(ints[I_B]) * ints[I_OY] * ints[I_OX]
    cap_x = floats[F_CX] * m[M_INPUT_MAX] * k[L_TILE] * floats[F_BX] * (factor if qm > 1 or qk > 1 or many else 1.0)
    cap_w = (floats[F_CW] * n[L_TILE] * k[L_TILE] * ints[I_FF] * floats[F_BW]
             * (factor if qn > 1 or qk > 1 or many else 1.0))
    cap_y = floats[F_CY] * m[M_SIZE] * n[L_TILE] * floats[F_BA] * (factor if qm > 1 or qn > 1 or many else 1.0)
    if cap_x + cap_w + cap_y > floats[F_S] or cap_x > floats[F_SX] or cap_w > floats[F_SW] or cap_y > floats[F_SY]:
        return
    compute = groups * (m[M_U] * n[L_U] * k[L_U] + m[M_V] * n[L_V] * k[L_V])
    weights = float(ints[I_N]) * ints[I_C] * ints[I_FF]
    mn = outputs * ints[I_N]
    tail = m[M_LAST] * n[L_LAST] * floats[F_BO] * floats[F_DY] / floats[F_BPC]
    head_x = m[M_HEAD] * floats[F_BX] * floats[F_DX] * k[L_TILE] / floats[F_BPC]
    head = head_x + n[L_TILE] * ints[I_FF] * floats[F_BW] * floats[F_DW] * k[L_TILE] / floats[F_BPC]
    # in the last step nothing is left to load: its compute comes on top of all transfers but the store beside it
    last = m[M_LAST_U] * n[L_LAST_U] * k[L_LAST_U] + m[M_LAST_V] * n[L_LAST_V] * k[L_LAST_V]
    wide = floats[F_BO] * floats[F_DY]
    if floats[F_BA] > wide and qk > 1:
        wide = floats[F_BA]
    beside = m[M_SIZE] * n[L_TILE] * wide / floats[F_BPC]
    x_reads = m[M_INPUT] * ints[I_C] if ints[I_ONTHEFLY] else x_edge
    energy0 = floats[F_E0] + groups * (
        x_reads * n[L_READS] * floats[F_EX] + weights * m[M_READS] * floats[F_EW]
        + mn * (k[L_READS] * floats[F_EYW] + (k[L_READS] - 1.0) * floats[F_EYR]))
    tile, trips = steps[11], steps[12]
    for d in range(3):
        tile[d], trips[d] = int(m[M_TB + d]), int(m[M_QB + d])
    tile[3], trips[3], tile[4], trips[4] = int(n[L_TILE]), int(n[L_TRIPS]), int(k[L_TILE]), int(k[L_TRIPS])
    # if even the shortest step outlasts the largest transfer nothing stalls: latency = head + compute + tail
    size = m[M_SIZE] * n[L_TILE]
    largest = (floats[F_BX] * floats[F_DX] * m[M_INPUT_MAX] * k[L_TILE]
               + floats[F_BW] * floats[F_DW] * ints[I_FF] * n[L_TILE] * k[L_TILE] + size * floats[F_BO] * floats[F_DY])
    if qk > 1:
        largest += 2.0 * size * floats[F_BA]
    overlapped = ints[I_BUFFERS] > 1
    stalls = overlapped and not last * floats[F_BPC] >= largest
    fresh = True
    for which in range(6):
        order = orders(qm, qn, qk, which)
        if order < 0:
            break
        rx, rw, ry = reloads(order, qm, qn, qk)
        x = groups * m[M_INPUT] * ints[I_C] * floats[F_BX] * floats[F_DX] * rx
        w = groups * weights * floats[F_BW] * floats[F_DW] * rw
        y_read = groups * mn * (ry - 1.0) * floats[F_BA]
        y_write = groups * mn * floats[F_BO] * floats[F_DY] + y_read
        traffic = x + w + y_read + y_write
        energy = energy0 + floats[F_ED] * traffic
        transfer = traffic / floats[F_BPC]
        if overlapped:
            latency = compute + head + tail
            if transfer > latency:
                latency = transfer
            loaded = transfer + last - (0.0 if qk > 1 and POSITION[order, 2] == 2 else beside)
            if loaded > latency:
                latency = loaded
        else:
            latency = compute + transfer
        if floats[F_FLOOR] > latency:
            latency = floats[F_FLOOR]
        if _compare(objective, latency, energy, traffic, result) > 0:
            continue
        if stalls:
            per_cycle = floats[F_BPC]
            loaded = (1.0 - 1e-12) * grouped_bound(
                order, qm, qn, qk, m, n, k, outputs, float(ints[I_N]), float(ints[I_C]), groups, head_x,
                head - head_x, tail, x / per_cycle, w / per_cycle, y_read / per_cycle, y_write / per_cycle)
            if loaded > latency:
                latency = loaded
                if _compare(objective, latency, energy, traffic, result) > 0:
                    continue
            limit = result[R_LATENCY]
            if objective == 1 or (objective == 2 and traffic < result[R_TRAFFIC]):
                limit = np.inf  # better whatever its latency, which must then be whole
            elif objective == 3:
                limit = result[R_LATENCY] * result[R_ENERGY] / energy if energy > 0.0 else np.inf
            exact = latency_cycles(ints, units, tile, trips, order, limit * _SLACK, head, tail, steps, q, fresh)
            fresh = False
            if exact > latency:
                latency = exact
        c = _compare(objective, latency, energy, traffic, result)
        if c > 0 or (c == 0 and not _earlier(tile, order, result)):
            continue
        result[R_STATUS] = 1.0
        result[R_LATENCY], result[R_ENERGY], result[R_TRAFFIC] = latency, energy, traffic
        result[R_X], result[R_W], result[R_YREAD], result[R_YWRITE] = x, w, y_read, y_write
        result[R_COMPUTE] = compute
        for d in range(5):
            result[R_TB + d] = tile[d]
        result[R_ORDER] = order
        result[R_STEPS] = groups * qm * qn * qk
        result[R_HEAD], result[R_TAIL] = head, tail
        result[R_USED] = cap_x + cap_w + cap_y


@piece
def _try_line(ints, floats, units, objective, prune, m, n, ks, stride, x_edge, result, steps, q):
    """`_consider` every `stride`-th k tile with the given m and n tiles."""
    groups, cycles = float(ints[I_G]), 1.0 / floats[F_BPC]
    um, vm, un, vn = m[M_U], m[M_V], n[L_U], n[L_V]
    load = (m[M_HEAD] * floats[F_BX] * floats[F_DX] + n[L_TILE] * ints[I_FF] * floats[F_BW] * floats[F_DW]) * cycles
    store = m[M_LAST] * n[L_LAST] * floats[F_BO] * floats[F_DY] * cycles
    if ints[I_BUFFERS] == 1:
        load, store = 0.0, 0.0
    cap_w = floats[F_CW] * n[L_TILE] * ints[I_FF] * floats[F_BW] + floats[F_CX] * m[M_INPUT_MAX] * floats[F_BX]
    cap_y = floats[F_CY] * m[M_SIZE] * n[L_TILE] * floats[F_BA]
    outputs = float(ints[I_B]) * ints[I_OY] * ints[I_OX] * ints[I_N]
    weights = float(ints[I_N]) * ints[I_C] * ints[I_FF]
    x_all = m[M_INPUT] * ints[I_C] * floats[F_BX] * floats[F_DX]
    w_all = weights * floats[F_BW] * floats[F_DW]
    y_all = outputs * floats[F_BO] * floats[F_DY]
    once = x_all + w_all * m[M_TRIPS]
    if x_all * n[L_TRIPS] + w_all < once:
        once = x_all * n[L_TRIPS] + w_all
    once = groups * (once + y_all) * cycles
    both = groups * (x_all * n[L_TRIPS] + w_all * m[M_TRIPS] + y_all) * cycles
    spill = groups * 2.0 * outputs * floats[F_BA] * cycles if m[M_TRIPS] > 1 or n[L_TRIPS] > 1 else 0.0
    beside = m[M_SIZE] * n[L_TILE] * floats[F_BO] * floats[F_DY] * cycles
    x_reads = m[M_INPUT] * ints[I_C] if ints[I_ONTHEFLY] else x_edge
    beside_partial = m[M_SIZE] * n[L_TILE] * floats[F_BA] * cycles
    if beside > beside_partial:
        beside_partial = beside
    for back in range(0, len(ks), stride):
        h = len(ks) - 1 - back
        k = ks[h]
        if prune:
            # the cheapest tests that hold for every order: most candidates end here
            if cap_w * k[L_TILE] + cap_y > floats[F_S]:
                continue
            bound = groups * (um * un * k[L_U] + vm * vn * k[L_V]) + store + load * k[L_TILE]
            # nothing is loaded beside the last step: its compute comes on top of all but the store beside it
            last = m[M_LAST_U] * n[L_LAST_U] * k[L_LAST_U] + m[M_LAST_V] * n[L_LAST_V] * k[L_LAST_V]
            if k[L_TRIPS] == 1:
                moved = once
                late = once + last - beside
            else:
                moved = once + spill * (k[L_TRIPS] - 1.0)
                late = moved - beside_partial
                if both < moved:
                    moved = both
                if both < late:
                    late = both
                late += last
            if late > bound:
                bound = late
            if floats[F_FLOOR] > bound:
                bound = floats[F_FLOOR]
            energy = 0.0
            if objective in (1, 3) or (objective == 0 and result[R_LATENCY] <= floats[F_FLOOR]):
                energy = floats[F_E0] + floats[F_ED] * moved * floats[F_BPC] + groups * (
                    x_reads * n[L_READS] * floats[F_EX] + weights * m[M_READS] * floats[F_EW]
                    + outputs * (k[L_READS] * floats[F_EYW] + (k[L_READS] - 1.0) * floats[F_EYR]))
            if _worse(objective, bound, energy, moved * floats[F_BPC], floats[F_FLOOR], result):
                if objective == 0:  # neither may a smaller tile be fast enough
                    rest = groups * (um * un * k[L_LEAST_U] + vm * vn * k[L_LEAST_V]) + store
                    if moved - beside_partial > rest:
                        rest = moved - beside_partial
                    if rest > result[R_LATENCY] * _SLACK:
                        break
                continue
        _consider(ints, floats, units, objective, m, n, k, x_edge, result, steps, q)


@piece
def _least_reads(table):
    """Least sum of reads among the candidates of n or k."""
    reads = np.inf
    for i in range(len(table)):
        if table[i, L_READS] < reads:
            reads = table[i, L_READS]
    return reads


@piece
def _row_of_m(table, result):
    for i in range(len(table)):
        if table[i, M_TX] == result[R_TX] and table[i, M_TY] == result[R_TY] and table[i, M_TB] == result[R_TB]:
            return i
    return 0


@piece
def _row_of(table, tile):
    for i in range(len(table)):
        if table[i, L_TILE] == tile:
            return i
    return 0


@piece
def _clear(result):
    for i in range(N_RESULT):
        result[i] = 0.0


@piece
def _start(ints, floats, units, ms, ns, ks, objective, seeds, results, x_edge, result, steps, q):
    """A good mapping to begin with: the best of those that other problems of the nest, rows `seeds` of `results`, have;
    if none fits, of some spread over all candidates."""
    for p in seeds:
        if results[p, R_STATUS] > 0.0:
            _consider(ints, floats, units, objective, ms[_row_of_m(ms, results[p])], ns[_row_of(ns, results[p, R_TN])],
                      ks[_row_of(ks, results[p, R_TK])], x_edge, result, steps, q)
    if result[R_STATUS] > 0.0:
        return
    coarse_m, coarse_n, coarse_k = ceil_div(len(ms), 10), ceil_div(len(ns), 5), ceil_div(len(ks), 5)
    for i in range(len(ms) - 1, -1, -coarse_m):
        for j in range(len(ns) - 1, -1, -coarse_n):
            _try_line(ints, floats, units, objective, True, ms[i], ns[j], ks, coarse_k, x_edge, result, steps, q)


# Longer than a screen: the loops over m and n with their bounds, over local variables; see `hwmodels.kernel_single`.
@piece
def _search(ints, floats, units, ms, ns, ks, objective, prune, limit, seeds, results, result, steps, q):
    """The best mapping of one problem into `result` (R_* columns; status 0 = no tile fits, or none within `limit`)."""
    _clear(result)
    result[R_LATENCY], result[R_ENERGY], result[R_TRAFFIC] = limit, np.inf, np.inf
    step_sizes(floats, ints, q)
    outputs = float(ints[I_B]) * ints[I_OY] * ints[I_OX]
    x_edge = outputs * ints[I_C] * ints[I_FF]
    groups, cycles = float(ints[I_G]), 1.0 / floats[F_BPC]
    mn = outputs * ints[I_N]
    weights = float(ints[I_N]) * ints[I_C] * ints[I_FF]
    w_all = weights * floats[F_BW] * floats[F_DW]
    y_all = mn * floats[F_BO] * floats[F_DY]
    uk, vk, rk = ks[-1, L_LEAST_U], ks[-1, L_LEAST_V], _least_reads(ks)
    un, vn, rn = ns[-1, L_LEAST_U], ns[-1, L_LEAST_V], _least_reads(ns)
    if prune:
        _start(ints, floats, units, ms, ns, ks, objective, seeds, results, x_edge, result, steps, q)
    for i in range(len(ms)):
        m = ms[i]
        x_all = m[M_INPUT] * ints[I_C] * floats[F_BX] * floats[F_DX]
        x_reads = m[M_INPUT] * ints[I_C] if ints[I_ONTHEFLY] else x_edge
        fixed = floats[F_E0] + groups * (weights * m[M_READS] * floats[F_EW]
                                         + mn * (rk * floats[F_EYW] + (rk - 1.0) * floats[F_EYR]))
        if prune:
            traffic = groups * (x_all + w_all + y_all)
            latency = groups * (m[M_U] * un * uk + m[M_V] * vn * vk)
            if traffic * cycles > latency:
                latency = traffic * cycles
            if _worse(objective, latency, fixed + groups * x_reads * rn * floats[F_EX] + floats[F_ED] * traffic,
                      traffic, floats[F_FLOOR], result):
                continue
        for j in range(len(ns)):
            n = ns[j]
            cap_y = floats[F_CY] * m[M_SIZE] * n[L_TILE] * floats[F_BA]
            if cap_y > floats[F_S] or cap_y > floats[F_SY]:
                break
            if prune:
                a = x_all + w_all * m[M_TRIPS]
                b = x_all * n[L_TRIPS] + w_all
                traffic = groups * ((a if a < b else b) + y_all)
                # un-overlapped at least: a filter tap of the first tile, its pixels of one channel, the last outputs
                ends = (m[M_LAST] * n[L_LAST] * floats[F_BO] * floats[F_DY]
                        + n[L_TILE] * ints[I_FF] * floats[F_BW] * floats[F_DW]
                        + m[M_HEAD] * floats[F_BX] * floats[F_DX])
                latency = groups * (m[M_U] * n[L_U] * uk + m[M_V] * n[L_V] * vk) + ends * cycles
                if traffic * cycles > latency:
                    latency = traffic * cycles
                if floats[F_FLOOR] > latency:
                    latency = floats[F_FLOOR]
                if _worse(objective, latency, fixed + groups * x_reads * n[L_READS] * floats[F_EX]
                          + floats[F_ED] * traffic, traffic, floats[F_FLOOR], result):
                    continue
            _try_line(ints, floats, units, objective, prune, m, n, ks, 1, x_edge, result, steps, q)
    if result[R_STATUS] > 0.0:
        result[R_SRAM] = _sram_bytes(ints, floats, units, result, x_edge)
    else:
        _clear(result)


@piece
def _line_reads(units, role, size, tile):
    """Sum over the tiles of n or k of what scales their accesses at the array's edge."""
    trips = ceil_div(size, tile)
    _, _, full = unit(units, role, 1, tile, 1)
    _, _, edge = unit(units, role, 1, size - (trips - 1) * tile, 1)
    return (trips - 1) * full + edge


@piece
def _sram_bytes(ints, floats, units, result, x_edge):
    """Bytes at the array's edge and at the DRAM port of the buffer [byte]."""
    n_reads = _line_reads(units, 1, ints[I_N], int(result[R_TN]))
    k_reads = _line_reads(units, 2, ints[I_C], int(result[R_TK]))
    tb, ty, tx = int(result[R_TB]), int(result[R_TY]), int(result[R_TX])
    b, oy, ox = ints[I_B], ints[I_OY], ints[I_OX]
    qb, qy, qx = ceil_div(b, tb), ceil_div(oy, ty), ceil_div(ox, tx)
    _, _, rm = m_sums(units, b, oy, ox, tb, ty, tx, qb, qy, qx)
    if ints[I_ONTHEFLY]:
        x_edge = (float(b) * extent_sum(ty, qy, oy, ints[I_SY], ints[I_HY], ints[I_PY])
                  * extent_sum(tx, qx, ox, ints[I_SX], ints[I_HX], ints[I_PX]) * ints[I_C])
    weights = float(ints[I_N]) * ints[I_C] * ints[I_FF]
    mn = float(b) * oy * ox * ints[I_N]
    edge = ints[I_G] * (x_edge * n_reads * floats[F_BX] + weights * rm * floats[F_BW]
                        + mn * (2.0 * k_reads - 1.0) * floats[F_BA])
    return edge + result[R_X] + result[R_W] + result[R_YREAD] + result[R_YWRITE]


@piece
def _equal(a, b):
    same = True
    for d in range(len(a)):
        same = same and a[d] == b[d]
    return same


@loop
def search_all(ints, units, nest, floats, times, option, case, least, beside, sequence, objective, prune, work,
               results):
    """The best mapping of P problems, which O options run for C cases.

    Parameters
    ----------
    ints, units : of N nests, shapes (N, N_INTS), (N, 3, 5).
    nest, floats, times, option : of every problem: its nest, (P, N_FLOATS) the rest of it, how often it runs, in which
        option.
    case, least, beside : of every option: its case; cycles that it takes at least; cycles of the DRAM channel beside
        its problems.
    sequence : the problems in the order in which to search them: those of one nest together, likely winners first.
    objective : 0 latency, 1 energy, 2 dram_bytes, 3 edp. For latency, options slower than another one of their case
        are given up: status 0.
    prune : False tries every candidate (tests).
    work : `workspace` of the above.
    results : written, (P, N_RESULT); status 0 = no tile fits, or given up.
    """
    fastest, spent, left, limits = work.fastest, work.spent, work.left, work.limits
    ms, ns, ks = work.ms, work.ns, work.ks
    known, first = -1, 0
    for position in range(len(sequence)):
        p = sequence[position]
        o, result = option[p], results[p]
        if nest[p] != known:
            known, first = nest[p], position
            own, form = ints[known], units[known]
            ms = work.ms[: m_table(own, form, work.tiles, work.ms)]
            ns = work.ns[: line_table(own[I_N], own[I_STEP_N], form, 1, work.tiles[0], work.ns)]
            ks = work.ks[: line_table(own[I_C], own[I_STEP_K], form, 2, work.tiles[0], work.ks)]
        limit = np.inf
        if objective == 0 and prune and fastest[case[o]] < np.inf:
            limit = (fastest[case[o]] * (1.0 + 1e-9) - spent[o]) / times[p]
        limits[p] = limit
        again = -1
        for earlier in range(first, position):
            e = sequence[earlier]
            if _equal(floats[e], floats[p]) and (results[e, R_STATUS] > 0.0 or limits[e] >= limit):
                again = e
        if again >= 0:
            for i in range(N_RESULT):
                result[i] = results[again, i]
        else:
            _search(ints[known], floats[p], units[known], ms, ns, ks, objective, prune, limit,
                    sequence[first:position], results, result, work.steps, work.sizes)
        if result[R_STATUS] > 0.0:
            spent[o] += times[p] * result[R_LATENCY]
        else:
            spent[o] = np.inf
        left[o] -= 1
        if left[o] == 0:
            total = spent[o] + beside[o]
            if least[o] > total:
                total = least[o]
            if total < fastest[case[o]]:
                fastest[case[o]] = total
