"""Samplers that propose whole points of a `Space`, behind Optuna's `BaseSampler`.

Optuna's samplers suggest one parameter after the other and know neither forbidden clauses nor what was proposed before
(half of TPE's proposals on a discrete space are duplicates). A `PointSampler` decides the whole point when Optuna asks
for the relative parameters: it proposes codes, repairs them into a valid point and, if that was proposed before, moves
to the nearest one that was not.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from spaces.domains import Choice, Domain, Real
from spaces.graph import INACTIVE
from spaces.space import Condition, Params, Space

__all__ = [
    "EveryPoint", "HaltonPoints", "OptunaPoints", "PointSampler", "RandomPoints", "SpaceExhausted", "distributions",
    "external", "suggest", "walk",
]

Codes = tuple[int, ...]


class SpaceExhausted(RuntimeError):
    """Every point of the space was proposed."""


def _distribution(domain: Domain) -> BaseDistribution:
    """Ordered domains become integers (the codes), so that samplers see equal steps; unordered ones categories."""
    if isinstance(domain, Real):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    if domain.ordered:
        return IntDistribution(0, int(domain.n) - 1)
    assert isinstance(domain, Choice)
    return CategoricalDistribution(domain.values)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Parameter -> Optuna distribution."""
    return {name: _distribution(domain) for name, domain in space.domains.items()}


def external(space: Space, params: Params) -> dict[str, Any]:
    """The values Optuna stores for a point."""
    return {name: _external(space.domains[name], space.domains[name].code(value)) for name, value in params.items()}


def _external(domain: Domain, code: int) -> Any:
    """The value Optuna stores for a code."""
    return code if domain.ordered and not isinstance(domain, Real) else domain.value(code)


def _code(domain: Domain, external: Any) -> int:
    return int(external) if domain.ordered and not isinstance(domain, Real) else domain.code(external)


def walk(space: Space, choose: Callable[[str, Domain], Any]) -> Params:
    """A point built parameter by parameter: `choose` gives Optuna's value of every active one. Clauses are not seen."""
    needs: dict[str, list[Condition]] = {}
    for condition in space.conditions:
        needs.setdefault(condition.parameter, []).append(condition)
    params: Params = {}
    for name, domain in space.domains.items():
        if all(c.parent in params and params[c.parent] in c.values for c in needs.get(name, ())):
            params[name] = domain.value(_code(domain, choose(name, domain)))
    return params


def suggest(trial: Trial, space: Space, dists: dict[str, BaseDistribution]) -> Params:
    """The point of a trial, suggested define-by-run: works with any Optuna sampler; clauses need a `PointSampler`."""

    def choose(name: str, domain: Domain) -> Any:
        dist = dists[name]
        if isinstance(dist, FloatDistribution):
            return trial.suggest_float(name, dist.low, dist.high, log=dist.log)
        if isinstance(dist, IntDistribution):
            return trial.suggest_int(name, dist.low, dist.high)
        assert isinstance(dist, CategoricalDistribution)
        return trial.suggest_categorical(name, dist.choices)

    return walk(space, choose)


class PointSampler(BaseSampler):
    """Base: `propose` gives the codes wanted, this class makes them a valid point that was never proposed.

    Parameters
    ----------
    seed : of every random choice.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5A3]))
        self.seen: set[Codes] = set()
        self._dists = distributions(space)
        self._synced = False
        self._unseen: list[Codes] | None = None
        self._point: dict[str, Any] = {}

    @abstractmethod
    def propose(self) -> Sequence[int]:
        """Codes wanted next; need be neither valid nor new."""

    def ask(self) -> Codes:
        """The next point. `ask` and `learn` are all there is to a sampler that needs no Optuna study."""
        codes = self.fresh(self.space.repair_codes(self.propose(), self.rng))
        self.seen.add(codes)
        return codes

    def ask_in(self, study: optuna.Study, trial: FrozenTrial) -> Codes:
        """The next point, when Optuna asks."""
        return self.ask()

    def learn(self, codes: Codes, values: Sequence[float] | None, constraints: dict[str, float]) -> None:
        """A result was told; `values` is None for a failed trial. Values are to be minimised."""

    @final
    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self._sync(study)
        codes = self.ask_in(study, trial)
        pairs = zip(self.space.domains.items(), codes, strict=True)
        self._point = {name: _external(domain, code) for (name, domain), code in pairs if code != INACTIVE}
        return {name: self._dists[name] for name in self._point}

    @final
    def sample_relative(self, study: optuna.Study, trial: FrozenTrial,
                        search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return self._point

    @final
    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        raise RuntimeError(f"{param_name}: not a parameter of the point proposed, {self._point}")

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState,
                    values: Sequence[float] | None) -> None:
        if state in (TrialState.COMPLETE, TrialState.FAIL):
            self._learn(study, trial, values if state == TrialState.COMPLETE else None)

    def _learn(self, study: optuna.Study, trial: FrozenTrial, values: Sequence[float] | None) -> None:
        if values is not None:
            values = [-v if direction == optuna.study.StudyDirection.MAXIMIZE else v
                      for v, direction in zip(values, study.directions, strict=True)]
        self.learn(self.codes_of(trial), values, trial.constraints)

    def _sync(self, study: optuna.Study) -> None:
        """Take over trials that the study held before this sampler."""
        if self._synced:
            return
        self._synced = True
        for trial in study.get_trials(deepcopy=False):
            if trial.state.is_finished() and (codes := self.codes_of(trial)) not in self.seen:
                self.seen.add(codes)
                self._learn(study, trial, trial.values if trial.state == TrialState.COMPLETE else None)

    def codes_of(self, trial: FrozenTrial) -> Codes:
        """Codes of a trial's parameters."""
        params = trial.params
        return tuple(_code(domain, params[name]) if name in params else INACTIVE
                     for name, domain in self.space.domains.items())

    def fresh(self, codes: Codes) -> Codes:
        """The point itself when it is new, else one close by that is; raises `SpaceExhausted`."""
        if codes not in self.seen:
            return codes
        for _ in range(3):  # walk a few steps away
            options = list(self.space.neighbour_codes(codes, self.rng))
            unseen = [option for option in options if option not in self.seen]
            if unseen:
                return unseen[int(self.rng.integers(len(unseen)))]
            if not options:
                break
            codes = options[int(self.rng.integers(len(options)))]
        return self.anywhere()

    def anywhere(self) -> Codes:
        """A new point from the whole space."""
        if self._unseen is None:
            for _ in range(64):
                codes = self.space.sample_codes(self.rng)
                if codes not in self.seen:
                    return codes
            # 64 misses: nearly all of the space is known, so that what is left fits in memory as well
            self._unseen = [codes for codes in self.space.enumerate_codes() if codes not in self.seen]
            self.rng.shuffle(self._unseen)
        while self._unseen:
            codes = self._unseen.pop()
            if codes not in self.seen:
                return codes
        raise SpaceExhausted(f"all {self.space.size():,} points of the space were proposed")


