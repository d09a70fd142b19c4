"""The vector unit: every operator that is no matrix product, and depthwise convolutions where the engine allows.

Model
-----
cycles = ceil(operations / lanes), one scalar operation (or one multiply-accumulate) per lane and cycle. A layer streams
its operands through: beside the DRAM, never below bytes / bandwidth; its head and tail are a few cycles and are left
out.

Limits
------
Reductions (softmax, norms) count their passes as operations; their row is on chip between the passes.
"""

from hwmodels.engine import Engine
from hwmodels.engines.common import SPATIAL, STREAM, Form, nest_of
from hwmodels.network import Layer

__all__ = ["depthwise_form", "vector_cycles"]


def vector_cycles(operations: int, engine: Engine) -> int:
    """Cycles of the vector unit [cycle]."""
    return -(-operations // engine.vector_lanes)


def depthwise_form(layer: Layer, engine: Engine) -> Form:
    """A depthwise convolution with one multiply-accumulate per lane and cycle; groups share the lanes evenly."""
    nest = nest_of(layer)
    units = ((STREAM, 0.0, 1.0, 0.0, 1.0 / engine.vector_lanes), (SPATIAL, 1.0, 1.0, 0.0, 0.0),
             (SPATIAL, 1.0, float(nest.window), 0.0, 0.0))
    return Form("vector", (nest,), units, (1, 1, 1), (1,))
