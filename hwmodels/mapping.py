"""The mapping search: tile sizes and loop order of one loop nest on one engine, exactly optimal over a stated space.

Model
-----
A nest has the loop groups m (batch, rows and columns of the output), n (filters) and k (input channels, the filter
window whole). A mapping is a tile size for each of b, y, x, n, k and one of six orders of m, n, k. Operands need X {m,
k}, W {n, k}, Y {m, n}; with trip counts q = ceil(size / tile):

    capacity  f_x |X tile| b_x + f_w |W tile| b_w + f_y |Y tile| b_a <= S,  f = 2 if the operand's tile changes, else 1
    reloads   product of the trips of the loops an operand does not need that lie outside its innermost needed loop
    X bytes   (sum over m tiles of the input region, halo included) C b_x reloads
    W bytes   N C FY FX b_w reloads
    Y bytes   M N (b_o + 2 (reloads - 1) b_a): spilled partial sums are written and read, the last write is final
    latency   load(1) + sum_i max(compute(i), (load(i+1) + store(i-1)) / bandwidth) + store(last)
    compute   of a tile = u_m u_n u_k + v_m v_n v_k; u and v of one role each, from the engine (`hwmodels.engines`)

Candidates per dimension: the smallest tile for each reachable trip count, and each of them rounded up to a multiple of
the array's side along that dimension. They do not depend on the capacity, so a larger buffer or a wider channel never
worsens the objective. Ties: objective, energy, traffic, latency, then smaller tiles (b, y, x, n, k), then the earlier
order; with traffic as the objective latency comes second.

Steps are of few kinds (each loop is at its first, a middle, the last but one or the last trip), so the sum over steps
is a sum over at most 4 kinds per loop. Mappings whose lower bound max(compute + first load + last store, traffic /
bandwidth) exceeds the best so far are skipped; nothing else is.

Limits
------
No snake order, no reuse of halos between tiles, rectangular tiles only. The first and the last tile of an axis do not
fetch the padding; those between are charged whole. A stride larger than the window still fetches the pixels between.

References
----------
The traffic form is that of Y. Ma et al., FPGA 2017, doi:10.1145/3020078.3021736; lower bounds: J. Hong, H. T. Kung,
STOC 1981, doi:10.1145/800076.802486.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels import mapping_kernel as kernel
from hwmodels import mapping_tables as tables
from hwmodels.errors import ModelError
from hwmodels.mapping_walk import latency_walk

__all__ = ["OBJECTIVES", "Alternatives", "Columns", "Mapping", "Nest", "Problem", "columns", "mapping_of",
           "search_columns", "search_mappings", "walked_latency_cycles"]

OBJECTIVES = ("latency", "energy", "dram_bytes", "edp")


class Nest(NamedTuple):
    """`groups` identical loop nests run back to back; sizes [-], strides, halos and padding [elements]."""

    groups: int
    batch: int
    oy: int
    ox: int
    n: int
    c: int
    window: int
    """FY FX."""
    stride_y: int = 1
    stride_x: int = 1
    halo_y: int = 1
    """Input rows of one output row, (FY - 1) dilation + 1."""
    halo_x: int = 1
    pad_y: int = 0
    pad_x: int = 0

    def flat(self) -> "Nest":
        """The same nest as a matrix product, where windows do not overlap: one output axis instead of three."""
        if self.halo_y == self.halo_x == self.stride_y == self.stride_x == 1 and not self.pad_y and not self.pad_x:
            return self._replace(batch=1, oy=self.batch * self.oy * self.ox, ox=1)
        return self


class Problem(NamedTuple):
    """One nest on one engine, in numbers."""

    nest: Nest
    units: tuple[float, ...]
    """(15,) code and four parameters per role m, n, k; see `hwmodels.engines`."""
    steps: tuple[int, int, int] = (1, 1, 1)
    """Sides of the array along m, n, k that candidate tiles are rounded to."""
    element_bytes: tuple[float, float, float, float] = (1.0, 1.0, 4.0, 1.0)
    """Input, weight, accumulator, output [byte]."""
    sram_bytes: float = np.inf
    private_bytes: tuple[float, float, float] = (np.inf, np.inf, np.inf)
    """Private buffers of X, W, Y [byte]."""
    bytes_per_cycle: float = 1.0
    """DRAM [byte/cycle]."""
    fetched: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Per operand 1, or 0 if it is on chip anyway and moves nothing (final outputs: kept)."""
    tiled: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Per operand 1, or 0 if its tiles take no room in `sram_bytes`."""
    floor_cycles: float = 0.0
    """Latency is no less than this (vector unit) [cycle]."""
    fixed_energy_j: float = 0.0
    dram_j_per_byte: float = 0.0
    """DRAM and the buffer access behind it."""
    sram_j_per_byte: float = 0.0
    buffers: int = 2
    on_the_fly: bool = False


class Mapping(NamedTuple):
    """A tile, its loop order, and what follows from them."""

    tile: tuple[int, int, int, int, int]
    """Tile sizes (b, y, x, n, k) [elements]."""
    order: str
    """Loop groups, outermost first."""
    latency_cycles: float
    energy_j: float
    input_bytes: float
    weight_bytes: float
    partial_read_bytes: float
    output_bytes: float
    """Written, partial sums included [byte]."""
    compute_cycles: float
    """Of all tiles; at least those of the untiled nest."""
    edge_bytes: float
    """Moved in and out of the buffer, at the array's edge and at the DRAM port [byte]."""
    steps: int
    head_cycles: float
    tail_cycles: float
    used_bytes: float
    """Of the buffer, second buffers included [byte]."""

    @property
    def dram_bytes(self) -> float:
        """Read and written [byte]."""
        return self.input_bytes + self.weight_bytes + self.partial_read_bytes + self.output_bytes


