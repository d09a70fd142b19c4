"""Admissible lower bounds of latency, DRAM traffic, energy and area, for a million designs per second and core.

Model
-----
For every layer, whatever its mapping, tiling and order:

    compute cycles >= those of the untiled product on the array   ws, os, is without packing, skipping, other shapes
    compute cycles >= useful MACs / (PEs x packing)               all others; depthwise: PEs or vector lanes, the more
    vector cycles  >= operations / lanes
    DRAM bytes     >= weights, unless they may stay on chip between inferences
                      + input, unless the layer before writes it and it fits the buffer (or is passed on tile by tile)
                      + output, unless only the next layer reads it and it fits
    DRAM bytes     >= b (2 MACs / sqrt(rho S / b) - 2 S / b)      S bytes of buffer, b the narrowest operand
    DRAM bytes     >= those of the best tiling for S              plain nests (`hwmodels.least_traffic`)
    buffer bytes   >= DRAM bytes + untiled edge accesses of the array (where copies of an input are made at the edge it
                      counts once)
    latency        >= max(cycles / clock, DRAM bytes / bandwidth)
    energy         >= MACs, hops and scratchpads + vector operations + buffer bytes + DRAM bytes, each at its energy

A network's latency is the sum over its layers, each on the engine of the design that bounds it lowest. Area is exact.
Tiling never shortens a product on the array (`hwmodels.engines.systolic`): sums of ceilings of parts are no less than
the ceiling of the sum, and every tile fills and drains. Layers after an early exit count with the probability of
reaching them (a bound of the mean) or not at all (of a quantile).

Every ingredient grows or falls with every size, so that a *range* of engines, all between a smallest and a largest one,
is bounded by the same law: folds, PEs, lanes, clock, bandwidth, and what the buffer saves, of the largest; fill, drain
and energy per buffer access of the smallest.

Limits
------
Head and tail and contention are left out: the bound is lower, never wrong. Row-stationary arrays are bounded by their
PEs alone.

References
----------
J.-W. Hong, H. Kung, STOC 1981, doi:10.1145/800076.802486 (order of the traffic bound).
T. Smith, B. Lowery, J. Langou, R. van de Geijn, arXiv:1702.02017 (constant 2 M N K / sqrt(S) - 2 S).
X. Chen, Y. Han, Y. Wang, HPCA 2020, arXiv:1911.05662 (rho = FY FX / stride^2 for convolutions).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.area import accumulator_bits, engine_area_mm2
from hwmodels.engine import DATAFLOWS, NODES_NM, PRECISION_BITS, Engine
from hwmodels.errors import InvalidEngine
from hwmodels.least_traffic import TrafficCases, Waiting, least_dram_bytes, traffic_cases
from hwmodels.network import Layer, Network
from hwmodels.technology import (
    dram_energy_j_per_byte,
    hop_energy_j_per_byte,
    mac_energy_j,
    register_file_energy_j_per_byte,
    sram_area_mm2,
    sram_energy_j_per_byte,
    vector_op_energy_j,
)

__all__ = ["Bounds", "EngineColumns", "LayerBounds", "areas_mm2", "columns_of", "distinct_layers", "engine_columns",
           "is_depthwise", "layer_bounds", "layer_rows", "least_product_cycles", "network_bounds", "per_buffer",
           "rounded_up", "traffic_of", "waiting_bytes"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PRECISIONS = tuple(PRECISION_BITS)
_ROUNDING = 1e-12
"""Sums here and in the cost model are rounded differently."""
_OF_NODE = {node: index for index, node in enumerate(NODES_NM)}
_OF_PRECISION = {name: index for index, name in enumerate(_PRECISIONS)}
_OF_DATAFLOW = {name: index for index, name in enumerate(DATAFLOWS)}


class EngineColumns(NamedTuple):
    """Engines as columns of shape (E,), with codes instead of names."""

    rows: Ints
    cols: Ints
    dataflow: Ints
    """Index into `DATAFLOWS`."""
    sram_bytes: Ints
    dram_bytes_per_s: Floats
    freq_hz: Floats
    precision: Ints
    """Index into the keys of `PRECISION_BITS`."""
    sum_bytes: Floats
    """Partial sum in the buffer."""
    buffers: Ints
    """2 where tiles are double-buffered, else 1."""
    vector_lanes: Ints
    node: Ints
    """Index into `NODES_NM`."""
    rigid: NDArray[np.bool_]
    """False for an array that may take other shapes at run time (fission, stacks): only its number of PEs counts."""
    packed: NDArray[np.bool_]
    """Narrower operands may share a PE."""
    skipping: NDArray[np.bool_]
    """Zeros may be skipped."""
    overlapped: NDArray[np.bool_]
    """Folds overlap (`fold_overlap: double_buffered`)."""
    drained: NDArray[np.bool_]
    """Outputs leave through the array (`output_drain`)."""
    plain_depthwise: NDArray[np.bool_]
    """Depthwise convolutions run channel by channel only."""
    weights_stay: NDArray[np.bool_]
    """Weights may still be on chip from the inference before."""
    copying: NDArray[np.bool_]
    """Every window reads its own copy of an input from the buffer."""
    stacks: Ints


class Bounds(NamedTuple):
    """Lower bounds of one inference of a network, columns of shape (D,)."""

    latency_s: Floats
    """Sum over layers of max(compute, traffic)."""
    overlapped_latency_s: Floats
    """max(sum of compute, sum of traffic): holds even if layers overlap each other."""
    dram_bytes: Floats
    energy_j: Floats
    """Dynamic."""


class LayerBounds(NamedTuple):
    """Lower bounds of the distinct layers of a network on every engine, columns of shape (L, E)."""

    times: Floats
    """(L,) how often the layer occurs [-]."""
    latency_s: Floats
    dram_bytes: Floats
    energy_j: Floats
    """Dynamic."""
    compute_s: Floats
    """Without any transfer."""


class _Work(NamedTuple):
    """A network as columns over its distinct layers, (L,), and over layers x precisions (x nodes)."""

    times: Floats
    least_bytes: Floats
    """(L, C) DRAM bytes of the best tiling, per capacity of the engines at hand (`_with_tilings`)."""
    m: Floats
    n: Floats
    k: Floats
    steps: Floats
    macs: Floats
    useful_macs: Floats
    """Those that no zero skipping can avoid."""
    packing: Floats
    """(L, P) most MACs that a packing PE may do per cycle."""
    matrix: NDArray[np.bool_]
    depthwise: NDArray[np.bool_]
    vector_ops: Floats
    weight_bytes: Floats
    moved_bytes: Floats
    """Activations that cross the DRAM port whatever the buffer."""
    input_bytes: Floats
    input_room: Floats
    """The input is read from DRAM too unless the buffer is larger than this."""
    output_bytes: Floats
    output_room: Floats
    traffic_macs: Floats
    """2 MACs / sqrt(rho), with the width's power 3/2, so that bytes = this / sqrt(S) - 2 S."""
    edge_x_bytes: Floats
    """Each operand once at the edge of the array; copies of an input in several windows count once here."""
    edge_copies_bytes: Floats
    """The first operand with all its copies."""
    edge_w_bytes: Floats
    edge_y: Floats
    """Outputs [elements], to be counted at accumulator width; of vector layers [byte]."""
    array_j: Floats
    """(L, P, N, F) energy of all MACs, hops and scratchpads per precision, node and dataflow."""
    vector_j: Floats
    """(L, N) energy of the vector operations."""


