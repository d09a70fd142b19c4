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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from math import ceil
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.area import accumulator_bits
from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.engines import Form, forms
from hwmodels.engines.common import nest_of, untiled_cycles
from hwmodels.engines.precision import unsupported
from hwmodels.engines.sparsity import stored_weight_frac, work_frac
from hwmodels.engines.vector import vector_cycles
from hwmodels.errors import ModelError
from hwmodels.mapping import OBJECTIVES, Mapping, Problem, search_mappings
from hwmodels.network import Layer, Network
from hwmodels.technology import (
    Corner,
    constants_of,
    dram_energy_j_per_byte,
    hop_energy_j_per_byte,
    mac_energy_j,
    register_file_energy_j_per_byte,
    sram_energy_j_per_byte,
    vector_op_energy_j,
)
from hwmodels.tiles import LayerTiles, matrix_tiles, vector_tiles

__all__ = ["COMPUTE", "DRAM", "LIMITS", "NOC", "SRAM", "VECTOR", "LayerCosts", "LayerMapping", "layer_costs"]

LIMITS = ("compute", "dram", "sram", "vector", "noc")
COMPUTE, DRAM, SRAM, VECTOR, NOC = range(5)

_FUSED_OPS = ("activation", "elementwise")
_FOREVER = 1e300


class LayerMapping(NamedTuple):
    """How a layer runs."""

    form: str
    """Kind of engine and mode, e.g. `ws`, `ws packed`, `vector`."""
    mappings: tuple[Mapping, ...]
    """One per nest; empty for vector layers."""
    input_on_chip: bool
    output_on_chip: bool
    weights_on_chip: bool


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


class _Row(NamedTuple):
    """One layer under one residency: the columns of `LayerCosts`."""

    score: tuple[float, float]
    compute_cycles: int
    cycles: float
    prefetched_cycles: float
    dram_read_bytes: float
    dram_write_bytes: float
    weight_bytes: float
    sram_bytes: float
    energies_j: tuple[float, float, float, float, float]
    utilisation_frac: float
    limited_by: int
    tiles: LayerTiles
    mapping: LayerMapping


class _Energies(NamedTuple):
    """Energy per event on one engine [J]."""

    hop_byte: float
    scratchpad_byte: float
    sram_byte: float
    dram_byte: float
    vector_op: float


class _Option(NamedTuple):
    """A form with its search problems and how often each is run."""

    form: Form
    problems: tuple[Problem, ...]
    counts: tuple[int, ...]
    keeps_weights: bool


class _Case(NamedTuple):
    """A layer and what is on chip around it."""

    layer: Layer
    input_on_chip: bool
    output_on_chip: bool
    stored: bool
    """The output is written to DRAM although it stays on chip, for a later reader."""
    reserved_bytes: float
    weights_stay: bool


@lru_cache(maxsize=256)
def _energies(node_nm: int, precision: str, sram_bytes: int, corner: Corner) -> _Energies:
    return _Energies(hop_energy_j_per_byte(node_nm, precision, corner=corner),
                     register_file_energy_j_per_byte(node_nm, corner=corner),
                     sram_energy_j_per_byte(node_nm, sram_bytes, corner=corner), dram_energy_j_per_byte(corner=corner),
                     vector_op_energy_j(node_nm, corner=corner))


def _accumulator_bits(engine: Engine) -> int:
    return engine.accumulator_bits or accumulator_bits(engine.precision)


def _array_energy_j(layer: Layer, engine: Engine, form: Form, each: _Energies) -> tuple[float, float]:
    """(multiply-accumulates, hops and scratchpads) of a matrix layer [J]."""
    done = layer.macs * work_frac(layer, engine)
    mac = mac_energy_j(engine.node_nm, engine.precision, weight_bits=min(64, layer.weight_bits),
                       input_bits=min(64, layer.input_bits), corner=constants_of(engine))
    if form.kind == "vector":
        return 0.0, 0.0
    return done * mac, done * (form.hop_bytes_per_mac * each.hop_byte
                               + form.register_file_bytes_per_mac * each.scratchpad_byte)


