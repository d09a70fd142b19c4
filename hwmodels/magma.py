"""MAGMA: a group of independent tasks mapped offline on engines of different kinds that share one DRAM bandwidth.

Model: task j takes `latency[j][c]` on engine c if it gets the bandwidth `need[j][c]` that it asks for. A mapping gives
every task an engine and an order key; each engine runs its tasks in the order of their keys (ties: of their index).
When the running tasks together ask for more than there is, every one of them slows down by the same factor. A task
never runs faster than alone, and one that needs no bandwidth is never slowed.

The search is a genetic algorithm over (engine, key) with crossover of one gene, of a range of tasks and of one engine;
the list heuristics can seed it.

Deviations: `search` seeds the population with the heuristics unless told otherwise (the published one starts at
random), and its random numbers are its own.

References: S.-C. Kao and T. Krishna, "MAGMA: An optimization framework for mapping multiple DNNs on multiple
accelerator cores", HPCA 2022, DOI 10.1109/HPCA53966.2022.00065, and its public software; HEFT: H. Topcuoglu et al.,
IEEE TPDS 13(3), 2002, DOI 10.1109/71.993206.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from hwmodels.errors import InvalidPolicy, InvalidWorkload

__all__ = ["HEURISTICS", "Mapping", "heuristic", "makespan_bound_s", "makespan_s", "schedule", "search"]

# Order of the tasks - choice of the engine.
HEURISTICS = ("FCFS-GREEDY", "FCFS-RR", "FCFS-HEFT", "HEFT-HEFT")

_ELITE_FRAC, _PARENT_FRAC = 0.05, 0.10
_GENE_CROSSOVER, _RANGE_CROSSOVER, _ENGINE_CROSSOVER, _MUTATION = 0.9, 0.1, 0.1, 0.05


class Mapping(NamedTuple):
    """(J,) columns: the engine of every task, and the key by which its engine orders it."""

    engines: np.ndarray
    keys: np.ndarray


@njit(cache=True)
def _schedule(
    latency: np.ndarray, need: np.ndarray, bandwidth: float, engines: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Start and finish of every task; `order` is all tasks by (key, index)."""
    tasks, count = latency.shape
    start, finish = np.zeros(tasks), np.zeros(tasks)
    # Running task of every engine (-1: none), the time it has left at full rate, and where its engine's list goes on.
    running, left, upcoming = np.full(count, -1), np.zeros(count), np.zeros(count, np.int64)
    now = 0.0
    while True:
        demand, step = 0.0, np.inf
        for c in range(count):
            while running[c] < 0 and upcoming[c] < tasks:
                j = order[upcoming[c]]
                upcoming[c] += 1
                if engines[j] == c:
                    running[c], left[c], start[j] = j, latency[j, c], now
            if running[c] >= 0:
                demand += need[running[c], c]
        rate = bandwidth / demand if demand > bandwidth else 1.0
        for c in range(count):
            if running[c] >= 0:
                time = left[c] / rate if need[running[c], c] > 0.0 else left[c]
                if time < step:
                    step = time
        if step == np.inf:
            return start, finish
        now += step
        for c in range(count):
            j = running[c]
            if j >= 0:
                slow = rate if need[j, c] > 0.0 else 1.0
                # Times are compared, not differences: the task that set the step always ends.
                if left[c] / slow <= step * (1.0 + 1e-12):
                    finish[j], running[c] = now, -1
                else:
                    left[c] -= step * slow


