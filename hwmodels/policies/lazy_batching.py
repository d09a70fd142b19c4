"""LazyBatching: requests are batched at the layers of a network; newcomers catch up with the running batch and merge.

Model: a stack of groups, see `hwmodels.policies.batching`. At every layer waiting requests of the running network are
pushed onto the stack if nobody's slack breaks; the top runs until it reaches the layer of the group below, and merges.
What is left is counted pessimistically, one request after the other, or by the costs of batches (`slack_test` = 1).

Early exits are unknown to it: it counts on whole networks, and computes the place of a request that has left to the end
of its group (exit-agnostic).

Limits: a parked group is charged its live data, saved and restored; lengths are those of the layers, so there is no
quantile of recurrent lengths.
"""

import numpy as np
from numpy.typing import NDArray

from hwmodels.policies.base import Policy, Tenants, batch
from hwmodels.policies.batching import MAX_BATCH, SLACK_TEST, plan_of, stack_step
from hwmodels.tables import CostTable, Machine

__all__ = ["POLICY"]


def _prepare(table: CostTable, machine: Machine, tenants: Tenants, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return plan_of(table, int(values[0]), by_batch=values[1] >= 0.5, exits=False)


@batch
def _batch(tasks, lines, follows, groups, n_groups, order, picks, now, params, state, plan):  # type: ignore[no-untyped-def]
    stack_step(tasks, lines, follows, groups, n_groups, order, picks, now, params, plan, True)


POLICY = Policy(
    name="lazy_batching",
    summary="Batches at layers: newcomers catch up with the running batch and merge, if nobody's slack breaks.",
    source="Y. Choi, Y. Kim, M. Rhu, LazyBatching, HPCA 2021, doi:10.1109/HPCA51647.2021.00049",
    origin="reconstruction",
    params={"max_batch": MAX_BATCH, "slack_test": SLACK_TEST},
    needs=("deadline_s",),
    batch=_batch,
    prepare=_prepare,
    machines="single",
    discipline="arrival",
    deviations="the slack of the first waiting request of every network counts too; a request that is late anyway "
               "protects nobody; other networks wait until the stack is empty; largest batch 8 by default (64 there)",
)
