"""DERCA as a policy: points placed before the run, and no deadline missed by what passes its test."""

import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import machine, table, trace
from test_kernel_tile import tiled

from hwmodels.kernel import simulate, tenants_of
from hwmodels.policies.derca import placement, tolerance
from hwmodels.stops import CHEAPER, CHECKPOINT, RECOMPUTE


def test_tolerance_by_hand():
    """D = P = 10, e = 3: slack 7 at 10. With a second task of D = P = 15, e = 5: 7 at 15 and 9 at 20."""
    assert tolerance([10], [10], [3], 15) == 7
    assert tolerance([10, 15], [10, 15], [3, 5], 30) == 7
    assert tolerance([10, 10], [10, 10], [3, 5], 10) == 2


def test_preempts_only_where_it_must():
    """The rival needs 2 s within 8 and tolerates 6: ten layers, or tiles, of 1 s are cut once, in the middle, which is
    passed at 7.5. EDF preempts at the next one, at 6.5."""
    arrivals, networks, deadlines = [0.0, 2.5, 6.0], [0, 1, 0], [8.0, 60.0, 14.0]
    requests = trace(arrivals, networks, deadlines=deadlines)
    for costs in (table([[[2.0]], [[1.0] * 10]]), tiled(table([[[2.0]], [[10.0]]]), [1, 10])):
        eager = simulate(costs, machine(2), requests, "edf", {"grain": 1})
        lazy = simulate(costs, machine(2), requests, "derca")
        assert (eager.finish_s[2], lazy.finish_s[2]) == (8.5, 9.5)
        assert lazy.preemptions.tolist() == [0, 1, 0]
        everywhere = simulate(costs, machine(2), requests, "derca", {"placement": 0})
        assert everywhere.finish_s.tolist() == eager.finish_s.tolist()
        layers = simulate(costs, machine(2), requests, "derca", {"grain": 0})
        assert layers.finish_s.tolist() == (lazy if costs.tiles is None else simulate(
            costs, machine(2), requests, "fcfs")).finish_s.tolist()


def test_points_by_hand():
    """8 tiles of 1 s; the rival needs 2 s of 8 and what the stopped task saves, and tolerates the rest.

    Pieces of 4 tiles: recomputing stops at the end of the first, which costs nothing; of 8: redoing never fits. Half a
    byte of sums persists in 1/2 s out and in, so that the cut comes as late as a tolerance of 5.5 s allows. Sums of 4
    bytes would take 4 s to save, which counts even if no point is left that needs it.
    """
    requests = trace([0.0, 0.0], [0, 1], deadlines=[8.0, 60.0])
    known = tenants_of(requests, machine(2))._replace(period_s=np.array([8.0, 60.0]))
    for piece, sums, how, expected in (
        (4, 0.5, CHECKPOINT, [0, 5]), (4, 0.5, RECOMPUTE, [0, 4]), (8, 0.5, CHECKPOINT, [0, 5]),
        (8, 0.5, RECOMPUTE, None), (8, 0.5, CHEAPER, [0, 5]), (4, 4.0, CHECKPOINT, None), (4, 4.0, CHEAPER, [0, 4]),
    ):
        costs = tiled(table([[[2.0]], [[8.0]]]), [1, 8], piece=[1, piece], sums=[0.0, sums])
        found = placement(costs, machine(2), known, tiles=True, how=how)
        assert (np.flatnonzero(found.points[1]).tolist() if found.schedulable else None) == expected


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), tasks=st.integers(2, 4), how=st.sampled_from([CHECKPOINT, RECOMPUTE, CHEAPER]),
       short=st.booleans())
def test_what_passes_the_test_misses_nothing(seed, tasks, how, short):
    """Periodic tasks with offsets, deadlines at or before the next release, every cost of stopping and deciding."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, tasks)
    costs = table([[rng.integers(1, 40, n).astype(float).tolist()] for n in counts],
                  live=rng.integers(0, 3, counts.sum()).tolist())
    tiles = rng.choice([1, 2, 4, 8, 16], counts.sum())
    costs = tiled(costs, tiles, piece=np.minimum(tiles, rng.choice([1, 2, 4, 8], counts.sum())),
                  sums=rng.integers(0, 8, counts.sum()), reload=rng.integers(0, 2, counts.sum()))
    chip = machine(tasks, bandwidth=4.0, decision=0.125, switch_s=0.25)
    work = [float(costs.latency_s[costs.offset[i, 0, 0, 0] : costs.offset[i, 0, 0, 0] + counts[i]].sum())
            for i in range(tasks)]
    periods = np.ceil(np.array(work) / (rng.dirichlet(np.ones(tasks)) * rng.uniform(0.2, 0.95)))
    relative = periods * (rng.uniform(0.7, 1.0, tasks) if short else 1.0)
    rows = sorted((float(offset + k * p), i) for i, (p, offset) in enumerate(zip(
        periods, rng.integers(0, 50, tasks), strict=True)) for k in range(min(60, max(2, int(6 * max(periods) // p)))))
    arrivals, networks = (np.array(column) for column in zip(*rows, strict=True))
    requests = trace(arrivals, networks, deadlines=arrivals + relative[networks])
    known = tenants_of(requests, chip)
    np.testing.assert_allclose(known.period_s, periods)
    if not placement(costs, chip, known, tiles=True, how=how).schedulable:
        return
    records = simulate(costs, chip, requests, "derca", {"mechanism": how})
    assert (records.finish_s <= requests.deadline_s + 1e-6).all()


def test_the_test_is_not_empty():
    """Costs of nothing, one tick per tile: it passes up to a load near 1, where layer ends do not."""
    costs = tiled(table([[[10.0]], [[40.0]]]), [10, 40])
    requests = trace([0.0, 0.0, 20.0, 84.0], [0, 1, 0, 1], deadlines=[20.0, 84.0, 40.0, 168.0])
    known = tenants_of(requests, machine(2))
    assert placement(costs, machine(2), known, tiles=True, how=CHECKPOINT).schedulable
    assert not placement(costs, machine(2), known, tiles=False, how=CHECKPOINT).schedulable
    full = known._replace(period_s=np.array([20.0, 75.0]), deadline_s=np.array([20.0, 75.0]))
    assert not placement(costs, machine(2), full, tiles=True, how=CHECKPOINT).schedulable
