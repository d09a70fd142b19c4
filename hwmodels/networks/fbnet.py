"""FBNet-C (B. Wu et al., CVPR 2019, arXiv:1812.03443)."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder
from hwmodels.networks.mobilenet import inverted_residual

__all__ = ["fbnet_c"]

# (kernel, stride, expansion, channels) of every block that the search kept
_BLOCKS = (
    (3, 1, 1, 16), (3, 2, 6, 24), (3, 1, 1, 24), (3, 1, 1, 24), (5, 2, 6, 32), (5, 1, 3, 32), (5, 1, 6, 32),
    (3, 1, 6, 32),
    (5, 2, 6, 64), (5, 1, 3, 64), (5, 1, 6, 64), (5, 1, 6, 64), (5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112),
    (5, 1, 3, 112), (5, 2, 6, 184), (5, 1, 6, 184), (5, 1, 6, 184), (5, 1, 6, 184), (3, 1, 6, 352),
)


def fbnet_c(*, height: int = 160, width: int = 100, batch: int = 1) -> Network:
    """5.57 M parameters and 378 M MACs at 224 x 224 (published: 5.5 M and 375 M).

    The default input is the eye image of XRBench's gaze estimation (3 x 160 x 100), which keeps the classifier.
    """
    b = Builder("fbnet_c", "B. Wu et al., CVPR 2019, arXiv:1812.03443; input of XRBench's gaze estimation", batch=batch)
    x = b.conv(b.input(3, height, width), 16, 3, 2, name="conv1")
    for index, (kernel, stride, expansion, channels) in enumerate(_BLOCKS):
        x = inverted_residual(b, x, channels, kernel, stride, expansion, f"block{index}", act="relu")
    x = b.conv(x, 1984, 1, name="conv_last")
    b.gemm(b.global_pool(x), 1000)
    return b.network()
