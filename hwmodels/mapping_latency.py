"""Latency of one mapping in the compiled search: exact by kinds of steps, and a lower bound in closed form.

Steps are of few kinds, see `hwmodels.mapping`; `hwmodels.mapping_walk` adds up every single one.
"""

from hwmodels.compiled import piece
from hwmodels.mapping_tables import (
    F_BA,
    F_BO,
    F_BPC,
    F_BW,
    F_BX,
    F_DW,
    F_DX,
    F_DY,
    I_B,
    I_C,
    I_FF,
    I_G,
    I_HX,
    I_HY,
    I_N,
    I_OX,
    I_OY,
    I_PX,
    I_PY,
    I_SX,
    I_SY,
    L_LAST,
    L_LAST_U,
    L_LAST_V,
    L_TILE,
    L_U,
    L_V,
    M_HEAD,
    M_INPUT,
    M_LAST_U,
    M_LAST_V,
    M_SIZE,
    M_U,
    M_V,
    POSITION,
    extent,
    unit,
)

__all__ = ["N_STEP_SIZES", "grouped_bound", "latency_cycles", "lay_out", "operands_changed", "step_sizes"]

# layout of the per-mapping table of `latency_cycles`: values by kind of index (0 first, 1 middle, 2 last)
_Q_ROWS, _Q_COLS, _Q_B, _Q_Y, _Q_X, _Q_N, _Q_K, _Q_UN, _Q_VN, _Q_UK, _Q_VK = range(0, 33, 3)
_Q_UM, _Q_VM = 33, 41
_Q_SIZE = 49
N_STEP_SIZES = _Q_SIZE + 4


@piece
def lay_out(order, loops):
    """Loop at each depth (0 = groups, 1..3 = b, y, x, 4 = n, 5 = k), outermost first."""
    loops[0] = 0
    depth = 1
    for position in range(3):
        if POSITION[order, 0] == position:
            loops[depth], loops[depth + 1], loops[depth + 2] = 1, 2, 3
            depth += 3
        elif POSITION[order, 1] == position:
            loops[depth] = 4
            depth += 1
        else:
            loops[depth] = 5
            depth += 1


@piece
def operands_changed(loops, counts, at):
    """Which operands (X, W, Y) change when the loop at depth `at` advances and those inside restart."""
    x, w, y = False, False, False
    for depth in range(at, 6):
        if depth > at and counts[loops[depth]] == 1:
            continue
        loop = loops[depth]
        if loop == 0:
            return True, True, True
        if loop <= 3:
            x, y = True, True
        elif loop == 4:
            w, y = True, True
        else:
            x, w = True, True
    return x, w, y


@piece
def _class_of(which, trips, even):
    """(index, count) of class `which` of a loop: first, middle, last but one, last; count 0 if the class is empty.

    The last but one differs from the middle because the next tile is the last one; not if that is as large (`even`).
    """
    if which == 0:
        return 0, 1
    if which == 3:
        return trips - 1, (1 if trips > 1 else 0)
    if which == 2:
        return trips - 2, (1 if trips > 2 and not even else 0)
    middle = trips - 2 if even else trips - 3
    return 1, (middle if middle > 0 else 0)


@piece
def _kind(index, trips):
    return 2 if index == trips - 1 else (0 if index == 0 else 1)


@piece
def _fill_table(ints, units, tile, trips, q):
    """Sizes, input extents and compute factors of the tiles of one mapping, by kind of index."""
    for kind in range(3):
        iy = (0, 1, trips[1] - 1)[kind]
        ix = (0, 1, trips[2] - 1)[kind]
        q[_Q_ROWS + kind] = extent(tile[1], iy, trips[1], ints[I_OY], ints[I_SY], ints[I_HY], ints[I_PY])
        q[_Q_COLS + kind] = extent(tile[2], ix, trips[2], ints[I_OX], ints[I_SX], ints[I_HX], ints[I_PX])
        last = kind == 2
        q[_Q_B + kind] = ints[I_B] - (trips[0] - 1) * tile[0] if last else tile[0]
        q[_Q_Y + kind] = ints[I_OY] - (trips[1] - 1) * tile[1] if last else tile[1]
        q[_Q_X + kind] = ints[I_OX] - (trips[2] - 1) * tile[2] if last else tile[2]
        q[_Q_N + kind] = ints[I_N] - (trips[3] - 1) * tile[3] if last else tile[3]
        q[_Q_K + kind] = ints[I_C] - (trips[4] - 1) * tile[4] if last else tile[4]
    for kind in range(1, 3):
        q[_Q_UN + kind], q[_Q_VN + kind], _ = unit(units, 1, 1, int(q[_Q_N + kind]), 1)
        q[_Q_UK + kind], q[_Q_VK + kind], _ = unit(units, 2, 1, int(q[_Q_K + kind]), 1)
    q[_Q_UN], q[_Q_VN], q[_Q_UK], q[_Q_VK] = q[_Q_UN + 1], q[_Q_VN + 1], q[_Q_UK + 1], q[_Q_VK + 1]
    for which in range(8):
        lb, ly, lx = which >> 2, (which >> 1) & 1, which & 1
        if (not lb and trips[0] == 1) or (not ly and trips[1] == 1) or (not lx and trips[2] == 1):
            continue  # an only tile is a last tile
        q[_Q_UM + which], q[_Q_VM + which], _ = unit(units, 0, int(q[_Q_B + 1 + lb]), int(q[_Q_Y + 1 + ly]),
                                                     int(q[_Q_X + 1 + lx]))


