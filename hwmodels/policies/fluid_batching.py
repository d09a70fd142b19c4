"""Fluid Batching: exit-aware batches that shrink at exits and take in newcomers.

Model: the stack of `hwmodels.policies.batching`, as LazyBatching, with three differences:

* After an exit the batch is compacted: the places of those that have left are given up, and newcomers may take them.
* What is left of a request is its mean over the exits from where it is, by their calibrated probabilities, or with
  `quantile` > 0 that quantile of it (tail service levels).
* With `exits_only` = 1 the running batch is interrupted at exits only, not at every layer.

Stackable PEs, which the paper proposes with it, are a parameter of the engine (`Engine.stacks`). Without exits it is
LazyBatching: the same finish times.
"""

import numpy as np
from numpy.typing import NDArray

from hwmodels.policies.base import Param, Policy, Tenants, batch
from hwmodels.policies.batching import MAX_BATCH, SLACK_TEST, plan_of, stack_step
from hwmodels.tables import CostTable, Machine

__all__ = ["POLICY"]


def _prepare(table: CostTable, machine: Machine, tenants: Tenants, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return plan_of(table, int(values[0]), by_batch=values[1] >= 0.5, exits=True, quantile=float(values[2]))


@batch
def _batch(tasks, lines, follows, groups, n_groups, order, picks, now, params, state, plan):  # type: ignore[no-untyped-def]
    shrinks = False
    for g in range(n_groups):
        if groups[g].slots > groups[g].members:
            groups[g].compact = 1
            shrinks = True
    if shrinks:
        return
    may_push = True
    if params[3] >= 0.5 and n_groups > 0:
        top = n_groups - 1
        reach = len(lines) * int(params[0]) + groups[top].network
        at = groups[top].layer
        may_push = at == 0 or plan[reach, at] < plan[reach, at - 1]
    stack_step(tasks, lines, follows, groups, n_groups, order, picks, now, params, plan, may_push)


POLICY = Policy(
    name="fluid_batching",
    summary="Batches that shrink at early exits and take in newcomers, by what is left in the mean or a quantile.",
    source="A. Kouris, S. Venieris, S. Laskaridis, N. Lane, Fluid Batching, arXiv:2209.13443",
    origin="reconstruction",
    params={
        "max_batch": MAX_BATCH,
        "slack_test": SLACK_TEST,
        "quantile": Param(0.0, 0.0, 0.999, "of the time left over the exits, for tail deadlines; 0: its mean [-]"),
        "exits_only": Param(0.0, 0.0, 1.0, "1: interrupts the running batch after exits only; 0: at layers [-]", True),
    },
    needs=("deadline_s",),
    batch=_batch,
    prepare=_prepare,
    machines="single",
    discipline="arrival",
    deviations="interrupts at every layer by default, so that it is LazyBatching without exits; the test sums over the "
               "stack; compacting is free",
)
