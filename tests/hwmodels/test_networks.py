"""The zoo against published totals, and the laws its layers obey."""

import pytest

from hwmodels.errors import InvalidLayer, ModelError
from hwmodels.network import MATRIX_OPS, Network
from hwmodels.networks import NETWORKS, network
from hwmodels.networks.build import Builder, touched_pad
from hwmodels.networks.fbnet import fbnet_c
from hwmodels.networks.llm import LlmConfig, decode, prefill
from hwmodels.networks.res8 import res8
from hwmodels.networks.ssd import ssd_resnet34
from hwmodels.networks.transformers import bert_base, gpt2

# Parameters: torchvision's and the papers' exact counts. MACs: closed forms and two walkers of exported graphs.
EXACT = {
    "alexnet": (61100840, 714188480), "vgg16": (138357544, 15470264320), "resnet18": (11689512, 1814073344),
    "resnet50": (25557032, 4089184256), "resnext50": (25028904, 4230479872), "inception_v3": (23834568, 5713216096),
    "mobilenet_v1": (4231976, 568740352), "mobilenet_v2": (3504872, 300774272), "vit_b_16": (86567656, 17563828224),
    "bert_base": (109482240, 35333406720), "bert_large": (335141888, 123212922880), "gpt2": (124439808, 32832159744),
    "ritnet": (248900, 1025658880), "res8": (19905, 6752676), "branchy_alexnet": (605886, 30465536),
}

