"""`dse list`: every registry, as a table and as JSON."""

import json

import pytest

from dse.cli import main
from dse.documents import shipped_workloads
from dse.samplers import SAMPLERS
from hwmodels.architectures import ARCHITECTURES
from hwmodels.networks import NETWORKS, network
from hwmodels.outcome import METRICS, OBJECTIVES
from hwmodels.policies import POLICIES
from hwmodels.token_lengths import LENGTHS

NAMES = {"architectures": ARCHITECTURES, "policies": POLICIES, "networks": NETWORKS, "samplers": SAMPLERS,
         "metrics": METRICS, "objectives": OBJECTIVES, "workloads": shipped_workloads(), "lengths": LENGTHS}


def run(capsys, *args):
    with pytest.raises(SystemExit) as end:
        main(["list", *args])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


@pytest.mark.parametrize("topic", NAMES)
def test_table_and_json_name_everything(capsys, topic):
    code, out, err = run(capsys, topic)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(NAMES[topic])
    code, out, err = run(capsys, topic, "--json")
    assert (code, err) == (0, "")
    entries = json.loads(out)[topic]
    assert [entry["name"] for entry in entries] == list(NAMES[topic])
    assert all(entry["summary"] for entry in entries)


def test_numbers_of_networks(capsys):
    entries = json.loads(run(capsys, "networks", "--json")[1])["networks"]
    resnet = next(entry for entry in entries if entry["name"] == "resnet50")
    assert resnet["macs"] == network("resnet50").macs == 4_089_184_256
    assert resnet["parameters"] == network("resnet50").parameters


def test_parameters_of_policies(capsys):
    entries = json.loads(run(capsys, "policies", "--json")[1])["policies"]
    robin = next(entry for entry in entries if entry["name"] == "round_robin")
    param = POLICIES["round_robin"].params["quantum_layers"]
    assert robin["params"]["quantum_layers"] == param._asdict()
    assert f"quantum_layers {param.default:g} [{param.low:g}, {param.high:g}]" in run(capsys, "policies")[1]


def test_units_of_metrics(capsys):
    entries = json.loads(run(capsys, "metrics", "--json")[1])["metrics"]
    area = next(entry for entry in entries if entry["name"] == "area_mm2")
    assert (area["unit"], area["better"], area["scope"]) == ("mm2", "smaller", "chip")


@pytest.mark.parametrize(("topic", "hint"), [("polices", " (did you mean 'policies'?)"), ("x", "")])
def test_unknown_topic(capsys, topic, hint):
    assert run(capsys, topic) == (2, "", "TOPIC: must be one of architectures, dataflows, policies, networks, "
                                  "workloads, "
                                  f"lengths, samplers, metrics, objectives, got '{topic}'{hint}\n")
