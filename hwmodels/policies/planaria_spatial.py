"""Planaria: the sub-arrays of one engine are allocated by deadline and priority at every arrival and finish.

The allocation is `hwmodels.planaria.allocate`, compiled: every task that can meet its deadline gets the fewest
sub-arrays with which it does, what is spare goes by priority / remaining time; if not all fit, by falling
priority / slack / sub-arrays; if none can meet its deadline, all share by priority / remaining time.

remaining(c) comes from the cost table at the largest size that can be lent within c. A running task keeps its
sub-arrays up to the end of its layer (`hwmodels.kernel`), and one whose new ones are still busy takes what is idle.
What rounding down to lendable sizes leaves over is lent, in order of priority, to tasks that finish sooner with it, as
long as nobody who was allocated sub-arrays waits for them.

`memory_a` = sub-arrays allocated; `state[0]` = tasks at the last allocation.
"""

import numpy as np

from hwmodels.policies.base import Policy, assign, inline

__all__ = ["POLICY", "allocation"]


@inline
def _by_falling(scores):  # type: ignore[no-untyped-def]
    """Indices by falling score, the first of equals first."""
    order = np.zeros(len(scores), dtype=np.int64)
    for i in range(len(scores)):
        at = i
        while at > 0 and scores[order[at - 1]] < scores[i]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = i
    return order


@inline
def _hand_out(scores, given, spare):  # type: ignore[no-untyped-def]
    """Spare units by score, rounded half to even; negative scores get nothing."""
    total = 0.0
    for i in range(len(scores)):
        if scores[i] >= 0.0:
            total += scores[i]
    if total > 0.0:
        for i in range(len(scores)):
            if scores[i] >= 0.0:
                given[i] += round(scores[i] / total * spare)


@inline
def _balance(priority, least, given, units):  # type: ignore[no-untyped-def]
    """Hand out what is left over, or take back what was given too much."""
    left = units - given.sum()
    if left > 0:
        highest = priority.max()
        favoured = 0
        for i in range(len(given)):
            favoured += 1 if priority[i] == highest else 0
        odd = left % favoured
        for i in range(len(given)):
            if priority[i] == highest:
                given[i] += left // favoured + odd
                odd = 0
    elif left < 0:
        for i in _by_falling(-priority):
            if left < 0 and least[i] > 0 and given[i] - 1 >= least[i]:
                given[i] -= 1
                left += 1


@inline
def _in_turn(scores, wanted, given, units):  # type: ignore[no-untyped-def]
    """Give what each wants by falling score, the first of equals first, as long as there are units."""
    while units > 0:
        best = -1
        for i in range(len(scores)):
            if wanted[i] > 0 and (best < 0 or scores[i] > scores[best]):
                best = i
        if best < 0:
            return
        given[best] = wanted[best] if wanted[best] < units else units
        units -= given[best]
        wanted[best] = 0


@inline
def allocation(priority, slack, remaining):  # type: ignore[no-untyped-def]
    """Sub-arrays of every task, shape (k,).

    Parameters
    ----------
    priority, slack : shape (k,); slack in the unit of `remaining`.
    remaining : on c + 1 sub-arrays, shape (k, units).
    """
    count, units = remaining.shape
    given = np.zeros(count, dtype=np.int64)
    least = np.zeros(count, dtype=np.int64)
    feasible, together = 0, 0
    for i in range(count):
        for c in range(units - 1, -1, -1):
            if remaining[i, c] <= slack[i]:
                least[i] = c + 1
        feasible += 1 if least[i] > 0 else 0
        together += least[i]
    scores = np.zeros(count)
    if feasible == 0:
        total = 0.0
        for i in range(count):
            whole = remaining[i, units - 1]
            scores[i] = priority[i] / whole if whole > 0.0 else 0.0
            total += scores[i]
        for i in range(count):
            least[i] = round(scores[i] / total * units) if total > 0.0 else 0
        _in_turn(scores, least, given, units)
        return given
    if feasible == count and together <= units:
        for i in range(count):
            rest = remaining[i, least[i] - 1]
            scores[i] = priority[i] / rest if rest > 0.0 else 0.0
            given[i] = least[i]
    else:
        for i in range(count):
            if least[i] > 0:
                scores[i] = priority[i] / (slack[i] * least[i]) if slack[i] > 0.0 else 0.0
            elif remaining[i, units - 1] > 0.0:
                scores[i] = -priority[i] / remaining[i, units - 1]
        _in_turn(scores, least.copy(), given, units)
    _hand_out(scores, given, units - given.sum())
    _balance(priority, least, given, units)
    return given


@assign
def _assign(tasks, seats, queue, count, running, n_running, left, need, chip, level_units, now, params, state, plan):  # type: ignore[no-untyped-def]
    # the queue is in order of admission: whoever is new is at its end
    changed = state[0] != count + n_running or not tasks[queue[count - 1]].memory_a >= 0.0
    units = chip[0].units
    if changed:
        everybody = count + n_running
        state[0] = everybody
        priority, slack = np.zeros(everybody), np.zeros(everybody)
        remaining = np.zeros((everybody, units))
        for i in range(everybody):
            slot = queue[i] if i < count else running[i - count]
            priority[i] = tasks[slot].priority
            slack[i] = tasks[slot].deadline_s - now
            u, best_s = 0, np.inf
            for c in range(units):
                while u < left.shape[2] and level_units[u] <= c + 1:
                    best_s = left[slot, 0, u] if left[slot, 0, u] < best_s else best_s
                    u += 1
                remaining[i, c] = best_s
        given = allocation(priority, slack, remaining)
        for i in range(everybody):
            slot = queue[i] if i < count else running[i - count]
            tasks[slot].memory_a = given[i]
    idle = chip[0].idle
    waits = False
    first, last = count, 0  # places in the queue of those that were allocated something
    for p in range(count):
        slot = queue[p]
        most = int(tasks[slot].memory_a)
        if idle == 0:
            break
        if most <= 0:
            continue
        first, last = p if first == count else first, p + 1
        if most > idle:
            most = idle
            waits = True
        take = 0
        for u in range(left.shape[2]):
            if level_units[u] <= most and left[slot, 0, u] < np.inf:
                take = level_units[u]
        if take == 0 and most > 0:  # it needs more than it was given to run at all
            take = most
        seats[slot].to_engine = 0
        seats[slot].to_units = take
        idle -= take
    for u in range(left.shape[2]):
        best = -1
        for p in range(first, last if idle > 0 and not waits else first):
            slot = queue[p]
            own = seats[slot].to_units
            grows = level_units[u] > own and level_units[u] - own <= idle
            if grows and left[slot, 0, u] < np.inf and tasks[slot].memory_a > 0.0 and (
                    best < 0 or tasks[slot].priority > tasks[best].priority):
                best = slot
        if best >= 0:
            idle -= level_units[u] - seats[best].to_units
            seats[best].to_units = level_units[u]


POLICY = Policy(
    name="planaria_spatial",
    summary="Sub-arrays by deadline: the fewest that meet it, spare ones by priority / remaining time.",
    source="S. Ghodrati et al., Planaria, MICRO 2020, doi:10.1109/MICRO50266.2020.00062, and its public software",
    origin="publication",
    needs=("priority", "deadline_s", "remaining_s"),
    assign=_assign,
    machines="pool",
    deviations="sizes that can be lent are powers of two; sub-arrays change hands at layer boundaries, each task at "
               "its own; an odd rest goes to the first task of highest priority",
)
