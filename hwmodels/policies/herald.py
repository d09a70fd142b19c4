"""Herald: every layer of every network is given an engine before the run, by list scheduling.

One inference of each network is scheduled: the layer that can start earliest is next; its engines are tried from the
best by latency, energy or their product, and it goes to the first on which it ends at most `balance_factor` times as
late as where it would end first. At run time each engine takes the layers planned for it in the order in which their
requests were admitted, so that later requests fill its gaps.
"""

import numpy as np
from numpy.typing import NDArray

from hwmodels.policies.base import Param, Policy, Tenants
from hwmodels.policies.plans import by_plan, engine_costs, plan_of, planned
from hwmodels.tables import CostTable, Machine

__all__ = ["POLICY", "list_schedule"]

Floats = NDArray[np.float64]


def list_schedule(costs: list[tuple[Floats, Floats, Floats]], metric: int, balance: float,
                  ) -> tuple[list[list[int]], float]:
    """Engine of every layer of every network, and when the last one ends [s].

    Parameters
    ----------
    costs : `plans.engine_costs`.
    metric : 0 latency, 1 energy, 2 energy x latency.
    balance : >= 1; how much later than the earliest end a layer may end on the engine it prefers [-].
    """
    engines = costs[0][0].shape[1]
    free, ready = np.zeros(engines), np.zeros(len(costs))
    chosen: list[list[int]] = [[] for _ in costs]
    while True:
        pending = [t for t, own in enumerate(chosen) if len(own) < len(costs[t][0])]
        if not pending:
            return chosen, float(ready.max())
        t = min(pending, key=lambda i: (ready[i], i))
        latency, energy = costs[t][0][len(chosen[t])], costs[t][2][len(chosen[t])]
        ends = np.maximum(free, ready[t]) + latency
        able = np.flatnonzero(np.isfinite(latency))
        liking = (latency, energy, energy * np.where(np.isfinite(latency), latency, 0.0))[metric]
        order = able[np.argsort(liking[able], kind="stable")]
        e = next(int(e) for e in order if ends[e] <= balance * ends.min())
        chosen[t].append(e)
        free[e] = ready[t] = ends[e]


def _prepare(table: CostTable, machine: Machine, tenants: Tenants, values: Floats) -> Floats:
    chosen, _ = list_schedule(engine_costs(table, machine, tenants), min(2, int(values[0])), float(values[1]))
    return plan_of([[(-1.0, engines)] for engines in chosen], machine)


POLICY = Policy(
    name="herald",
    summary="Layers are given to engines before the run by list scheduling with load balance; each engine runs its "
            "own in order of admission.",
    source="H. Kwon et al., Herald, HPCA 2021, doi:10.1109/HPCA51647.2021.00016",
    origin="reconstruction",
    params={
        "metric": Param(0.0, 0.0, 2.0, "0: latency, 1: energy, 2: energy x latency; rounded down [-]"),
        "balance_factor": Param(1.5, 1.0, 10.0, "how much later than at the earliest a layer may end on the engine it "
                                                "prefers [-]"),
    },
    key=by_plan,
    sends=planned,
    prepare=_prepare,
    deviations="no split of PEs and bandwidth (the design has it), no check of the SRAM; gaps are filled at run time; "
               "a task alone takes its best place",
)
