"""The ONNXim export against the keys its parser reads, and the Parquet export."""

import importlib.util
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from dse.errors import InputError
from dse.export import export_run
from dse.exporters import EXPORTERS, parquet
from dse.exporters.chip import parts_of
from dse.exporters.onnxim import LOSES, configuration, design_texts, models
from dse.report.rundata import read_run
from hwmodels.architectures import Dedicated, Heterogeneous, TimeMux
from hwmodels.design import Design
from hwmodels.traffic import generate


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools, synthetic = _load("export_tools"), _load("synthetic_run")

# Keys that `initialize_config` of ONNXim asks for, by type; without one of them it stops.
TOP = {"num_cores": int, "core_freq": int, "core_print_interval": int, "core_config": dict, "dram_type": str,
       "dram_freq": int, "dram_channels": int, "icnt_type": str, "icnt_freq": int, "scheduler": str, "precision": int,
       "layout": str}
CORE = {"core_type": str, "core_width": int, "core_height": int, "vector_process_bit": int, "sram_width": int,
        "spad_size": int, "accum_spad_size": int,
        **{f"{op}_latency": int for op in ("add", "mul", "exp", "gelu", "add_tree", "scalar_sqrt", "scalar_add",
                                           "scalar_mul", "mac", "div")}}

engine = tools.engine
DESIGNS = {
    "time_mux": tools.DESIGNS["time_mux"],
    "composable": tools.DESIGNS["composable"],
    "heterogeneous": Design(architecture=Heterogeneous(engines=(engine(), engine(dataflow="os", rows=8))),
                            policy="fcfs"),
    "dedicated": Design(architecture=Dedicated(engines=(engine(), engine(rows=8, cols=32, sram_fracs=(0.3, 0.3, 0.4))),
                                               tenants=("frames", "words"), dram_fracs=(0.4, 0.6)), policy="fcfs"),
}


def parts(name):
    return parts_of(DESIGNS[name], tools.workload(), f"Trial 3 of study {name}")


@pytest.mark.parametrize("name", list(DESIGNS))
def test_the_configuration_has_every_key_that_onnxim_reads(name):
    found = configuration(parts(name))
    for key, kind in TOP.items():
        assert type(found[key]) is kind, key
    assert list(found["core_config"]) == [f"core_{i}" for i in range(found["num_cores"])]
    for core in found["core_config"].values():
        assert {key: type(value) for key, value in core.items()} == CORE
    assert found["scheduler"] == {"time_mux": "time_multiplex", "composable": "spatial_split",
                                  "heterogeneous": "simple", "dedicated": "partition_cpu"}[name]
    shapes = [(core["core_height"], core["core_width"]) for core in found["core_config"].values()]
    assert shapes == {"time_mux": [(16, 16)], "composable": [(8, 8)] * 4, "heterogeneous": [(16, 16), (8, 16)],
                      "dedicated": [(16, 16), (8, 32)]}[name]
    assert found.get("partition") == ({"core_0": 0, "core_1": 1} if name == "dedicated" else None)
    assert found["_not_expressed"] == LOSES == EXPORTERS["onnxim"].loses


def test_sizes_by_hand():
    found = configuration(parts("dedicated"))
    assert (found["core_freq"], found["precision"]) == (500, 1)
    shared, private = found["core_config"].values()
    assert (shared["spad_size"], shared["accum_spad_size"]) == (192, 64)  # 256 KiB
    assert (private["spad_size"], private["accum_spad_size"]) == (153, 102)
    assert shared["vector_process_bit"] == 64 * 8


@pytest.mark.parametrize("bytes_per_s", [1e6, 8e9, 64e9, 100e9, 819.2e9])
def test_the_dram_has_the_bandwidth_of_the_chip(bytes_per_s):
    design = Design(architecture=TimeMux(engine=engine(dram_bytes_per_s=bytes_per_s)), policy="fcfs")
    found = configuration(parts_of(design, tools.workload(), "t"))
    moved = found["dram_freq"] * 1e6 * found["dram_channels"] * found["dram_req_size"]
    assert moved == pytest.approx(bytes_per_s, rel=2e-3) or found["dram_freq"] == 1
    assert found["dram_freq"] <= 2000


@pytest.mark.parametrize("name", list(DESIGNS))
def test_every_request_is_in_the_list(name):
    workload = tools.workload()
    trace = generate(workload, 5, np.ones(2))
    entries = models(parts(name), 5)["models"]
    assert [entry["request_time"] for entry in entries] == pytest.approx(trace.arrival_s * 1e3)  # ms
    nets = [("res8", "small_net")[t] for t in trace.tenant]
    assert [entry["name"] for entry in entries] == nets
    if name == "dedicated":  # engine 0 serves the tenant of the small network
        assert all(entry["partition_id"] == (entry["name"] == "res8") for entry in entries)


def test_long_workloads_are_cut_and_say_so():
    workload = replace(tools.workload(), duration_s=5.0)
    texts = design_texts(parts_of(DESIGNS["time_mux"], workload, "t"))
    assert len(json.loads(texts["models_list.json"])["models"]) == 1000
    assert "Cut to the first 1000 requests" in texts["NOTES.txt"]
    assert "Cut" not in design_texts(parts("time_mux"))["NOTES.txt"]


@pytest.mark.parametrize("dataflow", ["is", "rs"])
def test_dataflows_it_does_not_have(dataflow):
    design = Design(architecture=TimeMux(engine=engine(dataflow=dataflow)), policy="fcfs")
    with pytest.raises(InputError, match=f"must be ws or os for ONNXim, got '{dataflow}'"):
        configuration(parts_of(design, tools.workload(), "t"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthetic.make_run(tmp_path_factory.mktemp("parquet") / "run", 40)


def test_parquet_without_pyarrow(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="parquet needs pyarrow, which is not installed"):
        export_run(folder, fmt="parquet", out=tmp_path / "a.parquet", trial=1)
    assert list(tmp_path.iterdir()) == []


def test_parquet_holds_the_rows_with_their_types(folder, tmp_path):
    if find_spec("pyarrow") is None:
        pytest.skip("pyarrow is not installed")
    import pandas as pd

    trials = export_run(folder, fmt="parquet", out=tmp_path / "a.parquet")
    table = pd.read_parquet(tmp_path / "a.parquet")
    run = read_run(folder)
    assert list(table.columns) == list(run.trials.columns)
    assert list(table["trial"]) == trials
    for at, trial in enumerate(trials):
        row = run.row(trial)
        assert table["area_mm2"][at] == row["area_mm2"]
        for name in run.parameters:
            value = table[f"params.{name}"][at]
            assert (None if pd.isna(value) else value) == row[f"params.{name}"]
    assert str(table["params.rows"].dtype) == "Int64"
    assert str(table["feasible"].dtype) == "bool"
