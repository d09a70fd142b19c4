"""Workload files: tenants, their networks, how requests arrive and what is expected of them."""

from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, Tag, create_model, model_validator

from dse.rules import Broken, Rule, count, flag, number, one_of, record_fields, text, times
from dse.schema.parts import UNION_TAGS, Model, Name, NonNegative, Positive, Precision, names, registry, text_or_more
from hwmodels import network

__all__ = ["LOG_KEYS", "MAX_REQUESTS", "InlineNetwork", "Tenant", "Traffic", "WorkloadFile"]

MAX_REQUESTS = 20_000_000
"""Requests of one workload: their columns must fit in memory."""

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
    kind: Annotated[str, names("hwmodels.workload", "TRAFFIC_KINDS")]
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
        Discriminator(text_or_more)] | None = None
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
    lengths = one_of(lambda: registry("hwmodels.token_lengths", "LENGTHS"))

    def check(value: Any) -> Any:
        return lengths.check(value) if isinstance(value, str) else numbers.check(value)

    return Rule("an integer >= 1, or a name of `dse list lengths`", check, "number",
                lambda: {"anyOf": [numbers.json, lengths.json()]})  # type: ignore[operator]


class Tenant(Model):
    """One owner of a request stream."""

    WHAT: ClassVar[str] = "a mapping with the keys name, network, traffic and service"
    name: Name
    network: Annotated[
        Annotated[str, text("a network of `dse list networks`, a file (.onnx, config.json, topology .csv) or layers"),
                  Tag(UNION_TAGS[0])] | Annotated[InlineNetwork, Tag(UNION_TAGS[1])], Discriminator(text_or_more)]
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
