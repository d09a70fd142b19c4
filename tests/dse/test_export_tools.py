"""Exports for other tools, and report and exports of a small real run."""

import configparser
import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import yaml

from dse.errors import InputError
from dse.exporters.perfetto import trace_events
from dse.exporters.scalesim import config, topology
from dse.readers.scalesim import read_topology
from dse.report.detail import assign_tracks, detail_payload
from hwmodels.architectures import Composable, Heterogeneous, TimeMux
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.evaluate import evaluate_detail
from hwmodels.network import Layer, Network
from hwmodels.networks import network
from hwmodels.workload import Tenant, Traffic, Workload


def engine(**changes):
    return Engine(**{"rows": 16, "cols": 16, "dataflow": "ws", "sram_bytes": 262144, "dram_bytes_per_s": 8e9,
                     "freq_hz": 5e8, **changes})


def workload():
    """Two networks, enough load that requests meet."""
    res8 = network("res8")
    small = Network(name="small", layers=tuple(
        Layer(name=f"conv{i}", op="conv", k=64, c=64, oy=28, ox=28, fy=3, fx=3, pad_y=2, pad_x=2) for i in range(4)))
    return Workload(name="two", duration_s=0.05, tenants=(
        Tenant(name="words", network=res8, traffic=Traffic(kind="poisson", rate_hz=900.0)),
        Tenant(name="frames", network=small, traffic=Traffic(kind="periodic", rate_hz=120.0))))


DESIGNS = {
    "time_mux": Design(architecture=TimeMux(engine=engine()), policy="edf"),
    "composable": Design(architecture=Composable(engine=engine(), subarrays=4), policy="edf"),
    "heterogeneous": Design(architecture=Heterogeneous(engines=(engine(), engine(dataflow="os", rows=8))),
                            policy="fcfs"),
}


@pytest.fixture(scope="module", params=list(DESIGNS))
def detail(request):
    return evaluate_detail(DESIGNS[request.param], workload(), seed=1)


def test_slices_of_a_track_never_overlap(detail):
    tracks = {}
    for event in trace_events(detail, workload()):
        if event["ph"] == "X":
            tracks.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    assert tracks
    for spans in tracks.values():
        spans.sort()
        assert all(end <= start + 1e-3 for (_, end), (start, _) in pairwise(spans))  # 1e-3 us


def test_slices_add_up_to_the_busy_time(detail):
    slots = detail.prepared.chip.slots
    events = trace_events(detail, workload())
    names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"
             and e["pid"] == 1}
    for index, slot in enumerate(slots):
        busy_s = sum(e["dur"] * e["args"]["units"] / slot.units for e in events
                     if e["ph"] == "X" and names[e["tid"]].split(" lane")[0] == slot.name) / 1e6
        assert busy_s == pytest.approx(detail.records.engine_busy_s[index], rel=1e-6)


def test_every_finished_request_has_its_slice(detail):
    events = trace_events(detail, workload())
    begins = {e["id"]: e["ts"] for e in events if e["ph"] == "b"}
    ends = {e["id"]: e["ts"] for e in events if e["ph"] == "e"}
    finished = np.flatnonzero(np.isfinite(detail.records.finish_s))
    assert set(begins) == set(ends) == set(finished.tolist())
    for r in finished:
        assert ends[r] == pytest.approx(detail.records.finish_s[r] * 1e6)
    counts = [e["args"]["requests"] for e in events if e["ph"] == "C"]
    assert min(counts) == 0
    assert counts[-1] == 0


def test_flow_arrows_come_in_pairs(detail):
    events = trace_events(detail, workload())
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    for end in (e for e in events if e["ph"] == "f"):
        assert starts.pop(end["id"])["ts"] <= end["ts"]
    assert not starts


def test_tracks_of_spans():
    names, at = assign_tracks(np.array([0.0, 1.0, 2.0, 2.0]), np.array([2.0, 3.0, 4.0, 9.0]),
                              np.array([0.0, 0.0, 0.0, 1.0]), ["a", "b"])
    assert names == ["a lane 1", "a lane 2", "b"]
    assert at == [0, 1, 0, 2]


