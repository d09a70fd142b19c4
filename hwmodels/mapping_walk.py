"""Latency of one mapping by walking every step: slow, the check of `hwmodels.mapping_latency`."""

import numpy as np
from numba import njit

from hwmodels.compiled import piece
from hwmodels.mapping_latency import lay_out, operands_changed
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
    ceil_div,
    extent,
    unit,
)

__all__ = ["latency_walk"]


@piece
def _tile_at(index, trips, tile, size):
    return tile if index < trips - 1 else size - (trips - 1) * tile


@piece
def _x_bytes(ints, floats, tile, trips, ib, iy, ix, ik):
    rows = extent(tile[1], iy, trips[1], ints[I_OY], ints[I_SY], ints[I_HY], ints[I_PY])
    cols = extent(tile[2], ix, trips[2], ints[I_OX], ints[I_SX], ints[I_HX], ints[I_PX])
    return (floats[F_BX] * floats[F_DX] * _tile_at(ib, trips[0], tile[0], ints[I_B]) * rows * cols
            * _tile_at(ik, trips[4], tile[4], ints[I_C]))


@piece
def _w_bytes(ints, floats, tile, trips, i_n, ik):
    return (floats[F_BW] * floats[F_DW] * ints[I_FF] * _tile_at(i_n, trips[3], tile[3], ints[I_N])
            * _tile_at(ik, trips[4], tile[4], ints[I_C]))


@piece
def _y_elements(ints, tile, trips, ib, iy, ix, i_n):
    return (float(_tile_at(ib, trips[0], tile[0], ints[I_B])) * _tile_at(iy, trips[1], tile[1], ints[I_OY])
            * _tile_at(ix, trips[2], tile[2], ints[I_OX]) * _tile_at(i_n, trips[3], tile[3], ints[I_N]))


@piece
def _step_compute(ints, units, tile, trips, ib, iy, ix, i_n, ik):
    um, vm, _ = unit(units, 0, _tile_at(ib, trips[0], tile[0], ints[I_B]),
                     _tile_at(iy, trips[1], tile[1], ints[I_OY]), _tile_at(ix, trips[2], tile[2], ints[I_OX]))
    un, vn, _ = unit(units, 1, 1, _tile_at(i_n, trips[3], tile[3], ints[I_N]), 1)
    uk, vk, _ = unit(units, 2, 1, _tile_at(ik, trips[4], tile[4], ints[I_C]), 1)
    return um * un * uk + vm * vn * vk


@piece
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
        x, w, y = operands_changed(loops, counts, at)
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
        x, w, y = operands_changed(loops, counts, at)
        if y:
            for depth in range(6):
                loop = loops[depth]
                other[loop] = index[loop] if depth < at else (index[loop] - 1 if depth == at else counts[loop] - 1)
            width = floats[F_BO] * floats[F_DY] if other[5] == counts[5] - 1 else floats[F_BA]
            moved += width * _y_elements(ints, tile, trips, other[1], other[2], other[3], other[4])
    moved /= floats[F_BPC]
    return compute if compute > moved else moved


@piece
def _ends(ints, floats, tile, trips):
    """Un-overlapped cycles: (load of the first step, store of the last)."""
    head = _x_bytes(ints, floats, tile, trips, 0, 0, 0, 0) + _w_bytes(ints, floats, tile, trips, 0, 0)
    tail = floats[F_BO] * floats[F_DY] * _y_elements(ints, tile, trips, trips[0] - 1, trips[1] - 1, trips[2] - 1,
                                                     trips[3] - 1)
    return head / floats[F_BPC], tail / floats[F_BPC]


@njit(cache=True, error_model="numpy")
def latency_walk(ints, floats, units, tile, order):
    """Latency of a mapping of one problem [cycle]."""
    scratch = np.zeros((4, 6), dtype=np.int64)
    loops, counts, index, other = scratch[0], scratch[1], scratch[2], scratch[3]
    sizes = np.array([ints[I_B], ints[I_OY], ints[I_OX], ints[I_N], ints[I_C]])
    trips = np.empty(5, dtype=np.int64)
    lay_out(order, loops)
    counts[0] = ints[I_G]
    for d in range(5):
        trips[d] = ceil_div(sizes[d], tile[d])
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
