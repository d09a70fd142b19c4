"""All trials of a run as an Optuna study, for optuna-dashboard 0.21 and Optuna 5: an SQLite file or a journal file.

Values are those of the objectives, named; constraints are the violations of the budgets in the order of the study's
attribute `constraints` (<= 0 is within), in the list `constraints` of the system attributes of a trial, which is what
the dashboard reads. Trials that crashed or that have no finite objectives are failed trials there, with the reason as
an attribute. Distributions span the values that the run tried; integers that are all powers of two get a logarithmic
axis.

The storage is written in memory and handed over at once: writing trial by trial to a disk takes a third of a second
each.
"""

import json
import math
import sys
import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dse.exporters.record import Exporter, Files
from dse.report.rundata import Row, RunData, metric_column
from hwmodels.outcome import METRICS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["EXPORTER", "JOURNAL_EXPORTER", "LOSES", "distribution", "frozen_trials", "journal_files", "sqlite_files"]

LOSES = ("the workload, the policy's state and traces; metrics of single tenants that are no objectives; conditions "
         "and forbidden combinations of the space, and values that no trial tried; the sampler's state")

_UNKNOWN = sys.float_info.max
"""Violation of a budget whose metric is unknown: JSON has no infinity."""


def distribution(values: Sequence[Any]) -> "BaseDistribution":
    """The domain of a parameter, from the values that were tried: numbers from least to largest, else the names."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    whole = [v for v in values if isinstance(v, int) and not isinstance(v, bool)]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(whole) == len(values):
        low, high = min(whole), max(whole)
        return IntDistribution(low, high, log=low > 0 and high > 2 * low and all(v & (v - 1) == 0 for v in whole))
    if len(numbers) == len(values) and all(map(math.isfinite, numbers)):
        return FloatDistribution(min(numbers), max(numbers))
    return CategoricalDistribution(sorted(set(values), key=lambda v: (str(type(v)), str(v))))


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


def _constraints(run: RunData, row: Row) -> list[float]:
    found = []
    for metric in run.budgets:
        violation = float(row.get(f"violations.{metric}", math.nan))
        found.append(_UNKNOWN if math.isnan(violation) else max(-_UNKNOWN, min(_UNKNOWN, violation)))
    return found


def _frozen_trial(run: RunData, row: Row, distributions: "dict[str, BaseDistribution]",
                 start: datetime) -> "FrozenTrial":
    """One trial as Optuna keeps it."""
    from optuna.trial import TrialState, create_trial

    params = run.params(row)
    values = [float(row[metric_column(o.metric)]) for o in run.objectives]
    good = row["state"] == "complete" and row["status"] == "ok" and all(map(math.isfinite, values))
    took = float(row["duration_s"])
    trial = create_trial(
        state=TrialState.COMPLETE if good else TrialState.FAIL, values=values if good else None,
        params={name: float(v) if type(distributions[name]).__name__ == "FloatDistribution" else v
                for name, v in params.items()},
        distributions={name: distributions[name] for name in params}, user_attrs=_attributes(run, row),
        system_attrs={"constraints": _constraints(run, row)} if good and run.budgets else {})
    trial.datetime_start = start
    trial.datetime_complete = start + timedelta(seconds=took if math.isfinite(took) else 0.0)
    return trial


def _unit(metric: str) -> str:
    return METRICS[metric.rpartition(".")[2]].unit


def _study(storage: "BaseStorage", run: RunData) -> "Study":
    """The run as a study without trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=storage, study_name=run.name,
                                directions=["minimize" if o.minimise else "maximize" for o in run.objectives])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([f"{o.metric} [{_unit(o.metric)}]" for o in run.objectives])
    study.set_user_attr("constraints", [f"{metric} {'<=' if run.minimise(metric) else '>='} {bound:g}"
                                        for metric, bound in run.budgets.items()])
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


_TABLES = {
    "trials": "trial_id, number, study_id, state, datetime_start, datetime_complete",
    "trial_params": "trial_id, param_name, param_value, distribution_json",
    "trial_values": "trial_id, objective, value, value_type",
    "trial_user_attributes": "trial_id, key, value_json",
    "trial_system_attributes": "trial_id, key, value_json",
}


def _rows(study_id: int, trials: "Sequence[FrozenTrial]") -> dict[str, list[tuple[Any, ...]]]:
    """Trials as rows of Optuna's tables (schema 12); `Study.add_trial` makes the same, at 60 ms a trial."""
    from optuna.distributions import distribution_to_json

    rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _TABLES}
    for number, trial in enumerate(trials):
        at = number + 1
        times = [None if t is None else t.isoformat(" ", "microseconds")
                 for t in (trial.datetime_start, trial.datetime_complete)]
        rows["trials"].append((at, number, study_id, trial.state.name, *times))
        for name, kind in trial.distributions.items():
            rows["trial_params"].append((at, name, kind.to_internal_repr(trial.params[name]),
                                         distribution_to_json(kind)))
        rows["trial_values"] += [(at, i, value, "FINITE") for i, value in enumerate(trial.values or ())]
        rows["trial_user_attributes"] += [(at, key, json.dumps(value)) for key, value in trial.user_attrs.items()]
        rows["trial_system_attributes"] += [(at, key, json.dumps(value)) for key, value in trial.system_attrs.items()]
    return rows


def sqlite_files(run: RunData, trials: Sequence[int]) -> Files:
    """A file for `optuna-dashboard sqlite:///FILE`."""
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import StaticPool

    storage = RDBStorage("sqlite://", engine_kwargs={"poolclass": StaticPool,
                                                     "connect_args": {"check_same_thread": False}})
    try:
        study = _study(storage, run)
        connection: Any = storage.engine.raw_connection().driver_connection
        for table, rows in _rows(study._study_id, frozen_trials(run, trials)).items():
            marks = ", ".join("?" * (_TABLES[table].count(",") + 1))
            connection.executemany(f"INSERT INTO {table} ({_TABLES[table]}) VALUES ({marks})", rows)
        connection.commit()
        content = bytes(connection.serialize())
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
