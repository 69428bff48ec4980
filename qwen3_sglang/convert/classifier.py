"""The head of a classifier: is it a reranker's, does SGLang serve it rightly, and which rows is P(yes) made of?

A few rows are read, never a whole tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import WIDTH, Entry, read_bytes
from qwen3_sglang.convert.head import Rows, decode
from qwen3_sglang.convert.labels import ALIKE, cosine, dot, label_names, minus, said_yes, says_no
from qwen3_sglang.convert.provenance import NOTHING_SAYS, template_known
from qwen3_sglang.convert.remarks import Remark, fault, fine, note
from qwen3_sglang.convert.tensors import Found
from qwen3_sglang.convert.vocabulary import Tokens
from qwen3_sglang.names import BIAS, EMBEDDINGS, LABELS, LM_HEAD, NO, WEIGHT, YES

ORIGINAL = "use a Qwen3-Reranker checkpoint, or save your own model again with save_pretrained"
SET_LABELS = 'set "id2label": {"0": "no", "1": "yes"} in config.json'
PAIR = "serve it and run `qwen3-sglang check URL`, whose sanity pair shows it"
TRAINED_ANEW = 'the head isn\'t made of the rows of "yes" and "no", so it was trained anew'
SHARED = 0.05  # of the rows' difference; the rounding of bfloat16 rows is far below, two plain rows have 0.5 or more


@dataclass(frozen=True)
class Classifier:
    """A classifier's folder.

    Attributes:
        folder: where it is.
        config: its config.json.
        found: its tensors.
        tokens: its tokenizer's; None where that can't be read.
    """

    folder: Path
    config: Mapping[str, Any]
    found: Found
    tokens: Tokens | None

    @property
    def labels(self) -> int:
        """How many rows the head has."""
        return self.found[WEIGHT][1].shape[0]

    @cached_property
    def rows(self) -> list[list[float]]:
        """The rows of the head, one list of numbers per label.

        Raises: ConversionError where the file ends too early.
        """
        return self._read(WEIGHT, range(self.labels)) or []

    @cached_property
    def bias(self) -> list[float]:
        """One number per label, or none. Raises: as `rows`."""
        if BIAS not in self.found:
            return []
        shard, entry = self.found[BIAS]
        return decode(read_bytes(shard, entry.begin, entry.end - entry.begin), entry.dtype)

    @cached_property
    def direction(self) -> list[float]:
        """The row that P(yes) grows along if the last label is yes."""
        return self.rows[0] if self.labels == 1 else minus(self.rows[1], self.rows[0])

    @cached_property
    def likeness(self) -> float | None:
        """The cosine of `direction` and w_yes - w_no; None where the folder doesn't have those rows any more.

        Raises: as `rows`.
        """
        name = EMBEDDINGS if self.config.get("tie_word_embeddings") else LM_HEAD
        pair = None if self.tokens is None else self._read(name, [self.tokens.no, self.tokens.yes])
        return None if pair is None else cosine(self.direction, minus(pair[1], pair[0]))

    @property
    def made_of_tokens(self) -> bool | None:
        """Is the head made of the rows of "no" and "yes", in this order or the other? None where it can't be told."""
        return None if self.likeness is None else abs(self.likeness) >= ALIKE

    @property
    def told(self) -> int | None:
        """The label that is yes by its name."""
        return said_yes(self.config, self.labels)

    @property
    def yes(self) -> int | None:
        """The label that means yes, by the weights where they tell, else by the names; None where neither does.

        Of one label it is 0, or -1 where a high score means no.
        """
        last = self.labels - 1
        if self.likeness is not None and abs(self.likeness) >= ALIKE:
            return last if self.likeness > 0 else last - 1
        unsaid = self.labels == 1 and self.told is None and not says_no(self.config)
        return 0 if unsaid else self.told

    def _read(self, name: str, numbers: Sequence[int]) -> list[list[float]] | None:
        """These rows of a [*, hidden] tensor; None where there are none that can be read."""
        shard, entry = self.found.get(name, (None, None))
        if shard is None or entry is None or entry.dtype not in WIDTH or len(entry.shape) != 2:  # noqa: PLR2004 - a matrix
            return None
        length = entry.shape[1] * WIDTH[entry.dtype]
        if not all(0 <= number < entry.shape[0] for number in numbers):
            return None
        return [decode(read_bytes(shard, entry.begin + row * length, length), entry.dtype) for row in numbers]


