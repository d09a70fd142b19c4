"""The samplers a study can name. Light to import: Optuna is loaded when a sampler is made.

Every sampler is an Optuna `BaseSampler` over a `Space`; it proposes valid points only, never one twice, and is
deterministic: what it proposes depends on its seed and on the results told so far, in the order told.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from dse.errors import InputError, Problem, did_you_mean
from spaces.space import Space

if TYPE_CHECKING:
    from dse.estimate import Estimate
    from dse.points import PointSampler

__all__ = ["SAMPLERS", "SamplerSpec", "make_sampler", "pick_sampler"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSpec:
    """A sampler: `make(space, seed)` gives it, with the study's estimate as a third argument if it needs one; `source`
    says whose idea it is."""

    name: str
    summary: str
    source: str
    make: Callable[..., "PointSampler"]
    needs_estimate: bool = False


def _random(space: Space, seed: int) -> "PointSampler":
    from dse.points import RandomPoints

    return RandomPoints(space, seed)


def _qmc(space: Space, seed: int) -> "PointSampler":
    from dse.points import HaltonPoints

    return HaltonPoints(space, seed)


def _exhaustive(space: Space, seed: int) -> "PointSampler":
    from dse.points import EveryPoint

    return EveryPoint(space, seed)


def _optuna(space: Space, seed: int, name: str, **settings: Any) -> "PointSampler":
    """One of Optuna's samplers."""
    import optuna

    from dse.points import OptunaPoints

    with warnings.catch_warnings():
        # Optuna marks some as experimental: their interface may change, and only this line would have to follow
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return OptunaPoints(space, seed, getattr(optuna.samplers, name)(seed=seed, **settings))


def _tpe(space: Space, seed: int) -> "PointSampler":
    # `group` is what makes TPE good on conditional spaces
    return _optuna(space, seed, "TPESampler", multivariate=True, group=True, n_startup_trials=20)


def _nsga2(space: Space, seed: int) -> "PointSampler":
    return _optuna(space, seed, "NSGAIISampler", population_size=50)


def _nsga3(space: Space, seed: int) -> "PointSampler":
    return _optuna(space, seed, "NSGAIIISampler", population_size=50)


def _archive(space: Space, seed: int) -> "PointSampler":
    from dse.guided import GuidedSampler

    return GuidedSampler(space, seed)


def _guided(space: Space, seed: int, estimate: "Estimate") -> "PointSampler":
    from dse.guided import GuidedSampler

    return GuidedSampler(space, seed, estimate)


SAMPLERS: dict[str, SamplerSpec] = {
    spec.name: spec
    for spec in (
        SamplerSpec(name="auto", make=_archive, source="ours",
                    summary="exhaustive when the trials cover the space, else guided where there are estimates, else "
                    "archive"),
        SamplerSpec(name="guided", make=_guided, needs_estimate=True, source="ours; hypervolume by directions after "
                    "Deng and Zhang 2019 (DOI 10.1109/TEVC.2019.2891610)",
                    summary="starts from the front that the analytic fidelity predicts, learns how far off it is"),
        SamplerSpec(name="archive", make=_archive, source="ours; Pareto local search after Paquete, Chiarandini and "
                    "Stuetzle 2004 (DOI 10.1007/978-3-642-17144-4_7), Gaussian processes",
                    summary="the same without estimates: moves around the front found, the most promising ones first"),
        SamplerSpec(name="random", make=_random, source="-",
                    summary="each parameter uniform over its values, without repetition"),
        SamplerSpec(name="qmc", make=_qmc, source="Halton 1960 (DOI 10.1007/BF01386213), digits permuted",
                    summary="low-discrepancy points"),
        SamplerSpec(name="tpe", make=_tpe, source="Optuna TPESampler; Watanabe 2023, arXiv:2304.11127",
                    summary="tree-structured Parzen estimator, multivariate, one group per branch of the space"),
        SamplerSpec(name="nsga2", make=_nsga2, source="Optuna NSGAIISampler; Deb et al. 2002 (DOI 10.1109/4235.996017)",
                    summary="genetic algorithm with crowding, constrained domination, population 50"),
        SamplerSpec(name="nsga3", make=_nsga3, source="Optuna NSGAIIISampler; Deb and Jain 2014 "
                    "(DOI 10.1109/TEVC.2013.2281535)",
                    summary="genetic algorithm with reference directions: many objectives"),
        SamplerSpec(name="exhaustive", make=_exhaustive, source="-", summary="every point of the space, in its order"),
    )
}


def pick_sampler(name: str, space: Space, trials: int, *, estimates: bool = False) -> tuple[str, str]:
    """The sampler to use and why: `auto` is resolved, another name is checked and kept.

    Parameters
    ----------
    estimates : whether the study has them (`dse.estimate.estimate_of`).

    Raises
    ------
    InputError : an unknown name, `exhaustive` on a continuous space, or a sampler without the estimates it needs.
    """
    if name not in SAMPLERS:
        raise InputError(Problem(field="search.sampler", message=f"must be one of {', '.join(SAMPLERS)}, got {name!r}",
                                 hint=did_you_mean(name, list(SAMPLERS))))
    size = space.size()
    if name == "exhaustive" and size == math.inf:
        raise InputError(Problem(field="search.sampler", message="must be another one than 'exhaustive': the space has "
                                 "continuous parameters"))
    if SAMPLERS[name].needs_estimate and not estimates:
        raise InputError(Problem(field="search.sampler", message=f"must be another one than {name!r}: there are "
                                 "estimates only for studies of one scenario at the fidelity 'simulate', "
                                 "without capacity_frac"))
    if name != "auto":
        return name, "as the study asks"
    if size <= trials:
        return "exhaustive", f"the space has {size:,} points, {trials:,} trials cover it"
    if estimates:
        return "guided", ("the analytic fidelity estimates designs before they are simulated: the "
                          "front found sooner (studies/SEARCH.md)")
    return "archive", ("no estimates for this study (see `dse.estimate`); best without them on conditional spaces "
                       "(studies/SEARCH.md)")


def make_sampler(name: str, space: Space, *, seed: int, estimate: "Estimate | None" = None) -> "PointSampler":
    """A sampler by name (see `pick_sampler` for `auto`)."""
    spec = SAMPLERS[name]
    return spec.make(space, seed, estimate) if spec.needs_estimate else spec.make(space, seed)
