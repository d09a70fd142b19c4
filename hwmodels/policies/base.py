"""What a policy is: compiled functions over the tasks it may see, and a record that says what it is.

Six forms (a policy gives exactly one):

* `key(tasks, i, params) -> float`: a number per task, the lowest runs, ties by `order`. It may change while the task
  runs but not while it waits, so the kernel keeps the waiting tasks in a heap. With `run_ahead` the number of a running
  task never rises: then nothing can change between arrivals and completions, and the kernel skips those decisions.
  With `keeps(tasks, runner, first, now, params) -> int` the task that has just run goes on, although another one comes
  first, where that is not 0; it may write the memory of the runner.
  With `sends(tasks, seats, i, bytes_per_s, params, plan)` every task waits for an engine of its own choice: it writes
  `seats[i].to_engine`, and may write `cap_bytes_per_s` and the memory of the task, before its number is asked for: when
  the task comes, and at the end of each of its layers.
* `rank(tasks, queue, count, now, size, most, params, ranked)`: a number per task that also depends on the time and on
  how many tasks there are, `size`; the lowest runs, ties by `order`. It writes `ranked[p].value` for the tasks
  `queue[:count]`, some of all, and nothing else. So that long queues need not be looked at one by one, it can say what
  it knows of the number of a task as long as that waits: `RANKED`.
  It may have `keeps`, too.
* `select(tasks, queue, count, now, params, state) -> int`: position in `queue[:count]` of the task to run. `queue`
  holds indices into `tasks`, in queue order. `state` (shape (16,)) is the policy's own array, zeros at the start.
* `assign(tasks, seats, queue, count, running, n_running, left, need, chip, level_units, now, params, state, plan)`: who
  gets which units of which engine, how much bandwidth, and who is dropped. It writes the lower columns of `SEAT` for
  the waiting tasks `queue[:count]`; the kernel starts them in queue order on what is idle, and charges. `left[i, e, u]`
  is the estimated time until task i is done if it starts (or goes on) at engine e, level u, moves included, inf where
  it cannot; `need[i, e, u]` the bandwidth its next layer draws there [byte/s]; both hold for waiting tasks, and for
  running ones if the policy `foresees`.
  `chip` is a `CHIP` row per engine, `level_units[u]` the units of level u. Called when something is idle and somebody
  waits for it.
* `batch(tasks, lines, follows, groups, n_groups, order, picks, now, params, state, plan)`: who computes together on one
  undivided engine (`hwmodels.kernel_batch`). The waiting requests of network x are `lines[x].first`, then `follows[i]`
  of each, -1 at the end; the members of group g `groups[g].first` and so on. It writes the lower columns of `GROUP`,
  and `order[0]` (`ORDER`) with `picks[: order[0].start]`, waiting requests of one network that become a new group.
  Needs a parameter `max_batch`.
* `issue(tasks, heads, count, port, now, params, state, plan) -> int`: for one undivided engine that loads weights
  ahead (`hwmodels.kernel_prefetch`): position in `heads[:count]` of the layer to issue next, or -1 to evict the last
  issued one if `port[0].evictable`. `heads` are `HEAD` rows, one per tenant that has something to issue, in the order
  of admission; `port` is one `PORT` row. Called whenever something can be issued, so also for a single candidate.

They are compiled with the decorators of these names and may read a column of a task only if the policy's record
declares it in `needs`; an undeclared column is NaN. `memory_a, memory_b, memory_c` belong to the policy and are NaN
when a task is admitted. `plan` is what the policy's `prepare` made of the tables before the run.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any, NamedTuple, final

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from hwmodels.compiled import Pointer, drop_stale
from hwmodels.errors import InvalidPolicy
from hwmodels.stops import CHEAPER, CHECKPOINT, KILL, RECOMPUTE
from hwmodels.tables import CostTable, Machine

__all__ = [
    "ALWAYS_VISIBLE",
    "CHEAPER",
    "CHECKPOINT",
    "CHIP",
    "DECLARABLE",
    "DISCIPLINES",
    "GRAIN",
    "GROUP",
    "HEAD",
    "HIDDEN_TRUTH",
    "KILL",
    "LINE",
    "MACHINES",
    "ORDER",
    "PORT",
    "RANKED",
    "RECOMPUTE",
    "SEAT",
    "TASK",
    "Compiled",
    "Param",
    "Policy",
    "Stops",
    "Tenants",
    "assign",
    "at_grain",
    "batch",
    "inline",
    "issue",
    "keeps",
    "key",
    "rank",
    "select",
    "sends",
]

MACHINES = {
    "any": ("time_mux", "composable", "heterogeneous", "dedicated"),
    "pool": ("time_mux", "composable"),
    "single": ("time_mux",),
}
"""What a policy can run on -> the architecture classes that offer it. `single`: one undivided engine, `pool`: one
engine, divided or not."""

ALWAYS_VISIBLE = {
    "order": "position in the order of admission [-]",
    "layer": "layers executed so far; the next layer's index [-]",
    "tile": "tiles of that layer executed so far; above 0 where it was stopped inside the layer [-]",
    "tenant": "index of the tenant [-]",
    "ready_s": "when it was admitted: arrival, or finish of its parent [s]",
    "last_s": "when it last ran; `ready_s` at first [s]",
    "service_s": "time it has spent on engines [s]",
    "memory_a": "the policy's own",
    "memory_b": "the policy's own",
    "memory_c": "the policy's own",
}
"""Columns of a task that every policy may read."""

DECLARABLE = {
    "arrival_s": "arrival of the request (of the first of a cascade) [s]",
    "deadline_s": "absolute deadline, inf if none [s]",
    "priority": "larger is more important [-]",
    "isolated_s": "estimated latency alone on the machine [s]",
    "remaining_s": "estimated latency left if it ran alone from here [s]",
    "next_s": "estimated latency of the next layer [s]",
    "pattern_isolated_s": "`isolated_s` from the finer (network's own) estimate [s]",
    "pattern_remaining_s": "`remaining_s` from the finer estimate [s]",
    "pattern_next_s": "`next_s` from the finer estimate [s]",
    "density_ratio": "mean over the executed layers of measured / average density; 1 before the first [-]",
    "measured_density_ratio": "as `density_ratio`, over the layers whose average sparsity is above 0 only [-]",
    "true_isolated_s": "hidden truth, for oracles: isolated latency of this very sample [s]",
    "true_remaining_s": "hidden truth, for oracles: what is left of it [s]",
}
"""Columns that a policy sees only if its record declares them."""

DISCIPLINES = ("arrival", "deadline", "shortest", "shared")
"""Queues of whole requests that the analytic fidelity may take for a policy (`hwmodels.queueing`)."""

HIDDEN_TRUTH = frozenset(name for name in DECLARABLE if name.startswith("true_"))
"""What only an oracle can know."""

_INTEGERS = ("order", "layer", "tile", "tenant")

TASK = np.dtype([(name, "i8" if name in _INTEGERS else "f8") for name in (*ALWAYS_VISIBLE, *DECLARABLE)], align=True)
"""One waiting or running task, as policies see it."""

_RANKED = {
    "value": "the number",
    "least": "as long as the task waits, until `until`, and there are at most `most` tasks, the number is not below "
             "`least` - `fall` x (time from now on); `value` itself if that is less; inf at first. Not asked for where "
             "`most` = `size`",
    "fall": "per second, below 0 if it rises; where it is 0 the bound holds exactly, else within rounding; 0 at first",
    "until": "-inf at first: nothing is known [s]",
}

RANKED = np.dtype([(name, "f8") for name in _RANKED], align=True)
"""What `rank` says of a task."""

_SEATED = {
    "engine": "where it runs; waiting: where it last ran, -1 = nowhere yet [-]",
    "units": "units it holds; waiting: those it held if its layer has just ended, else 0 [-]",
    "need_bytes_per_s": "bandwidth of the running layer at full speed [byte/s]",
    "cap_bytes_per_s": "most it may draw; to be written for the layer that starts, inf at first [byte/s]",
    "to_engine": "to be written: engine to run on, -1 at first; `sends`: -1 = any [-]",
    "to_units": "to be written: most units to lend, 0 = wait; 0 at first [-]",
    "droppable": "1 if the service level of the request allows to drop it [-]",
    "drop": "to be written: 1 = drop the request, if it is droppable; 0 at first [-]",
}

SEAT = np.dtype([(name, "f8" if name.endswith("_s") else "i8") for name in _SEATED], align=True)
"""Where a task sits and where it is sent, for `assign` and `sends`."""

CHIP = np.dtype([("units", "i8"), ("idle", "i8"), ("bytes_per_s", "f8")], align=True)
"""An engine, for `assign`: its units, how many are idle, and the DRAM bandwidth of the whole chip."""

_HEAD = {
    "slot": "index into `tasks` [-]",
    "compute_s": "time of its next layer (or block) if the weights are on chip [s]",
    "load_s": "time of its bytes on the DRAM channel [s]",
    "bytes": "weights it holds in the buffer until it is computed [byte]",
    "begin_s": "when its load could begin: later than now if the buffer is full [s]",
    "ready_s": "when it could be computed: later than `unit_s` if the unit would wait for the load [s]",
}

HEAD = np.dtype([(name, "i8" if name == "slot" else "f8") for name in _HEAD], align=True)
"""What a tenant would issue next, for `issue`."""

_PORT = {
    "unit_s": "when the compute unit has done all that is issued [s]; the channel is free now",
    "buffer_bytes": "buffer for weights loaded ahead [byte]",
    "free_bytes": "what is free of it [byte]",
    "bytes_per_s": "DRAM bandwidth [byte/s]",
    "evictable": "1 if the last issued layer (or block) is loaded and not begun [-]",
    "last_slot": "its task [-]",
    "last_bytes": "its weights [byte]",
    "last_compute_s": "its `compute_s` [s]",
    "last_load_s": "its `load_s` [s]",
}

PORT = np.dtype([(name, "i8" if name in ("evictable", "last_slot") else "f8") for name in _PORT], align=True)
"""Channel, compute unit and buffer, for `issue`."""

_GROUPED = {
    "network": "index of its network [-]",
    "layer": "layers executed so far; the next layer's index [-]",
    "members": "requests in it [-]",
    "slots": "inferences it is computed as: its members and the places of those that have left [-]",
    "first": "its first member [-]",
    "park_s": "time to save its live data, if the engine holds them, and to restore them [s]",
    "into": "to be written: group of a lower number, network and layer alike, to merge into; -1 at first [-]",
    "compact": "to be written: 1 = give up the places of those that have left; 0 at first [-]",
}

GROUP = np.dtype([(name, "f8" if name.endswith("_s") else "i8") for name in _GROUPED], align=True)
"""A batch, for `batch`; in the order in which they were started."""

LINE = np.dtype([("first", "i8"), ("count", "i8")], align=True)
"""Waiting requests of a network, for `batch`: the first one, -1 = none, and how many."""

_ORDERED = {
    "run": "group to run, n_groups = the new one; -1 at first: nobody [-]",
    "layers": "most layers to run before asking again; without limit at first [-]",
    "start": "how many of `picks` become a new group; 0 at first [-]",
    "wait_until_s": "if nobody runs: when to ask again, unless a request arrives; inf at first [s]",
}

ORDER = np.dtype([(name, "f8" if name.endswith("_s") else "i8") for name in _ORDERED], align=True)
"""What `batch` decides, all columns to be written. If groups merge or are compacted, this counts for nothing and it is
asked again at once."""

_TASKS = types.Array(numba.from_dtype(TASK), 1, "C")
_FLOATS = types.Array(types.float64, 1, "C")
_INTS = types.Array(types.int64, 1, "C")
KEY_SIGNATURE = types.float64(_TASKS, types.int64, _FLOATS)
RANK_SIGNATURE = types.void(_TASKS, _INTS, types.int64, types.float64, types.int64, types.int64, _FLOATS,
                            types.Array(numba.from_dtype(RANKED), 1, "C"))
KEEPS_SIGNATURE = types.int64(_TASKS, types.int64, types.int64, types.float64, _FLOATS)
SELECT_SIGNATURE = types.int64(_TASKS, _INTS, types.int64, types.float64, _FLOATS, _FLOATS)
_PLACES = types.Array(types.float64, 3, "C")
ASSIGN_SIGNATURE = types.void(
    _TASKS, types.Array(numba.from_dtype(SEAT), 1, "C"), _INTS, types.int64, _INTS, types.int64, _PLACES, _PLACES,
    types.Array(numba.from_dtype(CHIP), 1, "C"), _INTS, types.float64, _FLOATS, _FLOATS,
    types.Array(types.float64, 2, "C"))
SENDS_SIGNATURE = types.void(
    _TASKS, types.Array(numba.from_dtype(SEAT), 1, "C"), types.int64, types.float64, _FLOATS,
    types.Array(types.float64, 2, "C"))
ISSUE_SIGNATURE = types.int64(
    _TASKS, types.Array(numba.from_dtype(HEAD), 1, "C"), types.int64, types.Array(numba.from_dtype(PORT), 1, "C"),
    types.float64, _FLOATS, _FLOATS, types.Array(types.float64, 2, "C"))


BATCH_SIGNATURE = types.void(
    _TASKS, types.Array(numba.from_dtype(LINE), 1, "C"), _INTS, types.Array(numba.from_dtype(GROUP), 1, "C"),
    types.int64, types.Array(numba.from_dtype(ORDER), 1, "C"), _INTS, types.float64, _FLOATS, _FLOATS,
    types.Array(types.float64, 2, "C"))


@numba.njit(cache=True)
def _beside() -> None:
    pass


drop_stale(_beside.stats.cache_path)


class Compiled:
    """A policy function that is compiled, or loaded from the cache on disk, when it is first used."""

    def __init__(self, function: Callable[..., Any], signature: Any) -> None:
        self.__wrapped__ = function
        self._signature = signature

    @cached_property
    def pointer(self) -> Pointer:
        """What the kernel calls."""
        return Pointer(numba.cfunc(self._signature, cache=True, error_model="numpy")(self.__wrapped__))


def key(function: Callable[..., float]) -> Compiled:
    """Mark a key function for compilation."""
    return Compiled(function, KEY_SIGNATURE)


def rank(function: Callable[..., None]) -> Compiled:
    """Mark a rank function for compilation."""
    return Compiled(function, RANK_SIGNATURE)


def keeps(function: Callable[..., int]) -> Compiled:
    """Mark a keeps function for compilation."""
    return Compiled(function, KEEPS_SIGNATURE)


def sends(function: Callable[..., None]) -> Compiled:
    """Mark a sends function for compilation."""
    return Compiled(function, SENDS_SIGNATURE)


def select(function: Callable[..., int]) -> Compiled:
    """Mark a select function for compilation."""
    return Compiled(function, SELECT_SIGNATURE)


def assign(function: Callable[..., None]) -> Compiled:
    """Mark an assign function for compilation."""
    return Compiled(function, ASSIGN_SIGNATURE)


def issue(function: Callable[..., int]) -> Compiled:
    """Mark an issue function for compilation."""
    return Compiled(function, ISSUE_SIGNATURE)


def batch(function: Callable[..., None]) -> Compiled:
    """Mark a batch function for compilation."""
    return Compiled(function, BATCH_SIGNATURE)


def inline(function: Callable[..., Any]) -> Any:
    """Compile a helper of policy functions."""
    return numba.njit(error_model="numpy", no_cfunc_wrapper=True)(function)


class Tenants(NamedTuple):
    """What an offline pass knows of the load: columns of shape (T,)."""

    network: NDArray[np.int64]
    requests: NDArray[np.int64]
    """How many there will be: the declared rates, up to a factor."""
    period_s: NDArray[np.float64]
    """Mean distance of two requests; inf where there is one or none."""
    deadline_s: NDArray[np.float64]
    """Least relative deadline; inf where there is none."""


class Stops(NamedTuple):
    """Where and how a running task may be stopped for another one; on one undivided engine (elsewhere: layer ends)."""

    tiles: bool
    """At the end of every tile; otherwise of every layer."""
    how: int = CHECKPOINT
    """One of the constants of `hwmodels.stops`."""
    quantum_s: float = 0.0
    """`select` or `rank` is asked again this long after it was last asked, and where others arrived or a task ended; 0:
    at every point [s]. At ends of layers alone (no tiles, points or `KILL`) that holds for `rank`."""
    points: tuple[NDArray[np.bool_], ...] | None = None
    """Per tenant, shape (tiles of its network,): may it be stopped before this tile? None = wherever `tiles` says."""


class Param(NamedTuple):
    """One number that tunes a policy: a dimension of a search. A choice is a whole number whose meaning says what each
    value stands for."""

    default: float
    low: float
    high: float
    meaning: str
    choice: bool = False

    @property
    def rule(self) -> str:
        """What a value must be."""
        return f"a {'whole ' if self.choice else ''}number in [{self.low:g}, {self.high:g}]"

    def accepts(self, value: object) -> bool:
        """Whether a value obeys the rule."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return not self.choice or value == int(value)


