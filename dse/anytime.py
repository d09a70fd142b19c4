"""The front of a space that is too large to enumerate: what was found, and how much any other design could add.

1. The space is a *box* of designs (`spaces.boxes`); boxes are cut in two, and each has bounds of its objectives and
   budgets (`dse.boxes`).
2. A box whose bounds break a budget, or that an evaluated design dominates, is decided.
3. Cut next are the boxes that could add most hypervolume and some of the largest, along the parameter whose cuts gained
   most so far.
4. Designs are simulated meanwhile: those that the study's sampler asks for, and some of the boxes that promise most.

The *gap* is the hypervolume that the bounds of all undecided boxes would add to the front. It holds at any time: no
design that was not simulated can add more.

Work is done in rounds of a fixed size, and every answer is in the journal. The state after a round depends on the study
alone, not on the number of workers, and a run is resumed by going through its rounds with the answers known.

References
----------
A. H. Land, A. G. Doig, Econometrica 28(3), 1960, doi:10.2307/1910129 (branch and bound).
M. Benichou et al., Mathematical Programming 1, 1971, doi:10.1007/BF01584074 (pseudo-costs: where to cut).
"""

import heapq
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dse.askers import Asker, make_asker
from dse.box_tree import Boxes, BoxState
from dse.boxes import Bounded, BoxEvaluator
from dse.boxes_certificate import boxes_certificate
from dse.estimate import estimate_of
from dse.front import MOST_HARDWARE, check_bounded
from dse.front_blocks import hardware_first, is_hardware
from dse.front_bounds import dominates, rules_of
from dse.front_run import FoundFront, epsilon_gap, hypervolume_gap, run_front
from dse.interrupts import held
from dse.objective import Result, judge, minimised
from dse.pareto import front_indices, hypervolume, reference_point
from dse.progress import Progress, Snapshot
from dse.provenance import finite
from dse.runs import Journal
from dse.samplers import make_sampler, pick_sampler
from dse.study import Study
from dse.workers import Pool, pool_for
from spaces.boxes import Inside, cut_of, whole
from spaces.chip_ranges import KINDS
from spaces.domains import Choice, Domain, Real
from spaces.graph import Node
from spaces.space import Space

__all__ = ["AnytimeRun", "anytime_front", "too_large"]

Floats = NDArray[np.float64]

_BEST, _LARGEST = 48, 16
"""Boxes cut in a round: those that could add most, and the largest ones, which often are decided as a whole."""
_TOGETHER = 16
"""Boxes bounded by one task."""
_ASKED, _DRAWN = 2, 2
"""Designs of a round that the sampler asks for, and that are drawn from the boxes that promise most."""


def too_large(space: Space) -> str:
    """Why a space cannot be enumerated, '' if it can."""
    if not space.enumerable:
        return "it has continuous parameters"
    if space.size() > 50 * MOST_HARDWARE:
        return f"it has {space.size():,} designs"
    ordered = hardware_first(space)
    depth, known = sum(map(is_hardware, ordered.names)), {}

    def hardware(node: Node) -> int:
        """Different hardware below a node."""
        if node.level == depth:
            return 1
        if node not in known:
            below = [node.step(code) for code in node.codes()]
            known[node] = sum(hardware(one) for one in below if one is not None)
        return known[node]

    count = hardware(ordered._root)
    return f"it has {count:,} different hardware" if count > MOST_HARDWARE else ""


@final
@dataclass(frozen=True, kw_only=True)
class AnytimeRun(FoundFront):
    """What is known of a front.

    Parameters
    ----------
    shares : state -> share of the space, as `Space.sample` draws from it [-].
    boxes : bounded.
    epsilon : for any undecided design there is one on the front that is no more than this worse in each objective
        (`epsilon_gap`); inf where that is not known [-].
    """

    shares: dict[str, float]
    boxes: int
    epsilon: float

    @property
    def decided(self) -> dict[str, Any]:
        return {"shares": self.shares, "boxes": self.boxes, "epsilon": finite(self.epsilon)}

    @property
    def decided_frac(self) -> float:
        """Share of the space whose designs need no simulation any more [-]."""
        return 1.0 if self.exact else 1.0 - self.shares["open"]


