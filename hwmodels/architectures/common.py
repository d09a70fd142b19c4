"""What the classes share: area and leakage of a chip from its engines."""

from collections.abc import Sequence

from hwmodels.area import dram_phy_area_mm2, engine_area_mm2, engine_leakage_w
from hwmodels.engine import Engine
from hwmodels.errors import InvalidEngine
from hwmodels.technology import constants_of

__all__ = ["chip_area_mm2", "chip_leakage_w", "require_common"]


def require_common(engines: Sequence[Engine]) -> None:
    """All engines of a chip share its node, clock and DRAM channel; raises `InvalidEngine` otherwise."""
    if not engines:
        raise InvalidEngine("engines", "a list of at least one engine", 0)
    for field in ("node_nm", "freq_hz", "dram_bytes_per_s", "technology"):
        values = {getattr(engine, field) for engine in engines}
        if len(values) > 1:
            raise InvalidEngine(f"engines[].{field}", "the same for all engines of a chip", sorted(values))


def chip_area_mm2(engines: Sequence[Engine], names: Sequence[str] = ()) -> dict[str, float]:
    """Area by part: `ENGINE.PART` for every engine (no prefix where there is one), and the DRAM interface [mm2].

    Parameters
    ----------
    names : of the engines; `engine0`, `engine1` ... by default.
    """
    area: dict[str, float] = {}
    for name, engine in zip(names or [f"engine{index}" for index in range(len(engines))], engines, strict=True):
        prefix = f"{name}." if len(engines) > 1 else ""
        for part, mm2 in engine_area_mm2(engine).items():
            area[prefix + part] = mm2
    area["dram_phy"] = dram_phy_area_mm2(engines[0].dram_bytes_per_s, engines[0].node_nm,
                                         corner=constants_of(engines[0]))
    return area


def chip_leakage_w(engines: Sequence[Engine]) -> float:
    """Leakage of all engines [W]."""
    return sum(engine_leakage_w(engine) for engine in engines)
