"""From validated YAML to a `Study`: metrics, budgets that can be met, domains that can be searched."""

from collections.abc import Mapping, Sequence
from typing import Any

from dse.convert import Reading, technology_record
from dse.errors import did_you_mean
from dse.located import Loc
from dse.schema.domains import legal_values
from dse.schema.study import StudyFile
from dse.schema.workload import MAX_REQUESTS
from dse.study import Confidence, Objective, Robust, Study
from hwmodels.outcome import ANSWER_METRICS, OBJECTIVES, SEARCHED
from hwmodels.traffic import mean_rate_hz
from hwmodels.workload import Workload

__all__ = ["study_record"]

# What a metric can be at all: (low, high, whether low itself can be reached). All others: any number > 0.
_REACH: dict[str, tuple[float, float, bool]] = {
    "slo_violation_frac": (0.0, 1.0, True), "drop_frac": (0.0, 1.0, True), "slo_miss_frac": (-1.0, float("inf"), False),
    "antt": (1.0, float("inf"), True), "fairness_frac": (0.0, 1.0, True), "engine_utilisation_frac": (0.0, 1.0, True),
    "dram_utilisation_frac": (0.0, 1.0, True), "stp": (0.0, float("inf"), True),
    "throughput_per_s": (0.0, float("inf"), True),
}


