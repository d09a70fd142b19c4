"""The pages: their commands run as they stand, their links lead somewhere, CI runs what the README says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "studies/README.md", "hwmodels/README.md", "hwmodels/VALIDATION.md",
         "hwmodels/policies/README.md"]


def commands(page: str) -> list[str]:
    """The lines of the blocks marked sh."""
    return [line for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.S)
            for line in block.strip().splitlines()]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert "://" in link or ((ROOT / page).parent / link).exists(), link


def test_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    steps = commands("studies/README.md")
    assert len(steps) >= 10
    (tmp_path / "bin").mkdir()
    dse = tmp_path / "bin" / "dse"
    dse.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from dse.cli import main; main()' \"$@\"\n")
    dse.chmod(0o755)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    folder = tmp_path / "mine"
    folder.mkdir()
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH":
                   ":".join(p for p in sys.path if p)}
    for step in steps:
        done = subprocess.run(["sh", "-c", step], cwd=folder, env=environment, capture_output=True, text=True,
                              timeout=300, check=False)
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
    assert (folder / "runs" / "phone" / "report.html").stat().st_size > 1_000_000
    for made in ("design.yaml", "scalesim", "zigzag", "perfetto"):
        assert (folder / made).exists(), made


def test_ci_runs_the_readme() -> None:
    script, readme = (ROOT / ".ci" / "run").read_text(), (ROOT / "README.md").read_text()
    setup, tests = re.findall(r"^    (python3 -m venv .*) && (\.venv/bin/pytest)$", readme, re.M)[0]
    assert setup.replace("install -e", "install -q -e") in script
    assert script.rstrip().endswith(tests)


def test_pinned_versions_name_no_host() -> None:
    assert "://" not in (ROOT / ".ci" / "constraints.txt").read_text()
