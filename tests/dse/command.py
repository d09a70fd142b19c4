"""The command line in this process: as a user's shell runs it, without the second that a new Python takes."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from dse import cli


def dse(*arguments: object, cwd: Path | str | None = None) -> subprocess.CompletedProcess[str]:
    """Exit code and what was printed. Commands that are killed, time out or start Ray want a process of their own."""
    words = [str(argument) for argument in arguments]
    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    argv, sys.argv = sys.argv, ["dse", *words]
    try:
        os.chdir(cwd or before)
        with redirect_stdout(out), redirect_stderr(err):
            try:
                cli.main(words)
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
    finally:
        os.chdir(before)
        sys.argv = argv
    return subprocess.CompletedProcess(["dse", *words], code, out.getvalue(), err.getvalue())
