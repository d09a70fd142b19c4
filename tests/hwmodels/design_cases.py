"""Random designs of every class and a workload of four tenants, for laws that hold for all of them."""

from dataclasses import replace

import numpy as np

from hwmodels.architectures import Composable, Dedicated, Heterogeneous, TimeMux
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.network import Layer, Network
from hwmodels.policies import POLICIES
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload

ENGINE = Engine(rows=16, cols=16, dataflow="ws", sram_bytes=1 << 17, dram_bytes_per_s=2e9, freq_hz=0.5e9)


def network(name: str, layers: int, width: int) -> Network:
    stack = [Layer(name=f"conv{i}", op="conv", oy=14, ox=14, k=width, c=width, fy=3, fx=3, pad_y=2, pad_x=2,
                   vector_ops=14 * 14 * width) for i in range(layers)]
    return Network(name=name, layers=(*stack, Layer(name="fc", op="gemm", k=100, c=width)))


BIG, SMALL = network("big", 5, 64), network("small", 3, 24)


def workload(*, load: float = 1.0, drop: bool = False, multiple: float | None = 20.0) -> Workload:
    voice = ServiceLevel(deadline_x_isolated=multiple) if multiple else ServiceLevel(deadline_s=0.004, drop_late=drop)
    return Workload(name="w", duration_s=0.3, tenants=(
        Tenant(name="camera", network=BIG, traffic=Traffic(rate_hz=100 * load, jitter_frac=0.1), priority=3,
               service=ServiceLevel(percentile=90.0, drop_late=drop)),
        Tenant(name="voice", network=SMALL, traffic=Traffic(kind="poisson", rate_hz=300 * load), service=voice),
        Tenant(name="follow", network=SMALL, after="camera", probability=0.5),
        Tenant(name="idle", network=SMALL, traffic=Traffic(rate_hz=1, offset_s=0.9)),
    ))


def random_design(rng: np.random.Generator, work: Workload, kind: str, policy: str) -> Design:
    def engine(**changes: object) -> Engine:
        return replace(ENGINE, rows=int(rng.choice([8, 16, 32])), cols=int(rng.choice([8, 16, 32])),
                       dataflow=str(rng.choice(["ws", "os", "is", "rs"])), vector_lanes=int(rng.choice([4, 64])),
                       sram_bytes=int(rng.choice([1 << 15, 1 << 18])), **changes)  # type: ignore[arg-type]

    architecture = {
        "time_mux": lambda: TimeMux(engine=engine()),
        "composable": lambda: Composable(engine=engine(), subarrays=int(rng.choice([4, 16]))),
        "heterogeneous": lambda: Heterogeneous(engines=tuple(engine() for _ in range(int(rng.integers(2, 4))))),
        "dedicated": lambda: Dedicated.sized(work, total=replace(ENGINE, rows=64, cols=32), exponent=rng.random()),
    }[kind]()
    return Design(architecture=architecture, policy=policy, scheduler=str(rng.choice(["software", "hardware"])))


def one_tenant(*arrivals: float, deadline_s: float) -> Workload:
    return Workload(name="one", duration_s=1.0, tenants=(
        Tenant(name="a", network=SMALL, traffic=Traffic(kind="trace", arrivals_s=arrivals),
               service=ServiceLevel(deadline_s=deadline_s)),))


PAIRS = [(kind, policy) for kind in ("time_mux", "composable", "heterogeneous", "dedicated")
         for policy, record in POLICIES.items()
         if kind in record.architectures]
"""Every class with every policy that can run it."""
