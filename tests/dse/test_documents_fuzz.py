"""Mutilated files: always a record or located problems, never anything else."""

import random
import string

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dse.cli import main
from dse.documents import load
from dse.errors import InputError

ENGINE = """\
kind: engine
rows: 32
cols: 16
dataflow: ws
sram_bytes: 524288
dram_bytes_per_s: 16.0e+9
freq_hz: 1.0e+9
sram_fracs: [0.5, 0.25, 0.25]
"""
WORKLOAD = """\
kind: workload
name: two
tenants:
  - name: cam
    network: resnet18
    traffic: {kind: periodic, rate_hz: 30, jitter_frac: 0.1}
    service: {deadline_s: 0.03, percentile: 95, drop_late: true}
  - {name: gaze, network: res8, after: cam, probability: 0.5, precision: int4}
  - name: own
    network: {name: n, layers: [{name: a, op: gemm, k: 4, c: 8}, {name: b, op: norm, inputs: [0, -1]}]}
    traffic: {kind: trace, arrivals_s: [0.1, 0.2]}
"""
DESIGN = """\
kind: design
architecture: dedicated
freq_hz: 1.0e+9
dram_bytes_per_s: 16.0e+9
engines:
  - {rows: 64, cols: 64, dataflow: ws, sram_bytes: 1048576, tenant: a, dram_frac: 0.5}
  - {rows: 16, cols: 64, dataflow: os, sram_bytes: 1048576, tenant: b, dram_frac: 0.5}
policy: {name: round_robin, quantum_layers: 4}
scheduler: hardware
provenance: {budgets: {area_mm2: 3}}
"""
STUDY = f"""\
kind: study
name: small
workload:
  {WORKLOAD.replace(chr(10), chr(10) + '  ').strip()}
objectives: [area_mm2, {{metric: cam.p99_latency_s, direction: minimise}}]
budgets: {{area_mm2: 40, own.slo_violation_frac: 0}}
space:
  architectures: [time_mux, composable]
  policies: [edf, round_robin]
  domains: {{sram_bytes: [262144, 1e6], rows: {{low: 16, high: 64, log: 2}}, cols: [16], vector_lanes: [32]}}
  forbidden: [{{architecture: time_mux, rows: 64}}]
search: {{sampler: random, trials: 50}}
"""
TEXTS = (ENGINE, WORKLOAD, DESIGN, STUDY)

SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(10**400),
    st.sampled_from(["1e9", "0x", "1:30", "on", "~", "name", "kind", "cam", "cam.", ".", "..", "/", "a/b.onnx", "x.csv",
                     "-1", "1e999", "config.json", "area_mm2", "ar_gaming", "\x00", "\ud800", "prema", ".nan"]),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["name", "kind", "file", "low", "high", "layers", "<<", "rows"]) | st.text(max_size=4), inner,
    max_size=3), max_leaves=6)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judge(folder, data):
    """The file is read, or refused with problems that name it and fit into it."""
    path = folder / "x.yaml"
    path.write_bytes(data)
    try:
        load("x.yaml")
    except InputError as error:
        problems = error.problems
    else:
        return
    assert problems
    lines = data.decode("utf-8", "replace").split("\n")
    for problem in problems:
        assert problem.message
        assert str(problem)
        assert problem.file != "x.yaml" or problem.line <= len(lines) + 1


def places(value, path=()):
    """Paths of all values inside a value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


@given(st.sampled_from(TEXTS), st.data())
@SLOW
def test_a_value_replaced_added_or_removed(folder, text, data):
    document = yaml.safe_load(text)
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(sorted(places(document), key=str)))
        if not path:
            continue
        parent = document
        for part in path[:-1]:
            parent = parent[part]
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "remove":
            del parent[path[-1]]
        elif action == "add" and isinstance(parent, dict):
            parent[data.draw(st.text(max_size=6))] = data.draw(values)
        else:
            parent[path[-1]] = data.draw(values)
    judge(folder, yaml.safe_dump(document, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass"))


@given(st.sampled_from(TEXTS), st.integers(0, 2**32), st.integers(1, 4))
@SLOW
def test_characters_changed(folder, text, seed, count):
    chance = random.Random(seed)
    letters = list(text)
    for _ in range(count):
        at = chance.randrange(len(letters))
        letters[at] = chance.choice(["", "\n", "\t", " ", ":", "-", "{", "}", "[", "&a ", "*a", "!", "#", '"', "'", "%",
                                     "?", "\x00", "é", "|", ">", "<<: ", "0", *string.ascii_letters[:4]])
    judge(folder, "".join(letters).encode())


@given(st.sampled_from(TEXTS), st.integers(0, 600), st.binary(max_size=4))
@SLOW
def test_cut_and_spliced(folder, text, at, extra):
    data = text.encode()
    judge(folder, data[:at] + extra)
    judge(folder, data[:at] + extra + data[at:])


@given(st.binary(max_size=60))
@SLOW
def test_noise(folder, data):
    judge(folder, data)
    (folder / "log.csv").write_bytes(b"arrival_s,x\n0.1,2\n" + data)
    judge(folder, WORKLOAD.replace("arrivals_s: [0.1, 0.2]", "file: log.csv").encode())
    (folder / "net.csv").write_bytes(data)
    judge(folder, WORKLOAD.replace("network: res8", "network: net.csv").encode())


def test_every_line_left_out_in_turn(folder, capsys):
    for text in TEXTS:
        lines = text.splitlines(keepends=True)
        for index in range(len(lines)):
            (folder / "x.yaml").write_text("".join(lines[:index] + lines[index + 1:]))
            with pytest.raises(SystemExit) as end:
                main(["check", "x.yaml"])
            assert end.value.code in (0, 2), (index, capsys.readouterr().err)
            capsys.readouterr()
