"""How far a result can be trusted: the constants' ranges carried through any evaluation.

Model
-----
Every quantity of `hwmodels.technology` has one position in its range. Positions are drawn independently and uniformly
by Latin-hypercube sampling (each quantity visits every one of `samples` strata once); the two corners (all low, all
high) are added. Two designs are compared on the same draws: most constants act on both alike, so that a ranking can be
certain where the figures themselves are not.

References
----------
M. McKay, R. Beckman, W. Conover, Technometrics 21(2), 1979, doi:10.1080/00401706.1979.10489755.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hwmodels.errors import ModelError
from hwmodels.technology import QUANTITIES, Constants

__all__ = ["Interval", "Ranking", "draws", "intervals", "ranking"]

Evaluate = Callable[[Constants], Mapping[str, float]]
"""Metrics of one design, given the constants."""


class Interval(NamedTuple):
    """A metric under uncertain constants, in the metric's unit."""

    value: float
    """With all central values."""
    p05: float
    p95: float
    """Nine draws in ten lie between `p05` and `p95`."""
    low: float
    high: float
    """Least and largest seen, corners included."""


class Ranking(NamedTuple):
    """Is design A below design B whatever the constants are?"""

    difference: float
    """A - B with central values, in the metric's unit."""
    agree_frac: float
    """Share of the draws that order the designs as the central values do [-]."""
    survives: bool
    """All draws and both corners agree."""


def draws(samples: int = 64, *, seed: int = 0, quantities: Sequence[str] | None = None) -> tuple[Constants, ...]:
    """Central values, all low, all high, then `samples` Latin-hypercube draws; the same for the same arguments.

    Parameters
    ----------
    samples : number of draws, >= 0 [-].
    seed : of the draws.
    quantities : those that vary; None = all.

    Raises
    ------
    ModelError : an unknown quantity or a negative number of samples.
    """
    if samples < 0:
        raise ModelError("samples", "an integer >= 0", samples)
    names = tuple(QUANTITIES) if quantities is None else tuple(quantities)
    rng = np.random.default_rng(seed)
    strata = np.stack([rng.permutation(samples) for _ in names]) if names else np.empty((0, samples))
    positions = 2.0 * (strata + rng.random(strata.shape)) / max(1, samples) - 1.0
    corners = [Constants.of(dict.fromkeys(names, at)) for at in (0.0, -1.0, 1.0)]
    sampled = [Constants.of(zip(names, column.tolist(), strict=True)) for column in positions.T]
    return (*corners, *sampled)


def _table(evaluate: Evaluate, constants: Sequence[Constants]) -> dict[str, np.ndarray]:
    rows = [evaluate(each) for each in constants]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def intervals(evaluate: Evaluate, *, samples: int = 64, seed: int = 0,
              quantities: Sequence[str] | None = None) -> dict[str, Interval]:
    """Interval of every metric that `evaluate` returns.

    Parameters
    ----------
    evaluate : pure function of the constants, called `samples` + 3 times.
    samples, seed, quantities : see `draws`.
    """
    table = _table(evaluate, draws(samples, seed=seed, quantities=quantities))
    result = {}
    for name, column in table.items():
        inner = column[3:] if samples else column
        p05, p95 = np.quantile(inner, (0.05, 0.95))
        result[name] = Interval(float(column[0]), float(p05), float(p95), float(column.min()), float(column.max()))
    return result


def ranking(evaluate_a: Evaluate, evaluate_b: Evaluate, *, samples: int = 64, seed: int = 0,
            quantities: Sequence[str] | None = None) -> dict[str, Ranking]:
    """For every metric both designs have: does their order survive the ranges? Paired draws.

    Equal values count as agreeing with either order.
    """
    constants = draws(samples, seed=seed, quantities=quantities)
    a, b = _table(evaluate_a, constants), _table(evaluate_b, constants)
    result = {}
    for name in a.keys() & b.keys():
        difference = a[name] - b[name]
        agree = difference * np.sign(difference[0]) >= 0.0
        result[name] = Ranking(float(difference[0]), float(agree.mean()), bool(agree.all()))
    return dict(sorted(result.items()))
