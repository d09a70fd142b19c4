"""Planaria: an array that splits into 16 sub-arrays, given to tasks by deadline and priority.

Model: `rem(c)` is what a task still needs on c sub-arrays. At every arrival and finish the sub-arrays are allocated
anew. A task is *feasible* if some c meets its deadline; `min` is the least such c.

1. fit (all are feasible and their `min` fit together): each gets `min`, the spare ones go by priority / rem(min);
2. contended (some are feasible): by falling priority / slack / min each feasible one takes `min` or what is left, the
   spare ones go as above;
3. none feasible: by falling priority / rem(16) each takes its part of all, rounded.

What rounding leaves over in 1 and 2 goes to the tasks of highest priority; what it gave too much is taken back from the
lowest priority up.

Time, as published (`run`): at the next arrival or finish every running task goes on to its next tile boundary, all
wait for the last of these, and the allocation follows. Progress is the fraction of the current layer: on c sub-arrays
`ceil((1 - p) * tiles(c))` tiles remain.

Quirks of the published run, kept because its figures need them: a round admits one arrival, and one that came before
the round began sends every task back to the tile boundary after that arrival (its tiles run again); a task that ends
while others are waited for leaves with the next finish; the fraction is a floating-point sum, so that a tile may run
twice. A policy that lets every task stop at its own boundary needs `allocate` alone.

Limits: no cost of fission or checkpoints, as published. A rest that cannot be shared equally among tasks of highest
priority goes to the first of them (published: a random one).

References: S. Ghodrati et al., "Planaria: Dynamic architecture fission for spatial multi-tenant acceleration of deep
neural networks", MICRO 2020, DOI 10.1109/MICRO50266.2020.00062, and its public software.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, final

from hwmodels.errors import InvalidLayer, InvalidWorkload

__all__ = ["UNITS", "Arrival", "Finish", "Request", "allocate", "run", "traffic_bound_cycles"]

UNITS = 16
_DRAM_BITS_PER_CYCLE = 2864
_OPERAND_BITS, _OUTPUT_BITS = 16, 64

# Of every layer, of every number of sub-arrays: (tiles, cycles per tile).
Network = list[list[tuple[int, int]]]


class Request(NamedTuple):
    """What the allocation knows of a task; `remaining_cycles[c - 1]` on c sub-arrays."""

    priority: float
    slack_cycles: float
    remaining_cycles: tuple[int, ...]


class Arrival(NamedTuple):
    time_cycles: int
    network: str
    priority: float


class Finish(NamedTuple):
    network: str
    arrival_cycles: int
    finish_cycles: int
    priority: float


def traffic_bound_cycles(
    kernel: int, out_size: int, stride: int, in_channels: int, out_channels: int, subarrays: int
) -> int:
    """Cycles that the DRAM traffic of a square convolution takes at least, at batch 1, on its share of the bandwidth.

    Inputs and weights of 16 bits come in once, outputs of 64 bits go out and come in once.
    """
    if min(kernel, out_size, stride, in_channels, out_channels) < 1 or not 1 <= subarrays <= UNITS:
        raise InvalidLayer("layer", f"positive sizes on 1 to {UNITS} sub-arrays", (kernel, out_size, stride, subarrays))
    in_size = (out_size - 1) * stride + kernel
    operands = in_size**2 * in_channels + kernel**2 * in_channels * out_channels
    bits = operands * _OPERAND_BITS + 2 * out_size**2 * out_channels * _OUTPUT_BITS
    return -(-bits * UNITS // (_DRAM_BITS_PER_CYCLE * subarrays))


def _least_units(request: Request) -> int:
    """Fewest sub-arrays that meet the deadline; 0: none do."""
    for units, remaining in enumerate(request.remaining_cycles, 1):
        if remaining <= request.slack_cycles:
            return units
    return 0


def _share(scores: list[float], given: list[int], spare: int) -> None:
    """Add to every task its part of the spare sub-arrays, rounded half to even; negative scores get nothing."""
    total = sum(score for score in scores if score >= 0)
    if total > 0:
        for i, score in enumerate(scores):
            if score >= 0:
                given[i] += round(score / total * spare)


def _balance(requests: list[Request], least: list[int], given: list[int], units: int) -> None:
    """Hand out what is left over, or take back what was given too much."""
    left = units - sum(given)
    if left > 0:
        highest = max(request.priority for request in requests)
        favoured = [i for i, request in enumerate(requests) if request.priority == highest]
        for i in favoured:
            given[i] += left // len(favoured)
        given[favoured[0]] += left % len(favoured)
    for i in sorted(range(len(requests)), key=lambda i: requests[i].priority):
        if sum(given) <= units:
            break
        if least[i] and given[i] - 1 >= least[i]:
            given[i] -= 1


def allocate(requests: list[Request], *, units: int = UNITS) -> list[int]:
    """Sub-arrays of every task.

    Parameters
    ----------
    requests : in the order of their arrival; priority and slack in any unit common to all [cycles]
    units : sub-arrays of the machine; every `remaining_cycles` has as many entries

    Returns
    -------
    One number per task; their sum is at most `units`.
    """
    if not requests:
        return []
    if any(len(request.remaining_cycles) != units for request in requests):
        raise InvalidWorkload("remaining_cycles", f"given for 1 to {units} sub-arrays", len(requests))
    least = [_least_units(request) for request in requests]
    given = [0] * len(requests)
    if not any(least):
        scores = [request.priority / max(request.remaining_cycles[-1], 1) for request in requests]
        total, left = sum(scores), units
        for i in sorted(range(len(requests)), key=lambda i: -scores[i]):
            given[i] = min(round(scores[i] / total * units) if total else 0, left)
            left -= given[i]
        return given
    if all(least) and sum(least) <= units:
        rests = [request.remaining_cycles[c - 1] for request, c in zip(requests, least, strict=True)]
        scores = [request.priority / rest if rest else 0.0 for request, rest in zip(requests, rests, strict=True)]
        given = list(least)
    else:
        scores = [
            # One division, so that equal scores are equal. A feasible task without slack has nothing left to do.
            request.priority / ((request.slack_cycles or 1) * c)
            if c
            else -request.priority / max(request.remaining_cycles[-1], 1)
            for request, c in zip(requests, least, strict=True)
        ]
        left = units
        for i in sorted(range(len(requests)), key=lambda i: -scores[i]):
            given[i] = min(least[i], left)
            left -= given[i]
    _share(scores, given, units - sum(given))
    _balance(requests, least, given, units)
    return given


@final
@dataclass(slots=True, eq=False)
class _Task:
    """A request in the making: its layer, the fraction of it that is done, and the time at which that holds."""

    arrival: Arrival
    layers: Network
    deadline: float
    layer: int = 0
    progress: float = 0.0
    units: int = 0
    since: int = 0

    @property
    def finished(self) -> bool:
        return self.layer == len(self.layers)

    def left(self, units: int) -> int:
        """Tiles of the current layer that remain on so many sub-arrays."""
        tiles = self.layers[self.layer][units - 1][0]
        return math.ceil((1 - self.progress) * tiles)

    def remaining(self, units: int) -> int:
        if self.finished:
            return 0
        rest = sum(tiles * cycles for tiles, cycles in (layer[units - 1] for layer in self.layers[self.layer + 1 :]))
        return self.left(units) * self.layers[self.layer][units - 1][1] + rest

    def advance(self, until: int) -> None:
        """Run to the first tile boundary after a time; back to it if that has passed already."""
        while not self.finished:
            tiles, cycles = self.layers[self.layer][self.units - 1]
            steps = min(self.left(self.units), (until - self.since) // cycles + 1)
            self.since += steps * cycles
            self.progress += steps / tiles
            if self.since > until:
                return
            self.layer, self.progress = self.layer + 1, 0.0


def _reallocate(tasks: list[_Task], now: int) -> None:
    requests = [
        Request(
            task.arrival.priority,
            task.deadline - now,
            tuple(task.remaining(units) for units in range(1, UNITS + 1)),
        )
        for task in tasks
    ]
    for task, units in zip(tasks, allocate(requests), strict=True):
        task.units, task.since = units, now


def run(
    networks: dict[str, Network], relative_deadline_cycles: dict[str, float], arrivals: list[Arrival]
) -> list[Finish]:
    """Run requests with the published time rule.

    Parameters
    ----------
    networks : of every layer and number of sub-arrays, (tiles, cycles per tile)
    relative_deadline_cycles : of every network, from the arrival [cycles]
    arrivals : in ascending order of time

    Returns
    -------
    In the order of finishing.

    Raises
    ------
    InvalidWorkload
        Arrivals out of order or of unknown networks; an allocation that rounds to nothing for every task.
    """
    if any(later.time_cycles < earlier.time_cycles for earlier, later in pairwise(arrivals)):
        raise InvalidWorkload("arrivals", "in ascending order of time")
    for arrival in arrivals:
        if arrival.network not in networks or arrival.network not in relative_deadline_cycles:
            raise InvalidWorkload("network", f"one of {', '.join(networks)}, with a deadline", arrival.network)
    tasks: list[_Task] = []
    finishes: list[Finish] = []
    waiting = list(arrivals)
    now, admit = 0, True
    while waiting or tasks:
        if not tasks:
            now, admit = max(now, waiting[0].time_cycles), True
        if admit:
            arrival = waiting.pop(0)
            deadline = arrival.time_cycles + relative_deadline_cycles[arrival.network]
            tasks.append(_Task(arrival, networks[arrival.network], deadline))
        _reallocate(tasks, now)
        running = [task for task in tasks if task.units > 0]
        finish = min((now + task.remaining(task.units) for task in running), default=math.inf)
        admit = bool(waiting) and waiting[0].time_cycles < finish
        if not running and not admit:
            raise InvalidWorkload("arrivals", f"few enough for {UNITS} sub-arrays", len(tasks))
        event = waiting[0].time_cycles if admit else int(finish)
        for task in running:
            task.advance(event)
        now = max([event, *(task.since for task in running)])
        if not admit:
            done = sorted((task for task in tasks if task.remaining(UNITS) == 0), key=lambda task: task.since)
            for task in done:
                arrival = task.arrival
                finishes.append(Finish(arrival.network, arrival.time_cycles, now, arrival.priority))
                tasks.remove(task)
    return finishes
