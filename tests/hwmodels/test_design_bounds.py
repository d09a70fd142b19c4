"""No simulated design is better than its bounds."""

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwmodels.architectures import Composable, Dedicated, Heterogeneous, TimeMux
from hwmodels.design import Design
from hwmodels.design_bounds import design_bounds
from hwmodels.engine import Engine
from hwmodels.evaluate import evaluate
from hwmodels.networks import network
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload

WORKLOAD = Workload(name="three", duration_s=0.05, tenants=(
    Tenant(name="words", network=network("res8"), traffic=Traffic(rate_hz=200.0)),
    Tenant(name="image", network=network("mobilenet_v2"), traffic=Traffic(kind="poisson", rate_hz=100.0),
           service=ServiceLevel(deadline_s=0.01)),
    Tenant(name="again", network=network("res8"), after="words", probability=0.7)))

sizes = st.sampled_from([8, 16, 32])
engines = st.builds(
    Engine, rows=sizes, cols=sizes, dataflow=st.sampled_from(["ws", "os", "is"]),
    sram_bytes=st.sampled_from([2**16, 2**18, 2**20]), dram_bytes_per_s=st.just(8e9), freq_hz=st.just(1e9),
    vector_lanes=st.sampled_from([8, 64]))


@st.composite
def architectures(draw):
    engine = draw(engines)
    kind = draw(st.sampled_from(["time_mux", "composable", "heterogeneous", "dedicated"]))
    if kind == "time_mux":
        return TimeMux(engine=engine)
    if kind == "composable":
        return Composable(engine=engine, subarrays=4)
    others = (engine, replace(draw(engines), dram_bytes_per_s=8e9))
    if kind == "heterogeneous":
        return Heterogeneous(engines=others)
    return Dedicated(engines=(*others, engine), tenants=("words", "image", "again"), dram_fracs=(0.2, 0.5, 0.3))


@settings(max_examples=60, deadline=None)
@given(architecture=architectures(), policy=st.sampled_from(["fcfs", "edf", "sjf", "layerweaver"]),
       scheduler=st.sampled_from(["software", "hardware"]), seed=st.integers(0, 5))
def test_bounds_are_below_the_simulation(architecture, policy, scheduler, seed):
    assume(policy != "layerweaver" or isinstance(architecture, TimeMux))
    design = Design(architecture=architecture, policy=policy, scheduler=scheduler)
    outcome = evaluate(design, WORKLOAD, seed=seed)
    overall, tenants = design_bounds(design, WORKLOAD)
    assert overall["area_mm2"] == pytest.approx(outcome.metrics["area_mm2"], rel=1e-12)
    if not outcome.ok:
        return
    for name, bound in overall.items():
        value = outcome.metrics[name]
        assert math.isnan(value) or bound <= value * (1 + 1e-12), name
    for tenant, bounds in tenants.items():
        for name, bound in bounds.items():
            value = outcome.tenants[tenant][name]
            assert math.isnan(value) or bound <= value * (1 + 1e-12), (tenant, name)


def test_bounds_are_close_when_nothing_waits():
    engine = Engine(rows=16, cols=16, dataflow="ws", sram_bytes=2**18, dram_bytes_per_s=8e9, freq_hz=1e9)
    alone = Workload(name="one", duration_s=0.1, tenants=(
        Tenant(name="image", network=network("mobilenet_v2"), traffic=Traffic(rate_hz=20.0)),))
    design = Design(architecture=TimeMux(engine=engine), policy="fcfs", scheduler="hardware")
    bound = design_bounds(design, alone)[0]["p99_latency_s"]
    assert bound <= evaluate(design, alone).metrics["p99_latency_s"] <= 1.1 * bound
