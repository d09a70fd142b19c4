"""The command line: `dse COMMAND ...`. Every command is a file in `dse/commands`."""

import errno
import importlib
import sys
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dse.errors import DseError

__all__ = ["app", "main"]

# In the order of `dse --help`.
COMMANDS = (
    "init", "run", "watch", "report", "why", "diff", "sensitivity", "export", "convert", "front", "evaluate",
    "compare-policies", "capacity", "xrbench", "cost", "inspect", "list", "check", "explain", "simulate",
    "schedulability", "schema", "validate", "doctor",
)

_SECTIONS = {
    "Explore": ("init", "run", "watch", "report", "why", "diff", "sensitivity", "export", "convert", "front"),
    "One design, one network": ("evaluate", "compare-policies", "capacity", "xrbench", "simulate", "schedulability",
                                "cost", "inspect"),
    "The models behind it": ("explain", "validate", "bounds"),
    "Files and choices": ("check", "list", "schema", "doctor"),
}


class _Sections(TyperGroup):
    """Help with the commands in sections; those of no section come last."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        left = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        sections = {title: [name for name in names if name in left] for title, names in _SECTIONS.items()}
        placed = {name for names in sections.values() for name in names}
        sections["Further"] = [name for name in left if name not in placed]
        width = max(len(name) for name in left)
        for title, names in sections.items():
            if names:
                with formatter.section(title):
                    formatter.write_dl([(name.ljust(width), self.commands[name].get_short_help_str(90))
                                        for name in names])


app = typer.Typer(
    name="dse",
    cls=_Sections,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"dse {version('npu-codesign')}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_print_version,
                                          is_eager=True)] = False,
) -> None:
    """Find the hardware and the scheduler on which several networks should share one NPU."""


for _name in COMMANDS:
    _module = importlib.import_module(f"dse.commands.{_name.replace('-', '_')}")
    app.command(name=_name)(_module.command)


def _crash(error: Exception) -> int:
    """Keep the traceback in a file and say so in one line."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="dse-crash-", suffix=".txt", delete=False, errors="replace") as file:
        file.write(f"command: {sys.argv}\n\n{''.join(traceback.format_exception(error))}")
    _complain(f"internal error: {type(error).__name__}: {error}\ntraceback saved in {file.name}; please report it")
    return DseError.exit_code


_NO_FAULT_OF_OURS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG,
                     errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
"""Of paths that no command has thought of by itself."""


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:100]}...{text[-50:]}"


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _usage(error: Any) -> str:
    """One sentence for a wrong flag or command: what is wrong, the nearest right one, where the help is."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "dse"
    message = error.format_message().rstrip(".")
    wanted = getattr(error, "command_name", None) or (message.split("'")[1] if "No such command '" in message else "")
    if wanted:
        near = get_close_matches(wanted, COMMANDS, n=1)
        return f"{path}: no command {wanted!r}" + (f" (did you mean '{near[0]}'?)" if near else f"; see {path} --help")
    return f"{path}: {message[:1].lower()}{message[1:]}; see {path} --help"


def _run(args: list[str] | None) -> int:
    usage_error: Any = typer.BadParameter.__mro__[1]
    click_exception: Any = usage_error.__mro__[1]
    try:
        result = typer.main.get_command(app).main(args=args, prog_name="dse", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except DseError as error:
        _complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted")
        return 130
    except SystemExit as error:
        # typer ends with 1 when the reader of a pipe is gone (`dse list networks | head -3`): no error here
        return 0 if type(sys.stdout).__name__ == "PacifyFlushWrapper" else int(error.code or 0)
    except usage_error as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stdout.write(f"{error.format_message()}\n")
            return 0
        _complain(_usage(error))
        return 2
    except click_exception as error:
        _complain(error.format_message())
        return 2
    except OSError as error:
        if error.filename is None or error.errno not in _NO_FAULT_OF_OURS:
            return _crash(error)
        _complain(f"{_short(str(error.filename))}: must be a path that can be used: {error.strerror}")
        return 2
    except Exception as error:
        return _crash(error)


def main(args: list[str] | None = None) -> None:
    """Entry point: run a command; errors become one message and an exit code (see `dse.errors`)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name that the terminal cannot show must not end the program
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run(args))
