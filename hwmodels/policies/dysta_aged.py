"""Dysta with ageing of the right sign and one unit: score = rem + beta (urgency - waiting time), all in seconds.

Terms as in `hwmodels.policies.dysta`. Who waits moves forward, and the choice does not depend on the unit of time.
"""

import numpy as np

from hwmodels.policies.base import Policy, rank
from hwmodels.policies.dysta import BETA, urgency_s

__all__ = ["POLICY"]


@rank
def _rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        task = tasks[queue[p]]
        left = task.measured_density_ratio * task.pattern_remaining_s
        urgency = urgency_s(left, task, now) if params[0] > 0.0 else 0.0
        ranked[p].value = left + params[0] * (urgency - (now - task.last_s))
        ranked[p].fall = 2.0 * params[0] if urgency > 0.0 else params[0]
        ranked[p].until = np.inf


POLICY = Policy(
    name="dysta_aged",
    summary="Dysta with a waiting term in seconds that favours who waits.",
    source="variant of H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="reconstruction",
    params={"beta": BETA},
    needs=("deadline_s", "pattern_remaining_s", "measured_density_ratio"),
    rank=_rank,
    deviations="waiting in seconds, subtracted; the published form adds a relative waiting time",
)
