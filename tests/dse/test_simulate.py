"""`dse simulate` as a user runs it, and the reading of profiles and request lists."""

import csv
import gzip
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from command import dse

from dse.errors import InputError
from dse.profiles import profile_table, read_profile, read_requests, sanger_latency_s

DATA = Path(__file__).parents[1] / "data" / "dysta"
ELEVEN = ("fcfs", "sjf", "sjf_sparse", "prema", "prema_sparse", "planaria", "sdrm3", "sdrm3_sparse", "dysta_naive",
          "dysta", "dysta_oracle")
PROFILE = "family,network,sample,layer,latency_s,sparsity_frac\n"
SJF = ("--profile", "profile.csv", "--requests", "requests.csv", "--policy", "sjf")
REQUESTS = "request,arrival_s,network,sample,priority,deadline_s\n"


def converted(source, target):
    """A request list of the reference data in the format of `dse simulate`."""
    with (gzip.open(source, "rt") if source.suffix == ".gz" else source.open()) as file:
        rows = list(csv.DictReader(file))
    lines = [",".join((r["idx"], r["arrival_s"], r["model"], r["sample_id"], r["priority"], r["abs_deadline_s"]))
             for r in rows]
    target.write_text(REQUESTS + "\n".join(lines) + "\n")
    return rows


@pytest.fixture
def small(tmp_path):
    """Two networks of one family, one of another; three requests."""
    (tmp_path / "profile.csv").write_text(
        PROFILE + "f,a,0,0,1.0,0.0\nf,a,0,1,1.0,0.5\nf,b,0,0,2.0,0.0\nf,b,0,1,2.0,0.5\ng,c,3,0,0.5,0.25\n")
    (tmp_path / "requests.csv").write_text(REQUESTS + "x,0,a,0,1,9\ny,0.5,c,3,3,1.0\nz,0.5,b,0,9,inf\n")
    return tmp_path


def test_by_hand(small):
    """sjf: a until 1, c until 1.5 (late), a until 2.5, b until 6.5."""
    done = dse("simulate", *SJF, "--out", "f.csv", "--trace", "t.json", "--json", cwd=small)
    assert done.returncode == 0, done.stderr
    assert (small / "f.csv").read_text() == "request,finish_s,violated,ntt\nx,2.5,0,1.25\ny,1.5,1,2.0\nz,6.5,0,1.5\n"
    result = json.loads(done.stdout)
    assert result["violation_frac"] == pytest.approx(1 / 3)
    assert result["antt"] == pytest.approx(4.75 / 3)
    assert result["throughput_per_s"] == pytest.approx(3 / 6.5)
    assert result["stp"] == pytest.approx(1 / 1.25 + 1 / 2 + 1 / 1.5)
    assert (result["p50_latency_s"], result["max_latency_s"]) == (2.5, 6.0)
    assert (result["p50_ntt"], result["max_ntt"]) == (1.5, 2.0)
    assert (result["events"], result["preemptions"]) == (5, 1)
    assert result["families"]["g"]["violation_frac"] == 1.0
    assert result["families"]["f"]["requests"] == 2
    for key in ("fairness_frac", "p95_latency_s", "p99_latency_s", "p95_ntt", "p99_ntt"):
        assert key in result
        assert key in result["families"]["f"]
    events = [e for e in json.loads((small / "t.json").read_text())["traceEvents"] if e["ph"] == "X"]
    assert [(e["name"], e["ts"], e["dur"], e["args"]["layer"]) for e in events] == [
        ("a", 0.0, 1e6, 0), ("c", 1e6, 0.5e6, 0), ("a", 1.5e6, 1e6, 1), ("b", 2.5e6, 2e6, 0), ("b", 4.5e6, 2e6, 1)]
    assert events[1]["args"] == {"request": "y", "layer": 0, "sample": 3}
    assert sorted(p.name for p in small.iterdir()) == ["f.csv", "profile.csv", "requests.csv", "t.json"]


def test_table_and_switch_cost(small):
    done = dse("simulate", *SJF, "--switch-s", "0.25", "--out", "f.csv", cwd=small)
    assert done.returncode == 0, done.stderr
    assert "x,2.75,0,1.375" in (small / "f.csv").read_text()
    assert "1 preemptions, 5 layer events" in done.stdout


