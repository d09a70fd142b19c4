"""A design for AccelForge (accelforge 1.0): an architecture per engine, a workload of einsums per network.

Every matrix layer is an einsum of its own: T[b, g, k, y, x] += I[b, g, c, iy, ix] W[g, k, c, r, s]. Loops of size one
are left out (except k, c, y). The dataflow is what may be reused along each side of the array, and what stays in a PE:

    dataflow   reused along rows   along columns   in the PE
    ws         output              input           weight
    os         weight              input           output
    is         output              weight          input
    rs         output              weight          all three

References
----------
github.com/Accelergy-Project/accelforge; Einsums as in "TeAAL", MICRO 2023, doi:10.1145/3613424.3623791.
"""

import math
from typing import Any

from dse.exporters.chip import Parts, files_with, matrix_layers, yaml_text
from dse.exporters.record import Exporter
from dse.exporters.timeloop import Tagged, tagged_text
from hwmodels.area import RS_SCRATCHPAD_WORDS, accumulator_bits, engine_area_mm2
from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.engines.row_stationary import INPUT_SCRATCHPAD_WORDS
from hwmodels.network import Layer, Network
from hwmodels.technology import (
    constants_of,
    dram_energy_j_per_byte,
    mac_energy_j,
    register_file_energy_j_per_byte,
    sram_energy_j_per_byte,
)

__all__ = ["EXPORTER", "LOSES", "architecture", "design_texts", "workload"]

LOSES = ("arrivals, deadlines, the policy and the scheduler; several engines at once, division of an array at run "
         "time; vector layers and epilogues; what stays on chip between layers (each has tensors of its own); fill, "
         "drain and overlap of folds; several passes for wide operands, width of partial sums; padding (same MACs, "
         "another footprint); time steps of recurrent layers (written as batch); leakage")

_REUSED = {"ws": ("output", "input"), "os": ("weight", "input"), "is": ("output", "weight"), "rs": ("output", "weight")}
_M2_PER_MM2 = 1e-6


def _memory(name: str, size_bits: float, j_per_byte: float, bits_per_s: float, tensors: dict[str, str],
            area_mm2: float = 0.0) -> Tagged:
    """A memory; energy per bit [J], throughput [bit/s], area [m2]."""
    def finite(value: float) -> float | str:
        return value if math.isfinite(value) else "inf"

    actions = [{"name": action, "energy": float(j_per_byte / 8.0), "throughput": finite(bits_per_s)}
               for action in ("read", "write")]
    return Tagged("Memory", {"name": name, "size": finite(size_bits), "leak_power": 0,
                             "area": float(area_mm2 * _M2_PER_MM2), "tensors": tensors, "actions": actions})


def architecture(engine: Engine) -> dict[str, Any]:
    """The architecture file of an engine."""
    bits, sums = PRECISION_BITS[engine.precision], engine.accumulator_bits or accumulator_bits(engine.precision)
    area = engine_area_mm2(engine)
    if engine.dataflow == "rs":
        held = {"input": INPUT_SCRATCHPAD_WORDS * bits, "output": RS_SCRATCHPAD_WORDS[1] * sums,
                "weight": (RS_SCRATCHPAD_WORDS[0] - INPUT_SCRATCHPAD_WORDS) * bits}
    else:
        kept = {"ws": "weight", "os": "output", "is": "input"}[engine.dataflow]
        held = {kept: sums if kept == "output" else bits}
    words = engine.sram_words_per_cycle
    sram_bits_per_s = words * bits * engine.freq_hz if words else math.inf
    rows, cols, own = *_REUSED[engine.dataflow], constants_of(engine)
    held_j = register_file_energy_j_per_byte(engine.node_nm, corner=own)
    in_pe = [_memory(f"pe_{tensor}", size, held_j, math.inf, {"keep": tensor}) for tensor, size in held.items()]
    mac = Tagged("Compute", {"name": "mac", "leak_power": 0, "area": float(area["pes"] / engine.pes * _M2_PER_MM2),
                             "actions": [{"name": "compute", "throughput": float(engine.freq_hz),
                                          "energy": float(mac_energy_j(engine.node_nm, engine.precision,
                                                                       corner=own))}]})
    nodes = [
        _memory("dram", math.inf, dram_energy_j_per_byte(corner=own), engine.dram_bytes_per_s * 8.0,
                {"keep": "~Intermediates", "may_keep": "All"}),
        _memory("buffer", engine.sram_bytes * 8, sram_energy_j_per_byte(engine.node_nm, engine.sram_bytes, corner=own),
                sram_bits_per_s, {"keep": "~dram", "may_keep": "All"}, area["sram"]),
        Tagged("Container", {"name": "pe", "spatial": [{"name": "rows", "fanout": engine.rows, "reuse": rows},
                                                       {"name": "columns", "fanout": engine.cols, "reuse": cols}]}),
        *in_pe, mac]
    return {"arch": {"nodes": nodes}}


