"""f-CNNx: slots in closed form, sizes against exhaustive search, never worse than the contention-unaware baseline."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels.errors import InvalidEngine, InvalidWorkload
from hwmodels.fcnnx import EngineOption, bandwidth_slots, contention_unaware, fluid_ratio, size_engines

# Traffic of no denormal numbers: a share of them underflows.
TRAFFIC = st.one_of(st.just(0.0), st.floats(1e-6, 10))
OPTION = st.builds(
    EngineOption, st.floats(0.01, 1), TRAFFIC, st.tuples(st.integers(1, 10), st.integers(1, 10))
)
CASE = st.integers(1, 3).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(OPTION, min_size=1, max_size=4), min_size=n, max_size=n),
        st.lists(st.floats(0.1, 10), min_size=n, max_size=n),
    )
)


def engine(compute_s, traffic_bytes, *resources):
    return EngineOption(compute_s, traffic_bytes, resources)


def test_slots_by_hand():
    # Bandwidth binds: 10 * 4 + 5 * 12 = 100 bytes/s wanted of 50: half of every target.
    slots = bandwidth_slots([engine(0.01, 4), engine(0.01, 12)], [10, 5], 50)
    assert slots.ratio == pytest.approx(0.5)
    assert slots.shares_frac == pytest.approx((0.4, 0.6))
    # Compute binds: 0.5 s a frame against 4 frames/s.
    assert bandwidth_slots([engine(0.5, 4), engine(0.01, 12)], [4, 1], 1000).ratio == pytest.approx(0.5)
    assert bandwidth_slots([engine(0.5, 0)], [1], 1).shares_frac == (0.0,)


def test_fluid_share_by_hand():
    # Wants 10 and 100 of 50 bytes/s: 10 and 40.
    assert fluid_ratio([engine(0.1, 1), engine(0.1, 10)], [10, 10], 50) == pytest.approx(0.4)


def test_unaware_sizing_wastes_an_engine():
    # Alone the second sizes are faster; together they need more than the bandwidth.
    options = [[engine(0.1, 5, 1), engine(0.05, 5, 2)], [engine(0.1, 5, 1), engine(0.05, 7, 2)]]
    aware = size_engines(options, [10, 10], 100, (4,))
    unaware = contention_unaware(options, [10, 10], 100, (4,))
    assert aware.ratio == pytest.approx(1.0)
    assert unaware.chosen == (1, 1)
    assert unaware.ratio == pytest.approx(50 / 7 / 10)


@settings(deadline=None)
@given(CASE, st.floats(1, 100), st.tuples(st.integers(2, 25), st.integers(2, 25)))
def test_sizes_equal_exhaustive_search(case, bandwidth, limits):
    options, targets = case
    best = None
    for chosen in product(*options):
        if all(sum(o.resources[r] for o in chosen) <= limits[r] for r in range(2)):
            ratio = bandwidth_slots(list(chosen), targets, bandwidth).ratio
            assert fluid_ratio(list(chosen), targets, bandwidth) <= ratio * (1 + 1e-9)
            best = ratio if best is None else max(best, ratio)
    found, unaware = (f(options, targets, bandwidth, limits) for f in (size_engines, contention_unaware))
    if best is None:
        assert found is None
        assert unaware is None
    else:
        assert found.ratio == pytest.approx(best)
        assert unaware.ratio <= found.ratio * (1 + 1e-9)


@given(CASE, st.floats(1, 100))
def test_slots_reach_their_ratio(case, bandwidth):
    options, targets = case
    engines = [column[0] for column in options]
    slots = bandwidth_slots(engines, targets, bandwidth)
    assert sum(slots.shares_frac) <= 1 + 1e-9
    for e, target, share in zip(engines, targets, slots.shares_frac, strict=True):
        frame = max(e.compute_s, e.traffic_bytes / (share * bandwidth) if e.traffic_bytes else 0.0)
        assert 1 / frame >= slots.ratio * target * (1 - 1e-9)


def test_bad_input():
    with pytest.raises(InvalidWorkload):
        bandwidth_slots([], [], 1)
    with pytest.raises(InvalidWorkload):
        bandwidth_slots([engine(1, 1)], [0], 1)
    with pytest.raises(InvalidEngine):
        bandwidth_slots([engine(0, 1)], [1], 1)
    with pytest.raises(InvalidEngine):
        size_engines([[engine(1, 1, 1)]], [1], 1, (1, 1))
