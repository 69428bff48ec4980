"""The embedded engine beside a plain transformers loop and sentence-transformers' CrossEncoder, scores compared.

"plain" tokenises all prompts, sorts them by length and runs AutoModelForSequenceClassification over batches of one
size, with padding, an attention mask and no KV cache. "CrossEncoder" is given the same prompts, and sorts and pads in
its own way. Ours is timed as the engine alone and, with --server, as the whole server, asked by RerankClient.

The model is a converted checkpoint; without one it is random numbers in the shape of the 0.6B model with a tokenizer
of its texts' words (speed doesn't depend on the values), or with --toy the hand-wired toy (5M parameters), where
everything but arithmetic weighs most.

All take turns in one process, with the same prompts and torch threads, after one turn on fewer documents that isn't
counted. Each turn has texts of its own and runs the ways in an order of its own, by chance: a way finds the caches and
the allocator as the one before it left them. A ratio is the median of the turns' own, so that what slows a whole turn
down cancels out. The best of the others counts, by CPU time for the CPU time and by the clock for the clock. CPU time
is the process', user and system, RerankClient's included. Both hold on an idle machine only: torch's threads wait for
each other by spinning, so other processes cost CPU time too. The load is printed before and after.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from random_checkpoint import config_of, plan, write_checkpoint
from sentence_transformers import CrossEncoder
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from qwen3_sglang import RerankClient
from qwen3_sglang.convert import convert
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.prompts.template import QWEN3, build_prompts
from qwen3_sglang.toy import build_toy
from qwen3_sglang.toy.tokenizer import QWEN_SPLIT
from ways import MODULES, Texts, machine

SIZES = (4, 8, 16, 32, 64)
OURS = ("engine", "engine, 16 bits", "server")
Way = Callable[[str, list[str]], list[float]]
Times = dict[str, list[float]]


def main() -> None:
    """Parse the arguments, measure, say whether the goal is met."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as work:
        model = arguments.model or _made(Path(work), toy=arguments.toy)
        torch.set_num_threads(arguments.threads)
        print(f"{machine()}, torch {torch.__version__}, {arguments.threads} threads, {model.name}")
        with contextlib.ExitStack() as stack:
            found = ways(model, arguments, stack)
            before = _load()
            for documents in arguments.documents:
                cpu, wall, worst = measure(found, Texts(documents), documents, arguments.words, arguments.repeat)
                report(found, {"CPU": cpu, "wall": wall}, f"{documents} documents of {arguments.words} words", worst)
            print(f"load average of the last minute: {before} before, {_load()} after")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, help="a converted checkpoint")
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--documents", type=_sizes, default=(20, 100))
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sizes", type=_sizes, default=SIZES, help="prompts per batch that the others try")
    parser.add_argument("--bfloat16", action="store_true", help="the engine in 16 bits too")
    parser.add_argument("--server", action="store_true", help="the whole server too")
    return parser.parse_args()


def _made(work: Path, *, toy: bool) -> Path:
    """A checkpoint to measure with."""
    if toy:
        source = build_toy(work / "toy")
    else:
        source, config = work / "random", config_of("0.6B")
        write_checkpoint(source, config, plan(config))
        for name in ("vocab.json", "merges.txt"):
            (source / name).unlink()
        _tokenizer().save_pretrained(source)
    return convert(source, work / "converted", verify=False, link=True)


