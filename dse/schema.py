"""What our YAML files may hold: one pydantic model per mapping. `dse.documents` turns them into the models' records.

    workload   Tenant[] (network: name, file or layers; Traffic; Service)
    engine
    design     DesignEngine[], policy, scheduler
    study      workload, objectives, budgets, Space, Search

Rules are sentences (`dse.rules`); rules between the keys of one mapping are validators that name the key they blame.
Names come from the registries, so a new policy, architecture, network or sampler needs no change here.
"""

import importlib
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Discriminator, GetJsonSchemaHandler, Tag, create_model, model_validator
from pydantic_core import CoreSchema

from dse.domain_schema import domains_schema
from dse.errors import did_you_mean
from dse.rules import Broken, Rule, anything, count, flag, number, one_of, record_fields, text, times
from hwmodels import engine, network
from hwmodels.outcome import OBJECTIVES
from hwmodels.robust import MEAN, WORST

__all__ = ["KINDS", "LOG_KEYS", "MAX_REQUESTS", "UNION_TAGS", "DesignFile", "EngineFile", "InlineNetwork", "Model",
           "RobustSection", "Search", "StudyFile", "TechnologyFile", "Tenant", "Traffic", "WorkloadFile", "json_schema"]

MAX_REQUESTS = 20_000_000
"""Requests of one workload: their columns must fit in memory."""


def _registry(module: str, name: str) -> Iterable[Any]:
    """Names of a registry, imported only when a file asks for them."""
    names: Iterable[Any] = getattr(importlib.import_module(module), name)
    return names


def _names(module: str, name: str) -> Any:
    return one_of(lambda: _registry(module, name))


Positive = Annotated[float, number(above=0)]
NonNegative = Annotated[float, number(at_least=0)]
Name = Annotated[str, text()]
Side = Annotated[int, count(1, 2**16)]
Bytes = Annotated[int, count(1, 2**40)]
Lanes = Annotated[int, count(1, 2**20)]
Precision = Annotated[str, _names("hwmodels.engine", "PRECISION_BITS")]
Clock = Annotated[float, number(above=0, ceiling=1e12)]
Bandwidth = Annotated[float, number(above=0, ceiling=1e15)]
Node = Annotated[int, _names("hwmodels.engine", "NODES_NM")]


