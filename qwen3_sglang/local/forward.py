"""One forward pass of Qwen3 over several prompts at once, each shared token computed once.

The tokens of a pass lie one after another, without padding, in one tensor of shape (tokens, hidden). Only attention
looks at prompts: a group of leaves is taken out, padded on the right, and attends to its shared tokens and to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional

from qwen3_sglang.local.sharing import Node, Pass, groups

KeysValues = tuple[torch.Tensor, torch.Tensor]  # each (1, heads, tokens, head size), from a prompt's first token on
Turns = tuple[torch.Tensor, torch.Tensor]  # cosine and sine, each (tokens, 1, head size)
Held = dict[Node, list[KeysValues]]  # one entry per layer
Masks = dict[tuple[int, int], torch.Tensor]

PADDING = 1.5  # padded tokens per real one in a group, at most; they cost attention only
QUERIES = 512  # attended to at once: they bound the mask, which grows with queries times keys


class AbandonedError(Exception):
    """No caller waits for the pass any more."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Nodes of one parent whose attention is computed together.

    Attributes:
        parent: what all of them begin with.
        node: the node itself where it is a shared one, alone in its group.
        rows: shape (nodes, width): where each token lies in the pass; padding repeats some other token.
    """

    parent: Node | None
    node: Node | None
    rows: torch.Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a pass's tokens lie.

    Attributes:
        ids: shape (tokens).
        positions: shape (tokens): each token's place in its prompt.
        last: shape (leaves): where the last token of each leaf lies.
        groups: for attention, shared nodes first.
        back: shape (tokens): where each token lies in the padded groups, put one after another.
        masks: those of attention, by (queries, keys).
    """

    ids: torch.Tensor
    positions: torch.Tensor
    last: torch.Tensor
    groups: list[_Group]
    back: torch.Tensor
    masks: Masks = field(default_factory=dict)


def lay_out(work: Pass, device: torch.device) -> Layout:
    """Put the tokens of a pass one after another."""
    nodes = [*work.shared, *work.leaves]
    starts: dict[Node, int] = {}
    ids: list[int] = []
    positions: list[int] = []
    for node in nodes:
        starts[node] = len(ids)
        ids += node.tokens
        positions += range(node.start, node.start + len(node.tokens))
    last = [starts[leaf] + len(leaf.tokens) - 1 for leaf in work.leaves]
    together = [[node] for node in work.shared] + groups(work.leaves, PADDING)
    back, found, offset = torch.empty(len(ids), dtype=torch.long), [], 0
    for members in together:
        width = max(len(node.tokens) for node in members)
        rows = torch.zeros(len(members), width, dtype=torch.long)
        for row, node in enumerate(members):
            start, size = starts[node], len(node.tokens)
            rows[row, :size] = torch.arange(start, start + size)
            back[start : start + size] = torch.arange(offset, offset + size)
            offset += width
        shared = members[0] if members[0].prompt is None else None
        found.append(_Group(members[0].parent, shared, rows.to(device)))
    tokens, places, ends = (torch.tensor(values, device=device) for values in (ids, positions, last))
    return Layout(tokens, places, ends, found, back.to(device))


def forward(
    model: Any,
    layers: Iterable[Any],
    work: Pass,
    held: Held,
    *,
    device: torch.device,
    dtype: torch.dtype,
    wanted: Callable[[], bool],
) -> torch.Tensor:
    """The last hidden state of each leaf of `work`, in float32: shape (leaves, hidden).

    Args:
        model: a `body.Body`, or transformers' Qwen3Model; its embeddings, norm and rotary embedding are used.
        layers: its layers, in `dtype` on `device`.
        work: what to compute.
        held: keys and values of the shared nodes that earlier passes computed; those of this one are added.
        device: where to compute.
        dtype: in which precision.
        wanted: asked before each layer; the pass ends where it says no.

    Raises:
        AbandonedError: `wanted` said no.
    """
    layout = lay_out(work, device)
    hidden = functional.embedding(layout.ids.to(model.embed_tokens.weight.device), model.embed_tokens.weight)
    hidden = hidden.to(device, dtype)
    cos, sin = model.rotary_emb.to(device)(hidden, layout.positions[None])
    turns = cos[0, :, None], sin[0, :, None]
    for node in work.shared:
        held[node] = []
    for layer in layers:
        if not wanted():
            raise AbandonedError
        hidden += _attention(layer.self_attn, _norm(layer.input_layernorm, hidden), turns, layout, held)
        hidden += _mlp(layer.mlp, _norm(layer.post_attention_layernorm, hidden))
    return _norm(model.norm.to(device), hidden[layout.last].float())


