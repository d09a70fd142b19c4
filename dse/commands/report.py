"""`dse report`."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
) -> None:
    """Write RUN/report.html, one page with everything; print the same shortly, its path last."""
    from dse.console import out
    from dse.report.page import publish
    from dse.terminal import summary

    made = publish(run)
    out(summary(made.run, made.breakdown))
    out()
    out(str(made.path))
