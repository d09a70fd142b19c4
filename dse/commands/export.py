"""`dse export`."""

from pathlib import Path
from typing import Annotated

import typer

from dse.completion import formats

__all__ = ["command"]


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    format_: Annotated[str, typer.Option("--format", help="yaml, json, csv ...; an unknown one lists them all.",
                                         autocompletion=formats, show_default=False)],
    out: Annotated[Path, typer.Option(help="New file, or new folder where there are several files.",
                                      show_default=False)],
    trial: Annotated[int | None, typer.Option(help="One trial. Default: the whole front, best first.",
                                              show_default=False)] = None,
    top: Annotated[int | None, typer.Option(help="The best N of the front.", show_default=False)] = None,
) -> None:
    """Export designs of a run; the last line is the path written."""
    from dse.console import note
    from dse.console import out as say
    from dse.export import export_run
    from dse.exporters import EXPORTERS

    trials = export_run(run, fmt=format_, out=out, trial=trial, top=top, note=note)
    lost = EXPORTERS[format_].loses
    if lost:
        note(f"{format_} does not hold: {lost}")
    say(f"{len(trials)} design{'s' if len(trials) != 1 else ''}: trial{'s' if len(trials) != 1 else ''} "
        + ", ".join(map(str, trials[:20])) + (" ..." if len(trials) > 20 else ""))
    say(str(out))
