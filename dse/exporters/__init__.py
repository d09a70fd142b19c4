"""Formats that designs of a run can be exported to: one file per format, registered here by its record."""

from dse.exporters.accelforge import EXPORTER as _ACCELFORGE
from dse.exporters.csv import EXPORTER as _CSV
from dse.exporters.json import EXPORTER as _JSON
from dse.exporters.onnxim import EXPORTER as _ONNXIM
from dse.exporters.optuna import EXPORTER as _OPTUNA
from dse.exporters.optuna import JOURNAL_EXPORTER as _OPTUNA_JOURNAL
from dse.exporters.parquet import EXPORTER as _PARQUET
from dse.exporters.perfetto import EXPORTER as _PERFETTO
from dse.exporters.record import Exporter
from dse.exporters.scalesim import EXPORTER as _SCALESIM
from dse.exporters.stream import EXPORTER as _STREAM
from dse.exporters.timeloop import EXPORTER as _TIMELOOP
from dse.exporters.yaml import EXPORTER as _YAML
from dse.exporters.zigzag import EXPORTER as _ZIGZAG

__all__ = ["EXPORTERS", "Exporter"]

EXPORTERS: dict[str, Exporter] = {
    record.name: record
    for record in (_YAML, _JSON, _CSV, _PARQUET, _PERFETTO, _SCALESIM, _ZIGZAG, _STREAM, _TIMELOOP, _ACCELFORGE,
                   _ONNXIM, _OPTUNA, _OPTUNA_JOURNAL)
}
