"""Timeloop problem files (YAML, 0.3 and 0.4): one layer each.

    problem: {name, instance: {N, C, M, R, S, P, Q, G, Wstride, Hstride, Wdilation, Hdilation}, shape: {...}}

MACs are the product of the dimensions. C and M are per group: a depthwise layer is `G: 16` with C = M = 1. A matrix
product is C (reduction), M (columns), P (rows). The published layers begin with a Jinja line that includes a base file
and merge it (`<<<: *problem_base`): the base (the convolution below, all sizes and strides 1) is supplied here. Many
spell `HStride` where that base says `Hstride`: Timeloop itself then keeps the stride 1; they are read as meant, with a
note. A problem with a `shape` of its own is read by its projections.
"""

import re
from pathlib import Path
from typing import Any

from dse.errors import InputError, Problem, did_you_mean
from dse.located import Document, parse, read_text
from dse.readers.loopnest import Index, nest
from dse.readers.record import NetworkFile
from hwmodels.errors import ModelError
from hwmodels.network import Layer, Network

__all__ = ["is_problem", "parse_problem", "read_problem"]

_DIMENSIONS = ("N", "C", "M", "R", "S", "P", "Q", "G")
_COEFFICIENTS = ("Wstride", "Hstride", "Wdilation", "Hdilation")
_PRECISION = ("X", "Y", "Z")  # bit-serial models built on Timeloop loop over the bits of inputs, weights, outputs
_LARGEST = 2**40
_JINJA_LINE = re.compile(r"^[ \t]*\{\{.*\}\}[ \t]*$", re.MULTILINE)
_ALIAS = re.compile(r"(:[ \t]*|[\[,][ \t]*|-[ \t]+)\*([A-Za-z_]\w*)")


def _plain(text: str) -> str:
    """The text without what only Timeloop's front end understands; every line and column stays where it is."""
    text = _JINJA_LINE.sub(lambda found: " " * len(found[0]), text)
    anchors = set(re.findall(r"&([A-Za-z_]\w*)", text))
    return _ALIAS.sub(lambda found: found[0] if found[2] in anchors
                      else f"{found[1]}{{}}{' ' * (len(found[2]) - 1)}", text)


def is_problem(value: Any) -> bool:
    """Whether a YAML file looks like a Timeloop problem."""
    return isinstance(value, dict) and "problem" in value


def parse_problem(path: Path) -> Document:
    """The YAML of a file that may be a problem; raises `InputError` where it is no YAML."""
    text = read_text(path)
    if not text.strip():
        raise InputError(Problem(file=str(path), line=1, message="must be a Timeloop problem or a ZigZag workload, got "
                                 "an empty file"))
    return parse(_plain(text), str(path))


def _merged(value: Any) -> Any:
    """Mappings with the ones they merge (`<<<`, Timeloop's own key) filled in below."""
    if isinstance(value, list):
        return [_merged(item) for item in value]
    if not isinstance(value, dict):
        return value
    result: dict[str, Any] = {}
    base = value.get("<<<")
    for other in base if isinstance(base, list) else [base]:
        if isinstance(other, dict):
            result = _over(result, _merged(other))
    return _over(result, {key: _merged(item) for key, item in value.items() if key != "<<<"})


