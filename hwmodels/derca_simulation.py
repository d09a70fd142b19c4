"""DERCA's run-time: periodic jobs on one engine under EDF, with a serial scheduler whose every step takes cycles.

Model: jobs are released at 0, p, 2p, ... The scheduler works in rounds; one begins at the next release or at the end of
the running region, whichever is first:

1. if a region ended, the engine is free and the scheduler takes the feedback; a finished job is late if now is past its
   deadline;
2. if releases were waiting when the round began, every one is inserted in the queue, and so are those that come while
   this goes on;
3. if the engine is free and a job waits, the one of the earliest deadline (first inserted on ties) is dispatched. If
   the current task gives way in the middle of a job its swap-out is paid first, and if the next task is in the middle
   of a job its swap-in. A job leaves the queue when its last region is dispatched.

At time 0 the current task is the one of the shortest period. The run stops at the first miss or at the horizon; a job
whose deadline has passed before it is inserted is a miss.

`published` semantics: a dispatch that preempts does not also pay the swap-in. `clean`: both are paid.

Reference: DERCA, RTSS 2025, and its public software.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from numba import njit

from hwmodels.derca import SEMANTICS, DercaMachine, Regions, period_order
from hwmodels.errors import InvalidPolicy, InvalidWorkload

__all__ = ["DEFAULT_HORIZON_CYCLES", "Simulation", "simulate"]

# 1.3 s at 230 MHz: hundreds of jobs of the published task sets.
DEFAULT_HORIZON_CYCLES = 300_000_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What happened up to the first miss or the horizon; columns in the order the tasks were given."""

    semantics: str
    horizon_cycles: int
    missed: bool
    finished: tuple[int, ...]
    preemptions: int
    resumes: int
    max_response_cycles: tuple[int, ...]
    last_finish_cycles: tuple[int, ...]


@njit(cache=True)
def _run(
    periods: np.ndarray,
    first_region: np.ndarray,
    executed: np.ndarray,
    swap_in: np.ndarray,
    swap_out: np.ndarray,
    costs: np.ndarray,
    pays_both: bool,
    horizon: int,
) -> tuple:
    """The rounds. Regions of task i are rows first_region[i] .. first_region[i + 1] - 1; `costs` is `_costs`."""
    n = periods.size
    feedback, insert, dispatch, pop = costs[0], costs[1], costs[2], costs[3]
    upcoming = np.zeros(n, np.int64)
    # Of every task: jobs in the queue, release of the first of them, its next region.
    waiting, released, position = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    finished, response, last = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    preemptions, resumes = 0, 0
    now, busy, busy_until, current, inside = np.int64(0), False, np.int64(0), 0, False
    running_release = np.int64(0)
    while True:
        begin = upcoming[0]
        for i in range(1, n):
            if upcoming[i] < begin:
                begin = upcoming[i]
        if busy and busy_until < begin:
            begin = busy_until
        if begin > now:
            now = begin
        if now >= horizon:
            return False, finished, preemptions, resumes, response, last
        due = False
        for i in range(n):
            due = due or upcoming[i] <= now
        if busy and busy_until <= now:
            busy = False
            now += feedback
            if not inside:
                finished[current] += 1
                last[current] = now
                if now - running_release > response[current]:
                    response[current] = now - running_release
                if now > running_release + periods[current]:
                    return True, finished, preemptions, resumes, response, last
        while due:
            chosen = -1
            for i in range(n):
                if upcoming[i] <= now and (chosen < 0 or upcoming[i] < upcoming[chosen]):
                    chosen = i
            if chosen < 0:
                break
            if upcoming[chosen] + periods[chosen] < now:  # late before it is inserted: releases outrun the scheduler
                return True, finished, preemptions, resumes, response, last
            waiting[chosen] += 1
            upcoming[chosen] += periods[chosen]
            now += insert
        if busy:
            continue
        chosen = -1
        for i in range(n):
            if waiting[i] > 0:
                ahead = np.int64(-1)
                if chosen >= 0:
                    ahead = released[i] + periods[i] - released[chosen] - periods[chosen]
                    if ahead == 0:
                        # Jobs are inserted in the order of their release, then of their task.
                        ahead = released[i] - released[chosen]
                if ahead < 0:
                    chosen = i
        if chosen < 0:
            continue
        row = first_region[chosen] + position[chosen]
        cost = executed[row]
        preempts = chosen != current and inside
        if preempts:
            cost += swap_out[first_region[current] + position[current] - 1]
            preemptions += 1
        if chosen != current and position[chosen] > 0 and (pays_both or not preempts):
            cost += swap_in[row]
            resumes += 1
        now += dispatch
        busy, busy_until, current = True, now + cost, chosen
        running_release = released[chosen]
        position[chosen] += 1
        inside = row + 1 < first_region[chosen + 1]
        if not inside:
            position[chosen] = 0
            waiting[chosen] -= 1
            released[chosen] += periods[chosen]
            now += pop


def _costs(machine: DercaMachine, tasks: int) -> np.ndarray:
    """Scheduler cycles of feedback, insertion, dispatch and removal with so many tasks."""
    return np.array(
        [
            machine.feedback_cycles,
            machine.insert_base_cycles + machine.insert_per_task_cycles * tasks,
            machine.dispatch_cycles,
            machine.pop_base_cycles + machine.pop_per_task_cycles * tasks,
        ],
        np.int64,
    )


def simulate(
    tasks: list[Regions],
    periods_cycles: list[int],
    machine: DercaMachine,
    *,
    semantics: str = "clean",
    horizon_cycles: int = DEFAULT_HORIZON_CYCLES,
) -> Simulation:
    """Run a set of periodic tasks.

    Parameters
    ----------
    tasks : (N,) regions of every task; after placement the placed ones of `Analysis.regions`
    periods_cycles : (N,) positive periods [cycles]
    semantics : `published` or `clean`
    horizon_cycles : no round begins at or after this time, nor after the hyperperiod [cycles]

    Raises
    ------
    InvalidWorkload, InvalidPolicy
    """
    if semantics not in SEMANTICS:
        raise InvalidPolicy("semantics", f"one of {', '.join(SEMANTICS)}", semantics)
    if not tasks or len(tasks) != len(periods_cycles) or min(periods_cycles) <= 0:
        raise InvalidWorkload("tasks", "at least one, each with a positive period", list(periods_cycles))
    order = period_order(periods_cycles)
    horizon = min(math.lcm(*periods_cycles), horizon_cycles)
    parts = [tasks[i] for i in order]
    missed, finished, preemptions, resumes, response, last = _run(
        np.array([periods_cycles[i] for i in order], np.int64),
        np.cumsum([0] + [part.exec_cycles.size for part in parts]),
        np.concatenate([part.exec_cycles for part in parts]),
        np.concatenate([part.swap_in_cycles for part in parts]),
        np.concatenate([part.swap_out_cycles for part in parts]),
        _costs(machine, len(tasks)),
        semantics == "clean",
        horizon,
    )
    back = [order.index(i) for i in range(len(order))]
    return Simulation(
        semantics=semantics,
        horizon_cycles=horizon,
        missed=bool(missed),
        finished=tuple(finished[back].tolist()),
        preemptions=int(preemptions),
        resumes=int(resumes),
        max_response_cycles=tuple(response[back].tolist()),
        last_finish_cycles=tuple(last[back].tolist()),
    )