def test_details_agree_with_the_records(detail):
    found = detail_payload(detail, workload())
    json.dumps(found, allow_nan=False)
    assert found["tenants"] == ["words", "frames"]
    assert sum(v for v in found["area_mm2"].values()) == pytest.approx(detail.outcome.metrics["area_mm2"], rel=1e-3)
    for shares in found["time_frac"].values():
        assert sum(shares.values()) == pytest.approx(1.0, abs=0.01)
    points = found["roofline"]
    top = max(r["macs_per_s"] for r in points["roofs"])
    assert max(points["macs_per_s"]) <= top * 1.001
    latency = found["latency"]["words"]
    assert latency["latency_s"] == sorted(latency["latency_s"])
    assert latency["latency_s"][-1] == pytest.approx(detail.outcome.tenants["words"]["max_latency_s"], rel=1e-3)
    busy = np.array(found["heat"]["busy"]).mean(axis=1) * found["heat"]["end_s"]
    assert busy == pytest.approx(detail.records.engine_busy_s, rel=0.01)


@pytest.mark.parametrize("name", ["res8", "alexnet", "mobilenet_v1", "resnet50"])
def test_a_topology_reads_back_with_the_same_macs(name, tmp_path):
    file = tmp_path / f"{name}.csv"
    file.write_text(topology(network(name)))
    read = read_topology(file)
    assert read.network.macs == network(name).macs
    assert not read.notes


def test_rows_of_a_topology():
    layers = (Layer(name="a,DP", op="conv", k=8, c=3, oy=10, ox=12, fy=3, fx=5, stride_y=2, stride_x=2, pad_y=1),
              Layer(name="b", op="depthwise", groups=2, k=1, c=1, oy=4, ox=4, fy=3, fx=3),
              Layer(name="c", op="gemm", oy=7, k=5, c=11), Layer(name="d", op="pool", in_elements=4, out_elements=2))
    lines = topology(Network(name="n", layers=layers)).splitlines()[1:]
    assert lines == ["a;Dp, 21, 27, 3, 5, 3, 8, 2,", "b_0, 6, 6, 3, 3, 1, 1, 1,", "b_1, 6, 6, 3, 3, 1, 1, 1,",
                     "c, 7, 1, 1, 1, 11, 5, 1,"]


def test_configuration_of_an_engine():
    parser = configparser.ConfigParser()
    parser.read_string(config(engine(rows=8, dataflow="os"), "e"))
    presets = parser["architecture_presets"]
    assert (presets["ArrayHeight"], presets["ArrayWidth"], presets["Dataflow"]) == ("8", "16", "os")
    assert presets["IfmapSramSzkB"] == "85"  # 256 KiB in three
    assert presets["Bandwidth"] == "16"  # 8 GB/s at 0.5 GHz, one byte a word
    with pytest.raises(InputError, match="must be one of ws, os, is for SCALE-Sim, got 'rs'"):
        config(engine(dataflow="rs"), "e")


def dse(*arguments):
    return subprocess.run([sys.executable, "-c", "from dse.cli import main; main()", *map(str, arguments)],
                          capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A finished run of a study that takes seconds."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "study.yaml").write_text(yaml.safe_dump({
        "kind": "study", "name": "small", "objectives": ["area_mm2", "p99_latency_s"], "budgets": {"area_mm2": 60},
        "workload": {"kind": "workload", "name": "one", "duration_s": 0.05, "tenants": [
            {"name": "words", "network": "res8", "traffic": {"kind": "periodic", "rate_hz": 200}}]},
        "space": {"domains": {"rows": [16, 32], "cols": [16], "sram_bytes": [262144]}},
        "search": {"sampler": "random", "trials": 12, "seed": 3}}))
    done = dse("run", folder / "study.yaml", "--out", folder / "run", "--workers", "1")
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_run_ends_with_advice_and_the_path_of_the_report(real):
    folder, done = real
    assert " wins: trial " in done.stdout
    assert done.stdout.splitlines()[-1] == f"report: {folder / 'run' / 'report.html'}"
    text = (folder / "run" / "report.html").read_text()
    data = json.loads(text[text.index('id="data">') + len('id="data">'):].split("</script>")[0])
    assert data["details"]
    first = data["details"][str(data["advice"]["trial"])]
    assert first["timeline"]["shown"] > 0
    assert first["latency"]["words"]["finished"] == 10


