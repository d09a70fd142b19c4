"""From a workload and a seed to requests.

Every tenant draws from its own generator, seeded by (seed, name): the order of the tenants, or a new one, changes
nothing for the others, and all designs of a study see the same requests (common random numbers). Tenants that share a
stream take its name in place of theirs: they split one sequence of arrivals.
"""

import zlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwmodels.workload import RequestTrace, Tenant, Traffic, Workload

__all__ = ["generate", "is_random", "mean_rate_hz", "relative_deadline_s", "root_of"]

Floats = NDArray[np.float64]


def _periodic(tenant: Tenant, duration_s: float, rng: np.random.Generator) -> Floats:
    traffic = tenant.traffic
    assert traffic is not None
    period = 1.0 / traffic.rate_hz
    count = max(0, int(np.ceil((duration_s - traffic.offset_s) * traffic.rate_hz - 1e-9)))
    times = traffic.offset_s + period * np.arange(count, dtype=np.float64)
    if traffic.jitter_frac:
        times = times + period * traffic.jitter_frac * rng.uniform(-1.0, 1.0, count)
        np.maximum(times, 0.0, out=times)
    return times


def _poisson(rate_hz: float, start_s: float, end_s: float, rng: np.random.Generator) -> Floats:
    count = rng.poisson(rate_hz * max(0.0, end_s - start_s))
    return np.sort(rng.uniform(start_s, end_s, count)) if count else np.empty(0)


def _gamma(tenant: Tenant, duration_s: float, rng: np.random.Generator) -> Floats:
    """Renewal process with gamma gaps of shape 1 / cv^2, seen from a random moment on: the rate is the mean one from
    the start. The gap that a random moment meets is drawn with weights by length, which for a gamma distribution is one
    of shape + 1, and a uniform part of it is left (D. R. Cox, Renewal Theory, 1962, chapter 5)."""
    traffic = tenant.traffic
    assert traffic is not None
    shape = traffic.gap_cv**-2
    scale = 1.0 / (shape * traffic.rate_hz)
    at = traffic.offset_s + rng.gamma(shape + 1.0, scale) * rng.random()
    parts = [np.array([at])]
    while at < duration_s:
        more = int((duration_s - at) * traffic.rate_hz) + 16
        parts.append(at + np.cumsum(rng.gamma(shape, scale, more)))
        at = float(parts[-1][-1])
    times = np.concatenate(parts)
    return times[times < duration_s]


def _table(traffic: Traffic) -> tuple[Floats, Floats]:
    """Edges of the steps of one pass through a rate table [s], and the mean number of arrivals before each [-]."""
    rates = np.asarray(traffic.rates_hz, dtype=np.float64)
    return traffic.step_s * np.arange(len(rates) + 1.0), traffic.step_s * np.concatenate([[0.0], np.cumsum(rates)])


def _expected(traffic: Traffic, duration_s: float) -> float:
    """Mean number of arrivals of a rate table until the end, the table repeated [-]."""
    edges, before = _table(traffic)
    passes, rest = divmod(max(0.0, duration_s - traffic.offset_s), edges[-1])
    return float(passes * before[-1] + np.interp(rest, edges, before))


def _rate_table(tenant: Tenant, duration_s: float, rng: np.random.Generator) -> Floats:
    """Poisson process of piecewise constant rate: arrivals of rate 1, their clock mapped to the table's."""
    traffic = tenant.traffic
    assert traffic is not None
    edges, before = _table(traffic)
    passes, rest = np.divmod(_poisson(1.0, 0.0, _expected(traffic, duration_s), rng), before[-1])
    times = traffic.offset_s + passes * edges[-1] + np.interp(rest, before, edges)
    return times[times < duration_s]


def _bursty(tenant: Tenant, duration_s: float, rng: np.random.Generator) -> Floats:
    """On/off (interrupted Poisson) process; the state at the start is drawn from the stationary shares."""
    traffic = tenant.traffic
    assert traffic is not None
    cycle = traffic.on_s + traffic.off_s
    rate_on = traffic.rate_hz * cycle / traffic.on_s
    on = bool(rng.random() < traffic.on_s / cycle)
    at, parts = traffic.offset_s, [np.empty(0)]
    while at < duration_s:
        end = at + rng.exponential(traffic.on_s if on else traffic.off_s)
        if on:
            parts.append(_poisson(rate_on, at, min(end, duration_s), rng))
        at, on = end, not on
    return np.concatenate(parts)


