"""HRViT-b1 semantic segmentation (J. Gu et al., CVPR 2022, arXiv:2111.01236).

Parallel branches at 1/4 to 1/32 of the image; attention in cross-shaped windows (half of the heads attend in row
stripes, half in column stripes), a mixed-scale convolutional feed-forward part, and fusion between the branches. Block
counts and widths follow the paper's b1 as far as it states them: hrvit_b1-like.
"""

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value

__all__ = ["hrvit_b1"]

_WIDTHS = (32, 64, 128, 256)
_HEADS = (1, 2, 4, 8)
_STRIPES = (1, 2, 7, 7)
_RATIOS = (4, 4, 4, 4)  # of the feed-forward part
# blocks per branch in each module, from high to low resolution
_MODULES = ((1,), (1, 1), (1, 1, 6), (1, 1, 6, 2), (1, 1, 6, 2))


def _stripe_attention(b: Builder, x: Value, level: int, name: str) -> Value:
    heads, stripe = _HEADS[level], min(_STRIPES[level], x.h, x.w)
    qkv = b.gemm(x, 2 * x.c, name=f"{name}.qk_v")  # queries = keys' projection; values shared (the paper's saving)
    half = qkv.part(x.c // 2)
    rows = b.attention(half, half, heads, windows=max(1, x.h // stripe), name=f"{name}.rows")
    cols = b.attention(half, half, heads, windows=max(1, x.w // stripe), name=f"{name}.cols")
    local = b.depthwise(qkv.part(x.c), 3, act="hard_swish", name=f"{name}.local")
    y = b.add(b.concat(rows, cols), local, name=f"{name}.join")
    return b.gemm(y, x.c, name=f"{name}.out")


def _block(b: Builder, x: Value, level: int, name: str) -> Value:
    x = b.add(x, _stripe_attention(b, b.norm(x, name=f"{name}.norm1"), level, f"{name}.attn"), name=f"{name}.add1")
    y = b.gemm(b.norm(x, name=f"{name}.norm2"), x.c * _RATIOS[level], name=f"{name}.ffn1")
    half = y.part(y.c // 2)
    y = b.concat(b.depthwise(half, 3, act="gelu", name=f"{name}.ffn.dw3"),
                 b.depthwise(half, 5, act="gelu", name=f"{name}.ffn.dw5"))
    return b.add(x, b.gemm(y, x.c, name=f"{name}.ffn2"), name=f"{name}.add2")


def _fuse(b: Builder, branches: list[Value], count: int, name: str) -> list[Value]:
    """`count` outputs, each the sum of all branches brought to its size."""
    sizes = [(v.h, v.w) for v in branches]
    sizes += [(-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2))] * (count - len(sizes))
    outputs: list[Value] = []
    for to in range(count):
        total: Value | None = None
        for frm, branch in enumerate(branches):
            value = branch
            label = f"{name}.{frm}to{to}"
            if frm < to:
                value = b.depthwise(value, 2 ** (to - frm) + 1, 2 ** (to - frm), act="none", name=f"{label}.dw")
                value = b.conv(value, _WIDTHS[to], 1, act="none", name=f"{label}.pw")._replace(h=sizes[to][0],
                                                                                               w=sizes[to][1])
            elif frm > to:
                value = b.conv(value, _WIDTHS[to], 1, act="none", name=f"{label}.pw")
                value = b.upsample(value, sizes[to], name=f"{label}.upsample")
            total = value if total is None else b.add(total, value, name=f"{label}.add")
        assert total is not None
        outputs.append(total)
    return outputs


def hrvit_b1(*, height: int = 224, width: int = 224, classes: int = 19, batch: int = 1) -> Network:
    """9.2 M parameters and 2.72 GMAC; published: 8.1 M, and 14.1 G at 512 x 512, which is 2.7 G at this size."""
    b = Builder("hrvit_b1", "J. Gu et al., CVPR 2022, arXiv:2111.01236 (-like; input of XRBench)", batch=batch)
    x = b.conv(b.input(3, height, width), 32, 3, 2, name="stem.conv1")
    x = b.conv(x, 32, 3, 2, name="stem.conv2")
    branches = [x]
    for stage, blocks in enumerate(_MODULES):
        if stage:
            branches = _fuse(b, branches, len(blocks), f"fuse{stage}")
        for level, count in enumerate(blocks):
            value = b.conv(branches[level], _WIDTHS[level], 3, name=f"stage{stage}.branch{level}.embed")
            for index in range(count):
                value = _block(b, value, level, f"stage{stage}.branch{level}.{index}")
            branches[level] = value
    size = (branches[0].h, branches[0].w)
    maps = []
    for level, value in enumerate(branches):
        y = b.gemm(value, 256, name=f"head.linear{level}")
        maps.append(b.upsample(y, size, bilinear=True, name=f"head.upsample{level}") if level else y)
    x = b.conv(b.concat(*maps), 256, 1, name="head.fuse")
    x = b.conv(x, classes, 1, norm=False, bias=True, act="none", name="head.classify")
    b.upsample(x, (height, width), bilinear=True, name="head.resize")
    return b.network("block counts and widths as far as the paper states them; SegFormer-like head of width 256")
