"""A design's area, energy, power and latency as functions of the technology constants, from one evaluation.

Model
-----
Mapping, schedule and traffic are those of the central constants; every part of the area and every level of the energy
is scaled by the ratio of its constant. Energy by level of a tenant is split as on the engine that runs its network
fastest. The latency changes by the mean scheduling delay per request: decisions are the only time among the constants.

Limits
------
First order: other constants could make the mapping search prefer another mapping of equal latency, and a slower
scheduler changes the order of events. Exact for area, and for energy where every tenant has one engine.
"""

from collections.abc import Callable, Mapping

import numpy as np

from hwmodels.area import SchedulerBlock, dram_phy_area_mm2, engine_area_mm2, engine_leakage_w
from hwmodels.design import Chip, Design
from hwmodels.engine import Engine
from hwmodels.evaluate import Detail, evaluate_detail
from hwmodels.scheduling import block_of
from hwmodels.technology import (
    Constants,
    Corner,
    constants_of,
    dram_energy_j_per_byte,
    hop_energy_j_per_byte,
    mac_energy_j,
    quantity,
    register_file_energy_j_per_byte,
    sram_energy_j_per_byte,
    vector_op_energy_j,
)
from hwmodels.workload import Workload

__all__ = ["design_evaluation", "dynamic_energy_j"]

_LEVELS = ("mac", "noc", "sram", "dram", "vector")


def _engines(chip: Chip) -> list[Engine]:
    """The whole engine of every slot."""
    return [slot.levels[-1][1][0] for slot in chip.slots]


def _part_mm2(part: str, engines: list[Engine], corner: Corner) -> float:
    """Area that scales as this part of the chip does [mm2]."""
    prefix, _, name = part.rpartition(".")
    engine = engines[int(prefix.removeprefix("engine"))] if prefix else engines[0]
    corner = constants_of(engine, corner)
    if name == "dram_phy":
        return dram_phy_area_mm2(engine.dram_bytes_per_s, engine.node_nm, corner=corner)
    if name == "fission":
        return quantity("fission_link_area_28nm_mm2_per_bit", corner=corner)
    return engine_area_mm2(engine, corner=corner)[name]


def _level_j(level: str, engine: Engine, corner: Corner) -> float:
    """Energy that scales as this level does [J]."""
    node, corner = engine.node_nm, constants_of(engine, corner)
    if level == "mac":
        return mac_energy_j(node, engine.precision, corner=corner)
    if level == "noc":
        if engine.dataflow == "rs":
            return register_file_energy_j_per_byte(node, corner=corner)
        return hop_energy_j_per_byte(node, engine.precision, corner=corner)
    if level == "sram":
        return sram_energy_j_per_byte(node, engine.sram_bytes, corner=corner)
    if level == "dram":
        return dram_energy_j_per_byte(corner=corner)
    return vector_op_energy_j(node, corner=corner)


def dynamic_energy_j(detail: Detail, workload: Workload) -> dict[tuple[int, str], float]:
    """Dynamic energy of the run by (slot, level), level one of mac, noc, sram, dram, vector [J]; see Model."""
    found: dict[tuple[int, str], float] = {}
    networks = workload.networks
    for tenant in workload.tenants:
        options = [
            (float(costs.latency_s.sum()), slot, level, costs)
            for (network, slot, level), costs in detail.prepared.costs.items()
            if networks[network] == tenant.network and not costs.unsupported
            and tenant.name in (detail.prepared.chip.slots[slot].tenants or (tenant.name,))
        ]
        _, slot, _, costs = min(options, key=lambda option: option[:3])
        scale = detail.outcome.tenants[tenant.name]["energy_j"] / float(costs.energy_j.sum())
        for level in _LEVELS:
            joules = float(getattr(costs, f"{level}_energy_j").sum()) * scale
            found[slot, level] = found.get((slot, level), 0.0) + joules
    return found


def design_evaluation(design: Design, workload: Workload, *,
                      seed: int = 0) -> Callable[[Constants], Mapping[str, float]]:
    """Evaluate once; return the metrics as a function of the constants, for `hwmodels.uncertainty`.

    Parameters
    ----------
    seed : of the traffic.

    Returns
    -------
    function : Constants -> area_mm2 and, if the design can serve the workload, energy_j, power_w,
        energy_per_inference_j and every latency metric. With the central constants these are the metrics of `evaluate`.
    """
    detail = evaluate_detail(design, workload, seed=seed, record=False)
    outcome, chip = detail.outcome, detail.prepared.chip
    engines = _engines(chip)
    node_nm = engines[0].node_nm

    def block(corner: Corner) -> SchedulerBlock:
        return block_of(design.scheduler, design.policy, design.policy_params, node_nm,
                        corner=constants_of(engines[0], corner))

    areas = {part: mm2 for part, mm2 in outcome.breakdown["area_mm2"].items() if part != "scheduler"}
    area_base = {part: _part_mm2(part, engines, "value") for part in areas}

    def area_mm2(constants: Constants) -> float:
        scaled = sum(mm2 * _part_mm2(part, engines, constants) / area_base[part] for part, mm2 in areas.items())
        return scaled + block(constants).area_mm2

    if not outcome.ok or detail.records is None:
        return lambda constants: {"area_mm2": area_mm2(constants)}

    records = detail.records
    dynamic = dynamic_energy_j(detail, workload)
    unsplit = outcome.breakdown["energy_j"]["dynamic"] - sum(dynamic.values())
    leaking = sum(engine_leakage_w(engine) for engine in engines)
    elapsed_s = outcome.metrics["energy_j"] / outcome.metrics["power_w"]
    finished = max(1, int(np.isfinite(records.finish_s).sum()))

    def metrics(constants: Constants) -> Mapping[str, float]:
        scheduler = block(constants)
        leakage = sum(engine_leakage_w(engine, corner=constants) for engine in engines) / leaking
        energy = (
            unsplit
            + sum(joules * _level_j(level, engines[slot], constants) / _level_j(level, engines[slot], "value")
                  for (slot, level), joules in dynamic.items())
            + outcome.breakdown["energy_j"]["leakage"] * leakage
            + scheduler.power_w * elapsed_s + scheduler.decision_j * records.decisions)
        delay_s = (scheduler.decision_s - block("value").decision_s) * records.decisions / finished
        later = {name: value + delay_s for name, value in outcome.metrics.items() if name.endswith("_latency_s")}
        return {"area_mm2": area_mm2(constants), "energy_j": energy, "power_w": energy / elapsed_s,
                "energy_per_inference_j": energy / finished, **later}

    return metrics
