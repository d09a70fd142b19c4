"""SDRM3's score (`hwmodels.policies.sdrm3`) on estimates scaled by the density measured so far."""

from hwmodels.policies.base import Policy, rank
from hwmodels.policies.sdrm3 import ALPHA, by_score

__all__ = ["POLICY"]


@rank
def _rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        task = tasks[queue[p]]
        ratio = task.measured_density_ratio
        left, following = ratio * task.pattern_remaining_s, ratio * task.pattern_next_s
        by_score(left, following, task, now, size, most, params[0], ranked[p])


POLICY = Policy(
    name="sdrm3_sparse",
    summary="SDRM3 with estimates scaled by the density measured in the executed layers.",
    source="public artefact of H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    params={"alpha": ALPHA},
    needs=("deadline_s", "pattern_remaining_s", "pattern_next_s", "measured_density_ratio"),
    rank=_rank,
    deviations="urgency of late tasks is 1; layers without sparsity do not count",
)
