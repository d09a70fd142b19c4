"""Candidates of a search, and what is predicted of them: the designs that are expected to add most to a front.

1. Gaussian processes (`dse.process`) learn the logarithm of every objective and constraint; with estimates, the
   logarithm of true / estimated, in units of its swing: how much the estimate depends on how long requests take. Near
   overload that is a lot, and the estimate says little. Beyond `MOST_POINTS` results a linear regression over all of
   them (`dse.surrogate`) carries the processes, which then look at the results nearest to the front only.
2. A stock of candidates: points spread over the space, and moves around the front found so far and around the best
   candidates; where they cost no estimates also what is two steps from the front, all of it in time: a design whose
   neighbours are all infeasible or dominated is found that way only.
3. Those are chosen, in turn, that are expected to add most feasible hypervolume: a few draws of what each may turn out
   to be. Points still being evaluated count with their predicted values.
4. Fits grow rarer with the run, so that a trial stays cheap.

Hypervolume is measured along random directions from a reference point beyond the front: the mean over directions of
(distance to the front) ** objectives.

References
----------
J. Deng, Q. Zhang, IEEE Trans. Evol. Comput. 23(5), 2019, doi:10.1109/TEVC.2019.2891610 (hypervolume by directions).
M. Emmerich, N. Beume, B. Naujoks, EMO 2005, doi:10.1007/978-3-540-31880-4_5 (hypervolume as the measure of a point).
"""

import math
from collections.abc import Sequence, Set
from typing import final

import numpy as np
from numpy.typing import NDArray

from dse.estimate import QUICKER, Estimate, Estimated
from dse.moves import Moves
from dse.pareto import Archive
from dse.process import MOST_POINTS, GaussianProcess
from dse.surrogate import Features, Regression
from spaces.space import Space

__all__ = ["History", "Stock"]

Codes = tuple[int, ...]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FEWEST = 10  # results that a fit needs
_SPREAD = 1000  # points of the first stock of a larger space; estimates take .3 to 2 ms each
_WHOLE = 2000  # size of a space that is taken whole
_KEPT = 1000  # candidates of a larger one
_ROUNDS = 4  # of moves around the predicted front, before the first proposal
_CHILDREN = 250  # in a round
_MORE = 80  # new candidates for a batch, at least
_MORE_EACH = 3  # for a proposal of it
_PAIRS_EACH = 6  # points two steps from the front for a proposal, without estimates
_SHORT = 300  # candidates that are looked at for a batch
_DIRECTIONS = 100
_REFERENCE = 1.1  # of the extent of the front: where hypervolume is measured from
_DRAWS = 4  # of what a candidate may turn out to be
_GROWTH = 1.08  # results until the next fit, at first
_LATE = 300, 1.25  # results after which fits are this far apart
_PRIOR = 0.2  # how far off the time of a request is thought to be before anything is known (logarithm)
_MOST_SWING = 20.0
_UNRUNNABLE = "status"  # constraint of a design that cannot run at all: its other values mean nothing
_LARGE = 20.0  # limit of a transformed constraint
_TINY = 1e-300


class Scale:
    """Objectives and constraints as they are predicted: logarithms where all values are positive.

    A constraint is a violation relative to its bound, value / bound - 1 where the bound is an upper one: its logarithm
    is that of 1 + violation. Others span decades on both sides of 0.
    """

    def __init__(self, values: Floats, names: Sequence[str], violations: Floats) -> None:
        self.names = tuple(names)
        self.objectives = values.shape[1]
        self._logarithmic = np.asarray((values > 0.0).all(axis=0))
        self._ratio = np.asarray((violations > -1.0).all(axis=0))

    def values(self, values: Floats) -> Floats:
        return np.where(self._logarithmic, np.log(np.maximum(values, _TINY)), values)

    def violations(self, violations: Floats) -> Floats:
        both = np.copysign(np.log1p(np.abs(violations)), violations)
        return np.clip(np.where(self._ratio, np.log1p(np.maximum(violations, -1.0 + 1e-9)), both), -_LARGE, _LARGE)


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
class History:
    """What was told, and the best of it."""

    def __init__(self) -> None:
        self.codes: list[Codes] = []
        self.values: list[Floats] = []
        self.constraints: list[dict[str, float]] = []
        self.runnable: list[int] = []
        """Results that can be learnt from."""
        self.archive = Archive()
        self.joined: list[int] = []
        """Results that were on the front when they came."""
        self.scale: Scale | None = None
        self.settled = False
        """Whether the scale stays: one of estimates."""

    def add(self, codes: Codes, values: Sequence[float], constraints: dict[str, float]) -> bool:
        """Whether the front is a better one now."""
        index = len(self.codes)
        self.codes.append(codes)
        self.values.append(np.array(values, dtype=float))
        self.constraints.append(constraints)
        if constraints.get(_UNRUNNABLE, 0.0) <= 0.0 and all(map(math.isfinite, values)):
            self.runnable.append(index)
        taken = self.archive.add(index, self.values[-1], sum(v for v in constraints.values() if v > 0.0))
        if taken:
            self.joined.append(index)
        return taken

    def front(self) -> Ints:
        """Codes of the front, (n, parameters)."""
        return np.array([self.codes[i] for i in self.archive.rows], dtype=np.int64)

    def rescale(self) -> None:
        """A scale from the results so far."""
        names = sorted({name for i in self.runnable for name in self.constraints[i]} - {_UNRUNNABLE})
        self.scale = Scale(np.array([self.values[i] for i in self.runnable]), names, self._violations(names))

    def targets(self) -> Floats:
        """Scaled objectives and violations of the results that can be learnt from, (n, targets)."""
        assert self.scale is not None
        values = np.array([self.values[i] for i in self.runnable])
        return np.concatenate([self.scale.values(values),
                               self.scale.violations(self._violations(self.scale.names))], axis=1)

    def _violations(self, names: Sequence[str]) -> Floats:
        found = [[self.constraints[i].get(name, 0.0) for name in names] for i in self.runnable]
        return np.array(found).reshape(len(found), len(names))


