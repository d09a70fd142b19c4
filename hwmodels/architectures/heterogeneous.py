"""Class (c): engines of different size and dataflow behind one DRAM channel, shared in time and space.

Examples: Herald, SCAR, MAGMA, CHARM. Layers of one task may run on different engines; activations then travel through
DRAM like any activation that does not stay on chip.

The order in which engines are listed means nothing: the same engines in another order are the same chip, to the last
digit of every metric. Where two engines serve a task equally well, the larger one does.
"""

from dataclasses import dataclass
from typing import ClassVar, final

from hwmodels.architectures.common import chip_area_mm2, chip_leakage_w, require_common
from hwmodels.design import Chip, EngineSlot
from hwmodels.engine import Engine
from hwmodels.tables import DRAM_MAX_MIN
from hwmodels.workload import Workload

__all__ = ["Heterogeneous"]


@final
@dataclass(frozen=True, kw_only=True)
class Heterogeneous:
    """Two or more engines; every tenant may use all of them.

    Parameters
    ----------
    engines : of one node and clock, each with the chip's DRAM bandwidth, which they share max-min fairly.
    """

    name: ClassVar[str] = "heterogeneous"
    summary: ClassVar[str] = "engines of different size and dataflow, shared in time and space"
    engines: tuple[Engine, ...]

    def __post_init__(self) -> None:
        require_common(self.engines)

    def chip(self, workload: Workload) -> Chip:
        """See `hwmodels.design.Architecture`; engines are named by their place in the list."""
        named = sorted(((f"engine{i}", engine) for i, engine in enumerate(self.engines)),
                       key=lambda entry: (-entry[1].pes, repr(entry[1])))
        names, engines = zip(*named, strict=True)
        return Chip(
            slots=tuple(EngineSlot(name=name, units=1, levels=((1, (engine,)),)) for name, engine in named),
            dram_bytes_per_s=self.engines[0].dram_bytes_per_s,
            dram_mode=DRAM_MAX_MIN,
            reconfigure_s=0.0,
            area_mm2=chip_area_mm2(engines, names),
            leakage_w=chip_leakage_w(engines),
        )
