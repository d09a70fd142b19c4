"""`dse inspect`: what is in a network or a request log, whatever it is written in."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dse.readers import NetworkFile

__all__ = ["command"]

CONVENTION = ("one MAC = one multiply-accumulate of a matrix product or convolution; attention dense; biases, norms, "
              "activations, pooling and element-wise work are vector operations")


def _parse_bind(text: str) -> dict[str, int]:
    """`batch=1,seq=384` as a mapping."""
    from dse.errors import InputError, Problem

    found: dict[str, int] = {}
    problems = []
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        try:
            size = int(value)
        except ValueError:
            size = None
        if not equals or not name or size is None:
            problems.append(Problem(field="--bind", message=f"must be NAME=SIZE[,NAME=SIZE...], got '{part.strip()}'"))
        elif name in found:
            problems.append(Problem(field="--bind", message=f"must name every dimension once, got '{name}' twice"))
        else:
            found[name] = size
    if problems:
        raise InputError(*problems)
    return found


def _refuse_flags(read: "NetworkFile", flags: dict[str, object]) -> None:
    """Flags of language models on anything else would silently do nothing."""
    from dse.errors import InputError, Problem

    given = [name for name, value in flags.items() if value is not None]
    if read.kind != "huggingface" and given:
        raise InputError(*[Problem(field=f"--{name}",
                                   message="must be absent (only a config.json has phases and tokens), got "
                                   f"{flags[name]}") for name in given])


def _refuse(what: str, flags: Mapping[str, object]) -> None:
    from dse.errors import InputError, Problem

    problems = [Problem(field=f"--{name}", message=f"must be absent: it is not for {what}, got {value}")
                for name, value in flags.items() if value is not None]
    if problems:
        raise InputError(*problems)


def _rows(read: "NetworkFile") -> list[dict[str, Any]]:
    rows = []
    unknown = {item.node for item in read.unsupported}
    for index, layer in enumerate(read.network):
        row: dict[str, Any] = {
            "name": layer.name, "op": layer.op, "type": read.types[index] if read.types else layer.op,
            "macs": layer.macs,
            "parameters": layer.parameters, "vector_ops": layer.vector_ops, "input_elements": layer.input_elements,
            "output_elements": layer.output_elements,
            "weight_elements": layer.weight_elements if layer.has_weights else 0,
            "weight_bits": layer.weight_bits, "input_bits": layer.input_bits, "output_bits": layer.output_bits,
            "supported": not (read.types and layer.name in unknown), "inputs": list(read.network.producers(index))}
        if layer.is_matrix:
            row |= {name: getattr(layer, name) for name in (
                "batch", "groups", "k", "c", "oy", "ox", "fy", "fx", "stride_y", "stride_x", "dilation_y", "dilation_x",
                "pad_y", "pad_x", "repeat")}
            row |= {"weight_density": layer.weight_density}
        rows.append(row)
    return rows


def _by_op(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for row in rows:
        total = totals.setdefault(row["op"], {"layers": 0, "macs": 0, "vector_ops": 0, "parameters": 0})
        total["layers"] += 1
        for name in ("macs", "vector_ops", "parameters"):
            total[name] += row[name]
    return dict(sorted(totals.items(), key=lambda item: (-item[1]["macs"], -item[1]["vector_ops"], item[0])))


def _size(row: dict[str, Any]) -> str:
    """The loop nest in one cell."""
    if "k" not in row:
        return f"{row['input_elements']} -> {row['output_elements']}"
    times = "".join(f"{row[name]}x " for name in ("repeat", "batch", "groups") if row[name] > 1)
    window = f" {row['fy']}x{row['fx']}" if row["fy"] * row["fx"] > 1 else ""
    stride = f"/{row['stride_y']}" if max(row["stride_y"], row["stride_x"]) > 1 else ""
    return f"{times}{row['oy']}x{row['ox']} c{row['c']} k{row['k']}{window}{stride}"


def _print_text(read: "NetworkFile", rows: list[dict[str, Any]], top: int | None) -> None:
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)

    def table(title: str, columns: list[tuple[str, bool]], cells: list[list[str]]) -> None:
        drawn = Table(title=title, title_justify="left", box=box.SIMPLE)
        for name, right in columns:
            drawn.add_column(name, justify="right" if right else "left", overflow="fold")
        for line in cells:
            drawn.add_row(*line)
        console.print(drawn)

    shown = sorted(rows, key=lambda r: (-r["macs"], -r["vector_ops"])) if top else rows
    table(f"{read.network.name} ({read.kind})" + (f", the {min(top, len(rows))} largest of {len(rows)} layers" if top
                                                  else ""),
          [("layer", False), ("operator", False), ("size", False), ("MACs", True), ("vector ops", True),
           ("parameters", True),
           ("bits w/in/out", True)],
          [[r["name"], r["type"] + ("" if r["supported"] else " (?)"), _size(r), str(r["macs"]), str(r["vector_ops"]),
            str(r["parameters"]), f"{r['weight_bits'] if 'k' in r else '-'}/{r['input_bits']}/{r['output_bits']}"]
           for r in shown[:top]])
    table("by operator", [("operator", False), ("layers", True), ("MACs", True), ("vector ops", True)],
          [[op, str(t["layers"]), str(t["macs"]), str(t["vector_ops"])] for op, t in _by_op(rows).items()])
    console.print(f"MACs        {read.network.macs}\nparameters  {read.network.parameters}\n"
                  f"vector ops  {sum(r['vector_ops'] for r in rows)}")
    for name, value in read.totals.items():
        if name != "parameters":
            console.print(f"{name}  {value}")
    for item in read.unsupported:
        console.print(f"not supported: node '{item.node}' ({item.op}, domain {item.domain}): {item.reason}")
    if read.symbols:
        console.print(f"free dimensions: {', '.join(read.symbols)}")
    for note in read.notes:
        console.print(f"note: {note}")
    console.print(f"({CONVENTION})")


def _inspect_log(path: str, options: dict[str, Any], as_json: bool) -> None:
    """A request log: format, rate, burstiness, lengths."""
    from dse.console import out, print_json
    from dse.readers.requests import read_requests

    summary = read_requests(path, **options).summary()
    if as_json:
        print_json(summary)
        return
    shown = {"format": summary["format"], "requests": f"{summary['requests']:,}", "failed": f"{summary['failed']:,}",
             "span": f"{summary['span_s']:.6g} s", "rate": _number(summary["rate_hz"], " /s"),
             "gap CV": _number(summary["gap_cv"]), "prompt tokens": _number(summary["prompt_tokens_sum"]),
             "output tokens": _number(summary["output_tokens_sum"])}
    if not summary["failed"]:
        del shown["failed"]
    for name, text in shown.items():
        out(f"{name:15}{text}")
    for name, count in (summary["tenants"] or {}).items():
        out(f"{'tenant':15}{name}: {count:,} requests")
    tables = summary["quantiles"]
    if tables:
        points = list(next(iter(tables.values())))
        out("\n" + "".join(f"{point:>10}" for point in ("quantile", *points)))
        for name, table in tables.items():
            out(f"{name:>13}"[:13] + "".join(f"{table[point]:>10.5g}" for point in points)[3:])
    for note in summary["notes"]:
        out(f"note: {note}")


def _number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    return f"{value:,}{unit}" if isinstance(value, int) else f"{value:.5g}{unit}"


def _is_log(path: str) -> bool:
    """Whether a file is to be read as a request log: it is one, or a CSV that is no topology either."""
    from pathlib import Path

    from dse.readers.logs import UNREADABLE, detect, first_line

    file = Path(path)
    if not file.is_file() or file.suffix.lower() in (".onnx", ".pt2", ".yaml", ".yml"):
        return False
    if detect(file) is not None or file.suffix.lower() in (".jsonl", ".txt", ".tsv", ".log", ".gz"):
        return True
    if file.suffix.lower() != ".csv":
        return False
    from dse.readers.scalesim import is_topology

    try:
        of_layers = first_line(file)[1].lstrip("\ufeff ").lower().startswith("layer")
    except UNREADABLE:
        of_layers = False
    return not of_layers and not is_topology(file)


def command(
    network: Annotated[str, typer.Argument(metavar="FILE|NAME", help="Network: zoo name, .onnx, .pt2, config.json or "
                                           "its folder, SCALE-Sim topology .csv, Timeloop problem or ZigZag workload "
                                           ".yaml; or a request log (CSV, JSON lines)")],
    bind: Annotated[str | None, typer.Option(help="Free dimensions, as batch=1,seq=384",
                                             metavar="NAME=SIZE,...")] = None,
    phase: Annotated[str | None, typer.Option(help="prefill (default) or decode, for a config.json")] = None,
    tokens: Annotated[int | None, typer.Option(help="New tokens of a prefill (default 512)")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens attended to (default: tokens)")] = None,
    batch: Annotated[int | None, typer.Option(help="Sequences computed together (default 1)")] = None,
    head: Annotated[str | None, typer.Option(help="Output product on all tokens (default) or on the last one")] = None,
    mlp: Annotated[str | None, typer.Option(help="gated or plain, where model_type is unknown")] = None,
    top: Annotated[int | None, typer.Option(help="Only the N largest layers of the table", min=1)] = None,
    from_s: Annotated[float | None, typer.Option("--from", help="Request log: from here on [s]")] = None,
    to_s: Annotated[float | None, typer.Option("--to", help="Request log: up to here [s]")] = None,
    scale_rate: Annotated[float | None, typer.Option(help="Request log: that many times the rate")] = None,
    limit: Annotated[int | None, typer.Option(help="Request log: only the first N requests")] = None,
    rate: Annotated[float | None, typer.Option(help="Request log with lengths only: requests per second")] = None,
    time_unit: Annotated[str | None, typer.Option(help="Request log of a format that does not say: s, ms, us, ns",
                                                  )] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout")] = False,
) -> None:
    """Layers, MACs, parameters and unsupported operators of a network; rate and lengths of a request log."""
    from dse.console import note, print_json
    from dse.readers import load_network

    of_log = {"from": from_s, "to": to_s, "scale-rate": scale_rate, "limit": limit, "rate": rate,
              "time-unit": time_unit}
    if _is_log(network):
        _refuse("a request log", {"bind": bind, "phase": phase, "tokens": tokens, "context": context, "batch": batch,
                                  "head": head, "mlp": mlp, "top": top})
        names = {"from": "from_s", "to": "to_s", "scale-rate": "scale_rate", "limit": "limit", "rate": "rate_hz",
                 "time-unit": "time_unit"}
        _inspect_log(network, {names[key]: value for key, value in of_log.items() if value is not None}, json)
        return
    _refuse("a network", of_log)
    read = load_network(network, bind=_parse_bind(bind) if bind is not None else None, phase=phase or "prefill",
                        tokens=512 if tokens is None else tokens, context=context, batch=1 if batch is None else batch,
                        head=head or "all", mlp=mlp)
    _refuse_flags(read, {"phase": phase, "tokens": tokens, "context": context, "batch": batch, "head": head,
                         "mlp": mlp})
    rows = _rows(read)
    if not json:
        _print_text(read, rows, top)
        return
    for item in read.unsupported:
        note(f"not supported: node '{item.node}' ({item.op}, domain {item.domain}): {item.reason}")
    print_json({
        "kind": read.kind, "name": read.network.name, "source": read.network.source, "macs": read.network.macs,
        "parameters": read.network.parameters, "vector_ops": sum(row["vector_ops"] for row in rows),
        "layers": rows if top is None else sorted(rows, key=lambda r: (-r["macs"], -r["vector_ops"]))[:top],
        "by_op": _by_op(rows),
        "weight_elements": sum(row["weight_elements"] for row in rows),
        "activation_elements": sum(row["output_elements"] for row in rows),
        "unsupported": [{"node": u.node, "domain": u.domain, "op": u.op, "reason": u.reason} for u in read.unsupported],
        "symbols": list(read.symbols), "totals": read.totals, "notes": list(read.notes), "convention": CONVENTION})
