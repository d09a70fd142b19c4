"""The one function everything turns on: a design and a workload in, metrics out.

    networks + engines --costs--------> CostTable        (cached: depends on the hardware and the networks only)
    traffic + seed ----generate-------> RequestTrace
    CostTable + RequestTrace + policy --simulate--> TaskRecords --> metrics

The analytic fidelity takes layer bounds for the cost table and a queue of requests for the simulation.

Pure, deterministic, picklable; no I/O.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from hwmodels.analytic import analytic_records, stations
from hwmodels.area import SchedulerBlock
from hwmodels.batch import BatchColumns, batch_columns
from hwmodels.cost import LIMITS, LayerCosts, networks_costs
from hwmodels.design import Chip, Design, EngineSlot
from hwmodels.engine import Engine
from hwmodels.errors import ModelError
from hwmodels.kernel import Scene, isolated_s, request_isolated_s, run, scene_of
from hwmodels.kernel_columns import Hardware, hardware
from hwmodels.kernel_parts import Watch
from hwmodels.metrics import metrics
from hwmodels.network import Network
from hwmodels.outcome import Outcome
from hwmodels.policies import policy as named_policy
from hwmodels.scheduling import block_of
from hwmodels.tables import CostTable, Machine, TaskRecords, Tiles
from hwmodels.technology import constants_of, dram_energy_j_per_byte
from hwmodels.traffic import generate, relative_deadline_s
from hwmodels.workload import RequestTrace, Workload

__all__ = ["FIDELITIES", "Bench", "Detail", "PreparedChip", "bench_of", "evaluate", "evaluate_detail", "prepare",
           "tenants_isolated_s"]

FIDELITIES = ("simulate", "analytic")
"""`simulate`: mappings, events. `analytic`: bounds of the layers, a queue of requests (`hwmodels.analytic`)."""

Floats = NDArray[np.float64]


class PreparedChip(NamedTuple):
    """A chip with the cost of every layer of the workload on every engine it may use."""

    chip: Chip
    table: CostTable
    costs: dict[tuple[int, int, int], LayerCosts]
    """(network, slot, level) -> columns of the composition that each layer chose."""
    problem: str
    """Why the workload cannot run, or ''."""


def _fastest(networks: Sequence[Network], engines: tuple[Engine, ...]) -> list[LayerCosts]:
    """Costs of networks where every layer takes the engine that runs it fastest (first on ties)."""
    return [_fastest_layers(options) for options in zip(*(networks_costs(networks, engine) for engine in engines),
                                                        strict=True)]


def _fastest_layers(options: Sequence[LayerCosts]) -> LayerCosts:
    """Of the costs of a network on several engines, those of the fastest engine of every layer."""
    runnable = [option for option in options if not option.unsupported]
    if len(runnable) < 2:
        return runnable[0] if runnable else options[0]
    best = np.argmin(np.stack([option.latency_s for option in runnable]), axis=0)
    rows = np.arange(len(best))

    def pick(field: str) -> object:
        columns = [getattr(option, field) for option in runnable]
        if isinstance(columns[0], np.ndarray):
            return np.stack(columns)[best, rows]
        return tuple(columns[option][row] for row, option in enumerate(best)) if columns[0] else ()

    return LayerCosts(*(pick(field) for field in LayerCosts._fields))  # type: ignore[arg-type]


@lru_cache(maxsize=512)
def _table(slots: tuple[EngineSlot, ...], workload_networks: tuple[Network, ...],
           tenant_networks: tuple[tuple[str, int], ...],
           most: int) -> tuple[CostTable, dict[tuple[int, int, int], LayerCosts]]:
    levels = max(len(slot.levels) for slot in slots)
    lengths = np.array([len(network) for network in workload_networks], dtype=np.int64)
    samples = max(len(network.exit_shares) for network in workload_networks)
    offset = np.full((len(workload_networks), samples, len(slots), levels), -1, dtype=np.int64)
    depth = np.repeat(lengths[:, None], samples, axis=1)
    for n, network in enumerate(workload_networks):
        depth[n, 1 : len(network.exits) + 1] = np.array(network.exits, dtype=np.int64) + 1
    costs: dict[tuple[int, int, int], LayerCosts] = {}
    parts: list[LayerCosts] = []
    exit_frac: list[float] = []
    at = 0
    batches: list[BatchColumns] = []
    for e, slot in enumerate(slots):
        served = sorted({n for name, n in tenant_networks if not slot.tenants or name in slot.tenants})
        own = [workload_networks[n] for n in served]
        levels_costs = [_fastest(own, engines) for _, engines in slot.levels]
        for i, n in enumerate(served):
            for u, (_, engines) in enumerate(slot.levels):
                cost = levels_costs[u][i]
                costs[n, e, u] = cost
                if cost.unsupported:
                    continue
                offset[n, :, e, u] = at
                at += len(workload_networks[n])
                parts.append(cost)
                if most > 1:
                    many = _fastest([workload_networks[n].with_batch(b) for b in range(1, most + 1)], engines)
                    batches.append(batch_columns(many, static=engines[0].batching == "static"))
                exit_frac += [layer.exit_frac for layer in workload_networks[n]]

    def column(get: str) -> Floats:
        return np.concatenate([getattr(part, get) for part in parts]) if parts else np.empty(0)

    def whole(get: str) -> NDArray[np.int64]:
        return np.concatenate([getattr(part, get) for part in parts]) if parts else np.empty(0, dtype=np.int64)

    latency = column("latency_s")
    together = {f"batch_{field}": np.concatenate([getattr(part, field) for part in batches], axis=1)
                for field in BatchColumns._fields if batches}
    table = CostTable(
        n_layers=lengths,
        offset=offset,
        latency_s=latency,
        dram_bytes=column("dram_read_bytes") + column("dram_write_bytes"),
        energy_j=column("energy_j"),
        live_bytes=column("live_bytes"),
        sparsity_frac=np.zeros(len(latency)),
        estimate_s=latency,
        tiles=Tiles(whole("tiles"), whole("piece_tiles"), column("accumulator_bytes"), column("reload_bytes")),
        prefetched_s=column("prefetched_s"),
        weight_bytes=column("weight_bytes"),
        exit_frac=np.array(exit_frac) if samples > 1 else None,
        depth=depth if samples > 1 else None,
        **together,
    )
    if batches:  # one request is a batch too
        one = [np.ascontiguousarray(together[f"batch_{field}"][0]) for field in BatchColumns._fields]
        table = table._replace(latency_s=one[0], dram_bytes=one[1], energy_j=one[2], live_bytes=one[3],
                               estimate_s=one[0])
    return table, costs


def _undivided(chip: Chip) -> bool:
    return len(chip.slots) == 1 and chip.slots[0].units == 1


def prepare(design: Design, workload: Workload) -> PreparedChip:
    """Build the chip and its cost table; raises `InvalidEngine` when design and workload contradict each other."""
    chip = design.architecture.chip(workload)
    networks = workload.networks
    index = {network: n for n, network in enumerate(networks)}
    of_tenant = tuple((tenant.name, index[tenant.network]) for tenant in workload.tenants)
    most = named_policy(design.policy).largest_batch(design.policy_params) if _undivided(chip) else 1
    table, costs = _table(chip.slots, networks, of_tenant, most)
    problem = ""
    for name, n in of_tenant:
        usable = [e for e, slot in enumerate(chip.slots) if not slot.tenants or name in slot.tenants]
        if all(table.offset[n, 0, e].max() < 0 for e in usable):
            reason = costs[n, usable[0], len(chip.slots[usable[0]].levels) - 1].unsupported[0]
            problem = f"{name}: {networks[n].name} cannot run on {chip.slots[usable[0]].name}: {reason}"
            break
    return PreparedChip(chip, table, costs, problem)


def _prefetch_bytes(chip: Chip) -> float:
    """Part of the SRAM of a chip of one undivided engine that may hold weights loaded ahead: the half that the double
    buffering of tiles keeps for what comes next, of the weights' own buffer where they have one; 0 without it.

    Layers are costed as if their own tiles had it too: optimistic where a layer needs all of the SRAM.
    """
    slot, engine = chip.slots[0], chip.slots[0].levels[0][1][0]
    if len(chip.slots) > 1 or slot.units > 1 or not engine.double_buffered_sram:
        return 0.0
    return engine.sram_bytes / 2.0 * (engine.sram_fracs[1] if engine.sram_fracs else 1.0)


def _machine(chip: Chip, workload: Workload, decision_s: float) -> Machine:
    levels = max((slot.levels for slot in chip.slots), key=len)
    owner = {tenant: e for e, slot in enumerate(chip.slots) for tenant in slot.tenants}
    return Machine(
        units=np.array([slot.units for slot in chip.slots], dtype=np.int64),
        level_units=np.array([units for units, _ in levels], dtype=np.int64),
        tenant_engine=np.array([owner.get(tenant.name, -1) for tenant in workload.tenants], dtype=np.int64),
        dram_bytes_per_s=chip.dram_bytes_per_s,
        dram_mode=chip.dram_mode,
        reconfigure_s=chip.reconfigure_s,
        decision_s=decision_s,
        engine_dram_bytes_per_s=np.array([slot.dram_frac * chip.dram_bytes_per_s for slot in chip.slots]),
        dram_j_per_byte=dram_energy_j_per_byte(corner=constants_of(chip.slots[0].levels[0][1][0])),
        prefetch_bytes=_prefetch_bytes(chip),
    )


@final
@dataclass(frozen=True, kw_only=True)
class Detail:
    """Everything behind an outcome, for reports: requests, what became of them, and every layer's cost."""

    outcome: Outcome
    prepared: PreparedChip
    trace: RequestTrace | None = None
    records: TaskRecords | None = None
    isolated_s: Floats | None = None
    machine: Machine | None = None
    """What the kernel saw of the chip: `hwmodels.kernel.run(prepared.table, machine, trace, POLICY)` serves the same
    requests under another policy."""


