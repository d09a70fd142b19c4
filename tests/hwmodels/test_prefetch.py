"""Policies that load weights ahead: by hand, against the interpreted loop and the endless streams of
`hwmodels.layerweaver`, below the linear programme, and what AI-MT adds."""

import csv
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import machine, random_case, table, trace
from reference_kernel import reference_run
from test_kernel import assert_same
from test_layerweaver import LAYERS, NPUS, reference, rows, stream

from hwmodels.architectures import TimeMux
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.errors import InvalidPolicy
from hwmodels.evaluate import evaluate
from hwmodels.kernel import isolated_s, run, simulate
from hwmodels.layerweaver import Npu, Rule, best_mix, interleave, lower, rate_bound
from hwmodels.layerweaver import isolated_s as stream_s
from hwmodels.networks import network
from hwmodels.policies import POLICIES
from hwmodels.policies.base import Policy, issue
from hwmodels.workload import Tenant, Traffic, Workload

PREFETCHING = [name for name, record in POLICIES.items() if record.issue is not None]
FREELY = 100.0
"""A window that never closes."""


def weighted(costs, compute, weights):
    """A table with layers of these compute times and weights: a load is not overlapped by its own layer."""
    return costs._replace(prefetched_s=np.array(compute, dtype=np.float64),
                          weight_bytes=np.array(weights, dtype=np.float64))


def pair(*networks, bandwidth=1.0, room, **extra):
    """(table, machine) of networks given as [(compute, bytes)]."""
    flat = [layer for layers in networks for layer in layers]
    costs = table([[[c + b / bandwidth for c, b in layers]] for layers in networks], dram=[b for _, b in flat])
    return (weighted(costs, [c for c, _ in flat], [b for _, b in flat]),
            machine(len(networks), bandwidth=bandwidth, prefetch_bytes=room, **extra))


def test_a_load_hides_behind_the_other_network_by_hand():
    """A computes 4 s after 1 s of load, B 1 s after 4 s. Both are there at 0: the unit is behind, so A (more compute
    beyond its load) goes first, 0..1 load, 1..5 compute. B loads 1..5 and computes 5..6; layer by layer it takes 10."""
    costs, chip = pair([(4.0, 1.0)], [(1.0, 4.0)], room=8.0)
    requests = trace([0.0, 0.0], [0, 1])
    records = simulate(costs, chip, requests, "layerweaver", record=True)
    assert records.finish_s.tolist() == [5.0, 6.0]
    assert records.spans[:, :4].tolist() == [[0.0, 5.0, 0.0, 0.0], [5.0, 6.0, 1.0, 0.0]]
    assert records.dram_bytes == 5.0
    assert simulate(costs, chip, requests, "fcfs").finish_s.tolist() == [5.0, 10.0]


def test_a_full_buffer_delays_the_load_by_hand():
    """Room for 5 bytes: B's 4 are cut in two blocks of 2, which fit beside A's 2 one after the other."""
    costs, chip = pair([(4.0, 2.0)], [(1.0, 4.0)], room=5.0)
    records = simulate(costs, chip, trace([0.0, 0.0], [0, 1]), "layerweaver", record=True)
    # A: load 0..2, compute 2..6. B: blocks loaded 2..4 (beside A: 2 + 2) and, as 6 bytes do not fit, from 6, when A's
    # leave; the first is computed 6..6.5, the second loaded 6..8 and computed 8..8.5.
    assert records.spans[:, :2].tolist() == [[0.0, 6.0], [6.0, 6.5], [6.5, 8.5]]


def test_decision_delays_the_load():
    costs, chip = pair([(4.0, 1.0)], [(1.0, 2.0)], room=8.0, decision=0.25)
    records = simulate(costs, chip, trace([0.0, 0.0], [0, 1]), "layerweaver")
    assert records.finish_s.tolist() == [5.25, 6.25]  # B's is hidden
    assert records.decisions == 2


def test_activations_of_an_interrupted_task_stay_while_they_fit():
    layers = ([(1.0, 1.0), (1.0, 1.0)], [(1.0, 1.0)])
    for live, saves in ((2.0, 0), (5.0, 1)):
        costs, chip = pair(*layers, room=8.0)
        costs = costs._replace(live_bytes=np.array([live, 0.0, 0.0]))
        requests = trace([0.0, 0.5], [0, 1], deadlines=[np.inf, 4.5])
        records = simulate(costs, chip, requests, "layerweaver_plus", record=True)
        assert records.spans[:, 2].tolist() == [0.0, 1.0, 0.0]
        assert records.preemptions.sum() == saves
        assert records.dram_bytes == 3.0 + 2 * live * saves


