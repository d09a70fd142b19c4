"""All chips of a range of parameters between two: what no chip in between is smaller than, and none larger than.

The sizes and rates of every engine that an architecture builds never fall when a parameter grows, so two corners are
enough. `hwmodels.request_costs.chip_demand` bounds what lies between them. Of a list of dataflows an engine has one
form each: whichever a design has, it is one of them.

Parameters whose values do not lie on a line (`KINDS`) must be known. The shares of the dedicated class are bounded for
all exponents between two (`hwmodels.architectures.dedicated.share_ranges`).

Limits
------
The two chips are no designs: the shares of the DRAM channel of the larger one may sum to more than 1, and its area
means nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from hwmodels.architectures.dedicated import Dedicated, engine_of_share, share_ranges, tenant_loads
from hwmodels.area import SchedulerBlock
from hwmodels.design import Chip
from hwmodels.engine import DATAFLOWS
from hwmodels.errors import ModelError
from hwmodels.scheduling import block_of
from hwmodels.workload import Workload
from spaces.designs import architecture_of, total_engine
from spaces.domains import Value

__all__ = ["KINDS", "ChipRange", "best_block", "chip_range"]

KINDS = ("architecture", "node_nm", "engines", "subarrays", "stacks", "batching")
"""Parameters that a range must have one value of."""
_RATES = ("freq_hz", "dram_bytes_per_s")
_LEAST_RATE = 1e-30
_NOT_WHOLE = ("share_exponent",)


class ChipRange(NamedTuple):
    """Two chips of the same structure."""

    smallest: Chip
    """Its area and leakage are the least of the range."""
    largest: Chip


def chip_range(values: Mapping[str, Sequence[Value]], workload: Workload) -> ChipRange | None:
    """The range of the chips with these parameters; None where none of them can be built.

    Parameters
    ----------
    values : of every hardware parameter that is active, all values, or for numbers the least and the most.
    """
    assert all(len(set(values[name])) == 1 for name in KINDS if name in values), "KINDS must be known"
    low: dict[str, Any] = {name: values[name][0] for name in KINDS if name in values}
    high = dict(low)
    dataflows = {name: sorted(set(own), key=lambda flow: DATAFLOWS.index(str(flow))) for name, own in values.items()
                 if _is_dataflow(name)}
    for name in set(values) - set(low) - set(dataflows):
        ends = _numbers(name, values[name])
        if ends is None:
            return None
        low[name], high[name] = ends
    if low["architecture"] == "composable" and not _align(low, high):
        return None
    # the first variant leaves out row-stationary arrays where it can: their PEs are larger
    variants = [{name: own[min(at, len(own) - 1)] for name, own in dataflows.items()}
                for at in range(max((len(own) for own in dataflows.values()), default=1))]
    try:
        found = [_corners(low | flows, high | flows, workload) for flows in variants]
    except ModelError:
        return None
    return ChipRange(*(_merged([corners[end] for corners in found]) for end in (0, 1)))


def _is_dataflow(name: str) -> bool:
    return name.rstrip("0123456789") == "dataflow"


def _numbers(name: str, values: Sequence[Any]) -> tuple[Any, Any] | None:
    """Least and most of the values that some design can have; None if there is none."""
    if name in _NOT_WHOLE:
        return min(values), max(values)
    if name in _RATES:
        legal = [value for value in values if value > 0.0]
        return (max(min(values), _LEAST_RATE), max(legal)) if legal else None
    whole = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    return (max(min(whole), 1), max(whole)) if whole and max(whole) >= 1 else None


def _align(low: dict[str, Any], high: dict[str, Any]) -> bool:
    """Sides of a fissile array are multiples of the side of its grid; whether some are left."""
    side = max(1, int(low["subarrays"] ** 0.5))
    for name in ("rows", "cols"):
        low[name], high[name] = -(-low[name] // side) * side, high[name] // side * side
        if low[name] > high[name]:
            return False
    return True


def _corners(low: Mapping[str, Any], high: Mapping[str, Any], workload: Workload) -> tuple[Chip, Chip]:
    if low["architecture"] != "dedicated":
        return _corner(tuple(low.items()), workload), _corner(tuple(high.items()), workload)
    exponents = low["share_exponent"], high["share_exponent"]
    loads = tenant_loads(workload)
    compute, traffic = share_ranges(loads.compute, *exponents), share_ranges(loads.traffic, *exponents)
    names = tuple(tenant.name for tenant in workload.tenants)
    chips = []
    for params, shares, fracs in zip((low, high), compute, traffic, strict=True):
        total = total_engine(params)
        chip = Dedicated(engines=tuple(engine_of_share(total, share) for share in shares), tenants=names,
                         dram_fracs=tuple(traffic[0])).chip(workload)
        slots = tuple(replace(slot, dram_frac=frac, levels=tuple(
            (units, tuple(replace(engine, dram_bytes_per_s=total.dram_bytes_per_s * frac) for engine in forms))
            for units, forms in slot.levels)) for slot, frac in zip(chip.slots, fracs, strict=True))
        chips.append(replace(chip, slots=slots))
    return chips[0], chips[1]


@lru_cache(maxsize=4096)
def _corner(params: tuple[tuple[str, Any], ...], workload: Workload) -> Chip:
    """The chip of one corner; a range that is cut leaves one of its corners to each half."""
    return _by_name(architecture_of(dict(params), workload).chip(workload))


def _by_name(chip: Chip) -> Chip:
    """Engines in the order of their parameters, so that those of two chips of a range belong together."""
    return replace(chip, slots=tuple(sorted(chip.slots, key=lambda slot: slot.name)))


def _merged(variants: Sequence[Chip]) -> Chip:
    """A chip whose engines have the forms of all variants; area and leakage of the first."""
    if len(variants) == 1:
        return variants[0]
    slots = []
    for same in zip(*(chip.slots for chip in variants), strict=True):
        distinct = {slot.levels[0][1][0].dataflow: slot for slot in reversed(same)}.values()
        levels = tuple((at[0][0], tuple(form for _, forms in at for form in forms))
                       for at in zip(*(slot.levels for slot in distinct), strict=True))
        slots.append(replace(same[0], levels=levels))
    return replace(variants[0], slots=tuple(slots))


def best_block(pairs: Sequence[tuple[str, str]], node_nm: int,
               batches: Mapping[str, Sequence[int]]) -> SchedulerBlock:
    """A scheduler that is no worse than any of these in anything.

    Parameters
    ----------
    pairs : (policy, who runs it), at least one.
    batches : policy -> its smallest and largest `max_batch`, where the space has that parameter.
    """
    blocks = [block_of(kind, policy, {} if batch is None else {"max_batch": batch}, node_nm)
              for policy, kind in pairs for batch in batches.get(policy, (None,))]
    return SchedulerBlock(min(block.area_mm2 for block in blocks), min(block.decision_s for block in blocks),
                          min(block.power_w for block in blocks), min(block.decision_j for block in blocks),
                          max(block.together for block in blocks), any(block.overlaps for block in blocks))
