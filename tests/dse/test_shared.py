"""Several drivers on one study through a database: the trials of one driver, each evaluated once."""

import gc
import random
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import faults
import postgres
from run_toys import Toy, toy_outcome, toy_study

from dse import shared, storage
from dse.console import without_password
from dse.driver import run_study
from dse.errors import InputError


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    return faults.undisturbed(tmp_path_factory.mktemp("reference") / "run")


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'shared.db'}"


def drive(out: Path, url: str, *, evaluate=toy_outcome, resume=False, **changes):
    return run_study(toy_study(**changes), out, workers=1, evaluate=evaluate, resume=resume, storage=url)


def drive_together(outs: list[Path], url: str, **settings) -> None:
    threads = [threading.Thread(target=drive, args=(out, url), kwargs=settings) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def told_of(url: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="toy", storage=url).trials


def test_two_drivers_share_the_work_of_one(tmp_path, url, reference):
    outs = [tmp_path / "a", tmp_path / "b"]
    drive_together(outs, url, evaluate=Toy(sleep_s=0.005, log=tmp_path / "log"))
    assert all(faults.tables(out) == faults.tables(reference) for out in outs)
    evaluated = (tmp_path / "log").read_text().splitlines()
    assert len(evaluated) == len(set(evaluated)) == 60
    trials = told_of(url)
    assert len({trial.user_attrs["driver"] for trial in trials}) == 2
    assert [trial.number for trial in trials] == [trial.user_attrs["trial"] for trial in trials] == list(range(60))


def test_the_database_is_an_optuna_study(tmp_path, url):
    result = drive(tmp_path / "run", url)
    study = optuna.load_study(study_name="toy", storage=url)
    assert study.user_attrs["constraints"] == ["area_mm2 <= 30", "stp >= 0.15"]
    front = [study.trials[number].values for number in result.front]  # of equal ones, ours has the first
    assert sorted({tuple(trial.values) for trial in study.best_trials}) == sorted(map(tuple, front))
    for trial, one, verdict in zip(study.trials, result.results, result.verdicts, strict=True):
        assert trial.params == one.params
        assert (trial.state == optuna.trial.TrialState.COMPLETE) == (verdict.values is not None)
        if verdict.values is not None:
            assert trial.values == [one.metrics["area_mm2"], one.metrics["stp"], one.metrics["p99_latency_s"]]
            assert trial.system_attrs["constraints"] == list(verdict.violations.values())


def test_a_run_brings_its_trials_and_another_takes_them(tmp_path, url, reference):
    first = tmp_path / "first"
    run_study(toy_study(trials=24), first, workers=1, evaluate=toy_outcome)
    drive(first, url, resume=True, trials=40)
    assert len(told_of(url)) == 40
    drive(tmp_path / "second", url, evaluate=Toy(log=tmp_path / "log"))
    assert faults.tables(tmp_path / "second") == faults.tables(reference)
    assert len((tmp_path / "log").read_text().splitlines()) == 20
    drive(tmp_path / "third", url, evaluate=Toy(raises=range(16)))
    assert faults.tables(tmp_path / "third") == faults.tables(reference)
    assert len(told_of(url)) == 60


def test_what_a_driver_claims_and_never_does_is_taken_over(tmp_path, url, reference, monkeypatch):
    monkeypatch.setattr(shared, "_TAKE_OVER_S", (0.1, 1.0))
    drive(tmp_path / "a", url, trials=4)
    ghost = storage.SharedStudy(url, toy_study(), "ghost")
    ghost.join(ghost.header(), {})
    trials = [(trial["number"], trial["params"]) for trial in faults.journal_of(reference)[4:20]]
    assert ghost.exchange(trials, [], [number for number, _ in trials], 16).claimed == trials
    began = time.monotonic()
    drive(tmp_path / "a", url, resume=True)
    assert time.monotonic() - began > 0.1
    assert faults.tables(tmp_path / "a") == faults.tables(reference)


@pytest.mark.slow
def test_a_driver_that_is_killed_is_replaced(tmp_path, url, reference, monkeypatch):
    monkeypatch.setattr(shared, "_TAKE_OVER_S", (0.1, 1.0))
    process = faults.start_driver(tmp_path / "dead", storage=url)
    while len(faults.journal_of(tmp_path / "dead")) < 8:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.communicate()
    before = faults.journal_of(tmp_path / "dead")
    drive(tmp_path / "other", url)
    assert faults.compare("driver", before, tmp_path / "other", reference)[2:] == (0, 0, True)
    drive(tmp_path / "dead", url, resume=True, evaluate=Toy(raises=range(16)))
    assert faults.compare("driver", before, tmp_path / "dead", reference)[2:] == (0, 0, True)


@pytest.mark.parametrize("said", [False, True])
def test_a_storage_that_does_not_answer_is_waited_for(tmp_path, url, reference, monkeypatch, capsys, said):
    """Whether the database had done what it was told before the connection broke, or not."""
    exchange, calls = storage.SharedStudy.exchange, []

    def breaks(self, *arguments, **settings):
        calls.append(0)
        if len(calls) % 3 == 0:
            if said:
                exchange(self, *arguments, **settings)
            raise storage.StorageAway("connection reset")
        return exchange(self, *arguments, **settings)

    monkeypatch.setattr(storage.SharedStudy, "exchange", breaks)
    monkeypatch.setattr(shared, "_AWAY_S", (-1.0, 0.02))
    drive(tmp_path / "run", url)
    assert len(calls) > 6
    assert "does not answer (connection reset); the run waits" in capsys.readouterr().err
    assert faults.tables(tmp_path / "run") == faults.tables(reference)
    assert [trial.number for trial in told_of(url)] == list(range(60))


@pytest.mark.parametrize("sampler", ["archive", "nsga2"])
def test_the_first_proposal_counts(tmp_path, url, sampler):
    """A machine whose sampler proposes other designs (here: another seed's) takes those that are in the storage."""
    other = run_study(toy_study(seed=9, trials=12), tmp_path / "other", workers=1, evaluate=toy_outcome)
    begun = storage.SharedStudy(url, toy_study(), "begun")
    drive(tmp_path / "a", url, sampler=sampler, trials=4)
    begun.join(begun.header(), {})
    begun.exchange([(r.number, r.params) for r in other.results if r.number >= 4], [], [], 0)
    begun.leave()
    result = drive(tmp_path / "a", url, sampler=sampler, trials=60, resume=True)
    found = [r.params for r in result.results]
    assert found[4:12] == [r.params for r in other.results][4:12]
    assert len({tuple(sorted(params.items())) for params in found[12:]}) == 48
    again = drive(tmp_path / "a", url, sampler=sampler, trials=70, resume=True)
    assert [r.params for r in again.results][:60] == found


@pytest.mark.parametrize(("changes", "named"), [
    ({"seed": 4}, "different: seed"),
    ({"budgets": {"area_mm2": 31.0}, "sampler": "random"}, "different: sampler, budgets"),
])
def test_a_study_of_another_content_is_refused(tmp_path, url, changes, named):
    drive(tmp_path / "a", url, trials=4)
    with pytest.raises(InputError, match=named):
        drive(tmp_path / "b", url, **changes)
    assert len(told_of(url)) == 4


def test_foreign_studies_and_other_trials_are_refused(tmp_path, url):
    foreign = optuna.create_study(storage=url, study_name="toy")
    for _ in range(2):  # without trials, but with other objectives; then with a trial
        with pytest.raises(InputError, match="holds a study 'toy' that is not from dse run"):
            drive(tmp_path / "none", url)
        foreign.tell(foreign.ask(), 1.0)
    optuna.delete_study(study_name="toy", storage=url)
    drive(tmp_path / "a", url, trials=8)
    text = (tmp_path / "a" / "journal.jsonl").read_text()
    (tmp_path / "a" / "journal.jsonl").write_text(text.replace('"arch": "a"', '"arch": "b"', 1))
    with pytest.raises(InputError, match=r"holds another trial \d than this run"):
        drive(tmp_path / "a", url, resume=True)


def test_a_study_deleted_and_made_anew_starts_anew(tmp_path, url):
    drive(tmp_path / "a", url, trials=8)
    optuna.delete_study(study_name="toy", storage=url)
    drive(tmp_path / "b", url, trials=4)
    assert len(told_of(url)) == 4


@pytest.mark.parametrize(("url", "said"), [
    ("mysql://me:secret@there/db", "must be postgresql://USER@HOST/DATABASE or sqlite:///FILE"),
    ("sqlite://", "must be postgresql://USER@HOST/DATABASE or sqlite:///FILE, got 'sqlite://'"),
    ("secret", "must be postgresql"),
    ("sqlite:////none/x.db", "can be reached and written.*unable to open database file"),
    ("postgresql://me:secret@localhost/db", "needs the package psycopg for PostgreSQL"),
])
def test_addresses_that_are_none(tmp_path, monkeypatch, url, said):
    monkeypatch.setattr(storage, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=said) as refused:
        drive(tmp_path / "a", url)
    assert ":secret" not in str(refused.value)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("text", "shown"), [
    ("postgresql://me:s@cr/et@host:5432/db", "postgresql://me:***@host:5432/db"),
    ("dse run --storage postgresql://me:x@h/d --out b@c", "dse run --storage postgresql://me:***@h/d --out b@c"),
    ("'postgresql://me@h/d?password=x&a=1'", "'postgresql://me@h/d?password=***&a=1'"),
    ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ("ray://host:10001", "ray://host:10001"),
])
def test_passwords_are_not_shown(text, shown):
    assert without_password(text) == shown


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if why := postgres.missing():
        pytest.skip(why)
    with postgres.temporary_server() as found:
        yield found


