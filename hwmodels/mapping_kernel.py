"""Compiled part of the mapping search: tables of candidate tiles, traffic, latency and the search itself.

Terms: a *problem* is G identical nests (batch B, OY, OX, N, C) run back to back; a tile is (tb, ty, tx, tn, tk); m
stands for (b, y, x). `ints` and `floats` hold one problem, in the order of the constants I_* and F_* below; `units`
holds per role (m, n, k) a code and parameters of the engine's compute form (see `hwmodels.mapping`).

Every function is scalar and allocation-free except `search`, which builds its tables once per problem.
"""

import numpy as np
from numba import njit

__all__ = [
    "N_FLOATS", "N_INTS", "N_RESULT", "ORDERS", "latency_walk", "search", "search_all", "tile_candidates", "unit",
]

# ints of a problem
(I_B, I_OY, I_OX, I_N, I_C, I_FF, I_SY, I_SX, I_HY, I_HX, I_PY, I_PX, I_G, I_BUFFERS, I_ONTHEFLY, I_STEP_N, I_STEP_K,
 I_STEP_M) = range(18)
N_INTS = 18
# floats of a problem
(F_BX, F_BW, F_BA, F_BO, F_S, F_SX, F_SW, F_SY, F_BPC, F_DX, F_DW, F_DY, F_FLOOR, F_E0, F_ED, F_EX, F_EW, F_EYW, F_EYR,
 F_CX, F_CW, F_CY) = range(22)
N_FLOATS = 22
# result
(R_STATUS, R_LATENCY, R_ENERGY, R_X, R_W, R_YREAD, R_YWRITE, R_COMPUTE, R_SRAM, R_TB, R_TY, R_TX, R_TN, R_TK, R_ORDER,
 R_STEPS, R_HEAD, R_TAIL, R_USED) = range(19)
N_RESULT = 19

ORDERS = ("mnk", "nmk", "mkn", "kmn", "nkm", "knm")
"""Loop orders, outermost first."""

# position (0 outer .. 2 inner) of m, n, k in each order
_POSITION = np.array([[0, 1, 2], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0]], dtype=np.int64)

SPATIAL, STREAM, STREAM_OVERLAPPED, STRIPS, LOADED = 0, 1, 2, 3, 4