def _options(case: _Case, engine: Engine, each: _Energies) -> Iterator[_Option]:
    """Every way to run a matrix layer under a residency, as search problems.

    A recurrent layer that keeps its weights fetches them during the first of its repeats.
    """
    layer = case.layer
    repeat = layer.repeat
    room = engine.sram_bytes - case.reserved_bytes
    weights = layer.weight_elements * layer.weight_bits / 8.0 * stored_weight_frac(layer, engine)
    for form in forms(layer, engine):
        if case.weights_stay and layer.has_weights:  # the second operand of attention is computed anew
            problems = tuple(_problems(case, engine, each, form, room, fetched=False, tiled=False))
            yield _Option(form, problems, (repeat,) * len(problems), True)
            continue
        problems = tuple(_problems(case, engine, each, form, room, fetched=True, tiled=True))
        yield _Option(form, problems, (repeat,) * len(problems), False)
        if repeat > 1 and weights < room:
            first = tuple(_problems(case, engine, each, form, room - weights, fetched=True, tiled=False))
            rest = tuple(_problems(case, engine, each, form, room - weights, fetched=False, tiled=False))
            yield _Option(form, (*first, *rest), (1,) * len(first) + (repeat - 1,) * len(rest), True)


def _problems(case: _Case, engine: Engine, each: _Energies, form: Form, room: float, *, fetched: bool,
              tiled: bool) -> Iterator[Problem]:
    """The nests of a form as search problems of one repeat; `fetched`, `tiled` say what becomes of the weights."""
    layer = case.layer
    stored = stored_weight_frac(layer, engine)
    output_bytes = layer.output_bits / 8.0
    x, w, y = engine.sram_fracs or (np.inf, np.inf, np.inf)
    for nest, together in zip(form.nests, form.together, strict=True):
        yield Problem(
            nest=nest,
            units=(*form.units[0], *form.units[1], *form.units[2]),
            steps=form.steps,
            element_bytes=(layer.input_bits / 8.0, layer.weight_bits / 8.0 * stored / together,
                           max(_accumulator_bits(engine) / 8.0, output_bytes), output_bytes),
            sram_bytes=room,
            private_bytes=(room * x, room * w, room * y),
            bytes_per_cycle=engine.dram_bytes_per_s / engine.freq_hz,
            fetched=(float(not (case.input_on_chip or layer.op == "recurrent")), float(fetched),
                     float(not case.output_on_chip or case.stored)),
            tiled=(float(not case.input_on_chip), float(tiled), 1.0),
            floor_cycles=float(vector_cycles(layer.vector_ops, engine)) if layer.repeat == 1 else 0.0,
            dram_j_per_byte=each.dram_byte + each.sram_byte,
            sram_j_per_byte=each.sram_byte,
            fixed_energy_j=sum(_array_energy_j(layer, engine, form, each)) / layer.repeat,
            buffers=2 if engine.double_buffered_sram else 1,
            on_the_fly=engine.im2col == "on_the_fly" or engine.dataflow == "rs",
        )


def _score(objective: str, cycles: float, energy: float, traffic: float) -> tuple[float, float]:
    if objective == "latency":
        return cycles, energy
    if objective == "energy":
        return energy, cycles
    if objective == "dram_bytes":
        return traffic, cycles
    return energy * cycles, cycles


def _prefetched_cycles(cycles: float, compute: float, weights: float, other: float) -> float:
    """Latency of a layer of `cycles` whose weights were loaded before it: `compute`, or the `other` DRAM transfers if
    they are longer; never shorter by more than the transfer of the weights takes.

    The first and last tiles of the activations, which nothing hides, are in it only as far as the second rule goes.
    """
    return min(cycles, max(compute, other, cycles - weights))


