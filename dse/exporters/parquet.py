"""Rows of trials.csv as a Parquet file, with types; only where pyarrow is installed."""

import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import pandas as pd

from dse.errors import InputError, Problem
from dse.exporters.record import Exporter, Files
from dse.report.rundata import RunData

__all__ = ["EXPORTER"]


def _typed(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column of parameters or text as one type: numbers where all are numbers, else text; missing stays missing."""
    present = list(column.dropna())
    whole = [value for value in present if isinstance(value, int) and not isinstance(value, bool)]
    numbers = [value for value in present if isinstance(value, int | float) and not isinstance(value, bool)]
    kind = "string"
    if len(whole) == len(present) > 0:
        kind = "Int64"
    elif len(numbers) == len(present) > 0:
        kind = "Float64"
    elif present and all(isinstance(value, bool) for value in present):
        kind = "boolean"
    values = [None if pd.isna(value) else str(value) if kind == "string" else value for value in column]
    return pd.Series(values, index=column.index, dtype=kind)


def files(run: RunData, trials: Sequence[int]) -> Files:
    """One file: the columns of trials.csv in their order.

    Raises
    ------
    InputError : pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise InputError(Problem(field="--format", message="must be csv or json here: parquet needs pyarrow, which is "
                                                           "not installed", hint="pip install pyarrow"))
    table = run.trials.set_index("trial", drop=False).loc[list(trials)].reset_index(drop=True)
    frame = pd.DataFrame({name: _typed(column) if column.dtype == object else column
                          for name, column in table.items()})
    out = io.BytesIO()
    frame.to_parquet(out, engine="pyarrow", index=False)
    return {"": out.getvalue()}


EXPORTER = Exporter(name="parquet", summary="rows of trials.csv with types, where pyarrow is installed",
                    loses="the sizes of engines that follow from the workload", table=True, files=files)
