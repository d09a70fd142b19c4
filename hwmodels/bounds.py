"""Admissible lower bounds of latency, DRAM traffic, energy and area, for a million designs per second and core.

Model
-----
For every layer, whatever the mapping, tiling, order, overlap or reuse between layers:

    compute cycles >= useful MACs / (PEs x packing)                      every dataflow
    compute cycles >= ceil(Sr/R) ceil(Sc/C) T                          ws, os, is; no packing, skipping or groups
    vector cycles  >= operations / lanes
    DRAM bytes     >= weights                                            activations may stay on chip
    DRAM bytes     >= b (2 MACs / sqrt(rho S / b) - 2 S / b)             S bytes of buffer, b the narrowest operand [byte]
    latency        >= max(cycles / clock, bytes / bandwidth)
    energy         >= MACs x MAC energy + bytes x DRAM energy

A network's latency is the sum over its layers, each on the engine of the design that bounds it lowest. Area is exact.
The ceilings hold for tiled layers too, since sums of ceilings of parts are never below the ceiling of the sum. Layers
after an early exit count with the probability of reaching them (a bound of the mean) or not at all (of a quantile).

Limits
------
Fill and drain, halos, spilled partial sums, on-chip traffic and contention are left out: the bound is lower, never
wrong.

References
----------
J.-W. Hong, H. Kung, STOC 1981, doi:10.1145/800076.802486 (order of the traffic bound).
T. Smith, B. Lowery, J. Langou, R. van de Geijn, arXiv:1702.02017 (constant 2 M N K / sqrt(S) - 2 S).
X. Chen, Y. Han, Y. Wang, HPCA 2020, arXiv:1911.05662 (rho = FY FX / stride^2 for convolutions).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.area import engine_area_mm2
from hwmodels.engine import DATAFLOWS, NODES_NM, PRECISION_BITS, Engine
from hwmodels.network import Layer, Network
from hwmodels.technology import dram_energy_j_per_byte, mac_energy_j, sram_area_mm2

__all__ = ["Bounds", "EngineColumns", "areas_mm2", "engine_columns", "network_bounds"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PRECISIONS = tuple(PRECISION_BITS)
_OF_NODE = {node: index for index, node in enumerate(NODES_NM)}
_OF_PRECISION = {name: index for index, name in enumerate(_PRECISIONS)}
_OF_DATAFLOW = {name: index for index, name in enumerate(DATAFLOWS)}
_WS, _OS, _IS = (_OF_DATAFLOW[name] for name in ("ws", "os", "is"))


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
    vector_lanes: Ints
    node: Ints
    """Index into `NODES_NM`."""
    rigid: NDArray[np.bool_]
    """False for an array that may take other shapes at run time (fission): only its number of PEs counts."""


class Bounds(NamedTuple):
    """Lower bounds of one inference of a network, columns of shape (D,)."""

    latency_s: Floats
    """Sum over layers of max(compute, traffic)."""
    overlapped_latency_s: Floats
    """max(sum of compute, sum of traffic): holds even if layers overlap each other."""
    dram_bytes: Floats
    energy_j: Floats
    """Dynamic: MACs and DRAM."""


class _Work(NamedTuple):
    """A network as columns over its distinct layers, (L,), and over layers x precisions (x nodes)."""

    times: Floats
    m: Floats
    n: Floats
    k: Floats
    steps: Floats
    useful_macs: Floats
    packing: Floats
    """(L, P) most MACs that a PE may do per cycle."""
    rigid: NDArray[np.bool_]
    """(L, P) the ceilings hold."""
    vector_ops: Floats
    weight_bytes: Floats
    width_bytes: Floats
    """Narrowest operand."""
    traffic_macs: Floats
    """2 MACs / sqrt(rho), with the width's power 3/2, so that bytes = this / sqrt(S) - 2 S."""
    mac_j: Floats
    """(L, P, N) energy of all MACs."""


def engine_columns(engines: Sequence[Engine], *, rigid: bool = True) -> EngineColumns:
    """Columns of engine records."""
    def ints(values: list[int]) -> Ints:
        return np.array(values, dtype=np.int64)

    return EngineColumns(
        rows=ints([e.rows for e in engines]), cols=ints([e.cols for e in engines]),
        dataflow=ints([_OF_DATAFLOW[e.dataflow] for e in engines]), sram_bytes=ints([e.sram_bytes for e in engines]),
        dram_bytes_per_s=np.array([e.dram_bytes_per_s for e in engines], dtype=float),
        freq_hz=np.array([e.freq_hz for e in engines], dtype=float),
        precision=ints([_OF_PRECISION[e.precision] for e in engines]),
        vector_lanes=ints([e.vector_lanes for e in engines]), node=ints([_OF_NODE[e.node_nm] for e in engines]),
        rigid=np.full(len(engines), rigid))


