"""A design for ZigZag (zigzag-dse 3.9): an accelerator per engine, a workload per network, a mapping per pair.

The spatial mapping is the engine's dataflow: along the rows and columns of the array (D1, D2) the loops of its roles
are unrolled, split so that the fewest folds are left:

    dataflow   rows        columns     held in the PE
    ws         C FY FX     K           weight
    os         OX OY B     K           output
    is         C FY FX     OX OY B     input
    rs         FY C        OY K        all three, in scratchpads

ZigZag cannot fold a product of loops as one (9 channels x 3 rows = 27 of 32 PEs leave 5 idle), so its ideal temporal
cycles are those of our folds without fill and drain where each loop divides, else more.

References
----------
L. Mei et al., "ZigZag", IEEE Trans. Computers 2021, doi:10.1109/TC.2021.3059962.
"""

import itertools
import math
from typing import Any

from dse.exporters.chip import Parts, bits_per_cycle, files_with, matrix_layers, yaml_text
from dse.exporters.record import Exporter
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

__all__ = ["EXPORTER", "LOSES", "accelerator", "design_texts", "ideal_cycles", "mapping", "unrolling", "workload"]

LOSES = ("arrivals, deadlines, the policy and the scheduler; several engines at once (one accelerator each), division "
         "of an array at run time; vector layers and epilogues (pooling, activation, normalisation, softmax, "
         "element-wise); folds of a product of loops, fill and drain of every fold (only once), fold overlap; "
         "several passes for wide operands, sparsity; depthwise channels side by side; parameters outside the loop "
         "nest; time steps of recurrent layers (written as batch); fractions of a bit per cycle of DRAM bandwidth")

_PJ = 1e12
_DRAM_BITS = 2**36
_EQUATION = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"
_RESERVED = ("default", "Conv", "Gemm")


def _loops(layer: Layer) -> dict[str, int]:
    """Loop sizes by ZigZag's names; `K`, `C` per group."""
    return {"B": layer.batch * layer.repeat, "G": layer.groups, "K": layer.k, "C": layer.c, "OY": layer.oy,
            "OX": layer.ox, "FY": layer.fy, "FX": layer.fx}


_ROLES = {"ws": (("C", "FY", "FX"), ("K",)), "os": (("OX", "OY", "B"), ("K",)),
          "is": (("C", "FY", "FX"), ("OX", "OY", "B")), "rs": (("FY", "C"), ("OY", "K"))}


def _split(sizes: dict[str, int], side: int) -> dict[str, int]:
    """Unrolling of up to three loops along one side of the array that leaves the fewest trips; earlier loops first."""
    names = list(sizes)
    best, best_trips = dict.fromkeys(names, 1), math.prod(sizes.values())
    *rest, last = reversed(names)  # the first name takes what the others leave
    for factors in itertools.product(*(range(1, min(sizes[name], side) + 1) for name in rest)):
        room = side // math.prod(factors)
        if room < 1:
            continue
        tried = {last: min(sizes[last], room), **dict(zip(rest, factors, strict=True))}
        trips = math.prod(math.ceil(sizes[name] / tried[name]) for name in names)
        if trips < best_trips:
            best, best_trips = {name: tried[name] for name in names}, trips
    return best


def unrolling(layer: Layer, engine: Engine) -> dict[str, dict[str, int]]:
    """Loops unrolled along D1 (rows) and D2 (columns) of the array."""
    sizes = _loops(layer)
    if layer.repeat > 1:
        sizes["B"] = 1  # time steps follow one another
    sides = zip(("D1", "D2"), _ROLES[engine.dataflow], (engine.rows, engine.cols), strict=True)
    return {side: _split({name: sizes[name] for name in names}, size) for side, names, size in sides}


def ideal_cycles(layer: Layer, engine: Engine) -> int:
    """What ZigZag calls ideal temporal cycles: one per step of the loops that are not unrolled."""
    unrolled = {name: factor for side in unrolling(layer, engine).values() for name, factor in side.items()}
    return math.prod(math.ceil(size / unrolled.get(name, 1)) for name, size in _loops(layer).items())


def _port(kind: str, number: int, bits: int, *uses: str) -> dict[str, Any]:
    name = {"read": "r", "write": "w", "read_write": "rw"}[kind]
    return {"name": f"{name}_port_{number}", "type": kind, "bandwidth_min": bits, "bandwidth_max": bits,
            "allocation": list(uses)}


_READS = {"I1": ("I1, tl",), "I2": ("I2, tl",), "O": ("O, tl", "O, th")}
_WRITES = {"I1": ("I1, fh",), "I2": ("I2, fh",), "O": ("O, fh", "O, fl")}


