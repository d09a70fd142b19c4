"""Conformance of every registered policy, and the Dysta benchmark."""

import csv
import gzip
import json
import pickle
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kernel_cases import fits, machine, random_case, table, trace
from reference_kernel import interpreted, reference_run

from dse.profiles import profile_machine, profile_table, read_profile
from hwmodels.errors import InvalidPolicy
from hwmodels.kernel import request_isolated_s, run, simulate
from hwmodels.policies import POLICIES, Policy, policy
from hwmodels.policies.base import ALWAYS_VISIBLE, DECLARABLE, MACHINES
from hwmodels.policies.dysta_artifact import ARTIFACT
from hwmodels.workload import RequestTrace

DATA = Path(__file__).parents[1] / "data" / "dysta"
ELEVEN = ("fcfs", "sjf", "sjf_sparse", "prema", "prema_sparse", "planaria", "sdrm3", "sdrm3_sparse", "dysta_naive",
          "dysta", "dysta_oracle")
EVERY = [pytest.param(p, id=f"{where}-{p.name}") for where, known in (("mended", POLICIES), ("artifact", ARTIFACT))
         for p in known.values()]


# ---- conformance: every registered policy ----
@pytest.mark.parametrize("record", EVERY)
def test_record(record: Policy):
    assert record.summary.endswith(".")
    assert record.source
    assert record.origin in ("textbook", "publication", "reconstruction")
    assert record.machines in MACHINES
    assert set(record.needs) <= set(DECLARABLE)
    for name, param in record.params.items():
        assert param.low <= param.default <= param.high
        assert name.isidentifier()
        assert param.meaning


@pytest.mark.parametrize("name", POLICIES)
def test_file_name_and_registration(name):
    assert POLICIES[name].name == name
    assert (Path(sys.modules["hwmodels.policies"].__file__).parent / f"{name}.py").exists()
    assert policy(name) is POLICIES[name]


@pytest.mark.parametrize("record", [pytest.param(p, id=name) for name, p in POLICIES.items()])
def test_reads_only_what_it_declares(record: Policy):
    """Every column of a task that its source names is always visible or declared."""
    forms = (record.key, record.rank, record.keeps, record.sends, record.select, record.assign, record.issue,
             record.batch)
    named: set[str] = set()
    pending = [interpreted(function) for function in forms if function is not None]
    while pending:
        function = pending.pop()
        named |= set(function.__code__.co_names)
        pending += [function.__globals__[n] for n in function.__code__.co_names
                    if callable(function.__globals__.get(n)) and hasattr(function.__globals__[n], "__code__")]
    assert named & set(DECLARABLE) <= set(record.needs)
    assert not named & {"latency_s", "random", "time"}
    assert set(ALWAYS_VISIBLE).isdisjoint(DECLARABLE)


@pytest.mark.parametrize("name", POLICIES)
def test_parameters_at_their_bounds(name):
    case = random_case(1)
    for bound in ("low", "high"):
        values = {key: getattr(param, bound) for key, param in POLICIES[name].params.items()}
        finish = simulate(*case, name, values).finish_s
        assert np.isfinite(finish).all()
    for key, param in POLICIES[name].params.items():
        with pytest.raises(InvalidPolicy):
            simulate(*case, name, {key: param.high * 2 + 1})
    with pytest.raises(InvalidPolicy):
        simulate(*case, name, {"no_such": 1.0})


@pytest.mark.parametrize("name", POLICIES)
def test_deterministic(name):
    cases = (random_case(2, **shape) for shape in ({"engines": 2, "units": (1, 1)}, {"levels": 4, "units": (8,)}, {}))
    case = next(case for case in cases if fits(POLICIES[name], case[1]))
    first, second = simulate(*case, name), simulate(*case, name)
    assert pickle.dumps(first) == pickle.dumps(second)


@pytest.mark.parametrize("name", POLICIES)
def test_no_deadline_no_crash(name):
    """Requests without deadlines, of equal priority: everything is served."""
    costs = table([[[1.0, 1.0]], [[0.5]]])
    records = simulate(costs, machine(2), trace([0.0, 0.0, 0.25, 9.0], [0, 1, 1, 0]), name)
    assert np.isfinite(records.finish_s).all()


@pytest.mark.parametrize("name", [p.name for p in POLICIES.values() if p.run_ahead])
def test_run_ahead_skips_nothing_that_matters(name):
    """Without run-ahead the same finish times (decisions are free here)."""
    costs, chip, requests = random_case(3, costs=False, requests=80, load=1.1)
    record = POLICIES[name]
    careful = replace(record, run_ahead=False)
    fast, slow = run(costs, chip, requests, record), run(costs, chip, requests, careful)
    np.testing.assert_array_equal(fast.finish_s, slow.finish_s)


