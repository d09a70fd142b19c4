"""`dse capacity`: the largest rate at which a design meets every service level."""

from typing import Annotated, Any

import typer

__all__ = ["command"]


def command(
    design: Annotated[str, typer.Argument(metavar="DESIGN.yaml", help="A design, e.g. RUN/best/trial_00017.yaml.")],
    workload: Annotated[str, typer.Option(
        metavar="WORKLOAD", help="A workload file, a name of `dse list workloads`, or a study (its workload).")],
    seed: Annotated[int | None, typer.Option(
        min=0, help="Seed of the traffic; else the one recorded in the design, else 0.")] = None,
    tolerance: Annotated[float, typer.Option(help="server: relative precision of the rate.")] = 0.01,
    scenario: Annotated[str, typer.Option(
        metavar="SCENARIO", help="server, or each network alone: single_stream (p90 latency), multi_stream (p99 of 8 "
        "samples), offline (throughput).")] = "server",
    queries: Annotated[int, typer.Option(
        min=1, help="single_stream, multi_stream: queries; offline: samples.", max=1_000_000)] = 1024,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The largest rate that passes: all tenants' rates scaled until a service level breaks (MLPerf's server rule).

    The other scenarios of MLPerf Inference measure every network alone.
    """
    from dse.commands.evaluate import _blaming, _both
    from dse.console import note, out, print_json
    from dse.documents import load_design_document, load_workload
    from dse.errors import InputError, NothingFeasible, Problem, did_you_mean
    from hwmodels.capacity import capacity
    from hwmodels.mlperf import SCENARIOS

    known = ["server", *SCENARIOS]
    if scenario not in known:
        raise InputError(Problem(field="--scenario", message=f"must be one of {', '.join(known)}, got {scenario!r}",
                                 hint=did_you_mean(scenario, known)))
    if not 1e-4 <= tolerance <= 1.0:
        raise InputError(Problem(field="--tolerance", message=f"must be in [0.0001, 1], got {tolerance:g}"))
    document, used = _both(lambda: load_design_document(design), lambda: load_workload(workload, field="--workload"))
    chosen = seed if seed is not None else document.seed or 0
    if scenario != "server":
        _alone(_blaming, design, document.design, used, scenario, queries, chosen, as_json)
        return
    found = _blaming(design, lambda: capacity(document.design, used, seed=chosen, tolerance=tolerance))
    rows = _tenants(found) if found.detail is not None else []
    if as_json:
        print_json({"factor": found.factor, "fails_at": found.fails, "seed": chosen, "tenants": rows,
                    "evaluations": found.evaluations,
                    "metrics": found.detail.outcome.metrics if found.detail is not None else {}})
    if found.detail is None:
        raise NothingFeasible(f"{design}: no rate meets every service level of {used.name!r}")
    if as_json:
        return
    bound = f"fails at {found.fails:.4g}" if found.fails < float("inf") else "no rate that was tried fails"
    out(f"{found.factor:.4g} times the rates of {used.name!r} pass, {bound} ({found.evaluations} evaluations, "
        f"seed {chosen})")
    out(f"{'tenant':20} {'rate /s':>10} {'requests':>10} {'percentile':>10} {'latency ms':>11} {'deadline ms':>11}")
    for row in rows:
        deadline = "-" if row["deadline_s"] is None else f"{row['deadline_s'] * 1e3:.4g}"
        out(f"{row['name']:20} {row['rate_hz']:>10.5g} {row['requests']:>10} {row['percentile']:>10g} "
            f"{row['latency_s'] * 1e3:>11.4g} {deadline:>11}")
    for row in rows:
        if row["requests"] < row["requests_for_tail"] and row["deadline_s"] is not None:
            note(f"note: {row['name']}: p{row['percentile']:g} at 99 % confidence wants {row['requests_for_tail']:,} "
                 f"requests, got {row['requests']:,}: lengthen duration_s before quoting the rate")


def _alone(blaming: Any, path: str, design: Any, workload: Any, scenario: str, queries: int, seed: int,
           as_json: bool) -> None:
    """Every network alone in one of `hwmodels.mlperf.SCENARIOS`, printed."""
    from dse.console import note, out, print_json
    from hwmodels.capacity import requests_for_tail
    from hwmodels.mlperf import SCENARIOS, measure

    rule = SCENARIOS[scenario]
    found = blaming(path, lambda: measure(design, workload, scenario, queries=queries, seed=seed))
    if as_json:
        print_json({"scenario": scenario, "metric": rule.metric, "queries": queries if rule.samples else 1,
                    "samples_per_query": rule.samples or queries, "seed": seed,
                    "tenants": [{"name": one.tenant, rule.metric: one.value} for one in found]})
        return
    what = f"{queries:,} queries of {rule.samples}" if rule.samples else f"one query of {queries:,} samples"
    out(f"{scenario}: every network of {workload.name!r} alone, {what}, seed {seed}")
    unit = "ms" if rule.percentile else "/s"
    out(f"{'tenant':20} {rule.metric.rpartition('_')[0].removesuffix('_per') + ' ' + unit:>16}")
    for one in found:
        out(f"{one.tenant:20} {one.value * (1e3 if rule.percentile else 1.0):>16.5g}")
    needed = requests_for_tail(rule.percentile or 100.0)
    for tenant in workload.tenants:
        if tenant.network.exits and queries < needed:
            note(f"note: {tenant.name}: its early exits are drawn: p{rule.percentile:g} at 99 % confidence wants "
                 f"{needed:,} queries, got {queries:,} (--queries)")


def _tenants(found: Any) -> list[dict[str, Any]]:
    """Rate, latency at the percentile and deadline of every tenant at the factor found."""
    import numpy as np

    from hwmodels.capacity import requests_for_tail
    from hwmodels.traffic import mean_rate_hz, relative_deadline_s

    detail, workload = found.detail, found.workload
    trace, records = detail.trace, detail.records
    deadlines = relative_deadline_s(workload, detail.isolated_s)
    rows = []
    for index, tenant in enumerate(workload.tenants):
        mine = (trace.tenant == index) & np.isfinite(records.finish_s)
        latency = records.finish_s[mine] - trace.arrival_s[mine]
        percentile = tenant.service.percentile
        rows.append({
            "name": tenant.name, "rate_hz": mean_rate_hz(workload, tenant), "requests": int(mine.sum()),
            "percentile": percentile, "requests_for_tail": requests_for_tail(percentile),
            "latency_s": float(np.percentile(latency, percentile)) if len(latency) else float("nan"),
            "deadline_s": float(deadlines[index]) if np.isfinite(deadlines[index]) else None})
    return rows
