"""The schedule of one design as a Chrome trace (JSON), for ui.perfetto.dev or chrome://tracing.

One track per engine (more where tasks share it: slices of a track never overlap); slices carry the tenant's name, so
that viewers colour by tenant, and layer, request and units as arguments. Requests, which do overlap, are asynchronous
slices per tenant; a request that returns to an engine is joined to where it left by a flow arrow; a counter shows the
requests in the system.

References
----------
Trace Event Format, docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.exporters.design import design_record, design_text
from dse.exporters.record import Exporter, Files
from dse.report.detail import assign_tracks
from dse.report.rundata import RunData
from hwmodels.tables import batches
from hwmodels.workload import Workload

__all__ = ["EXPORTER", "MAX_SLICES", "trace_events"]

MAX_SLICES = 200_000
"""Viewers slow down at about a million events; longer schedules are cut here, and the file says so."""

Floats = NDArray[np.float64]

_CHIP, _TENANTS = 1, 2
_INSIDE_US = 0.01
"""Ten of the nanoseconds that viewers count in."""


def _us(seconds: float) -> float:
    """Microseconds in whole picoseconds, so that slices that follow each other do not overlap by a rounding."""
    return round(float(seconds) * 1e6, 6)


def _names(pid: int, process: str, threads: Sequence[str]) -> list[dict[str, Any]]:
    events = [{"ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": {"name": process}}]
    for tid, name in enumerate(threads, start=1):
        events.append({"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": name}})
        events.append({"ph": "M", "pid": pid, "tid": tid, "name": "thread_sort_index", "args": {"sort_index": tid}})
    return events


def _in_order(spans: Floats) -> Floats:
    """By start, then engine: members of a batch next to each other."""
    return spans[np.lexsort((spans[:, 4], spans[:, 0]))]


def _count(spans: Floats) -> int:
    """How many slices the spans are: those of a batch are one."""
    return len(batches(_in_order(spans))) - 1


def _slices(detail: Any, workload: Workload) -> list[dict[str, Any]]:
    """Executed layers, and arrows from where a request was interrupted to where it went on."""
    spans = _in_order(detail.records.spans)
    first = batches(spans)
    members = [spans[a:b, 2].astype(int).tolist() for a, b in pairwise(first[: MAX_SLICES + 1].tolist())]
    spans = spans[first[:-1]][:MAX_SLICES]
    slots = detail.prepared.chip.slots
    tracks, track_of = assign_tracks(spans[:, 0], spans[:, 1], spans[:, 4], [slot.name for slot in slots])
    layers = [[layer.name for layer in tenant.network] for tenant in workload.tenants]
    events = _names(_CHIP, "chip", tracks)
    last: dict[int, tuple[float, int, float]] = {}
    for (start, end, request, layer, _, units), track, batch in zip(spans, track_of, members, strict=True):
        r, tid = int(request), track + 1
        tenant = int(detail.trace.tenant[r])
        shown = {"layer": layers[tenant][int(layer)], "request": r, "units": ceil(units)}
        if len(batch) > 1:
            shown["batch"] = batch
        events.append({"ph": "X", "pid": _CHIP, "tid": tid, "name": workload.tenants[tenant].name, "cat": "layer",
                       "ts": _us(start), "dur": round(_us(end) - _us(start), 6), "args": shown})
        if r in last and (start - last[r][0] > 1e-9 or last[r][1] != tid):
            flow = {"pid": _CHIP, "cat": "resume", "name": "resume", "id": len(events)}
            # an arrow belongs to the slice around its time: at the end of the slice it would belong to none
            leaves = max(_us(last[r][2]), _us(last[r][0]) - _INSIDE_US)
            events.append({"ph": "s", "tid": last[r][1], "ts": round(leaves, 6), **flow})
            events.append({"ph": "f", "bp": "e", "tid": tid, "ts": _us(start), **flow})
        last[r] = (float(end), tid, float(start))
    return events


def _requests(detail: Any, workload: Workload) -> list[dict[str, Any]]:
    """One asynchronous slice per request, and how many are in the system."""
    trace, records = detail.trace, detail.records
    events = _names(_TENANTS, "tenants", [tenant.name for tenant in workload.tenants])
    changes: list[tuple[float, int]] = []
    for r in range(len(trace.arrival_s)):
        tenant = int(trace.tenant[r])
        common = {"pid": _TENANTS, "tid": tenant + 1, "name": workload.tenants[tenant].name, "cat": "request"}
        begin, end, due = float(records.ready_s[r]), float(records.finish_s[r]), float(trace.deadline_s[r])
        if not np.isfinite(end):
            at = due if np.isfinite(due) else float(trace.arrival_s[r])
            events.append({**common, "ph": "i", "s": "t", "ts": _us(at), "name": f"{common['name']} dropped"})
            continue
        known = {"request": r, "latency_s": end - float(trace.arrival_s[r])}
        if np.isfinite(due):
            known |= {"deadline_s": due, "met": bool(end <= due)}
        events.append({**common, "ph": "b", "id": r, "ts": _us(begin), "args": known})
        events.append({**common, "ph": "e", "id": r, "ts": _us(end)})
        changes += [(begin, 1), (end, -1)]
    inside = 0
    for at, change in sorted(changes):
        inside += change
        events.append({"ph": "C", "pid": _TENANTS, "tid": 0, "name": "requests in the system", "ts": _us(at),
                       "args": {"requests": inside}})
    return events


def trace_events(detail: Any, workload: Workload) -> list[dict[str, Any]]:
    """Events of one evaluated design (`hwmodels.evaluate.Detail`, recorded), names first, then by time; in
    microseconds."""
    events = _slices(detail, workload) + _requests(detail, workload)
    return sorted(events, key=lambda event: float(event.get("ts", -1.0)))  # stable: a slice before its arrows


def files(run: RunData, trials: Sequence[int]) -> Files:
    """Evaluates the design again, with recording."""
    from hwmodels.evaluate import evaluate_detail

    design, workload, seed = design_record(run, trials[0])
    detail = evaluate_detail(design, workload, seed=seed)
    about: dict[str, Any] = {"study": run.name, "trial": trials[0], "seed": seed, "status": detail.outcome.status,
                             "design": design_text(run, trials[0])}
    events: list[dict[str, Any]] = []
    if detail.records is not None:
        events = trace_events(detail, workload)
        slices = _count(detail.records.spans)
        if slices > MAX_SLICES:
            about["note"] = f"cut to the first {MAX_SLICES} of {slices} executed layers, a batch counted once"
    text = json.dumps({"displayTimeUnit": "ms", "otherData": about, "traceEvents": events}, separators=(",", ":"))
    return {"": text.encode()}


EXPORTER = Exporter(name="perfetto", summary="the schedule of one design as a Chrome trace, for ui.perfetto.dev",
                    loses="the state of the policy, and the bandwidth each layer was given", files=files, single=True)
