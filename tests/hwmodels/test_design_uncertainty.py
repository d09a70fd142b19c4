"""A design's metrics as functions of the constants."""

import pytest

from hwmodels.architectures import Composable, Heterogeneous, TimeMux
from hwmodels.cost import layer_costs
from hwmodels.design import Design
from hwmodels.design_uncertainty import design_evaluation
from hwmodels.engine import Engine
from hwmodels.evaluate import evaluate
from hwmodels.networks import network
from hwmodels.technology import Constants
from hwmodels.uncertainty import intervals, ranking
from hwmodels.workload import Tenant, Traffic, Workload

CENTRE = Constants.of()
ENGINE = Engine(rows=16, cols=16, dataflow="ws", sram_bytes=2**18, dram_bytes_per_s=8e9, freq_hz=1e9)
WORKLOAD = Workload(name="two", duration_s=0.1, tenants=(
    Tenant(name="words", network=network("res8"), traffic=Traffic(rate_hz=50.0)),
    Tenant(name="image", network=network("mobilenet_v2"), traffic=Traffic(rate_hz=30.0))))


def design(architecture, scheduler="hardware"):
    return Design(architecture=architecture, policy="edf", scheduler=scheduler)


@pytest.mark.parametrize("architecture", [
    TimeMux(engine=ENGINE), Composable(engine=ENGINE, subarrays=4),
    Heterogeneous(engines=(ENGINE, Engine(rows=8, cols=8, dataflow="os", sram_bytes=2**16, dram_bytes_per_s=8e9,
                                          freq_hz=1e9)))])
@pytest.mark.parametrize("scheduler", ["hardware", "software"])
def test_central_constants_give_the_evaluation(architecture, scheduler):
    chosen = design(architecture, scheduler)
    expected = evaluate(chosen, WORKLOAD).metrics
    found = design_evaluation(chosen, WORKLOAD)(CENTRE)
    assert found == pytest.approx({name: expected[name] for name in found}, rel=1e-9)


def test_one_constant_moves_its_part_only():
    chosen = design(TimeMux(engine=ENGINE))
    metrics = design_evaluation(chosen, WORKLOAD)
    dearer = metrics(Constants.of({"dram_lpddr4_energy_j_per_byte": 1.0}))
    dram = sum(count * layer_costs(network(name), ENGINE).dram_energy_j.sum() for name, count in (("res8", 5),
                                                                                                  ("mobilenet_v2", 3)))
    assert dearer["energy_j"] - metrics(CENTRE)["energy_j"] == pytest.approx(dram * (12.0 / 8.0 - 1.0), rel=1e-6)
    assert dearer["area_mm2"] == metrics(CENTRE)["area_mm2"]
    assert dearer["p99_latency_s"] == metrics(CENTRE)["p99_latency_s"]


def test_slow_software_delays():
    metrics = design_evaluation(design(TimeMux(engine=ENGINE), "software"), WORKLOAD)
    assert metrics(Constants.of({"software_decision_s": 1.0}))["mean_latency_s"] > metrics(CENTRE)["mean_latency_s"]


def test_intervals_and_ranking():
    small, large = (design(TimeMux(engine=engine)) for engine in (
        ENGINE, Engine(rows=32, cols=32, dataflow="ws", sram_bytes=2**20, dram_bytes_per_s=8e9, freq_hz=1e9)))
    found = intervals(design_evaluation(small, WORKLOAD), samples=16)
    for name in ("area_mm2", "energy_j", "power_w"):
        assert found[name].low < found[name].p05 <= found[name].value <= found[name].p95 < found[name].high
    order = ranking(design_evaluation(small, WORKLOAD), design_evaluation(large, WORKLOAD), samples=16)
    assert order["area_mm2"].survives
    assert order["area_mm2"].difference < 0.0
