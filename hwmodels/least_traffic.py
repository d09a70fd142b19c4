"""Fewest DRAM bytes of a matrix layer under a buffer capacity: the mapping search with traffic as its only objective.

Model
-----
What a tiling moves depends on its trip counts, not on the array: whatever shape and dataflow an engine has, its
mapping (`hwmodels.mapping`) moves at least what the best tiling without any rounding to the array moves. Activations
may stay on chip as `hwmodels.cost` allows it, with the room they take; the least over those cases counts. Repeated
layers either fetch their weights every time or keep them all.

Limits
------
Plain nests only: other forms (packed diagonals, the vector unit, skipped zeros, weights that stay between inferences)
tile other nests, and the callers leave them out. 0 where nothing is claimed.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.engines.common import SPATIAL, nest_of
from hwmodels.mapping import Nest, Problem, search_mappings
from hwmodels.network import Layer

__all__ = ["Waiting", "least_dram_bytes"]

_NO_ARRAY = (SPATIAL, 1.0, 0.0, 0.0, 0.0) * 3


class Waiting(NamedTuple):
    """What of a layer's activations may wait on chip."""

    input_room: float
    """Room that the input takes meanwhile, inf if it cannot wait [byte]."""
    output_room: float
    stored: bool
    """The output is written to DRAM even if it waits on chip."""


class _Run(NamedTuple):
    """A case of a layer: problems, how often each is run, and bytes besides."""

    layer: int
    problems: tuple[Problem, ...]
    counts: tuple[int, ...]
    extra_bytes: float


def _plain(nest: Nest) -> bool:
    """Whether two tilings with equal trip counts fetch the same input: padding never exceeds the window."""
    return nest.pad_y // 2 <= nest.halo_y and nest.pad_x // 2 <= nest.halo_x


def _runs(index: int, layer: Layer, waiting: Waiting, sram_bytes: int, sum_bytes: float,
          buffers: int) -> Iterator[_Run]:
    nest = nest_of(layer).flat()
    output = layer.output_bits / 8.0
    extra = layer.extra_parameters * layer.weight_bits / 8.0
    weights = layer.weight_elements * layer.weight_bits / 8.0
    for stays_in in (False, True):
        for stays_out in (False, True):
            room = sram_bytes - (waiting.input_room if stays_in else 0.0) - (waiting.output_room if stays_out else 0.0)
            if not room > 0.0:
                continue

            def problem(space: float, *, fetched: bool, tiled: bool) -> Problem:
                return Problem(
                    nest=nest, units=_NO_ARRAY, sram_bytes=space, buffers=buffers,
                    element_bytes=(layer.input_bits / 8.0, layer.weight_bits / 8.0, max(sum_bytes, output), output),
                    fetched=(float(not (stays_in or layer.op == "recurrent")), float(fetched),  # noqa: B023
                             float(not stays_out or waiting.stored)),  # noqa: B023
                    tiled=(float(not stays_in), float(tiled), 1.0))  # noqa: B023

            yield _Run(index, (problem(room, fetched=True, tiled=True),), (layer.repeat,), extra)
            if layer.repeat > 1 and weights < room:
                yield _Run(index, (problem(room - weights, fetched=True, tiled=False),
                                   problem(room - weights, fetched=False, tiled=False)), (1, layer.repeat - 1), extra)


def least_dram_bytes(layers: Sequence[Layer], waiting: Sequence[Waiting], *, sram_bytes: int, sum_bytes: float,
                     buffers: int) -> NDArray[np.float64]:
    """Fewest bytes that each layer moves in one execution, shape (L,); 0 for vector layers and where no tile fits.

    Parameters
    ----------
    waiting : of every layer.
    sum_bytes : of a partial sum in the buffer.
    buffers : 2 for a double-buffered SRAM, else 1.
    """
    runs = [run for index, (layer, around) in enumerate(zip(layers, waiting, strict=True))
            if layer.is_matrix and _plain(nest_of(layer))
            for run in _runs(index, layer, around, sram_bytes, sum_bytes, buffers)]
    numbers = {problem: 0 for run in runs for problem in run.problems}
    numbers = {problem: number for number, problem in enumerate(numbers)}
    found = search_mappings(list(numbers), "dram_bytes")
    least = np.full(len(layers), np.inf)
    for run in runs:
        mappings = [found[numbers[problem]] for problem in run.problems]
        total = run.extra_bytes + sum(count * (mapping.dram_bytes if mapping else np.inf)
                                      for count, mapping in zip(run.counts, mappings, strict=True))
        least[run.layer] = min(least[run.layer], total)
    least[~np.isfinite(least)] = 0.0
    return least
