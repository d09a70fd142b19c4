"""Why a design of a run is as it is: what limits it, its margins, its neighbours, its policy against the others.

Everything is evaluated now, in this process, with the seed of the study, so that the differences are between designs
and not between versions of the models.

    open_trial -> Trial -> limits, margins, neighbours, policies -> explain -> Explanation (as_dict for JSON)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

from dse.advice import limits_sentence, nothing_feasible, recommended
from dse.compare import Comparison, Entry, compare_policies, default_policies
from dse.errors import InputError, Problem
from dse.objective import Result, Verdict, evaluate_one, evaluator, judge, metric_of, minimised
from dse.report.rundata import RunData, read_run
from dse.report.words import budget_margin, comparison, label, parameter
from dse.robust import see
from dse.study import Study
from hwmodels.design import Design
from hwmodels.errors import ModelError
from hwmodels.outcome import ANSWER_METRICS, OBJECTIVES, Outcome
from hwmodels.policies import POLICIES
from hwmodels.policies.base import HIDDEN_TRUTH
from hwmodels.robust import Scenario
from spaces.errors import SpaceError
from spaces.space import Params

__all__ = ["Explanation", "Neighbour", "PolicyAnswer", "Trial", "explain", "limits", "margins", "neighbours",
           "neighbours_sentence", "open_trial", "policies"]


@final
@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial of a run, evaluated again; `codes` are those of its parameters in the space of the study.

    `result` is what the study judges; of a robust study `outcome` is that of `scenario`, its worst.
    """

    run: RunData
    study: Study
    number: int
    params: Params
    codes: tuple[int, ...]
    design: Design
    outcome: Outcome
    scenario: Scenario
    result: Result
    verdict: Verdict


def _as_result(number: int, params: Params, outcome: Outcome) -> Result:
    return Result(number=number, params=params, state="complete", status=outcome.status, metrics=outcome.metrics,
                  tenants=outcome.tenants, scenarios=outcome.scenarios)


def open_trial(run: RunData | Path, trial: int | None = None, study: Study | None = None) -> Trial:
    """A trial of a run; by default the recommended design.

    Raises
    ------
    InputError : no such run or trial, or its parameters are not of this study's space.
    NothingFeasible : no trial is named and none is feasible.
    """
    run = run if isinstance(run, RunData) else read_run(run)
    study = study or run.record
    if trial is None:
        found = recommended(run)
        if not found:
            raise nothing_feasible(run, "--trial {trial}")
        trial = int(found[0]["trial"])
    row = run.row(trial)
    if row["state"] != "complete":
        raise InputError(Problem(field="--trial", message=f"must be a trial that was evaluated, {trial} failed",
                                 hint=f"why is in {run.path / 'trials.csv'}, column error"))
    params = run.params(row)
    try:
        codes = study.space.encode(params)
        design = study.design(params)
        seen = see(study, design)
    except (SpaceError, ModelError, KeyError) as error:
        raise InputError(Problem(file=str(run.path / "trials.csv"), field=f"trial {trial}",
                                 message=f"must be a design of the study: {error}")) from None
    result = _as_result(trial, params, seen.outcome)
    return Trial(run=run, study=study, number=trial, params=params, codes=codes, design=design, outcome=seen.within,
                 scenario=seen.scenario, result=result, verdict=judge(study, result))


_EQUAL_FRAC = 0.005
"""Policies whose objectives differ by less in the mean are called equal [-]."""


# --- what limits it ---------------------------------------------------------------------------------------------------