class Columns(NamedTuple):
    """P problems on N nests as numbers, in the order of the constants of `hwmodels.mapping_tables`."""

    ints: NDArray[np.int64]
    """(N, N_INTS)"""
    units: NDArray[np.float64]
    """(N, 3, 5)"""
    nest: NDArray[np.int64]
    """(P,) which nest."""
    floats: NDArray[np.float64]
    """(P, N_FLOATS)"""


class Alternatives(NamedTuple):
    """What P problems are for: O options run some of them one after the other, and each of C cases takes an option."""

    times: NDArray[np.float64]
    """(P,) how often a problem runs."""
    option: NDArray[np.int64]
    """(P,) in which option."""
    case: NDArray[np.int64]
    """(O,)"""
    least_cycles: NDArray[np.float64]
    """(O,) latency is no less."""
    beside_cycles: NDArray[np.float64]
    """(O,) of the DRAM channel, for what is not in the problems."""
    sequence: NDArray[np.int64]
    """(P,) the problems in the order of the search: fast if those of one nest follow each other, and the options that
    are likely to win come first."""


def columns(problems: Sequence[Problem]) -> Columns:
    """Problems as rows of numbers, each on a nest of its own."""
    ints, floats, units = [], [], []
    for p in problems:
        nest = p.nest
        ints.append((nest.batch, nest.oy, nest.ox, nest.n, nest.c, nest.window, nest.stride_y, nest.stride_x,
                     nest.halo_y, nest.halo_x, nest.pad_y, nest.pad_x, nest.groups, p.buffers, p.on_the_fly,
                     p.steps[1], p.steps[2], p.steps[0]))
        bx, bw, ba, bo = p.element_bytes
        e = p.sram_j_per_byte
        floats.append((bx, bw, ba, bo, p.sram_bytes, *p.private_bytes, p.bytes_per_cycle, *p.fetched, p.floor_cycles,
                       p.fixed_energy_j, p.dram_j_per_byte, bx * e, bw * e, ba * e, ba * e, *p.tiled))
        units.append(p.units)
    return Columns(np.array(ints, dtype=np.int64).reshape(-1, tables.N_INTS),
                   np.array(units, dtype=np.float64).reshape(-1, 3, 5), np.arange(len(problems)),
                   np.array(floats, dtype=np.float64).reshape(-1, tables.N_FLOATS))


def mapping_of(row: Sequence[float]) -> Mapping | None:
    """A row of `search_columns` as a record; None if no tile fits."""
    if not row[0]:
        return None
    tb, ty, tx, tn, tk = (int(value) for value in row[9:14])
    return Mapping((tb, ty, tx, tn, tk), tables.ORDERS[int(row[14])], row[1], row[2], row[3], row[4], row[5], row[6],
                   row[7], row[8], int(row[15]), row[16], row[17], row[18])


def search_columns(problems: Columns, objective: str = "latency", alternatives: Alternatives | None = None, *,
                   prune: bool = True) -> NDArray[np.float64]:
    """As `search_mappings`, from and to numbers.

    Parameters
    ----------
    alternatives : None keeps every problem for itself.

    Returns
    -------
    shape (P, N_RESULT), columns R_* of `hwmodels.mapping_tables`; zeros where no tile fits, and, with latency as the
    objective, where another option of the case is faster whatever the mapping.
    """
    if objective not in OBJECTIVES:
        raise ModelError("objective", f"one of {', '.join(OBJECTIVES)}", objective)
    count = len(problems.floats)
    if alternatives is None:
        alone, nothing = np.arange(count), np.zeros(count)
        alternatives = Alternatives(np.ones(count), alone, alone, nothing, nothing, alone)
    results = np.zeros((count, tables.N_RESULT))
    kernel.search_all(*problems, *alternatives, OBJECTIVES.index(objective), prune,
                      kernel.workspace(problems.ints, alternatives.option, alternatives.case), results)
    return results


def search_mappings(problems: Sequence[Problem], objective: str = "latency", *,
                    prune: bool = True) -> list[Mapping | None]:
    """The best mapping of every problem; None where no tile fits the buffer.

    Parameters
    ----------
    objective : one of `OBJECTIVES`; `edp` is energy x latency.
    prune : False tries every candidate (a test of the bounds).
    """
    return [mapping_of(row) for row in search_columns(columns(problems), objective, prune=prune).tolist()]


def walked_latency_cycles(problem: Problem, mapping: Mapping) -> float:
    """Latency by walking every step of a mapping: slow, for tests and for validating a mapping given by hand."""
    ints, units, _, floats = columns([problem])
    return float(latency_walk(ints[0], floats[0], units[0], np.array(mapping.tile, dtype=np.int64),
                              tables.ORDERS.index(mapping.order)))
