"""Programs of torch.export (`.pt2`, extra `torch`): ATen operators become their ONNX counterparts, which one converter
counts (`dse.readers.onnx_layers`).

    torch.export.save(torch.export.export(model, (example,)), "model.pt2")

Shapes are those the export recorded; weights are not looked at. An operator without a counterpart keeps its name in the
domain `aten` and is listed as not supported. `wrap_with_set_grad_enabled` (a `torch.no_grad` inside the model) is
inlined; other higher-order operators (cond, while_loop) are not supported.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from dse.errors import InputError, Problem, did_you_mean
from dse.readers.onnx_layers import example_of, network_of
from dse.readers.onnx_model import arrange, first_bytes
from dse.readers.record import NetworkFile

__all__ = ["read_torch"]

_OPSET = 23
_ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9,
                  "float16": 10, "float64": 11, "bfloat16": 16, "float8_e4m3fn": 17, "float8_e5m2": 19}

# ATen operator -> ONNX operator that reads the same tensors in the same order and needs no attribute to be counted.
_SAME = {
    "relu": "Relu", "relu6": "Clip", "hardtanh": "Clip", "clamp": "Clip", "clamp_min": "Clip",
    "leaky_relu": "LeakyRelu", "prelu": "PRelu", "elu": "Elu", "selu": "Selu", "celu": "Celu", "sigmoid": "Sigmoid",
    "tanh": "Tanh", "gelu": "Gelu", "silu": "Swish", "hardswish": "HardSwish", "hardsigmoid": "HardSigmoid",
    "mish": "Mish", "softplus": "Softplus",
    "erf": "Erf", "softmax": "Softmax", "_softmax": "Softmax", "log_softmax": "LogSoftmax",
    "_log_softmax": "LogSoftmax", "_safe_softmax": "Softmax",
    "add": "Add", "sub": "Sub", "rsub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "square": "Mul",
    "sqrt": "Sqrt", "rsqrt": "Sqrt", "reciprocal": "Reciprocal", "exp": "Exp", "log": "Log", "abs": "Abs", "neg": "Neg",
    "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round", "remainder": "Mod", "fmod": "Mod",
    "minimum": "Min", "maximum": "Max", "where": "Where", "masked_fill": "Where", "eq": "Equal", "ne": "Equal",
    "gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual", "logical_and": "And",
    "bitwise_and": "And", "__and__": "And", "logical_or": "Or", "bitwise_or": "Or", "__or__": "Or",
    "logical_not": "Not", "bitwise_not": "Not", "logical_xor": "Xor",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "atan": "Atan",
    "cumsum": "CumSum", "tril": "Trilu", "triu": "Trilu", "addcmul": "Add", "lerp": "Add",
    "mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax", "amin": "ReduceMin", "max": "ReduceMax",
    "min": "ReduceMin", "prod": "ReduceProd", "var": "ReduceSumSquare", "var_mean": "ReduceSumSquare",
    "std": "ReduceSumSquare", "norm": "ReduceL2", "linalg_vector_norm": "ReduceL2", "argmax": "ArgMax",
    "argmin": "ArgMin", "topk": "TopK", "sort": "TopK", "any": "ReduceMax", "all": "ReduceMin",
    "adaptive_avg_pool1d": "GlobalAveragePool", "adaptive_avg_pool2d": "GlobalAveragePool",
    "_adaptive_avg_pool2d": "GlobalAveragePool", "adaptive_avg_pool3d": "GlobalAveragePool",
    "adaptive_max_pool2d": "GlobalMaxPool", "matmul": "MatMul", "mm": "MatMul", "bmm": "MatMul", "mv": "MatMul",
    "dot": "MatMul", "embedding": "Gather", "index_select": "Gather", "index": "GatherND", "gather": "GatherElements",
    "index_put": "ScatterND", "index_copy": "ScatterND", "scatter": "ScatterElements", "slice_scatter": "ScatterND",
    "select_scatter": "ScatterND", "constant_pad_nd": "Pad", "pad": "Pad", "reflection_pad2d": "Pad",
    "replication_pad2d": "Pad", "upsample_nearest2d": "Resize", "upsample_bilinear2d": "Resize", "repeat": "Tile",
    "roll": "Tile", "repeat_interleave": "Tile", "pixel_shuffle": "DepthToSpace", "pixel_unshuffle": "SpaceToDepth",
    "grid_sampler": "GridSample", "grid_sampler_2d": "GridSample", "cat": "Concat", "stack": "Concat",
    "concat": "Concat",
}
# The same data under another shape, order or name.
_VIEWS = frozenset((
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "permute", "transpose", "t", "numpy_T", "swapaxes",
    "movedim", "unsqueeze", "squeeze", "expand", "expand_as", "slice", "select", "split", "split_with_sizes", "chunk",
    "tensor_split", "unbind", "narrow", "contiguous", "clone", "detach", "alias", "dropout", "feature_dropout", "to",
    "_to_copy", "type_as", "lift_fresh_copy", "copy", "view_as", "reshape_as", "flip", "unfold", "diagonal"))
_STILL_THE_WEIGHT = frozenset(("t", "numpy_T", "transpose", "permute", "swapaxes", "movedim", "contiguous", "clone",
                               "detach", "alias", "to", "_to_copy", "type_as", "lift_fresh_copy", "dropout", "view",
                               "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "_unsafe_view"))
# Made from sizes and numbers alone.
_MADE = frozenset(("arange", "full", "zeros", "ones", "empty", "eye", "linspace", "scalar_tensor", "tensor",
                   "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full",
                   "new_empty", "rand", "randn", "rand_like", "randn_like", "tril_indices", "triu_indices"))


class _Graph:
    """An ONNX graph in the making: nodes, and the shape of every tensor."""

    def __init__(self, path: Path, symbols: dict[str, int]) -> None:
        self.path, self.symbols = path, symbols
        self.nodes: list[Any] = []
        self.shapes: dict[str, Any] = {}
        self.weights: dict[str, Any] = {}

    def size(self, dim: Any) -> int:
        """A dimension with the bound symbols in it [-]."""
        if isinstance(dim, int):
            return dim
        expression = dim.node.expr
        return int(expression.subs({s: self.symbols[str(s)] for s in expression.free_symbols}))

    def sizes(self, dims: Iterable[Any]) -> list[int]:
        return [self.size(dim) for dim in dims]

    def declare(self, name: str, shape: Iterable[int], element_type: int = 1) -> str:
        self.shapes[name] = helper.make_tensor_value_info(name, element_type, list(shape))
        return name

    def tensor(self, name: str, value: Any) -> str:
        """Declare a tensor as the export saw it."""
        kind = str(value.dtype).removeprefix("torch.")
        return self.declare(name, self.sizes(value.shape), _ELEMENT_TYPES.get(kind, 1))

    def weight(self, name: str, shape: Sequence[int], element_type: int = 1) -> str:
        """A stored tensor without its values."""
        self.weights[name] = TensorProto(name=name, dims=list(shape), data_type=element_type)
        return name

    def add(self, op: str, reads: Sequence[str], writes: Sequence[str], *, name: str = "", domain: str = "",
            **attributes: Any) -> None:
        node = helper.make_node(op, list(reads), list(writes), name=name or writes[0], domain=domain)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items()
                              if value not in ([], None))
        self.nodes.append(node)

    def shape(self, name: str) -> list[int]:
        return [dim.dim_value for dim in self.shapes[name].type.tensor_type.shape.dim] if name in self.shapes else \
            list(self.weights[name].dims)


class _Node:
    """A call in the exported graph: its operator, the names of the tensors it reads and writes, its other arguments."""

    def __init__(self, graph: _Graph, node: Any, names: dict[Any, Any], outputs: list[str]) -> None:
        self.graph, self.node, self.outputs = graph, node, outputs
        self.label = node.name
        # arguments by position; those given by name come through `keyword`
        self.args = [_resolved(argument, names) for argument in node.args]
        self.keywords = {key: _resolved(argument, names) for key, argument in node.kwargs.items()}

    def at(self, index: int, keyword: str = "", default: Any = None) -> Any:
        if index < len(self.args):
            return self.args[index]
        return self.keywords.get(keyword, default)

    @property
    def tensors(self) -> list[str]:
        """Names of all tensors among the arguments, in order."""
        found: list[str] = []
        stack = [*self.args, *self.keywords.values()]
        while stack:
            argument = stack.pop(0)
            if isinstance(argument, _Name):
                found.append(argument)
            elif isinstance(argument, list | tuple):
                stack[:0] = argument
        return found

    def ints(self, index: int, keyword: str, rank: int, default: int) -> list[int]:
        value = self.at(index, keyword, default)
        values = self.graph.sizes(value if isinstance(value, list | tuple) else [value])
        return values * rank if len(values) == 1 else values or [default] * rank


class _Name(str):
    """Name of a tensor, told apart from a text argument."""


def _resolved(argument: Any, names: dict[Any, Any]) -> Any:
    if isinstance(argument, list | tuple):
        return [_resolved(item, names) for item in argument]
    if type(argument).__name__ == "Node":
        return names.get(argument, argument.meta.get("val"))
    return argument


# ---- operators with sizes of their own ------------------------------------------------------------------------------


def _conv(call: _Node, *, transposed: bool = False, at: int = 6) -> None:
    graph, x, w, bias = call.graph, call.at(0), call.at(1), call.at(2, "bias")
    rank = len(graph.shape(w)) - 2
    strides, dilations = call.ints(3, "stride", rank, 1), call.ints(7 if transposed else 5, "dilation", rank, 1)
    given = call.at(4, "padding", 0)
    auto = {"same": "SAME_UPPER", "valid": "VALID"}.get(given, "") if isinstance(given, str) else ""
    pads = [] if auto else call.ints(4, "padding", rank, 0) * 2
    groups = graph.size(call.at(at, "groups", 1))
    call.graph.add("ConvTranspose" if transposed else "Conv", [x, w, *([bias] if bias else [])], call.outputs[:1],
                   name=call.label, strides=strides, dilations=dilations, group=groups, pads=pads,
                   auto_pad=auto or None)


def _convolution(call: _Node) -> None:
    transposed = bool(call.at(6))
    graph, x, w, bias = call.graph, call.at(0), call.at(1), call.at(2)
    rank = len(graph.shape(w)) - 2
    graph.add("ConvTranspose" if transposed else "Conv", [x, w, *([bias] if bias else [])], call.outputs[:1],
              name=call.label, strides=call.ints(3, "", rank, 1), pads=call.ints(4, "", rank, 0) * 2,
              dilations=call.ints(5, "", rank, 1), group=graph.size(call.at(8, "", 1)))


def _linear(call: _Node) -> None:
    graph, x, w, bias = call.graph, call.at(0), call.at(1), call.at(2, "bias")
    turned, out = graph.declare(f"{call.label}.weight", graph.shape(w)[::-1]), call.outputs[0]
    product = graph.declare(f"{call.label}.product", graph.shape(out)) if bias else out
    graph.add("Transpose", [w], [turned])
    graph.add("MatMul", [x, turned], [product], name=call.label)
    if bias:
        graph.add("Add", [product, bias], [out], name=f"{call.label}.bias")


def _added_product(call: _Node) -> None:
    graph, out = call.graph, call.outputs[0]
    product = graph.declare(f"{call.label}.product", graph.shape(out))
    graph.add("MatMul", [call.at(1), call.at(2)], [product], name=call.label)
    graph.add("Add", [product, call.at(0)], [out], name=f"{call.label}.bias")


def _attention(call: _Node) -> None:
    q, k, v, mask = call.at(0), call.at(1), call.at(2), call.at(3, "attn_mask")
    graph, out = call.graph, call.outputs[0]
    if len(graph.shape(q)) == 4:
        graph.add("Attention", [q, k, v, *([mask] if mask else [])], [out], name=call.label)
        return
    wide = []
    for name in (q, k, v):  # without heads, or with several batch axes: one axis of them
        *outer, tokens, dim = graph.shape(name)
        rows = 1
        for size in outer:
            rows *= size
        wide.append(graph.declare(f"{call.label}.{name}", [rows, 1, tokens, dim]))
        graph.add("Reshape", [name], [wide[-1]])
    made = graph.declare(f"{call.label}.wide", [*graph.shape(wide[0])[:3], graph.shape(wide[2])[3]])
    graph.add("Attention", wide, [made], name=call.label)
    graph.add("Reshape", [made], [out])


def _norm(op: str, weight_at: int) -> Callable[[_Node], None]:
    def convert(call: _Node) -> None:
        given = [call.at(weight_at, "weight"), call.at(weight_at + 1, "bias")]
        scale = [name for name in given if isinstance(name, _Name)]
        call.graph.add(op, [call.at(0), *scale], call.outputs[:1], name=call.label)

    return convert


def _pool(op: str) -> Callable[[_Node], None]:
    def convert(call: _Node) -> None:
        rank = len(call.graph.shape(call.outputs[0])) - 2
        call.graph.add(op, [call.at(0)], call.outputs[:1], name=call.label,
                       kernel_shape=call.ints(1, "kernel_size", max(1, rank), 1))

    return convert


def _einsum(call: _Node) -> None:
    call.graph.add("Einsum", call.at(1), call.outputs[:1], name=call.label, equation=str(call.at(0)))


def _recurrent(op: str) -> Callable[[_Node], None]:
    """A stack of layers, both directions: one ONNX node per layer."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]

    def convert(call: _Node) -> None:
        graph, x, stored = call.graph, call.at(0), list(call.at(2))
        biased, layers, both, first = bool(call.at(3)), int(call.at(4)), bool(call.at(7)), bool(call.at(8))
        directions, each = 1 + both, 4 if biased else 2
        shape = graph.shape(x)
        steps, batch = (shape[1], shape[0]) if first else (shape[0], shape[1])
        hidden = graph.shape(stored[1])[-1]
        at = graph.declare(f"{call.label}.steps", [steps, batch, shape[-1]])
        graph.add("Reshape", [x], [at])
        for layer in range(layers):
            mine = stored[layer * directions * each:]
            label = f"{call.label}.{layer}"
            reads = [at, graph.weight(mine[0] + ".w", [directions, *graph.shape(mine[0])]),
                     graph.weight(mine[1] + ".r", [directions, *graph.shape(mine[1])])]
            if biased:
                reads.append(graph.weight(mine[2] + ".b", [directions, 2 * gates * hidden]))
            made = graph.declare(f"{label}.made", [steps, directions, batch, hidden])
            graph.add(op, reads, [made], name=label, hidden_size=hidden,
                      direction="bidirectional" if both else "forward")
            at = graph.declare(f"{label}.out", [steps, batch, directions * hidden])
            graph.add("Reshape", [made], [at])
        for out in call.outputs:
            graph.add("Reshape", [at], [out])

    return convert


