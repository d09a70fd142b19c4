"""What a search costs besides its evaluations, and how many evaluations there are to be had.

    python tests/benchmarks/bench_driver.py [overhead busy evaluations scaling shared] [--trials 10000] [--workers 2]

overhead      CPU of the driver per trial with the journal on disk, for some samplers, against a bare Optuna study in
              memory with its random sampler (ask, suggest, set_constraint, tell). `guided` runs studies of the
              repository, estimates with noise taken for results; the others a toy
busy          share of the time that Ray workers evaluate, at 5 ms per evaluation, and trials per second
evaluations   full evaluations per second of CPU: three CNN tenants, 1,000 requests, random designs of one engine
scaling       trials per second on 1 to `--nodes` simulated nodes of 8 CPUs each: evaluations sleep, so that two cores
              play many. Counted from when every worker has answered, for `--steady` seconds; and the most that one
              driver can do by the CPU that it spends per trial
shared        CPU of a driver per trial when one, and when two of them work on one study in a PostgreSQL database, each
              with one worker in its own process; evaluations sleep

Times of the driver and of evaluations are CPU times: they hold on a loaded machine; trials per second do not.
"""

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `dse run`
sys.path.insert(0, str(Path(__file__).parent))
import bench_samplers
import numpy as np
from bench_samplers import noise, toy, toy_space

from dse import driver, load_study
from dse.driver import Interrupted, run_study
from dse.estimate import estimate_of
from dse.objective import minimised
from dse.study import Objective, Study
from hwmodels.evaluate import evaluate
from hwmodels.network import Layer, Network
from hwmodels.networks import network
from hwmodels.outcome import Outcome
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload
from spaces.designs import decode_design, design_space

STUDIES = Path(__file__).parents[2] / "studies"
WORKLOAD = Workload(name="toy", tenants=(
    Tenant(name="eye", network=Network(name="one", layers=(Layer(name="l", op="gemm", oy=8, k=8, c=8),)),
           traffic=Traffic(rate_hz=10.0)),))


class Evaluate:
    """The toy as an outcome, made longer by computing or by sleeping; counts its own CPU time in this process."""

    cpu_s = 0.0

    def __init__(self, compute_s: float = 0.0, sleep_s: float = 0.0, presence: str = "") -> None:
        self.compute_s, self.sleep_s = compute_s, sleep_s
        self.presence = presence  # folder with a file per worker that has answered

    def __call__(self, params):
        start = time.process_time()
        (latency, energy, area), _ = toy(params)
        while time.process_time() < start + self.compute_s:
            pass
        if self.sleep_s:
            time.sleep(self.sleep_s)
        if self.presence:
            Path(self.presence, str(os.getpid())).touch()
        Evaluate.cpu_s += time.process_time() - start
        return Outcome(status="ok", metrics={"area_mm2": area, "p99_latency_s": latency, "energy_j": energy,
                                             "power_w": energy / latency})


class Estimated:
    """Estimates of a study with noise in place of its evaluations: what the driver costs does not depend on them."""

    def __init__(self, study: Study) -> None:
        self.study, self.estimate = study, estimate_of(study)

    def __call__(self, params):
        start = time.process_time()
        found = self.estimate([params])
        values = {o.metric: float(v) * (1.0 if o.minimise else -1.0)
                  for o, v in zip(self.study.objectives, found.values[0], strict=True)}
        for metric, bound in self.study.budgets.items():
            excess = float(found.constraints[metric][0]) * (abs(bound) or 1.0)
            values.setdefault(metric, bound + excess if minimised(metric) else bound - excess)
        good = all(map(np.isfinite, values.values()))
        noisy = {metric: value * noise(params, 0.1, metric) for metric, value in values.items()} if good else {}
        Evaluate.cpu_s += time.process_time() - start
        return Outcome(status="ok" if good else "overloaded", metrics=noisy)


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


class Steady(Watch):
    """Looks from when all workers have answered, and then ends the run."""

    def __init__(self, presence: Path, workers: int, steady_s: float, patience_s: float) -> None:
        super().__init__()
        self.presence, self.workers, self.steady_s = presence, workers, steady_s
        self.patience = time.monotonic() + patience_s
        self.up = 0
        self.began: tuple[float, float, int] | None = None
        self.trials, self.wall_s, self.cpu_s = 0, 0.0, 0.0

    def update(self, snapshot) -> None:
        wall, cpu = time.monotonic(), time.process_time()
        self.up = len(list(self.presence.iterdir()))
        if self.began is None:
            if self.up >= self.workers:
                self.began = wall, cpu, snapshot.done
            elif wall > self.patience:
                raise KeyboardInterrupt
        elif wall > self.began[0] + self.steady_s:
            self.trials = snapshot.done - self.began[2]
            self.wall_s, self.cpu_s = wall - self.began[0], cpu - self.began[1]
            raise KeyboardInterrupt


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
    cases = [(sampler, study) for sampler in args.samplers
             for study in (args.studies if sampler == "guided" else ["toy"])]
    for sampler, name in cases:
        base = optuna_ms()
        if name != "toy":
            run_estimated(name, 20)  # compiles
        Evaluate.cpu_s, start = 0.0, time.process_time()
        if name == "toy":
            run(sampler, args.trials, 1, Evaluate())
        else:
            run_estimated(name, args.trials)
        own = 1e3 * (time.process_time() - start - Evaluate.cpu_s) / args.trials
        say(f"overhead     {sampler:8} {name}, {args.trials:,} trials: driver {own:.3f} ms CPU per trial, "
            f"{own / base:.2f} x a bare Optuna random trial in memory ({base:.3f} ms)")


