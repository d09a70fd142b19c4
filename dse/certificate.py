"""The proof that comes with an exact front, and a check of it that shares no code with the search.

certificate.json of a run, one entry per block (designs that differ in policy only; see `numbering`):

    first, designs   number of its first design, how many they are
    state            why it needs no more work: a code of `states`
    by               the simulated design that strictly dominates its bound, or the index of a budget it cannot meet
    bound            objectives at best, to be minimised; null where the proof needs none

and one per design that needs no whole simulation of its own, since its first requests prove enough, or a simulation of
the same chip with its engines in another order ("parts"):

    design, requests its number, and how many requests were simulated
    broken           index of a budget that it does not meet, or null
    by               else the simulated design that strictly dominates it

`check_run` builds the blocks anew from the study, compares them with the entries, recomputes the bounds with
`hwmodels.demand_bounds`, repeats the comparisons, simulates the front again, and finds it among the trials. Designs of
"parts" are simulated to the end: that they are discarded must show in their metrics.
"""

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dse.errors import InputError, Problem
from dse.provenance import finite
from dse.study import Study
from spaces.space import Space

if TYPE_CHECKING:
    from dse.front import FrontRun
    from dse.front_blocks import Blocks
    from hwmodels.area import SchedulerBlock
    from hwmodels.design import Chip

__all__ = ["CERTIFICATE", "Check", "beats", "certificate", "check_front", "check_run", "check_trials", "lower_better",
           "objectives_of", "read_run", "study_digest"]

Floats = NDArray[np.float64]

CERTIFICATE = "certificate.json"
_KIND = "dse-front-certificate"
_STATES = {0: "open", 1: "simulated, some designs in part (see parts)", 2: "budget, by layer bounds",
           3: "dominated, by layer bounds", 4: "budget, by exact costs", 5: "dominated, by exact costs",
           6: "cannot run"}
_NUMBERING = ("A design's number is its position in the study's space with the hardware parameters first, then policy, "
              "scheduler and policy parameters, each group in the order of the space. A block holds the designs of one "
              "hardware whose scheduler block (area, delay, power, energy per decision) is the same.")
_CHUNK = 512


def study_digest(text: str) -> str:
    """Of study.yaml of the run."""
    return hashlib.sha256(text.encode()).hexdigest()


def certificate(run: "FrontRun", study_text: str, blocks: "Blocks", state: NDArray[np.uint8],
                by: NDArray[np.int64], vectors: Floats) -> dict[str, Any]:
    """Content of certificate.json; `study_text` is study.yaml of the run."""
    count = len(state)
    groups = [blocks.group(b) for b in range(count)]
    starts = blocks.first[blocks.hardware].tolist()
    needs = np.isin(state, (0, 3, 5))
    return {
        "kind": _KIND, "format": 1, "study": study_digest(study_text), "exact": run.exact, "designs": run.size,
        "objectives": [[o.metric, "minimise" if o.minimise else "maximise"] for o in run.study.objectives],
        "budgets": [[metric, bound] for metric, bound in run.study.budgets.items()],
        "numbering": _NUMBERING, "states": {str(code): text for code, text in _STATES.items()},
        "counts": run.counts, "front": list(run.front), "ties": run.ties, "hypervolume": run.hypervolume,
        "hypervolume_reference": run.reference, "hypervolume_gap": finite(run.gap),
        "blocks": {
            "first": [start + group.offsets[0] for start, group in zip(starts, groups, strict=True)],
            "designs": [len(group.offsets) for group in groups],
            "state": state.tolist(),
            "by": [number if number >= 0 else None for number in by.tolist()],
            "bound": [[_json(v) for v in vector] if needed else None
                      for vector, needed in zip(vectors.tolist(), needs.tolist(), strict=True)],
        },
        "parts": {
            "design": [cut.number for cut in run.cuts],
            "requests": [cut.requests for cut in run.cuts],
            "broken": [cut.broken if cut.broken >= 0 else None for cut in run.cuts],
            "by": [cut.by for cut in run.cuts],
        },
    }


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None


# --- the check --------------------------------------------------------------------------------------------------------


class Check(NamedTuple):
    """What a check found."""

    problems: list[str]
    """Empty: the certificate holds."""
    exact: bool
    designs: int
    blocks: int
    bounds: int
    """Blocks whose bounds were recomputed."""
    exact_costs: int
    """Those of them with the exact cost tables."""
    simulated: int
    """Designs that were simulated again."""
    parts: int
    """Designs whose simulation had been stopped, now simulated to the end."""


