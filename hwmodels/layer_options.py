"""Every way to run the layers of some networks on an engine, costed together: one column entry per option.

A *case* (`hwmodels.layer_cases`) is a layer and what is on chip around it. A vector layer has one option per case. A
matrix layer has one per form (`hwmodels.layer_ways`) and, where it repeats, one more that keeps the weights on chip
between the repeats; an option runs one or more loop nests, each with the best mapping (`hwmodels.mapping`). The model
is that of `hwmodels.cost`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from hwmodels import mapping_tables as tables
from hwmodels.engine import Engine
from hwmodels.layer_cases import Cases
from hwmodels.layer_ways import Ways
from hwmodels.mapping import Alternatives, Columns, Mapping, mapping_of, search_columns
from hwmodels.tables import Tiles
from hwmodels.technology import (
    Corner,
    constants_of,
    dram_energy_j_per_byte,
    sram_energy_j_per_byte,
    vector_op_energy_j,
)
from hwmodels.tiles import matrix_tiles, vector_tiles

__all__ = ["COMPUTE", "DRAM", "LIMITS", "NOC", "SRAM", "VECTOR", "Costed", "LayerMapping", "Mappings", "Options",
           "chosen_rows", "options"]

LIMITS = ("compute", "dram", "sram", "vector", "noc")
COMPUTE, DRAM, SRAM, VECTOR, NOC = range(5)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class LayerMapping(NamedTuple):
    """How a layer runs."""

    form: str
    """Kind of engine and mode, e.g. `ws`, `ws packed`, `vector`; empty if the layer cannot run."""
    mappings: tuple[Mapping, ...]
    """One per nest; empty for vector layers."""
    input_on_chip: bool
    output_on_chip: bool
    weights_on_chip: bool


class Mappings(Sequence[LayerMapping]):
    """How L layers run; a record is made when it is read.

    Parameters
    ----------
    forms : of every layer.
    on_chip : input, output and weights of every layer, shape (L, 3).
    first : of every layer its first row of `rows`, and the end, shape (L + 1,).
    rows : results of the mapping search.
    """

    __slots__ = ("first", "forms", "on_chip", "rows")

    def __init__(self, forms: tuple[str, ...], on_chip: Bools, first: Ints, rows: Floats) -> None:
        self.forms, self.on_chip, self.first, self.rows = forms, on_chip, first, rows

    def __len__(self) -> int:
        return len(self.forms)

    def part(self, first: int, last: int) -> "Mappings":
        """Those of the layers [first, last)."""
        return Mappings(self.forms[first:last], self.on_chip[first:last], self.first[first : last + 1], self.rows)

    @overload
    def __getitem__(self, index: int) -> LayerMapping: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[LayerMapping, ...]: ...
    def __getitem__(self, index: int | slice) -> LayerMapping | tuple[LayerMapping, ...]:
        if isinstance(index, slice):
            return tuple(self[one] for one in range(*index.indices(len(self))))
        layer = range(len(self))[index]
        found = (mapping_of(row) for row in self.rows[self.first[layer] : self.first[layer + 1]].tolist())
        return LayerMapping(self.forms[layer], tuple(mapping for mapping in found if mapping is not None),
                            *self.on_chip[layer].tolist())


class _Energies(NamedTuple):
    """Energy per event on one engine [J]."""

    sram_byte: float
    dram_byte: float
    vector_op: float


@lru_cache(maxsize=256)
def _energies(node_nm: int, sram_bytes: int, corner: Corner) -> _Energies:
    return _Energies(sram_energy_j_per_byte(node_nm, sram_bytes, corner=corner), dram_energy_j_per_byte(corner=corner),
                     vector_op_energy_j(node_nm, corner=corner))


def _energies_of(engine: Engine) -> _Energies:
    return _energies(engine.node_nm, engine.sram_bytes, constants_of(engine))


class _Runs(NamedTuple):
    """The O options of matrix layers, and the P nests that they run."""

    case: Ints
    """(O,)"""
    form: Ints
    """(O,) of `Ways`."""
    keeps: Bools
    """(O,) the weights are on chip from the second repeat on, or from the first."""
    option: Ints
    """(P,) in ascending order."""
    nest: Ints
    """(P,) of `Ways`."""
    times: Ints
    """(P,)"""
    weights_fetched: Bools
    """(P,) the weights come from DRAM."""
    room: Floats
    """(P,) for tiles [byte]."""


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
    form: Ints
    """Of `Ways`; -1 for vector layers."""
    keeps: Bools
    first_run: Ints
    """Rows of `runs` that it needs: from here to before `last_run`."""
    last_run: Ints

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


class Costed(NamedTuple):
    """The options of all cases, and the searches behind them."""

    options: Options
    problems: Columns
    times: Ints
    """(P,) how often a problem runs."""
    found: Floats
    """(P, N_RESULT)"""

    def details(self, chosen: Ints, case: Ints, cases: Cases, ways: Ways, sram_bytes: int) -> tuple[Tiles, Mappings]:
        """Where layers can be stopped inside, and how they run.

        Parameters
        ----------
        chosen : option of each layer, -1 if it cannot run, shape (L,).
        case : of each layer, shape (L,); what it is where the layer cannot run does not matter.
        """
        runs = chosen >= 0
        form, keeps = chosen_rows(self.options.form, chosen, -1), chosen_rows(self.options.keeps, chosen, False)
        last = chosen_rows(self.options.last_run, chosen, 0)
        layer, row = _spread(chosen_rows(self.options.first_run, chosen, 0), last)
        problems, found = self.problems, self.found[row]
        each = matrix_tiles(problems.ints[problems.nest[row]], problems.floats[row], found)
        count = len(chosen)
        tiles = np.where(form < 0, 1, np.bincount(layer, self.times[row] * each.tiles, count)).astype(np.int64)
        streamed = runs & (form < 0)
        moved = (cases.in_bytes + cases.streamed_out_bytes)[case]
        tiles[streamed] = vector_tiles(moved[streamed], sram_bytes)
        piece, sums, reload = np.ones(count, dtype=np.int64), np.zeros(count), np.zeros(count)
        np.maximum.at(piece, layer, each.piece)
        np.maximum.at(sums, layer, each.accumulator_bytes)
        np.maximum.at(reload, layer, each.reload_bytes)
        if not cases.weights_stay:  # kept between repeats: lost and fetched again as a whole
            reload[keeps] += ways.weight_bytes[form[keeps]]
        kinds = tuple("" if not ran else "vector" if one < 0 else ways.kinds[one]
                      for ran, one in zip(runs.tolist(), form.tolist(), strict=True))
        on_chip = np.stack([cases.input_on_chip[case], cases.output_on_chip[case],
                            np.where(form < 0, cases.weights_stay, keeps)], axis=1) & runs[:, None]
        first = np.searchsorted(layer, np.arange(count + 1))
        return Tiles(tiles, piece, sums, reload), Mappings(kinds, on_chip, first, found)


def chosen_rows(column: NDArray[Any], rows: Ints, missing: object = 0) -> NDArray[Any]:
    """Rows of a column; `missing` where the row is -1."""
    found = np.full((len(rows), *column.shape[1:]), missing, dtype=column.dtype)
    there = rows >= 0
    found[there] = column[rows[there]]
    return found


def _spread(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """All integers of the ranges [first, last), one range after the other, and the range of each; shapes (n,)."""
    counts = last - first
    of = np.repeat(np.arange(len(counts)), counts)
    return of, np.arange(len(of)) + np.repeat(first - (np.cumsum(counts) - counts), counts)


def _runs(cases: Cases, ways: Ways, sram_bytes: int) -> _Runs:
    """The options of matrix layers and what they run.

    A layer that repeats may keep its weights: then it fetches them during the first of its repeats, and has less room.
    """
    layer = cases.layer[cases.matrix]
    at, form = _spread(ways.first_form[layer], ways.first_form[layer + 1])
    case = cases.matrix[at]
    room = sram_bytes - cases.reserved_bytes[case]
    rest = room - ways.weight_bytes[form]
    stay = cases.has_weights[case] & cases.weights_stay  # the second operand of attention is computed anew
    twice = ~stay & (cases.repeat[case] > 1) & (rest > 0.0)
    way, second = _spread(np.zeros(len(case), dtype=np.int64), 1 + twice)
    keeping = second > 0
    # an option that keeps the weights has two parts: the first repeat, and the others
    option, part = _spread(np.zeros(len(way), dtype=np.int64), 1 + second)
    split, later, own = keeping[option], part > 0, way[option]
    repeat = cases.repeat[case[own]]
    times = np.where(split, np.where(later, repeat - 1, 1), repeat)
    run, nest = _spread(ways.first_nest[form[own]], ways.first_nest[form[own] + 1])
    return _Runs(case=case[way], form=form[way], keeps=keeping | stay[way], option=option[run], nest=nest,
                 times=times[run], weights_fetched=(~stay[own] & ~later)[run],
                 room=np.where(split, rest[own], room[own])[run])


def _problems(cases: Cases, ways: Ways, runs: _Runs, engine: Engine, vector: Floats) -> Columns:
    """The searches of the runs; `vector` cycles of each form."""
    each, case, nest = _energies_of(engine), runs.case[runs.option], runs.nest
    floats = np.ones((len(nest), tables.N_FLOATS))
    sizes = ways.element_bytes[nest]
    floats[:, tables.F_BX : tables.F_BO + 1] = sizes
    floats[:, tables.F_S] = runs.room
    for column, share in zip((tables.F_SX, tables.F_SW, tables.F_SY), engine.sram_fracs or (np.inf,) * 3, strict=True):
        floats[:, column] = runs.room * share
    floats[:, tables.F_BPC] = engine.dram_bytes_per_s / engine.freq_hz
    floats[:, tables.F_DX], floats[:, tables.F_DY] = cases.fetched[case], cases.written[case]
    floats[:, tables.F_DW] = runs.weights_fetched
    floats[:, tables.F_FLOOR] = np.where(ways.once, vector, 0.0)[ways.form[nest]]
    floats[:, tables.F_E0] = ways.fixed_j[nest]
    floats[:, tables.F_ED] = each.dram_byte + each.sram_byte
    floats[:, tables.F_EX : tables.F_EYW + 1] = sizes[:, :3] * each.sram_byte
    floats[:, tables.F_EYR] = floats[:, tables.F_EYW]
    floats[:, tables.F_CX], floats[:, tables.F_CW] = ~cases.input_on_chip[case], ~runs.keeps[runs.option]
    return Columns(ways.ints, ways.units, nest, floats)


def options(cases: Cases, ways: Ways, engine: Engine, objective: str) -> Costed:
    """Every option of every case that can run, and, with latency as the objective, may be the best of its case."""
    made, problems, times, found = _matrix(cases, ways, engine, objective)
    streams = _vector(cases, engine)
    both = Options._make([np.concatenate(pair) for pair in zip(made, streams, strict=True)])
    return Costed(both, problems, times, found)


def _matrix(cases: Cases, ways: Ways, engine: Engine, objective: str) -> tuple[Options, Columns, Ints, Floats]:
    runs = _runs(cases, ways, engine.sram_bytes)
    form = runs.form
    vector = -(-ways.epilogue_ops // engine.vector_lanes).astype(np.float64)
    problems = _problems(cases, ways, runs, engine, vector)
    cycles_per_byte = engine.freq_hz / engine.dram_bytes_per_s
    vector = vector[form]
    extra = np.zeros(len(form)) if cases.weights_stay else ways.extra_bytes[form]
    counts = runs.times.astype(np.float64)
    found = search_columns(problems, objective, Alternatives(
        counts, runs.option, runs.case, vector, extra * cycles_per_byte,
        np.argsort(ways.rank[runs.nest], kind="stable")))
    bounds = np.searchsorted(runs.option, np.arange(len(form) + 1))
    first = bounds[:-1]

    def total(*results: int) -> Floats:
        one = sum(found[:, result] for result in results)
        return np.add.reduceat(counts * one, first) if len(first) else np.empty(0)

    array = total(tables.R_COMPUTE)
    weights = total(tables.R_W) + extra
    read = weights + total(tables.R_X, tables.R_YREAD)
    write = total(tables.R_YWRITE)
    transfer = (read + write) * engine.freq_hz / engine.dram_bytes_per_s
    fetch = weights * engine.freq_hz / engine.dram_bytes_per_s
    cycles = np.maximum(np.maximum(total(tables.R_LATENCY), vector), transfer)
    sram = total(tables.R_SRAM) + extra
    each = _energies_of(engine)
    streams, starving = ways.on_vector[form], ways.starved[form]
    busy = np.stack([np.where(streams | starving, 0.0, array), transfer, np.where(starving, array, 0.0),
                     np.maximum(vector, np.where(streams, array, 0.0))])
    with np.errstate(divide="ignore", invalid="ignore"):  # rows of mappings that do not exist
        made = Options(
            case=runs.case, compute_cycles=np.round(ways.untiled_cycles[form]), cycles=cycles,
            prefetched_cycles=_prefetched(cycles, np.maximum(array, vector), fetch, transfer - fetch),
            dram_read_bytes=read, dram_write_bytes=write, weight_bytes=weights, sram_bytes=sram,
            energies_j=np.stack([ways.mac_j[form], ways.moving_j[form], sram * each.sram_byte,
                                 (read + write) * each.dram_byte, ways.operations[form] * each.vector_op], axis=1),
            utilisation_frac=np.minimum(1.0, ways.useful_cycles[form] / cycles), limited_by=busy.argmax(axis=0),
            form=form, keeps=runs.keeps, first_run=first, last_run=bounds[1:])
    fits = np.ones(len(form), dtype=np.bool_)
    fits[runs.option[found[:, tables.R_STATUS] == 0.0]] = False
    return Options._make([column[fits] for column in made]), problems, runs.times, found


def _prefetched(cycles: Floats, compute: Floats, weights: Floats, other: Floats) -> Floats:
    """Latency of layers of `cycles` whose weights were loaded before: `compute`, or the `other` DRAM transfers if they
    are longer; never shorter by more than the transfer of the weights takes.

    The first and last tiles of the activations, which nothing hides, are in it only as far as the second rule goes.
    """
    return np.minimum(cycles, np.maximum(np.maximum(compute, other), cycles - weights))


def _vector(cases: Cases, engine: Engine) -> Options:
    """The options of vector layers, one per case."""
    chosen = cases.streamed
    inputs, outputs, extra = cases.in_bytes[chosen], cases.streamed_out_bytes[chosen], cases.extra_bytes[chosen]
    operations = cases.vector_ops[chosen].astype(np.float64)
    compute = (-(-cases.vector_ops[chosen] // engine.vector_lanes)).astype(np.float64)
    weights = np.zeros(len(chosen)) if cases.weights_stay else extra
    write = np.where(cases.written[chosen], outputs, 0.0)
    read = np.maximum(0.0, inputs - cases.resident_bytes[chosen]) + weights
    transfer = (read + write) * engine.freq_hz / engine.dram_bytes_per_s
    fetch = weights * engine.freq_hz / engine.dram_bytes_per_s
    cycles = np.maximum(compute, transfer)
    sram = inputs + outputs + read + write
    each = _energies_of(engine)
    zero, none = np.zeros(len(chosen)), np.zeros(len(chosen), dtype=np.int64)
    used = np.divide(operations, cycles * engine.vector_lanes, out=np.zeros(len(chosen)), where=cycles > 0.0)
    return Options(
        case=chosen, compute_cycles=compute, cycles=cycles,
        prefetched_cycles=_prefetched(cycles, compute, fetch, transfer - fetch), dram_read_bytes=read,
        dram_write_bytes=write, weight_bytes=weights, sram_bytes=sram,
        energies_j=np.stack([zero, zero, sram * each.sram_byte, (read + write) * each.dram_byte,
                             operations * each.vector_op], axis=1),
        utilisation_frac=used, limited_by=np.where(transfer > compute, DRAM, VECTOR), form=none - 1, keeps=none > 0,
        first_run=none, last_run=none)
