"""Requests from workloads: counts, rates, dependencies, independence of tenants, relative deadlines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels.errors import InvalidWorkload
from hwmodels.network import Layer, Network
from hwmodels.traffic import generate, mean_rate_hz, relative_deadline_s
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload

NET = Network(name="one", layers=(Layer(name="fc", op="gemm", oy=1, k=8, c=8),))
OTHER = Network(name="two", layers=(Layer(name="fc", op="gemm", oy=1, k=16, c=8),))


def tenant(name: str, network: Network = NET, **traffic: object) -> Tenant:
    return Tenant(name=name, network=network, traffic=Traffic(**traffic))  # type: ignore[arg-type]


def test_periodic_by_hand() -> None:
    workload = Workload(name="w", duration_s=1.0, tenants=(tenant("a", rate_hz=4, offset_s=0.1),))
    trace = generate(workload, 0, np.array([1.0]))
    np.testing.assert_allclose(trace.arrival_s, [0.1, 0.35, 0.6, 0.85])
    np.testing.assert_allclose(trace.deadline_s - trace.arrival_s, 0.25)
    assert trace.parent.tolist() == [-1] * 4


@pytest.mark.parametrize(("duration", "expected"), [(1.0, 3), (0.5, 2), (1 / 3, 1), (0.34, 2)])
def test_periodic_counts_only_releases_before_the_end(duration: float, expected: int) -> None:
    workload = Workload(name="w", duration_s=duration, tenants=(tenant("a", rate_hz=3),))
    assert len(generate(workload, 0, np.array([1.0])).arrival_s) == expected


def test_jitter_stays_inside_its_band() -> None:
    workload = Workload(name="w", duration_s=50.0, tenants=(tenant("a", rate_hz=20, jitter_frac=0.3),))
    arrival = generate(workload, 3, np.array([1.0])).arrival_s
    shift = arrival - np.arange(len(arrival)) / 20
    assert np.abs(shift).max() <= 0.3 / 20 + 1e-12
    assert np.abs(shift).max() > 0.25 / 20  # 1,000 draws: P(all below 5/6 of the band) < 1e-79


@pytest.mark.parametrize(("traffic", "dispersion"), [
    ({"kind": "poisson", "rate_hz": 50}, (0.7, 1.4)),
    ({"kind": "bursty", "rate_hz": 50, "on_s": 0.05, "off_s": 0.1}, (3.0, 10.0)),
    ({"kind": "gamma", "rate_hz": 50, "gap_cv": 3.0}, (6.0, 12.0)),  # cv^2 = 9 in the long run
    ({"kind": "gamma", "rate_hz": 50, "gap_cv": 0.3}, (0.06, 0.14)),
    ({"kind": "rate_table", "rates_hz": (0.0, 100.0), "step_s": 0.5}, (0.7, 1.4)),
    ({"kind": "gamma", "rate_hz": 200, "gap_cv": 1.0, "part": (0.5, 0.75)}, (0.7, 1.4)),
])
def test_mean_rate(traffic: dict[str, object], dispersion: tuple[float, float]) -> None:
    """Within 5 standard deviations over 400 seeds (false-failure rate < 1e-6), from the first second on."""
    workload = Workload(name="w", duration_s=4.0, tenants=(tenant("a", **traffic),))
    assert mean_rate_hz(workload, workload.tenants[0]) == pytest.approx(50.0)
    arrivals = [generate(workload, seed, np.array([1.0])).arrival_s for seed in range(400)]
    for until, expected in ((4.0, 200), (1.0, 50)):
        counts = np.array([np.searchsorted(times, until) for times in arrivals])
        assert abs(counts.mean() - expected) < 5 * counts.std(ddof=1) / np.sqrt(len(counts))
    counts = np.array([len(times) for times in arrivals])
    assert dispersion[0] < counts.var(ddof=1) / counts.mean() < dispersion[1]


@pytest.mark.parametrize("cv", [0.1, 1.0, 4.0])
def test_gaps_of_gamma_traffic(cv: float) -> None:
    """The coefficient of variation of 100,000 gaps; its standard error is below 3 % for cv = 4, so 5 of them."""
    workload = Workload(name="w", duration_s=1e3, tenants=(tenant("a", kind="gamma", rate_hz=100, gap_cv=cv),))
    gaps = np.diff(generate(workload, 1, np.ones(1)).arrival_s)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.15 if cv > 1 else 0.05)


def test_rate_tables_follow_their_rates_and_repeat() -> None:
    rates = (10.0, 0.0, 40.0)
    workload = Workload(name="w", duration_s=1000.0, tenants=(
        tenant("a", kind="rate_table", rates_hz=rates, step_s=2.0, offset_s=1.0),))
    arrival = generate(workload, 0, np.ones(1)).arrival_s
    counts = np.bincount(((arrival - 1.0) // 2.0 % 3).astype(int), minlength=3)
    # 166 full passes and the first 1.5 steps of the 167th; 6 standard deviations: false-failure rate < 1e-8
    expected = np.array([167 * 2 * 10.0, 0.0, 166 * 2 * 40.0])
    assert (np.abs(counts - expected) <= 6 * np.sqrt(expected)).all()
    assert mean_rate_hz(workload, workload.tenants[0]) == pytest.approx(expected.sum() / 1000.0)


def test_tenants_of_a_stream_split_its_arrivals() -> None:
    bursts = {"kind": "gamma", "rate_hz": 300, "gap_cv": 3.0, "stream": "chat"}
    parts = (tenant("short", part=(0.0, 0.7), **bursts), tenant("long", part=(0.7, 1.0), **bursts))
    split = generate(Workload(name="w", duration_s=10.0, tenants=parts), 4, np.ones(2))
    whole = generate(Workload(name="w", duration_s=10.0, tenants=(tenant("all", **bursts),)), 4, np.ones(1))
    np.testing.assert_array_equal(split.arrival_s, whole.arrival_s)
    share = (split.tenant == 0).mean()
    assert abs(share - 0.7) < 5 * np.sqrt(0.21 / len(split.tenant))
    with pytest.raises(InvalidWorkload, match="of stream 'chat'"):
        Workload(name="w", tenants=(parts[0], tenant("x", **(bursts | {"rate_hz": 5}))))


def test_followers_share_the_frame_of_their_parent() -> None:
    eyes = tenant("eyes", rate_hz=100, jitter_frac=0.1)
    gaze = Tenant(name="gaze", network=OTHER, after="eyes", probability=0.5)
    voice = Tenant(name="voice", network=NET, after="gaze", probability=1.0)
    workload = Workload(name="w", duration_s=10.0, tenants=(voice, gaze, eyes))
    trace = generate(workload, 1, np.ones(3))
    follows = trace.parent >= 0
    assert (trace.parent[follows] < np.flatnonzero(follows)).all()
    np.testing.assert_array_equal(trace.arrival_s[follows], trace.arrival_s[trace.parent[follows]])
    assert set(trace.tenant[trace.parent[trace.tenant == 1]]) == {2}
    assert set(trace.tenant[trace.parent[trace.tenant == 0]]) == {1}
    assert 400 < (trace.tenant == 1).sum() < 600  # binomial(1000, .5): 6 standard deviations
    assert (trace.tenant == 0).sum() == (trace.tenant == 1).sum()
    assert mean_rate_hz(workload, voice) == 50.0
    np.testing.assert_allclose(trace.deadline_s - trace.arrival_s, 0.01)


def test_steps_of_an_answer_follow_each_other() -> None:
    prompt = tenant("prompt", rate_hz=10)
    answer = Tenant(name="answer", network=OTHER, after="prompt", probability=0.5, steps=3)
    voice = Tenant(name="voice", network=NET, after="answer")
    workload = Workload(name="w", duration_s=2.0, tenants=(answer, voice, prompt))
    trace = generate(workload, 1, np.ones(3))
    rows = np.flatnonzero(trace.tenant == 0).reshape(-1, 3)
    assert 0 < len(rows) < 20
    assert set(trace.tenant[trace.parent[rows[:, 0]]]) == {2}
    np.testing.assert_array_equal(trace.parent[rows[:, 1:]], rows[:, :2])
    np.testing.assert_array_equal(trace.parent[trace.tenant == 1], rows[:, 2])  # once, when the answer is complete
    for column in rows.T:
        np.testing.assert_array_equal(trace.arrival_s[column], trace.arrival_s[trace.parent[rows[:, 0]]])
    assert [mean_rate_hz(workload, one) for one in workload.tenants] == [15.0, 5.0, 10.0]
    with pytest.raises(InvalidWorkload, match="steps"):
        Tenant(name="a", network=NET, traffic=Traffic(rate_hz=1), steps=2)


def test_deadlines_absolute_relative_and_none() -> None:
    workload = Workload(name="w", tenants=(
        Tenant(name="a", network=NET, traffic=Traffic(rate_hz=5), service=ServiceLevel(deadline_s=0.3)),
        Tenant(name="b", network=NET, traffic=Traffic(rate_hz=5), service=ServiceLevel(deadline_x_isolated=10)),
        tenant("c", kind="poisson", rate_hz=5.0),
        tenant("d", rate_hz=5.0),
    ))
    np.testing.assert_allclose(relative_deadline_s(workload, np.array([1.0, 0.02, 1.0, 1.0])), [0.3, 0.2, np.inf, 0.2])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), order=st.permutations(range(3)))
def test_order_of_tenants_changes_nothing(seed: int, order: list[int]) -> None:
    tenants = (tenant("a", rate_hz=30, jitter_frac=0.4), tenant("b", kind="poisson", rate_hz=40),
               tenant("c", kind="bursty", rate_hz=20))
    one = generate(Workload(name="w", tenants=tenants), seed, np.ones(3))
    two = generate(Workload(name="w", tenants=tuple(tenants[i] for i in order)), seed, np.ones(3))
    np.testing.assert_array_equal(one.arrival_s, two.arrival_s)
    np.testing.assert_array_equal(one.tenant, np.array(order)[two.tenant])
    assert (np.diff(one.arrival_s) >= 0).all()


def test_networks_are_shared_by_content() -> None:
    workload = Workload(name="w", tenants=(tenant("a", NET, rate_hz=2), tenant("b", OTHER, rate_hz=2),
                                           tenant("c", Network(name="copy", layers=NET.layers), rate_hz=2)))
    trace = generate(workload, 0, np.ones(3))
    assert workload.networks == (NET, OTHER)
    assert trace.network.tolist() == [0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("bad", [
    {"rate_hz": 0.0}, {"rate_hz": float("nan")}, {"rate_hz": 1.0, "jitter_frac": 0.6},
    {"kind": "often", "rate_hz": 1.0},
    {"kind": "trace"}, {"kind": "trace", "arrivals_s": (0.2, 0.1)}, {"kind": "trace", "arrivals_s": (-0.2,)},
    {"kind": "gamma", "rate_hz": 1.0, "gap_cv": 0.0}, {"kind": "rate_table"}, {"rate_hz": 1.0, "part": (0.5, 0.5)},
    {"kind": "rate_table", "rates_hz": (0.0,)}, {"kind": "rate_table", "rates_hz": (1.0,), "step_s": 0.0},
    {"kind": "trace", "arrivals_s": (float("nan"),)}, {"kind": "bursty", "rate_hz": 1.0, "on_s": 0.0},
])
def test_bad_traffic_is_named(bad: dict[str, object]) -> None:
    with pytest.raises(InvalidWorkload, match="must be"):
        Traffic(**bad)  # type: ignore[arg-type]


def test_bad_workloads_are_named() -> None:
    with pytest.raises(InvalidWorkload, match="unique"):
        Workload(name="w", tenants=(tenant("a", rate_hz=1), tenant("a", rate_hz=1)))
    with pytest.raises(InvalidWorkload, match="cycles"):
        Workload(name="w", tenants=(Tenant(name="a", network=NET, after="b"), Tenant(name="b", network=NET, after="a")))
    with pytest.raises(InvalidWorkload, match=r"b\.after"):
        Workload(name="w", tenants=(Tenant(name="b", network=NET, after="nobody"),))
    with pytest.raises(InvalidWorkload, match="exactly one"):
        Tenant(name="a", network=NET)
