"""DERCA: earliest deadline first, preemptible only at points that are chosen before the run.

Preempting costs time, so a task is preempted as rarely as its rivals tolerate. Tenants are sorted by relative
deadline. Up to tenant k, demand(t) = sum over j <= k of (1 + floor((t - D_j) / P_j)) e_j, and beta_k is the least slack
t - demand(t) over their deadlines t in [D_k, D_(k+1)). The layers of tenant i are grouped into regions no longer than
min over k < i of beta_k (`hwmodels.derca.placed_cuts`), restoring and saving included; the first tenant is one region.
A tenant without a placement, and with it every one after it, may be preempted at every layer.

P is the mean distance of a tenant's requests, D its relative deadline, e the time of all its layers with the costs of
its preemption points. The time unit of the analysis is 2^-40 of the longest network's.

Limits: arrivals may come closer than P, so the test guarantees nothing for them. Layers are not cut: persisting or
recomputing inside a layer, and the schedulability verdicts, are in `hwmodels.derca`.
"""

import numpy as np
from numpy.typing import NDArray

from hwmodels.derca import placed_cuts
from hwmodels.policies.base import Policy, Tenants, assign
from hwmodels.tables import CostTable, Machine

__all__ = ["POLICY", "tolerance"]

_MOST_DEADLINES = 100_000
"""Deadlines of one tenant looked at in one interval."""


def tolerance(deadline: list[int], period: list[int], demand: list[int], stop: int) -> int:
    """beta of the last of the given tasks: least slack over all their deadlines in [its own, stop), in any unit.

    Parameters
    ----------
    deadline : relative, ascending.
    """
    start = deadline[-1]
    points = {start}
    for d, p in zip(deadline, period, strict=True):
        first = d + max(0, -((d - start) // p)) * p
        points.update(range(first, stop, p)[:_MOST_DEADLINES])
    times = np.array(sorted(points), dtype=np.int64)
    slack = times.copy()
    for d, p, e in zip(deadline, period, demand, strict=True):
        slack -= np.where(times >= d, 1 + (times - d) // p, 0) * e
    return int(slack.min())


def _prepare(table: CostTable, machine: Machine, tenants: Tenants, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """plan[t, l] = 1 if tenant t may be preempted before layer l."""
    plan = np.ones((len(tenants.network), int(table.n_layers.max())))
    rows = [slice(int(table.offset[n, 0, 0, 0]), int(table.offset[n, 0, 0, 0] + table.n_layers[n]))
            for n in tenants.network]
    unit = max(float(table.estimate_s[own].sum()) for own in rows) / 2.0**40
    if unit <= 0.0:
        return plan
    deadlines: list[int] = []
    periods: list[int] = []
    demands: list[int] = []
    least = 2**62
    for t in np.argsort(tenants.deadline_s, kind="stable"):
        own = rows[t]
        moved = table.live_bytes[own][:-1] / machine.dram_bytes_per_s
        overhead = np.concatenate([[0.0], 2.0 * moved + machine.switch_s])  # saved at its end by the one that follows
        overhead = np.ceil((overhead + machine.decision_s) / unit).astype(np.int64)
        work = np.ceil(table.estimate_s[own] / unit).astype(np.int64)
        deadline = tenants.deadline_s[t] / unit
        if deadlines:  # one period more where nothing comes after
            stop = int(deadline) if deadline < 2.0**60 else deadlines[-1] + max(periods)
            least = min(least, tolerance(deadlines, periods, demands, stop))
        starts = placed_cuts(work, overhead, max(-1, least))
        if not len(starts):
            break
        plan[t, : len(work)] = 0.0
        plan[t, starts] = 1.0
        if deadline < 2.0**60 and tenants.period_s[t] / unit < 2.0**60:
            deadlines.append(int(deadline))
            periods.append(max(1, int(tenants.period_s[t] / unit)))
            demands.append(int(work.sum() + overhead[starts].sum()))
    return plan


@assign
def _assign(tasks, seats, queue, count, running, n_running, left, need, chip, level_units, now, params, state, plan):  # type: ignore[no-untyped-def]
    best = queue[0]
    for p in range(count):
        task = tasks[queue[p]]
        if task.deadline_s < tasks[best].deadline_s:
            best = queue[p]
    for p in range(count):
        task = tasks[queue[p]]
        if task.layer > 0 and task.last_s == now and plan[task.tenant, task.layer] == 0.0:
            best = queue[p]
    seats[best].to_engine = 0
    seats[best].to_units = 1


POLICY = Policy(
    name="derca",
    summary="Earliest deadline first, preemptible only where the deadlines of others need it: points chosen offline.",
    source="DERCA, RTSS 2025, and its public software; M. Bertogna, S. Baruah, IEEE TII 6(4), 2010, "
           "doi:10.1109/TII.2010.2049654",
    origin="reconstruction",
    discipline="deadline",
    needs=("deadline_s",),
    assign=_assign,
    prepare=_prepare,
    machines="single",
    deviations="points between layers only, their data persist; periods are mean distances of the requests; deadlines "
               "may differ from periods",
)
