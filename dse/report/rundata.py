"""A RUN folder as the frames and settings that advice, report and exports need."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, final

import pandas as pd
import yaml

from dse.errors import DseError, InputError, NothingFeasible, Problem, did_you_mean
from dse.report.unfinished import resume, unfinished_tables
from dse.runs import JOURNAL, SCENARIOS, TIMINGS, metric_column
from dse.study import Objective, Study
from hwmodels.outcome import OBJECTIVES

__all__ = ["LEADING_COLUMNS", "Row", "RunData", "cell_value", "metric_column", "read_run", "unfinished_note"]

LEADING_COLUMNS = ("trial", "state", "feasible", "status")
_PREFIXES = ("params.", "tenants.", "violations.")

Row = Mapping[Any, Any]
"""One trial: column -> value."""


@final
@dataclass(frozen=True, kw_only=True)
class RunData:
    """What a run left behind.

    Parameters
    ----------
    texts : of a run that did not finish: tables that it has not written, file name -> text, see
        `dse.report.unfinished`.
    trials : one row per trial; parameters as `int | float | bool | str`, None where inactive; `feasible` is bool.
    front : rows of `trials` on the feasible front, ordered by the first objective.
    study, manifest : parsed `study.yaml` and `manifest.json`.
    scenarios : of a robust study, one row per trial and scenario: `trial`, `scenario`, the judged metrics; else empty.
    """

    path: Path
    name: str
    objectives: tuple[Objective, ...]
    budgets: dict[str, float]
    trials: pd.DataFrame
    front: pd.DataFrame
    study: dict[str, Any]
    manifest: dict[str, Any]
    scenarios: pd.DataFrame = field(default_factory=pd.DataFrame)
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it came to its end, or was interrupted and wrote its tables."""
        return not self.texts

    @cached_property
    def record(self) -> Study:
        """The study as it was run; raises `InputError` where study.yaml is damaged."""
        from dse.documents import load_study

        return load_study(self.path / "study.yaml")

    @property
    def exact(self) -> bool:
        """Whether it is one of `dse front`."""
        return (self.path / "certificate.json").is_file() or self.manifest.get("sampler") == "front"

    @property
    def trials_csv(self) -> str:
        """trials.csv as it is, or would be."""
        text = self.texts.get("trials.csv")
        return (self.path / "trials.csv").read_bytes().decode() if text is None else text

    @property
    def feasible(self) -> pd.DataFrame:
        """Complete trials that meet every budget."""
        return self.trials[self.trials["feasible"]]

    @property
    def failed(self) -> pd.DataFrame:
        """Trials that crashed."""
        return self.trials[self.trials["state"] != "complete"]

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters, in the order of the columns."""
        return [c.removeprefix("params.") for c in self.trials.columns if c.startswith("params.")]

    @property
    def metrics(self) -> list[str]:
        """Overall metrics present, in the order of the columns."""
        return [c for c in self.trials.columns if c in OBJECTIVES]

    @cached_property
    def tenants(self) -> list[str]:
        """Tenant names, in the order of the columns."""
        names = (c.removeprefix("tenants.").rpartition(".")[0] for c in self.trials.columns if c.startswith("tenants."))
        return list(dict.fromkeys(names))

    def row(self, trial: int) -> Row:
        """The row of a trial; raises `InputError` when there is none."""
        rows = self.trials[self.trials["trial"] == trial]
        if rows.empty:
            known = sorted(int(t) for t in self.trials["trial"])
            raise InputError(Problem(
                field="trial", file=str(self.path / "trials.csv"),
                message=f"must be one of the {len(known)} trials {known[0]} to {known[-1]}, got {trial}",
                hint=did_you_mean(str(trial), [str(k) for k in known])))
        return rows.to_dict("records")[0]

    def params(self, row: Row) -> dict[str, Any]:
        """Active parameters of a row."""
        return {name: row[f"params.{name}"] for name in self.parameters if row[f"params.{name}"] is not None}

    def scenarios_of(self, trial: int) -> dict[str, dict[str, float]]:
        """Scenario -> judged metric -> value of a trial; empty unless the study is robust."""
        if self.scenarios.empty:
            return {}
        metrics = {metric_column(m): m for m in dict.fromkeys([*(o.metric for o in self.objectives), *self.budgets])}
        rows = self.scenarios[self.scenarios["trial"] == trial].to_dict("records")
        return {str(row["scenario"]): {metric: float(row[column]) for column, metric in metrics.items()
                                       if column in row and not math.isnan(row[column])} for row in rows}

    def minimise(self, metric: str) -> bool:
        """Whether less is better: as the study says, else as the metric is defined."""
        for objective in self.objectives:
            if objective.metric == metric:
                return objective.minimise
        return OBJECTIVES[metric.rpartition(".")[2]].minimise


def cell_value(text: Any) -> Any:
    """A CSV cell as int, float, bool or str; None when empty."""
    if not isinstance(text, str) or text == "":
        return None
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _bad(path: Path, message: str, **place: Any) -> InputError:
    return InputError(Problem(file=str(path), message=message, **place))


def _locate(path: Path, column: str) -> tuple[int, int, str]:
    """Line, column and text of the first cell of a column that is no number."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        index = next(reader).index(column)
        for cells in reader:
            try:
                float(cells[index] or "nan")
            except ValueError:
                return reader.line_num, len(",".join(cells[:index])) + 1 + bool(index), cells[index]
    return 0, 0, ""


