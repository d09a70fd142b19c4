"""Requests that must be late, whatever the policy: bounds of tails.

Model
-----
late         requests that cannot meet deadlines arrival + theta D, for any policy: preemptive earliest-deadline-first
             on one resource finds a window whose demand exceeds its length at its first miss; one request of that
             window is late. What arrives after the window starts anew, so windows are disjoint and their misses add.
tail / D     of the worst tenant > theta if more requests are late at theta than the percentiles of all tenants leave
             free, n - 1 - floor(0.99 (n - 1)) each; or if the demand of some window exceeds its length even without
             the free ones (a lasting overload); or if, where one is free, it must take longer than the interpolated
             percentile lets it

References
----------
C. L. Liu, J. W. Layland, JACM 20(1), 1973, doi:10.1145/321738.321743; S. Baruah et al., Real-Time Systems 2, 1990,
doi:10.1007/BF01995675 (demand of a window against its length).
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.offered_load import Load

__all__ = ["spare_requests", "worst_tails"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STARTS = 3
"""Windows that are tried for overload start at the first request, and a third and two thirds through."""


@njit(cache=True)
def _late(arrival, first, ahead, work, allowed, use, enough, head, left):  # type: ignore[no-untyped-def]
    """Requests of the tenants in `use` that must be late, counted until they are more than `enough`.

    Of a tenant the first request is due first, so earliest-deadline-first needs no queue but a head per tenant.

    Parameters
    ----------
    arrival : of all requests, tenant by tenant, (n,); those of tenant t from first[t] on, (T + 1,).
    head, left : scratch, (T,).
    """
    tenants = len(use)
    late, now = 0, -np.inf
    for t in range(tenants):
        head[t] = first[t] if use[t] else first[t + 1]
        left[t] = work[t]
    while True:
        best, due, upcoming = -1, np.inf, np.inf
        for t in range(tenants):
            if head[t] < first[t + 1]:
                release = arrival[head[t]] + ahead[t]
                if release > now:
                    if release < upcoming:
                        upcoming = release
                elif arrival[head[t]] + allowed[t] < due:
                    best, due = t, arrival[head[t]] + allowed[t]
        if best < 0:
            if upcoming == np.inf:
                return late
            now = upcoming
            continue
        end = now + left[best]
        if end > due + 1e-9 * (end - arrival[head[best]]):
            late += 1
            if late > enough:
                return late
            now = due
            for t in range(tenants):
                while head[t] < first[t + 1] and arrival[head[t]] + ahead[t] < now:
                    head[t] += 1
                left[t] = work[t]
            if head[best] < first[best + 1] and arrival[head[best]] + allowed[best] <= due:
                head[best] += 1  # released as it is due
        elif upcoming < end:
            left[best] -= upcoming - now
            now = upcoming
        else:
            head[best] += 1
            left[best] = work[best]
            now = end


@njit(cache=True)
def _overloaded(begin, arrival, first, ahead, work, allowed, use, spare, head):  # type: ignore[no-untyped-def]
    """Whether some window has more demand than room, even without the `spare` requests of every tenant in it.

    Parameters
    ----------
    begin : of the windows, some times [s]; they end when a request is due.
    arrival, first, head : as in `_late`.
    """
    tenants = len(use)
    for start in begin:
        for t in range(tenants):
            head[t] = first[t] if use[t] else first[t + 1]
            while head[t] < first[t + 1] and arrival[head[t]] + ahead[t] < start:
                head[t] += 1
            head[t] = min(head[t] + spare[t], first[t + 1])
        demand = 0.0
        while True:
            best, due = -1, np.inf
            for t in range(tenants):
                if head[t] < first[t + 1] and arrival[head[t]] + allowed[t] < due:
                    best, due = t, arrival[head[t]] + allowed[t]
            if best < 0:
                break
            head[best] += 1
            demand += work[best]
            if demand > (due - start) * (1.0 + 1e-9):
                return True
    return False


class _Stream(NamedTuple):
    """The requests, tenant by tenant."""

    arrival: Floats
    """(n,)"""
    first: Ints
    """(T + 1,) where those of every tenant begin."""
    begin: Floats
    """Where windows that are tried for overload begin [s]."""


@njit(cache=True)
def _must_be_late(allowed, separate, stream, ahead, chain, work, spare, count, scratch):  # type: ignore[no-untyped-def]
    """(late requests of all tenants, whether some have more than their `spare`) if each may take `allowed` (T,).

    Parameters
    ----------
    count : whether the first answer is wanted if the second is yes.
    """
    use, head, left = scratch
    arrival, first, begin = stream
    tenants = len(chain)
    hopeless, free, beyond = 0, 0, False
    for t in range(tenants):
        requests = first[t + 1] - first[t]
        use[t] = requests > 0 and allowed[t] < np.inf
        if use[t]:
            free += spare[t]
            if chain[t] > allowed[t] * (1.0 + 1e-9):
                use[t] = False
                hopeless += requests
                if requests > spare[t]:
                    beyond = True
    beyond = beyond or hopeless > free
    if beyond and not count:
        return hopeless, beyond
    most = 0
    if separate:
        wanted = use.copy()
        for t in range(tenants):
            if wanted[t]:
                use[:] = False
                use[t] = True
                own = _late(arrival, first, ahead, work[:, 0], allowed, use, len(arrival) if count else spare[t], head,
                            left)
                most += own
                if own > spare[t] or (not beyond and _overloaded(begin, arrival, first, ahead, work[:, 0], allowed,
                                                                 use, spare, head)):
                    beyond = True
            if beyond and not count:
                break
    else:
        for resource in range(work.shape[1]):
            if resource > 0 and work[:, resource].max() <= 0.0:
                continue
            late = _late(arrival, first, ahead, work[:, resource], allowed, use,
                         len(arrival) if count else free - hopeless, head, left)
            if late > most:
                most = late
            if hopeless + late > free or (not beyond and _overloaded(
                    begin, arrival, first, ahead, work[:, resource], allowed, use, spare, head)):
                beyond = True
            if beyond and not count:
                break
    return hopeless + most, beyond or hopeless + most > free


@njit(cache=True)
def _beyond(theta, above, separate, stream, ahead, chain, work, deadline, spare, scratch):  # type: ignore[no-untyped-def]
    """Whether some tenant's percentile must exceed theta times its deadline.

    Twice: with `spare` requests of every tenant free, and with the interpolation of the percentile in mind. It weighs
    the last but one request 1 - `above` and the last `above`, so of a tenant with one spare request that one must take
    no more than (theta D - (1 - above) chain) / above.
    """
    tenants = len(chain)
    allowed, none_free, closer = theta * deadline, spare.copy(), False
    _, beyond = _must_be_late(allowed, separate, stream, ahead, chain, work, spare, False, scratch)
    if beyond:
        return True
    for t in range(tenants):
        if spare[t] == 1 and above[t] > 1e-6 and allowed[t] < np.inf:
            most = (allowed[t] - (1.0 - above[t]) * chain[t] * (1.0 - 1e-9)) / above[t] * (1.0 + 1e-9)
            allowed[t], none_free[t], closer = max(most, allowed[t]), 0, True
    if not closer:
        return False
    _, beyond = _must_be_late(allowed, separate, stream, ahead, chain, work, none_free, False, scratch)
    return beyond


@njit(cache=True)
def worst_tails(load, latency, work, deadline, decision, alone, separate, spare, above, limit, steps, count,  # type: ignore[no-untyped-def]
                fraction, late):
    """Writes the bound of the worst tenant's tail / deadline, and the requests that must be late at the deadlines.

    Parameters
    ----------
    latency, deadline : (D, T); work (D, T, 3); decision, alone, separate (D,); spare, above (T,).
    limit : (D,) a design proven above it needs no closer bound.
    steps : halvings of the interval that holds the bound; 0 tries the limit only.
    count : whether `late` is wanted.
    """
    n, tenants = len(load.arrival_s), latency.shape[1]
    first = np.zeros(tenants + 1, dtype=np.int64)
    first[1:] = np.cumsum(load.requests)
    begin = np.array([load.arrival_s[start * n // _STARTS] for start in range(_STARTS if n > 0 else 0)])
    stream = _Stream(load.arrival_s[np.argsort(load.tenant, kind="mergesort")], first, begin)
    scratch = np.zeros(tenants, dtype=np.bool_), np.empty(tenants, dtype=np.int64), np.empty(tenants)
    ahead, chain = np.zeros(tenants), np.zeros(tenants)
    for d in range(len(latency)):
        for t in range(tenants):
            total, parent = 0.0, load.parent[t]
            while parent >= 0:
                total += latency[d, parent] + decision[d]
                parent = load.parent[parent]
            ahead[t] = total
            chain[t] = total + latency[d, t] + decision[d]
        low = 0.0
        for t in range(tenants):
            if load.requests[t] > 0 and deadline[d, t] < np.inf and chain[t] / deadline[d, t] > low:
                low = chain[t] / deadline[d, t]
        low *= 1.0 - 1e-9
        fraction[d], late[d] = low, 0.0
        hopeless = low <= 0.0 or low > limit[d]
        if hopeless and not count:
            continue
        cost = work[d].copy()
        if alone[d] or separate[d]:
            cost[:, 0] += decision[d]
        if count:
            late[d], _ = _must_be_late(deadline[d], separate[d], stream, ahead, chain, cost, spare, True, scratch)
        if hopeless:
            continue
        high = limit[d]
        if high < np.inf:
            if _beyond(high, above, separate[d], stream, ahead, chain, cost, deadline[d], spare, scratch):
                fraction[d] = high * (1.0 + 1e-14)
                continue
        elif steps > 0:
            growth, high = 1.1, low * 1.1
            for _ in range(12):
                if not _beyond(high, above, separate[d], stream, ahead, chain, cost, deadline[d], spare, scratch):
                    break
                low = high
                growth *= growth
                high = low * growth
        for _ in range(steps):
            middle = np.sqrt(low * high)
            if _beyond(middle, above, separate[d], stream, ahead, chain, cost, deadline[d], spare, scratch):
                low = middle
            else:
                high = middle
        fraction[d] = low


def spare_requests(load: Load, percentile: Floats) -> tuple[Ints, Floats]:
    """Requests of every tenant above its percentile, and the weight of the first of them in it, (T,) each."""
    position = percentile / 100.0 * (load.requests - 1)
    below = np.floor(position)
    return np.where(load.requests > 0, load.requests - 1 - below, 0).astype(np.int64), position - below
