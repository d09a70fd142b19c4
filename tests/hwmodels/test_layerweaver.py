"""Layerweaver: the machine by hand, the linear programme as a bound of every run, reference pairs and totals."""

import csv
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels.errors import InvalidEngine, InvalidLayer, InvalidWorkload
from hwmodels.layerweaver import (
    Npu,
    Rule,
    Stream,
    equal_rates_stp,
    interleave,
    isolated_s,
    lower,
    rate_bound,
    tuned_rule,
)

DATA = Path(__file__).parents[1] / "data" / "scheduling" / "layerweaver"


def rows(name):
    with (DATA / name).open() as file:
        return list(csv.DictReader(file))


LAYERS = {}
for _row in rows("layers.csv"):
    LAYERS.setdefault(_row["network"], []).append([int(_row[c]) for c in ("m", "n", "k", "groups", "weight_bytes")])
NPUS = {
    row["npu"]: Npu(
        arrays=int(row["arrays"]),
        rows=int(row["rows"]),
        cols=int(row["cols"]),
        freq_hz=float(row["freq_hz"]),
        dram_bytes_per_s=float(row["dram_bytes_per_s"]),
        buffer_bytes=float(row["buffer_bytes"]),
    )
    for row in rows("npus.csv")
}


def unit_npu(buffer_bytes):
    return Npu(arrays=1, rows=1, cols=1, freq_hz=1.0, dram_bytes_per_s=1.0, buffer_bytes=buffer_bytes)


def stream(*layers):
    return Stream(np.array([c for c, _ in layers], float), np.array([b for _, b in layers], float))


def reference(npu, *networks):
    return [lower(*np.array(LAYERS[network]).T, NPUS[npu]) for network in networks]


def test_isolated_by_hand():
    # Compute bound: loads hide. Memory bound: the channel never stops.
    assert isolated_s(stream((3, 1), (2, 1)), unit_npu(100)) == pytest.approx(5)
    assert isolated_s(stream((1, 3), (1, 2)), unit_npu(100)) == pytest.approx(5)
    # Room for one layer's weights: nothing overlaps.
    assert isolated_s(stream((3, 6), (2, 7)), unit_npu(7)) == pytest.approx(18)


def test_lowering_by_hand():
    npu = Npu(arrays=2, rows=4, cols=8, freq_hz=10.0, dram_bytes_per_s=1.0, buffer_bytes=100.0)
    # ceil(9/4) * ceil(17/8) * 2 groups = 18 tiles on 2 arrays, each 6 rows long, + 12; 120 bytes in 3 parts.
    found = lower([6], [17], [9], [2], [120], npu)
    assert found.compute_s.tolist() == pytest.approx([6.6 / 3] * 3)
    assert found.weight_bytes.tolist() == [40, 40, 40]


def test_bound_of_two_opposed_networks():
    # C1 = T1 = M2 = T2 = 1, M1 = C2 = 1/4: (2 - c - m) / (1 - c m).
    bound = rate_bound([stream((1, 0.25)), stream((0.25, 1))], unit_npu(100))
    assert bound.stp == pytest.approx(1.6)
    assert bound.rates_per_s == pytest.approx((0.8, 0.8))
    assert equal_rates_stp([stream((1, 0.25)), stream((0.25, 1))], unit_npu(100)) == pytest.approx(1.6)


def test_bound_of_three_networks_is_that_of_the_best_pair():
    streams = [stream((1, 0.25)), stream((0.25, 1)), stream((1, 1))]
    bound = rate_bound(streams, unit_npu(100))
    assert bound.stp == pytest.approx(1.6)
    assert bound.rates_per_s[2] == 0


@pytest.mark.parametrize("row", rows("totals.csv"), ids=lambda r: f"{r['npu']}-{r['network']}")
def test_reference_totals(row):
    (found,) = reference(row["npu"], row["network"])
    npu = NPUS[row["npu"]]
    assert found.compute_s.sum() == pytest.approx(float(row["compute_s"]), rel=1e-6)
    assert found.weight_bytes.sum() / npu.dram_bytes_per_s == pytest.approx(float(row["memory_s"]), rel=1e-6)
    assert isolated_s(found, npu) == pytest.approx(float(row["isolated_s"]), rel=1e-6)


