"""Area and leakage of an engine and of what surrounds it, by part; area, delay and energy of the scheduler block.

Model
-----
    pes     rows cols (PE + scratchpad of a row-stationary PE)
    sram    density of the node x what small macros cost more (`technology.sram_area_mm2`)
    vector  lanes x lane
    noc     flip-flops that skew the operands entering, and de-skew the results leaving, a systolic array:
            rows (rows + 1)/2 input operands and cols (cols + 1)/2 accumulators
    stacks  stackable PEs: every further stack switches the operands of all rows and takes out, beside the sums that
            leave the array, those of all columns: (stacks - 1)(rows x operand + cols x sum bits) of links
    fission links of all sub-arrays along two of their sides: (rows + cols) of a sub-array x (operand + sum bits)
    dram_phy  proportional to the bandwidth, the same at every node

A part of zero area is an error; the only one declared zero is a scheduler in software.

Limits
------
No host core, no DRAM controller logic, no pads. Areas are placed areas at the node's usual density.

References
----------
S. Ghodrati et al., "Planaria", MICRO 2020, doi:10.1109/MICRO50266.2020.00062 (what fission needs).
DERCA, RTSS 2025: cycles and FPGA resources of a hardware scheduler (public software and authors' slides).
Y.-H. Chen et al., "Eyeriss", JSSC 52(1), 2017, doi:10.1109/JSSC.2016.2616357 (scratchpads of a PE).
"""

from typing import NamedTuple

from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.errors import InvalidEngine
from hwmodels.technology import (
    Corner,
    central,
    constants_of,
    logic_leakage_w_per_mm2,
    pe_area_mm2,
    quantity,
    scale,
    sram_area_mm2,
    sram_leakage_w,
    vector_lane_area_mm2,
)

__all__ = [
    "RS_SCRATCHPAD_WORDS", "STATIC_POLICIES", "SchedulerBlock", "accumulator_bits", "dram_phy_area_mm2",
    "engine_area_mm2", "engine_leakage_w",
    "fission_area_mm2", "flip_flop_area_mm2", "processing_element_area_mm2", "scheduler_block",
]

RS_SCRATCHPAD_WORDS = (12 + 224, 24)
"""Operand words (inputs, weights) and accumulator words in the scratchpads of a row-stationary PE (Eyeriss v1)."""

STATIC_POLICIES = frozenset({"fcfs", "round_robin", "sjf", "srpt", "edf", "derca", "graph_batching", "static"})
"""Policies whose order is fixed when a request arrives or a layer ends: a priority queue suffices. All others compute a
score per waiting task at each decision."""


class SchedulerBlock(NamedTuple):
    """Who runs the policy, and at what cost."""

    area_mm2: float
    decision_s: float
    power_w: float
    """Leakage."""
    decision_j: float
    together: int = 1
    """Most requests that it lets share one pass of the engine."""
    overlaps: bool = False
    """Whether it loads the weights of layers while others compute."""


def accumulator_bits(precision: str) -> int:
    """Width of a partial sum: product and 16 guard bits for integers, 32 for floating point [bit]."""
    return 32 if precision in ("fp16", "bf16") else 2 * PRECISION_BITS[precision] + 16


def flip_flop_area_mm2(node_nm: float, *, corner: Corner = "value") -> float:
    """One flip-flop [mm2]."""
    return quantity("flip_flop_area_28nm_mm2", corner=corner) * scale("logic_area_frac", 28, node_nm, central(corner))


def processing_element_area_mm2(node_nm: float, precision: str, dataflow: str, *, corner: Corner = "value") -> float:
    """One PE with the scratchpads its dataflow needs [mm2]."""
    area = pe_area_mm2(node_nm, precision, corner=corner)
    if dataflow == "rs":
        operands, sums = RS_SCRATCHPAD_WORDS
        scratchpad_bytes = (operands * PRECISION_BITS[precision] + sums * accumulator_bits(precision)) / 8.0
        per_byte = quantity("sram_density_mm2_per_mib", node_nm, corner) / 1048576.0
        area += scratchpad_bytes * per_byte * quantity("register_file_area_frac", corner=corner)
    return area


