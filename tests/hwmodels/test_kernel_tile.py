"""Tasks stopped inside layers: tables worked out by hand, laws, and the compiled loop against the interpreted one."""

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import machine, random_case, table, trace
from reference_tiles import tile_reference

from hwmodels.errors import InvalidPolicy, InvalidWorkload
from hwmodels.kernel import isolated_s, run, simulate
from hwmodels.policies import POLICIES
from hwmodels.policies.base import CHEAPER, CHECKPOINT, KILL, RECOMPUTE, Policy, Stops
from hwmodels.tables import Tiles

TILED = [name for name, policy in POLICIES.items() if policy.stops is not None and "grain" in policy.params]
LONG_SHORT = [[[4.0]], [[1.0]]]  # one layer of 4 tiles, one of 1


def tiled(costs, tiles, *, piece=None, sums=0.0, reload=0.0):
    """The table with its layers cut into tiles."""
    rows = len(costs.latency_s)

    def column(value, kind=float):
        return np.full(rows, value, dtype=kind) if np.isscalar(value) else np.array(value, dtype=kind)

    return costs._replace(tiles=Tiles(column(tiles, np.int64), column(1 if piece is None else piece, np.int64),
                                      column(sums), column(reload)))


def stopping(name, *, how=CHECKPOINT, quantum_s=0.0, points=None, tiles=True):
    """A registered policy that stops where and how it is told here."""
    stops = Stops(tiles=tiles, how=how, quantum_s=quantum_s, points=points)
    return replace(POLICIES[name], stops=lambda *_: stops)


def random_tiled(seed, **options):
    """A random case whose layers have 1, 2 or 4 tiles, in pieces of 1 or 2, so that all times stay exact."""
    costs, chip, requests = random_case(seed, **options)
    rng = np.random.default_rng(seed + 1)
    rows = len(costs.latency_s)
    free = 1.0 if options.get("costs", True) else 0.0
    tiles = rng.choice([1, 2, 4], rows)
    return tiled(costs, tiles, piece=np.minimum(tiles, rng.choice([1, 2], rows)), sums=rng.integers(0, 3, rows) * free,
                 reload=rng.integers(0, 3, rows) * free), chip, requests


def test_stops_at_the_next_tile():
    """The short task comes at 0.5: at layer ends it waits until 4, at tiles until 1."""
    costs, requests = tiled(table(LONG_SHORT), [4, 1]), trace([0.0, 0.5], [0, 1])
    assert simulate(costs, machine(2), requests, "sjf").finish_s.tolist() == [4.0, 5.0]
    records = simulate(costs, machine(2), requests, "sjf", {"grain": 1}, record=True)
    assert records.finish_s.tolist() == [5.0, 2.0]
    assert records.spans[:, :4].tolist() == [[0.0, 1.0, 0.0, 0.0], [1.0, 2.0, 1.0, 0.0], [2.0, 5.0, 0.0, 0.0]]
    assert (records.events, records.decisions) == (3, 2)
    assert records.preemptions.tolist() == [1, 0]


def test_an_arrival_at_the_end_of_a_tile_is_seen():
    costs = tiled(table(LONG_SHORT), [4, 1])
    assert simulate(costs, machine(2), trace([0.0, 1.0], [0, 1]), "sjf", {"grain": 1}).finish_s.tolist() == [5.0, 2.0]


@pytest.mark.parametrize(("how", "finish", "overhead", "energy"), [
    # The layer moves 8 bytes per tile; partial sums 2 bytes, operands 4 bytes, 2 byte/s. Stopped after 1 tile of a
    # piece of 2. Checkpoint: 1 s to save, 1 + 2 s to restore and reload. Recompute: 2 s to reload, 1 s of redone work.
    # Kill: 1 s lost. Energy: 1 per layer, 0.5 per byte.
    (CHECKPOINT, [5.0 + 4.0, 3.0], 4.0, [1.0 + 3.0, 1.0 + 1.0]),
    (RECOMPUTE, [5.0 + 3.0, 2.0], 3.0, [1.25 + 2.0, 1.0]),
    (CHEAPER, [5.0 + 3.0, 2.0], 3.0, [1.25 + 2.0, 1.0]),
    (KILL, [6.0, 2.0], 1.0, [1.25, 1.0]),
])
def test_costs_of_stopping_by_hand(how, finish, overhead, energy):
    costs = tiled(table(LONG_SHORT, dram=[32.0, 0.0]), [4, 1], piece=2, sums=2.0, reload=4.0)
    chip = machine(2, bandwidth=2.0, dram_j_per_byte=0.5)
    records = run(costs, chip, trace([0.0, 0.5], [0, 1]), stopping("sjf", how=how))
    assert records.finish_s.tolist() == finish
    assert records.overhead_s == overhead
    assert records.energy_j.tolist() == energy
    moved = {CHECKPOINT: 2.0 + 6.0, RECOMPUTE: 4.0 + 8.0, CHEAPER: 4.0 + 8.0, KILL: 8.0}[how]
    assert records.dram_bytes == 32.0 + moved


