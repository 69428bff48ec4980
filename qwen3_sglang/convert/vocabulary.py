"""The tokens that a head is made of, looked up in a checkpoint's tokenizer files; no tokenizer library is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import read_json
from qwen3_sglang.errors import ConversionError
from qwen3_sglang.names import LABELS, NO, PAD, YES

FILES = ("tokenizer.json", "vocab.json")
OWN_FILES = (
    "copy the tokenizer files of the model that the weights come from, or save them here with tokenizer.save_pretrained"
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of a tokenizer.

    Attributes:
        path: the file that they were read from.
        no: the id of "no".
        yes: the id of "yes".
        pad: the id of the padding token; None where the tokenizer has none.
        largest: the largest id of all.
    """

    path: Path
    no: int
    yes: int
    pad: int | None
    largest: int


def find_tokens(folder: Path) -> Tokens:
    """The tokens of the tokenizer in `folder`.

    Raises ConversionError when there is no tokenizer, its files can't be read, or "no" or "yes" isn't a single token.
    """
    path, vocab, added = _read(folder)
    for name, number in (*vocab.items(), *added.items()):
        if type(number) is not int or number < 0:
            raise ConversionError(f"{path}: token {name!r} has id {number!r}, which is no id; {OWN_FILES}")
    for word in LABELS:
        if word not in vocab:
            raise ConversionError(
                f"{path}: \"{word}\" isn't a single token, so prompts can't be encoded as the model was trained; "
                f"use a Qwen3-Reranker checkpoint, or {OWN_FILES}"
            )
    largest = max([*vocab.values(), *added.values()])
    return Tokens(path, vocab[NO], vocab[YES], added.get(PAD, vocab.get(PAD)), largest)


def _read(folder: Path) -> tuple[Path, Mapping[str, Any], Mapping[str, Any]]:
    """The file that has the vocabulary, the vocabulary, and the tokens that were added to it."""
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        raise ConversionError(f"{folder}: neither {' nor '.join(FILES)}: the server can't read text; {OWN_FILES}")
    content = read_json(path)
    if path.name == FILES[1]:
        return path, content, dict(_added(folder, path, {}))
    model = content.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocab, dict):  # of a kind that keeps its words elsewhere
        return folder / FILES[1], read_json(folder / FILES[1]), dict(_added(folder, path, content))
    return path, vocab, dict(_added(folder, path, content))


def _added(folder: Path, path: Path, tokenizer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(text, id) of each token beside the vocabulary."""
    if (folder / "added_tokens.json").is_file():  # of the older files
        yield from read_json(folder / "added_tokens.json").items()
    listed = tokenizer.get("added_tokens") or []
    if not isinstance(listed, list):
        raise ConversionError(f"{path}: added_tokens isn't a list; {OWN_FILES}")
    for item in listed:
        if not isinstance(item, dict) or not isinstance(item.get("content"), str):
            raise ConversionError(f"{path}: added_tokens has {item!r:.80}, which is no token; {OWN_FILES}")
        yield item["content"], item.get("id")
