"""`dse diff`: two designs side by side."""

from typing import Annotated, Any

import typer

__all__ = ["command"]


def command(
    a: Annotated[str, typer.Argument(metavar="A", help="A design file, or RUN:TRIAL (RUN alone: its recommended one).",
                                     show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="As A.", show_default=False)],
    workload: Annotated[str | None, typer.Option(
        metavar="WORKLOAD", help="A workload file, a name of `dse list workloads`, or a study. Default: that of the "
                                 "runs.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the traffic. Default: the one recorded, else 0.",
                                             show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two designs: parameters that differ, metrics and their relative differences under a workload."""
    from dse.console import print_json
    from dse.diff import diff

    found = diff(a, b, workload=workload, seed=seed)
    if as_json:
        print_json(found.as_dict())
        return
    _print(found)


def _print(found: Any) -> None:
    from dse.advice import _table
    from dse.console import out
    from dse.diff import _SAME_FRAC
    from dse.report.words import label, quantity

    out(f"A: {found.a.name}: {found.a.status}")
    out(f"B: {found.b.name}: {found.b.status}")
    out(f"under workload {found.workload!r}, seed {found.seed}")
    if found.sentence:
        out()
        out(found.sentence)
    out()
    if found.parameters:
        rows = [[p.name, _value(p.name, p.a), _value(p.name, p.b)] for p in found.parameters]
        for line in _table(["parameter", "A", "B"], rows, [False, False, False]):
            out(f"  {line}")
    else:
        out("  the designs are equal")
    shown = [m for m in found.tenant_metrics if m.name.endswith((".p99_deadline_frac", ".energy_per_inference_j"))]
    for title, metrics in (("metric", found.metrics), ("metric of a tenant", shown)):
        rows = [[label(m.name), quantity(m.name, m.a), quantity(m.name, m.b), _relative(m.relative),
                 f"{m.better} better" if m.better else ""]
                for m in metrics if m.better or abs(m.relative) >= _SAME_FRAC]
        if rows:
            out()
            for line in _table([title, "A", "B", "B - A", ""], rows, [False, True, True, True, False]):
                out(f"  {line}")
    equal = [label(m.name) for m in found.metrics if not (m.better or abs(m.relative) >= _SAME_FRAC)]
    if equal:
        out()
        out(f"  the same: {', '.join(equal)}")


def _relative(value: float) -> str:
    import math

    return "-" if math.isnan(value) else f"{value:+.1%}" if abs(value) < 10.0 else f"x{value + 1.0:.3g}"


def _value(name: str, value: Any) -> str:
    from dse.report.words import parameter

    if isinstance(value, dict):  # an engine that only one of the designs has
        return (f"{value['rows']}x{value['cols']} {value['dataflow']}, "
                f"{parameter('sram_bytes', value['sram_bytes'])}, {value['vector_lanes']} lanes")
    if isinstance(value, list | tuple):
        return ", ".join(_value(name, item) for item in value)
    return parameter(name, value)
