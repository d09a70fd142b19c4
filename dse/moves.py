"""New candidates from known points, many at once: steps, jumps and crossovers on a matrix of codes."""

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from spaces.domains import Real
from spaces.graph import INACTIVE
from spaces.space import Space

__all__ = ["Moves"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_MOST_STEPS = 150  # that are taken in pairs
_STEP_FRAC = 0.75  # of the moves of an ordered parameter: one value up or down; the rest go anywhere


@final
class Moves:
    """Variation of points of a space; all randomness comes from `rng`."""

    def __init__(self, space: Space, rng: np.random.Generator) -> None:
        self._space, self._rng = space, rng
        domains = list(space.domains.values())
        self._reals = [(i, domain) for i, domain in enumerate(domains) if isinstance(domain, Real)]
        self._size = np.array([1 if isinstance(domain, Real) else int(domain.n) for domain in domains])
        self._moving = np.array([domain.n > 1 for domain in domains])
        self._ordered = np.array([domain.ordered for domain in domains])

    def children(self, first: Codes, second: Codes) -> list[tuple[int, ...]]:
        """A valid point from each row of `first`, sometimes crossed with its row of `second`; may repeat."""
        rng, rows = self._rng, len(first)
        kind = rng.random(rows)
        crossed = kind >= 0.65
        take = (rng.random(first.shape) < 0.5) & crossed[:, None] & (second != INACTIVE)
        moves = np.where(crossed, rng.integers(0, 2, rows), np.where(kind < 0.5, 1, rng.integers(2, 5, rows)))
        wanted = self._mutated(np.where(take, second, first), moves)
        valid = self._space.valid_codes(wanted)
        return [(*codes,) if good else self._space.repair_codes(codes, rng)
                for codes, good in zip(wanted.tolist(), valid.tolist(), strict=True)]

    def pairs(self, codes: Sequence[int]) -> Codes:
        """Valid points two steps away, of two parameters that are active, in random order, (n, parameters): all of
        them, or of `_MOST_STEPS` steps where there are more (a parameter with many unordered values)."""
        steps = [(i, code) for i, name in enumerate(self._space.names) if codes[i] != INACTIVE
                 for code in self._space.steps(name, codes[i])]
        if len(steps) > _MOST_STEPS:
            steps = [steps[i] for i in np.sort(self._rng.choice(len(steps), _MOST_STEPS, replace=False))]
        first, second = np.triu_indices(len(steps), 1)
        column, code = np.array(steps, dtype=np.int64).reshape(-1, 2).T
        two = column[first] != column[second]
        first, second = first[two], second[two]
        found, rows = np.tile(np.array(codes, dtype=np.int64), (len(first), 1)), np.arange(len(first))
        found[rows, column[first]] = code[first]
        found[rows, column[second]] = code[second]
        return self._rng.permutation(found[self._space.valid_codes(found)])

    def _mutated(self, codes: Codes, moves: NDArray[np.int64]) -> Codes:
        """Change as many active parameters of each row."""
        rng = self._rng
        active = self._moving & (codes != INACTIVE)
        order = np.argsort(np.where(active, rng.random(codes.shape), 2.0), axis=1)
        count = np.minimum(moves, active.sum(axis=1))
        out = codes.copy()
        for j in range(int(count.max(initial=0))):
            rows = np.flatnonzero(count > j)
            columns = order[rows, j]
            old, size = codes[rows, columns], self._size[columns]
            up = np.where(rng.random(len(rows)) < 0.5, 1, -1)
            stepped = np.where((old + up < 0) | (old + up >= size), old - up, old + up)
            jump = (old + 1 + (rng.random(len(rows)) * (size - 1)).astype(np.int64)) % size
            step = self._ordered[columns] & (rng.random(len(rows)) < _STEP_FRAC)
            out[rows, columns] = np.where(step, stepped, jump)
            for column, domain in self._reals:
                for row in rows[columns == column]:
                    at = domain.frac(domain.value(int(codes[row, column]))) + 0.1 * rng.standard_normal()
                    out[row, column] = domain.code(domain.at(min(max(at, 0.0), 1.0)))
        return out