@final
class Stock:
    """See the module.

    Parameters
    ----------
    rng : of every random choice.
    history : of the search, which tells it the results.
    seen : points proposed before.
    pending : objectives predicted of points under evaluation, scaled; what is chosen is added.
    estimate : of the study; None where there is none.
    """

    def __init__(self, space: Space, rng: np.random.Generator, history: History, seen: Set[Codes],
                 pending: dict[Codes, Floats], estimate: Estimate | None = None) -> None:
        self.space, self.rng = space, rng
        self._history, self._seen, self._pending = history, seen, pending
        self._estimate = estimate
        self._moves = Moves(space, rng)
        self._process = GaussianProcess(space)
        self._features = Features(space, rng)
        self._regression: Regression | None = None
        self._rows = np.empty((0, len(self._features.precision)))
        self._priors: dict[Codes, Floats] = {}
        self._fitted = 0
        self._expanded = 0
        self._paired: set[Codes] = set()
        self._pairs = np.empty((0, len(space.names)), dtype=np.int64)
        # candidates, what is estimated and predicted of them
        self._known: set[Codes] = set()
        self._codes = np.empty((0, len(space.names)), dtype=np.int64)
        self._prior = np.empty((0, 0))
        self._swing = np.empty((0, 0))
        self._mean = np.empty((0, 0))
        self._spread = np.empty((0, 0))

    def choose(self, most: int) -> list[Codes]:
        """Points that are expected to add most, at most so many, the best first; none before enough is known."""
        if self._due():
            self._renew()
        if self._history.scale is None or (self._estimate is None and not self._fitted):
            return []
        if self._estimate is None:
            self._add_pairs(_PAIRS_EACH * most)
        self._grow(max(_MORE, _MORE_EACH * most))
        return self._chosen(most) if len(self._codes) else []

    # --- learning ---------------------------------------------------------------------------------------------------

    def _due(self) -> bool:
        growth = _GROWTH if self._fitted < _LATE[0] else _LATE[1]
        begin = not self._known and self._estimate is not None
        return begin or len(self._history.runnable) >= max(_FEWEST, self._fitted * growth)

    def _fit(self) -> None:
        """Learn from everything told."""
        history = self._history
        n = len(history.runnable)
        if n < _FEWEST:
            return
        if self._estimate is None and not history.settled:
            history.rescale()
        told = [history.codes[i] for i in history.runnable]
        targets = history.targets()
        assert history.scale is not None
        m = history.scale.objectives
        deviation = targets
        if self._estimate is not None:
            prior, swing, known = self._estimated(told)
            deviation = (targets - prior) / swing
            if not known.all():
                told = [one for one, good in zip(told, known.tolist(), strict=True) if good]
                targets, deviation = targets[known], deviation[known]
                if len(told) < _FEWEST:
                    return
        codes = np.array(told, dtype=np.int64)
        at = np.arange(len(told))
        if len(told) > MOST_POINTS:
            excess = np.maximum(targets[:, m:], 0.0).sum(axis=1)
            at = np.sort(_best_layers(targets[:, :m] + excess[:, None], MOST_POINTS)[:MOST_POINTS])
            self._regression = self._regression or Regression(self._features.precision)
            if new := told[len(self._rows):]:
                self._rows = np.concatenate([self._rows, self._features.rows(new)])
            self._regression.fit(self._rows, deviation)
            deviation = deviation - self._regression.predict(self._rows)
        self._process.fit(codes[at], deviation[at])
        self._fitted = n

    # --- candidates -------------------------------------------------------------------------------------------------

    def _estimated(self, new: Sequence[Codes]) -> tuple[Floats, Floats, Bools]:
        """Targets as estimated, their swing, and which designs are worth a look; zeros and ones without estimates."""
        history = self._history
        if self._estimate is None:
            assert history.scale is not None
            shape = len(new), history.scale.objectives + len(history.scale.names)
            return np.zeros(shape), np.ones(shape), np.ones(len(new), dtype=bool)
        if missing := [codes for codes in new if codes not in self._priors]:
            self._priors.update(zip(missing, self._prior_of(self._estimate, missing), strict=True))
        both = np.array([self._priors[codes] for codes in new])
        prior, swing = both[:, 0], both[:, 1]
        return prior, swing, np.isfinite(prior).all(axis=1)

    def _prior_of(self, estimate: Estimate, new: Sequence[Codes]) -> Floats:
        """Targets as estimated, NaN where there is no such chip, and their swing, (points, 2, targets)."""
        history = self._history
        found = estimate([self.space.decode(codes) for codes in new])
        good = np.asarray(~np.isinf(found.values).any(axis=1))
        if not history.settled:
            names = sorted(found.constraints)
            violations = np.array([found.constraints[name][good] for name in names]).T
            history.scale = Scale(found.values[good], names, violations.reshape(int(good.sum()), len(names)))
            history.settled = True
        prior, swing = self._targets(found), np.ones(1)
        if found.quicker is not None:
            swing = (prior - self._targets(found.quicker)) / -math.log(QUICKER)
        swing = np.broadcast_to(np.clip(np.abs(swing), 1.0, _MOST_SWING), prior.shape)
        prior[~good] = np.nan
        return np.stack([prior, swing], axis=1)

    def _targets(self, found: Estimated) -> Floats:
        """Estimates as they are predicted; what is not known is 0."""
        scale = self._history.scale
        assert scale is not None
        violations = np.array([found.constraints[name] for name in scale.names]).T
        both = [scale.values(np.where(np.isinf(found.values), 1.0, found.values)),
                scale.violations(violations.reshape(len(found.values), len(scale.names)))]
        return np.nan_to_num(np.concatenate(both, axis=1), nan=0.0)

    def _add(self, candidates: Sequence[Codes]) -> None:
        """Take candidates into the stock that were never in it."""
        new = [codes for codes in dict.fromkeys(candidates) if codes not in self._known and codes not in self._seen]
        if not new:
            return
        self._known.update(new)
        prior, swing, good = self._estimated(new)
        codes, prior, swing = np.array(new, dtype=np.int64)[good], prior[good], swing[good]
        mean = self._predicted(codes, prior, swing)
        width = prior.shape[1]
        self._codes = np.concatenate([self._codes, codes])
        self._prior, self._swing, self._mean, self._spread = (
            np.concatenate([old.reshape(-1, width), one]) for old, one in (
                (self._prior, prior), (self._swing, swing), (self._mean, mean),
                (self._spread, np.full(mean.shape, np.nan))))

    def _predicted(self, codes: Ints, prior: Floats, swing: Floats) -> Floats:
        """Mean of the targets of some designs."""
        if not self._fitted or not len(codes):
            return prior
        deviation = self._process.mean(codes)
        if self._regression is not None:
            deviation += self._regression.predict(self._features.rows(codes))
        return prior + swing * deviation

    def _spread_of(self, rows: Ints) -> Floats:
        """Standard deviation of the targets of some candidates."""
        return self._swing[rows] * (self._process.spread(self._codes[rows]) if self._fitted else _PRIOR)

    def _grow(self, children: int) -> None:
        """Moves around the archive and what is predicted to be best."""
        history, parents = self._history, self._codes[:100]
        new: list[Codes] = []
        if len(history.archive.rows):
            parents = np.concatenate([history.front(), parents])
            for i in history.joined[self._expanded:]:
                if i in history.archive.rows:
                    new += self.space.neighbour_codes(history.codes[i], self.rng)
            self._expanded = len(history.joined)
        if len(parents):
            first, second = self.rng.integers(len(parents), size=(2, children))
            self._add(new + self._moves.children(parents[first], parents[second]))
            self._sort()

    def _add_pairs(self, most: int) -> None:
        """The next points that are two steps from a design on the front."""
        history = self._history
        while len(self._pairs) < most:
            new = [codes for codes in map(history.codes.__getitem__, history.archive.rows) if codes not in self._paired]
            if not new:
                break
            around = new[int(self.rng.integers(len(new)))]
            self._paired.add(around)
            self._pairs = np.concatenate([self._pairs, self._moves.pairs(around)])
        now, self._pairs = self._pairs[:most], self._pairs[most:]
        self._add([(*codes,) for codes in now.tolist()])

    def _sort(self) -> None:
        """The best candidates to the front of the stock, by the mean of what is predicted; few others are kept."""
        if not len(self._codes):
            return
        best = self._best()
        for _ in range(2):  # what looks feasible within the usual error may not be within its own
            new = best[np.isnan(self._spread[best, 0])]
            if not len(new):
                break
            self._spread[new] = self._spread_of(new)
            best = self._best()
        rest = np.ones(len(self._codes), dtype=bool)
        rest[best] = False
        order = np.concatenate([best, np.flatnonzero(rest)])
        most = _WHOLE if self.space.size() <= _WHOLE else _KEPT
        if len(order) > 1.2 * most:
            self._known.difference_update(map(tuple, self._codes[order[most:]].tolist()))
            order = order[:most]
        self._keep(order)

    def _best(self) -> Ints:
        """Rows of the stock that are looked at for a batch."""
        assert self._history.scale is not None
        m = self._history.scale.objectives
        error = self._process.error if self._fitted else np.full(self._mean.shape[1], _PRIOR)
        spread = np.where(np.isnan(self._spread), self._swing * error, self._spread)
        excess = np.maximum(self._mean[:, m:] - spread[:, m:], 0.0).sum(axis=1)
        within = np.flatnonzero(excess <= 0.0)
        best = within[_best_layers(self._mean[within, :m], _SHORT)][:_SHORT]
        if len(best) < _SHORT // 4:  # hardly anything is thought to be feasible: what is nearest to it
            more = np.argsort(excess, kind="stable")[:_SHORT // 4]
            best = np.concatenate([best, more[~np.isin(more, best)]])
        return best

    def _keep(self, rows: Ints | Bools) -> None:
        self._codes, self._prior, self._swing = self._codes[rows], self._prior[rows], self._swing[rows]
        self._mean, self._spread = self._mean[rows], self._spread[rows]

    def _renew(self) -> None:
        """Fit, and predict the stock anew."""
        first = not len(self._known)
        self._fit()
        if first and self._estimate is None and not self._fitted:
            return
        if first and self.space.size() <= _WHOLE:
            self._add(list(self.space.enumerate_codes()))
        elif first:
            self._add([self.space.sample_evenly_codes(self.rng) for _ in range(_SPREAD)])
        else:
            self._mean = self._predicted(self._codes, self._prior, self._swing)
            self._spread = np.full(self._mean.shape, np.nan)
        self._sort()
        for _ in range(_ROUNDS if first else 0):
            self._grow(_CHILDREN)

    # --- choosing ---------------------------------------------------------------------------------------------------

    def _chosen(self, most: int) -> list[Codes]:
        """From the best of the stock, which they leave."""
        scale, archive = self._history.scale, self._history.archive
        assert scale is not None
        m = scale.objectives
        codes: list[Codes] = [(*one,) for one in self._codes[:_SHORT].tolist()]
        taken = np.array([one in self._seen for one in codes])  # the search has other ways to propose
        predicted, spread = self._mean[:_SHORT], self._spread[:_SHORT]
        if len(new := np.flatnonzero(np.isnan(spread[:, 0]))):
            spread[new] = self._spread_of(new)
        noise = self.rng.standard_normal((_DRAWS, *predicted.shape))
        drawn = predicted + spread * (noise[:, :, self._process.same] if self._fitted else noise)
        feasible = np.asarray((drawn[:, :, m:] <= 0.0).all(axis=2))
        objectives = predicted[:, :m]
        excess = np.maximum(predicted[:, m:], 0.0).sum(axis=1)
        members = [value[None] for value in self._pending.values()]
        if archive.feasible:
            members.append(scale.values(archive.values))
        known = np.concatenate(members) if members else np.empty((0, m))
        within = objectives[excess <= 0.0] if (excess <= 0.0).any() else objectives
        front = np.concatenate([known, within])
        front = front[_best_layers(front, 1)]
        low, high = front.min(axis=0), front.max(axis=0)
        span = np.maximum(high - low, 1e-9)
        directions = np.abs(self.rng.standard_normal((_DIRECTIONS, m))) + 1e-3
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        reference = np.full(m, _REFERENCE)
        shape = _DRAWS, len(codes), _DIRECTIONS
        reach = _reach((drawn[:, :, :m].reshape(-1, m) - low) / span, reference, directions).reshape(shape)
        reach *= feasible[:, :, None]
        expected = _reach((objectives - low) / span, reference, directions)
        best = _reach((known - low) / span, reference, directions).max(axis=0, initial=0.0)
        chosen: list[Codes] = []
        gain = (_power(np.maximum(reach, best), m) - _power(best, m)).mean(axis=0)
        for _ in range(min(most, int((~taken).sum()))):
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
        left = np.ones(len(self._codes), dtype=bool)
        left[np.flatnonzero(taken)] = False
        self._keep(left)
        return chosen
