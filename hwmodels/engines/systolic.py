"""Systolic arrays: weight, output and input stationary.

Model
-----
A product M x N x K on R rows and C columns maps two loops to the array and streams the third, T long:

    dataflow  rows Sr  columns Sc  stream T  per fold
    os        M        N           K         T + R + C - 2 + h R
    ws        K        N           M         T + 2 R + C - 2
    is        K        M           N         T + 2 R + C - 2

F = ceil(Sr / R) ceil(Sc / C) folds. One after the other they take F per_fold; with double-buffered stationary operands
F max(T, R) + min(T, R) + R + C - 2 (ws, is) or F max(T, h R) + min(T, h R) + R + C - 2 (os), the same at F = 1.
h = 1 if outputs leave through the array (`output_drain`). Partial folds cost as much as full ones.

Stackable PEs (A. Kouris et al., Fluid Batching, arXiv:2209.13443): s stacks of R / s rows share the stream, which takes
ceil(T / s); the reduction K folds over R / s rows. Short reductions, which leave rows idle, gain; K a multiple of R
does not.

With h = 0 and folds one after the other, cycles - 1 is what SCALE-Sim 3.0 reports (its -1 is an indexing artefact: a
2 x 2 x 2 product on 2 x 2 os PEs takes 4 cycles by hand). Edge accesses per operand: `edge_accesses`.

References
----------
A. Samajdar et al., "SCALE-Sim", ISPASS 2020, doi:10.1109/ISPASS48437.2020.00016.
"""

from typing import NamedTuple

from hwmodels.area import accumulator_bits
from hwmodels.engine import Engine
from hwmodels.engines.common import SPATIAL, STREAM, STREAM_OVERLAPPED, Form, Role, nest_of
from hwmodels.engines.precision import rate
from hwmodels.engines.sparsity import work_frac
from hwmodels.engines.vector import depthwise_form
from hwmodels.mapping import Nest
from hwmodels.network import Layer

__all__ = ["EdgeAccesses", "edge_accesses", "folds", "forms", "mapping_efficiency_frac", "product_cycles", "shapes"]

_ROLES = {"os": ("rows", "cols", "stream"), "ws": ("stream", "cols", "rows"), "is": ("cols", "stream", "rows")}
"""Where the roles m, n, k go."""


class EdgeAccesses(NamedTuple):
    """Words that cross the edge of the array [-]."""

    input_reads: int
    weight_reads: int
    output_writes: int
    partial_reads: int


def _sides(m: int, n: int, k: int, dataflow: str) -> tuple[int, int, int]:
    return {"os": (m, n, k), "ws": (k, n, m), "is": (k, m, n)}[dataflow]


