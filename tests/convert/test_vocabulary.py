"""The ids of "no", "yes" and the padding token, from tokenizers of every age and from broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwen3_sglang.convert.vocabulary import find_tokens
from qwen3_sglang.errors import ConversionError

VOCAB = {"no": 3, "yes": 5}
PAD = {"content": "<|endoftext|>", "id": 9}


def write(folder: Path, name: str, content: Any) -> None:
    """A file of the tokenizer."""
    (folder / name).write_text(json.dumps(content))


def found(folder: Path) -> tuple[int, int, int | None, int]:
    """no, yes, padding, largest."""
    tokens = find_tokens(folder)
    return tokens.no, tokens.yes, tokens.pad, tokens.largest


def test_tokenizer_json(tmp_path: Path) -> None:
    """The padding token is among the added ones."""
    write(tmp_path, "tokenizer.json", {"model": {"vocab": VOCAB}, "added_tokens": [PAD]})
    assert found(tmp_path) == (3, 5, 9, 9)


def test_the_older_files(tmp_path: Path) -> None:
    """Without tokenizer.json."""
    write(tmp_path, "vocab.json", VOCAB)
    assert found(tmp_path) == (3, 5, None, 5)
    write(tmp_path, "added_tokens.json", {"<|endoftext|>": 9, "<extra>": 12})
    assert found(tmp_path) == (3, 5, 9, 12)


def test_a_tokenizer_json_without_a_vocabulary(tmp_path: Path) -> None:
    """Some keep it beside; the padding token may be an ordinary one."""
    write(tmp_path, "tokenizer.json", {"model": {}})
    write(tmp_path, "vocab.json", {**VOCAB, "<|endoftext|>": 0})
    assert found(tmp_path) == (3, 5, 0, 5)


def test_no_tokenizer(tmp_path: Path) -> None:
    """What to do with a fine-tune of one's own, too."""
    with pytest.raises(ConversionError, match=r"neither tokenizer\.json nor vocab\.json.*tokenizer\.save_pretrained"):
        find_tokens(tmp_path)


BROKEN: dict[str, Any] = {
    "no object": [],
    "model is a list": {"model": [1, 2]},
    "vocab is a list": {"model": {"vocab": [["no", 1], ["yes", 2]]}},
    "yes in pieces": {"model": {"vocab": {"no": 3}}},
    "id is text": {"model": {"vocab": {**VOCAB, "x": "7"}}},
    "id is negative": {"model": {"vocab": {**VOCAB, "x": -1}}},
    "id is a truth value": {"model": {"vocab": {**VOCAB, "x": True}}},
    "id is half": {"model": {"vocab": {**VOCAB, "x": 2.5}}},
    "added is a table": {"model": {"vocab": VOCAB}, "added_tokens": {"x": 1}},
    "added is a word": {"model": {"vocab": VOCAB}, "added_tokens": ["x"]},
    "added without id": {"model": {"vocab": VOCAB}, "added_tokens": [{"content": "x"}]},
    "added without text": {"model": {"vocab": VOCAB}, "added_tokens": [{"id": 7}]},
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_tokenizers(tmp_path: Path, case: str) -> None:
    """Typed, with the file's name."""
    write(tmp_path, "tokenizer.json", BROKEN[case])
    with pytest.raises(ConversionError, match=r"(tokenizer|vocab)\.json"):
        find_tokens(tmp_path)
