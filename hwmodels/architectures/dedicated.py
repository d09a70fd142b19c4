"""Class (d): one custom engine per network with a static share of the DRAM bandwidth (f-CNNx, S. Venieris and
C. Bouganis, FPL 2018, doi:10.1109/FPL.2018.00072).

`Dedicated.sized` splits a budget of PEs, SRAM and bandwidth over the tenants by their load, so that two numbers
(budget and exponent) describe a chip for any number of tenants; f-CNNx searches the split, this is its closed form.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, NamedTuple, final

from hwmodels.architectures.common import chip_area_mm2, chip_leakage_w, require_common
from hwmodels.design import Chip, EngineSlot
from hwmodels.engine import Engine
from hwmodels.errors import InvalidEngine
from hwmodels.network import Network
from hwmodels.tables import DRAM_FIXED
from hwmodels.traffic import mean_rate_hz
from hwmodels.workload import Workload

__all__ = ["Dedicated", "Loads", "engine_of_share", "share_ranges", "tenant_loads"]

_SIDE_STEP = 4
_SRAM_STEP = 16 * 1024
_ROUNDING = 1e-12


@final
@dataclass(frozen=True, kw_only=True)
class Dedicated:
    """One engine per tenant.

    Parameters
    ----------
    engines : of one node and clock, each with the chip's DRAM bandwidth.
    tenants : name of the tenant each engine serves, unique.
    dram_fracs : static share of the bandwidth of each engine, > 0, sum <= 1 [-].
    """

    name: ClassVar[str] = "dedicated"
    summary: ClassVar[str] = "one engine per network, static shares of the DRAM bandwidth"
    engines: tuple[Engine, ...]
    tenants: tuple[str, ...]
    dram_fracs: tuple[float, ...]

    def __post_init__(self) -> None:
        require_common(self.engines)
        if not len(self.engines) == len(self.tenants) == len(self.dram_fracs):
            raise InvalidEngine("engines", "as many as tenants and DRAM shares",
                                (len(self.engines), len(self.tenants), len(self.dram_fracs)))
        if len(set(self.tenants)) != len(self.tenants):
            raise InvalidEngine("engines[].tenant", "unique", list(self.tenants))
        if min(self.dram_fracs) <= 0.0 or sum(self.dram_fracs) > 1.0 + 1e-9:
            raise InvalidEngine("engines[].dram_frac", "> 0 with a sum <= 1", list(self.dram_fracs))

    @classmethod
    def sized(cls, workload: Workload, *, total: Engine, exponent: float) -> "Dedicated":
        """Split one budget over the tenants.

        Parameters
        ----------
        total : its PEs (rows x cols), SRAM and vector lanes are the budget of the whole chip.
        exponent : share of a tenant ~ load ** exponent; PEs by MACs per second, DRAM by parameters x rate,
            SRAM and lanes like PEs. 1 = proportional, 0 = equal [-].
        """
        loads = tenant_loads(workload)
        engines = tuple(engine_of_share(total, share) for share in _shares(loads.compute, exponent))
        traffic = _shares(loads.traffic, exponent)
        return cls(engines=engines, tenants=tuple(t.name for t in workload.tenants), dram_fracs=tuple(traffic))

    def chip(self, workload: Workload) -> Chip:
        """See `hwmodels.design.Architecture`; raises `InvalidEngine` when a tenant has no engine."""
        names = [tenant.name for tenant in workload.tenants]
        for name in names:
            if name not in self.tenants:
                raise InvalidEngine("engines[].tenant", f"given for every tenant ({', '.join(names)})",
                                    list(self.tenants), f"no engine for {name!r}")
        slots = tuple(
            EngineSlot(name=f"engine_{tenant}", units=1, dram_frac=frac, tenants=(tenant,),
                       levels=((1, (replace(engine, dram_bytes_per_s=engine.dram_bytes_per_s * frac),)),))
            for engine, tenant, frac in zip(self.engines, self.tenants, self.dram_fracs, strict=True)
        )
        return Chip(
            slots=slots,
            dram_bytes_per_s=self.engines[0].dram_bytes_per_s,
            dram_mode=DRAM_FIXED,
            reconfigure_s=0.0,
            area_mm2=chip_area_mm2(self.engines),
            leakage_w=chip_leakage_w(self.engines),
        )


class Loads(NamedTuple):
    """Of every tenant, (T,)."""

    compute: list[float]
    """Multiply-accumulates per second."""
    traffic: list[float]
    """Elements per second across the DRAM port when nothing stays on chip."""


def tenant_loads(workload: Workload) -> Loads:
    """What shares are made from."""
    rates = [mean_rate_hz(workload, tenant) for tenant in workload.tenants]
    each = list(zip(workload.tenants, rates, strict=True))
    return Loads([t.network.macs * r for t, r in each], [_traffic_elements(t.network) * r for t, r in each])


def engine_of_share(total: Engine, share: float) -> Engine:
    """The engine of a tenant with a share of the PEs, SRAM and vector lanes; no size falls if the share grows."""
    side = max(_SIDE_STEP, int((total.pes * share) ** 0.5) // _SIDE_STEP * _SIDE_STEP)
    return replace(total, rows=side, cols=side, vector_lanes=max(4, int(total.vector_lanes * share)),
                   sram_bytes=max(2 * _SRAM_STEP, int(total.sram_bytes * share) // _SRAM_STEP * _SRAM_STEP))


@lru_cache(maxsize=1024)
def _traffic_elements(network: Network) -> int:
    """Elements that cross the DRAM port per inference when nothing stays on chip [-]."""
    return sum(layer.weight_elements + layer.input_elements + layer.output_elements for layer in network)


def _weights(loads: Sequence[float]) -> list[float]:
    """Share of the load, at least 1 % each."""
    total = sum(loads)
    return [max(0.01, load / total if total else 1.0) for load in loads]


def _shares(loads: Sequence[float], exponent: float) -> list[float]:
    """Shares ~ load ** exponent, summing to 1; at least 1 % each before normalisation."""
    weights = [weight**exponent for weight in _weights(loads)]
    return [weight / sum(weights) for weight in weights]


def share_ranges(loads: Sequence[float], least: float, most: float) -> tuple[list[float], list[float]]:
    """No share is below the first or above the second for any exponent from `least` to `most`, (T,) each.

    The logarithm of a share is concave in the exponent: it is least at an end, and below its tangents there.
    """
    ends = _shares(loads, least), _shares(loads, most)
    if least == most:
        return ends
    logs = [math.log(weight) for weight in _weights(loads)]
    means = [sum(share * log for share, log in zip(shares, logs, strict=True)) for shares in ends]
    low, high = [], []
    for first, last, log in zip(*ends, logs, strict=True):
        top = max(first, last)
        if log > means[0] and log < means[1]:  # it grows, then falls
            rise, fall = log - means[0], log - means[1]
            meet = (math.log(last / first) - fall * (most - least)) / (rise - fall)
            top = max(top, first * math.exp(rise * meet))
        low.append(min(first, last) * (1.0 - _ROUNDING))
        high.append(top * (1.0 + _ROUNDING))
    return low, high