@njit(cache=True)
def _makespans(
    latency: np.ndarray, need: np.ndarray, bandwidth: float, engines: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    """Makespan of every row of a population."""
    result = np.empty(engines.shape[0])
    for row in range(result.size):
        result[row] = _schedule(latency, need, bandwidth, engines[row], orders[row])[1].max()
    return result


def _check(latency: np.ndarray, need: np.ndarray, bandwidth: float) -> tuple[np.ndarray, np.ndarray]:
    latency, need = np.ascontiguousarray(latency, np.float64), np.ascontiguousarray(need, np.float64)
    if latency.ndim != 2 or latency.size == 0 or latency.shape != need.shape:
        raise InvalidWorkload("latency", "(tasks, engines) like the bandwidth", latency.shape)
    if not (np.isfinite(latency).all() and (latency > 0).all() and np.isfinite(need).all() and (need >= 0).all()):
        raise InvalidWorkload("latency", "positive, with bandwidths >= 0, all finite")
    if not bandwidth > 0:
        raise InvalidWorkload("bandwidth", "positive", bandwidth)
    return latency, need


def schedule(
    latency_s: np.ndarray, need_bytes_per_s: np.ndarray, bandwidth_bytes_per_s: float, mapping: Mapping
) -> tuple[np.ndarray, np.ndarray]:
    """Start and finish of every task of a mapping.

    Parameters
    ----------
    latency_s, need_bytes_per_s : (J, C) of every task on every engine, alone [s], [bytes/s]
    bandwidth_bytes_per_s : shared by all engines [bytes/s]

    Returns
    -------
    start, finish : (J,) [s]
    """
    latency, need = _check(latency_s, need_bytes_per_s, bandwidth_bytes_per_s)
    engines = np.asarray(mapping.engines, np.int64)
    if engines.shape != latency.shape[:1] or engines.min() < 0 or engines.max() >= latency.shape[1]:
        raise InvalidWorkload("engines", f"(tasks,) engine indices below {latency.shape[1]}", mapping.engines)
    order = np.argsort(np.asarray(mapping.keys, np.float64), kind="stable")
    return _schedule(latency, need, float(bandwidth_bytes_per_s), engines, order)


def makespan_s(
    latency_s: np.ndarray, need_bytes_per_s: np.ndarray, bandwidth_bytes_per_s: float, mapping: Mapping
) -> float:
    """When the last task of a mapping ends [s]; see `schedule`."""
    return float(schedule(latency_s, need_bytes_per_s, bandwidth_bytes_per_s, mapping)[1].max())


def makespan_bound_s(latency_s: np.ndarray, need_bytes_per_s: np.ndarray, bandwidth_bytes_per_s: float) -> float:
    """No mapping ends earlier: all bytes over the bandwidth, all work over the engines, the longest task [s]."""
    latency, need = _check(latency_s, need_bytes_per_s, bandwidth_bytes_per_s)
    least = latency.min(axis=1)
    return float(
        max((latency * need).min(axis=1).sum() / bandwidth_bytes_per_s, least.sum() / latency.shape[1], least.max())
    )


def heuristic(latency_s: np.ndarray, name: str) -> Mapping:
    """A list heuristic that knows the latencies alone, not the bandwidth.

    Parameters
    ----------
    latency_s : (J, C) [s]
    name : one of `HEURISTICS`: engines run their tasks in the order given (FCFS) or shortest mean latency first (HEFT);
        in the order given, each task goes to the engine of least accumulated latency (GREEDY), to the next one (RR) or
        to where it would end first (HEFT)
    """
    if name not in HEURISTICS:
        raise InvalidPolicy("heuristic", f"one of {', '.join(HEURISTICS)}", name)
    latency = np.asarray(latency_s, np.float64)
    tasks, count = latency.shape
    ordering, choice = name.split("-")
    keys = np.arange(tasks) / tasks if ordering == "FCFS" else latency.mean(axis=1)
    engines, busy = np.empty(tasks, np.int64), np.zeros(count)
    for j in range(tasks):
        if choice == "RR":
            engines[j] = j % count
        else:
            engines[j] = np.argmin(busy + latency[j] if choice == "HEFT" else busy)
        busy[engines[j]] += latency[j, engines[j]]
    return Mapping(engines, keys)


def _ranked(keys: np.ndarray) -> np.ndarray:
    """Keys as ranks in [0, 1): those of the heuristics may lie anywhere."""
    ranks = np.empty(keys.size)
    ranks[np.argsort(keys, kind="stable")] = np.arange(keys.size) / keys.size
    return ranks


def _child(
    rng: np.random.Generator, father: tuple[np.ndarray, np.ndarray], mother: tuple[np.ndarray, np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Crossover and mutation of two (engines, keys)."""
    engines, keys = father[0].copy(), father[1].copy()
    tasks = engines.size
    if rng.random() < _GENE_CROSSOVER:
        # One of the two genes, from a random point on.
        point, gene = rng.integers(tasks), rng.integers(2)
        if gene == 0:
            engines[point:] = mother[0][point:]
        else:
            keys[point:] = mother[1][point:]
    if rng.random() < _RANGE_CROSSOVER:
        low, high = np.sort(rng.integers(tasks + 1, size=2))
        engines[low:high], keys[low:high] = mother[0][low:high], mother[1][low:high]
    if rng.random() < _ENGINE_CROSSOVER:
        # All tasks of one engine of the mother; whoever else was there is drawn again.
        taken = rng.integers(count)
        theirs = mother[0] == taken
        displaced = (engines == taken) & ~theirs
        engines[displaced] = rng.integers(count, size=int(displaced.sum()))
        engines[theirs], keys[theirs] = taken, mother[1][theirs]
    changed = rng.random(tasks) < _MUTATION
    engines[changed] = rng.integers(count, size=int(changed.sum()))
    changed = rng.random(tasks) < _MUTATION
    keys[changed] = rng.random(int(changed.sum()))
    return engines, keys


def search(
    latency_s: np.ndarray,
    need_bytes_per_s: np.ndarray,
    bandwidth_bytes_per_s: float,
    *,
    rng: np.random.Generator,
    generations: int = 200,
    population: int = 0,
    seeded: bool = True,
) -> Mapping:
    """The best mapping found by the genetic algorithm.

    Parameters
    ----------
    latency_s, need_bytes_per_s, bandwidth_bytes_per_s : see `schedule`
    generations : >= 1
    population : individuals; 0: as many as tasks, at least 20
    seeded : begin with the list heuristics; then the result is never worse than any of them
    """
    latency, need = _check(latency_s, need_bytes_per_s, bandwidth_bytes_per_s)
    tasks, count = latency.shape
    size = population or max(tasks, 20)
    engines, keys = rng.integers(count, size=(size, tasks)), rng.random((size, tasks))
    if seeded:
        for row, name in enumerate(HEURISTICS[:size]):
            found = heuristic(latency, name)
            engines[row], keys[row] = found.engines, _ranked(found.keys)
    elites, parents = max(1, round(size * _ELITE_FRAC)), max(2, round(size * _PARENT_FRAC))
    for generation in range(generations):
        orders = np.argsort(keys, axis=1, kind="stable")
        spans = _makespans(latency, need, float(bandwidth_bytes_per_s), engines, orders)
        best = np.argsort(spans, kind="stable")
        if generation == generations - 1:
            break
        elder = best[:parents]
        born = [(engines[i].copy(), keys[i].copy()) for i in best[:elites]]
        while len(born) < size:
            father, mother = rng.choice(elder, size=2)
            born.append(_child(rng, (engines[father], keys[father]), (engines[mother], keys[mother]), count))
        engines, keys = np.array([e for e, _ in born]), np.array([k for _, k in born])
    return Mapping(engines[best[0]].copy(), keys[best[0]].copy())
