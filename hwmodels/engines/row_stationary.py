"""Row-stationary arrays (Eyeriss).

Model
-----
A PE keeps a row of a filter and slides it over a row of the input: a set of FY x e PEs computes e output rows of one filter
and one channel. Sets that fit the array side by side share the filters (n) and channels (k).

    vertical   floor(R / FY) sets, or ceil(FY / R) passes if the window is taller than the array
    horizontal e = min(OY, C) output rows, floor(C / e) sets
    cycles     b ceil(OY / e) OX FX passes ceil(N / sets along n) ceil(K / sets along k)

References
----------
Y.-H. Chen, J. Emer, V. Sze, "Eyeriss", ISCA 2016, doi:10.1109/ISCA.2016.40; JSSC 52(1), 2017,
doi:10.1109/JSSC.2016.2616357.
"""

from hwmodels.area import accumulator_bits
from hwmodels.engine import Engine
from hwmodels.engines.common import SPATIAL, STRIPS, Form, nest_of
from hwmodels.engines.precision import rate
from hwmodels.engines.sparsity import work_frac
from hwmodels.network import Layer

__all__ = ["forms"]


def forms(layer: Layer, engine: Engine) -> list[Form]:
    """One form per division of the sets over filters and channels, the fewest cycles first."""
    passes, products = rate(layer, engine)
    shrink = work_frac(layer, engine) / products
    nest = nest_of(layer)
    window_passes = -(-layer.fy // engine.rows)
    down = max(1, engine.rows // layer.fy)
    width = min(nest.oy, engine.cols)
    strips = -(-nest.oy // width)
    width = -(-nest.oy // strips)
    across = max(1, engine.cols // width)
    per_row = layer.fx * window_passes * passes
    best: list[tuple[float, int, int]] = []
    for along_k in range(1, down * across + 1):
        along_n = down * across // along_k
        cycles = -(-nest.n // along_n) * -(-nest.c // along_k)
        best.append((cycles, along_k, along_n))
    _, along_k, along_n = min(best)
    units = ((STRIPS, float(width), per_row * shrink, 0.0, 0.0), (SPATIAL, float(along_n), 1.0, 0.0, 0.0),
             (SPATIAL, float(along_k), 1.0, 0.0, 0.0))
    scratchpad = (layer.input_bits + layer.weight_bits + 2 * accumulator_bits(engine.precision)) / 8.0
    hop = accumulator_bits(engine.precision) / 8.0 / layer.fx
    return [Form(f"rs {along_n}n x {along_k}k", (nest,), units, (1, along_n, along_k), (1,), 1.0, hop, scratchpad)]
