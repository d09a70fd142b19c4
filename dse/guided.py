"""The `guided` sampler: starts from the front that estimates predict, and learns how far off they are.

1. A stock of candidates: points spread over the space (all of a small one) and moves around the best of them, each with
   the estimate of its objectives and constraints (`dse.estimate`).
2. A Bayesian linear regression over the parameters learns the logarithm of true / estimated of every objective and
   constraint, and a smoother what it leaves over between neighbours (`dse.surrogate`).
3. One draw of the regression's posterior predicts the candidates (Thompson sampling), with a few draws of the error
   that remains; in turn, those are proposed that are expected to add most feasible hypervolume to the front found so
   far. Points still being evaluated count with their predicted values.
4. Whenever enough was learnt the regression is fitted anew, and the stock grows around what is best by then; it also
   grows when its best candidates are used up. Fits grow rarer and draws longer with the run, so that a trial stays
   cheap.

Hypervolume is measured along random directions from a reference point beyond the front: the mean over directions of
(distance to the front) ** objectives.

References
----------
J. Deng, Q. Zhang, IEEE Trans. Evol. Comput. 23(5), 2019, doi:10.1109/TEVC.2019.2891610 (hypervolume by directions).
D. Russo et al., A Tutorial on Thompson Sampling, 2018, arXiv:1707.02038.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from dse.moves import Moves
from dse.pareto import with_point
from dse.points import Codes, PointSampler
from dse.surrogate import Features, Regression, Smoother
from spaces.space import Space

if TYPE_CHECKING:
    from dse.estimate import Estimate

__all__ = ["GuidedSampler"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BATCH = 4  # proposals from one draw, at first
_BATCH_FRAC = 0.01  # of the results so far: later ones change less
_SPREAD = 1000  # points of the first stock of a larger space; 1 to 3 ms each
_WHOLE = 2000  # size of a space that is taken whole
_ROUNDS = 4  # of moves around the predicted front, before the first proposal
_CHILDREN = 250  # in a round
_SHORT = 300  # candidates that are looked at for a proposal
_DIRECTIONS = 100
_DRAWS = 4  # of the error that remains
_DARING = 0.5  # share of that error: all of it explores too long, none of it stops at the predicted front
_RANDOM_FRAC = 0.02  # proposals from the whole space: keeps every region reachable
_GROWTH = 1.06  # results until the next fit, at first
_LATE = 300, 1.15  # results after which fits are this far apart
_PRIOR = 0.1  # how far off estimates are thought to be per parameter, before anything is known (logarithm)
_UNRUNNABLE = "status"  # constraint of a design that cannot run at all: its other values mean nothing
_LARGE = 20.0  # limit of a transformed constraint
_TINY = 1e-300


def signed_log(violation: Floats) -> Floats:
    """Violations relative to their bound span decades on both sides of 0."""
    return np.asarray(np.clip(np.copysign(np.log1p(np.abs(violation)), violation), -_LARGE, _LARGE))


class _Scale:
    """Objectives and constraints as the regression sees them: logarithms where all values are positive."""

    def __init__(self, logarithmic: NDArray[np.bool_], names: Sequence[str]) -> None:
        self.logarithmic, self.names = logarithmic, tuple(names)
        self.objectives = len(logarithmic)

    def values(self, values: Floats) -> Floats:
        return np.where(self.logarithmic, np.log(np.maximum(values, _TINY)), values)

    def targets(self, values: Floats, constraints: Sequence[dict[str, float]]) -> Floats:
        """(n, objectives + constraints)."""
        columns = np.array([[one.get(name, 0.0) for name in self.names] for one in constraints])
        return np.concatenate([self.values(values), signed_log(columns.reshape(len(values), len(self.names)))], axis=1)


def _reach(points: Floats, reference: Floats, directions: Floats) -> Floats:
    """Distance from the reference to the point's corner along every direction, at least 0, (n, directions)."""
    reach = (reference - points)[:, None, 0] / directions[:, 0]
    for k in range(1, points.shape[1]):
        np.minimum(reach, (reference - points)[:, None, k] / directions[:, k], out=reach)
    return np.maximum(reach, 0.0)


