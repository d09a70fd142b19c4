"""Put the page together: our HTML, CSS and JavaScript, the data, and plotly.js, in one file."""

import base64
import gzip
import html
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from dse.advice import advise, confidence_lines, ranked_front
from dse.errors import InputError, Problem
from dse.report.detail import constants_table, run_details, study_of
from dse.report.insight import run_insight
from dse.report.payload import embed, payload
from dse.report.rundata import RunData, metric_column, read_run
from dse.report.words import describe_hardware, describe_policy, label, quantity

__all__ = ["Published", "publish", "render"]

_SCRIPTS = ("core.js", "answer.js", "overview.js", "parallel.js", "ranking.js", "detail.js", "insight.js", "page.js")


def _asset(name: str) -> str:
    return resources.files("dse.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _plotly_base64() -> str:
    """plotly.js as gzip in base64: 2 MB instead of 4.8; the browser's DecompressionStream unpacks it."""
    from plotly.offline import get_plotlyjs

    packed = gzip.compress(get_plotlyjs().encode(), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode()


def static_table(run: RunData, rows: int = 200) -> str:
    """The ranked front as an HTML table: what remains without JavaScript."""
    metrics = list(dict.fromkeys([*(o.metric for o in run.objectives), *run.budgets]))
    metrics = [m for m in metrics if metric_column(m) in run.trials.columns]
    head = "".join(f"<th scope=col>{html.escape(t)}</th>"
                   for t in ("rank", "trial", "class", "hardware", "policy", *map(label, metrics)))
    lines = []
    for row in ranked_front(run).head(rows).to_dict("records"):
        params = run.params(row)
        cells = [row["rank"], row["trial"], params.get("architecture", ""), describe_hardware(params),
                 describe_policy(params), *(quantity(m, float(row[metric_column(m)])) for m in metrics)]
        lines.append("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in cells) + "</tr>")
    return f"<table class=static><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def render(run: RunData, details: Mapping[int, Mapping[str, Any]],
           breakdown: Mapping[str, Mapping[str, float]] | None = None, insight: Mapping[str, Any] | None = None) -> str:
    """The page as text.

    Parameters
    ----------
    details : trial -> see `dse.report.detail`; designs without one show parameters and metrics only.
    breakdown : of the recommended design's `Outcome`.
    insight : see `dse.report.insight`; without it those parts of the page are left out.
    """
    data = payload(run, details, constants_table(), breakdown, insight)
    parts = {
        "@TITLE@": html.escape(f"{run.name}: multi-DNN NPU designs"),
        "@NAME@": html.escape(run.name),
        "@HEADLINE@": html.escape(data["advice"]["sentence"]),
        "@STATIC@": static_table(run),
        "@CONFIDENCE@": html.escape("\n".join(confidence_lines(run)).strip()),
        "@CSS@": _asset("page.css"),
        "@DATA@": embed(data),
        "@PLOTLY@": _plotly_base64(),
        "@JS@": "\n".join(_asset(name) for name in _SCRIPTS),
    }
    # One pass over the template: text from the run that looks like a placeholder stays what it is.
    page, out = _asset("page.html"), []
    while page:
        at = {key: page.find(key) for key in parts if key in page}
        if not at:
            out.append(page)
            break
        key = min(at, key=lambda k: at[k])
        out += [page[:at[key]], parts[key]]
        page = page[at[key] + len(key):]
    return "".join(out)


class Published(NamedTuple):
    """A report: its file, the run, and the breakdown of the recommended design (None: it could not be evaluated)."""

    path: Path
    run: RunData
    breakdown: Mapping[str, Mapping[str, float]] | None


def publish(run_dir: Path) -> Published:
    """Write RUN/report.html.

    Raises
    ------
    InputError : the folder is no finished run, one of its files is corrupt, or it cannot be written to.
    """
    run = read_run(Path(run_dir))
    study = study_of(run)
    found = run_details(run, study)
    insight = run_insight(run, study, advise(run).trial)
    path = run.path / "report.html"
    part = path.with_name(".report.html.part")
    text = render(run, found.details, found.breakdown, insight)
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise InputError(Problem(file=str(path), message=f"must be a file that can be written: {error.strerror}")
                         ) from None
    finally:
        part.unlink(missing_ok=True)
    return Published(path, run, found.breakdown)
