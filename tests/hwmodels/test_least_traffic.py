"""The best tiling without an array: what every engine's mapping moves at least, and what some move exactly."""

from dataclasses import replace

import numpy as np
import pytest

from hwmodels.cost import layer_costs
from hwmodels.engine import Engine
from hwmodels.least_traffic import Waiting, least_dram_bytes, traffic_cases
from hwmodels.network import Layer, Network

ENGINE = Engine(rows=16, cols=16, dataflow="ws", sram_bytes=1 << 16, dram_bytes_per_s=2e9, freq_hz=0.5e9)
LAYERS = (Layer(name="product", op="gemm", oy=192, k=384, c=320),
          Layer(name="window", op="conv", oy=28, ox=28, k=64, c=64, fy=3, fx=3, pad_y=2, pad_x=2),
          Layer(name="groups", op="conv", batch=2, oy=15, ox=13, k=24, c=20, groups=3, fy=5, fx=3, stride_y=2, pad_y=3),
          Layer(name="steps", op="recurrent", repeat=5, k=512, c=256, extra_parameters=512))
ALONE = Waiting(np.inf, np.inf, stored=False)


def moved(layer: Layer, engine: Engine, objective: str) -> float:
    costs = layer_costs(Network(name="one", layers=(layer,)), engine, objective=objective)
    return float((costs.dram_read_bytes + costs.dram_write_bytes)[0])


def least_of(layer: Layer, sram_bytes: int, around: Waiting = ALONE, buffers: int = 2) -> float:
    cases = traffic_cases([layer], [around])
    return float(least_dram_bytes(cases, sram_bytes=sram_bytes, sum_bytes=4.0, buffers=buffers)[0])


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("sram_bytes", [1 << 14, 1 << 16, 1 << 18, 1 << 22])
def test_every_array_moves_at_least_this_and_one_that_minds_traffic_no_more(layer: Layer, sram_bytes: int) -> None:
    least = least_of(layer, sram_bytes)
    for dataflow in ("ws", "os", "is"):
        engine = replace(ENGINE, dataflow=dataflow, sram_bytes=sram_bytes)
        assert moved(layer, engine, "dram_bytes") == pytest.approx(least, rel=1e-12)
        assert moved(layer, engine, "latency") >= least * (1 - 1e-12)
        single = replace(engine, double_buffered_sram=False)
        assert moved(layer, single, "dram_bytes") == pytest.approx(least_of(layer, sram_bytes, buffers=1), rel=1e-12)


def test_what_waits_on_chip_is_not_moved() -> None:
    product = LAYERS[0]
    size = float(192 * 320 + 192 * 384)
    weights = float(320 * 384)
    assert least_of(product, 1 << 22) == size + weights
    around = Waiting(192.0 * 320, 192.0 * 384, stored=False)
    assert least_of(product, 1 << 22, around) == weights
    stored = around._replace(stored=True)
    assert least_of(product, 1 << 22, stored) == weights + 192 * 384


def test_nothing_is_claimed_of_vector_layers_and_of_buffers_too_small() -> None:
    relu = Layer(name="relu", op="activation", in_elements=100, out_elements=100)
    cases = traffic_cases([relu, LAYERS[1]], [ALONE, ALONE])
    found = least_dram_bytes(cases, sram_bytes=8, sum_bytes=4.0, buffers=2)
    assert found.tolist() == [0.0, 0.0]
