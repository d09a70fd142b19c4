"""Blocks of designs that share all bounds: one hardware and one scheduler block, any policy.

    Space --split--> hardware parameters first, policy and scheduler last
    hardware --Blocks--> groups of designs with the same `SchedulerBlock`

A design's number is its position in the space so ordered.
"""

from collections.abc import Iterator
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from hwmodels.area import SchedulerBlock
from hwmodels.scheduling import block_of
from spaces.designs import PARAMETERS, chip_key, policy_params
from spaces.graph import INACTIVE, Node
from spaces.space import Params, Space

__all__ = ["Blocks", "Group", "hardware_first", "is_hardware"]

Floats = NDArray[np.float64]


def is_hardware(name: str) -> bool:
    """Whether a parameter of the space describes hardware (not the policy, its parameters or who runs it)."""
    return name in PARAMETERS and name not in ("policy", "scheduler")


def hardware_first(space: Space) -> Space:
    """The same points with the hardware parameters first; design numbers are positions in this one."""
    names = [*filter(is_hardware, space.names), *(name for name in space.names if not is_hardware(name))]
    return Space({name: space.domains[name] for name in names}, space.conditions, space.forbidden)


class Group(NamedTuple):
    """Designs of one hardware with the same scheduler block."""

    block: SchedulerBlock
    offsets: tuple[int, ...]
    """Design number - number of the first design of the hardware."""


@final
class Blocks:
    """Every hardware of a space, and its groups of designs.

    Attributes
    ----------
    codes : (H, hardware parameters) codes of every hardware.
    first : (H,) number of its first design.
    hardware : (B,) hardware of every block.
    """

    def __init__(self, space: Space) -> None:
        self.space = hardware_first(space)
        self.depth = sum(map(is_hardware, self.space.names))
        rows, first, nodes = [], [], []
        at = 0
        for codes, node in self._prefixes():
            rows.append(codes)
            first.append(at)
            nodes.append(node)
            at += node.count
        self.size = at
        self.codes = np.array(rows, dtype=np.int32)
        self.first = np.array(first, dtype=np.int64)
        self._nodes = nodes
        at_node = self.space.names.index("node_nm")
        self._node_nm = [int(self.space.domains["node_nm"].value(code)) for code in self.codes[:, at_node].tolist()]
        self._tails: dict[int, tuple[Params, ...]] = {}
        self._groups: dict[tuple[int, int], tuple[Group, ...]] = {}
        counts = [len(self.groups(h)) for h in range(len(rows))]
        self.hardware = np.repeat(np.arange(len(rows)), counts)
        self.first_block = np.concatenate([[0], np.cumsum(counts)])

    def _prefixes(self) -> Iterator[tuple[tuple[int, ...], Node]]:
        """Codes of the hardware parameters, and the node that says what can follow."""
        stack: list[tuple[tuple[int, ...], Node]] = [((), self.space._root)]
        while stack:
            codes, node = stack.pop()
            if len(codes) == self.depth:
                yield codes, node
                continue
            for code in reversed(list(node.codes())):
                below = node.step(code)
                assert below is not None
                stack.append(((*codes, code), below))

    def same(self) -> NDArray[np.int64]:
        """Of every block the first one of the same chip and scheduler, (B,): its designs have the same metrics, one by
        one."""
        first: dict[tuple[object, ...], int] = {}
        found = np.arange(len(self.hardware))
        for h in range(len(self.first)):
            other = first.setdefault((id(self._nodes[h]), *chip_key(self.params(h))), h)
            if other != h:
                found[self.first_block[h]:self.first_block[h + 1]] -= self.first_block[h] - self.first_block[other]
        return found

    def params(self, h: int) -> Params:
        """Hardware parameters."""
        codes = [*self.codes[h].tolist(), *[INACTIVE] * (len(self.space.names) - self.depth)]
        return self.space.decode(codes)

    def tails(self, h: int) -> tuple[Params, ...]:
        """Policy, scheduler and parameters of every design of a hardware, in the order of their numbers."""
        node = self._nodes[h]
        if id(node) not in self._tails:
            prefix = [INACTIVE] * self.depth
            found = []
            for number in range(node.count):
                codes, at, left = [], node, number
                for _ in range(len(self.space.names) - self.depth):
                    code, at, left = at.unrank(left)
                    codes.append(code)
                found.append(self.space.decode([*prefix, *codes]))
            self._tails[id(node)] = tuple(found)
        return self._tails[id(node)]

    def groups(self, h: int) -> tuple[Group, ...]:
        """Groups of a hardware, by their first design."""
        node_nm = self._node_nm[h]
        key = (id(self._nodes[h]), node_nm)
        if key not in self._groups:
            of: dict[SchedulerBlock, list[int]] = {}
            for offset, tail in enumerate(self.tails(h)):
                policy = str(tail["policy"])
                block = block_of(str(tail["scheduler"]), policy, policy_params(tail), node_nm)
                of.setdefault(block, []).append(offset)
            self._groups[key] = tuple(Group(block, tuple(offsets)) for block, offsets in of.items())
        return self._groups[key]

    def group(self, b: int) -> Group:
        h = int(self.hardware[b])
        return self.groups(h)[b - int(self.first_block[h])]

    def design(self, number: int) -> Params:
        """Parameters of a design by its number, in the order of the study's space."""
        return self.space.at(number)
