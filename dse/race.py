"""Which of the best designs are really the best: a race of the finalists over ever more requests.

1. Finalists: the feasible designs of the search by non-dominated fronts, the first front first.
2. Round k simulates every finalist left with R_k seeds, from the study's on (R_1 = 4, then four times as many): the
   same requests for all (common random numbers). Percentiles are those of the requests of all seeds together, with the
   intervals of `hwmodels.tails`; other metrics are means over the seeds with Student's interval.
3. A finalist leaves when a budget is surely broken, or when another one is surely better: in no objective worse, in one
   better, by the intervals of the paired differences over `_BATCHES` batches of seeds.
4. The race ends when every tail figure rests on as many independent requests as MLPerf asks for, or when the requests
   that the study grants to a finalist are used up.

The front is that of the estimates of those that are left. A round starts its seeds anew, so that an evaluation depends
on nothing but its arguments: that costs a third more simulations, and makes the race the same for any number of
workers; its results are in a journal of their own, and a race that was killed goes on.

Of a robust study the seeds of the race take the place of the study's: the figures of every workload and traffic level
are found as above, then their estimates and both ends are aggregated.

Limits: intervals are of one design and one metric each, nothing corrects for looking at several. The requests that a
finalist gets are an upper bound on the simulations of the last round; all rounds together make at most 4/3 of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dse.compare import student_t
from dse.objective import Result, Verdict, minimised
from dse.pareto import front_indices, thin
from dse.study import Confidence, Study
from hwmodels.outcome import Outcome
from hwmodels.robust import cvar
from hwmodels.tails import Interval, effective_count, percentile, percentile_interval, requests_needed, share_interval
from hwmodels.traffic import is_random, mean_rate_hz
from hwmodels.workload import Workload
from spaces.space import Params

__all__ = ["RACE", "RUNS", "Figures", "Race", "RaceEvaluator", "finalists", "interval_cells",
           "interval_columns", "race", "tail_note"]

Floats = NDArray[np.float64]

RACE = "race.jsonl"
"""Journal of the race in the folder of a run."""

_FIRST, _GROWTH = 4, 4
_BATCHES = 32
_ROUND = 10**10
"""A round's results are numbered from here on, times the round: above all trials."""
RUNS = "race.seeds"
"""Parameter that tells a worker how many seeds to simulate."""
_PERCENTILES = {"p50_latency_s": 0.50, "p95_latency_s": 0.95, "p99_latency_s": 0.99}
_TAILS = ("p95_latency_s", "p99_latency_s", "p99_deadline_frac", "slo_miss_frac")


# --- one finalist -----------------------------------------------------------------------------------------------------


class _Runs(NamedTuple):
    """Simulations of a design under one workload: one entry per seed, and per seed and tenant."""

    outcomes: list[Outcome]
    latency_s: list[list[Floats]]
    """Of finished requests."""
    used_frac: list[list[Floats]]
    """Latency / deadline of all requests, inf where dropped; empty where a tenant has no deadline."""
    requests: list[list[int]]


@final
@dataclass(frozen=True, kw_only=True)
class RaceEvaluator:
    """What workers call in a race: params with the number of seeds under `race.seeds` -> figures as an outcome.

    `Outcome.metrics` are the estimates of the judged metrics, `Outcome.scenarios` holds `low`, `high`, `requests` and
    `effective` (independent ones) by tenant, and the estimates of every batch under its number.
    """

    study: Study

    def __call__(self, params: Params) -> Outcome:
        from hwmodels.errors import ModelError

        study, params = self.study, dict(params)
        seeds = int(params.pop(RUNS))
        confidence = study.confidence or Confidence()
        found = []
        try:
            design = study.design(params)
            for workload in study.faced:
                runs = _simulate(design, workload, study.seed, seeds)
                bad = next((outcome.status for outcome in runs.outcomes if not outcome.ok),
                           "" if runs.outcomes else "no request arrives within duration_s")
                if bad:
                    return Outcome(status=bad, metrics={})
                found.append((workload, _figures(runs, workload, study.judged, confidence.level)))
        except ModelError as error:
            return Outcome(status=str(error), metrics={})
        return _together(study, found)


