"""Batches: by hand, the laws of the batching policies, their costs, stackable PEs."""

import sys
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import machine, random_case, table, trace, with_batches, with_exits

from hwmodels.architectures import TimeMux
from hwmodels.area import engine_area_mm2
from hwmodels.batch import batch_columns
from hwmodels.cost import layer_costs
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.engines import forms
from hwmodels.engines.common import untiled_cycles
from hwmodels.errors import InvalidPolicy
from hwmodels.evaluate import evaluate, evaluate_detail
from hwmodels.kernel import simulate
from hwmodels.network import Layer, Network
from hwmodels.networks import network
from hwmodels.policies import POLICIES
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload

BATCHING = [name for name, record in POLICIES.items() if record.batch is not None]
ENGINE = Engine(rows=32, cols=32, dataflow="ws", sram_bytes=2**20, dram_bytes_per_s=8e9, freq_hz=1e9,
                fold_overlap="double_buffered", depthwise_modes=("per_channel", "vector_unit"))


def same_records(first, second):
    for name in first._fields:
        np.testing.assert_array_equal(np.asarray(getattr(first, name)), np.asarray(getattr(second, name)), err_msg=name)


def flat(networks, most=8, **extra):
    """A table whose layers take the same time for every batch."""
    costs = table([[rows] for rows in networks], **extra)
    scale = np.ones((most, 1))
    return costs._replace(batch_latency_s=costs.latency_s * scale, batch_dram_bytes=costs.dram_bytes * scale,
                          batch_energy_j=costs.energy_j * scale,
                          batch_live_bytes=costs.live_bytes * np.arange(1, most + 1)[:, None])


# ---- by hand ----
def test_newcomers_catch_up_and_merge():
    """Layers of 1 s whatever the batch. At 2 the request of 1.5 is pushed; it reaches the other at 4; both end at 6."""
    records = simulate(flat([[1.0] * 4]), machine(1), trace([0.0, 1.5], [0, 0]), "lazy_batching", record=True)
    assert records.finish_s.tolist() == [6.0, 6.0]
    assert records.preemptions.tolist() == [1, 0]
    assert records.engine_busy_s.tolist() == [6.0]
    assert records.service_s.tolist() == [4.0, 4.0]
    assert records.energy_j.tolist() == [3.0, 3.0]
    assert sorted(map(tuple, records.spans[records.spans[:, 0] >= 4.0][:, [0, 2, 3, 5]])) == [
        (4.0, 0.0, 2.0, 0.5), (4.0, 1.0, 2.0, 0.5), (5.0, 0.0, 3.0, 0.5), (5.0, 1.0, 3.0, 0.5)]


@pytest.mark.parametrize(("deadline", "finish"), [
    (8.0, [6.0, 6.0]),  # serial: 2 + 4 s are left at 2
    (7.9, [4.0, 8.0]),  # that would be late, and is on time alone: no push
    (3.9, [6.0, 6.0]),  # late anyway: protects nobody
])
def test_slack_test_by_hand(deadline, finish):
    requests = trace([0.0, 1.5], [0, 0], deadlines=[deadline, np.inf])
    assert simulate(flat([[1.0] * 4]), machine(1), requests, "lazy_batching").finish_s.tolist() == finish
    by_table = simulate(flat([[1.0] * 4]), machine(1), requests._replace(deadline_s=np.array([6.0, np.inf])),
                        "lazy_batching", {"slack_test": 1})
    assert by_table.finish_s.tolist() == [6.0, 6.0]  # 2 s to catch up, 2 s together


def test_parking_is_charged():
    """10 bytes at 5 byte/s: 2 s to save before the newcomer runs, 2 s to restore before both go on."""
    costs = flat([[1.0] * 4], live=10.0)
    records = simulate(costs, machine(1, bandwidth=5.0, dram_j_per_byte=0.5), trace([0.0, 1.5], [0, 0]),
                       "lazy_batching")
    assert records.finish_s.tolist() == [10.0, 10.0]
    assert (records.overhead_s, records.dram_bytes) == (4.0, 20.0)
    assert records.energy_j.sum() == 6.0 + 20.0 * 0.5


