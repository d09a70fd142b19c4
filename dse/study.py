"""A study: which designs, judged by what, under which budgets, searched how. Read from YAML by `dse.documents`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, final

from hwmodels.constants import Constant
from hwmodels.design import Design
from hwmodels.outcome import OBJECTIVES
from hwmodels.robust import WORST, Scenario, all_tenants, at_rate
from hwmodels.workload import Workload
from spaces.space import Space

__all__ = ["Confidence", "Objective", "Robust", "Study", "minimised"]


def minimised(metric: str) -> bool:
    """Whether less of a metric (`METRIC` or `TENANT.METRIC`) is better."""
    known = OBJECTIVES.get(metric) or OBJECTIVES.get(metric.rpartition(".")[2])
    return known.minimise if known else True


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A metric being optimised: a name of `hwmodels.outcome.OBJECTIVES`, or `TENANT.METRIC` for one tenant's."""

    metric: str
    minimise: bool


@final
@dataclass(frozen=True, kw_only=True)
class Robust:
    """What a design is judged under besides the study's workload with its seed: every combination of these.

    Parameters
    ----------
    workloads : beside the study's, named uniquely.
    rates : traffic levels, > 0, see `hwmodels.robust` [-].
    seeds : these, or so many from the study's on.
    alpha : how a metric is aggregated, of the CVaR: 0 the mean, 1 the worst case [-].
    metrics : the same for single metrics (METRIC or TENANT.METRIC).
    """

    workloads: tuple[Workload, ...] = ()
    rates: tuple[float, ...] = (1.0,)
    seeds: int | tuple[int, ...] = 1
    alpha: float = WORST
    metrics: Mapping[str, float] = field(default_factory=dict)

    def alpha_of(self, metric: str) -> float:
        """Of a metric by its own name, else by the one it has of all tenants."""
        return self.metrics.get(metric, self.metrics.get(metric.rpartition(".")[2], self.alpha))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """How sure the front is to be: the best designs of the search race over more requests, see `dse.race`.

    Parameters
    ----------
    level : of the intervals, in (0, 1) [-].
    requests : simulated for a finalist in the last round, all tenants and scenarios together, at most.
    finalists : designs that race, at most.
    """

    level: float = 0.99
    requests: int = 300_000
    finalists: int = 32


@final
@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything `dse run` needs.

    Parameters
    ----------
    objectives : at least one.
    budgets : metric -> upper bound (lower bound for a metric that is better when larger); a trial's violation is the
        amount beyond it, <= 0 is feasible.
    space : the designs; `design` decodes one.
    seed : of the sampler and of the traffic.
    technology : constants in place of the published ones, of every design.
    robust : None judges a design under the one workload with the one seed.
    confidence : None takes the front of the search as it is.
    in_flight : trials asked before the first of them is told, at most.
    source : the YAML text as read, and `path` where from.
    """

    name: str
    workload: Workload
    objectives: tuple[Objective, ...]
    budgets: dict[str, float]
    space: Space
    sampler: str = "auto"
    trials: int = 400
    seed: int = 0
    technology: tuple[Constant, ...] = ()
    robust: Robust | None = None
    confidence: Confidence | None = None
    fidelity: str = "simulate"
    workers: int | None = None
    in_flight: int = 32
    eval_timeout_s: float = 60.0
    source: str = ""
    path: str = ""

    @property
    def judged(self) -> tuple[str, ...]:
        """Metrics of the objectives and the budgets."""
        return tuple(dict.fromkeys([*(objective.metric for objective in self.objectives), *self.budgets]))

    def minimise(self, metric: str) -> bool:
        """Whether less is better: as the objective says, else as the metric is defined."""
        return next((o.minimise for o in self.objectives if o.metric == metric), minimised(metric))

    @cached_property
    def served(self) -> Workload:
        """The tenants of all workloads: what a design is made for (the dedicated class has an engine for each)."""
        return all_tenants([self.workload, *(self.robust.workloads if self.robust else ())])

    def design(self, params: Mapping[str, Any]) -> Design:
        """The design that parameters of the space stand for. Raises `ModelError` where there is none."""
        from spaces.designs import decode_design

        return decode_design(params, self.served, self.technology)

    @cached_property
    def faced(self) -> tuple[Workload, ...]:
        """The workloads of the scenarios at their traffic levels, whatever the seed."""
        return tuple(dict.fromkeys(scenario.workload for scenario in self.scenarios))

    @cached_property
    def scenarios(self) -> tuple[Scenario, ...]:
        """What every design is faced with, the workload as given with the study's seed where there is one only."""
        robust = self.robust or Robust()
        workloads = [self.workload, *robust.workloads]
        seeds = robust.seeds if isinstance(robust.seeds, tuple) else range(self.seed, self.seed + robust.seeds)
        found = []
        for workload, rate, seed in product(workloads, robust.rates, seeds):
            parts = [workload.name] if len(workloads) > 1 else []
            parts += [f"rate x{rate:g}"] if len(robust.rates) > 1 else []
            parts += [f"seed {seed}"] if len(seeds) > 1 else []
            found.append(Scenario(name=", ".join(parts) or workload.name, workload=at_rate(workload, rate), rate=rate,
                                  seed=seed))
        return tuple(found)
