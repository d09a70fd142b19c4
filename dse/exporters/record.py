"""What an export format is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from dse.report.rundata import RunData

__all__ = ["Exporter", "Files"]

Files = dict[str, bytes]
"""Relative path -> content; the single key '' means one file instead of a folder."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """One format.

    Parameters
    ----------
    summary : what is written, in a line.
    loses : what the format cannot express, '' for nothing.
    files : (run, trials) -> content; writes nothing itself, so that a failure leaves nothing half-written.
    single : whether it takes one trial only.
    table : whether it is a table of trials: of a run without a front it then holds every trial.
    all_trials : whether it takes every trial of the run when none is chosen, instead of the front.
    """

    name: str
    summary: str
    loses: str
    files: Callable[[RunData, Sequence[int]], Files]
    single: bool = False
    table: bool = False
    all_trials: bool = False
