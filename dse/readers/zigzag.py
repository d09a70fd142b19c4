"""ZigZag (and Stream) workload files: a YAML list of layers, each an equation over loops.

    - {id, name, operator_type, equation: "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]",
       dimension_relations: ["ix=2*ox+1*fx", "iy=2*oy+1*fy"], loop_dims: [B, K, ...], loop_sizes: [1, 64, ...],
       operand_precision: {W, I, O, O_final}, operand_source: {W, I}, pr_loop_dims, pr_loop_sizes, padding}

MACs are the product of the loop sizes; pooling, sums and other layers without weights are vector operations, as
everywhere here. `operand_source` names the layer an operand comes from; a layer's own id means that it is constant (or
the input of the network).
"""

import re
from math import prod
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import model_validator

from dse.errors import InputError, Problem
from dse.located import Document, parse, read_text
from dse.problems import check
from dse.readers.loopnest import Index, nest
from dse.readers.record import NetworkFile
from dse.rules import Broken, anything, count, one_of, text
from dse.schema.parts import Model
from hwmodels.errors import ModelError
from hwmodels.network import Layer, Network

__all__ = ["is_workload", "read_workload"]

_MATRIX = ("Conv", "Conv_downsample", "SConv", "Gemm", "MatMul")
_VECTOR = {"Pooling": "pool", "Pool": "pool", "MaxPool": "pool", "AveragePool": "pool", "GlobalAveragePool": "pool",
           "Max": "elementwise", "Add": "elementwise", "Mul": "elementwise", "Softmax": "softmax"}
_EQUATION = re.compile(r"\s*O((?:\[\w+\])+)\s*\+?=\s*(\w)((?:\[\w*\])+)(?:\s*[*+]\s*(\w)((?:\[\w*\])+))?\s*")
_RELATION = re.compile(r"(\w+)=(?:(\d+)\*)?(\w+)\+(?:(\d+)\*)?(\w+)")
_SIZE = count(1, 2**40)


class _Precision(Model):
    WHAT: ClassVar[str] = "a mapping such as {W: 8, I: 8, O: 16, O_final: 8}"
    W: Annotated[int, count(0, 4096)] | None = None
    I: Annotated[int, count(0, 4096)] | None = None  # noqa: E741 (ZigZag's name)
    O: Annotated[int, count(0, 4096)] | None = None  # noqa: E741
    O_final: Annotated[int, count(0, 4096)] | None = None
    S: Annotated[int, count(0, 4096)] | None = None


class _Source(Model):
    WHAT: ClassVar[str] = "a mapping such as {I: 0, W: 1}"
    I: Annotated[int, count(0)] | None = None  # noqa: E741
    W: Annotated[int, count(0)] | None = None


class _ZigZagLayer(Model):
    WHAT: ClassVar[str] = "a mapping with the keys id, operator_type, equation, loop_dims, loop_sizes, ..."
    id: Annotated[int, count(0)]
    name: Annotated[str, text()] | None = None
    operator_type: Annotated[str, one_of((*_MATRIX, *_VECTOR))]
    equation: Annotated[str, text("an equation such as O[b][k]+=I[b][c]*W[c][k]")]
    dimension_relations: list[Annotated[str, text("a relation such as ix=2*ox+1*fx")]] | None = None
    loop_dims: list[Annotated[str, text("the name of a loop")]]
    loop_sizes: list[Annotated[int, _SIZE]]
    time_dim: Annotated[Any, anything()] = None
    operand_precision: _Precision
    operand_source: _Source = _Source()
    pr_loop_dims: list[Annotated[str, text("the name of a loop")]] | None = None
    pr_loop_sizes: list[Annotated[int, _SIZE]] | None = None
    padding: list[list[Annotated[int, count(0, 2**20)]]] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "_ZigZagLayer":
        broken = []
        if len(self.loop_dims) != len(self.loop_sizes):
            broken.append(Broken(at=("loop_sizes",), got=False, message=f"must be as long as loop_dims "
                                 f"({len(self.loop_dims)}), got {len(self.loop_sizes)}"))
        dims = [name.upper() for name in self.loop_dims]
        broken += [Broken(at=("loop_dims", i), message="must be listed once") for i, name in enumerate(dims)
                   if name in dims[:i]]
        if not dims:
            broken.append(Broken(at=("loop_dims",), message="must be a list of at least one loop"))
        if _EQUATION.fullmatch(self.equation) is None:
            broken.append(Broken(at=("equation",), message="must be an equation such as O[b][k]+=I[b][c]*W[c][k]"))
        broken += [Broken(at=("dimension_relations", i), message="must be a relation such as ix=2*ox+1*fx")
                   for i, text_ in enumerate(self.dimension_relations or ())
                   if _RELATION.fullmatch(re.sub(r"\s", "", text_)) is None]
        for key in ("pr_loop_sizes", "padding"):
            values = getattr(self, key)
            if values is not None and len(values) != len(self.pr_loop_dims or ()):
                broken.append(Broken(at=(key,), got=False, message="must be as long as pr_loop_dims "
                                     f"({len(self.pr_loop_dims or ())}), got {len(values)}"))
        broken += [Broken(at=("padding", i), got=False, message=f"must be two numbers (before, after), got {len(pair)}")
                   for i, pair in enumerate(self.padding or ()) if len(pair) != 2]
        if broken:
            raise Broken.error(broken)
        return self


