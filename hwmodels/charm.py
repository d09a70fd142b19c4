"""CHARM: one or several matrix-multiply engines composed on a Versal VCK190, one per group of layers.

Model: an engine is a grid of a x b x c AI engines, each of which multiplies 32 x 32 x 32 (M, K, N) single-precision
tiles, with on-chip buffers that reuse x, y, z of them along the three dimensions. Left and right operands are loaded,
products accumulated and stored in a double-buffered pipeline over a DDR port whose bandwidth a group shares. Times are
whole nanoseconds, as in the authors' analytical model.

Composition: matrix products sorted by size are cut into contiguous groups, each group gets an engine, all run at the
same time, and the slowest decides.

Deviations: the resources that an engine uses are a reconstruction (block RAM in units of 4 KiB and UltraRAM of 32 KiB,
each of the three double buffers in one of the two kinds; ports = operands over the packing), and the composition tries
several splits of the resources instead of one.

References: J. Zhuang et al., "CHARM: Composing heterogeneous accelerators for matrix multiply on Versal ACAP
architecture", FPGA 2023, DOI 10.1145/3543622.3573210, and its public software.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, pairwise
from typing import NamedTuple, final

import numpy as np
from numba import njit

from hwmodels.errors import InvalidEngine, InvalidLayer

__all__ = ["VCK190", "Composition", "MatmulEngine", "Product", "Resources", "best_engine", "compose", "latency_ns"]

# Bytes of a 32 x 32 tile of 4-byte numbers, and nanoseconds (at 1 GHz) of one 32^3 product on an AI engine.
_TILE_BYTES = 4096
_KERNEL_NS = 4392
_PACK_NS = 1024
# The fabric runs at 230 MHz where the ports' figures are for 250 MHz.
_DERATING = Fraction(230, 250)
# Bytes/ns of a port while nothing else runs, and while loads and stores go on together.
_ALONE_BYTES_PER_NS, _TOGETHER_BYTES_PER_NS = 11, 8
_REUSES = np.array([1, 2, 3, 4, 6, 8, 12, 16])


class Product(NamedTuple):
    """`copies` matrix products M x K by K x N."""

    m: int
    k: int
    n: int
    copies: int = 1


class Resources(NamedTuple):
    ai_engines: int
    ports_in: int
    ports_out: int
    block_rams: int
    ultra_rams: int


VCK190 = Resources(400, 100, 80, 768, 420)
# Granted to every group but the last beyond its share of the operations.
_EXTRA = Resources(20, 20, 20, 50, 40)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MatmulEngine:
    """a x b x c AI engines and the reuse x, y, z of the buffers along M, K, N."""

    a: int
    b: int
    c: int
    x: int
    y: int
    z: int
    pack_in: int = 4
    pack_out: int = 4

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) >= 1:
                raise InvalidEngine(name, "at least 1", getattr(self, name))

    @property
    def ai_engines(self) -> int:
        return self.a * self.b * self.c


class Composition(NamedTuple):
    """Engines of the groups of products, largest products first, and the latency of the slowest group."""

    latency_ns: int
    engines: tuple[MatmulEngine, ...]
    groups: tuple[tuple[Product, ...], ...]


@njit(cache=True)
def _ceil(a: int, b: int) -> int:
    return -(-a // b)


@njit(cache=True)
def _latency_ns(
    m: int, k: int, n: int, a: int, b: int, c: int, x: int, y: int, z: int, packing: int, alone: tuple, together: tuple
) -> int:
    """Nanoseconds of one product; bandwidths as (numerator, denominator) bytes/ns."""
    left, right, out = a * b * x * y * _TILE_BYTES, b * c * y * z * _TILE_BYTES, a * c * x * z * _TILE_BYTES
    load = max(_ceil(left * alone[1], alone[0]), _ceil(right * alone[1], alone[0]))
    store = _ceil(out * alone[1], alone[0])
    compute = _KERNEL_NS * x * y * z + _PACK_NS * packing
    steady = max(_ceil(left * together[1], together[0]), _ceil(right * together[1], together[0]))
    steady = max(steady, compute, _ceil(out * together[1], together[0]))
    rows, depth, cols = _ceil(m, 32 * a * x), _ceil(k, 32 * b * y), _ceil(n, 32 * c * z)
    if rows * depth * cols == 1:
        return load + compute + store
    if depth == 1:
        return load + max(load, compute) + max(compute, store) + steady * (rows * cols - 2) + store
    first = max(load, compute) * (rows * depth * cols - rows * cols)
    return load + first + steady * (rows * cols - 1) + compute + store


def _bandwidths(ddr_share: float) -> tuple[tuple[int, int], tuple[int, int]]:
    share = Fraction(ddr_share).limit_denominator(10_000)
    if not 0 < share <= 1:
        raise InvalidEngine("ddr_share", "above 0 and at most 1", ddr_share)
    alone, together = (_DERATING * share * v for v in (_ALONE_BYTES_PER_NS, _TOGETHER_BYTES_PER_NS))
    return alone.as_integer_ratio(), together.as_integer_ratio()


def latency_ns(product: Product, engine: MatmulEngine, *, ddr_share: float = 1.0) -> int:
    """Latency of all copies of a product on an engine [ns], an exact integer.

    Parameters
    ----------
    ddr_share : fraction of the DDR bandwidth that the engine has, in (0, 1]
    """
    if min(product) < 1:
        raise InvalidLayer("product", "positive sizes and copies", tuple(product))
    sizes = product.m, product.k, product.n
    shape = engine.a, engine.b, engine.c, engine.x, engine.y, engine.z
    packing = engine.pack_in + engine.pack_out
    return product.copies * int(_latency_ns(*sizes, *shape, packing, *_bandwidths(ddr_share)))


@njit(cache=True)
def _memories(a: int, b: int, c: int, x: int, y: int, z: int, limits: np.ndarray) -> tuple[int, int]:
    """Block and ultra RAMs of an engine, (-1, -1) if it does not fit; each double buffer goes into one kind.

    First choice: products in UltraRAM, operands in block RAM; then the fewest buffers in UltraRAM.
    """
    # In 4 KiB block RAMs; an UltraRAM holds eight times as much.
    sizes = (2 * a * c * x * z, 2 * a * b * x * y, 2 * b * c * y * z)
    for choice in (1, 0, 2, 4, 3, 5, 6, 7):
        block, ultra = 0, 0
        for i in range(3):
            if choice >> i & 1:
                ultra += _ceil(sizes[i], 8)
            else:
                block += sizes[i]
        if block <= limits[3] and ultra <= limits[4]:
            return block, ultra
    return -1, -1


@njit(cache=True)
def _search(products: np.ndarray, reuses: np.ndarray, limits: np.ndarray, alone: tuple, together: tuple) -> np.ndarray:
    """Latency, a, b, c, x, y, z of the engine of least latency; of equals the one of fewest AI engines."""
    best = np.zeros(7, np.int64)
    for a in range(1, min(limits[0], 32) + 1):
        for b in range(1, min(limits[0] // a, 16) + 1):
            for c in range(1, min(limits[0] // (a * b), 32) + 1):
                if _ceil(a * b + b * c, 4) > limits[1] or _ceil(a * c, 4) > limits[2]:
                    continue
                for x in reuses:
                    for y in reuses:
                        for z in reuses:
                            if _memories(a, b, c, x, y, z, limits)[0] < 0:
                                break
                            total = 0
                            for i in range(products.shape[0]):
                                total += products[i, 3] * _latency_ns(
                                    products[i, 0], products[i, 1], products[i, 2], a, b, c, x, y, z, 8, alone, together
                                )
                                if 0 < best[0] < total:
                                    break
                            fewer = a * b * c < best[1] * best[2] * best[3]
                            if best[0] == 0 or total < best[0] or (total == best[0] and fewer):
                                best[:] = np.array([total, a, b, c, x, y, z])
    return best


def best_engine(
    products: list[Product], limits: Resources = VCK190, *, ddr_share: float = 1.0
) -> tuple[MatmulEngine, int] | None:
    """The engine that runs the products, one after the other, in the least time [ns]; None if none fits.

    Searched exhaustively: a, c <= 32, b <= 16, reuse in {1, 2, 3, 4, 6, 8, 12, 16}, packing of 4.
    """
    if not products or min(min(product) for product in products) < 1:
        raise InvalidLayer("products", "at least one, with positive sizes and copies", products)
    columns = np.array(products, np.int64), _REUSES, np.array(limits, np.int64)
    latency, *shape = _search(*columns, *_bandwidths(ddr_share)).tolist()
    if latency == 0:
        return None
    return MatmulEngine(**dict(zip("abcxyz", shape, strict=True))), latency


def _used(engine: MatmulEngine, limits: Resources) -> Resources:
    a, b, c = engine.a, engine.b, engine.c
    block, ultra = _memories(a, b, c, engine.x, engine.y, engine.z, np.array(limits, np.int64))
    ports_in = -(-(a * b + b * c) // engine.pack_in)
    return Resources(a * b * c, ports_in, -(-a * c // engine.pack_out), int(block), int(ultra))


def _grouped(groups: list[list[Product]], limits: Resources, scale: float) -> Composition | None:
    """Engines group by group; all but the last get `scale` times their share of what is left, and the extra."""
    work = [sum(p.m * p.k * p.n * p.copies for p in group) for group in groups]
    left, engines, slowest = limits, [], 0
    for i, group in enumerate(groups):
        budget = left
        if i < len(groups) - 1:
            part = scale * work[i] / sum(work[i:])
            budget = Resources(*(min(int(n * part) + e, n) for n, e in zip(left, _EXTRA, strict=True)))
        found = best_engine(group, budget, ddr_share=1 / len(groups))
        if found is None:
            return None
        engines.append(found[0])
        slowest = max(slowest, found[1])
        left = Resources(*(n - u for n, u in zip(left, _used(found[0], budget), strict=True)))
    return Composition(slowest, tuple(engines), tuple(tuple(group) for group in groups))


def compose(
    products: list[Product],
    engines: int,
    limits: Resources = VCK190,
    *,
    scales: tuple[float, ...] = (1.0, 0.85, 0.7, 0.5),
) -> dict[tuple[int, ...], Composition]:
    """The best composition found for every way to cut the products, sorted by size, into groups.

    Parameters
    ----------
    products : at least as many as engines
    engines : how many, each with an equal share of the DDR bandwidth
    scales : splits of the resources that are tried

    Returns
    -------
    Cut -> composition; a cut is the number of products before each border. Empty if nothing fits.
    """
    if not 1 <= engines <= len(products):
        raise InvalidEngine("engines", f"between 1 and the number of products ({len(products)})", engines)
    # Sorted stably: of equal products the first given stays first.
    ordered = sorted(products, key=lambda p: -p.m * p.k * p.n)
    found: dict[tuple[int, ...], Composition] = {}
    for cut in combinations(range(1, len(ordered)), engines - 1):
        borders = (0, *cut, len(ordered))
        groups = [ordered[low:high] for low, high in pairwise(borders)]
        tried = [_grouped(groups, limits, scale) for scale in (scales if engines > 1 else (1.0,))]
        fitting = [composition for composition in tried if composition is not None]
        if fitting:
            found[cut] = min(fitting, key=lambda composition: composition.latency_ns)
    return found
