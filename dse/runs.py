"""The folder of a run: its lock, its journal, and the files written at the end.

    RUN/ study.yaml manifest.json trials.csv front.csv best/trial_00017.yaml report.html journal.jsonl .lock

The journal is the only file written while the study runs: a header line, then one line per batch of results, appended
with a single write. A process killed at any moment leaves at most one torn last line, which is cut off when the run is
resumed; a line torn by anything else is an error, never guessed at. All other files are written whole, under another
name, and moved into place.
"""

import csv
import fcntl
import io
import json
import math
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, final

from dse.errors import InputError, Problem
from dse.objective import Result, Verdict, judge
from dse.study import Study
from hwmodels.outcome import ANSWER_METRICS, METRICS, OBJECTIVES, SEARCHED

__all__ = ["BOUNDS", "JOURNAL", "SCENARIOS", "TIMINGS", "Journal", "RunFolder", "csv_text", "journal_results",
           "metric_column", "sampler_of", "scenarios_text", "timings_text", "trial_columns", "trial_row",
           "write_atomically"]

JOURNAL = "journal.jsonl"
TIMINGS = "timings.csv"
"""Wall times are apart from the results, which are the same bytes whoever computed them."""
SCENARIOS = "scenarios.csv"
"""Of a robust study: the judged metrics of every trial in every scenario."""

BOUNDS = "bounds.npz"
"""Of an exact front: the first bounds (`dse.front_kept`)."""

_LOCK = ".lock"
_OURS = {JOURNAL, _LOCK, "study.yaml", "manifest.json", "certificate.json", "trials.csv", "front.csv", TIMINGS, BOUNDS,
         SCENARIOS, "race.jsonl", "report.html", "best"}
_SYNC_S = 0.25  # a killed process loses nothing that was written; a power cut loses what was not synced, at most this


def write_atomically(path: Path, content: str | bytes) -> None:
    """The file is the old one or the new one, never half of either."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _bad(path: Path, message: str, *, line: int = 0, hint: str = "") -> InputError:
    return InputError(Problem(file=str(path), line=line, message=message, hint=hint))


@final
class Journal:
    """Append-only results of a run.

    Parameters
    ----------
    header : what the run is; compared with the one on disk when it exists.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.results: dict[int, Result] = {}
        exists = path.exists() and path.stat().st_size > 0
        keep = self._load(header) if exists else 0
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise _bad(path, f"must be writable: {error.strerror}") from None
        os.ftruncate(self._fd, keep)
        if not keep:
            self._write(json.dumps(header, allow_nan=False, sort_keys=True))
            os.fsync(self._fd)
        self._synced = time.monotonic()

    def _load(self, header: Mapping[str, Any]) -> int:
        """Read the results; returns the number of bytes that hold complete lines."""
        lines, end = _lines(self.path)
        if not lines:  # killed while the header was written
            return 0
        found = _json(lines[0])
        if not isinstance(found, dict) or found.get("kind") != header["kind"]:
            raise _bad(self.path, "must be the journal of a dse run: it is another file or damaged", line=1)
        _compare(self.path, found, header)
        self.results = _results(self.path, lines)
        return end

    def _write(self, line: str) -> None:
        data = (line + "\n").encode()
        try:
            while data:
                data = data[os.write(self._fd, data):]
        except OSError as error:
            raise _bad(self.path, f"must be writable: {error.strerror}",
                       hint="what was written before is safe; go on with --resume") from None

    def append(self, results: list[Result]) -> None:
        """Keep results that are not in the journal yet."""
        new = [result for result in results if result.number not in self.results]
        if not new:
            return
        self._write(json.dumps({"results": [result.as_dict() for result in new]}))
        self.results.update((result.number, result) for result in new)
        if time.monotonic() - self._synced > _SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Make everything written survive a power cut."""
        os.fsync(self._fd)
        self._synced = time.monotonic()

    def close(self) -> None:
        self.sync()
        os.close(self._fd)


def journal_results(path: Path) -> list[Result]:
    """Trials of a journal by their numbers, whoever writes it; raises `InputError` for a damaged line.

    Numbers below 0 are notes of `dse front` on its bounds.
    """
    lines, _ = _lines(path)
    found = _results(path, lines)
    return [found[number] for number in sorted(found) if number >= 0]


def _lines(path: Path) -> tuple[list[bytes], int]:
    """Complete lines, and the number of bytes that hold them."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    return data[:end].split(b"\n")[:-1], end


def _results(path: Path, lines: list[bytes]) -> dict[int, Result]:
    """Trial -> result of the lines after the header."""
    results: dict[int, Result] = {}
    for at, line in enumerate(lines[1:], start=2):
        batch = _json(line)
        try:
            for entry in batch["results"]:
                result = Result(**entry)
                results.setdefault(result.number, result)
        except (TypeError, KeyError):
            raise _bad(path, "must be a line of results, it is damaged", line=at,
                       hint="restore the file, or start anew in another folder") from None
    return results


