"""Does a multi-item server give each document the score that it has alone? The logits of many compositions, compared.

``python benchmarks/fidelity.py MULTI_ITEM_URL --reference ORDINARY_URL --tokenizer FOLDER`` asks both servers, which
must serve the same checkpoint. The measure is the ordinary server's own noise: how far bfloat16 moves the logit of a
document when other documents are in its batch. It exits with 1 where multi-item scoring moves one further.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qwen3_sglang import RerankClient
from ways import Texts

WORDS = (1, 2, 5, 10, 20, 40, 60, 90, 120, 180, 250, 400, 600, 900, 1300, 2000)
MARGIN = 1.5  # the largest of some hundred differences varies by that much from one draw of texts to the next
Logits = npt.NDArray[np.float64]


def logits(client: RerankClient, query: str, documents: Sequence[str]) -> Logits:
    """One logit per document, in order."""
    found = {result.index: result.logit for result in client.rerank(query, list(documents))}
    return np.array([found[place] for place in range(len(documents))])


def alone(client: RerankClient, query: str, documents: Sequence[str]) -> Logits:
    """The same, one request per document."""
    return np.concatenate([logits(client, query, [document]) for document in documents])


def beside(client: RerankClient, query: str, documents: Sequence[str], neighbour: str) -> Logits:
    """The same, each in a list with that neighbour before and after it."""
    return np.array([logits(client, query, [neighbour, document, neighbour])[1] for document in documents])


def at_once(client: RerankClient, queries: Sequence[tuple[str, Sequence[str]]]) -> list[Logits]:
    """The lists of several queries, sent at the same time, so that the server batches them together."""
    with ThreadPoolExecutor(len(queries)) as pool:
        return list(pool.map(lambda asked: logits(client, *asked), queries))


def compositions(texts: Texts, documents: Sequence[str]) -> dict[str, Callable[[RerankClient, str], Logits]]:
    """Name -> the logits of the same documents, asked in that way."""
    other = (texts.one(8), [texts.one(60) for _ in range(16)])
    far = texts.one(3900)  # about 5,000 tokens
    special = "<|im_end|> <think> yes </think> <|endoftext|> " * 10
    return {
        "alone": lambda client, query: alone(client, query, documents),
        "list": lambda client, query: logits(client, query, documents),
        "list again": lambda client, query: logits(client, query, documents),
        "list reversed": lambda client, query: logits(client, query, documents[::-1])[::-1],
        "beside 5,000 tokens": lambda client, query: beside(client, query, documents, far),
        "beside special tokens": lambda client, query: beside(client, query, documents, special),
        "with another query's": lambda client, query: at_once(client, [(query, documents), other])[0],
    }


def measured(url: str, endpoint: str, tokenizer: str, rounds: int) -> dict[str, Logits]:
    """Every composition's logits; the texts are the same for every server."""
    found: dict[str, list[Logits]] = {}
    with RerankClient(url, endpoint=endpoint, tokenizer=tokenizer, timeout=300) as client:
        for seed in range(rounds):
            texts = Texts(seed)
            query, documents = texts.one(8), [texts.one(words) for words in WORDS]
            for name, way in compositions(texts, documents).items():
                found.setdefault(name, []).append(way(client, query))
    return {name: np.concatenate(rows) for name, rows in found.items()}


def row(name: str, one: Logits, other: Logits) -> dict[str, float | str]:
    """How far two ways differ, in logits and in P(yes)."""
    far = np.abs(one - other)
    chance = np.abs(1 / (1 + np.exp(-one)) - 1 / (1 + np.exp(-other)))
    return {"what": name, "mean": far.mean(), "max": far.max(), "max dP": chance.max()}


def rows(found: dict[str, Logits], label: str) -> list[dict[str, float | str]]:
    """Each composition against every document alone, on one server."""
    return [row(f"{label}: {name}", found["alone"], other) for name, other in found.items() if name != "alone"]


def main() -> int:
    """Print the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="the multi-item server")
    parser.add_argument("--reference", required=True, metavar="URL", help="an ordinary server of the same checkpoint")
    parser.add_argument("--tokenizer", required=True, metavar="FOLDER", help="the checkpoint's tokenizer")
    parser.add_argument("--rounds", type=int, default=4, help=f"queries, with {len(WORDS)} documents each")
    parser.add_argument("--json", metavar="FILE", help="write the rows there")
    options = parser.parse_args()
    ordinary = measured(options.reference, "v1/classify", options.tokenizer, options.rounds)
    items = measured(options.url, "v1/score", options.tokenizer, options.rounds)
    noise, own = rows(ordinary, "ordinary"), rows(items, "multi-item")
    between = [row(f"between the two: {name}", ordinary[name], items[name]) for name in ("alone", "list")]
    table = [*noise, *own, *between]
    print(f"{'logits, against each document alone':48} {'mean':>8} {'max':>8} {'max dP':>8}")
    for one in table:
        print(f"{one['what']:48} {one['mean']:8.4f} {one['max']:8.4f} {one['max dP']:8.4f}")
    limit = MARGIN * max(float(one["max"]) for one in noise)
    worst = max(float(one["max"]) for one in (*own, *between))
    good = worst <= limit
    verdict = "within" if good else "BEYOND"
    print(f"\nmulti-item scoring is {verdict} the ordinary server's noise: {worst:.4f}, limit {limit:.4f} ({MARGIN} x)")
    if options.json:
        Path(options.json).write_text(json.dumps({"rows": table, "worst": worst, "limit": limit}, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
