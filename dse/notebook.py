"""Runs as objects for scripts and notebooks: tables as pandas frames, figures by plotly, the answer as HTML."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from dse.advice import Advice, advise, nothing_feasible, ranked_front, scores
from dse.documents import load_study
from dse.errors import InputError, NothingFeasible, Problem, did_you_mean
from dse.report.rundata import RunData, metric_column, read_run
from dse.report.words import describe_hardware, describe_policy, label, quantity
from dse.robust import see
from dse.study import Study
from hwmodels.design import Design
from hwmodels.evaluate import Detail, evaluate_detail
from hwmodels.outcome import OBJECTIVES, Outcome
from hwmodels.robust import Scenario

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from dse.explain_trial import Explanation

__all__ = ["StudyRun", "TrialView", "load_run", "run_study"]

_ROWS = 12


def _html_table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@final
@dataclass(frozen=True, kw_only=True)
class TrialView:
    """One design of a run.

    Parameters
    ----------
    number : of the trial.
    params : its parameters in the study's space.
    metrics : name -> value, as in trials.csv; `TENANT.METRIC` for tenants.
    """

    number: int
    study: Study
    params: dict[str, Any]
    metrics: dict[str, float]
    feasible: bool

    @cached_property
    def design(self) -> Design:
        """The design as a record, for `dse.evaluate`."""
        return self.study.design(self.params)

    @cached_property
    def scenario(self) -> Scenario:
        """What it was evaluated under; the worst scenario of a robust study."""
        return see(self.study, self.design).scenario if self.study.robust else self.study.scenarios[0]

    @cached_property
    def detail(self) -> Detail:
        """Simulated again with everything recorded: requests, layers, breakdown; a robust study's worst scenario."""
        scenario = self.scenario
        return evaluate_detail(self.design, scenario.workload, seed=scenario.seed)

    @property
    def outcome(self) -> Outcome:
        return self.detail.outcome

    @property
    def yaml(self) -> str:
        """The design as a file that `dse evaluate` reads."""
        from dse.documents import dump_design

        return dump_design(self.design, seed=self.study.seed,
                           provenance={"study": self.study.name, "trial": self.number, "params": self.params})

    def __str__(self) -> str:
        kind = self.params.get("architecture", "design")
        text = f"trial {self.number}: {kind}, {describe_hardware(self.params)}, {describe_policy(self.params)}"
        return text if self.feasible else f"{text} (not feasible)"

    def _repr_html_(self) -> str:
        names = dict.fromkeys([*(o.metric for o in self.study.objectives), *self.study.budgets])
        rows = [[label(m), quantity(m, self.metrics[m])] for m in names if m in self.metrics]
        return f"<p>{html.escape(str(self))}</p>{_html_table(['metric', 'value'], rows)}"


