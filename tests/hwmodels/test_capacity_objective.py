"""Capacity as a metric of a study: the same figure as `dse capacity`, from evaluations alone."""

from dataclasses import replace

import pytest

from hwmodels.architectures import TimeMux
from hwmodels.capacity import capacity, evaluate_judged
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.errors import ModelError
from hwmodels.evaluate import evaluate
from hwmodels.networks import network
from hwmodels.robust import at_rate
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload

WORDS = Tenant(name="words", network=network("res8"), traffic=Traffic(kind="poisson", rate_hz=300.0),
               service=ServiceLevel(deadline_s=0.004))
LOAD = Workload(name="words", tenants=(WORDS,), duration_s=0.5)


def design(rows=16):
    engine = Engine(rows=rows, cols=rows, dataflow="ws", sram_bytes=2**19, dram_bytes_per_s=4e9, freq_hz=5e8)
    return Design(architecture=TimeMux(engine=engine), policy="edf")


@pytest.mark.parametrize("rows", [8, 32])
def test_it_is_the_factor_of_dse_capacity(rows):
    outcome = evaluate_judged(design(rows), LOAD, seed=2, metrics=("area_mm2", "capacity_frac"))
    found = capacity(design(rows), LOAD, seed=2, tolerance=0.02)
    assert outcome.metrics["capacity_frac"] == found.factor > 0.0
    others = {name: value for name, value in outcome.metrics.items() if name != "capacity_frac"}
    assert others == evaluate(design(rows), LOAD, seed=2).metrics


@pytest.mark.parametrize("fidelity", ["simulate", "analytic"])
def test_the_edge_passes_and_above_it_fails(fidelity):
    factor = evaluate_judged(design(), LOAD, fidelity=fidelity, metrics=("capacity_frac",)).metrics["capacity_frac"]

    def missed(at):
        return evaluate(design(), at_rate(LOAD, at), fidelity=fidelity).metrics["slo_miss_frac"]

    assert missed(factor) <= 0.0
    assert any(missed(factor * (1.0 + step)) > 0.0 for step in (0.005, 0.01, 0.015, 0.02))


def test_nobody_can_be_served_in_time():
    hopeless = replace(LOAD, tenants=(replace(WORDS, service=ServiceLevel(deadline_s=1e-9)),))
    assert evaluate_judged(design(), hopeless, metrics=("capacity_frac",)).metrics["capacity_frac"] == 0.0


def test_without_a_deadline_there_is_none():
    free = replace(LOAD, tenants=(replace(WORDS, service=ServiceLevel()),))
    with pytest.raises(ModelError, match="deadline"):
        evaluate_judged(design(), free, metrics=("capacity_frac",))
    assert "capacity_frac" not in evaluate_judged(design(), free).metrics
