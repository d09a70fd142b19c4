"""A small conditional study with an evaluation that needs no models; shared by the tests of the driver."""

import os
import time
from pathlib import Path

from dse.study import Objective, Study
from hwmodels.network import Layer, Network
from hwmodels.outcome import Outcome
from hwmodels.workload import Tenant, Traffic, Workload
from spaces.space import Condition, Space

WORKLOAD = Workload(name="toy", tenants=(
    Tenant(name="eye", network=Network(name="one", layers=(Layer(name="l", op="gemm", oy=8, k=8, c=8),)),
           traffic=Traffic(rate_hz=10.0)),))


def toy_space(**more) -> Space:
    return Space({"arch": ("a", "b"), "x": {"low": 0, "high": 15, "step": 1}, "y": {"low": 1, "high": 64, "log": 2},
                  "z": (0.5, 1.0, 2.0), "flag": (True, False), "only": (16,)},
                 [Condition("z", "arch", ("b",))], **more)


def toy_study(**changes) -> Study:
    settings = {"name": "toy", "workload": WORKLOAD, "space": toy_space(), "trials": 60, "seed": 3,
                "objectives": (Objective(metric="area_mm2", minimise=True), Objective(metric="stp", minimise=False),
                               Objective(metric="eye.p99_latency_s", minimise=True)),
                "budgets": {"area_mm2": 30.0, "stp": 0.15}, "source": "kind: study\n"}
    return Study(**(settings | changes))


def toy_outcome(params) -> Outcome:
    z = params.get("z", 0.7)
    area = 1.0 + params["x"] * 1.5 + params["y"] * 0.3 * z
    latency = (2.0 - z / 4) / (1.0 + params["x"]) + 1.0 / params["y"] + 0.05 * params["flag"]
    metrics = {"area_mm2": area, "p99_latency_s": latency, "stp": 1.0 / (0.3 + latency) * (1 + 0.1 * params["flag"])}
    if params["x"] == 7 and params["flag"]:
        return Outcome(status="x = 7 cannot serve the workload", metrics={"area_mm2": area})
    return Outcome(status="ok", metrics=metrics, tenants={"eye": {"p99_latency_s": latency}})


class Toy:
    """Evaluation that can be slow, fail, hang or kill its process on chosen designs."""

    def __init__(self, *, sleep_s=0.0, raises=(), hangs=(), kills=(), kills_once=None, log=None):
        self.sleep_s, self.raises, self.hangs, self.kills = sleep_s, raises, hangs, kills
        self.kills_once, self.log = kills_once, log

    def __call__(self, params) -> Outcome:
        key = (params["x"], params["y"])
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{sorted(params.items())}\n")
        if self.sleep_s:
            time.sleep(self.sleep_s)
        if key[0] in self.raises:
            raise RuntimeError(f"cannot evaluate x = {key[0]}")
        if key[0] in self.hangs:
            time.sleep(1000)
        if key[0] in self.kills:
            os.kill(os.getpid(), 9)
        if self.kills_once and key[0] == 3 and not Path(self.kills_once).exists():
            Path(self.kills_once).touch()
            os.kill(os.getpid(), 9)
        return toy_outcome(params)