class Model(BaseModel):
    """A mapping; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True)
    WHAT: ClassVar[str] = "a mapping"


UNION_TAGS = ("<text>", "<inline>")
"""Branches of a value that is a text (a name, a path) or written out in place; pydantic puts them into its paths."""


def _text_or_more(value: Any) -> str:
    return UNION_TAGS[isinstance(value, dict | list | BaseModel)]


# --- workload ---------------------------------------------------------------------------------------------------------

_ONLY_FOR = {
    "rate_hz": ("periodic", "poisson", "gamma", "bursty"), "jitter_frac": ("periodic",), "gap_cv": ("gamma",),
    "on_s": ("bursty",), "off_s": ("bursty",), "rates_hz": ("rate_table",), "step_s": ("rate_table",),
    "file": ("trace",), "arrivals_s": ("trace",),
}
LOG_KEYS = ("from_s", "to_s", "scale_rate", "limit", "time_unit")
"""What may be said about the file of a trace."""
_ONLY_FOR |= dict.fromkeys(LOG_KEYS, ("trace",))


class Traffic(Model):
    """How the requests of one tenant arrive."""

    WHAT: ClassVar[str] = "a mapping such as {kind: periodic, rate_hz: 30}"
    kind: Annotated[str, _names("hwmodels.workload", "TRAFFIC_KINDS")]
    rate_hz: Annotated[float, number(above=0, ceiling=1e9)] | None = None
    """Mean arrivals per second [Hz]; not for rate_table and trace."""
    jitter_frac: Annotated[float, number(at_least=0, at_most=0.5)] | None = None
    """Periodic: half width of the uniform jitter, as a fraction of the period [-]."""
    offset_s: NonNegative = 0.0
    """First arrival of a periodic stream, start of the others [s]."""
    gap_cv: Annotated[float, number(at_least=0.01, at_most=100)] | None = None
    """Gamma: standard deviation / mean of the gaps; 1 is Poisson, more comes in bursts [-]."""
    rates_hz: list[Annotated[float, number(at_least=0, ceiling=1e9)]] | None = None
    """Rate table: Poisson with these rates one after the other, then from the first again [Hz]."""
    step_s: Positive | None = None
    """Rate table: how long each rate holds [s]."""
    on_s: Positive | None = None
    """Bursty: mean length of the periods with requests [s]."""
    off_s: NonNegative | None = None
    """Bursty: mean length of the periods without [s]."""
    file: Annotated[str, text("the path of a request log")] | None = None
    """Trace: a request log of any format that `dse inspect` knows, e.g. CSV with a column `arrival_s` [s]; with a
    column `tenant`, only the rows of this tenant count."""
    from_s: NonNegative | None = None
    """Trace file: arrivals before are left out, and this becomes time 0 [s]."""
    to_s: Positive | None = None
    """Trace file: arrivals from here on are left out [s]."""
    scale_rate: Positive | None = None
    """Trace file: that many times the rate, with the shape kept [-]."""
    limit: Annotated[int, count(1)] | None = None
    """Trace file: only the first so many requests [-]."""
    time_unit: Annotated[str, one_of(("s", "ms", "us", "ns"))] | None = None
    """Trace file: for a format that does not document its unit."""
    arrivals_s: Annotated[
        Annotated[list[float], times(), Tag(UNION_TAGS[0])] | Annotated[list[NonNegative], Tag(UNION_TAGS[1])],
        Discriminator(_text_or_more)] | None = None
    """Trace: arrival times, a list, or a text with blanks in between (faster to read where there are many) [s]."""

    stream: Name | None = None
    """Tenants that name the same stream split one sequence of arrivals; their traffic differs in `part` only."""
    part: list[Annotated[float, number(at_least=0, at_most=1)]] | None = None
    """[low, high]: the share high - low of the stream that is this tenant's, apart from those of the others [-]."""

    @property
    def mean_rate_hz(self) -> float:
        """Of the whole stream, 0 for a trace [Hz]."""
        return sum(self.rates_hz) / len(self.rates_hz) if self.rates_hz else self.rate_hz or 0.0

    @model_validator(mode="after")
    def _keys_of_the_kind(self) -> "Traffic":
        broken = [Broken(at=(key,), message=f"must be left out: it is for {', '.join(kinds)} traffic, not {self.kind}",
                         got=False, at_key=True)
                  for key, kinds in _ONLY_FOR.items() if key in self.model_fields_set and self.kind not in kinds]
        if self.kind == "trace":
            if self.file is None and self.arrivals_s is None:
                broken.append(Broken(message="must have the key file or arrivals_s (trace)", got=False))
            elif self.file is not None and self.arrivals_s is not None:
                broken.append(Broken(at=("arrivals_s",), message="must be left out when file is given", got=False,
                                     at_key=True))
            elif self.file is None:
                broken += [Broken(at=(key,), message="must be left out: it is for a trace file", got=False, at_key=True)
                           for key in LOG_KEYS if getattr(self, key) is not None]
            if self.arrivals_s is not None and not self.arrivals_s:
                broken.append(Broken(at=("arrivals_s",), message="must be a list of at least one arrival time"))
        else:
            rules = {"rates_hz": "a list of numbers >= 0", "step_s": "a number > 0"} if self.kind == "rate_table" else {
                "rate_hz": "a number > 0"} | ({"gap_cv": "a number in [0.01, 100]"} if self.kind == "gamma" else {})
            broken += [Broken(message=f"must have the key {key} ({self.kind}), {rule}", got=False)
                       for key, rule in rules.items() if getattr(self, key) is None]
        if self.rates_hz is not None and not sum(self.rates_hz) > 0.0:
            broken.append(Broken(at=("rates_hz",), message="must be a list of rates with one > 0"))
        if self.part is not None and not (len(self.part) == 2 and self.part[0] < self.part[1]):
            broken.append(Broken(at=("part",), message="must be [low, high] with 0 <= low < high <= 1"))
        if broken:
            raise Broken.error(broken)
        return self