_FORMS: dict[str, Callable[[_Node], None]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv), "convolution": _convolution, "_convolution": _convolution,
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
                    lambda call: _conv(call, transposed=True)),
    "linear": _linear, "addmm": _added_product, "baddbmm": _added_product, "addbmm": _added_product,
    "scaled_dot_product_attention": _attention, "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "einsum": _einsum, "lstm": _recurrent("LSTM"), "gru": _recurrent("GRU"), "rnn_tanh": _recurrent("RNN"),
    "rnn_relu": _recurrent("RNN"),
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm", "instance_norm"),
                    _norm("BatchNormalization", 1)),
    **dict.fromkeys(("layer_norm", "native_layer_norm"), _norm("LayerNormalization", 2)),
    **dict.fromkeys(("group_norm",), _norm("GroupNormalization", 2)),
    "native_group_norm": _norm("GroupNormalization", 1), "rms_norm": _norm("RMSNormalization", 2),
    **{f"{kind}_pool{rank}d{tail}": _pool(op) for kind, op in (("max", "MaxPool"), ("avg", "AveragePool"))
       for rank in (1, 2, 3) for tail in ("", "_with_indices")},
}


def _operator(target: Any) -> str:
    """`conv2d` of `aten.conv2d.default`, `relu` of `aten.relu_.default`; with its name space if that is not ATen."""
    space, _, name = str(getattr(target, "_name", target)).partition("::")
    name = name.partition(".")[0] if name else str(getattr(target, "__name__", space))
    if space == "aten":
        return name if name.startswith("__") else name.rstrip("_")
    return f"{space}::{name}"


