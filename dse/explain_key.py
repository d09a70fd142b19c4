"""What a key of a file, a parameter of the space or a metric means: `dse explain KEY` beyond the constants.

Everything is read from where it is defined: the schemas, `spaces.designs.PARAMETERS`, the records of the policies and
of the metrics.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Explained", "explain_key", "known_keys"]


class Explained(NamedTuple):
    """`where` it is (a file's key, the space, a metric), its meaning, what it may be, its default and why that."""

    key: str
    where: str
    meaning: str
    allowed: str
    default: str
    reason: str = ""


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values)


def _rule(schema: dict[str, Any]) -> str:
    """What a schema allows, in a few words."""
    if "enum" in schema:
        return _listed(schema["enum"])
    parts = [_rule(part) for part in schema.get("anyOf", schema.get("oneOf", ()))]
    if parts:
        return " or ".join(dict.fromkeys(part for part in parts if part and part != "null"))
    if "$ref" in schema:
        return f"a mapping ({schema['$ref'].rpartition('/')[2]})"
    kind = str(schema.get("type", "any value"))
    bounds = [f"{sign} {schema[name]:g}" for name, sign in (("exclusiveMinimum", ">"), ("minimum", ">="),
                                                            ("exclusiveMaximum", "<"), ("maximum", "<="))
              if name in schema]
    return " ".join([{"array": "a list", "object": "a mapping", "string": "text"}.get(kind, kind), *bounds])


def _fields() -> Iterator[Explained]:
    """Every key of every kind of file, once per mapping it is in."""
    from dse.schema import KINDS, json_schema

    seen = set()
    for kind in KINDS:
        whole = json_schema(kind)
        for name, mapping in ((kind, whole), *whole.get("$defs", {}).items()):
            for key, field in mapping.get("properties", {}).items():
                at = (name, key)
                if at in seen or key == "kind":
                    continue
                seen.add(at)
                default = "must be given" if key in mapping.get("required", ()) else str(field.get("default", "-"))
                meaning = " ".join(str(field.get("description", "")).split())
                yield Explained(key, f"key of {name}" + ("" if name == kind else f" in a {kind} file"), meaning,
                                _rule(field), default)


def _parameters() -> Iterator[Explained]:
    from hwmodels.policies import POLICIES
    from spaces.designs import PARAMETERS

    for name, (values, reason) in PARAMETERS.items():
        yield Explained(name, "parameter of the space", "", "values of the domain", _listed(values), reason)
    for policy, record in POLICIES.items():
        for name, param in record.params.items():
            yield Explained(f"{policy}.{name}", "parameter of a policy", param.meaning,
                            f"in [{param.low:g}, {param.high:g}]", f"{param.default:g}", record.source)


def _metrics() -> Iterator[Explained]:
    from hwmodels.outcome import OBJECTIVES

    for metric in OBJECTIVES.values():
        unit = f" [{metric.unit}]" if metric.unit else ""
        yield Explained(metric.name, "metric", f"{metric.meaning}{unit}",
                        "less is better" if metric.minimise else "more is better", "-")


def _all() -> Iterator[Explained]:
    yield from _parameters()
    yield from _metrics()
    yield from _fields()


def explain_key(key: str) -> list[Explained]:
    """Everything of this name, also written as a path (`search.trials`, `tenants[].service`)."""
    last = key if any(entry.key == key for entry in _parameters()) else key.rpartition(".")[2].partition("[")[0]
    return [entry for entry in _all() if entry.key in (key, last)]


def known_keys() -> list[str]:
    """All names, for suggestions."""
    return list(dict.fromkeys(entry.key for entry in _all()))