def _simulate(design: Any, workload: Workload, seed: int, seeds: int) -> _Runs:
    from hwmodels.evaluate import evaluate_detail

    runs = _Runs([], [], [], [])
    for each in range(seed, seed + (seeds if is_random(workload) else 1)):
        detail = evaluate_detail(design, workload, seed=each, record=False)
        if detail.trace is not None and not len(detail.trace.arrival_s):
            continue  # a seed without any request
        runs.outcomes.append(detail.outcome)
        if detail.trace is None or detail.records is None:
            break  # cannot run: with no seed
        trace, latency = detail.trace, detail.records.finish_s - detail.trace.arrival_s
        allowed = trace.deadline_s - trace.arrival_s
        mine = [trace.tenant == tenant for tenant in range(len(workload.tenants))]
        runs.latency_s.append([latency[mask & np.isfinite(latency)] for mask in mine])
        runs.used_frac.append([np.where(np.isfinite(latency[mask]), latency[mask] / allowed[mask], np.inf)
                               if np.isfinite(allowed[mask]).all() else np.empty(0) for mask in mine])
        runs.requests.append([int(mask.sum()) for mask in mine])
    return runs


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """Metric -> interval, metric -> estimate of every batch, tenant -> (requests, least independent ones of a tail)."""

    intervals: dict[str, Interval]
    batches: dict[str, list[float]]
    requests: dict[str, tuple[float, float]]


def _split(count: int) -> list[range]:
    """At most `_BATCHES` batches of seeds, as even as can be."""
    edges = np.linspace(0, count, min(count, _BATCHES) + 1).round().astype(int)
    return [range(a, b) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]


def _figures(runs: _Runs, workload: Workload, metrics: Sequence[str], level: float) -> _Figures:
    names = [tenant.name for tenant in workload.tenants]
    batches = _split(len(runs.outcomes))
    counts = np.array(runs.requests, dtype=float)
    least = {name: float(counts[:, i].sum()) for i, name in enumerate(names)}
    intervals: dict[str, Interval] = {}
    of_batch: dict[str, list[float]] = {}
    for metric in metrics:
        tenant, _, base = metric.rpartition(".")
        if tenant and tenant not in names:
            continue
        of = [names.index(tenant)] if tenant else list(range(len(names)))
        p = _PERCENTILES.get(base)
        if p is not None:
            columns = [[np.concatenate([run[i] for i in of]) for run in runs.latency_s]]
            shares = [(columns[0], p, of)]
        elif base in ("p99_deadline_frac", "slo_miss_frac"):
            shares = [([run[i] for run in runs.used_frac], 0.99 if base == "p99_deadline_frac" else
                       workload.tenants[i].service.percentile / 100.0, [i])
                      for i in of if any(len(run[i]) for run in runs.used_frac)]
        else:
            intervals[metric], of_batch[metric] = _mean(runs, metric, base, counts[:, of].sum(axis=1), level, batches)
            continue
        shift = 1.0 if base == "slo_miss_frac" else 0.0
        tails = []
        for values, share, tenants in shares:
            found, worth = _percentile(values, share, level)
            tails.append(found)
            for i in tenants:
                least[names[i]] = min(least[names[i]], worth)
        worst = [max((_pooled(values, batch, share) for values, share, _ in shares), default=shift)
                 for batch in batches]
        of_batch[metric] = [value - shift for value in worst]
        intervals[metric] = Interval(*(max((end[k] for end in tails), default=shift) - shift for k in range(3)))
    return _Figures(intervals=intervals, batches=of_batch, requests={
        name: (float(counts[:, i].sum()), least[name]) for i, name in enumerate(names)})


def _pooled(values: Sequence[Floats], batch: range, p: float) -> float:
    ordered = np.sort(np.concatenate([values[run] for run in batch]))
    return percentile(ordered, p) if len(ordered) else -math.inf


def _percentile(values: Sequence[Floats], p: float, level: float) -> tuple[Interval, float]:
    """Of all runs together, and how many independent requests that rests on."""
    ordered = np.sort(np.concatenate(values))
    if p >= 1.0 or not len(ordered):
        end = float(ordered[-1]) if len(ordered) else math.nan
        return Interval(end, end, math.inf), float(len(ordered))
    counts = np.array([len(run) for run in values], dtype=float)
    estimate = percentile(ordered, p)
    above = np.array([np.count_nonzero(run > estimate) for run in values], dtype=float)
    worth = effective_count(above, counts, share=1.0 - p)
    return percentile_interval(ordered, p, level, effective=worth), worth


def _mean(runs: _Runs, metric: str, base: str, counts: Floats, level: float,
          batches: Sequence[range]) -> tuple[Interval, list[float]]:
    """Of the values of every run; a share of requests has Wilson's interval."""
    values = np.array([_value(outcome, metric) for outcome in runs.outcomes])
    if base in ("slo_violation_frac", "drop_frac") and counts.sum() > 0.0:
        hits = values * counts
        share = float(hits.sum() / counts.sum())
        worth = effective_count(hits, counts)
        exact = len(runs.outcomes) == 1 or ((values == values[0]).all() and 0.0 < share < 1.0)
        found = Interval(share, share, share) if exact else share_interval(share, worth, level)
        return found, [float(hits[batch].sum() / max(1.0, counts[batch].sum())) for batch in map(list, batches)]
    return _student(values, level), [float(values[batch].mean()) for batch in map(list, batches)]


