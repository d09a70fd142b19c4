"""Robust studies: a run judged over scenarios, whose numbers every command gives again."""

import csv
import json
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
import small_run
from test_run import dse, rows_of

from dse.documents import load_study
from dse.driver import run_study
from dse.errors import InputError
from dse.explain_trial import explain
from dse.front import exact_front
from dse.report import write_report
from dse.report.detail import run_details, study_of
from dse.report.rundata import read_run
from dse.robust import worst_scenario
from hwmodels.evaluate import evaluate
from hwmodels.robust import at_rate, cvar
from spaces.designs import decode_design

EVENING = {
    "kind": "workload", "name": "evening", "duration_s": 0.1,
    "tenants": [
        {"name": "eye", "network": "resnet18", "traffic": {"kind": "poisson", "rate_hz": 60},
         "service": {"deadline_s": 0.06}},
        {"name": "ear", "network": "res8", "traffic": {"kind": "periodic", "rate_hz": 50}},
    ]}
ROBUST = {"workloads": [EVENING], "rates": [0.5, 1.5], "seeds": [3, 8],
          "aggregate": "worst", "metrics": {"energy_per_inference_j": "mean", "p99_latency_s": {"cvar": 0.6}}}
CHANGES = {"name": "sturdy", "robust": ROBUST, "budgets": {"area_mm2": 20, "p99_deadline_frac": 1, "ear.drop_frac": 0},
           "objectives": ["area_mm2", "p99_latency_s", "energy_per_inference_j"],
           "search": {"trials": 12, "seed": 3, "sampler": "random"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("robust")
    small_run.make_small_run(folder, **CHANGES)
    return folder


def test_aggregates_of_a_trial_by_hand(folder):
    study = load_study(folder / "study.yaml")
    assert [s.name for s in study.scenarios][:3] == ["pair, rate x0.5, seed 3", "pair, rate x0.5, seed 8",
                                                     "pair, rate x1.5, seed 3"]
    assert len(study.scenarios) == 8
    run = read_run(folder / "run")
    for trial in (0, 5, 11):
        row = run.row(trial)
        assert row["status"] == "ok"
        design = decode_design(run.params(row), study.served)
        outcomes = [evaluate(design, at_rate(workload, rate), seed=seed)
                    for workload in (study.workload, study.robust.workloads[0]) for rate in (0.5, 1.5)
                    for seed in (3, 8)]
        values = {name: [o.metrics[name] for o in outcomes] for name in outcomes[0].metrics}
        assert row["area_mm2"] == outcomes[0].metrics["area_mm2"]
        assert row["p99_deadline_frac"] == max(values["p99_deadline_frac"])
        assert row["stp"] == min(values["stp"])
        assert row["energy_per_inference_j"] == pytest.approx(sum(values["energy_per_inference_j"]) / 8, rel=1e-14)
        worst = sorted(values["p99_latency_s"])[::-1]
        by_hand = (sum(worst[:3]) + 0.2 * worst[3]) / 3.2
        assert row["p99_latency_s"] == pytest.approx(by_hand, rel=1e-14)
        assert row["tenants.ear.p99_latency_s"] == cvar([o.tenants["ear"]["p99_latency_s"] for o in outcomes[4:]], 0.6)
        assert row["violations.p99_deadline_frac"] == row["p99_deadline_frac"] - 1
        one_by_one = [found["p99_latency_s"] for found in run.scenarios_of(trial).values()]
        assert one_by_one == values["p99_latency_s"]


def test_dedicated_designs_have_an_engine_for_every_tenant_of_all_workloads(folder):
    rows = [row for row in rows_of(folder / "run" / "trials.csv") if row["params.architecture"] == "dedicated"]
    assert rows
    assert all(row["status"] == "ok" and row["tenants.ear.p99_latency_s"] for row in rows)


def test_evaluate_gives_the_numbers_of_the_run(folder):
    front = rows_of(folder / "run" / "front.csv")
    assert front
    trial = int(front[0]["trial"])
    best = folder / "run" / "best" / f"trial_{trial:05d}.yaml"
    for study in ("study.yaml", "run/study.yaml"):
        found = json.loads(dse("evaluate", best, "--workload", study, "--json", cwd=folder).stdout)
        assert {name: float(front[0][name]) for name in found["metrics"]} == found["metrics"]
    with (folder / "run" / "scenarios.csv").open(newline="") as file:
        written = [row for row in csv.DictReader(file) if int(row["trial"]) == trial]
    assert [row["scenario"] for row in written] == list(found["scenarios"])
    assert len(written) == 8
    for row in written:
        assert float(row["p99_latency_s"]) == found["scenarios"][row["scenario"]]["p99_latency_s"]
    assert yaml.safe_load(best.read_text())["provenance"]["scenarios"] == found["scenarios"]
    one = json.loads(dse("evaluate", best, "--workload", "study.yaml", "--scenario", "6", "--json", cwd=folder).stdout)
    assert one["metrics"]["p99_latency_s"] == float(written[6]["p99_latency_s"])
    wrong = dse("evaluate", best, "--workload", "study.yaml", "--scenario", "8", cwd=folder)
    assert wrong.returncode == 2
    assert "--scenario: must be 0 to 7" in wrong.stderr


def test_the_study_as_run_is_the_same_study(folder, tmp_path):
    study, again = load_study(folder / "study.yaml"), load_study(folder / "run" / "study.yaml")
    assert again.robust == study.robust
    assert again.scenarios == study.scenarios
    run_study(again, tmp_path / "again", workers=1)
    assert (tmp_path / "again" / "trials.csv").read_bytes() == (folder / "run" / "trials.csv").read_bytes()
    assert (tmp_path / "again" / "scenarios.csv").read_bytes() == (folder / "run" / "scenarios.csv").read_bytes()
    changed = small_run.write_study(tmp_path, **CHANGES | {"robust": ROBUST | {"rates": [0.5, 1.0]}})
    with pytest.raises(InputError, match="changed: robust"):
        run_study(load_study(changed), tmp_path / "again", workers=1, resume=True)


def test_a_number_of_seeds_counts_from_the_study(tmp_path):
    path = small_run.write_study(tmp_path, robust={"seeds": 3})
    assert [s.seed for s in load_study(path).scenarios] == [3, 4, 5]
    assert [s.seed for s in load_study(path, seed=7).scenarios] == [7, 8, 9]


def test_the_worst_scenario_is_told(folder):
    found = explain(folder / "run", seeds=2)
    scenarios = found.trial.result.scenarios
    fractions = {name: values["p99_deadline_frac"] for name, values in scenarios.items()}
    assert found.as_dict()["scenario"] == max(fractions, key=fractions.__getitem__)
    assert found.limits["worst_tenant"] in {t.name for t in found.trial.scenario.workload.tenants}
    run = read_run(folder / "run")
    detail = next(iter(run_details(run, study_of(run), 1).details.values()))
    assert detail["scenario"] in detail["scenarios"]
    assert "scenarios is" in write_report(folder / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize(("scenarios", "budgets", "expected"), [
    ({"a": {"x": 1.0, "y": 9.0}, "b": {"x": 2.0, "y": 1.0}}, {}, "b"),           # first objective that differs
    ({"a": {"x": 1.0, "y": 9.0}, "b": {"x": 1.0, "y": 1.0}}, {}, "a"),
    ({"a": {"x": 1.0, "y": 9.0}, "b": {"x": 2.0, "y": 1.0}}, {"x": 100.0, "y": 10.0}, "a"),  # nearest to a budget
    ({"a": {"stp": 1.0}, "b": {"stp": 3.0}}, {"stp": 0.5}, "a"),                 # better when larger
    ({"a": {"x": 1.0}, "b": {"x": 1.0}}, {"x": 2.0}, "a"),
])
def test_worst_scenario(scenarios, budgets, expected):
    assert worst_scenario(scenarios, budgets, {"x": True, "y": True}) == expected


@pytest.mark.parametrize(("robust", "said"), [
    ({"seeds": 1}, "robust: must have more than one scenario"),
    ({"rates": [1.0, 0]}, "robust.rates[1]: must be a number > 0, got 0"),
    ({"rates": [1.0, 1.0]}, "robust.rates[1]: must be listed once"),
    ({"rates": [1.0, 1e6]}, "robust.rates[1]: must be so that at most 20,000,000 requests arrive"),
    ({"seeds": [1, -2]}, "robust.seeds[1]: must be an integer >= 0, got -2"),
    ({"seeds": 2, "aggregate": "wurst"}, "robust.aggregate: must be worst, mean or {cvar: ALPHA} with ALPHA in [0, 1], "
                                         "got 'wurst' (did you mean 'worst'?)"),
    ({"seeds": 2, "aggregate": {"cvar": 1.5}}, "robust.aggregate: must be worst, mean or {cvar"),
    ({"seeds": 2, "metrics": {"p99_latency": "mean"}}, "robust.metrics.p99_latency: must be a metric of"),
    ({"seeds": 2, "metrics": {"p99_latency_s": "media"}}, "robust.metrics.p99_latency_s: must be worst, mean or"),
    ({"workloads": ["vr_gaming", "vr_gaming"]}, "robust.workloads[1]: must be a workload with a name of its own"),
    ({"workloads": ["vr_game"]}, "robust.workloads[0]: must be a workload file or a name"),
    ({"workloads": [EVENING | {"tenants": [{"name": "x", "network": "resnet19", "traffic": {"kind": "poisson"}}]}]},
     "robust.workloads[0].tenants[0].traffic: must have the key rate_hz"),
    ({"seed": 2}, "robust.seed: unknown key (did you mean 'seeds'?)"),
])
def test_bad_sections_are_named(tmp_path, robust, said):
    path = small_run.write_study(tmp_path, robust=robust)
    with pytest.raises(InputError) as caught:
        load_study(path)
    lines = [str(problem) for problem in caught.value.problems]
    assert any(said in line and f"{path}:" in line for line in lines), lines


def test_an_exact_front_wants_one_scenario(tmp_path):
    study = load_study(small_run.write_study(tmp_path, robust={"seeds": 2}))
    with pytest.raises(InputError, match="robust: must be left out"):
        exact_front(study, tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()
