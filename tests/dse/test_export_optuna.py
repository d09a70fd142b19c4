"""The Optuna export: both storages hold the run, and (slow) optuna-dashboard shows it."""

import importlib.util
import json
import math
import subprocess
import sys
import warnings
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

sys.path.insert(0, str(Path(__file__).parent))
import command

from dse import optuna_study
from dse.errors import InputError
from dse.export import export_run
from dse.exporters import optuna as ours
from dse.report.rundata import read_run


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


synthetic, tools = _load("synthetic_run"), _load("export_tools")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthetic.make_run(tmp_path_factory.mktemp("optuna") / "run", 60)


@pytest.fixture(scope="module")
def files(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert export_run(folder, fmt="optuna", out=out / "a.db") == list(range(60))
    assert export_run(folder, fmt="optuna_journal", out=out / "a.log") == list(range(60))
    return out


def load(path):
    storage = f"sqlite:///{path}" if path.suffix == ".db" else JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name="synthetic", storage=storage)


def everything(trial):
    return (trial.number, trial.state, trial.values, trial.params, trial.distributions, trial.user_attrs,
            trial.system_attrs, trial.constraints, trial.datetime_start, trial.datetime_complete)


def test_both_storages_hold_the_same(files):
    """The journal is written by Optuna itself, the tables of SQLite by us."""
    a, b = load(files / "a.db"), load(files / "a.log")
    assert [everything(t) for t in a.trials] == [everything(t) for t in b.trials]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert a.metric_names == b.metric_names == ["area_mm2 [mm2]", "p99_deadline_frac [-]",
                                                    "energy_per_inference_j [J]"]
    assert a.directions == b.directions
    assert a.user_attrs == b.user_attrs
    assert a.user_attrs["constraints"][0] == "area_mm2 <= 40"
    assert a.user_attrs["not expressed"] == ours.LOSES


def test_the_study_is_that_of_the_run(folder, files):
    run, study = read_run(folder), load(files / "a.db")
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 58 + [TrialState.FAIL] * 2
    for trial in study.trials:
        row = run.row(trial.number)
        assert trial.params == run.params(row)
        if trial.state == TrialState.COMPLETE:
            assert trial.values == [row[o.metric] for o in run.objectives]
            assert trial.system_attrs["constraints"] == [row[f"violations.{m}"] for m in run.budgets]
            assert trial.user_attrs["power_w"] == row["power_w"]
        else:
            assert "Traceback" in trial.user_attrs["error"]
    assert {t.number for t in study.best_trials} == set(run.front["trial"])  # constraints are obeyed


def test_the_study_can_be_continued(files, tmp_path):
    copy = tmp_path / "a.db"
    copy.write_bytes((files / "a.db").read_bytes())
    study = load(copy)
    study.tell(study.ask(), [1.0, 2.0, 3.0])
    assert load(copy).trials[60].values == [1.0, 2.0, 3.0]


def test_chosen_trials_only(folder, tmp_path):
    export_run(folder, fmt="optuna", out=tmp_path / "a.db", trial=7)
    trials = load(tmp_path / "a.db").trials
    assert [t.user_attrs["trial"] for t in trials] == [7]


@pytest.mark.parametrize(("values", "found"), [
    ([16, 64, 32], IntDistribution(16, 64, log=True)),
    ([16, 48], IntDistribution(16, 48)),
    ([4], IntDistribution(4, 4)),
    ([0.5, 2], FloatDistribution(0.5, 2.0)),
    (["ws", "os"], CategoricalDistribution(["os", "ws"])),
    ([True, False, True], CategoricalDistribution([False, True])),
    ([1, "all"], CategoricalDistribution([1, "all"])),
])
def test_distributions(values, found):
    assert optuna_study.distribution(values) == found


def test_unknown_violations_are_large_and_unknown_objectives_fail(tmp_path):
    folder = synthetic.make_run(tmp_path / "run", 6, failed=0)
    text = (folder / "trials.csv").read_text().splitlines()
    header = text[0].split(",")
    for line, column, value in ((1, "violations.power_w", ""), (2, "area_mm2", ""), (3, "violations.power_w", "inf")):
        cells = text[line].split(",")
        cells[header.index(column)] = value
        text[line] = ",".join(cells)
    (folder / "trials.csv").write_text("\n".join(text) + "\n")
    (folder / "front.csv").write_text(text[0] + "\n")
    export_run(folder, fmt="optuna", out=tmp_path / "a.db")
    trials = load(tmp_path / "a.db").trials
    assert trials[0].system_attrs["constraints"][3] == trials[2].system_attrs["constraints"][3] == sys.float_info.max
    assert trials[1].state == TrialState.FAIL
    assert not any(math.isinf(c) for t in trials for c in t.system_attrs.get("constraints", []))


def dse(*arguments):
    return command.dse("convert", *arguments)


def test_command(folder, tmp_path):
    done = dse(folder, "--to", "sqlite", "--out", tmp_path / "x.db")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"60 trials: {tmp_path / 'x.db'}",
                                        f"optuna-dashboard sqlite:///{tmp_path / 'x.db'}"]
    assert len(load(tmp_path / "x.db").trials) == 60
    done = dse(folder, "--to", "jurnal", "--out", tmp_path / "y")
    assert done.returncode == 2
    assert "did you mean 'journal'" in done.stderr
    assert dse(tmp_path / "none").returncode == 2
    assert not (tmp_path / "none").exists()


def test_an_export_needs_no_front(tmp_path):
    folder = synthetic.make_run(tmp_path / "run", 12, budgets={"area_mm2": 0.1})
    assert len(export_run(folder, fmt="optuna", out=tmp_path / "a.db")) == 12
    with pytest.raises(InputError, match="must be a new path"):
        export_run(folder, fmt="optuna", out=tmp_path / "a.db")


VIEW = """
import io, json, sys, warnings
warnings.simplefilter("ignore")
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
from optuna_dashboard import wsgi
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

def get(app, path):
    status = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost",
               "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
               "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr}
    body = b"".join(app(environ, lambda s, h, e=None: status.append(s)))
    assert status[0].startswith("200"), status
    return json.loads(body)

found = []
for path in sys.argv[1:]:
    storage = RDBStorage("sqlite:///" + path) if path.endswith(".db") else JournalStorage(JournalFileBackend(path))
    app = wsgi(storage)
    study = get(app, "/api/studies")["study_summaries"][0]["study_id"]
    found.append(get(app, f"/api/studies/{study}"))
print(json.dumps(found))
"""


@pytest.mark.slow
def test_the_dashboard_names_axes_and_shows_constraints(folder, files):
    python = tools.require("optuna_dashboard", "0.21.0")
    done = subprocess.run([python, "-c", VIEW, str(files / "a.db"), str(files / "a.log")], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    run = read_run(folder)
    for shown in json.loads(done.stdout.splitlines()[-1]):
        assert shown["objective_names"] == ["area_mm2 [mm2]", "p99_deadline_frac [-]", "energy_per_inference_j [J]"]
        assert shown["directions"] == ["minimize"] * 3
        trials = {trial["number"]: trial for trial in shown["trials"]}
        assert len(trials) == 60
        for number, trial in trials.items():
            feasible = bool(run.row(number)["feasible"])
            if trial["state"] == "Complete":
                assert len(trial["constraints"]) == 4
                assert all(c <= 0 for c in trial["constraints"]) == feasible
            else:
                assert not feasible