@pytest.mark.parametrize("row", rows("pairs.csv"), ids=lambda r: f"{r['npu']}-{r['network_1']}-{r['network_2']}")
def test_reference_pairs(row):
    npu, streams = NPUS[row["npu"]], reference(row["npu"], row["network_1"], row["network_2"])
    bound = rate_bound(streams, npu)
    assert bound.stp == pytest.approx(float(row["lp_stp"]), rel=1e-6)
    assert bound.rates_per_s == pytest.approx([float(row["lp_rate_1_per_s"]), float(row["lp_rate_2_per_s"])], rel=1e-5)
    assert equal_rates_stp(streams, npu) == pytest.approx(float(row["one_to_one_stp"]), rel=1e-6)
    # 1 %: whole inferences are counted.
    assert interleave(streams, npu).stp == pytest.approx(float(row["stp_theta_0.5"]), rel=0.01)
    best = interleave(streams, npu, tuned_rule(streams, npu)).stp
    assert 0.97 * float(row["best_known_stp"]) <= best <= bound.stp


def test_opposed_pairs_come_near_the_bound_with_16_megabytes():
    shares = []
    for name in ("A", "B", "C"):
        npu = NPUS[name]
        for pair in combinations(LAYERS, 2):
            streams = reference(name, *pair)
            leans = [s.compute_s.sum() - s.weight_bytes.sum() / npu.dram_bytes_per_s for s in streams]
            if leans[0] * leans[1] < 0:
                bound = rate_bound(streams, npu).stp
                shares.append(interleave(streams, npu, tuned_rule(streams, npu)).stp / bound)
    assert len(shares) == 30
    assert np.mean(shares) >= 0.98
    assert min(shares) >= 0.93
    assert max(shares) <= 1


def test_the_gain_lives_at_balance():
    # Convolutional against language networks: bandwidth makes all memory bound, balanced, or all compute bound.
    pairs = [(a, b) for a in ("inceptionv3", "mobilenetv2", "resnet50", "resnext50") for b in LAYERS if "_128" in b]
    means = {}
    for bandwidth in (4e9, 68e9, 1088e9):
        npu = replace(NPUS["B"], dram_bytes_per_s=bandwidth)
        lowered = {name: lower(*np.array(table).T, npu) for name, table in LAYERS.items()}
        found = [interleave([lowered[a], lowered[b]], npu, length=60).stp for a, b in pairs]
        means[bandwidth] = float(np.mean(found))
    assert means[68e9] > 1.25
    assert means[4e9] < 1.15
    assert means[1088e9] == pytest.approx(1, abs=0.03)


LAYER = st.tuples(st.floats(0.01, 5), st.sampled_from([0.0, 0.1, 1.0, 3.0, 6.0]))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(LAYER, min_size=1, max_size=8), min_size=1, max_size=3),
    st.floats(6, 60),
    st.floats(0, 1),
    st.sampled_from([0.1, 1.0, np.inf]),
)
def test_no_run_beats_the_bound(networks, buffer_bytes, theta, window):
    streams, npu = [stream(*layers) for layers in networks], unit_npu(buffer_bytes)
    run = interleave(streams, npu, Rule(theta, window), length=50)
    assert run.stp <= rate_bound(streams, npu).stp * (1 + 1e-9)
    assert 0 <= run.compute_busy_frac <= 1 + 1e-9
    assert 0 <= run.memory_busy_frac <= 1 + 1e-9


def test_scaling_compute_and_bandwidth_together_changes_nothing():
    npu = NPUS["A"]
    fast = Npu(
        arrays=2, rows=128, cols=128, freq_hz=4 * npu.freq_hz, dram_bytes_per_s=4 * 68e9, buffer_bytes=16e6
    )
    pair = [np.array(LAYERS[name]).T for name in ("mobilenetv2", "bert_base_128")]
    slow_run, fast_run = (interleave([lower(*table, n) for table in pair], n) for n in (npu, fast))
    assert slow_run.finished == fast_run.finished
    assert slow_run.stp == pytest.approx(fast_run.stp, rel=1e-9)


def test_window_keeps_both_networks_near_the_mix():
    streams, npu = [stream((1, 0.25)), stream((0.25, 1))], unit_npu(1.25)
    run = interleave(streams, npu, Rule(0.5, 1.0))
    assert abs(run.finished[0] - run.finished[1]) <= 2


def test_bad_input():
    with pytest.raises(InvalidEngine):
        unit_npu(0)
    with pytest.raises(InvalidLayer):
        lower([], [], [], [], [], unit_npu(1))
    with pytest.raises(InvalidWorkload):
        interleave([], unit_npu(1))
