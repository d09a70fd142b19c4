"""Planaria's urgency score on one engine: priority / slack, largest first.

The slack of a task is cut below at its estimated remaining time, so that a task that can no longer meet its deadline
competes with priority / remaining (Planaria's score when nothing is feasible) instead of starving. What is compared is
slack / priority, least first: there is no division by a slack of zero. Ties by order of admission.
"""

import numpy as np

from hwmodels.policies.base import Policy, rank

__all__ = ["POLICY"]


@rank
def _rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        task = tasks[queue[p]]
        slack = task.deadline_s - now
        if slack < task.remaining_s:
            slack = task.remaining_s
        elif most > size:
            ranked[p].fall = 1.0 / task.priority
        ranked[p].value = slack / task.priority
        ranked[p].until = np.inf


POLICY = Policy(
    name="planaria",
    summary="Largest priority / slack first, late tasks by priority / remaining time (Planaria's score, in time only).",
    source="S. Ghodrati et al., Planaria, MICRO 2020, doi:10.1109/MICRO50266.2020.00062; "
           "score as in Sparse-DySta's artefact",
    origin="reconstruction",
    discipline="deadline",
    needs=("priority", "deadline_s", "remaining_s"),
    rank=_rank,
    deviations="no allocation of sub-arrays: the kernel's lending rule shares a pool; late tasks do not starve",
)
