"""Errors of spaces.

    SpaceError       a domain, condition, clause or point breaks a rule; `offender` is the object that does
"""

from difflib import get_close_matches
from typing import Any

__all__ = ["SpaceError", "did_you_mean"]


def did_you_mean(name: object, allowed: list[str] | tuple[str, ...]) -> str:
    """`did you mean 'X'?` for the nearest allowed name, or an empty string."""
    close = get_close_matches(str(name), [str(option) for option in allowed], n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""


class SpaceError(ValueError):
    """`field` must be `rule`, got `value`.

    Parameters
    ----------
    field : path inside the space: `PARAMETER`, `conditions[PARAMETER]` or `forbidden[INDEX]`.
    offender : the domain, condition, clause or parameter set that breaks the rule.
    """

    def __init__(self, field: str, rule: str, value: object = None, *, offender: Any = None, hint: str = "") -> None:
        self.field, self.rule, self.value, self.offender, self.hint = field, rule, value, offender, hint
        super().__init__(field, rule, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.field, self.rule, self.value, self.offender, self.hint)

    def __str__(self) -> str:
        got = f", got {self.value!r}" if self.value is not None else ""
        return f"{self.field}: must be {self.rule}{got}" + (f" ({self.hint})" if self.hint else "")


def _rebuild(field: str, rule: str, value: object, offender: Any, hint: str) -> SpaceError:
    return SpaceError(field, rule, value, offender=offender, hint=hint)
