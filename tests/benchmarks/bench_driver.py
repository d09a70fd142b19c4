"""What the driver itself costs per trial: everything but the evaluation, with the default sampler and the journal.

    python tests/benchmarks/bench_driver.py [--trials 1000 10000] [--samplers archive random nsga2] [--eval-ms 0 5]

Prints CPU milliseconds of the driver per trial and, with Ray, the share of time the workers were busy.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from bench_samplers import toy, toy_space

from dse.driver import run_study
from dse.study import Objective, Study
from hwmodels.network import Layer, Network
from hwmodels.outcome import Outcome
from hwmodels.workload import Tenant, Traffic, Workload

WORKLOAD = Workload(name="toy", tenants=(
    Tenant(name="eye", network=Network(name="one", layers=(Layer(name="l", op="gemm", oy=8, k=8, c=8),)),
           traffic=Traffic(rate_hz=10.0)),))


class Evaluate:
    """The toy as an outcome, made `sleep_s` long by computing."""

    def __init__(self, sleep_s: float = 0.0) -> None:
        self.sleep_s = sleep_s

    def __call__(self, params):
        end = time.process_time() + self.sleep_s
        (latency, energy, area), _ = toy(params)
        while time.process_time() < end:
            pass
        return Outcome(status="ok", metrics={"area_mm2": area, "p99_latency_s": latency, "energy_j": energy,
                                             "power_w": energy / latency})


def study_of(sampler: str, trials: int) -> Study:
    names = ("p99_latency_s", "energy_j", "area_mm2")
    return Study(name="bench", workload=WORKLOAD, space=toy_space(), trials=trials, sampler=sampler, seed=1,
                 objectives=tuple(Objective(metric=name, minimise=True) for name in names),
                 budgets={"area_mm2": 20.0, "power_w": 0.6}, source="kind: study\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", nargs="*", type=int, default=[1000, 10000])
    parser.add_argument("--samplers", nargs="*", default=["archive", "random", "nsga2"])
    parser.add_argument("--eval-ms", nargs="*", type=float, default=[0.0])
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    for sampler in args.samplers:
        for trials in args.trials:
            for eval_ms in args.eval_ms:
                with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
                    cpu, wall = time.process_time(), time.perf_counter()
                    result = run_study(study_of(sampler, trials), Path(folder) / "run", workers=args.workers,
                                       evaluate=Evaluate(eval_ms / 1e3))
                    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
                busy = sum(r.duration_s for r in result.results)
                own = cpu - busy if args.workers == 1 else cpu
                sys.stdout.write(f"{sampler:8} {trials:6} trials, {eval_ms:g} ms each, {args.workers} workers: driver "
                                 f"{1e3 * own / trials:.3f} ms CPU/trial, {trials / wall:,.0f} trials/s, workers busy "
                                 f"{busy / wall / args.workers:.0%}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
