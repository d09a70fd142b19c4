"""`dse front` on the command line: exit codes, files, JSON, and the check of a certificate."""

import json
import os
import signal

import pytest

from dse.cli import main
from dse.documents import load_study
from dse.front_worker import BlockEvaluator

STUDY = """\
kind: study
name: tiny
workload:
  kind: workload
  name: words
  duration_s: 0.2
  tenants:
    - {name: words, network: res8, traffic: {kind: periodic, rate_hz: 100}, service: {deadline_s: 0.005}}
    - {name: more, network: res8, traffic: {kind: poisson, rate_hz: 100}, service: {deadline_s: 0.005}}
objectives: [area_mm2, p99_deadline_frac]
budgets: {area_mm2: 0.5}
space:
  architectures: [time_mux]
  policies: [fcfs, edf]
  domains:
    freq_hz: [0.5e+9]
    dram_bytes_per_s: [2.0e+9]
    rows: [8, 16, 32]
    cols: [16]
    dataflow: [ws]
    sram_bytes: [65536, 524288]
    vector_lanes: [32]
"""


@pytest.fixture
def dse(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(STUDY)

    def run(*args):
        with pytest.raises(SystemExit) as end:
            main(["front", *args])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


def test_front_and_check(dse, tmp_path):
    code, out, _ = dse("study.yaml", "--out", "run", "--workers", "1", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["exact"]
    assert answer["n_designs"] == load_study(tmp_path / "study.yaml").space.size() == 24
    assert (answer["n_proven_infeasible"] + answer["n_proven_dominated"] + answer["n_simulated"]
            + answer["n_simulated_in_part"] + answer["n_undecided"]) == 24
    assert answer["never_simulated_frac"] == 1 - (answer["n_simulated"] + answer["n_simulated_in_part"]) / 24
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"study.yaml", "manifest.json", "trials.csv", "front.csv", "certificate.json", "report.html",
                     "best"}
    assert len(list((tmp_path / "run" / "best").iterdir())) == len(answer["front"])
    for front in answer["front"]:
        assert front["metrics"]["area_mm2"] <= 0.5
    code, out, _ = dse("--check", "run", "--all")
    assert (code, "the certificate holds" in out) == (0, True)
    code, out, _ = dse("study.yaml", "--out", "run", "--workers", "1", "--resume")
    assert code == 0
    assert out.startswith(f"exact front: {len(answer['front'])} designs")
    proof = json.loads((tmp_path / "run" / "certificate.json").read_text())
    proof["front"] = proof["front"][1:]
    (tmp_path / "run" / "certificate.json").write_text(json.dumps(proof))
    code, out, _ = dse("--check", "run", "--json")
    assert code == 1
    assert not json.loads(out)["holds"]


@pytest.fixture
def _interruptible():
    """Ctrl-C as in a terminal; where tests run in the background it may be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_saves_and_resume_ends_alike(dse, tmp_path, monkeypatch):
    original, called = BlockEvaluator.__call__, []

    def interrupting(self, params):
        called.append(params)
        if len(called) == 3:  # the first bounds, a hardware, and then
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, params)

    code, out, _ = dse("study.yaml", "--out", "whole", "--workers", "1", "--json")
    assert code == 0
    assert json.loads(out)["n_simulated"] > 1
    monkeypatch.setattr(BlockEvaluator, "__call__", interrupting)
    code, out, err = dse("study.yaml", "--out", "run", "--workers", "1")
    assert (code, len(called)) == (130, 3)
    assert out.startswith("front so far")
    assert "--resume" in err
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["state"] == "interrupted"
    assert dse("--check", "run", "--all")[0] == 0
    code, out, _ = dse("study.yaml", "--out", "run", "--workers", "1", "--resume")
    assert (code, out.startswith("exact front")) == (0, True)
    assert (tmp_path / "run" / "front.csv").read_bytes() == (tmp_path / "whole" / "front.csv").read_bytes()


def test_nothing_feasible_ends_with_three(dse, tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY.replace("area_mm2: 0.5", "area_mm2: 0.001"))
    code, out, _ = dse("study.yaml", "--out", "run", "--workers", "1")
    assert code == 3
    assert "exact front: 0 designs" in out
    assert "no design meets budgets.area_mm2 = 0.001: it is at least 0." in out
    code, out, _ = dse("study.yaml", "--out", "run", "--workers", "1", "--resume", "--json")
    least = json.loads(out)["unreachable_budgets"]["area_mm2"]
    (tmp_path / "study.yaml").write_text(STUDY.replace("area_mm2: 0.5", f"area_mm2: {least}"))
    code, out, _ = dse("study.yaml", "--out", "least", "--workers", "1", "--json")
    assert json.loads(out)["unreachable_budgets"] == {}
    assert json.loads(out)["front"][0]["metrics"]["area_mm2"] == least


def test_out_of_time_says_what_is_missing(dse, tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY.replace("{area_mm2: 0.5}", "{area_mm2: 0.5, p99_deadline_frac: 1.0}"))
    code, out, _ = dse("study.yaml", "--out", "run", "--workers", "1", "--budget-s", "1e-6", "--json")
    answer = json.loads(out)
    assert code == 0
    assert not answer["exact"]
    assert answer["n_undecided"] > 0
    assert 0.0 < answer["hypervolume_gap"] <= 1.0  # share of the box between zero and the budgets
    assert dse("--check", "run")[0] == 0


def test_a_space_too_large_gives_a_front_and_a_bound(dse, tmp_path):
    text = STUDY.replace("{area_mm2: 0.5}", "{area_mm2: 0.5, p99_deadline_frac: 1.0}")
    (tmp_path / "study.yaml").write_text(text.replace("[2.0e+9]", "{low: 1.0e+9, high: 4.0e+9, log: true}"))
    code, out, _ = dse("study.yaml", "--out", "run", "--workers", "1", "--budget-s", "3", "--json")
    answer = json.loads(out)
    assert code == 0
    assert not answer["exact"]
    assert 0.0 <= answer["decided_frac"] < 1.0
    assert 0.0 < answer["hypervolume_gap"] <= 1.0
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"front.csv", "certificate.json", "report.html"}
    code, out, _ = dse("--check", "run", "--json")
    assert (code, json.loads(out)["holds"]) == (0, True)


@pytest.mark.parametrize("content", ["{}\n", "not json\n", '{"kind": "dse-journal", "format": 1}\n'])
def test_corrupt_and_foreign_runs_are_named(dse, tmp_path, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "journal.jsonl").write_text(content)
    code, out, err = dse("study.yaml", "--out", "run", "--workers", "1", "--resume")
    assert (code, out) == (2, "")
    assert "run" in err
    assert "Traceback" not in err
    assert (tmp_path / "run" / "journal.jsonl").read_text() == content


@pytest.mark.parametrize(("args", "message"), [
    ((), "STUDY"),
    (("study.yaml", "--check", "run"), "one of the two"),
    (("study.yaml", "--workers", "0"), "--workers"),
    (("study.yaml", "--budget-s", "0"), "--budget-s"),
    (("missing.yaml",), "missing.yaml"),
    (("--check", "nowhere"), "certificate.json"),
])
def test_bad_input_ends_with_two(dse, args, message):
    code, out, err = dse(*args)
    assert code == 2
    assert message in err
    assert out == ""


def test_another_study_does_not_take_over_a_run(dse, tmp_path):
    assert dse("study.yaml", "--out", "run", "--workers", "1")[0] == 0
    (tmp_path / "study.yaml").write_text(STUDY.replace("area_mm2: 0.5", "area_mm2: 0.4"))
    code, _, err = dse("study.yaml", "--out", "run", "--workers", "1", "--resume")
    assert code == 2
    assert "another --out" in err
    code, _, err = dse("study.yaml", "--out", "run", "--workers", "1")
    assert (code, "--resume" in err) == (2, True)
