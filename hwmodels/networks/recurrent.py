"""GNMT (Y. Wu et al., arXiv:1609.08144, 2016) and an LSTM language model (W. Zaremba et al., arXiv:1409.2329, 2014)."""

from hwmodels.network import Network
from hwmodels.networks.build import Builder

__all__ = ["gnmt", "lstm"]


def gnmt(*, tokens: int = 25, width: int = 1024, vocabulary: int = 32000, batch: int = 1) -> Network:
    """8 + 8 layers of 1024, greedy decoding of as many tokens as were read; 279.8 M parameters and
    214 M MACs per token (published: 278 M and 214 M [1]).

    The decoder is sequential: each step runs every decoder layer, attention over the source and the output product.

    [1] N. Shazeer et al., ICLR 2017, arXiv:1701.06538, translation tables.
    """
    b = Builder("gnmt", "Y. Wu et al., arXiv:1609.08144", batch=batch)
    x = b.embedding(tokens, vocabulary, width, name="encoder.embedding")
    x = b.lstm(x, width, directions=2, biases=1, name="encoder.0")
    for index in range(1, 8):
        y = b.lstm(x, width, biases=1, name=f"encoder.{index}")
        x = b.add(x, y, name=f"encoder.{index}.add") if index >= 2 else y
    source = x
    y = b.embedding(tokens, vocabulary, width, name="decoder.embedding")
    keys = b.gemm(source, width, bias=False, name="decoder.attn.keys")
    y = b.lstm(b.concat(y, source._replace(c=width)), width, stepwise=True, biases=1, name="decoder.0")
    context = b.attention(y, keys, 1, sequential=tokens, name="decoder.attn")
    for index in range(1, 8):
        z = b.lstm(b.concat(y, context), width, stepwise=True, biases=1, name=f"decoder.{index}")
        y = b.add(y, z, name=f"decoder.{index}.add") if index >= 2 else z
    index_out = b.add_layer("decoder.output", "recurrent", [y], batch=batch, repeat=tokens, k=vocabulary, c=width,
                            vector_ops=batch * tokens * vocabulary, extra_parameters=vocabulary)
    b.softmax(type(y)((index_out,), vocabulary, tokens), name="decoder.softmax")
    return b.network("greedy decoding without beam search; dot-product attention")


def lstm(*, tokens: int = 35, width: int = 650, layers: int = 2, vocabulary: int = 10000, batch: int = 1) -> Network:
    """The medium model of the paper: two layers of 650, 19.8 M parameters (published: 20 M)."""
    b = Builder("lstm", "W. Zaremba et al., arXiv:1409.2329 (medium)", batch=batch)
    x = b.embedding(tokens, vocabulary, width)
    for index in range(layers):
        x = b.lstm(x, width, biases=1, name=f"lstm{index}")
    b.softmax(b.gemm(x, vocabulary, name="output"))
    return b.network()
