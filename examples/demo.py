"""Rerank BM25's top 10 with Qwen3-Reranker through LangChain and through LlamaIndex, side by side.

    python examples/demo.py                               # a toy reranker on an embedded server
    python examples/demo.py --url http://127.0.0.1:30000  # your own SGLang server

Needs ``pip install "qwen3-sglang[all]" bm25s langchain-classic``. Exit status: 0 when both frameworks agree
on every question, 1 when they don't or an error came up, 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import bm25s
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import CallbackManagerForRetrieverRun as Callbacks
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever as LangChainRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers.no_text import NoText
from llama_index.core.retrievers import BaseRetriever as LlamaIndexRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from langchain_qwen3_sglang import Qwen3SGLangRerank as LangChainRerank
from llama_index_qwen3_sglang import Qwen3SGLangRerank as LlamaIndexRerank
from qwen3_sglang.convert import convert
from qwen3_sglang.errors import Qwen3SGLangError
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.toy import build_toy

DATA = Path(__file__).parent / "data"
TOP_K = 10
MIN_SCORE = 0.1
TOLERANCE = 0.01  # a server that batches on a GPU answers the same request with slightly different scores
TOY_NOTE = """\
This is the toy reranker: it knows words, not meaning, so its order says nothing about
Qwen3-Reranker's quality.
For the real one, serve a converted Qwen/Qwen3-Reranker-0.6B with SGLang and change one line:
    base_url="http://<your SGLang server>:30000"     (here: --url http://<your SGLang server>:30000)
"""


class Passage(NamedTuple):
    """One passage of the corpus, as both stages read it."""

    id: str
    text: str


class Question(NamedTuple):
    """A question and the ids of the passages that answer it."""

    text: str
    relevant: frozenset[str]


class Ranked(NamedTuple):
    """A passage that the reranker kept."""

    id: str
    score: float


class Outcome(NamedTuple):
    """What became of one question."""

    agree: bool
    before: float
    after: float


class Index:
    """BM25 over the passages: the first stage, shared by both frameworks."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        """Index `passages`."""
        self._passages = passages
        self._bm25 = bm25s.BM25()
        self._bm25.index(_tokens([passage.text for passage in passages]), show_progress=False)

    def search(self, question: str) -> list[tuple[Passage, float]]:
        """Return the top passages with their BM25 scores, best first."""
        rows, scores = self._bm25.retrieve(_tokens([question]), k=TOP_K, show_progress=False)
        return [(self._passages[row], float(score)) for row, score in zip(rows[0], scores[0], strict=True)]


def _tokens(texts: list[str]) -> Any:
    return bm25s.tokenize(texts, stopwords="en", show_progress=False)


class LangChainBM25(LangChainRetriever):
    """The index as a LangChain retriever."""

    index: Any

    def _get_relevant_documents(self, query: str, *, run_manager: Callbacks) -> list[Document]:
        return [Document(id=found.id, page_content=found.text) for found, _ in self.index.search(query)]


class LlamaIndexBM25(LlamaIndexRetriever):
    """The index as a LlamaIndex retriever."""

    def __init__(self, index: Index) -> None:
        """Search `index`."""
        self._index = index
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._index.search(query_bundle.query_str)
        return [NodeWithScore(node=TextNode(id_=hit.id, text=hit.text), score=score) for hit, score in found]


class Pipelines:
    """The same two stages, BM25 and the reranker, in both frameworks."""

    def __init__(self, index: Index, base_url: str) -> None:
        """Rerank what `index` finds on the server at `base_url`."""
        self._langchain = ContextualCompressionRetriever(
            base_compressor=LangChainRerank(base_url=base_url, min_score=MIN_SCORE),
            base_retriever=LangChainBM25(index=index),
        )
        self._llama_index = RetrieverQueryEngine(
            LlamaIndexBM25(index),
            response_synthesizer=NoText(llm=MockLLM()),  # nothing is written, yet a model is asked for
            node_postprocessors=[LlamaIndexRerank(base_url=base_url, min_score=MIN_SCORE)],
        )

    def langchain(self, question: str) -> list[Ranked]:
        """Ask the LangChain retriever."""
        documents = self._langchain.invoke(question)
        return [Ranked(str(found.id), found.metadata["relevance_score"]) for found in documents]

    def llama_index(self, question: str) -> list[Ranked]:
        """Ask the LlamaIndex query engine."""
        nodes = self._llama_index.query(question).source_nodes
        return [Ranked(found.node.node_id, found.get_score(raise_error=True)) for found in nodes]


def load_passages() -> list[Passage]:
    """Read the corpus; the title is part of the text, since many passages never name their subject."""
    rows = _read("passages.jsonl")
    return [Passage(row["id"], f"{row['title']}. {row['text']}") for row in rows]


def load_questions(limit: int | None) -> list[Question]:
    """Read the first `limit` questions, or all."""
    rows = _read("questions.jsonl")[:limit]
    return [Question(row["question"], frozenset(row["relevant"])) for row in rows]


def _read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """Yield the address of a reranker: `url`, or the toy's, which is served until the block ends."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="qwen3-sglang-demo-") as folder:
        print("Building the toy reranker, converting it, serving it ...")
        build_toy(Path(folder) / "toy")
        model = convert(Path(folder) / "toy", Path(folder) / "converted", verify=False)
        with run_in_thread(model, port=0) as base_url:
            print(f"Serving at {base_url}\n\n{TOY_NOTE}")
            yield base_url


def agree(ours: Sequence[Ranked], theirs: Sequence[Ranked]) -> bool:
    """Tell whether two rankings are the same, up to the order of passages that score alike."""
    mine, other = dict(ours), dict(theirs)
    if len(ours) != len(theirs) or mine.keys() != other.keys():
        return False
    same_scores = all(abs(mine[name] - other[name]) <= TOLERANCE for name in mine)
    return same_scores and all(abs(a.score - b.score) <= TOLERANCE for a, b in zip(ours, theirs, strict=True))


def reciprocal_rank(ids: Sequence[str], relevant: frozenset[str]) -> float:
    """Return 1 / rank of the first relevant id; 0 when none is there, be it unfound or dropped."""
    return next((1 / rank for rank, name in enumerate(ids[:TOP_K], 1) if name in relevant), 0.0)


def show(first: Sequence[str], kept: Sequence[Ranked], relevant: frozenset[str]) -> None:
    """Print both orders side by side, relevant passages starred, and what the threshold dropped."""
    print(f"      {'BM25':<36}{'reranked':<36}P(yes)")
    for rank, name in enumerate(first):
        line = f"  {rank + 1:>2}  {_starred(name, relevant):<36}"
        if rank < len(kept):
            line += f"{_starred(kept[rank].id, relevant):<36}{kept[rank].score:.4f}"
        print(line.rstrip())
    kept_ids = {found.id for found in kept}
    dropped = [_starred(name, relevant) for name in first if name not in kept_ids]
    print(f"  dropped, P(yes) < {MIN_SCORE}: {', '.join(dropped) or 'nothing'}")


def _starred(name: str, relevant: frozenset[str]) -> str:
    return f"{name} *" if name in relevant else name


def ask(index: Index, pipelines: Pipelines, number: int, question: Question) -> Outcome:
    """Put one question to both frameworks and print what came of it."""
    first = [found.id for found, _ in index.search(question.text)]
    ours, theirs = pipelines.langchain(question.text), pipelines.llama_index(question.text)
    print(f"{number}. {question.text}")
    show(first, ours, question.relevant)
    same = agree(ours, theirs)
    print(f"  LangChain and LlamaIndex {'agree' if same else f'DIFFER: {ours} / {theirs}'}\n")
    after = reciprocal_rank([found.id for found in ours], question.relevant)
    return Outcome(same, reciprocal_rank(first, question.relevant), after)


def report(outcomes: Sequence[Outcome]) -> int:
    """Print the totals; return the exit status."""
    count = len(outcomes)
    same = sum(outcome.agree for outcome in outcomes)
    before = sum(outcome.before for outcome in outcomes) / count
    after = sum(outcome.after for outcome in outcomes) / count
    print(f"LangChain and LlamaIndex agree on {same} of {count} questions. Starred: relevant.")
    print(f"MRR@{TOP_K}: {before:.3f} before reranking, {after:.3f} after (dropped counts as not found)")
    return 0 if same == count else 1


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=_positive, metavar="N", help="ask only the first N questions")
    parser.add_argument("--url", help="use the reranker served here instead of the toy")
    return parser.parse_args(argv)


def _run(options: argparse.Namespace) -> int:
    questions = load_questions(options.limit)
    index = Index(load_passages())
    with server(options.url) as base_url:
        pipelines = Pipelines(index, base_url)
        outcomes = [ask(index, pipelines, number, question) for number, question in enumerate(questions, 1)]
    return report(outcomes)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return its exit status. The embedded server is stopped however it ends."""
    options = _parse(argv)
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except Qwen3SGLangError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