class _Block(NamedTuple):
    """A block, rebuilt from the study."""

    hardware: int
    params: dict[str, Any]
    numbers: list[int]
    scheduler: "SchedulerBlock"


_Alike = tuple[int, int, bool]


def _alike(block: _Block) -> _Alike:
    """Blocks that differ in the time and energy of a decision only."""
    return block.hardware, block.scheduler.together, block.scheduler.overlaps


def _is_policy(name: str) -> bool:
    from spaces.designs import PARAMETERS

    return name not in PARAMETERS or name in ("policy", "scheduler")


def _ordered(space: Space) -> Space:
    """The space whose positions number the designs."""
    names = sorted(space.names, key=_is_policy)
    return Space({name: space.domains[name] for name in names}, space.conditions, space.forbidden)


def _rebuild(study: Study) -> Iterator[_Block]:
    """Blocks in the order of the certificate."""
    from hwmodels.policies import POLICIES
    from hwmodels.scheduling import block_of
    from spaces.designs import policy_params

    space = _ordered(study.space)
    names = [name for name in space.names if not _is_policy(name)]
    policy, scheduler = space.names.index("policy"), space.names.index("scheduler")
    policies = [space.domains["policy"].value(code) for code in range(int(space.domains["policy"].n))]
    schedulers = [space.domains["scheduler"].value(code) for code in range(int(space.domains["scheduler"].n))]
    known: dict[tuple[str, str, int, int], SchedulerBlock] = {}
    before: tuple[int, ...] = ()
    hardware, node_nm = -1, 0
    found: dict[SchedulerBlock, _Block] = {}
    for number, codes in enumerate(space.enumerate_codes()):
        if codes[:len(names)] != before:
            yield from found.values()
            before, found, hardware = codes[:len(names)], {}, hardware + 1
            node_nm = int(space.decode(codes)["node_nm"])
        name = str(policies[codes[policy]])
        params = policy_params(space.decode(codes)) if POLICIES[name].batch is not None else {}
        key = (str(schedulers[codes[scheduler]]), name, node_nm, POLICIES[name].largest_batch(params))
        if key not in known:
            known[key] = block_of(key[0], name, params, node_nm)
        if known[key] in found:
            found[known[key]].numbers.append(number)
        else:
            found[known[key]] = _Block(hardware, space.decode(codes), [number], known[key])
    yield from found.values()


