"""Makes the compiled loops ready before the first evaluation: compiled once, then loaded from numba's cache on disk.

On a fresh installation the loops are compiled in processes of their own, as many at a time as there are cores; every
later process loads them in a second or two. No time limit of an evaluation counts their compilation.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from hwmodels import kernel_general, kernel_single, mapping_kernel
from hwmodels.architectures import TimeMux
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.evaluate import prepare
from hwmodels.kernel import isolated_s, run
from hwmodels.network import Layer, Network
from hwmodels.policies import policy as named_policy
from hwmodels.policies.base import Policy
from hwmodels.tables import DRAM_MAX_MIN, CostTable, Machine, Tiles
from hwmodels.workload import RequestTrace, Tenant, Traffic, Workload

__all__ = ["load_loops", "make_loops"]

_ENTRIES = (kernel_single.run_single, kernel_general.run_general, mapping_kernel.search_all)
"""The slowest to compile, one per part."""


def _costs(policies: Sequence[str]) -> None:
    """Cost one layer."""
    engine = Engine(rows=4, cols=4, dataflow="ws", sram_bytes=1 << 14, dram_bytes_per_s=1e9, freq_hz=1e9)
    network = Network(name="one", layers=(Layer(name="fc", op="gemm", k=8, c=8),))
    tenant = Tenant(name="one", network=network, traffic=Traffic(rate_hz=1.0))
    prepare(Design(architecture=TimeMux(engine=engine), policy="fcfs"),
            Workload(name="one", duration_s=1.0, tenants=(tenant,)))


def _settings(policy: Policy) -> Iterator[dict[str, float]]:
    """Parameters that lead into every loop of the policy: whether it stops inside layers is a parameter's choice."""
    yield {}
    if policy.stops is not None:
        yield {name: param.high for name, param in policy.params.items()}


def _serve(policies: Sequence[str], engines: int, units: int) -> None:
    """Serve one request under each policy that can run on such a machine."""
    zero, one, first = np.zeros(1), np.ones(1), np.zeros(1, dtype=np.int64)
    trace = RequestTrace(arrival_s=zero, deadline_s=one, priority=one, tenant=first, network=first, sample=first,
                         parent=first - 1, drop_late=np.zeros(1, dtype=np.bool_))
    rows = np.ones(engines)
    table = CostTable(
        n_layers=first + 1, offset=np.arange(engines).reshape(1, 1, engines, 1), latency_s=rows, dram_bytes=rows,
        energy_j=rows, live_bytes=rows, sparsity_frac=rows * 0.0, estimate_s=rows,
        tiles=Tiles(np.full(engines, 2), np.full(engines, 1), rows * 0.0, rows * 0.0))
    machine = Machine(units=np.full(engines, units), level_units=first + 1, tenant_engine=first - 1,
                      dram_bytes_per_s=1.0, dram_mode=DRAM_MAX_MIN, reconfigure_s=0.0, decision_s=0.0)
    offered = "single" if engines == units == 1 else "pool" if engines == 1 else "any"
    isolated_s(table, machine, trace.network)
    for name in policies:
        policy = named_policy(name)
        if offered in {"any": ("single", "pool", "any"), "pool": ("single", "pool")}.get(policy.machines, ("single",)):
            for params in _settings(policy):
                run(table, machine, trace, policy, params)


def _places(policy: Policy) -> bool:
    """Whether it says on which engine a task runs."""
    return policy.assign is not None or policy.sends is not None


def _forms(policies: Sequence[str]) -> list[str]:
    """One policy for every set of loops that these run in."""
    found: dict[tuple[bool, ...], str] = {}
    for name in policies:
        policy = named_policy(name)
        form = _places(policy), policy.issue is None, policy.batch is None, policy.stops is None
        found.setdefault(form, name)
    return list(found.values())


def _undivided(policies: Sequence[str]) -> None:
    """Those that say who runs where take the general loop on one engine too: `_shared` has it."""
    _serve([name for name in _forms(policies) if not _places(named_policy(name))], 1, 1)


def _shared(policies: Sequence[str]) -> None:
    _serve(_forms(policies), 1, 2)
    _serve(_forms(policies), 2, 1)


def _functions(policies: Sequence[str]) -> None:
    """The functions of the policies themselves."""
    for name in policies:
        policy = named_policy(name)
        for function in (policy.key, policy.rank, policy.keeps, policy.sends, policy.select, policy.assign,
                         policy.issue, policy.batch):
            if function is not None:
                function.pointer  # noqa: B018


_PARTS: dict[str, Callable[[Sequence[str]], None]] = {
    "undivided": _undivided, "shared": _shared, "costs": _costs, "functions": _functions}
"""The longest first; no loop is in two of them."""


def load_loops(policies: Sequence[str]) -> None:
    """Load all that an evaluation with one of these policies needs compiled, or compile it: a minute or two."""
    _costs(policies)
    for engines, units in ((1, 1), (1, 2), (2, 1)):
        _serve(policies, engines, units)


def _missing() -> bool:
    """Whether a loop is not in the cache on disk."""
    for loop in _ENTRIES:
        source = Path(loop.py_func.__code__.co_filename)
        kept = Path(loop.stats.cache_path).glob(f"{source.stem}.{loop.py_func.__name__}-*.nbi")
        if not any(kept):
            return True
    return False


def make_loops(policies: Sequence[str], note: Callable[[str], None] | None = None) -> None:
    """As `load_loops`; where the cache is empty the parts are compiled at once, in other processes.

    Parameters
    ----------
    note : told once if that takes long.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores > 1 and _missing():
        if note is not None:
            note("compiling the event loops and the cost model for the first run: a minute or two")
        with ExitStack() as stack:
            running: list[subprocess.Popen[bytes]] = []
            for part in _PARTS:
                while sum(process.poll() is None for process in running) >= cores:
                    time.sleep(0.05)
                process = subprocess.Popen([sys.executable, "-m", "hwmodels.loops", part, *policies],
                                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                stack.callback(process.wait)
                stack.callback(process.terminate)  # no more than a request if it has ended; before the wait
                running.append(process)
            for process in running:
                process.wait()
    load_loops(policies)  # whatever a process could not do is done here


if __name__ == "__main__":
    _PARTS[sys.argv[1]](sys.argv[2:])
