"""Matrix operators of ONNX as loop nests: convolutions, products, attention, recurrent cells.

Counts follow the table of `hwmodels.network`: dense attention, no biases. Every function takes the converter and the
node, appends layers, and returns False for a form it has no rule for.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hwmodels.networks.build import SCALAR_OPS, touched_pad

if TYPE_CHECKING:
    from dse.readers.onnx_layers import Converter

__all__ = ["MATRIX", "DoesNotFit"]


class DoesNotFit(Exception):
    """Operands whose sizes contradict each other."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DoesNotFit(message)


# ---- convolutions ------------------------------------------------------------------------------------------------


def _pads_before(attributes: dict[str, Any], sizes: list[int], outs: list[int], extents: list[int],
                 strides: list[int]) -> list[int]:
    """Padding at the start of every axis [elements]."""
    auto, rank = attributes.get("auto_pad", "NOTSET"), len(sizes)
    if auto == "VALID":
        return [0] * rank
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = [max(0, (o - 1) * s + e - n) for n, o, e, s in zip(sizes, outs, extents, strides, strict=True)]
        return [t // 2 if auto == "SAME_UPPER" else -(-t // 2) for t in totals]
    return list(attributes.get("pads", [0] * (2 * rank)))[:rank]


def _groups(attributes: dict[str, Any]) -> int:
    groups = int(attributes.get("group", 1))
    _require(groups >= 1, f"group must be >= 1, got {groups}")
    return groups


def _conv(x_at: int, w_at: int, bias_at: int) -> Callable[["Converter", Any], bool]:
    def convert(c: "Converter", node: Any) -> bool:
        x, w, out = node.input[x_at], node.input[w_at], node.output[0]
        bias = node.input[bias_at] if len(node.input) > bias_at else ""
        source, weight, made, attributes = c.shape(x), c.shape(w), c.shape(out), c.attributes(node)
        groups, rank = _groups(attributes), len(source) - 2
        _require(rank >= 1 and len(weight) == rank + 2,
                 f"weight must have the rank of the input, {rank + 2}, got {len(weight)}")
        _require(source[1] == groups * weight[1] and weight[0] % groups == 0,
                 f"channels must be groups x weight channels, {groups} x {weight[1]}, got {source[1]}")
        kernel, sizes, outs = list(weight[2:]), list(source[2:]), list(made[2:])
        strides = list(attributes.get("strides", [1] * rank))
        dilations = list(attributes.get("dilations", [1] * rank))
        extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        before = _pads_before(attributes, sizes, outs, extents, strides)
        batch, channels = source[0], weight[1]
        while rank > 2:  # a deeper axis: one slice of outputs after the other, its kernel part of the reduction
            batch, channels, rank = batch * outs.pop(0), channels * kernel.pop(0), rank - 1
            for axis in (sizes, strides, dilations, before):
                axis.pop(0)
        if rank == 1:
            for axis, neutral in ((kernel, 1), (sizes, 1), (outs, 1), (strides, 1), (dilations, 1), (before, 0)):
                axis.append(neutral)
        pads = [max(0, touched_pad(*values)) for values in zip(sizes, outs, kernel, strides, dilations, before,
                                                               strict=True)]
        k, epilogue = weight[0] // groups, math.prod(made) if bias else 0
        if not c.is_constant(w):  # computed kernels: a product of two computed tensors, as in attention
            c.add(node, "attention", [x, w], out, batch=batch, groups=groups, oy=outs[0] * outs[1], k=k,
                  c=channels * kernel[0] * kernel[1], vector_ops=epilogue)
            return True
        c.add(node, "depthwise" if groups == source[1] > 1 else "conv", [x, w, bias], out, weight=w, parameters=[bias],
              batch=batch, groups=groups, k=k, c=channels, oy=outs[0], ox=outs[1], fy=kernel[0], fx=kernel[1],
              stride_y=strides[0], stride_x=strides[1], dilation_y=dilations[0], dilation_x=dilations[1],
              pad_y=pads[0], pad_x=pads[1], vector_ops=epilogue)
        return True

    return convert


def _conv_transpose(c: "Converter", node: Any) -> bool:
    x, w, out = node.input[0], node.input[1], node.output[0]
    bias = node.input[2] if len(node.input) > 2 else ""
    source, weight = c.shape(x), c.shape(w)
    groups = _groups(c.attributes(node))
    _require(len(source) == len(weight) >= 3,
             f"weight must have the rank of the input, >= 3, got {source} and {weight}")
    _require(source[1] == weight[0] and source[1] % groups == 0,
             f"channels must be those of the weight, {weight[0]}, got {source[1]}")
    rows, cols = math.prod(source[2:-1]), source[-1]
    k = weight[1] * math.prod(weight[2:])
    operands: dict[str, Any] = {"weight": w, "parameters": [bias]} if c.is_constant(w) else {}
    # The scatter-add of overlapping outputs is the epilogue.
    scatter = source[0] * groups * k * rows * cols
    c.add(node, "conv" if operands else "attention", [x, w, bias], out, batch=source[0], groups=groups, k=k,
          c=source[1] // groups, oy=rows, ox=cols, vector_ops=scatter + (c.size(out) if bias else 0), **operands)
    return True


# ---- products ----------------------------------------------------------------------------------------------------


def _product(c: "Converter", node: Any, a: str, b: str, sizes: tuple[int, int, int, int, int], out: str, *,
             bias: str = "", swap: bool = False) -> None:
    """A batch of products (M, K) x (K, N): `sizes` is (batches of a, batches of b, M, N, K)."""
    batches_a, batches_b, m, n, k = sizes
    reads = [a, b]
    if swap or (c.is_constant(a) and not c.is_constant(b)):  # weights on the left: out' = b' a'
        a, b, batches_a, batches_b, m, n = b, a, batches_b, batches_a, n, m
    total = max(batches_a, batches_b)
    operands: dict[str, Any] = {}
    if c.is_constant(b):
        operands = {"weight": b, "parameters": [bias]}
    c.add(node, "gemm" if operands else "attention", [a, b] if operands else reads, out, groups=batches_b,
          oy=m * total // batches_b, k=n, c=k, vector_ops=c.size(out) if bias else 0, **operands)


def _matmul(a_at: int, b_at: int) -> Callable[["Converter", Any], bool]:
    def convert(c: "Converter", node: Any) -> bool:
        a, b, out = node.input[a_at], node.input[b_at], node.output[0]
        left, right = c.shape(a), c.shape(b)
        _require(len(left) >= 1 and len(right) >= 1, f"operands must have sizes, got {left} and {right}")
        left = (1, *left) if len(left) == 1 else left
        right = (*right, 1) if len(right) == 1 else right
        _require(left[-1] == right[-2], f"inner sizes must be equal, got {left[-1]} and {right[-2]}")
        total = c.size(out) // max(1, left[-2] * right[-1])
        batches_a, batches_b = math.prod(left[:-2]), math.prod(right[:-2])
        # Broadcasting on both sides (never seen outside tests): as many groups as products.
        if batches_a < total and batches_b < total:
            batches_a = batches_b = total
        _product(c, node, a, b, (batches_a, batches_b, left[-2], right[-1], left[-1]), out)
        return True

    return convert


def _gemm(c: "Converter", node: Any) -> bool:
    a, b, out = node.input[0], node.input[1], node.output[0]
    attributes = c.attributes(node)
    left, right = c.shape(a), c.shape(b)
    _require(len(left) == 2 and len(right) == 2, f"both operands must be matrices, got {left} and {right}")
    m, k = (left[1], left[0]) if attributes.get("transA") else left
    k2, n = (right[1], right[0]) if attributes.get("transB") else right
    _require(k == k2, f"inner sizes must be equal, got {k} and {k2}")
    _product(c, node, a, b, (1, 1, m, n, k), out, bias=node.input[2] if len(node.input) > 2 else "")
    return True


def _einsum_terms(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """Subscripts with `...` written out, and the output's."""
    left, _, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    _require(len(terms) == len(ranks), f"{len(ranks)} operands and {len(terms)} subscripts in '{equation}'")
    spare = [chr(code) for code in range(0x3B1, 0x3B1 + 24)]
    width = max([rank - len(term.replace("...", "")) for term,
                 rank in zip(terms, ranks, strict=False) if "..." in term],
                default=0)
    full = []
    for term, rank in zip(terms, ranks, strict=True):
        own = rank - len(term.replace("...", ""))
        full.append(term.replace("...", "".join(spare[width - own:width])))
    if "->" in equation:
        return full, right.replace("...", "".join(spare[:width]))
    letters = "".join(full)
    implicit = "".join(spare[:width]) + "".join(sorted({x for x in letters if letters.count(x) == 1
                                                        and x not in spare}))
    return full, implicit


def _einsum(c: "Converter", node: Any) -> bool:
    names, out = [name for name in node.input if name], node.output[0]
    shapes = [c.shape(name) for name in names]
    terms, result = _einsum_terms(c.attributes(node)["equation"], [len(shape) for shape in shapes])
    for term, shape in zip(terms, shapes, strict=True):
        _require(len(term) == len(shape), f"a subscript for each size: '{term}' and {shape}")
    if len(names) == 1:
        c.add(node, "elementwise", names, out, in_elements=c.size(names[0]), out_elements=c.size(out),
              vector_ops=c.size(names[0]))
        return True
    if len(names) != 2:
        return False
    extent: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, size in zip(term, shape, strict=True):
            extent[letter] = max(extent.get(letter, 1), size)
    a, b = set(terms[0]), set(terms[1])
    swap = c.is_constant(names[0]) and not c.is_constant(names[1])
    if swap:
        a, b, names = b, a, names[::-1]

    def product(letters: set[str]) -> int:
        return math.prod(extent[letter] for letter in letters)

    kept = set(result)
    groups, m, n = product(a & b & kept), product((a - b) & kept), product((b - a) & kept)
    reduced = product((a | b) - kept)
    operands: dict[str, Any] = {"weight": names[1]} if c.is_constant(names[1]) else {}
    c.add(node, "gemm" if operands else "attention", names, out, groups=groups, oy=m, k=n, c=reduced, **operands)
    return True


def _attention(c: "Converter", node: Any) -> bool:
    q, k, v, out = node.input[0], node.input[1], node.input[2], node.output[0]
    attributes = c.attributes(node)
    past = node.input[4] if len(node.input) > 4 else ""
    query, key, value = c.shape(q), c.shape(k), c.shape(v)
    _require(len(query) == len(key) == len(value) in (3, 4),
             f"Q, K and V must have 3 or 4 sizes each, got {query}, {key} and {value}")
    if len(query) == 4:
        batch, heads, tokens, dim = query
        kv_heads, context, value_dim = key[1], key[2], value[3]
    else:
        if not attributes.get("q_num_heads") or not attributes.get("kv_num_heads"):
            raise DoesNotFit("3-D operands must come with q_num_heads and kv_num_heads")
        heads, kv_heads = int(attributes["q_num_heads"]), int(attributes["kv_num_heads"])
        batch, tokens, context = query[0], query[1], key[1]
        _require(heads >= 1 and kv_heads >= 1, f"q_num_heads and kv_num_heads must be >= 1, got {heads} and {kv_heads}")
        dim, value_dim = query[2] // heads, value[2] // kv_heads
    _require(kv_heads >= 1 and heads % kv_heads == 0,
             f"query heads must be a multiple of the key/value heads {kv_heads}, got {heads}")
    if past:
        _require(len(c.shape(past)) == 4, f"past_key must have 4 sizes, got {c.shape(past)}")
        context += c.shape(past)[2]
    rows, groups, cells = tokens * heads // kv_heads, batch * kv_heads, batch * heads * tokens * context
    scores = c.add(node, "attention", [q, k, past], out, suffix=".scores", groups=groups, oy=rows, k=context, c=dim)
    masked = len(node.input) > 3 and bool(node.input[3])
    soft = c.add(node, "softmax", node.input[3:4], out, suffix=".softmax", after=scores, in_elements=cells,
                 out_elements=cells, vector_ops=(SCALAR_OPS["softmax"] + 1 + masked) * cells)
    c.add(node, "attention", [v], out, suffix=".values", after=soft, groups=groups, oy=rows, k=value_dim, c=context)
    return True


# ---- recurrent cells ---------------------------------------------------------------------------------------------

# (gates, scalar operations per hidden unit and step)
_CELLS = {"LSTM": (4, 4 * SCALAR_OPS["sigmoid"] + 4 + SCALAR_OPS["tanh"]), "GRU": (3, 3 * SCALAR_OPS["sigmoid"] + 5),
          "RNN": (1, SCALAR_OPS["tanh"] + 1)}


def _recurrent(c: "Converter", node: Any) -> bool:
    x, w, r = node.input[:3]
    bias = node.input[3] if len(node.input) > 3 else ""
    outs = [name for name in node.output if name]
    gates, ops = _CELLS[node.op_type]
    source, weight, recurrent = c.shape(x), c.shape(w), c.shape(r)
    _require(len(source) == len(weight) == len(recurrent) == 3,
             f"X, W and R must have 3 sizes each, got {source}, {weight} and {recurrent}")
    steps, batch = (source[1], source[0]) if c.attributes(node).get("layout") else source[:2]
    directions, hidden = recurrent[0], recurrent[2]
    _require(weight[1] == gates * hidden and weight[2] == source[2],
             f"weight must be {gates} x {hidden} by {source[2]}, got {weight[1]} by {weight[2]}")
    states = list(node.input[5:7])
    peepholes = node.input[7] if len(node.input) > 7 else ""
    first = c.add(node, "gemm", [x], outs[0], suffix=".input", weight=w, batch=batch, oy=steps,
                  k=directions * gates * hidden,
                  c=source[2])
    c.add(node, "recurrent", states, outs[0], suffix=".recurrent", after=first, weight=r, parameters=[bias, peepholes],
          batch=batch, repeat=steps, groups=directions, k=gates * hidden, c=hidden,
          vector_ops=batch * steps * directions * hidden * ops)
    return True


MATRIX: dict[str, Callable[["Converter", Any], bool]] = {
    "Conv": _conv(0, 1, 2), "ConvInteger": _conv(0, 1, 4), "QLinearConv": _conv(0, 3, 8),
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul(0, 1), "MatMulInteger": _matmul(0, 1), "QLinearMatMul": _matmul(0, 3), "Gemm": _gemm,
    "Einsum": _einsum, "Attention": _attention, "LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent,
}
