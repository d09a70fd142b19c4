"""Who runs next under a policy of the form `key`: whose number is the least, ties by order of admission.

The number of a task does not change while it waits: those that wait stand in a binary heap, one for each kind of task
(by the engines that it may use), so that those that cannot start now are in nobody's way.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.compiled import merged, piece

__all__ = ["KeyLine", "first_of", "key_line", "leave", "take", "wait"]

_LARGEST = np.finfo(np.float64).max

_ENTRY = np.dtype([("number", "f8"), ("order", "i8"), ("slot", "i8")], align=True)

_KIND, _PLACE = range(2)
"""Columns of a task: which heap is its own, and its place there, -1 = it does not wait."""


class KeyLine(NamedTuple):
    """Waiting tasks by number. Few arrays: each is handed over by its words."""

    heaps: NDArray[np.void]
    """(kinds, n)"""
    sizes: NDArray[np.int64]
    """(kinds,)"""
    places: NDArray[np.int64]
    """(n, 2)"""


def key_line(n: int, kinds: int) -> KeyLine:
    """For at most n tasks of so many kinds; nobody is there."""
    return KeyLine(heaps=np.empty((kinds, n), dtype=_ENTRY), sizes=np.zeros(kinds, dtype=np.int64),
                   places=np.full((n, 2), -1))


@merged
def _number(key, tasks, slot, params):  # type: ignore[no-untyped-def]
    """Of a task, cut to a finite one."""
    number = key(tasks, slot, params)
    return number if number < _LARGEST else _LARGEST


@merged
def _before(entry, number, order):  # type: ignore[no-untyped-def]
    return entry.number < number or (entry.number == number and entry.order < order)


@merged
def _put(heaps, places, kind, at, number, order, slot):  # type: ignore[no-untyped-def]
    heaps[kind, at].number, heaps[kind, at].order, heaps[kind, at].slot = number, order, slot
    places[slot, _PLACE] = at


@merged
def _up(heaps, places, kind, at, number, order, slot):  # type: ignore[no-untyped-def]
    """Put a task into a heap, at a free place or above it."""
    while at > 0:
        above = heaps[kind, (at - 1) >> 1]
        if _before(above, number, order):
            break
        _put(heaps, places, kind, at, above.number, above.order, above.slot)
        at = (at - 1) >> 1
    _put(heaps, places, kind, at, number, order, slot)


@merged
def wait(key, tasks, line, slot, params):  # type: ignore[no-untyped-def]
    """A task waits."""
    kind = line.places[slot, _KIND]
    at = line.sizes[kind]
    line.sizes[kind] = at + 1
    _up(line.heaps, line.places, kind, at, _number(key, tasks, slot, params), tasks[slot].order, slot)


def _leave(line, slot):  # type: ignore[no-untyped-def]
    """A task waits no longer, if it did."""
    heaps, places = line.heaps, line.places
    at = places[slot, _PLACE]
    if at >= 0:
        places[slot, _PLACE] = -1
        kind = places[slot, _KIND]
        size = line.sizes[kind] - 1
        line.sizes[kind] = size
        number, order, last = heaps[kind, size].number, heaps[kind, size].order, heaps[kind, size].slot
        while 2 * at + 1 < size:
            child = 2 * at + 1
            below = heaps[kind, child]
            if child + 1 < size and _before(heaps[kind, child + 1], below.number, below.order):
                child += 1
                below = heaps[kind, child]
            if not _before(below, number, order):
                break
            _put(heaps, places, kind, at, below.number, below.order, below.slot)
            at = child
        if at < size:
            _up(heaps, places, kind, at, number, order, last)


leave, take = piece(_leave), merged(_leave)
"""The second is for every decision."""


@merged
def first_of(key, tasks, line, ran, n_ran, closed, params):  # type: ignore[no-untyped-def]
    """The task that comes first of `ran[:n_ran]`, which do not wait, and of the waiting ones of the kinds that are not
    `closed`; -1 = there is none."""
    best, value, order = -1, np.inf, 0
    for k in range(n_ran):
        own = _number(key, tasks, ran[k], params)
        if own < value or (own == value and tasks[ran[k]].order < order):
            best, value, order = ran[k], own, tasks[ran[k]].order
    for kind in range(line.sizes.size):
        if line.sizes[kind] > 0 and closed[kind] == 0 and (best < 0 or _before(line.heaps[kind, 0], value, order)):
            best, value, order = line.heaps[kind, 0].slot, line.heaps[kind, 0].number, line.heaps[kind, 0].order
    return best
