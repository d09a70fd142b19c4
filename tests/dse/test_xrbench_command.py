"""`dse xrbench` and `dse capacity`: the public software's scores through the command; rates by hand."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest

from dse.cli import _run
from hwmodels.capacity import requests_for_tail

spec = importlib.util.spec_from_file_location("reference", Path(__file__).parents[1] / "hwmodels" / "test_xrbench.py")
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

DESIGN = """\
kind: design
architecture: {}
freq_hz: 1e9
dram_bytes_per_s: 64e9
engines:
{}
policy: edf
"""
ENGINE = "  - {rows: 64, cols: 64, dataflow: ws, sram_bytes: 2097152}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("one.yaml").write_text(DESIGN.format("time_mux", ENGINE))
    Path("two.yaml").write_text(DESIGN.format("heterogeneous", ENGINE + ENGINE.replace("flow: ws", "flow: os")).replace(
        "edf", "fcfs"))
    return tmp_path


def dse(capsys, *args):
    code = _run(list(args))
    done = capsys.readouterr()
    return code, done.out, done.err


def case_files(case):
    """The scenario and the measured latencies of a reference case, as a user would write them."""
    rows = list(reference.SCORES[case].values())
    lines = [f"kind: workload\nname: {rows[0]['workload']}\nduration_s: 0.7\ntenants:"]
    for name, (fps, parent) in reference.SCENARIOS[rows[0]["workload"]].items():
        source = f"traffic: {{kind: periodic, rate_hz: {fps}}}" if parent is None else f"after: {parent}"
        lines.append(f"  - {{name: {name}, network: res8, {source}}}")
    Path("scenario.yaml").write_text("\n".join(lines) + "\n")
    with Path("latencies.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("network", "engine", "latency_ms", "energy_mj"))
        for network in reference.scenario(case):
            for engine, pair in enumerate(zip(network.latency_ms, network.energy_mj, strict=True)):
                table.writerow((network.name, f"engine{engine}", *map(repr, pair)))
    skipped = rows[0]["asr_frames_not_injected"].split()
    return ["--skip", f"ASR_EM_24L={','.join(skipped)}"] if "ASR_EM_24L" in reference.SCENARIOS[rows[0]["workload"]] \
        else []


@pytest.mark.parametrize("case", [case for case in reference.SCORES
                                  if next(iter(reference.SCORES[case].values()))["workload"] in reference.SCENARIOS])
def test_reference_scores(folder, capsys, case):
    skip = case_files(case)
    code, out, err = dse(capsys, "xrbench", "--workload", "scenario.yaml", "--latencies", "latencies.csv", "--strict",
                         "--json", *skip)
    assert code == 0, err
    found = json.loads(out)
    for name, row in reference.SCORES[case].items():
        mine = found["networks"][name]
        assert (mine["completed"], mine["dropped"]) == (int(row["frames_completed"]), int(row["frames_dropped"]))
        assert mine["realtime"] == pytest.approx(float(row["realtime_score"]), abs=1e-5)
        assert mine["energy"] == pytest.approx(float(row["energy_score"]), abs=1e-5)
    assert found["overall"] == pytest.approx(float(row["overall_score"]), abs=2e-4)


@pytest.mark.parametrize("design", ["one.yaml", "two.yaml"])
def test_both_ways_on_a_design(folder, capsys, design):
    scores = []
    for strict in ([], ["--strict"]):
        code, out, err = dse(capsys, "xrbench", design, "--workload", "vr_gaming", "--json", *strict)
        assert code == 0, err
        found = json.loads(out)
        scores.append(found["overall"])
        frames = {name: each["completed"] + each["dropped"] for name, each in found["networks"].items()}
        # 3 s of 60 Hz; 700 // 16, of which the last may still run at the end
        assert frames["eye_segmentation"] in ((42, 43) if strict else (180,))
    assert scores == pytest.approx([max(scores)] * 2, abs=3.0)
    assert scores[0] > 90.0  # an engine of 4096 PEs is fast enough for three small networks


@pytest.mark.parametrize(("args", "message"), [
    ([], "must be given, one of the two"),
    (["--latencies", "l.csv"], "must be given with --strict"),
    (["--latencies", "l.csv", "--strict"], "l.csv:2: column latency_ms: must be a number > 0, got 'x'"),
    (["--latencies", "gone.csv", "--strict"], "gone.csv"),
    (["one.yaml", "--strict", "--skip", "gaze_estimatio=1"], "did you mean 'gaze_estimation'?"),
    (["one.yaml", "--strict", "--skip", "gaze_estimation=x"], "must be TENANT=FRAME"),
])
def test_mistakes(folder, capsys, args, message):
    Path("l.csv").write_text("network,engine,latency_ms,energy_mj\nhand_tracking,a,x,1\n")
    code, _, err = dse(capsys, "xrbench", "--workload", "vr_gaming", *args)
    assert code == 2
    assert message in err


LOAD = ("kind: workload\nname: one\nduration_s: 2\ntenants:\n"
        "  - {{name: cam, network: resnet18, traffic: {}, service: {}}}\n")


def test_capacity_of_a_periodic_tenant_is_one_over_its_latency(folder, capsys):
    """Back to back requests of one network with a deadline of two latencies: the queue is stable up to 1 / latency."""
    Path("w.yaml").write_text(LOAD.format("{kind: periodic, rate_hz: 30}", "{deadline_x_isolated: 2}"))
    code, out, err = dse(capsys, "capacity", "one.yaml", "--workload", "w.yaml", "--json", "--tolerance", "0.002")
    assert code == 0, err
    found = json.loads(out)
    cam = found["tenants"][0]
    isolated = cam["deadline_s"] / 2.0
    assert cam["rate_hz"] == pytest.approx(found["factor"] * 30)
    assert 0.97 < cam["rate_hz"] * isolated < 1.03
    assert found["factor"] < found["fails_at"] <= found["factor"] * 1.0021
    assert cam["latency_s"] <= cam["deadline_s"]


def test_capacity_with_poisson_arrivals_says_what_the_tail_wants(folder, capsys):
    Path("w.yaml").write_text(LOAD.format("{kind: poisson, rate_hz: 30}", "{deadline_s: 0.02}"))
    code, out, err = dse(capsys, "capacity", "one.yaml", "--workload", "w.yaml", "--tolerance", "0.05")
    assert code == 0, err
    assert "times the rates of 'one' pass" in out
    assert "wants 262,742 requests" in err
    assert [requests_for_tail(p) for p in (90, 95, 97, 99, 100)] == [23886, 50425, 85811, 262742, 0]


def test_no_rate_and_no_deadline(folder, capsys):
    Path("w.yaml").write_text(LOAD.format("{kind: poisson, rate_hz: 30}", "{deadline_s: 1e-7}"))
    code, _, err = dse(capsys, "capacity", "one.yaml", "--workload", "w.yaml")
    assert code == 3
    assert "no rate meets" in err
    Path("w.yaml").write_text(LOAD.format("{kind: poisson, rate_hz: 30}", "{}"))
    code, _, err = dse(capsys, "capacity", "one.yaml", "--workload", "w.yaml")
    assert code == 2
    assert "deadline" in err


def test_every_network_alone(folder, capsys):
    Path("w.yaml").write_text(LOAD.format("{kind: periodic, rate_hz: 30}", "{}"))
    asked = ("capacity", "one.yaml", "--workload", "w.yaml", "--queries", "3", "--scenario")
    code, out, err = dse(capsys, *asked, "offline", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["queries"], found["samples_per_query"]) == (1, 3)
    code, out, err = dse(capsys, *asked, "single_stream", "--json")
    latency = json.loads(out)["tenants"][0]["p90_latency_s"]
    assert found["tenants"][0]["throughput_per_s"] * latency == pytest.approx(1.0)
    code, out, err = dse(capsys, *asked, "multi_stream")
    assert (code, out.splitlines()[1].split()) == (0, ["tenant", "p99_latency", "ms"])
    code, _, err = dse(capsys, *asked, "ofline")
    assert (code, "did you mean 'offline'?" in err) == (2, True)
