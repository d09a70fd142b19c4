"""Bounds per second and core for a ResNet-50-sized workload: `python tests/benchmarks/bench_bounds.py`.

Aim: at least 1,000,000 designs per second and core, area included.
"""

import sys
import time

import numpy as np

from hwmodels.bounds import EngineColumns, areas_mm2, network_bounds
from hwmodels.networks import network

DESIGNS = 500_000


def random_designs(count: int, seed: int = 0) -> EngineColumns:
    """Columns of `count` random engines over a usual design space."""
    rng = np.random.default_rng(seed)
    no = np.zeros(count, dtype=bool)
    return EngineColumns(
        rows=rng.choice([8, 16, 32, 64, 128, 256], count), cols=rng.choice([8, 16, 32, 64, 128, 256], count),
        dataflow=rng.integers(0, 4, count), sram_bytes=rng.choice(2 ** np.arange(16, 25), count),
        dram_bytes_per_s=rng.choice([4e9, 8e9, 16e9, 32e9, 64e9], count), freq_hz=rng.choice([5e8, 7e8, 1e9], count),
        precision=rng.integers(1, 4, count),
        sum_bytes=np.full(count, 4.0), buffers=np.full(count, 2), vector_lanes=rng.choice([16, 64, 256], count),
        node=rng.integers(0, 5, count), rigid=np.ones(count, dtype=bool),
        packed=no, skipping=no, overlapped=~no, drained=no, plain_depthwise=~no,
        weights_stay=no)


def main() -> None:
    net, designs = network("resnet50"), random_designs(DESIGNS)
    network_bounds(net, EngineColumns(*(column[:10] for column in designs)))  # compile
    rates = []
    for _ in range(5):
        start = time.process_time()
        network_bounds(net, designs)
        areas_mm2(designs)
        rates.append(DESIGNS / (time.process_time() - start))
    sys.stdout.write(f"{net.name}, {len(net)} layers: {np.median(rates) / 1e6:.2f} million designs per CPU second "
                     f"(latency, traffic, energy, area), {np.median(rates) / 1e6:.2f} x the aim of 1 million\n")


if __name__ == "__main__":
    main()
