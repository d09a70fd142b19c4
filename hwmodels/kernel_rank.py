"""Who runs next under a policy of the form `rank`: whose number is the least now, ties by order of admission.

Model
-----
Of every waiting task a bound of its number is known: level - slope x time, until it expires. Only tasks whose bounds
say that they could come first are asked for their numbers, so what is found is what a scan of all would find. A task
that runs is not here, because its number changes as it runs.

Up to `_FEW` tasks are all asked. Of more, those that could come first soon stand in front, and a decision looks at
their bounds only: all others stay above a line in time, the chord, for a while. It joins a number that few of all
bounds are below now to one that few of them are below at the end of that while; bounds are straight, so who is above
it at both ends is above it in between. When the while is over, or the front has nobody below the chord any more, the
front is chosen anew: by one look at all bounds, for as many decisions as the front has tasks, about the root of all.
The next while is twice as long as the last front lasted.

Bounds hold for at most `_MOST` tasks. If there are more, or less than half as many, all are asked anew.

Tasks are of kinds, by the engines that they may use; each kind has a front of its own, so that those that cannot
start now are in nobody's way.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.compiled import merged, piece
from hwmodels.policies.base import RANKED

__all__ = ["SHORT", "RankLine", "first_of", "leave", "rank_line", "stand", "take", "wait"]

_FEW = 12
"""So few tasks are all asked: to look at their bounds costs more than it saves."""

SHORT = 32
"""So many are all in front."""

_GROWTH = 8
"""Bounds hold until there are more tasks by one part of so many."""

_SAMPLES, _SPACING = 4, 0.2
"""The chord is below the largest of the least bounds of so many samples, which leaves about eight times as many tasks
below it as stand between two that are looked at: this times the root of all. Any other choice is as right."""

_CLEARANCE = 1e-12
"""Relative distance that rounding cannot cross, for bounds that fall or rise."""

_LARGEST = np.finfo(np.float64).max

_STEEPEST = 1e100
"""Bounds that fall or rise faster say nothing."""

_NEVER = np.iinfo(np.int64).max

_LEVEL, _SLOPE, _UNTIL = range(3)
"""Columns of a bound: of a task, or of all in front (`fronts`)."""

_SINCE, _TILL, _LOW, _LATER = range(3, 7)
"""Columns of the chord: its begin and its end, and its numbers there."""

_SLOT, _ORDER = range(2)
"""Columns of a place: its task, and the order of that."""

_SIZE, _FRONT, _LIMIT, _LAST = range(4)
"""What is kept of a kind: its waiting tasks, how many of them are in front, the size of a front that has grown too
much, and the order of the last one in front among those with a number that is the chord's at both ends."""

_MOST, _PRESENT, _WAITING = range(3)
"""For how many tasks bounds hold; tasks, and those of them that wait."""

_KIND, _PLACE = range(2)
"""Columns of a task: its kind, and its place there, -1 = it does not wait."""


class RankLine(NamedTuple):
    """Waiting tasks and what is known of their numbers. Few arrays: each is handed over by its words."""

    bounds: NDArray[np.float64]
    """(kinds, n, 3) of every place; those in front come first."""
    places: NDArray[np.int64]
    """(kinds, n, 2)"""
    fronts: NDArray[np.float64]
    """(kinds, 7)"""
    sizes: NDArray[np.int64]
    """(kinds, 4)"""
    record: NDArray[np.int64]
    """(3,)"""
    place_of: NDArray[np.int64]
    """(n, 2) of every task."""
    slots: NDArray[np.int64]
    """(n + 1,) scratch for tasks."""
    ranked: NDArray[np.void]
    """(n + 1,) scratch for numbers."""


