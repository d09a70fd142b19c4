"""What policies with an offline plan share: the form of the plan, how it is followed, and the costs it is made from.

Plan
----
Row t: of tenant t. Column 0 = number n of jobs; its k-th request follows job k mod n. From column 1 on, per job: a key,
then the engine of every layer. The last row is the memory of the run: requests of every tenant so far, then the share
of the bandwidth each engine may draw (0 = no limit).

On each engine the tasks whose next layer is planned for it run in order of admission; if the job has a key >= 0, tasks
that have started go first and the others by the number of the round (k div n) plus the key. A task that is alone in the
system takes its best place, whatever the plan says. `memory_a` = job, `memory_b` = place in the order, `memory_c` = how
many numbers a job has in its row.
"""

import numpy as np
from numpy.typing import NDArray

from hwmodels.policies.base import Tenants, key, sends
from hwmodels.tables import CostTable, Machine

__all__ = ["by_plan", "engine_costs", "plan_of", "planned"]

Floats = NDArray[np.float64]


@sends
def planned(tasks, seats, i, bytes_per_s, params, plan):  # type: ignore[no-untyped-def]
    """Send a task where the plan says."""
    task, tenants = tasks[i], plan.shape[0] - 1
    if not task.memory_a >= 0.0:
        jobs = 1.0
        for t in range(tenants):
            if plan[t, 0] > jobs:
                jobs = plan[t, 0]
        task.memory_c = (plan.shape[1] - 1) // int(jobs)
        k, n = plan[tenants, task.tenant], plan[task.tenant, 0]
        plan[tenants, task.tenant] = k + 1.0
        task.memory_a = k % n
        place = plan[task.tenant, 1 + int(task.memory_a * task.memory_c)]
        task.memory_b = k // n + place if place >= 0.0 else -1.0
    if task.layer + 1 >= task.memory_c:  # deeper than what was planned for
        return
    e = int(plan[task.tenant, 2 + int(task.memory_a * task.memory_c) + task.layer])
    seats[i].to_engine = e
    if plan[tenants, tenants + e] > 0.0:
        seats[i].cap_bytes_per_s = plan[tenants, tenants + e] * bytes_per_s


@key
def by_plan(tasks, i, params):  # type: ignore[no-untyped-def]
    """Place in the order on an engine."""
    return -1.0 if tasks[i].layer > 0 else tasks[i].memory_b


def plan_of(jobs: list[list[tuple[float, list[int]]]], machine: Machine, shares: Floats | None = None) -> Floats:
    """The plan array of (key, engine of every layer) per job and tenant."""
    tenants, engines = len(jobs), len(machine.units)
    most = max(len(own) for own in jobs)
    stride = 1 + max(len(job[1]) for own in jobs for job in own)
    while 1 + most * stride < tenants + engines:
        stride += 1
    plan = np.zeros((tenants + 1, 1 + most * stride))
    for t, own in enumerate(jobs):
        plan[t, 0] = len(own)
        for j, (place, engine) in enumerate(own):
            at = 1 + j * stride
            plan[t, at] = place
            plan[t, at + 1 : at + 1 + len(engine)] = engine
    if shares is not None:
        plan[tenants, tenants : tenants + engines] = shares
    return plan


def engine_costs(table: CostTable, machine: Machine, tenants: Tenants) -> list[tuple[Floats, Floats, Floats]]:
    """(estimated latency [s], DRAM traffic [bytes], energy [J]) of every layer of each tenant's network on each
    engine, at its fastest size there, shape (L, E); the latency is inf where it cannot run. A tenant that has no engine
    at all has no layers here: it sends no requests, or the simulation would have refused it."""
    found = []
    for t, n in enumerate(tenants.network):
        layers, engines = int(table.n_layers[n]), len(machine.units)
        latency = np.full((layers, engines), np.inf)
        traffic, energy = np.zeros((layers, engines)), np.zeros((layers, engines))
        for e in range(engines):
            firsts = [int(first) for first in table.offset[n, 0, e] if first >= 0]
            if not firsts or machine.tenant_engine[t] not in (-1, e):
                continue
            first = min(firsts, key=lambda f: float(table.estimate_s[f : f + layers].sum()))
            rows = slice(first, first + layers)
            latency[:, e], traffic[:, e] = table.estimate_s[rows], table.dram_bytes[rows]
            energy[:, e] = table.energy_j[rows]
        able = layers if np.isfinite(latency).any() else 0
        found.append((latency[:able], traffic[:able], energy[:able]))
    return found
