"""A batch is one slice of the report's timeline and of the trace: no two slices of an engine overlap."""

import numpy as np
import pytest

from dse.exporters.perfetto import trace_events
from dse.report.detail import timeline
from hwmodels.architectures import TimeMux
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.evaluate import evaluate_detail
from hwmodels.networks import network
from hwmodels.workload import Tenant, Traffic, Workload

ENGINE = Engine(rows=16, cols=16, dataflow="ws", sram_bytes=1 << 18, dram_bytes_per_s=4e9, freq_hz=0.5e9)
WORKLOAD = Workload(name="w", tenants=(
    Tenant(name="a", network=network("res8"), traffic=Traffic(kind="trace", arrivals_s=(0.0,) * 6)),))


@pytest.mark.parametrize("policy", ["graph_batching", "lazy_batching"])
def test_batches_are_single_slices(policy: str) -> None:
    detail = evaluate_detail(Design(architecture=TimeMux(engine=ENGINE), policy=policy), WORKLOAD)
    assert detail.records is not None
    slices = [event for event in trace_events(detail, WORKLOAD) if event["ph"] == "X"]
    starts = np.array([event["ts"] for event in slices])
    ends = starts + [event["dur"] for event in slices]
    assert (starts[1:] >= ends[:-1] - 1e-6).all()
    assert max(len(event["args"].get("batch", [0])) for event in slices) > 1
    assert sum(len(event["args"].get("batch", [0])) for event in slices) == detail.records.events
    assert ends.sum() - starts.sum() == pytest.approx(1e6 * detail.records.engine_busy_s.sum(), rel=1e-3)
    shown = timeline(detail)
    begin = np.array(shown["start_s"])
    assert (np.diff(begin) >= np.array(shown["duration_s"])[:-1] * (1 - 2e-3)).all()
    assert begin[-1] + shown["duration_s"][-1] == pytest.approx(np.nanmax(detail.records.finish_s), rel=2e-3)
