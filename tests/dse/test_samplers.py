"""Conformance kit: what every registered sampler must do, on conditional spaces with clauses."""

import itertools
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import optuna
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from run_toys import toy_outcome, toy_space, toy_study

from dse import moves
from dse.askers import make_asker
from dse.errors import InputError
from dse.estimate import Estimated
from dse.objective import evaluate_one, judge
from dse.pareto import Archive, front_indices
from dse.points import SpaceExhausted, distributions, suggest
from dse.process import GaussianProcess
from dse.samplers import SAMPLERS, make_sampler, pick_sampler
from spaces.domains import Real
from spaces.space import Condition, Space

optuna.logging.set_verbosity(optuna.logging.WARNING)
CLAUSES = [{"x": [0, 1, 2], "flag": True}, {"arch": "b", "y": [1, 2, 4, 8], "z": 2.0}]
EVERY = pytest.mark.parametrize("name", list(SAMPLERS))
LEARNING = pytest.mark.parametrize("name", ["guided", "archive", "tpe", "nsga2", "nsga3"])


def toy_estimate(study, *, off=0.3):
    """The toy's values, wrong by up to `off`: more for large `y`, the other way for one architecture."""

    def estimate(points):
        values, constraints = [], {metric: [] for metric in study.budgets}
        for point in points:
            verdict = judge(study, evaluate_one(toy_outcome, 0, point))
            wrong = 1.0 + off * np.log2(point["y"]) / 6.0 * (1.0 if point["arch"] == "a" else -1.0)
            values.append([v * wrong for v in verdict.values] if verdict.values else [np.inf] * 3)
            for metric, column in constraints.items():
                column.append(verdict.relative[metric] + 0.1 * (wrong - 1.0))
        return Estimated(np.array(values), {metric: np.array(column) for metric, column in constraints.items()})

    return estimate


def nothing_known(points):
    """An estimate of one objective that knows nothing."""
    return Estimated(np.full((len(points), 1), np.nan), {})


def sampler_of(name, study):
    return make_sampler(name, study.space, seed=study.seed, estimate=toy_estimate(study))


def blind(name, space):
    return make_sampler(name, space, seed=0, estimate=nothing_known)


def search(name: str, study, trials: int, *, batch: int = 4) -> tuple[list[dict], list]:
    """Ask and tell in batches; the points and their verdicts."""
    space = study.space
    inner = optuna.create_study(directions=["minimize", "maximize", "minimize"],
                                sampler=sampler_of(name, study))
    points, verdicts = [], []
    for start in range(0, trials, batch):
        asked = []
        for _ in range(min(batch, trials - start)):
            trial = inner.ask()
            asked.append((trial, suggest(trial, space, distributions(space))))
        for trial, params in asked:
            result = evaluate_one(toy_outcome, trial.number, params)
            verdict = judge(study, result)
            points.append(params)
            verdicts.append(verdict)
            trial.set_constraint("status", 0.0 if verdict.values else 1.0)
            for metric, violation in verdict.relative.items():
                trial.set_constraint(metric, violation if violation == violation else 1e6)
            values = verdict.values or (1e12, 1e12, 1e12)
            inner.tell(trial, [values[0], -values[1], values[2]])
    return points, verdicts


@EVERY
def test_points_are_valid_and_never_repeated(name):
    space = toy_space(forbidden=CLAUSES)
    points, _ = search(name, toy_study(space=space), 120)
    codes = [space.encode(point) for point in points]  # raises when invalid
    assert len(set(codes)) == 120


@EVERY
def test_same_seed_same_points_and_another_seed_others(name):
    first, _ = search(name, toy_study(seed=1), 60)
    again, _ = search(name, toy_study(seed=1), 60)
    other, _ = search(name, toy_study(seed=2), 60)
    assert first == again
    assert (first == other) == (name == "exhaustive")


