"""What runs of exact and of anytime fronts share: what is said of the front found, the folder, and the gap."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.certificate import CERTIFICATE, study_digest
from dse.interrupts import sigterm_interrupts, uninterrupted
from dse.objective import Result, Verdict
from dse.pareto import front_indices, hypervolume
from dse.provenance import describer_of, finite, manifest_of, study_text
from dse.runs import JOURNAL, TIMINGS, Journal, RunFolder, csv_text, timings_text, trial_columns, trial_row
from dse.study import Study

__all__ = ["FoundFront", "epsilon_gap", "hypervolume_gap", "run_front"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FoundFront:
    """A front, and what is known of how far it is from the true one.

    Parameters
    ----------
    results, verdicts : simulated designs by number.
    front : numbers of the feasible non-dominated ones, ordered by the first objective; ties: `ties`.
    ties : designs equal in all objectives to one on the front, not listed in it.
    exact : nothing is undecided and nothing failed.
    gap : most hypervolume that any undecided design could add, same unit as `hypervolume`; inf where that is not known:
        an objective has neither a budget nor a value yet, or no bound [-].
    """

    study: Study
    out: Path
    results: tuple[Result, ...]
    verdicts: tuple[Verdict, ...]
    front: tuple[int, ...]
    ties: int
    exact: bool
    hypervolume: float
    reference: dict[str, float | None]
    gap: float
    wall_s: float
    workers: int
    interrupted: bool = False
    by_number: dict[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_number", {result.number: i for i, result in enumerate(self.results)})

    @property
    def n_failed(self) -> int:
        return sum(result.state == "failed" for result in self.results)

    @property
    def n_feasible(self) -> int:
        return sum(verdict.feasible for verdict in self.verdicts)

    @property
    def gap_frac(self) -> float:
        """`gap` over the hypervolume that is found [-]; inf where either is not known."""
        if self.gap == 0.0:
            return 0.0
        return self.gap / self.hypervolume if self.hypervolume > 0.0 else math.inf

    @property
    def decided(self) -> dict[str, Any]:
        """What the manifest says of the designs that were not simulated."""
        raise NotImplementedError

    def result(self, number: int) -> Result:
        return self.results[self.by_number[number]]


def hypervolume_gap(front: Floats, undecided: Floats, reference: Floats) -> float:
    """Hypervolume that these bounds would add to a front; inf where that is not known."""
    if not len(undecided):
        return 0.0
    if not (np.isfinite(undecided).all() and np.isfinite(reference).all()):
        return math.inf
    together = np.concatenate([front.reshape(-1, undecided.shape[1]), np.unique(undecided, axis=0)])
    return hypervolume(together[front_indices(together)], reference) - hypervolume(front, reference)


def epsilon_gap(front: Floats, undecided: Floats) -> float:
    """Least epsilon such that for each of these bounds some point of the front is, in every objective, no more than
    epsilon worse [-]: no more than 1 + epsilon times what is minimised, no less than 1 / (1 + epsilon) of what is
    maximised (stored negated). inf where no point is or nothing is known.

    References
    ----------
    E. Zitzler et al., IEEE Trans. Evolutionary Computation 7(2), 2003, doi:10.1109/TEVC.2003.810758 (additive and
    multiplicative epsilon of one set of points against another).
    """
    worst = 0.0
    for bound in np.unique(undecided, axis=0):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(bound > 0.0, front / bound, bound / front)
            known = (np.sign(front) == np.sign(bound)) & (bound != 0.0) & np.isfinite(bound)
            excess = np.where(front <= bound, 0.0, np.where(known, ratio - 1.0, math.inf))
        worst = max(worst, float(excess.max(axis=1).min(initial=math.inf)))
    return worst


def run_front(study: Study, out: Path | str, search_of: Callable[[Journal], Any], *, workers: int | None, resume: bool,
              command: str, **mode: str) -> Any:
    """The frame of a run: its folder and journal, Ctrl-C, and what is written at the end.

    Parameters
    ----------
    search_of : journal -> the search, with `go(workers)`, `result(folder, wall_s, interrupted)` and
        `certificate(run, text of the study)`.
    mode : what the journal says besides, if the front is not an exact one.
    """
    start = time.monotonic()
    folder = RunFolder(Path(out), resume=resume)
    try:
        text = study_text(study)
        journal = Journal(folder.path / JOURNAL, {"kind": "dse-front-journal", "format": 1, **mode,
                                                  "study": study_digest(text)})
        try:
            manifest = manifest_of(study, "front", mode.get("mode", "exact"), command)
            folder.write("study.yaml", text)
            folder.write_json("manifest.json", {**manifest, "state": "running"})
            search = search_of(journal)
            interrupted = False
            with sigterm_interrupts():
                try:
                    search.go(workers)
                except KeyboardInterrupt:
                    interrupted = True
            with uninterrupted():
                run = search.result(folder.path, time.monotonic() - start, interrupted)
                _write(folder, run, manifest, search.certificate(run, text))
        finally:
            journal.close()
    finally:
        folder.discard_if_empty()
        folder.close()
    return run


def _write(folder: RunFolder, run: FoundFront, manifest: dict[str, Any], proof: dict[str, Any]) -> None:
    study, columns = run.study, trial_columns(run.study)
    rows = [trial_row(study, r, v) for r, v in zip(run.results, run.verdicts, strict=True)]
    folder.write("trials.csv", csv_text(columns, rows))
    folder.write(TIMINGS, timings_text(run.results))
    front = [run.by_number[number] for number in run.front]
    folder.write("front.csv", csv_text(columns, [rows[i] for i in front]))
    describe = describer_of(study)
    folder.write_best({f"trial_{run.results[i].number:05d}.yaml": describe(run.results[i]) for i in front})
    folder.write(CERTIFICATE, json.dumps(proof, allow_nan=False) + "\n")
    folder.write_json("manifest.json", {
        **manifest, "state": "interrupted" if run.interrupted else "complete", "workers": run.workers,
        "wall_s": run.wall_s, "n_trials": len(run.results), "n_feasible": run.n_feasible, "n_failed": run.n_failed,
        "front": list(run.front), "hypervolume": run.hypervolume, "hypervolume_reference": run.reference,
        "exact": run.exact, **run.decided, "hypervolume_gap": finite(run.gap),
        "hypervolume_gap_frac": finite(run.gap_frac),
    })
