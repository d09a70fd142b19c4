"""Who evaluates: this process, or Ray actors. The driver hands in trials and takes results in any order.

A trial that raises is a failed trial. With actors, more can happen: an actor dies (out of memory, SIGKILL, a native
crash, its node is gone) or hangs. Then its chunk is split and tried again on a new actor; a single trial that kills
`_ATTEMPTS` actors, or runs past the time limit `_HANGS` times, is a failed trial with that reason. Evaluation is
pure, so running one twice does no harm.
"""

import math
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, final

from dse.console import note
from dse.errors import DseError, InputError, Problem
from dse.interrupts import sigterm_kept
from dse.objective import Evaluate, Result, evaluate_one
from dse.study import Study
from spaces.space import Params

__all__ = ["GrowingPool", "LocalPool", "Pool", "RayPool", "Task", "check_address", "default_workers", "pool_for"]

Task = tuple[int, Params]

_ATTEMPTS = 3
_HANGS = 2  # each costs the whole time limit
_CHUNK_S = 0.1  # work per actor call: long against the 1 ms of a call, short against a human's patience
_TRIAL_S, _WORTH_S = 1.0, 12.0  # look at the speed after this; go parallel when more than this is left
_COLD_S = 300.0  # added to the time limit until the first result of all: imports and compilation
_WARM_S = 5.0  # added for the first chunk of an actor that replaces another: imports, compiled code comes from disk


def default_workers() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_address(address: str) -> None:
    """Raise `InputError` unless something listens at HOST:PORT (Ray itself would wait for minutes).

    `auto` (the cluster of this machine) and other schemes than ray:// are left to Ray.
    """
    if address in ("auto", "local") or ("://" in address and not address.startswith("ray://")):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(Problem(field="--ray-address", hint=f"{reason}; on the head node: ray start --head",
                                 message=f"must be HOST:PORT of a running Ray cluster, got {address!r}")) from None


class Pool(Protocol):
    """`submit` never blocks; `poll` returns at least one result when any is due, else waits: for a result of this
    process in any case, for others `wait_s` at most."""

    @property
    def workers(self) -> int: ...

    def submit(self, tasks: list[Task]) -> None: ...

    def poll(self, wait_s: float = math.inf) -> list[Result]: ...

    def close(self) -> None: ...


