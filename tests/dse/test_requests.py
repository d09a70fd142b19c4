"""Request logs: every format, every option, every mistake at its place; and a tenant fed by one."""

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dse.cli import main
from dse.documents import load
from dse.errors import InputError
from dse.readers.logs import FORMATS, detect
from dse.readers.requests import read_requests

LOGS = {
    "ours": "arrival_s,tenant,network,prompt_tokens,output_tokens\n0.5,cam,resnet50,,\n0.75,chat,llama,10,20\n",
    "azure_llm": "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n"
                 "2023-11-16 18:15:50.9951690,396,109\r\n",
    "azure_lmm_2025": "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n2024-10-15 23:59:59.5+00:00,1,374,44\n"
                      "2024-10-16 00:00:00.75+00:00,0,396,109\n",
    "vidur": "arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,374,44\n4.314579,396,109\n",
    "vidur_lengths": "num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n374,44,418,8.5\n"
                     "396,109,505,3.6\n",
    "burstgpt_1_2": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
                    "5,ChatGPT,472,18,490,Conversation log\n45,ChatGPT,1087,0,1087,Conversation log\n"
                    "118,GPT-4,417,276,693,API log\n",
    "burstgpt_3": "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
                  "5,,1.5,ChatGPT,472,18,490,API log\n9.5,s1,2,GPT-4,417,276,693,Conversation log\n",
    "onnxim": "time, prompt_length, target_length, cached_length\n0, 10, 20, 0\n500, 11, 21, 0\n",
    "mooncake": '{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}\n'
                '{"timestamp": 27482, "input_length": 7322, "output_length": 490, "hash_ids": [0, 2]}\n',
}
# format -> (arrivals [s], prompt tokens, output tokens), by hand
EXPECTED = {
    "ours": ([0.5, 0.75], [0, 10], [0, 20]),
    "azure_llm": ([0.0, 4.314579], [374, 396], [44, 109]),
    "azure_lmm_2025": ([0.0, 1.25], [374, 396], [44, 109]),
    "vidur": ([0.0, 4.314579], [374, 396], [44, 109]),
    "vidur_lengths": ([0.0, 0.5], [374, 396], [44, 109]),
    "burstgpt_1_2": ([5.0, 118.0], [472, 417], [18, 276]),
    "burstgpt_3": ([5.0, 9.5], [472, 417], [18, 276]),
    "onnxim": ([0.0, 0.5], [10, 11], [20, 21]),
    "mooncake": ([0.0, 27.482], [6758, 7322], [500, 490]),
}
NEEDED = {"vidur_lengths": {"rate_hz": 2.0}, "onnxim": {"time_unit": "ms"}}


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="log.csv"):
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write


def problems(*args, **options):
    with pytest.raises(InputError) as caught:
        read_requests(*args, **options)
    return [str(problem).splitlines()[0] for problem in caught.value.problems]


def test_every_format_has_an_example():
    assert set(LOGS) == set(EXPECTED) == {known.name for known in FORMATS}


@pytest.mark.parametrize("name", LOGS)
def test_format_is_recognised_and_read(log, name):
    read = read_requests(log(LOGS[name], "a.file"), **NEEDED.get(name, {}))
    arrivals, prompts, outputs = EXPECTED[name]
    assert read.format == name
    assert read.arrival_s == pytest.approx(arrivals, abs=1e-9)
    assert read.prompt_tokens.tolist() == prompts
    assert read.output_tokens.tolist() == outputs


@pytest.mark.parametrize("name", [name for name in LOGS if name != "mooncake"])
def test_header_tolerates_mark_case_blanks_and_line_ends(log, name):
    head, _, rest = LOGS[name].replace("\r\n", "\n").partition("\n")
    spaced = ", ".join(cell.strip().swapcase() + " " for cell in head.split(","))
    text = f"\ufeff{spaced}\n\n{rest}\n".replace("\n", "\r\n")
    read = read_requests(log(text), **NEEDED.get(name, {}))
    assert read.format == name
    assert read.arrival_s == pytest.approx(EXPECTED[name][0], abs=1e-9)


