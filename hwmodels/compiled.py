"""How the event loops are compiled.

What they take in is of one type each, so that a loop is compiled once: columns as `column` makes them, policies behind
first-class functions of one signature.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

__all__ = ["column", "merged", "part"]

part = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Compiles a piece of a loop that only compiled code calls: without the code that would unpack its arguments, and
without a file of its own in the cache."""

merged = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, inline="always")
"""As `part`, for short pieces that take arrays and are called often: they become part of their caller, because a call
counts references to every array."""


def column(values: NDArray[Any], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """An array as the loops take it, copied only if it is of another type, not contiguous, or read-only."""
    return np.require(values, dtype, ("C", "A", "W"))