# Published numbers that a paper gives rounded, or for details it leaves open: (parameters, MACs, tolerance of each),
# None where nothing is published for this input.
ROUNDED = {
    "ssd_resnet34": (20.0e6, 433e9 / 2, 0.01, 0.01),  # MLPerf Inference
    "gnmt": (278e6, 25 * 214e6, 0.01, 0.01),  # Shazeer et al. 2017
    "lstm": (20e6, None, 0.02, 0.0),  # Zaremba et al. 2014
    "ncf": (31.8e6, None, 0.01, 0.0),  # MLPerf Training
    "fbnet_c": (5.5e6, 0.143e9, 0.02, 0.03),  # Wu et al. 2019; XRBench's layers at 160 x 100
    "midas_small": (21.3e6 - 4 * 512 * 512 * 9 / 2 - 2 * 512, None, 0.01, 0.0),  # file without the unit never run
    "emformer": (75.5e6, 9.664e9 + 24 * 2 * 128 * 128 * 512, 0.005, 1e-4),  # XRBench, attention added
    "ed_tcn": (742400, None, 0.005, 0.0),  # XRBench
    "rgbd_200": (13.67e6, 16.8e9, 0.002, 0.13),  # XRBench, which drops the strides
    "hand_graph_cnn": (19.3e6, 3.73e9, 0.03, 0.03),  # XRBench
    "d2go_faster_rcnn": (5.27e6, 0.49e9, 0.01, 0.12),  # XRBench, depthwise layers read as such
    "plane_rcnn": (59.5e6, None, 0.08, 0.0),  # XRBench
    "hrvit_b1": (8.1e6, 14.1e9 * (224 / 512) ** 2, 0.15, 0.02),  # Gu et al. 2022
    "ssd_resnet18": (None, None, 0.0, 0.0),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_totals(name):
    assert (network(name).parameters, network(name).macs) == EXACT[name]


@pytest.mark.parametrize("name", ROUNDED)
def test_published_totals(name):
    parameters, macs, parameter_frac, mac_frac = ROUNDED[name]
    if parameters is not None:
        assert network(name).parameters == pytest.approx(parameters, rel=parameter_frac)
    if macs is not None:
        assert network(name).macs == pytest.approx(macs, rel=mac_frac)


def test_every_network_has_a_total():
    assert set(EXACT) | set(ROUNDED) == set(NETWORKS)


def test_totals_by_operator():
    """Parts of the reference: depthwise share of MobileNet-v2, attention and head of transformers."""
    def macs(net: Network, op: str) -> int:
        return sum(layer.macs for layer in net if layer.op == op)

    assert macs(network("mobilenet_v2"), "depthwise") == 20716416
    assert macs(network("mobilenet_v2"), "conv") == 278777856
    assert macs(network("vit_b_16"), "attention") == 715327488
    assert macs(network("bert_base"), "attention") == 2717908992
    assert gpt2(head="all").layers[-1].macs == 9880928256
    assert gpt2(head="last").macs == 32832159744 - 9880928256 * 255 // 256
    assert sum(x.is_matrix for x in network("resnet50")) == 54
    assert sum(x.is_matrix for x in network("vit_b_16")) == 74


def test_published_variants():
    assert fbnet_c(height=224, width=224).macs == pytest.approx(375e6, rel=0.01)
    assert res8(maps=45).parameters == pytest.approx(110e3, rel=0.01)
    assert any("15130 boxes" in note for note in ssd_resnet34().notes)
    assert any("8732 boxes" in note for note in network("ssd_resnet18").notes)


def test_expected_cost_of_early_exits():
    """B-AlexNet by segment and head as published (BranchyNet, table I, MACs from its layer lists): a sample pays every
    head it passes, so the mean cost gives a MAC-only gain of 1.4448."""
    found = network("branchy_alexnet")
    first, second = found.exits
    macs = [sum(layer.macs for layer in part) for part in (
        found.layers[:4], found.layers[4 : first + 1], found.layers[first + 1 : first + 2],
        found.layers[first + 2 : second + 1], found.layers[second + 1 :])]
    assert macs == [15564800, 1774592, 3538944, 443648, 9143552]
    assert found.exit_shares == pytest.approx((0.092, 0.656, 0.252), rel=1e-12)
    cost = 17339392 + (1 - 0.656) * (3538944 + 443648) + 0.092 * 9143552
    assert (macs[0] + macs[2] + macs[4]) / cost == pytest.approx(1.444829, rel=1e-6)


def test_exits_given_by_name():
    found = network("res8")
    name = found.layers[2].name
    assert found.with_exits({name: 0.25}).exits == (2,)
    assert found.with_exits({name: 0.25}).exit_shares == (0.75, 0.25)
    assert found.with_exits({name: 0.25}).with_exits({}) == found
    with pytest.raises(InvalidLayer, match="did you mean"):
        found.with_exits({name + "x": 0.5})
    with pytest.raises(InvalidLayer, match="before the last"):
        found.with_exits({found.layers[-1].name: 0.5})


@pytest.mark.parametrize("name", NETWORKS)
class TestConformance:
    """What every network of the zoo obeys."""

    def test_names(self, name):
        found = network(name)
        assert found.name == name
        assert found.source
        assert len({layer.name for layer in found}) == len(found)

    def test_flow(self, name):
        """Every layer but the outputs is read by a later one, and only the first layers read the input alone."""
        found = network(name)
        read = {p for index in range(len(found)) for p in found.producers(index)}
        assert -1 in read
        assert len(set(range(len(found))) - read) <= 16  # heads of detectors

    def test_layers_fit(self, name):
        """A convolution never reads more than its producers wrote (regions of a detector are read from a gather)."""
        found = network(name)
        for index, layer in enumerate(found):
            producers = found.producers(index)
            if layer.op in ("conv", "depthwise") and -1 not in producers:
                assert layer.input_elements <= sum(found.layers[p].output_elements for p in producers), layer.name

    def test_batch_scales_the_work_and_not_the_weights(self, name):
        one, two = network(name), NETWORKS[name](batch=2)
        assert two.macs == 2 * one.macs
        assert two.parameters == one.parameters
        assert sum(x.vector_ops for x in two) == 2 * sum(x.vector_ops for x in one)
        assert one.with_batch(2) == two

    def test_vector_layers_have_elements(self, name):
        for layer in network(name):
            if not layer.is_matrix:
                assert min(layer.in_elements, layer.out_elements) > 0, layer.name


def test_cached_and_unknown():
    assert network("resnet50") is network("resnet50")
    with pytest.raises(ModelError, match="did you mean 'resnet50'"):
        network("resnet5O")


# ---- the builder, by hand ----------------------------------------------------------------------------------------


def test_touched_pad():
    assert touched_pad(224, 112, 3, 2, 1, 1) == 1  # the last window ends at the edge
    assert touched_pad(225, 113, 3, 2, 1, 1) == 2
    assert touched_pad(56, 28, 1, 2, 1, 0) == 0
    assert touched_pad(14, 7, 3, 2, 1, 0) == 1  # TensorFlow pads the end


def test_folded_convolution():
    b = Builder("t")
    y = b.conv(b.input(3, 8, 8), 4, 3, 2)
    layer = b.layers[0]
    assert (y.c, y.h, y.w, layer.macs, layer.vector_ops, layer.parameters) == (4, 4, 4, 16 * 4 * 27, 64 * 2, 4 * 27 + 8)
    assert layer.input_elements == 3 * 8 * 8


def test_grouped_query_attention():
    b = Builder("t", batch=2)
    b.attention(b.input(8 * 16, 5), b.input(2 * 2 * 16, 5), 8, kv_heads=2, head_dim=16, context=9)
    scores, softmax, values = b.layers
    assert (scores.groups, scores.oy, scores.k, scores.c) == (4, 20, 9, 16)
    assert (values.groups, values.oy, values.k, values.c) == (4, 20, 16, 9)
    assert softmax.in_elements == 2 * 8 * 5 * 9
    assert scores.macs == values.macs == 2 * 8 * 5 * 9 * 16


def test_lstm():
    b = Builder("t", batch=3)
    y = b.lstm(b.input(10, 7), 16, directions=2)
    assert sum(x.macs for x in b.layers) == 7 * 3 * 2 * 4 * 16 * (10 + 16)
    assert sum(x.parameters for x in b.layers) == 2 * 64 * (10 + 16 + 2)
    assert y.c == 32


def test_transposed():
    b = Builder("t")
    y = b.transposed(b.input(8, 5, 5), 3, 4, 2, pad=1)
    assert (y.h, b.layers[0].macs) == (10, 8 * 25 * 3 * 16)


# ---- transformers: closed forms against layers -------------------------------------------------------------------

LLAMA3 = LlmConfig(name="llama3_8b", hidden=4096, layers=32, heads=32, kv_heads=8, head_dim=128, ffn=14336,
                   vocab=128256,
                   gated=True, norm="rms_norm", rotary=True, activation="swish")
MIXTRAL = LlmConfig(name="mixtral", hidden=4096, layers=32, heads=32, kv_heads=8, head_dim=128, ffn=14336, vocab=32000,
                    gated=True, norm="rms_norm", rotary=True, activation="swish", experts=8, experts_per_token=2)
TINY = LlmConfig(name="tiny", hidden=512, layers=4, heads=8, kv_heads=2, head_dim=64, ffn=1408, vocab=32000, gated=True,
                 norm="rms_norm", rotary=True)


def test_llama_reference():
    assert LLAMA3.parameters == 8030261248
    assert LLAMA3.kv_elements_per_token == 65536
    assert prefill(LLAMA3, tokens=512, head="all").macs == LLAMA3.macs(512) == 3911104593920
    assert prefill(LLAMA3, tokens=512).macs == 3642657603584
    assert decode(LLAMA3, context=512).macs == 7638876160
    assert LLAMA3.linear_macs(512) == 3573412790272
    assert LLAMA3.attention_macs(512, 512) == 68719476736
    assert prefill(TINY, tokens=128, head="all").macs == 3607101440


@pytest.mark.parametrize("config", [LLAMA3, MIXTRAL, TINY], ids=lambda c: c.name)
@pytest.mark.parametrize("batch", [1, 3])
def test_layers_equal_closed_forms(config, batch):
    assert prefill(config, tokens=33, batch=batch, head="all").macs == config.macs(33, batch=batch)
    assert decode(config, context=77, batch=batch).macs == config.macs(1, 77, batch=batch)
    assert decode(config, batch=batch).parameters == prefill(config, batch=batch).parameters == config.parameters


def test_mixtral_parameters():
    assert MIXTRAL.parameters == 46702792704  # published: 46.7 B
    weights = sum(x.weight_elements for x in decode(MIXTRAL).layers if ".experts" in x.name)
    assert weights == 32 * 2 * 3 * 4096 * 14336  # one token reads two experts


def test_chunked_prefill():
    whole = prefill(TINY, tokens=128).macs
    assert prefill(TINY, tokens=64, context=128).macs == TINY.macs(64, 128, head_tokens=1) < whole


def test_impossible_configurations():
    with pytest.raises(InvalidLayer, match="kv_heads"):
        LlmConfig(name="x", hidden=8, layers=1, heads=4, kv_heads=3, head_dim=2, ffn=8)
    with pytest.raises(InvalidLayer, match="prefill"):
        decode(LlmConfig(name="x", hidden=8, layers=1, heads=4, kv_heads=4, head_dim=2, ffn=8, head="none"))
    with pytest.raises(InvalidLayer, match="context"):
        prefill(TINY, tokens=8, context=4)


def test_tokens_scale_bert():
    short, long = bert_base(tokens=128), bert_base(tokens=256)
    linear = sum(x.macs for x in short if x.op == "gemm" and x.name != "pooler")
    assert sum(x.macs for x in long if x.op == "gemm" and x.name != "pooler") == 2 * linear
    attention = [sum(x.macs for x in net if x.op == "attention") for net in (short, long)]
    assert attention[1] == 4 * attention[0]
    assert {x.op for x in short} <= {*MATRIX_OPS, "softmax", "norm", "elementwise", "gather"}


def test_tables_are_stored_but_not_read():
    """A gather reads the rows it fetches; the table counts as parameters and as nothing else."""
    embedding = network("bert_base").layers[0]
    assert (embedding.op, embedding.stored_parameters, embedding.extra_parameters) == ("gather", 30522 * 768, 0)
    assert embedding.input_elements == 384 * 768
    idle = sum(x.stored_parameters for x in decode(MIXTRAL) if ".experts" in x.name)
    assert idle == 32 * 6 * 3 * 4096 * 14336
