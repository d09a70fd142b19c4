"""What the page shows of one design: parts, energy, roofline, latencies, timeline. Made at report time, by evaluating
the designs of the (thinned) front again with recording on."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dse.advice import advise, ranked_front, recommended
from dse.errors import DseError
from dse.pareto import thin
from dse.report.rundata import RunData, metric_column
from hwmodels.errors import ModelError
from hwmodels.tables import batches

if TYPE_CHECKING:
    from dse.study import Study

__all__ = ["MAX_DETAILS", "RunDetails", "assign_tracks", "constants_table", "detail_payload", "run_details",
           "study_of"]

Floats = NDArray[np.float64]

MAX_DETAILS = 15
"""Designs with a detail view: an epsilon grid of the front is what a reader can compare."""
_MAX_SPANS = 3000
_MAX_POINTS = 240
_QUANTILES = 120
_BINS = 60


class RunDetails(NamedTuple):
    """Details by trial, and the breakdown of the recommended design (None when it could not be evaluated)."""

    details: dict[int, dict[str, Any]]
    breakdown: Mapping[str, Mapping[str, float]] | None


def _short(value: float, digits: int = 4) -> float | None:
    return float(f"{float(value):.{digits}g}") if math.isfinite(float(value)) else None


def _list(values: Any, digits: int = 4) -> list[float | None]:
    return [_short(v, digits) for v in np.asarray(values, dtype=float)]


def chosen_trials(run: RunData, limit: int = MAX_DETAILS) -> list[int]:
    """Trials that get a detail view: the recommended one first, the best of every other class, other designs worth a
    look, then a spread of the front."""
    ranked = ranked_front(run)
    if ranked.empty:
        return []
    values = np.stack([ranked[metric_column(o.metric)].to_numpy(dtype=float) * (1.0 if o.minimise else -1.0)
                       for o in run.objectives], axis=1)
    best = advise(run)
    spread = [int(ranked["trial"].iloc[i]) for i in thin(values, MAX_DETAILS)]
    worth = [int(one["trial"]) for one in recommended(run)]
    return list(dict.fromkeys([best.trial, *best.rivals.values(), *worth, *spread]))[:limit]


def engines_of(chip: Any) -> list[dict[str, Any]]:
    """The engines of a chip at full size."""
    found = []
    for slot in chip.slots:
        engine = slot.levels[-1][1][0]
        found.append({
            "name": slot.name, "rows": engine.rows, "cols": engine.cols, "dataflow": engine.dataflow,
            "sram_bytes": engine.sram_bytes, "vector_lanes": engine.vector_lanes, "precision": engine.precision,
            "freq_hz": engine.freq_hz, "dram_bytes_per_s": engine.dram_bytes_per_s, "units": slot.units,
            "tenants": list(slot.tenants), "dram_frac": slot.dram_frac,
        })
    return found


def roofline(detail: Any, workload: Any) -> dict[str, Any]:
    """Layers as points: MACs per DRAM byte against MACs per second, on the engine that runs the network fastest."""
    from hwmodels.cost import LIMITS

    prepared, slots = detail.prepared, detail.prepared.chip.slots
    found: dict[str, Any] = {"tenant": [], "layer": [], "intensity": [], "macs_per_s": [], "share": [], "limit": []}
    for index, tenant in enumerate(workload.tenants):
        network = workload.networks.index(tenant.network)
        options = [cost for (n, e, _), cost in prepared.costs.items() if n == network and not cost.unsupported
                   and (not slots[e].tenants or tenant.name in slots[e].tenants)]
        if not options:
            continue
        cost = min(options, key=lambda c: float(c.latency_s.sum()))
        macs = np.array([layer.macs for layer in tenant.network], dtype=float)
        moved = cost.dram_read_bytes + cost.dram_write_bytes
        usable = np.flatnonzero((macs > 0) & (moved > 0) & (cost.latency_s > 0))
        if len(usable) > _MAX_POINTS // len(workload.tenants):  # the slowest layers tell the story
            order = np.argsort(-cost.latency_s[usable], kind="stable")
            usable = np.sort(usable[order[: max(8, _MAX_POINTS // len(workload.tenants))]])
        layers = list(tenant.network)
        total = float(cost.latency_s.sum())
        found["tenant"] += [index] * len(usable)
        found["layer"] += [layers[i].name for i in usable]
        found["intensity"] += _list(macs[usable] / moved[usable])
        found["macs_per_s"] += _list(macs[usable] / cost.latency_s[usable])
        found["share"] += _list(cost.latency_s[usable] / total, 3)
        found["limit"] += [LIMITS[int(cost.limited_by[i])] for i in usable]
    found["roofs"] = [{"name": s.name, "macs_per_s": e.rows * e.cols * e.freq_hz,
                       "dram_bytes_per_s": e.dram_bytes_per_s} for s in slots for e in (s.levels[-1][1][0],)]
    return found


def latencies(detail: Any, workload: Any) -> dict[str, Any]:
    """Sorted latencies of each tenant (thinned to quantiles, the largest kept), with its deadline and percentile."""
    trace, records = detail.trace, detail.records
    found: dict[str, Any] = {}
    for index, tenant in enumerate(workload.tenants):
        mine = trace.tenant == index
        if not mine.any():
            continue
        latency = np.sort((records.finish_s - trace.arrival_s)[mine & np.isfinite(records.finish_s)])
        relative = (trace.deadline_s - trace.arrival_s)[mine]
        relative = relative[np.isfinite(relative)]
        count = len(latency)
        at = np.unique(np.linspace(0, max(0, count - 1), min(_QUANTILES, count)).round().astype(int))
        found[tenant.name] = {
            "latency_s": _list(latency[at]),
            "frac": _list((at + 1) / int(mine.sum())),
            "deadline_s": _short(float(np.median(relative))) if len(relative) else None,
            "percentile": tenant.service.percentile, "requests": int(mine.sum()), "finished": int(count),
            "isolated_s": _short(detail.isolated_s[index]) if detail.isolated_s is not None else None,
        }
    return found


def _merged(spans: Floats) -> Floats:
    """Consecutive layers of one request on one engine become one stretch; (n, 5) start, end, request, engine, units."""
    order = np.lexsort((spans[:, 0], spans[:, 2], spans[:, 4]))
    s = spans[order]
    tolerance = 1e-7 * max(1e-9, float(s[:, 1].max()))
    same = ((s[1:, 2] == s[:-1, 2]) & (s[1:, 4] == s[:-1, 4]) & (s[1:, 5] == s[:-1, 5])
            & (np.abs(s[1:, 0] - s[:-1, 1]) <= tolerance))
    first = np.flatnonzero(np.concatenate([[True], ~same]))
    last = np.concatenate([first[1:] - 1, [len(s) - 1]])
    out = np.column_stack([s[first, 0], s[last, 1], s[first, 2], s[first, 4], s[first, 5]])
    return out[np.argsort(out[:, 0], kind="stable")]


def assign_tracks(starts: Floats, ends: Floats, engines: Floats, names: Sequence[str]) -> tuple[list[str], list[int]]:
    """One track per engine, more where tasks share it at one time: no two spans of a track overlap.

    Parameters
    ----------
    starts, ends, engines : (n,) spans by increasing start.

    Returns
    -------
    names of the tracks, and the track of each span.
    """
    busy_until: list[list[float]] = [[] for _ in names]
    lane_of = []
    for start, end, engine in zip(starts, ends, engines.astype(int), strict=True):
        lanes = busy_until[engine]
        at = next((i for i, until in enumerate(lanes) if until <= start + 1e-12), len(lanes))
        lanes[at:at + 1] = [end]
        lane_of.append(at)
    tracks: list[str] = []
    base = []
    for name, lanes in zip(names, busy_until, strict=True):
        base.append(len(tracks))
        tracks += [name] if len(lanes) < 2 else [f"{name} lane {i + 1}" for i in range(len(lanes))]
    return tracks, [base[engine] + lane for engine, lane in zip(engines.astype(int), lane_of, strict=True)]


def timeline(detail: Any) -> dict[str, Any]:
    """Which request held which engine when; tasks that share a divisible engine are on lanes of their own, a batch is
    shown as its first request."""
    spans, slots = detail.records.spans, detail.prepared.chip.slots
    if not len(spans):
        return {}
    merged = _merged(spans[batches(spans)[:-1]])
    total = len(merged)
    merged = merged[:_MAX_SPANS]
    tracks, track_of = assign_tracks(merged[:, 0], merged[:, 1], merged[:, 3], [slot.name for slot in slots])
    return {
        "tracks": tracks,
        "start_s": _list(merged[:, 0], 7), "duration_s": _list(merged[:, 1] - merged[:, 0], 3),
        "track": track_of,
        "tenant": [int(detail.trace.tenant[int(r)]) for r in merged[:, 2]],
        "request": [int(r) for r in merged[:, 2]],
        "units": [int(u) for u in merged[:, 4]] if max(s.units for s in slots) > 1 else [],
        "shown": len(merged), "total": total,
    }


def heat(detail: Any) -> dict[str, Any]:
    """Busy share of each engine in equal slices of time, units weighted [-]."""
    spans, slots = detail.records.spans, detail.prepared.chip.slots
    if not len(spans):
        return {}
    end = float(spans[:, 1].max())
    edges = np.linspace(0.0, end, _BINS + 1)
    busy = np.zeros((len(slots), _BINS))
    for e, slot in enumerate(slots):
        mine = spans[spans[:, 4] == e]
        if not len(mine):
            continue
        weight = mine[:, 5] / slot.units
        # Busy time up to each edge: a span adds the part of it that lies before the edge.
        part = np.clip(edges[None, :] - mine[:, :1], 0.0, (mine[:, 1] - mine[:, 0])[:, None])
        busy[e] = np.diff(weight @ part) / (end / _BINS)
    return {"tracks": [s.name for s in slots], "end_s": _short(end, 6), "busy": [_list(row, 3) for row in busy]}


def energy_by_level(detail: Any, workload: Any) -> dict[str, float | None]:
    """Energy of the run by what spends it: the levels of the dynamic energy, leakage, scheduler [J].

    Levels are split as in `hwmodels.design_uncertainty`; what that does not reach (state saved, restored) is `other`.
    """
    from hwmodels.design_uncertainty import dynamic_energy_j

    whole = dict(detail.outcome.breakdown.get("energy_j", {}))
    if detail.records is None or "dynamic" not in whole:
        return {name: _short(joules) for name, joules in whole.items()}
    dynamic, found = whole.pop("dynamic"), dict[str, float]()
    for (_, level), joules in dynamic_energy_j(detail, workload).items():
        found[level] = found.get(level, 0.0) + joules
    rest = dynamic - sum(found.values())
    found |= {"other": rest} if rest > 1e-3 * dynamic else {}
    return {name: _short(joules) for name, joules in (found | whole).items()}


def detail_payload(detail: Any, workload: Any) -> dict[str, Any]:
    """JSON-able details of one evaluated design.

    Parameters
    ----------
    detail : `hwmodels.evaluate.Detail` recorded with spans.
    workload : the workload it was evaluated under.
    """
    outcome = detail.outcome
    breakdown = outcome.breakdown
    found: dict[str, Any] = {
        "status": outcome.status,
        "engines": engines_of(detail.prepared.chip),
        "dram_bytes_per_s": detail.prepared.chip.dram_bytes_per_s,
        "area_mm2": {k: _short(v) for k, v in breakdown.get("area_mm2", {}).items()},
        "energy_j": energy_by_level(detail, workload),
        "utilisation": {k: _short(v, 3) for k, v in breakdown.get("engine_utilisation_frac", {}).items()},
        "time_frac": {k.removeprefix("time_frac."): {n: _short(v, 3) for n, v in shares.items()}
                      for k, shares in breakdown.items() if k.startswith("time_frac.") and shares},
        "tenant_energy_j": {t: _short(m["energy_j"]) for t, m in outcome.tenants.items() if "energy_j" in m},
        "tenants": [t.name for t in workload.tenants],
    }
    if detail.trace is not None and detail.records is not None:
        found |= {"roofline": roofline(detail, workload), "latency": latencies(detail, workload),
                  "timeline": timeline(detail), "heat": heat(detail)}
    return found


def study_of(run: RunData) -> "Study | None":
    """The study of a run; None where this version cannot read it any more."""
    from dse.documents import load_study

    try:
        return load_study(run.path / "study.yaml")
    except (DseError, ModelError):
        return None


def run_details(run: RunData, study: "Study | None", limit: int = MAX_DETAILS) -> RunDetails:
    """Evaluate the chosen designs of a run again; without its study there are none."""
    from dse.dump import dump_design
    from dse.robust import see
    from hwmodels.evaluate import evaluate_detail

    trials = chosen_trials(run, limit)
    if not trials or study is None:
        return RunDetails({}, None)
    details: dict[int, dict[str, Any]] = {}
    breakdown: Mapping[str, Mapping[str, float]] | None = None
    for trial in trials:
        try:
            design = study.design(run.params(run.row(trial)))
            scenario = see(study, design).scenario if study.robust else study.scenarios[0]
            detail = evaluate_detail(design, scenario.workload, seed=scenario.seed)
        except (KeyError, ModelError):  # parameters of an older version: the page shows what the tables hold
            continue
        details[trial] = detail_payload(detail, scenario.workload)
        if study.robust:
            details[trial] |= {"scenario": scenario.name, "scenarios": run.scenarios_of(trial)}
        if trial == trials[0]:
            breakdown = detail.outcome.breakdown
        details[trial]["yaml"] = dump_design(design, seed=study.seed, provenance={
            "study": study.name, "trial": trial, "budgets": dict(study.budgets), "params": run.params(run.row(trial))})
    return RunDetails(details, breakdown)


def constants_table() -> list[dict[str, Any]]:
    """The constants of the technology model with range, trust and source."""
    from hwmodels.technology import CONSTANTS

    return [{"key": c.key, "value": _short(c.value), "low": _short(c.low), "high": _short(c.high), "unit": c.unit,
             "node_nm": c.node_nm, "trust": c.trust, "source": c.source} for c in CONSTANTS.values()]
