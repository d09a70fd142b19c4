"""Shapes, types and small values of every tensor of an ONNX graph, node by node in data-flow order.

The rules are those of the `onnx` package, applied to one node at a time together with the values known so far, so that
shapes computed inside the graph (Shape, Gather, Concat, Reshape ...) become numbers. What is computed from constants
alone is constant, whatever the operators.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from dse.readers.onnx_model import SMALL, OnnxGraph, shape_of
from dse.readers.onnx_operators import CONTRIBUTED

__all__ = ["Tensors"]

_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
_CONTROL = {"If", "Loop", "Scan"}


def _size(shape: tuple[int | None, ...] | None) -> int | None:
    if shape is None or None in shape:
        return None
    size = 1
    for dim in shape:
        size *= dim or 0
    return size


class Tensors:
    """What is known of the tensors of a graph.

    Attributes
    ----------
    shapes : name -> shape, None for a dimension that stays unknown; no entry when even the rank is unknown.
    element_types : name -> ONNX element type.
    values : name -> array, for small tensors whose value does not depend on the network's input.
    constant : names of the tensors that do not depend on the network's input.
    failures : node index -> why its shapes contradict themselves.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.shapes: dict[str, tuple[int | None, ...]] = {}
        self.element_types: dict[str, int] = {}
        self.values: dict[str, np.ndarray] = {}
        self.constant: set[str] = set()
        self.failures: dict[int, str] = {}
        self._types: dict[str, Any] = {}
        self._declared = {v.name: v.type for v in (*graph.model.graph.value_info, *graph.model.graph.output)}
        self._opset_imports = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
        self._read_inputs()
        for index, node in enumerate(graph.nodes):
            self._visit(index, node)

    def size(self, name: str) -> int | None:
        """Elements of a tensor [-]; None when unknown."""
        return _size(self.shapes.get(name))

    def _set(self, name: str, type_proto: Any) -> None:
        self._types[name] = type_proto
        if type_proto.HasField("tensor_type"):
            self.element_types[name] = type_proto.tensor_type.elem_type
            shape = shape_of(type_proto)
            if shape is not None:
                self.shapes[name] = shape

    def _read_inputs(self) -> None:
        for value in self.graph.model.graph.input:
            self._set(value.name, value.type)
        for name, (shape, element_type) in self.graph.initializers.items():
            self._set(name, helper.make_tensor_type_proto(element_type, shape))
            self.constant.add(name)
        for tensor in self.graph.model.graph.initializer:
            if (_size(tuple(tensor.dims)) or 0) <= SMALL and tensor.data_location != TensorProto.EXTERNAL:
                try:
                    self.values[tensor.name] = numpy_helper.to_array(tensor)
                except Exception:  # a value we cannot decode is only an unknown value
                    continue

    def _same_shape(self, node: Any) -> dict[str, Any]:
        """Contributed element-wise operators: the first input's type, broadcast with the second operand."""
        names = [node.input[0]] + ([node.input[3]] if node.op_type in ("QLinearAdd", "QLinearMul") else [])
        shapes = [self.shapes.get(name) for name in names]
        if any(shape is None or None in shape for shape in shapes) or names[0] not in self.element_types:
            return {}
        shape = np.broadcast_shapes(*shapes)  # type: ignore[arg-type]
        return {node.output[0]: helper.make_tensor_type_proto(self.element_types[names[0]], shape)}

    def _infer(self, index: int, node: Any) -> dict[str, Any]:
        if node.op_type in CONTRIBUTED:
            return self._same_shape(node)
        domain = "" if node.domain == "ai.onnx" else node.domain
        try:
            schema = defs.get_schema(node.op_type, self.graph.opsets.get(domain, 1), domain)
        except defs.SchemaError:
            if domain or not defs.has(node.op_type):
                return {}
            schema = defs.get_schema(node.op_type)  # newer than the opset the file declares
        if any(name and name not in self._types for name in node.input):
            return {}
        types = {name: self._types[name] for name in node.input if name}
        data = {name: numpy_helper.from_array(self.values[name], name) for name in node.input if name in self.values}
        try:
            return dict(shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=self._opset_imports,
                                                           ir_version=max(self.graph.model.ir_version, 3)))
        except Exception as error:
            self.failures[index] = str(error).strip().splitlines()[0]
            return {}

    def _merge(self, name: str, inferred: Any | None) -> None:
        """Inferred where known, declared in the file where not."""
        declared = self._declared.get(name)
        if inferred is None or not inferred.ByteSize():
            if declared is not None:
                self._set(name, declared)
            return
        if declared is not None and inferred.HasField("tensor_type") and declared.HasField("tensor_type"):
            have, said = shape_of(inferred), shape_of(declared)
            if have is None and said is not None:
                inferred.tensor_type.shape.CopyFrom(declared.tensor_type.shape)
            elif have is not None and said is not None and len(have) == len(said):
                for dim, old, new in zip(inferred.tensor_type.shape.dim, have, said, strict=True):
                    if old is None and new is not None:
                        dim.dim_value = new
            if not inferred.tensor_type.elem_type:
                inferred.tensor_type.elem_type = declared.tensor_type.elem_type
        self._set(name, inferred)

    def _visit(self, index: int, node: Any) -> None:
        inferred = self._infer(index, node) if node.op_type not in _CONTROL and not self.graph.exact else {}
        for name in node.output:
            if name:
                self._merge(name, inferred.get(name))
        if node.op_type in ("Shape", "Size") and node.input[0] in self.shapes:
            self._measure(node)
            return
        if node.op_type in _RANDOM or node.op_type in _CONTROL:
            return
        if all(not name or name in self.constant for name in node.input):
            self.constant.update(name for name in node.output if name)
        if not self.graph.exact and all(not name or name in self.values for name in node.input):
            self._evaluate(node)

    def _measure(self, node: Any) -> None:
        """Shape and Size of a tensor of known shape are values, whatever the tensor's own value."""
        shape = self.shapes[node.input[0]]
        if node.op_type == "Size":
            total = _size(shape)
            if total is not None:
                self.values[node.output[0]] = np.asarray(total, dtype=np.int64)
        else:
            attributes = {a.name: a.i for a in node.attribute}
            part = shape[attributes.get("start", 0):attributes.get("end", len(shape))]
            if None not in part:
                self.values[node.output[0]] = np.asarray(part, dtype=np.int64)
        if node.output[0] in self.values:
            self.constant.add(node.output[0])

    def _evaluate(self, node: Any) -> None:
        sizes = [self.size(name) for name in node.output if name]
        if any(size is not None and size > SMALL for size in sizes):
            return
        if any(size is None for size in sizes) and node.op_type in ("ConstantOfShape", "Expand", "Tile", "Range"):
            return
        try:
            if node.op_type == "Constant":
                results = [_constant_value(node)]
            else:
                evaluator = ReferenceEvaluator(node, opsets=self.graph.opsets)
                results = evaluator.run(None, {name: self.values[name] for name in node.input if name})
        except Exception:  # not evaluated is only an unknown value
            return
        for name, value in zip([name for name in node.output if name], results, strict=False):
            if not isinstance(value, np.ndarray | np.generic):
                continue
            array = np.asarray(value)
            if array.size <= SMALL:
                self.values[name] = array
                if self.size(name) is None:
                    self._set(name, helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype),
                                                                  array.shape))


def _constant_value(node: Any) -> np.ndarray:
    for attribute in node.attribute:
        if attribute.name == "value":
            return numpy_helper.to_array(attribute.t)
        if attribute.name.startswith("value_"):
            return np.asarray(onnx.helper.get_attribute_value(attribute))
    raise ValueError("a sparse or string constant")
