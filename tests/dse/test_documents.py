"""Our YAML files: every kind of mistake is found at its line and column, and what is good becomes a record."""

import os
from pathlib import Path

import numpy as np
import pytest

from dse.documents import (
    dump_design,
    dump_workload,
    load,
    load_design,
    load_design_document,
    load_engine,
    load_study,
    load_workload,
    self_contained,
    shipped_workloads,
)
from dse.errors import InputError, did_you_mean
from dse.located import parse
from hwmodels.architectures import Composable, Dedicated, Heterogeneous, TimeMux
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.network import Layer, Network
from hwmodels.token_lengths import LENGTHS, mean_power
from hwmodels.traffic import mean_rate_hz
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload

ENGINE = """\
kind: engine
rows: 32
cols: 16
dataflow: ws
sram_bytes: 524288
dram_bytes_per_s: 16.0e+9
freq_hz: 1.0e+9
"""

WORKLOAD = """\
kind: workload
name: two
duration_s: 0.5
tenants:
  - name: cam
    network: resnet18
    traffic: {kind: periodic, rate_hz: 30, jitter_frac: 0.1}
    service: {deadline_s: 0.03, percentile: 95, drop_late: true}
  - name: gaze
    network: res8
    after: cam
    probability: 0.5
    priority: 2
"""

DESIGN = """\
kind: design
architecture: composable
node_nm: 16
freq_hz: 1.0e+9
dram_bytes_per_s: 16.0e+9
engines:
  - {rows: 64, cols: 64, dataflow: ws, sram_bytes: 1048576}
subarrays: 16
policy: {name: round_robin, quantum_layers: 4}
scheduler: hardware
seed: 5
"""

STUDY = """\
kind: study
name: small
workload: load.yaml
objectives: [area_mm2, {metric: cam.p99_latency_s, direction: minimise}]
budgets:
  area_mm2: 40
  gaze.slo_violation_frac: 0
space:
  architectures: [time_mux, heterogeneous]
  policies: [edf, round_robin]
  domains:
    sram_bytes: [262144, 1e6]
    rows: {low: 16, high: 64, log: 2}
    round_robin.quantum_layers: [1, 4]
  forbidden:
    - {architecture: time_mux, rows: 64}
search: {sampler: nsga2, trials: 50, seed: 3}
"""

