"""The JSON schemas beside the studies are those of this version, and every example points at its own."""

import json
from pathlib import Path

import pytest
import yaml

from dse.located import read
from dse.schema import KINDS, json_schema

STUDIES = Path(__file__).parents[2] / "studies"
EXAMPLES = sorted(path for path in STUDIES.rglob("*.yaml")
                  if isinstance(value := yaml.safe_load(path.read_text(encoding="utf-8")), dict)
                  and value.get("kind") in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_schema_files_are_current(kind):
    written = json.loads((STUDIES / "schema" / f"{kind}.json").read_text(encoding="utf-8"))
    assert written == json_schema(kind), f"run: dse schema {kind} > studies/schema/{kind}.json"


def test_there_are_examples():
    assert STUDIES / "quickstart.yaml" in EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_first_line_names_the_schema(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    kind = yaml.safe_load(path.read_text(encoding="utf-8"))["kind"]
    depth = len(path.relative_to(STUDIES).parts) - 1
    expected = f"# yaml-language-server: $schema={'../' * depth}schema/{kind}.json"
    assert first == expected, f"first line of {path.name} must be: {expected}"
    assert (path.parent / first.partition("$schema=")[2]).is_file()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_obey_the_schema(path):
    jsonschema = pytest.importorskip("jsonschema")
    value = read(path).value
    jsonschema.validate(value, json_schema(value["kind"]))
