"""MobileNet-v1 and v2 (A. Howard et al., arXiv:1704.04861, 2017; M. Sandler et al., CVPR 2018, arXiv:1801.04381)."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value

__all__ = ["inverted_residual", "mobilenet_v1", "mobilenet_v2"]

# (expansion, channels, blocks, stride), table 2 of the v2 paper
_V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


def inverted_residual(b: Builder, x: Value, k: int, kernel: int, stride: int, expansion: int, name: str, *,
                      act: str = "relu6", same: bool = False, squeeze: int = 0) -> Value:
    """1 x 1 expansion, depthwise, squeeze-and-excite if `squeeze` channels, linear 1 x 1; residual if it fits."""
    y = b.conv(x, x.c * expansion, 1, act=act, name=f"{name}.expand") if expansion != 1 else x
    y = b.depthwise(y, kernel, stride, act=act, same=same, name=f"{name}.dw")
    if squeeze:
        gate = b.gemm(b.global_pool(y, name=f"{name}.se.pool"), squeeze, act="relu", name=f"{name}.se.reduce")
        gate = b.gemm(gate, y.c, act="sigmoid", name=f"{name}.se.expand")
        y = b.multiply(y, gate, name=f"{name}.se.scale")
    y = b.conv(y, k, 1, act="none", name=f"{name}.project")
    return b.add(x, y, name=f"{name}.add") if stride == 1 and x.c == k else y


def mobilenet_v1(*, batch: int = 1) -> Network:
    """4 231 976 parameters (4.2 M published), 568 740 352 MACs (569 M published) at 224 x 224."""
    b = Builder("mobilenet_v1", "A. Howard et al., arXiv:1704.04861", batch=batch)
    x = b.conv(b.input(3, 224, 224), 32, 3, 2, name="conv1")
    for index, (channels, stride) in enumerate(_V1, start=1):
        x = b.depthwise(x, 3, stride, name=f"block{index}.dw")
        x = b.conv(x, channels, 1, name=f"block{index}.pw")
    b.gemm(b.global_pool(x), 1000)
    return b.network()


def mobilenet_v2(*, batch: int = 1) -> Network:
    """3 504 872 parameters, 300 774 272 MACs at 224 x 224."""
    b = Builder("mobilenet_v2", "M. Sandler et al., CVPR 2018, arXiv:1801.04381", batch=batch)
    x = b.conv(b.input(3, 224, 224), 32, 3, 2, act="relu6", name="conv1")
    for stage, (expansion, channels, blocks, stride) in enumerate(_V2, start=1):
        for index in range(blocks):
            x = inverted_residual(b, x, channels, 3, stride if index == 0 else 1, expansion, f"stage{stage}.{index}")
    x = b.conv(x, 1280, 1, act="relu6", name="conv_last")
    b.gemm(b.global_pool(x), 1000)
    return b.network()
