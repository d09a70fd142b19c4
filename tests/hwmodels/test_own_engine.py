"""The page on writing an engine: its code runs as it stands; engines of other packages come through entry points."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hwmodels.engines
from hwmodels.engine import ENGINES_GROUP

PAGE = Path(hwmodels.engines.__file__).with_name("README.md").read_text(encoding="utf-8")
CODE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1)
TOML = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL).group(1)
ENGINE = "rows: 8\ncols: 16\ndataflow: {}\nsram_bytes: 262144\ndram_bytes_per_s: 1e12\nfreq_hz: 1e9\n"
NETWORK = ("- {id: 0, name: conv, operator_type: Conv, equation: 'O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]', "
           "dimension_relations: [ix=1*ox+1*fx, iy=1*oy+1*fy], loop_dims: [B, K, C, OY, OX, FY, FX], "
           "loop_sizes: [1, 20, 10, 8, 8, 3, 3], operand_precision: {W: 8, I: 8, O: 32, O_final: 8}}\n")


def python(folder, *args):
    return subprocess.run([sys.executable, "-W", "error", *args], cwd=folder, capture_output=True, text=True,
                          check=False)


def dse(folder, *args):
    return python(folder, "-c", f"from dse.cli import main; main({list(args)!r})")


@pytest.fixture
def folder(tmp_path):
    """A package as pip would leave it: the module and its metadata; an engine and a network."""
    points = tomllib.loads(TOML)["project"]["entry-points"][ENGINES_GROUP]
    assert points == {"adder_tree": "adder_tree:forms"}
    (tmp_path / "adder_tree.py").write_text(CODE)
    info = tmp_path / "adder_tree-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: adder-tree\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENGINES_GROUP}]\nadder_tree = adder_tree:forms\n")
    (tmp_path / "engine.yaml").write_text(ENGINE.format("adder_tree"))
    (tmp_path / "net.yaml").write_text(NETWORK)
    return tmp_path


def test_the_example_is_short_and_runs(folder):
    assert len(CODE.splitlines()) < 50
    done = python(folder, "adder_tree.py")
    assert done.returncode == 0, done.stderr
    cycles = 2 * 2 * (8 * 8 * 9 + 4)  # rounds over channels, over filters; positions x taps, and the tree once
    assert done.stdout.splitlines()[0] == f"cycles {cycles:.1f}"


def test_an_installed_engine_is_like_a_built_in_one(folder):
    done = dse(folder, "cost", "net.yaml", "--engine", "engine.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert "adder tree" in done.stdout
    rows = [row["name"] for row in json.loads(dse(folder, "list", "dataflows", "--json").stdout)["dataflows"]]
    assert rows == ["ws", "os", "is", "rs", "adder_tree"]
    (folder / "design.yaml").write_text(
        "kind: design\narchitecture: time_mux\nfreq_hz: 1e9\ndram_bytes_per_s: 16e9\npolicy: edf\n"
        "engines: [{rows: 32, cols: 32, dataflow: adder_tree, sram_bytes: 524288}]\n")
    (folder / "load.yaml").write_text(
        "kind: workload\nname: one\nduration_s: 0.05\ntenants:\n"
        "  - {name: words, network: res8, traffic: {kind: poisson, rate_hz: 400}}\n")
    done = dse(folder, "evaluate", "design.yaml", "--workload", "load.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert '"status": "ok"' in done.stdout


@pytest.mark.parametrize(("code", "message"), [
    ("1 / 0", "an engine that can be loaded: ZeroDivisionError"), ("forms = 3", "names a function"),
    ("def forms(layer, engine): return []", "a list of at least one Form"),
])
def test_an_engine_that_cannot_be_used(folder, code, message):
    (folder / "adder_tree.py").write_text(code)
    done = dse(folder, "cost", "net.yaml", "--engine", "engine.yaml")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    (folder / "engine.yaml").write_text(ENGINE.format("adder"))
    assert "must be one of ws, os, is, rs, adder_tree, got 'adder'" in dse(
        folder, "cost", "net.yaml", "--engine", "engine.yaml").stderr
