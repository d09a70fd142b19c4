"""The event kernel against tables worked out by hand, and the compiled loops against the interpreted one."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import fits, machine, random_case, table, trace, with_batches, with_exits
from reference_kernel import reference_run

from hwmodels.errors import InvalidPolicy, InvalidWorkload
from hwmodels.kernel import isolated_s, run, simulate
from hwmodels.policies import POLICIES
from hwmodels.tables import DRAM_FIXED, DRAM_MAX_MIN, DRAM_PROPORTIONAL

LONG_SHORT = [[[1.0, 1.0, 1.0, 1.0]], [[1.0]]]


@pytest.mark.parametrize(("policy", "finish", "starts"), [
    ("fcfs", [4.0, 5.0, 6.0], [0.0, 4.0, 5.0]),
    ("sjf", [6.0, 2.0, 3.0], [0.0, 1.0, 2.0]),
    ("edf", [5.0, 6.0, 2.0], [0.0, 5.0, 1.0]),
    ("round_robin", [6.0, 2.0, 3.0], [0.0, 1.0, 2.0]),
])
def test_order_by_hand(policy, finish, starts):
    """A task of four layers at 0, tasks of one layer at 0.5 and 1: everybody is admitted by the first boundary."""
    requests = trace([0.0, 0.5, 1.0], [0, 1, 1], deadlines=[10.0, 20.0, 5.0])
    records = simulate(table(LONG_SHORT), machine(2), requests, policy)
    assert records.finish_s.tolist() == finish
    assert records.start_s.tolist() == starts
    assert records.events == 6
    assert records.service_s.tolist() == [4.0, 1.0, 1.0]


def test_arrival_at_a_boundary_is_seen_by_the_decision():
    """The layer ends at 1 as the shorter task arrives: the finish is first, the decision sees the arrival."""
    records = simulate(table(LONG_SHORT), machine(2), trace([0.0, 1.0], [0, 1]), "sjf")
    assert records.finish_s.tolist() == [5.0, 2.0]


def test_preemption_saves_and_restores():
    """10 bytes at 5 byte/s: the newcomer waits 2 s for the save, the preempted task 2 s for the restore."""
    records = simulate(table(LONG_SHORT, live=10.0), machine(2, bandwidth=5.0, dram_j_per_byte=0.5),
                       trace([0.0, 0.5], [0, 1]), "sjf")
    assert records.finish_s.tolist() == [1 + 3 + 2 + 3, 4.0]
    assert records.service_s.tolist() == [6.0, 3.0]
    assert records.preemptions.tolist() == [1, 0]
    assert records.overhead_s == 4.0
    assert records.dram_bytes == 20.0
    assert records.energy_j.tolist() == [4 + 5.0, 1 + 5.0]


def test_switch_cost_is_paid_on_resuming():
    records = simulate(table(LONG_SHORT), machine(2, switch_s=0.25), trace([0.0, 0.5], [0, 1]), "sjf")
    assert records.finish_s.tolist() == [5.25, 2.0]


def test_decision_latency():
    """First layers pay it; a running task pays it again only where there was a choice."""
    chip = machine(2, decision=0.25)
    alone = simulate(table(LONG_SHORT), chip, trace([0.0], [0]), "least_slack")
    assert (alone.finish_s[0], alone.decisions) == (4.25, 1)
    two = simulate(table(LONG_SHORT), chip, trace([0.0, 0.5], [0, 1]), "fcfs")
    assert two.finish_s.tolist() == [4.5, 5.75]  # at 0: task 0; at 1.25: keep it, after an arrival; at 4.5: task 1
    assert two.decisions == 3


def test_followers_and_drops():
    requests = trace([0.0, 0.0, 0.0, 0.0], [0, 1, 1, 1], deadlines=[1.0, 9.0, 2.0, 9.0], parents=[-1, 0, -1, 2],
                     drop=True)
    records = simulate(table(LONG_SHORT), machine(2), requests, "fcfs")
    # 0 has started at its deadline and is served; 1 follows it; 2 still waits at 2 and is dropped, and 3 with it
    assert records.finish_s[:2].tolist() == [4.0, 5.0]
    assert np.isnan(records.finish_s[2:]).all()
    assert records.ready_s[:3].tolist() == [0.0, 4.0, 0.0]
    assert np.isnan(records.ready_s[3])


@pytest.mark.parametrize(("mode", "finish"), [
    # needs 8 and 4 of 6 byte/s. Max-min: 3 each, so speeds 3/8 and 3/4: the second ends at 4/3, when 1/2 of the first
    # is left, which then runs alone. Proportional: both at 1/2 until 2. Fixed: nobody is slowed.
    (DRAM_MAX_MIN, [4 / 3 + 0.5, 4 / 3]),
    (DRAM_PROPORTIONAL, [2.0, 2.0]),
    (DRAM_FIXED, [1.0, 1.0]),
])
def test_dram_sharing(mode, finish):
    costs = table([[[1.0], None], [None, [1.0]]], engines=2, dram=[8.0, 4.0])
    chip = machine(2, units=(1, 1), bound=[0, 1], bandwidth=6.0, mode=mode)
    records = simulate(costs, chip, trace([0.0, 0.0], [0, 1]), "fcfs")
    assert records.finish_s == pytest.approx(finish, rel=1e-12)
    assert records.dram_bytes == 12.0


def test_magma_two_tasks():
    """Two tasks of 4 s at rate 3 under bandwidth 3: 8 s (scheduling specification, section 6)."""
    costs = table([[[4.0], [4.0]]], engines=2, dram=12.0)
    chip = machine(1, units=(1, 1), bandwidth=3.0, mode=DRAM_PROPORTIONAL)
    assert simulate(costs, chip, trace([0.0, 0.0], [0, 0]), "fcfs").finish_s.tolist() == [8.0, 8.0]


def test_waits_for_the_better_engine_if_that_ends_sooner():
    costs = table([[[1.0], [1.5]], [[1.0], [9.0]]], engines=2)
    chip = machine(2, units=(1, 1))
    both = simulate(costs, chip, trace([0.0, 0.0], [0, 0]), "fcfs", record=True)
    assert both.finish_s.tolist() == [1.0, 1.5]
    waits = simulate(costs, chip, trace([0.0, 0.0], [0, 1]), "fcfs")
    assert waits.finish_s.tolist() == [1.0, 2.0]
    # work-conserving for the others: the third takes the engine the second would not have
    third = simulate(costs, chip, trace([0.0, 0.0, 0.0], [0, 1, 0]), "fcfs")
    assert third.finish_s.tolist() == [1.0, 2.0, 1.5]


def test_layers_of_one_task_use_the_engine_that_is_best_for_each():
    """Moving costs 2 x 4 bytes / 16 byte/s = 0.5 s: worth it for the second layer only if it saves more."""
    chip = machine(1, units=(1, 1), bandwidth=16.0)
    for second, finish in ((3.0, 1.0 + 0.5 + 1.0), (1.25, 1.0 + 1.25)):
        costs = table([[[1.0, second], [9.0, 1.0]]], engines=2, live=4.0)
        records = simulate(costs, chip, trace([0.0], [0]), "fcfs", record=True)
        assert records.finish_s[0] == finish == isolated_s(costs, chip, np.array([0]))[0]
        assert records.spans[:, 4].tolist() == [0.0, 1.0 if second == 3.0 else 0.0]


def test_pool_lends_equal_shares():
    """Perfect speed-up on 4 units: one task alone gets all, two get half each, and the survivor takes over."""
    costs = table([[[4.0, 4.0], [2.0, 2.0], [1.0, 1.0]]], levels=3)
    chip = machine(1, units=(4,), levels=(1, 2, 4), reconfigure=0.125)
    assert isolated_s(costs, chip, np.array([0])).tolist() == [2.0]
    records = simulate(costs, chip, trace([0.0, 0.0], [0, 0]), "fcfs", record=True)
    assert records.spans[:, 5].tolist() == [2.0, 2.0, 2.0, 2.0]
    assert records.finish_s.tolist() == [4.125, 4.0]  # the first one splits the array for both
    three = simulate(costs, chip, trace([0.0, 0.0, 0.0], [0, 0, 0]), "fcfs", record=True)
    assert sorted(three.spans[:3, 5].tolist()) == [1.0, 1.0, 2.0]


def test_bound_tenants_do_not_block_others():
    costs = table([[[1.0], None], [None, [1.0]]], engines=2)
    chip = machine(2, units=(1, 1), bound=[0, 1], mode=DRAM_FIXED)
    records = simulate(costs, chip, trace([0.0] * 101, [0] * 100 + [1]), "fcfs")
    assert records.finish_s[-1] == 1.0


def test_empty_trace():
    assert simulate(table(LONG_SHORT), machine(2), trace([], []), "fcfs").events == 0
    assert len(simulate(table(LONG_SHORT), machine(2, units=(1,)), trace([], []), "edf").finish_s) == 0


def test_errors():
    costs, chip = table([[[1.0], None]], engines=2), machine(1, units=(1, 1), bound=[1])
    with pytest.raises(InvalidWorkload, match="able to run"):
        simulate(costs, chip, trace([0.0], [0]), "fcfs")
    with pytest.raises(InvalidWorkload, match="non-decreasing"):
        simulate(table(LONG_SHORT), machine(2), trace([1.0, 0.0], [0, 0]), "fcfs")
    with pytest.raises(InvalidPolicy, match="did you mean 'fcfs'"):
        simulate(table(LONG_SHORT), machine(2), trace([0.0], [0]), "fcsf")
    with pytest.raises(InvalidPolicy, match=r"in \[0, 1\]"):
        simulate(table(LONG_SHORT), machine(2), trace([0.0], [0]), "dysta", {"beta": 2.0})


MACHINES = [
    {}, {"engines": 2, "units": (1, 1), "mode": DRAM_MAX_MIN},
    {"engines": 3, "units": (1, 1, 1), "mode": DRAM_PROPORTIONAL},
    {"engines": 3, "units": (1, 1, 1), "bound": [0, 1, 2]}, {"engines": 2, "units": (1, 1), "bound": [0, -1, -1]},
    {"levels": 3, "units": (4,), "mode": DRAM_MAX_MIN}, {"levels": 4, "units": (8,)},
    {"engines": 2, "levels": 2, "units": (2, 2), "mode": DRAM_MAX_MIN},
]


def assert_same(fast, slow):
    for name in fast._fields:
        a, b = np.asarray(getattr(fast, name)), np.asarray(getattr(slow, name))
        if name == "spans":
            a, b = a[np.lexsort(a.T)], b[np.lexsort(b.T)]
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), which=st.integers(0, len(MACHINES) - 1), load=st.sampled_from([0.5, 0.9, 2.0]),
       followers=st.booleans(), drop=st.booleans(), costs=st.booleans(), exits=st.booleans())
def test_equals_the_interpreted_kernel(seed, which, load, followers, drop, costs, exits):
    case = random_case(seed, **MACHINES[which], load=load, followers=followers, drop=drop, costs=costs)
    if exits:
        case = with_exits(case, seed)
    if seed % 2:
        case = with_batches(case, seed)
    for policy in (policy for policy in POLICIES.values() if fits(policy, case[1])):
        slow = reference_run(*case, policy)
        assert_same(run(*case, policy, record=True), slow)
        if which == 0:
            assert_same(run(*case, policy, record=True, general=True), slow)


@pytest.mark.parametrize("which", range(len(MACHINES)))
def test_a_sorted_queue_gives_what_a_scan_gives(which):
    """The interpreted kernel looks for the least key of all that wait; many are equal here."""
    costs, chip, requests = random_case(which, **MACHINES[which], requests=120, load=4.0, followers=True, drop=True)
    coarse = np.floor(requests.arrival_s)
    requests = requests._replace(arrival_s=coarse, deadline_s=coarse + 64.0 * (requests.deadline_s // 1.0 % 2.0) + 64.0)
    for name in ("fcfs", "sjf", "edf"):
        assert_same(run(costs, chip, requests, POLICIES[name], record=True, general=True),
                    reference_run(costs, chip, requests, POLICIES[name]))
