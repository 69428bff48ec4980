"""What dividing a long document costs before it is scored: chunks, tokens, questions to a tokenizer, CPU time.

    python benchmarks/long_documents.py                       # the toy's tokenizer
    python benchmarks/long_documents.py --tokenizer FOLDER    # the served model's

No server is asked. A question is what the client would send to /tokenize or /detokenize without tokenizer=; long
documents of one list share their questions. CPU time is that of this process, so a busy machine will do.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from qwen3_sglang.prompts.chunks import Chunking, divide
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.prompts.tokenizer import LocalTokenizer, load_tokenizer
from qwen3_sglang.prompts.truncate import answered
from qwen3_sglang.toy import build_toy

LENGTHS = (512, 1024, 2048, 8192)
QUERY = "What is the capital of China?"
WORDS = [
    "the",
    "of",
    "a",
    "passage",
    "answer",
    "question",
    "river",
    "Beijing",
    "capital",
    "gravity",
    "which",
    "water",
    "pulls",
    "between",
    "country",
    "two",
]


class Counting:
    """A tokenizer that counts what it is asked."""

    def __init__(self, tokenizer: LocalTokenizer) -> None:
        self._tokenizer = tokenizer
        self.asked = self.tokens = 0

    def encode(self, texts: list[str]) -> list[list[int]]:
        """As the tokenizer."""
        found = self._tokenizer.encode(texts)
        self.asked += 1
        self.tokens += sum(map(len, found))
        return found

    def decode(self, ids: list[list[int]]) -> list[str]:
        """As the tokenizer."""
        self.asked += 1
        return self._tokenizer.decode(ids)


def main() -> None:
    """Print a row per length of a chunk."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        if options.tokenizer is None:
            build_toy(Path(folder) / "toy")
        tokenizer = load_tokenizer(options.tokenizer or str(Path(folder) / "toy"))
    numbers = random.Random(1)  # noqa: S311 - texts, not secrets
    document = " ".join(numbers.choices(WORDS, k=options.words))
    [whole] = tokenizer.encode([document])
    print(f"{options.words:,} words, {len(whole):,} tokens, overlap {options.overlap}, Python {sys.version.split()[0]}")
    print("max_length  chunks  tokens in prompts  of the document's  tokenised  questions  CPU ms")
    for length in LENGTHS:
        _measure(tokenizer, document, len(whole), length, options.overlap)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", help="folder, or tokenizer.json")
    parser.add_argument("--words", type=int, default=50_000)
    parser.add_argument("--overlap", type=int, default=Chunking.overlap)
    return parser.parse_args()


def _measure(tokenizer: LocalTokenizer, document: str, whole: int, length: int, overlap: int) -> None:
    head, counting = QWEN3.head(QUERY), Counting(tokenizer)
    start = time.process_time()
    [found] = answered(counting, divide(head, [document], length, Chunking(overlap, len(document))))
    spent = (time.process_time() - start) * 1000
    prompts = sum(map(len, tokenizer.encode(head.prompts([document[slice(*span)] for span in found.spans]))))
    figures = f"{length:10,}  {len(found.spans):6,}  {prompts:17,}  {prompts / whole:17.2f}"
    print(f"{figures}  {counting.tokens / whole:8.2f}x  {counting.asked:9,}  {spent:6.0f}")


if __name__ == "__main__":
    main()