def rank_line(n: int, kinds: int) -> RankLine:
    """For at most n tasks of so many kinds; nobody is there."""
    fronts = np.zeros((kinds, 7))
    fronts[:, [_TILL, _LOW, _LATER]], fronts[:, _UNTIL] = np.inf, -np.inf
    return RankLine(bounds=np.empty((kinds, n, 3)), places=np.empty((kinds, n, 2), dtype=np.int64), fronts=fronts,
                    sizes=np.tile([0, 0, 2 * SHORT, _NEVER], (kinds, 1)), record=np.array([SHORT, 0, 0]),
                    place_of=np.full((n, 2), -1), slots=np.empty(n + 1, dtype=np.int64),
                    ranked=np.empty(n + 1, dtype=RANKED))


@merged
def _bound(row, now):  # type: ignore[no-untyped-def]
    """Least number that the task can have now."""
    return row[_LEVEL] - row[_SLOPE] * now if now < row[_UNTIL] else -np.inf


@merged
def _set(row, least, fall, until, now):  # type: ignore[no-untyped-def]
    """Write a bound: `least` now, falling from now on."""
    if fall != 0.0 and least < np.inf:
        least += fall * now - 2.0 * _CLEARANCE * (abs(least) + abs(fall * now))
        fall += _CLEARANCE * abs(fall)
    row[_LEVEL], row[_SLOPE], row[_UNTIL] = least, fall, until


@merged
def _behind(front, now):  # type: ignore[no-untyped-def]
    """Nobody behind the front has a lower number now."""
    low, later = front[_LOW], front[_LATER]
    if not now <= front[_TILL]:
        return -np.inf
    if low == later:
        return low
    share = (now - front[_SINCE]) / (front[_TILL] - front[_SINCE])
    return low + (later - low) * share - 4.0 * _CLEARANCE * (abs(low) + abs(later))


@piece
def _ask(rank, tasks, line, count, now, size, params):  # type: ignore[no-untyped-def]
    """Numbers of the tasks `line.slots[:count]`, cut to finite ones, and their bounds, which are written down."""
    ranked, slots, most = line.ranked, line.slots, line.record[_MOST]
    for p in range(count):
        ranked[p].least, ranked[p].fall, ranked[p].until = np.inf, 0.0, -np.inf
    rank(tasks, slots, count, now, size, most if most > size else size + 1, params, ranked)
    for p in range(count):
        if not ranked[p].value < _LARGEST:
            ranked[p].value = _LARGEST
        least, fall, until = ranked[p].least, ranked[p].fall, ranked[p].until
        if not least < ranked[p].value:
            least = ranked[p].value
        if least == _LARGEST:  # it stays infinite
            fall = 0.0
        if not abs(fall) < _STEEPEST or not least > -_LARGEST:
            least, fall, until = 0.0, 0.0, -np.inf
        place = line.place_of[slots[p]]
        _set(line.bounds[place[_KIND], place[_PLACE]], least, fall, until, now)


@merged
def _least_of(rank, tasks, slots, count, now, size, params, ranked):  # type: ignore[no-untyped-def]
    """(task, number) of the one that comes first of `slots[:count]`."""
    rank(tasks, slots, count, now, size, size, params, ranked)
    best, value = slots[0], np.inf
    for p in range(count):
        own = ranked[p].value if ranked[p].value < _LARGEST else _LARGEST
        if own < value or (own == value and tasks[slots[p]].order < tasks[best].order):
            best, value = slots[p], own
    return best, value


@merged
def _move(line, kind, at, to):  # type: ignore[no-untyped-def]
    """Give the task at a place another one, which is free."""
    bounds, places = line.bounds, line.places
    for c in range(3):
        bounds[kind, to, c] = bounds[kind, at, c]
    places[kind, to, _SLOT], places[kind, to, _ORDER] = places[kind, at, _SLOT], places[kind, at, _ORDER]
    line.place_of[places[kind, to, _SLOT], _PLACE] = to


