"""Class (a): one engine, shared in time.

Examples: PREMA, AI-MT, Layerweaver, LazyBatching, Fluid Batching, Dysta, DERCA.
"""

from dataclasses import dataclass
from typing import ClassVar, final

from hwmodels.architectures.common import chip_area_mm2, chip_leakage_w
from hwmodels.design import Chip, EngineSlot
from hwmodels.engine import Engine
from hwmodels.tables import DRAM_MAX_MIN
from hwmodels.workload import Workload

__all__ = ["TimeMux"]


@final
@dataclass(frozen=True, kw_only=True)
class TimeMux:
    """One engine that every task uses in turn.

    Parameters
    ----------
    engine : with the chip's DRAM bandwidth.
    """

    name: ClassVar[str] = "time_mux"
    summary: ClassVar[str] = "one engine, shared in time"
    engine: Engine

    def chip(self, workload: Workload) -> Chip:
        """See `hwmodels.design.Architecture`."""
        return Chip(
            slots=(EngineSlot(name="engine", units=1, levels=((1, (self.engine,)),)),),
            dram_bytes_per_s=self.engine.dram_bytes_per_s,
            dram_mode=DRAM_MAX_MIN,
            reconfigure_s=0.0,
            area_mm2=chip_area_mm2([self.engine]),
            leakage_w=chip_leakage_w([self.engine]),
        )
