"""How sure a tail figure is: intervals of percentiles and shares, and how many requests they need.

Model
-----
* A percentile p of n independent latencies lies between two of their order statistics: the number of latencies at or
  below the true percentile is binomial (n, p). Where the upper rank would be n + 1 there is no upper end: too few
  requests.
* A share has the interval of Wilson.
* Requests of one run are not independent: they wait for each other. n is divided by the ratio of the variance that the
  share of latencies above the percentile has between runs to the binomial one (at least 1; 1 with fewer than 4 runs).
* MLPerf asks for so many queries that the share of latencies above the bound is known within the margin (1 - p) / 20:
  n = z^2 p (1 - p) / margin^2, z the normal quantile of the two-sided confidence; p99 at 99 %: 262,742.

References
----------
H. A. David, H. N. Nagaraja, Order Statistics, 3rd ed., 2003, doi:10.1002/0471722162, section 7.1.
E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, doi:10.1080/01621459.1927.10502953.
Variance between runs: S. Asmussen, P. W. Glynn, Stochastic Simulation, 2007, doi:10.1007/978-0-387-69033-9, IV.
V. J. Reddi et al., MLPerf Inference Benchmark, ISCA 2020, doi:10.1109/ISCA45697.2020.00045, section III-D.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "effective_count", "percentile", "percentile_interval", "requests_needed", "share_interval"]

Floats = NDArray[np.float64]

_LEAST_RUNS = 4
_EXACT = 5000.0
"""Expected number of latencies above the percentile up to which the binomial is summed, not approximated."""


class Interval(NamedTuple):
    """Estimate and the ends of its interval."""

    estimate: float
    low: float
    high: float


def requests_needed(p: float, confidence: float = 0.99, margin: float | None = None) -> int:
    """Independent requests that a percentile needs.

    Parameters
    ----------
    p : of the percentile, in (0, 1).
    margin : half width of the interval of the share above it; (1 - p) / 20 by default, as MLPerf.
    """
    margin = (1.0 - p) / 20.0 if margin is None else margin
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    return round(z * z * p * (1.0 - p) / margin**2)


def _binomial_ranks(n: int, q: float, tail: float) -> tuple[int, int]:
    """(l, u): Bin(n, q) is below l with probability <= tail, and above u with probability <= tail."""
    mean = n * q
    if min(mean, n - mean) > _EXACT:
        half = -NormalDist().inv_cdf(tail) * math.sqrt(mean * (1.0 - q))
        return max(0, math.floor(mean - half)), min(n, math.ceil(mean + half))
    k = np.arange(min(n, int(mean + 40.0 * math.sqrt(mean + 1.0) + 40.0)) + 1)
    steps = np.log((n - k[:-1]) / (k[:-1] + 1.0)) + math.log(q) - math.log1p(-q)
    cdf = np.cumsum(np.exp(n * math.log1p(-q) + np.concatenate([[0.0], np.cumsum(steps)])))
    low = int(np.searchsorted(cdf, tail, side="right"))  # P(X <= low - 1) <= tail
    high = int(np.searchsorted(cdf, 1.0 - tail, side="left"))  # P(X > high) <= tail
    return low, min(high, n)


def percentile(ordered: Floats, p: float) -> float:
    """Of increasing values, interpolated as `numpy.percentile`, but inf between a finite value and inf."""
    at = p * (len(ordered) - 1)
    below, above = float(ordered[math.floor(at)]), float(ordered[math.ceil(at)])
    return above if below == above or not math.isfinite(above) else below + (above - below) * (at - math.floor(at))


def percentile_interval(ordered: Floats, p: float, confidence: float, *, effective: float | None = None) -> Interval:
    """A percentile with its interval.

    Parameters
    ----------
    ordered : values, increasing; inf for requests that were dropped.
    p : in (0, 1); the estimate interpolates as `numpy.percentile`.
    effective : independent values that these are worth; their number by default.

    Returns
    -------
    `high` is inf and `low` -inf where the values are too few for an end.
    """
    count = len(ordered)
    if not count:
        return Interval(math.nan, math.nan, math.nan)
    estimate = percentile(ordered, p)
    if ordered[0] == ordered[-1]:
        return Interval(estimate, estimate, estimate)
    n = max(1, int(count if effective is None else min(effective, count)))
    fewest, most = _binomial_ranks(n, 1.0 - p, (1.0 - confidence) / 2.0)
    # so many of n lie above the percentile: fewest for the upper end, most for the lower
    up, down = math.ceil(count * (n - fewest + 1) / n), math.floor(count * (n - most) / n)
    high = math.inf if fewest == 0 else float(ordered[min(count, up) - 1])
    low = -math.inf if down == 0 else float(ordered[down - 1])
    return Interval(estimate, min(low, estimate), max(high, estimate))


def share_interval(share: float, effective: float, confidence: float) -> Interval:
    """Wilson's interval of a share of so many independent requests."""
    if not effective > 0.0:
        return Interval(share, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    ratio = z * z / effective
    middle = (share + ratio / 2.0) / (1.0 + ratio)
    half = math.sqrt(share * (1.0 - share) * ratio + ratio * ratio / 4.0) / (1.0 + ratio)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def effective_count(hits: Floats, counts: Floats, *, share: float | None = None) -> float:
    """Independent requests that those of several runs are worth.

    Parameters
    ----------
    hits, counts : requests above the percentile (or late, or dropped) and all requests, of every run.
    share : expected share of hits; by default the one found.
    """
    total = float(counts.sum())
    if len(counts) < _LEAST_RUNS or total == 0.0:
        return total
    share = float(hits.sum()) / total if share is None else share
    if not 0.0 < share < 1.0:
        return total
    # variance of the sum of hits between runs, against the binomial one
    residual = hits - share * counts
    between = float(np.square(residual).sum()) * len(counts) / (len(counts) - 1)
    return total / max(1.0, between / (total * share * (1.0 - share)))