def _position(out: str, size: int, stride: int, window: str, window_size: int, dilation: int) -> str:
    """Place in the input along one axis, '' where the axis has one element."""
    terms = [f"{factor} * {name}" if factor > 1 else name
             for name, length, factor in ((out, size, stride), (window, window_size, dilation)) if length > 1]
    return " + ".join(terms)


def _einsum(name: str, layer: Layer, at: int) -> dict[str, Any]:
    loops = {"b": layer.batch * layer.repeat, "g": layer.groups, "k": layer.k, "c": layer.c, "y": layer.oy,
             "x": layer.ox, "r": layer.fy, "s": layer.fx}
    kept = [loop for loop, size in loops.items() if size > 1 or loop in "kcy"]

    def project(names: str) -> dict[str, str]:
        return {f"{n.upper()}{at}": f"{n}{at}" for n in names if n in kept}

    inputs = project("bgc")
    height = _position(f"y{at}", 2 if "y" in kept else 1, layer.stride_y, f"r{at}", layer.fy, layer.dilation_y)
    width = _position(f"x{at}", layer.ox, layer.stride_x, f"s{at}", layer.fx, layer.dilation_x)
    inputs |= {rank: place for rank, place in ((f"IY{at}", height), (f"IX{at}", width)) if place}
    return {
        "name": f"L{at}_{name}",
        "tensor_accesses": [
            {"name": f"I{at}", "projection": inputs, "bits_per_value": layer.input_bits},
            {"name": f"W{at}", "projection": project("gkcrs"), "bits_per_value": layer.weight_bits},
            {"name": f"T{at}", "projection": project("bgkyx"), "bits_per_value": layer.output_bits, "output": True}],
        "iteration_space_shape": [f"0 <= {loop}{at} < {loops[loop]}" for loop in kept],
        "renames": {"input": f"I{at}", "weight": f"W{at}", "output": f"T{at}"},
    }


def workload(network: Network) -> dict[str, Any]:
    """The workload file of a network: an einsum per matrix layer, with its MACs as steps."""
    return {"workload": {"einsums": [_einsum(name.replace("-", "_").replace(".", "_"), layer, at)
                                     for at, (name, layer) in enumerate(matrix_layers(network))]}}


def design_texts(parts: Parts) -> dict[str, str]:
    """Files of a design: `arch/ENGINE.yaml`, `workload/NETWORK.yaml`."""
    head = (f"{parts.title}, for AccelForge 1.0.", f"Not expressed: {LOSES}.")
    texts = {f"arch/{each.name}.yaml": tagged_text(architecture(each.engine), *head) for each in parts.engines}
    for name, network in parts.networks.items():
        texts[f"workload/{name}.yaml"] = yaml_text(workload(network), *head)
    pairs = [f"  accelforge.Spec.from_yaml('arch/{each.name}.yaml', 'workload/{name}.yaml')"
             for each in parts.engines for name in each.networks]
    texts["NOTES.txt"] = "\n".join([*head, "", "From Python, in this folder:", *pairs, ""])
    return texts


EXPORTER = Exporter(name="accelforge", summary="a folder with AccelForge architectures and einsums of one design",
                    loses=LOSES, files=files_with(design_texts), single=True)
