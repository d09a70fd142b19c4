"""Whether this installation can work: each check ends in one sentence that says what to do when it fails."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

__all__ = ["CHECKS", "Check", "examine", "foreign_owners", "outside_bounds"]

DISTRIBUTION = "npu-codesign"
PACKAGES = ("dse", "spaces", "hwmodels")
OLDEST_PYTHON, NEWEST_TESTED_PYTHON = (3, 11), (3, 13)
MIN_MEMORY_BYTES = 2 * 2**30
"""A worker holds the compiled models and its caches, 0.3 to 0.5 GB; two of them and the driver."""
MIN_SHM_BYTES = 128 * 2**20
"""What the driver asks for Ray's object store."""
_RAY_TIMEOUT_S = 120.0


class Check(NamedTuple):
    """One finding."""

    name: str
    ok: bool
    sentence: str


def examine(names: Iterable[str] | None = None) -> list[Check]:
    """All checks, or those named, in the order of `CHECKS`."""
    return [CHECKS[name]() for name in CHECKS if names is None or name in set(names)]


# --- Python and packages ----------------------------------------------------------------------------------------------


def _python() -> Check:
    version = sys.version_info[:2]
    text = f"Python {version[0]}.{version[1]}"
    if version < OLDEST_PYTHON:
        return Check("python", False, f"{text} is too old: make the environment with Python 3.11 or newer.")
    tested = version <= NEWEST_TESTED_PYTHON
    return Check("python", True, f"{text} is tested." if tested else f"{text} is newer than the tested 3.11 to 3.13.")


def _release(version: str) -> tuple[int, ...]:
    """Leading numbers of a version, without zeros at the end."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in match[1].split(".")] if match else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def outside_bounds(requirements: Iterable[str], versions: Callable[[str], str | None]) -> list[str]:
    """A sentence for every requirement (`name>=1.2,<3`) that is missing or outside its bounds.

    Parameters
    ----------
    requirements : as in the metadata of a distribution; those of extras are left out.
    versions : name -> installed version, None when it is missing.
    """
    found = []
    for requirement in requirements:
        if "extra ==" in requirement or "extra==" in requirement:
            continue
        name = re.match(r"[\w.-]+", requirement)
        if name is None:
            continue
        version = versions(name[0])
        if version is None:
            found.append(f"{name[0]} is missing")
            continue
        for sign, bound in re.findall(r"(>=|<=|==|!=|<|>)\s*([\w.]+)", requirement.split(";")[0]):
            have, want = _release(version), _release(bound)
            good = {">=": have >= want, "<=": have <= want, "==": have == want, "!=": have != want, "<": have < want,
                    ">": have > want}[sign]
            if not good:
                found.append(f"{name[0]} {version} is not {sign} {bound}")
    return found


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> Check:
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return Check("packages", False, f"{DISTRIBUTION} is not installed: run pip install -e . in its folder.")
    wrong = outside_bounds(requirements, _installed)
    if wrong:
        return Check("packages", False, f"{'; '.join(wrong)}: run pip install -e . -c .ci/constraints.txt again.")
    count = sum("extra ==" not in requirement for requirement in requirements)
    return Check("packages", True, f"All {count} libraries are within their tested bounds.")


def foreign_owners(owners: Mapping[str, Iterable[str]]) -> list[str]:
    """A sentence for each of our packages that another distribution has installed, too."""
    found = []
    for package in PACKAGES:
        others = sorted({owner for owner in owners.get(package, ())
                         if re.sub(r"[-_.]+", "-", owner).lower() != DISTRIBUTION})
        if others:
            found.append(f"{package} is also installed by {', '.join(others)}")
    return found


def _names() -> Check:
    wrong = foreign_owners(metadata.packages_distributions())
    if not wrong:
        from importlib.util import find_spec

        roots = {}
        for package in PACKAGES:
            spec = find_spec(package)
            if spec is None or spec.origin is None:
                wrong.append(f"{package} cannot be found")
            else:
                roots[package] = str(Path(spec.origin).resolve().parent.parent)
        if len(set(roots.values())) > 1:
            wrong.append(f"the packages come from {len(set(roots.values()))} places: "
                         + ", ".join(f"{package} from {root}" for package, root in roots.items()))
    if wrong:
        return Check("names", False, f"{'; '.join(wrong)}: use an environment of its own for this tool.")
    return Check("names", True, f"{', '.join(PACKAGES)} are ours alone.")


# --- compiled code, workers -------------------------------------------------------------------------------------------


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _cache() -> Check:
    from importlib.util import find_spec

    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return Check("numba_cache", False, "NUMBA_DISABLE_JIT is set: nothing is compiled and everything is a hundred "
                     "times slower; unset it.")
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        good = _writable(Path(chosen))
        return Check("numba_cache", good, f"Compiled code is kept in {chosen} (NUMBA_CACHE_DIR)." if good else
                     f"NUMBA_CACHE_DIR = {chosen} cannot be written to: every start would compile for a minute.")
    spec = find_spec("hwmodels")
    beside = Path(spec.origin or ".").resolve().parent / "__pycache__" if spec is not None else Path("__pycache__")
    if _writable(beside):
        return Check("numba_cache", True, "Compiled code is kept beside the sources.")
    at_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"
    if _writable(at_home):
        return Check("numba_cache", True, f"Compiled code is kept in {at_home}.")
    return Check("numba_cache", False, f"Neither {beside} nor {at_home} can be written to: set NUMBA_CACHE_DIR to a "
                 "folder that can, or every start compiles for a minute.")


_RAY_PROGRAM = """
import os
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
import ray
ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=128 * 1024**2, log_to_driver=False,
         logging_level="ERROR")
