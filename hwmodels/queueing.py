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

Requests of a tenant that wait are alike but for the order in which they came: an event costs tenants x places, however
long the queue of an overloaded chip has grown.

References
----------
D. V. Lindley, Math. Proc. Cambridge Phil. Soc. 48(2), 1952, doi:10.1017/S0305004100027638.
L. Kleinrock, Queueing Systems vol. 1 and 2, Wiley 1975-76 (M/G/1, processor sharing), which the tests compare with.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.compiled import part
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
    """(C, R); NaN where dropped."""
    busy_s: Floats
    """(C, P) unit-weighted time that a place was held (of a pool: all in the first column)."""


@part
def _append(head, tail, following, t, r):  # type: ignore[no-untyped-def]
    """Last of the list of tenant t."""
    following[r] = -1
    if head[t] < 0:
        head[t] = r
    else:
        following[tail[t]] = r
    tail[t] = r


@part
def _insert(head, tail, following, deadline, t, r):  # type: ignore[no-untyped-def]
    """Into the list of tenant t, which is in order of deadline; one that follows another may have been overtaken."""
    if head[t] < 0 or deadline[tail[t]] <= deadline[r]:
        _append(head, tail, following, t, r)
    elif deadline[r] < deadline[head[t]]:
        following[r], head[t] = head[t], r
    else:
        at = head[t]
        while deadline[following[at]] <= deadline[r]:
            at = following[at]
        following[r], following[at] = following[at], r


@part
def _remove(head, tail, following, t, r):  # type: ignore[no-untyped-def]
    """From the list of tenant t, near whose head it is."""
    if head[t] == r:
        head[t] = following[r]
        return
    at = head[t]
    while following[at] != r:
        at = following[at]
    following[at] = following[r]
    if tail[t] == r:
        tail[t] = at


@part
def _queued(arrival, tenant, parent, drop_late, first_child, sibling, deadline, time_s, alone_s, moved, bandwidth,  # type: ignore[no-untyped-def]
            discipline, ready, start, finish, busy):
    """One case with engines: one request at a time on each. The requests of a tenant that are in the system are a list
    in the order in which they are served, so that an event costs the same however long it is."""
    n, (tenants, places) = len(arrival), time_s.shape
    head, tail, following = np.full(tenants, -1), np.full(tenants, -1), np.full(n, -1)
    left, place = np.ones(n), np.full(n, -1)
    on, rate = np.full(places, -1), np.empty(places)
    may_drop = np.zeros(tenants, dtype=np.bool_)
    for r in range(n):
        may_drop[tenant[r]] |= drop_late[r]
    look = places if discipline == SHORTEST else 1  # so many of a tenant may have begun
    size, upcoming, now = 0, 0, 0.0
    while True:
        while upcoming < n and (parent[upcoming] >= 0 or arrival[upcoming] <= now):
            if parent[upcoming] < 0:
                ready[upcoming] = arrival[upcoming]
                _append(head, tail, following, tenant[upcoming], upcoming)
                size += 1
            upcoming += 1
        for t in range(tenants):
            r = head[t] if may_drop[t] else -1
            while r >= 0:
                after = following[r]
                if drop_late[r] and np.isnan(start[r]) and now >= deadline[r]:
                    _remove(head, tail, following, t, r)
                    size -= 1
                r = after
        if size == 0 and upcoming == n:
            return

        if discipline != ARRIVAL:  # whoever is served may be preempted
            for p in range(places):
                if on[p] >= 0:
                    place[on[p]], on[p] = -1, -1
        while True:
            best, chosen, at = np.inf, -1, -1
            for t in range(tenants):
                where, quickest = -1, np.inf
                for p in range(places):
                    if on[p] < 0 and time_s[t, p] < quickest:
                        where, quickest = p, time_s[t, p]
                r, seen = head[t] if where >= 0 else -1, 0
                while r >= 0 and seen < look:
                    if place[r] < 0:
                        seen += 1
                        key = ready[r]
                        if discipline == DEADLINE:
                            key = deadline[r]
                        elif discipline == SHORTEST:
                            key = left[r] * alone_s[t]
                        if chosen < 0 or key < best or (key == best and r < chosen):
                            best, chosen, at = key, r, where
                    r = following[r]
            if chosen < 0:
                break
            place[chosen], on[at] = at, chosen
            if np.isnan(start[chosen]):
                start[chosen] = now
        need = 0.0
        for p in range(places):
            if on[p] >= 0:
                t = tenant[on[p]]
                rate[p] = 1.0 / (alone_s[t] if size == 1 else time_s[t, p])
                need += moved[t] * rate[p]
        slow = bandwidth / need if need > bandwidth else 1.0
        step = np.inf
        for p in range(places):
            if on[p] >= 0:
                rate[p] *= slow
                if left[on[p]] / rate[p] < step:
                    step = left[on[p]] / rate[p]
        while upcoming < n and parent[upcoming] >= 0:
            upcoming += 1
        due = arrival[upcoming] if upcoming < n else np.inf
        then = now + step
        if due < then:
            then, step = due, due - now
        if then == np.inf:  # what is left can run nowhere
            return

        # what is done by then
        now = then
        for p in range(places):
            r = on[p]
            if r < 0:
                continue
            left[r] -= rate[p] * step
            busy[p] += step
            if left[r] > _DONE:
                continue
            finish[r] = now
            on[p] = -1
            _remove(head, tail, following, tenant[r], r)
            size -= 1
            child = first_child[r]
            while child >= 0:
                ready[child] = now
                if discipline == DEADLINE:
                    _insert(head, tail, following, deadline, tenant[child], child)
                else:
                    _append(head, tail, following, tenant[child], child)
                size += 1
                child = sibling[child]