@pytest.mark.parametrize("name", ["sjf", "prema", "dysta"])
def test_reference_through_the_command(tmp_path, name):
    converted(DATA / "attention_r40_slo10_seed1_requests.csv.gz", tmp_path / "requests.csv")
    done = dse("simulate", "--profile", DATA / "traces" / "sanger", "--requests", tmp_path / "requests.csv",
               "--policy", name, "--compat", "dysta-artifact", "--out", tmp_path / "finish.csv", "--json")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "finish.csv").open() as file:
        finish = {row["request"]: float(row["finish_s"]) for row in csv.DictReader(file)}
    with gzip.open(DATA / "attention_r40_slo10_seed1_finish.csv.gz", "rt") as file:
        expected = {row["idx"]: float(row[name]) for row in csv.DictReader(file)}
    assert list(finish) == list(expected)
    assert max(abs(finish[r] - expected[r]) for r in finish) < 1e-9
    result = json.loads(done.stdout)
    reference = json.loads((DATA / "reference_public.json").read_text())
    wanted = ("attention", 40, "compat")
    runs = next(s for s in reference["sets"] if (s["workload"], s["rate_per_s"], s["clock"]) == wanted)
    row = next(r for r in runs["runs"] if r[:2] == [1, name])
    assert (result["violation_frac"], result["events"]) == (row[2], row[5])
    assert result["antt"] == pytest.approx(row[3], rel=1e-9)
    assert result["throughput_per_s"] == pytest.approx(row[4], rel=1e-9)
    assert (result["p99_ntt"], result["max_ntt"]) == (pytest.approx(row[6], rel=1e-9), pytest.approx(row[7], rel=1e-9))


@pytest.mark.parametrize(("compat", "column"), [
    ("dysta-artifact", "finish_compat"), ("dysta-corrected", "finish_corrected")])
def test_micro_as_csv_and_as_folder(tmp_path, compat, column):
    """The same profile in both formats; all eleven names are known."""
    converted(DATA / "micro/requests.csv", tmp_path / "requests.csv")
    lines = []
    for file in sorted((DATA / "micro/traces").glob("*.csv")):
        with file.open() as handle:
            lines += [f"{file.stem.split('_')[0]},{file.stem},{r['batch-indx']},{r['layer-indx']},{r['sim_lat']},"
                      f"{r['overall-sparsity']}" for r in csv.DictReader(handle)]
    (tmp_path / "profile.csv").write_text(PROFILE + "\n".join(reversed(lines)) + "\n")
    with (DATA / f"micro/{column}.csv").open() as file:
        expected = list(csv.DictReader(file))
    name = "dysta"
    for profile in (tmp_path / "profile.csv", DATA / "micro/traces"):
        done = dse("simulate", "--profile", profile, "--requests", tmp_path / "requests.csv", "--policy", name,
                   "--compat", compat, "--out", tmp_path / "f.csv")
        assert done.returncode == 0, done.stderr
        with (tmp_path / "f.csv").open() as file:
            assert [float(r["finish_s"]) for r in csv.DictReader(file)] == [float(r[name]) for r in expected]


def test_tiles(small):
    """a runs layers of 4 tiles of 1/4 s; c comes at 0.5, runs at once at tiles and pays nothing, or 1/8 s to resume a;
    with the artefact's policies layers stay whole."""
    (small / "profile.csv").write_text(
        PROFILE.replace("\n", ",tiles\n") + "f,a,0,0,1.0,0.0,4\nf,a,0,1,1.0,0.5,4\ng,c,3,0,0.5,0.25,1\n")
    (small / "requests.csv").write_text(REQUESTS + "x,0,a,0,1,9\ny,0.4,c,3,3,1.0\n")
    for flags, finish in (((), ("2.5", "1.5")), (("--set", "grain=1"), ("2.5", "1.0")),
                          (("--set", "grain=1", "--switch-s", "0.125"), ("2.625", "1.0"))):
        done = dse("simulate", *SJF, *flags, "--out", "f.csv", "--trace", "t.json", cwd=small)
        assert done.returncode == 0, done.stderr
        with (small / "f.csv").open() as file:
            assert tuple(row["finish_s"] for row in csv.DictReader(file)) == finish
        spans = [(e["ts"], e["dur"]) for e in json.loads((small / "t.json").read_text())["traceEvents"]
                 if e["ph"] == "X"]
        assert sum(duration for _, duration in spans) == (2.625e6 if "--switch-s" in flags else 2.5e6)
    (small / "profile.csv").write_text(
        PROFILE.replace("\n", ",tiles\n") + "f,a,0,0,1.0,0.0,4\nf,a,1,0,1.0,0.5,2\nf,a,2,0,1,0,0\n")
    with pytest.raises(InputError) as caught:
        read_profile(small / "profile.csv")
    assert [(p.line, p.field) for p in caught.value.problems] == [(3, "tiles"), (4, "tiles")]


