"""A study: which designs, judged by what, under which budgets, searched how. Read from YAML by `dse.documents`."""

from dataclasses import dataclass
from typing import final

from hwmodels.workload import Workload
from spaces.space import Space

__all__ = ["Objective", "Study"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A metric being optimised: a name of `hwmodels.outcome.METRICS`, or `TENANT.METRIC` for one tenant's."""

    metric: str
    minimise: bool


@final
@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything `dse run` needs.

    Parameters
    ----------
    objectives : at least one.
    budgets : metric -> upper bound (lower bound for a metric that is better when larger); a trial's violation is the
        amount beyond it, <= 0 is feasible.
    space : the designs; decode with `spaces.designs.decode_design(params, workload)`.
    seed : of the sampler and of the traffic.
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
    fidelity: str = "simulate"
    workers: int | None = None
    eval_timeout_s: float = 60.0
    source: str = ""
    path: str = ""
