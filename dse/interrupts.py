"""Signals that end a run, and results that are saved all the same."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["held", "sigterm_interrupts", "sigterm_kept", "uninterrupted"]


@contextlib.contextmanager
def _handled(numbers: tuple[signal.Signals, ...],
             handler: Callable[[int, Any], None] | signal.Handlers) -> Iterator[None]:
    """These signals go to `handler`; threads other than the main one get none anyway."""
    try:
        before = {number: signal.signal(number, handler) for number in numbers}
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def sigterm_interrupts() -> AbstractContextManager[None]:
    """SIGTERM ends a run like Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    return _handled((signal.SIGTERM,), stop)


def uninterrupted() -> AbstractContextManager[None]:
    """A second Ctrl-C does not spoil what the first one saves."""
    return _handled((signal.SIGINT, signal.SIGTERM), signal.SIG_IGN)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Ctrl-C and SIGTERM come at the end of this: what it changes is changed as a whole."""
    came: list[int] = []
    with _handled((signal.SIGINT, signal.SIGTERM), lambda number, _: came.append(number)):
        yield
    if came:
        signal.raise_signal(came[0])


@contextlib.contextmanager
def sigterm_kept() -> Iterator[None]:
    """What SIGTERM does stays as it is: `ray.init` makes it end the process at once."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
