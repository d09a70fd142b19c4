"""Boxes: counting, cutting and drawing, against enumeration."""

import numpy as np
import pytest

from spaces.boxes import Box, Inside, cut_of, ends_of, halves, last_code, whole
from spaces.domains import Choice, PowersOfTwo, Range, Real
from spaces.space import Condition, Space

SPACE = Space(
    {"kind": Choice(("a", "b", "c")), "size": Range(4, 40, 4), "port": PowersOfTwo(1, 16), "extra": Choice((3, 1, 2)),
     "flag": Choice((True, False))},
    conditions=[Condition("extra", "kind", ("a", "c"))],
    forbidden=[{"kind": "b", "size": (8, 12)}, {"extra": 1, "flag": True}, {"port": 16, "size": 40}])
CONTINUOUS = Space({"kind": Choice(("a", "b")), "rate": Real(1.0, 100.0, log=True), "only": Real(-1.0, 1.0)},
                   conditions=[Condition("only", "kind", ("b",))])


def random_box(rng: np.random.Generator) -> Box:
    ends = [sorted(rng.integers(0, last_code(domain) + 1, size=2).tolist()) for domain in SPACE.domains.values()]
    return Box(tuple(low for low, _ in ends), tuple(high for _, high in ends))


def inside(codes: tuple[int, ...], box: Box) -> bool:
    return all(low <= max(code, 0) <= high for code, low, high in zip(codes, *box, strict=True))


def test_sizes_are_those_of_enumeration() -> None:
    rng = np.random.default_rng(0)
    every = list(SPACE.enumerate_codes())
    empty = 0
    for _ in range(100):
        box = random_box(rng)
        mine = [codes for codes in every if inside(codes, box)]
        found = Inside(SPACE, box)
        assert found.size == len(mine)
        assert found.share == len(mine) / len(every)
        assert found.active == {i for codes in mine for i, code in enumerate(codes) if code >= 0}
        empty += not mine
        if mine:
            drawn = {found.draw(rng) for _ in range(30)}
            assert drawn <= set(mine)
            assert len(drawn) > 1 or len(mine) == 1
    assert 0 < empty < 50


def test_cutting_leaves_no_point_out_and_none_in_both() -> None:
    rng = np.random.default_rng(1)
    for space in (SPACE, CONTINUOUS):
        boxes = [whole(space)]
        for _ in range(200):
            box = boxes.pop(int(rng.integers(len(boxes))))
            i = int(rng.integers(len(space.names)))
            cut = cut_of(list(space.domains.values())[i], box.low[i], box.high[i])
            boxes += [box] if cut is None else halves(box, i, cut)
        assert sum(Inside(space, box).share for box in boxes) == pytest.approx(1.0, abs=1e-12)
        for _ in range(50):
            codes = space.sample_codes(rng)
            assert sum(inside(codes, box) for box in boxes) == 1


def test_drawn_points_are_spread_like_the_sizes() -> None:
    rng = np.random.default_rng(2)
    box = Box((0, 3, 0, 0, 0), (2, 9, 3, 2, 1))
    found = Inside(SPACE, box)
    kinds = np.array([found.draw(rng)[0] for _ in range(3000)])
    every = [codes[0] for codes in SPACE.enumerate_codes() if inside(codes, box)]
    expected = np.bincount(every, minlength=3) / len(every)
    assert np.bincount(kinds, minlength=3) / 3000 == pytest.approx(expected, abs=0.05)


def test_cuts() -> None:
    assert cut_of(Range(1, 64), 0, 63) == 7  # 8 of 1..64
    assert cut_of(Choice((8, 16, 1024)), 0, 2) == 1
    assert cut_of(Choice(("ws", "os", "is")), 0, 2) == 1
    assert cut_of(PowersOfTwo(1, 8), 1, 1) is None
    rate = Real(1.0, 100.0, log=True)
    cut = cut_of(rate, 0, last_code(rate))
    assert cut is not None
    assert rate.value(cut) == pytest.approx(10.0)
    assert cut_of(rate, cut, cut + 5) is None
    assert ends_of(Choice((3, 1, 2)), 0, 1) == (3, 1)
    assert ends_of(Range(4, 40, 4), 1, 3) == (8, 16)
