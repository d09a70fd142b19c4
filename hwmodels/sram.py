"""One SRAM macro as CACTI 7.0 sees it: area, energy per access and leakage, interpolated in node, size and width.

Model
-----
`cacti_sram.csv` beside this file holds points that we obtained by running CACTI 7.0 ("ram", one bank, one read-write
port, 350 K) for 22, 32, 45 and 65 nm, three ITRS cell types, two port widths. Between points every quantity is a power
law.

Limits
------
Outside the table the nearest two points are extended in size and width; the node must lie in [22, 65] nm. Interpolation
misses other CACTI points by 6 % (median) and 39 % (worst) in read energy. The leakage of `lop` at 22 and 32 nm is an
artefact of the tool's tables (above `hp`): `hwmodels.technology.sram_leakage_w` does not use it.

References
----------
R. Balasubramonian et al., "CACTI 7: New Tools for Interconnect Exploration in Innovative Off-Chip Memories",
ACM TACO 14(2), 2017, doi:10.1145/3085572.
"""

import csv
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from hwmodels.errors import InvalidEngine

__all__ = ["SRAM_CELLS", "SramMacro", "cacti_points", "sram_macro"]

SRAM_CELLS = ("hp", "lop", "lstp")
"""High performance, low operating power, low standby power."""

_PATH = Path(__file__).with_name("cacti_sram.csv")
_Table = dict[tuple[float, str], dict[float, dict[float, tuple[float, ...]]]]


class SramMacro(NamedTuple):
    """One bank with one read-write port."""

    area_mm2: float
    read_j_per_byte: float
    write_j_per_byte: float
    leakage_w: float


@cache
def cacti_points() -> tuple[tuple[float, str, float, float, SramMacro], ...]:
    """The table as (node_nm, cell, size [byte], port width [bit], macro), in the order of the file."""
    points = []
    with _PATH.open(newline="") as file:
        for row in csv.DictReader(file):
            width = float(row["width_bits"])
            points.append((float(row["node_nm"]), row["cell"], 1024.0 * float(row["size_kib"]), width, SramMacro(
                area_mm2=float(row["area_mm2"]),
                read_j_per_byte=float(row["read_nj"]) * 1e-9 / (width / 8.0),
                write_j_per_byte=float(row["write_nj"]) * 1e-9 / (width / 8.0),
                leakage_w=float(row["leakage_mw"]) * 1e-3,
            )))
    return tuple(points)


def _power_law(x: float, at: Sequence[float], values: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Log-log interpolation of every component; extended beyond the ends by the nearest two points."""
    if len(at) == 1:
        return values[0]
    upper = 1
    while upper < len(at) - 1 and at[upper] < x:
        upper += 1
    low, high = values[upper - 1], values[upper]
    t = math.log(x / at[upper - 1]) / math.log(at[upper] / at[upper - 1])
    return tuple(a * (b / a) ** t for a, b in zip(low, high, strict=True))


@cache
def _table(without: tuple[int, ...]) -> _Table:
    table: _Table = {}
    for index, (node, cell, size, width, macro) in enumerate(cacti_points()):
        if index not in without:
            table.setdefault((node, cell), {}).setdefault(width, {})[size] = tuple(macro)
    return table


def _at_size(curve: dict[float, tuple[float, ...]], size: float) -> tuple[float, ...]:
    sizes = sorted(curve)
    return _power_law(size, sizes, [curve[s] for s in sizes])


def sram_macro(node_nm: float, size_bytes: float, *, cell: str = "lop", width_bits: float = 256.0,
               without: tuple[int, ...] = ()) -> SramMacro:
    """One macro by log-log interpolation in size, then width, then node.

    Parameters
    ----------
    node_nm : in [22, 65] ([22, 45] for `lstp`) [nm].
    size_bytes : capacity [byte].
    cell : one of `SRAM_CELLS`.
    width_bits : port width [bit].
    without : rows of `cacti_points` to leave out (to test the interpolation on them).

    Raises
    ------
    InvalidEngine : an unknown cell, a node outside the table, a size or width that is not positive.
    """
    if cell not in SRAM_CELLS:
        raise InvalidEngine("sram cell", f"one of {', '.join(SRAM_CELLS)}", cell)
    table = _table(without)
    nodes = sorted(node for node, kind in table if kind == cell)
    if not nodes[0] <= node_nm <= nodes[-1]:
        raise InvalidEngine("node_nm", f"in [{nodes[0]:g}, {nodes[-1]:g}] for the CACTI table of {cell}", node_nm)
    for field, value in (("size_bytes", size_bytes), ("width_bits", width_bits)):
        if not 0.0 < value < math.inf:
            raise InvalidEngine(field, "a finite number > 0", value)
    by_node = []
    for node in nodes:
        widths = table[node, cell]
        order = sorted(widths)
        by_node.append(_power_law(width_bits, order, [_at_size(widths[w], size_bytes) for w in order]))
    return SramMacro(*_power_law(node_nm, nodes, by_node))
