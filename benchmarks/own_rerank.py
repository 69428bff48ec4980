"""What does SGLang's own /v1/rerank lose, and why? Real SGLang, an unconverted checkpoint, its P(yes) side by side.

    python benchmarks/own_rerank.py --tokenizer FOLDER          # CPU, the venv of tests/sglang_cpu/install.sh
    python benchmarks/own_rerank.py --tokenizer FOLDER --python PATH -- FLAGS…    # another SGLang, other flags

FOLDER holds Qwen3's tokenizer (tokenizer.json and tokenizer_config.json of any Qwen3 checkpoint). The model is the
random one of precision.py. A random network is far more sensitive to its last tokens than a trained one, so the
figures are an upper bound of what a template costs, not an estimate; which prompts are sent holds for any weights.

The reference is the causal model in float32 on the prompt of Qwen's own example. /v1/rerank is asked with three
chat templates: the one in Qwen's repository (roles "query" and "document"), SGLang's documented qwen3_reranker.jinja,
and that one mended; the last two also with the instruction sent, so that the full stop and the think block can be
told apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import requests
import torch
from precision import CPU_FLAGS, CPU_VENV, kendall_tau, serve, sigmoid
from precision_lib import SHAPES, Array, last_states, make_model, make_queries, make_rows
from transformers import AutoTokenizer, Qwen3ForCausalLM

from qwen3_sglang import RerankClient
from qwen3_sglang.convert import convert
from qwen3_sglang.prompts.template import DEFAULT_INSTRUCTION, QWEN3, build_prompts

BEFORE_INSTRUCTION, SUFFIX = str(QWEN3.start[0]), QWEN3.suffix
SUFFIX_WITHOUT_THINK = "<|im_end|>\n<|im_start|>assistant\n"
DOCUMENTS_PER_QUERY = 26
Queries = Sequence[tuple[str, Sequence[str]]]


def template(query: str, document: str, suffix: str, *, variable: str, default: str) -> str:
    """A chat template as Jinja source: two expressions, the variable that may hold an instruction, and its default."""
    # Jinja drops the last newline of a source, so the suffix is an expression.
    task = f"{{{{ {variable} | default({default!r}) }}}}"
    body = f"{task}\n<Query>: {{{{ {query} }}}}\n<Document>: {{{{ {document} }}}}"
    return f"{BEFORE_INSTRUCTION}{body}{{{{ {suffix!r} }}}}"


def templates() -> dict[str, str]:
    """Name -> Jinja source; each renders what the template of that name renders."""
    roles = ["(messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first)"]
    roles.append(roles[0].replace("'query'", "'document'"))
    places = ["messages[0]['content']", "messages[1]['content']"]
    stop = f"{DEFAULT_INSTRUCTION}."
    return {
        "Qwen's own": template(*roles, SUFFIX, variable="instruction", default=DEFAULT_INSTRUCTION),
        "documented": template(*places, SUFFIX_WITHOUT_THINK, variable="instruct", default=stop),
        "mended": template(*places, SUFFIX, variable="instruct", default=DEFAULT_INSTRUCTION),
    }


def reranked(url: str, queries: Queries, **fields: str) -> Array:
    """P(yes) in the documents' order, from /v1/rerank."""
    scores = []
    for query, documents in queries:
        body = {"query": query, "documents": documents, **fields}
        answer = requests.post(f"{url}/v1/rerank", json=body, timeout=300)
        answer.raise_for_status()
        by_index = {row["index"]: row["score"] for row in answer.json()}
        scores += [by_index[index] for index in range(len(documents))]
    return np.array(scores)


def ours(url: str, queries: Queries) -> Array:
    """P(yes) from this project's client."""
    with RerankClient(url, timeout=300) as client:
        return np.array([score for query, documents in queries for score in client.score(query, documents)])


def over_long(url: str) -> str:
    """What /v1/rerank says to two documents of which one is too long."""
    body = {"query": "A question?", "documents": ["short", "word " * 9000]}
    answer = requests.post(f"{url}/v1/rerank", json=body, timeout=300)
    return f"{answer.status_code} {answer.text[:160]}"


def prompts(queries: Queries) -> list[str]:
    """The prompt of Qwen's own example for each pair."""
    return [prompt for query, documents in queries for prompt in build_prompts(query, documents)]


