"""Policies on one design: the same hardware, the same requests, the schedulers side by side.

Model
-----
Every policy faces the requests of the same seeds (common random numbers), so that the difference to the reference is
taken seed by seed: its interval is that of the paired differences, and is much narrower than those of the means.
Intervals are two-sided 95 % ones of Student's t with n - 1 degrees of freedom; each holds by itself (no correction for
looking at several policies and metrics). Infinite values (p99 of a tenant whose requests are dropped) have no interval;
there the sign test decides which policy is better.

References
----------
A. M. Law, Simulation Modeling and Analysis, 5th ed., 2015, sections 4.5, 10.2.1 (paired-t), 11.2 (common random
numbers). t distribution: M. Abramowitz, I. Stegun, Handbook of Mathematical Functions, 1964, 26.7.3 and 26.7.4.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dse.errors import InputError, Problem, did_you_mean
from dse.objective import minimised
from hwmodels.design import Design
from hwmodels.errors import InvalidPolicy
from hwmodels.outcome import ANSWER_METRICS, METRICS, OBJECTIVES, Outcome
from hwmodels.policies import POLICIES
from hwmodels.policies.base import HIDDEN_TRUTH
from hwmodels.workload import Workload

__all__ = ["CONFIDENCE_FRAC", "DEFAULT_METRICS", "Comparison", "Entry", "Estimate", "compare_policies",
           "default_policies", "estimate", "figure", "sentence", "student_t", "table"]

Floats = NDArray[np.float64]

CONFIDENCE_FRAC = 0.95
_LISTED = 6  # names in a sentence
DEFAULT_METRICS = ("p99_deadline_frac", "slo_violation_frac", "antt", "stp", "fairness_frac", "mean_latency_s",
                   "p99_latency_s", "energy_j")


# --- statistics -------------------------------------------------------------------------------------------------------


def _within(t: float, dof: int) -> float:
    """P(|T| <= t) of Student's t with an integer number of degrees of freedom: a finite sum, exact."""
    theta = math.atan(t / math.sqrt(dof))
    cos, sin = math.cos(theta), math.sin(theta)
    term, total = (cos, cos) if dof % 2 else (1.0, 1.0)
    for k in range(3 if dof % 2 else 2, dof, 2):
        term *= cos * cos * (k - 1) / k
        total += term
    if dof % 2 == 0:
        return sin * total
    return 2.0 / math.pi * (theta + (sin * total if dof > 1 else 0.0))


@cache
def student_t(dof: int, confidence_frac: float = CONFIDENCE_FRAC) -> float:
    """t with P(|T| <= t) = `confidence_frac`; dof >= 1 [-]."""
    low, high = 0.0, 1.0
    while _within(high, dof) < confidence_frac:
        high *= 2.0
    for _ in range(200):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _within(middle, dof) < confidence_frac else (low, middle)
    return high


