"""`dse init`: a new study."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dse.init import Answers

__all__ = ["command"]


def command(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Of the study; the file is NAME.yaml.")] = "study",
    networks: Annotated[str | None, typer.Option(metavar="A,B,...", help="Zoo names (`dse list networks`) or files: "
                                                 ".onnx, config.json, .csv, .yaml.", show_default=False)] = None,
    rate: Annotated[str | None, typer.Option(metavar="HZ[,HZ...]", help="Requests per second: one for all, or one per "
                                             "network.", show_default=False)] = None,
    deadline: Annotated[str | None, typer.Option(metavar="S[,S...]", help="Deadlines [s]; without, a frame is due when "
                                                 "the next one comes.", show_default=False)] = None,
    bind: Annotated[str | None, typer.Option(metavar="NAME=SIZE,...", help="Free dimensions of the ONNX files.",
                                             show_default=False)] = None,
    workload: Annotated[str | None, typer.Option(help="A shipped workload (`dse list workloads`) or a file, instead of "
                                                 "networks.", show_default=False)] = None,
    area: Annotated[float | None, typer.Option(help="Area budget [mm2].", show_default=False)] = None,
    power: Annotated[float | None, typer.Option(help="Power budget [W].", show_default=False)] = None,
    architectures: Annotated[str | None, typer.Option(metavar="A,B,...", help="Classes to search; all without.",
                                                      show_default=False)] = None,
    policies: Annotated[str | None, typer.Option(metavar="A,B,...", help="Policies to search; all without.",
                                                 show_default=False)] = None,
    node: Annotated[int | None, typer.Option(help="Process node [nm].", show_default=False)] = None,
    trials: Annotated[int | None, typer.Option(help="Designs to evaluate.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Of the search and the traffic.", show_default=False)] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Write study.schema.json beside it, for completion in an "
                                         "editor.")] = False,
) -> None:
    """Write a commented study that `dse run` takes at once; asks on a terminal when no flag is given."""
    import sys
    from pathlib import Path

    from dse.console import note, out
    from dse.errors import InputError, Problem
    from dse.init import Answers, write_study

    if workload is not None and (networks, rate, deadline, bind) != (None, None, None, None):
        raise InputError(Problem(field="--workload", message="must be left out when networks, rates, deadlines or "
                                 "sizes are given: a workload has its own"))
    given = {"networks": _names(networks), "rates_hz": _numbers("--rate", rate),
             "deadlines_s": _numbers("--deadline", deadline), "bind": _bind(bind), "workload": workload,
             "area_mm2": area, "power_w": power, "architectures": _names(architectures),
             "policies": _names(policies), "node_nm": node, "trials": trials, "seed": seed}
    flags: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    path = Path(name if name.lower().endswith((".yaml", ".yml")) else f"{name}.yaml")
    if not path.stem.strip() or not path.stem.isprintable():
        raise InputError(Problem(field="NAME", message=f"must be a name, got {name!r}"))
    answers = Answers(**flags)
    if not flags and sys.stdin.isatty() and sys.stdout.isatty():
        answers = _ask(answers)
    write_study(answers, path, schema=schema)
    note(f"written: {path}; next: dse run {path}")
    out(str(path))


def _ask(default: "Answers") -> "Answers":
    from dataclasses import replace

    from dse.console import note

    note("Five questions; Enter takes the answer in brackets.")
    networks = typer.prompt("Networks (zoo names or files, separated by commas)", default=",".join(default.networks),
                            err=True)
    rate = typer.prompt("Requests per second (one for all, or one per network)", default="30", err=True)
    area = typer.prompt("Area budget [mm2]", default=default.area_mm2, type=float, err=True)
    power = typer.prompt("Power budget [W]", default=default.power_w, type=float, err=True)
    trials = typer.prompt("Designs to evaluate", default=default.trials, type=int, err=True)
    return replace(default, networks=_names(networks) or (), rates_hz=_numbers("--rate", rate) or (), area_mm2=area,
                   power_w=power, trials=trials)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(flag: str, text: str | None) -> tuple[float, ...] | None:
    from dse.errors import InputError, Problem

    if text is None:
        return None
    found, problems = [], []
    for part in text.split(","):
        try:
            found.append(float(part))
        except ValueError:
            problems.append(Problem(field=flag, message=f"must be a number, or several with commas in between, got "
                                    f"{part.strip()!r}"))
    if problems:
        raise InputError(*problems)
    return tuple(found)


def _bind(text: str | None) -> tuple[tuple[str, int], ...] | None:
    from dse.commands.inspect import _parse_bind

    return None if text is None else tuple(_parse_bind(text).items())
