"""Pieces of the event loops: requests in, records out, admission, drops, heaps."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.compiled import merged, piece

__all__ = [
    "KEY",
    "NEED_DENSITY",
    "NEED_LEFT",
    "NEED_PATTERN",
    "NEED_TRUTH",
    "RANK",
    "SELECT",
    "BatchCosts",
    "Requests",
    "Results",
    "Visible",
    "Watch",
    "admit",
    "children_of",
    "counters",
    "heap_pop",
    "heap_push",
    "next_root",
    "overdue",
    "refresh",
    "removed",
    "results",
    "scratch",
    "unwatched",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEED_LEFT, NEED_PATTERN, NEED_TRUTH, NEED_DENSITY = 1, 2, 4, 8
"""Groups of columns that change as a task proceeds."""

KEY, RANK, SELECT = range(3)
"""Forms of a policy of which the loops themselves start the task that comes first."""


class Requests(NamedTuple):
    """The trace, with what follows from it; shape (n,) each."""

    arrival_s: Floats
    deadline_s: Floats
    priority: Floats
    tenant: Ints
    network: Ints
    sample: Ints
    parent: Ints
    drop_late: NDArray[np.bool_]
    layers: Ints
    """How many it really runs."""
    engine: Ints
    """Bound engine, -1 = any."""
    look: Ints
    """First row of the look-ups."""


class BatchCosts(NamedTuple):
    """Columns of a table at batch sizes 1, 2, .. B, shape (B, R); (0, R) where a batch costs so many times the row."""

    latency_s: Floats
    dram_bytes: Floats
    energy_j: Floats
    live_bytes: Floats


class Visible(NamedTuple):
    """Which columns the policy declared."""

    groups: int
    arrival: bool
    deadline: bool
    priority: bool


class Watch(NamedTuple):
    """When to stop serving: at some level more requests of a tenant than `spare` have not finished in time, and those
    that have finished took so much more energy than they must. L levels, may be none."""

    due_s: Floats
    """(L, n) increasing along every level."""
    request: Ints
    """(L, n) whose."""
    spare: Ints
    """(T,)"""
    more_j: Floats
    """(L,) energy beyond `least_j`."""
    least_j: Floats
    """(T,) dynamic energy of one request at least."""


class Results(NamedTuple):
    """Columns being written; see `TaskRecords`. `totals` = DRAM bytes, overhead [s], decisions, events,
    reloaded bytes, when the run was stopped [s]."""

    ready_s: Floats
    start_s: Floats
    finish_s: Floats
    service_s: Floats
    energy_j: Floats
    preemptions: Ints
    busy_s: Floats
    totals: Floats
    spans: Floats


def results(count: int, engines: int, spans: int) -> Results:
    """Empty records."""
    return Results(
        ready_s=np.full(count, np.nan),
        start_s=np.full(count, np.nan),
        finish_s=np.full(count, np.nan),
        service_s=np.zeros(count),
        energy_j=np.zeros(count),
        preemptions=np.zeros(count, dtype=np.int64),
        busy_s=np.zeros(engines),
        totals=np.array([0.0, 0.0, 0.0, 0.0, 0.0, np.inf]),
        spans=np.empty((spans, 6)),
    )


def scratch(n: int, ints: int, floats: int) -> tuple[Ints, Floats]:
    """Columns of whole numbers and of numbers for n tasks, zero at first, shape (ints, n) and (floats, n)."""
    return np.zeros((ints, n), dtype=np.int64), np.zeros((floats, n))


@njit(cache=True)
def children_of(parent):  # type: ignore[no-untyped-def]
    """(first child of every request, next sibling), -1 = none; siblings in the order of the trace."""
    first = np.full(len(parent), -1, dtype=np.int64)
    sibling = np.full(len(parent), -1, dtype=np.int64)
    for r in range(len(parent) - 1, -1, -1):
        if parent[r] >= 0:
            sibling[r] = first[parent[r]]
            first[parent[r]] = r
    return first, sibling


def unwatched() -> Watch:
    """Serve all requests."""
    return Watch(np.empty((0, 0)), np.empty((0, 0), dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0),
                 np.empty(0))


def counters(watch: Watch) -> tuple[Ints, Ints, Ints]:
    """Counts for `overdue`, zero at first."""
    levels, tenants = len(watch.more_j), len(watch.spare)
    at, late, missed = (np.zeros(shape, dtype=np.int64) for shape in (levels, (levels, tenants), levels))
    return at, late, missed


@piece
def overdue(watch, now, tenant, finish_s, excess_j, at, late, missed):  # type: ignore[no-untyped-def]
    """Count who was due before now and did not finish in time; when to look again [s], -1 = stop.

    Parameters
    ----------
    excess_j : by which the finished requests are above `watch.least_j`.
    at, late, missed : counts of every level: dues looked at (L,), late requests (L, T), tenants with too many (L,).
    """
    again_s = np.inf
    for level in range(at.size):
        p = at[level]
        while p < watch.due_s.shape[1] and watch.due_s[level, p] < now:
            r = watch.request[level, p]
            if not finish_s[r] <= watch.due_s[level, p]:
                late[level, tenant[r]] += 1
                if late[level, tenant[r]] > watch.spare[tenant[r]]:
                    missed[level] = 1
            p += 1
        at[level] = p
        if missed[level] > 0 and excess_j >= watch.more_j[level]:
            return -1.0
        if p < watch.due_s.shape[1] and watch.due_s[level, p] < again_s:
            again_s = watch.due_s[level, p]
    return again_s


@merged
def next_root(parent, r):  # type: ignore[no-untyped-def]
    """The first request from r on that follows no other; as many as there are if there is none."""
    while r < parent.size and parent[r] >= 0:
        r += 1
    return r


@piece
def _tell(task, look, lookups, groups):  # type: ignore[no-untyped-def]
    """As `refresh`, where there is something to tell."""
    at = look + task.layer
    if groups & NEED_LEFT:
        task.remaining_s = lookups.left_s[at]
        task.next_s = lookups.next_s[at]
    if groups & NEED_PATTERN:
        task.pattern_remaining_s = lookups.pattern_left_s[at]
        task.pattern_next_s = lookups.pattern_next_s[at]
    if groups & NEED_DENSITY:
        task.density_ratio = lookups.density_ratio[at]
        task.measured_density_ratio = lookups.measured_density_ratio[at]
    if groups & NEED_TRUTH:
        task.true_remaining_s = lookups.true_left_s[at]


@merged
def refresh(task, look, lookups, groups):  # type: ignore[no-untyped-def]
    """Update what the policy is told of a task that has executed `task.layer` layers."""
    if groups != 0:
        _tell(task, look, lookups, groups)


@piece
def admit(task, order, now, r, requests, lookups, visible):  # type: ignore[no-untyped-def]
    """Write the task of request r that becomes ready now; columns that were not declared stay NaN."""
    nan = np.nan
    task.order = order
    task.layer = 0
    task.tile = 0
    task.tenant = requests.tenant[r]
    task.ready_s = now
    task.last_s = now
    task.service_s = 0.0
    task.memory_a = nan
    task.memory_b = nan
    task.memory_c = nan
    task.arrival_s = requests.arrival_s[r] if visible.arrival else nan
    task.deadline_s = requests.deadline_s[r] if visible.deadline else nan
    task.priority = requests.priority[r] if visible.priority else nan
    look = requests.look[r]
    task.isolated_s = lookups.left_s[look] if visible.groups & NEED_LEFT else nan
    task.remaining_s = nan
    task.next_s = nan
    task.pattern_isolated_s = lookups.pattern_left_s[look] if visible.groups & NEED_PATTERN else nan
    task.pattern_remaining_s = nan
    task.pattern_next_s = nan
    task.density_ratio = nan
    task.measured_density_ratio = nan
    task.true_isolated_s = lookups.true_left_s[look] if visible.groups & NEED_TRUTH else nan
    task.true_remaining_s = nan
    refresh(task, look, lookups, visible.groups)


@piece
def removed(queue, size, slot):  # type: ignore[no-untyped-def]
    """Take a task out of a queue; returns the new size."""
    position = 0
    while queue[position] != slot:
        position += 1
    size -= 1
    for p in range(position, size):
        queue[p] = queue[p + 1]
    return size


@piece
def heap_push(keys, orders, items, size, key, order, item):  # type: ignore[no-untyped-def]
    """Insert into a binary heap ordered by (key, order); returns the new size."""
    at = size
    while at > 0:
        up = (at - 1) >> 1
        if keys[up] < key or (keys[up] == key and orders[up] < order):
            break
        keys[at], orders[at], items[at] = keys[up], orders[up], items[up]
        at = up
    keys[at], orders[at], items[at] = key, order, item
    return size + 1


@piece
def heap_pop(keys, orders, items, size):  # type: ignore[no-untyped-def]
    """Remove the least entry, which the caller has read at index 0; returns the new size."""
    size -= 1
    key, order, item = keys[size], orders[size], items[size]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (keys[right] < keys[child]
                             or (keys[right] == keys[child] and orders[right] < orders[child])):
            child = right
        if key < keys[child] or (key == keys[child] and order < orders[child]):
            break
        keys[at], orders[at], items[at] = keys[child], orders[child], items[child]
        at = child
    keys[at], orders[at], items[at] = key, order, item
    return size
