"""The one function: laws that hold for every class and policy on a small workload."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from hwmodels.architectures import ARCHITECTURES, Composable, Dedicated, Heterogeneous, TimeMux
from hwmodels.area import scheduler_block
from hwmodels.cost import layer_costs
from hwmodels.design import Architecture, Design
from hwmodels.engine import Engine
from hwmodels.errors import InvalidEngine, ModelError
from hwmodels.evaluate import evaluate, evaluate_detail
from hwmodels.network import Layer, Network
from hwmodels.outcome import ANSWER_METRICS, METRICS
from hwmodels.policies import POLICIES
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload

ENGINE = Engine(rows=16, cols=16, dataflow="ws", sram_bytes=1 << 18, dram_bytes_per_s=4e9, freq_hz=0.5e9)


def network(name: str, layers: int, width: int) -> Network:
    stack = [Layer(name=f"conv{i}", op="conv", oy=28, ox=28, k=width, c=width, fy=3, fx=3, pad_y=2, pad_x=2,
                   vector_ops=28 * 28 * width) for i in range(layers)]
    return Network(name=name, layers=(*stack, Layer(name="fc", op="gemm", k=100, c=width)))


BIG, SMALL = network("big", 6, 64), network("small", 3, 24)
WORKLOAD = Workload(name="w", duration_s=0.5, tenants=(
    Tenant(name="camera", network=BIG, traffic=Traffic(rate_hz=30, jitter_frac=0.1), priority=3),
    Tenant(name="voice", network=SMALL, traffic=Traffic(kind="poisson", rate_hz=80),
           service=ServiceLevel(deadline_x_isolated=20)),
    Tenant(name="follow", network=SMALL, after="camera", probability=0.5),
))
ARCHITECTURE: dict[str, Architecture] = {
    "time_mux": TimeMux(engine=ENGINE),
    "composable": Composable(engine=replace(ENGINE, rows=32, cols=32), subarrays=4),
    "heterogeneous": Heterogeneous(engines=(ENGINE, replace(ENGINE, dataflow="os", rows=8))),
    "dedicated": Dedicated(engines=(ENGINE, ENGINE, ENGINE), tenants=("camera", "voice", "follow"),
                           dram_fracs=(0.5, 0.25, 0.25)),
}
PAIRS = [(name, policy) for name in ARCHITECTURES for policy in POLICIES
         if name in POLICIES[policy].architectures]


def test_early_exits_end_requests_and_are_measured_against_their_own_depth() -> None:
    """Periodic requests far apart: everyone runs alone, NTT is 1 whatever the exit, and the exits have their shares."""
    deep = BIG.with_exits({"conv1": 0.5, "conv3": 0.5})
    tenant = Tenant(name="camera", network=deep, traffic=Traffic(rate_hz=4))
    found = evaluate_detail(design("time_mux"), Workload(name="w", duration_s=200.0, tenants=(tenant,)), seed=1)
    assert found.outcome.metrics["antt"] == pytest.approx(1.0, rel=1e-9)
    assert found.trace is not None
    shares = np.bincount(found.trace.sample, minlength=3) / len(found.trace.sample)
    assert shares == pytest.approx(deep.exit_shares, abs=5 * 0.5 / 800**0.5)  # 5 standard errors
    whole = evaluate(design("time_mux"), replace(WORKLOAD, tenants=(replace(tenant, network=BIG),)), seed=1)
    assert found.outcome.metrics["mean_latency_s"] < 0.7 * whole.metrics["mean_latency_s"]
    assert found.outcome.metrics["max_latency_s"] == pytest.approx(whole.metrics["max_latency_s"], rel=1e-9)


def design(name: str, policy: str = "fcfs", **changes: object) -> Design:
    return replace(Design(architecture=ARCHITECTURE[name], policy=policy, scheduler="hardware"), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "policy"), PAIRS)
def test_every_policy_on_every_class(name: str, policy: str) -> None:
    outcome = evaluate(design(name, policy), WORKLOAD, seed=3)
    assert outcome.ok, outcome.status
    assert set(outcome.metrics) == set(METRICS)
    assert all(math.isfinite(value) for value in outcome.metrics.values()), outcome.metrics
    for tenant in WORKLOAD.tenants:
        assert set(outcome.tenants[tenant.name]) == {
            m for m, record in METRICS.items() if record.per_tenant and m not in ANSWER_METRICS}
    assert sum(outcome.breakdown["area_mm2"].values()) == pytest.approx(outcome.metrics["area_mm2"], rel=1e-12)
    assert sum(outcome.breakdown["energy_j"].values()) == pytest.approx(outcome.metrics["energy_j"], rel=1e-12)
    assert 0.0 < outcome.metrics["engine_utilisation_frac"] <= 1.0
    assert 0.0 < outcome.metrics["dram_utilisation_frac"] <= 1.0
    for tenant in WORKLOAD.tenants:
        assert sum(outcome.breakdown[f"time_frac.{tenant.name}"].values()) == pytest.approx(1.0)
    assert pickle.loads(pickle.dumps(outcome)) == outcome
    assert evaluate(design(name, policy), WORKLOAD, seed=3) == outcome


@pytest.mark.parametrize(("name", "policy"), PAIRS)
def test_one_request_alone_takes_its_isolated_latency(name: str, policy: str) -> None:
    alone = Workload(name="alone", duration_s=1.0, tenants=tuple(
        Tenant(name=tenant, network=BIG, traffic=Traffic(kind="trace", arrivals_s=(at,)))
        for tenant, at in (("camera", 0.0), ("voice", 0.4), ("follow", 0.8))
    ))
    detail = evaluate_detail(design(name, policy), alone)
    assert detail.records is not None
    assert detail.isolated_s is not None
    np.testing.assert_allclose(detail.records.finish_s - np.array([0.0, 0.4, 0.8]), detail.isolated_s, rtol=1e-12)


def test_isolated_on_one_engine_is_the_sum_of_its_layers() -> None:
    detail = evaluate_detail(design("time_mux", scheduler="hardware"), WORKLOAD)
    assert detail.isolated_s is not None
    assert detail.isolated_s[0] >= layer_costs(BIG, ENGINE).latency_s.sum()
    assert detail.isolated_s[0] == pytest.approx(layer_costs(BIG, ENGINE).latency_s.sum(), rel=1e-3)  # + decisions


def test_order_of_tenants_changes_nothing() -> None:
    turned = replace(WORKLOAD, tenants=WORKLOAD.tenants[::-1])
    for name in ("time_mux", "composable", "dedicated"):
        one, two = evaluate(design(name, "edf"), WORKLOAD), evaluate(design(name, "edf"), turned)
        for metric, value in one.metrics.items():
            assert two.metrics[metric] == pytest.approx(value, rel=1e-9), metric


def test_more_load_never_reduces_waiting_on_one_fcfs_engine() -> None:
    """Same arrivals plus one more tenant: FCFS delays every old request or leaves it alone."""
    extra = Tenant(name="extra", network=SMALL, traffic=Traffic(kind="poisson", rate_hz=40))
    busier = replace(WORKLOAD, tenants=(*WORKLOAD.tenants, extra))
    before, after = evaluate(design("time_mux"), WORKLOAD), evaluate(design("time_mux"), busier)
    for tenant in WORKLOAD.tenants:
        assert after.tenants[tenant.name]["mean_latency_s"] >= before.tenants[tenant.name]["mean_latency_s"] - 1e-12


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_the_scheduler_enters_area_energy_and_time(pair: tuple[str, str]) -> None:
    for kind in ("software", "hardware"):
        detail = evaluate_detail(design(*pair, scheduler=kind), WORKLOAD, record=False)
        assert detail.machine is not None
        assert detail.records is not None
        node_nm = detail.prepared.chip.slots[0].levels[0][1][0].node_nm
        block, found = scheduler_block(kind, pair[1], node_nm), detail.outcome
        assert found.breakdown["area_mm2"]["scheduler"] == block.area_mm2
        assert (block.area_mm2 > 0.0) == (kind == "hardware")
        elapsed = found.metrics["energy_j"] / found.metrics["power_w"]
        energy = block.power_w * elapsed + block.decision_j * detail.records.decisions
        assert found.breakdown["energy_j"]["scheduler"] == pytest.approx(energy, rel=1e-9)
        # at the least the first layer of every request waits for its decision
        started = int(np.isfinite(detail.records.start_s).sum())
        assert detail.machine.decision_s == block.decision_s > 0.0
        assert detail.records.decisions >= started > 0
        assert detail.records.overhead_s >= started * block.decision_s * (1 - 1e-9)


def test_software_scheduler_pays_time_hardware_pays_area() -> None:
    hard = evaluate(design("time_mux", "edf"), WORKLOAD)
    soft = evaluate(design("time_mux", "edf", scheduler="software"), WORKLOAD)
    assert hard.metrics["area_mm2"] > soft.metrics["area_mm2"]
    assert hard.metrics["mean_latency_s"] < soft.metrics["mean_latency_s"]


def test_what_cannot_run_is_a_sentence() -> None:
    tiny = Design(architecture=TimeMux(engine=replace(ENGINE, sram_bytes=8)), policy="fcfs")
    outcome = evaluate(tiny, WORKLOAD)
    assert not outcome.ok
    assert "camera" in outcome.status
    assert outcome.metrics["area_mm2"] > 0


def test_nobody_arrives_is_a_sentence() -> None:
    quiet = Workload(name="quiet", duration_s=0.1, tenants=(
        Tenant(name="camera", network=BIG, traffic=Traffic(rate_hz=1, offset_s=0.5)),))
    assert "no request" in evaluate(design("time_mux"), quiet).status


def test_contradictions_are_errors() -> None:
    with pytest.raises(InvalidEngine, match="no engine for"):
        evaluate(design("dedicated"), replace(WORKLOAD, tenants=(replace(WORKLOAD.tenants[0], name="new"),)))
    with pytest.raises(ModelError, match="fidelity"):
        evaluate(design("time_mux"), WORKLOAD, fidelity="guess")


@pytest.mark.parametrize("policy", [policy for name, policy in PAIRS if name == "heterogeneous"])
def test_the_order_of_engines_means_nothing(policy: str) -> None:
    """To the last digit, with two engines that serve some tasks equally well."""
    engines = (ENGINE, replace(ENGINE, dataflow="os", rows=8), replace(ENGINE, sram_bytes=1 << 17))
    some = [evaluate(replace(design("heterogeneous"), architecture=Heterogeneous(engines=order), policy=policy),
                     WORKLOAD) for order in (engines, engines[::-1], (engines[1], engines[2], engines[0]))]
    assert some[0].metrics == some[1].metrics == some[2].metrics
    assert some[0].tenants == some[1].tenants == some[2].tenants
    area = some[0].breakdown["area_mm2"]
    assert area == {name.replace("engine0", "x").replace("engine2", "engine0").replace("x", "engine2"): mm2
                    for name, mm2 in some[1].breakdown["area_mm2"].items()}
