"""Request logs: when requests arrived, and how long their prompts and answers are.

The format is recognised by the first line, never by the file name; a byte-order mark, case and blanks do not count:

    ours            arrival_s[,tenant][,prompt_tokens,output_tokens][,...]                     seconds
    azure_llm       TIMESTAMP,ContextTokens,GeneratedTokens                                    date and time
    azure_lmm_2025  TIMESTAMP,NumImages,ContextTokens,GeneratedTokens                          date and time
    vidur           arrived_at,num_prefill_tokens,num_decode_tokens                            seconds
    vidur_lengths   num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio             none: needs a rate
    mooncake        {"timestamp": ..., "input_length": ..., "output_length": ...} per line     milliseconds
    burstgpt_1_2    Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type       seconds
    burstgpt_3      Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,... seconds
    onnxim          time, prompt_length, target_length, cached_length                          not documented: ask

Files are streamed, columns are arrays: ten million rows are a few hundred MB. Nothing is dropped silently: failed
requests (BurstGPT: no response tokens) are counted, times that run backwards are sorted, both with a note.

References: Azure Public Dataset (P. Patel et al., Splitwise, ISCA 2024); A. Agrawal et al., Vidur, MLSys 2024;
R. Qin et al., Mooncake, FAST 2025; Y. Wang et al., BurstGPT, KDD 2025; H. Ham et al., ONNXim, IEEE CAL 2024.
"""

import csv
import json
import re
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

__all__ = ["FORMATS", "LogFormat", "RequestLog", "detect", "read_requests"]

MAX_SHOWN = 20
"""Broken cells named before giving up: a log with the wrong unit is wrong in every row."""
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_CHUNK = 65_536
_LINE_MAX = 1 << 20


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LogFormat:
    """A known format: the columns that make it out, and what they mean.

    Parameters
    ----------
    header : as its authors write it.
    needs : columns by which it is recognised.
    time : column of the arrivals, empty where there is none; `unit_s`: its unit [s], 0 when it is a date, None when
        nobody documents it.
    prompt, output : columns of the lengths [tokens].
    failed_without_output : an output of 0 tokens means that the request failed.
    """

    name: str
    header: str
    needs: tuple[str, ...]
    time: str
    unit_s: float | None = 1.0
    prompt: str = ""
    output: str = ""
    failed_without_output: bool = False
    lines_of_json: bool = False


_AZURE = {"time": "TIMESTAMP", "unit_s": 0.0, "prompt": "ContextTokens", "output": "GeneratedTokens"}
_BURST = {"time": "Timestamp", "prompt": "Request tokens", "output": "Response tokens", "failed_without_output": True}
_VIDUR = {"prompt": "num_prefill_tokens", "output": "num_decode_tokens"}

