"""`dse watch`: follows a journal as it grows, on the loopback address only."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from small_run import make_small_run, write_study

from dse.errors import InputError
from dse.pareto import front_indices
from dse.progress import Kept, Lines, Snapshot
from dse.report.rundata import read_run
from dse.watch import Follower, serve


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_small_run(tmp_path_factory.mktemp("watch"))


@contextmanager
def served(folder):
    server = serve(Follower(folder), 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(port, path, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_state_of_a_finished_run_is_that_of_its_tables(run):
    found, table = Follower(run).state(), read_run(run)
    assert (found["state"], found["done"], found["total"], found["failed"]) == ("complete", 24, 24, 0)
    assert found["infeasible"] == int((~table.trials["feasible"]).sum())
    assert {p["trial"] for p in found["front"]} == set(table.front["trial"])
    assert found["front_size"] == len(table.front)
    assert found["curve"]["hypervolume"] == sorted(found["curve"]["hypervolume"])
    assert found["curve"]["hypervolume"][-1] == pytest.approx(json.loads((run / "manifest.json").read_text())[
        "hypervolume"])
    best = {b["metric"]: b["trial"] for b in found["best"]}
    assert table.row(best["area_mm2"])["area_mm2"] == table.front["area_mm2"].min()


def test_a_journal_that_grows_line_by_line(run, tmp_path):
    folder = tmp_path / "growing"
    folder.mkdir()
    shutil.copy(run / "study.yaml", folder)
    follower = Follower(folder)
    assert follower.state()["done"] == 0  # before the first trial
    assert follower.state()["front"] == []
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    seen = []
    for line in lines:
        for part in (line[:len(line) // 2], line[len(line) // 2:]):  # the last line may still be written
            with (folder / "journal.jsonl").open("ab") as file:
                file.write(part)
            seen.append(follower.read())
    assert seen == sorted(seen)
    assert seen[-1] == 24
    found = follower.state()
    assert {p["trial"] for p in found["front"]} == set(read_run(run).front["trial"])
    values = [p["values"] for p in found["front"]]
    assert len(front_indices(values)) == len(values)


def test_a_damaged_line_hides_no_other(run, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(run, folder)
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join([lines[0], b'{"results": [{"numb\n', b"[]\n", *lines[1:]]))
    assert Follower(folder).state()["done"] == 24


def test_states_of_a_run(run, tmp_path):
    folder = tmp_path / "states"
    shutil.copytree(run, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"state": "running"}))
    (folder / ".lock").write_text(str(os.getpid()))
    found = Follower(folder).state()
    assert found["state"] == "running"
    assert found["report"] is False
    (folder / ".lock").write_text("4194304")  # beyond the largest process number
    assert Follower(folder).state()["state"] == "stopped"


def test_what_bounds_have_decided(run, tmp_path):
    """`dse front` while it runs (a snapshot is kept), when it was killed early, and at its end."""
    folder = tmp_path / "front"
    shutil.copytree(run, folder)
    began = {"sampler": "front", "state": "running", "trials": 24}
    (folder / "manifest.json").write_text(json.dumps(began))
    assert Follower(folder).state()["proof"]["decided_frac"] is None
    kept = Kept(Lines(), folder)
    kept.start("a front")
    kept.update(Snapshot(total=200, done=50, infeasible=20, unit="designs", gap=float("inf")))
    found = Follower(folder).state()
    assert (found["state"], found["total"], found["done"]) == ("running", None, 24)
    assert found["proof"] == {"designs": 200, "exact": False, "gap": None, "gap_frac": None, "decided_frac": 0.25,
                              "infeasible_frac": 0.1}
    ended = {"state": "complete", "exact": False, "designs": 200, "hypervolume_gap": 0.5, "hypervolume_gap_frac": 0.1,
             "counts": {"open": 20, "budget_1": 30, "budget_2": 8, "cannot_run": 2}}
    (folder / "manifest.json").write_text(json.dumps(began | ended))
    found = Follower(folder).state()
    assert found["state"] == "unfinished"
    assert (found["proof"]["decided_frac"], found["proof"]["infeasible_frac"]) == (0.9, 0.2)
    (folder / "manifest.json").write_text(json.dumps(began | {
        "state": "complete", "exact": True, "designs": None, "shares": {"open": 0.0, "budget": 0.25, "cannot_run": 0}}))
    found = Follower(folder).state()
    assert found["state"] == "complete"
    assert (found["proof"]["decided_frac"], found["proof"]["infeasible_frac"]) == (1.0, 0.25)


def test_four_addresses_and_no_other(run, tmp_path):
    folder = tmp_path / "served"
    shutil.copytree(run, folder)
    (folder / "report.html").write_text("<p>the report</p>")
    with served(folder) as port:
        assert get(port, "/")[1].startswith(b"<!doctype html>")
        assert json.loads(get(port, "/state")[1])["name"] == "small"
        assert get(port, "/report.html")[1] == b"<p>the report</p>"
        for path in ("/study.yaml", "/../study.yaml", "/..%2fstudy.yaml", "//etc/passwd", "/report.html/../study.yaml",
                     "/state?x=1", "/%2e%2e/%2e%2e/etc/passwd"):
            assert get(port, path)[0] == 404, path
        assert get(port, "/state", host="evil.example:80")[0] == 403
        assert get(port, "/state", host=f"localhost:{port}")[0] == 200


def test_the_server_listens_on_the_loopback_address_only(run):
    server = serve(Follower(run), 0)
    assert server.server_address[0] == "127.0.0.1"
    server.server_close()


def test_a_port_that_is_taken(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="--port: must be a free port"):
            serve(Follower(run), taken.getsockname()[1])


def command(*args, **options):
    return subprocess.Popen([sys.executable, "-c", "from dse.cli import main; main()", *map(str, args)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("make", [lambda p: p / "none", lambda p: p, lambda p: p / "file"])
def test_what_is_no_run_is_one_error(tmp_path, make):
    (tmp_path / "file").write_text("")
    done = command("watch", make(tmp_path))
    out, err = done.communicate(timeout=120)
    assert (done.returncode, out) == (2, "")
    assert "must be the folder of a run" in err
    assert "Traceback" not in err


def test_follows_a_study_that_runs(tmp_path):
    study = write_study(tmp_path, search={"trials": 400, "seed": 3, "sampler": "random"})
    folder = tmp_path / "run"
    runner = command("run", study, "--out", folder, "--workers", "1")
    deadline = time.monotonic() + 400  # it may have to compile the loops first
    while not (folder / ".lock").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    watcher = command("watch", folder, "--port", "0")
    try:
        url = watcher.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        port = int(url.rstrip("/").rpartition(":")[2])
        counts, state = [], {}
        while time.monotonic() < deadline:
            state = json.loads(get(port, "/state")[1])
            counts.append(state["done"])
            if state["state"] != "running":
                break
            time.sleep(0.1)
        assert state["state"] == "complete"
        assert counts == sorted(counts)
        assert len(set(counts)) > 2  # it was seen while it ran
        assert counts[-1] == state["total"]
        watcher.send_signal(signal.SIGINT)
        _, err = watcher.communicate(timeout=60)
        assert watcher.returncode == 0
        assert "Traceback" not in err
    finally:
        for process in (watcher, runner):
            process.kill()
            process.communicate()
    assert {p["trial"] for p in state["front"]} <= set(range(state["total"]))
    assert (Path(folder) / "journal.jsonl").is_file()