def test_window_of_graph_batching():
    """A batch starts when it is full or its oldest request has waited for the window; who comes later waits."""
    costs, requests = flat([[1.0, 1.0]]), trace([0.0, 0.05, 0.5, 9.0], [0] * 4)
    run = simulate(costs, machine(1), requests, "graph_batching", {"window_s": 0.1, "max_batch": 8})
    assert run.start_s.tolist() == [0.1, 0.1, 2.1, 9.1]
    full = simulate(costs, machine(1), requests, "graph_batching", {"window_s": 0.1, "max_batch": 2})
    assert full.start_s.tolist() == [0.05, 0.05, 2.05, 9.1]


def test_exits_free_places_for_newcomers():
    """Two requests, one leaves after the first layer. Fluid batching gives its place to the third: with batches of two
    and B s per layer the survivor is parked for 1 s, then two run together; the others compute the empty place on."""
    costs = table([[[1.0] * 3]])._replace(exit_frac=np.array([0.5, 0.0, 0.0]), depth=np.array([[3, 1]]),
                                          offset=np.zeros((1, 2, 1, 1), dtype=np.int64))
    requests = trace([0.0, 0.0, 1.0], [0] * 3, samples=[0, 1, 0])
    fluid = simulate(costs, machine(1), requests, "fluid_batching", {"max_batch": 2})
    assert fluid.finish_s.tolist() == [2.0 + 1.0 + 4.0, 2.0, 7.0]
    for name in ("lazy_batching", "graph_batching"):
        agnostic = simulate(costs, machine(1), requests, name, {"max_batch": 2})
        assert agnostic.finish_s.tolist() == [6.0, 2.0, 9.0]
        assert agnostic.energy_j.sum() == 2 * 3 + 3


def test_members_with_other_rows_cost_their_mean():
    """Two samples of 1 s and 3 s: a batch of two takes (2 x 1 + 2 x 3) / 2 s."""
    costs = table([[[1.0]]])._replace(
        latency_s=np.array([1.0, 3.0]), estimate_s=np.array([2.0, 2.0]), offset=np.array([0, 1]).reshape(1, 2, 1, 1),
        dram_bytes=np.zeros(2), energy_j=np.ones(2), live_bytes=np.zeros(2), sparsity_frac=np.zeros(2))
    assert simulate(costs, machine(1), trace([0.0, 0.0], [0, 0], samples=[0, 1]), "graph_batching"
                    ).finish_s.tolist() == [4.0, 4.0]


def test_batches_beyond_the_table_are_refused():
    with pytest.raises(InvalidPolicy, match="at most 4"):
        simulate(flat([[1.0]], most=4), machine(1), trace([0.0], [0]), "lazy_batching")
    with pytest.raises(InvalidPolicy, match="whole number"):
        simulate(flat([[1.0]]), machine(1), trace([0.0], [0]), "lazy_batching", {"max_batch": 2.5})


# ---- laws ----
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), followers=st.booleans(), drop=st.booleans(), name=st.sampled_from(BATCHING))
def test_batches_of_one_are_first_come_first_served(seed, followers, drop, name):
    case = random_case(seed, load=1.2, followers=followers, drop=drop)
    same_records(simulate(*case, name, {"max_batch": 1}, record=True), simulate(*case, "fcfs", record=True))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(BATCHING))
def test_no_throughput_without_sublinear_batches(seed, name):
    """A batch of B takes B times one request: the engine is as busy, and done as late, as one request at a time."""
    case = random_case(seed, load=1.5, costs=False)
    batched, serial = simulate(*case, name), simulate(*case, "fcfs")
    assert batched.engine_busy_s[0] == serial.engine_busy_s[0]
    assert batched.finish_s.max() == serial.finish_s.max()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_without_deadlines_merging_is_greedy(seed):
    """Whatever waits for the running network joins at the next layer: nobody of it waits longer than that."""
    costs, chip, requests = with_batches(random_case(seed, load=0.7, costs=False, networks=1, layers=6), seed)
    requests = requests._replace(deadline_s=np.full(len(requests.arrival_s), np.inf))
    records = simulate(costs, chip, requests, "lazy_batching", {"max_batch": 64}, record=True)
    longest = (records.spans[:, 1] - records.spans[:, 0]).max()
    assert (records.start_s - records.ready_s <= longest).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), load=st.sampled_from([0.5, 0.9, 1.3]), linear=st.booleans())
