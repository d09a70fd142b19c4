"""What an evaluation returns."""

from dataclasses import dataclass, field
from typing import final

__all__ = ["ANSWER_METRICS", "METRICS", "OBJECTIVES", "SEARCHED", "Metric", "Outcome"]


@final
@dataclass(frozen=True, slots=True)
class Metric:
    """A number that is reported: its unit, whether less is better, and what it means."""

    name: str
    unit: str
    minimise: bool
    meaning: str
    per_tenant: bool = True


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("area_mm2", "mm2", True, "silicon area of the chip", per_tenant=False),
        Metric("power_w", "W", True, "mean power while the workload runs: energy_j / elapsed time", per_tenant=False),
        Metric("energy_j", "J", True, "energy of the whole run: dynamic + leakage x elapsed time"),
        Metric("energy_per_inference_j", "J", True, "energy_j / finished requests"),
        Metric("mean_latency_s", "s", True, "mean of finish - arrival"),
        Metric("p50_latency_s", "s", True, "median latency"),
        Metric("p95_latency_s", "s", True, "95th percentile of the latency"),
        Metric("p99_latency_s", "s", True, "99th percentile of the latency"),
        Metric("max_latency_s", "s", True, "largest latency"),
        Metric("p99_deadline_frac", "-", True, "p99 latency / relative deadline; overall: the worst tenant"),
        Metric("slo_violation_frac", "-", True, "share of requests that end after their deadline or are dropped"),
        Metric("slo_miss_frac", "-", True, "worst tenant: latency at its own percentile / deadline, minus 1"),
        Metric("drop_frac", "-", True, "share of requests dropped"),
        Metric("antt", "-", True, "mean of (finish - ready) / isolated latency"),
        Metric("stp", "-", False, "sum over tenants of isolated latency / mean time in system"),
        Metric("throughput_per_s", "1/s", False, "finished requests / elapsed time"),
        Metric("fairness_frac", "-", False, "least / largest normalised progress per priority of two tenants",
               per_tenant=False),
        Metric("engine_utilisation_frac", "-", False, "busy time of the engines / elapsed, weighted by their PEs",
               per_tenant=False),
        Metric("dram_utilisation_frac", "-", False, "bytes moved / (bandwidth x elapsed)", per_tenant=False),
        Metric("p50_ttft_s", "s", True, "tenants with `steps`: median time to the first token; overall: the worst"),
        Metric("p99_ttft_s", "s", True, "tenants with `steps`: 99th percentile of the time to the first token"),
        Metric("p50_tpot_s", "s", True, "tenants with `steps`: median over answers of the time per output token"),
        Metric("p99_tpot_s", "s", True, "tenants with `steps`: 99th percentile of the time per output token"),
    )
}
"""What every evaluation reports."""

ANSWER_METRICS = ("p50_ttft_s", "p99_ttft_s", "p50_tpot_s", "p99_tpot_s")
"""Of those, the ones that only a workload with answers of several steps has (`hwmodels.workload.Tenant.steps`)."""

SEARCHED: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("capacity_frac", "-", False, "largest factor on all rates at which every service level is met",
               per_tenant=False),
    )
}
"""What takes a search over the traffic, some ten evaluations: only where a study judges designs by it."""

OBJECTIVES: dict[str, Metric] = {**METRICS, **SEARCHED}
"""What a study can judge designs by."""


@final
@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Metrics of one design under one workload.

    Parameters
    ----------
    status : "ok", or a sentence saying why the design cannot serve the workload; then `metrics` holds what is known.
    metrics : name -> value, names and units as in `METRICS`, and those of `SEARCHED` that were asked for.
    tenants : tenant -> metrics.
    breakdown : `area_mm2` by part, `energy_j` by part, `engine_utilisation_frac` by engine, `limited_by` by tenant.
    scenarios : scenario -> metrics, where the others are aggregated over several (`hwmodels.robust`).
    """

    status: str
    metrics: dict[str, float]
    tenants: dict[str, dict[str, float]] = field(default_factory=dict)
    breakdown: dict[str, dict[str, float]] = field(default_factory=dict)
    scenarios: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, float]:
        """`metrics`, without those of answers where no tenant has any."""
        answers = any(name in own for own in self.tenants.values() for name in ANSWER_METRICS)
        return {name: value for name, value in self.metrics.items() if answers or name not in ANSWER_METRICS}

    @property
    def ok(self) -> bool:
        return self.status == "ok"
