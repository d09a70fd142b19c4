"""BERT, ViT and GPT-2 from their sizes.

J. Devlin et al., NAACL 2019, arXiv:1810.04805; A. Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; A. Radford et al.,
"Language models are unsupervised multitask learners", 2019.
"""

from hwmodels.network import Network
from hwmodels.networks.llm import LlmConfig, encoder, prefill

__all__ = ["bert_base", "bert_large", "gpt2", "vit_b_16"]


def _bert(name: str, hidden: int, layers: int, heads: int, tokens: int, batch: int) -> Network:
    config = LlmConfig(
        name=name, hidden=hidden, layers=layers, heads=heads, kv_heads=heads, head_dim=hidden // heads, ffn=4 * hidden,
        vocab=30522, positions=512, token_types=2, embedding_norm=True, final_norm=False, qkv_bias=True, out_bias=True,
        mlp_bias=True, head="pooler", source="J. Devlin et al., NAACL 2019, arXiv:1810.04805")
    return prefill(config, tokens=tokens, batch=batch)


def bert_base(*, tokens: int = 384, batch: int = 1) -> Network:
    """109 482 240 parameters; 35 333 406 720 MACs at 384 tokens, pooler included."""
    return _bert("bert_base", 768, 12, 12, tokens, batch)


def bert_large(*, tokens: int = 384, batch: int = 1) -> Network:
    """335 141 888 parameters; 123 212 922 880 MACs at 384 tokens, pooler included."""
    return _bert("bert_large", 1024, 24, 16, tokens, batch)


def vit_b_16(*, image: int = 224, batch: int = 1) -> Network:
    """86 567 656 parameters; 17 563 828 224 MACs at 224 x 224."""
    grid = image // 16
    config = LlmConfig(
        name="vit_b_16", hidden=768, layers=12, heads=12, kv_heads=12, head_dim=64, ffn=3072, positions=grid * grid + 1,
        qkv_bias=True, out_bias=True, mlp_bias=True, head="classifier", classes=1000, patch_weights=3 * 16 * 16,
        source="A. Dosovitskiy et al., ICLR 2021, arXiv:2010.11929")
    return encoder(config, tokens=grid * grid + 1, grid=grid, patch=16, batch=batch)


def gpt2(*, tokens: int = 256, head: str = "all", batch: int = 1) -> Network:
    """124 439 808 parameters; 32 832 159 744 MACs for 256 tokens with the head on all of them, as exports have it."""
    config = LlmConfig(
        name="gpt2", hidden=768, layers=12, heads=12, kv_heads=12, head_dim=64, ffn=3072, vocab=50257, positions=1024,
        tied=True, qkv_bias=True, out_bias=True, mlp_bias=True, source="A. Radford et al., 2019 (GPT-2 small)")
    return prefill(config, tokens=tokens, batch=batch, head=head)
