"""Zero skipping: the share of the products that an engine still computes, by the pattern of the zeros.

Model
-----
Skipping shortens the accumulation. With density d of the skipped operands (both: their product):

    channel, n_m     d                       all lanes skip the same number: no imbalance
    block            d, in whole blocks      of 4 products: ceil(d K / 4) 4 / K
    random           min(1, d + sqrt(2 ln(L) d (1 - d) / K))
                     the slowest of L lanes with K products each: mean of the largest of L binomials, to first order
    dense            1

An engine that skips a share e of what can be skipped computes 1 - e (1 - share). Zeros of activations are random
whatever the weights' pattern.

Limits
------
No queue between lanes that would smooth the imbalance; the index overhead is the engine's efficiency.
"""

from math import log, sqrt

from hwmodels.engine import Engine
from hwmodels.network import Layer

__all__ = ["stored_weight_frac", "work_frac"]

_BLOCK = 4


def _random(density: float, products: int, lanes: int) -> float:
    return min(1.0, density + sqrt(2.0 * log(max(1, lanes)) * density * (1.0 - density) / products))


def work_frac(layer: Layer, engine: Engine) -> float:
    """Share of the accumulation that is left [-], in (0, 1]."""
    if engine.zero_skipping == "none":
        return 1.0
    products = layer.c * layer.fy * layer.fx
    lanes = min(engine.cols, layer.k)
    share = 1.0
    if engine.zero_skipping in ("weights", "both") and layer.has_weights:
        density = layer.weight_density
        if layer.sparsity in ("channel", "n_m"):
            share = density
        elif layer.sparsity == "block":
            share = min(1.0, -(-density * products // _BLOCK) * _BLOCK / products)
        elif layer.sparsity == "random":
            share = _random(density, products, lanes)
    if engine.zero_skipping in ("activations", "both"):
        share *= _random(layer.activation_density, products, min(engine.rows, layer.batch * layer.oy * layer.ox))
    return 1.0 - engine.skipping_efficiency_frac * (1.0 - min(1.0, share))


def stored_weight_frac(layer: Layer, engine: Engine) -> float:
    """Stored weights / all weights, in bytes [-]: the non-zero ones and, unless whole channels go, a bit for each."""
    if engine.zero_skipping not in ("weights", "both") or layer.sparsity == "dense" or not layer.has_weights:
        return 1.0
    mask = 0.0 if layer.sparsity == "channel" else 1.0 / layer.weight_bits
    return min(1.0, layer.weight_density + mask)
