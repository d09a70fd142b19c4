"""MAGMA: requests are mapped to engines before the run by a genetic search (`hwmodels.magma`).

The group that is searched has `group` jobs, divided over the tenants by their number of requests, at least one each. A
job is a whole request: its latency is the sum of its layers', its bandwidth need the mean of theirs. The k-th request
of a tenant follows its job k mod n; every engine runs its requests in the order of the keys, round after round.
"""

import numpy as np
from numpy.typing import NDArray

from hwmodels.magma import search
from hwmodels.policies.base import Param, Policy, Tenants
from hwmodels.policies.plans import by_plan, engine_costs, plan_of, planned
from hwmodels.tables import CostTable, Machine

__all__ = ["POLICY", "group_sizes"]

Floats = NDArray[np.float64]

_SEED = 0
"""The search is part of the policy: equal designs get equal plans."""
_FORBIDDEN = 1e3
"""An engine that cannot run a job counts as this many times as slow as all jobs on their slowest engines."""


def group_sizes(requests: NDArray[np.int64], group: int) -> list[int]:
    """Jobs of every tenant: in proportion to its requests, at least one each."""
    total = max(1, int(requests.sum()))
    return [max(1, round(group * int(count) / total)) for count in requests]


def _prepare(table: CostTable, machine: Machine, tenants: Tenants, values: Floats) -> Floats:
    costs = engine_costs(table, machine, tenants)
    sizes = group_sizes(tenants.requests, int(values[0]))
    owner = np.repeat(np.arange(len(sizes)), sizes)
    latency = np.array([cost[0].sum(axis=0) for cost in costs])
    traffic = np.array([cost[1].sum(axis=0) for cost in costs])
    possible = np.isfinite(latency)
    need = np.where(possible & (latency > 0.0), traffic / np.where(latency > 0.0, latency, 1.0), 0.0)
    slowest = float(np.where(possible, latency, 0.0).max(axis=1)[owner].sum())
    latency = np.where(possible, np.maximum(latency, slowest * 1e-12), _FORBIDDEN * slowest)
    mapping = search(latency[owner], need[owner], machine.dram_bytes_per_s, rng=np.random.default_rng(_SEED),
                     generations=int(values[1]))
    ranks = np.argsort(np.argsort(mapping.keys, kind="stable")) / len(owner)
    jobs: list[list[tuple[float, list[int]]]] = [[] for _ in sizes]
    for job, t in enumerate(owner):
        engine = int(mapping.engines[job])
        if not possible[t, engine]:
            engine = int(np.argmin(latency[t]))
        jobs[t].append((float(ranks[job]), [engine] * len(costs[t][0])))
    return plan_of(jobs, machine)


POLICY = Policy(
    name="magma",
    summary="Requests are mapped to engines and ordered before the run by a genetic search on a typical group of them.",
    source="S.-C. Kao, T. Krishna, MAGMA, HPCA 2022, doi:10.1109/HPCA53966.2022.00065, and its public software",
    origin="reconstruction",
    params={
        "group": Param(24.0, 1.0, 100.0, "jobs of the group that is searched [-]"),
        "generations": Param(30.0, 1.0, 400.0, "generations of the search [-]"),
    },
    key=by_plan,
    sends=planned,
    prepare=_prepare,
    deviations="one typical group planned before the run instead of every group as it forms; jobs are whole requests; "
               "a task alone takes its best place",
)
