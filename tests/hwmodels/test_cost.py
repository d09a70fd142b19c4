"""Costs of layers and networks: hand-checked cases, laws over random layers and engines, reuse between layers."""

import csv
import gzip
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels.cost import COMPUTE, DRAM, LIMITS, SRAM, VECTOR, LayerCosts, _record, layer_costs, networks_costs
from hwmodels.engine import Engine
from hwmodels.engines.systolic import product_cycles
from hwmodels.errors import ModelError
from hwmodels.mapping import OBJECTIVES
from hwmodels.network import Layer, Network

DATA = Path(__file__).parents[1] / "data" / "costmodel"


def engine(**changes):
    given_ = {"rows": 16, "cols": 16, "dataflow": "ws", "sram_bytes": 1 << 17, "dram_bytes_per_s": 8e9, "freq_hz": 1e9}
    return Engine(**(given_ | changes))


def alone(layer):
    return Network(name="one", layers=(layer,))


def chain(*layers):
    return Network(name="chain", layers=layers)


CONV = Layer(name="conv", op="conv", k=64, c=32, oy=14, ox=14, fy=3, fx=3, pad_y=2, pad_x=2, vector_ops=14 * 14 * 64)
EVERY_KIND = (
    CONV,
    Layer(name="strided", op="conv", k=24, c=3, oy=16, ox=16, fy=7, fx=7, stride_y=2, stride_x=2, pad_y=5, pad_x=5),
    Layer(name="dilated", op="conv", k=8, c=8, oy=10, ox=10, fy=3, fx=3, dilation_y=4, dilation_x=4, pad_y=8, pad_x=8),
    Layer(name="grouped", op="conv", groups=4, k=8, c=8, oy=9, ox=9, fy=3, fx=3, pad_y=2, pad_x=2),
    Layer(name="depthwise", op="depthwise", groups=33, oy=9, ox=9, fy=3, fx=3, pad_y=2, pad_x=2),
    Layer(name="gemm", op="gemm", oy=50, k=70, c=90, batch=2),
    Layer(name="attention", op="attention", groups=6, oy=40, k=40, c=16),
    Layer(name="recurrent", op="recurrent", k=64, c=32, repeat=7),
    Layer(name="pool", op="pool", vector_ops=4000, in_elements=4000, out_elements=1000),
    Layer(name="softmax", op="softmax", vector_ops=50000, in_elements=10000, out_elements=10000),
    Layer(name="copy", op="copy", in_elements=100, out_elements=100),
    Layer(name="nothing", op="copy"),
)
ENGINES = st.builds(
    lambda rows, cols, dataflow, sram, bandwidth, precision, overlap, drain, modes, stacks, im2col, double: engine(
        rows=rows, cols=cols, dataflow=dataflow, sram_bytes=sram, dram_bytes_per_s=bandwidth, precision=precision,
        fold_overlap=overlap, output_drain=drain, depthwise_modes=modes, stacks=stacks, im2col=im2col,
        double_buffered_sram=double),
    st.sampled_from([1, 4, 13, 32]), st.sampled_from([1, 8, 14, 64]), st.sampled_from(["ws", "os", "is", "rs"]),
    st.sampled_from([4096, 40000, 1 << 20]), st.sampled_from([1e8, 4e9, 1e12]),
    st.sampled_from(["int4", "int8", "fp16"]),
    st.sampled_from(["none", "double_buffered"]), st.booleans(),
    st.sampled_from([("per_channel",), ("packed_diagonal",), ("vector_unit", "per_channel")]), st.sampled_from([1, 4]),
    st.sampled_from(["expanded", "on_the_fly"]), st.booleans())


