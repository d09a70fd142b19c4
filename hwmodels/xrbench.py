"""XRBench: the run-time and the score of its usage scenarios, given the latency of every network on every engine.

Model: every network injects a frame per period if its probability says so, due at the end of the period. A frame of a
dependent network can run once its parent has completed as many frames as its own number, plus one. Whole frames run on
the idle engine that is fastest for them and are never preempted. Time is in milliseconds and moves to the next base
tick (of the fastest network) or the next completion, whichever is first; at each instant

1. every network injects at most one frame that is due to begin;
2. frames that complete within 0.01 ms end;
3. frames at the head of a queue whose deadline has passed are dropped, but not those of dependent networks;
4. networks in alphabetical order start one frame each, again and again, until nothing moves.

The run ends with the instant at which the last frame of every network was up for injection.

Score: a completed frame counts real-time score times energy score; a network the mean of that over its completed *and*
dropped frames, times the fraction completed; so a drop counts twice. The overall score is 100 times the mean over the
networks of which a frame was completed or dropped.

References: H. Kwon et al., "XRBench: An extended reality (XR) machine learning benchmark suite for the metaverse",
MLSys 2023, and its public software.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple, final

from hwmodels.errors import InvalidWorkload

__all__ = ["Frame", "NetworkScore", "ScenarioNetwork", "Score", "run", "score"]

_FINISH_MARGIN_MS = 0.01
_REALTIME_SLOPE_PER_MS = 15.0
_MAX_ENERGY_MJ = 1500.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioNetwork:
    """One network of a scenario.

    `latency_ms` and `energy_mj` are per engine; `skipped` are the frames that the draw of its probability left out.
    """

    name: str
    fps: int
    latency_ms: tuple[float, ...]
    energy_mj: tuple[float, ...]
    parent: str | None = None
    skipped: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= 1000:
            raise InvalidWorkload("fps", "between 1 and 1000", self.fps)
        if not self.latency_ms or len(self.latency_ms) != len(self.energy_mj) or not min(self.latency_ms) > 0:
            raise InvalidWorkload("latency_ms", "positive for every engine, with as many energies", self.latency_ms)

    @property
    def interval_ms(self) -> int:
        return 1000 // self.fps


class Frame(NamedTuple):
    """A frame that ran; a dropped one has engine -1 and no times beyond its deadline."""

    network: str
    frame: int
    engine: int
    inject_ms: float
    dispatch_ms: float
    deadline_ms: float
    completion_ms: float
    energy_mj: float


class NetworkScore(NamedTuple):
    """Real-time and energy score are means over completed frames; 0 if there is none."""

    completed: int
    dropped: int
    realtime: float
    energy: float
    ux: float
    overall: float


class Score(NamedTuple):
    overall: float
    networks: dict[str, NetworkScore]


@dataclass(slots=True)
class _State:
    """What a network has going on."""

    upcoming: int = 0
    completed: int = 0
    # (frame, injected, deadline), oldest first
    waiting: list[tuple[int, float, float]] = field(default_factory=list)


def _check(networks: list[ScenarioNetwork]) -> None:
    names = [network.name for network in networks]
    if not names or len(set(names)) < len(names):
        raise InvalidWorkload("networks", "at least one, each name once", names)
    for network in networks:
        if network.parent is not None and network.parent not in names:
            raise InvalidWorkload("parent", f"a network of the scenario ({', '.join(names)})", network.parent)
        if len(network.latency_ms) != len(networks[0].latency_ms):
            raise InvalidWorkload("latency_ms", "given for the same engines in every network", network.name)


def run(networks: list[ScenarioNetwork], *, duration_ms: int = 700) -> tuple[list[Frame], list[Frame]]:
    """Run a scenario.

    Parameters
    ----------
    networks : in any order
    duration_ms : every network has `duration // interval` frames [ms]

    Returns
    -------
    completed, dropped : frames, the completed ones in the order of their dispatch
    """
    _check(networks)
    ordered = sorted(networks, key=lambda network: network.name)
    state = {network.name: _State() for network in ordered}
    frames = {network.name: duration_ms // network.interval_ms for network in ordered}
    tick = 1000 // max(network.fps for network in ordered)
    # Running frame of every engine, with its place in the order of dispatch.
    running: list[tuple[Frame, int] | None] = [None] * len(ordered[0].latency_ms)
    completed: list[tuple[int, Frame]] = []
    dropped: list[Frame] = []
    now, ticks, dispatched = 0.0, 0, 0
    while True:
        for network in ordered:
            _inject(network, state[network.name], frames[network.name], now)
        for engine, busy in enumerate(running):
            if busy is not None and busy[0].completion_ms <= now + _FINISH_MARGIN_MS:
                completed.append((busy[1], busy[0]))
                state[busy[0].network].completed += 1
                running[engine] = None
        for network in ordered:
            waiting = state[network.name].waiting
            while network.parent is None and waiting and waiting[0][2] < now:
                frame, inject, deadline = waiting.pop(0)
                dropped.append(Frame(network.name, frame, -1, inject, math.nan, deadline, math.nan, 0.0))
        moved = True
        while moved:
            moved = False
            for network in ordered:
                started = _start(network, state, running, now, dispatched)
                dispatched += started
                moved = moved or started
        if all(state[name].upcoming >= frames[name] for name in frames):
            return [frame for _, frame in sorted(completed, key=lambda item: item[0])], dropped
        while ticks * tick <= now:
            ticks += 1
        now = min([float(ticks * tick)] + [busy[0].completion_ms for busy in running if busy is not None])


def _inject(network: ScenarioNetwork, state: _State, frames: int, now: float) -> None:
    frame = state.upcoming
    if frame < frames and network.interval_ms * frame <= now:
        state.upcoming += 1
        if frame not in network.skipped:
            state.waiting.append((frame, now, float(network.interval_ms * (frame + 1))))


def _start(
    network: ScenarioNetwork,
    state: dict[str, _State],
    running: list[tuple[Frame, int] | None],
    now: float,
    order: int,
) -> bool:
    """Start the oldest frame of a network on the idle engine that is fastest for it, if it may."""
    waiting = state[network.name].waiting
    idle = [engine for engine, busy in enumerate(running) if busy is None]
    if not waiting or not idle:
        return False
    frame, inject, deadline = waiting[0]
    if network.parent is not None and state[network.parent].completed < frame + 1:
        return False
    engine = min(idle, key=lambda i: (network.latency_ms[i], i))
    waiting.pop(0)
    end = now + network.latency_ms[engine]
    running[engine] = Frame(network.name, frame, engine, inject, now, deadline, end, network.energy_mj[engine]), order
    return True


def score(completed: list[Frame], dropped: list[Frame]) -> Score:
    """Score of a run, 0 to 100, and of each of its networks."""
    names = sorted({frame.network for frame in (*completed, *dropped)})
    networks = {name: _network_score(name, completed, dropped) for name in names}
    mean = sum(found.overall for found in networks.values()) / len(networks) if networks else 0.0
    return Score(100 * mean, networks)


def _realtime(frame: Frame) -> float:
    late = _REALTIME_SLOPE_PER_MS * (frame.completion_ms - frame.deadline_ms)
    # Beyond this the logistic function is 0 and the exponential overflows.
    return 0.0 if late > 700 else 1 / (1 + math.exp(late))


def _network_score(name: str, completed: list[Frame], dropped: list[Frame]) -> NetworkScore:
    done = [frame for frame in completed if frame.network == name]
    lost = sum(frame.network == name for frame in dropped)
    if not done:
        return NetworkScore(0, lost, 0.0, 0.0, 0.0, 0.0)
    realtime = [_realtime(frame) for frame in done]
    energy = [(_MAX_ENERGY_MJ - frame.energy_mj) / _MAX_ENERGY_MJ for frame in done]
    total = len(done) + lost
    ux = len(done) / total
    overall = sum(r * e for r, e in zip(realtime, energy, strict=True)) / total * ux
    return NetworkScore(len(done), lost, sum(realtime) / len(done), sum(energy) / len(done), ux, overall)
