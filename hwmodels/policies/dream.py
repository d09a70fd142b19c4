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

from hwmodels.policies.base import Param, Policy, assign
from hwmodels.policies.sdrm3 import ALPHA, score

__all__ = ["POLICY"]


@assign
def _assign(tasks, seats, queue, count, running, n_running, left, need, chip, level_units, now, params, state, plan):  # type: ignore[no-untyped-def]
    for p in range(count):
        if tasks[queue[p]].order + 1.0 > state[1]:
            state[1] = tasks[queue[p]].order + 1.0
    if state[0] + 1.0 <= params[1] * state[1]:
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
        if victim >= 0:
            seats[victim].drop = 1
            state[0] += 1.0
    top = left.shape[2] - 1
    waiting = 0
    for p in range(count):
        waiting += 1 - seats[queue[p]].drop
    while waiting > 0:
        best, best_e, best_score, best_left = -1, -1, 0.0, 0.0
        idle = 0
        for e in range(left.shape[1]):
            idle += chip[e].idle
        for p in range(count if idle > 0 else 0):
            slot = queue[p]
            if seats[slot].drop == 1 or seats[slot].to_units > 0:
                continue
            task = tasks[slot]
            slack = task.deadline_s - now
            base = score(task.remaining_s, task.next_s, slack, now - task.last_s, params[0])
            urgency = task.remaining_s / slack if slack > task.remaining_s else 1.0
            total = 0.0
            for e in range(left.shape[1]):
                own = float("inf")
                for u in range(top + 1):
                    if left[slot, e, u] < own:
                        own = left[slot, e, u]
                if own < float("inf"):
                    total += own
            for e in range(left.shape[1]):
                if chip[e].idle == 0:
                    continue
                own = float("inf")
                for u in range(top + 1):
                    if left[slot, e, u] < own:
                        own = left[slot, e, u]
                if own == float("inf"):
                    continue
                value = base
                if own < total:
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
        waiting -= 1


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
    deviations="no energy term, no lighter variants, alpha is not tuned online; urgency of late tasks is 1",
)