def _over(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    both = {key: _over(base[key], item) if isinstance(item, dict) and isinstance(base.get(key), dict) else item
            for key, item in top.items()}
    return base | both


def read_problem(path: Path) -> NetworkFile:
    """The layer of a problem file, as a network of one layer.

    Raises
    ------
    InputError : every problem of the file with its line.
    """
    return _Reader(parse_problem(path), path).read()


class _Reader:
    def __init__(self, document: Document, path: Path) -> None:
        self.document, self.path = document, path
        self.problems: list[Problem] = list(document.problems)
        self.notes: list[str] = []

    def report(self, loc: tuple[str | int, ...], message: str, *, hint: str = "", at_key: bool = False) -> None:
        self.problems.append(self.document.problem(loc, message, hint=hint, at_key=at_key))

    def read(self) -> NetworkFile:
        value = _merged(self.document.value)
        problem = value.get("problem") if isinstance(value, dict) else None
        if not isinstance(problem, dict):
            self.report(("problem",) if isinstance(value, dict) and "problem" in value else (),
                        "must be a mapping with the key instance")
            raise InputError(*self.problems)
        shape = problem.get("shape")
        own = self.shape(shape) if isinstance(shape, dict) and ("data_spaces" in shape or "data-spaces" in shape) \
            else None
        dimensions, operands, coefficients = own or (_DIMENSIONS, None, _COEFFICIENTS)
        loc: tuple[str | int, ...] = ("problem", "instance")
        instance = problem.get("instance")
        if instance is None and any(name in problem for name in ("C", "P", "Q", "K", "R")):  # version 0.3
            loc, instance = ("problem",), {key: item for key, item in problem.items()
                                           if key not in ("shape", "name", "version", "densities")}
        if not isinstance(instance, dict):
            self.report(("problem",), "must have the key instance, a mapping of sizes such as {C: 64, M: 128, P: 56}")
            raise InputError(*self.problems)
        sizes, factors = self.sizes(instance, loc, dimensions, coefficients, plain=own is None)
        densities = instance.get("densities", problem.get("densities"))
        extra = self.densities(densities)
        if self.problems:
            raise InputError(*self.problems)
        output, weights, inputs = operands(factors) if operands else _convolution(factors)
        values, remarks = nest(sizes, output, weights, inputs)
        self.notes += remarks
        name = problem.get("name")
        name = name if isinstance(name, str) and name.strip() and name.isprintable() else self.path.stem
        try:
            layer = Layer(name=name, **values, **extra)
            network = Network(name=self.path.stem, layers=(layer,), source=self.path.name, notes=tuple(self.notes))
        except ModelError as error:
            raise InputError(self.document.problem(loc, f"must be a layer that can exist: {error}")) from None
        return NetworkFile(kind="timeloop", network=network, notes=tuple(self.notes))

    def sizes(self, instance: dict[str, Any], loc: tuple[str | int, ...], dimensions: tuple[str, ...],
              coefficients: tuple[str, ...], *, plain: bool) -> tuple[dict[str, int], dict[str, int]]:
        """Sizes of the loops and factors of the projections; what is not given is 1."""
        sizes, factors = dict.fromkeys(dimensions, 1), dict.fromkeys(coefficients, 1)
        spelling = {name.lower(): name for name in coefficients}
        respelt: dict[str, str] = {}
        given: dict[str, str] = {}
        for key, value in instance.items():
            name = str(key)
            target = name
            if plain and name == "K" and "M" not in instance:
                target = "M"
                self.notes.append("K is read as M (output channels)")
            elif name not in factors and name.lower() in spelling:
                target = spelling[name.lower()]
                respelt[name] = target
            if plain and name in _PRECISION:
                self.notes.append(f"{name}: {value} (bits of an operand) is left out of the MACs")
                continue
            if name == "densities":
                continue
            if target not in sizes and target not in factors:
                known = [*dimensions, *coefficients]
                self.report((*loc, name), "unknown dimension", at_key=True,
                            hint=did_you_mean(name, known) or f"known: {', '.join(known)}")
                continue
            if target in given:
                self.report((*loc, name), f"must be given once, got {given[target]} and {name}", at_key=True)
                continue
            given[target] = name
            size = int(value) if isinstance(value, float) and value.is_integer() else value
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < _LARGEST:
                at = (*loc, name)
                self.report(at, f"must be an integer >= 1, got {self.document.got(at)}",
                            hint=self.document.trap(at, "number"))
                continue
            (sizes if target in sizes else factors)[target] = size
        if respelt:
            self.notes.append("; ".join(f"{name} is read as {target}" for name, target in respelt.items())
                              + " (Timeloop knows the latter only, and would keep 1)")
        return sizes, factors

    def shape(self, shape: dict[str, Any]) -> tuple[tuple[str, ...], Any, tuple[str, ...]] | None:
        """Dimensions, projections (a function of the coefficients) and coefficients of a shape; None after problems."""
        loc: tuple[str | int, ...] = ("problem", "shape")
        dimensions = shape.get("dimensions")
        if not isinstance(dimensions, list) or not dimensions or not all(isinstance(d, str) for d in dimensions):
            self.report((*loc, "dimensions") if "dimensions" in shape else loc, "must be a list of names (dimensions)")
            return None
        listed = shape.get("coefficients") or []
        coefficients = tuple(str(item.get("name")) for item in listed if isinstance(item, dict)) \
            if isinstance(listed, list) else ()
        key = "data_spaces" if "data_spaces" in shape else "data-spaces"
        spaces = shape[key]
        inputs: list[tuple[str, Any]] = []
        outputs: list[Any] = []
        for index, space in enumerate(spaces if isinstance(spaces, list) else ()):
            at = (*loc, key, index)
            if not isinstance(space, dict) or not isinstance(space.get("projection"), list):
                self.report(at, "must be a mapping with the keys name and projection")
                return None
            form = _projection(space["projection"], set(dimensions), set(coefficients))
            if isinstance(form, str):
                self.report((*at, "projection"), form)
                return None
            if space.get("read_write", space.get("read-write", False)) in (True, "true", "True"):
                outputs.append(form)
            else:
                inputs.append((str(space.get("name", "")), form))
        if len(outputs) != 1 or len(inputs) != 2:
            self.report((*loc, key), "must be two data spaces that are read and one with read_write: true, got "
                        f"{len(inputs)} and {len(outputs)}")
            return None
        first = 1 if any(word in inputs[1][0].lower() for word in ("weight", "filter", "kernel")) else 0
        weights, others = inputs[first][1], inputs[1 - first][1]

        def operands(factors: dict[str, int]) -> tuple[list[Index], list[Index], list[Index]]:
            return outputs[0](factors), weights(factors), others(factors)

        return tuple(dimensions), operands, coefficients

    def densities(self, given: Any) -> dict[str, Any]:
        """Fractions of non-zero values, where they are plain numbers."""
        found: dict[str, Any] = {}
        for name, item in given.items() if isinstance(given, dict) else ():
            value = item.get("density") if isinstance(item, dict) else item
            role = {"weights": "weight_density", "inputs": "activation_density"}.get(str(name).lower())
            if role is None:
                continue
            if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 < value <= 1.0:
                found[role] = float(value)
                if value < 1.0:
                    found["sparsity"] = "random"
            else:
                self.notes.append(f"density of {name} is no number in (0, 1]: read as dense")
        return found


def _convolution(factors: dict[str, int]) -> tuple[list[Index], list[Index], list[Index]]:
    """Projections of Timeloop's convolution: R slides along P (columns), S along Q (rows)."""
    output: list[Index] = [(("N", 1),), (("G", 1),), (("M", 1),), (("Q", 1),), (("P", 1),)]
    weights: list[Index] = [(("G", 1),), (("C", 1),), (("M", 1),), (("S", 1),), (("R", 1),)]
    inputs: list[Index] = [(("N", 1),), (("G", 1),), (("C", 1),),
                           (("Q", factors["Hstride"]), ("S", factors["Hdilation"])),
                           (("P", factors["Wstride"]), ("R", factors["Wdilation"]))]
    return output, weights, inputs


def _projection(given: list[Any], dimensions: set[str], coefficients: set[str]) -> Any:
    """A projection as a function of the coefficients; a sentence when it is none.

    Timeloop writes an index as a list of terms, a term as [dimension] or [dimension, coefficient].
    """
    indices: list[list[tuple[str, str]]] = []
    for index in given:
        terms = []
        for item in index if isinstance(index, list) and index else [None]:
            term = [item] if isinstance(item, str) else item
            if not isinstance(term, list) or not all(isinstance(part, str) for part in term) or not (
                    1 <= len(term) <= 2 and term[0] in dimensions and (len(term) == 1 or term[1] in coefficients)):
                return "must be a list of indices such as [[C]] or [[R, Wdilation], [P, Wstride]] of known names"
            terms.append((term[0], term[1] if len(term) == 2 else ""))
        indices.append(terms)

    def resolved(factors: dict[str, int]) -> list[Index]:
        return [tuple((loop, factors[factor] if factor else 1) for loop, factor in terms) for terms in indices]

    return resolved
