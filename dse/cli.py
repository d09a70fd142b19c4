"""The command line: `dse COMMAND ...`. Every command is a file in `dse/commands`."""

import importlib
import os
import sys
import tempfile
import traceback
from pathlib import Path

import typer

from dse.errors import DseError

__all__ = ["app", "main"]

# In the order of `dse --help`.
COMMANDS = ("run", "report", "export", "evaluate", "inspect", "list", "check", "explain", "schedulability")

app = typer.Typer(
    name="dse",
    help="Find the hardware and the scheduler on which several networks should share one NPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for _name in COMMANDS:
    _module = importlib.import_module(f"dse.commands.{_name.replace('-', '_')}")
    app.command(name=_name)(_module.command)


def _crash() -> int:
    """Keep the traceback in a file and say so in one line."""
    with tempfile.NamedTemporaryFile("w", prefix="dse-crash-", suffix=".txt", delete=False) as file:
        file.write(f"command: {sys.argv}\n\n{traceback.format_exc()}")
    error = sys.exc_info()[1]
    sys.stderr.write(f"internal error: {type(error).__name__}: {error}\ntraceback saved in {Path(file.name)}\n")
    return 1


def main() -> None:
    """Entry point: run a command; errors become one message and an exit code (see `dse.errors`)."""
    try:
        app(standalone_mode=True)
    except DseError as error:
        sys.stderr.write(f"{error}\n")
        code = error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception:
        code = _crash()
    else:
        code = 0
    sys.exit(code)
