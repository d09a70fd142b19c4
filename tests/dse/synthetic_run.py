"""A RUN folder with made-up figures, for tests of what reads one: 4 classes, 3 objectives, 4 budgets, any size."""

import csv
import json
from pathlib import Path

import numpy as np
import yaml

TENANTS = ("keyword", "speech", "segmentation", "depth", "planes", "objects")
PER_TENANT = ("energy_j", "mean_latency_s", "p50_latency_s", "p95_latency_s", "p99_latency_s", "max_latency_s",
              "p99_deadline_frac", "slo_violation_frac", "slo_miss_frac", "drop_frac", "antt", "throughput_per_s")
BUDGETS = {"area_mm2": 40.0, "p99_deadline_frac": 1.0, "slo_violation_frac": 0.01, "power_w": 5.0}
OBJECTIVES = ("area_mm2", "p99_deadline_frac", "energy_per_inference_j")
PARAMS = ("architecture", "node_nm", "dram_bytes_per_s", "rows", "cols", "dataflow", "sram_bytes", "subarrays",
          "engines", "side0", "side1", "dataflow0", "dataflow1", "sram_bytes0", "sram_bytes1", "total_pes", "policy",
          "scheduler")
DEADLINE_S = (0.333, 0.333, 0.1, 0.033, 0.067, 0.1)


def _params(rng):
    kind = str(rng.choice(["time_mux", "composable", "heterogeneous", "dedicated"]))
    flow = lambda: str(rng.choice(["ws", "os", "is"]))  # noqa: E731
    params = {"architecture": kind, "node_nm": 16, "dram_bytes_per_s": float(rng.choice([8e9, 16e9, 32e9])),
              "policy": str(rng.choice(["fcfs", "round_robin", "sjf", "edf", "least_slack", "prema"])),
              "scheduler": str(rng.choice(["software", "hardware"]))}
    if kind in ("time_mux", "composable"):
        params |= {"rows": int(rng.choice([16, 32, 64, 128])), "cols": int(rng.choice([16, 32, 64, 128])),
                   "dataflow": flow(), "sram_bytes": int(rng.choice([256, 1024, 4096])) * 1024}
        pes = params["rows"] * params["cols"]
        if kind == "composable":
            params["subarrays"] = int(rng.choice([4, 16]))
    elif kind == "heterogeneous":
        params["engines"] = 2
        for i in range(2):
            params |= {f"side{i}": int(rng.choice([16, 32, 64])), f"dataflow{i}": flow(),
                       f"sram_bytes{i}": int(rng.choice([128, 512, 2048])) * 1024}
        pes = params["side0"] ** 2 + params["side1"] ** 2
    else:
        params |= {"total_pes": int(rng.choice([512, 2048, 8192])), "dataflow": flow(),
                   "sram_bytes": int(rng.choice([256, 1024, 4096])) * 1024}
        pes = params["total_pes"]
    return params, pes


def _metrics(rng, params, pes):
    kind = params["architecture"]
    sram = sum(v for k, v in params.items() if k.startswith("sram_bytes")) / 2**20
    area = 1.5 + pes * 1.1e-3 + 1.6 * sram + params["dram_bytes_per_s"] / 8e9 * 0.9
    area *= {"composable": 1.15, "dedicated": 1.05}.get(kind, 1.0)
    work = 1400.0 / pes + 8e9 / params["dram_bytes_per_s"] / (1.0 + sram)
    work *= {"time_mux": 1.0, "composable": 0.85, "heterogeneous": 0.8, "dedicated": 1.1}[kind]
    work *= {"fcfs": 1.5, "round_robin": 1.4, "sjf": 1.2, "edf": 0.9, "least_slack": 0.95}.get(params["policy"], 1.0)
    frac = 0.3 * work * float(rng.lognormal(0.0, 0.25))
    energy = (2e-3 + area * 8e-5 + work * 5e-4) * float(rng.lognormal(0.0, 0.1))
    miss = max(0.0, frac - 0.9) * 0.2
    metrics = {"area_mm2": area, "power_w": energy * 95.0, "energy_j": energy * 285.0, "energy_per_inference_j": energy,
               "mean_latency_s": 0.01 * frac, "p50_latency_s": 0.008 * frac, "p95_latency_s": 0.025 * frac,
               "p99_latency_s": 0.033 * frac, "max_latency_s": 0.05 * frac, "p99_deadline_frac": frac,
               "slo_violation_frac": miss, "slo_miss_frac": frac - 1.0, "drop_frac": miss, "antt": 1.0 + frac,
               "stp": 6.0 / (1.0 + frac), "throughput_per_s": 95.0, "fairness_frac": 1.0 / (1.0 + frac),
               "engine_utilisation_frac": min(1.0, 0.4 * work), "dram_utilisation_frac": min(1.0, 0.3 * work)}
    tenants = {}
    for i, name in enumerate(TENANTS):
        own = frac * (0.4 + 0.12 * i)
        tenants[name] = dict.fromkeys(PER_TENANT, own) | {
            "p99_deadline_frac": own, "p99_latency_s": own * DEADLINE_S[i], "slo_violation_frac": miss * i / 6}
    return metrics, tenants


