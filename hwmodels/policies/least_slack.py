"""Least slack first: slack = deadline - now - remaining.

`now` is common to all tasks, so the tasks are ordered by deadline - remaining: constant while a task waits, rising
while it runs. Two tasks of equal slack therefore alternate at every layer; `hysteresis_s` lets the running one keep
the engine until another is more urgent by that much.
"""

from hwmodels.policies.base import Param, Policy, select

__all__ = ["POLICY"]


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    best = 0
    best_key = 0.0
    for position in range(count):
        task = tasks[queue[position]]
        value = task.deadline_s - task.remaining_s
        if task.layer > 0 and task.last_s == now:
            value -= params[0]
        if position == 0 or value < best_key:
            best, best_key = position, value
    return best


POLICY = Policy(
    name="least_slack",
    summary="Least slack (deadline - now - estimated remaining time) first, preemptive at layer boundaries.",
    source="A. Mok, PhD thesis, MIT 1983",
    origin="textbook",
    discipline="deadline",
    params={"hysteresis_s": Param(0.0, 0.0, 0.1, "slack by which another task must be more urgent to preempt [s]")},
    needs=("deadline_s", "remaining_s"),
    select=_select,
)
