"""SDRM3 / DREAM's score on one engine: urgency + alpha x relative waiting, largest first.

urgency = remaining / slack, cut to 1; a late task (slack <= 0) has urgency 1. Waiting = time since the task's last
layer / estimated latency of its next one. Ties by order of admission.
"""

from hwmodels.policies.base import Param, Policy, inline, select

__all__ = ["ALPHA", "POLICY", "score"]

ALPHA = Param(1.0, 0.0, 10.0, "weight of the relative waiting time [-]")


@inline
def score(left, following, slack, idle, alpha):  # type: ignore[no-untyped-def]
    """MapScore of one task on the only engine [-]."""
    urgency = left / slack if slack > left else 1.0
    if idle <= 0.0:
        return urgency
    return urgency + alpha * idle / following if following > 0.0 else float("inf")


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    best, best_score = 0, -1.0
    for position in range(count):
        task = tasks[queue[position]]
        value = score(task.remaining_s, task.next_s, task.deadline_s - now, now - task.last_s, params[0])
        if value > best_score:
            best, best_score = position, value
    return best


POLICY = Policy(
    name="sdrm3",
    summary="Largest urgency (remaining / slack) plus relative waiting time first.",
    source="S. Kim et al., DREAM (SDRM3), ASPLOS 2023, doi:10.1145/3623278.3624753; "
           "single-engine form as in Sparse-DySta's artefact",
    origin="reconstruction",
    params={"alpha": ALPHA},
    needs=("deadline_s", "remaining_s", "next_s"),
    select=_select,
    deviations="no energy term, no frame drop, no lighter variants; urgency of late tasks is 1",
)
