"""The Timeloop, AccelForge and Stream exports: hand-checked files, round trips, and (slow) Stream's own parser."""

import importlib.util
import json
import math
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from dse.exporters import EXPORTERS, accelforge, stream, timeloop
from dse.readers.timeloop import read_problem
from dse.readers.zigzag import read_workload
from hwmodels.network import Layer
from hwmodels.networks import NETWORKS, network


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools = _load("export_tools")


class Tags(yaml.SafeLoader):
    """Reads `!Component {..}` as {"!": "Component", ..}."""


Tags.add_multi_constructor("!", lambda loader, tag, node: {"!": tag, **loader.construct_mapping(node, deep=True)})


def nodes(text, top):
    return yaml.load(text, Tags)[top]["nodes"]


def sizes_of(layer):
    return (layer.batch * layer.repeat, layer.groups, layer.k, layer.c, layer.oy, layer.ox, layer.fy, layer.fx,
            layer.stride_y, layer.stride_x, layer.macs)


@pytest.mark.parametrize("name", list(tools.DESIGNS))
def test_every_problem_reads_back_as_its_layer(name, tmp_path):
    parts = tools.parts(name)
    tools.write(timeloop.design_texts(parts), tmp_path)
    for net, layers in parts.networks.items():
        files = sorted((tmp_path / "problem" / net).iterdir())
        matrix = [layer for layer in layers if layer.is_matrix]
        assert len(files) == len(matrix) > 0
        for file, layer in zip(files, matrix, strict=True):
            read = read_problem(file).network.layers
            assert len(read) == 1
            assert read[0].macs == layer.macs
            if layer.op == "conv":
                assert sizes_of(read[0]) == sizes_of(layer)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "res8", "bert_base"])
def test_macs_of_networks_read_back(name, tmp_path):
    if name not in NETWORKS:
        pytest.skip(f"no network {name}")
    total = 0
    for number, layer in enumerate(layer for layer in network(name) if layer.is_matrix):
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(timeloop.problem(layer)))
        total += read_problem(file).network.macs
    assert total == network(name).macs


def test_a_problem_by_hand():
    layer = Layer(name="l", op="conv", batch=2, groups=3, k=4, c=5, oy=6, ox=7, fy=8, fx=9, stride_y=2, stride_x=3,
                  dilation_y=4, dilation_x=5)
    instance = timeloop.problem(layer)["problem"]["instance"]
    assert instance == {"N": 2, "C": 5, "M": 4, "P": 7, "Q": 6, "R": 9, "S": 8, "G": 3, "Wstride": 3, "Hstride": 2,
                        "Wdilation": 5, "Hdilation": 4}
    assert math.prod(instance[d] for d in timeloop.problem(layer)["problem"]["shape"]["dimensions"]) == layer.macs


def test_an_architecture_by_hand():
    text = timeloop.tagged_text(timeloop.architecture(tools.engine(rows=8, dataflow="os"), "npu"), "head")
    assert text.startswith("# head\n")
    found = {node["name"]: node for node in nodes(text, "architecture")}
    assert [node["!"] for node in found.values()] == ["Container", "Component", "Container", "Component", "Container",
                                                      "Container", "Component", "Component"]
    buffer = found["buffer"]["attributes"]
    assert buffer["depth"] * buffer["width"] == 262144 * 8
    assert found["DRAM"]["attributes"]["shared_bandwidth"] == 16
    assert found["columns"]["spatial"] == {"meshX": 16}
    assert found["rows"]["spatial"] == {"meshY": 8}
    assert set(found["columns"]["constraints"]["spatial"]["factors"]) == {f"{d}=1" for d in "CRSNPQG"}
    assert set(found["rows"]["constraints"]["spatial"]["factors"]) == {f"{d}=1" for d in "CRSMG"}
    assert found["pe_outputs"]["constraints"]["dataspace"] == {"keep": ["Outputs"], "bypass": ["Weights", "Inputs"]}
    assert found["pe_outputs"]["attributes"]["datawidth"] == 32
    row_stationary = timeloop.architecture(tools.engine(dataflow="rs"), "npu")
    parallel = [n for n in nodes(timeloop.tagged_text(row_stationary), "architecture") if n["!"] == "Parallel"]
    assert [n["attributes"]["depth"] for n in parallel[0]["nodes"]] == [12, 224, 24]


