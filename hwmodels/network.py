"""Layers and networks: what has to be computed, independent of any hardware.

A `Layer` is a loop nest. Convolutions and matrix products share one form,

    for each of `repeat` sequential steps, for each of `batch`, for each of `groups` (independent):
        out[oy, ox, k] += in[oy * stride_y + fy * dilation_y, ox * stride_x + fx * dilation_x, c] * w[k, c, fy, fx]

with `k` and `c` counted PER GROUP. A matrix product (M, N, K) is `oy=M, k=N, c=K`. Depthwise convolution is
`groups=channels, c=1`. Attention scores and values are `op="attention"` (both operands computed, no weights) with
one group per key/value head and batch element; the query heads that share a key/value head are stacked along `oy`.
A recurrent layer is the input projection (one product over all time steps) followed by the recurrent product with
`repeat = time steps`. A transposed convolution is the equivalent matrix product `oy, ox = input size`,
`k = K * fy * fx`, `fy = fx = 1`.

Counting convention: one MAC = one multiply-accumulate of a matrix product or convolution; attention is dense (no causal
halving); biases, norms, activations, pooling and element-wise work are vector operations, not MACs.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cached_property
from typing import final

from hwmodels.errors import InvalidLayer

__all__ = ["MATRIX_OPS", "OPS", "VECTOR_OPS", "Layer", "Network"]

MATRIX_OPS = ("conv", "depthwise", "gemm", "attention", "recurrent")
VECTOR_OPS = ("pool", "activation", "softmax", "norm", "elementwise", "gather", "copy")
OPS = MATRIX_OPS + VECTOR_OPS
SPARSITY_PATTERNS = ("dense", "n_m", "channel", "block", "random")

_POSITIVE = ("batch", "groups", "k", "c", "oy", "ox", "fy", "fx", "stride_y", "stride_x", "dilation_y", "dilation_x",
             "repeat", "weight_bits", "input_bits", "output_bits")
_NON_NEGATIVE = ("pad_y", "pad_x", "vector_ops", "in_elements", "out_elements", "extra_parameters",
                 "stored_parameters")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One schedulable unit of a network.

    Parameters
    ----------
    op : one of `OPS`.
    batch, groups, k, c, oy, ox, fy, fx : loop sizes [-]; `k`, `c` per group.
    stride_y, stride_x, dilation_y, dilation_x : [elements].
    pad_y, pad_x : padding, both sides together [elements]; padded elements are computed on but never stored in DRAM.
    repeat : sequential repetitions with the same weights (time steps) [-].
    weight_bits, input_bits, output_bits : precision of the operands [bit]. For `attention` the second computed operand
        has `weight_bits`.
    vector_ops : scalar operations of the vector unit [-]; on a matrix layer: its fused epilogue (bias, activation).
    in_elements, out_elements : for vector layers, elements read and written [-]; 0 on matrix layers (derived there).
    extra_parameters : parameters that are no weight of the loop nest (bias, norm scale and shift) [-].
    stored_parameters : parameters that exist but are not read as a whole: a table whose rows are fetched (they are in
        `in_elements`), experts that no token was sent to [-].
    inputs : indices of the producing layers inside the network, -1 = network input; None = the previous layer.
    weight_density, activation_density : non-zero fraction [-], in (0, 1].
    sparsity : pattern of the zeros, one of `SPARSITY_PATTERNS`.
    sharing_group : layers with the same non-empty name share one copy of their weights.
    exit_frac : probability that a request leaves the network after this layer, given that it has run it [-]; without
        meaning on the last layer.

    Raises
    ------
    InvalidLayer : a size below its minimum, an unknown op or pattern, a fraction outside its range.
    """

    name: str
    op: str
    batch: int = 1
    groups: int = 1
    k: int = 1
    c: int = 1
    oy: int = 1
    ox: int = 1
    fy: int = 1
    fx: int = 1
    stride_y: int = 1
    stride_x: int = 1
    dilation_y: int = 1
    dilation_x: int = 1
    pad_y: int = 0
    pad_x: int = 0
    repeat: int = 1
    weight_bits: int = 8
    input_bits: int = 8
    output_bits: int = 8
    vector_ops: int = 0
    in_elements: int = 0
    out_elements: int = 0
    extra_parameters: int = 0
    stored_parameters: int = 0
    inputs: tuple[int, ...] | None = None
    weight_density: float = 1.0
    activation_density: float = 1.0
    sparsity: str = "dense"
    sharing_group: str = ""
    exit_frac: float = 0.0

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise InvalidLayer(f"{self.name}.op", f"one of {', '.join(OPS)}", self.op)
        if self.sparsity not in SPARSITY_PATTERNS:
            raise InvalidLayer(f"{self.name}.sparsity", f"one of {', '.join(SPARSITY_PATTERNS)}", self.sparsity)
        for field in _POSITIVE:
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise InvalidLayer(f"{self.name}.{field}", "an integer >= 1", value)
        for field in _NON_NEGATIVE:
            value = getattr(self, field)
            if not isinstance(value, int) or value < 0:
                raise InvalidLayer(f"{self.name}.{field}", "an integer >= 0", value)
        for field in ("weight_density", "activation_density"):
            if not 0.0 < getattr(self, field) <= 1.0:
                raise InvalidLayer(f"{self.name}.{field}", "in (0, 1]", getattr(self, field))
        if not 0.0 <= self.exit_frac <= 1.0:
            raise InvalidLayer(f"{self.name}.exit_frac", "in [0, 1]", self.exit_frac)

    @property
    def is_matrix(self) -> bool:
        """True for the operators of the PE array, False for those of the vector unit."""
        return self.op in MATRIX_OPS

    @property
    def has_weights(self) -> bool:
        """True where the second operand is a parameter (not for attention and vector layers)."""
        return self.is_matrix and self.op != "attention"

    @property
    def macs(self) -> int:
        """Multiply-accumulates [-], dense; 0 for vector layers."""
        if not self.is_matrix:
            return 0
        return (self.repeat * self.batch * self.groups * self.k * self.c * self.oy * self.ox * self.fy * self.fx)

    @property
    def iy(self) -> int:
        """Input rows touched, padding included [elements]."""
        return (self.oy - 1) * self.stride_y + (self.fy - 1) * self.dilation_y + 1

    @property
    def ix(self) -> int:
        """Input columns touched, padding included [elements]."""
        return (self.ox - 1) * self.stride_x + (self.fx - 1) * self.dilation_x + 1

    @property
    def weight_elements(self) -> int:
        """Elements of the second operand (weights, or the computed one of attention) [-]; 0 for vector layers."""
        return self.groups * self.k * self.c * self.fy * self.fx if self.is_matrix else 0

    @property
    def input_elements(self) -> int:
        """Elements of the first operand without padding, all repeats [-]."""
        if not self.is_matrix:
            return self.in_elements
        rows, cols = max(1, self.iy - self.pad_y), max(1, self.ix - self.pad_x)
        return self.repeat * self.batch * self.groups * self.c * rows * cols

    @property
    def output_elements(self) -> int:
        """Elements produced, all repeats [-]."""
        if not self.is_matrix:
            return self.out_elements
        return self.repeat * self.batch * self.groups * self.k * self.oy * self.ox

    @property
    def parameters(self) -> int:
        """Trained parameters [-]."""
        return (self.weight_elements if self.has_weights else 0) + self.extra_parameters + self.stored_parameters

    @property
    def gemm(self) -> tuple[int, int, int, int]:
        """The nest as `groups` independent products per repeat: (groups, M, N, K) with M = batch * oy * ox."""
        return self.groups, self.batch * self.oy * self.ox, self.k, self.c * self.fy * self.fx


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A network flattened to layers in an order in which every producer precedes its consumers.

    Networks are equal when their layers are (whatever their names): costs and request columns are shared by content.

    Parameters
    ----------
    name : as in the zoo or the file.
    layers : at least one.
    source : paper, file or configuration the layers come from.
    notes : remarks a reader must see (unsupported operators, conventions).
    """

    name: str
    layers: tuple[Layer, ...]
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.layers:
            raise InvalidLayer(f"{self.name}.layers", "a list of at least one layer", 0)
        for index, layer in enumerate(self.layers):
            for producer in layer.inputs or ():
                if not -1 <= producer < index:
                    raise InvalidLayer(f"{self.name}.{layer.name}.inputs", f"indices in [-1, {index})", producer)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one inference [-]."""
        return sum(layer.macs for layer in self.layers)

    @cached_property
    def parameters(self) -> int:
        """Trained parameters [-]; a sharing group counts once."""
        seen: set[str] = set()
        total = 0
        for layer in self.layers:
            if layer.sharing_group and layer.sharing_group in seen:
                continue
            seen.add(layer.sharing_group)
            total += layer.parameters
        return total

    @cached_property
    def digest(self) -> str:
        """Content hash of the layers; equal networks have equal digests in every process."""
        text = repr([tuple(getattr(layer, f.name) for f in fields(layer)) for layer in self.layers])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def producers(self, index: int) -> tuple[int, ...]:
        """Indices of the layers whose output layer `index` reads (-1 = network input)."""
        given = self.layers[index].inputs
        return (index - 1,) if given is None else given

    @cached_property
    def exits(self) -> tuple[int, ...]:
        """Layers after which a request may leave; the end of the network is not one of them."""
        return tuple(index for index, layer in enumerate(self.layers[:-1]) if layer.exit_frac > 0.0)

    @cached_property
    def exit_shares(self) -> tuple[float, ...]:
        """Share of the requests that run the whole network, then of those that take each of `exits`; sum 1 [-]."""
        reach, shares = 1.0, []
        for index in self.exits:
            shares.append(reach * self.layers[index].exit_frac)
            reach -= shares[-1]
        return (max(0.0, reach), *shares)

    def with_exits(self, exits: Mapping[str, float]) -> "Network":
        """The same network with these exits only: name of a layer -> probability of leaving after it, given that the
        request has run it [-].

        Raises
        ------
        InvalidLayer : no layer has the name, it is the last one, or the probability is not in [0, 1].
        """
        names = [layer.name for layer in self.layers]
        for name in exits:
            if name not in names[:-1]:
                near = get_close_matches(name, names[:-1], n=1)
                rule = "the name of a layer before the last one"
                raise InvalidLayer(f"{self.name}.exits", rule, name, f"did you mean {near[0]!r}?" if near else "")
        layers = tuple(replace(layer, exit_frac=exits.get(layer.name, 0.0)) for layer in self.layers)
        return replace(self, layers=layers)

    def with_batch(self, count: int) -> "Network":
        """The network that computes `count` inferences together: weights once, activations of every one.

        Every layer's own batch is multiplied; attention has no weights to share, so its groups are.
        """
        if count == 1:
            return self
        layers = []
        for layer in self.layers:
            which = "groups" if layer.op == "attention" else "batch"
            many = {which: count * getattr(layer, which)} if layer.is_matrix else {}
            layers.append(replace(layer, vector_ops=count * layer.vector_ops, in_elements=count * layer.in_elements,
                                  out_elements=count * layer.out_elements, **many))
        return replace(self, layers=tuple(layers))

    def with_precision(self, weight_bits: int, activation_bits: int) -> "Network":
        """The same network with every layer at the given precision [bit]."""
        layers = tuple(replace(layer, weight_bits=weight_bits, input_bits=activation_bits, output_bits=activation_bits)
                       for layer in self.layers)
        return replace(self, layers=layers)
