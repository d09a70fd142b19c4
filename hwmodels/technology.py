"""Every technology constant in one place, with source, node, range and trust; and the laws that combine them.

Model
-----
A quantity is either one constant or a curve: points over process nodes joined by a power law (log-log), so that

    scale(q, a, a) = 1,   scale(q, a, b) scale(q, b, a) = 1,   scale(q, a, b) scale(q, b, c) = scale(q, a, c)

hold by construction, for central values and for both ends of the range. Uncertainty is systematic: a source that is too
high at one node is too high at all of them, so every quantity has one position in its range, p in [-1, 1]:

    x(p) = value (high / value)^p for p >= 0,   value (value / low)^p for p < 0

A `Constants` record holds the positions that differ from 0; every function takes one (or "value", "low", "high") as
`corner`.

Limits
------
Supply voltage is the node's nominal one. Sources differ by 2-3x for a MAC at one node, more for SRAM density at 7 nm,
and by three decades for leakage between cell types: use the ranges. SRAM does not follow the logic curve.

References
----------
M. Horowitz, "Computing's energy problem", ISSCC 2014, doi:10.1109/ISSCC.2014.6757323.
A. Stillmaker, B. Baas, Integration 58 (2017) 74-81, doi:10.1016/j.vlsi.2017.02.002.
CACTI 7.0, doi:10.1145/3085572 (`hwmodels.sram`).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import final

from hwmodels.constants import DRAM_KINDS, QUANTITIES, Constant
from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.errors import InvalidEngine, ModelError
from hwmodels.sram import SRAM_CELLS, sram_macro

__all__ = [
    "CONSTANTS", "DEFAULT_CELL", "DRAM_KINDS", "QUANTITIES", "SRAM_CELLS", "TRUST_GRADES", "Constant", "Constants",
    "Corner", "central", "constant", "constants_of", "dram_energy_j_per_byte", "hop_energy_j_per_byte",
    "logic_leakage_w_per_mm2", "mac_energy_j",
    "noc_energy_j_per_byte", "pe_area_mm2", "quantity", "register_energy_j_per_byte", "register_file_energy_j_per_byte",
    "scale", "sram_area_mm2", "sram_energy_j_per_byte", "sram_leakage_w", "vector_lane_area_mm2", "vector_op_energy_j",
]

TRUST_GRADES = MappingProxyType({
    "measured": "we ran the named tool and read its output",
    "shipped": "read in the named tool's data; the primary source behind it was not checked",
    "secondary": "published figure, read in a text that quotes it",
    "inferred": "computed or interpolated from other entries by the stated rule",
    "own": "given by the user",
})

DEFAULT_CELL = "lop"
"""Why: at 350 K `hp` leaks 0.14-1 W per MB, more than an edge NPU's whole budget, and `lstp` reads cost twice as much;
low operating power is what buffers at NPU clocks (about 1 GHz, pipelined) are built from."""

_MIB = 1048576.0
_LARGE_MACRO_BYTES = 512.0 * 1024.0


@final
@dataclass(frozen=True, slots=True)
class Constants:
    """Where in its range each quantity lies: pairs (quantity, position in [-1, 1]); those not named lie at `others`.

    `own` are constants that stand in for the published ones of their keys. Hashable, so that it can be part of a cache
    key.
    """

    positions: tuple[tuple[str, float], ...] = ()
    others: float = 0.0
    own: tuple[Constant, ...] = ()

    @classmethod
    def of(cls, positions: Mapping[str, float] | Iterable[tuple[str, float]] = (), others: float = 0.0) -> "Constants":
        """Checked constructor; raises `ModelError` for an unknown quantity or a position outside [-1, 1]."""
        pairs = tuple(sorted(dict(positions).items()))
        for name, at in (*pairs, ("others", others)):
            if name != "others" and name not in QUANTITIES:
                raise ModelError(name, "a quantity of hwmodels.constants")
            if not -1.0 <= at <= 1.0:
                raise ModelError(name, "a position in [-1, 1]", at)
        return cls(pairs, others)

    def position(self, name: str) -> float:
        """Position of one quantity in its range [-]."""
        for key, at in self.positions:
            if key == name:
                return at
        return self.others


Corner = str | Constants
"""`value`, `low` or `high` (all quantities at once), or a `Constants` record."""

_CORNERS = MappingProxyType({"value": 0.0, "low": -1.0, "high": 1.0})


def _position(name: str, corner: Corner) -> float:
    if isinstance(corner, Constants):
        return corner.position(name)
    if corner not in _CORNERS:
        raise ModelError("corner", f"one of {', '.join(_CORNERS)}, or a Constants record", corner)
    return _CORNERS[corner]


def constants_of(engine: Engine, corner: Corner = "value") -> Corner:
    """The corner with the engine's own constants in it; as given for an engine without any."""
    if not engine.technology:
        return corner
    if isinstance(corner, Constants):
        return Constants(corner.positions, corner.others, engine.technology)
    return Constants(others=_CORNERS[corner], own=engine.technology)


