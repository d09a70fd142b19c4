"""What every layer of a network costs on an engine. Networks that are costed together share the work.

Model
-----
A matrix layer takes the best of the forms in which the engine can run it (`hwmodels.engines`), each with the best
mapping (`hwmodels.mapping`); its epilogue runs on the vector unit beside the array. Other layers stream through the
vector unit.

    latency   max(mapping, vector cycles, DRAM bytes / bandwidth)   [cycles] / freq_hz
    energy    MACs e_mac + hops + scratchpads + vector operations + buffer bytes e_sram + DRAM bytes e_dram

Between layers outputs may stay on chip (`hwmodels.layer_cases`); which do is decided for the whole network by dynamic
programming over the objective. Recurrent steps keep the weights on chip if that is better; their state never leaves.

Leakage is not in `energy_j`: it depends on how long the chip is on, not on the layer.

Limits
------
Only consecutive layers share data on chip. Parameters outside the loop nest (biases, gains) are fetched once per layer.
A vector layer's first and last elements are not charged apart.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.engine import Engine
from hwmodels.engines.precision import unsupported
from hwmodels.errors import ModelError
from hwmodels.layer_cases import Cases, layer_cases
from hwmodels.layer_options import (
    COMPUTE,
    DRAM,
    LIMITS,
    NOC,
    SRAM,
    VECTOR,
    Costed,
    LayerMapping,
    Mappings,
    Options,
    chosen_rows,
    options,
)
from hwmodels.layer_ways import Ways, layer_ways, least_bytes
from hwmodels.mapping import OBJECTIVES
from hwmodels.network import Network

__all__ = ["COMPUTE", "DRAM", "LIMITS", "NOC", "SRAM", "VECTOR", "LayerCosts", "LayerMapping", "layer_costs",
           "networks_costs"]

_FOREVER = 1e300


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
    mappings: Mappings
    unsupported: tuple[str, ...]
    """Why layers cannot run, one sentence each; empty if all can."""


def _best(made: Options, n_cases: int, scores: tuple[NDArray[np.float64], NDArray[np.float64]]) -> list[int]:
    """The best option of every case, the first of equals; -1 if it has none."""
    order = np.lexsort((scores[1], scores[0], made.case))  # stable: the first of equals stays first
    cases, first = np.unique(made.case[order], return_index=True)
    best = np.full(n_cases, -1, dtype=np.int64)
    best[cases] = order[first]
    found: list[int] = best.tolist()
    return found


def _choose(numbers: Sequence[tuple[int, int, int, int]], best: list[int],
            scores: tuple[list[float], list[float]]) -> tuple[tuple[float, float], list[int]] | None:
    """Score of a network and the case of every layer, by dynamic programming over the outputs that stay; None if some
    layer cannot run.

    Parameters
    ----------
    numbers : of the network's layers, as in `Cases`.
    """
    totals: dict[int, tuple[float, float]] = {0: (0.0, 0.0)}
    came_from: list[dict[int, int]] = []
    for cases in numbers:
        following: dict[int, tuple[float, float]] = {}
        came: dict[int, int] = {}
        for incoming, score in totals.items():
            for outgoing in (0, 1):
                number = cases[2 * incoming + outgoing]
                option = best[number] if number >= 0 else -1
                if option < 0:
                    continue
                total = (score[0] + scores[0][option], score[1] + scores[1][option])
                if outgoing not in following or total < following[outgoing]:
                    following[outgoing], came[outgoing] = total, incoming
        totals = following
        came_from.append(came)
    if 0 not in totals:
        return None
    path, outgoing = [], 0
    for cases, came in zip(reversed(numbers), reversed(came_from), strict=True):
        path.append(cases[2 * came[outgoing] + outgoing])
        outgoing = came[outgoing]
    return totals[0], path[::-1]


def _sentences(network: Network, engine: Engine, chosen: list[int]) -> tuple[str, ...]:
    return tuple(unsupported(layer, engine)
                 or f"sram_bytes: must be >= {ceil(least_bytes(layer, engine))}, the smallest tile of layer "
                    f"{layer.name}, got {engine.sram_bytes}"
                 for layer, option in zip(network, chosen, strict=True) if option < 0)


def _table(costed: Costed, path: list[int], chosen: list[int], cases: Cases, ways: Ways, engine: Engine) -> LayerCosts:
    """The chosen options as a record; -1 gives a layer that cannot run."""
    case, at = np.array(path), np.array(chosen)
    tiles, mappings = costed.details(at, case, cases, ways, engine.sram_bytes)
    made = Options._make([chosen_rows(column, at) for column in costed.options])
    mac, noc, sram, dram, vector = (np.ascontiguousarray(part) for part in made.energies_j.T)
    table = LayerCosts(
        compute_cycles=made.compute_cycles.astype(np.int64),
        cycles=made.cycles,
        latency_s=made.cycles / engine.freq_hz,
        prefetched_s=made.prefetched_cycles / engine.freq_hz,
        dram_read_bytes=made.dram_read_bytes,
        dram_write_bytes=made.dram_write_bytes,
        weight_bytes=made.weight_bytes,
        sram_bytes=made.sram_bytes,
        energy_j=made.energies_j.sum(axis=1),
        mac_energy_j=mac,
        noc_energy_j=noc,
        sram_energy_j=sram,
        dram_energy_j=dram,
        vector_energy_j=vector,
        live_bytes=np.where((at >= 0) & cases.output_on_chip[case], cases.out_bytes, 0.0),
        utilisation_frac=made.utilisation_frac,
        limited_by=made.limited_by,
        tiles=tiles.tiles,
        piece_tiles=tiles.piece,
        accumulator_bytes=tiles.accumulator_bytes,
        reload_bytes=tiles.reload_bytes,
        mappings=mappings,
        unsupported=(),
    )
    for values in table[:-2]:
        values.setflags(write=False)
    return table


def _costs(networks: tuple[Network, ...], engine: Engine, objective: str,
           weights_bytes: float) -> list[tuple[tuple[float, ...], LayerCosts]]:
    """Score and costs of every network, all costed together."""
    cases = layer_cases(networks, engine.sram_bytes, engine.inter_layer_reuse, weights_bytes)
    ways = layer_ways(networks, engine)
    costed = options(cases, ways, engine, objective)
    scores = costed.options.score(objective)
    best, known = _best(costed.options, len(cases.layer), scores), (scores[0].tolist(), scores[1].tolist())
    ends = list(accumulate(len(network) for network in networks))
    parts = list(zip((0, *ends), ends, networks, strict=False))
    totals: list[tuple[float, ...]] = []
    path: list[int] = []
    sentences: list[tuple[str, ...]] = []
    for first, last, network in parts:
        numbers = cases.numbers[first:last]
        found = _choose(numbers, best, known)
        if found is None:
            own = [of_layer[0] for of_layer in numbers]
            chosen = [best[number] if number >= 0 else -1 for number in own]
            totals.append((_FOREVER,))
            sentences.append(_sentences(network, engine, chosen))
        else:
            score, own = found
            totals.append(score)
            sentences.append(())
        path += own
    chosen = [best[number] if number >= 0 else -1 for number in path]
    table = _table(costed, path, chosen, cases, ways, engine)
    return [(total, LayerCosts._make([*(column[first:last] for column in table[:-2]), table.mappings.part(first, last),
                                      why]))
            for (first, last, _), total, why in zip(parts, totals, sentences, strict=True)]


def _stay(network: Network, engine: Engine) -> float:
    """Bytes of the weights of a network that never leave the chip, 0 if they do not fit."""
    weights = sum(layer.parameters * layer.weight_bits / 8.0 for layer in network) if engine.weights_stay else 0.0
    return weights if weights < engine.sram_bytes else 0.0


@lru_cache(maxsize=4096)
def _record(network: Network, engine: Engine, objective: str) -> list[LayerCosts]:
    """Where the costs of a network are kept: one record, or none yet."""
    return []


def networks_costs(networks: Sequence[Network], engine: Engine, *,
                   objective: str = "latency") -> tuple[LayerCosts, ...]:
    """`layer_costs` of several networks: faster than one after the other, with the same results."""
    if objective not in OBJECTIVES:
        raise ModelError("objective", f"one of {', '.join(OBJECTIVES)}", objective)
    records = {network: _record(network, engine, objective) for network in networks}
    missing = tuple(network for network, record in records.items() if not record)
    if missing:
        for network, fetched in zip(missing, _costs(missing, engine, objective, 0.0), strict=True):
            weights = _stay(network, engine)
            kept = _costs((network,), engine, objective, weights)[0] if weights else fetched
            records[network].append(kept[1] if kept[0] < fetched[0] else fetched[1])
    return tuple(records[network][0] for network in networks)


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
    return networks_costs((network,), engine, objective=objective)[0]
