"""Where output goes: results to stdout, progress and remarks to stderr; with --json stdout holds one JSON object."""

import json
import math
import re
import sys
from typing import Any

__all__ = ["note", "out", "print_json", "without_password"]


def out(text: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """A remark or a line of progress."""
    sys.stderr.write(text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_json(value: Any) -> None:
    """One JSON object on stdout; infinities and NaN become null, as JSON has neither."""
    out(json.dumps(_plain(value), indent=2, allow_nan=False))


def without_password(text: str) -> str:
    """An address of a database, or a command line with one, as it may be shown and kept."""
    text = re.sub(r"(\w://[^:/@\s]*):\S*@", r"\1:***@", text)
    return re.sub(r"([?&]\w*password=)[^&\s'\"]*", r"\1***", text)