def prefetch_case(seed, **args):
    """A random case with weights, cut in powers of two."""
    costs, chip, requests = random_case(seed, layers=6, **args)
    rng = np.random.default_rng(seed)
    count = len(costs.latency_s)
    moved = rng.integers(0, 65, count).astype(float)
    weights = np.minimum(moved, rng.choice([0.0, 4.0, 16.0, 64.0], count))
    latency = np.maximum(costs.latency_s, moved / 64.0)
    compute = np.maximum(latency - weights / 64.0 * rng.choice([0.5, 1.0], count), 0.0)
    room = float(rng.choice([32.0, 128.0, 1024.0]))
    costs = weighted(costs, compute, weights)._replace(dram_bytes=moved, latency_s=latency, estimate_s=latency)
    return costs, chip._replace(prefetch_bytes=room), requests


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), load=st.sampled_from([0.5, 0.9, 2.0]), followers=st.booleans(), drop=st.booleans(),
       costs=st.booleans())
def test_equals_the_interpreted_loop(seed, load, followers, drop, costs):
    """Which also asserts that the buffer is never above its capacity."""
    case = prefetch_case(seed, load=load, followers=followers, drop=drop, costs=costs)
    for name in PREFETCHING:
        assert_same(run(*case, POLICIES[name], record=True), reference_run(*case, POLICIES[name]))


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_alone_with_weights(name):
    """One request alone takes its isolated latency, whatever could be loaded ahead."""
    for seed in range(5):
        costs, chip, _ = prefetch_case(seed)
        alone = isolated_s(costs, chip, np.arange(3))
        for n in range(3):
            one = trace([0.0], [n], deadlines=[1.0])
            assert simulate(costs, chip, one, name).finish_s[0] == alone[n]


@pytest.mark.parametrize("name", PREFETCHING)
def test_work_is_conserved(name):
    for seed in range(5):
        costs, chip, requests = prefetch_case(seed, load=1.5, costs=False)
        records = simulate(costs, chip, requests, name, record=True)
        done = [slice(f, f + n) for f, n in zip(costs.offset[requests.network, 0, 0, 0],
                                                costs.n_layers[requests.network], strict=True)]
        elapsed = records.finish_s.max()
        moved = sum(costs.dram_bytes[s].sum() for s in done) + records.reloaded_bytes
        assert records.dram_bytes == pytest.approx(moved)
        assert records.dram_bytes <= chip.dram_bytes_per_s * elapsed * (1 + 1e-9)
        work = sum(costs.prefetched_s[s].sum() for s in done)
        assert work * (1 - 1e-9) <= records.engine_busy_s[0] <= elapsed * (1 + 1e-9)
        assert (np.diff(records.spans[:, 1]) >= 0).all()
        assert (records.spans[1:, 0] >= records.spans[:-1, 1]).all()


# ---- endless streams: the reference pairs, the bound ----
def endless(streams, npu, length):
    """(table, machine, requests, isolated times, horizon): more requests at time 0 than can be served."""
    layers = [list(zip(s.compute_s, s.weight_bytes, strict=True)) for s in streams]
    costs, chip = pair(*layers, bandwidth=npu.dram_bytes_per_s, room=npu.buffer_bytes)
    alone = np.array([stream_s(s, npu) for s in streams])
    horizon = length * alone.max()
    least = [max(s.compute_s.sum(), s.weight_bytes.sum() / npu.dram_bytes_per_s) for s in streams]
    networks = np.concatenate([np.full(int(horizon / t) + 2, i) for i, t in enumerate(least)])
    return costs, chip, trace(np.zeros(len(networks)), networks), alone, horizon


def progress(case, name, **params):
    """(inferences finished of every network, STP)."""
    costs, chip, requests, alone, horizon = case
    finish = simulate(costs, chip, requests, name, params).finish_s
    finished = np.array([(finish[requests.network == n] <= horizon).sum() for n in range(len(alone))])
    return finished.tolist(), float(finished @ alone / horizon)