def run_estimated(name: str, trials: int) -> None:
    study = replace(load_study(STUDIES / f"{name}.yaml"), trials=trials, sampler="guided")
    evaluator = driver.evaluator
    driver.evaluator = Estimated
    try:
        with tempfile.TemporaryDirectory() as folder:
            run_study(study, Path(folder) / "run", workers=1)
    finally:
        driver.evaluator = evaluator


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
    from faults import RayDown, patiently

    memory = 100 * 1024**2
    cluster = None
    try:
        cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args={
            "num_cpus": 0, "object_store_memory": memory}), ray.shutdown)
        patiently(lambda: ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR"), ray.shutdown)
        for module in (sys.modules["__main__"], bench_samplers):
            ray.cloudpickle.register_pickle_by_value(module)
        for nodes in range(1, args.nodes + 1):
            patiently(lambda: cluster.add_node(num_cpus=8, object_store_memory=memory), lambda: None)
            scale_to(8 * nodes, 1e-3 * args.sleep_ms, args)
    except RayDown as error:
        say(f"scaling      not measured: {str(error).splitlines()[0]}")
    finally:
        ray.shutdown()
        if cluster is not None:
            cluster.shutdown()


def scale_to(workers: int, sleep_s: float, args) -> None:
    """One line of `scaling`."""
    with tempfile.TemporaryDirectory() as presence:
        watch = Steady(Path(presence), workers, args.steady, 30.0 + 15.0 * workers)
        with contextlib.suppress(Interrupted):
            run(args.scaling_sampler, 500_000, workers, Evaluate(sleep_s=sleep_s, presence=presence), watch,
                in_flight=4 * workers)
    if not watch.trials:
        say(f"scaling      {workers} workers: only {watch.up} came up in time: not measured")
        return
    rate, own = watch.trials / watch.wall_s, watch.cpu_s / watch.trials
    say(f"scaling      {workers // 8} nodes, {workers} workers, {1e3 * sleep_s:.0f} ms each: {rate:.0f} trials/s, "
        f"{rate * sleep_s / workers:.0%} of ideal; driver {1e3 * own:.2f} ms CPU per trial with "
        f"{args.scaling_sampler}: at most {1.0 / own:,.0f} trials/s")


def shared(args) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "dse"))
    import postgres

    if why := postgres.missing():
        say(f"shared       not measured: {why}")
        return
    context = multiprocessing.get_context("spawn")
    each_s = 1e-3 * args.shared_sleep_ms
    with tempfile.TemporaryDirectory() as folder, postgres.temporary_server() as server:
        for drivers in (1, 2):
            url = server.create(f"drivers{drivers}")
            with context.Pool(drivers) as pool:
                found = pool.starmap(drive, [(args.scaling_sampler, args.shared_trials, each_s, url,
                                              str(Path(folder) / f"{drivers}_{i}")) for i in range(drivers)])
            rate = args.shared_trials / max(wall_s for wall_s, _ in found)
            own = max(cpu_s for _, cpu_s in found) / args.shared_trials
            say(f"shared       {drivers} driver{'s' * (drivers > 1)}, {args.shared_sleep_ms:.0f} ms each: {rate:.0f} "
                f"trials/s, {rate * each_s / drivers:.0%} of ideal; {1e3 * own:.2f} ms CPU per trial in each driver: "
                f"at most {1.0 / own:,.0f} trials/s")


def drive(sampler: str, trials: int, sleep_s: float, storage: str, out: str) -> tuple[float, float]:
    """Wall and CPU seconds of a driver that shares a study with others."""
    wall, cpu = time.monotonic(), time.process_time()
    run_study(study_of(sampler, trials, 32), Path(out), workers=1, evaluate=Evaluate(sleep_s=sleep_s), storage=storage)
    return time.monotonic() - wall, time.process_time() - cpu


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parts = {"overhead": overhead, "busy": busy, "evaluations": evaluations, "scaling": scaling,
             "shared": shared}
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*parts, []], default=list(parts))
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--samplers", nargs="*", default=["guided", "archive", "random"])
    parser.add_argument("--studies", nargs="*", default=["front_small_edge"], help="of `guided`")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--busy-trials", type=int, default=3000)
    parser.add_argument("--designs", type=int, default=60)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--sleep-ms", type=float, default=200.0, help="of an evaluation in `scaling`")
    parser.add_argument("--steady", type=float, default=15.0, help="seconds that `scaling` looks for")
    parser.add_argument("--scaling-sampler", default="random")
    parser.add_argument("--shared-trials", type=int, default=2000)
    parser.add_argument("--shared-sleep-ms", type=float, default=10.0, help="of an evaluation in `shared`")
    args = parser.parse_args()
    for part in args.parts:
        parts[part](args)


if __name__ == "__main__":
    main()
