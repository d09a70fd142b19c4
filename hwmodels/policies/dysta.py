"""Dysta: shortest sparsity-aware remaining time first, with terms for urgency and waiting.

score = rem + beta (urgency + wait), least first, ties by order of admission:
rem = (measured / average density) x remaining time of the network's own average; urgency = max(0, slack - rem) with
slack = deadline - now; wait = (time since the last layer) / isolated time / tasks in the queue.

The published form is kept: it adds seconds and a dimensionless wait, so that it depends on the unit of time, and the
wait pushes back who waits. `dysta_aged` mends both.
"""

import numpy as np

from hwmodels.policies.base import Param, Policy, inline, rank

__all__ = ["BETA", "POLICY", "by_score", "urgency_s"]

BETA = Param(0.01, 0.0, 1.0, "weight of urgency and waiting [-]")


@inline
def urgency_s(left, task, now):  # type: ignore[no-untyped-def]
    """Slack beyond the remaining time, 0 for a late task [s]."""
    urgency = task.deadline_s - now - left
    return urgency if urgency > 0.0 else 0.0


@inline
def by_score(left, isolated, task, now, size, most, beta, row):  # type: ignore[no-untyped-def]
    """Rank a task by Dysta's score. Ahead, its urgency falls, its waiting time rises, and counts less in a longer
    queue."""
    urgency = urgency_s(left, task, now)
    wait = (now - task.last_s) / isolated if isolated > 0.0 else 0.0
    if beta == 0.0:
        urgency, wait = 0.0, 0.0
    row.value = left + beta * (urgency + wait / size)
    if most > size:
        row.least = left + beta * (urgency + wait / most)
        row.fall = (beta if urgency > 0.0 else 0.0) - (beta / (isolated * most) if isolated > 0.0 else 0.0)
        row.until = np.inf


@rank
def _rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        task = tasks[queue[p]]
        left = task.measured_density_ratio * task.pattern_remaining_s
        by_score(left, task.pattern_isolated_s, task, now, size, most, params[0], ranked[p])


POLICY = Policy(
    name="dysta",
    summary="Shortest sparsity-aware remaining time first, with urgency and waiting terms.",
    source="H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    params={"beta": BETA},
    needs=("deadline_s", "pattern_isolated_s", "pattern_remaining_s", "measured_density_ratio"),
    rank=_rank,
    deviations="layers without sparsity do not enter the density ratio",
)