@pytest.mark.parametrize("row", rows("pairs.csv"), ids=lambda r: f"{r['npu']}-{r['network_1']}-{r['network_2']}")
def test_reference_pairs(row):
    """The same inferences as the endless streams, to the last one; and 0.97 of the best known with a few settings."""
    npu, streams = NPUS[row["npu"]], reference(row["npu"], row["network_1"], row["network_2"])
    case, bound = endless(streams, npu, 300), rate_bound(streams, npu).stp
    found = []
    for theta, window in ((0.5, np.inf), (0.75, 0.3)):
        finished, stp = progress(case, "layerweaver", theta=theta, window=min(window, FREELY))
        assert finished == list(interleave(streams, npu, Rule(theta, window)).finished)
        found.append(stp)
    found += [progress(case, "ai_mt", window=window)[1] for window in (2.0, FREELY)]
    assert 0.97 * float(row["best_known_stp"]) <= max(found) <= bound


def opposed(name):
    for names in combinations(LAYERS, 2):
        streams, npu = reference(name, *names), NPUS[name]
        leans = [s.compute_s.sum() - s.weight_bytes.sum() / npu.dram_bytes_per_s for s in streams]
        if leans[0] * leans[1] < 0:
            yield streams, npu


def test_opposed_pairs_come_near_the_bound():
    """Default parameters, mean share of the bound over the 30 opposed pairs with 16 MB or more, and with 8 MB."""
    shares = {name: {which: [progress(endless(streams, npu, 60), name)[1] / rate_bound(streams, npu).stp
                             for streams, npu in opposed(which)]
                     for which in NPUS} for name in ("layerweaver", "ai_mt")}
    large = {name: np.concatenate([own[which] for which in "ABC"]) for name, own in shares.items()}
    assert len(large["ai_mt"]) == 30
    assert np.mean(large["layerweaver"]) >= 0.95
    assert np.mean(large["ai_mt"]) >= 0.98
    assert min(large["ai_mt"]) >= 0.94
    assert np.mean(shares["ai_mt"]["D"]) > np.mean(shares["layerweaver"]["D"]) >= 0.85
    assert max(max(own) for which in shares.values() for own in which.values()) <= 1.0


LAYER = st.tuples(st.floats(0.01, 5), st.sampled_from([0.0, 0.1, 1.0, 3.0, 6.0]))


@settings(deadline=None, max_examples=25, derandomize=True)
@given(networks=st.lists(st.lists(LAYER, min_size=1, max_size=8), min_size=1, max_size=4), room=st.floats(6, 60),
       name=st.sampled_from(PREFETCHING), theta=st.floats(0, 1), window=st.sampled_from([0.1, 1.0, FREELY]))
def test_no_run_beats_the_bound(networks, room, name, theta, window):
    """Whole inferences of any number of networks, and the gain of interleaving: isolated = layer by layer."""
    streams = [stream(*layers) for layers in networks]
    npu = Npu(arrays=1, rows=1, cols=1, freq_hz=1.0, dram_bytes_per_s=1.0, buffer_bytes=room)
    costs, chip, requests, _, horizon = endless(streams, npu, 30)
    serial = isolated_s(costs, chip, np.arange(len(networks)))
    totals = np.array([(t, s.compute_s.sum(), s.weight_bytes.sum()) for t, s in zip(serial, streams, strict=True)])
    _, stp = progress((costs, chip, requests, serial, horizon), name, theta=theta, window=window)
    assert stp <= best_mix(totals).stp * (1 + 1e-9)


def test_scaling_compute_and_bandwidth_together_changes_nothing():
    npu = NPUS["A"]
    fast = Npu(arrays=2, rows=128, cols=128, freq_hz=4 * npu.freq_hz, dram_bytes_per_s=4 * 68e9, buffer_bytes=16e6)
    layers = [np.array(LAYERS[name]).T for name in ("mobilenetv2", "bert_base_128")]
    for name in PREFETCHING:
        slow_run, fast_run = (progress(endless([lower(*own, n) for own in layers], n, 60), name) for n in (npu, fast))
        assert slow_run[0] == fast_run[0]
        assert slow_run[1] == pytest.approx(fast_run[1], rel=1e-9)


