"""Blocks at best: their objectives and budgets by bounds, without any mapping search (`hwmodels.demand_bounds`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dse.front_blocks import Blocks
from dse.objective import minimised
from dse.study import Study
from hwmodels.area import SchedulerBlock
from hwmodels.demand_bounds import metric_bounds
from hwmodels.design import Chip, Design
from hwmodels.errors import ModelError
from hwmodels.offered_load import Load, least_finished, offered_load
from hwmodels.request_costs import Demand, chip_demand, is_separate, rows_of
from hwmodels.workload import Workload
from spaces.designs import decode_design
from spaces.space import Params

__all__ = ["Best", "Rules", "area_of", "bounds_of", "cannot_be_built", "chip_of", "chunks_of", "design_of", "dominates",
           "first_bounds", "rules_of", "worth"]

Floats = NDArray[np.float64]

_AT_LEAST = {"p99_deadline_frac": 0.0, "slo_miss_frac": -1.0, "slo_violation_frac": 0.0}
_TAILS = tuple(_AT_LEAST)
_CHUNK = 1024
"""Hardware whose layers are bounded together."""
_FIRST_STEPS = 3
"""Halvings for the first bound of a tail; a closer look is taken when the turn of the block comes."""


@final
@dataclass(frozen=True)
class Rules:
    """Objectives and budgets of a study, and how to read bounds by them."""

    study: Study
    metrics: tuple[str, ...]
    least: NDArray[np.int64]
    load: Load

    @property
    def energies(self) -> tuple[str, ...]:
        """Metrics that grow with every request served."""
        return tuple(metric for metric in self.metrics if metric in ("energy_j", "energy_per_inference_j"))

    @property
    def gains_by_parts(self) -> bool:
        """Whether the simulation of some requests says more than bounds do."""
        return bool(self.energies) or any(metric.rpartition(".")[2] in _TAILS for metric in self.metrics)

    def vectors(self, bounds: Mapping[str, Floats]) -> Floats:
        """Objectives at best, to be minimised, shape (D, objectives); -inf where nothing is known."""
        columns = []
        for objective in self.study.objectives:
            value = bounds[objective.metric]
            if objective.minimise != minimised(objective.metric) and objective.metric != "area_mm2":
                value = np.full(len(value), -np.inf)
            elif not objective.minimise:
                value = -value
            columns.append(value)
        return np.stack(columns, axis=1)

    def ideal(self) -> Floats:
        """What no design of any space beats, (objectives,); -inf where there is no such value."""
        best = {metric: np.array([_AT_LEAST.get(metric.rpartition(".")[2], 0.0) if minimised(metric) else
                                  1.0 if metric.endswith("_frac") else np.inf]) for metric in self.metrics}
        return self.vectors(best)[0]

    def budgets(self, bounds: Mapping[str, Floats], unseen: Sequence[str]) -> Floats:
        """Bounds of the metrics with a budget, (D, budgets); NaN for those `unseen`."""
        count = len(next(iter(bounds.values())))
        columns = [np.full(count, np.nan) if metric in unseen else bounds[metric] for metric in self.study.budgets]
        return np.stack(columns, axis=1) if columns else np.empty((count, 0))

    def broken(self, bounds: Mapping[str, Floats]) -> NDArray[np.int64]:
        """Index of the first budget that cannot be met, -1 = none, shape (D,)."""
        found = np.full(len(next(iter(bounds.values()))), -1, dtype=np.int64)
        for index, (metric, bound) in reversed(list(enumerate(self.study.budgets.items()))):
            value = bounds[metric]
            found[value > bound if minimised(metric) else value < bound] = index
        return found


def rules_of(study: Study) -> Rules:
    """What the bounds must know of a study."""
    load = offered_load(study.workload, study.seed)
    budgets = study.budgets
    wanted = {objective.metric for objective in study.objectives} | set(budgets)
    least = least_finished(load, finite_tail="p99_deadline_frac" in wanted, finite_miss="slo_miss_frac" in wanted,
                           violation_frac=budgets.get("slo_violation_frac", 1.0),
                           drop_frac=budgets.get("drop_frac", 1.0))
    return Rules(study, tuple(sorted(wanted)), least, load)


def dominates(values: Floats, bounds: Floats) -> NDArray[np.bool_]:
    """Whether an evaluated point is nowhere worse than a bound and somewhere better, of every pair in rows, (D,).

    A design whose bound it dominates is dominated itself, strictly: designs of equal objectives are never discarded.
    """
    return np.asarray((values <= bounds).all(axis=1) & (values < bounds).any(axis=1))


class Best(NamedTuple):
    """Blocks at best: columns of shape (B,)."""

    vectors: Floats
    """(B, objectives), to be minimised."""
    broken: NDArray[np.int64]
    """Index of a budget that cannot be met, -1 = none; -2 = the design cannot be built."""
    budgets: Floats
    """(B, budgets) bounds of the metrics that have one; NaN where not looked at."""
    metrics: Mapping[str, Floats]
    """All bounds, (B,) each."""


def cannot_be_built(count: int, rules: Rules) -> Best:
    """Blocks that cannot be built, until more is known."""
    return Best(np.full((count, len(rules.study.objectives)), np.inf), np.full(count, -2, dtype=np.int64),
                np.full((count, len(rules.study.budgets)), np.nan), {})


def bounds_of(rules: Rules, demand: Demand, blocks: Sequence[SchedulerBlock], area_mm2: Floats, leakage_w: Floats, *,
            representative: NDArray[np.int64] | None = None, front: Floats | None = None) -> Best:
    """Blocks at best.

    Parameters
    ----------
    demand, blocks, area_mm2, leakage_w : of every block, (B,).
    representative : block of the same hardware with the quickest scheduler, whose tails serve for all, (B,).
    front : (F, objectives) what was found: a tail that is worse than the best of the points that are no worse in all
        other objectives needs no closer bound, and one that is not is of no use.
    """
    study = rules.study

    def bounds(rows: NDArray[np.int64], metrics: Sequence[str], **options: Any) -> dict[str, Floats]:
        return metric_bounds(rows_of(demand, rows), rules.load, study.workload, [blocks[row] for row in rows.tolist()],
                             area_mm2=area_mm2[rows], leakage_w=leakage_w[rows], metrics=metrics, least=rules.least,
                             **options)

    everything = np.arange(len(blocks))
    tails = [metric for metric in rules.metrics if metric in _TAILS]
    found = bounds(everything, [metric for metric in rules.metrics if metric not in tails] or ["area_mm2"])
    found |= {metric: np.full(len(blocks), _AT_LEAST[metric]) for metric in tails}
    rows = np.flatnonzero(rules.broken(found) == -1)
    if not tails or not len(rows):
        return Best(rules.vectors(found), rules.broken(found), rules.budgets(found, tails), found)
    if front is None:
        if representative is None or not np.isnan(rules.load.deadline_x).all():  # deadlines that grow with a decision
            representative = everything
        distinct, inverse = np.unique(representative[rows], return_inverse=True)
        limits: dict[str, Any] = dict(study.budgets)
        values = bounds(distinct, tails, limits=limits, steps=_FIRST_STEPS)
        values = {metric: column[inverse] for metric, column in values.items()}
    else:
        vectors = rules.vectors(found)[rows]
        limits = {metric: np.minimum(worth(rules, metric, vectors, front), study.budgets.get(metric, np.inf))
                  for metric in tails}
        values = bounds(rows, tails, limits=limits, steps=0)
    for metric, column in values.items():
        found[metric][rows] = column
    return Best(rules.vectors(found), rules.broken(found),
                rules.budgets(found, [] if len(rows) == len(blocks) else tails), found)


def worth(rules: Rules, metric: str, vectors: Floats, front: Floats) -> Floats:
    """Least value of a metric among the points of the front that are no worse in all other objectives, (B,)."""
    column = next((i for i, o in enumerate(rules.study.objectives) if o.metric == metric and o.minimise), None)
    if column is None or not len(front):
        return np.full(len(vectors), np.inf)
    others = np.arange(front.shape[1]) != column
    no_worse = (front[None, :, others] <= vectors[:, None, others]).all(axis=2)
    return np.where(no_worse, front[None, :, column], np.inf).min(axis=1)


def _quickest(hardware: NDArray[np.int64], blocks: Sequence[SchedulerBlock]) -> NDArray[np.int64]:
    """For each block the one of the same hardware, largest batch and overlap with the least decision time."""
    kind = np.array([2 * block.together + block.overlaps for block in blocks], dtype=np.int64)
    alike = hardware * (int(kind.max(initial=0)) + 1) + kind
    order = np.lexsort((np.array([block.decision_s for block in blocks]), alike))
    distinct, start = np.unique(alike[order], return_index=True)
    return order[start][np.searchsorted(distinct, alike)]


def chunks_of(blocks: Blocks) -> list[tuple[int, int]]:
    """Hardware whose first bounds are computed together: (first, stop)."""
    count = len(blocks.first)
    return [(low, min(low + _CHUNK, count)) for low in range(0, count, _CHUNK)]


def first_bounds(blocks: Blocks, rules: Rules, low: int, high: int) -> Best:
    """Bounds of the blocks of hardware low .. high - 1, without any mapping search."""
    workload = rules.study.workload
    first, last = int(blocks.first_block[low]), int(blocks.first_block[high])
    found = cannot_be_built(last - first, rules)
    chips: dict[bool, list[tuple[int, Chip]]] = {False: [], True: []}
    for h in range(low, high):
        chip = _chip(blocks.params(h) | blocks.tails(h)[0], workload)
        if chip is not None:
            chips[is_separate(chip)].append((h, chip))
    for some in chips.values():
        if not some:
            continue
        demand = chip_demand([chip for _, chip in some], workload, rules.load)
        rows = np.concatenate([np.arange(blocks.first_block[h], blocks.first_block[h + 1]) for h, _ in some])
        owner = np.repeat(np.arange(len(some)), [len(blocks.groups(h)) for h, _ in some])
        schedulers = [blocks.group(b).block for b in rows.tolist()]
        area = np.array([area_of(some[o][1], block) for o, block in zip(owner.tolist(), schedulers, strict=True)])
        leakage = np.array([some[o][1].leakage_w for o in owner.tolist()])
        best = bounds_of(rules, rows_of(demand, owner), schedulers, area, leakage,
                       representative=_quickest(owner, schedulers))
        found.vectors[rows - first], found.broken[rows - first], found.budgets[rows - first] = best[:3]
    return found


def design_of(params: Params, workload: Workload) -> Design | None:
    """None where the models refuse the hardware."""
    try:
        return decode_design(params, workload)
    except ModelError:
        return None


def chip_of(design: Design, workload: Workload) -> Chip | None:
    try:
        return design.architecture.chip(workload)
    except ModelError:
        return None


def _chip(params: Params, workload: Workload) -> Chip | None:
    design = design_of(params, workload)
    return None if design is None else chip_of(design, workload)


def area_of(chip: Chip, block: SchedulerBlock) -> float:
    """As `hwmodels.evaluate` sums it, to the last digit."""
    return float(sum({**chip.area_mm2, "scheduler": block.area_mm2}.values()))
