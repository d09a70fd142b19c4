"""The decision graph of a space: one level per parameter, one node per distinguishable past.

Two partial assignments lead to the same node when they satisfy the same pending conditions and match the same
unfinished forbidden clauses; nothing else can matter later. So points are counted, numbered and sampled by walking one
node per parameter, whatever the number of points, and a walk never ends in a dead end: edges without any valid
completion are left out.

The size of the graph depends on how many clauses overlap in the order of the parameters, not on the domains.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

__all__ = ["INACTIVE", "Level", "Node", "build"]

INACTIVE = -1
"""Code of a parameter that is switched off."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One parameter, its links to the others written in codes.

    Parameters
    ----------
    n : number of values; None for a continuous one, which counts as a single value.
    needs : conditions that must all hold for the parameter to be active.
    enables : condition -> the codes that satisfy it.
    clauses : clause -> the codes that match it.
    opens, closes : clauses that mention no earlier, no later parameter.
    """

    n: int | None
    needs: frozenset[int]
    enables: Mapping[int, frozenset[int]]
    clauses: Mapping[int, frozenset[int]]
    opens: frozenset[int]
    closes: frozenset[int]


@final
class Node:
    """What can follow one class of partial assignments.

    Attributes
    ----------
    count : valid completions below (continuous parameters count as one value).
    skip : next node when the parameter is inactive here, else None.
    special : codes that conditions or clauses tell apart -> next node, None where no valid completion exists.
    default : next node of all the other codes.
    """

    __slots__ = ("count", "default", "level", "n", "skip", "special")

    def __init__(self, level: int, n: int | None, special: dict[int, "Node | None"], default: "Node | None",
                 skip: "Node | None", count: int) -> None:
        self.level, self.n, self.special, self.default, self.skip, self.count = level, n, special, default, skip, count

    def step(self, code: int) -> "Node | None":
        """The next node, or None when the code leads to no valid point."""
        if code >= 0:
            return self.special.get(code, self.default) if self.skip is None else None
        return self.skip

    @property
    def permitted(self) -> int:
        """Number of codes with a valid completion."""
        if self.n is None or self.skip is not None:
            return 1
        alive = sum(node is not None for node in self.special.values())
        return alive + (self.n - len(self.special) if self.default is not None else 0)

    def nth(self, k: int) -> int:
        """The k-th permitted code."""
        if self.default is None:
            return [code for code in sorted(self.special) if self.special[code] is not None][k]
        for code in sorted(self.special):
            if self.special[code] is None and code <= k:
                k += 1
        return k

    def codes(self) -> Iterator[int]:
        """Permitted codes of an enumerable parameter, ascending."""
        if self.skip is not None:
            yield INACTIVE
            return
        for code in range(self.n or 1):
            if self.special.get(code, self.default) is not None:
                yield code

    def unrank(self, index: int) -> tuple[int, "Node", int]:
        """(code, next node, index below it) of the index-th completion, codes ascending; 0 <= index < count."""
        if self.skip is not None:
            return INACTIVE, self.skip, index
        at = 0  # first code not yet passed
        each = self.default.count if self.default is not None else 0
        for code in sorted(self.special):
            run = (code - at) * each
            if index < run:
                break
            index -= run
            node = self.special[code]
            if node is not None:
                if index < node.count:
                    return code, node, index
                index -= node.count
            at = code + 1
        assert self.default is not None
        return at + index // each, self.default, index % each


def build(levels: Sequence[Level]) -> Node:
    """Root of the graph; its `count` is 0 when no point is valid."""
    end = Node(len(levels), None, {}, None, None, 1)
    known: dict[tuple[int, frozenset[int], frozenset[int]], Node] = {}
    # conditions needed from a level on: what is not needed any more is forgotten, so that nodes merge
    later: list[frozenset[int]] = [frozenset()] * (len(levels) + 1)
    for i in range(len(levels) - 1, -1, -1):
        later[i] = later[i + 1] | levels[i].needs

    def node(i: int, holds: frozenset[int], matched: frozenset[int]) -> Node:
        if i == len(levels):
            return end
        key = (i, holds, matched)
        if key not in known:
            known[key] = expand(i, holds, matched)
        return known[key]

    def follow(i: int, holds: frozenset[int], matched: frozenset[int], code: int) -> Node | None:
        level = levels[i]
        still = set(matched - level.clauses.keys())
        for clause, codes in level.clauses.items():
            if code in codes and (clause in matched or clause in level.opens):
                if clause in level.closes:
                    return None
                still.add(clause)
        now = holds | {condition for condition, codes in level.enables.items() if code in codes}
        below = node(i + 1, now & later[i + 1], frozenset(still))
        return below if below.count else None

    def expand(i: int, holds: frozenset[int], matched: frozenset[int]) -> Node:
        level = levels[i]
        if not level.needs <= holds:
            below = follow(i, holds, matched, INACTIVE)
            return Node(i, level.n, {}, None, below, below.count if below else 0)
        told_apart = sorted(frozenset().union(*level.enables.values(), *level.clauses.values()))
        special = {code: follow(i, holds, matched, code) for code in told_apart}
        others = 1 if level.n is None else level.n - len(special)
        # -2 is no code at all: it satisfies no condition and matches no clause, like every other value
        default = follow(i, holds, matched, -2) if others else None
        count = sum(below.count for below in special.values() if below) + others * (default.count if default else 0)
        return Node(i, level.n, special, default, None, count)

    return node(0, frozenset(), frozenset())