def test_an_exported_design_evaluates_to_the_metrics_of_its_trial(real, tmp_path):
    folder, _ = real
    assert dse("export", folder / "run", "--format", "json", "--out", tmp_path / "front.json").returncode == 0
    entries = json.loads((tmp_path / "front.json").read_text())
    dominated = min(set(range(12)) - {e["trial"] for e in entries})
    workload_file = tmp_path / "w.yaml"
    workload_file.write_text(yaml.safe_dump(yaml.safe_load((folder / "study.yaml").read_text())["workload"]))
    for trial in (entries[0]["trial"], dominated):  # one from best/, one made from its parameters
        out = tmp_path / f"{trial}.yaml"
        assert dse("export", folder / "run", "--format", "yaml", "--trial", trial, "--out", out).returncode == 0
        done = dse("evaluate", out, "--workload", workload_file, "--json")
        assert done.returncode == 0, done.stderr
        metrics = json.loads(done.stdout)["metrics"]
        csv_out = tmp_path / f"{trial}.json"
        assert dse("export", folder / "run", "--format", "json", "--trial", trial, "--out", csv_out).returncode == 0
        assert json.loads(csv_out.read_text())[0]["metrics"] == metrics


def test_tool_exports_of_a_run(real, tmp_path):
    folder, _ = real
    assert dse("export", folder / "run", "--format", "perfetto", "--out", tmp_path / "trace.json").returncode == 0
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace["otherData"]["seed"] == 3
    assert any(e["ph"] == "X" for e in trace["traceEvents"])
    done = dse("export", folder / "run", "--format", "scalesim", "--out", tmp_path / "scalesim")
    assert done.returncode == 0
    assert "does not hold" in done.stderr
    assert read_topology(tmp_path / "scalesim" / "res8.csv").network.macs == network("res8").macs
    assert list((tmp_path / "scalesim").glob("*.cfg"))
    front = len(list((folder / "run" / "best").glob("*.yaml")))
    done = dse("export", folder / "run", "--format", "perfetto", "--top", "2", "--out", tmp_path / "two.json")
    assert done.returncode == (2 if front > 1 else 0)
    assert (tmp_path / "two.json").exists() == (front == 1)


@pytest.mark.parametrize(("fmt", "files"), [
    ("zigzag", {"accelerator", "workload", "mapping", "NOTES.txt", "design.yaml"}),
    ("stream", {"accelerator.yaml", "cores", "design.yaml"}),
    ("timeloop", {"architecture", "problem", "NOTES.txt", "design.yaml"}),
    ("accelforge", {"arch", "workload", "NOTES.txt", "design.yaml"}),
    ("onnxim", {"config.json", "models_list.json", "NOTES.txt", "design.yaml"}),
    ("scalesim", {"engine.cfg", "res8.csv", "layout", "NOTES.txt", "design.yaml"}),
])
def test_a_trial_of_a_run_for_every_tool(real, tmp_path, fmt, files):
    folder, _ = real
    trials = (folder / "run" / "trials.csv").read_text().splitlines()
    places = trials[0].split(",")
    trial = next(cells[0] for cells in (line.split(",") for line in trials[1:])
                 if dict(zip(places, cells, strict=False))["params.architecture"] == "time_mux"
                 and dict(zip(places, cells, strict=False))["params.dataflow"] in ("ws", "os"))
    done = dse("export", folder / "run", "--format", fmt, "--trial", trial, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert f"{fmt} does not hold" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    assert f"trial: {trial}" in (tmp_path / "out" / "design.yaml").read_text()
