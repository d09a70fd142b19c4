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
from hwmodels.policies.moca import drawn, drawn_frac, level_of, overcommitted, throttled

__all__ = ["POLICY"]


@inline
def _score(tasks, seats, left, level_units, slot, share, now):  # type: ignore[no-untyped-def]
    """Slack / time left on what a task holds, or on one share."""
    slack = tasks[slot].deadline_s - now
    if slack <= 0.0 or slack <= left[slot, 0, level_of(level_units, 4 * share)]:
        return 0.0
    units = seats[slot].units if seats[slot].units < 4 * share else 4 * share
    held = left[slot, 0, level_of(level_units, units if units > 0 else share)]
    return slack / held if held > 0.0 else 0.0


@inline
def _weight(remaining, slack):  # type: ignore[no-untyped-def]
    if slack <= 0.0:
        return 0.1
    if remaining >= 2.0 * slack:
        return 2.0
    return remaining / slack if remaining > 0.1 * slack else 0.1


@inline
def _resized(tasks, seats, left, level_units, slot, queue, count, running, n_running, idle, share, now):  # type: ignore[no-untyped-def]
    """Units that a task goes on with; `to_units` are those that tasks of the queue hold by now."""
    own = seats[slot].to_units
    score = -1.0  # those of the others are not asked for where nothing depends on them
    if own >= 2 * share:
        score = _score(tasks, seats, left, level_units, slot, share, now)
        give = (score == 0.0 and idle <= 3 * share) or (idle <= share and score > 4.0)
        for j in range(0 if give or score == 0.0 else count + n_running):
            other = queue[j] if j < count else running[j - count]
            held = seats[other].to_units if j < count else seats[other].units
            theirs = _score(tasks, seats, left, level_units, other, share, now) if other != slot else score
            if theirs > score and held > share:
                break
            if 0.0 < theirs < score / 2.0 and held < 4 * share:
                give = True
                break
        if give:
            return own // 2
    if own < 4 * share and tasks[slot].deadline_s > now and idle >= own:
        if score < 0.0:
            score = _score(tasks, seats, left, level_units, slot, share, now)
        for j in range(count + n_running if score > 0.0 else 0):
            other = queue[j] if j < count else running[j - count]
            held = seats[other].to_units if j < count else seats[other].units
            if other != slot and held < 4 * share and (
                    0.0 < _score(tasks, seats, left, level_units, other, share, now) < score):
                return own
        return 2 * own
    return own


@assign
def _assign(tasks, seats, queue, count, running, n_running, left, need, chip, level_units, now, params, state, plan):  # type: ignore[no-untyped-def]
    units, bandwidth = chip[0].units, chip[0].bytes_per_s
    share = units // 8
    if share < level_units[0]:
        share = level_units[0]
    idle = chip[0].idle
    first, last = count, 0  # places in the queue of those that hold something
    for p in range(count):
        slot = queue[p]
        if seats[slot].units > 0:
            seats[slot].to_units = seats[slot].units if seats[slot].units < 4 * share else 4 * share
            idle -= seats[slot].to_units
            first, last = p if first == count else first, p + 1
            if idle == 0:  # so all that go on are found
                break
    for p in range(first, last):
        slot = queue[p]
        if seats[slot].to_units > 0:
            size = _resized(tasks, seats, left, level_units, slot, queue, count, running, n_running, idle, share, now)
            idle += seats[slot].to_units - size
            seats[slot].to_units = size
    while idle >= share:
        best, most = -1, -1.0
        for p in range(count):
            task = tasks[queue[p]]
            if seats[queue[p]].to_units == 0:
                wait = 0.0
                if task.deadline_s - now >= task.remaining_s and task.isolated_s > 0.0:
                    wait = (now - task.ready_s) / task.isolated_s
                if wait > most:
                    best, most = p, wait
        if best < 0:
            break
        seats[queue[best]].to_units = share
        idle -= share
        first, last = best if best < first else first, best + 1 if best >= last else last
    for p in range(first, last):
        slot = queue[p]
        if seats[slot].to_units == share and seats[slot].units == 0:
            size = _resized(tasks, seats, left, level_units, slot, queue, count, running, n_running, idle, share, now)
            idle += seats[slot].to_units - size
            seats[slot].to_units = size
        if count + n_running == 1:
            seats[slot].to_units = units
        if seats[slot].to_units > 0:
            seats[slot].to_engine = 0
    total = drawn_frac(seats, running, n_running, bandwidth)
    if not overcommitted(seats, queue, first, last, need, level_units, bandwidth, total, params[0]):
        return
    weighted = 0.0
    for x in range(n_running):
        slot = running[x]
        weighted += drawn(seats, slot) / bandwidth * _weight(tasks[slot].remaining_s, tasks[slot].deadline_s - now)
    for p in range(first, last):
        slot = queue[p]
        if seats[slot].to_units > 0:
            own = need[slot, 0, level_of(level_units, seats[slot].to_units)] / bandwidth
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
