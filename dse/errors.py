"""What can go wrong, and the exit code it ends with.

    DseError                     exit 1   our fault
    ├── InputError               exit 2   the user's files or flags break a rule: one or more `Problem`s
    ├── NothingFeasible          exit 3   the study ran, no design meets its budgets
    └── PartialResult            exit 4   done, but some trials failed
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import final

__all__ = ["DseError", "InputError", "NothingFeasible", "PartialResult", "Problem", "did_you_mean"]


def did_you_mean(name: str, allowed: list[str] | tuple[str, ...]) -> str:
    """`did you mean 'X'?` for the nearest allowed name, or an empty string."""
    close = get_close_matches(str(name), [str(a) for a in allowed], n=1, cutoff=0.6)
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
        if self.source:
            head += f"\n    {self.source.rstrip()}"
            if self.column:
                head += "\n    " + " " * (self.column - 1) + "^"
        return head


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