def folds(m: int, n: int, k: int, rows: int, cols: int, dataflow: str) -> tuple[int, int]:
    """Folds along rows and columns [-]."""
    along_rows, along_cols, _ = _sides(m, n, k, dataflow)
    return -(-along_rows // rows), -(-along_cols // cols)


def product_cycles(m: int, n: int, k: int, rows: int, cols: int, dataflow: str, *, fold_overlap: str = "none",
                   output_drain: bool = False) -> int:
    """Cycles of one M x N x K product, whole, operands at hand."""
    fr, fc = folds(m, n, k, rows, cols, dataflow)
    _, _, stream = _sides(m, n, k, dataflow)
    hidden = rows if dataflow != "os" or output_drain else 0
    if fold_overlap == "none":
        return fr * fc * (stream + rows + cols - 2 + hidden)
    return fr * fc * max(stream, hidden) + min(stream, hidden) + rows + cols - 2


def mapping_efficiency_frac(m: int, n: int, k: int, rows: int, cols: int, dataflow: str) -> float:
    """Share of the PEs that hold work, averaged over folds [-]."""
    fr, fc = folds(m, n, k, rows, cols, dataflow)
    along_rows, along_cols, _ = _sides(m, n, k, dataflow)
    return along_rows * along_cols / (fr * fc * rows * cols)


def edge_accesses(m: int, n: int, k: int, rows: int, cols: int, dataflow: str) -> EdgeAccesses:
    """Words in and out of the array for one product; partial sums that come back are counted."""
    fr, fc = folds(m, n, k, rows, cols, dataflow)
    if dataflow == "os":
        return EdgeAccesses(m * k * fc, k * n * fr, m * n, 0)
    if dataflow == "ws":
        return EdgeAccesses(m * k * fc, k * n, m * n * fr, m * n * (fr - 1))
    return EdgeAccesses(m * k, k * n * fc, m * n * fr, m * n * (fr - 1))


def shapes(engine: Engine) -> list[tuple[int, int]]:
    """(rows, columns) the array can take: its own, and those of stackable PEs."""
    found = [(engine.rows, engine.cols)]
    stack = 2
    while stack <= engine.stacks:
        if engine.rows % stack == 0:
            found.append((engine.rows // stack, engine.cols * stack))
        if engine.cols % stack == 0:
            found.append((engine.rows * stack, engine.cols // stack))
        stack *= 2
    return found


def splits(engine: Engine) -> list[int]:
    """Numbers of stacks, 2 or more, that can share the stream: each has `rows / s` rows and sums of its own."""
    found, stack = [], 2
    while stack <= engine.stacks and engine.dataflow != "os":
        if engine.rows % stack == 0:
            found.append(stack)
        stack *= 2
    return found


def _stretch(rows: int, cols: int, dataflow: str, words: int, stacks: int = 1) -> float:
    """Longer stream if the buffer has fewer ports than the edge asks for [-]."""
    if not words:
        return 1.0
    demand = rows + cols if dataflow == "os" else stacks * rows + (1 + stacks) * cols
    return max(1.0, demand / words)


def _units(engine: Engine, rows: int, cols: int, window: float, passes: int,
           stacks: int = 1) -> tuple[Role, Role, Role]:
    """Compute form of an array of these sides, or of so many that share the stream."""
    hidden = float(rows if engine.dataflow != "os" or engine.output_drain else 0)
    stretch = _stretch(rows, cols, engine.dataflow, engine.sram_words_per_cycle, stacks) * passes
    roles: list[Role] = []
    for role, place in zip("mnk", _ROLES[engine.dataflow], strict=True):
        scale = window if role == "k" else 1.0
        if place == "rows":
            roles.append((SPATIAL, rows, scale, 0.0, 0.0))
        elif place == "cols":
            roles.append((SPATIAL, cols, scale, 0.0, 0.0))
        elif engine.fold_overlap == "none":
            roles.append((STREAM, rows + cols - 2 + hidden, scale / stacks, 0.0, stretch))
        else:
            roles.append((STREAM_OVERLAPPED, hidden, scale / stacks, rows + cols - 2, stretch))
    return roles[0], roles[1], roles[2]


def _steps(engine: Engine, rows: int, cols: int, nest: Nest) -> tuple[int, int, int]:
    side = {"rows": rows, "cols": cols, "stream": 1}
    m, n, k = (side[place] for place in _ROLES[engine.dataflow])
    return (m if nest.ox == 1 and nest.batch == 1 else 1), n, max(1, k // nest.window)


def _packed(layer: Layer, rows: int, cols: int) -> tuple[tuple[Nest, ...], tuple[int, ...]]:
    """Groups side by side on the diagonal, each in rows and columns of its own: nests, and groups in each."""
    nest = nest_of(layer)
    most = min(nest.groups, rows // (nest.c * nest.window), cols // nest.n)
    if most < 2:
        return (), ()
    full, rest = divmod(nest.groups, most)
    sizes = [(full, most), (1, rest)] if rest else [(full, most)]
    parts = tuple(nest._replace(groups=count, n=nest.n * size, c=nest.c * size) for count, size in sizes)
    return parts, tuple(size for _, size in sizes)


def forms(layer: Layer, engine: Engine) -> list[Form]:
    """One form per shape of the array and, for depthwise convolutions, per mode the engine supports."""
    passes, products = rate(layer, engine)
    shrink = work_frac(layer, engine) / products
    depthwise = layer.groups > 1 and layer.c == 1 and layer.has_weights
    modes = engine.depthwise_modes if depthwise else ("per_channel",)
    hop = layer.input_bits + (layer.weight_bits if engine.dataflow == "os" else accumulator_bits(engine.precision))
    found = []
    for rows, cols in shapes(engine):
        shape = "" if (rows, cols) == (engine.rows, engine.cols) else f" {rows}x{cols}"
        flat = nest_of(layer).flat()
        units = _units(engine, rows, cols, flat.window * shrink, passes)
        stretch = _stretch(rows, cols, engine.dataflow, engine.sram_words_per_cycle)
        if "per_channel" in modes:
            found.append(Form(engine.dataflow + shape, (flat,), units, _steps(engine, rows, cols, flat), (1,), stretch,
                              hop / 8.0))
        packs = "packed_diagonal" in modes and engine.dataflow != "os"
        parts, together = _packed(layer, rows, cols) if packs else ((), ())
        if parts:
            found.append(Form(f"{engine.dataflow} packed{shape}", parts, units, (1, 1, 1), together, stretch,
                              hop / 8.0))
    for stacks in splits(engine) if "per_channel" in modes else ():
        flat, rows = nest_of(layer).flat(), engine.rows // stacks
        units = _units(engine, rows, engine.cols, flat.window * shrink, passes, stacks)
        stretch = _stretch(rows, engine.cols, engine.dataflow, engine.sram_words_per_cycle, stacks)
        found.append(Form(f"{engine.dataflow} {stacks} stacks", (flat,), units,
                          _steps(engine, rows, engine.cols, flat), (1,), stretch, hop / 8.0))
    if "vector_unit" in modes:
        found.append(depthwise_form(layer, engine))
    if not found:  # packed diagonals alone, where they do not fit: fall back to the plain nest
        flat = nest_of(layer).flat()
        rows, cols = engine.rows, engine.cols
        found.append(Form(engine.dataflow, (flat,), _units(engine, rows, cols, flat.window * shrink, passes),
                          _steps(engine, rows, cols, flat), (1,), 1.0, hop / 8.0))
    return found
