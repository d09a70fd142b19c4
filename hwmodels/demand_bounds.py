"""Lower bounds of what `hwmodels.evaluate` returns for a design, whatever its policy.

    Demand + Load + SchedulerBlock --metric_bounds--> metric -> (D,)

Model
-----
latency      of a request >= that of its layers (`hwmodels.request_costs`) + one decision; a follower adds that of its
             ancestors
batch        shares all of its work and energy, at best
overlap      where weights are loaded while other layers compute (`Policy.overlaps`, one undivided engine), each layer
             occupies the compute unit and the DRAM channel after the request arrives and before it ends: the resources
             are these two, the latency is at least the larger of the sums, and decisions may be hidden. Deadlines count
             a request alone, which does not overlap
tails        `hwmodels.late_requests`
energy       dynamic energy of the requests that must finish + leakage x duration; per inference: the least ratio over
             all numbers of finished requests
area         exact

Bounds hold for every policy, because none can do a layer in less than its time at full bandwidth (with its weights on
chip, if it overlaps), hold more than the engines there are, or serve a request before it arrives.
Some hold for feasible designs only: `hwmodels.offered_load.least_finished`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.area import SchedulerBlock
from hwmodels.late_requests import spare_requests, worst_tails
from hwmodels.offered_load import Load
from hwmodels.request_costs import Demand
from hwmodels.workload import Workload

__all__ = ["Served", "metric_bounds"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ROUNDING = 1e-9
"""Relative: sums here and in the simulation are rounded differently."""
_STEPS = 6
_TRIVIAL = {"slo_violation_frac": 0.0, "drop_frac": 0.0, "antt": 0.0, "slo_miss_frac": -1.0}
_NO_TIMES = {"area_mm2", "power_w", "energy_j", "energy_per_inference_j"}
"""Metrics that take neither latencies nor deadlines."""
_MOST = {"fairness_frac": 1.0, "engine_utilisation_frac": 1.0, "dram_utilisation_frac": 1.0}


class Served(NamedTuple):
    """Requests that are known to finish, with what they cost."""

    requests: Ints
    """(T,) how many."""
    energy_j: Floats
    """(T,) dynamic, of all of them."""


def _least_ratio(fixed_j: Floats, each_j: Floats, least: Ints, count: Ints) -> Floats:
    """Least of (fixed + sum f_t each_t) / sum f_t over least <= f <= count, (D,)."""
    found = fixed_j + each_j @ least
    _lower(found, float(least.sum()), each_j, np.argsort(each_j, axis=1, kind="stable"), (count - least).astype(float))
    return found


@njit(cache=True, error_model="numpy")
def _lower(joules, requests, each_j, order, more):  # type: ignore[no-untyped-def]
    """Replace joules that are spent on so many requests by joules / requests, with those of the `more` ones added that
    make it less.

    Parameters
    ----------
    joules, each_j : (D,) and (D, T); order : tenants by `each_j`, (D, T); more : (T,).
    """
    for d in range(joules.size):
        total, served = joules[d], requests
        for at in range(order.shape[1]):
            t = order[d, at]
            if more[t] > 0.0 and (served == 0.0 or each_j[d, t] < total / served):
                total += more[t] * each_j[d, t]
                served += more[t]
        joules[d] = total / served if served > 0.0 else np.inf


def metric_bounds(demand: Demand, load: Load, workload: Workload, blocks: Sequence[SchedulerBlock], *,
                  area_mm2: Floats, leakage_w: Floats, metrics: Sequence[str], least: Ints,
                  limits: Mapping[str, float | Floats] | None = None, steps: int = _STEPS,
                  served: Served | None = None) -> dict[str, Floats]:
    """Bounds of the wanted metrics: lower bounds, and upper bounds of those that are better when larger.

    Parameters
    ----------
    blocks : scheduler of each design, (D,).
    area_mm2 : exact, scheduler included, (D,).
    leakage_w : of the chip without the scheduler, (D,).
    metrics : `METRIC` or `TENANT.METRIC`; what has no bound gets its trivial one (0, or infinity).
    least : requests of each tenant that finish at least (`least_finished`), (T,).
    limits : of metrics, also per design (D,); one proven beyond its limit needs no closer bound of that metric.
    steps : halvings of the interval that holds the bound of a tail (on a logarithmic axis); 0 tries the limit only.
    served : what is known of some requests of all designs, for the energy.

    Returns
    -------
    metric -> (D,).
    """
    limits = limits or {}
    count = len(area_mm2)
    overlaps = np.array([block.overlaps for block in blocks], dtype=bool)
    demand = _overlapped(_shared(demand, np.array([block.together for block in blocks])), overlaps)
    decision_s = np.array([block.decision_s for block in blocks])
    if set(metrics) <= _NO_TIMES:
        deadline = chain = np.empty((count, 0))
    else:
        deadline = _deadlines(demand, load, decision_s)
        decision_s = np.where(overlaps, 0.0, decision_s)  # a load that begins earlier hides it
        chain = _chains(demand.latency_s + decision_s[:, None], load.parent) * (1.0 - _ROUNDING)
    static_w = leakage_w + np.array([block.power_w for block in blocks])
    each_j = demand.energy_j + np.array([block.decision_j for block in blocks])[:, None]
    more_j = np.zeros(count)
    if served is not None:
        least = np.maximum(least, served.requests)
        more_j = served.energy_j.sum() - demand.energy_j @ served.requests
    scale = 1.0 - _ROUNDING
    tails: dict[str, tuple[Floats, Floats]] = {}

    def tail(name: str) -> tuple[Floats, Floats]:
        if name not in tails:
            percentile = load.percentile if name == "slo_miss_frac" else np.full(len(load.requests), 99.0)
            above = 1.0 if name == "slo_miss_frac" else 0.0
            fraction, late = np.empty(count), np.empty(count)
            limit = np.broadcast_to(np.asarray(limits.get(name, np.inf), dtype=float) + above, (count,))
            worst_tails(load, demand.latency_s, demand.work_s, deadline, decision_s, demand.alone, demand.separate,
                   *spare_requests(load, percentile), limit, steps, "slo_violation_frac" in metrics, fraction, late)
            tails[name] = fraction, late
        return tails[name]

    def of(metric: str) -> Floats:
        if metric == "area_mm2":
            return area_mm2
        if metric == "power_w":
            return static_w * scale
        if metric == "energy_j":
            return (static_w * load.duration_s + more_j + each_j @ least) * scale
        if metric == "energy_per_inference_j":
            return _least_ratio(static_w * load.duration_s + more_j, each_j, least, load.requests) * scale
        if metric.endswith("_latency_s"):
            return _latency(metric, chain, load)
        if metric == "p99_deadline_frac":
            return tail(metric)[0]
        if metric == "slo_miss_frac":
            return tail(metric)[0] - 1.0
        if metric == "slo_violation_frac":
            name = "slo_miss_frac" if "slo_miss_frac" in metrics else "p99_deadline_frac"
            return tail(name)[1] / max(1, int(load.requests.sum()))
        if metric == "stp":
            return np.full(count, np.inf)
        return np.full(count, _TRIVIAL.get(metric, _MOST.get(metric, np.inf if metric == "throughput_per_s" else 0.0)))

    names = [tenant.name for tenant in workload.tenants]
    found = {}
    for metric in metrics:
        tenant, _, name = metric.rpartition(".")
        found[metric] = (_of_tenant(names.index(tenant), name, chain, demand.energy_j * scale, deadline, load, least)
                         if tenant in names else of(metric))
    return found


def _shared(demand: Demand, together: Ints) -> Demand:
    """What one request needs at least where so many may share a pass of the engine, (D,): a pass takes as long as one
    request alone, and no more requests share it. Of an engine made for one batch size it takes longer: the isolated
    latency is not known."""
    if (together == 1).all():
        return demand
    energy_j = np.where(together[:, None] == 1, demand.energy_j, demand.pass_j / together[:, None])
    return demand._replace(work_s=demand.work_s / together[:, None, None], energy_j=energy_j,
                           alone=demand.alone & (together == 1),
                           isolated_s=np.where(together[:, None] == 1, demand.isolated_s, np.nan))


def _overlapped(demand: Demand, overlaps: Bools) -> Demand:
    """What one request needs at least where weights are loaded while other layers compute, (D,)."""
    if not overlaps.any():
        return demand
    unit, channel = demand.overlapped_s[..., 0], demand.overlapped_s[..., 1]
    work_s = np.stack([unit, np.zeros_like(unit), channel], axis=2)
    return demand._replace(latency_s=np.where(overlaps[:, None], np.maximum(unit, channel), demand.latency_s),
                           work_s=np.where(overlaps[:, None, None], work_s, demand.work_s))


def _chains(latency: Floats, parent: Ints) -> Floats:
    """End-to-end latency: a follower adds that of its ancestors, (D, T)."""
    total = latency.copy()
    for t in range(latency.shape[1]):
        at = parent[t]
        while at >= 0:
            total[:, t] += latency[:, at]
            at = parent[at]
    return total


def _deadlines(demand: Demand, load: Load, decision_s: Floats) -> Floats:
    """Relative deadlines, (D, T); inf where there is none or it is not known."""
    isolated = (demand.isolated_s + decision_s[:, None]) * (1.0 + _ROUNDING)
    given = np.where(np.isnan(load.deadline_x), load.deadline_s, load.deadline_x * isolated)
    return np.where(np.isnan(given), np.inf, given)


def _latency(metric: str, chain: Floats, load: Load) -> Floats:
    """Every request takes at least its chain; where some may be lost, all we know is the least of them, (D,)."""
    present = load.requests > 0
    if not present.any():
        return np.zeros(len(chain))
    if load.may_drop[present].any():
        return np.asarray(chain[:, present].min(axis=1))
    if metric == "mean_latency_s":
        return chain @ load.requests / load.requests.sum() * (1.0 - _ROUNDING)
    percentile = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}[metric.partition("_")[0]]
    order = np.argsort(chain, axis=1, kind="stable")
    last = np.cumsum(load.requests[order], axis=1) - 1
    position = percentile / 100.0 * (load.requests.sum() - 1)

    def at(index: float) -> Floats:
        column = (last < index).sum(axis=1)
        return np.take_along_axis(chain, np.take_along_axis(order, column[:, None], axis=1), axis=1)[:, 0]

    low, high = at(np.floor(position)), at(np.ceil(position))
    return (low + (high - low) * (position - np.floor(position))) * (1.0 - _ROUNDING)


def _of_tenant(t: int, metric: str, chain: Floats, each_j: Floats, deadline: Floats, load: Load,
               least: Ints) -> Floats:
    if metric.endswith("_latency_s"):
        return chain[:, t]
    if metric == "energy_j":
        return each_j[:, t] * least[t]
    if metric == "energy_per_inference_j":
        return each_j[:, t]
    if metric in ("p99_deadline_frac", "slo_miss_frac"):
        known = np.isfinite(deadline[:, t])
        fraction = np.where(known, chain[:, t] / np.where(known, deadline[:, t], 1.0), 0.0)
        return fraction if metric == "p99_deadline_frac" else fraction - 1.0
    largest = metric in ("stp", "throughput_per_s")
    return np.full(len(chain), np.inf if largest else _TRIVIAL.get(metric, 0.0))