@EVERY
def test_a_small_space_is_covered_and_then_exhausted(name):
    space = Space({"arch": ("a", "b"), "x": (1, 2, 3), "y": (1, 2), "z": (True, False), "flag": (True, False)},
                  [Condition("z", "arch", ("b",))], [{"x": 1, "y": 1}])
    study = optuna.create_study(directions=["minimize"], sampler=blind(name, space))
    found = []
    for _ in range(int(space.size())):
        trial = study.ask()
        found.append(suggest(trial, space, distributions(space)))
        study.tell(trial, float(found[-1]["x"]))
    assert len({space.encode(point) for point in found}) == space.size()
    with pytest.raises(SpaceExhausted):
        suggest(study.ask(), space, distributions(space))


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "exhaustive"])
def test_continuous_parameters(name):
    space = Space({"arch": ("a", "b"), "x": Real(1.0, 100.0, log=True), "n": (1, 2, 4)},
                  [Condition("x", "arch", ("b",))], [{"arch": "a", "n": 4}])
    study = optuna.create_study(directions=["minimize"], sampler=blind(name, space))
    for _ in range(80 if name != "tpe" else 30):
        trial = study.ask()
        try:
            params = suggest(trial, space, distributions(space))
        except SpaceExhausted:
            pytest.fail("a continuous space has no end")
        space.validate(params)
        study.tell(trial, params.get("x", 50.0) * params["n"])
    if name in ("archive", "guided"):
        assert study.best_value < 1.2


@LEARNING
def test_learning_samplers_heed_the_budgets(name):
    """With tight budgets, later points are feasible more often than random ones."""
    study = toy_study(budgets={"area_mm2": 9.0, "stp": 0.3}, seed=0)
    _, verdicts = search(name, study, 200)
    _, by_chance = search("random", study, 200)
    late = np.mean([verdict.feasible for verdict in verdicts[100:]])
    assert late > 1.3 * np.mean([verdict.feasible for verdict in by_chance])


@lru_cache
def hits(name: str) -> float:
    """Designs of the exact front found, median of three seeds."""
    study, found = toy_study(), []
    verdicts = [judge(study, evaluate_one(toy_outcome, 0, point)) for point in study.space.enumerate()]
    every = [verdict.values for verdict in verdicts if verdict.feasible]
    front = {v for v in every if not any(all(a <= b for a, b in zip(w, v, strict=True)) and w != v for w in every)}
    for seed in range(3):
        _, verdicts = search(name, toy_study(seed=seed), 150)
        found.append(len(front & {v.values for v in verdicts if v.feasible}))
    return float(np.median(found))


@pytest.mark.parametrize(("name", "rival"), [*(("archive", rival) for rival in ("random", "qmc", "nsga2", "nsga3")),
                                             ("guided", "archive")])
def test_finds_more_of_the_exact_front(name, rival):
    assert hits(name) > hits(rival)


def test_results_told_to_another_study_are_taken_over():
    """A sampler put on a study with a past proposes nothing from it, and learns from it."""
    space = toy_space()
    study = optuna.create_study(directions=["minimize"], sampler=make_sampler("random", space, seed=0))
    past = []
    for _ in range(100):
        trial = study.ask()
        past.append(space.encode(suggest(trial, space, distributions(space))))
        study.tell(trial, float(sum(past[-1])))
    study.sampler = make_sampler("archive", space, seed=0)
    points = []
    for _ in range(60):
        trial = study.ask()
        points.append(space.encode(suggest(trial, space, distributions(space))))
        study.tell(trial, float(sum(points[-1])))
    assert not set(points) & set(past)
    assert min(map(sum, points)) <= min(map(sum, past))


@pytest.mark.parametrize("name", ["guided", "archive", "random", "qmc", "exhaustive"])
def test_with_and_without_an_optuna_study_the_points_are_the_same(name):
    study = toy_study(seed=4)
    expected, _ = search(name, study, 100)
    asker, found = make_asker(study, sampler_of(name, study)), []
    for start in range(0, 100, 4):
        batch = [asker.ask() for _ in range(4)]
        for number, params in enumerate(batch, start=start):
            asker.tell(number, params, judge(study, evaluate_one(toy_outcome, number, params)))
        found += batch
    assert found == expected


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_failed_and_unrunnable_trials_can_be_told(name):
    study = toy_study()
    asker = make_asker(study, sampler_of(name, study))
    for number in range(80):
        result = evaluate_one(toy_outcome, number, asker.ask())
        asker.tell(number, result.params, None if number % 3 == 0 else judge(study, result))