class Service(Model):
    """What a tenant expects."""

    WHAT: ClassVar[str] = "a mapping such as {deadline_s: 0.033, percentile: 99}"
    deadline_s: Positive | None = None
    """Relative to the arrival [s]. Without any deadline, a periodic tenant's is its period."""
    deadline_x_isolated: Positive | None = None
    """Multiple of the isolated latency on the same design [-]; instead of deadline_s."""
    percentile: Annotated[float, number(above=0, at_most=100)] = 99.0
    """Of the latency that must meet the deadline [%]."""
    drop_late: Annotated[bool, flag()] = False
    """Drop a request that is still queued at its deadline."""

    @model_validator(mode="after")
    def _one_deadline(self) -> "Service":
        if self.deadline_s is not None and self.deadline_x_isolated is not None:
            raise Broken.error([Broken(at=("deadline_x_isolated",), message="must be left out when deadline_s is given",
                                       got=False, at_key=True)])
        return self


class _Layer(Model):
    """A layer written in place: see `hwmodels.network.Layer`."""

    WHAT: ClassVar[str] = "a mapping such as {name: conv1, op: conv, k: 64, c: 3, oy: 112, ox: 112, fy: 7, fx: 7}"


Layer: Any = create_model("Layer", __base__=_Layer, __doc__=_Layer.__doc__, **record_fields(
    network.Layer, {"op": Annotated[str, one_of(network.OPS)], "inputs": list[Annotated[int, count(-1)]] | None}))


class InlineNetwork(Model):
    """A network written in place."""

    WHAT: ClassVar[str] = "a mapping with the keys name and layers"
    name: Name
    layers: list[Layer]
    source: Annotated[str, text("a text")] | None = None
    notes: list[Annotated[str, text("a text")]] = []


def _tokens(most: int = 2**24) -> Rule:
    """A number of tokens, or a name of measured lengths."""
    numbers = count(1, most)
    names = one_of(lambda: _registry("hwmodels.token_lengths", "LENGTHS"))

    def check(value: Any) -> Any:
        return names.check(value) if isinstance(value, str) else numbers.check(value)

    return Rule("an integer >= 1, or a name of `dse list lengths`", check, "number",
                lambda: {"anyOf": [numbers.json, names.json()]})  # type: ignore[operator]


