"""`dse convert`."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    to: Annotated[str, typer.Option(help="sqlite or journal: all trials as an Optuna study.")] = "sqlite",
    out: Annotated[Path | None, typer.Option(help="New file. Default: RUN/optuna.db or RUN/optuna.log.",
                                             show_default=False)] = None,
) -> None:
    """Convert a run for optuna-dashboard; the last line is the command that opens it."""
    from dse.console import note
    from dse.console import out as say
    from dse.errors import InputError, Problem, did_you_mean
    from dse.export import export_run
    from dse.exporters import EXPORTERS

    kinds = {"sqlite": ("optuna", "optuna.db", "sqlite:///"), "journal": ("optuna_journal", "optuna.log", "")}
    if to not in kinds:
        raise InputError(Problem(field="--to", message=f"must be one of {', '.join(kinds)}, got {to!r}",
                                 hint=did_you_mean(to, list(kinds))))
    fmt, name, prefix = kinds[to]
    if out is None and not run.is_dir():
        raise InputError(Problem(file=str(run), message="must be the folder of a run"))
    path = run / name if out is None else out
    trials = export_run(run, fmt=fmt, out=path, note=note)
    note(f"{fmt} does not hold: {EXPORTERS[fmt].loses}")
    say(f"{len(trials)} trials: {path}")
    say(f"optuna-dashboard {prefix}{path}")
