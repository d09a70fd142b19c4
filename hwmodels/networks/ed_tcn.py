"""ED-TCN action segmentation (C. Lea et al., CVPR 2017, arXiv:1611.05267), sizes of XRBench."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder

__all__ = ["ed_tcn"]


def ed_tcn(*, steps: int = 668, features: int = 128, classes: int = 18, batch: int = 1) -> Network:
    """Two encoder and two decoder convolutions over 25 steps: 742 400 weights as in XRBench, plus the classifier."""
    b = Builder("ed_tcn", "C. Lea et al., CVPR 2017, arXiv:1611.05267; sizes of XRBench", batch=batch)
    x = b.input(features, steps)
    for index, width in enumerate((64, 96)):
        x = b.conv(x, width, (25, 1), norm=False, bias=True, name=f"encoder{index}")
        x = b.pool(x, (2, 1), name=f"encoder{index}.pool")
        x = b.vector("norm", [x], (x.c, x.h, 1), 2,
                     name=f"encoder{index}.norm")  # divides by the maximum: no parameters
    for index, width in enumerate((96, 64)):
        x = b.upsample(x, (2 * x.h, 1), name=f"decoder{index}.upsample")
        x = b.conv(x, width, (25, 1), norm=False, bias=True, name=f"decoder{index}")
        x = b.vector("norm", [x], (x.c, x.h, 1), 2, name=f"decoder{index}.norm")
    b.softmax(b.gemm(x, classes, name="classifier"))
    return b.network()
