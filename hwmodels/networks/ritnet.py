"""RITNet eye segmentation (A. Chaudhary et al., ICCV Workshops 2019, arXiv:1910.00694)."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value

__all__ = ["ritnet"]

_CHANNELS = 32


def _conv(b: Builder, x: Value, kernel: int, name: str, *, act: str = "leaky_relu") -> Value:
    return b.conv(x, _CHANNELS, kernel, norm=False, bias=True, act=act, name=name)


def _down(b: Builder, x: Value, name: str, *, pooled: bool) -> Value:
    if pooled:
        x = b.pool(x, 2, name=f"{name}.pool")
    first = _conv(b, x, 3, f"{name}.conv1")
    second_in = b.concat(x, first)
    second = _conv(b, _conv(b, second_in, 1, f"{name}.conv21", act="none"), 3, f"{name}.conv22")
    third_in = b.concat(second_in, second)
    third = _conv(b, _conv(b, third_in, 1, f"{name}.conv31", act="none"), 3, f"{name}.conv32")
    return b.norm(third, "batch_norm", name=f"{name}.bn")  # after the activation: cannot be folded


def _up(b: Builder, x: Value, skip: Value, name: str) -> Value:
    joined = b.concat(b.upsample(x, (skip.h, skip.w), name=f"{name}.upsample"), skip)
    first = _conv(b, _conv(b, joined, 1, f"{name}.conv11", act="none"), 3, f"{name}.conv12")
    return _conv(b, _conv(b, b.concat(joined, first), 1, f"{name}.conv21", act="none"), 3, f"{name}.conv22")


def ritnet(*, height: int = 160, width: int = 100, batch: int = 1) -> Network:
    """248 900 parameters as published; the default input is XRBench's (the paper's is 640 x 400, 16 times the MACs)."""
    b = Builder("ritnet", "A. Chaudhary et al., ICCV Workshops 2019, arXiv:1910.00694; input of XRBench", batch=batch)
    skips: list[Value] = []
    x = b.input(1, height, width)
    for index in range(5):
        x = _down(b, x, f"down{index + 1}", pooled=index > 0)
        skips.append(x)
    for index, skip in enumerate(reversed(skips[:-1]), start=1):
        x = _up(b, x, skip, f"up{index}")
    b.conv(x, 4, 1, norm=False, bias=True, act="none", name="out")
    return b.network()