def test_no_push_makes_a_request_late(seed, load, linear):
    """Exact lengths, lat(B) <= B lat(1), no switch costs. Of those on the stack after a push, whoever could still meet
    the deadline if it ran alone meets it."""
    case = random_case(seed, load=load, costs=False, requests=30, layers=6)
    costs, chip, requests = case if linear else with_batches(case, seed)
    records = simulate(costs, chip, requests, "lazy_batching", record=True)
    pushes = 0
    for t in np.unique(records.start_s):
        inside = np.flatnonzero((records.start_s <= t) & (records.finish_s > t))
        if (records.start_s[inside] == t).all():
            continue
        pushes += 1
        for i in inside:
            own = records.spans[records.spans[:, 2] == i]
            first = int(costs.offset[requests.network[i], 0, 0, 0])
            done = int((own[:, 1] <= t).sum())
            left = costs.latency_s[first + done : first + int(costs.n_layers[requests.network[i]])].sum()
            if t + left <= requests.deadline_s[i]:
                assert records.finish_s[i] <= requests.deadline_s[i] + 1e-12


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), by_table=st.booleans(), zeros=st.booleans())
def test_fluid_batching_without_exits_is_lazy_batching(seed, by_table, zeros):
    costs, chip, requests = with_batches(random_case(seed, load=1.2, followers=True), seed)
    if zeros:
        costs = costs._replace(exit_frac=np.zeros(len(costs.latency_s)))
    params = {"slack_test": int(by_table)}
    same_records(simulate(costs, chip, requests, "fluid_batching", params, record=True),
                 simulate(costs, chip, requests, "lazy_batching", params, record=True))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), by_table=st.booleans(), quantile=st.sampled_from([0.0, 0.9]))
def test_a_sure_first_exit_is_a_shorter_network(seed, by_table, quantile):
    costs, chip, requests = with_batches(random_case(seed, load=1.2, networks=1, layers=6), seed)
    layers = int(costs.n_layers[0])
    exit_frac = np.zeros(layers)
    exit_frac[0] = 1.0
    short = costs._replace(n_layers=np.array([1]))
    sure = costs._replace(exit_frac=exit_frac, depth=np.array([[1]]))
    params = {"slack_test": int(by_table), "quantile": quantile}
    same_records(simulate(sure, chip, requests, "fluid_batching", params, record=True),
                 simulate(short, chip, requests, "fluid_batching", params, record=True))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(BATCHING), exits=st.booleans())
def test_a_batch_is_counted_once(seed, name, exits):
    """The engine never runs two groups at once; spans, weighted by their shares, and energies add up to its own."""
    case = with_batches(random_case(seed, load=1.5), seed)
    costs, chip, requests = with_exits(case, seed) if exits else case
    records = simulate(costs, chip, requests, name, record=True)
    spans = records.spans
    stretches = np.unique(spans[:, :2], axis=0)
    assert (stretches[1:, 0] >= stretches[:-1, 1] - 1e-12).all()
    assert records.engine_busy_s[0] == pytest.approx((stretches[:, 1] - stretches[:, 0]).sum(), rel=1e-12)
    assert records.engine_busy_s[0] == pytest.approx(((spans[:, 1] - spans[:, 0]) * spans[:, 5]).sum(), rel=1e-9)