# ---- single policies ----
def test_round_robin_quantum():
    costs = table([[[1.0] * 4], [[1.0] * 4]])
    requests = trace([0.0, 0.5], [0, 1])
    assert simulate(costs, machine(2), requests, "round_robin").finish_s.tolist() == [7.0, 8.0]
    two = simulate(costs, machine(2), requests, "round_robin", {"quantum_layers": 2.0})
    assert two.finish_s.tolist() == [6.0, 8.0]
    assert simulate(costs, machine(2), requests, "round_robin", {"quantum_s": 1.0, "quantum_layers": 4.0}
                    ).finish_s.tolist() == [4.0, 8.0]


def test_prema_tokens_by_hand():
    """A (4 s) and B, C (1 s each) at 0, D (1 s, priority 3) at 2; A has priority 3, B and C 1.

    At 0 only A reaches the threshold 3, and at 1: B and C have 2. At 2 B and C have 3, A 3, D 3: the shortest first,
    B; at 3 C (4) before D (3 + 3 x 1 / 1 = 6) by order, both 1 s; then D, then the rest of A.
    """
    costs = table([[[1.0] * 4], [[1.0]]])
    requests = trace([0.0, 0.0, 0.0, 2.0], [0, 1, 1, 1], priorities=[3.0, 1.0, 1.0, 3.0])
    records = simulate(costs, machine(2), requests, "prema", record=True)
    assert records.spans[:, 2].tolist() == [0, 0, 1, 2, 3, 0, 0]


def test_prema_drain_lets_the_running_task_finish():
    """remaining(candidate) / isolated(current) = 2/4 > remaining(current) / isolated(candidate) = 1/2: not drained;
    with 0.5 s left it is."""
    costs = table([[[3.5, 0.5]], [[1.0, 1.0]]])
    requests = trace([0.0, 3.0], [0, 1], priorities=[1.0, 9.0])
    assert simulate(costs, machine(2), requests, "prema").finish_s.tolist() == [6.0, 5.5]
    assert simulate(costs, machine(2), requests, "prema", {"mechanism": 3.0}).finish_s.tolist() == [4.0, 6.0]


def test_planaria_late_tasks_do_not_starve():
    """Published: every newer task overtakes a late one. Mended: it competes by priority / remaining time."""
    costs = table([[[1.0]]])
    arrivals = np.arange(0.0, 40.0, 0.9)
    requests = trace(arrivals, [0] * len(arrivals), deadlines=arrivals + 1.0)
    mended = run(costs, machine(1), requests, POLICIES["planaria"])
    published = run(costs, machine(1), requests, ARTIFACT["planaria"])
    assert (mended.finish_s - arrivals).max() < 6.5
    assert (published.finish_s - arrivals).max() > 20.0


# ---- the Dysta benchmark ----
def _rows(path):
    with (gzip.open(path, "rt") if path.suffix == ".gz" else path.open()) as file:
        return list(csv.DictReader(file))


def _listed(path, names):
    rows = _rows(path)

    def column(name, kind=float):
        return np.array([kind(row[name]) for row in rows])

    network = np.array([names.index(row["model"]) for row in rows])
    return RequestTrace(column("arrival_s"), column("abs_deadline_s"), column("priority"), network, network,
                        column("sample_id", int), np.full(len(rows), -1), np.zeros(len(rows), dtype=bool))


@pytest.fixture(scope="module")
def sets():
    loaded = {}
    for name, folder in (("micro", "micro/traces"), ("attention", "traces/sanger"), ("cnn", "traces/eyerissv2")):
        profiles = read_profile(DATA / folder)
        loaded[name] = ([p.network for p in profiles], profiles, profile_table(profiles), profile_machine(profiles))
    return loaded


