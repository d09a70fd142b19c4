"""A quick regression over the points of a space: the trend of many results, behind `dse.process`.

Model
-----
Each target is linear in: the position of every ordered parameter in its domain and its square, one column per value of
an unordered parameter, and the products of two of those columns where both can be active. Costs of hardware are close
to products of powers of sizes, so logarithms of targets are close to this form.
Gaussian prior on the weights (products are trusted less), Gaussian noise: the mean of the posterior is a ridge
regression.

Limits
------
At most `_MAX_COLUMNS` columns; no term of third order. It ranks candidates, it never replaces an evaluation.

References
----------
C. M. Bishop, Pattern Recognition and Machine Learning, 2006, section 3.3 (equation 3.53).
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from spaces.domains import Real
from spaces.space import Space

__all__ = ["Features", "Regression"]

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

    def rows(self, codes: Sequence[Sequence[int]] | NDArray[np.int64]) -> Floats:
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
    """Mean weights of several targets, updated in batches."""

    def __init__(self, precision: Floats) -> None:
        self._precision = precision
        self._gram: Floats = np.diag(precision)
        self._used = 0
        self._mean: Floats = np.zeros((len(precision), 0))
        self._shift = np.zeros(0)
        self._scale = np.ones(0)

    def fit(self, rows: Floats, targets: Floats) -> None:
        """Weights given all rows (n, columns) and targets (n, targets); earlier rows are not looked at again."""
        new = rows[self._used:]
        self._gram += new.T @ new
        self._used = len(rows)
        self._shift = targets.mean(axis=0)
        self._scale = np.asarray(targets.std(axis=0), dtype=np.float64) + 1e-12
        y = (targets - self._shift) / self._scale
        self._mean = np.asarray(np.linalg.solve(self._gram, rows.T @ y), dtype=np.float64)

    def predict(self, rows: Floats) -> Floats:
        """Targets in their own units, shape (points, targets)."""
        return rows @ self._mean * self._scale + self._shift
