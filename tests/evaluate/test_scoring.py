"""Nothing is asked twice, and a run that breaks off goes on."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from judged_data import ROWS, write_lines

from fake_server import FakeServer, serving
from qwen3_sglang import InvalidInputError, RerankClient, ServerError
from qwen3_sglang.evaluate import evaluate, load_dataset


class Fuse(threading.Barrier):
    """Lets that many requests through, then drops every connection, as a server that dies."""

    def __init__(self, requests: int) -> None:
        super().__init__(1)
        self._left = requests
        self._guard = threading.Lock()

    def wait(self, timeout: float | None = None) -> int:
        with self._guard:
            self._left -= 1
            if self._left < 0:
                raise threading.BrokenBarrierError
        return 0


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "scores.sqlite"


def rows(scores: Path) -> int:
    with sqlite3.connect(scores) as database:
        [[count]] = database.execute("SELECT count(*) FROM scores")
    database.close()
    return int(count)


def test_chunks_have_scores_of_their_own(server: FakeServer, tmp_path: Path, scores: Path) -> None:
    """What was scored cut is asked again in chunks; a store of one setting serves the other nothing."""
    long = "many words p=0.2 " * 60 + "p=0.9"
    dataset = load_dataset(write_lines(tmp_path / "long.jsonl", [{**ROWS[0], "documents": ["x p=0.3", long]}]))
    options = {"max_length": 800}
    for more, asked, found in (
        ({}, 2, 0.2),
        ({"long_documents": "chunks"}, 2, 0.9),
        ({"long_documents": "chunks"}, 0, 0.9),
        ({"long_documents": "chunks", "max_chunks": 1}, 2, 0.2),
        ({"long_documents": "chunks", "chunk_overlap": 1}, 2, 0.9),
        ({"chunk_overlap": 1}, 0, 0.2),
    ):
        client = RerankClient(server.url, **options, **more)  # type: ignore[arg-type]
        report = evaluate(client, dataset, scores=scores)
        [ranked] = report.variants[0].queries
        assert (report.asked, max(one.p_yes for one in ranked.documents if one.id == "1")) == (asked, found)
        [best] = [one for one in ranked.documents if one.id == "1"]
        assert (best.chunk is not None) == ("long_documents" in more)  # kept with its score, too
        if best.chunk is not None:
            assert f"p={found}" in long[best.chunk.start : best.chunk.end]
        assert report.truncated == (found == 0.2)
        assert report.long_documents == more.get("long_documents", "truncate")


@pytest.mark.parametrize("max_concurrency", [1, 4])
def test_a_broken_off_run_goes_on(server: FakeServer, data: Path, scores: Path, max_concurrency: int) -> None:
    """What was scored before the server died is kept, said, and not asked again."""
    dataset = load_dataset(data)
    client = RerankClient(server.url, max_concurrency=max_concurrency, timeout=2)
    server.barrier = Fuse(1)
    with pytest.raises(ServerError) as broken:
        evaluate(client, dataset, scores=scores)
    kept = rows(scores)
    assert 0 < kept < 8
    assert f"{kept} of 8 scores are kept" in broken.value.__notes__[0]
    assert str(scores) in broken.value.__notes__[0]
    seen: list[tuple[int, int]] = []
    with serving() as again:  # another one: the first may still read what the broken-off run had sent
        client = RerankClient(again.url, max_concurrency=max_concurrency)
        report = evaluate(client, dataset, scores=scores, progress=lambda done, total: seen.append((done, total)))
        assert len(again.prompts) == len(set(again.prompts)) == 8 - kept
        assert (report.asked, report.kept) == (8 - kept, kept)
        assert (seen[0], seen[-1]) == ((kept, 8), (8, 8))
        assert (
            report.to_dict()["variants"] == evaluate(client, dataset, scores=scores, fresh=True).to_dict()["variants"]
        )


def test_all_that_is_kept_needs_no_server(server: FakeServer, nobody: str, data: Path, scores: Path) -> None:
    """With the model's name given, a report can be made again offline; another name or task is another score."""
    dataset = load_dataset(data)
    evaluate(RerankClient(server.url), dataset, scores=scores)
    report = evaluate(RerankClient(nobody, model="toy"), dataset, scores=scores)
    assert (report.asked, report.kept) == (0, 8)
    for client, instructions in (
        (RerankClient(nobody, model="other"), None),
        (RerankClient(nobody, model="toy"), ["x"]),
    ):
        with pytest.raises(ServerError):
            evaluate(client, dataset, scores=scores, instructions=instructions)


