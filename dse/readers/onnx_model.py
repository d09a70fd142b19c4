"""Opening an ONNX file: what is it really, which symbols has it, in which order do its nodes run."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from dse.errors import InputError, Problem, did_you_mean
from dse.readers.onnx_schema import malformed_nodes

__all__ = ["FLOATS", "SMALL", "OnnxGraph", "arrange", "bind_symbols", "empty_inputs", "first_bytes",
           "held_in_bodies", "inline_branch", "node_label", "open_graph", "open_model", "shape_of"]

# Contributed operators that are a standard one with an activation attached, or with more element types
_STANDARD = {"FusedConv": "Conv", "FusedGemm": "Gemm", "QuantizeLinear": "QuantizeLinear",
             "DequantizeLinear": "DequantizeLinear", "Gelu": "Gelu", "FastGelu": "Gelu", "QuickGelu": "Gelu",
             "BiasGelu": "Gelu"}

# Element types of weights: single, half, double, bfloat16
FLOATS = {1, 10, 11, 16}

# Tensors up to this many elements keep their values: shapes, axes, indices [-]
SMALL = 4096


@final
@dataclass(frozen=True, kw_only=True)
class OnnxGraph:
    """A graph in data-flow order.

    Parameters
    ----------
    model : symbols bound, local functions inlined, values of large tensors dropped.
    nodes : such that every producer precedes its consumers.
    initializers : tensor name -> (shape, element type).
    symbols : free ones left, in order of appearance.
    opsets : domain -> version.
    exact : every tensor's shape is written in the graph, so that none has to be inferred.
    """

    model: Any
    path: Path
    nodes: tuple[Any, ...]
    initializers: dict[str, tuple[tuple[int, ...], int]]
    symbols: tuple[str, ...]
    opsets: dict[str, int]
    exact: bool = False


def _problem(path: Path, message: str, *, field: str = "", hint: str = "") -> InputError:
    return InputError(Problem(file=str(path), field=field, message=message, hint=hint))


def first_bytes(path: Path, what: str) -> bytes:
    """The file's bytes; raises `InputError` where it is missing, empty or a download gone wrong. `what` it must be."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _problem(path, f"must be a readable file ({error.strerror})") from error
    head = data[:512].lstrip().lower()
    if not head:
        raise _problem(path, f"must be {what}, got an empty file")
    if head.startswith(b"version https://git-lfs"):
        raise _problem(path, f"must be {what}, got a Git LFS pointer", hint="fetch the real file with 'git lfs pull'")
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise _problem(path, f"must be {what}, got a web page", hint="download the raw file")
    return data


def open_model(path: Path) -> Any:
    """The model in the file; the weights of a separate data file are neither needed nor read.

    Raises
    ------
    InputError : the file is missing, empty, cut, or something else than a model.
    """
    data = first_bytes(path, "an ONNX model")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        raise _problem(path, f"must be an ONNX model, got {len(data)} bytes that cannot be decoded",
                       hint="truncated, or no ONNX file") from error
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise _problem(path, f"must be an ONNX model, got {len(data)} bytes without a graph",
                       hint="truncated, or no ONNX file")
    if not model.graph.node:
        raise _problem(path, "must be a graph of at least one node, got none")
    return model


def shape_of(type_proto: Any) -> tuple[int | None, ...] | None:
    """Shape of a tensor type: None for an unknown rank, None per unknown or symbolic dimension."""
    if not type_proto.HasField("tensor_type") or not type_proto.tensor_type.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None
                 for d in type_proto.tensor_type.shape.dim)


def node_label(node: Any, index: int = 0) -> str:
    """Name of a node for messages and layers; unnamed ones take their first output's."""
    return node.name or next((name for name in node.output if name), f"{node.op_type}_{index}")


def _name_free_dimensions(model: Any) -> list[str]:
    """Names of the symbols of the data inputs; a dimension without size or name is called INPUT.AXIS.

    A negative size is how some exporters write a free one; 0 is a size (an empty cache of a language model).
    """
    weights = {t.name for t in model.graph.initializer} | {t.values.name for t in model.graph.sparse_initializer}
    names: dict[str, None] = {}
    for value in model.graph.input:
        if value.name in weights or not value.type.HasField("tensor_type"):
            continue
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value >= 0:
                continue
            if not dim.dim_param:
                dim.dim_param = f"{value.name}.{axis}"
            names[dim.dim_param] = None
    return list(names)


def bind_symbols(model: Any, bind: dict[str, int], path: Path) -> list[str]:
    """Write the values of `bind` into every dimension of their name; the symbols left free.

    Expressions of symbols (`2*seq`) in intermediate shapes are cleared: they follow from the inputs again.

    Raises
    ------
    InputError : an unknown symbol, a value below 1.
    """
    symbols = _name_free_dimensions(model)
    problems = []
    for name, value in bind.items():
        if name not in symbols:
            known = f"one of {', '.join(symbols)}" if symbols else "absent, the file has no free dimension"
            problems.append(Problem(file=str(path), field="bind", message=f"must be {known}, got '{name}'",
                                    hint=did_you_mean(name, symbols)))
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            problems.append(Problem(file=str(path), field=f"bind {name}",
                                    message=f"must be an integer >= 1, got {value}"))
    if problems:
        raise InputError(*problems)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        if not value.type.HasField("tensor_type"):
            continue
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in bind:
                dim.dim_value = bind[dim.dim_param]
            elif dim.dim_param and dim.dim_param not in symbols:
                dim.Clear()
    return [name for name in symbols if name not in bind]


