"""Requests that must be late: against sets of requests tried one by one, and a queue kept in the plain way."""

import itertools

import numpy as np
import pytest

from hwmodels.late_requests import _late, _overloaded

Streams = list[np.ndarray]
"""Arrivals of every tenant."""


def random_case(rng: np.random.Generator, most: int) -> tuple[Streams, np.ndarray, np.ndarray, np.ndarray]:
    """Arrivals, time before each can start, work and time allowed of three tenants."""
    tenants = 3
    streams = [np.sort(np.round(rng.uniform(0.0, 6.0, int(rng.integers(0, most))), 1)) for _ in range(tenants)]
    work = rng.uniform(0.1, 1.5, tenants)
    ahead = rng.choice([0.0, 0.3], tenants)
    return streams, ahead, work, ahead + work * rng.uniform(1.0, 3.0, tenants)


def late(streams: Streams, ahead: np.ndarray, work: np.ndarray, allowed: np.ndarray, enough: int = 1000) -> int:
    first = np.cumsum([0, *map(len, streams)])
    count = len(streams)
    return int(_late(np.concatenate(streams), first, ahead, work, allowed, np.ones(count, dtype=np.bool_), enough,
                     np.empty(count, dtype=np.int64), np.empty(count)))


def in_time(jobs: list[tuple[float, float, float]]) -> bool:
    """Whether preemptive earliest-deadline-first serves (release, work, due) in time: then somebody can."""
    jobs, now, waiting = sorted(jobs), 0.0, []  # type: ignore[var-annotated]
    while jobs or waiting:
        if not waiting:
            now = max(now, jobs[0][0])
        while jobs and jobs[0][0] <= now:
            _, left, due = jobs.pop(0)
            waiting.append([due, left])
        waiting.sort()
        due, left = waiting[0]
        until = min(now + left, jobs[0][0] if jobs else np.inf)
        waiting[0][1] -= until - now
        now = until
        if waiting[0][1] <= 1e-12:
            waiting.pop(0)
            if now > due + 1e-9:
                return False
    return True


def test_no_schedule_has_fewer_late_requests() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(200):
        streams, ahead, work, allowed = random_case(rng, 4)
        jobs = [(a + ahead[t], work[t], a + allowed[t]) for t, arrivals in enumerate(streams) for a in arrivals]
        fewest = next(dropped for dropped in range(len(jobs) + 1)
                      if any(in_time(list(kept)) for kept in itertools.combinations(jobs, len(jobs) - dropped)))
        bound = late(streams, ahead, work, allowed)
        assert bound <= fewest
        assert (bound > 0) == (fewest > 0)
        assert late(streams, ahead, work, allowed, enough=0) == min(bound, 1)
        found.append(bound)
    assert max(found) > 1


@pytest.mark.parametrize("spare", [0, 1])
def test_overload_is_demand_beyond_the_window(spare: int) -> None:
    """Every window from 0 or 2 s to a due time, summed request by request."""
    rng = np.random.default_rng(2)
    answers = set()
    for _ in range(300):
        streams, ahead, work, allowed = random_case(rng, 6)
        expected = False
        for begin in (0.0, 2.0):
            ends = []
            for t, arrivals in enumerate(streams):
                ends += [(a + allowed[t], work[t]) for a in arrivals[arrivals + ahead[t] >= begin][spare:]]
            expected |= any(sum(w for due, w in ends if due <= end) > (end - begin) * (1.0 + 1e-6) for end, _ in ends)
        count = len(streams)
        found = _overloaded(np.array([0.0, 2.0]), np.concatenate(streams), np.cumsum([0, *map(len, streams)]), ahead,
                            work, allowed, np.ones(count, dtype=np.bool_), np.full(count, spare),
                            np.empty(count, dtype=np.int64))
        assert found == expected
        answers.add(found)
    assert answers == {False, True}
