"""Columns that the event loops read: tables, requests and look-ups in the form the compiled code wants.

Rows
----
A *place* is a pair (engine, level). Row of layer l of (network, sample) at a place: `offset[n, s, e, u] + l`.
Look-ups hold what is left from layer l on, per (network, sample, class) in use: class 0 = the tenant may use every
engine, class e + 1 = it is bound to engine e. Row: `look[n, s, class] + l`.

What is left of a request that runs alone is a plain left-to-right sum if there is one place, else the least over all
ways of placing its layers, moves included (dynamic programming from the last layer). Where a request may leave early,
what comes after an exit counts with the declared probability of getting there.
"""

from math import prod
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.compiled import column
from hwmodels.errors import InvalidWorkload
from hwmodels.tables import CostTable, Machine

__all__ = ["Hardware", "Lookups", "depths", "hardware", "lookups", "move_s", "ratios", "stay_frac", "suffix_sums",
           "transition_s"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Hardware(NamedTuple):
    """`CostTable` and `Machine` without optional columns."""

    n_layers: Ints
    offset: Ints
    latency_s: Floats
    dram_bytes: Floats
    energy_j: Floats
    live_bytes: Floats
    estimate_s: Floats
    units: Ints
    level_units: Ints
    top_level: Ints
    """(E,) level of the undivided engine."""
    engine_bytes_per_s: Floats
    bytes_per_s: float
    dram_mode: int
    reconfigure_s: float
    decision_s: float
    switch_s: float
    j_per_byte: float
    any_left_s: Floats
    """(R,) estimated time left from this row on, all engines usable."""
    own_left_s: Floats
    """(R,) the same, bound to this engine."""
    stay_frac: Floats
    """(R,) declared probability of going on after this layer."""
    depth: Ints
    """(N, S) layers that a request really runs."""


class Lookups(NamedTuple):
    """What a policy may be told of a task at layer l; shape (Q,)."""

    left_s: Floats
    next_s: Floats
    pattern_left_s: Floats
    pattern_next_s: Floats
    density_ratio: Floats
    measured_density_ratio: Floats
    true_left_s: Floats


@njit(cache=True)
def transition_s(same_engine, same_level, live, bytes_per_s, reconfigure_s, switch_s):  # type: ignore[no-untyped-def]
    """Cost of moving a task to another place at a layer boundary: its live data are saved and restored through DRAM
    unless it stays on its engine; another set of units is configured."""
    if same_engine:
        return 0.0 if same_level else reconfigure_s
    return 2.0 * live / bytes_per_s + switch_s + reconfigure_s


@njit(cache=True)
def move_s(n_layers, offset, latency, stay, live, bytes_per_s, reconfigure_s, switch_s, bound):  # type: ignore[no-untyped-def]
    """Time left from every row on, shape (R,): the least over all places of the later layers.

    Parameters
    ----------
    stay : probability of going on after the layer, shape (R,).
    bound : stay on the engine of the row.
    """
    left = np.zeros(len(latency))
    n_networks, n_samples, n_engines, n_levels = offset.shape
    for n in range(n_networks):
        for s in range(n_samples):
            for layer in range(n_layers[n] - 1, -1, -1):
                for e in range(n_engines):
                    for u in range(n_levels):
                        if offset[n, s, e, u] < 0:
                            continue
                        row = offset[n, s, e, u] + layer
                        best = 0.0
                        if layer + 1 < n_layers[n]:
                            best = left[row + 1]
                            for f in range(n_engines):
                                if bound and f != e:
                                    continue
                                for v in range(n_levels):
                                    if offset[n, s, f, v] >= 0 and (f != e or v != u):
                                        there = left[offset[n, s, f, v] + layer + 1] + transition_s(
                                            f == e, v == u, live[row], bytes_per_s[f], reconfigure_s, switch_s)
                                        if there < best:
                                            best = there
                        left[row] = latency[row] + stay[row] * best
    return left


@njit(cache=True)
def suffix_sums(values, stay, start, count):  # type: ignore[no-untyped-def]
    """Sums of `values[start + l : start + count]` for every l, each added from left to right, shape (count,); a value
    counts with the probability of getting there from l."""
    out = np.zeros(count)
    for layer in range(count):
        total, reach = 0.0, 1.0
        for later in range(start + layer, start + count):
            total += reach * values[later]
            reach *= stay[later]
        out[layer] = total
    return out


@njit(cache=True)
def ratios(sparsity, average, start, count, skip):  # type: ignore[no-untyped-def]
    """Mean of (1 - sparsity) / (1 - average) over the layers before l, for every l, shape (count,); 1 where there is
    none. A layer whose average is 1 counts as ratio 1; with `skip`, layers whose average is 0 do not count."""
    out = np.ones(count)
    total = 0.0
    counted = 0
    for layer in range(count):
        if counted > 0:
            out[layer] = total / counted
        at = start + layer
        if skip and average[at] <= 0.0:
            continue
        counted += 1
        total += (1.0 - sparsity[at]) / (1.0 - average[at]) if average[at] < 1.0 else 1.0
    return out


def stay_frac(table: CostTable) -> Floats:
    """Declared probability of going on after every row, shape (R,)."""
    return np.ones(len(table.latency_s)) if table.exit_frac is None else 1.0 - table.exit_frac


def depths(table: CostTable) -> Ints:
    """Layers that a request of every sample really runs, shape (N, S)."""
    if table.depth is not None:
        return column(table.depth, np.int64)
    return np.repeat(table.n_layers.astype(np.int64)[:, None], table.offset.shape[1], axis=1)


def _bandwidth(machine: Machine) -> Floats:
    """At which each engine saves and restores, shape (E,) [byte/s]."""
    if machine.engine_dram_bytes_per_s is None:
        return np.full(len(machine.units), machine.dram_bytes_per_s, dtype=np.float64)
    return column(machine.engine_dram_bytes_per_s)


def _left(lengths: Ints, offset: Ints, values: Floats, stay: Floats, table: CostTable, machine: Machine,
          bound: bool) -> Floats:
    """`move_s` of a table on a machine."""
    return np.asarray(move_s(column(lengths, np.int64), column(offset, np.int64), column(values), stay,
                             column(table.live_bytes), _bandwidth(machine), float(machine.reconfigure_s),
                             float(machine.switch_s), bound))


def hardware(table: CostTable, machine: Machine) -> Hardware:
    """Everything the loops need of table and machine."""
    levels = np.searchsorted(machine.level_units, machine.units, side="right") - 1
    stay = stay_frac(table)
    own, free = (_left(table.n_layers, table.offset, table.estimate_s, stay, table, machine, bound)
                 for bound in (True, len(machine.units) == 1))
    return Hardware(
        n_layers=column(table.n_layers, np.int64),
        offset=column(table.offset, np.int64),
        latency_s=column(table.latency_s),
        dram_bytes=column(table.dram_bytes),
        energy_j=column(table.energy_j),
        live_bytes=column(table.live_bytes),
        estimate_s=column(table.estimate_s),
        units=column(machine.units, np.int64),
        level_units=column(machine.level_units, np.int64),
        top_level=np.maximum(levels, 0).astype(np.int64),
        engine_bytes_per_s=_bandwidth(machine),
        bytes_per_s=float(machine.dram_bytes_per_s),
        dram_mode=int(machine.dram_mode),
        reconfigure_s=float(machine.reconfigure_s),
        decision_s=float(machine.decision_s),
        switch_s=float(machine.switch_s),
        j_per_byte=float(machine.dram_j_per_byte),
        any_left_s=free,
        own_left_s=own,
        stay_frac=stay,
        depth=depths(table),
    )


@njit(cache=True)
def _distinct(network, sample, group, shape):  # type: ignore[no-untyped-def]
    """(flat indices of the triples that occur, ascending; for every entry its place among them)"""
    place = np.zeros(shape[0] * shape[1] * shape[2], dtype=np.int64)
    flat = (network * shape[1] + sample) * shape[2] + group
    for index in flat:
        place[index] = 1
    found = np.flatnonzero(place)
    place[found] = np.arange(len(found))
    return found, place[flat]


@njit(cache=True)
def _sums(values, stay, first, start, count, out):  # type: ignore[no-untyped-def]
    """`suffix_sums` of every triple, from its first row on, into `out`, from `start` on."""
    for k in range(len(first)):
        out[start[k] : start[k] + count[k]] = suffix_sums(values, stay, first[k], count[k])


@njit(cache=True)
def _least(values, places, count, out):  # type: ignore[no-untyped-def]
    """Least of `values[first + l]` over the first rows of the places, -1 = not usable, for every l."""
    for layer in range(count):
        out[layer] = np.inf
        for first in places:
            if first >= 0 and values[first + layer] < out[layer]:
                out[layer] = values[first + layer]


@njit(cache=True)
def _layers(estimate, pattern, sparsity, average, places, first, start, count, columns):  # type: ignore[no-untyped-def]
    """Fill the columns of single layers, and the ratios."""
    for k in range(len(first)):
        rows = slice(start[k], start[k] + count[k])
        _least(estimate, places[k], count[k], columns.next_s[rows])
        _least(pattern, places[k], count[k], columns.pattern_next_s[rows])
        columns.density_ratio[rows] = ratios(sparsity, average, first[k], count[k], False)
        columns.measured_density_ratio[rows] = ratios(sparsity, average, first[k], count[k], True)


def lookups(table: CostTable, machine: Machine, network: Ints, sample: Ints,
            engine: Ints) -> tuple[Lookups, Ints, Ints]:
    """Look-ups of the (network, sample, class) triples that occur.

    Parameters
    ----------
    network, sample, engine : of every request, shape (n,); engine that it is bound to, -1 = any.

    Returns
    -------
    look-ups, the first row of every request, and how many layers it really runs, shape (n,).

    Raises
    ------
    InvalidWorkload : a network that cannot run on any engine it may use.
    """
    shape = (*table.offset.shape[:2], table.offset.shape[2] + 1)
    found, inverse = _distinct(network, sample, engine + 1, shape)
    n, s, g = np.unravel_index(found, shape)
    usable = (g[:, None] == 0) | (g[:, None] == np.arange(1, shape[2]))
    offset = np.where(usable[:, :, None], table.offset[n, s], -1)
    places = column(offset.reshape(len(found), prod(offset.shape[1:])), np.int64)
    stuck = np.flatnonzero(places.max(axis=1, initial=-1) < 0)
    if len(stuck):
        raise InvalidWorkload("trace.network", "able to run on an engine it may use", int(n[stuck[0]]))
    first = places[np.arange(len(found)), (places >= 0).argmax(axis=1)]
    estimate, sparsity, latency = column(table.estimate_s), column(table.sparsity_frac), column(table.latency_s)
    pattern = estimate if table.pattern_s is None else column(table.pattern_s)
    average = sparsity if table.pattern_sparsity_frac is None else column(table.pattern_sparsity_frac)
    count, depth = column(table.n_layers[n], np.int64), depths(table)[n, s]
    starts = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    columns = Lookups(*(np.zeros(starts[-1]) for _ in Lookups._fields))
    _layers(estimate, pattern, sparsity, average, places, first, starts, count, columns)
    stay, sure = stay_frac(table), np.ones(len(latency))
    sums = ((columns.left_s, estimate, stay, count), (columns.pattern_left_s, pattern, stay, count),
            (columns.true_left_s, latency, sure, depth))  # 0 where no layer is left
    if table.offset.shape[2:] == (1, 1):
        for own, values, going_on, known in sums:
            _sums(values, going_on, first, starts, known, own)
        return columns, starts[inverse], depth[inverse]
    for own, values, going_on, known in sums:
        ahead: dict[tuple[bool, int, int], Floats] = {}
        for k in range(len(found)):
            bound, one, its = bool(g[k]), slice(None), slice(None)
            lengths = table.n_layers
            if known is depth and table.depth is not None:  # what is true of a sample is not of others with its rows
                one, its, lengths = slice(n[k], n[k] + 1), slice(s[k], s[k] + 1), depth[k : k + 1]
            which = bound, one.start or 0, its.start or 0
            if which not in ahead:
                ahead[which] = _left(lengths, table.offset[one, its], values, going_on, table, machine, bound)
            _least(ahead[which], places[k], known[k], own[starts[k] :])
    return columns, starts[inverse], depth[inverse]
