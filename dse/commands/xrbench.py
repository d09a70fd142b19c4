"""`dse xrbench`: the score of a usage scenario, by the benchmark's own rules or on our kernel."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hwmodels.workload import Workload
    from hwmodels.xrbench import Frame, ScenarioNetwork

__all__ = ["command"]

_NEVER_MS = 1e4
"""Latency of a network on an engine that does not serve it: longer than any run."""


def command(
    workload: Annotated[str, typer.Option(
        metavar="WORKLOAD", help="A scenario of `dse list workloads`, or a workload file: periodic tenants and those "
                                 "that follow them.")],
    design: Annotated[str | None, typer.Argument(metavar="[DESIGN.yaml]", help="A design; or --latencies.")] = None,
    latencies: Annotated[str | None, typer.Option(
        metavar="FILE.csv", help="Measured: network,engine,latency_ms,energy_mj with the tenants' names; strict only.",
    )] = None,
    strict: Annotated[bool, typer.Option(
        "--strict", help="The benchmark's own run: periods of 1000 // fps ms, frames released at events, whole frames "
                         "on the idle engine that is fastest.")] = False,
    duration_ms: Annotated[int, typer.Option(min=1, max=10**7, help="Strict: length of the run [ms].")] = 700,
    skip: Annotated[list[str] | None, typer.Option(
        metavar="TENANT=FRAME,...", help="Strict: frames of a follower that its draw left out; else drawn.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the traffic and the draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a design (or measured latencies) on an XRBench scenario: real time, energy, frames dropped."""
    from dse.commands.evaluate import _both
    from dse.console import out, print_json
    from dse.documents import load_design, load_workload
    from dse.errors import InputError, Problem
    from hwmodels.xrbench import run, score

    if (design is None) == (latencies is None):
        raise InputError(Problem(field="DESIGN, --latencies", message="must be given, one of the two"))
    if latencies is not None and not strict:
        raise InputError(Problem(field="--latencies", message="must be given with --strict: our kernel needs layers"))
    used, record = _both(lambda: load_workload(workload, field="--workload"),
                         lambda: load_design(design) if design is not None else None)
    left_out = _skipped(skip or [], used)
    if strict:
        costs = _measured(Path(latencies), used) if latencies is not None else _costed(str(design), record, used)
        completed, dropped = run(_scenario(used, costs, left_out, duration_ms, seed), duration_ms=duration_ms)
    else:
        completed, dropped = _served(str(design), record, used, seed)
    found = score(completed, dropped)
    if as_json:
        print_json({"workload": used.name, "strict": strict, "seed": seed, "overall": found.overall,
                    "networks": {name: each._asdict() for name, each in found.networks.items()}})
        return
    out(f"{used.name}: {found.overall:.4f} of 100 ({'strict' if strict else 'event kernel'}, seed {seed})")
    out(f"{'tenant':24} {'completed':>9} {'dropped':>8} {'real time':>10} {'energy':>8} {'kept':>8} {'score':>8}")
    for name, each in found.networks.items():
        out(f"{name:24} {each.completed:>9} {each.dropped:>8} {each.realtime:>10.4f} {each.energy:>8.4f} "
            f"{each.ux:>8.4f} {each.overall:>8.4f}")


def _skipped(given: list[str], workload: "Workload") -> dict[str, frozenset[int]]:
    from dse.errors import InputError, Problem, did_you_mean

    names = [tenant.name for tenant in workload.tenants]
    found, problems = {}, []
    for text in given:
        name, equals, frames = text.partition("=")
        parts = [part.strip() for part in frames.split(",") if part.strip()]
        if name not in names:
            problems.append(Problem(field="--skip", message=f"must name a tenant ({', '.join(names)}), got {name!r}",
                                    hint=did_you_mean(name, names)))
        elif not equals or not all(part.isascii() and part.isdigit() for part in parts):
            problems.append(Problem(field="--skip", message=f"must be TENANT=FRAME,..., got {text!r}"))
        else:
            found[name] = frozenset(map(int, parts))
    if problems:
        raise InputError(*problems)
    return found


