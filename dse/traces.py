"""Arrival times of a tenant from a request log of any format that `dse.readers.requests` knows.

With a column `tenant`, a tenant takes its own rows only, so that one log can feed all of them. Lengths in tokens are
not used here: the tenants of a workload run fixed networks.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dse.errors import InputError, Problem, did_you_mean
from dse.readers.requests import read_requests

__all__ = ["Arrivals", "read_arrivals"]


class Arrivals(NamedTuple):
    """Arrival times, sorted [s], and what a reader should know of them."""

    arrivals_s: tuple[float, ...]
    notes: tuple[str, ...]


def read_arrivals(path: str | Path, *, tenant: str = "", time_unit: str | None = None, from_s: float | None = None,
                  to_s: float | None = None, scale_rate: float = 1.0, limit: int | None = None) -> Arrivals:
    """Arrival times of a tenant; the options are those of `dse.readers.requests.read_requests`.

    Parameters
    ----------
    tenant : whose rows to take when the file has a column `tenant`.

    Raises
    ------
    InputError : as `read_requests`, and no row of this tenant.
    """
    log = read_requests(path, time_unit=time_unit, from_s=from_s, to_s=to_s, scale_rate=scale_rate, limit=limit)
    notes = list(log.notes)
    if log.tenant is not None:
        if tenant not in log.tenants:
            raise InputError(Problem(file=str(path), line=1, field="column tenant",
                                     hint=did_you_mean(tenant, log.tenants), message=f"must have rows of {tenant!r}, "
                                     f"got {', '.join(sorted(log.tenants)[:10])}"))
        log = log.take(np.flatnonzero(log.tenant == log.tenants.index(tenant)))
        if not len(log):
            raise InputError(Problem(file=str(path), message=f"must have at least one request of {tenant!r} in the "
                                     "window, got none"))
    if log.prompt_tokens is not None or log.output_tokens is not None:
        notes.append("lengths in tokens are not used: the network of the tenant is fixed")
    return Arrivals(tuple(log.arrival_s.tolist()), tuple(notes))