def evaluate(design: Design, workload: Workload, *, seed: int = 0, fidelity: str = "simulate") -> Outcome:
    """Metrics of a design under a workload.

    Parameters
    ----------
    seed : of the traffic; equal seeds give equal requests for every design.
    fidelity : one of `FIDELITIES`.

    Raises
    ------
    ModelError : the design contradicts itself or the workload. A design that is legal but cannot run a network is an
        outcome with a sentence in `status`.
    """
    if fidelity not in FIDELITIES:
        raise ModelError("fidelity", f"one of {', '.join(FIDELITIES)}", fidelity)
    if fidelity == "analytic":
        return _analytic(design, workload, seed)
    return evaluate_detail(design, workload, seed=seed, record=False).outcome


def _analytic(design: Design, workload: Workload, seed: int) -> Outcome:
    chip = design.architecture.chip(workload)
    block, area = _block_and_area(design, chip)
    costs = stations([chip], workload)
    alone = costs.station.alone_s[0] + block.decision_s
    trace = generate(workload, seed, alone)
    if not len(trace.arrival_s):
        return _nobody(area)
    records = analytic_records(chip, trace, costs, design.policy, block.decision_s,
                               relative_deadline_s(workload, alone))
    return _outcome(workload, chip, block, area, trace, records, alone)


