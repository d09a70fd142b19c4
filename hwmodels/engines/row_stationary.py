"""Row-stationary arrays (Eyeriss).

Model
-----
A PE keeps rows of filters and slides them over a row of the input. FY x e PEs, a set, compute e output rows of one
filter and one channel at a time; partial sums go up the FY PEs. On R x C PEs

    e       OY / ceil(OY / C), rounded up: output rows in strips as even as possible
    sets    max(1, floor(R / FY)) max(1, floor(C / e)); divided over strips (s_y), filters (s_n) and channels (s_k)
    passes  ceil(FY / R) if the window is taller than the array

    products   b ceil(ceil(OY / e) / s_y) OX ceil(N / s_n) ceil(K / s_k) passes (FX + 1 / q)
    loads      ceil(ceil(OY / e) / s_y) N K FY FX / (words per cycle)

A PE interleaves q = min(K, floor(12 / FX)) channels, as many as its input scratchpad of 12 words holds, and spends one
more cycle per partial sum to add the one from its neighbour, as its only adder does both. Filters are loaded into
single-buffered scratchpads before each strip over a bus of 64 bits, and stay there for all images of a tile. The
division of the sets with the fewest cycles is taken.

Limits
------
Strips of one tile use the same sets. q counts the channels of the layer, not of a tile. Skew of the pipeline is left
out.

References
----------
Y.-H. Chen, J. Emer, V. Sze, "Eyeriss", ISCA 2016, doi:10.1109/ISCA.2016.40; JSSC 52(1), 2017,
doi:10.1109/JSSC.2016.2616357 (scratchpads of 12, 224 and 24 words; 64-bit buses).
"""

from hwmodels.area import accumulator_bits
from hwmodels.engine import Engine
from hwmodels.engines.common import LOADED, STRIPS, Form, nest_of
from hwmodels.engines.precision import rate
from hwmodels.engines.sparsity import work_frac
from hwmodels.network import Layer

__all__ = ["INPUT_SCRATCHPAD_WORDS", "LOAD_BITS_PER_CYCLE", "forms"]

INPUT_SCRATCHPAD_WORDS = 12
LOAD_BITS_PER_CYCLE = 64


def _divisions(sets: int, strips: int) -> list[tuple[int, int, int]]:
    """Ways to use at most `sets` sets: (strips, filters, channels)."""
    return [(along_y, sets // along_y // along_k, along_k)
            for along_y in range(1, min(sets, strips) + 1) for along_k in range(1, sets // along_y + 1)]


def forms(layer: Layer, engine: Engine) -> list[Form]:
    """The form whose division of the sets takes the fewest cycles for the whole layer."""
    passes, products = rate(layer, engine)
    shrink = work_frac(layer, engine) / products
    nest = nest_of(layer)
    strips = -(-nest.oy // min(nest.oy, engine.cols))
    width = -(-nest.oy // strips)
    sets = max(1, engine.rows // layer.fy) * max(1, engine.cols // width)
    interleaved = min(nest.c, max(1, INPUT_SCRATCHPAD_WORDS // layer.fx))
    per_output = (layer.fx * shrink + 1.0 / interleaved) * passes * -(-layer.fy // engine.rows)
    per_weight = nest.window * layer.weight_bits / LOAD_BITS_PER_CYCLE

    def cycles(division: tuple[int, int, int]) -> float:
        rounds = -(-strips // division[0])
        work = -(-nest.n // division[1]) * -(-nest.c // division[2])
        return rounds * (nest.batch * nest.ox * per_output * work + nest.n * nest.c * per_weight)

    along_y, along_n, along_k = min(_divisions(sets, strips), key=lambda division: (cycles(division), division))
    units = ((STRIPS, float(width), per_output, 1.0, float(along_y)), (LOADED, float(along_n), 1.0, 1.0, 0.0),
             (LOADED, float(along_k), 1.0, per_weight, 0.0))
    scratchpad = (layer.input_bits + layer.weight_bits + 2 * accumulator_bits(engine.precision)) / 8.0
    hop = accumulator_bits(engine.precision) / 8.0 / layer.fx
    return [Form(f"rs {along_y}y {along_n}n {along_k}k", (nest,), units, (1, along_n, along_k), (1,), 1.0, hop,
                 scratchpad)]
