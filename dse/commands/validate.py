"""`dse validate`: the cost model beside published tools and measured hardware."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    folder: Annotated[
        Path | None, typer.Option("--out", help="Write the error table, the summary and the page with plots here.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Run this comparison only (repeatable).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the cost model with tools and measured hardware; say where a goal is missed, by how much and why."""
    from dse.console import note, out, print_json
    from dse.errors import InputError, Problem
    from dse.validation import run_comparisons, write_results

    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(Problem(field="--out", message=f"must be a folder, got the file {folder}"))
    comparisons = run_comparisons(only or (), progress=note)
    try:
        paths = write_results(comparisons, folder) if folder is not None else {}
    except OSError as error:
        raise InputError(Problem(field="--out", message=f"must be a folder that can be written: {error}")) from error
    if as_json:
        print_json({
            "comparisons": [
                {"name": c.name, "title": c.title, "goal": c.goal, "met": c.met, "missed": c.missed, "why": c.why,
                 "rows": len(c.rows), "measures": c.measures}
                for c in comparisons],
            "files": {name: str(path) for name, path in paths.items()},
        })
        return
    for c in comparisons:
        out(f"{c.name}: {'goal met' if c.met else 'GOAL MISSED'}  ({len(c.rows)} rows; {c.goal})")
        for name, value in c.measures.items():
            out(f"    {name}: {value:.6g}")
        for sentence in c.missed:
            out(f"    missed: {sentence}")
        if c.why:
            out(f"    {c.why}")
    for path in paths.values():
        out(f"wrote {path}")
