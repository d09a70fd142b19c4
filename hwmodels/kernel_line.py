"""The tasks in the system under a policy that gives each a number: the one with the least runs.

By `key` they stand in heaps (`hwmodels.kernel_key`), by `rank` with bounds (`hwmodels.kernel_rank`). Those that run, or
have just run, do not wait: they are compared with those that do.
"""

from typing import NamedTuple

from hwmodels.compiled import merged
from hwmodels.kernel_key import KeyLine, key_line
from hwmodels.kernel_key import first_of as first_by_key
from hwmodels.kernel_key import leave as leave_heap
from hwmodels.kernel_key import take as take_by_key
from hwmodels.kernel_key import wait as wait_by_key
from hwmodels.kernel_parts import KEY, RANK
from hwmodels.kernel_rank import RankLine, rank_line
from hwmodels.kernel_rank import first_of as first_by_rank
from hwmodels.kernel_rank import leave as leave_bounds
from hwmodels.kernel_rank import stand as stand_by_rank
from hwmodels.kernel_rank import take as take_by_rank
from hwmodels.kernel_rank import wait as wait_by_rank

__all__ = ["Line", "first_of", "leave", "line_of", "stand", "take", "turn", "wait"]


class Line(NamedTuple):
    """One of the two is for nobody."""

    keyed: KeyLine
    ranked: RankLine


def line_of(form: int, n: int, kinds: int) -> Line:
    """For at most n tasks of so many kinds, for a form of `kernel_parts`; nobody is there."""
    return Line(key_line(n if form == KEY else 0, kinds), rank_line(n if form == RANK else 0, kinds))


@merged
def turn(line, slot, kind):  # type: ignore[no-untyped-def]
    """A task with a key that does not wait is of another kind from now on."""
    line.keyed.places[slot, 0] = kind


@merged
def stand(form, key, rank, tasks, line, slot, kind, now, size, params):  # type: ignore[no-untyped-def]
    """A task has come and waits.

    Parameters
    ----------
    form, key, rank : of the policy.
    size : tasks to choose from, as `rank` is told.
    """
    if form == KEY:
        turn(line, slot, kind)
        wait_by_key(key, tasks, line.keyed, slot, params)
    else:
        stand_by_rank(rank, tasks, line.ranked, slot, kind, now, size, params)


@merged
def wait(form, key, rank, tasks, line, slot, now, size, params):  # type: ignore[no-untyped-def]
    """A task that was taken waits again."""
    if form == KEY:
        wait_by_key(key, tasks, line.keyed, slot, params)
    else:
        wait_by_rank(rank, tasks, line.ranked, slot, now, size, params)


@merged
def take(form, line, slot):  # type: ignore[no-untyped-def]
    """A waiting task runs, or is not to be found for another reason."""
    if form == KEY:
        take_by_key(line.keyed, slot)
    else:
        take_by_rank(line.ranked, slot)


@merged
def leave(form, line, slot):  # type: ignore[no-untyped-def]
    """A task goes for good."""
    if form == KEY:
        leave_heap(line.keyed, slot)
    else:
        leave_bounds(line.ranked, slot)


@merged
def first_of(form, key, rank, tasks, line, ran, n_ran, closed, now, size, params):  # type: ignore[no-untyped-def]
    """The task that comes first of those that wait, and of `ran[:n_ran]`, which do not.

    Parameters
    ----------
    closed : 0 for the kinds that can start.
    """
    if form == KEY:
        return first_by_key(key, tasks, line.keyed, ran, n_ran, closed, params)
    return first_by_rank(rank, tasks, line.ranked, ran, n_ran, closed, now, size, params)
