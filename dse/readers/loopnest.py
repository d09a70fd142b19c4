"""A layer from an equation of two operands, as other tools write it: which loop is which follows from who is indexed.

    output, weights and inputs       groups
    output and weights               k
    output and inputs                oy, ox (where the input adds a kernel loop to them), batch, else rows: oy
    weights and inputs               fy, fx (those kernel loops), else c

so MACs are always the product of all loop sizes.
"""

from math import prod
from typing import Any, NamedTuple

__all__ = ["Index", "Window", "nest", "windows_of"]

Index = tuple[tuple[str, int], ...]
"""One index of an operand: a sum of (loop, factor)."""

_BATCH = ("B", "N")


class Window(NamedTuple):
    """Two loops that share an index of the input: input = stride * out + dilation * kernel."""

    out: str
    kernel: str
    stride: int
    dilation: int


def _loops(operand: list[Index]) -> set[str]:
    return {loop for index in operand for loop, _ in index}


def windows_of(output: list[Index], weights: list[Index], inputs: list[Index]) -> tuple[list[Window], list[str]]:
    """The windows of a convolution, rows first, and the indices that are none of the known forms."""
    out, kernel = _loops(output) - _loops(weights), _loops(weights) - _loops(output)
    found, odd = [], []
    for index in inputs:
        slides = [(loop, factor) for loop, factor in index if loop in out]
        taps = [(loop, factor) for loop, factor in index if loop in kernel]
        if len(index) == 2 and len(slides) == 1 and len(taps) == 1:
            found.append(Window(slides[0][0], taps[0][0], slides[0][1], taps[0][1]))
        elif len(index) > 1:
            odd.append(" + ".join(f"{factor}*{loop}" for loop, factor in index))
    return found, odd


def _is_x(window: Window) -> bool:
    """Columns: ZigZag's OX, FX and Timeloop's P, R."""
    return "X" in window.out or "X" in window.kernel or window.out == "P" or window.kernel == "R"


def nest(sizes: dict[str, int], output: list[Index], weights: list[Index],
         inputs: list[Index]) -> tuple[dict[str, Any], list[str]]:
    """Keyword arguments of a `hwmodels.network.Layer` (without name and bits), and remarks.

    Parameters
    ----------
    sizes : loop -> size [-].
    output, weights, inputs : indices of the operands.
    """
    o, w, i = _loops(output), _loops(weights), _loops(inputs)
    windows, odd = windows_of(output, weights, inputs)
    remarks = [f"index {text} of the inputs is read as separate loops" for text in odd]
    windows = [window for window in windows if window.out in sizes and window.kernel in sizes]
    y = next((window for window in windows if not _is_x(window)), None)
    x = next((window for window in windows if window is not y), None)
    if len(windows) > 2:
        remarks.append("a convolution of three dimensions: the third is folded into batch and channels")
    groups: list[int] = []
    k: list[int] = []
    c: list[int] = []
    rows: list[int] = []
    batch: list[int] = []
    placed = {loop for window in (y, x) if window for loop in (window.out, window.kernel)}
    for loop, size in sizes.items():
        if loop in placed:
            continue
        if loop in o and loop in w and loop in i:
            groups.append(size)
        elif loop in w and loop in o:
            k.append(size)
        elif loop in o:
            third = any(loop == window.out for window in windows)
            (batch if loop in _BATCH or y is not None or third else rows).append(size)
        else:
            c.append(size)
    values: dict[str, Any] = {"groups": prod(groups), "k": prod(k), "c": prod(c), "batch": prod(batch),
                              "oy": prod(rows)}
    for axis, window in (("y", y), ("x", x)):
        if window is not None:
            values[f"o{axis}"] = sizes[window.out] * values.get(f"o{axis}", 1)
            values[f"f{axis}"] = sizes[window.kernel]
            values[f"stride_{axis}"], values[f"dilation_{axis}"] = window.stride, window.dilation
    values = {"ox": 1, "fy": 1, "fx": 1, "stride_y": 1, "stride_x": 1} | values
    pixels = values["oy"] * values["ox"]
    point = values["fy"] * values["fx"] == 1 and values["stride_y"] * values["stride_x"] == 1
    if values["groups"] > 1 and values["c"] == 1 and not point:
        values["op"] = "depthwise"
    elif point and (not windows or min(values["oy"], values["ox"]) == 1):
        values |= {"op": "gemm", "oy": pixels, "ox": 1, "dilation_y": 1, "dilation_x": 1}
        if values["oy"] == 1:  # a batch of vectors is the rows of one product
            values |= {"oy": values["batch"], "batch": 1}
    else:
        values["op"] = "conv"
    return values, remarks
