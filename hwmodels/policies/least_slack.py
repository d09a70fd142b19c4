"""Least slack first: slack = deadline - now - remaining.

`now` is common to all tasks, so the tasks are ordered by deadline - remaining: constant while a task waits, rising
while it runs. Two tasks of equal slack therefore alternate at every layer; `hysteresis_s` lets the running one keep
the engine until another is more urgent by that much.
"""

from hwmodels.policies.base import Param, Policy, keeps, key

__all__ = ["POLICY"]


@key
def _key(tasks, i, params):  # type: ignore[no-untyped-def]
    return tasks[i].deadline_s - tasks[i].remaining_s


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
    key=_key,
    keeps=_keeps,
)
