"""`dse sensitivity`: what a run's answer depends on."""

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["command"]


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    samples: Annotated[int, typer.Option(help="Points of the space to evaluate for the importance (each costs about a "
                                              "dozen evaluations); 0: a regression on the trials, at once.")] = 0,
    designs: Annotated[int, typer.Option(help="Designs of the front to look at.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Of the points.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Which parameter matters for each objective, and what one more mm2, GB/s or ms of deadline buys."""
    from dse.console import print_json
    from dse.sensitivity import sensitivity

    found = sensitivity(run, samples=samples, designs=designs, seed=seed)
    if as_json:
        print_json(found.as_dict())
        return
    _print_importance(found.importance)
    _print_purchases(found.designs)


def _print_importance(found: Any) -> None:
    from dse.advice import _SHORT, _table
    from dse.console import out
    from dse.report.words import label

    effects = {metric: {e.parameter: e for e in rows} for metric, rows in found.effects.items()}
    names = sorted({name for rows in effects.values() for name in rows},
                   key=lambda name: -max(rows[name].total_frac for rows in effects.values()))
    out("Which parameter matters: share of an objective's variance that remains when all others are fixed")
    source = f"a regression on {found.designs} trials" if found.r2 else f"{found.designs} designs evaluated for it"
    out(f"(total effect on ranks over the whole space, +- standard error; {found.samples:,} points, {source})")
    out()
    rows = [[name, *(f"{rows[name].total_frac:.0%} +- {rows[name].error_frac:.0%}" for rows in effects.values())]
            for name in names if any(rows[name].total_frac >= 0.005 for rows in effects.values())]
    for line in _table(["parameter", *(_SHORT.get(m, label(m)) for m in effects)], rows,
                       [False, *[True] * len(effects)]):
        out(f"  {line}")
    if found.r2:
        out("  what the regression explains of a trial left out (R2): "
            + ", ".join(f"{label(metric)} {r2:.0%}" for metric, r2 in found.r2.items()))


def _print_purchases(designs: Any) -> None:
    from dse.console import out
    from dse.report.words import describe_hardware, describe_policy, label, quantity

    def changed(metric: str, change: float) -> str:
        return f"{'+' if change > 0.0 else '-'}{quantity(metric, abs(change))} {label(metric)}"

    for design in designs:
        trial = design.trial
        out()
        out(f"trial {trial.number}: {trial.params.get('architecture', 'design')}, {describe_hardware(trial.params)}, "
            f"{describe_policy(trial.params)}")
        for metric, one in design.per_mm2.items():
            text = f"{changed(metric, one.rate)} ({one.parameter} {_value(one.before)} -> {_value(one.after)})" \
                if one else f"no step that adds area improves {label(metric)}"
            out(f"  +1 mm2   {text}")
        steps = {metric: one for metric, one in design.per_gb_per_s.items() if one}
        if steps:
            parts = [changed(metric, one.rate) for metric, one in steps.items() if abs(one.rate) > 0.0]
            one = next(iter(steps.values()))
            out(f"  +1 GB/s  {', '.join(parts) or 'changes no objective'} ({_value(one.before)} -> "
                f"{_value(one.after)} bytes/s)")
        if design.tenant:
            parts = [changed(metric, change) for metric, change in design.per_ms.items() if abs(change) > 0.0]
            out(f"  +1 ms    {', '.join(parts) or 'changes no objective'} (deadline of {design.tenant}, the worst "
                "tenant)")


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