@piece
def _swap(line, kind, a, b):  # type: ignore[no-untyped-def]
    """Let two tasks change places."""
    bounds, places = line.bounds, line.places
    slot, order = places[kind, a, _SLOT], places[kind, a, _ORDER]
    level, slope, until = bounds[kind, a, _LEVEL], bounds[kind, a, _SLOPE], bounds[kind, a, _UNTIL]
    _move(line, kind, b, a)
    bounds[kind, b, _LEVEL], bounds[kind, b, _SLOPE], bounds[kind, b, _UNTIL] = level, slope, until
    places[kind, b, _SLOT], places[kind, b, _ORDER] = slot, order
    line.place_of[slot, _PLACE] = b


@piece
def _forget(line):  # type: ignore[no-untyped-def]
    """Bounds hold for another number of tasks from now on: nothing is known."""
    record = line.record
    record[_MOST] = record[_PRESENT] + record[_PRESENT] // _GROWTH
    if record[_MOST] < SHORT:
        record[_MOST] = SHORT
    for kind in range(line.sizes.shape[0]):
        for p in range(line.sizes[kind, _SIZE]):
            line.bounds[kind, p, _UNTIL] = -np.inf
        line.fronts[kind, _TILL], line.fronts[kind, _UNTIL] = -np.inf, -np.inf


@piece
def wait(rank, tasks, line, slot, now, size, params):  # type: ignore[no-untyped-def]
    """A task waits. Where all are in front, or the front is to be chosen anew, it is asked later, with others."""
    sizes, place, front = line.sizes, line.place_of[slot], line.fronts[line.place_of[slot, _KIND]]
    kind = place[_KIND]
    at = sizes[kind, _SIZE]
    own = line.bounds[kind, at]
    place[_PLACE] = at
    sizes[kind, _SIZE] = at + 1
    line.record[_WAITING] += 1
    line.places[kind, at, _SLOT], line.places[kind, at, _ORDER] = slot, tasks[slot].order
    own[_LEVEL], own[_SLOPE], own[_UNTIL] = 0.0, 0.0, -np.inf
    if now <= front[_TILL] < np.inf:
        line.slots[0] = slot
        _ask(rank, tasks, line, 1, now, size, params)
        till = front[_TILL]
        above = own[_LEVEL] - own[_SLOPE] * now > _behind(front, now) and (
            own[_LEVEL] - own[_SLOPE] * till > front[_LATER])
        if own[_SLOPE] == 0.0 and own[_LEVEL] == front[_LOW] and own[_LEVEL] == front[_LATER]:
            above = tasks[slot].order > sizes[kind, _LAST]
        if above and till < own[_UNTIL]:
            return
    if not (now < front[_UNTIL] and front[_UNTIL] <= own[_UNTIL] and front[_SLOPE] >= own[_SLOPE] and (
            front[_LEVEL] - front[_SLOPE] * now <= own[_LEVEL] - own[_SLOPE] * now)):
        front[_UNTIL] = -np.inf
    if sizes[kind, _FRONT] < at:
        _swap(line, kind, sizes[kind, _FRONT], at)
    sizes[kind, _FRONT] += 1
    if sizes[kind, _FRONT] > sizes[kind, _LIMIT]:
        front[_TILL] = -np.inf


@piece
def take(line, slot):  # type: ignore[no-untyped-def]
    """A task waits no longer, if it did: it runs, or is not to be found for another reason."""
    at = line.place_of[slot, _PLACE]
    if at >= 0:
        kind = line.place_of[slot, _KIND]
        sizes = line.sizes
        line.place_of[slot, _PLACE] = -1
        line.record[_WAITING] -= 1
        sizes[kind, _SIZE] -= 1
        if at < sizes[kind, _FRONT]:
            sizes[kind, _FRONT] -= 1
            if at < sizes[kind, _FRONT]:
                _move(line, kind, sizes[kind, _FRONT], at)
                at = sizes[kind, _FRONT]
        if at < sizes[kind, _SIZE]:
            _move(line, kind, sizes[kind, _SIZE], at)


