"""The analytic fidelity against the simulation."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_evaluate import ARCHITECTURE, PAIRS, WORKLOAD, design

from hwmodels.analytic import discipline_of, stations
from hwmodels.evaluate import FIDELITIES, evaluate
from hwmodels.outcome import METRICS
from hwmodels.policies.base import DISCIPLINES
from hwmodels.workload import Tenant, Traffic, Workload


@pytest.mark.parametrize(("name", "policy"), PAIRS)
def test_every_policy_on_every_class(name, policy):
    assert "analytic" in FIDELITIES
    outcome = evaluate(design(name, policy), WORKLOAD, seed=3, fidelity="analytic")
    simulated = evaluate(design(name, policy), WORKLOAD, seed=3)
    assert set(outcome.metrics) == set(METRICS)
    assert set(outcome.tenants) == set(simulated.tenants)
    assert outcome.metrics["area_mm2"] == simulated.metrics["area_mm2"]
    for metric, most in (("mean_latency_s", 1.6), ("p99_latency_s", 2.0), ("energy_per_inference_j", 1.5)):
        ratio = outcome.metrics[metric] / simulated.metrics[metric]
        assert 1.0 / most < ratio < most, (metric, ratio)
    assert evaluate(design(name, policy), WORKLOAD, seed=3, fidelity="analytic") == outcome


def test_stations_of_many_chips_are_those_of_each():
    chips = [architecture.chip(WORKLOAD) for architecture in ARCHITECTURE.values()]
    together = stations(chips, WORKLOAD)
    for d, chip in enumerate(chips):
        one = stations([chip], WORKLOAD)
        places = one.station.time_s.shape[2]
        np.testing.assert_array_equal(together.station.time_s[d, :, :places], one.station.time_s[0])
        assert np.isinf(together.station.time_s[d, :, places:]).all()
        np.testing.assert_array_equal(together.energy_j[d], one.energy_j[0])
        assert together.station.pool[d] == one.station.pool[0]


def test_alone_is_the_fastest_place_or_better():
    found = stations([architecture.chip(WORKLOAD) for architecture in ARCHITECTURE.values()], WORKLOAD).station
    assert (found.alone_s <= found.time_s.min(axis=2)).all()


def test_a_lone_request_takes_its_isolated_latency():
    single = Workload(name="single", duration_s=1.0, tenants=(
        Tenant(name="camera", network=WORKLOAD.tenants[0].network, traffic=Traffic(kind="trace", arrivals_s=(0.1,))),))
    chip = design("time_mux")
    alone = stations([chip.architecture.chip(single)], single).station.alone_s[0, 0]
    outcome = evaluate(chip, single, fidelity="analytic")
    assert outcome.metrics["max_latency_s"] == pytest.approx(alone, rel=1e-3)  # + one decision
    assert outcome.metrics["antt"] == pytest.approx(1.0)


def test_energy_and_area_add_up():
    outcome = evaluate(design("heterogeneous", "edf"), WORKLOAD, fidelity="analytic")
    assert sum(outcome.breakdown["area_mm2"].values()) == pytest.approx(outcome.metrics["area_mm2"])
    assert sum(outcome.breakdown["energy_j"].values()) == pytest.approx(outcome.metrics["energy_j"])
    assert 0.0 < outcome.metrics["engine_utilisation_frac"] < 1.0
    assert all(map(math.isfinite, outcome.metrics.values()))


def test_disciplines_differ_and_are_declared():
    assert discipline_of("fcfs") == DISCIPLINES.index("arrival")
    assert discipline_of("edf") == DISCIPLINES.index("deadline")
    busy = replace(WORKLOAD, tenants=tuple(
        replace(t, traffic=replace(t.traffic, rate_hz=4 * t.traffic.rate_hz)) if t.traffic else t
        for t in WORKLOAD.tenants))
    found = {policy: evaluate(design("time_mux", policy), busy, fidelity="analytic").metrics["mean_latency_s"]
             for policy in ("fcfs", "edf", "sjf", "round_robin")}
    assert len(set(found.values())) == 4
    assert found["sjf"] == min(found.values())


def test_nobody_arrives_is_a_sentence():
    quiet = replace(WORKLOAD, tenants=(replace(WORKLOAD.tenants[0], traffic=Traffic(rate_hz=1, offset_s=0.6)),))
    assert "no request" in evaluate(design("time_mux"), quiet, fidelity="analytic").status
