"""RGBd-200 depth refinement (F. Ma, S. Karaman, ICRA 2018, arXiv:1709.07492): ResNet-18 and up-projections."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value
from hwmodels.networks.resnet import basic_stage, stem

__all__ = ["rgbd_200"]


def _up_projection(b: Builder, x: Value, name: str) -> Value:
    """Zero-insertion to twice the size, then a 5 x 5 - 3 x 3 branch and a 5 x 5 branch, summed (Laina et al., 2016)."""
    wide = b.upsample(x, (2 * x.h, 2 * x.w), name=f"{name}.unpool")
    upper = b.conv(wide, x.c // 2, 5, name=f"{name}.conv1")
    upper = b.conv(upper, x.c // 2, 3, act="none", name=f"{name}.conv2")
    lower = b.conv(wide, x.c // 2, 5, act="none", name=f"{name}.bottom")
    return b.add(upper, lower, act="relu", name=f"{name}.add")


def rgbd_200(*, height: int = 228, width: int = 912, batch: int = 1) -> Network:
    """Colour and 200 depth samples in (4 channels), depth out; 13.67 M convolution weights as XRBench counts.

    14.7 GMAC; XRBench's 16.8 G take every layer without its stride."""
    b = Builder("rgbd_200", "F. Ma, S. Karaman, ICRA 2018, arXiv:1709.07492; input of XRBench", batch=batch)
    x = stem(b, b.input(4, height, width))
    for index, channels in enumerate((64, 128, 256, 512)):
        x = basic_stage(b, x, channels, 2, 1 if index == 0 else 2, f"layer{index + 1}")
    x = b.conv(x, 256, 1, act="none", name="conv2")
    for index in range(4):
        x = _up_projection(b, x, f"decoder{index + 1}")
    x = b.conv(x, 1, 3, norm=False, act="none", name="conv3")
    b.upsample(x, (height, width), bilinear=True, name="resize")
    return b.network()
