"""A batch is one slice of the report's timeline and of the trace: no two slices of an engine overlap."""

import json

import numpy as np
import pytest

from dse.exporters import perfetto
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


def test_a_cut_counts_batches_once(monkeypatch: pytest.MonkeyPatch) -> None:
    detail = evaluate_detail(Design(architecture=TimeMux(engine=ENGINE), policy="graph_batching"), WORKLOAD)
    assert detail.records is not None
    slices = [event for event in trace_events(detail, WORKLOAD) if event["ph"] == "X"]
    assert perfetto._count(detail.records.spans) == len(slices) < len(detail.records.spans)
    monkeypatch.setattr(perfetto, "MAX_SLICES", 5)
    kept = [event for event in trace_events(detail, WORKLOAD) if event["ph"] == "X"]
    assert kept == slices[:5]


def test_the_trace_obeys_the_trace_event_format() -> None:
    """Names of all tracks, times in order, asynchronous slices in pairs, both ends of an arrow inside a slice."""
    workload = Workload(name="w", tenants=(
        Tenant(name="a", network=network("res8"), traffic=Traffic(rate_hz=400.0)),
        Tenant(name="b", network=network("resnet18"), traffic=Traffic(rate_hz=20.0))), duration_s=0.1)
    detail = evaluate_detail(Design(architecture=TimeMux(engine=ENGINE), policy="edf"), workload)
    events = json.loads(json.dumps(trace_events(detail, workload), allow_nan=False))
    names = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    processes = {e["pid"] for e in events if e["name"] == "process_name"}
    timed = [e for e in events if e["ph"] != "M"]
    assert [e["ts"] for e in timed] == sorted(e["ts"] for e in timed)
    assert all(isinstance(e[key], int) for e in events for key in ("pid", "tid"))
    assert {(e["pid"], e["tid"]) for e in timed if e["ph"] != "C"} <= names
    assert {e["pid"] for e in events} == processes
    slices = [e for e in timed if e["ph"] == "X"]
    assert all(e["dur"] >= 0.0 for e in slices)
    opened = {(e["cat"], e["id"], e["name"]): e["ts"] for e in timed if e["ph"] == "b"}
    closed = {(e["cat"], e["id"], e["name"]): e["ts"] for e in timed if e["ph"] == "e"}
    assert opened.keys() == closed.keys()
    assert all(closed[key] >= at for key, at in opened.items())
    leaves, arrives = ({e["id"]: e for e in timed if e["ph"] == kind} for kind in "sf")
    assert leaves
    assert leaves.keys() == arrives.keys()

    def around(event: dict) -> list[int]:
        """Requests of the slices around the time of an event."""
        return [e["args"]["request"] for e in slices if (e["pid"], e["tid"]) == (event["pid"], event["tid"])
                and e["ts"] <= event["ts"] < round(e["ts"] + e["dur"], 6)]

    for id_, event in leaves.items():
        assert len(around(event)) == 1
        assert around(event) == around(arrives[id_])
