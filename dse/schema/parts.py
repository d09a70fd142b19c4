"""What the mappings of all files have in common."""

import importlib
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from dse.rules import count, number, one_of, text

__all__ = ["UNION_TAGS", "Bandwidth", "Bytes", "Clock", "Lanes", "Model", "Name", "Node", "NonNegative", "Positive",
           "Precision", "Side", "names", "registry", "text_or_more"]


def registry(module: str, name: str) -> Iterable[Any]:
    """Names of a registry, imported only when a file asks for them."""
    names: Iterable[Any] = getattr(importlib.import_module(module), name)
    return names


def names(module: str, name: str) -> Any:
    return one_of(lambda: registry(module, name))


Positive = Annotated[float, number(above=0)]
NonNegative = Annotated[float, number(at_least=0)]
Name = Annotated[str, text()]
Side = Annotated[int, count(1, 2**16)]
Bytes = Annotated[int, count(1, 2**40)]
Lanes = Annotated[int, count(1, 2**20)]
Precision = Annotated[str, names("hwmodels.engine", "PRECISION_BITS")]
Clock = Annotated[float, number(above=0, ceiling=1e12)]
Bandwidth = Annotated[float, number(above=0, ceiling=1e15)]
Node = Annotated[int, names("hwmodels.engine", "NODES_NM")]


class Model(BaseModel):
    """A mapping; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True)
    WHAT: ClassVar[str] = "a mapping"


UNION_TAGS = ("<text>", "<inline>")
"""Branches of a value that is a text (a name, a path) or written out in place; pydantic puts them into its paths."""


def text_or_more(value: Any) -> str:
    return UNION_TAGS[isinstance(value, dict | list | BaseModel)]