# ---- AI-MT ----
def test_one_tile_per_layer_is_layerweaver():
    for seed in range(10):
        case = prefetch_case(seed, load=1.5)
        first, second = (simulate(*case, name, params) for name, params in
                         (("layerweaver", {}), ("ai_mt", {"tiles": 1.0})))
        np.testing.assert_array_equal(first.finish_s, second.finish_s)
        assert second.reloaded_bytes == 0.0


def pressed(buffer_bytes):
    npu = Npu(arrays=2, rows=128, cols=128, freq_hz=NPUS["D"].freq_hz, dram_bytes_per_s=34e9, buffer_bytes=buffer_bytes)
    return endless([lower(*np.array(LAYERS[name]).T, npu) for name in ("resnext50", "bert_base_128")], npu, 60)


def test_eviction_only_under_pressure():
    costs, chip, requests, alone, horizon = pressed(1e6)
    kept, evicted = (simulate(costs, chip, requests, "ai_mt", {"evict": evict}) for evict in (0.0, 1.0))
    assert kept.reloaded_bytes == 0.0 < evicted.reloaded_bytes < 0.01 * evicted.dram_bytes
    assert evicted.dram_bytes == pytest.approx(kept.dram_bytes + evicted.reloaded_bytes)
    stp = [float(sum((r.finish_s[requests.network == n] <= horizon).sum() * alone[n] for n in (0, 1)) / horizon)
           for r in (kept, evicted)]
    assert stp[1] >= stp[0]
    costs, chip, requests, _, _ = pressed(1e9)
    assert simulate(costs, chip, requests, "ai_mt").reloaded_bytes == 0.0


@issue
def _always_evict(tasks, heads, count, port, now, params, state, plan):
    state[0] += 1.0
    return -1 if port[0].evictable == 1 and state[0] % 3.0 != 0.0 else count - 1


EVICTING = Policy(name="always_evict", summary="For tests.", source="none", origin="textbook", issue=_always_evict,
                  machines="single")


def test_evicted_blocks_are_loaded_again():
    """A policy that evicts wherever it may: as interpreted, and nothing is lost."""
    evicted = 0.0
    for seed in range(40):
        case = prefetch_case(seed, load=1.5, followers=seed % 2 == 0)
        fast, slow = run(*case, EVICTING, record=True), reference_run(*case, EVICTING)
        assert_same(fast, slow)
        assert np.isfinite(fast.finish_s).all()
        evicted += fast.reloaded_bytes
    assert evicted > 0.0


# ---- on real networks ----
def test_designs_that_interleave():
    """Two opposed networks on one engine: a higher rate than one after the other, and alone the same latency."""
    engine = Engine(rows=64, cols=64, dataflow="ws", sram_bytes=4 << 20, dram_bytes_per_s=8e9, freq_hz=1e9,
                    fold_overlap="double_buffered", vector_lanes=256)
    design = {name: Design(architecture=TimeMux(engine=engine), policy=name, scheduler="hardware")
              for name in ("fcfs", *PREFETCHING)}

    def load(names, rate):
        return Workload(name="x", duration_s=0.2, tenants=tuple(
            Tenant(name=name, network=network(name), traffic=Traffic(kind="periodic", rate_hz=rate)) for name in names))

    alone = load(["mobilenet_v2"], 5.0)
    for record in design.values():
        assert evaluate(record, alone).metrics["antt"] == pytest.approx(1.0, rel=1e-9)
    both = load(["resnet50", "bert_base"], 100.0)
    rate = {name: evaluate(d, both).metrics for name, d in design.items()}
    for name in PREFETCHING:
        assert rate[name]["throughput_per_s"] > 1.02 * rate["fcfs"]["throughput_per_s"]
        assert rate[name]["engine_utilisation_frac"] <= 1.0
        assert rate[name]["dram_utilisation_frac"] <= 1.0


def test_records_of_the_fourth_form():
    for changed in ({"machines": "any"}, {"blocks": "no_such"}):
        with pytest.raises(InvalidPolicy):
            Policy(**{"name": "x", "summary": "X.", "source": "-", "origin": "textbook", "issue": _always_evict,
                      "machines": "single", **changed})
    with pytest.raises(InvalidPolicy, match="artefact"):
        run(*prefetch_case(0), POLICIES["layerweaver"], rewind=True)


def test_data_of_the_pairs_is_all_here():
    with (Path(__file__).parents[1] / "data/scheduling/layerweaver/pairs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 8
