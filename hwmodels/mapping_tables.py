"""What the compiled mapping search works on: problems as numbers, tables of candidate tiles, loop orders.

Terms: a *problem* is G identical nests (batch B, OY, OX, N, C) run back to back; a tile is (tb, ty, tx, tn, tk); m
stands for (b, y, x). `ints` and `floats` hold one problem, in the order of the constants I_* and F_* below; `units`
holds per role (m, n, k) a code and parameters of the engine's compute form (see `hwmodels.mapping`). Candidate tiles of
m are rows of columns M_*, those of n and k rows of columns L_*.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.compiled import piece

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
 R_STEPS, R_HEAD, R_TAIL, R_USED, R_TRAFFIC) = range(20)
N_RESULT = 20

ORDERS = ("mnk", "nmk", "mkn", "kmn", "nkm", "knm")
"""Loop orders, outermost first."""

# position (0 outer .. 2 inner) of m, n, k in each order
POSITION = np.array([[0, 1, 2], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0]], dtype=np.int64)

# candidates of m: tile, trips, their product, outputs of a tile, summed and largest input region, sums of u, v, reads,
# outputs of the last tile, input region of the first, u and v of the last tile
(M_TB, M_TY, M_TX, M_QB, M_QY, M_QX, M_TRIPS, M_SIZE, M_INPUT, M_INPUT_MAX, M_U, M_V, M_READS, M_LAST, M_HEAD, M_LAST_U,
 M_LAST_V) = range(17)
# candidates of n or k: tile, trips, sums of u, v, reads, last tile and its u, v, least u and v sums up to this tile
L_TILE, L_TRIPS, L_U, L_V, L_READS, L_LAST, L_LAST_U, L_LAST_V, L_LEAST_U, L_LEAST_V = range(10)
N_LINE, N_M = 10, 17

SPATIAL, STREAM, STREAM_OVERLAPPED, STRIPS, LOADED = 0, 1, 2, 3, 4


@piece
def ceil_div(a, b):
    return -(-a // b)


@piece
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


@piece
def fill_candidates(size, step, found):
    """Write ascending tile sizes: the smallest for each reachable trip count, and each rounded up to a multiple of
    `step`; return how many. `found` has room for `most_candidates`."""
    count = 0
    trips = 1
    while True:
        tile = ceil_div(size, trips)
        rounded = ceil_div(tile, step) * step if step > 1 else tile
        for value in (rounded, tile):
            if value >= size and value != tile:
                continue
            at = count  # of descending sizes; the new one is among the smallest
            while at > 0 and found[at - 1] < value:
                at -= 1
            if at > 0 and found[at - 1] == value:
                continue
            for later in range(count, at, -1):
                found[later] = found[later - 1]
            found[at] = value
            count += 1
        if tile == 1:
            break
        trips = ceil_div(size, tile - 1)
    for at in range(count // 2):
        found[at], found[count - 1 - at] = found[count - 1 - at], found[at]
    return count


def most_candidates(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """At least as many as `fill_candidates` finds for axes of these sizes, whatever the step."""
    found: NDArray[np.int64] = np.minimum(sizes, 4 * (np.sqrt(sizes).astype(np.int64) + 1))
    return found


@njit(cache=True, error_model="numpy")
def tile_candidates(size, step):
    """As `fill_candidates`, as an array of its own."""
    found = np.empty(4 * (int(np.sqrt(size)) + 1), dtype=np.int64)
    return found[: fill_candidates(size, step, found)].copy()


@piece
def extent(tile, index, trips, size, stride, halo, pad):
    """Rows of the input that tile `index` fetches; the first and the last tile do not fetch the padding."""
    outputs = tile if index < trips - 1 else size - (trips - 1) * tile
    rows = (outputs - 1) * stride + halo
    if index == 0:
        rows -= pad // 2
    if index == trips - 1:
        rows -= pad - pad // 2
    return rows if rows > 1 else 1


@piece
def extent_sum(tile, trips, size, stride, halo, pad):
    total = extent(tile, 0, trips, size, stride, halo, pad)
    if trips > 1:
        total += extent(tile, trips - 1, trips, size, stride, halo, pad)
    if trips > 2:
        total += (trips - 2) * extent(tile, 1, trips, size, stride, halo, pad)
    return total


@piece
def extent_max(tile, trips, size, stride, halo, pad):
    if trips > 2:
        return (tile - 1) * stride + halo
    largest = extent(tile, 0, trips, size, stride, halo, pad)
    last = extent(tile, trips - 1, trips, size, stride, halo, pad)
    return largest if largest > last else last


@piece
def line_table(size, step, units, role, tiles, table):
    """Write the candidates of n or k, L_* columns; return how many. `tiles` is scratch."""
    count = fill_candidates(size, step, tiles)
    least_u, least_v = np.inf, np.inf
    for i in range(count):
        tile = tiles[i]
        trips = ceil_div(size, tile)
        u, v, r = unit(units, role, 1, tile, 1)
        eu, ev, er = unit(units, role, 1, size - (trips - 1) * tile, 1)
        table[i, L_TILE], table[i, L_TRIPS] = tile, trips
        table[i, L_U] = (trips - 1) * u + eu
        table[i, L_V] = (trips - 1) * v + ev
        table[i, L_READS] = (trips - 1) * r + er
        table[i, L_LAST], table[i, L_LAST_U], table[i, L_LAST_V] = size - (trips - 1) * tile, eu, ev
        if table[i, L_U] < least_u:
            least_u = table[i, L_U]
        if table[i, L_V] < least_v:
            least_v = table[i, L_V]
        table[i, L_LEAST_U], table[i, L_LEAST_V] = least_u, least_v
    return count


@piece
def m_sums(units, b, y, x, tb, ty, tx, qb, qy, qx):
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


@piece
def m_table(ints, units, tiles, table):
    """Write the candidates of m, M_* columns; return how many. `tiles`, three rows, is scratch."""
    b, oy, ox = ints[I_B], ints[I_OY], ints[I_OX]
    tbs, tys, txs = tiles[0], tiles[1], tiles[2]
    many_b, many_y, many_x = (fill_candidates(b, 1, tbs), fill_candidates(oy, ints[I_STEP_M], tys),
                              fill_candidates(ox, 1, txs))
    row = 0
    for ib in range(many_b):
        qb = ceil_div(b, tbs[ib])
        for iy in range(many_y):
            qy = ceil_div(oy, tys[iy])
            rows = extent_sum(tys[iy], qy, oy, ints[I_SY], ints[I_HY], ints[I_PY])
            row_max = extent_max(tys[iy], qy, oy, ints[I_SY], ints[I_HY], ints[I_PY])
            for ix in range(many_x):
                qx = ceil_div(ox, txs[ix])
                cols = extent_sum(txs[ix], qx, ox, ints[I_SX], ints[I_HX], ints[I_PX])
                col_max = extent_max(txs[ix], qx, ox, ints[I_SX], ints[I_HX], ints[I_PX])
                t = table[row]
                t[M_TB], t[M_TY], t[M_TX], t[M_QB], t[M_QY], t[M_QX] = tbs[ib], tys[iy], txs[ix], qb, qy, qx
                t[M_TRIPS] = qb * qy * qx
                t[M_SIZE] = tbs[ib] * tys[iy] * txs[ix]
                t[M_INPUT] = float(b) * rows * cols
                t[M_INPUT_MAX] = float(tbs[ib]) * row_max * col_max
                t[M_U], t[M_V], t[M_READS] = m_sums(units, b, oy, ox, tbs[ib], tys[iy], txs[ix], qb, qy, qx)
                t[M_LAST] = float((b - (qb - 1) * tbs[ib]) * (oy - (qy - 1) * tys[iy]) * (ox - (qx - 1) * txs[ix]))
                t[M_LAST_U], t[M_LAST_V], _ = unit(units, 0, b - (qb - 1) * tbs[ib], oy - (qy - 1) * tys[iy],
                                       ox - (qx - 1) * txs[ix])
                t[M_HEAD] = (float(tbs[ib]) * extent(tys[iy], 0, qy, oy, ints[I_SY], ints[I_HY], ints[I_PY])
                         * extent(txs[ix], 0, qx, ox, ints[I_SX], ints[I_HX], ints[I_PX]))
                row += 1
    return row


@piece
def orders(qm, qn, qk, which):
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


@piece
def reloads(order, qm, qn, qk):
    """Times each operand is fetched: (X, W, Y); see `hwmodels.mapping`."""
    pm, pn, pk = POSITION[order, 0], POSITION[order, 1], POSITION[order, 2]
    rx = qn if (qm > 1 and pm > pn) or (qk > 1 and pk > pn) else 1.0
    rw = qm if (qn > 1 and pn > pm) or (qk > 1 and pk > pm) else 1.0
    ry = qk if (qm > 1 and pm > pk) or (qn > 1 and pn > pk) else 1.0
    return rx, rw, ry