@pytest.mark.parametrize("name", LOGS)
def test_packed_logs_are_known_by_their_bytes(log, name):
    plain, packed = log(LOGS[name], "plain"), log(gzip.compress(LOGS[name].encode(), mtime=0), "packed.csv.gz")
    assert detect(packed) == detect(plain)
    assert read_requests(packed, **NEEDED.get(name, {})).summary() == \
        read_requests(plain, **NEEDED.get(name, {})).summary()


def test_zones_of_dates_count(log):
    rows = ["2024-10-16T01:00:00.25+01:00,1,1", "2024-10-15 23:59:59.5-00:30,2,2", "2024-10-16 00:00:00Z,3,3"]
    found = read_requests(log("TIMESTAMP,ContextTokens,GeneratedTokens\r\n" + "\r\n".join(rows)))
    assert found.arrival_s.tolist() == [0.0, 0.25, 1799.5]
    assert found.prompt_tokens.tolist() == [3, 1, 2]
    assert "backwards" in found.notes[0]


def test_columns_may_come_in_any_order_and_number(log):
    read = read_requests(log("x,GeneratedTokens,TIMESTAMP,ContextTokens\na,1,2024-05-10 00:00:01,2\n"))
    assert (read.format, read.prompt_tokens.tolist(), read.output_tokens.tolist()) == ("azure_llm", [2], [1])
    assert read.notes == ("columns not used: x",)


def test_seventh_decimal_of_azure_counts(log):
    read = read_requests(log("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.0000000,1,1\n"
                             "2023-11-16 18:15:46.0000003,1,1\n"))
    assert np.diff(read.arrival_s) == pytest.approx(3e-7, rel=1e-4)


def test_failed_requests_are_counted(log):
    read = read_requests(log(LOGS["burstgpt_1_2"]))
    assert read.failed == 1
    assert "1 failed requests (Response tokens 0) of 3 are left out" in read.notes


def test_times_running_backwards_are_sorted_with_a_note(log):
    read = read_requests(log("arrived_at,num_prefill_tokens,num_decode_tokens\n2,20,1\n1,10,1\n3,30,1\n"))
    assert read.arrival_s.tolist() == [1, 2, 3]
    assert read.prompt_tokens.tolist() == [10, 20, 30]
    assert read.notes == ("1 of 3 times run backwards: sorted",)


def test_coarse_ticks_are_spread_evenly(log):
    line = '{{"timestamp": {}, "input_length": 1, "output_length": 1}}\n'
    read = read_requests(log("".join(line.format(t) for t in (0, 0, 0, 3000, 3000, 9000))))
    assert read.arrival_s == pytest.approx([0, 1, 2, 3, 4.5, 9])
    assert "grid of 3 s (60% of the gaps are 0)" in read.notes[0]
    read = read_requests(log("".join(line.format(t) for t in (0, 7, 7, 3000))))
    assert read.arrival_s == pytest.approx([0, 0.007, 0.007, 3])


def test_window_scale_and_limit(log):
    name = log("arrived_at,num_prefill_tokens,num_decode_tokens\n" + "".join(f"{t},{t},1\n" for t in range(10)))
    assert read_requests(name, from_s=3, to_s=6).arrival_s.tolist() == [0, 1, 2]
    assert read_requests(name, from_s=3, to_s=6).prompt_tokens.tolist() == [3, 4, 5]
    assert read_requests(name, scale_rate=2, to_s=3).arrival_s.tolist() == [0, 0.5, 1]
    assert read_requests(name, limit=2, from_s=5).arrival_s.tolist() == [0, 1]
    assert len(read_requests(name, limit=100)) == 10
    dates = log("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"2024-05-10 00:00:{t:02},1,1\n"
                                                                      for t in range(10, 20)))
    assert read_requests(dates, from_s=4, to_s=6).arrival_s.tolist() == [0, 1]


def test_limit_ends_the_reading(log):
    name = log("arrived_at,num_prefill_tokens,num_decode_tokens\n" + "1,1,1\n" * 400 + "x,x,x\n")
    assert len(read_requests(name, limit=100)) == 100
    assert problems(name)[0].startswith("log.csv:402:1: column arrived_at: must be a number >= 0, got 'x'")