def design_yaml(trial, params):
    """A design file in the form a run writes, good enough to look at."""
    return yaml.safe_dump({"kind": "design", "architecture": params["architecture"], "node_nm": 16,
                           "policy": {"name": params["policy"]}, "scheduler": params["scheduler"],
                           "provenance": {"trial": trial}}, sort_keys=False)


def make_run(path: Path, trials: int = 300, *, seed: int = 0, name: str = "synthetic", budgets=None,
             failed: int = 2) -> Path:
    """Write the folder; the last `failed` trials crashed."""
    rng = np.random.default_rng(seed)
    budgets = BUDGETS if budgets is None else budgets
    rows = []
    for trial in range(trials):
        params, pes = _params(rng)
        metrics, tenants = _metrics(rng, params, pes)
        row = {"trial": trial, "state": "complete", "status": "ok"}
        row |= {f"params.{k}": v for k, v in params.items()}
        if trial >= trials - failed:
            row |= {"state": "failed", "feasible": False, "status": "failed", "error": "Traceback\n  one, two"}
        else:
            row |= metrics
            row |= {f"tenants.{t}.{m}": v for t, ms in tenants.items() for m, v in ms.items()}
            row |= {f"violations.{m}": metrics[m] - bound for m, bound in budgets.items()}
            row["feasible"] = all(metrics[m] <= bound for m, bound in budgets.items())
        rows.append(row)
    first = rows[0]
    columns = ["trial", "state", "feasible", "status", *(f"params.{p}" for p in PARAMS),
               *(c for c in first if "." not in c and c not in ("trial", "state", "feasible", "status")),
               *(c for c in first if c.startswith("tenants.")), *(f"violations.{m}" for m in budgets), "error"]
    good = [r for r in rows if r["feasible"]]
    values = np.array([[r[o] for o in OBJECTIVES] for r in good]).reshape(len(good), len(OBJECTIVES))
    keep = [i for i, p in enumerate(values)
            if not ((values <= p).all(axis=1) & (values < p).any(axis=1)).any()]
    front = sorted((good[i] for i in keep), key=lambda r: r[OBJECTIVES[0]])
    path.mkdir(parents=True)
    for file, table in (("trials.csv", rows), ("front.csv", front)):
        with (path / file).open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(columns)
            for row in table:
                writer.writerow(["" if row.get(c) is None else repr(v) if isinstance(v := row[c], float) else str(v)
                                 for c in columns])
    (path / "study.yaml").write_text(yaml.safe_dump(
        {"kind": "study", "name": name, "workload": {"kind": "workload", "name": "made_up", "tenants": []},
         "objectives": list(OBJECTIVES), "budgets": budgets, "search": {"trials": trials, "seed": seed}},
        sort_keys=False), encoding="utf-8")
    (path / "manifest.json").write_text(json.dumps(
        {"version": "0.1.0", "seed": seed, "command": ["dse", "run"], "wall_s": 61.0, "versions": {"numpy": "2.4"}}))
    (path / "best").mkdir()
    for row in front:
        params = {k.removeprefix("params."): v for k, v in row.items() if k.startswith("params.")}
        (path / "best" / f"trial_{row['trial']:05d}.yaml").write_text(design_yaml(row["trial"], params))
    return path