def study_record(reading: Reading, file: StudyFile | None, workload: Workload | None,
                 more: Sequence[Workload | None] = ()) -> Study | None:
    """A study from a whole document, its workload and those of `robust` (None: it has problems of its own)."""
    tenants = _tenants(reading, workload, more)
    objectives = _objectives(reading, tenants)
    _budgets(reading, tenants)
    for name in _mapping(_mapping(reading.raw(("robust",))).get("metrics")):
        _metric(reading, ("robust", "metrics", name), name, tenants, at_key=True)
    _searched(reading, objectives, [workload, *more])
    _answers(reading, objectives, [workload, *more])
    _robust_workloads(reading, workload, more)
    section = reading.raw(("space",))
    spec = section if isinstance(section, dict) else {}
    for name, domain in _mapping(spec.get("domains")).items():
        _domain(reading, name, domain)
    if file is None or workload is None or reading.problems:
        return None
    space = _space(reading, file, workload)
    if space is None:
        return None
    technology = technology_record(reading, ("technology",))
    if technology and file.fidelity != "simulate":
        reading.report(("technology",), f"must be left out with fidelity {file.fidelity}, which knows the published "
                       "constants only", at_key=True)
    search = file.search
    return Study(
        name=file.name, workload=workload, objectives=objectives, budgets=dict(file.budgets), space=space,
        technology=technology, robust=_robust(file, more),
        confidence=None if file.confidence is None else Confidence(**file.confidence.model_dump()),
        sampler=search.sampler, trials=search.trials, seed=search.seed, fidelity=file.fidelity, workers=search.workers,
        in_flight=search.in_flight, eval_timeout_s=search.eval_timeout_s, source=reading.document.text,
        path=reading.document.path,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _robust(file: StudyFile, more: Sequence[Workload | None]) -> Robust | None:
    section = file.robust
    if section is None:
        return None
    return Robust(workloads=tuple(one for one in more if one is not None), rates=tuple(section.rates),
                  seeds=tuple(section.seeds) if isinstance(section.seeds, list) else section.seeds,
                  alpha=section.aggregate, metrics=dict(section.metrics))


def _robust_workloads(reading: Reading, workload: Workload | None, more: Sequence[Workload | None]) -> None:
    """The workloads of `robust` have names of their own, and few enough requests at every rate."""
    names = {workload.name} if workload is not None else set()
    for index, one in enumerate(more):
        if one is not None and one.name in names:
            reading.report(("robust", "workloads", index), f"must be a workload with a name of its own, "
                           f"{one.name!r} is given already")
        names |= {one.name} if one is not None else set()
    rates = _mapping(reading.raw(("robust",))).get("rates")
    for index, rate in enumerate(rates if isinstance(rates, list) else ()):
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            continue
        requests = max((sum(mean_rate_hz(one, tenant) for tenant in one.tenants) * one.duration_s
                        for one in (workload, *more) if one is not None), default=0.0)
        if requests * rate > MAX_REQUESTS:
            reading.report_got(("robust", "rates", index), f"so that at most {MAX_REQUESTS:,} requests arrive "
                               f"({requests:,.0f} do at rate 1)")


def _tenants(reading: Reading, workload: Workload | None, more: Sequence[Workload | None]) -> list[str] | None:
    """Names of the tenants of all workloads; None when one could not be read."""
    if None in more:
        return None
    if workload is not None:
        return list(dict.fromkeys(tenant.name for one in (workload, *more) for tenant in one.tenants))  # type: ignore[union-attr]
    inline = reading.raw(("workload", "tenants"))
    if isinstance(inline, list):
        return [str(item.get("name")) for item in inline if isinstance(item, dict)]
    return None


def _metric(reading: Reading, loc: Loc, name: str, tenants: list[str] | None, *, at_key: bool) -> str | None:
    """The metric that `METRIC` or `TENANT.METRIC` speaks of; None when there is no such thing (reported)."""
    tenant, _, metric = name.rpartition(".")
    if tenant and tenants is not None and tenant not in tenants:
        reading.report(loc, f"must be METRIC or TENANT.METRIC of a tenant of the workload, got {name!r}", at_key=at_key,
                       hint=did_you_mean(tenant, tenants) or f"tenants: {', '.join(tenants[:8])}")
        return None
    if metric not in OBJECTIVES:
        hint = did_you_mean(metric, OBJECTIVES) or "see `dse list metrics`"
        reading.report(loc, f"must be a metric of `dse list metrics`, got {name!r}", hint=hint, at_key=at_key)
        return None
    if tenant and not OBJECTIVES[metric].per_tenant:
        reading.report(loc, f"must be a metric of single tenants ({metric} is of the whole chip), got {name!r}",
                       at_key=at_key)
        return None
    return metric


def _judged(reading: Reading, objectives: Sequence[Objective]) -> list[tuple[Loc, str]]:
    """Where the study names which metric as an objective or a budget."""
    return [*((("objectives",), o.metric) for o in objectives),
            *((("budgets", name), name) for name in _mapping(reading.raw(("budgets",))))]


def _answers(reading: Reading, objectives: Sequence[Objective], workloads: Sequence[Workload | None]) -> None:
    """Times of tokens are those of answers: of a tenant with `steps`."""
    if None in workloads:
        return
    answering = [tenant.name for one in workloads for tenant in one.tenants if tenant.steps > 1]  # type: ignore[union-attr]
    for place, name in _judged(reading, objectives):
        tenant, _, metric = name.rpartition(".")
        if metric in ANSWER_METRICS and (tenant not in answering if tenant else not answering):
            reading.report(place, f"must not hold {name}: {tenant or 'no tenant'} has {'no ' if tenant else ''}steps",
                           hint=f"tenants with steps: {', '.join(answering)}" if answering else "")


def _searched(reading: Reading, objectives: Sequence[Objective], workloads: Sequence[Workload | None]) -> None:
    """What a metric that takes a search over the traffic needs: a deadline to meet, and no race over more requests."""
    from hwmodels.capacity import has_deadlines

    place, name = next(((place, name) for place, name in _judged(reading, objectives) if name in SEARCHED), ((), ""))
    if not name:
        return
    for one in workloads:
        if one is not None and not has_deadlines(one):
            reading.report(place, f"must not hold {name}: no tenant of workload {one.name!r} has a deadline")
    if reading.raw(("confidence",)) is not None:
        reading.report(("confidence",), f"must be left out with {name}, which has no interval", at_key=True)


def _objectives(reading: Reading, tenants: list[str] | None) -> tuple[Objective, ...]:
    given = reading.raw(("objectives",))
    objectives: list[Objective] = []
    for index, item in enumerate(given if isinstance(given, list) else []):
        loc: tuple[str | int, ...] = ("objectives", index)
        name, direction = item, None
        if isinstance(item, dict):
            loc, name, direction = (*loc, "metric"), item.get("metric"), item.get("direction")
        if not isinstance(name, str) or not name.strip():
            continue  # reported by the schema
        metric = _metric(reading, loc, name, tenants, at_key=False)
        if metric is None:
            continue
        if any(name == objective.metric for objective in objectives):
            reading.report_got(loc, "listed once")
        minimise = OBJECTIVES[metric].minimise if direction is None else direction == "minimise"
        objectives.append(Objective(metric=name, minimise=minimise))
    return tuple(objectives)


def _budgets(reading: Reading, tenants: list[str] | None) -> None:
    """Every budget is on a metric, and some design could meet it."""
    for name, bound in _mapping(reading.raw(("budgets",))).items():
        loc = ("budgets", name)
        metric = _metric(reading, loc, name, tenants, at_key=True)
        if metric is None or isinstance(bound, bool) or not isinstance(bound, int | float):
            continue
        low, high, closed = _REACH.get(metric, (0.0, float("inf"), False))
        if metric == "stp" and tenants:
            high = float(len(tenants))
        if OBJECTIVES[metric].minimise:
            if bound < low or (bound == low and not closed):
                sign = ">=" if closed else ">"
                reading.report_got(loc, f"a number {sign} {low:g}: no design can be below")
        elif bound > high:
            reading.report_got(loc, f"a number <= {high:g}: no design can be above")


def _domain(reading: Reading, name: str, spec: Any) -> None:
    """One entry of `space.domains`: a known parameter, values of its type."""
    from hwmodels.policies import POLICIES
    from spaces.designs import PARAMETERS
    from spaces.domains import Choice
    from spaces.errors import SpaceError
    from spaces.space import Space

    loc = ("space", "domains", name)
    owner, _, parameter = name.partition(".")
    policy = POLICIES.get(owner) if parameter else None
    if name not in PARAMETERS and (policy is None or parameter not in policy.params):
        known = [*PARAMETERS, *(f"{p}.{q}" for p, record in POLICIES.items() for q in record.params)]
        hint = did_you_mean(name, known) or f"known: {', '.join(PARAMETERS)}"
        reading.report(loc, "unknown parameter of the space", hint=hint, at_key=True)
        return
    if policy is not None and name not in PARAMETERS:
        param = policy.params[parameter]
        low, high = param.low, param.high
        for value, at in _domain_values(spec, loc):
            if not param.accepts(value):
                reading.report_got(at, param.rule, hint=reading.document.trap(at, "number"))
        if param.choice and isinstance(spec, dict) and spec.get("step") not in (1, 2, 3):
            reading.report_got(loc, "a list of whole numbers, or {low, high, step} of them", hint=param.meaning)
        spec_default: tuple[Any, ...] = (float(low), float(high)) if low < high else (float(low),)
    else:
        spec_default = legal_values(name) or PARAMETERS[name][0]
        found = [_broken_value(reading, at, value, spec_default, closed=bool(legal_values(name)))
                 for value, at in _domain_values(spec, loc)]
        if any(found):
            return
    try:
        Space(domains={name: Choice(spec_default)}).narrow({name: _normal(name, spec)})
    except SpaceError as error:
        _blame_space(reading, loc, error)


def _blame_space(reading: Reading, loc: Loc, error: Any) -> None:
    """A `SpaceError` at the deepest part of `loc` that its field leads to."""
    at = reading.part(tuple(loc), error.field)
    given = isinstance(error.value, list | dict) and not error.value
    got = "" if error.value is None else f", got {reading.document.got(at) if given else repr(error.value)}"
    reading.report(at, f"must be {error.rule}{got}", hint=error.hint)


def _domain_values(spec: Any, loc: Loc) -> list[tuple[Any, tuple[str | int, ...]]]:
    """The values written in a domain, each with its place."""
    if isinstance(spec, list):
        return [(value, (*loc, index)) for index, value in enumerate(spec)]
    if isinstance(spec, dict):
        return [(spec[key], (*loc, key)) for key in ("low", "high") if key in spec]
    return [(spec, tuple(loc))]


def _broken_value(reading: Reading, loc: Loc, value: Any, default: tuple[Any, ...], *, closed: bool) -> bool:
    """Whether a value of a domain has the wrong type or sign, or is none of a closed list (then reported)."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    wants = "text" if isinstance(default[0], str) else "number"
    if closed:
        good = value in default if number or isinstance(value, str) else False
        rule = f"one of {', '.join(str(option) for option in default)}"
    else:
        whole = all(isinstance(option, int) for option in default)
        good = number and 0 < value < 2**53 and (not whole or float(value).is_integer())
        rule = "an integer >= 1" if whole else "a number > 0"
    if not good:
        hint = did_you_mean(value, default) if wants == "text" and isinstance(value, str) else ""
        reading.report_got(loc, rule, hint=reading.document.trap(loc, wants) or hint)
    return not good


def _normal(name: str, spec: Any) -> Any:
    """A domain with whole numbers as integers where the parameter is one (`1e6` is a float to YAML)."""
    from spaces.designs import PARAMETERS

    default = PARAMETERS.get(name, ((0.0,), ""))[0]

    def whole(value: Any) -> Any:
        return int(value) if isinstance(value, float) and value.is_integer() else value

    if not all(isinstance(option, int) for option in default):
        return spec
    if isinstance(spec, list):
        return [whole(value) for value in spec]
    return {key: whole(value) for key, value in spec.items()} if isinstance(spec, dict) else whole(spec)


def _space(reading: Reading, file: StudyFile, workload: Workload) -> Any:
    from spaces.designs import design_space
    from spaces.errors import SpaceError

    section = file.space
    domains = {name: _normal(name, spec) for name, spec in section.domains.items()}
    try:
        return design_space(workload, architectures=section.architectures, policies=section.policies,
                            domains=domains, forbidden=section.forbidden)
    except SpaceError as error:
        _blame_space(reading, ("space",), error)
    return None
