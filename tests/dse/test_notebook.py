"""The notebook API on a small run, and the example script."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_run import write_study

import dse
from dse.documents import load_design
from dse.errors import InputError, NothingFeasible

EXAMPLE = Path(__file__).parents[2] / "studies" / "examples" / "notebook.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    return dse.run_study(dse.load_study(write_study(folder)), folder / "run", workers=1)


def test_import_is_light():
    code = ("import sys, dse, dse.cli; assert 'run_study' in dir(dse); "
            "print([m for m in ('numpy', 'pandas', 'plotly', 'numba', 'optuna', 'yaml') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    for name in dse.__all__:
        assert callable(getattr(dse, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dse.nothing


def test_frames(run):
    frame = run.to_pandas()
    assert len(frame) == 24
    pd.testing.assert_frame_equal(frame, run.trials())
    frame["area_mm2"] = 0.0  # a copy: the run stays as it is
    assert (run.trials()["area_mm2"] > 0).all()
    front = run.pareto()
    assert list(front["rank"]) == list(range(1, len(front) + 1))
    points = run.trials()[run.trials()["feasible"]][["area_mm2", "p99_deadline_frac"]].to_numpy()
    for row in front.to_dict("records"):
        own = (row["area_mm2"], row["p99_deadline_frac"])
        assert not ((points <= own).all(axis=1) & (points < own).any(axis=1)).any()
    pd.testing.assert_frame_equal(front, run.front())


def test_best_within_tighter_budgets(run):
    assert run.best().number == run.pareto()["trial"].iloc[0] == run.advice.trial
    areas = sorted(run.trials()[run.trials()["feasible"]]["area_mm2"])
    bound = areas[len(areas) // 2]
    small = run.best(area_mm2=bound)
    assert small.feasible
    assert small.metrics["area_mm2"] <= bound
    assert run.best({"eye.p99_latency_s": 0.05}).metrics["eye.p99_latency_s"] <= 0.05
    assert run.best(stp=0.0).number == run.best().number  # more is better: a lower bound
    with pytest.raises(NothingFeasible, match="area within"):
        run.best(area_mm2=areas[0] / 2)
    with pytest.raises(InputError, match="did you mean 'area_mm2'"):
        run.best(area_mm=3)


def test_a_design(run, tmp_path):
    view = run.best()
    assert view.outcome.metrics["antt"] == view.metrics["antt"]
    (tmp_path / "design.yaml").write_text(view.yaml)
    assert load_design(tmp_path / "design.yaml") == view.design
    again = dse.evaluate(view.design, run.study.workload, seed=run.study.seed)
    assert again.metrics["p99_deadline_frac"] == view.metrics["p99_deadline_frac"]
    assert f"trial {view.number}" in view._repr_html_()
    with pytest.raises(InputError, match="must be one of the 24 trials"):
        run.trial(99)
    assert run.why(seeds=1).trial.number == view.number


def test_the_answer(run):
    text = run._repr_html_()
    assert "wins" in text
    assert text.count("<tr>") == 1 + min(12, len(run.front()))
    assert "24 trials" in str(run)
    assert run.report().is_file()


def test_figures(run):
    import plotly.graph_objects as go

    best = run.best()
    figures = [run.plot_pareto(), run.plot_pareto("power_w", "eye.p99_latency_s"), run.plot_history(),
               run.plot_timeline(), run.plot_timeline(best.number), run.plot_latency(best), run.plot_breakdown()]
    assert all(isinstance(figure, go.Figure) for figure in figures)
    points = sum(len(t.x) for t in figures[0].data if t.name in ("dominated", "time_mux", "dedicated"))
    assert points == len(run.run.feasible)
    volume = list(figures[2].data[0].y)
    assert volume == sorted(volume)
    assert {t.name for t in figures[3].data} == {"words", "eye"}
    spans = sum(sum(t.x) for t in figures[3].data)
    records = best.detail.records
    assert spans == pytest.approx(float((records.spans[:, 1] - records.spans[:, 0]).sum()), rel=1e-2)
    assert sum(t.x[0] for t in figures[6].data) == pytest.approx(2.0)
    limits = run.plot_limits(best)
    assert sum(t.x[0] for t in limits.data) == pytest.approx(1.0)
    roofline = run.plot_roofline(best)
    roof = next(t for t in roofline.data if t.mode == "lines")
    assert max(max(t.y) for t in roofline.data if t.mode == "markers" and len(t.y)) <= max(roof.y) * (1 + 1e-9)
    parallel = run.plot_parallel().data[0]
    assert {d.label for d in parallel.dimensions} >= {"area [mm2]", "p99 latency / deadline"}
    assert all(len(d["values"]) == len(run.front()) for d in parallel.dimensions)
    with pytest.raises(InputError, match="did you mean 'power_w'"):
        run.plot_pareto("powr_w")


def test_a_run_by_file_and_again(tmp_path, run):
    study = write_study(tmp_path)
    made = dse.run_study(study, tmp_path / "run", trials=3, seed=4, sampler="random", workers=1)
    assert len(made.trials()) == 3
    assert made.study.seed == 4
    with pytest.raises(InputError, match="--resume"):
        dse.run_study(study, tmp_path / "run", trials=3, workers=1)
    opened = dse.load_run(made.path)
    pd.testing.assert_frame_equal(opened.trials(), made.trials())
    with pytest.raises(InputError, match="must be the folder of a run"):
        dse.load_run(tmp_path / "nothing")


def test_nothing_feasible(tmp_path):
    made = dse.run_study(write_study(tmp_path, budgets={"area_mm2": 0.1}), tmp_path / "run", trials=2, workers=1)
    assert made.pareto().empty
    assert "No design meets" in made._repr_html_()
    assert made.plot_pareto().data
    assert len(made.plot_history().data[0].y) == 0
    with pytest.raises(NothingFeasible):
        made.best()


def test_the_example_script(tmp_path):
    done = subprocess.run([sys.executable, str(EXAMPLE), "12", str(tmp_path / "run")], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "kind: design" in done.stdout
    written = {path.stem for path in (tmp_path / "run").glob("*.html")}
    assert {"pareto", "history", "timeline", "latency", "breakdown"} <= written
