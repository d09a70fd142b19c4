"""A choice that stands: helpers for `select` policies that need not look at every task at every decision.

While a task runs, the others only wait. What a scan of the queue found about them bounds their scores for some time, so
that the running task can be seen to win without another scan. On one undivided engine, where the queue always holds
every task, the other tasks of a scan can only become fewer until the chosen one ends, and new ones come at the end of
the queue. The kernel says so by `state[WHOLE]` = 1; elsewhere nothing stands and every decision scans.

Every bound is on the safe side of rounding: a decision is skipped only where a scan would find the same task.

    at = standing(tasks, queue, count, state)     position of the last choice, or -1
    for position in range(first_new(...), count)  lower the bounds by the tasks that came since
    if the choice is sure to win: return at
    scan; stand(tasks, queue, count, state, best)
"""

from hwmodels.policies.base import WHOLE, inline

__all__ = ["BOUND", "CLEARANCE", "SINCE", "UNTIL", "first_new", "stand", "standing"]

_ORDER, _POSITION, _NEWEST, _VALID = 8, 9, 10, 11
BOUND, SINCE, UNTIL = 12, 13, 14
"""Free for the policy, as is `state[:8]`: the least score of the others, when it held, until when the rest holds."""

CLEARANCE = 1e-9
"""Relative distance to a bound that rounding cannot cross."""


@inline
def standing(tasks, queue, count, state):  # type: ignore[no-untyped-def]
    """Position of the last choice if it is still in the system and what was found with it can be trusted, else -1."""
    if state[WHOLE] == 0.0 or state[_VALID] == 0.0:
        return -1
    at = int(state[_POSITION])
    if at < count and tasks[queue[at]].order == int(state[_ORDER]):
        return at
    return -1


@inline
def first_new(tasks, queue, count, state):  # type: ignore[no-untyped-def]
    """First position of the tasks that came after the last call, which it also remembers."""
    at = count
    while at > 0 and tasks[queue[at - 1]].order > int(state[_NEWEST]):
        at -= 1
    if at < count:
        state[_NEWEST] = float(tasks[queue[count - 1]].order)
    return at


@inline
def stand(tasks, queue, count, state, best):  # type: ignore[no-untyped-def]
    """Remember a choice."""
    state[_ORDER] = float(tasks[queue[best]].order)
    state[_POSITION] = float(best)
    state[_NEWEST] = float(tasks[queue[count - 1]].order)
    state[_VALID] = 1.0
