"""How exact are P(yes) on real SGLang with different rows of the classification head, all of the same model?

    python benchmarks/precision.py                              # CPU, the venv of tests/sglang_cpu/install.sh
    python benchmarks/precision.py --shape 0.6B --parallel      # GPU, all servers side by side
    python benchmarks/precision.py --python PATH -- FLAGS…      # another SGLang, other flags for its server

The model has random weights, and rows of "no" and "yes" made for it: on other documents than those scored, their
logits are 20 on average with a standard deviation of 4, their difference 0 with one of 4. Two errors are told apart:

    total   against the causal model in float32; the server's bfloat16 body is in it, which no head can mend
    head    against the exact head on the server's own last hidden states, got by serving an identity head
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests
import torch
from precision_lib import (
    CALIBRATION,
    IDENTITY,
    SHAPES,
    USUAL,
    Array,
    Rows,
    last_states,
    make_model,
    make_prompts,
    make_rows,
    variants,
    write_variant,
)
from transformers import AutoTokenizer, Qwen3ForCausalLM

from qwen3_sglang.convert import convert
from qwen3_sglang.toy import build_toy

CPU_VENV = Path(os.environ.get("SGLANG_CPU_VENV", "~/.cache/qwen3-sglang/sglang-cpu")).expanduser()
CPU_FLAGS = ["--device", "cpu", "--attention-backend", "torch_native", "--mem-fraction-static", "0.1"]
GPU_FLAGS = [
    "--attention-backend",
    "triton",
    "--sampling-backend",
    "pytorch",
    "--grammar-backend",
    "none",
    "--cuda-graph-backend-prefill",
    "disabled",
    "--mem-fraction-static",
    "0.12",
]


@contextmanager
def serve(command: Sequence[str], model: Path, log: Path, limit: float) -> Iterator[str]:
    """SGLang on a free port, from /health to the end of its last child."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--model-path", str(model), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as sink:
        process = subprocess.Popen([*command, *options], stdout=sink, stderr=sink, start_new_session=True)
        try:
            wait_for(f"http://127.0.0.1:{port}", process, log, limit)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, limit: float) -> None:
    """Until the server is healthy; RuntimeError with the end of its log when it never is."""
    until = time.monotonic() + limit
    while time.monotonic() < until and process.poll() is None:
        try:
            if requests.get(f"{url}/health", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(1)
    raise RuntimeError(f"SGLang did not start; the end of {log}:\n{log.read_text(errors='replace')[-3000:]}")


def ask(url: str, prompts: Sequence[str], *, identity: bool) -> Array:
    """P of each label, or the raw states: prompts one by one, so that every server computes the same batches."""
    answers = []
    with requests.Session() as session:
        for prompt in prompts:
            path, body = ("/classify", {"text": [prompt]}) if identity else ("/v1/classify", {"input": [prompt]})
            answer = session.post(url + path, json=body, timeout=120)
            answer.raise_for_status()
            answers.append(answer.json()[0]["embedding"] if identity else answer.json()["data"][0]["probs"])
    return np.array(answers, dtype=np.float64)


def run_servers(models: dict[str, Path], prompts: Sequence[str], options: argparse.Namespace) -> dict[str, Array]:
    """What each checkpoint's server answers; all at once with `--parallel`, else one after another."""

    def run(position: int, name: str) -> Array:
        if options.parallel:  # a server that measures free memory while another allocates gets its own share wrong
            time.sleep(position * options.stagger)
        command = [options.python, "-m", "sglang.launch_server", *options.flags]
        log = models[name].with_suffix(".log")
        with serve(command, models[name], log, options.start_seconds) as url:
            began = time.monotonic()
            answers = ask(url, prompts, identity=name == IDENTITY)
        print(f"  {name}: {len(prompts)} prompts in {time.monotonic() - began:.0f} s", flush=True)
        return answers

    with ThreadPoolExecutor(len(models) if options.parallel else 1) as pool:
        return dict(zip(models, pool.map(run, range(len(models)), models), strict=True))


def sigmoid(logits: Array) -> Array:
    """P(yes) from the difference of the logits."""
    return np.asarray(1 / (1 + np.exp(-logits)))


def kendall_tau(a: Array, b: Array) -> float:
    """Tau-b: agreement of two orders, ties counted against it."""
    one, two = (np.sign(x[:, None] - x[None, :]) for x in (a, b))
    return float((one * two).sum() / np.sqrt((one**2).sum() * (two**2).sum()))


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    variant: str
    total_mean: float
    total_max: float
    head_mean: float
    head_max: float
    distinct: int
    tau: float
    foreseen: float  # share of scores that rounding the two logits of the identity server's states gives exactly


def measure(name: str, probs: Array, rows: Rows, *, reference: Array, states: Array, difference: Array) -> Row:
    """The served scores against the float32 model's logits and against the exact head on the server's states."""
    total, head = (np.abs(probs[:, 1] - sigmoid(z)) for z in (reference, states @ difference))
    logits = torch.tensor(states @ np.array(rows).T, dtype=torch.float32).to(torch.bfloat16)
    foreseen = np.abs(torch.softmax(logits.float(), dim=1).double().numpy()[:, 1] - probs[:, 1]) < 1e-6
    order = np.log(probs[:, 1]) - np.log(probs[:, 0])
    errors = [float(x) for x in (total.mean(), total.max(), head.mean(), head.max())]
    return Row(name, *errors, len(set(probs[:, 1])), kendall_tau(order, reference), float(foreseen.mean()))


def floor(*, reference: Array, states: Array, difference: Array) -> Row:
    """The exact head on the server's own states: what is left is the bfloat16 body's."""
    total, logits = np.abs(sigmoid(states @ difference) - sigmoid(reference)), states @ difference
    errors = float(total.mean()), float(total.max())
    return Row("exact arithmetic", *errors, 0.0, 0.0, len(set(logits)), kendall_tau(logits, reference), 1.0)


def print_table(rows: Sequence[Row]) -> None:
    """Markdown; ratios are the usual recipe's mean error by the row's."""
    usual = next(row for row in rows if row.variant == USUAL)
    print("| rows | total mean | max | ratio | head mean | max | ratio | distinct | tau | foreseen |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for r in rows:
        total = f"{r.total_mean:.2e} | {r.total_max:.2e} | {usual.total_mean / r.total_mean:.1f}"
        ratio = f"{usual.head_mean / r.head_mean:.1f}" if r.head_mean else ""
        head = f"{r.head_mean:.2e} | {r.head_max:.2e} | {ratio}"
        print(f"| {r.variant} | {total} | {head} | {r.distinct} | {r.tau:.5f} | {r.foreseen:.3f} |")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; what follows `--` are the server's flags."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--tokenizer", help="a folder with a Qwen3 tokenizer; default: the toy's")
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--python", default=sys.executable if cuda else str(CPU_VENV / "bin/python"))
    parser.add_argument("--parallel", action="store_true", help="all servers at once")
    parser.add_argument("--stagger", type=float, default=10, help="seconds between two starts with --parallel")
    parser.add_argument("--start-seconds", type=float, default=400, help="how long a server may take to start")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("flags", nargs="*", help="the server's flags, after --")
    options = parser.parse_args(arguments)
    options.flags = options.flags or (GPU_FLAGS if cuda else CPU_FLAGS)
    return options


def prepare(folder: Path, options: argparse.Namespace, prompts: Sequence[str]) -> tuple[Path, Array, Array]:
    """The converted checkpoint, the rows of "no" and "yes", and the float32 model's last states of `prompts`."""
    tokenizer: Any = AutoTokenizer.from_pretrained(options.tokenizer or build_toy(folder / "toy"))
    model = make_model(options.shape, tokenizer)
    exact = Qwen3ForCausalLM(model.config).float()
    exact.load_state_dict(model.state_dict())
    exact.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    rows = make_rows(last_states(exact, tokenizer, make_prompts(CALIBRATION, seed=1)))
    states = last_states(exact, tokenizer, prompts)
    ids = [tokenizer.convert_tokens_to_ids(word) for word in ("no", "yes")]
    model.lm_head.weight.data[ids] = torch.tensor(rows, dtype=torch.bfloat16)
    model.save_pretrained(folder / "causal")
    tokenizer.save_pretrained(folder / "causal")
    return convert(folder / "causal", folder / "converted", verify=False), rows, states


def describe(states: Array, served: Array, rows: Array) -> dict[str, float]:
    """What kind of model it is: its logits, and how far bfloat16 takes the server's last states from float32."""
    logits = states @ rows.T
    difference = logits[:, 1] - logits[:, 0]
    return {
        "logit_mean": float(logits.mean()),
        "logit_std": float(logits.std()),
        "difference_mean": float(difference.mean()),
        "difference_std": float(difference.std()),
        "state_variation": float(states.var(axis=0).sum() / (states**2).sum(axis=1).mean()),
        "body_noise": float(np.sqrt(((served - states) ** 2).sum() / (states**2).sum())),
    }


def main(arguments: Sequence[str]) -> None:
    """Make the model, serve every variant, print the table."""
    options = parse(arguments)
    prompts = make_prompts(options.documents, seed=0)
    with tempfile.TemporaryDirectory(prefix="precision-") as name:
        folder = Path(name)
        converted, rows, states = prepare(folder, options, prompts)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # the servers share the device with this process
        heads = variants(rows[0].tolist(), rows[1].tolist())
        models = {
            n: write_variant(converted, folder / f"variant-{i}", h, bias=n != USUAL)
            for i, (n, h) in enumerate(heads.items())
        }
        answers = run_servers(models, prompts, options)
    served = answers.pop(IDENTITY)
    difference = rows[1] - rows[0]
    table = [
        measure(n, probs, heads[n], reference=states @ difference, states=served, difference=difference)
        for n, probs in answers.items()
    ]
    table.append(floor(reference=states @ difference, states=served, difference=difference))
    model = describe(states, served, rows)
    print(f"shape {options.shape}, {len(prompts)} documents;", ", ".join(f"{k} {v:.4g}" for k, v in model.items()))
    print_table(table)
    if options.json:
        report = {"shape": options.shape, "documents": len(prompts), "flags": options.flags, "model": model}
        options.json.write_text(json.dumps(report | {"rows": [asdict(row) for row in table]}, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
