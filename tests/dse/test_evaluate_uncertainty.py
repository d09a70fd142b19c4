"""`dse evaluate --uncertainty`: intervals hold the central value; two designs are ordered, or not, by the constants."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dse.cli import app
from dse.errors import InputError

DESIGN = """kind: design
architecture: time_mux
node_nm: 16
freq_hz: 1.0e+9
dram_bytes_per_s: 16.0e+9
engines: [{rows: SIDE, cols: SIDE, dataflow: os, sram_bytes: 524288}]
policy: {name: edf}
scheduler: hardware
"""
WORKLOAD = """kind: workload
name: w
duration_s: 0.2
tenants: [{name: a, network: res8, traffic: {kind: periodic, rate_hz: 50}}]
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    paths = [tmp_path / name for name in ("small.yaml", "large.yaml", "workload.yaml")]
    for path, text in zip(paths, (DESIGN.replace("SIDE", "16"), DESIGN.replace("SIDE", "64"), WORKLOAD), strict=True):
        path.write_text(text)
    return str(paths[0]), str(paths[1]), str(paths[2])


def test_intervals_and_ranking(files: tuple[str, str, str]) -> None:
    small, large, workload = files
    result = CliRunner().invoke(app, ["evaluate", small, "--workload", workload, "--uncertainty", "--against", large,
                                      "--json"])
    found = json.loads(result.stdout)
    for name, each in found["uncertainty"].items():
        assert each["low"] <= each["p05"] <= each["p95"] <= each["high"], name
        assert each["low"] <= each["value"] <= each["high"], name
        assert each["value"] == pytest.approx(found["metrics"][name], rel=1e-9), name
    assert found["uncertainty"]["area_mm2"]["high"] > 1.5 * found["uncertainty"]["area_mm2"]["low"]
    assert found["ranking"]["area_mm2"]["difference"] < 0
    assert found["ranking"]["area_mm2"]["survives"]


def test_without_the_flag_nothing_is_added(files: tuple[str, str, str]) -> None:
    result = CliRunner().invoke(app, ["evaluate", files[0], "--workload", files[2], "--json"])
    assert "uncertainty" not in json.loads(result.stdout)


def test_against_needs_uncertainty(files: tuple[str, str, str]) -> None:
    result = CliRunner().invoke(app, ["evaluate", files[0], "--workload", files[2], "--against", files[1]])
    assert isinstance(result.exception, InputError)
