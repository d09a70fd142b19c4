"""The space of designs: four architecture classes, their sizes, the policy and who runs it.

`design_space` declares it; `decode_design` turns the parameters of one point into a `Design`. Every default domain has
its reason beside it; a study narrows or overrides any of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hwmodels.architectures import ARCHITECTURES, Composable, Dedicated, Heterogeneous, TimeMux
from hwmodels.constants import Constant
from hwmodels.design import SCHEDULERS, Architecture, Design
from hwmodels.engine import Engine
from hwmodels.errors import InvalidEngine
from hwmodels.policies import POLICIES
from hwmodels.policies.base import HIDDEN_TRUTH
from hwmodels.workload import Workload
from spaces.domains import Choice, Domain, as_domain
from spaces.errors import SpaceError, did_you_mean
from spaces.space import Clause, Condition, Space

__all__ = ["MAX_ENGINES", "ON_REQUEST", "PARAMETERS", "architecture_of", "chip_key", "decode_design",
           "design_space", "policy_params", "total_engine"]

MAX_ENGINES = 3
"""Largest number of engines of a heterogeneous design: every further one adds three parameters."""

_KIB = 1024
_ONE_ARRAY = ("time_mux", "composable")
_BUDGETED = ("time_mux", "composable", "dedicated")
_COMMON = ("node_nm", "freq_hz", "dram_bytes_per_s", "vector_lanes")

REAL_ARRAY = {"fold_overlap": "double_buffered", "output_drain": True,
              "depthwise_modes": ("per_channel", "packed_diagonal", "vector_unit")}
"""What built arrays do, and the reference mode of `Engine` (SCALE-Sim's) does not."""

ON_REQUEST = ("stacks", "batching")
"""Parameters of `time_mux` that are part of a space only if its domains name them."""

# name -> (default values, reason); the first condition that fails switches a parameter off
PARAMETERS: dict[str, tuple[tuple[Any, ...], str]] = {
    "architecture": (tuple(ARCHITECTURES), "the four classes of Venieris et al."),
    "node_nm": ((16,), "one node unless the study asks: area and energy of nodes do not mix on one front"),
    "freq_hz": ((0.5e9, 1.0e9), "edge and mobile NPUs run at 0.5 to 1 GHz"),
    "dram_bytes_per_s": ((8e9, 16e9, 32e9, 64e9), "one 16-bit LPDDR4 channel up to a 128-bit LPDDR4X bus"),
    "rows": ((16, 32, 64, 128), "one array: 256 to 16,384 PEs"),
    "cols": ((16, 32, 64, 128), "one array: 256 to 16,384 PEs"),
    "dataflow": (("ws", "os", "is"), "what stays in the PE"),
    "sram_bytes": (tuple(size * _KIB for size in (256, 512, 1024, 2048, 4096, 8192)), "0.25 to 8 MiB for the chip"),
    "vector_lanes": ((32, 128, 512), "scalar operations per cycle outside the array"),
    "subarrays": ((4, 16), "Planaria has 16"),
    "engines": (tuple(range(2, MAX_ENGINES + 1)), "heterogeneous engines"),
    "total_pes": ((512, 1024, 2048, 4096, 8192, 16384), "dedicated: all engines together"),
    "share_exponent": ((0.5, 0.75, 1.0), "dedicated: shares ~ load ** exponent; 1 = proportional, less favours small"),
    "policy": (tuple(name for name, record in POLICIES.items() if not HIDDEN_TRUTH & set(record.needs)),
               "every policy that can run on the class, but the oracles: nobody can build those"),
    "stacks": ((1,), "stackable PEs; [1, 2, 4] where batches or short reductions leave rows idle"),
    "batching": (("run_time",), "static: hardware made for one batch size, the baseline of Fluid Batching"),
    "scheduler": (SCHEDULERS, "software: microseconds per decision; hardware: nanoseconds and area"),
}
for _i in range(MAX_ENGINES):
    PARAMETERS[f"side{_i}"] = ((16, 32, 64), f"side of the square array of engine {_i}")
    PARAMETERS[f"dataflow{_i}"] = (("ws", "os", "is"), f"dataflow of engine {_i}")
    PARAMETERS[f"sram_bytes{_i}"] = (tuple(size * _KIB for size in (128, 512, 2048)), f"buffer of engine {_i}")


def _conditions() -> list[Condition]:
    conditions = [Condition(name, "architecture", _ONE_ARRAY) for name in ("rows", "cols")]
    conditions += [Condition(name, "architecture", _BUDGETED) for name in ("dataflow", "sram_bytes")]
    conditions += [
        *(Condition(name, "architecture", ("time_mux",)) for name in ON_REQUEST),
        Condition("subarrays", "architecture", ("composable",)),
        Condition("engines", "architecture", ("heterogeneous",)),
        Condition("total_pes", "architecture", ("dedicated",)),
        Condition("share_exponent", "architecture", ("dedicated",)),
    ]
    for i in range(MAX_ENGINES):
        counts = tuple(count for count in range(2, MAX_ENGINES + 1) if count > i)
        conditions += [Condition(f"{name}{i}", "engines", counts) for name in ("side", "dataflow", "sram_bytes")]
    return conditions


def _values(domain: Domain) -> set[Any]:
    """All values of a domain that conditions depend on (they are small)."""
    return {domain.value(code) for code in range(int(domain.n))}


def _reachable(names: Sequence[str], conditions: Sequence[Condition],
               domains: Mapping[str, Domain]) -> list[str]:
    """Parameters that some point can have, given the domains of their parents."""
    kept: list[str] = []
    for name in names:
        needs = [c for c in conditions if c.parameter == name]
        if all(c.parent in kept and set(c.values) & _values(domains[c.parent]) for c in needs):
            kept.append(name)
    return kept


def design_space(workload: Workload, *, architectures: Sequence[str] | None = None,
                 policies: Sequence[str] | None = None, domains: Mapping[str, Any] | None = None,
                 forbidden: Sequence[Clause] = ()) -> Space:
    """The designs a study may choose from.

    Parameters
    ----------
    architectures, policies : subsets by name; all by default.
    domains : parameter -> what `spaces.domains.as_domain` takes; replaces the default of `PARAMETERS`. A key
        `POLICY.PARAMETER` adds that parameter of the policy to the search (else it keeps its default).
    forbidden : clauses, see `spaces.space.Clause`.

    Raises
    ------
    SpaceError : an unknown parameter, an empty or unsatisfiable space.
    """
    given = dict(domains or {})
    if architectures is not None:
        given["architecture"] = list(architectures)
    if policies is not None:
        given["policy"] = list(policies)
    conditions = _conditions()
    space: dict[str, Domain] = {name: Choice(values) for name, (values, _) in PARAMETERS.items()
                                if name not in ON_REQUEST or name in given}
    for name, spec in given.items():
        owner, _, parameter = name.partition(".")
        if parameter and owner in POLICIES and parameter in POLICIES[owner].params:
            conditions.append(Condition(name, "policy", (owner,)))
        elif name not in PARAMETERS:
            known = [*PARAMETERS, *(f"{p}.{q}" for p, record in POLICIES.items() for q in record.params)]
            raise SpaceError(f"domains.{name}", "a parameter of the design space", name,
                             hint=did_you_mean(name, known))
        space[name] = as_domain(spec)
    names = _reachable(list(space), conditions, space)
    kept = {name: space[name] for name in names}
    links = [Condition(c.parameter, c.parent, tuple(v for v in c.values if v in _values(kept[c.parent])))
             for c in conditions if c.parameter in kept]
    chosen = _values(kept["architecture"])
    homes = {kind for name in _values(kept["policy"]) for kind in POLICIES[name].architectures}
    if not chosen & homes:
        raise SpaceError("policies", f"able to run on {' or '.join(sorted(chosen))}", sorted(_values(kept["policy"])),
                         hint=f"they run on {', '.join(sorted(homes))} alone")
    unfit: list[Clause] = []
    for classes in dict.fromkeys(POLICIES[name].architectures for name in sorted(_values(kept["policy"]))):
        others = [name for name in sorted(chosen) if name not in classes]
        if others:
            unfit.append({"architecture": others, "policy": [
                name for name in sorted(_values(kept["policy"])) if POLICIES[name].architectures == classes]})
    return Space(domains=kept, conditions=links, forbidden=[*unfit, *forbidden])


def total_engine(params: Mapping[str, Any], technology: tuple[Constant, ...] = ()) -> Engine:
    """The whole array of a one-array class, or the budget that the dedicated class divides."""
    rows, cols = (params["total_pes"], 1) if params["architecture"] == "dedicated" else (params["rows"], params["cols"])
    common = {key: params[key] for key in _COMMON} | REAL_ARRAY
    return Engine(rows=rows, cols=cols, dataflow=params["dataflow"], sram_bytes=params["sram_bytes"],
                  technology=technology, **common)


def architecture_of(params: Mapping[str, Any], workload: Workload,
                    technology: tuple[Constant, ...] = ()) -> Architecture:
    """The hardware of one point."""
    kind = params["architecture"]
    if kind == "heterogeneous":
        common = {key: params[key] for key in _COMMON} | REAL_ARRAY
        count = params["engines"]
        lanes = max(1, common.pop("vector_lanes") // count)
        return Heterogeneous(engines=tuple(
            Engine(rows=params[f"side{i}"], cols=params[f"side{i}"], dataflow=params[f"dataflow{i}"],
                   sram_bytes=params[f"sram_bytes{i}"], vector_lanes=lanes, technology=technology, **common)
            for i in range(count)
        ))
    if kind not in ARCHITECTURES:
        raise InvalidEngine("architecture", f"one of {', '.join(ARCHITECTURES)}", kind)
    engine = total_engine(params, technology)
    if kind == "dedicated":
        return Dedicated.sized(workload, total=engine, exponent=params["share_exponent"])
    if kind == "composable":
        return Composable(engine=engine, subarrays=params["subarrays"])
    return TimeMux(engine=replace(engine, **{key: params[key] for key in ON_REQUEST if key in params}))


def chip_key(params: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal for the hardware parameters of equal chips: the engines of a heterogeneous one may come in any order.

    Parameters
    ----------
    params : active hardware parameters of one point.
    """
    if params["architecture"] != "heterogeneous":
        return tuple(sorted(params.items()))
    engines = [{name: f"{name}{i}" for name in ("side", "dataflow", "sram_bytes")} for i in range(params["engines"])]
    own = {name for engine in engines for name in engine.values()}
    return (*sorted(item for item in params.items() if item[0] not in own),
            *sorted(tuple(params[name] for name in engine.values()) for engine in engines))


def policy_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the policy of one point, by their own names."""
    name = f"{params['policy']}."
    return {key.removeprefix(name): value for key, value in params.items() if key.startswith(name)}


def decode_design(params: Mapping[str, Any], workload: Workload, technology: tuple[Constant, ...] = ()) -> Design:
    """The design that a point of the space means.

    Parameters
    ----------
    params : active parameters of one point, as `Space.sample` or a trial gives them.
    workload : sizes the engines of the dedicated class.
    technology : constants in place of the published ones.

    Raises
    ------
    ModelError : the parameters do not describe a design.
    """
    return Design(architecture=architecture_of(params, workload, technology), policy=params["policy"],
                  policy_params=policy_params(params), scheduler=params["scheduler"])
