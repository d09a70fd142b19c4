"""Aggregation over scenarios: hand-computed values, and traffic levels."""

import math

import numpy as np
import pytest

from hwmodels.network import Layer, Network
from hwmodels.outcome import Outcome
from hwmodels.robust import MEAN, WORST, all_tenants, at_rate, cvar, robust_outcome
from hwmodels.traffic import generate, relative_deadline_s
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload

NET = Network(name="one", layers=(Layer(name="l", op="gemm", oy=8, k=8, c=8),))
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(("values", "alpha", "minimise", "expected"), [
    ((1.0, 2.0, 3.0, 4.0), WORST, True, 4.0),
    ((1.0, 2.0, 3.0, 4.0), WORST, False, 1.0),
    ((1.0, 2.0, 3.0, 4.0), MEAN, True, 2.5),
    ((1.0, 2.0, 3.0, 4.0), 0.5, True, 3.5),       # the worse half
    ((1.0, 2.0, 3.0, 4.0), 0.5, False, 1.5),
    ((1.0, 2.0, 3.0, 4.0), 0.6, True, 3.625),     # m = 1.6: (4 + 0.6 x 3) / 1.6
    ((1.0, 2.0, 3.0, 4.0), 0.9, True, 4.0),       # less than one scenario: the worst
    ((0.1,) * 7, MEAN, True, 0.1),                # exactly, not 0.1 + a rounding error
    ((1.0, NAN, 3.0), MEAN, True, 2.0),
    ((1.0, INF, 3.0), MEAN, True, INF),
    ((1.0, INF, 3.0), MEAN, False, INF),
])
def test_cvar_by_hand(values, alpha, minimise, expected):
    assert cvar(values, alpha, minimise=minimise) == pytest.approx(expected, rel=1e-15)
    assert cvar(values[::-1], alpha, minimise=minimise) == cvar(values, alpha, minimise=minimise)


def test_cvar_lies_between_mean_and_worst_and_grows_with_alpha():
    values = np.random.default_rng(1).normal(size=17).tolist()
    found = [cvar(values, alpha) for alpha in np.linspace(0.0, 1.0, 33)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(np.mean(values))
    assert found[-1] == max(values)
    assert math.isnan(cvar([NAN, NAN], 0.5))


def test_an_outcome_of_three_by_hand():
    outcomes = {
        "a": Outcome(status="ok", metrics={"area_mm2": 2.0, "stp": 1.0, "energy_j": 1.0},
                     tenants={"x": {"p99_latency_s": 1.0}, "y": {"p99_latency_s": 5.0}}),
        "b": Outcome(status="ok", metrics={"area_mm2": 2.0, "stp": 3.0, "energy_j": 2.0},
                     tenants={"x": {"p99_latency_s": 2.0}}),
        "c": Outcome(status="ok", metrics={"area_mm2": 2.0, "stp": 2.0, "energy_j": 6.0},
                     tenants={"x": {"p99_latency_s": NAN}}),
    }
    alpha = {"energy_j": MEAN}
    found = robust_outcome(outcomes, lambda m: alpha.get(m, WORST), lambda m: m != "stp", ["stp", "y.p99_latency_s"])
    assert found.status == "ok"
    assert found.metrics == {"area_mm2": 2.0, "stp": 1.0, "energy_j": 3.0}
    assert found.tenants == {"x": {"p99_latency_s": 2.0}, "y": {"p99_latency_s": 5.0}}
    assert found.scenarios == {"a": {"stp": 1.0, "y.p99_latency_s": 5.0}, "b": {"stp": 3.0}, "c": {"stp": 2.0}}


def test_one_scenario_that_cannot_be_served():
    outcomes = {"a": Outcome(status="ok", metrics={"area_mm2": 2.0, "stp": 1.0}),
                "b": Outcome(status="x cannot run", metrics={"area_mm2": 2.0})}
    found = robust_outcome(outcomes, lambda m: WORST, lambda m: True, ["stp"])
    assert found.status == "b: x cannot run"
    assert found.metrics == {"area_mm2": 2.0}


def workload() -> Workload:
    return Workload(name="w", duration_s=10.0, tenants=(
        Tenant(name="camera", network=NET, traffic=Traffic(rate_hz=10.0, offset_s=0.05)),
        Tenant(name="next", network=NET, after="camera"),
        Tenant(name="log", network=NET, traffic=Traffic(kind="trace", arrivals_s=(0.0, 2.0, 6.0, 12.0))),
        Tenant(name="burst", network=NET, service=ServiceLevel(deadline_x_isolated=3.0),
               traffic=Traffic(kind="bursty", rate_hz=40.0, on_s=0.5, off_s=0.25))))


def test_a_traffic_level_keeps_shape_and_service_levels():
    base, fast = workload(), at_rate(workload(), 2.0)
    assert at_rate(base, 1.0) is base
    isolated = np.full(4, 0.01)
    assert relative_deadline_s(fast, isolated).tolist() == relative_deadline_s(base, isolated).tolist() \
        == [0.1, 0.1, INF, 0.03]
    before, after = generate(base, 3, isolated), generate(fast, 3, isolated)

    def arrivals(trace, tenant):
        return trace.arrival_s[trace.tenant == tenant]

    assert len(arrivals(after, 0)) == 2 * len(arrivals(before, 0)) == 200
    assert arrivals(after, 0)[:100] == pytest.approx(arrivals(before, 0) / 2.0)
    assert arrivals(after, 2).tolist() == [0.0, 1.0, 3.0, 6.0]
    long = generate(at_rate(Workload(name="w", duration_s=2000.0, tenants=base.tenants), 2.0), 3, isolated)
    assert len(arrivals(long, 3)) == pytest.approx(2000 * 80, rel=0.05)


def test_all_tenants_are_served_once():
    base = workload()
    more = Tenant(name="more", network=NET, traffic=Traffic(rate_hz=1.0))
    other = Workload(name="o", tenants=(base.tenants[0], more))
    assert all_tenants([base]) is base
    assert [t.name for t in all_tenants([base, other]).tenants] == ["camera", "next", "log", "burst", "more"]


def test_a_rate_table_runs_through_faster():
    table = Traffic(kind="rate_table", rates_hz=(1.0, 3.0), step_s=60.0)
    base = Workload(name="w", duration_s=600.0, tenants=(Tenant(name="a", network=NET, traffic=table),))
    fast = at_rate(base, 2.0).tenants[0].traffic
    assert fast is not None
    assert (fast.rates_hz, fast.step_s) == ((2.0, 6.0), 30.0)
