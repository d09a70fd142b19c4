"""Dysta: shortest sparsity-aware remaining time first, with terms for urgency and waiting.

score = rem + beta (urgency + wait), least first, ties by order of admission:
rem = (measured / average density) x remaining time of the network's own average; urgency = max(0, slack - rem) with
slack = deadline - now; wait = (time since the last layer) / isolated time / tasks in the queue.

The published form is kept: it adds seconds and a dimensionless wait, so that it depends on the unit of time, and the
wait pushes back who waits. `dysta_aged` mends both.
"""

import numpy as np

from hwmodels.policies.base import Param, Policy, inline, select
from hwmodels.policies.standing import BOUND, CLEARANCE, SINCE, UNTIL, first_new, stand, standing

__all__ = ["BETA", "POLICY", "bound", "lower", "note", "score", "wins"]

BETA = Param(0.01, 0.0, 1.0, "weight of urgency and waiting [-]")


@inline
def bound(left, task, now, beta):  # type: ignore[no-untyped-def]
    """Score of a task if it had not waited. While it waits its score is at least this - beta x (time from now)."""
    urgency = task.deadline_s - now - left
    if urgency < 0.0:
        urgency = 0.0
    return left + beta * urgency


@inline
def score(left, isolated, task, now, count, beta):  # type: ignore[no-untyped-def]
    """Dysta's score of one task."""
    urgency = task.deadline_s - now - left
    if urgency < 0.0:
        urgency = 0.0
    wait = (now - task.last_s) / isolated / count if isolated > 0.0 else 0.0
    return left + beta * (urgency + wait)


@inline
def wins(own, now, count, beta, state):  # type: ignore[no-untyped-def]
    """Whether this score is surely below those of the others: their least score at `state[SINCE]` as long as nobody has
    come since, else their least bound, less what urgency may have lost."""
    least = state[UNTIL] if count <= int(state[0]) else state[BOUND]
    return own < least - beta * (now - state[SINCE]) - CLEARANCE * (abs(least) + abs(own) + beta * now)


@inline
def lower(least, now, beta, state):  # type: ignore[no-untyped-def]
    """Take in the bound of a task that has come now."""
    least += beta * (now - state[SINCE])
    if least < state[BOUND]:
        state[BOUND] = least


@inline
def note(value, at, best, best_bound, second):  # type: ignore[no-untyped-def]
    """The least bound of all tasks but the best one so far: (bound of the best, least of the rest)."""
    return (value, second if second < best_bound else best_bound) if at == best else (
        best_bound, value if value < second else second)


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    beta = params[0]
    at = standing(tasks, queue, count, state)
    if at >= 0:
        for position in range(first_new(tasks, queue, count, state), count):
            task = tasks[queue[position]]
            lower(bound(task.measured_density_ratio * task.pattern_remaining_s, task, now, beta), now, beta, state)
        task = tasks[queue[at]]
        left = task.measured_density_ratio * task.pattern_remaining_s
        if wins(score(left, task.pattern_isolated_s, task, now, count, beta), now, count, beta, state):
            return at
    best, best_score, other = 0, np.inf, np.inf
    best_bound, second = np.inf, np.inf
    for position in range(count):
        task = tasks[queue[position]]
        left = task.measured_density_ratio * task.pattern_remaining_s
        value = score(left, task.pattern_isolated_s, task, now, count, beta)
        if position == 0 or value < best_score:
            best, best_score, other = position, value, best_score
        elif value < other:
            other = value
        best_bound, second = note(bound(left, task, now, beta), position, best, best_bound, second)
    state[BOUND], state[UNTIL], state[SINCE], state[0] = second, other, now, count
    stand(tasks, queue, count, state, best)
    return best


POLICY = Policy(
    name="dysta",
    summary="Shortest sparsity-aware remaining time first, with urgency and waiting terms.",
    source="H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    params={"beta": BETA},
    needs=("deadline_s", "pattern_isolated_s", "pattern_remaining_s", "measured_density_ratio"),
    select=_select,
    deviations="layers without sparsity do not enter the density ratio",
)
