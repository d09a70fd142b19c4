"""A list of designs with their metrics, for scripts."""

import json
import math
from collections.abc import Sequence
from typing import Any

from dse.errors import InputError
from dse.exporters.design import design_document
from dse.exporters.record import Exporter, Files
from dse.report.rundata import Row, RunData

__all__ = ["EXPORTER"]


def files(run: RunData, trials: Sequence[int]) -> Files:
    """`[{"trial", "design", "metrics"}, ...]`; floats round-trip, a metric that is not finite is null. A trial that is
    not feasible has `"feasible": false` and its `state`; its design is null where the parameters stand for none."""
    entries = []
    for trial in trials:
        row = run.row(trial)
        metrics = {name: float(row[name]) if math.isfinite(row[name]) else None for name in run.metrics}
        mark = {} if row["feasible"] else {"feasible": False, "state": row["state"]}
        entries.append({"trial": trial, **mark, "design": _design(run, trial, row), "metrics": metrics})
    return {"": (json.dumps(entries, indent=2, allow_nan=False, default=str) + "\n").encode()}


def _design(run: RunData, trial: int, row: Row) -> dict[str, Any] | None:
    try:
        return design_document(run, trial)
    except InputError:
        if row["status"] == "ok":
            raise
        return None  # the space holds parameters that stand for no design: its status says why


EXPORTER = Exporter(name="json", summary="a list of {trial, design, metrics}",
                    loses="metrics of single tenants", table=True, files=files)
