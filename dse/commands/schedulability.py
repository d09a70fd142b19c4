"""`dse schedulability`: will periodic networks always meet their deadlines on one preemptive engine?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dse.readers.tasksets import MachineFile, Task
    from hwmodels.derca import Analysis
    from hwmodels.derca_simulation import Simulation

# Below so many sets every one is printed, above only the counts.
_PRINTED_SETS = 60


def command(
    tasksets: Annotated[Path, typer.Argument(help="CSV: set,task,network,period_cycles.")],
    machine: Annotated[Path, typer.Option(help="YAML: tile, cycles, scheduler_cycles, networks.")],
    semantics: Annotated[
        str, typer.Option(help="Analysis as `published`, or `clean`: every swap is part of the demand.")
    ] = "published",
    simulate: Annotated[
        str, typer.Option(help="Confirm by simulation: `clean` (every swap is paid), `published` or `none`.")
    ] = "clean",
    horizon_cycles: Annotated[int, typer.Option(min=1, help="Simulate so long, or one hyperperiod.")] = 300_000_000,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Judge whether periodic networks meet every deadline on one preemptive engine (DERCA).

    Analysis of task sets under EDF for every preemption strategy, confirmed by simulation. np never preempts, lw at
    layer ends, ip / ir inside layers (persisting / recomputing partial sums), if with the cheaper of the two; -ppp
    keeps only the preemption points that the deadlines need.
    """
    from dse.console import note, out, print_json
    from dse.errors import InputError, Problem, did_you_mean
    from dse.readers.tasksets import load_machine, load_task_sets
    from hwmodels.derca import SEMANTICS

    problems = []
    for flag, value, allowed in (
        ("--semantics", semantics, SEMANTICS),
        ("--simulate", simulate, (*SEMANTICS, "none")),
    ):
        if value not in allowed:
            message = f"must be one of {', '.join(allowed)}, got {value!r}"
            problems.append(Problem(field=flag, message=message, hint=did_you_mean(value, allowed)))
    if problems:
        raise InputError(*problems)
    file = load_machine(machine)
    sets = load_task_sets(tasksets, file.networks)
    entries = _entries(sets, file, str(tasksets), semantics, simulate, horizon_cycles)
    if json:
        print_json({"sets": entries})
        return
    out(_table(entries, file.strategies))
    broken = [e for e in entries if e["schedulable"] and e["simulation"] and not e["simulation"]["no_miss"]]
    for entry in broken:
        note(f"set {entry['set']}, {entry['strategy']}: passes the analysis but misses a deadline in the simulation")


def _entries(
    sets: "dict[str, list[Task]]",
    file: "MachineFile",
    source: str,
    semantics: str,
    simulated: str,
    horizon_cycles: int,
) -> list[dict[str, Any]]:
    """One entry per set and strategy."""
    from dse.errors import InputError, Problem
    from hwmodels.derca import Regions, analyse, regions
    from hwmodels.derca_simulation import simulate
    from hwmodels.errors import ModelError

    known: dict[tuple[str, str], Regions] = {}
    # Names that are all plain integers come back as integers, as a table reader would give them.
    integers = all(name.isascii() and name.isdigit() and str(int(name)) == name for name in sets)
    entries, problems = [], []
    for name, tasks in sets.items():
        periods = [task.period_cycles for task in tasks]
        try:
            for strategy in file.strategies:
                for task in tasks:
                    if (task.network, strategy) not in known:
                        known[task.network, strategy] = regions(file.networks[task.network], file.machine, strategy)
                parts = [known[task.network, strategy] for task in tasks]
                verdict = analyse(parts, periods, strategy, semantics=semantics)
                run = None
                runnable = list(verdict.regions)
                if simulated != "none" and runnable:
                    run = simulate(
                        runnable, periods, file.machine, semantics=simulated, horizon_cycles=horizon_cycles
                    )
                entries.append(_entry(int(name) if integers else name, tasks, verdict, run))
        except ModelError as error:
            problems.append(Problem(file=source, line=tasks[0].line, field=f"set {name}", message=str(error)))
    if problems:
        raise InputError(*problems)
    return entries


def _entry(
    name: int | str, tasks: "list[Task]", verdict: "Analysis", run: "Simulation | None"
) -> dict[str, Any]:
    place = verdict.strategy.endswith("-ppp")
    # Without a schedulable placement there is nothing to describe.
    known = verdict.schedulable or not place
    return {
        "set": name,
        "strategy": verdict.strategy,
        "schedulable": verdict.schedulable,
        "tasks": [task.task for task in tasks],
        "beta": list(verdict.tolerances_cycles) if known else None,
        "q_max": list(verdict.longest_regions_cycles) if known else None,
        "wcet_cycles": list(verdict.wcet_cycles) if known else None,
        "regions": [len(part.exec_cycles) for part in verdict.regions] if known else None,
        "placed_exec_cycles": [part.exec_cycles.tolist() for part in verdict.regions] if known and place else None,
        "simulation": _simulation(run) if run else None,
    }


def _simulation(run: "Simulation") -> dict[str, Any]:
    return {
        "semantics": run.semantics,
        "horizon_cycles": run.horizon_cycles,
        "no_miss": not run.missed,
        "finished": list(run.finished),
        "preemptions": run.preemptions,
        "resumes": run.resumes,
        "max_response_cycles": list(run.max_response_cycles),
        "last_finish_cycles": list(run.last_finish_cycles),
    }


def _table(entries: list[dict[str, Any]], strategies: tuple[str, ...]) -> str:
    """Verdicts, a line per set, and the counts of each strategy."""
    verdicts: dict[Any, dict[str, dict[str, Any]]] = {}
    for entry in entries:
        verdicts.setdefault(entry["set"], {})[entry["strategy"]] = entry
    width = max(len("simulated without a miss"), *(len(str(name)) for name in verdicts))
    line = f"{{:<{width}}}" + "  {:>7}" * len(strategies)
    lines = [line.format("set", *strategies)]
    if len(verdicts) <= _PRINTED_SETS:
        for name, row in verdicts.items():
            lines.append(line.format(str(name), *("yes" if row[s]["schedulable"] else "no" for s in strategies)))
    counts = [sum(row[s]["schedulable"] for row in verdicts.values()) for s in strategies]
    runs = [[row[s]["simulation"] for row in verdicts.values() if row[s]["simulation"]] for s in strategies]
    lines.append(line.format(f"schedulable of {len(verdicts)}", *counts))
    if any(runs):
        held = [f"{sum(run['no_miss'] for run in column)}/{len(column)}" for column in runs]
        lines.append(line.format("simulated without a miss", *held))
    return "\n".join(lines)
