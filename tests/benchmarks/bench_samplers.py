"""Samplers against an exact front: hypervolume of what was found / of the exact front, on an analytic space.

    python tests/benchmarks/bench_samplers.py [--budgets 200 1000] [--seeds 5] [--samplers archive nsga2 ...]

The toy has four conditional architectures, 3 objectives and 2 constraints; uncalibrated roofline-like formulas. The
rugged variant multiplies latency and energy by lognormal noise fixed per design (15 %, 10 %).
"""

import argparse
import hashlib
import itertools
import math
import sys
import time
from functools import lru_cache

import numpy as np
import optuna
from moocore import hypervolume, is_nondominated

from dse.points import distributions, suggest
from dse.samplers import SAMPLERS, make_sampler
from spaces.space import Condition, Params, Space

KIB = 1024


def toy_space() -> Space:
    return Space(
        {"architecture": ("time_mux", "composable", "heterogeneous", "dedicated"),
         "freq_hz": (4e8, 6e8, 8e8, 1e9), "dram_bytes_per_s": (4e9, 8e9, 16e9, 32e9, 64e9),
         "rows": (8, 16, 32, 64, 128), "cols": (8, 16, 32, 64, 128), "dataflow": ("ws", "os", "is"),
         "sram_bytes": tuple(k * KIB for k in (128, 256, 512, 1024, 2048, 4096)),
         "policy": ("fcfs", "sjf", "edf", "prema"), "subarrays": (2, 4, 8, 16), "dataflow1": ("ws", "os", "is"),
         "split": (0.25, 0.5, 0.75), "engines": (2, 3, 4, 6)},
        [Condition("subarrays", "architecture", ("composable",)),
         Condition("dataflow1", "architecture", ("heterogeneous",)),
         Condition("split", "architecture", ("heterogeneous",)),
         Condition("engines", "architecture", ("dedicated",))],
    )


def noise(params: Params, sigma: float, salt: str) -> float:
    digest = hashlib.blake2b(repr((salt, sorted(params.items()))).encode(), digest_size=8).digest()
    u = (int.from_bytes(digest, "little") + 0.5) / 2**64
    v = (int.from_bytes(hashlib.blake2b(digest, digest_size=8).digest(), "little") + 0.5) / 2**64
    return math.exp(sigma * math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v))


