"""Random sets of periodic tasks of a given utilisation, drawn as the DERCA experiments draw them.

Reference: UUniFast, E. Bini and G. Buttazzo, "Measuring the performance of schedulability tests", Real-Time Systems
30, 2005, DOI 10.1007/s11241-005-0507-9. The generator is Python's own `random.Random`, because published sets are
defined by its stream.
"""

import math
import random

from hwmodels.errors import InvalidWorkload

__all__ = ["periods_cycles", "utilisations", "uunifast"]


def uunifast(tasks: int, total_util: float, rng: random.Random) -> list[float]:
    """(N,) utilisations that add up to `total_util`, uniform over all such sets."""
    left = total_util
    drawn: list[float] = []
    for i in range(1, tasks):
        rest = left * rng.random() ** (1 / (tasks - i))
        drawn.append(left - rest)
        left = rest
    return [*drawn, left]


def utilisations(
    sets: int, tasks: int, total_util: float, *, seed: int = 42, base_util: float = 0.5, min_util: float = 0.02
) -> list[list[float]]:
    """Sets drawn for `base_util`, each in descending order, whose first task then grows up to `total_util`.

    Parameters
    ----------
    sets, tasks : how many sets, of how many tasks each
    total_util : utilisation of a set, >= `base_util`
    min_util : a draw with a smaller utilisation is drawn again; below `base_util / tasks`
    """
    if not 0 <= min_util * tasks < base_util <= total_util:
        raise InvalidWorkload("total_util", f"at least base_util = {base_util}, above tasks * min_util", total_util)
    rng = random.Random(seed)
    result: list[list[float]] = []
    while len(result) < sets:
        drawn = uunifast(tasks, base_util, rng)
        if min(drawn) >= min_util:
            drawn.sort(reverse=True)
            result.append([drawn[0] + (total_util - base_util), *drawn[1:]])
    return result


def periods_cycles(
    exec_cycles: list[int],
    utils: list[float],
    total_util: float,
    *,
    step_cycles: int = 230_000,
    restore_step_cycles: int = 1000,
) -> list[int]:
    """Periods of a set: multiples of a step, with the utilisation lost by rounding up given back by the first task.

    Parameters
    ----------
    exec_cycles, utils : (N,) of every task [cycles], [1]
    total_util : the sum of exec / period is at least this
    step_cycles : every period is rounded up to a multiple (1 ms at 230 MHz) [cycles]
    restore_step_cycles : the period of the first task is then cut by multiples of this [cycles]
    """
    periods = [math.ceil(e / u / step_cycles) * step_cycles for e, u in zip(exec_cycles, utils, strict=True)]
    while sum(e / p for e, p in zip(exec_cycles, periods, strict=True)) < total_util:
        periods[0] -= restore_step_cycles
    return periods
