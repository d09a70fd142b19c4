"""`dse front`: the provably exact Pareto front of a study's space."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
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

    Designs that cannot be on the front are proven so from bounds; all others are simulated.
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

    from dse.console import note, print_json
    from dse.console import out as print_line
    from dse.documents import load_study
    from dse.errors import InputError, NothingFeasible, PartialResult, Problem
    from dse.front import exact_front
    from dse.progress import default_progress

    for name, value in (("--workers", workers), ("--budget-s", budget_s)):
        if value is not None and not value > 0:
            raise InputError(Problem(field=name, message=f"must be > 0, got {value}"))
    loaded = load_study(study)
    line = shlex.join(["dse", *sys.argv[1:]])
    run = exact_front(loaded, out or Path("runs") / f"{loaded.name}-front", workers=workers or loaded.workers,
                      resume=resume, budget_s=math.inf if budget_s is None else budget_s,
                      progress=default_progress(), command=line, note=note)
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
        note(f"{run.n_failed} designs failed: the front is exact but for them")
        raise typer.Exit(PartialResult.exit_code)
    if run.exact and not run.front:
        raise typer.Exit(NothingFeasible.exit_code)


def _report(run: "FrontRun") -> "Published | None":
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


def _lines(run: "FrontRun", report: "Published | None") -> list[str]:
    from dse.reach import unreachable_text

    infeasible, dominated = _discarded(run)

    def share(count: int) -> str:
        return f"{count:>12,}  {count / run.size:7.3%}"

    head = "exact front" if run.exact else "front so far"
    lines = [
        f"{head}: {len(run.front)} designs" + (f" (and {run.ties} equal to one of them)" if run.ties else ""),
        f"designs              {run.size:>12,}",
        f"proven infeasible    {share(infeasible)}",
        f"proven dominated     {share(dominated)}",
        f"simulated            {share(len(run.results))}",
        f"simulated in part    {share(len(run.cuts))}",
    ]
    if run.counts["open"]:
        gap = f"{run.gap:.4g}" if math.isfinite(run.gap) else "unknown"
        gap += f" ({run.gap_frac:.1%})" if math.isfinite(run.gap_frac) else ""
        lines += [f"undecided            {share(run.counts['open'])}",
                  f"hypervolume          {run.hypervolume:12.5g}  undecided designs could add at most {gap}"]
    for metric, bound in run.unreachable.items():
        lines.append(unreachable_text(run.study, metric, bound))
    lines.append(f"wall time {run.wall_s:.1f} s, {run.workers} workers; certificate: {run.out / 'certificate.json'}")
    if report:
        from dse.terminal import summary

        lines = [summary(report.run, report.breakdown, lines), "", f"report: {report.path}"]
    return lines


def _value(result: Any, metric: str) -> float:
    from dse.objective import metric_of

    return metric_of(result, metric)


def _as_json(run: "FrontRun", report: "Published | None") -> dict[str, Any]:
    infeasible, dominated = _discarded(run)
    return {
        "study": run.study.name, "exact": run.exact, "n_designs": run.size, "n_proven_infeasible": infeasible,
        "n_proven_dominated": dominated, "n_simulated": len(run.results),
        "n_simulated_in_part": len(run.cuts), "n_undecided": run.counts["open"],
        "n_feasible": run.n_feasible, "n_failed": run.n_failed, "never_simulated_frac": run.never_simulated_frac,
        "counts": run.counts, "ties": run.ties, "hypervolume": run.hypervolume,
        "hypervolume_reference": run.reference, "hypervolume_gap": _known(run.gap),
        "hypervolume_gap_frac": _known(run.gap_frac), "unreachable_budgets": run.unreachable, "wall_s": run.wall_s,
        "workers": run.workers,
        "front": [{"trial": number, "params": run.result(number).params, "metrics": run.result(number).metrics}
                  for number in run.front],
        "out": str(run.out), "certificate": str(run.out / "certificate.json"),
        "report": str(report.path if report else ""),
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _check(folder: Path, everything: bool, json_: bool) -> None:
    from dse.certificate import check_run
    from dse.console import out, print_json

    found = check_run(folder, everything=everything)
    if json_:
        print_json({"holds": not found.problems, **found._asdict()})
    else:
        for problem in found.problems:
            out(f"wrong: {problem}")
        scope = "all" if everything else "a sample of the"
        out(f"{'the certificate holds' if not found.problems else 'the certificate does not hold'}: "
            f"{found.designs:,} designs in {found.blocks:,} blocks, {found.bounds:,} bounds recomputed "
            f"({found.exact_costs:,} with exact costs), {found.simulated:,} designs simulated again ({scope} "
            "discarded and simulated ones, and the whole front)")
    if found.problems:
        raise typer.Exit(1)
