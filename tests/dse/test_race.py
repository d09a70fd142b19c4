"""The race of the finalists: who leaves, what cannot be told apart, and a run whose front is sure."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import small_run
from run_toys import WORKLOAD, toy_study
from test_run import dse, rows_of

from dse.advice import confidence_lines
from dse.documents import load_study
from dse.driver import run_study
from dse.errors import InputError
from dse.objective import Result, judge
from dse.race import RUNS, RaceEvaluator, finalists, race, tail_note
from dse.report import write_report
from dse.report.rundata import read_run
from dse.study import Confidence, Objective
from hwmodels.evaluate import evaluate, evaluate_detail
from hwmodels.workload import Traffic, Workload
from spaces.designs import decode_design

# --- with made-up finalists -------------------------------------------------------------------------------------------

OBJECTIVES = (Objective(metric="area_mm2", minimise=True), Objective(metric="p99_latency_s", minimise=True))


RANDOM = Workload(name="toy", tenants=tuple(replace(tenant, traffic=Traffic(kind="poisson", rate_hz=10.0))
                                            for tenant in WORKLOAD.tenants))


class Made:
    """Latencies with a true value per trial and noise, the same noise for all (common random numbers) and own noise."""

    def __init__(self, areas, latencies, *, common=0.05, own=0.002):
        self.areas, self.latencies, self.common, self.own = areas, latencies, common, own
        self.rounds: list[tuple[int, int]] = []

    def __call__(self, tasks):
        self.rounds.append((len(tasks), tasks[0][1][RUNS]))
        found = []
        for number, params in tasks:
            trial, seeds = params["x"], params[RUNS]
            shared = np.random.default_rng(1).normal(0.0, self.common, 10_000)[:seeds]
            noise = np.random.default_rng([2, trial]).normal(0.0, self.own, 10_000)[:seeds]
            values = self.latencies[trial] + shared + noise
            half = 3.0 * values.std() / np.sqrt(seeds)
            metrics = {"area_mm2": self.areas[trial], "p99_latency_s": float(values.mean())}
            parts = {"low": metrics | {"p99_latency_s": metrics["p99_latency_s"] - half},
                     "high": metrics | {"p99_latency_s": metrics["p99_latency_s"] + half},
                     "requests": {"eye": 100.0 * seeds}, "effective": {"eye": 50.0 * seeds}}
            parts |= {str(b): {"area_mm2": self.areas[trial], "p99_latency_s": float(column.mean())}
                      for b, column in enumerate(np.array_split(values, min(seeds, 32)))}
            found.append(Result(number=number, params=params, state="complete", metrics=metrics, scenarios=parts))
        return found[::-1]  # results come in any order


def held(areas, latencies, *, budget=10.0, requests=100_000, **noise):
    study = toy_study(objectives=OBJECTIVES, budgets={"p99_latency_s": budget}, workload=RANDOM,
                      confidence=Confidence(requests=requests))
    results = [Result(number=i, params={"x": i}, state="complete") for i in range(len(areas))]
    made = Made(areas, latencies, **noise)
    return race(study, results, list(range(len(areas))), made), made


def test_a_clear_loser_leaves_early_and_a_tie_is_said():
    # 2 is dominated by 0 by far; 1 is larger than 0 and not surely faster; 3 is larger and surely faster
    found, made = held([1.0, 2.0, 1.5, 3.0], [1.0, 1.0, 1.2, 0.9])
    assert found.figures[2].left == "trial 0 is better"
    assert found.figures[2].seeds == 4
    assert made.rounds[0] == (4, 4)
    assert [n for n, _ in made.rounds[1:]] == [3] * (len(made.rounds) - 1)
    assert 0 in found.front
    assert 3 in found.front
    assert 2 not in found.front
    assert {frozenset(pair[:2]) for pair in found.undecided} <= {frozenset((0, 1))}
    if 1 in found.front:
        assert found.undecided == ((0, 1, ("p99_latency_s",)),)


def test_common_random_numbers_tell_close_designs_apart():
    """0.01 apart under common noise of 0.05: their intervals overlap, that of the difference does not hold 0."""
    found, _ = held([1.0, 2.0], [1.0, 0.99], requests=6400)
    a, b = (found.figures[trial].intervals["p99_latency_s"] for trial in (0, 1))
    assert a.low < b.high
    assert found.front == (0, 1)
    assert found.undecided == ()


def test_a_budget_that_is_surely_broken():
    found, _ = held([1.0, 2.0], [1.0, 0.5], budget=0.7)
    assert found.figures[0].left == "breaks the budget of p99_latency_s"
    assert found.front == (1,)


def test_the_race_ends_with_enough_requests_or_the_budget():
    found, made = held([1.0, 2.0], [1.0, 0.5], requests=1000)
    assert not found.valid
    assert found.needed == 262_742
    assert made.rounds[-1][1] == 100  # 10 requests per seed
    found, made = held([1.0, 2.0], [1.0, 0.5], requests=10**7)
    assert found.valid
    assert 50.0 * made.rounds[-1][1] >= found.needed > 50.0 * made.rounds[-2][1]


def test_finalists_are_fronts_in_turn():
    study = toy_study(objectives=OBJECTIVES, budgets={"area_mm2": 9.0})
    values = [(1, 5), (2, 4), (3, 3), (2, 5), (3, 4), (10, 1), (4, 9)]
    results = [Result(number=i, params={}, state="complete", metrics={"area_mm2": a, "p99_latency_s": b})
               for i, (a, b) in enumerate(values)]
    verdicts = [judge(study, result) for result in results]
    assert finalists(study, results, verdicts, 10) == [0, 1, 2, 3, 4, 6]
    assert finalists(study, results, verdicts, 4)[:3] == [0, 1, 2]
    assert len(finalists(study, results, verdicts, 2)) == 2


# --- with real ones ---------------------------------------------------------------------------------------------------

CONFIDENCE = {"requests": 1500, "finalists": 5, "level": 0.95}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("race")
    small_run.make_small_run(folder, confidence=CONFIDENCE)
    return folder


def test_figures_are_those_of_all_requests_together(folder):
    study = load_study(folder / "study.yaml")
    run = read_run(folder / "run")
    trial, found = next(iter(run.manifest["confidence"]["finalists"].items()))
    params = run.params(run.row(int(trial)))
    outcome = RaceEvaluator(study=study)({**params, RUNS: 9})
    design = decode_design(params, study.served)
    used = {name: [] for name in ("words", "eye")}
    for seed in range(3, 12):
        detail = evaluate_detail(design, study.workload, seed=seed, record=False)
        latency = detail.records.finish_s - detail.trace.arrival_s
        for i, name in enumerate(used):
            mine = detail.trace.tenant == i
            used[name] += ((latency / (detail.trace.deadline_s - detail.trace.arrival_s))[mine]).tolist()
    by_hand = max(np.percentile(values, 99.0) for values in used.values())
    assert outcome.metrics["p99_deadline_frac"] == pytest.approx(by_hand, rel=1e-12)
    assert outcome.scenarios["requests"] == {name: len(values) for name, values in used.items()}
    assert outcome.metrics["area_mm2"] == evaluate(design, study.workload, seed=3).metrics["area_mm2"]
    assert outcome.scenarios["low"]["area_mm2"] == outcome.scenarios["high"]["area_mm2"]
    assert outcome.scenarios["low"]["p99_deadline_frac"] < by_hand
    assert found["seeds"] == 44  # 34 requests each


def test_files_of_a_run_with_a_race(folder):
    run = read_run(folder / "run")
    raced = run.manifest["confidence"]
    front = rows_of(folder / "run" / "front.csv")
    assert front
    assert [int(row["trial"]) for row in front] == run.manifest["front"]
    assert len(raced["finalists"]) == 5
    for row in front:
        one = raced["finalists"][row["trial"]]
        assert one["left"] == ""
        estimate, low, high = one["intervals"]["p99_deadline_frac"]
        assert float(row["estimate.p99_deadline_frac"]) == estimate
        assert float(row["low.p99_deadline_frac"]) == low <= estimate
        assert row["high.p99_deadline_frac"] == ("inf" if high is None else repr(high))
        assert (folder / "run" / "best" / f"trial_{int(row['trial']):05d}.yaml").is_file()
    assert not raced["valid"]
    text = "\n".join(confidence_lines(run))
    assert "at 95% confidence (5 finalists raced)" in text
    assert "raise confidence.requests" in text
    assert "finalists raced" in write_report(folder / "run").read_text(encoding="utf-8")


def test_a_race_is_the_same_resumed_and_a_changed_one_is_named(folder, tmp_path):
    study = load_study(folder / "run" / "study.yaml")
    assert study.confidence == Confidence(**CONFIDENCE)
    again = tmp_path / "again"
    run_study(study, again, workers=1)
    for name in ("front.csv", "trials.csv"):
        assert (again / name).read_bytes() == (folder / "run" / name).read_bytes()
    journal = again / "race.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:50])  # killed in the middle of the race
    run_study(study, again, workers=1, resume=True)
    assert (again / "front.csv").read_bytes() == (folder / "run" / "front.csv").read_bytes()
    other = load_study(small_run.write_study(tmp_path, confidence=CONFIDENCE | {"requests": 900}))
    with pytest.raises(InputError, match="changed: confidence"):
        run_study(other, again, workers=1, resume=True)


def test_json_and_the_note(folder):
    done = dse("run", "run/study.yaml", "--out", "run", "--resume", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["confidence"]["level"] == 0.95
    assert found["front"][0]["intervals"]["area_mm2"][0] == found["front"][0]["metrics"]["area_mm2"]
    assert "rests on" not in done.stderr
    study = load_study(small_run.write_study(folder / "run", confidence=CONFIDENCE))
    assert tail_note(study).startswith("p99_deadline_frac rests on one run, with about 4 requests of eye; MLPerf asks")


@pytest.mark.parametrize(("section", "said"), [
    ({"level": 1.0}, "confidence.level: must be a number in (0, 1), got 1.0"),
    ({"requests": 0}, "confidence.requests: must be an integer >= 1, got 0"),
    ({"finalist": 3}, "confidence.finalist: unknown key (did you mean 'finalists'?)"),
])
def test_bad_sections_are_named(tmp_path, section, said):
    path = small_run.write_study(tmp_path, confidence=section)
    with pytest.raises(InputError) as caught:
        load_study(path)
    assert any(said in str(problem) for problem in caught.value.problems), caught.value.problems