class Tenant(Model):
    """One owner of a request stream."""

    WHAT: ClassVar[str] = "a mapping with the keys name, network, traffic and service"
    name: Name
    network: Annotated[
        Annotated[str, text("a network of `dse list networks`, a file (.onnx, config.json, topology .csv) or layers"),
                  Tag(UNION_TAGS[0])] | Annotated[InlineNetwork, Tag(UNION_TAGS[1])], Discriminator(_text_or_more)]
    bind: dict[str, Annotated[int, count(1, 2**31 - 1)]] = {}
    """Free dimensions of an ONNX file, e.g. {batch: 1, seq: 384}."""
    precision: Precision | None = None
    """All layers at this precision; without, as in the network."""
    phase: Annotated[str, one_of(("prefill", "decode"))] | None = None
    """Language models: which phase."""
    tokens: Annotated[int | str, _tokens()] | None = None
    """Language models: new tokens; or measured prompt lengths of `dse list lengths` (prefill) [-]."""
    context: Annotated[int | str, _tokens()] | None = None
    """Language models: tokens attended to; or measured lengths of `dse list lengths` (decode) [-]."""
    length_classes: Annotated[int, count(1, 64)] | None = None
    """Measured lengths: how many equally likely lengths stand for them, each a tenant NAME_q1, NAME_q2 ..; 4 by
    default [-]."""
    batch: Annotated[int, count(1, 2**16)] | None = None
    """Language models: sequences processed together [-]."""
    head: Annotated[str, one_of(("last", "all"))] | None = None
    """Language models: output product on the last token (serving) or on all."""
    mlp: Annotated[str, one_of(("gated", "plain"))] | None = None
    """Language models of an unknown type: form of the feed-forward part."""
    exits: dict[str, Annotated[float, number(at_least=0, at_most=1)]] | None = None
    """Early exits: name of a layer -> probability that a request leaves after it, given that it has run it [-]; instead
    of those of the network itself. {} = none."""
    traffic: Traffic | None = None
    """Left out for a follower (`after`)."""
    service: Service = Service()
    priority: Positive = 1.0
    """Larger is more important [-]."""
    after: Name | None = None
    """Name of the tenant whose request must finish first."""
    probability: Annotated[float, number(at_least=0, at_most=1)] = 1.0
    """That a parent request fires this follower [-]."""
    steps: Annotated[int, count(1, 2**16)] = 1
    """Followers: requests per parent request, one after the other, as the tokens of an answer (decode) [-]."""

    @model_validator(mode="after")
    def _traffic_or_after(self) -> "Tenant":
        broken = []
        if self.traffic is None and self.after is None:
            broken.append(Broken(message="must have the key traffic (or after, for a follower)", got=False))
        if self.traffic is not None and self.after is not None:
            broken.append(Broken(at=("traffic",), message="must be left out: a follower (after) takes the arrivals of "
                                 "the tenant it follows", got=False, at_key=True))
        if self.after is None and "probability" in self.model_fields_set:
            broken.append(Broken(at=("probability",), message="must be left out: it is for followers (after)",
                                 got=False, at_key=True))
        if self.after is None and "steps" in self.model_fields_set:
            broken.append(Broken(at=("steps",), message="must be left out: it is for followers (after)", got=False,
                                 at_key=True))
        if isinstance(self.network, InlineNetwork):
            broken += [Broken(at=(key,), message="must be left out when the layers are given", got=False, at_key=True)
                       for key in ("bind", "phase", "tokens", "context", "length_classes", "batch", "head", "mlp",
                                   "exits") if key in self.model_fields_set]
        else:
            broken += self._lengths_fit()
        if broken:
            raise Broken.error(broken)
        return self


    def _lengths_fit(self) -> list[Broken]:
        """Measured lengths are those of prompts in the prefill phase, of contexts in the decode phase."""
        varies = "context" if self.phase == "decode" else "tokens"
        broken = [Broken(at=(key,), message=f"must be an integer >= 1 in the {self.phase or 'prefill'} phase (measured "
                         f"lengths are for {varies})")
                  for key in ("tokens", "context") if key != varies and isinstance(getattr(self, key), str)]
        if isinstance(getattr(self, varies), str):
            if self.traffic is None:
                broken.append(Broken(at=(varies,), message="must be an integer >= 1 for a follower (after)"))
        elif self.length_classes is not None:
            broken.append(Broken(at=("length_classes",), message="must be left out: it is for measured lengths "
                                 "(`dse list lengths`)", got=False, at_key=True))
        return broken


class WorkloadFile(Model):
    """Tenants, and how long their requests keep arriving."""

    WHAT: ClassVar[str] = "a mapping with the keys kind, name, duration_s and tenants"
    kind: Annotated[str, one_of(("workload",))] = "workload"
    name: Name
    duration_s: Annotated[float, number(above=0, ceiling=1e9)] = 1.0
    """Arrivals stop here; everything that arrived is served to the end [s]."""
    tenants: list[Tenant]

    @model_validator(mode="after")
    def _together(self) -> "WorkloadFile":
        arrivals = {t.name: t.traffic.mean_rate_hz for t in self.tenants if t.traffic is not None}
        for _ in self.tenants:  # followers of followers; a cycle is reported elsewhere
            arrivals |= {t.name: arrivals[t.after] * t.probability for t in self.tenants if t.after in arrivals}
        rates = [arrivals.get(t.name, 0.0) * t.steps for t in self.tenants]
        if sum(rates) * self.duration_s > MAX_REQUESTS:
            raise Broken.error([Broken(at=("duration_s",) if "duration_s" in self.model_fields_set else (),
                                       message=f"must be so that at most {MAX_REQUESTS:,} requests arrive "
                                       f"({sum(rates):g} per second)")])
        if not self.tenants:
            raise Broken.error([Broken(at=("tenants",), message="must be a list of at least one tenant")])
        return self


# --- technology -------------------------------------------------------------------------------------------------------


