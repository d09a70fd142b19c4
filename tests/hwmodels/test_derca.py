"""DERCA: pipeline and regions by hand, the EDF test against brute force, the published figures row by row."""

import csv
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels.derca import (
    STRATEGIES,
    DercaMachine,
    Regions,
    analyse,
    execution_cycles,
    iteration_cycles,
    placed_cuts,
    regions,
    swap_cycles,
    transformer,
)
from hwmodels.derca_simulation import simulate
from hwmodels.edf_test import blocking_tolerance_cycles, is_schedulable
from hwmodels.errors import InvalidLayer, InvalidPolicy, InvalidWorkload
from hwmodels.tasksets import periods_cycles, utilisations

DATA = Path(__file__).parents[1] / "data" / "scheduling" / "derca"
MACHINE = DercaMachine()
NETWORK_11B = [(2048, 128, 2048)] * 2
REGIONS_11B = {strategy: regions(NETWORK_11B, MACHINE, strategy) for strategy in STRATEGIES}
# One tile of anything, five stages of easily told length.
TOY = DercaMachine(
    tile_m=1,
    tile_k=1,
    tile_n=1,
    load_cycles=10,
    comp_cycles=7,
    store_cycles=100,
    clean_output_cycles=3,
    persist_cycles=50,
    resume_cycles=40,
)


def rows(name):
    with (DATA / name).open() as file:
        return list(csv.DictReader(file))


def pair(row, name):
    return tuple(int(row[name.format(i)] or 0) for i in (0, 1))


PERIODS = {(r["set"], r["total_util"]): pair(r, "period_{}_cycles") for r in rows("sets_11b.csv")}


def test_iterations_by_hand():
    # Two pieces of three tiles: load in 0..5, compute in 1..6, store in 4 and 7.
    assert iteration_cycles((1, 3, 2), TOY).tolist() == [10, 10, 10, 10, 100, 10, 7, 100]
    assert execution_cycles(NETWORK_11B, MACHINE) == 2 * (2 * 17_200 + 4 * 228_288)


def test_swaps_by_hand():
    out, back = swap_cycles((1, 3, 2), TOY, recompute=True)
    # Before 1: reload. Before 2..4: load tile 0 again, redo 1, (1, 2), (1, 2, 3). Before 5..7: the second piece.
    assert back.tolist() == [10, 20, 30, 40, 20, 30, 37]
    assert set(out.tolist()) == {3}
    assert [set(column.tolist()) for column in swap_cycles((1, 3, 2), TOY, recompute=False)] == [{50}, {40}]


def test_break_even_of_recompute_is_seventeen_iterations():
    back = regions([(1536, 128 * 40, 1024)], MACHINE, "if").swap_in_cycles
    assert back.tolist() == [17_200 * i for i in range(18)] + [293_512] * 24


def test_layer_ends_are_free():
    for strategy in ("ip", "ir", "if"):
        parts = REGIONS_11B[strategy]
        assert parts.exec_cycles.size == 12
        assert parts.swap_in_cycles[6] == 0 == parts.swap_out_cycles[5]
        assert parts.swap_out_cycles[-1] == 0 == parts.swap_in_cycles[0]


def test_equal_strategies():
    one_layer = [(5000, 300, 3000)]
    for np_column, lw_column in zip(regions(one_layer, MACHINE, "np"), regions(one_layer, MACHINE, "lw"), strict=True):
        assert np_column.tolist() == lw_column.tolist()
    short_pieces = [(4000, 2048, 4000), (100, 128, 100)]
    for ir, flexible in zip(
        regions(short_pieces, MACHINE, "ir"), regions(short_pieces, MACHINE, "if"), strict=True
    ):
        assert ir.tolist() == flexible.tolist()


def test_transformer_layers():
    layers = transformer(6, 512, 128, 2, 4, 2)
    assert len(layers) == 2 * (1 + 2 + 2 + 3)
    assert layers[:4] == [(3072, 128, 384), (3072, 64, 512), (3072, 64, 512), (3072, 512, 64)]
    assert layers[7] == (3072, 512, 128)


