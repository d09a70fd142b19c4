"""What workers do for an exact front: bounds of the blocks of one hardware that come closer, then simulations.

    block --exact cost tables, engine by engine--> closer bounds (`dse.front_bounds`)
    design that is left --simulation--> result, or the part of it that discards the design (`hwmodels.prefix_bounds`)
"""

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dse.front_blocks import Blocks
from dse.front_bounds import (
    Best,
    Rules,
    area_of,
    bounds_of,
    cannot_be_built,
    chip_of,
    design_of,
    dominates,
    first_bounds,
    rules_of,
    worth,
)
from dse.objective import DesignEvaluator, Result, evaluate_one, judge, result_of
from dse.study import Study
from hwmodels.area import SchedulerBlock
from hwmodels.demand_bounds import Served, metric_bounds
from hwmodels.evaluate import Bench, bench_of, prepare
from hwmodels.kernel_parts import Watch
from hwmodels.outcome import Outcome
from hwmodels.policies import policy as named_policy
from hwmodels.prefix_bounds import Tails, first_requests, prefix_of, watch_of
from hwmodels.request_costs import CloserDemand, Demand, prepared_demand, rows_of
from hwmodels.tables import TaskRecords
from spaces.designs import decode_design, policy_params
from spaces.space import Params

__all__ = ["BlockEvaluator", "Cut", "best_of", "cuts_of", "results_of"]

Floats = NDArray[np.float64]

_PARTS = (0.1, 0.35)
"""Shares of the requests that are simulated before all of them, where a simulation cannot be stopped on the way."""
_RARELY = 16
"""Layers are costed engine by engine where one hardware of so many is discarded on the way."""
_LEVELS = 16
"""Most pairs of tail and energy at which a simulation may stop."""


@final
class Hardware:
    """The blocks of one hardware: bounds that come closer, then simulations, which stop once they prove enough."""

    def __init__(self, params: Params, groups: Sequence[SchedulerBlock], rules: Rules,
                 experience: "Experience | None" = None) -> None:
        """`params` are those of any design of the hardware."""
        self.params, self.groups, self.rules = params, groups, rules
        self.experience = experience or Experience()
        self._benches: dict[int, Bench] = {}
        self._tails: dict[int, Tails] = {}
        self._watches: dict[int, tuple[int, Watch | None]] = {}
        """Group -> (how many points were known, when to stop a simulation)."""
        self._demand: Demand | None = None
        self.engines = 0
        self.piecewise = self.whole = False
        """Whether layers were costed engine by engine, and whether at last all of them."""

    def bounds(self, front: Floats) -> Iterator[Best]:
        """Bounds of the blocks, closer and closer: the layers of one network on one engine after the other are costed
        exactly instead of bounded, where that pays, at last all of them. `front` as in `bounds_of`."""
        rules, groups = self.rules, self.groups
        workload, count = rules.study.workload, len(groups)
        design = design_of(self.params, workload)
        chip = None if design is None else chip_of(design, workload)
        if design is None or chip is None:
            yield cannot_be_built(count, rules)
            return
        self._area = np.array([area_of(chip, block) for block in groups])
        self._leakage, same = np.full(count, chip.leakage_w), np.zeros(count, dtype=np.int64)
        closer = CloserDemand(chip, workload, rules.load)
        yield bounds_of(rules, rows_of(closer.demand(), same), groups, self._area, self._leakage, front=front)
        self.engines = len(closer.engines)
        for n in self.experience.order(closer, rules) if self.experience.pays(self.engines) else ():
            self.piecewise = True
            before = closer.energy_j(n)
            while (engine := closer.uncertain(n)) is not None:
                closer.cost(n, engine)
                yield bounds_of(rules, rows_of(closer.demand(), same), groups, self._area, self._leakage, front=front)
            self.experience.learn(n, before, closer.energy_j(n))
        self.whole = True
        prepared = prepare(replace(design, policy="fcfs", policy_params={}), workload)  # one request at a time
        if prepared.problem:
            yield cannot_be_built(count, rules)
            return
        self._demand = prepared_demand(prepared, workload, rules.load)
        yield bounds_of(rules, rows_of(self._demand, same), groups, self._area, self._leakage, front=front)

    def simulated(self, number: int, params: Params, g: int, best: Best, found: "Points") -> "Result | Cut":
        """A design of group g: its result, or why it needs none.

        Parameters
        ----------
        best : the last of `bounds`.
        found : evaluated designs that may dominate it.
        """
        start, rules, workload = time.perf_counter(), self.rules, self.rules.study.workload
        policy, own = str(params["policy"]), policy_params(params)
        if g not in self._benches:
            bench = bench_of(prepare(decode_design(params, workload), workload), workload, self.groups[g],
                             rules.study.seed)
            self._benches[g] = bench
            self._tails[g] = Tails(bench.trace, [tenant.name for tenant in workload.tenants], rules.load.percentile)
        bench = self._benches[g]
        known = len(found.numbers)
        if self._watches.get(g, (-1, None))[0] != known:
            self._watches[g] = known, self._watch(g, bench, best, found)
        count, watch = len(bench.trace.arrival_s), self._watches[g][1]
        record = named_policy(policy)
        looks = watch is not None and record.batch is None and record.issue is None  # loops that can be stopped
        parts = [first_requests(bench.trace.arrival_s, part) for part in _PARTS if rules.gains_by_parts and not looks]
        for first in dict.fromkeys([*parts, count]):
            records = bench.serve(policy, own, first=first,
                                  watch=watch if first == count else None)
            cut = self._cut(number, g, best, bench, records, found)
            if cut is not None:
                return cut
        if records.stopped_s < math.inf:  # a hair short of a proof
            records = bench.serve(policy, own)
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
        theta = [min(study.budgets.get(tail, math.inf), float(worth(rules, tail, vector[None], found.values)[0]))]
        more_j = [0.0]
        columns = {o.metric: i for i, o in enumerate(study.objectives) if o.minimise}
        energy = next((metric for metric in rules.energies if metric in columns), None)
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
        tails = self._tails[g].bounds(prefix)
        energies = rules.energies
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
    """What the hardware met so far teaches: how far the energy of every network was above its bound, and whether it
    pays to cost layers engine by engine."""

    def __init__(self) -> None:
        self._ratios: dict[int, tuple[float, int]] = {}
        """Network -> (sum of exact / bound - 1, how many)."""
        self._asked: dict[int, int] = {}
        self._tried: dict[int, tuple[int, int]] = {}
        """Engines -> (hardware costed engine by engine, those that were discarded before all was costed)."""

    def pays(self, engines: int) -> bool:
        """Whether hardware with so many engines is discarded before all of it is costed in one of `_RARELY` cases; of
        what is not, so many are tried all the same."""
        self._asked[engines] = self._asked.get(engines, 0) + 1
        tried, early = self._tried.get(engines, (0, 0))
        return tried < _RARELY or early * _RARELY >= tried or self._asked[engines] % _RARELY == 0

    def tried(self, engines: int, early: bool) -> None:
        tried, before = self._tried.get(engines, (0, 0))
        self._tried[engines] = tried + 1, before + early

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
    if hardware.piecewise:
        experience.tried(hardware.engines, not left and not hardware.whole)
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
