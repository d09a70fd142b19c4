"""The ZigZag export: what the files say, and (slow) what ZigZag 3.9.1 makes of them."""

import importlib.util
import json
import math
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dse.exporters import EXPORTERS
from dse.exporters.zigzag import LOSES, accelerator, design_texts, ideal_cycles, mapping, unrolling, workload
from hwmodels.engines.systolic import folds
from hwmodels.network import Layer, Network
from hwmodels.networks import NETWORKS, network


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools = _load("export_tools")


def stream_steps(layer, engine):
    """Our folds times the length of the stream: compute cycles without fill and drain."""
    groups, m, n, k = layer.gemm
    fr, fc = folds(m, n, k, engine.rows, engine.cols, engine.dataflow)
    return layer.repeat * groups * fr * fc * {"ws": m, "os": k, "is": n}[engine.dataflow]


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
@pytest.mark.parametrize("layer", [
    Layer(name="pointwise", op="conv", k=40, c=50, oy=14, ox=1),
    Layer(name="product", op="gemm", k=100, c=33, oy=21),
    Layer(name="heads", op="attention", groups=3, k=17, c=64, oy=40),
    Layer(name="one channel", op="depthwise", groups=8, k=1, c=1, oy=16, ox=1, fy=3, fx=3),
], ids=lambda layer: layer.name)
def test_ideal_cycles_are_our_folds_times_the_stream_where_a_side_has_one_loop(layer, dataflow):
    engine = tools.engine(dataflow=dataflow, rows=16, cols=8)
    assert ideal_cycles(layer, engine) == stream_steps(layer, engine)


sizes = st.integers(1, 40)


@settings(max_examples=80, deadline=None)
@given(k=sizes, c=sizes, oy=sizes, ox=sizes, fy=st.integers(1, 5), fx=st.integers(1, 5), groups=st.integers(1, 3),
       batch=st.integers(1, 3), rows=st.sampled_from([4, 16, 20]), cols=st.sampled_from([8, 16]),
       dataflow=st.sampled_from(["ws", "os", "is"]))
def test_split_loops_never_need_fewer_cycles_than_our_folds(k, c, oy, ox, fy, fx, groups, batch, rows, cols, dataflow):
    layer = Layer(name="l", op="conv", k=k, c=c, oy=oy, ox=ox, fy=fy, fx=fx, groups=groups, batch=batch)
    engine = tools.engine(rows=rows, cols=cols, dataflow=dataflow)
    assert layer.macs / engine.pes <= stream_steps(layer, engine) <= ideal_cycles(layer, engine)
    for side, room in (("D1", rows), ("D2", cols)):
        assert math.prod(unrolling(layer, engine)[side].values()) <= room


def test_unrolling_by_hand():
    layer = Layer(name="l", op="conv", k=40, c=5, oy=6, ox=7, fy=3, fx=3)
    assert unrolling(layer, tools.engine()) == {"D1": {"C": 5, "FY": 3, "FX": 1}, "D2": {"K": 16}}
    assert unrolling(layer, tools.engine(dataflow="os")) == {"D1": {"OX": 7, "OY": 2, "B": 1}, "D2": {"K": 16}}
    assert ideal_cycles(layer, tools.engine(dataflow="os")) == 3 * 3 * 5 * 9
    assert unrolling(layer, tools.engine(dataflow="rs", rows=7)) == {"D1": {"FY": 3, "C": 2}, "D2": {"OY": 2, "K": 8}}
    steps = Layer(name="l", op="recurrent", k=40, c=5, repeat=9)
    assert unrolling(steps, tools.engine(dataflow="os"))["D1"] == {"OX": 1, "OY": 1, "B": 1}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_workload_has_the_macs_of_its_network(name):
    layers = workload(network(name))
    assert sum(math.prod(layer["loop_sizes"]) for layer in layers) == network(name).macs
    assert len({layer["name"] for layer in layers}) == len(layers)
    for layer in layers:
        assert all(source <= layer["id"] for source in layer["operand_source"].values())


def test_a_layer_by_hand():
    layers = workload(tools.SMALL)
    assert [layer["name"] for layer in layers] == ["c1", "dw", "pw", "pw_2", "fc", "att", "lstm"]
    assert layers[3]["loop_sizes"] == [1, 1, 20, 32, 7, 7, 1, 3]
    assert layers[3]["dimension_relations"] == ["ix=1*ox+2*fx", "iy=2*oy+1*fy"]
    assert layers[3]["padding"] == [[0, 0], [2, 2]]
    assert layers[3]["pr_loop_sizes"] == [13, 7]
    assert layers[2]["operand_source"] == {"I": 1, "W": 2}  # through the activation
    assert layers[6]["loop_sizes"][0] == 5