@pytest.mark.parametrize("load", [0.3, 0.8, 1.2, 2.0])
def test_exit_aware_beats_exit_agnostic(load):
    """Mean latency of the same requests at every load; more than 1.2 times where the others saturate."""
    found = network("branchy_alexnet")
    tenant = Tenant(name="a", network=found, traffic=Traffic(kind="poisson", rate_hz=load * 22800.0),
                    service=ServiceLevel(deadline_s=1e-3))
    workload = Workload(name="w", tenants=(tenant,), duration_s=0.03)
    mean = {name: evaluate(Design(architecture=TimeMux(engine=ENGINE), policy=name, scheduler="hardware"), workload,
                           seed=2).metrics["mean_latency_s"] for name in ("fluid_batching", "lazy_batching")}
    assert mean["fluid_batching"] <= mean["lazy_batching"]
    if load > 1.0:
        assert mean["fluid_batching"] < mean["lazy_batching"] / 1.2


def test_lazy_batching_against_a_window():
    """A large gain of latency at low load, none of throughput at saturation (LazyBatching's trend)."""
    alone = layer_costs(network("resnet18"), ENGINE).latency_s.sum()

    def runs(load):
        tenant = Tenant(name="a", network=network("resnet18"), traffic=Traffic(kind="poisson", rate_hz=load / alone))
        workload = Workload(name="w", tenants=(tenant,), duration_s=float(200 * alone))
        for name, params in (("lazy_batching", {}), ("graph_batching", {"window_s": float(5 * alone)})):
            yield evaluate(Design(architecture=TimeMux(engine=ENGINE), policy=name, policy_params=params,
                                  scheduler="hardware"), workload, seed=1).metrics

    lazy, window = runs(0.2)
    assert lazy["mean_latency_s"] < window["mean_latency_s"] / 3
    lazy, window = runs(3.0)
    assert lazy["throughput_per_s"] == pytest.approx(window["throughput_per_s"], rel=0.05)


# ---- costs ----
@pytest.mark.parametrize("name", ["res8", "mobilenet_v2", "branchy_alexnet", "ncf"])
def test_costs_of_batches(name):
    """One request costs what it costs; more never cost more than so many of them, nor less than a bit fewer."""
    found = network(name)
    costs = [layer_costs(found.with_batch(b), ENGINE) for b in range(1, 9)]
    columns = batch_columns(costs)
    np.testing.assert_array_equal(columns.latency_s[0], costs[0].latency_s)
    total = columns.latency_s.sum(axis=1)
    for b in range(2, 9):
        assert total[b - 1] <= costs[b - 1].latency_s.sum() * (1 + 1e-9)
        assert total[b - 1] <= b * total[0] * (1 + 1e-9)
        assert total[b - 1] >= total[b - 2] * (1 - 1e-9)
    static = batch_columns(costs, static=True)
    assert (static.latency_s == columns.latency_s[-1]).all()


def test_a_stretch_that_gains_nothing_runs_in_parts():
    """Two layers; after the first nothing waits on chip. Batched, the first takes 3 s, not 2 x 1, the second 1 s."""
    one = layer_costs(network("res8"), ENGINE)

    def columns(latency, live):
        return one._replace(latency_s=np.array(latency), dram_read_bytes=np.zeros(2), dram_write_bytes=np.zeros(2),
                            energy_j=np.array(latency), live_bytes=np.array(live))

    cut = batch_columns([columns([1.0, 1.0], [0.0, 0.0]), columns([3.0, 1.0], [0.0, 0.0])])
    assert cut.latency_s.tolist() == [[1.0, 1.0], [2.0, 1.0]]
    whole = batch_columns([columns([1.0, 1.0], [5.0, 0.0]), columns([3.0, 1.0], [5.0, 0.0])])
    assert whole.latency_s.tolist() == [[1.0, 1.0], [3.0, 1.0]]
    lost = batch_columns([columns([1.0, 1.0], [0.0, 0.0]),
                          columns([0.0, 0.0], [0.0, 0.0])._replace(unsupported=("too large",))])
    assert lost.latency_s.tolist() == [[1.0, 1.0], [2.0, 2.0]]


