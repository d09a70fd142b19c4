"""Mobile two-stage detection: Faster R-CNN on a FBNetV3-A-like backbone, as D2Go ships it.

X. Dai et al., CVPR 2021, arXiv:2006.02049 (FBNetV3); S. Ren et al., NeurIPS 2015, arXiv:1506.01497. The backbone runs
to stride 16 (C4); its last stage is the head that runs on every region. D2Go's file is not a paper:
d2go_faster_rcnn-like.
"""

from hwmodels.network import Network
from hwmodels.networks.build import Builder
from hwmodels.networks.mobilenet import inverted_residual

__all__ = ["d2go_faster_rcnn"]

# (kernel, stride, expansion, channels, blocks, squeeze divisor): up to stride 16, then the head on regions
_TRUNK = ((3, 1, 1, 16, 2, 0), (5, 2, 4, 24, 4, 0), (5, 2, 4, 40, 4, 4), (5, 2, 4, 72, 4, 0), (3, 1, 4, 112, 6, 4))
_HEAD = ((3, 2, 6, 184, 3, 4), (5, 1, 6, 200, 1, 4))


def d2go_faster_rcnn(*, height: int = 224, width: int = 299, regions: int = 5, batch: int = 1) -> Network:
    """5.26 M parameters and 0.55 GMAC; XRBench's layers, depthwise ones read as such, hold 5.27 M and 0.49 G."""
    b = Builder("d2go_faster_rcnn", "X. Dai et al., arXiv:2006.02049; S. Ren et al., arXiv:1506.01497 (-like)",
                batch=batch)
    x = b.conv(b.input(3, height, width), 16, 3, 2, act="hard_swish", name="stem")
    for stage, (kernel, stride, expansion, channels, blocks, squeeze) in enumerate(_TRUNK):
        for index in range(blocks):
            hidden = x.c * expansion
            x = inverted_residual(b, x, channels, kernel, stride if index == 0 else 1, expansion,
                                  f"trunk{stage}.{index}",
                                  act="hard_swish", squeeze=hidden // squeeze if squeeze else 0)
    rpn = inverted_residual(b, x, 112, 3, 1, 6, "rpn.head", act="hard_swish")
    b.conv(rpn, 15, 1, norm=False, bias=True, act="sigmoid", name="rpn.objectness")
    boxes = b.conv(rpn, 60, 1, norm=False, bias=True, act="none", name="rpn.deltas")
    # Bilinear sampling of 6 x 6 cells per region; from here on every region is a batch element.
    pooled = b.vector("gather", [x, boxes], (x.c, 6, 6 * regions), 4 * 7, name="roi_align")
    head = Builder("head", batch=batch * regions)
    head.layers, y = b.layers, pooled._replace(w=6)
    for stage, (kernel, stride, expansion, channels, blocks, squeeze) in enumerate(_HEAD):
        for index in range(blocks):
            y = inverted_residual(head, y, channels, kernel, stride if index == 0 else 1, expansion,
                                  f"head{stage}.{index}", act="hard_swish", squeeze=y.c * expansion // squeeze)
    y = head.global_pool(y, name="head.gap")
    head.softmax(head.gemm(y, 81, name="head.scores"), name="head.softmax")
    head.gemm(y, 320, name="head.boxes")
    return b.network(f"{regions} regions per image; widths of the backbone after FBNetV3-A, head ours; no suppression")
