"""SDRM3 / DREAM's score on one engine: urgency + alpha x relative waiting, largest first.

urgency = remaining / slack, cut to 1; a late task (slack <= 0) has urgency 1. Waiting = time since the task's last
layer / estimated latency of its next one. Ties by order of admission.
"""

import numpy as np

from hwmodels.policies.base import Param, Policy, inline, rank

__all__ = ["ALPHA", "POLICY", "by_score", "score"]

ALPHA = Param(1.0, 0.0, 10.0, "weight of the relative waiting time [-]")


@inline
def score(left, following, slack, idle, alpha):  # type: ignore[no-untyped-def]
    """MapScore of one task on the only engine [-]."""
    urgency = left / slack if slack > left else 1.0
    if idle <= 0.0:
        return urgency
    return urgency + alpha * idle / following if following > 0.0 else float("inf")


@inline
def by_score(left, following, task, now, size, most, alpha, row):  # type: ignore[no-untyped-def]
    """Rank a task by -score. Ahead, waiting adds at a constant rate, and the urgency of a task in time stays below the
    one that it has when half of what is between its slack and its remaining time has passed."""
    slack = task.deadline_s - now
    row.value = -score(left, following, slack, now - task.last_s, alpha)
    if most > size and following > 0.0:
        row.fall = alpha / following
        row.until = np.inf
        if slack > left:
            rounding = 1e-12 * now / left if left > 0.0 else 0.0
            row.least = row.value + left / slack - 2.0 * left / (slack + left) * (1.0 + 1e-9) - rounding
            row.until = now + 0.5 * (slack - left)


@rank
def _rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        task = tasks[queue[p]]
        by_score(task.remaining_s, task.next_s, task, now, size, most, params[0], ranked[p])


POLICY = Policy(
    name="sdrm3",
    summary="Largest urgency (remaining / slack) plus relative waiting time first.",
    source="S. Kim et al., DREAM (SDRM3), ASPLOS 2023, doi:10.1145/3623278.3624753; "
           "single-engine form as in Sparse-DySta's artefact",
    origin="reconstruction",
    params={"alpha": ALPHA},
    needs=("deadline_s", "remaining_s", "next_s"),
    rank=_rank,
    deviations="no energy term, no frame drop, no lighter variants; urgency of late tasks is 1",
)
