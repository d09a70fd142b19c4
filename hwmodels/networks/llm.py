"""Transformers from their sizes: one record, closed forms, and the layers of prefill and decode.

Model. With h hidden, L layers, n heads, n_kv key/value heads, d head size, f ffn, V vocabulary; S new tokens, T context
(prefill T = S, decode S = 1), batch B, E experts of which e are used per token:

    A = h n d + 2 h n_kv d + n d h          attention weights of a layer
    F = (3 gated | 2 plain) h f             feed-forward weights; experts: E F + h E stored, e F + h E used per token
    linear = B S L (A + F_used)             attention = 2 B S T n d L             head = B (S or 1) h V
    weights = L (A + F_stored) + (1 tied | 2) V h,  plus norms, biases, positions
    key/value cache = 2 L n_kv d elements per token

Limits. Attention is dense: sliding windows, causal halving and speculative tokens are not modelled. Routing to experts
is balanced: B S e token-expert pairs spread evenly over as many experts as there can be.

References. A. Vaswani et al., NeurIPS 2017, arXiv:1706.03762; H. Touvron et al., arXiv:2302.13971 (gated feed-forward,
RMS norm); J. Ainslie et al., EMNLP 2023, arXiv:2305.13245 (grouped queries); A. Jiang et al.,
arXiv:2401.04088 (experts).
"""

from dataclasses import dataclass
from typing import final

from hwmodels.errors import InvalidLayer
from hwmodels.network import Network
from hwmodels.networks.build import SCALAR_OPS, Builder, Value

__all__ = ["LlmConfig", "decode", "encoder", "prefill"]

