"""What may be on chip around every layer of some networks: the cases that each layer is costed in.

The output of a layer may stay on chip for the next one. Then its bytes are reserved in the buffer during both layers,
the next one does not fetch it, and it is not written unless a later layer needs it too. An element-wise layer that is
the only reader of the layer before takes its input tile by tile (fusion), with no room reserved.
"""

from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwmodels.network import Layer, Network

__all__ = ["Cases", "distinct_layers", "layer_cases"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FUSED_OPS = ("activation", "elementwise")
_CONTENT = attrgetter(*(field.name for field in fields(Layer) if field.name not in (
    "name", "inputs", "sharing_group", "exit_frac")))


class Cases(NamedTuple):
    """The C different cases of the layers of some networks, columns of shape (C,); layers of equal content share
    theirs. L layers: those of the first network, then those of the next."""

    numbers: tuple[tuple[int, int, int, int], ...]
    """(L,) cases of every layer: nothing on chip, the output, the input, both; -1 where there is none."""
    out_bytes: Floats
    """(L,) of its output."""
    weights_stay: bool
    """Weights are on chip before any layer starts."""
    layer: Ints
    """Index into `distinct_layers`."""
    matrix: Ints
    """Cases of matrix layers."""
    streamed: Ints
    """Cases of the others."""
    input_on_chip: Bools
    output_on_chip: Bools
    written: Bools
    """The output goes to DRAM, perhaps for a later reader although it stays on chip."""
    fetched: Bools
    """The input comes from DRAM; the state of a recurrent layer never does."""
    reserved_bytes: Floats
    """Of the buffer, for what is on chip."""
    resident_bytes: Floats
    """Of the input, on chip."""
    repeat: Ints
    has_weights: Bools
    in_bytes: Floats
    """Of vector layers, this and the next."""
    streamed_out_bytes: Floats
    extra_bytes: Floats
    """Parameters outside the loop nest."""
    vector_ops: Ints


class _Edge(NamedTuple):
    """The output of a layer, seen from the next one."""

    can_stay: bool
    stored: bool
    out_bytes: float
    reserved_bytes: float
    """Room it takes while it stays: nothing if it is passed on tile by tile."""


@lru_cache(maxsize=256)
def _edges(network: Network, sram_bytes: int, inter_layer_reuse: bool) -> list[_Edge]:
    """For every layer, whether its output can wait on chip for the next layer."""
    readers: list[list[int]] = [[] for _ in network]
    for index in range(len(network)):
        for producer in network.producers(index):
            if producer >= 0:
                readers[producer].append(index)
    edges = []
    for index, layer in enumerate(network):
        size = layer.output_elements * layer.output_bits / 8.0
        following = index + 1
        if not inter_layer_reuse or following not in readers[index]:
            edges.append(_Edge(False, True, size, size))
            continue
        reader = network.layers[following]
        alone = network.producers(following) == (index,)
        if reader.is_matrix:
            matches = reader.input_elements <= layer.output_elements and (
                alone if reader.op != "attention" else reader.input_elements == layer.output_elements)
        else:
            matches = reader.in_elements >= layer.output_elements or alone
        fused = reader.op in _FUSED_OPS and readers[index] == [following]
        can = matches and (fused or size < sram_bytes)
        edges.append(_Edge(can, len(readers[index]) > 1, size, 0.0 if fused else size))
    return edges


@lru_cache(maxsize=256)
def _distinct(networks: tuple[Network, ...]) -> tuple[tuple[Layer, ...], tuple[int, ...]]:
    """Layers of different content, and which of them every layer of the networks is."""
    numbers: dict[tuple[object, ...], int] = {}
    layers = [layer for network in networks for layer in network]
    which = tuple(numbers.setdefault(_CONTENT(layer), len(numbers)) for layer in layers)
    first = {number: layer for layer, number in zip(reversed(layers), reversed(which), strict=True)}
    return tuple(first[number] for number in range(len(numbers))), which


def distinct_layers(networks: tuple[Network, ...]) -> tuple[Layer, ...]:
    """The layers of different content, in order of first use."""
    return _distinct(networks)[0]


@lru_cache(maxsize=512)
def layer_cases(networks: tuple[Network, ...], sram_bytes: int, inter_layer_reuse: bool,
                weights_bytes: float) -> Cases:
    """The cases that fit the buffer.

    Parameters
    ----------
    weights_bytes : of the buffer, for weights that never leave it; 0 if they do.
    """
    edges = [edge for network in networks for edge in _edges(network, sram_bytes, inter_layer_reuse)]
    layers, which = _distinct(networks)
    nothing = _Edge(False, True, 0.0, 0.0)
    rows: dict[tuple[int, int, int, bool, float, float], int] = {}
    numbers = []
    before = nothing  # the last layer of a network has no edge to the first of the next
    for layer, after in zip(which, edges, strict=True):
        of_layer = [-1, -1, -1, -1]
        for incoming in ((0, 1) if before.can_stay else (0,)):
            for outgoing in ((0, 1) if after.can_stay else (0,)):
                reserved = (weights_bytes + (before.reserved_bytes if incoming else 0.0)
                            + (after.reserved_bytes if outgoing else 0.0))
                if reserved < sram_bytes:
                    row = (layer, incoming, outgoing, after.stored, reserved, before.out_bytes if incoming else 0.0)
                    of_layer[2 * incoming + outgoing] = rows.setdefault(row, len(rows))
        numbers.append((of_layer[0], of_layer[1], of_layer[2], of_layer[3]))
        before = after
    table = np.array(list(rows), dtype=np.float64).reshape(-1, 6)
    own = table[:, 0].astype(np.int64)
    waits, stays, stored = table[:, 1:4].T > 0.0
    is_matrix = np.array([layer.is_matrix for layer in layers])[own]
    return Cases(
        numbers=tuple(numbers), out_bytes=np.array([edge.out_bytes for edge in edges]),
        weights_stay=weights_bytes > 0.0, layer=own, matrix=np.flatnonzero(is_matrix),
        streamed=np.flatnonzero(~is_matrix), input_on_chip=waits, output_on_chip=stays, written=~stays | stored,
        fetched=~(waits | np.array([layer.op == "recurrent" for layer in layers])[own]),
        reserved_bytes=table[:, 4].copy(), resident_bytes=table[:, 5].copy(),
        repeat=np.array([layer.repeat for layer in layers])[own],
        has_weights=np.array([layer.has_weights for layer in layers])[own],
        in_bytes=np.array([layer.in_elements * layer.input_bits / 8.0 for layer in layers])[own],
        streamed_out_bytes=np.array([layer.out_elements * layer.output_bits / 8.0 for layer in layers])[own],
        extra_bytes=np.array([layer.extra_parameters * layer.weight_bits / 8.0 for layer in layers])[own],
        vector_ops=np.array([layer.vector_ops for layer in layers], dtype=np.int64)[own])
