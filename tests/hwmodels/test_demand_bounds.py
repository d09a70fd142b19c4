"""Bounds of a design's metrics: never above what the simulation returns, whatever the class and the policy."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from design_cases import ENGINE, PAIRS, one_tenant, random_design, workload

from hwmodels.architectures import TimeMux
from hwmodels.area import scheduler_block
from hwmodels.batch import batch_columns
from hwmodels.cost import networks_costs
from hwmodels.demand_bounds import metric_bounds
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.evaluate import evaluate_detail, prepare
from hwmodels.network import Layer, Network
from hwmodels.offered_load import least_finished, offered_load
from hwmodels.outcome import ANSWER_METRICS, METRICS
from hwmodels.request_costs import CloserDemand, chip_demand, prepared_demand, rows_of
from hwmodels.scheduling import block_of
from hwmodels.workload import Tenant, Traffic, Workload


def both_bounds(design: Design, work: Workload, seed: int, metrics: list[str],
                least: np.ndarray | None = None) -> list[dict[str, float]]:
    """From layers, and from the exact cost tables."""
    load = offered_load(work, seed)
    chip = design.architecture.chip(work)
    block = block_of(design.scheduler, design.policy, design.policy_params, 16)
    exact = prepared_demand(prepare(design, work), work, load)
    found = []
    for demand in (chip_demand([chip], work, load), exact):
        bounds = metric_bounds(
            demand, load, work, [block], area_mm2=np.array([sum(chip.area_mm2.values()) + block.area_mm2]),
            leakage_w=np.array([chip.leakage_w]), metrics=metrics,
            least=least_finished(load) if least is None else least)
        found.append({name: float(values[0]) for name, values in bounds.items()})
    return found


NAMES = [*METRICS, *(f"{t}.{m}" for t in ("camera", "voice", "follow") for m, r in METRICS.items()
                     if r.per_tenant and m not in ANSWER_METRICS)]


@pytest.mark.parametrize(("kind", "policy"), PAIRS)
def test_no_policy_beats_the_bounds(kind: str, policy: str) -> None:
    rng = np.random.default_rng(sum(map(ord, kind + policy)))
    for case in range(4):
        work = workload(load=float(rng.choice([0.3, 1.0, 3.0, 10.0])), drop=case % 2 == 1,
                        multiple=None if case % 2 else 20.0)
        design = random_design(rng, work, kind, policy)
        outcome = evaluate_detail(design, work, seed=case, record=False).outcome
        assert outcome.ok, outcome.status
        finite = {"finite_tail": math.isfinite(outcome.metrics["p99_deadline_frac"]),
                  "finite_miss": math.isfinite(outcome.metrics["slo_miss_frac"]),
                  "violation_frac": outcome.metrics["slo_violation_frac"], "drop_frac": outcome.metrics["drop_frac"]}
        load = offered_load(work, case)
        least = least_finished(load, **finite)
        values = outcome.metrics | {f"{t}.{m}": v for t, own in outcome.tenants.items() for m, v in own.items()}
        for limits in (None, least):
            for bounds in both_bounds(design, work, case, NAMES, limits):
                for name, bound in bounds.items():
                    if math.isnan(values[name]):
                        continue
                    if METRICS[name.rpartition(".")[2]].minimise:
                        assert bound <= values[name], (name, bound, values[name], case)
                    else:
                        assert bound >= values[name], (name, bound, values[name], case)


def test_area_is_exact_and_exact_costs_are_no_looser() -> None:
    rng = np.random.default_rng(5)
    for kind in ("time_mux", "composable", "heterogeneous", "dedicated"):
        work = workload()
        design = random_design(rng, work, kind, "edf")
        outcome = evaluate_detail(design, work, record=False).outcome
        layers, exact = both_bounds(design, work, 0, ["area_mm2", "energy_j", "max_latency_s"])
        assert layers["area_mm2"] == outcome.metrics["area_mm2"]
        assert exact["energy_j"] >= layers["energy_j"] * (1 - 1e-9)
        assert exact["max_latency_s"] >= layers["max_latency_s"] * (1 - 1e-9)


def test_late_requests_by_hand() -> None:
    """Pairs of requests at the same time, deadline one and a half latencies: one of each pair must be late."""
    alone = Design(architecture=TimeMux(engine=ENGINE), policy="fcfs", scheduler="hardware")
    latency = evaluate_detail(alone, one_tenant(0.0, deadline_s=1.0), record=False).outcome.metrics["max_latency_s"]
    work = one_tenant(0.0, 0.0, 0.1, 0.1, 0.2, 0.2, 0.3, deadline_s=1.5 * latency)
    _, exact = both_bounds(alone, work, 0, ["slo_violation_frac", "p99_deadline_frac"])
    assert exact["slo_violation_frac"] == 3 / 7
    outcome = evaluate_detail(alone, work, record=False).outcome
    assert outcome.metrics["slo_violation_frac"] == 3 / 7
    # p99 of 7 leaves one request free; the second of a pair ends after 2 latencies = 4/3 of the deadline
    assert 1.3 < exact["p99_deadline_frac"] <= outcome.metrics["p99_deadline_frac"] == pytest.approx(4 / 3, rel=1e-3)


def test_lasting_overload_is_seen() -> None:
    """Ten requests per latency: the backlog at the end is about nine tenths of all the work."""
    alone = Design(architecture=TimeMux(engine=ENGINE), policy="fcfs", scheduler="hardware")
    latency = evaluate_detail(alone, one_tenant(0.0, deadline_s=1.0), record=False).outcome.metrics["max_latency_s"]
    work = one_tenant(*(i * latency / 10 for i in range(300)), deadline_s=latency)
    _, exact = both_bounds(alone, work, 0, ["p99_deadline_frac"])
    value = evaluate_detail(alone, work, record=False).outcome.metrics["p99_deadline_frac"]
    assert 0.9 * value <= exact["p99_deadline_frac"] <= value


def test_rows_of_repeats() -> None:
    work = workload()
    demand = chip_demand([TimeMux(engine=ENGINE).chip(work)], work, offered_load(work, 0))
    assert rows_of(demand, np.array([0, 0])).latency_s.shape == (2, 4)


def test_interpolation_of_the_percentile_counts() -> None:
    """Two requests at once: 0.01 of the first and 0.99 of the second, which ends after two latencies."""
    alone = Design(architecture=TimeMux(engine=ENGINE), policy="fcfs", scheduler="hardware")
    work = one_tenant(0.0, 0.0, deadline_s=1.0)
    _, exact = both_bounds(alone, work, 0, ["p99_deadline_frac"])
    outcome = evaluate_detail(alone, work, record=False).outcome
    value = outcome.metrics["p99_deadline_frac"]
    assert 0.98 * value < exact["p99_deadline_frac"] <= value == pytest.approx(
        0.01 * outcome.metrics["max_latency_s"] / 2 + 0.99 * outcome.metrics["max_latency_s"], rel=1e-3)


def test_a_limit_is_all_that_has_to_be_shown() -> None:
    """Below the bound the answer is just above the limit; beyond the value of the simulation nothing can be shown."""
    alone = Design(architecture=TimeMux(engine=ENGINE), policy="fcfs", scheduler="hardware")
    work = one_tenant(0.0, 0.0, 0.0, deadline_s=1.0)
    load, prepared = offered_load(work, 0), prepare(alone, work)
    value = evaluate_detail(alone, work, record=False).outcome.metrics["p99_deadline_frac"]
    demand = rows_of(prepared_demand(prepared, work, load), np.zeros(2, dtype=np.int64))
    limits = np.array([0.9 * value, 1.1 * value])
    bounds = metric_bounds(demand, load, work, [scheduler_block("hardware", "fcfs", 16)] * 2, area_mm2=np.ones(2),
                           leakage_w=np.zeros(2), metrics=["p99_deadline_frac"], least=load.requests,
                           limits={"p99_deadline_frac": limits}, steps=0)["p99_deadline_frac"]
    assert limits[0] < bounds[0] < 0.91 * value
    assert bounds[1] <= value


@pytest.mark.parametrize("kind", ["time_mux", "composable", "heterogeneous", "dedicated"])
def test_costing_more_networks_bounds_closer(kind: str) -> None:
    work = workload(multiple=None)
    design = random_design(np.random.default_rng(3), work, kind, "edf")
    outcome = evaluate_detail(design, work, record=False).outcome
    load, chip = offered_load(work, 0), design.architecture.chip(work)
    energies = []
    for known in range(len(work.networks) + 1):
        demand = chip_demand([chip], work, load, exact=work.networks[:known])
        bounds = metric_bounds(demand, load, work, [scheduler_block("software", "edf", 16)],
                               area_mm2=np.ones(1), leakage_w=np.array([chip.leakage_w]),
                               metrics=["energy_j", "max_latency_s"], least=load.requests)
        energies.append(float(bounds["energy_j"][0]))
        assert bounds["max_latency_s"][0] <= outcome.metrics["max_latency_s"]
    assert energies == sorted(energies)
    assert energies[-1] <= outcome.metrics["energy_j"]


@pytest.mark.parametrize("kind", ["time_mux", "composable", "heterogeneous", "dedicated"])
def test_costing_engine_by_engine_bounds_closer(kind: str) -> None:
    """From the bounds of `chip_demand` up to at most what the simulation takes, never down."""
    work = workload(multiple=None)
    design = random_design(np.random.default_rng(4), work, kind, "edf")
    outcome = evaluate_detail(design, work, record=False).outcome
    load, chip = offered_load(work, 0), design.architecture.chip(work)
    closer = CloserDemand(chip, work, load)
    for mine, other in zip(closer.demand(), chip_demand([chip], work, load), strict=True):
        assert np.allclose(mine, other, rtol=1e-12, equal_nan=True)
    energies = [np.zeros(len(work.tenants))]
    for n in range(len(work.networks)):
        while (engine := closer.uncertain(n)) is not None:
            closer.cost(n, engine)
            demand = closer.demand()
            bounds = metric_bounds(demand, load, work, [scheduler_block(design.scheduler, "edf", 16)],
                                   area_mm2=np.ones(1), leakage_w=np.array([chip.leakage_w]),
                                   metrics=["energy_j", "max_latency_s"], least=load.requests)
            assert bounds["max_latency_s"][0] <= outcome.metrics["max_latency_s"]
            assert bounds["energy_j"][0] <= outcome.metrics["energy_j"]
            assert (demand.energy_j[0] >= energies[-1] * (1 - 1e-12)).all()
            energies.append(demand.energy_j[0])
    assert len(energies) > len(work.networks)


FORMS = ("packed_diagonal", "per_channel", "vector_unit")


@pytest.mark.parametrize(("engine", "layer"), [
    (Engine(rows=32, cols=8, dataflow="rs", sram_bytes=1 << 19, dram_bytes_per_s=32e9, freq_hz=2e8, vector_lanes=16,
            depthwise_modes=FORMS), Layer(name="conv", op="conv", k=64, c=3, oy=7, ox=7, fy=3, fx=3)),
    (Engine(rows=12, cols=32, dataflow="is", sram_bytes=1 << 17, dram_bytes_per_s=1e11, freq_hz=2e8, vector_lanes=16,
            depthwise_modes=FORMS), Layer(name="conv", op="conv", k=1, c=16, oy=14, ox=14, fy=7, fx=7)),
    (Engine(rows=8, cols=14, dataflow="ws", sram_bytes=1 << 15, dram_bytes_per_s=8e9, freq_hz=1e9, vector_lanes=4,
            depthwise_modes=FORMS), Layer(name="conv", op="conv", groups=8, oy=14, ox=14, fy=3, fx=3))])
def test_a_batch_may_take_less_energy_than_one_request(engine: Engine, layer: Layer) -> None:
    """Another mapping is the fastest: so the exact energy of one request bounds no pass of several."""
    network = Network(name="one", layers=(layer,))
    energies = batch_columns([networks_costs([network.with_batch(b)], engine)[0] for b in range(1, 5)]).energy_j[:, 0]
    design = Design(architecture=TimeMux(engine=engine), policy="fcfs")
    work = Workload(name="one", duration_s=1.0, tenants=(
        Tenant(name="one", network=network, traffic=Traffic(rate_hz=10.0)),))
    load, chip = offered_load(work, 0), design.architecture.chip(work)
    closer = CloserDemand(chip, work, load)
    closer.cost(0, 0)
    exact = prepared_demand(prepare(design, work), work, load)
    assert energies.min() < exact.energy_j[0, 0] == pytest.approx(energies[0])
    for demand in (exact, closer.demand(), chip_demand([chip], work, load), chip_demand([chip], work, load,
                                                                                        exact=work.networks)):
        assert 0.0 < demand.pass_j[0, 0] <= energies.min()
