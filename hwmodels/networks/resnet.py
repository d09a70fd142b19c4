"""ResNet and ResNeXt (K. He et al., CVPR 2016, arXiv:1512.03385; S. Xie et al., CVPR 2017, arXiv:1611.05431).

The stride of a bottleneck sits in its 3 x 3 convolution, as in torchvision.
"""

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value

__all__ = ["basic_stage", "bottleneck_stage", "resnet18", "resnet50", "resnext50", "stem"]

_HE = "K. He et al., CVPR 2016, arXiv:1512.03385"


def stem(b: Builder, x: Value) -> Value:
    """7 x 7 convolution and pooling, both with stride 2."""
    return b.pool(b.conv(x, 64, 7, 2, name="conv1"), 3, 2, pad=1, name="maxpool")


def basic_stage(b: Builder, x: Value, width: int, blocks: int, stride: int, name: str) -> Value:
    """`blocks` basic blocks (two 3 x 3 convolutions) of ResNet-18 and 34."""
    for index in range(blocks):
        step, label = (stride if index == 0 else 1), f"{name}.{index}"
        y = b.conv(x, width, 3, step, name=f"{label}.conv1")
        y = b.conv(y, width, 3, act="none", name=f"{label}.conv2")
        if step != 1 or x.c != width:
            x = b.conv(x, width, 1, step, act="none", name=f"{label}.downsample")
        x = b.add(x, y, act="relu", name=f"{label}.add")
    return x


def bottleneck_stage(b: Builder, x: Value, width: int, blocks: int, stride: int, name: str, *, groups: int = 1,
                     group_width: int = 0) -> Value:
    """`blocks` bottlenecks (1 x 1, 3 x 3, 1 x 1) with `4 * width` output channels."""
    inner = groups * group_width or width
    for index in range(blocks):
        step, label = (stride if index == 0 else 1), f"{name}.{index}"
        y = b.conv(x, inner, 1, name=f"{label}.conv1")
        y = b.conv(y, inner, 3, step, groups=groups, name=f"{label}.conv2")
        y = b.conv(y, 4 * width, 1, act="none", name=f"{label}.conv3")
        if step != 1 or x.c != 4 * width:
            x = b.conv(x, 4 * width, 1, step, act="none", name=f"{label}.downsample")
        x = b.add(x, y, act="relu", name=f"{label}.add")
    return x


def resnet18(*, batch: int = 1) -> Network:
    """11 689 512 parameters, 1 814 073 344 MACs at 224 x 224."""
    b = Builder("resnet18", _HE, batch=batch)
    x = stem(b, b.input(3, 224, 224))
    for index, width in enumerate((64, 128, 256, 512)):
        x = basic_stage(b, x, width, 2, 1 if index == 0 else 2, f"layer{index + 1}")
    b.gemm(b.global_pool(x), 1000)
    return b.network()


def _bottleneck_net(b: Builder, blocks: tuple[int, ...], groups: int = 1, group_width: int = 0) -> Network:
    x = stem(b, b.input(3, 224, 224))
    for index, (width, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True)):
        x = bottleneck_stage(b, x, width, count, 1 if index == 0 else 2, f"layer{index + 1}", groups=groups,
                             group_width=group_width << index)
    b.gemm(b.global_pool(x), 1000)
    return b.network()


def resnet50(*, batch: int = 1) -> Network:
    """25 557 032 parameters, 4 089 184 256 MACs at 224 x 224."""
    return _bottleneck_net(Builder("resnet50", _HE, batch=batch), (3, 4, 6, 3))


def resnext50(*, batch: int = 1) -> Network:
    """ResNeXt-50, 32 groups of 4: 25 028 904 parameters at 224 x 224."""
    b = Builder("resnext50", "S. Xie et al., CVPR 2017, arXiv:1611.05431", batch=batch)
    return _bottleneck_net(b, (3, 4, 6, 3), 32, 4)
