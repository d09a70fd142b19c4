"""ONNX graphs as layers.

Every node becomes a matrix layer (`dse.readers.onnx_matrix`), a layer of the vector unit, part of the epilogue of the
layer before it, or nothing (shape-only operators, and what is computed from constants alone). A node that is none
of these is listed as unsupported and keeps a row among the layers.
"""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onnx import helper

from dse.errors import InputError, Problem
from dse.readers.onnx_matrix import MATRIX, DoesNotFit
from dse.readers.onnx_model import (
    FLOATS,
    OnnxGraph,
    arrange,
    empty_inputs,
    held_in_bodies,
    inline_branch,
    node_label,
    open_graph,
)
from dse.readers.onnx_operators import (
    ACTIVATIONS,
    BITS,
    CONTRIBUTED,
    COPIES,
    ELEMENTWISE,
    FREE,
    GATHERS,
    NORMS,
    PASS_THROUGH,
    POOLS,
    REDUCTIONS,
    SOFTMAXES,
)
from dse.readers.onnx_shapes import Tensors
from dse.readers.record import NetworkFile, Unsupported
from hwmodels.errors import InvalidLayer
from hwmodels.network import MATRIX_OPS, Layer, Network

__all__ = ["Converter", "example_of", "network_of", "read_onnx"]

_BINARY = {"Add", "Sub", "Mul", "Div"}
_VECTOR = {*ACTIVATIONS, *ELEMENTWISE, *NORMS, "LRN", *SOFTMAXES, *POOLS, *REDUCTIONS, *COPIES, *GATHERS}
_CONTROL = {"If", "Loop", "Scan"}
_FUSABLE = set(ACTIVATIONS) | _BINARY | {"BatchNormalization"}


class UnknownSize(Exception):
    """A tensor whose size a layer needs is unknown."""


def _without_known_branches(graph: OnnxGraph) -> tuple[OnnxGraph, Tensors]:
    """Every If whose condition is known replaced by the branch it takes, and the tensors of the result."""
    while True:
        tensors = Tensors(graph)
        known = [node for node in graph.nodes
                 if node.op_type == "If" and node.domain in ("", "ai.onnx") and node.input[0] in tensors.values
                 and not any(a.HasField("g") for body in node.attribute for n in body.g.node for a in n.attribute)]
        if not known:
            return graph, tensors
        inline_branch(graph.model.graph, known[0], bool(tensors.values[known[0].input[0]].all()))
        graph = arrange(graph.model, graph.path, list(graph.symbols))


