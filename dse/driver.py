"""Runs a study: asks the sampler, hands trials to workers, tells it the results, keeps them.

Whatever the number and speed of workers, the sampler sees the same history: trials are asked in batches of
`BATCH`, results are told in the order asked, and batch k is asked right after batch k - `ahead` was told, no earlier
and no later. So a study of a given seed has the same trials with 1 worker or 100, and a run that was killed is
continued by asking again from the beginning and taking the results that the journal already has. Several drivers that
share a storage are the same (`dse.shared`).
"""

import math
import platform
import time
from collections import deque
from collections.abc import Callable
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from dse.askers import make_asker
from dse.console import note
from dse.errors import DseError, InputError, Problem
from dse.estimate import Estimate, estimate_of
from dse.interrupts import sigterm_interrupts, uninterrupted
from dse.objective import Evaluate, Result, Verdict, evaluator, judge, metric_of, minimised
from dse.pareto import front_indices, hypervolume, reference_point
from dse.progress import Best, Progress, Snapshot
from dse.provenance import describer_of, digest_of, finite, manifest_of, study_text, version_of
from dse.race import (
    RACE,
    RUNS,
    Race,
    RaceEvaluator,
    finalists,
    interval_cells,
    interval_columns,
    race,
)
from dse.runs import (
    JOURNAL,
    SCENARIOS,
    TIMINGS,
    Journal,
    RunFolder,
    csv_text,
    sampler_of,
    scenarios_text,
    timings_text,
    trial_columns,
    trial_row,
)
from dse.samplers import SAMPLERS, make_sampler, pick_sampler
from dse.study import Study
from dse.workers import Pool, Task, check_address, pool_for

if TYPE_CHECKING:
    import pandas as pd

    from dse.storage import SharedStudy

__all__ = ["BATCH", "Interrupted", "RunResult", "ahead", "run_study"]

BATCH = 4
"""Trials asked at once."""

_FORMAT = 2


def ahead(study: Study) -> int:
    """Batches asked before the first of them is told; what that costs a sampler: bench_samplers.py."""
    return math.ceil(study.in_flight / BATCH)


class Interrupted(DseError):
    """Ctrl-C or SIGTERM: everything evaluated is saved."""

    exit_code = 130


