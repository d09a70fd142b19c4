"""`dse explain`: a technology constant with its evidence; a key of a file, a parameter, a metric."""

from typing import Annotated, Any

import typer

__all__ = ["command"]


def command(
    key: Annotated[
        str | None, typer.Argument(help="A constant (QUANTITY or QUANTITY.NODEnm), a key of a file, a parameter, a "
                                        "metric; without one all constants are listed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a constant of the cost model with its evidence; or what a key, parameter or metric means."""
    from dse.console import print_json

    if key and _print_meanings(key, as_json):
        return
    entries = _all() if key is None else _found(key)
    if as_json:
        print_json(entries[0] if key is not None and len(entries) == 1 else {"key": key, "constants": entries})
    elif key is None:
        _print_table(entries)
    else:
        for index, entry in enumerate(entries):
            _print_record(entry, blank_before=index > 0)


def _print_meanings(key: str, as_json: bool) -> bool:
    """Print what a key means; False where it names a constant, or nothing."""
    from dse.console import out, print_json
    from dse.explain_key import explain_key
    from hwmodels.technology import QUANTITIES

    if key.partition(".")[0] in QUANTITIES:
        return False
    found = explain_key(key)
    if as_json and found:
        print_json({"key": key, "meanings": [entry._asdict() for entry in found]})
    for index, entry in enumerate(() if as_json else found):
        if index:
            out()
        out(f"{entry.key}: {entry.meaning or entry.reason} ({entry.where})")
        out(f"  allowed {entry.allowed}")
        out(f"  default {entry.default}")
        if entry.meaning and entry.reason:
            out(f"  source  {entry.reason}")
    return bool(found)


def _entry(record: Any, meaning: str) -> dict[str, Any]:
    fields = ("key", "value", "low", "high", "unit", "node_nm", "source", "trust", "note")
    return {name: getattr(record, name) for name in fields} | {"meaning": meaning}


def _all() -> list[dict[str, Any]]:
    from hwmodels.technology import QUANTITIES

    return [_entry(point, item.meaning) for item in QUANTITIES.values() for point in item.points]


def _found(key: str) -> list[dict[str, Any]]:
    """The records a key names: one, or all points of a curve; raises `InputError` with the nearest key."""
    from dse.errors import InputError, Problem, did_you_mean
    from hwmodels.errors import ModelError
    from hwmodels.technology import CONSTANTS, QUANTITIES, constant

    if key in QUANTITIES:
        return [_entry(point, QUANTITIES[key].meaning) for point in QUANTITIES[key].points]
    name, _, node = key.partition(".")
    if name in QUANTITIES:
        problem = f"must be {name} or {name}.NODEnm, got {key!r}"
        try:
            at = float(node.removesuffix("nm"))
        except ValueError:
            raise InputError(Problem(field="KEY", message=problem)) from None
        try:
            record = constant(name, at)
        except ModelError as error:
            raise InputError(Problem(field="KEY", message=str(error))) from None
        if record.key == name:
            raise InputError(Problem(field="KEY", message=problem, hint=f"{name} is no curve over nodes"))
        return [_entry(record, QUANTITIES[name].meaning)]
    from dse.explain_key import known_keys

    allowed = [*QUANTITIES, *CONSTANTS, *known_keys()]
    related = [other for other in QUANTITIES if key and key.lower() in other]
    hint = f"{', '.join(related[:5])} contain it" if related else did_you_mean(key, allowed)
    raise InputError(Problem(
        field="KEY", message=f"must be a constant listed by `dse explain`, a key, a parameter or a metric, got {key!r}",
        hint=hint))


def _amount(entry: dict[str, Any]) -> str:
    """Value, unit and range; picojoules and square micrometres where joules and square millimetres are tiny."""
    unit, factor = entry["unit"], 1.0
    for small, prefixed, by in (("J", "pJ", 1e12), ("mm2", "um2", 1e6)):
        if unit.split("/")[0].split(" ")[0] == small and 1e-3 <= entry["value"] * by < 1e4:
            unit, factor = prefixed + unit[len(small):], by
    value, low, high = (entry[name] * factor for name in ("value", "low", "high"))
    return f"{value:.4g} {unit}  [{low:.4g}, {high:.4g}]"


def _node(entry: dict[str, Any]) -> str:
    return "any" if entry["node_nm"] is None else f"{entry['node_nm']:g} nm"


def _print_record(entry: dict[str, Any], *, blank_before: bool) -> None:
    from dse.console import out
    from hwmodels.technology import TRUST_GRADES

    if blank_before:
        out()
    out(f"{entry['key']}: {entry['meaning']}")
    rows = [
        ("value", _amount(entry)),
        ("node", _node(entry)),
        ("source", entry["source"]),
        ("trust", f"{entry['trust']}: {TRUST_GRADES[entry['trust']]}"),
    ]
    for label, text in [*rows, *([("note", entry["note"])] if entry["note"] else [])]:
        out(f"  {label:<7} {text}")


def _print_table(entries: list[dict[str, Any]]) -> None:
    from dse.console import out

    width = max(len(entry["key"]) for entry in entries)
    out(f"{'key':<{width}}  {'value':>10} {'low':>10} {'high':>10}  {'unit':<14} {'node':<6} trust")
    for entry in entries:
        numbers = " ".join(f"{entry[name]:>10.3g}" for name in ("value", "low", "high"))
        out(f"{entry['key']:<{width}}  {numbers}  {entry['unit']:<14} {_node(entry):<6} {entry['trust']}")