def brute_tolerances(periods, demands):
    ends = [*periods[1:], math.lcm(*periods)]
    result = []
    for start, stop in zip(periods, ends, strict=True):
        points = {t for p in periods for t in range(p, stop, p) if t >= start} | ({start} if start == stop else set())
        result.append(min(t - sum(t // p * e for p, e in zip(periods, demands, strict=True)) for t in points))
    return result


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 24), st.integers(0, 30)), min_size=1, max_size=4))
def test_tolerances_equal_brute_force(tasks):
    tasks.sort(key=lambda task: task[0])
    periods, demands = [p for p, _ in tasks], [e for _, e in tasks]
    assert blocking_tolerance_cycles(periods, demands) == brute_tolerances(periods, demands)


def test_tolerance_of_huge_hyperperiods_is_exact():
    periods = [10_000_019, 10_000_079, 10_000_103, 10_000_121]
    free = blocking_tolerance_cycles(periods, [2_000_000] * 4)
    assert free[0] == 8_000_019
    assert free[-1] > 0
    overloaded = blocking_tolerance_cycles(periods, [3_000_000] * 4)
    hyperperiod = math.lcm(*periods)
    slack = hyperperiod - sum(hyperperiod // p * 3_000_000 for p in periods)
    # The last deadlines before the hyperperiod: all four jobs of the last periods are missing from the demand.
    assert overloaded[-1] == slack - periods[0] + 4 * 3_000_000


@pytest.mark.parametrize(("periods", "demands"), [([], []), ([3, 2], [1, 1]), ([0], [1]), ([2**50], [1])])
def test_tolerances_reject_what_they_cannot_judge(periods, demands):
    with pytest.raises(InvalidWorkload):
        blocking_tolerance_cycles(periods, demands)


def test_verdict_by_hand():
    assert is_schedulable([4, 2, 0], [9, 4, 2])
    assert not is_schedulable([4, 2, 0], [9, 5, 2])
    assert not is_schedulable([4, 2, 0], [9, 4, 3])
    assert not is_schedulable([4, -1], [9, 4])


def test_placement_by_hand():
    executed, overhead = np.array([4, 4, 4, 4]), np.array([0, 1, 1, 1])
    assert placed_cuts(executed, overhead, 17).tolist() == [0]
    # 12 fits, 16 does not: of the cuts with both sides within 12 the one with the smallest right side.
    assert placed_cuts(executed, overhead, 12).tolist() == [0, 2]
    assert placed_cuts(executed, overhead, 6).tolist() == [0, 1, 2, 3]
    # The second region lasts 5 with its swap-in: not below 5, and nothing is left to cut.
    assert placed_cuts(executed, overhead, 5).tolist() == []


@pytest.mark.parametrize("row", rows("analysis_11b.csv"), ids=lambda r: f"{r['set']}-{r['total_util']}-{r['strategy']}")
def test_published_analysis(row):
    strategy = row["strategy"]
    found = analyse([REGIONS_11B[strategy]] * 2, list(PERIODS[row["set"], row["total_util"]]), strategy)
    assert found.schedulable == (row["schedulable"] == "1")
    if not strategy.endswith("-ppp"):
        assert found.tolerances_cycles == pair(row, "beta_{}")
        assert found.longest_regions_cycles == pair(row, "q_max_{}")
    if found.schedulable or not strategy.endswith("-ppp"):
        assert found.wcet_cycles == pair(row, "wcet_{}_cycles")
        assert tuple(part.exec_cycles.size for part in found.regions) == pair(row, "regions_{}")


def test_clean_demand_changes_one_published_verdict():
    periods = list(PERIODS["31", "0.85"])
    for strategy in ("ir", "if"):
        assert analyse([REGIONS_11B[strategy]] * 2, periods, strategy).schedulable
        assert not analyse([REGIONS_11B[strategy]] * 2, periods, strategy, semantics="clean").schedulable


@pytest.mark.parametrize(
    "row",
    rows("simulation_11b.csv"),
    ids=lambda r: f"{r['set']}-{r['total_util']}-{r['strategy']}-{r['semantics']}",
)
def test_published_simulation(row):
    periods, strategy = list(PERIODS[row["set"], row["total_util"]]), row["strategy"]
    placed = analyse([REGIONS_11B[strategy]] * 2, periods, strategy, semantics=row["semantics"])
    run = simulate(list(placed.regions), periods, MACHINE, semantics=row["semantics"])
    assert run.missed == (row["no_miss"] == "0")
    assert run.horizon_cycles == int(row["horizon_cycles"])
    assert (run.preemptions, run.resumes) == (int(row["preemptions"]), int(row["resumes"]))
    assert run.finished == pair(row, "finished_{}")
    assert run.max_response_cycles == pair(row, "max_response_{}_cycles")
    assert run.last_finish_cycles == pair(row, "last_finish_{}_cycles")


def test_published_task_sets():
    for row in rows("sets_11b.csv"):
        total = float(row["total_util"])
        utils = utilisations(40, 2, total)[int(row["set"])]
        assert utils == [float(row["util_0"]), float(row["util_1"])]
        executed = execution_cycles(NETWORK_11B, MACHINE)
        assert executed == int(row["exec_cycles"])
        assert tuple(periods_cycles([executed] * 2, utils, total)) == pair(row, "period_{}_cycles")


@pytest.mark.parametrize("semantics", ["published", "clean"])
def test_sets_that_pass_never_miss(semantics):
    networks = [
        [(64, 3, 1024), (512, 1024, 1)],
        [(1536, 3000, 2048)],
        [(4000, 128, 2048), (100, 5000, 100)],
        transformer(2, 256, 128, 2, 4, 1),
    ]
    rng, passed = random.Random(7), 0
    for _ in range(40):
        chosen = [rng.choice(networks) for _ in range(rng.randint(2, 4))]
        executed = [execution_cycles(network, MACHINE) for network in chosen]
        shares = [rng.uniform(0.1, 1) for _ in chosen]
        total = rng.uniform(0.3, 0.95)
        scale = sum(shares) / total / 1000
        periods = [math.ceil(e * scale / s) * 1000 for e, s in zip(executed, shares, strict=True)]
        for strategy in STRATEGIES:
            parts = [regions(network, MACHINE, strategy) for network in chosen]
            verdict = analyse(parts, periods, strategy)
            if verdict.schedulable:
                passed += 1
                run = simulate(list(verdict.regions), periods, MACHINE, semantics=semantics)
                assert not run.missed, (strategy, periods)
    assert passed > 60


def test_order_of_tasks_changes_nothing():
    parts = [regions(NETWORK_11B, MACHINE, "ir"), regions([(1536, 3000, 2048)], MACHINE, "ir")]
    periods = [9_000_000, 5_000_000]
    there, back = analyse(parts, periods, "ir"), analyse(parts[::-1], periods[::-1], "ir")
    assert there.tolerances_cycles == back.tolerances_cycles
    assert there.wcet_cycles == back.wcet_cycles[::-1]
    one, other = simulate(parts, periods, MACHINE), simulate(parts[::-1], periods[::-1], MACHINE)
    assert one.max_response_cycles == other.max_response_cycles[::-1]
    assert one.preemptions == other.preemptions > 0


def test_free_short_regions_are_schedulable_up_to_full_load():
    free = Regions(np.ones(30, np.int64), np.zeros(30, np.int64), np.zeros(30, np.int64))
    assert analyse([free, free], [40, 160], "ir").schedulable
    assert analyse([free, free], [50, 75], "ir").schedulable
    assert not analyse([free, free], [40, 119], "ir").schedulable


def test_bad_input():
    with pytest.raises(InvalidPolicy):
        regions(NETWORK_11B, MACHINE, "xy")
    with pytest.raises(InvalidPolicy):
        analyse([REGIONS_11B["np"]], [5], "np", semantics="true")
    with pytest.raises(InvalidLayer):
        iteration_cycles((0, 1, 1), MACHINE)
    with pytest.raises(InvalidWorkload):
        analyse([], [], "np")
    with pytest.raises(InvalidWorkload):
        DercaMachine(tile_m=0)


@pytest.mark.parametrize("semantics", ["published", "clean"])
def test_releases_that_outrun_the_scheduler_are_a_miss(semantics):
    """A period of one cycle: inserting one job takes longer than the next one needs to come."""
    assert simulate([REGIONS_11B["np"]], [1], MACHINE, semantics=semantics).missed
