"""Rows of trials.csv, byte for byte as the run wrote them."""

import csv
import io
from collections.abc import Sequence

from dse.exporters.record import Exporter, Files
from dse.report.rundata import RunData

__all__ = ["EXPORTER"]


def files(run: RunData, trials: Sequence[int]) -> Files:
    """The header and the rows of the trials, in their order."""
    reader = csv.reader(io.StringIO(run.trials_csv, newline=""))
    header = next(reader)
    at = header.index("trial")
    rows = {int(cells[at]): cells for cells in reader if cells}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows[trial] for trial in trials)
    return {"": text.getvalue().encode()}


EXPORTER = Exporter(name="csv", summary="rows of trials.csv: parameters, metrics, violations",
                    loses="the sizes of engines that follow from the workload", table=True, files=files)
