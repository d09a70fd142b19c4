"""The exact front of an enumerable space: bounds discard, simulation decides.

1. Every block (`dse.front_blocks`) gets bounds of its objectives and budgets without any mapping search; chunks of
   blocks go to the workers.
2. The best block at hand goes to a worker: exact cost tables, closer bounds, simulation of what they leave.
3. A simulation stops as soon as what became of the requests so far is enough to discard the design.
4. Every feasible design found discards the blocks whose bounds it dominates. Repeat until no block is left.
5. Chips that differ in the order of their engines only are the same: one of them goes through all this, and what
   discards its designs discards theirs.

A block or design is discarded only if a budget cannot be met or an evaluated design strictly dominates its bounds, so
every design that could be on the front, or equal one on it, was simulated. Of designs with equal objectives front.csv
lists the one with the least number.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from dse.certificate import certificate
from dse.errors import InputError, Problem
from dse.front_blocks import Blocks
from dse.front_bounds import Best, cannot_be_built, chunks_of, dominates, first_bounds, rules_of
from dse.front_kept import keep_bounds, kept_bounds
from dse.front_run import FoundFront, hypervolume_gap, run_front
from dse.front_worker import BlockEvaluator, Cut, best_of, cuts_of, results_of
from dse.objective import Result, judge, minimised
from dse.pareto import front_indices, hypervolume, reference_point
from dse.progress import Progress, Snapshot
from dse.runs import Journal
from dse.study import Study
from dse.workers import Pool, Task, pool_for
from hwmodels.engine import DATAFLOWS
from hwmodels.outcome import SEARCHED
from spaces.space import Params

__all__ = ["MOST_HARDWARE", "FrontRun", "State", "check_bounded", "exact_front"]

Floats = NDArray[np.float64]

MOST_HARDWARE = 3_000_000
"""Largest number of different hardware: their bounds are kept in memory, and cost about 0.3 ms each."""
_FAR = 10.0
"""Most that the ratio of an objective to its bound counts when blocks are put in order."""
_WAITING = 3
"""Blocks sent per worker: few, so that the next one is chosen by what is known by then."""


class State(IntEnum):
    """What became of a block."""

    OPEN = 0
    """Not decided (out of time)."""
    SIMULATED = 1
    BUDGET_1 = 2
    """A budget cannot be met, by the bounds of the layers."""
    DOMINATED_1 = 3
    BUDGET_2 = 4
    """The same by the exact cost tables."""
    DOMINATED_2 = 5
    CANNOT_RUN = 6
    """The models refuse it, or a network cannot run on it."""
    BUDGET_3 = 7
    """A budget is not met, by part of a simulation or by that of the same chip; of single designs, as the next."""
    DOMINATED_3 = 8
    SENT = 9


@final
@dataclass(frozen=True, kw_only=True)
class FrontRun(FoundFront):
    """An exact front, or what is known of it.

    Parameters
    ----------
    size : designs of the space.
    counts : state -> designs.
    cuts : designs that part of their simulation discards, or the simulation of the same chip.
    unreachable : budgets that no design can meet, with the best bound of their metric over all of them.
    """

    size: int
    counts: dict[str, int]
    cuts: tuple[Cut, ...]
    unreachable: dict[str, float] = field(default_factory=dict)

    @property
    def decided(self) -> dict[str, Any]:
        return {"designs": self.size, "counts": self.counts}

    @property
    def never_simulated_frac(self) -> float:
        return 1.0 - (len(self.results) + len(self.cuts)) / self.size


def exact_front(study: Study, out: Path | str, *, workers: int | None = None, resume: bool = False,
                budget_s: float = math.inf, progress: Progress | None = None, command: str = "",
                note: Callable[[str], None] = lambda _: None) -> FrontRun:
    """Find the exact front of a study's space.

    Parameters
    ----------
    out : folder of the run, as for `dse.driver.run_study`.
    workers : None: one per core, once that pays.
    budget_s : stop then, with the front found and a bound on what is missing [s].
    note : receives remarks.

    Raises
    ------
    InputError : the space cannot be enumerated; the folder belongs to something else.
    """
    end = time.monotonic() + budget_s
    _check(study)

    def go(journal: Journal) -> _Search:
        return _Search(study, journal, progress, end, note)

    run: FrontRun = run_front(study, out, go, workers=workers, resume=resume, command=command)
    return run


def check_bounded(study: Study) -> None:
    """Raises `InputError` for a study whose designs the bounds do not know."""
    if study.fidelity != "simulate":
        raise InputError(Problem(field="fidelity", message=f"must be simulate for an exact front, got "
                                 f"{study.fidelity!r}"))
    for name, domain in study.space.domains.items():
        other = [value for value in getattr(domain, "values", ()) if value not in DATAFLOWS]
        if name.rstrip("0123456789") == "dataflow" and other:
            raise InputError(Problem(file=study.path, field=f"space.domains.{name}",
                                     message=f"must be of {', '.join(DATAFLOWS)}, whose bounds are known, "
                                             f"got {other[0]!r}"))
    if study.technology:
        raise InputError(Problem(file=study.path, field="technology",
                                 message="must be left out: the bounds of an exact front know the published constants",
                                 hint="dse run searches with own constants"))
    for metric in study.judged:
        if metric in SEARCHED:
            raise InputError(Problem(file=study.path, field="objectives" if any(
                o.metric == metric for o in study.objectives) else "budgets",
                message=f"must not hold {metric} for an exact front, whose bounds do not know it",
                hint="dse run searches by it"))
    if study.robust is not None:
        raise InputError(Problem(field="robust", message="must be left out for an exact front: its bounds are those of "
                                 "one workload with one seed"))


def _check(study: Study) -> None:
    check_bounded(study)
    if not study.space.enumerable:
        raise InputError(Problem(field="space", message="must be enumerable: it has continuous parameters",
                                 hint="give them as a list, or as a range with a step"))


@final
class _Search:
    """State of the search: what is known of every block."""

    def __init__(self, study: Study, journal: Journal, progress: Progress | None, end: float,
                 note: Callable[[str], None]) -> None:
        self.study, self.journal, self.progress, self.end, self.note = study, journal, progress, end, note
        if study.space.size() > MOST_HARDWARE * 50:
            raise InputError(Problem(field="space", message=f"must have at most {MOST_HARDWARE * 50:,} designs, got "
                                     f"{int(study.space.size()):,}", hint="narrow space.domains"))
        self.blocks = Blocks(study.space)
        if len(self.blocks.first) > MOST_HARDWARE:
            raise InputError(Problem(field="space", message=f"must have at most {MOST_HARDWARE:,} different hardware, "
                                     f"got {len(self.blocks.first):,}", hint="narrow space.domains"))
        count = len(self.blocks.hardware)
        self.designs = np.array([len(self.blocks.group(b).offsets) for b in range(count)])
        self.same = self.blocks.same()
        self.state = np.zeros(count, dtype=np.uint8)
        self.by = np.full(count, -1, dtype=np.int64)
        self.rules = rules_of(study)
        self.vectors = np.tile(self.rules.ideal(), (count, 1))
        self.nearest = np.full(len(study.budgets), np.nan)
        """Of every budget, the best bound of its metric over all designs; NaN where some were not looked at."""
        self.cuts: dict[int, Cut] = {}
        self.front: dict[int, Floats] = {}
        self.ratios: dict[int, tuple[Floats, int]] = {}
        """Architecture -> (sum of log(objective / bound) over hardware, how many)."""
        names = self.blocks.space.names[:self.blocks.depth]
        self.kind = (self.blocks.codes[:, names.index("architecture")] if "architecture" in names
                     else np.zeros(len(self.blocks.first), dtype=np.int32))
        self.retry: dict[int, tuple[int, set[int], list[Cut]]] = {}
        """Design sent alone -> its hardware, designs of that which are still out, and those that need no simulation."""
        self.workers = 1
        self.pool: Pool
        self.open = np.empty(0, dtype=np.int64)
        self._reused = len(journal.results)
        self._shown = 0.0
        self._began, self._begun_with = time.monotonic(), 0
        """When the search began, and how many designs were undecided then."""
        self._fresh = 0

    # --- first bounds -----------------------------------------------------------------------------------------------

    def _bound(self) -> None:
        """Bounds of all blocks, from an earlier session if they are kept."""
        count, folder = len(self.state), self.journal.path.parent
        best = kept_bounds(folder, self.study, count)
        if best is None:
            best, bounded = self._new_bounds(cannot_be_built(count, self.rules))
            if not bounded.all():
                self.note("out of time before every design had its bounds")
                return
            with suppress(OSError):  # the run does not need them
                keep_bounds(folder, self.study, best)
        self._known(slice(count), best)
        self.nearest = self._nearest(best.budgets[self.state != State.CANNOT_RUN])
        self.open = np.flatnonzero(self.state == State.OPEN)

    def _new_bounds(self, best: Best) -> tuple[Best, NDArray[np.bool_]]:
        """Bounds of all blocks by the workers, written to `best`, and whether there was time for each; every chunk has
        its own rows, so the order of the answers does not matter."""
        bounded = np.zeros(len(self.state), dtype=bool)
        chunks = chunks_of(self.blocks)

        def take(result: Result) -> list[Task]:
            low, high = chunks[result.number]
            found = first_bounds(self.blocks, self.rules, low, high) if result.state == "failed" else best_of(result)
            rows = slice(int(self.blocks.first_block[low]), int(self.blocks.first_block[high]))
            best.vectors[rows], best.broken[rows], best.budgets[rows] = found[:3]
            bounded[rows] = True
            self._known(rows, found)
            return []

        tasks: list[tuple[int, dict[str, Any]]] = [(number, {"chunk": chunk}) for number, chunk in enumerate(chunks)]
        self._work(iter(tasks), take)
        return best, bounded

    def _known(self, rows: slice, best: Best) -> None:
        """First bounds of some blocks."""
        self.vectors[rows], self.by[rows] = best.vectors, best.broken
        self.state[rows] = np.where(best.broken == -2, State.CANNOT_RUN,
                                    np.where(best.broken >= 0, State.BUDGET_1, State.OPEN))

    def _nearest(self, bounds: Floats) -> Floats:
        less = np.array([minimised(metric) for metric in self.study.budgets], dtype=bool)
        if not len(bounds):
            return np.full(len(less), np.nan)
        return np.where(less, bounds.min(axis=0), bounds.max(axis=0))

    # --- search -----------------------------------------------------------------------------------------------------

    def go(self, workers: int | None) -> None:
        """Until no block is open, or time is up."""
        if self.progress:
            self.progress.start(f"{self.study.name}: exact front of {self.blocks.size:,} designs, "
                                f"{len(self.blocks.first):,} different hardware")
        pool = None
        try:
            self.pool = pool = pool_for(BlockEvaluator(self.study, self.blocks), self._patient(), workers, None,
                                        len(self.blocks.first), self._reused > 0)
            self._bound()
            self._restore()
            self._began, self._begun_with = time.monotonic(), self._count(State.OPEN, State.SENT)
            self._work(self._order(), self._take)
            self._work(iter(self._same_chips()), self._take)
            self._show(last=True)
        finally:
            if self.progress:
                self.progress.stop()
            if pool is not None:
                pool.close()

    def _work(self, tasks: Iterator[Task], take: Callable[[Result], list[Task]]) -> None:
        """Give tasks to the workers, a few ahead, until none is left or time is up.

        Parameters
        ----------
        take : gets what came back; returns what must be done in its place.
        """
        flying = 0
        while True:
            self.workers = self.pool.workers
            while flying < _WAITING * max(self.workers, 1) and time.monotonic() < self.end:
                task = next(tasks, None)
                if task is None:
                    break
                self.pool.submit([task])
                flying += 1
            if not flying:
                return
            done = self.pool.poll()
            again = [task for result in done for task in take(result)]
            flying += len(again) - len(done)
            if again:
                self.pool.submit(again)
            self._show()

    def _patient(self) -> Study:
        """A task simulates all policies of a hardware: its time limit is that of as many evaluations."""
        from dataclasses import replace

        most = int(np.bincount(self.blocks.hardware, weights=self.designs).max())
        return replace(self.study, eval_timeout_s=self.study.eval_timeout_s * most)

    def _order(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Tasks, the most promising first: in turn by each objective alone and by all together.

        Bounds are looser for some architectures than for others, so what was found is compared with them: promising
        is what is good after the mean ratio of its architecture. Sorted anew now and then.
        """
        sent, due = 0, 8
        while True:
            queues = self._queues()
            while queues and sent < due:
                for queue in list(queues):
                    block = next((b for b in queue if self.state[b] == State.OPEN), None)
                    if block is None:
                        queues.remove(queue)
                    else:
                        sent += 1
                        yield self._task(int(self.blocks.hardware[block]))
            if not queues:
                return
            due = sent + min(sent, 256)

    def _queues(self) -> list[Iterator[int]]:
        """Open blocks by several weightings of their objectives."""
        self.open = rows = self.open[self.state[self.open] == State.OPEN]
        rows = rows[self.same[rows] == rows]
        if not len(rows):
            return []
        kinds = self.kind[self.blocks.hardware[rows]]
        vectors = self.vectors[rows].copy()
        for kind, (total, count) in self.ratios.items():
            vectors[kinds == kind] *= np.exp(total / count)
        ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in vectors.T], axis=1).astype(float)
        ranks /= np.maximum(ranks.max(axis=0), 1.0)
        weights = [np.ones(ranks.shape[1])] + [np.where(np.arange(ranks.shape[1]) == i, 1.0, 0.2)
                                               for i in range(ranks.shape[1])]
        return [iter(rows[np.argsort(ranks @ weight, kind="stable")].tolist()) for weight in weights]

    def _compare(self, h: int, answer: dict[str, Any], results: list[Result]) -> None:
        """Remember how far a hardware is from its first bounds; one that cannot serve the load is far away."""
        bound = self.vectors[self.blocks.first_block[h]]
        if not (np.isfinite(bound).all() and (bound != 0.0).all()):
            return
        values = [judge(self.study, result).values for result in results]
        values += [tuple(cut.bound) if cut.broken == -1 else None for cut in cuts_of(answer)]
        if not values:
            values = [None if group["broken"] != -1 else tuple(group["bound"]) for group in answer["groups"]]
        ratios = [np.full(len(bound), _FAR) if one is None else np.clip(np.array(one) / bound, 1.0 / _FAR, _FAR)
                  for one in values]
        total, count = self.ratios.get(int(self.kind[h]), (np.zeros(len(bound)), 0))
        self.ratios[int(self.kind[h])] = total + np.log(ratios).mean(axis=0), count + 1

    def _task(self, h: int) -> tuple[int, dict[str, Any]]:
        """All open blocks of a hardware."""
        first, stop = int(self.blocks.first_block[h]), int(self.blocks.first_block[h + 1])
        mine = [b for b in range(first, stop) if self.state[b] == State.OPEN]
        self.state[mine] = State.SENT
        groups = [{"scheduler": list(self.blocks.group(b).block), "designs": self._designs(h, b)} for b in mine]
        front = [(number, values.tolist()) for number, values in self.front.items()]
        task = {"hardware": self.blocks.params(h), "groups": groups, "front": front, "blocks": mine}
        return -1 - h, {"block": task}

    def _take(self, result: Result) -> list[tuple[int, dict[str, Any]]]:
        """Learn from an answer; returns what must be done again in pieces."""
        if result.number >= 0:
            h, left, cuts = self.retry[result.number]
            left.discard(result.number)
            self.journal.append([result])
            self._learn(result)
            if not left:
                self._finish(h, {"blocks": self._sent(h), "groups": None, "cuts": cuts})
            return []
        h = -1 - result.number
        if result.state == "failed":
            designs = [(number, self.blocks.params(h) | tail) for b in self._sent(h)
                       for number, tail in self._designs(h, b)]
            out = {number for number, _ in designs}
            self.retry |= dict.fromkeys(out, (h, out, []))
            return designs
        answer = json.loads(result.status)
        answer["blocks"] = self._sent(h)
        new = results_of(answer)
        record = Result(number=result.number, params={}, state="complete", duration_s=result.duration_s,
                        status=json.dumps({name: answer[name] for name in ("blocks", "groups", "cuts")}))
        self.journal.append([*new, record])  # one line: all of the task or nothing
        self._fresh += len(new)
        self._compare(h, answer, new)
        for one in new:
            self._learn(one)
        self._settle(answer)
        return []

    def _sent(self, h: int) -> list[int]:
        first, stop = int(self.blocks.first_block[h]), int(self.blocks.first_block[h + 1])
        return [b for b in range(first, stop) if self.state[b] == State.SENT]

    def _designs(self, h: int, b: int) -> list[tuple[int, Any]]:
        tails, start = self.blocks.tails(h), int(self.blocks.first[h])
        return [(start + offset, tails[offset]) for offset in self.blocks.group(b).offsets]

    def _finish(self, h: int, answer: dict[str, Any]) -> None:
        self.journal.append([Result(number=-1 - h, params={}, state="complete", status=json.dumps(answer))])
        self._settle(answer)

    def _settle(self, answer: dict[str, Any]) -> None:
        self.cuts |= {cut.number: cut for cut in cuts_of(answer)}
        for at, b in enumerate(answer["blocks"]):
            verdict = answer["groups"][at] if answer["groups"] else None
            self.state[b] = State.SIMULATED
            if verdict is None:
                continue
            if verdict["broken"] == -2:
                self.state[b] = State.CANNOT_RUN
            elif verdict["broken"] >= 0:
                self.state[b], self.by[b] = State.BUDGET_2, verdict["broken"]
            elif verdict["by"] is not None:
                self.state[b], self.by[b] = State.DOMINATED_2, verdict["by"]
            self.vectors[b] = verdict["bound"]

    def _same_chips(self) -> list[Task]:
        """Settle what the same chip, its engines in another order, settles; the designs that must be simulated all the
        same, because they equal one on the front."""
        tasks: list[Task] = []
        open_ = np.flatnonzero((self.state == State.OPEN) & (self.state[self.same] != State.OPEN)
                               & (self.state[self.same] != State.SENT))
        for h in np.unique(self.blocks.hardware[open_]).tolist():
            out: dict[int, Params] = {}
            cuts: list[Cut] = []
            for b in open_[self.blocks.hardware[open_] == h].tolist():
                other = int(self.same[b])
                if self.state[other] != State.SIMULATED:
                    self.state[b], self.by[b], self.vectors[b] = self.state[other], self.by[other], self.vectors[other]
                    continue
                self.state[b] = State.SENT
                shift = int(self.blocks.first[h] - self.blocks.first[self.blocks.hardware[other]])
                for number, tail in self._designs(h, b):
                    cut = self._cut_of(number - shift)
                    if cut is not None:
                        cuts.append(cut._replace(number=number))
                    elif number not in self.journal.results:
                        out[number] = self.blocks.params(h) | tail
            if out:
                left = set(out)
                self.retry |= dict.fromkeys(out, (h, left, cuts))
                tasks += out.items()
            elif sent := self._sent(h):
                self._settle({"blocks": sent, "groups": None, "cuts": cuts})
        return tasks

    def _cut_of(self, number: int) -> Cut | None:
        """What discards a simulated design, None if it is on the front or failed."""
        if number in self.cuts:
            return self.cuts[number]
        result = self.journal.results[number]
        verdict = judge(self.study, result)
        requests, values = len(self.rules.load.arrival_s), list(verdict.values or ())
        missed = [i for i, amount in enumerate(verdict.violations.values()) if amount > 0.0]
        if missed:
            return Cut(number, requests, missed[0], None, values)
        beats = [other for other, own in self.front.items() if values and dominates(own[None], np.array(values))[0]]
        return Cut(number, requests, -1, beats[0], values) if beats else None

    def _restore(self) -> None:
        """What the journal knows of an earlier session."""
        tasks = []
        for number, result in self.journal.results.items():
            if number < 0:
                tasks.append(json.loads(result.status))
            else:
                self._learn(result)
        for answer in tasks:
            self._settle(answer)
        self.open = self.open[self.state[self.open] == State.OPEN]

    def _learn(self, result: Result) -> None:
        """A simulated design: the front, and what it discards."""
        verdict = judge(self.study, result)
        if not verdict.feasible or verdict.values is None:
            return
        values = np.array(verdict.values)
        if len(self.front) and (np.array(list(self.front.values())) <= values).all(axis=1).any():
            return
        self.front = {number: other for number, other in self.front.items() if not (values <= other).all()}
        self.front[result.number] = values
        if len(self.open) and np.count_nonzero(self.state[self.open] == State.OPEN) < 0.8 * len(self.open):
            self.open = self.open[self.state[self.open] == State.OPEN]
        beaten = self.open[dominates(values, self.vectors[self.open])]
        beaten = beaten[self.state[beaten] == State.OPEN]
        self.state[beaten], self.by[beaten] = State.DOMINATED_1, result.number

    # --- what is known ----------------------------------------------------------------------------------------------

    def simulated(self) -> list[Result]:
        return sorted((result for number, result in self.journal.results.items() if number >= 0),
                      key=lambda result: result.number)

    def counts(self) -> dict[str, int]:
        """State -> designs."""
        found = np.bincount(self.state, weights=self.designs, minlength=len(State))
        found[State.SIMULATED] -= len(self.cuts)
        found[State.BUDGET_3] = sum(cut.broken >= 0 for cut in self.cuts.values())
        found[State.DOMINATED_3] = len(self.cuts) - found[State.BUDGET_3]
        return {state.name.lower(): int(found[state]) for state in State}

    def _reference(self, values: Floats) -> Floats:
        budgets = self.study.budgets
        return reference_point(values, [
            None if o.metric not in budgets or minimised(o.metric) != o.minimise
            else budgets[o.metric] * (1.0 if o.minimise else -1.0) for o in self.study.objectives])

    def _count(self, *states: State) -> int:
        """Designs in one of these states."""
        return int(self.designs[np.isin(self.state[self.same], states)].sum())

    def _show(self, *, last: bool = False) -> None:
        if self.progress is None:
            return
        now = time.monotonic()
        if not last and now - self._shown < self.progress.every_s:
            return
        left = self._count(State.OPEN, State.SENT)
        decided = self._begun_with - left
        values = np.array(list(self.front.values())).reshape(len(self.front), len(self.study.objectives))
        elapsed = max(now - self._began, 1e-9)
        self.progress.update(Snapshot(
            total=self.blocks.size, done=self.blocks.size - left,
            infeasible=self._count(State.BUDGET_1, State.BUDGET_2, State.CANNOT_RUN), reused=self._reused,
            workers=self.workers, rate_per_s=self._fresh / elapsed,
            eta_s=left * elapsed / decided if decided > 0 else math.inf, front=len(self.front),
            hypervolume=hypervolume(values, self._reference(values)), unit="designs"))
        self._shown = time.monotonic() + 20.0 * (time.monotonic() - now)

    def result(self, out: Path, wall_s: float, interrupted: bool) -> FrontRun:
        """Everything known now."""
        study = self.study
        self.state[self.state == State.SENT] = State.OPEN
        self._same_chips()
        self.state[self.state == State.SENT] = State.OPEN
        results = self.simulated()
        verdicts = [judge(study, result) for result in results]
        rows = [i for i, verdict in enumerate(verdicts) if verdict.feasible]
        values = np.array([verdicts[i].values for i in rows], dtype=float).reshape(len(rows), len(study.objectives))
        front = sorted(front_indices(values), key=lambda i: tuple(values[i]))
        best = {tuple(values[i]) for i in front}
        reference = self._reference(values)
        undecided = self.vectors[self.state == State.OPEN]
        failed = any(result.state == "failed" for result in results)
        return FrontRun(
            study=study, out=out, results=tuple(results), verdicts=tuple(verdicts),
            front=tuple(results[rows[i]].number for i in front),
            ties=sum(tuple(v) in best for v in values) - len(front),
            exact=not failed and not len(undecided) and not interrupted, size=self.blocks.size, counts=self.counts(),
            cuts=tuple(self.cuts[number] for number in sorted(self.cuts)),
            hypervolume=hypervolume(values[front], reference),
            gap=hypervolume_gap(values[front], undecided, reference), wall_s=wall_s, workers=self.workers,
            interrupted=interrupted,
            unreachable={metric: float(best) for (metric, bound), best in
                         zip(study.budgets.items(), self.nearest, strict=True)
                         if (best > bound if minimised(metric) else best < bound)},
            reference={o.metric: float(r if o.minimise else -r) if math.isfinite(r) else None
                       for o, r in zip(study.objectives, reference, strict=True)})

    def certificate(self, run: FrontRun, text: str) -> dict[str, Any]:
        """For a checker; `text` is that of the study."""
        return certificate(run, text, self.blocks, self.state, self.by, self.vectors)
