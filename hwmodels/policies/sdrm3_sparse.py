"""SDRM3's score (`hwmodels.policies.sdrm3`) on estimates scaled by the density measured so far."""

from hwmodels.policies.base import Policy, select
from hwmodels.policies.sdrm3 import ALPHA, score

__all__ = ["POLICY"]


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    best, best_score = 0, -1.0
    for position in range(count):
        task = tasks[queue[position]]
        ratio = task.measured_density_ratio
        value = score(ratio * task.pattern_remaining_s, ratio * task.pattern_next_s, task.deadline_s - now,
                      now - task.last_s, params[0])
        if value > best_score:
            best, best_score = position, value
    return best


POLICY = Policy(
    name="sdrm3_sparse",
    summary="SDRM3 with estimates scaled by the density measured in the executed layers.",
    source="public artefact of H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    params={"alpha": ALPHA},
    needs=("deadline_s", "pattern_remaining_s", "pattern_next_s", "measured_density_ratio"),
    select=_select,
    deviations="urgency of late tasks is 1; layers without sparsity do not count",
)