class Converter:
    """Walks a graph once and collects layers."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph, self.tensors = _without_known_branches(graph)
        graph = self.graph
        self.layers: list[dict[str, Any]] = []
        self.types: list[str] = []
        self.unsupported: list[Unsupported] = []
        self.problems: list[Problem] = []
        self.notes: dict[str, None] = {}
        self._outputs: list[str] = []  # final tensor of every layer
        self._made_by: dict[str, Any] = {name: node for node in graph.nodes for name in node.output if name}
        self._readers = Counter(name for node in graph.nodes for name in node.input if name)
        self._readers.update(value.name for value in graph.model.graph.output)
        self._consumers: dict[str, list[Any]] = {}
        for node in graph.nodes:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)
        self._producers: dict[str, tuple[int, ...]] = {
            value.name: (-1,) for value in graph.model.graph.input if value.name not in graph.initializers}
        self._owner: dict[str, int] = {}  # outputs of layers whose epilogue may still grow -> layer
        self._bits: dict[str, int] = {}
        self._claimed: dict[str, int] = {}  # parameter -> first layer that uses it
        self._sink: dict[int, int] = {}  # layer that shares its weight -> layer that counts its other parameters
        self._joined: dict[str, list[str]] = {}  # concatenation -> stored tensors in it (class tokens)
        self._names: Counter[str] = Counter()

    # ---- what the operators ask for -------------------------------------------------------------------------------

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor [-]; every dimension known."""
        shape = self.tensors.shapes.get(name)
        if shape is None or None in shape:
            raise UnknownSize(name)
        return shape  # type: ignore[return-value]

    def size(self, name: str) -> int:
        """Elements of a tensor [-]."""
        return math.prod(self.shape(name))

    def is_constant(self, name: str) -> bool:
        """Whether a tensor does not depend on the network's input (weights)."""
        return name in self.tensors.constant

    @staticmethod
    def attributes(node: Any) -> dict[str, Any]:
        """Attributes of a node; texts decoded."""
        found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        return {key: value.decode() if isinstance(value, bytes) else value for key, value in found.items()}

    def bits(self, name: str) -> int:
        """Bits of a tensor's elements, seen through DequantizeLinear [bit]."""
        return self._bits.get(name) or BITS.get(self.tensors.element_types.get(name, 1), 8)

    def root(self, name: str) -> tuple[str, int]:
        """The stored parameter behind a constant tensor, and its elements [-]."""
        while name in self._made_by:
            node = self._made_by[name]
            if node.op_type not in PASS_THROUGH and node.op_type not in ("Gather", "Expand"):
                break
            name = node.input[0]
        return name, self.tensors.size(name) or 0

    def add(self, node: Any, op: str, reads: Iterable[str], writes: str, *, weight: str = "", suffix: str = "",
            after: int | None = None, parameters: Iterable[str] = (), **sizes: int) -> int:
        """Append a layer that reads and writes the named tensors; its index.

        `weight` is the constant second operand; `after` an earlier layer of the same node it also depends on.
        """
        reads = [name for name in reads if name]
        index = len(self.layers)
        label = node_label(node, index) + suffix
        self._names[label] += 1
        name = label if self._names[label] == 1 else f"{label}_{self._names[label]}"
        moving = [n for n in reads if not self.is_constant(n)]
        inputs = {p for n in moving for p in self._producers.get(n, ())} if after is None else {after}
        if after is not None:
            inputs |= {p for n in moving for p in self._producers.get(n, ())}
        layer: dict[str, Any] = {"name": name, "op": op, "inputs": tuple(sorted(inputs)) or (-1,), **sizes}
        layer["input_bits"] = self.bits((moving or reads or [writes])[0])
        if op in MATRIX_OPS:
            layer["weight_bits"] = self.bits(weight or (reads[1] if len(reads) > 1 else reads[0]))
        self.layers.append(layer)
        self.types.append(node.op_type)
        self._outputs.append(writes)
        if weight:
            self._share(index, weight)
        self.claim(index, parameters)
        for name_read in reads:
            self.claim(index, self._joined.pop(name_read, ()), stored_only=True)
        for out in node.output:
            if out:
                self._producers[out] = (index,)
        if op in MATRIX_OPS or op in ("elementwise", "norm"):
            self._owner[writes] = index
        return index

    def _share(self, index: int, weight: str) -> None:
        """A weight that an earlier layer holds already is counted once."""
        root, _ = self.root(weight)
        first = self._claimed.setdefault(root, index)
        if first != index and self.layers[first].setdefault("sharing_group", root) == root:
            self.layers[index]["sharing_group"] = root
            self._sink[index] = first

    def claim(self, index: int, names: Iterable[str], *, stored_only: bool = False,
              field: str = "extra_parameters") -> None:
        """Count constant tensors as parameters of a layer, each stored one once; scalars are only settings."""
        for name in names:
            if not name or not self.is_constant(name):
                continue
            root, size = self.root(name)
            if size <= 1 or (stored_only and root not in self.graph.initializers):
                continue
            if stored_only and not self._trained(name):
                continue
            if self._claimed.setdefault(root, index) == index:
                layer = self.layers[self._sink.get(index, index)]
                layer[field] = layer.get(field, 0) + size

    def _trained(self, name: str) -> bool:
        """Whether an element-wise operand is a parameter: a vector (bias, gain), or a table that is added (positions).

        Exporters also store tables of rotations (multiplied) and masks (added just before a softmax).
        """
        if self.tensors.element_types.get(name, 1) not in FLOATS:
            return False
        shape = self.shape(name)
        if math.prod(shape) == max(shape):
            return True
        readers = self._consumers.get(name, [])
        results = [after.op_type for node in readers for after in self._consumers.get(node.output[0], [])]
        return all(node.op_type in ("Add", "Sum", "Concat", "Expand", "Gather")
                   for node in readers) and "Softmax" not in results

    # ---- the walk -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Convert every node; problems are collected, not raised."""
        for index, node in enumerate(self.graph.nodes):
            try:
                self._visit(node)
            except UnknownSize as error:
                self._unknown(index, node, str(error))
            except (DoesNotFit, InvalidLayer) as error:
                self._fail(node, str(error))

    def _fail(self, node: Any, message: str) -> None:
        self.problems.append(Problem(file=str(self.graph.path), field=f"node '{node_label(node)}' ({node.op_type})",
                                     message=message))

    def _unknown(self, index: int, node: Any, name: str) -> None:
        failure = self.tensors.failures.get(index)
        if failure and name in node.output:
            self._fail(node, f"must have shapes that fit each other, got: {failure}")
            return
        origin = self._origin(name)
        behind = f", behind node '{node_label(origin)}' ({origin.op_type})" if origin is not None else ""
        self._fail(node, f"must have tensors of known size, got '{name}'{behind}")

    def _origin(self, name: str) -> Any | None:
        """The first node on the way to a tensor whose size got lost."""
        while name in self._made_by:
            node = self._made_by[name]
            lost = [n for n in node.input if n and self.tensors.size(n) is None]
            if not lost:
                return node
            name = lost[0]
        return None

    def _visit(self, node: Any) -> None:
        outputs = [name for name in node.output if name]
        kind = node.op_type
        if outputs and all(self.is_constant(name) for name in outputs):
            if kind in FREE:
                self._rename(node)  # a weight keeps its bits through DequantizeLinear and the like
            return
        if kind in CONTRIBUTED:
            op, per_element = CONTRIBUTED[kind]
            size = self.size(node.output[0])
            index = self.add(node, op, node.input, node.output[0], out_elements=size, vector_ops=per_element * size,
                             in_elements=sum(self.size(n) for n in node.input if n and not self.is_constant(n)))
            if op == "norm":
                self.claim(index, node.input[1:], stored_only=True)
        elif node.domain not in ("", "ai.onnx"):
            self._not_supported(node, "operator of another domain: its cost is unknown")
        elif kind in FREE:
            self._rename(node)
        elif kind in _FUSABLE and self._fuse(node):
            return
        elif kind in MATRIX:
            if not MATRIX[kind](self, node):
                self._not_supported(node, "form without a MAC rule")
        elif not self._vector(node):
            self._not_supported(node, "control flow cannot be inlined: its cost depends on data" if kind in _CONTROL
                                else "operator without a cost rule")

    def _rename(self, node: Any) -> None:
        producers = {p for n in node.input if n and not self.is_constant(n) for p in self._producers.get(n, ())}
        source = node.input[0] if node.input else ""
        if node.op_type == "Concat" and producers:
            self._joined[node.output[0]] = [name for name in node.input if self.is_constant(name)]
        for name in node.output:
            if name:
                self._producers[name] = tuple(sorted(producers)) or (-1,)
                if source and node.op_type in PASS_THROUGH | {"Slice", "Split", "Concat", "Expand"}:
                    quantised = node.op_type == "QuantizeLinear"
                    self._bits[name] = BITS.get(self.tensors.element_types.get(name, 1),
                                                8) if quantised else self.bits(source)

    def _fuse(self, node: Any) -> bool:
        """Make an operator the epilogue of the layer that wrote its only varying input, if nobody else reads it."""
        moving = [name for name in node.input if name and not self.is_constant(name)]
        if len(moving) != 1 or self._readers[moving[0]] != 1 or moving[0] not in self._owner:
            return False
        index, out = self._owner.pop(moving[0]), node.output[0]
        if self.size(out) != self.size(moving[0]):
            self._owner[moving[0]] = index
            return False
        layer = self.layers[index]
        ops = 1 if node.op_type in _BINARY or node.op_type == "BatchNormalization" else ACTIVATIONS[node.op_type]
        layer["vector_ops"] = layer.get("vector_ops", 0) + ops * self.size(out)
        if node.op_type == "BatchNormalization":
            self.claim(index, node.input[1:3])
        else:
            self.claim(index, [name for name in node.input if name not in moving], stored_only=True)
        self._owner[out], self._producers[out], self._outputs[index] = index, (index,), out
        return True

    def _vector(self, node: Any) -> bool:
        kind, out = node.op_type, node.output[0]
        if kind not in _VECTOR:
            return False
        reads = [name for name in node.input if name]
        size, source = self.size(out), (self.size(reads[0]) if reads else 0)
        parameters = [name for name in reads if self.is_constant(name)]
        stored_only, ops = True, 0
        if kind in ACTIVATIONS:
            op, ops = "activation", size * ACTIVATIONS[kind]
        elif kind in ELEMENTWISE:
            op, ops = "elementwise", size * ELEMENTWISE[kind] * (max(1, len(reads) - 1) if kind in ("Sum", "Mean")
                                                                 else 1)
        elif kind in NORMS:
            op, ops, stored_only = "norm", size * NORMS[kind], False
            parameters = list(node.input[1:3])
        elif kind == "LRN":
            op, ops = "norm", size * (2 * int(self.attributes(node).get("size", 1)) + 3)
        elif kind in SOFTMAXES:
            op, ops = "softmax", size * SOFTMAXES[kind]
        elif kind in POOLS:
            kernel = self.attributes(node).get("kernel_shape")
            op, ops = "pool", size * math.prod(kernel) if kernel else max(source, size)
        elif kind in REDUCTIONS:
            op, ops = "pool", source
        elif kind in COPIES:
            mode = self.attributes(node).get("mode", "nearest")
            blend = kind in ("Resize", "Upsample") and mode in ("linear", "cubic")
            op, ops = ("elementwise", 7 * size) if blend else ("copy", size)
        else:
            table = self.is_constant(node.input[0])
            if kind == "Gather" and not table and all(self.is_constant(name) for name in node.input[1:]):
                self._rename(node)  # a fixed slice of an activation
                return True
            op, source = "gather", size
            reads = reads[1:] if table else reads
            parameters = [node.input[0]] if table else []
        read = sum(self.size(name) for name in reads if not self.is_constant(name)) if op != "gather" else source
        index = self.add(node, op, node.input, out, in_elements=read, out_elements=size, vector_ops=ops)
        self.claim(index, parameters, stored_only=stored_only,
                   field="stored_parameters" if op == "gather" else "extra_parameters")
        return True

    def _not_supported(self, node: Any, reason: str) -> None:
        self.unsupported.append(Unsupported(node=node_label(node), domain=node.domain or "ai.onnx", op=node.op_type,
                                            reason=reason))
        sizes = [self.tensors.size(name) or 0 for name in node.output if name]
        read = sum(self.tensors.size(name) or 0 for name in node.input if name and not self.is_constant(name))
        index = self.add(node, "elementwise", node.input, node.output[0] if node.output else "", in_elements=read,
                         out_elements=sum(sizes), vector_ops=sum(sizes))
        for name in node.output:
            self._owner.pop(name, None)
        self.claim(index, node.input, stored_only=True)
        if node.op_type in _CONTROL:
            self._claim_bodies(index, node)

    def _claim_bodies(self, index: int, node: Any) -> None:
        """Weights that only the bodies of a control-flow node use are stored all the same."""
        names, inside = held_in_bodies(node)
        outside = [name for name in names if self.tensors.element_types.get(name) in FLOATS
                   and self.root(name)[0] in self.graph.initializers]
        before = self.layers[index].get("extra_parameters", 0)
        self.claim(index, outside)
        self.layers[index]["extra_parameters"] = self.layers[index].get("extra_parameters", 0) + inside
        held = self.layers[index]["extra_parameters"] - before
        if held:
            self.notes[f"{held:,} weights inside {node.op_type} node '{node_label(node)}' count as parameters, what is "
                       "computed with them does not"] = None

    # ---- the result -----------------------------------------------------------------------------------------------

    def finished(self) -> tuple[Layer, ...]:
        """The layers, with the bits of what they write as its readers want it."""
        for layer, name in zip(self.layers, self._outputs, strict=True):
            readers = self._consumers.get(name, [])
            quantised = {self.bits(n.output[0]) for n in readers if n.op_type == "QuantizeLinear"}
            layer["output_bits"] = max(quantised) if quantised and all(
                n.op_type == "QuantizeLinear" for n in readers) else self.bits(name)
        return tuple(Layer(**layer) for layer in self.layers)