class Estimate(NamedTuple):
    """Mean over the seeds and half the width of its interval; NaN where there is none."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half


def estimate(values: Floats) -> Estimate:
    """Mean and interval of independent values without the NaN ones; one value, or an infinite one, has no interval."""
    known = values[~np.isnan(values)]
    if not len(known):
        return Estimate(math.nan, math.nan)
    if not np.isfinite(known).all():
        # both signs cannot meet in one metric, so the mean is that infinity
        return Estimate(float(known[~np.isfinite(known)][0]), math.nan)
    if len(known) < 2:
        return Estimate(float(known[0]), math.nan)
    spread = float(known.std(ddof=1)) if known.min() < known.max() else 0.0
    return Estimate(float(known.mean()), student_t(len(known) - 1) * spread / math.sqrt(len(known)))


def _sign(differences: Floats) -> int:
    """-1 or 1 where the differences are surely below or above zero, else 0."""
    known = differences[~np.isnan(differences)]
    if len(known) and not np.isfinite(known).all():
        below, above = int((known < 0.0).sum()), int((known > 0.0).sum())
        tail = sum(math.comb(below + above, k) for k in range(min(below, above) + 1)) / 2.0 ** (below + above)
        return 0 if 2.0 * tail > 1.0 - CONFIDENCE_FRAC else (1 if above > below else -1)
    mean, half = estimate(known)
    return 0 if not abs(mean) > half else (1 if mean > 0.0 else -1)


# --- comparison -------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, kw_only=True)
class Entry:
    """One policy.

    Parameters
    ----------
    reason : why it cannot run on the design, '' if it can; the rest is then empty.
    values : metric -> one value per seed, shape (seeds,); NaN where it has none.
    estimates, differences : metric -> mean; and mean of (this - reference) seed by seed.
    verdicts : metric -> `better` or `worse` than the reference, '' where the difference may be zero.
    """

    policy: str
    params: dict[str, float]
    reason: str = ""
    values: dict[str, Floats]
    estimates: dict[str, Estimate]
    differences: dict[str, Estimate]
    verdicts: dict[str, str]

    @property
    def oracle(self) -> bool:
        """Whether it reads what no scheduler can know."""
        return bool(HIDDEN_TRUTH & set(POLICIES[self.policy].needs))


@final
@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Policies on one design; `entries` in the order asked, the reference is one of them."""

    reference: str
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()

    @property
    def ran(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.reason]

    def ranked(self, metric: str) -> list[Entry]:
        """Entries that ran, best mean first; ties and unknown ones in the order asked."""
        sign = 1.0 if minimised(metric) else -1.0
        return sorted(self.ran, key=lambda e: (math.isnan(m := e.estimates[metric].mean), sign * m))

    def as_dict(self) -> dict[str, Any]:
        """For JSON; unknown numbers are NaN (null)."""
        def shown(found: Mapping[str, Estimate], mean: str) -> dict[str, dict[str, float]]:
            return {metric: {mean: e.mean, "low": e.low, "high": e.high} for metric, e in found.items()}

        return {
            "reference": self.reference, "confidence_frac": CONFIDENCE_FRAC, "seeds": list(self.seeds),
            "metrics": list(self.metrics), "notes": list(self.notes),
            "policies": [{
                "policy": e.policy, "params": e.params, "oracle": e.oracle, "reason": e.reason,
                "metrics": shown(e.estimates, "mean"), "differences": shown(e.differences, "mean"),
                "verdicts": e.verdicts,
                "values": {m: v.tolist() for m, v in e.values.items()},
            } for e in self.entries],
        }


def _metric_problems(metrics: Sequence[str], workload: Workload) -> list[Problem]:
    """Each must be `METRIC` or `TENANT.METRIC`."""
    problems = [] if metrics else [Problem(field="--metric", message="must name at least one metric")]
    known = [*OBJECTIVES, *(f"{t.name}.{name}" for t in workload.tenants for name, metric in METRICS.items()
                            if metric.per_tenant and (t.steps > 1 or name not in ANSWER_METRICS))]
    for metric in metrics:
        if metric not in known:
            problems.append(Problem(field="--metric", hint=did_you_mean(metric, known),
                                    message=f"must be a metric of `dse list metrics` or TENANT.METRIC, got {metric!r}"))
    return problems


def default_policies() -> tuple[str, ...]:
    """FCFS, the reference, then all the others."""
    return tuple(dict.fromkeys(["fcfs", *POLICIES]))


def _policy_problems(policies: Sequence[str]) -> list[Problem]:
    problems = [Problem(field="--policies", hint=did_you_mean(name, POLICIES),
                        message=f"must be policies of `dse list policies`, got {name!r}")
                for name in policies if name not in POLICIES]
    if not policies:
        problems.append(Problem(field="--policies", message="must name at least one policy"))
    return problems


def _metric(outcome: Outcome, name: str) -> float:
    if name in outcome.metrics:
        return outcome.metrics[name]
    tenant, _, metric = name.rpartition(".")
    return outcome.tenants.get(tenant, {}).get(metric, math.nan)


def _run(design: Design, workload: Workload, seeds: Sequence[int], metrics: Sequence[str]) -> tuple[Floats, list[str]]:
    """(seeds, metrics) values, and what the outcomes say; raises `InvalidPolicy` when the machine is not for it."""
    from hwmodels.capacity import evaluate_judged

    outcomes = [evaluate_judged(design, workload, seed=seed, metrics=metrics) for seed in seeds]
    values = np.array([[_metric(o, m) if o.ok else math.nan for m in metrics] for o in outcomes], dtype=float)
    return values.reshape(len(seeds), len(metrics)), [o.status for o in outcomes]


def _gap(mine: Floats, other: Floats) -> Floats:
    """Differences seed by seed; two infinite values are equal."""
    with np.errstate(invalid="ignore"):
        return np.where(mine == other, 0.0, mine - other)


def _verdict(metric: str, gap: Floats) -> str:
    sign = _sign(gap)
    return "" if not sign else "better" if (sign < 0) == minimised(metric) else "worse"


def _policy_params(design: Design, name: str) -> dict[str, float]:
    """The design's own policy keeps its parameters, others take their defaults."""
    return dict(design.policy_params) if name == design.policy else {}


