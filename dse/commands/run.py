"""`dse run`: search the designs of a study."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dse.completion import samplers

if TYPE_CHECKING:
    from dse.driver import RunResult
    from dse.study import Study

__all__ = ["command"]


def command(
    study: Annotated[Path, typer.Argument(help="Study file (YAML).", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder of the run: new, or with --resume an earlier run. "
                                                  "Default: runs/NAME of the study.", show_default=False)] = None,
    trials: Annotated[int | None, typer.Option(help="Designs to evaluate (instead of the study's).",
                                               show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of sampler and traffic (instead of the study's).",
                                             show_default=False)] = None,
    sampler: Annotated[str | None, typer.Option(help="See `dse list samplers` (instead of the study's).",
                                                autocompletion=samplers, show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that evaluate; 1: this one, without Ray. Default: one "
                                                     "per core, once that pays.", show_default=False)] = None,
    ray_address: Annotated[str | None, typer.Option(help="Address of a running Ray cluster to use.",
                                                    show_default=False)] = None,
    storage: Annotated[str | None, typer.Option(metavar="URL", help="Database through which several `dse run` share "
                                                "the work: postgresql://USER@HOST/DATABASE or sqlite:///FILE.",
                                                show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an earlier run of the same study.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, time three evaluations, write "
                                                            "nothing.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search the designs of a study: a Pareto front under its budgets, and a report.

    Exit codes: 0 done, 2 bad input, 3 no design meets the budgets, 4 some trials failed, 130 interrupted (saved;
    continue with --resume).
    """
    # the sampler's matrices are small: threads of the linear algebra library would only steal from the workers
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from dse.documents import load_study

    loaded = load_study(study, trials=trials, seed=seed, sampler=sampler, workers=workers)
    from dse.console import note
    from dse.reach import unreachable, unreachable_text

    for metric, best in unreachable(loaded).items():
        note(f"note: {unreachable_text(loaded, metric, best)}")
    if dry_run:
        _dry_run(loaded, ray_address, json_)
        return
    from dse.driver import Interrupted, run_study
    from dse.progress import default_progress

    folder = out or Path("runs") / loaded.name
    try:
        result = run_study(loaded, folder, ray_address=ray_address, resume=resume, progress=default_progress(),
                           command=_command_line(), storage=storage)
    except Interrupted as interrupted:
        note(f"{interrupted}\ncontinue with: {_resume_command()}")
        raise typer.Exit(interrupted.exit_code) from None
    text = _report(result)
    if json_:
        _print_json(result)
    else:
        from dse.console import out as print_line

        print_line(text)
    raise typer.Exit(_exit_code(result))


def _command_line() -> str:
    """As it was typed, without the password of a storage."""
    import shlex
    import sys

    from dse.console import without_password

    return without_password(shlex.join(["dse", *sys.argv[1:]]))


def _resume_command() -> str:
    line = _command_line()
    return line if " --resume" in line else f"{line} --resume"


def _exit_code(result: "RunResult") -> int:
    """3: designs were evaluated and none is feasible; 4: some trials failed."""
    from dse.errors import NothingFeasible, PartialResult

    if result.n_failed < result.n_trials and not (result.n_feasible and result.front):
        return NothingFeasible.exit_code
    return PartialResult.exit_code if result.n_failed else 0


def _report(result: "RunResult") -> str:
    """Write report.html; the answer as text, whose last line is the path of the report."""
    from dse.console import note
    from dse.race import tail_note
    from dse.report.page import publish
    from dse.terminal import summary

    if result.race is None and (few := tail_note(result.study)):
        note(f"note: {few}")
    made = publish(result.out)
    if result.n_failed:
        first = next(r for r in result.results if r.state == "failed")
        reason = first.error.strip().splitlines()[-1]
        note(f"{result.n_failed} of {result.n_trials} trials failed; trial {first.number}: {reason} (all in "
             f"{result.out / 'trials.csv'}, column error)")
    return f"{summary(made.run, made.breakdown)}\n\nreport: {made.path}"