@part
def _join(head, tail, following, leaves, progress, many, t, r):  # type: ignore[no-untyped-def]
    """Into the list of tenant t, to leave when the tenant is one request further."""
    if many[t] == 0:
        progress[t] = 0.0
    leaves[r] = progress[t] + 1.0
    _append(head, tail, following, t, r)
    many[t] += 1


@part
def _shared(arrival, tenant, parent, drop_late, first_child, sibling, deadline, time_s, alone_s, moved, units, pool,  # type: ignore[no-untyped-def]
            bandwidth, ready, start, finish, busy):
    """One case where all requests in the system are served at once. Those of a tenant advance alike and leave in the
    order in which they came: of each it is enough to know how far its tenant will be when it leaves."""
    n, (tenants, places) = len(arrival), time_s.shape
    head, tail, following = np.full(tenants, -1), np.full(tenants, -1), np.full(n, -1)
    leaves, progress, rate = np.empty(n), np.zeros(tenants), np.zeros(tenants)
    many, count = np.zeros(tenants, dtype=np.int64), np.empty(places, dtype=np.int64)
    place = np.empty(tenants, dtype=np.int64)
    for t in range(tenants):
        place[t] = 0 if pool > 0 else np.argmin(time_s[t])
    size, upcoming, now = 0, 0, 0.0
    while True:
        while upcoming < n and (parent[upcoming] >= 0 or arrival[upcoming] <= now):
            if parent[upcoming] < 0:
                ready[upcoming] = arrival[upcoming]
                if not (drop_late[upcoming] and now >= deadline[upcoming]):
                    start[upcoming] = now
                    _join(head, tail, following, leaves, progress, many, tenant[upcoming], upcoming)
                    size += 1
            upcoming += 1
        if size == 0 and upcoming == n:
            return

        count[:] = 0
        for t in range(tenants):
            count[place[t]] += many[t]
        share = pool // size if 0 < size < pool else 1
        need = 0.0
        for t in range(tenants):
            if many[t] == 0:
                continue
            whole = time_s[t, place[t]] * count[place[t]]
            if pool > 0:
                whole = np.inf
                for p in range(places):
                    if units[p] > 0 and (units[p] <= share or p == 0) and time_s[t, p] < whole:
                        whole = time_s[t, p]
                if size > pool:
                    whole *= size / pool
            rate[t] = 1.0 / (alone_s[t] if size == 1 else whole)
            need += moved[t] * rate[t] * many[t]
        slow = bandwidth / need if need > bandwidth else 1.0
        step = np.inf
        for t in range(tenants):
            if many[t] > 0:
                rate[t] *= slow
                left = leaves[head[t]] - progress[t]
                if left / rate[t] < step:
                    step = left / rate[t]
        while upcoming < n and parent[upcoming] >= 0:
            upcoming += 1
        due = arrival[upcoming] if upcoming < n else np.inf
        then = now + step
        if due < then:
            then, step = due, due - now
        if then == np.inf:  # what is left can run nowhere
            return

        # what is done by then
        now = then
        for p in range(places):
            if count[p] > 0:
                busy[p] += step
        for t in range(tenants):
            if many[t] > 0:
                progress[t] += rate[t] * step
        for t in range(tenants):
            while many[t] > 0 and leaves[head[t]] - progress[t] <= _DONE * (1.0 + progress[t]):
                r = head[t]
                head[t] = following[r]
                many[t] -= 1
                size -= 1
                finish[r] = now
                child = first_child[r]
                while child >= 0:
                    ready[child] = now
                    if not (drop_late[child] and now >= deadline[child]):
                        start[child] = now
                        _join(head, tail, following, leaves, progress, many, tenant[child], child)
                        size += 1
                    child = sibling[child]


