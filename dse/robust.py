"""A design of a robust study seen scenario by scenario: all outcomes, and which of them is the worst."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from dse.objective import aggregated, minimised
from dse.study import Study
from hwmodels.design import Design
from hwmodels.outcome import Outcome
from hwmodels.robust import Scenario

__all__ = ["Seen", "see", "worst_scenario"]


class Seen(NamedTuple):
    """A design under its study.

    `outcome` is what the study judges, `scenario` the worst one (the only one of a study that is not robust), and
    `within` the outcome there, with its breakdown.
    """

    outcome: Outcome
    scenario: Scenario
    within: Outcome


def see(study: Study, design: Design) -> Seen:
    """Evaluate a design under every scenario of a study; raises `ModelError` when it contradicts a workload."""
    from hwmodels.capacity import evaluate_judged

    outcomes = {scenario.name: evaluate_judged(design, scenario.workload, seed=scenario.seed, fidelity=study.fidelity,
                                               metrics=study.judged)
                for scenario in study.scenarios}
    if study.robust is None:
        return Seen(next(iter(outcomes.values())), study.scenarios[0], next(iter(outcomes.values())))
    total = aggregated(study, outcomes)
    name = worst_scenario(total.scenarios, study.budgets, {o.metric: o.minimise for o in study.objectives})
    bad = next((n for n, outcome in outcomes.items() if not outcome.ok), name)
    return Seen(total, next(scenario for scenario in study.scenarios if scenario.name == bad), outcomes[bad])


def worst_scenario(scenarios: Mapping[str, Mapping[str, float]], budgets: Mapping[str, float],
                   objectives: Mapping[str, bool]) -> str:
    """The scenario that comes nearest to a budget, or goes farthest beyond one, relative to the bound.

    Without a budget that tells scenarios apart, the one with the worst value of the first objective that does.

    Parameters
    ----------
    scenarios : name -> metric -> value.
    objectives : metric -> whether it is minimised.
    """
    def beyond(values: Mapping[str, float], metric: str, bound: float, less: bool) -> float:
        value = values.get(metric, math.nan)
        excess = (value - bound if less else bound - value) / (abs(bound) or 1.0)
        return -math.inf if math.isnan(excess) else excess

    def telling(metric: str) -> bool:
        return len({values[metric] for values in scenarios.values() if metric in values}) > 1

    names = list(scenarios)
    bounds = {metric: bound for metric, bound in budgets.items() if telling(metric)}
    if bounds:
        return max(names, key=lambda name: max(beyond(scenarios[name], metric, bound, minimised(metric))
                                               for metric, bound in bounds.items()))
    metric = next((metric for metric in objectives if telling(metric)), "")
    return max(names, key=lambda name: beyond(scenarios[name], metric, 0.0, objectives[metric])) if metric else names[0]
