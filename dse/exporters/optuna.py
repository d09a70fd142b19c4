"""All trials of a run as an Optuna study, for optuna-dashboard 0.21 and Optuna 5: an SQLite file or a journal file.

The form is that of `dse.optuna_study`. Distributions span the values that the run tried.

The storage is written in memory and handed over at once: writing trial by trial to a disk takes a third of a second
each.
"""

import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dse.exporters.record import Exporter, Files
from dse.optuna_study import constraints, create_study, distribution, insert_trials, optuna_trial, trial_tables
from dse.report.rundata import Row, RunData, metric_column

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["EXPORTER", "JOURNAL_EXPORTER", "LOSES", "frozen_trials", "journal_files", "sqlite_files"]

LOSES = ("the workload, the policy's state and traces; metrics of single tenants that are no objectives; conditions "
         "and forbidden combinations of the space, and values that no trial tried; the sampler's state")


def _start(run: RunData) -> datetime:
    """When the run began, as its manifest says."""
    try:
        return datetime.strptime(str(run.manifest.get("started")), "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:  # no time, or another form
        return datetime(2000, 1, 1)


def _attributes(run: RunData, row: Row) -> dict[str, Any]:
    shown = {"trial": int(row["trial"]), "status": row["status"], "feasible": bool(row["feasible"])}
    if isinstance(row.get("error"), str) and row["error"]:
        shown["error"] = row["error"]
    return shown | {name: float(row[name]) for name in run.metrics if math.isfinite(row[name])}


def _frozen_trial(run: RunData, row: Row, distributions: "dict[str, BaseDistribution]",
                  start: datetime) -> "FrozenTrial":
    values = [float(row[metric_column(o.metric)]) for o in run.objectives]
    good = row["state"] == "complete" and row["status"] == "ok" and all(map(math.isfinite, values))
    violations = {metric: float(row.get(f"violations.{metric}", math.nan)) for metric in run.budgets}
    return optuna_trial(run.params(row), distributions, values=values if good else None,
                        limits=constraints(violations, run.budgets), attributes=_attributes(run, row), start=start,
                        duration_s=float(row["duration_s"]))


def _study(storage: "BaseStorage", run: RunData) -> "Study":
    """The run as a study without trials."""
    study = create_study(storage, run.name, run.objectives, run.budgets, run.minimise)
    study.set_user_attr("not expressed", LOSES)
    return study


def frozen_trials(run: RunData, trials: Sequence[int]) -> "list[FrozenTrial]":
    """The given trials in their order, one after the other in time."""
    rows = {int(row["trial"]): row for row in run.trials.to_dict("records")}
    distributions = {}
    for name in run.parameters:
        tried = [row[f"params.{name}"] for row in rows.values() if row[f"params.{name}"] is not None]
        if tried:
            distributions[name] = distribution(tried)
    found, at = [], _start(run)
    for number in trials:
        trial = _frozen_trial(run, rows[number], distributions, at)
        found.append(trial)
        at = trial.datetime_complete or at
    return found


def sqlite_files(run: RunData, trials: Sequence[int]) -> Files:
    """A file for `optuna-dashboard sqlite:///FILE`."""
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import StaticPool

    storage = RDBStorage("sqlite://", engine_kwargs={"poolclass": StaticPool,
                                                     "connect_args": {"check_same_thread": False}})
    try:
        study = _study(storage, run)
        with storage.engine.begin() as connection:
            insert_trials(connection, trial_tables(connection), study._study_id,
                          dict(enumerate(frozen_trials(run, trials))))
        raw: Any = storage.engine.raw_connection().driver_connection
        content = bytes(raw.serialize())
    finally:
        storage.engine.dispose()
    return {"": content}


def journal_files(run: RunData, trials: Sequence[int]) -> Files:
    """A file for `optuna-dashboard FILE`."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    class Memory(BaseJournalBackend):
        """A journal kept as lines."""

        def __init__(self) -> None:
            self.lines: list[str] = []

        def read_logs(self, log_number_from: int) -> Any:
            return [json.loads(line) for line in self.lines[log_number_from:]]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            self.lines += [json.dumps(log, separators=(",", ":")) for log in logs]

    memory = Memory()
    _study(JournalStorage(memory), run).add_trials(frozen_trials(run, trials))
    return {"": "".join(f"{line}\n" for line in memory.lines).encode()}


EXPORTER = Exporter(name="optuna", summary="all trials as an Optuna study in an SQLite file, for optuna-dashboard",
                    loses=LOSES, files=sqlite_files, all_trials=True)
JOURNAL_EXPORTER = Exporter(name="optuna_journal", summary="the same as a journal file", loses=LOSES,
                            files=journal_files, all_trials=True)
