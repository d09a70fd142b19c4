"""`dse validate` and its comparisons."""

import csv
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from command import dse

from dse.errors import InputError
from dse.validation import Comparison, Row, error_fracs, reference_rows, run_comparisons, spearman, write_results

NAMES = ("scalesim", "zigzag", "tiling", "cacti", "eyeriss", "gemmini", "edge_tpu", "tpu_v1")


@pytest.fixture(scope="module")
def comparisons():
    return {comparison.name: comparison for comparison in run_comparisons()}


def test_every_comparison_of_the_issue_runs(comparisons):
    assert tuple(comparisons) == NAMES
    for comparison in comparisons.values():
        assert comparison.rows
        assert comparison.measures
        assert comparison.goal
        assert comparison.reference
        assert comparison.met or comparison.why


@pytest.mark.parametrize("name", ["scalesim", "zigzag", "tiling", "cacti", "eyeriss", "gemmini", "edge_tpu", "tpu_v1"])
def test_goals_are_met(comparisons, name):
    assert comparisons[name].met, comparisons[name].missed


def test_scalesim_is_exact(comparisons):
    cycles = [row for row in comparisons["scalesim"].rows if row.quantity == "compute cycles"]
    assert len(cycles) == len(reference_rows("scalesim")) == 755
    assert all(row.ours == row.reference for row in cycles)


def test_tiling_minima_are_reached(comparisons):
    assert error_fracs(comparisons["tiling"].rows)[-1] == 0.0


def test_gemmini_beats_the_timeloop_style_estimate(comparisons):
    """On the same rows: the estimate that comes with the data, against ours."""
    given = [row for row in comparisons["gemmini"].rows if row.quantity == "cycles of the given mapping"]
    theirs = [row._replace(ours=float(line["timeloop_style_cycles"]))
              for row, line in zip(given, reference_rows("gemmini_16x16_rtl"), strict=True)]
    assert spearman(given) > spearman(theirs)
    assert sum(error_fracs(given)) < sum(error_fracs(theirs))


def a_comparison(**changes):
    rows = (Row("a", "speed", "m/s", 2.0, 3.0), Row("b", "speed", "m/s", 4.0, 4.0), Row("c", "mass", "kg", 0.0, 1.0))
    given = {"name": "toy", "title": "A toy", "reference": "none", "goal": "equal <always>", "rows": rows,
             "measures": {"worst": 0.5}, "missed": ("a is off by 50 %.",), "why": "it is a toy"}
    return Comparison(**(given | changes))


def test_files_of_a_missed_goal(tmp_path):
    paths = write_results([a_comparison()], tmp_path / "new" / "folder")
    table = list(csv.DictReader(paths["errors.csv"].read_text().splitlines()))
    assert [row["item"] for row in table] == ["a", "b", "c"]
    assert float(table[0]["error_frac"]) == 0.5
    assert table[2]["error_frac"] == "nan"
    page = paths["validation.html"].read_text()
    assert "Goal missed: a is off by 50 %." in page
    assert "it is a toy" in page
    assert "equal &lt;always&gt;" in page
    assert "<script src" not in page
    assert "Goal missed" in paths["validation.md"].read_text()
    again = write_results([a_comparison()], tmp_path / "again")
    assert all(paths[name].read_bytes() == again[name].read_bytes() for name in paths)
    assert "a is off by 50 %." in paths["summary.csv"].read_text()


def test_rank_correlation():
    def rows(pairs):
        return [Row("x", "q", "-", a, b) for a, b in pairs]

    assert spearman(rows([(1, 10), (2, 20), (3, 300)])) == pytest.approx(1.0)
    assert spearman(rows([(1, 3), (2, 2), (3, 1)])) == pytest.approx(-1.0)
    # ties share their mean rank: (1.5, 1.5, 3) against (1, 2, 3)
    assert spearman(rows([(5, 1), (5, 2), (9, 3)])) == pytest.approx(0.8660254)


def test_command(tmp_path):
    result = dse("validate", "--only", "cacti", "--out", str(tmp_path / "out"), "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)["comparisons"]
    assert [comparison["name"] for comparison in found] == ["cacti"]
    assert found[0]["met"] is True
    assert (tmp_path / "out" / "validation.html").exists()
    text = dse("validate", "--only", "eyeriss").stdout
    assert "worst error_frac" in text


def test_bad_arguments(tmp_path):
    result = dse("validate", "--only", "eyeris")
    assert result.returncode == 2
    assert "did you mean 'eyeriss'?" in result.stderr
    (tmp_path / "file").write_text("")
    result = dse("validate", "--only", "cacti", "--out", str(tmp_path / "file"))
    assert result.returncode == 2
    assert "must be a folder" in result.stderr
    with pytest.raises(InputError, match="--only"):
        run_comparisons(["nothing"])
