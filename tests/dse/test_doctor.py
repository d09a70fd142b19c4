"""`dse doctor`: the verdict of every check on made-up machines, and the command on this one."""

import json
import subprocess
import sys
from collections import namedtuple

import pytest

from dse import doctor
from dse.cli import main
from dse.doctor import CHECKS, examine, foreign_owners, outside_bounds


def verdict(name):
    (check,) = examine([name])
    assert check.name == name
    assert check.sentence.endswith(".")
    return check.ok, check.sentence


def test_bounds():
    installed = {"numpy": "2.4.1", "ray": "2.9.0", "onnx": "1.18", "rich": "15.0rc1"}
    found = outside_bounds(["numpy>=2.0,<3", "ray>=2.40", "onnx>=1.18.0", "rich>=13.9", "pandas>=2.2",
                            "pytest>=8.3; extra == 'test'", "numpy!=2.4.1; python_version > '3.0'", "onnx<1.18"],
                           installed.get)
    assert found == ["ray 2.9.0 is not >= 2.40", "pandas is missing", "numpy 2.4.1 is not != 2.4.1",
                     "onnx 1.18 is not < 1.18"]


def test_clash_of_names():
    assert foreign_owners({"dse": ["npu_codesign"], "numpy": ["numpy"]}) == []
    assert foreign_owners({"dse": ["npu-codesign", "dse"], "spaces": ["spaces"]}) == [
        "dse is also installed by dse", "spaces is also installed by spaces"]


def test_packages_from_two_places(monkeypatch):
    spec = namedtuple("spec", "origin")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec(f"/{'a' if name == 'dse' else 'b'}/{name}/x.py"))
    good, sentence = verdict("names")
    assert not good
    assert "dse from /a, spaces from /b" in sentence


def test_old_and_new_python(monkeypatch):
    for version, good, word in (((3, 10), False, "too old"), ((3, 12), True, "is tested"), ((3, 15), True, "newer")):
        monkeypatch.setattr(doctor.sys, "version_info", (*version, 0))
        assert (verdict("python")[0], word in verdict("python")[1]) == (good, True)


def test_missing_library(monkeypatch):
    monkeypatch.setattr(doctor, "_installed", lambda name: None if name == "moocore" else "99")
    good, sentence = verdict("packages")
    assert not good
    assert sentence.startswith("moocore is missing: ")


def test_cache_of_compiled_code(monkeypatch, tmp_path):
    assert verdict("numba_cache")[0]
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    assert verdict("numba_cache")[0]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert not verdict("numba_cache")[0]
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(doctor, "_writable", lambda folder: False)
    good, sentence = verdict("numba_cache")
    assert not good
    assert "set NUMBA_CACHE_DIR" in sentence
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert "unset it" in verdict("numba_cache")[1]


def files(monkeypatch, texts):
    monkeypatch.setattr(doctor, "_read", lambda path: texts.get(path, ""))


def test_machine_and_container(monkeypatch):
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    files(monkeypatch, {"/proc/meminfo": "MemTotal:       16777216 kB"})
    assert verdict("machine") == (True, "8 cores and 16.0 GiB of memory.")
    files(monkeypatch, {"/proc/meminfo": "MemTotal:       16777216 kB", "/sys/fs/cgroup/memory.max": str(2**30),
                        "/sys/fs/cgroup/cpu.max": "150000 100000"})
    good, sentence = verdict("machine")
    assert not good
    assert sentence.startswith("1.5 cores and 1.0 GiB of memory: too little")
    files(monkeypatch, {"/sys/fs/cgroup/cpu.max": "max 100000", "/sys/fs/cgroup/memory.max": "max"})
    assert verdict("machine")[0]


def test_shared_memory_and_disk(monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(64 * 2**20))
    assert not verdict("shm")[0]
    assert "--shm-size" in verdict("shm")[1]
    assert not verdict("disk")[0]
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(2**40))
    assert verdict("shm")[0]
    assert verdict("disk")[0]

    def missing(_):
        raise FileNotFoundError

    monkeypatch.setattr(doctor.shutil, "disk_usage", missing)
    assert verdict("shm")[0]


def test_ray_that_fails_or_hangs(monkeypatch):
    monkeypatch.setattr(doctor, "_RAY_PROGRAM", "raise SystemExit('no port left')")
    good, sentence = verdict("ray")
    assert not good
    assert "(no port left); `dse run --workers 1` works without it" in sentence

    def hang(*_, **__):
        raise subprocess.TimeoutExpired("ray", 1)

    monkeypatch.setattr(doctor.subprocess, "run", hang)
    assert "did not start within" in verdict("ray")[1]


def run(capsys, *args):
    with pytest.raises(SystemExit) as end:
        main(["doctor", *args])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_command(capsys, monkeypatch):
    code, out, err = run(capsys, "--no-ray", "--json")
    found = json.loads(out)
    assert err == ""
    assert [check["name"] for check in found["checks"]] == [name for name in CHECKS if name != "ray"]
    assert found["ok"] == all(check["ok"] for check in found["checks"]) == (code == 0)
    monkeypatch.setitem(CHECKS, "shm", lambda: doctor.Check("shm", False, "Full."))
    code, out, _ = run(capsys, "--no-ray")
    assert code == 1
    assert "FAIL  shm          Full." in out
    assert json.loads(run(capsys, "--no-ray", "--json")[1])["ok"] is False


def test_nothing_heavy_is_imported_for_the_checks():
    program = ("import sys; from dse.doctor import examine, CHECKS; examine([n for n in CHECKS if n != 'ray']); "
               "print([m for m in ('numpy', 'ray', 'optuna', 'numba', 'pandas') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_ray_starts_here():
    assert verdict("ray")[0]
