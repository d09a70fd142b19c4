"""PREMA: tokens grow with priority and waiting; among the tasks with enough tokens the shortest runs.

Model
-----
A task starts with token = priority. At every decision the token of each task grows by
priority x (waiting time since the last update) / (estimated isolated time). With m the largest token, the threshold
is 9 if m >= 9, else 3 if m >= 3, else 1 (or m where priorities lie below 1); tasks with token >= threshold are
candidates, and the one with the shortest estimated remaining time runs.

A running task that is preempted is checkpointed at a layer boundary. With `drain` = 1 PREMA's dynamic rule chooses:
with D_current = remaining(candidate) / isolated(current) and D_candidate = remaining(current) / isolated(candidate),
the current task is left to finish if D_current > D_candidate.

Limits
------
The kernel offers checkpointing at layer boundaries; KILL (restart from zero) is not offered.

Deviations
----------
Time on the engine adds no token: only waiting does (`dysta-artifact` adds the whole idle time at each event).
The paper's candidates have token > threshold, by which nobody would qualify at first; here >=.

`memory_a` = token, `memory_b` = time of its last update; `state[0]` = time of the last choice.
"""

from hwmodels.policies.base import Param, Policy, inline, select

__all__ = ["POLICY", "threshold"]


@inline
def threshold(largest):  # type: ignore[no-untyped-def]
    """Least token of a candidate."""
    if largest >= 9.0:
        return 9.0
    if largest >= 3.0:
        return 3.0
    return 1.0 if largest >= 1.0 else largest


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    largest = -1.0
    current = -1
    arrived = False
    for position in range(count):
        task = tasks[queue[position]]
        if not task.memory_a >= 0.0:
            task.memory_a = task.priority
            task.memory_b = task.ready_s
            arrived = True
        since = task.last_s if task.last_s > task.memory_b else task.memory_b
        if now > since and task.isolated_s > 0.0:
            task.memory_a += task.priority * (now - since) / task.isolated_s
        task.memory_b = now
        if task.memory_a > largest:
            largest = task.memory_a
        if task.layer > 0 and task.last_s == now:
            current = position
    if current >= 0 and not arrived and now - state[0] < params[0]:
        return current
    state[0] = now
    least = threshold(largest)
    best = -1
    for position in range(count):
        task = tasks[queue[position]]
        if task.memory_a >= least and (best < 0 or task.remaining_s < tasks[queue[best]].remaining_s):
            best = position
    if params[1] >= 0.5 and current >= 0 and best != current:
        running = tasks[queue[current]]
        candidate = tasks[queue[best]]
        if candidate.remaining_s * candidate.isolated_s > running.remaining_s * running.isolated_s:
            return current
    return best


POLICY = Policy(
    name="prema",
    summary="Tokens grow with priority and relative waiting; among the tasks with enough tokens the shortest runs.",
    source="Y. Choi, M. Rhu, PREMA, HPCA 2020, doi:10.1109/HPCA47549.2020.00027, algorithm 2",
    origin="reconstruction",
    params={
        "quantum_s": Param(0.0, 0.0, 0.01, "a running task is reconsidered only after this time or an arrival [s]"),
        "drain": Param(0.0, 0.0, 1.0, "1: let the running task finish where preempting costs more; 0: never [-]"),
    },
    needs=("priority", "isolated_s", "remaining_s"),
    select=_select,
    deviations="layer boundaries instead of tiles; checkpoint and drain, no kill; waiting time only, counted once",
)
