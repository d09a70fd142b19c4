"""Carry designs of a run into other tools: pick trials, make the files of a format, write them all or none."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from dse.advice import nothing_feasible, ranked_front
from dse.errors import InputError, Problem, did_you_mean
from dse.exporters import EXPORTERS
from dse.exporters.record import Files
from dse.report.rundata import RunData, read_run, unfinished_note

__all__ = ["export_run", "pick_trials"]


def pick_trials(run: RunData, *, trial: int | None = None, top: int | None = None) -> list[int]:
    """One trial, the best `top` of the ranked front, or the whole front, best first.

    Raises
    ------
    InputError : an unknown trial, both ways of choosing, `top` < 1.
    NothingFeasible : the front is asked for and the run has none.
    """
    if trial is not None and top is not None:
        raise InputError(Problem(field="--trial, --top", message="must not both be given"))
    if top is not None and top < 1:
        raise InputError(Problem(field="--top", message=f"must be an integer >= 1, got {top}"))
    if trial is not None:
        row = run.row(trial)
        if row["state"] != "complete":
            raise InputError(Problem(field="--trial", message=f"must be a trial that was evaluated, {trial} failed"))
        return [trial]
    ranked = [int(t) for t in ranked_front(run)["trial"]]
    if not ranked:
        raise nothing_feasible(run, "--trial {trial}")
    return ranked[:top]


def _write(files: Files, out: Path) -> None:
    """Everything under another name first, then moved into place in one step."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        part = Path(scratch) / "part"
        if set(files) == {""}:
            part.write_bytes(files[""])
        else:
            for name, content in files.items():
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                (part / name).write_bytes(content)
        part.rename(out)


def export_run(run_dir: Path, *, fmt: str, out: Path, trial: int | None = None, top: int | None = None,
               note: Callable[[str], None] = lambda text: None) -> list[int]:
    """Write designs of a run to `out` (a file, or a folder where the format needs several); returns their trials.

    Parameters
    ----------
    note : gets what a reader should know of the run.

    Raises
    ------
    InputError : no run, unknown format or trial, `out` exists or cannot be written.
    NothingFeasible : see `pick_trials`.
    """
    if fmt not in EXPORTERS:
        raise InputError(Problem(field="--format", message=f"must be one of {', '.join(EXPORTERS)}, got {fmt!r}",
                                 hint=did_you_mean(fmt, list(EXPORTERS))))
    exporter = EXPORTERS[fmt]
    out = Path(out)
    if out.exists() or out.is_symlink():
        raise InputError(Problem(file=str(out), field="--out", message="must be a new path, it exists"))
    run = read_run(Path(run_dir))
    if not run.finished:
        note(unfinished_note(run))
    whole = exporter.all_trials and trial is None and top is None
    if exporter.table and run.front.empty and trial is None and top is None:
        whole = True
        note(f"no design meets the budgets: all {len(run.trials)} trials, see their `feasible`")
    trials = sorted(int(t) for t in run.trials["trial"]) if whole else pick_trials(run, trial=trial, top=top)
    if exporter.single and len(trials) > 1:
        trials = trials[:1] if trial is None and top is None else trials
        if len(trials) > 1:
            raise InputError(Problem(field="--top", message=f"must be 1 for {fmt}: it holds one design"))
    files = exporter.files(run, trials)
    try:
        _write(files, out)
    except OSError as error:
        raise InputError(Problem(file=str(out), field="--out",
                                 message=f"must be a path that can be written: {error.strerror}")) from None
    return trials
