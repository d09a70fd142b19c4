"""Bounds of networks on one engine of a range: never above what any engine inside costs, and close where it counts."""

from dataclasses import replace

import numpy as np
import pytest

from hwmodels.bounds import LayerBounds, engine_columns, layer_bounds, layer_rows, waiting_bytes
from hwmodels.cost import layer_costs
from hwmodels.engine import Engine
from hwmodels.network import Layer, Network
from hwmodels.path_bounds import PathBounds, path_bounds
from spaces.designs import REAL_ARRAY

ENGINE = Engine(rows=32, cols=16, dataflow="os", sram_bytes=60_000, dram_bytes_per_s=2e9, freq_hz=0.5e9,
                vector_lanes=32, **REAL_ARRAY)

NUMBERS = {"rows": (4, 70), "cols": (4, 70), "sram_bytes": (8_000, 400_000), "vector_lanes": (2, 100),
           "dram_bytes_per_s": (3e8, 2e10), "freq_hz": (1e8, 1e9)}


def blocks(width: int, side: int, count: int, window: int = 3) -> Network:
    """Inverted residuals: widen, a depthwise window, narrow, add."""
    layers: list[Layer] = []
    for i in range(count):
        start, wide, stride = len(layers) - 1, 6 * width, 2 if i == 1 else 1
        layers += [
            Layer(name=f"wide{i}", op="conv", oy=side, ox=side, k=wide, c=width, vector_ops=side * side * wide),
            Layer(name=f"deep{i}", op="depthwise", oy=side // stride, ox=side // stride, groups=wide, fy=window,
                  fx=window, stride_y=stride, stride_x=stride, pad_y=window - 1, pad_x=window - 1)]
        side //= stride
        layers.append(Layer(name=f"narrow{i}", op="conv", oy=side, ox=side, k=width, c=wide))
        if stride == 1:
            size = side * side * width
            layers.append(Layer(name=f"add{i}", op="elementwise", in_elements=2 * size, out_elements=size,
                                vector_ops=size, inputs=(start, len(layers) - 1)))
    layers.append(Layer(name="fc", op="gemm", k=50, c=width))
    return Network(name=f"blocks{width}_{side}", layers=tuple(layers))


NETWORKS = (blocks(16, 28, 1), blocks(24, 20, 2, window=5), Network(name="plain", layers=(
    Layer(name="conv", op="conv", oy=14, ox=14, k=64, c=32, fy=3, fx=3, pad_y=2, pad_x=2),
    Layer(name="steps", op="recurrent", repeat=4, k=128, c=64),
    Layer(name="fc", op="gemm", k=100, c=32))))


def bounded(network: Network, largest: Engine, smallest: Engine | None = None) -> tuple[LayerBounds, PathBounds]:
    least = smallest or largest
    layers = layer_bounds(network, engine_columns([largest]), quantile=True, smallest=engine_columns([least]))
    return layers, path_bounds(network, [largest], layers, smallest=[least])


def exact(network: Network, engine: Engine) -> tuple[float, float, float] | None:
    costs = layer_costs(network, engine)
    moved = costs.dram_read_bytes + costs.dram_write_bytes
    return None if costs.unsupported else (costs.latency_s.sum(), costs.energy_j.sum(), moved.sum())


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
@pytest.mark.parametrize("dataflow", ["ws", "os", "is", "rs"])
def test_no_engine_of_a_range_costs_less(network: Network, dataflow: str) -> None:
    rng = np.random.default_rng(sum(map(ord, network.name + dataflow)))
    closer = 0
    for _ in range(12):
        spread = rng.choice([0.0, 0.05, 0.3, 1.0])
        low, high = {}, {}
        for name, (least, most) in NUMBERS.items():
            first, last = least * (most / least) ** np.sort(rng.uniform(size=2))
            low[name], high[name] = type(least)(first), type(least)(first * (last / first) ** spread)
        kind = replace(ENGINE, dataflow=dataflow, weights_stay=bool(rng.random() < 0.1),
                       double_buffered_sram=bool(rng.random() < 0.8),
                       fold_overlap=str(rng.choice(["none", "double_buffered"])))
        layers, found = bounded(network, replace(kind, **high), replace(kind, **low))
        closer += found.energy_j[0] > layers.energy_j[layer_rows(network), 0].sum() * (1 + 1e-6)
        for at in (0.0, 1.0, None, None):
            inside = {name: type(low[name])(low[name] + (high[name] - low[name]) * (rng.random() if at is None else at))
                      for name in NUMBERS}
            costs = exact(network, replace(kind, **inside))
            for bound, value in zip(found, costs or (), strict=False):
                assert bound[0] <= value * (1 + 1e-12), (inside, low, high)
    assert closer or dataflow == "rs" or network.name == "plain"


def test_both_sides_of_a_layer_wait_only_where_there_is_room() -> None:
    """Two outputs of 25,088 bytes: together they do not fit 40,000, one does."""
    size = 28 * 28 * 32
    network = Network(name="three", layers=tuple(
        Layer(name=f"conv{i}", op="conv", oy=28, ox=28, k=32, c=32) for i in range(3)))
    moved, room = waiting_bytes(network)
    assert moved[1].tolist() == [1024 + 2 * size, 1024 + size, 1024 + size, 1024]
    assert room[1].tolist() == [0, size, size, 2 * size]
    weights, ends = 3 * 32 * 32, 2 * size
    for sram, kept in ((60_000, 2), (40_000, 1), (20_000, 0)):
        layers, found = bounded(network, replace(ENGINE, sram_bytes=sram))
        assert found.dram_bytes[0] >= (weights + ends + 2 * size * (2 - kept)) * (1 - 1e-6)
        costs = exact(network, replace(ENGINE, sram_bytes=sram))
        assert costs is not None
        assert found.dram_bytes[0] <= costs[2]
        assert layers.dram_bytes[layer_rows(network), 0].sum() <= found.dram_bytes[0] * (1 + 1e-8)


def test_depthwise_layers_that_must_run_on_the_vector_unit_pay_for_it() -> None:
    network = NETWORKS[0]
    for sram, much in ((60_000, False), (150_000, True), (400_000, True)):
        engine = replace(ENGINE, sram_bytes=sram)
        assert layer_costs(network, engine).mappings[1].form == "vector"
        layers, found = bounded(network, engine)
        costs = exact(network, engine)
        assert costs is not None
        assert (layers.energy_j[layer_rows(network), 0].sum() < 0.6 * costs[1]) == much
        assert 0.9 * costs[1] < found.energy_j[0] <= costs[1]
        assert found.batched_j[0] < 0.97 * found.energy_j[0]
    slow = replace(ENGINE, vector_lanes=1)
    assert layer_costs(network, slow).mappings[1].form == "os"
    assert bounded(network, slow)[1].energy_j[0] <= exact(network, slow)[1]  # type: ignore[index]