def _print_json(result: "RunResult") -> None:
    import yaml

    from dse.console import print_json

    front: list[dict[str, Any]] = []
    for trial in result.front:
        one = result.result(trial)
        text = (result.out / "best" / f"trial_{trial:05d}.yaml").read_text(encoding="utf-8")
        design = {key: value for key, value in yaml.safe_load(text).items() if key not in ("kind", "provenance")}
        front.append({"trial": trial, "design": design, "params": one.params, "metrics": one.metrics,
                      "tenants": one.tenants})
        if result.race is not None:
            front[-1]["intervals"] = result.race.as_dict()["finalists"][str(trial)]["intervals"]
    print_json({
        "n_trials": result.n_trials, "n_feasible": result.n_feasible, "n_failed": result.n_failed, "front": front,
        "hypervolume": result.hypervolume, "hypervolume_reference": result.reference, "wall_s": result.wall_s,
        "sampler": result.sampler, "workers": result.workers, "out": str(result.out),
        "report": str(result.out / "report.html"),
        "confidence": result.race.as_dict() if result.race is not None else None,
    })


def _dry_run(study: "Study", ray_address: str | None, json_: bool) -> None:
    """Resolve everything and time three evaluations (the first loads and compiles the models)."""
    import datetime
    import time

    import numpy as np

    from dse.console import out, print_json
    from dse.estimate import estimate_of
    from dse.objective import evaluate_one, evaluator
    from dse.progress import duration
    from dse.samplers import pick_sampler
    from dse.workers import default_workers

    name, reason = pick_sampler(study.sampler, study.space, study.trials, estimates=estimate_of(study) is not None)
    evaluate = evaluator(study)
    rng = np.random.default_rng(study.seed)
    points = [study.space.decode(study.space.sample_evenly_codes(rng)) for _ in range(4)]
    begin = time.perf_counter()
    evaluate_one(evaluate, 0, points[0])
    warm_s = time.perf_counter() - begin
    timed = [evaluate_one(evaluate, number, point) for number, point in enumerate(points[1:], start=1)]
    each_s = sum(result.duration_s for result in timed) / len(timed)
    workers = study.workers or default_workers()
    size = study.space.size()
    total = int(min(study.trials, size))
    rate = workers / each_s
    wall_s = total / rate + warm_s + (5.0 if workers > 1 else 0.0)
    errors = [result.error.strip().splitlines()[-1] for result in timed if result.state == "failed"]
    if json_:
        print_json({"study": study.name, "space_size": size, "trials": total, "sampler": name, "reason": reason,
                    "workers": workers, "evaluation_s": each_s, "trials_per_s": rate, "expected_wall_s": wall_s,
                    "errors": errors})
        return
    end = datetime.datetime.now() + datetime.timedelta(seconds=wall_s)
    points_text = f"{size:,} designs" if np.isfinite(size) else "continuous: no end of designs"
    out(f"study      {study.name}: {len(study.workload.tenants)} tenants, {study.workload.name}")
    out(f"space      {points_text}, {len(study.space.names)} parameters")
    out(f"objectives {', '.join(o.metric if o.minimise else f'{o.metric} (maximise)' for o in study.objectives)}")
    out(f"budgets    {', '.join(f'{metric} {bound:g}' for metric, bound in study.budgets.items()) or 'none'}")
    out(f"sampler    {name}: {reason}")
    out(f"evaluation {each_s * 1e3:.3g} ms each (the first {warm_s:.2g} s)")
    out(f"speed      {rate:,.0f} trials/s with {workers} workers" + (f" at {ray_address}" if ray_address else ""))
    out(f"expected   {total:,} trials in {duration(wall_s)}, at {end:%H:%M:%S}")
    for error in errors:
        out(f"failed     {error}")