@piece
def stand(rank, tasks, line, slot, kind, now, size, params):  # type: ignore[no-untyped-def]
    """A task has come and waits."""
    line.record[_PRESENT] += 1
    if line.record[_PRESENT] > line.record[_MOST]:
        _forget(line)
    line.place_of[slot, _KIND] = kind
    wait(rank, tasks, line, slot, now, size, params)


@piece
def leave(line, slot):  # type: ignore[no-untyped-def]
    """A task goes for good."""
    take(line, slot)
    line.record[_PRESENT] -= 1
    if line.record[_MOST] > SHORT and 2 * line.record[_PRESENT] < line.record[_MOST]:
        _forget(line)


@piece
def _choose_front(rank, tasks, line, kind, now, size, params):  # type: ignore[no-untyped-def]
    """Choose the front of a kind anew."""
    bounds, places, front, total = line.bounds[kind], line.places[kind], line.fronts[kind], line.sizes[kind, _SIZE]
    count = 0
    for p in range(total):
        if not now < bounds[p, _UNTIL]:
            line.slots[count] = places[p, _SLOT]
            count += 1
    if count > 0:
        _ask(rank, tasks, line, count, now, size, params)
    till = now + 2.0 * (now - front[_SINCE])
    low, later, last, last_later = np.inf, np.inf, _NEVER, _NEVER
    if total > SHORT and till < np.inf:
        spacing = int(_SPACING * np.sqrt(total))
        spacing = spacing if spacing > 0 else 1
        low, later, last, last_later = -np.inf, -np.inf, -1, -1
        for sample in range(_SAMPLES):
            least, least_later, order, order_later = np.inf, np.inf, _NEVER, _NEVER
            for p in range(sample * spacing, total, _SAMPLES * spacing):
                if till < bounds[p, _UNTIL]:
                    own, own_later = _bound(bounds[p], now), _bound(bounds[p], till)
                    if own < least or (own == least and places[p, _ORDER] < order):
                        least, order = own, places[p, _ORDER]
                    if own_later < least_later or (own_later == least_later and places[p, _ORDER] < order_later):
                        least_later, order_later = own_later, places[p, _ORDER]
            if least > low or (least == low and order > last):
                low, last = least, order
            if least_later > later or (least_later == later and order_later > last_later):
                later, last_later = least_later, order_later
    in_front = total
    if low < np.inf:
        in_front = 0
        for p in range(total):
            level, slope = bounds[p, _LEVEL], bounds[p, _SLOPE]
            own, own_later = level - slope * now, level - slope * till
            if own > low and own_later > later and till < bounds[p, _UNTIL]:
                continue
            order = places[p, _ORDER]
            if own < low or (own == low and order <= last) or own_later < later or (
                    own_later == later and order <= last_later) or not till < bounds[p, _UNTIL]:
                if p > in_front:
                    _swap(line, kind, p, in_front)
                in_front += 1
    else:
        till, later = np.inf, np.inf
    front[_SINCE], front[_TILL], front[_LOW], front[_LATER] = now, till, low, later
    sizes = line.sizes
    sizes[kind, _FRONT], sizes[kind, _LAST] = in_front, last if last > last_later else last_later
    sizes[kind, _LIMIT] = 2 * in_front if in_front > SHORT else 2 * SHORT


