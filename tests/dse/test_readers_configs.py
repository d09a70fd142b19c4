"""Hugging Face configurations and SCALE-Sim topologies: published totals, both phases, errors with their place."""

import json

import pytest

from dse.errors import InputError
from dse.readers import load_network

LLAMA3 = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
          "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False}
LLAMA2 = {**LLAMA3, "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 32000}
GPT2 = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None, "n_positions": 1024,
        "vocab_size": 50257}
BERT = {"model_type": "bert", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
        "intermediate_size": 4096, "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2}
VIT = {"model_type": "vit", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
       "intermediate_size": 3072,
       "image_size": 224, "patch_size": 16, "num_channels": 3}
MIXTRAL = {**LLAMA3, "model_type": "mixtral", "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2}


def config(folder, values):
    path = folder / "config.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values, indent=2))
    return str(path)


@pytest.mark.parametrize(("values", "options", "macs", "parameters"), [
    (LLAMA3, {"head": "all"}, 3911104593920, 8030261248), (LLAMA3, {}, 3642657603584, 8030261248),
    (LLAMA3, {"phase": "decode", "context": 512}, 7638876160, 8030261248),
    (LLAMA2, {"head": "all"}, 3451543093248, 6738415616), (LLAMA2, {"phase": "decode"}, 6741295104, 6738415616),
    (GPT2, {"tokens": 256, "head": "all"}, 32832159744, 124439808),
    (GPT2, {"phase": "decode", "context": 256}, 128250624, 124439808),
    (BERT, {"tokens": 384}, 123212922880, 335141888), (VIT, {}, 17563828224, 86567656),
    (MIXTRAL, {"phase": "decode", "batch": 4}, None, 46702792704),
    ({**GPT2, "model_type": "opt", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
      "ffn_dim": 3072,
      "vocab_size": 50272, "max_position_embeddings": 2048}, {}, None, 125239296),  # OPT-125M
    ({**LLAMA3, "model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
      "num_key_value_heads": 2,
      "intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": True}, {}, None, 494032768),  # Qwen2-0.5B
    ({**LLAMA3, "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
      "head_dim": 128,
      "intermediate_size": 3072, "vocab_size": 151936, "tie_word_embeddings": True}, {}, None, 596049920),  # Qwen3-0.6B
    ({**LLAMA3, "model_type": "gemma", "hidden_size": 2048, "num_hidden_layers": 18, "num_attention_heads": 8,
      "head_dim": 256,
      "num_key_value_heads": 1, "intermediate_size": 16384, "vocab_size": 256000, "tie_word_embeddings": True}, {},
      None,
     2506172416),  # Gemma-2B
    ({**LLAMA3, "model_type": "gemma2", "hidden_size": 2304, "num_hidden_layers": 26, "num_attention_heads": 8,
      "head_dim": 256,
      "num_key_value_heads": 4, "intermediate_size": 9216, "vocab_size": 256000, "tie_word_embeddings": True}, {}, None,
     2614341888),  # Gemma-2-2B
    ({**LLAMA2, "model_type": "phi", "hidden_size": 2048, "num_hidden_layers": 24, "intermediate_size": 8192,
      "vocab_size": 51200}, {}, None, 1418270720),  # Phi-1.5
    ({**LLAMA2, "model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "vocab_size": 32064}, {}, None,
     3821079552),  # Phi-3-mini
    ({**LLAMA3, "model_type": "mistral", "vocab_size": 32000}, {}, None, 7241732096),  # Mistral-7B
    ({**LLAMA3, "model_type": "qwen2_moe", "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16,
      "num_key_value_heads": 16, "intermediate_size": 5632, "moe_intermediate_size": 1408, "num_experts": 60,
      "num_experts_per_tok": 4, "shared_expert_intermediate_size": 5632, "vocab_size": 151936}, {"tokens": 7}, None,
     14315784192),  # Qwen1.5-MoE-A2.7B
])
def test_published_totals(tmp_path, values, options, macs, parameters):
    found = load_network(config(tmp_path, values), **options)
    assert macs in (None, found.network.macs)
    assert found.network.parameters == parameters == found.totals["parameters"]


def test_both_head_totals_are_given(tmp_path):
    found = load_network(config(tmp_path, LLAMA3))
    assert found.totals["macs_head_on_all_tokens"] == 3911104593920
    assert found.totals["macs_head_on_last_token"] == 3642657603584 == found.network.macs
    assert found.totals["kv_elements_per_token"] == 65536


def test_folder_and_relative_path(tmp_path):
    config(tmp_path, LLAMA3)
    assert load_network(str(tmp_path)).network.macs == load_network("config.json", folder=tmp_path).network.macs


def test_head_dim_beats_the_quotient(tmp_path):
    found = load_network(config(tmp_path, {**LLAMA3, "hidden_size": 1000, "num_attention_heads": 16, "head_dim": 128}))
    assert found.totals["kv_elements_per_token"] == 2 * 32 * 8 * 128


def without(values, *keys):
    return {key: value for key, value in values.items() if key not in keys}


@pytest.mark.parametrize(("values", "words"), [
    ({**LLAMA3, "model_type": "lama"}, ["model_type", "did you mean 'llama'?", "--mlp gated"]),
    (without(LLAMA3, "model_type"), ["model_type", "--mlp plain"]),
    (without(LLAMA3, "hidden_size"), ["hidden_size", "given"]),
    (without(LLAMA3, "intermediate_size", "vocab_size"), ["intermediate_size", "vocab_size", "2 errors"]),
    ({**LLAMA3, "hidden_size": 4097}, ["num_attention_heads", "divisor of the hidden size 4097"]),
    ({**LLAMA3, "num_key_value_heads": 5}, ["num_key_value_heads", "divisor of the attention heads 32"]),
    ({**LLAMA3, "num_hidden_layers": 0}, ["num_hidden_layers", ">= 1, got 0"]),
    ({**LLAMA3, "num_hidden_layers": 10**30}, ["num_hidden_layers", "at most 10,000"]),
    ({**LLAMA3, "hidden_size": 10**12}, ["hidden_size", "at most"]),
    ({**LLAMA3, "vocab_size": "many"}, ["vocab_size", '"many"']),
    ({**LLAMA3, "tie_word_embeddings": 3}, ["tie_word_embeddings", "true or false"]),
    ({**MIXTRAL, "num_experts_per_tok": 9}, ["num_experts_per_tok", "at most"]),
    (without(MIXTRAL, "num_experts_per_tok"), ["num_experts_per_tok"]),
    ({**LLAMA3, "kv_lora_rank": 512}, ["kv_lora_rank"]),
    ({**VIT, "patch_size": 15}, ["image_size", "multiple of patch_size 15"]),
    ("{\n  \"hidden_size\": 4096,\n  oops\n}", [":3:3", "JSON"]), ("", ["empty"]), ("[1, 2]", ["object"]),
])
def test_bad_configuration(tmp_path, values, words):
    with pytest.raises(InputError) as caught:
        load_network(config(tmp_path, values))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "config.json" in str(caught.value)


def test_flag_settles_an_unknown_type(tmp_path):
    path = config(tmp_path, {**LLAMA3, "model_type": "brandnew"})
    gated, plain = (load_network(path, mlp=mlp, head="all").network.macs for mlp in ("gated", "plain"))
    assert gated == 3911104593920
    assert gated - plain == 512 * 32 * 4096 * 14336


@pytest.mark.parametrize("options", [{"phase": "decoding"}, {"tokens": 0}, {"batch": 0}, {"context": 100},
                                     {"head": "first"},
                                     {"mlp": "maybe"}, {"bind": {"batsh": 1}}])
def test_bad_request(tmp_path, options):
    with pytest.raises(InputError):
        load_network(config(tmp_path, LLAMA3), **options)


def test_sizes_by_bind(tmp_path):
    path = config(tmp_path, LLAMA3)
    assert load_network(path, bind={"batch": 2, "tokens": 64}).network == load_network(path, batch=2, tokens=64).network


def test_encoders_do_not_decode(tmp_path):
    with pytest.raises(InputError, match="does not decode"):
        load_network(config(tmp_path, BERT), phase="decode")


def test_folder_without_configuration(tmp_path):
    with pytest.raises(InputError, match=r"config\.json"):
        load_network(str(tmp_path))


# ---- SCALE-Sim ---------------------------------------------------------------------------------------------------

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
GEMM = "Layer, M, N, K,\n"


def topology(folder, text):
    path = folder / "net.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_convolutions(tmp_path):
    found = load_network(topology(tmp_path, CONV + "Conv1, 229, 229, 7, 7, 3, 64, 2,\nFC, 1, 1, 1, 1, 512, 1000, 1,\n"))
    first, last = found.network.layers
    assert found.kind == "scalesim"
    assert not any(layer.pad_y for layer in found.network)
    assert (first.oy, first.ox, first.macs) == (112, 112, 112 * 112 * 64 * 147)  # ceil((229 - 7 + 2) / 2)
    assert (last.op, last.macs) == ("conv", 512000)


def test_output_rounds_up_and_says_so(tmp_path):
    found = load_network(topology(tmp_path, CONV + "odd, 8, 8, 3, 3, 4, 4, 2,\nexact, 9, 9, 3, 3, 4, 4, 2,\n"))
    odd, exact = found.network.layers
    assert (odd.oy, exact.oy) == (4, 4)
    assert odd.input_elements == 4 * 64
    assert any("odd" in note and "exact" not in note for note in found.notes)


@pytest.mark.parametrize("text", [
    GEMM + "a, 16, 32, 64,\n", GEMM + "a, 16, 32, 64\n", "\ufeff" + GEMM + "  a ,16 , 32,  64,\r\n",
    "Layer,M,N,K\n\n,,,,\na,16,32,64\n,,,\n",
])
def test_products_and_blanks(tmp_path, text):
    layer, = load_network(topology(tmp_path, text)).network.layers
    assert (layer.name, layer.op, layer.oy, layer.k, layer.c) == ("a", "gemm", 16, 32, 64)


def test_row_without_its_last_comma_keeps_its_stride(tmp_path):
    layer, = load_network(topology(tmp_path, CONV + "c, 57, 57, 3, 3, 8, 8, 2\n")).network.layers
    assert layer.stride_y == 2
    assert layer.oy == 28


def test_sparsity_column(tmp_path):
    text = CONV.strip() + " Sparsity,\nc, 8, 8, 3, 3, 8, 8, 1, 2:4,\nd, 8, 8, 3, 3, 8, 8, 1, 1:1,\n"
    sparse, dense = load_network(topology(tmp_path, text)).network.layers
    assert (sparse.weight_density, sparse.sparsity, dense.sparsity) == (0.5, "n_m", "dense")
    assert sparse.macs == dense.macs


def test_depthwise_by_name(tmp_path):
    found = load_network(topology(tmp_path, CONV + "DP_1, 10, 10, 3, 3, 32, 1, 1,\nplain, 10, 10, 3, 3, 32, 1, 1,\n"))
    depthwise, plain = found.network.layers
    assert (depthwise.op, depthwise.groups, plain.op, plain.c) == ("depthwise", 32, "conv", 32)
    assert depthwise.macs == plain.macs == 64 * 32 * 9
    assert any("plain" in note for note in found.notes)


def test_more_columns_are_notes(tmp_path):
    found = load_network(topology(tmp_path, "Layer,M,N,K,Comment,\na,1,2,3,hello,\n"))
    assert any("Comment" in note for note in found.notes)


@pytest.mark.parametrize(("text", "words"), [
    ("", ["empty"]), ("\n,,,\n", ["empty"]), (GEMM, ["header alone"]), ("name,latency\na,1\n", [":1:1", "header"]),
    (GEMM + "a, 16, x, 64,\n", [":2:8", "column N", "got 'x'"]),
    (GEMM + "a, 16, 0, -4,\n", ["column N", "column K", "2 errors"]),
    (GEMM + "a, 16, 32\n", ["column K", "got nothing"]), (GEMM + "a, 1.5, 2, 3,\n", ["column M", "'1.5'"]),
    (CONV + "c, 8, 8, 9, 3, 4, 4, 1,\n", ["column Filter Height", "at most the IFMAP Height 8"]),
    (CONV + "c, 8, 8, 3, 3, 4, 4, 0,\n", ["column Strides"]),
    (CONV.strip() + " Sparsity,\nc, 8, 8, 3, 3, 8, 8, 1, 5:4,\n", ["Sparsity", "5:4"]),
    (b"Layer,M,N,K\n\xff\xfe,1,2,3\n", [":2:1", "UTF-8"]), (b"Layer,M,N,K\na\0,1,2,3\n", ["binary"]),
])
def test_bad_topology(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        load_network(topology(tmp_path, text))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_problems_are_limited(tmp_path):
    with pytest.raises(InputError) as caught:
        load_network(topology(tmp_path, GEMM + "a,x,1,1,\n" * 50))
    assert len(caught.value.problems) == 21
    assert "30 more" in str(caught.value)


# ---- which reader ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["resnet5O", "gone.onnx", "gone.csv", "gone/config.json", "x/y", ""])
def test_unknown_network(spec, tmp_path):
    with pytest.raises(InputError):
        load_network(spec, folder=tmp_path / "sub")


def test_sizes_of_a_zoo_network():
    assert load_network("bert_base", bind={"tokens": 128,
                                           "batch": 2}).network.macs < load_network("bert_base").network.macs
    assert load_network("resnet50", bind={"batch": 3}).network.macs == 3 * 4089184256
    with pytest.raises(InputError, match="did you mean 'tokens'"):
        load_network("bert_base", bind={"token": 128, "batch": 0})
    with pytest.raises(InputError):
        load_network("fbnet_c", bind={"height": 0})


def test_other_file(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(InputError, match=r"\.onnx"):
        load_network(str(tmp_path / "model.pt"))


def test_rows_of_a_topology_are_independent(tmp_path):
    """Nothing in the file says which row feeds which, so no row's input waits on chip for it."""
    path = tmp_path / "two.csv"
    path.write_text("Layer, M, N, K,\na, 64, 64, 64,\nb, 64, 64, 64,\n")
    network = load_network(str(path)).network
    assert [network.producers(i) for i in range(2)] == [(-1,), (-1,)]
