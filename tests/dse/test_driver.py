"""The driver on a toy study: same trials however run, nothing lost, every fault a clear error or a failed trial."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from run_toys import Toy, toy_outcome, toy_space, toy_study

from dse.driver import Interrupted, run_study
from dse.errors import InputError
from dse.objective import evaluate_one, judge
from dse.runs import JOURNAL, trial_columns

HERE = Path(__file__).parent


def rows_of(folder: Path, name: str = "trials.csv") -> list[dict[str, str]]:
    """Rows without the only column that may differ between runs."""
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> list[dict[str, str]]:
    out = tmp_path_factory.mktemp("reference") / "run"
    run_study(toy_study(), out, workers=1, evaluate=toy_outcome)
    return rows_of(out)


def test_files_of_a_run(tmp_path):
    study = toy_study()
    out = tmp_path / "run"
    result = run_study(study, out, workers=1, evaluate=toy_outcome, describe=lambda r: f"trial: {r.number}\n")
    rows = rows_of(tmp_path / "run")
    assert len(rows) == result.n_trials == 60
    assert [row["trial"] for row in rows] == [str(i) for i in range(60)]
    with (tmp_path / "run" / "trials.csv").open() as file:
        header = next(csv.reader(file))
    assert header == trial_columns(study)
    assert header[:5] == ["trial", "state", "feasible", "status", "params.arch"]
    assert header[-3:] == ["violations.area_mm2", "violations.stp", "error"]
    for row in rows:
        assert (row["params.z"] == "") == (row["params.arch"] == "a")
        if row["status"] == "ok":
            outcome = toy_outcome(result.result(int(row["trial"])).params)
            assert float(row["area_mm2"]) == outcome.metrics["area_mm2"]
            assert float(row["violations.area_mm2"]) == outcome.metrics["area_mm2"] - 30.0
            assert float(row["violations.stp"]) == 0.15 - outcome.metrics["stp"]
            within = float(row["violations.area_mm2"]) <= 0 and float(row["violations.stp"]) <= 0
            assert row["feasible"] == str(within)
        else:
            assert row["feasible"] == "False"
            assert row["violations.stp"] == ""
    front = rows_of(tmp_path / "run", "front.csv")
    assert [int(row["trial"]) for row in front] == list(result.front)
    assert all(row in rows for row in front)
    areas = [float(row["area_mm2"]) for row in front]
    assert areas == sorted(areas)
    for row in front:
        assert (tmp_path / "run" / "best" / f"trial_{int(row['trial']):05d}.yaml").is_file()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["state"] == "complete"
    assert manifest["n_trials"] == 60
    assert manifest["hypervolume"] == result.hypervolume > 0
    assert result.reference["area_mm2"] == 30.0
    assert len(result.trials()) == 60
    assert len(result.front_trials()) == len(front)


def test_front_is_the_feasible_non_dominated_set(tmp_path):
    study = toy_study(trials=10**6)
    result = run_study(study, tmp_path / "run", workers=1, evaluate=toy_outcome)
    assert result.sampler == "exhaustive"
    assert result.n_trials == study.space.size()
    verdicts = {r.number: judge(study, r) for r in result.results}
    feasible = {n: v.values for n, v in verdicts.items() if v.feasible}
    best = {values for values in feasible.values() if not any(
        all(a <= b for a, b in zip(o, values, strict=True)) and o != values for o in feasible.values())}
    assert {feasible[n] for n in result.front} == best
    assert len(result.front) == len(best)


def test_failures_are_kept_and_the_study_goes_on(tmp_path):
    result = run_study(toy_study(), tmp_path / "run", workers=1, evaluate=Toy(raises=(1, 2, 3, 4)))
    assert result.n_trials == 60
    assert 0 < result.n_failed < 60
    for row in rows_of(tmp_path / "run"):
        assert (row["state"] == "failed") == (row["params.x"] in {"1", "2", "3", "4"})
        assert ("cannot evaluate x" in row["error"]) == (row["state"] == "failed")
    assert result.n_feasible


@pytest.mark.parametrize(("in_flight", "most"), [(1, 4), (8, 8), (30, 32)])
def test_no_more_trials_are_under_way_than_the_study_allows(tmp_path, monkeypatch, in_flight, most):
    """Batches of 4 are asked whole."""
    counts = []

    class Counting:
        workers = 40

        def __init__(self, *_):
            self.held = []

        def submit(self, tasks):
            self.held += tasks
            counts.append(len(self.held))

        def poll(self, wait_s=0.0):
            number, params = self.held.pop()  # the newest first: the oldest batch is told when all is done
            return [evaluate_one(toy_outcome, number, params)]

        def close(self):
            assert not self.held

    monkeypatch.setattr("dse.workers.LocalPool", Counting)
    result = run_study(toy_study(in_flight=in_flight), tmp_path / "run", workers=1, evaluate=toy_outcome)
    assert max(counts) == most
    assert result.n_trials == 60


def test_a_hang_in_this_process_is_a_failed_trial(tmp_path, monkeypatch):
    monkeypatch.setattr("dse.workers._COLD_S", 0.0)
    study = toy_study(trials=12, eval_timeout_s=0.2)
    result = run_study(study, tmp_path / "run", workers=1, evaluate=Toy(hangs=(0, 1, 2)))
    assert result.n_failed >= 1
    assert all("eval_timeout_s = 0.2" in r.error for r in result.results if r.state == "failed")


def test_nothing_is_evaluated_twice(tmp_path):
    log = tmp_path / "log"
    run_study(toy_study(trials=200), tmp_path / "run", workers=1, evaluate=Toy(log=log))
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 200


def test_in_process_does_not_import_ray(tmp_path):
    code = f"""
        import sys; sys.path.insert(0, {str(HERE)!r})
        from run_toys import toy_outcome, toy_study
        from dse.driver import run_study
        run_study(toy_study(trials=5), {str(tmp_path / 'run')!r}, workers=1, evaluate=toy_outcome)
        assert "ray" not in sys.modules
        assert "pandas" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


