"""Task sets and the machine they run on, as files (`dse schedulability`)."""

import csv
import json
import re
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from dse.errors import InputError, Problem, did_you_mean
from dse.located import read, read_text
from dse.problems import check
from dse.rules import Rule, anything, count, one_of
from dse.schema.parts import Model
from hwmodels.derca import STRATEGIES, DercaMachine, execution_cycles, transformer
from hwmodels.errors import ModelError

__all__ = ["MachineFile", "Task", "load_machine", "load_task_sets"]

Layers = list[tuple[int, int, int]]

COLUMNS = ("set", "task", "network", "period_cycles")
LARGEST_CYCLES = 2**46 - 1


class Task(NamedTuple):
    """A row of the task-set file."""

    task: str
    network: str
    period_cycles: int
    line: int


class MachineFile(NamedTuple):
    machine: DercaMachine
    networks: dict[str, Layers]
    strategies: tuple[str, ...]


def _layers(value: Any) -> Layers:
    """Layers of a network: a list of [M, K, N], `COUNT x LIST`, or `transformer(batch, tokens, width, ...)`."""
    copies = 1
    if isinstance(value, str):
        call = re.fullmatch(r"\s*transformer\(([\d\s,]{1,80})\)\s*", value)
        if call:
            arguments = [int(part) for part in call[1].split(",") if part.strip()]
            if len(arguments) != 6 or min(arguments) < 1 or arguments[2] % arguments[3] or arguments[5] > 1000:
                raise ValueError("six numbers >= 1, with the width a multiple of the heads")
            return transformer(*arguments)
        repeated = re.fullmatch(r"\s*(\d{1,4})\s*x\s*(\[.*\])\s*", value, re.DOTALL)
        if not repeated:
            raise ValueError("")
        copies, value = int(repeated[1]), json.loads(repeated[2])
    if not isinstance(value, list) or not value or copies < 1:
        raise ValueError("")
    for layer in value:
        if not isinstance(layer, list) or len(layer) != 3:
            raise ValueError("")
        if not all(isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in layer):
            raise ValueError("")
    return [(m, k, n) for m, k, n in value] * copies


def _checked_layers(value: Any) -> Layers:
    try:
        return _layers(value)
    except json.JSONDecodeError:
        raise ValueError("") from None


Side = Annotated[int, count(1, 2**40 - 1)]
Cycles = Annotated[int, count(0, 2**40 - 1)]
Strategy = Annotated[str, one_of(STRATEGIES)]
Network = Annotated[
    Layers,
    Rule(
        "[[M, K, N], ...] of integers >= 1, 'COUNT x [[M, K, N], ...]' or "
        "'transformer(batch, tokens, width, heads, mlp_ratio, layers)'",
        _checked_layers,
        "",
    ),
]
Remark = Annotated[Any, anything()]


class Tile(Model):
    """One matrix-multiply tile, M x K by K x N."""

    m: Side
    k: Side
    n: Side


class PipelineCycles(Model):
    """Stages of the pipeline and costs of a preemption [cycles]."""

    load: Cycles
    comp: Cycles
    store: Cycles
    clean_output: Cycles
    persist: Cycles
    resume: Cycles
    comp_configured: Cycles | None = None
    """Not used: what a configuration file says where the software uses another figure."""
    kernel_mgmt: Cycles | None = None
    """Not used."""


class SchedulerCycles(Model):
    """Steps of the serial scheduler [cycles]; a dispatch is `issue` and `finish` together."""

    feedback: Cycles = 2
    issue: Cycles = 2
    finish: Cycles = 4
    heap_insert_base: Cycles = 5
    heap_insert_per_task: Cycles = 2
    heap_pop_base: Cycles = 4
    heap_pop_per_task: Cycles = 3
    release: Cycles | None = None
    """Not used: a release costs its insertion."""


class Machine(Model):
    """A machine file; the remarks are facts that it may keep and that nothing here needs."""

    tile: Tile
    cycles: PipelineCycles
    scheduler_cycles: SchedulerCycles = SchedulerCycles()
    networks: dict[str, Network]
    strategies: list[Strategy] | None = None
    """Those to judge, in this order; all without it."""
    clock_hz: Remark = None
    experiments: Remark = None
    transformer_layer: Remark = None
    published_resources_percent: Remark = None
    published_totals_percent: Remark = None

    def record(self) -> DercaMachine:
        tile, cycles, steps = self.tile, self.cycles, self.scheduler_cycles
        return DercaMachine(
            tile_m=tile.m,
            tile_k=tile.k,
            tile_n=tile.n,
            load_cycles=cycles.load,
            comp_cycles=cycles.comp,
            store_cycles=cycles.store,
            clean_output_cycles=cycles.clean_output,
            persist_cycles=cycles.persist,
            resume_cycles=cycles.resume,
            feedback_cycles=steps.feedback,
            dispatch_cycles=steps.issue + steps.finish,
            insert_base_cycles=steps.heap_insert_base,
            insert_per_task_cycles=steps.heap_insert_per_task,
            pop_base_cycles=steps.heap_pop_base,
            pop_per_task_cycles=steps.heap_pop_per_task,
        )


def load_machine(path: str | Path) -> MachineFile:
    """Read a machine: tile, cycles, scheduler cycles, networks, and the strategies to judge.

    Raises
    ------
    InputError
        Everything wrong in the file, with line and column.
    """
    document = read(path)
    file, problems = check(document, Machine)
    if file is None or problems:
        raise InputError(*problems)
    machine = file.record()
    for name, layers in file.networks.items():
        try:
            cycles = execution_cycles(layers, machine)
        except ModelError as error:
            problems.append(document.problem(("networks", name), str(error)))
            continue
        if cycles > LARGEST_CYCLES:
            problems.append(document.problem(("networks", name), f"must run within 2^46 cycles, got {cycles}"))
    strategies = tuple(STRATEGIES if file.strategies is None else file.strategies)
    if not file.networks:
        problems.append(document.problem(("networks",), "must have at least one network"))
    if not strategies or len(set(strategies)) < len(strategies):
        problems.append(document.problem(("strategies",), "must name at least one strategy, and each once"))
    if problems:
        raise InputError(*problems)
    return MachineFile(machine, file.networks, strategies)


def load_task_sets(path: str | Path, networks: dict[str, Layers]) -> dict[str, list[Task]]:
    """Read `set,task,network,period_cycles`: the tasks of every set, sets and tasks in the order of the file.

    Raises
    ------
    InputError
        Everything wrong in the file, with its line.
    """
    problems: list[Problem] = []
    reader = csv.reader(StringIO(read_text(path, what="CSV text", max_bytes=None), newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(Problem(file=str(path), line=reader.line_num, message=f"must be CSV: {error}")) from None
    header = [cell.strip() for cell in rows[0][1]] if rows else []
    wrong = [name for name in COLUMNS if header.count(name) != 1]
    if wrong:
        hints = (did_you_mean(name, [cell for cell in header if cell not in COLUMNS]) for name in wrong)
        message = f"must be columns with {', '.join(wrong)} once each, got {','.join(header)[:200] or 'nothing'}"
        raise InputError(Problem(file=str(path), line=rows[0][0] if rows else 1, field="header", message=message,
                                 hint=next(filter(None, hints), "")))
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