def _convert(call: _Node, op: str) -> None:
    graph = call.graph
    if op in _FORMS:
        _FORMS[op](call)
    elif op in _MADE:
        for out in call.outputs:
            graph.add("ConstantOfShape", [], [out])
    elif op in _VIEWS and call.tensors:
        for out in call.outputs:
            graph.add("Identity" if op in _STILL_THE_WEIGHT else "Slice", call.tensors[:1], [out])
    elif op in _SAME:
        graph.add(_SAME[op], call.tensors, call.outputs[:1], name=call.label)
        for out in call.outputs[1:]:  # indices beside values
            graph.add("Identity", call.outputs[:1], [out])
    else:
        graph.add(op.rpartition("::")[2], call.tensors, call.outputs, name=call.label,
                  domain=op.partition("::")[0] if "::" in op else "aten")


def _walk(graph: _Graph, module: Any, names: dict[Any, Any]) -> list[Any]:
    """Convert the calls of a graph module whose placeholders are named; what it returns."""
    import operator

    for node in module.graph.nodes:
        value = node.meta.get("val")
        if node.op == "output":
            returned = _resolved(node.args[0], names)
            return list(returned) if isinstance(returned, list) else [returned]
        if node.op != "call_function":
            continue
        if node.target is operator.getitem:
            source = names.get(node.args[0])
            if isinstance(source, list):
                names[node] = source[node.args[1]]
            continue
        op = _operator(node.target)
        if op.endswith(("wrap_with_set_grad_enabled", "wrap_with_autocast")):
            body_at = next(i for i, a in enumerate(node.args) if getattr(a, "op", "") == "get_attr")
            body = getattr(module, node.args[body_at].target)
            inner = dict(zip((n for n in body.graph.nodes if n.op == "placeholder"),
                             _resolved(node.args[body_at + 1:], names), strict=False))
            names[node] = [*_walk(graph, body, inner)]
            continue
        parts = list(value) if isinstance(value, list | tuple) else [value]
        made: list[Any] = [_Name(graph.tensor(node.name if len(parts) == 1 else f"{node.name}.{i}", part))
                           if hasattr(part, "dtype") and hasattr(part, "shape") else None
                           for i, part in enumerate(parts)]
        outputs = [name for name in made if name is not None]
        if not outputs:  # sizes and assertions
            continue
        names[node] = made if isinstance(value, list | tuple) else made[0]
        _convert(_Node(graph, node, names, outputs), op)
    return []


