"""Our YAML files as the records of the models, and back.

    load_workload   load_engine   load_design   load_study        raise InputError with every problem of the file
    dump_workload   dump_design   self_contained                  text that the loaders read back to equal records

Paths inside a file are relative to that file. The parts: `dse.located` (YAML with its lines), `dse.schema` (what
may be in it), `dse.problems` (broken rules as problems), `dse.convert` and `dse.convert_study` (records), `dse.dump`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from dse.convert import Reading, design_record, engine_record, technology_record, workload_record
from dse.convert_study import study_record
from dse.dump import dump_design, dump_workload, self_contained
from dse.errors import InputError, Problem, did_you_mean
from dse.located import Document, near_file, read
from dse.problems import check
from dse.schema import KINDS
from dse.schema.hardware import DesignFile, EngineFile, TechnologyFile
from dse.schema.study import Search, StudyFile
from dse.schema.workload import WorkloadFile
from dse.study import Study
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.workload import Workload

__all__ = ["DesignDocument", "Loaded", "dump_design", "dump_workload", "load", "load_design", "load_design_document",
           "load_engine", "load_faced", "load_study", "load_workload", "self_contained", "shipped_workloads"]


class DesignDocument(NamedTuple):
    """A design with what its file says about it."""

    design: Design
    seed: int | None
    provenance: dict[str, Any]


class Loaded(NamedTuple):
    """What a file turned out to be."""

    kind: str
    record: Any
    """Workload, Engine, `DesignDocument` or Study."""
    notes: tuple[str, ...]
    """Remarks a reader should see, e.g. unsupported operators."""


def shipped_workloads() -> dict[str, Path]:
    """Name -> file of the workloads that come with the tool."""
    package = Path(__file__).parent
    for folder in (package / "workloads", package.parent / "studies" / "workloads"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def load(path: str | Path, kinds: Sequence[str] = tuple(KINDS)) -> Loaded:
    """Any of our files; `kinds` are the ones that are welcome. Raises `InputError` with all problems."""
    document = read(path)
    kind = _kind(document, kinds)
    record: Any
    if kind == "workload":
        workload_file, problems = check(document, WorkloadFile)
        reading = Reading(document, problems)
        record = workload_record(reading, workload_file)
    elif kind == "engine":
        engine_file, problems = check(document, EngineFile)
        reading = Reading(document, problems)
        record = engine_record(reading, engine_file)
    elif kind == "design":
        design_file, problems = check(document, DesignFile)
        reading = Reading(document, problems)
        design = design_record(reading, design_file)
        record = DesignDocument(design, design_file.seed, design_file.provenance) if design and design_file else None
    elif kind == "technology":
        technology_file, problems = check(document, TechnologyFile)
        reading = Reading(document, problems)
        record = technology_record(reading) if technology_file is not None else None
    else:
        study_file, problems = check(document, StudyFile)
        reading = Reading(document, problems)
        record = study_record(reading, study_file, *_workloads_of(reading, study_file))
    if reading.problems:
        raise InputError(*reading.problems)
    return Loaded(kind, record, tuple(reading.notes))


def load_faced(spec: str | Path, *, field: str = "workload") -> Workload | Study:
    """What designs are to face: a workload (a file, or the name of a shipped one) or a study. `field` is for messages.
    """
    record: Workload | Study = load(_workload_path(str(spec), Path(), field), ("workload", "study")).record
    return record


def load_workload(spec: str | Path, *, field: str = "workload") -> Workload:
    """As `load_faced`; of a study, its workload."""
    faced = load_faced(spec, field=field)
    return faced.workload if isinstance(faced, Study) else faced


def load_engine(path: str | Path) -> Engine:
    """An engine from a file."""
    engine: Engine = load(path, ("engine",)).record
    return engine


def load_design(path: str | Path) -> Design:
    """A design from a file; see `load_design_document` for its seed and provenance."""
    return load_design_document(path).design


def load_design_document(path: str | Path) -> DesignDocument:
    """A design from a file, with the seed and the provenance written beside it."""
    document: DesignDocument = load(path, ("design",)).record
    return document


def load_study(path: str | Path, *, trials: int | None = None, seed: int | None = None, sampler: str | None = None,
               workers: int | None = None) -> Study:
    """A study from a file; what is given here replaces what the file says."""
    given = {"trials": trials, "seed": seed, "sampler": sampler, "workers": workers}
    overrides: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    problems = _override_problems(overrides)
    try:
        study: Study = load(path, ("study",)).record
    except InputError as error:
        raise InputError(*problems, *error.problems) from None
    if problems:
        raise InputError(*problems)
    return replace(study, **overrides)


def _override_problems(overrides: dict[str, Any]) -> list[Problem]:
    from pydantic import ValidationError

    try:
        Search.model_validate(overrides)
    except ValidationError as error:
        return [Problem(field=f"--{item['loc'][0]}", hint=item.get("ctx", {}).get("hint", ""),
                        message=f"{item['msg']}, got {item['input']!r}") for item in error.errors()]
    return []


def _kind(document: Document, kinds: Sequence[str]) -> str:
    """Kind of a document; raises `InputError` when it is none of those welcome."""
    rule = f"one of {', '.join(kinds)}" if len(kinds) > 1 else kinds[0]
    if not isinstance(document.value, dict):
        raise InputError(*document.problems, document.problem(
            (), f"must be a mapping with the key kind, got {document.got(())}"))
    if "kind" not in document.value:
        if kinds == ("engine",) or ("engine" in kinds and {"rows", "cols"} <= document.value.keys()):
            return "engine"
        raise InputError(*document.problems, document.problem((), f"missing key kind, must be {rule}"))
    kind = document.value["kind"]
    if kind not in kinds:
        hint = did_you_mean(kind, kinds) if isinstance(kind, str) else ""
        if not hint and isinstance(kind, str) and kind in KINDS:
            hint = "this command takes another kind of file"
        raise InputError(document.problem(("kind",), f"must be {rule}, got {document.got(('kind',))}", hint=hint))
    return str(kind)


def _workload_path(spec: str, folder: Path, field: str) -> Path:
    """File of a workload given as a path relative to `folder`, or by name; raises `InputError` when there is none."""
    shipped = shipped_workloads()
    path = folder / spec
    try:
        if path.is_file() or (spec not in shipped and path.is_dir()):
            return path
    except (OSError, ValueError):
        pass
    if spec in shipped:
        return shipped[spec]
    hint = near_file(path, spec) if spec.endswith((".yaml", ".yml")) or "/" in spec else ""
    raise InputError(Problem(field=field, hint=hint or did_you_mean(spec, shipped),
                             message=f"must be a workload file or a name of `dse list workloads`, got {spec!r}"))


def _workloads_of(reading: Reading, file: StudyFile | None) -> tuple[Workload | None, list[Workload | None]]:
    """The workload of a study, and those of its section `robust`."""
    more = reading.raw(("robust", "workloads"))
    section = file.robust if file is not None else None
    return _workload_of(reading, file.workload if file is not None else None, ("workload",)), [
        _workload_of(reading, section.workloads[index] if section is not None else None, ("robust", "workloads", index))
        for index in range(len(more) if isinstance(more, list) else 0)]


def _workload_of(reading: Reading, file: str | WorkloadFile | None, loc: tuple[str | int, ...]) -> Workload | None:
    """A workload of a study: written in place, or in a file of its own (whose problems are added)."""
    given = reading.raw(loc)
    if isinstance(given, dict):
        return workload_record(reading, file if isinstance(file, WorkloadFile) else None, loc)
    if not isinstance(given, str) or not given.strip():
        return None
    try:
        path = _workload_path(given, Path(reading.document.path).parent, "workload")
    except InputError as error:
        for problem in error.problems:
            reading.report(loc, problem.message, hint=problem.hint)
        return None
    try:
        loaded = load(path, ("workload",))
    except InputError as error:
        reading.add(error)
        return None
    reading.notes += loaded.notes
    workload: Workload = loaded.record
    return workload
