"""Policies that say who gets which engine, or which units of it: their own checks."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import machine, random_case, table, trace

from hwmodels.errors import InvalidPolicy
from hwmodels.kernel import run, simulate
from hwmodels.planaria import Request, allocate
from hwmodels.policies import POLICIES
from hwmodels.policies.charm import partition
from hwmodels.policies.herald import list_schedule
from hwmodels.policies.magma import group_sizes
from hwmodels.policies.moca import throttled
from hwmodels.policies.planaria_spatial import allocation
from hwmodels.tables import DRAM_MAX_MIN


# ---- Planaria ----
@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**9), count=st.integers(1, 8))
def test_planaria_allocation_is_the_published_one(seed, count):
    rng = np.random.default_rng(seed)
    priority = rng.integers(1, 13, count).astype(float)
    # a power of two keeps divisions by the remaining time exact in either order of operations
    remaining = np.sort(rng.integers(1, 200, (count, 16)), axis=1)[:, ::-1].astype(float)
    slack = rng.integers(-50, 250, count).astype(float)
    requests = [Request(p, s, tuple(int(c) for c in row)) for p, s, row in zip(priority, slack, remaining, strict=True)]
    assert allocation(priority, slack, np.ascontiguousarray(remaining)).tolist() == allocate(requests)


def test_planaria_alone_takes_all_and_work_is_conserved():
    """remaining(c) = W / c, all at once, every unit used: the last finish is the sum of W / 16."""
    costs = table([[[w / c] for c in (1, 2, 4, 8, 16)] for w in (16.0, 16.0)], levels=5)
    chip = machine(2, units=(16,), levels=(1, 2, 4, 8, 16))
    assert simulate(costs, chip, trace([0.0], [0]), "planaria_spatial").finish_s.tolist() == [1.0]
    both = simulate(costs, chip, trace([0.0, 0.0], [0, 1]), "planaria_spatial", record=True)
    assert both.spans[:, 5].tolist() == [8.0, 8.0]
    assert both.finish_s.max() == 2.0


def test_planaria_gives_what_the_deadline_needs():
    """Task 0 needs 8 of 16 sub-arrays to end by 2, task 1 is in no hurry: 8 and 1, and the spare 7 by priority /
    remaining time: 1/2 against 1/16 of a total of 9/16: 6 and 1."""
    costs = table([[[16 / c] for c in (1, 2, 4, 8, 16)]] * 2, levels=5)
    chip = machine(2, units=(16,), levels=(1, 2, 4, 8, 16))
    records = simulate(costs, chip, trace([0.0, 0.0], [0, 1], deadlines=[2.0, 50.0]), "planaria_spatial", record=True)
    first = records.spans[np.argsort(records.spans[:, 2])]
    assert first[:, 5].tolist() == [8.0, 8.0]  # 14 and 2 allocated; of the sizes 8 and 2; 6 left: 2 grows to 8
    assert records.finish_s[0] == 2.0


def test_one_engine_only():
    with pytest.raises(InvalidPolicy, match="one engine"):
        simulate(*random_case(0, engines=2, units=(1, 1)), "planaria_spatial")


# ---- DREAM ----
@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), load=st.sampled_from([0.6, 1.5]))
def test_dream_on_one_engine_is_sdrm3(seed, load):
    case = random_case(seed, load=load)
    one, many = simulate(*case, "sdrm3"), simulate(*case, "dream")
    np.testing.assert_array_equal(one.finish_s, many.finish_s)


def test_dream_sends_a_task_where_it_runs_best():
    """Two networks, each at home on another engine: 1 s there, 4 s elsewhere. Urgencies are small; the pairs at home
    have preference 5, the others 5/4."""
    costs = table([[[1.0], [4.0]], [[4.0], [1.0]]], engines=2)
    records = simulate(costs, machine(2, units=(1, 1)), trace([0.0, 0.0], [1, 0], deadlines=[9.0, 9.0]), "dream",
                       record=True)
    assert records.finish_s.tolist() == [1.0, 1.0]


def test_dream_drops_the_frame_that_blocks_the_others():
    """A task of 4 s that cannot meet its deadline of 3, and two of 1 s with deadlines 2.5: without it both make it."""
    costs = table([[[1.0] * 4], [[1.0]]])
    requests = trace([0.0, 0.0, 0.0], [0, 1, 1], deadlines=[3.0, 2.5, 2.5], drop=True)
    kept = simulate(costs, machine(2), requests, "dream")
    assert np.isfinite(kept.finish_s[0])
    assert (~(kept.finish_s <= requests.deadline_s)).sum() >= 2
    dropped = simulate(costs, machine(2), requests, "dream", {"max_drop_frac": 0.34})
    assert np.isnan(dropped.finish_s[0])
    assert dropped.finish_s[1:].tolist() == [1.0, 2.0]
    rare = simulate(costs, machine(2), requests, "dream", {"max_drop_frac": 0.3})  # less than one of three
    assert np.isfinite(rare.finish_s[0])
    needed = requests._replace(drop_late=np.zeros(3, dtype=bool))  # nobody may be dropped
    assert np.isfinite(simulate(costs, machine(2), needed, "dream", {"max_drop_frac": 0.34}).finish_s).all()


# ---- MoCA, AuRORA ----
def test_moca_throttle_by_hand():
    # equal scores and shares u = 0.8 of 3 groups, threshold 1.5: excess 0.9, own' = 0.8 - 0.9 x 2/3 = 0.2
    assert throttled(0.8, 2.0, 1.6, 3.2, 1.5, 0.1) == pytest.approx(0.2)
    assert throttled(0.8, 2.0, 1.6, 3.2, 1.5, 0.25) == 0.25
    assert throttled(0.2, 2.0, 1.6, 3.2, 1.5, 0.25) == 0.2  # never above its own
    assert throttled(0.5, 1.0, 1.0, 9.0, 1.5, 0.25) == 0.5  # no excess


def test_moca_caps_the_less_urgent_layer():
    """Both layers draw the whole bandwidth for 1 s; priorities 3 and 1 give scores 1 and 1/2. Max-min: both end at 2.
    With threshold 1 the second to start is capped at 1 - 1 x 1 / (1/2 + 1) = 1/3 if it is the less urgent one, so that
    the first gets 2/3 and ends at 1.5; and else at 1 - 1 x 1/2 / (1 + 1/2) = 2/3, which its fair share does not reach.
    """
    costs = table([[[1.0], [1.0]], [[1.0], [1.0]]], engines=2, dram=1.0)
    chip = machine(2, units=(1, 1), bandwidth=1.0)
    requests = trace([0.0, 0.0], [0, 1], priorities=[3.0, 1.0])
    free = simulate(costs, chip, requests, "moca", {"threshold_frac": 4.0})
    assert free.finish_s.tolist() == [2.0, 2.0]
    capped = simulate(costs, chip, requests, "moca", {"threshold_frac": 1.0, "floor_frac": 0.05})
    assert capped.finish_s[0] == pytest.approx(1.5)
    assert capped.finish_s[1] == pytest.approx(3.0)  # the cap of a layer stays to its end
    # the urgent one second: its cap 2/3 is above the fair share
    turned = simulate(costs, chip, trace([0.0, 0.0], [0, 1], priorities=[1.0, 3.0]), "moca",
                      {"threshold_frac": 1.0, "floor_frac": 0.05})
    assert turned.finish_s.tolist() == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize("seed", range(6))
def test_moca_without_contention_is_static(seed):
    """Infinite bandwidth: the throttle changes nothing."""
    costs, chip, requests = random_case(seed, levels=4, units=(8,))
    chip = chip._replace(dram_bytes_per_s=1e15)
    low, high = ({"threshold_frac": value} for value in (0.5, 4.0))
    np.testing.assert_array_equal(simulate(costs, chip, requests, "moca", low).finish_s,
                                  simulate(costs, chip, requests, "moca", high).finish_s)


def test_moca_does_not_preempt():
    for seed in range(5):
        case = random_case(seed, engines=2, units=(1, 1), load=1.5)
        assert simulate(*case, "moca").preemptions.sum() == 0


def test_aurora_shares():
    """Of 16 units a task alone takes all; two without deadlines hold at most half each, and nobody is preempted."""
    costs = table([[[16 / c] * 3 for c in (1, 2, 4, 8, 16)]], levels=5)
    chip = machine(1, units=(16,), levels=(1, 2, 4, 8, 16))
    assert simulate(costs, chip, trace([0.0], [0]), "aurora").finish_s.tolist() == [3.0]
    both = simulate(costs, chip, trace([0.0, 0.0], [0, 0]), "aurora", record=True)
    assert set(both.spans[both.spans[:, 0] < 3.0, 5]) <= {2.0, 4.0, 8.0}
    assert both.preemptions.sum() == 0


def test_aurora_a_task_in_need_acquires():
    """Deadline 5 needs 8 of 16 units for two layers of 16 unit seconds; its rival has none."""
    costs = table([[[16 / c] * 2 for c in (1, 2, 4, 8, 16)]] * 2, levels=5)
    chip = machine(2, units=(16,), levels=(1, 2, 4, 8, 16))
    records = simulate(costs, chip, trace([0.0, 0.0], [0, 1], deadlines=[np.inf, 20.0]), "aurora", record=True)
    own = records.spans[records.spans[:, 2] == 1]
    assert own[-1, 5] >= own[0, 5]
    assert records.finish_s[1] <= 20.0


# ---- plans made before the run ----
TWO_KINDS = table([[[1.0, 1.0], [3.0, 3.0]], [[3.0, 3.0], [1.0, 1.0]]], engines=2)


@pytest.mark.parametrize("name", ["herald", "magma", "charm"])
def test_planned_tasks_go_where_they_run_best(name):
    """Two kinds of engines, two networks at home on one each: at full load nobody leaves home."""
    requests = trace([0.0] * 8, [0, 1] * 4)
    records = simulate(TWO_KINDS, machine(2, units=(1, 1)), requests, name, record=True)
    assert records.finish_s.max() == 8.0
    assert (records.spans[:, 4] == requests.network[records.spans[:, 2].astype(int)]).all()


@pytest.mark.parametrize("name", ["herald", "charm"])
def test_a_long_queue_of_one_engine_is_in_nobody_elses_way(name):
    """200 requests wait for engine 0; those planned for engine 1 run there as they come."""
    count = 200
    requests = trace([0.0] * count + [0.5] * 4, [0] * count + [1] * 4)
    records = simulate(TWO_KINDS, machine(2, units=(1, 1)), requests, name)
    assert records.finish_s[count:].tolist() == [2.5, 4.5, 6.5, 8.5]
    assert records.finish_s.max() == 2.0 * count


def test_those_planned_for_an_engine_share_its_units():
    """Two tenants planned for a pool of 4, one for another engine: the third does not count there."""
    costs = table([[[4.0], [2.0], [1.0], [9.0], None, None]] * 2 + [[None, None, None, [9.0], None, None]],
                  engines=2, levels=3)
    chip = machine(3, units=(4, 1), levels=(1, 2, 4))
    records = simulate(costs, chip, trace([0.0, 0.0, 0.0], [0, 1, 2]), "charm", record=True)
    assert sorted(records.spans[:, 5].tolist()) == [1.0, 2.0, 2.0]
    assert records.finish_s.tolist() == [2.0, 2.0, 9.0]


def _layers(latency):
    return [(np.array([row]), np.zeros((1, len(row))), np.ones((1, len(row)))) for row in latency]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), engines=st.integers(1, 4), tasks=st.integers(1, 12))
def test_herald_on_equal_engines_is_list_scheduling(seed, engines, tasks):
    """Independent layers: makespan <= (2 - 1/m) x the lower bound of the optimum (Graham 1969)."""
    work = np.random.default_rng(seed).integers(1, 20, tasks).astype(float)
    _, makespan = list_schedule(_layers(np.repeat(work[:, None], engines, axis=1)), 0, 1.0)
    # list scheduling ends at most (work - last) / m + last after the start
    assert makespan <= work.sum() / engines + (1.0 - 1.0 / engines) * work.max() + 1e-9
    assert makespan >= max(work.sum() / engines, work.max()) - 1e-9


def test_herald_balances():
    """Engine 0 is best for all: with factor 1 the layers go where they end first, with a large one all stay."""
    costs = _layers([[1.0, 2.0]] * 3)
    assert list_schedule(costs, 0, 10.0) == ([[0], [0], [0]], 3.0)
    assert list_schedule(costs, 0, 1.0) == ([[0], [0], [1]], 2.0)
    by_energy = [(latency, traffic, np.array([[2.0, 1.0]])) for latency, traffic, _ in costs]
    assert list_schedule(by_energy, 1, 10.0)[0] == [[1], [1], [1]]


def test_partition_by_hand():
    assert partition(np.array([[4.0, 4.0], [3.0, 3.0], [2.0, 2.0]])) == [0, 1, 1]
    assert partition(np.array([[4.0, np.inf], [3.0, 3.0], [2.0, 2.0]])) == [0, 1, 1]
    assert partition(np.full((20, 3), 1.0)).count(2) in (6, 7)  # too many partitions to try: largest first


def test_group_sizes():
    assert group_sizes(np.array([30, 10, 0]), 8) == [6, 2, 1]


def test_slots_are_static():
    """Traffic 2 : 1 over a bandwidth of 2: with slots the engines get 4/3 and 2/3, and both end at 1.5; shared max-min
    they get 1 and 1, so that the light one is not slowed."""
    costs = table([[[1.0], None], [None, [1.0]]], engines=2, dram=[2.0, 1.0])
    chip = machine(2, units=(1, 1), bound=[0, 1], bandwidth=2.0)
    requests = trace([0.0, 0.0], [0, 1])
    assert simulate(costs, chip, requests, "charm", {"slots": 1.0}).finish_s == pytest.approx([1.5, 1.5])
    assert simulate(costs, chip, requests, "charm").finish_s == pytest.approx([1.5, 1.0])


def test_a_better_search_is_never_worse_on_its_group():
    """One round of the planned group at once: the seeded search is at least as good as charm's partition here."""
    costs = table([[[2.0], [3.0]], [[4.0], [2.0]], [[3.0], [3.0]]], engines=2)
    requests = trace([0.0] * 6, [0, 1, 2] * 2)
    last = {name: simulate(costs, machine(3, units=(1, 1)), requests, name, params).finish_s.max()
            for name, params in (("magma", {"group": 6.0, "generations": 200.0}), ("charm", {}))}
    assert last["magma"] <= last["charm"]


# ---- what they are shown ----
@pytest.mark.parametrize("name", [name for name, policy in POLICIES.items() if policy.assign and not policy.foresees])
def test_who_does_not_foresee_reads_nothing_of_running_tasks(name):
    case = random_case(4, levels=3, units=(4,), mode=DRAM_MAX_MIN, requests=60, load=2.0, drop=True)
    blind, shown = run(*case, POLICIES[name]), run(*case, replace(POLICIES[name], foresees=True))
    np.testing.assert_array_equal(blind.finish_s, shown.finish_s)
