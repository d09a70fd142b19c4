"""AlexNet in its one-tower form (A. Krizhevsky, arXiv:1404.5997, 2014; layer sizes as in torchvision)."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder

__all__ = ["alexnet"]


def alexnet(*, batch: int = 1) -> Network:
    """61 100 840 parameters at 224 x 224."""
    b = Builder("alexnet", "A. Krizhevsky, arXiv:1404.5997", batch=batch)
    x = b.conv(b.input(3, 224, 224), 64, 11, 4, pad=2, norm=False, bias=True, name="conv1")
    x = b.pool(x, 3, 2, name="pool1")
    x = b.conv(x, 192, 5, norm=False, bias=True, name="conv2")
    x = b.pool(x, 3, 2, name="pool2")
    for index, channels in enumerate((384, 256, 256), start=3):
        x = b.conv(x, channels, 3, norm=False, bias=True, name=f"conv{index}")
    x = b.pool(x, 3, 2, name="pool5")
    x = x.reshape(x.elements)
    x = b.gemm(x, 4096, act="relu", name="fc6")
    x = b.gemm(x, 4096, act="relu", name="fc7")
    b.gemm(x, 1000, name="fc8")
    return b.network()
