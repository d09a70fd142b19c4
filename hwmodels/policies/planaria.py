"""Planaria's urgency score on one engine: priority / slack, largest first.

The slack of a task is cut below at its estimated remaining time, so that a task that can no longer meet its deadline
competes with priority / remaining (Planaria's score when nothing is feasible) instead of starving; there is no
division by zero. Ties by order of admission.
"""

from hwmodels.policies.base import Policy, select

__all__ = ["POLICY"]


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    best, best_score = 0, -1.0
    for position in range(count):
        task = tasks[queue[position]]
        slack = task.deadline_s - now
        if slack < task.remaining_s:
            slack = task.remaining_s
        score = task.priority / slack if slack > 0.0 else float("inf")
        if score > best_score:
            best, best_score = position, score
    return best


POLICY = Policy(
    name="planaria",
    summary="Largest priority / slack first, late tasks by priority / remaining time (Planaria's score, in time only).",
    source="S. Ghodrati et al., Planaria, MICRO 2020, doi:10.1109/MICRO50266.2020.00062; "
           "score as in Sparse-DySta's artefact",
    origin="reconstruction",
    discipline="deadline",
    needs=("priority", "deadline_s", "remaining_s"),
    select=_select,
    deviations="no allocation of sub-arrays: the kernel's lending rule shares a pool; late tasks do not starve",
)
