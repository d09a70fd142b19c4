"""Speed of the event kernel: layer events per second and core, beside a plain Python loop of the same semantics.

Run `python tests/benchmarks/bench_kernel.py [MACHINE ...]`; nothing is asserted. One row per policy, machine and load:
mean number of requests in the system, million layer events per second, and the ratio to `reference_kernel` in the same
process. That one serves the first requests only, so that in overload its queue is shorter than the kernel's: the ratio
is below that of equal queues.

Some rows, in M events/s at load 0.9 / in overload with queues of one to two thousand, 3,000 requests (`fcfs` and `sjf`
on one engine at 0.9: 10,000), of a core whose neighbour was idle; with a busy one they are two thirds of that. What a
policy prepares before the run is counted (`magma`: a search).

| policy             | one engine  | three       | pool        |
|--------------------|-------------|-------------|-------------|
| `fcfs`             | 131 / 79    | 2.9 / 2.0   | 4.9 / 2.8   |
| `sjf`              | 125 / 69    | 2.8 / 2.4   | 4.2 / 3.1   |
| `round_robin`      | 9.8 / 5.0   | 3.1 / 2.2   | 4.5 / 1.82  |
| `least_slack`      | 12.4 / 7.2  | 3.6 / 2.7   | 4.9 / 3.1   |
| `prema`            | 10.6 / 6.0  | 2.9 / 2.2   | 3.3 / 2.0   |
| `planaria`         | 13.5 / 6.0  | 3.0 / 2.4   | 3.4 / 2.1   |
| `dysta`            | 11.8 / 2.4  | 3.2 / 1.37  | 3.5 / 1.38  |
| `dysta_aged`       | 13.0 / 1.42 | 3.1 / 1.36  | 3.7 / 0.97  |
| `sdrm3`            | 4.3 / 0.96  | 2.1 / 0.79  | 3.4 / 0.75  |
| `charm`            | 4.5 / 4.2   | 3.9 / 3.5   | 3.8 / 2.9   |
| `magma`            | 1.47 / 1.65 | 1.53 / 1.53 | 1.68 / 1.34 |
| `moca`             | 2.0 / 1.02  | 1.67 / 0.89 | 1.63 / 0.91 |
| `dream`            | 1.92 / 0.86 | 1.31 / 0.65 | 2.7 / 0.75  |
| `aurora`           | 2.1 / 1.32  |             | 1.54 / 1.11 |
| `planaria_spatial` | 2.3 / 1.06  |             | 1.93 / 1.05 |

What is below a million in overload: `dream` scores the 64 tasks that it sees anew at every decision, because each score
grows at a rate of its own; it and `moca` pay for being shown these 64; with `sdrm3` every layer is of another task, so
that at least two are asked for their numbers, and all bounds in front are looked at.

Ratio to the plain loop (one engine and three, both loads): 100 and more, thousands for `fcfs`, `sjf` and `edf` on one
engine; in overload, where the plain loop has the shorter queue, `sdrm3` 88 to 106 and `planaria_spatial` 78.

`fcfs` and `sjf` on one engine: best of 25 runs on a busy machine, where the loop before did 89 / 57 and 76 / 44.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "hwmodels"))

from reference_kernel import reference_run  # type: ignore[import-not-found]

from hwmodels.kernel import run
from hwmodels.policies import POLICIES
from hwmodels.policies.base import Policy
from hwmodels.tables import DRAM_FIXED, DRAM_MAX_MIN, CostTable, Machine, Tiles
from hwmodels.workload import RequestTrace

_NETWORKS, _LAYERS, _LAYER_S = 4, 40, 1e-3
_REFERENCE = 40
"""Requests of the plain loop."""


class Chip(NamedTuple):
    """A machine, with times of layers that are random by 50 %."""

    units: tuple[int, ...] = (1,)
    levels: tuple[int, ...] = (1,)
    dram_mode: int = DRAM_FIXED
    change: Callable[[CostTable], CostTable] = lambda table: table
    """What it adds to the table."""
    params: dict[str, float] | None = None
    serves: Callable[[Policy], Any] = lambda policy: True
    loads: tuple[float, ...] = (0.9, 3.0)


def _with_tiles(table: CostTable) -> CostTable:
    rows = len(table.latency_s)
    return table._replace(tiles=Tiles(np.full(rows, 64), np.full(rows, 4), np.full(rows, 1e4), np.full(rows, 1e4)))


def _with_batches(table: CostTable, most: int = 8, added_frac: float = 0.3) -> CostTable:
    """Every further request of a batch adds a share of the first."""
    scale = 1.0 + added_frac * np.arange(most)[:, None]
    return table._replace(batch_latency_s=table.latency_s * scale, batch_dram_bytes=table.dram_bytes * scale,
                          batch_energy_j=table.energy_j * scale, batch_live_bytes=table.live_bytes * scale)


CHIPS = {
    "one": Chip(),
    "three": Chip(units=(1, 1, 1), serves=lambda policy: policy.machines == "any"),
    "pool": Chip(units=(8,), levels=(1, 2, 4, 8), dram_mode=DRAM_MAX_MIN,
                 serves=lambda policy: policy.machines != "single"),
    "tiles": Chip(change=_with_tiles, params={"grain": 1.0}, serves=lambda policy: "grain" in policy.params),
    "batches": Chip(change=_with_batches, serves=lambda policy: policy.batch is not None, loads=(1.5, 5.0)),
}
"""`one` engine; `three` engines; a `pool` of 8 units over a shared channel; `tiles`: one engine, layers of 64 tiles;
`batches`: one engine, events are layers x members."""


def _table(chip: Chip, rng: np.random.Generator) -> CostTable:
    """Layers speed up with the units to the power 0.8; a whole engine takes 1 ms on average."""
    engines, levels = len(chip.units), len(chip.levels)
    rows = _NETWORKS * engines * levels * _LAYERS
    speed = (np.array(chip.levels) / max(chip.units)) ** 0.8
    latency = (_LAYER_S * rng.uniform(0.5, 1.5, (_NETWORKS, engines, 1, _LAYERS)) / speed[:, None]).ravel()
    return chip.change(CostTable(
        n_layers=np.full(_NETWORKS, _LAYERS),
        offset=(np.arange(rows // _LAYERS) * _LAYERS).reshape(_NETWORKS, 1, engines, levels),
        latency_s=latency, dram_bytes=latency * 1e9, energy_j=latency, live_bytes=np.full(rows, 1e4),
        sparsity_frac=rng.uniform(0.1, 0.5, rows), estimate_s=latency))


def _machine(chip: Chip) -> Machine:
    return Machine(units=np.array(chip.units), level_units=np.array(chip.levels), tenant_engine=np.full(_NETWORKS, -1),
                   dram_bytes_per_s=6e9, dram_mode=chip.dram_mode, reconfigure_s=0.0, decision_s=0.0)


def _trace(count: int, rate: float, rng: np.random.Generator) -> RequestTrace:
    arrival = np.cumsum(rng.exponential(1.0 / rate, count))
    network = rng.integers(0, _NETWORKS, count)
    return RequestTrace(arrival_s=arrival, deadline_s=arrival + 0.5, priority=rng.choice([1.0, 3.0, 9.0], count),
                        tenant=network, network=network, sample=np.zeros(count, dtype=np.int64),
                        parent=np.full(count, -1), drop_late=np.zeros(count, dtype=bool))


def _first(trace: RequestTrace, count: int) -> RequestTrace:
    return RequestTrace(*(column[:count] for column in trace))


def _in_system(trace: RequestTrace, finish_s: np.ndarray) -> float:
    return float((finish_s - trace.arrival_s).sum() / (finish_s.max() - trace.arrival_s[0]))


def _measure(name: str, chip: Chip, load: float) -> None:
    rng = np.random.default_rng(1)
    table, machine = _table(chip, rng), _machine(chip)
    trace = _trace(10_000 if load < 1.0 else 3_000, load * len(chip.units) / (_LAYERS * _LAYER_S), rng)
    for policy in filter(chip.serves, POLICIES.values()):
        params = {key: value for key, value in (chip.params or {}).items() if key in policy.params}
        run(table, machine, _first(trace, _REFERENCE), policy, params)
        seconds = []
        for _ in range(3):
            begin = time.process_time()
            records = run(table, machine, trace, policy, params)
            seconds.append(time.process_time() - begin)
        begin = time.process_time()
        slow = reference_run(table, machine, _first(trace, _REFERENCE), policy, params)
        plain_s = (time.process_time() - begin) / slow.events
        event_s = float(np.median(seconds)) / records.events
        print(f"{name:<9}{load:>4.1f}  {policy.name:<17}{_in_system(trace, records.finish_s):>8.1f}"
              f"{1e-6 / event_s:>12.2f}{plain_s / event_s:>10.0f}", flush=True)


if __name__ == "__main__":
    print(f"{'machine':<9}{'load':>4}  {'policy':<17}{'queue':>8}{'M events/s':>12}{'x Python':>10}")
    for chosen in sys.argv[1:] or CHIPS:
        for offered in CHIPS[chosen].loads:
            _measure(chosen, CHIPS[chosen], offered)