def engine_columns(engines: Sequence[Engine], *, rigid: bool = True) -> EngineColumns:
    """Columns of engine records; `rigid` False for compositions of a fissile array.

    Raises
    ------
    InvalidEngine : an engine of another package, or with constants of its own: the bounds are those of our engines
        with the published constants.
    """
    for engine in engines:
        if engine.dataflow not in DATAFLOWS:
            raise InvalidEngine("dataflow", f"one of {', '.join(DATAFLOWS)} for bounds (analytic, dse front)",
                                engine.dataflow)
    if any(engine.technology for engine in engines):
        raise InvalidEngine("technology", "left out: bounds (analytic, dse front) know the published constants")

    def ints(values: list[int]) -> Ints:
        return np.array(values, dtype=np.int64)

    return EngineColumns(
        rows=ints([e.rows for e in engines]), cols=ints([e.cols for e in engines]),
        dataflow=ints([_OF_DATAFLOW[e.dataflow] for e in engines]), sram_bytes=ints([e.sram_bytes for e in engines]),
        dram_bytes_per_s=np.array([e.dram_bytes_per_s for e in engines], dtype=float),
        freq_hz=np.array([e.freq_hz for e in engines], dtype=float),
        precision=ints([_OF_PRECISION[e.precision] for e in engines]),
        sum_bytes=np.array([(e.accumulator_bits or accumulator_bits(e.precision)) / 8.0 for e in engines]),
        buffers=ints([2 if e.double_buffered_sram else 1 for e in engines]),
        vector_lanes=ints([e.vector_lanes for e in engines]), node=ints([_OF_NODE[e.node_nm] for e in engines]),
        rigid=np.array([rigid and e.stacks == 1 for e in engines]),
        packed=np.array([e.multi_precision == "packed" for e in engines]),
        skipping=np.array([e.zero_skipping != "none" for e in engines]),
        overlapped=np.array([e.fold_overlap != "none" for e in engines]),
        drained=np.array([e.output_drain for e in engines]),
        plain_depthwise=np.array([e.depthwise_modes == ("per_channel",) for e in engines]),
        weights_stay=np.array([e.weights_stay for e in engines]),
        copying=np.array([e.im2col != "on_the_fly" and e.dataflow != "rs" and e.zero_skipping == "none"
                          for e in engines]),
        stacks=ints([e.stacks for e in engines]))


