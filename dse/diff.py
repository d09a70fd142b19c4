"""Two designs side by side: what differs in them, and what that does to the metrics."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

from dse.documents import load_design_document, load_study, load_workload
from dse.errors import InputError, Problem
from dse.objective import minimised
from dse.report.rundata import read_run
from dse.report.words import comparison
from hwmodels.design import Design
from hwmodels.errors import ModelError
from hwmodels.outcome import METRICS
from hwmodels.policies import POLICIES
from hwmodels.workload import Workload

__all__ = ["Diff", "MetricDiff", "ParameterDiff", "Side", "design_parameters", "diff"]

_NEUTRAL = ("engine_utilisation_frac", "dram_utilisation_frac")
"""Neither more nor less of them is better."""
_SAME_FRAC = 5e-4
_TENANT_METRICS = ("p99_latency_s", "p99_deadline_frac", "slo_violation_frac", "energy_per_inference_j")


class Side(NamedTuple):
    """One of the two: its design, and the seed and workload that it was made with, where known."""

    name: str
    design: Design
    seed: int | None
    workload: Workload | None
    status: str = ""


class ParameterDiff(NamedTuple):
    """A parameter and its values; None where a design does not have it."""

    name: str
    a: Any
    b: Any


class MetricDiff(NamedTuple):
    """A metric; `relative` = (b - a) / |a|, NaN where that means nothing; `better` is `A`, `B`, or '' where they are
    the same, to half a thousandth, or where neither more nor less is better."""

    name: str
    a: float
    b: float
    relative: float
    better: str


@final
@dataclass(frozen=True, kw_only=True)
class Diff:
    """The answer of `dse diff`."""

    a: Side
    b: Side
    workload: str
    seed: int
    parameters: list[ParameterDiff]
    metrics: list[MetricDiff]
    tenant_metrics: list[MetricDiff]

    @property
    def sentence(self) -> str:
        """B in terms of A: area, the tail of the worst tenant, energy per inference."""
        known = {m.name: m for m in self.metrics}
        found = [known[name] for name in ("area_mm2", "p99_deadline_frac", "energy_per_inference_j")
                 if name in known and not math.isnan(known[name].a) and not math.isnan(known[name].b)]
        return "B has " + ", ".join(comparison(m.name, m.a, m.b) for m in found) + "." if found else ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "sentence": self.sentence,
            "a": {"name": self.a.name, "status": self.a.status}, "b": {"name": self.b.name, "status": self.b.status},
            "workload": self.workload, "seed": self.seed, "parameters": [p._asdict() for p in self.parameters],
            "metrics": [m._asdict() for m in self.metrics],
            "tenant_metrics": [m._asdict() for m in self.tenant_metrics],
        }


def design_parameters(design: Design) -> dict[str, Any]:
    """Everything that makes a design, flat: `architecture`, `engines[0].rows`, ..., `policy`, `prema.quantum_s`."""
    architecture = design.architecture
    found: dict[str, Any] = {"architecture": architecture.name}
    values: dict[str, Any] = asdict(architecture)  # type: ignore[call-overload]
    engines = values.pop("engines", None) or [values.pop("engine")]
    found |= {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    for i, engine in enumerate(engines):
        found |= {f"engines[{i}].{name}": value for name, value in engine.items()}
    found["policy"] = design.policy
    for name, param in POLICIES[design.policy].params.items():
        found[f"{design.policy}.{name}"] = design.policy_params.get(name, param.default)
    return found | {"scheduler": design.scheduler}


def _parameters(a: Design, b: Design) -> list[ParameterDiff]:
    """What differs; an engine that only one design has is one entry, a mapping."""
    left, right = design_parameters(a), design_parameters(b)
    found: dict[str, ParameterDiff] = {}
    for name in {**left, **right}:
        if left.get(name) == right.get(name):
            continue
        engine, _, field = name.partition("].")
        if field and not all(f"{engine}].rows" in side for side in (left, right)):
            whole = [{key.partition("].")[2]: value for key, value in side.items() if key.startswith(f"{engine}].")}
                     or None for side in (left, right)]
            found[f"{engine}]"] = ParameterDiff(f"{engine}]", *whole)
        else:
            found[name] = ParameterDiff(name, left.get(name), right.get(name))
    return list(found.values())


def _of_run(path: Path, trial: int | None, field: str) -> Side:
    from dse.advice import nothing_feasible, recommended

    run = read_run(path)
    study = run.record
    if trial is None:
        found = recommended(run)
        if not found:
            raise nothing_feasible(run, f"{path}:{{trial}}")
        trial = int(found[0]["trial"])
    try:
        design = study.design(run.params(run.row(trial)))
    except (ModelError, KeyError) as error:
        raise InputError(Problem(field=field, message=f"must be a design of the study: {error}")) from None
    return Side(f"{path}:{trial}", design, study.seed, study.workload)


def _side(spec: str, field: str) -> Side:
    """A design file, `RUN:TRIAL` or `RUN`."""
    head, _, tail = spec.rpartition(":")
    if Path(spec).is_dir():
        return _of_run(Path(spec), None, field)
    if head and Path(head).is_dir():
        if not tail.isascii() or not tail.isdigit():
            raise InputError(Problem(field=field, message=f"must be RUN:TRIAL, the number of a trial, got {spec!r}"))
        return _of_run(Path(head), int(tail), field)
    if head and tail.isdigit():
        raise InputError(Problem(field=field, message=f"must be RUN:TRIAL, and {head} is no folder"))
    document = load_design_document(spec)
    workload = None
    study = Path(spec).absolute().parent.parent / "study.yaml"
    if Path(spec).absolute().parent.name == "best" and study.is_file():
        workload = load_study(study).workload
    return Side(spec, document.design, document.seed, workload)


def _sides(a: str, b: str) -> tuple[Side, Side]:
    sides, problems = [], []
    for spec, field in ((a, "A"), (b, "B")):
        try:
            sides.append(_side(spec, field))
        except InputError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise InputError(*problems)
    return sides[0], sides[1]


def _metric(name: str, a: float, b: float) -> MetricDiff:
    if a == b or (math.isnan(a) and math.isnan(b)):
        return MetricDiff(name, a, b, 0.0, "")
    relative = (b - a) / abs(a) if a and math.isfinite(a) and math.isfinite(b) else math.nan
    no_verdict = name in _NEUTRAL or math.isnan(a) or math.isnan(b) or abs(relative) < _SAME_FRAC
    better = "" if no_verdict else "A" if (a < b) == minimised(name) else "B"
    return MetricDiff(name, a, b, relative, better)


def diff(a: str, b: str, *, workload: str | None = None, seed: int | None = None) -> Diff:
    """Compare two designs.

    Parameters
    ----------
    a, b : a design file, `RUN:TRIAL`, or `RUN` for its recommended design.
    workload : name or file; by default that of the runs which the designs come from.
    seed : of the traffic, the same for both; by default the one recorded with A, then B, then 0.

    Raises
    ------
    InputError : a file or trial that is not there; no workload, or two different ones.
    """
    first, second = _sides(a, b)
    if workload is not None:
        used = load_workload(workload, field="--workload")
    else:
        known = [side.workload for side in (first, second) if side.workload is not None]
        if not known:
            raise InputError(Problem(field="--workload", message="must be given: neither design is one of a run"))
        if known[0] != known[-1]:
            raise InputError(Problem(field="--workload", message="must be given: the runs have different workloads",
                                     hint=f"{known[0].name!r} and {known[-1].name!r}"))
        used = known[0]
    chosen = next((s for s in (seed, first.seed, second.seed) if s is not None), 0)
    outcomes = [_evaluate(side, used, chosen) for side in (first, second)]
    metrics = [_metric(name, *(o.metrics.get(name, math.nan) for o in outcomes)) for name in METRICS
               if any(name in o.shown for o in outcomes)]
    tenants = [_metric(f"{t.name}.{name}", *(o.tenants.get(t.name, {}).get(name, math.nan) for o in outcomes))
               for t in used.tenants for name in _TENANT_METRICS if any(t.name in o.tenants for o in outcomes)]
    return Diff(
        a=first._replace(status=outcomes[0].status), b=second._replace(status=outcomes[1].status), workload=used.name,
        seed=chosen, metrics=metrics, tenant_metrics=tenants, parameters=_parameters(first.design, second.design))


def _evaluate(side: Side, workload: Workload, seed: int) -> Any:
    from hwmodels.evaluate import evaluate

    try:
        return evaluate(side.design, workload, seed=seed)
    except ModelError as error:
        raise InputError(Problem(file=side.name, field=error.field, hint=error.hint,
                                 message=f"must be {error.rule}"
                                 + (f", got {error.value!r}" if error.value is not None else ""))) from None
