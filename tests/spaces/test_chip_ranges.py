"""Bounds of ranges of designs: no design in the range is bounded lower, and none simulated is better."""

import math
from typing import Any

import numpy as np
import pytest

from hwmodels.architectures.dedicated import _shares, share_ranges
from hwmodels.demand_bounds import metric_bounds
from hwmodels.evaluate import evaluate
from hwmodels.network import Layer, Network
from hwmodels.offered_load import least_finished, offered_load
from hwmodels.outcome import METRICS
from hwmodels.request_costs import Demand, chip_demand, is_separate
from hwmodels.scheduling import block_of
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload
from spaces.boxes import Box, Inside, ends_of, last_code
from spaces.chip_ranges import KINDS, best_block, chip_range
from spaces.designs import decode_design, design_space, policy_params
from spaces.space import Space


def network(name: str, layers: int, width: int) -> Network:
    stack = [Layer(name=f"conv{i}", op="conv", oy=14, ox=14, k=width, c=width, fy=3, fx=3, pad_y=2, pad_x=2,
                   vector_ops=14 * 14 * width) for i in range(layers)]
    deep = Layer(name="deep", op="depthwise", oy=14, ox=14, groups=width, fy=3, fx=3, pad_y=2, pad_x=2)
    return Network(name=name, layers=(*stack, deep, Layer(name="fc", op="gemm", k=100, c=width)))


WORKLOADS = {
    "light": Workload(name="light", duration_s=0.2, tenants=(
        Tenant(name="camera", network=network("big", 3, 64), traffic=Traffic(rate_hz=60, jitter_frac=0.1)),
        Tenant(name="voice", network=network("small", 2, 24), traffic=Traffic(kind="poisson", rate_hz=100),
               service=ServiceLevel(deadline_s=0.005)))),
    "heavy": Workload(name="heavy", duration_s=0.1, tenants=(
        Tenant(name="camera", network=network("big", 4, 96), traffic=Traffic(rate_hz=300)),
        Tenant(name="voice", network=network("small", 2, 24), traffic=Traffic(kind="poisson", rate_hz=300),
               service=ServiceLevel(deadline_x_isolated=4.0, percentile=90.0)),
        Tenant(name="follow", network=network("small", 1, 24), after="camera", probability=0.5,
               service=ServiceLevel(drop_late=True)))),
}
POLICIES = ("fcfs", "prema", "layerweaver", "lazy_batching")
DOMAINS: dict[str, Any] = {
    "freq_hz": {"low": 2e8, "high": 1e9}, "dram_bytes_per_s": {"low": 5e8, "high": 2e10, "log": True},
    "rows": {"low": 4, "high": 70, "step": 2}, "cols": {"low": 4, "high": 70, "step": 6},
    "dataflow": ["rs", "ws", "os", "is"],
    "sram_bytes": {"low": 20_000, "high": 3_000_000, "step": 1000}, "vector_lanes": {"low": 4, "high": 100},
    "subarrays": [4], "total_pes": {"low": 64, "high": 5000}, "share_exponent": {"low": 0.0, "high": 1.5},
    "side0": {"low": 4, "high": 64}, "sram_bytes0": {"low": 20_000, "high": 3_000_000, "step": 1000},
    "lazy_batching.max_batch": {"low": 2, "high": 6}, "node_nm": [16, 28]}


def random_box(space: Space, rng: np.random.Generator, kind: str) -> tuple[Box, Inside]:
    """Around a random design; small boxes as often as large ones, pinned where it must be."""
    while True:
        codes = space.sample_codes(rng)
        if space.decode(codes)["architecture"] == kind:
            break
    low, high = [], []
    spread = rng.choice([0.0, 0.02, 0.2, 1.0])
    for name, domain, code in zip(space.names, space.domains.values(), codes, strict=True):
        at, last = max(code, 0), last_code(domain)
        reach = 0.0 if name in KINDS and code >= 0 else spread * float(rng.random()) * last
        low.append(max(0, at - int(reach * rng.random())) if code >= 0 else 0)
        high.append(min(last, at + int(reach * rng.random())) if code >= 0 else last)
    box = Box(tuple(low), tuple(high))
    return box, Inside(space, box)


def demand_of(values: dict[str, Any], work: Workload, load: Any) -> tuple[Demand, float, float] | None:
    found = chip_range(values, work)
    if found is None:
        return None
    assert is_separate(found.smallest) == is_separate(found.largest)
    area = sum(found.smallest.area_mm2.values())
    return chip_demand([found.largest], work, load, smallest=[found.smallest]), area, found.smallest.leakage_w


NAMES = [*METRICS, *(f"voice.{m}" for m, r in METRICS.items() if r.per_tenant)]


