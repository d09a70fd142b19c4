"""From validated YAML to the records of the models: workloads, engines and designs.

A converter returns None when problems were found; they are in `Reading.problems`, each at the line to blame. Checks
between the items of a list work on the raw values, so that they are made even where other keys are broken.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dse.errors import InputError, Problem, did_you_mean
from dse.located import Document, Loc, names_in, near_file, read
from dse.schema.hardware import DesignFile, EngineFile, TechnologyFile
from dse.schema.workload import LOG_KEYS, InlineNetwork, Tenant, Traffic, WorkloadFile
from dse.traces import read_arrivals
from hwmodels.constants import Constant
from hwmodels.design import Design
from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.errors import ModelError
from hwmodels.network import Layer, Network
from hwmodels.workload import ServiceLevel, Workload
from hwmodels.workload import Tenant as TenantRecord
from hwmodels.workload import Traffic as TrafficRecord

__all__ = ["Reading", "design_record", "engine_record", "policy_of", "technology_record",
           "workload_record"]

LANGUAGE_KEYS = ("phase", "tokens", "context", "batch", "head", "mlp")
NETWORK_SUFFIXES = (".onnx", ".pt2", ".json", ".csv", ".yaml", ".yml")


class Reading:
    """A document being turned into a record: where it is, and what was found wrong or remarkable."""

    def __init__(self, document: Document, problems: list[Problem]) -> None:
        self.document = document
        self.problems = problems
        self.notes: list[str] = []

    def report(self, loc: Loc, message: str, *, hint: str = "", at_key: bool = False) -> None:
        problem = self.document.problem(loc, message, hint=hint, at_key=at_key)
        if problem not in self.problems:
            self.problems.append(problem)

    def report_got(self, loc: Loc, rule: str, *, hint: str = "") -> None:
        self.report(loc, f"must be {rule}, got {self.document.got(loc)}", hint=hint)

    def add(self, error: InputError) -> None:
        self.problems += [problem for problem in error.problems if problem not in self.problems]

    @contextmanager
    def blaming(self, loc: Loc) -> Iterator[None]:
        """Turn a `ModelError` inside into a problem at the part of `loc` that its field names."""
        try:
            yield
        except ModelError as error:
            at = self.part(tuple(loc), error.field)
            got = "" if error.value is None else f", got {error.value!r}"
            self.report(at, f"must be {error.rule}{got}", hint=error.hint)

    def part(self, loc: tuple[str | int, ...], name: str) -> tuple[str | int, ...]:
        """The deepest part of `loc` that a field such as `engine.rows` or `engines[].tenant` leads to."""
        for part in re.findall(r"\w+", name):
            steps: list[tuple[str | int, ...]] = [(int(part),)] if part.isdigit() else [(part,), (f"{part}s", 0)]
            for step in steps:
                at = (*loc, *step)
                if self.document.node(at)[1] == len(at):
                    loc = at
                    break
        return loc

    def raw(self, loc: Loc) -> Any:
        """The plain value at `loc`, None where there is none."""
        value = self.document.value
        for part in loc:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value


# --- workload ---------------------------------------------------------------------------------------------------------


def workload_record(reading: Reading, file: WorkloadFile | None, loc: Loc = ()) -> Workload | None:
    """A workload from the mapping at `loc`."""
    _tenant_names(reading, loc)
    tenants = reading.raw((*loc, "tenants"))
    for index, name in names_in(tenants, "network"):
        _network_name(reading, (*loc, "tenants", index, "network"), name)
    for index, tenant in enumerate(tenants if isinstance(tenants, list) else ()):
        traffic = tenant.get("traffic") if isinstance(tenant, dict) else None
        for _, name in names_in([traffic], "file"):
            _existing(reading, (*loc, "tenants", index, "traffic", "file"), name, "a CSV file")
    if file is None or reading.problems:
        return None
    made = [record for index, tenant in enumerate(file.tenants)
            for record in _tenants(reading, tenant, (*loc, "tenants", index))]
    good = tuple(tenant for tenant in made if tenant is not None)
    if len(good) < len(made):
        return None
    for tenant in good:
        times = tenant.traffic.arrivals_s if tenant.traffic is not None else ()
        if times and times[0] + tenant.traffic.offset_s >= file.duration_s:  # type: ignore[union-attr]
            reading.notes.append(f"{tenant.name}: no request arrives within duration_s = {file.duration_s:g} (the "
                                 f"first comes at {times[0]:g} s; from_s moves the start of a trace)")
    with reading.blaming(loc):
        return Workload(name=file.name, tenants=good, duration_s=file.duration_s)
    return None


def _tenant_names(reading: Reading, loc: Loc) -> None:
    """Tenants are named uniquely, and `after` names another tenant without a cycle."""
    tenants = reading.raw((*loc, "tenants"))
    first: dict[str, int] = {}
    for index, name in names_in(tenants, "name"):
        at = (*loc, "tenants", index, "name")
        if name in first:
            line = reading.document.node((*loc, "tenants", first[name], "name"))[0].start_mark.line + 1
            reading.report_got(at, f"unique among the tenants (first given in line {line})")
        first.setdefault(name, index)
    parents = {tenants[index]["name"]: after for index, after in names_in(tenants, "after")
               if isinstance(tenants[index].get("name"), str)}
    for index, after in names_in(tenants, "after"):
        at = (*loc, "tenants", index, "after")
        name = tenants[index].get("name")
        if after not in first:
            others = [other for other in first if other != name]
            reading.report_got(at, f"one of {', '.join(others)}" if others else "the name of another tenant",
                               hint=did_you_mean(after, others))
            continue
        if not isinstance(name, str):
            continue
        seen = {name}
        step: Any = after
        while isinstance(step, str) and step not in seen:
            seen.add(step)
            step = parents.get(step)
        if step == name:
            reading.report_got(at, "free of cycles: a tenant cannot follow itself")


def _existing(reading: Reading, loc: Loc, name: str, what: str) -> bool:
    path = reading.document.folder / name
    try:
        if path.is_file():
            return True
    except (OSError, ValueError):
        pass
    reading.report(loc, f"must be {what} that exists, got {reading.document.got(loc)}", hint=near_file(path, name))
    return False


def _is_path(reading: Reading, name: str) -> bool:
    if name.lower().endswith(NETWORK_SUFFIXES) or "/" in name or "\\" in name:
        return True
    try:
        return (reading.document.folder / name).is_dir()
    except (OSError, ValueError):
        return False


def _network_name(reading: Reading, loc: Loc, name: str) -> None:
    """A network is in the zoo, or a file that exists."""
    from hwmodels.networks import NETWORKS

    if name in NETWORKS:
        return
    if _is_path(reading, name):
        if not (reading.document.folder / name).is_dir():
            _existing(reading, loc, name, "a network file")
        return
    reading.report_got(loc, "a network of `dse list networks` or a file (.onnx, .pt2, config.json, topology .csv)",
                       hint=did_you_mean(name, NETWORKS))


def _tenants(reading: Reading, file: Tenant, loc: Loc) -> list[TenantRecord | None]:
    """One tenant, or one per length class where its lengths are measured ones."""
    key, traffic = "context" if file.phase == "decode" else "tokens", file.traffic
    name = getattr(file, key)
    if not isinstance(name, str) or traffic is None:
        return [_tenant(reading, file, loc)]
    from hwmodels.token_lengths import LENGTHS

    count = file.length_classes or 4
    more = LENGTHS[name].mean_position if key == "context" else 0.0
    lengths = [max(1, round(length + more)) for length in LENGTHS[name].prompt_classes(count)]
    low, high = traffic.part or (0.0, 1.0)
    edges = [low + (high - low) * k / count for k in range(count)] + [high]
    made: list[TenantRecord | None] = []
    for k, length in enumerate(lengths):
        part = traffic.model_copy(update={"stream": traffic.stream or file.name, "part": edges[k:k + 2]})
        notes = len(reading.notes)
        record = _tenant(reading, file.model_copy(update={key: length, "traffic": part}), loc)
        if k:
            del reading.notes[notes:]  # the same as for the first class
        made.append(record and replace(record, name=f"{file.name}_q{k + 1}"))
    parts = ", ".join(f"{file.name}_q{k + 1} ({length:,} tokens)" for k, length in enumerate(lengths))
    reading.notes.append(f"{file.name}: lengths of {name}, each class a tenant: {parts}")
    return made


def _tenant(reading: Reading, file: Tenant, loc: Loc) -> TenantRecord | None:
    before = len(reading.problems)
    network = _network(reading, file, loc)
    traffic = None if file.traffic is None else _traffic(reading, file.traffic, file.name, (*loc, "traffic"))
    if len(reading.problems) > before or network is None:
        return None
    with reading.blaming(loc):
        service = ServiceLevel(**file.service.model_dump())
        return TenantRecord(name=file.name, network=network, traffic=traffic, service=service, priority=file.priority,
                            after=file.after, probability=file.probability, steps=file.steps)
    return None


def _traffic(reading: Reading, file: Traffic, tenant: str, loc: Loc) -> TrafficRecord | None:
    options = file.model_dump(exclude_none=True, include=set(LOG_KEYS))
    values = file.model_dump(exclude_none=True, exclude={"file", *LOG_KEYS})
    if file.file is not None:
        try:
            values["arrivals_s"], notes = read_arrivals(_shown(reading, file.file), tenant=tenant, **options)
            reading.notes += [f"{tenant}: {note}" for note in notes]
        except InputError as error:
            reading.add(error)
            return None
    elif file.arrivals_s is not None:
        values["arrivals_s"] = tuple(sorted(file.arrivals_s))
    values |= {key: tuple(values[key]) for key in ("rates_hz", "part") if key in values}
    with reading.blaming(loc):
        return TrafficRecord(**values)
    return None


def _shown(reading: Reading, name: str) -> Path:
    """A path of the document, as it is to appear in messages."""
    return Path(reading.document.path).parent / name


def _network(reading: Reading, file: Tenant, loc: Loc) -> Network | None:
    at = (*loc, "network")
    network = None
    if isinstance(file.network, InlineNetwork):
        network = _inline_network(reading, file.network, at)
    else:
        network = _read_network(reading, file, at)
    if network is None:
        return None
    if file.precision is not None:
        bits = PRECISION_BITS[file.precision]
        network = network.with_precision(bits, bits)
    return network if file.exits is None else _with_exits(reading, network, file.exits, (*loc, "exits"))


def _with_exits(reading: Reading, network: Network, exits: dict[str, float], loc: Loc) -> Network | None:
    names = [layer.name for layer in network.layers[:-1]]
    wrong = [name for name in exits if name not in names]
    for name in wrong:
        reading.report((*loc, name), f"must be the name of a layer of {network.name} before the last one, got {name!r}",
                       hint=did_you_mean(name, names) or f"its layers are listed by `dse inspect {network.name}`",
                       at_key=True)
    return None if wrong else network.with_exits(exits)


def _read_network(reading: Reading, file: Tenant, loc: Loc) -> Network | None:
    from dse.readers import load_network

    spec = str(file.network)
    options = {key: getattr(file, key) for key in LANGUAGE_KEYS if getattr(file, key) is not None}
    if not _is_path(reading, spec):
        for key in (*options, *(("bind",) if file.bind else ())):
            reading.report((*loc[:-1], key), "must be left out: a network of the zoo is ready-made", at_key=True)
        if options or file.bind:
            return None
    try:
        with reading.blaming(loc):
            read = load_network(spec, folder=Path(reading.document.path).parent, bind=file.bind or None, **options)
            reading.notes += [f"{file.name}: {note}" for note in read.notes]
            reading.notes += [f"{file.name}: {item.op} of node {item.node!r} is not supported: {item.reason}"
                              for item in read.unsupported]
            network: Network = read.network
            return network
    except InputError as error:
        for problem in error.problems:
            if problem.line:
                reading.problems.append(problem)
                continue
            # of the file as a whole: best seen where it is named
            at = (*loc[:-1], "bind") if problem.field == "bind" and file.bind else loc
            text = ": ".join(part for part in (problem.file, problem.field, problem.message) if part)
            reading.report(at, text, hint=problem.hint)
    return None


def _inline_network(reading: Reading, file: InlineNetwork, loc: Loc) -> Network | None:
    layers = []
    for index, layer in enumerate(file.layers):
        values = _tuples(layer.model_dump())
        with reading.blaming((*loc, "layers", index)):
            layers.append(Layer(**values))
    if len(layers) < len(file.layers):
        return None
    with reading.blaming((*loc, "layers")):
        return Network(name=file.name, layers=tuple(layers), source=file.source or "", notes=tuple(file.notes))
    return None


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of a record, whose sequences are tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


# --- hardware ---------------------------------------------------------------------------------------------------------


def technology_record(reading: Reading, loc: Loc = ()) -> tuple[Constant, ...]:
    """Own constants: of the mapping at `loc`, or of the file that it names; none where there is nothing."""
    given = reading.raw(loc)
    if isinstance(given, str):
        from dse.problems import check

        try:
            document = read(_shown(reading, given))
        except InputError as error:
            for problem in error.problems:
                reading.report(loc, ": ".join(p for p in (problem.file, problem.message) if p), hint=problem.hint)
            return ()
        file, problems = check(document, TechnologyFile)
        inner = Reading(document, problems)
        found = () if file is None else _constants(inner, file, ())
        reading.problems += inner.problems
        return found
    try:
        file = TechnologyFile.model_validate(given) if isinstance(given, dict) else None
    except ValueError:  # reported already, with its place
        file = None
    return () if file is None else _constants(reading, file, loc)


def _constants(reading: Reading, file: TechnologyFile, loc: Loc) -> tuple[Constant, ...]:
    from dataclasses import replace

    from hwmodels.technology import CONSTANTS, QUANTITIES

    if not file.constants:
        reading.report_got((*loc, "constants"), "a mapping of at least one constant")
    found = []
    for key, own in file.constants.items():
        at = (*loc, "constants", key)
        published = CONSTANTS.get(key)
        if published is None:
            nodes = [point.key for point in QUANTITIES[key].points] if key in QUANTITIES else []
            reading.report(at, f"must be a constant of `dse explain`, got {key!r}", at_key=True,
                           hint=f"a curve: name one of {', '.join(nodes)}" if nodes else did_you_mean(key, CONSTANTS))
            continue
        low = own.value * published.low / published.value if own.low is None else own.low
        high = own.value * published.high / published.value if own.high is None else own.high
        if not low <= own.value <= high:
            reading.report(at, f"must be a range with low <= value <= high, got {low:g}, {own.value:g}, {high:g}")
            continue
        found.append(replace(published, value=own.value, low=low, high=high, trust="own", note="",
                             source=own.source or f"technology {file.name!r}"))
    return tuple(sorted(found, key=lambda record: record.key))


def engine_record(reading: Reading, file: EngineFile | None) -> Engine | None:
    """An engine from a whole document."""
    if file is None or reading.problems:
        return None
    with reading.blaming(()):
        return Engine(**_tuples(file.model_dump(exclude={"kind"})))
    return None


def policy_of(reading: Reading, loc: Loc = ("policy",)) -> tuple[str, dict[str, float]] | None:
    """Name and parameters of the policy at `loc`."""
    from hwmodels.policies import POLICIES

    given = reading.raw(loc)
    at = loc
    if isinstance(given, dict):
        if "name" not in given:
            reading.report(loc, f"missing key name, must be one of {', '.join(POLICIES)}")
            return None
        at = (*loc, "name")
    name = reading.raw(at)
    if not isinstance(name, str) or name not in POLICIES:
        reading.report_got(at, f"one of {', '.join(POLICIES)}",
                           hint=did_you_mean(name, POLICIES) if isinstance(name, str) else "")
        return None
    values: dict[str, float] = {}
    before = len(reading.problems)
    params = POLICIES[name].params
    for key, value in given.items() if isinstance(given, dict) else ():
        if key == "name":
            continue
        here = (*loc, key)
        if key not in params:
            hint = did_you_mean(key, params) or (f"parameters of {name}: {', '.join(params) or 'none'}")
            reading.report(here, "unknown key", hint=hint, at_key=True)
            continue
        if not params[key].accepts(value):
            reading.report_got(here, params[key].rule, hint=reading.document.trap(here, "number"))
            continue
        values[key] = value
    return (name, values) if len(reading.problems) == before else None


def design_record(reading: Reading, file: DesignFile | None) -> Design | None:
    """A design from a whole document."""
    policy = policy_of(reading) if reading.raw(("policy",)) is not None else None
    if file is not None and policy is None and not reading.problems:
        reading.report(("policy",), "must be the name of a policy, or a mapping with the key name, got nothing")
    if file is None or policy is None or reading.problems:
        return None
    common: dict[str, Any] = {key: getattr(file, key) for key in ("node_nm", "freq_hz", "dram_bytes_per_s")}
    common["technology"] = technology_record(reading, ("technology",))
    if reading.problems:
        return None
    engines = []
    for index, item in enumerate(file.engines):
        with reading.blaming(("engines", index)):
            engines.append(Engine(**_tuples(item.model_dump(exclude={"tenant", "dram_frac"})), **common))
    if len(engines) < len(file.engines):
        return None
    with reading.blaming(()):
        architecture = _architecture(file, tuple(engines))
        return Design(architecture=architecture, policy=policy[0], policy_params=policy[1], scheduler=file.scheduler)
    return None


def _architecture(file: DesignFile, engines: tuple[Engine, ...]) -> Any:
    from hwmodels.architectures import Composable, Dedicated, Heterogeneous, TimeMux

    if file.architecture == "time_mux":
        return TimeMux(engine=engines[0])
    if file.architecture == "composable":
        assert file.subarrays is not None
        return Composable(engine=engines[0], subarrays=file.subarrays)
    if file.architecture == "heterogeneous":
        return Heterogeneous(engines=engines)
    if file.architecture == "dedicated":
        return Dedicated(engines=engines, tenants=tuple(str(item.tenant) for item in file.engines),
                         dram_fracs=tuple(item.dram_frac or 0.0 for item in file.engines))
    raise ModelError("architecture", "time_mux, composable, heterogeneous or dedicated", file.architecture)


