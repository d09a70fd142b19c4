"""Schedulability of periodic tasks under EDF when a task can be preempted at given points only.

Model: task j releases a job every `p_j` cycles, due at its next release (D = P), that needs at most `e_j` cycles. Up to
time t the jobs that are released and due by t demand `sum_j floor(t / p_j) * e_j`. `beta_k`, the blocking tolerance of
the tasks up to k, is the least slack `t - demand(t)` over the deadlines in `[p_k, p_(k+1))`; after the last task the
hyperperiod takes the place of the next period. A set is schedulable if no stretch that runs without preemption is
longer than the tolerance of all tasks of shorter period, and no tolerance is negative.

Exact: every result is an integer. The last interval ends at the hyperperiod, which may have hundreds of digits, so it
is not enumerated. With the utilisation U below 1 the slack at t is at least `(1 - U) t`, so the search starts at the
lower end and stops where that passes the least slack found. With U above 1 the same holds backwards from the
hyperperiod H: the slack at `H - s` is `slack(H) - s + sum_j ceil(s / p_j) e_j`, at least `slack(H) + (U - 1) s`.

Limits: with U so near to 1 that more than `MAX_POINTS` deadlines would have to be seen, an error says so.

References: M. Bertogna and S. Baruah, "Limited preemption EDF scheduling of sporadic task systems", IEEE Transactions
on Industrial Informatics 6(4), 2010, DOI 10.1109/TII.2010.2049654; S. Baruah, "The limited-preemption uniprocessor
scheduling of sporadic task systems", ECRTS 2005, DOI 10.1109/ECRTS.2005.32.
"""

import math

import numpy as np
from numba import njit

from hwmodels.errors import InvalidWorkload

__all__ = ["MAX_POINTS", "blocking_tolerance_cycles", "is_schedulable"]

# Deadlines looked at in one interval before giving up: about ten seconds of work.
MAX_POINTS = 1_000_000_000
_MAX_INT64 = 2**62


@njit(cache=True)
def _least_slack(start: int, stop: int, periods: np.ndarray, demands: np.ndarray, gain: float, limit: int) -> tuple:
    """Least `t - sum floor(t/p) e` over multiples t of any period in [start, stop), and the number of points seen.

    Stops early where `gain * t`, a lower bound of the slack from t on, passes the least slack found; -1 points mean
    that the limit was reached, of points or of 62 bits.
    """
    n = periods.size
    upcoming = np.empty(n, np.int64)
    for j in range(n):
        upcoming[j] = (start + periods[j] - 1) // periods[j] * periods[j]
    best, points, found = np.int64(0), 0, False
    while True:
        t = upcoming[0]
        for j in range(1, n):
            if upcoming[j] < t:
                t = upcoming[j]
        # The factor keeps the bound a bound in spite of rounding.
        if found and gain * t * (1.0 - 1e-9) > best:
            return best, points
        if t >= stop and stop < _MAX_INT64:
            return best, points
        if points >= limit or t >= stop:
            return best, -1
        slack = t
        for j in range(n):
            slack -= t // periods[j] * demands[j]
            if upcoming[j] == t:
                upcoming[j] += periods[j]
        if not found or slack < best:
            best, found = slack, True
        points += 1


@njit(cache=True)
def _least_slack_backwards(
    shortest: int, longest: int, periods: np.ndarray, demands: np.ndarray, gain: float, limit: int
) -> tuple:
    """Least `-s + sum ceil(s/p) e` over multiples s of any period in [shortest, longest]; the mirror of the above."""
    n = periods.size
    upcoming = np.empty(n, np.int64)
    for j in range(n):
        upcoming[j] = (shortest + periods[j] - 1) // periods[j] * periods[j]
    best, points, found = np.int64(0), 0, False
    while True:
        s = upcoming[0]
        for j in range(1, n):
            if upcoming[j] < s:
                s = upcoming[j]
        if (s > longest and longest < _MAX_INT64) or (found and gain * s * (1.0 - 1e-9) > best):
            return best, points
        if points >= limit or s > longest:
            return best, -1
        value = -s
        for j in range(n):
            value += (s + periods[j] - 1) // periods[j] * demands[j]
            if upcoming[j] == s:
                upcoming[j] += periods[j]
        if not found or value < best:
            best, found = value, True
        points += 1


def _last_tolerance_cycles(periods: list[int], demands: list[int], columns: tuple[np.ndarray, np.ndarray]) -> int:
    """The tolerance over the deadlines in [longest period, hyperperiod)."""
    hyperperiod = math.lcm(*periods)
    slack_at_hyperperiod = hyperperiod - sum(hyperperiod // p * e for p, e in zip(periods, demands, strict=True))
    # (1 - U) as the exact ratio of two integers
    gain = slack_at_hyperperiod / hyperperiod
    start = periods[-1]
    if slack_at_hyperperiod >= 0:
        best, points = _least_slack(start, min(hyperperiod, _MAX_INT64), *columns, gain, MAX_POINTS)
        offset = 0
    else:
        reach = min(hyperperiod - start, _MAX_INT64)
        best, points = _least_slack_backwards(1, reach, *columns, -gain, MAX_POINTS)
        offset = slack_at_hyperperiod
    if points < 0:
        raise InvalidWorkload(
            "period_cycles", f"such that {MAX_POINTS} deadlines settle the test (utilisation {1 - gain:.12f})", periods
        )
    return int(best) + offset


def blocking_tolerance_cycles(periods_cycles: list[int], demands_cycles: list[int]) -> list[int]:
    """`beta_k` of every task.

    Parameters
    ----------
    periods_cycles : (N,) periods in ascending order [cycles], positive
    demands_cycles : (N,) worst-case execution `e_j` of a job [cycles], >= 0

    Returns
    -------
    (N,) exact integers [cycles]; negative: the tasks up to k overload the processor on their own

    Raises
    ------
    InvalidWorkload
        Periods that are not positive and ascending, or numbers beyond 62 bits.
    """
    periods, demands = [int(p) for p in periods_cycles], [int(e) for e in demands_cycles]
    if not periods or periods[0] <= 0 or sorted(periods) != periods:
        raise InvalidWorkload("period_cycles", "positive and ascending", periods)
    if periods[-1] >= 2**46 or max(demands) >= 2**46:
        raise InvalidWorkload("period_cycles", "below 2^46 cycles, as the execution times", max(*periods, *demands))
    columns = np.array(periods, np.int64), np.array(demands, np.int64)
    result = []
    for k, (start, stop) in enumerate(zip(periods, [*periods[1:], math.lcm(*periods)], strict=True)):
        if start == stop:
            slack = start - sum(start // p * e for p, e in zip(periods, demands, strict=True))
        elif k < len(periods) - 1:
            slack = int(_least_slack(start, stop, *columns, -np.inf, _MAX_INT64)[0])
        else:
            slack = _last_tolerance_cycles(periods, demands, columns)
        result.append(slack)
    return result


def is_schedulable(tolerances_cycles: list[int], longest_regions_cycles: list[int]) -> bool:
    """The test: `q_i <= min_(k<i) beta_k` for every task but the first, and no negative `beta`.

    Parameters
    ----------
    tolerances_cycles : (N,) `beta`, tasks by period
    longest_regions_cycles : (N,) `q`, the longest stretch that runs without preemption, tasks by period
    """
    tolerance = tolerances_cycles[0]
    for i in range(1, len(tolerances_cycles)):
        if longest_regions_cycles[i] > tolerance:
            return False
        tolerance = min(tolerance, tolerances_cycles[i])
    return tolerance >= 0