def test_sanger_formula():
    """Checks of the specification, section 9."""
    for density, seconds in ((0.1, 0.94240768e-3), (0.5, 1.277952e-3), (1.0, 1.933312e-3)):
        assert sanger_latency_s(density, 1.0) == pytest.approx(seconds, rel=1e-12)
    for density, seconds in ((0.1, 0.23007232e-3), (0.5, 0.267264e-3), (1.0, 0.31744e-3)):
        assert sanger_latency_s(density, 1.0, 128) == pytest.approx(seconds, rel=1e-12)


def test_family_averages(small):
    """f: a and b have one sample each; c stands alone."""
    costs = profile_table(read_profile(small / "profile.csv"))
    assert costs.estimate_s.tolist() == [1.5, 1.5, 1.5, 1.5, 0.5]
    assert costs.pattern_s.tolist() == [1.0, 1.0, 2.0, 2.0, 0.5]
    assert costs.offset[:, 0, 0, 0].tolist() == [0, 2, 4]


BAD_PROFILES = {
    "f,a,0,0,-1.0,0.0": (2, "latency_s"),
    "f,a,0,0,nan,0.0": (2, "latency_s"),
    "f,a,0,0,inf,0.0": (2, "latency_s"),
    "f,a,0,0,1.0,1.5": (2, "sparsity_frac"),
    "f,a,0,0,1.0,": (2, "sparsity_frac"),
    "f,a,0,0,1_0,0.0": (2, "latency_s"),
    "f,a,0,0,\uff11,0.0": (2, "latency_s"),
    "f,a,0,0,0.0,0.0": (2, "latency_s"),
    "f,a,0,999999999,1.0,0.0": (2, "layer"),
    "f,a,-1,0,1.0,0.0": (2, "sample"),
    "f,a,0,0.5,1.0,0.0": (2, "layer"),
    "f,,0,0,1.0,0.0": (2, "network"),
    "f,a,0,0,1.0": (2, "row"),
    "f,a,0,1,1.0,0.0": (2, "layer"),
    "f,a,0,0,1.0,0.0\nf,a,0,0,1.0,0.0": (3, "layer"),
    "f,a,0,0,1.0,0.0\ng,a,0,1,1.0,0.0": (3, "family"),
    "f,a,0,0,1.0,0.0\nf,a,0,1,1.0,0.0\nf,a,1,0,1.0,0.0": (4, "layer"),
    "": (1, "rows"),
}


