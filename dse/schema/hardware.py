"""Files of engines, of designs and of a technology of one's own."""

from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, GetJsonSchemaHandler, Tag, create_model, model_validator
from pydantic_core import CoreSchema

from dse.rules import Broken, anything, count, number, one_of, record_fields, text
from dse.schema.parts import (
    UNION_TAGS,
    Bandwidth,
    Bytes,
    Clock,
    Lanes,
    Model,
    Name,
    Node,
    Positive,
    Precision,
    Side,
    names,
    text_or_more,
)
from hwmodels import engine

__all__ = ["DesignFile", "EngineFile", "TechnologyFile", "TechnologyKey"]


class OwnConstant(Model):
    """A constant in place of the published one of its key."""

    WHAT: ClassVar[str] = "a number, or a mapping with the keys value, low, high and source"
    value: Positive
    """In the unit at the end of the key's name."""
    low: Positive | None = None
    """Range, for uncertainty; without, as wide as the published one in proportion."""
    high: Positive | None = None
    source: Annotated[str, text("a text")] | None = None
    """Where the number is from: it goes into the manifest of a run."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return value if isinstance(value, dict | OwnConstant) else {"value": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        mapping = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, dict(mapping)]}


class TechnologyFile(Model):
    """Own constants of the cost model."""

    WHAT: ClassVar[str] = "a mapping with the keys kind, name and constants"
    kind: Annotated[str, one_of(("technology",))] = "technology"
    name: Name = "own"
    constants: dict[str, OwnConstant]
    """Key of `dse explain`, on a curve with its node (`mac_int8_energy_j.16nm`) -> a number, or a mapping with the keys
    value, low, high and source."""


TechnologyKey = Annotated[Annotated[str, text("a technology file"), Tag(UNION_TAGS[0])]
                          | Annotated[TechnologyFile, Tag(UNION_TAGS[1])], Discriminator(text_or_more)]

_CHIP = ("node_nm", "freq_hz", "dram_bytes_per_s", "technology")
_ENGINE_RULES: dict[str, Any] = {
    "rows": Side, "cols": Side, "sram_bytes": Bytes, "vector_lanes": Lanes, "node_nm": Node,
    "freq_hz": Clock, "dram_bytes_per_s": Bandwidth, "precision": Precision,
    "stacks": Side, "sram_words_per_cycle": Annotated[int, count(0, 2**30)],
    "skipping_efficiency_frac": Annotated[float, number(at_least=0, at_most=1)],
    "depthwise_modes": list[Annotated[str, names("hwmodels.engine", "DEPTHWISE_MODES")]],
    "sram_fracs": list[Annotated[float, number(above=0, at_most=1)]] | None,
} | {
    name: Annotated[str, names("hwmodels.engine", options)] for name, options in (
        ("dataflow", "ALL_DATAFLOWS"), ("fold_overlap", "FOLD_OVERLAPS"), ("im2col", "IM2COL"),
        ("multi_precision", "MULTI_PRECISION"), ("zero_skipping", "ZERO_SKIPPING"), ("batching", "BATCHING"))
}


class _EngineFile(Model):
    """One engine, alone on its DRAM channel."""

    WHAT: ClassVar[str] = "a mapping with the keys rows, cols, dataflow, sram_bytes, dram_bytes_per_s and freq_hz"
    kind: Annotated[str, one_of(("engine",))] = "engine"


class _DesignEngine(Model):
    """One engine of a design; the chip's node, clock and DRAM bandwidth are keys of the design."""

    WHAT: ClassVar[str] = "a mapping with the keys rows, cols, dataflow and sram_bytes"
    tenant: Name | None = None
    """Dedicated: name of the tenant it serves."""
    dram_frac: Annotated[float, number(above=0, at_most=1)] | None = None
    """Dedicated: its share of the DRAM bandwidth [-]."""


EngineFile: Any = create_model("EngineFile", __base__=_EngineFile, __doc__=_EngineFile.__doc__,
                               **record_fields(engine.Engine, _ENGINE_RULES, without=("technology",)))
DesignEngine: Any = create_model("DesignEngine", __base__=_DesignEngine, __doc__=_DesignEngine.__doc__,
                                 **record_fields(engine.Engine, _ENGINE_RULES, without=_CHIP))


class DesignFile(Model):
    """A chip, the policy that schedules it, and who runs the policy."""

    WHAT: ClassVar[str] = "a mapping with the keys kind, architecture, engines, policy, ..."
    kind: Annotated[str, one_of(("design",))] = "design"
    architecture: Annotated[str, names("hwmodels.architectures", "ARCHITECTURES")]
    node_nm: Node = 16
    """Process node [nm]."""
    freq_hz: Clock
    """Clock [Hz]."""
    dram_bytes_per_s: Bandwidth
    """Of the whole chip [byte/s]."""
    engines: list[DesignEngine]
    subarrays: Annotated[int, one_of((4, 16, 64))] | None = None
    """Composable: parts the array can split into."""
    policy: Annotated[Any, anything({"oneOf": [{"type": "string"}, {"type": "object", "required": ["name"]}]},
                                    "a name of `dse list policies`, or a mapping with the key name")]
    """Name, or {name: NAME, PARAMETER: value ...}; see `dse list policies`."""
    scheduler: Annotated[str, names("hwmodels.design", "SCHEDULERS")] = "software"
    """Who runs the policy."""
    technology: TechnologyKey | None = None
    """Own constants, in place of the published ones: a file, or {constants: ...}."""
    seed: Annotated[int, count(0)] | None = None
    """Of the traffic it was evaluated with."""
    provenance: dict[str, Any] = {}
    """Where the design comes from; free."""

    @model_validator(mode="after")
    def _keys_of_the_architecture(self) -> "DesignFile":
        broken = []
        if not self.engines:
            broken.append(Broken(at=("engines",), message="must be a list of at least one engine"))
        if self.architecture in ("time_mux", "composable") and len(self.engines) > 1:
            broken.append(Broken(at=("engines",), message=f"must be a list of one engine ({self.architecture}), "
                                 f"got {len(self.engines)}", got=False))
        if self.architecture == "composable" and self.subarrays is None:
            broken.append(Broken(message="must have the key subarrays (composable): 4, 16 or 64", got=False))
        if self.architecture != "composable" and self.subarrays is not None:
            broken.append(Broken(at=("subarrays",), message=f"must be left out: it is for composable, not "
                                 f"{self.architecture}", got=False, at_key=True))
        for index, item in enumerate(self.engines):
            for key in ("tenant", "dram_frac"):
                given = getattr(item, key) is not None
                if self.architecture == "dedicated" and not given:
                    broken.append(Broken(at=("engines", index), message=f"must have the key {key} (dedicated)",
                                         got=False))
                elif self.architecture != "dedicated" and given:
                    broken.append(Broken(at=("engines", index, key), message="must be left out: it is for dedicated, "
                                         f"not {self.architecture}", got=False, at_key=True))
        if broken:
            raise Broken.error(broken)
        return self