class OwnConstant(Model):
    """A constant in place of the published one of its key."""

    WHAT: ClassVar[str] = "a number, or a mapping with the keys value, low, high and source"
    value: Positive
    """In the unit at the end of the key's name."""
    low: Positive | None = None
    """Range, for uncertainty; without, as wide as the published one in proportion."""
    high: Positive | None = None
    source: Annotated[str, text("a text")] | None = None
    """Where the number is from: it goes into the manifest of a run."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return value if isinstance(value, dict | OwnConstant) else {"value": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        mapping = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, dict(mapping)]}


class TechnologyFile(Model):
    """Own constants of the cost model."""

    WHAT: ClassVar[str] = "a mapping with the keys kind, name and constants"
    kind: Annotated[str, one_of(("technology",))] = "technology"
    name: Name = "own"
    constants: dict[str, OwnConstant]
    """Key of `dse explain`, on a curve with its node (`mac_int8_energy_j.16nm`) -> a number, or a mapping with the keys
    value, low, high and source."""


TechnologyKey = Annotated[Annotated[str, text("a technology file"), Tag(UNION_TAGS[0])]
                          | Annotated[TechnologyFile, Tag(UNION_TAGS[1])], Discriminator(_text_or_more)]

# --- hardware ---------------------------------------------------------------------------------------------------------


_CHIP = ("node_nm", "freq_hz", "dram_bytes_per_s", "technology")
_ENGINE_RULES: dict[str, Any] = {
    "rows": Side, "cols": Side, "sram_bytes": Bytes, "vector_lanes": Lanes, "node_nm": Node,
    "freq_hz": Clock, "dram_bytes_per_s": Bandwidth, "precision": Precision,
    "stacks": Side, "sram_words_per_cycle": Annotated[int, count(0, 2**30)],
    "skipping_efficiency_frac": Annotated[float, number(at_least=0, at_most=1)],
    "depthwise_modes": list[Annotated[str, _names("hwmodels.engine", "DEPTHWISE_MODES")]],
    "sram_fracs": list[Annotated[float, number(above=0, at_most=1)]] | None,
} | {
    name: Annotated[str, _names("hwmodels.engine", options)] for name, options in (
        ("dataflow", "ALL_DATAFLOWS"), ("fold_overlap", "FOLD_OVERLAPS"), ("im2col", "IM2COL"),
        ("multi_precision", "MULTI_PRECISION"), ("zero_skipping", "ZERO_SKIPPING"), ("batching", "BATCHING"))
}


class _EngineFile(Model):
    """One engine, alone on its DRAM channel."""

    WHAT: ClassVar[str] = "a mapping with the keys rows, cols, dataflow, sram_bytes, dram_bytes_per_s and freq_hz"
    kind: Annotated[str, one_of(("engine",))] = "engine"


class _DesignEngine(Model):
    """One engine of a design; the chip's node, clock and DRAM bandwidth are keys of the design."""

    WHAT: ClassVar[str] = "a mapping with the keys rows, cols, dataflow and sram_bytes"
    tenant: Name | None = None
    """Dedicated: name of the tenant it serves."""
    dram_frac: Annotated[float, number(above=0, at_most=1)] | None = None
    """Dedicated: its share of the DRAM bandwidth [-]."""


EngineFile: Any = create_model("EngineFile", __base__=_EngineFile, __doc__=_EngineFile.__doc__,
                               **record_fields(engine.Engine, _ENGINE_RULES, without=("technology",)))
DesignEngine: Any = create_model("DesignEngine", __base__=_DesignEngine, __doc__=_DesignEngine.__doc__,
                                 **record_fields(engine.Engine, _ENGINE_RULES, without=_CHIP))


