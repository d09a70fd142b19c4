"""`dse inspect` as a user runs it."""

import json
import sys
from pathlib import Path

import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import command

from hwmodels.networks import NETWORKS, network

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def dse(*arguments):
    return command.dse("inspect", *arguments)


def test_json_of_a_graph():
    done = dse(LIGHT / "light_resnet50.onnx", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert (data["kind"], data["macs"], data["parameters"]) == ("onnx", 4089184256, 25557032)
    assert data["macs"] == sum(row["macs"] for row in data["layers"]) == sum(v["macs"] for v in data["by_op"].values())
    assert data["unsupported"] == []
    assert data["symbols"] == []
    assert {"name", "op", "macs", "parameters", "input_elements", "output_elements", "weight_bits",
            "inputs"} <= set(data["layers"][0])


def test_text_of_a_zoo_network():
    done = dse("mobilenet_v2", "--top", "5")
    assert done.returncode == 0, done.stderr
    assert "300774272" in done.stdout
    assert "3504872" in done.stdout
    assert "depthwise" in done.stdout
    assert "20716416" in done.stdout


def test_configuration_has_both_totals(tmp_path):
    values = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024,
              "vocab_size": 50257}
    (tmp_path / "config.json").write_text(json.dumps(values))
    data = json.loads(dse(tmp_path, "--tokens", "256", "--json").stdout)
    assert data["macs"] == data["totals"]["macs_head_on_all_tokens"] == 32832159744
    assert data["totals"]["macs_head_on_last_token"] == 32832159744 - 255 * 768 * 50257
    data = json.loads(dse(tmp_path / "config.json", "--phase", "decode", "--context", "256", "--json").stdout)
    assert data["macs"] == 128250624


@pytest.mark.parametrize(("arguments", "word"), [
    (["resnet5O"], "did you mean 'resnet50'?"), (["gone.onnx"], "no such file"),
    (["resnet50", "--bind", "batch"], "NAME=SIZE"),
    (["resnet50", "--tokens", "5"], "--tokens"),
    ([LIGHT / "light_resnet50.onnx", "--bind", "batch=2"], "no free dimension"),
    (["resnet50", "--bind", "a=1,a=2"], "twice"),
])
def test_bad_input(arguments, word):
    done = dse(*arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert not done.stdout
    assert "Traceback" not in done.stderr


def test_registry_names_are_readable():
    assert all(network(name).source for name in NETWORKS)
