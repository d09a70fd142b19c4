"""Reading measured profiles and request lists: CSV files in, records out, every broken rule with its file and line.

A profile is one CSV `family,network,sample,layer,latency_s,sparsity_frac`, with a column `tiles` where policies may
stop inside layers (equal tiles of the layer, the same for all samples; 1 without it) and a column `added_latency_s` for
policies that batch (what each further request of a batch adds; without it, as much as the first), or a folder of traces
in the format of the Dysta artefact (one CSV per network, plain or gzip, columns read by name):

* CNNs (`sim_lat`, `overall-sparsity` = share of zeros): family = name up to the first `_`;
* attention (`50%-skip` = load balance, `overall-sparsity` = **density**, despite its name): latency by Sanger's formula
  (L. Lu et al., Sanger, MICRO 2021, doi:10.1145/3466752.3480125) at sequence length 512; each network its own family.

A family is a group of networks whose average is the estimate that a scheduler without knowledge of sparsity has: layer
by layer, over all samples of the networks that have the layer.
"""

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dse.errors import InputError, Problem, did_you_mean
from hwmodels.tables import DRAM_FIXED, CostTable, Machine, Tiles
from hwmodels.workload import RequestTrace

__all__ = ["Profile", "Requests", "profile_machine", "profile_table", "read_profile", "read_requests"]

Floats = NDArray[np.float64]

ADDED_COLUMN = "added_latency_s"
PROFILE_COLUMNS = ("family", "network", "sample", "layer", "latency_s", "sparsity_frac")
REQUEST_COLUMNS = ("request", "arrival_s", "network", "sample", "priority", "deadline_s")
_CNN_COLUMNS = ("sim_lat", "overall-sparsity", "batch-indx", "layer-indx")
_ATTENTION_COLUMNS = ("50%-skip", "overall-sparsity", "batch-indx", "layer-indx")
_SEQUENCE_LENGTH = 512
_SHOWN = 50


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Measured layers of one network.

    Parameters
    ----------
    samples : numbers of the samples, in the order of the file.
    latency_s, sparsity_frac : shape (samples, layers).
    tiles : equal parts of every layer, shape (layers,).
    added_latency_s : of each further request of a batch, the same shape; None = `latency_s`.
    """

    network: str
    family: str
    samples: tuple[int, ...]
    latency_s: Floats
    sparsity_frac: Floats
    tiles: NDArray[np.int64]
    added_latency_s: Floats | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """A request list: names as given, and the trace."""

    names: tuple[str, ...]
    trace: RequestTrace


class _Row(NamedTuple):
    line: int
    cells: dict[str, str]


class _Problems:
    """Broken rules of one file, collected; the first ones are kept."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Problem] = []
        self.count = 0

    def add(self, line: int, field: str, rule: str, value: object = None, hint: str = "") -> None:
        self.count += 1
        if len(self.found) < _SHOWN:
            got = "" if value is None else f", got {value!r}"
            message = f"must be {rule}{got}"
            self.found.append(Problem(file=self.file, line=line, field=field, message=message, hint=hint))

    def listed(self) -> list[Problem]:
        """What was found, with a last entry for what is not shown."""
        more = self.count - len(self.found)
        rest = [Problem(file=self.file, line=self.found[-1].line, message=f"and {more} more problems")] if more else []
        return self.found + rest

    def finish(self) -> None:
        if self.found:
            raise InputError(*self.listed())


