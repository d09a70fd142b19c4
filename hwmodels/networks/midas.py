"""MiDaS v2.1 small depth estimation (R. Ranftl et al., TPAMI 2022, arXiv:1907.01341).

EfficientNet-Lite3 encoder (M. Tan, Q. Le, ICML 2019, arXiv:1905.11946, without squeeze-and-excite), four feature maps,
and a decoder of residual fusion blocks whose widths 64, 128, 256, 512 grow with depth.
"""

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value
from hwmodels.networks.mobilenet import inverted_residual

__all__ = ["midas_small"]

# (kernel, stride, expansion, channels, blocks): the B0 stages with widths x 1.2 and depths x 1.4 (first and last kept)
_LITE3 = ((3, 1, 1, 24, 1), (3, 2, 6, 32, 3), (5, 2, 6, 48, 3), (3, 2, 6, 96, 5), (5, 1, 6, 136, 5), (5, 2, 6, 232, 6),
          (3, 1, 6, 384, 1))
_TAPS = (1, 2, 4, 6)  # stages whose outputs the decoder reads


def _residual_unit(b: Builder, x: Value, name: str) -> Value:
    y = b.activation(x, "relu", name=f"{name}.relu")
    y = b.conv(y, x.c, 3, norm=False, bias=True, name=f"{name}.conv1")
    y = b.conv(y, x.c, 3, norm=False, bias=True, act="none", name=f"{name}.conv2")
    return b.add(x, y, name=f"{name}.add")


def midas_small(*, height: int = 192, width: int = 256, batch: int = 1) -> Network:
    """16.6 M parameters; the published file has 21.3 M, 4.7 M of them in a residual unit that is never run."""
    b = Builder("midas_small", "R. Ranftl et al., TPAMI 2022, arXiv:1907.01341 (v2.1 small); input of XRBench",
                batch=batch)
    x = b.conv(b.input(3, height, width), 32, 3, 2, same=True, act="relu6", name="stem")
    taps: list[Value] = []
    for stage, (kernel, stride, expansion, channels, blocks) in enumerate(_LITE3):
        for index in range(blocks):
            x = inverted_residual(b, x, channels, kernel, stride if index == 0 else 1, expansion,
                                  f"stage{stage}.{index}", same=True)
        if stage in _TAPS:
            taps.append(x)
    maps = [b.conv(tap, 64 << index, 3, norm=False, act="none", name=f"layer{index + 1}_rn")
            for index, tap in enumerate(taps)]
    fused: Value | None = None
    for level in (3, 2, 1, 0):
        name, current = f"refinenet{level + 1}", maps[level]
        if fused is not None:
            current = b.add(fused, _residual_unit(b, current, f"{name}.unit1"), name=f"{name}.add")
        current = _residual_unit(b, current, f"{name}.unit2")
        size = (maps[level - 1].h, maps[level - 1].w) if level else (2 * current.h, 2 * current.w)
        current = b.upsample(current, size, bilinear=True, name=f"{name}.upsample")
        fused = b.conv(current, max(64, current.c // 2), 1, norm=False, bias=True, act="none", name=f"{name}.out_conv")
    assert fused is not None
    x = b.conv(fused, 32, 3, norm=False, bias=True, act="none", name="head.conv1")
    x = b.upsample(x, (2 * x.h, 2 * x.w), bilinear=True, name="head.upsample")
    x = b.conv(x, 32, 3, norm=False, bias=True, name="head.conv2")
    b.conv(x, 1, 1, norm=False, bias=True, name="head.conv3")
    return b.network()
