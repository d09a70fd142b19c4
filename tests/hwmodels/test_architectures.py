"""The four classes: what they refuse, what they compose to, and that their areas are the sums of their parts."""

import math
from dataclasses import replace

import pytest

from hwmodels.architectures import ARCHITECTURES, Composable, Dedicated, Heterogeneous, TimeMux
from hwmodels.engine import Engine
from hwmodels.errors import InvalidEngine
from hwmodels.network import Layer, Network
from hwmodels.tables import DRAM_FIXED, DRAM_MAX_MIN
from hwmodels.workload import Tenant, Traffic, Workload

ENGINE = Engine(rows=32, cols=64, dataflow="ws", sram_bytes=1 << 20, dram_bytes_per_s=16e9, freq_hz=1e9)


def fc(k: int) -> Network:
    return Network(name=f"fc{k}", layers=(Layer(name="fc", op="gemm", oy=4, k=k, c=256),))


WORKLOAD = Workload(name="w", tenants=(
    Tenant(name="small", network=fc(64), traffic=Traffic(rate_hz=10)),
    Tenant(name="large", network=fc(6400), traffic=Traffic(rate_hz=10)),
))
DESIGNS = {
    "time_mux": TimeMux(engine=ENGINE),
    "composable": Composable(engine=ENGINE, subarrays=16),
    "heterogeneous": Heterogeneous(engines=(ENGINE, replace(ENGINE, rows=16, dataflow="os"))),
    "dedicated": Dedicated(engines=(ENGINE, ENGINE), tenants=("large", "small"), dram_fracs=(0.75, 0.25)),
}


def test_every_registered_class_has_a_case_here() -> None:
    assert set(DESIGNS) == set(ARCHITECTURES)


@pytest.mark.parametrize("name", DESIGNS)
def test_chip_conforms(name: str) -> None:
    chip = DESIGNS[name].chip(WORKLOAD)
    assert all(mm2 > 0.0 for mm2 in chip.area_mm2.values())
    assert chip.leakage_w > 0.0
    assert chip.dram_bytes_per_s == 16e9
    assert len({slot.name for slot in chip.slots}) == len(chip.slots)
    for slot in chip.slots:
        units = [u for u, _ in slot.levels]
        assert units == sorted(set(units))
        assert units[-1] == slot.units
        for count, engines in slot.levels:
            for engine in engines:
                assert engine.pes * slot.units == slot.levels[-1][1][0].pes * count
                assert engine.dram_bytes_per_s == pytest.approx(16e9 * slot.dram_frac)
    assert hash(chip.slots) == hash(DESIGNS[name].chip(WORKLOAD).slots)  # the cost table is cached by them


def test_composable_offers_square_and_chains() -> None:
    shapes = {(e.rows, e.cols) for e in DESIGNS["composable"].compositions(4)}  # type: ignore[attr-defined]
    assert shapes == {(16, 32), (32, 16), (8, 64)}
    whole = DESIGNS["composable"].compositions(16)  # type: ignore[attr-defined]
    assert whole[0] == ENGINE
    assert {(e.rows, e.cols) for e in whole} == {(32, 64), (128, 16), (8, 256)}
    assert all(e.sram_bytes == ENGINE.sram_bytes for e in whole)


def test_fission_costs_area_over_the_same_array() -> None:
    plain = sum(DESIGNS["time_mux"].chip(WORKLOAD).area_mm2.values())
    four = sum(Composable(engine=ENGINE, subarrays=4).chip(WORKLOAD).area_mm2.values())
    sixteen = sum(DESIGNS["composable"].chip(WORKLOAD).area_mm2.values())
    assert plain < four < sixteen < 2 * plain


def test_sharing_of_dram() -> None:
    assert DESIGNS["heterogeneous"].chip(WORKLOAD).dram_mode == DRAM_MAX_MIN
    chip = DESIGNS["dedicated"].chip(WORKLOAD)
    assert chip.dram_mode == DRAM_FIXED
    assert [slot.tenants for slot in chip.slots] == [("large",), ("small",)]


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_dedicated_split_keeps_the_budget_and_follows_the_load(exponent: float) -> None:
    total = replace(ENGINE, rows=4096, cols=1)
    design = Dedicated.sized(WORKLOAD, total=total, exponent=exponent)
    assert sum(engine.pes for engine in design.engines) <= 4096
    assert sum(design.dram_fracs) == pytest.approx(1.0)
    small, large = (engine.pes for engine in design.engines)
    assert small == large if exponent == 0.0 else small < large
    if exponent == 1.0:
        # loads 1 : 100, floor 1 % -> shares .01 : .99 (a step of 4 PEs in a side of 64 is 12 %)
        assert math.isclose(large, 4096 * 100 / 101, rel_tol=0.13)


@pytest.mark.parametrize(("build", "field"), [
    (lambda: Composable(engine=ENGINE, subarrays=8), "subarrays"),
    (lambda: Composable(engine=replace(ENGINE, rows=30), subarrays=16), "engine.rows"),
    (lambda: Heterogeneous(engines=()), "engines"),
    (lambda: Heterogeneous(engines=(ENGINE, replace(ENGINE, freq_hz=2e9))), "engines[].freq_hz"),
    (lambda: Dedicated(engines=(ENGINE,), tenants=("a", "b"), dram_fracs=(1.0,)), "engines"),
    (lambda: Dedicated(engines=(ENGINE, ENGINE), tenants=("a", "a"), dram_fracs=(0.5, 0.5)), "engines[].tenant"),
    (lambda: Dedicated(engines=(ENGINE, ENGINE), tenants=("a", "b"), dram_fracs=(0.9, 0.2)), "engines[].dram_frac"),
    (lambda: Dedicated(engines=(ENGINE,), tenants=("small",), dram_fracs=(1.0,)).chip(WORKLOAD), "engines[].tenant"),
])
def test_impossible_chips_are_named(build: object, field: str) -> None:
    with pytest.raises(InvalidEngine) as error:
        build()  # type: ignore[operator]
    assert error.value.field == field
