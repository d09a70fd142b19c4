"""Every command that the pages name, run: those in sentences and tables with their placeholders filled in.

Blocks of commands that work as they stand are run by `test_docs.py`.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from command import dse
from small_run import STUDY, make_small_run
from test_docs import PAGES, ROOT, blocks

pytestmark = pytest.mark.slow

SETS = ROOT / "tests" / "data" / "scheduling" / "derca" / "machine.yaml"
PROFILE = "family,network,sample,layer,latency_s,sparsity_frac\nf,a,0,0,1.0,0.0\nf,b,0,0,2.0,0.0\n"
REQUESTS = "request,arrival_s,network,sample,priority,deadline_s\nx,0,a,0,1,9\ny,0.5,b,0,3,inf\n"
FILLED = {"NETWORK": "resnet18", "NAME": "mine", "FILE": "study.yaml", "STUDY": "study.yaml", "RUN": "run",
          "A": "run:0", "B": "run:3", "DESIGN": "design.yaml", "D": "design.yaml", "W": "workload.yaml", "F": "csv",
          "FOLDER": "rows", "KEY": "mac_int8_energy_j"}
# What a command wants that the page leaves out, unless it says so itself.
NEEDED = {
    "export": {"--out": "exported"}, "run": {"--out": "again", "--workers": 1}, "init": {"": "mine"},
    "front": {"": "study.yaml", "--out": "front"},
    "simulate": {"--profile": "profile.csv", "--requests": "requests.csv", "--policy": "fcfs"},
    "schedulability": {"": "sets.csv", "--machine": SETS}, "xrbench": {"": "design.yaml", "--workload": "vr_gaming"},
    "capacity": {"": "design.yaml", "--workload": "workload.yaml"}, "inspect": {"": "resnet18"},
    "evaluate": {"": "design.yaml", "--workload": "workload.yaml"}, "why": {"": "run", "--seeds": 1},
    "compare-policies": {"": "workload.yaml", "--design": "design.yaml", "--seeds": 2, "--policies": "fcfs,edf"},
    "sensitivity": {"": "run"},
}


def inline_commands() -> list[str]:
    """The `dse ...` of sentences and tables of all pages, each once."""
    found = (re.findall(r"`dse ([a-z][a-z-]*(?: [^`]*)?)`", (ROOT / page).read_text()) for page in PAGES)
    return sorted({" ".join(command.split()) for page in found for command in page})


def completed(text: str) -> list[str]:
    """A command with its placeholders filled in and what it needs besides."""
    name, *words = text.split()
    words = [FILLED.get(word, word) for word in words]
    given = {word for word in words if word.startswith("--")}
    positional = [word for at, word in enumerate(words) if not word.startswith("--")
                  and not (at and words[at - 1].startswith("--"))]
    for flag, value in NEEDED.get(name, {}).items():
        if not flag and not positional:
            words.insert(0, value)
        elif flag and flag not in given:
            words += [flag, str(value)]
    return [name, *map(str, words)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, its study, its workload and a design of it."""
    made = tmp_path_factory.mktemp("docs")
    made_run = make_small_run(made, search={"trials": 12, "seed": 3, "sampler": "random"})
    one_engine = next(path for path in sorted((made_run / "best").iterdir()) if "time_mux" in path.read_text())
    shutil.copy(one_engine, made / "design.yaml")  # it runs any workload
    (made / "workload.yaml").write_text(yaml.safe_dump(STUDY["workload"]))
    (made / "profile.csv").write_text(PROFILE)
    (made / "requests.csv").write_text(REQUESTS)
    network = next(iter(yaml.safe_load(SETS.read_text())["networks"]))
    (made / "sets.csv").write_text(f"set,task,network,period_cycles\n0,a,{network},{10**9}\n")
    return made


