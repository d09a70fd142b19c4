"""DERCA: EDF with preemption inside layers on one matrix-multiply engine, with a schedulability guarantee.

Model: a layer is a matrix product `[M, K, N]`, cut into tiles. P output pieces follow each other, each accumulated over
TK tiles, in a load / compute / store pipeline of `P * TK + 2` iterations; an iteration takes as long as its slowest
active stage. Between two iterations a task may give the engine away, if it then *persists* the accumulators (saves
them, loads them back) or *recomputes* the piece it is in. A strategy says where that is allowed and how:

    np            nowhere
    lw            at layer ends, where nothing has to be kept
    ip, ir        before every iteration, persisting / recomputing
    if            as ir, but persisting where that swaps in faster
    X-ppp         as X, and then as few of these points as the shorter-period tasks tolerate (placement)

The stretches between allowed points, *regions*, run without preemption; the limited-preemption EDF test of
`hwmodels.edf_test` says whether all deadlines hold.

Semantics: `published` is what the authors' software computes, `clean` what is meant. In the analysis they differ in one
thing: the published test of the strategies without placement leaves out the swap-in that the first region of a job
inflicts on the task it preempts (xi_1) from the demand `e`, although it counts in the region `q`.

Limits: one engine; all times in integer cycles; D = P. The scheduler's own cycles are not part of the demand, as in the
published analysis: where regions last no longer than some hundred of them, a set may pass and still miss.

References: DERCA, RTSS 2025, and its public software; placement in the spirit of
M. Bertogna et al., "Optimal selection of preemption points", ECRTS 2011, DOI 10.1109/ECRTS.2011.28.
"""

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
from numba import njit

from hwmodels.edf_test import blocking_tolerance_cycles, is_schedulable
from hwmodels.errors import InvalidLayer, InvalidPolicy, InvalidWorkload

__all__ = [
    "SEMANTICS",
    "STRATEGIES",
    "Analysis",
    "DercaMachine",
    "Regions",
    "analyse",
    "execution_cycles",
    "iteration_cycles",
    "period_order",
    "placed_cuts",
    "regions",
    "swap_cycles",
    "transformer",
]

PLAIN_STRATEGIES = ("np", "lw", "ip", "ir", "if")
STRATEGIES = (*PLAIN_STRATEGIES, "ip-ppp", "ir-ppp", "if-ppp")
SEMANTICS = ("published", "clean")

# More iterations than this in one network (128 MB of columns) are a mistake in its shape.
_MAX_ITERATIONS = 4_000_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DercaMachine:
    """The engine and the serial scheduler beside it; everything in cycles of one clock.

    Defaults: the public software's configuration on VCK190 at 230 MHz. It gives the compute stage the figure of the
    load stage (17,200) although its configuration file says 23,362.
    """

    tile_m: int = 1536
    tile_k: int = 128
    tile_n: int = 1024
    load_cycles: int = 17_200
    comp_cycles: int = 17_200
    store_cycles: int = 228_288
    clean_output_cycles: int = 15_200
    persist_cycles: int = 228_288
    resume_cycles: int = 293_512
    feedback_cycles: int = 2
    dispatch_cycles: int = 6
    insert_base_cycles: int = 5
    insert_per_task_cycles: int = 2
    pop_base_cycles: int = 4
    pop_per_task_cycles: int = 3

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value, least = getattr(self, name), 1 if name.startswith("tile_") else 0
            if not isinstance(value, int) or not least <= value < 2**40:
                raise InvalidWorkload(name, f"an integer >= {least} and below 2^40", value)