@final
class RandomPoints(PointSampler):
    """Each parameter uniform over the values that can be completed."""

    def propose(self) -> Sequence[int]:
        return self.space.sample_evenly_codes(self.rng)

    def fresh(self, codes: Codes) -> Codes:
        """Draw again instead of moving to a neighbour: no bias around what was drawn."""
        for _ in range(16):
            if codes not in self.seen:
                return codes
            codes = self.space.sample_evenly_codes(self.rng)
        return self.anywhere()


@final
class EveryPoint(PointSampler):
    """The points in the order of the space."""

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self._next = space.enumerate_codes()

    def propose(self) -> Sequence[int]:
        codes = next(self._next, None)
        while codes in self.seen:
            codes = next(self._next, None)
        if codes is None:
            raise SpaceExhausted(f"all {self.space.size():,} points of the space were proposed")
        return codes


def _primes(n: int) -> list[int]:
    primes: list[int] = []
    k = 2
    while len(primes) < n:
        if all(k % p for p in primes):
            primes.append(k)
        k += 1
    return primes


@final
class HaltonPoints(PointSampler):
    """Halton sequence, a dimension per parameter; permuted digits break the correlation of large bases."""

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self._permutations = [self.rng.permutation(base) for base in _primes(len(space.names))]
        self._index = 0

    def propose(self) -> Sequence[int]:
        return self.space.spread_codes(self.coordinates())

    def coordinates(self) -> list[float]:
        """The next point of the sequence, in [0, 1)."""
        self._index += 1
        coordinates = []
        for digits in self._permutations:
            base, index = len(digits), self._index
            scale, value = 1.0 / base, 0.0
            while scale > 1e-9:  # permuted zeros count too: go on past the last digit of the index
                value += float(digits[index % base]) * scale
                index //= base
                scale /= base
            coordinates.append(min(value, 1.0 - 1e-12))
        return coordinates


@final
class OptunaPoints(PointSampler):
    """One of Optuna's samplers: its suggestions, repaired and never repeated."""

    def __init__(self, space: Space, seed: int, inner: BaseSampler) -> None:
        super().__init__(space, seed)
        self.inner = inner

    def propose(self) -> Sequence[int]:
        raise RuntimeError("Optuna's samplers need their study: use `ask_in`")

    def ask_in(self, study: optuna.Study, trial: FrozenTrial) -> Codes:
        codes = self.fresh(self.space.repair_codes(self._suggested(study, trial), self.rng))
        self.seen.add(codes)
        return codes

    def _suggested(self, study: optuna.Study, trial: FrozenTrial) -> Sequence[int]:
        relative = self.inner.sample_relative(study, trial, self.inner.infer_relative_search_space(study, trial))

        def choose(name: str, domain: Domain) -> Any:
            dist = self._dists[name]
            if dist.single():
                return _external(domain, 0)
            if name in relative:
                return relative[name]
            return self.inner.sample_independent(study, trial, name, dist)

        params = walk(self.space, choose)
        domains = self.space.domains
        return [domains[name].code(params[name]) if name in params else INACTIVE for name in domains]

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.inner.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState,
                    values: Sequence[float] | None) -> None:
        self.inner.after_trial(study, trial, state, values)
