"""Rotary embedding in place, on the CPU: what SGLang's RotaryEmbedding asks of `vllm._custom_ops`."""

from __future__ import annotations

import torch


def rotary_embedding(  # noqa: PLR0917 - the caller passes them by position
    positions: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor | None,
    head_size: int,
    cos_sin_cache: torch.Tensor,
    is_neox: bool,
) -> None:
    """Rotate `query` and `key` ([tokens, heads * head_size]) in place by their `positions` ([tokens])."""
    table = cos_sin_cache[positions.flatten()].to(torch.float32)
    cos, sin = (t.unsqueeze(1) for t in table.chunk(2, dim=-1))
    for x in (query, key):
        if x is None:
            continue
        heads = x.view(x.shape[0], -1, head_size)
        rotated = heads[..., : table.shape[-1]].to(torch.float32)
        if is_neox:
            a, b = rotated.chunk(2, dim=-1)
            out = torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
        else:
            a, b = rotated[..., ::2], rotated[..., 1::2]
            out = torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(-2)
        heads[..., : table.shape[-1]] = out.to(x.dtype)
