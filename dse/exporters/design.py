"""Designs of a run as our own YAML and records."""

from typing import Any

import yaml

from dse.errors import InputError, Problem
from dse.report.rundata import RunData
from hwmodels.design import Design
from hwmodels.errors import ModelError
from hwmodels.workload import Workload

__all__ = ["design_document", "design_record", "design_text"]


def design_record(run: RunData, trial: int) -> tuple[Design, Workload, int]:
    """The design of a trial, with the workload and the seed it was evaluated with.

    Raises
    ------
    InputError : there is no such trial, or its parameters describe no design of this version.
    """
    row = run.row(trial)
    study = run.record
    try:
        return study.design(run.params(row)), study.workload, study.seed
    except (KeyError, ModelError) as error:
        raise InputError(Problem(file=str(run.path / "trials.csv"), field=f"trial {trial}",
                                 message=f"must have the parameters of a design: {error}")) from None


def design_text(run: RunData, trial: int) -> str:
    """Design YAML of a trial: the file the run wrote, where it did, else made from its parameters."""
    run.row(trial)
    file = run.path / "best" / f"trial_{trial:05d}.yaml"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise InputError(Problem(file=str(file), message="must be UTF-8 text")) from None
    from dse.documents import dump_design

    design, _, seed = design_record(run, trial)
    return dump_design(design, seed=seed, provenance={"study": run.name, "trial": trial, "budgets": run.budgets})


def design_document(run: RunData, trial: int) -> dict[str, Any]:
    """Design YAML of a trial as a mapping."""
    file = run.path / "best" / f"trial_{trial:05d}.yaml"
    try:
        document = yaml.safe_load(design_text(run, trial))
    except yaml.YAMLError as error:
        raise InputError(Problem(file=str(file), message=f"must be YAML: {error}")) from None
    if not isinstance(document, dict):
        raise InputError(Problem(file=str(file), message="must be a mapping"))
    return document
