"""Follow a run while it runs: its journal read as it grows, what is known as one JSON object, served to a small page.

    RUN/journal.jsonl --Follower--> Watched.as_dict --http, 127.0.0.1 only--> watch.html

The folder is only read. The server knows four addresses and maps none to a path, so there is nothing to traverse; it
answers requests for this machine's own names only, so that no web page can reach it through a name of its own.
"""

import json
import math
import os
import sys
import time
from collections import deque
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, final

import numpy as np

from dse.documents import load_study
from dse.errors import InputError, Problem
from dse.objective import Result, Verdict, judge, metric_of
from dse.pareto import front_indices, hypervolume_curve, reference_point, thin
from dse.progress import SNAPSHOT
from dse.report.words import describe_hardware, describe_policy, label, quantity
from dse.runs import JOURNAL
from hwmodels.outcome import OBJECTIVES

__all__ = ["DEFAULT_PORT", "Follower", "serve"]

DEFAULT_PORT = 8642
_POINTS = 60
_MAX_DOTS = 600
"""Dominated designs that are drawn."""
_BEGIN_S = 30.0
_WINDOW_S = 60.0
"""The rate is that of the last minute."""


class _Seen(NamedTuple):
    """What is kept of a result: enough for every figure, a few hundred bytes."""

    number: int
    values: tuple[float, ...] | None
    feasible: bool
    failed: bool
    text: str


