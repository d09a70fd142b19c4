"""How fast the gap of an anytime front falls, on continuous variants of three studies.

    python tests/benchmarks/bench_anytime.py [small_edge] [ar_headset] [datacentre] [CPU seconds]

One process; times are CPU time of it, compilation left out.
"""

import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from dse.anytime import anytime_front
from dse.documents import load_study
from dse.progress import Snapshot
from dse.study import Study
from hwmodels.loops import load_loops
from spaces.domains import Choice, Real, as_domain
from spaces.space import Space

STUDIES = Path(__file__).parents[2] / "studies"
KEPT = ("freq_hz", "dram_bytes_per_s", "share_exponent")


def fine(domain: Any, name: str) -> Any:
    """All numbers between the ends of a list of sizes: whole ones in steps of a 64th of the span."""
    values = domain.values if isinstance(domain, Choice) else ()
    if len(values) < 2 or not domain.ordered or name == "engines" or "." in name:
        return domain
    if name in KEPT:
        return Real(values[0], values[-1], log=True)
    return as_domain({"low": values[0], "high": values[-1], "step": max(1, (values[-1] - values[0]) // 64)})


def continuous(name: str) -> Study:
    study = load_study(STUDIES / f"front_{name}.yaml")
    space = study.space
    # the clauses that keep the listed space small speak of lists
    forbidden = [clause for clause in space.forbidden if set(clause) == {"architecture", "policy"}]
    return replace(study, space=Space({n: fine(d, n) for n, d in space.domains.items()}, space.conditions, forbidden))


class Recorder:
    """Prints what is known now and then."""

    def __init__(self, seconds: float) -> None:
        self.every_s, self.seconds = 1.0, seconds
        self.began, self.due = time.process_time(), 15.0

    def start(self, title: str) -> None:
        print(title)

    def update(self, s: Snapshot) -> None:
        used = time.process_time() - self.began
        if used >= self.due or used > self.seconds:
            self.due = used + 15.0 if used < 60.0 else used + 60.0
            frac = s.gap / s.hypervolume if s.hypervolume else math.inf
            print(f"{used:6.0f} s  decided {s.done:3d} %  front {s.front:4d}  hypervolume {s.hypervolume:.5f}  "
                  f"gap {s.gap:.5f} ({frac:.1%})", flush=True)
        if used > self.seconds:
            raise KeyboardInterrupt

    def stop(self) -> None:
        pass


def main() -> None:
    names = [arg for arg in sys.argv[1:] if not arg.isdigit()] or ["small_edge", "ar_headset", "datacentre"]
    seconds = next((float(arg) for arg in sys.argv[1:] if arg.isdigit()), 300.0)
    for name in names:
        study = continuous(name)
        policy = study.space.domains["policy"]
        load_loops([str(policy.value(code)) for code in range(int(policy.n))])
        with tempfile.TemporaryDirectory() as folder:
            run = anytime_front(study, Path(folder) / "run", workers=1, progress=Recorder(seconds))
        print(f"{name}: {len(run.results)} designs simulated, {run.boxes:,} boxes, hypervolume {run.hypervolume:.5f}, "
              f"gap {run.gap:.5f} ({run.gap_frac:.1%}), epsilon {run.epsilon:.1%}, decided {run.decided_frac:.1%}")


if __name__ == "__main__":
    main()
