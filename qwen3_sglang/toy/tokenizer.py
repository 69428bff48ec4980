"""The toy's tokenizer: byte-level BPE with Qwen's special tokens, trained on the texts it is built for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from qwen3_sglang.names import EOS, NO, PAD, YES
from qwen3_sglang.prompts.template import DOCUMENT_MARK, QUERY_MARK, QWEN3
from qwen3_sglang.toy.words import SHORTEST_STEM, WEIGHTLESS

# The tokens by which the toy knows the sections of a prompt: Qwen's split puts the ">:" apart.
AFTER_MARK = ">:"
QUERY, DOCUMENT = QUERY_MARK.removesuffix(AFTER_MARK), DOCUMENT_MARK.removesuffix(AFTER_MARK)
VOCABULARY = 12_000
REPEATS = 1_000  # more than any pair of letters has in the words of the texts
# Qwen's split, but that a number stays whole and that "maxLength" is two words; then a word's ending is split off,
# so that a form that the texts lack has the stem of one that they have.
WORD = r"\p{Lu}+(?!\p{Ll})|\p{Lu}?[\p{L}&&[^\p{Lu}]]+"
SPLIT = (
    rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?(?:{WORD})|\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLIT_ENDING = rf"(?<=\p{{L}}{{{SHORTEST_STEM}}})(?:ings?|ed|es|(?<![sui])s|ly)$"
ROLES = ("system", "user", "assistant")
TEMPLATE = f"{YES}\n{NO}\nsystem\nuser\nassistant\n{QUERY_MARK} text\n{DOCUMENT_MARK} text\n"


def train(texts: Sequence[str]) -> Any:
    """A PreTrainedTokenizerFast of at most VOCABULARY tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers  # noqa: PLC0415 - only an extra brings it
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - only an extra brings it

    tok: Any = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in (SPLIT, SPLIT_ENDING)]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tok.pre_tokenizer = pre_tokenizers.Sequence([*splits, to_bytes])
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
    """The texts, and each of their words, stop words and endings in the places where a question may have them.

    So a word is one token in the middle of a sentence, at its start, and after a bracket or a quotation mark.
    """
    yield from (f" {text}" for text in texts)
    words = Counter(word.lower() for text in texts for word in re.findall(r"[^\W\d_]+", text))
    words.update(WEIGHTLESS)
    yield from (f" {word} {word.title()}\n{word}" * count for word, count in words.items())
    yield TEMPLATE * REPEATS


def spellings(tokenizer: Any) -> dict[int, str]:
    """Token id -> its text, for every token that isn't special; half a character shows as U+FFFD."""
    special = set(QWEN3.special_tokens)
    decode = tokenizer.backend_tokenizer.decoder.decode
    return {index: decode([token]) for token, index in tokenizer.get_vocab().items() if token not in special}
