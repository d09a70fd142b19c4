"""`dse simulate --compat` against the rules of the Dysta benchmark written a second time (`dysta_rules`)."""

import csv
import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from dysta_rules import SCHEDULERS, finish_times, load

from dse.cli import app


def attention_folder(folder, rng):
    """Three networks, one compressed; the columns in an order of their own, with columns that nobody reads."""
    folder.mkdir()
    for name, samples, layers in (("bert_a", 7, 4), ("gpt_b", 9, 6), ("bart", 8, 3)):
        rows = ["layer-indx,overall-sparsity,25%-skip,50%-skip,batch-indx,extra"]
        rows += [f"{k},{rng.uniform(0.05, 0.9):.6f},1,{rng.uniform(0.4, 1.0):.5f},{s},x"
                 for s in range(samples) for k in range(layers)]
        text = ("\r\n" if name == "bart" else "\n").join(rows) + "\n"
        if name == "gpt_b":
            (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{name}.csv").write_bytes(text.encode("utf-8-sig" if name == "bart" else "utf-8"))


def cnn_folder(folder, rng):
    """Two architectures; the files of one have 7, 30 and 12 samples, so that the weights matter; no zero sparsity."""
    folder.mkdir()
    for name, samples, layers, scale in (("net_filter", 7, 5, 1.0), ("net_block4", 30, 5, 2.0),
                                         ("net_unstructured.v2", 12, 5, 0.6), ("other_filter", 8, 3, 1.5)):
        base = rng.uniform(0.5, 3.0, layers) * 1e-3 * scale
        rows = ["sim_lat,overall-sparsity,batch-indx,layer-indx"]
        rows += [f"{base[k] * rng.uniform(0.7, 1.4):.9f},{0.0 if k == 0 else rng.uniform(0.2, 0.8):.6f},{s},{k}"
                 for s in range(samples) for k in range(layers)]
        (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("compat", ["dysta-artifact", "dysta-corrected"])
@pytest.mark.parametrize(("make", "seed", "load_frac"), [(attention_folder, 1, 0.7), (attention_folder, 2, 1.1),
                                                         (cnn_folder, 3, 0.8), (cnn_folder, 4, 1.3)])
def test_all_schedulers_on_other_traces(tmp_path, make, seed, load_frac, compat):
    rng = np.random.default_rng(seed)
    make(tmp_path / "traces", rng)
    networks = load(tmp_path / "traces")
    names = sorted(networks)
    alone = {name: sum(networks[name].arch_lat) for name in names}
    gap = np.mean(list(alone.values())) / load_frac
    requests, now = [], 0.0
    for _ in range(90):
        now += rng.exponential(gap)
        name = names[rng.integers(len(names))]
        requests.append((now, now + 5 * alone[name], float(rng.choice([1, 3, 9])), name, int(rng.integers(7))))
    lines = ["request,arrival_s,network,sample,priority,deadline_s"]
    lines += [f"r{i},{a!r},{n},{s},{p},{d!r}" for i, (a, d, p, n, s) in enumerate(requests)]
    (tmp_path / "requests.csv").write_text("\n".join(lines) + "\n")
    for policy in SCHEDULERS:
        done = CliRunner().invoke(app, [
            "simulate", "--profile", str(tmp_path / "traces"), "--requests", str(tmp_path / "requests.csv"), "--policy",
            policy, "--compat", compat, "--out", str(tmp_path / "finish.csv")])
        assert done.exit_code == 0, done.output
        with (tmp_path / "finish.csv").open() as file:
            finish = [float(row["finish_s"]) for row in csv.DictReader(file)]
        expected = finish_times(networks, requests, policy, compat=compat == "dysta-artifact")
        assert np.abs(np.subtract(finish, expected)).max() < 1e-9, policy
        assert np.argsort(finish).tolist() == np.argsort(expected).tolist(), policy