def _matrix_row(case: _Case, engine: Engine, each: _Energies, objective: str, option: _Option,
                found: Sequence[Mapping]) -> _Row:
    layer, form = case.layer, option.form
    extra = 0.0 if case.weights_stay else layer.extra_parameters * layer.weight_bits / 8.0
    vector = vector_cycles(layer.vector_ops, engine)

    def total(get: Callable[[Mapping], float]) -> float:
        return sum(count * get(mapping) for count, mapping in zip(option.counts, found, strict=True))

    array = total(lambda mapping: mapping.compute_cycles)
    weights = total(lambda mapping: mapping.weight_bytes) + extra
    read = weights + total(lambda mapping: mapping.input_bytes + mapping.partial_read_bytes)
    write = total(lambda mapping: mapping.output_bytes)
    transfer = (read + write) * engine.freq_hz / engine.dram_bytes_per_s
    cycles = max(total(lambda mapping: mapping.latency_cycles), float(vector), transfer)
    fetch = weights * engine.freq_hz / engine.dram_bytes_per_s
    prefetched = _prefetched_cycles(cycles, max(array, float(vector)), fetch, transfer - fetch)
    sram = total(lambda mapping: mapping.edge_bytes) + extra
    mac_j, noc_j = _array_energy_j(layer, engine, form, each)
    operations = layer.vector_ops + (layer.macs if form.kind == "vector" else 0)
    energies = (mac_j, noc_j, sram * each.sram_byte, (read + write) * each.dram_byte, operations * each.vector_op)
    on_vector = form.kind == "vector"
    busy = (0.0 if on_vector or form.stream_stretch > 1.0 else array, transfer,
            array if form.stream_stretch > 1.0 else 0.0, max(float(vector), array if on_vector else 0.0))
    mapping = LayerMapping(form.kind, tuple(found), case.input_on_chip, case.output_on_chip,
                           option.keeps_weights)
    native = PRECISION_BITS[engine.precision]
    kept = (layer.weight_elements * layer.weight_bits / 8.0 * stored_weight_frac(layer, engine)
            if option.keeps_weights and not case.weights_stay else 0.0)
    products = max(1, native // layer.weight_bits) * max(1, native // layer.input_bits)
    rate = products if engine.multi_precision == "packed" else 1
    peak = engine.vector_lanes if on_vector else engine.pes * rate
    useful = layer.macs * (1.0 if on_vector else work_frac(layer, engine))
    return _Row(_score(objective, cycles, sum(energies), read + write), round(layer.repeat * untiled_cycles(form)),
                cycles, prefetched, read, write, weights, sram, energies, min(1.0, useful / (cycles * peak)),
                busy.index(max(busy)), matrix_tiles(option.problems, found, option.counts, kept), mapping)


def _vector_row(case: _Case, engine: Engine, each: _Energies, objective: str, resident_bytes: float) -> _Row:
    """A layer of the vector unit; `resident_bytes` of its input are on chip."""
    layer = case.layer
    inputs, outputs = layer.in_elements * layer.input_bits / 8.0, layer.out_elements * layer.output_bits / 8.0
    weights = 0.0 if case.weights_stay else layer.extra_parameters * layer.weight_bits / 8.0
    read = max(0.0, inputs - resident_bytes) + weights
    write = 0.0 if case.output_on_chip and not case.stored else outputs
    compute = vector_cycles(layer.vector_ops, engine)
    transfer = (read + write) * engine.freq_hz / engine.dram_bytes_per_s
    cycles = max(float(compute), transfer)
    fetch = weights * engine.freq_hz / engine.dram_bytes_per_s
    prefetched = _prefetched_cycles(cycles, float(compute), fetch, transfer - fetch)
    sram = inputs + outputs + read + write
    energies = (0.0, 0.0, sram * each.sram_byte, (read + write) * each.dram_byte, layer.vector_ops * each.vector_op)
    used = layer.vector_ops / (cycles * engine.vector_lanes) if cycles else 0.0
    mapping = LayerMapping("vector", (), case.input_on_chip, case.output_on_chip, case.weights_stay)
    return _Row(_score(objective, cycles, sum(energies), read + write), compute, cycles, prefetched, read, write,
                weights, sram, energies, used, DRAM if transfer > compute else VECTOR,
                vector_tiles(inputs + outputs, engine.sram_bytes), mapping)


class _Edge(NamedTuple):
    """The output of a layer, seen from the next one."""

    can_stay: bool
    stored: bool
    out_bytes: float
    reserved_bytes: float
    """Room it takes while it stays: nothing if it is passed on tile by tile."""


def _edges(network: Network, engine: Engine) -> list[_Edge]:
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
        if not engine.inter_layer_reuse or following not in readers[index]:
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
        can = matches and (fused or size < engine.sram_bytes)
        edges.append(_Edge(can, len(readers[index]) > 1, size, 0.0 if fused else size))
    return edges


def _cases(network: Network, edges: list[_Edge], weights_bytes: float) -> dict[tuple[int, int, int], _Case]:
    """The cases (layer, input stays, output stays) that can exist."""
    cases = {}
    for index, layer in enumerate(network):
        before = index > 0 and edges[index - 1].can_stay
        for incoming in ((0, 1) if before else (0,)):
            for outgoing in ((0, 1) if edges[index].can_stay else (0,)):
                reserved = ((edges[index - 1].reserved_bytes if incoming else 0.0)
                            + (edges[index].reserved_bytes if outgoing else 0.0) + weights_bytes)
                cases[index, incoming, outgoing] = _Case(layer, bool(incoming), bool(outgoing), edges[index].stored,
                                                         reserved, weights_bytes > 0.0)
    return cases


_CONTENT = attrgetter(*(field.name for field in fields(Layer) if field.name not in (
    "name", "inputs", "sharing_group", "exit_frac")))


def _rows(cases: dict[tuple[int, int, int], _Case], edges: list[_Edge], engine: Engine,
          objective: str) -> dict[tuple[int, int, int], _Row]:
    """The best row of every case that can run; layers of equal content are costed once."""
    each = _energies(engine.node_nm, engine.precision, engine.sram_bytes, constants_of(engine))
    content: dict[tuple[int, int, int], tuple[object, ...]] = {}
    found: dict[tuple[object, ...], _Row] = {}
    options: dict[tuple[object, ...], tuple[_Case, list[_Option]]] = {}
    numbers: dict[Problem, int] = {}
    for key, case in cases.items():
        if case.reserved_bytes >= engine.sram_bytes:
            continue
        resident = edges[key[0] - 1].out_bytes if key[1] else 0.0
        mine: tuple[object, ...] = (_CONTENT(case.layer), *case[1:], resident)
        content[key] = mine
        if mine in found or mine in options:
            continue
        if not case.layer.is_matrix:
            found[mine] = _vector_row(case, engine, each, objective, resident)
        elif not unsupported(case.layer, engine):
            options[mine] = case, list(_options(case, engine, each))
            for option in options[mine][1]:
                for problem in option.problems:
                    numbers.setdefault(problem, len(numbers))
    mappings = search_mappings(list(numbers), objective)
    for mine, (case, choices) in options.items():
        for option in choices:
            runs = [mapping for problem in option.problems if (mapping := mappings[numbers[problem]]) is not None]
            if len(runs) < len(option.problems):
                continue
            row = _matrix_row(case, engine, each, objective, option, runs)
            if mine not in found or row.score < found[mine].score:
                found[mine] = row
    return {key: found[mine] for key, mine in content.items() if mine in found}


def _choose(count: int, rows: dict[tuple[int, int, int], _Row]) -> list[tuple[int, int, int]] | None:
    """The outputs that stay, by dynamic programming; None if some layer cannot run."""
    best: dict[int, tuple[tuple[float, float], list[tuple[int, int, int]]]] = {0: ((0.0, 0.0), [])}
    for index in range(count):
        following: dict[int, tuple[tuple[float, float], list[tuple[int, int, int]]]] = {}
        for incoming, (score, path) in best.items():
            for outgoing in (0, 1):
                row = rows.get((index, incoming, outgoing))
                if row is None:
                    continue
                total = (score[0] + row.score[0], score[1] + row.score[1])
                if outgoing not in following or total < following[outgoing][0]:
                    following[outgoing] = (total, [*path, (index, incoming, outgoing)])
        best = following
    return best[0][1] if 0 in best else None


def _least_bytes(layer: Layer, engine: Engine) -> float:
    """Buffer that the smallest tile of a matrix layer needs [byte]."""
    nest = nest_of(layer)
    factor = 2.0 if engine.double_buffered_sram else 1.0
    m, n, k = (nest.batch * nest.oy * nest.ox > 1, nest.n > 1, nest.c > 1)
    many = nest.groups > 1
    accumulator = max(_accumulator_bits(engine), layer.output_bits)
    inputs = nest.halo_y * nest.halo_x * layer.input_bits * (factor if m or k or many else 1.0)
    weights = nest.window * layer.weight_bits * stored_weight_frac(layer, engine) * (factor if n or k or many else 1.0)
    return (inputs + weights + accumulator * (factor if m or n or many else 1.0)) / 8.0


def _sentences(network: Network, engine: Engine, rows: dict[tuple[int, int, int], _Row]) -> tuple[str, ...]:
    found = []
    for index, layer in enumerate(network):
        if (index, 0, 0) not in rows:
            found.append(unsupported(layer, engine)
                         or f"sram_bytes: must be >= {ceil(_least_bytes(layer, engine))}, the smallest tile of layer "
                            f"{layer.name}, got {engine.sram_bytes}")
    return tuple(found)


def _table(chosen: Sequence[_Row | None], live: Sequence[float], engine: Engine,
           sentences: tuple[str, ...]) -> LayerCosts:
    empty = _Row((0.0, 0.0), 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, (0.0,) * 5, 0.0, COMPUTE, LayerTiles(1, 1, 0.0, 0.0),
                 LayerMapping("", (), False, False, False))
    rows = [empty if row is None else row for row in chosen]
    energies = np.array([row.energies_j for row in rows], dtype=np.float64)

    def column(field: str) -> NDArray[np.float64]:
        return np.array([getattr(row, field) for row in rows], dtype=np.float64)

    cycles = column("cycles")
    table = LayerCosts(
        compute_cycles=np.array([row.compute_cycles for row in rows], dtype=np.int64),
        cycles=cycles,
        latency_s=cycles / engine.freq_hz,
        prefetched_s=column("prefetched_cycles") / engine.freq_hz,
        dram_read_bytes=column("dram_read_bytes"),
        dram_write_bytes=column("dram_write_bytes"),
        weight_bytes=column("weight_bytes"),
        sram_bytes=column("sram_bytes"),
        energy_j=energies.sum(axis=1),
        mac_energy_j=energies[:, 0].copy(),
        noc_energy_j=energies[:, 1].copy(),
        sram_energy_j=energies[:, 2].copy(),
        dram_energy_j=energies[:, 3].copy(),
        vector_energy_j=energies[:, 4].copy(),
        live_bytes=np.array(live, dtype=np.float64),
        utilisation_frac=column("utilisation_frac"),
        limited_by=np.array([row.limited_by for row in rows], dtype=np.int64),
        tiles=np.array([row.tiles.tiles for row in rows], dtype=np.int64),
        piece_tiles=np.array([row.tiles.piece for row in rows], dtype=np.int64),
        accumulator_bytes=np.array([row.tiles.accumulator_bytes for row in rows], dtype=np.float64),
        reload_bytes=np.array([row.tiles.reload_bytes for row in rows], dtype=np.float64),
        mappings=tuple(row.mapping for row in rows),
        unsupported=sentences,
    )
    for values in table[:-2]:
        values.setflags(write=False)
    return table


def _costs(network: Network, engine: Engine, objective: str,
           weights_bytes: float) -> tuple[tuple[float, ...], LayerCosts]:
    edges = _edges(network, engine)
    rows = _rows(_cases(network, edges, weights_bytes), edges, engine, objective)
    path = _choose(len(network), rows)
    if path is None:
        chosen = [rows.get((index, 0, 0)) for index in range(len(network))]
        return (_FOREVER,), _table(chosen, [0.0] * len(network), engine, _sentences(network, engine, rows))
    picked = [rows[key] for key in path]
    live = [edges[key[0]].out_bytes if key[2] else 0.0 for key in path]
    score = (sum(row.score[0] for row in picked), sum(row.score[1] for row in picked))
    return score, _table(picked, live, engine, ())


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
