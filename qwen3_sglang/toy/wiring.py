"""The weights, written by hand: a formula of information retrieval as a Qwen3 of three layers.

For a query and a document, with w the weight of a token's word (words.py), next to nothing for all other tokens::

    M = sum over the document's tokens whose word is in the query of  w exp(6 (a / (a + n) - 1/2))
        a: how often the word is in the query; n: how often it has been in the document, this token included
    Q = sum of w over the query's tokens
    S = M / (M + Q) * (1 - 0.5 L / (L + mean))
        L: tokens from the document's ">:" to the prompt's end; mean: tokens of the corpus' documents
    P(yes) = sigmoid(24 (S - 0.26))

How each part is computed::

    embedding       64 signs that all forms of a word share, and log w
    layer 0 head 0  a token attends to the last marker before it, "<Query" or "<Document": the section's flag
    layer 1 head 0  it attends to the same word in the query, or else to the query's marker: match = 1 or 0
    layer 1 head 1  it attends to the same word in both sections, so that the softmax gives a / (a + n)
    layer 2 head 0  the last token attends to all; a key is the logarithm of the token's term in M or Q, the value
                    the document's flag, so that the softmax gives M / (M + Q)
    layer 2 head 1  the same with a key of 0, and log mean at the document's marker: L / (L + mean)
    layer 2 MLP     one unit multiplies the two
    lm_head         "yes" = 24 (S - 0.26), "no" = 0

It is wired to survive bfloat16, which keeps 8 bits: what decides is a power of two; a token's squares sum up to
WIDTH, so that normalising leaves the values as they are; a word has the same norm in the query and in the document,
so that both are rounded alike; the terms that must cancel are equal bit by bit. Real SGLang
0.5.23 in bfloat16 on a CPU moves P(yes) of the demo's 198 pairs by 0.0014 in the mean and by 0.015 at most, and no
question's first passage.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qwen3_sglang.names import EMBEDDINGS, LM_HEAD
from qwen3_sglang.toy.tokenizer import AFTER_MARK, DOCUMENT, QUERY
from qwen3_sglang.toy.words import stem

if TYPE_CHECKING:
    from torch import Tensor

    Head = tuple[Tensor, Tensor, Tensor, Tensor]  # rows of q, k, v and columns of o that belong to one head

SIGNS, WIDTH, HEAD, LAYERS, HEADS = 64, 128, 128, 3, 2
ROPE_THETA = 1e30  # turns all but a few dimensions of a head by nothing that bfloat16 can tell
BONUS, SATURATION, LONG, GAIN, THRESHOLD = 1.0, 6.0, 0.5, 24.0, 0.26

# The channels after the signs.
ONE, LOG_WEIGHT, QUERY_MARKER, DOCUMENT_MARKER, FILLER = range(SIGNS, SIGNS + 5)  # of the embedding
IN_QUERY, IN_DOCUMENT, MATCH, COUNT, SHARE, LENGTH, SCORE = range(SIGNS + 5, SIGNS + 12)  # computed
UNIT = 7.9375  # the channel "one": with the signs and a flag the squares sum up to WIDTH
LOG_SCALE = 16.0  # of log_weight
STOP_WEIGHT = math.exp(-12)
SLIGHT = 0.25  # match, count, share and length are kept small, so that they don't shift a token's norm
OFF = 24.0  # what a key loses that isn't to be seen

# Dimensions of a head. RoPE turns dimension i with i + HEAD / 2, those from 20 on by less than 1e-5 at 8,192 tokens.
SLOW = [*range(20, 64), *range(84, 128)]
U, V, W, IDS = SLOW[0], SLOW[1], SLOW[2], SLOW[8 : 8 + SIGNS]


def embeddings(
    spellings: Mapping[int, str], words: Mapping[int, str], weights: Mapping[int, float], size: int
) -> Tensor:
    """[size, WIDTH]: a token's signs, the constant, the logarithm of its weight; the two markers' flags."""
    import torch  # noqa: PLC0415 - slow to import

    table = torch.zeros(size, WIDTH)
    table[:, ONE] = UNIT
    table[:, LOG_WEIGHT] = math.log(STOP_WEIGHT) / LOG_SCALE
    ids = sorted(spellings)
    by_spelling = {spelling: i for i, spelling in spellings.items()}
    special = [i for i in range(size) if i not in spellings]
    no_words = [*special, *(by_spelling[spelling] for spelling in (QUERY, DOCUMENT, AFTER_MARK))]
    table[ids, :SIGNS] = _signs([stem(words[i]) if i in words else spellings[i] for i in ids])
    weighed = sorted(weights)
    table[weighed, LOG_WEIGHT] = torch.tensor([math.log(max(weights[i], STOP_WEIGHT)) for i in weighed]) / LOG_SCALE
    table[no_words, :SIGNS] = 0
    table[no_words, FILLER] = math.sqrt(SIGNS)  # as long as a word's, so that its flags count as much
    for spelling, flag in ((QUERY, QUERY_MARKER), (DOCUMENT, DOCUMENT_MARKER)):
        table[by_spelling[spelling], flag] = 1
    return table


def _signs(names: list[str]) -> Tensor:
    """[len(names), SIGNS] of 1 and -1, the same for the same name; two names agree in half of them, more or less."""
    import torch  # noqa: PLC0415 - slow to import

    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=SIGNS // 8).digest() for name in names)
    octets = torch.frombuffer(bytearray(digests), dtype=torch.uint8).reshape(len(names), SIGNS // 8, 1)
    bits = octets >> torch.arange(8, dtype=torch.uint8) & 1
    return bits.reshape(len(names), SIGNS) * 2.0 - 1


def write(state: dict[str, Tensor], table: Tensor, yes: int, mean: float) -> None:
    """Overwrite every tensor of `state`; `mean` is the mean length of the corpus' documents in tokens."""
    for name, weight in state.items():
        weight.fill_(1.0 if "norm" in name else 0.0)
    state[EMBEDDINGS].copy_(table)
    _write_sections(state)
    _write_matches(state)
    _write_sums(state, mean)
    _write_score(state, yes)


