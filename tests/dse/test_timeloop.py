"""Timeloop problem files and ZigZag workload files as networks: counts by hand, quirks, mistakes, mutilations."""

import json
import random
from math import prod
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dse.cli import main
from dse.documents import load_workload
from dse.errors import InputError
from dse.exporters import zigzag
from dse.readers import load_network
from hwmodels.networks import network

# As published: the base is included by the tool's own template language and merged under its own key.
CONV = """\
{{include_text('../problem_base.yaml')}}
problem:
  <<<: *problem_base
  instance: {C: 3, M: 96, P: 54, Q: 50, R: 11, S: 7, HStride: 4, WStride: 2}
  name: conv1
"""
DEPTHWISE = """\
{{include_text('../problem_base.yaml')}}
problem:
  <<<: *problem_base
  instance:
    <<<: *problem_instance_base
    G: 16
    P: 112
    Q: 56
    R: 3
    S: 3
    Wstride: 2
"""
PRODUCT = "problem:\n  version: 0.4\n  instance: {C: 768, M: 3072, P: 384}\n"
OWN_SHAPE = """\
problem:
  version: 0.4
  shape:
    name: Conv
    dimensions: [N, K, C, Y, X, KY, KX]
    coefficients:
      - {name: step, default: 1}
    data_spaces:
      - name: In
        projection: [[[N]], [[C]], [[Y, step], [KY]], [[X, step], [KX]]]
      - {name: Filter, projection: [[[K]], [[C]], [[KY]], [[KX]]]}
      - {name: Out, projection: [[[N]], [[K]], [[Y]], [[X]]], read_write: true}
  instance: {K: 8, C: 4, Y: 10, X: 12, KY: 3, KX: 5, step: 2, densities: {Weights: 0.5}}
"""
ZIGZAG = """\
- id: 0
  name: conv1
  operator_type: Conv
  equation: O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+1*fy]
  loop_dims: [B, K, C, OY, OX, FY, FX]
  loop_sizes: [1, 64, 3, 112, 110, 7, 5]
  pr_loop_dims: [IX, IY]
  padding: [[2, 2], [3, 2]]
  operand_precision: {W: 4, I: 8, O: 16, O_final: 8}
  operand_source: {I: 0, W: 0}
- id: 1
  operator_type: Pooling
  equation: O[b][g][oy][ox]+=W[fx][fy]*I[b][g][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+1*fy]
  loop_dims: [B, G, OY, OX, FX, FY]
  loop_sizes: [1, 64, 56, 55, 2, 2]
  operand_precision: {W: 0, I: 8, O: 16, O_final: 8}
  operand_source: {I: 0, W: 1}
- id: 4
  operator_type: Add
  equation: O[b][g][oy][ox]=W[b][g][oy][ox]+I[b][g][oy][ox]
  loop_dims: [B, G, OY, OX]
  loop_sizes: [1, 64, 56, 55]
  operand_precision: {W: 8, I: 8, O: 16, O_final: 8}
  operand_source: {W: 1, I: 0}
- id: 5
  operator_type: Gemm
  equation: O[b][k]+=I[b][c]*W[c][k]
  loop_dims: [B, C, K]
  loop_sizes: [512, 256, 128]
  operand_precision: {W: 8, I: 8, O: 32}
  operand_source: {I: 4, W: 5}
- id: 6
  operator_type: Conv
  equation: O[b][g][oy][ox]+=W[g][fy][fx]*I[b][g][iy][ix]
  dimension_relations: [ix=1*ox+2*fx, iy=1*oy+2*fy]
  loop_dims: [B, G, OY, OX, FY, FX]
  loop_sizes: [1, 32, 112, 112, 3, 3]
  operand_precision: {W: 8, I: 8, O: 16}
- id: 7
  name: scores
  operator_type: MatMul
  equation: O[h][a][b]+=I[h][a][c]*W[h][c][b]
  loop_dims: [H, A, B, C]
  loop_sizes: [12, 384, 384, 64]
  operand_precision: {W: 8, I: 8, O: 16}
  operand_source: {I: 5, W: 6}
"""
TEXTS = (CONV, DEPTHWISE, PRODUCT, OWN_SHAPE, ZIGZAG)


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(text, name="net.yaml"):
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return make


def only(read):
    assert len(read.network) == 1
    return read.network.layers[0]


def sizes(layer, *names):
    return tuple(getattr(layer, name) for name in names)


def test_published_convolution(write):
    read = load_network(write(CONV))
    layer = only(read)
    assert (read.kind, layer.name, layer.op) == ("timeloop", "conv1", "conv")
    assert layer.macs == 3 * 96 * 54 * 50 * 11 * 7
    assert layer.weight_elements == 3 * 96 * 11 * 7
    assert sizes(layer, "ox", "oy", "fx", "fy", "stride_x", "stride_y") == (54, 50, 11, 7, 2, 4)
    assert len(read.notes) == 1
    assert "HStride is read as Hstride; WStride is read as Wstride" in read.notes[0]


