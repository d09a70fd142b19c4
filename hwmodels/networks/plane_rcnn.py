"""PlaneRCNN plane detection (C. Liu et al., CVPR 2019, arXiv:1812.04072), a quarter of its resolution as in XRBench.

Mask R-CNN on ResNet-101 with a feature pyramid, a plane-normal head and a depth decoder; the refinement network of the
paper is left out, as in XRBench's layer count: plane_rcnn-like.
"""

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value
from hwmodels.networks.resnet import bottleneck_stage, stem

__all__ = ["plane_rcnn"]


def _pyramid(b: Builder, stages: list[Value]) -> list[Value]:
    """P2 to P5, 256 channels each."""
    top: Value | None = None
    maps: list[Value] = []
    for level in (3, 2, 1, 0):
        lateral = b.conv(stages[level], 256, 1, norm=False, bias=True, act="none", name=f"fpn{level + 2}.lateral")
        if top is not None:
            up = b.upsample(top, (lateral.h, lateral.w), name=f"fpn{level + 2}.upsample")
            lateral = b.add(lateral, up, name=f"fpn{level + 2}.add")
        top = lateral
        maps.insert(0, b.conv(lateral, 256, 3, norm=False, bias=True, act="none", name=f"fpn{level + 2}.out"))
    return maps


def plane_rcnn(*, size: int = 160, regions: int = 5, batch: int = 1) -> Network:
    """XRBench counts 59.5 M weights and 7.52 GMAC at 160 x 160; here 64.0 M and 11.6 G with 5 regions."""
    b = Builder("plane_rcnn", "C. Liu et al., CVPR 2019, arXiv:1812.04072 (-like; input of XRBench)", batch=batch)
    x = stem(b, b.input(3, size, size))
    stages: list[Value] = []
    for index, (width, count) in enumerate(((64, 3), (128, 4), (256, 23), (512, 3))):
        x = bottleneck_stage(b, x, width, count, 1 if index == 0 else 2, f"layer{index + 1}")
        stages.append(x)
    maps = _pyramid(b, stages)
    proposals: list[Value] = []
    for level, feature in enumerate(maps, start=2):  # one network, run on every level: its weights are shared
        first = b.add_layer(f"rpn{level}.conv", "conv", [feature], batch=batch, k=512, c=256, oy=feature.h,
                            ox=feature.w, fy=3, fx=3,
                            pad_y=2, pad_x=2, vector_ops=2 * batch * 512 * feature.h * feature.w, extra_parameters=512,
                            sharing_group="rpn.conv")
        last = b.add_layer(f"rpn{level}.outputs", "conv", [Value((first,), 512)], batch=batch, k=18, c=512,
                           oy=feature.h, ox=feature.w,
                           vector_ops=batch * 18 * feature.h * feature.w, extra_parameters=18,
                           sharing_group="rpn.outputs")
        proposals.append(Value((last,), 18, feature.h, feature.w))
    rois = Builder("regions", batch=batch * regions)
    rois.layers = b.layers
    source = b.concat(*maps, *proposals)._replace(c=256, h=4 * 7, w=7)
    y = rois.vector("gather", [source], (256, 7, 7), 4 * 7, name="box.roi_align")
    y = rois.gemm(y.reshape(y.elements), 1024, act="relu", name="box.fc1")
    y = rois.gemm(y, 1024, act="relu", name="box.fc2")
    for name, outputs in (("scores", 8), ("deltas", 32), ("normals", 21)):
        rois.gemm(y, outputs, name=f"box.{name}")
    y = rois.vector("gather", [source._replace(h=4 * 14, w=14)], (256, 14, 14), 4 * 7, name="mask.roi_align")
    for index in range(4):
        y = rois.conv(y, 256, 3, name=f"mask.conv{index + 1}")
    y = rois.transposed(y, 256, 2, 2, norm=False, bias=True, name="mask.deconv")
    rois.conv(y, 8, 1, norm=False, bias=True, act="sigmoid", name="mask.out")
    depth = maps[0]
    for index, width in enumerate((128, 64)):
        depth = b.conv(depth, width, 3, name=f"depth.conv{index + 1}")
        depth = b.upsample(depth, (2 * depth.h, 2 * depth.w), bilinear=True, name=f"depth.upsample{index + 1}")
    b.conv(depth, 1, 3, norm=False, bias=True, act="none", name="depth.out")
    return b.network(f"{regions} regions per image; refinement network left out; no suppression")
