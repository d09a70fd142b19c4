"""A few of the faults of tests/benchmarks/bench_faults.py, which injects a hundred."""

import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import faults
from run_toys import toy_outcome, toy_study

from dse.driver import run_study
from dse.errors import InputError


def nothing_lost(rows) -> None:
    assert rows
    for row in rows:
        assert (row.lost, row.twice, row.same) == (0, 0, True), row


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    return faults.undisturbed(tmp_path_factory.mktemp("reference") / "run")


def test_the_table_sees_what_is_lost(tmp_path, reference):
    out = faults.undisturbed(tmp_path / "run", seed=4)
    before = faults.journal_of(reference)
    row = faults.compare("another run", before, out, reference)
    assert row.lost > 0
    assert not row.same
    lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (out / "journal.jsonl").write_bytes(b"".join([*lines, lines[-1]]))
    assert faults.compare("a line twice", before, out, reference).twice > 0


def test_a_disk_that_runs_full(tmp_path, reference):
    nothing_lost(faults.disk_faults(tmp_path, reference, 2, random.Random(1)))


def test_a_second_driver_is_refused(tmp_path, reference):
    out = tmp_path / "run"
    assert "another dse run (process" in faults.second_driver_is_refused(out)
    assert faults.tables(out) == faults.tables(reference)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_in_a_folder_that_became_read_only(tmp_path, reference):
    out = tmp_path / "run"
    run_study(toy_study(trials=8), out, workers=1, evaluate=toy_outcome)
    before = (out / "journal.jsonl").read_bytes()
    for path in (*out.iterdir(), out):
        path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="writ"):
            run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)
    finally:
        out.chmod(0o700)
        for path in out.iterdir():
            path.chmod(0o700)
    assert (out / "journal.jsonl").read_bytes() == before
    run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)
    assert faults.tables(out) == faults.tables(reference)


@pytest.mark.slow
def test_a_node_that_dies(tmp_path, reference):
    nothing_lost(faults.node_faults(tmp_path, reference, 2, random.Random(3)))
