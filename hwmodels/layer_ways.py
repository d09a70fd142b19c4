"""The ways to run the matrix layers of a network on an array: forms and their nests, as columns.

A way does not depend on the buffer, the DRAM channel or the clock, so it is kept for all engines that differ in those
alone.
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels import mapping_tables as tables
from hwmodels.area import accumulator_bits
from hwmodels.engine import DATAFLOWS, PRECISION_BITS, Engine
from hwmodels.engines import forms
from hwmodels.engines.common import nest_of, untiled_cycles
from hwmodels.engines.precision import unsupported
from hwmodels.engines.sparsity import stored_weight_frac, work_frac
from hwmodels.engines.vector import vector_cycles
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
    """(D + 1,) of every distinct layer of the network, and the end; none for vector layers and those that cannot run.
    """
    kinds: tuple[str, ...]
    """Kind of engine and mode of each form."""
    first_nest: Ints
    """(F + 1,) of every form, and the end."""
    untiled_cycles: Floats
    """Closed form, all nests and repeats."""
    vector_cycles: Floats
    """Of the epilogue."""
    extra_bytes: Floats
    """Parameters outside the loop nest."""
    weight_bytes: Floats
    """Stored weights."""
    mac_j: Floats
    moving_j: Floats
    """Hops between PEs and scratchpads inside them."""
    operations: Floats
    """Of the vector unit."""
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
    floor_cycles: Floats
    """(N,) latency is no less."""
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


def layer_ways(network: Network, engine: Engine) -> Ways:
    """The ways to run the distinct layers of `network` on `engine`; see `hwmodels.layer_cases.distinct_layers`."""
    if engine.dataflow in DATAFLOWS:  # a kind of another package may look at anything
        engine = replace(engine, sram_bytes=1, dram_bytes_per_s=1.0, freq_hz=1.0)
    return _ways(network, engine)


@lru_cache(maxsize=512)
def _ways(network: Network, engine: Engine) -> Ways:
    constants, native = constants_of(engine), PRECISION_BITS[engine.precision]
    hop_j = hop_energy_j_per_byte(engine.node_nm, engine.precision, corner=constants)
    scratchpad_j = register_file_energy_j_per_byte(engine.node_nm, corner=constants)
    sums = _sum_bits(engine) / 8.0
    first_form, first_nest, kinds = [0], [0], []
    numbers: list[tuple[float, ...]] = []
    ints: list[tuple[int, ...]] = []
    units: list[tuple[tuple[float, ...], ...]] = []
    floats: list[tuple[float, ...]] = []
    for index, layer in enumerate(distinct_layers(network)):
        if layer.is_matrix and not unsupported(layer, engine):
            work, stored = work_frac(layer, engine), stored_weight_frac(layer, engine)
            vector = float(vector_cycles(layer.vector_ops, engine))
            mac = layer.macs * work * mac_energy_j(engine.node_nm, engine.precision, corner=constants,
                                                   weight_bits=min(64, layer.weight_bits),
                                                   input_bits=min(64, layer.input_bits))
            products = max(1, native // layer.weight_bits) * max(1, native // layer.input_bits)
            peak = engine.pes * (products if engine.multi_precision == "packed" else 1)
            weights = layer.weight_elements * layer.weight_bits / 8.0 * stored
            extra = layer.extra_parameters * layer.weight_bits / 8.0
            output_bytes = layer.output_bits / 8.0
            for form in forms(layer, engine):
                on_vector = form.kind == "vector"
                moving = 0.0 if on_vector else layer.macs * work * (
                    form.hop_bytes_per_mac * hop_j + form.register_file_bytes_per_mac * scratchpad_j)
                fixed = 0.0 if on_vector else mac
                numbers.append((
                    layer.repeat * untiled_cycles(form), vector, extra, weights, fixed, moving,
                    layer.vector_ops + (layer.macs if on_vector else 0), on_vector, form.stream_stretch > 1.0,
                    layer.macs * (1.0 if on_vector else work) / (engine.vector_lanes if on_vector else peak), index))
                for nest, together in zip(form.nests, form.together, strict=True):
                    ints.append((*nest[1:], nest.groups, 2 if engine.double_buffered_sram else 1,
                                 engine.im2col == "on_the_fly" or engine.dataflow == "rs", form.steps[1],
                                 form.steps[2], form.steps[0]))
                    units.append(form.units)
                    floats.append((layer.input_bits / 8.0, layer.weight_bits / 8.0 * stored / together,
                                   max(sums, output_bytes), output_bytes, (fixed + moving) / layer.repeat,
                                   vector if layer.repeat == 1 else 0.0))
                kinds.append(form.kind)
                first_nest.append(len(ints))
        first_form.append(len(kinds))
    untiled, vectors, extras, weight, fixed_j, moving_j, operations, on_vectors, starved, useful, of_layer = np.array(
        numbers, dtype=np.float64).reshape(-1, 11).T
    starts = np.array(first_nest)
    form_of = np.repeat(np.arange(len(kinds)), np.diff(starts))
    rank = np.empty(len(ints), dtype=np.int64)
    rank[np.lexsort((form_of, untiled[form_of], of_layer[form_of]))] = np.arange(len(ints))
    rows = np.array(floats, dtype=np.float64).reshape(-1, 6)
    return Ways(
        first_form=np.array(first_form), kinds=tuple(kinds), first_nest=starts, untiled_cycles=untiled,
        vector_cycles=vectors, extra_bytes=extras, weight_bytes=weight, mac_j=fixed_j, moving_j=moving_j,
        operations=operations, on_vector=on_vectors > 0.0, starved=starved > 0.0, useful_cycles=useful,
        ints=np.array(ints, dtype=np.int64).reshape(-1, tables.N_INTS),
        units=np.array(units, dtype=np.float64).reshape(-1, 3, 5), element_bytes=rows[:, :4], fixed_j=rows[:, 4],
        floor_cycles=rows[:, 5], rank=rank)