def _packing(layer: Layer, native_bits: int) -> float:
    """Most MACs per PE and cycle: narrower operands may share a multiplier, wider ones take at least one pass [-]."""
    return max(1.0, native_bits / layer.weight_bits) * max(1.0, native_bits / layer.input_bits)


def _useful_frac(layer: Layer) -> float:
    """Share of the MACs that no zero skipping can avoid [-]."""
    return layer.weight_density * layer.activation_density


def _weight_bytes(layer: Layer) -> float:
    """Bytes of weights that must reach the chip; no zero may be stored [byte]."""
    if not layer.has_weights:
        return 0.0
    return layer.weight_elements * layer.weight_bits / 8.0 * layer.weight_density


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


def _least_mac_j(layer: Layer, node_nm: int, precision: str) -> float:
    """Energy of one MAC of this layer in a PE of this format [J]."""
    return mac_energy_j(node_nm, precision)


@lru_cache(maxsize=256)
def _work(network: Network, weights_resident: bool, quantile: bool) -> _Work:
    reach = 1.0
    counts: dict[Layer, float] = {}
    for layer in network.layers:
        counts[layer] = counts.get(layer, 0.0) + reach
        reach *= (0.0 if quantile and layer.exit_frac > 0.0 else 1.0 - layer.exit_frac)
    merged: dict[tuple[object, ...], tuple[Layer, float]] = {}
    for layer, count in counts.items():
        key = (layer.gemm if layer.is_matrix else 0, layer.repeat, layer.fy, layer.fx, layer.stride_y, layer.stride_x,
               layer.op, layer.weight_bits, layer.input_bits, layer.output_bits, layer.vector_ops,
               layer.weight_density, layer.activation_density)
        merged[key] = (layer, merged.get(key, (layer, 0.0))[1] + count)
    pairs = [(layer, count) for layer, count in merged.values() if count > 0.0]
    layers = [layer for layer, _ in pairs]

    def column(of: Callable[[Layer], float]) -> Floats:
        return np.array([of(layer) for layer in layers], dtype=np.float64)

    packing = np.array([[_packing(layer, PRECISION_BITS[p]) for p in _PRECISIONS] for layer in layers])
    plain = column(lambda x: x.is_matrix and x.groups == 1 and _useful_frac(x) == 1.0).astype(bool)
    width = column(lambda x: min(x.weight_bits, x.input_bits, x.output_bits) / 8.0)
    rho = column(lambda x: max(1.0, x.fy * x.fx / (x.stride_y * x.stride_x)))
    useful = column(lambda x: x.macs * _useful_frac(x))
    mac_j = np.array([[[layer.macs * _useful_frac(layer) * _least_mac_j(layer, node, precision) for node in NODES_NM]
                       for precision in _PRECISIONS] for layer in layers])
    return _Work(
        times=np.array([count for _, count in pairs]),
        m=column(lambda x: x.gemm[1]), n=column(lambda x: x.gemm[2]), k=column(lambda x: x.gemm[3]),
        steps=column(lambda x: x.repeat), useful_macs=useful, packing=packing,
        rigid=plain[:, None] & (packing == 1.0), vector_ops=column(lambda x: x.vector_ops),
        weight_bytes=np.zeros(len(layers)) if weights_resident else column(_weight_bytes), width_bytes=width,
        traffic_macs=2.0 * column(_stored_macs) * width**1.5 / np.sqrt(rho),
        mac_j=mac_j.reshape(len(layers), len(_PRECISIONS), len(NODES_NM)))


