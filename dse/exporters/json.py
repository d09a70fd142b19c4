"""A list of designs with their metrics, for scripts."""

import json
import math
from collections.abc import Sequence

from dse.exporters.design import design_document
from dse.exporters.record import Exporter, Files
from dse.report.rundata import RunData

__all__ = ["EXPORTER"]


def files(run: RunData, trials: Sequence[int]) -> Files:
    """`[{"trial", "design", "metrics"}, ...]`; floats round-trip, a metric that is not finite is null."""
    entries = []
    for trial in trials:
        row = run.row(trial)
        metrics = {name: float(row[name]) if math.isfinite(row[name]) else None for name in run.metrics}
        entries.append({"trial": trial, "design": design_document(run, trial), "metrics": metrics})
    return {"": (json.dumps(entries, indent=2, allow_nan=False, default=str) + "\n").encode()}


EXPORTER = Exporter(name="json", summary="a list of {trial, design, metrics}", loses="metrics of single tenants",
                    files=files)
