"""DERCA: earliest deadline first, preemptible only at points that are chosen before the run.

Model
-----
A task may be stopped at ends of layers or of tiles (`grain`); inside a layer its partial sums persist or are recomputed
(`mechanism`, `hwmodels.stops`). Preempting costs time, so a task is preempted as rarely as its rivals tolerate. Tenants
are sorted by relative deadline. Up to tenant k, demand(t) = sum over j <= k of (1 + floor((t - D_j) / P_j)) e_j, and
beta_k is the least slack t - demand(t) over their deadlines t in [D_k, D_(k+1)). The parts of tenant i between two
points are joined to regions no longer than min over k < i of beta_k (`hwmodels.derca.placed_cuts`), what it takes to
resume there included; the first tenant is one region. A tenant without a placement, and with it every one after it, may
be stopped at every point.

P is the mean distance of a tenant's requests, D its relative deadline, e the time of all its layers and, for each of
its regions, of one decision and of resuming there: restoring, fetching operands again, redoing tiles. Before its first
region a task saves the one that it preempts: the most that a tenant of longer deadline may have to save.
The time unit of the analysis is 2^-40 of the longest network's.

Limits: `schedulable` is a guarantee if requests come no closer than P and layers take no longer than estimated.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.derca import placed_cuts
from hwmodels.policies.base import GRAIN, Param, Policy, Stops, Tenants, key
from hwmodels.stops import kept_bytes, redone_tiles, undivided
from hwmodels.tables import CostTable, Machine

__all__ = ["POLICY", "Placement", "placement", "tolerance"]

Ints = NDArray[np.int64]

_MOST_DEADLINES = 100_000
"""Deadlines of one tenant looked at in one interval."""
_NEVER = 2**60


class Placement(NamedTuple):
    """What the analysis found."""

    points: tuple[NDArray[np.bool_], ...]
    """As `Stops.points`."""
    schedulable: bool
    """Every tenant with a deadline has a placement, and the demand of all fits: no deadline is missed."""


class _Parts(NamedTuple):
    """A tenant's network between the points where it may be stopped at all, in units of the analysis; shape (R,)."""

    first_tile: Ints
    """Tiles of the network before the part."""
    work: Ints
    save: Ints
    """To save the task when it is stopped before the part."""
    resume: Ints
    """To go on with the part after that; one decision included."""
    tiles: int
    """Of the network."""


