"""Planaria: allocations by hand and against the public scheduler, whole runs, the traffic bound of layers."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodels.errors import InvalidLayer, InvalidWorkload
from hwmodels.planaria import UNITS, Arrival, Request, allocate, run, traffic_bound_cycles

DATA = Path(__file__).parents[1] / "data" / "scheduling" / "planaria"


def load(name):
    return json.loads((DATA / name).read_text())


def rows(name):
    with (DATA / name).open() as file:
        return list(csv.DictReader(file))


def linear(priority, slack, work):
    """A task that is c times as fast on c sub-arrays."""
    return Request(priority, slack, tuple(-(-work // units) for units in range(1, UNITS + 1)))


def test_allocation_by_hand():
    assert allocate([]) == []
    assert allocate([linear(1, 100, 1600)]) == [16]
    # Each needs 4; the spare 8 go 3 : 1 by priority.
    assert allocate([linear(3, 400, 1600), linear(1, 400, 1600)]) == [10, 6]
    # 10 + 10 do not fit: the higher score first, the other takes what is left.
    assert allocate([linear(1, 160, 1600), linear(2, 160, 1600)]) == [6, 10]
    # Nobody can make it: by priority over remaining.
    assert allocate([linear(1, 1, 1600), linear(3, 1, 1600)]) == [4, 12]


@pytest.mark.parametrize("case", load("allocation.json"), ids=lambda c: f"{c['kind']}-{len(c['priority'])}")
def test_public_allocations(case):
    columns = zip(case["priority"], case["slack_cycles"], case["remaining_cycles"], strict=True)
    assert allocate([Request(p, s, tuple(r)) for p, s, r in columns]) == case["units"]


@pytest.mark.parametrize("case", load("schedules.json"), ids=lambda c: f"{len(c['arrivals'])}-requests")
def test_public_runs(case):
    networks = {
        name: [[tuple(on) for on in layer] for layer in layers] for name, layers in case["networks"].items()
    }
    deadlines = {name: qos * 1000 for name, qos in case["qos_ms"].items()}
    arrivals = [Arrival(a["time_cycles"], a["network"], a["priority"]) for a in case["arrivals"]]
    assert [finish._asdict() for finish in run(networks, deadlines, arrivals)] == case["finish"]


@pytest.mark.parametrize("row", rows("layer_cycles.csv"), ids=lambda r: f"{r['layer']}-{r['subarrays']}")
def test_public_layer_cycles(row):
    names = ("kernel", "out_size", "stride", "in_channels", "out_channels", "subarrays")
    bound = traffic_bound_cycles(*(int(row[name]) for name in names))
    assert bound == int(row["traffic_bound_cycles"])
    assert bound <= int(row["cycles"]) <= 1.0435 * bound


def test_alone_a_request_takes_its_isolated_time():
    layers = [[(8, 100 // units + 1) for units in range(1, UNITS + 1)], [(3, 50)] * UNITS]
    (finish,) = run({"a": layers}, {"a": 1e6}, [Arrival(7, "a", 1)])
    assert finish.finish_cycles == 7 + 8 * (100 // 16 + 1) + 3 * 50


@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 10**5), st.integers(0, 10**6)),
        min_size=1,
        max_size=12,
    )
)
def test_never_more_units_than_there_are(tasks):
    requests = [linear(*task) for task in tasks]
    given_units = allocate(requests)
    assert sum(given_units) <= UNITS
    assert min(given_units) >= 0
    least = [next((c for c, r in enumerate(q.remaining_cycles, 1) if r <= q.slack_cycles), 0) for q in requests]
    if all(least) and sum(least) <= UNITS:
        assert all(units >= need for units, need in zip(given_units, least, strict=True))
        assert sum(given_units) == UNITS


def test_bad_input():
    with pytest.raises(InvalidLayer):
        traffic_bound_cycles(3, 56, 1, 64, 64, 17)
    with pytest.raises(InvalidWorkload):
        allocate([Request(1, 1, (1, 1))])
    with pytest.raises(InvalidWorkload):
        run({}, {}, [Arrival(0, "a", 1)])
