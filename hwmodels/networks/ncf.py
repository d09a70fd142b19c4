"""NeuMF, neural collaborative filtering (X. He et al., WWW 2017, arXiv:1708.05031), at MLPerf Training's size."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder

__all__ = ["ncf"]


def ncf(*, users: int = 138493, items: int = 26744, batch: int = 1) -> Network:
    """31.8 M parameters (31.7 M of them embeddings), 106 624 MACs per pair; `batch` pairs are scored together."""
    b = Builder("ncf", "X. He et al., WWW 2017, arXiv:1708.05031; sizes of MLPerf Training (MovieLens-20M)",
                batch=batch)
    mf = [b.embedding(1, rows, 64, name=f"mf.{name}") for name, rows in (("user", users), ("item", items))]
    mlp = [b.embedding(1, rows, 128, name=f"mlp.{name}") for name, rows in (("user", users), ("item", items))]
    product = b.multiply(*mf, name="mf.product")
    x = b.concat(*mlp)
    for index, width in enumerate((256, 128, 64)):
        x = b.gemm(x, width, act="relu", name=f"mlp.{index}")
    b.gemm(b.concat(product, x), 1, act="sigmoid", name="score")
    return b.network()
