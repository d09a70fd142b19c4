"""MoCA: fixed groups of compute, and a throttle on the memory traffic of tasks that can afford it.

A waiting task with the largest priority + wait / isolated time starts on the idle group where it ends first and keeps
it to its end. A pool is divided in `groups` groups of equal size; every engine of several is a group.

At the start of every layer: u = bandwidth the layer draws / DRAM bandwidth, and the running layers draw u_j. If
together they exceed `threshold_frac`, by x, the layer is capped at u - x W / (s u + W), but not below `floor_frac`,
with W = sum of s_j u_j and the scores s = (1 + priority) / 4 + 10 x remaining / slack, the last factor at most 100.
"""

from hwmodels.policies.base import Param, Policy, assign, inline

__all__ = ["POLICY", "drawn", "drawn_frac", "level_of", "overcommitted", "place_rest", "throttled"]


@inline
def throttled(own, score, total, weighted, threshold, floor):  # type: ignore[no-untyped-def]
    """Share of the bandwidth left to a layer.

    Parameters
    ----------
    own : share it asks for; `score` : its weight.
    total : sum of the shares of all others; `weighted` : sum of score x share of all others.
    """
    excess = own + total - threshold
    if excess <= 0.0 or own <= floor:
        return own
    left = own - excess * weighted / (score * own + weighted)
    return left if left > floor else floor


@inline
def level_of(level_units, units):  # type: ignore[no-untyped-def]
    """Largest level of at most so many units."""
    found = 0
    for u in range(level_units.size):
        if level_units[u] <= units:
            found = u
    return found


@inline
def drawn(seats, slot):  # type: ignore[no-untyped-def]
    """Bandwidth that a running layer draws at most [byte/s]."""
    need, cap = seats[slot].need_bytes_per_s, seats[slot].cap_bytes_per_s
    return cap if cap < need else need


@inline
def drawn_frac(seats, running, n_running, bandwidth):  # type: ignore[no-untyped-def]
    """Share of the bandwidth that the running layers draw together."""
    total = 0.0
    for x in range(n_running):
        total += drawn(seats, running[x]) / bandwidth
    return total


@inline
def overcommitted(seats, queue, first, last, need, level_units, bandwidth, total, threshold):  # type: ignore[no-untyped-def]
    """Whether some layer that starts, of `queue[first:last]`, is to be throttled: the shares only add up."""
    for p in range(first, last):
        slot = queue[p]
        if seats[slot].to_units > 0:
            total += need[slot, seats[slot].to_engine, level_of(level_units, seats[slot].to_units)] / bandwidth
    return total > threshold


@inline
def _score(priority, left, slack):  # type: ignore[no-untyped-def]
    pressure = left / slack if slack * 100.0 > left else 100.0
    return (1.0 + priority) / 4.0 + 10.0 * pressure


@inline
def _best_level(left, level_units, slot, e, most):  # type: ignore[no-untyped-def]
    """Level within `most` units that ends the task first, the smallest level it has if none is, -1 if it has none."""
    best, least = -1, -1
    for u in range(level_units.size):
        if left[slot, e, u] == float("inf"):
            continue
        if least < 0:
            least = u
        if level_units[u] <= most and (best < 0 or left[slot, e, u] < left[slot, e, best]):
            best = u
    return best if best >= 0 else least


@inline
def _most_idle(chip):  # type: ignore[no-untyped-def]
    """Idle units of the engine that has the most."""
    most = 0
    for e in range(chip.size):
        most = chip[e].idle if chip[e].idle > most else most
    return most


@inline
def _all_lent(chip):  # type: ignore[no-untyped-def]
    """Whether no engine has idle units, nor was asked for more than it has: then nobody else can start."""
    odd = 0
    for e in range(chip.size):
        odd += 1 if chip[e].idle != 0 else 0
    return odd == 0