def test_live_data_grow_with_the_tiles_done():
    """2 bytes before the second layer, 8 behind it, half of it done: 6 bytes out and 6 in at 4 byte/s."""
    costs = tiled(table([[[1.0, 4.0]], [[1.0]]], live=[2.0, 8.0, 0.0]), [1, 4, 1])
    records = simulate(costs, machine(2, bandwidth=4.0), trace([0.0, 2.5], [0, 1]), "sjf", {"grain": 1})
    assert records.finish_s.tolist() == [3.0 + 2.5 + 1.5 + 2.0, 5.5]


def test_kill_at_ends_of_layers():
    """PREMA's KILL needs no tiles: the long task loses its first layer and starts again."""
    costs = table([[[1.0, 1.0]], [[0.5]]])
    records = simulate(costs, machine(2), trace([0.0, 0.5], [0, 1], priorities=[1.0, 9.0]), "prema", {"mechanism": 1})
    assert records.finish_s.tolist() == [3.5, 1.5]
    assert (records.events, records.overhead_s) == (4, 1.0)


def test_prema_mechanisms():
    """A runs 4 s in tiles of 1/2 s; B, 1 s with priority 9, comes at 1.25. With 3.5 s of A to go: D_current = 1/4
    < D_candidate = 2.5/1, checkpoint. At 3.25, 0.5 s are left: 1/4 < 0.5, still; B of 3 s: 3/4 > 0.5/3, drain."""
    def finish(short, at, **params):
        costs = tiled(table([[[4.0]], [[short]]]), [8, 2])
        return simulate(costs, machine(2), trace([0.0, at], [0, 1], priorities=[1.0, 9.0]), "prema",
                        {"quantum_s": 0.0, **params}).finish_s.tolist()

    assert finish(1.0, 1.25) == [5.0, 2.5]
    assert finish(1.0, 1.25, grain=0) == [4.0, 5.0]
    assert finish(1.0, 1.25, mechanism=1) == [6.5, 2.5]
    assert finish(1.0, 1.25, mechanism=2) == [4.0, 5.0]
    assert finish(1.0, 1.25, mechanism=3) == [5.0, 2.5]
    assert finish(3.0, 3.25, mechanism=0) == [7.0, 6.5]
    assert finish(3.0, 3.25, mechanism=3) == [4.0, 7.0]


def test_quantum_is_a_timer():
    """Tokens: A (10 s) has priority 3, B (2 s) 1 and one more every 2 s. B, the shorter, reaches 3 at 4.
    Asked every 3 s, that is seen at 6; at every tile, at 4."""
    costs = tiled(table([[[10.0]], [[2.0]]]), [10, 2])
    requests = trace([0.0, 0.0], [0, 1], priorities=[3.0, 1.0])
    at = {quantum: run(costs, machine(2), requests, stopping("prema", quantum_s=quantum), {"quantum_s": 0.0},
                       record=True).spans[0, 1] for quantum in (0.0, 3.0, 20.0)}
    assert at == {0.0: 4.0, 3.0: 6.0, 20.0: 10.0}
    short = simulate(costs._replace(latency_s=costs.latency_s / 1024, estimate_s=costs.estimate_s / 1024), machine(2),
                     requests, "prema", {"quantum_s": 3 / 1024}, record=True)
    assert short.spans[0, 1] == 6 / 1024


def test_allowed_points():
    """Only before tile 2: the task that comes at 0.5 waits until 2, one that comes at 2.5 until the end."""
    costs = tiled(table(LONG_SHORT), [4, 1])
    points = (np.array([True, False, True, False]), np.array([True]))
    policy = stopping("sjf", points=points)
    assert run(costs, machine(2), trace([0.0, 0.5], [0, 1]), policy).finish_s.tolist() == [5.0, 3.0]
    assert run(costs, machine(2), trace([0.0, 2.5], [0, 1]), policy).finish_s.tolist() == [4.0, 5.0]
    with pytest.raises(InvalidWorkload, match="the same for all requests of a tenant"):
        run(costs, machine(2), trace([0.0], [1])._replace(tenant=np.array([0])), policy)


def test_decision_latency():
    """Inside a layer it delays who takes over, not who goes on."""
    costs, chip = tiled(table(LONG_SHORT), [4, 1]), machine(2, decision=0.25)
    stays = simulate(costs, chip, trace([0.0, 0.5], [1, 0]), "sjf", {"grain": 1})
    assert stays.finish_s.tolist() == [1.25, 5.5]
    keeps = simulate(costs, chip, trace([0.0, 0.5], [0, 0]), "sjf", {"grain": 1})
    assert keeps.finish_s.tolist() == [4.25, 8.5]
    assert keeps.decisions == 3
    changes = simulate(costs, chip, trace([0.0, 0.5], [0, 1]), "sjf", {"grain": 1})
    assert changes.finish_s.tolist() == [5.5, 2.5]


