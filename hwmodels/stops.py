"""How a task can be stopped inside a layer, and what has to be saved or done again.

A layer is cut into `n` equal tiles, `piece` of which accumulate one piece of the output (`hwmodels.tables.Tiles`).
Between two tiles the engine holds the activations that wait for the next layer: those before this layer, and those
behind it in proportion to the tiles done; and inside a piece its partial sums. Checkpoint (DERCA: persist) saves all of
that, nothing is lost. Recompute drops the partial sums and redoes the piece from its beginning. Cheaper takes the less
time of these two, at every stop. Kill saves nothing: the task restarts from its first layer.
"""

import numpy as np

from hwmodels.compiled import piece
from hwmodels.tables import Tiles

__all__ = ["CHEAPER", "CHECKPOINT", "KILL", "RECOMPUTE", "kept_bytes", "redone_tiles", "undivided"]

CHECKPOINT, RECOMPUTE, CHEAPER, KILL = range(4)


def undivided(rows: int) -> Tiles:
    """Every layer one tile."""
    ones, zeros = np.ones(rows, dtype=np.int64), np.zeros(rows)
    return Tiles(ones, ones, zeros, zeros)


@piece
def redone_tiles(how, tile, piece, tile_s, accumulator_bytes, bytes_per_s):  # type: ignore[no-untyped-def]
    """Tiles that a task stopped after `tile` > 0 tiles of a layer redoes when it resumes."""
    inside = tile % piece
    if how == CHECKPOINT or inside == 0:
        return 0
    if how == CHEAPER and 2.0 * accumulator_bytes / bytes_per_s <= inside * tile_s:
        return 0
    return inside


@piece
def kept_bytes(tile, n, piece, redone, before_bytes, after_bytes, accumulator_bytes):  # type: ignore[no-untyped-def]
    """What such a task saves, and restores [byte]."""
    kept = before_bytes + after_bytes * (tile / n)
    if redone == 0 and tile % piece > 0:
        kept += accumulator_bytes
    return kept