def _text(path: Path) -> str:
    """Content of a plain or gzip file; raises `InputError` if it cannot be read."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(Problem(file=str(path), message="must be an existing file")) from None
    except IsADirectoryError:
        raise InputError(Problem(file=str(path), message="must be a file, got a folder")) from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(Problem(file=str(path), message=f"must be a readable file: {error}")) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"must be UTF-8 text: {error.reason}, {data[error.start]:#04x}"
        raise InputError(Problem(file=str(path), line=line, message=message)) from None


def _rows(path: Path, columns: tuple[str, ...], problems: _Problems, text: str | None = None) -> Iterator[_Row]:
    """Rows of a CSV with at least these columns; a row of the wrong length is a problem and left out."""
    reader = csv.reader(io.StringIO(_text(path) if text is None else text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            problems.add(1, "header", f"the columns {', '.join(columns)}", "an empty line or file")
            return
        missing = [column for column in columns if column not in header]
        if missing:
            given = ",".join(header)
            hint = next((hint for column in missing if (hint := did_you_mean(column, header))), "")
            for separator in (";", "\t", "|"):
                if separator in given and len(header) == 1:
                    hint = f"cells are separated by commas here, not by {separator!r}"
            problems.add(1, "header", f"a list of columns with {', '.join(map(repr, missing))}", given[:200], hint)
        for name in {name for name in header if header.count(name) > 1}:
            problems.add(1, "header", "free of repeated columns", name)
        if problems.found:
            return
        empty = True
        for cells in reader:
            if not cells:
                continue
            empty = False
            if len(cells) != len(header):
                problems.add(reader.line_num, "row", f"{len(header)} cells long", len(cells))
                continue
            yield _Row(reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True)))
        if empty:
            problems.add(1, "rows", "at least one row below the header")
    except csv.Error as error:
        problems.add(reader.line_num, "row", f"valid CSV: {error}")


def _number(row: _Row, column: str, problems: _Problems, rule: str, low: float, high: float, *,
            open_low: bool = False) -> float:
    """A cell as a number in the range; NaN after reporting a problem."""
    text = row.cells[column]
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan  # float() takes 1_0 for 10
    except ValueError:
        value = math.nan
    if not (low < value if open_low else low <= value) or not value <= high:
        problems.add(row.line, column, rule, text)
        return math.nan
    return value


def _index(row: _Row, column: str, problems: _Problems, least: int = 0) -> int:
    text = row.cells[column]
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < least:
        problems.add(row.line, column, f"an integer >= {least} of at most 9 digits", text)
        return -1
    return int(text)


_LARGEST = 1e18  # seconds; finite sums for ever
_FINITE = f"a number >= 0 and <= {_LARGEST:g}"
_FINITE_ABOVE = f"a number > 0 and <= {_LARGEST:g}"


class _Layers:
    """Rows of one network while they are read: (sample, layer) -> line and values, in the order of the file."""

    def __init__(self, family: str, line: int) -> None:
        self.family = family
        self.line = line
        self.cells: dict[tuple[int, int], tuple[int, float, float, int, float]] = {}

    def add(self, row: _Row, sample: int, layer: int, values: tuple[float, float, int, float], problems: _Problems,
            column: str) -> None:
        if sample < 0 or layer < 0:
            return
        if (sample, layer) in self.cells:
            problems.add(row.line, column, f"given once per sample (line {self.cells[sample, layer][0]} has it)", layer)
            return
        self.cells[sample, layer] = (row.line, *values)

    def profile(self, network: str, problems: _Problems) -> Profile | None:
        """The network's profile; None after reporting missing layers."""
        samples = tuple(dict.fromkeys(sample for sample, _ in self.cells))
        count = 1 + max(layer for _, layer in self.cells) if self.cells else 0
        complete = True
        if count * len(samples) != len(self.cells):
            for sample in samples:
                missing = list(islice((layer for layer in range(count) if (sample, layer) not in self.cells), 5))
                if missing:
                    last = max(cell[0] for (s, _), cell in self.cells.items() if s == sample)
                    layers = ", ".join(map(str, missing))
                    rule = f"complete: sample {sample} of {network} lacks layer {layers} of {count}"
                    problems.add(last, "layer", rule)
                    complete = False
        if not complete or not self.cells:
            return None
        values = np.array([self.cells[sample, layer][1:] for sample in samples for layer in range(count)])
        grid = values.reshape(len(samples), count, 4)
        for layer in np.flatnonzero((grid[:, :, 2] != grid[0, :, 2]).any(axis=0)).tolist():
            sample = samples[int(np.flatnonzero(grid[:, layer, 2] != grid[0, layer, 2])[0])]
            problems.add(self.cells[sample, layer][0], "tiles", f"the same for all samples of layer {layer}",
                         self.cells[sample, layer][3])
        for sample, alone in zip(samples, grid[:, :, 0].sum(axis=1).tolist(), strict=True):
            if alone == 0.0:
                problems.add(self.cells[sample, count - 1][0], "latency_s",
                             f"> 0 in some layer: sample {sample} of {network} takes no time at all")
        added = grid[:, :, 3].copy()
        return Profile(network=network, family=self.family, samples=samples, latency_s=grid[:, :, 0].copy(),
                       sparsity_frac=grid[:, :, 1].copy(), tiles=grid[0, :, 2].astype(np.int64),
                       added_latency_s=None if np.isnan(added).all() else added)