def _value(outcome: Outcome, metric: str) -> float:
    tenant, _, base = metric.rpartition(".")
    return (outcome.tenants.get(tenant, {}) if tenant else outcome.metrics).get(base, math.nan)


def _student(values: Floats, level: float) -> Interval:
    if (values == values[0]).all():
        return Interval(float(values[0]), float(values[0]), float(values[0]))
    if not np.isfinite(values).all():
        mean = float(values.mean())
        return Interval(mean, -math.inf, math.inf)
    mean, half = float(values.mean()), student_t(len(values) - 1, level) * float(values.std(ddof=1)) \
        / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def _together(study: Study, found: Sequence[tuple[Workload, _Figures]]) -> Outcome:
    """One outcome: workloads and rates aggregated; requests of a tenant are those where it has the fewest."""
    alpha = study.robust.alpha_of if study.robust else lambda metric: 1.0

    def joined(metric: str, values: list[float]) -> float:
        return values[0] if len(values) == 1 else cvar(values, alpha(metric), minimise=study.minimise(metric))

    metrics, low, high = {}, {}, {}
    batches: dict[str, dict[str, float]] = {}
    for metric in study.judged:
        each = [figures.intervals[metric] for _, figures in found if metric in figures.intervals]
        if not each:
            continue
        metrics[metric], low[metric], high[metric] = (joined(metric, [one[k] for one in each]) for k in range(3))
        columns = [figures.batches[metric] for _, figures in found if metric in figures.batches]
        size = max(map(len, columns))
        for b in range(size):  # a workload without chance has one batch: the same for all
            batches.setdefault(str(b), {})[metric] = joined(metric, [column[min(b, len(column) - 1)]
                                                                      for column in columns])
    requests: dict[str, float] = {}
    effective: dict[str, float] = {}
    for workload, figures in found:
        for tenant, (count, worth) in figures.requests.items():
            requests[tenant] = min(requests.get(tenant, math.inf), count)
            effective[tenant] = min(effective.get(tenant, math.inf), worth if is_random(workload) else math.inf)
    known = {name: value for name, value in effective.items() if math.isfinite(value)}
    return Outcome(status="ok", metrics=metrics, scenarios={
        "low": low, "high": high, "requests": requests, "effective": known, **batches})