@njit(cache=True, error_model="numpy")
def _serve_all(chip, discipline, decision, arrival, tenant, parent, drop_late, first_child, sibling, deadline, time_s,  # type: ignore[no-untyped-def]
               alone_s, moved, units, pool, bandwidth, ready, start, finish, busy):
    due = np.empty(len(arrival))
    for c in range(len(chip)):
        d = chip[c]
        for r in range(len(arrival)):
            due[r] = arrival[r] + deadline[c, tenant[r]]
        whole, alone = time_s[d] + decision[c], alone_s[d] + decision[c]
        if pool[d] > 0 or discipline[c] == SHARED:
            _shared(arrival, tenant, parent, drop_late, first_child, sibling, due, whole, alone, moved[d], units[d],
                    pool[d], bandwidth[d], ready[c], start[c], finish[c], busy[c])
        else:
            _queued(arrival, tenant, parent, drop_late, first_child, sibling, due, whole, alone, moved[d], bandwidth[d],
                    discipline[c], ready[c], start[c], finish[c], busy[c])


def serve(station: Station, trace: RequestTrace, deadline_s: Floats, discipline: Ints, *, chip: Ints | None = None,
          decision_s: Floats | None = None) -> Served:
    """Serve all requests in C cases.

    Parameters
    ----------
    trace : its arrivals, tenants, parents and `drop_late`; sorted by arrival.
    deadline_s : relative, (C, T) [s].
    discipline : ARRIVAL, DEADLINE, SHORTEST or SHARED, (C,); a pool is shared whatever it is.
    chip : row of `station` of every case, (C,); by default case c has chip c.
    decision_s : added to every service, (C,) [s].
    """
    cases, requests = len(discipline), len(trace.arrival_s)
    chip = np.arange(cases) if chip is None else chip
    decision_s = np.zeros(cases) if decision_s is None else decision_s
    ready, start, finish = np.full((3, cases, requests), np.nan)
    served = Served(ready, start, finish, np.zeros((cases, station.time_s.shape[2])))
    _serve_all(chip, discipline, decision_s, trace.arrival_s, trace.tenant, trace.parent, trace.drop_late,
               *children_of(trace.parent), deadline_s, *station, *served)
    return served
