"""ONNX files: every operator rule by hand, whole graphs against published totals, and everything that goes wrong."""

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dse.errors import InputError
from dse.readers import NetworkFile, load_network
from dse.readers.onnx_matrix import MATRIX

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
F = TensorProto.FLOAT


def tensor(name, *shape, kind=F):
    """An initializer of ones."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    return numpy_helper.from_array(np.ones(shape, dtype=dtype), name)


def ints(name, *values):
    return numpy_helper.from_array(np.asarray(values, dtype=np.int64), name)


def info(name, *shape, kind=F):
    return helper.make_tensor_value_info(name, kind, list(shape))


def save(folder, nodes, inputs, outputs, weights=(), *, opset=20, value_info=(), functions=(), domains=()):
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(weights), value_info=list(value_info))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions))
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def read(path, **bind) -> NetworkFile:
    return load_network(str(path), bind=bind)


def one(path, **bind):
    """The matrix layers of a file."""
    found = read(path, **bind)
    assert not found.unsupported
    return [layer for layer in found.network if layer.is_matrix]


# ---- published networks ------------------------------------------------------------------------------------------

# MACs of the nine graphs inside the onnx package; parameters as stored (the usual published counts).
LIGHT_TOTALS = {
    "bvlc_alexnet": (654560384, 60965224), "densenet121": (2834161664, 7979112), "inception_v1": (1431556352, 6998552),
    "inception_v2": (2018851840, 11196584), "resnet50": (4089184256, 25557032), "shufflenet": (124664528, None),
    "squeezenet": (349151936, 1235496), "vgg19": (19632062464, 143667240), "zfnet512": (1481727008, None),
}


@pytest.mark.parametrize("name", LIGHT_TOTALS)
def test_graphs_of_the_onnx_package(name):
    found = read(LIGHT / f"light_{name}.onnx")
    macs, parameters = LIGHT_TOTALS[name]
    assert found.network.macs == macs
    assert parameters in (None, found.network.parameters)
    assert not found.unsupported
    assert not found.symbols


def test_shufflenet_has_its_depthwise_layers():
    found = read(LIGHT / "light_shufflenet.onnx")
    assert sum(layer.macs for layer in found.network if layer.op == "depthwise") == 8107344


def test_same_network_as_the_zoo():
    """Two ways to the same layers: the graph of the package and the zoo's."""
    graph = [x for x in read(LIGHT / "light_resnet50.onnx").network if x.is_matrix]
    zoo = [x for x in load_network("resnet50").network if x.is_matrix]
    key = ("groups", "k", "c", "oy", "ox", "fy", "fx", "stride_y", "pad_y", "macs", "input_elements")
    assert sorted(tuple(getattr(x, k) for k in key) for x in graph) == sorted(tuple(getattr(x, k) for k in key)
                                                                              for x in zoo)


