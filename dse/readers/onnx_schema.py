"""Whether the nodes of an ONNX graph have what their operators ask for: operands and attributes, by ONNX's own schemas.

What a reader may then rely on: every operand that is not optional has a name, every attribute that is not optional is
there, and attributes have the type of the schema. Operators that ONNX does not know are let through.
"""

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from onnx import AttributeProto, defs

__all__ = ["malformed_nodes"]


def malformed_nodes(graph: Any, opset: int) -> Iterator[tuple[Any, str]]:
    """(node, what it must have) for every node of a graph that breaks its schema; those of inner graphs too.

    Parameters
    ----------
    opset : version of the standard operators; a newer one than ONNX knows counts as the newest.
    """
    for node in graph.node:
        if node.domain in ("", "ai.onnx"):
            schema = _schema(node.op_type, opset)
            if schema is not None:
                yield from ((node, message) for message in _broken(node, schema))
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from malformed_nodes(inner, opset)


@cache
def _schema(operator: str, opset: int) -> Any | None:
    """Of the operator as of that version, else its newest form, whose rule it is then read by; None: not of ONNX."""
    for version in ((opset,), ()):
        with contextlib.suppress(defs.SchemaError):
            return defs.get_schema(operator, *version, "")
    return None


def _broken(node: Any, schema: Any) -> Iterator[str]:
    given = [name for name in node.input if name]
    needed = [operand.name for operand in schema.inputs
              if operand.option == defs.OpSchema.FormalParameterOption.Single]
    missing = [name for at, name in enumerate(needed) if at >= len(node.input) or not node.input[at]]
    if missing or len(given) < schema.min_input:
        yield (f"must have the operands {', '.join(needed)}, got none for {', '.join(missing)}" if missing
               else f"must have at least {schema.min_input} operands, got {len(given)}")
    if not any(node.output) and schema.min_output:
        yield "must have an output"
    attributes = {attribute.name: attribute for attribute in node.attribute}
    for name, record in schema.attributes.items():
        if name not in attributes:
            if record.required:
                yield f"must have the attribute {name}"
        elif attributes[name].type != record.type.value:
            types = AttributeProto.AttributeType
            yield (f"must have the attribute {name} as {record.type.name}, "
                   f"got {types.Name(attributes[name].type)}")