@pytest.mark.parametrize("kind", ["time_mux", "composable", "heterogeneous", "dedicated"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_no_design_of_a_box_beats_its_bounds(kind: str, name: str) -> None:
    work, rng = WORKLOADS[name], np.random.default_rng(sum(map(ord, kind + name)))
    space = design_space(work, policies=POLICIES, domains=DOMAINS)
    load = offered_load(work, 0)
    hardware = [n for n in space.names if n not in ("policy", "scheduler") and "." not in n]
    simulated = 0
    for _ in range(8):
        box, inside = random_box(space, rng, kind)
        ends = {n: ends_of(space.domains[n], low, high) for n, low, high in zip(space.names, *box, strict=True)}
        values = {n: ends[n] for n in hardware if space.names.index(n) in inside.active}
        found = demand_of(values, work, load)
        drawn = [space.decode(inside.draw(rng)) for _ in range(2)]
        pairs = [(str(p), str(s)) for p in ends["policy"] for s in ends["scheduler"]]
        node = int(drawn[0]["node_nm"])
        batches = {"lazy_batching": tuple(int(v) for v in ends["lazy_batching.max_batch"])}
        for params in drawn:
            single = demand_of({n: (params[n],) for n in hardware if n in params}, work, load)
            if single is None:
                continue
            assert found is not None
            demand, area, leakage = found
            for column, value in zip(demand[:4], single[0][:4], strict=True):
                if column is demand.work_s:  # engines weighted by speed: another range has other weights
                    column, value = column[..., [0, 2]], value[..., [0, 2]]  # noqa: PLW2901
                assert (column <= value * (1 + 1e-9)).all()
            assert area <= single[1] * (1 + 1e-12)
            assert leakage <= single[2] * (1 + 1e-12)
            own = block_of(str(params["scheduler"]), str(params["policy"]), policy_params(params), node)
            block = best_block(pairs, node, batches)
            assert all(a <= b for a, b in zip(block[:4], own[:4], strict=True))
            assert block.together >= own.together
            assert block.overlaps or not own.overlaps
            outcome = evaluate(decode_design(params, work), work, seed=0)
            if not outcome.ok:
                continue
            simulated += 1
            values_of = outcome.metrics | {f"{t}.{m}": v for t, own_m in outcome.tenants.items()
                                           for m, v in own_m.items()}
            bounds = metric_bounds(demand, load, work, [block], area_mm2=np.array([area + block.area_mm2]),
                                   leakage_w=np.array([leakage]), metrics=NAMES, least=least_finished(load))
            for metric, bound in bounds.items():
                if metric not in values_of or math.isnan(values_of[metric]):
                    continue
                if METRICS[metric.rpartition(".")[2]].minimise:
                    assert bound[0] <= values_of[metric] * (1 + 1e-9), (metric, params)
                else:
                    assert bound[0] >= values_of[metric] * (1 - 1e-9), (metric, params)
    assert simulated > 4


@pytest.mark.parametrize("kind", ["time_mux", "composable", "heterogeneous", "dedicated"])
def test_a_box_of_one_design_is_bounded_as_the_design(kind: str) -> None:
    work, rng = WORKLOADS["light"], np.random.default_rng(1)
    space = design_space(work, policies=("fcfs",), domains={k: v for k, v in DOMAINS.items() if "." not in k},
                         architectures=[kind])
    load = offered_load(work, 0)
    for _ in range(20):
        params = space.sample(rng)
        values = {n: (v,) for n, v in params.items() if n not in ("policy", "scheduler") and "." not in n}
        found = demand_of(values, work, load)
        if found is None:
            continue
        chip = decode_design(params, work).architecture.chip(work)
        for column, value in zip(found[0], chip_demand([chip], work, load), strict=True):
            assert np.allclose(column, value, rtol=1e-12, atol=0.0, equal_nan=True)  # sums over engines in other order
        assert found[1:] == pytest.approx((sum(chip.area_mm2.values()), chip.leakage_w), rel=1e-12)


def test_what_no_design_has_is_no_chip() -> None:
    work = WORKLOADS["light"]
    values = {"architecture": ("composable",), "subarrays": (16,), "node_nm": (16,), "freq_hz": (1e9,),
              "dram_bytes_per_s": (1e9,), "rows": (9, 11), "cols": (8, 16), "dataflow": ("ws",), "sram_bytes": (65536,),
              "vector_lanes": (8,)}
    assert chip_range(values, work) is None  # no multiple of 4 between 9 and 11
    found = chip_range(values | {"rows": (9, 13)}, work)
    assert found is not None
    assert {form.rows for _, forms in found.largest.slots[0].levels for form in forms} == {3, 6, 12, 24, 48}
    assert chip_range(values | {"rows": (8,), "subarrays": (5,)}, work) is None
    assert chip_range(values | {"rows": (0, 0)}, work) is None


def test_shares_stay_between_their_bounds() -> None:
    rng = np.random.default_rng(0)
    inner = 0
    for _ in range(200):
        loads = rng.lognormal(sigma=2.0, size=int(rng.integers(2, 7))).tolist()
        least = float(rng.uniform(-0.5, 1.0))
        most = least + float(rng.uniform(0.0, 2.0))
        low, high = share_ranges(loads, least, most)
        every = np.array([_shares(loads, e) for e in np.linspace(least, most, 60)])
        assert (every >= low).all()
        assert (every <= high).all()
        inner += bool((every.max(axis=0) > np.maximum(every[0], every[-1]) * 1.001).any())
    assert inner > 20