FORMATS: tuple[LogFormat, ...] = (
    LogFormat(name="ours", header="arrival_s,tenant,network,deadline_s,prompt_tokens,output_tokens,adapter",
              needs=("arrival_s",), time="arrival_s", prompt="prompt_tokens", output="output_tokens"),
    LogFormat(name="azure_llm", header="TIMESTAMP,ContextTokens,GeneratedTokens",
              needs=("TIMESTAMP", "ContextTokens", "GeneratedTokens"), **_AZURE),  # type: ignore[arg-type]
    LogFormat(name="azure_lmm_2025", header="TIMESTAMP,NumImages,ContextTokens,GeneratedTokens",
              needs=("TIMESTAMP", "NumImages", "ContextTokens", "GeneratedTokens"), **_AZURE),  # type: ignore[arg-type]
    LogFormat(name="vidur", header="arrived_at,num_prefill_tokens,num_decode_tokens", time="arrived_at",
              needs=("arrived_at", "num_prefill_tokens", "num_decode_tokens"), **_VIDUR),
    LogFormat(name="vidur_lengths", header="num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio", time="",
              needs=("num_prefill_tokens", "num_decode_tokens"), **_VIDUR),
    LogFormat(name="burstgpt_1_2", header="Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type",
              needs=("Timestamp", "Request tokens", "Response tokens"), **_BURST),  # type: ignore[arg-type]
    LogFormat(name="burstgpt_3", header="Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,"
              "Total tokens,Log Type",
              needs=("Timestamp", "Session ID", "Request tokens", "Response tokens"),
              **_BURST),  # type: ignore[arg-type]
    LogFormat(name="onnxim", header="time,prompt_length,target_length,cached_length", time="time", unit_s=None,
              needs=("time", "prompt_length", "target_length"), prompt="prompt_length", output="target_length"),
    LogFormat(name="mooncake", header='{"timestamp":MS,"input_length":N,"output_length":N,"hash_ids":[...]} per line',
              needs=("timestamp", "input_length", "output_length"), time="timestamp", unit_s=1e-3,
              prompt="input_length", output="output_length", lines_of_json=True),
)


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

    def take(self, rows: Any) -> "RequestLog":
        """The same log with the given rows only."""
        def pick(column: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
            return None if column is None else column[rows]

        return replace(self, arrival_s=self.arrival_s[rows], prompt_tokens=pick(self.prompt_tokens),
                       output_tokens=pick(self.output_tokens), tenant=pick(self.tenant))


# --- which format -----------------------------------------------------------------------------------------------------


def _key(name: str) -> str:
    return re.sub(r"\s+", "", name.removeprefix("\ufeff")).casefold()


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _keys_of(line: str) -> tuple[list[str], bool]:
    """Column names of a first line, and whether it is a line of JSON."""
    if line.lstrip().startswith("{"):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return [], True
        return [_key(key) for key in row] if isinstance(row, dict) else [], True
    return [_key(cell) for cell in _cells(line)], False


def _match(line: str) -> LogFormat | None:
    keys, is_json = _keys_of(line)
    fits = [known for known in FORMATS if known.lines_of_json == is_json
            and {_key(name) for name in known.needs} <= set(keys)]
    # the most columns decide: Azure's multimodal log has those of the other one, too
    return max(fits, key=lambda known: len(known.needs), default=None)


def _first_line(path: Path) -> tuple[int, str]:
    """Number and text of the first line that is not blank; (0, '') for an empty file."""
    with _open(path) as file:
        number = 0
        while line := file.readline(_LINE_MAX):
            number += 1
            if line.strip("\ufeff \t\r\n"):
                return number, line.rstrip("\r\n")
    return 0, ""


def _open(path: Path) -> IO[str]:
    return path.open(encoding="utf-8-sig", newline="")


def detect(path: str | Path) -> LogFormat | None:
    """The format of a file, None when its first line is that of no request log (or it cannot be read)."""
    try:
        return _match(_first_line(Path(path))[1])
    except (OSError, ValueError):
        return None


def _unknown(path: str, number: int, line: str) -> InputError:
    """An unknown first line: the known ones, with the nearest marked, and the column that it would take."""
    from difflib import SequenceMatcher, get_close_matches

    keys, is_json = _keys_of(line)
    shown = line.removeprefix("\ufeff").strip()

    def nearness(known: LogFormat) -> tuple[int, float]:
        wanted = [_key(name) for name in known.needs]
        return sum(name in keys for name in wanted), SequenceMatcher(
            None, ",".join(keys) or _key(line)[:300], _key(known.header)).ratio()

    nearest = max((known for known in FORMATS if known.lines_of_json == is_json), key=nearness)
    missing = [name for name in nearest.needs if _key(name) not in keys]
    close = [(name, *get_close_matches(_key(name), keys, n=1)) for name in missing]
    rename = next((f" (rename {pair[1]!r}?)" for pair in close if len(pair) > 1), "")
    listed = "".join(f"\n    {'->' if known is nearest else '  '} {known.name:15}{known.header}" for known in FORMATS)
    got = repr(shown[:100] + ("..." if len(shown) > 100 else ""))
    return InputError(Problem(
        file=path, line=number, column=1, field="header",
        message=f"must be the first line of a request log, got {got}; nearest: {nearest.name}, which has "
        f"{'the columns' if len(missing) > 1 else 'a column'} {', '.join(missing)}{rename}; known:{listed}"))


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
        number, line = _first_line(file)
        if not line:
            raise InputError(Problem(file=shown, line=1, message="must be a request log, got an empty file"))
        if "\0" in line:
            raise InputError(Problem(file=shown, message="must be CSV text, got a binary file"))
        known = _match(line)
        if known is None:
            raise _unknown(shown, number, line)
        unit_s = _unit(shown, known, rate_hz, time_unit)
        reader = _Reader(shown, known, unit_s, from_s, to_s, limit)
        with _open(file) as stream:
            if known.lines_of_json:
                reader.read_json(stream)
            else:
                reader.read_csv(stream, number)
    except UnicodeDecodeError:
        raise InputError(_not_utf8(file)) from None
    except FileNotFoundError:
        raise InputError(Problem(file=shown, message="must be an existing file, got none",
                                 hint=near_file(path))) from None
    except (OSError, ValueError) as error:
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
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
                return Problem(file=str(path), line=1, message="must be CSV text in UTF-8, got UTF-16")
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                column = len(raw[: error.start].decode("utf-8", "replace")) + 1
                return Problem(file=str(path), line=number, column=column,
                               message=f"must be CSV text in UTF-8, got the byte 0x{raw[error.start]:02x}")
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
            if not ours or _key(name) in keys:
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
            keys = [_key(cell) for cell in header]
            parsers = self.parsers(keys)
            if self.twice(keys, parsers, header_line, header):
                return
            at = {role: keys.index(_key(name)) for role, (name, _) in parsers.items()}
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
            if keys.count(_key(name)) > 1:
                self.problems.append(Problem(file=self.path, line=line, column=1, field="header",
                                             source=",".join(header), message=f"must have one column {name}, got "
                                             f"{keys.count(_key(name))}"))
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
                    self.json_line(number, line, names, columns)
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
        by_key = {_key(key): value for key, value in row.items()}
        for name, column in zip(names, columns, strict=True):
            value = by_key.get(_key(name))
            whole = name != self.known.time
            good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
            if not good or (whole and value != int(value)):
                self.problems.append(Problem(
                    file=self.path, line=number, column=1, field=f"column {name}", source=line,
                    message=f"must be {COUNT.rule if whole else TIME.rule}, got "
                    f"{'nothing' if value is None else repr(value)[:40]}"))
            column.append(value if good else 0)  # type: ignore[arg-type]


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
    """Requests stamped on a coarse grid, spread evenly over their tick; nothing changes where most gaps are not zero."""
    ticks, counts = np.unique(np.rint(time_s * 1e3).astype(np.int64), return_counts=True)
    if len(ticks) < 2 or 2 * (len(time_s) - len(ticks)) <= len(time_s) - 1:
        return time_s, []
    grid_ms = int(np.gcd.reduce(np.diff(ticks)))
    place = np.arange(len(time_s)) - np.repeat(np.cumsum(counts) - counts, counts)
    spread = (np.repeat(ticks, counts) + grid_ms * place / np.repeat(counts, counts)) * 1e-3
    zero = 1.0 - (len(ticks) - 1) / (len(time_s) - 1)
    return spread, [f"times are on a grid of {grid_ms * 1e-3:g} s ({zero:.0%} of the gaps are 0): the requests of a "
                    "tick are spread evenly over it"]
