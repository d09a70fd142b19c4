"""PREMA: tokens grow with priority and waiting; among the tasks with enough tokens the shortest runs.

Model
-----
The token of a task is priority x (1 + time it has waited / estimated isolated time). With m the largest token, the
threshold is 9 if m >= 9, else 3 if m >= 3, else 1 (or m where priorities lie below 1); tasks with token >= threshold
are candidates, and the one with the shortest estimated remaining time runs.

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

`memory_a` = time waited, `memory_b` = up to when; `state[0]` = time of the last choice, `state[1]` its threshold.
"""

import numpy as np

from hwmodels.policies.base import CHECKPOINT, GRAIN, KILL, Param, Policy, Stops, inline, select
from hwmodels.policies.standing import BOUND, CLEARANCE, SINCE, UNTIL, first_new, stand, standing

__all__ = ["POLICY", "joins", "keeps", "reaches_s", "start", "threshold", "token"]


@inline
def threshold(largest):  # type: ignore[no-untyped-def]
    """Least token of a candidate."""
    if largest >= 9.0:
        return 9.0
    if largest >= 3.0:
        return 3.0
    return 1.0 if largest >= 1.0 else largest


@inline
def _since(task):  # type: ignore[no-untyped-def]
    """(seconds waited, up to when they are counted)."""
    if not task.memory_a >= 0.0:
        return 0.0, task.ready_s
    return task.memory_a, task.last_s if task.last_s > task.memory_b else task.memory_b


@inline
def token(task, isolated, now):  # type: ignore[no-untyped-def]
    """Token of a task; it grows as long as the task waits."""
    waited, since = _since(task)
    if now > since:
        waited += now - since
    return task.priority + task.priority * waited / isolated if isolated > 0.0 else task.priority


@inline
def start(task, now):  # type: ignore[no-untyped-def]
    """Count what the task has waited: it is chosen."""
    waited, since = _since(task)
    task.memory_a = waited + now - since if now > since else waited
    task.memory_b = now


@inline
def reaches_s(task, isolated, level):  # type: ignore[no-untyped-def]
    """A time before which the token of a waiting task is surely below a level."""
    waited, since = _since(task)
    if not (isolated > 0.0 and task.priority > 0.0):
        return np.inf
    return since + ((level / task.priority - 1.0) * isolated - waited) * (1.0 - CLEARANCE) - CLEARANCE * since


@inline
def joins(task, left, isolated, now, least, state):  # type: ignore[no-untyped-def]
    """Take in a task that is not the chosen one: `state[BOUND]` = least remaining time of the candidates,
    `state[UNTIL]` = before then nobody else becomes a candidate who is shorter than `state[SINCE]`, and the threshold
    does not rise."""
    if least >= 9.0 and left > state[SINCE] and left >= state[BOUND]:
        return
    own = token(task, isolated, now)
    if own >= least and left < state[BOUND]:
        state[BOUND] = left
    if own < 9.0 and (least < 9.0 or left <= state[SINCE]):
        due = reaches_s(task, isolated, 9.0 if own >= 3.0 or least >= 9.0 else 3.0)
        if due < state[UNTIL]:
            state[UNTIL] = due


@inline
def keeps(left, now, state):  # type: ignore[no-untyped-def]
    """Whether a scan would find the chosen task, which needs so much longer, again."""
    return now < state[UNTIL] and left < state[BOUND] and left <= state[SINCE]


@select
def _select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    at = standing(tasks, queue, count, state)
    new = first_new(tasks, queue, count, state)
    if at >= 0:
        chosen = tasks[queue[at]]
        for position in range(new, count):
            task = tasks[queue[position]]
            joins(task, task.remaining_s, task.isolated_s, now, state[1], state)
            if token(task, task.isolated_s, now) > state[1] and state[1] < 9.0:
                state[UNTIL] = now  # it may raise the threshold
        current = at if (chosen.layer > 0 or chosen.tile > 0) and chosen.last_s == now else -1
        if current >= 0 and (params[1] == 2.0 or (new == count and now < state[0] + params[0])):
            return current
        if keeps(chosen.remaining_s, now, state):
            state[0] = now
            start(chosen, now)
            return at
    largest = -1.0
    current = -1
    for position in range(count):
        task = tasks[queue[position]]
        if largest < 9.0:  # more makes no difference
            own = token(task, task.isolated_s, now)
            if own > largest:
                largest = own
        if (task.layer > 0 or task.tile > 0) and task.last_s == now:
            current = position
    if current >= 0 and (params[1] == 2.0 or (new == count and now < state[0] + params[0])):
        return current
    state[0] = now
    least = threshold(largest)
    best = -1
    state[BOUND], state[UNTIL], state[SINCE] = np.inf, np.inf if least >= 1.0 else now, np.inf
    for position in range(count):
        task = tasks[queue[position]]
        if task.remaining_s < state[SINCE] and token(task, task.isolated_s, now) >= least:
            if best >= 0:
                joins(tasks[queue[best]], state[SINCE], tasks[queue[best]].isolated_s, now, least, state)
            best = position
            state[SINCE] = task.remaining_s
        else:
            joins(task, task.remaining_s, task.isolated_s, now, least, state)
    if params[1] == 3.0 and current >= 0 and best != current:
        running = tasks[queue[current]]
        candidate = tasks[queue[best]]
        if candidate.remaining_s * candidate.isolated_s > running.remaining_s * running.isolated_s:
            state[UNTIL] = now  # what was found does not speak of it
            return current
    start(tasks[queue[best]], now)
    state[1] = least
    stand(tasks, queue, count, state, best)
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
