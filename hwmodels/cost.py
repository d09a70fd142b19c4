"""What every layer of a network costs on an engine.

Model
-----
A matrix layer takes the best of the forms in which the engine can run it (`hwmodels.engines`), each with the best
mapping (`hwmodels.mapping`); its epilogue runs on the vector unit beside the array. Other layers stream through the
vector unit.

    latency   max(mapping, vector cycles, DRAM bytes / bandwidth)   [cycles] / freq_hz
    energy    MACs e_mac + hops + scratchpads + vector operations + buffer bytes e_sram + DRAM bytes e_dram

Between layers: the output of a layer may stay on chip for the next one. Then its bytes are reserved in the buffer
during both layers, the next one does not fetch it, and it is not written unless a later layer needs it too. An
element-wise layer that is the only reader of the layer before takes its input tile by tile (fusion), with no room
reserved. Which outputs stay is decided for the whole network by dynamic programming over the objective. Recurrent steps
keep the weights on chip if that is better; their state never leaves.

Leakage is not in `energy_j`: it depends on how long the chip is on, not on the layer.

Limits
------
Only consecutive layers share data on chip. Parameters outside the loop nest (biases, gains) are fetched once per layer.
A vector layer's first and last elements are not charged apart.
"""

from dataclasses import fields
from functools import lru_cache
from math import ceil
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.engine import Engine
from hwmodels.engines.precision import unsupported
from hwmodels.errors import ModelError
from hwmodels.layer_options import (
    COMPUTE,
    DRAM,
    LIMITS,
    NOC,
    SRAM,
    VECTOR,
    Case,
    LayerMapping,
    Options,
    least_bytes,
    options,
)
from hwmodels.mapping import OBJECTIVES
from hwmodels.network import Layer, Network
from hwmodels.tiles import LayerTiles

__all__ = ["COMPUTE", "DRAM", "LIMITS", "NOC", "SRAM", "VECTOR", "LayerCosts", "LayerMapping", "layer_costs"]

_FUSED_OPS = ("activation", "elementwise")
_FOREVER = 1e300

_Key = tuple[int, int, int]
"""Layer, whether its input waits on chip, whether its output does."""


class LayerCosts(NamedTuple):
    """Costs of the L layers of a network: columns of shape (L,). Zero in every column for a layer that cannot run."""

    compute_cycles: NDArray[np.int64]
    """Closed form of the layer as one tile, operands at hand; a vector layer: its operations / lanes."""
    cycles: NDArray[np.float64]
    """Latency, DRAM and everything else included."""
    latency_s: NDArray[np.float64]
    prefetched_s: NDArray[np.float64]
    """Latency if the weights were on chip when the layer starts; see `_prefetched_cycles`."""
    dram_read_bytes: NDArray[np.float64]
    dram_write_bytes: NDArray[np.float64]
    weight_bytes: NDArray[np.float64]
    """Part of `dram_read_bytes` that is parameters."""
    sram_bytes: NDArray[np.float64]
    """Moved in and out of the buffer, at the array's edge and at its DRAM port."""
    energy_j: NDArray[np.float64]
    """Dynamic; the sum of the next five."""
    mac_energy_j: NDArray[np.float64]
    noc_energy_j: NDArray[np.float64]
    """Hops between PEs, and scratchpads inside them."""
    sram_energy_j: NDArray[np.float64]
    dram_energy_j: NDArray[np.float64]
    vector_energy_j: NDArray[np.float64]
    live_bytes: NDArray[np.float64]
    """Activations that stay on chip when the layer has ended: what a preemption there must save."""
    utilisation_frac: NDArray[np.float64]
    """Multiply-accumulates / (PEs x cycles) of matrix layers, operations / (lanes x cycles) of vector layers."""
    limited_by: NDArray[np.int64]
    """Index into `LIMITS`: the resource that is busy longest."""
    tiles: NDArray[np.int64]
    """Steps of the mapping; this and the next three as in `hwmodels.tables.Tiles`."""
    piece_tiles: NDArray[np.int64]
    accumulator_bytes: NDArray[np.float64]
    reload_bytes: NDArray[np.float64]
    mappings: tuple[LayerMapping, ...]
    unsupported: tuple[str, ...]
    """Why layers cannot run, one sentence each; empty if all can."""


class _Edge(NamedTuple):
    """The output of a layer, seen from the next one."""

    can_stay: bool
    stored: bool
    out_bytes: float
    reserved_bytes: float
    """Room it takes while it stays: nothing if it is passed on tile by tile."""