def _scenario(workload: "Workload", costs: dict[str, list[tuple[float, float]]],
              left_out: dict[str, frozenset[int]], duration_ms: int, seed: int) -> "list[ScenarioNetwork]":
    """Tenants as the benchmark sees them; a draw per frame of a follower."""
    import zlib

    import numpy as np

    from dse.errors import InputError, Problem
    from hwmodels.traffic import root_of
    from hwmodels.xrbench import ScenarioNetwork

    made, problems = [], []
    for tenant in workload.tenants:
        traffic = root_of(workload, tenant)[0].traffic
        assert traffic is not None
        whole = traffic.rate_hz.is_integer() and traffic.part == (0.0, 1.0)
        if traffic.kind != "periodic" or not whole or not 1 <= traffic.rate_hz <= 1000:
            problems.append(Problem(field=tenant.name, message="must be periodic with a whole rate in [1, 1000] Hz, "
                                    f"got {traffic.kind} {traffic.rate_hz:g}"))
            continue
        fps = int(traffic.rate_hz)
        skipped = left_out.get(tenant.name)
        if skipped is None:
            drawn = np.random.default_rng([seed, zlib.crc32(tenant.name.encode())]).random(
                duration_ms // (1000 // fps))
            skipped = frozenset(np.flatnonzero(drawn >= tenant.probability).tolist())
        made.append(ScenarioNetwork(
            name=tenant.name, fps=fps, parent=tenant.after, skipped=skipped,
            latency_ms=tuple(latency for latency, _ in costs[tenant.name]),
            energy_mj=tuple(energy for _, energy in costs[tenant.name])))
    if problems:
        raise InputError(*problems)
    return made


def _costed(path: str, design: Any, workload: "Workload") -> dict[str, list[tuple[float, float]]]:
    """(latency [ms], energy [mJ]) of every tenant on every engine, alone."""
    from dse.commands.evaluate import _blaming
    from dse.errors import InputError, Problem
    from hwmodels.evaluate import prepare

    prepared = _blaming(path, lambda: prepare(design, workload))
    if prepared.problem:
        raise InputError(Problem(file=path, message=f"must be able to run the workload: {prepared.problem}"))
    networks = workload.networks
    found: dict[str, list[tuple[float, float]]] = {}
    for tenant in workload.tenants:
        n = networks.index(tenant.network)
        found[tenant.name] = []
        for e, slot in enumerate(prepared.chip.slots):
            cost = prepared.costs.get((n, e, len(slot.levels) - 1))
            serves = not slot.tenants or tenant.name in slot.tenants
            if cost is None or cost.unsupported or not serves:
                found[tenant.name].append((_NEVER_MS, 0.0))
            else:
                found[tenant.name].append((float(cost.latency_s.sum()) * 1e3, float(cost.energy_j.sum()) * 1e3))
    return found


def _measured(path: Path, workload: "Workload") -> dict[str, list[tuple[float, float]]]:
    """The same from a CSV; engines in the order in which they first appear."""
    import csv
    import math

    from dse.errors import InputError, Problem, did_you_mean
    from dse.located import read_text

    columns = ("network", "engine", "latency_ms", "energy_mj")
    names = [tenant.name for tenant in workload.tenants]
    rows = csv.reader(read_text(path, what="CSV text").splitlines())
    shown, problems, engines = str(path), [], list[str]()
    found: dict[tuple[str, str], tuple[float, float]] = {}
    try:
        header = [cell.strip() for cell in next(rows, [])]
        missing = [column for column in columns if column not in header]
        if missing:
            raise InputError(Problem(file=shown, line=1, message=f"must have the columns {', '.join(columns)}, "
                                     f"missing {', '.join(missing)}"))
        for row in rows:
            line = rows.line_num
            if not any(cell.strip() for cell in row):
                continue
            cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
            name, engine = cells.get("network", ""), cells.get("engine", "")
            values = []
            for column, least in (("latency_ms", "> 0"), ("energy_mj", ">= 0")):
                try:
                    value = float(cells.get(column, ""))
                except ValueError:
                    value = math.nan
                if not (math.isfinite(value) and (value > 0.0 or (value == 0.0 and least == ">= 0"))):
                    problems.append(Problem(file=shown, line=line, field=f"column {column}",
                                            message=f"must be a number {least}, got {cells.get(column, '')!r}"))
                values.append(value)
            if name not in names:
                problems.append(Problem(file=shown, line=line, field="column network", hint=did_you_mean(name, names),
                                        message=f"must be a tenant of the workload, got {name!r}"))
            if (name, engine) in found:
                problems.append(Problem(file=shown, line=line, message=f"must be given once: {name} on {engine}"))
            engines += [engine] if engine not in engines else []
            found[name, engine] = (values[0], values[1])
    except csv.Error as error:
        problems.append(Problem(file=shown, line=rows.line_num, message=f"must be CSV: {error}"))
    if not problems:
        problems = [Problem(file=shown, message=f"must have a row of tenant {name!r}") for name in names
                    if not any(network == name for network, _ in found)]
    if problems:
        raise InputError(*problems[:20])
    return {name: [found.get((name, engine), (_NEVER_MS, 0.0)) for engine in engines] for name in names}


def _served(path: str, design: Any, workload: "Workload", seed: int) -> "tuple[list[Frame], list[Frame]]":
    """Frames as the event kernel serves them under the design's policy."""
    import math

    from dse.commands.evaluate import _evaluate
    from dse.errors import InputError, Problem
    from hwmodels.xrbench import Frame

    detail = _evaluate(path, design, workload, seed)
    trace, records = detail.trace, detail.records
    if records is None:
        raise InputError(Problem(file=path, message=f"must be able to run the workload: {detail.outcome.status}"))
    completed: list[Frame] = []
    dropped: list[Frame] = []
    counts = [0] * len(workload.tenants)
    for row, tenant in enumerate(trace.tenant.tolist()):
        finish, deadline = float(records.finish_s[row]) * 1e3, float(trace.deadline_s[row]) * 1e3
        frame = Frame(workload.tenants[tenant].name, counts[tenant], 0, float(trace.arrival_s[row]) * 1e3, math.nan,
                      deadline, finish, float(records.energy_j[row]) * 1e3)
        counts[tenant] += 1
        (completed if math.isfinite(finish) else dropped).append(frame)
    return completed, dropped
