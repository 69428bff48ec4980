"""benchmarks/chaos.py's own eyes: what it would call lost or wrong, and when it says that it can't tell."""

from __future__ import annotations

import http.server
import math
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

from qwen3_sglang import RerankResult

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

from chaos import Places
from chaos_lists import DOCUMENTS, LISTS, Tally, Truth, question
from chaos_servers import flush

APART = 0.1
TRUTH = Truth([[APART * (DOCUMENTS * n + i) for i in range(DOCUMENTS)] for n in range(LISTS)], batching=0.0)
Change = Callable[[list[float]], None]


def results(logits: list[float]) -> list[RerankResult]:
    """What a client gives for them, best first."""
    made = [RerankResult(index, 0.5, logit) for index, logit in enumerate(logits)]
    return sorted(made, key=lambda result: -result.logit)


def swap(logits: list[float]) -> None:
    """The two closest."""
    logits[3], logits[4] = logits[4], logits[3]


def test_the_truth_is_right() -> None:
    """Whatever the place of the call; a logit may move within the tolerance."""
    tally = Tally(TRUTH)
    for place in range(2 * LISTS):
        tally.count(place, results([logit + 0.04 for logit in TRUTH.logits[place % LISTS]]))
    assert (tally.done, tally.lost, tally.wrong) == (2 * LISTS, [], 0)
    assert tally.furthest == pytest.approx(0.04)


@pytest.mark.parametrize("place", [0, DOCUMENTS - 1])
@pytest.mark.parametrize("logit", [math.nan, math.inf, -1.0])
def test_one_other_logit_is_wrong(place: int, logit: float) -> None:
    """Also NaN, which is further from nothing than anything, wherever it stands."""
    tally, logits = Tally(TRUTH), list(TRUTH.logits[1])
    logits[place] = logit
    tally.count(1, results(logits))
    assert (tally.lost, tally.wrong) == ([], 1)


@pytest.mark.parametrize("change", [swap, list.reverse])
def test_a_mix_up_within_a_list_is_wrong(change: Change) -> None:
    """Each document has a logit of the list, but not its own."""
    tally, logits = Tally(TRUTH), list(TRUTH.logits[1])
    change(logits)
    tally.count(1, results(logits))
    assert tally.wrong == 1


def test_a_mix_up_of_lists_is_wrong() -> None:
    """One that another call asked for."""
    tally = Tally(TRUTH)
    tally.count(1, results(TRUTH.logits[2]))
    assert tally.wrong == 1


def test_worst_first_is_wrong() -> None:
    """Right logits, in the wrong order."""
    tally = Tally(TRUTH)
    tally.count(1, results(TRUTH.logits[1])[::-1])
    assert tally.wrong == 1


def test_what_is_lost() -> None:
    """An exception, a document that is missing, and one that came twice."""
    tally, whole = Tally(TRUTH), results(TRUTH.logits[1])
    for came in (ValueError("why"), whole[:-1], [*whole[:-1], whole[0]]):
        tally.count(1, came)
    assert (tally.done, tally.lost, tally.wrong) == (3, ["ValueError: why", *["documents are missing"] * 2], 0)


def test_scores_too_close_together_end_it() -> None:
    """By the tolerance, which is never less than a few times what batching makes."""
    TRUTH.check()
    assert (TRUTH.telling, TRUTH.telling_lists) == (1, 1)
    with pytest.raises(SystemExit, match="too close"):
        Truth(TRUTH.logits, batching=APART).check()
    with pytest.raises(SystemExit, match="too close"):
        Truth([TRUTH.logits[0]] * LISTS, batching=0.0).check()


def test_the_questions_differ() -> None:
    """From none of the query's words to all of them, every document another text, and the order another each list."""
    shared = []
    for place in range(LISTS):
        query, documents = question(place)
        counts = [len(set(query.split()) & set(document.rstrip(".").split()[2:])) for document in documents]
        assert (min(counts), max(counts), len(set(documents))) == (0, len(query.split()), DOCUMENTS)
        shared.append(counts)
    assert question(0) == question(LISTS)
    assert len({tuple(counts) for counts in shared}) == LISTS


class Busy(http.server.BaseHTTPRequestHandler):
    """Refuses to flush, as SGLang does while a request runs: so many times, once by hanging up."""

    refusals: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        """One attempt."""
        status = self.refusals.pop() if self.refusals else 200
        if status:
            self.send_response(status)
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def busy() -> Iterator[str]:
    """A server that is asked to flush."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_busy_server_is_asked_to_flush_again(busy: str) -> None:
    """Until it does: a busy machine is no reason to end."""
    Busy.refusals[:] = [400, 0, 503]
    flush(busy)
    assert Busy.refusals == []


def test_a_server_that_never_flushes_ends_it(busy: str) -> None:
    """With what it said last, and no traceback."""
    Busy.refusals[:] = [400] * 1000
    with pytest.raises(SystemExit, match=r"flush_cache did not come about within 1 s \(HTTP 400"):
        flush(busy, seconds=1)


def test_threads_share_the_places() -> None:
    """Each place once, until it is enough; or until somebody closes them."""
    places = Places(lambda place: place >= 1000)
    with ThreadPoolExecutor(8) as pool:
        taken = [place for some in pool.map(lambda _: list(places), range(8)) for place in some]
    assert sorted(taken) == list(range(1000))
    endless = Places(lambda _: False)
    assert next(endless) == 0
    endless.close()
    assert list(endless) == []