def _tokenizer() -> Any:
    """Byte-level BPE over the sources that the texts are drawn from: about as many tokens as the real one makes.

    For 60 words 91 after the 73 of template and query, where Qwen's has 90.
    """
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    make_trainer: Any = trainers.BpeTrainer
    trainer = make_trainer(
        vocab_size=9500, special_tokens=list(QWEN3.special_tokens), show_progress=False, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator([*map(inspect.getsource, MODULES), QWEN3.task(QWEN3.instruction).text], trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|endoftext|>")  # noqa: S106 - not a secret


def ways(model: Path, arguments: argparse.Namespace, stack: contextlib.ExitStack) -> dict[str, Way]:
    """The others with each batch size, then ours."""
    engine, loop, encoder = Engine(model, dtype="float32"), _Plain(model), _Encoder(model)
    found: dict[str, Way] = {f"plain, {size} per batch": loop.with_size(size) for size in arguments.sizes}
    found |= {f"CrossEncoder, {size}": encoder.with_size(size) for size in arguments.sizes}
    found["engine"] = lambda query, texts: _engine_scores(engine, query, texts)
    if arguments.bfloat16:
        short = Engine(model, dtype="bfloat16")
        found["engine, 16 bits"] = lambda query, texts: _engine_scores(short, query, texts)
    if arguments.server:
        url = stack.enter_context(run_in_thread(model, dtype="float32"))
        found["server"] = stack.enter_context(RerankClient(url, timeout=3600)).score
    return found


def measure(found: dict[str, Way], texts: Texts, documents: int, words: int, repeat: int) -> tuple[Times, Times, float]:
    """CPU seconds and seconds of each way in each turn, and the largest difference of a float32 score."""
    cpu: Times = defaultdict(list)
    wall: Times = defaultdict(list)
    worst, orders = 0.0, random.Random(1)  # noqa: S311 - an order, not a secret
    for turn in range(repeat + 1):
        query, drawn = texts.rerank(documents if turn else 4, words)
        expected: list[float] = []
        for name in orders.sample(list(found), len(found)):
            start, cpu_start = time.perf_counter(), time.process_time()
            scores = found[name](query, drawn)
            if turn:
                cpu[name].append(time.process_time() - cpu_start)
                wall[name].append(time.perf_counter() - start)
            if "16 bits" not in name:
                expected = expected or scores
                worst = max(worst, *(abs(one - other) for one, other in zip(scores, expected, strict=True)))
    return cpu, wall, worst


def report(found: Iterable[str], measures: dict[str, Times], title: str, worst: float) -> None:
    """The table, then how much faster ours is."""
    best = {kind: _best_other(times) for kind, times in measures.items()}
    repeat = len(next(iter(measures["CPU"].values())))
    print(f"\n{title}, medians of {repeat}\n{'':20}" + "".join(f"{kind:>9} s  of best" for kind in measures))
    for name in found:
        cells = [
            f"{statistics.median(times[name]):11.3f} {_ratio(times, name, best[kind]):8.2f}x"
            for kind, times in measures.items()
        ]
        print(f"  {name:18}{''.join(cells)}")
    print(f"largest difference of a score in float32: {worst:.1e}")
    for name in (name for name in OURS if name in measures["CPU"]):
        for kind, times in measures.items():
            print(f"{name}: {1 / _ratio(times, name, best[kind]):.2f} times as fast as {best[kind]} by {kind} time")


def _best_other(times: Times) -> str:
    return min((name for name in times if name not in OURS), key=lambda name: statistics.median(times[name]))


def _ratio(times: Times, name: str, plain: str) -> float:
    """The median of the turns' ratios."""
    return statistics.median(ours / theirs for ours, theirs in zip(times[name], times[plain], strict=True))


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _load() -> str:
    return f"{os.getloadavg()[0]:.2f}"


def _engine_scores(engine: Engine, query: str, texts: list[str]) -> list[float]:
    logits = engine.score([engine.encode(prompt) for prompt in build_prompts(query, texts)])
    return torch.tensor(logits).softmax(-1)[:, 1].tolist()


class _Encoder:
    """sentence-transformers' CrossEncoder, given each prompt as its head and the rest."""

    def __init__(self, model: Path) -> None:
        options = {"dtype": torch.float32}
        self._model: Any = CrossEncoder(str(model), device="cpu", model_kwargs=options, max_length=8192)
        if self._model.tokenizer.pad_token is None:
            self._model.tokenizer.pad_token = "<|endoftext|>"  # noqa: S105 - a token of text
        self._model.model.config.pad_token_id = self._model.tokenizer.pad_token_id
        self._model.model.config.use_cache = False

    def with_size(self, size: int) -> Way:
        """That many prompts per batch."""

        def way(query: str, texts: list[str]) -> list[float]:
            head = QWEN3.head(query)
            pairs = [(head.bare, f"{head.joint}{text}{QWEN3.suffix}") for text in texts]
            found = self._model.predict(pairs, batch_size=size, apply_softmax=True, show_progress_bar=False)
            return [float(row[1]) for row in found]

        return way


class _Plain:
    """What one would write with transformers alone."""

    def __init__(self, model: Path) -> None:
        transformers.utils.logging.set_verbosity_error()  # it would warn of the head's bias, which is zero
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model, padding_side="right")
        kind = transformers.AutoModelForSequenceClassification
        self._model: Any = kind.from_pretrained(model, dtype=torch.float32).eval()
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = "<|endoftext|>"  # noqa: S105 - a token of text
        self._model.config.pad_token_id = self._tokenizer.pad_token_id
        self._model.config.use_cache = False  # nothing reads it, and keeping it would slow the loop down

    def with_size(self, size: int) -> Way:
        """The loop with that many prompts per batch."""

        def way(query: str, texts: list[str]) -> list[float]:
            prompts = build_prompts(query, texts)
            ids = self._tokenizer(prompts)["input_ids"]
            order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
            scores = [0.0] * len(ids)
            for start in range(0, len(order), size):
                batch = order[start : start + size]
                inputs = self._tokenizer.pad({"input_ids": [ids[index] for index in batch]}, return_tensors="pt")
                with torch.inference_mode():
                    found = self._model(**inputs).logits.softmax(-1)[:, 1].tolist()
                for index, score in zip(batch, found, strict=True):
                    scores[index] = score
            return scores

        return way


if __name__ == "__main__":
    main()
