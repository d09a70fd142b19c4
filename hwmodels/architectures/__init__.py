"""The four architecture classes (S. Venieris et al., "Multi-DNN Accelerators for Next-Generation AI Systems",
IEEE Computer 2023): one file each, a frozen record of sizes with a method `chip`.

In every record `Engine.dram_bytes_per_s` is the bandwidth of the whole chip's DRAM channel; the class decides how
the engines share it.
"""

from hwmodels.architectures.composable import Composable
from hwmodels.architectures.dedicated import Dedicated
from hwmodels.architectures.heterogeneous import Heterogeneous
from hwmodels.architectures.time_mux import TimeMux

__all__ = ["ARCHITECTURES", "Composable", "Dedicated", "Heterogeneous", "TimeMux"]

ARCHITECTURES = {record.name: record for record in (TimeMux, Composable, Heterogeneous, Dedicated)}
