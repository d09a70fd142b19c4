"""The study that `dse init` writes: commented, checked, ready to run.

The text is made from `Answers` alone, so that flags and questions give the same file.
"""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from dse.errors import InputError, Problem, did_you_mean

__all__ = ["Answers", "check_answers", "render", "write_study"]

SCHEMA_FILE = "study.schema.json"


@final
@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a new study is about.

    Parameters
    ----------
    networks : zoo names or files, relative to the working directory; empty with `workload`.
    rates_hz : one for all, or one per network [Hz].
    deadlines_s : none (a frame is due when the next one comes), one for all, or one per network [s].
    bind : free dimensions of ONNX files [-].
    workload : a shipped workload or a file, instead of networks.
    area_mm2, power_w : budgets [mm2], [W].
    architectures, policies : those to search; all when empty.
    """

    networks: tuple[str, ...] = ("mobilenet_v2", "resnet50")
    rates_hz: tuple[float, ...] = (30.0,)
    deadlines_s: tuple[float, ...] = ()
    bind: tuple[tuple[str, int], ...] = ()
    workload: str = ""
    area_mm2: float = 40.0
    power_w: float = 5.0
    architectures: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    node_nm: int = 16
    trials: int = 400
    seed: int = 1


def check_answers(answers: Answers) -> None:
    """Raise `InputError` for every answer that no study can hold."""
    from hwmodels.architectures import ARCHITECTURES
    from hwmodels.engine import NODES_NM
    from hwmodels.policies import POLICIES

    problems: list[Problem] = []

    def names(flag: str, given: tuple[str, ...], known: Any) -> None:
        problems.extend(Problem(field=flag, message=f"must be one of {', '.join(known)}, got {name!r}",
                                hint=did_you_mean(name, known)) for name in given if name not in known)

    def numbers(flag: str, given: tuple[float, ...]) -> None:
        problems.extend(Problem(field=flag, message=f"must be a number > 0, got {value:g}") for value in given
                        if not 0.0 < value < float("inf"))
        if len(given) not in (0, 1, len(answers.networks)):
            problems.append(Problem(field=flag, message=f"must be one number, or one per network "
                                    f"({len(answers.networks)}), got {len(given)}"))

    names("--architectures", answers.architectures, ARCHITECTURES)
    names("--policies", answers.policies, POLICIES)
    if answers.node_nm not in NODES_NM:
        problems.append(Problem(field="--node", message=f"must be one of {', '.join(map(str, NODES_NM))}, "
                                f"got {answers.node_nm}"))
    if answers.workload:
        names("--workload", () if Path(answers.workload).is_file() else (answers.workload,), _shipped())
    else:
        numbers("--rate", answers.rates_hz)
        numbers("--deadline", answers.deadlines_s)
        if not answers.networks:
            problems.append(Problem(field="--networks", message="must name at least one network"))
    numbers("--area", (answers.area_mm2,))
    numbers("--power", (answers.power_w,))
    for flag, value in (("--trials", answers.trials), ("--seed", answers.seed)):
        low = 1 if flag == "--trials" else 0
        if value < low:
            problems.append(Problem(field=flag, message=f"must be an integer >= {low}, got {value}"))
    used = False
    for spec in () if answers.workload else answers.networks:
        try:
            used |= bool(_bind_of(spec, answers.bind))
        except InputError as error:
            problems += [replace(p, field="--networks") if p.field == "network" else p for p in error.problems]
            used = True  # one problem at a time
    if answers.bind and not used:
        problems.append(Problem(field="--bind", message="must be left out: no network has free dimensions"))
    if problems:
        raise InputError(*problems)


def _shipped() -> tuple[str, ...]:
    from dse.documents import shipped_workloads

    return tuple(shipped_workloads())


def _bind_of(spec: str, bind: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """The sizes that a network needs: those given where it has free dimensions, else none.

    Raises
    ------
    InputError : the network cannot be read, with or without them.
    """
    from dse.readers import load_network

    try:
        load_network(spec)
    except InputError:
        if not bind or not spec.lower().endswith((".onnx", ".pt2")):
            raise
        load_network(spec, bind=dict(bind))
        return bind
    return ()


def render(answers: Answers, name: str, folder: Path, *, schema: bool = False) -> str:
    """The text of the study; paths in it are relative to `folder`."""
    head = f"# yaml-language-server: $schema={SCHEMA_FILE}\n" if schema else ""
    return head + _HEAD.format(name=_text(name), run=f"{name}.yaml") + _workload(answers, folder) + _REST.format(
        area=_number(answers.area_mm2), power=_number(answers.power_w), node=answers.node_nm, trials=answers.trials,
        seed=answers.seed, architectures=_choice("architectures", answers.architectures),
        policies=_choice("policies", answers.policies))


_HEAD = """\
# Which NPU class, sizes and scheduler serve these networks best?
#   dse check {run}        is everything fine?
#   dse run {run}          search; ends with the answer and the path of an interactive report
kind: study
name: {name}

"""

_REST = """
# What is minimised; `dse list metrics` has them all. p99_deadline_frac: the worst tenant's p99 latency as a fraction of
# its deadline.
objectives: [area_mm2, p99_deadline_frac, energy_per_inference_j]

