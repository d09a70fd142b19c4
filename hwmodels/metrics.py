"""What is reported of a run: the formulas.

Model
-----
Request i: arrival a, ready r (arrival, or finish of the request it follows), deadline d, finish f, isolated latency
iso. Latency f - a; a dropped request has no latency and counts as a violation. A request that leaves its network at an
exit is measured against the isolated latency of the layers it runs; a deadline given as a multiple counts the whole
network, because nobody knows the exit when it is set.

===================  =========================================================================================
NTT                  (f - r) / iso; ANTT is its mean
STP                  sum over tenants of iso / mean (f - r); 1 when a tenant never waits
throughput           finished / (last finish - first arrival)
SLO violations       share of requests with f > d, or dropped
fairness             least / largest progress of two tenants; progress = (iso / mean (f - r)) / (priority / sum of
                     priorities) (MoCA, S. Kim et al., HPCA 2023, doi:10.1109/HPCA56546.2023.10071035)
p99 / deadline       99th percentile of the latency / relative deadline; over all: the worst tenant
SLO miss             latency at the tenant's own percentile / relative deadline - 1; over all: the worst tenant
TTFT                 of an answer (a chain of steps of one tenant): finish of the request it follows, which makes the
                     first token, - a; over all: the worst tenant
TPOT                 of an answer of n steps: (finish of the last - finish of the request it follows) / n; over all: the
                     worst tenant
===================  =========================================================================================

Percentiles interpolate linearly. A dropped request counts as an infinite latency in p99 / deadline and SLO miss, an
answer that lost its first token or a step as infinite TTFT or TPOT (only tenants with answers have these), and a tenant
nothing of which finished has progress 0 and infinite latencies. Metrics without a meaning (no deadline, no request) are
NaN, except the worst-tenant ones, which then are 0.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.outcome import ANSWER_METRICS
from hwmodels.tables import TaskRecords
from hwmodels.workload import RequestTrace

__all__ = ["answers", "distribution", "jain_index", "metrics", "ntt"]

Floats = NDArray[np.float64]


def ntt(trace: RequestTrace, records: TaskRecords, request_isolated_s: Floats) -> Floats:
    """Normalised turnaround of every request, NaN where dropped, shape (n,) [-]."""
    return (records.finish_s - records.ready_s) / request_isolated_s


def jain_index(progress: Floats) -> float:
    """(sum x)^2 / (n sum x^2): 1 = all alike, 1/n = one has it all (R. Jain et al., DEC-TR-301, 1984)."""
    return float(progress.sum() ** 2 / (len(progress) * np.square(progress).sum())) if len(progress) else float("nan")


def distribution(values: Floats, name: str, unit: str = "") -> dict[str, float]:
    """mean, p50, p95, p99 and max of the values that are not NaN, as `p50_NAME_UNIT`; inf if all are, NaN if there
    is no value."""
    known = values[~np.isnan(values)]
    suffix = f"_{name}_{unit}" if unit else f"_{name}"
    if not len(known):
        nothing = float("inf") if len(values) else float("nan")
        return dict.fromkeys((f"{part}{suffix}" for part in ("mean", "p50", "p95", "p99", "max")), nothing)
    ordered = np.sort(known)
    numbers = (_mean(known), *(_percentile(ordered, level) for level in (50.0, 95.0, 99.0)), ordered[-1])
    return {f"{part}{suffix}": float(x) for part, x in zip(("mean", "p50", "p95", "p99", "max"), numbers, strict=True)}


def _percentile(ordered: Floats, level: float) -> float:
    """As `np.percentile`, to the last bit, of values in ascending order."""
    position = (len(ordered) - 1) * (level / 100.0)
    low = int(position)
    a, b, frac = float(ordered[low]), float(ordered[min(low + 1, len(ordered) - 1)]), position - low
    return b - (b - a) * (1.0 - frac) if frac >= 0.5 else a + (b - a) * frac


def _lateness(latency: Floats) -> Floats:
    """Ascending, dropped requests as infinitely late."""
    return np.sort(np.where(np.isfinite(latency), latency, np.inf))


def _at_percentile(ordered: Floats, percentile: float) -> float:
    """Of values in ascending order, the last of which may be infinite, without inf - inf of the interpolation."""
    position = percentile / 100.0 * (len(ordered) - 1)
    low = int(np.floor(position))
    high = min(low + 1, len(ordered) - 1)
    if position == low or ordered[low] == ordered[high]:
        return float(ordered[low])
    if not np.isfinite(ordered[high]):
        return float("inf")
    return float(ordered[low] + (ordered[high] - ordered[low]) * (position - low))


class _Requests(NamedTuple):
    """Some requests and what became of them, columns of shape (n,)."""

    arrival_s: Floats
    finish_s: Floats
    turnaround_s: Floats
    """Finish - ready."""
    latency_s: Floats
    allowed_s: Floats
    """Deadline - arrival."""
    late: NDArray[np.bool_]
    priority: Floats
    isolated_s: Floats


def _mean(values: Floats) -> float:
    return float(values.sum() / len(values))


def _of(some: _Requests) -> dict[str, float]:
    """Metrics of some requests that need nothing else."""
    count, finished = len(some.latency_s), np.isfinite(some.latency_s)
    done = int(finished.sum())
    which: Any = slice(None) if done == count else finished
    own = distribution(some.latency_s, "latency", "s")
    elapsed = float(some.finish_s[which].max() - some.arrival_s.min()) if done else 0.0
    return own | {
        "slo_violation_frac": int(some.late.sum()) / count if count else 0.0,
        "drop_frac": 1.0 - done / count if count else 0.0,
        "antt": (_mean((some.turnaround_s / some.isolated_s)[which]) if done else float("inf") if count
                 else float("nan")),
        "throughput_per_s": done / elapsed if elapsed > 0.0 else 0.0,
    }


def _progress(some: _Requests) -> float:
    """Isolated latency / mean time in system, of the requests of a tenant that finished."""
    done = np.isfinite(some.turnaround_s)
    if not done.any():
        return 0.0
    mean = _mean(some.turnaround_s[done])
    return _mean(some.isolated_s[done]) / mean if mean > 0.0 else 1.0  # 0: too short for the resolution of the clock


def _against_deadline(some: _Requests, percentile: float) -> dict[str, float]:
    """How the latency of a tenant compares to its deadline; NaN without one."""
    if not len(some.allowed_s) or not np.isfinite(some.allowed_s).all():
        return {"p99_deadline_frac": float("nan"), "slo_miss_frac": float("nan")}
    used = _lateness(some.latency_s / some.allowed_s)
    return {"p99_deadline_frac": _at_percentile(used, 99.0), "slo_miss_frac": _at_percentile(used, percentile) - 1.0}


def answers(trace: RequestTrace, records: TaskRecords, tenant: int) -> tuple[Floats, Floats]:
    """Time to the first token and time per output token of every answer of a tenant, shape (answers,) each [s]; empty
    where its requests do not follow each other. The steps of an answer are neighbours among the tenant's rows."""
    if trace.parent.max(initial=-1) < 0:
        return np.empty(0), np.empty(0)
    rows = np.flatnonzero(trace.tenant == tenant)
    parent = trace.parent[rows]
    first = np.flatnonzero((parent < 0) | (trace.tenant[parent] != tenant))
    if len(first) == len(rows):
        return np.empty(0), np.empty(0)
    steps = np.diff(np.append(first, len(rows)))
    begun = records.finish_s[parent[first]]
    return begun - trace.arrival_s[rows[first]], (records.finish_s[rows[first + steps - 1]] - begun) / steps


