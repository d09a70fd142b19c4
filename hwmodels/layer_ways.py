"""The ways to run the matrix layers of some networks on an array: forms and their nests, as columns.

A way does not depend on the buffer, the DRAM channel, the clock or, unless convolutions may run on it, the vector unit:
it is kept for all engines that differ in those alone.
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels import mapping_tables as tables
from hwmodels.area import accumulator_bits
from hwmodels.engine import DATAFLOWS, PRECISION_BITS, Engine
from hwmodels.engines import Form, forms
from hwmodels.engines.common import nest_of, untiled_cycles
from hwmodels.engines.precision import unsupported
from hwmodels.engines.sparsity import stored_weight_frac, work_frac
from hwmodels.layer_cases import distinct_layers
from hwmodels.network import Layer, Network
from hwmodels.technology import (
    constants_of,
    hop_energy_j_per_byte,
    mac_energy_j,
    register_file_energy_j_per_byte,
)

__all__ = ["Ways", "layer_ways", "least_bytes"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Ways(NamedTuple):
    """F forms with N nests; columns of shape (F,) unless another one is given."""

    first_form: Ints
    """(D + 1,) of every distinct layer of the networks, and the end; none for vector layers and those that cannot run.
    """
    kinds: tuple[str, ...]
    """Kind of engine and mode of each form."""
    first_nest: Ints
    """(F + 1,) of every form, and the end."""
    untiled_cycles: Floats
    """Closed form, all nests and repeats."""
    epilogue_ops: Ints
    """Of the vector unit, beside the array."""
    once: NDArray[np.bool_]
    """The layer does not repeat."""
    extra_bytes: Floats
    """Parameters outside the loop nest."""
    weight_bytes: Floats
    """Stored weights."""
    mac_j: Floats
    moving_j: Floats
    """Hops between PEs and scratchpads inside them."""
    operations: Floats
    """Of the vector unit, all of them."""
    on_vector: NDArray[np.bool_]
    """The vector unit computes the products."""
    starved: NDArray[np.bool_]
    """Buffer ports limit the array."""
    useful_cycles: Floats
    """Multiply-accumulates per PE (or per lane)."""
    ints: Ints
    """(N, N_INTS), this and the next as in `hwmodels.mapping_tables`."""
    units: Floats
    """(N, 3, 5)"""
    element_bytes: Floats
    """(N, 4) input, weight, accumulator, output."""
    fixed_j: Floats
    """(N,) energy of one repeat whatever the mapping."""
    form: Ints
    """(N,) whose nest it is."""
    rank: Ints
    """(N,) order in which to search: layer by layer, the form with the fewest cycles first."""


def _sum_bits(engine: Engine) -> int:
    return engine.accumulator_bits or accumulator_bits(engine.precision)


def least_bytes(layer: Layer, engine: Engine) -> float:
    """Buffer that the smallest tile of a matrix layer needs [byte]."""
    nest = nest_of(layer)
    factor = 2.0 if engine.double_buffered_sram else 1.0
    m, n, k = (nest.batch * nest.oy * nest.ox > 1, nest.n > 1, nest.c > 1)
    many = nest.groups > 1
    accumulator = max(_sum_bits(engine), layer.output_bits)
    inputs = nest.halo_y * nest.halo_x * layer.input_bits * (factor if m or k or many else 1.0)
    weights = nest.window * layer.weight_bits * stored_weight_frac(layer, engine) * (factor if n or k or many else 1.0)
    return (inputs + weights + accumulator * (factor if m or n or many else 1.0)) / 8.0


def layer_ways(networks: tuple[Network, ...], engine: Engine) -> Ways:
    """The ways to run the distinct layers of `networks` on `engine`; see `hwmodels.layer_cases.distinct_layers`."""
    if engine.dataflow in DATAFLOWS:  # a kind of another package may look at anything
        lanes = engine.vector_lanes if "vector_unit" in engine.depthwise_modes else 1
        engine = replace(engine, sram_bytes=1, dram_bytes_per_s=1.0, freq_hz=1.0, vector_lanes=lanes)
    return _ways(networks, engine)


class _LayerWork(NamedTuple):
    """What all forms of a layer have in common."""

    number: int
    """Of the layer."""
    macs: float
    """Multiply-accumulates that are left where zeros are skipped."""
    weight_bytes: float
    extra_bytes: float
    mac_j: float
    per_cycle: int
    """Multiply-accumulates of the array per cycle, at most."""
    together: float
    """Stored weights / all weights."""


def _layer_work(number: int, layer: Layer, engine: Engine) -> _LayerWork:
    native = PRECISION_BITS[engine.precision]
    macs, stored = layer.macs * work_frac(layer, engine), stored_weight_frac(layer, engine)
    products = max(1, native // layer.weight_bits) * max(1, native // layer.input_bits)
    return _LayerWork(
        number=number, macs=macs, weight_bytes=layer.weight_elements * layer.weight_bits / 8.0 * stored,
        extra_bytes=layer.extra_parameters * layer.weight_bits / 8.0,
        mac_j=macs * mac_energy_j(engine.node_nm, engine.precision, corner=constants_of(engine),
                                  weight_bits=min(64, layer.weight_bits), input_bits=min(64, layer.input_bits)),
        per_cycle=engine.pes * (products if engine.multi_precision == "packed" else 1), together=stored)


def _form_numbers(form: Form, layer: Layer, work: _LayerWork, engine: Engine, hop_j: float,
                  scratchpad_j: float) -> tuple[float, ...]:
    """Of a form: layer, repeats, and the columns of `Ways` from `untiled_cycles` to `useful_cycles`."""
    if form.kind == "vector":  # the vector unit computes the products
        fixed, moving, operations, useful = 0.0, 0.0, layer.vector_ops + layer.macs, layer.macs / engine.vector_lanes
    else:
        fixed, operations, useful = work.mac_j, layer.vector_ops, work.macs / work.per_cycle
        moving = work.macs * (form.hop_bytes_per_mac * hop_j + form.register_file_bytes_per_mac * scratchpad_j)
    return (work.number, layer.repeat, layer.repeat * untiled_cycles(form), layer.vector_ops, work.extra_bytes,
            work.weight_bytes, fixed, moving, operations, form.kind == "vector", form.stream_stretch > 1.0, useful)


@lru_cache(maxsize=512)
def _ways(networks: tuple[Network, ...], engine: Engine) -> Ways:
    hop_j = hop_energy_j_per_byte(engine.node_nm, engine.precision, corner=constants_of(engine))
    scratchpad_j = register_file_energy_j_per_byte(engine.node_nm, corner=constants_of(engine))
    sums, setup = _sum_bits(engine) / 8.0, (2 if engine.double_buffered_sram else 1,
                                            engine.im2col == "on_the_fly" or engine.dataflow == "rs")
    first_form, first_nest, kinds = [0], [0], []
    numbers: list[tuple[float, ...]] = []
    ints: list[tuple[int, ...]] = []
    units: list[tuple[tuple[float, ...], ...]] = []
    element_bytes: list[tuple[float, ...]] = []
    for index, layer in enumerate(distinct_layers(networks)):
        if layer.is_matrix and not unsupported(layer, engine):
            work, output_bytes = _layer_work(index, layer, engine), layer.output_bits / 8.0
            for form in forms(layer, engine):
                numbers.append(_form_numbers(form, layer, work, engine, hop_j, scratchpad_j))
                for nest, together in zip(form.nests, form.together, strict=True):
                    ints.append((*nest[1:], nest.groups, *setup, form.steps[1], form.steps[2], form.steps[0]))
                    units.append(form.units)
                    element_bytes.append((layer.input_bits / 8.0, layer.weight_bits / 8.0 * work.together / together,
                                          max(sums, output_bytes), output_bytes))
                kinds.append(form.kind)
                first_nest.append(len(ints))
        first_form.append(len(kinds))
    of_layer, repeat, untiled, epilogue, extra, weights, mac_j, moving_j, operations, on_vector, starved, useful = (
        np.array(numbers, dtype=np.float64).reshape(-1, 12).T)
    starts = np.array(first_nest)
    form_of = np.repeat(np.arange(len(kinds)), np.diff(starts))
    rank = np.empty(len(ints), dtype=np.int64)
    rank[np.lexsort((form_of, untiled[form_of], of_layer[form_of]))] = np.arange(len(ints))
    return Ways(
        first_form=np.array(first_form), kinds=tuple(kinds), first_nest=starts, untiled_cycles=untiled,
        epilogue_ops=epilogue.astype(np.int64), once=repeat == 1.0, extra_bytes=extra, weight_bytes=weights,
        mac_j=mac_j, moving_j=moving_j, operations=operations, on_vector=on_vector > 0.0, starved=starved > 0.0,
        useful_cycles=useful, ints=np.array(ints, dtype=np.int64).reshape(-1, tables.N_INTS),
        units=np.array(units, dtype=np.float64).reshape(-1, 3, 5),
        element_bytes=np.array(element_bytes, dtype=np.float64).reshape(-1, 4),
        fixed_j=((mac_j + moving_j) / repeat)[form_of], form=form_of, rank=rank)