@piece
def _look(rank, tasks, line, kind, behind, best, value, order, now, size, params):  # type: ignore[no-untyped-def]
    """(task, number, order) of the one that comes first among those in front, or `behind`, and `best`, with this number
    and order; -1, inf, -1 = nobody.

    Asked first are those of whom nothing is known and the most promising other one; then all that could be better.
    """
    bounds, places, slots, ranked = line.bounds[kind], line.places[kind], line.slots, line.ranked
    first, last = 0, line.sizes[kind, _FRONT]
    if behind:
        first, last = last, line.sizes[kind, _SIZE]
    at, least, second, count, fall, until = -1, np.inf, np.inf, 0, -np.inf, np.inf
    for p in range(first, last):
        if not now < bounds[p, _UNTIL]:
            slots[count] = places[p, _SLOT]
            count += 1
            continue
        bound = bounds[p, _LEVEL] - bounds[p, _SLOPE] * now
        fall = bounds[p, _SLOPE] if bounds[p, _SLOPE] > fall else fall
        until = bounds[p, _UNTIL] if bounds[p, _UNTIL] < until else until
        if bound < least:
            at, least, second = p, bound, least
        elif bound < second:
            second = bound
    unknown = count
    if at >= 0 and (least < value or (least == value and places[at, _ORDER] < order)):
        slots[count] = places[at, _SLOT]
        count += 1
    for again in range(2):
        if count > 0:
            _ask(rank, tasks, line, count, now, size, params)
        for k in range(count):
            own = tasks[slots[k]].order
            if ranked[k].value < value or (ranked[k].value == value and own < order):
                best, value, order = slots[k], ranked[k].value, own
        if again == 1 or second > value or second == np.inf:
            break
        count = 0
        for p in range(first, last):
            bound = _bound(bounds[p], now)
            if (bound < value or (bound == value and places[p, _ORDER] < order)) and places[p, _SLOT] != best:
                slots[count] = places[p, _SLOT]
                count += 1
    if not behind:
        _set(line.fronts[kind], least, fall, until if unknown == 0 and least > -np.inf else -np.inf, now)
    return best, value, order


@piece
def _search(rank, tasks, line, kind, best, value, order, now, size, params):  # type: ignore[no-untyped-def]
    """As `_look`, among all of a kind."""
    front, sizes = line.fronts[kind], line.sizes
    fresh = not now <= front[_TILL]
    if fresh:
        _choose_front(rank, tasks, line, kind, now, size, params)
    elif _behind(front, now) > value and _bound(front, now) > value:
        return best, value, order
    behind = False
    while True:
        best, value, order = _look(rank, tasks, line, kind, behind, best, value, order, now, size, params)
        if behind:
            return best, value, order
        others = _behind(front, now)
        if sizes[kind, _FRONT] == sizes[kind, _SIZE] or others > value or (
                others == value and front[_LOW] == front[_LATER] and order <= sizes[kind, _LAST]):
            return best, value, order
        behind = fresh  # many equal ones
        if not fresh:
            _choose_front(rank, tasks, line, kind, now, size, params)
            fresh = True


@merged
def first_of(rank, tasks, line, ran, n_ran, closed, now, size, params):  # type: ignore[no-untyped-def]
    """The task that comes first of those that wait, and of `ran[:n_ran]`, which do not; -1 = there is none.

    Parameters
    ----------
    closed : 0 for the kinds that can start.
    size : tasks to choose from, as `rank` is told.
    """
    slots, sizes = line.slots, line.sizes
    best, value, order = -1, np.inf, -1
    if line.record[_WAITING] + n_ran <= _FEW:
        count = n_ran
        for k in range(n_ran):
            slots[k] = ran[k]
        for kind in range(sizes.shape[0]):
            if closed[kind] == 0:
                for p in range(sizes[kind, _SIZE]):
                    slots[count] = line.places[kind, p, _SLOT]
                    count += 1
        if count > 0:
            best, value = _least_of(rank, tasks, slots, count, now, size, params, line.ranked)
        return best
    if n_ran > 0:
        best, value = _least_of(rank, tasks, ran, n_ran, now, size, params, line.ranked)
        order = tasks[best].order
    for kind in range(sizes.shape[0]):
        if closed[kind] == 0 and sizes[kind, _SIZE] > 0:
            best, value, order = _search(rank, tasks, line, kind, best, value, order, now, size, params)
    return best
