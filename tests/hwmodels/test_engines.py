"""Compute forms: hand-computed tables, a cycle-by-cycle array, every SCALE-Sim row."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels.engine import Engine
from hwmodels.engines import forms
from hwmodels.engines.common import untiled_cycles
from hwmodels.engines.precision import Rate, rate, unsupported
from hwmodels.engines.sparsity import stored_weight_frac, work_frac
from hwmodels.engines.systolic import edge_accesses, mapping_efficiency_frac, product_cycles
from hwmodels.engines.vector import vector_cycles
from hwmodels.errors import InvalidEngine
from hwmodels.network import Layer

DATA = Path(__file__).parents[1] / "data" / "costmodel"


def engine(**changes):
    given_ = {"rows": 32, "cols": 32, "dataflow": "ws", "sram_bytes": 1 << 20, "dram_bytes_per_s": 16e9, "freq_hz": 1e9}
    return Engine(**(given_ | changes))


def product(m, n, k, **more):
    return Layer(name="l", op="gemm", oy=m, k=n, c=k, **more)


@pytest.mark.parametrize(("m", "n", "k", "rows", "cols", "expected"), [
    # os none, ws none, is none, ws overlapped, os overlapped and drained
    (128, 128, 64, 32, 32, (2016, 1776, 1776, 1118, 1118)),
    (64, 16, 2048, 32, 32, (4220, 10112, 14080, 4190, 4190)),
    (49, 1, 9, 32, 32, (142, 143, 190, 143, 135)),
    (3136, 144, 24, 32, 128, (35672, 6652, 8350, 6462, 6454)),
    (2, 2, 2, 2, 2, (4, 6, 6, 6, 6)),
])
def test_products_by_hand(m, n, k, rows, cols, expected):
    shape = (m, n, k, rows, cols)
    assert expected == (
        product_cycles(*shape, "os"), product_cycles(*shape, "ws"), product_cycles(*shape, "is"),
        product_cycles(*shape, "ws", fold_overlap="double_buffered"),
        product_cycles(*shape, "os", fold_overlap="double_buffered", output_drain=True))


def scalesim_rows():
    with (DATA / "scalesim_layers.csv").open() as file:
        layers = {row["layer"]: tuple(int(row[key]) for key in "MNK") for row in csv.DictReader(file)}
    with gzip.open(DATA / "scalesim_runs.csv.gz", "rt") as file:
        return [(layers[row["layer"]], row) for row in csv.DictReader(file)]


def test_every_scalesim_row():
    rows = scalesim_rows()
    assert len(rows) == 755
    for (m, n, k), row in rows:
        shape = (m, n, k, int(row["array_rows"]), int(row["array_cols"]), row["dataflow"])
        cycles = product_cycles(*shape)
        assert cycles == int(row["total_cycles"]) - int(row["stall_cycles"]) + 1, row
        form = forms(product(m, n, k), engine(rows=shape[3], cols=shape[4], dataflow=shape[5]))[0]
        assert untiled_cycles(form) == cycles
        assert 100 * mapping_efficiency_frac(*shape) == pytest.approx(float(row["mapping_eff_pct"]), rel=1e-4)
        own_cycles = int(row["total_cycles"])
        used = 100 * m * n * k / (own_cycles * shape[3] * shape[4])
        assert used == pytest.approx(float(row["overall_util_pct"]), rel=1e-4)
        edge = edge_accesses(*shape)
        assert edge.input_reads == int(row["sram_ifmap_reads"])
        assert edge.weight_reads == int(row["sram_filter_reads"])
        if row["dataflow"] != "os":
            assert edge.output_writes == int(row["sram_ofmap_writes"])
        else:  # the tool counts a surplus of rows + columns per fold
            folds = -(-m // shape[3]) * -(-n // shape[4])
            assert edge.output_writes + folds * (shape[3] + shape[4]) == int(row["sram_ofmap_writes"])


def skewed_array(a, b, rows, cols, dataflow, *, drain):
    """The product a @ b on a grid of PEs, cycle by cycle, one fold after the other: (product, cycles).

    Only neighbours talk: what is at PE (r, c) in a cycle was at (r, c - 1) or (r - 1, c) in the one before.
    """
    m, k = a.shape
    n = b.shape[1]
    out = np.zeros((m, n), dtype=np.int64)
    cycles = 0
    size = {"os": (m, n), "ws": (k, n), "is": (k, m)}[dataflow]
    for r0 in range(0, size[0], rows):
        for c0 in range(0, size[1], cols):
            here = (min(rows, size[0] - r0), min(cols, size[1] - c0))
            if dataflow == "os":
                block, spent = _fold_os(a[r0:r0 + here[0]], b[:, c0:c0 + here[1]], rows, cols)
                out[r0:r0 + here[0], c0:c0 + here[1]] = block
                spent += rows if drain else 0
            elif dataflow == "ws":
                block, spent = _fold_stationary(b[r0:r0 + here[0], c0:c0 + here[1]], a[:, r0:r0 + here[0]], rows, cols)
                out[:, c0:c0 + here[1]] += block
            else:
                block, spent = _fold_stationary(a.T[r0:r0 + here[0], c0:c0 + here[1]], b.T[:, r0:r0 + here[0]], rows,
                                                cols)
                out[c0:c0 + here[1]] += block.T
            cycles += spent
    return out, cycles


def _fold_os(a, b, rows, cols):
    total = a.shape[1]
    left = np.zeros((rows, cols), dtype=np.int64)
    top = np.zeros((rows, cols), dtype=np.int64)
    acc = np.zeros((rows, cols), dtype=np.int64)
    cycles = 0
    while cycles < total + rows + cols - 2:
        left[:, 1:], top[1:, :] = left[:, :-1].copy(), top[:-1, :].copy()
        for r in range(rows):
            t = cycles - r
            left[r, 0] = a[r, t] if r < a.shape[0] and 0 <= t < total else 0
        for c in range(cols):
            t = cycles - c
            top[0, c] = b[t, c] if c < b.shape[1] and 0 <= t < total else 0
        acc += left * top
        cycles += 1
    return acc[:a.shape[0], :b.shape[1]], cycles


def _fold_stationary(held, stream, rows, cols):
    """`stream` (T, rows used) against `held`; partial sums move down, leave at the bottom row."""
    grid = np.zeros((rows, cols), dtype=np.int64)
    grid[:held.shape[0], :held.shape[1]] = held
    total = stream.shape[0]
    out = np.zeros((total, cols), dtype=np.int64)
    moving = np.zeros((rows, cols), dtype=np.int64)
    sums = np.zeros((rows, cols), dtype=np.int64)
    step = 0
    collected = 0
    while collected < total * cols:
        moving[:, 1:] = moving[:, :-1].copy()
        for r in range(rows):
            t = step - r
            moving[r, 0] = stream[t, r] if r < stream.shape[1] and 0 <= t < total else 0
        above = np.zeros_like(sums)
        above[1:] = sums[:-1]
        sums = above + moving * grid
        for c in range(cols):
            t = step - (rows - 1) - c
            if 0 <= t < total:
                out[t, c] = sums[rows - 1, c]
                collected += 1
        step += 1
    return out[:, :held.shape[1]], step + rows  # the held operand was shifted in before


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4),
       st.sampled_from(["os", "ws", "is"]), st.booleans())
def test_closed_form_equals_a_cycle_by_cycle_array(m, n, k, rows, cols, dataflow, drain):
    rng = np.random.default_rng(m * 100 + n * 10 + k)
    a, b = rng.integers(-9, 9, (m, k)), rng.integers(-9, 9, (k, n))
    result, cycles = skewed_array(a, b, rows, cols, dataflow, drain=drain)
    assert (result == a @ b).all()
    assert cycles == product_cycles(m, n, k, rows, cols, dataflow, output_drain=drain)


SIZES = st.integers(1, 600)


@given(SIZES, SIZES, SIZES, st.integers(1, 64), st.integers(1, 64), st.sampled_from(["os", "ws", "is"]), st.booleans())
def test_laws_of_a_product(m, n, k, rows, cols, dataflow, drain):
    one = product_cycles(m, n, k, rows, cols, dataflow, output_drain=drain)
    overlapped = product_cycles(m, n, k, rows, cols, dataflow, output_drain=drain, fold_overlap="double_buffered")
    assert overlapped <= one
    assert overlapped * rows * cols >= m * n * k
    assert 0 < mapping_efficiency_frac(m, n, k, rows, cols, dataflow) <= 1
    if m > 1:
        halves = [product_cycles(part, n, k, rows, cols, dataflow, output_drain=drain) for part in (m // 2, m - m // 2)]
        assert sum(halves) >= one


@given(SIZES, SIZES, SIZES, st.integers(1, 64), st.integers(1, 64), st.sampled_from(["os", "ws", "is"]), st.booleans(),
       st.sampled_from(["none", "double_buffered"]))
def test_forms_hold_the_closed_form(m, n, k, rows, cols, dataflow, drain, overlap):
    here = engine(rows=rows, cols=cols, dataflow=dataflow, output_drain=drain, fold_overlap=overlap)
    assert untiled_cycles(forms(product(m, n, k), here)[0]) == product_cycles(
        m, n, k, rows, cols, dataflow, output_drain=drain, fold_overlap=overlap)


def depthwise(channels=960, size=7):
    return Layer(name="dw", op="depthwise", groups=channels, oy=size, ox=size, fy=3, fx=3, pad_y=2, pad_x=2)


def test_depthwise_by_hand():
    modes = ("per_channel", "packed_diagonal", "vector_unit")
    per_channel, packed, vector = (forms(depthwise(), engine(depthwise_modes=(mode,)))[0] for mode in modes)
    assert untiled_cycles(per_channel) == 960 * 143
    assert untiled_cycles(packed) == 320 * 143  # floor(32 / 9) = 3 channels per fold
    assert untiled_cycles(vector) == pytest.approx(960 * 49 * 9 / 64)


def test_packed_diagonal_takes_every_channel():
    for channels in range(1, 12):
        form = forms(depthwise(channels), engine(depthwise_modes=("packed_diagonal",)))[0]
        assert sum(nest.groups * nest.n for nest in form.nests) == channels


def test_vector_cycles_round_up():
    assert [vector_cycles(ops, engine(vector_lanes=64)) for ops in (0, 1, 64, 65)] == [0, 1, 1, 2]


@pytest.mark.parametrize(("weight", "input_", "precision", "mode", "expected"), [
    (8, 8, "int8", "multi_pass", Rate(1, 1)), (16, 8, "int8", "multi_pass", Rate(2, 1)),
    (16, 16, "int4", "multi_pass", Rate(16, 1)), (4, 8, "int8", "multi_pass", Rate(1, 1)),
    (4, 8, "int8", "packed", Rate(1, 2)), (4, 4, "int8", "packed", Rate(1, 4)), (2, 2, "int8", "packed", Rate(1, 16)),
    (8, 8, "fp16", "packed", Rate(1, 1)), (3, 8, "int8", "packed", Rate(1, 2)),
])
def test_precision_by_hand(weight, input_, precision, mode, expected):
    layer = product(4, 4, 64, weight_bits=weight, input_bits=input_)
    assert rate(layer, engine(precision=precision, multi_precision=mode)) == expected


def test_precision_that_cannot_run_is_a_sentence():
    wide = product(4, 4, 4, weight_bits=32, input_bits=8)
    assert "32-bit" in unsupported(wide, engine(precision="fp16"))
    assert "int8" in unsupported(wide, engine(multi_precision="fixed"))
    assert unsupported(wide, engine()) == ""


def test_passes_and_packing_change_cycles():
    wide, native, narrow = (product(64, 32, 64, weight_bits=bits) for bits in (16, 8, 4))
    here = engine(dataflow="os", multi_precision="packed")
    cycles = [untiled_cycles(forms(layer, here)[0]) for layer in (wide, native, narrow)]
    assert cycles == [2 * (2 * 64 + 62), 2 * (64 + 62), 2 * (32 + 62)]


def sparse(pattern, density):
    return product(64, 32, 128, sparsity=pattern, weight_density=density)


def test_zero_skipping_by_pattern():
    skips = engine(zero_skipping="weights")
    assert work_frac(sparse("dense", 0.5), skips) == 1.0
    assert work_frac(sparse("n_m", 0.5), skips) == work_frac(sparse("channel", 0.5), skips) == 0.5
    assert work_frac(sparse("block", 0.5), skips) == 0.5
    assert 0.5 < work_frac(sparse("random", 0.5), skips) < 1.0
    assert work_frac(sparse("n_m", 0.5), engine()) == 1.0
    assert work_frac(sparse("n_m", 0.5), engine(zero_skipping="weights", skipping_efficiency_frac=0.5)) == 0.75
    assert stored_weight_frac(sparse("n_m", 0.5), skips) == 0.625
    assert stored_weight_frac(sparse("channel", 0.5), skips) == 0.5
    assert stored_weight_frac(sparse("random", 1.0), skips) == 1.0


def test_random_zeros_against_drawn_ones():
    """The slowest of 32 lanes with 128 products each, drawn 2000 times: within 5 %."""
    rng = np.random.default_rng(1)
    for density in (0.2, 0.5, 0.8):
        drawn = rng.binomial(128, density, (2000, 32)).max(axis=1).mean() / 128
        ours = work_frac(sparse("random", density), engine(zero_skipping="weights"))
        assert ours == pytest.approx(drawn, rel=0.07)


def test_stackable_array_offers_both_ways():
    kinds = [form.kind for form in forms(product(8, 8, 8), engine(stacks=4))]
    assert kinds == ["ws", "ws 16x64", "ws 64x16", "ws 8x128", "ws 128x8", "ws 2 stacks", "ws 4 stacks"]
    assert [form.kind for form in forms(product(8, 8, 8), engine(stacks=2, dataflow="os"))] == ["os", "os 16x64",
                                                                                               "os 64x16"]


def test_port_starved_buffer_stretches_the_stream():
    wide = forms(product(100, 32, 32), engine())[0]
    narrow = forms(product(100, 32, 32), engine(sram_words_per_cycle=48))[0]
    assert untiled_cycles(narrow) - untiled_cycles(wide) == 100  # 96 words wanted, 48 there


@pytest.mark.parametrize("change", [
    {"rows": 0}, {"cols": -1}, {"sram_bytes": 0}, {"dataflow": "xs"}, {"dram_bytes_per_s": -1.0}, {"freq_hz": 0.0},
    {"precision": "int3"}, {"stacks": 0}, {"depthwise_modes": ()}, {"depthwise_modes": ("magic",)},
    {"skipping_efficiency_frac": 1.5}, {"sram_fracs": (0.5, 0.5, 0.5)}, {"zero_skipping": "some"}, {"rows": True},
])
def test_bad_engines_are_refused(change):
    with pytest.raises(InvalidEngine):
        engine(**change)
