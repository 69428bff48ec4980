"""The embedded server beside a plain transformers loop over sorted batches: 100 short documents, scores compared.

"plain" tokenises all prompts, sorts them by length and runs AutoModelForSequenceClassification over batches of one
size, with padding, an attention mask and no KV cache. Ours is timed as the engine alone and as the whole server,
asked by RerankClient. Without MODEL it is the hand-wired toy (5M parameters), where everything but arithmetic weighs
most.

All take turns in one process, with the same prompts and torch threads, after one turn that isn't counted. Each turn
has texts of its own and runs the ways in an order of its own, by chance: a way finds the caches and the allocator as
the one before it left them. A ratio is the median of the turns' own, so that what slows a whole turn down cancels out.
The best size of plain counts, by CPU time for the CPU time and by the clock for the clock. CPU time is the process',
user and system, RerankClient's included. Both hold on an idle machine only: torch's threads wait for each other by
spinning, so other processes cost CPU time too. The load is printed before and after.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from qwen3_sglang import RerankClient
from qwen3_sglang.convert import convert
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.prompts.template import build_prompts
from qwen3_sglang.toy import build_toy
from ways import Texts, machine

GOAL, DOCUMENTS, SIZES = 1.3, 100, (4, 8, 16, 32, 64)
OURS = ("engine", "server")
Way = Callable[[str, list[str]], list[float]]
Times = dict[str, list[float]]


def main() -> None:
    """Parse the arguments, measure, say whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, help="a converted checkpoint")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--sizes", type=_sizes, default=SIZES, help="prompts a batch that the plain loop tries")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as work:
        model = arguments.model or convert(build_toy(Path(work) / "toy"), Path(work) / "converted", verify=False)
        torch.set_num_threads(arguments.threads)
        print(f"{machine()}, torch {torch.__version__}, {arguments.threads} threads, {model.name}")
        with run_in_thread(model) as url, RerankClient(url, timeout=3600) as client:
            found = ways(model, client, arguments.sizes)
            before = _load()
            cpu, wall, worst = measure(found, Texts(1), arguments.words, arguments.repeat)
            print(f"load average of the last minute: {before} before, {_load()} after")
    report(found, {"CPU": cpu, "wall": wall}, f"{DOCUMENTS} documents of {arguments.words} words", worst)


def ways(model: Path, client: RerankClient, sizes: Sequence[int]) -> dict[str, Way]:
    """The plain loop with each batch size, then ours."""
    engine = Engine(model)
    loop = _Plain(model)
    found: dict[str, Way] = {f"plain, {size} a batch": loop.with_size(size) for size in sizes}
    return found | {"engine": lambda query, texts: _engine_scores(engine, query, texts), "server": client.score}


def measure(found: dict[str, Way], texts: Texts, words: int, repeat: int) -> tuple[Times, Times, float]:
    """CPU seconds and seconds of each way in each turn, and the largest difference of a score."""
    cpu: Times = defaultdict(list)
    wall: Times = defaultdict(list)
    worst, orders = 0.0, random.Random(1)  # noqa: S311 - an order, not a secret
    for turn in range(repeat + 1):
        query, documents = texts.rerank(DOCUMENTS, words)
        expected: list[float] = []
        for name in orders.sample(list(found), len(found)):
            start, cpu_start = time.perf_counter(), time.process_time()
            scores = found[name](query, documents)
            if turn:
                cpu[name].append(time.process_time() - cpu_start)
                wall[name].append(time.perf_counter() - start)
            expected = expected or scores
            worst = max(worst, *(abs(one - other) for one, other in zip(scores, expected, strict=True)))
    return cpu, wall, worst


def report(found: Iterable[str], measures: dict[str, Times], title: str, worst: float) -> None:
    """The table, then whether the goals are met."""
    best = {kind: _best_plain(times) for kind, times in measures.items()}
    repeat = len(next(iter(measures["CPU"].values())))
    print(f"\n{title}, medians of {repeat}\n{'':20}" + "".join(f"{kind:>9} s  of plain" for kind in measures))
    for name in found:
        cells = [
            f"{statistics.median(times[name]):11.3f} {_ratio(times, name, best[kind]):8.2f}x"
            for kind, times in measures.items()
        ]
        print(f"  {name:18}{''.join(cells)}")
    print(f"largest difference of a score: {worst:.1e}\n")
    for name in OURS:
        for kind, times in measures.items():
            ratio = _ratio(times, name, best[kind])
            verdict = "met   " if ratio <= GOAL else "missed"
            print(f"{verdict} {name} takes {ratio:.2f} of the {kind} time of {best[kind]}, goal at most {GOAL}")


def _best_plain(times: Times) -> str:
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
        """The loop with that many prompts a batch."""

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
