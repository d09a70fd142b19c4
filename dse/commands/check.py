"""`dse check`: is a file good?"""

from typing import Annotated, Any

import typer

__all__ = ["command"]


def command(
    file: Annotated[str, typer.Argument(metavar="FILE.yaml", help="A workload, engine, design or study.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a YAML file: every problem with its line, or one line that says it is fine."""
    from dse.console import note, out, print_json
    from dse.documents import load
    from dse.errors import InputError

    try:
        loaded = load(file)
    except InputError as error:
        if as_json:
            keys = ("file", "line", "column", "field", "message", "hint")
            print_json({"file": file, "ok": False,
                        "problems": [{key: getattr(problem, key) for key in keys} for problem in error.problems]})
            raise typer.Exit(error.exit_code) from None
        raise
    if as_json:
        print_json({"file": file, "ok": True, "kind": loaded.kind, "summary": _summary(loaded.kind, loaded.record),
                    "notes": list(loaded.notes), "problems": []})
        return
    out(f"{file}: ok ({_summary(loaded.kind, loaded.record)})")
    for remark in loaded.notes:
        note(f"note: {remark}")


def _summary(kind: str, record: Any) -> str:
    if kind == "workload":
        return f"workload {record.name!r}, {_count(record.tenants, 'tenant')}"
    if kind == "engine":
        return f"engine, {record.rows} x {record.cols} {record.dataflow}"
    if kind == "design":
        design = record.design
        return f"design, {design.architecture.name} under {design.policy}"
    if kind == "technology":
        return f"technology, {_count(record, 'constant')}"
    size = record.space.size()
    designs = "endless designs" if size == float("inf") else f"{size:,} design{'s' if size != 1 else ''}"
    return f"study {record.name!r}, {designs}, {_count(record.objectives, 'objective')}, " \
        f"{_count(record.budgets, 'budget')}"


def _count(items: Any, noun: str) -> str:
    return f"{len(items)} {noun}{'s' if len(items) != 1 else ''}"