def sampler_of(journal: Path) -> str:
    """Sampler of an earlier run, '' when there is none."""
    if not journal.exists():
        return ""
    with journal.open("rb") as file:
        header = _json(file.readline())
    return str(header.get("sampler", "")) if isinstance(header, dict) else ""


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _compare(path: Path, found: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    changed = [name for name in header if found.get(name) != header[name]]
    if changed:
        raise _bad(path.parent, f"must be resumed with the study it was started with; changed: {', '.join(changed)}",
                   hint="use another --out for the changed study")


@final
class RunFolder:
    """A folder that one driver owns while it is open.

    Parameters
    ----------
    resume : continue what is there; else the folder must be new or empty.

    Raises
    ------
    InputError : it exists and `resume` is off, it is not a run, another driver holds it, or it cannot be written.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path.absolute()
        if self.path.exists() and not self.path.is_dir():
            raise _bad(path, "must be a folder, it is a file")
        content = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        foreign = {name for name in content if name not in _OURS and not name.startswith(".")}
        if content and not resume:
            what = "already exists" if not foreign else "holds other files"
            raise _bad(path, f"must be a new or empty folder, it {what}",
                       hint="continue it with --resume, or choose another --out" if not foreign else "")
        if foreign and JOURNAL not in content:
            raise _bad(path, f"must be the folder of a run, it has no {JOURNAL}", hint=f"it holds {sorted(foreign)[0]}")
        created = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _bad(path, f"must be a folder that can be written: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._lock, 64).decode(errors="replace").strip()
            os.close(self._lock)
            raise _bad(path, f"must not be in use: another dse run (process {owner or 'unknown'}) holds it") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        self._created = created

    def discard_if_empty(self) -> None:
        """Leave nothing behind when the run never started."""
        if self._created and {entry.name for entry in self.path.iterdir()} <= {_LOCK}:
            (self.path / _LOCK).unlink()
            self.path.rmdir()

    def close(self) -> None:
        os.close(self._lock)

    def write(self, name: str, text: str) -> None:
        try:
            write_atomically(self.path / name, text)
        except OSError as error:
            raise _bad(self.path / name, f"must be writable: {error.strerror}",
                       hint="the journal is safe: make room and go on with --resume") from None

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, json.dumps(value, indent=2, allow_nan=False) + "\n")

    def write_best(self, designs: Mapping[str, str]) -> None:
        """Replace the folder `best` by these files."""
        temporary, best = self.path / ".best.tmp", self.path / "best"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        for name, text in designs.items():
            (temporary / name).write_text(text, encoding="utf-8")
        shutil.rmtree(best, ignore_errors=True)
        temporary.rename(best)


def trial_columns(study: Study) -> list[str]:
    """Columns of trials.csv: they depend on the study only, not on its results."""
    answers = {tenant.name for tenant in study.served.tenants if tenant.steps > 1}
    overall = [name for name in METRICS if answers or name not in ANSWER_METRICS]
    return [
        "trial", "state", "feasible", "status",
        *(f"params.{name}" for name in study.space.names),
        *overall, *(name for name in study.judged if name in SEARCHED),
        *(f"tenants.{tenant.name}.{name}" for tenant in study.served.tenants for name, metric in METRICS.items()
          if metric.per_tenant and (tenant.name in answers or name not in ANSWER_METRICS)),
        *(f"violations.{metric}" for metric in study.budgets),
        "error",
    ]


def trial_row(study: Study, result: Result, verdict: Verdict | None = None) -> dict[str, Any]:
    """One row of trials.csv."""
    verdict = verdict or judge(study, result)
    row: dict[str, Any] = {"trial": result.number, "state": result.state, "feasible": verdict.feasible,
                           "status": result.status, "error": result.error}
    row |= {f"params.{name}": value for name, value in result.params.items()}
    if result.state == "complete":
        row |= result.metrics
        row |= {f"tenants.{tenant}.{name}": value
                for tenant, metrics in result.tenants.items() for name, value in metrics.items()}
        row |= {f"violations.{name}": value for name, value in verdict.violations.items()}
    return row


def metric_column(metric: str) -> str:
    """Column of a metric in trials.csv: its name, or `tenants.TENANT.METRIC` for `TENANT.METRIC`."""
    return metric if metric in OBJECTIVES else f"tenants.{metric}"


def scenarios_text(study: Study, results: Iterable[Result]) -> str:
    """What scenarios.csv holds: a row for every trial and scenario."""
    columns = ["trial", "scenario", "workload", "rate", "seed", *map(metric_column, study.judged)]
    known = {scenario.name: scenario for scenario in study.scenarios}
    return csv_text(columns, (
        {"trial": result.number, "scenario": name, "workload": known[name].workload.name, "rate": known[name].rate,
         "seed": known[name].seed} | {metric_column(metric): value for metric, value in metrics.items()}
        for result in results for name, metrics in result.scenarios.items()))


def timings_text(results: Iterable[Result]) -> str:
    """What timings.csv holds: wall time of every evaluation."""
    return csv_text(["trial", "duration_s"], ({"trial": r.number, "duration_s": r.duration_s} for r in results))


def _cell(value: Any) -> str:
    """Floats so that reading them gives the same float; empty for what is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def csv_text(columns: list[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A CSV table; a column that a row does not have is empty there."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return text.getvalue()
