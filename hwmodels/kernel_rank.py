"""Who runs next under a policy of the form `rank`: whose number is the least now, ties by order of admission.

Model
-----
A short queue is scanned. Of a long one the tasks have places in order of admission, `BLOCK` of which are a leaf of a
binary tree. Every node holds a bound of the numbers below it: least - fall x (time since it was made), until it
expires. To find the least number the tree is searched from the root, the more promising side first; what cannot be
better than the best task so far is not looked at. A block that is looked at gets a new bound. So a decision looks at a
few tasks of thousands, and what it finds is what a scan would find.

The place of the running task is empty, because its number changes as it runs. A bound holds for fewer tasks too: who
leaves only empties a place. When no place is left the tree is planted anew, with twice as many as there are tasks, so
that there are never more than twice as many tasks as then: `most`.
"""

import numpy as np

from hwmodels.compiled import merged, part
from hwmodels.policies.base import RANKED

__all__ = ["PLACES", "SHORT", "first_of", "grove", "leave", "scan", "swap"]

SHORT = 64
"""Length of a queue that is scanned."""

_BLOCK = 16

_CLEARANCE = 1e-12
"""Relative distance that rounding cannot cross, for bounds that fall."""

_MOST = np.finfo(np.float64).max

_LEAST, _FALL, _UNTIL, _SINCE = range(4)
"""Columns of a node."""

PLACES, _USED, _NEWEST, _WAITS = range(4)
"""What is kept of a tree: how many places it has (0 = there is no tree), places in use, order of the newest task with a
place, the task that was running until the last decision and gets its place back at the next one."""


@part
def grove():  # type: ignore[no-untyped-def]
    """(nodes, tasks by place, record of the tree, scratch for slots, scratch for numbers): no tree yet."""
    places, tree, slots = np.empty(0, dtype=np.int64), np.zeros(4, dtype=np.int64), np.empty(128, dtype=np.int64)
    return np.empty((0, 4)), places, tree, slots, np.empty(SHORT, dtype=RANKED)


@part
def scan(rank, tasks, slots, count, now, size, params, ranked):  # type: ignore[no-untyped-def]
    """Position in `slots[:count]` of the task that ranks first; what is no number counts as infinite."""
    rank(tasks, slots, count, now, size, size, params, ranked)
    best, least = 0, np.inf
    for position in range(count):
        if ranked[position].value < least:
            best, least = position, ranked[position].value
    return best


@merged
def _bound(nodes, node, now):  # type: ignore[no-untyped-def]
    """Least number that anybody below a node can have now."""
    if now >= nodes[node, _UNTIL]:
        return -np.inf
    least, fall = nodes[node, _LEAST], nodes[node, _FALL]
    if fall == 0.0 or least == np.inf:  # nobody is there
        return least
    return least - fall * (now - nodes[node, _SINCE]) - _CLEARANCE * (abs(least) + fall * abs(now))


@merged
def _join(nodes, node, now):  # type: ignore[no-untyped-def]
    """Make the bound of a node from those of its children."""
    left, right = 2 * node, 2 * node + 1
    least, other = _bound(nodes, left, now), _bound(nodes, right, now)
    nodes[node, _LEAST] = other if other < least else least
    nodes[node, _FALL] = nodes[right, _FALL] if nodes[right, _FALL] > nodes[left, _FALL] else nodes[left, _FALL]
    nodes[node, _UNTIL] = nodes[right, _UNTIL] if nodes[right, _UNTIL] < nodes[left, _UNTIL] else nodes[left, _UNTIL]
    nodes[node, _SINCE] = now


@part
def _climb(nodes, node, now):  # type: ignore[no-untyped-def]
    """Tell the nodes above one that it has changed."""
    node >>= 1
    while node > 0:
        _join(nodes, node, now)
        node >>= 1


