"""What one request of every tenant costs at least, whatever the policy: latency, work, energy.

    Chip + workload --chip_demand----> Demand      from bounds of the layers
    Chip + workload --CloserDemand---> Demand      the same, replaced by exact costs one network and engine at a time
    PreparedChip ----prepared_demand-> Demand      from the exact cost tables of the hardware

Model
-----
A *place* is an engine or a set of units of a pool; a layer runs on one place at a time.

latency      of a request >= sum over layers of the least time at any place
work         w_p >= 0 is the weight of place p such that all engines together have weight 1 (units of a pool: their
             share). In a window of length z the chip does weighted work <= z, and a request costs
             >= sum over layers of min_p w_p t_p. Two choices of weights: equal engines, and engines by speed. The
             DRAM channel is a third resource: bytes / bandwidth.
overlap      where weights are loaded while other layers compute, a layer occupies the compute unit for its time with
             the weights on chip, and the DRAM channel for its bytes
energy       >= sum over layers of the least energy at any place
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwmodels.bounds import EngineColumns, engine_columns, layer_bounds, layer_rows
from hwmodels.cost import layer_costs
from hwmodels.design import Chip
from hwmodels.engine import Engine
from hwmodels.evaluate import PreparedChip, tenants_isolated_s
from hwmodels.network import Network
from hwmodels.offered_load import Load
from hwmodels.path_bounds import path_bounds
from hwmodels.workload import Workload

__all__ = ["CloserDemand", "Demand", "chip_demand", "is_separate", "prepared_demand", "rows_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_ROUNDING = 1e-9
"""Relative: sums here and in the simulation are rounded differently."""
_LITTLE = 0.05
"""Share of the energy of a network below which its bounds are as good as exact."""


class Demand(NamedTuple):
    """What one request of every tenant costs at least, shape (D, T), without decisions."""

    latency_s: Floats
    work_s: Floats
    """(D, T, 3) of the resources: equal engines, engines by speed, DRAM; 0 where a resource is not looked at."""
    energy_j: Floats
    """Dynamic."""
    pass_j: Floats
    """(D, T) the same of a pass with any number of requests, from bounds alone: the fastest mapping of a batch may take
    less energy than that of one request. On an undivided engine; elsewhere requests share no pass."""
    overlapped_s: Floats
    """(D, T, 2) on the compute unit and on the DRAM channel if other layers compute while weights are loaded."""
    isolated_s: Floats
    """Isolated latency as deadlines count it, exact (without the decision); NaN where unknown."""
    alone: Bools
    """(D,) one engine does all, undivided: its work is the latency."""
    separate: Bools
    """(D,) every tenant has its own engine and its own share of the DRAM channel."""


def rows_of(demand: Demand, rows: Ints) -> Demand:
    """Some rows of a demand, possibly repeated."""
    return Demand(*(column[rows] for column in demand))  # type: ignore[arg-type]


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
    alone: Floats | None = None
    """(4, columns) as `PathBounds`: of the whole network where all layers run there, if more is known of it than of the
    layers."""


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
                   energy_j=np.zeros((count, tenants)), pass_j=np.zeros((count, tenants)),
                   overlapped_s=np.zeros((count, tenants, 2)),
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
        _least(*matrices[n][:5], where.first, where.column, weights[id(where)], *total)
        found.pass_j[:, t] = total[1]
        if (whole := matrices[n].alone) is not None:
            single = np.flatnonzero(np.diff(where.first) == 1)
            place = where.first[single]
            for one, known in zip(total[:3], whole[:3, where.column[place]], strict=True):
                one[single] = np.maximum(one[single], known)
            found.pass_j[single, t] = np.maximum(found.pass_j[single, t], whole[3, where.column[place]])
            total[4][single] = np.maximum(total[4][single], weights[id(where)][place] * total[0][single, None])
        found.latency_s[:, t], found.energy_j[:, t] = total[0], total[1]
        found.work_s[:, t, :2] = total[4]
        found.work_s[:, t, 2] = total[2] / bandwidth * (1.0 - _ROUNDING) ** 2  # the kernel tolerates as much
        found.overlapped_s[:, t, 0], found.overlapped_s[:, t, 1] = total[3], found.work_s[:, t, 2]
    if separate:
        found.work_s[:, :, 0], found.work_s[:, :, 1:] = found.latency_s, 0.0
    else:
        found.work_s[alone, :, 1:] = 0.0  # no more than the first resource says
    return found


def _chip_places(chips: Sequence[Chip], tenant: str, known: dict[tuple[Engine, Engine], int],
                 smallest: Sequence[Chip] | None = None) -> _Places:
    """Places of a tenant; an engine not met before joins `known`, with the smallest one of its range."""
    first, column, slot, engines = [0], [], [], []  # type: list[int], list[int], list[int], list[int]
    share: list[float] = []
    for chip, small in zip(chips, smallest or chips, strict=True):
        before = sum(engines)
        engines.append(len(chip.slots))
        for e, (one, least) in enumerate(zip(chip.slots, small.slots, strict=True)):
            if one.tenants and tenant not in one.tenants:
                continue
            for (units, forms), (_, least_forms) in zip(one.levels, least.levels, strict=True):
                for engine in zip(forms, least_forms, strict=True):
                    column.append(known.setdefault(engine, len(known)))
                    slot.append(before + e)
                    share.append(units / one.units)
        first.append(len(column))
    return _Places(np.array(first), np.array(column), np.array(slot), np.array(share), np.array(engines))


def is_separate(chip: Chip) -> bool:
    """Every engine has its own tenants and its own share of the DRAM channel."""
    return all(slot.tenants for slot in chip.slots)


def chip_demand(chips: Sequence[Chip], workload: Workload, load: Load, *,
                exact: Collection[Network] = (), smallest: Sequence[Chip] | None = None) -> Demand:
    """From the bounds of the layers (`hwmodels.bounds`); all chips separate, or none.

    Parameters
    ----------
    exact : networks whose layers are costed instead, by mapping search.
    smallest : chips like these: the demand is that of the least demanding one between both (`spaces.chip_ranges`).
    """
    separate = is_separate(chips[0])
    known: dict[tuple[Engine, Engine], int] = {}
    names = [tenant.name for tenant in workload.tenants]
    if separate:
        each = [_chip_places(chips, name, known, smallest) for name in names]
    else:
        each = [_chip_places(chips, names[0], known, smallest)] * len(names)
    engines = [engine for engine, _ in known]
    least_engines = [least for _, least in known]
    columns, least_columns = engine_columns(engines), engine_columns(least_engines)

    def matrices(network: Network) -> _Matrices:
        used = np.unique(np.concatenate([where.column for tenant, where in zip(workload.tenants, each, strict=True)
                                         if tenant.network == network]))
        alone = np.zeros((4, len(engines)))
        # a request takes its earliest exit at best, and no metric may count on the mean of the exits
        if network in exact:
            least = min((*network.exits, len(network) - 1)) + 1
            times, some = np.ones(least), _costed(network, [engines[c] for c in used.tolist()])[:, :least]
        else:
            found = layer_bounds(network, EngineColumns(*(column[used] for column in columns)), quantile=True,
                                 smallest=EngineColumns(*(column[used] for column in least_columns)))
            times = found.times
            some = np.stack([found.latency_s, found.energy_j, found.dram_bytes, found.compute_s])
            alone[:, used] = path_bounds(network, [engines[c] for c in used.tolist()], found,
                                         smallest=[least_engines[c] for c in used.tolist()])
        whole = np.full((4, len(times), len(engines)), np.inf)
        whole[:, :, used] = some
        return _Matrices(times, whole[0], whole[1], whole[2], whole[3], alone)

    networks = workload.networks
    alone = np.array([_alone(chip) for chip in chips])
    demand = _demand([matrices(network) for network in networks], [networks.index(t.network) for t in workload.tenants],
                     each.__getitem__, load, np.array([chip.dram_bytes_per_s for chip in chips]), alone, separate)
    if exact and alone.any():
        return demand._replace(pass_j=chip_demand(chips, workload, load, smallest=smallest).pass_j)
    return demand


@final
class CloserDemand:
    """The demand on one chip: bounds of the layers, replaced by exact costs one network and engine at a time.

    An engine that does not bound a network lowest need not be costed: its bound stays.
    """

    def __init__(self, chip: Chip, workload: Workload, load: Load) -> None:
        self._load, self._alone, self._separate = load, _alone(chip), is_separate(chip)
        self._bandwidth = chip.dram_bytes_per_s
        known: dict[tuple[Engine, Engine], int] = {}
        names = [tenant.name for tenant in workload.tenants]
        if self._separate:
            self._places = [_chip_places([chip], name, known) for name in names]
        else:
            self._places = [_chip_places([chip], names[0], known)] * len(names)
        self.engines, self.networks = [engine for engine, _ in known], workload.networks
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
        self._pass_j = self._now().pass_j

    def demand(self) -> Demand:
        """What is known, D = 1."""
        return self._now()._replace(pass_j=self._pass_j)

    def _now(self) -> Demand:
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
        for values, exact in zip(matrices[1:5], found, strict=True):
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


def prepared_demand(prepared: PreparedChip, workload: Workload, load: Load) -> Demand:
    """From the exact cost tables, D = 1; `prepared` must be able to run the workload."""
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
    pass_j = chip_demand([chip], workload, load).pass_j if _alone(chip) else found.pass_j
    return found._replace(isolated_s=tenants_isolated_s(prepared, workload)[None, :], pass_j=pass_j)
