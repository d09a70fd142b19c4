"""The page without a browser: one file, sound structure, escaped data, small."""

import html.parser
import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import command

from dse.report.detail import _merged, chosen_trials, heat, timeline
from dse.report.page import render
from dse.report.payload import columns_of, embed, history, payload
from dse.report.rundata import read_run


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


synthetic = _load("synthetic_run")


def page_of(path, trials=200, **options):
    run = read_run(synthetic.make_run(path, trials, **options))
    details = {t: synthetic.make_detail(run.params(run.row(t)), t) for t in chosen_trials(run)}
    return run, render(run, details)


class Structure(html.parser.HTMLParser):
    """Ids, scripts by type, and the balance of tags."""

    VOID = frozenset(("meta", "link", "br", "input", "img", "hr"))

    def __init__(self):
        super().__init__()
        self.ids, self.scripts, self.open, self.links = [], {}, [], []
        self._script = None

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.links += [attributes[k] for k in ("src", "href") if k in attributes]
        if tag == "script":
            self._script = attributes.get("id", "code")
            self.scripts[self._script] = ""
        if tag not in self.VOID and tag not in ("td", "tr", "th"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("td", "tr", "th"):
            assert self.open.pop() == tag
        self._script = None

    def handle_data(self, data):
        if self._script:
            self.scripts[self._script] += data


def parsed(text):
    structure = Structure()
    structure.feed(text)
    structure.close()
    return structure


def test_one_file_with_everything(tmp_path):
    run, text = page_of(tmp_path / "run")
    structure = parsed(text)
    assert structure.open == []
    assert len(structure.ids) == len(set(structure.ids))
    assert all(link.startswith(("#", "data:")) for link in structure.links)
    data = json.loads(structure.scripts["data"])
    assert data["columns"]["trial"] == list(run.trials["trial"])
    assert data["counts"] == {"trials": 200, "feasible": len(run.feasible), "failed": 2, "front": len(run.front)}
    assert set(data["yaml"]) == {str(t) for t in run.front["trial"]}
    assert not re.search(r"@[A-Z]{2,}@", text.replace(structure.scripts["plotly-gz"], ""))
    for name in set(re.findall(r'\$\("([a-z-]+)"\)', structure.scripts["code"])) - {"pin"}:  # made by the page itself
        assert name in structure.ids, name


def test_the_table_is_there_without_javascript(tmp_path):
    run, text = page_of(tmp_path / "run")
    static = text[text.index("<noscript><p"):]
    static = static[:static.index("</noscript>")]
    assert static.count("<tr>") == len(run.front) + 1
    assert str(int(run.front["trial"].iloc[0])) in static


def test_names_cannot_end_the_script(tmp_path):
    evil = "</script><script>alert(1)</script><!-- @DATA@ \u2028 &amp; <b>"
    _, text = page_of(tmp_path / "run", name=evil)
    structure = parsed(text)
    assert json.loads(structure.scripts["data"])["name"] == evil
    assert text.count("<script") == 3
    assert "alert(1)</script>" not in text
    assert "<b>" not in structure.scripts["data"]


def test_infinities_become_null():
    value = json.loads(embed({"a": float("inf"), "b": [float("nan"), 1.5, np.float64(2.5)], "c": np.int64(3)}))
    assert value == {"a": None, "b": [None, 1.5, 2.5], "c": 3}


def test_numbers_keep_five_digits(tmp_path):
    run = read_run(synthetic.make_run(tmp_path / "run", 60))
    columns = columns_of(run)
    assert columns["metrics"]["area_mm2"][:50] == pytest.approx(list(run.trials["area_mm2"])[:50], rel=1e-4)
    assert columns["metrics"]["area_mm2"][-1] is None  # failed
    coded = columns["params"]["policy"]
    assert [coded["values"][c] for c in coded["codes"]] == list(run.trials["params.policy"])
    sram = columns["params"]["sram_bytes"]
    assert [c < 0 for c in sram["codes"]] == [v is None for v in run.trials["params.sram_bytes"]]


def test_history_rises_to_the_hypervolume_of_the_front(tmp_path):
    from dse.pareto import hypervolume

    run = read_run(synthetic.make_run(tmp_path / "run", 250))
    found = history(run)
    assert found["trials"][-1] == 250
    assert found["hypervolume"] == sorted(found["hypervolume"])
    names = [o.metric for o in run.objectives]
    reference = np.array([found["reference"][n] for n in names])
    assert found["hypervolume"][-1] == pytest.approx(hypervolume(run.front[names].to_numpy(float), reference), rel=1e-3)
    assert found["front"][-1] == len(run.front)


def test_at_most_fifteen_designs_are_detailed_and_the_best_of_each_class_are_among_them(tmp_path):
    run = read_run(synthetic.make_run(tmp_path / "run", 900))
    chosen = chosen_trials(run)
    assert len(chosen) <= 15 < len(run.front)
    advice = payload(run, {}, [])["advice"]
    assert chosen[:1 + len(advice["rivals"])] == [advice["trial"], *advice["rivals"].values()]
    assert set(chosen) <= set(run.front["trial"]) | set(advice["rivals"].values())


def test_objectives_and_budgets_of_one_tenant(tmp_path):
    folder = synthetic.make_run(tmp_path / "run", 80)
    study = folder / "study.yaml"
    study.write_text(study.read_text().replace("- energy_per_inference_j", "- depth.p99_latency_s")
                     .replace("power_w: 5.0", "depth.p95_latency_s: 0.5"))
    run = read_run(folder)
    data = payload(run, {}, [])
    assert set(data["columns"]["extra"]) == {"depth.p99_latency_s", "depth.p95_latency_s"}
    assert data["metrics"]["depth.p99_latency_s"]["label"] == "p99 latency of depth"
    assert "p99 latency of depth" in data["advice"]["sentence"]


def test_nothing_feasible_still_makes_a_page(tmp_path):
    run, text = page_of(tmp_path / "run", budgets={"area_mm2": 0.1})
    assert run.front.empty
    assert "No design meets every budget" in text
    assert json.loads(parsed(text).scripts["data"])["ranking"] == []


def test_under_six_megabytes_at_5000_trials(tmp_path):
    _, text = page_of(tmp_path / "run", 5000)
    assert len(text.encode()) < 6e6


def test_the_same_run_gives_the_same_page(tmp_path):
    assert page_of(tmp_path / "a")[1] == page_of(tmp_path / "b")[1]


class _Slot:
    def __init__(self, name, units):
        self.name, self.units = name, units


class _Recorded:
    """The parts of a detail that the timeline reads."""

    def __init__(self, spans, slots, tenants):
        self.records = type("R", (), {"spans": np.array(spans, dtype=float)})
        self.prepared = type("P", (), {"chip": type("C", (), {"slots": slots})})
        self.trace = type("T", (), {"tenant": np.array(tenants)})


def test_layers_of_one_request_merge_into_stretches():
    # start, end, request, layer, engine, units: request 0 runs two layers, is preempted by 1, returns.
    spans = [[0, 1, 0, 0, 0, 1], [1, 2, 0, 1, 0, 1], [2, 3, 1, 0, 0, 1], [3, 4, 0, 2, 0, 1], [0, 4, 2, 0, 1, 1]]
    merged = _merged(np.array(spans, dtype=float))
    assert merged[:, :4].tolist() == [[0, 2, 0, 0], [0, 4, 2, 1], [2, 3, 1, 0], [3, 4, 0, 0]]


def test_tasks_that_share_an_engine_get_lanes():
    detail = _Recorded([[0, 4, 0, 0, 0, 2], [1, 3, 1, 0, 0, 1], [4, 5, 2, 0, 0, 4]], [_Slot("array", 4)], [0, 1, 0])
    found = timeline(detail)
    assert found["tracks"] == ["array lane 1", "array lane 2"]
    assert found["track"] == [0, 1, 0]
    assert found["tenant"] == [0, 1, 0]


def test_heat_adds_up_to_the_busy_time():
    detail = _Recorded([[0, 3, 0, 0, 0, 2], [1, 6, 1, 0, 1, 1]], [_Slot("a", 4), _Slot("b", 1)], [0, 0])
    found = heat(detail)
    slice_s = 6.0 / 60
    assert sum(found["busy"][0]) * slice_s == pytest.approx(1.5)
    assert sum(found["busy"][1]) * slice_s == pytest.approx(5.0)


def dse(*arguments):
    return command.dse("report", *arguments)


def test_command_prints_the_path_last(tmp_path):
    run = synthetic.make_run(tmp_path / "run", 60)
    done = dse(run)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == str(run / "report.html")
    assert (run / "report.html").stat().st_size > 1e6
    assert not list(run.glob(".report*"))


def test_a_page_that_cannot_be_written_is_one_error(tmp_path):
    run = synthetic.make_run(tmp_path / "run", 12)
    (run / "report.html").mkdir()
    done = command.dse("report", run)
    assert done.returncode == 2
    assert "report.html: must be a file that can be written: Is a directory" in done.stderr
    assert [entry.name for entry in run.iterdir() if entry.name.endswith(".part")] == []


def test_command_refuses_what_is_no_run(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        done = dse(path)
        assert done.returncode == 2
        assert "must be the folder of a run" in done.stderr
        assert "Traceback" not in done.stderr


def test_energy_by_level_adds_up(tmp_path):
    from dse.documents import load_study
    from dse.report.detail import energy_by_level
    from hwmodels.evaluate import evaluate_detail
    from spaces.designs import decode_design

    study = load_study(_load("small_run").write_study(tmp_path))
    rng = np.random.default_rng(1)
    for _ in range(4):
        design = decode_design(study.space.decode(study.space.sample_evenly_codes(rng)), study.workload)
        detail = evaluate_detail(design, study.workload, seed=1)
        found = energy_by_level(detail, study.workload)
        assert {"mac", "sram", "dram", "leakage", "scheduler"} <= set(found)
        assert sum(found.values()) == pytest.approx(detail.outcome.metrics["energy_j"], rel=2e-3)


def test_why_designs_were_left_out(tmp_path):
    from dse.report.insight import setbacks

    run = read_run(synthetic.make_run(tmp_path / "run", 300, budgets={"area_mm2": 10.0, "power_w": 0.3}))
    found = {one["why"]: one for one in setbacks(run)}
    area = run.trials["area_mm2"] > 10.0
    assert found["misses the budget of area"]["count"] == int(area.sum())
    assert found["misses the budget of area"]["trial"] == int(run.trials["trial"][area].iloc[0])
    assert found["failed: one, two"]["count"] == 2


def test_insight_of_a_real_run(tmp_path):
    from dse.explain_trial import open_trial
    from dse.objective import metric_of
    from dse.report.detail import study_of
    from dse.report.insight import run_insight

    run = read_run(_load("small_run").make_small_run(tmp_path, search={"trials": 40, "seed": 3, "sampler": "random"}))
    study, best = study_of(run), int(payload(run, {}, [])["advice"]["trial"])
    found = run_insight(run, study, best)
    mine = open_trial(run, best, study)
    low, high = found["intervals"]["area_mm2"]
    assert low < mine.result.metrics["area_mm2"] < high
    rows = found["steps"]["rows"]
    assert rows
    assert {row["parameter"] for row in rows}.isdisjoint({"architecture", "policy"})
    for row in rows:  # a step that is another trial of the run has that trial's figures
        params = mine.params | {row["parameter"]: row["to"]}
        same = [r for r in run.trials.to_dict("records") if run.params(r) == params]
        for trial in same:
            for metric, value in row["values"].items():
                assert value == pytest.approx(trial[metric])
    assert set(found["importance"]["r2"]) == {"area_mm2", "p99_deadline_frac"}
    for effects in found["importance"]["effects"].values():
        shares = [share for _, share in effects]
        assert shares == sorted(shares, reverse=True)
    assert metric_of(mine.result, "area_mm2") == pytest.approx(run.row(best)["area_mm2"])
