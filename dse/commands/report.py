"""`dse report`."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.", show_default=False)],
) -> None:
    """Write RUN/report.html, one page with everything, and print its path."""
    from dse.console import out
    from dse.report import write_report

    out(str(write_report(run)))