def is_workload(value: Any) -> bool:
    """Whether a YAML file looks like a workload of ZigZag."""
    return isinstance(value, list) and any(
        isinstance(item, dict) and not {"operator_type", "loop_dims", "equation"}.isdisjoint(item) for item in value)


def read_workload(path: Path) -> NetworkFile:
    """The layers of a workload file.

    Raises
    ------
    InputError : every problem of the file with its line.
    """
    source = read_text(path)
    if not source.strip():
        raise InputError(Problem(file=str(path), line=1, message="must be a ZigZag workload, got an empty file"))
    document = parse(source, str(path))
    if not isinstance(document.value, list) or not document.value:
        raise InputError(*document.problems, document.problem((), "must be a list of layers, got "
                                                              f"{document.got(())}"))
    problems: list[Problem] = []
    given: list[_ZigZagLayer | None] = []
    for index, item in enumerate(document.value):
        if not isinstance(item, dict):
            problems.append(document.problem((index,), f"must be {_ZigZagLayer.WHAT}, got {document.got((index,))}"))
            continue
        checked, found = check(document, _ZigZagLayer, (index,))
        given.append(checked)
        problems += [problem for problem in found if problem not in problems]
    if problems:
        raise InputError(*problems)
    return _network(document, [layer for layer in given if layer is not None], path)


def _network(document: Document, given: list[_ZigZagLayer], path: Path) -> NetworkFile:
    problems: list[Problem] = []
    notes: list[str] = []
    place: dict[int, int] = {}
    layers: list[Layer] = []
    for index, item in enumerate(given):
        if item.id in place:
            problems.append(document.problem((index, "id"), f"must be unique among the layers, got {item.id}"))
            continue
        try:
            layer = _layer(document, index, item, place, notes)
        except InputError as error:
            problems += error.problems
            layer = Layer(name="broken", op="copy", in_elements=1, out_elements=1)
        except ModelError as error:
            problems.append(document.problem((index,), f"must be a layer that can exist: {error}"))
            layer = Layer(name="broken", op="copy", in_elements=1, out_elements=1)
        place[item.id] = len(layers)
        layers.append(layer)
    if problems:
        raise InputError(*problems)
    network = Network(name=path.stem, layers=tuple(layers), source=path.name, notes=tuple(notes))
    return NetworkFile(kind="zigzag", network=network, notes=tuple(notes),
                       types=tuple(item.operator_type for item in given))


def _sources(document: Document, index: int, item: _ZigZagLayer, place: dict[int, int]) -> dict[str, int]:
    """Operand -> position of the layer it comes from; constants and inputs of the network are left out."""
    found = {}
    for operand in ("I", "W"):
        source = getattr(item.operand_source, operand)
        if source is None or source == item.id:
            continue
        if source not in place:
            raise InputError(document.problem((index, "operand_source", operand),
                                              f"must be the id of a layer above, or {item.id} for a constant, "
                                              f"got {source}"))
        found[operand] = place[source]
    return found


