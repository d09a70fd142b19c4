"""Where the files of a run come from: study, versions, machine, and the design of a trial."""

import hashlib
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from dse.objective import Result
from dse.study import Study

__all__ = ["describer_of", "digest_of", "finite", "manifest_of", "study_text", "version_of"]


def digest_of(value: object) -> str:
    """Sixteen hex digits that stand for a value with a `repr` of its own."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def study_text(study: Study) -> str:
    """YAML of a study that needs no other file."""
    from dse.dump import self_contained

    return self_contained(study)


def describer_of(study: Study) -> Callable[[Result], str]:
    """Design YAML of a trial, with where it came from."""
    from dse.dump import dump_design

    tool = f"npu-codesign {version_of('npu-codesign')}"

    def text(result: Result) -> str:
        provenance = {"study": study.name, "trial": result.number, "tool": tool,
                      "budgets": dict(study.budgets), "params": result.params, "metrics": result.metrics}
        if result.scenarios:
            provenance["scenarios"] = result.scenarios
        return dump_design(study.design(result.params), seed=study.seed, provenance=provenance)

    return text


def version_of(package: str) -> str:
    """Of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def manifest_of(study: Study, sampler: str, reason: str, command: str) -> dict[str, Any]:
    """Where a run comes from, for its manifest.json."""
    packages = ("npu-codesign", "numpy", "numba", "optuna", "moocore", "ray")
    return {
        "study": study.name, "command": command, "seed": study.seed, "fidelity": study.fidelity, "sampler": sampler,
        "sampler_reason": reason, "trials": study.trials, "space_size": finite(study.space.size()),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": sys.version.split()[0], "platform": platform.platform(), "cores": os.cpu_count(),
        "versions": {package: version_of(package) for package in packages},
        **({"technology": {own.key: {"value": own.value, "low": own.low, "high": own.high, "source": own.source}
                           for own in study.technology}} if study.technology else {}),
    }


def finite(value: float) -> float | None:
    """JSON knows no infinity."""
    return value if math.isfinite(value) else None