def compare_policies(design: Design, workload: Workload, *, policies: Sequence[str] | None = None,
                     seeds: Sequence[int] = tuple(range(10)),
                     metrics: Sequence[str] = DEFAULT_METRICS) -> Comparison:
    """Evaluate the design with every policy under every seed.

    Parameters
    ----------
    policies : the first that can run is the reference; by default all of the catalogue, FCFS first.
    seeds : of the traffic, the same for every policy.
    metrics : `METRIC` or `TENANT.METRIC`.

    Raises
    ------
    InputError : an unknown policy or metric, no seed.
    ModelError : the design contradicts itself or the workload.
    """
    names = tuple(dict.fromkeys(default_policies() if policies is None else policies))
    metrics = tuple(dict.fromkeys(metrics))
    problems = [*_policy_problems(names), *_metric_problems(metrics, workload)]
    if not seeds:
        problems.append(Problem(field="--seeds", message="must be >= 1, got 0"))
    if problems:
        raise InputError(*problems)
    entries: list[Entry] = []
    notes: list[str] = []
    reference: dict[str, Floats] = {}
    for name in names:
        params = _policy_params(design, name)
        reason, values, statuses = "", np.empty((0, len(metrics))), [""]
        try:
            values, statuses = _run(replace(design, policy=name, policy_params=params), workload, seeds, metrics)
        except InvalidPolicy as error:
            if error.field != "policy":
                raise
            reason = f"{name} cannot run on {design.architecture.name}: {error.hint or error.rule}"
        if not reason and all(status != "ok" for status in statuses):
            reason = statuses[0]
        if reason:
            entries.append(Entry(policy=name, params=params, reason=reason, values={}, estimates={}, differences={},
                                 verdicts={}))
            continue
        lost = [seed for seed, status in zip(seeds, statuses, strict=True) if status != "ok"]
        if lost and not reference:
            notes.append(f"left out: seed {', '.join(map(str, lost))} ({next(s for s in statuses if s != 'ok')})")
        columns = {metric: values[:, i] for i, metric in enumerate(metrics)}
        if not reference:
            reference, chosen = columns, name
        gaps = {m: _gap(columns[m], reference[m]) for m in metrics} if name != chosen else {}
        entries.append(Entry(policy=name, params=params, values=columns,
                             estimates={m: estimate(columns[m]) for m in metrics},
                             differences={m: estimate(gap) for m, gap in gaps.items()},
                             verdicts={m: _verdict(m, gap) for m, gap in gaps.items()}))
    if len(seeds) > 1 and reference and all(len(set(column.tolist())) == 1 for column in reference.values()):
        notes.append("every seed gives the same requests (the traffic is not random): intervals have no width")
    return Comparison(reference=chosen if reference else "", seeds=tuple(seeds), metrics=metrics,
                      entries=tuple(entries), notes=tuple(notes))


# --- what to show -----------------------------------------------------------------------------------------------------


def _cell(metric: str, found: Estimate) -> str:
    """`12.3 ms +- 0.4`: mean with its unit, half width in the same unit."""
    from dse.report.words import quantity

    text = quantity(metric, found.mean)
    if not math.isfinite(found.half) or not math.isfinite(found.mean):
        return text
    if found.half == 0.0 or found.mean == 0.0:
        return f"{text} +- {quantity(metric, found.half)}" if found.half else f"{text} +- 0"
    number, _, unit = text.partition(" ")
    scale = found.mean / float(number) if float(number) else 1.0
    return f"{number} +- {abs(found.half / scale):.2g}{' ' + unit if unit else ''}"


def table(comparison: Comparison, width: int | None = None) -> list[str]:
    """Lines of text: policies that ran by the first metric, best first; `*` better and `!` worse than the reference.

    Parameters
    ----------
    width : columns to fit into, by default the terminal's; more metrics than fit make another block of lines.
    """
    from dse.report.words import label

    width = shutil.get_terminal_size((140, 24)).columns if width is None else width
    marks = {"better": "*", "worse": "!", "": " "}
    ranked = comparison.ranked(comparison.metrics[0])
    names = ["policy"]
    for entry in ranked:
        name = f"{entry.policy} (oracle)" if entry.oracle else entry.policy
        names.append(f"{name} = reference" if entry.policy == comparison.reference else name)
    blocks: list[list[list[str]]] = [[]]
    room = first = width - max(map(len, names))
    for metric in comparison.metrics:
        column = [f"{label(metric)} "]
        column += [f"{_cell(metric, e.estimates[metric])}{marks[e.verdicts.get(metric, '')]}" for e in ranked]
        wide = max(map(len, column)) + 2
        if wide > room and blocks[-1]:
            blocks.append([])
            room = first
        room -= wide
        blocks[-1].append(column)
    lines: list[str] = []
    for block in blocks:
        lines += [""] * bool(lines) + _aligned(names, block)
    return lines


