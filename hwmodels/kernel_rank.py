"""Who runs next under a policy of the form `rank`: whose number is the least now, ties by order of admission.

Model
-----
Every task has a place with a bound of its number: level - slope x time, until it expires. Only tasks whose bounds say
that they could come first are asked for their numbers, so what is found is what a scan of all would find. The place of
a running task counts for nothing, because its number changes as it runs; when it waits again nothing is known of it,
and it is asked at the next decision.

Up to `_FEW` tasks are all asked; up to `SHORT` places are looked at one after the other. If there are more, `_BLOCK` of
them are a leaf of a binary tree whose nodes hold bounds of all that is below, and the tree is searched from its root,
the more promising side first: a decision looks at a few tasks of thousands. A leaf that is looked at gets a new bound.

Places are in order of admission. Who leaves empties a place; twice as many are handed out as there are tasks, anew when
none is left or half of the tasks are gone. They are also handed out anew when there are more tasks than bounds hold
for, `_MOST`.

Tasks are of kinds, by the engines that they may use; each kind has a tree of its own, so that those that cannot start
now are in nobody's way.
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
"""Places that are looked at one after the other."""

_GROWTH = 8
"""Bounds hold until there are more tasks by one part of so many."""

_BLOCK = 16

_CLEARANCE = 1e-12
"""Relative distance that rounding cannot cross, for bounds that fall or rise."""

_LARGEST = np.finfo(np.float64).max

_STEEPEST = 1e100
"""Bounds that fall or rise faster say nothing."""

_NEVER = np.iinfo(np.int64).max

_LEVEL, _SLOPE, _UNTIL = range(3)
"""Columns of a bound, of a place or of a node of a tree."""

_NEAR, _NEAR_LEVEL, _NEAR_SLOPE, _MADE = range(3, 7)
"""Columns of a node: until `_NEAR` its bound is another line. It joins the least of all numbers below at the time when
it was `_MADE` to the least of them at `_NEAR`, and lies below their curve because that bends down; the steepest of all
lines would soon be far below. `_NEAR` is twice as far ahead as the node lasted before."""

_SLOT, _ORDER, _KIND, _LOOK = range(4)
"""Columns of a place: its task, -1 if there is none; the order of the task, kept when it leaves; its kind; the look at
places at which the task was last asked."""

_TOTAL, _MOST, _TREES, _LOOKS, _PRESENT = range(5)
"""What is kept of the places: how many are in use, for how many tasks bounds hold, whether there are trees, looks at
places, tasks."""

_USED, _FIRST, _LEAVES = range(3)
"""What is kept of the tree of a kind: places in use, its first place, leaves."""


class RankLine(NamedTuple):
    """Tasks in the system and what is known of their numbers."""

    bounds: NDArray[np.float64]
    """(P, 3) of every place."""
    places: NDArray[np.int64]
    """(P, 4)"""
    nodes: NDArray[np.float64]
    """(P / 8, 7) bounds of the nodes of the trees: node i of a tree is above nodes 2 i and 2 i + 1, 1 is its root; it
    has one eighth as many rows as places, and they stand in the same order as the trees."""
    record: NDArray[np.int64]
    """(5,)"""
    trees: NDArray[np.int64]
    """(kinds, 3)"""
    place_of: NDArray[np.int64]
    """(n,) of every task."""
    slots: NDArray[np.int64]
    """Scratch for tasks and nodes."""
    spare: NDArray[np.int64]
    """(n, 3) scratch for places."""
    ranked: NDArray[np.void]
    """(n + SHORT,) scratch for numbers."""


def rank_line(n: int, kinds: int) -> RankLine:
    """For at most n tasks of so many kinds; nobody is there."""
    room = -(-(4 * n + 2 * _BLOCK * kinds + SHORT) // _BLOCK) * _BLOCK
    return RankLine(bounds=np.empty((room, 3)), places=np.zeros((room, 4), dtype=np.int64),
                    nodes=np.empty((room // 8, 7)), record=np.array([0, SHORT, 0, 0, 0]),
                    trees=np.zeros((kinds, 3), dtype=np.int64), place_of=np.empty(n, dtype=np.int64),
                    slots=np.empty(2 * SHORT + 256, dtype=np.int64), spare=np.empty((n, 3), dtype=np.int64),
                    ranked=np.empty(n + SHORT, dtype=RANKED))


@merged
def _bound(rows, row, now):  # type: ignore[no-untyped-def]
    """Least number that the task, or anybody below the node, can have now."""
    return rows[row, _LEVEL] - rows[row, _SLOPE] * now if now < rows[row, _UNTIL] else -np.inf


@merged
def _below(nodes, node, now):  # type: ignore[no-untyped-def]
    """As `_bound`, of a node."""
    if now < nodes[node, _NEAR]:
        return nodes[node, _NEAR_LEVEL] - nodes[node, _NEAR_SLOPE] * now
    return _bound(nodes, node, now)


@merged
def _set(rows, row, least, fall, until, now):  # type: ignore[no-untyped-def]
    """Write a bound: `least` now, falling from now on."""
    if fall != 0.0 and least < np.inf:
        least += fall * now - 2.0 * _CLEARANCE * (abs(least) + abs(fall * now))
        fall += _CLEARANCE * abs(fall)
    rows[row, _LEVEL], rows[row, _SLOPE], rows[row, _UNTIL] = least, fall, until


@merged
def _ask(rank, tasks, slots, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    """Numbers of some tasks, cut to finite ones, and their bounds."""
    for p in range(count):
        ranked[p].least, ranked[p].fall, ranked[p].until = np.inf, 0.0, -np.inf
    rank(tasks, slots, count, now, size, most if most > size else size + 1, params, ranked)
    for p in range(count):
        if not ranked[p].value < _LARGEST:
            ranked[p].value = _LARGEST
        if not ranked[p].least < ranked[p].value:
            ranked[p].least = ranked[p].value
        if ranked[p].least == _LARGEST:  # it stays infinite
            ranked[p].fall = 0.0
        if not abs(ranked[p].fall) < _STEEPEST or not ranked[p].least > -_LARGEST:
            ranked[p].least, ranked[p].fall, ranked[p].until = 0.0, 0.0, -np.inf


@merged
def _least_of(rank, tasks, slots, count, now, size, params, line):  # type: ignore[no-untyped-def]
    """(task, number) of the one that comes first of `slots[:count]`, in order of admission or not."""
    ranked = line.ranked
    rank(tasks, slots, count, now, size, size, params, ranked)
    best, value = slots[0], np.inf
    for p in range(count):
        own = ranked[p].value if ranked[p].value < _LARGEST else _LARGEST
        if own < value or (own == value and tasks[slots[p]].order < tasks[best].order):
            best, value = slots[p], own
    return best, value


@merged
def _absent(bounds, place):  # type: ignore[no-untyped-def]
    """The task at a place is not to be found."""
    bounds[place, _LEVEL], bounds[place, _SLOPE], bounds[place, _UNTIL] = np.inf, -_STEEPEST, np.inf


@piece
def _unknown(line, place):  # type: ignore[no-untyped-def]
    """Nothing is known of the task at a place: it is asked at the next decision."""
    bounds = line.bounds
    bounds[place, _LEVEL], bounds[place, _SLOPE], bounds[place, _UNTIL] = np.inf, 0.0, -np.inf
    if line.record[_TREES] == 1:
        nodes, trees = line.nodes, line.trees
        kind = line.places[place, _KIND]
        base = trees[kind, _FIRST] // _BLOCK * 2
        node = trees[kind, _LEAVES] + (place - trees[kind, _FIRST]) // _BLOCK
        while node > 0 and nodes[base + node, _UNTIL] > -np.inf:
            nodes[base + node, _UNTIL], nodes[base + node, _NEAR] = -np.inf, -np.inf
            node >>= 1


@piece
def _wait_below(rank, tasks, line, slot, now, size, params):  # type: ignore[no-untyped-def]
    """As `wait`, below the nodes of a tree."""
    bounds, nodes, trees, slots, ranked = line.bounds, line.nodes, line.trees, line.slots, line.ranked
    place = line.place_of[slot]
    slots[0] = slot
    _ask(rank, tasks, slots, 1, now, size, line.record[_MOST], params, ranked)
    least, fall, until = ranked[0].least, ranked[0].fall, ranked[0].until
    _set(bounds, place, least, fall, until, now)
    kind = line.places[place, _KIND]
    base = trees[kind, _FIRST] // _BLOCK * 2
    node = trees[kind, _LEAVES] + (place - trees[kind, _FIRST]) // _BLOCK
    while node > 0:
        known = _below(nodes, base + node, now)
        steepest, earliest = nodes[base + node, _SLOPE], nodes[base + node, _UNTIL]
        if known > least or steepest < fall or earliest > until or (
                now < nodes[base + node, _NEAR] and nodes[base + node, _NEAR_SLOPE] < fall):  # it does not hold for it
            _set(nodes, base + node, known if known < least else least, steepest if steepest > fall else fall,
                 earliest if earliest < until else until, now)
            nodes[base + node, _NEAR] = -np.inf
        node >>= 1


@merged
def wait(rank, tasks, line, slot, now, size, params):  # type: ignore[no-untyped-def]
    """A task that was taken waits again. In a short queue it is asked with others, at the next decision."""
    if line.record[_TREES] == 0:
        bounds, place = line.bounds, line.place_of[slot]
        bounds[place, _LEVEL], bounds[place, _SLOPE], bounds[place, _UNTIL] = np.inf, 0.0, -np.inf
    else:
        _wait_below(rank, tasks, line, slot, now, size, params)


@piece
def _put(line, slot, order, kind, at):  # type: ignore[no-untyped-def]
    """Give a place to a task."""
    places = line.places
    places[at, _SLOT], places[at, _ORDER], places[at, _KIND] = slot, order, kind
    line.place_of[slot] = at


@piece
def _plant(line, now):  # type: ignore[no-untyped-def]
    """Trees for twice as many tasks as `trees` says are `_USED`, with empty places."""
    bounds, places, nodes, trees = line.bounds, line.places, line.nodes, line.trees
    first = 0
    for kind in range(trees.shape[0]):
        leaves = 1
        while leaves * _BLOCK < 2 * trees[kind, _USED]:
            leaves *= 2
        trees[kind, _USED], trees[kind, _FIRST], trees[kind, _LEAVES] = 0, first, leaves
        first += leaves * _BLOCK
    for p in range(first):
        _absent(bounds, p)
        places[p, _SLOT], places[p, _ORDER] = -1, _NEVER
    for node in range(first // _BLOCK * 2):
        _absent(nodes, node)
        nodes[node, _NEAR], nodes[node, _MADE] = -np.inf, now


@piece
def _hand_out(line, now):  # type: ignore[no-untyped-def]
    """New places for all tasks; those that wait are to be asked anew."""
    bounds, places, record, trees, spare = line.bounds, line.places, line.record, line.trees, line.spare
    last = record[_TOTAL]
    if record[_TREES] == 1:
        last = trees[trees.shape[0] - 1, _FIRST] + trees[trees.shape[0] - 1, _LEAVES] * _BLOCK
    for kind in range(trees.shape[0]):
        trees[kind, _USED] = 0
    total = 0
    for p in range(last):
        slot = places[p, _SLOT]
        if slot >= 0:
            waits = bounds[p, _LEVEL] < np.inf or bounds[p, _UNTIL] < np.inf
            spare[total, _SLOT] = slot if waits else -1 - slot
            spare[total, _ORDER], spare[total, _KIND] = places[p, _ORDER], places[p, _KIND]
            trees[places[p, _KIND], _USED] += 1
            total += 1
    record[_TOTAL] = total
    record[_TREES] = 1 if 2 * total > SHORT else 0
    record[_MOST] = total + total // _GROWTH if 2 * total > SHORT else SHORT
    if record[_TREES] == 1:
        _plant(line, now)
    for k in range(total):
        slot, order, kind = spare[k, _SLOT], spare[k, _ORDER], spare[k, _KIND]
        waits = slot >= 0
        slot = slot if waits else -1 - slot
        if record[_TREES] == 1:
            at = trees[kind, _FIRST] + trees[kind, _USED]
            trees[kind, _USED] += 1
        else:
            at = k
            while at > 0 and places[at - 1, _ORDER] > order:
                _put(line, places[at - 1, _SLOT], places[at - 1, _ORDER], places[at - 1, _KIND], at)
                for c in range(3):
                    bounds[at, c] = bounds[at - 1, c]
                at -= 1
        _put(line, slot, order, kind, at)
        if waits:
            _unknown(line, at)
        else:
            _absent(bounds, at)


@piece
def stand(rank, tasks, line, slot, kind, now, size, params):  # type: ignore[no-untyped-def]
    """A task has come and waits."""
    record, trees = line.record, line.trees
    if record[_PRESENT] == record[_MOST] or (
            record[_TREES] == 1 and trees[kind, _USED] == trees[kind, _LEAVES] * _BLOCK):
        _hand_out(line, now)
    at = record[_TOTAL]
    if record[_TREES] == 1:
        at = trees[kind, _FIRST] + trees[kind, _USED]
        trees[kind, _USED] += 1
    record[_TOTAL] += 1
    record[_PRESENT] += 1
    _put(line, slot, tasks[slot].order, kind, at)
    wait(rank, tasks, line, slot, now, size, params)


@merged
def _asked(rank, tasks, line, count, best, value, order, now, size, params):  # type: ignore[no-untyped-def]
    """As `_look`, among the tasks in `line.slots`; their places are `SHORT` behind them."""
    bounds, places, slots, ranked, record = line.bounds, line.places, line.slots, line.ranked, line.record
    _ask(rank, tasks, slots, count, now, size, record[_MOST], params, ranked)
    for k in range(count):
        p = slots[SHORT + k]
        places[p, _LOOK] = record[_LOOKS]
        _set(bounds, p, ranked[k].least, ranked[k].fall, ranked[k].until, now)
        if ranked[k].value < value or (ranked[k].value == value and places[p, _ORDER] < order):
            best, value, order = slots[k], ranked[k].value, places[p, _ORDER]
    return best, value, order


@merged
def _look(rank, tasks, line, first, last, best, value, order, closed, now, size, params):  # type: ignore[no-untyped-def]
    """(task, number, order) of the one that comes first among the places `first` to `last` and `best`, with this
    number and order; -1, inf, -1 = nobody.

    Asked first are those of whom nothing is known and the most promising other one; then all that could be better.
    """
    bounds, places, slots = line.bounds, line.places, line.slots
    line.record[_LOOKS] += 1
    at, least, second, count = -1, np.inf, np.inf, 0
    for p in range(first, last):
        if closed[places[p, _KIND]] == 0:
            bound = _bound(bounds, p, now)
            if bound == -np.inf:
                slots[count], slots[SHORT + count] = places[p, _SLOT], p
                count += 1
            elif bound < least:
                at, least, second = p, bound, least
            elif bound < second:
                second = bound
    if at >= 0 and (least < value or (least == value and places[at, _ORDER] < order)):
        slots[count], slots[SHORT + count] = places[at, _SLOT], at
        count += 1
    if count > 0:
        best, value, order = _asked(rank, tasks, line, count, best, value, order, now, size, params)
    if second > value or second == np.inf:
        return best, value, order
    count = 0
    for p in range(first, last):
        bound = _bound(bounds, p, now)
        if (bound < value or (bound == value and places[p, _ORDER] < order)) and (
                places[p, _LOOK] != line.record[_LOOKS] and closed[places[p, _KIND]] == 0):
            slots[count], slots[SHORT + count] = places[p, _SLOT], p
            count += 1
    if count > 0:
        best, value, order = _asked(rank, tasks, line, count, best, value, order, now, size, params)
    return best, value, order


@piece
def _join(nodes, node, rows, first, last, now, of_nodes):  # type: ignore[no-untyped-def]
    """Make the bound of a node from those of the rows below it, places or nodes."""
    least, fall, until = np.inf, -_STEEPEST, np.inf
    for row in range(first, last):
        bound = _below(rows, row, now) if of_nodes else _bound(rows, row, now)
        least = bound if bound < least else least
        fall = rows[row, _SLOPE] if rows[row, _SLOPE] > fall else fall
        until = rows[row, _UNTIL] if rows[row, _UNTIL] < until else until
    near = now + 2.0 * (now - nodes[node, _MADE])
    near = near if near < until else until
    nodes[node, _MADE], nodes[node, _NEAR] = now, -np.inf
    if fall == 0.0 or not abs(least) < np.inf or not now < near < np.inf:
        _set(nodes, node, least, fall, until, now)
        return
    then = np.inf
    for row in range(first, last):
        level, slope = rows[row, _LEVEL], rows[row, _SLOPE]
        if of_nodes and near < rows[row, _NEAR]:
            level, slope = rows[row, _NEAR_LEVEL], rows[row, _NEAR_SLOPE]
        bound = level - slope * near
        then = bound if bound < then else then
    nodes[node, _LEVEL] = then + fall * near - 8.0 * _CLEARANCE * (abs(then) + abs(fall * near))
    nodes[node, _SLOPE], nodes[node, _UNTIL] = fall, until
    slope = (least - then) / (near - now)
    nodes[node, _NEAR], nodes[node, _NEAR_SLOPE] = near, slope
    nodes[node, _NEAR_LEVEL] = least + slope * now - 4.0 * _CLEARANCE * (abs(least) + abs(slope * near))


@piece
def _take_below(line, slot, now):  # type: ignore[no-untyped-def]
    """As `take`, below the nodes of a tree."""
    nodes, trees, place = line.nodes, line.trees, line.place_of[slot]
    kind = line.places[place, _KIND]
    base = trees[kind, _FIRST] // _BLOCK * 2
    node = trees[kind, _LEAVES] + (place - trees[kind, _FIRST]) // _BLOCK
    first = place // _BLOCK * _BLOCK
    _join(nodes, base + node, line.bounds, first, first + _BLOCK, now, False)
    node >>= 1
    while node > 0:
        level, slope = nodes[base + node, _LEVEL], nodes[base + node, _SLOPE]
        _join(nodes, base + node, nodes, base + 2 * node, base + 2 * node + 2, now, True)
        if slope == 0.0 and nodes[base + node, _SLOPE] == 0.0 and nodes[base + node, _LEVEL] == level:
            break  # another one is as good
        node >>= 1


@merged
def take(line, slot, now):  # type: ignore[no-untyped-def]
    """A waiting task runs, or is not to be found for another reason."""
    _absent(line.bounds, line.place_of[slot])
    if line.record[_TREES] == 1:
        _take_below(line, slot, now)


@piece
def leave(line, slot, now):  # type: ignore[no-untyped-def]
    """A task goes for good."""
    bounds, places, record, place_of = line.bounds, line.places, line.record, line.place_of
    place = place_of[slot]
    record[_PRESENT] -= 1
    if record[_TREES] == 1:
        _absent(bounds, place)
        places[place, _SLOT] = -1
        if 2 * record[_PRESENT] < record[_MOST]:
            _hand_out(line, now)
        return
    record[_TOTAL] -= 1
    for p in range(place, record[_TOTAL]):
        for c in range(3):
            bounds[p, c], places[p, c] = bounds[p + 1, c], places[p + 1, c]
        place_of[places[p, _SLOT]] = p


@piece
def _search(rank, tasks, line, kind, best, value, order, closed, now, size, params):  # type: ignore[no-untyped-def]
    """As `_look`, in the tree of a kind."""
    places, nodes, slots = line.places, line.nodes, line.slots
    front, leaves = line.trees[kind, _FIRST], line.trees[kind, _LEAVES]
    base = front // _BLOCK * 2
    slots[2 * SHORT], top = 1, 2 * SHORT + 1  # a stack of nodes, behind the tasks of a leaf
    while top > 2 * SHORT:
        top -= 1
        node = slots[top]
        if node < 0:  # both sides are done
            _join(nodes, base - node, nodes, base - 2 * node, base - 2 * node + 2, now, True)
            continue
        bound = _below(nodes, base + node, now)
        if bound > value:
            continue
        if bound == value:  # then only one that came earlier could come first
            first = node
            while first < leaves:
                first *= 2
            if places[front + (first - leaves) * _BLOCK, _ORDER] > order:
                continue
        if node < leaves:
            right = 2 * node + 1
            better = 1 if _below(nodes, base + right, now) < _below(nodes, base + right - 1, now) else 0
            slots[top], slots[top + 1], slots[top + 2] = -node, right - better, right - 1 + better
            top += 3
            continue
        first = front + (node - leaves) * _BLOCK
        best, value, order = _look(rank, tasks, line, first, first + _BLOCK, best, value, order, closed, now, size,
                                   params)
        _join(nodes, base + node, line.bounds, first, first + _BLOCK, now, False)
    return best, value, order


@merged
def first_of(rank, tasks, line, ran, n_ran, closed, now, size, params):  # type: ignore[no-untyped-def]
    """The task that comes first of those that wait, and of `ran[:n_ran]`, which do not; -1 = there is none.

    Parameters
    ----------
    closed : 0 for the kinds that can start.
    size : tasks to choose from, as `rank` is told.
    """
    bounds, places, slots, trees, record = line.bounds, line.places, line.slots, line.trees, line.record
    if record[_TREES] == 0 and record[_TOTAL] + n_ran <= _FEW:
        for k in range(n_ran):
            slots[k] = ran[k]
        count = n_ran
        for p in range(record[_TOTAL]):
            if closed[places[p, _KIND]] == 0 and (bounds[p, _LEVEL] < np.inf or bounds[p, _UNTIL] < np.inf):
                slots[count] = places[p, _SLOT]
                count += 1
        best, value = -1, np.inf
        if count > 0:
            best, value = _least_of(rank, tasks, slots, count, now, size, params, line)
        return best
    best, value, order = -1, np.inf, -1
    if n_ran > 0:
        best, value = _least_of(rank, tasks, ran, n_ran, now, size, params, line)
        order = tasks[best].order
    if record[_TREES] == 0:
        best, value, order = _look(rank, tasks, line, 0, record[_TOTAL], best, value, order, closed, now, size, params)
        return best
    for kind in range(trees.shape[0]):
        if closed[kind] == 0:
            best, value, order = _search(rank, tasks, line, kind, best, value, order, closed, now, size, params)
    return best
