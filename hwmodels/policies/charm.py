"""Design-time partition as in CHARM and f-CNNx: every tenant has its engine, every engine its slots of the bandwidth.

The partition makes the busiest engine as idle as possible: work of an engine = sum over its tenants of requests x
latency there; all partitions are tried if they are at most 20,000, else the tenants, largest first, go where the work
ends up least. Of a shared channel engine e gets the share of its traffic in that of all (f-CNNx's static schedule: all
engines then meet the same multiple of their target rates); a layer never draws more than its engine's share. With
`slots` = 0 the channel is shared freely (CHARM).
"""

from collections.abc import Iterable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hwmodels.policies.base import Param, Policy, Tenants
from hwmodels.policies.plans import by_plan, engine_costs, plan_of, planned
from hwmodels.tables import DRAM_FIXED, CostTable, Machine

__all__ = ["POLICY", "partition"]

Floats = NDArray[np.float64]

_MOST = 20_000


def partition(work: Floats) -> list[int]:
    """Engine of every tenant, from the work of each tenant on each engine, shape (T, E); inf = cannot."""
    tenants, engines = work.shape

    def busiest(chosen: Iterable[int]) -> tuple[float, float]:
        load = np.zeros(engines)
        for t, e in enumerate(chosen):
            load[e] += work[t, e]
        return float(load.max()), float(load.sum())

    if engines**tenants <= _MOST:
        return list(min(product(range(engines), repeat=tenants), key=busiest))
    found, load = [0] * tenants, np.zeros(engines)
    for t in sorted(range(tenants), key=lambda t: -float(work[t].min())):
        found[t] = int(np.argmin(load + work[t]))
        load[found[t]] += work[t, found[t]]
    return found


def _prepare(table: CostTable, machine: Machine, tenants: Tenants, values: Floats) -> Floats:
    costs = engine_costs(table, machine, tenants)
    requests = np.maximum(tenants.requests, 1)
    work = np.array([cost[0].sum(axis=0) for cost in costs]) * requests[:, None]
    chosen = partition(work)
    shares = None
    if values[0] >= 0.5 and machine.dram_mode != DRAM_FIXED:
        traffic = np.zeros(len(machine.units))
        for t, e in enumerate(chosen):
            traffic[e] += requests[t] * costs[t][1][:, e].sum()
        if traffic.sum() > 0.0:
            shares = traffic / traffic.sum()
    return plan_of([[(-1.0, [e] * len(costs[t][0]))] for t, e in enumerate(chosen)], machine, shares)


POLICY = Policy(
    name="charm",
    summary="Every tenant is given an engine before the run, by load; optionally every engine a share of the DRAM.",
    source="J. Zhuang et al., CHARM, FPGA 2023, doi:10.1145/3543622.3573210; S. Venieris, C. Bouganis, f-CNNx, "
           "FPL 2018, doi:10.1109/FPL.2018.00072",
    origin="reconstruction",
    params={"slots": Param(0.0, 0.0, 1.0, "1: engines have fixed shares of the DRAM bandwidth; 0: they share it [-]")},
    key=by_plan,
    sends=planned,
    prepare=_prepare,
    deviations="engine sizes are the design's; whole networks are partitioned, not single layers; slots are shares of "
               "the bandwidth without a cycle; a task alone takes its best place and the whole channel",
)