# ---- the file -------------------------------------------------------------------------------------------------------


def _load(path: Path) -> Any:
    """The program in a file; raises `InputError` where torch is missing or the file is something else."""
    first_bytes(path, "a program of torch.export")
    try:
        import torch
    except ImportError:
        raise InputError(Problem(file=str(path), message="must be read with torch, which is not installed",
                                 hint="pip install 'npu-codesign[torch]', or export the model to ONNX")) from None
    import logging
    import warnings

    logging.getLogger("torch.export").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(str(path))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:120]
        raise InputError(Problem(
            file=str(path),
            message=f"must be a program saved by torch.export.save, got {type(error).__name__}: {reason}",
            hint="torch.export.save(torch.export.export(model, (example,)), FILE)")) from None


def _free_symbols(inputs: list[tuple[str, Any]]) -> dict[str, str]:
    """Symbol -> the name it has for a user, `INPUT.AXIS` where it first stands alone."""
    found: dict[str, str] = {}
    for name, value in inputs:
        for axis, dim in enumerate(getattr(value, "shape", ())):
            if not isinstance(dim, int):
                for symbol in dim.node.expr.free_symbols:
                    alone = dim.node.expr == symbol
                    if alone or str(symbol) not in found:
                        found.setdefault(str(symbol), f"{name}.{axis}")
    return found


