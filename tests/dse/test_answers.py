"""Answers of language models: prefill, then one step per token; time to the first token and per output token."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from command import dse
from small_run import STUDY, make_small_run, write_study

from dse.documents import load_study
from dse.errors import InputError
from dse.report.payload import columns_of
from dse.report.rundata import read_run

CONFIG = {"model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
          "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 100}
CHAT = {"name": "chat", "duration_s": 0.2, "tenants": [
    {"name": "prompt", "network": "config.json", "tokens": 32, "traffic": {"kind": "poisson", "rate_hz": 100},
     "service": {"deadline_s": 0.01}},
    {"name": "answer", "network": "config.json", "phase": "decode", "context": 40, "after": "prompt", "steps": 5},
]}
JUDGED = {"workload": CHAT, "objectives": ["area_mm2", "p99_tpot_s"], "budgets": {"answer.p99_ttft_s": 0.01},
          "search": {"trials": 3, "seed": 3, "sampler": "random"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return read_run(make_small_run(folder, **JUDGED))


def test_a_study_by_the_times_of_tokens(run):
    row = run.row(int(run.front["trial"].iloc[0]))
    assert 0.0 < row["tenants.answer.p50_tpot_s"] <= row["p99_tpot_s"]
    assert row["tenants.answer.p99_ttft_s"] == pytest.approx(row["tenants.prompt.p99_latency_s"])
    assert "tenants.prompt.p99_ttft_s" not in run.trials.columns  # only a tenant with steps has answers
    assert columns_of(run)["tenants"]["answer"]["p99_tpot_s"][0] == pytest.approx(run.trials["p99_tpot_s"][0], rel=1e-4)


def test_what_the_commands_say_of_answers(run):
    done = dse("why", run.path, "--seeds", 2)
    assert done.returncode == 0, done.stderr
    assert "p99 TTFT" in done.stdout
    assert "p99 TPOT" in done.stdout
    design = sorted((run.path / "best").iterdir())[0]
    study = json.loads(json.dumps(run.study))
    (run.path.parent / "chat.yaml").write_text(json.dumps({"kind": "workload"} | study["workload"]))
    done = dse("evaluate", design, "--workload", run.path.parent / "chat.yaml")
    assert done.returncode == 0, done.stderr
    assert "  answer: p50_ttft_s " in done.stdout


@pytest.mark.parametrize(("changes", "said"), [
    ({"workload": STUDY["workload"]}, "must not hold p99_tpot_s: no tenant has steps"),
    ({"budgets": {"prompt.p99_ttft_s": 1}}, "must not hold prompt.p99_ttft_s: prompt has no steps .*answer"),
    ({"workload": CHAT | {"tenants": [CHAT["tenants"][0] | {"steps": 2}]}}, "steps: must be left out"),
    ({"workload": CHAT | {"tenants": [CHAT["tenants"][0], CHAT["tenants"][1] | {"steps": 60_000}],
                          "duration_s": 50.0}}, "duration_s: must be so that at most .* requests arrive"),
])
def test_times_of_tokens_want_steps(changes, said, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(InputError, match=said):
        load_study(write_study(tmp_path, **JUDGED | changes))
