"""Samplers against exact fronts: hypervolume found / exact, over seeds, with intervals and cost.

    python tests/benchmarks/bench_search.py [--spaces small_edge ...] [--samplers guided ...] [--seeds 10] [--quick]

Spaces: `small_edge`, `ar_headset` and `datacentre` are the studies `front_*.yaml` on coarser grids (10^4 designs),
where every design can be simulated: their values are found once and kept in `--cache` (10 to 30 minutes each), so that
a search is a look-up. `smooth` and `rugged` are the toys of `bench_samplers.py` (648,000 points, no estimates).

Every sampler is asked and told as `dse.driver` does it: 4 at a time, 32 under way. Hypervolume is that of log10 of the
objectives, normalised to the box of the exact front, from 1.1 of it: harder than the one of reports, which a few
designs nearly fill. Intervals: 95 %, of the median over seeds (bootstrap). `to 99 %`: median number of evaluations, `-`
where half of the seeds do not get there. `ms`: CPU of the sampler per trial at the largest budget.

`screened` is random search among the designs that the estimates call feasible: the tuned random baseline. `pymoo` and
`gp` need `pip install pymoo` and `pip install torch`; `gp` stops at 100 evaluations, `tpe` and `tpe-default` at 1,000.
"""

import argparse
import importlib.util
import os
import pickle
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `dse run`
import numpy as np
import optuna
import yaml
from moocore import hypervolume, is_nondominated

sys.path.insert(0, str(Path(__file__).parent))
import bench_samplers

from dse import load_study
from dse.askers import HUGE, constraints_of
from dse.driver import BATCH
from dse.estimate import estimate_of
from dse.front_blocks import hardware_first
from dse.objective import evaluate_one, evaluator, judge
from dse.points import OptunaPoints, PointSampler, RandomPoints, SpaceExhausted, distributions, suggest
from dse.samplers import SAMPLERS, make_sampler
from dse.study import Study
from spaces.space import Space

STUDIES = Path(__file__).parents[2] / "studies"
CHECKPOINTS = (100, 200, 500, 1000, 5000)
GRIDS: dict[str, dict[str, list[Any]]] = {
    "small_edge": {
        "freq_hz": [0.5e9], "dram_bytes_per_s": [1.0e9, 2.0e9], "rows": [8, 16, 32, 64], "cols": [8, 16, 32, 48],
        "sram_bytes": [65536, 262144, 1048576]},
    "ar_headset": {
        "freq_hz": [0.8e9], "dram_bytes_per_s": [4.0e9, 8.0e9], "rows": [16, 32, 64, 96], "cols": [16, 32, 64, 128],
        "dataflow": ["ws", "os"], "sram_bytes": [262144, 1048576, 3145728], "vector_lanes": [32, 128],
        "side0": [16, 64], "side1": [16, 32], "total_pes": [2048, 8192], "share_exponent": [0.5, 1.0],
        "round_robin.quantum_layers": [1], "least_slack.hysteresis_s": [0.001], "prema.quantum_s": [0.0005, 0.002],
        "sdrm3.alpha": [1.0], "dysta.beta": [0.01]},
    "datacentre": {
        "freq_hz": [1.0e9], "dram_bytes_per_s": [100.0e9, 400.0e9], "rows": [64, 128, 256], "cols": [64, 128, 256],
        "dataflow": ["ws", "os"], "sram_bytes": [8388608, 33554432], "vector_lanes": [512, 2048], "engines": [2],
        "side0": [64, 128], "sram_bytes0": [8388608], "sram_bytes1": [4194304, 16777216], "total_pes": [16384, 65536],
        "share_exponent": [0.5, 1.0], "least_slack.hysteresis_s": [0.001], "prema.quantum_s": [0.001],
        "sdrm3.alpha": [1.0]},
}
TOYS = ("smooth", "rugged")
AHEAD = Study.in_flight // BATCH
LIMITS = {"tpe": 1000, "tpe-default": 1000, "gp": 100}

Told = tuple[tuple[float, ...] | None, dict[str, float]]


