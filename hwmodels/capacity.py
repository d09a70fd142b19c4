"""How much traffic a design can take: the largest rate at which every tenant meets its service level.

Model
-----
All arrival rates are multiplied by one factor (`hwmodels.robust.at_rate`: the shape of the traffic and the service
levels stay). A factor passes when no tenant misses its percentile (`slo_miss_frac` <= 0). The edge is bracketed by
doubling or halving from 1, then bisected on the logarithm of the factor. This is MLPerf Inference's server scenario for
Poisson tenants, with one rate for all.

Limits
------
A tail of few requests is noise, and near the edge passing need not be monotone: the factor found passes, one a relative
`tolerance` above it does not. `requests_for_tail` says how many requests a percentile wants.

References
----------
V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020, doi:10.1109/ISCA45697.2020.00045.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from hwmodels.design import Design
from hwmodels.errors import ModelError
from hwmodels.evaluate import Detail, evaluate, evaluate_detail
from hwmodels.outcome import Outcome
from hwmodels.robust import at_rate
from hwmodels.traffic import mean_rate_hz, relative_deadline_s
from hwmodels.workload import Workload

__all__ = ["Capacity", "capacity", "evaluate_judged", "has_deadlines", "requests_for_tail"]

MAX_FACTOR, MIN_FACTOR = 2.0**20, 2.0**-20
MAX_REQUESTS = 2e6
"""Of one evaluation; a design that passes with that many is reported as unbounded."""


class Capacity(NamedTuple):
    """The largest factor that passes, 0 for none, and what happens there.

    `fails` is the smallest factor seen to fail, inf where every one that was tried passes.
    """

    factor: float
    fails: float
    workload: Workload | None
    detail: Detail | None
    evaluations: int


def requests_for_tail(percentile: float, confidence: float = 0.99) -> int:
    """Requests for a percentile to be known within (1 - p) / 20, the rule of MLPerf [-]; 262,742 for p99."""
    p = percentile / 100.0
    if not 0.0 < p < 1.0:
        return 0
    margin = (1.0 - p) / 20.0
    return round(NormalDist().inv_cdf((1.0 + confidence) / 2.0) ** 2 * p * (1.0 - p) / margin**2)


def capacity(design: Design, workload: Workload, *, seed: int = 0, tolerance: float = 0.01) -> Capacity:
    """The largest factor on all rates at which every service level is met.

    Parameters
    ----------
    seed : of the traffic; the arrivals at different factors are different draws.
    tolerance : the factor is known to this relative precision [-].

    Raises
    ------
    ModelError : no tenant has a deadline, or design and workload contradict each other.
    """
    if not 1e-4 <= tolerance <= 1.0:
        raise ModelError("tolerance", "in [0.0001, 1]", tolerance)
    _check_deadlines(workload)
    passing: tuple[float, Workload | None, Detail | None] = (0.0, None, None)

    def passes(factor: float) -> bool:
        nonlocal passing
        at = at_rate(workload, factor)
        detail = evaluate_detail(design, at, seed=seed, record=False)
        good = _meets(detail.outcome)
        if good and factor > passing[0]:
            passing = (factor, at, detail)
        return good

    edge = _edge(passes, workload, tolerance)
    return Capacity(passing[0], edge.high, passing[1], passing[2], edge.tried)


def evaluate_judged(design: Design, workload: Workload, *, seed: int = 0, fidelity: str = "simulate",
                    metrics: Collection[str] = ()) -> Outcome:
    """`hwmodels.evaluate.evaluate`, and those of `metrics` that are of `SEARCHED`.

    `capacity_frac` is that of `capacity` at a tolerance of 2 %, at the given fidelity; 0 where no rate passes.

    Raises
    ------
    ModelError : see `evaluate` and `capacity`.
    """
    outcome = evaluate(design, workload, seed=seed, fidelity=fidelity)
    if "capacity_frac" not in metrics or not outcome.ok:
        return outcome
    _check_deadlines(workload)

    def passes(factor: float) -> bool:
        return _meets(outcome if factor == 1.0 else evaluate(design, at_rate(workload, factor), seed=seed,
                                                             fidelity=fidelity))

    return replace(outcome, metrics={**outcome.metrics, "capacity_frac": _edge(passes, workload, 0.02).low})


def has_deadlines(workload: Workload) -> bool:
    """Whether some tenant has a deadline: a rate passes when they are met."""
    return not all(math.isinf(d) for d in relative_deadline_s(workload, np.ones(len(workload.tenants))))


def _check_deadlines(workload: Workload) -> None:
    if not has_deadlines(workload):
        raise ModelError("service", "given with a deadline for at least one tenant: a rate passes when they are met")


def _meets(outcome: Outcome) -> bool:
    return outcome.ok and not outcome.metrics["slo_miss_frac"] > 0.0


class _Edge(NamedTuple):
    """The largest factor seen to pass (0: none), the smallest above it seen to fail (inf: none), and how many were
    tried."""

    low: float
    high: float
    tried: int


def _edge(passes: Callable[[float], bool], workload: Workload, tolerance: float) -> _Edge:
    """Bracket from 1 by doubling or halving, then bisection of the logarithm."""
    rate = sum(mean_rate_hz(workload, tenant) for tenant in workload.tenants) * workload.duration_s
    high, low, count, factor = math.inf, 0.0, 0, 1.0

    def good(factor: float) -> bool:
        nonlocal count
        count += 1
        return passes(factor)

    if good(factor):
        low = factor
        while math.isinf(high) and 2.0 * low <= MAX_FACTOR and 2.0 * low * rate <= MAX_REQUESTS:
            if good(2.0 * low):
                low *= 2.0
            else:
                high = 2.0 * low
    else:
        high = factor
        while not low and high / 2.0 >= MIN_FACTOR and high / 2.0 * rate >= 1.0:
            if good(high / 2.0):
                low = high / 2.0
            else:
                high /= 2.0
    while low and math.isfinite(high) and high > low * (1.0 + tolerance):
        middle = math.sqrt(low * high)
        if good(middle):
            low = middle
        else:
            high = middle
    return _Edge(low, high, count)
