"""Fronts, hypervolume, knee and thinning against hand-made sets and brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dse.pareto import front_indices, hypervolume, knee, reference_point, thin

POINTS = arrays(np.float64, st.tuples(st.integers(0, 30), st.just(3)), elements=st.integers(0, 6).map(float))


def test_by_hand():
    values = np.array([[1.0, 4.0], [2.0, 2.0], [4.0, 1.0], [3.0, 3.0], [2.0, 2.0], [4.0, 4.0]])
    assert front_indices(values) == [0, 1, 2]  # of the two equal points the first
    # with reference (5, 5): 4 x 1 + 3 x 2 + 1 x 1 = 11 of 25
    assert hypervolume(values, np.array([5.0, 5.0])) == pytest.approx(11 / 25)
    assert hypervolume(np.array([[5.0, 1.0], [6.0, 0.0]]), np.array([5.0, 5.0])) == 0.0
    assert knee(values[[0, 1, 2]]) == 1
    assert list(reference_point(values, [None, 3.5])) == [4.0, 3.5]


def test_nothing():
    none = np.empty((0, 2))
    assert front_indices(none) == []
    assert hypervolume(none, np.array([1.0, 1.0])) == 0.0
    assert np.isnan(reference_point(none, [None, 3.5])[0])


@given(POINTS)
def test_front_is_what_brute_force_says(values):
    def dominated(i):
        return any((values[j] <= values[i]).all() and (values[j] < values[i]).any() for j in range(len(values)))

    front = front_indices(values)
    expected = {tuple(values[i]) for i in range(len(values)) if not dominated(i)}
    assert {tuple(values[i]) for i in front} == expected
    assert len(front) == len(expected)


@given(POINTS, st.permutations(range(30)))
def test_hypervolume_needs_the_front_only_and_no_order(values, order):
    reference = np.array([7.0, 6.0, 5.0])
    all_of_it = hypervolume(values, reference)
    assert hypervolume(values[front_indices(values)], reference) == pytest.approx(all_of_it)
    assert hypervolume(values[[i for i in order if i < len(values)]], reference) == pytest.approx(all_of_it)
    assert 0.0 <= all_of_it <= 1.0 + 1e-12
    if len(values):
        assert hypervolume(values[:-1], reference) <= all_of_it + 1e-12


@given(POINTS, st.integers(1, 12))
def test_thinned_fronts(values, n):
    front = values[front_indices(values)]
    chosen = thin(front, n)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(n, len(front))
    if len(front) and n >= 4:
        assert set(front[chosen].min(axis=0)) == set(front.min(axis=0))
