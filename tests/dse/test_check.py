"""`dse check`."""

import json

import pytest

from dse.cli import main

ENGINE = "kind: engine\nrows: 8\ncols: 8\ndataflow: ws\nsram_bytes: 1024\ndram_bytes_per_s: 1e9\nfreq_hz: 1e9\n"
DESIGN = ("kind: design\narchitecture: time_mux\nfreq_hz: 1e9\ndram_bytes_per_s: 1e9\npolicy: edf\n"
          "engines: [{rows: 8, cols: 8, dataflow: ws, sram_bytes: 1024}]\n")
WORKLOAD = "kind: workload\nname: one\ntenants: [{name: a, network: res8, traffic: {kind: poisson, rate_hz: 9}}]\n"
STUDY = "kind: study\nname: s\nworkload: ar_gaming\nobjectives: [area_mm2]\nbudgets: {power_w: 2, area_mm2: 40}\n" \
    "space: {architectures: [time_mux], policies: [edf], domains: {rows: [16], cols: [16]}}\n"


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(text, *flags):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(SystemExit) as end:
            main(["check", "x.yaml", *flags])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


@pytest.mark.parametrize(("text", "summary"), [
    (ENGINE, "engine, 8 x 8 ws"),
    (ENGINE.removeprefix("kind: engine\n"), "engine, 8 x 8 ws"),
    (DESIGN, "design, time_mux under edf"),
    (WORKLOAD, "workload 'one', 1 tenant"),
])
def test_good_files(check, text, summary):
    assert check(text) == (0, f"x.yaml: ok ({summary})\n", "")


def test_a_good_study_with_remarks(check):
    code, out, err = check(STUDY)
    # frequency 2 x bandwidth 4 x dataflow 3 x SRAM 6 x lanes 3 x scheduler 2
    assert (code, out) == (0, "x.yaml: ok (study 's', 864 designs, 1 objective, 2 budgets)\n")
    assert all(line.startswith("note: ") for line in err.splitlines())


def test_bad_file(check):
    code, out, err = check(ENGINE.replace("rows: 8", "rows: -8").replace("cols", "colls"))
    assert (code, out) == (2, "")
    assert err == (
        "x.yaml:1:1: cols: missing key, must be an integer >= 1\n"
        "    kind: engine\n"
        "    ^\n"
        "x.yaml:2:7: rows: must be an integer >= 1, got -8\n"
        "    rows: -8\n"
        "          ^\n"
        "x.yaml:3:1: colls: unknown key (did you mean 'cols'?)\n"
        "    colls: 8\n"
        "    ^\n"
        "3 errors\n"
    )


def test_json_of_a_good_file(check):
    code, out, err = check(WORKLOAD, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"file": "x.yaml", "ok": True, "kind": "workload", "problems": [], "notes": [],
                               "summary": "workload 'one', 1 tenant"}


def test_json_of_a_bad_file(check):
    code, out, err = check(WORKLOAD.replace("res8", "res9"), "--json")
    assert (code, err) == (2, "")
    answer = json.loads(out)
    assert answer["ok"] is False
    (problem,) = answer["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("x.yaml", 3, 30)
    assert (problem["field"], problem["hint"]) == ("tenants[0].network", "did you mean 'res8'?")


def test_missing_file(capsys):
    with pytest.raises(SystemExit) as end:
        main(["check", "nowhere/nothing.yaml"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "nowhere/nothing.yaml: must be an existing file, got none\n"