@njit(cache=True, error_model="numpy")
def _ceil_div(a, b):
    return -(-a // b)


@njit(cache=True, error_model="numpy")
def unit(units, role, b, y, x):
    """Factors (u, v, reads) of one tile's role: compute = u_m u_n u_k + v_m v_n v_k; `reads` scales edge accesses."""
    code = units[role, 0]
    size = float(b * y * x)
    if code == SPATIAL:
        folds = np.ceil(np.ceil(size * units[role, 2] - 1e-9) / units[role, 1])
        return folds, 1.0, folds
    if code == STREAM:
        return np.ceil(size * units[role, 2] - 1e-9) * units[role, 4] + units[role, 1], 0.0, 1.0
    if code == STREAM_OVERLAPPED:
        stream = np.ceil(size * units[role, 2] - 1e-9) * units[role, 4]
        hidden = units[role, 1]
        if stream > hidden:
            return stream, hidden + units[role, 3], 1.0
        return hidden, stream + units[role, 3], 1.0
    if code == LOADED:
        folds = np.ceil(np.ceil(size * units[role, 2] - 1e-9) / units[role, 1])
        return folds, size * units[role, 3], folds
    strips = np.ceil(np.ceil(y / units[role, 1]) / units[role, 4])
    return b * strips * x * units[role, 2], strips * units[role, 3], strips


@njit(cache=True, error_model="numpy")
def tile_candidates(size, step):
    """Ascending tile sizes: the smallest for each reachable trip count, and each rounded up to a multiple of `step`."""
    found = np.empty(4 * int(np.sqrt(size)) + 8, dtype=np.int64)
    count = 0
    trips = 1
    while trips <= size:
        tile = _ceil_div(size, trips)
        found[count] = tile
        count += 1
        if step > 1:
            rounded = _ceil_div(tile, step) * step
            if rounded < size:
                found[count] = rounded
                count += 1
        if tile == 1:
            break
        trips = _ceil_div(size, tile - 1)
    ordered = np.sort(found[:count])
    distinct = 1
    for i in range(1, count):
        if ordered[i] != ordered[distinct - 1]:
            ordered[distinct] = ordered[i]
            distinct += 1
    return ordered[:distinct].copy()


@njit(cache=True, error_model="numpy")
def _extent(tile, index, trips, size, stride, halo, pad):
    """Rows of the input that tile `index` fetches; the first and the last tile do not fetch the padding."""
    outputs = tile if index < trips - 1 else size - (trips - 1) * tile
    rows = (outputs - 1) * stride + halo
    if index == 0:
        rows -= pad // 2
    if index == trips - 1:
        rows -= pad - pad // 2
    return rows if rows > 1 else 1


@njit(cache=True, error_model="numpy")
def _extent_sum(tile, trips, size, stride, halo, pad):
    total = _extent(tile, 0, trips, size, stride, halo, pad)
    if trips > 1:
        total += _extent(tile, trips - 1, trips, size, stride, halo, pad)
    if trips > 2:
        total += (trips - 2) * _extent(tile, 1, trips, size, stride, halo, pad)
    return total


@njit(cache=True, error_model="numpy")
def _extent_max(tile, trips, size, stride, halo, pad):
    if trips > 2:
        return (tile - 1) * stride + halo
    largest = _extent(tile, 0, trips, size, stride, halo, pad)
    last = _extent(tile, trips - 1, trips, size, stride, halo, pad)
    return largest if largest > last else last


@njit(cache=True, error_model="numpy")
def _line_table(size, step, units, role):
    """Columns tile, trips, sum u, sum v, sum reads, last tile and its u, v, of the candidates of n or k."""
    tiles = tile_candidates(size, step)
    table = np.empty((len(tiles), 8))
    for i in range(len(tiles)):
        tile = tiles[i]
        trips = _ceil_div(size, tile)
        u, v, r = unit(units, role, 1, tile, 1)
        eu, ev, er = unit(units, role, 1, size - (trips - 1) * tile, 1)
        table[i, 0], table[i, 1] = tile, trips
        table[i, 2] = (trips - 1) * u + eu
        table[i, 3] = (trips - 1) * v + ev
        table[i, 4] = (trips - 1) * r + er
        table[i, 5], table[i, 6], table[i, 7] = size - (trips - 1) * tile, eu, ev
    return table


@njit(cache=True, error_model="numpy")
def _m_sums(units, b, y, x, tb, ty, tx, qb, qy, qx):
    su, sv, sr = 0.0, 0.0, 0.0
    for kb in range(2):
        nb = qb - 1 if kb == 0 else 1
        if nb == 0:
            continue
        sb = tb if kb == 0 else b - (qb - 1) * tb
        for ky in range(2):
            ny = qy - 1 if ky == 0 else 1
            if ny == 0:
                continue
            sy = ty if ky == 0 else y - (qy - 1) * ty
            for kx in range(2):
                nx = qx - 1 if kx == 0 else 1
                if nx == 0:
                    continue
                sx = tx if kx == 0 else x - (qx - 1) * tx
                u, v, r = unit(units, 0, sb, sy, sx)
                count = float(nb * ny * nx)
                su += count * u
                sv += count * v
                sr += count * r
    return su, sv, sr


@njit(cache=True, error_model="numpy")
def _m_table(ints, units):
    """Columns tb, ty, tx, qb, qy, qx, trips, outputs of a tile, summed and largest input region, sums of u, v, reads,
    outputs of the last tile, input region of the first, u and v of the last tile."""
    b, oy, ox = ints[I_B], ints[I_OY], ints[I_OX]
    tbs = tile_candidates(b, 1)
    tys = tile_candidates(oy, ints[I_STEP_M])
    txs = tile_candidates(ox, 1)
    table = np.empty((len(tbs) * len(tys) * len(txs), 17))
    row = 0
    for ib in range(len(tbs)):
        qb = _ceil_div(b, tbs[ib])
        for iy in range(len(tys)):
            qy = _ceil_div(oy, tys[iy])
            rows = _extent_sum(tys[iy], qy, oy, ints[I_SY], ints[I_HY], ints[I_PY])
            row_max = _extent_max(tys[iy], qy, oy, ints[I_SY], ints[I_HY], ints[I_PY])
            for ix in range(len(txs)):
                qx = _ceil_div(ox, txs[ix])
                cols = _extent_sum(txs[ix], qx, ox, ints[I_SX], ints[I_HX], ints[I_PX])
                col_max = _extent_max(txs[ix], qx, ox, ints[I_SX], ints[I_HX], ints[I_PX])
                t = table[row]
                t[0], t[1], t[2], t[3], t[4], t[5] = tbs[ib], tys[iy], txs[ix], qb, qy, qx
                t[6] = qb * qy * qx
                t[7] = tbs[ib] * tys[iy] * txs[ix]
                t[8] = float(b) * rows * cols
                t[9] = float(tbs[ib]) * row_max * col_max
                t[10], t[11], t[12] = _m_sums(units, b, oy, ox, tbs[ib], tys[iy], txs[ix], qb, qy, qx)
                t[13] = float((b - (qb - 1) * tbs[ib]) * (oy - (qy - 1) * tys[iy]) * (ox - (qx - 1) * txs[ix]))
                t[15], t[16], _ = unit(units, 0, b - (qb - 1) * tbs[ib], oy - (qy - 1) * tys[iy],
                                       ox - (qx - 1) * txs[ix])
                t[14] = (float(tbs[ib]) * _extent(tys[iy], 0, qy, oy, ints[I_SY], ints[I_HY], ints[I_PY])
                         * _extent(txs[ix], 0, qx, ox, ints[I_SX], ints[I_HX], ints[I_PX]))
                row += 1
    return table


@njit(cache=True, error_model="numpy")
def _reloads(order, qm, qn, qk):
    """Times each operand is fetched: (X, W, Y); see `hwmodels.mapping`."""
    pm, pn, pk = _POSITION[order, 0], _POSITION[order, 1], _POSITION[order, 2]
    rx = qn if (qm > 1 and pm > pn) or (qk > 1 and pk > pn) else 1.0
    rw = qm if (qn > 1 and pn > pm) or (qk > 1 and pk > pm) else 1.0
    ry = qk if (qm > 1 and pm > pk) or (qn > 1 and pn > pk) else 1.0
    return rx, rw, ry


@njit(cache=True, error_model="numpy")
def _tile_at(index, trips, tile, size):
    return tile if index < trips - 1 else size - (trips - 1) * tile


@njit(cache=True, error_model="numpy")
def _x_bytes(ints, floats, tile, trips, ib, iy, ix, ik):
    rows = _extent(tile[1], iy, trips[1], ints[I_OY], ints[I_SY], ints[I_HY], ints[I_PY])
    cols = _extent(tile[2], ix, trips[2], ints[I_OX], ints[I_SX], ints[I_HX], ints[I_PX])
    return (floats[F_BX] * floats[F_DX] * _tile_at(ib, trips[0], tile[0], ints[I_B]) * rows * cols
            * _tile_at(ik, trips[4], tile[4], ints[I_C]))


@njit(cache=True, error_model="numpy")
def _w_bytes(ints, floats, tile, trips, i_n, ik):
    return (floats[F_BW] * floats[F_DW] * ints[I_FF] * _tile_at(i_n, trips[3], tile[3], ints[I_N])
            * _tile_at(ik, trips[4], tile[4], ints[I_C]))


@njit(cache=True, error_model="numpy")
def _y_elements(ints, tile, trips, ib, iy, ix, i_n):
    return (float(_tile_at(ib, trips[0], tile[0], ints[I_B])) * _tile_at(iy, trips[1], tile[1], ints[I_OY])
            * _tile_at(ix, trips[2], tile[2], ints[I_OX]) * _tile_at(i_n, trips[3], tile[3], ints[I_N]))


@njit(cache=True, error_model="numpy")
def _step_compute(ints, units, tile, trips, ib, iy, ix, i_n, ik):
    um, vm, _ = unit(units, 0, _tile_at(ib, trips[0], tile[0], ints[I_B]),
                     _tile_at(iy, trips[1], tile[1], ints[I_OY]), _tile_at(ix, trips[2], tile[2], ints[I_OX]))
    un, vn, _ = unit(units, 1, 1, _tile_at(i_n, trips[3], tile[3], ints[I_N]), 1)
    uk, vk, _ = unit(units, 2, 1, _tile_at(ik, trips[4], tile[4], ints[I_C]), 1)
    return um * un * uk + vm * vn * vk


@njit(cache=True, error_model="numpy")
def _lay_out(order, loops):
    """Loop at each depth (0 = groups, 1..3 = b, y, x, 4 = n, 5 = k), outermost first."""
    loops[0] = 0
    depth = 1
    for position in range(3):
        if _POSITION[order, 0] == position:
            loops[depth], loops[depth + 1], loops[depth + 2] = 1, 2, 3
            depth += 3
        elif _POSITION[order, 1] == position:
            loops[depth] = 4
            depth += 1
        else:
            loops[depth] = 5
            depth += 1


@njit(cache=True, error_model="numpy")
def _changes(loops, counts, at):
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


@njit(cache=True, error_model="numpy")
def _slot(ints, floats, units, tile, trips, counts, loops, index, other):
    """Cycles of one step: its compute, beside the loads of the next step and the stores of the one before."""
    compute = _step_compute(ints, units, tile, trips, index[1], index[2], index[3], index[4], index[5])
    moved = 0.0
    at = 5
    while at >= 0 and index[loops[at]] == counts[loops[at]] - 1:
        at -= 1
    if at >= 0:
        for depth in range(6):
            loop = loops[depth]
            other[loop] = index[loop] if depth < at else (index[loop] + 1 if depth == at else 0)
        x, w, y = _changes(loops, counts, at)
        if x:
            moved += _x_bytes(ints, floats, tile, trips, other[1], other[2], other[3], other[5])
        if w:
            moved += _w_bytes(ints, floats, tile, trips, other[4], other[5])
        if y and other[5] > 0:
            moved += floats[F_BA] * _y_elements(ints, tile, trips, other[1], other[2], other[3], other[4])
    at = 5
    while at >= 0 and index[loops[at]] == 0:
        at -= 1
    if at >= 0:
        x, w, y = _changes(loops, counts, at)
        if y:
            for depth in range(6):
                loop = loops[depth]
                other[loop] = index[loop] if depth < at else (index[loop] - 1 if depth == at else counts[loop] - 1)
            width = floats[F_BO] * floats[F_DY] if other[5] == counts[5] - 1 else floats[F_BA]
            moved += width * _y_elements(ints, tile, trips, other[1], other[2], other[3], other[4])
    moved /= floats[F_BPC]
    return compute if compute > moved else moved


@njit(cache=True, error_model="numpy")
def _ends(ints, floats, tile, trips):
    """Un-overlapped cycles: (load of the first step, store of the last)."""
    head = _x_bytes(ints, floats, tile, trips, 0, 0, 0, 0) + _w_bytes(ints, floats, tile, trips, 0, 0)
    tail = floats[F_BO] * floats[F_DY] * _y_elements(ints, tile, trips, trips[0] - 1, trips[1] - 1, trips[2] - 1,
                                                     trips[3] - 1)
    return head / floats[F_BPC], tail / floats[F_BPC]


@njit(cache=True, error_model="numpy")
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


# layout of the per-mapping table of `_latency_classes`: values by kind of index (0 first, 1 middle, 2 last)
_Q_ROWS, _Q_COLS, _Q_B, _Q_Y, _Q_X, _Q_N, _Q_K, _Q_UN, _Q_VN, _Q_UK, _Q_VK = range(0, 33, 3)
_Q_UM, _Q_VM = 33, 41
_Q_SIZE = 49


@njit(cache=True, error_model="numpy")
def _kind(index, trips):
    return 2 if index == trips - 1 else (0 if index == 0 else 1)


@njit(cache=True, error_model="numpy")
def _fill_table(ints, units, tile, trips, q):
    """Sizes, input extents and compute factors of the tiles of one mapping, by kind of index."""
    for kind in range(3):
        iy = (0, 1, trips[1] - 1)[kind]
        ix = (0, 1, trips[2] - 1)[kind]
        q[_Q_ROWS + kind] = _extent(tile[1], iy, trips[1], ints[I_OY], ints[I_SY], ints[I_HY], ints[I_PY])
        q[_Q_COLS + kind] = _extent(tile[2], ix, trips[2], ints[I_OX], ints[I_SX], ints[I_HX], ints[I_PX])
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


@njit(cache=True, error_model="numpy")
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


@njit(cache=True, error_model="numpy")
def _latency_classes(ints, floats, units, tile, trips, order, limit, head, tail, scratch, q, fresh):
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
    _lay_out(order, loops)
    for at in range(6):
        changes[at, 0], changes[at, 1], changes[at, 2] = _changes(loops, counts, at)
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


@njit(cache=True, error_model="numpy")
def latency_walk(ints, floats, units, tile, order):
    """The same by walking every step: (cycles, bytes moved); the test of the closed forms."""
    scratch = np.zeros((4, 6), dtype=np.int64)
    loops, counts, index, other = scratch[0], scratch[1], scratch[2], scratch[3]
    sizes = np.array([ints[I_B], ints[I_OY], ints[I_OX], ints[I_N], ints[I_C]])
    trips = np.empty(5, dtype=np.int64)
    _lay_out(order, loops)
    counts[0] = ints[I_G]
    for d in range(5):
        trips[d] = _ceil_div(sizes[d], tile[d])
        counts[d + 1] = trips[d]
    head, tail = _ends(ints, floats, tile, trips)
    total = head + tail
    while True:
        total += _slot(ints, floats, units, tile, trips, counts, loops, index, other)
        at = 5
        while at >= 0 and index[loops[at]] == counts[loops[at]] - 1:
            index[loops[at]] = 0
            at -= 1
        if at < 0:
            return total
        index[loops[at]] += 1


@njit(cache=True, error_model="numpy")
def _never_stalls(ints, floats, units, tile, trips, x_max):
    """True if even the shortest step outlasts the largest transfer: then latency = head + compute + tail."""
    shortest = _step_compute(ints, units, tile, trips, trips[0] - 1, trips[1] - 1, trips[2] - 1, trips[3] - 1,
                             trips[4] - 1)
    y = float(tile[0]) * tile[1] * tile[2] * tile[3]
    largest = (floats[F_BX] * floats[F_DX] * x_max * tile[4]
               + floats[F_BW] * floats[F_DW] * ints[I_FF] * tile[3] * tile[4]
               + y * floats[F_BO] * floats[F_DY])
    if trips[4] > 1:
        largest += 2.0 * y * floats[F_BA]
    return shortest * floats[F_BPC] >= largest


@njit(cache=True, error_model="numpy")
def _primary(objective, latency, energy, traffic):
    if objective == 0:
        return latency
    if objective == 1:
        return energy
    if objective == 2:
        return traffic
    return latency * energy


@njit(cache=True, error_model="numpy")
def _before(objective, a_lat, a_energy, a_bytes, b_lat, b_energy, b_bytes):
    """-1, 0, 1: is mapping a better than, equal to or worse than b: objective, then energy, traffic, latency.

    With traffic as the objective latency comes second: ties are the rule there, and the slow ones are useless.
    """
    pa, pb = _primary(objective, a_lat, a_energy, a_bytes), _primary(objective, b_lat, b_energy, b_bytes)
    if pa != pb:
        return -1 if pa < pb else 1
    if objective == 2 and a_lat != b_lat:
        return -1 if a_lat < b_lat else 1
    if a_energy != b_energy:
        return -1 if a_energy < b_energy else 1
    if a_bytes != b_bytes:
        return -1 if a_bytes < b_bytes else 1
    if a_lat != b_lat:
        return -1 if a_lat < b_lat else 1
    return 0


@njit(cache=True, error_model="numpy")
def _orders(qm, qn, qk, which):
    """The `which`-th loop order that is no duplicate of an earlier one, or -1."""
    ones = (qm == 1) + (qn == 1) + (qk == 1)
    if ones >= 2:
        return 0 if which == 0 else -1
    if qk == 1:
        return which if which < 2 else -1
    if qn == 1:
        return (0 if which == 0 else 3) if which < 2 else -1
    if qm == 1:
        return (0 if which == 0 else 2) if which < 2 else -1
    return which if which < 6 else -1


@njit(cache=True, error_model="numpy")
def _grouped_bound(order, qm, qn, qk, m, n, k, outputs, size_n, size_k, groups, head_x, head_w, tail, x, w, y_read,
                   y_write):
    """Lower bound of the latency: steps grouped by the index of the innermost loop that has more than one trip.

    In each group the sum of max(compute, transfer) is at least the larger of the two sums. `x` ... `y_write` and the
    un-overlapped ends are cycles of the DRAM channel.
    """
    compute = groups * (m[10] * n[2] * k[2] + m[11] * n[3] * k[3])
    inner = -1
    for position in range(2, -1, -1):
        if _POSITION[order, 2] == position and qk > 1:
            inner = 2
        elif _POSITION[order, 1] == position and qn > 1:
            inner = 1
        elif _POSITION[order, 0] == position and qm > 1:
            inner = 0
        if inner >= 0:
            break
    ends = head_x + head_w + tail
    if inner == 2:
        share, edge = k[0] / size_k, k[5] / size_k
        full_u, full_v = (k[2] - k[6]) / (qk - 1.0), (k[3] - k[7]) / (qk - 1.0)
        one = groups * (m[10] * n[2] * full_u + m[11] * n[3] * full_v)
        last = groups * (m[10] * n[2] * k[6] + m[11] * n[3] * k[7])
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
        share, edge = n[0] / size_n, n[5] / size_n
        last = groups * (m[10] * n[6] * k[2] + m[11] * n[7] * k[3])
        moved_last = x - head_x + w * share - head_w + (y_read + y_write) * share
        rest, moved_rest = compute - last, (w + y_read + y_write) * (1.0 - share) - tail
        if qn > 2:
            one = groups * (m[10] * (n[2] - n[6]) * k[2] + m[11] * (n[3] - n[7]) * k[3]) / (qn - 1.0)
            moved = (w + y_read) * edge + y_write * share
            ends += one if one > moved else moved
            rest, moved_rest = rest - one, moved_rest - moved
    elif inner == 0:
        share = m[14] / m[8]
        last = groups * (m[15] * n[2] * k[2] + m[16] * n[3] * k[3])
        moved_last = x * share - head_x + w - head_w
        rest = compute - last
        # what tile is stored beside which step depends on b, y and x: leave the largest tile of every sweep out
        stored = (y_read + y_write) * (1.0 - 2.0 * m[7] / outputs) - tail
        moved_rest = x * (1.0 - share) + (stored if stored > 0.0 else 0.0)
    else:
        return ends + compute
    total = ends + (last if last > moved_last else moved_last)
    return total + (rest if rest > moved_rest else moved_rest)


@njit(cache=True, error_model="numpy")
def _consider(ints, floats, units, objective, m, n, k, x_edge, result, tile, trips, scratch, q):
    """Evaluate one tile (rows of the tables) under every order; keep it in `result` if it is better."""
    groups = float(ints[I_G])
    qm, qn, qk = m[6], n[1], k[1]
    many = ints[I_G] > 1
    factor = float(ints[I_BUFFERS])
    outputs = float(ints[I_B]) * ints[I_OY] * ints[I_OX]
    cap_x = floats[F_CX] * m[9] * k[0] * floats[F_BX] * (factor if qm > 1 or qk > 1 or many else 1.0)
    cap_w = floats[F_CW] * n[0] * k[0] * ints[I_FF] * floats[F_BW] * (factor if qn > 1 or qk > 1 or many else 1.0)
    cap_y = floats[F_CY] * m[7] * n[0] * floats[F_BA] * (factor if qm > 1 or qn > 1 or many else 1.0)
    if cap_x + cap_w + cap_y > floats[F_S] or cap_x > floats[F_SX] or cap_w > floats[F_SW] or cap_y > floats[F_SY]:
        return
    compute = groups * (m[10] * n[2] * k[2] + m[11] * n[3] * k[3])
    weights = float(ints[I_N]) * ints[I_C] * ints[I_FF]
    mn = outputs * ints[I_N]
    tail = m[13] * n[5] * floats[F_BO] * floats[F_DY] / floats[F_BPC]
    head_x = m[14] * floats[F_BX] * floats[F_DX] * k[0] / floats[F_BPC]
    head = head_x + n[0] * ints[I_FF] * floats[F_BW] * floats[F_DW] * k[0] / floats[F_BPC]
    # in the last step nothing is left to load: its compute comes on top of all transfers but the store beside it
    last = m[15] * n[6] * k[6] + m[16] * n[7] * k[7]
    wide = floats[F_BO] * floats[F_DY]
    if floats[F_BA] > wide and qk > 1:
        wide = floats[F_BA]
    beside = m[7] * n[0] * wide / floats[F_BPC]
    energy0 = floats[F_E0] + groups * (
        (m[8] * ints[I_C] if ints[I_ONTHEFLY] else x_edge) * n[4] * floats[F_EX] + weights * m[12] * floats[F_EW]
        + mn * (k[4] * floats[F_EYW] + (k[4] - 1.0) * floats[F_EYR]))
    for d in range(3):
        tile[d], trips[d] = int(m[d]), int(m[3 + d])
    tile[3], trips[3], tile[4], trips[4] = int(n[0]), int(n[1]), int(k[0]), int(k[1])
    smooth = -1  # not known yet
    fresh = True
    for which in range(6):
        order = _orders(qm, qn, qk, which)
        if order < 0:
            break
        rx, rw, ry = _reloads(order, qm, qn, qk)
        x = groups * m[8] * ints[I_C] * floats[F_BX] * floats[F_DX] * rx
        w = groups * weights * floats[F_BW] * floats[F_DW] * rw
        y_read = groups * mn * (ry - 1.0) * floats[F_BA]
        y_write = groups * mn * floats[F_BO] * floats[F_DY] + y_read
        traffic = x + w + y_read + y_write
        energy = energy0 + floats[F_ED] * traffic
        transfer = traffic / floats[F_BPC]
        if ints[I_BUFFERS] == 1:
            latency = compute + transfer
        else:
            latency = compute + head + tail
            if transfer > latency:
                latency = transfer
            loaded = transfer + last - (0.0 if qk > 1 and _POSITION[order, 2] == 2 else beside)
            if loaded > latency:
                latency = loaded
        if floats[F_FLOOR] > latency:
            latency = floats[F_FLOOR]
        known = result[R_STATUS] > 0.0
        if known and _before(objective, latency, energy, traffic, result[R_LATENCY], result[R_ENERGY],
                             result[R_X] + result[R_W] + result[R_YREAD] + result[R_YWRITE]) > 0:
            continue
        if ints[I_BUFFERS] > 1:
            if smooth < 0:
                smooth = 1 if _never_stalls(ints, floats, units, tile, trips, m[9]) else 0
            if smooth == 0:
                per_cycle = floats[F_BPC]
                loaded = (1.0 - 1e-12) * _grouped_bound(
                    order, qm, qn, qk, m, n, k, outputs, float(ints[I_N]), float(ints[I_C]), groups, head_x,
                    head - head_x, tail, x / per_cycle, w / per_cycle, y_read / per_cycle, y_write / per_cycle)
                if loaded > latency:
                    latency = loaded
                    if known and _before(objective, latency, energy, traffic, result[R_LATENCY], result[R_ENERGY],
                                         result[R_X] + result[R_W] + result[R_YREAD] + result[R_YWRITE]) > 0:
                        continue
        if ints[I_BUFFERS] > 1 and smooth == 0:
            limit = np.inf
            if known:
                limit = result[R_LATENCY]
                best = result[R_X] + result[R_W] + result[R_YREAD] + result[R_YWRITE]
                if objective == 1 or (objective == 2 and traffic < best):
                    limit = np.inf  # better whatever its latency, which must then be whole
                elif objective == 3:
                    limit = result[R_LATENCY] * result[R_ENERGY] / energy if energy > 0.0 else np.inf
            limit *= 1.0 + 1e-12
            exact = _latency_classes(ints, floats, units, tile, trips, order, limit, head, tail, scratch, q, fresh)
            fresh = False
            if exact > latency:
                latency = exact
        if known:
            c = _before(objective, latency, energy, traffic, result[R_LATENCY], result[R_ENERGY],
                        result[R_X] + result[R_W] + result[R_YREAD] + result[R_YWRITE])
            if c > 0:
                continue
            if c == 0 and not _earlier(tile, order, result):
                continue
        result[R_STATUS] = 1.0
        result[R_LATENCY], result[R_ENERGY] = latency, energy
        result[R_X], result[R_W], result[R_YREAD], result[R_YWRITE] = x, w, y_read, y_write
        result[R_COMPUTE] = compute
        for d in range(5):
            result[R_TB + d] = tile[d]
        result[R_ORDER] = order
        result[R_STEPS] = groups * qm * qn * qk
        result[R_HEAD], result[R_TAIL] = head, tail
        result[R_USED] = cap_x + cap_w + cap_y


@njit(cache=True, error_model="numpy")
def _earlier(tile, order, result):
    """Last tie-break: smaller tiles, in the order b, y, x, n, k, then the earlier loop order."""
    for d in range(5):
        if tile[d] != result[R_TB + d]:
            return tile[d] < result[R_TB + d]
    return order < result[R_ORDER]


@njit(cache=True, error_model="numpy")
def _worse(objective, latency, energy, traffic, floor, result):
    """True if a lower bound on all three already exceeds the best mapping's objective.

    No latency is below `floor`: once it is reached, energy decides.
    """
    if result[R_STATUS] == 0.0:
        return False
    if objective == 0 and result[R_LATENCY] <= floor and energy > result[R_ENERGY] * (1.0 + 1e-12):
        return True
    best = _primary(objective, result[R_LATENCY], result[R_ENERGY],
                    result[R_X] + result[R_W] + result[R_YREAD] + result[R_YWRITE])
    bound = _primary(objective, latency, energy, traffic)
    if bound > best * (1.0 + 1e-12):
        return True
    return objective == 2 and bound > best * (1.0 - 1e-12) and latency > result[R_LATENCY] * (1.0 + 1e-12)


@njit(cache=True, error_model="numpy")
def _try_line(ints, floats, units, objective, prune, m, n, ks, stride, x_edge, result, tile, trips, scratch, q):
    """`_consider` every `stride`-th k tile with the given m and n tiles."""
    groups = float(ints[I_G])
    um, vm, un, vn = m[10], m[11], n[2], n[3]
    load = (m[14] * floats[F_BX] * floats[F_DX] + n[0] * ints[I_FF] * floats[F_BW] * floats[F_DW]) / floats[F_BPC]
    store = m[13] * n[5] * floats[F_BO] * floats[F_DY] / floats[F_BPC]
    if ints[I_BUFFERS] == 1:
        load, store = 0.0, 0.0
    cap_w = floats[F_CW] * n[0] * ints[I_FF] * floats[F_BW] + floats[F_CX] * m[9] * floats[F_BX]
    cap_y = floats[F_CY] * m[7] * n[0] * floats[F_BA]
    outputs = float(ints[I_B]) * ints[I_OY] * ints[I_OX] * ints[I_N]
    x_all = m[8] * ints[I_C] * floats[F_BX] * floats[F_DX]
    w_all = float(ints[I_N]) * ints[I_C] * ints[I_FF] * floats[F_BW] * floats[F_DW]
    y_all = outputs * floats[F_BO] * floats[F_DY]
    once = x_all + w_all * m[6]
    if x_all * n[1] + w_all < once:
        once = x_all * n[1] + w_all
    once = groups * (once + y_all) / floats[F_BPC]
    both = groups * (x_all * n[1] + w_all * m[6] + y_all) / floats[F_BPC]
    spill = groups * 2.0 * outputs * floats[F_BA] / floats[F_BPC] if m[6] > 1 or n[1] > 1 else 0.0
    beside = m[7] * n[0] * floats[F_BO] * floats[F_DY] / floats[F_BPC]
    weights = float(ints[I_N]) * ints[I_C] * ints[I_FF]
    x_reads = m[8] * ints[I_C] if ints[I_ONTHEFLY] else x_edge
    beside_partial = m[7] * n[0] * floats[F_BA] / floats[F_BPC]
    if beside > beside_partial:
        beside_partial = beside
    for back in range(0, len(ks), stride):
        h = len(ks) - 1 - back
        if prune:
            # the cheapest tests that hold for every order: most candidates end here
            if cap_w * ks[h, 0] + cap_y > floats[F_S]:
                continue
            if result[R_STATUS] > 0.0:
                bound = groups * (um * un * ks[h, 2] + vm * vn * ks[h, 3]) + store + load * ks[h, 0]
                # nothing is loaded beside the last step: its compute comes on top of all but the store beside it
                last = m[15] * n[6] * ks[h, 6] + m[16] * n[7] * ks[h, 7]
                if ks[h, 1] == 1:
                    moved = once
                    late = once + last - beside
                else:
                    moved = once + spill * (ks[h, 1] - 1.0)
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
                        x_reads * n[4] * floats[F_EX] + weights * m[12] * floats[F_EW]
                        + outputs * (ks[h, 4] * floats[F_EYW] + (ks[h, 4] - 1.0) * floats[F_EYR]))
                if _worse(objective, bound, energy, moved * floats[F_BPC], floats[F_FLOOR], result):
                    continue
        _consider(ints, floats, units, objective, m, n, ks[h], x_edge, result, tile, trips, scratch, q)


