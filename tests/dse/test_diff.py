"""`dse diff`: two designs by file or by trial."""

import json
import math
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from small_run import STUDY, make_small_run

from dse.cli import app
from dse.diff import diff
from dse.documents import load_design, load_study
from dse.errors import InputError
from dse.report.rundata import read_run
from dse.report.words import parameter, relative
from hwmodels.evaluate import evaluate

DESIGN = """\
kind: design
architecture: time_mux
freq_hz: 1e9
dram_bytes_per_s: 16e9
engines: [{rows: 32, cols: 32, dataflow: ws, sram_bytes: 524288}]
policy: edf
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_small_run(tmp_path_factory.mktemp("diff"))


@pytest.fixture
def files(tmp_path, monkeypatch):
    import yaml

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(DESIGN)
    (tmp_path / "b.yaml").write_text(DESIGN.replace("rows: 32", "rows: 64").replace("policy: edf", "policy: prema"))
    (tmp_path / "load.yaml").write_text(yaml.safe_dump(STUDY["workload"]))
    return tmp_path


def dse(*args):
    result = CliRunner().invoke(app, ["diff", *map(str, args)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_two_files(files):
    got = json.loads(dse("a.yaml", "b.yaml", "--workload", "load.yaml", "--seed", 2, "--json").stdout)
    assert got["parameters"] == [
        {"name": "engines[0].rows", "a": 32, "b": 64}, {"name": "policy", "a": "edf", "b": "prema"},
        {"name": "edf.grain", "a": 0.0, "b": None}, {"name": "prema.quantum_s", "a": None, "b": 0.00025},
        {"name": "prema.mechanism", "a": None, "b": 0.0}, {"name": "prema.grain", "a": None, "b": 1.0}]
    from dse.documents import load_workload

    workload = load_workload("load.yaml")
    a, b = (evaluate(load_design(name), workload, seed=2) for name in ("a.yaml", "b.yaml"))
    metrics = {m["name"]: m for m in got["metrics"]}
    area = metrics["area_mm2"]
    assert (area["a"], area["b"]) == (a.metrics["area_mm2"], b.metrics["area_mm2"])
    assert area["relative"] == pytest.approx(b.metrics["area_mm2"] / a.metrics["area_mm2"] - 1.0)
    assert area["better"] == "A"
    tenants = {m["name"]: m for m in got["tenant_metrics"]}
    assert tenants["eye.p99_latency_s"]["b"] == b.tenants["eye"]["p99_latency_s"]


def test_swapped_sides_mirror(files):
    there, back = diff("a.yaml", "b.yaml", workload="load.yaml"), diff("b.yaml", "a.yaml", workload="load.yaml")
    for m, n in zip(there.metrics, back.metrics, strict=True):
        assert (m.a, m.b) == (n.b, n.a) or math.isnan(m.a)
        assert {m.better, n.better} in ({"A", "B"}, {""})
    assert {p.name for p in there.parameters} == {p.name for p in back.parameters}


def test_equal_designs(files):
    found = diff("a.yaml", "a.yaml", workload="load.yaml")
    assert found.parameters == []
    assert {m.relative for m in found.metrics} == {0.0}
    assert "the designs are equal" in dse("a.yaml", "a.yaml", "--workload", "load.yaml").stdout


def test_trials_of_a_run(run):
    data = read_run(run)
    by_class = {row["params.architecture"]: int(row["trial"]) for row in data.trials.to_dict("records")}
    first, second = by_class["time_mux"], by_class["dedicated"]
    found = diff(f"{run}:{first}", f"{run}:{second}")  # workload and seed of the run
    assert found.seed == 3
    assert found.workload == "pair"
    metrics = {m.name: m for m in found.metrics}
    assert metrics["antt"].a == data.row(first)["antt"]
    assert metrics["antt"].b == data.row(second)["antt"]
    engine = next(p for p in found.parameters if p.name == "engines[1]")  # only the dedicated one has it
    assert engine.a is None
    assert engine.b["dataflow"] in ("ws", "os")
    assert "engines[1]" in dse(f"{run}:{first}", f"{run}:{second}").stdout


def test_run_and_design_of_its_front(run):
    best = sorted((run / "best").iterdir())[0]
    trial = int(best.stem.removeprefix("trial_"))
    assert diff(str(best), f"{run}:{trial}").parameters == []
    assert {m.relative for m in diff(str(best), f"{run}:{trial}").metrics} == {0.0}
    assert diff(str(best), str(best)).workload == "pair"  # study.yaml beside best/
    assert diff(str(run), str(run)).a.name.startswith(f"{run}:")


def test_wrong_input(files, run):
    with pytest.raises(InputError, match="--workload: must be given"):
        dse("a.yaml", "b.yaml")
    with pytest.raises(InputError) as error:
        dse(f"{run}:99", "nothing.yaml")
    assert len(error.value.problems) == 2
    with pytest.raises(InputError, match="no folder"):
        dse("nowhere:4", f"{run}:0")
    with pytest.raises(InputError, match="the number of a trial, got"):
        dse(f"{run}:x", f"{run}:0")


def test_runs_of_different_workloads(run, tmp_path):
    workload = STUDY["workload"] | {"name": "other", "duration_s": 0.05}
    other = make_small_run(tmp_path, workload=workload, search={"trials": 2, "sampler": "random"})
    with pytest.raises(InputError, match="different workloads"):
        dse(f"{run}:0", f"{other}:0")
    assert load_study(other / "study.yaml").workload.name == "other"


def test_words(files):
    text = dse("a.yaml", "b.yaml", "--workload", "load.yaml").stdout
    found = diff("a.yaml", "b.yaml", workload="load.yaml")
    area = {m.name: m for m in found.metrics}["area_mm2"]
    assert found.sentence.startswith(f"B has {area.relative:.0%} more area, ")
    assert found.sentence in text
    for metric in found.metrics:
        if metric.name in ("engine_utilisation_frac", "dram_utilisation_frac"):
            assert metric.better == ""  # neither more nor less of it is better
    assert "engine utilisation" in text.split("the same:")[0]


@pytest.mark.parametrize(("name", "value", "text"), [
    ("sram_bytes", 1048576, "1 MiB"), ("sram_bytes0", 65536, "64 KiB"), ("dram_bytes_per_s", 16e9, "16 GB/s"),
    ("freq_hz", 5e8, "500 MHz"), ("policy", "edf", "edf"), ("rows", 32, "32"), ("share_exponent", 0.5, "0.5"),
    ("prema.quantum_s", 2.5e-4, "250 us"), ("x", None, "-"), ("output_drain", True, "True")])
def test_parameters_in_words(name, value, text):
    assert parameter(name, value) == text


@pytest.mark.parametrize(("value", "base", "text"), [
    (1.0, 1.0, "="), (1.0002, 1.0, "="), (1.12, 1.0, "+12%"), (0.996, 1.0, "-0.4%"), (3.2, 1.0, "3.2x"),
    (1.0, 0.0, ""), (float("inf"), 1.0, "")])
def test_changes_in_words(value, base, text):
    assert relative(value, base) == text
