"""Evaluate the reranker on the demo's corpus: BM25's top 20, reranked, as a report to open in a browser.

    python examples/evaluate.py report.html                               # a toy reranker on an embedded server
    python examples/evaluate.py report.html --url http://127.0.0.1:30000  # your own SGLang server

Needs ``pip install "qwen3-sglang[all]"``. It writes the corpus as a BEIR folder and then does what
``qwen3-sglang evaluate FOLDER --top-k 20 --html report.html`` does.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwen3_sglang import RerankClient
from qwen3_sglang.errors import Qwen3SGLangError
from qwen3_sglang.evaluate import evaluate, load_dataset, write_html
from qwen3_sglang.toy.serving import serve_toy

DATA = Path(__file__).parent / "data"
TOP_K = 20


def write_beir(folder: Path) -> None:
    """Write the corpus, the questions and the judgements as BEIR keeps them."""
    passages, questions = _rows("passages.jsonl"), _rows("questions.jsonl")
    corpus = [{"_id": row["id"], "title": f"{row['title']}.", "text": row["text"]} for row in passages]
    _write(folder / "corpus.jsonl", map(json.dumps, corpus))
    _write(folder / "queries.jsonl", (json.dumps({"_id": row["id"], "text": row["question"]}) for row in questions))
    judged = [f"{row['id']}\t{name}\t1" for row in questions for name in row["relevant"]]
    _write(folder / "qrels" / "test.tsv", ["query-id\tcorpus-id\tscore", *judged])


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def _write(path: Path, lines: Iterator[str] | Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """Yield the address of a reranker: `url`, or the toy's, which is served until the block ends."""
    if url is not None:
        yield url
        return
    with serve_toy(f"{row['title']}. {row['text']}" for row in _rows("passages.jsonl")) as base_url:
        yield base_url


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("report", type=Path, help="the HTML file to write")
    parser.add_argument("--url", help="use the reranker served here instead of the toy")
    options = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="qwen3-sglang-evaluate-") as name:
            folder = Path(name)
            write_beir(folder / "demo-corpus")
            dataset = load_dataset(folder / "demo-corpus", top_k=TOP_K)
            with server(options.url) as base_url, RerankClient(base_url, timeout=600) as client:
                report = evaluate(client, dataset, scores=folder / "scores.sqlite")
        print(f"{report.verdict}\nwritten: {write_html(report, options.report)}")
    except Qwen3SGLangError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