class _Timeout(BaseException):
    """Not an `Exception`: the evaluation's own handlers must not swallow it."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `_Timeout` in the main thread after `seconds`; compiled code is interrupted when it returns."""
    if threading.current_thread() is not threading.main_thread() or not math.isfinite(seconds):
        yield
        return

    def expired(*_: object) -> None:
        raise _Timeout(f"evaluation ran past eval_timeout_s = {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@final
class LocalPool:
    """Evaluates in this process, in order."""

    def __init__(self, evaluate: Evaluate, timeout_s: float) -> None:
        self.workers = 1
        self._evaluate = evaluate
        self._timeout_s = timeout_s
        self._tasks: deque[Task] = deque()
        self._first = True
        self._interrupted = False

    def submit(self, tasks: list[Task]) -> None:
        self._tasks.extend(tasks)

    def poll(self, wait_s: float = math.inf) -> list[Result]:
        results: list[Result] = []
        if self._interrupted:
            raise KeyboardInterrupt
        end = time.perf_counter() + _CHUNK_S
        while self._tasks and (not results or time.perf_counter() < end):
            number, params = self._tasks.popleft()
            limit = self._timeout_s + (_COLD_S if self._first else 0.0)
            try:
                with _time_limit(limit):
                    results.append(evaluate_one(self._evaluate, number, params))
            except KeyboardInterrupt:  # hand over what is done first
                self._interrupted = True
                return results
            except _Timeout as error:
                results.append(_failed((number, params), str(error)))
            self._first = False
        return results

    def take_back(self) -> list[Task]:
        """Tasks not started yet, no longer this pool's."""
        tasks = list(self._tasks)
        self._tasks.clear()
        return tasks

    def close(self) -> None:
        self._tasks.clear()


@final
class GrowingPool:
    """This process first; Ray actors, one per core, once that promises to be worth their start (about 5 s).

    Parameters
    ----------
    total : evaluations to come, at most.
    """

    def __init__(self, evaluate: Evaluate, timeout_s: float, total: int) -> None:
        self._evaluate, self._timeout_s, self._left = evaluate, timeout_s, total
        self._local: LocalPool | None = LocalPool(evaluate, timeout_s)
        self._pool: Pool = self._local
        self._began: float | None = None
        self._counted = 0

    @property
    def workers(self) -> int:
        return self._pool.workers

    def submit(self, tasks: list[Task]) -> None:
        self._pool.submit(tasks)

    def poll(self, wait_s: float = math.inf) -> list[Result]:
        results = self._pool.poll(wait_s)
        self._left -= len(results)
        if self._local is not None:
            if self._began is None:  # the first evaluations load and compile the models: no measure of speed
                self._began = time.monotonic()
            else:
                self._counted += len(results)
                elapsed = time.monotonic() - self._began
                if elapsed > _TRIAL_S and self._left * elapsed > _WORTH_S * self._counted:
                    self._grow(self._local)
        return results

    def _grow(self, local: LocalPool) -> None:
        """Where Ray cannot start (a loaded machine, no shared memory) this process goes on alone."""
        try:
            self._pool = RayPool(self._evaluate, self._timeout_s, default_workers())
        except Exception as error:
            note(f"note: Ray does not start, evaluating in this process: {type(error).__name__}: {_first_line(error)}")
        else:
            self._pool.submit(local.take_back())
        self._local = None

    def close(self) -> None:
        self._pool.close()


def _failed(task: Task, reason: str) -> Result:
    return Result(number=task[0], params=task[1], state="failed", status="failed", error=reason)


@final
class _Evaluator:
    """The actor. Its process holds the caches of the models."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate

    def ready(self) -> None:
        """Returns once the actor has a place to run."""

    def run(self, tasks: list[Task]) -> list[Result]:
        return [evaluate_one(self._evaluate, number, params) for number, params in tasks]


@final
class _Call:
    """A chunk at an actor."""

    __slots__ = ("deadline", "slot", "tasks")

    def __init__(self, slot: int, tasks: list[Task], deadline: float) -> None:
        self.slot, self.tasks, self.deadline = slot, tasks, deadline


@final
class RayPool:
    """Ray actors, one per worker, each with one chunk running and one waiting.

    Parameters
    ----------
    workers : number of actors; None: the CPUs of the cluster.
    address : of a running cluster; None starts Ray on this machine and stops it at the end.
    """

    def __init__(self, evaluate: Evaluate, timeout_s: float, workers: int | None, address: str | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        self._ray = ray
        self._own = not ray.is_initialized()
        if self._own:
            with sigterm_kept():
                self._start(address, workers)
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._timeout_s = timeout_s
        self._payload = ray.put(evaluate)
        self._make = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Evaluator)
        self._actors: list[Any] = [None] * self.workers
        self._starting: dict[Any, int] = {}  # call -> slot of an actor that is not up yet: it gets no work
        self._fresh = [True] * self.workers
        for slot in range(self.workers):
            self._replace(slot)
        self._deaths = self._failed_starts = 0
        self._tasks: deque[Task] = deque()
        self._again: deque[list[Task]] = deque()  # chunks that lost their actor: kept apart, in these pieces
        self._attempts: dict[int, int] = {}
        self._calls: dict[Any, _Call] = {}
        self._mean_s = 0.0

    def _start(self, address: str | None, workers: int | None) -> None:
        ray = self._ray
        quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
        if not address:
            self._start_here(workers or default_workers(), quiet)
            return
        try:
            ray.init(address=address, **quiet)
        except Exception as error:
            message = f"must be the address of a running Ray cluster, got {address!r}"
            hint = f"{type(error).__name__}: {_first_line(error)}"
            if "RAY_AUTH_MODE" not in os.environ:
                hint += "; a cluster that asks for a token wants RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN here, too"
            raise InputError(Problem(field="--ray-address", message=message, hint=hint)) from None

    def _start_here(self, cpus: int, quiet: dict[str, Any]) -> None:
        """Ray gives its own processes 15 to 30 s to come up, which is short on a loaded machine: try twice."""
        for left in (1, 0):
            try:
                self._ray.init(address="local", num_cpus=cpus, include_dashboard=False,
                               object_store_memory=128 * 1024**2, **quiet)
                return
            except Exception as error:
                self._ray.shutdown()
                if not left:
                    raise DseError(f"Ray does not start on this machine ({_first_line(error)}); --workers 1 does "
                                   "without it") from error

    def _replace(self, slot: int) -> None:
        self._actors[slot] = self._make.remote(self._payload)
        self._starting[self._actors[slot].ready.remote()] = slot
        self._fresh[slot] = True

    def submit(self, tasks: list[Task]) -> None:
        self._tasks.extend(tasks)
        self._dispatch(rest=False)

    def _dispatch(self, *, rest: bool) -> None:
        """Keep every actor busy with one chunk and one more waiting, the work spread evenly.

        Parameters
        ----------
        rest : also send less than a chunk to an actor that is busy: not while more may be handed in.
        """
        load = [0] * self.workers
        for call in self._calls.values():
            load[call.slot] += 1
        under_way = len(self._tasks) + sum(len(call.tasks) for call in self._calls.values())
        fair = math.ceil(under_way / (2 * self.workers))
        size = max(1, min(fair, int(_CHUNK_S / self._mean_s) if self._mean_s > 0.0 else 1))
        up = sorted(set(range(self.workers)) - set(self._starting.values()))
        while up and (self._tasks or self._again):
            slot = min(up, key=lambda s: (load[s], s))
            if load[slot] >= (1 if self._again else 2):
                return
            if self._again:
                tasks = self._again.popleft()
            elif load[slot] and not rest and len(self._tasks) < size:
                return
            else:
                tasks = [self._tasks.popleft() for _ in range(min(size, len(self._tasks)))]
            load[slot] += 1
            self._send(slot, tasks, behind=load[slot] > 1)

    def _send(self, slot: int, tasks: list[Task], *, behind: bool) -> None:
        # a chunk is short against the limit: one limit for all of it, a second when it waits behind another chunk
        grace = _COLD_S if self._mean_s == 0.0 else _WARM_S if self._fresh[slot] else 0.0
        limit = self._timeout_s * (2 if behind else 1) + grace
        call = self._actors[slot].run.remote(tasks)
        self._calls[call] = _Call(slot, tasks, time.monotonic() + limit)

    def poll(self, wait_s: float = math.inf) -> list[Result]:
        results: list[Result] = []
        end = time.monotonic() + wait_s
        while not results and (self._calls or self._tasks or self._again):
            self._dispatch(rest=True)
            wait = min([end - time.monotonic(), *(call.deadline - time.monotonic() for call in self._calls.values())])
            refs = [*self._calls, *self._starting]
            done, _ = self._ray.wait(refs, num_returns=1, timeout=max(0.0, min(wait, 1.0)))
            for ref in done:
                if ref in self._starting:
                    self._started(ref)
                elif ref in self._calls:
                    results += self._take(ref)
            now = time.monotonic()
            late = [ref for ref, call in self._calls.items() if call.deadline < now]
            if late and late[0] in self._calls:
                results += self._lost(self._calls[late[0]].slot, f"evaluation ran past eval_timeout_s = "
                                      f"{self._timeout_s:g} s", late[0], hang=True)
            if now >= end:
                break
        self._dispatch(rest=False)
        return results

    def _started(self, ref: Any) -> None:
        slot = self._starting.pop(ref)
        try:
            self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if getattr(error, "actor_init_failed", False) or self._failed_starts >= 10:
                raise DseError(f"workers cannot start: {_first_line(error)}") from error
            time.sleep(0.2 * self._failed_starts)
            self._replace(slot)

    def _take(self, ref: Any) -> list[Result]:
        call = self._calls[ref]
        try:
            results: list[Result] = self._ray.get(ref)
        except self._ray.exceptions.RayActorError as error:
            return self._lost(call.slot, f"worker died: {_first_line(error)}", ref)
        except self._ray.exceptions.RayError as error:
            del self._calls[ref]
            return self._retry(call.tasks, f"{type(error).__name__}: {_first_line(error)}", hang=False)
        del self._calls[ref]
        self._fresh[call.slot] = False
        self._deaths = self._failed_starts = 0
        mean = sum(result.duration_s for result in results) / len(results)
        self._mean_s = mean if self._mean_s == 0.0 else 0.8 * self._mean_s + 0.2 * mean
        return results

    def _lost(self, slot: int, reason: str, ref: Any, *, hang: bool = False) -> list[Result]:
        """An actor is gone or must go: replace it, send its first chunk again in pieces, its waiting one as it was."""
        self._ray.kill(self._actors[slot])
        mine = [r for r, call in self._calls.items() if call.slot == slot]
        first = mine[0] if ref not in mine or not hang else ref
        results: list[Result] = []
        finished, _ = self._ray.wait(mine, num_returns=len(mine), timeout=0.0)
        for r in mine:
            call = self._calls.pop(r)
            if r in finished and r is not ref:
                try:
                    results += self._ray.get(r)
                    continue
                except self._ray.exceptions.RayError:
                    pass
            if r == first:
                results += self._retry(call.tasks, reason, hang=hang)
            else:
                self._again.append(call.tasks)
        self._deaths += 1
        if not hang:
            time.sleep(min(0.05 * 2**self._deaths, 5.0))  # back off: the machine may be out of memory
        self._replace(slot)
        return results

    def _retry(self, tasks: list[Task], reason: str, *, hang: bool) -> list[Result]:
        if len(tasks) > 1:
            size = 1 if hang else len(tasks) // 2  # a hang costs its whole time limit: find it at once
            self._again.extend(tasks[i:i + size] for i in range(0, len(tasks), size))
            return []
        number = tasks[0][0]
        self._attempts[number] = self._attempts.get(number, 0) + 1
        if self._attempts[number] >= (_HANGS if hang else _ATTEMPTS):
            return [_failed(tasks[0], f"{reason} ({self._attempts[number]} attempts)")]
        self._again.append(tasks)
        return []

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()


def pool_for(evaluate: Evaluate, study: Study, workers: int | None, ray_address: str | None, left: int,
             resumed: bool) -> Pool:
    """In process for one worker; when nobody says how many, as long as that is quick.

    A run that is resumed may have died of a design that kills its process: it goes straight to workers of its own.
    The compiled loops are made ready first: workers find them on disk, and no time limit counts their compilation.
    """
    policy = study.space.domains.get("policy")
    if policy is not None and ray_address is None and study.fidelity == "simulate":
        from hwmodels.loops import make_loops

        make_loops([str(policy.value(code)) for code in range(int(policy.n))], note)
    if ray_address is None and (workers or default_workers()) == 1:
        return LocalPool(evaluate, study.eval_timeout_s)
    if ray_address is None and workers is None and not resumed:
        return GrowingPool(evaluate, study.eval_timeout_s, left)
    return RayPool(evaluate, study.eval_timeout_s, workers or (None if ray_address else default_workers()), ray_address)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
