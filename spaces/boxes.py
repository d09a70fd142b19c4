"""Boxes: all points of a space whose codes lie between two corners.

A box holds, for every parameter, the codes from `low` to `high`, both included. A parameter that is switched off counts
as its first code. Conditions and forbidden clauses are those of the space: what a box holds are the valid points in it.
Cutting a box in two along a parameter leaves no point out and none in both.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np

from spaces.domains import Choice, Domain, PowersOfTwo, Range, Real, Value
from spaces.graph import INACTIVE, Node
from spaces.space import Space

__all__ = ["Box", "Inside", "cut_of", "ends_of", "halves", "last_code", "whole"]

_NARROW = 1e-7
"""A continuous parameter is not cut below this share of its domain."""
_POINT = 1e-15
"""Share of a continuous domain that a single value counts as: no box with a point in it is empty."""


class Box(NamedTuple):
    """First and last code of every parameter of the space, in its order."""

    low: tuple[int, ...]
    high: tuple[int, ...]


def last_code(domain: Domain) -> int:
    """The largest code."""
    return domain.code(domain.high) if isinstance(domain, Real) else int(domain.n) - 1


def whole(space: Space) -> Box:
    """The box of all points."""
    return Box((0,) * len(space.names), tuple(map(last_code, space.domains.values())))


def halves(box: Box, parameter: int, cut: int) -> tuple[Box, Box]:
    """The codes up to `cut` of a parameter (by its position), and those after it."""
    low, high = list(box.low), list(box.high)
    low[parameter], high[parameter] = cut + 1, cut
    return Box(box.low, tuple(high)), Box(tuple(low), box.high)


def ends_of(domain: Domain, low: int, high: int) -> tuple[Value, ...]:
    """All values of a list between two codes; else the first and the last."""
    if isinstance(domain, Choice):
        return domain.values[low:high + 1]
    return domain.value(low), domain.value(high)


def cut_of(domain: Domain, low: int, high: int) -> int | None:
    """Where to cut a range of codes: at the geometric middle of positive numbers, else at the middle code.

    None where there is nothing left to cut.
    """
    if low >= high:
        return None
    if isinstance(domain, Real):
        first, last = domain.frac(domain.value(low)), domain.frac(domain.value(high))
        if last - first < _NARROW:
            return None
        cut = domain.code(domain.at(0.5 * (first + last)))
    elif isinstance(domain, Range | Choice) and domain.ordered and float(domain.value(low)) > 0.0:
        middle = math.sqrt(float(domain.value(low)) * float(domain.value(high)))
        if isinstance(domain, Range):
            cut = int((middle - domain.low) / domain.step)
        else:
            cut = max(code for code in range(low, high) if code == low or float(domain.value(code)) <= middle)
    else:
        assert isinstance(domain, Choice | Range | PowersOfTwo)
        cut = (low + high) // 2
    return min(max(cut, low), high - 1)


@final
class Inside:
    """The valid points in a box.

    Attributes
    ----------
    size : how many; a continuous parameter counts as the share of its (logarithmic) interval that the box has.
    share : chance that `Space.sample` gives one of them [-].
    active : positions of the parameters that some of them have.
    """

    def __init__(self, space: Space, box: Box) -> None:
        self._space, self._box = space, box
        self._domains = list(space.domains.values())
        self._known: dict[Node, float] = {}
        found: set[int] = set()
        self.size = self._size(space._root, found)
        self.share = self.size / space._root.count
        self.active = frozenset(found)

    def _size(self, node: Node, active: set[int]) -> float:
        level = node.level
        if level == len(self._domains):
            return 1
        if node in self._known:
            return self._known[node]
        if node.skip is not None:
            size = self._size(node.skip, active) if self._box.low[level] == 0 else 0
        else:
            size = sum(count * self._size(below, active) for _, count, below in self._branches(node))
            if size:
                active.add(level)
        self._known[node] = size
        return size

    def _branches(self, node: Node) -> list[tuple[int, float, Node]]:
        """(code, how many, next node): codes that something tells apart, then all others together (code -1)."""
        level = node.level
        domain, low, high = self._domains[level], self._box.low[level], self._box.high[level]
        if isinstance(domain, Real):
            everything = low == 0 and high == last_code(domain)
            width = 1.0 if everything else domain.frac(domain.value(high)) - domain.frac(domain.value(low))
            return [(INACTIVE, max(width, _POINT), node.default)] if node.default is not None else []
        apart = [code for code in node.special if low <= code <= high]
        found: list[tuple[int, float, Node]] = [(code, 1, below) for code in apart
                                                if (below := node.special[code]) is not None]
        others = high - low + 1 - len(apart)
        if others and node.default is not None:
            found.append((INACTIVE, others, node.default))
        return found

    def draw(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Codes of a point, uniform over those in the box; there must be one."""
        codes, node = [], self._space._root
        for level, domain in enumerate(self._domains):
            if node.skip is not None:
                codes.append(INACTIVE)
                node = node.skip
                continue
            branches = self._branches(node)
            weights = [count * self._size(below, set()) for _, count, below in branches]
            code, _, below = branches[_chosen(weights, rng)]
            if code == INACTIVE:
                code = self._other(node, domain, self._box.low[level], self._box.high[level], rng)
            codes.append(code)
            node = below
        return tuple(codes)

    def _other(self, node: Node, domain: Domain, low: int, high: int, rng: np.random.Generator) -> int:
        """A code of the box that nothing tells apart."""
        if isinstance(domain, Real):
            first, last = domain.frac(domain.value(low)), domain.frac(domain.value(high))
            return min(max(domain.code(domain.at(first + (last - first) * rng.random())), low), high)
        if high - low < 4 * len(node.special):
            left = [code for code in range(low, high + 1) if code not in node.special]
            return left[int(rng.integers(len(left)))]
        while True:  # a draw succeeds three times out of four
            code = int(rng.integers(low, high + 1))
            if code not in node.special:
                return code


def _chosen(weights: Sequence[float], rng: np.random.Generator) -> int:
    at = rng.random() * sum(weights)
    for index, weight in enumerate(weights):
        at -= weight
        if at < 0.0:
            return index
    return max(index for index, weight in enumerate(weights) if weight)
