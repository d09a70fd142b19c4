"""What a study's answer depends on: which parameter matters, and what one more mm2, GB/s or ms buys.

Model
-----
Importance is the total effect of a parameter: the share of an objective's variance over the space that is left when
all other parameters are fixed, 0 (never matters) to 1; effects of interacting parameters overlap, so they may sum to
more than 1. Estimated by Jansen's formula, sum (f(x) - f(x'))^2 / (2 N Var f), where x' differs from x in that
parameter only (and in those that it switches on or off). Points are drawn over the whole space, whatever the search
preferred. f is the rank of the objective, so that a few overloaded designs (with latencies a thousand times longer) do
not outweigh all others; a design that cannot serve the workload ranks last. f comes from one of two sources:

* a regression on the trials of the run (`dse.surrogate.Features`: linear, squares, products; ridge, its strength
  chosen by leaving one out). Costs no evaluation; believe it as far as its R2 with one left out says;
* evaluations of every point, where asked for: no model error, but thousands of evaluations for a small standard error.

What one more unit buys is a finite difference to a neighbour of a front design: one step of a parameter in the
study's space (mm2: the feasible step with the best gain per mm2 added; GB/s: one step of `dram_bytes_per_s`), and the
same design with 1 ms more deadline for its worst tenant.

References
----------
M. J. W. Jansen, Computer Physics Communications 117, 1999, doi:10.1016/S0010-4655(98)00154-4.
A. Saltelli et al., Computer Physics Communications 181, 2010, doi:10.1016/j.cpc.2009.09.018, table 2 (f).
Rank transformation: R. L. Iman, W. J. Conover, Technometrics 21, 1979, doi:10.1080/00401706.1979.10489820.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dse.advice import nothing_feasible
from dse.errors import InputError, Problem
from dse.explain_trial import Neighbour, Trial, neighbours, open_trial
from dse.objective import Evaluate, Result, evaluate_one, evaluator, judge, metric_of
from dse.pareto import thin
from dse.report.rundata import RunData, metric_column, read_run
from dse.study import Study
from dse.surrogate import Features
from hwmodels.outcome import OBJECTIVES
from hwmodels.workload import Workload
from spaces.domains import Domain, Real
from spaces.errors import SpaceError
from spaces.space import Space

__all__ = ["Effect", "Importance", "Purchase", "Purchases", "Sensitivity", "evaluated_importance", "purchases",
           "results_of", "sensitivity", "total_effects", "trials_importance"]

Floats = NDArray[np.float64]
Codes = tuple[int, ...]

METHOD = "total effect on ranks (Jansen 1999)"
_POINTS = 2000
"""Points drawn where f is the regression: a standard error of about 0.02."""
_LEAST_TRIALS = 10
_STRENGTHS = tuple(10.0**k for k in range(-3, 4))
_MS = 1e-3
_GIGA = 1e9


# --- which parameter matters ------------------------------------------------------------------------------------------


class Effect(NamedTuple):
    """Total effect of a parameter on an objective and its standard error [-]."""

    parameter: str
    total_frac: float
    error_frac: float


@final
@dataclass(frozen=True, kw_only=True)
class Importance:
    """Effects by objective, largest first.

    Parameters
    ----------
    samples : points drawn.
    source : `trials` (a regression) or `evaluations`, and how many there were of either in `designs`.
    r2 : of the regression with one trial left out, by objective; empty where every point was evaluated.
    """

    effects: dict[str, list[Effect]]
    samples: int
    source: str
    designs: int
    r2: dict[str, float]


def _another(domain: Domain, code: int, rng: np.random.Generator) -> int:
    """A code other than this one, uniform."""
    if isinstance(domain, Real):
        return domain.code(domain.at(rng.random()))
    other = int(rng.integers(int(domain.n) - 1))
    return other + (other >= code)


def _ranks(values: Floats) -> Floats:
    """Ranks, equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2.0)[inverse]
    return ranks


def total_effects(base: Floats, moved: dict[str, list[tuple[int, float, float]]],
                  names: Sequence[str]) -> list[Effect]:
    """Jansen's estimate from values.

    Parameters
    ----------
    base : f at the N points, shape (N,).
    moved : parameter -> (point, f where the parameter moved, probability that a draw moves it).
    names : the parameters, those without an entry have no effect.
    """
    variance = float(base.var(ddof=1)) if len(base) > 1 else 0.0
    effects = []
    for name in names:
        terms = np.zeros(len(base))
        for point, value, chance in moved.get(name, ()):
            terms[point] = chance * (base[point] - value) ** 2 / 2.0
        if variance == 0.0:
            effects.append(Effect(name, 0.0, 0.0))
            continue
        error = float(terms.std(ddof=1)) / math.sqrt(len(terms))
        effects.append(Effect(name, float(terms.mean()) / variance, error / variance))
    return sorted(effects, key=lambda effect: -effect.total_frac)


