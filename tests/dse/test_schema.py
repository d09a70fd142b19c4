"""The JSON schemas: they accept what we ship, refuse what the loaders refuse, and follow the records."""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

from dse.cli import main
from dse.located import parse, read
from dse.schema import KINDS, json_schema
from hwmodels.engine import Engine
from hwmodels.network import Layer

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
