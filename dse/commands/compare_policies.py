"""`dse compare-policies`: which scheduler a design deserves."""

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["command"]


def command(
    workload: Annotated[str, typer.Argument(
        metavar="WORKLOAD.yaml", help="A workload file, a name of `dse list workloads`, or a study (its workload).",
        show_default=False)],
    design: Annotated[str, typer.Option(metavar="DESIGN.yaml", help="The hardware; its policy is replaced.",
                                        show_default=False)],
    policies: Annotated[str | None, typer.Option(
        metavar="A,B,...", help="Policies of `dse list policies`, the reference first. Default: all, against fcfs.",
        show_default=False)] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds: runs of each policy.")] = 10,
    seed: Annotated[int | None, typer.Option(min=0, help="The first seed; the others follow it. Default: the one "
                                                         "recorded in the design, else 0.", show_default=False)] = None,
    metric: Annotated[list[str] | None, typer.Option(
        metavar="METRIC,...", help="Metrics of `dse list metrics`, or TENANT.METRIC; the first one ranks.",
        show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(metavar="PLOT.html", help="Write a plot that opens in a browser.",
                                             show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare schedulers on one design: mean and 95 % interval over seeds, paired differences, a plot."""
    from dse.commands.evaluate import _both
    from dse.compare import DEFAULT_METRICS, compare_policies
    from dse.console import note, print_json
    from dse.convert import Reading
    from dse.documents import load_design_document, load_workload
    from dse.errors import InputError
    from dse.located import read

    used, document = _both(lambda: load_workload(workload, field="WORKLOAD"), lambda: load_design_document(design),
                           lambda: _check_out(out))[:2]
    first = seed if seed is not None else document.seed or 0
    reading = Reading(read(design), [])
    comparison = None
    with reading.blaming(()):
        comparison = compare_policies(document.design, used, policies=None if policies is None else _names([policies]),
                                      seeds=range(first, first + seeds),
                                      metrics=_names(metric) if metric else DEFAULT_METRICS)
    if comparison is None:
        raise InputError(*reading.problems)
    title = f"{design} under workload {used.name!r}"
    if as_json:
        print_json({"workload": used.name, "design": design, **comparison.as_dict()})
    else:
        _print(comparison, title)
    if out is not None and comparison.ran:
        _write(comparison, title, out)
        note(f"plot: {out}")


def _names(given: list[str]) -> list[str]:
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def _check_out(out: Path | None) -> None:
    from dse.errors import InputError, Problem

    if out is not None and (out.suffix.lower() not in (".html", ".htm") or out.is_dir()):
        raise InputError(Problem(field="--out", message=f"must be a file named *.html, got {str(out)!r}"))


def _write(comparison: Any, title: str, out: Path) -> None:
    from dse.compare import figure
    from dse.errors import InputError, Problem

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(figure(comparison, title).to_html(include_plotlyjs=True), encoding="utf-8")
    except OSError as error:
        raise InputError(Problem(file=str(out), field="--out",
                                 message=f"must be a path that can be written: {error.strerror}")) from None


def _print(comparison: Any, title: str) -> None:
    from dse.compare import sentence, table
    from dse.console import note
    from dse.console import out as say

    count = len(comparison.seeds)
    say(f"{title}: {count} seed{'s' if count > 1 else ''} from {comparison.seeds[0]}")
    say()
    if comparison.ran:
        for line in table(comparison):
            say(line)
        if count > 1:
            say()
            say(f"+-: 95 % interval over seeds; * better, ! worse than {comparison.reference} (paired, each at 95 %)")
        say()
    for entry in comparison.entries:
        if entry.reason:
            own = entry.reason.startswith(f"{entry.policy} ")
            say(f"left out: {entry.reason}" if own else f"left out: {entry.policy}: {entry.reason}")
    say(sentence(comparison))
    for text in comparison.notes:
        note(text)
