"""Lower bounds of what `hwmodels.evaluate` returns for a design, whatever its policy.

    Chip + workload --chip_demand----> Demand      what requests cost at least, from bounds of the layers
    PreparedChip ----prepared_demand-> Demand      the same from the exact cost tables of the hardware
    Demand + Load + SchedulerBlock --metric_bounds--> metric -> (D,)

Model
-----
A *place* is an engine or a set of units of a pool; a layer runs on one place at a time.

latency      of a request >= sum over layers of the least time at any place + one decision; a follower adds its
             ancestors'
work         w_p >= 0 is the weight of place p such that all engines together have weight 1 (units of a pool: their
             share). In a window of length z the chip does weighted work <= z, and a request costs
             >= sum over layers of min_p w_p t_p. Two choices of weights: equal engines, and engines by speed. The
             DRAM channel is a third resource: bytes / bandwidth.
             a batch shares all of its work and energy, at best
overlap      where weights are loaded while other layers compute (`Policy.overlaps`, one undivided engine), a layer
             occupies the compute unit for its time with the weights on chip, and the DRAM channel for its bytes, each
             after the request arrives and before it ends: the resources are these two, the latency is at least the
             larger of the sums, and decisions may be hidden. Deadlines count a request alone, which does not overlap
late         requests that cannot meet deadlines arrival + theta D, for any policy: preemptive earliest-deadline-first
             on one resource finds a window whose demand exceeds its length at its first miss; one request of that
             window is late. What arrives after the window starts anew, so windows are disjoint and their misses add.
p99 / D      of the worst tenant > theta if more requests are late at theta than the percentiles of all tenants leave
             free, n - 1 - floor(0.99 (n - 1)) each; or if the demand of some window exceeds its length even without
             the free ones (a lasting overload); or if, where one is free, it must take longer than the interpolated
             percentile lets it
energy       dynamic energy of the requests that must finish + leakage x duration; per inference: the least ratio over
             all numbers of finished requests
area         exact

Bounds hold for every policy, because none can do a layer in less than its time at full bandwidth (with its weights on
chip, if it overlaps), hold more than the engines there are, or serve a request before it arrives.
Some hold for feasible designs only: `least_finished`.

References
----------
C. L. Liu, J. W. Layland, JACM 20(1), 1973, doi:10.1145/321738.321743; S. Baruah et al., Real-Time Systems 2, 1990,
doi:10.1007/BF01995675 (demand of a window against its length).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.area import SchedulerBlock
from hwmodels.bounds import EngineColumns, engine_columns, layer_bounds, layer_rows
from hwmodels.cost import layer_costs
from hwmodels.design import Chip
from hwmodels.engine import Engine
from hwmodels.evaluate import PreparedChip
from hwmodels.kernel_parts import heap_pop, heap_push
from hwmodels.network import Network
from hwmodels.traffic import generate, relative_deadline_s
from hwmodels.workload import Workload

__all__ = ["CloserDemand", "Demand", "Load", "Served", "chip_demand", "is_separate", "least_finished", "metric_bounds",
           "offered_load", "prepared_demand", "rows_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ROUNDING = 1e-9
"""Relative: sums here and in the simulation are rounded differently."""
_STARTS = 3
"""Windows that are tried for overload start at the first request, and a third and two thirds through."""
_STEPS = 6
_LITTLE = 0.05
"""Share of the energy of a network below which its bounds are as good as exact."""


class Load(NamedTuple):
    """The requests of a workload under a seed: the same for every design."""

    arrival_s: Floats
    """(R,)"""
    tenant: Ints
    """(R,)"""
    parent: Ints
    """(T,) tenant that each one follows, -1 = none."""
    requests: Ints
    """(T,) how many."""
    deadline_s: Floats
    """(T,) relative; inf = none, NaN = a multiple of the isolated latency."""
    deadline_x: Floats
    """(T,) that multiple, NaN where none."""
    may_drop: Bools
    """(T,) some request may never finish."""
    percentile: Floats
    """(T,) of the service level [%]."""
    duration_s: float


class Demand(NamedTuple):
    """What one request of every tenant costs at least, shape (D, T), without decisions."""

    latency_s: Floats
    work_s: Floats
    """(D, T, 3) of the resources: equal engines, engines by speed, DRAM; 0 where a resource is not looked at."""
    energy_j: Floats
    """Dynamic."""
    overlapped_s: Floats
    """(D, T, 2) on the compute unit and on the DRAM channel if other layers compute while weights are loaded."""
    isolated_s: Floats
    """Isolated latency as deadlines count it, exact (without the decision); NaN where unknown."""
    alone: Bools
    """(D,) one engine does all, undivided: its work is the latency."""
    separate: Bools
    """(D,) every tenant has its own engine and its own share of the DRAM channel."""


class Served(NamedTuple):
    """Requests that are known to finish, with what they cost."""

    requests: Ints
    """(T,) how many."""
    energy_j: Floats
    """(T,) dynamic, of all of them."""


def rows_of(demand: Demand, rows: Ints) -> Demand:
    """Some rows of a demand, possibly repeated."""
    return Demand(*(column[rows] for column in demand))  # type: ignore[arg-type]


def offered_load(workload: Workload, seed: int) -> Load:
    """The requests that `hwmodels.evaluate.evaluate` serves for this seed."""
    tenants = workload.tenants
    index = {tenant.name: i for i, tenant in enumerate(tenants)}
    trace = generate(workload, seed, np.ones(len(tenants)))
    parent = np.array([-1 if t.after is None else index[t.after] for t in tenants], dtype=np.int64)
    drops = np.array([t.service.drop_late for t in tenants])
    for _ in tenants:
        drops |= (parent >= 0) & drops[parent]
    multiple = [t.service.deadline_x_isolated for t in tenants]
    return Load(
        arrival_s=trace.arrival_s, tenant=trace.tenant, parent=parent,
        requests=np.bincount(trace.tenant, minlength=len(tenants)).astype(np.int64),
        deadline_s=relative_deadline_s(workload, np.full(len(tenants), np.nan)),
        deadline_x=np.array([np.nan if x is None else x for x in multiple]), may_drop=drops,
        percentile=np.array([t.service.percentile for t in tenants]), duration_s=workload.duration_s)


# --- what requests cost -----------------------------------------------------------------------------------------------


class _Places(NamedTuple):
    """Places of D designs, flat: those of design d are first[d] .. first[d + 1] - 1."""

    first: Ints
    column: Ints
    """Column of the cost matrices."""
    slot: Ints
    """Position of its engine among all engines of all designs (`engines`)."""
    share: Floats
    """Units of the place / units of its engine."""
    engines: Ints
    """(D,) engines of each design."""


@njit(cache=True)
def _least(times, latency, energy, moved, compute, first, column, weight, out_latency, out_energy, out_moved,  # type: ignore[no-untyped-def]
           out_compute, out_work):
    """Sums over layers of the least over the places; `weight` (P, 2)."""
    for d in range(len(first) - 1):
        s = e = b = a = w0 = w1 = 0.0
        for layer in range(len(times)):
            ls = le = lb = la = l0 = l1 = np.inf
            for p in range(first[d], first[d + 1]):
                c = column[p]
                t = latency[layer, c]
                if t < ls:
                    ls = t
                if energy[layer, c] < le:
                    le = energy[layer, c]
                if moved[layer, c] < lb:
                    lb = moved[layer, c]
                if compute[layer, c] < la:
                    la = compute[layer, c]
                if weight[p, 0] * t < l0:
                    l0 = weight[p, 0] * t
                if weight[p, 1] * t < l1:
                    l1 = weight[p, 1] * t
            s += times[layer] * ls
            e += times[layer] * le
            b += times[layer] * lb
            a += times[layer] * la
            w0 += times[layer] * l0
            w1 += times[layer] * l1
        out_latency[d], out_energy[d], out_moved[d], out_compute[d] = s, e, b, a
        out_work[d, 0], out_work[d, 1] = w0, w1


class _Matrices(NamedTuple):
    """Costs of the layers of a network on every column of places, (L, columns)."""

    times: Floats
    """(L,) how often each occurs [-]."""
    latency: Floats
    energy: Floats
    moved: Floats
    """DRAM bytes."""
    compute: Floats
    """Time with the weights on chip."""


def _weights(places: _Places, seconds: Floats) -> Floats:
    """(P, 2): equal engines, and engines by speed; the weights of the engines of a design sum to 1.

    Parameters
    ----------
    seconds : time that a place needs for all the requests, shape (P,); inf where it cannot run them.
    """
    total = int(places.engines.sum())
    fastest = np.full(total, np.inf)
    np.minimum.at(fastest, places.slot, seconds)
    speed = np.where(np.isfinite(fastest) & (fastest > 0.0), 1.0 / np.where(fastest > 0.0, fastest, 1.0), 0.0)
    design = np.repeat(np.arange(len(places.engines)), places.engines)
    together = np.bincount(design, weights=speed, minlength=len(places.engines))
    equal = 1.0 / places.engines[design]
    by_speed = np.where(together[design] > 0.0, speed / np.where(together > 0.0, together, 1.0)[design], equal)
    return np.stack([equal[places.slot], by_speed[places.slot]], axis=1) * places.share[:, None]


def _demand(matrices: Sequence[_Matrices], network: Sequence[int],
            places: Callable[[int], _Places], load: Load, bandwidth: Floats, alone: Bools, separate: bool) -> Demand:
    """Demand of D designs.

    Parameters
    ----------
    network : of every tenant.
    places : of a tenant.
    bandwidth : of the chips, (D,).
    """
    count, tenants = len(bandwidth), len(network)
    found = Demand(latency_s=np.zeros((count, tenants)), work_s=np.zeros((count, tenants, 3)),
                   energy_j=np.zeros((count, tenants)), overlapped_s=np.zeros((count, tenants, 2)),
                   isolated_s=np.full((count, tenants), np.nan), alone=alone, separate=np.full(count, separate))
    weights: dict[int, Floats] = {}
    for t, n in enumerate(network):
        where = places(t)
        if id(where) not in weights:
            seconds = sum((load.requests[i] * (matrices[m].times @ matrices[m].latency)[where.column]
                           for i, m in enumerate(network) if places(i) is where and load.requests[i]),
                          np.zeros(len(where.column)))
            weights[id(where)] = _weights(where, seconds)
        total = np.empty(count), np.empty(count), np.empty(count), np.empty(count), np.empty((count, 2))
        _least(*matrices[n], where.first, where.column, weights[id(where)], *total)
        found.latency_s[:, t], found.energy_j[:, t] = total[0], total[1]
        found.work_s[:, t, :2] = total[4]
        found.work_s[:, t, 2] = total[2] / bandwidth * (1.0 - _ROUNDING) ** 2  # the kernel tolerates as much
        found.overlapped_s[:, t, 0], found.overlapped_s[:, t, 1] = total[3], found.work_s[:, t, 2]
    if separate:
        found.work_s[:, :, 0], found.work_s[:, :, 1:] = found.latency_s, 0.0
    else:
        found.work_s[alone, :, 1:] = 0.0  # no more than the first resource says
    return found


def _chip_places(chips: Sequence[Chip], tenant: str, known: dict[Engine, int]) -> _Places:
    """Places of a tenant; an engine not met before joins `known`."""
    first, column, slot, engines = [0], [], [], []  # type: list[int], list[int], list[int], list[int]
    share: list[float] = []
    for chip in chips:
        before = sum(engines)
        engines.append(len(chip.slots))
        for e, one in enumerate(chip.slots):
            if one.tenants and tenant not in one.tenants:
                continue
            for units, forms in one.levels:
                for engine in forms:
                    column.append(known.setdefault(engine, len(known)))
                    slot.append(before + e)
                    share.append(units / one.units)
        first.append(len(column))
    return _Places(np.array(first), np.array(column), np.array(slot), np.array(share), np.array(engines))


def is_separate(chip: Chip) -> bool:
    """Every engine has its own tenants and its own share of the DRAM channel."""
    return all(slot.tenants for slot in chip.slots)


def chip_demand(chips: Sequence[Chip], workload: Workload, load: Load, *,
                exact: Collection[Network] = ()) -> Demand:
    """From the bounds of the layers (`hwmodels.bounds`); all chips separate, or none.

    Parameters
    ----------
    exact : networks whose layers are costed instead, by mapping search.
    """
    separate = is_separate(chips[0])
    known: dict[Engine, int] = {}
    names = [tenant.name for tenant in workload.tenants]
    if separate:
        each = [_chip_places(chips, name, known) for name in names]
    else:
        each = [_chip_places(chips, names[0], known)] * len(names)
    engines = list(known)
    columns = engine_columns(engines)

    def matrices(network: Network) -> _Matrices:
        used = np.unique(np.concatenate([where.column for tenant, where in zip(workload.tenants, each, strict=True)
                                         if tenant.network == network]))
        # a request takes its earliest exit at best, and no metric may count on the mean of the exits
        if network in exact:
            least = min((*network.exits, len(network) - 1)) + 1
            times, some = np.ones(least), _costed(network, [engines[c] for c in used.tolist()])[:, :least]
        else:
            found = layer_bounds(network, EngineColumns(*(column[used] for column in columns)), quantile=True)
            times = found.times
            some = np.stack([found.latency_s, found.energy_j, found.dram_bytes, found.compute_s])
        whole = np.full((4, len(times), len(engines)), np.inf)
        whole[:, :, used] = some
        return _Matrices(times, *whole)

    networks = workload.networks
    alone = np.array([_alone(chip) for chip in chips])
    return _demand([matrices(network) for network in networks], [networks.index(t.network) for t in workload.tenants],
                   each.__getitem__, load, np.array([chip.dram_bytes_per_s for chip in chips]), alone, separate)


@final
class CloserDemand:
    """The demand on one chip: bounds of the layers, replaced by exact costs one network and engine at a time.

    An engine that does not bound a network lowest need not be costed: its bound stays.
    """

    def __init__(self, chip: Chip, workload: Workload, load: Load) -> None:
        self._load, self._alone, self._separate = load, _alone(chip), is_separate(chip)
        self._bandwidth = chip.dram_bytes_per_s
        known: dict[Engine, int] = {}
        names = [tenant.name for tenant in workload.tenants]
        if self._separate:
            self._places = [_chip_places([chip], name, known) for name in names]
        else:
            self._places = [_chip_places([chip], names[0], known)] * len(names)
        self.engines, self.networks = list(known), workload.networks
        self._of_tenant = [self.networks.index(tenant.network) for tenant in workload.tenants]
        columns = engine_columns(self.engines)
        self._matrices, self._exact = [], []
        for n, network in enumerate(self.networks):
            used = np.unique(np.concatenate([where.column for where, mine in zip(
                self._places, self._of_tenant, strict=True) if mine == n]))
            found = layer_bounds(network, EngineColumns(*(column[used] for column in columns)), quantile=True)
            rows, whole = layer_rows(network), np.full((4, len(layer_rows(network)), len(self.engines)), np.inf)
            for values, bounds in zip(whole, (found.latency_s, found.energy_j, found.dram_bytes, found.compute_s),
                                      strict=True):
                values[:, used] = bounds[rows]
            self._matrices.append(_Matrices(np.ones(len(rows)), *whole))
            self._exact.append(np.zeros(len(self.engines), dtype=bool))

    def demand(self) -> Demand:
        """What is known, D = 1."""
        return _demand(self._matrices, self._of_tenant, self._places.__getitem__, self._load,
                       np.array([self._bandwidth]), np.array([self._alone]), self._separate)

    def energy_j(self, n: int) -> float:
        """Least dynamic energy of one request of network n."""
        return float(self._matrices[n].energy.min(axis=1).sum())

    def uncertain(self, n: int) -> int | None:
        """The engine whose bounds make up most of the least energy of network n; None where they make up little."""
        energy = self._matrices[n].energy
        share = np.bincount(energy.argmin(axis=1), weights=energy.min(axis=1), minlength=len(self.engines))
        share[self._exact[n]] = 0.0
        engine = int(share.argmax())
        return engine if share[engine] > _LITTLE * energy.min(axis=1).sum() else None

    def cost(self, n: int, engine: int) -> None:
        """Cost the layers of network n on an engine by mapping search."""
        matrices = self._matrices[n]
        found = _costed(self.networks[n], [self.engines[engine]])[:, :len(matrices.times), 0]
        for values, exact in zip(matrices[1:], found, strict=True):
            values[:, engine] = exact
        self._exact[n][engine] = True


def _costed(network: Network, engines: Sequence[Engine]) -> Floats:
    """Latency, energy, moved bytes and time with the weights on chip of every layer on every engine, (4, L, E); inf
    where the network cannot run."""
    found = np.full((4, len(network), len(engines)), np.inf)
    for e, engine in enumerate(engines):
        costs = layer_costs(network, engine)
        if not costs.unsupported:
            moved = costs.dram_read_bytes + costs.dram_write_bytes
            found[:, :, e] = costs.latency_s, costs.energy_j, moved, costs.prefetched_s
    return found


def _alone(chip: Chip) -> bool:
    return len(chip.slots) == 1 and chip.slots[0].units == 1


def prepared_demand(prepared: PreparedChip, workload: Workload, load: Load, isolated_s: Floats) -> Demand:
    """From the exact cost tables, D = 1.

    Parameters
    ----------
    isolated_s : of every tenant, decision excluded, (T,).
    """
    table, chip = prepared.table, prepared.chip
    networks, slots = workload.networks, chip.slots
    levels = max((slot.levels for slot in slots), key=len)
    separate = is_separate(chip)
    places = [(e, u) for e in range(len(slots)) for u in range(len(slots[e].levels))]

    ready = table.latency_s if table.prefetched_s is None else table.prefetched_s

    def matrices(n: int) -> _Matrices:
        size = int(table.n_layers[n])
        found = np.full((4, size, len(places)), np.inf)
        for c, (e, u) in enumerate(places):
            first = int(table.offset[n, 0, e, u])
            if first >= 0:
                rows = slice(first, first + size)
                found[:, :, c] = table.latency_s[rows], table.energy_j[rows], table.dram_bytes[rows], ready[rows]
        least = size if table.depth is None else int(table.depth[n].min())  # the earliest exit at best
        return _Matrices(np.ones(least), *found[:, :least])

    def of(name: str) -> _Places:
        mine = [c for c, (e, _) in enumerate(places) if not slots[e].tenants or name in slots[e].tenants]
        return _Places(np.array([0, len(mine)]), np.array(mine), np.array([places[c][0] for c in mine]),
                       np.array([levels[places[c][1]][0] / slots[places[c][0]].units for c in mine]),
                       np.array([len(slots)]))

    names = [tenant.name for tenant in workload.tenants]
    each = [of(name) for name in names] if separate else [of(names[0])] * len(names)
    found = _demand([matrices(n) for n in range(len(networks))], [networks.index(t.network) for t in workload.tenants],
                    each.__getitem__, load, np.array([chip.dram_bytes_per_s]), np.array([_alone(chip)]), separate)
    return found._replace(isolated_s=isolated_s[None, :].copy())


# --- late requests ----------------------------------------------------------------------------------------------------


@njit(cache=True)
def _late(arrival, tenant, order, ahead, work, allowed, use, left, keys, orders, heap):  # type: ignore[no-untyped-def]
    """Requests of the tenants in `use` that must be late; see the module's docstring. The last four are scratch."""
    n = len(order)
    late, size, at, now = 0, 0, 0, -np.inf
    while True:
        if size == 0:
            while at < n and not use[tenant[order[at]]]:
                at += 1
            if at == n:
                return late
            release = arrival[order[at]] + ahead[tenant[order[at]]]
            if release > now:
                now = release
        while at < n:
            r = order[at]
            if arrival[r] + ahead[tenant[r]] > now:
                break
            if use[tenant[r]]:
                left[r] = work[tenant[r]]
                size = heap_push(keys, orders, heap, size, arrival[r] + allowed[tenant[r]], at, r)
            at += 1
        r, due = heap[0], keys[0]
        end = now + left[r]
        if end > due + 1e-9 * (end - arrival[r]):
            late += 1
            size = 0
            now = due
            while at < n and arrival[order[at]] + ahead[tenant[order[at]]] < now:
                at += 1
            continue
        while at < n and not use[tenant[order[at]]]:
            at += 1
        upcoming = arrival[order[at]] + ahead[tenant[order[at]]] if at < n else np.inf
        if upcoming < end:
            left[r] -= upcoming - now
            now = upcoming
        else:
            size = heap_pop(keys, orders, heap, size)
            now = end


