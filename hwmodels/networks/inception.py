"""Inception-v3 (C. Szegedy et al., CVPR 2016, arXiv:1512.00567), no auxiliary head; sizes as in torchvision."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value

__all__ = ["inception_v3"]


def _chain(b: Builder, x: Value, name: str, *steps: tuple[int, int | tuple[int, int]]) -> Value:
    for index, (channels, kernel) in enumerate(steps, start=1):
        x = b.conv(x, channels, kernel, name=f"{name}.{index}")
    return x


def _block_a(b: Builder, x: Value, pooled: int, name: str) -> Value:
    return b.concat(
        _chain(b, x, f"{name}.1x1", (64, 1)),
        _chain(b, x, f"{name}.5x5", (48, 1), (64, 5)),
        _chain(b, x, f"{name}.3x3dbl", (64, 1), (96, 3), (96, 3)),
        _chain(b, b.pool(x, 3, 1, pad=1, name=f"{name}.avgpool"), f"{name}.pool", (pooled, 1)))


def _block_c(b: Builder, x: Value, inner: int, name: str) -> Value:
    return b.concat(
        _chain(b, x, f"{name}.1x1", (192, 1)),
        _chain(b, x, f"{name}.7x7", (inner, 1), (inner, (1, 7)), (192, (7, 1))),
        _chain(b, x, f"{name}.7x7dbl", (inner, 1), (inner, (7, 1)), (inner, (1, 7)), (inner, (7, 1)), (192, (1, 7))),
        _chain(b, b.pool(x, 3, 1, pad=1, name=f"{name}.avgpool"), f"{name}.pool", (192, 1)))


def _block_e(b: Builder, x: Value, name: str) -> Value:
    narrow = _chain(b, x, f"{name}.3x3", (384, 1))
    double = _chain(b, x, f"{name}.3x3dbl", (448, 1), (384, 3))
    return b.concat(
        _chain(b, x, f"{name}.1x1", (320, 1)),
        b.conv(narrow, 384, (1, 3), name=f"{name}.3x3a"), b.conv(narrow, 384, (3, 1), name=f"{name}.3x3b"),
        b.conv(double, 384, (1, 3), name=f"{name}.3x3dbl_a"), b.conv(double, 384, (3, 1), name=f"{name}.3x3dbl_b"),
        _chain(b, b.pool(x, 3, 1, pad=1, name=f"{name}.avgpool"), f"{name}.pool", (192, 1)))


def inception_v3(*, batch: int = 1) -> Network:
    """23 834 568 parameters at 299 x 299."""
    b = Builder("inception_v3", "C. Szegedy et al., CVPR 2016, arXiv:1512.00567", batch=batch)
    x = b.conv(b.input(3, 299, 299), 32, 3, 2, pad=0, name="conv_1a")
    x = b.conv(x, 32, 3, pad=0, name="conv_2a")
    x = b.pool(b.conv(x, 64, 3, name="conv_2b"), 3, 2, name="pool_1")
    x = b.conv(x, 80, 1, name="conv_3b")
    x = b.pool(b.conv(x, 192, 3, pad=0, name="conv_4a"), 3, 2, name="pool_2")
    for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
        x = _block_a(b, x, pooled, f"mixed_{name}")
    double = _chain(b, x, "mixed_6a.3x3dbl", (64, 1), (96, 3))
    x = b.concat(b.conv(x, 384, 3, 2, pad=0, name="mixed_6a.3x3"),
                 b.conv(double, 96, 3, 2, pad=0, name="mixed_6a.3x3dbl.3"), b.pool(x, 3, 2, name="mixed_6a.pool"))
    for name, inner in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        x = _block_c(b, x, inner, f"mixed_{name}")
    left = _chain(b, x, "mixed_7a.3x3", (192, 1))
    right = _chain(b, x, "mixed_7a.7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)))
    x = b.concat(b.conv(left, 320, 3, 2, pad=0, name="mixed_7a.3x3.2"),
                 b.conv(right, 192, 3, 2, pad=0, name="mixed_7a.7x7x3.4"), b.pool(x, 3, 2, name="mixed_7a.pool"))
    for name in ("7b", "7c"):
        x = _block_e(b, x, f"mixed_{name}")
    b.gemm(b.global_pool(x), 1000)
    return b.network()
