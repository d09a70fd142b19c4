"""Dysta: shortest sparsity-aware remaining time first, with terms for urgency and waiting.

score = rem + beta (urgency + wait), least first, ties by order of admission:
rem = (measured / average density) x remaining time of the network's own average; urgency = max(0, slack - rem) with
slack = deadline - now; wait = (time since the last layer) / isolated time / tasks in the queue.

The published form is kept: it adds seconds and a dimensionless wait, so that it depends on the unit of time, and the
wait pushes back who waits. `dysta_aged` mends both.
"""

from hwmodels.policies.base import Param, Policy, inline, select

__all__ = ["BETA", "POLICY", "score"]

BETA = Param(0.01, 0.0, 1.0, "weight of urgency and waiting [-]")


@inline
def score(left, isolated, task, now, count, beta):  # type: ignore[no-untyped-def]
    """Dysta's score of one task."""
    urgency = task.deadline_s - now - left
    if urgency < 0.0:
        urgency = 0.0
    wait = (now - task.last_s) / isolated / count if isolated > 0.0 else 0.0
    return left + beta * (urgency + wait)


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    best, best_score = 0, 0.0
    for position in range(count):
        task = tasks[queue[position]]
        left = task.measured_density_ratio * task.pattern_remaining_s
        value = score(left, task.pattern_isolated_s, task, now, count, params[0])
        if position == 0 or value < best_score:
            best, best_score = position, value
    return best


POLICY = Policy(
    name="dysta",
    summary="Shortest sparsity-aware remaining time first, with urgency and waiting terms.",
    source="H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    params={"beta": BETA},
    needs=("deadline_s", "pattern_isolated_s", "pattern_remaining_s", "measured_density_ratio"),
    select=_select,
    deviations="layers without sparsity do not enter the density ratio",
)
