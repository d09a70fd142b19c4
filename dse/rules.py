"""Rules of single values, each one human sentence: `must be RULE, got VALUE`.

A rule is put on a field as `Annotated[float, number(above=0)]`; pydantic calls it, and finds its JSON schema in it.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, final

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from dse.errors import did_you_mean

__all__ = ["Broken", "Rule", "anything", "count", "flag", "number", "one_of", "record_fields", "text", "times"]

MAX_WHOLE = 2**53
"""Integers up to here survive every format (JSON, CSV, float columns)."""


@final
@dataclass(frozen=True, kw_only=True)
class Broken:
    """A broken rule inside a value.

    Parameters
    ----------
    at : keys and indices from the value to the offending part.
    message : `must be RULE`, without the value.
    got : whether the value is worth showing.
    """

    at: tuple[str | int, ...] = ()
    message: str
    hint: str = ""
    got: bool = True
    at_key: bool = False

    @staticmethod
    def error(problems: Iterable["Broken"]) -> PydanticCustomError:
        """What a validator raises for one or more problems."""
        return PydanticCustomError("broken", "rules are broken", {"problems": tuple(problems)})


@final
@dataclass(frozen=True, eq=False)  # compared by identity: typing hashes what annotates a type
class Rule:
    """What a value must be.

    Parameters
    ----------
    sentence : after "must be"; a function when it depends on a registry.
    check : the value as it is to be kept; raises `ValueError` when it is none (its text is the hint).
    wants : number, text or flag: which slips of the pen to look for.
    json : JSON schema; a function when it depends on a registry.
    """

    sentence: str | Callable[[], str]
    check: Callable[[Any], Any]
    wants: str
    json: dict[str, Any] | Callable[[], dict[str, Any]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.sentence() if callable(self.sentence) else self.sentence

    def _validate(self, value: Any) -> Any:
        try:
            return self.check(value)
        except ValueError as error:
            raise PydanticCustomError("rule", "must be {rule}",
                                      {"rule": self.text, "hint": str(error), "wants": self.wants}) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate, metadata={"pydantic_js_functions": [self._json_schema]})

    def _json_schema(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.json() if callable(self.json) else self.json)


def number(*, above: float | None = None, at_least: float | None = None, below: float | None = None,
           at_most: float | None = None, ceiling: float | None = None) -> Rule:
    """A finite number in a range, kept as float; beyond `ceiling` it is taken for a slip, without a word of it before.
    """
    sentence = _range_sentence("a number", above, at_least, below, at_most)

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("")
        try:
            value = float(value)
        except OverflowError:
            raise ValueError("") from None
        if not math.isfinite(value) or not _inside(value, above, at_least, below, at_most):
            raise ValueError("")
        if ceiling is not None and value > ceiling:
            raise ValueError(f"at most {ceiling:g}")
        return value

    bounds = {"exclusiveMinimum": above, "minimum": at_least, "exclusiveMaximum": below, "maximum": at_most}
    return Rule(sentence, check, "number", {"type": "number"} | {k: v for k, v in bounds.items() if v is not None})


def count(low: int = 1, ceiling: int = MAX_WHOLE) -> Rule:
    """An integer >= low; a number written with an exponent (`64e3`) is one when it is whole. See `number`."""

    def check(value: Any) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_WHOLE:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError("")
        if value > ceiling:
            raise ValueError(f"at most {ceiling:,}")
        return value

    return Rule(f"an integer >= {low}", check, "number", {"type": "integer", "minimum": low, "maximum": ceiling})


def _range_sentence(noun: str, above: float | None, at_least: float | None, below: float | None,
                    at_most: float | None) -> str:
    if (above is not None or at_least is not None) and (below is not None or at_most is not None):
        left = f"({above:g}" if above is not None else f"[{at_least:g}"
        right = f"{below:g})" if below is not None else f"{at_most:g}]"
        return f"{noun} in {left}, {right}"
    for sign, bound in ((">", above), (">=", at_least), ("<", below), ("<=", at_most)):
        if bound is not None:
            return f"{noun} {sign} {bound:g}"
    return noun


def _inside(value: float, above: float | None, at_least: float | None, below: float | None,
            at_most: float | None) -> bool:
    return ((above is None or value > above) and (at_least is None or value >= at_least)
            and (below is None or value < below) and (at_most is None or value <= at_most))


def one_of(names: Iterable[Any] | Callable[[], Iterable[Any]], sentence: str = "") -> Rule:
    """One of some names or numbers; `names` may be a function, so that a registry is loaded only when it is asked."""
    def allowed() -> tuple[Any, ...]:
        return tuple(names() if callable(names) else names)

    def check(value: Any) -> Any:
        options = allowed()
        for option in options:
            if option == value and isinstance(option, bool) == isinstance(value, bool):
                return option
        raise ValueError(did_you_mean(value, options) if isinstance(value, str) else "")

    text_like = callable(names) or any(isinstance(name, str) for name in names)
    return Rule(lambda: sentence or f"one of {', '.join(str(name) for name in allowed())}", check,
                "text" if text_like else "number", lambda: {"enum": list(allowed())})


def text(sentence: str = "a name") -> Rule:
    """A text of at least one visible character, without control characters."""
    def check(value: Any) -> str:
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise ValueError("")
        return value

    return Rule(sentence, check, "text", {"type": "string", "minLength": 1})


def times() -> Rule:
    """Times in one text, separated by blanks and line ends; kept as a list."""
    def check(value: Any) -> list[float]:
        try:
            found = [float(word) for word in value.split()] if isinstance(value, str) else []
        except ValueError:
            found = [-1.0]
        if not found or not all(0.0 <= time < math.inf for time in found):
            raise ValueError("")
        return found

    return Rule("a list of numbers >= 0", check, "text", {"type": "string"})


def flag() -> Rule:
    """true or false."""
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("")
        return value

    return Rule("true or false", check, "flag", {"type": "boolean"})


def anything(json: dict[str, Any] | None = None, what: str = "any value") -> Rule:
    """Any value: it is judged later, where more is known."""
    return Rule(what, lambda value: value, "", json or {})


def record_fields(record: type, rules: dict[str, Any], without: Iterable[str] = ()) -> dict[str, Any]:
    """Fields for `create_model` from a dataclass of the models: its names, defaults and documentation.

    Parameters
    ----------
    rules : name -> annotation; a field without one takes the rule of its type (the record's own checks say the rest).
    """
    by_type = {int: count(0), float: number(at_least=0), str: text(), bool: flag()}
    meanings = _meanings(record.__doc__ or "")
    made: dict[str, Any] = {}
    for item in fields(record):
        if item.name in without:
            continue
        annotation = rules.get(item.name) or Annotated[item.type, by_type[item.type]]  # type: ignore[index]
        default = ... if item.default is MISSING else list(item.default) if isinstance(item.default, tuple) \
            else item.default
        made[item.name] = (annotation, Field(default, description=meanings.get(item.name)))
    return made


def _meanings(doc: str) -> dict[str, str]:
    """Name -> description out of a numpydoc section of parameters."""
    meanings = {}
    for names, text_ in re.findall(r"^    (\w[\w, ]*) : (.+(?:\n {8}.+)*)", doc, re.MULTILINE):
        for name in names.split(", "):
            meanings[name] = " ".join(text_.split())
    return meanings