def _block_and_area(design: Design, chip: Chip) -> tuple[SchedulerBlock, dict[str, float]]:
    first = chip.slots[0].levels[0][1][0]
    block = block_of(design.scheduler, design.policy, design.policy_params, first.node_nm, corner=constants_of(first))
    return block, {**chip.area_mm2, "scheduler": block.area_mm2}


def _nobody(area: dict[str, float]) -> Outcome:
    return Outcome(status="no request arrives within duration_s", metrics={"area_mm2": float(sum(area.values()))},
                   breakdown={"area_mm2": area})


def evaluate_detail(design: Design, workload: Workload, *, seed: int = 0, record: bool = True) -> Detail:
    """As `evaluate` by simulation, keeping what happened; `record` also keeps one span per executed layer."""
    prepared = prepare(design, workload)
    chip = prepared.chip
    block, area = _block_and_area(design, chip)
    if prepared.problem:
        outcome = Outcome(status=prepared.problem, metrics={"area_mm2": float(sum(area.values()))},
                          breakdown={"area_mm2": area})
        return Detail(outcome=outcome, prepared=prepared)
    bench = bench_of(prepared, workload, block, seed)
    trace = bench.trace
    if not len(trace.arrival_s):
        return Detail(outcome=_nobody(area), prepared=prepared, trace=trace, isolated_s=bench.isolated_s)
    records = bench.serve(design.policy, design.policy_params, record=record)
    outcome = bench.outcome(records)
    for index, tenant in enumerate(workload.tenants):
        outcome.breakdown[f"time_frac.{tenant.name}"] = _time_shares(workload, prepared, trace, records, index)
    return Detail(outcome=outcome, prepared=prepared, trace=trace, records=records, isolated_s=bench.isolated_s,
                  machine=bench.machine)


@final
@dataclass(frozen=True, kw_only=True)
class Bench:
    """A chip with its scheduler and the requests it shall serve: designs that differ in policy share it."""

    prepared: PreparedChip
    workload: Workload
    block: SchedulerBlock
    machine: Machine
    isolated_s: Floats
    """Of every tenant, (T,)."""
    trace: RequestTrace
    scene: Scene

    def serve(self, policy: str, params: Mapping[str, float], *, record: bool = False,
              first: int | None = None, watch: Watch | None = None) -> TaskRecords:
        """What becomes of the requests.

        Parameters
        ----------
        first : of so many, as if no others came.
        watch : when to stop before all of them are served.
        """
        scene, trace = self.scene, self.trace
        if first is not None and first < len(trace.arrival_s):
            scene, trace = scene.first(first), RequestTrace._make(values[:first] for values in trace)
        return run(self.prepared.table, self.machine, trace, named_policy(policy), dict(params), record=record,
                   scene=scene, watch=watch)

    def outcome(self, records: TaskRecords) -> Outcome:
        """Metrics of a run that served all of them."""
        prepared, chip = self.prepared, self.prepared.chip
        area = {**chip.area_mm2, "scheduler": self.block.area_mm2}
        if not len(self.trace.arrival_s):
            return _nobody(area)
        own = None if prepared.table.depth is None else request_isolated_s(prepared.table, self.machine, self.trace)
        return _outcome(self.workload, chip, self.block, area, self.trace, records, self.isolated_s, own)


