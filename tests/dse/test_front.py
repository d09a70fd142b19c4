"""The exact front against brute force; its certificate, resumption and limits."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dse.certificate import check_run
from dse.driver import run_study
from dse.errors import InputError
from dse.front import FrontRun, exact_front
from dse.front_blocks import Blocks
from dse.front_worker import BlockEvaluator, Experience
from dse.objective import judge
from dse.study import Objective, Study
from dse.workers import RayPool
from hwmodels.network import Layer, Network
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload
from spaces.designs import design_space


def network(name: str, layers: int, width: int) -> Network:
    stack = [Layer(name=f"conv{i}", op="conv", oy=14, ox=14, k=width, c=width, fy=3, fx=3, pad_y=2, pad_x=2,
                   vector_ops=14 * 14 * width) for i in range(layers)]
    return Network(name=name, layers=(*stack, Layer(name="fc", op="gemm", k=100, c=width)))


WORKLOAD = Workload(name="w", duration_s=0.2, tenants=(
    Tenant(name="camera", network=network("big", 4, 64), traffic=Traffic(rate_hz=100, jitter_frac=0.1)),
    Tenant(name="voice", network=network("small", 2, 24), traffic=Traffic(kind="poisson", rate_hz=200),
           service=ServiceLevel(deadline_s=0.005)),
    Tenant(name="follow", network=network("small", 2, 24), after="camera", probability=0.5,
           service=ServiceLevel(drop_late=True)),
))
DOMAINS: dict[str, Any] = {
    "freq_hz": [0.5e9], "dram_bytes_per_s": [1e9, 4e9], "rows": [8, 32], "cols": [16], "dataflow": ["ws", "os"],
    "sram_bytes": [32768, 524288], "vector_lanes": [32], "subarrays": [4], "engines": [2], "total_pes": [256, 1024],
    "share_exponent": [0.5, 1.0], "side0": [16], "side1": [8, 32], "dataflow0": ["ws"], "dataflow1": ["os"],
    "sram_bytes0": [32768], "sram_bytes1": [32768, 524288], "prema.quantum_s": [0.0, 0.001],
}
DEDICATED = {name: DOMAINS[name] for name in ("dram_bytes_per_s", "dataflow", "sram_bytes", "total_pes")} | {
    "architecture": ["dedicated"], "freq_hz": [0.5e9], "vector_lanes": [32]}


def study(objectives: tuple[str, ...] = ("area_mm2", "p99_deadline_frac", "energy_per_inference_j"),
          budgets: dict[str, float] | None = None, policies: tuple[str, ...] = ("fcfs", "edf", "prema"),
          domains: dict[str, Any] | None = None, workload: Workload = WORKLOAD) -> Study:
    unfit = [{"architecture": "time_mux", "policy": "prema", "rows": 32}]
    return Study(
        name="small", workload=workload, trials=100_000, sampler="exhaustive",
        objectives=tuple(Objective(metric=name.lstrip("-"), minimise=not name.startswith("-")) for name in objectives),
        budgets={"p99_deadline_frac": 1.0, "area_mm2": 1.2} if budgets is None else budgets,
        space=design_space(workload, policies=policies, domains=DOMAINS if domains is None else domains,
                           forbidden=unfit if domains is None else ()))


def vectors(run: Any) -> list[tuple[float, ...]]:
    found = [judge(run.study, run.result(number)).values for number in run.front]
    return sorted(values for values in found if values is not None)


RELATIVE = replace(WORKLOAD, tenants=tuple(
    replace(tenant, service=ServiceLevel(deadline_x_isolated=multiple, percentile=95.0))
    for tenant, multiple in zip(WORKLOAD.tenants, (3.0, 8.0, 20.0), strict=True)))

STUDIES = {
    "relative deadlines": study(("area_mm2", "p99_deadline_frac", "slo_miss_frac"), {"slo_violation_frac": 0.5},
                                workload=RELATIVE),
    "usual": study(),
    "no budgets": study(budgets={}),
    "policies that overlap layers": study(policies=("edf", "layerweaver", "ai_mt"), domains={
        **{name: DOMAINS[name] for name in ("dram_bytes_per_s", "rows", "dataflow", "sram_bytes")},
        "architecture": ["time_mux"], "freq_hz": [0.5e9], "cols": [16], "vector_lanes": [32], "ai_mt.evict": [0, 1]}),
    "engines in any order": study(policies=("fcfs", "edf"), domains={
        **{name: DOMAINS[name] for name in ("freq_hz", "dram_bytes_per_s", "vector_lanes", "engines")},
        "architecture": ["heterogeneous"], "side0": [16, 32], "side1": [8, 32, 16], "dataflow0": ["ws", "os"],
        "dataflow1": ["os", "ws"], "sram_bytes0": [32768], "sram_bytes1": [32768, 65536]}),
    "two objectives": study(("area_mm2", "mean_latency_s"), {"slo_violation_frac": 0.05}),
    "of one tenant": study(("voice.p99_latency_s", "energy_j"), {"camera.p99_deadline_frac": 0.9}),
    "without bounds": study(("-throughput_per_s", "area_mm2"), {"power_w": 1.0}),
    "one objective": study(("energy_per_inference_j",), {"slo_miss_frac": 0.5}),
    "larger area": study(("-area_mm2", "p99_deadline_frac"), {"area_mm2": 1.0}),
    "nobody arrives": study(("slo_violation_frac",), {}, workload=Workload(name="w", duration_s=1e-6, tenants=(
        Tenant(name="voice", network=network("small", 2, 24), traffic=Traffic(kind="poisson", rate_hz=1.0)),))),
}


@pytest.mark.parametrize("name", STUDIES)
def test_exact_front_is_that_of_brute_force(name: str, tmp_path: Path) -> None:
    wanted = STUDIES[name]
    brute = run_study(wanted, tmp_path / "brute", workers=1)
    run = exact_front(wanted, tmp_path / "front", workers=1)
    assert run.exact
    assert run.size == brute.n_trials == wanted.space.size()
    assert vectors(run) == vectors(brute)
    assert sum(run.counts.values()) == run.size
    assert run.counts["simulated"] == len(run.results)
    check = check_run(tmp_path / "front", everything=True)
    assert check.problems == []
    assert check.exact
    if name == "usual":
        assert run.counts["simulated"] < 0.8 * run.size
        assert run.counts["budget_1"] > 0
        assert run.counts["dominated_1"] > 0
        assert run.counts["dominated_3"] > 0
        assert len(run.cuts) == run.counts["budget_3"] + run.counts["dominated_3"]


def test_designs_equal_on_the_front_are_all_simulated(tmp_path: Path) -> None:
    """Dedicated engines serve one tenant each: policies without preemption of their own give equal results."""
    wanted = study(policies=("fcfs", "edf"), domains=DEDICATED)
    run = exact_front(wanted, tmp_path / "front", workers=1)
    best = set(vectors(run))
    equal = [number for number, result in zip(run.by_number, run.results, strict=True)
             if judge(wanted, result).values in best]
    assert run.ties == len(equal) - len(run.front) > 0
    everything = run_study(wanted, tmp_path / "brute", workers=1)
    assert sum(verdict.values in best for verdict in everything.verdicts) == len(equal)
    assert [n for n in run.front if n - 1 in run.by_number and vectors_equal(run, n, n - 1)] == []


def vectors_equal(run: FrontRun, one: int, other: int) -> bool:
    return judge(run.study, run.result(one)).values == judge(run.study, run.result(other)).values


def test_the_same_chip_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its engines in another order: only what is on the front is simulated for each of them."""
    wanted = STUDIES["engines in any order"]
    blocks = Blocks(wanted.space)
    same = blocks.same()
    twins = np.flatnonzero(same != np.arange(len(same)))
    assert 0 < len(twins) < len(same) / 2
    for b in twins.tolist():
        assert blocks.group(b).block == blocks.group(int(same[b])).block
    original, tasks = BlockEvaluator.__call__, []
    monkeypatch.setattr(BlockEvaluator, "__call__", lambda self, params: tasks.append(params) or original(self, params))
    run = exact_front(wanted, tmp_path / "run", workers=1)
    sent = [b for params in tasks if "block" in params for b in params["block"]["blocks"]]
    assert not set(sent) & set(twins.tolist())
    alone = [params for params in tasks if "block" not in params and "chunk" not in params]
    best, equal = set(vectors(run)), [r.params for r in run.results if judge(wanted, r).values in set(vectors(run))]
    assert alone
    assert all(params in equal for params in alone)
    assert run.ties == len(equal) - len(best) >= len(alone)
    tasks.clear()
    again = exact_front(wanted, tmp_path / "run", workers=1, resume=True)
    assert [params for params in tasks if "chunk" not in params] == []
    assert (again.front, again.ties, again.counts, again.cuts) == (run.front, run.ties, run.counts, run.cuts)