def example_of(symbols: Iterable[str]) -> str:
    values = []
    for name in symbols:
        low = name.lower()
        image = low in ("h", "w", "height", "width") or "height" in low or "width" in low
        batch = "batch" in low or low in ("n", "b", "bs") or low.endswith(".0")
        values.append(f"{name}={1 if batch else 224 if image else 128}")
    return f"for example --bind {','.join(values)}"


def _empty(graph: OnnxGraph) -> list[Problem]:
    """The reason why layers compute nothing, where inputs are empty."""
    return [Problem(file=str(graph.path), field=f"input {found}", hint="export the model with its real sizes",
                    message="must have sizes >= 1: a layer computes nothing") for found in empty_inputs(graph.model)]


def read_onnx(path: Path, bind: dict[str, int]) -> NetworkFile:
    """The network in an ONNX file, its symbolic dimensions bound by `bind`.

    Raises
    ------
    InputError : no model, a broken graph, unbound symbols that a layer depends on, sizes that stay unknown.
    """
    return network_of(open_graph(path, bind), kind="onnx")


def network_of(graph: OnnxGraph, *, kind: str) -> NetworkFile:
    """The network of a graph; `kind` is the format of its file. Raises `InputError` as `read_onnx`."""
    path = graph.path
    converter = Converter(graph)
    converter.run()
    if converter.problems:
        if graph.symbols:
            raise InputError(Problem(
                file=str(path), field="bind", hint=example_of(graph.symbols),
                message=f"must give a value to every free dimension, missing {', '.join(graph.symbols)} "
                f"({len(converter.problems)} nodes have no size without)"))
        raise InputError(*_empty(graph), *converter.problems)
    if not converter.layers:
        raise InputError(Problem(file=str(path),
                                 message="must hold at least one layer, got only shape operators and constants"))
    notes = list(converter.notes)
    if {1, 11} & set(converter.tensors.element_types.values()) and not any(
            node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in graph.nodes):
        notes.append("float32 operands are taken as 8 bit, as in the zoo; `precision` in a workload overrides this")
    if converter.unsupported:
        kinds = Counter(item.op for item in converter.unsupported)
        notes.append("not supported, counted as one vector operation per output element: "
                     + ", ".join(f"{op} x{count}" for op, count in sorted(kinds.items())))
    try:
        layers = converter.finished()
    except InvalidLayer as error:
        raise InputError(*_empty(graph) or [Problem(file=str(path), field=error.field,
                                                    message=f"must be {error.rule}, got {error.value}")]) from error
    network = Network(name=path.stem, layers=layers, source=str(path.name), notes=tuple(notes))
    return NetworkFile(kind=kind, network=network, unsupported=tuple(converter.unsupported), symbols=graph.symbols,
                       notes=tuple(notes), types=tuple(converter.types))
