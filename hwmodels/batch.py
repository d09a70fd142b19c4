"""What the layers of a network cost for a batch of requests: the columns over batch sizes of `hwmodels.tables`.

Model
-----
A batch of b is the network with b times the activations and the same weights (`Network.with_batch`), each layer mapped
anew (`hwmodels.cost`): weights are fetched once. Where the activations of b requests no longer fit beside each other
that can be slower than one request after the other, so a batch may be run in parts: between two layers where nothing
waits on chip, whatever the size, a stretch of layers costs the least over all ways to write b as a sum,

    best(b) = min(mapped(b), min over c < b of best(c) + best(b - c)).

So a stretch never costs more than b times a single one. A size that cannot be mapped (its smallest tile needs more
buffer) is run in parts as well.

An engine with static batching (`Engine.batching`) computes `most` requests whatever there are: all sizes cost the same.

Limits
------
Inside a stretch that is run in parts, layers end for the whole batch at the shown times only in the sum; what waits on
chip there is that of the larger part.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.cost import LayerCosts

__all__ = ["BatchColumns", "batch_columns"]

Floats = NDArray[np.float64]


class BatchColumns(NamedTuple):
    """Shape (B, L): batches of 1 .. B, layers."""

    latency_s: Floats
    dram_bytes: Floats
    energy_j: Floats
    live_bytes: Floats


def batch_columns(costs: list[LayerCosts], *, static: bool = False) -> BatchColumns:
    """Columns of a network for batches of 1 .. B.

    Parameters
    ----------
    costs : of the network at every batch size; the first one can run.
    static : every batch is computed as the largest.
    """
    layers = len(costs[0].latency_s)
    columns = [np.array([cost.latency_s, cost.dram_read_bytes + cost.dram_write_bytes, cost.energy_j, cost.live_bytes])
               for cost in costs]
    for column, cost in zip(columns, costs, strict=True):
        if cost.unsupported:
            column[:] = np.inf
    known = [column for column in columns if np.isfinite(column[0]).all()]
    free = np.flatnonzero(np.all([column[3] == 0.0 for column in known], axis=0)) + 1  # nothing waits on chip
    starts = np.unique(np.concatenate([[0], free[free < layers]]))
    length = np.diff(np.append(starts, layers))
    score = [np.add.reduceat(column[0], starts) for column in columns]
    for b in range(2, len(columns) + 1):
        column, best = columns[b - 1], score[b - 1]
        for c in range(1, b // 2 + 1):
            one, other = columns[c - 1], columns[b - c - 1]
            parts = one + other
            parts[3] = np.maximum(one[3], other[3])
            together = score[c - 1] + score[b - c - 1]
            better = together < best * (1.0 - 1e-12)
            column = np.where(np.repeat(better, length), parts, column)
            best = np.where(better, together, best)
        columns[b - 1], score[b - 1] = column, best
    found = np.stack(columns)
    if static:
        found[:] = found[-1]
    return BatchColumns(*(np.ascontiguousarray(found[:, field]) for field in range(4)))
