"""Figures of a run and of a design, for notebooks: every function returns a plotly figure.

Colours are those of Okabe and Ito (2008), told apart by colour-blind readers; classes also differ by symbol.
"""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dse.advice import ranked_front
from dse.errors import InputError, Problem, did_you_mean
from dse.pareto import front_indices, hypervolume, reference_point
from dse.report.detail import latencies, roofline, timeline
from dse.report.rundata import RunData, metric_column
from dse.report.words import describe_hardware, describe_policy, label, parameter, quantity
from hwmodels.outcome import OBJECTIVES
from hwmodels.workload import Workload

__all__ = ["breakdown_figure", "history_figure", "latency_figure", "limits_figure", "parallel_figure", "pareto_figure",
           "roofline_figure", "timeline_figure"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_CLASSES = {"time_mux": ("#0072B2", "circle"), "composable": ("#D55E00", "square"),
            "heterogeneous": ("#009E73", "diamond"), "dedicated": ("#CC79A7", "triangle-up")}
_HISTORY_POINTS = 80


def _axis(metric: str) -> str:
    unit = OBJECTIVES[metric.rpartition(".")[2]].unit
    return label(metric) if unit == "-" else f"{label(metric)} [{unit}]"


def _column(run: RunData, metric: str) -> str:
    column = metric_column(metric)
    if column not in run.trials.columns:
        known = [*run.metrics, *(c.removeprefix("tenants.") for c in run.trials.columns if c.startswith("tenants."))]
        raise InputError(Problem(field="metric", message=f"must be a metric of the run, got {metric!r}",
                                 hint=did_you_mean(metric, known)))
    return column


def _hover(run: RunData, row: Any) -> str:
    params = run.params(row)
    values = "".join(f"<br>{label(o.metric)}: {quantity(o.metric, float(row[metric_column(o.metric)]))}"
                     for o in run.objectives)
    return f"trial {row['trial']}<br>{describe_hardware(params)}<br>{describe_policy(params)}{values}"


def pareto_figure(run: RunData, x: str | None = None, y: str | None = None) -> go.Figure:
    """Feasible designs over two metrics: the front by class, the recommended design, dominated ones in grey.

    Parameters
    ----------
    x, y : metrics; by default the first two objectives (of a single one: over the trials).
    """
    names = [o.metric for o in run.objectives]
    x = x or (names[0] if len(names) > 1 else None)
    y = y or names[min(1, len(names) - 1)]
    x_column, y_column = (_column(run, x) if x else "trial"), _column(run, y)
    fig = go.Figure()
    on_front = set(run.front["trial"])
    rest = run.feasible[~run.feasible["trial"].isin(on_front)]
    fig.add_trace(go.Scatter(x=rest[x_column], y=rest[y_column], mode="markers", name="dominated", hoverinfo="text",
                             hovertext=[_hover(run, row) for row in rest.to_dict("records")],
                             marker={"color": "#BBBBBB", "size": 5}))
    ranked = ranked_front(run)
    kinds = ranked["params.architecture"].astype(str)
    for kind in dict.fromkeys(kinds):
        rows = ranked[kinds == kind]
        colour, symbol = _CLASSES.get(kind, ("#000000", "circle"))
        fig.add_trace(go.Scatter(x=rows[x_column], y=rows[y_column], mode="markers", name=kind, hoverinfo="text",
                                 hovertext=[_hover(run, row) for row in rows.to_dict("records")],
                                 marker={"color": colour, "symbol": symbol, "size": 10}))
    best = ranked.head(1)
    fig.add_trace(go.Scatter(x=best[x_column], y=best[y_column], mode="markers", name="best compromise",
                             hoverinfo="skip", marker={"color": "rgba(0,0,0,0)", "size": 18,
                                                       "line": {"color": "#000000", "width": 2}}))
    for metric, line in ((x, fig.add_vline), (y, fig.add_hline)):
        if metric in run.budgets:
            line(run.budgets[metric], line={"dash": "dot", "color": "#888888"}, annotation_text="budget")
    fig.update_layout(template="plotly_white", title=f"{run.name}: {len(run.feasible)} feasible of {len(run.trials)}",
                      xaxis_title=_axis(x) if x else "trial", yaxis_title=_axis(y))
    return fig


def history_figure(run: RunData) -> go.Figure:
    """Progress of the search: hypervolume of the feasible front (one objective: the best value) against trials."""
    signs = np.array([1.0 if o.minimise else -1.0 for o in run.objectives])
    ordered = run.feasible.sort_values("trial")
    points = np.stack([ordered[metric_column(o.metric)].to_numpy(dtype=float) for o in run.objectives], axis=1) * signs
    numbers = ordered["trial"].to_numpy()
    at = np.unique(np.linspace(0, max(0, len(points) - 1), min(len(points), _HISTORY_POINTS)).astype(int))
    if len(run.objectives) == 1:
        values = signs[0] * np.minimum.accumulate(points[:, 0])[at] if len(points) else np.empty(0)
        title = f"best {label(run.objectives[0].metric)}"
    else:
        bounds = [run.budgets.get(o.metric) if o.minimise else None for o in run.objectives]
        reference = reference_point(points, bounds)
        values = np.array([hypervolume(points[: i + 1][front_indices(points[: i + 1])], reference) for i in at])
        title = "hypervolume"
    fig = go.Figure(go.Scatter(x=numbers[at] + 1 if len(at) else [], y=values, mode="lines", line={"shape": "hv"}))
    fig.update_layout(template="plotly_white", title=f"{run.name}: {title}", xaxis_title="trials", yaxis_title=title)
    return fig


def timeline_figure(detail: Any, workload: Workload, title: str = "") -> go.Figure:
    """Which tenant held which engine when.

    Parameters
    ----------
    detail : `hwmodels.evaluate.Detail` recorded with spans.
    """
    found = timeline(detail)
    fig = go.Figure()
    for index, tenant in enumerate(workload.tenants):
        mine = [i for i, owner in enumerate(found.get("tenant", [])) if owner == index]
        fig.add_trace(go.Bar(
            orientation="h", name=tenant.name, marker={"color": _COLOURS[index % len(_COLOURS)], "line": {"width": 0}},
            base=[found["start_s"][i] for i in mine], x=[found["duration_s"][i] for i in mine],
            y=[found["tracks"][found["track"][i]] for i in mine], hoverinfo="text",
            hovertext=[f"{tenant.name}, request {found['request'][i]}<br>from {found['start_s'][i]:.6g} s for "
                       f"{found['duration_s'][i]:.3g} s" for i in mine]))
    cut = found.get("shown", 0) < found.get("total", 0)
    note = f" (first {found['shown']:,} of {found['total']:,} stretches)" if cut else ""
    fig.update_layout(template="plotly_white", barmode="overlay", title=title + note, xaxis_title="time [s]",
                      yaxis={"autorange": "reversed"}, height=max(320, 160 + 60 * len(found.get("tracks", []))))
    return fig


def latency_figure(detail: Any, workload: Workload, title: str = "") -> go.Figure:
    """Distribution of each tenant's latency, with its deadline."""
    fig = go.Figure()
    for i, (name, found) in enumerate(latencies(detail, workload).items()):
        colour = _COLOURS[i % len(_COLOURS)]
        fig.add_trace(go.Scatter(x=found["latency_s"], y=found["frac"], name=name, legendgroup=name, mode="lines",
                                 line={"shape": "hv", "color": colour}))
        if found["deadline_s"] is not None:
            fig.add_trace(go.Scatter(x=[found["deadline_s"]] * 2, y=[0.0, 1.0], mode="lines", legendgroup=name,
                                     showlegend=False, hovertext=f"deadline of {name}",
                                     line={"dash": "dot", "color": colour}))
    fig.update_layout(template="plotly_white", title=title, xaxis={"title": "latency [s]", "type": "log"},
                      yaxis_title="share of requests")
    return fig


def breakdown_figure(outcome: Any, title: str = "") -> go.Figure:
    """Area and energy by part, as shares; hover for the values."""
    fig = go.Figure()
    for quantity_name, unit in (("area_mm2", "mm2"), ("energy_j", "J")):
        parts = outcome.breakdown.get(quantity_name, {})
        total = sum(parts.values()) or 1.0
        for part, value in parts.items():
            fig.add_trace(go.Bar(orientation="h", y=[label(quantity_name)], x=[value / total], name=part,
                                 hoverinfo="text", hovertext=f"{part}: {value:.4g} {unit} ({value / total:.0%})",
                                 text=part if value / total > 0.06 else "", showlegend=False))
    fig.update_layout(template="plotly_white", barmode="stack", title=title, xaxis={"tickformat": ".0%"}, height=260)
    return fig


def limits_figure(outcome: Any, title: str = "") -> go.Figure:
    """Where the time of each tenant's requests goes: waiting, compute, DRAM and so on, as shares."""
    shares = {key.removeprefix("time_frac."): parts for key, parts in outcome.breakdown.items()
              if key.startswith("time_frac.")}
    kinds = dict.fromkeys(kind for parts in shares.values() for kind in parts)
    fig = go.Figure([
        go.Bar(orientation="h", name=kind, y=list(shares), x=[parts.get(kind, 0.0) for parts in shares.values()],
               marker={"color": _COLOURS[i % len(_COLOURS)]}) for i, kind in enumerate(kinds)])
    fig.update_layout(template="plotly_white", barmode="stack", title=title, xaxis={"tickformat": ".0%"},
                      yaxis={"autorange": "reversed"}, xaxis_title="share of the time in the system")
    return fig


def roofline_figure(detail: Any, workload: Workload, title: str = "") -> go.Figure:
    """Layers on their fastest engine: MAC/s against MACs per DRAM byte, size by share of their network's time."""
    found = roofline(detail, workload)
    fig = go.Figure()
    low, high = (min(found["intensity"], default=1.0) / 2, max(found["intensity"], default=1.0) * 2)
    for roof in found["roofs"]:
        x = np.geomspace(low, high, 100)
        fig.add_trace(go.Scatter(x=x, y=np.minimum(roof["macs_per_s"], x * roof["dram_bytes_per_s"]), mode="lines",
                                 name=roof["name"], line={"color": "#777777"}))
    for index, tenant in enumerate(workload.tenants):
        mine = [i for i, owner in enumerate(found["tenant"]) if owner == index]
        fig.add_trace(go.Scatter(
            x=[found["intensity"][i] for i in mine], y=[found["macs_per_s"][i] for i in mine], mode="markers",
            name=tenant.name, hovertext=[f"{found['layer'][i]}: limited by {found['limit'][i]}" for i in mine],
            marker={"color": _COLOURS[index % len(_COLOURS)], "size": [6 + 16 * found["share"][i] ** 0.5
                                                                                    for i in mine]}))
    fig.update_layout(template="plotly_white", title=title, xaxis={"type": "log", "title": "MACs per DRAM byte"},
                      yaxis={"type": "log", "title": "MAC/s"})
    return fig


def parallel_figure(run: RunData) -> go.Figure:
    """Parallel coordinates of the front: every parameter that differs on it, and the objectives."""
    ranked = ranked_front(run)
    dimensions: list[dict[str, Any]] = []
    for name in run.parameters:
        column = ranked[f"params.{name}"]
        values = [None if v is None or (isinstance(v, float) and math.isnan(v)) else v for v in column]
        known = sorted({v for v in values if v is not None}, key=lambda v: (isinstance(v, str), v))
        if len(known) + (None in values) > 1:  # an inactive parameter is at the bottom
            places = {v: i for i, v in enumerate([None, *known] if None in values else known)}
            dimensions.append({"label": name, "values": [places[v] for v in values], "tickvals": list(places.values()),
                               "ticktext": ["-" if v is None else parameter(name, v) for v in places]})
    dimensions += [{"label": _axis(o.metric), "values": ranked[metric_column(o.metric)].astype(float).tolist()}
                   for o in run.objectives]
    fig = go.Figure(go.Parcoords(dimensions=dimensions, line={"color": ranked["score"], "colorscale": "Cividis",
                                                              "showscale": True, "colorbar": {"title": "score"}}))
    fig.update_layout(template="plotly_white", title=f"{run.name}: the front, best compromise darkest")
    return fig
