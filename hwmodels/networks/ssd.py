"""Single-shot detectors on ResNet backbones (W. Liu et al., ECCV 2016, arXiv:1512.02325; MLPerf Inference v0.5).

The backbone is cut after its third stage, whose stride is 1, so features have an eighth of the image's size. At
1200 x 1200 the heads have stride 3: 15 130 boxes; at 300 x 300 stride 1: 8 732 boxes.
"""

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value
from hwmodels.networks.resnet import basic_stage, stem

__all__ = ["ssd_resnet18", "ssd_resnet34"]

_ANCHORS = (4, 6, 6, 6, 4, 4)


def _ssd(name: str, blocks: tuple[int, int, int], size: int, head_stride: int, batch: int) -> Network:
    b = Builder(name, "W. Liu et al., ECCV 2016, arXiv:1512.02325; MLPerf Inference v0.5 (-like)", batch=batch)
    x = stem(b, b.input(3, size, size))
    for index, (width, count) in enumerate(zip((64, 128, 256), blocks, strict=True)):
        x = basic_stage(b, x, width, count, 2 if index == 1 else 1, f"layer{index + 1}")
    features = [x]
    # (squeeze, channels, stride, padding) of the extra stages; the last two are not padded
    strides = ((2, 1), (2, 1), (2, 1 if head_stride == 1 else 0), (1, 0), (1, 0))
    if head_stride != 1:
        strides = ((2, 1), (2, 1), (2, 1), (2, 0), (1, 0))
    for index, (stride, pad) in enumerate(strides, start=1):
        inner, outer = (256, 512) if index <= 2 else (128, 256)
        y = b.conv(features[-1], inner, 1, norm=False, bias=True, name=f"extra{index}.reduce")
        features.append(b.conv(y, outer, 3, stride, pad=pad, norm=False, bias=True, name=f"extra{index}.conv"))
    heads: list[Value] = []
    for index, (feature, anchors) in enumerate(zip(features, _ANCHORS, strict=True)):
        for kind, outputs in (("loc", 4), ("conf", 81)):
            heads.append(b.conv(feature, anchors * outputs, 3, head_stride, norm=False, bias=True, act="none",
                                name=f"{kind}{index}"))
    boxes = sum(value.elements for value in heads[1::2]) // 81
    scores = b.concat(*heads[1::2])._replace(c=81, h=boxes, w=1)
    b.softmax(scores, name="scores")
    return b.network(f"{boxes} boxes of 81 classes; non-maximum suppression is not part of it")


def ssd_resnet34(*, batch: int = 1) -> Network:
    """1200 x 1200, 81 classes, 15 130 boxes: published 433 GFLOP (216.5 GMAC), 20 M parameters."""
    return _ssd("ssd_resnet34", (3, 4, 6), 1200, 3, batch)


def ssd_resnet18(*, batch: int = 1) -> Network:
    """300 x 300, 81 classes, 8 732 boxes."""
    return _ssd("ssd_resnet18", (2, 2, 2), 300, 1, batch)
