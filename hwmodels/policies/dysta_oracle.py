"""Dysta with the true latencies of every sample: what a perfect predictor would give its score (not a bound)."""

from hwmodels.policies.base import Policy, select
from hwmodels.policies.dysta import BETA, score

__all__ = ["POLICY"]


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    best, best_score = 0, 0.0
    for position in range(count):
        task = tasks[queue[position]]
        value = score(task.true_remaining_s, task.true_isolated_s, task, now, count, params[0])
        if position == 0 or value < best_score:
            best, best_score = position, value
    return best


POLICY = Policy(
    name="dysta_oracle",
    summary="Dysta's score on the hidden true latencies: an oracle for comparison, not a real policy.",
    source="H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    params={"beta": BETA},
    needs=("deadline_s", "true_isolated_s", "true_remaining_s"),
    select=_select,
)