def central(corner: Corner) -> Corner:
    """All quantities at their values, own constants kept: for ratios between nodes, which have no range."""
    return Constants(own=corner.own) if isinstance(corner, Constants) and corner.own else "value"


def _records() -> dict[str, Constant]:
    return {record.key: record for item in QUANTITIES.values() for record in item.points}


CONSTANTS: Mapping[str, Constant] = MappingProxyType(_records())
"""Every record by its key, `QUANTITY` or `QUANTITY.NODEnm`."""


@cache
def constant(name: str, node_nm: float | None = None, own: tuple[Constant, ...] = ()) -> Constant:
    """The record of a quantity at a node; between its points an interpolated one (trust `inferred`).

    Parameters
    ----------
    name : key of `QUANTITIES`.
    node_nm : required for a curve, ignored for a single constant [nm].
    own : constants in place of the published ones of their keys.

    Raises
    ------
    ModelError : unknown quantity, or a node outside the curve.
    """
    if name not in QUANTITIES:
        raise ModelError("quantity", "one of those listed by `dse explain`", name)
    replaced = {record.key: record for record in own}
    points = tuple(replaced.get(point.key, point) for point in QUANTITIES[name].points)
    if len(points) == 1:
        return points[0]
    nodes = [point.node_nm or 0.0 for point in points]
    if node_nm is None or not nodes[-1] <= node_nm <= nodes[0]:
        raise ModelError("node_nm", f"in [{nodes[-1]:g}, {nodes[0]:g}] for {name}", node_nm)
    if node_nm in nodes:
        return points[nodes.index(node_nm)]
    after = next(i for i, node in enumerate(nodes) if node < node_nm)
    left, right = points[after - 1], points[after]
    t = math.log(node_nm / nodes[after - 1]) / math.log(nodes[after] / nodes[after - 1])
    value = left.value * (right.value / left.value) ** t
    low, high = left.low * (right.low / left.low) ** t, left.high * (right.high / left.high) ** t
    return Constant(
        key=f"{name}.{node_nm:g}nm", value=value, low=low, high=high, unit=left.unit, node_nm=node_nm,
        source=f"power law between {nodes[after - 1]:g} and {nodes[after]:g} nm ({left.source})", trust="inferred",
        note=left.note,
    )


@cache
def quantity(name: str, node_nm: float | None = None, corner: Corner = "value") -> float:
    """A quantity at a node and at a corner of its range, in the unit its name ends with."""
    record = constant(name, node_nm, corner.own if isinstance(corner, Constants) else ())
    at = _position(name, corner)
    if at >= 0.0:
        return record.value * (record.high / record.value) ** at
    return record.value * (record.value / record.low) ** at


def scale(name: str, from_nm: float, to_nm: float, corner: Corner = "value") -> float:
    """Factor by which a quantity changes from one node to another [-]."""
    return quantity(name, to_nm, corner) / quantity(name, from_nm, corner)


def _accumulator_bits(weight_bits: int, input_bits: int) -> int:
    """Product width and 16 guard bits: 32 for int8, 48 for int16 [bit]."""
    return weight_bits + input_bits + 16