def compulsory_bytes(layer):
    """Reads and writes that no mapping of the layer alone can avoid; recurrent state never leaves the chip."""
    outputs = layer.output_elements * layer.output_bits / 8
    inputs = 0 if layer.op == "recurrent" else layer.input_elements * layer.input_bits / 8
    return inputs + layer.weight_elements * layer.weight_bits / 8, outputs


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(EVERY_KIND), ENGINES, st.sampled_from(OBJECTIVES))
def test_laws_of_a_layer(layer, here, objective):
    costs = layer_costs(alone(layer), here, objective=objective)
    if costs.unsupported:
        assert costs.unsupported[0].startswith("sram_bytes: must be >= ")
        return
    row = {field: getattr(costs, field)[0] for field in LayerCosts._fields[:-1]}
    for field, value in row.items():
        if field != "mappings":
            assert np.isfinite(value), field
            assert value >= 0, field
    moved = row["dram_read_bytes"] + row["dram_write_bytes"]
    assert row["cycles"] >= row["compute_cycles"] * (1 - 1e-9) - 1
    assert row["latency_s"] >= moved / here.dram_bytes_per_s * (1 - 1e-9)
    assert row["latency_s"] == row["cycles"] / here.freq_hz
    if row["mappings"].form != "vector":
        assert row["cycles"] * here.pes >= layer.macs
    read, written = compulsory_bytes(layer)
    assert row["dram_read_bytes"] >= read * (1 - 1e-12)
    assert row["dram_write_bytes"] >= written * (1 - 1e-12)
    parts = sum(row[f"{part}_energy_j"] for part in ("mac", "noc", "sram", "dram", "vector"))
    assert row["energy_j"] == pytest.approx(parts, rel=1e-12)
    assert row["energy_j"] > 0 or layer.name == "nothing"
    assert 0 <= row["utilisation_frac"] <= 1
    assert row["live_bytes"] == 0


@settings(deadline=None, max_examples=40)
@given(ENGINES, st.sampled_from(OBJECTIVES), st.sampled_from(["sram_bytes", "dram_bytes_per_s", "freq_hz"]))
def test_a_better_engine_never_worsens_the_network(here, objective, field):
    if field == "sram_bytes" and objective != "latency" and objective != "dram_bytes":
        return  # energy per access grows with the size of the buffer
    layers = tuple(replace(layer, inputs=None) for layer in EVERY_KIND)
    costs, more = (layer_costs(chain(*layers), other, objective=objective)
                   for other in (here, replace(here, **{field: getattr(here, field) * 3})))
    if costs.unsupported:
        return
    assert not more.unsupported

    def total(table):
        if objective == "latency":
            return table.latency_s.sum()
        if objective == "energy":
            return table.energy_j.sum()
        if objective == "dram_bytes":
            return (table.dram_read_bytes + table.dram_write_bytes).sum()
        return (table.latency_s * table.energy_j).sum()

    assert total(more) <= total(costs) * (1 + 1e-9)


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_compute_cycles_are_the_reference_closed_form(dataflow):
    """An engine of which only the seven basic keys are given counts cycles as SCALE-Sim does, plus one."""
    layer = Layer(name="g", op="conv", k=144, c=24, oy=56, ox=56)
    here = engine(rows=32, cols=128, dataflow=dataflow)
    cycles = product_cycles(3136, 144, 24, 32, 128, dataflow)
    assert cycles == {"os": 35672, "ws": 6652, "is": 8350}[dataflow]
    assert layer_costs(alone(layer), here).compute_cycles[0] == cycles
    grouped = replace(layer, groups=3)
    assert layer_costs(alone(grouped), here).compute_cycles[0] == 3 * cycles


def test_small_layer_by_hand():
    """One tile of 8 x 8 x 8 on 8 x 8 os, 8 bytes per cycle: load 16, compute 22, store 8."""
    costs = layer_costs(alone(Layer(name="g", op="gemm", oy=8, k=8, c=8)), engine(rows=8, cols=8, dataflow="os"))
    assert costs.compute_cycles[0] == 22
    mapping = costs.mappings[0].mappings[0]
    assert (costs.dram_read_bytes[0], costs.dram_write_bytes[0]) == (128, 64)
    assert costs.cycles[0] <= 16 + 22 + 8
    assert mapping.latency_cycles == costs.cycles[0]


