"""Tiles of a layer: from the mapping by hand, and what holds for all networks; preemption at them, end to end."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hwmodels.architectures import TimeMux
from hwmodels.cost import layer_costs
from hwmodels.design import Design
from hwmodels.engine import Engine
from hwmodels.evaluate import evaluate_detail
from hwmodels.kernel import run
from hwmodels.mapping import Nest, Problem, columns
from hwmodels.mapping_tables import N_RESULT, ORDERS, R_ORDER, R_STEPS, R_TB, R_TK
from hwmodels.network import Layer, Network
from hwmodels.networks import network
from hwmodels.policies import POLICIES
from hwmodels.tiles import matrix_tiles, vector_tiles
from hwmodels.workload import Tenant, Traffic, Workload

ENGINE = Engine(rows=32, cols=32, dataflow="ws", sram_bytes=2**20, dram_bytes_per_s=16e9, freq_hz=1e9)


def tiles(nest, tile, order, steps, **problem):
    """(tiles, piece, accumulators, reloads) of one mapped nest."""
    rows = columns([Problem(nest=nest, units=(1.0,) * 15, **problem)])
    found = np.zeros((1, N_RESULT))
    found[0, R_TB : R_TK + 1], found[0, R_ORDER], found[0, R_STEPS] = tile, ORDERS.index(order), steps
    return tuple(column.item() for column in matrix_tiles(rows.ints, rows.floats, found))


@pytest.mark.parametrize(("order", "piece"), [("mnk", 3), ("nmk", 3), ("mkn", 1), ("knm", 1), ("kmn", 1)])
def test_by_hand(order, piece):
    """Output 8 x 8 x 16 from 9 channels, window 3 x 3, stride 2; tiles of 4 x 8, 8 filters, 3 channels: 2 x 2 x 3."""
    nest = Nest(groups=1, batch=1, oy=8, ox=8, n=16, c=9, window=9, stride_y=2, stride_x=2, halo_y=3, halo_x=3)
    sizes = (1.0, 2.0, 4.0, 1.0)
    inputs, weights = (3 * 2 + 3) * (7 * 2 + 3) * 3, 8 * 3 * 9 * 2
    assert tiles(nest, (1, 4, 8, 8, 3), order, 12, element_bytes=sizes) == (12, piece, 4 * 8 * 8 * 4, inputs + weights)
    on_chip = tiles(nest, (1, 4, 8, 8, 3), order, 12, element_bytes=sizes, fetched=(0.0, 1.0, 1.0))
    assert on_chip == (12, piece, 4 * 8 * 8 * 4, weights)


def test_the_innermost_loop_that_turns_counts():
    """With all filters in one tile, order m, k, n accumulates over k without a break."""
    nest = Nest(groups=1, batch=1, oy=8, ox=8, n=16, c=9, window=1)
    assert tiles(nest, (1, 8, 8, 16, 3), "kmn", 3)[1] == 3
    assert tiles(nest, (1, 8, 8, 16, 9), "mnk", 1)[1] == 1


def test_weights_kept_between_repeats_are_lost_as_a_whole():
    layer = Layer(name="r", op="recurrent", oy=1, k=64, c=64, repeat=10)
    costs = layer_costs(Network(name="r", layers=(layer,)), replace(ENGINE, dram_bytes_per_s=1e8))
    mapped = costs.mappings[0]
    assert mapped.weights_on_chip
    assert costs.tiles.tolist() == [mapped.mappings[0].steps + 9 * mapped.mappings[1].steps]
    assert costs.reload_bytes[0] >= layer.weight_elements


def test_vector_layers_stream():
    assert vector_tiles(np.array([0.0, 100.0, 1001.0]), 1000).tolist() == [1, 1, 3]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "bert_base", "lstm"])
@pytest.mark.parametrize("dataflow", ["ws", "os"])
def test_of_networks(name, dataflow):
    engine = replace(ENGINE, dataflow=dataflow)
    net, costs = network(name), layer_costs(network(name), replace(ENGINE, dataflow=dataflow))
    for layer, (row, mapped) in zip(net, enumerate(costs.mappings), strict=True):
        tiles, piece = int(costs.tiles[row]), int(costs.piece_tiles[row])
        assert tiles >= 1
        if len(mapped.mappings) == 1:
            assert tiles == layer.repeat * mapped.mappings[0].steps
            assert tiles % piece == 0
    # one tile of every operand fits the buffer, beside the accumulators
    assert (costs.accumulator_bytes + costs.reload_bytes <= engine.sram_bytes).all()


def test_stopping_at_tiles_shortens_the_wait_of_the_short():
    """The wait of a short request is at most a tile, a decision, and what is saved of the long one."""
    workload = Workload(name="two", duration_s=2.0, tenants=(
        Tenant(name="short", network=network("res8"), traffic=Traffic(kind="periodic", rate_hz=50.0)),
        Tenant(name="long", network=network("bert_base"), traffic=Traffic(kind="poisson", rate_hz=8.0)),
    ))
    design = Design(architecture=TimeMux(engine=ENGINE), policy="sjf", scheduler="hardware")
    detail = evaluate_detail(design, workload, seed=2)
    table, machine, trace = detail.prepared.table, detail.machine, detail.trace
    short = trace.tenant == 0
    waits = {}
    for grain in (0, 1):
        records = run(table, machine, trace, POLICIES["sjf"], {"grain": grain})
        waits[grain] = (records.start_s - records.ready_s)[short].max()
        assert records.preemptions[~short].sum() > 10
    own = table.live_bytes.max() + table.tiles.accumulator_bytes.max()
    bound = (table.latency_s / table.tiles.tiles).max() + 2 * own / machine.dram_bytes_per_s + 2 * machine.decision_s
    assert waits[1] <= bound < waits[0]
