"""YAML whose every value knows its line and column, so that an error can point at it.

`read` turns a file into a `Document`: plain Python values plus the tree of nodes they came from. What YAML 1.1 would
quietly misread is settled here: `1e9` and `100e6` are numbers; `1:30` and `010` are text, not 90 and 8; dates are text;
a key given twice, tags, and aliases that contain themselves are problems.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import yaml

from dse.errors import InputError, Problem, did_you_mean

__all__ = ["Document", "Loc", "converted", "field_path", "names_in", "near_file", "parse", "read", "read_text", "trap"]

Loc = Sequence[str | int]
"""Keys and indices from the root to a value."""

MAX_BYTES = 64 * 2**20
MAX_VALUES = 200_000
MAX_DEPTH = 60

_TAG = "tag:yaml.org,2002:"
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$|[-+]?0x[0-9a-fA-F]+$")
_DECIMAL = re.compile(r"[-+]?(?:(?:0|[1-9][0-9_]*)(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$")
_INFINITE = re.compile(r"([-+]?)\.(inf|nan)$", re.IGNORECASE)
_BASE_60 = re.compile(r"[-+]?[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?$")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+$")
_WITH_UNIT = re.compile(r"([-+]?[0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z%µ][A-Za-z0-9/%^²]*)$")
_UNITS = {  # key suffix -> unit as people write it -> factor to the unit of the key
    "_s": {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0},
    "_hz": {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9, "fps": 1.0},
    "_bytes": {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30},
    "_bytes_per_s": {"b/s": 1.0, "kb/s": 1e3, "mb/s": 1e6, "gb/s": 1e9, "tb/s": 1e12, "gib/s": 2.0**30},
    "_mm2": {"mm2": 1.0, "mm^2": 1.0, "mm²": 1.0, "um2": 1e-6, "cm2": 100.0},
    "_w": {"w": 1.0, "mw": 1e-3},
    "_j": {"j": 1.0, "mj": 1e-3, "uj": 1e-6, "pj": 1e-12},
    "_nm": {"nm": 1.0},
    "_frac": {"%": 0.01},
}


def field_path(loc: Loc) -> str:
    """`tenants[1].traffic.rate_hz` for ("tenants", 1, "traffic", "rate_hz")."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