def limits(trial: Trial) -> dict[str, Any]:
    """Worst tenant, where every tenant's time goes, busiest engine, DRAM: shares in [0, 1].

    Returns
    -------
    `sentence`, `worst_tenant`, `tenants` (name -> p99_deadline_frac, p99_latency_s, slo_violation_frac, time_frac,
    limited_by, and `ANSWER_METRICS` where it has answers), `engines` (name -> busy share), `busiest_engine`,
    `dram_utilisation_frac`.
    """
    outcome = trial.outcome
    tenants: dict[str, dict[str, Any]] = {}
    for name, metrics in outcome.tenants.items():
        shares = outcome.breakdown.get(f"time_frac.{name}", {})
        tenants[name] = {key: metrics.get(key, math.nan)
                         for key in ("p99_deadline_frac", "p99_latency_s", "slo_violation_frac")}
        tenants[name] |= {key: metrics[key] for key in ANSWER_METRICS if key in metrics}
        tenants[name] |= {"time_frac": dict(shares),
                          "limited_by": max(shares, key=lambda key: shares[key]) if shares else ""}
    due = {name: found["p99_deadline_frac"] for name, found in tenants.items()
           if not math.isnan(found["p99_deadline_frac"])}
    engines = outcome.breakdown.get("engine_utilisation_frac", {})
    busiest = max(engines, key=lambda name: engines[name]) if engines else ""
    dram = outcome.metrics.get("dram_utilisation_frac", math.nan)
    row: dict[Any, Any] = dict(outcome.metrics)
    row |= {f"tenants.{name}.{key}": value for name, found in outcome.tenants.items() for key, value in found.items()}
    text = outcome.status if not outcome.ok else limits_sentence(trial.run, row, outcome.breakdown)
    if outcome.ok:
        text += f"; the busiest engine, {busiest}, works {engines[busiest]:.0%} of the time, DRAM {dram:.0%}"
    return {"sentence": text, "worst_tenant": max(due, key=lambda name: due[name]) if due else "", "tenants": tenants,
            "engines": dict(engines), "busiest_engine": busiest, "dram_utilisation_frac": dram}


def margins(trial: Trial) -> dict[str, dict[str, Any]]:
    """Budget -> value, bound, room left as a fraction of the bound (negative beyond it), met."""
    found = {}
    for metric, bound in trial.study.budgets.items():
        value = metric_of(trial.result, metric)
        found[metric] = {"value": value, "bound": bound, "margin_frac": budget_margin(bound, value, minimised(metric)),
                         "met": trial.verdict.violations[metric] <= 0.0}
    return found


# --- neighbours -------------------------------------------------------------------------------------------------------


class Neighbour(NamedTuple):
    """A design one step away: `parameter` from `before` to `after`.

    `also`: other parameters that had to follow, (before, after), None where inactive. `changes`: objective -> its
    value minus the trial's. `dominates`: feasible, no objective worse, one better.
    """

    parameter: str
    before: Any
    after: Any
    also: dict[str, tuple[Any, Any]]
    result: Result
    verdict: Verdict
    changes: dict[str, float]
    dominates: bool


def neighbours(trial: Trial, *, parameters: Sequence[str] | None = None) -> list[Neighbour]:
    """Designs one step away in the study's space, evaluated; see `spaces.Space.neighbour_codes`.

    Parameters
    ----------
    parameters : the only ones to move; all by default.
    """
    study, space = trial.study, trial.study.space
    evaluate = evaluator(study)
    found = []
    for codes in space.neighbour_codes(trial.codes):
        # a step moves its own parameter and maybe later ones, never an earlier one
        name = next(n for n, a, b in zip(space.names, trial.codes, codes, strict=True) if a != b)
        if parameters is not None and name not in parameters:
            continue
        params = space.decode(codes)
        result = evaluate_one(evaluate, trial.number, params)
        verdict = judge(study, result)
        also = {n: (trial.params.get(n), params.get(n)) for n in space.names
                if n != name and trial.params.get(n) != params.get(n)}
        changes = {o.metric: _minus(metric_of(result, o.metric), metric_of(trial.result, o.metric))
                   for o in study.objectives}
        found.append(Neighbour(name, trial.params[name], params[name], also, result, verdict, changes,
                               _dominates(verdict, trial.verdict)))
    return found


def _minus(value: float, other: float) -> float:
    return 0.0 if value == other else value - other


