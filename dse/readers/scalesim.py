"""SCALE-Sim topology files: convolutions or matrix products, one row each.

    Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,   [Sparsity N:M,]
    Layer, M, N, K,                                                                                      [Sparsity N:M,]

Which of the two is decided by the header. SCALE-Sim's own reader cuts the last comma-separated field, so its files end
every row with a comma; both forms are read here, and so are blanks and rows of commas alone. The output is SCALE-Sim's,
ceil((H - R + s) / s): where a convolution's usual floor differs, the layer is named in a note. There is no padding,
dilation or group column; a name with `DP` marks a depthwise layer, which SCALE-Sim repeats per channel.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from dse.errors import InputError, Problem
from dse.readers.record import NetworkFile
from hwmodels.network import Layer, Network

__all__ = ["is_topology", "read_topology"]

_CONV = ("IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width", "Channels", "Num Filter", "Strides")
_GEMM = ("M", "N", "K")
_SPARSITY = re.compile(r"(\d+):(\d+)")
_MOST = 20  # problems shown


@final
@dataclass(frozen=True, slots=True)
class _Row:
    """A line cut at its commas; `starts` are the columns of the cells, from 1."""

    line: int
    text: str
    cells: tuple[str, ...]
    starts: tuple[int, ...]


def _rows(path: Path) -> list[_Row]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(Problem(file=str(path), message=f"must be a readable file ({error.strerror})")) from error
    rows = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(Problem(file=str(path), line=number, column=error.start + 1,
                                     message="must be UTF-8 text")) from error
        if "\0" in text:
            raise InputError(Problem(file=str(path), line=number, message="must be text, got binary data"))
        cells, starts, at = [], [], 0
        for cell in text.split(","):
            cells.append(cell.strip())
            starts.append(at + 1 + len(cell) - len(cell.lstrip()))
            at += len(cell) + 1
        if any(cells):
            rows.append(_Row(number, text, tuple(cells), tuple(starts)))
    return rows


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _columns(header: _Row, path: Path) -> tuple[str, ...]:
    names = [_plain(cell) for cell in header.cells[1:] if cell]
    if names[:3] == ["m", "n", "k"]:
        return _GEMM
    known = [_plain(name) for name in _CONV]
    words = ("ifmap", "filter", "channel", "stride")
    if len(names) >= len(known) and sum(any(word in name for word in words) for name in names[:7]) >= 5:
        return _CONV
    expected = f"'Layer name, {', '.join(_CONV)},' or 'Layer, {', '.join(_GEMM)},'"
    raise InputError(Problem(file=str(path), line=header.line, column=1, field="header", source=header.text,
                             message=f"must be {expected}, got '{header.text.strip()}'"))


def is_topology(path: Path) -> bool:
    """Whether the first line of a file is the header of a topology."""
    try:
        rows = _rows(path)
        return bool(rows) and bool(_columns(rows[0], path))
    except InputError:
        return False


class _Reader:
    def __init__(self, path: Path, columns: tuple[str, ...], header: _Row) -> None:
        self.path, self.columns = path, columns
        self.problems: list[Problem] = []
        self.inexact: list[str] = []
        self.reducing: list[str] = []
        self.extra: set[str] = set()
        self.names = dict(enumerate(header.cells))

    def problem(self, row: _Row, index: int, rule: str, value: object, *, name: str = "") -> None:
        column = row.starts[index] if index < len(row.starts) else len(row.text.rstrip()) + 1
        self.problems.append(Problem(
            file=str(self.path), line=row.line, column=column, source=row.text,
            field=f"column {name or self.columns[index - 1]}", message=f"must be {rule}, got {value}"))

    def numbers(self, row: _Row) -> list[int] | None:
        values, before = [], len(self.problems)
        for index in range(1, len(self.columns) + 1):
            cell = row.cells[index] if index < len(row.cells) else ""
            if not re.fullmatch(r"\d{1,15}", cell) or int(cell) < 1:
                self.problem(row, index, "an integer >= 1", f"'{cell}'" if cell else "nothing")
            else:
                values.append(int(cell))
        return values if len(self.problems) == before else None

    def density(self, row: _Row) -> float:
        density = 1.0
        for index in range(len(self.columns) + 1, len(row.cells)):
            cell, name = row.cells[index], self.names.get(index, "")
            match = _SPARSITY.fullmatch(cell)
            if match and 1 <= int(match[1]) <= int(match[2]):
                density = int(match[1]) / int(match[2])
            elif cell and (match or _plain(name) == "sparsity"):
                self.problem(row, index, "N:M with 1 <= N <= M", f"'{cell}'", name="Sparsity")
            elif cell:
                self.extra.add(name or f"column {index + 1}")
        return density

    def conv(self, row: _Row, values: list[int], common: dict[str, object]) -> Layer | None:
        height, width, fy, fx, channels, filters, stride = values
        for size, kernel, index in ((height, fy, 3), (width, fx, 4)):
            if kernel > size:
                self.problem(row, index, f"at most the {self.columns[index - 3]} {size}", kernel)
                return None
        oy, ox = (-(-(size - kernel + stride) // stride) for size, kernel in ((height, fy), (width, fx)))
        if (height - fy) % stride or (width - fx) % stride:
            self.inexact.append(row.cells[0])
        depthwise = "DP" in row.cells[0] and channels > 1
        if filters == 1 and channels > 1 and fy * fx > 1 and not depthwise:
            self.reducing.append(row.cells[0])
        return Layer(op="depthwise" if depthwise else "conv", groups=channels if depthwise else 1, k=filters,
                     c=1 if depthwise else channels, oy=oy, ox=ox, fy=fy, fx=fx, stride_y=stride, stride_x=stride,
                     pad_y=max(0, (oy - 1) * stride + fy - height), pad_x=max(0, (ox - 1) * stride + fx - width),
                     **common)  # type: ignore[arg-type]

    def gemm(self, row: _Row, values: list[int], common: dict[str, object]) -> Layer | None:
        m, n, k = values
        return Layer(op="gemm", oy=m, k=n, c=k, **common)  # type: ignore[arg-type]

    def layer(self, row: _Row) -> Layer | None:
        values, density = self.numbers(row), self.density(row)
        if values is None:
            return None
        # nothing in a topology says which row feeds which: every row reads its input from DRAM
        common: dict[str, object] = {"name": row.cells[0] or f"row{row.line}", "inputs": (-1,),
                                     "weight_density": density, "sparsity": "n_m" if density < 1.0 else "dense"}
        build: Callable[[_Row, list[int], dict[str, object]], Layer | None]
        build = self.conv if self.columns is _CONV else self.gemm
        return build(row, values, common)

    def notes(self) -> list[str]:
        found = []
        if self.inexact:
            found.append("output by SCALE-Sim's ceil((H - R + s)/s), one more than the usual floor, in: "
                         + ", ".join(self.inexact))
        if self.reducing:
            found.append("one filter over all channels, as written (depthwise in many published files: same MACs, "
                         "another mapping), in: " + ", ".join(self.reducing))
        if self.extra:
            found.append("columns not used: " + ", ".join(sorted(self.extra)))
        return found


def read_topology(path: Path) -> NetworkFile:
    """The layers of a topology file, each reading the one before.

    Raises
    ------
    InputError : an unknown header, and every bad cell with its line and column.
    """
    rows = _rows(path)
    if not rows:
        raise InputError(Problem(file=str(path), message="must be a topology, got an empty file"))
    reader = _Reader(path, _columns(rows[0], path), rows[0])
    layers = [reader.layer(row) for row in rows[1:]]
    if reader.problems:
        shown = reader.problems[:_MOST]
        if len(reader.problems) > _MOST:
            last = reader.problems[_MOST]
            shown.append(Problem(file=str(path), line=last.line,
                                 message=f"{len(reader.problems) - _MOST} more problems"))
        raise InputError(*shown)
    found = tuple(layer for layer in layers if layer is not None)
    if not found:
        raise InputError(Problem(file=str(path), line=rows[0].line,
                                 message="must hold at least one layer, got a header alone"))
    notes = tuple(reader.notes())
    return NetworkFile(kind="scalesim", notes=notes,
                       network=Network(name=path.stem, layers=found, source=path.name, notes=notes))
