"""Study files: which designs, judged by what, under which budgets, searched how."""

from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, GetJsonSchemaHandler, Tag, model_validator
from pydantic_core import CoreSchema

from dse.errors import did_you_mean
from dse.rules import Broken, Rule, anything, count, number, one_of, text
from dse.schema.domains import domains_schema
from dse.schema.hardware import TechnologyKey
from dse.schema.parts import UNION_TAGS, Model, Name, Positive, names, text_or_more
from dse.schema.workload import MAX_REQUESTS, WorkloadFile
from hwmodels.outcome import OBJECTIVES
from hwmodels.robust import MEAN, WORST

__all__ = ["RobustSection", "Search", "StudyFile"]


class ObjectiveEntry(Model):
    """A metric being optimised."""

    WHAT: ClassVar[str] = "a metric, or a mapping with the keys metric and direction"
    metric: Annotated[str, text("a metric of `dse list metrics`, or TENANT.METRIC")]
    direction: Annotated[str, one_of(("minimise", "maximise"))] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"metric": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        mapping = handler.resolve_ref_schema(handler(core))
        metric = {"anyOf": [{"enum": list(OBJECTIVES)}, {"type": "string", "pattern": r"^.+\."}]}
        mapping["properties"]["metric"] = metric
        return {"anyOf": [metric, dict(mapping)]}


def _different(key: str, listed: Any, what: str) -> list[Broken]:
    """What is wrong with a list that shall have different values; anything else is fine."""
    if not isinstance(listed, list):
        return []
    if not listed:
        return [Broken(at=(key,), message=f"must be a list of at least one {what}")]
    return [Broken(at=(key, i), message="must be listed once") for i, one in enumerate(listed) if one in listed[:i]]


class SpaceSection(Model):
    """Which designs are searched; without it, all."""

    WHAT: ClassVar[str] = "a mapping with the keys architectures, policies, domains and forbidden"
    architectures: list[Annotated[str, names("hwmodels.architectures", "ARCHITECTURES")]] | None = None
    policies: list[Annotated[str, names("hwmodels.policies", "POLICIES")]] | None = None
    domains: dict[str, Annotated[Any, anything()]] = {}
    """Parameter -> list of values, {low, high, step} or {low, high, log}."""
    forbidden: list[dict[str, Annotated[Any, anything()]]] = []
    """Combinations of parameter values that are left out."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        section = handler.resolve_ref_schema(handler(core))
        section["properties"]["domains"] = domains_schema()
        return section

    @model_validator(mode="after")
    def _not_empty(self) -> "SpaceSection":
        broken = [*_different("architectures", self.architectures, "name"),
                  *_different("policies", self.policies, "name")]
        if broken:
            raise Broken.error(broken)
        return self


CVAR = "worst, mean or {cvar: ALPHA} with ALPHA in [0, 1]"


def _aggregate(value: Any) -> float:
    """alpha of the CVaR; see `hwmodels.robust`."""
    if isinstance(value, str) and value in ("worst", "mean"):
        return WORST if value == "worst" else MEAN
    if isinstance(value, dict) and value.keys() == {"cvar"}:
        alpha = value["cvar"]
        if isinstance(alpha, int | float) and not isinstance(alpha, bool) and 0.0 <= alpha <= 1.0:
            return float(alpha)
    raise ValueError(did_you_mean(value, ("worst", "mean")) if isinstance(value, str) else "")


Aggregate = Annotated[float, Rule(CVAR, _aggregate, "", {"anyOf": [
    {"enum": ["worst", "mean"]},
    {"type": "object", "properties": {"cvar": {"type": "number", "minimum": 0, "maximum": 1}}, "required": ["cvar"],
     "additionalProperties": False}]})]


def _seeds(value: Any) -> str:
    return UNION_TAGS[isinstance(value, list)]


class RobustSection(Model):
    """Designs are judged under every combination of workload, traffic level and seed."""

    WHAT: ClassVar[str] = "a mapping with the keys workloads, rates, seeds, aggregate and metrics"
    workloads: list[Annotated[
        Annotated[str, text("a workload file, or a name of `dse list workloads`"), Tag(UNION_TAGS[0])]
        | Annotated[WorkloadFile, Tag(UNION_TAGS[1])], Discriminator(text_or_more)]] = []
    """Beside the study's workload; the chip serves the tenants of all."""
    rates: list[Annotated[float, number(above=0, ceiling=1e6)]] = [1.0]
    """Traffic levels: factors on the arrival rates, the service levels stay [-]."""
    seeds: Annotated[Annotated[int, count(1, 10_000), Tag(UNION_TAGS[0])]
                     | Annotated[list[Annotated[int, count(0)]], Tag(UNION_TAGS[1])], Discriminator(_seeds)] = 1
    """Seeds of the traffic: a list, or how many from search.seed on."""
    aggregate: Aggregate = WORST
    """Of every metric over the scenarios: worst, mean or {cvar: ALPHA}, the mean of the worst share 1 - ALPHA."""
    metrics: dict[str, Aggregate] = {}
    """The same for single metrics: METRIC or TENANT.METRIC."""

    @model_validator(mode="after")
    def _several(self) -> "RobustSection":
        broken = [*_different("rates", self.rates, "number"), *_different("seeds", self.seeds, "number")]
        n_seeds = len(self.seeds) if isinstance(self.seeds, list) else self.seeds
        if (len(self.workloads) + 1) * len(self.rates) * n_seeds == 1:
            broken.append(Broken(message="must have more than one scenario: further workloads, rates or seeds",
                                 got=False))
        if broken:
            raise Broken.error(broken)
        return self


