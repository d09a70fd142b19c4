"""A design for Timeloop v4: an architecture per engine, a problem per layer.

    DRAM -> buffer -> columns x rows of PEs -> what stays in a PE -> multiplier

The dataflow is a constraint on the spatial loops; which loops go there, and everything in time, is left to Timeloop's
mapper:

    dataflow   rows        columns    kept in the PE
    ws         C R S       M          weights
    os         N P Q       M          outputs
    is         C R S       N P Q      inputs
    rs         S C         Q M        all three

R, P go along the width of an image and S, Q along its height; C and M are per group.

References
----------
A. Parashar et al., "Timeloop", ISPASS 2019, doi:10.1109/ISPASS.2019.00042.
"""

from dataclasses import dataclass
from typing import Any, final

import yaml

from dse.exporters.chip import Parts, commented, files_with, matrix_layers, yaml_text
from dse.exporters.record import Exporter
from hwmodels.area import RS_SCRATCHPAD_WORDS, accumulator_bits
from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.engines.row_stationary import INPUT_SCRATCHPAD_WORDS
from hwmodels.network import Layer

__all__ = ["EXPORTER", "LOSES", "Tagged", "architecture", "design_texts", "problem", "tagged_text"]

LOSES = ("all but one layer at a time: networks, their order and what stays on chip between layers; arrivals, "
         "deadlines, the policy and the scheduler; several engines at once, division of an array at run time; "
         "vector layers and epilogues; our energies and areas (Accelergy estimates its own); fill, drain and "
         "overlap of folds; operands of different widths, several passes for wide ones; padding (same MACs, another "
         "footprint); private buffers per operand; time steps of recurrent layers (written as batch)")

_DIMENSIONS = ("C", "M", "R", "S", "N", "P", "Q", "G")
_SPATIAL = {"ws": ("CRS", "M"), "os": ("NPQ", "M"), "is": ("CRS", "NPQ"), "rs": ("SC", "QM")}
_BUFFER_WIDTH_BITS = 64


@final
@dataclass(frozen=True, slots=True)
class Tagged:
    """A mapping with a YAML tag, such as `!Component`."""

    tag: str
    value: dict[str, Any]


class _Dumper(yaml.SafeDumper):
    """Writes `Tagged`."""


_Dumper.add_representer(Tagged, lambda dumper, data: dumper.represent_mapping(f"!{data.tag}", data.value,
                                                                              flow_style=False))


def tagged_text(value: Any, *header: str) -> str:
    """A value with `Tagged` nodes as YAML, below the header as comments."""
    return commented(*header) + yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110,
                                          allow_unicode=True)


def _component(name: str, kind: str, attributes: dict[str, Any], keep: tuple[str, ...] = (), *,
               subclass: str = "") -> Tagged:
    value: dict[str, Any] = {"name": name, "class": kind}
    if subclass:
        value["subclass"] = subclass
    value["attributes"] = attributes
    if keep:
        spaces = ("Weights", "Inputs", "Outputs")
        value["constraints"] = {"dataspace": {"keep": list(keep), "bypass": [s for s in spaces if s not in keep]}}
    return Tagged("Component", value)


def _array_side(name: str, mesh: str, size: int, loops: str) -> Tagged:
    """PEs along one side; only `loops` may be unrolled there."""
    return Tagged("Container", {"name": name, "spatial": {mesh: size}, "constraints": {"spatial": {
        "factors": [f"{dimension}=1" for dimension in _DIMENSIONS if dimension not in loops]}}})


def _held(engine: Engine, bits: int, partial_bits: int) -> list[Tagged]:
    """Registers of a PE: one word of what stays there; scratchpads of row-stationary PEs."""
    if engine.dataflow == "rs":
        words = {"Inputs": INPUT_SCRATCHPAD_WORDS, "Weights": RS_SCRATCHPAD_WORDS[0] - INPUT_SCRATCHPAD_WORDS,
                 "Outputs": RS_SCRATCHPAD_WORDS[1]}
    else:
        words = {{"ws": "Weights", "os": "Outputs", "is": "Inputs"}[engine.dataflow]: 1}
    held = []
    for space, depth in words.items():
        width = partial_bits if space == "Outputs" else bits
        held.append(_component(f"pe_{space.lower()}", "storage",
                               {"depth": depth, "width": width, "datawidth": width, "read_bandwidth": 2,
                                "write_bandwidth": 2}, (space,), subclass="aladdin_register"))
    return [Tagged("Parallel", {"nodes": held})] if len(held) > 1 else held


