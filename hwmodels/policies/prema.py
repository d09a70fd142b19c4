"""PREMA: tokens grow with priority and waiting; among the tasks with enough tokens the shortest runs.

Model
-----
The token of a task is priority x (1 + time it has waited / estimated isolated time). With m the largest token, the
threshold is 9 if m >= 9, else 3 if m >= 3, else 1, or nothing where priorities lie below 1; tasks with token >=
threshold are candidates, and the one with the shortest estimated remaining time runs. So the highest level that a task
has reached (9, 3, 1) counts first, then its remaining time.

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
"""

import numpy as np

from hwmodels.policies.base import (
    CHECKPOINT,
    GRAIN,
    KILL,
    Param,
    Policy,
    Stops,
    inline,
    keeps,
    rank,
)

__all__ = ["POLICY", "by_tokens", "threshold"]

_LEVEL, _SHORTEST_S = 2.0**200, 2.0**-100
"""Factor between the numbers of two levels: remaining times are within that of each other (shorter ones count as the
shortest), and a power of two leaves their digits as they are."""

_CLEARANCE = 1e-9
"""Relative distance that rounding cannot cross."""


@inline
def threshold(largest):  # type: ignore[no-untyped-def]
    """Least token of a candidate."""
    if largest >= 9.0:
        return 9.0
    if largest >= 3.0:
        return 3.0
    return 1.0 if largest >= 1.0 else 0.0


@inline
def by_tokens(task, left, isolated, now, size, most, row):  # type: ignore[no-untyped-def]
    """Rank a task by its level, then by its remaining time; that stands until it reaches the next level."""
    waited = now - task.ready_s - task.service_s
    if not (waited > 0.0 and isolated > 0.0):
        waited = 0.0
    token = task.priority
    if isolated > 0.0:
        token += task.priority * waited / isolated
    reached = threshold(token)
    row.until = np.inf
    value = left if left > _SHORTEST_S else _SHORTEST_S
    if reached < 9.0:
        level, value = (3.0, value * _LEVEL) if reached < 3.0 else (9.0, value)
        if reached < 1.0:
            level, value = 1.0, value * _LEVEL
        value *= _LEVEL
        if most > size and isolated > 0.0 and task.priority > 0.0:
            due_s = (level / task.priority - 1.0) * isolated - waited
            row.until = now + due_s * (1.0 - _CLEARANCE) - now * _CLEARANCE
    row.value = value


@rank
def _rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    for p in range(count):
        task = tasks[queue[p]]
        by_tokens(task, task.remaining_s, task.isolated_s, now, size, most, ranked[p])


@keeps
def _keeps(tasks, runner, first, now, params):  # type: ignore[no-untyped-def]
    if params[1] < 2.0:
        return 0
    running, candidate = tasks[runner], tasks[first]
    return params[1] == 2.0 or (
        candidate.remaining_s * candidate.isolated_s > running.remaining_s * running.isolated_s)


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
    rank=_rank,
    keeps=_keeps,
    stops=_stops,
    deviations="waiting time only, counted once; >= where the paper has > for candidates",
)
