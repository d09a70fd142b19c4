"""The tables of a run that was killed or still runs, made from its journal: what it would write if it ended now."""

import json
import shlex
from pathlib import Path

import numpy as np

from dse.documents import load_study
from dse.objective import judge
from dse.pareto import front_indices
from dse.runs import (
    JOURNAL,
    SCENARIOS,
    TIMINGS,
    csv_text,
    journal_results,
    scenarios_text,
    timings_text,
    trial_columns,
    trial_row,
)

__all__ = ["resume", "unfinished_tables"]


def unfinished_tables(path: Path) -> dict[str, str]:
    """File name -> text of trials.csv, front.csv, timings.csv and, of a robust study, scenarios.csv.

    The front is that of the trials, also where the study asks for a race of finalists.

    Raises
    ------
    InputError : the study or the journal is damaged.
    """
    study = load_study(path / "study.yaml")
    results = journal_results(path / JOURNAL)
    verdicts = [judge(study, result) for result in results]
    columns = trial_columns(study)
    rows = [trial_row(study, result, verdict) for result, verdict in zip(results, verdicts, strict=True)]
    usable = [i for i, verdict in enumerate(verdicts) if verdict.feasible]
    values = np.array([verdicts[i].values for i in usable], dtype=float).reshape(len(usable), len(study.objectives))
    front = sorted(front_indices(values), key=lambda i: tuple(values[i]))
    texts = {"trials.csv": csv_text(columns, rows), "front.csv": csv_text(columns, [rows[usable[i]] for i in front]),
             TIMINGS: timings_text(results)}
    return texts | ({SCENARIOS: scenarios_text(study, results)} if study.robust is not None else {})


def resume(path: Path) -> str:
    """The command that goes on with a run."""
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = {}
    command = "front" if isinstance(manifest, dict) and manifest.get("sampler") == "front" else "run"
    return shlex.join(["dse", command, str(path / "study.yaml"), "--out", str(path), "--resume"])