_COUNTS = ("hidden", "layers", "heads", "kv_heads", "head_dim", "ffn")
_HEADS = ("lm", "pooler", "classifier", "none")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LlmConfig:
    """Sizes of a transformer [-].

    Parameters
    ----------
    hidden, layers, heads, kv_heads, head_dim, ffn, vocab : h, L, n, n_kv, d, f, V.
    gated : the feed-forward part is act(x W1) * (x W3) W2 instead of act(x W1) W2.
    tied : embedding and head share their weights.
    experts, experts_per_token : E, e; 0 for a dense feed-forward part.
    shared_ffn : width of an expert that every token uses, behind a gate of its own.
    norm : `rms_norm` or `layer_norm`.
    norms_per_layer, final_norm, embedding_norm : norms of width h per layer, after the last one, after the embedding.
    qk_norm : queries and keys are normalised per head (2 d parameters a layer).
    rotary : positions by rotation of queries and keys.
    qkv_bias, out_bias, mlp_bias, head_bias : which products have a bias.
    positions, token_types : rows of the learned position and token-type tables.
    head : `lm`, `pooler` (h x h on the first token), `classifier` (h x classes on it) or `none`.
    classes : outputs of a classifier.
    patch_weights : weights of a patch embedding per output feature (channels * patch^2); 0 for text.
    activation : of the feed-forward part, a key of `SCALAR_OPS`.

    Raises
    ------
    InvalidLayer : a size below 1, heads that are no multiple of kv_heads, more experts used than there are.
    """

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int = 0
    gated: bool = False
    tied: bool = False
    experts: int = 0
    experts_per_token: int = 0
    shared_ffn: int = 0
    norm: str = "layer_norm"
    norms_per_layer: int = 2
    final_norm: bool = True
    embedding_norm: bool = False
    qk_norm: bool = False
    rotary: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    positions: int = 0
    token_types: int = 0
    head: str = "lm"
    classes: int = 0
    patch_weights: int = 0
    activation: str = "gelu"
    source: str = ""

    def __post_init__(self) -> None:
        for field in _COUNTS:
            value = getattr(self, field)
            if not isinstance(value, int) or value < 1:
                raise InvalidLayer(f"{self.name}.{field}", "an integer >= 1", value)
        if self.heads % self.kv_heads:
            raise InvalidLayer(f"{self.name}.kv_heads", f"a divisor of heads = {self.heads}", self.kv_heads)
        if self.head not in _HEADS:
            raise InvalidLayer(f"{self.name}.head", f"one of {', '.join(_HEADS)}", self.head)
        if not 0 <= self.experts_per_token <= self.experts or (self.experts and not self.experts_per_token):
            raise InvalidLayer(f"{self.name}.experts_per_token", f"in [1, {self.experts}]", self.experts_per_token)

    @property
    def attention_weights(self) -> int:
        """A: weights of the four projections of a layer [-]."""
        return 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)

    @property
    def expert_weights(self) -> int:
        """F: weights of one feed-forward part [-]."""
        return (3 if self.gated else 2) * self.hidden * self.ffn

    @property
    def mlp_stored(self) -> int:
        """Feed-forward weights of a layer, all experts and the router [-]."""
        if not self.experts:
            return self.expert_weights
        return self.experts * (self.expert_weights + self.hidden) + self.shared_weights

    @property
    def mlp_used(self) -> int:
        """Feed-forward weights that one token meets in a layer [-]."""
        if not self.experts:
            return self.expert_weights
        return self.experts_per_token * self.expert_weights + self.hidden * self.experts + self.shared_weights

    @property
    def shared_weights(self) -> int:
        """Weights of the shared expert and its gate [-]."""
        return ((3 if self.gated else 2) * self.shared_ffn + 1) * self.hidden if self.shared_ffn else 0

    @property
    def kv_elements_per_token(self) -> int:
        """Elements a token adds to the key/value cache [-]."""
        return 2 * self.layers * self.kv_heads * self.head_dim

    def linear_macs(self, tokens: int, batch: int = 1) -> int:
        """Products with the weights of the layers [MAC]."""
        return batch * tokens * self.layers * (self.attention_weights + self.mlp_used)

    def attention_macs(self, tokens: int, context: int, batch: int = 1) -> int:
        """Both attention products, dense [MAC]."""
        return 2 * batch * tokens * context * self.heads * self.head_dim * self.layers

    def head_macs(self, tokens: int, batch: int = 1) -> int:
        """Output product over the vocabulary on `tokens` tokens [MAC]."""
        return batch * tokens * self.hidden * self.vocab if self.head == "lm" else 0

    def macs(self, tokens: int, context: int | None = None, *, batch: int = 1, head_tokens: int | None = None) -> int:
        """All products of a language model's step [MAC]; the head runs on `head_tokens` (default: all)."""
        context = tokens if context is None else context
        head = self.head_macs(tokens if head_tokens is None else head_tokens, batch)
        return self.linear_macs(tokens, batch) + self.attention_macs(tokens, context, batch) + head

    @property
    def parameters(self) -> int:
        """Published parameter count [-]."""
        h, kv = self.hidden, self.kv_heads * self.head_dim
        q = self.heads * self.head_dim
        norm = self._norm_parameters
        biases = self.qkv_bias * (q + 2 * kv) + self.out_bias * h
        biases += self.mlp_bias * ((2 if self.gated else 1) * self.ffn + h) * max(1, self.experts)
        layer = self.attention_weights + self.mlp_stored + biases + self.norms_per_layer * norm
        layer += 2 * self.head_dim * self.qk_norm
        tables = (self.vocab + self.positions + self.token_types) * h + (self.embedding_norm + self.final_norm) * norm
        if self.patch_weights:
            tables += h * (self.patch_weights + 1) + h  # patch embedding with bias, class token
        heads = {"lm": (0 if self.tied else self.vocab * h) + self.head_bias * self.vocab, "pooler": h * h + h,
                 "classifier": self.classes * (h + 1), "none": 0}
        return self.layers * layer + tables + heads[self.head]

    @property
    def _norm_parameters(self) -> int:
        return self.hidden * (1 if self.norm == "rms_norm" else 2)