def test_depthwise_and_matrix_product(write):
    layer = only(load_network(write(DEPTHWISE)))
    assert sizes(layer, "op", "groups", "c", "k", "macs") == ("depthwise", 16, 1, 1, 16 * 112 * 56 * 9)
    assert sizes(layer, "stride_x", "stride_y", "name") == (2, 1, "net")
    layer = only(load_network(write(PRODUCT)))
    assert sizes(layer, "op", "oy", "ox", "k", "c") == ("gemm", 384, 1, 3072, 768)


def test_a_shape_of_its_own(write):
    layer = only(load_network(write(OWN_SHAPE)))
    assert sizes(layer, "op", "k", "c", "oy", "ox", "fy", "fx", "stride_y", "stride_x") == (
        "conv", 8, 4, 10, 12, 3, 5, 2, 2)
    assert layer.macs == 8 * 4 * 10 * 12 * 3 * 5
    assert sizes(layer, "weight_density", "sparsity") == (0.5, "random")


def test_merges_defined_in_the_file_are_followed(write):
    text = "base: &base\n  instance: {C: 2, M: 3}\nproblem:\n  <<<: *base\n  instance: {M: 5}\n"
    assert only(load_network(write(text))).macs == 10


def test_old_form_without_instance(write):
    read = load_network(write("problem: {shape: cnn-layer, R: 3, S: 3, P: 8, Q: 8, C: 4, K: 16, N: 1}\n"))
    assert only(read).macs == 9 * 64 * 64
    assert read.notes == ("K is read as M (output channels)",)


@given(st.fixed_dictionaries({name: st.integers(1, 50) for name in "NCMRSPQG"}))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_macs_are_the_product_of_the_dimensions(write, instance):
    layer = only(load_network(write(f"problem: {{instance: {json.dumps(instance)}}}\n")))
    assert layer.macs == prod(instance.values())
    assert layer.weight_elements == prod(instance[name] for name in "GCMRS")


def test_zigzag_layers(write):
    read = load_network(write(ZIGZAG))
    conv, pool, add, gemm, depthwise, scores = read.network.layers
    assert read.kind == "zigzag"
    assert read.types == ("Conv", "Pooling", "Add", "Gemm", "Conv", "MatMul")
    assert sizes(conv, "op", "k", "c", "oy", "ox", "fy", "fx", "stride_y", "stride_x", "pad_y", "pad_x") == (
        "conv", 64, 3, 112, 110, 7, 5, 2, 2, 5, 4)
    assert sizes(conv, "weight_bits", "input_bits", "output_bits", "inputs") == (4, 8, 8, (-1,))
    assert sizes(pool, "op", "macs", "vector_ops", "in_elements", "out_elements", "inputs") == (
        "pool", 0, 64 * 56 * 55 * 4, 64 * 112 * 110, 64 * 56 * 55, (0,))
    assert sizes(add, "op", "vector_ops", "in_elements", "inputs") == (
        "elementwise", 64 * 56 * 55, 2 * 64 * 56 * 55, (0, 1))
    assert sizes(gemm, "op", "oy", "k", "c", "batch", "name", "inputs") == ("gemm", 512, 128, 256, 1, "layer5", (2,))
    assert sizes(depthwise, "op", "groups", "dilation_y", "macs", "inputs") == (
        "depthwise", 32, 2, 32 * 112 * 112 * 9, (-1,))
    assert sizes(scores, "op", "groups", "macs", "parameters", "inputs") == (
        "attention", 12, 12 * 384 * 384 * 64, 0, (3, 4))


def test_padding_from_stated_input_sizes(write):
    text = ZIGZAG.replace("padding: [[2, 2], [3, 2]]", "pr_loop_sizes: [219, 224]")
    conv = load_network(write(text)).network.layers[0]
    assert sizes(conv, "pad_x", "pad_y") == (109 * 2 + 5 - 219, 111 * 2 + 7 - 224)


