"""How the event loops are compiled.

What they take in is of one type each, so that a loop is compiled once: columns as `column` makes them, policies behind
first-class functions of one signature. numba keeps what it compiled on disk, and compiles a loop anew when the loop's
own file changes, but not when a piece that went into it does: `drop_stale` sees to that.
"""

import contextlib
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np
from numba import njit, types
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.experimental import function_type  # noqa: F401 (tells numba the type of a first-class function)
from numba.extending import typeof_impl
from numpy.typing import DTypeLike, NDArray

__all__ = ["Pointer", "column", "drop_stale", "loop", "merged", "part", "piece"]

part = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Compiles a piece of a loop that only compiled code calls: without the code that would unpack its arguments, and
without a file of its own in the cache."""

loop = njit(cache=True, error_model="numpy", _nrt=False)
"""Compiles an event loop: it makes no arrays, those that it needs are given to it. So it counts no references to them,
which costs more than what a short decision does."""

piece = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)
"""As `part`, for code that makes no arrays either."""

merged = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False, inline="always")
"""As `piece`, for those that are called at every event: they become part of their caller, because every array that a
call hands over is copied by its seven or more words."""


def _load_overload(cache: FunctionCache, signature: Any, context: Any) -> Any:
    """Load a compiled function without all that numba knows about compiling (a third of a second at start-up).

    numba's own way, which does load that, is taken if the function is not there.
    """
    rtsys.initialize(context)  # what functions that make arrays call
    with cache._guard_against_spurious_io_errors():
        found = cache._load_overload(signature, context)
    return found if found is not None else _LOAD(cache, signature, context)


_LOAD = FunctionCache.load_overload
if hasattr(FunctionCache, "_load_overload"):  # not so in a numba that was reworked
    FunctionCache.load_overload = _load_overload


@final
class Pointer(types.WrapperAddressProtocol):
    """A compiled function as the loops take it: numba asks at every call for its type and its address, and would work
    them out anew."""

    def __init__(self, compiled: Any) -> None:
        """`compiled` is what `numba.cfunc` made."""
        self.compiled, self._address = compiled, int(compiled.address)
        self.type = types.FunctionType(compiled._sig)

    def __wrapper_address__(self) -> int:
        return self._address

    def signature(self) -> Any:
        return self.compiled._sig


@typeof_impl.register(Pointer)
def _typeof(pointer: Pointer, context: Any) -> Any:
    return pointer.type


def column(values: NDArray[Any], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """An array as the loops take it, copied only if it is of another type, not contiguous, or read-only."""
    if isinstance(values, np.ndarray) and values.dtype == dtype and values.flags.carray:
        return values  # as np.require does, five times slower
    return np.require(values, dtype, ("C", "A", "W"))


@cache
def _sources(folder: Path = Path(__file__).parent) -> str:
    """Digest of the names, sizes and times of all files that compiled code is made of."""
    files = [(str(file), file.stat()) for file in sorted(folder.rglob("*.py"))]
    known = repr([(name, found.st_size, found.st_mtime_ns) for name, found in files])
    return hashlib.blake2b(known.encode(), digest_size=16).hexdigest()


def drop_stale(kept: Path | str) -> None:
    """Forget what is kept compiled in a folder if any source has changed since.

    Parameters
    ----------
    kept : `stats.cache_path` of any function of a module beside those that are compiled.
    """
    stamp = Path(kept) / "sources.txt"
    with contextlib.suppress(OSError):  # not there yet, or not ours to write
        if stamp.is_file() and stamp.read_text(encoding="ascii") == _sources():
            return
        for file in stamp.parent.glob("*.nbi"):
            file.unlink(missing_ok=True)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(_sources(), encoding="ascii")


@njit(cache=True)
def _beside() -> None:
    pass


drop_stale(_beside.stats.cache_path)