@pytest.mark.parametrize("name", ELEVEN)
@pytest.mark.parametrize(("which", "requests", "finish", "rewind"), [
    ("micro", "micro/requests.csv", "micro/finish_compat.csv", True),
    ("micro", "micro/requests.csv", "micro/finish_corrected.csv", False),
    ("attention", "attention_r40_slo10_seed1_requests.csv.gz", "attention_r40_slo10_seed1_finish.csv.gz", True),
])
def test_finish_times_of_the_artifact(sets, name, which, requests, finish, rewind):
    names, _, costs, chip = sets[which]
    records = run(costs, chip, _listed(DATA / requests, names), ARTIFACT[name], rewind=rewind)
    expected = np.array([float(row[name]) for row in _rows(DATA / finish)])
    np.testing.assert_allclose(records.finish_s, expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(np.argsort(records.finish_s, kind="stable"), np.argsort(expected, kind="stable"))


def _drawn(names, targets, rates, rate, factor, seed, count):
    """Requests of the benchmark: one stream per seed, rates in the given order."""
    rng = random.Random(seed)
    for current in rates:
        now, rows = 0.0, []
        for _ in range(count):
            now += rng.expovariate(current)
            n = rng.randint(0, len(names) - 1)
            priority = (1, 3, 9)[rng.randint(0, 2)]
            rows.append((now, now + targets[n] * factor, priority, n, rng.randint(0, 6)))
        if current == rate:
            break
    arrival, deadline, priority, network, sample = (np.array(column) for column in zip(*rows, strict=True))
    return RequestTrace(arrival, deadline, priority.astype(float), network, network, sample, np.full(count, -1),
                        np.zeros(count, dtype=bool))


def test_reference_runs(sets):
    """Violations and events exactly; ANTT, throughput, p99 and max NTT at 1e-9, on all 132 runs."""
    reference = json.loads((DATA / "reference_public.json").read_text())
    for part in reference["sets"]:
        names, _, costs, chip = sets[part["workload"]]
        lut = reference["lut"]["sanger" if part["workload"] == "attention" else "eyerissv2"]
        targets = [lut[name]["target_per_architecture_s"] for name in names]
        for seed, name, violations, antt, throughput, events, p99, largest in part["runs"]:
            requests = _drawn(names, targets, part["rates_in_stream"], part["rate_per_s"], part["slo_factor"], seed,
                              part["requests"])
            records = run(costs, chip, requests, ARTIFACT[name], rewind=part["clock"] == "compat")
            ntt = (records.finish_s - requests.arrival_s) / request_isolated_s(costs, chip, requests)
            assert records.events == events
            assert (records.finish_s > requests.deadline_s).mean() == violations
            measured = (ntt.mean(), len(ntt) / (records.finish_s.max() - requests.arrival_s[0]), np.percentile(ntt, 99),
                        ntt.max())
            np.testing.assert_allclose(measured, (antt, throughput, p99, largest), rtol=1e-9)


def test_targets_of_the_reference(sets):
    reference = json.loads((DATA / "reference_public.json").read_text())["lut"]
    for workload, folder in (("attention", "sanger"), ("cnn", "eyerissv2")):
        names, profiles, costs, _ = sets[workload]
        for n, name in enumerate(names):
            rows = slice(costs.offset[n, 0, 0, 0], costs.offset[n, 0, 0, 0] + costs.n_layers[n])
            expected = reference[folder][name]
            assert (len(profiles[n].samples), costs.n_layers[n]) == (expected["samples"], expected["layers"])
            assert costs.estimate_s[rows].sum() == pytest.approx(expected["target_per_architecture_s"], rel=1e-12)
            assert costs.pattern_s[rows].sum() == pytest.approx(expected["target_per_file_s"], rel=1e-12)


@pytest.mark.parametrize("name", ELEVEN)
def test_artifact_policies_equal_the_interpreted_kernel(sets, name):
    """On a clock that never goes back, with sparsities and estimates that differ from the truth."""
    names, _, costs, chip = sets["cnn"]
    requests = _drawn(names, [0.3] * len(names), [4], 4, 10.0, 3, 60)
    fast, slow = run(costs, chip, requests, ARTIFACT[name]), reference_run(costs, chip, requests, ARTIFACT[name])
    np.testing.assert_allclose(fast.finish_s, slow.finish_s, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ELEVEN)
def test_mended_policies_equal_the_interpreted_kernel(sets, name):
    names, _, costs, chip = sets["cnn"]
    requests = _drawn(names, [0.3] * len(names), [4], 4, 10.0, 4, 60)
    fast, slow = run(costs, chip, requests, POLICIES[name]), reference_run(costs, chip, requests, POLICIES[name])
    np.testing.assert_allclose(fast.finish_s, slow.finish_s, rtol=0, atol=1e-9)


def test_density_helps():
    """Estimates scaled by the measured density lower ANTT on the CNN traces, as in the benchmark's results."""
    profiles = read_profile(DATA / "traces/eyerissv2")
    costs, chip = profile_table(profiles), profile_machine(profiles)
    targets = [float(costs.estimate_s[first : first + n].sum())
               for first, n in zip(costs.offset[:, 0, 0, 0], costs.n_layers, strict=True)]
    requests = _drawn([p.network for p in profiles], targets, [3], 3, 10.0, 1, 1000)
    alone = request_isolated_s(costs, chip, requests)
    antt = {name: float(((run(costs, chip, requests, POLICIES[name]).finish_s - requests.arrival_s) / alone).mean())
            for name in ("fcfs", "sjf", "sjf_sparse", "dysta")}
    assert antt["sjf_sparse"] < antt["sjf"] < antt["fcfs"]
    assert antt["dysta"] < antt["sjf"]