def columns_of(engines: EngineColumns, rows: Ints) -> EngineColumns:
    """Some of the engines."""
    return EngineColumns(*(column[rows] for column in engines))  # type: ignore[arg-type]


def _packing(layer: Layer, native_bits: int) -> float:
    """Most MACs per PE and cycle: narrower operands may share a multiplier, wider ones take at least one pass [-]."""
    return max(1.0, native_bits / layer.weight_bits) * max(1.0, native_bits / layer.input_bits)


def _useful_frac(layer: Layer) -> float:
    """Share of the MACs that no zero skipping can avoid [-]."""
    return layer.weight_density * layer.activation_density


def _weight_bytes(layer: Layer) -> float:
    """Parameters that must reach the chip; zeros need not be stored [byte]."""
    weights = layer.weight_elements * layer.weight_density if layer.has_weights else 0.0
    return (weights + layer.extra_parameters) * layer.weight_bits / 8.0


def _inside_frac(out: int, kernel: int, stride: int, dilation: int, pad: int) -> float:
    """Share of the (output, tap) pairs of one axis that read a stored element, not padding [-]."""
    size = (out - 1) * stride + (kernel - 1) * dilation + 1 - pad
    fewest = out * kernel
    for before in {pad // 2, pad - pad // 2}:
        at = np.arange(out)[:, None] * stride + np.arange(kernel) * dilation - before
        fewest = min(fewest, int(((at >= 0) & (at < size)).sum()))
    return fewest / (out * kernel)


def _stored_macs(layer: Layer) -> float:
    """MACs whose input is no padding and that no zero skipping can avoid [-]."""
    inside = (_inside_frac(layer.oy, layer.fy, layer.stride_y, layer.dilation_y, layer.pad_y)
              * _inside_frac(layer.ox, layer.fx, layer.stride_x, layer.dilation_x, layer.pad_x))
    return layer.macs * inside * _useful_frac(layer)


def _array_j(layer: Layer, node_nm: int, precision: str, dataflow: str) -> float:
    """Least energy of the MACs of a layer, of the hops between PEs and of their scratchpads [J]."""
    if not layer.is_matrix:
        return 0.0
    accumulator = accumulator_bits(precision)
    operands = layer.input_bits + layer.weight_bits
    each = mac_energy_j(node_nm, precision, weight_bits=min(64, layer.weight_bits),
                        input_bits=min(64, layer.input_bits))
    if dataflow == "rs":
        each += (accumulator / 8.0 / layer.fx * hop_energy_j_per_byte(node_nm, precision)
                 + (operands + 2 * accumulator) / 8.0 * register_file_energy_j_per_byte(node_nm))
    else:
        hop_bits = layer.input_bits + (layer.weight_bits if dataflow == "os" else accumulator)
        each += hop_bits / 8.0 * hop_energy_j_per_byte(node_nm, precision)
    if is_depthwise(layer):
        each = min(each, vector_op_energy_j(node_nm))
    return layer.macs * _useful_frac(layer) * each


def is_depthwise(layer: Layer) -> bool:
    return layer.groups > 1 and layer.c == 1 and layer.has_weights


def _touched(out: int, stride: int, halo: int, pad: int) -> int:
    """Fewest rows (or columns) of the input that any tiling fetches [elements]."""
    return max(1, min((out - 1) * stride + halo, out * halo) - pad)


def _input_bytes(layer: Layer, *, at_edge: bool = False) -> float:
    """First operand, every element fetched from DRAM (or needed at the array's edge) once [byte]."""
    if not layer.is_matrix:
        return layer.in_elements * layer.input_bits / 8.0
    rows = _touched(layer.oy, layer.stride_y, (layer.fy - 1) * layer.dilation_y + 1, layer.pad_y)
    cols = _touched(layer.ox, layer.stride_x, (layer.fx - 1) * layer.dilation_x + 1, layer.pad_x)
    if at_edge:  # a dilated window skips elements that DRAM bursts do not
        rows, cols = min(rows, layer.oy * layer.fy), min(cols, layer.ox * layer.fx)
    return layer.repeat * layer.batch * layer.groups * layer.c * rows * cols * layer.input_bits / 8.0


def _copies_bytes(layer: Layer) -> float:
    """First operand, read anew for every window that it is in [byte]."""
    groups, m, _, k = layer.gemm
    return layer.repeat * groups * m * k * layer.input_bits / 8.0 if layer.is_matrix else _input_bytes(layer)


class _Activations(NamedTuple):
    """Bytes of one layer's activations that must cross the DRAM port; see `_Work`."""

    moved: float
    input: float
    input_room: float
    output: float
    output_room: float


def _activations(network: Network) -> list[_Activations]:
    """What consecutive layers can at best keep from each other's DRAM traffic."""
    readers: list[list[int]] = [[] for _ in network]
    for index in range(len(network)):
        for producer in network.producers(index):
            if producer >= 0:
                readers[producer].append(index)
    sizes = [layer.output_elements * layer.output_bits / 8.0 for layer in network]

    def room(index: int) -> float:
        """Buffer that the output of a layer needs to wait for the next one: infinite if it cannot, 0 if passed on."""
        if index < 0 or index + 1 not in readers[index]:
            return np.inf
        passed_on = network.layers[index + 1].op in ("activation", "elementwise") and readers[index] == [index + 1]
        return 0.0 if passed_on else sizes[index]

    found = []
    for index, layer in enumerate(network):
        needed = 0.0 if layer.op == "recurrent" else _input_bytes(layer)  # a recurrent state never leaves the chip
        rest = 0.0 if layer.is_matrix or not index else max(0.0, needed - sizes[index - 1])
        stored = len(readers[index]) > 1
        found.append(_Activations(
            rest + (sizes[index] if stored else 0.0), needed - rest, room(index - 1),
            0.0 if stored else sizes[index], room(index)))
    return found


@lru_cache(maxsize=256)
def _contents(network: Network) -> list[tuple[Layer, _Activations]]:
    """What the bounds of every layer depend on."""
    return [(replace(layer, name="", inputs=None, sharing_group="", exit_frac=0.0), kept)
            for layer, kept in zip(network.layers, _activations(network), strict=True)]


@lru_cache(maxsize=256)
def _distinct(network: Network, quantile: bool) -> list[tuple[Layer, _Activations, float]]:
    """Distinct layers of a network, and how often each occurs [-]."""
    reach = 1.0
    counts: dict[tuple[Layer, _Activations], float] = {}
    for layer, key in zip(network.layers, _contents(network), strict=True):
        counts[key] = counts.get(key, 0.0) + reach
        reach *= (0.0 if quantile and layer.exit_frac > 0.0 else 1.0 - layer.exit_frac)
    return [(*key, count) for key, count in counts.items() if count > 0.0]


@lru_cache(maxsize=256)
def layer_rows(network: Network) -> Ints:
    """Row of `layer_bounds(network, .., quantile=True)` of every layer up to the earliest exit."""
    number = {(layer, kept): row for row, (layer, kept, _) in enumerate(_distinct(network, True))}
    least = min((*network.exits, len(network) - 1)) + 1
    return np.array([number[key] for key in _contents(network)[:least]], dtype=np.int64)


def distinct_layers(network: Network) -> list[Layer]:
    """The rows of `layer_bounds(network, .., quantile=True)`."""
    return [layer for layer, _, _ in _distinct(network, True)]


@lru_cache(maxsize=256)
def waiting_bytes(network: Network) -> tuple[Floats, Floats]:
    """Of the distinct layers, by what waits on chip around each (nothing, the output, the input, both): least DRAM
    bytes, every operand fetched once, and the room that is taken, inf where it cannot wait, (R, 4) each [byte]."""
    moved, room = [], []
    for layer, kept, _ in _distinct(network, True):
        weights = _weight_bytes(layer) + kept.moved
        ways = [(i, o) for i in (False, True) for o in (False, True)]
        moved.append([weights + (0.0 if i else kept.input) + (0.0 if o else kept.output) for i, o in ways])
        room.append([(kept.input_room if i else 0.0) + (kept.output_room if o else 0.0) for i, o in ways])
    return np.array(moved), np.array(room)


def traffic_of(network: Network) -> TrafficCases:
    """What tilings of the distinct layers depend on."""
    return _traffic(network, True)


@lru_cache(maxsize=256)
def _work(network: Network, quantile: bool) -> _Work:
    pairs = _distinct(network, quantile)
    layers = [layer for layer, _, _ in pairs]
    kept_columns = np.array([kept for _, kept, _ in pairs], dtype=np.float64).T

    def column(of: Callable[[Layer], float]) -> Floats:
        return np.array([of(layer) for layer in layers], dtype=np.float64)

    width = column(lambda x: min(x.weight_bits, x.input_bits, x.output_bits) / 8.0)
    rho = column(lambda x: max(1.0, x.fy * x.fx / (x.stride_y * x.stride_x)))
    return _Work(
        times=np.array([count for _, _, count in pairs]), least_bytes=np.zeros((len(pairs), 0)),
        m=column(lambda x: x.gemm[1]), n=column(lambda x: x.gemm[2]), k=column(lambda x: x.gemm[3]),
        steps=column(lambda x: x.groups * x.repeat), macs=column(lambda x: x.macs),
        useful_macs=column(lambda x: x.macs * _useful_frac(x)),
        packing=np.array([[_packing(layer, PRECISION_BITS[p]) for p in _PRECISIONS] for layer in layers]),
        matrix=column(lambda x: x.is_matrix).astype(bool), depthwise=column(is_depthwise).astype(bool),
        vector_ops=column(lambda x: x.vector_ops), weight_bytes=column(_weight_bytes),
        moved_bytes=kept_columns[0].copy(), input_bytes=kept_columns[1].copy(), input_room=kept_columns[2].copy(),
        output_bytes=kept_columns[3].copy(), output_room=kept_columns[4].copy(),
        traffic_macs=2.0 * column(_stored_macs) * width**1.5 / np.sqrt(rho),
        edge_x_bytes=column(lambda x: _input_bytes(x, at_edge=True)),
        edge_copies_bytes=column(_copies_bytes),
        edge_w_bytes=column(lambda x: x.weight_elements * x.weight_bits / 8.0 * x.weight_density * x.repeat),
        edge_y=column(lambda x: x.output_elements * (1.0 if x.is_matrix else x.output_bits / 8.0)),
        array_j=np.array([[[[_array_j(x, node, p, f) for f in DATAFLOWS] for node in NODES_NM] for p in _PRECISIONS]
                          for x in layers]),
        vector_j=np.array([[x.vector_ops * vector_op_energy_j(node) for node in NODES_NM] for x in layers]))


@njit(cache=True)
def least_product_cycles(dataflow, rows, cols, least_rows, least_cols, overlapped, drained, m, n, k):  # type: ignore[no-untyped-def]
    """Untiled product: cycles as in `hwmodels.engines.systolic`, and how often X, W and Y cross the array's edge.

    Folds get fewer with the sides of the array (`rows`, `cols`), filling and draining gets longer (`least_rows`,
    `least_cols`).
    """
    hidden, x_times, w_times, y_times = least_rows, 1.0, 1.0, 1.0
    if dataflow == 0:
        down, across, stream = np.ceil(k / rows), np.ceil(n / cols), m
        x_times, y_times = across, 2.0 * down - 1.0
    elif dataflow == 1:
        down, across, stream = np.ceil(m / rows), np.ceil(n / cols), k
        x_times, w_times = across, down
        hidden = least_rows if drained else 0.0
    else:
        down, across, stream = np.ceil(k / rows), np.ceil(m / cols), n
        w_times, y_times = across, 2.0 * down - 1.0
    ends = least_rows + least_cols - 2.0
    if not overlapped:
        cycles = down * across * (stream + ends + hidden)
    elif stream > hidden:
        cycles = down * across * stream + hidden + ends
    else:
        cycles = down * across * hidden + stream + ends
    return cycles, x_times, w_times, y_times


@lru_cache(maxsize=256)
def _traffic(network: Network, quantile: bool) -> TrafficCases:
    pairs = _distinct(network, quantile)
    return traffic_cases([layer for layer, _, _ in pairs],
                         [Waiting(kept.input_room, kept.output_room, kept.moved > 0.0) for _, kept, _ in pairs])


@lru_cache(maxsize=4096)
def _tilings(network: Network, quantile: bool, sram_bytes: int, sum_bytes: float, buffers: int) -> Floats:
    """Least DRAM bytes of the distinct layers of a network under a capacity, (L,)."""
    return least_dram_bytes(_traffic(network, quantile), sram_bytes=sram_bytes, sum_bytes=sum_bytes, buffers=buffers)


def rounded_up(sram_bytes: Ints) -> Ints:
    """Capacities rounded up to 32 steps per factor of two, so that many share a search: more room moves no more."""
    step = np.maximum(1, 2 ** (np.floor(np.log2(sram_bytes)).astype(np.int64) - 5))
    return -(-sram_bytes // step) * step


def _with_tilings(network: Network, quantile: bool, engines: EngineColumns) -> tuple[_Work, Ints]:
    """The work with the column `least_bytes`, and which entry of it every engine takes, -1 = none, (E,)."""
    plain = np.flatnonzero(~engines.skipping & ~engines.weights_stay)
    which = np.full(len(engines.rows), -1, dtype=np.int64)
    room = rounded_up(engines.sram_bytes[plain])
    capacities = np.stack([room, engines.buffers[plain], 8.0 * engines.sum_bytes[plain]], axis=1)
    distinct, which[plain] = np.unique(capacities, axis=0, return_inverse=True)
    columns = [_tilings(network, quantile, int(sram), bits / 8.0, int(buffers)) for sram, buffers, bits in distinct]
    work = _work(network, quantile)
    least = np.stack(columns, axis=1) if columns else work.least_bytes
    return work._replace(least_bytes=least), which


@njit(cache=True)
def _network_bounds(first, e, smallest, which, w, sram_j, dram_j, out, layers):  # type: ignore[no-untyped-def]
    """One design after the other, every layer on each of its engines; the laws are in the module's docstring.

    Parameters
    ----------
    e, smallest : the largest and the smallest engine of every range; the same where engines are known.
    layers : (4, L, D) latency, DRAM bytes, energy and compute time of one execution of every layer, or (4, 0, 0): not
        wanted.
    """
    for d in range(len(first) - 1):
        total = compute_total = transfer_total = bytes_total = joules_total = 0.0
        for layer in range(len(w.times)):
            least = least_compute = least_transfer = least_bytes = least_j = np.inf
            for i in range(first[d], first[d + 1]):
                p, sram = e.precision[i], float(e.sram_bytes[i])
                rows, cols, cycles = float(e.rows[i]), float(e.cols[i]), 0.0
                edge_x = w.edge_copies_bytes[layer] if e.copying[i] else w.edge_x_bytes[layer]
                edge = edge_x + w.edge_w_bytes[layer] + w.edge_y[layer]
                if w.matrix[layer]:
                    places, anywhere = rows * cols, w.depthwise[layer] and not e.plain_depthwise[i]
                    edge_y = w.edge_y[layer] * e.sum_bytes[i]
                    edge = edge_x + w.edge_w_bytes[layer] + edge_y
                    if anywhere and e.vector_lanes[i] > places:
                        places = float(e.vector_lanes[i])
                    if e.packed[i]:
                        cycles = w.useful_macs[layer] / (places * w.packing[layer, p])
                    elif e.skipping[i]:
                        cycles = w.useful_macs[layer] / places
                    elif anywhere or not e.rigid[i] or e.dataflow[i] == 3:
                        cycles = w.macs[layer] / places
                    else:
                        cycles, x_times, w_times, y_times = least_product_cycles(
                            e.dataflow[i], rows, cols, float(smallest.rows[i]), float(smallest.cols[i]),
                            e.overlapped[i], e.drained[i], w.m[layer], w.n[layer], w.k[layer])
                        cycles *= w.steps[layer]
                        edge = edge_x * x_times + w.edge_w_bytes[layer] * w_times + edge_y * y_times
                vector = w.vector_ops[layer] / e.vector_lanes[i]
                if vector > cycles:
                    cycles = vector
                moved = w.moved_bytes[layer]
                if not e.weights_stay[i]:
                    moved += w.weight_bytes[layer]
                if sram <= w.input_room[layer]:
                    moved += w.input_bytes[layer]
                if sram <= w.output_room[layer]:
                    moved += w.output_bytes[layer]
                reuse = w.traffic_macs[layer] / np.sqrt(sram) - 2.0 * sram
                if reuse > moved:
                    moved = reuse
                if which[i] >= 0 and (e.plain_depthwise[i] or not w.depthwise[layer]):
                    moved = max(moved, w.least_bytes[layer, which[i]])
                joules = (w.array_j[layer, p, e.node[i], e.dataflow[i]] + w.vector_j[layer, e.node[i]]
                          + (edge + moved) * sram_j[i] + moved * dram_j)
                compute, transfer = cycles / e.freq_hz[i], moved / e.dram_bytes_per_s[i]
                slower = compute if compute > transfer else transfer
                if slower < least:
                    least = slower
                if compute < least_compute:
                    least_compute = compute
                if transfer < least_transfer:
                    least_transfer = transfer
                if moved < least_bytes:
                    least_bytes = moved
                if joules < least_j:
                    least_j = joules
            if layers.size > 0:
                layers[0, layer, d], layers[1, layer, d], layers[2, layer, d] = least, least_bytes, least_j
                layers[3, layer, d] = least_compute
            total += w.times[layer] * least
            compute_total += w.times[layer] * least_compute
            transfer_total += w.times[layer] * least_transfer
            bytes_total += w.times[layer] * least_bytes
            joules_total += w.times[layer] * least_j
        out.latency_s[d] = total
        out.overlapped_latency_s[d] = compute_total if compute_total > transfer_total else transfer_total
        out.dram_bytes[d] = bytes_total
        out.energy_j[d] = joules_total


def network_bounds(network: Network, engines: EngineColumns, *, first: Ints | None = None,
                   quantile: bool = False) -> Bounds:
    """Bounds of one inference on every design.

    Parameters
    ----------
    engines : columns of shape (E,); `dram_bytes_per_s` is what the engine can draw.
    first : (D + 1,) design d may use the engines first[d] .. first[d + 1] - 1, each layer on any of them; None = one
        engine per design.
    quantile : bound the latency of every request that takes the earliest exit, not their mean.

    Returns
    -------
    columns of shape (D,).
    """
    if first is None:
        first = np.arange(len(engines.rows) + 1, dtype=np.int64)
    work, which = _with_tilings(network, quantile, engines)
    sram_j = per_buffer(engines, sram_energy_j_per_byte)
    bounds = Bounds(*(np.empty(len(first) - 1) for _ in Bounds._fields))
    _network_bounds(first, engines, engines, which, work, sram_j, dram_energy_j_per_byte(), bounds, np.empty((4, 0, 0)))
    return Bounds(*(column * (1.0 - _ROUNDING) for column in bounds))


def layer_bounds(network: Network, engines: EngineColumns, *, quantile: bool = False,
                 smallest: EngineColumns | None = None) -> LayerBounds:
    """Bounds of one execution of every distinct layer on every engine; parameters as in `network_bounds`.

    Parameters
    ----------
    smallest : bounds of all engines between these and `engines`, which are no smaller in any size or rate and the same
        in all else; None = `engines`.
    """
    smallest = smallest or engines
    work, which = _with_tilings(network, quantile, engines)
    sram_j = per_buffer(smallest, sram_energy_j_per_byte)
    each, found = np.arange(len(engines.rows) + 1, dtype=np.int64), np.empty((4, len(work.times), len(engines.rows)))
    sums = Bounds(*(np.empty(len(engines.rows)) for _ in Bounds._fields))
    _network_bounds(each, engines, smallest, which, work, sram_j, dram_energy_j_per_byte(), sums, found)
    return LayerBounds(work.times, *(found * (1.0 - _ROUNDING)))


def per_buffer(engines: EngineColumns, of: Callable[[int, int], float]) -> Floats:
    """A function of node [nm] and capacity [byte], evaluated once per distinct pair, (E,)."""
    distinct, inverse = np.unique(engines.sram_bytes * len(NODES_NM) + engines.node, return_inverse=True)
    values = [of(NODES_NM[code % len(NODES_NM)], code // len(NODES_NM)) for code in distinct.tolist()]
    return np.array(values, dtype=np.float64)[inverse]


def _part_areas_mm2(engines: EngineColumns) -> tuple[Floats, Floats]:
    """Logic and SRAM area of every engine, exactly as `hwmodels.area` has them, from its values at distinct sizes."""
    def kinds_of(codes: Ints) -> tuple[Ints, Ints]:
        present = np.flatnonzero(np.bincount(codes))
        return present, np.searchsorted(present, codes)

    def engine(node: int, precision: int, dataflow: int, rows: int = 1, stacks: int = 1) -> Engine:
        return Engine(rows=rows, cols=1, sram_bytes=1, vector_lanes=1, dataflow=DATAFLOWS[dataflow], stacks=stacks,
                      dram_bytes_per_s=1.0, freq_hz=1.0, precision=_PRECISIONS[precision], node_nm=NODES_NM[node])

    shape = (len(NODES_NM), len(_PRECISIONS), len(DATAFLOWS))
    present, kind = kinds_of(np.ravel_multi_index((engines.node, engines.precision, engines.dataflow), shape))
    kinds = np.stack(np.unravel_index(present, shape), axis=1)
    one = [engine_area_mm2(engine(*row)) for row in kinds.tolist()]
    pe, lane = (np.array([parts[name] for parts in one])[kind] for name in ("pes", "vector"))
    # the skew triangles: one row and one column at sizes 1 and 2 separate the two sides
    side = np.array([engine_area_mm2(engine(row[0], row[1], row[2], rows=2))["noc"] for row in kinds.tolist()])
    both = np.array([parts["noc"] for parts in one])
    per_row = ((side - both) / 2.0)[kind]
    per_col = both[kind] - per_row
    # a second stack of one and of two rows separates the links of rows and columns
    wide, slim = (np.array([engine_area_mm2(engine(row[0], row[1], row[2], rows=rows, stacks=2))["stacks"]
                            for row in kinds.tolist()]) for rows in (2, 1))
    link_row = (wide - slim)[kind]
    link_col = slim[kind] - link_row
    rows, cols = engines.rows, engines.cols
    links = (engines.stacks - 1) * (rows * link_row + cols * link_col)
    noc = rows * (rows + 1) // 2 * per_row + cols * (cols + 1) // 2 * per_col
    return rows * cols * pe + engines.vector_lanes * lane + noc + links, per_buffer(engines, sram_area_mm2)


def areas_mm2(engines: EngineColumns) -> Floats:
    """Area of every engine: the sum of the parts of `hwmodels.area.engine_area_mm2`, (E,) [mm2]."""
    logic, sram = _part_areas_mm2(engines)
    return logic + sram
