"""The toy's tokenizer: byte-level BPE with Qwen's split and special tokens, trained on the texts it is built for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from qwen3_sglang.names import EOS, NO, PAD, YES
from qwen3_sglang.prompts.template import DOCUMENT_MARK, QUERY_MARK, QWEN3

# The tokens by which the toy knows the sections of a prompt: Qwen's split puts the ">:" apart.
QUERY, DOCUMENT = QUERY_MARK.removesuffix(">:"), DOCUMENT_MARK.removesuffix(">:")
VOCABULARY = 12_000
REPEATS = 1_000  # more than any pair of letters has in the words of the texts
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
ROLES = ("system", "user", "assistant")
TEMPLATE = f"{YES}\n{NO}\nsystem\nuser\nassistant\n{QUERY_MARK} text\n{DOCUMENT_MARK} text\n"


def train(texts: Sequence[str]) -> Any:
    """A PreTrainedTokenizerFast of at most VOCABULARY tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers  # noqa: PLC0415 - only an extra brings it
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - only an extra brings it

    tok: Any = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tok.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tok.decoder = decoders.ByteLevel()
    make: Any = trainers.BpeTrainer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = list(QWEN3.special_tokens)
    trainer = make(vocab_size=VOCABULARY, special_tokens=special, show_progress=False, initial_alphabet=alphabet)
    tok.train_from_iterator(_material(texts), trainer)
    wrap: Any = PreTrainedTokenizerFast
    return wrap(
        tokenizer_object=tok,
        eos_token=EOS,
        pad_token=PAD,
    )


def _material(texts: Sequence[str]) -> Iterator[str]:
    """The texts, and each of their words as it stands in the middle and at the start of a sentence.

    So a word of the corpus is one token in a question too, where it may have another case.
    """
    yield from (f" {text}" for text in texts)
    words = Counter(word.lower() for text in texts for word in re.findall(r"[^\W\d_]+", text))
    yield from (f" {word} {word.title()}" * count for word, count in words.items())
    yield TEMPLATE * REPEATS


def spellings(tokenizer: Any) -> dict[int, str]:
    """Token id -> its text, for every token that isn't special; half a character shows as U+FFFD."""
    special = set(QWEN3.special_tokens)
    decode = tokenizer.backend_tokenizer.decoder.decode
    return {index: decode([token]) for token, index in tokenizer.get_vocab().items() if token not in special}
