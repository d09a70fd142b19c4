"""Records back to our YAML: `dse.documents` reads the text to an equal record. Floats round-trip."""

from dataclasses import MISSING, asdict, fields
from typing import Any

import yaml

from dse.study import Robust, Study
from hwmodels.architectures import Composable, Dedicated
from hwmodels.constants import Constant
from hwmodels.design import Design
from hwmodels.engine import PRECISION_BITS, Engine
from hwmodels.network import Layer, Network
from hwmodels.robust import MEAN, WORST
from hwmodels.workload import ServiceLevel, Tenant, Traffic, Workload
from spaces.domains import Choice, Domain, PowersOfTwo, Range
from spaces.space import Space

__all__ = ["dump_design", "dump_workload", "self_contained"]


_LISTED = 1000
"""Longer lists of arrivals are written as one text: YAML reads it 10 times faster."""


class _Dumper(yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper):  # type: ignore[misc]
    """Block style outside, one line for mappings and lists of scalars, no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.Node:
    """Text; in quotes where our reader (`1e9`) or another one (`1:30`) could take it for a number."""
    if "\n" in value:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|")
    number_like = value[:1] in "+-.0123456789" and any(char.isdigit() for char in value)
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if number_like else None)


_Dumper.add_representer(str, _text)


def _yaml(value: dict[str, Any]) -> str:
    return yaml.dump(_plain(value), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=118,
                     allow_unicode=True)


def _plain(value: Any) -> Any:
    """Python values for what a caller may pass: numpy scalars and arrays, tuples, paths."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


# --- designs ----------------------------------------------------------------------------------------------------------


def dump_design(design: Design, *, seed: int | None = None, provenance: dict[str, Any] | None = None) -> str:
    """A design as YAML.

    Parameters
    ----------
    seed : of the traffic it was evaluated with; `dse evaluate` takes it unless told otherwise.
    provenance : study, trial, parameters, metrics, budgets ...: whatever YAML can hold. `budgets` (metric ->
        bound) are checked by `dse evaluate`.
    """
    architecture = design.architecture
    engines = _engines(architecture)
    document: dict[str, Any] = {
        "kind": "design",
        "architecture": architecture.name,
        "node_nm": engines[0].node_nm,
        "freq_hz": engines[0].freq_hz,
        "dram_bytes_per_s": engines[0].dram_bytes_per_s,
        "engines": [_engine(engine) for engine in engines],
    }
    if isinstance(architecture, Composable):
        document["subarrays"] = architecture.subarrays
    if isinstance(architecture, Dedicated):
        for item, tenant, frac in zip(document["engines"], architecture.tenants, architecture.dram_fracs, strict=True):
            item |= {"tenant": tenant, "dram_frac": frac}
    if engines[0].technology:
        document["technology"] = _technology(engines[0].technology)
    document |= {"policy": {"name": design.policy} | dict(design.policy_params), "scheduler": design.scheduler}
    if seed is not None:
        document["seed"] = seed
    if provenance:
        document["provenance"] = provenance
    return f"# Evaluate with: dse evaluate THIS_FILE --workload WORKLOAD\n{_yaml(document)}"


def _engines(architecture: Any) -> tuple[Engine, ...]:
    return tuple(getattr(architecture, "engines", ())) or (architecture.engine,)


def _engine(engine: Engine) -> dict[str, Any]:
    """What was chosen, the main sizes in any case; the chip's own keys stand above the engines."""
    always = ("rows", "cols", "dataflow", "sram_bytes", "precision", "vector_lanes", "fold_overlap")
    given = _given(engine)
    return {item.name: getattr(engine, item.name) for item in fields(engine)
            if (item.name in always or item.name in given)
            and item.name not in ("node_nm", "freq_hz", "dram_bytes_per_s", "technology")}


def _technology(own: tuple[Constant, ...]) -> dict[str, Any]:
    return {"constants": {item.key: {"value": item.value, "low": item.low, "high": item.high, "source": item.source}
                          for item in own}}


# --- workloads --------------------------------------------------------------------------------------------------------


def dump_workload(workload: Workload) -> str:
    """A workload as YAML that needs no other file: networks of the zoo by name, all others layer by layer."""
    return _yaml(_workload(workload))


def _workload(workload: Workload) -> dict[str, Any]:
    return {"kind": "workload", "name": workload.name, "duration_s": workload.duration_s,
            "tenants": [_tenant(tenant) for tenant in workload.tenants]}


def _given(record: Any) -> dict[str, Any]:
    """Fields of a record that differ from their defaults."""
    def default(item: Any) -> Any:
        return item.default_factory() if item.default_factory is not MISSING else item.default

    return {item.name: getattr(record, item.name) for item in fields(record)
            if getattr(record, item.name) != default(item)}


def _tenant(tenant: Tenant) -> dict[str, Any]:
    document: dict[str, Any] = {"name": tenant.name, **_network(tenant.network)}
    if tenant.traffic is not None:
        document["traffic"] = {"kind": tenant.traffic.kind} | _traffic(tenant.traffic)
    if tenant.service != ServiceLevel():
        document["service"] = _given(tenant.service)
    return document | {key: value for key, value in _given(tenant).items()
                       if key in ("priority", "after", "probability", "steps")}


