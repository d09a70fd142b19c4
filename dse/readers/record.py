"""What every network reader returns."""

from dataclasses import dataclass, field
from typing import final

from hwmodels.network import Network

__all__ = ["NetworkFile", "Unsupported"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """An operator of a file that has no cost here: `reason` says what happened to it."""

    node: str
    domain: str
    op: str
    reason: str


@final
@dataclass(frozen=True, kw_only=True)
class NetworkFile:
    """A network as read.

    Parameters
    ----------
    kind : `zoo`, `onnx`, `torch`, `huggingface`, `scalesim`, `timeloop` or `zigzag`.
    network : its layers.
    unsupported : operators that were read but not understood; each has a row among the layers.
    symbols : free dimensions that no layer depends on (a needed one is an error).
    notes : remarks for the reader.
    types : operator of the file per layer, as long as `network`; empty where layers have no other name than ours.
    totals : further totals by name, e.g. MACs with the head on one token.
    """

    kind: str
    network: Network
    unsupported: tuple[Unsupported, ...] = ()
    symbols: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    totals: dict[str, int] = field(default_factory=dict)