def score_rows(model: Classifier) -> Rows:
    """The rows behind P(yes) of a classifier without faults; label 1 of two is yes unless the folder says otherwise."""
    bias = BIAS if BIAS in model.found else None
    if model.labels == 1:
        return Rows(WEIGHT, None, 0, bias) if model.yes == 0 else Rows(WEIGHT, 0, None, bias)
    return Rows(WEIGHT, 1, 0, bias) if model.yes == 0 else Rows(WEIGHT, 0, 1, bias)


def head_remarks(model: Classifier) -> Iterator[Remark]:
    """Remarks on the head, good and bad; the first fault that can't be repaired ends the list."""
    broken = _shape_fault(model.config, model.found) or _value_fault(model)
    if broken:
        yield fault(broken)
        return
    yield _count(model)
    yield from _label_count(model)
    yield from _bias(model)
    yield _order(model)
    yield from _template(model)
    yield from _precision(model)


def _shape_fault(config: Mapping[str, Any], found: Found) -> str:
    """Why no head can be read."""
    if WEIGHT not in found:
        return (
            f"no {WEIGHT}: a server makes up a random head, so scores mean nothing; {ORIGINAL}. If these are the "
            'weights of a language model, set "architectures" to ["Qwen3ForCausalLM"] in config.json'
        )
    _, entry = found[WEIGHT]
    hidden = config.get("hidden_size")
    if entry.shape not in ((1, hidden), (len(LABELS), hidden)):
        return f"{WEIGHT} is {list(entry.shape)}, a reranker has [1, {hidden}] or [2, {hidden}]; {ORIGINAL}"
    if BIAS in found and found[BIAS][1].shape != entry.shape[:1]:
        return f"{BIAS} is {list(found[BIAS][1].shape)}, not [{entry.shape[0]}]: a server won't start; {ORIGINAL}"
    for name in (WEIGHT, BIAS):
        if name in found and _unreadable(found[name][1]):
            return f"{name} has type {found[name][1].dtype} or a size that isn't its shape's; {ORIGINAL}"
    given = config.get("id2label")
    if given is not None and not (isinstance(given, dict) and all(key.isdecimal() for key in given)):
        return f"labels: id2label of config.json is {given!r:.80}, no table: a server won't start; {SET_LABELS}"
    return ""


def _unreadable(entry: Entry) -> bool:
    return entry.dtype not in WIDTH or entry.end - entry.begin != math.prod(entry.shape) * WIDTH[entry.dtype]


def _value_fault(model: Classifier) -> str:
    """Why the numbers of a head give no scores."""
    length = math.hypot(*model.direction)
    if not math.isfinite(length):
        return f"head: the rows of {WEIGHT} are not finite numbers, so no document gets a score; {ORIGINAL}"
    if length == 0:
        said = "the only row is zero" if model.labels == 1 else "the two rows are equal"
        return f"head: {said}: every document scores the same; {ORIGINAL}"
    if not all(map(math.isfinite, model.bias)):
        return f"{BIAS} is {model.bias}, so no document gets a score; {ORIGINAL}"
    if model.labels == 1 and model.yes is None:
        return (
            f"one label, which config.json calls {label_names(model.config)[0]!r}: whether a high score means yes "
            'can\'t be told; set "id2label" to {"0": "yes"} if it does'
        )
    return ""


def _count(model: Classifier) -> Remark:
    if model.labels == 1:
        text = "a softmax over one label is 1.0, so every document scores 1.0 on SGLang"
        return fault(f"one label: {WEIGHT} has one row: {text}", mended=True)
    return fine("head: two labels")


