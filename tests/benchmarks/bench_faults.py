"""A hundred faults at random moments: what of a run survives them.

    python tests/benchmarks/bench_faults.py [--kills 100] [--seed 0]

Nearly half of them kill the driver, the rest strike workers, nodes, the disk and the connection to a shared storage
(see tests/dse/faults.py; that one needs PostgreSQL on this machine, without it drivers are killed instead). Prints a
table and exits 1 if a told trial was lost, a trial came twice, or a run did not end with the trials and the front of an
undisturbed one, or if Ray did not start for some of the faults (a loaded machine).
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "dse"))
import faults
import postgres


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, kills = random.Random(args.seed), args.kills
    shares = {"node": kills // 10, "disk": kills // 10, "worker": kills // 5, "storage": 3 * kills // 20}
    if why := postgres.missing():
        sys.stderr.write(f"storage: no connections are cut: {why}\n")
        shares["storage"] = 0
    shares["driver"] = kills - sum(shares.values())
    rows: list[faults.Row] = []
    missing: list[str] = []
    sys.stdout.write(f"{'fault':34} times told before  lost twice same trials and front\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference = faults.undisturbed(folder / "reference")
        for kind, inject in (("driver", faults.driver_faults), ("disk", faults.disk_faults),
                             ("storage", _storage_faults), ("worker", faults.worker_faults),
                             ("node", faults.node_faults)):
            start = time.perf_counter()
            found = _twice(kind, inject, folder, reference, shares[kind], rng)
            if found is None:
                missing.append(kind)
                continue
            rows += found
            for fault in dict.fromkeys(row.fault for row in found):
                mine = [row for row in found if row.fault == fault]
                sys.stdout.write(f"{fault:34} {len(mine):5} {sum(r.told for r in mine):11,} "
                                 f"{sum(r.lost for r in mine):5} {sum(r.twice for r in mine):5} "
                                 f"{sum(r.same for r in mine):12} of {len(mine):5}\n")
            sys.stdout.flush()
            sys.stderr.write(f"{kind}: {shares[kind]} faults in {time.perf_counter() - start:.0f} s\n")
    sys.exit(bool(missing) or any(row.lost or row.twice or not row.same for row in rows))


def _twice(kind: str, inject: Callable[..., list[faults.Row]], folder: Path, reference: Path, count: int,
           rng: random.Random) -> list[faults.Row] | None:
    """The rows of a kind of faults, once more from the start if Ray fails; None if it fails again."""
    for attempt in (1, 2):
        place, ray = folder / f"{kind}{attempt}", None
        place.mkdir()
        try:
            ray = faults.start_ray() if kind == "worker" else None
            return inject(place, reference, count, rng)
        except faults.RayDown as error:
            sys.stderr.write(f"{kind}: {str(error).splitlines()[0]}{'; once more' if attempt == 1 else '; left out'}\n")
        finally:
            if ray:
                ray.shutdown()
    return None


def _storage_faults(folder: Path, reference: Path, count: int, rng: random.Random) -> list[faults.Row]:
    if not count:
        return []
    with postgres.temporary_server() as server:
        return faults.storage_faults(folder, reference, count, rng, server)


if __name__ == "__main__":
    main()
