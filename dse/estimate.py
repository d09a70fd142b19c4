"""What a study can tell its sampler before anything is evaluated: estimates from the analytic fidelity.

    points --DesignEstimate--> objectives, constraints       oriented and scaled as a sampler is told the results

A sampler knows an `Estimate` only: a pure function of points that costs far less than an evaluation.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dse.objective import minimised
from dse.study import Study
from hwmodels.analytic import Cases, Stations, analytic_metrics, discipline_of, stations
from hwmodels.area import SchedulerBlock, scheduler_block
from hwmodels.engine import DATAFLOWS, Engine
from hwmodels.errors import ModelError
from hwmodels.outcome import SEARCHED
from hwmodels.queueing import Station
from hwmodels.technology import constants_of
from hwmodels.workload import Workload
from spaces.designs import decode_design
from spaces.space import Params

__all__ = ["QUICKER", "DesignEstimate", "Estimate", "Estimated", "bounded", "estimate_of"]

Floats = NDArray[np.float64]


class Estimated(NamedTuple):
    """Of n points; NaN where nothing is known, inf where a design cannot be built."""

    values: Floats
    """(n, objectives) to be minimised."""
    constraints: dict[str, Floats]
    """Name -> (n,) violations relative to their bounds, <= 0 is feasible."""
    quicker: "Estimated | None" = None
    """The same if every request took `QUICKER` of its time: latencies of a chip near overload depend most on it."""


Estimate = Callable[[Sequence[Params]], Estimated]

QUICKER = 0.8
"""More than bounds and mappings of a network usually differ by (`hwmodels.analytic.LATENCY_RATIO`)."""
_POLICY = ("policy", "scheduler")
_ROWS = 1_500_000
"""Requests x designs handled at once."""


class _Hardware(NamedTuple):
    """D chips, costed."""

    costs: Stations
    area_mm2: Floats
    """(D,)"""
    leakage_w: Floats
    """(D,)"""


@final
class DesignEstimate:
    """Estimates of a study's designs; hardware seen before is not costed again."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._workload = _without_drops(study.workload)
        self._names = tuple(dict.fromkeys([o.metric for o in study.objectives] + list(study.budgets)))
        self._hardware: _Hardware | None = None
        self._engines: list[Engine] = []
        """The first of each chip."""
        self._known: dict[tuple[object, ...], int] = {}
        """Row of the hardware, -1 where it cannot be built."""
        self._blocks: dict[tuple[str, str, float], SchedulerBlock] = {}

    def __call__(self, points: Sequence[Params]) -> Estimated:
        keys = [tuple((name, value) for name, value in point.items() if name not in _POLICY and "." not in name)
                for point in points]
        self._cost({key: point for key, point in zip(keys, points, strict=True) if key not in self._known})
        found, quicker = ({name: np.full(len(points), np.inf) for name in self._names} for _ in range(2))
        chip = np.array([self._known[key] for key in keys], dtype=np.int64)
        rows = np.flatnonzero(chip >= 0)
        step = max(1, _ROWS // self._requests)
        for low in range(0, len(rows), step):
            some = rows[low:low + step]
            each = self._metrics([points[i] for i in some.tolist()], chip[some])
            for whole, part in zip((found, quicker), each, strict=True):
                for name, column in part.items():
                    whole[name][some] = column
        return self._oriented(found)._replace(quicker=self._oriented(quicker))

    @cached_property
    def _requests(self) -> int:
        from hwmodels.traffic import generate

        workload = self._workload
        return max(1, len(generate(workload, self._study.seed, np.ones(len(workload.tenants))).arrival_s))

    def _cost(self, new: dict[tuple[object, ...], Params]) -> None:
        workload, chips = self._workload, {}
        for key, point in new.items():
            try:
                design = decode_design(point, workload, self._study.technology)
                chips[key] = design.architecture.chip(workload)
            except ModelError:
                self._known[key] = -1
        if not chips:
            return
        new_ones = list(chips.values())
        found = _Hardware(stations(new_ones, workload), np.array([sum(chip.area_mm2.values()) for chip in new_ones]),
                          np.array([chip.leakage_w for chip in new_ones]))
        self._known.update(zip(chips, range(len(self._engines), len(self._engines) + len(chips)), strict=True))
        self._engines += [chip.slots[0].levels[0][1][0] for chip in new_ones]
        self._hardware = found if self._hardware is None else _joined(self._hardware, found)

    def _metrics(self, points: Sequence[Params], chip: NDArray[np.int64]) -> list[dict[str, Floats]]:
        """Metrics of points on their chips, and what they are if requests are quicker."""
        hardware = self._hardware
        assert hardware is not None
        used, chip = np.unique(chip, return_inverse=True)
        station = Station(*(column[used] for column in hardware.costs.station))  # type: ignore[arg-type]
        together = Stations(station, hardware.costs.energy_j[used])
        blocks = [self._block(str(point["scheduler"]), str(point["policy"]), self._engines[d])
                  for point, d in zip(points, used[chip].tolist(), strict=True)]
        cases = Cases(
            chip=chip, discipline=np.array([discipline_of(str(point["policy"])) for point in points]),
            area_mm2=hardware.area_mm2[used[chip]] + np.array([block.area_mm2 for block in blocks]),
            static_w=hardware.leakage_w[used[chip]] + np.array([block.power_w for block in blocks]),
            decision_s=np.array([block.decision_s for block in blocks]),
            decision_j=np.array([block.decision_j for block in blocks]))
        quicker = together._replace(station=station._replace(time_s=QUICKER * station.time_s,
                                                             alone_s=QUICKER * station.alone_s))
        found = [analytic_metrics(one, cases, self._workload, seed=self._study.seed, metrics=self._names)
                 for one in (together, quicker)]
        if self._workload != self._study.workload:
            for metric in (name for name in self._names if name.rpartition(".")[2] == "drop_frac"):
                for each in found:
                    each[metric] = np.full(len(points), np.nan)
        return found

    def _block(self, scheduler: str, policy: str, engine: Engine) -> SchedulerBlock:
        key = scheduler, policy, engine.node_nm
        if key not in self._blocks:  # the technology is that of the study
            self._blocks[key] = scheduler_block(scheduler, policy, engine.node_nm, corner=constants_of(engine))
        return self._blocks[key]

    def _oriented(self, found: dict[str, Floats]) -> Estimated:
        study = self._study
        values = np.stack([found[o.metric] * (1.0 if o.minimise else -1.0) for o in study.objectives], axis=1)
        constraints = {}
        for metric, bound in study.budgets.items():
            excess = found[metric] - bound if minimised(metric) else bound - found[metric]
            constraints[metric] = excess / (abs(bound) or 1.0)
        return Estimated(values, constraints)


def _without_drops(workload: Workload) -> Workload:
    """Late requests are served all the same: how late they are tells how overloaded a design is."""
    tenants = [replace(tenant, service=replace(tenant.service, drop_late=False)) for tenant in workload.tenants]
    return replace(workload, tenants=tuple(tenants))


def _joined(first: _Hardware, second: _Hardware) -> _Hardware:
    """The chips of both; one with fewer places has others where nothing can run."""
    def widened(one: Station) -> Station:
        more = places - one.time_s.shape[2]
        return one._replace(time_s=np.pad(one.time_s, ((0, 0), (0, 0), (0, more)), constant_values=np.inf),
                            units=np.pad(one.units, ((0, 0), (0, more))))

    both = first.costs.station, second.costs.station
    places = max(one.time_s.shape[2] for one in both)
    columns = zip(*map(widened, both), strict=True)
    costs = Stations(Station(*map(np.concatenate, columns)),
                     np.concatenate([first.costs.energy_j, second.costs.energy_j]))
    return _Hardware(costs, np.concatenate([first.area_mm2, second.area_mm2]),
                     np.concatenate([first.leakage_w, second.leakage_w]))


def _own_dataflow(study: Study) -> bool:
    domains = [domain for name, domain in study.space.domains.items() if name.startswith("dataflow")]
    return any(domain.value(code) not in DATAFLOWS for domain in domains for code in range(int(domain.n)))


def bounded(study: Study) -> bool:
    """Whether the bounds of designs hold: they know one scenario, the published constants and the dataflows of this
    package."""
    return not (study.robust is not None or study.fidelity == "analytic" or study.technology or _own_dataflow(study))


def estimate_of(study: Study) -> Estimate | None:
    """The estimate of a study, None where there is none that would help: no bounds, or a metric that takes a search
    over the traffic."""
    if any(metric in SEARCHED for metric in study.judged) or not bounded(study):
        return None
    return DesignEstimate(study)
