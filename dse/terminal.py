"""The answer of a run for a terminal: ranked table, a small plot, the advice, what to type next."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dse.advice import _SHORT, _table, advise, confidence_lines, margins, ranked_front
from dse.report.rundata import RunData, metric_column
from dse.report.unfinished import resume
from dse.report.words import describe_hardware, describe_policy, label, quantity

__all__ = ["counts_line", "front_table", "next_commands", "summary", "text_plot"]

Floats = NDArray[np.float64]

_MARKS = {"time_mux": "T", "composable": "C", "heterogeneous": "H", "dedicated": "D"}
_COLOURS = {"time_mux": 34, "composable": 33, "heterogeneous": 32, "dedicated": 35}
_TABLE_ROWS = 12


def front_table(run: RunData, rows: int = _TABLE_ROWS, width: int | None = None) -> list[str]:
    """The ranked front as lines of text: design, objectives, budgeted metrics, least margin.

    Parameters
    ----------
    width : columns to fit into, by default the terminal's; columns that are no objective are left out for it.
    """
    width = shutil.get_terminal_size((140, 24)).columns if width is None else width
    ranked = ranked_front(run)
    metrics = list(dict.fromkeys([*(o.metric for o in run.objectives), *run.budgets]))
    metrics = [m for m in metrics if metric_column(m) in ranked.columns]
    header = ["#", "trial", "class", "hardware", "policy", *(_SHORT.get(m, label(m)) for m in metrics), "least margin"]
    body = []
    for row in ranked.head(rows).to_dict("records"):
        params = run.params(row)
        room = margins(run, row)
        least = min(room, key=lambda m: room[m]) if room else None
        body.append([str(row["rank"]), str(row["trial"]), str(row.get("params.architecture") or "design"),
                     describe_hardware(params), describe_policy(params),
                     *(quantity(m, float(row[metric_column(m)])) for m in metrics),
                     f"{room[least]:.0%} {_SHORT.get(least, label(least))}" if least else "-"])
    right = [True, True, False, False, False, *[True] * len(metrics), False]
    spare = [*range(5 + len(run.objectives), len(header))]
    kept = [*range(len(header))]

    def table() -> list[str]:
        return _table([header[i] for i in kept], [[cells[i] for i in kept] for cells in body], [right[i] for i in kept])

    lines = table()
    while spare and max(map(len, lines)) > width:
        kept.remove(spare.pop(-2 if len(spare) > 1 else -1))  # the least margin goes last
        lines = table()
    if len(ranked) > rows:
        lines.append(f"... and {len(ranked) - rows} more in front.csv")
    return lines


def text_plot(run: RunData, width: int = 64, height: int = 14, colour: bool = False) -> list[str]:
    """Feasible designs over the first two objectives as characters: the front by the letter of its class, the
    recommended design as `*`, dominated ones as `.`, budgets as lines; plain ASCII, for every terminal and log.

    Parameters
    ----------
    width, height : of the plane, in characters.
    colour : letters of the classes in the colours of a terminal.
    """
    if len(run.objectives) < 2 or run.front.empty:
        return []
    x_of, y_of = run.objectives[0].metric, run.objectives[1].metric
    columns = [metric_column(x_of), metric_column(y_of)]
    ranked = ranked_front(run)
    cloud, front = (frame[columns].to_numpy(dtype=float) for frame in (run.feasible, ranked))
    finite = cloud[np.isfinite(cloud).all(axis=1)]
    if not len(finite):
        return []
    # Axes show the front with some room: a few far outliers would press it into a corner.
    low = np.minimum(finite.min(axis=0), front.min(axis=0))
    high = np.minimum(finite.max(axis=0), low + 1.6 * (front.max(axis=0) - low) + 1e-300)
    high = np.maximum(high, front.max(axis=0))
    span = np.where(high > low, high - low, 1.0)
    grid = [[" "] * width for _ in range(height)]

    def place(point: Floats) -> tuple[int, int] | None:
        at = (point - low) / span
        inside = np.isfinite(at).all() and (at <= 1.0).all() and (at >= 0.0).all()
        return (height - 1 - round(at[1] * (height - 1)), round(at[0] * (width - 1))) if inside else None

    def put(point: Floats, mark: str) -> None:
        if (at := place(point)) is not None:
            grid[at[0]][at[1]] = mark

    bounds = [run.budgets.get(metric) for metric in (x_of, y_of)]
    if bounds[0] is not None and (at := place(np.array([bounds[0], low[1]]))):
        for cells in grid:
            cells[at[1]] = ":"
    if bounds[1] is not None and (at := place(np.array([low[0], bounds[1]]))):
        grid[at[0]] = ["-"] * width
    for point in finite:
        put(point, ".")
    classes = [str(row.get("params.architecture") or "design") for row in ranked.to_dict("records")]
    marks = {name: _MARKS.get(name, name[:1].upper() or "?") for name in dict.fromkeys(classes)}
    for point, name in reversed(list(zip(front, classes, strict=True))):
        put(point, marks[name])
    put(front[0], "*")
    paint = {mark: f"\x1b[{_COLOURS.get(name, 39)}m{mark}\x1b[0m" for name, mark in marks.items()} if colour else {}
    legend = ", ".join(f"{paint.get(mark, mark)} {name}" for name, mark in sorted(marks.items()))
    top, bottom = quantity(y_of, float(high[1])), quantity(y_of, float(low[1]))
    pad = max(len(top), len(bottom))
    lines = [f"{label(y_of)} over {label(x_of)}   (* best compromise, {legend}, . dominated)"]
    for i, cells in enumerate(grid):
        name = top if i == 0 else bottom if i == height - 1 else ""
        row = "".join(cells).rstrip()
        lines.append(f"{name:>{pad}} |" + "".join(paint.get(c, c) for c in row))
    left, right = quantity(x_of, float(low[0])), quantity(x_of, float(high[0]))
    lines.append(" " * pad + " +" + "-" * width)
    lines.append(" " * (pad + 2) + left + right.rjust(width - len(left)))
    return lines


def next_commands(run: RunData, trial: int) -> list[str]:
    """What to type next."""
    def quoted(*words: object) -> str:
        return shlex.join(str(word) for word in words)

    lines = []
    if trial >= 0:
        lines.append(quoted("dse", "why", run.path, "--trial", trial))
        lines.append(quoted("dse", "export", run.path, "--format", "yaml", "--trial", trial, "--out", "design.yaml"))
        if isinstance(run.study.get("workload"), str):
            lines.append(quoted("dse", "evaluate", "design.yaml", "--workload", run.study["workload"]))
    if not run.finished:
        lines.append(resume(run.path))
    elif run.exact:
        lines.append(quoted("dse", "front", "--check", run.path))
    else:
        lines.append(quoted("dse", "run", run.path / "study.yaml", "--out", run.path, "--resume", "--trials",
                            2 * len(run.trials)))
    return lines


def counts_line(run: RunData) -> str:
    """How many trials came to what; a run of `dse front` simulates designs."""
    what = "designs simulated" if run.exact else "trials"
    return (f"{run.name}: {len(run.trials)} {what}, {len(run.feasible)} feasible, {len(run.failed)} failed, "
            f"{len(run.front)} on the front" + ("" if run.finished else " (has not finished)"))


def summary(run: RunData, breakdown: Mapping[str, Mapping[str, float]] | None, head: Sequence[str] = ()) -> str:
    """The answer for a terminal: ranked table, plot, advice, next commands.

    Parameters
    ----------
    breakdown : of the recommended design, see `dse.advice.advise`.
    head : first lines; by default the counts.
    """
    found = advise(run, breakdown)
    width = shutil.get_terminal_size((140, 24)).columns
    lines = [*(head or [counts_line(run)]), ""]
    if len(run.front):
        lines += [*front_table(run, width=width), ""]
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        plot = text_plot(run, width=max(40, min(width, 100) - 14), colour=colour)
        lines += [*plot, ""] if plot else []
    first, *rest = found.clauses
    lines += confidence_lines(run)
    lines += [f"{first}.", *(f"- {clause}" for clause in rest)]
    return "\n".join([*lines, "", "next:", *(f"  {command}" for command in next_commands(run, found.trial))])