# --- resume -----------------------------------------------------------------------------------------------------------

DRIVER = """
import sys
sys.path.insert(0, {here!r})
from run_toys import Toy, toy_study
from dse.driver import run_study
run_study(toy_study(), {out!r}, workers=1, evaluate=Toy(sleep_s=0.01), resume=True)
"""


def start_driver(out: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", DRIVER.format(here=str(HERE), out=str(out))])


def wait_for(out: Path, size: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + 60
    journal = out / JOURNAL
    while process.poll() is None and (not journal.exists() or journal.stat().st_size < size):
        assert time.monotonic() < end
        time.sleep(0.002)


def test_killed_at_random_moments_and_resumed(tmp_path, reference):
    out = tmp_path / "run"
    rng = random.Random(5)
    size = 0
    for _ in range(4):
        process = start_driver(out)
        size += rng.randrange(200, 6000)
        wait_for(out, size, process)
        process.kill()
        process.wait()
        size = (out / JOURNAL).stat().st_size if (out / JOURNAL).exists() else 0
    assert start_driver(out).wait() == 0
    assert rows_of(out) == reference


@pytest.mark.parametrize("cut", [1, 7, 100, 3000])
def test_a_torn_last_line_is_no_loss(tmp_path, reference, cut):
    out = tmp_path / "run"
    run_study(toy_study(), out, workers=1, evaluate=toy_outcome)
    data = (out / JOURNAL).read_bytes()
    (out / JOURNAL).write_bytes(data[:-cut])
    run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)
    assert rows_of(out) == reference


def test_a_finished_run_resumes_to_itself_without_evaluating(tmp_path, reference):
    out = tmp_path / "run"
    run_study(toy_study(), out, workers=1, evaluate=toy_outcome)
    before = (out / JOURNAL).read_bytes()
    run_study(toy_study(), out, workers=1, evaluate=Toy(raises=range(16)), resume=True)
    assert rows_of(out) == reference
    assert (out / JOURNAL).read_bytes() == before


def test_more_trials_continue_a_run(tmp_path):
    run_study(toy_study(trials=40), tmp_path / "a", workers=1, evaluate=toy_outcome)
    run_study(toy_study(trials=80), tmp_path / "a", workers=1, evaluate=toy_outcome, resume=True)
    run_study(toy_study(trials=80), tmp_path / "b", workers=1, evaluate=toy_outcome)
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_resumes(tmp_path, reference, number):
    out = tmp_path / "run"

    class Stops(Toy):
        left = 25

        def __call__(self, params):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), number)
            return super().__call__(params)

    with pytest.raises(Interrupted):
        run_study(toy_study(), out, workers=1, evaluate=Stops())
    saved = rows_of(out)
    assert len(saved) == 24
    assert saved == [row for row in reference if int(row["trial"]) < len(saved)]
    assert json.loads((out / "manifest.json").read_text())["state"] == "interrupted"
    run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)
    assert rows_of(out) == reference


