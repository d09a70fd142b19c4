"""A run of a real but small study, made once per test module: two tenants of tiny networks, three classes."""

from pathlib import Path

import yaml

from dse.documents import load_study
from dse.driver import run_study

STUDY = {
    "kind": "study", "name": "small",
    "workload": {
        "kind": "workload", "name": "pair", "duration_s": 0.1,
        "tenants": [
            {"name": "words", "network": "res8", "traffic": {"kind": "poisson", "rate_hz": 300},
             "service": {"deadline_s": 0.004}},
            {"name": "eye", "network": "resnet18", "traffic": {"kind": "poisson", "rate_hz": 40},
             "service": {"deadline_s": 0.06}},
        ]},
    "objectives": ["area_mm2", "p99_deadline_frac"], "budgets": {"area_mm2": 20, "p99_deadline_frac": 1},
    "space": {"architectures": ["time_mux", "dedicated"], "policies": ["fcfs", "edf", "sjf"],
              "domains": {"freq_hz": [1e9], "rows": [16, 32, 64], "cols": [16, 32], "vector_lanes": [32],
                          "dataflow": ["ws", "os"], "total_pes": [512, 2048], "share_exponent": [1.0]}},
    "search": {"trials": 24, "seed": 3, "sampler": "random"},
}


def write_study(folder: Path, **changes: object) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes))
    return path


def make_small_run(folder: Path, **changes: object) -> Path:
    """Path of the RUN folder."""
    run_study(load_study(write_study(folder, **changes)), folder / "run", workers=1)
    return folder / "run"