@njit(cache=True)
def _overloaded(arrival, tenant, ahead, work, allowed, use, spare, due):  # type: ignore[no-untyped-def]
    """Whether some long window has more demand than room, even without the `spare` requests of every tenant in it."""
    n, wanted = len(arrival), 0
    rows = np.empty(n, dtype=np.int64)
    for r in range(n):
        if use[tenant[r]]:
            rows[wanted] = r
            due[wanted] = arrival[r] + allowed[tenant[r]]
            wanted += 1
    order = np.argsort(due[:wanted])
    met = np.empty(len(spare), dtype=np.int64)
    for start in range(_STARTS):
        begin = arrival[start * n // _STARTS]
        demand = 0.0
        met[:] = 0
        for index in order:
            r = rows[index]
            t = tenant[r]
            if arrival[r] + ahead[t] < begin:
                continue
            met[t] += 1
            if met[t] <= spare[t]:
                continue
            demand += work[t]
            if demand > (due[index] - begin) * (1.0 + 1e-9):
                return True
    return False


@njit(cache=True)
def _must_be_late(allowed, separate, load, order, ahead, chain, work, spare, use, scratch):  # type: ignore[no-untyped-def]
    """(late requests of all tenants, whether some have more than their `spare`) if each may take `allowed` (T,)."""
    left, keys, orders, heap = scratch
    tenants = len(chain)
    hopeless, free, beyond = 0, 0, False
    for t in range(tenants):
        use[t] = load.requests[t] > 0 and allowed[t] < np.inf
        if use[t]:
            free += spare[t]
            if chain[t] > allowed[t] * (1.0 + 1e-9):
                use[t] = False
                hopeless += load.requests[t]
                if load.requests[t] > spare[t]:
                    beyond = True
    most = 0
    if separate:
        wanted = use.copy()
        for t in range(tenants):
            if wanted[t]:
                use[:] = False
                use[t] = True
                own = _late(load.arrival_s, load.tenant, order, ahead, work[:, 0], allowed, use, left, keys, orders,
                            heap)
                most += own
                if own > spare[t] or (not beyond and _overloaded(
                        load.arrival_s, load.tenant, ahead, work[:, 0], allowed, use, spare, keys)):
                    beyond = True
    else:
        for resource in range(work.shape[1]):
            if resource > 0 and work[:, resource].max() <= 0.0:
                continue
            late = _late(load.arrival_s, load.tenant, order, ahead, work[:, resource], allowed, use, left, keys,
                         orders, heap)
            if late > most:
                most = late
            if not beyond and hopeless + late <= free:
                beyond = _overloaded(load.arrival_s, load.tenant, ahead, work[:, resource], allowed, use, spare, keys)
    return hopeless + most, beyond or hopeless + most > free


@njit(cache=True)
def _beyond(theta, above, separate, load, order, ahead, chain, work, deadline, spare, use, scratch):  # type: ignore[no-untyped-def]
    """Whether some tenant's percentile must exceed theta times its deadline.

    Twice: with `spare` requests of every tenant free, and with the interpolation of the percentile in mind. It weighs
    the last but one request 1 - `above` and the last `above`, so of a tenant with one spare request that one must take
    no more than (theta D - (1 - above) chain) / above.
    """
    tenants = len(chain)
    allowed, none_free, closer = theta * deadline, spare.copy(), False
    _, beyond = _must_be_late(allowed, separate, load, order, ahead, chain, work, spare, use, scratch)
    if beyond:
        return True
    for t in range(tenants):
        if spare[t] == 1 and above[t] > 1e-6 and allowed[t] < np.inf:
            most = (allowed[t] - (1.0 - above[t]) * chain[t] * (1.0 - 1e-9)) / above[t] * (1.0 + 1e-9)
            allowed[t], none_free[t], closer = max(most, allowed[t]), 0, True
    if not closer:
        return False
    _, beyond = _must_be_late(allowed, separate, load, order, ahead, chain, work, none_free, use, scratch)
    return beyond


@njit(cache=True)
def _tails(load, latency, work, deadline, decision, alone, separate, spare, above, limit, steps, count, fraction, late):  # type: ignore[no-untyped-def]
    """Writes the bound of the worst tenant's tail / deadline, and the requests that must be late at the deadlines.

    Parameters
    ----------
    latency, deadline : (D, T); work (D, T, 3); decision, alone, separate (D,); spare, above (T,).
    limit : (D,) a design proven above it needs no closer bound.
    steps : halvings of the interval that holds the bound; 0 tries the limit only.
    count : whether `late` is wanted.
    """
    n, tenants = len(load.arrival_s), latency.shape[1]
    scratch = np.empty(n), np.empty(n), np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    ahead, chain, use = np.zeros(tenants), np.zeros(tenants), np.zeros(tenants, dtype=np.bool_)
    in_order = np.arange(n)
    for d in range(len(latency)):
        later = False
        for t in range(tenants):
            total, parent = 0.0, load.parent[t]
            while parent >= 0:
                total += latency[d, parent] + decision[d]
                parent = load.parent[parent]
            ahead[t] = total
            chain[t] = total + latency[d, t] + decision[d]
            later = later or total > 0.0
        low = 0.0
        for t in range(tenants):
            if load.requests[t] > 0 and deadline[d, t] < np.inf and chain[t] / deadline[d, t] > low:
                low = chain[t] / deadline[d, t]
        low *= 1.0 - 1e-9
        fraction[d], late[d] = low, 0.0
        hopeless = low <= 0.0 or low > limit[d]
        if hopeless and not count:
            continue
        order = in_order
        if later:
            release = np.empty(n)
            for r in range(n):
                release[r] = load.arrival_s[r] + ahead[load.tenant[r]]
            order = np.argsort(release, kind="mergesort")
        cost = work[d].copy()
        if alone[d] or separate[d]:
            cost[:, 0] += decision[d]
        if count:
            late[d], _ = _must_be_late(deadline[d], separate[d], load, order, ahead, chain, cost, spare, use, scratch)
        if hopeless:
            continue
        high = limit[d]
        if high < np.inf:
            if _beyond(high, above, separate[d], load, order, ahead, chain, cost, deadline[d], spare, use, scratch):
                fraction[d] = high * (1.0 + 1e-14)
                continue
        elif steps > 0:
            growth, high = 1.1, low * 1.1
            for _ in range(12):
                if not _beyond(high, above, separate[d], load, order, ahead, chain, cost, deadline[d], spare, use,
                               scratch):
                    break
                low = high
                growth *= growth
                high = low * growth
        for _ in range(steps):
            middle = np.sqrt(low * high)
            if _beyond(middle, above, separate[d], load, order, ahead, chain, cost, deadline[d], spare, use, scratch):
                low = middle
            else:
                high = middle
        fraction[d] = low


def _spare(load: Load, percentile: Floats) -> tuple[Ints, Floats]:
    """Requests of every tenant above its percentile, and the weight of the first of them in it, (T,) each."""
    position = percentile / 100.0 * (load.requests - 1)
    below = np.floor(position)
    return np.where(load.requests > 0, load.requests - 1 - below, 0).astype(np.int64), position - below


def least_finished(load: Load, *, finite_tail: bool = False, finite_miss: bool = False,
                   violation_frac: float = 1.0, drop_frac: float = 1.0) -> Ints:
    """Requests of every tenant that finish in every feasible design, (T,).

    Parameters
    ----------
    finite_tail : feasible means a finite p99_deadline_frac.
    finite_miss : a finite slo_miss_frac.
    violation_frac, drop_frac : budgets.
    """
    least = np.where(load.may_drop, 0, load.requests)
    timed = ~np.isinf(load.deadline_s)
    for wanted, percentile in ((finite_tail, np.full(len(least), 99.0)), (finite_miss, load.percentile)):
        if wanted:
            position = percentile / 100.0 * (load.requests - 1)
            upper = np.where(load.requests > 0, np.ceil(position - 1e-9) + 1, 0).astype(np.int64)
            least = np.where(timed, np.maximum(least, np.minimum(upper, load.requests)), least)
    lost = int(np.floor(min(violation_frac, drop_frac) * load.requests.sum() * (1.0 + 1e-12)))
    return np.maximum(least, load.requests - lost)


# --- metrics ----------------------------------------------------------------------------------------------------------

_TRIVIAL = {"slo_violation_frac": 0.0, "drop_frac": 0.0, "antt": 0.0, "slo_miss_frac": -1.0}
_MOST = {"fairness_frac": 1.0, "engine_utilisation_frac": 1.0, "dram_utilisation_frac": 1.0}


def _least_ratio(fixed_j: Floats, each_j: Floats, least: Ints, count: Ints) -> Floats:
    """Least of (fixed + sum f_t each_t) / sum f_t over least <= f <= count, (D,)."""
    order = np.argsort(each_j, axis=1, kind="stable")
    joules, requests = fixed_j + each_j @ least, np.full(len(fixed_j), float(least.sum()))
    rows = np.arange(len(each_j))
    for at in range(each_j.shape[1]):
        t = order[:, at]
        more = (count - least)[t].astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            better = (more > 0.0) & ((requests == 0.0) | (each_j[rows, t] < joules / requests))
        joules = joules + np.where(better, more * each_j[rows, t], 0.0)
        requests = requests + np.where(better, more, 0.0)
    return np.divide(joules, requests, out=np.full(len(joules), np.inf), where=requests > 0.0)


def metric_bounds(demand: Demand, load: Load, workload: Workload, blocks: Sequence[SchedulerBlock], *,
                  area_mm2: Floats, leakage_w: Floats, metrics: Sequence[str], least: Ints,
                  limits: Mapping[str, float | Floats] | None = None, steps: int = _STEPS,
                  served: Served | None = None) -> dict[str, Floats]:
    """Bounds of the wanted metrics: lower bounds, and upper bounds of those that are better when larger.

    Parameters
    ----------
    blocks : scheduler of each design, (D,).
    area_mm2 : exact, scheduler included, (D,).
    leakage_w : of the chip without the scheduler, (D,).
    metrics : `METRIC` or `TENANT.METRIC`; what has no bound gets its trivial one (0, or infinity).
    least : requests of each tenant that finish at least (`least_finished`), (T,).
    limits : of metrics, also per design (D,); one proven beyond its limit needs no closer bound of that metric.
    steps : halvings of the interval that holds the bound of a tail (on a logarithmic axis); 0 tries the limit only.
    served : what is known of some requests of all designs, for the energy.

    Returns
    -------
    metric -> (D,).
    """
    limits = limits or {}
    count = len(area_mm2)
    overlaps = np.array([block.overlaps for block in blocks], dtype=bool)
    demand = _overlapped(_shared(demand, np.array([block.together for block in blocks])), overlaps)
    decision_s = np.array([block.decision_s for block in blocks])
    deadline = _deadlines(demand, load, decision_s)
    decision_s = np.where(overlaps, 0.0, decision_s)  # a load that begins earlier hides it
    static_w = leakage_w + np.array([block.power_w for block in blocks])
    each_j = demand.energy_j + np.array([block.decision_j for block in blocks])[:, None]
    more_j = np.zeros(count)
    if served is not None:
        least = np.maximum(least, served.requests)
        more_j = served.energy_j.sum() - demand.energy_j @ served.requests
    chain = _chains(demand.latency_s + decision_s[:, None], load.parent) * (1.0 - _ROUNDING)
    scale = 1.0 - _ROUNDING
    tails: dict[str, tuple[Floats, Floats]] = {}

    def tail(name: str) -> tuple[Floats, Floats]:
        if name not in tails:
            percentile = load.percentile if name == "slo_miss_frac" else np.full(len(load.requests), 99.0)
            above = 1.0 if name == "slo_miss_frac" else 0.0
            fraction, late = np.empty(count), np.empty(count)
            limit = np.broadcast_to(np.asarray(limits.get(name, np.inf), dtype=float) + above, (count,))
            _tails(load, demand.latency_s, demand.work_s, deadline, decision_s, demand.alone, demand.separate,
                   *_spare(load, percentile), limit, steps, "slo_violation_frac" in metrics, fraction, late)
            tails[name] = fraction, late
        return tails[name]

    def of(metric: str) -> Floats:
        if metric == "area_mm2":
            return area_mm2
        if metric == "power_w":
            return static_w * scale
        if metric == "energy_j":
            return (static_w * load.duration_s + more_j + each_j @ least) * scale
        if metric == "energy_per_inference_j":
            return _least_ratio(static_w * load.duration_s + more_j, each_j, least, load.requests) * scale
        if metric.endswith("_latency_s"):
            return _latency(metric, chain, load)
        if metric == "p99_deadline_frac":
            return tail(metric)[0]
        if metric == "slo_miss_frac":
            return tail(metric)[0] - 1.0
        if metric == "slo_violation_frac":
            name = "slo_miss_frac" if "slo_miss_frac" in metrics else "p99_deadline_frac"
            return tail(name)[1] / max(1, int(load.requests.sum()))
        if metric == "stp":
            return np.full(count, np.inf)
        return np.full(count, _TRIVIAL.get(metric, _MOST.get(metric, np.inf if metric == "throughput_per_s" else 0.0)))

    names = [tenant.name for tenant in workload.tenants]
    found = {}
    for metric in metrics:
        tenant, _, name = metric.rpartition(".")
        found[metric] = (_of_tenant(names.index(tenant), name, chain, demand.energy_j * scale, deadline, load, least)
                         if tenant in names else of(metric))
    return found


def _shared(demand: Demand, together: Ints) -> Demand:
    """What one request needs at least where so many may share a pass of the engine, (D,): a pass takes as long as one
    request alone, and no more requests share it."""
    if (together == 1).all():
        return demand
    return demand._replace(work_s=demand.work_s / together[:, None, None], energy_j=demand.energy_j / together[:, None],
                           alone=demand.alone & (together == 1))


def _overlapped(demand: Demand, overlaps: Bools) -> Demand:
    """What one request needs at least where weights are loaded while other layers compute, (D,)."""
    if not overlaps.any():
        return demand
    unit, channel = demand.overlapped_s[..., 0], demand.overlapped_s[..., 1]
    work_s = np.stack([unit, np.zeros_like(unit), channel], axis=2)
    return demand._replace(latency_s=np.where(overlaps[:, None], np.maximum(unit, channel), demand.latency_s),
                           work_s=np.where(overlaps[:, None, None], work_s, demand.work_s))


def _chains(latency: Floats, parent: Ints) -> Floats:
    """End-to-end latency: a follower adds that of its ancestors, (D, T)."""
    total = latency.copy()
    for t in range(latency.shape[1]):
        at = parent[t]
        while at >= 0:
            total[:, t] += latency[:, at]
            at = parent[at]
    return total


def _deadlines(demand: Demand, load: Load, decision_s: Floats) -> Floats:
    """Relative deadlines, (D, T); inf where there is none or it is not known."""
    isolated = (demand.isolated_s + decision_s[:, None]) * (1.0 + _ROUNDING)
    given = np.where(np.isnan(load.deadline_x), load.deadline_s, load.deadline_x * isolated)
    return np.where(np.isnan(given), np.inf, given)


def _latency(metric: str, chain: Floats, load: Load) -> Floats:
    """Every request takes at least its chain; where some may be lost, all we know is the least of them, (D,)."""
    present = load.requests > 0
    if not present.any():
        return np.zeros(len(chain))
    if load.may_drop[present].any():
        return np.asarray(chain[:, present].min(axis=1))
    if metric == "mean_latency_s":
        return chain @ load.requests / load.requests.sum() * (1.0 - _ROUNDING)
    percentile = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}[metric.partition("_")[0]]
    order = np.argsort(chain, axis=1, kind="stable")
    last = np.cumsum(load.requests[order], axis=1) - 1
    position = percentile / 100.0 * (load.requests.sum() - 1)

    def at(index: float) -> Floats:
        column = (last < index).sum(axis=1)
        return np.take_along_axis(chain, np.take_along_axis(order, column[:, None], axis=1), axis=1)[:, 0]

    low, high = at(np.floor(position)), at(np.ceil(position))
    return (low + (high - low) * (position - np.floor(position))) * (1.0 - _ROUNDING)


def _of_tenant(t: int, metric: str, chain: Floats, each_j: Floats, deadline: Floats, load: Load,
               least: Ints) -> Floats:
    if metric.endswith("_latency_s"):
        return chain[:, t]
    if metric == "energy_j":
        return each_j[:, t] * least[t]
    if metric == "energy_per_inference_j":
        return each_j[:, t]
    if metric in ("p99_deadline_frac", "slo_miss_frac"):
        known = np.isfinite(deadline[:, t])
        fraction = np.where(known, chain[:, t] / np.where(known, deadline[:, t], 1.0), 0.0)
        return fraction if metric == "p99_deadline_frac" else fraction - 1.0
    largest = metric in ("stp", "throughput_per_s")
    return np.full(len(chain), np.inf if largest else _TRIVIAL.get(metric, 0.0))
