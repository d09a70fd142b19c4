"""The engine: a PE array with its vector unit, buffer and port to DRAM, as one record.

What a layer costs on it is `hwmodels.cost`; what it occupies and leaks is `hwmodels.area`.
"""

from dataclasses import dataclass
from typing import final

from hwmodels.errors import InvalidEngine

__all__ = ["DATAFLOWS", "FOLD_OVERLAPS", "NODES_NM", "PRECISION_BITS", "Engine"]

DATAFLOWS = ("ws", "os", "is", "rs")
FOLD_OVERLAPS = ("double_buffered", "none")
PRECISION_BITS = {"int2": 2, "int4": 4, "int8": 8, "int16": 16, "fp16": 16, "bf16": 16}
NODES_NM = (28, 22, 16, 12, 7)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine: runs one layer at a time.

    Parameters
    ----------
    rows, cols : PE array [PEs].
    dataflow : one of `DATAFLOWS`.
    sram_bytes : on-chip buffer shared by weights, inputs and outputs [byte].
    dram_bytes_per_s : bandwidth the engine can draw [byte/s].
    freq_hz : clock [Hz].
    precision : native MAC operand format, a key of `PRECISION_BITS`.
    vector_lanes : scalar operations per cycle of the vector unit [1/cycle].
    fold_overlap : `double_buffered` or `none` (consecutive folds of the array overlap, or not).
    node_nm : process node [nm], one of `NODES_NM`.

    Raises
    ------
    InvalidEngine : a size or rate that is not positive, an unknown name.
    """

    rows: int
    cols: int
    dataflow: str
    sram_bytes: int
    dram_bytes_per_s: float
    freq_hz: float
    precision: str = "int8"
    vector_lanes: int = 64
    fold_overlap: str = "double_buffered"
    node_nm: int = 16

    def __post_init__(self) -> None:
        for field in ("rows", "cols", "sram_bytes", "vector_lanes"):
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise InvalidEngine(field, "an integer >= 1", value)
        for field in ("dram_bytes_per_s", "freq_hz"):
            value = getattr(self, field)
            if not 0.0 < value < float("inf"):
                raise InvalidEngine(field, "a finite number > 0", value)
        for field, allowed in (("dataflow", DATAFLOWS), ("precision", tuple(PRECISION_BITS)),
                               ("fold_overlap", FOLD_OVERLAPS), ("node_nm", NODES_NM)):
            if getattr(self, field) not in allowed:
                raise InvalidEngine(field, f"one of {', '.join(map(str, allowed))}", getattr(self, field))

    @property
    def pes(self) -> int:
        """Processing elements of the array [-]."""
        return self.rows * self.cols
