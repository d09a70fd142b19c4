"""Advice on fronts made by hand: who wins, by how much, what limits it; and reading of RUN folders."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from dse.advice import advise, ranked_front, recommended, scores
from dse.errors import InputError
from dse.report.rundata import cell_value, read_run
from dse.report.words import budget_margin, comparison, describe_hardware, quantity


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_run = _load("synthetic_run").make_run
hand_made, THREE = (getattr(_load("hand_made_run"), name) for name in ("hand_made", "THREE"))


def test_the_class_of_the_design_nearest_to_the_ideal_corner_wins(tmp_path):
    run = hand_made(tmp_path / "run", THREE)
    # Front: (4, .9), (5, .3), (12, .2); ranges 8 and .7; distances 1, hypot(1/8, 1/7) = .1899, 1.
    assert list(ranked_front(run)["trial"]) == [1, 0, 2]
    assert scores(run, run.front) == pytest.approx([1.0, np.hypot(1 / 8, 1 / 7), 1.0])
    found = advise(run)
    assert (found.winner, found.trial) == ("composable", 1)
    # The best time_mux is the dominated trial 3, hypot(2/8, 4/7) = .62 from the corner, not trial 0 at 1.
    assert found.rivals == {"time_mux": 3, "heterogeneous": 2}


def test_the_sentence_says_by_how_much_and_what_limits(tmp_path):
    sentence = advise(hand_made(tmp_path / "run", THREE)).sentence
    assert sentence.startswith("composable wins: trial 1 ")
    assert "composable holds 1 of the 3 designs of the front" in sentence
    assert "best time_mux (trial 3) has 20% more area and 2x the p99 latency / deadline" in sentence
    assert "best heterogeneous (trial 2) has 2.4x the area and 33% less p99 latency / deadline" in sentence
    assert "no dedicated design meets the budgets" in sentence
    assert "cam (p99 at 30% of its deadline" in sentence
    assert "not a budget (the nearest, p99 latency / deadline, has 70% left)" in sentence
    assert sentence.count(".\n") == 0
    assert sentence.endswith(".")


def test_the_breakdown_tells_where_the_time_goes(tmp_path):
    run = hand_made(tmp_path / "run", THREE)
    sentence = advise(run, {"time_frac.cam": {"waiting": 0.55, "dram": 0.4, "compute": 0.05}}).sentence
    assert "its time is 55% waiting and 40% DRAM" in sentence


def test_recommended_designs_per_objective_and_tighter_budget(tmp_path):
    found = recommended(hand_made(tmp_path / "run", THREE))
    by_trial = {item["trial"]: item["label"] for item in found}
    assert by_trial[1] == "best compromise; best within area 5 mm2"
    assert by_trial[0] == "least area"
    assert by_trial[2] == "least p99 latency / deadline"


def test_nothing_feasible_names_the_nearest_design_and_its_budget(tmp_path):
    run = hand_made(tmp_path / "run", [("time_mux", 22.0, 0.5, False), ("dedicated", 60.0, 0.1, False)])
    found = advise(run)
    assert (found.winner, found.trial) == ("", 0)
    assert "No design meets every budget: trial 0" in found.sentence
    assert "area is 22 mm2, budget 20 mm2 (10% beyond)" in found.sentence


def test_one_design_alone(tmp_path):
    run = hand_made(tmp_path / "run", [("time_mux", 4.0, 0.5, True)])
    assert advise(run).trial == 0
    assert advise(run).rivals == {}


def test_ranking_does_not_depend_on_the_unit_of_an_objective(tmp_path):
    run = hand_made(tmp_path / "a", THREE)
    scaled = hand_made(tmp_path / "b", [(k, a * 1000, f, ok) for k, a, f, ok in THREE])
    assert list(ranked_front(run)["trial"]) == list(ranked_front(scaled)["trial"])


@pytest.mark.parametrize(("metric", "value", "text"), [
    ("area_mm2", 12.345, "12.3 mm2"), ("p99_latency_s", 0.0031, "3.1 ms"), ("energy_j", 2.5e-7, "250 nJ"),
    ("power_w", 0.9999, "1 W"), ("p99_deadline_frac", 0.61234, "0.612"), ("throughput_per_s", 95.0, "95 /s"),
    ("area_mm2", float("inf"), "inf"), ("energy_j", 0.0, "0 J"),
])
def test_quantities(metric, value, text):
    assert quantity(metric, value) == text


@pytest.mark.parametrize(("mine", "other", "text"), [
    (10.0, 10.0, "the same area"), (10.0, 10.7, "7% more area"), (10.0, 25.0, "2.5x the area"),
    (10.0, 4.0, "60% less area"), (0.0, 4.0, "area 4 mm2 against 0 mm2"),
])
def test_comparisons(mine, other, text):
    assert comparison("area_mm2", mine, other) == text


def test_margins():
    assert budget_margin(40.0, 30.0, minimise=True) == 0.25
    assert budget_margin(40.0, 50.0, minimise=True) == -0.25
    assert budget_margin(10.0, 12.0, minimise=False) == pytest.approx(0.2)
    assert budget_margin(40.0, float("nan"), minimise=True) == -float("inf")


def test_hardware_in_words():
    assert describe_hardware({"rows": 64, "cols": 32, "dataflow": "ws", "sram_bytes": 1048576,
                              "dram_bytes_per_s": 16e9}) == "64x32 ws, 1 MiB, 16 GB/s"
    assert describe_hardware({"engines": 2, "side0": 32, "dataflow0": "ws", "side1": 16, "dataflow1": "os",
                              "sram_bytes0": 131072, "sram_bytes1": 524288}) == "32x32 ws + 16x16 os, 640 KiB"
    assert describe_hardware({"rows": 64, "cols": 64, "dataflow": "os", "subarrays": 16, "sram_bytes": None}) \
        == "64x64 os in 16 sub-arrays"


def test_cells():
    texts = ("", "3", "3.0", "1e9", "True", "edf", "0.1")
    assert [cell_value(c) for c in texts] == [None, 3, 3.0, 1e9, True, "edf", 0.1]
    assert isinstance(cell_value("3"), int)


def test_a_run_reads_back_with_types(tmp_path):
    run = read_run(make_run(tmp_path / "run", 120, failed=3))
    assert len(run.trials) == 120
    assert len(run.failed) == 3
    assert run.tenants[0] == "keyword"
    assert [o.minimise for o in run.objectives] == [True, True, True]
    params = run.params(run.row(0))
    assert isinstance(params["node_nm"], int)
    assert isinstance(params["dram_bytes_per_s"], float)
    assert None not in params.values()
    area = run.front["area_mm2"]
    assert area.is_monotonic_increasing
    assert run.front["feasible"].all()


def broken(tmp_path, change):
    run = make_run(tmp_path / "run", 12)
    change(run)
    with pytest.raises(InputError) as caught:
        read_run(run)
    return str(caught.value)


def test_no_run(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_run(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be the folder of a run"):
        read_run(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"it has no study.yaml"):
        read_run(tmp_path / "empty")


@pytest.mark.parametrize("name", ["trials.csv", "front.csv", "manifest.json"])
def test_partial_run(tmp_path, name):
    message = broken(tmp_path, lambda run: (run / name).unlink())
    assert f"must be a finished run: it has no {name}" in message
    assert "--resume" in message


def _edit(name, old, new):
    def change(run):
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return change


def test_corrupt_tables(tmp_path):
    assert "empty" in broken(tmp_path / "a", lambda run: (run / "trials.csv").write_text(""))
    message = broken(tmp_path / "b", _edit("trials.csv", "area_mm2", "area"))
    assert "must have the column area_mm2" in message
    assert "did you mean" in message
    message = broken(tmp_path / "c", lambda run: (run / "trials.csv").write_bytes(b"\x00\xff\xfe" * 99))
    assert "trials.csv" in message

    def not_a_number(run):
        lines = (run / "trials.csv").read_text().splitlines(keepends=True)
        cells = lines[3].split(",")
        cells[lines[0].split(",").index("power_w")] = "fast"
        lines[3] = ",".join(cells)
        (run / "trials.csv").write_text("".join(lines))

    message = broken(tmp_path / "d", not_a_number)
    assert "trials.csv:4:" in message
    assert "power_w: must be a number, got 'fast'" in message
    assert "must hold at least one trial" in broken(
        tmp_path / "e", lambda run: (run / "trials.csv").write_text((run / "trials.csv").read_text().split("\n")[0]))


def test_corrupt_settings(tmp_path):
    assert "must be YAML" in broken(tmp_path / "a", lambda run: (run / "study.yaml").write_text("a: [1\nb: }"))
    assert "must be a metric, got 'area'" in broken(tmp_path / "b", _edit("study.yaml", "area_mm2", "area"))
    assert "must be JSON" in broken(tmp_path / "c", lambda run: (run / "manifest.json").write_text('{"a": 1,'))
    assert "must be a study, got list" in broken(tmp_path / "d", lambda run: (run / "study.yaml").write_text("[1]"))


def test_a_trial_twice(tmp_path):
    def twice(run):
        lines = (run / "trials.csv").read_text().splitlines(keepends=True)
        (run / "trials.csv").write_text("".join([*lines[:3], lines[1], *lines[3:]]))

    assert "must be unique, got 0 twice" in broken(tmp_path, twice)


def test_front_outside_the_trials(tmp_path):
    first = make_run(tmp_path / "small", 12)
    second = make_run(tmp_path / "large", 300, seed=5)
    shutil.copy(second / "front.csv", first / "front.csv")
    with pytest.raises(InputError, match="must hold trials"):
        read_run(first)