@njit(cache=True, error_model="numpy")
def search(ints, floats, units, objective, prune, result):
    """The best mapping of one problem into `result` (R_* columns; status 0 = no tile fits).

    objective : 0 latency, 1 energy, 2 dram_bytes, 3 edp. `prune` = False tries every candidate (tests).
    """
    result[:] = 0.0
    ms, ns, ks = _m_table(ints, units), _line_table(ints[I_N], ints[I_STEP_N], units, 1), _line_table(
        ints[I_C], ints[I_STEP_K], units, 2)
    tile, trips = np.empty(5, dtype=np.int64), np.empty(5, dtype=np.int64)
    scratch = np.zeros((11, 6), dtype=np.int64)
    q = np.zeros(_Q_SIZE + 4)
    q[_Q_SIZE] = floats[F_BX] * floats[F_DX] / floats[F_BPC]
    q[_Q_SIZE + 1] = floats[F_BW] * floats[F_DW] * ints[I_FF] / floats[F_BPC]
    q[_Q_SIZE + 2] = floats[F_BA] / floats[F_BPC]
    q[_Q_SIZE + 3] = floats[F_BO] * floats[F_DY] / floats[F_BPC]
    outputs = float(ints[I_B]) * ints[I_OY] * ints[I_OX]
    x_edge = outputs * ints[I_C] * ints[I_FF]
    if prune:
        coarse_m, coarse_n, coarse_k = _ceil_div(len(ms), 10), _ceil_div(len(ns), 5), _ceil_div(len(ks), 5)
        for i in range(0, len(ms), coarse_m):
            for j in range(0, len(ns), coarse_n):
                m, n = ms[len(ms) - 1 - i], ns[len(ns) - 1 - j]
                _try_line(ints, floats, units, objective, True, m, n, ks, coarse_k, x_edge, result, tile, trips,
                          scratch, q)
    groups = float(ints[I_G])
    mn = outputs * ints[I_N]
    weights = float(ints[I_N]) * ints[I_C] * ints[I_FF]
    w_all = weights * floats[F_BW] * floats[F_DW]
    y_all = mn * floats[F_BO] * floats[F_DY]
    uk, vk, rk = np.inf, np.inf, np.inf
    for h in range(len(ks)):
        uk, vk, rk = min(uk, ks[h, 2]), min(vk, ks[h, 3]), min(rk, ks[h, 4])
    un, vn, rn = np.inf, np.inf, np.inf
    for j in range(len(ns)):
        un, vn, rn = min(un, ns[j, 2]), min(vn, ns[j, 3]), min(rn, ns[j, 4])
    for i in range(len(ms)):
        m = ms[i]
        x_all = m[8] * ints[I_C] * floats[F_BX] * floats[F_DX]
        x_reads = m[8] * ints[I_C] if ints[I_ONTHEFLY] else x_edge
        fixed = floats[F_E0] + groups * (weights * m[12] * floats[F_EW]
                                         + mn * (rk * floats[F_EYW] + (rk - 1.0) * floats[F_EYR]))
        if prune:
            traffic = groups * (x_all + w_all + y_all)
            latency = groups * (m[10] * un * uk + m[11] * vn * vk)
            if traffic / floats[F_BPC] > latency:
                latency = traffic / floats[F_BPC]
            if _worse(objective, latency, fixed + groups * x_reads * rn * floats[F_EX] + floats[F_ED] * traffic,
                      traffic, floats[F_FLOOR], result):
                continue
        for j in range(len(ns)):
            n = ns[j]
            cap_y = floats[F_CY] * m[7] * n[0] * floats[F_BA]
            if cap_y > floats[F_S] or cap_y > floats[F_SY]:
                break
            if prune:
                a = x_all + w_all * m[6]
                b = x_all * n[1] + w_all
                traffic = groups * ((a if a < b else b) + y_all)
                # un-overlapped at least: a filter tap of the first tile, its pixels of one channel, the last outputs
                ends = (m[13] * (ints[I_N] - (n[1] - 1.0) * n[0]) * floats[F_BO] * floats[F_DY]
                        + n[0] * ints[I_FF] * floats[F_BW] * floats[F_DW] + m[14] * floats[F_BX] * floats[F_DX])
                latency = groups * (m[10] * n[2] * uk + m[11] * n[3] * vk) + ends / floats[F_BPC]
                if traffic / floats[F_BPC] > latency:
                    latency = traffic / floats[F_BPC]
                if floats[F_FLOOR] > latency:
                    latency = floats[F_FLOOR]
                if _worse(objective, latency, fixed + groups * x_reads * n[4] * floats[F_EX] + floats[F_ED] * traffic,
                          traffic, floats[F_FLOOR], result):
                    continue
            _try_line(ints, floats, units, objective, prune, m, n, ks, 1, x_edge, result, tile, trips, scratch, q)
    if result[R_STATUS] > 0.0:
        result[R_SRAM] = _sram_bytes(ints, floats, units, result, x_edge)