@piece
def _slot_cycles(q, widths, counts, loops, index, kinds, changes):
    """As `_slot`, from the table `q`; `kinds` is scratch, `widths` = cycles per element of X, W, Y partial, Y final."""
    for loop in range(6):
        kinds[loop] = _kind(index[loop], counts[loop])
    m = (4 if kinds[1] == 2 else 0) + (2 if kinds[2] == 2 else 0) + (1 if kinds[3] == 2 else 0)
    compute = (q[_Q_UM + m] * q[_Q_UN + kinds[4]] * q[_Q_UK + kinds[5]]
               + q[_Q_VM + m] * q[_Q_VN + kinds[4]] * q[_Q_VK + kinds[5]])
    moved = 0.0
    at = 5
    while at >= 0 and index[loops[at]] == counts[loops[at]] - 1:
        loop = loops[at]
        kinds[loop] = _kind(0, counts[loop])
        at -= 1
    if at >= 0:
        loop = loops[at]
        following = index[loop] + 1
        kinds[loop] = _kind(following, counts[loop])
        if changes[at, 0]:
            moved += widths[0] * q[_Q_B + kinds[1]] * q[_Q_ROWS + kinds[2]] * q[_Q_COLS + kinds[3]] * q[_Q_K + kinds[5]]
        if changes[at, 1]:
            moved += widths[1] * q[_Q_N + kinds[4]] * q[_Q_K + kinds[5]]
        if changes[at, 2]:
            k = following if loop == 5 else index[5]
            if loop != 5:
                for depth in range(at + 1, 6):
                    if loops[depth] == 5:
                        k = 0
            if k > 0:
                moved += widths[2] * (q[_Q_B + kinds[1]] * q[_Q_Y + kinds[2]] * q[_Q_X + kinds[3]] * q[_Q_N + kinds[4]])
    at = 5
    while at >= 0 and index[loops[at]] == 0:
        at -= 1
    if at >= 0 and changes[at, 2]:
        for depth in range(6):
            loop = loops[depth]
            kinds[loop] = (_kind(index[loop], counts[loop]) if depth < at
                           else (_kind(index[loop] - 1, counts[loop]) if depth == at else 2))
        width = widths[3] if kinds[5] == 2 else widths[2]
        moved += width * (q[_Q_B + kinds[1]] * q[_Q_Y + kinds[2]] * q[_Q_X + kinds[3]] * q[_Q_N + kinds[4]])
    return compute if compute > moved else moved


@piece
def step_sizes(floats, ints, q):
    """Prepare the scratch `q` of `latency_cycles`: behind it, cycles per element of X, W, partial and final Y."""
    q[_Q_SIZE] = floats[F_BX] * floats[F_DX] / floats[F_BPC]
    q[_Q_SIZE + 1] = floats[F_BW] * floats[F_DW] * ints[I_FF] / floats[F_BPC]
    q[_Q_SIZE + 2] = floats[F_BA] / floats[F_BPC]
    q[_Q_SIZE + 3] = floats[F_BO] * floats[F_DY] / floats[F_BPC]


