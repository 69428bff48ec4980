"""The toy's formula in plain Python, as wiring.py states it, over the same tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.toy.tokenizer import AFTER_MARK, ROLES, spellings
from qwen3_sglang.toy.wiring import STOP_WEIGHT
from qwen3_sglang.toy.words import stem, weights, word_of


class Formula:
    """P(yes) as a logit, for the toy in `folder`, built for `texts`."""

    def __init__(self, folder: Path, texts: Sequence[str]) -> None:
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        spelled = spellings(AutoTokenizer.from_pretrained(folder))
        words = {i: word for i, text in spelled.items() if text not in ROLES and (word := word_of(text)) is not None}
        ids = [self._ids(f" {text}") for text in texts]
        self._names = spelled | {token: stem(word) for token, word in words.items()}
        self._names = {token: name for token, name in self._names.items() if name != AFTER_MARK}
        self._weights = weights(words, ids)
        self._mean = sum(map(len, ids)) / len(ids)
        self._known: dict[str, list[int]] = {}  # a document is asked about by several questions

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids  # type: ignore[no-any-return] # it has no types

    def _ids_again(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self._ids(text)
        return self._known[text]

    def logit(self, query: str, document: str) -> float:
        asked = [token for token in self._ids_again(f" {query}\n") if token in self._names]
        in_query = Counter(self._names[token] for token in asked)
        tokens, seen, matched = self._ids_again(f"{AFTER_MARK} {document}{QWEN3.suffix}"), Counter[str](), 0.0
        for token in tokens:
            name = self._names.get(token)
            if name is not None and in_query[name]:
                seen[name] += 1
                share = in_query[name] / (in_query[name] + seen[name])
                matched += self._weight(token) * math.exp(6 * (share - 0.5))
        whole = matched + sum(map(self._weight, asked))
        length = len(tokens) / (len(tokens) + self._mean)
        return 24 * (matched / whole * (1 - 0.5 * length) - 0.26)

    def _weight(self, token: int) -> float:
        return max(self._weights.get(token, 0), STOP_WEIGHT)