GRAIN = Param(0.0, 0.0, 1.0, "where a running task may be stopped: 0 = at the end of a layer, 1 = of a tile [-]", True)


def at_grain(table: CostTable, machine: Machine, tenants: Tenants, values: NDArray[np.float64]) -> Stops:
    """`stops` of a policy whose first parameter is `GRAIN`."""
    return Stops(tiles=bool(values[0] == 1.0))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A scheduling algorithm.

    Parameters
    ----------
    summary : one sentence.
    source : paper or text book.
    origin : `textbook`, `publication` (the published algorithm) or `reconstruction` (from abstracts and memory).
    params : name -> `Param`.
    needs : names out of `DECLARABLE`.
    prepare : for `sends`, `assign`, `issue` and `batch`: (cost table, machine, tenants, values of the parameters) ->
        `plan`, an offline pass; by default the plan is empty. The policy may write to it.
    keeps : for `key` and `rank`, or None.
    sends : for `key`, or None.
    foresees : for `assign`: whether it reads `left` and `need` of running tasks; else they are not kept up to date.
    stops : for `key`, `rank` and `select`: the same arguments -> `Stops`; None = layer ends, checkpoint, the fastest.
    blocks : for `issue`: name of the parameter that says in how many equal blocks every layer with weights is cut; by
        default they are cut only where one would take more than half the buffer.
    machines : one of `MACHINES`.
    discipline : one of `DISCIPLINES`, the nearest one: what the analytic fidelity takes the policy for.
    deviations : from the source; empty if none.
    """

    name: str
    summary: str
    source: str
    origin: str
    params: dict[str, Param] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    key: Compiled | None = None
    run_ahead: bool = False
    rank: Compiled | None = None
    keeps: Compiled | None = None
    sends: Compiled | None = None
    select: Compiled | None = None
    assign: Compiled | None = None
    foresees: bool = True
    issue: Compiled | None = None
    batch: Compiled | None = None
    prepare: Callable[[CostTable, Machine, Tenants, NDArray[np.float64]], NDArray[np.float64]] | None = None
    stops: Callable[[CostTable, Machine, Tenants, NDArray[np.float64]], Stops | None] | None = None
    blocks: str = ""
    machines: str = "any"
    discipline: str = "shortest"
    deviations: str = ""

    def __post_init__(self) -> None:
        forms = (self.key, self.rank, self.select, self.assign, self.issue, self.batch)
        if sum(form is not None for form in forms) != 1:
            raise InvalidPolicy(f"{self.name}.key, rank, select, assign, issue, batch", "exactly one given")
        if self.keeps is not None and ((self.rank is None and self.key is None) or self.run_ahead):
            raise InvalidPolicy(f"{self.name}.keeps", "absent without `key` or `rank`, and with `run_ahead`")
        if self.sends is not None and (self.key is None or self.stops is not None):
            raise InvalidPolicy(f"{self.name}.sends", "absent without `key`, and with `stops`")
        if self.issue is not None and self.machines != "single":
            raise InvalidPolicy(f"{self.name}.machines", "single: `issue` is for one undivided engine", self.machines)
        if self.blocks and (self.issue is None or self.blocks not in self.params):
            raise InvalidPolicy(f"{self.name}.blocks", "the name of a parameter of an `issue` policy", self.blocks)
        if self.batch is not None and (self.machines != "single" or "max_batch" not in self.params):
            raise InvalidPolicy(f"{self.name}.batch", "given with machines = 'single' and a parameter max_batch")
        if self.stops is not None and (self.assign or self.issue or self.batch):
            raise InvalidPolicy(f"{self.name}.stops", "absent: the form says itself who goes on")
        if self.machines not in MACHINES:
            raise InvalidPolicy(f"{self.name}.machines", f"one of {', '.join(MACHINES)}", self.machines)
        if self.discipline not in DISCIPLINES:
            raise InvalidPolicy(f"{self.name}.discipline", f"one of {', '.join(DISCIPLINES)}", self.discipline)
        for need in self.needs:
            if need not in DECLARABLE:
                raise InvalidPolicy(f"{self.name}.needs", f"one of {', '.join(DECLARABLE)}", need)

    @property
    def architectures(self) -> tuple[str, ...]:
        """Classes that it can run on."""
        return MACHINES[self.machines]

    @property
    def overlaps(self) -> bool:
        """Whether layers may take less time than alone, because others compute while their weights are loaded:
        bounds are weaker then (`hwmodels.demand_bounds`)."""
        return self.issue is not None

    def largest_batch(self, given: dict[str, float] | None = None) -> int:
        """Most requests it computes together with these parameters [-]."""
        if self.batch is None:
            return 1
        return int((given or {}).get("max_batch", self.params["max_batch"].default))

    def values(self, given: dict[str, float] | None = None) -> NDArray[np.float64]:
        """Values of the parameters in the order of `params`, shape (len(params),).

        Raises
        ------
        InvalidPolicy : an unknown parameter, or a value outside its range.
        """
        given = given or {}
        for name, value in given.items():
            if name not in self.params:
                near = get_close_matches(name, list(self.params), n=1)
                rule = f"one of {', '.join(self.params)}" if self.params else "absent: the policy has no parameters"
                raise InvalidPolicy(f"{self.name}.{name}", rule, value, f"did you mean {near[0]!r}?" if near else "")
            if not self.params[name].accepts(value):
                raise InvalidPolicy(f"{self.name}.{name}", self.params[name].rule, value)
        return np.array([given.get(name, param.default) for name, param in self.params.items()], dtype=np.float64)