def _traffic(traffic: Traffic) -> dict[str, Any]:
    keys = {"periodic": ("rate_hz", "jitter_frac", "offset_s"), "poisson": ("rate_hz", "offset_s"),
            "gamma": ("rate_hz", "gap_cv", "offset_s"), "bursty": ("rate_hz", "on_s", "off_s", "offset_s"),
            "rate_table": ("rates_hz", "step_s", "offset_s"), "trace": ("arrivals_s", "offset_s")}[traffic.kind]
    document = {key: getattr(traffic, key) for key in keys}
    if traffic.stream:
        document["stream"] = traffic.stream
    if traffic.part != (0.0, 1.0):
        document["part"] = traffic.part
    if len(traffic.arrivals_s) > _LISTED:
        rows = (traffic.arrivals_s[at:at + 6] for at in range(0, len(traffic.arrivals_s), 6))
        document["arrivals_s"] = "\n".join(" ".join(repr(float(time)) for time in row) for row in rows)
    return document


def _network(network: Network) -> dict[str, Any]:
    """`network` (and `precision`) of a tenant."""
    from hwmodels.networks import NETWORKS
    from hwmodels.networks import network as zoo

    if network.name in NETWORKS:
        original = zoo(network.name)
        exits: dict[str, Any] = {}
        taken = {network.layers[index].name: network.layers[index].exit_frac for index in network.exits}
        if original.exits != network.exits or original.exit_shares != network.exit_shares:
            exits = {"exits": taken}
            original = original.with_exits(taken)
        if network == original:
            return {"network": network.name} | exits
        for precision, bits in PRECISION_BITS.items():
            if network == original.with_precision(bits, bits):
                return {"network": network.name, "precision": precision} | exits
    layers = [_layer(layer) for layer in network]
    inline: dict[str, Any] = {"name": network.name}
    if network.source:
        inline["source"] = " ".join(network.source.split())
    if network.notes:
        inline["notes"] = [" ".join(note.split()) for note in network.notes]
    return {"network": inline | {"layers": layers}}


def _layer(layer: Layer) -> dict[str, Any]:
    return {"name": layer.name, "op": layer.op} | {k: v for k, v in _given(layer).items() if k not in ("name", "op")}


# --- studies ----------------------------------------------------------------------------------------------------------


def self_contained(study: Study) -> str:
    """The study as it is run, in one file that needs no other: workload written in place, every domain spelt out.

    It survives moving, and a later version with other default domains; networks of the zoo stay names.
    """
    space = study.space
    document: dict[str, Any] = {
        "kind": "study",
        "name": study.name,
        "workload": _workload(study.workload),
        "objectives": [{"metric": item.metric, "direction": "minimise" if item.minimise else "maximise"}
                       for item in study.objectives],
        "budgets": study.budgets,
        "space": {"domains": {name: _domain(domain) for name, domain in space.domains.items()}}
        | ({"forbidden": clauses} if (clauses := _forbidden(study)) else {}),
        "search": {key: value for key, value in (
            ("sampler", study.sampler), ("trials", study.trials), ("seed", study.seed), ("workers", study.workers),
            ("in_flight", study.in_flight), ("eval_timeout_s", study.eval_timeout_s)) if value is not None},
    }
    if study.robust is not None:
        document["robust"] = _robust(study.robust)
    if study.technology:
        document["technology"] = _technology(study.technology)
    if study.confidence is not None:
        document["confidence"] = asdict(study.confidence)
    if study.fidelity != "simulate":
        document["fidelity"] = study.fidelity
    return f"# As run: dse run THIS_FILE --out RUN\n{_yaml(document)}"


def _robust(robust: Robust) -> dict[str, Any]:
    seeds = robust.seeds if isinstance(robust.seeds, int) else list(robust.seeds)
    document: dict[str, Any] = {"workloads": [_workload(workload) for workload in robust.workloads]} \
        if robust.workloads else {}
    document |= {"rates": list(robust.rates), "seeds": seeds, "aggregate": _aggregate(robust.alpha)}
    return document | ({"metrics": {name: _aggregate(alpha) for name, alpha in robust.metrics.items()}}
                       if robust.metrics else {})


def _aggregate(alpha: float) -> Any:
    return {MEAN: "mean", WORST: "worst"}.get(alpha, {"cvar": alpha})


def _domain(domain: Domain) -> Any:
    if isinstance(domain, Choice):
        return list(domain.values)
    spec = asdict(domain)  # type: ignore[call-overload]
    if isinstance(domain, Range):
        return spec
    return spec | {"log": 2} if isinstance(domain, PowersOfTwo) else spec


def _forbidden(study: Study) -> list[dict[str, Any]]:
    """Clauses of the study itself, without those that every space of its classes has."""
    from spaces.designs import design_space

    own: Space = design_space(study.workload, domains=study.space.domains)
    return [dict(clause) for clause in study.space.forbidden if dict(clause) not in [dict(c) for c in own.forbidden]]
