"""A queue of whole requests: what remains of the event simulation when a request is one service.

Model
-----
A request holds one place (an engine, or an equal share of a pool of units) until it is served; alone on the chip it
takes its isolated latency. Who is served, by the discipline of the policy (`hwmodels.policies.base.DISCIPLINES`):

    arrival    first come, first served, without preemption
    deadline   earliest deadline first, preemptive
    shortest   least remaining work first, preemptive
    shared     all at once, each at an equal share of its fastest place (processor sharing: fine-grained round robin)

With one engine and one tenant `arrival` is Lindley's recursion W' = max(0, W + S - A): M/D/1, M/G/1 or D/D/1 by its
arrivals. A preemption costs nothing. Needs beyond the DRAM bandwidth slow all requests in service by one factor.

References
----------
D. V. Lindley, Math. Proc. Cambridge Phil. Soc. 48(2), 1952, doi:10.1017/S0305004100027638.
L. Kleinrock, Queueing Systems vol. 1 and 2, Wiley 1975-76 (M/G/1, processor sharing), which the tests compare with.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.kernel_parts import children_of
from hwmodels.workload import RequestTrace

__all__ = ["ARRIVAL", "DEADLINE", "SHARED", "SHORTEST", "Served", "Station", "serve"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ARRIVAL, DEADLINE, SHORTEST, SHARED = range(4)
_DONE = 1e-12
"""Share of a service that rounding may leave over."""


class Station(NamedTuple):
    """Chips as a queue sees them: D chips, T tenants, at most P places."""

    time_s: Floats
    """(D, T, P) of a whole request at a place; inf where it cannot run."""
    alone_s: Floats
    """(D, T) alone on the chip: no more than the least of `time_s`."""
    dram_bytes: Floats
    """(D, T) of a request."""
    units: Ints
    """(D, P) units lent by each place of a pool, increasing; 0 for an engine."""
    pool: Ints
    """(D,) units of the pool; 0 = the places are engines."""
    dram_bytes_per_s: Floats
    """(D,) shared by all; inf where every place has its own share."""


class Served(NamedTuple):
    """What became of the requests of every case."""

    ready_s: Floats
    """(C, R) arrival, or finish of the request it follows."""
    start_s: Floats
    finish_s: Floats
    """(C, R); NaN where dropped, inf where the queue had grown beyond `most`."""
    busy_s: Floats
    """(C, P) unit-weighted time that a place was held (of a pool: all in the first column)."""


@njit(cache=True, error_model="numpy")
def _serve(arrival, tenant, parent, drop_late, first_child, sibling, deadline, time_s, alone_s, moved, units, pool,  # type: ignore[no-untyped-def]
           bandwidth, discipline, most, ready, start, finish, busy):
    """One case; writes the last four."""
    n, places = len(arrival), time_s.shape[1]
    jobs, place = np.empty(n + 1, dtype=np.int64), np.empty(n + 1, dtype=np.int64)
    left, rate = np.empty(n + 1), np.empty(n + 1)
    free, count = np.empty(places, dtype=np.bool_), np.empty(places, dtype=np.int64)
    size, upcoming, now = 0, 0, 0.0
    while True:
        while upcoming < n and (parent[upcoming] >= 0 or arrival[upcoming] <= now):
            if parent[upcoming] < 0:
                jobs[size], left[size], place[size], ready[upcoming] = upcoming, 1.0, -1, arrival[upcoming]
                size += 1
            upcoming += 1
        j = 0
        while j < size:
            r = jobs[j]
            if drop_late[r] and np.isnan(start[r]) and now >= deadline[r]:
                size -= 1
                jobs[j], left[j], place[j] = jobs[size], left[size], place[size]
            else:
                j += 1
        if size == 0:
            while upcoming < n and parent[upcoming] >= 0:
                upcoming += 1
            if upcoming >= n:
                return
            now = arrival[upcoming]
            continue
        if size > most:
            for r in range(n):
                if np.isnan(finish[r]):
                    finish[r] = np.inf
            return

        # rates
        if pool > 0:
            share = pool // size if size < pool else 1
            for j in range(size):
                t, best = tenant[jobs[j]], np.inf
                for p in range(places):
                    if units[p] > 0 and (units[p] <= share or p == 0) and time_s[t, p] < best:
                        best = time_s[t, p]
                rate[j] = 1.0 / (alone_s[t] if size == 1 else best)
                if size > pool:
                    rate[j] *= pool / size
                place[j] = 0
        elif discipline == SHARED:
            count[:] = 0
            for j in range(size):
                t = tenant[jobs[j]]
                place[j] = np.argmin(time_s[t])
                count[place[j]] += 1
            for j in range(size):
                t = tenant[jobs[j]]
                rate[j] = 1.0 / alone_s[t] if size == 1 else 1.0 / (time_s[t, place[j]] * count[place[j]])
        else:
            free[:] = True
            serving = 0
            for j in range(size):
                rate[j] = 0.0
                if discipline == ARRIVAL and place[j] >= 0:
                    free[place[j]] = False
                    serving += 1
                else:
                    place[j] = -1
            for _ in range(places):
                best, chosen, at = np.inf, -1, -1
                for j in range(size):
                    if place[j] >= 0:
                        continue
                    r = jobs[j]
                    t = tenant[r]
                    where, quickest = -1, np.inf
                    for p in range(places):
                        if free[p] and time_s[t, p] < quickest:
                            where, quickest = p, time_s[t, p]
                    if where < 0:
                        continue
                    key = ready[r]
                    if discipline == DEADLINE:
                        key = deadline[r]
                    elif discipline == SHORTEST:
                        key = left[j] * alone_s[t]
                    if chosen < 0 or key < best or (key == best and r < jobs[chosen]):
                        best, chosen, at = key, j, where
                if chosen < 0:
                    break
                place[chosen] = at
                free[at] = False
                serving += 1
            for j in range(size):
                if place[j] >= 0:
                    t = tenant[jobs[j]]
                    rate[j] = 1.0 / (alone_s[t] if size == 1 else time_s[t, place[j]])
        need = 0.0
        for j in range(size):
            need += moved[tenant[jobs[j]]] * rate[j]
        slow = bandwidth / need if need > bandwidth else 1.0
        step = np.inf
        for j in range(size):
            if rate[j] > 0.0:
                rate[j] *= slow
                if np.isnan(start[jobs[j]]):
                    start[jobs[j]] = now
                if left[j] / rate[j] < step:
                    step = left[j] / rate[j]
        while upcoming < n and parent[upcoming] >= 0:
            upcoming += 1
        due = arrival[upcoming] if upcoming < n else np.inf
        then = now + step
        if due < then:
            then, step = due, due - now

        # what is done by then
        for j in range(size):
            if rate[j] > 0.0:
                left[j] -= rate[j] * step
                if discipline == SHARED and pool == 0:
                    busy[place[j]] += step / count[place[j]]
                elif pool == 0:
                    busy[place[j]] += step
        if pool > 0:
            busy[0] += step
        now = then
        before = size
        for j in range(before - 1, -1, -1):
            if left[j] > _DONE:
                continue
            r = jobs[j]
            finish[r] = now
            size -= 1
            jobs[j], left[j], place[j] = jobs[size], left[size], place[size]
            child = first_child[r]
            while child >= 0:
                ready[child] = now
                jobs[size], left[size], place[size] = child, 1.0, -1
                size += 1
                child = sibling[child]


@njit(cache=True, error_model="numpy")
def _serve_all(chip, discipline, decision, arrival, tenant, parent, drop_late, first_child, sibling, deadline, time_s,  # type: ignore[no-untyped-def]
               alone_s, moved, units, pool, bandwidth, most, ready, start, finish, busy):
    due = np.empty(len(arrival))
    for c in range(len(chip)):
        d = chip[c]
        for r in range(len(arrival)):
            due[r] = arrival[r] + deadline[c, tenant[r]]
        _serve(arrival, tenant, parent, drop_late, first_child, sibling, due, time_s[d] + decision[c],
               alone_s[d] + decision[c], moved[d], units[d], pool[d], bandwidth[d], discipline[c], most,
               ready[c], start[c], finish[c], busy[c])


def serve(station: Station, trace: RequestTrace, deadline_s: Floats, discipline: Ints, *, chip: Ints | None = None,
          decision_s: Floats | None = None, most: int | None = None) -> Served:
    """Serve all requests in C cases.

    Parameters
    ----------
    trace : its arrivals, tenants, parents and `drop_late`; sorted by arrival.
    deadline_s : relative, (C, T) [s].
    discipline : ARRIVAL, DEADLINE, SHORTEST or SHARED, (C,); a pool is shared whatever it is.
    chip : row of `station` of every case, (C,); by default case c has chip c.
    decision_s : added to every service, (C,) [s].
    most : requests in the system at which a case is given up as overloaded; never by default.
    """
    cases, requests = len(discipline), len(trace.arrival_s)
    chip = np.arange(cases) if chip is None else chip
    decision_s = np.zeros(cases) if decision_s is None else decision_s
    ready, start, finish = np.full((3, cases, requests), np.nan)
    served = Served(ready, start, finish, np.zeros((cases, station.time_s.shape[2])))
    _serve_all(chip, discipline, decision_s, trace.arrival_s, trace.tenant, trace.parent, trace.drop_late,
               *children_of(trace.parent), deadline_s, *station, requests if most is None else most, *served)
    return served
