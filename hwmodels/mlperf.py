"""MLPerf Inference scenarios besides server (`hwmodels.capacity`): one network at a time on an otherwise idle chip.

Model
-----
===============  ========================================  ==================================
single_stream    one sample, the next when it is done      90th percentile of the latency
multi_stream     8 samples, the next 8 when all are done   99th percentile of the latency of 8
offline          all samples at time zero                  samples / time of the last finish
===============  ========================================  ==================================

Every tenant is measured with its own network, also one that follows another. A closed loop is simulated as queries so
far apart that each finds the chip idle: nothing but the chip's state at the start of a query can tell the two apart.

Limits
------
Host, accuracy and the 600 s of a run are not modelled. Without early exits all queries of a closed loop are alike, so
few tell as much as the 24,576 of the rules; with them, see `hwmodels.capacity.requests_for_tail`. Offline throughput of
n samples misses that of endless ones by the fill and drain of one sample in n.

References
----------
V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020, doi:10.1109/ISCA45697.2020.00045; inference_rules.adoc of
mlcommons/inference_policies, 2025.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.design import Design
from hwmodels.errors import ModelError
from hwmodels.evaluate import evaluate_detail
from hwmodels.robust import with_own_deadlines
from hwmodels.workload import Traffic, Workload

__all__ = ["SCENARIOS", "Measured", "Rule", "measure"]


class Rule(NamedTuple):
    """Samples of a query (None: all in one) and the percentile of the latency that counts (None: throughput)."""

    samples: int | None
    percentile: float | None
    metric: str


SCENARIOS: Mapping[str, Rule] = MappingProxyType({
    "single_stream": Rule(1, 90.0, "p90_latency_s"),
    "multi_stream": Rule(8, 99.0, "p99_latency_s"),
    "offline": Rule(None, None, "throughput_per_s"),
})


class Measured(NamedTuple):
    """Of one tenant: the value of the scenario's metric [s or 1/s]; every query took `latency_s`, shape (queries,)."""

    tenant: str
    value: float
    latency_s: NDArray[np.float64]


def measure(design: Design, workload: Workload, scenario: str, *, queries: int = 1024, seed: int = 0) -> list[Measured]:
    """What every tenant's network reaches in a scenario.

    Parameters
    ----------
    scenario : a key of `SCENARIOS`.
    queries : of a closed loop; offline, the samples of the one query.
    seed : of the early exits.

    Raises
    ------
    ModelError : design and workload contradict each other, or the design cannot run one of the networks.
    """
    if scenario not in SCENARIOS:
        raise ModelError("scenario", f"one of {', '.join(SCENARIOS)}", scenario)
    if queries < 1:
        raise ModelError("queries", "at least 1", queries)
    rule = SCENARIOS[scenario]
    found = []
    for index, tenant in enumerate(workload.tenants):
        if rule.samples is None:
            latency = _latencies(design, workload, index, queries, 1, seed)
            found.append(Measured(tenant.name, queries / float(latency[0]), latency))
        else:
            latency = _latencies(design, workload, index, rule.samples, queries, seed)
            found.append(Measured(tenant.name, float(np.percentile(latency, rule.percentile or 0.0)), latency))
    return found


def _latencies(design: Design, workload: Workload, index: int, samples: int, queries: int,
               seed: int) -> NDArray[np.float64]:
    """Latency of every query of a closed loop, shape (queries,) [s]."""
    apart = _run(design, workload, index, samples, np.zeros(1), seed)[0]
    while True:
        start = apart * np.arange(queries)
        latency = _run(design, workload, index, samples, start, seed)
        if (latency <= apart).all():
            return latency
        apart = 1.5 * float(latency.max())  # the first query left early, at an exit


def _run(design: Design, workload: Workload, index: int, samples: int, start_s: NDArray[np.float64],
         seed: int) -> NDArray[np.float64]:
    """Latency of queries of one tenant that start at these times, shape (queries,) [s]."""
    end = float(start_s[-1]) + 1.0
    silent = Traffic(kind="trace", arrivals_s=(end,))
    arrivals = Traffic(kind="trace", arrivals_s=tuple(np.repeat(start_s, samples).tolist()))
    tenants = []
    for i, tenant in enumerate(with_own_deadlines(workload).tenants):
        service = replace(tenant.service, drop_late=False)
        tenants.append(replace(tenant, traffic=arrivals if i == index else silent, after=None, probability=1.0,
                               service=service))
    alone = replace(workload, tenants=tuple(tenants), duration_s=end)
    detail = evaluate_detail(design, alone, seed=seed, record=False)
    if detail.records is None:
        raise ModelError("design", f"able to run every network of the workload ({detail.outcome.status})")
    finish = detail.records.finish_s.reshape(len(start_s), samples)
    latency: NDArray[np.float64] = finish.max(axis=1) - start_s
    return latency
