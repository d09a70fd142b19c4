"""The front of a space too large to enumerate: against brute force, its gap, its certificate."""

import itertools
import json
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dse.anytime
from dse.anytime import anytime_front, too_large
from dse.box_tree import Boxes
from dse.boxes import BoxEvaluator
from dse.boxes_certificate import check_boxes
from dse.driver import run_study
from dse.front_run import epsilon_gap
from dse.objective import DesignEvaluator, judge
from dse.study import Objective, Study
from dse.workers import LocalPool
from hwmodels.network import Layer, Network
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload
from spaces.designs import design_space

NETWORK = Network(name="net", layers=(
    Layer(name="conv", op="conv", oy=14, ox=14, k=32, c=24, fy=3, fx=3, pad_y=2, pad_x=2, vector_ops=14 * 14 * 32),
    Layer(name="fc", op="gemm", k=100, c=32)))
WORKLOAD = Workload(name="w", duration_s=0.1, tenants=(
    Tenant(name="camera", network=NETWORK, traffic=Traffic(rate_hz=100, jitter_frac=0.1)),
    Tenant(name="voice", network=NETWORK, traffic=Traffic(kind="poisson", rate_hz=200),
           service=ServiceLevel(deadline_s=0.005))))
COARSE: dict[str, Any] = {
    "architecture": ["time_mux", "heterogeneous", "dedicated"], "freq_hz": [0.5e9], "dram_bytes_per_s": [1e9, 4e9],
    "rows": [8, 32], "cols": [16], "dataflow": ["ws", "os"], "sram_bytes": [32768, 524288], "vector_lanes": [32],
    "engines": [2], "total_pes": [256, 1024], "share_exponent": [0.5], "side0": [16], "side1": [8, 32],
    "dataflow0": ["ws"], "dataflow1": ["os"], "sram_bytes0": [32768], "sram_bytes1": [32768, 524288]}
FINE = COARSE | {"freq_hz": {"low": 2e8, "high": 8e8}, "dram_bytes_per_s": {"low": 1e9, "high": 8e9, "log": True},
                 "rows": {"low": 4, "high": 64}, "cols": {"low": 4, "high": 64},
                 "share_exponent": {"low": 0.2, "high": 1.0}}
BUDGETS = {"p99_deadline_frac": 1.0, "area_mm2": 1.2, "energy_per_inference_j": 1e-4}


def study(domains: dict[str, Any], objectives: tuple[str, ...] = tuple(BUDGETS), **changes: Any) -> Study:
    wanted = Study(name="small", workload=WORKLOAD, trials=100_000, sampler="random", budgets=BUDGETS,
                   objectives=tuple(Objective(metric=name, minimise=True) for name in objectives),
                   space=design_space(WORKLOAD, policies=("fcfs", "edf"), domains=domains))
    return replace(wanted, **changes)


def vectors(run: Any) -> list[tuple[float, ...]]:
    found = [judge(run.study, run.result(number)).values for number in run.front]
    return sorted(values for values in found if values is not None)


@pytest.mark.parametrize("objectives", [tuple(BUDGETS), ("area_mm2", "max_latency_s")])
def test_a_space_that_can_be_enumerated_is_decided(objectives: tuple[str, ...], tmp_path: Path) -> None:
    wanted = study(COARSE, objectives, trials=10)
    brute = run_study(replace(wanted, sampler="exhaustive", trials=100_000), tmp_path / "brute", workers=1)
    half = anytime_front(wanted, tmp_path / "run", workers=1, rounds=4)
    assert not half.exact
    run = anytime_front(wanted, tmp_path / "run", workers=1, resume=True)
    assert run.exact
    assert run.gap == 0.0
    assert run.decided_frac == 1.0
    assert sum(run.shares.values()) == pytest.approx(1.0)
    assert vectors(run) == vectors(brute)
    assert len(run.results) < wanted.space.size()
    if half.reference == run.reference:
        assert run.hypervolume - half.hypervolume <= half.gap
    check = check_boxes(tmp_path / "run", everything=True)
    assert check.problems == []
    assert check.exact


class Backwards:
    """A pool whose answers come in another order."""

    def __init__(self, pool: LocalPool) -> None:
        self.pool, self.workers = pool, 7

    def submit(self, tasks: list[Any]) -> None:
        self.pool.submit(tasks[::-1])

    def poll(self) -> list[Any]:
        return self.pool.poll()[::-1]

    def close(self) -> None:
        self.pool.close()


