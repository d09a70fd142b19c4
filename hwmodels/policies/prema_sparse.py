"""PREMA on estimates scaled by the density measured so far: each task by its own ratio.

Tokens as in `hwmodels.policies.prema`, with the scaled isolated time.
"""

from hwmodels.policies.base import Policy, rank
from hwmodels.policies.prema import by_tokens

__all__ = ["POLICY"]


@rank
def _rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        task = tasks[queue[p]]
        ratio = task.measured_density_ratio
        by_tokens(task, ratio * task.pattern_remaining_s, ratio * task.pattern_isolated_s, now, size, most, ranked[p])


POLICY = Policy(
    name="prema_sparse",
    summary="PREMA with estimates scaled by the density measured in the executed layers.",
    source="public artefact of H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    needs=("priority", "pattern_isolated_s", "pattern_remaining_s", "measured_density_ratio"),
    rank=_rank,
    deviations="each task's own density ratio; waiting time counted once; layers without sparsity do not count",
)
