"""The bounds are never above what the cost model says, on random layers, engines and networks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels.area import engine_area_mm2
from hwmodels.bounds import Bounds, areas_mm2, engine_columns, network_bounds
from hwmodels.cost import layer_costs
from hwmodels.engine import (
    DATAFLOWS,
    DEPTHWISE_MODES,
    FOLD_OVERLAPS,
    IM2COL,
    MULTI_PRECISION,
    NODES_NM,
    PRECISION_BITS,
    ZERO_SKIPPING,
    Engine,
)
from hwmodels.network import MATRIX_OPS, SPARSITY_PATTERNS, VECTOR_OPS, Layer, Network
from hwmodels.networks import network

REFERENCE = Engine(rows=32, cols=32, dataflow="ws", sram_bytes=2**20, dram_bytes_per_s=16e9, freq_hz=1e9)

engines = st.builds(
    Engine, rows=st.sampled_from([1, 3, 8, 16, 64]), cols=st.sampled_from([1, 5, 8, 32]),
    dataflow=st.sampled_from(DATAFLOWS), sram_bytes=st.sampled_from([700, 5000, 2**15, 2**18, 2**22]),
    dram_bytes_per_s=st.sampled_from([1e8, 1e9, 1e11]), freq_hz=st.sampled_from([1e8, 1e9]),
    precision=st.sampled_from(sorted(PRECISION_BITS)), vector_lanes=st.sampled_from([1, 16, 10_000]),
    fold_overlap=st.sampled_from(FOLD_OVERLAPS), node_nm=st.sampled_from(NODES_NM), output_drain=st.booleans(),
    im2col=st.sampled_from(IM2COL), stacks=st.sampled_from([1, 1, 4]),
    depthwise_modes=st.sampled_from([("per_channel",), DEPTHWISE_MODES, ("packed_diagonal",)]),
    multi_precision=st.sampled_from(MULTI_PRECISION), zero_skipping=st.sampled_from(ZERO_SKIPPING),
    inter_layer_reuse=st.booleans(), weights_stay=st.booleans(), accumulator_bits=st.sampled_from([0, 0, 8, 64]))


@st.composite
def layers(draw, index):
    """A layer of any operator, reading one or two earlier ones."""
    size = lambda most: draw(st.integers(1, most))  # noqa: E731
    inputs = None
    if index and draw(st.booleans()):
        inputs = tuple(sorted(draw(st.sets(st.integers(-1, index - 1), min_size=1, max_size=2))))
    op = draw(st.sampled_from(MATRIX_OPS + VECTOR_OPS))
    common = {"name": f"layer{index}", "op": op, "inputs": inputs, "vector_ops": draw(st.sampled_from([0, 500])),
              "extra_parameters": draw(st.sampled_from([0, 77]))}
    if op in VECTOR_OPS:
        return Layer(**common, in_elements=size(5000), out_elements=size(5000))
    if op in ("conv", "depthwise"):
        loops = {"oy": size(20), "ox": size(20), "fy": size(5), "fx": size(5), "stride_y": size(4), "stride_x": size(3),
                 "dilation_y": size(3), "pad_y": size(3) - 1, "pad_x": size(3) - 1}
    else:
        loops = {"oy": size(300)}
    if op == "depthwise":
        loops |= {"groups": size(40), "k": draw(st.sampled_from([1, 1, 2]))}
    else:
        loops |= {"groups": draw(st.sampled_from([1, 1, 4])), "c": size(100), "k": size(100)}
    if op == "recurrent":
        loops |= {"repeat": size(10), "oy": 1}
    bits = {name: draw(st.sampled_from([2, 4, 8, 16])) for name in ("weight_bits", "input_bits", "output_bits")}
    return Layer(**common, **loops, **bits, batch=draw(st.sampled_from([1, 3])),
                 weight_density=draw(st.sampled_from([1.0, 0.5])), activation_density=draw(st.sampled_from([1.0, 0.3])),
                 sparsity=draw(st.sampled_from(SPARSITY_PATTERNS)))


@st.composite
def networks(draw):
    count = draw(st.integers(1, 4))
    return Network(name="random", layers=tuple(draw(layers(index)) for index in range(count)))


def assert_below(bounds, costs, at=0):
    latency = costs.latency_s.sum()
    traffic = (costs.dram_read_bytes + costs.dram_write_bytes).sum()
    found = Bounds(latency, latency, traffic, costs.energy_j.sum())
    for name, bound, value in zip(Bounds._fields, bounds, found, strict=True):
        assert bound[at] <= value, name


@settings(max_examples=250, deadline=None)
@given(net=networks(), engine=engines, objective=st.sampled_from(["latency", "energy", "dram_bytes"]))
def test_bounds_are_admissible(net, engine, objective):
    costs = layer_costs(net, engine, objective=objective)
    if not costs.unsupported:
        assert_below(network_bounds(net, engine_columns([engine])), costs)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "bert_base", "res8"])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_bounds_of_real_networks_are_admissible_and_close(name, dataflow):
    engine = replace(REFERENCE, dataflow=dataflow)
    costs = layer_costs(network(name), engine)
    bounds = network_bounds(network(name), engine_columns([engine]))
    assert_below(bounds, costs)
    assert bounds.latency_s[0] >= (0.9 if dataflow != "rs" else 0.3) * costs.latency_s.sum()


def test_a_shape_that_changes_at_run_time_is_bounded_by_its_pes():
    """Every layer on the best of several compositions of the same PEs, as a fissile array has them."""
    net = network("mobilenet_v2")
    shapes = [replace(REFERENCE, rows=r, cols=1024 // r) for r in (8, 16, 32, 64, 128)]
    best = np.min([layer_costs(net, engine).latency_s for engine in shapes], axis=0).sum()
    bound = network_bounds(net, engine_columns([REFERENCE], rigid=False)).latency_s[0]
    together = network_bounds(net, engine_columns(shapes), first=np.array([0, 5])).latency_s[0]
    assert bound <= together <= best


def test_several_engines_per_design():
    """A design with two engines is bounded by its better one per layer."""
    net = network("resnet18")
    pair = [replace(REFERENCE, dataflow="ws"), replace(REFERENCE, dataflow="os", rows=16)]
    columns = engine_columns(pair)
    alone = network_bounds(net, columns).latency_s
    together = network_bounds(net, columns, first=np.array([0, 2])).latency_s
    assert together.shape == (1,)
    assert together[0] <= alone.min()
    mixed = np.min([layer_costs(net, engine).latency_s for engine in pair], axis=0).sum()
    assert together[0] <= mixed


def test_early_exits():
    """Half of the requests leave after the first layer: the mean pays half of the second, the fastest request none."""
    def net(exit_frac):
        return Network(name="exits", layers=(
            Layer(name="a", op="gemm", oy=64, k=64, c=64, exit_frac=exit_frac),
            Layer(name="b", op="gemm", oy=64, k=64, c=64)))

    columns = engine_columns([REFERENCE])
    full = network_bounds(net(0.0), columns).latency_s[0]
    assert network_bounds(net(0.5), columns).latency_s[0] == pytest.approx(0.75 * full, rel=0.1)
    assert network_bounds(net(0.5), columns, quantile=True).latency_s[0] < 0.6 * full


@given(chosen=st.lists(engines, min_size=1, max_size=8))
def test_areas_are_exact(chosen):
    expected = [sum(engine_area_mm2(engine).values()) for engine in chosen]
    assert areas_mm2(engine_columns(chosen)) == pytest.approx(expected, rel=1e-9)


def test_hand_computed_product():
    """One 64 x 64 x 64 product on 32 x 32 ws: 4 folds of 64 + 2 * 32 + 32 - 2; weights, input and output moved once."""
    net = Network(name="product", layers=(Layer(name="a", op="gemm", oy=64, k=64, c=64),))
    engine = replace(REFERENCE, dram_bytes_per_s=1e12)
    bounds = network_bounds(net, engine_columns([engine]))
    assert bounds.latency_s[0] == pytest.approx(4 * (64 + 94) / 1e9)
    assert bounds.dram_bytes[0] == pytest.approx(3 * 64 * 64)


def test_columns_are_independent():
    """A column of many designs equals the designs one by one, in any order."""
    net = network("res8")
    chosen = [replace(REFERENCE, rows=r, sram_bytes=s, dataflow=d)
              for r in (8, 16) for s in (2**14, 2**20) for d in DATAFLOWS]
    together = network_bounds(net, engine_columns(chosen))
    backwards = network_bounds(net, engine_columns(chosen[::-1]))
    for column, other in zip(together, backwards, strict=True):
        assert (column == other[::-1]).all()
    for index, engine in enumerate(chosen):
        assert network_bounds(net, engine_columns([engine])).energy_j[0] == together.energy_j[index]
