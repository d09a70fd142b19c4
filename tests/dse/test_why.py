"""`dse why`: every figure against an evaluation of its own."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from small_run import make_small_run

from dse.cli import app
from dse.errors import InputError, NothingFeasible
from dse.explain_trial import explain, limits, margins, neighbours, open_trial, policies
from dse.report.rundata import read_run
from hwmodels.evaluate import evaluate
from spaces.designs import decode_design


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_small_run(tmp_path_factory.mktemp("why"))


@pytest.fixture(scope="module")
def trial(run):
    return open_trial(run)


def dse(*args):
    result = CliRunner().invoke(app, list(map(str, args)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_trial_is_that_of_the_run(run, trial):
    data = read_run(run)
    for number in data.trials["trial"]:
        again = open_trial(data, int(number), trial.study)
        row = data.row(int(number))
        assert again.outcome.metrics["p99_deadline_frac"] == row["p99_deadline_frac"]
        assert again.verdict.feasible == row["feasible"]


def test_limits_and_margins(trial):
    found = limits(trial)
    used = {name: tenant["p99_deadline_frac"] for name, tenant in found["tenants"].items()}
    assert used[found["worst_tenant"]] == trial.outcome.metrics["p99_deadline_frac"] == max(used.values())
    for tenant in found["tenants"].values():
        assert sum(tenant["time_frac"].values()) == pytest.approx(1.0)
        assert tenant["time_frac"][tenant["limited_by"]] == max(tenant["time_frac"].values())
    assert found["engines"][found["busiest_engine"]] == max(found["engines"].values())
    assert found["worst_tenant"] in found["sentence"]
    room = margins(trial)
    area = trial.outcome.metrics["area_mm2"]
    assert room["area_mm2"] == {"value": area, "bound": 20, "margin_frac": pytest.approx((20 - area) / 20),
                                "met": area <= 20}


def test_neighbours_are_one_step_and_evaluated(trial):
    study = trial.study
    found = neighbours(trial)
    assert [n.result.params for n in found] == list(study.space.neighbours(trial.params))
    moved = set()
    for n in found:
        assert n.before == trial.params[n.parameter] != n.after == n.result.params[n.parameter]
        domain = study.space.domains[n.parameter]
        if domain.ordered:
            assert abs(domain.code(n.after) - domain.code(n.before)) == 1
        want = evaluate(decode_design(n.result.params, study.workload), study.workload, seed=study.seed)
        assert n.result.metrics == want.metrics
        assert n.changes["area_mm2"] == pytest.approx(want.metrics["area_mm2"] - trial.outcome.metrics["area_mm2"])
        better = [c < 0 for c in n.changes.values()]
        no_worse = all(c <= 0 for c in n.changes.values())
        assert n.dominates == (n.verdict.feasible and no_worse and any(better))
        moved.add(n.parameter)
    assert {"architecture", "policy", "scheduler"} <= moved
    assert {n.parameter for n in neighbours(trial, parameters=["policy"])} == {"policy"}
    switched = next(n for n in found if n.parameter == "architecture")
    assert {name for name, (_, after) in switched.also.items() if after is None}  # sizes of the other class


def test_policies_on_the_same_hardware(trial):
    found = policies(trial, seeds=2)
    assert found.this == trial.design.policy
    assert {e.policy for e in found.comparison.entries} == {"fcfs", "edf", "sjf"}
    assert found.next in {"fcfs", "edf", "sjf"} - {found.this}
    assert found.costs[found.this] == 0.0
    other = next(e for e in found.comparison.entries if e.policy == found.next)
    want = evaluate(replace(trial.design, policy=found.next, policy_params={}), trial.study.workload,
                    seed=trial.study.seed)
    assert other.values["p99_deadline_frac"][0] == want.metrics["p99_deadline_frac"]
    mine = found.comparison.entries[0].estimates
    cost = sum((other.estimates[m].mean - mine[m].mean) / mine[m].mean for m in ("area_mm2", "p99_deadline_frac")) / 2
    assert found.costs[found.next] == pytest.approx(cost)
    rest = [name for name in found.costs if name != found.this and found.met[name] == found.met[found.next]]
    assert found.costs[found.next] == min(found.costs[name] for name in rest)
    assert found.sentence.startswith(found.this)
    assert found.next in found.sentence


def test_one_policy_in_the_space_is_compared_with_the_catalogue(tmp_path):
    run = make_small_run(tmp_path, space={"architectures": ["dedicated"], "policies": ["edf"],
                                          "domains": {"freq_hz": [1e9]}},
                         search={"trials": 4, "seed": 3, "sampler": "random"}, budgets={})
    found = policies(open_trial(run), seeds=1)
    names = {e.policy for e in found.comparison.entries}
    assert {"edf", "fcfs", "prema"} <= names
    assert "dysta_oracle" not in names
    assert found.next


def test_command(run, trial):
    got = json.loads(dse("why", run, "--trial", trial.number, "--seeds", 2, "--json").stdout)
    want = explain(run, trial.number, seeds=2)
    assert got["trial"] == trial.number
    assert got["params"] == trial.params
    assert len(got["neighbours"]) == len(want.neighbours)
    assert got["neighbours"][0]["changes"]["area_mm2"] == want.neighbours[0].changes["area_mm2"]
    assert got["policies"]["next"] == want.policies.next
    assert got["margins"]["area_mm2"]["met"] is True
    assert got["notes"] == []
    text = dse("why", run, "--trial", trial.number, "--seeds", 1).stdout
    assert text.startswith(f"trial {trial.number}: ")
    for part in ("What limits it: ", "<- worst", "Budgets:", "One step away", "Policy: "):
        assert part in text


def test_an_infeasible_trial_is_explained_too(run):
    data = read_run(run)
    bad = [int(t) for t in data.trials[~data.trials["feasible"]]["trial"]]
    found = explain(run, bad[0], seeds=1)
    assert not found.trial.verdict.feasible
    assert any(not m["met"] for m in found.margins.values())


def test_a_design_that_cannot_serve_the_workload(tmp_path):
    run = make_small_run(tmp_path, space={"architectures": ["time_mux"], "policies": ["fcfs", "edf"],
                                          "domains": {"sram_bytes": [16, 262144], "freq_hz": [1e9]}})
    data = read_run(run)
    stuck = next(int(t) for t in data.trials[data.trials["status"] != "ok"]["trial"])
    got = json.loads(dse("why", run, "--trial", stuck, "--seeds", 1, "--json").stdout)
    assert got["status"] != "ok"
    assert got["limits"]["sentence"] == got["status"]
    assert got["limits"]["busiest_engine"] == ""
    assert got["margins"]["p99_deadline_frac"] == {"value": None, "bound": 1, "margin_frac": None, "met": False}
    assert got["policies"]["next"] == ""
    grown = next(n for n in got["neighbours"] if n["parameter"] == "sram_bytes")
    assert grown["status"] == "ok"
    text = dse("why", run, "--trial", stuck, "--seeds", 1).stdout
    assert "not met" in text
    fine = next(int(t) for t in data.front["trial"])
    assert "no: " in dse("why", run, "--trial", fine, "--seeds", 1).stdout  # its smaller neighbour


def test_wrong_input(run, tmp_path):
    with pytest.raises(InputError, match="must be one of the 24 trials 0 to 23, got 99"):
        dse("why", run, "--trial", 99)
    with pytest.raises(InputError, match="must be the folder of a run"):
        dse("why", tmp_path)
    nothing = make_small_run(tmp_path, budgets={"area_mm2": 0.1}, search={"trials": 2, "sampler": "random"})
    with pytest.raises(NothingFeasible, match="--trial"):
        dse("why", nothing)


def test_a_failed_trial(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    table = (copy / "trials.csv").read_text().splitlines()
    on_front = set(read_run(run).front["trial"])
    number = next(i for i in range(len(table) - 1) if i not in on_front)
    table[number + 1] = table[number + 1].replace("complete", "failed", 1)
    (copy / "trials.csv").write_text("\n".join(table) + "\n")
    with pytest.raises(InputError, match=f"must be a trial that was evaluated, {number} failed"):
        dse("why", copy, "--trial", number)


def test_a_run_of_other_models_is_noticed(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    table = (copy / "trials.csv").read_text().splitlines()
    column = table[0].split(",").index("area_mm2")
    cells = table[1].split(",")
    cells[column] = "1.5"
    (copy / "trials.csv").write_text("\n".join([table[0], ",".join(cells), *table[2:]]) + "\n")
    assert "area" in explain(copy, 0, seeds=1).notes[0]
