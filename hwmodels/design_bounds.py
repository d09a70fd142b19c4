"""Lower bounds of the metrics of a whole design: what no policy and no traffic can beat.

Model
-----
Every request runs all layers of its network, each at best on the engine (or composition of sub-arrays) that bounds it
lowest and alone on the DRAM channel; a follower waits for its parent. Of policies that overlap layers
(`Policy.overlaps`) only the sums count: all computation, all transfers. Area is exact; power is at least the leakage.

    latency of a tenant      >= bound of its network (+ that of the tenant it follows)
    latency over all tenants >= the least of them
    p99_deadline_frac        >= the largest bound / deadline of the tenants with an absolute deadline
    energy per inference     >= the least of the tenants, dynamic

Limits
------
Of a batch only its largest size is known: it may need
as little energy per inference as one request divided by that. Networks with early exits are bounded by their earliest
exit.
"""

import numpy as np

from hwmodels.bounds import engine_columns, network_bounds
from hwmodels.design import Chip, Design
from hwmodels.engine import Engine
from hwmodels.scheduling import block_of
from hwmodels.workload import Tenant, Workload

__all__ = ["design_bounds"]

_LATENCIES = ("mean_latency_s", "p50_latency_s", "p95_latency_s", "p99_latency_s", "max_latency_s")


def _engines(chip: Chip, tenant: Tenant) -> list[Engine]:
    """Every engine or composition that may run a layer of the tenant, without duplicates."""
    return list(dict.fromkeys(
        engine for slot in chip.slots if not slot.tenants or tenant.name in slot.tenants
        for _, engines in slot.levels for engine in engines))


def _deadline_s(tenant: Tenant) -> float | None:
    """Relative deadline that does not depend on the design [s]."""
    if tenant.service.deadline_s is not None:
        return tenant.service.deadline_s
    if tenant.service.deadline_x_isolated is None and tenant.traffic is not None and tenant.traffic.kind == "periodic":
        return 1.0 / tenant.traffic.rate_hz
    return None


def design_bounds(design: Design, workload: Workload) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Lower bounds of the metrics that `hwmodels.evaluate.evaluate` returns for the same arguments and any seed.

    Returns
    -------
    overall : area_mm2 (exact), power_w, energy_per_inference_j, p99_deadline_frac and the latencies [s].
    tenants : tenant -> energy_per_inference_j and the latencies [s].

    Raises
    ------
    InvalidEngine : design and workload contradict each other.
    """
    chip = design.architecture.chip(workload)
    options = [_engines(chip, tenant) for tenant in workload.tenants]
    block = block_of(design.scheduler, design.policy, design.policy_params, options[0][0].node_nm)
    latency: dict[str, float] = {}
    energy: dict[str, float] = {}
    for tenant, engines in zip(workload.tenants, options, strict=True):
        first = np.array([0, len(engines)], dtype=np.int64)
        bounds = network_bounds(tenant.network, engine_columns(engines), first=first, quantile=True)
        seconds = bounds.overlapped_latency_s if block.overlaps else bounds.latency_s
        latency[tenant.name], energy[tenant.name] = float(seconds[0]), float(bounds.energy_j[0])
    parents = {tenant.name: tenant.after for tenant in workload.tenants}
    whole = {}
    for name in parents:
        at: str | None = name
        whole[name] = 0.0
        while at is not None:
            whole[name] += latency[at]
            at = parents[at]
    energy = {name: joules / block.together for name, joules in energy.items()}
    fractions = [whole[t.name] / deadline for t in workload.tenants if (deadline := _deadline_s(t)) is not None]
    overall = {
        "area_mm2": float(sum(chip.area_mm2.values())) + block.area_mm2,
        "power_w": chip.leakage_w + block.power_w,
        "energy_per_inference_j": min(energy.values()),
        "p99_deadline_frac": max(fractions, default=0.0),
    } | dict.fromkeys(_LATENCIES, min(whole.values()))
    return overall, {name: {"energy_per_inference_j": energy[name]} | dict.fromkeys(_LATENCIES, whole[name])
                     for name in whole}
