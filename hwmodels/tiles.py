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

import numpy as np
from numpy.typing import NDArray

from hwmodels import mapping_tables as tables
from hwmodels.tables import Tiles

__all__ = ["matrix_tiles", "vector_tiles"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def matrix_tiles(ints: Ints, floats: Floats, found: Floats) -> Tiles:
    """Tiles of mapped nests, run once each, shape (P,).

    Parameters
    ----------
    ints, floats, found : of the nests, the problems and their mappings, P rows as in `hwmodels.mapping_tables`.
    """
    b, oy, ox, n, c, window, stride_y, stride_x, halo_y, halo_x = ints[:, : tables.I_HX + 1].T
    tb, ty, tx, tn, tk = found[:, tables.R_TB : tables.R_TK + 1].T.astype(np.int64)
    qm, qn, qk = (-(-b // tb) * -(-oy // ty) * -(-ox // tx)), -(-n // tn), -(-c // tk)
    pm, pn, pk = tables.POSITION[found[:, tables.R_ORDER].astype(np.int64)].T
    k_inside = ((qm == 1) | (pk > pm)) & ((qn == 1) | (pk > pn))
    rows, cols = (ty - 1) * stride_y + halo_y, (tx - 1) * stride_x + halo_x
    return Tiles(
        tiles=found[:, tables.R_STEPS].astype(np.int64),
        piece=np.where(k_inside, qk, 1),
        accumulator_bytes=tb * ty * tx * tn * floats[:, tables.F_BA],
        reload_bytes=floats[:, tables.F_DX] * tb * rows * cols * tk * floats[:, tables.F_BX]
        + floats[:, tables.F_DW] * tn * tk * window * floats[:, tables.F_BW],
    )


def vector_tiles(moved_bytes: Floats, sram_bytes: int) -> Ints:
    """Tiles of layers that stream so many bytes through the buffer, shape (L,)."""
    return np.maximum(1.0, np.ceil(2.0 * moved_bytes / sram_bytes)).astype(np.int64)
