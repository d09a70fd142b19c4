"""Fewest DRAM bytes of a matrix layer under a buffer capacity: the best tiling with traffic as its only objective.

Model
-----
What a tiling moves depends on its trip counts, not on the array: whatever shape and dataflow an engine has, its
mapping (`hwmodels.mapping`) moves at least what the best tiling without any rounding to the array moves. Activations
may stay on chip as `hwmodels.cost` allows it, with the room they take; the least over those cases counts. Repeated
layers either fetch their weights every time or keep them all.

Fewer trips along k never move more, in any order of the loops: of the tiles of k only the largest that fits is tried.

Limits
------
Plain nests only: other forms (packed diagonals, the vector unit, skipped zeros, weights that stay between inferences)
tile other nests, and the callers leave them out. 0 where nothing is claimed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.engines.common import nest_of
from hwmodels.mapping import Nest
from hwmodels.mapping_tables import extent_max, extent_sum, orders, reloads, tile_candidates
from hwmodels.network import Layer

__all__ = ["TrafficCases", "Waiting", "least_by_way", "least_dram_bytes", "traffic_cases"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Waiting(NamedTuple):
    """What of a layer's activations may wait on chip."""

    input_room: float
    """Room that the input takes meanwhile, inf if it cannot wait [byte]."""
    output_room: float
    stored: bool
    """The output is written to DRAM even if it waits on chip."""


class TrafficCases(NamedTuple):
    """The matrix layers of a network, columns of shape (M,), and what may wait on chip around each, (M, 4): nothing,
    the output, the input, both."""

    layers: int
    """Of the network, L."""
    layer: Ints
    """Index among them."""
    nest: Ints
    """(M, 13) in the order of `hwmodels.mapping.Nest`."""
    repeat: Floats
    element_bytes: Floats
    """(M, 3) input, weight, output [byte]."""
    extra_bytes: Floats
    """Parameters outside the nest [byte]."""
    reserved_bytes: Floats
    """Room of what waits, inf if it cannot [byte]."""
    fetched: Floats
    """1 where the input comes from DRAM."""
    tiled: Floats
    """1 where the input takes room tile by tile."""
    written: Floats
    """1 where the output goes to DRAM."""


def _plain(nest: Nest) -> bool:
    """Whether two tilings with equal trip counts fetch the same input: padding never exceeds the window."""
    return nest.pad_y // 2 <= nest.halo_y and nest.pad_x // 2 <= nest.halo_x


def traffic_cases(layers: Sequence[Layer], waiting: Sequence[Waiting]) -> TrafficCases:
    """What `least_dram_bytes` needs of layers; `waiting` of every layer."""
    chosen = [(index, layer, around) for index, (layer, around) in enumerate(zip(layers, waiting, strict=True))
              if layer.is_matrix and _plain(nest_of(layer))]
    ways = [(stays_in, stays_out) for stays_in in (False, True) for stays_out in (False, True)]

    def per_way(rows: list[list[float]]) -> Floats:
        return np.array(rows, dtype=np.float64).reshape(-1, len(ways))

    return TrafficCases(
        layers=len(layers), layer=np.array([index for index, _, _ in chosen], dtype=np.int64),
        nest=np.array([nest_of(layer).flat() for _, layer, _ in chosen], dtype=np.int64).reshape(-1, len(Nest._fields)),
        repeat=np.array([layer.repeat for _, layer, _ in chosen], dtype=np.float64),
        element_bytes=np.array([(layer.input_bits / 8.0, layer.weight_bits / 8.0, layer.output_bits / 8.0)
                                for _, layer, _ in chosen]).reshape(-1, 3),
        extra_bytes=np.array([layer.extra_parameters * layer.weight_bits / 8.0 for _, layer, _ in chosen]),
        reserved_bytes=per_way([[(around.input_room if i else 0.0) + (around.output_room if o else 0.0)
                                 for i, o in ways] for _, _, around in chosen]),
        fetched=per_way([[not (i or layer.op == "recurrent") for i, _ in ways] for _, layer, _ in chosen]),
        tiled=per_way([[not i for i, _ in ways] for _ in chosen]),
        written=per_way([[not o or around.stored for _, o in ways] for _, _, around in chosen]))