# --- folders that cannot be used --------------------------------------------------------------------------------------


def test_an_existing_run_needs_resume(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    run_study(toy_study(trials=4), out, workers=1, evaluate=toy_outcome)  # an empty folder is as good as none
    before = sorted((p.name, p.stat().st_mtime_ns) for p in out.iterdir())
    with pytest.raises(InputError, match=r"already exists.*--resume"):
        run_study(toy_study(trials=4), out, workers=1, evaluate=toy_outcome)
    assert before == sorted((p.name, p.stat().st_mtime_ns) for p in out.iterdir())


@pytest.mark.parametrize(("changes", "named"), [
    ({"seed": 4}, "seed"), ({"budgets": {"area_mm2": 31.0}}, "budgets"), ({"sampler": "random"}, "sampler"),
    ({"space": toy_space(forbidden=[{"x": 1}])}, "space"),
])
def test_a_changed_study_is_named(tmp_path, changes, named):
    out = tmp_path / "run"
    run_study(toy_study(trials=40), out, workers=1, evaluate=toy_outcome)
    before = (out / "trials.csv").read_bytes()
    with pytest.raises(InputError, match=f"changed: {named}"):
        run_study(toy_study(trials=40, **changes), out, workers=1, evaluate=toy_outcome, resume=True)
    assert (out / "trials.csv").read_bytes() == before


def test_foreign_and_damaged_folders(tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("precious")
    for resume in (False, True):
        with pytest.raises(InputError, match="must be"):
            run_study(toy_study(), foreign, workers=1, evaluate=toy_outcome, resume=resume)
    assert [p.name for p in foreign.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="it is a file"):
        run_study(toy_study(), foreign / "thesis.tex", workers=1, evaluate=toy_outcome)

    out = tmp_path / "run"
    run_study(toy_study(), out, workers=1, evaluate=toy_outcome)
    lines = (out / JOURNAL).read_text().splitlines(keepends=True)
    (out / JOURNAL).write_text("".join([lines[0], "garbage\n", *lines[1:]]))
    with pytest.raises(InputError, match=r"journal.jsonl:2: must be a line of results"):
        run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)
    (out / JOURNAL).write_text("<html>\n")
    with pytest.raises(InputError, match="must be the journal of a dse run"):
        run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)


def test_other_versions_are_noticed(tmp_path):
    out = tmp_path / "run"
    run_study(toy_study(), out, workers=1, evaluate=toy_outcome)
    text = (out / JOURNAL).read_text().replace('"x": 5', '"x": 6')
    (out / JOURNAL).write_text(text)
    with pytest.raises(InputError, match="was another design"):
        run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)


def test_two_drivers_on_one_run(tmp_path, reference):
    out = tmp_path / "run"
    process = start_driver(out)
    wait_for(out, 2000, process)
    with pytest.raises(InputError, match=f"process {process.pid}"):
        run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)
    assert process.wait() == 0
    assert rows_of(out) == reference


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="can be written"):
            run_study(toy_study(), tmp_path / "run", workers=1, evaluate=toy_outcome)
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_is_a_clear_error_and_no_loss(tmp_path, monkeypatch, reference):
    out = tmp_path / "run"
    write, left = os.write, [6000]

    def full(fd, data):
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return write(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr("dse.runs.os.write", full)
        with pytest.raises(InputError, match="No space left on device"):
            run_study(toy_study(), out, workers=1, evaluate=toy_outcome)
    run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)
    assert rows_of(out) == reference
