"""A quick regression over the points of a space: what the `archive` sampler screens its candidates with.

Model
-----
Each target is linear in: the position of every ordered parameter in its domain and its square, one column per value of
an unordered parameter, and the products of two of those columns where both can be active. Costs of hardware are close
to products of powers of sizes, so logarithms of targets are close to this form.
Gaussian prior on the weights (products are trusted less), Gaussian noise: the posterior is a ridge regression with a
covariance, and one draw of it (Thompson sampling) trades exploring against exploiting without a parameter.

Limits
------
At most `_MAX_COLUMNS` columns; no term of third order. It ranks candidates, it never replaces an evaluation.

References
----------
C. M. Bishop, Pattern Recognition and Machine Learning, 2006, section 3.3 (equations 3.53, 3.54).
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from spaces.domains import Real
from spaces.space import Space

__all__ = ["Features", "Regression", "Smoother"]

Floats = NDArray[np.float64]

_MAX_COLUMNS = 240
_PRECISION = (1.0, 4.0)  # of the prior: single columns, products


@final
class Features:
    """Codes of points -> rows of the design matrix."""

    def __init__(self, space: Space, rng: np.random.Generator) -> None:
        self._domains = list(space.domains.values())
        self._tables: list[Floats | None] = []
        is_number: list[bool] = []
        owner: list[int] = []
        for index, domain in enumerate(self._domains):
            if isinstance(domain, Real):
                self._tables.append(None)
                width = 2
            else:
                table = _table(int(domain.n), domain.ordered)
                self._tables.append(table)
                width = table.shape[1]
            ordered = domain.ordered
            is_number += [ordered and column == 0 for column in range(width)]
            owner += [index] * width
        probe = np.array([space.sample_evenly_codes(rng) for _ in range(400)])
        base = self._base(probe)
        self._kept = np.flatnonzero(np.ptp(base, axis=0) > 0.0)
        numbers = [int(c) for c in self._kept if is_number[c]]
        names = [int(c) for c in self._kept if not self._domains[owner[c]].ordered]
        pairs = [(i, j) for k, i in enumerate(numbers) for j in numbers[k + 1:]]
        pairs += [(i, j) for i in names for j in numbers + names if owner[i] != owner[j] and (j in numbers or i < j)]
        pairs = [(i, j) for i, j in pairs if np.ptp(base[:, i] * base[:, j]) > 0.0]
        pairs = pairs[: max(0, _MAX_COLUMNS - len(self._kept) - 1)]
        self._left = np.array([i for i, _ in pairs], dtype=np.int64)
        self._right = np.array([j for _, j in pairs], dtype=np.int64)
        self.precision = np.concatenate([[1e-6], np.full(len(self._kept), _PRECISION[0]),
                                         np.full(len(pairs), _PRECISION[1])])

    def _base(self, codes: NDArray[np.int64]) -> Floats:
        columns = []
        for index, (domain, table) in enumerate(zip(self._domains, self._tables, strict=True)):
            if table is not None:
                columns.append(table[codes[:, index]])  # row -1, the last one, is the inactive one
                continue
            assert isinstance(domain, Real)
            z = np.array([0.0 if c < 0 else 2.0 * domain.frac(domain.value(int(c))) - 1.0 for c in codes[:, index]])
            columns.append(np.stack([z, z * z], axis=1))
        return np.concatenate(columns, axis=1)

    def rows(self, codes: Sequence[Sequence[int]]) -> Floats:
        """Shape (points, columns)."""
        matrix: NDArray[np.int64] = np.array(codes, dtype=np.int64)
        base = self._base(matrix)
        products = base[:, self._left] * base[:, self._right]
        return np.concatenate([np.ones((len(base), 1)), base[:, self._kept], products], axis=1)


def _table(n: int, ordered: bool) -> Floats:
    """(n + 1, width): columns of every code, then of the inactive parameter (zeros)."""
    if not ordered:
        return np.concatenate([np.eye(n), np.zeros((1, n))])
    z = np.linspace(-1.0, 1.0, n) if n > 1 else np.zeros(1)
    return np.concatenate([np.stack([z, z * z, np.ones(n)], axis=1), np.zeros((1, 3))])


@final
class Regression:
    """Posterior over the weights of several targets, updated in batches."""

    def __init__(self, precision: Floats) -> None:
        self._precision = precision
        self._gram: Floats = np.diag(precision)
        self._rows: list[Floats] = []
        self._targets: list[Floats] = []
        self._used = 0
        self._mean: Floats = np.zeros((len(precision), 0))
        self._factor: Floats = np.zeros((0, 0))
        self._noise = np.zeros(0)
        self._shift = np.zeros(0)
        self._scale = np.ones(0)

    def fit(self, rows: Floats, targets: Floats) -> None:
        """Posterior given all rows (n, columns) and targets (n, targets); earlier rows are not looked at again."""
        new = rows[self._used:]
        self._gram += new.T @ new
        self._used = len(rows)
        self._shift = targets.mean(axis=0)
        self._scale = np.asarray(targets.std(axis=0), dtype=np.float64) + 1e-12
        y = (targets - self._shift) / self._scale
        covariance = np.linalg.inv(self._gram)
        self._mean = covariance @ (rows.T @ y)
        residual = y - rows @ self._mean
        # shrinkage leaves residuals small while n < columns: floor the noise
        self._noise = np.asarray(np.sqrt((residual**2).mean(axis=0) + 1e-4), dtype=np.float64)
        covariance = (covariance + covariance.T) / 2.0
        self._factor = np.asarray(np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance))), dtype=np.float64)

    @property
    def mean(self) -> Floats:
        """Of the weights, shape (columns, targets)."""
        return self._mean

    def draw(self, rng: np.random.Generator) -> Floats:
        """One sample of the weights, shape (columns, targets)."""
        z = rng.standard_normal(self._mean.shape)
        return self._mean + (self._factor @ z) * self._noise

    def predict(self, rows: Floats, weights: Floats) -> Floats:
        """Targets in their own units, shape (points, targets)."""
        return rows @ weights * self._scale + self._shift


_MOST_POINTS = 400  # that a smoother looks at: its cost grows with their cube
_NUGGET = 0.05
_REACH = (1.0, 2.0, 4.0, 8.0)  # decay of the correlation per parameter at the other end of its domain


@final
class Smoother:
    """What a regression leaves over, where points close by left over the same: simple kriging of the residuals.

    Correlation exp(-reach x distance), distance the sum over parameters of |difference| / extent of an ordered one, 1
    for different values of an unordered one. `reach` is the one with the least leave-one-out error, per target; a
    target that no reach predicts better than zero is not smoothed.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press 2006, equation 5.12.
    """

    def __init__(self, space: Space) -> None:
        self._step = np.array([0.0 if isinstance(d, Real) or not d.ordered else 1.0 / max(1, int(d.n) - 1)
                               for d in space.domains.values()])
        self._known: NDArray[np.int64] = np.empty((0, len(self._step)), dtype=np.int64)
        self._weights: list[tuple[float, int, Floats]] = []
        self._targets = 0
        self.error = np.zeros(0)
        """Root mean square of what is left at a point that was left out, per target."""

    def fit(self, codes: NDArray[np.int64], residuals: Floats) -> None:
        """Codes (n, parameters) and residuals (n, targets); the last ones are used if there are too many."""
        codes, residuals = codes[-_MOST_POINTS:], residuals[-_MOST_POINTS:]
        self._known, self._targets, self._weights = codes, residuals.shape[1], []
        distance = self._distance(codes, codes)
        least = (residuals**2).sum(axis=0)
        best: list[tuple[float, int, Floats] | None] = [None] * self._targets
        for reach in _REACH:
            inverse = np.linalg.inv(np.exp(-reach * distance) + _NUGGET * np.eye(len(codes)))
            weights = inverse @ residuals
            missed = ((weights / np.diag(inverse)[:, None]) ** 2).sum(axis=0)
            for t in np.flatnonzero(missed < 0.98 * least).tolist():
                least[t], best[t] = missed[t], (reach, t, weights[:, t])
        self._weights = [one for one in best if one is not None]
        self.error = np.asarray(np.sqrt(least / len(codes)), dtype=np.float64)

    def predict(self, codes: NDArray[np.int64]) -> Floats:
        """(points, targets)."""
        found = np.zeros((len(codes), self._targets))
        if not self._weights:
            return found
        distance = self._distance(codes, self._known)
        kernels = {reach: np.exp(-reach * distance) for reach in {reach for reach, _, _ in self._weights}}
        for reach, t, weights in self._weights:
            found[:, t] = kernels[reach] @ weights
        return found

    def _distance(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
        total = np.zeros((len(a), len(b)))
        for i, step in enumerate(self._step.tolist()):
            x, y = a[:, i, None], b[None, :, i]
            if step:
                total += np.where((x < 0) != (y < 0), 1.0, np.abs(x - y) * step)
            else:
                total += x != y
        return total