def test_chunks_make_no_difference(log, monkeypatch):
    rng = np.random.default_rng(1)
    rows = [(round(float(t), 6), int(rng.integers(5)), int(rng.integers(3))) for t in rng.uniform(0, 100, 1000)]
    name = log("Timestamp,Request tokens,Response tokens\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    whole = read_requests(name)
    monkeypatch.setattr("dse.readers.requests._CHUNK", 7)
    pieces = read_requests(name)
    kept = sorted((a, b, c) for a, b, c in rows if c)
    assert whole.failed == pieces.failed == 1000 - len(kept)
    assert sorted(zip(pieces.arrival_s.tolist(), pieces.prompt_tokens.tolist(), pieces.output_tokens.tolist(),
                      strict=True)) == kept
    assert pieces.arrival_s.tolist() == whole.arrival_s.tolist() == [a for a, _, _ in kept]


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_bad_cells_are_named_with_line_and_column(log):
    name = log("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-13-16 18:15:46,374,44\n2023-11-16 18:15:46,x,-4\n\n"
               "2023-11-16 18:15:46\n2023-11-16 25:15:46,1.5,4\n")
    assert problems(name) == [
        "log.csv:2:1: column TIMESTAMP: must be a date and time such as 2023-11-16 18:15:46.6805900, "
        "got '2023-13-16 18:15:46'",
        "log.csv:3:21: column ContextTokens: must be an integer >= 0, got 'x'",
        "log.csv:3:23: column GeneratedTokens: must be an integer >= 0, got '-4'",
        "log.csv:5:20: column ContextTokens: must be an integer >= 0, got nothing",
        "log.csv:5:20: column GeneratedTokens: must be an integer >= 0, got nothing",
        "log.csv:6:1: column TIMESTAMP: must be a date and time such as 2023-11-16 18:15:46.6805900, "
        "got '2023-11-16 25:15:46'",
        "log.csv:6:21: column ContextTokens: must be an integer >= 0, got '1.5'",
    ]


def test_at_most_twenty_bad_cells(log):
    name = log("arrived_at,num_prefill_tokens,num_decode_tokens\n" + "x,1,1\n" * 50)
    found = problems(name)
    assert len(found) == 21
    assert found[-1].endswith("further rows were not read")
    name = log('{"timestamp": 0, "input_length": 1, "output_length": -1}\n' * 50)
    assert len(problems(name)) == 21


@pytest.mark.parametrize(("text", "options", "expected"), [
    ("", {}, "log.csv:1: must be a request log, got an empty file"),
    ("\n \n", {}, "log.csv:1: must be a request log, got an empty file"),
    ("TIMESTAMP,ContextTokens,GenTokens\n", {}, "log.csv:1:1: header: must be the first line of a request log, got "
     "'TIMESTAMP,ContextTokens,GenTokens'; nearest: azure_llm, which has a column GeneratedTokens (rename 'gentokens'"
     "?); known:"),
    ('{"timestamp": 1, "input_len": 3, "output_length": 4}\n', {}, "log.csv:1:1: header: must be the first line of a "
     "request log, got '{\"timestamp\": 1, \"input_len\": 3, \"output_length\": 4}'; nearest: mooncake, which has a "
     "column input_length (rename 'input_len'?); known:"),
    ("arrival_s\n", {}, "log.csv:1: must have at least one row below the header, got none"),
    ("arrival_s,Arrival_S\n1,2\n", {}, "log.csv:1:1: header: must have one column arrival_s, got 2"),
    ("arrival_s\n1\n", {"from_s": 5}, "log.csv: must have at least one request that did not fail in [5, inf) s, got "
     "none in 1 rows"),
    ("arrival_s\n1\n", {"rate_hz": 5}, "log.csv: rate: must be left out: ours has arrival times, got 5 (--scale-rate "
     "changes the rate of a log)"),
    ("arrival_s\n1\n", {"time_unit": "ms"}, "log.csv: time-unit: must be left out: the times of ours have a known unit"
     ", got 'ms'"),
    ("arrival_s\n1\n", {"time_unit": "h"}, "time-unit: must be one of s, ms, us, ns, got 'h'"),
    ("arrival_s\n1\n", {"from_s": 5, "to_s": 5}, "to: must be above from (5 s), got 5"),
    ("arrival_s\n1\n", {"scale_rate": 0}, "scale-rate: must be a number > 0, got 0"),
    ("arrival_s\n1\n", {"limit": 0}, "limit: must be an integer >= 1, got 0"),
    (LOGS["vidur_lengths"], {}, "log.csv: rate: must be given with --rate HZ: vidur_lengths holds lengths without "
     "arrival times"),
    (LOGS["onnxim"], {}, "log.csv: time-unit: must be given with --time-unit s, ms, us or ns: the unit of column time "
     "is documented nowhere (onnxim)"),
    (b"arrival_s\n1\n2\xff\n", {}, "log.csv:3:2: must be CSV text in UTF-8, got the byte 0xff"),
    ("arrival_s\n1\n".encode("utf-16"), {}, "log.csv:1: must be CSV text in UTF-8, got UTF-16"),
    ("arrival_s\n1_0\n", {}, "log.csv:2:1: column arrival_s: must be a number >= 0, got '1_0'"),
    ("arrival_s\ninf\n", {}, "log.csv:2:1: column arrival_s: must be a number >= 0, got 'inf'"),
    ('{"timestamp": 0, "input_length": 1, "output_length": 1}\n{"timestamp": \n', {},
     "log.csv:2:15: must be one JSON object per line: Expecting value"),
    ('{"timestamp": true, "input_length": 1.5, "output_length": 1}\n', {},
     "log.csv:1:1: column timestamp: must be a number >= 0, got True"),
    ('arrival_s,tenant\n1,"' + "x" * 200_000 + '"\n', {}, "log.csv:2: must be CSV: field larger than field limit"),
])
def test_one_clear_error(log, text, options, expected):
    assert problems(log(text), **options)[0].startswith(expected)


def test_missing_file_and_folder(log, tmp_path):
    log("arrival_s\n1\n", "azure.csv")
    assert problems("azur.csv") == ["azur.csv: must be an existing file, got none (did you mean 'azure.csv'?)"]
    assert "must be a readable file" in problems(str(tmp_path))[0]


@given(st.sampled_from(sorted(LOGS)), st.integers(0, 2**32), st.integers(1, 4), st.binary(max_size=6))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutilated_files_give_a_log_or_problems(log, name, seed, count, extra):
    chance = random.Random(seed)
    data = bytearray(LOGS[name].encode())
    for _ in range(count):
        at = chance.randrange(len(data))
        piece = chance.choice([extra, b"", b",", b"\n", b'"', b"-", b"{", b"\x00", b"9" * 30])
        data[at:at + chance.randrange(3)] = piece
    try:
        read = read_requests(log(bytes(data)), **NEEDED.get(name, {}))
    except InputError:
        return
    assert len(read) >= 1
    assert np.all(np.diff(read.arrival_s) >= 0.0)


# --- dse inspect ------------------------------------------------------------------------------------------------------


def inspect(capsys, *args):
    with pytest.raises(SystemExit) as end:
        main(["inspect", *args])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_inspect_json(log, capsys):
    rows = [(0, 10, 1), (1, 20, 2), (3, 30, 3), (6, 40, 4)]
    name = log("arrived_at,num_prefill_tokens,num_decode_tokens\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    code, out, err = inspect(capsys, name, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["kind"], found["format"] == ("requests", "vidur")
    assert (found["requests"], found["span_s"], found["rate_hz"]) == (4, 6.0, 0.5)
    assert found["gap_cv"] == pytest.approx((2 / 3) ** 0.5 / 2)  # gaps 1, 2, 3
    assert (found["prompt_tokens_sum"], found["output_tokens_sum"]) == (100, 10)
    assert found["quantiles"]["prompt_tokens"]["p50"] == found["quantiles"]["prompt_tokens"]["mean"] == 25
    assert found["quantiles"]["gap_s"]["p100"] == 3
    found = json.loads(inspect(capsys, name, "--json", "--scale-rate", "4", "--limit", "3", "--from", "1")[1])
    assert (found["requests"], found["span_s"], found["rate_hz"]) == (3, 1.25, 1.6)


@pytest.mark.parametrize("name", LOGS)
def test_inspect_text_of_every_format(log, capsys, name):
    flags = {"vidur_lengths": ["--rate", "2"], "onnxim": ["--time-unit", "ms"]}.get(name, [])
    code, out, err = inspect(capsys, log(LOGS[name]), *flags)
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [f"format         {name}", "requests       2"]


def test_one_request_has_no_rate(log, capsys):
    found = json.loads(inspect(capsys, log("arrival_s\n5\n"), "--json")[1])
    assert (found["requests"], found["span_s"], found["rate_hz"], found["gap_cv"]) == (1, 0.0, None, None)
    assert found["prompt_tokens_sum"] is None


def test_flags_of_the_other_kind_are_refused(log, capsys):
    code, _, err = inspect(capsys, log(LOGS["vidur"]), "--tokens", "5")
    assert (code, err) == (2, "--tokens: must be absent: it is not for a request log, got 5\n")
    code, _, err = inspect(capsys, "resnet50", "--limit", "5")
    assert (code, err) == (2, "--limit: must be absent: it is not for a network, got 5\n")


def test_a_topology_is_no_log(log):
    assert detect(log("Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, "
                      "Strides,\nc,8,8,3,3,4,4,1,\n")) is None


# --- as traffic of a tenant -------------------------------------------------------------------------------------------

WORKLOAD = """\
kind: workload
name: serve
duration_s: 10
tenants:
  - name: cam
    network: resnet18
    traffic: {kind: trace, file: log.csv}
"""


def test_tenant_fed_by_an_azure_log(log):
    log(LOGS["azure_llm"])
    loaded = load(log(WORKLOAD, "w.yaml"))
    assert loaded.record.tenants[0].traffic.arrivals_s == pytest.approx((0.0, 4.314579))
    assert loaded.notes == ("cam: lengths in tokens are not used: the network of the tenant is fixed",)


def test_options_of_a_trace_file(log):
    log("arrival_s,tenant\n" + "".join(f"{t},{'cam' if t % 2 else 'mic'}\n" for t in range(10)))
    text = WORKLOAD.replace("file: log.csv", "file: log.csv, from_s: 2, to_s: 9, scale_rate: 2")
    assert load(log(text, "w.yaml")).record.tenants[0].traffic.arrivals_s == (0.5, 1.5, 2.5)
    log(LOGS["onnxim"])
    text = WORKLOAD.replace("file: log.csv", "file: log.csv, time_unit: ms, limit: 1")
    assert load(log(text, "w.yaml")).record.tenants[0].traffic.arrivals_s == (0.0,)


@pytest.mark.parametrize(("traffic", "expected"), [
    ("kind: trace, arrivals_s: [1], limit: 3", "w.yaml:7:45: tenants[0].traffic.limit: must be left out: it is for a "
     "trace file"),
    ("kind: poisson, rate_hz: 3, scale_rate: 3", "w.yaml:7:42: tenants[0].traffic.scale_rate: must be left out: it is "
     "for trace traffic, not poisson"),
    ("kind: trace, file: log.csv, scale_rate: 0", "w.yaml:7:55: tenants[0].traffic.scale_rate: must be a number > 0"),
    ("kind: trace, file: log.csv", "log.csv: rate: must be given"),
])
def test_mistakes_in_the_traffic(log, traffic, expected):
    log(LOGS["vidur_lengths"])
    with pytest.raises(InputError) as caught:
        load(log(WORKLOAD.replace("kind: trace, file: log.csv", traffic), "w.yaml"))
    assert str(caught.value).startswith(expected)


def test_a_log_that_begins_after_the_end_is_remarked(log):
    log("arrival_s\n50\n60\n")
    assert load(log(WORKLOAD, "w.yaml")).notes == (
        "cam: no request arrives within duration_s = 10 (the first comes at 50 s; from_s moves the start of a trace)",)
    assert load(log(WORKLOAD.replace("log.csv", "log.csv, from_s: 50"), "w.yaml")).notes == ()


def test_a_log_is_no_network(log):
    log(LOGS["azure_llm"])
    text = WORKLOAD.replace("network: resnet18", "network: log.csv")
    with pytest.raises(InputError, match=r"must be a network, got a request log \(azure_llm\)"):
        load(log(text, "w.yaml"))