@njit(cache=True, error_model="numpy")
def _sram_bytes(ints, floats, units, result, x_edge):
    """Bytes at the array's edge and at the DRAM port of the buffer [byte]."""
    sizes = (ints[I_N], ints[I_C])
    reads = np.empty(2)
    for d in range(2):
        t = int(result[R_TN + d])
        trips = _ceil_div(sizes[d], t)
        _, _, full = unit(units, 1 + d, 1, t, 1)
        _, _, edge = unit(units, 1 + d, 1, sizes[d] - (trips - 1) * t, 1)
        reads[d] = (trips - 1) * full + edge
    tb, ty, tx = int(result[R_TB]), int(result[R_TY]), int(result[R_TX])
    b, oy, ox = ints[I_B], ints[I_OY], ints[I_OX]
    qb, qy, qx = _ceil_div(b, tb), _ceil_div(oy, ty), _ceil_div(ox, tx)
    _, _, rm = _m_sums(units, b, oy, ox, tb, ty, tx, qb, qy, qx)
    if ints[I_ONTHEFLY]:
        x_edge = (float(b) * _extent_sum(ty, qy, oy, ints[I_SY], ints[I_HY], ints[I_PY])
                  * _extent_sum(tx, qx, ox, ints[I_SX], ints[I_HX], ints[I_PX]) * ints[I_C])
    weights = float(ints[I_N]) * ints[I_C] * ints[I_FF]
    mn = float(b) * oy * ox * ints[I_N]
    edge = ints[I_G] * (x_edge * reads[0] * floats[F_BX] + weights * rm * floats[F_BW]
                        + mn * (2.0 * reads[1] - 1.0) * floats[F_BA])
    return edge + result[R_X] + result[R_W] + result[R_YREAD] + result[R_YWRITE]


@njit(cache=True, error_model="numpy")
def search_all(ints, floats, units, objective, prune, results):
    """`search` for every row: ints (P, 18), floats (P, 22), units (P, 3, 5), results (P, 19)."""
    for p in range(len(ints)):
        search(ints[p], floats[p], units[p], objective, prune, results[p])
