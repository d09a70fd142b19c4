"""The page on writing a policy: its code runs as it stands; policies of other packages come through entry points."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hwmodels.policies
from hwmodels.policies import POLICIES
from hwmodels.policies.plugins import GROUP

PAGE = Path(hwmodels.policies.__file__).with_name("README.md").read_text(encoding="utf-8")
CODE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1)
TOML = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL).group(1)


def python(folder, *args, strict=True):
    command = [sys.executable, *(["-W", "error"] if strict else []), *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def install(folder, points, code=CODE):
    """A package as pip would leave it: the module and its metadata."""
    (folder / "weighted_sjf.py").write_text(code)
    info = folder / "weighted_sjf-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weighted-sjf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))


def test_the_example_is_short_and_runs(tmp_path):
    assert len(CODE.splitlines()) < 60
    (tmp_path / "weighted_sjf.py").write_text(CODE)
    done = python(tmp_path, "weighted_sjf.py")
    assert done.returncode == 0, done.stderr
    sjf, plain, weighted = (line.partition("antt")[2].split() for line in done.stdout.splitlines())
    assert plain == sjf  # exponent 0 is shortest remaining time first
    assert float(weighted[-1]) < float(sjf[-1])  # the camera's own ANTT falls with its priority
    assert float(weighted[0]) > float(sjf[0])  # and the mean rises: sjf is best for it
    assert "weighted_sjf" not in POLICIES


def test_an_installed_policy_is_like_a_built_in_one(tmp_path):
    points = tomllib.loads(TOML)["project"]["entry-points"][GROUP]
    assert points == {"weighted_sjf": "weighted_sjf:POLICY"}
    install(tmp_path, points)
    (tmp_path / "design.yaml").write_text(
        "kind: design\narchitecture: time_mux\nfreq_hz: 1e9\ndram_bytes_per_s: 16e9\n"
        "engines: [{rows: 32, cols: 32, dataflow: ws, sram_bytes: 524288}]\n"
        "policy: {name: weighted_sjf, exponent: 2}\n")
    (tmp_path / "load.yaml").write_text(
        "kind: workload\nname: one\nduration_s: 0.05\ntenants:\n"
        "  - {name: words, network: res8, traffic: {kind: poisson, rate_hz: 400}}\n")
    code = ("from dse.cli import main; main(['evaluate', 'design.yaml', '--workload', 'load.yaml', '--json'])")
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert '"status": "ok"' in done.stdout
    code = ("from hwmodels.policies import POLICIES; from spaces.designs import PARAMETERS; "
            "print(list(POLICIES)[-1], 'weighted_sjf' in PARAMETERS['policy'][0])")
    assert python(tmp_path, "-c", code).stdout == "weighted_sjf True\n"


@pytest.mark.parametrize(("points", "code", "message"), [
    ({"weighted_sjf": "weighted_sjf:NOTHING"}, CODE, "cannot be loaded: AttributeError"),
    ({"weighted_sjf": "weighted_sjf:POLICY"}, "1 / 0", "cannot be loaded: ZeroDivisionError"),
    ({"weighted_sjf": "weighted_sjf:main"}, CODE, "must name a Policy record, got function"),
    ({"other": "weighted_sjf:POLICY"}, CODE, "must have the name of its record, 'weighted_sjf'"),
    ({"fcfs": "weighted_sjf:POLICY"}, CODE.replace('"weighted_sjf"', '"fcfs"'), "must have a name of its own"),
])
def test_a_plug_in_that_cannot_be_used_is_left_out(tmp_path, points, code, message):
    install(tmp_path, points, code)
    done = python(tmp_path, "-c", "from hwmodels.policies import POLICIES; print(len(POLICIES))", strict=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(POLICIES)
    assert "is left out: it " + message in done.stderr
