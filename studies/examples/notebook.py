# ruff: noqa: T201
# %% [markdown]
# A study from Python: run it, look at the answer, keep a design. Open as a notebook, or run it as a script:
#   python studies/examples/notebook.py [TRIALS] [OUT]

# %%
import sys
from pathlib import Path

from dse import evaluate, load_study, run_study

trials = int(sys.argv[1]) if len(sys.argv) > 1 else 200
out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("runs/notebook")
study = load_study(Path(__file__).parents[1] / "quickstart.yaml")

# %% the answer: in a notebook the object shows itself
run = run_study(study, out, trials=trials, workers=1 if trials < 100 else None)
print(run)

# %% every trial and the front as pandas frames
frame = run.to_pandas()
print(frame.groupby("params.architecture")["area_mm2"].describe())
print(run.pareto()[["rank", "trial", "area_mm2", "p99_deadline_frac", "energy_per_inference_j"]].head())

# %% the best compromise on less area, and what it is
small = run.best(area_mm2=20)
print(small)
print(small.yaml)

# %% figures: shown in a notebook, written by a script
for name, figure in (("pareto", run.plot_pareto()), ("history", run.plot_history()),
                     ("timeline", run.plot_timeline(small)), ("latency", run.plot_latency(small)),
                     ("breakdown", run.plot_breakdown(small))):
    figure.write_html(out / f"{name}.html", include_plotlyjs="directory")

# %% the same design under traffic of another seed
again = evaluate(small.design, study.workload, seed=study.seed + 1)
print(f"p99 / deadline {small.metrics['p99_deadline_frac']:.3f}, "
      f"with another seed {again.metrics['p99_deadline_frac']:.3f}")