def test_names_that_mean_something_else_are_changed():
    net = Network(name="n", layers=(Layer(name="default", op="gemm", k=2, c=2), Layer(name="a, b\n", op="gemm")))
    assert [layer["name"] for layer in workload(net)] == ["default_layer", "a__b_"]
    assert [entry["name"] for entry in mapping(net, tools.engine())] == ["default", "default_layer", "a__b_"]


def test_an_accelerator_by_hand():
    found = accelerator(tools.engine(dram_bytes_per_s=3.3e9), "e", list(tools.SMALL))
    assert found["memories"]["pe_I2"]["size"] == 8
    assert found["memories"]["sram"]["size"] == 262144 * 8
    assert found["memories"]["dram"]["ports"][0]["bandwidth_max"] == 52  # 6.6 bytes per cycle
    assert found["operational_array"]["sizes"] == [16, 16]
    split = accelerator(tools.engine(sram_fracs=(0.25, 0.25, 0.5)), "e", [])["memories"]
    assert [split[f"sram_{o}"]["size"] for o in ("I1", "I2", "O")] == [524288, 524288, 1048576]
    few = accelerator(tools.engine(sram_words_per_cycle=12), "e", [])["memories"]["sram"]["ports"]
    assert [port["bandwidth_max"] for port in few] == [96, 96]
    wide = Layer(name="w", op="gemm", weight_bits=16)
    assert accelerator(tools.engine(), "e", [wide])["memories"]["pe_I2"]["size"] == 16


@pytest.mark.parametrize("name", list(tools.DESIGNS))
def test_every_file_says_what_is_lost_and_is_complete(name):
    texts = design_texts(tools.parts(name))
    first = LOSES.split(";")[0]
    for text in texts.values():
        assert first in text.replace("\n# ", " ")
    for file in texts:
        if file.startswith("mapping/"):
            _, unit, net = file.split("/")
            layers = yaml.safe_load(texts[f"workload/{net}"])
            names = {entry["name"] for entry in yaml.safe_load(texts[file])}
            assert {layer["name"] for layer in layers} | {"default"} == names
            assert f"accelerator/{unit}.yaml" in texts
    pairs = sum(file.startswith("mapping/") for file in texts)
    assert pairs == {"time_mux": 2, "composable": 2, "heterogeneous": 4, "dedicated": 2}[name]
    assert EXPORTERS["zigzag"].loses == LOSES


RUN = """
import contextlib, io, json, logging, os, sys, tempfile
logging.disable(logging.CRITICAL)
from zigzag.api import get_hardware_performance_zigzag
found = []
with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
    for files in json.loads(sys.argv[1]):
        with contextlib.redirect_stderr(null):
            each = get_hardware_performance_zigzag(*files, opt="latency", lpf_limit=3, dump_folder=folder,
                                                   loma_show_progress_bar=False)[-1][0][1]
        found.append([[c[0].layer.name, int(c[0].layer.total_mac_count), int(c[0].ideal_temporal_cycle),
                       float(c[0].latency_total2)] for c in each])
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(tools.DESIGNS))
def test_zigzag_reads_the_files_and_counts_the_same(name, tmp_path):
    python = tools.require("zigzag", "3.9.1")
    parts = tools.parts(name)
    texts = design_texts(parts)
    tools.write(texts, tmp_path)
    pairs = [(each, net) for each in parts.engines for net in each.networks if net == "small_net"]
    triples = [[f"workload/{net}.yaml", f"accelerator/{each.name}.yaml", f"mapping/{each.name}/{net}.yaml"]
               for each, net in pairs]
    done = subprocess.run([python, "-c", RUN, json.dumps(triples)], cwd=tmp_path, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout.splitlines()[-1])
    assert len(results) == len(pairs) > 0
    for (each, net), rows in zip(pairs, results, strict=True):
        ours = {layer["name"]: layer for layer in yaml.safe_load(texts[f"workload/{net}.yaml"])}
        layers = dict(zip(ours, (layer for layer in parts.networks[net] if layer.is_matrix), strict=True))
        assert {row[0] for row in rows} == set(ours)
        for layer, macs, ideal, latency in rows:
            assert macs == layers[layer].macs
            assert ideal == ideal_cycles(layers[layer], each.engine)
            assert latency >= ideal
