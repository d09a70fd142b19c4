"""Workloads: which tenants send which requests, and what service they expect.

    Workload = tenants + horizon;  Tenant = network + traffic + service level + priority (+ the tenant it follows)

`hwmodels.traffic.generate` turns a workload and a seed into a `RequestTrace`.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from hwmodels.errors import InvalidWorkload
from hwmodels.network import Network

__all__ = ["TRAFFIC_KINDS", "RequestTrace", "ServiceLevel", "Tenant", "Traffic", "Workload"]

TRAFFIC_KINDS = ("periodic", "poisson", "gamma", "bursty", "rate_table", "trace")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How the requests of one tenant arrive.

    Parameters
    ----------
    kind : `periodic` (one every 1/rate_hz, each shifted by a uniform jitter), `poisson`, `gamma` (independent gaps of a
        gamma distribution), `bursty` (on/off: exponential on and off periods, Poisson inside the on periods, mean rate
        `rate_hz`), `rate_table` (Poisson whose rate changes with time), `trace` (given arrival times).
    rate_hz : mean arrivals per second [Hz]; not for `rate_table` and `trace`.
    jitter_frac : half width of the uniform jitter of a periodic arrival, as a fraction of the period, in [0, 0.5] [-].
    offset_s : first arrival of a periodic stream, start of the others [s].
    on_s, off_s : mean length of the on and off periods of bursty traffic [s].
    gap_cv : standard deviation / mean of the gaps of gamma traffic: 1 is Poisson, more comes in bursts [-].
    rates_hz : rates of a rate table, one per step; after the last the first follows again [Hz].
    step_s : how long each rate holds [s].
    arrivals_s : arrival times of a trace, non-decreasing [s].
    stream : name of an arrival stream that several tenants share, each its part; "" = a stream of the tenant's own.
    part : every request of the stream has a mark, uniform in [0, 1); those with a mark in [low, high) are this
        tenant's [-].
    """

    kind: str = "periodic"
    rate_hz: float = 0.0
    jitter_frac: float = 0.0
    offset_s: float = 0.0
    on_s: float = 0.5
    off_s: float = 0.5
    gap_cv: float = 1.0
    rates_hz: tuple[float, ...] = ()
    step_s: float = 1.0
    arrivals_s: tuple[float, ...] = ()
    stream: str = ""
    part: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.kind not in TRAFFIC_KINDS:
            raise InvalidWorkload("traffic.kind", f"one of {', '.join(TRAFFIC_KINDS)}", self.kind)
        if self.kind == "trace":
            times = self.arrivals_s
            if not times:
                raise InvalidWorkload("traffic.arrivals_s", "at least one arrival time", list(times))
            if not all(0.0 <= a <= b < float("inf") for a, b in zip(times, (*times[1:], times[-1]), strict=True)):
                raise InvalidWorkload("traffic.arrivals_s", "finite, >= 0 and non-decreasing")
        elif self.kind == "rate_table":
            if not all(0.0 <= rate < float("inf") for rate in self.rates_hz) or not sum(self.rates_hz) > 0.0:
                raise InvalidWorkload("traffic.rates_hz", "finite and >= 0, one of them > 0", list(self.rates_hz))
            if not 0.0 < self.step_s < float("inf"):
                raise InvalidWorkload("traffic.step_s", "a finite number > 0", self.step_s)
        elif not 0.0 < self.rate_hz < float("inf"):
            raise InvalidWorkload("traffic.rate_hz", "a finite number > 0", self.rate_hz)
        if not 0.0 <= self.jitter_frac <= 0.5:
            raise InvalidWorkload("traffic.jitter_frac", "in [0, 0.5]", self.jitter_frac)
        if not 0.0 <= self.offset_s < float("inf"):
            raise InvalidWorkload("traffic.offset_s", "a finite number >= 0", self.offset_s)
        if self.kind == "bursty" and not (self.on_s > 0.0 and self.off_s >= 0.0):
            raise InvalidWorkload("traffic.on_s, off_s", "on_s > 0 and off_s >= 0", (self.on_s, self.off_s))
        if not 0.01 <= self.gap_cv <= 100.0:
            raise InvalidWorkload("traffic.gap_cv", "in [0.01, 100]", self.gap_cv)
        if not 0.0 <= self.part[0] < self.part[1] <= 1.0:
            raise InvalidWorkload("traffic.part", "[low, high] with 0 <= low < high <= 1", self.part)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLevel:
    """What a tenant expects.

    Parameters
    ----------
    deadline_s : relative to the arrival [s]; or
    deadline_x_isolated : multiple of the isolated latency on the same design [-]. Exactly one of the two, or neither:
        then the deadline of a periodic tenant is its period, and others have none.
    percentile : of the latency that must meet the deadline, in (0, 100] [%].
    drop_late : a request still queued at its deadline is dropped (counted as a violation) instead of served late.
    """

    deadline_s: float | None = None
    deadline_x_isolated: float | None = None
    percentile: float = 99.0
    drop_late: bool = False

    def __post_init__(self) -> None:
        for name in ("deadline_s", "deadline_x_isolated"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < float("inf"):
                raise InvalidWorkload(f"service.{name}", "a finite number > 0", value)
        if self.deadline_s is not None and self.deadline_x_isolated is not None:
            raise InvalidWorkload("service", "given as deadline_s or as deadline_x_isolated, not both")
        if not 0.0 < self.percentile <= 100.0:
            raise InvalidWorkload("service.percentile", "in (0, 100]", self.percentile)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One owner of a request stream.

    Parameters
    ----------
    traffic : None only for a follower (`after`), which takes the arrivals of the tenant it follows.
    priority : larger is more important [-].
    after : name of the tenant whose request must finish first (a cascade); one follower request per parent request.
    probability : that a parent request fires this follower [-].
    steps : requests per parent request, each after the one before: the tokens of an answer after the first, which the
        parent makes. Deadlines count from the arrival, for each step [-].
    """

    name: str
    network: Network
    traffic: Traffic | None = None
    service: ServiceLevel = field(default_factory=ServiceLevel)
    priority: float = 1.0
    after: str | None = None
    probability: float = 1.0
    steps: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1 or (self.steps > 1 and self.after is None):
            raise InvalidWorkload(f"{self.name}.steps", "an integer >= 1, and 1 without `after`", self.steps)
        if (self.traffic is None) == (self.after is None):
            raise InvalidWorkload(f"{self.name}.traffic", "given, or replaced by `after`: exactly one of the two")
        if not 0.0 < self.priority < float("inf"):
            raise InvalidWorkload(f"{self.name}.priority", "a finite number > 0", self.priority)
        if not 0.0 <= self.probability <= 1.0:
            raise InvalidWorkload(f"{self.name}.probability", "in [0, 1]", self.probability)


@final
@dataclass(frozen=True, kw_only=True)
class Workload:
    """All tenants, and how long requests keep arriving.

    Parameters
    ----------
    tenants : at least one, unique names, no cycle of `after`.
    duration_s : arrivals stop here; everything that arrived is served to the end [s].
    """

    name: str
    tenants: tuple[Tenant, ...]
    duration_s: float = 1.0

    def __post_init__(self) -> None:
        names = [tenant.name for tenant in self.tenants]
        if not names:
            raise InvalidWorkload("tenants", "a list of at least one tenant", names)
        if len(set(names)) != len(names):
            raise InvalidWorkload("tenants", "named uniquely", names)
        if not 0.0 < self.duration_s < float("inf"):
            raise InvalidWorkload("duration_s", "a finite number > 0", self.duration_s)
        parents = {tenant.name: tenant.after for tenant in self.tenants}
        for name in names:
            seen, at = {name}, parents[name]
            while at is not None:
                if at not in parents:
                    raise InvalidWorkload(f"{name}.after", f"one of {', '.join(names)}", at)
                if at in seen:
                    raise InvalidWorkload(f"{name}.after", "free of cycles", at)
                seen.add(at)
                at = parents[at]
        streams: dict[str, Traffic] = {}
        for tenant in self.tenants:
            if tenant.traffic is not None and tenant.traffic.stream:
                whole = replace(tenant.traffic, part=(0.0, 1.0))
                if streams.setdefault(whole.stream, whole) != whole:
                    raise InvalidWorkload(f"{tenant.name}.traffic",
                                          f"the same as of the others of stream {whole.stream!r}, apart from `part`")

    @property
    def networks(self) -> tuple[Network, ...]:
        """Distinct networks in order of first use (by content); column `network` of a trace indexes them."""
        return tuple(dict.fromkeys(tenant.network for tenant in self.tenants))


class RequestTrace(NamedTuple):
    """Requests as columns of shape (n,), ordered by arrival, then tenant.

    `sample` selects the hidden truth (measured latencies, densities, exit) where a network has several; `parent` is
    the row of the request that must finish first, -1 for none. A follower's arrival is its parent's: its latency is end
    to end.
    """

    arrival_s: NDArray[np.float64]
    deadline_s: NDArray[np.float64]
    """Absolute; inf where there is none."""
    priority: NDArray[np.float64]
    tenant: NDArray[np.int64]
    network: NDArray[np.int64]
    sample: NDArray[np.int64]
    parent: NDArray[np.int64]
    drop_late: NDArray[np.bool_]