def anytime_front(study: Study, out: Path | str, *, workers: int | None = None, resume: bool = False,
                  budget_s: float = math.inf, rounds: int | None = None, progress: Progress | None = None,
                  command: str = "", note: Callable[[str], None] = lambda _: None) -> AnytimeRun:
    """Find the front of a space of any size, and bound what is missing.

    Parameters
    ----------
    out, workers, resume, budget_s, note : as for `dse.front.exact_front`.
    rounds : stop after so many, counted from the first of the run.

    Raises
    ------
    InputError : the bounds do not know the study; the folder belongs to something else.
    """
    end = time.monotonic() + budget_s
    check_bounded(study)

    def go(journal: Journal) -> _Search:
        return _Search(study, journal, progress, end, math.inf if rounds is None else rounds)

    run: AnytimeRun = run_front(study, out, go, workers=workers, resume=resume, command=command, mode="anytime")
    return run


class _Plan(NamedTuple):
    """A round."""

    tasks: list[tuple[int, dict[str, Any]]]
    """Those of `chunks` first, then designs."""
    chunks: dict[int, list[int]]
    """Number of a task -> rows of boxes to be bounded."""
    cut: list[tuple[int, int]]
    """(row, parameter) of the boxes that are cut."""
    singles: list[int]
    """Rows of boxes of one design, to be simulated."""
    asked: list[dict[str, Any]]
    """What the sampler asks for."""


