"""What the tests of exports share: designs of four classes, and where the tools they are read by are installed.

SCALE-Sim, ZigZag, Stream and AccelForge want Pythons and dependencies that do not suit ours, so each has an
environment of its own: `.ci/export-tools` makes them in `.tools`, where they are found; `EXPORT_TOOLS_PYTHON` names
further Pythons, separated like PATH.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from dse.exporters.chip import parts_of
from hwmodels.architectures import Composable, Dedicated, Heterogeneous, TimeMux
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.network import Layer, Network
from hwmodels.networks import network
from hwmodels.workload import Tenant, Traffic, Workload


def engine(**changes):
    return Engine(**{"rows": 16, "cols": 16, "dataflow": "ws", "sram_bytes": 262144, "dram_bytes_per_s": 8e9,
                     "freq_hz": 5e8, **changes})


SMALL = Network(name="small net", layers=(
    Layer(name="c1", op="conv", k=16, c=3, oy=14, ox=14, fy=3, fx=3, stride_y=2, stride_x=2, pad_y=1, pad_x=1),
    Layer(name="dw", op="depthwise", groups=16, k=1, c=1, oy=14, ox=14, fy=3, fx=3, pad_y=2, pad_x=2),
    Layer(name="act", op="activation", in_elements=3136, out_elements=3136, vector_ops=3136),
    Layer(name="pw", op="conv", k=32, c=16, oy=14, ox=14),
    Layer(name="pw", op="conv", k=20, c=32, oy=7, ox=7, fy=1, fx=3, dilation_x=2, pad_x=4, stride_y=2),
    Layer(name="fc", op="gemm", k=10, c=32, oy=8),
    Layer(name="att", op="attention", groups=4, k=8, c=16, oy=8),
    Layer(name="lstm", op="recurrent", k=24, c=12, repeat=5)))


def workload():
    return Workload(name="two", duration_s=0.05, tenants=(
        Tenant(name="words", network=network("res8"), traffic=Traffic(kind="poisson", rate_hz=900.0)),
        Tenant(name="frames", network=SMALL, traffic=Traffic(kind="periodic", rate_hz=120.0))))


DESIGNS = {
    "time_mux": Design(architecture=TimeMux(engine=engine()), policy="edf"),
    "composable": Design(architecture=Composable(engine=engine(), subarrays=4), policy="edf"),
    "heterogeneous": Design(architecture=Heterogeneous(engines=(engine(dataflow="is"), engine(dataflow="os", rows=8))),
                            policy="fcfs"),
    "dedicated": Design(architecture=Dedicated(
        engines=(engine(dataflow="rs"), engine(rows=8, cols=32, sram_fracs=(0.3, 0.3, 0.4))),
        tenants=("words", "frames"), dram_fracs=(0.4, 0.6)), policy="fcfs"),
}


def parts(name):
    return parts_of(DESIGNS[name], workload(), f"Trial 3 of study {name}")


def write(texts, folder):
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@cache
def python_with(module):
    """A Python that has the module; None if there is none."""
    made = sorted((Path(__file__).parents[2] / ".tools").glob("*/bin/python"))
    named = filter(None, os.environ.get("EXPORT_TOOLS_PYTHON", "").split(os.pathsep))
    for python in (sys.executable, *made, *named):
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        if subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0:
            return python
    return None


def require(module, version):
    python = python_with(module)
    if python is None:
        pytest.skip(f"{module} {version} is not installed: see .ci/export-tools")
    return python
