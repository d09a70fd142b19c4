"""What can go wrong, and the exit code it ends with.

    DseError                     exit 1   our fault
    ├── InputError               exit 2   the user's files or flags break a rule: one or more `Problem`s
    ├── NothingFeasible          exit 3   the study ran, no design meets its budgets
    └── PartialResult            exit 4   done, but some trials failed
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import final

__all__ = ["DseError", "InputError", "NothingFeasible", "PartialResult", "Problem", "did_you_mean"]


# What ends a dimensional name, in our units and in those that people mix up with them.
_UNIT = re.compile(r"_(s|ms|us|ns|sec|seconds|hz|khz|mhz|ghz|fps|bytes_per_s|gbps|bytes|kb|mb|gb|kib|mib|b|mm2|um2|w|"
                   r"mw|j|mj|uj|pj|nm|frac|pct|percent|cycles|macs)$")
_SOURCE_WIDTH = 110


def did_you_mean(name: object, allowed: Iterable[object]) -> str:
    """`did you mean 'X'?` for the nearest allowed name, or an empty string.

    A name that differs only in its unit (`deadline_ms`, `deadline`) finds the one with ours (`deadline_s`).
    """
    wanted = str(name)[:200]
    names = [str(option) for option in allowed]
    same = [option for option in names if option.lower() == wanted.lower().replace("-", "_").replace(" ", "_")]
    stem = _UNIT.sub("", wanted.lower())
    same += [option for option in names if stem and _UNIT.sub("", option.lower()) == stem]
    close = same[:1] or get_close_matches(wanted, names, n=1, cutoff=0.6)
    if not close:
        lower = {option.lower(): option for option in names}
        close = [lower[match] for match in get_close_matches(wanted.lower(), list(lower), n=1, cutoff=0.6)]
    return f"did you mean '{close[0]}'?" if close else ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One broken rule, with the place it was broken at.

    Printed as `file:line:column: field: must be RULE, got VALUE (hint)` with the source line and a caret below.
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    field: str = ""
    hint: str = ""
    source: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        head = ": ".join(part for part in (place, self.field, self.message) if part)
        if self.hint:
            head += f" ({self.hint})"
        if self.source.strip():
            source, column = self._window()
            head += f"\n    {source}"
            if column:
                head += "\n    " + " " * (column - 1) + "^"
        return head

    def _window(self) -> tuple[str, int]:
        """The part of the source line around the column, without control characters, and the column in it."""
        source = "".join(char if char.isprintable() else " " for char in self.source)
        start = self.column - _SOURCE_WIDTH // 2 if self.column > _SOURCE_WIDTH - 10 else 0
        return source[start : start + _SOURCE_WIDTH].rstrip(), max(0, self.column - start)


class DseError(Exception):
    exit_code = 1


class InputError(DseError):
    """Bad input: every problem found, in the order of the file."""

    exit_code = 2

    def __init__(self, *problems: Problem | str) -> None:
        found = [Problem(message=p) if isinstance(p, str) else p for p in problems]
        self.problems = sorted(found, key=lambda p: (p.file, p.line, p.column))
        super().__init__(*self.problems)

    def __str__(self) -> str:
        text = "\n".join(str(problem) for problem in self.problems)
        return text if len(self.problems) == 1 else f"{text}\n{len(self.problems)} errors"


class NothingFeasible(DseError):
    exit_code = 3


class PartialResult(DseError):
    exit_code = 4
