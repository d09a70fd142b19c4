"""What a search costs besides its evaluations, and how many evaluations there are to be had.

    python tests/benchmarks/bench_driver.py [overhead busy evaluations scaling] [--trials 10000] [--workers 2]

overhead      CPU of the driver per trial with the journal on disk, for some samplers, against a bare Optuna study in
              memory with its random sampler (ask, suggest, set_constraint, tell)
busy          share of the time that Ray workers evaluate, at 5 ms per evaluation, and trials per second
evaluations   full evaluations per second of CPU: three CNN tenants, 1,000 requests, random designs of one engine
scaling       trials per second on 1 to 4 simulated nodes of 8 CPUs each (evaluations of 50 ms that sleep), and the most
              that one driver can do (evaluations that take no time)

Times of the driver and of evaluations are CPU times: they hold on a loaded machine; `busy` and `scaling` do not.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `dse run`
sys.path.insert(0, str(Path(__file__).parent))
import bench_samplers
import numpy as np
from bench_samplers import toy, toy_space

from dse.driver import run_study
from dse.study import Objective, Study
from hwmodels.evaluate import evaluate
from hwmodels.network import Layer, Network
from hwmodels.networks import network
from hwmodels.outcome import Outcome
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload
from spaces.designs import decode_design, design_space

WORKLOAD = Workload(name="toy", tenants=(
    Tenant(name="eye", network=Network(name="one", layers=(Layer(name="l", op="gemm", oy=8, k=8, c=8),)),
           traffic=Traffic(rate_hz=10.0)),))


class Evaluate:
    """The toy as an outcome, made longer by computing or by sleeping; counts its own CPU time in this process."""

    cpu_s = 0.0

    def __init__(self, compute_s: float = 0.0, sleep_s: float = 0.0) -> None:
        self.compute_s, self.sleep_s = compute_s, sleep_s

    def __call__(self, params):
        start = time.process_time()
        (latency, energy, area), _ = toy(params)
        while time.process_time() < start + self.compute_s:
            pass
        if self.sleep_s:
            time.sleep(self.sleep_s)
        Evaluate.cpu_s += time.process_time() - start
        return Outcome(status="ok", metrics={"area_mm2": area, "p99_latency_s": latency, "energy_j": energy,
                                             "power_w": energy / latency})


class Watch:
    """A progress that keeps the snapshots with their times."""

    every_s = 0.2

    def __init__(self):
        self.seen = []

    def start(self, title):
        pass

    def update(self, snapshot):
        self.seen.append((time.perf_counter(), snapshot))

    def stop(self):
        pass

    def rate_per_s(self, after: float = 0.1) -> float:
        """Trials per second after a share of them, that is without the start of the workers."""
        steady = [(at, s.done) for at, s in self.seen if s.done >= after * s.total]
        return (steady[-1][1] - steady[0][1]) / (steady[-1][0] - steady[0][0]) if len(steady) > 1 else float("nan")


def study_of(sampler: str, trials: int, in_flight: int) -> Study:
    names = ("p99_latency_s", "energy_j", "area_mm2")
    # the fidelity does not matter, `evaluate` is given; with this one no event loops are loaded first
    return Study(name="bench", workload=WORKLOAD, space=toy_space(), trials=trials, sampler=sampler, seed=1,
                 in_flight=in_flight, fidelity="analytic",
                 objectives=tuple(Objective(metric=name, minimise=True) for name in names),
                 budgets={"area_mm2": 20.0, "power_w": 0.6}, source="kind: study\n")


def run(sampler: str, trials: int, workers: int, evaluate: Evaluate, watch: Watch | None = None, *,
        in_flight: int = 32):
    with tempfile.TemporaryDirectory() as folder:
        return run_study(study_of(sampler, trials, in_flight), Path(folder) / "run", workers=workers, evaluate=evaluate,
                         progress=watch)


def optuna_ms(trials: int = 1000) -> float:
    """CPU ms per trial of the baseline."""
    import optuna

    from dse.points import distributions, suggest

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, space = optuna.create_study(directions=["minimize"] * 3, sampler=optuna.samplers.RandomSampler(seed=1)), \
        toy_space()
    dists, cpu = distributions(space), 0.0
    for _ in range(trials):
        start = time.process_time()
        trial = study.ask()
        params = suggest(trial, space, dists)
        cpu += time.process_time() - start
        values, constraints = toy(params)
        start = time.process_time()
        for name, value in zip("ab", constraints, strict=True):
            trial.set_constraint(name, value)
        study.tell(trial, values)
        cpu += time.process_time() - start
    return 1e3 * cpu / trials


def overhead(args) -> None:
    for sampler in args.samplers:
        base = optuna_ms()
        Evaluate.cpu_s, start = 0.0, time.process_time()
        run(sampler, args.trials, 1, Evaluate())
        own = 1e3 * (time.process_time() - start - Evaluate.cpu_s) / args.trials
        say(f"overhead     {sampler:8} {args.trials:,} trials: driver {own:.3f} ms CPU per trial, {own / base:.2f} x a "
            f"bare Optuna random trial in memory ({base:.3f} ms)")


def busy(args) -> None:
    watch, each_s = Watch(), 5e-3
    result = run("random", args.busy_trials, args.workers, Evaluate(compute_s=each_s), watch)
    mean_s = float(np.mean([r.duration_s for r in result.results[args.busy_trials // 10:]]))
    rate = watch.rate_per_s()
    say(f"busy         {args.workers} workers, 5 ms of computing per evaluation (took {1e3 * mean_s:.1f} ms): "
        f"{rate:.0f} trials/s, workers busy {rate * mean_s / args.workers:.0%}")


def three_cnns() -> Workload:
    return Workload(name="three", duration_s=1.0, tenants=tuple(
        Tenant(name=name, network=network(name), traffic=Traffic(kind="poisson", rate_hz=rate),
               service=ServiceLevel(deadline_s=0.1))
        for name, rate in (("resnet18", 200.0), ("mobilenet_v2", 300.0), ("res8", 500.0))))


def evaluations(args) -> None:
    workload, seeds = three_cnns(), 5
    space = design_space(workload, architectures=["time_mux"], policies=["fcfs", "edf", "sjf"],
                         domains={"rows": [64, 128], "cols": [64, 128]})
    rng = np.random.default_rng(1)
    points = [space.sample(rng) for _ in range(args.designs)]
    designs = [decode_design(point, workload) for point in points]
    for name in ("fcfs", "edf", "sjf"):  # compiles
        evaluate(decode_design({**points[0], "policy": name, "sram_bytes": 3 * 2**18}, workload), workload)
    fresh, again = [], []
    for design in designs:
        for seed in range(seeds):
            start = time.process_time()
            outcome = evaluate(design, workload, seed=seed)
            (again if seed else fresh).append((time.process_time() - start, outcome.ok))
    good = sum(ok for _, ok in fresh)
    for what, found in (("new hardware", fresh), ("known hardware, another seed", again)):
        ms = 1e3 * np.array([seconds for seconds, ok in found if ok])
        say(f"evaluations  {what}: {1e3 / ms.mean():.0f} per second and core (median {np.median(ms):.1f} ms, "
            f"p90 {np.percentile(ms, 90):.1f} ms; {good} of {len(designs)} random designs can run)")


def scaling(args) -> None:
    import ray
    from ray.cluster_utils import Cluster

    sys.path.insert(0, str(Path(__file__).parents[1] / "dse"))
    from faults import patiently

    watch = Watch()
    start = time.process_time()
    Evaluate.cpu_s = 0.0
    run("random", args.trials, 1, Evaluate(), watch)
    own = (time.process_time() - start - Evaluate.cpu_s) / args.trials
    say(f"scaling      one driver: at most {1.0 / own:,.0f} trials/s of CPU with random designs, and "
        "search.in_flight evaluations under way")
    memory = 100 * 1024**2
    cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args={
        "num_cpus": 1, "object_store_memory": memory}), ray.shutdown)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        for module in (sys.modules["__main__"], bench_samplers):
            ray.cloudpickle.register_pickle_by_value(module)
        for nodes in range(1, args.nodes + 1):
            patiently(lambda: cluster.add_node(num_cpus=8, object_store_memory=memory), lambda: None)
            workers = 8 * nodes
            watch = Watch()
            run("random", 120 * workers, workers, Evaluate(sleep_s=0.05), watch, in_flight=4 * workers)
            rate = watch.rate_per_s(after=0.6)  # on few cores workers take long to start
            say(f"scaling      {nodes} nodes, {workers} workers, 50 ms each: {rate:.0f} trials/s, "
                f"{rate * 0.05 / workers:.0%} of ideal")
    finally:
        ray.shutdown()
        cluster.shutdown()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parts = {"overhead": overhead, "busy": busy, "evaluations": evaluations, "scaling": scaling}
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*parts, []], default=list(parts))
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--samplers", nargs="*", default=["archive", "random"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--busy-trials", type=int, default=3000)
    parser.add_argument("--designs", type=int, default=60)
    parser.add_argument("--nodes", type=int, default=2)
    args = parser.parse_args()
    for part in args.parts:
        parts[part](args)


if __name__ == "__main__":
    main()
