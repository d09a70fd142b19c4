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

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.compiled import column
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


def lookups(table: CostTable, machine: Machine, network: Ints, sample: Ints, group: Ints) -> tuple[Lookups, Ints]:
    """Look-ups of the (network, sample, class) triples that occur, and their first rows.

    Parameters
    ----------
    network, sample, group : of every request, shape (n,); group = bound engine + 1, 0 = any.

    Returns
    -------
    look-ups, and the first row of every request, shape (n,).
    """
    shape = (*table.offset.shape[:2], table.offset.shape[2] + 1)
    codes, inverse = np.unique(np.ravel_multi_index((network, sample, group), shape), return_inverse=True)
    estimate, sparsity = column(table.estimate_s), column(table.sparsity_frac)
    pattern = estimate if table.pattern_s is None else column(table.pattern_s)
    average = sparsity if table.pattern_sparsity_frac is None else column(table.pattern_sparsity_frac)
    n, s, g = np.unravel_index(codes, shape)
    lengths = table.n_layers[n]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    columns = Lookups(*(np.empty(starts[-1]) for _ in Lookups._fields))
    single = table.offset.shape[2:] == (1, 1)
    stay, sure, real = stay_frac(table), np.ones(len(table.latency_s)), depths(table)
    best: dict[tuple[str, bool, int, int], Floats] = {}

    def left(name: str, values: Floats, bound: bool, one: int, sample: int) -> Floats:
        """By row; what is true of a sample is not true of others that share its rows."""
        own = name == "true_left_s" and table.depth is not None
        which = (name, bound, one, sample) if own else (name, bound, -1, -1)
        if which not in best:
            lengths, offset = table.n_layers, table.offset
            if own:
                lengths, offset = real[one : one + 1, sample], offset[one : one + 1, sample : sample + 1]
            best[which] = _left(lengths, offset, values, sure if name == "true_left_s" else stay, table, machine, bound)
        return best[which]

    sums = (("left_s", estimate), ("pattern_left_s", pattern), ("true_left_s", column(table.latency_s)))
    for index in range(len(codes)):
        size = int(lengths[index])
        rows = slice(int(starts[index]), int(starts[index]) + size)
        places = table.offset[n[index], s[index]]
        if g[index]:
            places = places[g[index] - 1 : g[index]]
        firsts = [int(first) for first in places.ravel() if first >= 0]
        for name, values in sums:
            own, known = getattr(columns, name)[rows], size
            if name == "true_left_s":
                known = int(real[n[index], s[index]])
                own[known:] = 0.0
            if single:
                own[:known] = suffix_sums(values, sure if name == "true_left_s" else stay, firsts[0], known)
            else:
                ahead = left(name, values, bool(g[index]), int(n[index]), int(s[index]))
                own[:known] = np.min([ahead[first : first + known] for first in firsts], axis=0)
        columns.next_s[rows] = np.min([estimate[first : first + size] for first in firsts], axis=0)
        columns.pattern_next_s[rows] = np.min([pattern[first : first + size] for first in firsts], axis=0)
        columns.density_ratio[rows] = ratios(sparsity, average, firsts[0], size, False)
        columns.measured_density_ratio[rows] = ratios(sparsity, average, firsts[0], size, True)
    return columns, starts[:-1][inverse.ravel()]
