"""Hand tracking: 3-D hand shape from one image (L. Ge et al., CVPR 2019, arXiv:1903.00812), half size as in XRBench.

Two stacked hourglasses find 2-D heat maps, a residual encoder turns features and heat maps into a latent vector, and
graph convolutions (Chebyshev polynomials of order 3, 1280 vertices in the end) give the mesh. The paper leaves channel
widths of the mesh part open: hand_graph_cnn-like.
"""

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value

__all__ = ["hand_graph_cnn"]


def _residual(b: Builder, x: Value, k: int, name: str, stride: int = 1) -> Value:
    y = b.conv(x, k // 2, 1, name=f"{name}.conv1")
    y = b.conv(y, k // 2, 3, stride, name=f"{name}.conv2")
    y = b.conv(y, k, 1, act="none", name=f"{name}.conv3")
    if x.c != k or stride != 1:
        x = b.conv(x, k, 1, stride, act="none", name=f"{name}.skip")
    return b.add(x, y, act="relu", name=f"{name}.add")


def _residuals(b: Builder, x: Value, name: str) -> Value:
    for index in range(2):
        x = _residual(b, x, x.c, f"{name}.{index}")
    return x


def _hourglass(b: Builder, x: Value, depth: int, name: str) -> Value:
    upper = _residuals(b, x, f"{name}.up{depth}")
    lower = _residuals(b, b.pool(x, 2, name=f"{name}.pool{depth}"), f"{name}.in{depth}")
    lower = _hourglass(b, lower, depth - 1, name) if depth > 1 else _residuals(b, lower, f"{name}.mid")
    lower = _residuals(b, lower, f"{name}.out{depth}")
    return b.add(upper, b.upsample(lower, (upper.h, upper.w), name=f"{name}.upsample{depth}"),
                 name=f"{name}.add{depth}")


def _graph_conv(b: Builder, x: Value, k: int, name: str, order: int = 3) -> Value:
    """`order` Chebyshev terms: sparse neighbour sums (6 neighbours) on the vector unit, then one product."""
    if order > 1:
        terms = b.vector("gather", [x], (x.c * (order - 1), x.h, 1), 6, name=f"{name}.neighbours")
        x = b.concat(x, terms)
    return b.gemm(x, k, act="relu", name=name)


def hand_graph_cnn(*, size: int = 128, batch: int = 1) -> Network:
    """19.7 M weights and 3.68 GMAC; XRBench counts 19.3 M and 3.73 G for its half-size version."""
    b = Builder("hand_graph_cnn", "L. Ge et al., CVPR 2019, arXiv:1903.00812 (-like; input of XRBench)", batch=batch)
    x = b.conv(b.input(3, size, size), 64, 7, 2, name="stem.conv")
    x = _residual(b, x, 128, "stem.res1")
    x = b.pool(x, 2, name="stem.pool")
    x = _residual(b, _residual(b, x, 128, "stem.res2"), 256, "stem.res3")
    for stack in range(2):
        name = f"stack{stack}"
        y = _residuals(b, _hourglass(b, x, 4, name), f"{name}.res")
        y = b.conv(y, 256, 1, name=f"{name}.features")
        heat = b.conv(y, 21, 1, norm=False, bias=True, act="none", name=f"{name}.heat_maps")
        merged = b.conv(b.concat(y, heat), 256, 1, norm=False, bias=True, act="none", name=f"{name}.merge")
        x = b.add(x, merged, name=f"{name}.add")
    for index, width in enumerate((256, 512, 512, 512)):
        x = _residual(b, x, width, f"encoder{index}", stride=2)
    latent = b.gemm(x.reshape(x.elements), 512, act="relu", name="latent")
    vertices = b.gemm(latent, 80 * 64, act="relu", name="graph.seed").reshape(64, 80)
    for index, (count, width) in enumerate(((320, 64), (1280, 32))):
        vertices = _graph_conv(b, vertices, width, f"graph{index}.conv1")
        vertices = b.upsample(vertices, (count, 1), name=f"graph{index}.upsample")
        vertices = _graph_conv(b, vertices, width, f"graph{index}.conv2")
    _graph_conv(b, vertices, 3, "graph.mesh")
    return b.network("channel widths of the mesh part are ours")
