"""MAGMA: the fluid bandwidth share by hand and against the public allocator; the search against its bounds."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels.errors import InvalidPolicy, InvalidWorkload
from hwmodels.magma import HEURISTICS, Mapping, heuristic, makespan_bound_s, makespan_s, schedule, search

DATA = json.loads((Path(__file__).parents[1] / "data/scheduling/magma/bandwidth_allocator.json").read_text())
TABLES = {
    name: (np.array(table["latency"]), np.array(table["bandwidth"])) for name, table in DATA["tables"].items()
}


def one_each(count):
    return Mapping(np.arange(count), np.zeros(count))


def test_two_tasks_share_the_bandwidth():
    assert makespan_s(np.full((2, 2), 4.0), np.full((2, 2), 3.0), 3.0, one_each(2)) == pytest.approx(8.0, rel=1e-12)


def test_shares_by_hand():
    # Both ask for 4 of 4: half speed until the short one ends at 4; the long one has 2 s of work left.
    start, finish = schedule(np.array([[2.0, 9], [9, 4.0]]), np.full((2, 2), 4.0), 4.0, one_each(2))
    assert start.tolist() == [0, 0]
    assert finish.tolist() == pytest.approx([4.0, 6.0])
    # A task without traffic is not slowed by the others.
    need = np.array([[0.0, 0, 0], [4, 4, 4], [4, 4, 4]])
    assert schedule(np.full((3, 3), 4.0), need, 4.0, one_each(3))[1].tolist() == pytest.approx([4.0, 8.0, 8.0])


def test_engine_runs_its_tasks_by_key():
    latency, need = np.array([[1.0], [2.0], [4.0]]), np.ones((3, 1))
    start, _ = schedule(latency, need, 9.0, Mapping(np.zeros(3, int), np.array([0.5, 0.1, 0.5])))
    assert start.tolist() == [2.0, 0.0, 3.0]


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda c: f"{c['table']}-{c['bandwidth']}-{c['assignment']}")
def test_public_allocator(case):
    latency, need = TABLES[case["table"]]
    if case["order_keys"] is None:
        mapping = heuristic(latency, case["assignment"].removeprefix("heuristic "))
        assert mapping.engines.tolist() == case["cores"]
    else:
        mapping = Mapping(np.array(case["cores"]), np.array(case["order_keys"]))
    assert makespan_s(latency, need, case["bandwidth"], mapping) == pytest.approx(case["makespan"], rel=1e-9)


@pytest.mark.parametrize(("table", "bandwidth", "public"), [("t12x2", 3, 66.2633), ("t40x4", 4, 116.6295)])
def test_search_reaches_the_bound(table, bandwidth, public):
    latency, need = TABLES[table]
    found = search(latency, need, bandwidth, rng=np.random.default_rng(1), generations=400)
    span, bound = makespan_s(latency, need, bandwidth, found), makespan_bound_s(latency, need, bandwidth)
    assert bound <= span * (1 + 1e-9)
    assert span <= 1.001 * public


def test_search_is_never_worse_than_its_seeds():
    for latency, need in TABLES.values():
        found = search(latency, need, 16, rng=np.random.default_rng(3), generations=200)
        best = min(makespan_s(latency, need, 16, heuristic(latency, name)) for name in HEURISTICS)
        assert makespan_s(latency, need, 16, found) <= best


def test_search_is_reproducible():
    latency, need = TABLES["t12x2"]
    one, two = (search(latency, need, 2, rng=np.random.default_rng(5), generations=20) for _ in range(2))
    assert one.engines.tolist() == two.engines.tolist()
    assert one.keys.tolist() == two.keys.tolist()


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 8), st.integers(1, 4), st.floats(0.1, 50), st.integers(0, 10**6))
def test_no_mapping_beats_the_bound(tasks, count, bandwidth, seed):
    rng = np.random.default_rng(seed)
    latency, need = rng.uniform(0.1, 5, (tasks, count)), rng.uniform(0.1, 5, (tasks, count))
    mapping = Mapping(rng.integers(count, size=tasks), rng.random(tasks))
    start, finish = schedule(latency, need, bandwidth, mapping)
    rows = np.arange(tasks)
    alone = latency[rows, mapping.engines]
    assert (finish - start >= alone * (1 - 1e-9)).all()
    assert finish.max() >= makespan_bound_s(latency, need, bandwidth) * (1 - 1e-9)
    # More bandwidth than all can ask for: every engine is a plain queue.
    free = schedule(latency, need, 1e9, mapping)[1].max()
    assert free == pytest.approx(max(alone[mapping.engines == c].sum() for c in range(count)))


def test_bad_input():
    latency, need = np.ones((2, 2)), np.ones((2, 2))
    with pytest.raises(InvalidPolicy):
        heuristic(latency, "BEST")
    with pytest.raises(InvalidWorkload):
        makespan_s(latency, need, 0.0, one_each(2))
    with pytest.raises(InvalidWorkload):
        makespan_s(-latency, need, 1.0, one_each(2))
    with pytest.raises(InvalidWorkload):
        makespan_s(latency, need, 1.0, Mapping(np.array([0, 5]), np.zeros(2)))
