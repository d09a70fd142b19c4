"""The engine: a PE array with its vector unit, buffer and port to DRAM, as one record.

What a layer costs on it is `hwmodels.cost`; what it occupies and leaks is `hwmodels.area`.
"""

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import final

from hwmodels.constants import QUANTITIES, Constant
from hwmodels.errors import InvalidEngine

__all__ = [
    "ALL_DATAFLOWS", "BATCHING", "DATAFLOWS", "DEPTHWISE_MODES", "ENGINES_GROUP", "FOLD_OVERLAPS", "IM2COL",
    "MULTI_PRECISION", "NODES_NM", "PRECISION_BITS", "ZERO_SKIPPING", "Engine",
]

DATAFLOWS = ("ws", "os", "is", "rs")
ENGINES_GROUP = "npu_codesign.engines"
ALL_DATAFLOWS = (*DATAFLOWS, *sorted({entry.name for entry in entry_points(group=ENGINES_GROUP)} - {*DATAFLOWS}))
"""With those of installed packages (`hwmodels.engines.plugins`), known by name before they are loaded."""
FOLD_OVERLAPS = ("double_buffered", "none")
DEPTHWISE_MODES = ("per_channel", "packed_diagonal", "vector_unit")
IM2COL = ("expanded", "on_the_fly")
MULTI_PRECISION = ("multi_pass", "packed", "fixed")
BATCHING = ("run_time", "static")
ZERO_SKIPPING = ("none", "weights", "activations", "both")
PRECISION_BITS = {"int2": 2, "int4": 4, "int8": 8, "int16": 16, "fp16": 16, "bf16": 16}
NODES_NM = (28, 22, 16, 12, 7)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine: runs one layer at a time.

    Parameters
    ----------
    rows, cols : PE array [PEs].
    dataflow : one of `ALL_DATAFLOWS`.
    sram_bytes : on-chip buffer shared by weights, inputs and outputs [byte].
    dram_bytes_per_s : bandwidth the engine can draw [byte/s].
    freq_hz : clock [Hz].
    precision : native MAC operand format, a key of `PRECISION_BITS`.
    vector_lanes : scalar operations per cycle of the vector unit [1/cycle].
    fold_overlap : `none` or `double_buffered` (consecutive folds of the array overlap, or not).
    node_nm : process node [nm], one of `NODES_NM`.
    output_drain : outputs of an output-stationary array leave through the array, `rows` cycles per fold; without it
        they leave on wires of their own.
    im2col : `expanded` (the array's edge reads every copy of an input pixel from the buffer) or `on_the_fly` (once).
    depthwise_modes : ways the engine can run convolutions with one input channel per group; the best is taken.
    stacks : the array can also run as `rows / s` x `cols * s` or `rows * s` x `cols / s`, or (ws, is) as s stacks of
        `rows / s` x `cols` that share the stream, s = 2, 4, .. `stacks`, chosen per layer (stackable PEs of Fluid
        Batching) [-].
    batching : `run_time` (a batch costs what its size costs) or `static` (hardware made for one batch size: whatever
        there is costs as much as the largest batch of the policy), one of `BATCHING`.
    sram_words_per_cycle : operands the buffer can deliver and take per cycle; 0 = as many as the array's edge needs.
    sram_fracs : shares (inputs, weights, outputs) of private buffers; None = one shared pool.
    double_buffered_sram : tiles are loaded and stored while others are computed on; else one after the other.
    multi_precision : operands wider than `precision` take several passes (`multi_pass`); narrower ones also share a PE
        (`packed`); or wider ones are not supported (`fixed`).
    accumulator_bits : width of a partial sum in the buffer; 0 = product and 16 guard bits (32 for int8) [bit].
    zero_skipping : operands whose zeros save cycles (and, for weights, DRAM bytes), one of `ZERO_SKIPPING`.
    skipping_efficiency_frac : share of the skippable work that the hardware really skips [-], in [0, 1].
    inter_layer_reuse : an activation that fits stays on chip for the next layer.
    weights_stay : if all weights of a network fit beside a working set, they stay on chip between inferences.
    technology : own constants, each in place of the one of its key in `hwmodels.technology.CONSTANTS`; part of the
        engine, so that nothing computed with others is ever taken for it.

    The defaults of the array are the reference mode, which gives the cycles of SCALE-Sim (without its off-by-one).

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
    fold_overlap: str = "none"
    node_nm: int = 16
    output_drain: bool = False
    im2col: str = "expanded"
    depthwise_modes: tuple[str, ...] = ("per_channel",)
    stacks: int = 1
    sram_words_per_cycle: int = 0
    sram_fracs: tuple[float, float, float] | None = None
    double_buffered_sram: bool = True
    multi_precision: str = "multi_pass"
    accumulator_bits: int = 0
    zero_skipping: str = "none"
    skipping_efficiency_frac: float = 1.0
    inter_layer_reuse: bool = True
    weights_stay: bool = False
    batching: str = "run_time"
    technology: tuple[Constant, ...] = ()

    def __post_init__(self) -> None:
        for field in ("rows", "cols", "sram_bytes", "vector_lanes", "stacks"):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidEngine(field, "an integer >= 1", value)
        for field in ("dram_bytes_per_s", "freq_hz"):
            value = getattr(self, field)
            if not 0.0 < value < float("inf"):
                raise InvalidEngine(field, "a finite number > 0", value)
        for field, allowed in (("dataflow", ALL_DATAFLOWS), ("precision", tuple(PRECISION_BITS)),
                               ("fold_overlap", FOLD_OVERLAPS), ("node_nm", NODES_NM), ("im2col", IM2COL),
                               ("multi_precision", MULTI_PRECISION), ("zero_skipping", ZERO_SKIPPING),
                               ("batching", BATCHING)):
            if getattr(self, field) not in allowed:
                raise InvalidEngine(field, f"one of {', '.join(map(str, allowed))}", getattr(self, field))
        modes = self.depthwise_modes
        if not modes or not set(modes) <= set(DEPTHWISE_MODES):
            raise InvalidEngine("depthwise_modes", f"at least one of {', '.join(DEPTHWISE_MODES)}", modes)
        for field in ("sram_words_per_cycle", "accumulator_bits"):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InvalidEngine(field, "an integer >= 0", value)
        if not 0.0 <= self.skipping_efficiency_frac <= 1.0:
            raise InvalidEngine("skipping_efficiency_frac", "in [0, 1]", self.skipping_efficiency_frac)
        fracs = self.sram_fracs
        if fracs is not None and (len(fracs) != 3 or min(fracs) <= 0.0 or sum(fracs) > 1.0 + 1e-9):
            raise InvalidEngine("sram_fracs", "three shares > 0 with a sum <= 1", fracs)

        keys = {point.key for item in QUANTITIES.values() for point in item.points} if self.technology else set()
        for own in self.technology:
            if own.key not in keys:
                raise InvalidEngine("technology", "made of constants listed by `dse explain`", own.key)
            if not 0.0 < own.low <= own.value <= own.high < float("inf"):
                raise InvalidEngine(f"technology {own.key}", "a range with 0 < low <= value <= high",
                                    (own.low, own.value, own.high))

    @property
    def pes(self) -> int:
        """Processing elements of the array [-]."""
        return self.rows * self.cols
