"""The `archive` sampler: evolution of the front found so far, with local search and a screening regression.

1. The first points are spread over the space (permuted Halton).
2. After that, a pool of candidates is made around the archive (the feasible points that nothing dominates, or those
   nearest to feasible while there are none): one-step moves, crossovers of two members with mutations, a few random
   points. Nothing proposed before is a candidate.
3. A Bayesian linear regression on the logarithm of every objective and constraint (`dse.surrogate`), one draw from its
   posterior per proposal, predicts the candidates; the one that extends the archive most is proposed. Points still
   being evaluated count as members with their predicted values, so that a batch does not crowd.
"""

import math
from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from dse.moves import Moves
from dse.pareto import with_point
from dse.points import Codes, HaltonPoints, PointSampler
from dse.surrogate import Features, Regression
from spaces.space import Space

__all__ = ["ArchiveSampler"]

Floats = NDArray[np.float64]

_BATCH = 4  # proposals from one pool
_POOL = 64  # candidates in a pool
_RANDOM_FRAC = 0.05  # proposals taken from the whole space, unscreened: keeps every region reachable
_UNRUNNABLE = "status"  # constraint of a design that cannot run at all: its other values mean nothing


def _log_constraint(violation: float) -> float:
    """Violations relative to their bound span decades on both sides of 0."""
    return math.copysign(math.log1p(abs(violation)), violation)


def _least_gain(known: Floats, points: Floats) -> Floats:
    """min over known of max over objectives of known - point, of every point."""
    best = known[:, 0, None] - points[:, 0]
    for k in range(1, known.shape[1]):
        np.maximum(best, known[:, k, None] - points[:, k], out=best)
    return np.asarray(best.min(axis=0))


@final
class ArchiveSampler(PointSampler):
    """See the module."""

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self._moves = Moves(space, self.rng)
        self._initial = HaltonPoints(space, seed)
        self._n_initial = int(min(16 + 2 * len(space.names) // 3, 40))
        self._proposed = 0
        self._queue: list[Codes] = []
        self._codes: list[Codes] = []
        self._values: list[Floats] = []
        self._constraints: list[dict[str, float]] = []
        self._violation: list[float] = []
        self._features = Features(space, self.rng)
        self._rows = np.zeros((256, len(self._features.precision)))
        self._runnable: list[int] = []
        self._regression: Regression | None = None
        self._fitted = 0
        self._logarithmic: NDArray[np.bool_] | None = None
        self._pending: dict[Codes, Floats] = {}
        self._archive: list[int] = []

    # --- learning ---------------------------------------------------------------------------------------------------

    def learn(self, codes: Codes, values: Sequence[float] | None, constraints: dict[str, float]) -> None:
        self._pending.pop(codes, None)
        if values is None:
            return
        index = len(self._codes)
        self._codes.append(codes)
        self._values.append(np.array(values, dtype=float))
        self._constraints.append(constraints)
        self._violation.append(sum(v for v in constraints.values() if v > 0.0))
        if constraints.get(_UNRUNNABLE, 0.0) <= 0.0 and all(map(math.isfinite, values)):
            if len(self._runnable) == len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._rows[len(self._runnable)] = self._features.rows([codes])[0]
            self._runnable.append(index)
        self._archive = with_point(self._archive, index, self._values, self._violation)

    def _scaled(self, values: Floats) -> Floats:
        """Objectives on the scale the regression works on: logarithms where all values were positive."""
        assert self._logarithmic is not None
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self._logarithmic, np.log(np.maximum(values, 1e-300)), values)

    def _refit(self) -> None:
        n = len(self._runnable)
        if n < self._n_initial or n < self._fitted * 1.06 + 3:
            return
        values = np.array([self._values[i] for i in self._runnable])
        self._logarithmic = np.asarray((values > 0.0).all(axis=0))
        names = sorted({name for i in self._runnable for name in self._constraints[i]} - {_UNRUNNABLE})
        constraints = np.array([[_log_constraint(self._constraints[i].get(name, 0.0)) for name in names]
                                for i in self._runnable]).reshape(n, len(names))
        targets = np.concatenate([self._scaled(values), np.clip(constraints, -20.0, 20.0)], axis=1)
        if self._regression is None:
            self._regression = Regression(self._features.precision)
        self._regression.fit(self._rows[:n], targets)
        self._fitted = n

    # --- proposing --------------------------------------------------------------------------------------------------

    def propose(self) -> Sequence[int]:
        self._proposed += 1
        if self._proposed <= self._n_initial or not self._archive:
            return self.space.spread_codes(self._initial.coordinates())
        if self.rng.random() < _RANDOM_FRAC:
            return self.space.sample_evenly_codes(self.rng)
        self._queue = [codes for codes in self._queue if codes not in self.seen]
        if not self._queue:
            self._queue = self._screen(self._pool())
        return self._queue.pop(0) if self._queue else self.space.sample_evenly_codes(self.rng)

    def _pool(self) -> list[Codes]:
        """New candidates around the archive, in a fixed order."""
        members = np.array([self._codes[i] for i in self._archive], dtype=np.int64)
        sparse = self._sparsest()
        pool: dict[Codes, None] = {}
        for _ in range(3):
            a, b, second = (self.rng.random((3, _POOL)) * len(members)).astype(np.int64)
            first = np.where(sparse[a] >= sparse[b], a, b)
            for codes in self._moves.children(members[first], members[second]):
                if codes not in self.seen:
                    pool[codes] = None
            if len(pool) >= _POOL // 2:
                break
        return list(pool)

    def _sparsest(self) -> Floats:
        """Crowding distance of every member: larger where the front is thin."""
        n = len(self._archive)
        distance = np.zeros(n)
        if n < 3:
            return distance
        values = np.array([self._values[i] for i in self._archive])
        for column in values.T:
            order = np.argsort(column, kind="stable")
            span = column[order[-1]] - column[order[0]]
            if span > 0.0:
                distance[order[[0, -1]]] += 1.0
                distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
        return distance

    def _screen(self, pool: list[Codes]) -> list[Codes]:
        """The best of the pool for as many draws of the regression as a batch has proposals."""
        if not pool:
            return []
        self._refit()
        if self._regression is None:
            return pool[:_BATCH]
        assert self._logarithmic is not None
        rows = self._features.rows(pool)
        m = len(self._logarithmic)
        feasible = self._violation[self._archive[0]] <= 0.0
        members = self._scaled(np.array([self._values[i] for i in self._archive]))
        low = members.min(axis=0)
        span = np.maximum(members.max(axis=0) - low, 1e-9)
        chosen: list[Codes] = []
        for _ in range(min(_BATCH, len(pool))):
            predicted = self._regression.predict(rows, self._regression.draw(self.rng))
            objectives, constraints = predicted[:, :m], predicted[:, m:]
            excess = np.maximum(constraints, 0.0).sum(axis=1)
            if feasible:
                known = np.concatenate([members, *[value[None] for value in self._pending.values()]])
                # additive epsilon: by how much (of the archive's extent) every member is beaten in some objective
                gain = _least_gain(known / span, objectives / span)
                score = gain - 3.0 * excess
            else:
                score = -excess
            score[[codes in self._pending for codes in pool]] = -np.inf
            best = int(np.argmax(score))
            chosen.append(pool[best])
            self._pending[pool[best]] = objectives[best]
        return chosen
