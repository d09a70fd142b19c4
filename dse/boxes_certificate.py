"""The proof that comes with a front of a space too large to enumerate, and a check of it.

certificate.json of a run holds the tree of boxes, first halves before second ones:

    parameter    of a box that is cut: position in `parameters`; null for a leaf
    cut          last code of its first half; the second half begins with the next code

and of its leaves, in that order:

    state, by    why it needs no more work (a code of `states`), and the index of a budget or the number of a trial
    bound        objectives at best, to be minimised; null where the proof needs none, [null, ..] where nothing is known

The leaves cover the space once because halves cover their box. `check_boxes` goes through the tree, counts the designs
of every leaf anew, recomputes the bounds of a sample (`dse.boxes`, as the search), simulates designs drawn from it,
which must not be better, repeats all comparisons, adds up the gap, and simulates the front again.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dse.certificate import (
    CERTIFICATE,
    beats,
    check_front,
    check_trials,
    lower_better,
    objectives_of,
    read_run,
    study_digest,
)
from dse.front_run import epsilon_gap
from dse.pareto import front_indices, hypervolume
from dse.provenance import finite
from dse.study import Study
from spaces.boxes import Box, Inside, halves, whole
from spaces.domains import Choice, Domain, Real

if TYPE_CHECKING:
    from dse.anytime import AnytimeRun
    from dse.box_tree import Boxes

__all__ = ["BOXES_KIND", "BoxesCheck", "boxes_certificate", "check_boxes", "is_of_boxes"]

Floats = NDArray[np.float64]

BOXES_KIND = "dse-anytime-certificate"
_STATES = {0: "open", 2: "no valid design", 3: "budget", 4: "dominated", 5: "cannot run", 6: "simulated"}
_CODES = ("Code of a value: its position in the domain; of a continuous parameter its distance from the least value in "
          "representable numbers. A parameter that is switched off counts as its first code.")


def _preorder(boxes: "Boxes") -> list[int]:
    """Rows of the tree, every box before its halves."""
    order, stack = [], [0]
    while stack:
        row = stack.pop()
        order.append(row)
        if boxes.below[row] >= 0:
            stack += [boxes.below[row] + 1, boxes.below[row]]
    return order


def boxes_certificate(run: "AnytimeRun", study_text: str, boxes: "Boxes") -> dict[str, Any]:
    """Content of certificate.json; `study_text` is study.yaml of the run."""
    order = _preorder(boxes)
    leaves = [row for row in order if boxes.below[row] < 0]
    return {
        "kind": BOXES_KIND, "format": 1, "study": study_digest(study_text), "exact": run.exact,
        "objectives": [[o.metric, "minimise" if o.minimise else "maximise"] for o in run.study.objectives],
        "budgets": [[metric, bound] for metric, bound in run.study.budgets.items()],
        "parameters": list(run.study.space.names), "codes": _CODES,
        "states": {str(code): text for code, text in _STATES.items()}, "shares": run.shares,
        "front": list(run.front), "ties": run.ties, "hypervolume": run.hypervolume,
        "hypervolume_reference": run.reference, "hypervolume_gap": finite(run.gap),
        "epsilon": finite(run.epsilon),
        "tree": {"parameter": [boxes.parameter[row] if boxes.below[row] >= 0 else None for row in order],
                 "cut": [boxes.cut[row] if boxes.below[row] >= 0 else None for row in order]},
        "leaves": {
            "state": boxes.state[leaves].tolist(),
            "by": [number if number >= 0 else None for number in boxes.by[leaves].tolist()],
            "bound": [[value if math.isfinite(value) else None for value in boxes.vectors[row].tolist()]
                      if boxes.state[row] in (0, 4) else None for row in leaves],
        },
    }


# --- the check --------------------------------------------------------------------------------------------------------


class BoxesCheck(NamedTuple):
    """What a check found."""

    problems: list[str]
    """Empty: the certificate holds."""
    exact: bool
    boxes: int
    """Leaves of the tree: they cover the space."""
    bounds: int
    """Those whose bounds were recomputed."""
    drawn: int
    """Designs drawn from them and simulated."""
    simulated: int
    """Trials that were simulated again."""


def is_of_boxes(folder: Path) -> bool:
    """Whether a folder has a certificate of this kind."""
    try:
        proof = json.loads((folder / CERTIFICATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(proof, dict) and proof.get("kind") == BOXES_KIND


class _Leaf(NamedTuple):
    box: Box
    state: int
    by: int | None
    bound: list[float] | None
    """-inf where the certificate has null."""
    around: tuple[Box, ...]
    """Boxes that it was cut from."""


def _leaves(study: Study, proof: dict[str, Any]) -> Iterator[_Leaf]:
    """Leaves of the tree; raises ValueError where it is none."""
    tree, table = proof["tree"], proof["leaves"]
    rows = zip(table["state"], table["by"], table["bound"], strict=True)
    stack: list[tuple[Box, tuple[Box, ...]]] = [(whole(study.space), ())]
    count = len(study.space.names)
    for parameter, cut in zip(tree["parameter"], tree["cut"], strict=True):
        box, around = stack.pop()
        if parameter is None:
            state, by, bound = next(rows)
            yield _Leaf(box, state, by, bound and [-math.inf if value is None else value for value in bound], around)
        elif not (0 <= parameter < count and box.low[parameter] <= cut < box.high[parameter]):
            raise ValueError("a cut lies outside its box")
        else:
            stack += [(half, (*around, box)) for half in reversed(halves(box, parameter, cut))]
    if stack or next(rows, None) is not None:
        raise ValueError("tree and leaves do not fit")


def check_boxes(folder: Path, *, sample: int = 100, everything: bool = False, seed: int = 0) -> BoxesCheck:
    """Check the certificate of a run.

    Parameters
    ----------
    sample : leaves whose bounds are computed again, and trials simulated again, beside the whole front; a tenth as
        many designs are drawn and simulated.
    everything : all of them.
    seed : of the sample.

    Raises
    ------
    InputError : the folder does not hold such a run.
    """
    study, proof, trials, front = read_run(folder, BOXES_KIND)
    problems: list[str] = []
    if proof.get("study") != study_digest((folder / "study.yaml").read_text(encoding="utf-8")):
        problems.append("study: the certificate belongs to another study")
    try:
        leaves = list(_leaves(study, proof))
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        return BoxesCheck([*problems, f"tree: it does not cover the space once: {error}"], False, 0, 0, 0, 0)
    values = {number: objectives_of(study, row) for number, row in trials.items()}
    feasible = {number: v for number, v in values.items() if v is not None}
    rng = np.random.default_rng(seed)
    params: dict[int, dict[str, Any]] = {}
    for number, row in trials.items():
        try:
            params[number] = _params(study, row)
            study.space.encode(params[number])
        except ValueError as error:
            params.pop(number, None)
            problems.append(f"trial {number}: not a design of the space: {error}")
    problems += check_front(feasible, front, proof)
    problems += _check_leaves(study, leaves, params, feasible)
    problems += _check_gap(proof, leaves, [feasible[number] for number in front if number in feasible])
    bounded = [i for i, leaf in enumerate(leaves) if leaf.state in (0, 3, 4, 5)]
    chosen = bounded if everything else np.sort(rng.permutation(bounded)[:sample]).tolist()
    problems += _check_bounds(study, leaves, chosen, feasible)
    some = rng.permutation(chosen)[:max(1, sample // 10)].tolist()
    problems += _check_drawn(study, leaves, some, feasible, rng)
    again = list(params) if everything else [number for number in dict.fromkeys(
        [*front, *rng.permutation(list(params))[:sample].tolist()]) if number in params]
    problems += check_trials(study, trials, dict.fromkeys(again), params.__getitem__)
    exact = bool(proof.get("exact"))
    if exact and any(leaf.state == 0 for leaf in leaves):
        problems.append("exact: some boxes are open")
    return BoxesCheck(problems, exact, len(leaves), len(chosen), len(some), len(again))


def _params(study: Study, row: dict[str, str]) -> dict[str, Any]:
    """Parameters of a trial as trials.csv has them."""
    return {name: _parsed(domain, text) for name, domain in study.space.domains.items()
            if (text := row.get(f"params.{name}"))}


def _parsed(domain: Domain, text: str) -> Any:
    if isinstance(domain, Choice):
        known = {str(value): value for value in domain.values}
        if text in known:
            return known[text]
        raise ValueError(f"{text!r} is not in its domain")
    return float(text) if isinstance(domain, Real) or not text.lstrip("-").isdigit() else int(text)


def _check_leaves(study: Study, leaves: list[_Leaf], params: dict[int, dict[str, Any]],
                  feasible: dict[int, tuple[float, ...]]) -> list[str]:
    """States fit what is in the boxes and what was simulated; the boxes hold all of the space."""
    problems, share = [], 0.0
    for number, leaf in enumerate(leaves):
        inside = Inside(study.space, leaf.box)
        share += inside.share
        if leaf.state not in _STATES:
            problems.append(f"leaf {number}: unknown state {leaf.state}")
        elif (leaf.state == 2) != (not inside.size) and leaf.state == 2:
            problems.append(f"leaf {number}: it is not empty")
        elif leaf.state == 3 and not (isinstance(leaf.by, int) and 0 <= leaf.by < len(study.budgets)):
            problems.append(f"leaf {number}: names no budget")
        elif leaf.state == 4 and not (leaf.by in feasible and leaf.bound and beats(feasible[leaf.by], leaf.bound)):
            problems.append(f"leaf {number}: trial {leaf.by} does not dominate its bound")
        elif leaf.state == 6:
            codes = study.space.encode(params[leaf.by]) if leaf.by in params else None
            if codes is None or inside.size != 1 or any(
                    not low <= max(code, 0) <= high for code, low, high in zip(codes, *leaf.box, strict=True)):
                problems.append(f"leaf {number}: trial {leaf.by} is not its only design")
    if abs(share - 1.0) > 1e-9:
        problems.append(f"tree: its leaves hold {share:.9f} of the space")
    return problems


def _check_gap(proof: dict[str, Any], leaves: list[_Leaf], front: list[tuple[float, ...]]) -> list[str]:
    """The stated hypervolume, what the bounds of the open boxes add to it, and by how much they are better."""
    minimise = [direction == "minimise" for _, direction in proof["objectives"]]
    reference = np.array([math.nan if value is None else value if less else -value for value, less in
                          zip(proof["hypervolume_reference"].values(), minimise, strict=True)])
    points = np.array(front, dtype=float).reshape(len(front), len(minimise))
    volume = hypervolume(points, reference)
    bounds = np.unique(np.array([leaf.bound for leaf in leaves if leaf.state == 0],
                                dtype=float).reshape(-1, len(minimise)), axis=0)
    gap = 0.0
    if len(bounds):
        known = np.isfinite(bounds).all() and np.isfinite(reference).all()
        together = np.concatenate([points, bounds])
        gap = hypervolume(together[front_indices(together)], reference) - volume if known else math.inf
    stated = proof["hypervolume_gap"]
    problems = []
    if not math.isclose(volume, proof["hypervolume"], rel_tol=1e-9, abs_tol=1e-12):
        problems.append(f"hypervolume: it is {volume!r}")
    if (stated is None) != math.isinf(gap) or (stated is not None and stated < gap - 1e-9):
        problems.append(f"hypervolume_gap: open boxes could add {gap!r}")
    epsilon = epsilon_gap(points, bounds)
    if (math.inf if proof["epsilon"] is None else proof["epsilon"]) < epsilon * (1.0 - 1e-9):
        problems.append(f"epsilon: designs of open boxes could be better by {epsilon!r}")
    return problems


def _check_bounds(study: Study, leaves: list[_Leaf], chosen: list[int],
                  feasible: dict[int, tuple[float, ...]]) -> list[str]:
    """The bounds, computed anew, still prove what the certificate says."""
    from dse.boxes import BoxBounds
    from dse.front_bounds import rules_of

    problems, rules = [], rules_of(study)
    bounds = BoxBounds(rules)
    for low in range(0, len(chosen), 64):
        some = chosen[low:low + 64]
        for number, found in zip(some, bounds([leaves[i].box for i in some]), strict=True):
            leaf, where = leaves[number], f"leaf {number}"
            if not found.share:
                continue
            if (leaf.state == 5) and found.broken != -2:
                problems.append(f"{where}: some of its designs can be built")
            elif leaf.state == 3 and found.broken != leaf.by:
                problems.append(f"{where}: its budget can be met")
            elif leaf.state in (0, 4):
                # a half keeps what the box it was cut from says, where that is more
                stated = np.array(leaf.bound) * (1.0 - 1e-9)
                if leaf.state == 4 and leaf.by in feasible and beats(feasible[leaf.by], list(found.vector)):
                    continue
                every = np.array([one.vector for one in [found, *bounds(leaf.around)]]) \
                    if (np.array(found.vector) < stated).any() else np.array([found.vector])
                if (every.max(axis=0) < stated).any():
                    problems.append(f"{where}: could be better than the certificate says")
    return problems


def _check_drawn(study: Study, leaves: list[_Leaf], chosen: list[int], feasible: dict[int, tuple[float, ...]],
                 rng: np.random.Generator) -> list[str]:
    """Designs drawn from boxes, simulated: none is better than the bound of its box."""
    from hwmodels.errors import ModelError
    from hwmodels.evaluate import evaluate
    from spaces.designs import decode_design

    problems = []
    for number in chosen:
        leaf, inside = leaves[number], Inside(study.space, leaves[number].box)
        if not inside.size:
            continue
        params = study.space.decode(inside.draw(rng))
        try:
            outcome = evaluate(decode_design(params, study.workload), study.workload, seed=study.seed)
        except ModelError:
            continue
        if not outcome.ok:
            continue

        def metric(name: str) -> float:
            tenant, _, of = name.rpartition(".")
            return float((outcome.tenants[tenant] if tenant else outcome.metrics)[of])  # noqa: B023

        met = [value <= bound if lower_better(name) else value >= bound for name, bound in study.budgets.items()
               if not math.isnan(value := metric(name))]
        own = [metric(o.metric) if o.minimise else -metric(o.metric) for o in study.objectives]
        if len(met) < len(study.budgets) or not all(met) or not all(map(math.isfinite, own)):
            continue  # not feasible: the bounds are those of feasible designs
        if leaf.state in (3, 5):
            problems.append(f"leaf {number}: {params} meets all budgets")
        elif leaf.bound and any(a < b * (1.0 - 1e-9) for a, b in zip(own, leaf.bound, strict=True)):
            problems.append(f"leaf {number}: {params} is better than its bound")
    return problems
