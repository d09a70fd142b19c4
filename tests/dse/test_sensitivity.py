"""`dse sensitivity`: effects of laws known by hand, finite differences against evaluations, the command."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from small_run import make_small_run

from dse.cli import app
from dse.errors import InputError, NothingFeasible
from dse.explain_trial import open_trial
from dse.objective import evaluate_one
from dse.report.rundata import read_run
from dse.sensitivity import (
    _draw,
    _effects,
    _ridge,
    evaluated_importance,
    purchases,
    sensitivity,
    trials_importance,
)
from dse.study import Objective
from hwmodels.evaluate import evaluate
from hwmodels.outcome import Outcome
from spaces.designs import decode_design
from spaces.space import Condition, Space


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_small_run(tmp_path_factory.mktemp("sensitivity"))


@pytest.fixture(scope="module")
def study(run):
    return open_trial(run).study


def dse(*args):
    result = CliRunner().invoke(app, ["sensitivity", *map(str, args)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def effects_of(space, law, samples=4000):
    points, moves = _draw(space, samples, np.random.default_rng(1))
    values = np.array([law(space.decode(codes)) for codes in points], dtype=float)
    return {e.parameter: e for e in _effects(space, values, samples, moves)}


TEN = tuple(range(10))


def test_effects_of_a_sum_are_its_shares_of_the_variance():
    found = effects_of(Space({"a": TEN, "b": TEN, "idle": TEN, "one": (1,)}), lambda p: p["a"] + 2.0 * p["b"])
    assert found["a"].total_frac == pytest.approx(0.2, abs=4 * found["a"].error_frac)
    assert found["b"].total_frac == pytest.approx(0.8, abs=4 * found["b"].error_frac)
    assert 0.0 < found["b"].error_frac < 0.02
    assert found["idle"].total_frac == 0.0
    assert "one" not in found


def test_a_pure_interaction_counts_in_full_for_both():
    found = effects_of(Space({"a": (-1, 1), "b": (-1, 1)}), lambda p: p["a"] * p["b"])
    for name in "ab":
        assert found[name].total_frac == pytest.approx(1.0, abs=0.06)


def test_a_conditional_parameter_counts_where_it_is_active():
    """f = b where the class is on (half of the points), else 0; b is -1 or 1: Var f = 1/2, all due to both."""
    space = Space({"class": ("on", "off"), "b": (-1, 1)}, [Condition("b", "class", ("on",))])
    found = effects_of(space, lambda p: p.get("b", 0))
    assert found["b"].total_frac == pytest.approx(1.0, abs=0.08)  # E[Var(f | class)] / Var f = (1/2 x 1) / (1/2)
    # two draws of the class differ half of the time, and then the squared difference is 1: (1/2 x 1/2 x 1) / (1/2)
    assert found["class"].total_frac == pytest.approx(0.5, abs=0.06)


def test_nothing_varies():
    assert {e.total_frac for e in effects_of(Space({"a": TEN, "b": TEN}), lambda p: 3.0, 20).values()} == {0.0}


def test_evaluated_importance_of_a_made_up_law(study):
    space = Space({"a": TEN, "b": TEN, "c": ("x", "y")})
    made_up = replace(study, space=space, budgets={}, objectives=(Objective(metric="area_mm2", minimise=True),
                                                                  Objective(metric="stp", minimise=False)))

    def law(params):
        if params["c"] == "y":
            return Outcome(status="cannot run", metrics={})
        return Outcome(status="ok", metrics={"area_mm2": 10.0 ** params["a"], "stp": params["b"]})

    found = evaluated_importance(made_up, samples=400, evaluate=law)
    assert found.source == "evaluations"
    assert found.designs <= 200  # each of the 200 designs once
    area, stp = ({e.parameter: e.total_frac for e in found.effects[m]} for m in ("area_mm2", "stp"))
    assert area["b"] == stp["a"] == 0.0
    assert area["c"] > area["a"] > 0.05  # a design that cannot run ranks last
    assert stp["c"] > stp["b"] > 0.05


def test_trials_give_the_same_answer_where_the_law_is_simple(study):
    space = Space({"a": TEN, "b": TEN, "c": ("x", "y")})
    made_up = replace(study, space=space, budgets={}, objectives=(Objective(metric="area_mm2", minimise=True),))

    def law(params):
        return Outcome(status="ok", metrics={"area_mm2": params["a"] + 2.0 * params["b"] + 9.0 * (params["c"] == "y")})

    rng = np.random.default_rng(2)
    results = [evaluate_one(law, i, space.sample(rng)) for i in range(120)]
    found = trials_importance(made_up, results)
    assert found.r2["area_mm2"] > 0.98
    want = {e.parameter: e for e in evaluated_importance(made_up, samples=400, evaluate=law).effects["area_mm2"]}
    for effect in found.effects["area_mm2"]:
        assert effect.total_frac == pytest.approx(want[effect.parameter].total_frac, abs=0.08)
    with pytest.raises(InputError, match="at least 10"):
        trials_importance(made_up, results[:9])


def test_left_out_r2_is_that_of_leaving_out():
    rng = np.random.default_rng(3)
    rows = np.concatenate([np.ones((15, 1)), rng.normal(size=(15, 3))], axis=1)
    targets = rows @ np.array([1.0, 2.0, -1.0, 0.5]) + 0.3 * rng.normal(size=15)
    precision = np.ones(4)
    weights, r2 = _ridge(rows, precision, targets)
    strengths = [10.0**k for k in range(-3, 4)]

    def fit(x, y, strength):
        return np.linalg.solve(x.T @ x + strength * np.diag(precision), x.T @ y)

    strength = min(strengths, key=lambda s: float(np.abs(fit(rows, targets, s) - weights).max()))
    errors = [targets[i] - rows[i] @ fit(np.delete(rows, i, 0), np.delete(targets, i), strength) for i in range(15)]
    assert r2 == pytest.approx(1.0 - np.square(errors).sum() / np.square(targets - targets.mean()).sum(), rel=1e-9)


def test_purchases_are_finite_differences(run, study):
    trial = open_trial(run)
    found = purchases(trial)

    def metrics(**changes):
        return evaluate(decode_design(trial.params | changes, study.workload), study.workload, seed=study.seed).metrics

    own = trial.outcome.metrics
    step = found.per_gb_per_s["p99_deadline_frac"]
    other = metrics(dram_bytes_per_s=step.after)
    assert step.before == trial.params["dram_bytes_per_s"]
    gb = (step.after - step.before) / 1e9
    assert step.amount == gb
    assert step.rate == pytest.approx((other["p99_deadline_frac"] - own["p99_deadline_frac"]) / gb)
    area = found.per_gb_per_s["area_mm2"]
    assert area.rate == pytest.approx((other["area_mm2"] - own["area_mm2"]) / gb)
    assert area.rate > 0.0
    best = found.per_mm2["p99_deadline_frac"]
    assert "area_mm2" not in found.per_mm2
    if best is not None:
        assert best.amount > 0.0 > best.change
        assert best.rate == pytest.approx(best.change / best.amount)
    rates = []
    for params in study.space.neighbours(trial.params):
        if params["architecture"] != trial.params["architecture"] or params["policy"] != trial.params["policy"]:
            continue
        other = evaluate(decode_design(params, study.workload), study.workload, seed=study.seed).metrics
        added = other["area_mm2"] - own["area_mm2"]
        within = all(other[m] <= bound for m, bound in study.budgets.items())
        if within and added > 0.0 and other["p99_deadline_frac"] < own["p99_deadline_frac"]:
            rates.append((other["p99_deadline_frac"] - own["p99_deadline_frac"]) / added)
    assert (best.rate if best else None) == (pytest.approx(min(rates)) if rates else None)


def test_one_more_ms_of_deadline(run):
    """FCFS does not look at deadlines: p99 / deadline of the worst tenant falls as deadline / (deadline + 1 ms)."""
    data = read_run(run)
    fcfs = [int(row["trial"]) for row in data.trials.to_dict("records")
            if row["params.policy"] == "fcfs" and row["state"] == "complete"]
    trial = open_trial(data, fcfs[0])
    found = purchases(trial)
    due = {"words": 0.004, "eye": 0.06}
    assert found.deadline_s == due[found.tenant]
    used = {name: metrics["p99_deadline_frac"] for name, metrics in trial.outcome.tenants.items()}
    assert used[found.tenant] == max(used.values())
    relaxed = used[found.tenant] * found.deadline_s / (found.deadline_s + 1e-3)
    new = max(relaxed, *(value for name, value in used.items() if name != found.tenant))
    assert found.per_ms["p99_deadline_frac"] == pytest.approx(new - used[found.tenant])
    assert found.per_ms["area_mm2"] == 0.0


def test_command(run):
    got = json.loads(dse(run, "--designs", 2, "--json").stdout)
    assert got["source"] == "trials"
    assert got["source_designs"] == 24
    assert set(got["importance"]) == set(got["r2"]) == {"area_mm2", "p99_deadline_frac"}
    totals = [e["total_frac"] for e in got["importance"]["area_mm2"]]
    assert totals == sorted(totals, reverse=True)
    assert len(got["designs"]) == 2
    assert {"trial", "per_mm2", "per_gb_per_s", "per_ms"} <= set(got["designs"][0])
    text = dse(run, "--designs", 1, "--samples", 3).stdout
    for part in ("Which parameter matters", "designs evaluated for it", "+1 mm2", "+1 GB/s", "+1 ms"):
        assert part in text


def test_wrong_input(run, tmp_path):
    with pytest.raises(InputError) as error:
        sensitivity(run, samples=1, designs=0)
    assert len(error.value.problems) == 2
    with pytest.raises(InputError, match="must be the folder of a run"):
        dse(tmp_path)
    nothing = make_small_run(tmp_path, budgets={"area_mm2": 0.1}, search={"trials": 2, "sampler": "random"})
    with pytest.raises(NothingFeasible):
        dse(nothing)
