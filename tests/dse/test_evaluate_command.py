"""`dse evaluate`: the same numbers as the function, violations against SLOs and recorded budgets."""

import json

import numpy as np
import pytest

from dse.cli import main
from dse.documents import dump_design, load_design, load_workload
from hwmodels.evaluate import evaluate

DESIGN = """\
kind: design
architecture: time_mux
freq_hz: 1e9
dram_bytes_per_s: 16e9
engines: [{rows: 32, cols: 32, dataflow: ws, sram_bytes: 524288}]
policy: edf
"""
WORKLOAD = """\
kind: workload
name: mix
duration_s: 0.2
tenants:
  - {name: words, network: res8, traffic: {kind: poisson, rate_hz: 400}, service: {deadline_s: 0.00001, percentile: 90}}
  - {name: cam, network: resnet18, traffic: {kind: periodic, rate_hz: 20}}
  - {name: free, network: ncf, traffic: {kind: poisson, rate_hz: 30}}
"""


@pytest.fixture
def dse(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "design.yaml").write_text(DESIGN)
    (tmp_path / "load.yaml").write_text(WORKLOAD)

    def run(*args):
        with pytest.raises(SystemExit) as end:
            main(["evaluate", *args])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


def answer(dse, *args):
    code, out, err = dse(*args, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_same_as_the_function(dse):
    got = answer(dse, "design.yaml", "--workload", "load.yaml", "--seed", "7")
    want = evaluate(load_design("design.yaml"), load_workload("load.yaml"), seed=7)
    assert got["status"] == "ok"
    assert got["metrics"] == want.shown
    assert list(got["tenants"]) == ["words", "cam", "free"]
    assert got["tenants"]["cam"] == want.tenants["cam"]
    assert got["breakdown"]["area_mm2"] == want.breakdown["area_mm2"]
    assert set(got) >= {"status", "metrics", "tenants", "violations", "breakdown"}


def test_violations_are_latency_at_the_percentile_minus_deadline(dse):
    got = answer(dse, "design.yaml", "--workload", "load.yaml")
    assert set(got["violations"]) == {"words.slo_s", "cam.slo_s"}
    # a periodic tenant without a deadline is due within its period; its percentile is the 99th
    assert got["violations"]["cam.slo_s"] == pytest.approx(got["tenants"]["cam"]["p99_latency_s"] - 1 / 20, abs=1e-12)
    assert got["violations"]["words.slo_s"] == pytest.approx(
        (1 + got["tenants"]["words"]["slo_miss_frac"]) * 1e-5 - 1e-5, abs=1e-12)
    assert got["violations"]["words.slo_s"] > 0.0


def test_recorded_seed_and_budgets(dse, tmp_path):
    budgets = {"area_mm2": 1.0, "throughput_per_s": 1e9, "cam.p99_latency_s": 1.0}
    (tmp_path / "best.yaml").write_text(dump_design(load_design("design.yaml"), seed=7,
                                                    provenance={"budgets": budgets}))
    got = answer(dse, "best.yaml", "--workload", "load.yaml")
    assert got["metrics"] == answer(dse, "design.yaml", "--workload", "load.yaml", "--seed", "7")["metrics"]
    assert got["metrics"] != answer(dse, "best.yaml", "--workload", "load.yaml", "--seed", "8")["metrics"]
    assert got["seed"] == 7
    assert got["violations"]["area_mm2"] == got["metrics"]["area_mm2"] - 1.0
    assert got["violations"]["throughput_per_s"] == 1e9 - got["metrics"]["throughput_per_s"]
    assert got["violations"]["cam.p99_latency_s"] == got["tenants"]["cam"]["p99_latency_s"] - 1.0


def test_text(dse):
    code, out, err = dse("design.yaml", "--workload", "load.yaml")
    assert (code, err) == (0, "")
    assert out.startswith("design.yaml under workload 'mix', seed 0: ok\n")
    assert "area_mm2" in out
    assert out.splitlines()[-1].startswith("  violated: words.slo_s by ")


def test_shipped_workload_and_workload_of_a_study(dse, tmp_path):
    (tmp_path / "study.yaml").write_text("kind: study\nname: s\nworkload: load.yaml\nobjectives: [area_mm2]\n")
    by_study = answer(dse, "design.yaml", "--workload", "study.yaml")
    assert by_study == answer(dse, "design.yaml", "--workload", "load.yaml")


def test_a_design_that_contradicts_the_workload(dse, tmp_path):
    (tmp_path / "own.yaml").write_text(DESIGN.replace("time_mux", "dedicated").replace(
        "sram_bytes: 524288}", "sram_bytes: 524288, tenant: cam, dram_frac: 1}"))
    code, out, err = dse("own.yaml", "--workload", "load.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("own.yaml:5:")
    assert "engines" in err
    assert "no engine for 'words'" in err


def test_errors_of_both_files_at_once(dse, tmp_path):
    (tmp_path / "design.yaml").write_text(DESIGN.replace("rows: 32", "rows: 0"))
    (tmp_path / "load.yaml").write_text(WORKLOAD.replace("ncf", "ncff"))
    code, out, err = dse("design.yaml", "--workload", "load.yaml")
    assert (code, out) == (2, "")
    assert "design.yaml:5:18: engines[0].rows: must be an integer >= 1, got 0" in err
    assert "load.yaml:7:27: tenants[2].network: " in err
    assert err.endswith("2 errors\n")


@pytest.mark.parametrize(("args", "message"), [
    (("nothing.yaml", "--workload", "load.yaml"), "nothing.yaml: must be an existing file, got none"),
    (("design.yaml", "--workload", "lod.yaml"),
     "--workload: must be a workload file or a name of `dse list workloads`, "
     "got 'lod.yaml' (did you mean 'load.yaml'?)"),
    (("design.yaml", "--workload", "design.yaml"),
     "design.yaml:1:7: kind: must be one of workload, study, got 'design'"),
    (("load.yaml", "--workload", "load.yaml"), "load.yaml:1:7: kind: must be design, got 'workload'"),
])
def test_wrong_files(dse, args, message):
    code, out, err = dse(*args)
    assert (code, out) == (2, "")
    assert err.startswith(message)


def test_json_has_null_for_what_is_not_finite(dse, tmp_path):
    (tmp_path / "load.yaml").write_text(WORKLOAD.replace("deadline_s: 0.00001", "deadline_s: 0.00001, drop_late: true"))
    code, out, _ = dse("design.yaml", "--workload", "load.yaml", "--json")
    assert code == 0
    values = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    numbers = [value for value in values["metrics"].values() if value is not None]
    assert np.isfinite(numbers).all()
