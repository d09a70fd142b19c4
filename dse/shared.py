"""Many drivers, one study: a pool that shares its trials with the drivers of other machines.

Every driver asks the same sampler the same trials, and tells it the same results in the same order; what is shared is
the work. A trial goes to the storage when it is asked, is claimed there by a driver that has workers free, and its
result is told by all drivers once the storage has it. So any number of drivers gives the trials, the front and the
files that one of them would have given; one that joins late takes what is there, and what a driver had claimed when it
died is taken over by another one that has nothing else to do. Where two machines compute a sampler's figures with
other last digits and so propose different designs, the first proposal counts for all.

The storage is spoken to from a thread, while evaluations go on. When it does not answer, the run waits and asks again:
what is told is always in the storage and in the journal, so nothing has to be repaired afterwards.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import final

from dse.console import note
from dse.objective import Result
from dse.storage import Answer, SharedStudy, StorageAway
from dse.workers import Pool, Task
from spaces.space import Params

__all__ = ["SharedPool"]

_ASK_S = 0.01, 0.25  # between two looks for results of others: first, and when nothing has come for long
_SAY_S = 0.02  # between two messages while this driver works
_AWAY_S = 0.1, 10.0  # between two attempts when the storage does not answer: the first, at most
_NOTE_S = 30.0  # between two remarks about that
_TAKE_OVER_S = 2.0, 4.0  # idle that long, and for so many evaluations, a driver takes what others have claimed
_FAREWELL_S = 5.0  # the last message of a run that ends early


@final
class SharedPool:
    """Evaluates its share of the trials; `poll` returns all of them.

    Parameters
    ----------
    inner : makes the pool of this driver's own workers, once there is work for them.
    storage : joined already.
    """

    def __init__(self, inner: Callable[[], Pool], storage: SharedStudy) -> None:
        self._make_inner, self._storage = inner, storage
        self._inner: Pool | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dse-storage")
        self._message: Future[Answer] | None = None
        self._sent: tuple[list[Task], list[Result]] = [], []
        self._proposed: list[Task] = []  # not in the storage yet
        self._finished: list[Result] = []  # evaluated here, not in the storage yet
        self._awaited: dict[int, Params] = {}
        self._held: set[int] = set()  # at the workers of this driver
        self._mean_s = self._message_s = 0.0
        self._began = self._due = self._heard = time.monotonic()
        self._pause_s = _ASK_S[0]
        self._away_since, self._noted, self._failures = math.inf, -math.inf, 0

    @property
    def workers(self) -> int:
        return self._inner.workers if self._inner is not None else 1

    def submit(self, tasks: list[Task]) -> None:
        self._proposed += tasks
        self._awaited.update(tasks)
        self._due = min(self._due, time.monotonic()) if not self._failures else self._due

    def poll(self, wait_s: float = math.inf) -> list[Result]:
        end = time.monotonic() + wait_s
        while True:
            results = self._listen()
            self._speak()
            if results or not self._awaited or time.monotonic() > end:
                return results
            if self._held:
                assert self._inner is not None
                self._took(self._inner.poll(max(_SAY_S, min(self._due - time.monotonic(), _ASK_S[1]))))
            elif self._message is not None:
                wait([self._message], timeout=_ASK_S[1])
            else:
                time.sleep(max(0.0, min(self._due - time.monotonic(), _ASK_S[1])))

    def _took(self, results: list[Result]) -> None:
        self._held.difference_update(result.number for result in results)
        self._finished += [result for result in results if result.number in self._awaited]
        for result in results:
            self._mean_s = 0.8 * self._mean_s + 0.2 * result.duration_s if self._mean_s else result.duration_s
        if results and not self._failures:
            self._due = min(self._due, self._began + _SAY_S)

    # --- the storage ------------------------------------------------------------------------------------------------

    def _wanted(self) -> int:
        """Trials to claim: every worker one, and one more for every evaluation that fits into a message."""
        ahead = math.ceil(self._message_s / self._mean_s) if self._mean_s else 0
        return max(0, self.workers * (1 + ahead) - len(self._held))

    def _idle(self) -> bool:
        least, evaluations = _TAKE_OVER_S
        return not self._held and time.monotonic() - self._heard > max(least, evaluations * self._mean_s)

    def _speak(self) -> None:
        """Start a message when one is due."""
        if self._message is not None or time.monotonic() < self._due or not self._awaited:
            return
        self._sent = self._proposed, self._finished
        self._proposed, self._finished = [], []
        self._began = time.monotonic()
        waiting = sorted(number for number in self._awaited if number not in self._held)
        self._message = self._thread.submit(self._storage.exchange, *self._sent, waiting, self._wanted(),
                                            take_over=self._idle())

    def _listen(self) -> list[Result]:
        """What the storage answered, if it has."""
        if self._message is None or not self._message.done():
            return []
        message, self._message = self._message, None
        now = time.monotonic()
        try:
            answer = message.result()
        except StorageAway as error:
            self._proposed, self._finished = self._sent[0] + self._proposed, self._sent[1] + self._finished
            self._failures += 1
            self._due = now + min(_AWAY_S[0] * 2 ** min(self._failures, 20), _AWAY_S[1])
            self._away_since = min(self._away_since, self._began)
            if now - self._noted > _NOTE_S and now - self._away_since > _AWAY_S[0]:
                self._noted = now
                note(f"note: the storage does not answer ({error}); the run waits for it")
            return []
        if self._failures and self._noted > self._away_since:
            note(f"note: the storage answers again after {now - self._away_since:.0f} s")
        self._failures, self._away_since, self._noted = 0, math.inf, -math.inf
        self._message_s = 0.8 * self._message_s + 0.2 * (now - self._began) if self._message_s else now - self._began
        new = bool(answer.results or answer.claimed)
        self._pause_s = _ASK_S[0] if new else min(1.5 * self._pause_s, _ASK_S[1])
        self._heard = now if new else self._heard
        self._due = now if self._proposed or self._finished else now + self._pause_s
        self._work(answer.claimed)
        results = [result for result in answer.results if self._awaited.pop(result.number, None) is not None]
        return results

    def _work(self, tasks: list[Task]) -> None:
        if not tasks:
            return
        self._inner = self._inner or self._make_inner()
        self._inner.submit(tasks)
        self._held.update(number for number, _ in tasks)

    def close(self) -> None:
        """Hand in what is finished, if the storage answers."""
        if self._inner is not None:
            self._inner.close()
        if self._message is not None:
            wait([self._message], timeout=_FAREWELL_S)
            self._listen()
        if self._finished and self._message is None and not self._failures:
            last = self._thread.submit(self._storage.exchange, self._proposed, self._finished, [], 0)
            wait([last], timeout=_FAREWELL_S)
        self._thread.shutdown(wait=not self._failures)
