"""Sets of points that nothing dominates. Values are oriented: every objective is to be minimised.

References
----------
Hypervolume and dominance by the moocore library (C. M. Fonseca et al., CEC 2006, DOI 10.1109/CEC.2006.1688440).
"""

from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Archive", "Curve", "front_indices", "hypervolume", "hypervolume_curve", "knee", "reference_point", "thin"]

Floats = NDArray[np.float64]


def front_indices(values: Floats) -> list[int]:
    """Rows of (n, objectives) that no other row dominates, ascending; of equal rows the first only."""
    from moocore import is_nondominated

    points = np.asarray(values, dtype=float)
    if not len(points):
        return []
    _, first = np.unique(points, axis=0, return_index=True)
    first = np.sort(first)
    return [int(i) for i in first[is_nondominated(points[first])]]


@final
class Archive:
    """The feasible points that nothing dominates, as they come; before there is one, the ten nearest to feasible.

    `rows` are the numbers the points were added with, in the order they came, `values` theirs, (rows, objectives).
    """

    def __init__(self) -> None:
        self.rows: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.values: Floats = np.empty((0, 0))
        self.feasible = False
        self._violation: Floats = np.empty(0)

    def add(self, row: int, value: Floats, violation: float) -> bool:
        """Whether the point is taken in; `violation` of its constraints in sum, <= 0 is feasible [-]."""
        if violation > 0.0:
            if not self.feasible:
                self._append(row, value, violation)
                self._keep(np.sort(np.lexsort((self.rows, self._violation))[:10]))
            return not self.feasible and row in self.rows
        if not self.feasible:
            self.feasible = True
            self._keep(np.empty(0, dtype=np.int64))
        elif (self.values <= value).all(axis=1).any():
            return False
        else:
            self._keep(np.flatnonzero((self.values < value).any(axis=1)))
        self._append(row, value, violation)
        return True

    def _append(self, row: int, value: Floats, violation: float) -> None:
        self.rows = np.append(self.rows, row)
        self.values = np.concatenate([self.values.reshape(-1, len(value)), value[None]])
        self._violation = np.append(self._violation, violation)

    def _keep(self, at: NDArray[np.int64]) -> None:
        if len(at) < len(self.rows):
            self.rows, self.values, self._violation = self.rows[at], self.values[at], self._violation[at]


def reference_point(values: Floats, bounds: Sequence[float | None]) -> Floats:
    """Where hypervolume is measured from: the bound of an objective with a budget, else its worst value in `values`.

    `bounds` are oriented like the values. Without values and bounds the coordinate is NaN.
    """
    worst = np.asarray(values, dtype=float).max(axis=0) if len(values) else np.full(len(bounds), np.nan)
    return np.array([worst[i] if bound is None else bound for i, bound in enumerate(bounds)])


def hypervolume(values: Floats, reference: Floats) -> float:
    """Volume dominated by the points up to the reference, each axis in units of |reference| [-].

    For objectives >= 0 that is the share of the box between zero and the reference.
    """
    from moocore import hypervolume as volume

    points = np.asarray(values, dtype=float)
    if not len(points) or not np.isfinite(reference).all():
        return 0.0
    scale = np.where(reference != 0.0, np.abs(reference), 1.0)
    points, ref = points / scale, reference / scale
    points = points[(points < ref).all(axis=1)]
    return float(volume(points, ref=ref)) if len(points) else 0.0


class Curve(NamedTuple):
    """Progress of a search after `trials` trials: hypervolume [-] and size of the feasible front."""

    trials: list[int]
    hypervolume: list[float]
    front: list[int]


def hypervolume_curve(values: Floats, usable: NDArray[np.bool_], reference: Floats, points: int) -> Curve:
    """Hypervolume against trials.

    Parameters
    ----------
    values : (n, objectives) in the order of the trials.
    usable : (n,) whether a trial is feasible and known.
    points : of the curve, at most.
    """
    ends = np.unique(np.linspace(1, len(values), min(points, len(values))).round().astype(int))
    archive, start = np.empty((0, values.shape[1])), 0
    volumes, sizes = [], []
    for end in ends:
        archive, start = np.concatenate([archive, values[start:end][usable[start:end]]]), int(end)
        archive = archive[front_indices(archive)]
        volumes.append(hypervolume(archive, reference))
        sizes.append(len(archive))
    return Curve([int(end) for end in ends], volumes, sizes)


def _unit(values: Floats) -> Floats:
    low, high = values.min(axis=0), values.max(axis=0)
    return (values - low) / np.where(high > low, high - low, 1.0)


def knee(values: Floats) -> int:
    """Row of a front nearest to its ideal corner, axes scaled to the front (first on ties)."""
    return int(np.argmin((_unit(np.asarray(values, dtype=float)) ** 2).sum(axis=1)))


def thin(values: Floats, n: int) -> list[int]:
    """At most `n` rows of a front that represent it, ascending: best of each objective, knee, then farthest first."""
    points = np.asarray(values, dtype=float)
    if len(points) <= n:
        return list(range(len(points)))
    unit = _unit(points)
    chosen = list(dict.fromkeys([*(int(i) for i in unit.argmin(axis=0)), knee(points)]))[:n]
    distance = np.min([((unit - unit[i]) ** 2).sum(axis=1) for i in chosen], axis=0)
    while len(chosen) < n:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, ((unit - unit[chosen[-1]]) ** 2).sum(axis=1))
    return sorted(chosen)