def test_continuous_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gap falls and holds; a resumed run, and one whose workers answer in another order, end alike."""
    wanted = study(FINE, trials=20)
    assert "continuous" in too_large(wanted.space)
    runs = [anytime_front(wanted, tmp_path / "run", workers=1, rounds=rounds, resume=rounds > 6) for rounds in (6, 11)]
    assert 0.0 < runs[1].gap < runs[0].gap < 1.0
    assert runs[0].hypervolume <= runs[1].hypervolume <= runs[0].hypervolume + runs[0].gap
    assert 0.0 < runs[0].decided_frac < runs[1].decided_frac < 1.0
    original = dse.anytime.pool_for
    monkeypatch.setattr(dse.anytime, "pool_for", lambda *args: Backwards(original(*args)))  # type: ignore[arg-type]
    anytime_front(wanted, tmp_path / "other", workers=1, rounds=11)
    for name in FILES:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    check = check_boxes(tmp_path / "run", sample=40)
    assert check.problems == []
    assert not check.exact
    assert check.drawn > 0
    for change, message in CHANGES:
        proof = json.loads((tmp_path / "other" / "certificate.json").read_text())
        change(proof)
        (tmp_path / "run" / "certificate.json").write_text(json.dumps(proof))
        problems = check_boxes(tmp_path / "run", sample=20).problems
        assert any(message in problem for problem in problems), (message, problems)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal; where tests run in the background it may be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


FILES = ("certificate.json", "trials.csv", "front.csv")


@pytest.mark.usefixtures("_interruptible")
def test_signals_save_and_resume_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a signal comes: while boxes are bounded, while a design is simulated, while answers are taken."""
    wanted = study(FINE, trials=20)
    anytime_front(wanted, tmp_path / "whole", workers=1, rounds=7)
    for at, (owner, name, number) in enumerate([(BoxEvaluator, "__call__", signal.SIGINT),
                                                (DesignEvaluator, "__call__", signal.SIGTERM),
                                                (Boxes, "know", signal.SIGINT), (Boxes, "split", signal.SIGTERM)]):
        folder, called = tmp_path / str(at), itertools.count()
        original = getattr(owner, name)

        def stopping(*args: Any, original: Any = original, called: Any = called, number: int = number) -> Any:
            if next(called) == 5:
                os.kill(os.getpid(), number)
            return original(*args)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stopping)
            run = anytime_front(wanted, folder, workers=1, rounds=7)
        assert run.interrupted
        assert run.gap > 0.0
        assert check_boxes(folder, sample=10).problems == []
        again = anytime_front(wanted, folder, workers=1, rounds=7, resume=True)
        assert not again.interrupted
        for file in FILES:
            assert (folder / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), (name, file)


@pytest.mark.slow
def test_two_workers_end_like_one(tmp_path: Path) -> None:
    wanted = study(FINE, trials=20)
    for workers in (1, 2):
        run = anytime_front(wanted, tmp_path / str(workers), workers=workers, rounds=6)
        assert run.workers == workers
    for file in FILES:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_epsilon_gap() -> None:
    front = np.array([[2.0, 4.0], [3.0, 3.0]])
    assert epsilon_gap(front, np.array([[2.0, 4.0], [5.0, 3.5]])) == 0.0
    assert epsilon_gap(front, np.array([[2.0, 2.0]])) == pytest.approx(0.5)
    assert epsilon_gap(front, np.array([[2.0, 2.0], [1.0, 4.0]])) == pytest.approx(1.0)
    assert epsilon_gap(front, np.array([[0.0, 4.0]])) == math.inf
    assert epsilon_gap(front, np.array([[-math.inf, 4.0]])) == math.inf
    assert epsilon_gap(np.array([[1.0, -8.0]]), np.array([[1.0, -10.0]])) == pytest.approx(0.25)
    assert epsilon_gap(np.empty((0, 2)), front) == math.inf
    assert epsilon_gap(front, np.empty((0, 2))) == 0.0


def spoil(proof: dict[str, Any], state: int, name: str, value: Any, count: int = 1) -> None:
    table = proof["leaves"]
    for row in [i for i, found in enumerate(table["state"]) if found == state][:count]:
        table[name][row] = value(table[name][row]) if callable(value) else value


CHANGES: list[tuple[Any, str]] = [
    (lambda c: c["tree"]["cut"].pop(), "cover the space"),
    (lambda c: c["leaves"]["state"].pop(), "cover the space"),
    (lambda c: spoil(c, 4, "by", 10**9), "does not dominate"),
    (lambda c: spoil(c, 0, "state", 2), "not empty"),
    (lambda c: spoil(c, 0, "state", 3), "names no budget"),
    (lambda c: spoil(c, 0, "state", 6), "not its only design"),
    (lambda c: spoil(c, 0, "bound", lambda b: [0.0] * len(b)), "hypervolume_gap"),
    (lambda c: spoil(c, 0, "bound", lambda b: [2.0 * v for v in b], 10**6), "could be better"),
    (lambda c: c.update(hypervolume_gap=c["hypervolume_gap"] * 0.9), "hypervolume_gap"),
    (lambda c: c.update(epsilon=c["epsilon"] * 0.9), "epsilon"),
    (lambda c: c["front"].pop(), "another front"),
]


def test_the_best_of_a_continuous_space_is_within_the_gap(tmp_path: Path) -> None:
    """The smallest area is that of the smallest sizes and the least bandwidth."""
    domains = {"architecture": ["time_mux"], "dram_bytes_per_s": {"low": 1e9, "high": 8e9},
               "rows": {"low": 8, "high": 64}, "cols": {"low": 8, "high": 64},
               "sram_bytes": [32768, 65536], "vector_lanes": [8, 32]}
    wanted = study(domains, ("area_mm2",), budgets={"area_mm2": 0.5}, trials=10)
    least = {"architecture": "time_mux", "node_nm": 16, "freq_hz": 0.5e9, "dram_bytes_per_s": 1e9, "rows": 8, "cols": 8,
             "dataflow": "ws", "sram_bytes": 32768, "vector_lanes": 8, "policy": "fcfs", "scheduler": "software"}
    best = sum(wanted.design(least).architecture.chip(WORKLOAD).area_mm2.values())
    run = anytime_front(wanted, tmp_path / "run", workers=1, rounds=25)
    assert run.gap > 0.0
    (found,) = vectors(run)[0]
    assert best <= found <= best * 1.05
    assert run.hypervolume + run.gap >= 1.0 - best / 0.5
    assert run.gap < 0.02


def test_what_is_too_large() -> None:
    assert too_large(study(COARSE).space) == ""
    paper = COARSE | {"architecture": ["time_mux"], "rows": {"low": 1, "high": 2000}, "cols": {"low": 1, "high": 2000}}
    assert "different hardware" in too_large(study(paper).space)
    assert "designs" in too_large(study(paper | {"vector_lanes": {"low": 1, "high": 500}}).space)