def _memory(size_bits: int, byte_j: float, ports: list[dict[str, Any]], *, operands: list[str], served: list[str],
            area_mm2: float = 0.0) -> dict[str, Any]:
    """A memory; energy per access of the widest word of its ports [pJ]."""
    word = max(port["bandwidth_max"] for port in ports)
    cost = float(byte_j * word / 8.0 * _PJ)
    return {"size": size_bits, "r_cost": cost, "w_cost": cost, "area": float(area_mm2), "latency": 1,
            "operands": operands, "ports": ports, "served_dimensions": served}


def _own_ports(widths: dict[str, int]) -> list[dict[str, Any]]:
    """A read and a write port for every operand."""
    ports = []
    for number, (operand, bits) in enumerate(widths.items(), start=1):
        ports += [_port("read", number, bits, *_READS[operand]), _port("write", number, bits, *_WRITES[operand])]
    return ports


def _held(engine: Engine, bits: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Registers or scratchpads inside the PEs."""
    if engine.dataflow == "rs":
        words = {"I1": INPUT_SCRATCHPAD_WORDS, "I2": RS_SCRATCHPAD_WORDS[0] - INPUT_SCRATCHPAD_WORDS,
                 "O": RS_SCRATCHPAD_WORDS[1]}
    else:
        words = {{"ws": "I2", "os": "O", "is": "I1"}[engine.dataflow]: 1}
    byte_j = register_file_energy_j_per_byte(engine.node_nm, corner=constants_of(engine))
    memories = {}
    for operand, count in words.items():
        ports = [_port("read", number, bits[operand], use) for number, use in enumerate(_READS[operand], start=1)]
        ports += [_port("write", number, bits[operand], use) for number, use in enumerate(_WRITES[operand], start=1)]
        memories[f"pe_{operand}"] = _memory(count * bits[operand], byte_j, ports, operands=[operand], served=[])
    return memories


def _buffers(engine: Engine, bits: dict[str, int], area_mm2: float) -> dict[str, dict[str, Any]]:
    """The on-chip buffer: shared, or one per operand; as wide as the array's edge unless its words are limited."""
    sides = {"ws": {"I1": engine.rows, "I2": engine.cols, "O": engine.cols},
             "os": {"I1": engine.rows, "I2": engine.cols, "O": engine.cols},
             "is": {"I1": engine.rows, "I2": engine.rows, "O": engine.cols},
             "rs": {"I1": engine.rows + engine.cols, "I2": engine.rows, "O": engine.cols}}[engine.dataflow]
    widths = {operand: sides[operand] * bits[operand] for operand in ("I1", "I2", "O")}
    byte_j = sram_energy_j_per_byte(engine.node_nm, engine.sram_bytes, corner=constants_of(engine))
    both = ["D1", "D2"]
    if engine.sram_fracs is not None:
        return {f"sram_{operand}": _memory(max(bits[operand], int(engine.sram_bytes * frac) * 8), byte_j,
                                           _own_ports({operand: widths[operand]}), operands=[operand], served=both,
                                           area_mm2=area_mm2 * frac)
                for operand, frac in zip(widths, engine.sram_fracs, strict=True)}
    ports = _own_ports(widths)
    if engine.sram_words_per_cycle:
        width = engine.sram_words_per_cycle * PRECISION_BITS[engine.precision]
        ports = [_port("read", 1, width, *itertools.chain.from_iterable(_READS.values())),
                 _port("write", 1, width, *itertools.chain.from_iterable(_WRITES.values()))]
    return {"sram": _memory(engine.sram_bytes * 8, byte_j, ports, operands=list(widths), served=both,
                            area_mm2=area_mm2)}


def dram(bits: int, engine: Engine) -> dict[str, Any]:
    """DRAM with one port for everything, `bits` per cycle."""
    uses = [use for operand in _READS for use in (*_WRITES[operand], *_READS[operand])]
    byte_j = dram_energy_j_per_byte(corner=constants_of(engine))
    return _memory(_DRAM_BITS, byte_j, [_port("read_write", 1, bits, *uses)],
                   operands=list(_READS), served=["D1", "D2"])


def accelerator(engine: Engine, name: str, layers: list[Layer], *, with_dram: bool = True) -> dict[str, Any]:
    """The accelerator file of an engine; registers are as wide as the widest operand of the layers."""
    native, sums = PRECISION_BITS[engine.precision], engine.accumulator_bits or accumulator_bits(engine.precision)
    bits = {"I1": max([native, *(layer.input_bits for layer in layers)]),
            "I2": max([native, *(layer.weight_bits for layer in layers)]),
            "O": max([sums, *(layer.output_bits for layer in layers)])}
    area, mac_j = engine_area_mm2(engine), mac_energy_j(engine.node_nm, engine.precision, corner=constants_of(engine))
    memories = {**_held(engine, bits), **_buffers(engine, bits, area["sram"])}
    if with_dram:
        memories["dram"] = dram(bits_per_cycle(engine.dram_bytes_per_s, engine), engine)
    return {"name": name, "memories": memories,
            "operational_array": {"unit_energy": float(mac_j * _PJ),
                                  "unit_area": float(area["pes"] / engine.pes), "dimensions": ["D1", "D2"],
                                  "sizes": [engine.rows, engine.cols],
                                  "systolic_dimensions": [] if engine.dataflow == "rs" else ["D1", "D2"]}}


def _producer(network: Network, index: int) -> int:
    """Nearest matrix layer before `index` that its input comes from, through vector layers; -1 for none."""
    while index >= 0:
        producers = network.producers(index)
        index = producers[0] if producers else -1
        if index >= 0 and network.layers[index].is_matrix:
            return index
    return -1


def _named(network: Network) -> list[tuple[str, Layer]]:
    return [(f"{name}_layer" if name in _RESERVED else name, layer) for name, layer in matrix_layers(network)]


def workload(network: Network, partial_bits: int = 32) -> list[dict[str, Any]]:
    """The workload file of a network: its matrix layers; the product of `loop_sizes` is a layer's MACs."""
    place = {index: at for at, index in enumerate(i for i, layer in enumerate(network) if layer.is_matrix)}
    found = []
    for (index, at), (name, layer) in zip(place.items(), _named(network), strict=True):
        loops = _loops(layer)
        pads = [[pad // 2, pad - pad // 2] for pad in (layer.pad_y, layer.pad_x)]
        source = _producer(network, index)
        found.append({
            "id": at, "name": name, "operator_type": "Conv" if layer.op in ("conv", "depthwise") else "Gemm",
            "equation": _EQUATION,
            "dimension_relations": [f"ix={layer.stride_x}*ox+{layer.dilation_x}*fx",
                                    f"iy={layer.stride_y}*oy+{layer.dilation_y}*fy"],
            "loop_dims": list(loops), "loop_sizes": list(loops.values()),
            "pr_loop_dims": ["IY", "IX"],
            "pr_loop_sizes": [max(1, layer.iy - layer.pad_y), max(1, layer.ix - layer.pad_x)], "padding": pads,
            "operand_precision": {"W": layer.weight_bits, "I": layer.input_bits,
                                  "O": max(partial_bits, layer.output_bits), "O_final": layer.output_bits},
            # an operand whose source is the layer itself is a constant: weights, and what comes from outside
            "operand_source": {"I": place.get(source, at), "W": at},
        })
    return found


def mapping(network: Network, engine: Engine) -> list[dict[str, Any]]:
    """The mapping file of a network on an engine: the unrolling of every layer."""
    links = {"O": "O", "W": "I2", "I": "I1"}
    rows, cols = _ROLES[engine.dataflow]
    entries = [{"name": "default", "spatial_mapping": {"D1": [f"{rows[0]}, {engine.rows}"],
                                                       "D2": [f"{cols[0]}, {engine.cols}"]},
                "memory_operand_links": dict(links)}]
    for name, layer in _named(network):
        spatial = {side: [f"{loop}, {factor}" for loop, factor in loops.items() if factor > 1]
                   or [f"{next(iter(loops))}, 1"] for side, loops in unrolling(layer, engine).items()}
        entries.append({"name": name, "spatial_mapping": spatial, "memory_operand_links": dict(links)})
    return entries


def design_texts(parts: Parts) -> dict[str, str]:
    """Files of a design: `accelerator/ENGINE.yaml`, `workload/NETWORK.yaml`, `mapping/ENGINE/NETWORK.yaml`."""
    head = (f"{parts.title}, for ZigZag 3.9.", f"Not expressed: {LOSES}.")
    texts, lines = {}, []
    sums = {e.name: e.engine.accumulator_bits or accumulator_bits(e.engine.precision) for e in parts.engines}
    for name, network in parts.networks.items():
        users = [sums[e.name] for e in parts.engines if name in e.networks]
        texts[f"workload/{name}.yaml"] = yaml_text(workload(network, max(users, default=32)), *head)
    for each in parts.engines:
        layers = [layer for name in each.networks for layer in parts.networks[name] if layer.is_matrix]
        texts[f"accelerator/{each.name}.yaml"] = yaml_text(accelerator(each.engine, each.name, layers), *head)
        for name in each.networks:
            texts[f"mapping/{each.name}/{name}.yaml"] = yaml_text(mapping(parts.networks[name], each.engine), *head)
            lines.append(f"  get_hardware_performance_zigzag('workload/{name}.yaml', 'accelerator/{each.name}.yaml', "
                         f"'mapping/{each.name}/{name}.yaml', opt='latency', lpf_limit=4)")
    texts["NOTES.txt"] = "\n".join([*head, "", "From Python in this folder (zigzag-dse needs the package six too):",
                                    "  from zigzag.api import get_hardware_performance_zigzag", *lines, ""])
    return texts


EXPORTER = Exporter(name="zigzag", summary="a folder with ZigZag accelerators, workloads and mappings of one design",
                    loses=LOSES, files=files_with(design_texts), single=True)