class DesignFile(Model):
    """A chip, the policy that schedules it, and who runs the policy."""

    WHAT: ClassVar[str] = "a mapping with the keys kind, architecture, engines, policy, ..."
    kind: Annotated[str, one_of(("design",))] = "design"
    architecture: Annotated[str, _names("hwmodels.architectures", "ARCHITECTURES")]
    node_nm: Node = 16
    """Process node [nm]."""
    freq_hz: Clock
    """Clock [Hz]."""
    dram_bytes_per_s: Bandwidth
    """Of the whole chip [byte/s]."""
    engines: list[DesignEngine]
    subarrays: Annotated[int, one_of((4, 16, 64))] | None = None
    """Composable: parts the array can split into."""
    policy: Annotated[Any, anything({"oneOf": [{"type": "string"}, {"type": "object", "required": ["name"]}]},
                                    "a name of `dse list policies`, or a mapping with the key name")]
    """Name, or {name: NAME, PARAMETER: value ...}; see `dse list policies`."""
    scheduler: Annotated[str, _names("hwmodels.design", "SCHEDULERS")] = "software"
    """Who runs the policy."""
    technology: TechnologyKey | None = None
    """Own constants, in place of the published ones: a file, or {constants: ...}."""
    seed: Annotated[int, count(0)] | None = None
    """Of the traffic it was evaluated with."""
    provenance: dict[str, Any] = {}
    """Where the design comes from; free."""

    @model_validator(mode="after")
    def _keys_of_the_architecture(self) -> "DesignFile":
        broken = []
        if not self.engines:
            broken.append(Broken(at=("engines",), message="must be a list of at least one engine"))
        if self.architecture in ("time_mux", "composable") and len(self.engines) > 1:
            broken.append(Broken(at=("engines",), message=f"must be a list of one engine ({self.architecture}), "
                                 f"got {len(self.engines)}", got=False))
        if self.architecture == "composable" and self.subarrays is None:
            broken.append(Broken(message="must have the key subarrays (composable): 4, 16 or 64", got=False))
        if self.architecture != "composable" and self.subarrays is not None:
            broken.append(Broken(at=("subarrays",), message=f"must be left out: it is for composable, not "
                                 f"{self.architecture}", got=False, at_key=True))
        for index, item in enumerate(self.engines):
            for key in ("tenant", "dram_frac"):
                given = getattr(item, key) is not None
                if self.architecture == "dedicated" and not given:
                    broken.append(Broken(at=("engines", index), message=f"must have the key {key} (dedicated)",
                                         got=False))
                elif self.architecture != "dedicated" and given:
                    broken.append(Broken(at=("engines", index, key), message="must be left out: it is for dedicated, "
                                         f"not {self.architecture}", got=False, at_key=True))
        if broken:
            raise Broken.error(broken)
        return self


# --- study ------------------------------------------------------------------------------------------------------------


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


class SpaceSection(Model):
    """Which designs are searched; without it, all."""

    WHAT: ClassVar[str] = "a mapping with the keys architectures, policies, domains and forbidden"
    architectures: list[Annotated[str, _names("hwmodels.architectures", "ARCHITECTURES")]] | None = None
    policies: list[Annotated[str, _names("hwmodels.policies", "POLICIES")]] | None = None
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
        broken = []
        for key in ("architectures", "policies"):
            listed = getattr(self, key)
            if listed == []:
                broken.append(Broken(at=(key,), message="must be a list of at least one name"))
            broken += [Broken(at=(key, i), message="must be listed once") for i, name in enumerate(listed or ())
                       if name in listed[:i]]
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
        | Annotated[WorkloadFile, Tag(UNION_TAGS[1])], Discriminator(_text_or_more)]] = []
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
        broken = []
        for key in ("rates", "seeds"):
            listed = getattr(self, key)
            if listed == []:
                broken.append(Broken(at=(key,), message="must be a list of at least one number"))
            broken += [Broken(at=(key, i), message="must be listed once") for i, one in enumerate(
                listed if isinstance(listed, list) else ()) if one in listed[:i]]
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
    sampler: Annotated[str, _names("dse.samplers", "SAMPLERS")] = "auto"
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
        | Annotated[WorkloadFile, Tag(UNION_TAGS[1])], Discriminator(_text_or_more)]
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
    fidelity: Annotated[str, _names("hwmodels.evaluate", "FIDELITIES")] = "simulate"

    @model_validator(mode="after")
    def _at_least_one(self) -> "StudyFile":
        if not self.objectives:
            raise Broken.error([Broken(at=("objectives",), message="must be a list of at least one metric")])
        return self


KINDS: dict[str, type[Model]] = {
    "workload": WorkloadFile, "engine": EngineFile, "design": DesignFile, "study": StudyFile,
    "technology": TechnologyFile,
}


def json_schema(kind: str) -> dict[str, Any]:
    """JSON schema of a kind, for editors."""
    schema = KINDS[kind].model_json_schema()
    schema["properties"]["kind"] = {"const": kind}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind} | schema