def metrics(trace: RequestTrace, records: TaskRecords, isolated_s: Floats, *, names: list[str] | None = None,
            percentiles: Floats | None = None, request_isolated_s: Floats | None = None,
            ) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Everything that follows from the records alone; area, energy and utilisation totals are the caller's.

    Parameters
    ----------
    isolated_s : of every tenant, shape (T,) [s].
    names : of the tenants; by default their numbers.
    percentiles : of the latency that must meet the deadline, shape (T,) [%]; 99 by default.
    request_isolated_s : of every request, where samples differ, shape (n,) [s]; the tenant's by default.

    Returns
    -------
    (overall, tenant -> metrics), named as in `hwmodels.outcome.METRICS`. A tenant without requests has NaN entries.
    """
    count = len(isolated_s)
    names = [str(i) for i in range(count)] if names is None else names
    percentiles = np.full(count, 99.0) if percentiles is None else percentiles
    everything = _Requests(
        arrival_s=trace.arrival_s, finish_s=records.finish_s, turnaround_s=records.finish_s - records.ready_s,
        latency_s=records.finish_s - trace.arrival_s, allowed_s=trace.deadline_s - trace.arrival_s,
        late=~(records.finish_s <= trace.deadline_s), priority=trace.priority,
        isolated_s=isolated_s[trace.tenant] if request_isolated_s is None else request_isolated_s)
    overall = _of(everything)
    tenants: dict[str, dict[str, float]] = {}
    progress = np.full(count, np.nan)
    priority = np.full(count, np.nan)
    by_tenant = np.argsort(trace.tenant, kind="stable")
    ordered = _Requests._make(values[by_tenant] for values in everything)
    ends = np.searchsorted(trace.tenant[by_tenant], np.arange(count + 1)).tolist()
    for index, name in enumerate(names):
        some = _Requests._make(values[ends[index] : ends[index + 1]] for values in ordered)
        if len(some.latency_s):
            progress[index], priority[index] = _progress(some), _mean(some.priority)
        own = _of(some) | {"stp": float(progress[index])} | _against_deadline(some, float(percentiles[index]))
        for name_s, times in zip(("ttft_s", "tpot_s"), answers(trace, records, index), strict=True):
            own |= {f"p{level}_{name_s}": _at_percentile(_lateness(times), level) for level in (50, 99) if len(times)}
        tenants[name] = own

    def worst(metric: str) -> float:
        known = [own[metric] for own in tenants.values() if metric in own and not np.isnan(own[metric])]
        return max(known, default=0.0)

    weighted = progress / (priority / np.nansum(priority)) if count else progress
    known = weighted[~np.isnan(weighted)]
    overall["stp"] = float(np.nansum(progress))
    overall["fairness_frac"] = float(known.min() / known.max()) if len(known) and known.max() > 0.0 else 0.0
    overall["p99_deadline_frac"] = worst("p99_deadline_frac")
    overall["slo_miss_frac"] = worst("slo_miss_frac")
    overall |= {name: worst(name) for name in ANSWER_METRICS}
    return overall, tenants
