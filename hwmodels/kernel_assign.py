"""What the general loop does for policies that assign: show them the places, and seat the tasks."""

import numpy as np

from hwmodels.compiled import piece
from hwmodels.kernel_places import to_place

__all__ = ["VIEW", "seat", "show_next", "show_running", "show_waiting"]

VIEW = 64
"""Waiting tasks that a policy that assigns sees at once: the first in queue order that may use an idle engine. A
scheduler has a queue of finite length, and its work must not grow with the backlog."""


@piece
def show_waiting(offset, left_s, estimate_s, dram_bytes, engine_bytes_per_s, reconfigure_s, switch_s, lefts, needs,  # type: ignore[no-untyped-def]
                 slot, n, s, layer, bound, formed, at_engine, at_level, holds, live, continues):
    """Fill `left` and `need` of a waiting task."""
    for e in range(offset.shape[2]):
        for u in range(offset.shape[3]):
            first = offset[n, s, e, u]
            lefts[slot, e, u], needs[slot, e, u] = np.inf, 0.0
            if first < 0 or (bound >= 0 and bound != e):
                continue
            seconds, _ = to_place(engine_bytes_per_s[e], reconfigure_s, switch_s, formed[e], at_engine, at_level, holds,
                                  live, continues, e, u)
            lefts[slot, e, u] = seconds + left_s[first + layer]
            if estimate_s[first + layer] > 0.0:
                needs[slot, e, u] = dram_bytes[first + layer] / estimate_s[first + layer]


@piece
def show_next(offset, left_s, estimate_s, dram_bytes, stay_frac, rests, needs, slot, n, s, layer, last, bound, row):  # type: ignore[no-untyped-def]
    """As a layer starts, what the task is expected to take at each place after it, into `rests`, and what it would then
    draw, into `needs`; `last`: it is the last layer of the network."""
    for e in range(offset.shape[2]):
        for u in range(offset.shape[3]):
            first = offset[n, s, e, u]
            rests[slot, e, u], needs[slot, e, u] = np.inf, 0.0
            if first < 0 or (bound >= 0 and bound != e):
                continue
            rests[slot, e, u] = 0.0 if last else stay_frac[row] * left_s[first + layer + 1]
            if not last and estimate_s[first + layer + 1] > 0.0:
                needs[slot, e, u] = dram_bytes[first + layer + 1] / estimate_s[first + layer + 1]


@piece
def show_running(rests, lefts, estimate_s, slots, rows, begin_s, count, now):  # type: ignore[no-untyped-def]
    """Fill `left` of the tasks whose layers run: what is left of those, by estimates, then the rest at each place."""
    for x in range(count):
        slot = slots[x]
        left_s = estimate_s[rows[x]] - (now - begin_s[x])
        left_s = left_s if left_s > 0.0 else 0.0
        for e in range(lefts.shape[1]):
            for u in range(lefts.shape[2]):
                lefts[slot, e, u] = left_s + rests[slot, e, u]


@piece
def _best_of(lefts, level_units, slot, e, idle, most):  # type: ignore[no-untyped-def]
    """Of the levels of at most so many units, and of those that are idle, the one that ends a task first, the smallest
    on ties; its smallest level if it needs more to run at all; -1 if that is not idle."""
    best, level, smallest = np.inf, -1, True
    for u in range(level_units.size):
        if lefts[slot, e, u] == np.inf or level_units[u] > idle:
            continue
        if (level_units[u] <= most or smallest) and lefts[slot, e, u] < best:
            best, level = lefts[slot, e, u], u
        smallest = False
    return level


@piece
def seat(seats, lefts, queue, count, nothing_runs, may_drop, idle, level_units, pick_slot, pick_engine, pick_level):  # type: ignore[no-untyped-def]
    """Give idle units to the waiting tasks as `assign` asked, in queue order; (how many start, how many are dropped).

    If nothing runs and nobody would start, the first task that can takes its best place. `may_drop`: somebody could be
    dropped; only those who are keep their `drop`.
    """
    picks, dropped, spare = 0, 0, 0
    for e in range(idle.size):
        spare += idle[e]
    for p in range(count):
        if spare == 0 and not may_drop:
            break
        slot = queue[p]
        if seats[slot].drop != 0:
            if seats[slot].droppable != 0:
                dropped += 1
                continue
            seats[slot].drop = 0
        e, most = seats[slot].to_engine, seats[slot].to_units
        if most > 0 and 0 <= e < idle.size and idle[e] > 0:
            u = _best_of(lefts, level_units, slot, e, idle[e], most)
            if u >= 0:
                pick_slot[picks], pick_engine[picks], pick_level[picks] = slot, e, u
                picks += 1
                idle[e] -= level_units[u]
                spare -= level_units[u]
    for p in range(count if picks == 0 and nothing_runs else 0):
        slot, best = queue[p], np.inf
        for e in range(idle.size if seats[slot].drop == 0 else 0):
            u = _best_of(lefts, level_units, slot, e, idle[e], idle[e]) if idle[e] > 0 else -1
            if u >= 0 and lefts[slot, e, u] < best:
                best, picks = lefts[slot, e, u], 1
                pick_slot[0], pick_engine[0], pick_level[0] = slot, e, u
        if picks > 0:
            idle[pick_engine[0]] -= level_units[pick_level[0]]
            break
    return picks, dropped
