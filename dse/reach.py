"""Budgets that no design of a space can meet, named from bounds before anything is evaluated."""

from dataclasses import replace

import numpy as np

from dse.estimate import bounded
from dse.front_blocks import Blocks
from dse.front_bounds import chunks_of, first_bounds, rules_of
from dse.study import Objective, Study, minimised
from hwmodels.outcome import SEARCHED

__all__ = ["unreachable", "unreachable_text"]

MOST_DESIGNS = 200_000
"""Of a space that is looked at; the search of a larger one does not wait for this."""


def unreachable(study: Study) -> dict[str, float]:
    """Budgets that the bounds of the layers rule out, each with the best bound of its metric over all designs.

    Stops as soon as every budget is within reach of some design, mostly after a few hundred hardware. Empty too where
    bounds do not know: several scenarios, other fidelities, own constants or dataflows, `MOST_DESIGNS`.
    """
    budgets = {metric: bound for metric, bound in study.budgets.items() if metric not in SEARCHED}
    if not budgets or not bounded(study) or study.space.size() > MOST_DESIGNS:
        return {}
    asked = replace(study, objectives=(Objective(metric="area_mm2", minimise=True),), budgets=budgets)
    sign = np.array([1.0 if minimised(metric) else -1.0 for metric in budgets])
    wanted = sign * np.array(list(budgets.values()))
    best = np.full(len(budgets), np.inf)
    blocks, rules = Blocks(asked.space), rules_of(asked)
    for chunk in chunks_of(blocks):
        found = first_bounds(blocks, rules, *chunk)
        best = np.minimum(best, (sign * found.budgets[found.broken != -2]).min(axis=0, initial=np.inf))
        if (best <= wanted).all():
            return {}
    missed = np.isfinite(best) & (best > wanted)
    return {metric: float(value) for metric, value, out in zip(budgets, sign * best, missed, strict=True) if out}


def unreachable_text(study: Study, metric: str, best: float) -> str:
    """One sentence about a budget that no design can meet."""
    return (f"no design meets budgets.{metric} = {study.budgets[metric]:g}: it is "
            f"{'at least' if minimised(metric) else 'at most'} {best:.4g} for all of them")
