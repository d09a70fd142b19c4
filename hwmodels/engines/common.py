"""What the kinds of engine share: the nests of a layer and the compute form.

Codes of a role (`Form.units`, five numbers per role m, n, k):

    SPATIAL, side, scale        u = ceil(ceil(size scale) / side), v = 1
    STREAM, over, scale, 0, w   u = ceil(size scale) w + over, v = 0
    OVERLAPPED, h, scale, a, w  u = max(T, h), v = min(T, h) + a with T = ceil(size scale) w
    STRIPS, side, w, a, sets    s = ceil(ceil(y / side) / sets), u = b s x w, v = s a      (m only)
    LOADED, side, scale, a      u = ceil(ceil(size scale) / side), v = size a
"""

from math import ceil
from typing import NamedTuple

from hwmodels.mapping import Nest
from hwmodels.mapping_tables import LOADED, SPATIAL, STREAM, STREAM_OVERLAPPED, STRIPS
from hwmodels.network import Layer

__all__ = ["LOADED", "SPATIAL", "STREAM", "STREAM_OVERLAPPED", "STRIPS", "Form", "nest_of", "untiled_cycles"]

Role = tuple[float, float, float, float, float]


class Form(NamedTuple):
    """One way to run a layer: nests one after another, all with the same compute form."""

    kind: str
    """Name shown with the mapping."""
    nests: tuple[Nest, ...]
    units: tuple[Role, Role, Role]
    """Compute form of the roles m, n, k."""
    steps: tuple[int, int, int]
    """Sides of the array along m, n, k, as elements; 1 where it has none."""
    together: tuple[int, ...] = (1,)
    """Per nest, groups that share it as diagonal blocks: only 1 / together of its weights exist [-]."""
    stream_stretch: float = 1.0
    """By how much a lack of buffer ports lengthens the stream [-]."""
    hop_bytes_per_mac: float = 0.0
    """Passed between neighbouring PEs [byte]."""
    register_file_bytes_per_mac: float = 0.0
    """Moved to and from a scratchpad inside the PE [byte]."""


def nest_of(layer: Layer) -> Nest:
    """The nest of one repeat of a matrix layer."""
    return Nest(layer.groups, layer.batch, layer.oy, layer.ox, layer.k, layer.c, layer.fy * layer.fx, layer.stride_y,
                layer.stride_x, (layer.fy - 1) * layer.dilation_y + 1, (layer.fx - 1) * layer.dilation_x + 1,
                layer.pad_y, layer.pad_x)


def _unit(role: Role, b: int, y: int, x: int) -> tuple[float, float]:
    code, a, scale, more, weight = role
    size = b * y * x
    if code == SPATIAL:
        return ceil(ceil(size * scale - 1e-9) / a), 1.0
    if code == STREAM:
        return ceil(size * scale - 1e-9) * weight + a, 0.0
    if code == STREAM_OVERLAPPED:
        stream = ceil(size * scale - 1e-9) * weight
        return max(stream, a), min(stream, a) + more
    if code == LOADED:
        return ceil(ceil(size * scale - 1e-9) / a), size * more
    strips = ceil(ceil(y / a) / weight)
    return b * strips * x * scale, strips * more


def untiled_cycles(form: Form) -> float:
    """Compute cycles of all nests, each as one tile [cycle]."""
    total = 0.0
    for nest in form.nests:
        (um, vm), (un, vn), (uk, vk) = (_unit(form.units[0], nest.batch, nest.oy, nest.ox),
                                        _unit(form.units[1], 1, nest.n, 1), _unit(form.units[2], 1, nest.c, 1))
        total += nest.groups * (um * un * uk + vm * vn * vk)
    return total