@pytest.mark.parametrize("rows", BAD_PROFILES)
def test_bad_profiles(tmp_path, rows):
    (tmp_path / "p.csv").write_text(PROFILE + rows + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_profile(tmp_path / "p.csv")
    problem = caught.value.problems[0]
    assert (problem.line, problem.field) == BAD_PROFILES[rows]
    assert len(caught.value.problems) == 1


BAD_REQUESTS = {
    "0,0,d,0,1,9": (2, "network"),
    "0,0,a,1,1,9": (2, "sample"),
    "0,0,a,0,0,9": (2, "priority"),
    "0,-1,a,0,1,9": (2, "arrival_s"),
    "0,1,a,0,1,0.5": (2, "deadline_s"),
    "0,1,a,0,1,nan": (2, "deadline_s"),
    "0,1,a,0,1,9\n1,0.5,a,0,1,9": (3, "arrival_s"),
    "0,1,a,0,1,9\n0,1,a,0,1,9": (3, "request"),
    ",1,a,0,1,9": (2, "request"),
    "0,1,a,0,1,9,7": (2, "row"),
}


@pytest.mark.parametrize("rows", BAD_REQUESTS)
def test_bad_requests(small, rows):
    (small / "r.csv").write_text(REQUESTS + rows + "\n")
    with pytest.raises(InputError) as caught:
        read_requests(small / "r.csv", read_profile(small / "profile.csv"))
    problem = caught.value.problems[0]
    assert (problem.line, problem.field) == BAD_REQUESTS[rows]
    assert len(caught.value.problems) == 1


def test_all_problems_at_once(small):
    (small / "r.csv").write_text(REQUESTS + "0,0,d,0,1,9\n0,0,a,7,-1,9\n")
    done = dse("simulate", "--profile", "profile.csv", "--requests", "r.csv", "--policy", "sjf", "--out", "f.csv",
               cwd=small)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "r.csv:2: network: must be one of the profile's networks, got 'd'" in done.stderr
    assert "4 errors" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (small / "f.csv").exists()


@pytest.mark.parametrize(("change", "message"), [
    ({"--policy": "dystaa"}, "did you mean 'dysta'?"),
    ({"--policy": "edf", "--compat": "dysta-artifact"}, "--policy: must be one of fcfs"),
    ({"--compat": "dysta"}, "--compat: must be one of dysta-artifact"),
    ({"--set": "beta"}, "--set: must be key=number"),
    ({"--set": "beta=7", "--policy": "dysta"}, "a number in [0, 1]"),
    ({"--set": "bta=0.5", "--policy": "dysta"}, "did you mean 'beta'?"),
    ({"--profile": "none.csv"}, "none.csv: must be an existing file"),
    ({"--requests": "."}, "must be a file, got a folder"),
    ({"--out": "no/such/f.csv"}, "must be a file in an existing folder"),
    ({"--out": "./profile.csv"}, "must be another file than profile.csv, which is read"),
    ({"--trace": "requests.csv"}, "must be another file than requests.csv, which is read"),
    ({"--out": "x", "--trace": "./x"}, "must be different files"),
    ({"--switch-s": "nan"}, "--switch-s: must be a finite number >= 0"),
])
def test_bad_flags(small, change, message):
    flags = {"--profile": "profile.csv", "--requests": "requests.csv", "--policy": "sjf"} | change
    done = dse("simulate", *(part for pair in flags.items() for part in pair), cwd=small)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_broken_files(tmp_path):
    (tmp_path / "cut.csv").write_bytes(gzip.compress(b"x" * 1000)[:20])
    (tmp_path / "latin.csv").write_bytes("é".encode("latin-1"))
    (tmp_path / "header.csv").write_text("family,netwrk\n")
    (tmp_path / "semicolons.csv").write_text(PROFILE.replace(",", ";"))
    (tmp_path / "empty").mkdir()
    for name, message in (("cut.csv", "readable"), ("latin.csv", "latin.csv:1: must be UTF-8"),
                          ("header.csv", "did you mean 'netwrk'"), ("semicolons.csv", "separated by commas"),
                          ("empty", "traces")):
        with pytest.raises(InputError, match=message) as caught:
            read_profile(tmp_path / name)
        assert len(caught.value.problems) == 1


def test_folder_of_broken_traces(tmp_path):
    (tmp_path / "a.csv").write_text("sim_lat,overall-sparsity,batch-indx,layer-indx\n-1,0,0,0\n")
    (tmp_path / "b.csv").write_text("50%-skip,overall-sparsity,batch-indx,layer-indx\n0.5,0,0,0\n")
    with pytest.raises(InputError) as caught:
        read_profile(tmp_path)
    assert [(Path(p.file).name, p.line, p.field) for p in caught.value.problems] == [
        ("a.csv", 2, "sim_lat"), ("b.csv", 2, "overall-sparsity")]


def test_plain_and_gzip_traces_are_the_same(tmp_path):
    for file in (DATA / "traces/sanger").glob("*.gz"):
        (tmp_path / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    for packed, plain in zip(read_profile(DATA / "traces/sanger"), read_profile(tmp_path), strict=True):
        assert packed.network == plain.network
        np.testing.assert_array_equal(packed.latency_s, plain.latency_s)


@pytest.mark.parametrize("compat", [(), ("--compat", "dysta-artifact")])
def test_events_of_a_track_never_overlap(tmp_path, compat):
    """Also where the artefact's clock goes back; to the last bit, as viewers nest what overlaps."""
    rng = np.random.default_rng(5)
    rows = [f"{n[0]},{n},0,{k},{rng.uniform(1e-4, 3e-3)!r},0.5" for n, layers in (("a", 5), ("b", 3))
            for k in range(layers)]
    (tmp_path / "profile.csv").write_text(PROFILE + "\n".join(rows) + "\n")
    arrivals = np.cumsum(rng.exponential(0.008, 600)).tolist()
    lines = [f"{i},{a!r},{'ab'[i % 2]},0,{rng.choice([1, 3, 9])},{a + 0.03!r}" for i, a in enumerate(arrivals)]
    (tmp_path / "requests.csv").write_text(REQUESTS + "\n".join(lines) + "\n")
    done = dse("simulate", *SJF, *compat, "--trace", "t.json", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    events = [e for e in json.loads((tmp_path / "t.json").read_text())["traceEvents"] if e["ph"] == "X"]
    assert len(events) == json.loads(done.stdout)["events"] == 600 * 4
    tracks = {e["tid"] for e in events}
    assert len(tracks) == (2 if compat else 1)
    for track in tracks:
        own = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e["tid"] == track)
        assert all(a[1] <= b[0] for a, b in pairwise(own))
    work = sum(float(row.split(",")[4]) for row in rows) * 300
    assert sum(e["dur"] for e in events) == pytest.approx(work * 1e6, rel=1e-9)
