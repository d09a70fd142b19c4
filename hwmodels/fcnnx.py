"""f-CNNx: one engine per network, sized together with fixed slots of the DRAM bandwidth.

Model: engine i computes a frame in c_i and moves b_i bytes for it; a cyclic schedule of slots gives it the fraction w_i
of the bandwidth, so that a frame takes max(c_i, b_i / (w_i * BW)). Sizes and slots are chosen at design time so that
the least ratio of frame rate to target is as large as it can be.

For given engines that is closed form: a ratio r needs c_i <= 1 / (r t_i) for every network and r * sum t_i b_i <= BW.
The sizes are searched exactly by depth-first search with bounds. The contention-unaware baseline sizes every engine as
if it had the whole bandwidth to itself, and shares it max-min fairly when it runs.

Reconstruction: the paper's toolflow is not public; this is its problem statement solved exactly.

References: S. I. Venieris and C.-S. Bouganis, "f-CNNx: A toolflow for mapping multiple convolutional neural networks on
FPGAs", FPL 2018, DOI 10.1109/FPL.2018.00072.
"""

from typing import NamedTuple

from hwmodels.errors import InvalidEngine, InvalidWorkload

__all__ = ["EngineOption", "Sizing", "Slots", "bandwidth_slots", "contention_unaware", "fluid_ratio", "size_engines"]


class EngineOption(NamedTuple):
    """One size of an engine for one network."""

    compute_s: float
    traffic_bytes: float
    resources: tuple[float, ...]


class Slots(NamedTuple):
    """`ratio` = least of frame rate / target; `shares_frac` of the bandwidth, one per engine, sum 1 or less."""

    ratio: float
    shares_frac: tuple[float, ...]


class Sizing(NamedTuple):
    """Option of every network, and the ratio that it reaches."""

    chosen: tuple[int, ...]
    ratio: float


def _check(engines: list[EngineOption], targets_per_s: list[float], bandwidth_bytes_per_s: float) -> None:
    if not engines or len(engines) != len(targets_per_s):
        raise InvalidWorkload("targets_per_s", "one per engine, at least one", targets_per_s)
    if not min(targets_per_s) > 0 or not bandwidth_bytes_per_s > 0:
        raise InvalidWorkload("targets_per_s", "positive, as the bandwidth", targets_per_s)
    for engine in engines:
        if not engine.compute_s > 0 or not engine.traffic_bytes >= 0:
            raise InvalidEngine("compute_s", "positive, with traffic_bytes >= 0", tuple(engine))


def bandwidth_slots(engines: list[EngineOption], targets_per_s: list[float], bandwidth_bytes_per_s: float) -> Slots:
    """The slots that maximise the least ratio of frame rate to target.

    Parameters
    ----------
    engines, targets_per_s : (N,) the engine of every network, its frames per second wanted [1/s]
    bandwidth_bytes_per_s : of the DRAM [bytes/s]

    Returns
    -------
    Slots
        A ratio of 1 or more meets all targets. Bandwidth that no one needs at this ratio goes to all in proportion.
    """
    _check(engines, targets_per_s, bandwidth_bytes_per_s)
    needs = [target * engine.traffic_bytes for target, engine in zip(targets_per_s, engines, strict=True)]
    ratio = min(1 / (t * e.compute_s) for t, e in zip(targets_per_s, engines, strict=True))
    total = sum(needs)
    if total == 0:
        return Slots(ratio, (0.0,) * len(engines))
    return Slots(min(ratio, bandwidth_bytes_per_s / total), tuple(need / total for need in needs))


def fluid_ratio(engines: list[EngineOption], targets_per_s: list[float], bandwidth_bytes_per_s: float) -> float:
    """Least ratio of frame rate to target when engines that run at will share the bandwidth max-min fairly."""
    _check(engines, targets_per_s, bandwidth_bytes_per_s)
    wants = [engine.traffic_bytes / engine.compute_s for engine in engines]
    rates, left = [0.0] * len(engines), bandwidth_bytes_per_s
    for rank, i in enumerate(sorted(range(len(engines)), key=lambda i: wants[i])):
        got = min(wants[i], left / (len(engines) - rank))
        left -= got
        compute_rate = 1 / engines[i].compute_s
        rates[i] = min(compute_rate, got / engines[i].traffic_bytes) if engines[i].traffic_bytes else compute_rate
    return min(rate / target for rate, target in zip(rates, targets_per_s, strict=True))