def _operands(document: Document, index: int, item: _ZigZagLayer) -> dict[str, list[Index]]:
    """Indices of O and of the operands, with the relations put in."""
    relations: dict[str, Index] = {}
    for text_ in item.dimension_relations or ():
        match = _RELATION.fullmatch(re.sub(r"\s", "", text_))
        assert match is not None
        left, stride, out, dilation, kernel = match.groups()
        relations[left.upper()] = ((out.upper(), int(stride or 1)), (kernel.upper(), int(dilation or 1)))
    match = _EQUATION.fullmatch(item.equation)
    assert match is not None
    output, first, first_indices, second, second_indices = match.groups()
    loops = {name.upper() for name in item.loop_dims}
    found: dict[str, list[Index]] = {}
    for name, indices in (("O", output), (first, first_indices), (second, second_indices)):
        if name is None:
            continue
        found[name] = []
        for label in re.findall(r"\[(\w+)\]", indices):
            given = label.upper()
            form = ((given, 1),) if given in loops else relations.get(given, ((given, 1),))
            unknown = [loop for loop, _ in form if loop not in loops]
            if unknown:
                raise InputError(document.problem(
                    (index, "equation"), f"must use the loops {', '.join(item.loop_dims)} and the left sides of "
                    f"dimension_relations, got {unknown[0].lower()}"))
            if any(factor < 1 or factor > 2**20 for _, factor in form):
                raise InputError(document.problem((index, "dimension_relations"), "must have factors >= 1"))
            found[name].append(form)
    return found


def _elements(sizes: dict[str, int], indices: list[Index]) -> int:
    return prod(sum(factor * (sizes[loop] - 1) for loop, factor in index) + 1 for index in indices)


def _layer(document: Document, index: int, item: _ZigZagLayer, place: dict[int, int], notes: list[str]) -> Layer:
    sizes = dict(zip((name.upper() for name in item.loop_dims), item.loop_sizes, strict=True))
    operands = _operands(document, index, item)
    sources = _sources(document, index, item, place)
    name = item.name or f"layer{item.id}"
    bits = item.operand_precision
    final = bits.O_final or bits.O or 8
    inputs = tuple(sources.values()) or (-1,)
    if item.operator_type in _VECTOR:
        shaped = [indices for operand, indices in operands.items() if operand != "O"
                  and (operand == "I" or item.operator_type in ("Add", "Mul", "Max"))]
        return Layer(name=name, op=_VECTOR[item.operator_type], vector_ops=prod(sizes.values()),
                     in_elements=sum(_elements(sizes, indices) for indices in shaped),
                     out_elements=_elements(sizes, operands["O"]), input_bits=bits.I or 8, weight_bits=bits.W or 8,
                     output_bits=final, inputs=inputs)
    second = [operand for operand in operands if operand not in ("O", "I")]
    if "I" not in operands or len(second) != 1:
        raise InputError(document.problem((index, "equation"), "must be a product of I and one other operand, "
                                          f"got {item.equation[:80]!r}"))
    values, remarks = nest(sizes, operands["O"], operands[second[0]], operands["I"])
    notes += [f"{name}: {remark}" for remark in remarks]
    if second[0] == "W" and "W" in sources:
        values["op"] = "attention"  # both operands are computed: no weights
    values |= _padding(item, values)
    return Layer(name=name, **values, weight_bits=bits.W or 8, input_bits=bits.I or 8,
                 output_bits=final, inputs=inputs)


def _padding(item: _ZigZagLayer, values: dict[str, Any]) -> dict[str, int]:
    """Padding as given, or what the stated input sizes leave."""
    found = {}
    for position, dim in enumerate(item.pr_loop_dims or ()):
        axis = dim.upper().removeprefix("I").lower()
        if axis not in ("y", "x"):
            continue
        if item.padding is not None:
            pad = sum(item.padding[position])
        else:
            extent = (values[f"o{axis}"] - 1) * values.get(f"stride_{axis}", 1) \
                + (values[f"f{axis}"] - 1) * values.get(f"dilation_{axis}", 1) + 1
            pad = max(0, extent - item.pr_loop_sizes[position]) if item.pr_loop_sizes else 0
        found[f"pad_{axis}"] = pad
    return found