def smaller_study(name: str) -> Any:
    """A study of the repository on a coarser grid."""
    document = yaml.safe_load((STUDIES / f"front_{name}.yaml").read_text(encoding="utf-8"))
    space = document["space"]
    space["domains"] |= GRIDS[name]
    if name == "ar_headset":  # a composable array takes seconds to cost
        space["architectures"] = ["time_mux", "heterogeneous", "dedicated"]
    clauses = [{key: [v for v in values if v in space["domains"][key]] if isinstance(values, list) else values
                for key, values in clause.items()} for clause in space.get("forbidden", [])]
    classes = space.get("architectures", ["composable"])
    space["forbidden"] = [clause for clause in clauses
                          if [] not in clause.values() and clause.get("architecture") in classes]
    if isinstance(document["workload"], str):
        document["workload"] = str(STUDIES / document["workload"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return load_study(path)


def truth(name: str, study: Any, cache: Path) -> dict[tuple[int, ...], Told]:
    """Values and constraints of every design, simulated once."""
    file = cache / f"truth_{name}.pkl"
    if file.exists():
        return pickle.loads(file.read_bytes())  # written by this program
    found: dict[tuple[int, ...], Told] = {}
    space, evaluate = hardware_first(study.space), evaluator(study)
    start = time.monotonic()
    for number, params in enumerate(space.enumerate()):
        verdict = judge(study, evaluate_one(evaluate, number, params))
        found[study.space.encode(params)] = verdict.values, constraints_of(verdict)
        if number % 500 == 0:
            sys.stderr.write(f"{name}: {number:,} of {space.size():,} designs simulated, "
                             f"{time.monotonic() - start:.0f} s\n")
    cache.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(found))
    return found


class Task:
    """A space whose truth is known."""

    def __init__(self, name: str, cache: Path) -> None:
        self.name, self._cache = name, cache
        if name in TOYS:
            self.space, self.estimate = bench_samplers.toy_space(), None
            return
        study = smaller_study(name)
        self.space, self.estimate = study.space, estimate_of(study)
        self.table = truth(name, study, cache)

    def told(self, codes: tuple[int, ...]) -> Told:
        if self.name not in TOYS:
            return self.table[codes]
        values, (area, power) = bench_samplers.toy(self.space.decode(codes), self.name == "rugged")
        return values, {"area": area, "power": power}

    @cached_property
    def front(self) -> np.ndarray:
        """Exact, log10."""
        if self.name in TOYS:
            file = self._cache / f"front_{self.name}.pkl"
            if not file.exists():
                self._cache.mkdir(parents=True, exist_ok=True)
                file.write_bytes(pickle.dumps(bench_samplers.exact(self.name == "rugged")[0]))
            return pickle.loads(file.read_bytes())  # written by this program
        values = [v for v, violations in self.table.values() if v is not None and max(violations.values()) <= 0.0]
        points = np.log10(np.array(values))
        return points[is_nondominated(points)]

    def volume(self, points: np.ndarray) -> float:
        low, high = self.front.min(axis=0), self.front.max(axis=0)
        unit = (points - low) / (high - low)
        unit = unit[(unit < 1.1).all(axis=1)]
        return float(hypervolume(unit, ref=np.full(unit.shape[1], 1.1))) if len(unit) else 0.0


class Screened(PointSampler):
    """Random search among the designs that the estimates call feasible."""

    def __init__(self, space: Space, seed: int, estimate: Any) -> None:
        super().__init__(space, seed)
        self._inner, self._estimate = RandomPoints(space, seed), estimate
        self._rejected: list[tuple[int, ...]] = []

    def propose(self) -> Sequence[int]:
        for _ in range(200):
            try:
                codes = self._inner.ask()
            except SpaceExhausted:
                break
            found = self._estimate([self.space.decode(codes)])
            if all(column[0] <= 0.0 for column in found.constraints.values()):
                return codes
            self._rejected.append(codes)
        return self._rejected.pop()


def search(task: Task, sampler: PointSampler, budget: int) -> tuple[list[tuple[int, tuple[float, ...]]], float]:
    """Feasible values with the number of their trial, and CPU seconds of the sampler per trial."""
    study = optuna.create_study(directions=["minimize"] * task.front.shape[1], sampler=sampler) \
        if isinstance(sampler, OptunaPoints) else None
    dists = distributions(task.space)
    flying: deque[list[tuple[int, Any, tuple[int, ...], Told]]] = deque()
    found: list[tuple[int, tuple[float, ...]]] = []
    spent, asked = 0.0, 0
    while asked < budget or flying:
        if len(flying) == AHEAD or asked >= budget:
            batch = flying.popleft()
            start = time.process_time()
            for number, trial, codes, (values, violations) in batch:
                vector = values or (HUGE,) * task.front.shape[1]
                if trial is None:
                    sampler.learn(codes, vector, violations)
                else:
                    for key, value in violations.items():
                        trial.set_constraint(key, value)
                    study.tell(trial, vector)
                if values is not None and max(violations.values()) <= 0.0:
                    found.append((number, values))
            spent += time.process_time() - start
            continue
        start = time.process_time()
        points = []
        for _ in range(min(BATCH, budget - asked)):
            trial = study.ask() if study else None
            codes = task.space.encode(suggest(trial, task.space, dists)) if trial else sampler.ask()
            points.append((asked, trial, codes))
            asked += 1
        spent += time.process_time() - start
        flying.append([(*point, task.told(point[2])) for point in points])
    return found, spent / budget


def pymoo_search(task: Task, seed: int, budget: int) -> tuple[list[tuple[int, tuple[float, ...]]], float]:
    """pymoo's NSGA-II on the codes: integer SBX and polynomial mutation, without duplicates, population 50."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    sizes = np.array([int(domain.n) for domain in task.space.domains.values()])
    probe = task.told(task.space.spread_codes(np.zeros(len(sizes))))
    names = sorted(probe[1])
    problem = Problem(n_var=len(sizes), n_obj=task.front.shape[1], n_ieq_constr=len(names), xl=0, xu=sizes - 1,
                      vtype=int)
    algorithm = NSGA2(pop_size=50, sampling=IntegerRandomSampling(), eliminate_duplicates=True,
                      crossover=SBX(vtype=float, repair=RoundingRepair()),
                      mutation=PM(vtype=float, repair=RoundingRepair()))
    algorithm.setup(problem, seed=seed, termination=("n_eval", budget + 50), verbose=False)
    found, number, begin = [], 0, time.process_time()
    while number < budget:
        population = algorithm.ask()
        told = [task.told(task.space.repair_codes(row)) for row in population.get("X").astype(int).tolist()]
        for values, violations in told:
            if values is not None and max(violations.values()) <= 0.0:
                found.append((number, values))
            number += 1
        population.set("F", np.array([values or (HUGE,) * task.front.shape[1] for values, _ in told]))
        population.set("G", np.array([[violations.get(name, 0.0) for name in names] for _, violations in told]))
        algorithm.tell(infills=population)
    return found, (time.process_time() - begin) / number


def searches(task: Task) -> dict[str, Callable[[int, int], tuple[list[tuple[int, tuple[float, ...]]], float]]]:
    """Name -> search(seed, budget)."""
    def ours(name: str) -> Callable[[int, int], Any]:
        return lambda seed, budget: search(
            task, make_sampler(name, task.space, seed=seed, estimate=task.estimate), budget)

    def optunas(name: str) -> Callable[[int, int], Any]:
        return lambda seed, budget: search(
            task, OptunaPoints(task.space, seed, getattr(optuna.samplers, name)(seed=seed)), budget)

    found = {name: ours(name) for name, spec in SAMPLERS.items()
             if name not in ("auto", "exhaustive") and (task.estimate is not None or not spec.needs_estimate)}
    if task.estimate is not None:
        found["screened"] = lambda seed, budget: search(task, Screened(task.space, seed, task.estimate), budget)
    found["tpe-default"] = optunas("TPESampler")
    if importlib.util.find_spec("pymoo"):
        found["pymoo"] = lambda seed, budget: pymoo_search(task, seed, budget)
    if importlib.util.find_spec("torch"):
        found["gp"] = optunas("GPSampler")
    return found


def row(task: Task, run: Callable[[int, int], Any], seeds: int, budget: int) -> str:
    """A line of the table."""
    whole, rng = task.volume(task.front), np.random.default_rng(0)
    marks = [at for at in CHECKPOINTS if at <= budget]
    fine = sorted({*marks, *range(25, min(budget, 500) + 1, 25), *range(600, budget + 1, 100)})
    curves, costs = [], []
    for seed in range(seeds):
        found, cost = run(seed, budget)
        curves.append([task.volume(np.log10(np.array([v for n, v in found if n < at]).reshape(-1, task.front.shape[1])))
                       / whole for at in fine])
        costs.append(cost)
    curve = np.array(curves)
    cells = []
    for at in marks:
        column = curve[:, fine.index(at)]
        medians = np.median(column[rng.integers(seeds, size=(2000, seeds))], axis=1)
        low, high = np.percentile(medians, (2.5, 97.5))
        cells.append(f"{np.median(column):.4f} [{low:.3f} {high:.3f}]")
    first = [next((at for at, value in zip(fine, line, strict=True) if value >= 0.99), np.inf) for line in curve]
    to = float(np.median(first))
    return " | ".join([*cells, *[" " * 20] * (len(CHECKPOINTS) - len(cells)),
                       f"{to:6.0f}" if np.isfinite(to) else "     -", f"{1e3 * np.median(costs):7.2f}"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spaces", nargs="*", default=[*GRIDS, *TOYS])
    parser.add_argument("--samplers", nargs="*")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=5000)
    parser.add_argument("--quick", action="store_true", help="the smallest space, three seeds, 200 evaluations")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "npu_codesign_bench")
    args = parser.parse_args()
    if args.quick:
        args.spaces, args.seeds, args.budget = ["small_edge"], 3, 200
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name, package in (("pymoo", "pymoo"), ("gp", "torch")):
        if not importlib.util.find_spec(package):
            sys.stdout.write(f"{name} is left out: {package} is not installed\n")
    for name in args.spaces:
        task = Task(name, args.cache)
        sys.stdout.write(f"\n{name}: {task.space.size():,} designs, front {len(task.front)}, {args.seeds} seeds\n"
                         f"{'':12}" + " | ".join(f"{at:<20}" for at in CHECKPOINTS) + " | to 99% | ms\n")
        for sampler, run in searches(task).items():
            if not args.samplers or sampler in args.samplers:
                line = row(task, run, args.seeds, min(args.budget, LIMITS.get(sampler, args.budget)))
                sys.stdout.write(f"{sampler:12}{line}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
