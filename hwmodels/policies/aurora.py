"""AuRORA-like: tasks of one pool hold 1, 2 or 4 shares of it, and release or acquire shares at layer boundaries.

A share is an eighth of the pool, at least one unit. score = slack / time left on the held units; 0 if the task is late
or would be with 4 shares. At the end of a layer a task

* releases half of what it holds (2 or 4 shares) if its score is 0 and at most 3 shares are idle; or if its score is
  above 4 and at most 1 is idle; or if another one, whose score is positive and below half of its own, holds fewer than
  4 and no task before it in the scan has a larger score and more than one share;
* acquires as much again if it holds fewer than 4, is not late, enough is idle, and no other task with a positive lower
  score holds fewer than 4.

A waiting task starts by the largest wait / isolated time (0 if it would be late) with one share; it acquires more at
the same moment by the rule above. DRAM bandwidth is shared by MoCA's rule with the weight remaining / slack, in
[0.1, 2], 0.1 if late.
"""

from hwmodels.policies.base import Param, Policy, assign, inline
from hwmodels.policies.moca import level_of, throttled

__all__ = ["POLICY"]


@inline
def _score(left, level_units, slot, units, share, slack):  # type: ignore[no-untyped-def]
    most = left[slot, 0, level_of(level_units, 4 * share)]
    held = left[slot, 0, level_of(level_units, units if units > 0 else share)]
    if slack <= 0.0 or slack <= most or held <= 0.0:
        return 0.0
    return slack / held


@inline
def _weight(remaining, slack):  # type: ignore[no-untyped-def]
    if slack <= 0.0:
        return 0.1
    if remaining >= 2.0 * slack:
        return 2.0
    return remaining / slack if remaining > 0.1 * slack else 0.1


@inline
def _resized(i, everybody, held, scores, late, idle, share):  # type: ignore[no-untyped-def]
    """Units that task i of all goes on with."""
    own = held[i]
    if own >= 2 * share:
        give = (scores[i] == 0.0 and idle <= 3 * share) or (idle <= share and scores[i] > 4.0)
        if not give:
            for j in range(everybody):
                if j != i and scores[j] > scores[i] and held[j] > share:
                    break
                if j != i and 0.0 < scores[j] < scores[i] / 2.0 and held[j] < 4 * share:
                    give = True
                    break
        if give:
            return own // 2
    if own < 4 * share and not late and idle >= own:
        for j in range(everybody):
            if j != i and 0.0 < scores[j] < scores[i] and held[j] < 4 * share:
                return own
        return 2 * own
    return own


@assign
def _assign(tasks, seats, queue, count, running, n_running, left, need, chip, level_units, now, params, state, plan):  # type: ignore[no-untyped-def]
    units = chip[0].units
    bandwidth = chip[0].bytes_per_s
    everybody = count + n_running
    share = units // 8
    if share < level_units[0]:
        share = level_units[0]
    idle = chip[0].idle
    held = [0 for _ in range(everybody)]
    scores = [0.0 for _ in range(everybody)]
    for i in range(everybody):
        slot = queue[i] if i < count else running[i - count]
        going = i >= count or (tasks[slot].layer > 0 and tasks[slot].last_s == now)
        held[i] = seats[slot].units if going else 0
        if held[i] > 4 * share:
            held[i] = 4 * share
        if i < count:
            idle -= held[i]
        scores[i] = _score(left, level_units, slot, held[i], share, tasks[slot].deadline_s - now)
    for p in range(count):
        if held[p] > 0:
            late = tasks[queue[p]].deadline_s <= now
            size = _resized(p, everybody, held, scores, late, idle, share)
            idle += held[p] - size
            held[p] = size
    while idle >= share:
        best, most = -1, -1.0
        for p in range(count):
            task = tasks[queue[p]]
            if held[p] == 0:
                wait = 0.0
                if task.deadline_s - now >= task.remaining_s and task.isolated_s > 0.0:
                    wait = (now - task.ready_s) / task.isolated_s
                if wait > most:
                    best, most = p, wait
        if best < 0:
            break
        held[best] = share
        idle -= share
    for p in range(count):
        slot = queue[p]
        if held[p] == share and seats[slot].units == 0:
            size = _resized(p, everybody, held, scores, tasks[slot].deadline_s <= now, idle, share)
            idle += held[p] - size
            held[p] = size
        if everybody == 1:
            held[p] = units
        if held[p] > 0:
            seats[slot].to_engine = 0
            seats[slot].to_units = held[p]
    total, weighted = 0.0, 0.0
    for x in range(n_running):
        slot = running[x]
        drawn = seats[slot].need_bytes_per_s
        if seats[slot].cap_bytes_per_s < drawn:
            drawn = seats[slot].cap_bytes_per_s
        total += drawn / bandwidth
        weighted += drawn / bandwidth * _weight(tasks[slot].remaining_s, tasks[slot].deadline_s - now)
    for p in range(count):
        slot = queue[p]
        if held[p] > 0:
            own = need[slot, 0, level_of(level_units, held[p])] / bandwidth
            weight = _weight(tasks[slot].remaining_s, tasks[slot].deadline_s - now)
            part = throttled(own, weight, total, weighted, params[0], params[1])
            if part < own:
                seats[slot].cap_bytes_per_s = part * bandwidth
            total += part
            weighted += part * weight


POLICY = Policy(
    name="aurora",
    summary="Tasks hold 1, 2 or 4 eighths of a pool and release or acquire them by slack; bandwidth as in MoCA.",
    source="S. Kim et al., AuRORA, MICRO 2023, doi:10.1145/3613424.3614314, and its public software",
    origin="reconstruction",
    params={
        "threshold_frac": Param(1.5, 0.5, 4.0, "sum of bandwidth shares above which a layer is throttled [-]"),
        "floor_frac": Param(0.1, 0.05, 1.0, "no layer is throttled below this share of the bandwidth [-]"),
    },
    needs=("deadline_s", "isolated_s", "remaining_s"),
    assign=_assign,
    machines="pool",
    deviations="shares are eighths of the pool (published: 10 arrays); a task alone takes the whole pool; every layer "
               "is long enough to change size; what is dropped is up to the workload",
)
