"""What the general loop does for policies that assign: show them the places, and seat the tasks."""

import numpy as np

from hwmodels.compiled import piece
from hwmodels.kernel_places import to_place

__all__ = ["VIEW", "seat", "show_running", "show_waiting"]

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
def show_running(offset, left_s, estimate_s, dram_bytes, stay_frac, lefts, needs, slot, n, s, layer, last, bound,  # type: ignore[no-untyped-def]
                 row, ran_s):
    """Fill `left` and `need` of a task whose layer runs for `ran_s`, by estimates: what is left of it, then the rest at
    each place; `last`: it is the last layer of the network."""
    rest = estimate_s[row] - ran_s
    if rest < 0.0:
        rest = 0.0
    for e in range(offset.shape[2]):
        for u in range(offset.shape[3]):
            first = offset[n, s, e, u]
            lefts[slot, e, u], needs[slot, e, u] = np.inf, 0.0
            if first < 0 or (bound >= 0 and bound != e):
                continue
            lefts[slot, e, u] = rest if last else rest + stay_frac[row] * left_s[first + layer + 1]
            if not last and estimate_s[first + layer + 1] > 0.0:
                needs[slot, e, u] = dram_bytes[first + layer + 1] / estimate_s[first + layer + 1]


@piece
def seat(seats, lefts, queue, count, nothing_runs, idle, level_units, pick_slot, pick_engine, pick_level):  # type: ignore[no-untyped-def]
    """Give idle units to the waiting tasks as `assign` asked, in queue order; returns how many start.

    Of the levels a task may take the one that ends it first, the smallest on ties; its smallest level if it needs more
    than it was given to run at all. If nothing runs and nobody would start, the first task that can takes its best
    place.
    """
    picks = 0
    for forced in range(2):
        if forced == 1 and (picks > 0 or not nothing_runs):
            break
        for p in range(count):
            slot = queue[p]
            best, best_e, best_u = np.inf, -1, -1
            for e in range(idle.size):
                if idle[e] == 0 or (forced == 0 and (seats[slot].to_engine != e or seats[slot].to_units <= 0)):
                    continue
                most = idle[e]
                if forced == 0 and seats[slot].to_units < most:
                    most = seats[slot].to_units
                smallest = True
                for u in range(level_units.size):
                    if lefts[slot, e, u] == np.inf or level_units[u] > idle[e]:
                        continue
                    if (level_units[u] <= most or smallest) and lefts[slot, e, u] < best:
                        best, best_e, best_u = lefts[slot, e, u], e, u
                    smallest = False
            if best_e >= 0:
                pick_slot[picks], pick_engine[picks], pick_level[picks] = slot, best_e, best_u
                picks += 1
                idle[best_e] -= level_units[best_u]
                if forced == 1:
                    break
    return picks
