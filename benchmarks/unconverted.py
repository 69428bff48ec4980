"""What does conversion add? P(yes) of the original checkpoint beside that of the converted one, on real SGLang.

    python benchmarks/unconverted.py --tokenizer FOLDER          # CPU, the venv of tests/sglang_cpu/install.sh
    python benchmarks/unconverted.py --tokenizer FOLDER --python PATH -- FLAGS…    # another SGLang, other flags

FOLDER holds Qwen3's tokenizer (tokenizer.json and tokenizer_config.json of any Qwen3 checkpoint). The model is the
random one of precision.py, so the order of documents means nothing; how finely scores are told apart does. The client
asks by itself as the server runs: `/v1/classify`, or `/v1/score` with `label_token_ids`. The reference is the causal
model in float32. Times are the best of some passes: other work on the machine only adds to them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import requests
from own_rerank import Queries, parser, prepare, run
from precision import CPU_FLAGS, kendall_tau, serve, sigmoid
from precision_lib import Array

from qwen3_sglang import RerankClient

FP32_HEAD, FLOAT32 = "--enable-fp32-lm-head", ("--dtype", "float32")


def scores(url: str, queries: Queries) -> Array:
    """P(yes) from this project's client, which asks as the server runs."""
    with RerankClient(url, timeout=600) as client:
        return np.array([score for query, documents in queries for score in client.score(query, documents)])


def measured(url: str, queries: Queries, passes: int) -> tuple[list[Array], float]:
    """The scores of each pass, and the seconds of the fastest; no pass finds the prompts of the one before."""
    found, seconds = [], []
    for _ in range(passes):
        requests.post(f"{url}/flush_cache", timeout=60)
        start = time.perf_counter()
        found.append(scores(url, queries))
        seconds.append(time.perf_counter() - start)
    return found, min(seconds)


def row(name: str, found: Sequence[Array], seconds: float, reference: Array) -> str:
    """A row of the table."""
    moved, again = np.abs(found[0] - sigmoid(reference)), max(np.abs(one - found[0]).max() for one in found)
    figures = [f"{len(set(found[0]))}", f"{moved.mean():.1e}", f"{moved.max():.1e}", f"{again:.1e}"]
    figures += [f"{kendall_tau(found[0], reference):.3f}", f"{1000 * seconds / len(reference):.0f}"]
    return f"| {name} | {' | '.join(figures)} |"


def measure(folder: Path, options: argparse.Namespace, queries: Queries) -> None:
    """The rows, one server after another."""
    causal, converted, reference = prepare(folder, options, queries)
    command = [options.python, "-m", "sglang.launch_server", *(options.flags or CPU_FLAGS)]
    ways = [
        ("converted", converted, []),
        ("original", causal, []),
        (f"original, `{FP32_HEAD}`", causal, [FP32_HEAD]),
        ("converted, float32", converted, [*FLOAT32]),
        ("original, float32", causal, [*FLOAT32]),
    ]
    print(f"{len(reference)} pairs, against the causal model in float32")
    print("| served | distinct scores | mean abs(dP) | max | asked again, max | tau | ms per document |")
    print("|---|---|---|---|---|---|---|")
    for number, (name, model, more) in enumerate(ways):
        with serve([*command, *more], model, folder / f"{number}.log", 600) as url:
            print(row(name, *measured(url, queries, options.passes), reference), flush=True)


def main(arguments: Sequence[str]) -> None:
    """Make the model, start a server per row, print the table."""
    made = parser(__doc__)
    made.add_argument("--passes", type=int, default=3, help="per server; the fastest counts")
    run(made.parse_args(arguments), "unconverted-", measure)


if __name__ == "__main__":
    main(sys.argv[1:])
