"""What a run says while it runs: a panel on a terminal, a line now and then elsewhere; always on stderr."""

import contextlib
import json
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, final

from dse.console import note

__all__ = ["SNAPSHOT", "Best", "Kept", "Lines", "Panel", "Progress", "Snapshot", "default_progress"]

SNAPSHOT = ".progress.json"
"""In the folder of a run of `dse front`: its last snapshot. The journal does not know what bounds have decided."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """Best feasible value of one objective, and its trial."""

    metric: str
    value: float
    trial: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """State of a run.

    Parameters
    ----------
    rate_per_s : evaluations per second of this session [1/s].
    hypervolume : of the feasible front so far (`dse.pareto.hypervolume`) [-].
    change_frac : its growth over the last tenth of the trials [-].
    unit : what is counted.
    gap : most hypervolume that undecided designs could add, NaN where nobody asks [-].
    """

    total: int
    done: int = 0
    failed: int = 0
    infeasible: int = 0
    reused: int = 0
    workers: int = 1
    rate_per_s: float = 0.0
    eta_s: float = math.inf
    hypervolume: float = 0.0
    change_frac: float = 0.0
    front: int = 0
    best: tuple[Best, ...] = field(default=())
    unit: str = "trials"
    gap: float = math.nan


class Progress(Protocol):
    """Receives snapshots; `every_s` says how often it wants one."""

    every_s: float

    def start(self, title: str) -> None: ...

    def update(self, snapshot: Snapshot) -> None: ...

    def stop(self) -> None: ...


def duration(seconds: float) -> str:
    """`1:02:03`, `2:03` or `-`."""
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _recent(s: Snapshot) -> str:
    """What goes behind the hypervolume: its growth, or what it can still grow by."""
    if math.isnan(s.gap):
        return f"(+{s.change_frac:.1%})"
    return "(the rest could add at most " + (f"{s.gap:.4g})" if math.isfinite(s.gap) else "an unknown amount)")


def sentence(s: Snapshot) -> str:
    """A snapshot in one line."""
    parts = [f"{s.done:,}/{s.total:,} {s.unit}"]
    if s.failed:
        parts.append(f"{s.failed} failed")
    parts.append(f"{s.infeasible:,} infeasible")
    if s.rate_per_s:
        parts.append(f"{s.rate_per_s:,.1f}/s")
    parts += [f"{duration(s.eta_s)} left", f"front {s.front}",
              f"hypervolume {s.hypervolume:.4g} " + _recent(s)]
    parts += [f"best {b.metric} {b.value:.4g} (trial {b.trial})" for b in s.best]
    return ", ".join(parts)


@final
class Lines:
    """Plain lines: the first soon, then about every 15 s."""

    def __init__(self, every_s: float = 15.0) -> None:
        self.every_s = 1.0
        self._gap_s = every_s
        self._last = 0.0

    def start(self, title: str) -> None:
        note(title)
        self._last = time.monotonic()

    def update(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if now - self._last >= self._gap_s or snapshot.done == snapshot.total:
            self._last = now
            note(sentence(snapshot))

    def stop(self) -> None:
        pass


@final
class Panel:
    """A live panel; imports rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.every_s = 0.5
        self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
        self._title = ""

    def start(self, title: str) -> None:
        self._title = title
        self._live.start()

    def update(self, snapshot: Snapshot) -> None:
        self._live.update(self._render(snapshot))

    def stop(self) -> None:
        self._live.stop()

    def _render(self, s: Snapshot) -> Any:
        from rich.panel import Panel as Box
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        table.add_row(s.unit, ProgressBar(total=max(1, s.total), completed=s.done, width=40))
        table.add_row("", f"{s.done:,} of {s.total:,}   {s.failed:,} failed   {s.infeasible:,} infeasible"
                          + (f"   {s.reused:,} from the journal" if s.reused else ""))
        table.add_row("speed", f"{s.rate_per_s:,.1f} {s.unit}/s on {s.workers} workers   {duration(s.eta_s)} left")
        recent = f"(+{s.change_frac:.1%} lately)" if math.isnan(s.gap) else _recent(s)
        table.add_row("front", f"{s.front} designs   hypervolume {s.hypervolume:.4g} {recent}")
        for best in s.best:
            table.add_row("best", f"{best.metric} {best.value:.5g}   (trial {best.trial})")
        return Box(table, title=self._title, title_align="left")


@final
class Kept:
    """Hands snapshots on and keeps the last one in the folder of the run, where `dse watch` finds it.

    Parameters
    ----------
    folder : of the run; nothing is kept before it exists.
    """

    def __init__(self, shown: Progress, folder: Path) -> None:
        self._shown, self._path = shown, folder / SNAPSHOT
        self.every_s = shown.every_s

    def start(self, title: str) -> None:
        self._path.unlink(missing_ok=True)  # of an earlier session
        self._shown.start(title)

    def update(self, snapshot: Snapshot) -> None:
        self._shown.update(snapshot)
        s = snapshot
        known = {"total": s.total, "done": s.done, "infeasible": s.infeasible, "unit": s.unit,
                 "hypervolume": s.hypervolume, "gap": s.gap if math.isfinite(s.gap) else None}
        with contextlib.suppress(OSError):  # a full disk stops the journal, which says so
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(json.dumps(known), encoding="utf-8")
            temporary.replace(self._path)

    def stop(self) -> None:
        self._shown.stop()


def default_progress() -> Progress:
    """The panel on a terminal, lines elsewhere."""
    return Panel() if sys.stderr.isatty() else Lines()
