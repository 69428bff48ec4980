"""SGLang's multi-item scoring: which flags and variables it needs, what it turns off, what can't go with it.

Read in the sources of SGLang 0.5.16 and 0.5.23. Everything here is pure but `check_cuda`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Mapping, Sequence

from qwen3_sglang.errors import InvalidInputError, SGLangNotFoundError
from qwen3_sglang.serving.flags import flag_values

OPTION = "--multi-item"
ENABLE = "--enable-mis"
ASKED = ((ENABLE,), ("--attention-backend", "flashinfer"))  # never left out: without them it is another server
TUNED = (("--max-prefill-tokens", "32768"),)
# A health check that generates is a request without items, and one of those among lists ends the scheduler.
ENVIRONMENT = {"SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION": "0"}
TUNED_ENVIRONMENT = {  # the user's own values win
    # Bytes of FlashInfer's workspace; SGLang's default, 384 MiB, is sized for prompts without masks.
    "SGLANG_FLASHINFER_WORKSPACE_SIZE": str(2**30),
    # SGLang's HTTP process makes probabilities of a list's logits with PyTorch, in as many threads as there are cores.
    # In between these wait by spinning: with four servers on a host that took half of what their schedulers need.
    "OMP_NUM_THREADS": "1",
}
NOTE = (
    "multi-item scoring: POST /v1/score only; a single /v1/classify request among others ends SGLang's scheduler, so "
    "let nobody else send to this server. It turns off the prefix cache, chunked prefill and CUDA graphs"
)
OPEN_NOTE = "put examples/deploy/haproxy.cfg in front: whoever reaches {address} can end the scheduler"

_BACKENDS = ("--attention-backend", "--prefill-attention-backend", "--decode-attention-backend")
_BATCH_ENCODE = "it makes SGLang refuse every /v1/score request; query and items are tokenised apart there"
_NO_CACHE = "there is no prefix cache to extend"
REFUSED = {  # why, by flag
    "--enable-tokenizer-batch-encode": _BATCH_ENCODE,
    "--prefill-only-disable-kv-cache": "that needs FlashAttention 3 or 4, and multi-item scoring needs FlashInfer",
    "--enable-hierarchical-cache": _NO_CACHE,
    "--enable-hicache": _NO_CACHE,
    "--enable-lmcache": _NO_CACHE,
}
_ASK = """
import importlib.util, json
try:
    import torch
    gpu = torch.cuda.is_available() and torch.version.cuda is not None
except ImportError:
    gpu = False
print(json.dumps([gpu, importlib.util.find_spec("flashinfer") is not None]))
"""
_LOCAL = f"or try without a GPU: --engine local {OPTION}"


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """The variables to start SGLang with, where the user's `own` environment has these."""
    return ENVIRONMENT | {name: own.get(name) or value for name, value in TUNED_ENVIRONMENT.items()}


def check_flags(extra: Sequence[str], known: Collection[str] | None = None) -> None:
    """Whether SGLang's flags in `extra` can go with multi-item scoring.

    Raises:
        InvalidInputError: one can't, or this SGLang has no multi-item scoring.
    """
    if known is not None and ENABLE not in known:
        raise InvalidInputError("multi_item", True, f"this SGLang has no {ENABLE}; install SGLang 0.5.16 or newer")
    for flag, value in flag_values(extra, known):
        if flag in _BACKENDS and value != "flashinfer":
            raise _refusal(f"{flag} {value}", "only FlashInfer's attention has the mask that keeps items apart")
        if flag == "--device" and value != "cuda":
            raise _refusal(f"{flag} {value}", f"FlashInfer needs CUDA; {_LOCAL}")
        if flag in REFUSED:
            raise _refusal(flag, REFUSED[flag])


def check_ordinary(extra: Sequence[str], known: Collection[str] | None = None) -> None:
    """Raise InvalidInputError for multi-item scoring that is turned on past the option for it."""
    if any(flag == ENABLE for flag, _ in flag_values(extra, known)):
        remedy = f"pass {OPTION} before the --: it also leaves out the flags that can't go with it"
        raise InvalidInputError("extra argument", ENABLE, remedy)


def check_cuda(python: str) -> None:
    """Whether the Python that is to run SGLang finds an NVIDIA GPU and FlashInfer.

    Raises:
        InvalidInputError: it finds no GPU.
        SGLangNotFoundError: FlashInfer is missing.
    """
    asked = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=False)  # noqa: S603 - the user's own interpreter
    try:
        gpu, flashinfer = json.loads(asked.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return  # SGLang itself will say what is wrong
    if not gpu:
        remedy = f"FlashInfer's attention needs an NVIDIA GPU, and {python} finds none: run it on a machine with one"
        raise InvalidInputError("multi_item", True, f"{remedy}, {_LOCAL}")
    if not flashinfer:
        raise SGLangNotFoundError(python, "multi-item scoring needs FlashInfer, and this Python has none")


def _refusal(given: str, reason: str) -> InvalidInputError:
    return InvalidInputError("extra argument", given, f"leave it out with {OPTION}: {reason}")
