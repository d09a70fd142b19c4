"""Our own design files: what `dse evaluate` takes."""

from collections.abc import Sequence

from dse.exporters.design import design_text
from dse.exporters.record import Exporter, Files
from dse.report.rundata import RunData

__all__ = ["EXPORTER"]


def files(run: RunData, trials: Sequence[int]) -> Files:
    """One file for one trial, a folder of them for several."""
    if len(trials) == 1:
        return {"": design_text(run, trials[0]).encode()}
    return {f"trial_{trial:05d}.yaml": design_text(run, trial).encode() for trial in trials}


EXPORTER = Exporter(name="yaml", summary="design files as `dse evaluate` takes them; a folder when there are several",
                    loses="", files=files)