@final
@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A study that was run.

    Parameters
    ----------
    results : by trial number, complete and failed ones; without gaps unless interrupted.
    front : trial numbers of the feasible non-dominated trials, ordered by the first objective.
    hypervolume : of the front of the search, from `reference` (objective -> value in its own unit) [-].
    sampler, reason : which sampler ran, and why that one.
    race : of the finalists, where the study asks for one; the front is then its front.
    """

    study: Study
    out: Path
    results: tuple[Result, ...]
    verdicts: tuple[Verdict, ...]
    front: tuple[int, ...]
    hypervolume: float
    reference: dict[str, float]
    sampler: str
    reason: str
    workers: int
    wall_s: float
    interrupted: bool = False
    race: Race | None = None
    by_number: dict[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_number", {result.number: i for i, result in enumerate(self.results)})

    @property
    def n_trials(self) -> int:
        return len(self.results)

    @property
    def n_feasible(self) -> int:
        return sum(verdict.feasible for verdict in self.verdicts)

    @property
    def n_failed(self) -> int:
        return sum(result.state == "failed" for result in self.results)

    def result(self, trial: int) -> Result:
        """A trial by its number."""
        return self.results[self.by_number[trial]]

    def verdict(self, trial: int) -> Verdict:
        """Feasibility, values and violations of a trial."""
        return self.verdicts[self.by_number[trial]]

    def trials(self) -> "pd.DataFrame":
        """trials.csv as a frame."""
        return self._frame(range(len(self.results)))

    def front_trials(self) -> "pd.DataFrame":
        """front.csv as a frame."""
        return self._frame(self.by_number[number] for number in self.front)

    def _frame(self, rows: Any) -> "pd.DataFrame":
        import pandas as pd

        records = [trial_row(self.study, self.results[i], self.verdicts[i]) for i in rows]
        return pd.DataFrame.from_records(records, columns=trial_columns(self.study))


def run_study(study: Study, out: Path | str, *, workers: int | None = None, ray_address: str | None = None,
              resume: bool = False, progress: Progress | None = None, evaluate: Evaluate | None = None,
              describe: Callable[[Result], str] | None = None, command: str = "",
              storage: str | None = None) -> RunResult:
    """Run a study into a folder.

    Parameters
    ----------
    out : new or empty folder; with `resume` one that holds this study's run (or nothing yet).
    workers : None takes the study's, else the cores of this machine (or the CPUs of the cluster), in this process as
        long as that is quick; 1 evaluates in this process without Ray.
    ray_address : of a running cluster.
    evaluate : replaces the evaluation of designs (for tests and other models).
    describe : design YAML of a trial, for best/*.yaml; None takes `dse.dump` (with `evaluate`: writes none).
    storage : address of a database (`postgresql://USER@HOST/DATABASE`, `sqlite:///FILE`) through which this driver and
        others work on the study together, each into a folder of its own.

    Raises
    ------
    InputError : folder, journal, storage or study contradict each other.
    Interrupted : Ctrl-C or SIGTERM, after saving; `result` holds what there is.
    """
    start = time.monotonic()
    n_workers = workers or study.workers
    for name, value in (("trials", study.trials), ("workers", n_workers)):
        if value is not None and value < 1:
            raise InputError(Problem(field=f"search.{name}", message=f"must be >= 1, got {value}"))
    if ray_address:
        check_address(ray_address)
    estimate = estimate_of(study) if evaluate is None else None
    name, reason = pick_sampler(study.sampler, study.space, study.trials, estimates=estimate is not None)
    folder = RunFolder(Path(out), resume=resume)
    shared: SharedStudy | None = None
    try:
        if storage:
            shared = _shared(storage, study, folder)
        if study.sampler == "auto" and (before := _began_with(folder, shared)) in SAMPLERS:
            name, reason = before, "as the run began"
        journal = Journal(folder.path / JOURNAL, _header(study, name))
        try:
            if shared is not None:
                found_there = shared.join({**_header(study, name), "tool": version_of("npu-codesign")}, journal.results)
                journal.append([found_there[number] for number in sorted(found_there) if number < study.trials])
            own = evaluate is None
            run: _Run | None = None
            interrupted = False
            evaluate = evaluate or evaluator(study)
            manifest = manifest_of(study, name, reason, command)
            found: Race | None = None
            with sigterm_interrupts():
                try:
                    folder.write("study.yaml", study_text(study) if own else study.source)
                    folder.write_json("manifest.json", {**manifest, "state": "running"})
                    run = _Run(study, folder, journal, name, progress, estimate, shared=shared is not None)
                    pool = partial(pool_for, evaluate, study, n_workers, ray_address, run.left, run.resumed)
                    run.go(pool if shared is None else partial(_shared_pool, pool, shared))
                    if own and study.confidence is not None:
                        found = _race(study, folder, run, partial(pool_for, workers=n_workers, ray_address=ray_address))
                except KeyboardInterrupt:
                    interrupted = True
            if run is None:
                raise Interrupted("interrupted before the first trial")
            with uninterrupted():
                result = run.result(reason, time.monotonic() - start, interrupted)
                if found is not None:
                    result = replace(result, race=found, front=found.front)
                _write_results(folder, result, manifest, describe or (describer_of(study) if own else None))
        finally:
            journal.close()
    finally:
        if shared is not None:
            shared.leave()
        folder.discard_if_empty()
        folder.close()
    if interrupted:
        error = Interrupted(f"interrupted after {result.n_trials:,} of {study.trials:,} trials; all of them are saved")
        error.result = result  # type: ignore[attr-defined]
        raise error
    return result


@final
class _Run:
    """The loop, and what it has learnt so far."""

    def __init__(self, study: Study, folder: RunFolder, journal: Journal, sampler: str,
                 progress: Progress | None, estimate: Estimate | None, *, shared: bool) -> None:
        self.study, self.folder, self.journal, self.progress = study, folder, journal, progress
        self._shared = shared
        self.sampler_name = sampler
        self.total = int(min(study.trials, study.space.size()))
        self.workers = 1
        self._asker = make_asker(study, make_sampler(sampler, study.space, seed=study.seed, estimate=estimate))
        self._flying: deque[range] = deque()
        self._ahead = ahead(study)
        self._done: dict[int, Result] = {}
        self._asked = 0
        self.told: list[Result] = []
        self.verdicts: list[Verdict] = []
        self._reused = len(journal.results)
        self._fresh_evaluations = 0
        self._began = time.monotonic()
        self._shown = 0.0
        self._history: deque[tuple[int, float]] = deque()

    @property
    def left(self) -> int:
        """Evaluations to come."""
        return self.total - len(self.journal.results)

    @property
    def resumed(self) -> bool:
        return self._reused > 0

    def go(self, make_pool: Callable[[], Pool]) -> None:
        """Until every trial is told."""
        pool: Pool | None = None
        if self.progress:
            self.progress.start(f"{self.study.name}: {self.total:,} trials, {self.sampler_name}")
        try:
            while self._asked < self.total or self._flying:
                while self._asked < self.total and self._may_ask():
                    tasks = self._ask()
                    if tasks:
                        if pool is None:
                            pool = make_pool()
                            self._began = time.monotonic()
                        pool.submit(tasks)
                if self._asked == self.total and self._flying and self._complete(self._flying[0]):
                    self._tell()
                elif not self._may_ask() or self._asked == self.total:
                    assert pool is not None
                    self._keep(pool.poll())
                    self._count(pool.workers)
                self._show()
            self._show(last=True)
        finally:
            if self.progress:
                self.progress.stop()
            if pool is not None:
                pool.close()

    def _count(self, workers: int) -> None:
        if workers > self.study.in_flight and workers != self.workers:
            note(f"note: {workers} workers, but the study has at most {self.study.in_flight} trials under way; "
                 "search.in_flight allows more")
        self.workers = workers

    def _complete(self, batch: range) -> bool:
        return all(number in self._done for number in batch)

    def _may_ask(self) -> bool:
        return len(self._flying) < self._ahead or self._complete(self._flying[0])

    def _ask(self) -> list[tuple[int, dict[str, Any]]]:
        """Ask the next batch, after telling the oldest when enough are under way; returns what must be evaluated."""
        if len(self._flying) == self._ahead:
            self._tell()
        tasks = []
        batch = range(self._asked, min(self._asked + BATCH, self.total))
        for number in batch:
            params = self._asker.ask()
            known = self.journal.results.get(number)
            if known is None:
                tasks.append((number, params))
            elif known.params != params and not self._shared:
                raise InputError(Problem(file=str(self.journal.path), message=f"must continue as it began: trial "
                                         f"{number} was another design", hint="the run was made by other "
                                         "versions (see manifest.json); start anew in another folder"))
            else:
                self._done[number] = known
        self._asked = batch.stop
        self._flying.append(batch)
        return tasks

    def _keep(self, results: list[Result]) -> None:
        self.journal.append(results)
        self._fresh_evaluations += len(results)
        self._done.update((result.number, result) for result in results)

    def _tell(self) -> None:
        """Tell the oldest batch, in the order asked."""
        for number in self._flying.popleft():
            result = self._done.pop(number)
            verdict = judge(self.study, result)
            self.told.append(result)
            self.verdicts.append(verdict)
            self._asker.tell(number, result.params, None if result.state == "failed" else verdict)

    # --- what is known ----------------------------------------------------------------------------------------------

    def _feasible(self) -> tuple[list[int], np.ndarray]:
        rows = [i for i, verdict in enumerate(self.verdicts) if verdict.feasible]
        values = np.array([self.verdicts[i].values for i in rows], dtype=float)
        return rows, values.reshape(len(rows), len(self.study.objectives))

    def _bounds(self) -> list[float | None]:
        budgets = self.study.budgets
        return [None if objective.metric not in budgets or minimised(objective.metric) != objective.minimise
                else budgets[objective.metric] * (1.0 if objective.minimise else -1.0)
                for objective in self.study.objectives]

    def _front(self) -> tuple[list[int], float, np.ndarray]:
        """Rows of the front by the first objective, hypervolume, reference point."""
        rows, values = self._feasible()
        front = sorted(front_indices(values), key=lambda i: tuple(values[i]))
        reference = reference_point(values, self._bounds())
        return [rows[i] for i in front], hypervolume(values[front], reference), reference

    def _show(self, *, last: bool = False) -> None:
        if self.progress is None:
            return
        now = time.monotonic()
        if not last and now - self._shown < self.progress.every_s:
            return
        front, volume, _ = self._front()
        done = len(self.told) + len(self._done)
        self._history.append((done, volume))
        while len(self._history) > 1 and self._history[1][0] <= 0.9 * done:
            self._history.popleft()
        before = self._history[0][1]
        elapsed = now - self._began
        rate = self._fresh_evaluations / elapsed if elapsed > 0.0 else 0.0
        best = []
        for i, objective in enumerate(self.study.objectives):
            if front:
                row = min(front, key=lambda r: (self.verdicts[r].values[i], r))  # type: ignore[index]
                best.append(Best(metric=objective.metric, trial=self.told[row].number,
                                 value=metric_of(self.told[row], objective.metric)))
        self.progress.update(Snapshot(
            total=self.total, done=done, failed=sum(result.state == "failed" for result in self.told),
            infeasible=sum(not v.feasible for v in self.verdicts), reused=self._reused, workers=self.workers,
            rate_per_s=rate, eta_s=(self.total - done) / rate if rate else math.inf, hypervolume=volume,
            change_frac=volume / before - 1.0 if before > 0.0 else 0.0, front=len(front), best=tuple(best)))
        # the front of a large run takes longer to find: never spend more than a few per cent on showing it
        self._shown = time.monotonic() + 20.0 * (time.monotonic() - now)

    def result(self, reason: str, wall_s: float, interrupted: bool) -> RunResult:
        """Everything evaluated; after an interruption also what was not told yet."""
        if interrupted:
            told = {result.number for result in self.told}
            late = [result for number, result in sorted(self.journal.results.items()) if number not in told]
            self.told += late
            self.verdicts += [judge(self.study, result) for result in late]
        front, volume, reference = self._front()
        return RunResult(
            study=self.study, out=self.folder.path, results=tuple(self.told), verdicts=tuple(self.verdicts),
            front=tuple(self.told[row].number for row in front), hypervolume=volume,
            reference={objective.metric: float(value if objective.minimise else -value)
                       for objective, value in zip(self.study.objectives, reference, strict=True)},
            sampler=self.sampler_name, reason=reason, workers=self.workers, wall_s=wall_s, interrupted=interrupted)


def _race(study: Study, folder: RunFolder, run: _Run, make_pool: Callable[..., Pool]) -> Race:
    """Let the finalists of a search race, in workers of their own; what was raced before is in a journal."""
    assert study.confidence is not None
    header = _header(study, "race") | {"kind": "dse-race", "confidence": list(astuple(study.confidence))}
    journal = Journal(folder.path / RACE, header)
    rows = finalists(study, run.told, run.verdicts, study.confidence.finalists)
    slow = replace(study, eval_timeout_s=study.eval_timeout_s * 100.0)  # one evaluation is many simulations
    pool: Pool | None = None

    def evaluated(tasks: list[Task]) -> list[Result]:
        nonlocal pool
        left = [(number, params) for number, params in tasks if number not in journal.results]
        _note_round(run.progress, tasks)
        if left:
            pool = pool or make_pool(RaceEvaluator(study=replace(study, source="", path="")), slow,
                                     left=len(left), resumed=False)
            pool.submit(left)
        while any(number not in journal.results for number, _ in tasks):
            assert pool is not None
            journal.append(pool.poll())
        return [journal.results[number] for number, _ in tasks]

    try:
        return race(study, run.told, rows, evaluated)
    finally:
        if pool is not None:
            pool.close()
        journal.close()


def _note_round(progress: Progress | None, tasks: list[Task]) -> None:
    if progress is not None and tasks:
        note(f"race: {len(tasks)} finalists with {tasks[0][1][RUNS]} seeds each")


def _shared(storage: str, study: Study, folder: RunFolder) -> "SharedStudy":
    """The study in a database, for a driver that has the same name there when its run is resumed."""
    from dse.storage import SharedStudy

    return SharedStudy(storage, study, f"{platform.node()}:{digest_of(str(folder.path))[:8]}")


def _shared_pool(inner: Callable[[], Pool], shared: "SharedStudy") -> Pool:
    from dse.shared import SharedPool

    return SharedPool(inner, shared)


def _began_with(folder: RunFolder, shared: "SharedStudy | None") -> str:
    """The sampler of what there is of this run, in the storage or the folder; '' when there is nothing."""
    header = shared.header() if shared is not None else None
    return str(header.get("sampler", "")) if header is not None else sampler_of(folder.path / JOURNAL)


def _header(study: Study, sampler: str) -> dict[str, Any]:
    """What must be the same for a run to be continued; more trials, other workers and another time limit are fine."""
    space = study.space
    return {
        "kind": "dse-journal", "format": _FORMAT, "sampler": sampler, "seed": study.seed, "fidelity": study.fidelity,
        "objectives": [[objective.metric, objective.minimise] for objective in study.objectives],
        "budgets": dict(study.budgets), "workload": digest_of(study.workload),
        "space": digest_of((list(space.domains.items()), space.conditions, space.forbidden)),
        "batch": [BATCH, ahead(study)],
    } | ({"robust": digest_of(study.robust)} if study.robust is not None else {}) \
      | ({"technology": digest_of(study.technology)} if study.technology else {})


def _write_results(folder: RunFolder, result: RunResult, manifest: dict[str, Any],
                   describe: Callable[[Result], str] | None) -> None:
    study, columns = result.study, trial_columns(result.study)
    rows = [trial_row(study, r, v) for r, v in zip(result.results, result.verdicts, strict=True)]
    folder.write("trials.csv", csv_text(columns, rows))
    folder.write(TIMINGS, timings_text(result.results))
    if study.robust is not None:
        folder.write(SCENARIOS, scenarios_text(study, result.results))
    front = [result.by_number[number] for number in result.front]
    if result.race is None:
        folder.write("front.csv", csv_text(columns, [rows[i] for i in front]))
    else:
        folder.write("front.csv", csv_text([*columns, *interval_columns(study)], [
            rows[i] | interval_cells(result.race, result.results[i].number) for i in front]))
    if describe is not None:
        folder.write_best({f"trial_{result.results[i].number:05d}.yaml": describe(result.results[i]) for i in front})
    raced: dict[str, Any] = {"confidence": result.race.as_dict()} if result.race is not None else {}
    folder.write_json("manifest.json", {
        **manifest, "state": "interrupted" if result.interrupted else "complete", "workers": result.workers,
        "wall_s": result.wall_s, "n_trials": result.n_trials, "n_feasible": result.n_feasible,
        "n_failed": result.n_failed, "front": list(result.front), "hypervolume": result.hypervolume,
        "hypervolume_reference": {name: finite(value) for name, value in result.reference.items()},
        **raced,
    })
