"""What the page says beyond single designs: which parameter matters, what one step away from the recommended design
changes, how far the ranges of the constants carry, why designs were left out, how an exact front was proven."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dse.report.rundata import RunData
from dse.report.words import label
from hwmodels.errors import ModelError
from spaces.errors import SpaceError

if TYPE_CHECKING:
    from dse.explain_trial import Trial
    from dse.study import Study

__all__ = ["importance", "proof", "run_insight", "setbacks", "steps"]

_LEAST_TRIALS = 30
"""Below, a regression on the trials says little."""
_LEAST_R2 = 0.3
_POINTS = 500
"""A standard error of about 0.05: enough for bars."""
_PARAMETERS = 10
_REASONS = 12


def importance(run: RunData, study: "Study") -> dict[str, Any]:
    """Total effects by objective, from a regression on the trials (`dse.sensitivity`); empty where it explains little.

    Returns
    -------
    `designs` it rests on, `r2` by objective, `effects` objective -> [[parameter, share of variance]], largest first.
    """
    from dse.sensitivity import results_of, trials_importance

    if (run.trials["state"] == "complete").sum() < _LEAST_TRIALS:
        return {}
    found = trials_importance(study, results_of(run), samples=_POINTS, seed=0)
    effects = {metric: [[e.parameter, round(e.total_frac, 3)] for e in rows[:_PARAMETERS] if e.total_frac >= 0.005]
               for metric, rows in found.effects.items() if found.r2[metric] >= _LEAST_R2}
    return {"designs": found.designs, "r2": {m: round(r, 2) for m, r in found.r2.items()}, "effects": effects}


def steps(opened: "Trial") -> dict[str, Any]:
    """The designs one step of their hardware away from a trial, evaluated; `dse why` also tries classes and policies.

    Returns
    -------
    `trial`, `sentence`, and `rows`: parameter, from, to, objective values, feasible, dominates, and why it is not.
    """
    from dse.explain_trial import neighbours, neighbours_sentence
    from dse.objective import metric_of

    study = opened.study
    found = neighbours(opened, parameters=[n for n in study.space.names if n not in ("architecture", "policy")])
    rows = []
    for n in found:
        missed = [label(metric) for metric, amount in n.verdict.violations.items() if not amount <= 0.0]
        rows.append({
            "parameter": n.parameter, "from": n.before, "to": n.after,
            "values": {o.metric: metric_of(n.result, o.metric) for o in study.objectives},
            "feasible": n.verdict.feasible, "dominates": n.dominates,
            "why_not": "" if n.verdict.feasible else n.result.status if n.result.status != "ok"
            else "misses " + ", ".join(missed),
        })
    return {"trial": opened.number, "sentence": neighbours_sentence(opened, found), "rows": rows}


def constants_intervals(opened: "Trial") -> dict[str, list[float]]:
    """Metric -> [p05, p95] of a trial under the ranges of the technology constants (`hwmodels.uncertainty`)."""
    from hwmodels.design_uncertainty import design_evaluation
    from hwmodels.uncertainty import intervals

    if opened.study.robust:  # its figures are of several scenarios, an interval would be of one
        return {}
    found = intervals(design_evaluation(opened.design, opened.scenario.workload, seed=opened.scenario.seed))
    return {metric: [each.p05, each.p95] for metric, each in found.items() if each.p95 > each.p05}


def setbacks(run: RunData) -> list[dict[str, Any]]:
    """Why trials were left out: `{"why", "count", "trial"}`, the most frequent first, with one trial as example."""
    found: dict[str, list[int]] = {}
    for row in run.trials[~run.trials["feasible"]].to_dict("records"):
        trial = int(row["trial"])
        if row["state"] != "complete":
            lines = str(row.get("error") or "").strip().splitlines()
            found.setdefault(f"failed: {lines[-1].strip() if lines else 'no reason was kept'}", []).append(trial)
        elif row["status"] != "ok":
            found.setdefault(f"cannot run: {row['status']}", []).append(trial)
        else:
            for metric in run.budgets:
                if not float(row.get(f"violations.{metric}", 0.0)) <= 0.0:
                    found.setdefault(f"misses the budget of {label(metric)}", []).append(trial)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))[:_REASONS]
    return [{"why": why, "count": len(trials), "trial": trials[0]} for why, trials in ordered]


def proof(run: RunData) -> dict[str, Any]:
    """How `dse front` decided every design of the space; empty for a search.

    Returns
    -------
    `exact`, `gap` of the hypervolume, `file` of the certificate; `designs` and `counts` by how a design was decided,
    or, of a space too large to enumerate, `shares` of it.
    """
    manifest: Mapping[str, Any] = run.manifest
    known = {key: manifest[key] for key in ("counts", "shares") if isinstance(manifest.get(key), dict)}
    if not (run.path / "certificate.json").is_file() or not known:
        return {}
    return {"exact": bool(manifest.get("exact")), "designs": manifest.get("designs"), **known,
            "gap": manifest.get("hypervolume_gap"), "file": "certificate.json"}


def run_insight(run: RunData, study: "Study | None", trial: int) -> dict[str, Any]:
    """Everything of this module that the run allows; what needs the study is left out without one.

    Parameters
    ----------
    trial : the recommended design, -1 for none.
    """
    found: dict[str, Any] = {"setbacks": setbacks(run), "proof": proof(run)}
    if study is None:
        return found
    from dse.errors import DseError
    from dse.explain_trial import open_trial

    try:
        # The designs that `dse front` simulated are those that bounds could not tell apart: no sample of the space.
        if not found["proof"]:
            found["importance"] = importance(run, study)
        if trial >= 0 and run.row(trial)["state"] == "complete":
            opened = open_trial(run, trial, study)
            found |= {"steps": steps(opened), "intervals": constants_intervals(opened)}
    except (DseError, ModelError, SpaceError, KeyError):  # parameters of an older version of the space
        pass
    return found
