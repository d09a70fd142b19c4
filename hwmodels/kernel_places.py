"""Where a task can run and what it costs to get there, and how running layers share the DRAM channel."""

import numpy as np
from numba import njit

from hwmodels.compiled import merged, piece
from hwmodels.tables import DRAM_FIXED, DRAM_MAX_MIN

__all__ = ["alone_s", "best_level", "lendable", "rates", "speeds", "to_place"]

_ROUNDING = 1.0 + 1e-9
"""A demand above the bandwidth by less than this is rounding, not contention."""


@piece
def lendable(units, waiting, least):  # type: ignore[no-untyped-def]
    """The lending rule: how many of `units` idle units one of `waiting` tasks may take at most: an equal share among
    the waiting tasks that can get `least` units, so that a task alone may take all."""
    takers = units // least
    if waiting < takers:
        takers = waiting
    return units // takers if takers > 0 else 0


@merged
def to_place(bytes_per_s, reconfigure_s, switch_s, formed, at_engine, at_level, holds, live, continues, e, u):  # type: ignore[no-untyped-def]
    """(time, bytes moved) before a task can run at place (e, u).

    Parameters
    ----------
    bytes_per_s : of engine e.
    formed : level that engine e last lent.
    at_engine, at_level : where the task last ran, -1 = nowhere yet.
    holds : engine with its live data, -1 = DRAM.
    live : bytes, negative before the first layer.
    continues : its last layer has just ended.
    """
    seconds, moved = 0.0, 0.0
    if live >= 0.0 and holds != e:
        moved = live if holds < 0 else 2.0 * live
        seconds = switch_s + moved / bytes_per_s
    if continues and at_engine == e:
        if at_level != u:
            seconds += reconfigure_s
    elif (at_engine >= 0 and (at_engine != e or at_level != u)) or formed != u:
        seconds += reconfigure_s
    return seconds, moved


@merged
def best_level(offset, left, level_units, n, s, layer, most, limit, bytes_per_s, reconfigure_s, switch_s, formed,  # type: ignore[no-untyped-def]
                at_engine, at_level, holds, live, continues, e):
    """(expected time from the start at engine e to the end of the task, level); level -1 = cannot run there.

    Of the levels with at most `most` units the one that ends the task first, the smallest on ties; if it needs more to
    run at all, its smallest level, if that is within `limit`.
    """
    for u in range(level_units.size):
        if offset[n, s, e, u] >= 0:
            if level_units[u] > most and level_units[u] <= limit:
                most = level_units[u]
            break
    best, level = np.inf, -1
    for u in range(level_units.size):
        first = offset[n, s, e, u]
        if first < 0 or level_units[u] > most:
            continue
        seconds, _ = to_place(bytes_per_s, reconfigure_s, switch_s, formed, at_engine, at_level, holds, live,
                               continues, e, u)
        seconds += left[first + layer]
        if seconds < best:
            best, level = seconds, u
    return best, level


@piece
def speeds(count, need, speed, mode, bandwidth):  # type: ignore[no-untyped-def]
    """Speed of every running layer, 1 = unhindered, from the bandwidth each needs at full speed."""
    total = 0.0
    for x in range(count):
        total += need[x]
        speed[x] = 1.0
    if count < 2 or mode == DRAM_FIXED or total <= bandwidth * _ROUNDING:
        return
    if mode != DRAM_MAX_MIN:
        for x in range(count):
            speed[x] = bandwidth / total
        return
    left, sharing = bandwidth, count
    for x in range(count):
        speed[x] = 0.0  # not settled
    moved = True
    while moved and sharing > 0:
        moved = False
        share = left / sharing
        for x in range(count):
            if speed[x] == 0.0 and need[x] <= share:
                speed[x] = 1.0
                left -= need[x]
                sharing -= 1
                moved = True
    for x in range(count):
        if speed[x] == 0.0:
            speed[x] = left / sharing / need[x]


@njit(cache=True)
def alone_s(hw, network, sample, engine):  # type: ignore[no-untyped-def]
    """Latency of one request alone on the machine, by the arithmetic of the loops, layer after layer from time 0."""
    left = hw.any_left_s if engine < 0 else hw.own_left_s
    now, live = 0.0, -1.0
    at_engine, at_level = -1, -1
    for layer in range(hw.depth[network, sample]):
        best, e, u = np.inf, -1, -1
        for x in range(hw.units.size):
            if engine >= 0 and x != engine:
                continue
            seconds, level = best_level(
                hw.offset, left, hw.level_units, network, sample, layer, hw.units[x], hw.units[x],
                hw.engine_bytes_per_s[x], hw.reconfigure_s, hw.switch_s, hw.top_level[x],
                at_engine, at_level, at_engine, live, True, x)
            if level >= 0 and now + seconds < best:
                best, e, u = now + seconds, x, level
        if e < 0:
            return np.inf
        overhead, _ = to_place(hw.engine_bytes_per_s[e], hw.reconfigure_s, hw.switch_s, hw.top_level[e],
                                at_engine, at_level, at_engine, live, True, e, u)
        if layer == 0:
            overhead += hw.decision_s
        row = hw.offset[network, sample, e, u] + layer
        now += overhead + hw.latency_s[row]
        live = hw.live_bytes[row]
        at_engine, at_level = e, u
    return now


@piece
def rates(mode, bytes_per_s, now, running, need, drawn, speed, new_speed, since, left, end):  # type: ignore[no-untyped-def]
    """Share the DRAM channel anew: a running layer whose speed changes gets a new end; the others keep theirs.

    `drawn` = `need`, or the cap of the layer if that is less.
    """
    speeds(running, drawn, new_speed, mode, bytes_per_s)
    for x in range(running):
        if drawn[x] < need[x]:
            new_speed[x] *= drawn[x] / need[x]
        if new_speed[x] != speed[x]:
            left[x] -= (now - since[x]) * speed[x]
            since[x] = now
            speed[x] = new_speed[x]
            end[x] = now + left[x] / speed[x]
