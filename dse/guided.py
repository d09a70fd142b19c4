"""The samplers `guided` and `archive`: where would one more design add most to the front?

1. `archive` starts with points spread over the space (permuted Halton); `guided` has an estimate of every design
   (`dse.estimate`) and starts from the front that it predicts.
2. Then there are several ways to propose, each in batches: what a stock of candidates (`dse.stock`) expects to add most
   hypervolume, with estimates and without them, and moves around the front that no prediction has sorted out. They
   are told all results alike. Each gets a share of the batches by how many of its late proposals joined the front:
   where estimates mislead, or predictions do, the others take over.
3. A few proposals come from anywhere in the space.
4. Batches grow longer with the run, so that a trial stays cheap.

References
----------
L. Paquete, M. Chiarandini, T. Stuetzle, 2004, doi:10.1007/978-3-642-17144-4_7 (moves around all of a front).
A. Fialho et al., PPSN 2008, doi:10.1007/978-3-540-87700-4_18 (shares of operators by what they gained lately).
"""

from collections.abc import Callable, Sequence
from typing import final

import numpy as np

from dse.estimate import Estimate
from dse.moves import Moves
from dse.points import Codes, HaltonPoints, PointSampler
from dse.stock import History, Stock
from spaces.space import Space

__all__ = ["GuidedSampler"]

_BATCH = 4  # proposals at once, at first
_BATCH_FRAC = 0.02  # of the results so far: later ones change less
_RANDOM_FRAC = 0.02  # proposals from the whole space: keeps every region reachable
_LEAST = 0.05  # share of a way to propose, however it fares
_MEMORY = 50  # late proposals that count
_FIRST = 1.0, 0.02  # what the first way and the others are thought to gain before they were tried


@final
class _Way:
    """A way to propose: `choose(most)` gives points, the best first; `gain` is the share of them that joined the
    front lately."""

    def __init__(self, choose: Callable[[int], list[Codes]], gain: float) -> None:
        self.choose, self.gain = choose, gain

    def learn(self, joined: bool) -> None:
        self.gain += (joined - self.gain) / _MEMORY


@final
class GuidedSampler(PointSampler):
    """See the module.

    Parameters
    ----------
    estimate : of the study; None where there is none.
    """

    def __init__(self, space: Space, seed: int, estimate: Estimate | None = None) -> None:
        super().__init__(space, seed)
        self._history = History()
        self._moves = Moves(space, self.rng)
        self._initial = HaltonPoints(space, seed)
        self._pending: dict[Codes, np.ndarray] = {}
        stocks = [Stock(space, self.rng, self._history, self.seen, self._pending, one)
                  for one in ([estimate, None] if estimate is not None else [None])]
        choose = [*(stock.choose for stock in stocks), self._near]
        self._ways = [_Way(one, _FIRST[min(i, 1)]) for i, one in enumerate(choose)]
        self._origin: dict[Codes, _Way] = {}
        self._queue: list[tuple[Codes, _Way]] = []

    def learn(self, codes: Codes, values: Sequence[float] | None, constraints: dict[str, float]) -> None:
        self._pending.pop(codes, None)
        way = self._origin.pop(codes, None)
        joined = values is not None and self._history.add(codes, values, constraints)
        if way is not None:
            way.learn(joined)

    def propose(self) -> Sequence[int]:
        while self._queue and self._queue[-1][0] in self.seen:  # by another driver
            self._queue.pop()
        if not self._queue and not self._refill():
            return self.space.spread_codes(self._initial.coordinates())
        if not self._queue or self.rng.random() < _RANDOM_FRAC:
            return self.space.sample_evenly_codes(self.rng)
        codes, way = self._queue.pop()
        self._origin[codes] = way
        return codes

    def _refill(self) -> bool:
        """Whether there is enough known to choose a batch."""
        most = max(_BATCH, int(_BATCH_FRAC * len(self._history.codes)))
        gains = np.array([way.gain for way in self._ways])
        shares = _LEAST + (1.0 - _LEAST * len(gains)) * gains / max(gains.sum(), 1e-9)
        first = int(self.rng.choice(len(shares), p=shares / shares.sum()))
        for way in (self._ways[first], *self._ways):
            if chosen := way.choose(most):
                self._queue = [(codes, way) for codes in reversed(chosen)]
                return True
        return self._history.scale is not None

    def _near(self, most: int) -> list[Codes]:
        """New points around the front: what a wrong prediction would keep out for ever."""
        front = self._history.front()
        if self._history.scale is None or not len(front):
            return []
        first, second = self.rng.integers(len(front), size=(2, 2 * most))
        around = dict.fromkeys(self._moves.children(front[first], front[second]))
        return [codes for codes in around if codes not in self.seen][:most]
