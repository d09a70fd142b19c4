"""A study of ours as an Optuna study, in the form that optuna-dashboard 0.21 and Optuna 5 both read.

Values are those of the objectives, named; constraints are the violations of the budgets in the order of the study's
attribute `constraints` (<= 0 is within), in the list `constraints` of the system attributes of a trial, which is what
the dashboard reads. Trials that crashed or that have no finite objectives are failed trials there, with the reason as
an attribute. Integers that are all powers of two get a logarithmic axis.
"""

import json
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dse.study import Objective
from hwmodels.outcome import OBJECTIVES

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial
    from sqlalchemy import Table

__all__ = ["constraints", "create_study", "distribution", "insert_trials", "optuna_trial", "trial_tables"]

_UNKNOWN = sys.float_info.max
"""Violation of a budget whose metric is unknown: JSON has no infinity."""


def distribution(values: Sequence[Any]) -> "BaseDistribution":
    """The domain of a parameter with these values: numbers from least to largest, else the names."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    whole = [v for v in values if isinstance(v, int) and not isinstance(v, bool)]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(whole) == len(values):
        low, high = min(whole), max(whole)
        return IntDistribution(low, high, log=low > 0 and high > 2 * low and all(v & (v - 1) == 0 for v in whole))
    if len(numbers) == len(values) and all(map(math.isfinite, numbers)):
        return FloatDistribution(min(numbers), max(numbers))
    return CategoricalDistribution(sorted(set(values), key=lambda v: (str(type(v)), str(v))))


def constraints(violations: Mapping[str, float], budgets: Mapping[str, float]) -> list[float]:
    """Violations in the order of the budgets, as finite numbers."""
    found = (violations.get(metric, math.nan) for metric in budgets)
    return [_UNKNOWN if math.isnan(v) else max(-_UNKNOWN, min(_UNKNOWN, v)) for v in found]


def optuna_trial(params: Mapping[str, Any], distributions: "Mapping[str, BaseDistribution]", *,
                 values: Sequence[float] | None, limits: Sequence[float], attributes: Mapping[str, Any],
                 start: datetime, duration_s: float) -> "FrozenTrial":
    """One trial as Optuna keeps it.

    Parameters
    ----------
    values : of the objectives; None makes a failed trial.
    limits : see `constraints`.
    """
    from optuna.trial import TrialState, create_trial

    trial = create_trial(
        state=TrialState.FAIL if values is None else TrialState.COMPLETE, values=values,
        params={name: float(v) if type(distributions[name]).__name__ == "FloatDistribution" else v
                for name, v in params.items()},
        distributions={name: distributions[name] for name in params}, user_attrs=dict(attributes),
        system_attrs={"constraints": list(limits)} if values is not None and limits else {})
    trial.datetime_start = start
    trial.datetime_complete = start + timedelta(seconds=duration_s if math.isfinite(duration_s) else 0.0)
    return trial


def create_study(storage: "BaseStorage", name: str, objectives: Sequence[Objective], budgets: Mapping[str, float],
                 minimise: Callable[[str], bool], *, load_if_exists: bool = False) -> "OptunaStudy":
    """The study without trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=storage, study_name=name, load_if_exists=load_if_exists,
                                directions=["minimize" if o.minimise else "maximize" for o in objectives])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([f"{o.metric} [{OBJECTIVES[o.metric.rpartition('.')[2]].unit}]" for o in objectives])
    study.set_user_attr("constraints", [f"{metric} {'<=' if minimise(metric) else '>='} {bound:g}"
                                        for metric, bound in budgets.items()])
    return study


_TABLES = ("trials", "trial_params", "trial_values", "trial_user_attributes", "trial_system_attributes")


def trial_tables(engine: Any) -> "Mapping[str, Table]":
    """Optuna's tables of trials in a database, by name."""
    import sqlalchemy

    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine, only=_TABLES)
    return metadata.tables


def insert_trials(connection: Any, table: "Mapping[str, Table]", study_id: int,
                  trials: "Mapping[int, FrozenTrial]") -> None:
    """Write finished trials into Optuna's tables (schema 12); `Study.add_trial` does the same, at 60 ms a trial.

    Parameters
    ----------
    connection : of SQLAlchemy, in a transaction.
    table : see `trial_tables`.
    trials : by Optuna's number of the trial, which must be new.
    """
    import sqlalchemy
    from optuna.distributions import distribution_to_json

    if not trials:
        return
    new = [{"number": number, "study_id": study_id, "state": trial.state.name,
            "datetime_start": _utc(trial.datetime_start), "datetime_complete": _utc(trial.datetime_complete)}
           for number, trial in trials.items()]
    insert = sqlalchemy.insert(table["trials"]).returning(table["trials"].c.trial_id, sort_by_parameter_order=True)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _TABLES[1:]}
    for at, trial in zip(connection.execute(insert, new).scalars(), trials.values(), strict=True):
        rows["trial_params"] += [
            {"trial_id": at, "param_name": name, "param_value": kind.to_internal_repr(trial.params[name]),
             "distribution_json": distribution_to_json(kind)} for name, kind in trial.distributions.items()]
        rows["trial_values"] += [{"trial_id": at, "objective": i, "value": value, "value_type": "FINITE"}
                                 for i, value in enumerate(trial.values or ())]
        for name, attributes in (("trial_user_attributes", trial.user_attrs),
                                 ("trial_system_attributes", trial.system_attrs)):
            rows[name] += [{"trial_id": at, "key": key, "value_json": json.dumps(value)}
                           for key, value in attributes.items()]
    for name, found in rows.items():
        if found:
            connection.execute(sqlalchemy.insert(table[name]), found)


def _utc(time: datetime | None) -> datetime | None:
    """Optuna's tables hold UTC, its trials local time, both without saying so."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)
