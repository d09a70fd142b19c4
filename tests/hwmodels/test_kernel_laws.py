"""Laws that hold for every policy and machine: scheduling theory, conservation, invariance.

The queueing tests use fixed seeds. With 5 standard errors from batch means of 50 batches the false-failure rate of a
new seed would be below 1e-4 each (Student's t, two-sided); a fixed seed fails only if the code changes.
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import fits, machine, random_case, table, trace, with_exits
from reference_kernel import overlaps

from hwmodels.kernel import isolated_s, request_isolated_s, run, simulate
from hwmodels.policies import POLICIES
from hwmodels.tables import DRAM_MAX_MIN, DRAM_PROPORTIONAL
from hwmodels.workload import RequestTrace

SHAPES = {
    "one engine": {},
    "two engines": {"engines": 2, "units": (1, 1), "mode": DRAM_MAX_MIN},
    "three engines": {"engines": 3, "units": (1, 1, 1), "mode": DRAM_PROPORTIONAL},
    "dedicated": {"engines": 3, "units": (1, 1, 1), "bound": [0, 1, 2]},
    "pool": {"levels": 4, "units": (8,), "mode": DRAM_MAX_MIN},
}
PAIRS = [(name, shape) for shape, args in SHAPES.items() for name, record in POLICIES.items()
         if fits(record, random_case(0, **args)[1])]


@pytest.mark.parametrize(("name", "shape"), PAIRS)
def test_alone(name, shape):
    """One request alone takes its isolated latency: equality."""
    for seed in range(4):
        costs, chip, requests = random_case(seed, **SHAPES[shape])
        alone = isolated_s(costs, chip, np.arange(3))
        for network in range(3):
            one = RequestTrace(*(column[:1] for column in requests))._replace(
                arrival_s=np.zeros(1), network=np.array([network]), tenant=np.array([network]), parent=np.array([-1]))
            assert simulate(costs, chip, one, name).finish_s[0] == alone[network]


@pytest.mark.parametrize(("name", "shape"), PAIRS)
def test_conservation(name, shape):
    for seed in range(3):
        costs, chip, requests = random_case(seed, **SHAPES[shape], load=1.2, followers=True)
        records = simulate(costs, chip, requests, name, record=True)
        spans = records.spans
        assert np.isfinite(records.finish_s).all()
        assert records.events == costs.n_layers[requests.network].sum() == len(spans)
        # causality: no request before it is ready, its layers in order and never two at once
        assert (records.start_s >= records.ready_s).all()
        assert (records.ready_s >= requests.arrival_s).all()
        follows = requests.parent >= 0
        np.testing.assert_array_equal(records.ready_s[follows], records.finish_s[requests.parent[follows]])
        for r in range(len(requests.arrival_s)):
            own = spans[spans[:, 2] == r]
            own = own[np.argsort(own[:, 3])]
            assert own[:, 3].tolist() == list(range(costs.n_layers[requests.network[r]]))
            assert all(a[1] <= b[0] for a, b in pairwise(own))
        # units never lent twice, busy time = work done and at most the elapsed time
        elapsed = np.nanmax(records.finish_s)
        for e, units in enumerate(chip.units):
            own = spans[spans[:, 4] == e]
            assert overlaps(own, units) <= units
            assert records.engine_busy_s[e] <= elapsed * (1 + 1e-12)
            work = ((own[:, 1] - own[:, 0]) * own[:, 5]).sum() / units
            assert records.engine_busy_s[e] == pytest.approx(work, rel=1e-9)
        assert records.service_s.sum() == pytest.approx((spans[:, 1] - spans[:, 0]).sum(), rel=1e-9)
        assert records.dram_bytes <= chip.dram_bytes_per_s * elapsed * (1 + 1e-9) or chip.dram_mode == 2


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), pair=st.sampled_from(PAIRS))
def test_exits(seed, pair):
    """A task ends at its exit; alone it takes the isolated latency of the layers it runs."""
    name, shape = pair
    costs, chip, requests = with_exits(random_case(seed, **SHAPES[shape], load=0.5), seed)
    records = simulate(costs, chip, requests, name, record=True)
    depth = costs.depth[requests.network, requests.sample]
    assert np.isfinite(records.finish_s).all()
    np.testing.assert_array_equal(np.bincount(records.spans[:, 2].astype(int)), depth)
    alone = request_isolated_s(costs, chip, requests)
    if chip.reconfigure_s == 0.0:
        first = RequestTrace(*(column[:1] for column in requests))
        assert simulate(costs, chip, first, name).finish_s[0] - first.arrival_s[0] == pytest.approx(alone[0], rel=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), pair=st.sampled_from([
    p for p in PAIRS if p[0] != "dysta_oracle" and POLICIES[p[0]].issue is None]))
def test_exits_are_not_known_before_they_are_taken(seed, pair):
    """Another exit behind the same probabilities: nothing changes until one of the two could be observed."""
    name, shape = pair
    costs, chip, requests = with_exits(random_case(seed, **SHAPES[shape], load=1.5), seed)
    rng = np.random.default_rng(seed)
    other = requests._replace(sample=rng.permutation(requests.sample))
    first, second = (simulate(costs, chip, r, name, record=True).spans for r in (requests, other))
    shallow = np.minimum(costs.depth[requests.network, requests.sample], costs.depth[requests.network, other.sample])
    differs = (requests.sample != other.sample) & (
        costs.depth[requests.network, requests.sample] != costs.depth[requests.network, other.sample])

    def observed(spans):
        """End of the first layer after which a request leaves in one of the two runs only."""
        r, layer = spans[:, 2].astype(int), spans[:, 3].astype(int)
        ends = spans[differs[r] & (layer + 1 == shallow[r]), 1]
        return ends.min() if len(ends) else np.inf

    until = min(observed(first), observed(second))
    before = [sorted(map(tuple, spans[spans[:, 0] < until][:, [0, 2, 3, 4, 5]])) for spans in (first, second)]
    assert before[0] == before[1]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), pair=st.sampled_from(PAIRS))
def test_little(seed, pair):
    """Mean number in system = arrival rate x mean turnaround, over a run that starts and ends empty: identity."""
    name, shape = pair
    costs, chip, requests = random_case(seed, **SHAPES[shape])
    records = simulate(costs, chip, requests, name)
    moments = np.concatenate([records.ready_s, records.finish_s])
    steps = np.repeat([1.0, -1.0], len(requests.arrival_s))
    order = np.argsort(moments)
    inside = np.cumsum(steps[order])[:-1] @ np.diff(moments[order])
    assert inside == pytest.approx((records.finish_s - records.ready_s).sum(), rel=1e-9)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), pair=st.sampled_from(PAIRS))
def test_renaming_networks_and_tenants_changes_nothing(seed, pair):
    name, shape = pair
    if shape == "dedicated" or POLICIES[name].prepare is not None or "placement" in POLICIES[name].params:
        return  # tenants are bound to engines by their number; plans break ties by the order of tenants
    costs, chip, requests = random_case(seed, **SHAPES[shape])
    order = np.random.default_rng(seed).permutation(3)
    place = np.argsort(order)
    renamed = costs._replace(n_layers=costs.n_layers[order], offset=costs.offset[order])
    other = requests._replace(network=place[requests.network], tenant=place[requests.tenant])
    first, second = simulate(costs, chip, requests, name), simulate(renamed, chip, other, name)
    np.testing.assert_array_equal(first.finish_s, second.finish_s)


UNIT_FREE = [pair for pair in PAIRS if pair[0] not in ("dysta", "dysta_naive", "dysta_oracle")]
"""The published Dysta adds seconds and a number without unit: it depends on the unit of time."""


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), pair=st.sampled_from(UNIT_FREE))
def test_the_unit_of_time_changes_nothing(seed, pair):
    name, shape = pair
    costs, chip, requests = random_case(seed, **SHAPES[shape])
    factor = 2.0**10
    slow = costs._replace(latency_s=costs.latency_s * factor, estimate_s=costs.estimate_s * factor)
    slow_chip = chip._replace(dram_bytes_per_s=chip.dram_bytes_per_s / factor,
                              reconfigure_s=chip.reconfigure_s * factor, decision_s=chip.decision_s * factor,
                              switch_s=chip.switch_s * factor)
    later = requests._replace(arrival_s=requests.arrival_s * factor, deadline_s=requests.deadline_s * factor)
    first, second = simulate(costs, chip, requests, name), simulate(slow, slow_chip, later, name)
    np.testing.assert_array_equal(first.finish_s * factor, second.finish_s)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(sorted(set(POLICIES) - {"dysta_oracle"})))
def test_hidden_truth_is_not_read(seed, name):
    """Another truth behind the same estimates: the first choice is the same."""
    costs, chip, requests = random_case(seed, costs=False)
    together = requests._replace(arrival_s=np.zeros(len(requests.arrival_s)), deadline_s=requests.deadline_s + 1.0)
    other = costs._replace(latency_s=np.random.default_rng(seed).permutation(costs.latency_s) + 1.0)
    first = simulate(costs, chip, together, name, record=True)
    second = simulate(other, chip, together, name, record=True)
    assert first.spans[0, 2] == second.spans[0, 2]


def _batch_means(values, batches=50):
    means = values[: len(values) // batches * batches].reshape(batches, -1).mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(batches))


@pytest.mark.parametrize("load", [0.5, 0.8])
@pytest.mark.parametrize("law", ["M/D/1", "M/M/1"])
def test_queueing_theory(law, load):
    """Mean wait of FCFS: rho S / (2 (1 - rho)) for constant, rho S / (1 - rho) for exponential service."""
    rng = np.random.default_rng(7)
    count = 200_000
    arrivals = np.cumsum(rng.exponential(1.0 / load, count))
    service = np.ones(count) if law == "M/D/1" else rng.exponential(1.0, count)
    if law == "M/D/1":
        costs, requests = table([[[0.5, 0.25, 0.25]]]), trace(arrivals, [0] * count)
    else:
        # one sample of the network per request
        costs = table([[[1.0]]])._replace(latency_s=service, estimate_s=np.ones(count), dram_bytes=np.zeros(count),
                                          energy_j=np.zeros(count), live_bytes=np.zeros(count),
                                          sparsity_frac=np.zeros(count),
                                          offset=np.arange(count).reshape(1, count, 1, 1))
        requests = trace(arrivals, [0] * count, samples=np.arange(count))
    records = simulate(costs, machine(1), requests, "fcfs")
    mean, error = _batch_means(records.start_s - records.ready_s)
    expected = load / (1 - load) / (2 if law == "M/D/1" else 1)
    assert error < 0.1 * expected
    assert abs(mean - expected) < 5 * error


def test_processor_sharing():
    """Round robin with a quantum much below the service: mean turnaround S / (1 - rho)."""
    rng = np.random.default_rng(3)
    count, load = 40_000, 0.7
    costs = table([[[1 / 40] * 20], [[1 / 40] * 60]])  # 0.5 and 1.5: mean 1
    requests = trace(np.cumsum(rng.exponential(1.0 / load, count)), rng.integers(0, 2, count))
    records = simulate(costs, machine(2), requests, "round_robin")
    mean, error = _batch_means(records.finish_s - records.ready_s)
    assert abs(mean - 1.0 / (1.0 - load)) < 5 * error + 1 / 40 / (1 - load)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), tasks=st.integers(2, 5))
def test_edf_misses_nothing_up_to_full_load(seed, tasks):
    """Implicit deadlines, free preemption at every tick, load <= 1 (C. Liu, J. Layland 1973)."""
    rng = np.random.default_rng(seed)
    periods = rng.choice([4, 6, 8, 12, 16, 24], tasks)
    weight = rng.dirichlet(np.ones(tasks))
    ticks = np.maximum(1, np.floor(weight * periods).astype(int))
    while (ticks / periods).sum() > 1.0 + 1e-12:
        ticks[np.argmax(ticks / periods)] -= 1
        if (ticks == 0).any():
            return
    arrivals, networks = zip(*sorted((float(k * p), i) for i, p in enumerate(periods) for k in range(96 // p)),
                             strict=True)
    costs = table([[[1.0] * n] for n in ticks])
    deadlines = [a + periods[n] for a, n in zip(arrivals, networks, strict=True)]
    records = simulate(costs, machine(tasks), trace(arrivals, networks, deadlines=deadlines), "edf")
    assert (records.finish_s <= np.array(deadlines)).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_srpt_is_optimal(seed):
    """Exact estimates, preemption at every tick, no cost: least mean turnaround of all policies (Schrage 1968)."""
    rng = np.random.default_rng(seed)
    costs = table([[[1.0] * int(n)] for n in rng.integers(1, 9, 3)])
    requests = trace(np.sort(rng.integers(0, 60, 15)).astype(float), rng.integers(0, 3, 15),
                     deadlines=rng.integers(60, 200, 15).astype(float), priorities=rng.choice([1.0, 3.0, 9.0], 15))
    mean = {name: float(simulate(costs, machine(3), requests, name).finish_s.mean()) for name in POLICIES}
    assert min(mean.values()) == mean["sjf"]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_prema_with_equal_priorities_and_a_long_quantum_takes_the_shortest_waiting(seed):
    """As long as nobody has waited for two isolated latencies all tokens are below 3: all tasks are candidates."""
    rng = np.random.default_rng(seed)
    lengths = rng.permutation(np.arange(1, 5))
    costs = table([[[float(n)]] for n in lengths])
    requests = trace([0.0] * 3, rng.permutation(4)[:3])
    expected = requests.network[np.argmin(lengths[requests.network])]
    records = simulate(costs, machine(4), requests, "prema", {"quantum_s": 0.01}, record=True)
    assert requests.network[int(records.spans[0, 2])] == expected


def test_work_conserving_single_engine_busy_periods_do_not_depend_on_the_policy():
    costs, chip, requests = random_case(11, requests=200, costs=False)
    last = {simulate(costs, chip, requests, name).finish_s.max() for name in POLICIES}
    assert len(last) == 1


def test_request_isolated_uses_the_sample():
    costs = table([[[1.0]]])._replace(latency_s=np.array([1.0, 3.0]), offset=np.array([0, 1]).reshape(1, 2, 1, 1))
    requests = trace([0.0, 10.0], [0, 0], samples=[0, 1])
    assert request_isolated_s(costs, machine(1), requests).tolist() == [1.0, 3.0]


def test_overload_with_thousands_of_waiting_tasks():
    """All arrive at once; the shortest go first, and every layer runs once."""
    rng = np.random.default_rng(5)
    costs = table([[[1.0] * 5], [[0.5] * 8]])
    network = rng.integers(0, 2, 4000)
    records = run(costs, machine(2), trace(np.zeros(4000), network), POLICIES["sjf"])
    assert records.events == costs.n_layers[network].sum()
    assert records.finish_s[network == 1].max() < records.start_s[network == 0].min() + 1e-9