@njit(cache=True)
def _network_bounds(first, rows, cols, dataflow, sram, bandwidth, freq,  # type: ignore[no-untyped-def]
                    precision, lanes, node, can_fold, times, m, n, k, steps, useful, packing, plain, vector_ops,
                    weight_bytes, width, traffic_macs, mac_j, dram_j, latency, overlapped, dram, energy):
    """One design after the other; see the module's docstring for the laws."""
    for d in range(len(first) - 1):
        total = compute_total = transfer_total = bytes_total = joules = 0.0
        for layer in range(len(times)):
            best = best_compute = best_transfer = best_bytes = best_j = np.inf
            for e in range(first[d], first[d + 1]):
                p = precision[e]
                pes = float(rows[e] * cols[e])
                cycles = useful[layer] / (pes * packing[layer, p])
                if can_fold[e] and plain[layer, p] and dataflow[e] < 3:
                    if dataflow[e] == 0:
                        folds = np.ceil(k[layer] / rows[e]) * np.ceil(n[layer] / cols[e]) * m[layer]
                    elif dataflow[e] == 1:
                        folds = np.ceil(m[layer] / rows[e]) * np.ceil(n[layer] / cols[e]) * k[layer]
                    else:
                        folds = np.ceil(k[layer] / rows[e]) * np.ceil(m[layer] / cols[e]) * n[layer]
                    folds *= steps[layer]
                    if folds > cycles:
                        cycles = folds
                vector = vector_ops[layer] / lanes[e]
                if vector > cycles:
                    cycles = vector
                moved = traffic_macs[layer] / np.sqrt(float(sram[e])) - 2.0 * sram[e]
                if weight_bytes[layer] > moved:
                    moved = weight_bytes[layer]
                compute = cycles / freq[e]
                transfer = moved / bandwidth[e]
                slower = compute if compute > transfer else transfer
                if slower < best:
                    best = slower
                if compute < best_compute:
                    best_compute = compute
                if transfer < best_transfer:
                    best_transfer = transfer
                if moved < best_bytes:
                    best_bytes = moved
                if mac_j[layer, p, node[e]] < best_j:
                    best_j = mac_j[layer, p, node[e]]
            total += times[layer] * best
            compute_total += times[layer] * best_compute
            transfer_total += times[layer] * best_transfer
            bytes_total += times[layer] * best_bytes
            joules += times[layer] * best_j
        latency[d] = total
        overlapped[d] = compute_total if compute_total > transfer_total else transfer_total
        dram[d] = bytes_total
        energy[d] = joules + bytes_total * dram_j


def network_bounds(network: Network, engines: EngineColumns, *, first: Ints | None = None,
                   weights_resident: bool = False, quantile: bool = False) -> Bounds:
    """Bounds of one inference on every design.

    Parameters
    ----------
    engines : columns of shape (E,); `dram_bytes_per_s` is what the engine can draw.
    first : (D + 1,) design d may use the engines first[d] .. first[d + 1] - 1, each layer on any of them; None = one
        engine per design.
    weights_resident : the weights may still be on chip from the inference before.
    quantile : bound the latency of every request that takes the earliest exit, not their mean.

    Returns
    -------
    columns of shape (D,).
    """
    if first is None:
        first = np.arange(len(engines.rows) + 1, dtype=np.int64)
    work = _work(network, weights_resident, quantile)
    columns = tuple(np.empty(len(first) - 1) for _ in Bounds._fields)
    e = engines
    _network_bounds(first, e.rows, e.cols, e.dataflow, e.sram_bytes, e.dram_bytes_per_s, e.freq_hz, e.precision,
                    e.vector_lanes, e.node, e.rigid, *work, dram_energy_j_per_byte(), *columns)
    return Bounds(*columns)


def _part_areas_mm2(engines: EngineColumns) -> tuple[Floats, Floats]:
    """Logic and SRAM area of every engine, exactly as `hwmodels.area` has them, from its values at distinct sizes."""
    def kinds_of(codes: Ints) -> tuple[Ints, Ints]:
        present = np.flatnonzero(np.bincount(codes))
        return present, np.searchsorted(present, codes)

    def engine(node: int, precision: int, dataflow: int, rows: int = 1) -> Engine:
        return Engine(rows=rows, cols=1, sram_bytes=1, vector_lanes=1, dataflow=DATAFLOWS[dataflow],
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
    rows, cols = engines.rows, engines.cols
    noc = rows * (rows + 1) // 2 * per_row + cols * (cols + 1) // 2 * per_col
    buffers, buffer = np.unique(engines.sram_bytes * len(NODES_NM) + engines.node, return_inverse=True)
    sram = np.array([sram_area_mm2(NODES_NM[code % len(NODES_NM)], code // len(NODES_NM)) for code in buffers.tolist()])
    return rows * cols * pe + engines.vector_lanes * lane + noc, sram[buffer]


def areas_mm2(engines: EngineColumns) -> Floats:
    """Area of every engine: the sum of the parts of `hwmodels.area.engine_area_mm2`, (E,) [mm2]."""
    logic, sram = _part_areas_mm2(engines)
    return logic + sram
