"""Class (b): one array that splits into sub-arrays at run time, shared in time and space.

Model
-----
The array of `engine` is a square grid of `subarrays` equal sub-arrays. A task holds 1, 2, 4, ... of them; the held ones
compose to the shape that runs the layer fastest: as square as possible, a tall chain, or a wide chain (fission of
Planaria, S. Ghodrati et al., MICRO 2020, doi:10.1109/MICRO50266.2020.00062). Buffer and vector lanes are split in
proportion to the sub-arrays; the DRAM channel is shared max-min fairly.

Limits
------
Compositions between square and chain are not offered. The cost of giving a task another set of sub-arrays is the time
to drain the array (rows + columns cycles); Planaria's public code charges nothing, and live data is charged by the
kernel like any preemption.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, final

from hwmodels.architectures.common import chip_area_mm2, chip_leakage_w
from hwmodels.area import fission_area_mm2
from hwmodels.design import Chip, EngineSlot
from hwmodels.engine import Engine
from hwmodels.errors import InvalidEngine
from hwmodels.tables import DRAM_MAX_MIN
from hwmodels.workload import Workload

__all__ = ["Composable"]


@final
@dataclass(frozen=True, kw_only=True)
class Composable:
    """One array with run-time fission.

    Parameters
    ----------
    engine : the whole array, with the chip's DRAM bandwidth.
    subarrays : 4, 16 or 64; the side of their grid must divide both sides of the array.
    """

    name: ClassVar[str] = "composable"
    summary: ClassVar[str] = "one array that splits into sub-arrays at run time, shared in time and space"
    engine: Engine
    subarrays: int

    def __post_init__(self) -> None:
        if self.subarrays not in (4, 16, 64):
            raise InvalidEngine("subarrays", "4, 16 or 64", self.subarrays)
        side = self.grid_side
        for field in ("rows", "cols"):
            if getattr(self.engine, field) % side:
                raise InvalidEngine(f"engine.{field}", f"a multiple of {side} (grid of {self.subarrays} sub-arrays)",
                                    getattr(self.engine, field))

    @property
    def grid_side(self) -> int:
        """Sub-arrays along one side of the array [-]."""
        return int(self.subarrays**0.5)

    def compositions(self, units: int) -> tuple[Engine, ...]:
        """Engines that `units` sub-arrays can form, squarest first."""
        engine, total = self.engine, self.subarrays
        rows, cols = engine.rows // self.grid_side, engine.cols // self.grid_side
        tall = 1 << ((units.bit_length() - 1) // 2)
        shapes = dict.fromkeys(((tall, units // tall), (units, 1), (1, units)))
        return tuple(
            replace(engine, rows=rows * down, cols=cols * across, sram_bytes=max(1, engine.sram_bytes * units // total),
                    vector_lanes=max(1, engine.vector_lanes * units // total))
            for down, across in shapes
        )

    def chip(self, workload: Workload) -> Chip:
        """See `hwmodels.design.Architecture`."""
        levels = tuple((1 << level, self.compositions(1 << level)) for level in range(self.subarrays.bit_length()))
        area = chip_area_mm2([self.engine])
        area["fission"] = fission_area_mm2(self.engine, self.subarrays)
        return Chip(
            slots=(EngineSlot(name="array", units=self.subarrays, levels=levels),),
            dram_bytes_per_s=self.engine.dram_bytes_per_s,
            dram_mode=DRAM_MAX_MIN,
            reconfigure_s=(self.engine.rows + self.engine.cols) / self.engine.freq_hz,
            area_mm2=area,
            leakage_w=chip_leakage_w([self.engine]),
        )