def _operands(precision: str, weight_bits: int | None, input_bits: int | None) -> tuple[int, int]:
    if precision not in PRECISION_BITS:
        raise InvalidEngine("precision", f"one of {', '.join(PRECISION_BITS)}", precision)
    native = PRECISION_BITS[precision]
    bits = (native if weight_bits is None else weight_bits, native if input_bits is None else input_bits)
    for field, value in zip(("weight_bits", "input_bits"), bits, strict=True):
        if not 1 <= value <= 64:
            raise InvalidEngine(field, "in [1, 64]", value)
    return bits


@cache
def mac_energy_j(node_nm: float, precision: str = "int8", *, weight_bits: int | None = None,
                 input_bits: int | None = None, corner: Corner = "value") -> float:
    """Energy of one multiply-accumulate in a PE of the given format [J].

    Integer: the multiplier's part grows with the product of the operand widths (Horowitz: 8 to 32 bit 15.5x), the
    accumulator's with its width, weight + input + 16 bit. Floating point: a factor on int8.

    Parameters
    ----------
    precision : format of the PE, a key of `PRECISION_BITS`.
    weight_bits, input_bits : bits that toggle if other operands are fed to an integer PE, in [1, 64] [bit].
    """
    bits = _operands(precision, weight_bits, input_bits)
    int8 = quantity("mac_int8_energy_j", node_nm, corner)
    if precision in ("fp16", "bf16"):
        factor = quantity("mac_fp16_energy_frac", corner=corner)
        return int8 * factor * (quantity("mac_bf16_frac", corner=corner) if precision == "bf16" else 1.0)
    multiplier = quantity("mac_multiplier_energy_frac", corner=corner)
    return int8 * (multiplier * bits[0] * bits[1] / 64.0 + (1.0 - multiplier) * _accumulator_bits(*bits) / 32.0)


@cache
def pe_area_mm2(node_nm: float, precision: str = "int8", *, corner: Corner = "value") -> float:
    """Placed area of one PE: multiplier, adder, registers, clock and control [mm2].

    Integer of b bits: multiplier ~ b^2, adder ~ 2b + 16, registers ~ 5b + 16 (weight twice, input, accumulator).
    """
    bits, _ = _operands(precision, None, None)
    int8 = quantity("pe_int8_area_mm2", node_nm, corner) * quantity("pe_overhead_frac", corner=corner)
    if precision in ("fp16", "bf16"):
        factor = quantity("pe_fp16_area_frac", corner=corner)
        return int8 * factor * (quantity("mac_bf16_frac", corner=corner) if precision == "bf16" else 1.0)
    multiplier = quantity("pe_multiplier_area_frac", corner=corner)
    registers = quantity("pe_register_area_frac", corner=corner)
    adder = 1.0 - multiplier - registers
    return int8 * (multiplier * (bits / 8.0) ** 2 + adder * (2 * bits + 16) / 32.0 + registers * (5 * bits + 16) / 56.0)


def register_energy_j_per_byte(node_nm: float, *, corner: Corner = "value") -> float:
    """Writing (and holding for a cycle) one byte of pipeline register [J/byte]."""
    return quantity("register_energy_j_per_byte", node_nm, corner)


def register_file_energy_j_per_byte(node_nm: float, *, corner: Corner = "value") -> float:
    """One access to the scratchpad inside a row-stationary PE, about half a kilobyte [J/byte].

    Taken as the smallest SRAM macro of the table, 2 KiB with a 64-bit port.
    """
    return sram_energy_j_per_byte(node_nm, 2048.0, width_bits=64.0, corner=corner)


@cache
def noc_energy_j_per_byte(node_nm: float, distance_mm: float, hops: float = 0.0, *, corner: Corner = "value") -> float:
    """Moving one byte over on-chip wires and through routers [J/byte].

    Parameters
    ----------
    distance_mm : wire length [mm]. Wire energy per length is taken as independent of the node.
    hops : routers passed; their energy follows the logic curve [-].
    """
    wire = 8.0 * quantity("wire_energy_j_per_bit_mm", corner=corner) * distance_mm
    if not hops:
        return wire
    router = quantity("router_energy_7nm_j_per_byte", corner=corner)
    router *= scale("mac_int8_energy_j", 7, node_nm, central(corner))
    return wire + hops * router


