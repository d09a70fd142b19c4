"""VGG-16, configuration D (K. Simonyan, A. Zisserman, arXiv:1409.1556, 2014)."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder

__all__ = ["vgg16"]

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def vgg16(*, batch: int = 1) -> Network:
    """138 357 544 parameters, 15 470 264 320 MACs at 224 x 224."""
    b = Builder("vgg16", "K. Simonyan, A. Zisserman, arXiv:1409.1556", batch=batch)
    x = b.input(3, 224, 224)
    for stage, (channels, count) in enumerate(_STAGES, start=1):
        for index in range(1, count + 1):
            x = b.conv(x, channels, 3, norm=False, bias=True, name=f"conv{stage}_{index}")
        x = b.pool(x, 2, name=f"pool{stage}")
    x = x.reshape(x.elements)
    x = b.gemm(x, 4096, act="relu", name="fc6")
    x = b.gemm(x, 4096, act="relu", name="fc7")
    b.gemm(x, 1000, name="fc8")
    return b.network()
