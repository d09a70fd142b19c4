"""How a run asks for designs and tells what they gave: with an Optuna study where a sampler needs one, else without.

Optuna keeps every trial in a storage and copies it at every step: 0.4 ms per trial, more than our own samplers take.
Both ways give the same designs.
"""

import math
from typing import TYPE_CHECKING, Protocol, final

from dse.objective import Verdict
from dse.study import Study
from spaces.space import Params

if TYPE_CHECKING:
    from optuna import Trial

    from dse.points import Codes, PointSampler

__all__ = ["HUGE", "Asker", "constraints_of", "make_asker"]

HUGE = 1e12
"""Objectives of a design that cannot run: neither Optuna nor a regression takes blanks."""


class Asker(Protocol):
    """Trials are numbered in the order asked; each is told once."""

    def ask(self) -> Params: ...

    def tell(self, number: int, params: Params, verdict: Verdict | None) -> None:
        """`verdict` is None for a trial that failed; `params` are other than those asked where another driver's
        proposal counted."""
        ...


def constraints_of(verdict: Verdict) -> dict[str, float]:
    """Name -> violation as samplers are told it, <= 0 is feasible; `status` of a design that cannot run is 1."""
    found = {"status": 0.0 if verdict.values is not None else 1.0}
    for metric, violation in verdict.relative.items():
        found[metric] = 1e6 if math.isnan(violation) else min(max(violation, -1e6), 1e6)
    return found


@final
class _Direct:
    """The sampler alone."""

    def __init__(self, study: Study, sampler: "PointSampler") -> None:
        self._study, self._sampler = study, sampler
        self._points: dict[int, tuple[Codes, Params]] = {}
        self._asked = 0

    def ask(self) -> Params:
        codes = self._sampler.ask()
        params = self._study.space.decode(codes)
        self._points[self._asked] = codes, params
        self._asked += 1
        return params

    def tell(self, number: int, params: Params, verdict: Verdict | None) -> None:
        codes, asked = self._points.pop(number)
        if params != asked:
            self._sampler.learn(codes, None, {})
            codes = self._study.space.encode(params)
            self._sampler.seen.add(codes)
        if verdict is None:
            self._sampler.learn(codes, None, {})
        else:
            values = verdict.values or (HUGE,) * len(self._study.objectives)
            self._sampler.learn(codes, values, constraints_of(verdict))


@final
class _InStudy:
    """An Optuna study in memory."""

    def __init__(self, study: Study, sampler: "PointSampler") -> None:
        import optuna

        from dse.points import distributions

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = study
        self._inner = optuna.create_study(
            directions=["minimize" if objective.minimise else "maximize" for objective in study.objectives],
            sampler=sampler)
        self._distributions = distributions(study.space)
        self._sampler = sampler
        self._trials: dict[int, tuple[Trial, Params]] = {}
        self._asked = 0

    def _ask(self) -> "tuple[Trial, Params]":
        from dse.points import suggest

        trial = self._inner.ask()
        return trial, suggest(trial, self._study.space, self._distributions)

    def ask(self) -> Params:
        trial, params = self._ask()
        self._trials[self._asked] = trial, params
        self._asked += 1
        return params

    def tell(self, number: int, params: Params, verdict: Verdict | None) -> None:
        from optuna.trial import TrialState

        from dse.points import external

        trial, asked = self._trials.pop(number)
        if asked != params:
            self._inner.tell(trial, state=TrialState.FAIL)
            self._inner.enqueue_trial(external(self._study.space, params))
            trial, _ = self._ask()
            self._sampler.seen.add(self._study.space.encode(params))
        if verdict is None:
            self._inner.tell(trial, state=TrialState.FAIL)
            return
        for name, value in constraints_of(verdict).items():
            trial.set_constraint(name, value)
        values = verdict.values or (HUGE,) * len(self._study.objectives)
        self._inner.tell(trial, [value if objective.minimise else -value
                                 for value, objective in zip(values, self._study.objectives, strict=True)])


def make_asker(study: Study, sampler: "PointSampler") -> Asker:
    """The cheapest way that serves this sampler."""
    from dse.points import OptunaPoints

    return _InStudy(study, sampler) if isinstance(sampler, OptunaPoints) else _Direct(study, sampler)
