"""Estimates are the analytic fidelity, for many designs at once, as a sampler is told results."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dse import load_study
from dse.estimate import estimate_of
from dse.objective import DesignEvaluator, evaluate_one, judge
from dse.study import Objective, Robust

STUDIES = Path(__file__).parents[2] / "studies"
METRICS = ("area_mm2", "energy_j", "power_w", "energy_per_inference_j", "mean_latency_s", "p50_latency_s",
           "p95_latency_s", "p99_latency_s", "max_latency_s", "p99_deadline_frac", "slo_miss_frac",
           "slo_violation_frac", "drop_frac", "antt", "stp", "throughput_per_s", "camera.p99_latency_s",
           "camera.p99_deadline_frac", "camera.slo_violation_frac", "classify.energy_per_inference_j")


@pytest.fixture(scope="module")
def study():
    small = load_study(STUDIES / "front_small_edge.yaml")
    larger = ("stp", "throughput_per_s")
    return replace(small, objectives=tuple(Objective(metric=m, minimise=m not in larger) for m in METRICS),
                   budgets={"area_mm2": 2.0, "p99_deadline_frac": 1.0, "stp": 2.0})


@pytest.fixture(scope="module")
def points(study):
    rng = np.random.default_rng(5)
    return [study.space.decode(study.space.sample_evenly_codes(rng)) for _ in range(60)]


def test_estimates_are_those_of_the_analytic_fidelity(study, points):
    found = estimate_of(study)(points)
    evaluate = DesignEvaluator(workload=study.workload, seed=study.seed, fidelity="analytic")
    compared = 0
    for i, point in enumerate(points):
        verdict = judge(study, evaluate_one(evaluate, 0, point))
        if verdict.values is None or np.isinf(found.values[i]).any():
            continue  # overloaded: estimates give up, the fidelity goes on to the end
        compared += 1
        np.testing.assert_allclose(found.values[i], verdict.values, rtol=1e-9)
        for metric, column in found.constraints.items():
            assert column[i] == pytest.approx(verdict.relative[metric], rel=1e-9)
    assert compared > 40


def test_the_order_and_company_of_points_change_nothing(study, points):
    estimate = estimate_of(study)
    together = estimate(points)
    np.testing.assert_array_equal(estimate(points[::-1]).values[::-1], together.values)
    np.testing.assert_allclose(estimate_of(study)(points[7:8]).values, together.values[7:8], rtol=1e-12)


def test_what_cannot_be_built_or_is_not_known(study, points):
    unknown = replace(study, objectives=(Objective(metric="fairness_frac", minimise=False),))
    assert np.isnan(estimate_of(unknown)(points[:3]).values).all()
    array = next(point for point in points if point["architecture"] == "composable")
    refused = array | {"rows": 9}  # the grid of sub-arrays does not divide it
    assert np.isinf(estimate_of(study)([refused]).values).all()
    assert all(math.isinf(column[0]) for column in estimate_of(study)([refused]).constraints.values())


def test_no_estimate_where_it_would_not_help(study):
    assert estimate_of(replace(study, fidelity="analytic")) is None
    assert estimate_of(replace(study, robust=Robust(rates=(1.0, 2.0)))) is None
