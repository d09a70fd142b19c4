"""Runs that were killed, or still run: their journals answer."""

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from command import dse
from small_run import make_small_run

from dse.documents import load_design
from dse.errors import InputError, NothingFeasible
from dse.export import export_run
from dse.notebook import load_run
from dse.report.payload import designs_yaml
from dse.report.rundata import read_run
from dse.watch import Follower

TABLES = ("trials.csv", "front.csv", "timings.csv", "manifest.json", "report.html")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return make_small_run(tmp_path_factory.mktemp("small"))


@pytest.fixture
def killed(finished, tmp_path):
    """The same run, killed while it wrote a line of its journal."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for name in TABLES:
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "best")
    header, *lines = (run / "journal.jsonl").read_text().splitlines()
    results = [result for line in lines for result in json.loads(line)["results"]]  # a line holds one or more
    first = [json.dumps({"results": [result]}) for result in results[:4]]
    (run / "journal.jsonl").write_text("\n".join([header, *first[:3], first[3][:50]]))
    return run


def test_the_trials_of_a_killed_run(killed, finished, tmp_path):
    run, whole = read_run(killed), read_run(finished)
    assert not run.finished
    count = len(run.trials)
    assert 0 < count < len(whole.trials)
    for column in ("trial", "area_mm2", "p99_deadline_frac", "feasible"):
        assert list(run.trials[column]) == list(whole.trials[column][:count])
    best = run.front["area_mm2"].min()
    assert best == run.feasible["area_mm2"].min()
    said = []
    export_run(killed, fmt="csv", out=tmp_path / "t.csv", trial=0, note=said.append)
    assert (tmp_path / "t.csv").read_text().splitlines() == (finished / "trials.csv").read_text().splitlines()[:2]
    assert "--resume" in said[0]
    assert sorted(path.name for path in killed.iterdir() if not path.name.startswith(".")) == ["journal.jsonl",
                                                                                              "study.yaml"]


def test_a_report_of_a_killed_run(killed):
    done = dse("report", killed)
    assert done.returncode == 0, done.stderr
    assert "(has not finished)" in done.stdout
    assert f"dse run {killed / 'study.yaml'} --out {killed} --resume" in done.stdout
    assert (killed / "report.html").is_file()
    assert load_run(killed).best().feasible
    offered = designs_yaml(read_run(killed))
    assert set(offered) == {str(trial) for trial in read_run(killed).front["trial"]}
    for text in offered.values():
        (killed / "design.yaml").write_text(text)
        assert load_design(killed / "design.yaml")


def test_tables_older_than_the_journal_do_not_count(killed, finished):
    """Resumed and killed: the manifest says that it runs."""
    for name in TABLES[:3]:
        shutil.copy(finished / name, killed)
    assert read_run_with(killed, finished, state="complete").finished
    assert not read_run_with(killed, finished, state="running").finished


def read_run_with(run, finished, **changes):
    manifest = json.loads((finished / "manifest.json").read_text()) | changes
    (run / "manifest.json").write_text(json.dumps(manifest))
    return read_run(run)


def test_a_run_without_a_trial_says_how_to_go_on(killed):
    lines = (killed / "journal.jsonl").read_text().splitlines(keepends=True)
    (killed / "journal.jsonl").write_text(lines[0])
    with pytest.raises(InputError, match=r"at least one trial.*dse run .*--resume"):
        read_run(killed)
    (killed / "manifest.json").write_text('{"sampler": "front"}')
    with pytest.raises(InputError, match="dse front"):
        read_run(killed)
    (killed / "manifest.json").write_text('{"sampler": "front", "designs": 9, "counts": {"open": 0, "budget_1": 9}}')
    with pytest.raises(NothingFeasible, match="none of its 9 designs"):
        read_run(killed)


def test_notes_of_the_exact_front_are_no_trials(killed):
    path = killed / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)[:4]
    note = {"number": -1, "params": {}, "state": "complete", "status": "bounds"}
    path.write_text("".join(lines) + json.dumps({"results": [note]}) + "\n")
    count = len(read_run(killed).trials)
    assert read_run(killed).trials["trial"].min() == 0
    assert Follower(killed).state()["done"] == count


def test_a_damaged_journal_is_named(killed):
    path = killed / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "{}\n" + lines[1])
    with pytest.raises(InputError, match=r"journal\.jsonl:2: must be a line of results"):
        read_run(killed)
