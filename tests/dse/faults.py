"""Faults on purpose: drivers, workers, nodes and storage that die, and what must hold afterwards.

Every fault is injected into a run of the toy study, which is then continued until it ends. `Row` says what was found:
no told trial lost, none twice, and the files of the run byte for byte those of an undisturbed run.
"""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import run_toys
from run_toys import Toy, toy_outcome, toy_study

from dse.driver import run_study
from dse.errors import InputError
from dse.runs import JOURNAL

HERE = Path(__file__).parent


class Row(NamedTuple):
    """One fault: trials in the journal when it struck, how many of them changed or vanished, lines that came twice,
    and whether trials and front are those of an undisturbed run."""

    fault: str
    told: int
    lost: int
    twice: int
    same: bool


def journal_of(out: Path) -> list[dict]:
    """Results on disk, in the order written, without a torn last line."""
    path = out / JOURNAL
    lines = path.read_bytes().split(b"\n")[1:-1] if path.exists() else []
    return [result for line in lines for result in json.loads(line)["results"]]


def tables(out: Path) -> tuple[bytes, bytes]:
    return (out / "trials.csv").read_bytes(), (out / "front.csv").read_bytes()


def compare(fault: str, before: list[dict], out: Path, reference: Path) -> Row:
    after = journal_of(out)
    by_number = {result["number"]: result for result in after}
    lost = sum(by_number.get(result["number"]) != result for result in before)
    return Row(fault, len(before), lost, len(after) - len(by_number), tables(out) == tables(reference))


def undisturbed(out: Path, **changes) -> Path:
    run_study(toy_study(**changes), out, workers=1, evaluate=toy_outcome)
    return out


# --- drivers ----------------------------------------------------------------------------------------------------------

DRIVER = """
import resource, sys
sys.path.insert(0, {here!r})
from run_toys import Toy, toy_study
from dse.driver import run_study
from dse.errors import InputError
if {most}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, resource.RLIM_INFINITY))
try:
    run_study(toy_study(), {out!r}, workers=1, evaluate=Toy(sleep_s=0.01), resume=True, storage={storage!r})
except InputError as error:
    sys.exit(str(error))
"""


def start_driver(out: Path, most_bytes: int = 0, storage: str | None = None) -> subprocess.Popen:
    code = DRIVER.format(here=str(HERE), out=str(out), most=most_bytes, storage=storage)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def kill_driver(out: Path, rng: random.Random, number: int = signal.SIGKILL) -> list[dict]:
    """Kill a driver that (re)starts on `out` at a random moment; what it had told by then."""
    goal = len(journal_of(out)) + rng.randrange(0, 12)
    process = start_driver(out)
    end = time.monotonic() + 120
    while process.poll() is None and len(journal_of(out)) < goal and time.monotonic() < end:
        time.sleep(0.003)
    time.sleep(rng.random() * 0.03)
    process.send_signal(number)
    process.communicate()
    return journal_of(out)


def driver_faults(folder: Path, reference: Path, kills: int, rng: random.Random) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < kills:
        out = folder / f"driver{len(rows)}"
        told = [kill_driver(out, rng) for _ in range(min(4, kills - len(rows)))]
        run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)
        rows += [compare("driver: SIGKILL", before, out, reference) for before in told]
    return rows


def disk_faults(folder: Path, reference: Path, faults: int, rng: random.Random) -> list[Row]:
    """The driver may write only so many bytes into one file: its journal ends with a clear error."""
    rows = []
    for i in range(faults):
        out = folder / f"disk{i}"
        process = start_driver(out, most_bytes=rng.randrange(3000, 15000))
        _, said = process.communicate()
        assert process.returncode == 1, said
        assert "must be writable: File too large" in said, said
        assert "--resume" in said
        before = journal_of(out)
        run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)
        rows.append(compare("storage: disk full", before, out, reference))
    return rows


# --- workers ----------------------------------------------------------------------------------------------------------


def segfault() -> None:
    import ctypes

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


WORKER_FAULTS = {
    "worker: SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "worker: segmentation fault": segfault,
    "worker: out of memory (exit 137)": lambda: os._exit(137),
    "worker: hang past eval_timeout_s": lambda: time.sleep(1000),
}


class Struck:
    """The toy, but the `at`-th evaluation that starts anywhere is struck by a fault, once."""

    def __init__(self, folder: Path, fault: str, at: int) -> None:
        self.folder, self.fault, self.at = str(folder), fault, at

    def __call__(self, params):
        folder = Path(self.folder)
        name = "_".join(f"{key}{value}" for key, value in sorted(params.items()))
        (folder / f"started_{name}").touch()
        if len(list(folder.glob("started_*"))) >= self.at:
            try:
                (folder / "struck").touch(exist_ok=False)
            except FileExistsError:
                return toy_outcome(params)
            WORKER_FAULTS[self.fault]()
        return toy_outcome(params)


def worker_faults(folder: Path, reference: Path, faults: int, rng: random.Random) -> list[Row]:
    """Needs a running Ray that pickles this module and `run_toys` by value."""
    rows = []
    for i in range(faults):
        fault = list(WORKER_FAULTS)[i % len(WORKER_FAULTS)]
        mark = folder / f"marks{i}"
        mark.mkdir()
        out = folder / f"worker{i}"
        run_study(toy_study(eval_timeout_s=0.5), out, workers=2, evaluate=Struck(mark, fault, rng.randrange(2, 50)))
        assert (mark / "struck").exists()
        rows.append(compare(fault, journal_of(out), out, reference))
    return rows


