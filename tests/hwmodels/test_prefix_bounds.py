"""Simulating the first requests only: what it says holds in the whole run, for every class and policy."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from design_cases import ENGINE, PAIRS, one_tenant, random_design, workload

from hwmodels.architectures import TimeMux
from hwmodels.demand_bounds import Served, metric_bounds
from hwmodels.design import Design
from hwmodels.evaluate import Bench, bench_of, evaluate, prepare
from hwmodels.offered_load import least_finished, offered_load
from hwmodels.prefix_bounds import Tails, first_requests, prefix_of, watch_of
from hwmodels.request_costs import prepared_demand
from hwmodels.scheduling import block_of
from hwmodels.workload import Workload


def bench(design: Design, work: Workload, seed: int) -> Bench:
    block = block_of(design.scheduler, design.policy, design.policy_params, 16)
    return bench_of(prepare(design, work), work, block, seed)


def energy_bound(of: Bench, design: Design, seed: int, served: Served, finite: bool) -> float:
    work, load = of.workload, offered_load(of.workload, seed)
    single = prepare(replace(design, policy="fcfs", policy_params={}), work)
    demand = prepared_demand(single, work, load)
    bounds = metric_bounds(demand, load, work, [of.block], area_mm2=np.ones(1),
                           leakage_w=np.array([of.prepared.chip.leakage_w]), metrics=["energy_per_inference_j"],
                           least=least_finished(load, finite_tail=finite), served=served)
    return float(bounds["energy_per_inference_j"][0])


@pytest.mark.parametrize(("kind", "policy"), PAIRS)
def test_the_first_requests_bound_the_whole_run(kind: str, policy: str) -> None:
    rng = np.random.default_rng(sum(map(ord, kind + policy)))
    for case in range(3):
        work = workload(load=float(rng.choice([0.3, 1.0, 3.0, 10.0])), drop=case % 2 == 1,
                        multiple=None if case % 2 else 20.0)
        design = random_design(rng, work, kind, policy)
        whole, of = evaluate(design, work, seed=case), bench(design, work, case)
        names, percentiles = [t.name for t in work.tenants], np.array([t.service.percentile for t in work.tenants])
        values = whole.metrics | {f"{t}.{m}": v for t, own in whole.tenants.items() for m, v in own.items()}
        full = of.serve(design.policy, design.policy_params)
        assert of.outcome(full).metrics == whole.metrics
        before: dict[str, float] = {}
        for frac in (0.1, 0.4, 0.8, 1.0):
            count = first_requests(of.trace.arrival_s, frac)
            records = of.serve(design.policy, design.policy_params, first=count)
            prefix = prefix_of(of.trace, records)
            assert (full.finish_s[:count][prefix.done] == records.finish_s[prefix.done]).all()
            assert (full.energy_j[:count][prefix.done] == records.energy_j[prefix.done]).all()
            rest = full.finish_s[:count][~prefix.done]
            assert (np.isnan(rest) | (rest >= prefix.finish_s[~prefix.done])).all()
            bounds = Tails(of.trace, names, percentiles).bounds(prefix)
            for name, bound in bounds.items():
                assert math.isnan(values[name]) or before.get(name, -1.0) <= bound <= values[name], (name, frac)
                if frac == 1.0 and not math.isnan(values[name]):
                    assert bound == values[name], name
            before = bounds
            mine = of.trace.tenant[:count][prefix.done]
            served = Served(np.bincount(mine, minlength=len(names)),
                            np.bincount(mine, weights=records.energy_j[prefix.done], minlength=len(names)))
            finite = math.isfinite(whole.metrics["p99_deadline_frac"])
            assert energy_bound(of, design, case, served, finite) <= whole.metrics["energy_per_inference_j"]


@pytest.mark.parametrize(("kind", "policy"), PAIRS)
def test_a_run_that_was_stopped_proves_its_tail(kind: str, policy: str) -> None:
    """Until it stops all is as in the whole run; it stops if and only if too many are late, in loops that look."""
    rng = np.random.default_rng(sum(map(ord, kind + policy)))
    for case in range(2):
        work = workload(load=float(rng.choice([1.0, 3.0])), drop=case % 2 == 1, multiple=None)
        design = random_design(rng, work, kind, policy)
        of = bench(design, work, case)
        names, percentiles = [t.name for t in work.tenants], np.array([t.service.percentile for t in work.tenants])
        full = of.serve(design.policy, design.policy_params)
        for metric, above, which in (("p99_deadline_frac", 0.0, np.full(len(names), 99.0)),
                                     ("slo_miss_frac", 1.0, percentiles)):
            tails = Tails(of.trace, names, percentiles)
            value = tails.bounds(prefix_of(of.trace, full))[metric] + above
            least_j = np.array([np.nanmin(full.energy_j[of.trace.tenant == t], initial=np.inf)
                                if (of.trace.tenant == t).any() else 0.0 for t in range(len(names))])
            spent_j = np.nansum(np.where(np.isfinite(full.finish_s), full.energy_j - least_j[of.trace.tenant], 0.0))
            for theta in (0.2, 0.9 * value, value, 1.5 * value):
                watch = watch_of(of.trace, which, np.array([theta, theta / 2.0]),
                                 np.array([0.0, rng.uniform(0.0, 1.1) * spent_j]), least_j)
                records = of.serve(design.policy, design.policy_params, watch=watch)
                known = records.finish_s <= records.stopped_s
                assert (records.finish_s[known] == full.finish_s[known]).all()
                assert (records.energy_j[known] == full.energy_j[known]).all()
                assert not (full.finish_s[~known] < records.stopped_s).any()
                bound = tails.bounds(prefix_of(of.trace, records))[metric] + above
                assert bound <= value
                if records.stopped_s < np.inf:
                    more_j = (records.energy_j - least_j[of.trace.tenant])[known].sum()
                    assert bound > theta or (bound > theta / 2.0 and more_j >= watch.more_j[1] * (1.0 - 1e-9))
                else:
                    assert bound == value
                if design.policy in ("fcfs", "edf") and case == 0 and math.isfinite(theta):  # looks, drops nobody
                    missed = ~(full.finish_s[watch.request[0]] <= watch.due_s[0])
                    late = np.bincount(of.trace.tenant[watch.request[0]], weights=missed, minlength=len(names))
                    assert records.stopped_s < np.inf or not (late > watch.spare).any()


def test_requests_of_one_instant_stay_together() -> None:
    arrivals = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 2.0])
    assert [first_requests(arrivals, frac) for frac in (0.0, 0.2, 0.4, 0.7, 0.9, 1.0)] == [6, 6, 2, 2, 5, 6]


def test_late_requests_by_hand() -> None:
    """Ten at once, then nothing for long: after the ten every latency is known, of the last one nothing."""
    design = Design(architecture=TimeMux(engine=ENGINE), policy="fcfs", scheduler="hardware")
    alone = evaluate(design, one_tenant(0.0, deadline_s=1.0)).metrics["max_latency_s"]
    work = one_tenant(*[0.0] * 10, 0.9, deadline_s=1.5 * alone)
    of = bench(design, work, 0)
    prefix = prefix_of(of.trace, of.serve("fcfs", {}, first=10))
    assert prefix.done.all()
    bounds = Tails(of.trace, ["a"], np.array([50.0])).bounds(prefix)
    assert bounds["slo_violation_frac"] == 9 / 11
    # of 0, 1 .. 10 latencies the median is that of the fifth, 5 / 1.5 deadlines
    assert bounds["slo_miss_frac"] == pytest.approx(5 / 1.5 - 1, rel=1e-3)
    assert bounds["a.p99_deadline_frac"] == bounds["p99_deadline_frac"] == pytest.approx(9.9 / 1.5, rel=1e-3)
