"""`dse cost` as a user runs it."""

import csv
import gzip
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import command

DATA = Path(__file__).parents[1] / "data" / "costmodel"
ENGINE = {"rows": 32, "cols": 32, "dataflow": "ws", "sram_bytes": 524288, "dram_bytes_per_s": 16e9, "freq_hz": 1e9,
          "precision": "int8"}


def dse(*arguments):
    return command.dse(*arguments)


def engine_file(folder, **changes):
    path = folder / "engine.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in (ENGINE | changes).items()))
    return path


def topology(folder):
    """All matrix products and point-wise layers of the reference, as a SCALE-Sim GEMM topology."""
    with (DATA / "scalesim_layers.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if not row["FY"]]
    path = folder / "gemms.csv"
    lines = [",".join(row[key] for key in ("layer", "M", "N", "K")) + ",\n" for row in rows]
    path.write_text("Layer, M, N, K,\n" + "".join(lines))
    return path, [row["layer"] for row in rows]


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_scalesim_topology_gives_its_cycles(tmp_path, dataflow):
    path, names = topology(tmp_path)
    ran = dse("cost", path, "--engine", engine_file(tmp_path, dataflow=dataflow), "--json")
    assert ran.returncode == 0, ran.stderr
    rows = {row["name"]: row for row in json.loads(ran.stdout)["layers"]}
    assert list(rows) == names
    with gzip.open(DATA / "scalesim_runs.csv.gz", "rt") as file:
        compared = 0
        for run in csv.DictReader(file):
            array = (run["array_rows"], run["array_cols"], run["dataflow"])
            if run["layer"] in rows and array == ("32", "32", dataflow):
                cycles = int(run["total_cycles"]) - int(run["stall_cycles"]) + 1
                assert rows[run["layer"]]["compute_cycles"] == cycles
                compared += 1
    assert compared > 5


def test_json_has_the_promised_keys(tmp_path):
    ran = dse("cost", "resnet18", "--engine", engine_file(tmp_path), "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    for row in found["layers"]:
        assert {"name", "compute_cycles", "cycles", "latency_s", "dram_read_bytes", "dram_write_bytes", "sram_bytes",
                "energy_j", "utilisation_frac", "mapping", "limited_by"} <= set(row)
        assert row["limited_by"] in ("compute", "dram", "sram", "vector", "noc")
        assert row["latency_s"] * 16e9 >= (row["dram_read_bytes"] + row["dram_write_bytes"]) * (1 - 1e-9)
    assert found["totals"]["latency_s"] == pytest.approx(sum(row["latency_s"] for row in found["layers"]))
    assert found["totals"]["energy_j"] == pytest.approx(sum(row["energy_j"] for row in found["layers"]))


def test_text_and_objective(tmp_path):
    ran = dse("cost", "resnet18", "--engine", engine_file(tmp_path), "--objective", "dram_bytes")
    assert ran.returncode == 0
    assert "layer4.1.conv2" in ran.stdout
    assert ran.stdout.splitlines()[-2].startswith("total")


@pytest.mark.parametrize(("changes", "said"), [
    ({"rows": 0}, "rows"), ({"dataflow": "xs"}, "dataflow"), ({"dram_bytes_per_s": -1}, "dram_bytes_per_s"),
    ({"sram_bytes": 16}, "sram_bytes: must be >= "),
])
def test_bad_engines_are_one_message(tmp_path, changes, said):
    ran = dse("cost", "resnet18", "--engine", engine_file(tmp_path, **changes), "--json")
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("arguments", [("resnet81",), ("resnet18", "--objective", "speed"), ("missing.csv",)])
def test_bad_arguments(tmp_path, arguments):
    ran = dse("cost", *arguments, "--engine", engine_file(tmp_path))
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr


def test_precision_option(tmp_path):
    bytes_at = {}
    for precision in ("engine", "int4"):
        ran = dse("cost", "resnet18", "--engine", engine_file(tmp_path), "--precision", precision, "--json")
        bytes_at[precision] = json.loads(ran.stdout)["totals"]["dram_read_bytes"]
    assert bytes_at["int4"] < bytes_at["engine"]
