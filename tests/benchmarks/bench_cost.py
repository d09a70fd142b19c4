"""Mappings per second and core, and whole networks: `python tests/benchmarks/bench_cost.py`.

Aims: 20,000 (at least 5,000) layer mappings searched exactly per second and core without a cache; ResNet-50 on a new
engine below 20 ms (aim 5), from the cache in microseconds. Ratios are against the same search without bounds, and
against the CPU time that SCALE-Sim 3.0 (0.71 s per small layer) and ZigZag 3.9 (2.4 s per layer) were measured to need.
"""

import resource
import statistics
import sys
import time

import numpy as np

import hwmodels.cost as cost
from hwmodels import layer_options
from hwmodels.cost import layer_costs
from hwmodels.engine import Engine
from hwmodels.mapping import Columns, search_columns
from hwmodels.networks import network


def engines() -> list[Engine]:
    return [Engine(rows=side, cols=side, dataflow=dataflow, sram_bytes=sram, dram_bytes_per_s=16e9, freq_hz=1e9)
            for dataflow in ("ws", "os", "is", "rs") for side in (16, 32) for sram in (1 << 18, 1 << 20)]


def problems_of(name: str, engine: Engine) -> Columns:
    """The searches that costing a network on an engine leads to."""
    found: list[Columns] = []
    plain = layer_options.search_columns

    def keep(problems: Columns, objective: str) -> object:
        found.append(problems)
        return plain(problems, objective)

    layer_options.search_columns = keep  # type: ignore[assignment]
    try:
        cost._costs(network(name), engine, "latency", 0.0)
    finally:
        layer_options.search_columns = plain
    return found[0]


def joined(parts: list[Columns]) -> Columns:
    return Columns(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def cpu_s(work: object, *arguments: object, **options: object) -> float:
    start = time.process_time()
    work(*arguments, **options)  # type: ignore[operator]
    return time.process_time() - start


def main() -> None:
    layer_costs(network("res8"), engines()[0])  # compile
    everything: list[Columns] = []
    for name in ("resnet50", "mobilenet_v2", "bert_base"):
        here = joined([problems_of(name, engine) for engine in engines()])
        everything.append(here)
        spent = cpu_s(search_columns, here)
        sys.stdout.write(f"{name:<13} {len(here.ints)} searches, {len(here.ints) / spent:,.0f} per second and core\n")
    whole = joined(everything)
    few = Columns(*(column[::40] for column in whole))
    fast, slow = cpu_s(search_columns, few), cpu_s(search_columns, few, prune=False)
    rate = len(whole.ints) / cpu_s(search_columns, whole)
    sys.stdout.write(f"all           {rate:,.0f} per second and core; bounds make it {slow / fast:,.0f} times faster; "
                     f"{0.71 * rate:,.0f} x SCALE-Sim, {2.4 * rate:,.0f} x ZigZag (their CPU time, see above)\n")
    resnet = network("resnet50")
    cold = [cpu_s(cost._costs, resnet, engine, "latency", 0.0) for engine in engines()]
    one = engines()[0]
    layer_costs(resnet, one)
    start = time.perf_counter()
    for _ in range(1000):
        layer_costs(resnet, one)
    cached = (time.perf_counter() - start) / 1000
    sys.stdout.write(f"resnet50      cold {1e3 * statistics.median(cold):.1f} ms (median of {len(cold)} engines, worst "
                     f"{1e3 * max(cold):.1f}), cached {1e6 * cached:.1f} us\n")
    sys.stdout.write(f"memory        {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB\n")


if __name__ == "__main__":
    main()
