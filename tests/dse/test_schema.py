"""The JSON schemas: they accept what we ship, refuse what the loaders refuse, and follow the records."""

import dataclasses
import importlib.util
import json
import random
from pathlib import Path

import jsonschema
import pytest
import yaml

from dse.cli import main
from dse.documents import load
from dse.errors import InputError
from dse.located import parse, read
from dse.schema import KINDS, json_schema
from hwmodels.engine import Engine
from hwmodels.network import Layer

_spec = importlib.util.spec_from_file_location("documents_fuzz", Path(__file__).with_name("test_documents_fuzz.py"))
documents = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(documents)
TECHNOLOGY = """\
kind: technology
name: ours
constants:
  mac_int8_energy_j.16nm: {value: 1.1e-13, low: 1.0e-13, high: 1.3e-13, source: test chip}
  dram_lpddr4_energy_j_per_byte: 6.0e-11
"""
SHIPPED = sorted(Path(__file__).parents[2].glob("studies/**/*.yaml"))


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_schemas(kind):
    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["kind"] == {"const": kind}
    assert schema["additionalProperties"] is False
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_follow_their_schema(path):
    value = read(path).value
    jsonschema.validate(value, json_schema(value["kind"]))


@pytest.mark.parametrize("change", [
    {"rows": 0}, {"rows": 1.5}, {"dataflow": "sw"}, {"colls": 3}, {"freq_hz": 0}, {"precision": "int9"},
])
def test_schema_of_engines_refuses(change):
    good = {"kind": "engine", "rows": 8, "cols": 8, "dataflow": "ws", "sram_bytes": 1024, "dram_bytes_per_s": 1e9,
            "freq_hz": 1e9}
    jsonschema.validate(good, json_schema("engine"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | change, json_schema("engine"))


@pytest.mark.parametrize(("domains", "good"), [
    ({"rows": [8, 16]}, True), ({"rows": 8}, True), ({"rows": {"low": 4, "high": 64}}, True),
    ({"freq_hz": {"low": 2e8, "high": 1e9, "log": True}}, True), ({"prema.quantum_s": [1e-4, 1e-3]}, True),
    ({"rows": [8.5]}, False), ({"rows": ["x"]}, False), ({"rows": []}, False), ({"rows": {"low": 4}}, False),
    ({"dataflow": ["sw"]}, False), ({"colls": [8]}, False), ({"node_nm": {}}, False), ({"prema.quantum": 1}, False),
])
def test_schema_of_domains(domains, good):
    study = read(Path(__file__).parents[2] / "studies" / "quickstart.yaml").value
    study["space"]["domains"] = domains
    assert jsonschema.Draft202012Validator(json_schema("study")).is_valid(study) == good


def _places(value, at=()):
    """Paths of all parts of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, part in items for place in _places(part, (*at, key)))]


@pytest.mark.parametrize("text", [*documents.TEXTS, TECHNOLOGY], ids=lambda text: text.split()[1])
def test_schemas_refuse_nothing_that_the_loaders_accept(text, tmp_path):
    """An editor that marks what works is worse than none; at random: parts left out or replaced."""
    chance, path, accepted = random.Random(text), tmp_path / "document.yaml", 0
    document = yaml.safe_load(text)
    schema = jsonschema.Draft202012Validator(json_schema(document["kind"]))
    for place in chance.choices(_places(document)[1:], k=40):
        changed = json.loads(json.dumps(document))
        part = changed
        for key in place[:-1]:
            part = part[key]
        if chance.random() < 0.4:
            del part[place[-1]]
        else:
            part[place[-1]] = chance.choice([None, 1, 0, 0.5, "1e3", "edf", True, [], [1], {}, 1e9])
        if changed.get("kind") != document["kind"]:
            continue
        path.write_text(yaml.safe_dump(changed))
        try:
            load(path)
        except InputError:
            continue
        accepted += 1
        assert not [error.message for error in schema.iter_errors(read(path).value)], changed
    assert accepted > 0


def test_schemas_follow_the_records():
    engine = json_schema("engine")["properties"]
    for field in dataclasses.fields(Engine):
        if field.name == "technology":  # a key of its own kind: a file, or a list of constants
            continue
        assert field.name in engine
        if field.default is not dataclasses.MISSING:
            assert engine[field.name]["default"] == (
                list(field.default) if isinstance(field.default, tuple) else field.default)
        assert engine[field.name]["description"]
    assert {field.name for field in dataclasses.fields(Layer)} == set(
        json_schema("workload")["$defs"]["Layer"]["properties"])


def test_command_prints_a_schema(capsys):
    with pytest.raises(SystemExit) as end:
        main(["schema", "design"])
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out) == json_schema("design")


def test_command_refuses_an_unknown_kind(capsys):
    with pytest.raises(SystemExit) as end:
        main(["schema", "worklod"])
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "KIND: must be one of workload, engine, design, study, technology, got 'worklod' (did you mean 'workload'?)\n")


def test_inline_network_in_the_schema():
    text = ("kind: workload\nname: w\ntenants: [{name: a, network: {name: n, layers: [{name: l, op: gemm, k: 4}]}, "
            "traffic: {kind: poisson, rate_hz: 1}}]")
    jsonschema.validate(parse(text, "w").value, json_schema("workload"))
