"""Small tables, machines and traces for the tests of the kernel."""

import numpy as np

from hwmodels.tables import DRAM_FIXED, DRAM_MAX_MIN, CostTable, Machine
from hwmodels.workload import RequestTrace


def table(networks, *, engines=1, levels=1, live=None, dram=None):
    """`networks[n][place][layer]` = latency; a place that cannot run is None. `live`, `dram`: per row or a number."""
    places = engines * levels
    n_layers = [len(next(rows for rows in network if rows is not None)) for network in networks]
    offset = np.full((len(networks), 1, engines, levels), -1, dtype=np.int64)
    latency: list[float] = []
    for n, network in enumerate(networks):
        assert len(network) == places
        for place, rows in enumerate(network):
            if rows is not None:
                offset[n, 0, place // levels, place % levels] = len(latency)
                latency += rows
    count = len(latency)

    def column(value):
        return np.array([value] * count if np.isscalar(value) else value, dtype=np.float64)

    return CostTable(
        n_layers=np.array(n_layers), offset=offset, latency_s=np.array(latency, dtype=np.float64),
        dram_bytes=column(dram or 0.0), energy_j=np.ones(count), live_bytes=column(live or 0.0),
        sparsity_frac=np.zeros(count), estimate_s=np.array(latency, dtype=np.float64))


def machine(tenants, *, units=(1,), levels=(1,), bound=None, bandwidth=1.0, mode=DRAM_MAX_MIN, reconfigure=0.0,
            decision=0.0, **extra):
    return Machine(units=np.array(units), level_units=np.array(levels),
                   tenant_engine=np.array(bound if bound is not None else [-1] * tenants), dram_bytes_per_s=bandwidth,
                   dram_mode=mode, reconfigure_s=reconfigure, decision_s=decision, **extra)


def trace(arrivals, networks, *, deadlines=None, priorities=None, parents=None, drop=False, samples=None):
    count = len(arrivals)
    return RequestTrace(
        arrival_s=np.array(arrivals, dtype=np.float64),
        deadline_s=np.array(deadlines if deadlines is not None else [np.inf] * count, dtype=np.float64),
        priority=np.array(priorities if priorities is not None else [1.0] * count, dtype=np.float64),
        tenant=np.array(networks, dtype=np.int64), network=np.array(networks, dtype=np.int64),
        sample=np.array(samples if samples is not None else [0] * count, dtype=np.int64),
        parent=np.array(parents if parents is not None else [-1] * count, dtype=np.int64),
        drop_late=np.full(count, drop))


def fits(policy, chip):
    """Whether a policy can run on a machine."""
    single = len(chip.units) == 1 and chip.units[0] == 1 and len(chip.level_units) == 1
    return {"any": True, "pool": len(chip.units) == 1, "single": single}[policy.machines]


def with_exits(case, seed):
    """The case with exits after some layers: sample 0 runs all, sample s leaves at the s-th exit."""
    rng = np.random.default_rng(seed + 1)
    costs, chip, requests = case
    samples = int(costs.n_layers.max())
    exit_frac = np.zeros(len(costs.latency_s))
    depth = np.repeat(costs.n_layers[:, None], samples, axis=1)
    for n, layers in enumerate(costs.n_layers):
        shares = rng.choice([0.0, 0.25, 0.5, 1.0], layers - 1) if layers > 1 else np.empty(0)
        exits = np.flatnonzero(shares)
        depth[n, 1 : 1 + len(exits)] = exits + 1
        for first in costs.offset[n, 0].ravel():
            if first >= 0:
                exit_frac[first : first + layers - 1] = shares
    costs = costs._replace(exit_frac=exit_frac, depth=depth, offset=np.repeat(costs.offset, samples, axis=1))
    return costs, chip, requests._replace(sample=rng.integers(0, samples, len(requests.sample)))


def with_batches(case, seed, most=64):
    """The case with costs of batches: each further request of a batch adds a share of the first one's row."""
    rng = np.random.default_rng(seed + 2)
    costs, chip, requests = case
    shares = rng.integers(1, 5, len(costs.latency_s)) / 4.0
    scale = 1.0 + np.arange(most)[:, None] * shares
    return costs._replace(
        batch_latency_s=costs.latency_s * scale, batch_dram_bytes=costs.dram_bytes * scale,
        batch_energy_j=costs.energy_j * scale, batch_live_bytes=costs.live_bytes * np.arange(1, most + 1)[:, None],
    ), chip, requests


def random_case(seed, *, engines=1, levels=1, units=(1,), mode=DRAM_FIXED, bound=None, networks=3, layers=4,
                requests=40, load=0.8, costs=True, followers=False, drop=False):
    """Times are multiples of 1/64 and the bandwidth is a power of two: sums are exact in any order."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, layers + 1, networks)
    rows = [[(rng.integers(1, 33, length) / 64.0).tolist() for _ in range(engines * levels)] for length in lengths]
    costs_table = table(rows, engines=engines, levels=levels)
    count = len(costs_table.latency_s)
    costs_table = costs_table._replace(
        live_bytes=rng.integers(0, 5, count) * (1.0 if costs else 0.0),
        dram_bytes=costs_table.latency_s * rng.choice([0.0, 32.0, 64.0], count),
        sparsity_frac=rng.integers(0, 4, count) / 8.0)
    chip = machine(networks, units=units, levels=[1 << u for u in range(levels)], bound=bound, bandwidth=64.0,
                   mode=mode, reconfigure=1 / 64 if costs else 0.0, decision=1 / 128 if costs else 0.0,
                   switch_s=1 / 64 if costs else 0.0, dram_j_per_byte=0.5)
    gap = float(np.mean([np.sum(r[0]) for r in rows])) / load / engines
    arrivals = np.cumsum(rng.integers(0, max(2, int(128 * gap)), requests)) / 64.0
    network = rng.integers(0, networks, requests)
    parents = np.full(requests, -1)
    if followers:  # a follower arrives with its parent: end to end
        for r in range(1, requests):
            if rng.random() < 0.3:
                parents[r] = rng.integers(0, r)
                arrivals[r] = arrivals[parents[r]]
        order = np.argsort(arrivals, kind="stable")
        row = np.argsort(order)
        arrivals, parents = arrivals[order], np.where(parents >= 0, row[parents], -1)[order]
    deadlines = arrivals + rng.integers(1, 257, requests) / 32.0
    priorities = rng.choice([1.0, 3.0, 9.0], requests)
    return costs_table, chip, trace(arrivals, network, deadlines=deadlines, priorities=priorities, parents=parents,
                                    drop=drop)