def test_workers_change_nothing(tmp_path: Path) -> None:
    one = exact_front(study(), tmp_path / "one", workers=1)
    two = exact_front(study(), tmp_path / "two", workers=2)
    assert one.front == two.front
    assert (tmp_path / "one" / "front.csv").read_text().count("\n") == len(one.front) + 1


def test_sigterm_is_ctrl_c_with_workers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = RayPool.submit

    def stopped(self: RayPool, tasks: Any) -> None:
        submit(self, tasks)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RayPool, "submit", stopped)
    assert exact_front(study(), tmp_path / "run", workers=2).interrupted
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["state"] == "interrupted"


def test_resumed_run_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = exact_front(study(), tmp_path / "whole", workers=1)
    answered = []
    original = BlockEvaluator.__call__

    def limited(self: BlockEvaluator, params: Any) -> Any:
        if len(answered) == 10:
            raise KeyboardInterrupt
        answered.append(params)
        return original(self, params)

    monkeypatch.setattr(BlockEvaluator, "__call__", limited)
    first = exact_front(study(), tmp_path / "run", workers=1)
    assert first.interrupted
    assert not first.exact
    assert len(answered) == 10
    assert first.counts["open"] > 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["state"] == "interrupted"
    assert check_run(tmp_path / "run", everything=True).problems == []
    monkeypatch.setattr(BlockEvaluator, "__call__", lambda self, params: answered.append(params) or
                        original(self, params))
    again = exact_front(study(), tmp_path / "run", workers=1, resume=True)
    assert again.exact
    assert again.front == whole.front
    tasks = [params["block"] for params in answered if "block" in params]  # the others ask for the first bounds
    assert len({json.dumps(task["hardware"]) for task in tasks}) == len(tasks)


