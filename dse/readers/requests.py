"""Request logs: when requests arrived, and how long their prompts and answers are. Formats: `dse.readers.logs`.

Files are streamed, columns are arrays: ten million rows are a few hundred MB. Nothing is dropped silently: failed
requests (BurstGPT: no response tokens) are counted, times that run backwards are sorted, both with a note.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, final

import numpy as np
from numpy.typing import NDArray

from dse.errors import InputError, Problem
from dse.located import near_file
from dse.readers.cells import COUNT, COUNT_OR_BLANK, TEXT, TIME, BadCell, Parser, date_time
from dse.readers.logs import (
    UNREADABLE,
    LogFormat,
    column_key,
    first_line,
    match,
    open_bytes,
    open_log,
    unknown_header,
)

__all__ = ["RequestLog", "read_requests"]

MAX_SHOWN = 20
"""Broken cells named before giving up: a log with the wrong unit is wrong in every row."""
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
QUANTILES = (0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)
"""Points of the quantile tables [%]."""
_CHUNK = 65_536


@final
@dataclass(frozen=True, kw_only=True)
class RequestLog:
    """Requests in the order of their arrival.

    Parameters
    ----------
    format : name in `FORMATS`.
    arrival_s : arrival times, shape (n,), non-decreasing [s]: as written in the file, from the first request where
        the file has dates, from the start of the window where one was given.
    prompt_tokens, output_tokens : lengths, shape (n,) [tokens]; None where the log has none.
    tenant : index into `tenants`, shape (n,); None where the log names none.
    failed : requests left out because they failed.
    notes : what a reader should know.
    """

    format: str
    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64] | None = None
    output_tokens: NDArray[np.int64] | None = None
    tenant: NDArray[np.int64] | None = None
    tenants: tuple[str, ...] = ()
    failed: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrival_s)

    def summary(self) -> dict[str, Any]:
        """What `dse inspect --json` prints: counts, rate, coefficient of variation of the gaps, sums, quantiles."""
        gaps = np.diff(self.arrival_s)
        span_s = float(self.arrival_s[-1] - self.arrival_s[0])
        columns = {"gap_s": gaps, "prompt_tokens": self.prompt_tokens, "output_tokens": self.output_tokens}
        quantiles = {name: dict(zip((f"p{point:g}" for point in QUANTILES), np.percentile(column, QUANTILES).tolist(),
                                    strict=True)) | {"mean": float(column.mean())}
                     for name, column in columns.items() if column is not None and len(column)}
        mean = float(gaps.mean()) if len(gaps) else 0.0
        return {
            "kind": "requests", "format": self.format, "requests": len(self), "failed": self.failed, "span_s": span_s,
            "rate_hz": len(gaps) / span_s if span_s > 0.0 else None,
            "gap_cv": float(gaps.std()) / mean if mean > 0.0 else None,
            "prompt_tokens_sum": None if self.prompt_tokens is None else int(self.prompt_tokens.sum()),
            "output_tokens_sum": None if self.output_tokens is None else int(self.output_tokens.sum()),
            "tenants": None if self.tenant is None else {
                name: int((self.tenant == index).sum()) for index, name in enumerate(self.tenants)},
            "quantiles": quantiles, "notes": list(self.notes)}

    def take(self, rows: Any) -> "RequestLog":
        """The same log with the given rows only."""
        def pick(column: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
            return None if column is None else column[rows]

        return replace(self, arrival_s=self.arrival_s[rows], prompt_tokens=pick(self.prompt_tokens),
                       output_tokens=pick(self.output_tokens), tenant=pick(self.tenant))


# --- reading ----------------------------------------------------------------------------------------------------------


def read_requests(path: str | Path, *, rate_hz: float | None = None, time_unit: str | None = None,
                  from_s: float | None = None, to_s: float | None = None, scale_rate: float = 1.0,
                  limit: int | None = None) -> RequestLog:
    """Read a request log.

    Parameters
    ----------
    rate_hz : arrivals per second of a log that has lengths only; they are evenly spaced [Hz].
    time_unit : s, ms, us or ns, for a format that does not document its own.
    from_s, to_s : only arrivals in [from_s, to_s) of the log's own time (of dates: from the first row on) [s];
        `from_s` becomes 0.
    scale_rate : times are divided by it, which keeps the shape of the traffic [-].
    limit : the first so many requests of the window, in the order of the file.

    Raises
    ------
    InputError : unreadable file, unknown header, broken cells (at most 20), no request left, options that do not fit.
    """
    shown, file = str(path), Path(path)
    _check_options(from_s, to_s, scale_rate, limit, rate_hz, time_unit)
    try:
        number, line = first_line(file)
        if not line:
            raise InputError(Problem(file=shown, line=1, message="must be a request log, got an empty file"))
        if "\0" in line:
            raise InputError(Problem(file=shown, message="must be CSV text, got a binary file"))
        known = match(line)
        if known is None:
            raise unknown_header(shown, number, line)
        unit_s = _unit(shown, known, rate_hz, time_unit)
        reader = _Reader(shown, known, unit_s, from_s, to_s, limit)
        with open_log(file) as stream:
            if known.lines_of_json:
                reader.read_json(stream)
            else:
                reader.read_csv(stream, number)
    except UnicodeDecodeError:
        raise InputError(_not_utf8(file)) from None
    except FileNotFoundError:
        raise InputError(Problem(file=shown, message="must be an existing file, got none",
                                 hint=near_file(path))) from None
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(Problem(file=shown, message=f"must be a readable file: {reason}")) from None
    if reader.problems:
        raise InputError(*reader.problems)
    return _finish(reader, rate_hz, from_s, to_s, scale_rate)


def _check_options(from_s: float | None, to_s: float | None, scale_rate: float, limit: int | None,
                   rate_hz: float | None, time_unit: str | None) -> None:
    problems = []
    for name, value in (("from", from_s), ("to", to_s)):
        if value is not None and not 0.0 <= value < float("inf"):
            problems.append(Problem(field=name, message=f"must be a number >= 0 [s], got {value:g}"))
    for name, value in (("rate", rate_hz), ("scale-rate", scale_rate)):
        if value is not None and not 0.0 < value < float("inf"):
            problems.append(Problem(field=name, message=f"must be a number > 0, got {value:g}"))
    if not problems and to_s is not None and to_s <= (from_s or 0.0):
        problems.append(Problem(field="to", message=f"must be above from ({from_s or 0.0:g} s), got {to_s:g}"))
    if limit is not None and limit < 1:
        problems.append(Problem(field="limit", message=f"must be an integer >= 1, got {limit}"))
    if time_unit is not None and time_unit not in TIME_UNITS:
        problems.append(Problem(field="time-unit", message=f"must be one of {', '.join(TIME_UNITS)}, "
                                f"got {time_unit!r}"))
    if problems:
        raise InputError(*problems)


def _unit(path: str, known: LogFormat, rate_hz: float | None, time_unit: str | None) -> float:
    """Unit of the times [s]; refuses what the format does not need, and asks for what it does."""
    problems = []
    if not known.time and rate_hz is None:
        problems.append(Problem(file=path, field="rate", message=f"must be given with --rate HZ: {known.name} holds "
                                "lengths without arrival times"))
    if known.time and rate_hz is not None:
        problems.append(Problem(file=path, field="rate", message=f"must be left out: {known.name} has arrival times, "
                                f"got {rate_hz:g}", hint="--scale-rate changes the rate of a log"))
    if known.unit_s is None and time_unit is None:
        problems.append(Problem(file=path, field="time-unit", message=f"must be given with --time-unit s, ms, us or "
                                f"ns: the unit of column {known.time} is documented nowhere ({known.name})"))
    if known.unit_s is not None and time_unit is not None:
        problems.append(Problem(file=path, field="time-unit", message=f"must be left out: the times of {known.name} "
                                f"have a known unit, got {time_unit!r}"))
    if problems:
        raise InputError(*problems)
    return TIME_UNITS[time_unit] if time_unit is not None else known.unit_s or 1.0


def _not_utf8(path: Path) -> Problem:
    """The line that is not UTF-8."""
    try:
        with open_bytes(path) as file:
            for number, raw in enumerate(file, start=1):
                if number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
                    return Problem(file=str(path), line=1, message="must be CSV text in UTF-8, got UTF-16")
                try:
                    raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    column = len(raw[: error.start].decode("utf-8", "replace")) + 1
                    return Problem(file=str(path), line=number, column=column,
                                   message=f"must be CSV text in UTF-8, got the byte 0x{raw[error.start]:02x}")
    except UNREADABLE:  # a gzip stream that is cut behind the place
        pass
    return Problem(file=str(path), message="must be CSV text in UTF-8")


class _Reader:
    """Columns of a log, chunk by chunk."""

    def __init__(self, path: str, known: LogFormat, unit_s: float, from_s: float | None, to_s: float | None,
                 limit: int | None) -> None:
        self.path, self.known, self.unit_s = path, known, unit_s
        self.low = -np.inf if from_s is None else from_s
        self.high = np.inf if to_s is None else to_s
        self.limit = limit
        self.problems: list[Problem] = []
        self.chunks: list[dict[str, NDArray[Any]]] = []
        self.tenants: dict[str, int] = {}
        self.unused: list[str] = []
        self.rows = self.failed = self.kept = 0
        self.origin_s = 0.0
        self.is_date = known.unit_s == 0.0

    def done(self) -> bool:
        return len(self.problems) >= MAX_SHOWN or (self.limit is not None and self.kept >= self.limit)

    def parsers(self, keys: list[str]) -> dict[str, tuple[str, Parser]]:
        """What is read: role -> (column, how)."""
        known, ours = self.known, self.known.name == "ours"
        count = COUNT_OR_BLANK if ours else COUNT  # a mixed log has requests without tokens
        found: dict[str, tuple[str, Parser]] = {}
        if known.time:
            found["time"] = (known.time, date_time() if self.is_date else TIME)
        for role, name in (("prompt", known.prompt), ("output", known.output)):
            if not ours or column_key(name) in keys:
                found[role] = (name, count)
        if ours and "tenant" in keys:
            found["tenant"] = ("tenant", TEXT)
        return found

    def add(self, columns: dict[str, NDArray[Any]], count: int) -> None:
        """Keep the rows of a chunk that did not fail and lie in the window."""
        times = columns.get("time")
        if times is not None:
            times = times * self.unit_s if self.unit_s != 1.0 else times
            if self.is_date and not self.rows and count:
                self.origin_s = float(times[0])
            columns["time"] = times = times - self.origin_s if self.is_date else times
        self.rows += count
        keep = np.ones(count, dtype=bool)
        if times is not None:
            keep &= (times >= self.low) & (times < self.high)
        if self.known.failed_without_output:
            bad = keep & (columns["output"] == 0)
            keep &= ~bad
        else:
            bad = np.zeros(count, dtype=bool)
        if self.limit is not None and self.kept + int(keep.sum()) > self.limit:
            last = int(np.flatnonzero(keep)[self.limit - self.kept - 1])
            keep[last + 1:] = False
            bad[last + 1:] = False
        self.failed += int(bad.sum())
        self.kept += int(keep.sum())
        self.chunks.append({role: column[keep] for role, column in columns.items()})

    # CSV

    def read_csv(self, stream: IO[str], header_line: int) -> None:
        rows = csv.reader(stream)
        try:
            header: list[str] = []
            while rows.line_num < header_line:
                header = next(rows)
            keys = [column_key(cell) for cell in header]
            parsers = self.parsers(keys)
            if self.twice(keys, parsers, header_line, header):
                return
            at = {role: keys.index(column_key(name)) for role, (name, _) in parsers.items()}
            self.unused = [cell.strip() for index, cell in enumerate(header)
                           if index not in at.values() and cell.strip()]
            for numbers, chunk in self.batches(rows):
                self.csv_chunk(chunk, numbers, parsers, at)
                if self.done():
                    break
        except csv.Error as error:
            self.problems.append(Problem(file=self.path, line=rows.line_num, message=f"must be CSV: {error}"))
            return
        if len(self.problems) >= MAX_SHOWN:
            last = self.problems[-1]
            self.problems.append(Problem(file=self.path, line=last.line, column=last.column,
                                         message="further rows were not read"))

    def twice(self, keys: list[str], parsers: dict[str, tuple[str, Parser]], line: int, header: list[str]) -> bool:
        for name, _ in parsers.values():
            if keys.count(column_key(name)) > 1:
                self.problems.append(Problem(file=self.path, line=line, column=1, field="header",
                                             source=",".join(header), message=f"must have one column {name}, got "
                                             f"{keys.count(column_key(name))}"))
        return bool(self.problems)

    def batches(self, rows: Any) -> Iterator[tuple[list[int], list[list[str]]]]:
        size = _CHUNK if self.limit is None else min(_CHUNK, max(256, self.limit))
        while True:
            numbers: list[int] = []
            chunk: list[list[str]] = []
            ended = True
            for row in islice(rows, size):
                ended = False
                if row and (row[0] or any(cell.strip() for cell in row)):
                    chunk.append(row)
                    numbers.append(rows.line_num)
            if ended:
                return
            yield numbers, chunk

    def csv_chunk(self, chunk: list[list[str]], numbers: list[int], parsers: dict[str, tuple[str, Parser]],
                  at: dict[str, int]) -> None:
        try:
            columns = {role: parser.many([row[at[role]] for row in chunk]) for role, (_, parser) in parsers.items()
                       if role != "tenant"}
            if "tenant" in at:
                index, place = self.tenants, at["tenant"]
                names = [row[place].strip() for row in chunk]
                columns["tenant"] = np.array([index.setdefault(name, len(index)) for name in names], dtype=np.int64)
        except (BadCell, IndexError):
            self.name_bad_cells(chunk, numbers, parsers, at)
            return
        self.add(columns, len(chunk))

    def name_bad_cells(self, chunk: list[list[str]], numbers: list[int], parsers: dict[str, tuple[str, Parser]],
                       at: dict[str, int]) -> None:
        for line, row in zip(numbers, chunk, strict=True):
            for index, (name, parser) in sorted((at[role], found) for role, found in parsers.items()):
                cell = row[index].strip() if index < len(row) else ""
                try:
                    parser.many([cell])
                    if index < len(row):
                        continue
                except BadCell:
                    pass
                column = sum(len(other) + 1 for other in row[:index]) + 1 if index < len(row) else \
                    len(",".join(row)) + 1
                self.problems.append(Problem(
                    file=self.path, line=line, column=column, field=f"column {name}", source=",".join(row),
                    message=f"must be {parser.rule}, got {repr(cell[:40]) if cell else 'nothing'}"))
                if len(self.problems) >= MAX_SHOWN:
                    return

    # JSON lines

    def read_json(self, stream: IO[str]) -> None:
        names = (self.known.time, self.known.prompt, self.known.output)
        size = _CHUNK if self.limit is None else min(_CHUNK, max(256, self.limit))
        lines = enumerate(stream, start=1)
        while not self.done():
            columns: tuple[list[float], ...] = ([], [], [])
            ended = True
            for number, line in islice(lines, size):
                ended = False
                if line.strip():
                    self.json_line(number, line.rstrip("\r\n"), names, columns)
                if len(self.problems) >= MAX_SHOWN:
                    self.problems.append(Problem(file=self.path, line=number, column=10**6,
                                                 message="further rows were not read"))
                    return
            if ended:
                return
            if not self.problems:
                time, prompt, output = columns
                self.add({"time": np.array(time, dtype=float), "prompt": np.array(prompt, dtype=np.int64),
                          "output": np.array(output, dtype=np.int64)}, len(time))

    def json_line(self, number: int, line: str, names: tuple[str, ...], columns: tuple[list[float], ...]) -> None:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            self.problems.append(Problem(file=self.path, line=number, column=error.colno, source=line,
                                         message=f"must be one JSON object per line: {error.msg}"))
            return
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            self.problems.append(Problem(file=self.path, line=number, column=1, source=line,
                                         message="must be one JSON object per line"))
            return
        by_key = {column_key(key): value for key, value in row.items()}
        for name, column in zip(names, columns, strict=True):
            value = by_key.get(column_key(name))
            whole = name != self.known.time
            amount = value if isinstance(value, int | float) and not isinstance(value, bool) else -1
            good = 0 <= amount < 2**53 and (not whole or amount == int(amount))
            if not good:
                self.problems.append(Problem(
                    file=self.path, line=number, column=1, field=f"column {name}", source=line,
                    message=f"must be {COUNT.rule if whole else TIME.rule}, got "
                    f"{'nothing' if value is None else repr(value)[:40]}"))
            column.append(amount)


# --- after reading ----------------------------------------------------------------------------------------------------


def _finish(reader: _Reader, rate_hz: float | None, from_s: float | None, to_s: float | None,
            scale_rate: float) -> RequestLog:
    """Columns in order of arrival, with the window and the scale applied, and the notes."""
    known, notes = reader.known, []
    if not reader.rows:
        raise InputError(Problem(file=reader.path, line=1, message="must have at least one row below the header, "
                                 "got none"))
    columns = {role: np.concatenate([chunk[role] for chunk in reader.chunks]) for role in reader.chunks[0]}
    if rate_hz is not None:
        columns["time"] = np.arange(len(columns["prompt"])) / rate_hz
        notes.append(f"no times in the log: evenly spaced at {rate_hz:g} per second")
        inside = (columns["time"] >= reader.low) & (columns["time"] < reader.high)
        columns = {role: column[inside] for role, column in columns.items()}
    if reader.failed:
        notes.append(f"{reader.failed:,} failed requests ({known.output} 0) of {reader.failed + reader.kept:,} "
                     "are left out")
    time = columns.pop("time")
    if not len(time):
        window = "" if from_s is None and to_s is None else f" in [{reader.low:g}, {reader.high:g}) s"
        raise InputError(Problem(file=reader.path, message=f"must have at least one request that did not fail{window}, "
                                 f"got none in {reader.rows:,} rows"))
    backwards = int((np.diff(time) < 0.0).sum())
    if backwards:
        notes.append(f"{backwards:,} of {len(time):,} times run backwards: sorted")
        order = np.argsort(time, kind="stable")
        time, columns = time[order], {role: column[order] for role, column in columns.items()}
    if known.name == "mooncake":
        time, said = _spread(time)
        notes += said
    if from_s is not None:
        time = time - from_s
    elif reader.is_date:
        time = time - time[0]
    if reader.unused:
        notes.append(f"columns not used: {', '.join(reader.unused[:20])}")
    if reader.limit is not None and reader.kept >= reader.limit:
        notes.append(f"only the first {reader.limit:,} requests are read")
    return RequestLog(format=known.name, arrival_s=time / scale_rate, prompt_tokens=columns.get("prompt"),
                      output_tokens=columns.get("output"), tenant=columns.get("tenant"),
                      tenants=tuple(reader.tenants), failed=reader.failed, notes=tuple(notes))


def _spread(time_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    """Requests stamped on a coarse grid, spread evenly over their tick; nothing changes where few gaps are zero."""
    ticks, counts = np.unique(np.rint(time_s * 1e3).astype(np.int64), return_counts=True)
    if len(ticks) < 2 or 2 * (len(time_s) - len(ticks)) <= len(time_s) - 1:
        return time_s, []
    grid_ms = int(np.gcd.reduce(np.diff(ticks)))
    place = np.arange(len(time_s)) - np.repeat(np.cumsum(counts) - counts, counts)
    spread = (np.repeat(ticks, counts) + grid_ms * place / np.repeat(counts, counts)) * 1e-3
    zero = 1.0 - (len(ticks) - 1) / (len(time_s) - 1)
    return spread, [f"times are on a grid of {grid_ms * 1e-3:g} s ({zero:.0%} of the gaps are 0): the requests of a "
                    "tick are spread evenly over it"]
