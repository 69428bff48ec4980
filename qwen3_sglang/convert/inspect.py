"""Is a checkpoint's folder a reranker that SGLang serves rightly? For folders that other tools converted.

Headers and a few rows are read, never a whole tensor. Each finding says what it means for the scores and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_sglang.check import Finding
from qwen3_sglang.convert.checkpoint import INDEX, SINGLE, WIDTH, Entry, Shard, open_shards, read_bytes, read_json
from qwen3_sglang.convert.head import decode, find_tokens
from qwen3_sglang.convert.tensors import expected_shapes
from qwen3_sglang.errors import ConversionError
from qwen3_sglang.names import BIAS, EMBEDDINGS, LABELS, LM_HEAD, NO, SOURCE_CLASS, TARGET_CLASS, WEIGHT, YES

CONVERT = "convert the original Qwen3-Reranker with `qwen3-sglang convert ORIGINAL TARGET`"
SET_LABELS = 'set "id2label": {"0": "no", "1": "yes"} in config.json'
PAIR = "serve it and run `qwen3-sglang check URL`, whose sanity pair shows it"
ALIKE = 0.5  # cosine; the rows that converters write have 1 or -1, a head that was trained anew is anywhere
SHARED = 0.05  # of the rows' difference; the rounding of bfloat16 rows is far below, two plain rows have 0.5 or more


@dataclass(frozen=True)
class _Checkpoint:
    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, tuple[Shard, Entry]]

    def rows(self, name: str, numbers: Sequence[int]) -> list[list[float]] | None:
        """These rows of a [*, hidden] tensor; None where there are none that can be read."""
        shard, entry = self.tensors.get(name, (None, None))
        if shard is None or entry is None or entry.dtype not in WIDTH or len(entry.shape) != 2:  # noqa: PLR2004 - rows by columns
            return None
        length = entry.shape[1] * WIDTH[entry.dtype]
        if not all(0 <= number < entry.shape[0] for number in numbers):
            return None
        return [decode(read_bytes(shard, entry.begin + row * length, length), entry.dtype) for row in numbers]


def inspect_checkpoint(folder: str | Path) -> list[Finding]:
    """What is right, and what is wrong, with the checkpoint in `folder`; it is usable if every finding is ok.

    Raises ConversionError when `folder` is no folder.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ConversionError(f"{path}: not a folder; name a converted checkpoint's folder")
    try:
        config = read_json(path / "config.json")
        first = _architecture(path, config)
        # What isn't converted lacks all the rest too; a list of that would only hide the one thing to do.
        return [first, *_converted(path, config)] if first.ok else [first]
    except (ConversionError, OSError) as error:
        return [_problem(str(error))]


def _converted(folder: Path, config: Mapping[str, Any]) -> Iterator[Finding]:
    tokens, finding = _tokenizer(folder)
    yield finding
    yield from _padding(config)
    stale = _stale_file(folder)
    if stale is not None:
        yield stale
        return
    try:
        shards = open_shards(folder)
    except (ConversionError, OSError) as error:
        yield _problem(f"weights: {error}")
        return
    tensors = {name: (shard, entry) for shard in shards for name, entry in shard.tensors.items()}
    checkpoint = _Checkpoint(folder, config, tensors)
    yield from _completeness(checkpoint)
    yield from _leftovers(checkpoint)
    yield from _head(checkpoint, tokens)


def _ok(text: str) -> Finding:
    return Finding(ok=True, text=text)


def _note(text: str) -> Finding:
    return Finding(ok=True, text=text, note=True)


def _problem(text: str) -> Finding:
    return Finding(ok=False, text=text)


def _architecture(folder: Path, config: Mapping[str, Any]) -> Finding:
    found = config.get("architectures")
    if found == [TARGET_CLASS]:
        return _ok(f"architecture: {TARGET_CLASS}")
    if found == [SOURCE_CLASS]:
        remedy = f"run `qwen3-sglang convert {folder} TARGET`"
        return _problem(f"not converted: architectures is {found}, which generates text and gives no P(yes); {remedy}")
    return _problem(f"architectures is {found}, not {TARGET_CLASS}, so it is no converted reranker; {CONVERT}")


def _tokenizer(folder: Path) -> tuple[Mapping[str, int] | None, Finding]:
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        text = "no tokenizer.json or vocab.json: the server can't read text; copy the original's tokenizer files here"
        return None, _problem(f"tokenizer: {text}")
    try:
        tokens = find_tokens(folder)
    except ConversionError as error:
        text = "prompts can't be encoded as the head was made for, so scores mean nothing"
        return None, _problem(f"tokenizer: {error}: {text}; copy the original's tokenizer files here")
    return tokens, _ok(f'tokenizer: "no" is token {tokens[NO]}, "yes" is token {tokens[YES]}')