def _steps(einsum):
    """Points of an einsum's iteration space."""
    return math.prod(int(re.fullmatch(r"0 <= \w+ < (\d+)", bound)[1]) for bound in einsum["iteration_space_shape"])


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_einsums_have_the_macs_of_the_network_and_bind_every_loop(name):
    einsums = accelforge.workload(network(name))["workload"]["einsums"]
    assert sum(map(_steps, einsums)) == network(name).macs
    for einsum in einsums:
        loops = {bound.split()[2] for bound in einsum["iteration_space_shape"]}
        used = [set(re.findall(r"[a-z]\w*", " ".join(access["projection"].values())))
                for access in einsum["tensor_accesses"]]
        assert set().union(*used) == loops
        assert set(einsum["renames"].values()) == {access["name"] for access in einsum["tensor_accesses"]}
        assert re.fullmatch(r"\w+", einsum["name"])


def test_an_einsum_by_hand():
    einsum = accelforge.workload(tools.SMALL)["workload"]["einsums"][3]
    assert einsum["tensor_accesses"][0]["projection"] == {"C3": "c3", "IY3": "2 * y3", "IX3": "x3 + 2 * s3"}
    assert einsum["tensor_accesses"][1]["projection"] == {"K3": "k3", "C3": "c3", "S3": "s3"}
    assert einsum["tensor_accesses"][2] == {"name": "T3", "projection": {"K3": "k3", "Y3": "y3", "X3": "x3"},
                                            "bits_per_value": 8, "output": True}


def test_an_accelforge_architecture_by_hand():
    text = timeloop.tagged_text(accelforge.architecture(tools.engine(dataflow="is", sram_words_per_cycle=4)))
    dram, buffer, pe, register, mac = nodes(text, "arch")
    assert dram["size"] == "inf"  # as their own examples write it
    assert dram["actions"][0]["throughput"] == 64e9
    assert buffer["size"] == 262144 * 8
    assert buffer["actions"][1]["throughput"] == 4 * 8 * 5e8
    assert [(s["fanout"], s["reuse"]) for s in pe["spatial"]] == [(16, "output"), (16, "weight")]
    assert (register["tensors"], register["size"]) == ({"keep": "input"}, 8)
    assert mac["actions"][0]["throughput"] == 5e8
    assert 1e-14 < mac["actions"][0]["energy"] < 1e-11  # joule


@pytest.mark.parametrize("name", list(tools.DESIGNS))
def test_cores_of_a_stream_accelerator(name):
    texts = stream.design_texts(tools.parts(name))
    found = yaml.safe_load(texts["accelerator.yaml"])
    cores = {number: yaml.safe_load(texts[file.removeprefix("./")]) for number, file in found["cores"].items()}
    assert list(cores) == list(range(len(cores)))
    assert cores[found["offchip_core_id"]]["type"] == "zigzag.offchip"
    expected = {"time_mux": [(16, 16)], "composable": [(8, 8)] * 4, "heterogeneous": [(16, 16), (8, 16)],
                "dedicated": [(16, 16), (8, 32)]}[name]
    arrays = [tuple(core["operational_array"]["sizes"]) for core in cores.values()
              if "systolic_dimensions" in core["operational_array"]]
    assert arrays == expected
    links = [(link["cores"], link["bandwidth"]) for link in found["core_connectivity"]]
    if name == "dedicated":  # 128 bits per cycle in shares of 0.4 and 0.6, rounded down
        assert links == [([0, 1, 4], 51), ([2, 3, 4], 76)]
    else:
        assert links == [(list(cores), 128)]


@pytest.mark.parametrize(("fmt", "module"), [("timeloop", timeloop), ("accelforge", accelforge), ("stream", stream)])
@pytest.mark.parametrize("name", list(tools.DESIGNS))
def test_every_file_says_what_is_lost(fmt, module, name):
    for text in module.design_texts(tools.parts(name)).values():
        assert module.LOSES in text.replace("\n# ", " ")
    assert EXPORTERS[fmt].loses == module.LOSES


