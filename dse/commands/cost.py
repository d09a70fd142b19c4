"""`dse cost`: what every layer of a network costs on one engine, and the mapping it runs with."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hwmodels.cost import LayerCosts
    from hwmodels.engine import Engine
    from hwmodels.network import Network

__all__ = ["command"]

_SUMS = ("compute_cycles", "cycles", "latency_s", "dram_read_bytes", "dram_write_bytes", "sram_bytes", "energy_j")
_PARTS = ("mac_energy_j", "noc_energy_j", "sram_energy_j", "dram_energy_j", "vector_energy_j")


def _chosen(objective: str, precision: str) -> None:
    """Refuse unknown options, all at once."""
    from dse.errors import InputError, Problem, did_you_mean
    from hwmodels.engine import PRECISION_BITS
    from hwmodels.mapping import OBJECTIVES

    allowed = ("engine", "file", *PRECISION_BITS)
    problems = [
        Problem(field=field, message=f"must be one of {', '.join(names)}, got '{value}'",
                hint=did_you_mean(value, names))
        for field, value, names in (("--objective", objective, OBJECTIVES), ("--precision", precision, allowed))
        if value not in names
    ]
    if problems:
        raise InputError(*problems)


def _at_precision(network: "Network", engine: "Engine", precision: str) -> "Network":
    from hwmodels.engine import PRECISION_BITS

    if precision == "file":
        return network
    bits = PRECISION_BITS[engine.precision if precision == "engine" else precision]
    return network.with_precision(bits, bits)


def _refuse_unsupported(costs: "LayerCosts", file: str) -> None:
    from dse.errors import InputError, Problem

    if not costs.unsupported:
        return
    others = len(costs.unsupported) - 1
    more = f" (and {others} more {'layer' if others == 1 else 'layers'} cannot run)" if others else ""
    raise InputError(Problem(file=file, message=costs.unsupported[0] + more))


def _mapping(costs: "LayerCosts", index: int) -> dict[str, Any]:
    chosen = costs.mappings[index]
    return {
        "form": chosen.form, "input_on_chip": chosen.input_on_chip, "output_on_chip": chosen.output_on_chip,
        "weights_on_chip": chosen.weights_on_chip,
        "nests": [{
            "tile": dict(zip(("batch", "oy", "ox", "k", "c"), nest.tile, strict=True)),
            "loop_order": nest.order, "steps": nest.steps, "sram_used_bytes": nest.used_bytes,
            "input_bytes": nest.input_bytes, "weight_bytes": nest.weight_bytes,
            "partial_read_bytes": nest.partial_read_bytes, "output_bytes": nest.output_bytes,
        } for nest in chosen.mappings],
    }


def _rows(network: "Network", costs: "LayerCosts") -> list[dict[str, Any]]:
    from hwmodels.cost import LIMITS

    return [
        {"name": layer.name, "op": layer.op, "macs": layer.macs,
         **{field: getattr(costs, field)[index].item()
            for field in (*_SUMS, *_PARTS, "live_bytes", "utilisation_frac")},
         "mapping": _mapping(costs, index), "limited_by": LIMITS[costs.limited_by[index]]}
        for index, layer in enumerate(network)
    ]


def _totals(network: "Network", engine: "Engine", costs: "LayerCosts") -> dict[str, Any]:
    from hwmodels.area import engine_area_mm2, engine_leakage_w

    totals = {field: getattr(costs, field).sum().item() for field in (*_SUMS, *_PARTS)}
    area = engine_area_mm2(engine)
    leakage_w = engine_leakage_w(engine)
    return {
        "layers": len(network), "macs": network.macs, **totals, "leakage_w": leakage_w,
        "leakage_energy_j": leakage_w * totals["latency_s"],
        "utilisation_frac": network.macs / (totals["cycles"] * engine.pes) if totals["cycles"] else 0.0,
        "area_mm2": sum(area.values()), "area_parts_mm2": area,
    }


def _tile(row: dict[str, Any]) -> str:
    nests = row["mapping"]["nests"]
    if not nests:
        return row["mapping"]["form"]
    tile = "x".join(str(size) for size in nests[0]["tile"].values())
    return f"{row['mapping']['form']} {tile} {nests[0]['loop_order']}" + (" ..." if len(nests) > 1 else "")


def _print_text(network: "Network", rows: list[dict[str, Any]], totals: dict[str, Any]) -> None:
    from dse.console import out

    width = max(5, *(len(row["name"]) for row in rows))
    heads = ("compute cycles", 15), ("cycles", 13), ("latency us", 11), ("DRAM KiB", 10), ("SRAM KiB", 10), (
        "energy uJ", 10), ("use %", 6)
    out(f"{'layer':<{width}} " + " ".join(f"{text:>{size}}" for text, size in heads)
        + " limit    mapping (b x oy x ox x k x c, loops outer first)")
    for row in [*rows, {"name": "total", **totals}]:
        dram = (row["dram_read_bytes"] + row["dram_write_bytes"]) / 1024
        tail = f"{row['limited_by']:<8} {_tile(row)}" if "mapping" in row else ""
        numbers = (f"{row['compute_cycles']:>15} {row['cycles']:>13.0f} {row['latency_s'] * 1e6:>11.2f} {dram:>10.1f} "
                   f"{row['sram_bytes'] / 1024:>10.1f} {row['energy_j'] * 1e6:>10.2f} "
                   f"{100 * row['utilisation_frac']:>6.1f}")
        out(f"{row['name']:<{width}} {numbers} {tail}".rstrip())
    parts = ", ".join(f"{part.removesuffix('_energy_j')} {totals[part] / max(totals['energy_j'], 1e-300):.0%}"
                      for part in _PARTS)
    out(f"{network.name}: energy is {parts}; leakage beside it {totals['leakage_energy_j'] * 1e6:.3g} uJ; "
        f"area {totals['area_mm2']:.3g} mm2")


def command(
    network: Annotated[str, typer.Argument(help="Zoo name, .onnx, config.json or its folder, SCALE-Sim topology .csv")],
    engine: Annotated[str, typer.Option(help="Engine YAML: rows, cols, dataflow, sram_bytes, dram_bytes_per_s, "
                                             "freq_hz, precision, ...", metavar="ENGINE.yaml")],
    objective: Annotated[str, typer.Option(help="What mappings minimise: latency (then energy), energy, dram_bytes, "
                                                "edp")] = "latency",
    precision: Annotated[str, typer.Option(help="Operands as the engine's PEs take them (engine), as in the network "
                                                "(file), or int8, fp16, ...")] = "engine",
    bind: Annotated[str | None, typer.Option(help="Free ONNX dimensions, as batch=1,seq=384",
                                             metavar="NAME=SIZE,...")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout")] = False,
) -> None:
    """Cycles, traffic, energy and mapping of every layer of a network on one engine."""
    from dse.commands.inspect import _parse_bind
    from dse.console import note, print_json
    from dse.documents import load_engine
    from dse.errors import InputError, Problem
    from dse.readers import load_network
    from hwmodels.cost import layer_costs
    from hwmodels.errors import InvalidEngine

    _chosen(objective, precision)
    record = load_engine(engine)
    read = load_network(network, bind=_parse_bind(bind) if bind is not None else None)
    nest = _at_precision(read.network, record, precision)
    try:
        costs = layer_costs(nest, record, objective=objective)
    except InvalidEngine as error:  # an engine of another package
        raise InputError(Problem(file=engine, field=error.field, message=str(error).partition(": ")[2])) from error
    _refuse_unsupported(costs, engine)
    for item in read.unsupported:
        note(f"not supported, not costed: node '{item.node}' ({item.op}, domain {item.domain}): {item.reason}")
    rows, totals = _rows(nest, costs), _totals(nest, record, costs)
    if json:
        print_json({"network": nest.name, "objective": objective, "layers": rows, "totals": totals,
                    "notes": list(nest.notes)})
    else:
        _print_text(nest, rows, totals)
