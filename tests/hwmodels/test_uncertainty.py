"""Intervals and rankings under the ranges of the constants."""

import numpy as np
import pytest

from hwmodels.area import engine_area_mm2
from hwmodels.engine import Engine
from hwmodels.errors import ModelError
from hwmodels.technology import QUANTITIES, mac_energy_j
from hwmodels.uncertainty import draws, intervals, ranking


def engine(rows, sram_bytes):
    return Engine(rows=rows, cols=32, dataflow="ws", sram_bytes=sram_bytes, dram_bytes_per_s=1e9, freq_hz=1e9,
                  node_nm=28)


def area_of(rows, sram_bytes=2**20):
    return lambda constants: {"area_mm2": sum(engine_area_mm2(engine(rows, sram_bytes), corner=constants).values())}


def test_draws_are_a_latin_hypercube_and_repeatable():
    constants = draws(10, seed=3)
    assert constants == draws(10, seed=3)
    assert constants != draws(10, seed=4)
    assert len(constants) == 13
    for name in QUANTITIES:
        strata = sorted(int((c.position(name) + 1.0) / 2.0 * 10) for c in constants[3:])
        assert strata == list(range(10))


def test_interval_of_one_constant_is_its_range():
    found = intervals(lambda c: {"energy_j": mac_energy_j(28, corner=c)}, samples=200)["energy_j"]
    assert (found.value, found.low, found.high) == pytest.approx((0.25e-12, 0.12e-12, 0.6e-12))
    # log-uniform on both sides of the centre: 5 % of the draws lie below position -0.9
    assert found.p05 == pytest.approx(0.25e-12 * (0.12 / 0.25) ** 0.9, rel=0.02)
    assert found.low < found.p05 < found.value < found.p95 < found.high


def test_nothing_varies_without_quantities():
    found = intervals(area_of(32), quantities=())["area_mm2"]
    assert found.low == found.value == found.high


def test_ranking():
    # twice the PEs is larger whatever the constants say
    sure = ranking(area_of(32), area_of(64))["area_mm2"]
    assert sure.survives
    assert sure.agree_frac == 1.0
    assert sure.difference < 0.0
    # PEs against SRAM: nearly equal areas whose order depends on the constants
    areas = [sum(engine_area_mm2(engine(rows, 2**20)).values()) for rows in (32, 64)]
    more_sram = 2**20 + int((areas[1] - areas[0]) / 1.6 * 2**20)
    unsure = ranking(area_of(64), area_of(32, more_sram))["area_mm2"]
    assert not unsure.survives
    assert 0.2 < unsure.agree_frac < 0.8


def test_equal_designs_agree():
    assert ranking(area_of(32), area_of(32))["area_mm2"].survives


def test_bad_arguments():
    with pytest.raises(ModelError, match="samples"):
        draws(-1)
    with pytest.raises(ModelError, match="quantity"):
        draws(2, quantities=["charm"])
    assert np.isfinite(intervals(area_of(8), samples=0)["area_mm2"].p95)
