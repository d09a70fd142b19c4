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
    numbers = (known.mean(), *(_percentile(ordered, level) for level in (50.0, 95.0, 99.0)), ordered[-1])
    return {f"{part}{suffix}": float(x) for part, x in zip(("mean", "p50", "p95", "p99", "max"), numbers, strict=True)}


def _percentile(ordered: Floats, level: float) -> float:
    """As `np.percentile`, to the last bit, of values in ascending order."""
    position = (len(ordered) - 1) * (level / 100.0)
    low = int(position)
    a, b, frac = float(ordered[low]), float(ordered[min(low + 1, len(ordered) - 1)]), position - low
    return b - (b - a) * (1.0 - frac) if frac >= 0.5 else a + (b - a) * frac


def _at_percentile(latency: Floats, percentile: float) -> float:
    """Percentile with dropped requests as infinitely late, without inf - inf of the interpolation."""
    ordered = np.sort(np.where(np.isfinite(latency), latency, np.inf))
    position = percentile / 100.0 * (len(ordered) - 1)
    low = int(np.floor(position))
    high = min(low + 1, len(ordered) - 1)
    if position == low or ordered[low] == ordered[high]:
        return float(ordered[low])
    if not np.isfinite(ordered[high]):
        return float("inf")
    return float(ordered[low] + (ordered[high] - ordered[low]) * (position - low))


def _of(mask: NDArray[np.bool_], trace: RequestTrace, records: TaskRecords, normalised: Floats) -> dict[str, float]:
    """Metrics of the requests in `mask` that need nothing else."""
    latency = (records.finish_s - trace.arrival_s)[mask]
    finished = np.isfinite(latency)
    late = ~(records.finish_s[mask] <= trace.deadline_s[mask])
    count = len(latency)
    own = distribution(latency, "latency", "s")
    turnarounds = normalised[mask][finished]
    elapsed = (float(records.finish_s[mask][finished].max() - trace.arrival_s[mask].min()) if finished.any() else 0.0)
    return own | {
        "slo_violation_frac": float(late.mean()) if count else 0.0,
        "drop_frac": float(1.0 - finished.mean()) if count else 0.0,
        "antt": float(turnarounds.mean()) if finished.any() else float("inf") if count else float("nan"),
        "throughput_per_s": float(finished.sum()) / elapsed if elapsed > 0.0 else 0.0,
    }


def answers(trace: RequestTrace, records: TaskRecords, tenant: int) -> tuple[Floats, Floats]:
    """Time to the first token and time per output token of every answer of a tenant, shape (answers,) each [s]; empty
    where its requests do not follow each other. The steps of an answer are neighbours among the tenant's rows."""
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
    alone = isolated_s[trace.tenant] if request_isolated_s is None else request_isolated_s
    normalised = ntt(trace, records, alone)
    overall = _of(np.ones(len(trace.arrival_s), dtype=bool), trace, records, normalised)
    tenants: dict[str, dict[str, float]] = {}
    progress = np.full(count, np.nan)
    priority = np.full(count, np.nan)
    for index, name in enumerate(names):
        mask = trace.tenant == index
        own = _of(mask, trace, records, normalised)
        turnaround = (records.finish_s - records.ready_s)[mask]
        done = np.isfinite(turnaround)
        if mask.any():
            mean_alone = float(alone[mask][done].mean()) if done.any() else 0.0
            mean = float(turnaround[done].mean()) if done.any() else np.inf
            progress[index] = mean_alone / mean if mean > 0.0 else 1.0  # 0: too short for the resolution of the clock
            priority[index] = float(trace.priority[mask].mean())
        own["stp"] = float(progress[index])
        latency = (records.finish_s - trace.arrival_s)[mask]
        allowed = (trace.deadline_s - trace.arrival_s)[mask]
        own["p99_deadline_frac"] = own["slo_miss_frac"] = float("nan")
        if mask.any() and np.isfinite(allowed).all():
            used = latency / allowed
            own["p99_deadline_frac"] = _at_percentile(used, 99.0)
            own["slo_miss_frac"] = _at_percentile(used, float(percentiles[index])) - 1.0
        for name_s, times in zip(("ttft_s", "tpot_s"), answers(trace, records, index), strict=True):
            own |= {f"p{level}_{name_s}": _at_percentile(times, level) for level in (50, 99) if len(times)}
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
