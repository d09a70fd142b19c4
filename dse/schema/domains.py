"""JSON schema of `space.domains`, for editors: a list of values, a range or a single value per parameter."""

from typing import Any

__all__ = ["domains_schema", "legal_values"]


def legal_values(name: str) -> tuple[Any, ...]:
    """All values a parameter can have (its default domain may hold fewer); empty for sizes and rates."""
    from hwmodels.architectures import ARCHITECTURES
    from hwmodels.design import SCHEDULERS
    from hwmodels.engine import ALL_DATAFLOWS, NODES_NM
    from hwmodels.policies import POLICIES
    from spaces.designs import MAX_ENGINES

    return {
        "architecture": tuple(ARCHITECTURES), "policy": tuple(POLICIES), "scheduler": SCHEDULERS,
        "dataflow": ALL_DATAFLOWS, "node_nm": NODES_NM, "subarrays": (4, 16, 64),
        "engines": tuple(range(2, MAX_ENGINES + 1)),
    }.get(name.rstrip("0123456789"), ())


def domains_schema() -> dict[str, Any]:
    """Every parameter of the space with its values, and those of the policies as `POLICY.PARAMETER`."""
    from hwmodels.policies import POLICIES
    from spaces.designs import PARAMETERS

    found: dict[str, Any] = {}
    for name, (default, meaning) in PARAMETERS.items():
        whole = all(isinstance(option, int) for option in default)
        one: dict[str, Any] = {"type": "integer" if whole else "number", "exclusiveMinimum": 0}
        legal = legal_values(name) or (default if isinstance(default[0], str) else ())
        if legal:
            one = {"enum": list(legal)}
        found[name] = {**_domain(one, isinstance(default[0], int | float)), "description": meaning}
    for policy, record in POLICIES.items():
        for name, param in record.params.items():
            found[f"{policy}.{name}"] = {"type": ["number", "boolean", "string", "array", "object"],
                                         "description": param.meaning}
    return {"type": "object", "properties": found, "additionalProperties": False, "default": {},
            "description": "Parameter -> list of values, {low, high, step} or {low, high, log}."}


def _domain(one: dict[str, Any], numeric: bool) -> dict[str, Any]:
    ways = [one, {"type": "array", "items": one, "minItems": 1}]
    if numeric:
        ends = {"low": one, "high": one}
        ways.append({"type": "object", "required": list(ends), "additionalProperties": False,
                     "properties": {**ends, "step": {"type": "number"}, "log": {"enum": [2, True, False]}}})
    return {"anyOf": ways}