def read_profile(path: Path) -> tuple[Profile, ...]:
    """Profiles of a CSV file or a folder of traces, sorted by network.

    Raises
    ------
    InputError : every broken rule of every file, with its line.
    """
    return _read_folder(path) if path.is_dir() else _read_table(path)


def _read_table(path: Path) -> tuple[Profile, ...]:
    problems = _Problems(str(path))
    networks: dict[str, _Layers] = {}
    for row in _rows(path, PROFILE_COLUMNS, problems):
        network, family = row.cells["network"], row.cells["family"]
        for column in ("network", "family"):
            if not row.cells[column]:
                problems.add(row.line, column, "a name", "")
        sample, layer = _index(row, "sample", problems), _index(row, "layer", problems)
        latency = _number(row, "latency_s", problems, _FINITE, 0.0, _LARGEST)
        sparsity = _number(row, "sparsity_frac", problems, "a number in [0, 1]", 0.0, 1.0)
        layers = networks.setdefault(network, _Layers(family, row.line))
        if layers.family != family:
            rule = f"{layers.family!r} as on line {layers.line}: a network has one family"
            problems.add(row.line, "family", rule, family)
        tiles = _index(row, "tiles", problems, least=1) if "tiles" in row.cells else 1
        added = math.nan
        if ADDED_COLUMN in row.cells:
            added = _number(row, ADDED_COLUMN, problems, _FINITE, 0.0, _LARGEST)
        layers.add(row, sample, layer, (latency, sparsity, tiles, added), problems, "layer")
    profiles = [layers.profile(network, problems) for network, layers in sorted(networks.items())]
    problems.finish()
    return tuple(p for p in profiles if p is not None)


def sanger_latency_s(density: float, balance: float, sequence: int = _SEQUENCE_LENGTH) -> float:
    """Latency of one attention layer on Sanger (64x64 tiles, 16 PEs per row, 1 GHz) [s].

    Parameters
    ----------
    density : share of the attention scores kept, in (0, 1] [-].
    balance : utilisation of a row of PEs, in (0, 1] [-].
    """
    kept = density / balance / 0.25 * sequence
    linear = sequence * 768 * 768 * 2 * 3 / 1e9 / 2048
    project = sequence * 768 * 768 * 2 / 1e9 / (2048 / density * balance)
    tile = ((768 + 64) + (kept + 64)) * (sequence / 64)
    return linear + (kept / 64) * tile / 1e9 + project


def _read_folder(folder: Path) -> tuple[Profile, ...]:
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name.endswith((".csv", ".csv.gz")))
    if not files:
        raise InputError(Problem(file=str(folder), message="must be a folder with *.csv or *.csv.gz traces"))
    found: list[Problem] = []
    profiles: dict[str, Profile] = {}
    sources: dict[str, str] = {}
    for file in files:
        problems = _Problems(str(file))
        name = file.name.split(".")[0]
        if name in sources:
            problems.add(0, "name", "unique up to the first dot", f"{file.name} and {sources[name]}")
        else:
            sources[name] = file.name
            try:
                profile = _read_trace(file, name, problems)
            except InputError as error:
                found += error.problems
                continue
            if profile is not None:
                profiles[name] = profile
        found += problems.listed() if problems.found else []
    if found:
        raise InputError(*found)
    return tuple(profiles[name] for name in sorted(profiles))


