"""`dse run`."""

import typer


def command() -> None:
    """Not there yet."""
    raise typer.Exit(1)