def prepare(folder: Path, options: argparse.Namespace, queries: Queries) -> tuple[Path, Path, Array]:
    """The causal checkpoint, the converted one, and float32's logit differences on the prompts of Qwen's example."""
    tokenizer: Any = AutoTokenizer.from_pretrained(options.tokenizer)
    model = make_model(options.shape, tokenizer)
    exact = Qwen3ForCausalLM(model.config).float()
    exact.load_state_dict(model.state_dict())
    exact.eval()
    rows = make_rows(last_states(exact, tokenizer, prompts(make_queries(4, DOCUMENTS_PER_QUERY, seed=1))))
    reference = last_states(exact, tokenizer, prompts(queries)) @ (rows[1] - rows[0])
    ids = [tokenizer.convert_tokens_to_ids(word) for word in ("no", "yes")]
    model.lm_head.weight.data[ids] = torch.tensor(rows, dtype=torch.bfloat16)
    tokenizer.chat_template = templates()["Qwen's own"]
    for part in (model, tokenizer):
        part.save_pretrained(folder / "causal")
    converted = convert(folder / "causal", folder / "converted", verify=False)
    return folder / "causal", converted, reference


def report(name: str, scores: Array, reference: Array) -> None:
    """A row of the table."""
    moved = np.abs(scores - sigmoid(reference))
    tau = kendall_tau(scores, reference) if len(set(scores)) > 1 else float("nan")
    print(f"| {name} | {len(set(scores))} | {moved.mean():.2e} | {moved.max():.2e} | {tau:.3f} |", flush=True)


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command line of a benchmark on such a model."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--tokenizer", required=True, help="a folder with Qwen3's tokenizer")
    made.add_argument("--python", default=str(CPU_VENV / "bin/python"), help="the interpreter that has SGLang")
    made.add_argument("--shape", choices=SHAPES, default="tiny")
    made.add_argument("--queries", type=int, default=12, help=f"each with {DOCUMENTS_PER_QUERY} documents")
    made.add_argument("--work", type=Path, help="an empty folder to keep checkpoints and logs in")
    made.add_argument("flags", nargs="*", help="the server's flags, after --")
    return made


def run(options: argparse.Namespace, prefix: str, rows: Callable[[Path, argparse.Namespace, Queries], None]) -> None:
    """The benchmark's `rows`, with the queries asked for, in the folder named or in one that is removed."""
    queries = make_queries(options.queries, DOCUMENTS_PER_QUERY, seed=0)
    with nullcontext(options.work) if options.work else tempfile.TemporaryDirectory(prefix=prefix) as name:
        rows(Path(name), options, queries)


def main(arguments: Sequence[str]) -> None:
    """Make the model, start a server per template, print the table."""
    run(parser(__doc__).parse_args(arguments), "own-rerank-", measure)


def measure(folder: Path, options: argparse.Namespace, queries: Queries) -> None:
    """The rows, one server after another."""
    causal, converted, reference = prepare(folder, options, queries)
    command = [options.python, "-m", "sglang.launch_server", *(options.flags or CPU_FLAGS)]
    files = {}
    for name, text in templates().items():
        files[name] = folder / f"{name.split(maxsplit=1)[0].strip(chr(39))}.jinja"
        files[name].write_text(text, encoding="utf-8")
    print(f"{sum(len(documents) for _, documents in queries)} pairs, against the causal model in float32")
    print("| way | distinct scores | mean abs(dP) | max | tau |\n|---|---|---|---|---|")
    with serve(command, converted, folder / "converted.log", 400) as url:
        report("this project: converted, `/v1/classify`", ours(url, queries), reference)
    with serve(command, causal, folder / "own.log", 400) as url:
        report("`/v1/rerank`, template of Qwen's repository", reranked(url, queries), reference)
    with serve([*command, "--chat-template", str(files["documented"])], causal, folder / "documented.log", 400) as url:
        report("`/v1/rerank`, documented template", reranked(url, queries), reference)
        without_stop = reranked(url, queries, instruct=DEFAULT_INSTRUCTION)
        report("the same, instruction sent without its full stop", without_stop, reference)
        print("one document of two over the limit:", over_long(url), file=sys.stderr)
    with serve([*command, "--chat-template", str(files["mended"])], causal, folder / "mended.log", 400) as url:
        report("`/v1/rerank`, mended template", reranked(url, queries), reference)
        with_stop = reranked(url, queries, instruct=f"{DEFAULT_INSTRUCTION}.")
        report("the same, instruction with the full stop", with_stop, reference)


if __name__ == "__main__":
    main(sys.argv[1:])