def _bound(path: Path, names: dict[str, str], bind: dict[str, int]) -> dict[str, int]:
    """Symbol -> value; raises `InputError` for those missing, unknown or below 1."""
    rule = f"one of {', '.join(names.values())}" if names else "absent: all sizes are fixed"
    problems = [Problem(file=str(path), field="bind", hint=did_you_mean(name, list(names.values())),
                        message=f"must be {rule}, got '{name}'")
                for name in bind if name not in {*names, *names.values()}]
    problems += [Problem(file=str(path), field=f"bind {name}", message=f"must be an integer >= 1, got {value}")
                 for name, value in bind.items() if isinstance(value, bool) or not isinstance(value, int) or value < 1]
    values = {symbol: bind.get(symbol, bind.get(name, 0)) for symbol, name in names.items()}
    missing = [names[symbol] for symbol, value in values.items() if not value]
    if missing and not problems:
        problems.append(Problem(file=str(path), field="bind", hint=example_of(missing),
                                message=f"must give a value to every free dimension, missing {', '.join(missing)}"))
    if problems:
        raise InputError(*problems)
    return values


def read_torch(path: Path, bind: dict[str, int]) -> NetworkFile:
    """The network in a file of `torch.export.save`, its free dimensions (`INPUT.AXIS`) bound by `bind`.

    Raises
    ------
    InputError : no torch, no such program, unbound dimensions, sizes that stay unknown.
    """
    program = _load(path)
    holders = [node for node in program.graph_module.graph.nodes if node.op == "placeholder"]
    stored = {spec.arg.name for spec in program.graph_signature.input_specs
              if spec.kind.name in ("PARAMETER", "BUFFER", "CONSTANT_TENSOR")}
    inputs = [(node.name, node.meta.get("val")) for node in holders if node.name not in stored]
    graph = _Graph(path, _bound(path, _free_symbols(inputs), bind))
    names: dict[Any, Any] = {}
    for node in holders:
        value = node.meta.get("val")
        if not hasattr(value, "dtype"):
            continue
        names[node] = _Name(node.name)
        graph.tensor(node.name, value)
        if node.name in stored:
            info = graph.shapes.pop(node.name)
            graph.weight(node.name, graph.sizes(value.shape), info.type.tensor_type.elem_type)
    returned = [name for name in _walk(graph, program.graph_module, names) if isinstance(name, _Name)]
    made = {name for node in graph.nodes for name in node.output}
    model = helper.make_model(
        helper.make_graph(graph.nodes, path.stem, [graph.shapes[name] for name, _ in inputs if name in graph.shapes],
                          [graph.shapes[name] for name in dict.fromkeys(returned) if name in made],
                          list(graph.weights.values()),
                          value_info=[info for name, info in graph.shapes.items() if name in made]),
        opset_imports=[helper.make_opsetid("", _OPSET)])
    return network_of(arrange(model, path, [], exact=True), kind="torch")