# --- the race ---------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, kw_only=True)
class Figures:
    """What is known of a finalist.

    Parameters
    ----------
    intervals : of the judged metrics.
    seeds : simulations of every workload.
    requests, effective : by tenant, and how many independent ones they are worth at least in a tail figure.
    left : why it left the race, '' when it did not.
    """

    trial: int
    intervals: dict[str, Interval]
    batches: tuple[dict[str, float], ...]
    seeds: int
    requests: dict[str, float]
    effective: dict[str, float]
    left: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class Race:
    """A race that ended.

    Parameters
    ----------
    figures : trial -> figures, all finalists.
    front : trials of the front, by the first objective.
    undecided : pairs of the front with the objectives in which it is not sure which of the two is better, where one of
        them may dominate the other.
    needed : requests that the tails of the study's metrics need; `valid` where every tenant has them.
    """

    level: float
    figures: dict[int, Figures]
    front: tuple[int, ...]
    undecided: tuple[tuple[int, int, tuple[str, ...]], ...]
    needed: int
    valid: bool

    def as_dict(self) -> dict[str, Any]:
        """For manifest.json."""
        return {
            "level": self.level, "requests_needed": self.needed, "valid": self.valid,
            "finalists": {str(trial): {
                "seeds": f.seeds, "requests": f.requests, "effective_requests": f.effective, "left": f.left,
                "intervals": {metric: [_finite(x) for x in found] for metric, found in f.intervals.items()},
            } for trial, f in self.figures.items()},
            "undecided": [[a, b, list(metrics)] for a, b, metrics in self.undecided],
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def finalists(study: Study, results: Sequence[Result], verdicts: Sequence[Verdict], most: int) -> list[int]:
    """Rows of the feasible designs that may be on the front: non-dominated fronts in turn, `most` designs at most; of a
    front that is too large a spread (`dse.pareto.thin`)."""
    rows = [row for row, verdict in enumerate(verdicts) if verdict.feasible]
    chosen: list[int] = []
    while rows and len(chosen) < most:
        values = np.array([verdicts[row].values for row in rows], dtype=float)
        front = sorted(front_indices(values), key=lambda i: tuple(values[i]))
        left = most - len(chosen)
        chosen += [rows[front[i]] for i in (range(len(front)) if len(front) <= left else thin(values[front], left))]
        taken = set(front)
        rows = [row for i, row in enumerate(rows) if i not in taken]
    return chosen[:most]


def _most_seeds(study: Study, requests: int) -> int:
    """Seeds that so many requests per finalist allow."""
    each = sum(mean_rate_hz(workload, tenant) * workload.duration_s
               for workload in study.faced for tenant in workload.tenants)
    return max(_FIRST, int(requests / max(1.0, each)))


def _tails(study: Study) -> dict[str, float]:
    """Judged tail metric -> its percentile, the largest of the tenants it is about."""
    found = {}
    for metric in study.judged:
        tenant, _, base = metric.rpartition(".")
        if base == "slo_miss_frac":
            found[metric] = max(one.service.percentile for one in study.served.tenants
                                if tenant in ("", one.name)) / 100.0
        elif base in _TAILS:
            found[metric] = _PERCENTILES.get(base, 0.99)
    return found


def race(study: Study, results: Sequence[Result], rows: Sequence[int],
         evaluate: Callable[[list[tuple[int, Params]]], list[Result]]) -> Race:
    """Run a race.

    Parameters
    ----------
    rows : of the finalists in `results`.
    evaluate : tasks of `RaceEvaluator` -> their results, in any order.
    """
    confidence = study.confidence or Confidence()
    needed = max((requests_needed(p, confidence.level) for p in _tails(study).values() if p < 1.0), default=0)
    random = any(is_random(workload) for workload in study.faced)
    most = _most_seeds(study, confidence.requests) if random else 1
    figures: dict[int, Figures] = {}
    alive = [results[row] for row in rows]
    seeds, number = min(_FIRST, most), 0
    while alive:
        number += 1
        tasks = [(_ROUND * number + one.number, {**one.params, RUNS: seeds}) for one in alive]
        for found in sorted(evaluate(tasks), key=lambda result: result.number):
            trial = found.number - _ROUND * number
            figures[trial] = _of_result(trial, found, seeds)
        left = _losers(study, [figures[one.number] for one in alive])
        figures |= {trial: replace(figures[trial], left=reason) for trial, reason in left.items()}
        alive = [one for one in alive if one.number not in left]
        if seeds >= most or all(_valid(figures[one.number], needed) for one in alive):
            break
        seeds = min(most, seeds * _GROWTH)
    survivors = [figures[one.number] for one in alive]
    front = _front(study, survivors)
    return Race(level=confidence.level, figures=dict(sorted(figures.items())), front=front, needed=needed,
                undecided=_undecided(study, [figures[trial] for trial in front], confidence.level),
                valid=all(_valid(figures[trial], needed) for trial in front))


def _of_result(trial: int, result: Result, seeds: int) -> Figures:
    parts = result.scenarios
    if result.state == "failed" or result.status != "ok":
        return Figures(trial=trial, intervals={}, batches=(), seeds=seeds, requests={}, effective={},
                       left=result.error.strip().splitlines()[-1] if result.error else result.status)
    batches = sorted((int(name), values) for name, values in parts.items() if name.isdigit())
    return Figures(
        trial=trial, seeds=seeds, batches=tuple(values for _, values in batches), requests=parts["requests"],
        effective=parts["effective"], intervals={metric: Interval(value, parts["low"][metric], parts["high"][metric])
                                                 for metric, value in result.metrics.items()})


def _valid(figures: Figures, needed: int) -> bool:
    return all(count >= needed for count in figures.effective.values())


def _surely_broken(study: Study, figures: Figures) -> str:
    for metric, bound in study.budgets.items():
        found = figures.intervals.get(metric)
        if found is not None and (found.low > bound if minimised(metric) else found.high < bound):
            return f"breaks the budget of {metric}"
    return ""


def _difference(study: Study, metric: str, one: Figures, other: Figures, level: float) -> Interval:
    """Of `one` minus `other` in an objective, oriented so that > 0 is worse, from the paired batches."""
    sign = 1.0 if study.minimise(metric) else -1.0
    pairs = np.array([(a[metric], b[metric]) for a, b in zip(one.batches, other.batches, strict=True)
                      if metric in a and metric in b])
    if not len(pairs) or np.isnan(pairs).any():
        return Interval(math.nan, -math.inf, math.inf)
    with np.errstate(invalid="ignore"):
        gaps = sign * (pairs[:, 0] - pairs[:, 1])
    gaps[pairs[:, 0] == pairs[:, 1]] = 0.0
    return _student(gaps, level) if len(gaps) > 1 or (gaps == gaps[0]).all() else Interval(gaps[0], -math.inf, math.inf)


def _losers(study: Study, alive: Sequence[Figures]) -> dict[int, str]:
    """Finalists that surely are not on the front, and why."""
    level = (study.confidence or Confidence()).level
    left = {one.trial: one.left for one in alive if one.left}
    left |= {one.trial: reason for one in alive if one.trial not in left and (reason := _surely_broken(study, one))}
    rest = [one for one in alive if one.trial not in left]
    for one in rest:
        for other in rest:
            if other is one or other.trial in left or not _within(study, other, surely=True):
                continue
            gaps = [_difference(study, objective.metric, one, other, level).low for objective in study.objectives]
            if all(gap >= 0.0 for gap in gaps) and any(gap > 0.0 for gap in gaps):
                left[one.trial] = f"trial {other.trial} is better"
                break
    return left


def _within(study: Study, figures: Figures, *, surely: bool = False) -> bool:
    """Whether the estimates, or surely also the far ends, meet every budget."""
    for metric, bound in study.budgets.items():
        found = figures.intervals.get(metric)
        if found is None:
            return False
        value = (found.high if minimised(metric) else found.low) if surely else found.estimate
        if not (value <= bound if minimised(metric) else value >= bound):
            return False
    return True


def _front(study: Study, survivors: Sequence[Figures]) -> tuple[int, ...]:
    good = [one for one in survivors if _within(study, one)]
    values = np.array([[one.intervals[o.metric].estimate * (1.0 if o.minimise else -1.0) for o in study.objectives]
                       for one in good], dtype=float).reshape(len(good), len(study.objectives))
    rows = [i for i in front_indices(values) if np.isfinite(values[i]).all()]
    return tuple(good[i].trial for i in sorted(rows, key=lambda i: tuple(values[i])))


def _undecided(study: Study, front: Sequence[Figures], level: float) -> tuple[tuple[int, int, tuple[str, ...]], ...]:
    found = []
    for i, one in enumerate(front):
        for other in front[i + 1:]:
            gaps = {o.metric: _difference(study, o.metric, one, other, level) for o in study.objectives}
            ahead = any(gap.high < 0.0 for gap in gaps.values())
            behind = any(gap.low > 0.0 for gap in gaps.values())
            if not (ahead and behind):
                unsure = tuple(metric for metric, gap in gaps.items()
                               if gap.low <= 0.0 <= gap.high and gap.low < gap.high)
                found.append((one.trial, other.trial, unsure))
    return tuple(found)


# --- without a race ---------------------------------------------------------------------------------------------------


def tail_note(study: Study) -> str:
    """A warning when a judged tail figure rests on too few requests, '' when not."""
    worst: tuple[float, str, str, int] | None = None
    for metric, p in _tails(study).items():
        tenant = metric.rpartition(".")[0]
        needed = requests_needed(p) if p < 1.0 else 0
        for workload in study.faced:
            for one in workload.tenants:
                count = mean_rate_hz(workload, one) * workload.duration_s
                if tenant in ("", one.name) and is_random(workload) and count < needed and \
                        (worst is None or count / needed < worst[0]):
                    worst = count / needed, metric, one.name, round(count)
    if worst is None:
        return ""
    metric, name, count = worst[1:]
    return (f"{metric} rests on one run, with about {count:,} requests of {name}; MLPerf asks for "
            f"{requests_needed(_tails(study)[metric]):,} (99 % confidence, margin (1 - p) / 20): the key confidence of "
            "a study lets the best designs race over more")


def interval_columns(study: Study) -> list[str]:
    """Columns that a race adds to front.csv."""
    from dse.runs import metric_column

    return [f"{part}.{metric_column(metric)}" for metric in study.judged for part in ("estimate", "low", "high")] \
        + ["race.seeds", "race.requests", "race.undecided"]


def interval_cells(found: Race, trial: int) -> dict[str, Any]:
    """Their values for a design of the front."""
    from dse.runs import metric_column

    figures = found.figures[trial]
    cells: dict[str, Any] = {f"{part}.{metric_column(metric)}": value for metric, each in figures.intervals.items()
                             for part, value in zip(("estimate", "low", "high"), each, strict=True)}
    others = sorted(b if a == trial else a for a, b, _ in found.undecided if trial in (a, b))
    return cells | {"race.seeds": figures.seeds, "race.requests": int(sum(figures.requests.values())),
                    "race.undecided": " ".join(map(str, others))}
