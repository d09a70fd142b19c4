"""Metrics against figures worked out by hand."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import machine, random_case, table, trace

from hwmodels.kernel import isolated_s, simulate
from hwmodels.metrics import answers, distribution, jain_index, metrics, ntt
from hwmodels.outcome import ANSWER_METRICS, METRICS
from hwmodels.policies import POLICIES

TOTALS = {"area_mm2", "power_w", "energy_j", "energy_per_inference_j", "engine_utilisation_frac",
          "dram_utilisation_frac"}


def _served(**options):
    """Tenant a: 1 s alone; b: 2 s. Served in order: a 0-1, b 1-3, a 3-4."""
    costs = table([[[1.0]], [[1.0, 1.0]]])
    requests = trace([0.0, 0.0, 2.0], [0, 1, 0], **options)
    return requests, simulate(costs, machine(2), requests, "fcfs"), isolated_s(costs, machine(2), np.array([0, 1]))


def test_tokens_of_answers_by_hand():
    """Two answers of two steps: prompts end at 1 and 4, tokens at 2, 5 and at 7, 12."""
    requests = trace([0.0, 0.0, 0.0, 3.0, 3.0, 3.0], [0, 1, 1, 0, 1, 1], parents=[-1, 0, 1, -1, 3, 4])
    records = SimpleNamespace(finish_s=np.array([1.0, 2.0, 5.0, 4.0, 7.0, 12.0]), ready_s=np.zeros(6))
    first, each = answers(requests, records, 1)
    assert (first.tolist(), each.tolist()) == ([1.0, 1.0], [2.0, 4.0])
    overall, tenants = metrics(requests, records, np.ones(2), names=["prompt", "answer"])
    assert tenants["answer"]["p50_tpot_s"] == overall["p50_tpot_s"] == 3.0
    assert overall["p99_tpot_s"] == pytest.approx(3.98)
    assert overall["p99_ttft_s"] == 1.0
    assert "p99_ttft_s" not in tenants["prompt"]
    records.finish_s[5] = np.nan  # dropped
    assert metrics(requests, records, np.ones(2))[0]["p99_tpot_s"] == np.inf


def test_by_hand():
    requests, records, alone = _served(deadlines=[1.0, 2.0, 6.0], priorities=[1.0, 3.0, 1.0])
    overall, tenants = metrics(requests, records, alone, names=["a", "b"], percentiles=np.array([50.0, 100.0]))
    assert records.finish_s.tolist() == [1.0, 3.0, 4.0]
    assert overall["mean_latency_s"] == 2.0
    assert overall["p50_latency_s"] == 2.0
    assert overall["p95_latency_s"] == pytest.approx(2.9)
    assert overall["max_latency_s"] == 3.0
    assert overall["antt"] == pytest.approx((1 + 1.5 + 2) / 3)
    assert overall["throughput_per_s"] == 3 / 4
    assert overall["slo_violation_frac"] == pytest.approx(1 / 3)
    assert overall["drop_frac"] == 0.0
    # progress a: 1 / 1.5, b: 2 / 3; divided by the priority shares 1/4 and 3/4
    assert overall["stp"] == pytest.approx(2 / 3 + 2 / 3)
    assert overall["fairness_frac"] == pytest.approx(1 / 3)
    assert tenants["a"]["p99_deadline_frac"] == pytest.approx(0.99 * 1.0 + 0.01 * 0.5)
    assert tenants["a"]["slo_miss_frac"] == pytest.approx(0.75 - 1.0)
    assert tenants["b"]["slo_miss_frac"] == pytest.approx(0.5)
    assert overall["slo_miss_frac"] == pytest.approx(0.5)
    assert overall["p99_deadline_frac"] == pytest.approx(1.5)
    assert ntt(requests, records, alone[requests.tenant]).tolist() == [1.0, 1.5, 2.0]


def test_dropped_requests_are_violations():
    requests, records, alone = _served(deadlines=[1.0, 0.5, 6.0], drop=True)
    overall, tenants = metrics(requests, records, alone)
    assert np.isnan(records.finish_s[1])
    assert overall["slo_violation_frac"] == pytest.approx(1 / 3)
    assert overall["drop_frac"] == pytest.approx(1 / 3)
    assert tenants["1"]["slo_violation_frac"] == 1.0
    assert tenants["1"]["p99_deadline_frac"] == np.inf
    assert tenants["1"]["mean_latency_s"] == np.inf
    assert overall["fairness_frac"] == 0.0
    assert overall["p99_deadline_frac"] == overall["slo_miss_frac"] == np.inf
    assert overall["mean_latency_s"] == 1.0


def test_a_tenant_without_requests_has_no_metrics():
    requests, records, _ = _served()
    overall, tenants = metrics(requests, records, np.array([1.0, 2.0, 5.0]))
    assert np.isnan(tenants["2"]["p99_latency_s"])
    assert np.isnan(tenants["2"]["stp"])
    assert overall["stp"] == pytest.approx(4 / 3)
    assert np.isnan(tenants["0"]["p99_deadline_frac"])  # no deadline
    assert overall["p99_deadline_frac"] == 0.0


def test_names_are_those_of_the_outcome():
    requests, records, alone = _served(deadlines=[1.0, 2.0, 6.0])
    overall, tenants = metrics(requests, records, alone)
    assert set(overall) == set(METRICS) - TOTALS
    shared = {name for name, metric in METRICS.items() if metric.per_tenant} - TOTALS
    assert set(tenants["0"]) == shared - {*ANSWER_METRICS}


def test_jain_and_distribution():
    assert jain_index(np.ones(4)) == 1.0
    assert jain_index(np.array([1.0, 0.0, 0.0, 0.0])) == 0.25
    numbers = distribution(np.array([4.0, np.nan, 0.0, 2.0]), "ntt")
    assert numbers == {"mean_ntt": 2.0, "p50_ntt": 2.0, "p95_ntt": pytest.approx(3.8), "p99_ntt": pytest.approx(3.96),
                       "max_ntt": 4.0}


@pytest.mark.parametrize("name", [name for name, record in POLICIES.items() if record.machines == "any"])
def test_ranges(name):
    for seed in range(5):
        costs, chip, requests = random_case(seed, engines=2, units=(1, 1), drop=seed % 2 == 0, costs=False)
        alone = isolated_s(costs, chip, np.arange(3))
        overall, tenants = metrics(requests, simulate(costs, chip, requests, name), alone)
        assert overall["antt"] >= 1.0 - 1e-9
        assert 0.0 < overall["stp"] <= len(tenants) * (1 + 1e-9)
        for key in ("slo_violation_frac", "drop_frac", "fairness_frac"):
            assert 0.0 <= overall[key] <= 1.0
        assert overall["drop_frac"] <= overall["slo_violation_frac"] + 1e-12
        assert (overall["p50_latency_s"] <= overall["p95_latency_s"] <= overall["p99_latency_s"]
                <= overall["max_latency_s"])
