"""Task sets and the machine they run on, as files (`dse schedulability`)."""

import csv
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dse.errors import InputError, Problem, did_you_mean
from hwmodels.derca import STRATEGIES, DercaMachine, execution_cycles, transformer
from hwmodels.errors import ModelError

__all__ = ["MachineFile", "Task", "load_machine", "load_task_sets"]

Layers = list[tuple[int, int, int]]

COLUMNS = ("set", "task", "network", "period_cycles")
LARGEST_CYCLES = 2**46 - 1

# Key in the file -> field of `DercaMachine`.
_TILE = {"m": "tile_m", "k": "tile_k", "n": "tile_n"}
_CYCLES = {
    "load": "load_cycles",
    "comp": "comp_cycles",
    "store": "store_cycles",
    "clean_output": "clean_output_cycles",
    "persist": "persist_cycles",
    "resume": "resume_cycles",
}
_SCHEDULER = {
    "feedback": "feedback_cycles",
    "heap_insert_base": "insert_base_cycles",
    "heap_insert_per_task": "insert_per_task_cycles",
    "heap_pop_base": "pop_base_cycles",
    "heap_pop_per_task": "pop_per_task_cycles",
}
# A dispatch is these two steps together.
_DISPATCH = ("issue", "finish")
# Facts that the file may keep beside the machine and that nothing here needs.
_REMARKS = ("clock_hz", "experiments", "transformer_layer", "published_resources_percent", "published_totals_percent")


class MachineFile(NamedTuple):
    machine: DercaMachine
    networks: dict[str, Layers]
    strategies: tuple[str, ...]


class Task(NamedTuple):
    """A row of the task-set file."""

    task: str
    network: str
    period_cycles: int
    line: int


class _Located:
    """The nodes of a YAML file, and the problems found in them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
            self.root = yaml.compose(self.text, Loader=yaml.SafeLoader)
        except OSError as error:
            raise InputError(Problem(file=str(path), message=f"cannot be read: {error.strerror}")) from error
        except UnicodeDecodeError as error:
            raise InputError(Problem(file=str(path), message="must be UTF-8 text")) from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            message = f"must be YAML: {error.problem}"
            raise InputError(Problem(file=str(path), line=line, column=column, message=message)) from error
        except yaml.YAMLError as error:
            raise InputError(Problem(file=str(path), message=f"must be YAML: {error}")) from error
        self.problems: list[Problem] = []
        self.keys: dict[int, yaml.Node] = {}

    def wrong(self, node: yaml.Node | None, field: str, message: str, hint: str = "") -> None:
        line, column = (node.start_mark.line + 1, node.start_mark.column + 1) if node else (1, 1)
        lines = self.text.splitlines()
        self.problems.append(
            Problem(
                file=str(self.path),
                line=line,
                column=column,
                field=field,
                message=message,
                hint=hint,
                source=lines[line - 1] if line <= len(lines) else "",
            )
        )

    def unknown(self, node: yaml.Node, field: str, allowed: tuple[str, ...]) -> None:
        """The key of a value is not one of those allowed."""
        hint = did_you_mean(field.rpartition(".")[2], allowed)
        self.wrong(self.keys[id(node)], field, f"must be one of {', '.join(allowed)}", hint)

    def mapping(self, node: yaml.Node | None, field: str) -> dict[str, yaml.Node]:
        """Key -> value node; wrong kinds and duplicate keys are problems."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, field, "must be a mapping of names to values")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value in found:
                self.wrong(key, f"{field}.{key.value}".lstrip("."), "must be given once")
            found[str(key.value)] = value
            self.keys[id(value)] = key
        return found

    def value(self, node: yaml.Node) -> Any:
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(node)
        except yaml.YAMLError:
            return None
        finally:
            loader.dispose()

    def integer(self, node: yaml.Node, field: str, least: int) -> int:
        value = self.value(node)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**40:
            self.wrong(node, field, f"must be an integer >= {least} and below 2^40, got {value!r}")
            return max(least, 1)
        return value


def _numbers(file: _Located, node: yaml.Node | None, field: str, names: dict[str, str], other: tuple[str, ...]) -> dict:
    """The integers of one block; `other` names are allowed, and left out unless they are integers of the block."""
    block = file.mapping(node, field) if node is not None else {}
    if node is None:
        file.wrong(None, field, "must be given")
    for name in block:
        if name not in names and name not in other:
            file.unknown(block[name], f"{field}.{name}", (*names, *other))
    missing = [name for name in names if name not in block]
    if missing and node is not None and isinstance(node, yaml.MappingNode):
        file.wrong(node, field, f"must have {', '.join(missing)}")
    least = 1 if field == "tile" else 0
    return {
        target: file.integer(block[name], f"{field}.{name}", least) for name, target in names.items() if name in block
    }


def _layers(value: Any) -> Layers | None:
    """Layers of a network: a list of [M, K, N], `COUNT x LIST`, or `transformer(batch, tokens, width, ...)`."""
    count = 1
    if isinstance(value, str):
        call = re.fullmatch(r"\s*transformer\(([\d\s,]+)\)\s*", value)
        if call:
            arguments = [int(part) for part in call[1].split(",") if part.strip()]
            if len(arguments) != 6 or min(arguments) < 1 or arguments[2] % arguments[3] or arguments[5] > 1000:
                return None
            return transformer(*arguments)
        repeated = re.fullmatch(r"\s*(\d{1,4})\s*x\s*(\[.*\])\s*", value, re.DOTALL)
        if not repeated:
            return None
        count = int(repeated[1])
        try:
            value = json.loads(repeated[2])
        except ValueError:
            return None
    if not isinstance(value, list) or not value or count < 1:
        return None
    for layer in value:
        if not isinstance(layer, list) or len(layer) != 3:
            return None
        if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in layer):
            return None
    return [(m, k, n) for m, k, n in value] * count


