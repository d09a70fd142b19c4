"""Dysta with the true latencies of every sample: what a perfect predictor would give its score (not a bound)."""

import numpy as np

from hwmodels.policies.base import Policy, select
from hwmodels.policies.dysta import BETA, bound, lower, note, score, wins
from hwmodels.policies.standing import BOUND, SINCE, UNTIL, first_new, stand, standing

__all__ = ["POLICY"]


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    beta = params[0]
    at = standing(tasks, queue, count, state)
    if at >= 0:
        for position in range(first_new(tasks, queue, count, state), count):
            task = tasks[queue[position]]
            lower(bound(task.true_remaining_s, task, now, beta), now, beta, state)
        task = tasks[queue[at]]
        left = task.true_remaining_s
        if wins(score(left, task.true_isolated_s, task, now, count, beta), now, count, beta, state):
            return at
    best, best_score, other = 0, np.inf, np.inf
    best_bound, second = np.inf, np.inf
    for position in range(count):
        task = tasks[queue[position]]
        left = task.true_remaining_s
        value = score(left, task.true_isolated_s, task, now, count, beta)
        if position == 0 or value < best_score:
            best, best_score, other = position, value, best_score
        elif value < other:
            other = value
        best_bound, second = note(bound(left, task, now, beta), position, best, best_bound, second)
    state[BOUND], state[UNTIL], state[SINCE], state[0] = second, other, now, count
    stand(tasks, queue, count, state, best)
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
