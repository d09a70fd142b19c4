"""Export, then import: what we write for SCALE-Sim, Timeloop and ZigZag reads back as layers that cost the same."""

import importlib.util
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dse.exporters import scalesim, timeloop, zigzag
from dse.readers import load_network
from hwmodels.cost import layer_costs
from hwmodels.network import Network

_spec = importlib.util.spec_from_file_location("export_tools", Path(__file__).with_name("export_tools.py"))
tools = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tools)


def _scalesim(parts):
    return {f"{name}.csv": scalesim.topology(network) for name, network in parts.networks.items()}


WRITERS = {"scalesim": _scalesim, "timeloop": timeloop.design_texts, "zigzag": zigzag.design_texts}
FILES = {"scalesim": "{name}.csv", "timeloop": "problem/{name}/*.yaml", "zigzag": "workload/{name}.yaml"}


def _plain(layers):
    """Products without groups or repeats, whose form all three tools share, with 8-bit operands as they count them."""
    return [layer for layer in layers if layer.op in ("conv", "gemm") and layer.stride_y == layer.stride_x
            and layer.groups == layer.repeat == layer.batch == layer.dilation_y == layer.dilation_x == 1]


def _costs(layers, engine):
    """(MACs, compute cycles) of every layer on its own."""
    alone = tuple(replace(layer, inputs=None, vector_ops=0) for layer in layers)
    found = layer_costs(Network(name="n", layers=alone), engine)
    return Counter(zip([layer.macs for layer in layers], found.compute_cycles.tolist(), strict=True))


@pytest.mark.parametrize("fmt", list(WRITERS))
@pytest.mark.parametrize("name", ["time_mux", "heterogeneous", "dedicated"])
def test_layers_come_back_with_their_cycles(fmt, name, tmp_path):
    parts = tools.parts(name)
    tools.write(WRITERS[fmt](parts), tmp_path)
    for network, layers in parts.networks.items():
        read = [layer for file in sorted(tmp_path.glob(FILES[fmt].format(name=network)))
                for layer in load_network(str(file)).network]
        assert sum(layer.macs for layer in read) == sum(layer.macs for layer in layers if layer.is_matrix)
        for of_chip in parts.engines:
            wanted = _costs(_plain(layers), of_chip.engine)
            assert wanted
            assert not wanted - _costs(_plain(read), of_chip.engine)
