"""Lower bounds of tails from a simulation of the first requests, or of all of them that was stopped.

Model
-----
No policy knows what arrives later (of a tenant it may know number and period, which stay those of the whole trace). So
until the first request that was left out arrives, or the run is stopped, at time c, everything happens as in the whole
run:

    finish <= c        holds in the whole run
    any other          ends after c
    left out           ends at some time

A run may stop as soon as more requests of a tenant are later than a share theta of their deadline than its percentile
leaves free: then the tail is above theta (`watch_of`). Where a point dominates only what also needs more energy, it
goes on until the finished requests took so much.

Percentiles and shares of late requests rise with every latency, so with these they are no more than those of the whole
run. With all requests (c infinite) they are exact.
"""

import math
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from hwmodels.compiled import column
from hwmodels.kernel_parts import Watch
from hwmodels.tables import TaskRecords
from hwmodels.workload import RequestTrace

__all__ = ["Prefix", "Tails", "first_requests", "prefix_of", "watch_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Prefix(NamedTuple):
    """What is known from a run of the first k requests."""

    finish_s: Floats
    """At the earliest, (k,); inf: never."""
    done: NDArray[np.bool_]
    """Finished then, in the whole run too, (k,)."""


def first_requests(arrival_s: Floats, frac: float) -> int:
    """How many requests to serve for about this share of them: requests of one instant stay together, and so do
    followers with those they follow."""
    count = int(len(arrival_s) * frac)
    if not 0 < count < len(arrival_s):
        return len(arrival_s)
    return int(np.searchsorted(arrival_s, arrival_s[count], side="left")) or len(arrival_s)


def prefix_of(trace: RequestTrace, records: TaskRecords) -> Prefix:
    """Of the records of the first requests of a trace."""
    count = len(records.finish_s)
    end = min(records.stopped_s, trace.arrival_s[count] if count < len(trace.arrival_s) else np.inf)
    done = records.finish_s <= end
    late = np.maximum(end, trace.arrival_s[:count])
    return Prefix(np.where(done, records.finish_s, late), done & np.isfinite(records.finish_s))


def watch_of(trace: RequestTrace, percentiles: Floats, theta: Floats, more_j: Floats | None = None,
             least_j: Floats | None = None) -> Watch:
    """Stop a run once the tail of some tenant is above a level theta, and the energy above what belongs to it.

    Parameters
    ----------
    percentiles : of the tail of every tenant, (T,).
    theta : shares of the relative deadlines, (L,); those that are not positive or not finite stop nothing.
    more_j : dynamic energy of finished requests beyond `least_j` each, (L,); None: 0.
    least_j : dynamic energy of one request of every tenant, (T,).
    """
    more_j = np.zeros(len(theta)) if more_j is None else more_j
    least_j = np.zeros(len(percentiles)) if least_j is None else least_j
    usable = (theta > 0.0) & np.isfinite(theta)
    relative = trace.deadline_s - trace.arrival_s
    requests = np.bincount(trace.tenant, minlength=len(percentiles))
    open_ended = np.bincount(trace.tenant, weights=~np.isfinite(relative), minlength=len(percentiles)) > 0
    spare = np.where(open_ended, requests, requests - 1 - np.floor(percentiles / 100.0 * (requests - 1)))
    due_s = trace.arrival_s + theta[usable, None] * (1.0 + 1e-12) * relative
    order = np.argsort(due_s, axis=1, kind="stable")
    return Watch(np.take_along_axis(due_s, order, axis=1), order, spare.astype(np.int64), more_j[usable],
                 column(least_j))


@final
class Tails:
    """Bounds of p99_deadline_frac, slo_miss_frac and slo_violation_frac from runs of a trace that ended early, overall
    and as `TENANT.METRIC`."""

    def __init__(self, trace: RequestTrace, names: list[str], percentiles: Floats) -> None:
        """`names` and `percentiles` are those of the tenants, (T,)."""
        self._trace, self._relative_s = trace, trace.deadline_s - trace.arrival_s
        rows = [np.flatnonzero(trace.tenant == t) for t in range(len(names))]
        self._tenants = [(name, percentile, own, bool(np.isfinite(trace.deadline_s[own]).all()))
                         for name, percentile, own in zip(names, percentiles.tolist(), rows, strict=True) if len(own)]

    def bounds(self, prefix: Prefix) -> dict[str, float]:
        """What a prefix proves."""
        trace, count = self._trace, len(prefix.finish_s)
        late = prefix.finish_s > trace.deadline_s[:count]
        with np.errstate(invalid="ignore"):
            used = (prefix.finish_s - trace.arrival_s[:count]) / self._relative_s[:count]
        found = {"slo_violation_frac": float(late.sum()) / max(1, len(trace.arrival_s)), "p99_deadline_frac": 0.0,
                 "slo_miss_frac": -1.0}
        for name, percentile, rows, finite in self._tenants:
            total, seen = len(rows), rows if count == len(trace.arrival_s) else rows[:np.searchsorted(rows, count)]
            found[f"{name}.slo_violation_frac"] = float(late[seen].sum()) / total
            if not finite:
                continue
            known = np.sort(used[seen])
            tail, miss = _at_least(known, total, 99.0), _at_least(known, total, percentile) - 1.0
            found[f"{name}.p99_deadline_frac"], found[f"{name}.slo_miss_frac"] = tail, miss
            found["p99_deadline_frac"] = max(found["p99_deadline_frac"], tail)
            found["slo_miss_frac"] = max(found["slo_miss_frac"], miss)
        return found


def _at_least(known: Floats, total: int, percentile: float) -> float:
    """Percentile of `total` values of which the `known` ones are given in order, the others at least 0; interpolated
    as `hwmodels.metrics` does it."""
    position = percentile / 100.0 * (total - 1)
    low = math.floor(position)
    high = min(low + 1, total - 1)
    missing = total - len(known)
    least, most = (float(known[i - missing]) if i >= missing else 0.0 for i in (low, high))
    if position == low or least == most:
        return least
    return most if math.isinf(most) else least + (most - least) * (position - low)
