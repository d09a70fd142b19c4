"""Speed of the event kernel: layer events per second and core, beside a plain Python loop of the same semantics.

Run `python tests/benchmarks/bench_kernel.py`; nothing is asserted. The ratio is of two runs in the same process.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "hwmodels"))

from reference_kernel import reference_run  # type: ignore[import-not-found]

from hwmodels.kernel import run
from hwmodels.policies import POLICIES
from hwmodels.tables import DRAM_FIXED, CostTable, Machine, Tiles
from hwmodels.workload import RequestTrace


def _table(networks: int, layers: int, engines: int, rng: np.random.Generator) -> CostTable:
    rows = networks * engines * layers
    latency = rng.uniform(0.5e-3, 1.5e-3, rows)
    return CostTable(
        n_layers=np.full(networks, layers),
        offset=(np.arange(networks * engines) * layers).reshape(networks, 1, engines, 1),
        latency_s=latency, dram_bytes=latency * 1e9, energy_j=latency, live_bytes=np.full(rows, 1e4),
        sparsity_frac=rng.uniform(0.1, 0.5, rows), estimate_s=latency,
    )


def _machine(engines: int, networks: int) -> Machine:
    return Machine(units=np.ones(engines, dtype=np.int64), level_units=np.ones(1, dtype=np.int64),
                   tenant_engine=np.full(networks, -1), dram_bytes_per_s=1e10, dram_mode=DRAM_FIXED,
                   reconfigure_s=0.0, decision_s=0.0)


def _trace(count: int, rate: float, networks: int, rng: np.random.Generator) -> RequestTrace:
    arrival = np.cumsum(rng.exponential(1.0 / rate, count))
    network = rng.integers(0, networks, count)
    return RequestTrace(arrival_s=arrival, deadline_s=arrival + 0.5, priority=rng.choice([1.0, 3.0, 9.0], count),
                        tenant=network, network=network, sample=np.zeros(count, dtype=np.int64),
                        parent=np.full(count, -1), drop_late=np.zeros(count, dtype=bool))


def _queue(trace: RequestTrace, finish_s: np.ndarray) -> float:
    return float((finish_s - trace.arrival_s).sum() / (finish_s.max() - trace.arrival_s[0]))


def _with_batches(table: CostTable, most: int = 8, added_frac: float = 0.3) -> CostTable:
    """Every further request of a batch adds a share of the first."""
    scale = 1.0 + added_frac * np.arange(most)[:, None]
    return table._replace(batch_latency_s=table.latency_s * scale, batch_dram_bytes=table.dram_bytes * scale,
                          batch_energy_j=table.energy_j * scale, batch_live_bytes=table.live_bytes * scale)


def _measure(title: str, count: int, load: float, engines: int = 1, policies: tuple[str, ...] = tuple(POLICIES),
             tiles: int = 0, batches: bool = False) -> None:
    rng = np.random.default_rng(1)
    networks, layers = 4, 40
    table, machine = _table(networks, layers, engines, rng), _machine(engines, networks)
    params = {"grain": 1.0} if tiles else None
    if tiles:
        rows = len(table.latency_s)
        table = table._replace(tiles=Tiles(np.full(rows, tiles), np.full(rows, 4), np.full(rows, 1e4),
                                           np.full(rows, 1e4)))
    if batches:
        table = _with_batches(table)
    trace = _trace(count, load * engines / (layers * 1e-3), networks, rng)
    short = RequestTrace(*(column[:150] for column in trace))
    print(f"\n{title}")
    print(f"{'policy':<14}{'queue':>8}{'M events/s':>12}{'ns/event':>10}{'x Python':>10}")
    for name in policies:
        if engines > 1 and POLICIES[name].machines != "any":
            continue
        run(table, machine, short, POLICIES[name], params)
        begin = time.process_time()
        records = run(table, machine, trace, POLICIES[name], params)
        seconds = time.process_time() - begin
        ratio = ""
        if engines == 1:
            begin = time.process_time()
            slow = reference_run(table, machine, short, POLICIES[name], params)
            ratio = f"{(time.process_time() - begin) / slow.events * records.events / seconds:>10.0f}"
        print(f"{name:<14}{_queue(trace, records.finish_s):>8.1f}{records.events / seconds / 1e6:>12.2f}"
              f"{seconds / records.events * 1e9:>10.1f}{ratio}")


if __name__ == "__main__":
    _measure("one engine, load 0.92", 20_000, 0.92)
    _measure("one engine, overload 3x: queues of thousands", 3_000, 3.0)
    _measure("one engine, layers of 64 tiles, load 0.92", 20_000, 0.92, policies=("sjf", "edf", "prema", "derca"),
             tiles=64)
    together = tuple(name for name, record in POLICIES.items() if record.batch is not None)
    _measure("one engine, batches (a further request adds 0.3), load 1.5; events: layers x members", 20_000, 1.5,
             policies=together, batches=True)
    _measure("the same, overload 5x", 3_000, 5.0, policies=together, batches=True)
    _measure("three engines (general loop), load 0.9", 5_000, 0.9, engines=3)
    _measure("three engines (general loop), overload 3x", 2_000, 3.0, engines=3, policies=("fcfs", "edf", "prema"))
