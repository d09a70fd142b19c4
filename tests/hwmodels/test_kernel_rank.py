"""Policies with numbers: what heaps and the search of bounds find is what a scan of all tasks finds."""

import sys
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import random_case, with_exits
from reference_kernel import reference_run

from hwmodels.kernel import run
from hwmodels.kernel_rank import SHORT
from hwmodels.policies import POLICIES
from hwmodels.policies.base import inline, rank
from hwmodels.policies.dysta_artifact import ARTIFACT
from hwmodels.tables import DRAM_MAX_MIN, DRAM_PROPORTIONAL, Tiles

RANKING = [policy for known in (POLICIES, ARTIFACT) for policy in known.values() if policy.rank is not None]


def scanning(policy):
    """The same policy without anything known ahead: all tasks are asked at every decision."""
    numbers = inline(policy.rank.__wrapped__)

    @rank
    def scan(tasks, queue, count, now, size, most, params, ranked):
        numbers(tasks, queue, count, now, size, size, params, ranked)
        for p in range(count):
            ranked[p].until = -np.inf

    return replace(policy, rank=uncached(scan))


def uncached(compiled):
    """It is made anew in every run, and what is kept on disk could be that of another policy."""
    compiled.pointer = numba.cfunc(compiled._signature, error_model="numpy")(compiled.__wrapped__)
    return compiled


SCANNING = {id(policy): scanning(policy) for policy in RANKING}


def overloaded(seed, requests=400, **how):
    """Long queues of tasks on a coarse grid of times: many are equal in all but their order."""
    costs, chip, trace = random_case(seed, layers=8, requests=requests, load=4.0, **how)
    rng = np.random.default_rng(seed)
    arrival_s = np.floor(trace.arrival_s * 4.0) / 4.0
    deadline_s = arrival_s + rng.choice([0.5, 2.0, 64.0, 128.0, np.inf], requests)
    return costs, chip, trace._replace(arrival_s=arrival_s, deadline_s=deadline_s)


def with_values(policy, seed):
    """Each parameter at its default or at an end of its range."""
    rng = np.random.default_rng(seed)
    return {name: float(rng.choice([param.default, param.low, param.high])) for name, param in policy.params.items()}


def agree(policy, case, params=None, **how):
    """The records of a run that are those of a scan at every decision."""
    found = run(*case, policy, params, **how)
    scanned = run(*case, SCANNING[id(policy)], params, **how)
    for column in ("finish_s", "start_s", "preemptions", "energy_j"):
        np.testing.assert_array_equal(getattr(found, column), getattr(scanned, column), err_msg=policy.name)
    return found


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), costs=st.booleans(), followers=st.booleans(), drop=st.booleans(),
       exits=st.booleans())
def test_the_bounds_find_what_a_scan_finds(seed, costs, followers, drop, exits):
    """On one engine, in the fast loop and in the general one."""
    case = overloaded(seed, costs=costs, followers=followers, drop=drop)
    if exits:
        case = with_exits(case, seed)
    longest = 0
    for policy in RANKING:
        params = {name: v for name, v in with_values(policy, seed).items() if name not in ("mechanism", "grain")}
        fast = agree(policy, case, params)
        general = run(*case, policy, params, general=True)
        np.testing.assert_array_equal(fast.finish_s, general.finish_s, err_msg=policy.name)
        moments = np.sort(fast.finish_s[np.isfinite(fast.finish_s)])
        waiting = np.searchsorted(np.sort(case[2].arrival_s), moments, side="right") - np.arange(len(moments))
        longest = max(longest, int(waiting.max()))
    assert longest > 4 * SHORT or drop


MACHINES = {
    "engines": {"engines": 3, "units": (1, 1, 1)},
    "bound": {"engines": 3, "units": (1, 1, 1), "bound": (0, -1, 2), "mode": DRAM_MAX_MIN},
    "pool": {"levels": 3, "units": (4,), "mode": DRAM_PROPORTIONAL},
    "pools": {"engines": 2, "levels": 2, "units": (4, 2), "bound": (0, 1, -1)},
}


@settings(max_examples=4, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), machine=st.sampled_from(sorted(MACHINES)), costs=st.booleans(),
       drop=st.booleans())
def test_several_engines_and_pools(seed, machine, costs, drop):
    case = overloaded(seed, costs=costs, drop=drop, **MACHINES[machine])
    for policy in RANKING:
        if policy.machines == "any":
            agree(policy, case, {name: v for name, v in with_values(policy, seed).items() if name != "grain"})


@pytest.mark.parametrize("machine", ["one", *sorted(MACHINES)])
def test_against_the_interpreted_loop(machine):
    """In overload, for numbers that depend on the length of the queue, for those that do not change while a task waits,
    and for those that may keep the runner; tasks are dropped out of the middle of the queue."""
    case = overloaded(11, requests=100, drop=True, **MACHINES.get(machine, {}))
    for name in ("dysta", "sjf", "least_slack", "round_robin"):
        fast, slow = run(*case, POLICIES[name]), reference_run(*case, POLICIES[name])
        np.testing.assert_allclose(fast.finish_s, slow.finish_s, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("policy", [pytest.param(p, id=p.name) for p in RANKING])
def test_a_burst_of_equal_tasks(policy):
    """All of them arrive at once: equal ones run in the order of admission."""
    costs, chip, trace = random_case(5, requests=300, layers=6, costs=False)
    trace = trace._replace(arrival_s=np.zeros(300), deadline_s=np.full(300, 40.0), priority=np.ones(300))
    fast = agree(policy, (costs, chip, trace))
    for network in range(3):
        assert (np.diff(fast.start_s[trace.network == network]) >= 0.0).all()


@pytest.mark.parametrize("mechanism", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("quantum_s", [0.0, 0.01])
def test_stops_inside_layers(mechanism, quantum_s):
    """The tile loop against the interpreted one, in overload."""
    costs, chip, trace = overloaded(7, requests=130)
    rows = len(costs.latency_s)
    costs = costs._replace(tiles=Tiles(np.full(rows, 4), np.full(rows, 2), np.ones(rows), np.ones(rows)))
    params = {"mechanism": mechanism, "quantum_s": quantum_s}
    case = (costs, chip, trace, POLICIES["prema"], params)
    fast, slow = run(*case), reference_run(*case)
    np.testing.assert_allclose(fast.finish_s, slow.finish_s, rtol=1e-12)


@rank
def _last_in(tasks, queue, count, now, size, most, params, ranked):
    for p in range(count):
        ranked[p].value = -tasks[queue[p]].ready_s


@rank
def _no_number(tasks, queue, count, now, size, most, params, ranked):
    for p in range(count):
        ranked[p].value = np.nan if tasks[queue[p]].layer > 0 else np.inf
        ranked[p].until = np.inf


@pytest.mark.parametrize("function", [_last_in, _no_number])
def test_a_policy_that_says_nothing_ahead_or_no_number(function):
    policy = replace(POLICIES["planaria"], rank=function)
    case = overloaded(3, requests=120)
    for general in (False, True):
        fast, slow = run(*case, policy, general=general), reference_run(*case, policy)
        np.testing.assert_allclose(fast.finish_s, slow.finish_s, rtol=1e-12)
