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

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.kernel_parts import heap_pop, heap_push
from hwmodels.offered_load import Load

__all__ = ["spare_requests", "worst_tails"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STARTS = 3
"""Windows that are tried for overload start at the first request, and a third and two thirds through."""


@njit(cache=True)
def _late(arrival, tenant, order, ahead, work, allowed, use, left, keys, orders, heap):  # type: ignore[no-untyped-def]
    """Requests of the tenants in `use` that must be late; see the module's docstring. The last four are scratch."""
    n = len(order)
    late, size, at, now = 0, 0, 0, -np.inf
    while True:
        if size == 0:
            while at < n and not use[tenant[order[at]]]:
                at += 1
            if at == n:
                return late
            release = arrival[order[at]] + ahead[tenant[order[at]]]
            if release > now:
                now = release
        while at < n:
            r = order[at]
            if arrival[r] + ahead[tenant[r]] > now:
                break
            if use[tenant[r]]:
                left[r] = work[tenant[r]]
                size = heap_push(keys, orders, heap, size, arrival[r] + allowed[tenant[r]], at, r)
            at += 1
        r, due = heap[0], keys[0]
        end = now + left[r]
        if end > due + 1e-9 * (end - arrival[r]):
            late += 1
            size = 0
            now = due
            while at < n and arrival[order[at]] + ahead[tenant[order[at]]] < now:
                at += 1
            continue
        while at < n and not use[tenant[order[at]]]:
            at += 1
        upcoming = arrival[order[at]] + ahead[tenant[order[at]]] if at < n else np.inf
        if upcoming < end:
            left[r] -= upcoming - now
            now = upcoming
        else:
            size = heap_pop(keys, orders, heap, size)
            now = end


@njit(cache=True)
def _overloaded(arrival, tenant, ahead, work, allowed, use, spare, due):  # type: ignore[no-untyped-def]
    """Whether some long window has more demand than room, even without the `spare` requests of every tenant in it."""
    n, wanted = len(arrival), 0
    rows = np.empty(n, dtype=np.int64)
    for r in range(n):
        if use[tenant[r]]:
            rows[wanted] = r
            due[wanted] = arrival[r] + allowed[tenant[r]]
            wanted += 1
    order = np.argsort(due[:wanted])
    met = np.empty(len(spare), dtype=np.int64)
    for start in range(_STARTS):
        begin = arrival[start * n // _STARTS]
        demand = 0.0
        met[:] = 0
        for index in order:
            r = rows[index]
            t = tenant[r]
            if arrival[r] + ahead[t] < begin:
                continue
            met[t] += 1
            if met[t] <= spare[t]:
                continue
            demand += work[t]
            if demand > (due[index] - begin) * (1.0 + 1e-9):
                return True
    return False


@njit(cache=True)
def _must_be_late(allowed, separate, load, order, ahead, chain, work, spare, use, scratch):  # type: ignore[no-untyped-def]
    """(late requests of all tenants, whether some have more than their `spare`) if each may take `allowed` (T,)."""
    left, keys, orders, heap = scratch
    tenants = len(chain)
    hopeless, free, beyond = 0, 0, False
    for t in range(tenants):
        use[t] = load.requests[t] > 0 and allowed[t] < np.inf
        if use[t]:
            free += spare[t]
            if chain[t] > allowed[t] * (1.0 + 1e-9):
                use[t] = False
                hopeless += load.requests[t]
                if load.requests[t] > spare[t]:
                    beyond = True
    most = 0
    if separate:
        wanted = use.copy()
        for t in range(tenants):
            if wanted[t]:
                use[:] = False
                use[t] = True
                own = _late(load.arrival_s, load.tenant, order, ahead, work[:, 0], allowed, use, left, keys, orders,
                            heap)
                most += own
                if own > spare[t] or (not beyond and _overloaded(
                        load.arrival_s, load.tenant, ahead, work[:, 0], allowed, use, spare, keys)):
                    beyond = True
    else:
        for resource in range(work.shape[1]):
            if resource > 0 and work[:, resource].max() <= 0.0:
                continue
            late = _late(load.arrival_s, load.tenant, order, ahead, work[:, resource], allowed, use, left, keys,
                         orders, heap)
            if late > most:
                most = late
            if not beyond and hopeless + late <= free:
                beyond = _overloaded(load.arrival_s, load.tenant, ahead, work[:, resource], allowed, use, spare, keys)
    return hopeless + most, beyond or hopeless + most > free


@njit(cache=True)
def _beyond(theta, above, separate, load, order, ahead, chain, work, deadline, spare, use, scratch):  # type: ignore[no-untyped-def]
    """Whether some tenant's percentile must exceed theta times its deadline.

    Twice: with `spare` requests of every tenant free, and with the interpolation of the percentile in mind. It weighs
    the last but one request 1 - `above` and the last `above`, so of a tenant with one spare request that one must take
    no more than (theta D - (1 - above) chain) / above.
    """
    tenants = len(chain)
    allowed, none_free, closer = theta * deadline, spare.copy(), False
    _, beyond = _must_be_late(allowed, separate, load, order, ahead, chain, work, spare, use, scratch)
    if beyond:
        return True
    for t in range(tenants):
        if spare[t] == 1 and above[t] > 1e-6 and allowed[t] < np.inf:
            most = (allowed[t] - (1.0 - above[t]) * chain[t] * (1.0 - 1e-9)) / above[t] * (1.0 + 1e-9)
            allowed[t], none_free[t], closer = max(most, allowed[t]), 0, True
    if not closer:
        return False
    _, beyond = _must_be_late(allowed, separate, load, order, ahead, chain, work, none_free, use, scratch)
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
    scratch = np.empty(n), np.empty(n), np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    ahead, chain, use = np.zeros(tenants), np.zeros(tenants), np.zeros(tenants, dtype=np.bool_)
    in_order = np.arange(n)
    for d in range(len(latency)):
        later = False
        for t in range(tenants):
            total, parent = 0.0, load.parent[t]
            while parent >= 0:
                total += latency[d, parent] + decision[d]
                parent = load.parent[parent]
            ahead[t] = total
            chain[t] = total + latency[d, t] + decision[d]
            later = later or total > 0.0
        low = 0.0
        for t in range(tenants):
            if load.requests[t] > 0 and deadline[d, t] < np.inf and chain[t] / deadline[d, t] > low:
                low = chain[t] / deadline[d, t]
        low *= 1.0 - 1e-9
        fraction[d], late[d] = low, 0.0
        hopeless = low <= 0.0 or low > limit[d]
        if hopeless and not count:
            continue
        order = in_order
        if later:
            release = np.empty(n)
            for r in range(n):
                release[r] = load.arrival_s[r] + ahead[load.tenant[r]]
            order = np.argsort(release, kind="mergesort")
        cost = work[d].copy()
        if alone[d] or separate[d]:
            cost[:, 0] += decision[d]
        if count:
            late[d], _ = _must_be_late(deadline[d], separate[d], load, order, ahead, chain, cost, spare, use, scratch)
        if hopeless:
            continue
        high = limit[d]
        if high < np.inf:
            if _beyond(high, above, separate[d], load, order, ahead, chain, cost, deadline[d], spare, use, scratch):
                fraction[d] = high * (1.0 + 1e-14)
                continue
        elif steps > 0:
            growth, high = 1.1, low * 1.1
            for _ in range(12):
                if not _beyond(high, above, separate[d], load, order, ahead, chain, cost, deadline[d], spare, use,
                               scratch):
                    break
                low = high
                growth *= growth
                high = low * growth
        for _ in range(steps):
            middle = np.sqrt(low * high)
            if _beyond(middle, above, separate[d], load, order, ahead, chain, cost, deadline[d], spare, use, scratch):
                low = middle
            else:
                high = middle
        fraction[d] = low


def spare_requests(load: Load, percentile: Floats) -> tuple[Ints, Floats]:
    """Requests of every tenant above its percentile, and the weight of the first of them in it, (T,) each."""
    position = percentile / 100.0 * (load.requests - 1)
    below = np.floor(position)
    return np.where(load.requests > 0, load.requests - 1 - below, 0).astype(np.int64), position - below
