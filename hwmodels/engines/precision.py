"""Operands wider or narrower than the PEs.

Model
-----
A PE multiplies two native-width operands per cycle. An operand of b bits on native width w is split into ceil(b / w)
parts; every pair of parts is one pass over the array. In a `packed` engine a PE is a composition of narrow multipliers
(Bit Fusion): floor(w / b_w) floor(w / b_x) products of the same sum per cycle, so that the accumulation gets shorter.

Limits
------
Floating-point PEs take narrower operands one per cycle and cannot compose wider ones. Packing needs operands that
divide the width to be worth it; the adder of the composition is free.

References
----------
H. Sharma et al., "Bit Fusion", ISCA 2018, doi:10.1109/ISCA.2018.00069.
"""

from typing import NamedTuple

from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.network import Layer

__all__ = ["Rate", "rate", "unsupported"]


class Rate(NamedTuple):
    """Passes over the array per product, and products per PE and cycle [-]; one of them is 1."""

    passes: int
    products: int


def rate(layer: Layer, engine: Engine) -> Rate:
    """How `engine` multiplies the operands of `layer`."""
    native = PRECISION_BITS[engine.precision]
    passes = -(-layer.weight_bits // native) * -(-layer.input_bits // native)
    if passes > 1 or engine.multi_precision != "packed" or engine.precision in ("fp16", "bf16"):
        return Rate(passes, 1)
    return Rate(1, (native // layer.weight_bits) * (native // layer.input_bits))


def unsupported(layer: Layer, engine: Engine) -> str:
    """Why the precision of a matrix layer cannot run, as a sentence; empty if it can."""
    native = PRECISION_BITS[engine.precision]
    widest = max(layer.weight_bits, layer.input_bits)
    if widest > native and (engine.multi_precision == "fixed" or engine.precision in ("fp16", "bf16")):
        return (f"{layer.name} needs {widest}-bit operands, the engine multiplies {engine.precision} only "
                f"(multi_precision: {engine.multi_precision})")
    return ""