def _norm(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    wide = functional.rms_norm(hidden.float(), hidden.shape[-1:], eps=norm.variance_epsilon)
    return wide.to(hidden.dtype).mul_(norm.weight.to(hidden.dtype))


def _mlp(mlp: Any, hidden: torch.Tensor) -> torch.Tensor:
    gate = functional.silu(mlp.gate_proj(hidden), inplace=True)
    down: torch.Tensor = mlp.down_proj(gate.mul_(mlp.up_proj(hidden)))
    return down


def _attention(attention: Any, hidden: torch.Tensor, turns: Turns, layout: Layout, held: Held) -> torch.Tensor:
    """One layer's attention; the shared nodes' keys and values go to `held`, layer after layer."""
    shape = (len(hidden), -1, attention.head_dim)
    queries = _turned(_norm(attention.q_norm, attention.q_proj(hidden).view(shape)), turns)
    keys = _turned(_norm(attention.k_norm, attention.k_proj(hidden).view(shape)), turns)
    values = attention.v_proj(hidden).view(shape)
    pieces = []
    for group in layout.groups:
        known = None if group.parent is None else held[group.parent][attention.layer_idx]
        context = _join(known, keys[group.rows].transpose(1, 2), values[group.rows].transpose(1, 2))
        if group.node is not None:
            held[group.node].append(context)
        found = _attend(queries[group.rows].transpose(1, 2), context, attention.scaling, layout.masks)
        pieces.append(found.transpose(1, 2).reshape(group.rows.numel(), -1))
    projected: torch.Tensor = attention.o_proj(torch.cat(pieces)[layout.back])
    return projected


def _turned(heads: torch.Tensor, turns: Turns) -> torch.Tensor:
    """Rotary position embedding: shape (tokens, heads, head size)."""
    cos, sin = turns
    one, other = heads.chunk(2, dim=-1)
    return torch.cat((-other, one), dim=-1).mul_(sin).add_(heads * cos)


def _join(known: KeysValues | None, keys: torch.Tensor, values: torch.Tensor) -> KeysValues:
    """The shared tokens' keys and values in front of the nodes' own."""
    if known is None:
        return keys, values
    before = (part.expand(len(keys), -1, -1, -1) for part in known)
    joined = [torch.cat((part, own), dim=2) for part, own in zip(before, (keys, values), strict=True)]
    return joined[0], joined[1]


def _attend(queries: torch.Tensor, context: KeysValues, scale: float, masks: Masks) -> torch.Tensor:
    """Causal attention of the last tokens of `context`: shape (nodes, heads, tokens, head size).

    Padding is on the right, so no real token ever sees it.
    """
    keys, values = context
    nodes, heads, tokens, size = queries.shape
    per_key = heads // keys.shape[1]
    known = keys.shape[2] - tokens
    # Query heads that share a key head become further queries of it, so that no key is copied.
    split = queries.reshape(nodes, keys.shape[1], per_key, tokens, size)
    pieces = []
    for start in range(0, tokens, QUERIES):
        stop = min(start + QUERIES, tokens)
        part = split[:, :, :, start:stop].reshape(nodes, keys.shape[1], -1, size)
        place = (stop - start, known + stop)
        if place not in masks:
            masks[place] = _mask(*place, per_key, keys.device)
        found = functional.scaled_dot_product_attention(
            part, keys[:, :, : known + stop], values[:, :, : known + stop], attn_mask=masks[place], scale=scale
        )
        pieces.append(found.view(nodes, keys.shape[1], per_key, stop - start, size))
    return torch.cat(pieces, dim=3).view(nodes, heads, tokens, size)


def _mask(queries: int, keys: int, repeat: int, device: torch.device) -> torch.Tensor:
    """Which keys each query sees: those up to its own token. Shape (repeat * queries, keys)."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries).repeat(repeat, 1)


def per_token(model: Any, dtype: torch.dtype) -> int:
    """Bytes of the keys and values of one token in all layers."""
    layers: Sequence[Any] = model.layers
    attention = layers[0].self_attn
    return int(2 * len(layers) * attention.k_proj.out_features * dtype.itemsize)
