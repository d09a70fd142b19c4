"""A design: an architecture with all its sizes, a policy with all its parameters, and the scheduler that runs it."""

from dataclasses import dataclass, field
from typing import Protocol, final

from hwmodels.engine import Engine
from hwmodels.errors import InvalidEngine
from hwmodels.workload import Workload

__all__ = ["SCHEDULERS", "Architecture", "Chip", "Design", "EngineSlot"]

SCHEDULERS = ("software", "hardware")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSlot:
    """One engine of a chip: a pool of `units` that can be lent to tasks in the given sizes.

    Parameters
    ----------
    levels : (units lent, the engines they can form: each layer takes the fastest), by increasing units; one entry for
        an engine that cannot be divided.
    dram_frac : share of the chip's DRAM bandwidth the engine can draw [-]; 1 where the channel is shared.
    tenants : names of the only tenants it serves; empty = all.
    """

    name: str
    units: int
    levels: tuple[tuple[int, tuple[Engine, ...]], ...]
    dram_frac: float = 1.0
    tenants: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """What an architecture becomes for the cost model and the kernel.

    Parameters
    ----------
    dram_mode : one of the DRAM constants of `hwmodels.tables`.
    reconfigure_s : cost of giving a task another set of units [s].
    area_mm2 : by part [mm2].
    leakage_w : [W].
    """

    slots: tuple[EngineSlot, ...]
    dram_bytes_per_s: float
    dram_mode: int
    reconfigure_s: float
    area_mm2: dict[str, float]
    leakage_w: float


class Architecture(Protocol):
    """One of the four classes: a frozen record of sizes that can be turned into a `Chip`."""

    @property
    def name(self) -> str: ...

    def chip(self, workload: Workload) -> Chip:
        """Engines, area and sharing rules for this workload; raises `InvalidEngine` when they contradict it."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Design:
    """Hardware and scheduler together.

    Parameters
    ----------
    policy : name in `hwmodels.policies`.
    policy_params : parameter -> value; missing ones take their defaults.
    scheduler : `software` or `hardware`: who runs the policy (decision latency, area).
    """

    architecture: Architecture
    policy: str
    policy_params: dict[str, float] = field(default_factory=dict)
    scheduler: str = "software"

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise InvalidEngine("scheduler", f"one of {', '.join(SCHEDULERS)}", self.scheduler)