def toy(params: Params, rugged: bool = False) -> tuple[tuple[float, float, float], tuple[float, float]]:
    """(latency, energy, area), (area and power relative to their bounds, <= 0 feasible)."""
    arch, rows, cols = params["architecture"], params["rows"], params["cols"]
    freq, bandwidth, sram = params["freq_hz"], params["dram_bytes_per_s"], params["sram_bytes"]
    pes = rows * cols
    latency = energy = 0.0
    # (macs, rows wanted, cols wanted, bytes, dataflow that suits)
    layers = ((2e8, 64, 64, 1e6, "ws"), (5e7, 9, 1024, 3e6, "os"), (4e8, 1024, 1024, 1.2e7, "ws"),
              (1e7, 1024, 1, 4e6, "is"))
    for k, (macs, need_rows, need_cols, size, suits) in enumerate(layers):
        r, c = rows, cols
        dataflow, overhead, share = params["dataflow"], 1.0, 1.0
        if arch == "composable":
            r, c = max(1, rows // params["subarrays"]), cols * params["subarrays"]
            if min(need_rows, rows) * min(need_cols, cols) > min(need_rows, r) * min(need_cols, c):
                r, c = rows, cols
            overhead = 1.0 + 0.02 * params["subarrays"]
        elif arch == "heterogeneous":
            first = params["split"]
            matches = params["dataflow"] == suits
            dataflow = params["dataflow"] if matches else params["dataflow1"]
            r, share = max(1, int(rows * (first if matches else 1.0 - first))), 0.8
        elif arch == "dedicated":
            r, share = max(1, rows // params["engines"]), 1.0 / math.sqrt(params["engines"])
        used = min(need_rows, r) * min(need_cols, c) * (1.0 if dataflow == suits else 0.55)
        compute = macs / (used * freq) * overhead
        traffic = size * (1.0 + 6.0 * math.sqrt(64.0 * KIB / sram)) / (bandwidth * share)
        latency += max(compute, traffic) + 0.1 * min(compute, traffic)
        energy += macs * 1e-12 * (1.0 + 0.1 * k) * (1.2 - 0.2 * (dataflow == suits)) + traffic * bandwidth * 6e-11
    queue = {"fcfs": 1.30, "sjf": 1.12, "edf": 1.08, "prema": 1.0}[params["policy"]]
    decision = {"fcfs": 0.0, "sjf": 2e-5, "edf": 4e-5, "prema": 1.5e-4}[params["policy"]]
    parallel = {"time_mux": 1.0, "composable": 0.85, "heterogeneous": 0.75, "dedicated": 0.45}[arch]
    latency = latency * queue * parallel + decision
    area = pes * 8e-4 * (1.0 + (0.015 * params["subarrays"] if arch == "composable" else 0.0)) + sram / KIB * 1.3e-3
    area += bandwidth * 1.5e-10 + {"time_mux": 0.2, "composable": 0.3, "heterogeneous": 0.5, "dedicated": 0.8}[arch]
    energy = energy * (0.7 + 0.3 * freq / 1e9) + latency * 0.02 * area
    if rugged:
        latency *= noise(params, 0.15, "latency")
        energy *= noise(params, 0.10, "energy")
    power = energy / latency
    return (latency, energy, area), (area / 20.0 - 1.0, power / 0.6 - 1.0)


def scaled(values: np.ndarray) -> np.ndarray:
    return np.log10(values)


@lru_cache
def exact(rugged: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Front (log10), its lower and upper corner, its hypervolume."""
    values = []
    for params in toy_space().enumerate():
        objectives, constraints = toy(params, rugged)
        if max(constraints) <= 0.0:
            values.append(objectives)
    points = scaled(np.array(values))
    front = points[is_nondominated(points)]
    low, high = front.min(axis=0), front.max(axis=0)
    reference = np.full(3, 1.1)
    return front, low, high, float(hypervolume((front - low) / (high - low), ref=reference))


def run(name: str, budget: int, seed: int, rugged: bool, lag: int = 32, chunk: int = 4) -> tuple[list[float], float]:
    """Hypervolume ratio after each of `checkpoints(budget)`, and seconds of the sampler per trial."""
    space = toy_space()
    study = optuna.create_study(directions=["minimize"] * 3, sampler=make_sampler(name, space, seed=seed))
    dists = distributions(space)
    flying: list[list[tuple[optuna.Trial, Params]]] = []
    found, asked, spent = [], 0, 0.0

    def tell(batch: list[tuple[optuna.Trial, Params]]) -> None:
        nonlocal spent
        for trial, params in batch:
            objectives, constraints = toy(params, rugged)
            if max(constraints) <= 0.0:
                found.append((trial.number, objectives))
            start = time.process_time()
            for key, value in zip(("area", "power"), constraints, strict=True):
                trial.set_constraint(key, value)
            study.tell(trial, objectives)
            spent += time.process_time() - start

    while asked < budget:
        if len(flying) * chunk >= lag:
            tell(flying.pop(0))
        start = time.process_time()
        batch = []
        for _ in range(min(chunk, budget - asked)):
            trial = study.ask()
            batch.append((trial, suggest(trial, space, dists)))
        asked += len(batch)
        spent += time.process_time() - start
        flying.append(batch)
    for batch in flying:
        tell(batch)
    return [ratio([v for n, v in found if n < at], rugged) for at in checkpoints(budget)], spent / budget


def checkpoints(budget: int) -> list[int]:
    return [at for at in (100, 200, 500, 1000, 2000, 5000, 10000) if at <= budget]


def ratio(values: list[tuple[float, float, float]], rugged: bool) -> float:
    if not values:
        return 0.0
    _, low, high, best = exact(rugged)
    points = (scaled(np.array(values)) - low) / (high - low)
    points = points[(points < 1.1).all(axis=1)]
    return float(hypervolume(points, ref=np.full(3, 1.1))) / best if len(points) else 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samplers", nargs="*", default=[n for n in SAMPLERS if n not in ("auto", "exhaustive")])
    parser.add_argument("--landscapes", nargs="*", default=["smooth", "rugged"])
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for landscape, name in itertools.product(args.landscapes, args.samplers):
        rugged = landscape == "rugged"
        front = exact(rugged)[0]
        rows = [run(name, args.budget, seed, rugged) for seed in range(args.seeds)]
        curves = np.array([curve for curve, _ in rows])
        cells = "  ".join(f"{at}: {np.median(c):.3f} [{c.min():.3f} {c.max():.3f}]"
                          for at, c in zip(checkpoints(args.budget), curves.T, strict=True))
        cost = 1e3 * float(np.median([seconds for _, seconds in rows]))
        sys.stdout.write(f"{landscape:7} (front {len(front)}) {name:8} {cells}  {cost:.2f} ms/trial\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
