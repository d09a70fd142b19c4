"""Where a layer can be stopped inside: the tiles of the mapping it runs with, and what is on chip between two of them.

Model
-----
A matrix layer runs the steps of its mapping (`hwmodels.mapping`), all of its nests and repeats. Consecutive steps that
differ in k alone accumulate one piece of the output: where k is the innermost loop with more than one trip, `trips of
k` steps, else one. Between two tiles the buffer holds

    accumulators  |Y tile| b_a inside a piece, nothing at its end (results are stored)
    operands      |X tile| b_x + |W tile| b_w, of which only what comes from DRAM is fetched again
    activations   that wait on chip for the next layer: `LayerCosts.live_bytes`, here in proportion to the tiles done

A layer of the vector unit streams; its tiles are what fills half of the buffer.

Limits
------
Tiles count as equally long: the first and the last transfer and the edge tiles are spread over all of them. Of several
nests the largest of each number is taken. The state of a recurrent layer counts as its accumulators.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from hwmodels.mapping import Mapping, Problem

__all__ = ["LayerTiles", "matrix_tiles", "vector_tiles"]


class LayerTiles(NamedTuple):
    """One layer's row of `hwmodels.tables.Tiles`."""

    tiles: int
    piece: int
    accumulator_bytes: float
    reload_bytes: float


def _piece(problem: Problem, mapping: Mapping) -> int:
    """Consecutive steps that accumulate one output tile."""
    nest, (tb, ty, tx, tn, tk) = problem.nest, mapping.tile
    trips = {"m": ceil(nest.batch / tb) * ceil(nest.oy / ty) * ceil(nest.ox / tx), "n": ceil(nest.n / tn),
             "k": ceil(nest.c / tk)}
    inner = [loop for loop in mapping.order if trips[loop] > 1]
    return trips["k"] if inner and inner[-1] == "k" else 1


def matrix_tiles(problems: Sequence[Problem], found: Sequence[Mapping], counts: Sequence[int],
                 kept_weight_bytes: float) -> LayerTiles:
    """Tiles of a layer that runs each of these nests `counts` times.

    Parameters
    ----------
    kept_weight_bytes : weights that stay on chip between repeats: they are lost and fetched again as a whole.
    """
    accumulators, operands = 0.0, 0.0
    for problem, mapping in zip(problems, found, strict=True):
        nest, (tb, ty, tx, tn, tk) = problem.nest, mapping.tile
        bx, bw, ba, _ = problem.element_bytes
        rows, cols = (ty - 1) * nest.stride_y + nest.halo_y, (tx - 1) * nest.stride_x + nest.halo_x
        fetched_x, fetched_w, _ = problem.fetched
        accumulators = max(accumulators, tb * ty * tx * tn * ba)
        operands = max(operands, fetched_x * tb * rows * cols * tk * bx + fetched_w * tn * tk * nest.window * bw)
    return LayerTiles(
        tiles=sum(count * mapping.steps for count, mapping in zip(counts, found, strict=True)),
        piece=max(_piece(*pair) for pair in zip(problems, found, strict=True)),
        accumulator_bytes=accumulators,
        reload_bytes=operands + kept_weight_bytes,
    )


def vector_tiles(moved_bytes: float, sram_bytes: float) -> LayerTiles:
    """Tiles of a layer that streams so many bytes through the buffer."""
    return LayerTiles(max(1, ceil(2.0 * moved_bytes / sram_bytes)), 1, 0.0, 0.0)
