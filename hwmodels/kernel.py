"""Event simulation of a request stream on a machine under a policy.

Model
-----
A request becomes a task when it arrives, or when the request it follows finishes. A task runs its layers in order, one
at a time, each on one engine or on some units of a pool; at the end of a layer the policy decides who goes on.

* One decision per instant, after everything else that happens then: ends of layers (engine, then request), followers
  of finished requests, arrivals, drops. So a finish frees its engine before an arrival of the same instant is seen,
  and the decision sees both. Equal tasks run in the order of admission.
* The kernel charges, never the policy: live data of a preempted task are saved by the task that takes its place and
  restored when it resumes (bytes over the DRAM bandwidth); another set of units costs `reconfigure_s`; a decision
  delays the layer that it starts by `decision_s`. A decision is charged at the first layer of a task, and at later
  layers if another task could have been chosen: under a `run_ahead` policy that takes an arrival or a completion.
* Several engines: the best task (by policy) goes where it is expected to finish first, to an idle engine or, by
  waiting, to a busy one; then the next best. A busy engine is expected to be free when the task on it is done or, if
  the policy has a key without `keeps` and prefers the new task, at the end of its layer. Moving to another engine saves
  and restores.
* A policy with `sends` names the engine that each task waits for; those sent elsewhere do not count when a pool is
  shared. A task that is alone in the system, or that cannot run where it is sent, is free to go anywhere.
* A pool lends the best task at most an equal share of its idle units (`kernel_places.lendable`).
* A policy that assigns says itself who starts where, with how many units at most and under which cap of
  the bandwidth, and which requests with `drop_late` are dropped. It sees the first `kernel_assign.VIEW` tasks that may
  use an idle engine; where it asks for more than is idle a task gets what is idle, in queue order. If nothing runs and
  it starts nobody, the first task that can runs on its best place: the machine never stops for good.
* A policy that issues decides on loads instead: `hwmodels.kernel_prefetch`.
* A policy that batches computes requests of one network together: see `hwmodels.kernel_batch`.
* DRAM: running layers whose needs exceed the bandwidth are slowed, see `hwmodels.tables`.
* A request with `drop_late` that has not started at its deadline is dropped, with all that would follow it.
* On one undivided engine a policy may stop tasks inside layers, or kill them: `hwmodels.kernel_tile`.
* A network may have exits (`CostTable.exit_frac`). Which one a request takes is part of its sample, hidden truth: its
  task ends there. Policies see the probabilities only, as the mean time that is left; nothing else changes.

A request alone takes `isolated_s` under every policy: the same sums in the same order, as deep as its sample goes.

Limits
------
Preemption inside layers on one undivided engine only; a layer's traffic is uniform over its duration; placement looks
at expected times without contention.

References
----------
`total order`, `charges`: the event model of the project's scheduling specification, section 5.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.compiled import column
from hwmodels.errors import InvalidPolicy, InvalidWorkload
from hwmodels.kernel_batch import run_batches
from hwmodels.kernel_columns import Hardware, Lookups, hardware, lookups
from hwmodels.kernel_general import run_general
from hwmodels.kernel_line import line_of
from hwmodels.kernel_parts import (
    KEY,
    NEED_DENSITY,
    NEED_LEFT,
    NEED_PATTERN,
    NEED_TRUTH,
    RANK,
    SELECT,
    BatchCosts,
    Requests,
    Results,
    Visible,
    Watch,
    children_of,
    counters,
    results,
    scratch,
    unwatched,
)
from hwmodels.kernel_places import alone_s
from hwmodels.kernel_prefetch import blocks, first_issued, run_prefetch
from hwmodels.kernel_single import run_single
from hwmodels.kernel_tile import points_of, run_tile
from hwmodels.policies import policy as named_policy
from hwmodels.policies.base import (
    CHIP,
    GROUP,
    HEAD,
    KILL,
    LINE,
    ORDER,
    PORT,
    SEAT,
    TASK,
    Policy,
    Tenants,
    assign,
    keeps,
    key,
    rank,
    select,
    sends,
)
from hwmodels.tables import CostTable, Machine, TaskRecords
from hwmodels.workload import RequestTrace

__all__ = ["Scene", "isolated_s", "request_isolated_s", "run", "scene_of", "simulate", "tenants_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GROUPS = (
    (NEED_LEFT, ("isolated_s", "remaining_s", "next_s")),
    (NEED_PATTERN, ("pattern_isolated_s", "pattern_remaining_s", "pattern_next_s")),
    (NEED_TRUTH, ("true_isolated_s", "true_remaining_s")),
    (NEED_DENSITY, ("density_ratio", "measured_density_ratio")),
)


@key
def _no_key(tasks, i, params):  # type: ignore[no-untyped-def]
    return 0.0


@rank
def _no_rank(tasks, queue, count, now, size, most, params, ranked):  # type: ignore[no-untyped-def]
    pass


@keeps
def _no_keeps(tasks, runner, first, now, params):  # type: ignore[no-untyped-def]
    return 0


@sends
def _no_sends(tasks, seats, i, bytes_per_s, params, plan):  # type: ignore[no-untyped-def]
    pass


@select
def _no_select(tasks, queue, count, now, params, state):  # type: ignore[no-untyped-def]
    return 0


@assign
def _no_assign(tasks, seats, queue, count, running, n_running, left, need, chip, level_units, now, params, state, plan):  # type: ignore[no-untyped-def]
    pass


def _single(hw: Hardware) -> bool:
    return hw.offset.shape[2:] == (1, 1) and int(hw.units[0]) == 1


def isolated_s(table: CostTable, machine: Machine, network: Ints, *, tenant: Ints | None = None,
               sample: Ints | None = None, hw: Hardware | None = None) -> Floats:
    """Latency of one request alone on the machine, by the arithmetic of the simulation.

    Parameters
    ----------
    network, tenant, sample : columns of shape (k,); by default entry i belongs to tenant i, sample 0.
    hw : `hardware` of table and machine, where it is known.

    Returns
    -------
    shape (k,) [s]; inf where the network cannot run.
    """
    hw = hardware(table, machine) if hw is None else hw
    tenant = np.arange(len(network)) if tenant is None else tenant
    sample = np.zeros(len(network), dtype=np.int64) if sample is None else sample
    engine = machine.tenant_engine[tenant]
    known: dict[tuple[int, int, int], float] = {}
    for triple in zip(network.tolist(), sample.tolist(), engine.tolist(), strict=True):
        if triple not in known:
            known[triple] = float(alone_s(hw, *triple))
    return np.array([known[t] for t in zip(network.tolist(), sample.tolist(), engine.tolist(), strict=True)])


def request_isolated_s(table: CostTable, machine: Machine, trace: RequestTrace) -> Floats:
    """`isolated_s` of every request of a trace, with its own sample, shape (n,) [s]."""
    return isolated_s(table, machine, trace.network, tenant=trace.tenant, sample=trace.sample)


@njit(cache=True)
def _tenants(tenant, network, arrival_s, deadline_s, count):  # type: ignore[no-untyped-def]
    """The columns of `Tenants`."""
    first = np.zeros(count, dtype=np.int64)
    requests = np.zeros(count, dtype=np.int64)
    begin_s, end_s, period_s, least_s = np.full((4, count), np.inf)
    for r in range(len(tenant)):
        t = tenant[r]
        if requests[t] == 0:
            first[t], begin_s[t], end_s[t] = network[r], arrival_s[r], arrival_s[r]
        requests[t] += 1
        begin_s[t] = arrival_s[r] if arrival_s[r] < begin_s[t] else begin_s[t]
        end_s[t] = arrival_s[r] if arrival_s[r] > end_s[t] else end_s[t]
        if deadline_s[r] - arrival_s[r] < least_s[t]:
            least_s[t] = deadline_s[r] - arrival_s[r]
    for t in range(count):
        if requests[t] > 1:
            period_s[t] = (end_s[t] - begin_s[t]) / (requests[t] - 1)
    return first, requests, period_s, least_s


def tenants_of(trace: RequestTrace, machine: Machine) -> Tenants:
    """What is known of every tenant before the run; its network is that of its first request."""
    return Tenants(*_tenants(column(trace.tenant, np.int64), column(trace.network, np.int64), column(trace.arrival_s),
                             column(trace.deadline_s), len(machine.tenant_engine)))


class Scene(NamedTuple):
    """Table, machine and requests as the loops read them: the same for every policy."""

    hw: Hardware
    requests: Requests
    lookups: Lookups
    whole: RequestTrace
    """What policies may know the tenants from, also where only its first requests are served."""

    def first(self, count: int) -> "Scene":
        """With the first `count` requests only; policies know as much of the tenants as before."""
        return self._replace(requests=Requests._make(values[:count] for values in self.requests))


def scene_of(table: CostTable, machine: Machine, trace: RequestTrace, hw: Hardware | None = None) -> Scene:
    """What `run` makes of its arguments; parameters and errors are its own. `hw` as in `isolated_s`."""
    return _scene(hardware(table, machine) if hw is None else hw, table, machine, trace)


def _scene(hw: Hardware, table: CostTable, machine: Machine, trace: RequestTrace) -> Scene:
    arrival_s, tenant = column(trace.arrival_s), column(trace.tenant, np.int64)
    network, sample = column(trace.network, np.int64), column(trace.sample, np.int64)
    if np.any(arrival_s[1:] < arrival_s[:-1]):
        raise InvalidWorkload("trace.arrival_s", "non-decreasing")
    engine = column(machine.tenant_engine, np.int64)[tenant]
    columns, look, layers = lookups(table, machine, network, sample, engine)
    return Scene(hw, Requests(
        arrival_s=arrival_s,
        deadline_s=column(trace.deadline_s),
        priority=column(trace.priority),
        tenant=tenant,
        network=network,
        sample=sample,
        parent=column(trace.parent, np.int64),
        drop_late=column(trace.drop_late, np.bool_),
        layers=layers,
        engine=engine,
        look=look,
    ), columns, trace)


def _prefetch(hw: Hardware, table: CostTable, machine: Machine, trace: RequestTrace, policy: Policy, values: Floats,
              given: tuple[Requests, Lookups, Visible], plan: Floats, record: bool) -> Results:
    """Run the loop that loads weights ahead."""
    cut = blocks(table, machine, int(values[list(policy.params).index(policy.blocks)]) if policy.blocks else 1)
    sums = np.concatenate([[0], np.cumsum(cut.parts)])
    first = table.offset[trace.network, trace.sample, 0, 0]
    total = int((sums[first + table.n_layers[trace.network]] - sums[first]).sum())
    count = len(trace.arrival_s)
    out = results(count, 1, total if record else 0)
    assert policy.issue is not None
    run_prefetch(hw, cut, float(machine.prefetch_bytes), *given, policy.issue.pointer, values, plan, record,
                 np.empty(count, dtype=TASK), np.zeros(len(machine.tenant_engine), dtype=HEAD),
                 np.zeros(1, dtype=PORT), first_issued(), out)
    return out


def _batch_costs(table: CostTable, most: int) -> BatchCosts:
    given = (table.batch_latency_s, table.batch_dram_bytes, table.batch_energy_j, table.batch_live_bytes)
    costs = [values for values in given if values is not None]
    if costs and (len(costs) < len(given) or min(len(values) for values in costs) < most):
        raise InvalidPolicy("max_batch", f"at most {min(map(len, costs))}, the batches that the table has", most)
    if not costs:
        return BatchCosts(*(np.empty((0, 0)) for _ in given))
    return BatchCosts(*(column(values) for values in costs))


def simulate(table: CostTable, machine: Machine, trace: RequestTrace, policy: str,
             params: dict[str, float] | None = None, *, record: bool = False) -> TaskRecords:
    """Serve all requests of a trace.

    Parameters
    ----------
    policy : name in `hwmodels.policies.POLICIES`.
    params : parameter -> value; missing ones take their defaults.
    record : keep one span per executed layer.

    Raises
    ------
    InvalidPolicy : unknown policy or parameter, value out of range, or a machine that the policy cannot run.
    InvalidWorkload : a request whose network cannot run on any engine it may use, or arrivals out of order.
    """
    return run(table, machine, trace, named_policy(policy), params, record=record)


def _form(policy: Policy) -> int:
    """One of `kernel_parts`."""
    return KEY if policy.key is not None else RANK if policy.rank is not None else SELECT


def _functions(policy: Policy, run_ahead: bool, quantum_s: float) -> tuple[Any, ...]:
    """What the loops take of a policy that says who comes first."""
    return ((policy.key or _no_key).pointer, (policy.rank or _no_rank).pointer, (policy.keeps or _no_keeps).pointer,
            (policy.select or _no_select).pointer, _form(policy), run_ahead, policy.keeps is not None, quantum_s)


@cache
def _visible(needs: tuple[str, ...]) -> Visible:
    """What a policy that declares these columns is shown."""
    return Visible(groups=sum(bit for bit, names in _GROUPS if set(names) & set(needs)), arrival="arrival_s" in needs,
                   deadline="deadline_s" in needs, priority="priority" in needs)


def run(table: CostTable, machine: Machine, trace: RequestTrace, policy: Policy,
        params: dict[str, float] | None = None, *, record: bool = False, rewind: bool = False,
        general: bool = False, scene: Scene | None = None, watch: Watch | None = None) -> TaskRecords:
    """As `simulate`, for a policy record that need not be registered.

    Parameters
    ----------
    rewind : the clock of the Dysta artefact (`hwmodels.policies.dysta_artifact`); one undivided engine only.
    general : take the general loop where the fast one would do (for tests).
    scene : `scene_of` the first three arguments, where several policies serve the same requests.
    watch : when to stop before all requests are served; policies that batch or prefetch serve all.
    """
    values = policy.values(params)
    hw = hardware(table, machine) if scene is None else scene.hw
    single = _single(hw)
    if not single and (policy.machines == "single" or rewind):
        raise InvalidPolicy("policy", "able to run on this machine", policy.name, "it needs one undivided engine")
    if policy.issue is not None and rewind:
        raise InvalidPolicy("policy", "one of the Dysta artefact", policy.name)
    if policy.machines == "pool" and len(machine.units) > 1:
        raise InvalidPolicy("policy", "able to run on this machine", policy.name, "it needs one engine")
    _, requests, columns, whole = scene or _scene(hw, table, machine, trace)
    count = len(requests.arrival_s)
    visible = _visible(policy.needs)
    layers = int(requests.layers.sum()) if record else 0
    out = results(count, len(machine.units), layers)
    # after an exit that is not taken more is left than was expected: numbers made of it may rise
    run_ahead = policy.run_ahead and not (table.exit_frac is not None and visible.groups)
    watch = watch or unwatched()
    tasks = np.empty(count, dtype=TASK)
    fast = single and not general and policy.assign is None and policy.sends is None
    anywhere = requests.engine.max(initial=-1) < 0 and policy.sends is None
    kinds = 1 if fast or anywhere else len(machine.units) + 1
    waiting = line_of(_form(policy), count, kinds)
    children = children_of(requests.parent)
    known = tenants_of(whole, machine) if policy.stops or policy.prepare else None
    stops = policy.stops(table, machine, known, values) if policy.stops and known and count else None
    inside = stops and (stops.how == KILL or stops.points is not None or (stops.tiles and table.tiles is not None))
    functions = _functions(policy, run_ahead, float(stops.quantum_s) if stops else 0.0)
    plan = np.empty((0, 0))
    if policy.prepare is not None and known is not None and count:
        plan = column(policy.prepare(table, machine, known, values))
    if policy.issue is not None:
        out = _prefetch(hw, table, machine, trace, policy, values, (requests, columns, visible), plan, record)
    elif policy.batch is not None:
        most, networks = policy.largest_batch(params), len(table.n_layers)
        run_batches(hw, _batch_costs(table, most), requests, columns, visible, policy.batch.pointer, most, values, plan,
                    record, tasks, np.zeros(networks, dtype=LINE), np.zeros(most + networks + 1, dtype=GROUP),
                    np.zeros(1, dtype=ORDER), out)
    elif stops and inside and single and not rewind:
        spans = run_tile(hw, points_of(table, trace, stops), requests, columns, visible, *functions, values, stops.how,
                         record, watch, counters(watch), tasks, waiting, out)
        out = out._replace(spans=spans)
    elif fast:
        run_single(hw, requests, columns, visible, *functions, values, rewind, record, watch, counters(watch), tasks,
                   waiting, *children, np.zeros(16), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64),
                   scratch(count, 8, 2), out)
    elif count:
        engines, levels = len(machine.units), len(machine.level_units)
        shown, seated = count if policy.assign else 0, count if policy.assign or policy.sends else 0
        run_general(hw, requests, columns, visible, *functions, values, (policy.assign or _no_assign).pointer,
                    policy.assign is not None, policy.foresees, (policy.sends or _no_sends).pointer,
                    policy.sends is not None, plan, record, watch, counters(watch), tasks, waiting,
                    np.zeros(seated, dtype=SEAT), np.zeros(engines, dtype=CHIP), *children, np.zeros(16),
                    scratch(count, 18, 2), scratch(int(machine.units.sum()), 8, 8),
                    scratch(engines + 1, 8, 3), np.empty((shown, engines, levels)), np.empty((shown, engines, levels)),
                    np.empty((shown if policy.foresees else 0, engines, levels)), out)
    events = int(out.totals[3])
    return TaskRecords(
        ready_s=out.ready_s,
        start_s=out.start_s,
        finish_s=out.finish_s,
        service_s=out.service_s,
        energy_j=out.energy_j,
        preemptions=out.preemptions,
        engine_busy_s=out.busy_s,
        dram_bytes=float(out.totals[0]),
        overhead_s=float(out.totals[1]),
        decisions=int(out.totals[2]),
        events=events,
        spans=out.spans[:events],
        reloaded_bytes=float(out.totals[4]),
        stopped_s=float(out.totals[5]),
    )
