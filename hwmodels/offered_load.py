"""The requests of a workload under a seed, the same for every design, and how many of them must finish."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.traffic import generate, relative_deadline_s
from hwmodels.workload import Workload

__all__ = ["Load", "least_finished", "offered_load"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Load(NamedTuple):
    """The requests of a workload under a seed: the same for every design."""

    arrival_s: Floats
    """(R,)"""
    tenant: Ints
    """(R,)"""
    parent: Ints
    """(T,) tenant that each one follows, -1 = none."""
    requests: Ints
    """(T,) how many."""
    deadline_s: Floats
    """(T,) relative; inf = none, NaN = a multiple of the isolated latency."""
    deadline_x: Floats
    """(T,) that multiple, NaN where none."""
    may_drop: Bools
    """(T,) some request may never finish."""
    percentile: Floats
    """(T,) of the service level [%]."""
    duration_s: float


def offered_load(workload: Workload, seed: int) -> Load:
    """The requests that `hwmodels.evaluate.evaluate` serves for this seed."""
    tenants = workload.tenants
    index = {tenant.name: i for i, tenant in enumerate(tenants)}
    trace = generate(workload, seed, np.ones(len(tenants)))
    parent = np.array([-1 if t.after is None else index[t.after] for t in tenants], dtype=np.int64)
    drops = np.array([t.service.drop_late for t in tenants])
    for _ in tenants:
        drops |= (parent >= 0) & drops[parent]
    multiple = [t.service.deadline_x_isolated for t in tenants]
    return Load(
        arrival_s=trace.arrival_s, tenant=trace.tenant, parent=parent,
        requests=np.bincount(trace.tenant, minlength=len(tenants)).astype(np.int64),
        deadline_s=relative_deadline_s(workload, np.full(len(tenants), np.nan)),
        deadline_x=np.array([np.nan if x is None else x for x in multiple]), may_drop=drops,
        percentile=np.array([t.service.percentile for t in tenants]), duration_s=workload.duration_s)


def least_finished(load: Load, *, finite_tail: bool = False, finite_miss: bool = False,
                   violation_frac: float = 1.0, drop_frac: float = 1.0) -> Ints:
    """Requests of every tenant that finish in every feasible design, (T,).

    Parameters
    ----------
    finite_tail : feasible means a finite p99_deadline_frac.
    finite_miss : a finite slo_miss_frac.
    violation_frac, drop_frac : budgets.
    """
    least = np.where(load.may_drop, 0, load.requests)
    timed = ~np.isinf(load.deadline_s)
    for wanted, percentile in ((finite_tail, np.full(len(least), 99.0)), (finite_miss, load.percentile)):
        if wanted:
            position = percentile / 100.0 * (load.requests - 1)
            upper = np.where(load.requests > 0, np.ceil(position - 1e-9) + 1, 0).astype(np.int64)
            least = np.where(timed, np.maximum(least, np.minimum(upper, load.requests)), least)
    lost = int(np.floor(min(violation_frac, drop_frac) * load.requests.sum() * (1.0 + 1e-12)))
    return np.maximum(least, load.requests - lost)
