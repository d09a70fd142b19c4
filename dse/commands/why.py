"""`dse why`: why a design is as it is."""

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["command"]


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    trial: Annotated[int | None, typer.Option(help="A trial. Default: the recommended design.",
                                              show_default=False)] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the comparison with other policies.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Explain a design: what limits it, margins, what one step of each parameter changes, why this policy."""
    from dse.console import note, print_json
    from dse.explain_trial import explain

    found = explain(run, trial, seeds=seeds)
    if as_json:
        print_json(found.as_dict())
        return
    _print(found)
    for text in found.notes:
        note(text)


def _print(found: Any) -> None:
    import math

    from dse.console import out
    from dse.report.words import describe_hardware, describe_policy, label, quantity

    trial = found.trial
    kind = trial.params.get("architecture", "design")
    out(f"trial {trial.number}: {kind}, {describe_hardware(trial.params)}, {describe_policy(trial.params)}"
        + ("" if trial.verdict.feasible else " (not feasible)"))
    out()
    out(f"What limits it: {found.limits['sentence']}.")
    _tenants(found.limits)
    if trial.study.robust:
        _scenarios(trial)
    if found.margins:
        out()
        out("Budgets:")
        for metric, margin in found.margins.items():
            room = f"{margin['margin_frac']:.0%} left" if margin["met"] else f"{-margin['margin_frac']:.0%} beyond it" \
                if math.isfinite(margin["margin_frac"]) else "not met"
            value, bound = (quantity(metric, margin[key]) for key in ("value", "bound"))
            out(f"  {label(metric)}: {value} of {bound}, {room}")
    out()
    out(f"One step away ({len(found.neighbours)} designs). {found.sentence}")
    _neighbours(found)
    out()
    out(f"Policy: {found.policies.sentence}")


def _scenarios(trial: Any) -> None:
    from dse.advice import scenario_table
    from dse.console import out

    out()
    out(f"Scenarios (what limits it, tenants and policies are of the worst: {trial.scenario.name}):")
    for line in scenario_table(trial.result.scenarios, trial.study.judged, trial.scenario.name):
        out(f"  {line}")


def _tenants(limits: Any) -> None:
    import math

    from dse.advice import _LIMITS, _table
    from dse.console import out
    from dse.report.words import label, quantity
    from hwmodels.outcome import ANSWER_METRICS

    rows = []
    for name, tenant in limits["tenants"].items():
        shares = sorted(tenant["time_frac"].items(), key=lambda item: -item[1])
        mark = " <- worst" if name == limits["worst_tenant"] else ""
        used = tenant["p99_deadline_frac"]
        spent = ", ".join(f"{share:.0%} {_LIMITS.get(key, key)}" for key, share in shares if share >= 0.005) or "-"
        tokens = ", ".join(f"{label(key)} {quantity(key, tenant[key])}" for key in ANSWER_METRICS if key in tenant)
        rows.append([name + mark, "-" if math.isnan(used) else f"{used:.0%}",
                     f"{spent}; {tokens}" if tokens else spent])
    if rows:
        for line in _table(["tenant", "p99/deadline", "its time"], rows, [False, True, False]):
            out(f"  {line}")


def _neighbours(found: Any) -> None:
    import math

    from dse.advice import _SHORT, _table
    from dse.console import out
    from dse.objective import metric_of
    from dse.report.words import label, parameter, quantity, relative

    names = [o.metric for o in found.trial.study.objectives]
    rows = []
    for n in found.neighbours:
        cells = []
        for metric in names:
            value, base = metric_of(n.result, metric), metric_of(found.trial.result, metric)
            change = relative(value, base)
            cells.append(quantity(metric, value) + (f" ({change})" if change else "") if not math.isnan(value) else "-")
        verdict = "dominates" if n.dominates else "yes" if n.verdict.feasible else _why_not(n)
        also = ", ".join(f"{name} {parameter(name, after)}" for name, (_, after) in n.also.items() if after is not None)
        before, after = parameter(n.parameter, n.before), parameter(n.parameter, n.after)
        rows.append([f"{n.parameter} {before} -> {after}", *cells, verdict,
                     also if len(also) < 60 else f"{also[:57]}..."])
    if rows:
        header = ["step", *(_SHORT.get(m, label(m)) for m in names), "feasible", "with it"]
        for line in _table(header, rows, [False, *[True] * len(names), False, False]):
            out(f"  {line}")


def _why_not(n: Any) -> str:
    if n.result.status != "ok":
        return f"no: {n.result.status}"
    from dse.report.words import label

    return "no: " + ", ".join(label(m) for m, v in n.verdict.violations.items() if not v <= 0.0)