class Regions(NamedTuple):
    """Regions of one network in order, (R,) columns in cycles."""

    exec_cycles: np.ndarray  # iterations of the region
    swap_in_cycles: np.ndarray  # before the region when it resumes a preempted task; 0 for the first
    swap_out_cycles: np.ndarray  # after the region when the task is preempted there; 0 for the last


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Verdict on one task set under one strategy.

    `tolerances_cycles` (beta) and `longest_regions_cycles` (q) are in order of period, shortest first, the rest in the
    order the tasks were given. With placement they describe the placed regions and are empty if there is no placement.
    """

    strategy: str
    schedulable: bool
    tolerances_cycles: tuple[int, ...] = ()
    longest_regions_cycles: tuple[int, ...] = ()
    wcet_cycles: tuple[int, ...] = ()
    regions: tuple[Regions, ...] = ()


def transformer(
    batch: int, tokens: int, width: int, heads: int, mlp_ratio: int, layers: int
) -> list[tuple[int, int, int]]:
    """Matrix products of a transformer encoder, heads one after the other."""
    rows, head = batch * tokens, width // heads
    layer = [
        (rows, width, 3 * width),
        *[(rows, head, tokens)] * heads,
        *[(rows, tokens, head)] * heads,
        (rows, width, width),
        (rows, width, mlp_ratio * width),
        (rows, mlp_ratio * width, width),
    ]
    return layer * layers


def _pieces(layer: tuple[int, int, int], machine: DercaMachine) -> tuple[int, int]:
    """Output pieces of a layer, and tiles that each accumulates."""
    m, k, n = layer
    if min(m, k, n) < 1:
        raise InvalidLayer("layer", "three positive numbers M, K, N", list(layer))
    pieces, depth = -(-m // machine.tile_m) * -(-n // machine.tile_n), -(-k // machine.tile_k)
    if pieces * depth > _MAX_ITERATIONS:
        raise InvalidLayer("layer", f"at most {_MAX_ITERATIONS} tiles", list(layer))
    return pieces, depth


def _stages(layer: tuple[int, int, int], machine: DercaMachine) -> tuple[np.ndarray, np.ndarray]:
    """(I,) cycles of every iteration, and the same without its store stage."""
    pieces, depth = _pieces(layer, machine)
    i = np.arange(pieces * depth + 2)
    load = np.where(i < pieces * depth, machine.load_cycles, 0)
    comp = np.where((i >= 1) & (i <= pieces * depth), machine.comp_cycles, 0)
    store = np.where((i >= depth + 1) & ((i - 1) % depth == 0), machine.store_cycles, 0)
    unstored = np.maximum(load, comp)
    return np.maximum(unstored, store), unstored


def iteration_cycles(layer: tuple[int, int, int], machine: DercaMachine) -> np.ndarray:
    """Cycles of every pipeline iteration of a layer.

    Parameters
    ----------
    layer : (M, K, N), all positive

    Returns
    -------
    (P * TK + 2,) int64
    """
    return _stages(layer, machine)[0]


def execution_cycles(network: list[tuple[int, int, int]], machine: DercaMachine) -> int:
    """Cycles of one inference that is never preempted."""
    return int(sum(iteration_cycles(layer, machine).sum() for layer in network))


def swap_cycles(
    layer: tuple[int, int, int], machine: DercaMachine, *, recompute: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What a preemption before every iteration of a layer but the first costs.

    Returns
    -------
    swap_out, swap_in : (P * TK + 1,) int64
        Before iteration 1, 2, ... [cycles]. Recomputing clears the accumulators, and redoes the piece that the
        pipeline was accumulating: it loads its first tile and repeats the iterations up to the point.
    """
    pieces, depth = _pieces(layer, machine)
    count = pieces * depth + 1
    if not recompute:
        return np.full(count, machine.persist_cycles, np.int64), np.full(count, machine.resume_cycles, np.int64)
    executed, unstored = _stages(layer, machine)
    i = np.arange(2, count + 1)
    first = depth * ((i - 2) // depth)
    before = np.concatenate([[0], np.cumsum(executed)])
    swap_in = np.empty(count, np.int64)
    swap_in[0] = machine.load_cycles
    swap_in[1:] = machine.load_cycles + unstored[first + 1] + before[i] - before[first + 2]
    return np.full(count, machine.clean_output_cycles, np.int64), swap_in


def _inner_swaps(layer: tuple[int, int, int], machine: DercaMachine, strategy: str) -> tuple[np.ndarray, np.ndarray]:
    """`swap_cycles` under a strategy that preempts inside layers."""
    persist = swap_cycles(layer, machine, recompute=False)
    if strategy == "ip":
        return persist
    recompute = swap_cycles(layer, machine, recompute=True)
    if strategy == "ir":
        return recompute
    keep = persist[1] < recompute[1]
    return np.where(keep, persist[0], recompute[0]), np.where(keep, persist[1], recompute[1])


def regions(network: list[tuple[int, int, int]], machine: DercaMachine, strategy: str) -> Regions:
    """Regions of a network under a strategy (of `X-ppp` those of X, before placement).

    Parameters
    ----------
    network : layers (M, K, N) in order
    strategy : one of `STRATEGIES`
    """
    if strategy not in STRATEGIES:
        raise InvalidPolicy("strategy", f"one of {', '.join(STRATEGIES)}", strategy)
    if not network:
        raise InvalidLayer("network", "at least one layer", [])
    strategy = strategy.removesuffix("-ppp")
    executed, swap_in, swap_out = [], [], []
    for layer in network:
        cycles = iteration_cycles(layer, machine)
        if strategy in ("np", "lw"):
            executed.append(cycles.sum(keepdims=True))
            inner: tuple[np.ndarray, np.ndarray] = (np.empty(0, np.int64), np.empty(0, np.int64))
        else:
            executed.append(cycles)
            inner = _inner_swaps(layer, machine, strategy)
        # The end of a layer is free in every strategy.
        swap_out.append(np.append(inner[0], 0))
        swap_in.append(np.insert(inner[1], 0, 0))
    result = Regions(np.concatenate(executed), np.concatenate(swap_in), np.concatenate(swap_out))
    if strategy == "np":
        return Regions(result.exec_cycles.sum(keepdims=True), np.zeros(1, np.int64), np.zeros(1, np.int64))
    return result


@njit(cache=True)
def placed_cuts(exec_cycles: np.ndarray, overhead_cycles: np.ndarray, tolerance_cycles: int) -> np.ndarray:
    """Where a task whose regions may last `tolerance_cycles` has to be preemptible.

    Parameters
    ----------
    exec_cycles, overhead_cycles : (R,) b and xi of its regions [cycles]
    tolerance_cycles : U, the blocking that the tasks of shorter period tolerate [cycles]

    Returns
    -------
    First regions of the placed ones, in order; empty if there is no placement.
    """
    count = exec_cycles.size
    starts = np.empty(count, np.int64)
    placed, start, last = 0, 0, 0
    # WCET of the window [start, last]
    window = overhead_cycles[0] + exec_cycles[0]
    while True:
        if window < tolerance_cycles:
            if last == count - 1:
                starts[placed] = start
                return starts[: placed + 1]
            last += 1
            window += exec_cycles[last]
            continue
        cut, least, left = -1, np.int64(0), overhead_cycles[start]
        right_exec = window - overhead_cycles[start]
        for x in range(start, last):
            left += exec_cycles[x]
            right_exec -= exec_cycles[x]
            right = overhead_cycles[x + 1] + right_exec
            if left <= tolerance_cycles and right <= tolerance_cycles and (cut < 0 or right < least):
                cut, least = x, right
        if cut < 0:
            return starts[:0]
        starts[placed] = start
        placed += 1
        start, window = cut + 1, least


def _merged(parts: Regions, starts: np.ndarray, semantics: str) -> Regions:
    """The regions that begin at `starts`, each the union of the parts up to the next start."""
    lasts = np.append(starts[1:], parts.exec_cycles.size) - 1
    # Published: a merged region keeps the swap-out of its first part.
    out = parts.swap_out_cycles[starts if semantics == "published" else lasts]
    return Regions(np.add.reduceat(parts.exec_cycles, starts), parts.swap_in_cycles[starts], out)


def _overheads(parts: Regions, first_cycles: int) -> np.ndarray:
    """xi of every region: its swap-in, and for the first the swap-out of the task that it may preempt."""
    overhead = parts.swap_in_cycles.copy()
    overhead[0] = first_cycles
    return overhead


def period_order(periods_cycles: list[int]) -> list[int]:
    """Tasks by period, shortest first; equal periods in the order given."""
    return sorted(range(len(periods_cycles)), key=lambda i: periods_cycles[i])


def _longest_swap_out(parts: Regions) -> int:
    return int(parts.swap_out_cycles[:-1].max(initial=0))


def _placement(tasks: list[Regions], overheads: list[np.ndarray], periods: list[int], semantics: str) -> list[Regions]:
    """The placed regions of tasks by period; fewer than tasks where one has no placement."""
    firsts = [int(overhead[0]) for overhead in overheads]
    wcets = [int((task.exec_cycles + xi).sum()) for task, xi in zip(tasks, overheads, strict=True)]
    placed: list[Regions] = []
    for i, task in enumerate(tasks):
        starts = np.zeros(1, np.int64)
        if i > 0:
            tolerance = min(blocking_tolerance_cycles(periods, wcets)[:i])
            starts = placed_cuts(task.exec_cycles, overheads[i], max(tolerance, -1))
        if starts.size == 0:
            return placed
        placed.append(_merged(task, starts, semantics))
        wcets[i] = firsts[i] + int(placed[i].exec_cycles.sum() + placed[i].swap_in_cycles.sum())
    return placed


def analyse(
    networks: list[Regions], periods_cycles: list[int], strategy: str, *, semantics: str = "published"
) -> Analysis:
    """Is a set of periodic tasks schedulable under a strategy?

    Parameters
    ----------
    networks : (N,) what `regions(network, machine, strategy)` returned for the network of every task
    periods_cycles : (N,) positive periods, in any order [cycles]
    strategy : one of `STRATEGIES`
    semantics : `published` or `clean` (see the module)

    Raises
    ------
    InvalidWorkload
        No task, periods that are not positive, or a test that cannot be settled.
    InvalidPolicy
        An unknown strategy or semantics.
    """
    if strategy not in STRATEGIES:
        raise InvalidPolicy("strategy", f"one of {', '.join(STRATEGIES)}", strategy)
    if semantics not in SEMANTICS:
        raise InvalidPolicy("semantics", f"one of {', '.join(SEMANTICS)}", semantics)
    if not networks or len(networks) != len(periods_cycles):
        raise InvalidWorkload("tasks", "at least one, each with a period", len(networks))
    order = period_order(periods_cycles)
    periods, tasks = [int(periods_cycles[i]) for i in order], [networks[i] for i in order]
    # xi_1: a job may preempt a task of longer period, which has to be swapped out first.
    outs = [_longest_swap_out(task) for task in tasks]
    firsts = [
        max((outs[j] for j in range(len(tasks)) if periods[j] > periods[i]), default=0) for i in range(len(tasks))
    ]
    place = strategy.endswith("-ppp")
    if place:
        tasks = _placement(tasks, [_overheads(*pair) for pair in zip(tasks, firsts, strict=True)], periods, semantics)
        if len(tasks) < len(periods):
            return Analysis(strategy=strategy, schedulable=False)
    overheads = [_overheads(task, first) for task, first in zip(tasks, firsts, strict=True)]
    wcets = [int((task.exec_cycles + xi).sum()) for task, xi in zip(tasks, overheads, strict=True)]
    demands = wcets
    if semantics == "published" and not place:
        demands = [wcet - first for wcet, first in zip(wcets, firsts, strict=True)]
    tolerances = blocking_tolerance_cycles(periods, demands)
    longest = [int((task.exec_cycles + xi).max()) for task, xi in zip(tasks, overheads, strict=True)]
    back = [order.index(i) for i in range(len(order))]
    return Analysis(
        strategy=strategy,
        schedulable=min(tolerances) >= 0 if place else is_schedulable(tolerances, longest),
        tolerances_cycles=tuple(tolerances),
        longest_regions_cycles=tuple(longest),
        wcet_cycles=tuple(wcets[i] for i in back),
        regions=tuple(tasks[i] for i in back),
    )