@part
def _ask(rank, tasks, slots, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    """Numbers of some tasks, cut to finite ones, and their bounds."""
    for p in range(count):
        ranked[p].least, ranked[p].fall, ranked[p].until = np.inf, 0.0, -np.inf
    rank(tasks, slots, count, now, size, most, params, ranked)
    for p in range(count):
        if not ranked[p].value < _MOST:
            ranked[p].value = _MOST
        if not ranked[p].least < ranked[p].value:
            ranked[p].least = ranked[p].value
        if ranked[p].least == _MOST:  # it stays infinite
            ranked[p].fall = 0.0


@part
def _enter(rank, tasks, slot, now, size, params, nodes, places, tree, place_of, slots, ranked):  # type: ignore[no-untyped-def]
    """Put a waiting task at its place: the bound of the block holds for it too."""
    slots[0] = slot
    _ask(rank, tasks, slots, 1, now, size, tree[PLACES], params, ranked)
    places[place_of[slot]] = slot
    leaf = (nodes.shape[0] >> 1) + place_of[slot] // _BLOCK
    least = _bound(nodes, leaf, now)
    nodes[leaf, _LEAST] = ranked[0].least if ranked[0].least < least else least
    nodes[leaf, _FALL] = ranked[0].fall if ranked[0].fall > nodes[leaf, _FALL] else nodes[leaf, _FALL]
    nodes[leaf, _UNTIL] = ranked[0].until if ranked[0].until < nodes[leaf, _UNTIL] else nodes[leaf, _UNTIL]
    nodes[leaf, _SINCE] = now
    _climb(nodes, leaf, now)


@part
def leave(places, tree, place_of, tasks, slot):  # type: ignore[no-untyped-def]
    """Empty the place of a task, if it has one."""
    if tree[PLACES] > 0 and tasks[slot].order <= tree[_NEWEST]:
        places[place_of[slot]] = -1


@part
def swap(nodes, places, tree, place_of, slot, runner, now):  # type: ignore[no-untyped-def]
    """The task that ranks first starts to run instead of another one (-1: none): its place is empty now, the other gets
    its own back at the next decision, when all of what happens to it here has happened."""
    if tree[PLACES] > 0:
        places[place_of[slot]] = -1
        tree[_WAITS] = runner
        leaf = (nodes.shape[0] >> 1) + place_of[slot] // _BLOCK
        nodes[leaf, _LEAST] = nodes[0, _LEAST]
        _climb(nodes, leaf, now)


@merged
def _search(rank, tasks, now, size, params, nodes, places, tree, best, value, slots, ranked):  # type: ignore[no-untyped-def]
    """Place of the least number, if it is below `value`, or equal and before place `best`; else `best` (-1: none).
    `nodes[0]` keeps what the bound of its block is without it."""
    leaves = nodes.shape[0] >> 1
    slots[_BLOCK], top = 1, _BLOCK + 1  # a stack of nodes, behind the tasks of a block
    while top > _BLOCK:
        top -= 1
        node = slots[top]
        if node < 0:  # both sides are done
            _join(nodes, -node, now)
            continue
        bound = _bound(nodes, node, now)
        if bound > value:
            continue
        first = node
        if bound == value and best >= 0:
            while first < leaves:
                first *= 2
            if (first - leaves) * _BLOCK > best:
                continue
        if node < leaves:
            right = 2 * node + 1
            better = 1 if _bound(nodes, right, now) < _bound(nodes, right - 1, now) else 0
            slots[top], slots[top + 1], slots[top + 2] = -node, right - better, right - 1 + better
            top += 3
            continue
        count = 0
        for place in range((node - leaves) * _BLOCK, (node - leaves + 1) * _BLOCK):
            if places[place] >= 0:
                slots[count] = places[place]
                count += 1
        _ask(rank, tasks, slots, count, now, size, tree[PLACES], params, ranked)
        least, fall, until, found = np.inf, 0.0, np.inf, -1
        place = (node - leaves) * _BLOCK
        for p in range(count):
            while places[place] != slots[p]:
                place += 1
            if ranked[p].value < value or best < 0 or (ranked[p].value == value and place < best):
                best, value, found = place, ranked[p].value, p
            least = ranked[p].least if ranked[p].least < least else least
            fall = ranked[p].fall if ranked[p].fall > fall else fall
            until = ranked[p].until if ranked[p].until < until else until
        nodes[node, _LEAST], nodes[node, _FALL], nodes[node, _UNTIL], nodes[node, _SINCE] = least, fall, until, now
        if found >= 0:
            nodes[0, _LEAST] = np.inf
            for p in range(count):
                if p != found and ranked[p].least < nodes[0, _LEAST]:
                    nodes[0, _LEAST] = ranked[p].least
    return best


@part
def _planted(size, now):  # type: ignore[no-untyped-def]
    """(nodes, tasks by place) of a tree with twice as many places as there are tasks, all empty."""
    leaves = 2
    while leaves * _BLOCK < 2 * size:
        leaves *= 2
    nodes = np.empty((2 * leaves, 4))
    for node in range(2 * leaves):
        nodes[node, _LEAST], nodes[node, _FALL], nodes[node, _UNTIL], nodes[node, _SINCE] = np.inf, 0.0, np.inf, now
    places = np.empty(leaves * _BLOCK, dtype=np.int64)
    for place in range(leaves * _BLOCK):
        places[place] = -1
    return nodes, places


@part
def first_of(rank, tasks, queue, size, runner, now, params, nodes, places, tree, place_of, slots, ranked):  # type: ignore[no-untyped-def]
    """(task that ranks first, nodes, tasks by place) of all tasks in the system, `queue[:size]`: give places to who has
    come and who waits again, and search.

    Parameters
    ----------
    runner : the one that has just run, -1 = none.
    nodes, places, tree, slots, ranked : of `grove`.
    place_of : scratch, shape (n,).
    """
    new = size
    while new > 0 and tasks[queue[new - 1]].order > tree[_NEWEST]:
        new -= 1
    if tree[_USED] + size - new > tree[PLACES]:
        nodes, places = _planted(size, now)
        tree[PLACES], tree[_USED], tree[_WAITS] = 2 * size, 0, -1
        new = 0
    if tree[_WAITS] >= 0:
        _enter(rank, tasks, tree[_WAITS], now, size, params, nodes, places, tree, place_of, slots, ranked)
        tree[_WAITS] = -1
    for position in range(new, size):
        slot = queue[position]
        place_of[slot] = tree[_USED]
        tree[_USED] += 1
        if slot != runner:
            _enter(rank, tasks, slot, now, size, params, nodes, places, tree, place_of, slots, ranked)
    tree[_NEWEST] = tasks[queue[size - 1]].order
    best, value = -1, np.inf
    if runner >= 0:
        slots[0] = runner
        _ask(rank, tasks, slots, 1, now, size, tree[PLACES], params, ranked)
        best, value = place_of[runner], ranked[0].value
    place = _search(rank, tasks, now, size, params, nodes, places, tree, best, value, slots, ranked)
    return (runner if place == best else places[place]), nodes, places
