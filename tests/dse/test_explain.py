"""`dse explain`."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from command import dse


def test_all_constants_as_json():
    result = dse("explain", "--json")
    assert result.returncode == 0
    constants = json.loads(result.stdout)["constants"]
    assert len(constants) > 40
    for record in constants:
        assert record["low"] <= record["value"] <= record["high"]
        assert record["source"]
        assert record["trust"] in ("measured", "shipped", "secondary", "inferred")


def test_one_constant():
    result = dse("explain", "mac_int8_energy_j.28nm", "--json")
    record = json.loads(result.stdout)
    assert (record["value"], record["unit"], record["node_nm"]) == (2.5e-13, "J", 28)
    text = dse("explain", "mac_int8_energy_j.28nm").stdout
    assert "0.25 pJ" in text
    assert "inferred" in text
    assert "Horowitz" in text


def test_a_curve_lists_its_points_and_interpolates():
    assert len(json.loads(dse("explain", "mac_int8_energy_j", "--json").stdout)["constants"]) == 4
    assert json.loads(dse("explain", "mac_int8_energy_j.12nm", "--json").stdout)["trust"] == "inferred"


@pytest.mark.parametrize(("key", "says"), [
    ("mac_int9_energy_j", "did you mean 'mac_int8_energy_j'?"),
    ("dram", "dram_lpddr4_energy_j_per_byte"),
    ("mac_int8_energy_j.3nm", "in [7, 45]"),
    ("mac_int8_energy_j.soon", "NODEnm"),
    ("pe_overhead_frac.16nm", "no curve"),
    ("", "listed by"),
])
def test_unknown_keys(key, says):
    result = dse("explain", key)
    assert result.returncode == 2
    assert result.stdout == ""
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("key", "says"), [
    ("rows", ["parameter of the space", "default 16, 32, 64, 128", "256 to 16,384 PEs", "key of engine"]),
    ("p99_latency_s", ["metric", "less is better"]),
    ("search.trials", ["Designs to evaluate", "integer >= 1", "default 400"]),
    ("round_robin.quantum_layers", ["parameter of a policy", "in [1, "]),
    ("deadline_x_isolated", ["Multiple of the isolated latency", "number > 0"]),
])
def test_keys_parameters_and_metrics(key, says):
    result = dse("explain", key)
    assert result.returncode == 0, result.stderr
    for text in says:
        assert text in result.stdout
    assert json.loads(dse("explain", key, "--json").stdout)["meanings"]


def test_a_slip_in_a_key_gets_a_hint():
    assert "did you mean 'deadline_s'?" in dse("explain", "deadlin_s").stderr
