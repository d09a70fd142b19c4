"""Design-space exploration of NPUs that several networks share.

In a script or a notebook:

    from dse import load_study, run_study

    run = run_study(load_study("study.yaml"), "runs/mine")
    run                                   # in a notebook: the answer, the front, what limits it
    run.to_pandas()                       # every trial; run.pareto() is the front, best first
    best = run.best(area_mm2=20)          # the recommended design within tighter budgets
    run.plot_pareto(); run.plot_timeline(best.number)

Names are imported when they are first used, so that `import dse` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dse.compare import compare_policies
    from dse.documents import load_design, load_study, load_workload
    from dse.notebook import StudyRun, TrialView, load_run, run_study
    from hwmodels.evaluate import evaluate

__all__ = ["StudyRun", "TrialView", "compare_policies", "evaluate", "load_design", "load_run", "load_study",
           "load_workload", "run_study"]

_MODULES = {
    "StudyRun": "dse.notebook", "TrialView": "dse.notebook", "load_run": "dse.notebook", "run_study": "dse.notebook",
    "compare_policies": "dse.compare", "evaluate": "hwmodels.evaluate", "load_design": "dse.documents",
    "load_study": "dse.documents", "load_workload": "dse.documents",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
