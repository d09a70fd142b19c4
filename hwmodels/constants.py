"""The records behind `hwmodels.technology`: one per constant and node.

Trust: `measured` we ran the named tool; `shipped` read in the named tool's data; `secondary` published, read in a text
that quotes it; `inferred` computed from others by the rule in `note`. Figures only recalled are never a default.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

__all__ = ["DRAM_KINDS", "QUANTITIES", "Constant", "Quantity"]

DRAM_KINDS = ("lpddr4", "ddr3", "hbm2", "hbm3")

_Range = tuple[float, float, float]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One number with its evidence.

    Parameters
    ----------
    key : `QUANTITY.NODEnm` on a curve, else `QUANTITY`.
    value, low, high : central value and plausible range, 0 < low <= value <= high, in `unit`.
    node_nm : process node it was found at [nm]; None = it does not depend on the node.
    trust : a key of `hwmodels.technology.TRUST_GRADES`.
    note : how the value was chosen, what to beware of.
    """

    key: str
    value: float
    low: float
    high: float
    unit: str
    node_nm: float | None
    source: str
    trust: str
    note: str = ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A curve over nodes (points by falling node) or a single constant (one point)."""

    name: str
    meaning: str
    points: tuple[Constant, ...]


def _curve(
    name: str,
    meaning: str,
    unit: str,
    points: dict[float, _Range],
    *,
    source: str,
    trust: str,
    note: str = "",
    factor: float = 1.0,
    extrapolated: tuple[float, ...] = (),
) -> Quantity:
    """`extrapolated` : nodes whose points are `inferred` whatever the trust of the others."""
    return Quantity(
        name=name,
        meaning=meaning,
        points=tuple(
            Constant(
                key=f"{name}.{node:g}nm",
                value=value * factor,
                low=low * factor,
                high=high * factor,
                unit=unit,
                node_nm=node,
                source=source,
                trust="inferred" if node in extrapolated else trust,
                note=note,
            )
            for node, (value, low, high) in sorted(points.items(), reverse=True)
        ),
    )


def _single(
    name: str,
    meaning: str,
    unit: str,
    value: _Range,
    *,
    source: str,
    trust: str,
    note: str = "",
    factor: float = 1.0,
    node: float | None = None,
) -> Quantity:
    centre, low, high = value
    return Quantity(
        name=name,
        meaning=meaning,
        points=(
            Constant(
                key=name,
                value=centre * factor,
                low=low * factor,
                high=high * factor,
                unit=unit,
                node_nm=node,
                source=source,
                trust=trust,
                note=note,
            ),
        ),
    )


_HOROWITZ = "M. Horowitz, ISSCC 2014, doi:10.1109/ISSCC.2014.6757323"
_HWCOMPONENTS = "hwcomponents 1.0.114 / library 1.0.58"
_MUCHISIM = "MuchiSim (7 nm, 0.7 V)"
_CACTI_PLUGIN = "hwcomponents-cacti 1.0.40"


def _mac() -> tuple[Quantity, ...]:
    return (
        _curve(
            "mac_int8_energy_j",
            "int8 multiply with 32-bit accumulation",
            "J",
            {45: (0.5, 0.3, 1.15), 28: (0.25, 0.12, 0.6), 16: (0.12, 0.05, 0.22), 7: (0.06, 0.03, 0.11)},
            factor=1e-12,
            source=f"{_HOROWITZ} (45 nm, 0.3 pJ) and {_HWCOMPONENTS} (1.15, 0.59, 0.20, 0.11 pJ); Simba 16 nm 0.22 pJ",
            trust="inferred",
            note="centre near the geometric mean of the two sources; whole-chip figures are the upper end",
        ),
        _single(
            "mac_multiplier_energy_frac",
            "share of the multiplier in the int8 MAC energy",
            "-",
            (0.7, 0.66, 0.79),
            source=f"{_HOROWITZ}: 0.2 of 0.3 pJ; {_HWCOMPONENTS}: 0.912 of 1.154 pJ",
            trust="inferred",
        ),
        _single(
            "mac_fp16_energy_frac",
            "fp16 MAC energy relative to int8",
            "-",
            (5.0, 3.7, 6.7),
            source=f"{_HOROWITZ}: fp16 multiply 1.1 pJ and add 0.4-0.9 pJ against 0.3 pJ",
            trust="secondary",
            note="low end: multiply alone; high end: fp32 accumulation",
        ),
        _single(
            "mac_bf16_frac",
            "bf16 MAC relative to fp16, energy and area",
            "-",
            (0.7, 0.6, 0.85),
            source="ratio of mantissa products (8/11)^2 on the multiplier's part",
            trust="inferred",
        ),
        _curve(
            "pe_int8_area_mm2",
            "int8 PE: multiplier, 32-bit adder, 56 register bits",
            "mm2",
            {45: (1000, 320, 2200), 28: (500, 280, 830), 16: (300, 140, 500), 7: (100, 45, 260)},
            factor=1e-6,
            source=f"{_HWCOMPONENTS} pe_um2 x [0.5, 1.5]; {_HOROWITZ} at 45 nm",
            trust="inferred",
            note="upper ends: RecPipe 12 nm 495 um2, LLMCompass fp16 7 nm 263 um2",
        ),
        _single(
            "pe_overhead_frac",
            "placed PE over its cells: clock tree, control, placement density",
            "-",
            (1.5, 1.0, 3.0),
            source="spread of the PE entries at one node",
            trust="inferred",
            note="keeps synthesised whole PEs and bare multiplier-adder pairs inside one model",
        ),
        _single(
            "pe_multiplier_area_frac",
            "share of the multiplier in the int8 PE area",
            "-",
            (0.40, 0.36, 0.44),
            source=f"{_HWCOMPONENTS}: 580 of 1,476 um2 at 45 nm",
            trust="measured",
        ),
        _single(
            "pe_register_area_frac",
            "share of the registers in the int8 PE area",
            "-",
            (0.33, 0.30, 0.36),
            source=f"{_HWCOMPONENTS}: seven 8-bit registers, 489 of 1,476 um2 at 45 nm",
            trust="measured",
        ),
        _single(
            "pe_fp16_area_frac",
            "fp16 PE area relative to int8",
            "-",
            (4.0, 2.6, 7.2),
            source=f"LLMCompass fp16 263 um2 at 7 nm (2.6x); {_HOROWITZ}: 3,000 um2 against 419 um2 (7.2x)",
            trust="inferred",
        ),
        _curve(
            "register_energy_j_per_byte",
            "one byte of pipeline register written and clocked",
            "J/byte",
            {
                45: (0.0415, 0.0207, 0.0829),
                28: (0.0212, 0.0106, 0.0425),
                16: (0.0072, 0.0036, 0.0144),
                7: (0.0039, 0.00195, 0.0078),
            },
            factor=1e-12,
            source=f"{_HWCOMPONENTS}, reg8_pJ",
            trust="inferred",
            note="half of the tool's value, as its MAC is 2-4x Horowitz's; range [0.25, 1] x",
        ),
    )


def _logic() -> tuple[Quantity, ...]:
    stillmaker = "Stillmaker and Baas 2017, doi:10.1016/j.vlsi.2017.02.002, as shipped in two tools"
    return (
        _curve(
            "logic_area_frac",
            "area of the same logic relative to 45 nm",
            "-",
            {
                node: (x, 0.8 * x, 1.25 * x) if node != 45 else (x, x, x)
                for node, x in {45: 1.0, 32: 0.46, 20: 0.21, 16: 0.19, 14: 0.17, 10: 0.1, 7: 0.059}.items()
            },
            source=stillmaker,
            trust="shipped",
        ),
        _single(
            "flip_flop_area_28nm_mm2",
            "one flip-flop at 28 nm",
            "mm2",
            (3.7, 2.6, 5.0),
            factor=1e-6,
            source="ZigZag in-memory-computing model: NAND2 0.614 um2, flip-flop 6x",
            trust="shipped",
            note="hwcomponents: 26.2 um2 per 8-bit register, 3.3 um2 per bit",
            node=28,
        ),
        _single(
            "nand2_area_28nm_mm2",
            "one 2-input NAND at 28 nm",
            "mm2",
            (0.614, 0.49, 0.8),
            factor=1e-6,
            source="ZigZag in-memory-computing model",
            trust="shipped",
            node=28,
        ),
        _single(
            "fission_link_area_28nm_mm2_per_bit",
            "bidirectional, switched and registered link bit between sub-arrays",
            "mm2/bit",
            (10.4, 5.0, 30.0),
            factor=1e-6,
            source="two directions of flip-flop (6 NAND2) and multiplexer (2.5 NAND2) of ZigZag's cells",
            trust="inferred",
            node=28,
        ),
        _curve(
            "logic_leakage_w_per_mm2",
            "leakage of placed logic, 350 K",
            "W/mm2",
            {45: (0.010, 0.001, 0.1), 28: (0.010, 0.001, 0.1), 16: (0.010, 0.001, 0.1), 7: (0.010, 0.001, 0.1)},
            source="SRAM leakage per transistor (lop) x transistor density of logic x 4 for wider devices",
            trust="inferred",
            note="no source below 28 nm: 7.7 mW/MiB over 50 M transistors, 15.3 Mtr/mm2 at 28 nm; flat",
        ),
        _single(
            "vector_op_energy_45nm_j",
            "16-bit operation of a vector lane with operand registers, at 45 nm",
            "J",
            (1.8, 0.6, 6.0),
            factor=1e-12,
            source=f"{_HOROWITZ}: fp16 multiply 1.1 pJ, add 0.4 pJ, plus six register bytes",
            trust="inferred",
            note="upper end: an operation of a small general-purpose core (MuchiSim)",
            node=45,
        ),
        _single(
            "vector_lane_area_45nm_mm2",
            "16-bit vector lane with registers and control, at 45 nm",
            "mm2",
            (6000, 3000, 12000),
            factor=1e-6,
            source=f"{_HOROWITZ}: fp16 multiply 1,640 um2 and add, x2 for registers and control",
            trust="inferred",
            node=45,
        ),
    )


def _memory() -> tuple[Quantity, ...]:
    cacti = "CACTI 7.0, doi:10.1145/3085572, 350 K"
    return (
        _curve(
            "sram_density_mm2_per_mib",
            "macros of 32 KiB and more",
            "mm2/MiB",
            {45: (3.4, 3.0, 3.7), 28: (1.6, 1.2, 2.7), 16: (0.9, 0.7, 1.2), 7: (0.4, 0.27, 1.3)},
            source=f"{cacti} at 45 nm; below: 8.389 x bitcell_um2 / array efficiency [0.5, 0.75], and CACTI 22-32 nm",
            trust="inferred",
            note="RecPipe 12 nm 0.73-0.93, MuchiSim 7 nm 0.29, TSMC 7 nm test chip die 1.33; CACTI 22 nm "
            "says 0.8, below published bitcells",
        ),
        _curve(
            "sram_energy_frac",
            "read energy relative to the 22 nm macro of the same size",
            "-",
            {22: (1.0, 0.5, 2.0), 16: (0.78, 0.39, 1.56), 7: (0.39, 0.2, 0.78)},
            source="logic energy polynomials of Stillmaker and Baas 2017 below CACTI's last node",
            trust="inferred",
            note="also the range of the CACTI figures from 22 nm up",
        ),
        _single(
            "register_file_area_frac",
            "area per byte of a scratchpad below 1 KiB relative to a large macro",
            "-",
            (3.0, 2.0, 6.0),
            source=f"{cacti}: 2 KiB with a 256-bit port costs 2x per byte, extended to 0.5 KiB",
            trust="inferred",
        ),
        _single(
            "sram_write_frac",
            "write energy relative to read energy",
            "-",
            (1.0, 0.75, 1.5),
            source=f"{cacti}: median over the table about 1.2, 0.8-0.9 above 512 KiB",
            trust="inferred",
        ),
        _curve(
            "sram_leakage_hp_w_per_mib",
            "high-performance cells",
            "W/MiB",
            {45: (1000, 880, 1200), 28: (230, 190, 280), 22: (150, 130, 190), 16: (150, 15, 300), 7: (150, 15, 300)},
            factor=1e-3,
            source=f"{cacti}; flat below 22 nm for want of a source",
            trust="measured",
            extrapolated=(16, 7),
        ),
        _curve(
            "sram_leakage_lop_w_per_mib",
            "low-operating-power cells",
            "W/MiB",
            {45: (13.0, 1.3, 130), 28: (7.7, 0.77, 77), 22: (8.4, 0.84, 84), 16: (8.4, 0.84, 84), 7: (8.4, 0.84, 84)},
            factor=1e-3,
            source=f"{cacti} at 45 nm; below, geometric mean of hp and lstp",
            trust="inferred",
            note="the mean equals CACTI's lop within 5 % at 45 nm; CACTI's own lop at 22-32 nm is an artefact",
        ),
        _curve(
            "sram_leakage_lstp_w_per_mib",
            "low-standby-power cells",
            "W/MiB",
            {
                45: (0.18, 0.15, 0.21),
                28: (0.32, 0.26, 0.40),
                22: (0.55, 0.47, 0.65),
                16: (0.55, 0.055, 5.5),
                7: (0.55, 0.055, 5.5),
            },
            factor=1e-3,
            source=f"{cacti}; flat below 22 nm for want of a source",
            trust="measured",
            extrapolated=(16, 7),
        ),
        _single(
            "dram_lpddr4_energy_j_per_byte",
            "LPDDR4 access",
            "J/byte",
            (8, 4, 12),
            factor=8e-12,
            source=_CACTI_PLUGIN,
            trust="shipped",
            note="ZigZag uses 10.9-11.7 pJ/bit for an unnamed DRAM",
        ),
        _single(
            "dram_ddr3_energy_j_per_byte",
            "DDR3 access",
            "J/byte",
            (70, 20, 70),
            factor=8e-12,
            source=f"{_CACTI_PLUGIN}, cites Chatterjee MICRO 2017; low end {_HOROWITZ}",
            trust="shipped",
        ),
        _single(
            "dram_hbm2_energy_j_per_byte",
            "HBM2 access",
            "J/byte",
            (6.25, 3.7, 6.25),
            factor=8e-12,
            source=f"{_CACTI_PLUGIN}; low end MuchiSim",
            trust="shipped",
            note="primary source is a web article",
        ),
        _single(
            "dram_hbm3_energy_j_per_byte",
            "HBM3 access",
            "J/byte",
            (4.05, 3.2, 6.25),
            factor=8e-12,
            source=f"{_CACTI_PLUGIN}",
            trust="shipped",
            note="primary source is a web article",
        ),
        _single(
            "lpddr4_phy_area_mm2_per_byte_per_s",
            "DRAM interface per bandwidth",
            "mm2 s/byte",
            (1.45 / 17.07e9, 1.45 / 25.6e9, 1.45 / 12.8e9),
            source="LLMCompass 2e015fd: DDR5 PHY 1.45 mm2 per 32 bits; at LPDDR4X's 4.267 GT/s",
            trust="shipped",
            note="PHYs do not scale with the node; range 3.2-6.4 GT/s",
        ),
        _single(
            "hbm2_phy_area_mm2_per_byte_per_s",
            "HBM2e interface per bandwidth",
            "mm2 s/byte",
            (10.45 / 461e9, 10.45 / 461e9, 10.45 / 256e9),
            source="LLMCompass 2e015fd: 10.45 mm2 per stack",
            trust="shipped",
            note="3.6 GT/s; high end HBM2 at 2 GT/s",
        ),
    )


def _links_and_scheduler() -> tuple[Quantity, ...]:
    derca = "DERCA, RTSS 2025, authors' slides: VCK190, share of 899,840 LUTs"
    return (
        _single(
            "wire_energy_j_per_bit_mm",
            "on-chip wire with repeaters",
            "J/bit/mm",
            (0.15, 0.08, 0.3),
            factor=1e-12,
            source=_MUCHISIM,
            trust="shipped",
            note="taken for all nodes: wires do not scale",
            node=7,
        ),
        _single(
            "router_energy_7nm_j_per_byte",
            "32-bit mesh router, 7 nm",
            "J/byte",
            (0.75, 0.2, 0.75),
            factor=1e-12,
            source=f"{_MUCHISIM}: 3 pJ per 32-bit flit",
            trust="shipped",
            node=7,
        ),
        _single(
            "scheduler_lut_nand2_count",
            "NAND2 equivalents of one FPGA look-up table",
            "-",
            (10.0, 6.0, 24.0),
            source="usual conversion between FPGA and ASIC resources",
            trust="inferred",
        ),
        _single(
            "scheduler_static_luts",
            "hardware scheduler: release, priority queue, kernel management",
            "-",
            (36174, 9178, 50661),
            source=f"{derca}: scheduler 1.02 % + job release 1.68 % + kernel management 1.32 %",
            trust="secondary",
            note="low end: the scheduler alone; high end: with its interface",
        ),
        _single(
            "scheduler_score_nand2_per_task",
            "score registers and comparator per task of a dynamic policy",
            "-",
            (1200, 600, 2400),
            source="five 32-bit registers (6 NAND2 per bit) and a comparator",
            trust="inferred",
            note="stands in for Dysta's block, whose synthesis report is not public",
        ),
        _single(
            "scheduler_activity_frac",
            "share of the scheduler's gates that toggle in a cycle of a decision",
            "-",
            (0.1, 0.05, 0.3),
            source="usual activity of control logic",
            trust="inferred",
        ),
        _single(
            "mac_int8_nand2_count",
            "NAND2 equivalents of an int8 multiplier and 32-bit adder",
            "-",
            (600.0, 400.0, 900.0),
            source=f"{_HWCOMPONENTS}: 217 + 152 um2 at 28 nm, over ZigZag's NAND2 of 0.614 um2",
            trust="inferred",
            note="turns gates of control logic into MACs of the same switched area",
        ),
        _single(
            "core_instructions_per_s",
            "rate of the host core that runs the policy in software",
            "1/s",
            (1e9, 0.5e9, 2e9),
            source="one instruction per cycle at 1 GHz",
            trust="inferred",
        ),
        _single(
            "scheduler_base_cycles",
            "hardware decision, part that does not depend on the tasks",
            "cycles",
            (13, 13, 26),
            source="DERCA public software: feedback 2, insert 5, pop 4, issue 2",
            trust="shipped",
        ),
        _single(
            "scheduler_cycles_per_task",
            "hardware decision, per task",
            "cycles",
            (5, 5, 10),
            source="DERCA public software: heap insert 5+2n, pop 4+3n",
            trust="shipped",
        ),
        _single(
            "software_decision_s",
            "software decision on a host core, part that does not depend on the tasks",
            "s",
            (5e-6, 1e-6, 2e-5),
            source="an interrupt, a driver call and a write to the engine's queue: 1,000-20,000 cycles at 1 GHz",
            trust="inferred",
        ),
        _single(
            "software_decision_s_per_task",
            "software decision, per task",
            "s",
            (1e-7, 3e-8, 3e-7),
            source="100 instructions per task at 1 GHz",
            trust="inferred",
        ),
        _single(
            "core_instruction_energy_7nm_j",
            "instruction of a small general-purpose core at 7 nm",
            "J",
            (6e-12, 3e-12, 3e-11),
            source=f"{_MUCHISIM}: 6 pJ per integer, 30 pJ per floating-point operation",
            trust="shipped",
            node=7,
        ),
    )


QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {item.name: item for group in (_mac(), _logic(), _memory(), _links_and_scheduler()) for item in group}
)
"""Every quantity by name; `hwmodels.technology.CONSTANTS` has the records by key."""
