"""Arrival times from a request log: CSV with a header; `arrival_s` is required, other columns may be there.

With a column `tenant`, a tenant takes its own rows only, so that one log can feed all of them.
"""

import csv
import io
import math
from pathlib import Path

from dse.errors import InputError, Problem, did_you_mean
from dse.located import read_text

__all__ = ["read_arrivals"]

MAX_SHOWN = 20
"""Broken cells named before giving up: a log with the wrong unit is wrong in every row."""


def read_arrivals(path: str | Path, *, tenant: str = "") -> tuple[float, ...]:
    """Arrival times [s], sorted.

    Parameters
    ----------
    tenant : whose rows to take when the file has a column `tenant`.

    Raises
    ------
    InputError : no such file, no column `arrival_s`, cells that are no times, no row of this tenant.
    """
    shown = str(path)
    text = read_text(path, what="CSV text", max_bytes=None)
    lines = text.splitlines()
    if not text.strip():
        raise InputError(Problem(file=shown, line=1, message="must be a CSV file with a column arrival_s, "
                                 "got an empty file"))
    header = [name.strip().lower() for name in next(csv.reader([lines[0]]), [])]
    if "arrival_s" not in header:
        raise InputError(Problem(file=shown, line=1, column=1, field="header", source=lines[0],
                                 message=f"must have a column arrival_s, got {', '.join(header)[:100]!r}",
                                 hint=did_you_mean("arrival_s", header).replace("did you mean", "rename")))
    times, owners, problems = _rows(shown, text, lines, header, tenant)
    if problems:
        raise InputError(*problems)
    if not times:
        if owners:
            raise InputError(Problem(file=shown, line=1, field="column tenant", hint=did_you_mean(tenant, owners),
                                     message=f"must have rows of {tenant!r}, got {', '.join(sorted(owners)[:10])}"))
        raise InputError(Problem(file=shown, line=1, message="must have at least one row below the header, got none"))
    return tuple(sorted(times))


def _rows(path: str, text: str, lines: list[str], header: list[str],
          tenant: str) -> tuple[list[float], set[str], list[Problem]]:
    """Times of a tenant, the tenants met, and the broken cells."""
    at = header.index("arrival_s")
    owner = header.index("tenant") if "tenant" in header else -1
    times: list[float] = []
    owners: set[str] = set()
    problems: list[Problem] = []
    rows = csv.reader(io.StringIO(text))
    next(rows)
    try:
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if owner >= 0 and len(cells) > owner:
                owners.add(cells[owner].strip())
                if cells[owner].strip() != tenant:
                    continue
            cell = cells[at].strip() if len(cells) > at else ""
            try:
                time_s = float(cell)
            except ValueError:
                time_s = math.nan
            if 0.0 <= time_s < math.inf:
                times.append(time_s)
                continue
            source = lines[rows.line_num - 1] if rows.line_num <= len(lines) else ""
            column = sum(len(other) + 1 for other in cells[:at]) + 1 if len(cells) > at else len(source) + 1
            problems.append(Problem(file=path, line=rows.line_num, column=column, field="column arrival_s",
                                    message=f"must be a number >= 0, got {cell[:40]!r}" if cell
                                    else "must be a number >= 0, got nothing", source=source))
            if len(problems) >= MAX_SHOWN:
                problems.append(Problem(file=path, line=rows.line_num, column=column,
                                        message="further rows were not read"))
                break
    except csv.Error as error:
        problems.append(Problem(file=path, line=rows.line_num, message=f"must be CSV: {error}"))
    return times, owners, problems
