"""Numbers and designs in words: units with prefixes, hardware and policy in a line."""

import math
from collections.abc import Mapping
from typing import Any

from hwmodels.outcome import OBJECTIVES

__all__ = ["budget_margin", "comparison", "describe_hardware", "describe_policy", "label", "parameter", "quantity",
           "relative"]

_LABELS = {
    "area_mm2": "area", "power_w": "power", "energy_j": "energy", "energy_per_inference_j": "energy per inference",
    "p99_deadline_frac": "p99 latency / deadline", "slo_violation_frac": "SLO violations",
    "slo_miss_frac": "SLO miss", "drop_frac": "drops", "antt": "ANTT", "stp": "STP",
    "throughput_per_s": "throughput", "fairness_frac": "fairness", "engine_utilisation_frac": "engine utilisation",
    "dram_utilisation_frac": "DRAM utilisation", "capacity_frac": "capacity / rates",
    "p50_ttft_s": "p50 TTFT", "p99_ttft_s": "p99 TTFT", "p50_tpot_s": "p50 TPOT", "p99_tpot_s": "p99 TPOT",
}
_SUFFIXES = ("_per_s", "_frac", "_mm2", "_s", "_j", "_w")
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"))
_MIB, _KIB = 1024 * 1024, 1024


def label(metric: str) -> str:
    """Short name of a metric for a sentence; `TENANT.METRIC` names the tenant."""
    tenant, _, base = metric.rpartition(".")
    text = _LABELS.get(base)
    if text is None:
        text = next((base.removesuffix(s) for s in _SUFFIXES if base.endswith(s)), base).replace("_", " ")
    return f"{text} of {tenant}" if tenant else text


def _three(value: float) -> str:
    """Three significant digits without an exponent where that is short."""
    if value == 0.0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        text = f"{value:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.2e}"


def prefixed(value: float, unit: str) -> str:
    """`0.0031, "s"` -> `3.1 ms`."""
    if value == 0.0:
        return f"0 {unit}"
    scale, prefix = next((p for p in _PREFIXES if abs(value) >= p[0] * 0.9995), _PREFIXES[-1])
    return f"{_three(value / scale)} {prefix}{unit}"


def quantity(metric: str, value: float) -> str:
    """A value of a metric with its unit."""
    if not math.isfinite(value):
        return "inf" if value > 0 else "-"
    base = metric.rpartition(".")[2]
    unit = OBJECTIVES[base].unit if base in OBJECTIVES else "-"
    if unit in ("s", "J", "W"):
        return prefixed(value, unit)
    return _three(value) if unit == "-" else f"{_three(value)} {unit.replace('1/s', '/s')}"


def comparison(metric: str, mine: float, other: float) -> str:
    """`other` in terms of `mine`: `7% more area`, `2.5x the area`, `the same area`; both values where a ratio means
    nothing."""
    name = label(metric)
    if mine == other:
        return f"the same {name}"
    if not (mine > 0.0 and other > 0.0 and math.isfinite(other)):
        return f"{name} {quantity(metric, other)} against {quantity(metric, mine)}"
    factor = other / mine
    if abs(factor - 1.0) < 0.005:
        return f"the same {name}"
    if factor >= 2.0:
        return f"{_three(factor)}x the {name}"
    return f"{factor - 1.0:.0%} more {name}" if factor > 1.0 else f"{1.0 - factor:.0%} less {name}"


def relative(value: float, base: float) -> str:
    """A change in few characters: `+12%`, `-0.4%`, `=`, `3.2x`; empty where a ratio means nothing."""
    if value == base:
        return "="
    if not (base > 0.0 and math.isfinite(value)):
        return ""
    change = value / base - 1.0
    if abs(change) < 5e-4:
        return "="
    if change >= 2.0:
        return f"{_three(value / base)}x"
    return f"{change:+.0%}" if abs(change) >= 0.01 else f"{change:+.1%}"


def parameter(name: str, value: Any) -> str:
    """A value of a parameter with its unit: `1 MiB`, `16 GB/s`, `1 GHz`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-" if value is None else str(value)
    base = name.rstrip("0123456789")
    if base.endswith("_bytes_per_s"):
        return f"{_three(value / 1e9)} GB/s"
    if base.endswith("_bytes"):
        return _bytes(value)
    if base.endswith("_hz"):
        return prefixed(value, "Hz")
    if base.endswith("_s"):
        return prefixed(value, "s")
    return f"{value:g}" if isinstance(value, float) else str(value)


def budget_margin(bound: float, value: float, minimise: bool) -> float:
    """Room left to a budget as a fraction of it, negative beyond it [-]."""
    room = bound - value if minimise else value - bound
    if not math.isfinite(room):
        return -math.inf
    return room / abs(bound) if bound else (0.0 if room == 0.0 else math.copysign(math.inf, room))


def _bytes(value: float) -> str:
    return f"{_three(value / _MIB)} MiB" if value >= _MIB else f"{_three(value / _KIB)} KiB"


def describe_hardware(params: Mapping[str, Any]) -> str:
    """Sizes of a design in a line, from the parameters of its trial."""
    p = {name: value for name, value in params.items() if value is not None}
    parts: list[str] = []
    if "engines" in p:
        indices = range(int(p["engines"]))
        parts.append(" + ".join(f"{p.get(f'side{i}', '?')}x{p.get(f'side{i}', '?')} {p.get(f'dataflow{i}', '')}".strip()
                                for i in indices))
        sram = [p[f"sram_bytes{i}"] for i in indices if f"sram_bytes{i}" in p]
        if sram:
            parts.append(_bytes(sum(sram)))
    elif "rows" in p and "cols" in p:
        parts.append(f"{p['rows']}x{p['cols']} {p.get('dataflow', '')}".strip())
        if "subarrays" in p:
            parts[-1] += f" in {p['subarrays']} sub-arrays"
    elif "total_pes" in p:
        parts.append(f"{p['total_pes']} PEs {p.get('dataflow', '')}".strip())
    if "sram_bytes" in p:
        parts.append(_bytes(p["sram_bytes"]))
    if "dram_bytes_per_s" in p:
        parts.append(f"{_three(p['dram_bytes_per_s'] / 1e9)} GB/s")
    return ", ".join(parts) or "no sizes given"


def describe_policy(params: Mapping[str, Any]) -> str:
    """Policy and who runs it: `edf (hardware)`."""
    name = str(params.get("policy", "?"))
    return f"{name} ({params['scheduler']})" if params.get("scheduler") else name
