"""Dysta with the true latencies of every sample: what a perfect predictor would give its score (not a bound)."""

from hwmodels.policies.base import Policy, rank
from hwmodels.policies.dysta import BETA, by_score

__all__ = ["POLICY"]


@rank
def _rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        task = tasks[queue[p]]
        by_score(task.true_remaining_s, task.true_isolated_s, task, now, size, most, params[0], ranked[p])


POLICY = Policy(
    name="dysta_oracle",
    summary="Dysta's score on the hidden true latencies: an oracle for comparison, not a real policy.",
    source="H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    params={"beta": BETA},
    needs=("deadline_s", "true_isolated_s", "true_remaining_s"),
    rank=_rank,
)
