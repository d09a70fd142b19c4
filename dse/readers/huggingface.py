"""Hugging Face `config.json`: sizes of a transformer, without its code, weights or the network.

What a configuration does not say (is the feed-forward part gated, which products have biases, are positions learned)
follows from its `model_type`; an unknown one is refused with the flag that settles the question, never guessed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dse.errors import InputError, Problem, did_you_mean
from dse.readers.record import NetworkFile
from hwmodels.errors import ModelError
from hwmodels.networks.llm import LlmConfig, decode, encoder, prefill

__all__ = ["MODEL_TYPES", "read_config"]

_LLAMA: dict[str, Any] = {"gated": True, "norm": "rms_norm", "rotary": True, "activation": "swish"}
_BIASED: dict[str, Any] = {"qkv_bias": True, "out_bias": True, "mlp_bias": True}
_BERT: dict[str, Any] = {**_BIASED, "embedding_norm": True, "final_norm": False, "head": "pooler"}
_GEMMA: dict[str, Any] = {**_LLAMA, "tied": True, "activation": "gelu"}

# What a model type implies; keys of `LlmConfig`. `tied` is the default when the file does not say.
MODEL_TYPES: Mapping[str, dict[str, Any]] = MappingProxyType({
    "llama": _LLAMA, "mistral": _LLAMA, "mixtral": _LLAMA, "phi3": _LLAMA, "granite": _LLAMA,
    "qwen2": {**_LLAMA, "qkv_bias": True}, "qwen2_moe": {**_LLAMA, "qkv_bias": True},
    "qwen3": {**_LLAMA, "qk_norm": True}, "qwen3_moe": {**_LLAMA, "qk_norm": True},
    "gemma": _GEMMA, "gemma2": {**_GEMMA, "norms_per_layer": 4},
    "gemma3_text": {**_GEMMA, "norms_per_layer": 4, "qk_norm": True},
    "gpt2": {**_BIASED, "tied": True}, "opt": {**_BIASED, "tied": True, "activation": "relu"},
    "phi": {**_BIASED, "rotary": True, "norms_per_layer": 1, "head_bias": True},
    "bert": _BERT, "roberta": _BERT, "vit": {**_BIASED, "head": "classifier"},
})
_MLP = {"gated": _LLAMA, "plain": {"rotary": True}}
_ALIASES = {
    "hidden": ("hidden_size", "n_embd"), "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "ffn": ("intermediate_size", "n_inner", "ffn_dim"), "vocab": ("vocab_size",),
    "positions": ("max_position_embeddings", "n_positions"),
    "experts": ("num_local_experts", "num_experts"), "experts_per_token": ("num_experts_per_tok",),
}


_MOST = 10_000
"""Layers, and experts of a layer: a network of more is a slip, and would take hours to write down."""


class _Config:
    """A configuration being read; collects problems."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path, self.values = path, values
        self.problems: list[Problem] = []

    def bad(self, field: str, rule: str, value: object, hint: str = "") -> None:
        self.problems.append(Problem(file=str(self.path), field=field, message=f"must be {rule}, got {value}",
                                     hint=hint))

    def integer(self, names: tuple[str, ...], default: int | None = None, *, most: int = 2**31) -> int:
        """The first of `names` that is present; a missing one is a problem unless there is a default."""
        for name in names:
            value = self.values.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                self.bad(name, "an integer >= 1", json.dumps(value))
                return 1
            if value > most:
                self.bad(name, f"at most {most:,}", value)
                return 1
            return value
        if default is None:
            near = did_you_mean(names[0], [str(key) for key in self.values])
            self.bad(names[0], "given" + (f" (or {', '.join(names[1:])})" if len(names) > 1 else ""), "nothing", near)
            return 1
        return default

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name, default)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.bad(name, "true or false", json.dumps(value))
            return default
        return value


def _load(path: Path) -> tuple[Path, dict[str, Any]]:
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(Problem(file=str(path), message="must hold a config.json"))
        path = path / "config.json"
    try:
        text = path.read_bytes().decode("utf-8-sig")
        values = json.loads(text)
    except OSError as error:
        raise InputError(Problem(file=str(path), message=f"must be a readable file ({error.strerror})")) from error
    except UnicodeDecodeError as error:
        raise InputError(Problem(file=str(path), message="must be UTF-8 text")) from error
    except json.JSONDecodeError as error:
        lines = text.splitlines() or [""]
        source = lines[min(error.lineno, len(lines)) - 1]
        message = f"must be JSON ({error.msg})" if text.strip() else "must be JSON, got an empty file"
        raise InputError(Problem(file=str(path), line=error.lineno, column=error.colno, message=message,
                                 source=source)) from error
    except RecursionError as error:
        raise InputError(Problem(file=str(path), message="must be JSON of a sensible depth")) from error
    if not isinstance(values, dict):
        raise InputError(Problem(file=str(path), message=f"must be a JSON object, got {type(values).__name__}"))
    return path, values


