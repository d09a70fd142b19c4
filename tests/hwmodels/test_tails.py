"""Intervals of tail figures: MLPerf's numbers, coverage on independent and on correlated requests."""

import math

import numpy as np
import pytest

from hwmodels.tails import effective_count, percentile_interval, requests_needed, share_interval


@pytest.mark.parametrize(("p", "unrounded", "published"), [
    (0.90, 23886, 24576), (0.95, 50425, 57344), (0.97, 85811, 90112), (0.99, 262742, 270336)])
def test_requests_as_in_mlperf(p, unrounded, published):
    """inference_rules.adoc of mlcommons/inference_policies; published in multiples of 2^13."""
    assert requests_needed(p) == unrounded
    assert math.ceil(unrounded / 2**13) * 2**13 == published


def test_ranks_by_hand():
    ordered = np.arange(1.0, 11.0)
    # Bin(10, 1/2) is below 2, and above 8, with probability 11/1024; below 3, or above 7, with 56/1024 > 5 %
    found = percentile_interval(ordered, 0.5, 0.90)
    assert found == (5.5, 2.0, 9.0)
    # P(no value above p99) = 0.99^10 = 0.90: no upper end
    assert percentile_interval(ordered, 0.99, 0.99).high == math.inf
    # P(none of 459 above p99) = 0.0099, of 528 = 0.00496
    assert percentile_interval(np.arange(527.0), 0.99, 0.99).high == math.inf
    assert percentile_interval(np.arange(529.0), 0.99, 0.99).high == 528.0
    assert percentile_interval(np.full(5, 2.0), 0.99, 0.99) == (2.0, 2.0, 2.0)
    assert all(map(math.isnan, percentile_interval(np.empty(0), 0.5, 0.9)))


@pytest.mark.parametrize(("n", "p"), [(600, 0.5), (600, 0.95), (3000, 0.99), (1_200_000, 0.99)])
def test_intervals_of_independent_values_hold_the_percentile(n, p):
    """95 % intervals of 300 samples; fewer than 92 % of them hold it with probability < 1e-2 per case."""
    rng = np.random.default_rng(7)
    true = -math.log(1.0 - p)
    times = 300 if n < 10_000 else 40
    held = sum((found := percentile_interval(np.sort(rng.exponential(size=n)), p, 0.95)).low <= true <= found.high
               for _ in range(times))
    assert held >= (0.92 if times == 300 else 0.85) * times


def test_correlated_requests_are_worth_less():
    """Every run is late or early as a whole: it is worth about one request, not 50."""
    rng = np.random.default_rng(3)
    counts = np.full(400, 50.0)
    together = 50.0 * (rng.random(400) < 0.1)
    assert effective_count(together, counts) == pytest.approx(400, rel=0.3)
    alone = rng.binomial(50, 0.1, 400).astype(float)
    assert effective_count(alone, counts) == pytest.approx(20_000, rel=0.25)
    assert effective_count(alone[:3], counts[:3]) == 150


def test_share_interval():
    assert share_interval(0.0, 1000.0, 0.99).low == 0.0
    assert share_interval(0.0, 1000.0, 0.99).high == pytest.approx(6.635 / 1006.635, rel=1e-3)
    found = share_interval(0.1, 10_000.0, 0.95)
    assert found.low == pytest.approx(0.0943, abs=1e-4)
    assert found.high == pytest.approx(0.1060, abs=1e-4)
    assert share_interval(0.5, 0.0, 0.95) == (0.5, 0.0, 1.0)
