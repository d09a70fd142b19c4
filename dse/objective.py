"""From the parameters of a trial to its judgement: evaluate the design, orient the objectives, check the budgets.

    params --DesignEvaluator--> Outcome --Result--> journal;  Result + Study --judge--> Verdict (values, violations)

`evaluator(study)` is what workers call. Every trial uses the study's seeds for its traffic (common random numbers): all
designs face the same requests, and `dse evaluate` of a design gives the metrics of its trial.
"""

import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, final

from dse.study import Objective, Study, minimised
from hwmodels.constants import Constant
from hwmodels.errors import ModelError
from hwmodels.outcome import Outcome
from hwmodels.robust import robust_outcome
from hwmodels.workload import Workload
from spaces.space import Params

__all__ = ["DesignEvaluator", "Evaluate", "Result", "RobustEvaluator", "Verdict", "aggregated", "evaluate_one",
           "evaluator", "judge", "metric_of", "minimised", "result_of"]

Evaluate = Callable[[Params], Outcome]
"""What workers call: picklable, deterministic."""


@final
@dataclass(frozen=True, kw_only=True)
class DesignEvaluator:
    """The models on the design that the parameters stand for."""

    workload: Workload
    seed: int
    fidelity: str = "simulate"
    technology: tuple[Constant, ...] = ()
    metrics: tuple[str, ...] = ()
    """That the study judges: some are evaluated only then, see `hwmodels.outcome.SEARCHED`."""

    def __call__(self, params: Params) -> Outcome:
        from hwmodels.capacity import evaluate_judged
        from spaces.designs import decode_design

        try:
            design = decode_design(params, self.workload, self.technology)
            return evaluate_judged(design, self.workload, seed=self.seed, fidelity=self.fidelity, metrics=self.metrics)
        except ModelError as error:
            # the space holds a design that the models refuse: a result with its reason, not a crash
            return Outcome(status=str(error), metrics={})


@final
@dataclass(frozen=True, kw_only=True)
class RobustEvaluator:
    """The same under every scenario of a robust study, aggregated. The costs of the layers are found once."""

    study: Study
    fidelity: str = "simulate"

    def __call__(self, params: Params) -> Outcome:
        from hwmodels.capacity import evaluate_judged

        study = self.study
        try:
            design = study.design(params)
            outcomes = {scenario.name: evaluate_judged(design, scenario.workload, seed=scenario.seed,
                                                       fidelity=self.fidelity, metrics=study.judged)
                        for scenario in study.scenarios}
        except ModelError as error:
            return Outcome(status=str(error), metrics={})
        return aggregated(study, outcomes)


def aggregated(study: Study, outcomes: Mapping[str, Outcome]) -> Outcome:
    """The outcome of a robust study's design from those of the scenarios."""
    assert study.robust is not None
    return robust_outcome(outcomes, study.robust.alpha_of, study.minimise, study.judged)


def evaluator(study: Study, fidelity: str | None = None) -> Evaluate:
    """What a study's designs are evaluated with, at its fidelity or another."""
    chosen = fidelity or study.fidelity
    if study.robust is not None:
        # workers get what they need, not the text of the study
        return RobustEvaluator(study=replace(study, source="", path=""), fidelity=chosen)
    return DesignEvaluator(workload=study.workload, seed=study.seed, fidelity=chosen, technology=study.technology,
                           metrics=study.judged)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came out of one trial.

    Parameters
    ----------
    state : `complete` (evaluated, feasible or not) or `failed` (the evaluation crashed, hung or killed its worker).
    status : of the outcome: "ok", or why the design cannot serve the workload.
    error : of a failed trial: traceback or reason.
    scenarios : of a robust study: scenario -> judged metrics.
    """

    number: int
    params: Params
    state: str
    status: str = "ok"
    duration_s: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    tenants: dict[str, dict[str, float]] = field(default_factory=dict)
    error: str = ""
    scenarios: dict[str, dict[str, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For the journal; `Result(**d)` is the inverse."""
        return {name: value for name in self.__dataclass_fields__
                if (value := getattr(self, name)) or name != "scenarios"}


def result_of(number: int, params: Params, outcome: Outcome, duration_s: float) -> Result:
    """A trial that ran."""
    return Result(number=number, params=params, state="complete", status=outcome.status, duration_s=duration_s,
                  metrics={name: float(value) for name, value in outcome.metrics.items()},
                  tenants={tenant: {name: float(value) for name, value in metrics.items()}
                           for tenant, metrics in outcome.tenants.items()},
                  scenarios=outcome.scenarios)


def evaluate_one(evaluate: Evaluate, number: int, params: Params) -> Result:
    """Run one evaluation; an exception makes a failed trial, with its traceback."""
    start = time.perf_counter()
    try:
        outcome = evaluate(params)
        return result_of(number, params, outcome, time.perf_counter() - start)
    except Exception:
        return Result(number=number, params=params, state="failed", status="failed",
                      duration_s=time.perf_counter() - start, error=traceback.format_exc(limit=20))


class Verdict(NamedTuple):
    """A result seen by a study.

    `values` are oriented to be minimised, None where unknown; `violations` the amount beyond each budget (<= 0 is
    within it), NaN where the metric is unknown; `relative` the same over the size of the bound.
    """

    feasible: bool
    values: tuple[float, ...] | None
    violations: dict[str, float]
    relative: dict[str, float]


def metric_of(result: Result, name: str) -> float:
    """A metric by its name, or `TENANT.METRIC`; NaN when the result does not have it."""
    if name in result.metrics:
        return result.metrics[name]
    tenant, _, metric = name.rpartition(".")
    return result.tenants.get(tenant, {}).get(metric, math.nan)


def _oriented(objective: Objective, value: float) -> float:
    return value if objective.minimise else -value


def judge(study: Study, result: Result) -> Verdict:
    """Values and violations of a result; feasible = ran ok, finite objectives, every budget met."""
    violations, relative = {}, {}
    for metric, bound in study.budgets.items():
        value = metric_of(result, metric)
        violations[metric] = value - bound if minimised(metric) else bound - value
        relative[metric] = violations[metric] / (abs(bound) or 1.0)
    values = tuple(_oriented(objective, metric_of(result, objective.metric)) for objective in study.objectives)
    known = result.state == "complete" and result.status == "ok" and all(map(math.isfinite, values))
    feasible = known and all(violation <= 0.0 for violation in violations.values())
    return Verdict(feasible, values if known else None, violations, relative)
