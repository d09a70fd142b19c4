"""Layerweaver: interleave the layers of opposed networks, so that loads of one hide behind the other's computing.

Model
-----
`lead` is the time by which the issued work of the compute unit reaches beyond that of the DRAM channel. While it is
longer than `theta` of the time in which the buffer fills, the channel is behind: among the layers that do not make the
unit wait the one with the most load beyond its compute time is issued. While it is shorter the unit is behind: among
the layers that do not wait for room in the buffer the one with the most compute time beyond its load. If every layer
makes something wait, the one that makes it wait least.

Left alone this may starve a tenant. So a tenant whose progress is more than `window` inferences (of the tenant with the
least rate) ahead of the least one waits; progress = work issued / rate in the best mix of the linear programme
`hwmodels.layerweaver.best_mix`, an offline pass. A tenant that returns after having had no requests starts at the least
progress of the others.

Limits
------
`theta` and `window` are for the search to tune; `hwmodels.layerweaver.tuned_rule` does it for endless streams.
The share of the bound that is reached: tests/hwmodels/test_prefetch.py.
"""

import numpy as np
from numpy.typing import NDArray

from hwmodels.policies.base import Param, Policy, Tenants, inline, issue
from hwmodels.tables import CostTable, Machine

__all__ = ["PARAMS", "POLICY", "account", "best_mix_plan", "issued", "weave"]

PARAMS = {
    "theta": Param(0.5, 0.0, 1.0, "lead above which the channel is behind, in times of filling the buffer [-]"),
    "window": Param(2.0, 0.1, 100.0, "inferences by which a tenant may run ahead of the best mix; 100: freely [-]"),
}

_RATE, _WORK, _PROGRESS, _SEEN = range(4)
"""Columns of the plan, one row per tenant: rate in the mix relative to the least one (0: not in it), seconds of work of
an inference, progress, number of the last decision it took part in. `state[0]` counts decisions."""


def best_mix_plan(table: CostTable, machine: Machine, tenants: Tenants, values: NDArray[np.float64],
                  ) -> NDArray[np.float64]:
    """The plan; networks are endless streams for it, whatever the traffic."""
    from hwmodels.layerweaver import best_mix

    plan = np.zeros((len(tenants.network), 4))
    sending = np.flatnonzero(tenants.requests > 0)
    rows = [slice(first, first + count) for first, count in
            zip(table.offset[tenants.network[sending], 0, 0, 0].tolist(),
                table.n_layers[tenants.network[sending]].tolist(), strict=True)]
    compute = table.estimate_s if table.prefetched_s is None else table.prefetched_s
    totals = np.array([(table.estimate_s[own].sum(), compute[own].sum(),
                        table.dram_bytes[own].sum() / machine.dram_bytes_per_s) for own in rows])
    if (totals[:, 1:].max(axis=1) > 0.0).all():
        rates = np.array(best_mix(totals).rates_per_s)
        plan[sending, _RATE] = rates / rates[rates > 0.0].min()
    plan[sending, _WORK] = totals[:, 1:].sum(axis=1)
    return plan


@inline
def account(tasks, heads, count, state, plan):  # type: ignore[no-untyped-def]
    """Note who takes part in this decision; returns the least progress of those in the mix."""
    state[0] += 1.0
    least = np.inf
    for h in range(count):
        own = plan[tasks[heads[h].slot].tenant]
        if own[0] > 0.0 and own[3] == state[0] - 1.0 and own[2] < least:
            least = own[2]
    floor = least
    for h in range(count):
        own = plan[tasks[heads[h].slot].tenant]
        if own[3] != state[0] - 1.0 and floor < np.inf and own[2] < floor:
            own[2] = floor
        own[3] = state[0]
        if own[0] > 0.0 and own[2] < least:
            least = own[2]
    return least


@inline
def weave(tasks, heads, count, port, now, theta, window, least, plan):  # type: ignore[no-untyped-def]
    """Position of the layer to issue; `least` from `account`."""
    behind = port[0].unit_s - now > theta * port[0].buffer_bytes / port[0].bytes_per_s
    best, best_cost, best_rank = -1, 0.0, 0.0
    for h in range(count):
        own = plan[tasks[heads[h].slot].tenant]
        if window < 100.0 and own[0] > 0.0 and own[2] - least > window:
            continue
        rank = heads[h].load_s - heads[h].compute_s
        if behind:
            free = heads[h].ready_s <= port[0].unit_s
            rank = -rank
        else:
            free = heads[h].begin_s <= now
        cost = 0.0 if free else (heads[h].ready_s - port[0].unit_s) + (heads[h].begin_s - now)
        if best < 0 or cost < best_cost or (cost == best_cost and rank < best_rank):
            best, best_cost, best_rank = h, cost, rank
    return best


@inline
def issued(tasks, heads, choice, plan):  # type: ignore[no-untyped-def]
    """Count the chosen layer as progress; returns the choice."""
    own = plan[tasks[heads[choice].slot].tenant]
    if own[0] > 0.0 and own[1] > 0.0:
        own[2] += (heads[choice].compute_s + heads[choice].load_s) / own[1] / own[0]
    return choice


@issue
def _issue(tasks, heads, count, port, now, params, state, plan):  # type: ignore[no-untyped-def]
    least = account(tasks, heads, count, state, plan)
    choice = weave(tasks, heads, count, port, now, params[0], params[1], least, plan)
    return issued(tasks, heads, choice, plan)


POLICY = Policy(
    name="layerweaver",
    summary="Interleaves layers of opposed networks so that weights of one load while another computes.",
    source="Y. H. Oh et al., Layerweaver, HPCA 2021, doi:10.1109/HPCA51647.2021.00056",
    origin="reconstruction",
    params=PARAMS,
    issue=_issue,
    prepare=best_mix_plan,
    machines="single",
    discipline="shared",
    deviations="the published rule is known from an abstract (least idle time of both resources); one network per "
               "tenant, its requests in the order of arrival; a request alone in the system is not prefetched",
)
