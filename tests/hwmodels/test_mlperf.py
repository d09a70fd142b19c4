"""Closed-loop scenarios on one engine, where they follow from the isolated latency."""

import numpy as np
import pytest

from hwmodels.architectures import TimeMux
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.errors import ModelError
from hwmodels.evaluate import evaluate_detail
from hwmodels.mlperf import measure
from hwmodels.network import Layer, Network
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload

NET = Network(name="net", layers=tuple(Layer(name=f"fc{i}", op="gemm", oy=16, k=64, c=64) for i in range(3)))
WORKLOAD = Workload(name="w", tenants=(
    Tenant(name="camera", network=NET, traffic=Traffic(rate_hz=30)),
    Tenant(name="voice", network=NET, traffic=Traffic(kind="poisson", rate_hz=80),
           service=ServiceLevel(deadline_s=1e-6, drop_late=True)),
    Tenant(name="leaves", network=NET.with_exits({"fc0": 0.8}), after="camera", probability=0.5),
))
DESIGN = Design(architecture=TimeMux(engine=Engine(rows=8, cols=8, dataflow="ws", sram_bytes=1 << 18,
                                                   dram_bytes_per_s=4e9, freq_hz=0.5e9)), policy="fcfs")


def test_one_after_the_other_on_one_engine() -> None:
    detail = evaluate_detail(DESIGN, WORKLOAD)
    assert detail.isolated_s is not None
    alone = detail.isolated_s[0]
    single = measure(DESIGN, WORKLOAD, "single_stream", queries=200)
    assert [one.tenant for one in single] == ["camera", "voice", "leaves"]
    assert [one.value for one in single[:2]] == pytest.approx([alone, alone])
    assert measure(DESIGN, WORKLOAD, "multi_stream", queries=5)[1].value == pytest.approx(8 * alone)
    assert measure(DESIGN, WORKLOAD, "offline", queries=50)[0].value == pytest.approx(1 / alone)
    # 80 % leave after the first of three layers: the 90th percentile is the whole network, the median is not
    assert single[2].value == pytest.approx(alone)
    assert np.median(single[2].latency_s) < 0.6 * alone


def test_bad_scenarios() -> None:
    with pytest.raises(ModelError, match="one of single_stream"):
        measure(DESIGN, WORKLOAD, "server")
    with pytest.raises(ModelError, match="at least 1"):
        measure(DESIGN, WORKLOAD, "offline", queries=0)
