"""`dse front`: the provably exact Pareto front of a study's space."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dse.anytime import AnytimeRun
    from dse.front import FrontRun
    from dse.report.page import Published

__all__ = ["command"]


def command(
    study: Annotated[Path | None, typer.Argument(help="Study file (YAML).", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run: new, or with --resume an earlier run. "
                                                  "Default: runs/NAME-front.", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that evaluate; 1: this one, without Ray. Default: one "
                                                     "per core, once that pays.", show_default=False)] = None,
    budget_s: Annotated[float | None, typer.Option(help="Stop after this time, with the front found and how much "
                                                        "hypervolume any other design could add.",
                                                   show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an earlier run of the same study.")] = False,
    check: Annotated[Path | None, typer.Option(help="Check the certificate of this run instead of making one.",
                                               show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="With --check: every exact cost and every simulation "
                                                           "again, not a sample.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find the exact Pareto front of a study's space, with a certificate that can be checked.

    Designs that cannot be on the front are proven so from bounds; all others are simulated. Of a space too large for
    that (continuous parameters, more than 3,000,000 different hardware) it finds a front and bounds how much
    hypervolume any other design could add: the longer it runs, the less. It stops at --budget-s or Ctrl-C and goes on
    with --resume.
    Exit codes: 0 done, 1 a certificate does not hold, 2 bad input, 3 no design meets the budgets, 4 some designs
    failed, 130 interrupted (saved; continue with --resume).
    """
    from dse.errors import InputError, Problem

    if (study is None) == (check is None):
        raise InputError(Problem(field="STUDY", message="must be given, or --check RUN: one of the two"))
    if check is not None:
        _check(check, everything, json_)
    else:
        assert study is not None
        _front(study, out, workers, budget_s, resume, json_)


def _front(study: Path, out: Path | None, workers: int | None, budget_s: float | None, resume: bool,
           json_: bool) -> None:
    import shlex
    import sys
    from collections.abc import Callable

    from dse.anytime import AnytimeRun, anytime_front, too_large
    from dse.console import note, print_json
    from dse.console import out as print_line
    from dse.documents import load_study
    from dse.errors import InputError, NothingFeasible, PartialResult, Problem
    from dse.front import FrontRun, exact_front
    from dse.progress import Kept, default_progress

    for name, value in (("--workers", workers), ("--budget-s", budget_s)):
        if value is not None and not value > 0:
            raise InputError(Problem(field=name, message=f"must be > 0, got {value}"))
    loaded = load_study(study)
    line = shlex.join(["dse", *sys.argv[1:]])
    find: Callable[..., FrontRun | AnytimeRun] = anytime_front if too_large(loaded.space) else exact_front
    folder = out or Path("runs") / f"{loaded.name}-front"
    run = find(loaded, folder, workers=workers or loaded.workers, resume=resume,
               budget_s=math.inf if budget_s is None else budget_s, progress=Kept(default_progress(), folder),
               command=line, note=note)
    report = _report(run)
    if json_:
        print_json(_as_json(run, report))
    else:
        for text in _lines(run, report):
            print_line(text)
    if run.interrupted:
        note(f"interrupted; continue with: {line if ' --resume' in line else f'{line} --resume'}")
        raise typer.Exit(130)
    if run.n_failed:
        note(f"{run.n_failed} designs failed: nothing is known of them, all else holds")
        raise typer.Exit(PartialResult.exit_code)
    if run.exact and not run.front:
        raise typer.Exit(NothingFeasible.exit_code)


def _report(run: "FrontRun | AnytimeRun") -> "Published | None":
    """report.html of what was simulated, where there is anything."""
    if not run.results:
        return None
    from dse.report.page import publish

    return publish(run.out)


def _discarded(run: "FrontRun") -> tuple[int, int]:
    """(designs proven infeasible, proven dominated) without simulation."""
    counts = run.counts
    return (counts["budget_1"] + counts["budget_2"] + counts["cannot_run"],
            counts["dominated_1"] + counts["dominated_2"])


def _lines(run: "FrontRun | AnytimeRun", report: "Published | None") -> list[str]:
    from dse.front import FrontRun

    lines = _counted(run) if isinstance(run, FrontRun) else _shares(run)
    lines.append(f"wall time {run.wall_s:.1f} s, {run.workers} workers; certificate: {run.out / 'certificate.json'}")
    if report:
        from dse.terminal import summary

        lines = [summary(report.run, report.breakdown, lines), "", f"report: {report.path}"]
    return lines


def _headline(run: "FrontRun | AnytimeRun") -> str:
    head = "exact front" if run.exact else "front so far"
    return f"{head}: {len(run.front)} designs" + (f" (and {run.ties} equal to one of them)" if run.ties else "")