# Bounds; a design beyond one of them is infeasible.
budgets:
  area_mm2: {area}
  power_w: {power}
  p99_deadline_frac: 1.0        # deadlines are met at the 99th percentile
  slo_violation_frac: 0.01      # at most 1 % of the requests are late

# Which designs: all classes, sizes and policies, but where this section narrows them. `dse explain PARAMETER` says what
# a parameter is.
space:
{architectures}{policies}  domains:
    node_nm: [{node}]
    # dram_bytes_per_s: [8.0e+9, 16.0e+9, 32.0e+9]      # a list of values
    # rows: {{low: 16, high: 128, step: 16}}              # or a range

search:
  sampler: auto                 # `dse list samplers`
  trials: {trials}
  seed: {seed}                       # the same seed gives the same run
"""


def _workload(answers: Answers, folder: Path) -> str:
    if answers.workload:
        path = Path(answers.workload)
        shown = _relative(path, folder) if path.is_file() else answers.workload
        return f"# A workload file, or a name of `dse list workloads`.\nworkload: {_text(shown)}\n"
    lines = [
        "# The networks that run together: names of `dse list networks`, or files (.onnx, .pt2, Hugging Face",
        "# config.json, SCALE-Sim .csv, Timeloop or ZigZag .yaml) relative to this one.",
        "workload:", f"  name: {_text('my_workload')}", f"  duration_s: {_number(_duration_s(answers))}"
        + "               # requests arrive that long", "  tenants:"]
    taken: set[str] = set()
    count = len(answers.networks)
    rates = answers.rates_hz * (count if len(answers.rates_hz) == 1 else 1)
    deadlines = answers.deadlines_s * (count if len(answers.deadlines_s) == 1 else 1)
    for index, spec in enumerate(answers.networks):
        tenant = _tenant_name(spec, taken)
        is_file = Path(spec).exists() and not _in_zoo(spec)
        lines += [f"    - name: {tenant}",
                  f"      network: {_text(_relative(Path(spec), folder) if is_file else spec)}"]
        bind = _bind_of(spec, answers.bind) if answers.bind else ()
        if bind:
            lines.append(f"      bind: {{{', '.join(f'{_text(key)}: {size}' for key, size in bind)}}}")
        lines.append(f"      traffic: {{kind: periodic, rate_hz: {_number(rates[index])}}}"
                     + ("     # or poisson, gamma, bursty, rate_table, trace (a request log)" if index == 0 else ""))
        if deadlines:
            lines.append(f"      service: {{deadline_s: {_number(deadlines[index])}}}")
        elif index == 0:
            lines.append("      # service: {deadline_s: 0.05}     # without: a frame is due when the next one comes")
    return "\n".join(lines) + "\n"


def _duration_s(answers: Answers) -> float:
    """Long enough for some hundred requests of the slowest tenant, short enough for a quick answer."""
    return min(max(1.0, round(100.0 / min(answers.rates_hz), 1)), 10.0)


def _in_zoo(spec: str) -> bool:
    from hwmodels.networks import NETWORKS

    return spec in NETWORKS


def _tenant_name(spec: str, taken: set[str]) -> str:
    path = Path(spec)
    stem = path.parent.name if path.name == "config.json" and path.parent.name else path.stem or path.name
    base = re.sub(r"\W+", "_", stem).strip("_").lower() or "network"
    if base[0].isdigit():
        base = f"net_{base}"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name


def _relative(path: Path, folder: Path) -> str:
    try:
        text = Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
    return text if "/" in text or "." in text else f"./{text}"


def _choice(key: str, names: tuple[str, ...]) -> str:
    if not names:
        return f"  # {key}: [...]      # `dse list {key}`; without: all\n"
    return f"  {key}: [{', '.join(names)}]\n"


def _text(value: str) -> str:
    """A YAML scalar: plain where that is safe, else quoted."""
    if re.fullmatch(r"[A-Za-z_./][\w./-]*", value) and value.lower() not in (
            "on", "off", "yes", "no", "true", "false", "null", "y", "n", "~"):
        return value
    return "'" + value.replace("'", "''") + "'"


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 and float(f"{value:g}") == value else repr(float(value))


def write_study(answers: Answers, path: Path, *, schema: bool = False) -> None:
    """Write the study to a new file, and its JSON schema beside it where asked; both must be read back without problem.

    Raises
    ------
    InputError : the file exists, its folder cannot be written to, or an answer does not fit.
    """
    import json

    from dse.documents import load
    from dse.schema import json_schema

    _refuse_existing(path)
    check_answers(answers)
    text = render(answers, path.stem, path.parent, schema=schema)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _refuse_existing(path)
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(Problem(file=str(path), message=f"must be a file that can be written: {reason}")) from None
    try:
        load(path, ("study",))
    except InputError:  # never leave a file that does not run
        path.unlink()
        raise
    beside = path.parent / SCHEMA_FILE
    if schema and not beside.exists():
        beside.write_text(json.dumps(json_schema("study"), indent=2) + "\n", encoding="utf-8")


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise InputError(Problem(file=str(path), message="must be a new file: an existing one is never overwritten",
                                 hint="give another name: dse init NAME"))