# --- nodes ------------------------------------------------------------------------------------------------------------


def node_faults(folder: Path, reference: Path, faults: int, rng: random.Random) -> list[Row]:
    """A cluster of nodes of different sizes, on this machine; one is killed while it works, another one joins later.

    Connects this process to a cluster of its own: Ray must not be running in it.
    """
    import ray
    from ray.cluster_utils import Cluster

    memory = 100 * 1024**2
    cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args={
        "num_cpus": 1, "object_store_memory": memory,
        "_system_config": {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000,
                           "health_check_failure_threshold": 5}}), ray.shutdown)
    rows = []
    try:
        patiently(lambda: ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR"), ray.shutdown)
        by_value(ray)
        for i in range(faults):
            cpus = rng.choice((1, 2))
            node = patiently(lambda cpus=cpus: cluster.add_node(num_cpus=cpus, object_store_memory=memory),
                             lambda: None)
            patiently(cluster.wait_for_nodes, lambda: None)
            out = folder / f"node{i}"
            told: list[list[dict]] = []
            goal = rng.randrange(4, 30)

            def strike(out=out, node=node, told=told, goal=goal) -> None:
                end = time.monotonic() + 120
                while len(journal_of(out)) < goal and time.monotonic() < end:
                    time.sleep(0.01)
                told.append(journal_of(out))
                cluster.remove_node(node, allow_graceful=False)

            thread = threading.Thread(target=strike)
            thread.start()
            workers = int(ray.cluster_resources()["CPU"])
            run_study(toy_study(), out, workers=workers, evaluate=Toy(sleep_s=0.05))
            thread.join()
            rows.append(compare("node: killed, another joins", told[0], out, reference))
    finally:
        ray.shutdown()
        cluster.shutdown()
    return rows


# --- storage connections ----------------------------------------------------------------------------------------------


def storage_faults(folder: Path, reference: Path, faults: int, rng: random.Random, server) -> list[Row]:
    """Two drivers share a study on a PostgreSQL server (see postgres.py), whose connections are cut, or which is
    stopped at once and started again a moment later, three times in a study."""
    rows: list[Row] = []
    while len(rows) < faults:
        name = f"faults{len(rows)}"
        outs = [folder / f"{name}a", folder / f"{name}b"]
        url = server.create(name)
        drivers = [threading.Thread(target=run_study, args=(toy_study(), out), kwargs={
            "workers": 1, "evaluate": Toy(sleep_s=0.03), "storage": url}) for out in outs]
        for driver in drivers:
            driver.start()
        struck: list[tuple[str, list[list[dict]]]] = []
        for at in sorted(rng.sample(range(2, 50), min(3, faults - len(rows)))):
            while len(journal_of(outs[0])) < at:
                time.sleep(0.003)
            fault = rng.choice(("storage: connections cut", "storage: server stopped and started"))
            if fault.endswith("cut"):
                server.cut_connections()
            else:
                server.stop()
                time.sleep(rng.random())
                server.start()
            struck.append((fault, [journal_of(out) for out in outs]))
        for driver in drivers:
            driver.join()
        kept = server.ask("SELECT number FROM trials", name)
        for fault, before in struck:
            found = [compare(fault, told, out, reference) for told, out in zip(before, outs, strict=True)]
            rows.append(Row(fault, sum(row.told for row in found), sum(row.lost for row in found),
                            sum(row.twice for row in found) + len(kept) - len(set(kept)),
                            all(row.same for row in found) and sorted(kept) == [(i,) for i in range(60)]))
    return rows


def by_value(ray) -> None:
    """Workers need not find the modules of the tests."""
    for module in (run_toys, sys.modules[__name__]):
        ray.cloudpickle.register_pickle_by_value(module)


def start_ray():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, at start-up
        import ray

        patiently(lambda: ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
                                   logging_level="ERROR", object_store_memory=128 * 1024**2), ray.shutdown)
    by_value(ray)
    return ray


class RayDown(RuntimeError):
    """Ray does not come up: the machine is too loaded."""


def patiently(start, clean, tries: int = 6):
    """Ray gives its processes 15 to 30 s to come up, which a loaded machine may not manage: raises `RayDown` then."""
    for left in reversed(range(tries)):
        try:
            return start()
        except Exception as error:
            clean()
            if not left:
                raise RayDown(f"Ray does not start, tried {tries} times: {type(error).__name__}: {error}") from error
    return None


def second_driver_is_refused(out: Path) -> str:
    """The error of a second driver on a run that is going on; '' when it was let in."""
    process = start_driver(out)
    end = time.monotonic() + 60
    while process.poll() is None and len(journal_of(out)) < 2 and time.monotonic() < end:
        time.sleep(0.005)
    try:
        run_study(toy_study(), out, workers=1, evaluate=toy_outcome, resume=True)
        return ""
    except InputError as error:
        return str(error)
    finally:
        process.communicate()
