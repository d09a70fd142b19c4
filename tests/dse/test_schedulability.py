"""`dse schedulability`: the contract of its JSON, and one clear error per broken rule of its files."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dse.cli import app
from dse.errors import InputError
from dse.readers.tasksets import load_machine, load_task_sets
from hwmodels.derca import STRATEGIES, DercaMachine, transformer

DATA = Path(__file__).parents[1] / "data" / "scheduling" / "derca"
MACHINE = DATA / "machine.yaml"
HEADER = "set,task,network,period_cycles\n"
NETWORKS = {"a": [(1, 1, 1)], "bert": [(2, 2, 2)]}


def run(*arguments):
    return CliRunner().invoke(app, ["schedulability", *map(str, arguments)])


def reference_sets(tmp_path, utils):
    path = tmp_path / "sets.csv"
    with (DATA / "sets_11b.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["total_util"] in utils and int(r["set"]) < 5]
    lines = [f"{r['set']}/{r['total_util']},t{i},11b,{r[f'period_{i}_cycles']}\n" for r in rows for i in (0, 1)]
    path.write_text(HEADER + "".join(lines))
    return path


def test_json_is_the_published_analysis(tmp_path):
    result = run(reference_sets(tmp_path, ("0.7", "0.9")), "--machine", MACHINE, "--json")
    assert result.exit_code == 0
    entries = {(e["set"], e["strategy"]): e for e in json.loads(result.stdout)["sets"]}
    with (DATA / "analysis_11b.csv").open() as file:
        rows = {(f"{r['set']}/{r['total_util']}", r["strategy"]): r for r in csv.DictReader(file)}
    assert len(entries) == 5 * 2 * 8
    for key, entry in entries.items():
        row = rows[key]
        assert entry["schedulable"] == (row["schedulable"] == "1")
        for field, columns in (
            ("beta", "beta_{}"),
            ("q_max", "q_max_{}"),
            ("wcet_cycles", "wcet_{}_cycles"),
            ("regions", "regions_{}"),
        ):
            expected = [row[columns.format(i)] for i in (0, 1)]
            if "" not in expected:
                assert entry[field] == [int(value) for value in expected]
        if entry["schedulable"]:
            assert entry["simulation"]["no_miss"]
        elif key[1].endswith("-ppp"):
            assert entry["beta"] is None


def test_table_and_flags(tmp_path):
    path = reference_sets(tmp_path, ("0.7",))
    result = run(path, "--machine", MACHINE, "--simulate", "none", "--semantics", "clean")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split()[1:] == list(STRATEGIES)
    assert "simulated" not in result.stdout
    assert isinstance(run(path, "--machine", MACHINE, "--semantics", "cleen").exception, InputError)


def test_integer_set_names_stay_integers(tmp_path):
    path = tmp_path / "sets.csv"
    path.write_text(HEADER + "3,x,11a,90000000\n4,x,11a,90000000\n")
    result = run(path, "--machine", MACHINE, "--json")
    assert {e["set"] for e in json.loads(result.stdout)["sets"]} == {3, 4}


def test_machine_file():
    machine, networks, strategies = load_machine(MACHINE)
    assert machine == DercaMachine()
    assert strategies == STRATEGIES
    assert networks["bert-t"] == transformer(6, 512, 128, 2, 4, 2)
    assert len(networks["mlp-mixer"]) == 32
    assert networks["pointnet"][-1] == (40, 256, 1)


@pytest.mark.parametrize(
    ("old", "new", "lines_below", "words"),
    [
        ("load: 17200", "load: -1", 0, "must be an integer >= 0"),
        ("load: 17200", "laod: 17200", 0, "did you mean 'load'?"),
        ("m: 1536", "m: 0", 0, "must be an integer >= 1"),
        ("[[1024, 8192, 1024], [1024, 8192, 1024]]", "[[1024, 8192]]", 0, "must be [[M, K, N], ...]"),
        ("transformer(6, 512, 128, 2, 4, 2)", "transformer(6, 512, 128)", 0, "transformer(batch"),
        ("strategies: [np,", "strategies: [npp,", 0, "did you mean 'np'?"),
        ("[np, lw,", "[np, np,", 0, "each once"),
        ("networks:", "networkss:", 0, "did you mean 'networks'?"),
        ("[[2048, 128, 2048], [2048, 128, 2048]]", "[[2048, 128, 2048]", 1, "must be valid YAML"),
    ],
)
def test_machine_errors_have_a_place(tmp_path, old, new, lines_below, words):
    path = tmp_path / "machine.yaml"
    text = MACHINE.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_machine(path)
    assert words in str(caught.value)
    line = text[: text.index(old)].count("\n") + 1 + lines_below
    assert line in {problem.line for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("set,task,network,period\n1,x,a,5\n", 1, "header: must be columns with period_cycles once each"),
        (HEADER + "1,x,a,0\n", 2, "must be a positive integer"),
        (HEADER + "1,x,a,nan\n", 2, "must be a positive integer"),
        (HEADER + "1,x,brt,7\n", 2, "did you mean 'bert'?"),
        (HEADER + "1,x,a,7\n\n1,x,a,7\n", 4, "once"),
        (HEADER + "1,x,a\n", 2, "must have 4 fields, got 3"),
        (HEADER + ",x,a,7\n", 2, "set: must be given"),
        (HEADER, 1, "at least one task"),
        ("", 1, "header: must be columns with set, task, network, period_cycles"),
    ],
)
def test_task_set_errors_have_a_line(tmp_path, text, line, words):
    path = tmp_path / "sets.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_task_sets(path, NETWORKS)
    assert words in str(caught.value)
    assert caught.value.problems[0].line == line


def test_all_problems_of_a_file_at_once(tmp_path):
    path = tmp_path / "sets.csv"
    path.write_text(HEADER + "1,x,a,-1\n1,y,b,5\n1,z\n")
    with pytest.raises(InputError) as caught:
        load_task_sets(path, NETWORKS)
    assert [problem.line for problem in caught.value.problems] == [2, 3, 4]


def test_missing_files_are_input_errors(tmp_path):
    with pytest.raises(InputError):
        load_machine(tmp_path / "none.yaml")
    with pytest.raises(InputError):
        load_task_sets(tmp_path / "none.csv", NETWORKS)