@lru_cache(maxsize=256)
def _edges(network: Network, sram_bytes: int, inter_layer_reuse: bool) -> list[_Edge]:
    """For every layer, whether its output can wait on chip for the next layer."""
    readers: list[list[int]] = [[] for _ in network]
    for index in range(len(network)):
        for producer in network.producers(index):
            if producer >= 0:
                readers[producer].append(index)
    edges = []
    for index, layer in enumerate(network):
        size = layer.output_elements * layer.output_bits / 8.0
        following = index + 1
        if not inter_layer_reuse or following not in readers[index]:
            edges.append(_Edge(False, True, size, size))
            continue
        reader = network.layers[following]
        alone = network.producers(following) == (index,)
        if reader.is_matrix:
            matches = reader.input_elements <= layer.output_elements and (
                alone if reader.op != "attention" else reader.input_elements == layer.output_elements)
        else:
            matches = reader.in_elements >= layer.output_elements or alone
        fused = reader.op in _FUSED_OPS and readers[index] == [following]
        can = matches and (fused or size < sram_bytes)
        edges.append(_Edge(can, len(readers[index]) > 1, size, 0.0 if fused else size))
    return edges


_CONTENT = attrgetter(*(field.name for field in fields(Layer) if field.name not in (
    "name", "inputs", "sharing_group", "exit_frac")))


@lru_cache(maxsize=256)
def _distinct(network: Network) -> list[Layer]:
    """For every layer the first one of equal content."""
    first: dict[tuple[object, ...], Layer] = {}
    return [first.setdefault(_CONTENT(layer), layer) for layer in network]


@lru_cache(maxsize=256)
def _cases(network: Network, sram_bytes: int, inter_layer_reuse: bool,
           weights_bytes: float) -> tuple[dict[_Key, int], list[Case]]:
    """The cases that fit the buffer: the number of each, and the different ones, for layers of equal content only once.
    """
    edges = _edges(network, sram_bytes, inter_layer_reuse)
    numbers: dict[_Key, int] = {}
    known: dict[tuple[object, ...], int] = {}
    cases: list[Case] = []
    nothing = _Edge(False, True, 0.0, 0.0)
    for index, layer in enumerate(_distinct(network)):
        before, after = edges[index - 1] if index else nothing, edges[index]
        for incoming in ((0, 1) if before.can_stay else (0,)):
            for outgoing in ((0, 1) if after.can_stay else (0,)):
                reserved = (weights_bytes + (before.reserved_bytes if incoming else 0.0)
                            + (after.reserved_bytes if outgoing else 0.0))
                if reserved >= sram_bytes:
                    continue
                resident = before.out_bytes if incoming else 0.0
                content = (id(layer), incoming, outgoing, after.stored, reserved, resident)
                number = numbers[index, incoming, outgoing] = known.setdefault(content, len(cases))
                if number == len(cases):
                    cases.append(Case(layer, bool(incoming), bool(outgoing), after.stored, reserved, resident,
                                      weights_bytes > 0.0))
    return numbers, cases


def _best(made: Options, n_cases: int, scores: tuple[NDArray[np.float64], NDArray[np.float64]]) -> list[int]:
    """The best option of every case, the first of equals; -1 if it has none."""
    order = np.lexsort((scores[1], scores[0], made.case))  # stable: the first of equals stays first
    cases, first = np.unique(made.case[order], return_index=True)
    best = np.full(n_cases, -1, dtype=np.int64)
    best[cases] = order[first]
    found: list[int] = best.tolist()
    return found


def _choose(count: int, options_of: dict[_Key, int],
            scores: tuple[list[float], list[float]]) -> tuple[tuple[float, float], list[_Key]] | None:
    """Score and outputs that stay, by dynamic programming; None if some layer cannot run."""
    totals: dict[int, tuple[float, float]] = {0: (0.0, 0.0)}
    came_from: list[dict[int, int]] = []
    for index in range(count):
        following: dict[int, tuple[float, float]] = {}
        came: dict[int, int] = {}
        for incoming, score in totals.items():
            for outgoing in (0, 1):
                option = options_of.get((index, incoming, outgoing))
                if option is None:
                    continue
                total = (score[0] + scores[0][option], score[1] + scores[1][option])
                if outgoing not in following or total < following[outgoing]:
                    following[outgoing], came[outgoing] = total, incoming
        totals = following
        came_from.append(came)
    if 0 not in totals:
        return None
    path, outgoing = [], 0
    for index in range(count - 1, -1, -1):
        path.append((index, came_from[index][outgoing], outgoing))
        outgoing = came_from[index][outgoing]
    return totals[0], path[::-1]