def tolerance(deadline: list[int], period: list[int], demand: list[int], stop: int) -> int:
    """beta of the last of the given tasks: least slack over all their deadlines in [its own, stop), in any unit.

    Parameters
    ----------
    deadline : relative, ascending.
    """
    start = deadline[-1]
    points = {start}
    for d, p in zip(deadline, period, strict=True):
        first = d + max(0, -((d - start) // p)) * p
        points.update(range(first, stop, p)[:_MOST_DEADLINES])
    times = np.array(sorted(points), dtype=np.int64)
    slack = times.copy()
    for d, p, e in zip(deadline, period, demand, strict=True):
        slack -= np.where(times >= d, 1 + (times - d) // p, 0) * e
    return int(slack.min())


def _end(deadline: list[int], period: list[int], demand: list[int]) -> int | None:
    """Where no later deadline can have less slack than the last task's first; None if the test cannot be settled.

    Slack at t is at least (1 - U) t - sum U_j (P_j - D_j).
    """
    load = sum(e / p for e, p in zip(demand, period, strict=True))
    if load >= 1.0:
        return None
    start = deadline[-1]
    hidden = sum(e / p * (p - d) for d, p, e in zip(deadline, period, demand, strict=True))
    stop = max(start + 1, int((tolerance(deadline, period, demand, start + 1) + hidden) / (1.0 - load)) + 1)
    settled = all((stop - start) / p < _MOST_DEADLINES for p in period) and stop < 2**62
    return stop if settled else None


@njit(cache=True, error_model="numpy")
def _costs(tiles, piece, sums, reload, estimate, live, inside, how, bandwidth, columns):  # type: ignore[no-untyped-def]
    """Write (first tile, time, time to save, time to resume) of every part of a network; returns how many there are."""
    count, done, before = 0, 0, 0.0
    for row in range(len(tiles)):
        n = tiles[row]
        tile_s = estimate[row] / n
        for tile in range(n if inside else 1):
            kept, again = before, 0.0
            if tile > 0:
                redone = redone_tiles(how, tile, piece[row], tile_s, sums[row], bandwidth)
                kept = kept_bytes(tile, n, piece[row], redone, before, live[row], sums[row])
                again = redone * tile_s + reload[row] / bandwidth
            columns[count, 0], columns[count, 1] = done + tile, tile_s if inside else estimate[row]
            columns[count, 2], columns[count, 3] = kept / bandwidth, kept / bandwidth + again
            count += 1
        done += n
        before = live[row]
    return count


def _parts(table: CostTable, machine: Machine, network: int, inside: bool, how: int, unit: float) -> _Parts:
    """A network cut wherever it may be stopped at all."""
    first = max(0, int(table.offset[network, 0, 0, 0]))
    own = slice(first, first + int(table.n_layers[network]))
    cut = [column[own] for column in (table.tiles or undivided(len(table.latency_s)))]
    given = machine.engine_dram_bytes_per_s
    bandwidth = machine.dram_bytes_per_s if given is None else float(given[0])
    columns = np.empty((int(cut[0].sum()), 4))
    columns = columns[: _costs(*cut, table.estimate_s[own], table.live_bytes[own], inside, how, bandwidth, columns)]
    columns[:, 3] += machine.decision_s + machine.switch_s
    work, save, resume = np.ceil(columns[:, 1:].T / unit).astype(np.int64)
    return _Parts(columns[:, 0].astype(np.int64), work, save, resume, int(cut[0].sum()))


def placement(table: CostTable, machine: Machine, tenants: Tenants, *, tiles: bool, how: int) -> Placement:
    """Where each tenant may be stopped, and whether all deadlines are then met.

    Parameters
    ----------
    tiles, how : as in `hwmodels.policies.base.Stops`.
    """
    longest = [float(table.estimate_s[first : first + length].sum())
               for first, length in zip(table.offset[tenants.network, 0, 0, 0], table.n_layers[tenants.network],
                                        strict=True)]
    unit = max(longest) / 2.0**40
    if unit <= 0.0:
        unit = 2.0**-40
    made = {int(n): _parts(table, machine, int(n), tiles, how, unit) for n in np.unique(tenants.network)}
    parts = [made[int(n)] for n in tenants.network]
    points = []
    for own in parts:
        allowed = np.zeros(own.tiles, dtype=np.bool_)
        allowed[own.first_tile] = True
        points.append(allowed)
    decision = int(np.ceil(machine.decision_s / unit))
    deadlines: list[int] = []
    periods: list[int] = []
    demands: list[int] = []
    least = 2**62
    order = np.argsort(tenants.deadline_s, kind="stable")
    for rank, t in enumerate(order):
        own, deadline = parts[t], min(tenants.deadline_s[t] / unit, float(_NEVER))
        preempted = [int(parts[other].save.max()) for other in order[rank + 1 :]
                     if tenants.deadline_s[other] > tenants.deadline_s[t]]
        overhead = own.resume.copy()
        overhead[0] = decision + max(preempted, default=0)
        if deadlines:  # after the last deadline: as far as it matters, or one period where that cannot be said
            stop = int(deadline) if deadline < _NEVER else _end(deadlines, periods, demands)
            least = min(least, tolerance(deadlines, periods, demands,
                                         deadlines[-1] + max(periods) if stop is None else stop))
        starts = placed_cuts(own.work, overhead, max(-1, least))
        if not len(starts):
            return Placement(tuple(points), False)
        points[t][:] = False
        points[t][own.first_tile[starts]] = True
        if deadline < _NEVER:
            deadlines.append(int(deadline))
            periods.append(max(1, int(min(tenants.period_s[t] / unit, float(_NEVER)))))
            demands.append(int(own.work.sum() + overhead[starts].sum()))
    if not deadlines:
        return Placement(tuple(points), True)
    stop = _end(deadlines, periods, demands)
    fits = stop is not None and tolerance(deadlines, periods, demands, stop) >= 0
    return Placement(tuple(points), fits and least >= 0)


def _stops(table: CostTable, machine: Machine, tenants: Tenants, values: NDArray[np.float64]) -> Stops:
    grain, mechanism, place = values.tolist()
    stops = Stops(tiles=grain == 1.0, how=int(mechanism))
    if place == 0.0:
        return stops
    return stops._replace(points=placement(table, machine, tenants, tiles=stops.tiles, how=stops.how).points)


@key
def _key(tasks, i, params):  # type: ignore[no-untyped-def]
    return tasks[i].deadline_s


POLICY = Policy(
    name="derca",
    summary="Earliest deadline first, preemptible only where the deadlines of others need it: points chosen offline.",
    source="DERCA, RTSS 2025, and its public software; M. Bertogna, S. Baruah, IEEE TII 6(4), 2010, "
           "doi:10.1109/TII.2010.2049654",
    origin="reconstruction",
    params={
        "grain": GRAIN._replace(default=1.0),
        "mechanism": Param(2.0, 0.0, 2.0, "inside a layer: 0 = partial sums persist, 1 = they are recomputed, 2 = the "
                                          "cheaper at each point [-]", True),
        "placement": Param(1.0, 0.0, 1.0, "0 = it may be stopped at every point, 1 = at as few as rivals tolerate [-]",
                           True),
    },
    needs=("deadline_s",),
    key=_key,
    run_ahead=True,
    stops=_stops,
    machines="single",
    deviations="tiles of this package's mappings; periods are mean distances of the requests; deadlines may differ "
               "from periods; the cheaper mechanism counts saving and restoring",
)
