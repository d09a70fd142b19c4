"""Schedulability of periodic tasks under EDF when a task can be preempted at given points only.

Model: task j releases a job every `p_j` cycles, due at its next release (D = P), that needs at most `e_j` cycles. Up to
time t the jobs that are released and due by t demand `sum_j floor(t / p_j) * e_j`. `beta_k`, the blocking tolerance of
the tasks up to k, is the least slack `t - demand(t)` over the deadlines in `[p_k, p_(k+1))`; after the last task the
hyperperiod takes the place of the next period. A set is schedulable if no stretch that runs without preemption is
longer than the tolerance of all tasks of shorter period, and no tolerance is negative.

Exact: every result is an integer. Intervals may hold any number of deadlines (the hyperperiod may have hundreds of
digits), so they are not enumerated: with U the utilisation of the tasks up to k, the slack at t is at least
`(1 - U) t`. With U below 1 the search starts at the lower end and stops where that passes the least slack found; with U
above 1 it starts at the upper end and goes down.

Limits: with U so near to 1 that more than `MAX_POINTS` deadlines would have to be seen, an error says so.

References: M. Bertogna and S. Baruah, "Limited preemption EDF scheduling of sporadic task systems", IEEE Transactions
on Industrial Informatics 6(4), 2010, DOI 10.1109/TII.2010.2049654; S. Baruah, "The limited-preemption uniprocessor
scheduling of sporadic task systems", ECRTS 2005, DOI 10.1109/ECRTS.2005.32.
"""

import math
from fractions import Fraction

import numpy as np
from numba import njit

from hwmodels.errors import InvalidWorkload

__all__ = ["MAX_POINTS", "blocking_tolerance_cycles", "is_schedulable"]

# Deadlines looked at in one interval before giving up: about ten seconds of work.
MAX_POINTS = 1_000_000_000
_MAX_INT64 = 2**62


@njit(cache=True)
def _least_slack_up(start: int, stop: int, periods: np.ndarray, demands: np.ndarray, gain: float) -> tuple:
    """Least `t - sum floor(t/p) e` over multiples t of any period in [start, stop), and whether it is settled.

    Upwards, until `gain * t`, with gain >= 0 a lower bound of the slack from t on, passes the least slack found.
    """
    n = periods.size
    upcoming = np.empty(n, np.int64)
    for j in range(n):
        upcoming[j] = (start + periods[j] - 1) // periods[j] * periods[j]
    best = np.int64(2**62)
    for _ in range(MAX_POINTS):
        t = upcoming[0]
        for j in range(1, n):
            if upcoming[j] < t:
                t = upcoming[j]
        # The factor keeps the bound a bound in spite of rounding (three roundings of 1.1e-16).
        if gain * t * (1.0 - 1e-15) > best:
            return best, True
        if t >= stop:
            return best, stop < _MAX_INT64
        slack = t
        for j in range(n):
            slack -= t // periods[j] * demands[j]
            if upcoming[j] == t:
                upcoming[j] += periods[j]
        if slack < best:
            best = slack
    return best, False


@njit(cache=True)
def _least_slack_down(
    longest: int, residues: np.ndarray, periods: np.ndarray, demands: np.ndarray, loss: float, head_start: float
) -> tuple:
    """Least slack at the deadlines `stop - s`, 1 <= s <= longest, minus that at `stop`, and whether it is settled.

    Relative to `stop`, of which only the residues modulo the periods are given, as it may not fit 64 bits. In an
    overload `loss * s - head_start` is a lower bound from s on.
    """
    n = periods.size
    upcoming = np.empty(n, np.int64)
    for j in range(n):
        upcoming[j] = residues[j] if residues[j] > 0 else periods[j]
    best = np.int64(2**62)
    for _ in range(MAX_POINTS):
        s = upcoming[0]
        for j in range(1, n):
            if upcoming[j] < s:
                s = upcoming[j]
        if loss * s * (1.0 - 1e-15) - head_start > best:
            return best, True
        if s > longest:
            return best, longest < _MAX_INT64
        value = -s
        for j in range(n):
            value -= (residues[j] - s) // periods[j] * demands[j]
            if upcoming[j] == s:
                upcoming[j] += periods[j]
        if value < best:
            best = value
    return best, False


def _tolerance_cycles(start: int, stop: int, periods: list[int], demands: list[int]) -> int:
    """Least slack over the deadlines in [start, stop); no other task has a deadline before `stop`."""
    columns = np.array(periods, np.int64), np.array(demands, np.int64)
    spare = 1 - sum(Fraction(e, p) for p, e in zip(periods, demands, strict=True))
    if spare >= 0:
        offset = 0
        best, settled = _least_slack_up(start, min(stop, _MAX_INT64), *columns, float(spare))
    else:
        # Slack at the end of the interval, and what the demand of unfinished periods hides of it.
        offset = stop - sum(stop // p * e for p, e in zip(periods, demands, strict=True))
        hidden = offset - stop * spare
        residues = np.array([stop % p for p in periods], np.int64)
        best, settled = _least_slack_down(
            min(stop - start, _MAX_INT64), residues, *columns, float(-spare), float(hidden) * (1 + 1e-15)
        )
    if not settled:
        rule = f"such that {MAX_POINTS} deadlines settle the test (utilisation {float(1 - spare):.12f})"
        raise InvalidWorkload("period_cycles", rule, periods)
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
    result = []
    for k, (start, stop) in enumerate(zip(periods, [*periods[1:], math.lcm(*periods)], strict=True)):
        if start == stop:
            result.append(start - sum(start // p * e for p, e in zip(periods, demands, strict=True)))
        else:
            result.append(_tolerance_cycles(start, stop, periods[: k + 1], demands[: k + 1]))
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