def architecture(engine: Engine, name: str) -> dict[str, Any]:
    """The architecture file of an engine; bandwidths in words of its precision per cycle."""
    bits, partial_bits = PRECISION_BITS[engine.precision], engine.accumulator_bits or accumulator_bits(engine.precision)
    dram_words = engine.dram_bytes_per_s / engine.freq_hz * 8.0 / bits
    edge_words = engine.sram_words_per_cycle or engine.rows + 2 * engine.cols
    rows, cols = _SPATIAL[engine.dataflow]
    nodes = [
        Tagged("Container", {"name": "system", "attributes": {
            "technology": f"{engine.node_nm}nm", "global_cycle_seconds": 1.0 / engine.freq_hz}}),
        _component("DRAM", "DRAM", {"type": "LPDDR4", "width": _BUFFER_WIDTH_BITS, "datawidth": bits,
                                    "shared_bandwidth": dram_words}),
        Tagged("Container", {"name": name}),
        _component("buffer", "SRAM", {
            "depth": max(1, engine.sram_bytes * 8 // _BUFFER_WIDTH_BITS), "width": _BUFFER_WIDTH_BITS,
            "datawidth": bits, "n_banks": 32, "multiple_buffering": 2 if engine.double_buffered_sram else 1,
            "read_bandwidth": edge_words, "write_bandwidth": edge_words}),
        _array_side("columns", "meshX", engine.cols, cols), _array_side("rows", "meshY", engine.rows, rows),
        *_held(engine, bits, partial_bits),
        _component("mac", "intmac", {"multiplier_width": bits, "adder_width": partial_bits}),
    ]
    return {"architecture": {"version": "0.4", "nodes": nodes}}


def _shape() -> dict[str, Any]:
    def term(*names: str) -> list[list[str]]:
        return [list(names)]

    return {
        "name": "grouped_convolution", "dimensions": list(_DIMENSIONS),
        "coefficients": [{"name": name, "default": 1} for name in ("Wstride", "Hstride", "Wdilation", "Hdilation")],
        "data_spaces": [
            {"name": "Weights", "projection": [term(d) for d in ("C", "M", "R", "S", "G")]},
            {"name": "Inputs", "projection": [term("N"), term("C"), [["R", "Wdilation"], ["P", "Wstride"]],
                                              [["S", "Hdilation"], ["Q", "Hstride"]], term("G")]},
            {"name": "Outputs", "projection": [term(d) for d in ("N", "M", "P", "Q", "G")], "read_write": True}],
    }


def problem(layer: Layer) -> dict[str, Any]:
    """The problem file of a matrix layer; the product of its dimensions is the layer's MACs."""
    return {"problem": {"version": "0.4", "shape": _shape(), "instance": {
        "N": layer.batch * layer.repeat, "C": layer.c, "M": layer.k, "P": layer.ox, "Q": layer.oy, "R": layer.fx,
        "S": layer.fy, "G": layer.groups, "Wstride": layer.stride_x, "Hstride": layer.stride_y,
        "Wdilation": layer.dilation_x, "Hdilation": layer.dilation_y}}}


def design_texts(parts: Parts) -> dict[str, str]:
    """Files of a design: `architecture/ENGINE.yaml`, `problem/NETWORK/NUMBER_LAYER.yaml`."""
    head = (f"{parts.title}, for Timeloop v4 (0.4).", f"Not expressed: {LOSES}.")
    texts = {f"architecture/{each.name}.yaml": tagged_text(architecture(each.engine, each.name), *head)
             for each in parts.engines}
    for name, network in parts.networks.items():
        for number, (layer_name, layer) in enumerate(matrix_layers(network)):
            texts[f"problem/{name}/{number:03d}_{layer_name}.yaml"] = yaml_text(problem(layer), *head)
    runs = [f"  {each.name}: {', '.join(each.networks)}" for each in parts.engines]
    texts["NOTES.txt"] = "\n".join([*head, "", "Networks that an engine runs; give Timeloop's front end its "
                                    "architecture, one problem, and a mapper of your own:", *runs, ""])
    return texts


EXPORTER = Exporter(name="timeloop", summary="a folder with Timeloop v4 architectures and a problem per layer",
                    loses=LOSES, files=files_with(design_texts), single=True)
