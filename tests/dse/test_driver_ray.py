"""The driver with real Ray actors: same trials, and workers that die, hang or poison their chunk."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import run_toys
from run_toys import Toy, toy_outcome, toy_study
from test_driver import rows_of

from dse.driver import run_study


@pytest.fixture(scope="module")
def ray():
    """One local Ray for the module: the pool uses a running one and leaves it running."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, at start-up
        import ray

        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
                 object_store_memory=128 * 1024**2)
        ray.cloudpickle.register_pickle_by_value(run_toys)
        yield ray
        ray.cloudpickle.unregister_pickle_by_value(run_toys)
        ray.shutdown()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "run"
    run_study(toy_study(), out, workers=1, evaluate=toy_outcome)
    return rows_of(out)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_trials(tmp_path, ray, reference, workers):
    result = run_study(toy_study(), tmp_path / "run", workers=workers, evaluate=toy_outcome)
    assert result.workers == workers
    assert rows_of(tmp_path / "run") == reference
    assert (tmp_path / "run" / "front.csv").exists()


def test_a_worker_that_is_killed_once_changes_nothing(tmp_path, ray, reference):
    marker = tmp_path / "killed"
    run_study(toy_study(), tmp_path / "run", workers=2, evaluate=Toy(kills_once=marker))
    assert marker.exists()
    assert rows_of(tmp_path / "run") == reference


def test_a_design_that_kills_its_worker_is_a_failed_trial(tmp_path, ray):
    study = toy_study(trials=24)
    result = run_study(study, tmp_path / "run", workers=2, evaluate=Toy(kills=(2,)))
    poison = [r for r in result.results if r.params["x"] == 2]
    assert poison
    assert [r for r in result.results if r.state == "failed"] == poison
    assert all("worker died" in r.error and "3 attempts" in r.error for r in poison)
    assert result.n_trials == 24


def test_a_design_that_hangs_is_a_failed_trial(tmp_path, ray, monkeypatch):
    monkeypatch.setattr("dse.workers._WARM_S", 1.0)
    study = toy_study(trials=24, eval_timeout_s=0.5)
    result = run_study(study, tmp_path / "run", workers=2, evaluate=Toy(hangs=(3,)))
    hung = [r for r in result.results if r.params["x"] == 3]
    assert hung
    assert [r for r in result.results if r.state == "failed"] == hung
    assert all("eval_timeout_s = 0.5" in r.error for r in hung)
