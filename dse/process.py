"""Gaussian processes over the points of a space: what our samplers predict objectives and constraints with.

Model
-----
Each target is a constant plus a Gaussian process with correlation exp(-sum over parameters of weight x distance^2) and
independent noise. The distance is the difference of the positions in the domain (0 to 1) of an ordered parameter, 1
between different values of an unordered one; an inactive parameter sits in the middle of its domain. A weight per
parameter tells which parameters matter for the target. Weights and noise are those of the largest marginal likelihood
under wide priors, by a few steps of gradient ascent from where the last fit ended; the amplitude has a closed form.

Limits
------
Cost grows with the cube of the number of points: `MOST_POINTS` at most. It ranks candidates, it never replaces an
evaluation.

References
----------
C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press 2006, equations 2.25, 2.26, 5.9.
D. P. Kingma, J. Ba, Adam, ICLR 2015, arXiv:1412.6980 (the steps).
"""

from typing import final

import numpy as np
from numpy.typing import NDArray

from spaces.domains import Domain, Real
from spaces.graph import INACTIVE
from spaces.space import Space

__all__ = ["MOST_POINTS", "GaussianProcess"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_POINTS = 350
_TUNED_ON = 150  # points that the weights are found with
_TUNE_GROWTH = 1.25  # points until weights are found anew
_FIRST_STEPS, _STEPS, _STEP = 25, 6, 0.2
_SMALL = 48  # rows of a triangular matrix that is not halved any more
_WEIGHT = np.log(0.3), 2.0  # prior of a weight's logarithm: mean, standard deviation
_NOISE = np.log(1e-2), 3.0  # of the variance of the noise relative to the amplitude's


@final
class GaussianProcess:
    """One process per target."""

    def __init__(self, space: Space) -> None:
        self._domains = list(space.domains.values())
        self._tables = [None if isinstance(domain, Real) else _table(domain) for domain in self._domains]
        self._owner = np.array([i for i, table in enumerate(self._tables)
                                for _ in range(1 if table is None else table.shape[1])])
        self._log: Floats = np.empty((0, 0))
        self._tuned = 0
        self._points: Floats = np.empty((0, len(self._owner)))
        self._root: dict[int, NDArray[np.float32]] = {}
        self._solved: Floats = np.empty((0, 0))
        self._shift: Floats = np.zeros(0)
        self._scale: Floats = np.ones(0)
        self._variance: Floats = np.ones(0)
        self.same: Ints = np.empty(0, dtype=np.int64)
        """First target with the same values but for their scale: an objective and its budget are predicted once."""
        self.error: Floats = np.zeros(0)
        """Root mean square of what was missed at a point that was left out, per target."""

    def fit(self, codes: Ints, targets: Floats) -> None:
        """Codes (n, parameters) and targets (n, targets), at most `MOST_POINTS`."""
        points = self._embedded(codes)
        self._shift = targets.mean(axis=0)
        self._scale = np.maximum(targets.std(axis=0), 1e-9)
        y = (targets - self._shift) / self._scale
        self.same = np.array([next(s for s in range(t + 1) if np.allclose(y[:, s], y[:, t], rtol=0.0, atol=1e-9))
                              for t in range(y.shape[1])])
        if not self._tuned or len(points) >= self._tuned * _TUNE_GROWTH:
            self._tune(points[-_TUNED_ON:], y[-_TUNED_ON:])
            self._tuned = len(points)
        self._points, self._root, self._solved = points, {}, np.empty_like(y)
        self._variance, self.error = np.empty(y.shape[1]), np.empty(y.shape[1])
        for t in np.unique(self.same).tolist():
            covariance = self._correlation(t, points)
            covariance.flat[::len(points) + 1] += np.exp(self._log[t, -1])
            root = _inverse(np.asarray(np.linalg.cholesky(covariance), dtype=np.float64))
            self._root[t] = root.T.astype(np.float32)  # precise enough for the spread, in half the time
            self._solved[:, t] = (root @ y[:, t]) @ root
            missed = self._solved[:, t] / (root * root).sum(axis=0)
            self.error[t] = np.sqrt((missed * missed).mean())
            self._variance[t] = max(float(self._solved[:, t] @ y[:, t]) / len(y), 1e-12)
        self.error = self.error[self.same] * self._scale

    def mean(self, codes: Ints) -> Floats:
        """What an evaluation is expected to give, (points, targets)."""
        points = self._embedded(codes)
        found = {t: self._correlation(t, points) @ self._solved[:, t] for t in self._root}
        return np.stack([found[t] for t in self.same.tolist()], axis=1) * self._scale + self._shift

    def spread(self, codes: Ints) -> Floats:
        """Standard deviation of what an evaluation would give, (points, targets)."""
        points = self._embedded(codes)
        found = {}
        for t, root in self._root.items():
            near = self._correlation(t, points).astype(np.float32) @ root
            left = 1.0 + np.exp(self._log[t, -1]) - np.einsum("ij,ij->i", near, near)
            found[t] = np.sqrt(self._variance[t] * np.maximum(left, 1e-6))
        return np.stack([found[t] for t in self.same.tolist()], axis=1) * self._scale

    def _embedded(self, codes: Ints) -> Floats:
        columns = []
        for column, domain, table in zip(codes.T, self._domains, self._tables, strict=True):
            if table is not None:
                columns.append(table[column])  # row -1, the last one, is the inactive one
            else:
                columns.append(np.array([[0.5 if code == INACTIVE else domain.frac(domain.value(int(code)))]  # type: ignore[attr-defined]
                                         for code in column]))
        return np.concatenate(columns, axis=1)

    def _correlation(self, target: int, points: Floats) -> Floats:
        """With the points fitted: minus the squared distances by one product of matrices."""
        root = np.exp(0.5 * self._log[target, self._owner])
        a, b = points * root, self._points * root
        left = np.column_stack([2.0 * a, -(a * a).sum(axis=1), np.ones(len(a))])
        right = np.column_stack([b, np.ones(len(b)), -(b * b).sum(axis=1)])
        found = left @ right.T
        np.minimum(found, 0.0, out=found)
        return np.asarray(np.exp(found, out=found))

    def _tune(self, points: Floats, y: Floats) -> None:
        """Weights and noise of every target."""
        parameters, n = len(self._domains), len(points)
        distance = np.empty((parameters, n * n))
        for i in range(parameters):
            own = points[:, self._owner == i]
            distance[i] = ((own[:, None] - own) ** 2).sum(axis=2).ravel()
        prior = np.append(np.full(parameters, _WEIGHT[0]), _NOISE[0])
        width = np.append(np.full(parameters, _WEIGHT[1]), _NOISE[1])
        steps = _STEPS
        if self._log.shape[0] != y.shape[1]:
            self._log, steps = np.tile(prior, (y.shape[1], 1)), _FIRST_STEPS
        for t in np.unique(self.same).tolist():
            first, second = np.zeros_like(prior), np.zeros_like(prior)
            for step in range(1, steps + 1):
                log = self._log[t]
                weights, noise = np.exp(log[:-1]), np.exp(log[-1])
                correlation = np.exp(-(weights @ distance)).reshape(n, n)
                inverse = np.linalg.inv(correlation + noise * np.eye(n))
                solved = inverse @ y[:, t]
                pull = np.outer(solved, solved) * (n / max(float(solved @ y[:, t]), 1e-12)) - inverse
                gradient = np.append(-0.5 * (distance @ (pull * correlation).ravel()) * weights,
                                     0.5 * np.trace(pull) * noise) - (log - prior) / width**2
                first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
                move = first / (1.0 - 0.9**step) / (np.sqrt(second / (1.0 - 0.99**step)) + 1e-8)
                self._log[t] = np.clip(log + _STEP * move, -12.0, 6.0)


def _table(domain: Domain) -> Floats:
    """(values + 1, columns): where every code is, then where an inactive parameter is."""
    n = int(domain.n)
    if domain.ordered:
        return np.append(np.linspace(0.0, 1.0, n) if n > 1 else np.full(1, 0.5), 0.5)[:, None]
    return np.concatenate([np.eye(n), np.full((1, n), 1.0 / n)]) / np.sqrt(2.0)


def _inverse(lower: Floats) -> Floats:
    """Of a lower triangular matrix, by halves: a third of the time of numpy's, which does not know that it is one."""
    n = len(lower)
    if n <= _SMALL:
        return np.asarray(np.linalg.inv(lower), dtype=np.float64)
    half = n // 2
    found = np.zeros_like(lower)
    found[:half, :half] = _inverse(lower[:half, :half])
    found[half:, half:] = _inverse(lower[half:, half:])
    found[half:, :half] = -found[half:, half:] @ (lower[half:, :half] @ found[:half, :half])
    return found