def read_run(folder: Path, kind: str = _KIND) -> tuple[Study, dict[str, Any], dict[int, dict[str, str]], list[int]]:
    """Study, certificate, trials by number, numbers of front.csv."""
    from dse.documents import load_study

    for name in (CERTIFICATE, "study.yaml", "trials.csv", "front.csv"):
        if not (folder / name).is_file():
            raise InputError(Problem(file=str(folder), message=f"must be the folder of a `dse front` run, it has no "
                                     f"{name}"))
    try:
        proof = json.loads((folder / CERTIFICATE).read_text(encoding="utf-8"))
    except ValueError:
        proof = None
    if not isinstance(proof, dict) or proof.get("kind") != kind:
        raise InputError(Problem(file=str(folder / CERTIFICATE), message="must be a certificate of dse front"))
    study = load_study(folder / "study.yaml")

    def rows(name: str) -> list[dict[str, str]]:
        with (folder / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return (study, proof, {int(row["trial"]): row for row in rows("trials.csv")},
            [int(row["trial"]) for row in rows("front.csv")])


def check_run(folder: Path, *, sample: int = 100, everything: bool = False, seed: int = 0) -> Check:
    """Check the certificate of a run.

    Parameters
    ----------
    sample : blocks whose exact costs are computed again, and designs simulated again, beside the whole front.
    everything : all of them.
    seed : of the sample.

    Raises
    ------
    InputError : the folder does not hold such a run.
    """
    study, proof, trials, front = read_run(folder)
    problems: list[str] = []
    if proof.get("study") != study_digest((folder / "study.yaml").read_text(encoding="utf-8")):
        problems.append("study: the certificate belongs to another study")
    table = proof.get("blocks", {})
    blocks = list(_rebuild(study))
    if ([block.numbers[0] for block in blocks] != table.get("first")
            or [len(block.numbers) for block in blocks] != table.get("designs")
            or not all(len(table.get(name, ())) == len(blocks) for name in ("state", "by", "bound"))):
        problems.append("blocks: they are not the designs of the study")
        return Check(problems, False, 0, len(blocks), 0, 0, 0, 0)
    values = {number: objectives_of(study, row) for number, row in trials.items()}
    feasible = {number: v for number, v in values.items() if v is not None}
    problems += check_front(feasible, front, proof)
    problems += _check_totals(study, proof, feasible, front)
    rng = np.random.default_rng(seed)
    state = np.array(table["state"])
    exact = np.flatnonzero(np.isin(state, (4, 5, 6)))
    chosen = exact if everything else rng.permutation(exact)[:sample]
    layers = np.flatnonzero(np.isin(state, (0, 2, 3)))
    parts = _parts(proof)
    problems += _check_blocks(study, blocks, table, trials | parts, feasible)
    problems += _check_bounds(study, blocks, table, feasible, layers, exact=False)
    problems += _check_bounds(study, blocks, table, feasible, np.sort(chosen), exact=True)
    again = list(trials) if everything else [*front, *rng.permutation(list(trials))[:sample].tolist()]
    problems += check_trials(study, trials, dict.fromkeys(again), _ordered(study.space).at)
    stopped = sorted(parts) if everything else rng.permutation(sorted(parts))[:sample].tolist()
    problems += [f"trial {number}: {doubt}" for number in stopped
                 if (doubt := _doubt_of_part(study, number, parts[number], feasible))]
    left = bool((state == 0).any())
    if proof.get("exact") and left:
        problems.append("exact: some blocks are open")
    return Check(problems, bool(proof.get("exact")), sum(len(block.numbers) for block in blocks), len(blocks),
                 len(layers) + len(chosen), len(chosen), len(set(again)), len(stopped))


def objectives_of(study: Study, row: dict[str, str]) -> tuple[float, ...] | None:
    """Objectives of a feasible trial, to be minimised; None for the others."""
    from hwmodels.outcome import METRICS

    def metric(name: str) -> float:
        text = row.get(name) or row.get(f"tenants.{name}") or "nan"
        return float(text)

    if row["state"] != "complete" or row["status"] != "ok":
        return None
    for name, bound in study.budgets.items():
        less = METRICS[name.rpartition(".")[2]].minimise
        if not (metric(name) <= bound if less else metric(name) >= bound):
            return None
    found = tuple(metric(o.metric) if o.minimise else -metric(o.metric) for o in study.objectives)
    return found if all(map(math.isfinite, found)) else None


def check_front(feasible: dict[int, tuple[float, ...]], front: list[int], proof: dict[str, Any]) -> list[str]:
    """front.csv and the certificate name exactly the non-dominated trials, of equal ones the first."""
    best: dict[tuple[float, ...], int] = {}
    for number in sorted(feasible):
        best.setdefault(feasible[number], number)
    points = np.array(list(best), ndmin=2)
    expected = {number for point, number in best.items()
                if not ((points <= point).all(axis=1) & (points < point).any(axis=1)).any()}
    problems = []
    if set(front) != expected:
        problems.append(f"front.csv: must hold the {len(expected)} non-dominated feasible trials")
    if set(proof.get("front", ())) != expected:
        problems.append("front: the certificate names another front than the trials")
    return problems


def _check_totals(study: Study, proof: dict[str, Any], feasible: dict[int, tuple[float, ...]],
                  front: list[int]) -> list[str]:
    """The figures that one would quote follow from the entries: designs by state, ties, hypervolume."""
    from dse.pareto import hypervolume

    table, broken = proof["blocks"], proof.get("parts", {}).get("broken", [])
    state, sizes = np.array(table["state"]), np.array(table["designs"])
    designs = [int(sizes[state == code].sum()) for code in _STATES]
    missed = sum(budget is not None for budget in broken)
    expected = {"open": designs[0], "simulated": designs[1] - len(broken), "budget_1": designs[2],
                "dominated_1": designs[3], "budget_2": designs[4], "dominated_2": designs[5],
                "cannot_run": designs[6], "budget_3": missed, "dominated_3": len(broken) - missed}
    points = [feasible[number] for number in front if number in feasible]
    ties = sum(values in set(points) for values in feasible.values()) - len(points)
    given = proof.get("hypervolume_reference", {})
    reference = [math.inf if (value := given.get(o.metric)) is None else value if o.minimise else -value
                 for o in study.objectives]
    volume = hypervolume(np.array(points).reshape(len(points), len(reference)), np.array(reference))
    told = proof | {"counts": {name: proof.get("counts", {}).get(name) for name in expected}}
    wanted = {"designs": int(sizes.sum()), "counts": expected, "ties": ties,
              "budgets": [list(budget) for budget in study.budgets.items()]}
    problems = [f"{name}: the certificate says {told.get(name)}, its entries {value}"
                for name, value in wanted.items() if told.get(name) != value]
    if not math.isclose(proof.get("hypervolume", math.nan), volume, rel_tol=1e-9):
        problems.append(f"hypervolume: the certificate says {proof.get('hypervolume')}, its front {volume}")
    return problems


def _parts(proof: dict[str, Any]) -> dict[int, Any]:
    """Designs whose simulation was stopped -> (budget they miss, trial that dominates them)."""
    table = proof.get("parts", {})
    return dict(zip(table.get("design", ()), zip(table.get("broken", ()), table.get("by", ()), strict=False),
                    strict=False))


def _doubt_of_part(study: Study, number: int, proof: tuple[int | None, int | None],
                   feasible: dict[int, tuple[float, ...]]) -> str:
    """What a whole simulation says against the discarding of a design, or ''."""
    from hwmodels.evaluate import evaluate
    from spaces.designs import decode_design

    broken, by = proof
    outcome = evaluate(decode_design(_ordered(study.space).at(number), study.workload), study.workload, seed=study.seed)

    def metric(name: str) -> float:
        tenant, _, of = name.rpartition(".")
        return float((outcome.tenants[tenant] if tenant else outcome.metrics)[of])

    if broken is not None:
        if not 0 <= broken < len(study.budgets):
            return "names no budget"
        name, bound = list(study.budgets.items())[broken]
        met = metric(name) <= bound if lower_better(name) else metric(name) >= bound
        return f"budget {name} can be met" if met else ""
    own = [metric(o.metric) if o.minimise else -metric(o.metric) for o in study.objectives]
    return "" if by in feasible and beats(feasible[by], own) else f"trial {by} does not dominate it"


def _check_blocks(study: Study, blocks: list[_Block], table: dict[str, Any], trials: dict[int, Any],
                  feasible: dict[int, tuple[float, ...]]) -> list[str]:
    """Simulated blocks have all their trials; dominated ones name a feasible trial that dominates their bound."""
    problems = []
    budgets = len(study.budgets)
    for block, state, by, bound in zip(blocks, table["state"], table["by"], table["bound"], strict=True):
        where = f"block of design {block.numbers[0]}"
        if state == 1 and not all(number in trials for number in block.numbers):
            problems.append(f"{where}: called simulated, but a trial is missing")
        elif state in (3, 5):
            if by not in feasible or bound is None or None in bound or not beats(feasible[by], bound):
                problems.append(f"{where}: trial {by} does not dominate its bound")
        elif state in (2, 4) and not (isinstance(by, int) and 0 <= by < budgets):
            problems.append(f"{where}: names no budget")
        elif state not in (0, 1, 2, 4, 6):
            problems.append(f"{where}: unknown state {state}")
    return problems


def beats(values: tuple[float, ...], bound: list[float]) -> bool:
    """Whether values are as good as a bound throughout, and better somewhere."""
    pairs = list(zip(values, bound, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _check_bounds(study: Study, blocks: list[_Block], table: dict[str, Any], feasible: dict[int, tuple[float, ...]],
                  rows: NDArray[np.int64], *, exact: bool) -> list[str]:
    """The bounds, computed anew, still prove what the certificate says.

    Any valid bound will do. Tried are: all that is known with the tail limited to what has to be proven, without that
    limit, and of exact costs those of some networks only, the rest bounded by their layers.
    """
    quickest: dict[_Alike, SchedulerBlock] = {}
    for block in blocks:
        alike = _alike(block)
        known = quickest.setdefault(alike, block.scheduler)
        if block.scheduler.decision_s < known.decision_s:
            quickest[alike] = block.scheduler
    costed: list[int | None] = [None, *range(len(study.workload.networks))] if exact else [0]
    problems: list[str] = []
    for low in range(0, len(rows), _CHUNK):
        left = dict.fromkeys(rows[low:low + _CHUNK].tolist(), "")
        for networks in costed:
            for limited in (True, False):
                some = list(left)
                bounds = _best_bounds(study, [blocks[row] for row in some], quickest, networks,
                                      [_limits(study, table, row, feasible if limited else {}) for row in some])
                for row, found in zip(some, bounds, strict=True):
                    left[row] = _doubt(study, table, row, found, feasible)
                left = {row: doubt for row, doubt in left.items() if doubt}
                if not left:
                    break
            if not left:
                break
        problems += [f"block of design {blocks[row].numbers[0]}: {doubt}" for row, doubt in left.items()]
    return problems


def _limits(study: Study, table: dict[str, Any], row: int, feasible: dict[int, tuple[float, ...]]) -> dict[str, float]:
    """What a bound need not exceed to prove a block: budgets, and the objectives of the trial that dominates it."""
    limits, by = dict(study.budgets), table["by"][row]
    if table["state"][row] in (3, 5) and by in feasible:
        for objective, value in zip(study.objectives, feasible[by], strict=True):
            if objective.minimise:
                limits[objective.metric] = min(limits.get(objective.metric, math.inf), value)
    return limits


def _doubt(study: Study, table: dict[str, Any], row: int, bounds: dict[str, float] | None,
           feasible: dict[int, tuple[float, ...]]) -> str:
    """What the bounds of a block do not prove, or ''."""
    state, by = table["state"][row], table["by"][row]
    metrics = list(study.budgets.items())
    if bounds is None or state == 6:
        return "" if (bounds is None) == (state == 6) else "cannot run, or says so wrongly"
    if state in (2, 4):
        if not (isinstance(by, int) and 0 <= by < len(metrics)):
            return ""  # reported by _check_blocks
        name, bound = metrics[by]
        missed = bounds[name] > bound if lower_better(name) else bounds[name] < bound
        return "" if missed else f"budget {name} can be met"
    vector = [_at_best(o.metric, o.minimise, bounds) for o in study.objectives]
    stated = [-math.inf if value is None else value for value in table["bound"][row] or ()]
    if state == 0 and any(b < a - 1e-9 * abs(a) for a, b in zip(stated, vector, strict=False)):
        return "could be better than the certificate says"
    if state in (3, 5) and not (by in feasible and beats(feasible[by], vector)):
        return f"trial {by} does not dominate the recomputed bound"
    return ""


def lower_better(metric: str) -> bool:
    """Of `METRIC` or `TENANT.METRIC`."""
    from hwmodels.outcome import METRICS

    return METRICS[metric.rpartition(".")[2]].minimise


def _at_best(metric: str, minimise: bool, bounds: dict[str, float]) -> float:
    if metric != "area_mm2" and minimise != lower_better(metric):
        return -math.inf
    return bounds[metric] if minimise else -bounds[metric]


def _best_bounds(study: Study, some: list[_Block], quickest: "dict[_Alike, SchedulerBlock]",
                 costed: int | None, limits: list[dict[str, float]]) -> list[dict[str, float] | None]:
    """Bounds of blocks, their tails also as those with the quickest scheduler of the hardware: no design with batches
    of that size, and the same in whether layers overlap, beats that.

    The bisection that finds a tail may end lower for a slower scheduler, though both bounds hold.

    Parameters
    ----------
    costed : networks whose layers are costed exactly, those first that promise most; None = all that is known exactly.
    limits : per block, what the bounds of tails need not exceed.
    """
    found = _bounds(study, some, costed, limits)
    tails = [metric for metric in ("p99_deadline_frac", "slo_miss_frac", "slo_violation_frac")
             if any(one is not None and metric in one for one in found)]
    if not tails or any(t.service.deadline_x_isolated is not None for t in study.workload.tenants):
        return found
    quick = _bounds(study, [block._replace(scheduler=quickest[_alike(block)])
                            for block in some], costed, limits)
    for own, other in zip(found, quick, strict=True):
        if own is not None and other is not None:
            own.update({metric: max(own[metric], other[metric]) for metric in tails})
    return found


def _bounds(study: Study, some: list[_Block], costed: int | None,
            limits: list[dict[str, float]]) -> list[dict[str, float] | None]:
    """Bounds of blocks; None for what cannot be built or run."""
    from hwmodels.demand_bounds import metric_bounds
    from hwmodels.offered_load import least_finished, offered_load
    from hwmodels.request_costs import chip_demand, is_separate

    workload, budgets = study.workload, study.budgets
    load = offered_load(workload, study.seed)
    wanted = sorted({o.metric for o in study.objectives} | set(budgets))
    least = least_finished(load, finite_tail="p99_deadline_frac" in wanted, finite_miss="slo_miss_frac" in wanted,
                           violation_frac=budgets.get("slo_violation_frac", 1.0),
                           drop_frac=budgets.get("drop_frac", 1.0))
    found: list[dict[str, float] | None] = [None] * len(some)
    chips = [_chip(block.params, study) for block in some]
    kinds: dict[Any, list[int]] = {}
    for i, chip in enumerate(chips):
        if chip is not None:
            kinds.setdefault((is_separate(chip), i if costed != 0 else None), []).append(i)
    for members in kinds.values():
        own = [chip for i in members if (chip := chips[i]) is not None]
        if costed is None:
            demand = _exact_demand(some[members[0]], study, load)
            if demand is None:
                continue
        else:
            demand = chip_demand(own, workload, load, exact=_promising(own[0], study, load)[:costed] if costed else ())
        area = [sum({**chip.area_mm2, "scheduler": some[i].scheduler.area_mm2}.values())
                for i, chip in zip(members, own, strict=True)]
        bounds = metric_bounds(demand, load, workload, [some[i].scheduler for i in members],
                               area_mm2=np.array(area), leakage_w=np.array([chip.leakage_w for chip in own]),
                               metrics=wanted, least=least,
                               limits={metric: np.array([limits[i].get(metric, math.inf) for i in members])
                                       for metric in wanted})
        for at, i in enumerate(members):
            found[i] = {metric: float(column[at]) for metric, column in bounds.items()}
    return found


def _promising(chip: "Chip", study: Study, load: Any) -> list[Any]:
    """Networks by the energy that their layers use at least, per distinct layer; largest first."""
    from hwmodels.request_costs import chip_demand

    demand = chip_demand([chip], study.workload, load)
    energy: dict[Any, float] = {}
    for t, tenant in enumerate(study.workload.tenants):
        energy[tenant.network] = energy.get(tenant.network, 0.0) + load.requests[t] * demand.energy_j[0, t]
    return sorted(energy, key=lambda network: energy[network] / len(set(network.layers)), reverse=True)


def _chip(params: dict[str, Any], study: Study) -> "Chip | None":
    from hwmodels.errors import ModelError
    from spaces.designs import decode_design

    try:
        return decode_design(params, study.workload).architecture.chip(study.workload)
    except ModelError:
        return None


def _exact_demand(block: _Block, study: Study, load: Any) -> Any:
    from dataclasses import replace

    from hwmodels.evaluate import prepare
    from hwmodels.request_costs import prepared_demand
    from spaces.designs import decode_design

    design = decode_design(block.params, study.workload)
    prepared = prepare(replace(design, policy="fcfs", policy_params={}), study.workload)  # one request at a time
    if prepared.problem:
        return None
    return prepared_demand(prepared, study.workload, load)


def check_trials(study: Study, trials: dict[int, dict[str, str]], numbers: dict[int, None],
                 design: Callable[[int], dict[str, Any]]) -> list[str]:
    """Trials are the designs of their numbers, and simulating them again gives the same objectives."""
    from hwmodels.errors import ModelError
    from hwmodels.evaluate import evaluate
    from hwmodels.outcome import Outcome
    from spaces.designs import decode_design

    problems = []
    for number in numbers:
        if number not in trials:
            problems.append(f"trial {number}: missing")
            continue
        row, params = trials[number], design(number)
        told = {name: text for name in study.space.names if (text := row.get(f"params.{name}"))}
        if told != {name: _text(value) for name, value in params.items()}:
            problems.append(f"trial {number}: another design than its number says")
            continue
        try:
            outcome = evaluate(decode_design(params, study.workload), study.workload, seed=study.seed)
        except ModelError as error:
            outcome = Outcome(status=str(error), metrics={})
        if row["status"] != outcome.status:
            problems.append(f"trial {number}: status is {outcome.status!r}, not {row['status']!r}")
            continue
        for objective in study.objectives if outcome.ok else ():
            tenant, _, metric = objective.metric.rpartition(".")
            value = (outcome.tenants[tenant] if tenant else outcome.metrics)[metric]
            text = row[f"tenants.{objective.metric}" if tenant else metric]
            if text != ("" if math.isnan(value) else _text(value)):
                problems.append(f"trial {number}: {objective.metric} is {value!r}, not {text}")
    return problems


def _text(value: object) -> str:
    """As trials.csv writes it."""
    return repr(value) if isinstance(value, float) else str(value)