def _draw(space: Space, samples: int, rng: np.random.Generator) -> tuple[list[Codes], list[tuple[str, int, float]]]:
    """Points to know f at: the first `samples` ones, then those with one parameter moved, each with (parameter, which
    point it was, probability that an independent draw would have moved it)."""
    points = [space.sample_evenly_codes(rng) for _ in range(samples)]
    moves: list[tuple[str, int, float]] = []
    for k in range(samples):
        codes = points[k]
        for i, (name, domain) in enumerate(space.domains.items()):
            if domain.n == 1 or codes[i] < 0:
                continue
            other = space.repair_codes((*codes[:i], _another(domain, codes[i], rng), *codes[i + 1:]), rng)
            if other[i] != codes[i]:
                points.append(other)
                moves.append((name, k, 1.0 if isinstance(domain, Real) else 1.0 - 1.0 / int(domain.n)))
    return points, moves


def _effects(space: Space, values: Floats, samples: int, moves: Sequence[tuple[str, int, float]]) -> list[Effect]:
    """Effects from f at the points of `_draw`."""
    moved: dict[str, list[tuple[int, float, float]]] = {}
    for (name, point, chance), value in zip(moves, values[samples:], strict=True):
        moved.setdefault(name, []).append((point, float(value), chance))
    return total_effects(values[:samples], moved, [name for name, domain in space.domains.items() if domain.n > 1])


def _oriented(study: Study, results: Sequence[Result]) -> Floats:
    """(results, objectives), less is better, inf where a design cannot serve the workload."""
    values = [judge(study, result).values for result in results]
    return np.array([v if v is not None else (math.inf,) * len(study.objectives) for v in values], dtype=float)


def evaluated_importance(study: Study, *, samples: int, seed: int = 0, evaluate: Evaluate | None = None) -> Importance:
    """Total effects from evaluations alone.

    Parameters
    ----------
    samples : points drawn, >= 2; each costs one evaluation, and one more for each parameter that is active in it.
    evaluate : replaces the evaluation of designs (for tests).
    """
    evaluate = evaluate or evaluator(study)
    points, moves = _draw(study.space, samples, np.random.default_rng([seed, samples]))
    distinct = {codes: i for i, codes in enumerate(dict.fromkeys(points))}
    results = [evaluate_one(evaluate, i, study.space.decode(codes)) for codes, i in distinct.items()]
    values = _oriented(study, results)
    rows = [distinct[codes] for codes in points]
    effects = {o.metric: _effects(study.space, _ranks(values[:, i])[rows], samples, moves)
               for i, o in enumerate(study.objectives)}
    return Importance(effects=effects, samples=samples, source="evaluations", designs=len(results), r2={})


def _ridge(rows: Floats, precision: Floats, targets: Floats) -> tuple[Floats, float]:
    """(weights, R2 with one row left out) of the strength with the best R2."""
    total = float(((targets - targets.mean()) ** 2).sum())
    best: tuple[Floats, float] = (np.zeros(rows.shape[1]), -math.inf)
    for strength in _STRENGTHS:
        inverse = np.linalg.inv(rows.T @ rows + strength * np.diag(precision))
        weights = inverse @ rows.T @ targets
        leverage = ((rows @ inverse) * rows).sum(axis=1)
        left_out = (targets - rows @ weights) / np.maximum(1.0 - leverage, 1e-9)
        r2 = 1.0 - float((left_out**2).sum()) / total if total > 0.0 else 1.0
        if r2 > best[1]:
            best = weights, r2
    return best


