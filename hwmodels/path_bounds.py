"""Lower bounds of a network on one engine: what waits on chip is decided for all layers together, and by speed.

Model
-----
`hwmodels.bounds` takes the best for every layer by itself. On an engine that runs a network alone two things tie its
layers together, as in the cost model:

waiting    an output that waits on chip takes room during its layer and during the next one, so that both sides of a
           layer wait only where there is room for both. Latency, energy and DRAM bytes are each the least over all
           choices, by dynamic programming
forms      of the forms of a layer the fastest runs, whatever it costs. A depthwise convolution runs on the vector unit
           wherever all its forms on the array must be slower: the products of the array, whole, take longer than the
           vector unit needs with some tiles of which any room that is left holds two

A range of engines, all between a smallest and a largest one, is bounded by the same laws: bytes by the largest buffer,
the array's products by its largest sides, the vector unit's time by its lanes, buffer and bandwidth at least and the
clock at most.

Limits
------
Plain engines only: 0 where zeros are skipped or weights stay on chip. Where an engine shares the layers of a network
with others the sums mean nothing.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.bounds import (
    EngineColumns,
    LayerBounds,
    columns_of,
    distinct_layers,
    engine_columns,
    is_depthwise,
    layer_rows,
    least_product_cycles,
    per_buffer,
    rounded_up,
    traffic_of,
    waiting_bytes,
)
from hwmodels.engine import NODES_NM, Engine
from hwmodels.least_traffic import least_by_way
from hwmodels.network import Network
from hwmodels.technology import dram_energy_j_per_byte, sram_energy_j_per_byte, vector_op_energy_j

__all__ = ["PathBounds", "path_bounds"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ROUNDING = 1e-9
"""Relative: a share of an energy is found by subtraction."""
_FORMS = {"per_channel", "packed_diagonal", "vector_unit"}
_MOST_PARTS = 64
"""Tiles that the rows of a plane are cut into at most, in powers of two."""


class PathBounds(NamedTuple):
    """Lower bounds of one inference on every engine, columns of shape (E,)."""

    latency_s: Floats
    energy_j: Floats
    """Dynamic."""
    dram_bytes: Floats
    batched_j: Floats
    """Energy of a pass with any number of requests: of several, other forms may be the fastest."""


@lru_cache(maxsize=16384)
def _tiled(network: Network, sram_bytes: int, sum_bytes: float, buffers: int) -> Floats:
    """Least DRAM bytes of every distinct layer by what waits around it, (R, 4)."""
    found = waiting_bytes(network)[0].copy()
    cases = traffic_of(network)
    tiled = least_by_way(cases, sram_bytes=sram_bytes, sum_bytes=sum_bytes, buffers=buffers)
    some = np.array([not is_depthwise(layer) for layer in distinct_layers(network)])[cases.layer]
    found[cases.layer[some]] = np.maximum(found[cases.layer[some]], tiled[some])
    return found


def _bytes_by_way(network: Network, sram_bytes: int, sum_bytes: float, buffers: int) -> Floats:
    """The same, inf where there is no room for what waits."""
    tiled = _tiled(network, int(rounded_up(np.array([sram_bytes]))[0]), sum_bytes, buffers)
    return np.where(waiting_bytes(network)[1] < sram_bytes, tiled, np.inf)


class _Depthwise(NamedTuple):
    """The depthwise layers of a network that do not repeat, columns of shape (W,); see `_only_vector`."""

    row: Ints
    """Of the distinct layers."""
    groups: Floats
    batch: Floats
    oy: Ints
    ox: Floats
    stride_y: Floats
    halo_y: Floats
    input_cols: Floats
    window: Floats
    widths: Floats
    """(W, 3) input, weight, output [byte]."""
    vector_ops: Floats
    extra_bytes: Floats
    reserved: Floats
    """(W, 4) room of what waits, inf where it cannot [byte]."""


@lru_cache(maxsize=256)
def _depthwise(network: Network) -> _Depthwise:
    layers = distinct_layers(network)
    rows = [r for r, layer in enumerate(layers) if is_depthwise(layer) and layer.repeat == 1 and layer.k == 1]
    some = [layers[r] for r in rows]

    def column(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)

    return _Depthwise(
        row=np.array(rows, dtype=np.int64), groups=column([x.groups for x in some]),
        batch=column([x.batch for x in some]), oy=np.array([x.oy for x in some], dtype=np.int64),
        ox=column([x.ox for x in some]), stride_y=column([x.stride_y for x in some]),
        halo_y=column([(x.fy - 1) * x.dilation_y + 1 for x in some]),
        input_cols=column([(x.ox - 1) * x.stride_x + (x.fx - 1) * x.dilation_x + 1 for x in some]),
        window=column([x.fy * x.fx for x in some]),
        widths=np.array([(x.input_bits / 8.0, x.weight_bits / 8.0, x.output_bits / 8.0) for x in some]).reshape(-1, 3),
        vector_ops=column([x.vector_ops for x in some]),
        extra_bytes=column([x.extra_parameters * x.weight_bits / 8.0 for x in some]),
        reserved=waiting_bytes(network)[1][rows])


@njit(cache=True)
def _only_vector(w, m, n, k, e, smallest, known, found):  # type: ignore[no-untyped-def]
    """Write whether each depthwise layer must run on the vector unit, by what waits on chip around it, (W, E, 4).

    Parameters
    ----------
    m, n, k : of the product of one group, (W,).
    known : engines of which all forms are known, (E,).
    """
    for i in range(len(w.row)):
        for j in range(len(known)):
            found[i, j, :] = False
            if not known[j]:
                continue
            rows, cols = e.rows[j], e.cols[j]
            array = least_product_cycles(e.dataflow[j], float(rows), float(cols), float(smallest.rows[j]),
                                         float(smallest.cols[j]), e.overlapped[j], e.drained[j], m[i], n[i], k[i])[0]
            side_by_side = 1.0
            if e.dataflow[j] != 1:  # groups of a packed diagonal; output stationary arrays have none
                side_by_side = max(1.0, min(w.groups[i], float(rows // int(k[i])), float(cols // int(n[i]))))
            array *= np.ceil(w.groups[i] / side_by_side)
            lanes, per_cycle = float(smallest.vector_lanes[j]), smallest.dram_bytes_per_s[j] / e.freq_hz[j]
            sums = max(e.sum_bytes[j], w.widths[i, 2])
            weights = w.window[i] * w.widths[i, 1]
            for way in range(4):
                room = float(smallest.sram_bytes[j]) - w.reserved[i, way]
                parts = 1
                while parts <= _MOST_PARTS and parts <= w.oy[i]:
                    high = -(-w.oy[i] // parts)
                    outputs = high * w.ox[i]
                    inputs = ((high - 1) * w.stride_y[i] + w.halo_y[i]) * w.input_cols[i] * w.widths[i, 0]
                    if e.buffers[j] * (inputs + weights + outputs * sums) <= room:
                        moved = (inputs + weights + outputs * w.widths[i, 2]) / per_cycle
                        steps = w.groups[i] * w.batch[i] * -(-w.oy[i] // high)
                        vector = max(steps * max(outputs * w.window[i] / lanes, moved) + moved,
                                     w.vector_ops[i] / lanes + 1.0, steps * moved + w.extra_bytes[i] / per_cycle)
                        found[i, j, way] = array > vector * (1.0 + 1e-9)
                        break
                    parts *= 2


@njit(cache=True)
def _paths(rows, which, tables, layers, compute, fixed, by_way, per_byte, bandwidth, found):  # type: ignore[no-untyped-def]
    """Write the least latency, energy, bytes and energy in any form over all choices of what waits, (4, E).

    Parameters
    ----------
    rows : distinct layer of every layer of the network, (L,).
    which, tables : capacity of every engine, (E,), and the bytes by way for each, (capacities, R, 4).
    layers : bytes of each layer at least, however it runs, (R, E).
    compute, fixed : (R, E) time without transfers, energy without DRAM traffic.
    by_way : (R, E, 4) the same energy, by what waits.
    per_byte, bandwidth : energy and rate of the DRAM traffic, (E,).
    """
    for e in range(len(which)):
        before = np.zeros((4, 2))
        before[:, 1] = np.inf
        for r in rows:
            bytes_by_way = tables[which[e], r]
            after = np.full((4, 2), np.inf)
            for out in range(2):
                for inside in range(2):
                    way = 2 * inside + out
                    if bytes_by_way[way] == np.inf:
                        continue
                    moved = max(bytes_by_way[way], layers[r, e])
                    dram_j = moved * per_byte[e]
                    costs = (max(compute[r, e], moved / bandwidth[e]), max(fixed[r, e], by_way[r, e, way]) + dram_j,
                             moved, fixed[r, e] + dram_j)
                    for i in range(4):
                        after[i, out] = min(after[i, out], before[i, inside] + costs[i])
            before = after
        for i in range(4):
            found[i, e] = min(before[i, 0], before[i, 1])


def path_bounds(network: Network, engines: Sequence[Engine], layers: LayerBounds, *,
                smallest: Sequence[Engine] | None = None) -> PathBounds:
    """Bounds of one inference up to the earliest exit, on each engine alone.

    Parameters
    ----------
    engines, smallest : as columns of `layer_bounds`, whose answer for `quantile=True` is `layers`.
    """
    least = engines if smallest is None else smallest
    large, small = engine_columns(engines), engine_columns(least)
    found = np.zeros((4, len(engines)))
    plain = np.flatnonzero(~large.skipping & ~large.weights_stay)
    if not len(plain):
        return PathBounds(*found)
    large, small = columns_of(large, plain), columns_of(small, plain)
    capacities = np.stack([large.sram_bytes, large.buffers, 8.0 * large.sum_bytes], axis=1)
    distinct, which = np.unique(capacities, axis=0, return_inverse=True)
    tables = np.stack([_bytes_by_way(network, int(sram), bits / 8.0, int(buffers)) for sram, buffers, bits in distinct])
    sram_j, dram_j = per_buffer(small, sram_energy_j_per_byte), dram_energy_j_per_byte()
    moved, compute = layers.dram_bytes[:, plain], layers.compute_s[:, plain]
    fixed = layers.energy_j[:, plain] - moved * (sram_j + dram_j)
    by_way = np.zeros((*fixed.shape, 4))
    some = _depthwise(network)
    if len(some.row):
        known = np.array([_all_forms(engines[e]) for e in plain.tolist()]) & large.rigid & ~large.packed
        sizes = np.array([distinct_layers(network)[r].gemm[1:] for r in some.row], dtype=np.float64)
        only = np.empty((len(some.row), len(plain), 4), dtype=np.bool_)
        _only_vector(some, *np.ascontiguousarray(sizes.T), large, small, known, only)
        by_way[some.row] = np.where(only, _on_vector_j(network, some, large, sram_j)[:, :, None], 0.0)
    each = np.empty((4, len(plain)))
    _paths(layer_rows(network), which.reshape(-1), tables, moved, compute, fixed, by_way, sram_j + dram_j,
           large.dram_bytes_per_s, each)
    found[:, plain] = np.where(np.isfinite(each), each, 0.0) * (1.0 - _ROUNDING)
    return PathBounds(*found)


def _all_forms(engine: Engine) -> bool:
    """Whether the forms of depthwise convolutions are those that `_only_vector` knows."""
    return (set(engine.depthwise_modes) == _FORMS and engine.dataflow in ("ws", "os", "is") and not engine.sram_fracs
            and engine.im2col != "on_the_fly")


def _on_vector_j(network: Network, some: _Depthwise, engines: EngineColumns, sram_j: Floats) -> Floats:
    """Energy of depthwise layers on the vector unit but for their DRAM traffic, (W, E): every product reads its input,
    and reads and writes its sum."""
    layers = [distinct_layers(network)[r] for r in some.row]
    operations = np.array([layer.vector_ops + layer.macs for layer in layers], dtype=np.float64)
    outputs = np.array([layer.output_elements for layer in layers], dtype=np.float64)
    each = np.array([vector_op_energy_j(node) for node in NODES_NM])[engines.node]
    sums = np.maximum(engines.sum_bytes, some.widths[:, 2:])
    edge = (outputs * some.window * some.widths[:, 0] + some.groups * some.window * some.widths[:, 1])[:, None] \
        + (outputs * (2.0 * some.window - 1.0))[:, None] * sums
    return operations[:, None] * each + edge * sram_j