def _numbers(path: Path, frame: pd.DataFrame, column: str) -> "pd.Series[float]":
    try:
        return pd.to_numeric(frame[column]).astype(float)
    except (ValueError, TypeError):
        line, at, text = _locate(path, column)
        raise _bad(path, f"must be a number, got {text!r}", line=line, column=at, field=column) from None


def _typed(path: Path, frame: pd.DataFrame, column: str) -> "pd.Series[Any]":
    """One column with its type; see `RunData.trials`."""
    if column.startswith("params."):
        return pd.Series([cell_value(c) for c in frame[column]], index=frame.index, dtype=object)
    if column == "feasible":
        return frame[column].str.lower() == "true"
    if column == "trial":
        numbers = _numbers(path, frame, column)
        bad = (numbers.isna() | (numbers % 1 != 0)).to_numpy()
        if bad.any():
            raise _bad(path, "must be a whole number in every row", field="trial", line=int(bad.argmax()) + 2)
        return numbers.astype(int)
    if column in OBJECTIVES or column == "duration_s" or column.startswith(_PREFIXES):
        return _numbers(path, frame, column)
    return frame[column].astype(object)


def _read_csv(path: Path, metrics: tuple[str, ...], texts: Mapping[str, str]) -> pd.DataFrame:
    """One of the CSV files of a run, checked and typed."""
    try:
        frame = pd.read_csv(_source(path, texts), dtype=str, keep_default_na=False, encoding="utf-8")
    except pd.errors.EmptyDataError:
        raise _bad(path, "must be a table with a header, got an empty file") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise _bad(path, f"must be CSV as `dse run` writes it: {str(error).strip()}") from None
    missing = [c for c in (*LEADING_COLUMNS, *metrics) if c not in frame.columns]
    if missing:
        raise _bad(path, f"must have the column{'s' * (len(missing) > 1)} {', '.join(missing)}", line=1, field="header",
                   hint=did_you_mean(missing[0], list(frame.columns)))
    typed = {column: _typed(path, frame, column) for column in frame.columns}
    frame = pd.DataFrame(typed, index=frame.index)
    doubled = frame["trial"][frame["trial"].duplicated()]
    if len(doubled):
        raise _bad(path, f"must be unique, got {doubled.iloc[0]} twice", field="trial")
    return frame


def _objectives(study: Mapping[str, Any], path: Path) -> tuple[Objective, ...]:
    found: list[Objective] = []
    named = study.get("objectives") or []
    for item in named if isinstance(named, list) else [named]:
        metric = str(item.get("metric", "")) if isinstance(item, Mapping) else str(item)
        base = OBJECTIVES.get(metric.rpartition(".")[2])
        if base is None:
            raise _bad(path, f"must be a metric, got {metric!r}", field="objectives",
                       hint=did_you_mean(metric, list(OBJECTIVES)))
        direction = item.get("direction") if isinstance(item, Mapping) else None
        found.append(Objective(metric=metric, minimise=direction == "minimise" if direction else base.minimise))
    if not found:
        raise _bad(path, "must be a list of at least one metric", field="objectives")
    return tuple(found)


def _mapping(path: Path, what: str) -> dict[str, Any]:
    """A YAML or JSON file that must hold a mapping."""
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise _bad(path, f"must be JSON: {error.msg}", line=error.lineno, column=error.colno) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = {"line": mark.line + 1, "column": mark.column + 1} if mark else {}
        raise _bad(path, f"must be YAML: {getattr(error, 'problem', None) or error}", **place) from None
    except UnicodeDecodeError:
        raise _bad(path, "must be UTF-8 text") from None
    if not isinstance(value, dict):
        raise _bad(path, f"must be {what}, got {type(value).__name__}")
    return value