def bert_nodes(layers, hidden, ffn, heads):
    """An encoder as exporters write it: shapes computed inside the graph, biases as Add, norms as one node."""
    nodes, weights = [], [tensor("table", 100, hidden), ints("two", 2), ints("zero", 0), ints("one", 1),
                          ints("minus", -1), ints("heads", heads), ints("dim", hidden // heads), ints("hidden", hidden)]

    def add(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=f"n_{output}", **attributes))
        return output

    def linear(x, k, n, name):
        weights.extend([tensor(f"{name}.w", k, n), tensor(f"{name}.b", n)])
        return add("Add", [add("MatMul", [x, f"{name}.w"], f"{name}.mm"), f"{name}.b"], f"{name}.out")

    def norm(x, name):
        weights.extend([tensor(f"{name}.g", hidden), tensor(f"{name}.s", hidden)])
        return add("LayerNormalization", [x, f"{name}.g", f"{name}.s"], name, axis=-1)

    x = norm(add("Gather", ["table", "ids"], "embedded"), "norm0")
    add("Shape", ["ids"], "shape")
    add("Gather", ["shape", "zero"], "batch_size")
    add("Concat", ["batch_size", "minus", "heads", "dim"], "split", axis=0)
    add("Concat", ["batch_size", "minus", "hidden"], "join", axis=0)
    for i in range(layers):
        parts = {}
        for part, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            y = add("Reshape", [linear(x, hidden, hidden, f"l{i}.{part}"), "split"], f"l{i}.{part}.r")
            parts[part] = add("Transpose", [y], f"l{i}.{part}.t", perm=perm)
        weights.append(tensor(f"l{i}.scale"))
        scores = add("Div", [add("MatMul", [parts["q"], parts["k"]], f"l{i}.scores"), f"l{i}.scale"], f"l{i}.scaled")
        y = add("MatMul", [add("Softmax", [scores], f"l{i}.p", axis=-1), parts["v"]], f"l{i}.values")
        y = add("Reshape", [add("Transpose", [y], f"l{i}.vt", perm=[0, 2, 1, 3]), "join"], f"l{i}.joined")
        x = norm(add("Add", [x, linear(y, hidden, hidden, f"l{i}.o")], f"l{i}.add1"), f"l{i}.norm1")
        y = add("Gelu", [linear(x, hidden, ffn, f"l{i}.up")], f"l{i}.gelu")
        x = norm(add("Add", [x, linear(y, ffn, hidden, f"l{i}.down")], f"l{i}.add2"), f"l{i}.norm2")
    weights.append(numpy_helper.from_array(np.asarray(0, dtype=np.int64), "first"))
    weights.extend([tensor("pool.w", hidden, hidden), tensor("pool.b", hidden)])
    add("Tanh", [add("Gemm", [add("Gather", [x, "first"], "token", axis=1), "pool.w", "pool.b"], "pool")], "pooled")
    return nodes, weights


def bert(folder, **sizes):
    nodes, weights = bert_nodes(2, 768, 3072, 12)
    return save(folder, nodes, [info("ids", *sizes.get("shape", ("batch", "seq")), kind=TensorProto.INT64)],
                [info("pooled", None, None)], weights)


def test_dynamic_bert_once_bound(tmp_path):
    found = read(bert(tmp_path), batch=1, seq=384)
    assert found.network.macs == 5889392640
    assert sum(layer.is_matrix for layer in found.network) == 17
    assert not found.unsupported
    assert found.symbols == ()
    scores = next(layer for layer in found.network if layer.name == "n_l0.scores")
    assert (scores.op, scores.groups, scores.oy, scores.k, scores.c) == ("attention", 12, 384, 384, 64)
    block = 4 * 769 * 768 + 769 * 3072 + 3073 * 768 + 4 * 768
    assert found.network.parameters == 100 * 768 + 2 * 768 + 2 * block + 769 * 768


def test_batch_multiplies(tmp_path):
    path = bert(tmp_path)
    assert read(path, batch=4, seq=128).network.macs == 4 * read(path, batch=1, seq=128).network.macs


def test_free_symbols_are_listed_with_an_example(tmp_path):
    with pytest.raises(InputError) as caught:
        read(bert(tmp_path))
    assert "batch, seq" in str(caught.value)
    assert "--bind batch=1,seq=128" in str(caught.value)
    with pytest.raises(InputError, match="missing seq"):
        read(bert(tmp_path), batch=1)


def test_unknown_symbol_and_bad_value(tmp_path):
    with pytest.raises(InputError) as caught:
        load_network(str(bert(tmp_path)), bind={"batsh": 1, "seq": 0})
    assert "did you mean 'batch'?" in str(caught.value)
    assert "integer >= 1, got 0" in str(caught.value)


def test_nameless_dimension_gets_a_name(tmp_path):
    path = bert(tmp_path, shape=(None, 384))
    with pytest.raises(InputError, match=r"ids\.0"):
        read(path)
    assert load_network(str(path), bind={"ids.0": 1}).network.macs == 5889392640


def test_tied_head_through_transpose_is_a_weight(tmp_path):
    """The table feeds the embedding and, transposed, the head: counted once as parameters, a product with weights."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["x"], name="embed"),
             helper.make_node("Transpose", ["table"], ["tt"], perm=[1, 0]),
             helper.make_node("MatMul", ["x", "tt"], ["y"], name="head")]
    path = save(tmp_path, nodes, [info("ids", 1, 256, kind=TensorProto.INT64)], [info("y", 1, 256, 5000)],
                [tensor("table", 5000, 64)])
    network = read(path).network
    head = network.layers[-1]
    assert (head.op, head.macs, network.parameters) == ("gemm", 256 * 64 * 5000, 5000 * 64)


def test_tables_of_exporters_are_no_parameters(tmp_path):
    """Positions are trained; rotations and masks that an exporter stored are not."""
    nodes = [helper.make_node("Add", ["x", "positions"], ["a"]), helper.make_node("Mul", ["a", "cosine"], ["b"]),
             helper.make_node("Mul", ["b", "gain"], ["c"]), helper.make_node("MatMul", ["c", "w"], ["d"]),
             helper.make_node("Add", ["d", "mask"], ["e"]), helper.make_node("Softmax", ["e"], ["y"])]
    weights = [tensor("positions", 1, 6, 8), tensor("cosine", 1, 6, 8), tensor("gain", 8), tensor("w", 8, 6),
               tensor("mask", 6, 6)]
    path = save(tmp_path, nodes, [info("x", 2, 6, 8)], [info("y", 2, 6, 6)], weights)
    assert read(path).network.parameters == 48 + 8 + 48


def test_class_token_and_positions_are_parameters(tmp_path):
    nodes = [helper.make_node("Concat", ["token", "x"], ["c"], axis=1),
             helper.make_node("Add", ["c", "positions"], ["y"])]
    path = save(tmp_path, nodes, [info("x", 1, 4, 8)], [info("y", 1, 5, 8)],
                [tensor("token", 1, 1, 8), tensor("positions", 1, 5, 8)])
    assert read(path).network.parameters == 8 + 40


def test_contributed_operators_of_quantised_graphs(tmp_path):
    u8 = TensorProto.UINT8
    nodes = [helper.make_node("FusedConv", ["x", "w"], ["c"], domain="com.microsoft", activation="Relu"),
             helper.make_node("QuantizeLinear", ["c", "s", "z"], ["q"], domain="com.microsoft"),
             helper.make_node("QLinearAdd", ["q", "s", "z", "q", "s", "z", "s", "z"], ["a"], domain="com.microsoft"),
             helper.make_node("QLinearConv", ["a", "s", "z", "w8", "s", "z", "s", "z"], ["y"])]
    path = save(tmp_path, nodes, [info("x", 1, 3, 8, 8)], [info("y", None, None, None, None, kind=u8)],
                [tensor("w", 4, 3, 3, 3), tensor("w8", 5, 4, 1, 1, kind=u8), tensor("s"), tensor("z", kind=u8)],
                domains=["com.microsoft"])
    found = read(path)
    assert not found.unsupported
    assert found.network.macs == 36 * 4 * 27 + 36 * 5 * 4


# ---- operators, by hand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "weight", "attributes", "macs", "out", "op"), [
    ((1, 3, 224, 224), (64, 3, 7, 7), {"strides": [2, 2], "pads": [3, 3, 3, 3]}, 112 * 112 * 64 * 147, (112, 112),
     "conv"),
    ((2, 8, 10, 10), (16, 4, 3, 3), {"group": 2}, 2 * 8 * 8 * 16 * 4 * 9, (8, 8), "conv"),
    ((1, 32, 14, 14), (32, 1, 3, 3), {"group": 32, "auto_pad": "SAME_UPPER", "strides": [2, 2]}, 7 * 7 * 32 * 9, (7, 7),
     "depthwise"),
    ((1, 32, 14, 14), (64, 1, 3, 3), {"group": 32, "pads": [1, 1, 1, 1]}, 14 * 14 * 64 * 9, (14, 14), "depthwise"),
    ((1, 4, 20, 20), (8, 4, 3, 3), {"dilations": [2, 2]}, 16 * 16 * 8 * 36, (16, 16), "conv"),
    ((1, 4, 20, 21), (8, 4, 3, 3), {"pads": [0, 1, 2, 0]}, 20 * 20 * 8 * 36, (20, 20), "conv"),
    ((1, 16, 100), (8, 16, 5), {"strides": [2]}, 48 * 8 * 80, (48, 1), "conv"),
    ((1, 3, 8, 16, 16), (4, 3, 3, 3, 3), {"pads": [1] * 6}, 8 * 16 * 16 * 4 * 81, (16, 16), "conv"),
    ((1, 3, 9, 9), (4, 3, 2, 2), {"auto_pad": "SAME_LOWER"}, 81 * 4 * 12, (9, 9), "conv"),
])
def test_convolution(tmp_path, shape, weight, attributes, macs, out, op):
    path = save(tmp_path, [helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)], [info("x", *shape)],
                [info("y", *[None] * len(shape))], [tensor("w", *weight), tensor("b", weight[0])])
    layer, = one(path)
    assert (layer.macs, (layer.oy, layer.ox), layer.op) == (macs, out, op)
    assert layer.parameters == np.prod(weight) + weight[0]
    if len(shape) == 4 and not (out[0] % 2 and "strides" in attributes):
        assert layer.input_elements == np.prod(shape)


def test_transposed_convolution(tmp_path):
    path = save(tmp_path, [helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], group=2)],
                [info("x", 1, 8, 5, 6)], [info("y", None, None, None, None)], [tensor("w", 8, 3, 4, 4)])
    layer, = one(path)
    assert layer.macs == 8 * 5 * 6 * 3 * 16
    assert layer.parameters == 8 * 3 * 16


@pytest.mark.parametrize(("a", "b", "constant", "macs", "op", "groups"), [
    ((7, 32), (32, 5), "b", 7 * 32 * 5, "gemm", 1),
    ((2, 3, 7, 32), (32, 5), "b", 6 * 7 * 32 * 5, "gemm", 1),
    ((7, 32), (32, 5), "a", 7 * 32 * 5, "gemm", 1),
    ((2, 3, 7, 32), (2, 3, 32, 5), "", 6 * 7 * 32 * 5, "attention", 6),
    ((8, 7, 32), (8, 32, 5), "b", 8 * 7 * 32 * 5, "gemm", 8),
    ((32,), (32, 5), "b", 32 * 5, "gemm", 1),
    ((4, 32), (32,), "b", 4 * 32, "gemm", 1),
    ((3, 1, 7, 32), (1, 4, 32, 5), "", 12 * 7 * 32 * 5, "attention", 12),
])
def test_matmul(tmp_path, a, b, constant, macs, op, groups):
    inputs = [info(n, *s) for n, s in (("a", a), ("b", b)) if n != constant]
    weights = [tensor(n, *s) for n, s in (("a", a), ("b", b)) if n == constant]
    rank = len(np.matmul(np.ones(a), np.ones(b)).shape)
    path = save(tmp_path, [helper.make_node("MatMul", ["a", "b"], ["y"])], inputs, [info("y", *[None] * rank)], weights)
    layer, = one(path)
    assert (layer.macs, layer.op, layer.groups) == (macs, op, groups)
    assert layer.output_elements == np.matmul(np.ones(a), np.ones(b)).size


@pytest.mark.parametrize("flags", [{}, {"transA": 1}, {"transB": 1}, {"transA": 1, "transB": 1}])
def test_gemm(tmp_path, flags):
    a, b = ((32, 7) if flags.get("transA") else (7, 32)), ((5, 32) if flags.get("transB") else (32, 5))
    path = save(tmp_path, [helper.make_node("Gemm", ["a", "b", "c"], ["y"], **flags)], [info("a", *a)],
                [info("y", None, None)], [tensor("b", *b), tensor("c", 5)])
    layer, = one(path)
    assert (layer.oy, layer.k, layer.c, layer.parameters) == (7, 5, 32, 165)


@pytest.mark.parametrize(("equation", "a", "b", "macs", "groups"), [
    ("bhqd,bhkd->bhqk", (2, 3, 5, 8), (2, 3, 7, 8), 6 * 5 * 7 * 8, 6),
    ("bqd,dk->bqk", (2, 5, 8), (8, 7), 2 * 5 * 8 * 7, 1),
    ("...ij,...jk->...ik", (4, 5, 6), (4, 6, 7), 4 * 5 * 6 * 7, 4),
    ("ij,jk", (5, 6), (6, 7), 5 * 6 * 7, 1),
    ("i,j->ij", (5,), (6,), 30, 1),
])
def test_einsum(tmp_path, equation, a, b, macs, groups):
    rank = np.einsum(equation, np.ones(a), np.ones(b)).ndim
    path = save(tmp_path, [helper.make_node("Einsum", ["a", "b"], ["y"], equation=equation)],
                [info("a", *a), info("b", *b)],
                [info("y", *[None] * rank)])
    layer, = one(path)
    assert (layer.macs, layer.groups) == (macs, groups)


def attention_file(folder, q, k, v, *, past=None, **attributes):
    inputs = [info("q", *q), info("k", *k), info("v", *v)]
    names = ["q", "k", "v"]
    outputs = ["y"]
    if past:
        inputs += [info("pk", *past), info("pv", *past)]
        names += ["", "pk", "pv"]
        outputs += ["nk", "nv"]
    return save(folder, [helper.make_node("Attention", names, outputs, name="attn", **attributes)], inputs,
                [info("y", *[None] * len(q))], opset=23)


def test_fused_attention(tmp_path):
    """B H S T (D + Dv): four-dimensional operands carry their sizes."""
    scores, values = one(attention_file(tmp_path, (2, 8, 5, 16), (2, 2, 9, 16), (2, 2, 9, 24)))
    assert scores.macs + values.macs == 2 * 8 * 5 * 9 * (16 + 24)
    assert (scores.groups, scores.oy, scores.k, scores.c) == (4, 20, 9, 16)
    assert (values.groups, values.oy, values.k, values.c) == (4, 20, 24, 9)


def test_fused_attention_of_flat_operands(tmp_path):
    layers = one(attention_file(tmp_path, (1, 128, 512), (1, 128, 128), (1, 128, 128), q_num_heads=8, kv_num_heads=2))
    assert sum(layer.macs for layer in layers) == 2 * 8 * 128 * 128 * 64
    with pytest.raises(InputError, match="q_num_heads"):
        read(attention_file(tmp_path, (1, 128, 512), (1, 128, 128), (1, 128, 128)))


def test_fused_attention_with_cache(tmp_path):
    layers = one(attention_file(tmp_path, (1, 4, 1, 16), (1, 4, 1, 16), (1, 4, 1, 16), past=(1, 4, 31, 16)))
    assert sum(layer.macs for layer in layers) == 4 * 32 * 32


def test_opset_23_block(tmp_path):
    """RMS norm, rotary positions and attention as single nodes, two query heads per key/value head."""
    nodes = [helper.make_node("RMSNormalization", ["x", "g"], ["n"], axis=-1)]
    for name in "qkv":
        nodes.append(helper.make_node("MatMul", ["n", f"w{name}"], [name], name=name))
    nodes += [helper.make_node("RotaryEmbedding", ["q", "cos", "sin", "pos"], ["qr"], num_heads=4),
              helper.make_node("RotaryEmbedding", ["k", "cos", "sin", "pos"], ["kr"], num_heads=2),
              helper.make_node("Attention", ["qr", "kr", "v"], ["a"], q_num_heads=4, kv_num_heads=2, is_causal=1),
              helper.make_node("MatMul", ["a", "wo"], ["o"], name="o"), helper.make_node("Add", ["x", "o"], ["y"])]
    weights = [tensor("g", 64), tensor("wq", 64, 64), tensor("wk", 64, 32), tensor("wv", 64, 32), tensor("wo", 64, 64),
               tensor("cos", 50, 8), tensor("sin", 50, 8)]
    path = save(tmp_path, nodes, [info("x", "b", 10, 64), info("pos", "b", 10, kind=TensorProto.INT64)],
                [info("y", None, None, None)], weights, opset=23)
    found = read(path, b=3)
    assert not found.unsupported
    assert found.network.macs == 3 * (10 * 64 * 192 + 4 * 10 * 10 * 32)
    assert {"norm", "softmax", "elementwise"} <= {layer.op for layer in found.network}


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent(tmp_path, op, gates, directions):
    weights = [tensor("w", directions, gates * 16, 8), tensor("r", directions, gates * 16, 16),
               tensor("b", directions, 2 * gates * 16)]
    direction = "bidirectional" if directions == 2 else "forward"
    path = save(tmp_path, [helper.make_node(op, ["x", "w", "r", "b"], ["y"], hidden_size=16, direction=direction)],
                [info("x", 5, 2, 8)], [info("y", None, None, None, None)], weights)
    found = read(path)
    projection, recurrent = found.network.layers
    assert found.network.macs == 5 * 2 * directions * gates * 16 * (8 + 16)
    assert (projection.op, recurrent.op, recurrent.repeat, recurrent.inputs) == ("gemm", "recurrent", 5, (0,))
    assert found.network.parameters == directions * gates * 16 * (8 + 16 + 2)


def test_integer_operators(tmp_path):
    u8, i8, i32 = TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32
    zero, scale = tensor("z", kind=u8), tensor("s")
    nodes = [helper.make_node("ConvInteger", ["x", "w", "z"], ["c"], pads=[1, 1, 1, 1]),
             helper.make_node("QLinearConv", ["x", "s", "z", "w2", "s", "wz", "s", "z"], ["q"], pads=[1, 1, 1, 1]),
             helper.make_node("MatMulInteger", ["m", "v"], ["i"]),
             helper.make_node("QLinearMatMul", ["m", "s", "z", "v2", "s", "wz", "s", "z"], ["j"])]
    path = save(tmp_path, nodes, [info("x", 1, 4, 6, 6, kind=u8), info("m", 3, 10, kind=u8)],
                [info("c", None, None, None, None, kind=i32), info("q", None, None, None, None, kind=u8),
                 info("i", None, None, kind=i32), info("j", None, None, kind=u8)],
                [zero, scale, tensor("wz", kind=i8), tensor("w", 8, 4, 3, 3, kind=u8),
                 tensor("w2", 8, 4, 3, 3, kind=i8),
                 tensor("v", 10, 7, kind=i8), tensor("v2", 10, 7, kind=i8)])
    conv, qconv, product, qproduct = one(path)
    assert conv.macs == qconv.macs == 36 * 8 * 36
    assert product.macs == qproduct.macs == 210
    assert {layer.weight_bits for layer in (conv, qconv, product, qproduct)} == {8}
    assert (conv.output_bits, qconv.output_bits) == (32, 8)


def test_qdq_bits_are_those_of_the_zero_points(tmp_path):
    """Weights of 4 bit, activations of 8 bit in and 16 bit out; the markers cost nothing."""
    i4, u8, u16 = TensorProto.INT4, TensorProto.UINT8, TensorProto.UINT16
    weight = helper.make_tensor("w", i4, [8, 4, 3, 3], [1] * 288)
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z8"], ["xq"]),
             helper.make_node("DequantizeLinear", ["xq", "s", "z8"], ["xd"]),
             helper.make_node("DequantizeLinear", ["w", "s"], ["wd"]),
             helper.make_node("Conv", ["xd", "wd"], ["c"], name="conv", pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["c"], ["r"]),
             helper.make_node("QuantizeLinear", ["r", "s", "z16"], ["yq"]),
             helper.make_node("DequantizeLinear", ["yq", "s", "z16"], ["y"])]
    path = save(tmp_path, nodes, [info("x", 1, 4, 6, 6)], [info("y", 1, 8, 6, 6)],
                [tensor("s"), tensor("z8", kind=u8), tensor("z16", kind=u16), weight], opset=21)
    network = read(path).network
    layer, = network.layers
    assert (layer.weight_bits, layer.input_bits, layer.output_bits) == (4, 8, 16)
    assert (layer.macs, layer.vector_ops, network.parameters) == (36 * 8 * 36, 36 * 8, 288)


def test_epilogue_is_fused_only_without_other_readers(tmp_path):
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
             helper.make_node("BatchNormalization", ["c", "g", "h", "m", "v"], ["n"]),
             helper.make_node("Relu", ["n"], ["r"], name="relu"),
             helper.make_node("Sigmoid", ["r"], ["s"], name="sigmoid"),
             helper.make_node("Mul", ["r", "s"], ["y"], name="mul")]
    path = save(tmp_path, nodes, [info("x", 1, 3, 8, 8)], [info("y", None, None, None, None)],
                [tensor("w", 4, 3, 1, 1), *(tensor(n, 4) for n in "ghmv")])
    conv, sigmoid, product = read(path).network.layers
    assert conv.vector_ops == 2 * 256
    assert conv.parameters == 12 + 8
    assert (sigmoid.op, sigmoid.inputs, product.inputs) == ("activation", (0,), (0, 1))
    assert (product.in_elements, product.out_elements) == (512, 256)


def test_shape_operators_cost_nothing_and_follow_the_data(tmp_path):
    nodes = [helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=1), helper.make_node("Transpose", ["a"], ["t"]),
             helper.make_node("MatMul", ["t", "b"], ["p"], name="p"),
             helper.make_node("Concat", ["p", "p"], ["c"], axis=0),
             helper.make_node("MatMul", ["c", "w"], ["y"], name="y")]
    path = save(tmp_path, nodes, [info("x", 6, 10)], [info("y", None, None)], [ints("sizes", 4, 6), tensor("w", 6, 3)])
    first, second = read(path).network.layers
    assert (first.op, first.macs, first.inputs) == ("attention", 4 * 6 * 6, (-1,))
    assert (second.op, second.macs, second.inputs) == ("gemm", 8 * 6 * 3, (0,))


def test_nodes_in_any_order(tmp_path):
    nodes = [helper.make_node("Relu", ["b"], ["y"], name="last"),
             helper.make_node("MatMul", ["a", "w"], ["b"], name="mm"),
             helper.make_node("Softmax", ["x"], ["a"], name="first")]
    path = save(tmp_path, nodes, [info("x", 2, 8)], [info("y", None, None)], [tensor("w", 8, 4)])
    assert [layer.name for layer in read(path).network] == ["first", "mm"]


def test_local_function_is_inlined(tmp_path):
    function = helper.make_function("mine", "Twice", ["x", "w"], ["y"], [
        helper.make_node("MatMul", ["x", "w"], ["t"]), helper.make_node("MatMul", ["t", "w"], ["y"])],
        [helper.make_opsetid("", 20)])
    path = save(tmp_path, [helper.make_node("Twice", ["x", "w"], ["y"], domain="mine")], [info("x", 3, 8)],
                [info("y", 3, 8)], [tensor("w", 8, 8)], functions=[function], domains=["mine"])
    found = read(path)
    assert not found.unsupported
    assert found.network.macs == 2 * 3 * 64
    assert found.network.parameters == 64


def test_external_data_may_be_missing(tmp_path):
    weight = tensor("w", 100, 50)
    onnx.external_data_helper.set_external_data(weight, location="gone.data")
    weight.ClearField("raw_data")
    path = save(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"])], [info("x", 3, 100)], [info("y", 3, 50)],
                [weight])
    assert read(path).network.macs == 3 * 100 * 50


def test_old_format_lists_weights_as_inputs(tmp_path):
    path = save(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"])], [info("w", 8, 4), info("x", 3, 8)],
                [info("y", 3, 4)], [tensor("w", 8, 4)], opset=9)
    layer, = one(path)
    assert (layer.op, layer.oy, layer.k) == ("gemm", 3, 4)


# ---- what is not understood --------------------------------------------------------------------------------------


def test_unknown_operator_keeps_a_row(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]),
             helper.make_node("Foo", ["a"], ["b"], name="odd", domain="acme"),
             helper.make_node("MatMul", ["b", "w"], ["y"])]
    path = save(tmp_path, nodes, [info("x", 3, 8)], [info("y", 3, 8)], [tensor("w", 8, 8)],
                value_info=[info("b", 3, 8)],
                domains=["acme"])
    found = read(path)
    assert [(u.node, u.domain, u.op) for u in found.unsupported] == [("odd", "acme", "Foo")]
    assert [layer.name for layer in found.network][1] == "odd"
    assert found.network.macs == 2 * 3 * 64
    assert any("Foo" in note for note in found.notes)


def test_size_lost_behind_an_unknown_operator(tmp_path):
    nodes = [helper.make_node("Foo", ["x"], ["b"], name="odd", domain="acme"),
             helper.make_node("MatMul", ["b", "w"], ["y"], name="mm")]
    path = save(tmp_path, nodes, [info("x", 3, 8)], [info("y", None, None)], [tensor("w", 8, 8)], domains=["acme"])
    with pytest.raises(InputError, match=r"'mm'.*behind node 'odd' \(Foo\)"):
        read(path)


def test_control_flow_is_named(tmp_path):
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["o"])], "branch", [], [info("o", 3, 8)])
    nodes = [helper.make_node("If", ["flag"], ["y"], name="choice", then_branch=branch, else_branch=branch),
             helper.make_node("MatMul", ["y", "w"], ["z"])]
    path = save(tmp_path, nodes, [info("x", 3, 8), info("flag", kind=TensorProto.BOOL)], [info("z", 3, 8)],
                [tensor("w", 8, 8)],
                value_info=[info("y", 3, 8)])
    found = read(path)
    assert [(u.node, u.op) for u in found.unsupported] == [("choice", "If")]
    assert "control flow" in found.unsupported[0].reason


def test_weights_of_bodies_count_as_parameters(tmp_path):
    then = helper.make_graph([helper.make_node("MatMul", ["x", "outer"], ["o"])], "then", [], [info("o", 3, 8)])
    other = helper.make_graph([helper.make_node("MatMul", ["x", "inner"], ["o"])], "else", [], [info("o", 3, 8)],
                              [tensor("inner", 8, 8)])
    nodes = [helper.make_node("If", ["flag"], ["y"], name="choice", then_branch=then, else_branch=other)]
    path = save(tmp_path, nodes, [info("x", 3, 8), info("flag", kind=TensorProto.BOOL)], [info("y", 3, 8)],
                [tensor("outer", 8, 8), ints("unused", 1)])
    found = read(path)
    assert (found.network.parameters, found.network.macs) == (128, 0)
    assert any("128 weights inside If node 'choice'" in note for note in found.notes)


def test_a_size_of_zero_is_no_free_dimension(tmp_path):
    path = save(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"])], [info("x", 0, 8)], [info("y", 0, 4)],
                [tensor("w", 8, 4)])
    with pytest.raises(InputError, match=r"input x\[0, 8\]: must have sizes >= 1: a layer computes nothing"):
        read(path)
    nodes = [helper.make_node("Concat", ["past", "x"], ["k"], axis=0), helper.make_node("MatMul", ["k", "w"], ["y"])]
    path = save(tmp_path, nodes, [info("past", 0, 8), info("x", 3, 8)], [info("y", 3, 4)], [tensor("w", 8, 4)])
    found = read(path)
    assert (found.network.macs, found.symbols) == (96, ())


def test_branch_of_a_known_condition_is_inlined(tmp_path):
    """As exporters write a squeeze: if the size of an axis is one, then ..., else ..."""
    then = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["inner"])], "then", [], [info("inner", 3, 4)])
    other = helper.make_graph([helper.make_node("Relu", ["x"], ["inner"])], "else", [], [info("inner", 3, 8)])
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "zero"], ["rows"]),
             helper.make_node("Equal", ["rows", "three"], ["flag"]),
             helper.make_node("If", ["flag"], ["y"], name="choice", then_branch=then, else_branch=other),
             helper.make_node("Softmax", ["y"], ["z"])]
    path = save(tmp_path, nodes, [info("x", "rows", 8)], [info("z", None, None)],
                [tensor("w", 8, 4), ints("zero", 0), ints("three", 3)])
    taken, skipped = read(path, rows=3), read(path, rows=2)
    assert (taken.network.macs, skipped.network.macs, taken.unsupported) == (96, 0, ())


def test_dangling_tensor_names_both(tmp_path):
    path = save(tmp_path, [helper.make_node("Relu", ["nobody"], ["y"], name="act")], [info("x", 3)], [info("y", 3)])
    with pytest.raises(InputError, match=r"'act' \(Relu\).*'nobody'"):
        read(path)


def test_operands_that_do_not_fit(tmp_path):
    path = save(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")], [info("x", 3, 9)],
                [info("y", 3, 4)],
                [tensor("w", 8, 4)])
    with pytest.raises(InputError, match="mm"):
        read(path)


@pytest.mark.parametrize(("content", "word"), [
    (b"", "empty"), (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "LFS"),
    (b"<!DOCTYPE html>\n<html><body>404</body></html>", "web page"), (b"kind: study\nname: x\n", "ONNX model"),
    (b"\x00\x01\x02\x03", "ONNX model"),
])
def test_not_a_model(tmp_path, content, word):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=word):
        read(path)


@pytest.mark.parametrize("kept", [1, 10, 100, 0.3, 0.5, 0.9, 0.999])
def test_cut_file(tmp_path, kept):
    data = (LIGHT / "light_squeezenet.onnx").read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[:kept if isinstance(kept, int) else int(len(data) * kept)])
    with pytest.raises(InputError, match="must"):
        read(path)


def test_folder_or_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "gone.onnx")


@pytest.mark.parametrize(("equation", "said"), [
    ("ij,jk,kl->il", "2 operands and 3 subscripts"), ("ijk,jk->ik", "a subscript for each size: 'ijk' and")])
def test_einsum_that_does_not_fit_its_operands(tmp_path, equation, said):
    path = save(tmp_path, [helper.make_node("Einsum", ["a", "b"], ["y"], equation=equation)],
                [info("a", 2, 3), info("b", 3, 4)], [info("y", 2, 4)])
    with pytest.raises(InputError, match=said):
        read(path)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("ranks", [(2, 3, 3), (3, 2, 3), (3, 3, 1)])
def test_recurrent_operands_of_another_rank_are_named(tmp_path, op, ranks):
    shapes = [shape[:rank] for shape, rank in zip([(5, 2, 8), (1, 16, 8), (1, 16, 4)], ranks, strict=True)]
    path = save(tmp_path, [helper.make_node(op, ["x", "w", "r"], ["y"], name="cell", hidden_size=4)],
                [info("x", *shapes[0])], [info("y", 5, 1, 2, 4)], [tensor("w", *shapes[1]), tensor("r", *shapes[2])])
    with pytest.raises(InputError, match=rf"'cell' \({op}\).*must"):
        read(path)


@pytest.mark.parametrize(("op", "names", "attributes", "said"), [
    ("Conv", ["x"], {}, "operands X, W, got none for W"), ("Gemm", ["", "w"], {}, "got none for A"),
    ("QLinearMatMul", ["x", "w"], {}, "got none for .*b_scale"), ("Einsum", ["x", "w"], {}, "the attribute equation"),
    ("Attention", ["x", "w"], {}, "got none for V"), ("LSTM", ["x", "w"], {"hidden_size": 4}, "got none for R"),
    ("Conv", ["x", "w"], {"strides": 2}, "the attribute strides as INTS, got INT"),
    ("ConvTranspose", ["x", "w"], {"group": 0}, "group must be >= 1, got 0"),
    ("If", ["x"], {}, "the attribute then_branch"),
])
@pytest.mark.parametrize("opset", [9, 23])
def test_a_node_without_what_its_operator_asks_for(tmp_path, op, names, attributes, said, opset):
    path = save(tmp_path, [helper.make_node(op, names, ["y"], name="odd", **attributes)], [info("x", 1, 4, 8, 8)],
                [info("y", 1, 4, 8, 8)], [tensor("w", 4, 4, 1, 1)], opset=opset)
    with pytest.raises(InputError, match=rf"'odd' \({op}\).*{said}"):
        read(path)


def test_operands_and_attributes_at_random(tmp_path):
    """Every operator with matrix products, its operands of any number, rank and size: a network, or problems."""
    chance = random.Random(5)
    settings = {"group": (0, 1, 3), "strides": ([2, 2], [0], 2), "kernel_shape": ([3, 3], [0, 0]), "hidden_size": (4,),
                "pads": ([1] * 4, [-5] * 2), "equation": ("ij,jk->ik", "...ij,jk", "ii->i", "->"), "transA": (1,),
                "q_num_heads": (2, 0), "kv_num_heads": (1, 3), "auto_pad": ("SAME_UPPER", "ODD"), "layout": (1,)}
    refused = 0
    for _ in range(400):
        op, names = chance.choice([*MATRIX, "If"]), [f"i{k}" for k in range(chance.randint(1, 9))]
        shapes = [[chance.choice((1, 2, 4, 8)) for _ in range(chance.choice((0, 1, 2, 3, 3, 4, 4, 5)))] for _ in names]
        node = helper.make_node(op, [n if chance.random() < 0.9 else "" for n in names], ["y"], **{
            key: chance.choice(values) for key, values in settings.items() if chance.random() < 0.3})
        weights = [tensor(n, *s) for n, s in zip(names, shapes, strict=True) if chance.random() < 0.5]
        path = save(tmp_path, [node], [info(n, *s) for n, s in zip(names, shapes, strict=True)],
                    [helper.make_tensor_value_info("y", F, None)], weights, opset=chance.choice((7, 13, 23)))
        try:
            read(path)
        except InputError:
            refused += 1
    assert refused > 300
