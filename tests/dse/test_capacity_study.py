"""Studies that judge designs by the traffic they can take."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from command import dse
from small_run import STUDY, make_small_run, write_study

from dse.documents import load_study
from dse.driver import run_study
from dse.errors import InputError
from dse.estimate import estimate_of
from dse.explain_trial import open_trial
from dse.front import exact_front
from dse.report.rundata import read_run
from dse.samplers import pick_sampler
from hwmodels.capacity import capacity

JUDGED = {"objectives": ["area_mm2", "capacity_frac"], "budgets": {"capacity_frac": 5.4},
          "search": {"trials": 6, "seed": 3, "sampler": "random"}}
WITHOUT = {"workload": STUDY["workload"] | {"tenants": [
    {"name": "words", "network": "res8", "traffic": {"kind": "poisson", "rate_hz": 300}}]}}


def test_a_run_by_capacity(tmp_path):
    run = read_run(make_small_run(tmp_path, **JUDGED))
    study = run.record
    row = run.row(int(run.front["trial"].iloc[0]))
    assert row["capacity_frac"] >= 5.4
    design = study.design(run.params(row))
    assert row["capacity_frac"] == capacity(design, study.workload, seed=3, tolerance=0.02).factor
    assert run.feasible["capacity_frac"].min() >= 5.4 > run.trials["capacity_frac"].min()
    assert run.front["capacity_frac"].iloc[-1] == run.feasible["capacity_frac"].max()  # more is better
    opened = open_trial(run, int(row["trial"]))
    assert opened.verdict.feasible
    assert opened.result.metrics["capacity_frac"] == row["capacity_frac"]
    done = dse("why", run.path, "--seeds", 2)
    assert done.returncode == 0, done.stderr
    assert "capacity / rates" in done.stdout


def test_worst_over_scenarios(tmp_path):
    study = load_study(write_study(tmp_path, **JUDGED | {"robust": {"seeds": 2}, "search": {
        "trials": 1, "seed": 3, "sampler": "random"}}))
    result = run_study(study, tmp_path / "run", workers=1).results[0]
    each = [capacity(study.design(result.params), study.workload, seed=seed, tolerance=0.02).factor for seed in (3, 4)]
    assert result.metrics["capacity_frac"] == min(each)
    assert [values["capacity_frac"] for values in result.scenarios.values()] == each


def test_no_estimates_and_no_exact_front(tmp_path):
    study = load_study(write_study(tmp_path, **JUDGED))
    assert estimate_of(study) is None
    assert pick_sampler("auto", study.space, 5)[0] == "archive"
    with pytest.raises(InputError, match="capacity_frac"):
        pick_sampler("guided", study.space, 5)
    with pytest.raises(InputError, match="objectives: must not hold capacity_frac for an exact front"):
        exact_front(study, tmp_path / "front")
    assert not (tmp_path / "front").exists()


@pytest.mark.parametrize(("changes", "message"), [
    (WITHOUT, "objectives: must not hold capacity_frac: no tenant of workload 'pair' has a deadline"),
    ({"confidence": {"level": 0.9}}, "confidence: must be left out with capacity_frac"),
    ({"objectives": ["area_mm2", "capacity"]}, "did you mean 'capacity_frac'"),
    ({"budgets": {"words.capacity_frac": 2.0}}, "must be a metric of single tenants"),
])
def test_refusals(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        load_study(write_study(tmp_path, **JUDGED | changes))