@pytest.mark.parametrize("text", [text for text in inline_commands() if not text.startswith("watch")])
def test_a_command_of_a_sentence_runs(text, folder):
    for name in ("exported", "again", "front", "rows", "mine.yaml"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).unlink(missing_ok=True)
    done = dse(*completed(text), cwd=folder)
    assert done.returncode == 0, (completed(text), done.stderr)


def test_watch_is_there_and_run_elsewhere():
    """`test_watch.py` runs it: it does not end by itself."""
    assert [text for text in inline_commands() if text.startswith("watch")] == ["watch RUN"]


def script(*words: object, cwd: Path | None = None, timeout: float = 1200) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, words)], cwd=cwd or ROOT, capture_output=True, text=True,
                          timeout=timeout, check=False)


def test_the_main_command_of_the_readme(tmp_path):
    (line,) = re.findall(r"\.venv/bin/dse (run studies/quickstart\.yaml --out \S+)$", (ROOT / "README.md").read_text(),
                         re.M)
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    done = script("-c", "from dse.cli import main; main()", *line.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith("quickstart: 200 trials, ")
    report = tmp_path / "runs" / "quickstart" / "report.html"
    assert said[-1] == f"report: {report.resolve()}"
    assert report.is_file()


@pytest.mark.parametrize(("said", "short"), [
    ("python tests/benchmarks/bench_search.py", "--spaces smooth --samplers random --seeds 1 --budget 200"),
    ("python tests/benchmarks/bench_anytime.py small_edge 120", None),
])
def test_the_commands_of_the_search_page(said, short):
    """With less to do: as they stand they take an hour, and two minutes of CPU."""
    assert f"    {said}\n" in (ROOT / "studies" / "SEARCH.md").read_text()
    words = said.split()[1:]
    done = script(*(words + short.split() if short else [*words[:-1], "3"]))
    assert done.returncode == 0, done.stderr
    assert done.stdout


@contextlib.contextmanager
def started(*words: str):
    """A process with all its children, which end with it."""
    process = subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=120)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_commands_of_the_cluster_page(tmp_path, monkeypatch):
    """On this machine, with ports and folders of its own; `ray stop` would end the clusters of others as well."""
    lines = "".join(blocks("studies/CLUSTER.md", "console")).splitlines()
    token, head, node, run, resume, stop, *_ = lines
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    assert token == "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=TOKEN"
    assert (head, node, stop) == ("ray start --head --port 6379", "ray start --address FIRST:6379", "ray stop")
    first = f"127.0.0.1:{free_port()}"
    ray = str(Path(sys.executable).with_name("ray"))
    head_words = [ray, "start", "--head", "--port", first.partition(":")[2], "--block", "--num-cpus", "1", "--temp-dir",
                  f"/tmp/ray-{os.getpid()}", "--include-dashboard", "false", "--object-store-memory", str(2**27)]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    try:
        with started(*head_words), \
                started(ray, "start", "--address", first, "--block", "--num-cpus", "1", "--object-store-memory",
                        str(2**27)):
            for line in (run, resume):
                words = line.replace("FIRST:6379", first).split()
                assert words[0] == "dse"
                deadline = time.monotonic() + 120
                while True:
                    done = script("-c", "from dse.cli import main; main()", *words[1:], cwd=tmp_path)
                    if done.returncode == 0 or time.monotonic() > deadline:
                        break
                    shutil.rmtree(tmp_path / "run", ignore_errors=True)  # the head was not up yet
                    time.sleep(2)
                assert done.returncode == 0, done.stderr
            assert (tmp_path / "run" / "report.html").is_file()
    finally:
        shutil.rmtree(f"/tmp/ray-{os.getpid()}", ignore_errors=True)


def test_the_dashboard_command_names_an_address_it_takes():
    """`test_export_optuna.py` and `test_shared.py` open the storages themselves."""
    (line,) = [line for line in "".join(blocks("studies/CLUSTER.md", "console")).splitlines() if "dashboard" in line]
    assert line == "optuna-dashboard postgresql+psycopg://USER@HOST/DATABASE"
