"""`dse doctor`: can this installation work?"""

from typing import Annotated

import typer

__all__ = ["command"]


def command(
    no_ray: Annotated[bool, typer.Option("--no-ray", help="Leave out the start of Ray (some seconds).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check the installation and the machine: one sentence each; exit code 1 when something is wrong."""
    from importlib.metadata import PackageNotFoundError, version

    from dse.console import out, print_json
    from dse.doctor import CHECKS, DISTRIBUTION, examine

    checks = examine([name for name in CHECKS if not (no_ray and name == "ray")])
    good = all(check.ok for check in checks)
    if as_json:
        try:
            installed: str | None = version(DISTRIBUTION)
        except PackageNotFoundError:
            installed = None
        print_json({"ok": good, "version": installed, "checks": [check._asdict() for check in checks]})
    else:
        for check in checks:
            out(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:12} {check.sentence}")
    if not good:
        raise typer.Exit(1)
