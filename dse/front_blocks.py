"""Blocks of designs that share all bounds: one hardware and one scheduler block, any policy.

    Space --split--> hardware parameters first, policy and scheduler last
    hardware --Blocks--> groups of designs with the same `SchedulerBlock`
    block --bounds--> objectives and budgets at best       (`hwmodels.demand_bounds`)

A design's number is its position in the space so ordered. `BlockEvaluator` is what workers call: exact cost tables of a
hardware, closer bounds, and the simulation of what they cannot discard.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dse.objective import DesignEvaluator, Result, evaluate_one, judge, minimised, result_of
from dse.study import Study
from hwmodels.area import SchedulerBlock
from hwmodels.demand_bounds import Served, metric_bounds
from hwmodels.design import Chip, Design
from hwmodels.errors import ModelError
from hwmodels.evaluate import Bench, bench_of, prepare
from hwmodels.kernel_parts import Watch
from hwmodels.offered_load import Load, least_finished, offered_load
from hwmodels.outcome import Outcome
from hwmodels.policies import policy as named_policy
from hwmodels.prefix_bounds import first_requests, prefix_of, tail_bounds, watch_of
from hwmodels.request_costs import CloserDemand, Demand, chip_demand, is_separate, prepared_demand, rows_of
from hwmodels.scheduling import block_of
from hwmodels.tables import TaskRecords
from hwmodels.workload import Workload
from spaces.designs import PARAMETERS, decode_design, policy_params
from spaces.graph import INACTIVE, Node
from spaces.space import Params, Space

__all__ = ["Best", "BlockEvaluator", "Blocks", "Cut", "Group", "Rules", "best_of", "chunks_of", "cuts_of", "dominates",
           "first_bounds", "hardware_first", "results_of", "rules_of"]

Floats = NDArray[np.float64]

_AT_LEAST = {"p99_deadline_frac": 0.0, "slo_miss_frac": -1.0, "slo_violation_frac": 0.0}
_TAILS = tuple(_AT_LEAST)
_BY_PARTS = ("energy_j", "energy_per_inference_j")
_PARTS = (0.1, 0.35)
"""Shares of the requests that are simulated before all of them, where a simulation cannot be stopped on the way."""
_LEVELS = 16
"""Most pairs of tail and energy at which a simulation may stop."""
_CHUNK = 1024
"""Hardware whose layers are bounded together."""
_FIRST_STEPS = 3
"""Halvings for the first bound of a tail; a closer look is taken when the turn of the block comes."""


# --- which designs ----------------------------------------------------------------------------------------------------


def is_hardware(name: str) -> bool:
    """Whether a parameter of the space describes hardware (not the policy, its parameters or who runs it)."""
    return name in PARAMETERS and name not in ("policy", "scheduler")


def hardware_first(space: Space) -> Space:
    """The same points with the hardware parameters first; design numbers are positions in this one."""
    names = [*filter(is_hardware, space.names), *(name for name in space.names if not is_hardware(name))]
    return Space({name: space.domains[name] for name in names}, space.conditions, space.forbidden)


class Group(NamedTuple):
    """Designs of one hardware with the same scheduler block."""

    block: SchedulerBlock
    offsets: tuple[int, ...]
    """Design number - number of the first design of the hardware."""


@final
class Blocks:
    """Every hardware of a space, and its groups of designs.

    Attributes
    ----------
    codes : (H, hardware parameters) codes of every hardware.
    first : (H,) number of its first design.
    hardware : (B,) hardware of every block.
    """

    def __init__(self, space: Space) -> None:
        self.space = hardware_first(space)
        self.depth = sum(map(is_hardware, self.space.names))
        rows, first, nodes = [], [], []
        at = 0
        for codes, node in self._prefixes():
            rows.append(codes)
            first.append(at)
            nodes.append(node)
            at += node.count
        self.size = at
        self.codes = np.array(rows, dtype=np.int32)
        self.first = np.array(first, dtype=np.int64)
        self._nodes = nodes
        at_node = self.space.names.index("node_nm")
        self._node_nm = [int(self.space.domains["node_nm"].value(code)) for code in self.codes[:, at_node].tolist()]
        self._tails: dict[int, tuple[Params, ...]] = {}
        self._groups: dict[tuple[int, int], tuple[Group, ...]] = {}
        counts = [len(self.groups(h)) for h in range(len(rows))]
        self.hardware = np.repeat(np.arange(len(rows)), counts)
        self.first_block = np.concatenate([[0], np.cumsum(counts)])

    def _prefixes(self) -> Iterator[tuple[tuple[int, ...], Node]]:
        """Codes of the hardware parameters, and the node that says what can follow."""
        stack: list[tuple[tuple[int, ...], Node]] = [((), self.space._root)]
        while stack:
            codes, node = stack.pop()
            if len(codes) == self.depth:
                yield codes, node
                continue
            for code in reversed(list(node.codes())):
                below = node.step(code)
                assert below is not None
                stack.append(((*codes, code), below))

    def params(self, h: int) -> Params:
        """Hardware parameters."""
        codes = [*self.codes[h].tolist(), *[INACTIVE] * (len(self.space.names) - self.depth)]
        return self.space.decode(codes)

    def tails(self, h: int) -> tuple[Params, ...]:
        """Policy, scheduler and parameters of every design of a hardware, in the order of their numbers."""
        node = self._nodes[h]
        if id(node) not in self._tails:
            prefix = [INACTIVE] * self.depth
            found = []
            for number in range(node.count):
                codes, at, left = [], node, number
                for _ in range(len(self.space.names) - self.depth):
                    code, at, left = at.unrank(left)
                    codes.append(code)
                found.append(self.space.decode([*prefix, *codes]))
            self._tails[id(node)] = tuple(found)
        return self._tails[id(node)]

    def groups(self, h: int) -> tuple[Group, ...]:
        """Groups of a hardware, by their first design."""
        node_nm = self._node_nm[h]
        key = (id(self._nodes[h]), node_nm)
        if key not in self._groups:
            of: dict[SchedulerBlock, list[int]] = {}
            for offset, tail in enumerate(self.tails(h)):
                policy = str(tail["policy"])
                block = block_of(str(tail["scheduler"]), policy, policy_params(tail), node_nm)
                of.setdefault(block, []).append(offset)
            self._groups[key] = tuple(Group(block, tuple(offsets)) for block, offsets in of.items())
        return self._groups[key]

    def group(self, b: int) -> Group:
        h = int(self.hardware[b])
        return self.groups(h)[b - int(self.first_block[h])]

    def design(self, number: int) -> Params:
        """Parameters of a design by its number, in the order of the study's space."""
        return self.space.at(number)