FILES = {"engine": ENGINE, "workload": WORKLOAD, "design": DESIGN, "study": STUDY}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files into the working directory, so that messages show bare names."""
    monkeypatch.chdir(tmp_path)

    def put(text, name="x.yaml"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    put(WORKLOAD, "load.yaml")
    return put


def problems(path):
    with pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    return caught.value.problems


def lines(path):
    """`LINE:COLUMN FIELD: MESSAGE (HINT)` of every problem."""
    return [f"{p.line}:{p.column} {p.field}: {p.message}" + (f" ({p.hint})" if p.hint else "") for p in problems(path)]


def only(path):
    found = lines(path)
    assert len(found) == 1, found
    return found[0]


# --- what is good -----------------------------------------------------------------------------------------------------


def test_engine(write):
    assert load_engine(write(ENGINE)) == Engine(rows=32, cols=16, dataflow="ws", sram_bytes=524288,
                                                dram_bytes_per_s=16e9, freq_hz=1e9)
    assert load_engine(write(ENGINE.replace("kind: engine\n", ""))) == load_engine(write(ENGINE))


def test_workload(write):
    workload = load_workload(write(WORKLOAD))
    cam, gaze = workload.tenants
    assert (workload.name, workload.duration_s) == ("two", 0.5)
    assert (cam.name, cam.network.name, cam.after) == ("cam", "resnet18", None)
    assert cam.traffic == Traffic(kind="periodic", rate_hz=30.0, jitter_frac=0.1)
    assert cam.service == ServiceLevel(deadline_s=0.03, percentile=95.0, drop_late=True)
    assert (gaze.traffic, gaze.after, gaze.probability, gaze.priority) == (None, "cam", 0.5, 2.0)


def test_precision_of_a_tenant(write):
    workload = load_workload(write(WORKLOAD.replace("network: res8", "network: res8\n    precision: int4")))
    assert {layer.weight_bits for layer in workload.tenants[1].network} == {4}
    assert {layer.weight_bits for layer in workload.tenants[0].network} == {8}


def test_design(write):
    document = load_design_document(write(DESIGN))
    engine = Engine(rows=64, cols=64, dataflow="ws", sram_bytes=1048576, dram_bytes_per_s=16e9, freq_hz=1e9)
    assert document.design == Design(architecture=Composable(engine=engine, subarrays=16), policy="round_robin",
                                     policy_params={"quantum_layers": 4}, scheduler="hardware")
    assert document.seed == 5
    plain = load_design(write(DESIGN.replace("policy: {name: round_robin, quantum_layers: 4}", "policy: edf")))
    assert (plain.policy, plain.policy_params) == ("edf", {})


def test_study(write):
    study = load_study(write(STUDY))
    assert [(o.metric, o.minimise) for o in study.objectives] == [("area_mm2", True), ("cam.p99_latency_s", True)]
    assert study.budgets == {"area_mm2": 40.0, "gaze.slo_violation_frac": 0.0}
    assert (study.sampler, study.trials, study.seed, study.workers) == ("nsga2", 50, 3, None)
    assert study.workload == load_workload("load.yaml")
    values = {name: [domain.value(i) for i in range(domain.n)] for name, domain in study.space.domains.items()}
    assert values["sram_bytes"] == [262144, 1_000_000]
    assert all(isinstance(value, int) for value in values["sram_bytes"])
    assert values["rows"] == [16, 32, 64]
    assert values["policy"] == ["edf", "round_robin"]
    assert not any(p.get("rows") == 64 for _, p in zip(range(5000), study.space.enumerate(), strict=False))
    assert study.source == STUDY


def test_study_overrides(write):
    study = load_study(write(STUDY), trials=7, seed=9, sampler="random", workers=2)
    assert (study.trials, study.seed, study.sampler, study.workers) == (7, 9, "random", 2)
    with pytest.raises(InputError) as caught:
        load_study(write(STUDY), trials=0, sampler="nsga")
    assert [p.field for p in caught.value.problems] == ["--trials", "--sampler"] or \
        {p.field for p in caught.value.problems} == {"--trials", "--sampler"}
    assert any("did you mean 'nsga" in p.hint for p in caught.value.problems)


def test_workload_by_shipped_name_inline_and_from_a_study(write):
    names = shipped_workloads()
    assert {"ar_gaming", "vr_gaming", "mlperf_server"} <= set(names)
    by_name = load_study(write(STUDY.replace("load.yaml", "ar_gaming").replace("cam.p99", "p99").replace("gaze.", "")))
    assert by_name.workload == load_workload("ar_gaming") == load_workload(names["ar_gaming"])
    inline = "workload:\n" + "".join(f"  {line}\n" for line in WORKLOAD.splitlines()[1:])
    study = load_study(write(STUDY.replace("workload: load.yaml\n", inline)))
    assert study.workload == load_workload("load.yaml")
    assert load_workload("x.yaml") == study.workload


@pytest.mark.parametrize("name", sorted(shipped_workloads()))
def test_shipped_workloads_are_good(name):
    assert load_workload(name).tenants


def test_shipped_studies_are_good():
    for path in sorted(Path(__file__).parents[2].glob("studies/*.yaml")):
        assert load(path).record is not None


# --- trace files ------------------------------------------------------------------------------------------------------

TRACE = WORKLOAD.replace("{kind: periodic, rate_hz: 30, jitter_frac: 0.1}", "{kind: trace, file: log.csv}")


def test_trace_file(write):
    write("arrival_s,note\n0.2,b\n0.1,a\n\n0.3,c\n", "log.csv")
    assert load_workload(write(TRACE)).tenants[0].traffic.arrivals_s == (0.1, 0.2, 0.3)
    write("\ufeff Tenant , ARRIVAL_S\r\ncam,0.25\r\ngaze,0.5\r\n", "log.csv")
    assert load_workload("x.yaml").tenants[0].traffic.arrivals_s == (0.25,)


@pytest.mark.parametrize(("text", "expected"), [
    ("", "log.csv:1: must be a request log, got an empty file"),
    ("time,x\n1,2\n", "log.csv:1:1: header: must be the first line of a request log, got 'time,x'; nearest: onnxim, "
     "which has the columns prompt_length, target_length; known:\n"),
    ("arrivals_s\n1\n", "log.csv:1:1: header: must be the first line of a request log, got 'arrivals_s'; nearest: "
     "ours, which has a column arrival_s (rename 'arrivals_s'?); known:\n    -> ours "),
    ("arrival_s\n", "log.csv:1: must have at least one row below the header, got none"),
    ("x,arrival_s\nab,0.1\nab,-1\n", "log.csv:3:4: column arrival_s: must be a number >= 0, got '-1'\n"
     "    ab,-1\n       ^"),
    ("x,arrival_s\nab\n", "log.csv:2:3: column arrival_s: must be a number >= 0, got nothing\n    ab\n      ^"),
    ("arrival_s\nnan\n", "log.csv:2:1: column arrival_s: must be a number >= 0, got 'nan'\n    nan\n    ^"),
    ("tenant,arrival_s\ncams,0.1\n", "log.csv:1: column tenant: must have rows of 'cam', got cams "
     "(did you mean 'cams'?)"),
    (b"arrival_s\n0.1\n\xff\n", "log.csv:3:1: must be CSV text in UTF-8, got the byte 0xff"),
    (b"\x00\x01\x02", "log.csv: must be CSV text, got a binary file"),
])
def test_broken_trace_file(write, text, expected):
    write(text, "log.csv")
    assert str(problems(write(TRACE))[0]).startswith(expected)


def test_all_broken_cells_are_named_up_to_twenty(write):
    write("arrival_s\n" + "x\n" * 50, "log.csv")
    found = problems(write(TRACE))
    assert [p.line for p in found[:20]] == list(range(2, 22))
    assert found[-1].message == "further rows were not read"


# --- the form of a message --------------------------------------------------------------------------------------------


def test_message_has_place_field_rule_value_hint_line_and_caret(write):
    write(WORKLOAD.replace("resnet18", "resnet81"), "nets.yaml")
    with pytest.raises(InputError) as caught:
        load("nets.yaml")
    assert str(caught.value) == (
        "nets.yaml:6:14: tenants[0].network: must be a network of `dse list networks` or a file (.onnx, .pt2, "
        "config.json, topology .csv), got 'resnet81' (did you mean 'resnet18'?)\n"
        "        network: resnet81\n"
        "                 ^"
    )


def test_all_errors_at_once_sorted_with_a_count(write):
    with pytest.raises(InputError) as caught:
        load(write("kind: engine\nrows: 0\ncolls: 16\ndataflow: wss\nsram_bytes: 1.5\nfreq_hz: fast\n"))
    assert [(p.line, p.column, p.field) for p in caught.value.problems] == [
        (1, 1, "cols"), (1, 1, "dram_bytes_per_s"), (2, 7, "rows"), (3, 1, "colls"), (4, 11, "dataflow"),
        (5, 13, "sram_bytes"), (6, 10, "freq_hz"),
    ]
    assert str(caught.value).endswith("\n7 errors")


def test_long_source_lines_are_cut_around_the_column(write):
    path = write("{kind: engine, rows: 8, cols: 8, dataflow: ws, " + " " * 300 + "sram_bytes: -1, "
                 "dram_bytes_per_s: 1, freq_hz: 1}")
    text = str(problems(path)[0])
    source, caret = text.split("\n")[1:]
    assert len(source) < 130
    assert source[caret.index("^"):].startswith("-1")


# --- broken values ----------------------------------------------------------------------------------------------------

ENGINE_CASES = [
    ("rows: 32", "rows: 0", "2:7 rows: must be an integer >= 1, got 0"),
    ("rows: 32", "rows: 2.5", "2:7 rows: must be an integer >= 1, got 2.5"),
    ("rows: 32", "rows: true", "2:7 rows: must be an integer >= 1, got true"),
    ("rows: 32", "rows: on", "2:7 rows: must be an integer >= 1, got on"),
    ("rows: 32", "rows: '32'", "2:7 rows: must be an integer >= 1, got '32' (remove the quotes)"),
    ("rows: 32", "rows:", "2:6 rows: must be an integer >= 1, got nothing"),
    ("rows: 32", "rows: [32]", "2:7 rows: must be an integer >= 1, got a list"),
    ("rows: 32", "rows: {a: 1}", "2:7 rows: must be an integer >= 1, got a mapping"),
    ("rows: 32", "rows: 010",
     "2:7 rows: must be an integer >= 1, got '010' (YAML reads a leading 0 as octal; write 10)"),
    ("rows: 32", "rows: 100000", "2:7 rows: must be an integer >= 1, got 100000 (at most 65,536)"),
    ("freq_hz: 1.0e+9", "freq_hz: 1:30", "7:10 freq_hz: must be a number > 0, got '1:30' (YAML reads a:b as base 60; "
     "write one number)"),
    ("freq_hz: 1.0e+9", "freq_hz: 1GHz",
     "7:10 freq_hz: must be a number > 0, got '1GHz' (write 1000000000: the unit is "
     "the end of the key's name)"),
    ("freq_hz: 1.0e+9", "freq_hz: .inf", "7:10 freq_hz: must be a number > 0, got .inf"),
    ("freq_hz: 1.0e+9", "freq_hz: .nan", "7:10 freq_hz: must be a number > 0, got .nan"),
    ("freq_hz: 1.0e+9", "freq_hz: 1,5", "7:10 freq_hz: must be a number > 0, got '1,5' (write 1.5)"),
    ("freq_hz: 1.0e+9", f"freq_hz: 1{'0' * 400}", "7:10 freq_hz: must be a number > 0, got 1"),
    ("freq_hz: 1.0e+9", f"freq_hz: 1{'0' * 5000}", "7:10 freq_hz: must be a number > 0, got 1"),
    ("sram_bytes: 524288", "sram_bytes: 512 KiB",
     "5:13 sram_bytes: must be an integer >= 1, got '512 KiB' (write 524288: "
     "the unit is the end of the key's name)"),
    ("dataflow: ws", "dataflow: sw", "4:11 dataflow: must be one of ws, os, is, rs, got 'sw'"),
    ("dataflow: ws", "dataflow: on", "4:11 dataflow: must be one of ws, os, is, rs, got on (YAML reads on as true; put "
     "it in quotes)"),
    ("dataflow: ws", "dataflow: 3", "4:11 dataflow: must be one of ws, os, is, rs, got 3"),
    ("dataflow: ws", "dataflow: ws\nnode_nm: 14", "5:10 node_nm: must be one of 28, 22, 16, 12, 7, got 14"),
    ("dataflow: ws", "dataflow: ws\noutput_drain: 1", "5:15 output_drain: must be true or false, got 1 (write true)"),
    ("dataflow: ws", "dataflow: ws\ndepthwise_modes: [packed]", "5:19 depthwise_modes[0]: must be one of per_channel, "
     "packed_diagonal, vector_unit, got 'packed'"),
    ("dataflow: ws", "dataflow: ws\nsram_fracs: [0.5, 0.9, 0.1]",
     "5:13 sram_fracs: must be three shares > 0 with a sum "
     "<= 1, got (0.5, 0.9, 0.1)"),
    ("sram_bytes", "sram", "5:1 sram: unknown key (did you mean 'sram_bytes'?)"),
    ("freq_hz", "freq_mhz", "7:1 freq_mhz: unknown key (did you mean 'freq_hz'? freq_hz: 1e+15)"),
    ("rows: 32", "rows: 32\nrows: 64", "3:1 rows: must be given once, got a second value (first given in line 2)"),
    ("rows: 32", "rows: !size 32", "2:7 rows: must be without a tag, got '!size'"),
    ("rows: 32", "rows: 32\n? [a]\n: 3", "3:3 : must have names as keys, got a list"),
]


@pytest.mark.parametrize(("good", "bad", "expected"), ENGINE_CASES)
def test_engine_mistakes(write, good, bad, expected):
    found = lines(write(ENGINE.replace(good, bad)))
    assert any(line.startswith(expected) for line in found), found


@pytest.mark.parametrize("value", ["1e9", "1.0e9", "100e6", "1_000_000_000", "+1.0E+9", "1000000000"])
def test_numbers_as_people_write_them(write, value):
    assert load_engine(write(ENGINE.replace("1.0e+9", value))).freq_hz in (1e9, 1e8)


WORKLOAD_CASES = [
    ("name: cam\n", "name: gaze\n", ["9:11 tenants[1].name: must be unique among the tenants (first given in line 5), "
                                     "got 'gaze'",
                                     "11:12 tenants[1].after: must be the name of another tenant, got 'cam'"]),
    ("after: cam", "after: camm", ["11:12 tenants[1].after: must be one of cam, got 'camm' (did you mean 'cam'?)"]),
    ("after: cam", "after: gaze", ["11:12 tenants[1].after: must be free of cycles: a tenant cannot follow itself, "
                                   "got 'gaze'"]),
    ("    after: cam\n    probability: 0.5\n", "",
     ["9:5 tenants[1]: must have the key traffic (or after, for a follower)"]),
    ("probability: 0.5", "probability: 1.5", ["12:18 tenants[1].probability: must be a number in [0, 1], got 1.5"]),
    ("probability: 0.5", "traffic: {kind: poisson, rate_hz: 1}",
     ["12:5 tenants[1].traffic: must be left out: a follower (after) takes the arrivals of the tenant it follows"]),
    ("rate_hz: 30", "rate: 30", ["7:14 tenants[0].traffic: must have the key rate_hz", "7:31 tenants[0].traffic.rate: "
                                 "unknown key (did you mean 'rate_hz'?)"][1:]),
    ("rate_hz: 30", "rate_hz: 30fps", ["7:40 tenants[0].traffic.rate_hz: must be a number > 0, got '30fps' (write 30: "
                                       "the unit is the end of the key's name)"]),
    ("kind: periodic", "kind: periodical", ["7:21 tenants[0].traffic.kind: must be one of periodic, poisson, gamma, "
                                            "bursty, rate_table, trace, got 'periodical' (did you mean 'periodic'?)"]),
    ("kind: periodic", "kind: poisson", ["7:43 tenants[0].traffic.jitter_frac: must be left out: it is for periodic "
                                         "traffic, not poisson"]),
    ("kind: periodic, ", "kind: trace, ", ["7:14 tenants[0].traffic: must have the key file or arrivals_s (trace)",
                                           "7:28 tenants[0].traffic.rate_hz: must be left out: it is for periodic, "
                                           "poisson, gamma, bursty traffic, not trace",
                                           "7:41 tenants[0].traffic.jitter_frac: must be left out: it is for periodic "
                                           "traffic, not trace"]),
    ("{kind: periodic, rate_hz: 30, jitter_frac: 0.1}", "{kind: gamma, rate_hz: 1, part: [0.5, 0.2]}",
     ["7:14 tenants[0].traffic: must have the key gap_cv (gamma), a number in [0.01, 100]",
      "7:46 tenants[0].traffic.part: must be [low, high] with 0 <= low < high <= 1, got"]),
    ("{kind: periodic, rate_hz: 30, jitter_frac: 0.1}", "{kind: rate_table, rates_hz: [0, 0]}",
     ["7:14 tenants[0].traffic: must have the key step_s (rate_table), a number > 0",
      "7:43 tenants[0].traffic.rates_hz: must be a list of rates with one > 0, got"]),
    ("{kind: periodic, rate_hz: 30, jitter_frac: 0.1}", "{kind: trace, arrivals_s: 0.1 x}",
     ["7:40 tenants[0].traffic.arrivals_s: must be a list of numbers >= 0, got '0.1 x'"]),
    ("{kind: periodic, rate_hz: 30, jitter_frac: 0.1}", "{kind: trace, arrivals_s: [0.1, -2]}",
     ["7:46 tenants[0].traffic.arrivals_s[1]: must be a number >= 0, got -2"]),
    ("{kind: periodic, rate_hz: 30, jitter_frac: 0.1}", "{kind: trace, arrivals_s: []}",
     ["7:40 tenants[0].traffic.arrivals_s: must be a list of at least one arrival time, got an empty list"]),
    ("deadline_s: 0.03", "deadline_ms: 30", ["8:15 tenants[0].service.deadline_ms: unknown key (did you mean "
                                             "'deadline_s'? deadline_s: 0.03)"]),
    ("deadline_s: 0.03", "deadline_s: 30 ms", ["8:27 tenants[0].service.deadline_s: must be a number > 0, got '30 ms' "
                                               "(write 0.03: the unit is the end of the key's name)"]),
    ("deadline_s: 0.03", "deadline_s: 1, deadline_x_isolated: 2",
     ["8:30 tenants[0].service.deadline_x_isolated: must be left out when deadline_s is given"]),
    ("percentile: 95", "percentile: 101",
     ["8:45 tenants[0].service.percentile: must be a number in (0, 100], got 101"]),
    ("drop_late: true", "drop_late: 'yes'", ["8:60 tenants[0].service.drop_late: must be true or false, got 'yes' "
                                             "(write true without quotes)"]),
    ("network: res8", "network: 8",
     ["10:14 tenants[1].network: must be a network of `dse list networks`, a file (.onnx, "
                                     "config.json, topology .csv) or layers, got 8 (put it in quotes)"]),
    ("network: res8", "network: nets/a.onnx", ["10:14 tenants[1].network: must be a network file that exists, got "
                                               "'nets/a.onnx'"]),
    ("network: res8", "network: res8\n    bind: {batch: 1}",
     ["11:5 tenants[1].bind: must be left out: a network of the zoo is ready-made"]),
    ("network: res8", "network: {name: own, layers: [{name: a, op: conw, kk: 3}]}",
     ["10:49 tenants[1].network.layers[0].op: must be one of", "10:55 tenants[1].network.layers[0].kk: unknown key"]),
    ("network: res8", "network: {name: own, layers: [{name: a, op: conv, k: 0}]}",
     ["10:58 tenants[1].network.layers[0].k: must be an integer >= 1, got 0"]),
    ("name: two", "name: no", ["2:7 name: must be a name, got no (YAML reads no as false; put it in quotes)"]),
    ("duration_s: 0.5", "duration_s: 0", ["3:13 duration_s: must be a number > 0, got 0"]),
    ("duration_s: 0.5", "duration_s: 1e8",
     ["3:13 duration_s: must be so that at most 20,000,000 requests arrive (45 per "
                                            "second), got 1e8"]),
    ("tenants:", "tenant:", ["1:1 tenants: missing key, must be a list", "4:1 tenant: unknown key (did you mean "
                             "'tenants'?)"]),
    ("kind: workload", "kind: wokload", ["1:7 kind: must be one of workload, engine, design, study, technology, "
                                         "got 'wokload' (did you mean 'workload'?)"]),
    ("kind: workload\n", "", ["1:1 : missing key kind, must be one of workload, engine, design, study"]),
]


@pytest.mark.parametrize(("good", "bad", "expected"), WORKLOAD_CASES)
def test_workload_mistakes(write, good, bad, expected):
    text = WORKLOAD.replace(good, bad)
    assert text != WORKLOAD
    found = lines(write(text))
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start), found


DESIGN_CASES = [
    ("architecture: composable", "architecture: composible", ["2:15 architecture: must be one of time_mux, composable, "
                                                              "heterogeneous, dedicated, got 'composible' (did "
                                                              "you mean "
                                                              "'composable'?)"]),
    ("subarrays: 16", "subarrays: 8", ["8:12 subarrays: must be one of 4, 16, 64, got 8"]),
    ("subarrays: 16\n", "", ["1:1 : must have the key subarrays (composable): 4, 16 or 64"]),
    ("architecture: composable", "architecture: time_mux",
     ["8:1 subarrays: must be left out: it is for composable, not "
                                                            "time_mux"]),
    ("rows: 64", "rows: 66", ["7:12 engines[0].rows: must be a multiple of 4 (grid of 16 sub-arrays), got 66"]),
    ("quantum_layers: 4", "quantum: 4", ["9:29 policy.quantum: unknown key (did you mean 'quantum_"]),
    ("quantum_layers: 4", "quantum_layers: 0", ["9:45 policy.quantum_layers: must be a number in [1, 1000], got 0"]),
    ("name: round_robin", "name: round_robbin", ["9:16 policy.name: must be one of"]),
    ("{name: round_robin, quantum_layers: 4}", "prima", ["9:9 policy: must be one of"]),
    ("{name: round_robin, quantum_layers: 4}", "3", ["9:9 policy: must be one of"]),
    ("name: round_robin, ", "", ["9:9 policy: missing key name, must be one of"]),
    ("policy: {name: round_robin, quantum_layers: 4}\n", "", ["1:1 policy: missing key, must be"]),
    ("scheduler: hardware", "scheduler: fpga", ["10:12 scheduler: must be one of software, hardware, got 'fpga'"]),
    ("seed: 5", "seed: -1", ["11:7 seed: must be an integer >= 0, got -1"]),
    ("sram_bytes: 1048576}", "sram_bytes: 1048576, tenant: cam}",
     ["7:61 engines[0].tenant: must be left out: it is for "
                                                                   "dedicated, not composable"]),
]


@pytest.mark.parametrize(("good", "bad", "expected"), DESIGN_CASES)
def test_design_mistakes(write, good, bad, expected):
    text = DESIGN.replace(good, bad)
    assert text != DESIGN
    found = lines(write(text))
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start), found


STUDY_CASES = [
    ("area_mm2, {", "area, {", ["4:14 objectives[0]: must be a metric of `dse list metrics`, got 'area' (did you mean "
                                "'area_mm2'?)"]),
    ("cam.p99", "cm.p99",
     ["4:33 objectives[1].metric: must be METRIC or TENANT.METRIC of a tenant of the workload, got "
                           "'cm.p99_latency_s' (did you mean 'cam'?)"]),
    ("metric: cam.p99_latency_s", "metric: cam.area_mm2",
     ["4:33 objectives[1].metric: must be a metric of single tenants"
                                                           " (area_mm2 is of the whole chip), got 'cam.area_mm2'"]),
    ("metric: cam.p99_latency_s", "metric: area_mm2",
     ["4:33 objectives[1].metric: must be listed once, got 'area_mm2'"]),
    ("direction: minimise", "direction: down", ["4:63 objectives[1].direction: must be one of minimise, maximise, got "
                                                "'down'"]),
    ("objectives: [area_mm2, {metric: cam.p99_latency_s, direction: minimise}]", "objectives: []",
     ["4:13 objectives: must be a list of at least one metric, got an empty list"]),
    ("area_mm2: 40", "area: 40", ["6:3 budgets.area: must be a metric of `dse list metrics`, got 'area' (did you mean "
                                  "'area_mm2'?)"]),
    ("area_mm2: 40", "area_mm2: 0", ["6:13 budgets.area_mm2: must be a number > 0: no design can be below, got 0"]),
    ("area_mm2: 40", "area_mm2: 40mm2", ["6:13 budgets.area_mm2: must be a number, got '40mm2' (write 40: the unit is "
                                         "the end of the key's name)"]),
    ("area_mm2: 40", "fairness_frac: 1.5",
     ["6:18 budgets.fairness_frac: must be a number <= 1: no design can be above, "
                                            "got 1.5"]),
    ("area_mm2: 40", "stp: 3", ["6:8 budgets.stp: must be a number <= 2: no design can be above, got 3"]),
    ("workload: load.yaml", "workload: lod.yaml", ["3:11 workload: must be a workload file or a name of `dse list "
                                                   "workloads`, got 'lod.yaml' (did you mean 'load.yaml'?)"]),
    ("workload: load.yaml", "workload: ar_gamin", ["3:11 workload: must be a workload file or a name of `dse list "
                                                   "workloads`, got 'ar_gamin' (did you mean 'ar_gaming'?)"]),
    ("workload: load.yaml", "workload: 3",
     ["3:11 workload: must be a workload file, or a name of `dse list workloads`, "
                                            "got 3"]),
    ("[time_mux, heterogeneous]", "[time_mux, hetero]", ["9:29 space.architectures[1]: must be one of time_mux, "
                                                         "composable, heterogeneous, dedicated, got 'hetero'"]),
    ("[edf, round_robin]", "[]", ["10:13 space.policies: must be a list of at least one name, got an empty list"]),
    ("[edf, round_robin]", "[edf, edf, round_robin]", ["10:19 space.policies[1]: must be listed once, got 'edf'"]),
    ("sram_bytes: [262144, 1e6]", "sram: [262144]", ["12:5 space.domains.sram: unknown parameter of the space (did you "
                                                     "mean 'sram_bytes'?)"]),
    ("sram_bytes: [262144, 1e6]", "sram_bytes: [262144, big, -4]",
     ["12:26 space.domains.sram_bytes[1]: must be an integer >= 1, got 'big'",
      "12:31 space.domains.sram_bytes[2]: must be an integer >= 1, got -4"]),
    ("sram_bytes: [262144, 1e6]", "dataflow: [ws, xs]",
     ["12:20 space.domains.dataflow[1]: must be one of ws, os, is, rs, got"
                                                         " 'xs'"]),
    ("sram_bytes: [262144, 1e6]", "engines: [1, 2]", ["12:15 space.domains.engines[0]: must be one of 2, 3, got 1"]),
    ("sram_bytes: [262144, 1e6]", "node_nm: 14", ["12:14 space.domains.node_nm: must be one of 28, 22, 16, 12, 7, "
                                                  "got 14"]),
    ("sram_bytes: [262144, 1e6]", "sram_bytes: []", ["12:17 space.domains.sram_bytes: must be a list of at least "
                                                     "one value, got an empty list"]),
    ("high: 64, log: 2", "high: 8, log: 2", ["13:27 space.domains.rows.high: must be >= low (16), got 8"]),
    ("quantum_layers: [1, 4]", "quantum_layers: [1, 4000]",
     ["14:37 space.domains.round_robin.quantum_layers[1]: must be "
                                                             "a number in [1, 1000], got 4000"]),
    ("rows: 64}", "rowz: 64}", ["16:7 space.forbidden[0]: must be about a parameter of the space, got 'rowz' (did you "
                                "mean 'rows'?)"]),
    ("rows: 64}", "rows: 63}", ["16:38 space.forbidden[0].rows: must be 16 x a power of two, at most 64, got 63"]),
    ("sampler: nsga2", "sampler: nsga4", ["17:19 search.sampler: must be one of"]),
    ("trials: 50", "trials: 0", ["17:34 search.trials: must be an integer >= 1, got 0"]),
    ("budgets:\n", "budgets: 3\nspare:\n", ["5:10 budgets: must be a mapping, got 3", "6:1 spare: unknown key"]),
]


@pytest.mark.parametrize(("good", "bad", "expected"), STUDY_CASES)
def test_study_mistakes(write, good, bad, expected):
    text = STUDY.replace(good, bad)
    assert text != STUDY
    found = lines(write(text))
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start), found


def test_mistakes_of_the_workload_file_of_a_study_are_at_home(write):
    write(WORKLOAD.replace("rate_hz: 30", "rate_hz: -1"), "load.yaml")
    found = problems(write(STUDY.replace("trials: 50", "trials: 0")))
    assert [(p.file, p.line) for p in found] == [("load.yaml", 7), ("x.yaml", 17)]


def test_mistakes_in_network_files(write):
    write("", "empty.onnx")
    write('{"model_type": "llama"', "config.json")
    write(WORKLOAD.replace("resnet18", "empty.onnx").replace("res8", "config.json"), "x.yaml")
    config, onnx = problems("x.yaml")
    assert (config.file, config.line) == ("config.json", 1)
    assert (onnx.file, onnx.line, onnx.column, onnx.field) == ("x.yaml", 6, 14, "tenants[0].network")
    assert onnx.message == "empty.onnx: must be an ONNX model, got an empty file"


def test_paths_are_relative_to_the_file(write):
    write("Layer,M,N,K,\nfc,8,16,32,\n", "deep/nets/fc.csv")
    write(WORKLOAD.replace("network: res8", "network: nets/fc.csv"), "deep/load.yaml")
    study = load_study(write(STUDY, "deep/study.yaml"))
    assert study.workload.tenants[1].network.macs == 8 * 16 * 32


# --- files that are no YAML -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "expected"), [
    (b"", "x.yaml:1:1: must hold a mapping with the key 'kind', got an empty file"),
    (b"# nothing\n", "x.yaml:1:1: must hold a mapping with the key 'kind', got comments only"),
    (b"just words\n", "x.yaml:1:1: must be a mapping with the key kind, got 'just words'"),
    (b"- a\n", "x.yaml:1:1: must be a mapping with the key kind, got a list"),
    (b"kind: engine\nrows: \xff\n", "x.yaml:2:7: must be YAML text in UTF-8, got the byte 0xff"),
    ("kind: engine\n".encode("utf-16"), "x.yaml:1: must be YAML text in UTF-8, got UTF-16"),
    (b"\x7fELF\x00\x00", "x.yaml: must be YAML text, got a binary file"),
    (b"kind: engine\nname: a\x07b\n", "x.yaml:2:8: must be free of control characters"),
    (b"kind: engine\n\trows: 3\n", "x.yaml:2:1: must be indented with spaces, got a tab"),
    (b"kind: engine\nrows: 3: 4\n", "x.yaml:2:8: must be valid YAML: a ':' is not allowed here"),
    (b"kind: engine\nrows: [1, 2\n", "x.yaml:3:1: must be valid YAML"),
    (b"kind: engine\n---\nkind: engine\n", "x.yaml:2:1: must hold one document, got a second one"),
    (b"kind: *nobody\n", "x.yaml:1:7: must be an alias of an anchor above"),
    (b"kind: engine\nrows: " + b"[" * 3000, "x.yaml: must be nested at most 60 levels deep, got more"),
    (b"kind: engine\nrows: " + b"[" * 100 + b"]" * 100, "x.yaml:2:67: must be nested at most 60 levels deep"),
])
def test_files_that_are_no_yaml(write, data, expected):
    assert str(problems(write(data))[0]).startswith(expected)


def test_alias_of_itself(write):
    assert "2:7 rows[0]: must not contain itself through an alias" in lines(write("kind: engine\nrows: &a [*a]\n"))


def test_alias_bomb(write):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    found = problems(write("kind: engine\n" + "\n".join(levels)))
    assert "at most 200,000 values once aliases are expanded" in found[0].message


def test_missing_files_and_folders(write, tmp_path):
    assert str(problems("loat.yaml")[0]) == "loat.yaml: must be an existing file, got none (did you mean 'load.yaml'?)"
    assert str(problems(str(tmp_path))[0]) == f"{tmp_path}: must be a file, got a folder"
    assert "must be a" in str(problems("a\0b")[0])
    if os.getuid():
        Path("secret.yaml").touch(mode=0)
        assert "must be a readable file" in str(problems("secret.yaml")[0])


def test_another_kind_than_the_command_takes(write):
    with pytest.raises(InputError, match=r"x.yaml:1:7: kind: must be design, got 'engine'"):
        load_design(write(ENGINE))
    with pytest.raises(InputError, match=r"must be a workload file or a name of `dse list workloads`, got 'vr_gamin'"):
        load_workload("vr_gamin")


# --- YAML that reads as meant -----------------------------------------------------------------------------------------


def test_scalars():
    text = "a: 1e3\nb: 010\nc: 1:30\nd: 2024-01-01\ne: yes\nf: 0x10\ng: ~\nh: '12'\ni: 1_000\nj: .5\nk: 1.\nl: =\n"
    assert parse(text, "x").value == {"a": 1000.0, "b": "010", "c": "1:30", "d": "2024-01-01", "e": True, "f": 16,
                                      "g": None, "h": "12", "i": 1000, "j": 0.5, "k": 1.0, "l": "="}


def test_anchors_and_merge_keys(write):
    text = WORKLOAD.replace("    traffic: {kind", "    traffic: &t {kind").replace(
        "    after: cam\n    probability: 0.5\n", "    traffic: {<<: *t, rate_hz: 5}\n")
    tenants = load_workload(write(text)).tenants
    assert tenants[1].traffic == Traffic(kind="periodic", rate_hz=5.0, jitter_frac=0.1)


@pytest.mark.parametrize(("wrong", "right"), [
    ("area", "area_mm2"), ("deadline_ms", "deadline_s"), ("Rows", "rows"), ("p99_latency_ms", "p99_latency_s"),
    ("freq_ghz", "freq_hz"), ("power", "power_w"), ("zzz", ""),
])
def test_did_you_mean(wrong, right):
    names = ["area_mm2", "deadline_s", "rows", "cols", "p99_latency_s", "p50_latency_s", "freq_hz", "power_w"]
    assert did_you_mean(wrong, names) == (f"did you mean '{right}'?" if right else "")


# --- there and back ---------------------------------------------------------------------------------------------------

ONE = Engine(rows=48, cols=64, dataflow="os", sram_bytes=1 << 20, dram_bytes_per_s=17.1e9, freq_hz=0.7e9, node_nm=7,
             precision="int4", vector_lanes=96, stacks=2, sram_fracs=(0.25, 0.5, 0.25))
OTHER = Engine(rows=16, cols=16, dataflow="is", sram_bytes=99999, dram_bytes_per_s=17.1e9, freq_hz=0.7e9, node_nm=7)


@pytest.mark.parametrize("architecture", [
    TimeMux(engine=ONE), Composable(engine=ONE, subarrays=16), Heterogeneous(engines=(ONE, OTHER)),
    Dedicated(engines=(ONE, OTHER), tenants=("1e3", "a: b"), dram_fracs=(1 / 3, 0.1 + 0.2)),
], ids=lambda a: a.name)
def test_designs_there_and_back(write, architecture):
    design = Design(architecture=architecture, policy="prema", policy_params={"quantum_s": 1 / 3000},
                    scheduler="hardware")
    provenance = {"trial": 3, "params": {"rows": 48}, "metrics": {"p99_latency_s": 1 / 7}, "budgets": {"area_mm2": 40}}
    document = load_design_document(write(dump_design(design, seed=11, provenance=provenance)))
    assert document == (design, 11, provenance)
    assert load_design_document(write(dump_design(design))) == (design, None, {})


OWN = Network(name="own", source="lab notes: v2", notes=("a", "b"), layers=(
    Layer(name="c1", op="conv", k=8, c=3, oy=14, ox=14, fy=3, fx=3, pad_y=2, pad_x=2, weight_bits=4),
    Layer(name="on", op="gemm", k=10, c=8, inputs=(0,), weight_density=1 / 3, sparsity="random", exit_frac=0.25),
    Layer(name="sum", op="elementwise", in_elements=20, out_elements=10, vector_ops=10, inputs=(0, 1)),
))


def test_workloads_there_and_back(write):
    from hwmodels.networks import network

    workload = Workload(name="all kinds", duration_s=1 / 3, tenants=(
        Tenant(name="a", network=OWN, traffic=Traffic(kind="trace", arrivals_s=(0.1, 1 / 3, 1 / 3)), priority=2.5),
        Tenant(name="b", network=network("res8"), traffic=Traffic(kind="bursty", rate_hz=7, on_s=0.1, off_s=0.0),
               service=ServiceLevel(deadline_x_isolated=3.0)),
        Tenant(name="c", network=network("res8").with_precision(4, 4), after="b", probability=0.1),
        Tenant(name="d", network=network("ncf"), traffic=Traffic(kind="poisson", rate_hz=1e3, offset_s=0.01)),
        Tenant(name="h", network=network("ncf"), traffic=Traffic(kind="gamma", rate_hz=5.0, gap_cv=2.0, stream="s",
                                                                 part=(0.0, 1 / 3))),
        Tenant(name="i", network=network("ncf"), traffic=Traffic(kind="rate_table", rates_hz=(1.0, 0.0), step_s=0.2)),
        Tenant(name="e", network=network("res8").with_exits({"block2.conv1": 0.3}).with_precision(4, 4), after="d"),
        Tenant(name="f", network=network("branchy_alexnet"), after="d"),
        Tenant(name="g", network=network("branchy_alexnet").with_exits({}), after="d"),
    ))
    text = dump_workload(workload)
    again = load_workload(write(text))
    assert again == workload
    assert again.tenants[0].network.notes == OWN.notes
    assert "network: res8, precision: int4" in text
    assert "exits: {block2.conv1: 0.3}" in text
    assert "layers: [" not in text.partition("name: b")[2]


@pytest.mark.parametrize(("exits", "problem"), [
    ("{block2.conv1: 1.5}", "7:27: tenants[0].exits.block2.conv1: must be a number"),
    ("{block2.conv: 0.5}", "did you mean"),
    ("{no: 0.5}", "must be the name of a layer of res8 before the last one, got 'no'"),
    ("3", "7:12: tenants[0].exits: must be"),
])
def test_exits_of_a_tenant(write, exits, problem):
    text = WORKLOAD.replace("network: resnet18\n", f"network: res8\n    exits: {exits}\n")
    with pytest.raises(InputError) as caught:
        load_workload(write(text))
    assert problem in str(caught.value)


def test_no_exits_beside_layers(write):
    own = "network: {name: a, layers: [{name: x, op: gemm}, {name: y, op: gemm}]}\n    exits: {x: 0.5}\n"
    with pytest.raises(InputError, match="must be left out"):
        load_workload(write(WORKLOAD.replace("network: resnet18\n", own)))


CHAT = """kind: workload
name: chat
duration_s: 20
tenants:
  - name: chat
    network: tiny/config.json
    tokens: azure_2023_conversation
    length_classes: 3
    traffic: {kind: gamma, rate_hz: 20, gap_cv: 2}
    service: {deadline_s: 1}