def trials_importance(study: Study, results: Sequence[Result], *, samples: int = _POINTS, seed: int = 0) -> Importance:
    """Total effects from a regression on trials that were evaluated.

    Raises
    ------
    InputError : fewer than 10 trials that were evaluated.
    """
    done = [result for result in results if result.state == "complete"]
    if len(done) < _LEAST_TRIALS:
        raise InputError(Problem(field="RUN", message=f"must have at least {_LEAST_TRIALS} evaluated trials, got "
                                 f"{len(done)}", hint="evaluate points of the space instead: --samples 24"))
    rng = np.random.default_rng([seed, samples])
    features = Features(study.space, rng)
    known = features.rows([study.space.encode(result.params) for result in done])
    points, moves = _draw(study.space, samples, rng)
    rows = features.rows(points)
    values = _oriented(study, done)
    effects, r2 = {}, {}
    for i, objective in enumerate(study.objectives):
        weights, r2[objective.metric] = _ridge(known, features.precision, _ranks(values[:, i]) / len(done))
        effects[objective.metric] = _effects(study.space, rows @ weights, samples, moves)
    return Importance(effects=effects, samples=samples, source="trials", designs=len(done), r2=r2)


# --- what one more unit buys ------------------------------------------------------------------------------------------


class Purchase(NamedTuple):
    """A step and what it changes: `amount` more mm2 or GB/s change the objective by `change`, or `rate` per unit."""

    parameter: str
    before: Any
    after: Any
    amount: float
    change: float
    rate: float


@final
@dataclass(frozen=True, kw_only=True)
class Purchases:
    """What one more unit buys at a front design.

    Parameters
    ----------
    per_mm2 : objective -> the feasible step that adds area and gains most per mm2; None where none gains.
    per_gb_per_s : objective -> one step of the DRAM bandwidth, feasible or not; None where it cannot move.
    tenant, deadline_s, per_ms : the worst tenant, its deadline, and objective -> change with 1 ms more of it; empty
        where no tenant has a deadline.
    """

    trial: Trial
    per_mm2: dict[str, Purchase | None]
    per_gb_per_s: dict[str, Purchase | None]
    tenant: str
    deadline_s: float
    per_ms: dict[str, float]


def _minus(a: float, b: float) -> float:
    return 0.0 if a == b else a - b


def _per_mm2(trial: Trial, found: Sequence[Neighbour], metric: str, minimise: bool) -> Purchase | None:
    best: Purchase | None = None
    area = trial.outcome.metrics["area_mm2"]
    for n in found:
        added = n.result.metrics.get("area_mm2", math.nan) - area
        change = n.changes.get(metric, math.nan)
        gain = -change if minimise else change
        if not n.verdict.feasible or not added > 0.0 or not gain > 0.0:
            continue
        one = Purchase(n.parameter, n.before, n.after, added, change, change / added)
        if best is None or abs(one.rate) > abs(best.rate):
            best = one
    return best


def _per_gb_per_s(found: Sequence[Neighbour], metric: str) -> Purchase | None:
    steps = [n for n in found if n.parameter == "dram_bytes_per_s"]
    if not steps:
        return None
    n = max(steps, key=lambda step: step.after)  # one up, or one down at the top of the domain
    amount = (n.after - n.before) / _GIGA
    change = n.changes.get(metric, math.nan)
    return Purchase(n.parameter, n.before, n.after, amount, change, change / amount)


def _relaxed(trial: Trial) -> tuple[str, float, dict[str, float]]:
    """(worst tenant, its deadline, objective -> change with 1 ms more); of a robust study in its worst scenario."""
    from hwmodels.capacity import evaluate_judged
    from hwmodels.evaluate import evaluate_detail
    from hwmodels.traffic import relative_deadline_s

    study, workload, seed = trial.study, trial.scenario.workload, trial.scenario.seed
    due = {name: value for name, metrics in trial.outcome.tenants.items()
           if not math.isnan(value := metrics.get("p99_deadline_frac", math.nan))}
    if not due:
        return "", math.nan, {}
    worst = max(due, key=lambda name: due[name])
    detail = evaluate_detail(trial.design, workload, seed=seed, record=False)
    assert detail.isolated_s is not None
    index = next(i for i, tenant in enumerate(workload.tenants) if tenant.name == worst)
    deadline_s = float(relative_deadline_s(workload, detail.isolated_s)[index])
    service = replace(workload.tenants[index].service, deadline_s=deadline_s + _MS, deadline_x_isolated=None)
    relaxed = Workload(name=workload.name, duration_s=workload.duration_s, tenants=tuple(
        replace(tenant, service=service) if tenant.name == worst else tenant for tenant in workload.tenants))
    outcome = evaluate_judged(trial.design, relaxed, seed=seed, fidelity=study.fidelity, metrics=study.judged)
    here, there = (replace(trial.result, metrics=o.metrics, tenants=o.tenants) for o in (trial.outcome, outcome))
    changes = {o.metric: _minus(metric_of(there, o.metric), metric_of(here, o.metric)) for o in study.objectives}
    return worst, deadline_s, changes


