"""What the page knows, as one JSON-able mapping of columns; figures are drawn from it in the browser."""

import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import yaml

from dse.advice import advise, margins, ranked_front, recommended
from dse.errors import DseError
from dse.pareto import hypervolume_curve, reference_point
from dse.report.rundata import RunData, metric_column
from dse.report.words import describe_hardware, describe_policy, label
from hwmodels.outcome import OBJECTIVES

__all__ = ["columns_of", "embed", "payload"]

_TENANT_METRICS = ("p99_latency_s", "p99_deadline_frac", "slo_violation_frac", "p99_ttft_s", "p99_tpot_s")
"""Shown for every trial; the others of a tenant stay in trials.csv: they would triple the page."""
_HISTORY_POINTS = 100
_MAX_YAML = 200
_MAX_TENANT_CELLS = 250_000
"""Numbers of tenants in the page (about 1.5 MB); above that only the front carries them."""


def _number(value: float) -> float | int | None:
    """Five significant digits: finer than any plot, a third of the size."""
    value = float(value)
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.5g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _coded(values: Iterable[Any]) -> dict[str, list[Any]]:
    """A column of few distinct values as codes; code -1 = inactive."""
    found: dict[Any, int] = {}
    codes = [-1 if v is None or (isinstance(v, float) and math.isnan(v)) else found.setdefault(v, len(found))
             for v in values]
    return {"values": [v.item() if hasattr(v, "item") else v for v in found], "codes": codes}


def columns_of(run: RunData) -> dict[str, Any]:
    """Trials as columns."""
    frame = run.trials
    tenants: dict[str, dict[str, list[Any]]] = {}
    shown = np.ones(len(frame), dtype=bool)
    if len(frame) * len(run.tenants) * len(_TENANT_METRICS) > _MAX_TENANT_CELLS:
        shown = frame["trial"].isin(set(run.front["trial"])).to_numpy()
    for tenant in run.tenants:
        tenants[tenant] = {
            m: [_number(v) if keep else None
                for v, keep in zip(frame[f"tenants.{tenant}.{m}"], shown, strict=True)] for m in _TENANT_METRICS
            if f"tenants.{tenant}.{m}" in frame.columns}
    rows = frame.to_dict("records")
    return {
        "trial": [int(t) for t in frame["trial"]],
        "state": _coded(frame["state"]),
        "status": _coded(frame["status"]),
        "feasible": [int(f) for f in frame["feasible"]],
        "params": {name: _coded(frame[f"params.{name}"]) for name in run.parameters},
        "metrics": {name: [_number(v) for v in frame[name]] for name in run.metrics},
        "extra": {m: [_number(v) for v in frame[metric_column(m)]]
                  for m in dict.fromkeys([*(o.metric for o in run.objectives), *run.budgets])
                  if m not in run.metrics and metric_column(m) in frame.columns},
        "tenants": tenants,
        "hardware": _coded(describe_hardware(run.params(row)) for row in rows),
    }


def history(run: RunData) -> dict[str, Any]:
    """Hypervolume of the feasible designs after so many trials, in trial order."""
    frame = run.trials.sort_values("trial", kind="stable")
    signs = np.array([1.0 if o.minimise else -1.0 for o in run.objectives])
    values = frame[[metric_column(o.metric) for o in run.objectives]].to_numpy(dtype=float) * signs
    usable = frame["feasible"].to_numpy() & np.isfinite(values).all(axis=1)
    bounds = [run.budgets[o.metric] * sign if o.metric in run.budgets else None
              for o, sign in zip(run.objectives, signs, strict=True)]
    reference = reference_point(values[usable], bounds)
    curve = hypervolume_curve(values, usable, reference, _HISTORY_POINTS)
    spent_s = np.cumsum(np.nan_to_num(frame["duration_s"].to_numpy(dtype=float)))
    return {"trials": curve.trials, "hypervolume": [_number(v) for v in curve.hypervolume], "front": curve.front,
            "spent_s": [_number(spent_s[end - 1]) for end in curve.trials],
            "reference": {o.metric: _number(r * s)
                          for o, r, s in zip(run.objectives, reference, signs, strict=True)}}


def _metric_info(run: RunData) -> dict[str, dict[str, Any]]:
    names = dict.fromkeys([*run.metrics, *(o.metric for o in run.objectives), *run.budgets])
    info = {}
    for name in names:
        record = OBJECTIVES.get(name.rpartition(".")[2])
        if record is not None:
            info[name] = {"label": label(name), "unit": record.unit, "minimise": run.minimise(name),
                          "meaning": record.meaning}
    return info


def designs_yaml(run: RunData) -> dict[str, str]:
    """Trial -> design YAML for the best of the front: as the run wrote it, or as an export makes it where it did not
    (yet), up to the first that this version cannot make."""
    from dse.exporters.design import design_text  # exporters read runs by way of `dse.report.rundata`

    made: dict[str, str] = {}
    with contextlib.suppress(DseError):
        for trial in (int(t) for t in ranked_front(run)["trial"].head(_MAX_YAML)):
            made[str(trial)] = design_text(run, trial)
    return made


def payload(run: RunData, details: Mapping[int, Mapping[str, Any]], constants: list[dict[str, Any]],
            breakdown: Mapping[str, Mapping[str, float]] | None = None,
            insight: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything the page shows.

    Parameters
    ----------
    details : trial -> what `dse.report.detail.detail_payload` makes.
    constants : rows of the table of constants.
    breakdown : of the recommended design, for the sentence of advice.
    insight : what `dse.report.insight.run_insight` makes.
    """
    found = advise(run, breakdown)
    ranked = ranked_front(run)
    return {
        "name": run.name,
        "advice": {"headline": found.headline, "sentence": found.sentence, "winner": found.winner,
                   "trial": found.trial, "limits": found.limits, "rivals": found.rivals},
        "recommended": recommended(run),
        "counts": {"trials": len(run.trials), "feasible": len(run.feasible), "failed": len(run.failed),
                   "front": len(run.front)},
        "objectives": [{"metric": o.metric, "minimise": o.minimise} for o in run.objectives],
        "budgets": run.budgets,
        "metrics": _metric_info(run),
        "ranking": [int(t) for t in ranked["trial"]],
        "margins": {str(int(row["trial"])): {m: _number(v) for m, v in margins(run, row).items()}
                    for row in ranked.to_dict("records")},
        "policies": {str(int(row["trial"])): describe_policy(run.params(row)) for row in ranked.to_dict("records")},
        "policy_notes": policy_notes(run),
        "columns": columns_of(run),
        "insight": dict(insight or {}),
        "history": history(run),
        "details": {str(trial): detail for trial, detail in details.items()},
        "yaml": designs_yaml(run),
        "manifest": run.manifest,
        "study_yaml": yaml.safe_dump(run.study, sort_keys=False, width=100, allow_unicode=True),
        "constants": constants,
    }


def policy_notes(run: RunData) -> dict[str, str]:
    """Policy -> its sentence and source, for the policies that were searched."""
    try:
        from hwmodels.policies import POLICIES
    except ImportError:
        return {}
    used = set(run.trials["params.policy"].dropna()) if "params.policy" in run.trials.columns else set()
    notes = {}
    for name in sorted(used & set(POLICIES)):
        record = POLICIES[name]
        source = getattr(record, "source", "")
        notes[name] = str(getattr(record, "summary", "")) + (f" ({source})" if source else "")
    return notes


def _finite(value: Any) -> Any:
    """Infinities and NaN become null: JSON has neither."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def embed(value: Any) -> str:
    """JSON that may stand inside a script element: no `<` is left that could end or open one."""
    text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