def _missing(run: "FrontRun | AnytimeRun") -> str:
    gap = f"{run.gap:.4g}" if math.isfinite(run.gap) else "unknown"
    gap += f" ({run.gap_frac:.1%})" if math.isfinite(run.gap_frac) else ""
    return f"hypervolume          {run.hypervolume:12.5g}  undecided designs could add at most {gap}"


def _shares(run: "AnytimeRun") -> list[str]:
    """Of a space too large to enumerate."""
    infeasible = run.shares["budget"] + run.shares["cannot_run"]
    return [
        _headline(run),
        f"proven infeasible    {infeasible:12.3%}  of the space",
        f"proven dominated     {run.shares['dominated']:12.3%}",
        f"undecided            {run.shares['open']:12.3%}  in {run.boxes:,} boxes all together",
        f"simulated            {len(run.results):>12,}  designs",
        _missing(run),
        *([f"within               {run.epsilon:12.1%}  of any undecided design, in each objective, is one of the front"]
          if math.isfinite(run.epsilon) else []),
    ]


def _counted(run: "FrontRun") -> list[str]:
    """Of an enumerated space."""
    from dse.reach import unreachable_text

    infeasible, dominated = _discarded(run)

    def share(count: int) -> str:
        return f"{count:>12,}  {count / run.size:7.3%}"

    lines = [
        _headline(run),
        f"designs              {run.size:>12,}",
        f"proven infeasible    {share(infeasible)}",
        f"proven dominated     {share(dominated)}",
        f"simulated            {share(len(run.results))}",
        f"simulated in part    {share(len(run.cuts))}",
    ]
    if run.counts["open"]:
        lines += [f"undecided            {share(run.counts['open'])}", _missing(run)]
    for metric, bound in run.unreachable.items():
        lines.append(unreachable_text(run.study, metric, bound))
    return lines


def _value(result: Any, metric: str) -> float:
    from dse.objective import metric_of

    return metric_of(result, metric)


def _counts(run: "FrontRun | AnytimeRun") -> dict[str, Any]:
    """What became of the designs."""
    from dse.front import FrontRun
    from dse.provenance import finite

    if not isinstance(run, FrontRun):
        return {"decided_frac": run.decided_frac, "shares": run.shares, "n_boxes": run.boxes,
                "epsilon": finite(run.epsilon)}
    infeasible, dominated = _discarded(run)
    return {
        "n_designs": run.size, "n_proven_infeasible": infeasible, "n_proven_dominated": dominated,
        "n_simulated_in_part": len(run.cuts), "n_undecided": run.counts["open"],
        "never_simulated_frac": run.never_simulated_frac, "counts": run.counts,
        "unreachable_budgets": run.unreachable,
    }


def _as_json(run: "FrontRun | AnytimeRun", report: "Published | None") -> dict[str, Any]:
    from dse.provenance import finite

    return {
        "study": run.study.name, "exact": run.exact, **_counts(run), "n_simulated": len(run.results),
        "n_feasible": run.n_feasible, "n_failed": run.n_failed, "ties": run.ties, "hypervolume": run.hypervolume,
        "hypervolume_reference": run.reference, "hypervolume_gap": finite(run.gap),
        "hypervolume_gap_frac": finite(run.gap_frac), "wall_s": run.wall_s, "workers": run.workers,
        "front": [{"trial": number, "params": run.result(number).params, "metrics": run.result(number).metrics}
                  for number in run.front],
        "out": str(run.out), "certificate": str(run.out / "certificate.json"),
        "report": str(report.path if report else ""),
    }


def _check(folder: Path, everything: bool, json_: bool) -> None:
    from dse.boxes_certificate import check_boxes, is_of_boxes
    from dse.certificate import check_run
    from dse.console import out, print_json

    scope = "all" if everything else "a sample of the"
    if is_of_boxes(folder):
        boxes = check_boxes(folder, everything=everything)
        found, problems = boxes._asdict(), boxes.problems
        what = (f"{boxes.boxes:,} boxes that cover the space, {boxes.bounds:,} bounds recomputed, {boxes.drawn:,} "
                f"designs drawn from them, {boxes.simulated:,} simulated again ({scope} boxes and trials, and the "
                "whole front)")
    else:
        run = check_run(folder, everything=everything)
        found, problems = run._asdict(), run.problems
        what = (f"{run.designs:,} designs in {run.blocks:,} blocks, {run.bounds:,} bounds recomputed "
                f"({run.exact_costs:,} with exact costs), {run.simulated:,} designs simulated again ({scope} "
                "discarded and simulated ones, and the whole front)")
    if json_:
        print_json({"holds": not problems, **found})
    else:
        for problem in problems:
            out(f"wrong: {problem}")
        out(f"the certificate {'holds' if not problems else 'does not hold'}: {what}")
    if problems:
        raise typer.Exit(1)
