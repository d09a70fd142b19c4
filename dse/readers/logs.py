"""Which request log is it? Recognised by the first line, never by the file name.

A byte-order mark, case and blanks do not count; further columns do no harm; gzip is unpacked:

    ours            arrival_s[,tenant][,prompt_tokens,output_tokens][,...]                     seconds
    azure_llm       TIMESTAMP,ContextTokens,GeneratedTokens                                    date and time
    azure_lmm_2025  TIMESTAMP,NumImages,ContextTokens,GeneratedTokens                          date and time
    vidur           arrived_at,num_prefill_tokens,num_decode_tokens                            seconds
    vidur_lengths   num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio             none: needs a rate
    mooncake        {"timestamp": ..., "input_length": ..., "output_length": ...} per line     milliseconds
    burstgpt_1_2    Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type       seconds
    burstgpt_3      Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,... seconds
    onnxim          time, prompt_length, target_length, cached_length                          not documented: ask

References: Azure Public Dataset (P. Patel et al., Splitwise, ISCA 2024); A. Agrawal et al., Vidur, MLSys 2024;
R. Qin et al., Mooncake, FAST 2025; Y. Wang et al., BurstGPT, KDD 2025; H. Ham et al., ONNXim, IEEE CAL 2024.
"""

import csv
import gzip
import io
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, final

from dse.errors import InputError, Problem

__all__ = ["FORMATS", "UNREADABLE", "LogFormat", "column_key", "detect", "first_line", "is_gzip", "match",
           "open_bytes", "open_log", "unknown_header"]

UNREADABLE = (OSError, ValueError, EOFError, zlib.error)
"""What opening and reading a log can raise: no file, no text, a cut or broken gzip stream."""
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


def _azure(name: str, header: str) -> LogFormat:
    return LogFormat(name=name, header=header, needs=tuple(header.split(",")), time="TIMESTAMP", unit_s=0.0,
                     prompt="ContextTokens", output="GeneratedTokens")


def _burst(name: str, header: str, *further: str) -> LogFormat:
    return LogFormat(name=name, header=header, needs=("Timestamp", *further, "Request tokens", "Response tokens"),
                     time="Timestamp", prompt="Request tokens", output="Response tokens", failed_without_output=True)


def _vidur(name: str, header: str, time: str) -> LogFormat:
    lengths = ("num_prefill_tokens", "num_decode_tokens")
    return LogFormat(name=name, header=header, needs=(time, *lengths) if time else lengths, time=time,
                     prompt=lengths[0], output=lengths[1])


FORMATS: tuple[LogFormat, ...] = (
    LogFormat(name="ours", header="arrival_s,tenant,network,deadline_s,prompt_tokens,output_tokens,adapter",
              needs=("arrival_s",), time="arrival_s", prompt="prompt_tokens", output="output_tokens"),
    _azure("azure_llm", "TIMESTAMP,ContextTokens,GeneratedTokens"),
    _azure("azure_lmm_2025", "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens"),
    _vidur("vidur", "arrived_at,num_prefill_tokens,num_decode_tokens", "arrived_at"),
    _vidur("vidur_lengths", "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio", ""),
    _burst("burstgpt_1_2", "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"),
    _burst("burstgpt_3", "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type",
           "Session ID"),
    LogFormat(name="onnxim", header="time,prompt_length,target_length,cached_length", time="time", unit_s=None,
              needs=("time", "prompt_length", "target_length"), prompt="prompt_length", output="target_length"),
    LogFormat(name="mooncake", header='{"timestamp":MS,"input_length":N,"output_length":N,"hash_ids":[...]} per line',
              needs=("timestamp", "input_length", "output_length"), time="timestamp", unit_s=1e-3,
              prompt="input_length", output="output_length", lines_of_json=True),
)


def column_key(name: str) -> str:
    """A column's name as it is compared."""
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
        except (ValueError, RecursionError):  # a broken line of a known kind is still of that kind
            return [column_key(name) for name in re.findall(r'"(\w+)"\s*:', line)], True
        return [column_key(key) for key in row] if isinstance(row, dict) else [], True
    return [column_key(cell) for cell in _cells(line)], False


def match(line: str) -> LogFormat | None:
    """The format that a first line belongs to, None for none."""
    keys, is_json = _keys_of(line)
    fits = [known for known in FORMATS if known.lines_of_json == is_json
            and {column_key(name) for name in known.needs} <= set(keys)]
    # the most columns decide: Azure's multimodal log has those of the other one, too
    return max(fits, key=lambda known: len(known.needs), default=None)


def first_line(path: Path) -> tuple[int, str]:
    """Number and text of the first line that is not blank; (0, '') for an empty file."""
    with open_log(path) as file:
        number = 0
        while line := file.readline(_LINE_MAX):
            number += 1
            if line.strip("\ufeff \t\r\n"):
                return number, line.rstrip("\r\n")
    return 0, ""


def is_gzip(path: Path) -> bool:
    """Whether a file is gzip: by its first bytes, as logs are known by their first line."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a log, unpacked where it is gzip."""
    return gzip.open(path, "rb") if is_gzip(path) else path.open("rb")  # type: ignore[return-value]


def open_log(path: Path) -> IO[str]:
    """A log as text, unpacked where it is gzip; line ends as they are."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline="")


def detect(path: str | Path) -> LogFormat | None:
    """The format of a file, None when its first line is that of no request log (or it cannot be read)."""
    try:
        return match(first_line(Path(path))[1])
    except UNREADABLE:
        return None


def unknown_header(path: str, number: int, line: str) -> InputError:
    """An unknown first line: the known ones, with the nearest marked, and the column that it would take."""
    from difflib import SequenceMatcher, get_close_matches

    keys, is_json = _keys_of(line[:4096])
    shown = line.removeprefix("\ufeff").strip()

    def nearness(known: LogFormat) -> float:
        """Mean likeness of the columns needed to the nearest ones of the file."""
        alike = [max((SequenceMatcher(None, column_key(name), key).ratio() for key in keys), default=0.0)
                 for name in known.needs]
        return sum(alike) / len(alike)

    nearest = max((known for known in FORMATS if known.lines_of_json == is_json), key=nearness)
    missing = [name for name in nearest.needs if column_key(name) not in keys]
    close = [(name, *get_close_matches(column_key(name), keys, n=1)) for name in missing]
    rename = next((f" (rename {pair[1]!r}?)" for pair in close if len(pair) > 1), "")
    listed = "".join(f"\n    {'->' if known is nearest else '  '} {known.name:15}{known.header}" for known in FORMATS)
    got = repr(shown[:100] + ("..." if len(shown) > 100 else ""))
    return InputError(Problem(
        file=path, line=number, column=1, field="header",
        message=f"must be the first line of a request log, got {got}; nearest: {nearest.name}, which has "
        f"{'the columns' if len(missing) > 1 else 'a column'} {', '.join(missing)}{rename}; known:{listed}"))
