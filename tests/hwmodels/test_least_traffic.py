"""The best tiling without an array: what every engine's mapping moves at least, and what some move exactly."""

from dataclasses import replace

import numpy as np
import pytest

from hwmodels.cost import layer_costs
from hwmodels.engine import Engine
from hwmodels.least_traffic import Waiting, least_dram_bytes
from hwmodels.network import Layer, Network

ENGINE = Engine(rows=16, cols=16, dataflow="ws", sram_bytes=1 << 16, dram_bytes_per_s=2e9, freq_hz=0.5e9)
LAYERS = (Layer(name="product", op="gemm", oy=192, k=384, c=320),
          Layer(name="window", op="conv", oy=28, ox=28, k=64, c=64, fy=3, fx=3, pad_y=2, pad_x=2),
          Layer(name="steps", op="recurrent", repeat=5, k=512, c=256, extra_parameters=512))
ALONE = Waiting(np.inf, np.inf, stored=False)


def moved(layer: Layer, engine: Engine, objective: str) -> float:
    costs = layer_costs(Network(name="one", layers=(layer,)), engine, objective=objective)
    return float((costs.dram_read_bytes + costs.dram_write_bytes)[0])


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("sram_bytes", [1 << 14, 1 << 16, 1 << 18, 1 << 22])
def test_every_array_moves_at_least_this_and_one_that_minds_traffic_no_more(layer: Layer, sram_bytes: int) -> None:
    least = least_dram_bytes([layer], [ALONE], sram_bytes=sram_bytes, sum_bytes=4.0, buffers=2)[0]
    for dataflow in ("ws", "os", "is"):
        engine = replace(ENGINE, dataflow=dataflow, sram_bytes=sram_bytes)
        assert moved(layer, engine, "dram_bytes") == pytest.approx(least, rel=1e-12)
        assert moved(layer, engine, "latency") >= least * (1 - 1e-12)


def test_what_waits_on_chip_is_not_moved() -> None:
    product = LAYERS[0]
    size = float(192 * 320 + 192 * 384)
    weights = float(320 * 384)
    assert least_dram_bytes([product], [ALONE], sram_bytes=1 << 22, sum_bytes=4.0, buffers=2)[0] == size + weights
    around = Waiting(192.0 * 320, 192.0 * 384, stored=False)
    assert least_dram_bytes([product], [around], sram_bytes=1 << 22, sum_bytes=4.0, buffers=2)[0] == weights
    stored = around._replace(stored=True)
    assert least_dram_bytes([product], [stored], sram_bytes=1 << 22, sum_bytes=4.0, buffers=2)[0] == weights + 192 * 384


def test_nothing_is_claimed_of_vector_layers_and_of_buffers_too_small() -> None:
    relu = Layer(name="relu", op="activation", in_elements=100, out_elements=100)
    found = least_dram_bytes([relu, LAYERS[1]], [ALONE, ALONE], sram_bytes=8, sum_bytes=4.0, buffers=2)
    assert found.tolist() == [0.0, 0.0]