def _read_trace(file: Path, name: str, problems: _Problems) -> Profile | None:
    """One file of the artefact's format."""
    text = _text(file)
    header = [cell.strip() for cell in next(csv.reader(io.StringIO(text)), [])]
    attention = "sim_lat" not in header and "50%-skip" in header
    layers = _Layers(name if attention else name.split("_", maxsplit=1)[0], 1)
    for row in _rows(file, _ATTENTION_COLUMNS if attention else _CNN_COLUMNS, problems, text):
        sample, layer = _index(row, "batch-indx", problems), _index(row, "layer-indx", problems)
        if attention:
            density = _number(row, "overall-sparsity", problems, "a density in (0, 1]", 0.0, 1.0, open_low=True)
            balance = _number(row, "50%-skip", problems, "a number in (0, 1]", 0.0, 1.0, open_low=True)
            values = (sanger_latency_s(density, balance), 1.0 - density, 1, math.nan)
        else:
            values = (_number(row, "sim_lat", problems, _FINITE, 0.0, _LARGEST),
                      _number(row, "overall-sparsity", problems, "a number in [0, 1]", 0.0, 1.0), 1, math.nan)
        layers.add(row, sample, layer, values, problems, "layer-indx")
    return layers.profile(name, problems)


def read_requests(path: Path, profiles: tuple[Profile, ...]) -> Requests:
    """A request list for these networks; tenant i of the trace is network i.

    Raises
    ------
    InputError : every broken rule with its line: unknown networks or samples, arrivals that go back, repeated ids,
        deadlines before arrivals, numbers out of range.
    """
    problems = _Problems(str(path))
    index = {profile.network: i for i, profile in enumerate(profiles)}
    position = [{sample: i for i, sample in enumerate(profile.samples)} for profile in profiles]
    names: dict[str, int] = {}
    columns: list[tuple[float, float, float, int, int]] = []
    latest = 0.0
    for row in _rows(path, REQUEST_COLUMNS, problems):
        name, network = row.cells["request"], row.cells["network"]
        if not name:
            problems.add(row.line, "request", "a name or number", "")
        if name in names:
            problems.add(row.line, "request", f"unique (line {names[name]} has it)", name)
        names.setdefault(name, row.line)
        arrival = _number(row, "arrival_s", problems, _FINITE, 0.0, _LARGEST)
        if arrival < latest:
            problems.add(row.line, "arrival_s", f"non-decreasing (the one before is {latest!r})", arrival)
        latest = arrival if arrival > latest else latest
        deadline = math.inf
        if row.cells["deadline_s"]:
            deadline = _number(row, "deadline_s", problems, "an absolute time >= 0; inf or empty for none", 0.0,
                               math.inf)
        if deadline < arrival:
            problems.add(row.line, "deadline_s", f"absolute and not before the arrival {arrival!r}", deadline)
        priority = _number(row, "priority", problems, _FINITE_ABOVE, 0.0, _LARGEST, open_low=True)
        sample = _index(row, "sample", problems)
        n = index.get(network, -1)
        if n < 0:
            problems.add(row.line, "network", "one of the profile's networks", network,
                         did_you_mean(network, list(index)) or f"it has {', '.join(list(index)[:8])}")
        elif sample >= 0 and sample not in position[n]:
            known = profiles[n].samples
            problems.add(row.line, "sample", f"one of the {len(known)} samples of {network}", sample,
                         f"{min(known)} to {max(known)}")
        columns.append((arrival, deadline, priority, n, position[n].get(sample, 0) if n >= 0 else 0))
    problems.finish()
    arrival_s, deadline_s, priority_, networks, samples = zip(*columns, strict=True)
    count = len(columns)
    return Requests(names=tuple(names), trace=RequestTrace(
        arrival_s=np.array(arrival_s, dtype=np.float64),
        deadline_s=np.array(deadline_s, dtype=np.float64),
        priority=np.array(priority_, dtype=np.float64),
        tenant=np.array(networks, dtype=np.int64),
        network=np.array(networks, dtype=np.int64),
        sample=np.array(samples, dtype=np.int64),
        parent=np.full(count, -1, dtype=np.int64),
        drop_late=np.zeros(count, dtype=np.bool_),
    ))