@inline
def place_rest(tasks, seats, queue, count, scores, left, chip, level_units, sizes):  # type: ignore[no-untyped-def]
    """Tasks not yet sent anywhere take idle engines by falling score, each where it ends first.

    Parameters
    ----------
    scores : of `queue[:count]`; `sizes` : units of a group of each engine.
    """
    while True:
        first = -1
        if _most_idle(chip) < level_units[0]:  # nobody else can start
            return
        for p in range(count):
            if seats[queue[p]].to_units == 0 and seats[queue[p]].to_engine == -1 and (
                    first < 0 or scores[p] > scores[first]):
                first = p
        if first < 0:
            return
        slot = queue[first]
        best_e, best_u = -1, -1
        for e in range(chip.size):
            u = _best_level(left, level_units, slot, e, sizes[e])
            if u >= 0 and level_units[u] <= chip[e].idle and (
                    best_e < 0 or left[slot, e, u] < left[slot, best_e, best_u]):
                best_e, best_u = e, u
        seats[slot].to_engine = best_e if best_e >= 0 else -2  # -2: asked, waits
        if best_e >= 0:
            seats[slot].to_units = level_units[best_u]
            chip[best_e].idle -= level_units[best_u]


@assign
def _assign(tasks, seats, queue, count, running, n_running, left, need, chip, level_units, now, params, state, plan):  # type: ignore[no-untyped-def]
    bandwidth = chip[0].bytes_per_s
    sizes = [0 for _ in range(chip.size)]
    for e in range(chip.size):
        sizes[e] = chip[e].units
        if count + n_running > 1 and chip.size == 1 and chip[e].units > 1:
            sizes[e] = chip[e].units // int(params[0])
            if sizes[e] < level_units[0]:
                sizes[e] = level_units[0]
    alone = count + n_running == 1 and chip.size > 1
    first, last = count, 0  # places in the queue of those that start
    for p in range(0 if alone else count):
        slot = queue[p]
        task = tasks[slot]
        if task.last_s == now and task.layer > 0:  # never preempted: goes on where it is
            e = seats[slot].engine
            u = _best_level(left, level_units, slot, e, sizes[e])
            if u >= 0:
                seats[slot].to_engine = e
                seats[slot].to_units = level_units[u]
                chip[e].idle -= level_units[u]
                first, last = p if first == count else first, p + 1
                if _all_lent(chip):  # so all that go on are found
                    break
    if _most_idle(chip) >= level_units[0]:
        scores = [0.0 for _ in range(count)]
        for p in range(count):
            task = tasks[queue[p]]
            scores[p] = task.priority
            if task.isolated_s > 0.0:
                scores[p] += (now - task.ready_s) / task.isolated_s
        place_rest(tasks, seats, queue, count, scores, left, chip, level_units, sizes)
        first, last = 0, count
    total = drawn_frac(seats, running, n_running, bandwidth)
    if not overcommitted(seats, queue, first, last, need, level_units, bandwidth, total, params[1]):
        return
    weighted = 0.0
    for x in range(n_running):
        slot = running[x]
        weighted += drawn(seats, slot) / bandwidth * _score(tasks[slot].priority, tasks[slot].remaining_s,
                                                            tasks[slot].deadline_s - now)
    for p in range(first, last):
        slot = queue[p]
        if seats[slot].to_units > 0:
            u = level_of(level_units, seats[slot].to_units)
            own = need[slot, seats[slot].to_engine, u] / bandwidth
            score = _score(tasks[slot].priority, tasks[slot].remaining_s, tasks[slot].deadline_s - now)
            share = throttled(own, score, total, weighted, params[1], params[2])
            if share < own:
                seats[slot].cap_bytes_per_s = share * bandwidth
            total += share
            weighted += share * score


POLICY = Policy(
    name="moca",
    summary="Fixed groups of compute; layers of less urgent tasks are throttled when the DRAM is overcommitted.",
    source="S. Kim et al., MoCA, HPCA 2023, doi:10.1109/HPCA56546.2023.10071035, and its public software",
    origin="reconstruction",
    params={
        "groups": Param(4.0, 1.0, 64.0, "groups of a pool; whole numbers, rounded down [-]"),
        "threshold_frac": Param(1.5, 0.5, 4.0, "sum of bandwidth shares above which a layer is throttled [-]"),
        "floor_frac": Param(0.25, 0.05, 1.0, "no layer is throttled below this share of the bandwidth [-]"),
    },
    needs=("priority", "deadline_s", "isolated_s", "remaining_s"),
    assign=_assign,
    foresees=False,
    deviations="a cap per layer instead of windows of tile loads; a task alone in the system takes the whole pool and "
               "moves between engines; no pairing of memory-bound with compute-bound networks; every other task counts "
               "with its own score (published: all with that of the throttled one)",
)
