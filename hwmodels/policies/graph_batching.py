"""Graph batching with an adaptive window: the waiting requests of one network run together from its first layer to its
last; nobody joins on the way.

A network is ready when `max_batch` of its requests wait, or when the oldest has waited for `window_s`. The engine takes
the ready network with the oldest request. With a window of 0 it takes what there is whenever it is free; with batches
of 1 that is first come, first served.

Exit-agnostic: the place of a request that has left at an early exit is computed to the end of the batch.
"""

from hwmodels.policies.base import Param, Policy, batch
from hwmodels.policies.batching import MAX_BATCH

__all__ = ["POLICY"]


@batch
def _batch(tasks, lines, follows, groups, n_groups, order, picks, now, params, state, plan):  # type: ignore[no-untyped-def]
    if n_groups > 0:
        order[0].run = 0
        return
    most = int(params[0])
    best = -1
    for x in range(len(lines)):
        i = lines[x].first
        if i < 0:
            continue
        due = tasks[i].ready_s + params[1]
        if lines[x].count < most and due > now:
            if due < order[0].wait_until_s:
                order[0].wait_until_s = due
        elif best < 0 or tasks[i].order < tasks[lines[best].first].order:
            best = x
    if best < 0:
        return
    count = lines[best].count if lines[best].count < most else most
    i = lines[best].first
    for p in range(count):
        picks[p] = i
        i = follows[i]
    order[0].start = count
    order[0].run = 0


POLICY = Policy(
    name="graph_batching",
    summary="Batches of whole networks: a batch starts when it is full or its oldest request has waited for a window.",
    source="the baseline of Y. Choi, Y. Kim, M. Rhu, HPCA 2021, doi:10.1109/HPCA51647.2021.00049",
    origin="textbook",
    params={
        "max_batch": MAX_BATCH,
        "window_s": Param(0.0, 0.0, 0.1, "longest wait for a batch to fill [s]"),
    },
    batch=_batch,
    machines="single",
    discipline="arrival",
)