def _experts(b: Builder, config: LlmConfig, x: Value, name: str) -> Value:
    """Router, then the token-expert pairs spread evenly over the experts, one group each."""
    scores = b.gemm(x, config.experts, bias=False, name=f"{name}.router")
    gates = b.softmax(scores, name=f"{name}.router.softmax")
    pairs = b.batch * x.h * config.experts_per_token
    active = min(config.experts, pairs)
    wide = (2 if config.gated else 1) * config.ffn
    act = SCALAR_OPS[config.activation] + config.gated
    idle = (config.experts - active) * (config.expert_weights + config.mlp_bias * (wide + config.hidden))
    # Experts with one pair more than the others come first, so that the MACs are exact.
    parts = [(pairs % active, pairs // active + 1), (active - pairs % active, pairs // active)]
    outputs: list[Value] = []
    for index, (count, rows) in enumerate(part for part in parts if part[0]):
        first = b.add_layer(f"{name}.experts{index}.up", "gemm", [x, gates], groups=count, oy=rows, k=wide,
                            c=config.hidden,
                            vector_ops=count * rows * config.ffn * act, extra_parameters=count * wide * config.mlp_bias)
        last = b.add_layer(f"{name}.experts{index}.down", "gemm", [Value((first,), 1)], groups=count, oy=rows,
                           k=config.hidden, c=config.ffn, vector_ops=count * rows * config.hidden,
                           extra_parameters=count * config.hidden * config.mlp_bias,
                           stored_parameters=idle if index == 0 else 0)
        outputs.append(Value((last,), config.hidden, x.h))
    producers = tuple(p for value in outputs for p in value.producers)
    return b.vector("elementwise", [Value(producers, config.hidden, x.h * config.experts_per_token)],
                    (config.hidden, x.h, 1), config.experts_per_token, name=f"{name}.combine")


def _dense(b: Builder, config: LlmConfig, x: Value, ffn: int, name: str) -> Value:
    if not config.gated:
        y = b.gemm(x, ffn, bias=config.mlp_bias, act=config.activation, name=f"{name}.up")
        return b.gemm(y, config.hidden, bias=config.mlp_bias, name=f"{name}.down")
    y = b.gemm(x, 2 * ffn, bias=config.mlp_bias, name=f"{name}.gate_up")
    y = b.vector("elementwise", [y], (ffn, x.h, 1), SCALAR_OPS[config.activation] + 1, name=f"{name}.gate")
    return b.gemm(y, config.hidden, bias=config.mlp_bias, name=f"{name}.down")


def _mlp(b: Builder, config: LlmConfig, x: Value, name: str) -> Value:
    if not config.experts:
        return _dense(b, config, x, config.ffn, name)
    y = _experts(b, config, x, name)
    if not config.shared_ffn:
        return y
    gate = b.gemm(x, 1, bias=False, act="sigmoid", name=f"{name}.shared.weight")
    shared = _dense(b, config, x, config.shared_ffn, f"{name}.shared")
    return b.add(y, b.multiply(shared, gate, name=f"{name}.shared.scale"), name=f"{name}.shared.add")


def _block(b: Builder, config: LlmConfig, x: Value, context: int, name: str) -> Value:
    q, kv = config.heads * config.head_dim, 2 * config.kv_heads * config.head_dim

    def norm(value: Value, label: str) -> Value:
        return b.norm(value, config.norm, name=f"{name}.{label}")

    post = not config.final_norm and config.embedding_norm  # BERT normalises after the sum
    y = x if post else norm(x, "norm1")
    normed = y
    qkv = b.gemm(y, q + kv, bias=config.qkv_bias, name=f"{name}.qkv")
    if config.qk_norm:
        qkv = b.vector("norm", [qkv], (q + kv, x.h, 1), SCALAR_OPS["rms_norm"], parameters=2 * config.head_dim,
                       name=f"{name}.qk_norm")
    if config.rotary:
        rotated = b.vector("elementwise", [qkv.part(q + kv // 2)], (q + kv // 2, x.h, 1), SCALAR_OPS["rotary"],
                           name=f"{name}.rotary")
        qkv = Value(tuple(sorted({*qkv.producers, *rotated.producers})), q + kv, x.h)
    y = b.attention(qkv.part(q), qkv.part(kv), config.heads, kv_heads=config.kv_heads, head_dim=config.head_dim,
                    context=context, name=f"{name}.attn")
    y = b.gemm(y, config.hidden, bias=config.out_bias, name=f"{name}.out")
    if config.norms_per_layer == 4:
        y = norm(y, "norm1_post")
    if config.norms_per_layer == 1:  # attention and feed-forward side by side
        return b.add(b.add(x, y, name=f"{name}.add1"), _mlp(b, config, normed, f"{name}.mlp"), name=f"{name}.add2")
    x = b.add(x, y, name=f"{name}.add1")
    x = norm(x, "norm1") if post else x
    y = _mlp(b, config, x if post else norm(x, "norm2"), f"{name}.mlp")
    if config.norms_per_layer == 4:
        y = norm(y, "norm2_post")
    x = b.add(x, y, name=f"{name}.add2")
    return norm(x, "norm2") if post else x


def _embed(b: Builder, config: LlmConfig, tokens: int) -> Value:
    sharing = "embedding" if config.tied else ""
    x = b.embedding(tokens, config.vocab, config.hidden, sharing=sharing, name="embedding")
    if config.positions or config.token_types:
        table = b.embedding(tokens, config.positions + config.token_types, config.hidden, name="positions")
        x = b.add(x, table, name="embedding.add")
    return b.norm(x, config.norm, name="embedding.norm") if config.embedding_norm else x


def _finish(b: Builder, config: LlmConfig, x: Value, head_tokens: int) -> Network:
    if config.final_norm:
        x = b.norm(x, config.norm, name="norm")
    if config.head == "lm":
        b.gemm(x._replace(h=head_tokens), config.vocab, bias=config.head_bias, name="lm_head",
               sharing="embedding" if config.tied else "")
    elif config.head == "pooler":
        b.gemm(x._replace(h=1), config.hidden, act="tanh", name="pooler")
    elif config.head == "classifier":
        b.gemm(x._replace(h=1), config.classes, name="classifier")
    note = f"{config.kv_elements_per_token} elements of key/value cache per token"
    return b.network(*([note] if config.head == "lm" else []))


def _check(**counts: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise InvalidLayer(name, "an integer >= 1", value)


def prefill(config: LlmConfig, *, tokens: int = 512, context: int | None = None, batch: int = 1,
            head: str = "last") -> Network:
    """`tokens` prompt tokens at once; the head runs on the `last` one (what serving needs) or on `all` (as exports do).

    `context` > `tokens`: a piece of a longer prompt whose beginning is in the cache already.
    """
    context = tokens if context is None else context
    _check(tokens=tokens, batch=batch, context=context)
    if context < tokens:
        raise InvalidLayer("context", f"at least the {tokens} new tokens", context)
    if head not in ("last", "all"):
        raise InvalidLayer("head", "one of last, all", head)
    b = Builder(config.name, config.source, batch=batch)
    x = _embed(b, config, tokens)
    for index in range(config.layers):
        x = _block(b, config, x, context, f"layer{index}")
    return _finish(b, config, x, 1 if head == "last" else tokens)


def decode(config: LlmConfig, *, context: int = 512, batch: int = 1) -> Network:
    """One new token against `context` cached ones (the new one among them)."""
    _check(context=context, batch=batch)
    if config.head != "lm":
        raise InvalidLayer("phase", "prefill (only a language model decodes)", "decode")
    b = Builder(config.name, config.source, batch=batch)
    x = _embed(b, config, 1)
    for index in range(config.layers):
        x = _block(b, config, x, context, f"layer{index}")
    return _finish(b, config, x, 1)


def encoder(config: LlmConfig, *, tokens: int, grid: int = 0, patch: int = 0, channels: int = 3,
            batch: int = 1) -> Network:
    """An encoder over text, or over an image of `grid` x `grid` patches of `patch` pixels and a class token."""
    if not grid:
        return prefill(config, tokens=tokens, batch=batch)
    b = Builder(config.name, config.source, batch=batch)
    image = b.input(channels, grid * patch, grid * patch)
    x = b.conv(image, config.hidden, patch, patch, pad=0, norm=False, bias=True, act="none", name="patches")
    # Class token and positions are parameters of the sum that adds them.
    x = b.vector("elementwise", [x], (config.hidden, tokens, 1), 1, parameters=(config.positions + 1) * config.hidden,
                 name="positions")
    for index in range(config.layers):
        x = _block(b, config, x, tokens, f"layer{index}")
    return _finish(b, config, x, 1)