def load_machine(path: str | Path) -> MachineFile:
    """Read a machine: tile, cycles, scheduler cycles, networks, and the strategies to judge.

    Raises
    ------
    InputError
        Everything wrong in the file, with line and column.
    """
    file = _Located(Path(path))
    top = file.mapping(file.root, "")
    known = ("tile", "cycles", "scheduler_cycles", "networks", "strategies", *_REMARKS)
    for name in top:
        if name not in known:
            file.unknown(top[name], name, known)
    fields = _numbers(file, top.get("tile"), "tile", _TILE, ())
    fields |= _numbers(file, top.get("cycles"), "cycles", _CYCLES, ("comp_configured", "kernel_mgmt"))
    if "scheduler_cycles" in top:
        block = top["scheduler_cycles"]
        steps = _SCHEDULER | {name: name for name in _DISPATCH}
        found = _numbers(file, block, "scheduler_cycles", steps, ("release",))
        fields["dispatch_cycles"] = sum(found.pop(name, 0) for name in _DISPATCH)
        fields |= found
    strategies = STRATEGIES
    if "strategies" in top:
        given = file.value(top["strategies"])
        strategies = tuple(given) if isinstance(given, list) else ()
        unknown = [name for name in strategies if name not in STRATEGIES]
        if unknown or not strategies or len(set(strategies)) < len(strategies):
            hint = did_you_mean(str(unknown[0]), STRATEGIES) if unknown else ""
            file.wrong(top["strategies"], "strategies", f"must be a list out of {', '.join(STRATEGIES)}", hint)
    networks: dict[str, Layers] = {}
    if "networks" not in top:
        file.wrong(None, "networks", "must be given")
    else:
        for name, node in file.mapping(top["networks"], "networks").items():
            layers = _layers(file.value(node))
            if layers is None:
                rule = "must be [[M, K, N], ...] of positive integers, 'COUNT x [[M, K, N], ...]' or"
                file.wrong(node, f"networks.{name}", f"{rule} 'transformer(batch, tokens, width, heads, ratio, depth)'")
            else:
                networks[name] = layers
                _check_length(file, node, name, layers, fields)
    if file.problems:
        raise InputError(*file.problems)
    return MachineFile(DercaMachine(**fields), networks, strategies)


def _check_length(file: _Located, node: yaml.Node, name: str, layers: Layers, fields: dict[str, int]) -> None:
    if file.problems:
        return
    try:
        cycles = execution_cycles(layers, DercaMachine(**fields))
    except ModelError as error:
        file.wrong(node, f"networks.{name}", str(error))
        return
    if cycles > LARGEST_CYCLES:
        file.wrong(node, f"networks.{name}", f"must run within 2^46 cycles, got {cycles}")


def load_task_sets(path: str | Path, networks: dict[str, Layers]) -> dict[str, list[Task]]:
    """Read `set,task,network,period_cycles`: the tasks of every set, sets and tasks in the order of the file.

    Raises
    ------
    InputError
        Everything wrong in the file, with its line.
    """
    path, problems = Path(path), []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except OSError as error:
        raise InputError(Problem(file=str(path), message=f"cannot be read: {error.strerror}")) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(Problem(file=str(path), message=f"must be a CSV file in UTF-8: {error}")) from error
    header = [cell.strip() for cell in rows[0][1]] if rows else []
    for name in COLUMNS:
        if header.count(name) != 1:
            got = "no such column" if name not in header else "several"
            hint = did_you_mean(name, [cell for cell in header if cell not in COLUMNS])
            line = rows[0][0] if rows else 1
            message = f"must be one of the columns {','.join(COLUMNS)}, got {got}"
            problems.append(Problem(file=str(path), line=line, field=name, message=message, hint=hint))
    if problems:
        raise InputError(*problems)
    sets: dict[str, list[Task]] = {}
    for line, row in rows[1:]:
        try:
            name, task = _task(dict(zip(header, row, strict=True)), line, networks)
        except ValueError as error:
            field, message, hint = error.args if len(error.args) == 3 else ("", _row_length(header, row), "")
            problems.append(Problem(file=str(path), line=line, field=field, message=message, hint=hint))
            continue
        tasks = sets.setdefault(name, [])
        if any(other.task == task.task for other in tasks):
            message = f"must name every task of set {name!r} once, got {task.task!r} again"
            problems.append(Problem(file=str(path), line=line, field="task", message=message))
        tasks.append(task)
    if not rows[1:]:
        problems.append(Problem(file=str(path), line=1, message="must have at least one task below the header"))
    if problems:
        raise InputError(*problems)
    return sets


def _row_length(header: list[str], row: list[str]) -> str:
    return f"must have {len(header)} fields, got {len(row)}"


def _task(cells: dict[str, str], line: int, networks: dict[str, Layers]) -> tuple[str, Task]:
    """Set and task of a row; ValueError(field, message, hint) where a field breaks its rule."""
    values = {name: cells[name].strip() for name in COLUMNS}
    for name in ("set", "task"):
        if not values[name]:
            raise ValueError(name, "must be given", "")
    if values["network"] not in networks:
        message = f"must be a network of the machine ({', '.join(networks)}), got {values['network']!r}"
        raise ValueError("network", message, did_you_mean(values["network"], tuple(networks)))
    period = values["period_cycles"]
    if not re.fullmatch(r"\+?\d{1,15}", period) or not 1 <= int(period) <= LARGEST_CYCLES:
        raise ValueError("period_cycles", f"must be a positive integer below 2^46, got {period!r}", "")
    return values["set"], Task(values["task"], values["network"], int(period), line)