def _padding(config: Mapping[str, Any]) -> Iterator[Finding]:
    if config.get("pad_token_id") is None:
        yield _note(
            "config.json has no pad_token_id: SGLang doesn't need it, but transformers refuses to score two texts at "
            "once; set it to the id of <|endoftext|>"
        )


def _stale_file(folder: Path) -> Finding | None:
    if not ((folder / SINGLE).is_file() and (folder / INDEX).is_file()):
        return None
    index = read_json(folder / INDEX).get("weight_map")
    if isinstance(index, dict) and set(index.values()) == {SINGLE}:
        return None
    return _problem(
        f"weights: both {SINGLE} and {INDEX}, which names other files: transformers loads the one, SGLang the "
        "others, so they may score differently; remove what is stale and check again"
    )


def _completeness(checkpoint: _Checkpoint) -> Iterator[Finding]:
    if checkpoint.config.get("quantization_config"):
        yield _note("weights: quantized, so whether all tensors are there isn't checked")
        return
    try:
        shapes = dict(expected_shapes(checkpoint.folder / "config.json", checkpoint.config))
    except ConversionError as error:
        yield _problem(str(error))
        return
    shapes.pop(LM_HEAD, None)
    found = {name: entry.shape for name, (_, entry) in checkpoint.tensors.items()}
    missing = [name for name in shapes if name not in found]
    wrong = [name for name, shape in shapes.items() if found.get(name, shape) != shape]
    if missing:
        text = "SGLang leaves them random without a word, so scores mean nothing"
        yield _problem(f"weights: {len(missing)} tensors missing, {missing[0]} the first: {text}; {CONVERT}")
    if wrong:
        text = f"{wrong[0]} is {list(found[wrong[0]])}, config.json says {list(shapes[wrong[0]])}"
        yield _problem(f"weights: {len(wrong)} tensors of a wrong shape, the server won't start: {text}; {CONVERT}")
    if not missing and not wrong:
        yield _ok(f"weights: all {len(shapes)} tensors of the model, in their shapes")


def _leftovers(checkpoint: _Checkpoint) -> Iterator[Finding]:
    if LM_HEAD in checkpoint.tensors:
        _, entry = checkpoint.tensors[LM_HEAD]
        size = (entry.end - entry.begin) / 1e6
        yield _note(f"weights: {LM_HEAD} is left over ({size:,.1f} MB): scores don't change, disk is wasted; {CONVERT}")


def _head(checkpoint: _Checkpoint, tokens: Mapping[str, int] | None) -> Iterator[Finding]:
    if WEIGHT not in checkpoint.tensors:
        yield _problem(f"no {WEIGHT}: the server makes up a random head, so scores mean nothing; {CONVERT}")
        return
    shape = checkpoint.tensors[WEIGHT][1].shape
    names = _label_names(checkpoint.config)
    broken = _shape_problem(checkpoint.config, shape, names)
    if broken is not None:
        yield broken
        return
    rows = checkpoint.rows(WEIGHT, range(len(LABELS)))
    if rows is None:
        dtype = checkpoint.tensors[WEIGHT][1].dtype
        yield _problem(f"{WEIGHT} has type {dtype}, which isn't read here; {CONVERT}")
        return
    yield _ok("head: two labels")
    yield from _bias(checkpoint)
    yield from _rows(checkpoint, rows, names, tokens)


def _label_names(config: Mapping[str, Any]) -> list[str]:
    """The labels that transformers, and SGLang with it, reads from a config; `num_labels` wins over `id2label`."""
    given, count = config.get("id2label"), config.get("num_labels")
    if given is not None and not isinstance(given, dict):
        return []
    if given is not None and (count is None or count == len(given)):
        return [str(given.get(str(number), f"LABEL_{number}")) for number in range(len(given))]
    return [f"LABEL_{number}" for number in range(count if isinstance(count, int) else len(LABELS))]


def _shape_problem(config: Mapping[str, Any], shape: tuple[int, ...], names: Sequence[str]) -> Finding | None:
    hidden = config.get("hidden_size")
    if shape == (1, hidden):
        text = "a softmax over one label is 1.0, so every document scores 1.0 on SGLang"
        return _problem(f"one label: {WEIGHT} has one row: {text}; {CONVERT}")
    if shape != (len(LABELS), hidden):
        return _problem(f"{WEIGHT} is {list(shape)}, a reranker has [2, {hidden}]; {CONVERT}")
    if len(names) != len(LABELS):
        key = "num_labels" if config.get("num_labels") is not None else "id2label"
        text = f"{key} of config.json is {config[key]}, but {WEIGHT} has two rows: the server won't start"
        return _problem(f"{'one label' if len(names) == 1 else 'labels'}: {text}; remove num_labels and {SET_LABELS}")
    return None