@final
@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """A study that was run.

    Parameters
    ----------
    run : its folder as frames.
    study : as it was run.
    """

    run: RunData
    study: Study

    @property
    def path(self) -> Path:
        return self.run.path

    # --- tables -------------------------------------------------------------------------------------------------------

    def trials(self) -> "pd.DataFrame":
        """Every trial, the columns of trials.csv."""
        return self.run.trials.copy()

    def to_pandas(self) -> "pd.DataFrame":
        """The same as `trials`."""
        return self.trials()

    def front(self) -> "pd.DataFrame":
        """The feasible Pareto front, best compromise first: the columns of trials.csv, `rank` and `score`."""
        return ranked_front(self.run)

    def pareto(self) -> "pd.DataFrame":
        """The same as `front`."""
        return self.front()

    # --- designs ------------------------------------------------------------------------------------------------------

    def trial(self, number: int) -> TrialView:
        """A trial by its number; raises `InputError` when there is none."""
        row = self.run.row(number)
        metrics = {str(name).removeprefix("tenants."): float(value) for name, value in row.items()
                   if name in OBJECTIVES or str(name).startswith("tenants.")}
        return TrialView(number=number, study=self.study, params=self.run.params(row), metrics=metrics,
                         feasible=bool(row["feasible"]))

    def best(self, budgets: Mapping[str, float] | None = None, **more: float) -> TrialView:
        """The best compromise among the feasible designs, also within tighter budgets: `best(area_mm2=20)`.

        Parameters
        ----------
        budgets : metric or `TENANT.METRIC` -> bound (a lower one where more is better); `more` as keywords.

        Raises
        ------
        InputError : an unknown metric.
        NothingFeasible : no design is within them.
        """
        frame = self.run.feasible
        bounds = {**(budgets or {}), **more}
        for metric, bound in bounds.items():
            column = metric_column(metric)
            if column not in frame.columns:
                known = [*self.run.metrics, *(c.removeprefix("tenants.") for c in frame.columns
                                              if str(c).startswith("tenants."))]
                raise InputError(Problem(field="best", message=f"must be given metrics of the run, got {metric!r}",
                                         hint=did_you_mean(metric, known)))
            values = frame[column]
            frame = frame[values <= bound] if self.run.minimise(metric) else frame[values >= bound]
        if frame.empty:
            if not bounds:
                raise nothing_feasible(self.run, "`trial({trial})` opens it")
            within = ", ".join(f"{label(m)} within {quantity(m, b)}" for m, b in bounds.items())
            raise NothingFeasible(f"{self.run.name}: no design of the run has {within}")
        ranked = frame.assign(score=scores(self.run, frame)).sort_values(["score", "trial"], kind="stable")
        return self.trial(int(ranked["trial"].iloc[0]))

    def why(self, trial: int | None = None, *, seeds: int = 5) -> "Explanation":
        """What limits a design, its neighbours, its policy against others; see `dse why`."""
        from dse.explain_trial import explain

        return explain(self.run, trial, seeds=seeds)

    # --- the answer ---------------------------------------------------------------------------------------------------

    @cached_property
    def advice(self) -> Advice:
        """Which class wins, by how much, and what limits it."""
        found = advise(self.run)
        if not found.winner:
            return found
        return advise(self.run, self.trial(found.trial).outcome.breakdown)

    def report(self) -> Path:
        """Write RUN/report.html."""
        from dse.report import write_report

        return write_report(self.path)

    def __str__(self) -> str:
        return (f"{self.run.name}: {len(self.run.trials)} trials, {len(self.run.feasible)} feasible, "
                f"{len(self.run.front)} on the front. {self.advice.sentence}")

    def _repr_html_(self) -> str:
        ranked = self.front()
        metrics = list(dict.fromkeys([*(o.metric for o in self.run.objectives), *self.run.budgets]))
        rows = []
        for row in ranked.head(_ROWS).to_dict("records"):
            params = self.run.params(row)
            rows.append([str(row["rank"]), str(row["trial"]), str(params.get("architecture", "")),
                         describe_hardware(params), describe_policy(params),
                         *(quantity(m, float(row[metric_column(m)])) for m in metrics)])
        header = ["#", "trial", "class", "hardware", "policy", *map(label, metrics)]
        more = f"<p>and {len(ranked) - _ROWS} more on the front</p>" if len(ranked) > _ROWS else ""
        return f"<p>{html.escape(str(self))}</p>" + (_html_table(header, rows) if rows else "") + more

    # --- figures ------------------------------------------------------------------------------------------------------

    def _chosen(self, trial: "int | TrialView | None") -> TrialView:
        if isinstance(trial, TrialView):
            return trial
        return self.best() if trial is None else self.trial(trial)

    def plot_pareto(self, x: str | None = None, y: str | None = None) -> "go.Figure":
        """Feasible designs and the front over two metrics; the first two objectives by default."""
        from dse.plots import pareto_figure

        return pareto_figure(self.run, x, y)

    def plot_history(self) -> "go.Figure":
        """Hypervolume against trials."""
        from dse.plots import history_figure

        return history_figure(self.run)

    def plot_timeline(self, trial: "int | TrialView | None" = None) -> "go.Figure":
        """Which tenant held which engine when; of the best compromise by default, as in the other figures."""
        from dse.plots import timeline_figure

        view = self._chosen(trial)
        return timeline_figure(view.detail, view.scenario.workload, str(view))

    def plot_latency(self, trial: "int | TrialView | None" = None) -> "go.Figure":
        """Latency of every tenant, with its deadline."""
        from dse.plots import latency_figure

        view = self._chosen(trial)
        return latency_figure(view.detail, view.scenario.workload, str(view))

    def plot_breakdown(self, trial: "int | TrialView | None" = None) -> "go.Figure":
        """Area and energy by part."""
        from dse.plots import breakdown_figure

        view = self._chosen(trial)
        return breakdown_figure(view.outcome, str(view))

    def plot_limits(self, trial: "int | TrialView | None" = None) -> "go.Figure":
        """Where the time of each tenant goes."""
        from dse.plots import limits_figure

        view = self._chosen(trial)
        return limits_figure(view.detail.outcome, str(view))

    def plot_roofline(self, trial: "int | TrialView | None" = None) -> "go.Figure":
        """Layers as points under the roofs of the engines."""
        from dse.plots import roofline_figure

        view = self._chosen(trial)
        return roofline_figure(view.detail, view.scenario.workload, str(view))

    def plot_parallel(self) -> "go.Figure":
        """Parallel coordinates of the front: parameters and objectives."""
        from dse.plots import parallel_figure

        return parallel_figure(self.run)


def load_run(path: str | Path) -> StudyRun:
    """A run made by `dse run` or `run_study`; raises `InputError` when the folder is none."""
    run = read_run(Path(path))
    return StudyRun(run=run, study=run.record)


def run_study(study: Study | str | Path, out: str | Path | None = None, *, trials: int | None = None,
              seed: int | None = None, sampler: str | None = None, workers: int | None = None, resume: bool = False,
              show_progress: bool = False) -> StudyRun:
    """Run a study and open the result; an interrupted one holds what was done.

    Parameters
    ----------
    study : a record of `load_study`, or a file.
    out : folder of the run, new unless `resume`; `runs/NAME` by default.
    trials, seed, sampler, workers : replace what the study says.

    Raises
    ------
    InputError : the study or the folder breaks a rule.
    """
    from dse.driver import Interrupted
    from dse.driver import run_study as drive
    from dse.progress import default_progress

    given = {"trials": trials, "seed": seed, "sampler": sampler, "workers": workers}
    overrides: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    loaded = replace(study, **overrides) if isinstance(study, Study) else load_study(study, **overrides)
    folder = Path(out) if out is not None else Path("runs") / loaded.name
    try:
        drive(loaded, folder, resume=resume, progress=default_progress() if show_progress else None,
              command="dse.run_study")
    except Interrupted:
        if not (folder / "trials.csv").is_file():
            raise
    return load_run(folder)
