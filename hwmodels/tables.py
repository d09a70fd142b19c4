"""The columns between the cost model and the event kernel: what every layer costs on every engine, and the machine.

Sizes: N networks, S samples of a network (1 unless measured profiles are given), E engines (pools of identical units),
U unit levels, R rows = one per (network, sample, engine, level, layer). An engine that cannot be divided has one unit
and level 0 only; a composable engine has `units` sub-arrays and one level per size it may lend to a task.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DRAM_FIXED", "DRAM_MAX_MIN", "DRAM_PROPORTIONAL", "CostTable", "Machine", "TaskRecords", "Tiles"]

DRAM_MAX_MIN = 0
"""Running layers share the DRAM channel max-min fairly: nobody gets more than it needs, the rest is shared equally."""
DRAM_PROPORTIONAL = 1
"""If the needs exceed the bandwidth all are slowed by the same factor (MAGMA)."""
DRAM_FIXED = 2
"""Every engine owns a fixed share; the rows were costed with it and layers never slow each other down."""


class Tiles(NamedTuple):
    """How layers are cut into equal tiles, where a task can stop inside a layer: columns of shape (R,)."""

    tiles: NDArray[np.int64]
    """Tiles of the layer, >= 1; the same for all samples of a network."""
    piece: NDArray[np.int64]
    """Consecutive tiles that accumulate one piece of the output, >= 1."""
    accumulator_bytes: NDArray[np.float64]
    """Partial sums of an unfinished piece."""
    reload_bytes: NDArray[np.float64]
    """Operands that were on chip inside the layer and that a resumed task fetches again: weights, prefetched tiles."""


class CostTable(NamedTuple):
    """Layer costs. Row of layer l: `offset[network, sample, engine, level] + l`; offset -1 = cannot run there."""

    n_layers: NDArray[np.int64]
    """(N,) layers of each network."""
    offset: NDArray[np.int64]
    """(N, S, E, U) first row."""
    latency_s: NDArray[np.float64]
    """(R,) alone on the engine, with all the DRAM bandwidth the engine can draw."""
    dram_bytes: NDArray[np.float64]
    """(R,) read + written, weights included."""
    energy_j: NDArray[np.float64]
    """(R,) dynamic."""
    live_bytes: NDArray[np.float64]
    """(R,) activations held on chip when the layer has ended: saved and restored if another task takes the engine."""
    sparsity_frac: NDArray[np.float64]
    """(R,) measured share of zeros (profiles); 0 where unknown."""
    estimate_s: NDArray[np.float64]
    """(R,) latency the scheduler is told (averages); equals `latency_s` where nothing is hidden."""
    pattern_s: NDArray[np.float64] | None = None
    """(R,) finer estimate, the network's own average where `estimate_s` averages a family; None = `estimate_s`."""
    pattern_sparsity_frac: NDArray[np.float64] | None = None
    """(R,) average of `sparsity_frac` over the samples of the network; None = `sparsity_frac`."""
    tiles: Tiles | None = None
    """None = one tile per layer."""
    prefetched_s: NDArray[np.float64] | None = None
    """(R,) latency if the weights are on chip when the layer starts; None = `latency_s`: nothing can be prefetched."""
    weight_bytes: NDArray[np.float64] | None = None
    """(R,) part of `dram_bytes` that is weights and can be loaded ahead; None = none."""
    exit_frac: NDArray[np.float64] | None = None
    """(R,) declared probability that a request leaves the network after this layer, given that it has run it; None =
    no exits."""
    depth: NDArray[np.int64] | None = None
    """(N, S) layers that a request with this sample runs, hidden truth: it leaves after the last of them; None = all.
    Samples that differ in depth only may share their rows. Sample 0 is the one that deadlines and offline plans count
    on."""
    batch_latency_s: NDArray[np.float64] | None = None
    """(B, R) of a batch of 1, 2, .. B requests, run together; this and the next three are all given or all None: then a
    batch costs so many times the row."""
    batch_dram_bytes: NDArray[np.float64] | None = None
    """(B, R)"""
    batch_energy_j: NDArray[np.float64] | None = None
    """(B, R)"""
    batch_live_bytes: NDArray[np.float64] | None = None
    """(B, R)"""


class Machine(NamedTuple):
    """What the kernel must know of the chip."""

    units: NDArray[np.int64]
    """(E,) units of each engine."""
    level_units: NDArray[np.int64]
    """(U,) units of each level, increasing, level_units[0] >= 1."""
    tenant_engine: NDArray[np.int64]
    """(T,) the only engine that serves the tenant; -1 = any."""
    dram_bytes_per_s: float
    dram_mode: int
    reconfigure_s: float
    """Paid by a task that starts on another set of units than it (or the engine) last used."""
    decision_s: float
    """Latency of one scheduling decision: delays the layer that the decision starts."""
    engine_dram_bytes_per_s: NDArray[np.float64] | None = None
    """(E,) bandwidth at which an engine saves and restores; None = all of `dram_bytes_per_s`."""
    switch_s: float = 0.0
    """Fixed part of a save and restore, paid when a preempted task resumes, beside its live bytes."""
    dram_j_per_byte: float = 0.0
    """Energy of saving or restoring one byte."""
    prefetch_bytes: float = 0.0
    """Buffer for weights loaded ahead and activations of interrupted tasks, for policies that prefetch; 0 = none."""


class TaskRecords(NamedTuple):
    """What became of every request: columns of shape (n,), in the order of the trace, and totals."""

    ready_s: NDArray[np.float64]
    """Arrival, or the finish of the parent."""
    start_s: NDArray[np.float64]
    finish_s: NDArray[np.float64]
    """nan if dropped."""
    service_s: NDArray[np.float64]
    """Time on engines, save and restore included."""
    energy_j: NDArray[np.float64]
    preemptions: NDArray[np.int64]
    engine_busy_s: NDArray[np.float64]
    """(E,) unit-weighted busy time: busy units x time / units."""
    dram_bytes: float
    overhead_s: float
    """Save, restore, reconfiguration and decision time, and work that a stop threw away, summed over tasks."""
    decisions: int
    events: int
    """Layer executions; a layer that was stopped inside and went on later counts for each part."""
    spans: NDArray[np.float64]
    """(events, 6) start_s, end_s, request, layer, engine, units; (0, 6) unless recording was asked for. A batch has a
    row per member, one after the other, whose units are its share 1 / members."""
    reloaded_bytes: float = 0.0
    """Weights loaded again because they were evicted before use; in `dram_bytes` too."""
    stopped_s: float = np.inf
    """Until when requests were served; what had not finished by then has no `finish_s`. inf: all were."""


def batches(spans: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where the rows of every executed layer begin, of one request or of a batch, and their number, shape (k + 1,)."""
    alike = (spans[1:, [0, 1, 3, 4]] == spans[:-1, [0, 1, 3, 4]]).all(axis=1) & (spans[1:, 5] < 1.0)
    return np.flatnonzero(np.concatenate([np.ones(min(1, len(spans)), dtype=bool), ~alike, [True]]))