def test_fresh_asks_again(server: FakeServer, data: Path, scores: Path) -> None:
    """For a model that changed under its old name."""
    dataset = load_dataset(data)
    evaluate(RerankClient(server.url), dataset, scores=scores)
    server.prompts.clear()
    assert evaluate(RerankClient(server.url), dataset, scores=scores, fresh=True).asked == 8
    assert len(server.prompts) == 8


def test_a_fresh_run_that_breaks_off_leaves_no_old_scores(server: FakeServer, data: Path, scores: Path) -> None:
    """Going on, without fresh, asks for the rest of them: old and new are never mixed."""
    dataset, client = load_dataset(data), RerankClient(server.url, max_concurrency=1, timeout=2)
    evaluate(client, dataset, scores=scores)
    server.barrier = Fuse(1)
    with pytest.raises(ServerError) as broken:
        evaluate(client, dataset, scores=scores, fresh=True)
    assert rows(scores) == 3
    assert "not fresh" in broken.value.__notes__[0]


def test_an_overlong_query_costs_itself(server: FakeServer, tmp_path: Path, scores: Path) -> None:
    """Counted and named; the others are measured, and it is asked about once."""
    long = {"id": "long", "query": "word " * 3000, "documents": [f"d{n} p=0.5" for n in range(70)], "relevant": [1]}
    dataset = load_dataset(write_lines(tmp_path / "long.jsonl", [*ROWS, long]))
    report = evaluate(RerankClient(server.url), dataset, scores=scores)
    assert (report.queries, report.judged, report.pairs) == (3, 2, 8)
    [skipped] = report.skipped
    assert skipped.id == "long"
    assert "shorten the query" in skipped.reason
    assert any("1 query is left out of all figures: long" in caution for caution in report.cautions)
    assert len(server.prompts) == 8
    alone = load_dataset(write_lines(tmp_path / "alone.jsonl", [long]))
    with pytest.raises(InvalidInputError, match="no query with a relevant document is left"):
        evaluate(RerankClient(server.url), alone, scores=scores)


def test_a_refused_document_costs_its_query(server: FakeServer, data: Path, scores: Path) -> None:
    """The server says why."""
    server.refuses = "u p=0.8"
    report = evaluate(RerankClient(server.url), load_dataset(data), scores=scores)
    assert [one.id for one in report.skipped] == ["b"]
    assert "not this one" in report.skipped[0].reason


def test_instructions_are_asked_each(server: FakeServer, data: Path, scores: Path) -> None:
    """Given twice counts once."""
    report = evaluate(RerankClient(server.url), load_dataset(data), scores=scores, instructions=["A", "B", "A"])
    assert [variant.instruction for variant in report.variants] == ["A", "B"]
    assert report.asked == 16
    assert report.variants[0].metrics[0].to_first is None
    assert report.variants[1].metrics[0].to_first is not None


def test_a_client_that_passes_through_is_refused(server: FakeServer, data: Path, scores: Path) -> None:
    """A document without a score would be kept as one whose score is not a number."""
    with pytest.raises(InvalidInputError, match="on_error"):
        evaluate(RerankClient(server.url, on_error="passthrough"), load_dataset(data), scores=scores)
    assert server.asked == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"instructions": []}, "instructions"),
        ({"instructions": "one text"}, "instructions"),
        ({"instructions": [" "]}, "instructions"),
        ({"target_recall": 0}, "target_recall=0"),
        ({"target_precision": 1.5}, "target_precision=1.5"),
        ({"recall_at": [0]}, "recall_at=0"),
    ],
)
def test_bad_arguments_cost_no_request(
    nobody: str, data: Path, scores: Path, options: dict[str, object], said: str
) -> None:
    """Refused before anything is sent."""
    with pytest.raises(InvalidInputError, match=said):
        evaluate(RerankClient(nobody), load_dataset(data), scores=scores, **options)
    assert not scores.exists()