def _aligned(names: Sequence[str], columns: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table from its columns, header first."""
    widths = [max(map(len, column)) for column in (names, *columns)]
    lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
             .rstrip() for row in zip(names, *columns, strict=True)]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def sentence(comparison: Comparison) -> str:
    """Which policy is best in the first metric, by how much, and which ones cannot be told from it."""
    from dse.report.words import comparison as against
    from dse.report.words import label, quantity

    metric = comparison.metrics[0]
    ranked = [e for e in comparison.ranked(metric) if not e.oracle] or comparison.ranked(metric)
    if not ranked:
        return "No policy can run."
    best = ranked[0]
    if len(ranked) > 1 and all((_gap(e.values[metric], best.values[metric]) == 0.0).all() for e in ranked):
        return f"All policies have the same {label(metric)}: {quantity(metric, best.estimates[metric].mean)}."
    text = f"Best in {label(metric)}: {best.policy} with {quantity(metric, best.estimates[metric].mean)}"
    worst = ranked[-1]
    if worst is not best:
        gap = against(metric, best.estimates[metric].mean, worst.estimates[metric].mean)
        text += f"; {worst.policy}, the last, has {gap}"
    if len(comparison.seeds) > 1:
        equal = [e.policy for e in ranked[1:] if not _verdict(metric, _gap(e.values[metric], best.values[metric]))]
        if equal:
            more = f" and {len(equal) - _LISTED} more" if len(equal) > _LISTED else ""
            text += f"; no sure difference to {', '.join(equal[:_LISTED])}{more}"
    return text + "."


def figure(comparison: Comparison, title: str) -> Any:
    """One panel per metric: mean and interval of every policy; a line marks the reference. A plotly figure."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    from dse.report.words import label

    ranked = comparison.ranked(comparison.metrics[0])[::-1]  # the first at the top
    colours = {"better": "#0072B2", "worse": "#D55E00", "": "#555555"}  # told apart by colour-blind readers
    columns = min(4, len(comparison.metrics))
    rows = math.ceil(len(comparison.metrics) / columns)
    height = 28 * len(ranked) + 90
    fig = make_subplots(rows=rows, cols=columns, shared_yaxes=True, horizontal_spacing=0.02,
                        vertical_spacing=min(0.9 / max(1, rows - 1), 80 / (rows * height)),
                        subplot_titles=[label(metric) for metric in comparison.metrics])
    for i, metric in enumerate(comparison.metrics):
        row, column = i // columns + 1, i % columns + 1
        found = [entry.estimates[metric] for entry in ranked]
        verdicts = [entry.verdicts.get(metric, "") for entry in ranked]
        names = [entry.policy for entry in ranked]
        fig.add_trace(go.Scatter(
            x=[e.mean if math.isfinite(e.mean) else None for e in found], y=names, mode="markers", showlegend=False,
            marker={"size": 9, "color": [colours[v] for v in verdicts],
                    "symbol": [{"better": "triangle-left", "worse": "x", "": "circle"}[v] for v in verdicts]},
            error_x={"type": "data", "array": [e.half if math.isfinite(e.half) else 0.0 for e in found],
                     "color": "#888888"},
            hovertext=[f"{name}: {_cell(metric, e)}{f', {v} than {comparison.reference}' if v else ''}"
                       for name, e, v in zip(names, found, verdicts, strict=True)], hoverinfo="text"),
            row=row, col=column)
        reference = next(e.estimates[metric].mean for e in ranked if e.policy == comparison.reference)
        if math.isfinite(reference):
            fig.add_vline(x=reference, line={"dash": "dot", "width": 1, "color": "#888888"}, row=row, col=column)
        unit = OBJECTIVES[metric.rpartition(".")[2]].unit
        fig.update_xaxes(title_text="" if unit == "-" else unit, row=row, col=column)
    fig.update_layout(
        template="plotly_white", height=rows * height + 90, margin={"l": 120, "r": 20, "t": 100, "b": 50},
        title={"text": f"{title}<br><sub>{len(comparison.seeds)} seeds, 95 % intervals; dotted: "
                       f"{comparison.reference}; triangle: better, cross: worse than it (paired)</sub>"})
    return fig
