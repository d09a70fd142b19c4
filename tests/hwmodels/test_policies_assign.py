"""Policies that say who gets which units of which engine: their own checks."""

import sys
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
from hwmodels.policies.planaria_spatial import allocation


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
    requests = trace([0.0, 0.0, 0.0], [0, 1, 1], deadlines=[3.0, 2.5, 2.5])
    kept = simulate(costs, machine(2), requests, "dream")
    assert np.isfinite(kept.finish_s).all()
    assert (kept.finish_s > requests.deadline_s).sum() >= 2
    dropped = simulate(costs, machine(2), requests, "dream", {"max_drop_frac": 0.34})
    assert np.isnan(dropped.finish_s[0])
    assert dropped.finish_s[1:].tolist() == [1.0, 2.0]
    rare = simulate(costs, machine(2), requests, "dream", {"max_drop_frac": 0.3})  # less than one of three
    assert np.isfinite(rare.finish_s).all()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.0, 0.1, 0.5]))
def test_dream_drops_at_most_its_share(seed, share):
    case = random_case(seed, load=2.0, requests=60, engines=2, units=(1, 1))
    records = run(*case, POLICIES["dream"], {"max_drop_frac": share})
    assert np.isnan(records.finish_s).mean() <= share
