"""Engines and networks of one design for SCALE-Sim: one .cfg per distinct engine, one topology .csv per network.

A topology row has no groups, batch, padding or dilation: a grouped layer (depthwise, attention heads) is written once
per group, batch element and time step, with the exact input extent H = (O - 1) s + R, so that the MACs of a file are
those of the network. Layers of unequal strides and matrix products are written as the equivalent 1x1 convolution.

References
----------
A. Samajdar et al., ISPASS 2020, doi:10.1109/ISPASS48437.2020.00016.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from dse.errors import InputError, Problem
from dse.exporters.design import design_record, design_text
from dse.exporters.record import Exporter, Files
from dse.report.rundata import RunData
from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.errors import ModelError
from hwmodels.network import Layer, Network

__all__ = ["EXPORTER", "config", "layout", "topology"]

_HEADER = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
_LAYOUT_COLUMNS = 20
_LAYOUT_HEADER = f"Layer name,{' factor or order,' * _LAYOUT_COLUMNS}"
_DATAFLOWS = ("ws", "os", "is")
_KIB = 1024

LOSES = ("the scheduler, arrivals and deadlines; several engines at once; vector layers (pooling, normalisation, "
         "softmax); precision; one buffer for all operands (split in three equal parts); padding and dilation "
         "(same MACs, another footprint); fractions of a word per cycle of DRAM bandwidth")


def config(engine: Engine, name: str) -> str:
    """The .cfg of an engine.

    Raises
    ------
    InputError : a dataflow SCALE-Sim does not have.
    """
    if engine.dataflow not in _DATAFLOWS:
        raise InputError(Problem(field="dataflow", message=f"must be one of {', '.join(_DATAFLOWS)} for SCALE-Sim, "
                                                           f"got '{engine.dataflow}'"))
    third = max(1, engine.sram_bytes // 3 // _KIB)
    words = max(1, int(engine.dram_bytes_per_s / engine.freq_hz * 8 / PRECISION_BITS[engine.precision]))
    return "\n".join([
        "[general]", f"run_name = {name}", "", "[architecture_presets]",
        f"ArrayHeight = {engine.rows}", f"ArrayWidth = {engine.cols}",
        f"IfmapSramSzkB = {third}", f"FilterSramSzkB = {third}", f"OfmapSramSzkB = {third}",
        "IfmapOffset = 0", "FilterOffset = 10000000", "OfmapOffset = 20000000",
        f"Bandwidth = {words}", f"Dataflow = {engine.dataflow}", "ReadRequestBuffer = 32", "WriteRequestBuffer = 32",
        "", "[layout]", "IfmapCustomLayout = False", "IfmapSRAMBankBandwidth = 10", "IfmapSRAMBankNum = 10",
        "IfmapSRAMBankPort = 2", "FilterCustomLayout = False", "FilterSRAMBankBandwidth = 10",
        "FilterSRAMBankNum = 10", "FilterSRAMBankPort = 2",
        "", "[sparsity]", "SparsitySupport = false", "SparseRep = ellpack_block", "OptimizedMapping = false",
        "BlockSize = 8", "RandomNumberGeneratorSeed = 40", "", "[run_presets]", "InterfaceBandwidth = USER",
        "UseRamulatorTrace = False", "",
    ])


def _row(layer: Layer) -> tuple[int, ...]:
    """Height, width, filter height and width, channels, filters, stride of one group of one step."""
    if layer.op in ("conv", "depthwise") and layer.stride_y == layer.stride_x:
        height = (layer.oy - 1) * layer.stride_y + layer.fy
        width = (layer.ox - 1) * layer.stride_x + layer.fx
        return height, width, layer.fy, layer.fx, layer.c, layer.k, layer.stride_y
    return layer.oy, layer.ox, 1, 1, layer.c * layer.fy * layer.fx, layer.k, 1


def _name(text: str) -> str:
    """A name without separators; SCALE-Sim takes `DP` for depthwise and multiplies the row."""
    return text.replace(",", ";").replace("\n", " ").replace("DP", "Dp")


def _rows(network: Network) -> Iterator[str]:
    for layer in network:
        if not layer.is_matrix:
            continue
        row = ", ".join(map(str, _row(layer)))
        copies = layer.repeat * layer.batch * layer.groups
        for copy in range(copies):
            yield f"{_name(layer.name)}{f'_{copy}' if copies > 1 else ''}, {row},"


def topology(network: Network) -> str:
    """The .csv of a network; its MACs are those of the network."""
    return "\n".join([_HEADER, *_rows(network)]) + "\n"


def layout(network: Network) -> str:
    """The layout .csv that SCALE-Sim 3.0 insists on; it reads no more than the names, as custom layouts are off."""
    names = [row.split(",")[0] for row in _rows(network)]
    return "\n".join([_LAYOUT_HEADER, *(f"{name},{' 1,' * _LAYOUT_COLUMNS}" for name in names)]) + "\n"


def files(run: RunData, trials: Sequence[int]) -> Files:
    """A folder: configurations, topologies, the design, and what is lost."""
    design, workload, _ = design_record(run, trials[0])
    try:
        chip = design.architecture.chip(workload)
    except ModelError as error:
        raise InputError(Problem(field=f"trial {trials[0]}", message=str(error))) from None
    found: Files = {"design.yaml": design_text(run, trials[0]).encode()}
    lines = [f"Trial {trials[0]} of study {run.name} for SCALE-Sim.", "", f"Not expressed: {LOSES}.", "",
             "Run each network on each engine, e.g. with SCALE-Sim 3.0.0 and numpy 2.3.5, in this folder:"]
    engines: dict[Engine, str] = {}
    for slot in chip.slots:
        engines.setdefault(slot.levels[-1][1][0], slot.name)
    tops: dict[str, Any] = {}
    for network in workload.networks:
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in network.name)
        tops[name if f"{name}.csv" not in found else f"{name}_{len(found)}"] = network
    for engine, name in engines.items():
        found[f"{name}.cfg"] = f"# Not expressed: {LOSES}.\n{config(engine, name)}".encode()
    for name, network in tops.items():
        found[f"{name}.csv"] = topology(network).encode()
        found[f"layout/{name}.csv"] = layout(network).encode()
        lines.append(f"  python -m scalesim.scale -c {next(iter(engines.values()))}.cfg -t {name}.csv "
                     f"-l layout/{name}.csv -p out -i conv -s N")
    found["NOTES.txt"] = ("\n".join(lines) + "\n").encode()
    return found


EXPORTER = Exporter(name="scalesim", summary="a folder with SCALE-Sim configurations and topologies of one design",
                    loses=LOSES, files=files, single=True)
