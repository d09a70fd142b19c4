"""Emformer speech encoder (Y. Shi et al., ICASSP 2021, arXiv:2010.10759), 24 layers as in XRBench."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder

__all__ = ["emformer"]


def emformer(*, tokens: int = 128, layers: int = 24, width: int = 512, ffn: int = 2048, heads: int = 8,
             batch: int = 1) -> Network:
    """75.5 M weights and 9 663 676 416 MACs of matrix products with weights, as XRBench; attention comes on top.

    `tokens` is the segment with its left and right context; attention is dense over it. The front end (stacked
    filter banks) and the memory bank's summary vectors are left out: Emformer-like.
    """
    b = Builder("emformer", "Y. Shi et al., ICASSP 2021, arXiv:2010.10759 (-like; sizes of XRBench)", batch=batch)
    x = b.input(width, tokens)
    for index in range(layers):
        name = f"layer{index}"
        qkv = b.gemm(b.norm(x, name=f"{name}.norm1"), 3 * width, name=f"{name}.qkv")
        y = b.attention(qkv.part(width), qkv.part(width), heads, name=f"{name}.attn")
        x = b.add(x, b.gemm(y, width, name=f"{name}.out"), name=f"{name}.add1")
        y = b.gemm(b.norm(x, name=f"{name}.norm2"), ffn, act="relu", name=f"{name}.ffn1")
        x = b.add(x, b.gemm(y, width, name=f"{name}.ffn2"), name=f"{name}.add2")
        x = b.norm(x, name=f"{name}.norm_out")
    return b.network("dense attention over the segment and its context; front end and memory bank left out")