@cache
def hop_energy_j_per_byte(node_nm: float, precision: str = "int8", *, corner: Corner = "value") -> float:
    """Passing one byte from a PE to its neighbour: one register and one PE pitch of wire [J/byte]."""
    pitch_mm = math.sqrt(pe_area_mm2(node_nm, precision, corner=corner))
    return register_energy_j_per_byte(node_nm, corner=corner) + noc_energy_j_per_byte(node_nm, pitch_mm, corner=corner)


def dram_energy_j_per_byte(kind: str = "lpddr4", *, corner: Corner = "value") -> float:
    """DRAM access with its interface [J/byte]. `kind` : one of `DRAM_KINDS`; edge NPUs have LPDDR4."""
    if kind not in DRAM_KINDS:
        raise InvalidEngine("dram kind", f"one of {', '.join(DRAM_KINDS)}", kind)
    return quantity(f"dram_{kind}_energy_j_per_byte", corner=corner)


def vector_op_energy_j(node_nm: float, *, corner: Corner = "value") -> float:
    """One scalar 16-bit operation of the vector unit with its operand registers [J]."""
    return quantity("vector_op_energy_45nm_j", corner=corner) * scale("mac_int8_energy_j", 45, node_nm, central(corner))


def vector_lane_area_mm2(node_nm: float, *, corner: Corner = "value") -> float:
    """One 16-bit lane of the vector unit with its registers and share of the control [mm2]."""
    return quantity("vector_lane_area_45nm_mm2", corner=corner) * scale("logic_area_frac", 45, node_nm, central(corner))


def _table_node(node_nm: float) -> float:
    """Node at which the CACTI table is read: its own from 22 nm up, 22 nm below [nm]."""
    return max(22.0, node_nm)


@cache
def sram_energy_j_per_byte(node_nm: float, sram_bytes: float, *, cell: str = DEFAULT_CELL, width_bits: float = 256.0,
                           write: bool = False, corner: Corner = "value") -> float:
    """Reading or writing one byte of a buffer [J/byte].

    CACTI from 22 nm up; below, the 22 nm macro scaled by `sram_energy_frac`. One macro per buffer up to 4 MiB: a bank
    of its own size carries the wires that a banked buffer would have. Above, energy grows as the last two points do.
    A write costs as much as a read (CACTI's write energies are not monotone in size: 0.7-4x a read).

    Parameters
    ----------
    sram_bytes : capacity of the buffer; below 2 KiB it counts as 2 KiB [byte].
    """
    macro = sram_macro(_table_node(node_nm), max(2048.0, sram_bytes), cell=cell, width_bits=width_bits)
    factor = quantity("sram_energy_frac", min(22.0, node_nm), corner) * (
        quantity("sram_write_frac", corner=corner) if write else 1.0)
    return macro.read_j_per_byte * factor


@cache
def sram_area_mm2(node_nm: float, sram_bytes: float, *, corner: Corner = "value") -> float:
    """Area of a buffer [mm2]: density of large macros at this node x what CACTI says small macros cost more.

    The three ITRS cells have the same area. CACTI's own density is used at 45 nm only: at 22 nm it is 40 % below what
    published bitcells allow (see `sram_density_mm2_per_mib`).
    """
    size = max(2048.0, float(sram_bytes))
    node = _table_node(node_nm)
    here, large = sram_macro(node, size), sram_macro(node, max(_LARGE_MACRO_BYTES, size))
    small_penalty = (here.area_mm2 / size) / (large.area_mm2 / max(_LARGE_MACRO_BYTES, size))
    return quantity("sram_density_mm2_per_mib", node_nm, corner) * size / _MIB * max(1.0, small_penalty)


def sram_leakage_w(node_nm: float, sram_bytes: float, *, cell: str = DEFAULT_CELL, corner: Corner = "value") -> float:
    """Leakage of a buffer at 350 K [W]."""
    if cell not in SRAM_CELLS:
        raise InvalidEngine("sram cell", f"one of {', '.join(SRAM_CELLS)}", cell)
    return quantity(f"sram_leakage_{cell}_w_per_mib", node_nm, corner) * sram_bytes / _MIB


def logic_leakage_w_per_mm2(node_nm: float, *, corner: Corner = "value") -> float:
    """Leakage of placed logic at 350 K [W/mm2]."""
    return quantity("logic_leakage_w_per_mm2", node_nm, corner)