@pytest.fixture
def collected() -> Iterator[None]:
    """What a test leaves behind is its own."""
    yield
    gc.collect()


def breaks_connections(test):
    """psycopg warns of connections that SQLAlchemy drops: those that were cut, and those of a driver that lost the race
    for creating the tables."""
    ignored = pytest.mark.filterwarnings("ignore:Exception ignored in. <function BaseConnection:"
                                         "pytest.PytestUnraisableExceptionWarning")
    return pytest.mark.slow(ignored(pytest.mark.usefixtures("collected")(test)))


@breaks_connections
def test_a_server_that_restarts_while_a_driver_joins_is_waited_for(server, monkeypatch):
    driver = storage.SharedStudy(server.create("joins"), toy_study(), "driver")
    monkeypatch.setattr(storage, "_JOINING_S", (0.0, 0.01))
    server.stop()
    with pytest.raises(InputError, match="can be reached"):
        driver.header()
    monkeypatch.setattr(storage, "_JOINING_S", (60.0, 0.01))
    back = threading.Timer(0.3, server.start)
    back.start()
    assert driver.header() is None
    back.join()
    release, cuts = driver._release, iter([server.cut_connections])

    def cut_once():
        for cut in cuts:
            cut()
        release()

    monkeypatch.setattr(driver, "_release", cut_once)
    assert driver.join({"seed": 3}, {}) == {}
    assert driver.header()["seed"] == 3
    assert not list(cuts)
    driver.leave()


