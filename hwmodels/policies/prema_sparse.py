"""PREMA on estimates scaled by the density measured so far: each task by its own ratio.

Tokens as in `hwmodels.policies.prema`, with the scaled isolated time. `memory_a` = token, `memory_b` = last update.
"""

from hwmodels.policies.base import Policy, select
from hwmodels.policies.prema import threshold

__all__ = ["POLICY"]


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    largest = -1.0
    for position in range(count):
        task = tasks[queue[position]]
        if not task.memory_a >= 0.0:
            task.memory_a = task.priority
            task.memory_b = task.ready_s
        since = task.last_s if task.last_s > task.memory_b else task.memory_b
        isolated = task.measured_density_ratio * task.pattern_isolated_s
        if now > since and isolated > 0.0:
            task.memory_a += task.priority * (now - since) / isolated
        task.memory_b = now
        if task.memory_a > largest:
            largest = task.memory_a
    least = threshold(largest)
    best, best_left = -1, 0.0
    for position in range(count):
        task = tasks[queue[position]]
        left = task.measured_density_ratio * task.pattern_remaining_s
        if task.memory_a >= least and (best < 0 or left < best_left):
            best, best_left = position, left
    return best


POLICY = Policy(
    name="prema_sparse",
    summary="PREMA with estimates scaled by the density measured in the executed layers.",
    source="public artefact of H. Fan et al., Sparse-DySta, MICRO 2023, doi:10.1145/3613424.3614263",
    origin="publication",
    needs=("priority", "pattern_isolated_s", "pattern_remaining_s", "measured_density_ratio"),
    select=_select,
    deviations="each task's own density ratio; waiting time counted once; layers without sparsity do not count",
)