def _bias(checkpoint: _Checkpoint) -> Iterator[Finding]:
    if BIAS not in checkpoint.tensors:
        bound = 1 / math.sqrt(checkpoint.tensors[WEIGHT][1].shape[1])
        yield _problem(
            f"no {BIAS}: SGLang makes up a random one at each start (up to {bound:.3f}), so every start and every "
            f"replica scores differently, P(yes) off by up to {math.tanh(bound / 2):.3f}; transformers has no bias and "
            f"doesn't show it; {CONVERT}"
        )
        return
    shard, entry = checkpoint.tensors[BIAS]
    if entry.shape != (len(LABELS),) or entry.dtype not in WIDTH:
        yield _problem(f"{BIAS} is {entry.dtype} {list(entry.shape)}, not [2]: the server won't start; {CONVERT}")
        return
    no, yes = decode(read_bytes(shard, entry.begin, entry.end - entry.begin), entry.dtype)
    if not math.isfinite(no - yes):
        yield _problem(f"{BIAS} is [{no}, {yes}], so no document gets a score; {CONVERT}")
        return
    if no == yes:
        yield _ok(f"head: {BIAS} is zero" if no == 0 else f"head: {BIAS} is {no} twice, which the softmax cancels")
        return
    shift = math.tanh(abs(yes - no) / 4)  # where a sigmoid moved by yes - no differs most from itself
    yield _problem(
        f"{BIAS} is [{no:.4g}, {yes:.4g}]: Qwen3-Reranker has none, so SGLang's P(yes) is off by up to {shift:.3f} "
        f"and min_score with it, though the order stays; transformers ignores it; {CONVERT}"
    )


def _rows(
    checkpoint: _Checkpoint, rows: list[list[float]], names: Sequence[str], tokens: Mapping[str, int] | None
) -> Iterator[Finding]:
    direction = _minus(rows[1], rows[0])
    length = math.hypot(*direction)
    if not math.isfinite(length) or length == 0:
        text = (
            "are not finite numbers, so no document gets a score" if length else "are equal: every document scores 0.5"
        )
        yield _problem(f"head: the two rows {text}; {CONVERT}")
        return
    yield _order(names, _cosine(direction, _meant(checkpoint, tokens)))
    if checkpoint.config.get("id2label") is None:
        yield _note(
            "config.json has no id2label: the server calls the labels LABEL_0 and LABEL_1, so a client can't see from "
            f"an answer which of them is yes; {SET_LABELS}"
        )
    # The part of a row that doesn't lie along the difference is in both rows, and cancels in the softmax.
    along = _dot(rows[0], direction) / length**2
    shared = math.hypot(*(value - along * d for value, d in zip(rows[0], direction, strict=True))) / length
    if shared > SHARED:
        yield _note(
            "head: the two rows share a part that cancels in the softmax, as [w_no; w_yes] do. That works, but SGLang "
            "rounds the large logits to bfloat16 first, so P(yes) moves in steps: off by 0.0035 on average, 0.028 at "
            f"most (simulated); the rows that convert writes stay below 0.001; {CONVERT}"
        )


def _meant(checkpoint: _Checkpoint, tokens: Mapping[str, int] | None) -> list[float] | None:
    """w_yes - w_no, where the folder still has those rows."""
    name = EMBEDDINGS if checkpoint.config.get("tie_word_embeddings") else LM_HEAD
    rows = None if tokens is None else checkpoint.rows(name, [tokens[NO], tokens[YES]])
    return None if rows is None else _minus(rows[1], rows[0])


def _order(names: Sequence[str], cosine: float | None) -> Finding:
    """Which label is yes: what the names say, and what the rows say where `cosine` is known."""
    said = [name.lower() for name in names]
    if cosine is not None and cosine <= -ALIKE:
        return _problem(f'labels swapped: row 0 is that of "yes", so every score is upside down; {CONVERT}')
    if said == [YES, NO]:
        rows = cosine is not None and cosine >= ALIKE
        remedy = f'row 1 is that of "yes", so {SET_LABELS}' if rows else CONVERT
        return _problem(f'labels swapped: id2label says label 0 is "yes", clients take label 1 for it; {remedy}')
    if cosine is not None and cosine < ALIKE:
        text = f'the head is not made of the rows of "yes" and "no" (cosine {cosine:.2f}): trained anew, or foreign'
        return _note(f"labels: {text}; whether label 1 is yes can't be told: {PAIR}")
    if cosine is None and said != [NO, YES]:
        return _note(f'labels: neither {list(names)} nor the weights left here say that label 1 is "yes"; {PAIR}')
    return _ok(f'labels: 1 is "yes", as {"id2label says" if cosine is None else "the rows show"}')


def _minus(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(one, other, strict=True)]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _cosine(one: Sequence[float], other: Sequence[float] | None) -> float | None:
    if other is None or len(one) != len(other):
        return None
    lengths = math.hypot(*one) * math.hypot(*other)
    return _dot(one, other) / lengths if lengths and math.isfinite(lengths) else None
