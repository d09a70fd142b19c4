"""Bounds of boxes of designs: what no design in a box can beat, whatever its sizes, rates and policy.

    Box --spaces.boxes--> active parameters, share of the space
        --spaces.chip_ranges--> smallest and largest chip, best scheduler
        --hwmodels.demand_bounds--> objectives and budgets at best

A box of one design has the bounds of that design. `BoxEvaluator` is what workers call.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from dse.front_blocks import is_hardware
from dse.front_bounds import Rules, bounds_of, rules_of
from dse.objective import DesignEvaluator
from dse.study import Study
from hwmodels.area import SchedulerBlock
from hwmodels.outcome import Outcome
from hwmodels.request_costs import chip_demand, is_separate
from spaces.boxes import Box, Inside, ends_of, whole
from spaces.chip_ranges import KINDS, ChipRange, best_block, chip_range
from spaces.domains import Real, Value
from spaces.space import Params, Space

__all__ = ["Bounded", "BoxBounds", "BoxEvaluator"]

_ROUNDING = 1e-12
"""Relative: parts of a chip are summed in the order of its engines, those of a box in that of their parameters."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """What is known of a box.

    Parameters
    ----------
    share : of the space, as `spaces.boxes.Inside` [-]; 0 = it holds no design.
    active : parameters that some of its designs have, by position.
    single : codes of its design, if it holds no other.
    vector : objectives at best, to be minimised; -inf where nothing is known.
    broken : index of a budget that cannot be met, -1 = none, -2 = none of the designs can be built.
    """

    share: float
    active: tuple[int, ...] = ()
    single: tuple[int, ...] | None = None
    vector: tuple[float, ...] = ()
    broken: int = -1

    def as_dict(self) -> dict[str, Any]:
        """For the journal, which has no infinities; `from_dict` is the inverse."""
        return {"share": self.share, "active": self.active, "single": self.single, "broken": self.broken,
                "vector": [None if abs(value) == np.inf else value for value in self.vector]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "Bounded":
        """Of a box that can be built, no bound is +inf."""
        single = found["single"]
        return cls(share=found["share"], active=tuple(found["active"]), broken=found["broken"],
                   single=None if single is None else tuple(single),
                   vector=tuple(-np.inf if value is None else value for value in found["vector"]))


@final
class BoxBounds:
    """Bounds the boxes of a study's space."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.space: Space = rules.study.space
        self._domains = list(self.space.domains.values())
        self._kinds = [i for i, name in enumerate(self.space.names) if name in KINDS]
        self._pairs: dict[tuple[Any, ...], list[tuple[str, str]]] = {}

    def __call__(self, boxes: Sequence[Box]) -> list[Bounded]:
        """Bounds of boxes; parameters of `KINDS` that are not known yet leave their box without any."""
        inside = [Inside(self.space, box) for box in boxes]
        ideal = tuple(self.rules.ideal().tolist())
        found = [Bounded(share=one.share, active=tuple(sorted(one.active)), single=self._single(one, box), vector=ideal)
                 for one, box in zip(inside, boxes, strict=True)]
        alike: dict[bool, list[tuple[int, ChipRange, SchedulerBlock]]] = {False: [], True: []}
        for at, (box, one) in enumerate(zip(boxes, found, strict=True)):
            if not one.share or any(box.low[i] < box.high[i] for i in self._kinds if i in one.active):
                continue
            values = self.values(box, one.active)
            chips = chip_range({name: own for name, own in values.items() if is_hardware(name)},
                               self.rules.study.workload)
            if chips is None:
                found[at] = Bounded(share=one.share, active=one.active, single=one.single, broken=-2, vector=ideal)
            else:
                alike[is_separate(chips.smallest)].append((at, chips, self._block(box, values)))
        for some in alike.values():
            self._bound(some, found)
        return found

    def values(self, box: Box, active: Sequence[int]) -> dict[str, tuple[Value, ...]]:
        """Of every active parameter all values, or of a range the first and the last."""
        return {self.space.names[i]: ends_of(self._domains[i], box.low[i], box.high[i]) for i in active}

    def _single(self, inside: Inside, box: Box) -> tuple[int, ...] | None:
        if inside.size != 1 or any(box.low[i] < box.high[i] for i in inside.active
                                   if isinstance(self._domains[i], Real)):
            return None
        return inside.draw(np.random.default_rng(0))

    def _block(self, box: Box, values: Mapping[str, tuple[Value, ...]]) -> SchedulerBlock:
        """The best scheduler of the policies that designs of the box can have."""
        at = [self.space.names.index(name) for name in ("policy", "scheduler")]
        key = tuple((box.low[i], box.high[i]) for i in (*self._kinds, *at))
        if key not in self._pairs:
            self._pairs[key] = self._valid_pairs(box, at)
        batches: dict[str, tuple[int, int]] = {}
        for name, own in values.items():
            policy, _, parameter = name.partition(".")
            if parameter == "max_batch":
                batches[policy] = int(min(own)), int(max(own))
        return best_block(self._pairs[key], int(values["node_nm"][0]), batches)

    def _valid_pairs(self, box: Box, at: Sequence[int]) -> list[tuple[str, str]]:
        """(policy, scheduler) that go with the kinds of the box."""
        low, high = map(list, whole(self.space))
        for i in (*self._kinds, *at):
            low[i], high[i] = box.low[i], box.high[i]
        found = []
        for policy in range(box.low[at[0]], box.high[at[0]] + 1):
            for scheduler in range(box.low[at[1]], box.high[at[1]] + 1):
                for i, code in zip(at, (policy, scheduler), strict=True):
                    low[i] = high[i] = code
                if Inside(self.space, Box(tuple(low), tuple(high))).size:
                    found.append((str(self._domains[at[0]].value(policy)), str(self._domains[at[1]].value(scheduler))))
        return found

    def _bound(self, some: Sequence[tuple[int, ChipRange, SchedulerBlock]], found: list[Bounded]) -> None:
        """Write the bounds of boxes of the same structure to `found`."""
        if not some:
            return
        rules = self.rules
        demand = chip_demand([chips.largest for _, chips, _ in some], rules.study.workload, rules.load,
                             smallest=[chips.smallest for _, chips, _ in some])
        area = np.array([sum({**chips.smallest.area_mm2, "scheduler": block.area_mm2}.values())
                         for _, chips, block in some]) * (1.0 - _ROUNDING)
        leakage = np.array([chips.smallest.leakage_w for _, chips, _ in some])
        best = bounds_of(rules, demand, [block for _, _, block in some], area, leakage)
        vectors = best.vectors.copy()
        for column, objective in enumerate(rules.study.objectives):
            if objective.metric == "area_mm2" and not objective.minimise:
                vectors[:, column] = -np.inf  # the area of a box is known from below only
        for (at, _, _), vector, broken in zip(some, vectors.tolist(), best.broken.tolist(), strict=True):
            known = found[at]
            found[at] = Bounded(share=known.share, active=known.active, single=known.single, vector=tuple(vector),
                                broken=broken)


@final
@dataclass
class BoxEvaluator:
    """Takes a design, or `{"boxes": [[low, high], ...]}`: the answer is JSON in the status, a `Bounded` of each."""

    study: Study
    _bounds: BoxBounds | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"study": self.study, "_bounds": None}

    def __call__(self, params: Params) -> Outcome:
        if "boxes" not in params:
            evaluate = DesignEvaluator(workload=self.study.workload, seed=self.study.seed,
                                       fidelity=self.study.fidelity)
            return evaluate(params)
        if self._bounds is None:
            self._bounds = BoxBounds(rules_of(self.study))
        boxes: Any = params["boxes"]
        found = self._bounds([Box(tuple(low), tuple(high)) for low, high in boxes])
        return Outcome(status=json.dumps([one.as_dict() for one in found], allow_nan=False), metrics={})
