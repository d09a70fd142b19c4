"""Constants, scaling laws and the SRAM table."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodels import technology as t
from hwmodels.engine import NODES_NM, PRECISION_BITS
from hwmodels.errors import ModelError
from hwmodels.sram import SRAM_CELLS, cacti_points, sram_macro

CURVES = [name for name, item in t.QUANTITIES.items() if len(item.points) > 1]
NODES = st.floats(7.0, 45.0)
CORNERS = st.sampled_from(["value", "low", "high"])


@pytest.mark.parametrize("key", t.CONSTANTS)
def test_every_constant_has_its_evidence(key):
    record = t.CONSTANTS[key]
    assert record.key == key
    assert 0.0 < record.low <= record.value <= record.high < math.inf
    assert record.source.strip()
    assert record.unit.strip()
    assert record.trust in t.TRUST_GRADES
    assert record.node_nm is None or 7 <= record.node_nm <= 45
    # the unit is part of a dimensional name
    unit = record.unit.split("/")[0].split()[0]
    suffix = {"J": "_j", "mm2": "_mm2", "W": "_w", "s": "_s", "cycles": "_cycles"}.get(unit)
    assert suffix is None or suffix in key


@pytest.mark.parametrize("name", CURVES)
def test_every_curve_covers_all_nodes_of_an_engine(name):
    for node in (*NODES_NM,):
        if name == "sram_energy_frac" and node > 22:
            continue  # CACTI's own table holds there
        assert t.quantity(name, node, "low") <= t.quantity(name, node) <= t.quantity(name, node, "high")


@given(name=st.sampled_from([c for c in CURVES if c != "sram_energy_frac"]), a=NODES, b=NODES, c=NODES, corner=CORNERS)
def test_scaling_is_transitive(name, a, b, c, corner):
    assert t.scale(name, a, a, corner) == 1.0
    assert t.scale(name, a, b, corner) * t.scale(name, b, a, corner) == pytest.approx(1.0, rel=1e-12)
    through_b = t.scale(name, a, b, corner) * t.scale(name, b, c, corner)
    assert through_b == pytest.approx(t.scale(name, a, c, corner), rel=1e-9)


@given(a=NODES, b=NODES, corner=CORNERS, precision=st.sampled_from(sorted(PRECISION_BITS)))
def test_a_newer_node_is_never_larger_or_hungrier(a, b, corner, precision):
    new, old = min(a, b), max(a, b)
    for function in (lambda n: t.mac_energy_j(n, precision, corner=corner), lambda n: t.pe_area_mm2(n, precision),
                     lambda n: t.hop_energy_j_per_byte(n, corner=corner),
                     lambda n: t.vector_op_energy_j(n, corner=corner),
                     lambda n: t.vector_lane_area_mm2(n, corner=corner),
                     lambda n: t.sram_energy_j_per_byte(n, 2**20, corner=corner)):
        assert function(new) <= function(old) * (1 + 1e-12)


def test_start_values_at_28_nm():
    """The table of the specification: int8 MAC 0.25 pJ, 1.6 mm2 per MiB, 0.38 / 2.4 pJ/byte (hp, 64 KiB / 1 MiB)."""
    assert t.mac_energy_j(28) == pytest.approx(0.25e-12)
    assert t.sram_area_mm2(28, 2**20) == pytest.approx(1.6)
    assert t.sram_energy_j_per_byte(28, 2**16, cell="hp") == pytest.approx(0.38e-12, rel=0.01)
    assert t.sram_energy_j_per_byte(28, 2**20, cell="hp") == pytest.approx(2.4e-12, rel=0.02)
    assert t.sram_leakage_w(28, 2**20, cell="hp") == pytest.approx(0.23)
    assert t.pe_area_mm2(28) == pytest.approx(500e-6 * 1.5)
    assert t.dram_energy_j_per_byte() == pytest.approx(64e-12)


def test_between_nodes_a_power_law_holds():
    expected = 0.12e-12 * (0.06 / 0.12) ** (math.log(16 / 12) / math.log(16 / 7))
    assert t.mac_energy_j(12) == pytest.approx(expected)
    assert t.constant("mac_int8_energy_j", 12).trust == "inferred"


def test_precision_of_a_mac():
    energy = [t.mac_energy_j(16, p) for p in ("int2", "int4", "int8", "int16", "fp16")]
    area = [t.pe_area_mm2(16, p) for p in ("int2", "int4", "int8", "int16", "fp16")]
    assert energy == sorted(energy)
    assert area == sorted(area)
    assert t.mac_energy_j(16, "bf16") < t.mac_energy_j(16, "fp16")
    # 4-bit weights on an int8 PE: half the multiplier, 28 of 32 accumulator bits
    expected = t.mac_energy_j(16) * (0.7 * 0.5 + 0.3 * 28 / 32)
    assert t.mac_energy_j(16, "int8", weight_bits=4) == pytest.approx(expected)


@given(positions=st.floats(-1.0, 1.0), name=st.sampled_from(CURVES))
def test_positions_stay_inside_the_range(positions, name):
    record = t.QUANTITIES[name].points[-1]
    at = t.quantity(name, record.node_nm, t.Constants.of({name: positions}))
    assert record.low * (1 - 1e-12) <= at <= record.high * (1 + 1e-12)
    assert at >= record.value if positions >= 0 else at <= record.value


def test_corners_are_positions():
    assert t.mac_energy_j(28, corner="low") <= t.mac_energy_j(28) <= t.mac_energy_j(28, corner="high")
    assert t.quantity("mac_int8_energy_j", 28, "low") == pytest.approx(0.12e-12)
    assert t.mac_energy_j(28, corner=t.Constants.of(others=1.0)) == t.mac_energy_j(28, corner="high")
    with pytest.raises(ModelError, match="position"):
        t.Constants.of({"mac_int8_energy_j": 1.5})
    with pytest.raises(ModelError, match="quantity"):
        t.Constants.of({"mac_int9_energy_j": 0.5})
    with pytest.raises(ModelError, match="corner"):
        t.mac_energy_j(28, corner="typical")


def test_unknown_names_are_errors():
    with pytest.raises(ModelError, match="node_nm"):
        t.mac_energy_j(5)
    with pytest.raises(ModelError, match="precision"):
        t.mac_energy_j(16, "int9")
    with pytest.raises(ModelError, match="dram kind"):
        t.dram_energy_j_per_byte("gddr9")
    with pytest.raises(ModelError, match="cell"):
        sram_macro(22, 1024, cell="fast")


def test_cacti_points_are_reproduced():
    for node, cell, size, width, macro in cacti_points():
        assert sram_macro(node, size, cell=cell, width_bits=width) == pytest.approx(macro, rel=1e-12)


@pytest.mark.parametrize(("field", "median", "p90"), [("read_j_per_byte", 0.15, 0.40), ("area_mm2", 0.15, 0.40)])
def test_interpolation_on_points_left_out(field, median, p90):
    """Each inner point predicted from the others: within 15 % (median) and 40 % (90th percentile)."""
    points = cacti_points()
    errors = []
    for index, (node, cell, size, width, macro) in enumerate(points):
        sizes = [s for n, c, s, w, _ in points if (n, c, w) == (node, cell, width)]
        if min(sizes) < size < max(sizes):
            without = sram_macro(node, size, cell=cell, width_bits=width, without=(index,))
            errors.append(abs(getattr(without, field) / getattr(macro, field) - 1.0))
    errors.sort()
    assert len(errors) > 100
    assert statistics.median(errors) < median
    assert errors[int(0.9 * len(errors))] < p90


@given(size=st.integers(1024, 2**24), more=st.integers(1, 2**22), node=st.sampled_from(NODES_NM))
def test_a_larger_buffer_is_larger_and_dearer(size, more, node):
    assert t.sram_area_mm2(node, size + more) >= t.sram_area_mm2(node, size)
    assert t.sram_energy_j_per_byte(node, size + more) >= t.sram_energy_j_per_byte(node, size)
    assert t.sram_leakage_w(node, size + more) >= t.sram_leakage_w(node, size)


def test_leakage_orders_the_cells():
    for node in NODES_NM:
        hp, lop, lstp = (t.sram_leakage_w(node, 2**20, cell=cell) for cell in SRAM_CELLS)
        assert lstp < lop < hp
