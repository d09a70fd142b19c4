"""Cells of a column of text, all at once: numbers, counts, dates."""

import re
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["COUNT", "COUNT_OR_BLANK", "TEXT", "TIME", "BadCell", "Parser", "date_time"]

_LARGEST = 2.0**53
_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,12}))?\s*"
                        r"(?:Z|UTC|([+-])(\d\d):?(\d\d))?")


class BadCell(ValueError):
    """Some cell breaks the rule."""


class Parser(NamedTuple):
    """What a cell must be, and the values of a list of cells; `many` raises `BadCell`."""

    rule: str
    many: Callable[[list[str]], NDArray[Any]]


def _numbers(cells: list[str]) -> NDArray[np.float64]:
    try:
        values = np.array(list(map(float, cells)), dtype=float)
    except ValueError:
        raise BadCell from None
    if not np.all((values >= 0.0) & (values < _LARGEST)):  # NaN fails, too
        raise BadCell
    if "_" in "".join(cells):  # Python's digit groups are no CSV numbers
        raise BadCell
    return values


def _counts(cells: list[str]) -> NDArray[np.int64]:
    values = _numbers(cells)
    if np.any(values != np.floor(values)):
        raise BadCell
    return values.astype(np.int64)


def _counts_or_blank(cells: list[str]) -> NDArray[np.int64]:
    return _counts([cell if cell.strip() else "0" for cell in cells])


def _text(cells: list[str]) -> NDArray[Any]:
    return np.array(cells, dtype=object)


TIME = Parser("a number >= 0", _numbers)
COUNT = Parser("an integer >= 0", _counts)
COUNT_OR_BLANK = Parser("an integer >= 0, or blank", _counts_or_blank)
TEXT = Parser("a text", _text)


def date_time() -> Parser:
    """Dates with a time of day, as seconds from midnight (UTC) of the first day met [s].

    Fractions of a second are kept to the last digit (Azure writes seven, `datetime` keeps six); a time without an
    offset is taken as UTC.
    """
    days: dict[str, int] = {}

    def seconds(cell: str) -> float:
        match = _DATE_TIME.fullmatch(cell.strip())
        if match is None:
            raise BadCell
        day, hour, minute, second, fraction, sign, off_hour, off_minute = match.groups()
        if day not in days:
            try:
                ordinal = date.fromisoformat(day).toordinal()
            except ValueError:
                raise BadCell from None
            days.setdefault("", ordinal)
            days[day] = (ordinal - days[""]) * 86400
        if hour > "23" or minute > "59" or second > "60":
            raise BadCell
        whole = days[day] + int(hour) * 3600 + int(minute) * 60 + int(second)
        if sign:
            offset = int(off_hour) * 3600 + int(off_minute) * 60
            whole += -offset if sign == "+" else offset
        return whole + float(f"0.{fraction}") if fraction else float(whole)

    def many(cells: list[str]) -> NDArray[np.float64]:
        return np.array(list(map(seconds, cells)), dtype=float)

    return Parser("a date and time such as 2023-11-16 18:15:46.6805900", many)