def test_layers_are_costed_engine_by_engine_where_that_pays() -> None:
    experience = Experience()
    for _ in range(16):
        assert experience.pays(3)
        experience.tried(3, early=False)
    assert [experience.pays(3) for _ in range(32)].count(True) == 2  # now and then all the same
    assert experience.pays(2)  # other chips are another matter
    experience.tried(3, early=True)
    assert not experience.pays(3)  # one of 17
    experience.tried(3, early=True)
    assert experience.pays(3)


def test_resumed_run_takes_first_bounds_that_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, asked = exact_front(study(), tmp_path / "run", workers=1), []
    original = BlockEvaluator.__call__
    monkeypatch.setattr(BlockEvaluator, "__call__", lambda self, params: asked.append(params) or
                        original(self, params))
    assert exact_front(study(), tmp_path / "run", workers=1, resume=True).front == whole.front
    assert not asked
    monkeypatch.setattr("dse.front_kept._code", lambda: "of another day")
    assert exact_front(study(), tmp_path / "run", workers=1, resume=True).front == whole.front
    assert asked
    assert all("chunk" in params for params in asked)
    kept = tmp_path / "run" / "bounds.npz"
    again = kept.read_bytes()
    for damaged in (b"", again[:-100], again[:200]):
        asked.clear()
        kept.write_bytes(damaged)
        assert exact_front(study(), tmp_path / "run", workers=1, resume=True).front == whole.front
        assert asked
        assert kept.read_bytes() == again


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
from pathlib import Path
import test_front
original, answered = test_front.BlockEvaluator.__call__, []
def deadly(self, params):
    if len(answered) == {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    answered.append(params)
    return original(self, params)
test_front.BlockEvaluator.__call__ = deadly
test_front.exact_front(test_front.study(), Path({out!r}), workers=1, resume=True)
"""


@pytest.mark.slow
def test_killed_and_resumed_run_ends_alike(tmp_path: Path) -> None:
    """The same front to the byte. The certificate holds, with other proofs: they depend on the order of the search."""
    exact_front(study(), tmp_path / "whole", workers=1)
    out = tmp_path / "run"
    code = KILLED.format(here=str(Path(__file__).parent), after=9, out=str(out))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = (out / "journal.jsonl").read_bytes()
    assert kept.count(b"\n") > 1
    (out / "journal.jsonl").write_bytes(kept + kept.splitlines()[-1][:40])  # and a line half written
    assert exact_front(study(), out, workers=1, resume=True).exact
    assert (out / "journal.jsonl").read_bytes().startswith(kept)
    assert (out / "front.csv").read_bytes() == (tmp_path / "whole" / "front.csv").read_bytes()
    assert check_run(out, everything=True).problems == []


def test_out_of_time_bounds_what_is_missing(tmp_path: Path) -> None:
    whole = exact_front(study(), tmp_path / "whole", workers=1)
    run = exact_front(study(), tmp_path / "run", workers=1, budget_s=1e-6)
    assert not run.exact
    assert run.counts["open"] > 0
    assert run.gap == math.inf or run.hypervolume + run.gap >= whole.hypervolume
    assert check_run(tmp_path / "run").problems == []


def test_undecided_hypervolume_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound at an interruption is no less than what the rest of the search then adds."""
    original, answered = BlockEvaluator.__call__, []

    def limited(self: BlockEvaluator, params: Any) -> Any:
        if len(answered) == 6:
            raise KeyboardInterrupt
        answered.append(params)
        return original(self, params)

    wanted = study(budgets={"p99_deadline_frac": 1.0, "area_mm2": 1.2, "energy_per_inference_j": 1e-4})
    monkeypatch.setattr(BlockEvaluator, "__call__", limited)
    part = exact_front(wanted, tmp_path / "run", workers=1)
    monkeypatch.setattr(BlockEvaluator, "__call__", original)
    whole = exact_front(wanted, tmp_path / "run", workers=1, resume=True)
    assert part.reference == whole.reference  # all three have budgets
    assert 0.0 < whole.hypervolume - part.hypervolume <= part.gap
    assert part.gap_frac == part.gap / part.hypervolume
    assert whole.gap_frac == 0.0


def test_crashed_tasks_are_done_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = BlockEvaluator.__call__
    seen: list[int] = []

    def crashing(self: BlockEvaluator, params: Any) -> Any:
        seen.append("block" in params)
        if "block" in params and len(seen) % 3 == 0:
            raise RuntimeError("worker lost")
        return original(self, params)

    whole = exact_front(study(), tmp_path / "whole", workers=1)
    monkeypatch.setattr(BlockEvaluator, "__call__", crashing)
    run = exact_front(study(), tmp_path / "run", workers=1)
    assert sum(seen) < len(seen)
    assert run.exact
    assert run.front == whole.front
    monkeypatch.setattr(BlockEvaluator, "__call__", original)
    assert check_run(tmp_path / "run", everything=True).problems == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    exact_front(study(), folder, workers=1)
    return folder


def spoil(certificate: dict[str, Any], states: tuple[int, ...], name: str, value: Any) -> None:
    table = certificate["blocks"]
    row = next(i for i, state in enumerate(table["state"]) if state in states)
    table[name][row] = value(table[name][row]) if callable(value) else value


@pytest.mark.parametrize(("change", "message"), [
    (lambda c: spoil(c, (3, 5), "by", 10**9), "does not dominate"),
    (lambda c: spoil(c, (3,), "bound", lambda b: [0.0] * len(b)), "does not dominate its bound"),
    (lambda c: spoil(c, (1,), "state", 2) or spoil(c, (1,), "by", 0), "names no budget"),
    (lambda c: spoil(c, (1,), "state", 6), "cannot run"),
    (lambda c: spoil(c, (2,), "state", 1), "trial is missing"),
    (lambda c: spoil(c, (2,), "by", 0), "can be met"),
    (lambda c: c["parts"].update(by=[10**9] * len(c["parts"]["by"])), "does not dominate it"),
    (lambda c: c["parts"].update(broken=[1] * len(c["parts"]["by"])), "budget area_mm2 can be met"),
    (lambda c: c["parts"]["design"].pop(), "trial is missing"),
    (lambda c: c["front"].pop(), "another front"),
    (lambda c: c["counts"].update(dominated_1=0), "counts: "),
    (lambda c: c.update(ties=99), "ties: "),
    (lambda c: c.update(hypervolume=1.0), "hypervolume: "),
    (lambda c: c.update(study="0" * 16), "another study"),
    (lambda c: c["blocks"]["first"].pop(), "not the designs"),
])
def test_a_wrong_certificate_is_refused(finished: Path, tmp_path: Path, change: Any, message: str) -> None:
    for name in ("study.yaml", "trials.csv", "front.csv"):
        (tmp_path / name).write_text((finished / name).read_text())
    proof = json.loads((finished / "certificate.json").read_text())
    change(proof)
    (tmp_path / "certificate.json").write_text(json.dumps(proof))
    problems = check_run(tmp_path, everything=True).problems
    assert any(message in problem for problem in problems), problems


def test_a_changed_trial_is_refused(finished: Path, tmp_path: Path) -> None:
    for name in ("study.yaml", "trials.csv", "front.csv", "certificate.json"):
        (tmp_path / name).write_text((finished / name).read_text())
    lines = (tmp_path / "trials.csv").read_text().splitlines()
    head, row = lines[0].split(","), lines[1].split(",")
    at = head.index("energy_per_inference_j")
    row[at] = repr(float(row[at]) * 1.01)
    lines[1] = ",".join(row)
    (tmp_path / "trials.csv").write_text("\n".join(lines) + "\n")
    assert any("energy_per_inference_j" in problem for problem in check_run(tmp_path, everything=True).problems)


def test_blocks_cover_the_space_once() -> None:
    space = study().space
    blocks = Blocks(space)
    numbers = sorted(int(blocks.first[h]) + offset for b, h in enumerate(blocks.hardware)
                     for offset in blocks.group(b).offsets)
    assert numbers == list(range(int(space.size())))
    for number in np.random.default_rng(0).integers(int(space.size()), size=50).tolist():
        h = int(np.searchsorted(blocks.first, number, side="right")) - 1
        params = blocks.params(h) | blocks.tails(h)[number - int(blocks.first[h])]
        assert params == blocks.design(number)
        assert params in space


def test_impossible_studies_are_refused(tmp_path: Path) -> None:
    continuous = replace(study(), space=design_space(WORKLOAD, domains={"freq_hz": {"low": 1e8, "high": 1e9}}))
    with pytest.raises(InputError, match="enumerable"):
        exact_front(continuous, tmp_path / "run")
    with pytest.raises(InputError, match="simulate"):
        exact_front(replace(study(), fidelity="bound"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=r"certificate\.json"):
        check_run(tmp_path)


def test_nothing_feasible_is_proven(tmp_path: Path) -> None:
    run = exact_front(study(budgets={"area_mm2": 0.01}), tmp_path / "run", workers=1)
    assert run.exact
    assert run.front == ()
    assert run.results == ()
    assert check_run(tmp_path / "run", everything=True).problems == []