# --- what a study wants -----------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class Rules:
    """Objectives and budgets of a study, and how to read bounds by them."""

    study: Study
    metrics: tuple[str, ...]
    least: NDArray[np.int64]
    load: Load

    @property
    def gains_by_parts(self) -> bool:
        """Whether the simulation of some requests says more than bounds do."""
        return any(metric in _BY_PARTS or metric.rpartition(".")[2] in _TAILS for metric in self.metrics)

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


def _cannot(count: int, rules: Rules) -> Best:
    """Blocks that cannot be built, until more is known."""
    return Best(np.full((count, len(rules.study.objectives)), np.inf), np.full(count, -2, dtype=np.int64),
                np.full((count, len(rules.study.budgets)), np.nan), {})


def _bounds(rules: Rules, demand: Demand, blocks: Sequence[SchedulerBlock], area_mm2: Floats, leakage_w: Floats, *,
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
        limits = {metric: np.minimum(_worth(rules, metric, vectors, front), study.budgets.get(metric, np.inf))
                  for metric in tails}
        values = bounds(rows, tails, limits=limits, steps=0)
    for metric, column in values.items():
        found[metric][rows] = column
    return Best(rules.vectors(found), rules.broken(found),
                rules.budgets(found, [] if len(rows) == len(blocks) else tails), found)


def _worth(rules: Rules, metric: str, vectors: Floats, front: Floats) -> Floats:
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
    found = _cannot(last - first, rules)
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
        area = np.array([_area(some[o][1], block) for o, block in zip(owner.tolist(), schedulers, strict=True)])
        leakage = np.array([some[o][1].leakage_w for o in owner.tolist()])
        best = _bounds(rules, rows_of(demand, owner), schedulers, area, leakage,
                       representative=_quickest(owner, schedulers))
        found.vectors[rows - first], found.broken[rows - first], found.budgets[rows - first] = best[:3]
    return found


def _design(params: Params, workload: Workload) -> Design | None:
    """None where the models refuse the hardware."""
    try:
        return decode_design(params, workload)
    except ModelError:
        return None


def _chip_of(design: Design, workload: Workload) -> Chip | None:
    try:
        return design.architecture.chip(workload)
    except ModelError:
        return None


def _chip(params: Params, workload: Workload) -> Chip | None:
    design = _design(params, workload)
    return None if design is None else _chip_of(design, workload)


def _area(chip: Chip, block: SchedulerBlock) -> float:
    """As `hwmodels.evaluate` sums it, to the last digit."""
    return float(sum({**chip.area_mm2, "scheduler": block.area_mm2}.values()))


# --- workers ----------------------------------------------------------------------------------------------------------


@final
class Hardware:
    """The blocks of one hardware: bounds that come closer, then simulations, which stop once they prove enough."""

    def __init__(self, params: Params, groups: Sequence[SchedulerBlock], rules: Rules,
                 experience: "Experience | None" = None) -> None:
        """`params` are those of any design of the hardware."""
        self.params, self.groups, self.rules = params, groups, rules
        self.experience = experience or Experience()
        self._benches: dict[int, Bench] = {}
        self._demand: Demand | None = None

    def bounds(self, front: Floats) -> Iterator[Best]:
        """Bounds of the blocks, closer and closer: the layers of one network on one engine after the other are costed
        exactly instead of bounded, at last all of them. `front` as in `_bounds`."""
        rules, groups = self.rules, self.groups
        workload, count = rules.study.workload, len(groups)
        design = _design(self.params, workload)
        chip = None if design is None else _chip_of(design, workload)
        if design is None or chip is None:
            yield _cannot(count, rules)
            return
        self._area = np.array([_area(chip, block) for block in groups])
        self._leakage, same = np.full(count, chip.leakage_w), np.zeros(count, dtype=np.int64)
        closer = CloserDemand(chip, workload, rules.load)
        yield _bounds(rules, rows_of(closer.demand(), same), groups, self._area, self._leakage, front=front)
        for n in self.experience.order(closer, rules):
            before = closer.energy_j(n)
            while (engine := closer.uncertain(n)) is not None:
                closer.cost(n, engine)
                yield _bounds(rules, rows_of(closer.demand(), same), groups, self._area, self._leakage, front=front)
            self.experience.learn(n, before, closer.energy_j(n))
        prepared = prepare(replace(design, policy="fcfs", policy_params={}), workload)  # one request at a time
        if prepared.problem:
            yield _cannot(count, rules)
            return
        self._demand = prepared_demand(prepared, workload, rules.load)
        yield _bounds(rules, rows_of(self._demand, same), groups, self._area, self._leakage, front=front)

    def simulated(self, number: int, params: Params, g: int, best: Best, found: "Points") -> "Result | Cut":
        """A design of group g: its result, or why it needs none.

        Parameters
        ----------
        best : the last of `bounds`.
        found : evaluated designs that may dominate it.
        """
        start, rules = time.perf_counter(), self.rules
        design = decode_design(params, rules.study.workload)
        if g not in self._benches:
            self._benches[g] = bench_of(prepare(design, rules.study.workload), rules.study.workload, self.groups[g],
                                        rules.study.seed)
        bench = self._benches[g]
        count, watch = len(bench.trace.arrival_s), self._watch(g, bench, best, found)
        record = named_policy(design.policy)
        looks = watch is not None and record.batch is None and record.issue is None  # loops that can be stopped
        parts = [first_requests(bench.trace.arrival_s, part) for part in _PARTS if rules.gains_by_parts and not looks]
        for first in dict.fromkeys([*parts, count]):
            records = bench.serve(design.policy, design.policy_params, first=first,
                                  watch=watch if first == count else None)
            cut = self._cut(number, g, best, bench, records, found)
            if cut is not None:
                return cut
        if records.stopped_s < math.inf:  # a hair short of a proof
            records = bench.serve(design.policy, design.policy_params)
        outcome = bench.outcome(records)
        return result_of(number, params, outcome, time.perf_counter() - start)

    def _watch(self, g: int, bench: Bench, best: Best, found: "Points") -> Watch | None:
        """A simulation of group g may stop once the tail is above its budget, or above that of a point that is no
        worse in area, once it also took more energy than that point."""
        rules, study = self.rules, self.rules.study
        tail = next((metric for metric in ("p99_deadline_frac", "slo_miss_frac") if metric in rules.metrics), None)
        if tail is None:
            return None
        assert self._demand is not None
        above, percentiles = (1.0, rules.load.percentile) if tail == "slo_miss_frac" else (
            0.0, np.full(len(rules.load.percentile), 99.0))
        vector = best.vectors[g]
        theta = [min(study.budgets.get(tail, math.inf), float(_worth(rules, tail, vector[None], found.values)[0]))]
        more_j = [0.0]
        columns = {o.metric: i for i, o in enumerate(study.objectives) if o.minimise}
        energy = next((metric for metric in _BY_PARTS if metric in columns), None)
        if tail in columns and energy is not None:
            others = [i for i in range(len(vector)) if i not in (columns[tail], columns[energy])]
            points = found.values[(found.values[:, others] <= vector[others]).all(axis=1)][:, [columns[tail],
                                                                                              columns[energy]]]
            share = 1.0 if energy == "energy_j" else float(rules.load.requests.sum())
            for value, joules in points[np.argsort(points[:, 1], kind="stable")].tolist():
                if value < theta[-1]:
                    theta.append(value)
                    more_j.append(max(0.0, joules - float(vector[columns[energy]])) * share * (1.0 + 1e-6))
        some = np.unique(np.linspace(0, len(theta) - 1, min(len(theta), _LEVELS)).astype(int))
        return watch_of(bench.trace, percentiles, np.array(theta)[some] + above, np.array(more_j)[some],
                        self._demand.energy_j[0])

    def _cut(self, number: int, g: int, best: Best, bench: Bench, records: TaskRecords,
             found: "Points") -> "Cut | None":
        """What the records of the first requests prove."""
        rules, workload, first = self.rules, self.rules.study.workload, len(records.finish_s)
        prefix = prefix_of(bench.trace, records)
        bounds = {metric: column[g:g + 1] for metric, column in best.metrics.items()}
        tails = tail_bounds(bench.trace, prefix, [t.name for t in workload.tenants], rules.load.percentile)
        energies = [metric for metric in rules.metrics if metric in _BY_PARTS]
        if energies:
            assert self._demand is not None
            tenant, spent_j = bench.trace.tenant[:first][prefix.done], records.energy_j[prefix.done]
            tenants = len(workload.tenants)
            served = Served(np.bincount(tenant, minlength=tenants).astype(np.int64),
                            np.bincount(tenant, weights=spent_j, minlength=tenants).astype(np.float64))
            bounds |= metric_bounds(self._demand, rules.load, workload, [self.groups[g]], area_mm2=self._area[g:g + 1],
                                    leakage_w=self._leakage[g:g + 1], metrics=energies, least=rules.least,
                                    served=served)
        bounds |= {metric: np.maximum(bounds[metric], tails[metric]) for metric in rules.metrics if metric in tails}
        vector, broken = rules.vectors(bounds)[0], int(rules.broken(bounds)[0])
        beats = np.flatnonzero(dominates(found.values, vector))
        if broken == -1 and not len(beats):
            return None
        arrived = int(np.searchsorted(bench.trace.arrival_s[:first], records.stopped_s, side="right"))
        return Cut(number, arrived, broken, found.numbers[beats[0]] if broken == -1 else None, vector.tolist())


class Cut(NamedTuple):
    """A design that part of its simulation discards."""

    number: int
    requests: int
    """Arrived by then."""
    broken: int
    """Index of a budget that it does not meet, -1 = dominated."""
    by: int | None
    """Design that strictly dominates it."""
    bound: list[float]
    """Objectives at best, to be minimised."""


@final
class Points:
    """Evaluated designs that may discard others."""

    def __init__(self, front: Sequence[tuple[int, Sequence[float]]], objectives: int) -> None:
        self.numbers = [number for number, _ in front]
        self.values = np.array([values for _, values in front], dtype=np.float64).reshape(len(front), objectives)

    def add(self, number: int, values: Sequence[float]) -> None:
        self.numbers.append(number)
        self.values = np.concatenate([self.values, [values]])


@final
class Experience:
    """How far the energy of every network was above its bound, on the hardware met so far."""

    def __init__(self) -> None:
        self._ratios: dict[int, tuple[float, int]] = {}
        """Network -> (sum of exact / bound - 1, how many)."""

    def learn(self, n: int, bound_j: float, exact_j: float) -> None:
        if math.isfinite(exact_j) and bound_j > 0.0:
            total, count = self._ratios.get(n, (0.0, 0))
            self._ratios[n] = total + exact_j / bound_j - 1.0, count + 1

    def order(self, closer: CloserDemand, rules: Rules) -> list[int]:
        """Networks, those first that are expected to add most energy per layer to be costed."""
        gain = dict.fromkeys(range(len(closer.networks)), 0.0)
        for t, tenant in enumerate(rules.study.workload.tenants):
            n = closer.networks.index(tenant.network)
            total, count = self._ratios.get(n, (1.0, 1))  # not met yet: look at it
            gain[n] += float(rules.load.requests[t]) * closer.energy_j(n) * total / count
        return sorted(gain, key=lambda n: -gain[n] / len(set(closer.networks[n].layers)))


@final
@dataclass
class BlockEvaluator:
    """What workers call, with one of three kinds of parameters: a design, or one of two tasks.

    `{"chunk": (first, stop)}` asks for the first bounds of some hardware. `{"block": ...}` names a hardware and the
    groups of it that are not discarded yet, and brings the front so far; the answer is JSON in the status: the closer
    bounds, who discards what, and the results of the designs that were simulated, or why part of the simulation was
    enough.
    """

    study: Study
    _blocks: Blocks | None = field(default=None, repr=False)
    _rules: Rules | None = field(default=None, repr=False)
    _experience: Experience = field(default_factory=Experience, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"study": self.study, "_blocks": None, "_rules": None, "_experience": Experience()}

    def __call__(self, params: Params) -> Outcome:
        evaluate = DesignEvaluator(workload=self.study.workload, seed=self.study.seed, fidelity=self.study.fidelity)
        if "block" not in params and "chunk" not in params:
            return evaluate(params)
        if self._rules is None:
            self._rules = rules_of(self.study)
        task: Any = params.get("block")
        if task is None:
            if self._blocks is None:
                self._blocks = Blocks(self.study.space)
            chunk: Any = params["chunk"]
            best = first_bounds(self._blocks, self._rules, *chunk)
            return Outcome(status=json.dumps([column.tolist() for column in best[:3]]), metrics={})
        answer = _answer(task, self._rules, evaluate, self._experience)
        return Outcome(status=json.dumps(answer), metrics={})


def _answer(task: dict[str, Any], rules: Rules, evaluate: DesignEvaluator, experience: Experience) -> dict[str, Any]:
    groups = [SchedulerBlock(*group["scheduler"]) for group in task["groups"]]
    designs = [[(number, task["hardware"] | tail) for number, tail in group["designs"]] for group in task["groups"]]
    found = Points(task["front"], len(rules.study.objectives))
    verdicts: list[dict[str, Any]] = [{}] * len(groups)
    left = list(range(len(groups)))
    hardware = Hardware(designs[0][0][1], groups, rules, experience)
    for best in hardware.bounds(found.values):
        for g in list(left):
            beats = np.flatnonzero(dominates(found.values, best.vectors[g]))
            by, broken = found.numbers[beats[0]] if len(beats) else None, int(best.broken[g])
            verdicts[g] = {"bound": best.vectors[g].tolist(), "broken": broken, "by": by if broken == -1 else None}
            if broken != -1 or by is not None:
                left.remove(g)
        if not left:
            break
    results, cuts = [], []
    for g in left:
        for number, params in designs[g]:
            try:
                one = hardware.simulated(number, params, g, best, found)
            except Exception:
                one = evaluate_one(evaluate, number, params)  # keeps what went wrong
            if isinstance(one, Cut):
                cuts.append(one)
                continue
            results.append(one.as_dict())
            verdict = judge(rules.study, one)
            if verdict.feasible and verdict.values is not None:
                found.add(number, verdict.values)
    return {"groups": verdicts, "results": results, "cuts": cuts}


def best_of(result: Result) -> Best:
    """The answer about a chunk, without the single metrics."""
    vectors, broken, budgets = json.loads(result.status)
    return Best(np.array(vectors), np.array(broken, dtype=np.int64), np.array(budgets).reshape(len(broken), -1), {})


def cuts_of(answer: dict[str, Any]) -> list[Cut]:
    """The designs of an answer that part of a simulation discards."""
    return [Cut(*entry) for entry in answer["cuts"]]


def results_of(answer: dict[str, Any]) -> list[Result]:
    """The simulated designs of an answer."""
    return [Result(**entry) for entry in answer["results"]]