@breaks_connections
def test_two_drivers_on_postgresql(tmp_path, server, reference):
    url = server.create("two")
    outs = [tmp_path / "a", tmp_path / "b"]
    drive_together(outs, url, evaluate=Toy(sleep_s=0.005, log=tmp_path / "log"))
    assert all(faults.tables(out) == faults.tables(reference) for out in outs)
    evaluated = (tmp_path / "log").read_text().splitlines()
    assert len(evaluated) == len(set(evaluated)) == 60
    trials = told_of(url.replace("postgresql:", "postgresql+psycopg:"))
    assert [trial.number for trial in trials] == list(range(60))
    assert len({trial.user_attrs["driver"] for trial in trials}) == 2


@breaks_connections
def test_connections_that_break_lose_nothing(tmp_path, server, reference):
    rows = faults.storage_faults(tmp_path, reference, 6, random.Random(5), server)
    for row in rows:
        assert (row.lost, row.twice, row.same) == (0, 0, True), row


@pytest.mark.slow
def test_what_is_wrong_with_a_server_is_said(tmp_path, server):
    for url, said in ((server.url(password="wrong"), "password authentication failed"),
                      (server.url("none"), 'database "none" does not exist'),
                      (server.url().replace(str(server.port), "1"), "Connection refused")):
        with pytest.raises(InputError, match=said) as refused:
            drive(tmp_path / "a", url)
        assert "wrong" not in str(refused.value)
        assert "secret" not in str(refused.value)
