"""What is asked while servers fail, what the right answers are, and whether a wrong one would be noticed."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, combinations

from chaos_servers import Worker

from qwen3_sglang import RerankClient, RerankResult

DOCUMENTS = 16
LISTS = 64  # so that, of 64 calls in flight, nearly every one asks something else
QUERY_WORDS = 12
# Single tokens of the toy's vocabulary; it goes by how many of the query's words a document has.
VOCABULARY = """
object string number value method class error name type file list integer statement sequence import attribute
"""
WORDS = VOCABULARY.split()
LEAST_TOLERANCE = 0.05  # less than a step between two bfloat16 logits above 8
MARGIN = 4  # a tolerance is so many times what batching alone makes
LEAST_TELLING = 0.95
Logits = list[list[float]]


def question(place: int) -> tuple[str, list[str]]:
    """The query and documents of one call: from none of the query's words to all, in a different order each list."""
    number = place % LISTS
    drawn = random.Random(number)  # noqa: S311 - texts, not secrets
    words = drawn.sample(WORDS, QUERY_WORDS)
    shared = [drawn.sample(words, round(n * QUERY_WORDS / (DOCUMENTS - 1))) for n in range(DOCUMENTS)]
    drawn.shuffle(shared)
    return " ".join(words), [f"{number} {n}: {' '.join(some)}." for n, some in enumerate(shared)]


@dataclass(frozen=True)
class Truth:
    """What undisturbed servers say of every list.

    Attributes:
        logits: by list, then by document.
        batching: the furthest that a logit moved when the same was sent in other company.
    """

    logits: Logits
    batching: float

    @property
    def tolerance(self) -> float:
        """How far a logit may be off."""
        return max(LEAST_TOLERANCE, MARGIN * self.batching)

    @property
    def telling(self) -> float:
        """The share of pairs of documents of one list whose swap would be noticed."""
        return self._share([pair for logits in self.logits for pair in combinations(logits, 2)])

    @property
    def telling_anywhere(self) -> float:
        """The same of any two documents, whatever their lists."""
        return self._share(list(combinations(chain.from_iterable(self.logits), 2)))

    @property
    def telling_lists(self) -> float:
        """The share of pairs of lists of which one can't pass for the other."""
        pairs = list(combinations(self.logits, 2))
        return sum(self._share(list(zip(a, b, strict=True))) > 0 for a, b in pairs) / len(pairs)

    def _share(self, pairs: Sequence[tuple[float, float]]) -> float:
        return sum(abs(a - b) > self.tolerance for a, b in pairs) / len(pairs)

    def report(self) -> str:
        """What a wrong answer is here, and how many would be noticed."""
        return (
            f"{LISTS} lists of {DOCUMENTS}; batching alone moved no logit by more than {self.batching:.6f}; "
            f"a logit is wrong when it is off by more than {self.tolerance:.3f}.\nThat tells "
            f"{self.telling:.1%} of the pairs of documents of a list, {self.telling_anywhere:.1%} of the pairs of "
            f"documents of all lists, {self.telling_lists:.0%} of the pairs of lists."
        )

    def check(self) -> None:
        """End the script where its result would say little."""
        if min(self.telling, self.telling_anywhere) < LEAST_TELLING or self.telling_lists < 1:
            raise SystemExit(f"{self.report()}\nToo many mix-ups would pass: the logits lie too close together.")


def measure(workers: Sequence[Worker], front: str, endpoint: str) -> Truth:
    """Each list from the first worker, by itself; then from the other, document by document, and all lists at once."""
    first, other = workers
    logits, *again = [
        _ask(workers, first.url, endpoint),
        _ask(workers, other.url, endpoint, at_once=2),
        _ask(workers, first.url, endpoint, batch_size=1),
        _ask(workers, front, endpoint, at_once=LISTS),
    ]
    flat = list(chain.from_iterable(logits))
    return Truth(logits, max(abs(a - b) for more in again for a, b in zip(flat, chain(*more), strict=True)))


def _ask(
    workers: Sequence[Worker], url: str, endpoint: str, *, at_once: int = 1, batch_size: int = DOCUMENTS
) -> Logits:
    def logits(place: int) -> list[float]:
        return [result.logit for result in sorted(client.rerank(*question(place)), key=lambda result: result.index)]

    for worker in workers:
        worker.flush()
    how = {"endpoint": endpoint, "batch_size": batch_size, "timeout": 300}
    with RerankClient(url, **how) as client, ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(logits, range(LISTS)))


@dataclass
class Tally:
    """What became of the calls.

    Attributes:
        lost: why, for each that raised or left documents out.
        wrong: calls with a logit that isn't the truth, or that aren't best first.
        furthest: the furthest that a logit was off.
    """

    truth: Truth
    done: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: int = 0
    furthest: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, place: int, results: list[RerankResult] | Exception) -> None:
        """One call that ended."""
        with self.lock:
            self.done += 1
            if isinstance(results, Exception):
                self.lost.append(f"{type(results).__name__}: {results}")
            elif sorted(result.index for result in results) != list(range(DOCUMENTS)):
                self.lost.append("documents are missing")
            else:
                self._compare(self.truth.logits[place % LISTS], results)

    def _compare(self, expected: list[float], results: list[RerankResult]) -> None:
        logits = [result.logit for result in results]
        off = [abs(result.logit - expected[result.index]) for result in results]
        right = all(one <= self.truth.tolerance for one in off)  # not by max(), which may pass over NaN
        self.wrong += not right or logits != sorted(logits, reverse=True)
        self.furthest = max(self.furthest, *off)