def bench_of(prepared: PreparedChip, workload: Workload, block: SchedulerBlock, seed: int) -> Bench:
    """Everything that does not depend on the policy; `prepared` must be able to run the workload."""
    machine = _machine(prepared.chip, workload, block.decision_s)
    hw = hardware(prepared.table, machine)
    alone = _isolated_s(prepared, workload, machine, hw)
    trace = generate(workload, seed, alone)
    return Bench(prepared=prepared, workload=workload, block=block, machine=machine, isolated_s=alone, trace=trace,
                 scene=scene_of(prepared.table, machine, trace, hw))


def tenants_isolated_s(prepared: PreparedChip, workload: Workload) -> Floats:
    """Isolated latency of every tenant without the decision that starts it, (T,) [s]."""
    return _isolated_s(prepared, workload, _machine(prepared.chip, workload, 0.0))


def _isolated_s(prepared: PreparedChip, workload: Workload, machine: Machine,
                hw: Hardware | None = None) -> Floats:
    networks = {network: n for n, network in enumerate(workload.networks)}
    of_tenant = np.array([networks[tenant.network] for tenant in workload.tenants], dtype=np.int64)
    return isolated_s(prepared.table, machine, of_tenant, hw=hw)


def _outcome(workload: Workload, chip: Chip, block: SchedulerBlock, area: dict[str, float], trace: RequestTrace,
             records: TaskRecords, alone: Floats, own: Floats | None = None) -> Outcome:
    overall, tenants = metrics(trace, records, alone, names=[t.name for t in workload.tenants],
                               percentiles=np.array([t.service.percentile for t in workload.tenants]),
                               request_isolated_s=own)
    last = np.nanmax(records.finish_s, initial=0.0)
    elapsed = max(workload.duration_s, float(last))
    energy = {
        "dynamic": float(records.energy_j.sum()),
        "leakage": chip.leakage_w * elapsed,
        "scheduler": block.power_w * elapsed + block.decision_j * records.decisions,
    }
    finished = int(np.isfinite(records.finish_s).sum())
    pes = np.array([slot.levels[-1][1][0].pes for slot in chip.slots], dtype=float)
    busy = np.minimum(1.0, records.engine_busy_s / elapsed)  # sums are rounded
    total = float(sum(energy.values()))
    overall |= {
        "area_mm2": float(sum(area.values())),
        "energy_j": total,
        "power_w": total / elapsed,
        "energy_per_inference_j": total / finished if finished else float("inf"),
        "engine_utilisation_frac": float(busy @ pes / pes.sum()),
        "dram_utilisation_frac": float(records.dram_bytes / (chip.dram_bytes_per_s * elapsed)),
    }
    for index, tenant in enumerate(workload.tenants):
        mine = trace.tenant == index
        done = int(np.isfinite(records.finish_s[mine]).sum())
        joules = float(records.energy_j[mine].sum())
        tenants[tenant.name] |= {"energy_j": joules,
                                 "energy_per_inference_j": joules / done if done else float("inf")}
    breakdown: dict[str, dict[str, float]] = {
        "area_mm2": area,
        "energy_j": energy,
        "engine_utilisation_frac": {slot.name: float(busy[e]) for e, slot in enumerate(chip.slots)},
    }
    return Outcome(status="ok", metrics=overall, tenants=tenants, breakdown=breakdown)


def _time_shares(workload: Workload, prepared: PreparedChip, trace: RequestTrace, records: TaskRecords,
                 tenant: int) -> dict[str, float]:
    """Where the time of a tenant's requests goes: waiting, and what limits its layers on their best engine [-]."""
    mine = (trace.tenant == tenant) & np.isfinite(records.finish_s)
    if not mine.any():
        return {}
    turnaround = float((records.finish_s[mine] - records.ready_s[mine]).sum())
    service = min(turnaround, float(records.service_s[mine].sum()))
    network, name = workload.networks.index(workload.tenants[tenant].network), workload.tenants[tenant].name
    slots = prepared.chip.slots
    options = [cost for (n, e, _), cost in prepared.costs.items()
               if n == network and not cost.unsupported and (not slots[e].tenants or name in slots[e].tenants)]
    best = min(options, key=lambda cost: float(cost.latency_s.sum()))
    layer_time = np.bincount(best.limited_by, weights=best.latency_s, minlength=len(LIMITS))
    layer_time = layer_time / layer_time.sum()
    shares = {"waiting": (turnaround - service) / turnaround}
    shares |= {name: float(layer_time[code]) * service / turnaround
               for code, name in enumerate(LIMITS) if layer_time[code] > 0.0}
    return shares
