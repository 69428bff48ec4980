"""P(yes) of a source model and of its converted checkpoint, compared in float32 with transformers.

A language model is loaded as one, and P(yes) is the softmax of its logits of "no" and "yes". A classifier is loaded as
transformers' own class for classification, to whose logits the bias in the file is added, which that class leaves out;
of one label, P(yes) is the sigmoid. transformers shares or doesn't share the embeddings as it always does.
The two models are loaded one after the other, so the memory needed is that of one float32 model: 5 bytes per parameter
and 1 GB, which is 4 GB for 0.6B, 21 GB for 4B and 42 GB for 8B. The prompts are about 3,000 tokens in all; on two CPU
cores they take a minute or two for 0.6B.

A server that runs in bfloat16 rounds more than this check sees (see `head`): it is about the conversion alone.
"""

from __future__ import annotations

import gc
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import Shard, find_tensor, open_shards
from qwen3_sglang.convert.copying import GB
from qwen3_sglang.convert.head import Rows, read_values
from qwen3_sglang.convert.memory import free_memory
from qwen3_sglang.errors import ConversionError, MissingDependencyError
from qwen3_sglang.names import BIAS, WEIGHT
from qwen3_sglang.prompts.template import DEFAULT_INSTRUCTION, build_prompts

TOLERANCE = 1e-4  # float32's own noise is about 1e-6
LIBRARIES = ("torch", "transformers")
BYTES_A_PARAMETER = 5  # 4 in float32, and the copy in the file's type while a large tensor is converted
ACTIVATIONS = 10**9
LONG = 2000  # tokens of the long document
WEB, OTHER = DEFAULT_INSTRUCTION, "Given a question about code, retrieve the passage that explains it"
QUERY = "What is the capital of China?"
ANSWER, ASIDE = "The capital of China is Beijing.", "Gravity pulls every body towards every other body. "
PROMPTS = (  # (label, instruction, query, document)
    ("the answer", WEB, QUERY, ANSWER),
    ("off the subject", WEB, QUERY, ASIDE),
    ("on the subject, no answer", WEB, QUERY, "China has the second largest population of all countries."),
    ("empty document", WEB, QUERY, ""),
    ("Chinese", WEB, "中国的首都在哪里", "北京是中华人民共和国的首都。"),
    ("accents, Arabic, emoji", WEB, "¿Dónde está el café?", "El café está en la plaza. المقهى في الساحة ☕️👩🏽‍🍳"),
    (
        "other instruction",
        OTHER,
        "How is a module imported?",
        "The import statement finds and binds a module.",
    ),
    ("other instruction, off", OTHER, "How is a module imported?", ANSWER),
    ("numbers and line breaks", WEB, "total of 2024", "year\ttotal\n2023\t1,204.50\n2024\t1,377.25\n\n"),
)
LONG_LABELS = ("long", "long, the answer last")

Pair = tuple[str, str]  # query, document
Forward = Callable[[list[int]], tuple[float, float]]  # token ids -> logits of no and yes
Prompts = dict[str, list[int]]  # label -> token ids


@dataclass(frozen=True, slots=True)
class Probe:
    """One prompt: P(yes) of the source model and of the converted checkpoint.

    Attributes:
        label: what is told of it.
        tokens: how many the prompt has.
        source: P(yes) before.
        converted: P(yes) after.
        pair: the caller's own query and document; None for the prompts that are always asked.
    """

    label: str
    tokens: int
    source: float
    converted: float
    pair: Pair | None = None

    @property
    def difference(self) -> float:
        """How far apart the two are."""
        return abs(self.source - self.converted)


@dataclass(frozen=True, slots=True)
class Parity:
    """What the full check found; without probes it was not run, and `note` says why."""

    probes: tuple[Probe, ...] = ()
    note: str = ""

    @property
    def max_difference(self) -> float:
        """The largest difference of all probes; NaN where one is."""
        differences = [probe.difference for probe in self.probes]
        return math.nan if any(map(math.isnan, differences)) else max(differences, default=0.0)


def obstacle(verify: bool | None, shards: Sequence[Shard]) -> str:
    """Why the full check can't be run; empty when it can.

    Raises, where `verify` is True, MissingDependencyError or ConversionError (too little memory) instead.
    """
    if verify is False:
        return "not asked for"
    missing = missing_library()
    if missing:
        if verify:
            raise MissingDependencyError(missing, "local")
        return f"{missing} is not installed"
    needed, free = memory_needed(shards), free_memory()
    if free is None or needed <= free:
        return ""
    reason = f"it needs {needed / GB:.1f} GB of memory, and {free / GB:.1f} GB are free"
    if verify:
        raise ConversionError(f"{shards[0].path.parent}: full verification: {reason}; free some, or use --no-verify")
    return reason


def missing_library() -> str:
    """The first library of the full check that isn't installed; none is imported to find out."""
    return next((name for name in LIBRARIES if find_spec(name) is None), "")


def memory_needed(shards: Sequence[Shard]) -> int:
    """Bytes of memory that the full check takes for a model of these weights."""
    parameters = sum(math.prod(entry.shape) for shard in shards for entry in shard.tensors.values())
    return BYTES_A_PARAMETER * parameters + ACTIVATIONS