_RANDOM_STREAMS = {"gamma": _gamma, "bursty": _bursty, "rate_table": _rate_table}


def _arrivals(tenant: Tenant, duration_s: float, rng: np.random.Generator) -> Floats:
    """Arrival times in [0, duration_s), sorted, shape (n,) [s]."""
    traffic = tenant.traffic
    assert traffic is not None
    if traffic.kind == "periodic":
        times = _periodic(tenant, duration_s, rng)
    elif traffic.kind == "poisson":
        times = _poisson(traffic.rate_hz, traffic.offset_s, duration_s, rng)
    elif traffic.kind in _RANDOM_STREAMS:
        times = _RANDOM_STREAMS[traffic.kind](tenant, duration_s, rng)
    else:
        times = traffic.offset_s + np.asarray(traffic.arrivals_s)
        times = times[times < duration_s]
    return np.sort(times)


def _own_arrivals(tenant: Tenant, duration_s: float, seed: int) -> Floats:
    """The tenant's part of its stream, shape (n,) [s]."""
    traffic = tenant.traffic
    assert traffic is not None
    stream = zlib.crc32((f"stream {traffic.stream}" if traffic.stream else tenant.name).encode())
    times = _arrivals(tenant, duration_s, np.random.default_rng([seed, stream]))
    if traffic.part == (0.0, 1.0):
        return times
    marks = np.random.default_rng([seed, stream, 2]).random(len(times))
    return times[(traffic.part[0] <= marks) & (marks < traffic.part[1])]


def root_of(workload: Workload, tenant: Tenant) -> tuple[Tenant, float]:
    """The tenant whose traffic drives this one, and the probability that one of its requests reaches it."""
    probability = 1.0
    by_name = {t.name: t for t in workload.tenants}
    while tenant.after is not None:
        probability *= tenant.probability
        tenant = by_name[tenant.after]
    return tenant, probability


def mean_rate_hz(workload: Workload, tenant: Tenant) -> float:
    """Mean arrivals per second of a tenant, followers included [Hz]."""
    root, probability = root_of(workload, tenant)
    traffic = root.traffic
    assert traffic is not None
    probability *= tenant.steps  # a follower of an answer comes once, after its last step
    probability *= traffic.part[1] - traffic.part[0]
    if traffic.kind == "trace":
        arrivals = np.asarray(traffic.arrivals_s) + traffic.offset_s
        return probability * float((arrivals < workload.duration_s).sum()) / workload.duration_s
    if traffic.kind == "rate_table":
        return probability * _expected(traffic, workload.duration_s) / workload.duration_s
    return probability * traffic.rate_hz


def is_random(workload: Workload) -> bool:
    """Whether the seed changes the requests."""
    return any(_is_random(tenant.traffic) if tenant.traffic is not None else 0.0 < tenant.probability < 1.0
               for tenant in workload.tenants)


def _is_random(traffic: Traffic) -> bool:
    return traffic.kind not in ("periodic", "trace") or traffic.jitter_frac > 0.0 or traffic.part != (0.0, 1.0)


def relative_deadline_s(workload: Workload, isolated_s: Floats) -> Floats:
    """Deadline of every tenant, relative to the arrival, shape (T,) [s]; inf where there is none.

    Parameters
    ----------
    isolated_s : isolated latency of every tenant on the design, shape (T,) [s].
    """
    deadline = np.full(len(workload.tenants), np.inf)
    for index, tenant in enumerate(workload.tenants):
        service = tenant.service
        root = root_of(workload, tenant)[0].traffic
        if service.deadline_s is not None:
            deadline[index] = service.deadline_s
        elif service.deadline_x_isolated is not None:
            deadline[index] = service.deadline_x_isolated * isolated_s[index]
        elif root is not None and root.kind == "periodic":
            deadline[index] = 1.0 / root.rate_hz
    return deadline


