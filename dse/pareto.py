"""Sets of points that nothing dominates. Values are oriented: every objective is to be minimised.

References
----------
Hypervolume and dominance by the moocore library (C. M. Fonseca et al., CEC 2006, DOI 10.1109/CEC.2006.1688440).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "front_indices", "hypervolume", "hypervolume_curve", "knee", "reference_point", "thin",
           "with_point"]

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


def with_point(archive: list[int], new: int, values: Sequence[Floats], violation: Sequence[float]) -> list[int]:
    """The archive after one more point: the feasible non-dominated ones; before there is one, the ten nearest to that.

    Parameters
    ----------
    archive : rows of `values`, made by this function.
    violation : of the constraints in sum, of every row; 0 is feasible [-].
    """
    if violation[new] > 0.0:
        if archive and violation[archive[0]] <= 0.0:
            return archive
        return sorted([*archive, new], key=lambda i: (violation[i], i))[:10]
    if archive and violation[archive[0]] > 0.0:
        archive = []
    value = values[new]
    if archive:
        others = np.array([values[i] for i in archive])
        if (others <= value).all(axis=1).any():
            return archive
        keep = np.flatnonzero(~(value <= others).all(axis=1))
        archive = [archive[int(i)] for i in keep]
    return [*archive, new]


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