def compare(source: Path, converted: Path, rows: Rows, pairs: Sequence[Pair] = ()) -> Parity:
    """P(yes) of both on the same prompts, those of `pairs` too; `rows` says where the source's comes from.

    Raises:
        ConversionError: transformers can't load one of them.
    """
    load = _classifier_forward if rows.weight == WEIGHT else _causal_forward
    with _quiet_transformers():
        prompts = _tokenized(source, pairs)
        before = _scores(lambda: load(source, rows), prompts)
        after = _scores(lambda: _converted_forward(converted), prompts)
    asked = {_label(pair): pair for pair in pairs}
    return Parity(
        tuple(Probe(label, len(ids), before[label], after[label], asked.get(label)) for label, ids in prompts.items())
    )


def check_parity(parity: Parity, folder: Path) -> None:
    """Raise ConversionError when the converted checkpoint's scores differ from its source's."""
    for probe in parity.probes:
        if not probe.difference <= TOLERANCE:  # not >, which NaN would pass
            raise ConversionError(
                f"{folder}: verification failed: P(yes) of the prompt {probe.label!r} is {probe.converted:.6f} after "
                f"the conversion and {probe.source:.6f} before, more than {TOLERANCE} apart; check the disk, convert "
                "again, and report it if it stays"
            )


def _tokenized(source: Path, pairs: Sequence[Pair]) -> Prompts:
    from transformers import AutoTokenizer  # noqa: PLC0415 - slow to import, and only an extra brings it

    tokenizer = _load(AutoTokenizer, source)

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    repeated = len(encode(ASIDE * 2)) - len(encode(ASIDE))  # alone, its first word may have other tokens
    padding = ASIDE * (LONG // repeated + 1)
    texts = [*PROMPTS, (LONG_LABELS[0], WEB, QUERY, padding), (LONG_LABELS[1], WEB, QUERY, padding + ANSWER)]
    texts += [(_label(pair), WEB, *pair) for pair in pairs]
    return {label: encode(*build_prompts(query, [document], task)) for label, task, query, document in texts}


def _label(pair: Pair) -> str:
    return textwrap.shorten(" / ".join(pair), 60, placeholder=" ...")


def _scores(load: Callable[[], Forward], prompts: Prompts) -> dict[str, float]:
    """P(yes) of each prompt; the model lives no longer than this call, so two are never in memory."""
    import torch  # noqa: PLC0415 - slow to import, and only an extra brings it

    forward = load()
    with torch.inference_mode():
        scores = {label: _p_yes(*forward(ids)) for label, ids in prompts.items()}
    del forward
    gc.collect()
    return scores


def _p_yes(no: float, yes: float) -> float:
    top = max(no, yes)
    a, b = math.exp(no - top), math.exp(yes - top)
    return b / (a + b)


def _causal_forward(folder: Path, rows: Rows) -> Forward:
    import torch  # noqa: PLC0415 - slow to import, and only an extra brings it
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - slow to import, and only an extra brings it

    model = _load(AutoModelForCausalLM, folder, dtype=torch.float32, use_safetensors=True).eval()

    def forward(ids: list[int]) -> tuple[float, float]:
        # Logits of the last token only: all of a long prompt's would be gigabytes.
        last = model(torch.tensor([ids]), use_cache=False, logits_to_keep=1).logits[0, -1]
        return _pair(last.tolist(), rows)

    return forward


def _classifier_forward(folder: Path, rows: Rows) -> Forward:
    import torch  # noqa: PLC0415 - slow to import, and only an extra brings it
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415 - slow to import, and only an extra brings it

    shards = open_shards(folder)
    count = find_tensor(shards, WEIGHT)[1].shape[0]  # the config's own may be wrong: that is mended too
    bias = read_values(shards, rows.bias) if rows.bias else [0.0] * count
    options = {"dtype": torch.float32, "use_safetensors": True, "num_labels": count}
    model = _load(AutoModelForSequenceClassification, folder, **options).eval()

    def forward(ids: list[int]) -> tuple[float, float]:
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].tolist()
        return _pair([logit + shift for logit, shift in zip(logits, bias, strict=True)], rows)

    return forward


def _pair(logits: Sequence[float], rows: Rows) -> tuple[float, float]:
    """The logits of no and yes; 0 for the one that a head of one label doesn't have."""
    no, yes = (0.0 if row is None else float(logits[row]) for row in (rows.no, rows.yes))
    return no, yes


def _converted_forward(folder: Path) -> Forward:
    import torch  # noqa: PLC0415 - slow to import, and only an extra brings it
    from transformers import AutoModel  # noqa: PLC0415 - slow to import, and only an extra brings it

    # The body alone: transformers has no bias in this class's head, and would leave the file's unread.
    model = _load(AutoModel, folder, dtype=torch.float32, use_safetensors=True).eval()
    shards = open_shards(folder)
    weight, bias = (torch.tensor(read_values(shards, name)) for name in (WEIGHT, BIAS))

    def forward(ids: list[int]) -> tuple[float, float]:
        last = model(torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1]
        no, yes = (weight.view(2, -1) @ last + bias).tolist()
        return no, yes

    return forward


def _load(kind: Any, folder: Path, **options: Any) -> Any:
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:  # whatever a config that it doesn't expect makes it raise
        reason = " ".join(str(error).split())  # transformers writes paragraphs
        raise ConversionError(
            f"{folder}: full verification: transformers can't load it ({reason}); "
            "update transformers, or leave this check out with --no-verify"
        ) from error


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No bars and no warning about the two tensors of the head, which are read here."""
    from transformers.utils import logging as untyped  # noqa: PLC0415 - slow to import, and only an extra brings it

    logs: Any = untyped
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