def test_inspect_and_workload(write, capsys):
    write(ZIGZAG, "zz.yaml")
    with pytest.raises(SystemExit) as end:
        main(["inspect", write(CONV), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (end.value.code or 0, found["kind"], found["macs"]) == (0, "timeloop", 3 * 96 * 54 * 50 * 11 * 7)
    workload = load_workload(write("kind: workload\nname: w\ntenants:\n  - name: a\n    network: zz.yaml\n"
                                   "    traffic: {kind: periodic, rate_hz: 1}\n", "w.yaml"))
    assert len(workload.tenants[0].network) == 6


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "res8"])
def test_what_is_exported_is_read_back(write, name):
    net = network(name)
    read = load_network(write(yaml.safe_dump(zigzag.workload(net), sort_keys=False))).network
    assert read.macs == net.macs
    weights = [layer.weight_elements for layer in net if layer.has_weights]
    assert [layer.weight_elements for layer in read if layer.has_weights] == weights


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "expected"), [
    ("", "net.yaml:1: must be a Timeloop problem or a ZigZag workload, got an empty file"),
    ("kind: workload\nname: w\n", "net.yaml:1:1: must be a Timeloop problem (key problem) or a ZigZag workload (a list "
     "of layers with operator_type, equation, loop_dims), got a mapping (a workload of ours: see `dse check`)"),
    ("- a\n- b\n", "net.yaml:1:1: must be a Timeloop problem (key problem)"),
    ("problem:\n", "net.yaml:1:9: problem: must be a mapping with the key instance"),
    ("problem: {name: x}\n", "net.yaml:1:10: problem: must have the key instance"),
    (CONV.replace("C: 3", "C: 0"), "net.yaml:4:17: problem.instance.C: must be an integer >= 1, got 0"),
    (CONV.replace("C: 3", "C: 3.5"), "net.yaml:4:17: problem.instance.C: must be an integer >= 1, got 3.5"),
    (CONV.replace("C: 3", "C: '3'"), "net.yaml:4:17: problem.instance.C: must be an integer >= 1, got '3' "
     "(remove the quotes)"),
    (CONV.replace("HStride", "HStrid"), "net.yaml:4:54: problem.instance.HStrid: unknown dimension (did you mean "
     "'Hstride'?)"),
    (CONV.replace("HStride: 4", "HStride: 4, Hstride: 2"), "net.yaml:4:66: problem.instance.Hstride: must be given "
     "once, got HStride and Hstride"),
    (CONV.replace("C: 3", "C: 3, C: 4"), "net.yaml:4:20: problem.instance.C: "),
    (CONV.replace("{C: 3", "{C: {{ c }}"), "net.yaml:4:"),
    (OWN_SHAPE.replace("read_write: true", "read_write: false"), "net.yaml:9:7: problem.shape.data_spaces: must be two "
     "data spaces that are read and one with read_write: true, got 3 and 0"),
    (OWN_SHAPE.replace("[Y, step]", "[Z, step]"), "net.yaml:10:21: problem.shape.data_spaces[0].projection: must be a "
     "list of indices"),
    (ZIGZAG.replace("loop_sizes: [1, 64, 3,", "loop_sizes: [1, 0, 3,"), "net.yaml:7:19: [0].loop_sizes[1]: must be an "
     "integer >= 1, got 0"),
    (ZIGZAG.replace("112, 110, 7, 5]", "112, 110, 7]"), "net.yaml:7:15: [0].loop_sizes: must be as long as loop_dims "
     "(7), got 6"),
    (ZIGZAG.replace("Pooling", "Poling"), "net.yaml:13:18: [1].operator_type: must be one of"),
    (ZIGZAG.replace("I[b][c][iy][ix]", "I[b][c][iz][ix]", 1), "net.yaml:4:13: [0].equation: must use the loops B, K, "
     "C, OY, OX, FY, FX and the left sides of dimension_relations, got iz"),
    (ZIGZAG.replace("ix=2*ox+1*fx", "ix=2*ox", 1), "net.yaml:5:25: [0].dimension_relations[0]: must be a relation"),
    (ZIGZAG.replace("operand_source: {I: 4, W: 5}", "operand_source: {I: 9, W: 5}"), "net.yaml:33:23: "
     "[3].operand_source.I: must be the id of a layer above, or 5 for a constant, got 9"),
    (ZIGZAG.replace("id: 4", "id: 1"), "net.yaml:20:7: [2].id: must be unique among the layers, got 1"),
    (ZIGZAG.replace("operator_type: Gemm", "operator: Gemm"), "net.yaml:27:3: [3]"),
    (b"\xff\xfe", "net.yaml:1: must be YAML text in UTF-8, got UTF-16"),
])
def test_one_clear_error(write, text, expected):
    with pytest.raises(InputError) as caught:
        load_network(write(text))
    assert str(caught.value).startswith(expected), caught.value


def test_all_problems_at_once(write):
    with pytest.raises(InputError) as caught:
        load_network(write(ZIGZAG.replace("loop_sizes: [1, 64,", "loop_sizes: [1, x,").replace("Pooling", "Poling")))
    assert [problem.line for problem in caught.value.problems] == [7, 13, 17, 24]


@given(st.sampled_from(TEXTS), st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_characters_changed(write, text, seed, count):
    chance = random.Random(seed)
    letters = list(text)
    for _ in range(count):
        letters[chance.randrange(len(letters))] = chance.choice(
            ["", "\n", " ", ":", "-", "{", "}", "[", "]", "&a ", "*a", "#", '"', "'", "0", "9" * 30, "<<<: ", "x", "-1",
             "null", "1e400", ".nan"])
    try:
        network = load_network(write("".join(letters))).network
    except InputError:
        return
    assert len(network) >= 1


def test_every_line_left_out_in_turn(write):
    for text in TEXTS:
        lines = text.splitlines(keepends=True)
        for index in range(len(lines)):
            try:
                load_network(write("".join(lines[:index] + lines[index + 1:])))
            except InputError as error:
                assert str(error).startswith("net.yaml:")  # noqa: PT017