def test_weights_are_fetched_once():
    """A product of one row whose weights dominate: eight rows take little longer than one, and not much more energy."""
    found = Network(name="fc", layers=(Layer(name="a", op="gemm", k=1024, c=1024),))
    columns = batch_columns([layer_costs(found.with_batch(b), ENGINE) for b in range(1, 9)])
    assert columns.latency_s[7, 0] < 1.5 * columns.latency_s[0, 0]
    assert columns.dram_bytes[7, 0] == 1024 * 1024 + 8 * 2048
    assert columns.energy_j[7, 0] < 2 * columns.energy_j[0, 0]


def test_static_batching_pays_for_the_largest_batch():
    tenant = Tenant(name="a", network=network("res8"), traffic=Traffic(kind="periodic", rate_hz=100))
    workload = Workload(name="w", tenants=(tenant,), duration_s=0.1)
    design = Design(architecture=TimeMux(engine=ENGINE), policy="graph_batching", scheduler="hardware")
    fluid = evaluate_detail(design, workload)
    static = evaluate_detail(replace(design, architecture=TimeMux(engine=replace(ENGINE, batching="static"))), workload)
    assert fluid.prepared.table.batch_latency_s is not None
    assert static.isolated_s[0] > 3 * fluid.isolated_s[0]
    assert static.records.service_s[0] == pytest.approx(fluid.prepared.table.batch_latency_s[7].sum(), rel=0.01)
    assert static.outcome.metrics["antt"] == pytest.approx(1.0, rel=1e-9)


# ---- stackable PEs ----
def _tile_cycles(m, k, n, rows, cols, stacks):
    """Fluid Batching's count with T_R = 1: ceil(R B / s) ceil(P s / T_P) ceil(C / T_C)."""
    return ceil(m / stacks) * ceil(k * stacks / rows) * ceil(n / cols)


@pytest.mark.parametrize("dataflow", ["ws", "is"])
@given(m=st.integers(1, 200), k=st.integers(1, 200), n=st.integers(1, 200), stacks=st.sampled_from([2, 4]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_stacks_share_the_stream(dataflow, m, k, n, stacks):
    """Without fill and drain the cycles are those of the tile formula."""
    layer = Layer(name="a", op="gemm", oy=m, c=k, k=n)
    engine = replace(ENGINE, dataflow=dataflow, stacks=stacks, fold_overlap="none")
    form = next(form for form in forms(layer, engine) if form.kind == f"{dataflow} {stacks} stacks")
    rows, cols = engine.rows // stacks, engine.cols
    stream, across = (m, n) if dataflow == "ws" else (n, m)
    folds = ceil(k / rows) * ceil(across / cols)
    assert untiled_cycles(form) - folds * (2 * rows + cols - 2) == _tile_cycles(stream, k, across, engine.rows, cols,
                                                                                stacks)


def test_when_stacks_pay():
    def cycles(m, k, stacks):
        return _tile_cycles(m, k, 64, 32, 32, stacks)

    assert all(cycles(m, 64, 1) <= cycles(m, 64, s) for m in (1, 7, 50) for s in (2, 4))  # P a multiple of T_P
    assert cycles(100, 16, 2) == cycles(100, 16, 1) / 2  # P <= T_P / 2, an even stream
    deep = Network(name="deep", layers=(Layer(name="a", op="gemm", oy=512, c=512, k=512),))
    short = Network(name="short", layers=(Layer(name="a", op="gemm", oy=4096, c=16, k=32),))
    fast = replace(ENGINE, dram_bytes_per_s=1e12, sram_bytes=2**22)
    stacked = replace(fast, stacks=2)
    assert layer_costs(deep, stacked).latency_s[0] > 0.99 * layer_costs(deep, fast).latency_s[0]  # shorter drain only
    assert layer_costs(short, stacked).latency_s[0] < 0.6 * layer_costs(short, fast).latency_s[0]
    assert all("stacks" not in form.kind for form in forms(short.layers[0], fast))
    area, more = engine_area_mm2(fast), engine_area_mm2(stacked)
    assert "stacks" not in area
    assert {part: more[part] for part in area} == area
    assert 0.0 < more["stacks"] < more["pes"]
