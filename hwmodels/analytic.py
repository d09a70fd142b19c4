"""The analytic fidelity: bounds of the layers instead of mappings, a queue of whole requests instead of events.

    chips + workload --stations--> Station, energy      (`hwmodels.bounds`: no search per design)
    Station + requests + discipline --serve--> finish   (`hwmodels.queueing`)

Model
-----
A request costs the lower bounds of its layers times what mappings were found to need more (`LATENCY_RATIO`,
`ENERGY_RATIO`), each layer at its best place. Requests queue for whole engines, or share a pool, by the discipline that
the policy's record declares. They are the very requests that the simulation serves for this seed.

Limits
------
No layers in the queue: no preemption cost, no reconfiguration, no batches; parameters of policies, priorities and
caps count for nothing. Policies of one discipline get the same latencies. A network that an engine cannot run is not
noticed.

Error
-----
Against `simulate`, on random designs that serve the load, analytic / simulated at 10, 50 and 90 %
(`tests/benchmarks/bench_analytic.py`):

    study               mean latency       p99 / deadline     energy / inference
    front_small_edge    .83  .98  1.10     .62  .88  1.14     .88  .99  1.07
    front_ar_headset    .55  .75  0.95     .34  .71  1.01     .77  .89  0.98

On front_datacentre (language models) energies come out at half and tails up to six times too long, and tails and
energies are hardly ranked either (four designs could be compared).

Cost
----
5 to 30 ms per design, where `simulate` takes 150 to 1,000 ms for a new chip; most of it are bounds of layers, which
many designs share (`stations` of many chips at once).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.bounds import Bounds, EngineColumns, engine_columns, network_bounds
from hwmodels.design import Chip
from hwmodels.engine import Engine
from hwmodels.network import Network
from hwmodels.policies import policy as named_policy
from hwmodels.policies.base import DISCIPLINES
from hwmodels.queueing import Station, serve
from hwmodels.tables import DRAM_FIXED, TaskRecords
from hwmodels.traffic import generate, relative_deadline_s
from hwmodels.workload import RequestTrace, Tenant, Workload

__all__ = ["ENERGY_RATIO", "LATENCY_RATIO", "Cases", "Stations", "analytic_metrics", "analytic_records",
           "discipline_of", "stations"]

Floats = NDArray[np.float64]

LATENCY_RATIO = 1.15
ENERGY_RATIO = 1.2
"""Median of exact / bound over tenants and random designs (10 to 90 %: 1.01 to 1.4 and 1.03 to 1.5)."""


class Stations(NamedTuple):
    """What requests need of D chips."""

    station: Station
    energy_j: Floats
    """(D, T) dynamic, of one request."""


class Cases(NamedTuple):
    """Designs as rows: C cases on D chips."""

    chip: NDArray[np.int64]
    """(C,) row of `Stations`."""
    discipline: NDArray[np.int64]
    """(C,) of the policy, `discipline_of`."""
    area_mm2: Floats
    """(C,) scheduler included."""
    static_w: Floats
    """(C,) leakage, scheduler included."""
    decision_s: Floats
    decision_j: Floats


def discipline_of(policy: str) -> int:
    """Code of the discipline that stands for a policy."""
    return DISCIPLINES.index(named_policy(policy).discipline)


def _places(chip: Chip) -> list[tuple[int, tuple[Engine, ...], tuple[str, ...]]]:
    """(units lent, engines that a layer may choose from, tenants served) of every place; units 0 for an engine."""
    if len(chip.slots) == 1 and chip.slots[0].units > 1:
        return [(units, engines, ()) for units, engines in chip.slots[0].levels]
    return [(0, slot.levels[-1][1], slot.tenants) for slot in chip.slots]


def _bounds(network: Network, engines: EngineColumns, groups: Sequence[Sequence[int]]) -> Bounds:
    """Of one inference on every group of engines, each layer on any of the group."""
    first = np.concatenate([[0], np.cumsum([len(group) for group in groups])]).astype(np.int64)
    rows = np.array([row for group in groups for row in group], dtype=np.int64)
    chosen = EngineColumns(*(column[rows] for column in engines))  # type: ignore[arg-type]
    return network_bounds(network, chosen, first=first)


def stations(chips: Sequence[Chip], workload: Workload) -> Stations:
    """Chips as queues see them.

    Parameters
    ----------
    chips : D of any classes.
    """
    places = [_places(chip) for chip in chips]
    known: dict[Engine, int] = {}
    rows = [[[known.setdefault(engine, len(known)) for engine in engines] for _, engines, _ in some] for some in places]
    columns = engine_columns(list(known))
    shape = len(chips), len(workload.tenants), max(map(len, places))
    time_s = np.full(shape, np.inf)
    alone_s, moved, energy = np.empty((3, *shape[:2]))
    found: dict[object, tuple[Bounds, Bounds]] = {}
    for t, tenant in enumerate(workload.tenants):
        allowed = tuple(tuple(p for p, (_, _, names) in enumerate(some) if not names or tenant.name in names)
                        for some in places)
        key = workload.networks.index(tenant.network), allowed
        if key not in found:
            found[key] = (
                _bounds(tenant.network, columns, [rows[d][p] for d, mine in enumerate(allowed) for p in mine]),
                _bounds(tenant.network, columns, [[row for p in mine for row in rows[d][p]]
                                                  for d, mine in enumerate(allowed)]))
        each, whole = found[key]
        d, p = np.array([(d, p) for d, mine in enumerate(allowed) for p in mine]).T
        time_s[d, t, p] = each.latency_s
        alone_s[:, t], moved[:, t], energy[:, t] = whole.latency_s, whole.dram_bytes, whole.energy_j
    units = np.zeros((shape[0], shape[2]), dtype=np.int64)
    for d, some in enumerate(places):
        units[d, :len(some)] = [lent for lent, _, _ in some]
    pool = units.max(axis=1)
    bandwidth = np.array([np.inf if chip.dram_mode == DRAM_FIXED else chip.dram_bytes_per_s for chip in chips])
    return Stations(Station(time_s * LATENCY_RATIO, alone_s * LATENCY_RATIO, moved, units, pool, bandwidth),
                    energy * ENERGY_RATIO)


def analytic_records(chip: Chip, trace: RequestTrace, costs: Stations, policy: str,
                     decision_s: float, deadline_s: Floats) -> TaskRecords:
    """What becomes of the requests on one chip.

    Parameters
    ----------
    costs : of this chip, D = 1.
    deadline_s : relative, (T,) [s].
    """
    served = serve(costs.station, trace, deadline_s[None, :], np.array([discipline_of(policy)]),
                   decision_s=np.array([decision_s]))
    finish = served.finish_s[0]
    done = np.isfinite(finish)
    service = np.where(done, costs.station.alone_s[0, trace.tenant] + decision_s, 0.0)
    return TaskRecords(
        ready_s=served.ready_s[0], start_s=served.start_s[0], finish_s=finish, service_s=service,
        energy_j=np.where(done, costs.energy_j[0, trace.tenant], 0.0),
        preemptions=np.zeros(len(finish), dtype=np.int64), engine_busy_s=served.busy_s[0, :len(chip.slots)],
        dram_bytes=float(costs.station.dram_bytes[0, trace.tenant][done].sum()),
        overhead_s=float(done.sum()) * decision_s, decisions=int(done.sum()), events=int(done.sum()),
        spans=np.empty((0, 6)))


def analytic_metrics(costs: Stations, cases: Cases, workload: Workload, *, seed: int,
                     metrics: Sequence[str]) -> dict[str, Floats]:
    """Metrics of many designs at once, as `hwmodels.evaluate.evaluate` has them at the analytic fidelity.

    Parameters
    ----------
    metrics : `METRIC` or `TENANT.METRIC`. Those not estimated here are NaN: fairness, utilisations, a tenant's stp.

    Returns
    -------
    metric -> (C,); how overloaded a design is shows in its latencies, which grow with the run as the simulated do.
    """
    tenants = workload.tenants
    alone = costs.station.alone_s[cases.chip] + cases.decision_s[:, None]
    trace = generate(workload, seed, np.ones(len(tenants)))
    deadline = np.stack([relative_deadline_s(workload, row) for row in alone])
    served = serve(costs.station, trace, deadline, cases.discipline, chip=cases.chip, decision_s=cases.decision_s)
    late = np.where(np.isnan(served.finish_s), np.inf, served.finish_s)
    done = np.isfinite(served.finish_s)
    count = np.stack([done[:, trace.tenant == t].sum(axis=1) for t in range(len(tenants))], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        joules = costs.energy_j[cases.chip] * count
        elapsed = np.maximum(workload.duration_s, np.where(done, served.finish_s, 0.0).max(axis=1, initial=0.0))
        energy = joules.sum(axis=1) + cases.decision_j * count.sum(axis=1) + cases.static_w * elapsed
        found = _Columns(late - trace.arrival_s, late - served.ready_s, late, deadline, alone, trace.tenant,
                         trace.arrival_s)
        names = {tenant.name: t for t, tenant in enumerate(tenants)}
        whole = {"area_mm2": cases.area_mm2, "energy_j": energy, "power_w": energy / elapsed,
                 "energy_per_inference_j": energy / count.sum(axis=1)}
        out: dict[str, Floats] = {}
        for metric in metrics:
            owner, _, name = metric.rpartition(".")
            if owner in names:
                t = names[owner]
                own = {"energy_j": joules[:, t], "energy_per_inference_j": joules[:, t] / count[:, t]}
                out[metric] = own[name] if name in own else found.of(name, [t], tenants)
            else:
                out[metric] = whole[metric] if metric in whole else found.of(metric, range(len(tenants)), tenants)
    return out


class _Columns(NamedTuple):
    """Requests of C cases, (C, R), and what is known of tenants, (C, T)."""

    latency_s: Floats
    turnaround_s: Floats
    finish_s: Floats
    deadline_s: Floats
    alone_s: Floats
    tenant: NDArray[np.int64]
    arrival_s: Floats

    def of(self, name: str, tenants: Sequence[int], records: Sequence[Tenant]) -> Floats:
        """A metric over some tenants, (C,)."""
        mine = np.isin(self.tenant, tenants)
        latency, kind = self.latency_s[:, mine], self.tenant[mine]
        if not latency.shape[1]:
            return np.full(len(latency), np.nan)
        due = self.deadline_s[:, kind]
        if name in ("p99_deadline_frac", "slo_miss_frac"):
            worst = np.full(len(latency), -np.inf)
            for t in tenants:
                level = 99.0 if name == "p99_deadline_frac" else records[t].service.percentile
                used = self.latency_s[:, self.tenant == t] / self.deadline_s[:, [t]]
                if used.shape[1] and np.isfinite(self.deadline_s[:, t]).all():
                    worst = np.maximum(worst, _percentile(used, level))
            worst = np.where(worst == -np.inf, 0.0, worst)
            return worst if name == "p99_deadline_frac" else worst - 1.0
        if name.endswith("_latency_s"):
            at = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}.get(name.partition("_")[0])
            return np.asarray(latency.mean(axis=1)) if at is None else _percentile(latency, at)
        if name == "slo_violation_frac":
            return np.asarray((latency > due).mean(axis=1))
        if name == "drop_frac":
            return np.asarray(np.isinf(latency).mean(axis=1))
        if name == "antt":
            return np.asarray((self.turnaround_s[:, mine] / self.alone_s[:, kind]).mean(axis=1))
        if name == "stp" and len(tenants) == self.alone_s.shape[1]:
            return np.sum([self.alone_s[:, t] / self.turnaround_s[:, self.tenant == t].mean(axis=1)
                           for t in tenants if (self.tenant == t).any()], axis=0)
        if name == "throughput_per_s":
            return np.asarray(latency.shape[1] / (self.finish_s[:, mine].max(axis=1) - self.arrival_s[mine].min()))
        return np.full(len(latency), np.nan)


def _percentile(values: Floats, level: float) -> Floats:
    """Linear interpolation; infinite as soon as it touches an infinite value, (C,)."""
    position = level / 100.0 * (values.shape[1] - 1)
    low = int(position)
    high = min(low + (position > low), values.shape[1] - 1)
    ordered = np.partition(values, (low, high), axis=1)
    a, b = ordered[:, low], ordered[:, high]
    return np.where(np.isinf(b), np.inf, a + (np.where(np.isinf(b), a, b) - a) * (position - low))
