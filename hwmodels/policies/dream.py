"""DREAM (SDRM3) on any number of engines: MapScore of every pair of a task and an idle engine, and smart frame drop.

MapScore = urgency x (sum over engines of the time left / time left on this one) + alpha x relative waiting, with
urgency and waiting as in `hwmodels.policies.sdrm3`; the pair of the largest score starts, then the next; of a task's
equal pairs the one that ends sooner. On one engine this is `sdrm3`.

Smart frame drop (reconstruction): of the waiting requests that may be dropped (`drop_late` of their service level),
have not started and can no longer meet their deadlines even alone, the one whose drop lets most others that wait meet
theirs is dropped, as long as at most `max_drop_frac` of the admitted requests are. Another one is saved if its slack,
less its own time left, is shorter than the time left of the dropped one.

`state[0]` = dropped so far, `state[1]` = admitted so far.
"""

from hwmodels.policies.base import Param, Policy, assign, inline
from hwmodels.policies.sdrm3 import ALPHA, score

__all__ = ["POLICY"]


_ROUNDING = 1.0 + 1e-9
"""What is below by more than this is so in spite of rounding."""


@inline
def _drop(tasks, seats, queue, count, now, max_drop_frac, state):  # type: ignore[no-untyped-def]
    """Drop a request, if there is one to drop: 1, or 0."""
    for p in range(count):
        if tasks[queue[p]].order + 1.0 > state[1]:
            state[1] = tasks[queue[p]].order + 1.0
    if state[0] + 1.0 > max_drop_frac * state[1]:
        return 0
    victim, most = -1, 0
    for p in range(count):
        task = tasks[queue[p]]
        droppable = seats[queue[p]].droppable == 1 and task.layer == 0
        if not droppable or task.deadline_s - now >= task.remaining_s:
            continue
        saved = 0
        for q in range(count):
            other = tasks[queue[q]]
            spare = other.deadline_s - now - other.remaining_s
            if 0.0 <= spare < task.remaining_s:
                saved += 1
        if saved > most:
            victim, most = queue[p], saved
    if victim < 0:
        return 0
    seats[victim].drop = 1
    state[0] += 1.0
    return 1


@inline
def _own_s(left, slot, e):  # type: ignore[no-untyped-def]
    """Time left on an engine, inf where it cannot run."""
    own = left[slot, e, 0]
    for u in range(1, left.shape[2]):
        if left[slot, e, u] < own:
            own = left[slot, e, u]
    return own


@assign
def _assign(tasks, seats, queue, count, running, n_running, left, need, chip, level_units, now, params, state, plan):  # type: ignore[no-untyped-def]
    engines, alpha = left.shape[1], params[0]
    # no drop, no count
    dropped = _drop(tasks, seats, queue, count, now, params[1], state) if params[1] > 0.0 else 0
    idle = 0
    for e in range(engines):
        idle += chip[e].idle
    waiting, marked = count - dropped, dropped > 0
    while waiting > 0 and idle > 0:
        best, best_e, best_score, best_left = -1, -1, 0.0, 0.0
        for p in range(count):
            slot = queue[p]
            if marked and (seats[slot].drop == 1 or seats[slot].to_units > 0):
                continue
            task = tasks[slot]
            total, least = 1.0, 1.0  # one engine: whatever its time, it is preferred as much as all
            if engines > 1:
                total, least = 0.0, float("inf")
                for e in range(engines):
                    own = _own_s(left, slot, e)
                    if own < float("inf"):
                        total += own
                    if own < least:
                        least = own
            # by far the most: whose score is less even if its urgency is 1, and its best engine idle, needs no division
            following = task.next_s
            if best >= 0 and (alpha * (now - task.last_s) * least + total * following) * _ROUNDING < (
                    best_score * following * least):
                continue
            slack = task.deadline_s - now
            base = score(task.remaining_s, following, slack, now - task.last_s, alpha)
            urgency = task.remaining_s / slack if slack > task.remaining_s else 1.0
            for e in range(engines):
                if chip[e].idle == 0:
                    continue
                own = _own_s(left, slot, e)
                if own == float("inf"):
                    continue
                value = base
                if engines > 1 and own < total:
                    value += urgency * (total / own - 1.0)
                if best < 0 or value > best_score or (value == best_score and slot == best and own < best_left):
                    best, best_e, best_score, best_left = slot, e, value, own
        if best < 0:
            break
        takers = waiting if waiting < chip[best_e].idle else chip[best_e].idle
        units = chip[best_e].idle // takers
        seats[best].to_engine = best_e
        seats[best].to_units = units
        chip[best_e].idle -= units
        idle -= units
        waiting -= 1
        marked = True


POLICY = Policy(
    name="dream",
    summary="MapScore of task and engine: urgency x preference of the engine + relative waiting; smart frame drop.",
    source="S. Kim et al., DREAM, ASPLOS 2023, doi:10.1145/3623278.3624753",
    origin="reconstruction",
    params={
        "alpha": ALPHA,
        "max_drop_frac": Param(0.0, 0.0, 0.5, "share of the requests that smart frame drop may drop [-]"),
    },
    needs=("deadline_s", "remaining_s", "next_s"),
    assign=_assign,
    foresees=False,
    deviations="no energy term, no lighter variants, alpha is not tuned online; urgency of late tasks is 1",
)