def _label_count(model: Classifier) -> Iterator[Remark]:
    names = label_names(model.config)
    if model.labels == len(LABELS) != len(names):
        key = "num_labels" if model.config.get("num_labels") is not None else "id2label"
        text = f"{key} of config.json is {model.config[key]!r:.80}, but {WEIGHT} has two rows: a server won't start"
        yield fault(f"{'one label' if len(names) == 1 else 'labels'}: {text}", mended=True)
    elif model.labels == len(LABELS) and model.config.get("id2label") is None:
        yield note(
            "config.json has no id2label: the server calls the labels LABEL_0 and LABEL_1, so a client can't see from "
            f"an answer which of them is yes; {SET_LABELS}, or convert it",
            mended=True,
        )


def _bias(model: Classifier) -> Iterator[Remark]:
    values = model.bias
    if model.labels == len(LABELS) and not values:
        bound = 1 / math.sqrt(len(model.direction))
        yield fault(
            f"no {BIAS}: SGLang makes up a random one at each start (up to {bound:.3f}), so every start and every "
            f"replica scores differently, P(yes) off by up to {math.tanh(bound / 2):.3f}; transformers has no bias and "
            "doesn't show it",
            mended=True,
        )
        return
    shift = values[-1] - values[0] if len(values) == len(LABELS) else sum(values)
    if shift:
        moved = math.tanh(abs(shift) / 4)  # where a sigmoid moved by `shift` differs most from itself
        yield note(
            f"{BIAS} is [{', '.join(f'{value:.4g}' for value in values)}]: SGLang adds it, which moves P(yes) by up "
            f"to {moved:.3f}; transformers ignores it. Right if the head was trained with it; Qwen3-Reranker has none"
        )
    elif values:
        yield fine(f"head: {BIAS} is {f'{values[0]} twice, which the softmax cancels' if values[0] else 'zero'}")


def _order(model: Classifier) -> Remark:
    """Which label is yes."""
    clear = model.made_of_tokens
    if model.labels == 1:
        if model.yes == 0:
            return fine(f"labels: a high score means yes{', as the row shows' if clear else ''}")
        return fault(f'labels swapped: the row is that of "{NO}", so a high score means no', mended=True)
    if model.yes == 0:
        why = f'row 0 is that of "{YES}"' if clear else 'the labels\' names say that label 0 is "yes"'
        return fault(f"labels swapped: {why}, clients take label 1 for it: every score is upside down", mended=True)
    if clear and model.told == 0:
        return fault(
            f'labels swapped: their names say that label 0 is "yes", but row 1 is that of "{YES}"; {SET_LABELS}, or '
            "convert it",
            mended=True,
        )
    if model.yes is None:
        return note(f'labels: neither {label_names(model.config)} nor the weights say that label 1 is "yes"; {PAIR}')
    return fine(f'labels: 1 is "yes", as {"the rows show" if clear else "their names say"}')


def says_template(model: Classifier) -> bool:
    """Does anything say that the model was trained with Qwen's template?

    A chat template does, and so does a head made of the rows of "no" and "yes", which is Qwen3-Reranker's own; where
    those rows are gone, labels of these names.
    """
    known = template_known(model.folder, model.config)
    if known is not None:
        return known
    named = {name.lower() for name in label_names(model.config)} == set(LABELS)
    return named if model.made_of_tokens is None else model.made_of_tokens


def _template(model: Classifier) -> Iterator[Remark]:
    if says_template(model):
        return
    anew = "" if model.likeness is None or model.made_of_tokens else f"{TRAINED_ANEW} (cosine {model.likeness:.2f}); "
    yield note(f"template: {anew}{NOTHING_SAYS}")


def _precision(model: Classifier) -> Iterator[Remark]:
    if model.labels == 1:
        return
    # The part of a row that doesn't lie along the difference is in both rows, and cancels in the softmax.
    row, direction = model.rows[0], model.direction
    length = math.hypot(*direction)
    along = dot(row, direction) / length**2
    shared = math.hypot(*(value - along * d for value, d in zip(row, direction, strict=True))) / length
    if shared > SHARED:
        yield note(
            "head: the two rows share a part that cancels in the softmax, as [w_no; w_yes] do. That works, but SGLang "
            "rounds the large logits to bfloat16 first, so P(yes) moves in steps: off by 0.0035 on average, 0.028 at "
            "most (simulated); the rows that convert writes stay below 0.001",
            mended=True,
        )
