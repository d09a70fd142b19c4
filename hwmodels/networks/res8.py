"""res8-narrow keyword spotter (R. Tang, J. Lin, ICASSP 2018, arXiv:1710.10361)."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder

__all__ = ["res8"]


def res8(*, frames: int = 98, maps: int = 19, batch: int = 1) -> Network:
    """19.9 k parameters as published; 6.8 M MACs with XRBench's 98 x 40 input (5.65 M published for its own framing).

    `frames` of 40 MFCC features; `maps` = 45 gives res8 (110 k parameters). Batch norm has no gain and no shift.
    """
    b = Builder("res8", "R. Tang, J. Lin, ICASSP 2018, arXiv:1710.10361 (res8-narrow)", batch=batch)
    x = b.conv(b.input(1, frames, 40), maps, 3, norm=False, name="conv0")
    x = b.pool(x, (4, 3), name="pool")
    for index in range(3):
        y = b.conv(x, maps, 3, norm=False, name=f"block{index}.conv1")
        y = b.conv(y, maps, 3, norm=False, name=f"block{index}.conv2")
        x = b.add(x, y, name=f"block{index}.add")
    b.softmax(b.gemm(b.global_pool(x), 12, name="classifier"))
    return b.network()