def _mean(grid: Floats) -> Floats:
    """Mean over samples, summed in the order of the file."""
    total = np.zeros(grid.shape[1])
    for row in grid:
        total = total + row
    return total / len(grid)


def profile_table(profiles: tuple[Profile, ...], *, most: int = 1) -> CostTable:
    """Costs on the measured engine: `estimate_s` = average of the family, weighted by samples, computed once per
    family so that its networks tie exactly; `pattern_s` = the network's own average.

    Parameters
    ----------
    most : largest batch, for profiles that say what a further request adds [-].
    """
    averages = [_mean(profile.latency_s) for profile in profiles]
    family: dict[str, Floats] = {}
    for name in dict.fromkeys(profile.family for profile in profiles):
        members = [i for i, profile in enumerate(profiles) if profile.family == name]
        total = np.zeros(max(len(averages[i]) for i in members))
        weight = np.zeros(len(total))
        for i in members:
            total[: len(averages[i])] += averages[i] * len(profiles[i].samples)
            weight[: len(averages[i])] += len(profiles[i].samples)
        family[name] = total / weight if len(members) > 1 else averages[members[0]]
    rows = np.array([profile.latency_s.size for profile in profiles])
    offset = np.full((len(profiles), max(len(profile.samples) for profile in profiles), 1, 1), -1, dtype=np.int64)
    for i, profile in enumerate(profiles):
        samples, layers = profile.latency_s.shape
        offset[i, :samples, 0, 0] = rows[:i].sum() + layers * np.arange(samples)
    nothing = np.zeros(int(rows.sum()))

    def repeated(columns: list[Floats]) -> Floats:
        return np.concatenate([np.tile(c, len(p.samples)) for c, p in zip(columns, profiles, strict=True)])

    latency = np.concatenate([profile.latency_s.ravel() for profile in profiles])
    table = CostTable(
        n_layers=np.array([profile.latency_s.shape[1] for profile in profiles], dtype=np.int64),
        offset=offset,
        latency_s=latency,
        dram_bytes=nothing,
        energy_j=nothing,
        live_bytes=nothing,
        sparsity_frac=np.concatenate([profile.sparsity_frac.ravel() for profile in profiles]),
        estimate_s=repeated([family[p.family][: p.latency_s.shape[1]] for p in profiles]),
        pattern_s=repeated(averages),
        pattern_sparsity_frac=repeated([_mean(profile.sparsity_frac) for profile in profiles]),
        tiles=_tiles(profiles),
    )
    if most == 1 or all(profile.added_latency_s is None for profile in profiles):
        return table
    added = np.concatenate([(profile.latency_s if profile.added_latency_s is None else profile.added_latency_s).ravel()
                            for profile in profiles])
    zeros = np.zeros((most, len(latency)))
    return table._replace(batch_latency_s=latency + np.arange(most)[:, None] * added, batch_dram_bytes=zeros,
                          batch_energy_j=zeros, batch_live_bytes=zeros)


def _tiles(profiles: tuple[Profile, ...]) -> Tiles | None:
    """Tiles that can be stopped between at no cost but `Machine.switch_s`; None if there are none inside layers."""
    tiles = np.concatenate([np.tile(profile.tiles, len(profile.samples)) for profile in profiles])
    if tiles.max() == 1:
        return None
    nothing = np.zeros(len(tiles))
    return Tiles(tiles, np.ones(len(tiles), dtype=np.int64), nothing, nothing)


def profile_machine(profiles: tuple[Profile, ...], *, switch_s: float = 0.0, decision_s: float = 0.0) -> Machine:
    """The one engine that was measured."""
    return Machine(
        units=np.ones(1, dtype=np.int64),
        level_units=np.ones(1, dtype=np.int64),
        tenant_engine=np.full(len(profiles), -1, dtype=np.int64),
        dram_bytes_per_s=math.inf,
        dram_mode=DRAM_FIXED,
        reconfigure_s=0.0,
        decision_s=decision_s,
        switch_s=switch_s,
    )
