"""Exports of a run: what is written reads back; what is wrong is refused and leaves nothing behind."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
import command
from small_run import make_small_run

from dse.advice import ranked_front
from dse.errors import InputError, NothingFeasible
from dse.export import export_run, pick_trials
from dse.exporters import EXPORTERS
from dse.report.rundata import read_run


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


synthetic = _load("synthetic_run")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthetic.make_run(tmp_path_factory.mktemp("export") / "run", 120)


@pytest.fixture(scope="module")
def ranked(folder):
    return [int(t) for t in ranked_front(read_run(folder))["trial"]]


def test_one_yaml_is_the_file_of_the_run(folder, ranked, tmp_path):
    out = tmp_path / "new" / "design.yaml"
    assert export_run(folder, fmt="yaml", out=out, trial=ranked[2]) == [ranked[2]]
    assert out.read_bytes() == (folder / "best" / f"trial_{ranked[2]:05d}.yaml").read_bytes()
    assert [p.name for p in out.parent.iterdir()] == ["design.yaml"]


def test_several_yamls_are_a_folder(folder, ranked, tmp_path):
    export_run(folder, fmt="yaml", out=tmp_path / "designs", top=3)
    assert {p.name for p in (tmp_path / "designs").iterdir()} == {f"trial_{t:05d}.yaml" for t in ranked[:3]}


def test_json_holds_trial_design_metrics(folder, ranked, tmp_path):
    export_run(folder, fmt="json", out=tmp_path / "front.json")
    entries = json.loads((tmp_path / "front.json").read_text())
    assert [e["trial"] for e in entries] == ranked
    assert all(set(e) == {"trial", "design", "metrics"} for e in entries)
    run = read_run(folder)
    for entry in entries:
        assert entry["metrics"]["area_mm2"] == run.row(entry["trial"])["area_mm2"]  # floats round-trip
        file = folder / "best" / f"trial_{entry['trial']:05d}.yaml"
        assert entry["design"] == yaml.safe_load(file.read_text())


def test_csv_rows_are_those_of_the_run(folder, ranked, tmp_path):
    export_run(folder, fmt="csv", out=tmp_path / "front.csv", top=2)
    with (folder / "trials.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    with (tmp_path / "front.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [rows[0], rows[1 + ranked[0]], rows[1 + ranked[1]]]


def test_the_choice_of_trials(folder, ranked):
    run = read_run(folder)
    assert pick_trials(run) == ranked
    assert pick_trials(run, top=10**6) == ranked
    dominated = next(int(t) for t in run.feasible["trial"] if t not in ranked)
    assert pick_trials(run, trial=dominated) == [dominated]


@pytest.mark.parametrize(("options", "message"), [
    ({"fmt": "yml"}, r"must be one of yaml, json, csv.*did you mean 'yaml'"),
    ({"trial": 999}, "must be one of the 120 trials 0 to 119, got 999"),
    ({"trial": -1}, "got -1"),
    ({"trial": 119}, "119 failed"),
    ({"top": 0}, "must be an integer >= 1, got 0"),
    ({"top": 1, "trial": 1}, "must not both be given"),
])
def test_refusals(folder, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        export_run(folder, **{"fmt": "yaml", "out": tmp_path / "out", **options})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_path_is_left_alone(folder, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="must be a new path"):
        export_run(folder, fmt="csv", out=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_path_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--out"):
        export_run(folder, fmt="csv", out=tmp_path / "file" / "out")


def test_no_front(tmp_path):
    folder = synthetic.make_run(tmp_path / "run", 12, budgets={"area_mm2": 0.1})
    for chosen in ({"fmt": "yaml"}, {"fmt": "csv", "top": 1}):
        with pytest.raises(NothingFeasible, match="--trial"):
            export_run(folder, out=tmp_path / "out", **chosen)
    export_run(folder, fmt="csv", out=tmp_path / "out", trial=3)
    assert (tmp_path / "out").is_file()


def test_tables_of_a_run_without_a_front_hold_every_trial(tmp_path):
    folder = synthetic.make_run(tmp_path / "synthetic", 12, budgets={"area_mm2": 0.1})
    said = []
    assert export_run(folder, fmt="csv", out=tmp_path / "csv", note=said.append) == [*range(12)]
    assert (tmp_path / "csv").read_text() == (folder / "trials.csv").read_text()
    assert "all 12 trials" in said[0]
    small = make_small_run(tmp_path, budgets={"area_mm2": 0.1}, search={"trials": 2, "sampler": "random"})
    export_run(small, fmt="json", out=tmp_path / "json")
    entries = json.loads((tmp_path / "json").read_text())
    assert [(entry["trial"], entry["feasible"]) for entry in entries] == [(0, False), (1, False)]
    assert all(entry["design"]["kind"] == "design" for entry in entries)


def test_every_format_says_what_it_is():
    for name, record in EXPORTERS.items():
        assert record.name == name
        assert record.summary


def dse(*arguments):
    return command.dse("export", *arguments)


def test_command(folder, ranked, tmp_path):
    done = dse(folder, "--format", "json", "--top", 2, "--out", tmp_path / "a.json")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == str(tmp_path / "a.json")
    assert len(json.loads((tmp_path / "a.json").read_text())) == 2
    done = dse(tmp_path, "--format", "json", "--out", tmp_path / "b.json")
    assert done.returncode == 2
    assert "must be the folder of a run" in done.stderr
    done = dse(folder, "--format", "json", "--trial", "999", "--out", tmp_path / "b.json")
    assert done.returncode == 2
    assert "got 999" in done.stderr
