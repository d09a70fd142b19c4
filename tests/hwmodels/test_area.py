"""Area, leakage and the scheduler block."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodels.area import (
    accumulator_bits,
    dram_phy_area_mm2,
    engine_area_mm2,
    engine_leakage_w,
    fission_area_mm2,
    scheduler_block,
)
from hwmodels.engine import DATAFLOWS, NODES_NM, PRECISION_BITS, Engine
from hwmodels.errors import InvalidEngine
from hwmodels.technology import Constants


def an_engine(**changes):
    given_ = {"rows": 32, "cols": 32, "dataflow": "ws", "sram_bytes": 2**20, "dram_bytes_per_s": 16e9, "freq_hz": 1e9,
              "node_nm": 28}
    return Engine(**(given_ | changes))


def test_hand_computed():
    area = engine_area_mm2(an_engine(vector_lanes=64))
    assert set(area) == {"pes", "sram", "vector", "noc"}
    assert area["pes"] == pytest.approx(1024 * 500e-6 * 1.5)
    assert area["sram"] == pytest.approx(1.6)
    # 32*33/2 operands of 8 bit and as many accumulators of 32 bit, 3.7 um2 per flip-flop
    assert area["noc"] == pytest.approx(528 * (8 + 32) * 3.7e-6)
    logic = sum(area.values()) - area["sram"]
    assert engine_leakage_w(an_engine()) == pytest.approx(logic * 0.010 + 7.7e-3)


engines = st.builds(
    an_engine, rows=st.integers(1, 256), cols=st.integers(1, 256), dataflow=st.sampled_from(DATAFLOWS),
    sram_bytes=st.integers(1, 2**25), precision=st.sampled_from(sorted(PRECISION_BITS)),
    vector_lanes=st.integers(1, 1024), node_nm=st.sampled_from(NODES_NM))


@given(engine=engines)
def test_no_part_is_zero_and_corners_order(engine):
    value = engine_area_mm2(engine)
    assert all(area > 0.0 for area in value.values())
    assert engine_leakage_w(engine) > 0.0
    low, high = (sum(engine_area_mm2(engine, corner=corner).values()) for corner in ("low", "high"))
    assert low < sum(value.values()) < high


@given(engine=engines, rows=st.integers(0, 8), cols=st.integers(0, 8), sram=st.integers(0, 2**20),
       lanes=st.integers(0, 64))
def test_more_of_anything_is_never_smaller(engine, rows, cols, sram, lanes):
    larger = replace(engine, rows=engine.rows + rows, cols=engine.cols + cols, sram_bytes=engine.sram_bytes + sram,
                     vector_lanes=engine.vector_lanes + lanes)
    before, after = engine_area_mm2(engine), engine_area_mm2(larger)
    assert all(after[part] >= before[part] for part in before)
    assert engine_leakage_w(larger) >= engine_leakage_w(engine)


def test_row_stationary_pays_for_its_scratchpads():
    assert engine_area_mm2(an_engine(dataflow="rs"))["pes"] > 2 * engine_area_mm2(an_engine())["pes"]


def test_accumulator_widths():
    assert [accumulator_bits(p) for p in ("int4", "int8", "int16", "fp16", "bf16")] == [24, 32, 48, 32, 32]


def test_fission():
    engine = an_engine(rows=128, cols=128)
    assert fission_area_mm2(engine, 4) < fission_area_mm2(engine, 16) < fission_area_mm2(engine, 64)
    # 16 sub-arrays of 32x32: 64 edge PEs of 40 bits each
    assert fission_area_mm2(engine, 16) == pytest.approx(16 * 64 * 40 * 10.4e-6)
    for wrong in (0, 2, 9):
        with pytest.raises(InvalidEngine, match="subarrays"):
            fission_area_mm2(engine, wrong)


def test_dram_interface_does_not_scale_with_the_node():
    assert dram_phy_area_mm2(17.07e9, 28) == dram_phy_area_mm2(17.07e9, 7) == pytest.approx(1.45)
    assert dram_phy_area_mm2(461e9, 7, kind="hbm2") == pytest.approx(10.45)
    with pytest.raises(InvalidEngine, match="dram_bytes_per_s"):
        dram_phy_area_mm2(0.0)
    with pytest.raises(InvalidEngine, match="kind"):
        dram_phy_area_mm2(1e9, kind="tape")


def test_scheduler_block():
    software = scheduler_block("software", "edf")
    static = scheduler_block("hardware", "edf", 28, freq_hz=230e6, tasks=4)
    dynamic = scheduler_block("hardware", "prema", 28, freq_hz=230e6, tasks=4)
    assert software.area_mm2 == 0.0
    assert software.decision_s > 10 * static.decision_s
    assert software.decision_j > static.decision_j > 0.0
    assert static.decision_s == pytest.approx((13 + 5 * 4) / 230e6)  # DERCA's cycles
    assert static.area_mm2 == pytest.approx(36174 * 10 * 0.614e-6)
    assert dynamic.area_mm2 > static.area_mm2
    assert dynamic.decision_s > static.decision_s
    with pytest.raises(InvalidEngine, match="scheduler"):
        scheduler_block("magic")


def test_constants_reach_the_area():
    bigger = engine_area_mm2(an_engine(), corner=Constants.of({"sram_density_mm2_per_mib": 1.0}))
    usual = engine_area_mm2(an_engine())
    assert bigger["sram"] == pytest.approx(2.7)
    assert {part: area for part, area in bigger.items() if part != "sram"} == pytest.approx(
        {part: area for part, area in usual.items() if part != "sram"})
