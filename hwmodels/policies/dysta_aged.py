"""Dysta with ageing of the right sign and one unit: score = rem + beta (urgency - waiting time), all in seconds.

Terms as in `hwmodels.policies.dysta`. Who waits moves forward, and the choice does not depend on the unit of time.
"""

from hwmodels.policies.base import Policy, select
from hwmodels.policies.dysta import BETA

__all__ = ["POLICY"]


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    best, best_score = 0, 0.0
    for position in range(count):
        task = tasks[queue[position]]
        left = task.measured_density_ratio * task.pattern_remaining_s
        urgency = task.deadline_s - now - left
        if urgency < 0.0:
            urgency = 0.0
        value = left + params[0] * (urgency - (now - task.last_s))
        if position == 0 or value < best_score:
            best, best_score = position, value
    return best


POLICY = Policy(
    name="dysta_aged",
    summary="Dysta with a waiting term in seconds that favours who waits.",
    source="variant of H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="reconstruction",
    params={"beta": BETA},
    needs=("deadline_s", "pattern_remaining_s", "measured_density_ratio"),
    select=_select,
    deviations="waiting in seconds, subtracted; the published form adds a relative waiting time",
)
