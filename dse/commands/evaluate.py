"""`dse evaluate`: one design under one workload."""

from typing import Annotated, Any

import typer

__all__ = ["command"]


def command(
    design: Annotated[str, typer.Argument(metavar="DESIGN.yaml", help="A design, e.g. RUN/best/trial_00017.yaml.")],
    workload: Annotated[str, typer.Option(
        metavar="WORKLOAD", help="A workload file, a name of `dse list workloads`, or a study (its workload; of a "
                                 "robust study all its scenarios).")],
    seed: Annotated[int | None, typer.Option(
        min=0, help="Seed of the traffic; else the one recorded in the design, else 0.")] = None,
    scenario: Annotated[str | None, typer.Option(
        metavar="NAME", help="With a robust study: this scenario only, by its name or number (from 0).")] = None,
    uncertainty: Annotated[bool, typer.Option(
        "--uncertainty", help="Intervals of area, energy and latency from the ranges of the constants.")] = False,
    against: Annotated[str | None, typer.Option(
        metavar="OTHER.yaml", help="With --uncertainty: does the order against this design survive them?")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Evaluate a design: every metric, per tenant too, what is violated, where area, energy and time go."""
    from dse.console import print_json
    from dse.documents import load_design_document, load_faced
    from dse.errors import InputError

    if against and not uncertainty:
        raise InputError("--against: must be given with --uncertainty")
    document, faced = _both(lambda: load_design_document(design), lambda: load_faced(workload, field="--workload"))
    chosen = seed if seed is not None else document.seed or 0
    robust = _robust(faced, chosen)
    if scenario is not None:
        used, chosen = _scenario(robust, scenario)
    elif robust is not None:
        if uncertainty:
            raise InputError("--uncertainty: must be given with one --scenario of a robust study")
        _evaluate_robust(design, document, robust, as_json)
        return
    else:
        used = getattr(faced, "workload", faced)
    detail = _evaluate(design, document.design, used, chosen)
    outcome = detail.outcome
    violations = _violations(outcome, used, detail.isolated_s) | _beyond(outcome, document.provenance.get("budgets"))
    doubt = _uncertainty(document.design, against, used, chosen) if uncertainty and outcome.ok else {}
    if as_json:
        print_json({"status": outcome.status, "metrics": outcome.shown, "tenants": outcome.tenants,
                    "violations": violations, "breakdown": outcome.breakdown, "seed": chosen, **doubt})
        return
    _print(outcome, violations, f"{design} under workload {used.name!r}, seed {chosen}")
    _print_uncertainty(doubt, against)


def _robust(faced: Any, seed: int) -> Any:
    """The robust study of --workload, counting its seeds from this one; None where it is none."""
    from dataclasses import replace

    return replace(faced, seed=seed) if getattr(faced, "robust", None) is not None else None


def _scenario(study: Any, spec: str) -> tuple[Any, int]:
    """Workload and seed of a scenario."""
    from dse.errors import InputError, Problem, did_you_mean

    if study is None:
        raise InputError("--scenario: must be given with a robust study as --workload")
    names = [scenario.name for scenario in study.scenarios]
    at = int(spec) if spec.isascii() and spec.isdigit() else names.index(spec) if spec in names else len(names)
    if at >= len(names):
        raise InputError(Problem(field="--scenario", message=f"must be 0 to {len(names) - 1} or one of "
                                 f"{'; '.join(names)}, got {spec!r}", hint=did_you_mean(spec, names)))
    return study.scenarios[at].workload, study.scenarios[at].seed


def _evaluate_robust(path: str, document: Any, study: Any, as_json: bool) -> None:
    """The design under every scenario of a study: what the study judges, and the judged metrics one by one."""
    from dse.advice import scenario_table
    from dse.console import out, print_json
    from dse.robust import see

    seen = _blaming(path, lambda: see(study, document.design))
    outcome = seen.outcome
    violations = _beyond(outcome, study.budgets)
    if as_json:
        print_json({"status": outcome.status, "metrics": outcome.shown, "tenants": outcome.tenants,
                    "violations": violations, "scenarios": outcome.scenarios, "worst_scenario": seen.scenario.name,
                    "breakdown": seen.within.breakdown, "seed": study.seed})
        return
    _print(outcome, violations, f"{path} under the {len(study.scenarios)} scenarios of {study.name!r}")
    out()
    for line in scenario_table(outcome.scenarios, study.judged, seen.scenario.name):
        out(f"  {line}")


def _both(*loads: Any) -> list[Any]:
    """Results of all, or one `InputError` with the problems of all."""
    from dse.errors import InputError

    results, problems = [], []
    for load in loads:
        try:
            results.append(load())
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return results


def _evaluate(path: str, design: Any, workload: Any, seed: int) -> Any:
    """The evaluation; a design that contradicts the workload is a problem of its file."""
    from hwmodels.evaluate import evaluate_detail

    return _blaming(path, lambda: evaluate_detail(design, workload, seed=seed, record=False))


def _blaming(path: str, evaluate: Any) -> Any:
    from dse.convert import Reading
    from dse.errors import InputError
    from dse.located import read

    reading = Reading(read(path), [])
    with reading.blaming(()):
        return evaluate()
    raise InputError(*reading.problems)


def _uncertainty(design: Any, against: str | None, workload: Any, seed: int) -> dict[str, Any]:
    """`uncertainty`: metric -> interval; `ranking`: metric -> whether the order against the other design survives."""
    from dse.documents import load_design
    from hwmodels.design_uncertainty import design_evaluation
    from hwmodels.uncertainty import intervals, ranking

    mine = design_evaluation(design, workload, seed=seed)
    found: dict[str, Any] = {"uncertainty": {name: each._asdict() for name, each in intervals(mine).items()}}
    if against:
        other = load_design(against)
        _evaluate(against, other, workload, seed)
        theirs = design_evaluation(other, workload, seed=seed)
        found["ranking"] = {name: each._asdict() for name, each in ranking(mine, theirs).items()}
    return found


def _violations(outcome: Any, workload: Any, isolated_s: Any) -> dict[str, float]:
    """`TENANT.slo_s`: latency at the tenant's percentile minus its deadline [s]; > 0 is violated."""
    from hwmodels.traffic import relative_deadline_s

    if isolated_s is None or not outcome.tenants:
        return {}
    found = {}
    for tenant, deadline_s in zip(workload.tenants, relative_deadline_s(workload, isolated_s), strict=True):
        metrics = outcome.tenants.get(tenant.name, {})
        if deadline_s < float("inf") and "slo_miss_frac" in metrics:
            found[f"{tenant.name}.slo_s"] = float(metrics["slo_miss_frac"] * deadline_s)
    return found


def _beyond(outcome: Any, budgets: Any) -> dict[str, float]:
    """Amount beyond each budget that the design's file records; > 0 is violated."""
    from hwmodels.outcome import METRICS

    found = {}
    for name, bound in budgets.items() if isinstance(budgets, dict) else ():
        tenant, _, metric = str(name).rpartition(".")
        value = (outcome.tenants.get(tenant, {}) if tenant else outcome.metrics).get(metric)
        if value is not None and metric in METRICS and isinstance(bound, int | float):
            found[str(name)] = float(value - bound if METRICS[metric].minimise else bound - value)
    return found


def _print(outcome: Any, violations: dict[str, float], title: str) -> None:
    from dse.console import out
    from hwmodels.outcome import ANSWER_METRICS, METRICS

    out(f"{title}: {outcome.status}")
    out()
    answers = {tenant: each for tenant, each in outcome.tenants.items() if "p99_ttft_s" in each}
    for name, value in outcome.shown.items():
        unit = METRICS[name].unit if name in METRICS else ""
        out(f"  {name:<24} {value:>12.6g}  {unit.replace('-', '')}".rstrip())
    columns = ("p50_latency_s", "p99_latency_s", "p99_deadline_frac", "slo_violation_frac", "energy_per_inference_j")
    if outcome.tenants:
        width = max(len("tenant"), *(len(name) for name in outcome.tenants))
        out()
        out(f"  {'tenant':<{width}}  " + "  ".join(f"{column:>18}" for column in columns))
        for name, metrics in outcome.tenants.items():
            cells = [f"{metrics[column]:>18.6g}" if column in metrics else f"{'-':>18}" for column in columns]
            out(f"  {name:<{width}}  " + "  ".join(cells))
    for name, each in answers.items():
        out(f"  {name}: " + ", ".join(f"{metric} {each[metric]:.6g}" for metric in ANSWER_METRICS))
    broken = {name: amount for name, amount in violations.items() if amount > 0.0}
    out()
    out("  violated: " + (", ".join(f"{name} by {amount:.4g}" for name, amount in broken.items()) or "nothing"))


def _print_uncertainty(doubt: dict[str, Any], against: str | None) -> None:
    from dse.console import out
    from hwmodels.outcome import METRICS

    if not doubt:
        return
    out()
    out("  from the ranges of the constants   5 % of draws below   95 % below        least        largest")
    for name, each in doubt["uncertainty"].items():
        unit = METRICS[name].unit if name in METRICS else ""
        ends = f"{each['p05']:>17.6g} {each['p95']:>12.6g} {each['low']:>12.6g} {each['high']:>14.6g}"
        out(f"  {name:<33}  {ends}  {unit}")
    for name, each in doubt.get("ranking", {}).items():
        verdict = "survives" if each["survives"] else f"holds in {each['agree_frac']:.0%} of the draws"
        out(f"  {name}: {each['difference']:+.4g} against {against}; the order {verdict}")
