"""Layerweaver: interleave the layers of opposed networks on one engine, so that loads of one hide behind the other.

Model: one compute unit, one weight buffer, one DRAM channel that loads the weights of layers one after the other in the
order of issue. A layer is (compute seconds c, weight bytes b). A load begins when the channel is free and b fits beside
the weights of the layers that are still to be computed; its weights leave the buffer when it is computed. A layer with
b above half the buffer is cut in equal parts. Nothing is issued further ahead of the compute unit than the time in
which the buffer fills. Activations stay on chip. `hwmodels.kernel_prefetch` is the same machine for requests that
arrive, with policies `layerweaver`, `layerweaver_plus` and `ai_mt`.

A rule picks which network's next layer to issue. `interleave` is a reconstruction: with `lead` the time by which the
compute unit's work reaches beyond the channel's, issue what keeps the channel moving while the lead is short of a
fraction theta of the time in which the buffer fills, and what keeps the compute unit busy when it is longer; among the
heads that make no resource wait the most extreme one, and otherwise the one that makes it wait least. Left alone this
may starve a network, so a network more than `window` inferences ahead of the mix of the linear programme waits.
`tuned_rule` tries a few of these two numbers for the given networks and keeps the best: an offline pass.

The linear programme `rate_bound` is exact: no interleaving of whole inferences does more per second.

Limits: weights only, batch of 1, one channel; the published rule is known from an abstract ("least idle time"), and no
table of published pairs is known. Published headline: +60.1 % throughput in the mean of 16 pairs; what it is here
depends on the balance of compute and bandwidth.

References: Y. H. Oh et al., "Layerweaver: Maximizing resource utilization of neural processing units via layer-wise
scheduling", HPCA 2021, DOI 10.1109/HPCA51647.2021.00056.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, final

import numpy as np
from numba import njit

from hwmodels.errors import InvalidEngine, InvalidLayer, InvalidWorkload

__all__ = [
    "Interleaving",
    "Npu",
    "RateBound",
    "Rule",
    "Stream",
    "best_mix",
    "equal_rates_stp",
    "interleave",
    "isolated_s",
    "lower",
    "rate_bound",
    "tuned_rule",
]

# Inferences to reach the steady state of one network, and to measure it.
_WARM_UP, _MEASURED = 8, 24
# The offline pass: thresholds and windows tried, over so many times the longer isolated time.
_THETAS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
_WINDOWS = (np.inf, 0.1, 0.3, 1.0, 2.0)
_TRIAL_LENGTH = 60.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Npu:
    """Weight-stationary arrays that work on one layer, a DRAM channel and a weight buffer."""

    arrays: int
    rows: int
    cols: int
    freq_hz: float
    dram_bytes_per_s: float
    buffer_bytes: float

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise InvalidEngine(name, "positive", getattr(self, name))


class Stream(NamedTuple):
    """Layers of one network, in order, (L,) columns."""

    compute_s: np.ndarray
    weight_bytes: np.ndarray


class Rule(NamedTuple):
    """Threshold of the lead [fraction of the buffer's fill time]; how far a network may run ahead [inferences]."""

    theta_frac: float = 0.5
    window: float = np.inf


class Interleaving(NamedTuple):
    """What a run did. Busy times are cut at the end of the run."""

    finished: tuple[int, ...]
    elapsed_s: float
    stp: float
    compute_busy_frac: float
    memory_busy_frac: float


class RateBound(NamedTuple):
    """Optimum of the linear programme: system throughput [networks' worth], and inferences per second of each."""

    stp: float
    rates_per_s: tuple[float, ...]


def lower(
    m: np.ndarray, n: np.ndarray, k: np.ndarray, groups: np.ndarray, weight_bytes: np.ndarray, npu: Npu
) -> Stream:
    """Layers as matrix products on weight-stationary arrays, cut to half the buffer.

    Parameters
    ----------
    m, n, k, groups : (L,) output positions, outputs and reduction per group, groups
    weight_bytes : (L,) 0 where both operands are activations

    Notes
    -----
    cycles = ceil(ceil(k/rows) * ceil(n/cols) * groups / arrays) * max(m, rows) + rows + cols
    """
    tiles = -(-np.asarray(k) // npu.rows) * -(-np.asarray(n) // npu.cols) * np.asarray(groups)
    cycles = -(-tiles // npu.arrays) * np.maximum(m, npu.rows) + npu.rows + npu.cols
    compute, loaded = cycles / npu.freq_hz, np.asarray(weight_bytes, np.float64)
    if compute.size == 0 or not (np.isfinite(loaded).all() and (loaded >= 0).all() and (cycles > 0).all()):
        raise InvalidLayer("layers", "at least one, with weight_bytes >= 0")
    parts = np.where(loaded > npu.buffer_bytes / 2, np.ceil(2 * loaded / npu.buffer_bytes), 1).astype(np.int64)
    return Stream(np.repeat(compute / parts, parts), np.repeat(loaded / parts, parts))


@njit(cache=True)
def _run(
    compute: np.ndarray,
    loaded: np.ndarray,
    first: np.ndarray,
    share: np.ndarray,
    bandwidth: float,
    buffer: float,
    theta: float,
    window: float,
    horizon: float,
    most: int,
) -> tuple:
    """Issue layers until the horizon, or until the first network has finished `most` inferences.

    Layers of network i are rows first[i] .. first[i + 1] - 1. Returns finished inferences, the time the last one of
    the first network ended, and the busy times of compute and channel within the horizon.
    """
    count = first.size - 1
    head, finished = first[:-1].copy(), np.zeros(count, np.int64)
    total, issued = np.zeros(count), np.zeros(count)
    for i in range(count):
        for row in range(first[i], first[i + 1]):
            total[i] += compute[row] + loaded[row] / bandwidth
    # Weights in the buffer in the order of issue, which is the order of their compute ends.
    capacity = 1024
    ends, sizes = np.zeros(capacity), np.zeros(capacity)
    front, back, inside = 0, 0, 0.0
    channel, unit, last = 0.0, 0.0, 0.0
    compute_busy, memory_busy = 0.0, 0.0
    while True:
        # Nothing is issued further ahead than the buffer takes to fill.
        if unit - buffer / bandwidth > channel:
            channel = unit - buffer / bandwidth
        while front < back and ends[front % capacity] <= channel:
            inside -= sizes[front % capacity]
            front += 1
        if front == back:
            inside = 0.0
        side = 1.0 if unit - channel > theta * buffer / bandwidth else -1.0
        laggard = np.inf
        for i in range(count):
            if share[i] > 0.0 and issued[i] / total[i] / share[i] < laggard:
                laggard = issued[i] / total[i] / share[i]
        chosen, least, key, load_start = -1, 0.0, 0.0, 0.0
        for i in range(count):
            # `share` is relative to the least one, so that the window counts inferences of that network.
            if share[i] > 0.0 and issued[i] / total[i] / share[i] - laggard > window:
                continue
            size = loaded[head[i]]
            begin, left, entry = channel, inside, front
            while size > 0.0 and left + size > buffer * (1.0 + 1e-12) and entry < back:
                begin = ends[entry % capacity]
                left -= sizes[entry % capacity]
                entry += 1
            load = size / bandwidth
            ready = unit
            if size > 0.0 and begin + load > unit:
                ready = begin + load
            free = ready <= unit if side > 0.0 else begin <= channel
            cost = 0.0 if free else (ready - unit) + (begin - channel)
            rank = -side * (load - compute[head[i]])
            if chosen < 0 or cost < least or (cost == least and rank < key):
                chosen, least, key, load_start = i, cost, rank, begin
        size, time = loaded[head[chosen]], compute[head[chosen]]
        if size > 0.0:
            memory_busy += max(0.0, min(horizon, load_start + size / bandwidth) - load_start)
            channel = load_start + size / bandwidth
        begin = max(unit, channel) if size > 0.0 else unit
        unit = begin + time
        if unit > horizon:
            return finished, last, compute_busy + max(0.0, horizon - begin), memory_busy
        compute_busy += time
        if size > 0.0:
            if back - front == capacity:
                # More layers than the ring holds wait to be computed: make room.
                wider, heavier = np.zeros(2 * capacity), np.zeros(2 * capacity)
                for entry in range(front, back):
                    wider[entry % (2 * capacity)] = ends[entry % capacity]
                    heavier[entry % (2 * capacity)] = sizes[entry % capacity]
                ends, sizes, capacity = wider, heavier, 2 * capacity
            ends[back % capacity], sizes[back % capacity] = unit, size
            inside += size
            back += 1
        issued[chosen] += time + size / bandwidth
        head[chosen] += 1
        if head[chosen] == first[chosen + 1]:
            head[chosen] = first[chosen]
            finished[chosen] += 1
            if chosen == 0:
                last = unit
                if finished[0] == most:
                    return finished, last, compute_busy, memory_busy


def _columns(streams: list[Stream]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first = np.cumsum([0] + [stream.compute_s.size for stream in streams])
    return (
        np.concatenate([stream.compute_s for stream in streams]),
        np.concatenate([stream.weight_bytes for stream in streams]).astype(np.float64),
        first,
    )


def isolated_s(stream: Stream, npu: Npu) -> float:
    """Time per inference of one network that runs again and again, with prefetch across inferences [s]."""
    columns = _columns([stream])
    machine = npu.dram_bytes_per_s, npu.buffer_bytes
    ends = [_run(*columns, np.ones(1), *machine, 0.5, np.inf, np.inf, n)[1] for n in (_WARM_UP, _WARM_UP + _MEASURED)]
    return float(ends[1] - ends[0]) / _MEASURED


def _totals(streams: list[Stream], npu: Npu) -> np.ndarray:
    """(N, 3) isolated, compute and memory seconds of an inference."""
    if not streams:
        raise InvalidWorkload("streams", "at least one", 0)
    return np.array(
        [
            (isolated_s(s, npu), s.compute_s.sum(), s.weight_bytes.sum() / npu.dram_bytes_per_s)
            for s in streams
        ]
    )


def best_mix(totals: np.ndarray) -> RateBound:
    """Optimum of the linear programme: the most that any interleaving can do.

    Maximise sum x_i T_i subject to sum x_i C_i <= 1 and sum x_i M_i <= 1, x >= 0: with two constraints an optimum lies
    where at most two rates are positive, so every pair of networks is solved exactly and the best kept.

    Parameters
    ----------
    totals : (N, 3) isolated, compute and memory seconds of an inference of every network.
    """
    rates = np.zeros((0, len(totals)))
    for i, (_, compute, memory) in enumerate(totals):
        rates = np.vstack([rates, np.eye(len(totals))[i] / max(compute, memory)])
    for i, j in combinations(range(len(totals)), 2):
        (ci, mi), (cj, mj) = totals[i, 1:], totals[j, 1:]
        determinant = ci * mj - cj * mi
        if determinant != 0:
            x = np.zeros(len(totals))
            x[i], x[j] = (mj - cj) / determinant, (ci - mi) / determinant
            if x.min() >= 0:
                rates = np.vstack([rates, x])
    stps = rates @ totals[:, 0]
    best = int(np.argmax(stps))
    return RateBound(float(stps[best]), tuple(rates[best].tolist()))


def rate_bound(streams: list[Stream], npu: Npu) -> RateBound:
    """`best_mix` of endless streams: no interleaving of whole inferences does more per second."""
    return best_mix(_totals(streams, npu))


def equal_rates_stp(streams: list[Stream], npu: Npu) -> float:
    """The bound if every network must finish equally often: sum T / max(sum C, sum M)."""
    totals = _totals(streams, npu)
    return float(totals[:, 0].sum() / max(totals[:, 1].sum(), totals[:, 2].sum()))


def interleave(streams: list[Stream], npu: Npu, rule: Rule | None = None, *, length: float = 300.0) -> Interleaving:
    """Run endless streams of the networks side by side.

    Parameters
    ----------
    streams : layers of every network
    rule : the default rule, or `tuned_rule`'s
    length : duration of the run, in isolated times of the slowest network

    Returns
    -------
    Interleaving
        `stp` = sum over networks of (whole inferences finished * isolated time) / elapsed.
    """
    rule = Rule() if rule is None else rule
    totals = _totals(streams, npu)
    horizon = length * totals[:, 0].max()
    share = np.array(rate_bound(streams, npu).rates_per_s)
    share /= share[share > 0].min()
    finished, _, compute_busy, memory_busy = _run(
        *_columns(streams),
        share,
        npu.dram_bytes_per_s,
        npu.buffer_bytes,
        rule.theta_frac,
        rule.window,
        horizon,
        -1,
    )
    return Interleaving(
        finished=tuple(finished.tolist()),
        elapsed_s=float(horizon),
        stp=float((finished * totals[:, 0]).sum() / horizon),
        compute_busy_frac=float(compute_busy / horizon),
        memory_busy_frac=float(memory_busy / horizon),
    )


def tuned_rule(streams: list[Stream], npu: Npu) -> Rule:
    """The best of a few thresholds and windows for these networks on this machine, by trial runs."""
    rules = [Rule(theta, window) for window in _WINDOWS for theta in _THETAS]
    return max(rules, key=lambda rule: interleave(streams, npu, rule, length=_TRIAL_LENGTH).stp)