def _fits(used: tuple[float, ...], limits: tuple[float, ...]) -> bool:
    return all(u <= limit for u, limit in zip(used, limits, strict=True))


def _search(
    options: list[list[EngineOption]],
    targets_per_s: list[float],
    bandwidth_bytes_per_s: float,
    limits: tuple[float, ...],
    *,
    shared: bool,
) -> Sizing | None:
    """Depth-first over the options of one network after the other; `shared`: they share the bandwidth."""
    if not options or len(options) != len(targets_per_s) or not all(options):
        raise InvalidWorkload("options", "at least one per network", [len(column) for column in options])
    for column, target in zip(options, targets_per_s, strict=True):
        _check(column, [target] * len(column), bandwidth_bytes_per_s)
        if any(len(option.resources) != len(limits) for option in column):
            raise InvalidEngine("resources", f"{len(limits)} figures, as the limits", column[0].resources)
    # What the networks not yet sized take at least: an optimistic completion.
    least = [tuple(min(o.resources[r] for o in column) for r in range(len(limits))) for column in options]
    traffic = [t * min(o.traffic_bytes for o in column) for t, column in zip(targets_per_s, options, strict=True)]
    best: Sizing | None = None

    def extend(chosen: tuple[int, ...], used: tuple[float, ...], moved: float, ratio: float) -> None:
        nonlocal best
        i = len(chosen)
        if not _fits(tuple(u + sum(needed[r] for needed in least[i:]) for r, u in enumerate(used)), limits):
            return
        total = moved + sum(traffic[i:])
        bound = min(ratio, bandwidth_bytes_per_s / total) if shared and total > 0 else ratio
        if best is not None and bound <= best.ratio:
            return
        if i == len(options):
            best = Sizing(chosen, bound)
            return
        target = targets_per_s[i]
        for index, option in enumerate(options[i]):
            frame = option.compute_s if shared else max(option.compute_s, option.traffic_bytes / bandwidth_bytes_per_s)
            extend(
                (*chosen, index),
                tuple(u + r for u, r in zip(used, option.resources, strict=True)),
                moved + target * option.traffic_bytes,
                min(ratio, 1 / (target * frame)),
            )

    extend((), (0.0,) * len(limits), 0.0, float("inf"))
    return best


def size_engines(
    options: list[list[EngineOption]],
    targets_per_s: list[float],
    bandwidth_bytes_per_s: float,
    limits: tuple[float, ...],
) -> Sizing | None:
    """The sizes that, with the best slots, maximise the least ratio of frame rate to target.

    Parameters
    ----------
    options : (N,) the sizes that the engine of every network may have
    targets_per_s : (N,) frames per second wanted [1/s]
    bandwidth_bytes_per_s : of the DRAM [bytes/s]
    limits : of every resource that the options list (DSPs, memory blocks, area)

    Returns
    -------
    None if no choice fits; of equal choices the first in the order of the options.
    """
    return _search(options, targets_per_s, bandwidth_bytes_per_s, limits, shared=True)


def contention_unaware(
    options: list[list[EngineOption]],
    targets_per_s: list[float],
    bandwidth_bytes_per_s: float,
    limits: tuple[float, ...],
) -> Sizing | None:
    """The baseline: sizes chosen as if every engine had all the bandwidth, run with fluid sharing.

    `ratio` is what the run reaches. Never above that of `size_engines`.
    """
    found = _search(options, targets_per_s, bandwidth_bytes_per_s, limits, shared=False)
    if found is None:
        return None
    engines = [column[index] for column, index in zip(options, found.chosen, strict=True)]
    return Sizing(found.chosen, fluid_ratio(engines, targets_per_s, bandwidth_bytes_per_s))
