"""Dysta without sparsity: its score (`hwmodels.policies.dysta`) on the family's average latencies."""

from hwmodels.policies.base import Policy, rank
from hwmodels.policies.dysta import BETA, by_score

__all__ = ["POLICY"]


@rank
def _rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        task = tasks[queue[p]]
        by_score(task.remaining_s, task.isolated_s, task, now, size, most, params[0], ranked[p])


POLICY = Policy(
    name="dysta_naive",
    summary="Dysta's score on averages that know nothing of sparsity.",
    source="public artefact of H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    params={"beta": BETA},
    needs=("deadline_s", "isolated_s", "remaining_s"),
    rank=_rank,
)
