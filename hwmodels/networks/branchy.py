"""B-AlexNet: AlexNet for 32 x 32 images with two early exits (S. Teerapittayanon et al., BranchyNet, ICPR 2016,
arXiv:1709.01686, table I: CIFAR-10, thresholds 0.0001 and 0.05).

Every sample pays every head it passes: the layers of a head precede the rest of the backbone.
"""

from dataclasses import replace

from hwmodels.network import Network
from hwmodels.networks.build import Builder, Value

__all__ = ["branchy_alexnet"]

_SHARES = (0.656, 0.252)
"""Of all samples, those that take the first and the second exit."""


def branchy_alexnet(*, batch: int = 1) -> Network:
    """15 564 800 + 3 538 944 + 9 143 552 MACs of the backbone, 1 774 592 and 443 648 of the heads."""
    b = Builder("branchy_alexnet", "S. Teerapittayanon et al., ICPR 2016, arXiv:1709.01686", batch=batch)

    def conv(x: Value, width: int, kernel: int, name: str, *, pooled: bool = False) -> Value:
        x = b.conv(x, width, kernel, norm=False, bias=True, name=name)
        return b.pool(x, 3, 2, ceil=True, name=f"{name}.pool") if pooled else x

    def head(x: Value, name: str) -> None:
        x = b.pool(x, 3, 2, ceil=True, name=f"{name}.pool")
        b.gemm(x.reshape(x.elements), 10, name=f"{name}.fc")

    x = conv(conv(b.input(3, 32, 32), 32, 5, "conv1", pooled=True), 64, 5, "conv2", pooled=True)
    head(conv(conv(x, 32, 3, "exit1.conv1"), 32, 3, "exit1.conv2"), "exit1")
    x = conv(x, 96, 3, "conv3")
    head(conv(b.pool(x, 3, 2, ceil=True, name="exit2.pool1"), 32, 3, "exit2.conv1"), "exit2")
    x = conv(conv(x, 96, 3, "conv4"), 64, 3, "conv5", pooled=True)
    x = b.gemm(b.gemm(x.reshape(x.elements), 256, act="relu", name="fc6"), 128, act="relu", name="fc7")
    b.gemm(x, 10, name="fc8")
    given = {"exit1.fc": _SHARES[0], "exit2.fc": _SHARES[1] / (1.0 - _SHARES[0])}
    return replace(b.network("exit probabilities as published for CIFAR-10"), layers=tuple(
        replace(layer, exit_frac=given.get(layer.name, 0.0)) for layer in b.layers))