def test_auto_says_why():
    space = toy_space()
    assert pick_sampler("auto", space, 10**6)[0] == "exhaustive"
    assert "cover it" in pick_sampler("auto", space, 10**6)[1]
    assert pick_sampler("auto", space, 300)[0] == "archive"
    assert "no estimates" in pick_sampler("auto", space, 300)[1]
    assert pick_sampler("auto", space, 300, estimates=True)[0] == "guided"
    assert "estimates designs" in pick_sampler("auto", space, 300, estimates=True)[1]
    assert pick_sampler("nsga2", space, 10)[0] == "nsga2"
    with pytest.raises(InputError, match="estimates only for"):
        pick_sampler("guided", space, 10)
    with pytest.raises(InputError, match="did you mean 'archive'"):
        pick_sampler("archiv", space, 10)
    with pytest.raises(InputError, match="continuous"):
        pick_sampler("exhaustive", Space({"x": Real(0.0, 1.0)}), 10)
    assert all(spec.summary and spec.source for spec in SAMPLERS.values())


def test_processes_learn_which_parameters_matter_and_how_sure_they_are():
    """Two parameters make the target, four are idle: far better than the mean, with errors within those announced."""
    space = Space({name: {"low": 0, "high": 15, "step": 1} for name in "xyabc"} | {"k": ("p", "q")})
    rng = np.random.default_rng(0)
    codes, fresh = (np.array([space.sample_codes(rng) for _ in range(100)]) for _ in range(2))

    def bump(points):
        return np.exp(-((points[:, 0] - 9) ** 2 + (points[:, 1] - 4) ** 2) / 30.0) * (1.0 + points[:, 5])

    process = GaussianProcess(space)
    noise = rng.standard_normal(100)
    process.fit(codes, np.stack([bump(codes), 3.0 + 2.0 * bump(codes), noise], axis=1))
    assert process.same.tolist() == [0, 0, 2]
    missed = process.mean(fresh) - np.stack([bump(fresh), 3.0 + 2.0 * bump(fresh), 0.0 * bump(fresh)], axis=1)
    assert (missed[:, :2] ** 2).mean() < 0.1 * bump(fresh).var()
    spread = process.spread(fresh)[:, 0]
    assert (np.abs(missed[:, 0]) < 2.0 * spread).mean() > 0.9
    assert spread.mean() < 0.2 * bump(fresh).std()
    assert 0.5 < process.error[2] / noise.std() < 1.5


@pytest.mark.parametrize("most", [150, 4])
def test_pairs_are_all_points_two_steps_away(monkeypatch, most):
    monkeypatch.setattr(moves, "_MOST_STEPS", most)
    space = toy_space(forbidden=CLAUSES)
    rng = np.random.default_rng(0)
    every, some = set(space.enumerate_codes()), 0
    for _ in range(20):
        point = space.sample_evenly_codes(rng)
        found = [(*codes,) for codes in moves.Moves(space, rng).pairs(point).tolist()]
        active = [i for i, code in enumerate(point) if code >= 0]
        wanted = {(*point[:i], a, *point[i + 1:j], b, *point[j + 1:])
                  for i, j in itertools.combinations(active, 2)
                  for a in space.steps(space.names[i], point[i]) for b in space.steps(space.names[j], point[j])}
        assert len(found) == len(set(found))
        if most == 150:
            assert set(found) == wanted & every
        else:  # the pairs of four steps
            assert set(found) <= wanted & every
            assert len(found) <= min(6, len(wanted & every))
            some += len(found)
    assert most == 150 or some > 20


def test_the_archive_keeps_what_nothing_dominates():
    rng = np.random.default_rng(0)
    values, violation = np.round(rng.random((300, 3)), 1), np.maximum(rng.standard_normal(300) + 1.0, 0.0)
    archive = Archive()
    for row in range(300):
        before = violation[:row + 1]
        taken = archive.add(row, values[row], float(violation[row]))
        assert taken == (row in archive.rows)
        if before.min() > 0.0:
            assert set(archive.rows) == set(np.argsort(before, kind="stable")[:10])
            continue
        good = np.flatnonzero(before <= 0.0)
        assert archive.rows.tolist() == [int(good[i]) for i in front_indices(values[good])]
        np.testing.assert_array_equal(archive.values, values[archive.rows])


def test_halton_points_are_spread_evenly():
    """Every half, third and quarter of a coordinate gets its share of 128 points within 6 (by chance: within 15)."""
    sampler = make_sampler("qmc", Space({f"p{i}": {"low": 0, "high": 63, "step": 1} for i in range(6)}), seed=3)
    points = np.array([sampler.coordinates() for _ in range(128)])
    for axis, parts in itertools.product(range(6), (2, 3, 4)):
        counts = np.bincount((points[:, axis] * parts).astype(int), minlength=parts)
        assert np.abs(counts - 128 / parts).max() <= 6