def _power(values: Floats, exponent: int) -> Floats:
    """values ** exponent by products: `pow` takes several times as long."""
    result = values
    for _ in range(exponent - 1):
        result = result * values
    return result


def _best_layers(values: Floats, most: int) -> Ints:
    """Rows of the first non-dominated layers, as many as it takes to have `most`."""
    from moocore import is_nondominated

    left = np.arange(len(values))
    chosen: list[Ints] = []
    while len(left) and sum(map(len, chosen)) < most:
        front = is_nondominated(values[left], keep_weakly=True)
        chosen.append(left[front])
        left = left[~front]
    return np.concatenate(chosen) if chosen else left


@final
class GuidedSampler(PointSampler):
    """See the module.

    Parameters
    ----------
    estimate : of the study.
    """

    def __init__(self, space: Space, seed: int, estimate: "Estimate") -> None:
        super().__init__(space, seed)
        self._estimate = estimate
        self._moves = Moves(space, self.rng)
        self._features = Features(space, self.rng)
        self._queue: list[Codes] = []
        self._scale: _Scale | None = None
        self._regression = Regression(self._features.precision)
        self._smoother = Smoother(space)
        # the stock
        self._place: dict[Codes, int] = {}
        self._codes = np.empty((0, len(space.names)), dtype=np.int64)
        self._rows = np.empty((0, len(self._features.precision)))
        self._prior = np.empty((0, 0))
        self._good = np.empty(0, dtype=bool)
        self._short: Ints = np.empty(0, dtype=np.int64)
        self._rest = np.empty((0, 0))
        # what was told
        self._told: list[Codes] = []
        self._values: list[Floats] = []
        self._constraints: list[dict[str, float]] = []
        self._violation: list[float] = []
        self._runnable: list[int] = []
        self._archive: list[int] = []
        self._pending: dict[Codes, Floats] = {}
        self._fitted = 0
        self._due = True
        self._stocked = False

    # --- learning ---------------------------------------------------------------------------------------------------

    def learn(self, codes: Codes, values: Sequence[float] | None, constraints: dict[str, float]) -> None:
        self._pending.pop(codes, None)
        if values is None:
            return
        index = len(self._told)
        self._told.append(codes)
        self._values.append(np.array(values, dtype=float))
        self._constraints.append(constraints)
        self._violation.append(sum(v for v in constraints.values() if v > 0.0))
        if constraints.get(_UNRUNNABLE, 0.0) <= 0.0 and all(map(math.isfinite, values)):
            self._runnable.append(index)
        self._archive = with_point(self._archive, index, self._values, self._violation)
        n = len(self._runnable)
        self._due = self._due or n >= self._fitted * (_GROWTH if self._fitted < _LATE[0] else _LATE[1]) + 3

    def _feasible(self) -> bool:
        return bool(self._archive) and self._violation[self._archive[0]] <= 0.0

    # --- the stock --------------------------------------------------------------------------------------------------

    def _add(self, candidates: Sequence[Codes]) -> None:
        """Take candidates into the stock that are not in it."""
        new = [codes for codes in dict.fromkeys(candidates) if codes not in self._place]
        if not new:
            return
        prior, good = self._estimated(new)
        for codes in new:
            self._place[codes] = len(self._place)
        self._codes = np.concatenate([self._codes, np.array(new, dtype=np.int64)])
        self._rows = np.concatenate([self._rows, self._features.rows(new)])
        self._prior = np.concatenate([self._prior.reshape(len(self._good), prior.shape[1]), prior])
        self._good = np.concatenate([self._good, good])

    def _estimated(self, new: Sequence[Codes]) -> tuple[Floats, NDArray[np.bool_]]:
        """Targets as estimated, and which candidates are worth a look."""
        found = self._estimate([self.space.decode(codes) for codes in new])
        good = np.asarray(~np.isinf(found.values).any(axis=1))
        if self._scale is None:
            known = found.values[good]
            self._scale = _Scale(np.asarray((known > 0.0).all(axis=0)), sorted(found.constraints))
        constraints = np.stack([found.constraints[name] for name in self._scale.names], axis=1) \
            if self._scale.names else np.empty((len(new), 0))
        prior = np.concatenate([self._scale.values(np.where(np.isinf(found.values), 1.0, found.values)),
                                signed_log(constraints)], axis=1)
        return np.nan_to_num(prior, nan=0.0), good

    def _first_stock(self) -> None:
        size = self.space.size()
        if size <= _WHOLE:
            self._add(list(self.space.enumerate_codes()))
            return
        self._add([self.space.sample_evenly_codes(self.rng) for _ in range(_SPREAD)])
        for _ in range(_ROUNDS):
            self._grow()

    def _grow(self) -> None:
        """Moves around the archive and what is predicted to be best."""
        self._shorten()
        parents = self._codes[self._short[:100]] if len(self._short) else self._codes
        if self._archive:
            known = np.array([self._told[i] for i in self._archive], dtype=np.int64)
            parents = np.concatenate([known, parents])
        first, second = self.rng.integers(len(parents), size=(2, _CHILDREN))
        self._add([codes for codes in self._moves.children(parents[first], parents[second]) if codes not in self.seen])

    def _shorten(self) -> None:
        """The best candidates of the stock, by the mean of what is predicted."""
        assert self._scale is not None
        m = self._scale.objectives
        fresh = np.array([codes not in self.seen for codes in self._place], dtype=bool)
        rows = np.flatnonzero(fresh & self._good)
        if not len(rows):
            rows = np.flatnonzero(fresh)
        if not len(rows):
            self._short, self._rest = rows, np.empty((0, self._prior.shape[1]))
            return
        predicted = self._prior[rows] + self._correction(self._rows[rows], None)
        excess = np.maximum(predicted[:, m:] - 2.0 * self._error()[m:], 0.0).sum(axis=1)
        within = np.flatnonzero(excess <= 0.0)
        chosen = within[_best_layers(predicted[within, :m], _SHORT)]
        if len(chosen) < _SHORT // 4:  # hardly anything is thought to be feasible: what is nearest to it
            chosen = np.unique(np.concatenate([chosen, np.argsort(excess, kind="stable")[:_SHORT // 4]]))
        self._short = rows[chosen]
        self._rest = self._smoothed(self._short)

    def _smoothed(self, rows: Ints) -> Floats:
        """What neighbours say that the regression does not."""
        if not self._fitted:
            return np.zeros((len(rows), self._prior.shape[1]))
        return self._smoother.predict(self._codes[rows])

    def _error(self) -> Floats:
        """Of a prediction, per target."""
        return self._smoother.error if self._fitted else np.full(self._prior.shape[1], _PRIOR)

    def _correction(self, features: Floats, weights: Floats | None) -> Floats:
        if self._fitted:
            return self._regression.predict(features, self._regression.mean if weights is None else weights)
        return 0.0 * features[:, :1] if weights is None else features @ weights

    def _refit(self) -> None:
        """Fit the regression to everything told, and let the stock grow."""
        self._due = False
        n = len(self._runnable)
        if n >= 3:
            values = np.array([self._values[i] for i in self._runnable])
            constraints = [self._constraints[i] for i in self._runnable]
            self._add([self._told[i] for i in self._runnable])
            assert self._scale is not None
            at = np.array([self._place[self._told[i]] for i in self._runnable])
            wanted = self._scale.targets(values, constraints) - self._prior[at]
            self._regression.fit(self._rows[at], wanted)
            self._fitted = n
            left = wanted - self._regression.predict(self._rows[at], self._regression.mean)
            self._smoother.fit(self._codes[at], left)
        if not self._stocked:
            self._first_stock()
            self._stocked = True
        self._grow()
        self._shorten()

    # --- proposing --------------------------------------------------------------------------------------------------

    def propose(self) -> Sequence[int]:
        if self.rng.random() < _RANDOM_FRAC:
            return self.space.sample_evenly_codes(self.rng)
        self._queue = [codes for codes in self._queue if codes not in self.seen]
        if not self._queue:
            if self._due:
                self._refit()
            self._queue = self._choose()
            if not self._queue:  # all that looked good is proposed
                self._grow()
                self._shorten()
                self._queue = self._choose()
        return self._queue.pop(0) if self._queue else self.space.sample_evenly_codes(self.rng)

    def _choose(self) -> list[Codes]:
        """A batch: what adds most under one draw of the weights."""
        assert self._scale is not None
        m = self._scale.objectives
        fresh = [(*codes,) not in self.seen for codes in self._codes[self._short].tolist()]
        self._short, self._rest = self._short[fresh], self._rest[fresh]
        codes: list[Codes] = [(*one,) for one in self._codes[self._short].tolist()]
        if not codes:
            return []
        rows, prior = self._rows[self._short], self._prior[self._short] + self._rest
        if self._fitted:
            weights = self._regression.draw(self.rng)
        else:
            weights = _PRIOR * self.rng.standard_normal((rows.shape[1], prior.shape[1])) \
                / np.sqrt(np.maximum(self._features.precision, 1.0))[:, None]
        predicted = prior + self._correction(rows, weights)
        error = self._error()
        drawn = predicted + _DARING * error * self.rng.standard_normal((_DRAWS, *predicted.shape))
        feasible = np.asarray((drawn[:, :, m:] <= 0.0).all(axis=2))
        objectives = predicted[:, :m]
        excess = np.maximum(predicted[:, m:], 0.0).sum(axis=1)
        members = [value[None] for value in self._pending.values()]
        if self._feasible():
            members.append(self._scale.values(np.array([self._values[i] for i in self._archive])))
        known = np.concatenate(members) if members else np.empty((0, m))
        within = objectives[excess <= 0.0] if (excess <= 0.0).any() else objectives
        front = np.concatenate([known, within])
        front = front[_best_layers(front, 1)]
        low, high = front.min(axis=0), front.max(axis=0)
        span = np.maximum(high - low, 1e-9)
        directions = np.abs(self.rng.standard_normal((_DIRECTIONS, m))) + 1e-3
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        reference = np.full(m, 1.1)
        shape = _DRAWS, len(codes), _DIRECTIONS
        reach = _reach((drawn[:, :, :m].reshape(-1, m) - low) / span, reference, directions).reshape(shape)
        reach *= feasible[:, :, None]
        expected = _reach((objectives - low) / span, reference, directions)
        best = _reach((known - low) / span, reference, directions).max(axis=0, initial=0.0)
        taken = np.array([one in self._pending for one in codes])
        chosen: list[Codes] = []
        gain = (_power(np.maximum(reach, best), m) - _power(best, m)).mean(axis=0)
        for _ in range(min(max(_BATCH, int(_BATCH_FRAC * len(self._told))), len(codes))):
            added = gain.mean(axis=1)
            if not added[~taken].any():  # nothing is thought to add: what comes nearest to it
                added = -excess - (best - expected).min(axis=1)
            at = int(np.argmax(np.where(taken, -np.inf, added)))
            chosen.append(codes[at])
            taken[at] = True
            self._pending[codes[at]] = objectives[at]
            moved = np.flatnonzero(expected[at] > best)
            best[moved] = expected[at, moved]
            further = np.maximum(reach[:, :, moved], best[moved])
            gain[:, moved] = (_power(further, m) - _power(best[moved], m)).mean(axis=0)
        return chosen