def test_choices_are_whole_numbers():
    costs = table(LONG_SHORT)
    with pytest.raises(InvalidPolicy, match=r"whole number in \[0, 3\]"):
        simulate(costs, machine(2), trace([0.0], [0]), "prema", {"mechanism": 0.5})
    with pytest.raises(InvalidPolicy, match="says itself who goes on"):
        Policy(name="x", summary="x.", source="x", origin="textbook", assign=POLICIES["moca"].assign,
               stops=lambda *_: None)


CASES = {
    "sjf": [("sjf", how, 0.0) for how in range(4)],
    "edf": [("edf", how, 0.0) for how in range(4)],
    "prema": [("prema", how, q) for how in (CHECKPOINT, KILL, CHEAPER) for q in (0.0, 0.25, 10.0)],
    "dysta": [("dysta", CHECKPOINT, q) for q in (0.0, 0.5)],
    "least_slack": [("least_slack", RECOMPUTE, 0.25)],
}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), case=st.sampled_from([case for cases in CASES.values() for case in cases]),
       load=st.sampled_from([0.5, 0.9, 2.0]), followers=st.booleans(), drop=st.booleans(), costs=st.booleans(),
       tiles=st.booleans(), some=st.booleans())
def test_equals_the_interpreted_loop(seed, case, load, followers, drop, costs, tiles, some):
    name, how, quantum = case
    costs_table, chip, requests = random_tiled(seed, load=load, followers=followers, drop=drop, costs=costs)
    points = None
    if some:
        rng = np.random.default_rng(seed)
        firsts = costs_table.offset[:, 0, 0, 0]
        points = tuple(rng.random(costs_table.tiles.tiles[f : f + n].sum()) < 0.6
                       for f, n in zip(firsts, costs_table.n_layers, strict=True))
    if not tiles and points is None and how != KILL:
        quantum = 0.0  # then the loop of layers runs, which has no timer
    policy = stopping(name, how=how, quantum_s=quantum, points=points, tiles=tiles)
    params = {"quantum_s": 0.0} if name == "prema" else {}
    fast = run(costs_table, chip, requests, policy, params, record=True)
    slow = tile_reference(costs_table, chip, requests, policy, params)
    for field in fast._fields:
        np.testing.assert_allclose(getattr(fast, field), getattr(slow, field), rtol=1e-9, atol=1e-12, err_msg=field)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["sjf", "edf", "prema", "dysta", "least_slack"]),
       load=st.sampled_from([0.6, 1.5]), drop=st.booleans())
def test_at_layer_ends_it_is_the_loop_of_layers(seed, name, load, drop):
    costs, chip, requests = random_case(seed, load=load, followers=True, drop=drop)
    params = {"quantum_s": 0.0} if name == "prema" else {}
    layers = run(costs, chip, requests, replace(POLICIES[name], stops=None), params, record=True)
    points = tuple(np.ones(n, dtype=bool) for n in costs.n_layers)
    same = run(costs, chip, requests, stopping(name, points=points), params, record=True)
    for field in layers._fields:
        np.testing.assert_allclose(getattr(same, field), getattr(layers, field), rtol=1e-12, err_msg=field)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(TILED), how=st.integers(0, 3), load=st.sampled_from([0.7, 1.5]))
def test_conservation(seed, name, how, load):
    """Busy time = latency of the layers + overhead; causality; no work is lost but by recomputing and killing."""
    how = CHECKPOINT if name not in ("sjf", "edf", "prema") else how
    costs, chip, requests = random_tiled(seed, load=load)
    own = np.array([costs.latency_s[f : f + n].sum()
                    for f, n in zip(costs.offset[:, 0, 0, 0], costs.n_layers, strict=True)])
    policy = stopping(name, how=how, quantum_s=0.0)
    records = run(costs, chip, requests, policy, record=True)
    assert np.isfinite(records.finish_s).all()
    assert records.engine_busy_s[0] == pytest.approx(own[requests.network].sum() + records.overhead_s, rel=1e-9)
    assert records.service_s.sum() == pytest.approx(records.engine_busy_s[0], rel=1e-9)
    spans = records.spans
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert (spans[:, 1] - spans[:, 0]).sum() == pytest.approx(records.engine_busy_s[0], rel=1e-9)
    assert records.events == len(spans)
    # energy of the work alone: one per layer; more only where work is done twice
    free = chip._replace(dram_j_per_byte=0.0)
    energy = run(costs, free, requests, policy).energy_j
    layers = costs.n_layers[requests.network]
    if how == CHECKPOINT:
        np.testing.assert_allclose(energy, layers, rtol=1e-12)
    else:
        assert (energy >= layers * (1 - 1e-12)).all()
        assert how != KILL or not records.preemptions.any() or energy.sum() > layers.sum() + 1e-9


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(TILED))
def test_alone(seed, name):
    costs, chip, requests = random_tiled(seed)
    one = type(requests)(*(column[:1] for column in requests))._replace(arrival_s=np.zeros(1))
    params = {"grain": 1.0}
    assert simulate(costs, chip, one, name, params).finish_s[0] == isolated_s(costs, chip, one.network)[0]


