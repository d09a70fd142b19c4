"""Every way to run the layers of a network on an engine, costed together: one column entry per option.

A *case* is a layer and what is on chip around it. A vector layer has one option per case. A matrix layer has one per
form (`hwmodels.engines`) and, where it repeats, one more that keeps the weights on chip between the repeats; an option
runs one or two loop nests, each with the best mapping (`hwmodels.mapping`). The model is that of `hwmodels.cost`.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels import mapping_kernel as kernel
from hwmodels.area import accumulator_bits
from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.engines import Form, forms
from hwmodels.engines.common import nest_of, untiled_cycles
from hwmodels.engines.precision import unsupported
from hwmodels.engines.sparsity import stored_weight_frac, work_frac
from hwmodels.engines.vector import vector_cycles
from hwmodels.mapping import Columns, Mapping, Problem, columns, mapping_of, search_columns
from hwmodels.network import Layer
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

__all__ = ["COMPUTE", "DRAM", "LIMITS", "NOC", "SRAM", "VECTOR", "Case", "LayerMapping", "Options", "least_bytes",
           "options"]

LIMITS = ("compute", "dram", "sram", "vector", "noc")
COMPUTE, DRAM, SRAM, VECTOR, NOC = range(5)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class LayerMapping(NamedTuple):
    """How a layer runs."""

    form: str
    """Kind of engine and mode, e.g. `ws`, `ws packed`, `vector`."""
    mappings: tuple[Mapping, ...]
    """One per nest; empty for vector layers."""
    input_on_chip: bool
    output_on_chip: bool
    weights_on_chip: bool


class Case(NamedTuple):
    """A layer and what is on chip around it."""

    layer: Layer
    input_on_chip: bool
    output_on_chip: bool
    stored: bool
    """The output is written to DRAM although it stays on chip, for a later reader."""
    reserved_bytes: float
    """Of the buffer, for what is on chip."""
    resident_bytes: float
    """Of the input of a vector layer, on chip."""
    weights_stay: bool
    """Weights are on chip before the layer starts."""


class _Energies(NamedTuple):
    """Energy per event on one engine [J]."""

    hop_byte: float
    scratchpad_byte: float
    sram_byte: float
    dram_byte: float
    vector_op: float


class _Run(NamedTuple):
    """A nest of an option."""

    option: int
    nest: int
    times: int
    fetched: bool
    """The weights come from DRAM."""
    tiled: bool
    """They take room tile by tile; else they have room of their own."""
    room: float
    """For tiles [byte]."""


@lru_cache(maxsize=256)
def _energies(node_nm: int, precision: str, sram_bytes: int, corner: Corner) -> _Energies:
    return _Energies(hop_energy_j_per_byte(node_nm, precision, corner=corner),
                     register_file_energy_j_per_byte(node_nm, corner=corner),
                     sram_energy_j_per_byte(node_nm, sram_bytes, corner=corner), dram_energy_j_per_byte(corner=corner),
                     vector_op_energy_j(node_nm, corner=corner))


def _energies_of(engine: Engine) -> _Energies:
    return _energies(engine.node_nm, engine.precision, engine.sram_bytes, constants_of(engine))


def _accumulator_bits(engine: Engine) -> int:
    return engine.accumulator_bits or accumulator_bits(engine.precision)


def least_bytes(layer: Layer, engine: Engine) -> float:
    """Buffer that the smallest tile of a matrix layer needs [byte]."""
    nest = nest_of(layer)
    factor = 2.0 if engine.double_buffered_sram else 1.0
    m, n, k = (nest.batch * nest.oy * nest.ox > 1, nest.n > 1, nest.c > 1)
    many = nest.groups > 1
    accumulator = max(_accumulator_bits(engine), layer.output_bits)
    inputs = nest.halo_y * nest.halo_x * layer.input_bits * (factor if m or k or many else 1.0)
    weights = nest.window * layer.weight_bits * stored_weight_frac(layer, engine) * (factor if n or k or many else 1.0)
    return (inputs + weights + accumulator * (factor if m or n or many else 1.0)) / 8.0


class _Ways:
    """The forms of matrix layers and their nests, gathered one layer at a time; what does not depend on the case."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.each = _energies_of(engine)
        self.forms: list[Form] = []
        self.nests_of: list[range] = []
        self.numbers: list[tuple[float, ...]] = []
        self.nests: list[Problem] = []
        self.weight_bytes: list[float] = []

    def add(self, layer: Layer) -> range:
        """The forms of a layer."""
        engine, each = self.engine, self.each
        first = len(self.forms)
        work, stored, vector = work_frac(layer, engine), stored_weight_frac(layer, engine), vector_cycles(
            layer.vector_ops, engine)
        mac = layer.macs * work * mac_energy_j(engine.node_nm, engine.precision, weight_bits=min(64, layer.weight_bits),
                                               input_bits=min(64, layer.input_bits), corner=constants_of(engine))
        native = PRECISION_BITS[engine.precision]
        products = max(1, native // layer.weight_bits) * max(1, native // layer.input_bits)
        peak = engine.pes * (products if engine.multi_precision == "packed" else 1)
        weights = layer.weight_elements * layer.weight_bits / 8.0 * stored
        extra = layer.extra_parameters * layer.weight_bits / 8.0
        for form in forms(layer, engine):
            on_vector = form.kind == "vector"
            moving = 0.0 if on_vector else layer.macs * work * (
                form.hop_bytes_per_mac * each.hop_byte + form.register_file_bytes_per_mac * each.scratchpad_byte)
            fixed = 0.0 if on_vector else mac
            self.numbers.append((
                layer.repeat * untiled_cycles(form), float(vector), extra, fixed, moving,
                layer.vector_ops + (layer.macs if on_vector else 0), on_vector, form.stream_stretch > 1.0,
                layer.macs * (1.0 if on_vector else work) / (engine.vector_lanes if on_vector else peak)))
            start = len(self.nests)
            self.nests += self._nests(layer, form, stored, float(vector) if layer.repeat == 1 else 0.0, fixed + moving)
            self.forms.append(form)
            self.nests_of.append(range(start, len(self.nests)))
        self.weight_bytes += [weights] * (len(self.forms) - first)
        return range(first, len(self.forms))

    def _nests(self, layer: Layer, form: Form, stored: float, floor: float, fixed_j: float) -> list[Problem]:
        """The nests of a form as search problems of one repeat; a case adds room and what is fetched."""
        engine, each = self.engine, self.each
        output_bytes = layer.output_bits / 8.0
        return [Problem(
            nest=nest,
            units=(*form.units[0], *form.units[1], *form.units[2]),
            steps=form.steps,
            element_bytes=(layer.input_bits / 8.0, layer.weight_bits / 8.0 * stored / together,
                           max(_accumulator_bits(engine) / 8.0, output_bytes), output_bytes),
            bytes_per_cycle=engine.dram_bytes_per_s / engine.freq_hz,
            floor_cycles=floor,
            dram_j_per_byte=each.dram_byte + each.sram_byte,
            sram_j_per_byte=each.sram_byte,
            fixed_energy_j=fixed_j / layer.repeat,
            buffers=2 if engine.double_buffered_sram else 1,
            on_the_fly=engine.im2col == "on_the_fly" or engine.dataflow == "rs",
        ) for nest, together in zip(form.nests, form.together, strict=True)]


class Options(NamedTuple):
    """Columns of shape (O,); the names are those of `hwmodels.cost.LayerCosts`."""

    case: Ints
    """Number of the case."""
    compute_cycles: Floats
    cycles: Floats
    prefetched_cycles: Floats
    dram_read_bytes: Floats
    dram_write_bytes: Floats
    weight_bytes: Floats
    sram_bytes: Floats
    energies_j: Floats
    """(O, 5): multiply-accumulates, hops and scratchpads, buffer, DRAM, vector operations."""
    utilisation_frac: Floats
    limited_by: Ints
    source: "_Source"

    def score(self, objective: str) -> tuple[Floats, Floats]:
        """What is minimised, and what decides between equals; shapes (O,)."""
        energy = self.energies_j.sum(axis=1)
        if objective == "latency":
            return self.cycles, energy
        if objective == "energy":
            return energy, self.cycles
        if objective == "dram_bytes":
            return self.dram_read_bytes + self.dram_write_bytes, self.cycles
        return energy * self.cycles, self.cycles

    def detail(self, option: int) -> tuple[LayerTiles, LayerMapping]:
        """Where a layer under this option can be stopped, and how it runs."""
        return self.source.detail(option, int(self.case[option]))


class _Source:
    """What the options were made of; per matrix option its form, whether it keeps the weights, its runs."""

    def __init__(self, engine: Engine, cases: Sequence[Case], ways: _Ways, runs: Sequence[_Run], found: Floats,
                 form: Ints, keeps: Ints, first: Ints, last: Ints) -> None:
        self.engine, self.cases, self.ways, self.runs, self.found = engine, cases, ways, runs, found
        self.form, self.keeps, self.first, self.last = form, keeps, first, last

    def detail(self, option: int, case_number: int) -> tuple[LayerTiles, LayerMapping]:
        case = self.cases[case_number]
        if option >= len(self.form):  # a vector layer
            moved = (case.layer.in_elements * case.layer.input_bits + case.layer.out_elements * case.layer.output_bits)
            return (vector_tiles(moved / 8.0, self.engine.sram_bytes),
                    LayerMapping("vector", (), case.input_on_chip, case.output_on_chip, case.weights_stay))
        form, keeps = int(self.form[option]), bool(self.keeps[option])
        rows = range(self.first[option], self.last[option])
        runs = [self.runs[row] for row in rows]
        mappings = tuple(mapping for row in rows if (mapping := mapping_of(self.found[row].tolist())) is not None)
        problems = [self.ways.nests[run.nest]._replace(fetched=(float(_fetches_input(case)), float(run.fetched), 1.0))
                    for run in runs]
        kept = self.ways.weight_bytes[form] if keeps and not case.weights_stay else 0.0
        tiles = matrix_tiles(problems, mappings, [run.times for run in runs], kept)
        return tiles, LayerMapping(self.ways.forms[form].kind, mappings, case.input_on_chip, case.output_on_chip, keeps)


def _fetches_input(case: Case) -> bool:
    return not (case.input_on_chip or case.layer.op == "recurrent")


def options(cases: Sequence[Case], engine: Engine, objective: str) -> Options:
    """Every option of every case that can run."""
    matrix = [number for number, case in enumerate(cases) if case.layer.is_matrix]
    made = _matrix(cases, matrix, engine, objective)
    streams = _vector(cases, [number for number, case in enumerate(cases) if not case.layer.is_matrix], engine)
    return Options._make([*(np.concatenate(pair) for pair in zip(made[:-1], streams, strict=True)), made.source])


def _runs(cases: Sequence[Case], numbers: Iterable[int], ways: _Ways,
          engine: Engine) -> tuple[list[tuple[int, int, bool]], list[_Run]]:
    """The options of matrix layers as (case, form, keeps weights), and their nests.

    A recurrent layer that keeps its weights fetches them during the first of its repeats.
    """
    known: dict[int, range] = {}
    chosen: list[tuple[int, int, bool]] = []
    runs: list[_Run] = []

    def add(number: int, form: int, keeps: bool, parts: Iterable[tuple[int, bool, bool, float]]) -> None:
        runs.extend(_Run(len(chosen), nest, *part) for part in parts for nest in ways.nests_of[form])
        chosen.append((number, form, keeps))

    for number in numbers:
        case = cases[number]
        layer, room = case.layer, engine.sram_bytes - case.reserved_bytes
        if id(layer) not in known:
            known[id(layer)] = range(0) if unsupported(layer, engine) else ways.add(layer)
        for form in known[id(layer)]:
            if case.weights_stay and layer.has_weights:  # the second operand of attention is computed anew
                add(number, form, True, [(layer.repeat, False, False, room)])
                continue
            add(number, form, False, [(layer.repeat, True, True, room)])
            if layer.repeat > 1 and (rest := room - ways.weight_bytes[form]) > 0.0:
                add(number, form, True, [(1, True, False, rest), (layer.repeat - 1, False, False, rest)])
    return chosen, runs


def _problems(cases: Sequence[Case], of_run: Ints, runs: Sequence[_Run], ways: _Ways, engine: Engine) -> Columns:
    """The searches of the runs, `of_run` being their cases: the nests with room and what is fetched."""
    base = columns(ways.nests)
    nest = np.array([run.nest for run in runs])
    floats = base.floats[nest]
    around = np.array([(_fetches_input(case), not case.output_on_chip or case.stored, not case.input_on_chip)
                       for case in cases], dtype=np.float64)[of_run]
    room = np.array([run.room for run in runs])
    floats[:, kernel.F_S] = room
    for column, share in zip((kernel.F_SX, kernel.F_SW, kernel.F_SY), engine.sram_fracs or (np.inf,) * 3, strict=True):
        floats[:, column] = room * share
    floats[:, kernel.F_DX], floats[:, kernel.F_DY], floats[:, kernel.F_CX] = around.T
    floats[:, kernel.F_DW] = [run.fetched for run in runs]
    floats[:, kernel.F_CW] = [run.tiled for run in runs]
    return Columns(base.ints[nest], floats, base.units[nest])


def _matrix(cases: Sequence[Case], numbers: Sequence[int], engine: Engine, objective: str) -> Options:
    ways = _Ways(engine)
    chosen, runs = _runs(cases, numbers, ways, engine)
    if not chosen:
        none = np.empty(0, dtype=np.int64)
        source = _Source(engine, cases, ways, [], np.empty((0, kernel.N_RESULT)), none, none, none, none)
        return Options(none, *(np.empty(0),) * 7, np.empty((0, 5)), np.empty(0), none, source)
    of_run = np.array([run.option for run in runs])
    number, form, keeps = (np.array(column) for column in zip(*chosen, strict=True))
    found = search_columns(_problems(cases, number[of_run], runs, ways, engine), objective)
    first = np.searchsorted(of_run, np.arange(len(chosen) + 1))
    fits = np.minimum.reduceat(found[:, kernel.R_STATUS], first[:-1]) > 0.0
    counts = np.array([run.times for run in runs], dtype=np.float64)

    def total(*results: int) -> Floats:
        one = sum(found[:, result] for result in results)
        return np.add.reduceat(counts * one, first[:-1])

    untiled, vector, extra, mac_j, noc_j, operations, on_vector, starved, useful = np.array(ways.numbers)[form].T
    extra = np.where(np.array([case.weights_stay for case in cases])[number], 0.0, extra)
    array = total(kernel.R_COMPUTE)
    weights = total(kernel.R_W) + extra
    read = weights + total(kernel.R_X, kernel.R_YREAD)
    write = total(kernel.R_YWRITE)
    transfer = (read + write) * engine.freq_hz / engine.dram_bytes_per_s
    fetch = weights * engine.freq_hz / engine.dram_bytes_per_s
    cycles = np.maximum(np.maximum(total(kernel.R_LATENCY), vector), transfer)
    sram = total(kernel.R_SRAM) + extra
    each = ways.each
    streams = on_vector > 0.0
    starving = starved > 0.0
    busy = np.stack([np.where(streams | starving, 0.0, array), transfer, np.where(starving, array, 0.0),
                     np.maximum(vector, np.where(streams, array, 0.0))])
    with np.errstate(divide="ignore", invalid="ignore"):  # rows of mappings that do not exist
        made = Options(
            case=number, compute_cycles=np.round(untiled), cycles=cycles,
            prefetched_cycles=_prefetched(cycles, np.maximum(array, vector), fetch, transfer - fetch),
            dram_read_bytes=read, dram_write_bytes=write, weight_bytes=weights, sram_bytes=sram,
            energies_j=np.stack([mac_j, noc_j, sram * each.sram_byte, (read + write) * each.dram_byte,
                                 operations * each.vector_op], axis=1),
            utilisation_frac=np.minimum(1.0, useful / cycles), limited_by=busy.argmax(axis=0),
            source=_Source(engine, cases, ways, runs, found, form[fits], keeps[fits], first[:-1][fits],
                           first[1:][fits]))
    return Options._make([*(column[fits] for column in made[:-1]), made.source])


def _prefetched(cycles: Floats, compute: Floats, weights: Floats, other: Floats) -> Floats:
    """Latency of layers of `cycles` whose weights were loaded before: `compute`, or the `other` DRAM transfers if they
    are longer; never shorter by more than the transfer of the weights takes.

    The first and last tiles of the activations, which nothing hides, are in it only as far as the second rule goes.
    """
    return np.minimum(cycles, np.maximum(np.maximum(compute, other), cycles - weights))


def _vector(cases: Sequence[Case], numbers: Sequence[int], engine: Engine) -> tuple[NDArray[Any], ...]:
    """The columns of vector layers, one option per case."""
    layers = [cases[number].layer for number in numbers]
    around = np.array([(not cases[number].weights_stay, not cases[number].output_on_chip or cases[number].stored,
                        cases[number].resident_bytes) for number in numbers], dtype=np.float64).reshape(-1, 3)
    sizes = np.array([(layer.in_elements * layer.input_bits / 8.0, layer.out_elements * layer.output_bits / 8.0,
                       layer.extra_parameters * layer.weight_bits / 8.0, layer.vector_ops,
                       vector_cycles(layer.vector_ops, engine)) for layer in layers], dtype=np.float64).reshape(-1, 5)
    inputs, outputs, extra, operations, compute = sizes.T
    fetches, writes, resident = around.T
    weights, write = np.where(fetches > 0.0, extra, 0.0), np.where(writes > 0.0, outputs, 0.0)
    read = np.maximum(0.0, inputs - resident) + weights
    transfer = (read + write) * engine.freq_hz / engine.dram_bytes_per_s
    fetch = weights * engine.freq_hz / engine.dram_bytes_per_s
    cycles = np.maximum(compute, transfer)
    sram = inputs + outputs + read + write
    each = _energies_of(engine)
    zero = np.zeros(len(layers))
    used = np.divide(operations, cycles * engine.vector_lanes, out=np.zeros(len(layers)), where=cycles > 0.0)
    return (np.array(numbers, dtype=np.int64), compute, cycles, _prefetched(cycles, compute, fetch, transfer - fetch),
            read, write, weights, sram,
            np.stack([zero, zero, sram * each.sram_byte, (read + write) * each.dram_byte, operations * each.vector_op],
                     axis=1), used, np.where(transfer > compute, DRAM, VECTOR))
