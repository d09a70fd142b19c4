"""One design under several scenarios: workloads, traffic levels and seeds; and what is left of their metrics.

Model
-----
Every metric is aggregated on its own by CVaR, the mean of the worst share 1 - alpha of n equally likely scenarios: with
m = n (1 - alpha) and the values sorted from the worst, (x_1 + ... + x_k + (m - k) x_(k+1)) / m, k = floor m. alpha = 0
is the mean, alpha = 1 (all m <= 1) the worst case. "Worst" is large for a metric that is better when small, and small
otherwise. A scenario in which a metric has no meaning (NaN: a tenant that is not in its workload) does not count.

A traffic level divides all arrival times, on and off periods, steps and offsets by its factor and keeps the duration
and the service levels: the shape of the traffic stays, also the deadline of a periodic tenant whose deadline was its
period.

References
----------
R. T. Rockafellar, S. Uryasev, Journal of Banking & Finance 26, 2002, doi:10.1016/S0378-4266(02)00271-6.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from hwmodels.outcome import Outcome
from hwmodels.traffic import relative_deadline_s
from hwmodels.workload import Traffic, Workload

__all__ = ["MEAN", "WORST", "Scenario", "all_tenants", "at_rate", "cvar", "robust_outcome", "with_own_deadlines"]

MEAN, WORST = 0.0, 1.0
"""alpha of the mean and of the worst case."""


@final
@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What a design is faced with.

    Parameters
    ----------
    workload : at its traffic level.
    rate : the level, relative to the workload as given [-].
    seed : of the traffic.
    """

    name: str
    workload: Workload
    rate: float
    seed: int


def cvar(values: Sequence[float], alpha: float, *, minimise: bool = True) -> float:
    """Mean of the worst share 1 - alpha of the values that are not NaN; NaN when there is none.

    Parameters
    ----------
    alpha : in [0, 1] [-].
    minimise : whether small values are good.
    """
    worst_first = sorted((value for value in values if not math.isnan(value)), reverse=minimise)
    if not worst_first:
        return math.nan
    m = round(len(worst_first) * (1.0 - alpha), 9)
    if m <= 1.0 or worst_first[0] == worst_first[-1]:
        return worst_first[0]
    k = int(m)
    rest = (m - k) * worst_first[k] if m > k else 0.0
    return (math.fsum(worst_first[:k]) + rest) / m if math.isfinite(worst_first[0]) else worst_first[0]


def at_rate(workload: Workload, factor: float) -> Workload:
    """The workload at another traffic level; see the module."""
    if factor == 1.0:
        return workload
    return replace(workload, tenants=tuple(
        replace(tenant, traffic=tenant.traffic and _faster(tenant.traffic, factor))
        for tenant in with_own_deadlines(workload).tenants))


def with_own_deadlines(workload: Workload) -> Workload:
    """The workload with deadlines that stay when the traffic changes: a period that was one is written down."""
    deadlines = relative_deadline_s(workload, np.full(len(workload.tenants), np.nan))  # NaN: relative to isolated
    tenants = []
    for tenant, deadline_s in zip(workload.tenants, deadlines.tolist(), strict=True):
        service = replace(tenant.service, deadline_s=deadline_s) if math.isfinite(deadline_s) else tenant.service
        tenants.append(replace(tenant, service=service))
    return replace(workload, tenants=tuple(tenants))


def _faster(traffic: Traffic, factor: float) -> Traffic:
    return replace(traffic, rate_hz=traffic.rate_hz * factor, offset_s=traffic.offset_s / factor,
                   on_s=traffic.on_s / factor, off_s=traffic.off_s / factor, step_s=traffic.step_s / factor,
                   rates_hz=tuple(rate * factor for rate in traffic.rates_hz),
                   arrivals_s=tuple(time / factor for time in traffic.arrivals_s))


def all_tenants(workloads: Sequence[Workload]) -> Workload:
    """The tenants of all workloads, each name as it is in the first that has it: what one chip must serve."""
    first = workloads[0]
    found = {tenant.name: tenant for workload in reversed(workloads) for tenant in reversed(workload.tenants)}
    names = dict.fromkeys(tenant.name for workload in workloads for tenant in workload.tenants)
    return first if len(names) == len(first.tenants) else replace(first, tenants=tuple(found[n] for n in names))


def robust_outcome(outcomes: Mapping[str, Outcome], alpha: Callable[[str], float], minimise: Callable[[str], bool],
                   keep: Sequence[str]) -> Outcome:
    """One outcome of several.

    Parameters
    ----------
    outcomes : by the name of the scenario.
    alpha, minimise : of a metric, named METRIC or TENANT.METRIC.
    keep : metrics whose values in every scenario are kept in `Outcome.scenarios`.

    Returns
    -------
    Aggregated metrics; where a scenario cannot be served, its status, and the metrics that all scenarios know.
    """
    every = list(outcomes.values())
    bad = next((f"{name}: {outcome.status}" for name, outcome in outcomes.items() if not outcome.ok), "ok")
    scenarios = {name: {metric: value for metric in keep if not math.isnan(value := _metric(outcome, metric))}
                 for name, outcome in outcomes.items()}

    def together(name: str, values: list[float]) -> float:
        return cvar(values, alpha(name), minimise=minimise(name))

    known = [name for name in every[0].metrics if all(name in outcome.metrics for outcome in every)]
    metrics = {name: together(name, [outcome.metrics[name] for outcome in every]) for name in known}
    tenants: dict[str, dict[str, float]] = {}
    if bad == "ok":
        for outcome in every:
            for tenant, own in outcome.tenants.items():
                if tenant not in tenants:
                    tenants[tenant] = {name: together(f"{tenant}.{name}", [
                        other.tenants[tenant].get(name, math.nan) for other in every if tenant in other.tenants])
                        for name in own}
    return Outcome(status=bad, metrics=metrics, tenants=tenants, scenarios=scenarios)


def _metric(outcome: Outcome, name: str) -> float:
    tenant, _, metric = name.rpartition(".")
    return (outcome.tenants.get(tenant, {}) if tenant else outcome.metrics).get(metric, math.nan)