def _ticks(seed, count=30):
    """Layers of many tiles of one tick, arrivals at ticks, nothing costs: preemptible at every tick."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, (4, 2))
    costs = tiled(table([[row.astype(float).tolist()] for row in lengths]), lengths.ravel())
    requests = trace(np.sort(rng.integers(0, 9 * count, count)), rng.integers(0, 4, count))
    return costs, machine(4), requests._replace(deadline_s=requests.arrival_s + rng.integers(5, 60, count))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_shortest_remaining_first_has_the_least_mean_turnaround(seed):
    """SRPT at every tick, against every policy that runs on one engine, at layer ends and at tiles."""
    case = _ticks(seed)
    least = simulate(*case, "sjf", {"grain": 1}).finish_s.sum()
    for name, policy in POLICIES.items():
        for grain in ({}, {"grain": 1}) if name in TILED else ({},):
            assert least <= run(*case, policy, grain).finish_s.sum() + 1e-6, name


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), tasks=st.integers(2, 5))
def test_edf_at_tiles_misses_nothing_up_to_full_load(seed, tasks):
    """One layer per network, deadlines = periods, load <= 1: no miss at tiles of one tick (C. Liu, J. Layland 1973)."""
    rng = np.random.default_rng(seed)
    periods = rng.choice([4, 6, 8, 12, 16, 24], tasks)
    ticks = np.maximum(1, np.floor(rng.dirichlet(np.ones(tasks)) * periods).astype(int))
    while (ticks / periods).sum() > 1.0 + 1e-12:
        ticks[np.argmax(np.where(ticks > 1, ticks / periods, 0.0))] -= 1
        if (ticks / periods).sum() > 1.0 and (ticks == 1).all():
            return
    jobs = sorted((float(k * p), t) for t, p in enumerate(periods) for k in range(48 // p))
    arrivals, networks = zip(*jobs, strict=True)
    deadlines = np.array(arrivals) + periods[list(networks)]
    costs = tiled(table([[[float(c)]] for c in ticks]), ticks)
    records = simulate(costs, machine(tasks), trace(arrivals, networks, deadlines=deadlines), "edf", {"grain": 1})
    assert (records.finish_s <= deadlines + 1e-9).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_prema_with_equal_priorities_and_a_long_quantum_is_shortest_first_among_waiters(seed):
    """All at once, quantum longer than everything, tokens alike: nobody is preempted, the shortest goes first until
    somebody has waited for twice its own time."""
    rng = np.random.default_rng(seed)
    lengths = rng.permutation(np.arange(1, 5))
    costs = tiled(table([[[float(n)]] for n in lengths]), lengths)
    requests = trace([0.0] * 3, rng.permutation(4)[:3])
    records = run(costs, machine(4), requests, stopping("prema", quantum_s=1e9), {"quantum_s": 0.0}, record=True)
    assert not records.preemptions.any()
    assert lengths[requests.network][int(records.spans[0, 2])] == lengths[requests.network].min()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_free_costs_never_lengthen_a_run(seed):
    """Under EDF the decisions depend on deadlines alone. One busy period, so that they are the same."""
    costs, chip, requests = random_tiled(seed)
    together = requests._replace(arrival_s=np.zeros(len(requests.arrival_s)))
    free = chip._replace(decision_s=0.0, switch_s=0.0, dram_bytes_per_s=1e300)
    paid = simulate(costs, chip, together, "edf", {"grain": 1})
    cheap = simulate(costs, free, together, "edf", {"grain": 1})
    assert (cheap.finish_s <= paid.finish_s + 1e-9).all()


def test_overload_with_thousands_of_waiting_tasks():
    rng = np.random.default_rng(5)
    costs = tiled(table([[[1.0] * 5], [[0.5] * 8]]), 16)
    network = rng.integers(0, 2, 3000)
    records = run(costs, machine(2), trace(np.zeros(3000), network), stopping("sjf"))
    assert records.events == costs.n_layers[network].sum()
    assert records.finish_s[network == 1].max() < records.start_s[network == 0].min() + 1e-9