def purchases(trial: Trial) -> Purchases:
    """Finite differences at one design: its neighbours of the same class and policy, and 1 ms more of deadline."""
    moving = [name for name in trial.study.space.names if name not in ("architecture", "policy")]
    found = neighbours(trial, parameters=moving)
    tenant, deadline_s, per_ms = _relaxed(trial)
    objectives = trial.study.objectives
    return Purchases(
        trial=trial, tenant=tenant, deadline_s=deadline_s, per_ms=per_ms,
        per_mm2={o.metric: _per_mm2(trial, found, o.metric, o.minimise) for o in objectives if o.metric != "area_mm2"},
        per_gb_per_s={o.metric: _per_gb_per_s(found, o.metric) for o in objectives})


# --- both -------------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The answer of `dse sensitivity`; `designs` spread over the front, by the first objective."""

    importance: Importance
    designs: list[Purchases]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        def shown(found: dict[str, Purchase | None]) -> dict[str, Any]:
            return {metric: one and one._asdict() for metric, one in found.items()}

        return {
            "method": METHOD, "source": self.importance.source, "source_designs": self.importance.designs,
            "samples": self.importance.samples, "r2": self.importance.r2,
            "importance": {metric: [effect._asdict() for effect in effects]
                           for metric, effects in self.importance.effects.items()},
            "designs": [{
                "trial": d.trial.number, "params": d.trial.params,
                "objectives": {o.metric: metric_of(d.trial.result, o.metric) for o in d.trial.study.objectives},
                "per_mm2": shown(d.per_mm2), "per_gb_per_s": shown(d.per_gb_per_s),
                "per_ms": {"tenant": d.tenant, "deadline_s": d.deadline_s, "changes": d.per_ms},
            } for d in self.designs],
        }


def _spread(run: RunData, count: int) -> list[int]:
    """Trials spread over the front."""
    if not len(run.front):
        raise nothing_feasible(run, "`dse why --trial {trial}` says what one step of a parameter changes there")
    values = np.stack([run.front[metric_column(o.metric)].to_numpy(dtype=float) * (1.0 if o.minimise else -1.0)
                       for o in run.objectives], axis=1)
    return [int(run.front["trial"].iloc[i]) for i in thin(values, count)]


def results_of(run: RunData) -> list[Result]:
    """The trials of a run as results, with what `judge` needs."""
    found = []
    names = [name for name in run.trials.columns if name in OBJECTIVES]
    for row in run.trials.to_dict("records"):
        tenants: dict[str, dict[str, float]] = {tenant: {} for tenant in run.tenants}
        for name, value in row.items():
            if str(name).startswith("tenants."):
                tenant, _, metric = str(name).removeprefix("tenants.").rpartition(".")
                tenants[tenant][metric] = float(value)
        found.append(Result(number=int(row["trial"]), params=run.params(row), state=row["state"],
                            status=str(row["status"]), metrics={name: float(row[name]) for name in names},
                            tenants=tenants))
    return found


def sensitivity(run: RunData | Path, *, samples: int = 0, designs: int = 6, seed: int = 0) -> Sensitivity:
    """Importance over the space of a run's study, and what one more unit buys at `designs` designs of its front.

    Parameters
    ----------
    samples : points of the space to evaluate for the importance; 0 takes a regression on the trials of the run.

    Raises
    ------
    InputError : no run, 1 sample, fewer than 1 design, a run that is not of its study's space.
    NothingFeasible : the run has no front.
    """
    problems = []
    if samples < 0 or samples == 1:
        problems.append(Problem(field="--samples", message=f"must be 0 or >= 2, got {samples}"))
    if designs < 1:
        problems.append(Problem(field="--designs", message=f"must be >= 1, got {designs}"))
    if problems:
        raise InputError(*problems)
    run = run if isinstance(run, RunData) else read_run(run)
    study = run.record
    chosen = _spread(run, designs)
    try:
        effects = evaluated_importance(study, samples=samples, seed=seed) if samples \
            else trials_importance(study, results_of(run), seed=seed)
    except SpaceError as error:
        raise InputError(Problem(file=str(run.path / "trials.csv"),
                                 message=f"must hold designs of the study: {error}")) from None
    return Sensitivity(importance=effects, designs=[purchases(open_trial(run, trial, study)) for trial in chosen])
