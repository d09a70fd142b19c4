"""Mappings per second and core, and whole networks: `python tests/benchmarks/bench_cost.py`.

Aims: 20,000 (at least 5,000) layer mappings searched exactly per second and core without a cache; ResNet-50 on a new
engine below 20 ms (aim 5), from the cache in microseconds. Ratios are against the same search without bounds, and
against the CPU time that SCALE-Sim 3.0 (0.71 s per small layer) and ZigZag 3.9 (2.4 s per layer) were measured to need.
"""

import resource
import statistics
import sys
import time

import hwmodels.cost as cost
from hwmodels import layer_options
from hwmodels.cost import layer_costs
from hwmodels.engine import Engine
from hwmodels.layer_ways import _ways
from hwmodels.mapping import Alternatives, Columns, search_columns
from hwmodels.networks import network


def engines() -> list[Engine]:
    return [Engine(rows=side, cols=side, dataflow=dataflow, sram_bytes=sram, dram_bytes_per_s=16e9, freq_hz=1e9)
            for dataflow in ("ws", "os", "is", "rs") for side in (16, 32) for sram in (1 << 18, 1 << 20)]


def problems_of(name: str, engine: Engine) -> tuple[Columns, Alternatives]:
    """The searches that costing a network on an engine leads to."""
    found: list[tuple[Columns, Alternatives]] = []
    plain = layer_options.search_columns

    def keep(problems: Columns, objective: str, alternatives: Alternatives) -> object:
        found.append((problems, alternatives))
        return plain(problems, objective, alternatives)

    layer_options.search_columns = keep  # type: ignore[assignment]
    try:
        cost._costs((network(name),), engine, "latency", 0.0)
    finally:
        layer_options.search_columns = plain
    return found[0]


def search(parts: list[tuple[Columns, Alternatives]]) -> None:
    for problems, alternatives in parts:
        search_columns(problems, "latency", alternatives)


def count(parts: list[tuple[Columns, Alternatives]]) -> int:
    return sum(len(problems.floats) for problems, _ in parts)


def cpu_s(work: object, *arguments: object, **options: object) -> float:
    start = time.process_time()
    work(*arguments, **options)  # type: ignore[operator]
    return time.process_time() - start


def main() -> None:
    layer_costs(network("res8"), engines()[0])  # compile
    everything: list[tuple[Columns, Alternatives]] = []
    for name in ("resnet50", "mobilenet_v2", "bert_base"):
        here = [problems_of(name, engine) for engine in engines()]
        everything += here
        spent = cpu_s(search, here)
        sys.stdout.write(f"{name:<13} {count(here)} searches, {count(here) / spent:,.0f} per second and core\n")
    few = [problems._replace(nest=problems.nest[::40], floats=problems.floats[::40]) for problems, _ in everything]
    for prune in (True, False):
        search_columns(few[0], prune=prune)  # compile
    fast, slow = (sum(cpu_s(search_columns, problems, prune=prune) for problems in few) for prune in (True, False))
    rate = count(everything) / cpu_s(search, everything)
    sys.stdout.write(f"all           {rate:,.0f} per second and core; bounds make it {slow / fast:,.0f} times faster; "
                     f"{0.71 * rate:,.0f} x SCALE-Sim, {2.4 * rate:,.0f} x ZigZag (their CPU time, see above)\n")
    resnet = network("resnet50")
    cold = []
    for engine in engines():
        _ways.cache_clear()
        cold.append(cpu_s(cost._costs, (resnet,), engine, "latency", 0.0))
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
