"""The embedded server beside a plain transformers loop over sorted batches: 100 short documents, scores compared.

"plain" tokenises all prompts, sorts them by length and runs AutoModelForSequenceClassification over batches of one
size, with padding and an attention mask; the best of several sizes counts. Ours is timed as the engine alone and as
the whole server, asked by RerankClient. All take turns in one process, with the same prompts. Without MODEL it is the
hand-wired toy (5M parameters), where everything but arithmetic weighs most.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from qwen3_sglang import RerankClient
from qwen3_sglang.convert import convert
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.prompt import build_prompts
from qwen3_sglang.toy import build_toy
from ways import Texts, machine

GOAL, DOCUMENTS, SIZES = 1.3, 100, (8, 16, 32, 64)
Way = Callable[[str, list[str]], list[float]]


def main() -> None:
    """Parse the arguments, measure, say whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, help="a converted checkpoint")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as work:
        model = arguments.model or convert(build_toy(Path(work) / "toy"), Path(work) / "converted", verify=False)
        torch.set_num_threads(arguments.threads)
        print(f"{machine()}, torch {torch.__version__}, {arguments.threads} threads, {model.name}")
        with run_in_thread(model) as url, RerankClient(url, timeout=3600) as client:
            measure(ways(model, client), Texts(1), arguments.words, arguments.repeat)


def ways(model: Path, client: RerankClient) -> dict[str, Way]:
    """The plain loop with each batch size, then ours."""
    engine = Engine(model)
    loop = _Plain(model)
    found: dict[str, Way] = {f"plain, {size} a batch": loop.with_size(size) for size in SIZES}
    return found | {"engine": lambda query, texts: _engine_scores(engine, query, texts), "server": client.score}


def measure(found: dict[str, Way], texts: Texts, words: int, repeat: int) -> None:
    """All ways in turns, first once unmeasured; then the table and the goals."""
    cpu: dict[str, list[float]] = defaultdict(list)
    wall: dict[str, list[float]] = defaultdict(list)
    worst = 0.0
    for turn in range(repeat + 1):
        query, documents = texts.rerank(DOCUMENTS, words)
        expected: list[float] = []
        for name, way in found.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            scores = way(query, documents)
            if turn:
                cpu[name].append(time.process_time() - cpu_start)
                wall[name].append(time.perf_counter() - start)
            expected = expected or scores
            worst = max(worst, *(abs(one - other) for one, other in zip(scores, expected, strict=True)))
    best = min(SIZES, key=lambda size: statistics.median(cpu[f"plain, {size} a batch"]))
    plain = f"plain, {best} a batch"
    print(f"\n{DOCUMENTS} documents of {words} words, median of {repeat}\n{'':22} CPU s  of plain   wall s  of plain")
    for name in found:
        medians = [(statistics.median(times[name]), statistics.median(times[plain])) for times in (cpu, wall)]
        cells = [f"{ours:7.3f} {ours / theirs:8.2f}x" for ours, theirs in medians]
        print(f"  {name:18} {'  '.join(cells)}")
    print(f"largest difference of a score: {worst:.1e}\n")
    for name in ("engine", "server"):
        ratio = statistics.median(cpu[name]) / statistics.median(cpu[plain])
        verdict = "met   " if ratio <= GOAL else "missed"
        print(f"{verdict} {name} takes {ratio:.2f} of the CPU time of {plain}, goal at most {GOAL}")


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
