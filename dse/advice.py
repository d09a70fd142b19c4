"""The answer of a run in words: the ranked front and one sentence of advice; `dse.terminal` prints it.

A front is ranked by the distance to its ideal corner, with every objective scaled to the range it has on the front
(compromise programming, M. Zeleny, 1973): the first is the recommended design. A class wins when that design is its
own; every other class is compared through its own nearest design.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dse.errors import NothingFeasible
from dse.report.rundata import Row, RunData, metric_column
from dse.report.words import budget_margin, comparison, describe_hardware, describe_policy, label, quantity
from dse.robust import worst_scenario

__all__ = ["Advice", "advise", "confidence_lines", "limits_sentence", "margins", "nothing_feasible", "ranked_front",
           "recommended", "scenario_table", "scores"]

Floats = NDArray[np.float64]

_LIMITS = {"dram": "DRAM", "sram": "SRAM", "vector": "vector unit", "noc": "on-chip links"}
_SHORT = {"p99_deadline_frac": "p99/deadline", "energy_per_inference_j": "energy/inf"}
_NEAR = 0.25
"""A budget with more room than this, as a share of it, does not limit a design."""
_LEVELS = (0.75, 0.5, 0.25)
"""Tighter budgets that are answered too, as shares of the one given."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to build.

    Parameters
    ----------
    headline : which class and design; the first words of the sentence.
    clauses : which class wins, by how much, what limits it.
    winner : class of the recommended design, '' when nothing is feasible.
    trial : the recommended design, or the one nearest to feasible; -1 when every trial failed.
    rivals : class -> its own best trial, for every other class with a feasible design.
    limits : what limits the recommended design.
    """

    headline: str
    clauses: tuple[str, ...]
    winner: str
    trial: int
    rivals: dict[str, int]
    limits: str

    @property
    def sentence(self) -> str:
        """The clauses in one."""
        return "; ".join(self.clauses) + "."


def _values(run: RunData, frame: pd.DataFrame) -> Floats:
    """(n, objectives), signed so that less is better."""
    signs = np.array([1.0 if o.minimise else -1.0 for o in run.objectives])
    columns = [frame[metric_column(o.metric)].to_numpy(dtype=float) for o in run.objectives]
    return np.stack(columns, axis=1) * signs if len(frame) else np.empty((0, len(signs)))


def scores(run: RunData, frame: pd.DataFrame) -> Floats:
    """Distance of each row to the ideal corner of the front, objectives scaled to their range on the front [-]."""
    front = _values(run, run.front)
    front = front[np.isfinite(front).all(axis=1)]
    points = _values(run, frame)
    if not len(front):
        return np.full(len(points), np.inf)
    ideal = front.min(axis=0)
    span = front.max(axis=0) - ideal
    # An objective that is constant on the front is scaled by its own size: others are still told apart by it.
    span = np.where(span > 0.0, span, np.maximum(np.abs(ideal), 1e-300))
    with np.errstate(invalid="ignore"):
        distance = np.sqrt((((points - ideal) / span) ** 2).sum(axis=1))
    return np.where(np.isfinite(distance), distance, np.inf)


def ranked_front(run: RunData) -> pd.DataFrame:
    """The front, best compromise first, with columns `rank` and `score`; ties by trial number."""
    frame = run.front.assign(score=scores(run, run.front))
    frame = frame.sort_values(["score", "trial"], kind="stable").reset_index(drop=True)
    return frame.assign(rank=np.arange(1, len(frame) + 1))


def _within(run: RunData, frame: pd.DataFrame, budgets: Mapping[str, float]) -> pd.DataFrame:
    keep = np.ones(len(frame), dtype=bool)
    for metric, bound in budgets.items():
        column = metric_column(metric)
        if column in frame.columns:
            values = frame[column].to_numpy(dtype=float)
            keep &= (values <= bound) if run.minimise(metric) else (values >= bound)
    return frame[keep]


def recommended(run: RunData) -> list[dict[str, Any]]:
    """Designs worth a look: the best compromise, the best of every objective, and the best compromise under tighter
    budgets of the first objective that has one.

    Returns
    -------
    list of `{"label", "trial"}`, a trial once (the labels of one trial are joined); empty without a feasible design.
    """
    ranked = ranked_front(run)
    if ranked.empty:
        return []
    found: list[tuple[str, int]] = [("best compromise", int(ranked["trial"].iloc[0]))]
    for objective in run.objectives:
        column = ranked[metric_column(objective.metric)]
        at = int(np.nanargmin(column.to_numpy() * (1.0 if objective.minimise else -1.0)))
        found.append((f"{'least' if objective.minimise else 'most'} {label(objective.metric)}",
                      int(ranked["trial"].iloc[at])))
    tight = next((o.metric for o in run.objectives if o.metric in run.budgets and o.minimise), None)
    if tight is not None and run.budgets[tight] > 0.0:
        tighter: dict[int, str] = {}  # of the bounds that one design serves best, the tightest
        for level in _LEVELS:
            bound = level * run.budgets[tight]
            inside = _within(run, ranked, {tight: bound})
            if not inside.empty:
                tighter[int(inside["trial"].iloc[0])] = f"best within {label(tight)} {quantity(tight, bound)}"
        found += [(text, trial) for trial, text in tighter.items()]
    labels: dict[int, list[str]] = {}
    for text, trial in found:
        labels.setdefault(trial, []).append(text)
    return [{"label": "; ".join(texts), "trial": trial} for trial, texts in labels.items()]


def _architecture(row: Row) -> str:
    return str(row.get("params.architecture") or "design")


def margins(run: RunData, row: Row) -> dict[str, float]:
    """Room left to each budget, as a fraction of it [-]; negative beyond it."""
    return {metric: budget_margin(bound, float(row[metric_column(metric)]), run.minimise(metric))
            for metric, bound in run.budgets.items() if metric_column(metric) in row}


def limits_sentence(run: RunData, row: Row,
                    breakdown: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """What limits a design: its worst tenant, where that tenant's time goes, and the tightest budget.

    Parameters
    ----------
    breakdown : of the design's `Outcome`; its `time_frac.TENANT` tells compute, memory and waiting apart.
    """
    parts: list[str] = []
    worst = {t: float(row[c]) for t in run.tenants if (c := f"tenants.{t}.p99_deadline_frac") in row}
    worst = {t: v for t, v in worst.items() if math.isfinite(v)}
    if worst:
        tenant = max(worst, key=lambda t: worst[t])
        parts.append(f"{tenant} (p99 at {worst[tenant]:.0%} of its deadline")
        shares = (breakdown or {}).get(f"time_frac.{tenant}", {})
        if shares:
            named = sorted(shares.items(), key=lambda item: -item[1])[:2]
            parts[-1] += "; its time is " + " and ".join(f"{v:.0%} {_LIMITS.get(k, k)}" for k, v in named if v >= 0.01)
        else:
            busy = [f"{label(m).removesuffix(' utilisation')} {row[m]:.0%} busy"
                    for m in ("engine_utilisation_frac", "dram_utilisation_frac")
                    if m in row and math.isfinite(float(row[m]))]
            parts[-1] += "; " + ", ".join(busy) if busy else ""
        parts[-1] += ")"
    room = margins(run, row)
    if room:
        metric = min(room, key=lambda m: room[m])
        word = f"{room[metric]:.0%} left" if room[metric] >= 0 else f"{-room[metric]:.0%} beyond it"
        if room[metric] < _NEAR:
            return " and ".join([*parts, f"the budget of {label(metric)} ({word})"])
        parts.append(f"{'not a' if parts else 'no'} budget (the nearest, {label(metric)}, has {word})")
    return ", ".join(parts)


def _listed(items: Sequence[str]) -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def nothing_feasible(run: RunData, way: str) -> NothingFeasible:
    """The error of a command that needs a feasible design; `way`: how another trial is named, with `{trial}`."""
    found = advise(run)
    if found.trial < 0:
        return NothingFeasible(f"{run.path}: {found.sentence}")
    return NothingFeasible(f"{run.path}: no design meets the budgets; trial {found.trial} comes nearest ("
                           f"{way.format(trial=found.trial)})")


def _nearest(run: RunData) -> Advice:
    """Nothing is feasible: the design whose worst violation is smallest, relative to its budget."""
    trials = run.trials[run.trials["state"] == "complete"]
    best, least, missed = -1, math.inf, {}
    for row in trials.to_dict("records"):
        beyond = {m: -room for m, room in margins(run, row).items() if room < 0.0}
        worst = max(beyond.values(), default=math.inf)
        if row["status"] == "ok" and worst < least:
            best, least, missed = int(row["trial"]), worst, beyond
    if best < 0:
        why = next((str(s) for s in trials["status"] if str(s) not in ("ok", "")), "")
        why = why or f"all {len(run.trials)} trials failed"
        sentence = f"No design can serve the workload: {why}"
        return Advice(headline=sentence, clauses=(sentence,), winner="", trial=-1, rivals={}, limits="")
    nearest = run.row(best)
    parts = []
    for metric, share in sorted(missed.items(), key=lambda item: -item[1]):
        value, bound = quantity(metric, float(nearest[metric_column(metric)])), quantity(metric, run.budgets[metric])
        parts.append(f"{label(metric)} is {value}, budget {bound}" + (f" ({share:.0%} beyond)" if share < 1e6 else ""))
    params = run.params(nearest)
    headline = (f"No design meets every budget: trial {best} ({_architecture(nearest)}, {describe_hardware(params)}, "
                f"{describe_policy(params)}) comes nearest")
    clauses = (f"{headline}, but its " + " and its ".join(parts),)
    return Advice(headline=headline, clauses=clauses, winner="", trial=best, rivals={},
                  limits=limits_sentence(run, nearest))


def advise(run: RunData, breakdown: Mapping[str, Mapping[str, float]] | None = None) -> Advice:
    """Which class wins, by how much against the best of each other class, and what limits it.

    Parameters
    ----------
    breakdown : of the recommended design's `Outcome`, when there is one; makes the limits sharper.
    """
    ranked = ranked_front(run)
    if ranked.empty:
        return _nearest(run)
    best = ranked.head(1).to_dict("records")[0]
    winner, trial = _architecture(best), int(best["trial"])
    params = run.params(best)
    values = ", ".join(f"{label(o.metric)} {quantity(o.metric, float(best[metric_column(o.metric)]))}"
                       for o in run.objectives)
    headline = (f"{winner} wins: trial {trial} ({describe_hardware(params)}, {describe_policy(params)}) "
                "is the best compromise")
    rivals: dict[str, int] = {}
    own_front = int((ranked["params.architecture"] == winner).sum()) if "params.architecture" in ranked else 0
    clauses = [f"{winner} holds {own_front} of the {len(ranked)} designs of the front"] if 0 < own_front < len(ranked) \
        else []
    feasible = run.feasible.assign(score=scores(run, run.feasible))
    searched = [str(a) for a in run.trials["params.architecture"].dropna().unique()] \
        if "params.architecture" in run.trials.columns else []
    for name in sorted(set(searched) - {winner}):
        own = feasible[feasible["params.architecture"] == name].sort_values(["score", "trial"], kind="stable")
        if own.empty:
            clauses.append(f"no {name} design meets the budgets")
            continue
        other = own.head(1).to_dict("records")[0]
        rivals[name] = int(other["trial"])
        gaps = []
        for o in run.objectives:
            mine, its = float(best[metric_column(o.metric)]), float(other[metric_column(o.metric)])
            gaps.append(comparison(o.metric, mine, its))
        clauses.append(f"the best {name} (trial {rivals[name]}) has {_listed(gaps)}")
    limits = limits_sentence(run, best, breakdown)
    clauses += _scenario_clause(run, trial)
    clauses += [f"what limits it is {limits}"] if limits else []
    clauses = [f"{headline} with {values}", *clauses]
    return Advice(headline=headline, clauses=tuple(clauses), winner=winner, trial=trial, rivals=rivals, limits=limits)


def _scenario_clause(run: RunData, trial: int) -> list[str]:
    """Of a robust study: the worst scenario of a trial, and the judged metrics there that differ between them."""
    found = run.scenarios_of(trial)
    if not found:
        return []
    name = worst_scenario(found, run.budgets, {o.metric: o.minimise for o in run.objectives})
    values = ", ".join(f"{label(metric)} {quantity(metric, value)}" for metric, value in found[name].items()
                       if len({other.get(metric) for other in found.values()}) > 1)
    return [f"the worst of its {len(found)} scenarios is {name}" + (f" ({values})" if values else "")]


def confidence_lines(run: RunData) -> list[str]:
    """What the race of a run found: intervals of the front, pairs that cannot be told apart; [] without a race."""
    found = run.manifest.get("confidence")
    if not found:
        return []
    names = list(dict.fromkeys([*(o.metric for o in run.objectives), *run.budgets]))
    rows = []
    for trial in ranked_front(run)["trial"]:
        one = found["finalists"][str(int(trial))]
        ends = [one["intervals"].get(metric) for metric in names]
        rows.append([str(int(trial)), f"{sum(one['requests'].values()):,.0f}", *(_ends(metric, end) for metric, end in
                                                                               zip(names, ends, strict=True))])
    lines = [f"intervals at {found['level']:.0%} confidence ({len(found['finalists'])} finalists raced):", ""]
    lines += _table(["trial", "requests", *map(label, names)], rows, [True, True, *[False] * len(names)])
    if found["undecided"]:
        pairs = [f"{a} and {b} ({', '.join(map(label, metrics))})" for a, b, metrics in found["undecided"][:6]]
        more = len(found["undecided"]) - len(pairs)
        lines += ["", "cannot be told apart: " + "; ".join(pairs) + (f"; and {more} more pairs" if more else "")]
    if not found["valid"]:
        lines += ["", f"some tails rest on fewer than the {found['requests_needed']:,} independent requests that "
                      "MLPerf asks for: raise confidence.requests"]
    return [*lines, ""]


def _ends(metric: str, end: Sequence[float | None] | None) -> str:
    if end is None or end[0] is None:
        return "-"
    low, high = (quantity(metric, x) if x is not None else "?" for x in end[1:])
    return quantity(metric, end[0]) if low == high else f"{quantity(metric, end[0])} ({low} to {high})"


def scenario_table(scenarios: Mapping[str, Mapping[str, float]], metrics: Sequence[str], worst: str) -> list[str]:
    """Metrics of a design in every scenario as lines of text, the worst one marked."""
    rows = [[f"{name} <- worst" if name == worst else name,
             *(quantity(metric, values[metric]) if metric in values else "-" for metric in metrics)]
            for name, values in scenarios.items()]
    return _table(["scenario", *map(label, metrics)], rows, [False, *[True] * len(metrics)])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    widths = [max(len(str(r[i])) for r in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True)).rstrip()

    return [line(header), line(["-" * w for w in widths]), *(line(row) for row in rows)]
