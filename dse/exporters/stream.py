"""A design for Stream (stream-dse 2.1): an accelerator whose cores are the engines of the chip.

An array that divides at run time is written as its sub-arrays, each a core with its share of the buffer. Engines that
share the DRAM channel are on one bus with the off-chip core; engines with fixed shares each have a link of that
bandwidth. Widths are bits per cycle.

References
----------
A. Symons et al., "Stream", IEEE Trans. Computers 2025, doi:10.1109/TC.2024.3477938.
"""

from typing import Any

from dse.exporters.chip import Parts, bits_per_cycle, files_with, yaml_text
from dse.exporters.record import Exporter
from dse.exporters.zigzag import accelerator, dram
from hwmodels.engine import Engine
from hwmodels.tables import DRAM_FIXED
from hwmodels.technology import constants_of, sram_energy_j_per_byte, vector_op_energy_j

__all__ = ["EXPORTER", "LOSES", "design_texts"]

LOSES = ("workloads (it takes ONNX files: give it those of the tenants) and the mapping (it proposes its own); "
         "arrivals, deadlines, the policy and the scheduler; sub-arrays that join, and the time to rearrange them; "
         "which tenants an engine serves; max-min sharing of the DRAM channel (it schedules transfers itself); "
         "folds of a product of loops, fold overlap, several passes for wide operands, sparsity; epilogues fused "
         "into matrix layers; fractions of a bit per cycle of DRAM bandwidth")

_VECTOR_OPERATORS = ["Add", "Sub", "Mul", "Div", "Exp", "Pow", "Sigmoid", "Gelu", "Tanh", "Relu", "Cast"]
_PJ = 1e12


def _vector_core(name: str, engine: Engine, bits: int) -> dict[str, Any]:
    """The vector unit of an engine; its buffer is as large as the engine's, which it shares on our chips."""
    lanes, node_nm, sram_bytes, own = engine.vector_lanes, engine.node_nm, engine.sram_bytes, constants_of(engine)
    width = lanes * bits
    cost = float(sram_energy_j_per_byte(node_nm, sram_bytes, corner=own) * width / 8.0 * _PJ)
    ports = [{"name": "rw_port_1", "type": "read_write", "bandwidth_min": width, "bandwidth_max": width,
              "allocation": ["I1, fh", "I2, fh", "O, fh", "O, fl"]},
             {"name": "rw_port_2", "type": "read_write", "bandwidth_min": width, "bandwidth_max": width,
              "allocation": ["I1, tl", "I2, tl", "O, tl", "O, th"]}]
    return {"name": name, "type": "zigzag.compute",
            "memories": {"sram": {"size": sram_bytes * 8, "r_cost": cost, "w_cost": cost, "area": 0.0, "latency": 1,
                                  "operands": ["I1", "I2", "O"], "ports": ports, "served_dimensions": ["D1"]}},
            "operational_array": {"unit_energy": float(vector_op_energy_j(node_nm, corner=own) * _PJ), "unit_area": 0.0,
                                  "dimensions": ["D1"], "sizes": [lanes]},
            "operator_types": list(_VECTOR_OPERATORS)}


def _offchip(bits: int, engine: Engine) -> dict[str, Any]:
    return {"name": "offchip", "type": "zigzag.offchip", "memories": {"dram": dram(bits, engine)},
            "operational_array": {"unit_energy": 0.0, "unit_area": 0.0, "dimensions": ["D1", "D2"], "sizes": [0, 0]}}


def design_texts(parts: Parts) -> dict[str, str]:
    """Files of a design: `accelerator.yaml` and `cores/CORE.yaml`."""
    head = (f"{parts.title}, for Stream 2.1.", f"Not expressed: {LOSES}.")
    texts: dict[str, str] = {}
    ids: list[str] = []
    links: list[tuple[list[int], int]] = []
    first = parts.engines[0].engine
    for each in parts.engines:
        layers = [layer for name in each.networks for layer in parts.networks[name]]
        matrix = [layer for layer in layers if layer.is_matrix]
        core = {**accelerator(each.unit, each.name, matrix, with_dram=False), "type": "zigzag.compute"}
        texts[f"cores/{each.name}.yaml"] = yaml_text(core, *head)
        bits = max([8, *(layer.input_bits for layer in layers)])
        texts[f"cores/{each.name}_vector.yaml"] = yaml_text(
            _vector_core(f"{each.name}_vector", each.engine, bits), *head)
        mine = [f"./cores/{each.name}.yaml"] * each.units + [f"./cores/{each.name}_vector.yaml"]
        numbers = list(range(len(ids), len(ids) + len(mine)))
        ids += mine
        links.append((numbers, bits_per_cycle(each.engine.dram_bytes_per_s, each.engine)))
    off = len(ids)
    wide = bits_per_cycle(parts.chip.dram_bytes_per_s, first)
    texts["cores/offchip.yaml"] = yaml_text(_offchip(wide, first), *head)
    if parts.chip.dram_mode == DRAM_FIXED:
        connections = [{"type": "bus", "cores": [*numbers, off], "bandwidth": width} for numbers, width in links]
    else:
        connections = [{"type": "bus", "cores": list(range(off + 1)), "bandwidth": wide}]
    texts["accelerator.yaml"] = yaml_text(
        {"name": "npu", "cores": dict(enumerate([*ids, "./cores/offchip.yaml"])), "offchip_core_id": off,
         "unit_energy_cost": 0, "core_connectivity": connections}, *head)
    return texts


EXPORTER = Exporter(name="stream", summary="a folder with a Stream accelerator whose cores are the engines of a design",
                    loses=LOSES, files=files_with(design_texts), single=True)
