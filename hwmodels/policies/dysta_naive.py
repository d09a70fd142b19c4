"""Dysta without sparsity: its score (`hwmodels.policies.dysta`) on the family's average latencies."""

from hwmodels.policies.base import Policy, select
from hwmodels.policies.dysta import BETA, score

__all__ = ["POLICY"]


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    best, best_score = 0, 0.0
    for position in range(count):
        task = tasks[queue[position]]
        value = score(task.remaining_s, task.isolated_s, task, now, count, params[0])
        if position == 0 or value < best_score:
            best, best_score = position, value
    return best


POLICY = Policy(
    name="dysta_naive",
    summary="Dysta's score on averages that know nothing of sparsity.",
    source="public artefact of H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    params={"beta": BETA},
    needs=("deadline_s", "isolated_s", "remaining_s"),
    select=_select,
)
