"""The command line itself: start-up, help, usage errors, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dse import cli
from dse.errors import InputError, NothingFeasible, PartialResult

HEAVY = ("numpy", "pandas", "ray", "optuna", "plotly", "numba", "pydantic", "yaml", "onnx")


def dse(*args, **options):
    command = [str(Path(sys.executable).with_name("dse")), *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def run(capsys, *args):
    """Exit code, stdout and stderr of a command, in this process."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(args))
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_start_up_imports_nothing_heavy():
    code = f"import sys, dse.cli; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_help_lists_every_command(capsys):
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    for name in cli.COMMANDS:
        assert f"\n  {name} " in out
    assert out.index("Explore:") < out.index("Files and choices:")


def test_no_arguments_shows_the_help(capsys):
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert "Usage: dse" in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(capsys, name):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert f"Usage: dse {name}" in out


@pytest.mark.parametrize(("words", "offered"), [
    ("dse expl", ["explain"]), ("dse export run --form", ["--format"]),
    ("dse export run --format s", ["scalesim", "stream"]), ("dse run s.yaml --sampler ns", ["nsga2", "nsga3"]),
    ("dse list pol", ["policies"]), ("dse schema t", ["technology"]),
])
def test_completion_in_a_shell(capsys, monkeypatch, words, offered):
    monkeypatch.setenv("_DSE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert run(capsys)[:2] == (0, "\n".join(offered) + "\n")


def test_version(capsys):
    from importlib.metadata import version

    assert run(capsys, "--version") == (0, f"dse {version('npu-codesign')}\n", "")


@pytest.mark.parametrize(("args", "message"), [
    (["chek", "x.yaml"], "dse: no command 'chek' (did you mean 'check'?)\n"),
    (["qqqq"], "dse: no command 'qqqq'; see dse --help\n"),
    (["check"], "dse check: missing argument 'FILE.yaml'; see dse check --help\n"),
    (["check", "a", "b"], "dse check: got unexpected extra argument"),
    (["check", "x", "--jsn"], "dse check: no such option: --jsn"),
    (["evaluate", "x.yaml"], "dse evaluate: missing option '--workload'; see dse evaluate --help\n"),
    (["evaluate", "x.yaml", "--workload", "y", "--seed", "a"], "dse evaluate: invalid value for '--seed'"),
    (["evaluate", "x.yaml", "--workload", "y", "--seed", "-1"], "dse evaluate: invalid value for '--seed'"),
])
def test_usage_errors_are_one_line_and_exit_2(capsys, args, message):
    code, out, err = run(capsys, *args)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


@pytest.mark.parametrize(("error", "code", "text"), [
    (InputError("a", "b"), 2, "a\nb\n2 errors\n"),
    (NothingFeasible("nothing meets area_mm2"), 3, "nothing meets area_mm2\n"),
    (PartialResult("2 trials failed"), 4, "2 trials failed\n"),
    (KeyboardInterrupt(), 130, ""),
])
def test_exit_codes(capsys, monkeypatch, error, code, text):
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    got, out, err = run(capsys)
    assert (got, out) == (code, "")
    assert err.endswith(text)


def test_exit_code_of_a_command_is_kept(capsys, monkeypatch):
    app = typer.Typer()

    @app.command()
    def end() -> None:
        raise typer.Exit(4)

    monkeypatch.setattr(cli, "app", app)
    assert run(capsys)[0] == 4


def test_a_crash_is_one_sentence_and_a_saved_traceback(capsys, monkeypatch, tmp_path):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    app = typer.Typer()

    @app.command()
    def crash() -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli, "app", app)
    code, out, err = run(capsys)
    assert (code, out) == (1, "")
    assert err.startswith("internal error: ZeroDivisionError: division by zero\ntraceback saved in ")
    (saved,) = tmp_path.iterdir()
    assert str(saved) in err
    assert "Traceback" in saved.read_text()


def test_a_path_that_cannot_be_used_is_no_crash(capsys):
    code, _, err = run(capsys, "export", "x" * 5000, "--format", "csv", "--out", "y")
    assert code == 2
    assert err.endswith(": must be a path that can be used: File name too long\n")
    assert len(err) < 300


def test_as_a_program():
    result = dse("list", "metrik")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == ("TOPIC: must be one of architectures, dataflows, policies, networks, workloads, lengths, "
                             "samplers, metrics, objectives, "
                             "got 'metrik' (did you mean 'metrics'?)\n")


def test_a_closed_pipe_is_no_error():
    command = f"{Path(sys.executable).with_name('dse')} schema study | head -c 1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