def empty_inputs(model: Any) -> list[str]:
    """`NAME[SIZES]` of the data inputs with a size of 0."""
    weights = {t.name for t in model.graph.initializer}
    shapes = {value.name: shape_of(value.type) for value in model.graph.input if value.name not in weights}
    return [f"{name}{list(shape)}" for name, shape in shapes.items() if shape is not None and 0 in shape]


def held_in_bodies(node: Any) -> tuple[dict[str, None], int]:
    """What the bodies of a control-flow node use: names they read, and elements of the weights stored inside them."""
    names: dict[str, None] = {}
    inside = 0
    for body in (a.g for a in node.attribute if a.HasField("g")):
        for tensor in body.initializer:
            size = math.prod(tensor.dims)
            inside += size if tensor.data_type in FLOATS and size > 1 else 0
        for inner in body.node:
            below, more = held_in_bodies(inner)
            names |= dict.fromkeys(inner.input) | below
            inside += more
    return names, inside


def _drop_large_values(model: Any) -> None:
    """Weights are needed by shape only: without their bytes everything after is fast."""
    for tensor in model.graph.initializer:
        size = 1
        for dim in tensor.dims:
            size *= dim
        if size > SMALL:
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data",
                          "string_data"):
                tensor.ClearField(field)


def _sort(graph: Any, known: set[str], path: Path) -> list[Any]:
    """Nodes in data-flow order, otherwise as in the file.

    Raises
    ------
    InputError : tensors that nobody produces, named with their readers; a cycle.
    """
    produced = {name for node in graph.node for name in node.output if name}
    problems = [Problem(file=str(path), field=f"node '{node_label(node)}' ({node.op_type})",
                        message=f"must read tensors that exist, got '{name}', which nobody produces",
                        hint=did_you_mean(name, sorted(produced | known)))
                for node in graph.node for name in node.input if name and name not in produced and name not in known]
    problems += [Problem(file=str(path), field=f"output '{value.name}'",
                         message="must be a tensor that some node produces")
                 for value in graph.output if value.name not in produced and value.name not in known]
    if problems:
        raise InputError(*problems)
    ready, waiting, order = set(known), list(graph.node), []
    while waiting:
        left = []
        for node in waiting:
            if all(not name or name in ready for name in node.input):
                ready.update(node.output)
                order.append(node)
            else:
                left.append(node)
        if len(left) == len(waiting):
            raise _problem(path, "must have no cycle", field=f"node '{node_label(left[0])}' ({left[0].op_type})")
        waiting = left
    return order


def _standardise(graph: Any) -> None:
    """Contributed variants become the standard operators they cost like."""
    for node in graph.node:
        if node.domain == "com.microsoft" and node.op_type in _STANDARD:
            node.domain, node.op_type = "", _STANDARD[node.op_type]
            kept = [a for a in node.attribute if not a.name.startswith("activation")]
            del node.attribute[:]
            node.attribute.extend(kept if node.op_type != "Gelu" else [])
            if node.op_type == "Gelu":
                del node.input[1:]


def _check_nodes(model: Any, path: Path) -> None:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    problems = [Problem(file=str(path), field=f"node '{node_label(node)}' ({node.op_type})", message=message)
                for node, message in malformed_nodes(model.graph, versions[0] if versions else 1)]
    if problems:
        raise InputError(*problems)


def open_graph(path: Path, bind: dict[str, int]) -> OnnxGraph:
    """The file's graph with `bind` written into its symbolic dimensions."""
    model = open_model(path)
    _drop_large_values(model)
    if model.functions:
        from onnx import inliner

        try:
            model = inliner.inline_local_functions(model)
        except Exception:  # the calls then show up as unknown operators, by name
            model = model  # noqa: PLW0127
    _standardise(model.graph)
    _check_nodes(model, path)
    return arrange(model, path, bind_symbols(model, bind, path))


def inline_branch(graph: Any, node: Any, taken: bool) -> None:
    """Replace an If whose condition is known by the nodes of the branch it takes."""
    name = "then_branch" if taken else "else_branch"
    branch = next(a.g for a in node.attribute if a.name == name)
    label = f"{node_label(node)}/"
    made = {n for inner in branch.node for n in inner.output if n} | {t.name for t in branch.initializer}
    renamed = {n: label + n for n in made}
    for value, output in zip(branch.output, node.output, strict=True):
        if value.name in made and renamed[value.name] == label + value.name:
            renamed[value.name] = output
        else:  # hands on a tensor from outside, or the same one twice
            graph.node.append(onnx.helper.make_node("Identity", [renamed.get(value.name, value.name)], [output]))
    for tensor in branch.initializer:
        graph.initializer.append(tensor)
        graph.initializer[-1].name = renamed[tensor.name]
    for inner in branch.node:
        copy = graph.node.add()
        copy.CopyFrom(inner)
        copy.name = label + node_label(inner)
        copy.input[:] = [renamed.get(n, n) for n in inner.input]
        copy.output[:] = [renamed.get(n, n) for n in inner.output]
    graph.node.remove(node)


def arrange(model: Any, path: Path, free: list[str], *, exact: bool = False) -> OnnxGraph:
    """The graph of a bound model, its nodes in data-flow order."""
    initializers = {t.name: (tuple(t.dims), t.data_type) for t in model.graph.initializer}
    initializers |= {t.values.name: (tuple(t.dims), t.values.data_type) for t in model.graph.sparse_initializer}
    known = {value.name for value in model.graph.input} | set(initializers)
    opsets = {entry.domain: entry.version for entry in model.opset_import} or {"": 1}
    if "ai.onnx" in opsets:
        opsets.setdefault("", opsets["ai.onnx"])
    return OnnxGraph(model=model, path=path, nodes=tuple(_sort(model.graph, known, path)), initializers=initializers,
                     symbols=tuple(free), opsets=opsets, exact=exact)