@njit(cache=True, error_model="numpy")
def _m_tiles(nest):  # type: ignore[no-untyped-def]
    """Columns trips, outputs of a tile, summed and largest input region of the tiles of (b, y, x), small tiles first.
    """
    batch, oy, ox, stride_y, stride_x = nest[1], nest[2], nest[3], nest[7], nest[8]
    tbs, tys, txs = tile_candidates(batch, 1), tile_candidates(oy, 1), tile_candidates(ox, 1)
    table = np.empty((len(tbs) * len(tys) * len(txs), 4))
    row = 0
    for tb in tbs:
        for ty in tys:
            qy = -(-oy // ty)
            rows = extent_sum(ty, qy, oy, stride_y, nest[9], nest[11])
            row_max = extent_max(ty, qy, oy, stride_y, nest[9], nest[11])
            for tx in txs:
                qx = -(-ox // tx)
                table[row, 0] = float(-(-batch // tb)) * qy * qx
                table[row, 1] = float(tb) * ty * tx
                table[row, 2] = float(batch) * rows * extent_sum(tx, qx, ox, stride_x, nest[10], nest[12])
                table[row, 3] = float(tb) * row_max * extent_max(tx, qx, ox, stride_x, nest[10], nest[12])
                row += 1
    return table


@njit(cache=True, error_model="numpy")
def _least(nest, ms, ns, ks, room, factor, widths, x_in, w_in, y_out, x_tiled, w_tiled):  # type: ignore[no-untyped-def]
    """Fewest bytes of the nest if its tiles have `room`, inf if none fits.

    Parameters
    ----------
    factor : 2 for a double-buffered SRAM, else 1.
    widths : of input, weight, partial sum, output [byte].
    x_in, w_in, y_out : 1, or 0 if the operand is on chip anyway and moves nothing; x_tiled, w_tiled: 1, or 0 if its
        tiles take no room.
    """
    groups, size_n, size_k, window = float(nest[0]), nest[4], nest[5], nest[6]
    many = nest[0] > 1
    mn = float(nest[1]) * nest[2] * nest[3] * size_n
    weights = float(size_n) * size_k * window
    w_all, y_all = weights * widths[1] * w_in, mn * widths[3] * y_out
    best = np.inf
    for i in range(len(ms) - 1, -1, -1):
        qm, outputs, region, region_max = ms[i]
        x_all = region * size_k * widths[0] * x_in
        if groups * (x_all + w_all + y_all) >= best:
            continue
        h = len(ks) - 1
        for tn in ns:
            qn = float(-(-size_n // tn))
            cap_y = outputs * tn * widths[2]
            if cap_y > room:
                break
            cap_y *= factor if qm > 1 or qn > 1 or many else 1.0
            a, b = x_all + w_all * qm, x_all * qn + w_all
            if groups * ((a if a < b else b) + y_all) >= best:
                continue
            if qn == 1:
                h = len(ks) - 1  # the tiles of the whole axis need no second buffer; until then a larger n needs more
            # room that a step takes per element of its k tile
            x_step, w_step = x_tiled * region_max * widths[0], w_tiled * tn * window * widths[1]
            while h >= 0:
                whole = h == len(ks) - 1 and not many
                need = ks[h] * (x_step * (1.0 if whole and qm == 1 else factor)
                                + w_step * (1.0 if whole and qn == 1 else factor))
                if need + cap_y <= room:
                    break
                h -= 1
            if h < 0:
                h = 0
                continue
            qk = float(-(-size_k // ks[h]))
            for which in range(6):
                order = orders(qm, qn, qk, which)
                if order < 0:
                    break
                rx, rw, ry = reloads(order, qm, qn, qk)
                moved = groups * (x_all * rx + w_all * rw + y_all + 2.0 * mn * (ry - 1.0) * widths[2])
                if moved < best:
                    best = moved
    return best


@njit(cache=True, error_model="numpy")
def _least_all(nests, repeat, element_bytes, extra, reserved, fetched, tiled, written, sram, sum_bytes, factor,  # type: ignore[no-untyped-def]
               least):
    """`_least` of every layer and way, (M, 4); columns of `TrafficCases`."""
    widths = np.empty(4)
    for row in range(len(nests)):
        nest = nests[row]
        widths[0], widths[1], widths[3] = element_bytes[row]
        widths[2] = sum_bytes if sum_bytes > widths[3] else widths[3]
        ms, ns, ks = _m_tiles(nest), tile_candidates(nest[4], 1), tile_candidates(nest[5], 1)
        weights = float(nest[0]) * nest[4] * nest[5] * nest[6] * widths[1]
        again = repeat[row] - 1.0
        for way in range(reserved.shape[1]):
            best, room = np.inf, sram - reserved[row, way]
            x_in, y_out, x_tiled = fetched[row, way], written[row, way], tiled[row, way]
            if room > 0.0:
                best = repeat[row] * _least(nest, ms, ns, ks, room, factor, widths, x_in, 1.0, y_out, x_tiled, 1.0)
            if again > 0.0 and weights < room:
                rest = room - weights
                total = (_least(nest, ms, ns, ks, rest, factor, widths, x_in, 1.0, y_out, x_tiled, 0.0)
                         + again * _least(nest, ms, ns, ks, rest, factor, widths, x_in, 0.0, y_out, x_tiled, 0.0))
                best = min(best, total)
            least[row, way] = extra[row] + best


def least_by_way(cases: TrafficCases, *, sram_bytes: int, sum_bytes: float, buffers: int) -> Floats:
    """Fewest bytes that each matrix layer moves in one execution, by what waits on chip around it, (M, 4); inf where no
    tile fits. Parameters as of `least_dram_bytes`."""
    found = np.empty((len(cases.layer), 4))
    _least_all(*cases[2:], float(sram_bytes), sum_bytes, float(buffers), found)
    return found


def least_dram_bytes(cases: TrafficCases, *, sram_bytes: int, sum_bytes: float, buffers: int) -> Floats:
    """Fewest bytes that each layer moves in one execution, shape (L,); 0 for vector layers and where no tile fits.

    Parameters
    ----------
    sum_bytes : of a partial sum in the buffer.
    buffers : 2 for a double-buffered SRAM, else 1.
    """
    found = least_by_way(cases, sram_bytes=sram_bytes, sum_bytes=sum_bytes, buffers=buffers).min(axis=1)
    least = np.zeros(cases.layers)
    least[cases.layer] = np.where(np.isfinite(found), found, 0.0)
    return least
