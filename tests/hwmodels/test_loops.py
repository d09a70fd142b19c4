"""After the loops are made ready nothing is compiled any more, whatever is evaluated."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import fits, random_case

from hwmodels import compiled, loops
from hwmodels.kernel import request_isolated_s, run
from hwmodels.kernel_columns import suffix_sums
from hwmodels.kernel_general import run_general
from hwmodels.kernel_places import alone_s
from hwmodels.kernel_single import run_single
from hwmodels.kernel_tile import run_tile
from hwmodels.policies import POLICIES, policy
from hwmodels.tables import DRAM_MAX_MIN

LOOPS = (run_single, run_general, run_tile, alone_s)
MACHINES = [{}, {"engines": 2, "units": (1, 1), "mode": DRAM_MAX_MIN}, {"levels": 3, "units": (4,)}]


def read_only(columns):
    """The same record, no array of which can be written to."""
    def frozen(value):
        if isinstance(value, np.ndarray):
            value = value.copy()
            value.flags.writeable = False
        return value
    if dataclasses.is_dataclass(columns):
        return dataclasses.replace(columns, **{f.name: frozen(getattr(columns, f.name))
                                               for f in dataclasses.fields(columns)})
    return columns._replace(**{name: frozen(value) for name, value in columns._asdict().items()})


def test_nothing_is_compiled_after_the_loops_are_loaded():
    loops.load_loops(list(POLICIES))
    before = {loop: set(loop.overloads) for loop in LOOPS}
    assert all(len(overloads) == 1 for overloads in before.values())
    for which in MACHINES:
        table, machine, trace = random_case(3, **which)
        machine = machine._replace(reconfigure_s=0, dram_bytes_per_s=int(machine.dram_bytes_per_s))
        for one in (one for one in POLICIES.values() if fits(one, machine)):
            for record in (False, True):
                run(table, machine, trace, one, record=record)
            run(read_only(table), read_only(machine), read_only(trace), one)
        request_isolated_s(table, machine, trace)
    assert {loop: set(loop.overloads) for loop in LOOPS} == before


def test_missing_files_are_noticed(tmp_path, monkeypatch):
    class Loop:
        py_func = run_single.py_func
        stats = type("Stats", (), {"cache_path": str(tmp_path)})

    monkeypatch.setattr(loops, "_ENTRIES", (Loop,))
    assert loops._missing()
    (tmp_path / "kernel_single.run_single-1.py3.nbi").touch()
    assert not loops._missing()


def test_what_was_compiled_is_forgotten_when_a_source_changes(tmp_path, monkeypatch):
    """Also a piece in another file than the loop's own."""
    kept = tmp_path / "loop-1.py311.nbi"
    compiled.drop_stale(tmp_path / "new")
    compiled.drop_stale(tmp_path)
    kept.touch()
    compiled.drop_stale(tmp_path)
    assert kept.exists()
    monkeypatch.setattr(compiled, "_sources", lambda: "another")
    compiled.drop_stale(tmp_path)
    assert not kept.exists()


def test_every_source_counts(tmp_path):
    (tmp_path / "inner").mkdir()
    piece = tmp_path / "inner" / "piece.py"
    piece.write_text("x = 1\n")
    before = compiled._sources.__wrapped__(tmp_path)
    assert compiled._sources.__wrapped__(tmp_path) == before
    os.utime(piece, ns=(0, 1))
    assert compiled._sources.__wrapped__(tmp_path) != before


LATER = """
import sys
import numba
from hwmodels.compiled import column
from hwmodels.kernel_columns import suffix_sums
from hwmodels.policies import policy

ones = column([1.0, 1.0])
assert suffix_sums(ones, ones, 0, 2).tolist() == [2.0, 1.0] and policy("fcfs").key.pointer.compiled.cache_hits == 1
assert "numba.np.npyimpl" not in sys.modules  # all that numba knows of numpy is for compiling
assert numba.njit(lambda values: values.cumsum())(ones).tolist() == [1.0, 2.0]
"""


def test_what_was_compiled_is_loaded_without_the_compiler():
    """And what is not there yet is compiled as ever."""
    policy("fcfs").key.pointer  # noqa: B018
    suffix_sums(np.ones(1), np.ones(1), 0, 1)
    subprocess.run([sys.executable, "-c", LATER], check=True)
