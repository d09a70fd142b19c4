"""SCALE-Sim 3.0.0 itself on the exported files: its compute cycles are ours less one."""

import csv
import importlib.util
import subprocess
from pathlib import Path

import pytest

from dse.exporters.scalesim import config, layout, topology
from hwmodels.engines.systolic import product_cycles
from hwmodels.network import Layer, Network


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools = _load("export_tools")

NET = Network(name="n", layers=(
    Layer(name="c1", op="conv", k=20, c=3, oy=7, ox=7, fy=3, fx=3, stride_y=2, stride_x=2, pad_y=1, pad_x=1),
    Layer(name="dw", op="depthwise", groups=3, k=1, c=1, oy=7, ox=7, fy=3, fx=3, pad_y=2, pad_x=2),
    Layer(name="fc", op="gemm", k=10, c=32, oy=8),
    Layer(name="att", op="attention", groups=2, k=8, c=16, oy=24)))


def engines(design):
    return [slot.levels[-1][1][0] for slot in design.architecture.chip(tools.workload()).slots]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(tools.DESIGNS))
def test_compute_cycles_are_ours_less_one(name, tmp_path):
    python = tools.require("scalesim", "3.0.0 (with numpy 2.3.5)")
    (tmp_path / "net.csv").write_text(topology(NET))
    (tmp_path / "layout.csv").write_text(layout(NET))
    tried = [engine for engine in engines(tools.DESIGNS[name]) if engine.dataflow != "rs"]
    for number, engine in enumerate(tried):
        (tmp_path / "e.cfg").write_text(config(engine, f"run{number}"))
        done = subprocess.run([python, "-m", "scalesim.scale", "-c", "e.cfg", "-t", "net.csv", "-l", "layout.csv",
                               "-p", "out", "-i", "conv", "-s", "N"], cwd=tmp_path, capture_output=True, text=True,
                              check=False)
        report = tmp_path / "out" / f"run{number}" / "COMPUTE_REPORT.csv"
        assert report.is_file(), (done.stdout + done.stderr)[-2000:]
        with report.open(newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
        total, stalls = (next(i for i, title in enumerate(rows[0]) if title.lower() == wanted)
                         for wanted in ("total cycles", "stall cycles"))
        found = [float(row[total]) - float(row[stalls]) for row in rows[1:]]
        ours = [product_cycles(m, n, k, engine.rows, engine.cols, engine.dataflow) - 1
                for groups, m, n, k in (layer.gemm for layer in NET) for _ in range(groups)]
        assert found == ours