@final
@dataclass(frozen=True, kw_only=True)
class Document:
    """A file that was read.

    Parameters
    ----------
    path : as the user wrote it, for messages.
    text : without byte-order mark.
    root : node tree of the file.
    value : the same as dicts, lists, str, int, float, bool and None.
    problems : what was wrong with the YAML itself (keys given twice, tags, aliases).
    """

    path: str
    text: str
    root: yaml.Node
    value: Any
    problems: list[Problem] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where the relative paths inside the file start."""
        return Path(self.path).resolve().parent

    def node(self, loc: Loc) -> tuple[yaml.Node, int]:
        """The deepest node on the way to `loc`, and how many parts of `loc` lead to it."""
        node = self.root
        for depth, part in enumerate(loc):
            below = _child(node, part)
            if below is None:
                return node, depth
            node = below[1]
        return node, len(loc)

    def problem(self, loc: Loc, message: str, *, hint: str = "", at_key: bool = False) -> Problem:
        """A problem at the value of `loc` (at its key with `at_key`), or at the nearest mapping above it."""
        node, _ = self.node(loc)
        if at_key and loc:
            pair = _child(self.node(loc[:-1])[0], loc[-1])
            if pair is not None:
                node = pair[0]
        return self.problem_at(node.start_mark, field_path(loc), message, hint=hint)

    def problem_at(self, mark: yaml.Mark, path: str, message: str, *, hint: str = "") -> Problem:
        """A problem at a mark of the parser."""
        return _located(self.path, self.text, mark.line, mark.column, message, field=path, hint=hint)

    def got(self, loc: Loc) -> str:
        """The value at `loc` as the user wrote it, short."""
        return _got(self.node(loc)[0])

    def trap(self, loc: Loc, wants: str) -> str:
        """What YAML or a habit made of the value at `loc`, where a `wants` (number, text, flag) belongs; or ''."""
        node, depth = self.node(loc)
        if not isinstance(node, yaml.ScalarNode) or depth < len(loc):
            return ""
        key = next((str(part) for part in reversed(loc) if isinstance(part, str)), "")
        return trap(node.value, quoted=node.style is not None, wants=wants, key=key)


def trap(text: str, *, quoted: bool, wants: str, key: str) -> str:
    """A hint for a scalar that is not what its writer meant; '' when nothing comes to mind."""
    if wants == "number":
        if quoted and (_WHOLE.match(text) or _DECIMAL.match(text)):
            return "remove the quotes"
        if _BASE_60.match(text) and not quoted:
            return "YAML reads a:b as base 60; write one number"
        if _LEADING_ZERO.match(text):
            return f"YAML reads a leading 0 as octal; write {text.replace('_', '').lstrip('+-0') or '0'}"
        match = _WITH_UNIT.match(text)
        if match:
            suffix = max((s for s in _UNITS if key.endswith(s)), key=len, default="")
            factor = _UNITS.get(suffix, {}).get(match[2].lower())
            if factor is None:
                return "write the number alone: its unit is the end of the key's name" if suffix else \
                    "write the number alone"
            return f"write {float(match[1].replace('_', '')) * factor:.12g}: the unit is the end of the key's name"
        if "," in text and _DECIMAL.match(text.replace(",", ".", 1)):
            return f"write {text.replace(',', '.', 1)}"
    elif wants == "text" and not quoted:
        if text.lower() in ("on", "off", "yes", "no", "true", "false", "y", "n"):
            return f"YAML reads {text} as {'true' if text.lower() in ('on', 'yes', 'true', 'y') else 'false'}; " \
                "put it in quotes"
        if _WHOLE.match(text) or _DECIMAL.match(text):
            return "put it in quotes"
    elif wants == "flag" and text.lower() in ("true", "false", "on", "off", "yes", "no", "0", "1"):
        return f"write {'true' if text.lower() in ('true', 'on', 'yes', '1') else 'false'}" \
            + (" without quotes" if quoted else "")
    return ""


def converted(key: str, right: str, value: Any) -> str:
    """`deadline_s: 0.033` for a value of 33 under the key `deadline_ms`; '' when the units do not tell."""
    suffix = max((s for s in _UNITS if right.endswith(s)), key=len, default="")
    unit = key.removeprefix(right.removesuffix(suffix)).lstrip("_").lower() if suffix else ""
    factor = _UNITS.get(suffix, {}).get(unit)
    if factor is None or isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        return ""
    return f"{right}: {value * factor:.12g}"


def _got(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping" if node.value else "an empty mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list" if node.value else "an empty list"
    assert isinstance(node, yaml.ScalarNode)
    text = str(node.value)
    short = text if len(text) <= 60 else text[:57] + "..."
    value = _scalar(node)
    if value is None:
        return "nothing"
    return short if isinstance(value, int | float) else repr(short)


def _child(node: yaml.Node, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """(key node, value node) of a part of a path; a list item is its own key. Merged keys (`<<`) are looked through."""
    if isinstance(node, yaml.SequenceNode):
        if isinstance(part, int) and 0 <= part < len(node.value):
            return node.value[part], node.value[part]
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == str(part):
                return key, value
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                for below in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    found = _child(below, part) if isinstance(below, yaml.MappingNode) else None
                    if found is not None:
                        return found
    return None


# --- reading ----------------------------------------------------------------------------------------------------------


def read_text(path: str | Path, *, what: str = "YAML text", max_bytes: int | None = MAX_BYTES) -> str:
    """Text of a UTF-8 file without its byte-order mark; raises `InputError` with one clear sentence otherwise."""
    shown = str(path)
    try:
        if Path(path).is_dir():
            raise InputError(Problem(file=shown, message="must be a file, got a folder"))
        with Path(path).open("rb") as file:
            data = file.read() if max_bytes is None else file.read(max_bytes + 1)
    except FileNotFoundError:
        raise InputError(Problem(file=shown, message="must be an existing file, got none",
                                 hint=near_file(path))) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(Problem(file=shown, message=f"must be a readable file: {reason}")) from None
    if max_bytes is not None and len(data) > max_bytes:
        raise InputError(Problem(file=shown, message=f"must be at most {max_bytes // 2**20} MiB, got a larger file"))
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(Problem(file=shown, line=1, message=f"must be {what} in UTF-8, got UTF-16"))
    if b"\0" in data:
        raise InputError(Problem(file=shown, message=f"must be {what}, got a binary file"))
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n")
        column = len(before[before.rfind(b"\n") + 1:].decode("utf-8", "replace"))
        whole = data.decode("utf-8", "replace")
        raise InputError(_located(shown, whole, line, column,
                                  f"must be {what} in UTF-8, got the byte 0x{data[error.start]:02x}")) from None


def near_file(path: str | Path, shown: str | Path = "") -> str:
    """A did-you-mean for a file that is not there; `shown` is how the user wrote its path."""
    folder = Path(path).parent
    try:
        names = [entry.name for _, entry in zip(range(1000), folder.iterdir(), strict=False)]
    except (OSError, ValueError):
        return ""
    hint = did_you_mean(Path(path).name, names)
    where = Path(shown or path).parent
    return hint.replace("'", f"'{where}/", 1) if hint and str(where) != "." else hint


def read(path: str | Path) -> Document:
    """Parse a file; raises `InputError` when it is no YAML. Problems of single keys are kept in the document."""
    return parse(read_text(path), str(path))


def parse(text: str, path: str) -> Document:
    """`read` for a text that is already there."""
    def fail(line: int, column: int, message: str, hint: str = "") -> InputError:
        return InputError(_located(path, text, line, column, message, hint=hint))

    try:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        raise fail(before.count("\n"), len(before) - before.rfind("\n") - 1,
                   f"must be free of control characters, got {chr(error.character)!r}"
                   if isinstance(error.character, int) else "must be YAML text in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        raise fail(line, column, *_syntax(error, text, line, column)) from None
    except (RecursionError, ValueError, yaml.YAMLError) as error:
        deep = isinstance(error, RecursionError)
        raise InputError(Problem(file=path, message=f"must be nested at most {MAX_DEPTH} levels deep, got more" if deep
                                 else f"must be valid YAML: {error}")) from None
    if root is None:
        raise InputError(Problem(file=path, line=1, column=1, message="must hold a mapping with the key 'kind', "
                                 f"got {'an empty file' if not text.strip() else 'comments only'}"))
    document = Document(path=path, text=text, root=root, value=None)
    value = _Builder(document).build(root, (), 0)
    return Document(path=path, text=text, root=root, value=value, problems=document.problems)


def _syntax(error: yaml.MarkedYAMLError, text: str, line: int, column: int) -> tuple[str, str]:
    """(message, hint) for what PyYAML says about a file that is no YAML."""
    lines = text.splitlines()
    current = lines[line] if line < len(lines) else ""
    problem = str(error.problem or "").replace("<", "").replace(">", "")
    if "'\\t'" in problem or "\t" in current[: column + 1]:
        return "must be indented with spaces, got a tab", ""
    if "expected a single document" in str(error.context or ""):
        return "must hold one document, got a second one", "remove '---'"
    if "undefined alias" in problem:
        return f"must be an alias of an anchor above: {problem}", ""
    if "duplicate anchor" in problem:
        return f"must be an anchor used once: {problem}", ""
    if "mapping values are not allowed" in problem:
        return "must be valid YAML: a ':' is not allowed here", "check the indentation, or quote a text that holds ': '"
    context = f" ({error.context})" if error.context else ""
    return f"must be valid YAML: {problem}{context}", ""


class _Builder:
    """Plain values from nodes, with a bound on what aliases may expand to."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.open: set[int] = set()

    def report(self, node: yaml.Node, loc: Loc, message: str, hint: str = "") -> None:
        problem = self.document.problem_at(node.start_mark, field_path(loc), message, hint=hint)
        if problem not in self.document.problems:
            self.document.problems.append(problem)

    def build(self, node: yaml.Node, loc: tuple[str | int, ...], depth: int) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise InputError(self.document.problem_at(
                node.start_mark, "", f"must hold at most {MAX_VALUES:,} values once aliases are expanded, got more"))
        if depth > MAX_DEPTH:
            raise InputError(self.document.problem_at(
                node.start_mark, "", f"must be nested at most {MAX_DEPTH} levels deep, got more"))
        if id(node) in self.open:
            self.report(node, loc, "must not contain itself through an alias")
            return None
        if not node.tag.startswith(_TAG) or node.tag.removeprefix(_TAG) in ("binary", "set", "omap", "pairs") \
                or node.tag.startswith(f"{_TAG}python"):
            self.report(node, loc, f"must be without a tag, got {node.tag!r}")
            return None
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*loc, i), depth + 1) for i, item in enumerate(node.value)]
            return self.mapping(node, loc, depth)
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.Node, loc: tuple[str | int, ...], depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first: dict[str, int] = {}
        merged: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.report(key, loc, f"must have names as keys, got {_got(key)}")
                continue
            if key.tag == f"{_TAG}merge":
                for below in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                    value = self.build(below, loc, depth + 1)
                    if not isinstance(value, dict):
                        self.report(below, (*loc, "<<"), f"must be a mapping, got {_got(below)}")
                        continue
                    merged = {**value, **merged}
                continue
            name = str(key.value)
            if name in first:
                self.report(key, (*loc, name), f"must be given once, got a second value (first given in line "
                            f"{first[name]})")
                continue
            first[name] = key.start_mark.line + 1
            values[name] = self.build(item, (*loc, name), depth + 1)
        return {**merged, **values}