def make_detail(params, seed: int = 0) -> dict:
    """What `dse.report.detail.detail_payload` makes, with made-up figures."""
    rng = np.random.default_rng(seed)
    count = {"heterogeneous": 2, "dedicated": len(TENANTS)}.get(params["architecture"], 1)
    names = [f"engine_{t}" for t in TENANTS] if count > 2 else [f"engine{i}" for i in range(count)] if count > 1 \
        else ["engine"]
    engines = [{"name": n, "rows": 32, "cols": 32, "dataflow": "ws", "sram_bytes": 524288, "vector_lanes": 64,
                "precision": "int8", "freq_hz": 1e9, "dram_bytes_per_s": 16e9, "units": 1,
                "tenants": [TENANTS[i]] if count > 2 else [], "dram_frac": 1.0} for i, n in enumerate(names)]
    area = {}
    for i in range(count):
        prefix = f"engine{i}." if count > 1 else ""
        area |= {f"{prefix}pes": 1.2 / (i + 1), f"{prefix}sram": 1.9 / (i + 1), f"{prefix}vector": 0.3,
                 f"{prefix}noc": 0.08}
    area |= {"dram_phy": 1.8, "scheduler": 0.05}
    start, duration, track, tenant = [], [], [], []
    for engine in range(count):
        at = 0.0
        while at < 0.4:
            length, gap = float(rng.exponential(2e-3)) + 1e-4, float(rng.exponential(1e-3))
            start.append(round(at, 7)), duration.append(length), track.append(engine)
            tenant.append(engine if count > 2 else int(rng.integers(len(TENANTS))))
            at += length + gap
    layers = 90
    intensity = rng.lognormal(3.0, 1.2, layers)
    rate = np.minimum(1.0e12, intensity * 16e9) * rng.uniform(0.3, 1.0, layers)
    owner = np.sort(rng.integers(0, len(TENANTS), layers))
    return {
        "status": "ok", "engines": engines, "dram_bytes_per_s": 16e9, "area_mm2": area,
        "energy_j": {"dynamic": 0.21, "leakage": 0.07, "scheduler": 0.002}, "utilisation": dict.fromkeys(names, 0.6),
        "time_frac": {t: {"waiting": 0.1 + 0.08 * i, "compute": 0.5 - 0.04 * i, "dram": 0.3 - 0.02 * i,
                          "vector": 0.1 - 0.02 * i} for i, t in enumerate(TENANTS)},
        "tenant_energy_j": {t: 0.02 * (i + 1) for i, t in enumerate(TENANTS)}, "tenants": list(TENANTS),
        "roofline": {"tenant": owner.tolist(), "layer": [f"conv{i}" for i in range(layers)],
                     "intensity": intensity.round(3).tolist(), "macs_per_s": rate.round().tolist(),
                     "share": rng.dirichlet(np.ones(layers)).round(4).tolist(), "limit": ["compute"] * layers,
                     "roofs": [{"name": n, "macs_per_s": 1.024e12, "dram_bytes_per_s": 16e9} for n in names]},
        "latency": {t: {"latency_s": np.sort(rng.lognormal(np.log(DEADLINE_S[i] * 0.3), 0.4, 80)).tolist(),
                        "frac": (np.arange(1, 81) / 80).tolist(), "deadline_s": DEADLINE_S[i], "percentile": 99.0,
                        "requests": 80, "finished": 80, "isolated_s": DEADLINE_S[i] * 0.1}
                    for i, t in enumerate(TENANTS)},
        "timeline": {"tracks": names, "start_s": start, "duration_s": duration, "track": track, "tenant": tenant,
                     "request": list(range(len(start))), "units": [], "shown": len(start), "total": len(start)},
        "heat": {"tracks": names, "end_s": 0.4, "busy": rng.uniform(0.2, 1.0, (count, 60)).round(3).tolist()},
    }
