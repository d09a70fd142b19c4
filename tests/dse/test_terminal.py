"""The answer on a terminal: table, plot, advice, next commands; the same after `run`, `report` and `front`."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from hand_made_run import THREE, hand_made
from small_run import write_study
from synthetic_run import make_run

from dse.cli import app
from dse.report.rundata import read_run
from dse.terminal import counts_line, front_table, next_commands, summary, text_plot


def test_plot_marks_classes_and_is_ascii(tmp_path):
    run = hand_made(tmp_path / "run", THREE)
    lines = text_plot(run, width=40, height=8)
    body = "\n".join(lines[1:9])
    assert body.isascii()
    assert body.count("*") == 1
    assert body.count("T") == 1
    assert body.count("H") == 1
    assert body.count(".") >= 1
    assert max(map(len, lines[1:])) <= 40 + 12
    # The smallest area is at the left, the largest p99 at the top.
    assert lines[1].rstrip().endswith("|T")


def test_a_run_of_the_exact_front_counts_designs(tmp_path):
    run = hand_made(tmp_path / "run", THREE)
    assert " trials, " in counts_line(run)
    (run.path / "certificate.json").write_text("{}")
    assert " designs simulated, " in counts_line(run)
    assert next_commands(run, -1)[-1].startswith("dse front --check ")


def test_table_drops_columns_to_fit_and_keeps_the_objectives(tmp_path):
    run = read_run(make_run(tmp_path / "run", 200))
    wide, narrow = front_table(run, 5, width=400), front_table(run, 5, width=10)
    assert "power" in wide[0]
    assert "least margin" in wide[0]
    assert "power" not in narrow[0]
    for name in ("area", "p99/deadline", "energy/inf"):
        assert name in narrow[0]
    assert len(wide) == 2 + 5 + 1


def test_plot_shows_budgets_within_its_view(tmp_path):
    run = hand_made(tmp_path / "run", THREE, budgets="{area_mm2: 10, p99_deadline_frac: 0.5}")
    body = text_plot(run, width=41, height=9)[1:10]
    columns = {line.index(":") for line in body if ":" in line}
    assert len(columns) == 1
    # areas of the front are 4 to 12 mm2: 10 is at three quarters of 40 steps
    assert columns.pop() - body[0].index("|") - 1 == 30
    assert sum("---" in line for line in body) == 1


def test_colours_change_nothing_but_colours(tmp_path):
    import re

    run = hand_made(tmp_path / "run", THREE)
    plain, coloured = text_plot(run, width=40, height=8), text_plot(run, width=40, height=8, colour=True)
    assert "\x1b[34mT\x1b[0m" in coloured[1]
    assert [re.sub("\x1b\\[[0-9]+m", "", line) for line in coloured] == plain


def test_nothing_feasible_has_no_plot(tmp_path):
    run = hand_made(tmp_path / "run", [("time_mux", 22.0, 0.5, False)])
    assert text_plot(run) == []
    assert "area is 22 mm2" in summary(run, None)


def test_summary_is_as_wide_as_the_terminal(tmp_path, monkeypatch):
    run = read_run(make_run(tmp_path / "run", 200))
    for width in (80, 100, 160):
        monkeypatch.setenv("COLUMNS", str(width))
        text = summary(run, None)
        assert "\x1b" not in text  # no terminal, no colours
        plane = [line for line in text.splitlines() if " |" in line or " +-" in line]
        assert max(map(len, plane)) <= width


def test_next_commands_can_be_pasted(tmp_path):
    import shlex

    folder = tmp_path / "with space"
    folder.mkdir()
    run = hand_made(folder / "run", THREE)
    for command in next_commands(run, 1):
        words = shlex.split(command)
        assert words[0] == "dse"
        assert not any(word == "with" or word.endswith("/with") for word in words)
    assert next_commands(run, 1)[0] == f"dse why '{run.path}' --trial 1"
    (run.path / "certificate.json").write_text("{}")
    assert next_commands(run, 1)[-1] == f"dse front --check '{run.path}'"


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What `run`, `report` and `front` print of one small study."""
    folder = tmp_path_factory.mktemp("said")
    study = write_study(folder, search={"trials": 12, "seed": 3, "sampler": "random"}, space={
        "architectures": ["time_mux"], "policies": ["fcfs", "edf"],
        "domains": {"freq_hz": [1e9], "rows": [16, 32], "cols": [16], "vector_lanes": [32], "dataflow": ["ws"],
                    "sram_bytes": [262144]}})
    found = {}
    for name, args in (("run", [study, "--out", folder / "a", "--workers", "1"]), ("report", [folder / "a"]),
                       ("front", [study, "--out", folder / "b", "--workers", "1"])):
        done = CliRunner().invoke(app, [name, *map(str, args)])
        assert done.exit_code == 0, done.output
        found[name] = done.stdout.splitlines()
    return found, folder


def test_report_says_what_run_said(said):
    found, folder = said
    assert found["run"][:-1] == found["report"][:-1]
    assert found["run"][-1] == f"report: {folder / 'a' / 'report.html'}"
    assert found["report"][-1] == str(folder / "a" / "report.html")


def test_front_says_how_it_was_proven_and_the_answer(said):
    lines, folder = said[0]["front"], said[1]
    assert lines[0].startswith("exact front: ")
    assert any(line.startswith("time_mux wins: ") for line in lines)
    assert f"  dse front --check {folder / 'b'}" in lines
    assert lines[-1] == f"report: {folder / 'b' / 'report.html'}"