def _alive(folder: Path) -> bool:
    """Whether the process that holds the run's lock still lives (on this machine)."""
    try:
        os.kill(int((folder / ".lock").read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


@final
class Follower:
    """Reads a run that may still be running.

    Parameters
    ----------
    folder : of the run.

    Raises
    ------
    InputError : no run, or its study cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise _bad(self.folder, "must be the folder of a run" + ("" if self.folder.exists()
                                                                   else ", and does not exist"))
        deadline = time.monotonic() + _BEGIN_S
        while not (self.folder / "study.yaml").is_file() and _alive(self.folder) and time.monotonic() < deadline:
            time.sleep(0.1)  # `dse run` has taken the folder and is about to write the study
        if not (self.folder / "study.yaml").is_file():
            raise _bad(self.folder, "must be the folder of a run: it has no study.yaml",
                       hint="a run is made by `dse run STUDY --out RUN`")
        self.study = load_study(self.folder / "study.yaml")
        self._offset = 0
        self._seen: dict[int, _Seen] = {}
        self._pace: deque[tuple[float, int]] = deque()
        self._lock = Lock()
        self._made: tuple[int, dict[str, Any]] = (-1, {})

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self) -> int:
        """Take in what was appended since the last call; returns the number of trials known."""
        path = self.folder / JOURNAL
        if not path.is_file():
            return len(self._seen)
        if path.stat().st_size < self._offset:  # a new run in the same place
            self._offset, self._seen = 0, {}
        with path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        end = data.rfind(b"\n") + 1  # the last line may still be written
        self._offset += end
        for line in data[:end].splitlines():
            try:
                batch = json.loads(line).get("results", [])
                results = [Result(**entry) for entry in batch]
            except (ValueError, TypeError, AttributeError):
                continue  # `dse run --resume` names a damaged line; here the others still count
            for result in results:
                if result.number < 0:
                    continue  # a note of `dse front` on its bounds
                self._seen.setdefault(result.number, self._note(result, judge(self.study, result)))
        return len(self._seen)

    def _note(self, result: Result, verdict: Verdict) -> _Seen:
        kind = str(result.params.get("architecture", "design"))
        text = f"{kind}, {describe_hardware(result.params)}, {describe_policy(result.params)}"
        values = None if verdict.values is None else tuple(metric_of(result, o.metric) for o in self.study.objectives)
        return _Seen(result.number, values, verdict.feasible, result.state == "failed", text)

    def _json(self, name: str) -> dict[str, Any]:
        """A file of the run; empty while it is not there."""
        try:
            found = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _proof(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """What bounds say of the designs of `dse front`: shares of its space, and what those undecided could add."""
        counts, shares, last = manifest.get("counts"), manifest.get("shares"), self._json(SNAPSHOT)
        ended = {"designs": manifest.get("designs"), "gap": manifest.get("hypervolume_gap"),
                 "gap_frac": manifest.get("hypervolume_gap_frac"), "exact": bool(manifest.get("exact"))}
        if isinstance(counts, dict):
            size = max(1, int(manifest.get("designs", 1)))
            infeasible = sum(counts.get(key, 0) for key in ("budget_1", "budget_2", "cannot_run"))
            return {**ended, "decided_frac": 1.0 - counts.get("open", 0) / size, "infeasible_frac": infeasible / size}
        if isinstance(shares, dict):
            decided = 1.0 if ended["exact"] else 1.0 - shares.get("open", 1.0)
            return {**ended, "decided_frac": decided,
                    "infeasible_frac": shares.get("budget", 0.0) + shares.get("cannot_run", 0.0)}
        size = max(1, int(last.get("total", 1)))
        return {"designs": size if last.get("unit") == "designs" else None, "exact": False, "gap": last.get("gap"),
                "gap_frac": None, "decided_frac": last["done"] / size if "done" in last else None,
                "infeasible_frac": last.get("infeasible", 0) / size}

    def _rate(self, done: int, manifest: dict[str, Any]) -> float:
        """Trials per second over the last minute; right after the start of watching over the whole run [1/s]."""
        now = time.monotonic()
        self._pace.append((now, done))
        while len(self._pace) > 2 and now - self._pace[1][0] > _WINDOW_S:
            self._pace.popleft()
        then, before = self._pace[0]
        if now - then >= 5.0 and done > before:
            return (done - before) / (now - then)
        try:
            from datetime import datetime

            began = datetime.fromisoformat(str(manifest["started"]).replace("Z", "+00:00")).timestamp()
            return done / max(1e-9, (self.folder / JOURNAL).stat().st_mtime - began) if done else 0.0
        except (KeyError, ValueError, OSError):
            return 0.0

    # --- what is known ------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that the page shows; figures are made anew only when trials have come."""
        with self._lock:
            done, manifest = self.read(), self._json("manifest.json")
            if self._made[0] != done:
                self._made = (done, self._figures())
            state = str(manifest.get("state", "running"))
            if state == "running" and not _alive(self.folder):
                state = "stopped"
            proof = self._proof(manifest) if manifest.get("sampler") == "front" else None
            if state == "complete" and proof and not proof["exact"]:
                state = "unfinished"
            total = None if proof else min(int(manifest.get("trials", self.study.trials)),
                                           manifest.get("space_size") or math.inf)
            rate = self._rate(done, manifest) if state == "running" else 0.0
            left = (total - done) / rate if rate and total is not None else math.inf
            return {
                "name": self.study.name, "state": state, "proof": proof, "done": done, "total": total,
                "failed": sum(s.failed for s in self._seen.values()),
                "infeasible": sum(not s.feasible and not s.failed for s in self._seen.values()),
                "rate_per_s": rate, "left_s": left if math.isfinite(left) else None,
                "scenarios": len(self.study.scenarios) if self.study.robust else 0,
                "report": (self.folder / "report.html").is_file() and state != "running",
                "objectives": [{"metric": o.metric, "label": label(o.metric), "minimise": o.minimise,
                                "unit": OBJECTIVES[o.metric.rpartition(".")[2]].unit,
                                "budget": self.study.budgets.get(o.metric)} for o in self.study.objectives],
                **self._made[1],
            }

    def _figures(self) -> dict[str, Any]:
        """Hypervolume curve, front, a cloud of dominated designs, the best of every objective."""
        rows = [self._seen[number] for number in sorted(self._seen)]
        objectives = self.study.objectives
        signs = np.array([1.0 if o.minimise else -1.0 for o in objectives])
        usable = np.array([s.feasible and s.values is not None for s in rows], dtype=bool)
        values = np.array([s.values if s.values is not None else [math.nan] * len(signs) for s in rows],
                          dtype=float).reshape(len(rows), len(signs)) * signs
        bounds = [self.study.budgets[o.metric] * sign if o.metric in self.study.budgets else None
                  for o, sign in zip(objectives, signs, strict=True)]
        if not usable.any():
            return {"curve": {"trials": [], "hypervolume": []}, "front": [], "cloud": [], "best": []}
        curve = hypervolume_curve(values, usable, reference_point(values[usable], bounds), _POINTS)
        at = np.flatnonzero(usable)
        front = [int(at[i]) for i in front_indices(values[usable])]
        rest = [int(i) for i in at if int(i) not in set(front)]
        rest = rest[:: max(1, math.ceil(len(rest) / _MAX_DOTS))]
        best = [min(front, key=lambda i, k=k: (values[i, k], i)) for k in range(len(signs))]  # type: ignore[misc]
        shown = sorted(front, key=lambda i: tuple(values[i]))
        if len(shown) > _MAX_DOTS:
            shown = [shown[i] for i in thin(values[shown], _MAX_DOTS)]
        return {
            "curve": {"trials": curve.trials, "hypervolume": curve.hypervolume}, "front_size": len(front),
            "front": [{"trial": rows[i].number, "values": rows[i].values, "text": rows[i].text} for i in shown],
            "cloud": [rows[i].values for i in rest],
            "best": [{"metric": o.metric, "label": label(o.metric), "trial": rows[i].number, "text": rows[i].text,
                      "value": quantity(o.metric, rows[i].values[k])}  # type: ignore[index]
                     for k, (o, i) in enumerate(zip(objectives, best, strict=True))],
        }


def _bad(path: Path, message: str, hint: str = "") -> InputError:
    return InputError(Problem(file=str(path), message=message, hint=hint))


# --- the server -------------------------------------------------------------------------------------------------------


@cache
def _page() -> bytes:
    return resources.files("dse.report").joinpath("watch.html").read_bytes()


class _Handler(BaseHTTPRequestHandler):
    """`/`: the page, `/state`: the JSON, `/report.html`: the finished report."""

    follower: Follower
    server_version = "dse"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the addresses, 404 for all others."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in ("127.0.0.1", "localhost"):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this page is for 127.0.0.1 only\n")
        elif self.path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", _page())
        elif self.path == "/state":
            body = json.dumps(self.follower.state(), allow_nan=False).encode()
            self._send(HTTPStatus.OK, "application/json", body)
        elif self.path == "/report.html" and (self.follower.folder / "report.html").is_file():
            self._send(HTTPStatus.OK, "text/html; charset=utf-8",
                       (self.follower.folder / "report.html").read_bytes())
        elif self.path == "/favicon.ico":
            self._send(HTTPStatus.NO_CONTENT, "image/x-icon", b"")
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"nothing here\n")

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: a line per second says nothing."""


@final
class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def serve(follower: Follower, port: int | None = None) -> ThreadingHTTPServer:
    """A server on 127.0.0.1 that is bound and not yet serving; call its `serve_forever`.

    Parameters
    ----------
    port : 0 takes any free one; None takes `DEFAULT_PORT`, any free one when that is taken.

    Raises
    ------
    InputError : the port is taken or not allowed.
    """
    handler = type("Handler", (_Handler,), {"follower": follower})
    for each in (DEFAULT_PORT, 0) if port is None else (port,):
        try:
            return _Server(("127.0.0.1", each), handler)
        except OSError as error:
            if port is None and each == DEFAULT_PORT:
                continue
            raise InputError(Problem(field="--port", message=f"must be a free port, got {each}: {error.strerror}",
                                     hint="--port 0 takes any free one")) from None
    raise AssertionError("the last port is any free one")