def test_vector_layer_by_hand():
    layer = Layer(name="v", op="pool", vector_ops=6400, in_elements=1000, out_elements=500)
    fast = layer_costs(alone(layer), engine(vector_lanes=64))
    assert fast.cycles[0] == 1500 / 8
    assert LIMITS[fast.limited_by[0]] == "dram"
    slow = layer_costs(alone(layer), engine(vector_lanes=1))
    assert (slow.cycles[0], slow.compute_cycles[0], slow.limited_by[0]) == (6400, 6400, VECTOR)


def test_epilogue_can_limit_a_matrix_layer():
    layer = replace(CONV, vector_ops=10**7)
    costs = layer_costs(alone(layer), engine())
    assert costs.cycles[0] == -(-10**7 // 64)
    assert costs.limited_by[0] == VECTOR


def test_what_limits():
    assert layer_costs(alone(CONV), engine()).limited_by[0] == COMPUTE
    assert layer_costs(alone(CONV), engine(dram_bytes_per_s=1e6)).limited_by[0] == DRAM
    assert layer_costs(alone(CONV), engine(sram_words_per_cycle=4)).limited_by[0] == SRAM


def test_groups_in_another_order_cost_the_same():
    ones = alone(Layer(name="a", op="conv", groups=6, k=4, c=4, oy=8, ox=8, batch=2))
    assert layer_costs(ones, engine()).cycles[0] == layer_costs(ones, engine()).cycles[0]
    square = [layer_costs(alone(Layer(name="b", op="conv", k=8, c=8, fy=3, fx=3, **sizes)), engine()).cycles[0]
              for sizes in ({"oy": 12, "ox": 20}, {"oy": 20, "ox": 12})]
    assert square[0] == pytest.approx(square[1], rel=0.05)


def test_recurrent_weights_stay_if_they_fit():
    layer = Layer(name="r", op="recurrent", k=128, c=64, repeat=20)
    roomy, tight = (layer_costs(alone(layer), engine(sram_bytes=size)) for size in (1 << 16, 1 << 12))
    assert roomy.weight_bytes[0] == 128 * 64
    assert tight.weight_bytes[0] == 20 * 128 * 64
    assert roomy.mappings[0].weights_on_chip
    assert roomy.compute_cycles[0] == 20 * product_cycles(1, 128, 64, 16, 16, "ws")


ALEXNET = tuple(
    Layer(name=f"CONV{index}", op="conv", batch=4, groups=groups, k=k, c=c, oy=size, ox=size, fy=window, fx=window,
          stride_y=stride, stride_x=stride, pad_y=(window - 1) * (stride == 1), pad_x=(window - 1) * (stride == 1))
    for index, groups, k, c, size, window, stride in (
        (1, 1, 96, 3, 55, 11, 4), (2, 2, 128, 48, 27, 5, 1), (3, 1, 384, 256, 13, 3, 1), (4, 2, 192, 192, 13, 3, 1),
        (5, 2, 128, 192, 13, 3, 1)))


def test_eyeriss_measured():
    """Processing latency of the chip, DRAM excluded: every layer within 10 %, all within 5 %."""
    with (DATA / "eyeriss_v1_alexnet.csv").open() as file:
        measured = {row["layer"]: float(row["processing_latency_ms"]) * 1e-3 for row in csv.DictReader(file)}
    here = Engine(rows=12, cols=14, dataflow="rs", sram_bytes=108 * 1024, dram_bytes_per_s=1e12, freq_hz=200e6,
                  precision="int16", accumulator_bits=16, inter_layer_reuse=False)
    costs = layer_costs(chain(*ALEXNET).with_precision(16, 16), here)
    for layer, latency in zip(ALEXNET, costs.latency_s, strict=True):
        assert latency == pytest.approx(measured[layer.name], rel=0.10)
    assert costs.latency_s.sum() == pytest.approx(measured["Total"], rel=0.05)


def test_never_more_traffic_than_scalesim():
    """Its stall-free mode, three SRAMs pooled, sums one byte wide: one layer aside, whose addresses it aliases."""
    with (DATA / "scalesim_layers.csv").open() as file:
        shapes = {row["layer"]: {key: int(row[key]) for key in ("M", "N", "K", "FY", "FX", "C", "stride") if row[key]}
                  for row in csv.DictReader(file)}
    with gzip.open(DATA / "scalesim_runs.csv.gz", "rt") as file:
        runs = [run for run in csv.DictReader(file) if run["bw_mode"] == "CALC"]
    assert len(runs) > 200
    for run in runs[::3]:
        size = shapes[run["layer"]]
        if "FY" in size:
            side = math.isqrt(size["M"])
            layer = Layer(name="l", op="conv", k=size["N"], c=size["C"], oy=side, ox=side, fy=size["FY"], fx=size["FX"],
                          stride_y=size["stride"], stride_x=size["stride"])
        else:
            layer = Layer(name="l", op="gemm", oy=size["M"], k=size["N"], c=size["K"])
        here = engine(rows=int(run["array_rows"]), cols=int(run["array_cols"]), dataflow=run["dataflow"],
                      sram_bytes=3 * int(run["sram_kB_each"]) * 1024, accumulator_bits=8)
        costs = layer_costs(alone(layer), here, objective="dram_bytes")
        theirs = sum(int(run[f"dram_{part}"]) for part in ("ifmap_reads", "filter_reads", "ofmap_writes"))
        slack = 1.025 if run["layer"] == "r18_l2_ds_1x1_s2" else 1.0
        assert costs.dram_read_bytes[0] + costs.dram_write_bytes[0] <= slack * theirs, run


# ---- reuse between layers ------------------------------------------------------------------------------------------

FIRST = Layer(name="first", op="conv", k=16, c=8, oy=16, ox=16)
SECOND = Layer(name="second", op="conv", k=8, c=16, oy=16, ox=16)
ADD = Layer(name="add", op="elementwise", vector_ops=4096, in_elements=4096, out_elements=4096)


def test_an_activation_that_fits_stays():
    together = layer_costs(chain(FIRST, SECOND), engine())
    apart = layer_costs(chain(FIRST, SECOND), engine(inter_layer_reuse=False))
    assert together.dram_write_bytes[0] == 0
    assert together.live_bytes.tolist() == [4096, 0]
    assert together.dram_read_bytes[1] == apart.dram_read_bytes[1] - 4096
    assert (together.latency_s.sum(), apart.live_bytes.sum()) < (apart.latency_s.sum(), 1)


def test_an_activation_that_does_not_fit_leaves():
    costs = layer_costs(chain(FIRST, SECOND), engine(sram_bytes=3000))
    assert costs.live_bytes.sum() == 0
    assert costs.dram_write_bytes[0] == 4096


def test_a_later_reader_still_needs_it_written():
    third = replace(ADD, in_elements=4096, inputs=(0,))
    costs = layer_costs(chain(FIRST, SECOND, third), engine())
    assert costs.mappings[1].input_on_chip
    assert costs.dram_write_bytes[0] == 4096


def test_an_element_wise_layer_is_fused_without_room():
    costs = layer_costs(chain(FIRST, ADD), engine(sram_bytes=2500))
    assert costs.dram_write_bytes[0] == 0
    assert costs.dram_read_bytes[1] == 0


def test_other_shapes_share_nothing():
    padded = replace(SECOND, oy=30, ox=30)
    assert layer_costs(chain(FIRST, padded), engine()).live_bytes.sum() == 0


def test_weights_that_fit_can_stay_between_inferences():
    net = chain(FIRST, SECOND)
    stay, leave = (layer_costs(net, engine(weights_stay=flag)) for flag in (True, False))
    assert stay.weight_bytes.sum() == 0
    assert leave.weight_bytes.sum() == 256
    big = layer_costs(net, engine(weights_stay=True, sram_bytes=250))
    assert big.weight_bytes.sum() >= 256


def test_computed_operands_never_stay_between_inferences():
    scores = Layer(name="scores", op="attention", groups=4, oy=32, k=32, c=16)
    net = Network(name="n", layers=(scores, Layer(name="fc", op="gemm", oy=1, k=8, c=8, inputs=(-1,))))
    stay, leave = (layer_costs(net, engine(weights_stay=flag, sram_bytes=1 << 16)) for flag in (True, False))
    assert stay.dram_read_bytes[0] == leave.dram_read_bytes[0] >= scores.input_elements + scores.weight_elements
    assert stay.dram_read_bytes[1] < leave.dram_read_bytes[1]


# ---- what cannot run, caching, determinism -------------------------------------------------------------------------


def test_a_layer_that_cannot_run_is_a_sentence():
    costs = layer_costs(chain(FIRST, CONV), engine(sram_bytes=40))
    assert len(costs.unsupported) == 1
    assert costs.unsupported[0] == "sram_bytes: must be >= 44, the smallest tile of layer conv, got 40"
    assert costs.cycles[1] == 0
    assert all(np.isfinite(column).all() for column in costs[:-2])
    assert not layer_costs(chain(FIRST, CONV), engine(sram_bytes=44)).unsupported
    wide = layer_costs(alone(replace(CONV, weight_bits=32)), engine(multi_precision="fixed"))
    assert "conv needs 32-bit operands" in wide.unsupported[0]


def test_equal_content_is_computed_once():
    one, other = (Network(name=name, layers=(CONV, FIRST)) for name in "ab")
    assert layer_costs(one, engine()) is layer_costs(other, engine())
    with pytest.raises(ValueError, match="read-only"):
        layer_costs(one, engine()).cycles[0] = 0


@settings(deadline=None, max_examples=25)
@given(ENGINES, st.booleans(), st.sampled_from(OBJECTIVES))
def test_networks_cost_together_what_they_cost_alone(here, stay, objective):
    nets = (chain(*EVERY_KIND[:8]), chain(FIRST, CONV, *EVERY_KIND[8:]), alone(replace(CONV, weight_bits=16)))
    here = replace(here, weights_stay=stay)
    together = networks_costs(nets, here, objective=objective)
    _record.cache_clear()
    for one, net in zip(together, nets, strict=True):
        other = layer_costs(net, here, objective=objective)
        assert all(np.array_equal(a, b) for a, b in zip(one[:-2], other[:-2], strict=True))
        assert (list(one.mappings), one.unsupported) == (list(other.mappings), other.unsupported)


def test_unknown_objective():
    with pytest.raises(ModelError, match="objective"):
        layer_costs(alone(CONV), engine(), objective="speed")


def test_objectives_win_their_own_game():
    net = chain(*EVERY_KIND)
    here = engine(sram_bytes=20000, dram_bytes_per_s=1e9)
    tables = {objective: layer_costs(net, here, objective=objective) for objective in OBJECTIVES}
    assert tables["latency"].latency_s.sum() == min(table.latency_s.sum() for table in tables.values())
    assert tables["energy"].energy_j.sum() == min(table.energy_j.sum() for table in tables.values())
    moved = {name: (table.dram_read_bytes + table.dram_write_bytes).sum() for name, table in tables.items()}
    assert moved["dram_bytes"] == min(moved.values())


def test_the_order_of_layers_changes_no_layer():
    here = engine(inter_layer_reuse=False)
    layers = tuple(replace(layer, inputs=(-1,)) for layer in EVERY_KIND)
    forwards, backwards = layer_costs(chain(*layers), here), layer_costs(chain(*layers[::-1]), here)
    assert forwards.cycles.tolist() == backwards.cycles.tolist()[::-1]
    assert forwards.mappings[:] == backwards.mappings[::-1]


@pytest.mark.slow
def test_two_processes_agree():
    code = ("from hwmodels.networks import network; from hwmodels.engine import Engine;"
            "from hwmodels.cost import layer_costs;"
            "c = layer_costs(network('resnet18'), Engine(rows=16, cols=16, dataflow='os', sram_bytes=65536,"
            "dram_bytes_per_s=4e9, freq_hz=1e9)); print(c.cycles.tolist(), c.mappings[:])")
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1
