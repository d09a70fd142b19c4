"""The pages: their commands run as they stand, their links lead somewhere, CI runs what the README says."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dse.cli import app

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "studies/README.md", "hwmodels/README.md", "hwmodels/VALIDATION.md",
         "hwmodels/policies/README.md", "hwmodels/engines/README.md", "studies/OWN_CONSTANTS.md",
         "studies/CLUSTER.md", "studies/SEARCH.md"]


def commands(page: str) -> list[str]:
    """The lines of the blocks marked sh."""
    return [line for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.S)
            for line in block.strip().splitlines()]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert "://" in link or ((ROOT / page).parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_scripts_that_pages_name_exist(page: str) -> None:
    """Also those inside sentences and tables, which are not run: their flags are flags of the command."""
    text = (ROOT / page).read_text()
    known = typer.main.get_command(app).commands
    said = re.findall(r"(?:^ {4}|^|`|&& |\.venv/bin/)dse ([a-z][a-z-]*)((?: [^`|;&\n]*)?)", text, re.M)
    for command, rest in said:
        assert command in known, command
        flags = {flag for option in known[command].params for flag in (*option.opts, *option.secondary_opts)}
        assert {word for word in rest.split() if word.startswith("--")} <= flags, (command, rest)
    for script in re.findall(r"python (tests/[\w/]+\.py)", text):
        assert (ROOT / script).is_file(), script


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.S)


def run(steps: list[str], tmp_path: Path, files: dict[str, str] | None = None) -> Path:
    """Run commands one after the other in a folder of their own that holds the files; the folder."""
    (tmp_path / "bin").mkdir()
    dse = tmp_path / "bin" / "dse"
    dse.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from dse.cli import main; main()' \"$@\"\n")
    dse.chmod(0o755)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in (files or {}).items():
        (folder / name).write_text(text)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH":
                   ":".join(p for p in sys.path if p)}
    for step in steps:
        done = subprocess.run(["sh", "-c", step], cwd=folder, env=environment, capture_output=True, text=True,
                              timeout=900, check=False)
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
    return folder


def test_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    steps = commands("studies/README.md")
    assert len(steps) >= 10
    folder = run(steps, tmp_path)
    assert (folder / "runs" / "phone" / "report.html").stat().st_size > 1_000_000
    for made in ("design.yaml", "scalesim", "zigzag", "perfetto"):
        assert (folder / made).exists(), made


def test_own_constants_run_as_they_stand(tmp_path: Path) -> None:
    page = "studies/OWN_CONSTANTS.md"
    folder = run(commands(page), tmp_path, dict(zip(("own.yaml", "study.yaml"), blocks(page, "yaml"), strict=True)))
    assert "test chip, 2025" in (folder / "run" / "manifest.json").read_text()


def test_cluster_page_names_flags_that_exist() -> None:
    """Its commands want a cluster (`ray stop` would end the ones of others), so only their words are checked here."""
    from dse.commands.run import command

    lines = "".join(blocks("studies/CLUSTER.md", "console")).splitlines()
    ours = [line.split() for line in lines if line.startswith("dse ")]
    assert len(ours) == 3
    known = set(inspect.signature(command).parameters)
    for words in ours:
        assert words[1] == "run"
        assert {word.removeprefix("--").replace("-", "_") for word in words if word.startswith("--")} <= known


def test_ci_runs_the_readme() -> None:
    script, readme = (ROOT / ".ci" / "run").read_text(), (ROOT / "README.md").read_text()
    setup, tests = re.findall(r"^    (python3 -m venv .*) && (\.venv/bin/pytest)$", readme, re.M)[0]
    assert setup.replace("install -e", "install -q -e") in script
    assert script.rstrip().endswith(tests)


def test_pinned_versions_name_no_host() -> None:
    assert "://" not in (ROOT / ".ci" / "constraints.txt").read_text()