def _exits_taken(tenant: Tenant, count: int, seed: int) -> NDArray[np.int64]:
    """0 = none, k = the k-th exit of the network, for every request of the tenant, shape (count,)."""
    shares = tenant.network.exit_shares
    if len(shares) == 1:
        return np.zeros(count, dtype=np.int64)
    rng = np.random.default_rng([seed, zlib.crc32(tenant.name.encode()), 1])  # a stream of its own: arrivals stay
    return rng.choice(len(shares), size=count, p=np.array(shares) / sum(shares))


@lru_cache(maxsize=64)
def _requests(workload: Workload, seed: int) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(arrival_s, tenant, parent row, sample), sorted by arrival, cascade depth, tenant; independent of any design."""
    index = {tenant.name: i for i, tenant in enumerate(workload.tenants)}
    times: dict[int, Floats] = {}
    parents: dict[int, NDArray[np.int64]] = {}  # of the first steps: position inside the parent's stream
    depth: dict[int, int] = {}

    def build(i: int) -> None:
        tenant = workload.tenants[i]
        if tenant.after is None:
            times[i], depth[i] = _own_arrivals(tenant, workload.duration_s, seed), 0
            return
        rng = np.random.default_rng([seed, zlib.crc32(tenant.name.encode())])
        parent = index[tenant.after]
        if parent not in times:
            build(parent)
        ends = np.arange(workload.tenants[parent].steps - 1, len(times[parent]), workload.tenants[parent].steps)
        fired = ends[rng.random(len(ends)) < tenant.probability]
        times[i], parents[i], depth[i] = np.repeat(times[parent][fired], tenant.steps), fired, depth[parent] + 1

    for i in range(len(workload.tenants)):
        if i not in times:
            build(i)
    arrival = np.concatenate([times[i] for i in range(len(times))])
    tenant_of = np.concatenate([np.full(len(times[i]), i, dtype=np.int64) for i in range(len(times))])
    order = np.lexsort((tenant_of, np.array([depth[i] for i in range(len(times))])[tenant_of], arrival))
    row_of = np.empty(len(order), dtype=np.int64)
    row_of[order] = np.arange(len(order))
    start = np.concatenate([[0], np.cumsum([len(times[i]) for i in range(len(times))])])
    parent_row = np.full(len(arrival), -1, dtype=np.int64)
    for i, fired in parents.items():
        tenant = workload.tenants[i]
        assert tenant.after is not None
        mine = slice(start[i], start[i] + len(fired) * tenant.steps)
        parent_row[mine] = row_of[mine] - 1  # the step before: the sort keeps the steps of an answer together
        parent_row[mine][:: tenant.steps] = row_of[start[index[tenant.after]] + fired]
    exits = np.concatenate([_exits_taken(t, len(times[i]), seed) for i, t in enumerate(workload.tenants)])
    columns = arrival[order], tenant_of[order], parent_row[order], exits[order]
    for column in columns:
        column.flags.writeable = False
    return columns


def generate(workload: Workload, seed: int, isolated_s: Floats) -> RequestTrace:
    """All requests of a workload. Sample 0 runs its whole network, sample k takes the k-th of `Network.exits`.

    Parameters
    ----------
    seed : same seed, same arrivals and exits.
    isolated_s : isolated latency of every tenant on the design (for relative deadlines), shape (T,) [s].
    """
    arrival, tenant, parent, sample = _requests(workload, seed)
    networks = {network: i for i, network in enumerate(workload.networks)}
    tenants = workload.tenants
    return RequestTrace(
        arrival_s=arrival,
        deadline_s=arrival + relative_deadline_s(workload, isolated_s)[tenant],
        priority=np.array([t.priority for t in tenants])[tenant],
        tenant=tenant,
        network=np.array([networks[t.network] for t in tenants], dtype=np.int64)[tenant],
        sample=sample,
        parent=parent,
        drop_late=np.array([t.service.drop_late for t in tenants])[tenant],
    )