def engine_area_mm2(engine: Engine, *, corner: Corner = "value") -> dict[str, float]:
    """Area of one engine by part: pes, sram, vector, noc, and stacks if it has some [mm2]; every part is above
    zero."""
    node, corner = engine.node_nm, constants_of(engine, corner)
    skew_bits = (engine.rows * (engine.rows + 1) // 2 * PRECISION_BITS[engine.precision]
                 + engine.cols * (engine.cols + 1) // 2 * accumulator_bits(engine.precision))
    parts = {
        "pes": engine.pes * processing_element_area_mm2(node, engine.precision, engine.dataflow, corner=corner),
        "sram": sram_area_mm2(node, engine.sram_bytes, corner=corner),
        "vector": engine.vector_lanes * vector_lane_area_mm2(node, corner=corner),
        "noc": skew_bits * flip_flop_area_mm2(node, corner=corner),
    }
    if engine.stacks > 1:
        bits = (engine.rows * PRECISION_BITS[engine.precision] + engine.cols * accumulator_bits(engine.precision))
        per_bit = (quantity("fission_link_area_28nm_mm2_per_bit", corner=corner)
                   * scale("logic_area_frac", 28, node, central(corner)))
        parts["stacks"] = (engine.stacks - 1) * bits * per_bit
    for part, area in parts.items():
        if not area > 0.0:
            raise InvalidEngine(f"area of {part}", "> 0 mm2", area)
    return parts


def engine_leakage_w(engine: Engine, *, corner: Corner = "value") -> float:
    """Leakage of one engine at 350 K: its logic by area, its buffer by capacity [W]."""
    corner = constants_of(engine, corner)
    parts = engine_area_mm2(engine, corner=corner)
    logic = sum(area for part, area in parts.items() if part != "sram")
    return (logic * logic_leakage_w_per_mm2(engine.node_nm, corner=corner)
            + sram_leakage_w(engine.node_nm, engine.sram_bytes, corner=corner))


def dram_phy_area_mm2(bytes_per_s: float, node_nm: float = 16, *, kind: str = "lpddr4",
                      corner: Corner = "value") -> float:
    """Interface to DRAM [mm2]: proportional to the bandwidth; analogue circuits, so `node_nm` does not change it.

    Parameters
    ----------
    bytes_per_s : peak bandwidth, > 0 [byte/s].
    kind : `lpddr4` (also taken for DDR) or `hbm2`.
    """
    if not 0.0 < bytes_per_s < float("inf"):
        raise InvalidEngine("dram_bytes_per_s", "a finite number > 0", bytes_per_s)
    if kind not in ("lpddr4", "hbm2"):
        raise InvalidEngine("dram kind", "one of lpddr4, hbm2", kind)
    return bytes_per_s * quantity(f"{kind}_phy_area_mm2_per_byte_per_s", corner=corner)


def fission_area_mm2(engine: Engine, subarrays: int, *, corner: Corner = "value") -> float:
    """Links and switches that let an array split into `subarrays` equal parts at run time [mm2].

    Parameters
    ----------
    subarrays : a square number >= 1 whose root divides both sides of the array.

    Raises
    ------
    InvalidEngine : the grid of sub-arrays does not divide the array.
    """
    side = round(subarrays**0.5) if subarrays >= 1 else 0
    if side * side != subarrays or not side or engine.rows % side or engine.cols % side:
        raise InvalidEngine("subarrays", "a square number whose root divides rows and cols", subarrays)
    corner = constants_of(engine, corner)
    bits = PRECISION_BITS[engine.precision] + accumulator_bits(engine.precision)
    per_bit = quantity("fission_link_area_28nm_mm2_per_bit", corner=corner)
    links = subarrays * (engine.rows + engine.cols) / side * bits
    return links * per_bit * scale("logic_area_frac", 28, engine.node_nm, central(corner))


def scheduler_block(kind: str, policy: str = "static", node_nm: float = 16, *, freq_hz: float = 1e9, tasks: int = 8,
                    together: int = 1, overlaps: bool = False, corner: Corner = "value") -> SchedulerBlock:
    """Area, delay and energy of the block that runs the policy.

    Software runs on the host core: no area of its own (declared zero), microseconds per decision. Hardware is DERCA's
    block: 13 + 5 n cycles (feedback 2, insert 5 + 2n, pop 4 + 3n, issue 2) and its look-up tables converted to gates;
    a policy that computes scores adds score registers per task and one pass over them (n cycles).

    Parameters
    ----------
    kind : `software` or `hardware`.
    policy : name of the policy, or `static` / `dynamic`; see `STATIC_POLICIES`.
    freq_hz : clock of the hardware block [Hz].
    tasks : waiting tasks it is built for, >= 1 [-].
    together : largest batch of the policy [-].
    overlaps : `Policy.overlaps`.
    """
    if kind not in ("software", "hardware"):
        raise InvalidEngine("scheduler", "one of software, hardware", kind)
    if tasks < 1:
        raise InvalidEngine("tasks", "an integer >= 1", tasks)
    if kind == "software":
        decision_s = (quantity("software_decision_s", corner=corner)
                      + tasks * quantity("software_decision_s_per_task", corner=corner))
        instruction_j = (quantity("core_instruction_energy_7nm_j", corner=corner)
                         * scale("mac_int8_energy_j", 7, node_nm))
        instructions = decision_s * quantity("core_instructions_per_s", corner=corner)
        return SchedulerBlock(0.0, decision_s, 0.0, instructions * instruction_j, together, overlaps)
    gates = quantity("scheduler_static_luts", corner=corner) * quantity("scheduler_lut_nand2_count", corner=corner)
    cycles = (quantity("scheduler_base_cycles", corner=corner)
              + tasks * quantity("scheduler_cycles_per_task", corner=corner))
    if policy not in STATIC_POLICIES:
        gates += tasks * quantity("scheduler_score_nand2_per_task", corner=corner)
        cycles += tasks
    area = gates * quantity("nand2_area_28nm_mm2", corner=corner) * scale("logic_area_frac", 28, node_nm,
                                                                                  central(corner))
    macs = gates * quantity("scheduler_activity_frac", corner=corner) / quantity("mac_int8_nand2_count", corner=corner)
    decision_j = cycles * macs * quantity("mac_int8_energy_j", node_nm, corner)
    leakage_w = area * logic_leakage_w_per_mm2(node_nm, corner=corner)
    return SchedulerBlock(area, cycles / freq_hz, leakage_w, decision_j, together, overlaps)