def test_a_zigzag_workload_reads_back(tmp_path):
    from dse.exporters.zigzag import design_texts

    parts = tools.parts("time_mux")
    tools.write(design_texts(parts), tmp_path)
    for name, net in parts.networks.items():
        read = read_workload(tmp_path / "workload" / f"{name}.yaml").network
        assert read.macs == net.macs
        ours = [layer for layer in net if layer.is_matrix]
        assert [layer.macs for layer in read if layer.is_matrix] == [layer.macs for layer in ours]


CHECK = """
import json, sys
from zigzag.utils import open_yaml
from stream.parser.accelerator_factory import AcceleratorFactory
from stream.parser.accelerator_validator import AcceleratorValidator
checked = AcceleratorValidator(open_yaml("accelerator.yaml"), "accelerator.yaml")
assert checked.validate(), checked.errors
cores = AcceleratorFactory(checked.data).create().core_list
print(json.dumps([[core.name, int(core.get_memory_capacity())] for core in cores]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(tools.DESIGNS))
def test_stream_reads_the_accelerator(name, tmp_path):
    python = tools.require("stream.parser.accelerator_factory", "(stream-dse 2.1.1, Python >= 3.12)")
    parts = tools.parts(name)
    tools.write(stream.design_texts(parts), tmp_path)
    done = subprocess.run([python, "-c", CHECK], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for each in parts.engines:
        mine = [size for core, size in found if core == each.name]
        assert len(mine) == each.units
        limit = each.unit.sram_bytes * 8
        assert all(size == limit or (each.unit.sram_fracs and size < limit) for size in mine)


MAP = """
import json, sys
import accelforge
from accelforge.mapper.FFM.main import map_workload_to_arch
from accelforge.mapper.FFM.mappings import Mappings
Mappings.render = lambda self: ""  # it draws the mapping, for which it needs graphviz
found = {}
for arch, workload, *names in json.loads(sys.argv[1]):
    spec = accelforge.Spec.from_yaml(arch, workload)
    einsums = [einsum.name for einsum in spec.workload.einsums]
    for name in names:
        mapped = map_workload_to_arch(spec, einsum_names=[name], print_progress=False)
        found[arch + name] = [einsums, int(mapped.n_computes(name)), float(mapped.latency()), float(mapped.energy())]
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(tools.DESIGNS))
def test_accelforge_maps_the_layers(name, tmp_path):
    """Its search splits loops evenly: never faster than the peak or the channel; where the channel limits, equal.

    The convolution goes to the weight-stationary engines only: for the others its search ends with an error of its own
    (1.0.467: a tile of one element in a window that overlaps).
    """
    python = tools.require("accelforge", "1.0.467 (Python >= 3.12)")
    parts = tools.parts(name)
    tools.write(accelforge.design_texts(parts), tmp_path)
    layers = dict(timeloop.matrix_layers(parts.networks["small_net"]))
    names = {f"L{at}_{layer}": layers[layer] for at, layer in enumerate(layers)}
    pairs = [(each, f"arch/{each.name}.yaml") for each in parts.engines if "small_net" in each.networks]
    chosen = {arch: ["L4_fc", *(["L0_c1"] if each.engine.dataflow == "ws" else [])] for each, arch in pairs}
    done = subprocess.run([python, "-c", MAP, json.dumps([[arch, "workload/small_net.yaml", *einsums]
                                                          for arch, einsums in chosen.items()])],
                          cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == sum(map(len, chosen.values())) > 0
    for each, arch in pairs:
        for einsum in chosen[arch]:
            read, computes, latency_s, energy_j = found[arch + einsum]
            layer = names[einsum]
            assert read == list(names)
            assert computes == layer.macs
            elements = layer.input_elements + layer.weight_elements + layer.output_elements
            moved_s = elements / each.engine.dram_bytes_per_s
            assert latency_s >= max(moved_s, layer.macs / each.engine.pes / each.engine.freq_hz) * 0.999
            assert energy_j > 0.0
            if einsum == "L4_fc":  # 656 bytes of a product that takes fewer steps than that
                assert latency_s == pytest.approx(moved_s, rel=1e-5)
