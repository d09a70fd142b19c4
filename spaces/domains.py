"""Domains: the values that one parameter can take, each with an integer code.

    Domain
    ├── Choice            the values listed: numbers keep their order, names and booleans have none
    ├── Range             low, low + step, ... up to high
    ├── PowersOfTwo       low, 2 low, 4 low, ... up to high
    └── Real              any number between low and high; not enumerable

The code of a value is its position; the code of a `Real` value is its distance from `low` in representable numbers,
so that decoding gives back the very same float.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, final

import numpy as np

from spaces.errors import SpaceError

__all__ = ["Choice", "Domain", "PowersOfTwo", "Range", "Real", "Value", "as_domain"]

Value = int | float | str | bool


class Domain(Protocol):
    """What a parameter can be. `n` is the number of values: an int, or `math.inf`."""

    @property
    def n(self) -> int | float: ...

    @property
    def ordered(self) -> bool:
        """Whether neighbouring codes are neighbouring values."""
        ...

    def value(self, code: int) -> Value: ...

    def code(self, value: Any) -> int:
        """Code of a value; raises `SpaceError` when it is not in the domain."""
        ...


def _plain(value: Any) -> Any:
    """A Python scalar for a numpy one."""
    return value.item() if isinstance(value, np.generic) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require_numbers(kind: str, **values: Any) -> None:
    for name, value in values.items():
        if not _is_number(value) or not math.isfinite(value):
            raise SpaceError(f"{kind}.{name}", "a finite number", value, offender=values)


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """The values listed, each once."""

    values: tuple[Value, ...]
    ordered: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.values, str) or not isinstance(self.values, Sequence):
            raise SpaceError("values", "a list", self.values, offender=self)
        object.__setattr__(self, "values", tuple(_plain(value) for value in self.values))
        if not self.values:
            raise SpaceError("values", "a list of at least one value", [], offender=self)
        seen: set[tuple[bool, Value]] = set()
        for value in self.values:
            infinite = isinstance(value, float) and not math.isfinite(value)
            if infinite or not isinstance(value, int | float | str | bool):
                raise SpaceError("values", "numbers, names or booleans", value, offender=self)
            if (isinstance(value, bool), value) in seen:
                raise SpaceError("values", "listed once each", value, offender=self)
            seen.add((isinstance(value, bool), value))
        ordered = all(_is_number(value) for value in self.values) and list(self.values) == sorted(self.values)
        object.__setattr__(self, "ordered", ordered)

    @property
    def n(self) -> int:
        return len(self.values)

    def value(self, code: int) -> Value:
        return self.values[code]

    def code(self, value: Any) -> int:
        value = _plain(value)
        for code, mine in enumerate(self.values):
            if mine == value and isinstance(mine, bool) == isinstance(value, bool):
                return code
        raise SpaceError("value", f"one of {', '.join(str(v) for v in self.values)}", value, offender=self)


@final
@dataclass(frozen=True, slots=True)
class Range:
    """`low + i step` up to `high`; integers when `low` and `step` are, else the shortest decimals."""

    low: int | float
    high: int | float
    step: int | float = 1

    def __post_init__(self) -> None:
        _require_numbers("range", low=self.low, high=self.high, step=self.step)
        if self.step <= 0:
            raise SpaceError("range.step", "> 0", self.step, offender=self)
        if self.high < self.low:
            raise SpaceError("range.high", f">= low ({self.low})", self.high, offender=self)

    @property
    def n(self) -> int:
        return int((Decimal(repr(self.high)) - Decimal(repr(self.low))) // Decimal(repr(self.step))) + 1

    @property
    def ordered(self) -> bool:
        return True

    def value(self, code: int) -> int | float:
        if not 0 <= code < self.n:
            raise SpaceError("code", f"in 0..{self.n - 1}", code, offender=self)
        if isinstance(self.low, int) and isinstance(self.step, int):
            return self.low + code * self.step
        return float(Decimal(repr(self.low)) + code * Decimal(repr(self.step)))

    def code(self, value: Any) -> int:
        value = _plain(value)
        if _is_number(value) and math.isfinite(value):
            code = round((value - self.low) / self.step)
            if 0 <= code < self.n and self.value(code) == value:
                return code
        raise SpaceError("value", f"{self.low} + i x {self.step}, at most {self.high}", value, offender=self)


@final
@dataclass(frozen=True, slots=True)
class PowersOfTwo:
    """`low 2^i` up to `high`."""

    low: int | float
    high: int | float

    def __post_init__(self) -> None:
        _require_numbers("powers of two", low=self.low, high=self.high)
        if self.low <= 0:
            raise SpaceError("low", "> 0", self.low, offender=self)
        if self.high < self.low:
            raise SpaceError("high", f">= low ({self.low})", self.high, offender=self)

    @property
    def n(self) -> int:
        count, value = 1, self.low
        while value * 2 <= self.high:
            count, value = count + 1, value * 2
        return count

    @property
    def ordered(self) -> bool:
        return True

    def value(self, code: int) -> int | float:
        if not 0 <= code < self.n:
            raise SpaceError("code", f"in 0..{self.n - 1}", code, offender=self)
        return self.low * 2**code

    def code(self, value: Any) -> int:
        value = _plain(value)
        if _is_number(value) and value >= self.low and math.isfinite(value):
            code = round(math.log2(value / self.low))
            if code < self.n and self.value(code) == value:
                return code
        raise SpaceError("value", f"{self.low} x a power of two, at most {self.high}", value, offender=self)


def _rank(value: float) -> int:
    """Position of a float among all floats: monotone, and invertible by `_unrank`."""
    (bits,) = struct.unpack(">q", struct.pack(">d", value))
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def _unrank(rank: int) -> float:
    bits = rank if rank >= 0 else -rank - 2**63
    (value,) = struct.unpack(">d", struct.pack(">q", bits))
    return float(value)


@final
@dataclass(frozen=True, slots=True)
class Real:
    """Any number in [low, high]; `log` samples and steps by ratio."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _require_numbers("real", low=self.low, high=self.high)
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        if self.high < self.low:
            raise SpaceError("real.high", f">= low ({self.low})", self.high, offender=self)
        if self.log and self.low <= 0.0:
            raise SpaceError("real.low", "> 0 on a logarithmic scale", self.low, offender=self)

    @property
    def n(self) -> float:
        return math.inf

    @property
    def ordered(self) -> bool:
        return True

    def value(self, code: int) -> float:
        return _unrank(_rank(self.low) + code)

    def code(self, value: Any) -> int:
        value = _plain(value)
        if _is_number(value) and self.low <= value <= self.high:
            return _rank(float(value)) - _rank(self.low)
        raise SpaceError("value", f"in [{self.low}, {self.high}]", value, offender=self)

    def at(self, frac: float) -> float:
        """The value a fraction of the way from low to high."""
        value = self.low * (self.high / self.low) ** frac if self.log else self.low + frac * (self.high - self.low)
        return min(max(value, self.low), self.high)

    def frac(self, value: float) -> float:
        """Inverse of `at`."""
        if self.high == self.low:
            return 0.0
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def as_domain(spec: Any) -> Domain:
    """A domain from what a study may hold.

    Parameters
    ----------
    spec : a domain; a list of values; a scalar (the only value); `{low, high, step}` (a `Range`), `{low, high, log: 2}`
        (`PowersOfTwo`), `{low, high}` of integers (step 1), `{low, high}` with a decimal (a `Real`, `log: true` for a
        logarithmic scale).
    """
    if isinstance(spec, Choice | Range | PowersOfTwo | Real):
        return spec
    if isinstance(spec, Mapping):
        unknown = sorted(set(spec) - {"low", "high", "step", "log"})
        if unknown or not {"low", "high"} <= set(spec) or {"step", "log"} <= set(spec):
            raise SpaceError("domain", "a list of values, or {low, high, step}, or {low, high, log}", dict(spec),
                             offender=spec)
        low, high = spec["low"], spec["high"]
        if spec.get("step") is not None:
            return Range(low, high, spec["step"])
        log = spec.get("log", False)
        if log not in (2, True, False):  # 1 == True
            raise SpaceError("domain.log", "2 (powers of two), true or false", log, offender=spec)
        if log == 2:
            return PowersOfTwo(low, high)
        whole = all(isinstance(bound, int) and not isinstance(bound, bool) for bound in (low, high))
        return Range(low, high) if whole and not log else Real(low, high, bool(log))
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        return Choice(tuple(spec))
    return Choice((spec,))
