"""From the parameters of a trial to its judgement: evaluate the design, orient the objectives, check the budgets.

    params --DesignEvaluator--> Outcome --Result--> journal;  Result + Study --judge--> Verdict (values, violations)

`DesignEvaluator` is what workers call. Every trial uses the study's seed for its traffic (common random numbers): all
designs face the same requests, and `dse evaluate` of a design gives the metrics of its trial.
"""

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

from dse.study import Objective, Study
from hwmodels.errors import ModelError
from hwmodels.outcome import METRICS, Outcome
from hwmodels.workload import Workload
from spaces.space import Params

__all__ = ["DesignEvaluator", "Evaluate", "Result", "Verdict", "evaluate_one", "judge", "metric_of", "minimised"]

Evaluate = Callable[[Params], Outcome]
"""What workers call: picklable, deterministic."""


@final
@dataclass(frozen=True, kw_only=True)
class DesignEvaluator:
    """`hwmodels.evaluate` on the design that the parameters stand for."""

    workload: Workload
    seed: int
    fidelity: str = "simulate"

    def __call__(self, params: Params) -> Outcome:
        from hwmodels.evaluate import evaluate
        from spaces.designs import decode_design

        try:
            return evaluate(decode_design(params, self.workload), self.workload, seed=self.seed, fidelity=self.fidelity)
        except ModelError as error:
            # the space holds a design that the models refuse: a result with its reason, not a crash
            return Outcome(status=str(error), metrics={})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came out of one trial.

    Parameters
    ----------
    state : `complete` (evaluated, feasible or not) or `failed` (the evaluation crashed, hung or killed its worker).
    status : of the outcome: "ok", or why the design cannot serve the workload.
    error : of a failed trial: traceback or reason.
    """

    number: int
    params: Params
    state: str
    status: str = "ok"
    duration_s: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    tenants: dict[str, dict[str, float]] = field(default_factory=dict)
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For the journal; `Result(**d)` is the inverse."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def evaluate_one(evaluate: Evaluate, number: int, params: Params) -> Result:
    """Run one evaluation; an exception makes a failed trial, with its traceback."""
    start = time.perf_counter()
    try:
        outcome = evaluate(params)
        return Result(number=number, params=params, state="complete", status=outcome.status,
                      duration_s=time.perf_counter() - start,
                      metrics={name: float(value) for name, value in outcome.metrics.items()},
                      tenants={tenant: {name: float(value) for name, value in metrics.items()}
                               for tenant, metrics in outcome.tenants.items()})
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


def minimised(metric: str) -> bool:
    """Whether less of a metric (`METRIC` or `TENANT.METRIC`) is better."""
    known = METRICS.get(metric) or METRICS.get(metric.rpartition(".")[2])
    return known.minimise if known else True


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
