"""What a comparison with reference data is, how all are run, and how the error table and the page are written.

A comparison sets our numbers beside reference numbers row by row, states its goal, and says by how much the goal is
missed and why. The comparisons themselves are in `dse.validation_models` (tools and tables) and
`dse.validation_silicon` (measured hardware); their data is packaged in `dse/validation_data`.
"""

import csv
import html
import io
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple, final

__all__ = ["Comparison", "Row", "error_fracs", "reference_rows", "run_comparisons", "spearman", "write_results"]

_DATA = Path(__file__).with_name("validation_data")


class Row(NamedTuple):
    """One number beside its reference, in the same unit."""

    item: str
    quantity: str
    unit: str
    reference: float
    ours: float

    @property
    def error_frac(self) -> float:
        """(ours - reference) / reference [-]; nan where the reference is 0 and ours is not."""
        if self.ours == self.reference:
            return 0.0
        return (self.ours - self.reference) / self.reference if self.reference else math.nan


@final
@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The outcome of one comparison.

    Parameters
    ----------
    name : short, as in `--only`.
    title, reference : what is compared with what, and where the reference comes from.
    goal : what was asked for, as a sentence.
    rows : every single number compared.
    measures : figures that summarise the rows, name -> value.
    missed : one sentence per missed part of the goal, with the amount; empty if the goal is met.
    why : why it is missed, or what a reader must know about the comparison.
    """

    name: str
    title: str
    reference: str
    goal: str
    rows: tuple[Row, ...]
    measures: dict[str, float] = field(default_factory=dict)
    missed: tuple[str, ...] = ()
    why: str = ""

    @property
    def met(self) -> bool:
        """True if no part of the goal is missed."""
        return not self.missed


@cache
def reference_rows(name: str) -> tuple[Mapping[str, str], ...]:
    """A packaged reference table as rows of text, keyed by its header."""
    with (_DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def error_fracs(rows: Sequence[Row]) -> list[float]:
    """Absolute relative errors, ascending [-]."""
    return sorted(abs(row.error_frac) for row in rows)


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, ties sharing their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop + 1 < len(order) and values[order[stop + 1]] == values[order[start]]:
            stop += 1
        for at in order[start: stop + 1]:
            ranks[at] = (start + stop) / 2.0 + 1.0
        start = stop + 1
    return ranks


def spearman(rows: Sequence[Row]) -> float:
    """Rank correlation of ours with the reference [-]."""
    return statistics.correlation(_ranks([row.reference for row in rows]), _ranks([row.ours for row in rows]))


def run_comparisons(only: Sequence[str] = (), *, progress: Callable[[str], None] = lambda _: None) -> list[Comparison]:
    """Run all comparisons, or those named, in their fixed order; raises `InputError` for an unknown name."""
    from dse.errors import InputError, Problem, did_you_mean
    from dse.validation_models import MODEL_COMPARISONS
    from dse.validation_silicon import SILICON_COMPARISONS

    known = {**MODEL_COMPARISONS, **SILICON_COMPARISONS}
    problems = [
        Problem(field="--only", message=f"must be one of {', '.join(known)}, got {name!r}",
                hint=did_you_mean(name, list(known)))
        for name in only if name not in known
    ]
    if problems:
        raise InputError(*problems)
    results = []
    for name, compare in known.items():
        if not only or name in only:
            progress(f"comparing: {name}")
            results.append(compare())
    return results


def _csv_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def _error_table(comparisons: Sequence[Comparison]) -> str:
    return _csv_text(
        ("comparison", "item", "quantity", "unit", "reference", "ours", "error_frac"),
        [(c.name, *row, row.error_frac) for c in comparisons for row in c.rows])


def _verdict(comparison: Comparison) -> str:
    return "met" if comparison.met else "missed"


def _result(comparison: Comparison) -> str:
    return "Goal met." if comparison.met else "Goal missed: " + " ".join(comparison.missed)


def _markdown(comparisons: Sequence[Comparison]) -> str:
    lines = ["# Validation", "", "| comparison | rows | goal | result |", "|---|---|---|---|"]
    lines += [f"| [{c.name}](#{c.name}) | {len(c.rows)} | {c.goal} | {_verdict(c)} |" for c in comparisons]
    for c in comparisons:
        lines += ["", f"## {c.name}", "", c.title, "", f"Reference: {c.reference}", "", f"Goal: {c.goal}", ""]
        lines += [f"* {name}: {value:.6g}" for name, value in c.measures.items()]
        lines += ["", _result(c)]
        lines += ["", c.why] if c.why else []
    return "\n".join(lines) + "\n"


def _plots(comparison: Comparison) -> list[str]:
    """One parity plot per quantity: ours against the reference, both logarithmic, with the line of equality."""
    import plotly.graph_objects as go

    divs = []
    for index, quantity in enumerate(dict.fromkeys(row.quantity for row in comparison.rows)):
        rows = [row for row in comparison.rows if row.quantity == quantity and row.reference > 0 and row.ours > 0]
        if not rows:
            continue
        ends = [min(min(r.reference, r.ours) for r in rows), max(max(r.reference, r.ours) for r in rows)]
        unit = f" [{rows[0].unit}]" if rows[0].unit != "-" else ""
        figure = go.Figure([
            go.Scatter(x=ends, y=ends, mode="lines", name="equal", line={"color": "#888", "dash": "dot"}),
            go.Scatter(x=[r.reference for r in rows], y=[r.ours for r in rows], mode="markers", name="rows",
                       text=[f"{r.item}: {r.error_frac:+.1%}" for r in rows], hovertemplate="%{text}<extra></extra>",
                       marker={"size": 6, "color": "#0072B2", "opacity": 0.7}),
        ])
        figure.update_layout(
            title=quantity, template="plotly_white", width=560, height=460, showlegend=False,
            xaxis={"type": "log", "title": f"reference{unit}"}, yaxis={"type": "log", "title": f"ours{unit}"})
        divs.append(figure.to_html(full_html=False, include_plotlyjs=False,
                                   div_id=f"plot-{comparison.name}-{index}"))
    return divs


def _worst(comparison: Comparison, count: int = 12) -> str:
    """The rows that are furthest off, as an HTML table."""
    rows = sorted(comparison.rows, key=lambda row: -abs(row.error_frac) if math.isfinite(row.error_frac) else -math.inf)
    if not rows or rows[0].error_frac == 0.0:
        return "<p>Every row is equal.</p>"
    cells = "".join(
        f"<tr><td>{html.escape(r.item)}</td><td>{html.escape(r.quantity)}</td><td>{r.reference:.6g}</td>"
        f"<td>{r.ours:.6g}</td><td>{r.error_frac:+.2%}</td></tr>" for r in rows[:count])
    return (f"<table><caption>The {min(count, len(rows))} rows furthest off</caption><tr><th>item</th><th>quantity</th>"
            f"<th>reference</th><th>ours</th><th>error</th></tr>{cells}</table>")


def _section(c: Comparison) -> str:
    text = html.escape
    measures = "".join(f"<li>{text(name)}: {value:.6g}</li>" for name, value in c.measures.items())
    return (
        f'<section id="{c.name}"><h2>{text(c.title)}</h2><p>Reference: {text(c.reference)}</p>'
        f'<p>Goal: {text(c.goal)}</p><p class="{_verdict(c)}">{text(_result(c))}</p><p>{text(c.why)}</p>'
        f'<ul>{measures}</ul>{_worst(c)}<div class="plots">{"".join(_plots(c))}</div></section>')


def _page(comparisons: Sequence[Comparison]) -> str:
    from plotly.offline import get_plotlyjs

    summary = "".join(
        f'<tr><td><a href="#{c.name}">{c.name}</a></td><td>{len(c.rows)}</td><td>{html.escape(c.goal)}</td>'
        f'<td class="{_verdict(c)}">{_verdict(c)}</td></tr>' for c in comparisons)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Validation of the cost model</title><style>'
        "body{font:15px/1.5 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#222}"
        "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left}"
        "caption{text-align:left;font-weight:600}.plots{display:flex;flex-wrap:wrap}"
        ".met{color:#006d4a;font-weight:600}.missed{color:#a33c00;font-weight:600}"
        f"</style><script>{get_plotlyjs()}</script></head><body><h1>Validation of the cost model</h1>"
        f"<table><tr><th>comparison</th><th>rows</th><th>goal</th><th>result</th></tr>{summary}</table>"
        f"{''.join(_section(c) for c in comparisons)}</body></html>\n")


def write_results(comparisons: Sequence[Comparison], folder: Path) -> dict[str, Path]:
    """Write `errors.csv`, `summary.csv`, `validation.md` and the self-contained page `validation.html`.

    Returns
    -------
    name of the file -> its path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary = _csv_text(
        ("comparison", "measure", "value", "goal", "result", "missed"),
        [(c.name, measure, value, c.goal, _verdict(c), " ".join(c.missed))
         for c in comparisons for measure, value in c.measures.items()])
    texts = {"errors.csv": _error_table(comparisons), "summary.csv": summary, "validation.md": _markdown(comparisons),
             "validation.html": _page(comparisons)}
    paths = {}
    for name, content in texts.items():
        paths[name] = folder / name
        paths[name].write_text(content, encoding="utf-8")
    return paths
