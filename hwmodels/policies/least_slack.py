"""Least slack first: slack = deadline - now - remaining.

`now` is common to all tasks, so the tasks are ordered by deadline - remaining: constant while a task waits, rising
while it runs. Two tasks of equal slack therefore alternate at every layer; `hysteresis_s` lets the running one keep
the engine until another is more urgent by that much.
"""

import numpy as np

from hwmodels.policies.base import Param, Policy, keeps, rank

__all__ = ["POLICY"]


@rank
def _rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        ranked[p].value = tasks[queue[p]].deadline_s - tasks[queue[p]].remaining_s
        ranked[p].until = np.inf


@keeps
def _keeps(tasks, runner, first, now, params):  # type: ignore[no-untyped-def]
    own = tasks[runner].deadline_s - tasks[runner].remaining_s - params[0]
    other = tasks[first].deadline_s - tasks[first].remaining_s
    return own < other or (own == other and tasks[runner].order < tasks[first].order)


POLICY = Policy(
    name="least_slack",
    summary="Least slack (deadline - now - estimated remaining time) first, preemptive at layer boundaries.",
    source="A. Mok, PhD thesis, MIT 1983",
    origin="textbook",
    discipline="deadline",
    params={"hysteresis_s": Param(0.0, 0.0, 0.1, "slack by which another task must be more urgent to preempt [s]")},
    needs=("deadline_s", "remaining_s"),
    rank=_rank,
    keeps=_keeps,
)
