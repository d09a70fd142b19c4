"""`dse run` as a user calls it: a subprocess on a small study of real models."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

STUDY = {
    "kind": "study", "name": "tiny",
    "workload": {
        "kind": "workload", "name": "pair", "duration_s": 0.2,
        "tenants": [
            {"name": "words", "network": "res8", "traffic": {"kind": "periodic", "rate_hz": 50},
             "service": {"deadline_s": 0.02}},
            {"name": "eye", "network": "res8", "traffic": {"kind": "poisson", "rate_hz": 80},
             "service": {"deadline_s": 0.02}},
        ]},
    "objectives": ["area_mm2", "p99_latency_s"], "budgets": {"area_mm2": 20, "p99_deadline_frac": 1},
    "space": {"architectures": ["time_mux", "dedicated"], "policies": ["fcfs", "edf"]},
    "search": {"trials": 40, "seed": 5},
}


def dse(*args: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from dse.cli import main; main()", *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the study, its workload alone, and a finished run."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    (folder / "workload.yaml").write_text(yaml.safe_dump(STUDY["workload"]))
    done = dse("run", "study.yaml", "--out", "first", "--workers", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-1].endswith("report.html")
    assert "wins" in done.stdout
    return folder


def test_the_folder(folder):
    first = folder / "first"
    names = {path.name for path in first.iterdir()}
    assert {"study.yaml", "manifest.json", "trials.csv", "front.csv", "report.html", "best"} <= names
    rows = rows_of(first / "trials.csv")
    assert len(rows) == 40
    front = rows_of(first / "front.csv")
    for row in front:
        assert row["feasible"] == "True"
        assert float(row["area_mm2"]) <= 20
        assert float(row["p99_deadline_frac"]) <= 1
    assert json.loads((first / "manifest.json").read_text())["command"].startswith("dse run study.yaml")


def test_best_designs_evaluate_to_the_same_metrics(folder):
    for row in rows_of(folder / "first" / "front.csv")[:2]:
        design = folder / "first" / "best" / f"trial_{int(row['trial']):05d}.yaml"
        done = dse("evaluate", design, "--workload", "workload.yaml", "--json", cwd=folder)
        assert done.returncode == 0, done.stderr
        metrics = json.loads(done.stdout)["metrics"]
        assert metrics
        for name, value in metrics.items():
            assert float(row[name]) == value


def test_two_workers_and_the_study_as_run_give_the_same_trials(folder):
    done = dse("run", "first/study.yaml", "--out", "second", "--workers", 2, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["n_trials"] == 40
    assert found["n_failed"] == 0
    for name in ("trials.csv", "front.csv"):
        assert rows_of(folder / "second" / name) == rows_of(folder / "first" / name)
    front = rows_of(folder / "first" / "front.csv")
    assert [item["trial"] for item in found["front"]] == [int(row["trial"]) for row in front]
    assert all(item["metrics"]["area_mm2"] == float(row["area_mm2"])
               for item, row in zip(found["front"], front, strict=True))
    assert all(item["design"]["architecture"] for item in found["front"])
    assert found["hypervolume"] > 0
    assert found["wall_s"] > 0


def test_dry_run_writes_nothing(folder, tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    done = dse("run", "study.yaml", "--out", "new", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "designs," in done.stdout
    assert "trials/s" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]
    found = json.loads(dse("run", "study.yaml", "--dry-run", "--json", cwd=tmp_path).stdout)
    assert found["trials"] == 40
    assert found["space_size"] > 1000
    assert found["evaluation_s"] > 0


def test_nothing_feasible_is_exit_3_with_a_report(tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY | {"budgets": {"p99_latency_s": 1e-12}}))
    done = dse("run", "study.yaml", "--out", "new", "--workers", 1, "--trials", 12, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "p99" in done.stdout
    assert (tmp_path / "new" / "report.html").is_file()
    assert rows_of(tmp_path / "new" / "front.csv") == []


@pytest.mark.parametrize(("args", "said"), [
    (("--out", "first"), "already exists"),
    (("--out", "first", "--resume", "--seed", "6"), "changed: seed"),
    (("--out", "study.yaml"), "it is a file"),
    (("--out", "new", "--sampler", "archiv"), "did you mean 'archive'"),
    (("--out", "new", "--trials", "0"), "trials"),
    (("--out", "new", "--workers", "0"), "workers"),
    (("--out", "new", "--ray-address", "127.0.0.1:1"), "--ray-address"),
])
def test_bad_input_is_exit_2_and_writes_nothing(folder, args, said):
    before = sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.name != ".lock")
    done = dse("run", "study.yaml", *args, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert before == sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.name != ".lock")


def test_interrupted_is_exit_130_and_resumes_to_the_same_trials(folder, tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    out = tmp_path / "run"
    command = [sys.executable, "-c", "from dse.cli import main; main()", "run", "study.yaml", "--out", str(out),
               "--workers", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    journal = out / "journal.jsonl"
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 1):
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    if process.returncode == 130:
        assert "continue with: dse run study.yaml" in err
        assert "--resume" in err
        assert (out / "trials.csv").is_file()
    else:  # it was quicker than the signal
        assert process.returncode == 0
    done = dse("run", "study.yaml", "--out", out, "--workers", 1, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows_of(out / "trials.csv") == rows_of(folder / "first" / "trials.csv")