class ConfidenceSection(Model):
    """The best designs race over more requests, until the front is sure."""

    WHAT: ClassVar[str] = "a mapping with the keys level, requests and finalists"
    level: Annotated[float, number(above=0, below=1)] = 0.99
    """Of the intervals [-]."""
    requests: Annotated[int, count(1, MAX_REQUESTS)] = 300_000
    """Simulated for a finalist in the last round, all tenants and scenarios together, at most; a p99 at 99 % confidence
    needs 262,742 of its tenant (MLPerf)."""
    finalists: Annotated[int, count(1, 10_000)] = 32
    """Designs that race, at most: the front of the search first, then what it dominates."""


class Search(Model):
    """How the space is searched."""

    WHAT: ClassVar[str] = "a mapping with the keys sampler, trials and seed"
    sampler: Annotated[str, names("dse.samplers", "SAMPLERS")] = "auto"
    trials: Annotated[int, count(1, 10**9)] = 400
    """Designs to evaluate."""
    seed: Annotated[int, count(0)] = 0
    """Of the sampler and of the traffic."""
    workers: Annotated[int, count(1, 4096)] | None = None
    """Processes; without, one per core."""
    in_flight: Annotated[int, count(1, 65536)] = 32
    """Trials under way at most, so that many workers can be busy; more: the sampler learns later."""
    eval_timeout_s: Positive = 60.0
    """A design that takes longer is a failed trial [s]."""


class StudyFile(Model):
    """Which designs, judged by what, under which budgets, searched how."""

    WHAT: ClassVar[str] = "a mapping with the keys kind, name, workload, objectives, budgets, space and search"
    kind: Annotated[str, one_of(("study",))] = "study"
    name: Name
    workload: Annotated[
        Annotated[str, text("a workload file, or a name of `dse list workloads`"), Tag(UNION_TAGS[0])]
        | Annotated[WorkloadFile, Tag(UNION_TAGS[1])], Discriminator(text_or_more)]
    objectives: list[ObjectiveEntry]
    budgets: dict[str, Annotated[float, number()]] = {}
    """Metric -> bound: upper for a metric that is better when smaller, lower otherwise."""
    space: SpaceSection = SpaceSection()
    search: Search = Search()
    technology: TechnologyKey | None = None
    """Own constants of all designs, in place of the published ones: a file, or {constants: ...}."""
    robust: RobustSection | None = None
    """Judge designs under several workloads, traffic levels and seeds."""
    confidence: ConfidenceSection | None = None
    """Let the best designs race over more requests; without, the front is that of one run of each design."""
    fidelity: Annotated[str, names("hwmodels.evaluate", "FIDELITIES")] = "simulate"

    @model_validator(mode="after")
    def _at_least_one(self) -> "StudyFile":
        if not self.objectives:
            raise Broken.error([Broken(at=("objectives",), message="must be a list of at least one metric")])
        return self