@piece
def latency_cycles(ints, units, tile, trips, order, limit, head, tail, scratch, q, fresh):
    """Latency in cycles by kinds of steps; stops early with a partial sum once it exceeds `limit`."""
    loops, counts, index, kinds, even = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    changes = scratch[5:11]
    widths = q[_Q_SIZE:]
    if fresh:
        _fill_table(ints, units, tile, trips, q)
        even[0] = 1
        even[1], even[4], even[5] = ints[I_B] % tile[0] == 0, ints[I_N] % tile[3] == 0, ints[I_C] % tile[4] == 0
        even[2] = ints[I_OY] % tile[1] == 0 and ints[I_PY] == 0
        even[3] = ints[I_OX] % tile[2] == 0 and ints[I_PX] == 0
        counts[0] = ints[I_G]
        for d in range(5):
            counts[d + 1] = trips[d]
    lay_out(order, loops)
    for at in range(6):
        changes[at, 0], changes[at, 1], changes[at, 2] = operands_changed(loops, counts, at)
    total = head + tail
    for c0 in range(4):
        index[loops[0]], w0 = _class_of(c0, counts[loops[0]], even[loops[0]])
        if w0 == 0:
            continue
        for c1 in range(4):
            index[loops[1]], w1 = _class_of(c1, counts[loops[1]], even[loops[1]])
            if w1 == 0:
                continue
            for c2 in range(4):
                index[loops[2]], w2 = _class_of(c2, counts[loops[2]], even[loops[2]])
                if w2 == 0:
                    continue
                for c3 in range(4):
                    index[loops[3]], w3 = _class_of(c3, counts[loops[3]], even[loops[3]])
                    if w3 == 0:
                        continue
                    for c4 in range(4):
                        index[loops[4]], w4 = _class_of(c4, counts[loops[4]], even[loops[4]])
                        if w4 == 0:
                            continue
                        for c5 in range(4):
                            index[loops[5]], w5 = _class_of(c5, counts[loops[5]], even[loops[5]])
                            if w5 == 0:
                                continue
                            total += (float(w0) * w1 * w2 * w3 * w4 * w5) * _slot_cycles(
                                q, widths, counts, loops, index, kinds, changes)
                    if total > limit:
                        return total
    return total


@piece
def grouped_bound(order, qm, qn, qk, m, n, k, outputs, size_n, size_k, groups, head_x, head_w, tail, x, w, y_read,
                   y_write):
    """Lower bound of the latency: steps grouped by the index of the innermost loop that has more than one trip.

    In each group the sum of max(compute, transfer) is at least the larger of the two sums. `x` ... `y_write` and the
    un-overlapped ends are cycles of the DRAM channel.
    """
    compute = groups * (m[M_U] * n[L_U] * k[L_U] + m[M_V] * n[L_V] * k[L_V])
    inner = -1
    for position in range(2, -1, -1):
        if POSITION[order, 2] == position and qk > 1:
            inner = 2
        elif POSITION[order, 1] == position and qn > 1:
            inner = 1
        elif POSITION[order, 0] == position and qm > 1:
            inner = 0
        if inner >= 0:
            break
    ends = head_x + head_w + tail
    if inner == 2:
        share, edge = k[L_TILE] / size_k, k[L_LAST] / size_k
        full_u, full_v = (k[L_U] - k[L_LAST_U]) / (qk - 1.0), (k[L_V] - k[L_LAST_V]) / (qk - 1.0)
        one = groups * (m[M_U] * n[L_U] * full_u + m[M_V] * n[L_V] * full_v)
        last = groups * (m[M_U] * n[L_U] * k[L_LAST_U] + m[M_V] * n[L_V] * k[L_LAST_V])
        moved_last = (x + w) * share - head_x - head_w
        total = ends + (last if last > moved_last else moved_last)
        # the first step of a sweep stores the outputs of the one before; the last but one loads the edge tile
        moved = (x + w) * edge
        if qk == 2:
            moved += y_write - tail
            return total + (one if one > moved else moved)
        total += one if one > moved else moved
        moved = (x + w) * share + y_write - tail
        total += one if one > moved else moved
        moved = (x + w) * share
        return total + (qk - 3.0) * (one if one > moved else moved)
    if inner == 1:
        share, edge = n[L_TILE] / size_n, n[L_LAST] / size_n
        last = groups * (m[M_U] * n[L_LAST_U] * k[L_U] + m[M_V] * n[L_LAST_V] * k[L_V])
        moved_last = x - head_x + w * share - head_w + (y_read + y_write) * share
        rest, moved_rest = compute - last, (w + y_read + y_write) * (1.0 - share) - tail
        if qn > 2:
            one = groups * (m[M_U] * (n[L_U] - n[L_LAST_U]) * k[L_U]
                            + m[M_V] * (n[L_V] - n[L_LAST_V]) * k[L_V]) / (qn - 1.0)
            moved = (w + y_read) * edge + y_write * share
            ends += one if one > moved else moved
            rest, moved_rest = rest - one, moved_rest - moved
    elif inner == 0:
        share = m[M_HEAD] / m[M_INPUT]
        last = groups * (m[M_LAST_U] * n[L_U] * k[L_U] + m[M_LAST_V] * n[L_V] * k[L_V])
        moved_last = x * share - head_x + w - head_w
        rest = compute - last
        # what tile is stored beside which step depends on b, y and x: leave the largest tile of every sweep out
        stored = (y_read + y_write) * (1.0 - 2.0 * m[M_SIZE] / outputs) - tail
        moved_rest = x * (1.0 - share) + (stored if stored > 0.0 else 0.0)
    else:
        return ends + compute
    total = ends + (last if last > moved_last else moved_last)
    return total + (rest if rest > moved_rest else moved_rest)