def _at(state: dict[str, Tensor], layer: int, name: str) -> Tensor:
    return state[f"model.layers.{layer}.{name}.weight"]


def _attention(state: dict[str, Tensor], layer: int, scale: float) -> list[Head]:
    """Views on the projections of the layer's heads; `scale` sets how sharp their softmax is."""
    _at(state, layer, "self_attn.q_norm").fill_(scale)
    _at(state, layer, "self_attn.k_norm").fill_(scale)
    q, k, v, o = (_at(state, layer, f"self_attn.{x}_proj") for x in "qkvo")
    rows = [slice(head * HEAD, (head + 1) * HEAD) for head in range(HEADS)]
    return [(q[own], k[own], v[own], o[:, own]) for own in rows]


def _write_sections(state: dict[str, Tensor]) -> None:
    """The document's marker outdoes the query's, which outdoes every other token."""
    (q, k, v, o), _ = _attention(state, 0, 2.5)
    q[U, ONE] = 1
    k[V, ONE] = 1
    k[U, QUERY_MARKER], k[U, DOCUMENT_MARKER] = 8, 64
    for dim, (marker, flag) in enumerate(((QUERY_MARKER, IN_QUERY), (DOCUMENT_MARKER, IN_DOCUMENT))):
        v[dim, marker] = 1
        o[flag, dim] = 1


def _write_matches(state: dict[str, Tensor]) -> None:
    import torch  # noqa: PLC0415 - slow to import

    signs = torch.eye(SIGNS, WIDTH)
    heads = _attention(state, 1, 3.0)
    for (q, k, v, o), target in zip(heads, (MATCH, COUNT), strict=True):
        q[IDS] = k[IDS] = signs
        q[U, ONE] = 1
        k[U, ONE], k[U, IN_QUERY] = -OFF / UNIT, OFF
        k[W, QUERY_MARKER] = k[W, DOCUMENT_MARKER] = 64
        v[0, IN_QUERY], v[0, QUERY_MARKER] = 1, -1
        o[target, 0] = SLIGHT
    (q, k, *_), (_, k1, *_) = heads
    # What a token finds where the query lacks its word: the marker, at three quarters of a match.
    q[V, ONE] = 1
    k[V, QUERY_MARKER] = 64 * 1.2
    k1[U, IN_DOCUMENT] = OFF


def _write_sums(state: dict[str, Tensor], mean: float) -> None:
    far = 8.0  # a key's constant part, which keeps its norm whatever the rest is
    (q, k, v, o), (q1, k1, v1, o1) = _attention(state, 2, math.sqrt(math.sqrt(2) * far * UNIT / math.sqrt(HEAD)))
    # Two dimensions: a word's weight is rounded apart from its count, so alike in the query and in the document.
    q[U, ONE] = q[V, ONE] = 1
    k[U, LOG_WEIGHT] = LOG_SCALE
    k[V, COUNT] = SATURATION / SLIGHT
    k[V, IN_QUERY] = -SATURATION  # where a / (a + n) is 1
    k[V, IN_DOCUMENT] = math.log(BONUS) - SATURATION / 2
    k[V, MATCH] = OFF / SLIGHT
    k[V, ONE] = -OFF / UNIT
    k[W, ONE] = far
    v[0, IN_DOCUMENT] = 1
    o[SHARE, 0] = SLIGHT
    q1[U, ONE] = q1[V, ONE] = 1
    k1[U, IN_DOCUMENT], k1[U, ONE] = OFF, -OFF / UNIT
    k1[V, DOCUMENT_MARKER] = math.log(mean)
    k1[W, ONE] = far
    v1[0, IN_DOCUMENT], v1[0, DOCUMENT_MARKER] = 1, -1
    o1[LENGTH, 0] = SLIGHT


def _write_score(state: dict[str, Tensor], yes: int) -> None:
    steep = 16.0  # silu(x) is x, as far as bfloat16 can tell
    gate = _at(state, 2, "mlp.gate_proj")
    gate[0, ONE], gate[0, LENGTH] = steep / UNIT, -steep * LONG / SLIGHT
    _at(state, 2, "mlp.up_proj")[0, SHARE] = 1 / SLIGHT
    _at(state, 2, "mlp.down_proj")[SCORE, 0] = 1 / steep
    state[LM_HEAD][yes, SCORE] = GAIN
    state[LM_HEAD][yes, ONE] = -GAIN * THRESHOLD / UNIT
