"""The tree of boxes that a search has cut its space into, and what became of each."""

import math
from enum import IntEnum
from typing import final

import numpy as np
from numpy.typing import NDArray

from dse.boxes import Bounded
from spaces.boxes import Box, halves

__all__ = ["BoxState", "Boxes"]

Floats = NDArray[np.float64]


class BoxState(IntEnum):
    """What became of a box."""

    OPEN = 0
    CUT = 1
    """Its halves say more."""
    EMPTY = 2
    """No valid design."""
    BUDGET = 3
    """A budget cannot be met."""
    DOMINATED = 4
    CANNOT_RUN = 5
    """None of its designs can be built."""
    SIMULATED = 6
    """Its only design was."""


@final
class Boxes:
    """The tree of boxes: row 0 is the whole space, the halves of a box follow each other.

    Attributes
    ----------
    parameter, cut, below : of a box that is cut: position of the parameter, last code of the first half, row of the
        first half; else -1.
    state, by : what became of it, and the index of a budget or the number of a trial that says so; else -1.
    share : of the space [-].
    vectors : (n, objectives) bounds.
    """

    def __init__(self, space_box: Box, ideal: Floats) -> None:
        self.boxes = [space_box]
        self.parameter, self.cut, self.below = [-1], [-1], [-1]
        self.share, self.active = [1.0], [tuple(range(len(space_box.low)))]
        self._size, self._vectors = 1, ideal[None].copy()
        self._state, self._by = np.zeros(1, dtype=np.uint8), np.full(1, -1, dtype=np.int64)

    @property
    def vectors(self) -> Floats:
        return self._vectors[:self._size]

    @property
    def state(self) -> NDArray[np.uint8]:
        return self._state[:self._size]

    @property
    def by(self) -> NDArray[np.int64]:
        return self._by[:self._size]

    @property
    def open(self) -> NDArray[np.int64]:
        """Rows of the boxes that are not decided."""
        return np.flatnonzero(self.state == BoxState.OPEN)

    def split(self, row: int, parameter: int, cut: int) -> tuple[int, int]:
        """Cut a box: rows of its halves, which have its bounds until they have their own."""
        first = self._size
        self.parameter[row], self.cut[row], self.below[row] = parameter, cut, first
        self.state[row] = BoxState.CUT
        for half in halves(self.boxes[row], parameter, cut):
            self.boxes.append(half)
            self.parameter.append(-1)
            self.cut.append(-1)
            self.below.append(-1)
            self.share.append(math.nan)
            self.active.append(self.active[row])
        if first + 2 > len(self._state):
            self._vectors = np.concatenate([self._vectors] * 3)
            self._state, self._by = np.concatenate([self._state] * 3), np.concatenate([self._by] * 3)
        self._size += 2
        self._vectors[first:first + 2], self._by[first:first + 2] = self._vectors[row], -1
        self._state[first:first + 2] = BoxState.OPEN
        return first, first + 1

    def know(self, row: int, found: Bounded) -> None:
        """What its bounds say of a box; a half is no better than the box it is from."""
        self.share[row], self.active[row] = found.share, found.active
        if not found.share:
            self.state[row] = BoxState.EMPTY
        elif found.broken == -2:
            self.state[row] = BoxState.CANNOT_RUN
        else:
            self.vectors[row] = np.maximum(self.vectors[row], found.vector)
            if found.broken >= 0:
                self.state[row], self.by[row] = BoxState.BUDGET, found.broken