def _sentences(network: Network, engine: Engine, options_of: dict[_Key, int]) -> tuple[str, ...]:
    return tuple(unsupported(layer, engine)
                 or f"sram_bytes: must be >= {ceil(least_bytes(layer, engine))}, the smallest tile of layer "
                    f"{layer.name}, got {engine.sram_bytes}"
                 for index, layer in enumerate(network) if (index, 0, 0) not in options_of)


def _table(made: Options, chosen: list[int], live: list[float], engine: Engine,
           sentences: tuple[str, ...]) -> LayerCosts:
    """The chosen options as a record; -1 gives a layer that cannot run."""
    at = np.array(chosen)
    runs = at >= 0

    def column(values: NDArray[Any]) -> NDArray[Any]:
        rows = np.zeros((len(at), *values.shape[1:]), dtype=values.dtype)
        rows[runs] = values[at[runs]]
        return rows

    details = {option: made.detail(option) for option in set(chosen) if option >= 0}
    details[-1] = LayerTiles(1, 1, 0.0, 0.0), LayerMapping("", (), False, False, False)
    tiles = [details[option][0] for option in chosen]
    energies, cycles = column(made.energies_j), column(made.cycles)
    mac, noc, sram, dram, vector = (np.ascontiguousarray(part) for part in energies.T)
    table = LayerCosts(
        compute_cycles=column(made.compute_cycles).astype(np.int64),
        cycles=cycles,
        latency_s=cycles / engine.freq_hz,
        prefetched_s=column(made.prefetched_cycles) / engine.freq_hz,
        dram_read_bytes=column(made.dram_read_bytes),
        dram_write_bytes=column(made.dram_write_bytes),
        weight_bytes=column(made.weight_bytes),
        sram_bytes=column(made.sram_bytes),
        energy_j=energies.sum(axis=1),
        mac_energy_j=mac,
        noc_energy_j=noc,
        sram_energy_j=sram,
        dram_energy_j=dram,
        vector_energy_j=vector,
        live_bytes=np.array(live, dtype=np.float64),
        utilisation_frac=column(made.utilisation_frac),
        limited_by=column(made.limited_by),
        tiles=np.array([one.tiles for one in tiles], dtype=np.int64),
        piece_tiles=np.array([one.piece for one in tiles], dtype=np.int64),
        accumulator_bytes=np.array([one.accumulator_bytes for one in tiles], dtype=np.float64),
        reload_bytes=np.array([one.reload_bytes for one in tiles], dtype=np.float64),
        mappings=tuple(details[option][1] for option in chosen),
        unsupported=sentences,
    )
    for values in table[:-2]:
        values.setflags(write=False)
    return table


def _costs(network: Network, engine: Engine, objective: str,
           weights_bytes: float) -> tuple[tuple[float, ...], LayerCosts]:
    edges = _edges(network, engine.sram_bytes, engine.inter_layer_reuse)
    numbers, cases = _cases(network, engine.sram_bytes, engine.inter_layer_reuse, weights_bytes)
    made = options(cases, engine, objective)
    scores = made.score(objective)
    best = _best(made, len(cases), scores)
    options_of = {key: best[number] for key, number in numbers.items() if best[number] >= 0}
    found = _choose(len(network), options_of, (scores[0].tolist(), scores[1].tolist()))
    if found is None:
        chosen = [options_of.get((index, 0, 0), -1) for index in range(len(network))]
        return (_FOREVER,), _table(made, chosen, [0.0] * len(network), engine,
                                   _sentences(network, engine, options_of))
    score, path = found
    live = [edges[key[0]].out_bytes if key[2] else 0.0 for key in path]
    return score, _table(made, [options_of[key] for key in path], live, engine, ())


@lru_cache(maxsize=4096)
def _cached(network: Network, engine: Engine, objective: str) -> LayerCosts:
    score, costs = _costs(network, engine, objective, 0.0)
    if engine.weights_stay:
        weights = sum(layer.parameters * layer.weight_bits / 8.0 for layer in network)
        if 0.0 < weights < engine.sram_bytes:
            kept_score, kept = _costs(network, engine, objective, weights)
            if kept_score < score:
                return kept
    return costs


def layer_costs(network: Network, engine: Engine, *, objective: str = "latency") -> LayerCosts:
    """Costs of every layer of `network` on `engine`; the same arguments give the same record from a cache.

    Parameters
    ----------
    objective : what the mappings minimise: latency (then energy), energy, dram_bytes or edp.

    Returns
    -------
    LayerCosts : columns of shape (L,), read-only. If `unsupported` is not empty the network cannot run; the sentences
        say why, and the rows of those layers are zero.

    Raises
    ------
    ModelError : unknown objective.
    """
    if objective not in OBJECTIVES:
        raise ModelError("objective", f"one of {', '.join(OBJECTIVES)}", objective)
    return _cached(network, engine, objective)
