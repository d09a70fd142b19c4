"""PREMA: tokens grow with priority and waiting; among the tasks with enough tokens the shortest runs.

Model
-----
A task starts with token = priority. At every decision the token of each task grows by
priority x (waiting time since the last update) / (estimated isolated time). With m the largest token, the threshold
is 9 if m >= 9, else 3 if m >= 3, else 1 (or m where priorities lie below 1); tasks with token >= threshold are
candidates, and the one with the shortest estimated remaining time runs.

The running task is reconsidered `quantum_s` after the last choice and when others arrive, at the end of a tile or of a
layer (`grain`). `mechanism` says what becomes of it when another task is chosen:

0 checkpoint   it is saved and goes on later, its weights are fetched again
1 kill         it loses what it has done and restarts from its first layer
2 drain        it is not preempted, the other waits
3 dynamic      drain if D_current > D_candidate, else checkpoint, with D_current = remaining(candidate) /
               isolated(current) and D_candidate = remaining(current) / isolated(candidate)

Limits
------
Tiles on one undivided engine; elsewhere it stops at ends of layers and checkpoints where it should kill.

Deviations
----------
Time on the engine adds no token: only waiting does (`dysta-artifact` adds the whole idle time at each event).
The paper's candidates have token > threshold, by which nobody would qualify at first; here >=.

`memory_a` = token, `memory_b` = time of its last update; `state[0]` = time of the last choice.
"""

from hwmodels.policies.base import CHECKPOINT, GRAIN, KILL, Param, Policy, Stops, inline, select

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
        if (task.layer > 0 or task.tile > 0) and task.last_s == now:
            current = position
    if current >= 0 and (params[1] == 2.0 or (not arrived and now < state[0] + params[0])):
        return current
    state[0] = now
    least = threshold(largest)
    best = -1
    for position in range(count):
        task = tasks[queue[position]]
        if task.memory_a >= least and (best < 0 or task.remaining_s < tasks[queue[best]].remaining_s):
            best = position
    if params[1] == 3.0 and current >= 0 and best != current:
        running = tasks[queue[current]]
        candidate = tasks[queue[best]]
        if candidate.remaining_s * candidate.isolated_s > running.remaining_s * running.isolated_s:
            return current
    return best


def _stops(table, machine, tenants, values):  # type: ignore[no-untyped-def]
    quantum, mechanism, grain = values
    return Stops(tiles=grain == 1.0, how=KILL if mechanism == 1.0 else CHECKPOINT, quantum_s=quantum)


POLICY = Policy(
    name="prema",
    summary="Tokens grow with priority and relative waiting; among the tasks with enough tokens the shortest runs.",
    source="Y. Choi, M. Rhu, PREMA, HPCA 2020, doi:10.1109/HPCA47549.2020.00027, algorithm 2",
    origin="reconstruction",
    params={
        "quantum_s": Param(0.00025, 0.0, 0.01, "a running task is reconsidered only after this time or an arrival [s]"),
        "mechanism": Param(0.0, 0.0, 3.0, "what becomes of it: 0 = checkpoint, 1 = kill, 2 = drain, 3 = drain or "
                                          "checkpoint by the dynamic rule [-]", True),
        "grain": GRAIN._replace(default=1.0),
    },
    needs=("priority", "isolated_s", "remaining_s"),
    select=_select,
    stops=_stops,
    deviations="waiting time only, counted once; >= where the paper has > for candidates",
)