def _implied(path: Path, values: dict[str, Any], mlp: str | None) -> dict[str, Any]:
    """What the model type implies."""
    if mlp is not None and mlp not in _MLP:
        raise InputError(Problem(field="mlp", message=f"must be gated or plain, got '{mlp}'"))
    kind = values.get("model_type")
    if "kv_lora_rank" in values:
        raise InputError(Problem(file=str(path), field="kv_lora_rank",
                                 message="must be absent: latent attention has no rule here"))
    if isinstance(kind, str) and kind in MODEL_TYPES:
        implied = dict(MODEL_TYPES[kind])
        if mlp is not None:
            implied["gated"] = mlp == "gated"
        return implied
    if mlp is not None:
        return dict(_MLP[mlp])
    hint = did_you_mean(kind, list(MODEL_TYPES)) if isinstance(kind, str) else ""
    settle = "--mlp gated (three feed-forward products, as Llama) or --mlp plain (two, as GPT-2) settles it"
    got = f"'{kind}'" if kind is not None else "nothing"
    raise InputError(Problem(file=str(path), field="model_type",
                             message=f"must be one of {', '.join(MODEL_TYPES)}, got {got}",
                             hint=f"{hint} {settle}".strip()))


def _heads(config: _Config, hidden: int) -> dict[str, int]:
    heads = config.integer(_ALIASES["heads"])
    kv_heads = config.integer(("num_key_value_heads",), heads)
    if "head_dim" in config.values and config.values["head_dim"] is not None:
        head_dim = config.integer(("head_dim",))
    else:
        head_dim = max(1, hidden // heads)
        if hidden % heads and not config.problems:
            config.bad("num_attention_heads", f"a divisor of the hidden size {hidden} (or head_dim given)", heads)
    if heads % kv_heads:
        config.bad("num_key_value_heads", f"a divisor of the attention heads {heads}", kv_heads)
    return {"heads": heads, "kv_heads": kv_heads, "head_dim": head_dim}


def _experts(config: _Config, sizes: dict[str, Any]) -> dict[str, int]:
    experts = config.integer(_ALIASES["experts"], 0, most=_MOST)
    if not experts:
        return {}
    used = config.integer(_ALIASES["experts_per_token"])
    if used > experts:
        config.bad("num_experts_per_tok", f"at most the number of experts {experts}", used)
    found = {"experts": experts, "experts_per_token": used}
    found["ffn"] = config.integer(("moe_intermediate_size",), sizes["ffn"])
    if config.values.get("shared_expert_intermediate_size"):
        found["shared_ffn"] = config.integer(("shared_expert_intermediate_size",))
    return found


def _sizes(config: _Config, kind: str, implied: dict[str, Any]) -> LlmConfig | None:
    """The record; None when there are problems."""
    hidden = config.integer(_ALIASES["hidden"])
    sizes: dict[str, Any] = {"hidden": hidden, "layers": config.integer(_ALIASES["layers"], most=_MOST),
                             **_heads(config, hidden)}
    sizes["ffn"] = config.integer(_ALIASES["ffn"],
                                  4 * hidden if kind in ("gpt2", "phi") or "n_embd" in config.values else None)
    sizes.update(_experts(config, sizes))
    if kind != "vit":
        sizes["vocab"] = config.integer(_ALIASES["vocab"])
        sizes["tied"] = config.flag("tie_word_embeddings", implied.get("tied", False))
    if kind in ("gpt2", "opt", "bert", "roberta"):
        sizes["positions"] = config.integer(_ALIASES["positions"]) + (2 if kind == "opt" else 0)
    if kind in ("bert", "roberta"):
        sizes["token_types"] = config.integer(("type_vocab_size",), 2)
    if kind in ("llama", "mistral", "mixtral", "granite", "gemma", "gemma2", "gemma3_text", "qwen3", "qwen3_moe"):
        bias = config.flag("attention_bias", False)
        sizes.update(qkv_bias=bias, out_bias=bias, mlp_bias=config.flag("mlp_bias", False))
    if kind == "vit":
        image, patch = config.integer(("image_size",)), config.integer(("patch_size",))
        channels = config.integer(("num_channels",), 3)
        if image % patch:
            config.bad("image_size", f"a multiple of patch_size {patch}", image)
        labels = config.values.get("id2label")
        classes = len(labels) if isinstance(labels, dict) and labels else config.integer(("num_labels",), 1000)
        sizes.update(positions=(image // patch) ** 2 + 1, patch_weights=channels * patch * patch, classes=classes)
    if config.problems:
        return None
    merged = {**implied, **sizes}
    try:
        return LlmConfig(name=config.path.parent.name or "config", source=f"{config.path.name} ({kind})", **merged)
    except ModelError as error:
        config.bad(error.field, error.rule, error.value)
        return None


def _check_request(phase: str, tokens: int, context: int | None, batch: int, head: str) -> None:
    problems = []
    if phase not in ("prefill", "decode"):
        problems.append(Problem(field="phase", message=f"must be prefill or decode, got '{phase}'",
                                hint=did_you_mean(phase, ["prefill", "decode"])))
    if head not in ("last", "all"):
        problems.append(Problem(field="head", message=f"must be last or all, got '{head}'"))
    for name, value in (("tokens", tokens), ("context", context), ("batch", batch)):
        if value is not None and value < 1:
            problems.append(Problem(field=name, message=f"must be an integer >= 1, got {value}"))
    if phase == "prefill" and context is not None and context < tokens and not problems:
        problems.append(Problem(field="context", message=f"must be at least the {tokens} new tokens, got {context}"))
    if problems:
        raise InputError(*problems)


def read_config(path: Path, *, phase: str = "prefill", tokens: int = 512, context: int | None = None, batch: int = 1,
                head: str = "last", mlp: str | None = None) -> NetworkFile:
    """The network of a configuration (a file, or a folder with a config.json) in one phase.

    Raises
    ------
    InputError : no JSON, an unknown model type, missing or contradicting sizes, a phase the model does not have.
    """
    _check_request(phase, tokens, context, batch, head)
    path, values = _load(path)
    if "model_type" in values and "num_hidden_layers" not in values and isinstance(values.get("text_config"), dict):
        values = {**values["text_config"], "model_type": values["text_config"].get("model_type", values["model_type"])}
    implied = _implied(path, values, mlp)
    config = _Config(path, values)
    kind = str(values.get("model_type", ""))
    sizes = _sizes(config, kind, implied)
    if sizes is None:
        raise InputError(*config.problems)
    if phase == "decode" and sizes.head != "lm":
        raise InputError(Problem(file=str(path), field="phase",
                                 message=f"must be prefill ({kind} does not decode), got 'decode'"))
    notes = []
    for key in ("sliding_window", "sparse_attention"):
        if values.get(key) and values.get(f"use_{key}", True):
            notes.append(f"{key} = {values[key]} is not modelled: attention is dense over the whole context")
    if kind == "vit":
        grid = values["image_size"] // values["patch_size"]
        network = encoder(sizes, tokens=grid * grid + 1, grid=grid, patch=values["patch_size"],
                          channels=values.get("num_channels") or 3, batch=batch)
        return NetworkFile(kind="huggingface", network=network, notes=tuple(notes),
                           totals={"parameters": sizes.parameters})
    if phase == "decode":
        context = tokens if context is None else context
        network = decode(sizes, context=context, batch=batch)
    else:
        network = prefill(sizes, tokens=tokens, context=context, batch=batch, head=head)
    if sizes.experts:
        notes.append("tokens spread evenly over the experts")
    count = tokens if phase == "prefill" else 1
    span = (context or tokens) if phase == "prefill" else (context or 1)
    totals = {"linear_macs": sizes.linear_macs(count, batch),
              "attention_macs": sizes.attention_macs(count, span, batch)}
    if sizes.head == "lm":
        totals |= {"head_macs": sizes.head_macs(count if head == "all" else 1, batch),
                   "macs_head_on_all_tokens": sizes.macs(count, span, batch=batch),
                   "macs_head_on_last_token": sizes.macs(count, span, batch=batch, head_tokens=1),
                   "kv_elements_per_token": sizes.kv_elements_per_token}
    totals["parameters"] = sizes.parameters
    return NetworkFile(kind="huggingface", network=network, notes=(*notes, *network.notes), totals=totals)