def read_run(path: Path) -> RunData:
    """Read a RUN folder; of a run that did not finish, what its journal holds.

    Raises
    ------
    InputError : no such folder, not a run, a run without a single trial, a corrupt file.
    NothingFeasible : a run of `dse front` that simulated nothing, because its bounds show that no design is feasible.
    """
    path = Path(path)
    if not path.is_dir():
        raise _bad(path, "must be the folder of a run" + ("" if path.exists() else ", and does not exist"))
    study_file, trials_file, front_file, manifest_file = (
        path / name for name in ("study.yaml", "trials.csv", "front.csv", "manifest.json"))
    missing = [f.name for f in (study_file, trials_file, front_file, manifest_file) if not f.is_file()]
    if not study_file.is_file():
        raise _bad(path, f"must be the folder of a run: it has no {', '.join(missing)}",
                   hint="a run is made by `dse run STUDY --out RUN`")
    manifest = _mapping(manifest_file, "a manifest") if manifest_file.is_file() else {}
    texts: Mapping[str, str] = {}
    if (missing or manifest.get("state") == "running") and (path / JOURNAL).is_file():
        texts = unfinished_tables(path)
    elif missing:
        raise _bad(path, f"must be a finished run: it has no {', '.join(missing)}",
                   hint=f"finish it with `{resume(path)}`")
    study = _mapping(study_file, "a study")
    objectives = _objectives(study, study_file)
    bounds = study.get("budgets") or {}
    if not isinstance(bounds, dict):
        raise _bad(study_file, f"must be a mapping, got {bounds!r}", field="budgets")
    budgets = {str(k): float(v) for k, v in bounds.items() if _is_number(v)}
    columns = tuple(metric_column(o.metric) for o in objectives)
    trials = _read_csv(trials_file, columns, texts)
    if trials.empty:
        raise _no_trials(path, manifest)
    trials = trials.assign(duration_s=trials["trial"].map(_durations_s(path / TIMINGS, texts)).fillna(0.0))
    front_ids = _read_csv(front_file, columns, texts)["trial"]
    stray = sorted(set(front_ids) - set(trials["trial"]))
    if stray:
        raise _bad(front_file, f"must hold trials of trials.csv only, got trial {stray[0]}")
    front = trials.set_index("trial", drop=False).loc[list(front_ids)].reset_index(drop=True)
    return RunData(path=path, name=str(study.get("name") or path.name), objectives=objectives, budgets=budgets,
                   trials=trials, front=front, study=study, manifest=manifest,
                   scenarios=_side_table(path / SCENARIOS, texts, {"trial": int, "scenario": str}), texts=texts)


def _no_trials(path: Path, manifest: Mapping[str, Any]) -> DseError:
    """Nothing was evaluated: the run was stopped before, or (of `dse front`) bounds decided everything."""
    counts = manifest.get("counts")
    if isinstance(counts, Mapping) and not counts.get("open"):
        return NothingFeasible(f"{path}: bounds show that none of its {manifest.get('designs', 0):,} designs meets the "
                               "budgets, so none was simulated")
    return _bad(path / "trials.csv", "must hold at least one trial", hint=f"go on with `{resume(path)}`")


def unfinished_note(run: RunData) -> str:
    """What to know of a run that has not written its tables."""
    return (f"note: {run.path} has not finished: this is what its {len(run.trials)} trials so far say; go on with "
            f"`{resume(run.path)}`")


def _source(path: Path, texts: Mapping[str, str]) -> Path | io.StringIO:
    return io.StringIO(texts[path.name]) if path.name in texts else path


def _side_table(path: Path, texts: Mapping[str, str], types: Mapping[str, type]) -> pd.DataFrame:
    """A table beside the trials, columns typed; empty where the run kept none."""
    if path.name not in texts and not path.is_file():
        return pd.DataFrame()
    try:
        return pd.read_csv(_source(path, texts), encoding="utf-8").astype(types)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, KeyError, ValueError,
            OverflowError) as error:
        raise _bad(path, f"must be CSV as `dse run` writes it: {str(error).strip()}") from None


def _durations_s(path: Path, texts: Mapping[str, str]) -> dict[int, float]:
    """Trial -> wall time of its evaluation [s]; empty where the run kept none."""
    frame = _side_table(path, texts, {"trial": int, "duration_s": float})
    return {} if frame.empty else dict(zip(frame["trial"], frame["duration_s"], strict=True))


def _is_number(value: Any) -> bool:
    """`8e9` is a string in YAML 1.1."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