assert ray.get(ray.remote(lambda: 41).remote()) == 41
ray.shutdown()
"""


def _ray() -> Check:
    # in a process of its own: a start that hangs or dies must not take the doctor with it
    otherwise = "`dse run --workers 1` works without it"
    try:
        done = subprocess.run([sys.executable, "-c", _RAY_PROGRAM], capture_output=True, text=True, errors="replace",
                              timeout=_RAY_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return Check("ray", False, f"Ray did not start within {_RAY_TIMEOUT_S:.0f} s; {otherwise}.")
    except OSError as error:
        return Check("ray", False, f"Ray could not be tried ({error}); {otherwise}.")
    if done.returncode == 0:
        return Check("ray", True, "Ray starts and runs a task.")
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return Check("ray", False, f"Ray does not start ({(lines or ['no message'])[-1][:200]}); {otherwise}.")


# --- the machine ------------------------------------------------------------------------------------------------------


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _memory_bytes() -> int | None:
    """Memory that this process may use: the machine's or the container's, whichever is less; None when unknown."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    limits = [int(match[1]) * 1024] if match else []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(path)
        if text.isdigit():
            limits.append(int(text))
    return min(limits) if limits else None


def _cores() -> float:
    """Cores that this process may use, with the quota of a container."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit() and int(quota[1]):
        cores = min(cores, int(quota[0]) / int(quota[1]))
    return cores


def _machine() -> Check:
    cores, memory = _cores(), _memory_bytes()
    shown = f"{cores:g} core{'s' if cores != 1 else ''}"
    if memory is None:
        return Check("machine", True, f"{shown}; the size of the memory is not known here.")
    text = f"{shown} and {memory / 2**30:.1f} GiB of memory"
    if memory < MIN_MEMORY_BYTES:
        return Check("machine", False, f"{text}: too little, use --workers 1 or a machine with 2 GiB or more.")
    return Check("machine", True, f"{text}.")


def _shm() -> Check:
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Check("shm", True, "There is no /dev/shm here: Ray keeps its objects in the temporary folder.")
    text = f"{free / 2**20:,.0f} MiB free in /dev/shm"
    if free < MIN_SHM_BYTES:
        return Check("shm", False, f"{text}: Ray wants {MIN_SHM_BYTES // 2**20} MiB; start the container with "
                     "--shm-size=1g, or use --workers 1.")
    return Check("shm", True, f"{text}.")


def _disk() -> Check:
    folder = Path(tempfile.gettempdir())
    if not _writable(folder):
        return Check("disk", False, f"{folder} cannot be written to: set TMPDIR to a folder that can.")
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free in {folder}"
    return Check("disk", free >= 2**29, f"{text}." if free >= 2**29 else f"{text}: Ray and the reports want 0.5 GiB.")


CHECKS: dict[str, Callable[[], Check]] = {
    "python": _python, "packages": _packages, "names": _names, "numba_cache": _cache, "machine": _machine,
    "shm": _shm, "disk": _disk, "ray": _ray,
}
