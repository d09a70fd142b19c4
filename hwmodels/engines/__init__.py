"""The kinds of engine: how many cycles a tile takes on them, one file per kind.

    common            nests of a layer, the compute form that all kinds share
    systolic          ws, os, is arrays: closed forms with fill, drain and overlap
    row_stationary    rs: Eyeriss-like
    vector            the vector unit, also as a place for depthwise convolutions
    precision         operands wider or narrower than the PEs
    sparsity          zero skipping by pattern
    plugins           kinds of other packages

Every array kind provides `forms(layer, engine) -> list[Form]`: the ways it can run a layer, of which the best is taken.
The compute of a tile is u_m u_n u_k + v_m v_n v_k with u, v depending on the tile's size along one role each; this
covers all kinds and makes the sum over all tiles a product of sums, which the mapping search rests on.

How to write one: README.md in this folder.
"""

from hwmodels.engine import DATAFLOWS, Engine
from hwmodels.engines import row_stationary, systolic
from hwmodels.engines.common import Form
from hwmodels.engines.plugins import plugin_forms
from hwmodels.network import Layer

__all__ = ["Form", "forms"]


def forms(layer: Layer, engine: Engine) -> list[Form]:
    """The ways `engine` can run a matrix layer."""
    if engine.dataflow not in DATAFLOWS:
        return plugin_forms(layer, engine)
    return (row_stationary if engine.dataflow == "rs" else systolic).forms(layer, engine)