def _dominates(verdict: Verdict, other: Verdict) -> bool:
    if not verdict.feasible or verdict.values is None:
        return False
    if not other.feasible or other.values is None:
        return True
    pairs = list(zip(verdict.values, other.values, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def neighbours_sentence(trial: Trial, found: Sequence[Neighbour]) -> str:
    """Which steps improve a design, the largest improvement first."""
    def gain(neighbour: Neighbour) -> float:
        values = ((abs(change), abs(metric_of(trial.result, metric))) for metric, change in neighbour.changes.items())
        return sum(change / (size if 0.0 < size < math.inf else 1.0) for change, size in values)

    better = sorted((n for n in found if n.dominates), key=gain, reverse=True)
    if not better:
        return "No design one step away dominates it."
    named = ", ".join(f"{n.parameter} {parameter(n.parameter, n.before)} -> "
                      f"{parameter(n.parameter, n.after)}" for n in better[:3])
    more = f" and {len(better) - 3} more" if len(better) > 3 else ""
    return f"A step that improves it: {named}{more}."


# --- policies ---------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, kw_only=True)
class PolicyAnswer:
    """Policies on the hardware of the trial.

    Parameters
    ----------
    next : the best of the other policies, '' if none can run.
    costs : policy -> mean over the objectives of its relative change against this policy (> 0: worse) [-].
    met : policy -> whether its means meet every budget.
    """

    this: str
    next: str
    sentence: str
    comparison: Comparison
    costs: dict[str, float]
    met: dict[str, bool]


def _candidates(study: Study, own: str) -> list[str]:
    """The policies of the study's space; where that is one only, all that could be built."""
    domain = study.space.domains["policy"]
    names = [str(domain.value(code)) for code in range(int(domain.n))]
    if len(names) < 2:
        names = [name for name in default_policies() if not HIDDEN_TRUTH & set(POLICIES[name].needs)]
    return [own, *(name for name in names if name != own)]


def _cost(study: Study, entry: Entry, mine: Entry) -> float:
    """Mean relative change of the objectives, oriented so that > 0 is worse; inf where one has no value."""
    total = 0.0
    known = [objective for objective in study.objectives if objective.metric in mine.estimates]
    for objective in known:
        here, there = mine.estimates[objective.metric].mean, entry.estimates[objective.metric].mean
        change = _minus(there, here) * (1.0 if objective.minimise else -1.0)
        scale = abs(here) if here and math.isfinite(here) else 1.0
        total += math.inf if math.isnan(change) else change / scale
    return total / max(1, len(known))


def policies(trial: Trial, *, seeds: int = 5) -> PolicyAnswer:
    """This policy against the others on the same hardware, over `seeds` seeds from the study's on.

    Of a robust study: in the worst scenario, and by the metrics that it has.

    The next one is that whose means meet the budgets (if any does) and which has the least mean relative change over
    the objectives.
    """
    study, own = trial.study, trial.design.policy
    scenario = trial.scenario
    tenants = {tenant.name for tenant in scenario.workload.tenants}
    names = tuple(name for name in study.judged if name in OBJECTIVES or name.rpartition(".")[0] in tenants)
    found = compare_policies(trial.design, scenario.workload, policies=_candidates(study, own),
                             seeds=range(scenario.seed, scenario.seed + seeds), metrics=names)
    ran = {entry.policy: entry for entry in found.ran}
    if own not in ran:
        return PolicyAnswer(this=own, next="", sentence=f"{own} cannot run: {trial.outcome.status}.", comparison=found,
                            costs={}, met={})
    costs = {name: _cost(study, entry, ran[own]) for name, entry in ran.items()}
    met = {name: all(budget_margin(bound, entry.estimates[metric].mean, minimised(metric)) >= 0.0
                     for metric, bound in study.budgets.items() if metric in names) for name, entry in ran.items()}
    others = sorted((name for name in ran if name != own), key=lambda name: (not met[name], costs[name]))
    if not others:
        return PolicyAnswer(this=own, next="", sentence="No other policy can run on this hardware.", comparison=found,
                            costs=costs, met=met)
    return PolicyAnswer(this=own, next=others[0], comparison=found, costs=costs, met=met,
                        sentence=_policy_sentence(trial, found, others[0], costs[others[0]], met))


def _policy_sentence(trial: Trial, found: Comparison, other: str, cost: float, met: Mapping[str, bool]) -> str:
    own, study = trial.design.policy, trial.study
    entry, mine = (next(e for e in found.ran if e.policy == name) for name in (other, own))
    if met[own] != met[other]:
        word = "meets the budgets and the next policy does not" if met[own] else "misses a budget, the next policy none"
    else:
        word = "is as good as the next policy" if abs(cost) < _EQUAL_FRAC else "beats the next policy" if cost > 0.0 \
            else "is worse than another policy"
    gaps = []
    for objective in study.objectives:
        metric = objective.metric
        if metric not in mine.estimates:
            continue
        here, there = mine.estimates[metric].mean, entry.estimates[metric].mean
        text = comparison(metric, here, there)
        if entry.verdicts.get(metric) == "" and len(found.seeds) > 1 and here != there:
            text += " (no sure difference)"
        if not text.startswith("the same"):
            gaps.append(text)
    if not gaps:
        return f"{own} {word} on this hardware: {other} has the same objectives."
    return f"{own} {word} on this hardware: {other} has {', '.join(gaps)}{_reason(trial, other)}."


def _reason(trial: Trial, other: str) -> str:
    """Why: the tenant that is worst off under the worse of the two policies, with the study's seed."""
    from dataclasses import replace

    from hwmodels.evaluate import evaluate

    its = evaluate(replace(trial.design, policy=other, policy_params={}), trial.scenario.workload,
                   seed=trial.scenario.seed)
    outcomes = (trial.outcome, its)
    due = [{name: value for name, metrics in outcome.tenants.items()
            if not math.isnan(value := metrics.get("p99_deadline_frac", math.nan))} for outcome in outcomes]
    if not all(due):
        return ""
    worse = max(due, key=lambda found: max(found.values()))
    name = max(worse, key=lambda tenant: worse[tenant])
    here, there = due[0][name], due[1][name]
    if here == there:
        return ""
    waits = [outcome.breakdown.get(f"time_frac.{name}", {}).get("waiting") for outcome in outcomes]
    text = f"; there the p99 of {name} is at {there:.0%} of its deadline, here at {here:.0%}"
    if None not in waits:
        text += f" (it waits {waits[1]:.0%} of its time there, {waits[0]:.0%} here)"
    return text


# --- all of it --------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The answer of `dse why`."""

    trial: Trial
    limits: dict[str, Any]
    margins: dict[str, dict[str, Any]]
    neighbours: list[Neighbour]
    policies: PolicyAnswer
    notes: list[str]

    @property
    def sentence(self) -> str:
        """What the neighbours say about the search."""
        return neighbours_sentence(self.trial, self.neighbours)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        t, answer = self.trial, self.policies
        names = [o.metric for o in t.study.objectives]
        return {
            "run": str(t.run.path), "trial": t.number, "status": t.result.status, "feasible": t.verdict.feasible,
            "params": t.params, "objectives": {m: metric_of(t.result, m) for m in names}, "metrics": t.result.metrics,
            "scenario": t.scenario.name if t.study.robust else None, "scenarios": t.result.scenarios,
            "limits": self.limits, "margins": self.margins,
            "neighbours": [{
                "parameter": n.parameter, "from": n.before, "to": n.after,
                "also": {name: {"from": a, "to": b} for name, (a, b) in n.also.items()},
                "status": n.result.status, "feasible": n.verdict.feasible, "dominates": n.dominates,
                "objectives": {m: metric_of(n.result, m) for m in names}, "changes": n.changes,
                "violations": n.verdict.violations,
            } for n in self.neighbours],
            "policies": {"this": answer.this, "next": answer.next, "sentence": answer.sentence, "costs": answer.costs,
                         "meets_budgets": answer.met, "comparison": answer.comparison.as_dict()},
            "sentence": self.sentence, "notes": self.notes,
        }


def explain(run: RunData | Path, trial: int | None = None, *, seeds: int = 5) -> Explanation:
    """Evaluate a trial, its neighbours and the other policies; see the module.

    Parameters
    ----------
    trial : by default the recommended design.
    seeds : of the comparison of policies.
    """
    opened = open_trial(run, trial)
    notes = []
    row = opened.run.row(opened.number)
    changed = [label(m) for m, value in opened.result.metrics.items() if m in row and not _same(float(row[m]), value)]
    if changed:
        notes.append(f"evaluated now, the trial differs from trials.csv in {', '.join(changed[:4])}: the run was made "
                     "with other models")
    return Explanation(trial=opened, limits=limits(opened), margins=margins(opened), neighbours=neighbours(opened),
                       policies=policies(opened, seeds=seeds), notes=notes)


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9)
