"""A document against a pydantic model: every broken rule as a problem that points at the line it is in."""

import types
import typing
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dse.errors import InputError, Problem, did_you_mean
from dse.located import Document, Loc, converted, field_path
from dse.rules import Broken, Rule
from dse.schema.parts import UNION_TAGS

__all__ = ["broken_problem", "check", "location", "validate"]

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def validate(document: Document, model: type[AnyModel], loc: Loc = ()) -> AnyModel:
    """The document's value at `loc` as a model; raises `InputError` with all problems."""
    result, problems = check(document, model, loc)
    if result is None or problems:
        raise InputError(*problems)
    return result


def check(document: Document, model: type[AnyModel], loc: Loc = ()) -> tuple[AnyModel | None, list[Problem]]:
    """As `validate`, returning the problems (those of the YAML itself included)."""
    problems = list(document.problems)
    value = document.value
    for part in loc:
        value = value[part]
    try:
        return model.model_validate(value), problems
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            for problem in _problems(document, model, loc, detail):
                if problem not in problems:
                    problems.append(problem)
        return None, problems


def location(loc: Loc) -> tuple[str | int, ...]:
    """`loc` without the tags that pydantic puts in for the branch of a union (see `dse.schema.parts`)."""
    return tuple(part for before, part in zip(("", *loc), loc, strict=False)
                 if not (part in UNION_TAGS
                         and (isinstance(before, int) or before in ("network", "workload", "arrivals_s", "seeds",
                                                                   "technology"))))


def _problems(document: Document, model: type[BaseModel], start: Loc, error: ErrorDetails) -> list[Problem]:
    inner = location(error["loc"])
    loc = (*start, *inner)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "rule":
        node_loc = loc[: document.node(loc)[1]]
        got = document.got(node_loc)
        hint = document.trap(node_loc, context["wants"]) or context["hint"]
        return [document.problem(node_loc, f"must be {context['rule']}, got {got}", hint=hint)]
    if kind == "broken":
        return [broken_problem(document, loc, broken) for broken in context["problems"]]
    owner = _model_at(model, inner[:-1])
    names = list(owner.model_fields) if owner is not None else []
    if kind == "extra_forbidden":
        given = _keys(document, loc[:-1])
        free = [name for name in names if name not in given]
        hint = did_you_mean(inner[-1], free) or did_you_mean(inner[-1], names)
        if hint:
            other = converted(str(inner[-1]), hint.split("'")[1], error["input"])
            hint += f" {other}" if other else ""
        if not hint and names:
            hint = f"known: {', '.join(names)}"
        return [document.problem(loc, "unknown key", hint=hint, at_key=True)]
    if kind == "missing":
        rule = _rule(owner, str(inner[-1]))
        problem = document.problem(loc[:-1], f"missing key, must be {rule}" if rule else "missing key")
        return [_renamed(problem, field_path(loc))]
    expected = {"list_type": "a list", "dict_type": "a mapping"}.get(kind)
    if kind in ("model_type", "model_attributes_type"):
        here = _model_at(model, inner)
        expected = getattr(here, "WHAT", "a mapping")
    if expected:
        node_loc = loc[: document.node(loc)[1]]
        return [document.problem(node_loc, f"must be {expected}, got {document.got(node_loc)}")]
    return [document.problem(loc, f"must be valid: {error['msg']}")]


def broken_problem(document: Document, loc: Loc, broken: Broken) -> Problem:
    """A problem for a rule that a validator found broken at or below `loc`."""
    at = (*loc, *broken.at)
    got = f", got {document.got(at)}" if broken.got and document.node(at)[1] == len(at) else ""
    return document.problem(at, broken.message + got, hint=broken.hint, at_key=broken.at_key)


def _renamed(problem: Problem, path: str) -> Problem:
    return Problem(file=problem.file, line=problem.line, column=problem.column, field=path, message=problem.message,
                   hint=problem.hint, source=problem.source)


def _keys(document: Document, loc: Loc) -> list[str]:
    value = document.value
    for part in loc:
        value = value[part]
    return list(value) if isinstance(value, dict) else []


# --- models by path ---------------------------------------------------------------------------------------------------


def _members(annotation: Any) -> list[Any]:
    """The alternatives of a type, with `Annotated`, `Optional` and unions taken apart."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for arg in typing.get_args(annotation) for member in _members(arg)]
    return [annotation]


def _model_at(model: Any, loc: Loc) -> type[BaseModel] | None:
    """The model of the mapping at a path below `model`; None where there is none."""
    candidates = [model]
    for part in loc:
        below: list[Any] = []
        for candidate in candidates:
            origin, args = typing.get_origin(candidate), typing.get_args(candidate)
            if (origin is list and isinstance(part, int)) or origin is dict:
                below += _members(args[-1])
            elif isinstance(candidate, type) and issubclass(candidate, BaseModel) and part in candidate.model_fields:
                below += _members(candidate.model_fields[str(part)].annotation)
        candidates = below
    models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
    return models[0] if models else None


def _rule(owner: type[BaseModel] | None, name: str) -> str:
    """What the value of a missing key would have to be."""
    if owner is None or name not in owner.model_fields:
        return ""
    field = owner.model_fields[name]
    for annotation in [field.annotation, *_annotated(field.annotation)]:
        for rule in getattr(annotation, "__metadata__", ()):
            if isinstance(rule, Rule):
                return rule.text
    for rule in field.metadata:
        if isinstance(rule, Rule):
            return rule.text
    for member in _members(field.annotation):
        if typing.get_origin(member) is list:
            return "a list"
        if isinstance(member, type) and issubclass(member, BaseModel):
            return str(getattr(member, "WHAT", "a mapping"))
    return ""


def _annotated(annotation: Any) -> list[Any]:
    """Every `Annotated` inside a type, outermost first."""
    args = typing.get_args(annotation)
    found = [annotation] if typing.get_origin(annotation) is typing.Annotated else []
    return found + [inner for arg in args for inner in _annotated(arg)]