@final
class _Search:
    """The rounds, and what is known after each."""

    def __init__(self, study: Study, journal: Journal, progress: Progress | None, end: float,
                 rounds: float) -> None:
        self.study, self.journal, self.progress, self.end, self.rounds = study, journal, progress, end, rounds
        self.space = study.space
        self._domains: list[Domain] = list(self.space.domains.values())
        self._kinds = [i for i, name in enumerate(self.space.names) if name in (*KINDS, "dataflow")]
        """Cut first: bounds know much of a network on an engine of one kind, and little of one of several."""
        self.boxes = Boxes(whole(self.space), rules_of(study).ideal())
        self.front: dict[int, Floats] = {}
        self.results: dict[int, Result] = {}
        self.workers, self.round = 1, 0
        self._worst = np.full(len(study.objectives), -np.inf)
        self._single: dict[int, tuple[int, ...]] = {}  # row of a box of one design -> its codes
        self._number: dict[tuple[int, ...], int] = {}  # codes -> trial
        self._stuck: set[int] = set()  # rows of open boxes that nothing can cut any further
        self._gains: dict[tuple[Any, ...], tuple[float, int]] = {}
        self._queue: list[tuple[float, int]] = []
        """Open boxes by what they could add, and in `_large` by their share."""
        self._large: list[tuple[float, int]] = []
        self._tasks = self._asked = 0
        self._sampler: Asker | None = None
        self._rng = np.random.default_rng([study.seed, 1])
        self._shown, self._began = 0.0, time.monotonic()
        self._pool: Pool | None = None
        self._known = len(journal.results)

    # --- rounds -----------------------------------------------------------------------------------------------------

    def go(self, workers: int | None) -> None:
        """Until everything is decided, or time is up."""
        if self.progress:
            self.progress.start(f"{self.study.name}: no exact front, the space is too large ({too_large(self.space)}): "
                                "a front, and a bound on what any other design could add")
        estimate = estimate_of(self.study)
        name, _ = pick_sampler(self.study.sampler, self.space, self.study.trials, estimates=estimate is not None)
        self._sampler = make_asker(self.study, make_sampler(name, self.space, seed=self.study.seed, estimate=estimate))
        self._queue, self._large = [(-math.inf, 0)], []
        try:
            while self.round < self.rounds and time.monotonic() < self.end and self._go_on(workers):
                self._show()
            self._show(last=True)
        finally:
            if self.progress:
                self.progress.stop()
            if self._pool is not None:
                self._pool.close()

    def _go_on(self, workers: int | None) -> bool:
        """One round; False if there is nothing left to do. It is planned, and its answers are taken, as a whole."""
        with held():
            plan = self._plan()
        if plan is None:
            return False
        answers = self._do(plan.tasks, workers)
        with held():
            self._take(plan, answers)
            self.round += 1
        return True

    def _plan(self) -> "_Plan | None":
        """What the next round cuts, asks for and simulates; None if there is nothing left to do."""
        picked = list(self._pick())
        singles = [row for row in picked if row in self._single]
        designs = [self._single[row] for row in singles]
        cut: list[tuple[int, int]] = []
        halves: list[int] = []
        for row in picked:
            if row not in self._single:
                where = self._where(row)
                if where is None:
                    self._stuck.add(row)
                else:
                    cut.append((row, where[0]))
                    halves += self.boxes.split(row, *where)
        designs += self._drawn([row for row, _ in cut])
        asked = self._ask()
        if not (cut or designs or asked):
            return None
        new = [codes for codes in dict.fromkeys([*(self.space.encode(params) for params in asked), *designs])
               if codes not in self._number]
        first = len(self._number)
        self._number |= {codes: first + at for at, codes in enumerate(new)}
        chunks = {-1 - self._tasks - at: halves[low:low + _TOGETHER]
                  for at, low in enumerate(range(0, len(halves), _TOGETHER))}
        self._tasks += len(chunks)
        tasks: list[tuple[int, dict[str, Any]]] = [
            (number, {"boxes": [[self.boxes.boxes[row].low, self.boxes.boxes[row].high] for row in chunk]})
            for number, chunk in chunks.items()]
        tasks += [(self._number[codes], self.space.decode(codes)) for codes in new]
        return _Plan(tasks, chunks, cut, singles, asked)

    def _take(self, plan: "_Plan", answers: dict[int, Result]) -> None:
        for number, params in enumerate(plan.asked, start=self._asked - len(plan.asked)):
            self._tell(number, params, answers)
        for number, _ in plan.tasks[len(plan.chunks):]:
            self._learn(answers[number])
        for number, chunk in plan.chunks.items():
            self._bounded(chunk, answers[number])
        for row, parameter in plan.cut:
            self._remember(row, parameter)
        for row in plan.singles:
            self._simulated(row)

    def _do(self, tasks: list[tuple[int, dict[str, Any]]], workers: int | None) -> dict[int, Result]:
        """Answers by number: those of the journal, and of workers."""
        found = {number: self.journal.results[number] for number, _ in tasks if number in self.journal.results}
        left = [task for task in tasks if task[0] not in found]
        if left and self._pool is None:
            self._pool = pool_for(BoxEvaluator(self.study), self.study, workers, None, 1_000_000, self._known > 0)
        if left:
            assert self._pool is not None
            self._pool.submit(left)
        while len(found) < len(tasks):
            assert self._pool is not None
            done = [Result(**{**one.as_dict(), "params": {}}) if one.number < 0 else one for one in self._pool.poll()]
            self.workers = self._pool.workers
            self.journal.append(done)
            found |= {one.number: one for one in done}
        return found

    # --- which ------------------------------------------------------------------------------------------------------

    def _pick(self) -> Iterator[int]:
        """Open boxes that could add most hypervolume, then the largest of the others."""
        picked: set[int] = set()
        reference = self._reference()
        front = np.array(list(self.front.values())).reshape(len(self.front), len(reference))
        volume = hypervolume(front, reference)
        while self._queue and len(picked) < _BEST:
            _, row = heapq.heappop(self._queue)
            if self.boxes.state[row] != BoxState.OPEN or row in self._stuck:
                continue
            gain = self._gain(row, front, reference, volume)
            if self._queue and -gain > self._queue[0][0]:
                heapq.heappush(self._queue, (-gain, row))
                continue
            picked.add(row)
            yield row
        left = _LARGEST
        while self._large and left:
            _, row = heapq.heappop(self._large)
            if self.boxes.state[row] == BoxState.OPEN and row not in self._stuck and row not in picked:
                left -= 1
                yield row

    def _gain(self, row: int, front: Floats, reference: Floats, volume: float) -> float:
        """Hypervolume that a design at the bounds of a box would add; inf where that is not known."""
        vector = self.boxes.vectors[row]
        if not (np.isfinite(vector).all() and np.isfinite(reference).all()):
            return math.inf
        return hypervolume(np.concatenate([front, vector[None]]), reference) - volume

    def _where(self, row: int) -> tuple[int, int] | None:
        """(parameter, cut) of a box: the kinds first, then what gained most; None if nothing can be cut."""
        box, active = self.boxes.boxes[row], self.boxes.active[row]
        best: tuple[float, int, int] | None = None
        for i in active:
            cut = cut_of(self._domains[i], box.low[i], box.high[i])
            if cut is None:
                continue
            if i in self._kinds:
                return i, cut
            total, count = self._gains.get((*self._kind(row), i), (0.0, 0))
            score = self._width(row, i) * total / count if count else math.inf
            if best is None or score > best[0]:
                best = score, i, cut
        return None if best is None else best[1:]

    def _kind(self, row: int) -> tuple[int, ...]:
        return tuple(self.boxes.boxes[row].low[i] for i in self._kinds)

    def _width(self, row: int, i: int) -> float:
        """Of a box along a parameter: logarithm of a ratio, or of a number of values [-]."""
        low, high, domain = self.boxes.boxes[row].low[i], self.boxes.boxes[row].high[i], self._domains[i]
        if isinstance(domain, Choice) and not domain.ordered:
            return math.log2(high - low + 1)
        first, last = float(domain.value(low)), float(domain.value(high))
        if first > 0.0:
            return math.log2(last / first)
        return domain.frac(last) - domain.frac(first) if isinstance(domain, Real) else math.log2(high - low + 1)

    def _remember(self, row: int, parameter: int) -> None:
        """How much a cut brought the bounds of both halves up, per width."""
        if parameter in self._kinds:
            return
        first = self.boxes.below[row]
        before, width = self.boxes.vectors[row], self._width(row, parameter)
        halves_ = [half for half in (first, first + 1) if self.boxes.state[half] != BoxState.EMPTY]
        if not np.isfinite(before).all() or not (before != 0.0).all() or not halves_ or not width:
            return
        gains = [1.0 if self.boxes.state[half] != BoxState.OPEN else
                 min(1.0, float(np.log(self.boxes.vectors[half] / before).sum())) for half in halves_]
        key = (*self._kind(row), parameter)
        total, count = self._gains.get(key, (0.0, 0))
        self._gains[key] = total + float(np.mean(gains)) / width, count + 1

    # --- designs ----------------------------------------------------------------------------------------------------

    def _ask(self) -> list[dict[str, Any]]:
        assert self._sampler is not None
        count = min(_ASKED, self.study.trials - self._asked)
        self._asked += max(count, 0)
        return [self._sampler.ask() for _ in range(count)]

    def _tell(self, number: int, params: dict[str, Any], answers: dict[int, Result]) -> None:
        assert self._sampler is not None
        mine = self._number[self.space.encode(params)]
        result = answers.get(mine) or self.results[mine]
        self._sampler.tell(number, params, judge(self.study, result) if result.state == "complete" else None)

    def _drawn(self, rows: list[int]) -> list[tuple[int, ...]]:
        """A design of each of the boxes that promise most."""
        return [inside.draw(self._rng) for row in rows[:_DRAWN]
                if (inside := Inside(self.space, self.boxes.boxes[row])).size]

    def _learn(self, result: Result) -> None:
        """A simulated design: the front, and the boxes it decides."""
        self.results[result.number] = result
        verdict = judge(self.study, result)
        if not verdict.feasible or verdict.values is None:
            return
        values = np.array(verdict.values)
        self._worst = np.maximum(self._worst, values)
        if len(self.front) and (np.array(list(self.front.values())) <= values).all(axis=1).any():
            return
        self.front = {number: other for number, other in self.front.items() if not (values <= other).all()}
        self.front[result.number] = values
        rows = self.boxes.open
        beaten = rows[dominates(values, self.boxes.vectors[rows])]
        self.boxes.state[beaten], self.boxes.by[beaten] = BoxState.DOMINATED, result.number

    def _bounded(self, rows: list[int], answer: Result) -> None:
        """The bounds of halves; those of a task that failed keep the bounds of their box."""
        found = [Bounded.from_dict(one) for one in json.loads(answer.status)] if answer.state == "complete" else []
        numbers = list(self.front)
        front = np.array(list(self.front.values())).reshape(len(numbers), len(self.study.objectives))
        reference = self._reference()
        volume = hypervolume(front, reference)
        for at, row in enumerate(rows):
            if found:
                self.boxes.know(row, found[at])
                if (single := found[at].single) is not None:
                    self._single[row] = single
            if self.boxes.state[row] != BoxState.OPEN:
                continue
            beats = np.flatnonzero(dominates(front, self.boxes.vectors[row][None]))
            if len(beats):
                self.boxes.state[row], self.boxes.by[row] = BoxState.DOMINATED, numbers[beats[0]]
            else:
                heapq.heappush(self._queue, (-self._gain(row, front, reference, volume), row))
                heapq.heappush(self._large, (-self.boxes.share[row] if found else 0.0, row))

    def _simulated(self, row: int) -> None:
        """A box of one design; one whose simulation failed stays undecided."""
        number = self._number[self._single[row]]
        if self.results[number].state == "complete":
            self.boxes.state[row], self.boxes.by[row] = BoxState.SIMULATED, number
        else:
            self._stuck.add(row)

    # --- what is known ----------------------------------------------------------------------------------------------

    def _reference(self) -> Floats:
        budgets = self.study.budgets
        return reference_point(self._worst[None] if len(self.results) else np.empty((0, len(self._worst))), [
            None if o.metric not in budgets or minimised(o.metric) != o.minimise
            else budgets[o.metric] * (1.0 if o.minimise else -1.0) for o in self.study.objectives])

    def shares(self) -> dict[str, float]:
        """State -> share of the space; a half without an answer yet counts half of what is left of its box."""
        share = np.nan_to_num(np.array(self.boxes.share))
        found = np.bincount(self.boxes.state, weights=share, minlength=len(BoxState))
        decided = {state.name.lower(): float(found[state]) for state in BoxState
                   if state not in (BoxState.OPEN, BoxState.CUT, BoxState.EMPTY)}
        return {"open": max(0.0, 1.0 - sum(decided.values())) if len(self.boxes.open) else 0.0, **decided}

    def gap(self, front: Floats, reference: Floats) -> float:
        """Most hypervolume that the designs of undecided boxes could add."""
        return hypervolume_gap(front, self._undecided(), reference)

    def _undecided(self) -> Floats:
        """Bounds of the undecided boxes, (n, objectives)."""
        return self.boxes.vectors[self.boxes.open]

    def _show(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if self.progress is None or (not last and now - self._shown < self.progress.every_s):
            return
        shares, reference = self.shares(), self._reference()
        values = np.array(list(self.front.values())).reshape(len(self.front), len(self.study.objectives))
        broken = shares["budget"] + shares["cannot_run"]
        self.progress.update(Snapshot(
            total=100, done=int(100.0 * (1.0 - shares["open"])), infeasible=int(100.0 * broken), workers=self.workers,
            front=len(self.front), hypervolume=hypervolume(values, reference), unit="% of the space",
            gap=self.gap(values, reference)))
        self._shown = time.monotonic() + 20.0 * (time.monotonic() - now)

    def result(self, out: Path, wall_s: float, interrupted: bool) -> AnytimeRun:
        """Everything known now."""
        study = self.study
        results = sorted((one for number, one in self.journal.results.items() if number >= 0), key=lambda r: r.number)
        for one in results:  # of a round that was interrupted
            if one.number not in self.results:
                self._learn(one)
        verdicts = [judge(study, result) for result in results]
        rows = [i for i, verdict in enumerate(verdicts) if verdict.feasible]
        values = np.array([verdicts[i].values for i in rows], dtype=float).reshape(len(rows), len(study.objectives))
        front = sorted(front_indices(values), key=lambda i: tuple(values[i]))
        best = {tuple(values[i]) for i in front}
        reference = self._reference()
        failed = any(result.state == "failed" for result in results)
        return AnytimeRun(
            study=study, out=out, results=tuple(results), verdicts=tuple(verdicts),
            front=tuple(results[rows[i]].number for i in front),
            ties=sum(tuple(v) in best for v in values) - len(front),
            exact=not failed and not len(self.boxes.open), shares=self.shares(), boxes=len(self.boxes.boxes),
            hypervolume=hypervolume(values[front], reference), gap=self.gap(values[front], reference),
            epsilon=epsilon_gap(values[front], self._undecided()), wall_s=wall_s,
            workers=self.workers, interrupted=interrupted,
            reference={o.metric: float(r if o.minimise else -r) if math.isfinite(r) else None
                       for o, r in zip(study.objectives, reference, strict=True)})

    def certificate(self, run: AnytimeRun, text: str) -> dict[str, Any]:
        """For a checker; `text` is that of the study."""
        return boxes_certificate(run, text, self.boxes)
