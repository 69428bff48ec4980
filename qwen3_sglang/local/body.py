"""A Qwen3 model without its head, read from a checkpoint's own files.

`forward` needs the weights and the rotary embedding only. transformers' class for them takes seconds of CPU to import,
which a server that starts on a laptop is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

PREFIX = "model."
COMPUTED = "rotary_emb.inv_freq"  # old files have it, too
PLAIN = "default"  # rotary embedding without scaling


class Norm(nn.Module):
    """The weight of a root mean square norm."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size), requires_grad=False)
        self.variance_epsilon = epsilon


class Attention(nn.Module):
    """The projections of one layer's attention, and the norms of its queries and keys."""

    def __init__(self, config: Mapping[str, Any], index: int) -> None:
        super().__init__()
        hidden, size, biased = config["hidden_size"], head_size(config), bool(config.get("attention_bias"))
        heads = config["num_attention_heads"]
        shared = config.get("num_key_value_heads") or heads
        self.layer_idx, self.head_dim, self.scaling = index, size, size**-0.5
        self.q_proj = nn.Linear(hidden, heads * size, bias=biased)
        self.k_proj = nn.Linear(hidden, shared * size, bias=biased)
        self.v_proj = nn.Linear(hidden, shared * size, bias=biased)
        self.o_proj = nn.Linear(heads * size, hidden, bias=biased)
        self.q_norm = Norm(size, config["rms_norm_eps"])
        self.k_norm = Norm(size, config["rms_norm_eps"])


class Mlp(nn.Module):
    """The projections of one layer's gated feed-forward network."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden, inner = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, config: Mapping[str, Any], index: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(config, index), Mlp(config)
        self.input_layernorm = Norm(config["hidden_size"], config["rms_norm_eps"])
        self.post_attention_layernorm = Norm(config["hidden_size"], config["rms_norm_eps"])


class Rotary(nn.Module):
    """The angles of the rotary position embedding."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        steps = torch.arange(0, head_size(config), 2, dtype=torch.float) / head_size(config)
        self._turns_per_token = 1.0 / rope(config)["rope_theta"] ** steps  # no buffer: a 16-bit model would round it

    def forward(self, hidden: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine per position, of `hidden`'s type: shape (1, tokens, head size)."""
        angles = positions[..., None].float() * self._turns_per_token.to(positions.device)
        both = torch.cat((angles, angles), dim=-1)
        return both.cos().to(hidden.dtype), both.sin().to(hidden.dtype)


class Body(nn.Module):
    """Embeddings, layers and the last norm, under the names that they have in a checkpoint."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        # Weights are given: to draw them on the "meta" device, torch would import its compiler, which takes seconds.
        given: Any = nn.Embedding.from_pretrained  # it has no types
        self.embed_tokens = given(torch.empty(config["vocab_size"], config["hidden_size"]))
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config["num_hidden_layers"]))
        self.norm = Norm(config["hidden_size"], config["rms_norm_eps"])
        with torch.device("cpu"):  # computed, not read
            self.rotary_emb = Rotary(config)


def head_size(config: Mapping[str, Any]) -> int:
    """Dimensions of one attention head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """Type and base of the rotary embedding, from a config as transformers 4 or as transformers 5 writes it."""
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = scaling.get("rope_type") or scaling.get("type") or PLAIN
    return {"rope_type": kind, "rope_theta": float(scaling.get("rope_theta") or config.get("rope_theta") or 10_000.0)}


def is_plain(config: Mapping[str, Any]) -> bool:
    """Does the checkpoint hold what `Body` computes: plain weights, a rotary embedding without scaling, SiLU?"""
    standard = config.get("hidden_act", "silu") == "silu" and config.get("quantization_config") is None
    return standard and rope(config)["rope_type"] == PLAIN


def read_body(folder: Path, config: Mapping[str, Any]) -> Body:
    """The model in `folder`, in the precision of its files.

    Raises:
        KeyError: the config lacks a size.
        OSError, SafetensorError: a file can't be read.
        RuntimeError: a tensor is missing, has another shape, or belongs to another model.
    """
    with torch.device("meta"):  # nothing is allocated, nor drawn at random
        body = Body(config)
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - the handle is no mapping
                if name.startswith(PREFIX) and not name.endswith(COMPUTED):
                    found[name.removeprefix(PREFIX)] = file.get_tensor(name)
    body.load_state_dict(found, assign=True)
    return body.requires_grad_(requires_grad=False)