def _scalar(node: yaml.ScalarNode) -> Any:
    """Value of a scalar: numbers as people write them, booleans of YAML 1.1, everything else text."""
    text = str(node.value)
    if node.style is not None or (node.tag == f"{_TAG}str" and not _DECIMAL.match(text)):
        return text
    if node.tag == f"{_TAG}null":
        return None
    if node.tag == f"{_TAG}bool":
        return text.lower() in ("yes", "true", "on")
    try:
        if _WHOLE.match(text):
            return int(text.replace("_", ""), 16 if "x" in text else 10)
    except ValueError:  # more digits than Python converts
        return float("inf")
    if _DECIMAL.match(text):
        return float(text.replace("_", ""))
    match = _INFINITE.match(text)
    if match:
        return float(match[1] + match[2])
    return text


def _located(path: str, text: str, line: int, column: int, message: str, *, field: str = "",
             hint: str = "") -> Problem:
    """A problem at a line and column counted from 0."""
    lines = text.split("\n")
    source = lines[line] if line < len(lines) else ""
    return Problem(file=path, line=line + 1, column=column + 1, field=field, message=message, hint=hint, source=source)


def names_in(value: Any, key: str) -> Iterator[tuple[int, str]]:
    """(index, text) of a key over a list of mappings, skipping what is malformed."""
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, dict) and isinstance(item.get(key), str):
            yield index, item[key]