"""
TINY = ('{"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 99999, "vocab_size": 16, '
        '"n_inner": 16, "tie_word_embeddings": true}')


def test_measured_lengths_become_tenants_that_share_a_stream(write):
    write(TINY, "tiny/config.json")
    workload = load_workload(write(CHAT))
    assert [tenant.name for tenant in workload.tenants] == ["chat_q1", "chat_q2", "chat_q3"]
    rows = [tenant.network.layers[4].oy for tenant in workload.tenants]
    assert np.mean(rows) == pytest.approx(mean_power(LENGTHS["azure_2023_conversation"].prompt), abs=0.5)
    assert rows == sorted(set(rows))
    assert {tenant.traffic.stream for tenant in workload.tenants} == {"chat"}
    assert [tenant.traffic.part for tenant in workload.tenants] == [(0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.0)]
    assert sum(mean_rate_hz(workload, tenant) for tenant in workload.tenants) == pytest.approx(20.0)
    assert load_workload(write(dump_workload(workload), "again.yaml")) == workload
    decoding = load_workload(write(CHAT.replace("tokens:", "phase: decode\n    context:")))
    assert [tenant.network.layers[4].oy for tenant in decoding.tenants] == [1, 1, 1]


@pytest.mark.parametrize(("old", "new", "problem"), [
    ("azure_2023_conversation", "azure_2023_chat", "7:13: tenants[0].tokens: must be an integer >= 1, or a name of "
     "`dse list lengths`, got 'azure_2023_chat' (did you mean"),
    ("azure_2023_conversation", "64", "8:5: tenants[0].length_classes: must be left out: it is for measured lengths"),
    ("tokens:", "phase: decode\n    tokens:", "tenants[0].tokens: must be an integer >= 1 in the decode phase"),
    ("length_classes: 3", "context: azure_2023_code", "tenants[0].context: must be an integer >= 1 in the prefill"),
    ("length_classes: 3", "length_classes: 0", "tenants[0].length_classes: must be an integer >= 1, got 0"),
    ("tiny/config.json", "resnet18", "7:5: tenants[0].tokens: must be left out: a network of the zoo is ready-made"),
    ("    traffic: {kind: gamma, rate_hz: 20, gap_cv: 2}\n", "    after: x\n",
     "tenants[0].tokens: must be an integer >= 1 for a follower"),
])
def test_measured_lengths_that_do_not_fit(write, old, new, problem):
    write(TINY, "tiny/config.json")
    with pytest.raises(InputError) as caught:
        load_workload(write(CHAT.replace(old, new)))
    assert problem in str(caught.value)


@pytest.mark.parametrize("n", [1000, 1001, 3000])
def test_long_traces_there_and_back(write, n):
    times = tuple(sorted((i * 7919 % 10007) / 97 for i in range(n)))
    traffic = Traffic(kind="trace", arrivals_s=times)
    workload = Workload(name="long", duration_s=200.0, tenants=(Tenant(name="a", network=OWN, traffic=traffic),))
    assert load_workload(write(dump_workload(workload))) == workload


def test_self_contained_studies_can_be_moved(write):
    write("Layer,M,N,K,\nfc,8,16,32,\n", "fc.csv")
    write("arrival_s\n0.1\n0.2\n", "log.csv")
    write(TRACE.replace("network: res8", "network: fc.csv"), "load.yaml")
    study = load_study(write(STUDY), trials=9, sampler="random")
    text = self_contained(study)
    for path in Path().iterdir():
        path.unlink()
    again = load_study(write(text, "elsewhere/study.yaml"))
    for field in ("name", "workload", "objectives", "budgets", "space", "sampler", "trials", "seed", "fidelity",
                  "workers", "in_flight", "eval_timeout_s"):
        assert getattr(again, field) == getattr(study, field), field
    assert self_contained(again) == text
