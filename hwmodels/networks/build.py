"""A small builder: write a network as its paper does, get the layers of `hwmodels.network`.

A `Value` is what flows between layers: its producers and its size (`c` channels x `h` rows x `w` columns per batch
element; a token sequence is `c` features x `h` tokens x 1). Batch normalisation, bias and activation are folded into
the convolution or product before them: their scalar operations become its epilogue (`vector_ops`), their parameters its
`extra_parameters`. Residual sums, pooling, softmax and layer norms stay layers of the vector unit. Concatenation,
slicing and reshaping move nothing: consumers name several producers.

Scalar operations per element (`SCALAR_OPS`) count what a vector unit executes: a ReLU is one, an exponential or a
reciprocal is one (tables or piecewise polynomials are the rule in NPUs), layer norm is mean, centring, square, mean,
scaling, gain, shift.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hwmodels.errors import InvalidLayer
from hwmodels.network import Layer, Network

__all__ = ["SCALAR_OPS", "Builder", "Value", "out_size", "touched_pad"]

# Scalar operations per output element [-]
SCALAR_OPS = {
    "none": 0, "relu": 1, "relu6": 2, "leaky_relu": 2, "sigmoid": 3, "tanh": 3, "swish": 4, "hard_swish": 4, "gelu": 6,
    "batch_norm": 2, "layer_norm": 7, "rms_norm": 4, "softmax": 5, "bilinear": 7, "rotary": 3,
}


class Value(NamedTuple):
    """An intermediate tensor: indices of the layers that wrote it (-1 = network input), and its size [elements]."""

    producers: tuple[int, ...]
    c: int
    h: int = 1
    w: int = 1

    @property
    def elements(self) -> int:
        """Elements of one batch element [-]."""
        return self.c * self.h * self.w

    def reshape(self, c: int, h: int = 1, w: int = 1) -> "Value":
        """The same elements under another shape; free."""
        if c * h * w != self.elements:
            raise InvalidLayer("reshape", f"a shape of {self.elements} elements", (c, h, w))
        return Value(self.producers, c, h, w)

    def part(self, c: int) -> "Value":
        """`c` of the channels; free."""
        return self._replace(c=c)


def out_size(size: int, kernel: int, stride: int, pad: int, dilation: int = 1, *, ceil: bool = False) -> int:
    """Output extent of a window over `size` elements with `pad` elements added in total [elements]."""
    room = size + pad - (kernel - 1) * dilation - 1
    return (-(-room // stride) if ceil else room // stride) + 1


def touched_pad(size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> int:
    """Padded elements that the windows really read, both sides together [elements]."""
    extent = (out - 1) * stride + (kernel - 1) * dilation + 1
    return min(before, extent) + max(0, extent - before - size)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class Builder:
    """Collects layers; every method returns the `Value` the new layer writes.

    Parameters
    ----------
    name, source : of the network.
    batch : inferences computed together [-].
    """

    def __init__(self, name: str, source: str = "", *, batch: int = 1) -> None:
        self.name, self.source, self.batch = name, source, batch
        self.layers: list[Layer] = []
        self._names: dict[str, int] = {}

    def network(self, *notes: str) -> Network:
        """The network built so far."""
        return Network(name=self.name, layers=tuple(self.layers), source=self.source, notes=notes)

    @staticmethod
    def input(c: int, h: int = 1, w: int = 1) -> Value:
        """A network input."""
        return Value((-1,), c, h, w)

    @staticmethod
    def concat(*values: Value) -> Value:
        """Concatenation along the channels; free."""
        producers = tuple(sorted({p for value in values for p in value.producers}))
        return values[0]._replace(producers=producers, c=sum(value.c for value in values))

    def add_layer(self, name: str, op: str, inputs: Sequence[Value], **sizes: int | str) -> int:
        """Append a layer, named `name` (numbered when taken); its index."""
        count = self._names[name] = self._names.get(name, 0) + 1
        unique = name if count == 1 else f"{name}_{count}"
        producers = tuple(sorted({p for value in inputs for p in value.producers}))
        self.layers.append(Layer(name=unique, op=op, inputs=producers, **sizes))  # type: ignore[arg-type]
        return len(self.layers) - 1

    # ---- matrix layers --------------------------------------------------------------------------------------------

    def conv(self, x: Value, k: int, kernel: int | Sequence[int] = 3, stride: int | Sequence[int] = 1, *,
             groups: int = 1,
             dilation: int | Sequence[int] = 1, pad: int | Sequence[int] | None = None, same: bool = False,
             norm: bool = True, bias: bool = False, act: str = "relu", name: str = "conv") -> Value:
        """Convolution with folded batch norm or bias, and activation.

        `pad` is per side (default: half the dilated kernel); `same` pads as TensorFlow does:
        output = ceil(size / stride).
        """
        (fy, fx), (sy, sx), (dy, dx) = _pair(kernel), _pair(stride), _pair(dilation)
        py, px = _pair(pad) if pad is not None else ((fy - 1) * dy // 2, (fx - 1) * dx // 2)
        if same:
            oy, ox = -(-x.h // sy), -(-x.w // sx)
            py = max(0, (oy - 1) * sy + (fy - 1) * dy + 1 - x.h) // 2
            px = max(0, (ox - 1) * sx + (fx - 1) * dx + 1 - x.w) // 2
        else:
            oy, ox = out_size(x.h, fy, sy, 2 * py, dy), out_size(x.w, fx, sx, 2 * px, dx)
        if x.c % groups or k % groups:
            raise InvalidLayer(f"{self.name}.{name}.groups", f"a divisor of {x.c} and {k}", groups)
        elements = self.batch * k * oy * ox
        index = self.add_layer(
            name, "depthwise" if groups == x.c > 1 else "conv", [x], batch=self.batch, groups=groups, k=k // groups,
            c=x.c // groups, oy=oy, ox=ox, fy=fy, fx=fx, stride_y=sy, stride_x=sx, dilation_y=dy, dilation_x=dx,
            pad_y=touched_pad(x.h, oy, fy, sy, dy, py), pad_x=touched_pad(x.w, ox, fx, sx, dx, px),
            vector_ops=elements * ((norm or bias) + SCALAR_OPS[act]), extra_parameters=k * (2 * norm + bias))
        return Value((index,), k, oy, ox)

    def depthwise(self, x: Value, kernel: int | Sequence[int] = 3, stride: int | Sequence[int] = 1, *,
                  same: bool = False,
                  norm: bool = True, bias: bool = False, act: str = "relu", name: str = "dw") -> Value:
        """Depthwise convolution, channel multiplier 1."""
        return self.conv(x, x.c, kernel, stride, groups=x.c, same=same, norm=norm, bias=bias, act=act, name=name)

    def transposed(self, x: Value, k: int, kernel: int, stride: int, *, pad: int = 0, output_pad: int = 0,
                   norm: bool = True, bias: bool = False, act: str = "relu", name: str = "deconv") -> Value:
        """Transposed convolution as its equivalent product; summing the overlaps is the epilogue."""
        oy, ox = ((size - 1) * stride - 2 * pad + kernel + output_pad for size in (x.h, x.w))
        index = self.add_layer(
            name, "conv", [x], batch=self.batch, k=k * kernel * kernel, c=x.c, oy=x.h, ox=x.w,
            vector_ops=self.batch * (k * kernel * kernel * x.h * x.w + k * oy * ox * ((norm
                                                                                       or bias) + SCALAR_OPS[act])),
            extra_parameters=k * (2 * norm + bias))
        return Value((index,), k, oy, ox)

    def gemm(self, x: Value, n: int, *, bias: bool = True, act: str = "none", extra: int = 0, sharing: str = "",
             name: str = "fc") -> Value:
        """Product of every token (`x.h * x.w` of them) with an `x.c` x `n` weight."""
        tokens = x.h * x.w
        index = self.add_layer(
            name, "gemm", [x], batch=self.batch, oy=tokens, k=n, c=x.c, sharing_group=sharing,
            vector_ops=self.batch * tokens * n * (bias + SCALAR_OPS[act]), extra_parameters=bias * n + extra)
        return Value((index,), n, x.h, x.w)

    def attention(self, q: Value, kv: Value, heads: int, *, kv_heads: int = 0, head_dim: int = 0, context: int = 0,
                  windows: int = 1, sequential: int = 1, name: str = "attn") -> Value:
        """Scores, softmax and values of dense multi-head attention.

        `q` holds `q.h * q.w` queries; keys and values have `context` tokens (default: those of `kv`). Query heads that
        share a key/value head are stacked along the rows. `windows` splits queries and keys into independent windows;
        `sequential` > 1 means one query at a time (a decoder).
        """
        kv_heads = kv_heads or heads
        dim = head_dim or q.c // heads
        queries, keys = q.h * q.w // windows, (context or kv.h * kv.w) // windows
        if heads % kv_heads:
            raise InvalidLayer(f"{self.name}.{name}.heads", f"a multiple of kv_heads = {kv_heads}", heads)
        groups, rows = self.batch * kv_heads * windows, queries * (heads // kv_heads) // sequential
        scores = self.add_layer(f"{name}.scores", "attention", [q, kv], groups=groups, oy=rows, k=keys, c=dim,
                                repeat=sequential)
        cells = self.batch * heads * windows * queries * keys
        weights = self.add_layer(f"{name}.softmax", "softmax", [Value((scores,), 1)], in_elements=cells,
                                 out_elements=cells, vector_ops=(SCALAR_OPS["softmax"] + 1) * cells)
        index = self.add_layer(f"{name}.values", "attention", [Value((weights,), 1), kv], groups=groups, oy=rows, k=dim,
                               c=keys, repeat=sequential)
        return Value((index,), heads * dim, q.h, q.w)

    def lstm(self, x: Value, hidden: int, *, directions: int = 1, stepwise: bool = False, biases: int = 2,
             name: str = "lstm") -> Value:
        """LSTM layer over `x.h` time steps: input projection of all steps, then the recurrent product step by step.

        `stepwise`: the input of a step depends on the step before (a decoder), so both products run per step.
        """
        steps, gates = x.h, 4 * hidden
        # Four gate activations, then c = f c + i g and h = o tanh(c).
        cell_ops = self.batch * steps * directions * hidden * (4 * SCALAR_OPS["sigmoid"] + 4 + SCALAR_OPS["tanh"])
        extra = biases * gates * directions
        if stepwise:
            index = self.add_layer(name, "recurrent", [x], batch=self.batch, repeat=steps, groups=directions, k=gates,
                                   c=x.c + hidden, vector_ops=cell_ops, extra_parameters=extra)
            return Value((index,), hidden * directions, steps)
        projected = self.gemm(x, gates * directions, bias=False, name=f"{name}.input")
        index = self.add_layer(f"{name}.recurrent", "recurrent", [projected], batch=self.batch, repeat=steps,
                               groups=directions, k=gates, c=hidden, vector_ops=cell_ops, extra_parameters=extra)
        return Value((index,), hidden * directions, steps)

    # ---- vector layers --------------------------------------------------------------------------------------------

    def vector(self, op: str, inputs: Sequence[Value], shape: tuple[int, int, int], ops_per_element: int, *,
               parameters: int = 0, name: str = "") -> Value:
        """A layer of the vector unit that reads `inputs` and writes `shape`."""
        out = shape[0] * shape[1] * shape[2] * self.batch
        index = self.add_layer(name or op, op, inputs, in_elements=self.batch * sum(v.elements for v in inputs),
                               out_elements=out, vector_ops=out * ops_per_element, extra_parameters=parameters)
        return Value((index,), *shape)

    def pool(self, x: Value, kernel: int | Sequence[int], stride: int | Sequence[int] | None = None, *,
             pad: int | Sequence[int] = 0, ceil: bool = False, name: str = "pool") -> Value:
        """Max or average pooling; both read every element of the window once."""
        (fy, fx), (py, px) = _pair(kernel), _pair(pad)
        sy, sx = _pair(kernel if stride is None else stride)
        shape = (x.c, out_size(x.h, fy, sy, 2 * py, ceil=ceil), out_size(x.w, fx, sx, 2 * px, ceil=ceil))
        return self.vector("pool", [x], shape, fy * fx, name=name)

    def global_pool(self, x: Value, *, name: str = "gap") -> Value:
        """Mean over all positions."""
        return self.vector("pool", [x], (x.c, 1, 1), x.h * x.w, name=name)

    def add(self, a: Value, b: Value, *, act: str = "none", name: str = "add") -> Value:
        """Residual sum with its activation."""
        if a[1:] != b[1:]:
            raise InvalidLayer(f"{self.name}.{name}", f"a sum of equal shapes, {a[1:]}", b[1:])
        return self.vector("elementwise", [a, b], (a.c, a.h, a.w), 1 + SCALAR_OPS[act], name=name)

    def multiply(self, a: Value, b: Value, *, act: str = "none", name: str = "mul") -> Value:
        """Element-wise product in the shape of `a` (gates, squeeze-and-excite)."""
        return self.vector("elementwise", [a, b], (a.c, a.h, a.w), 1 + SCALAR_OPS[act], name=name)

    def upsample(self, x: Value, size: tuple[int, int], *, bilinear: bool = False, name: str = "upsample") -> Value:
        """Resize to `size`: nearest copies, bilinear blends four neighbours."""
        op, ops = ("elementwise", SCALAR_OPS["bilinear"]) if bilinear else ("copy", 1)
        return self.vector(op, [x], (x.c, *size), ops, name=name)

    def norm(self, x: Value, kind: str = "layer_norm", *, name: str = "norm") -> Value:
        """Layer norm (gain and shift), RMS norm (gain) or a batch norm that cannot be folded."""
        parameters = x.c if kind == "rms_norm" else 2 * x.c
        return self.vector("norm", [x], (x.c, x.h, x.w), SCALAR_OPS[kind], parameters=parameters, name=name)

    def activation(self, x: Value, kind: str, *, name: str = "act") -> Value:
        """An activation that follows no matrix layer."""
        return self.vector("activation", [x], (x.c, x.h, x.w), SCALAR_OPS[kind], name=name)

    def softmax(self, x: Value, *, name: str = "softmax") -> Value:
        """Softmax over the channels."""
        return self.vector("softmax", [x], (x.c, x.h, x.w), SCALAR_OPS["softmax"], name=name)

    def embedding(self, tokens: int, rows: int, width: int, *, sharing: str = "", name: str = "embedding") -> Value:
        """`tokens` rows fetched from a table of `rows` x `width` parameters."""
        elements = self.batch * tokens * width
        index = self.add_layer(name, "gather", [self.input(1)], in_elements=elements, out_elements=elements,
                               stored_parameters=rows * width, sharing_group=sharing)
        return Value((index,), width, tokens)
