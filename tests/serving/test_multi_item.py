"""Multi-item scoring on SGLang: what it is started with, and what can't go with it."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from qwen3_sglang.errors import InvalidInputError, SGLangNotFoundError
from qwen3_sglang.serving.multi_item import ASKED, ENABLE, REFUSED, TUNED, check_cuda, check_flags, environment
from qwen3_sglang.serving.sglang_command import Launch, plan

KNOWN = frozenset(
    {flag for flag, *_ in (*ASKED, *TUNED)} | set(REFUSED) | {"--device", "--prefill-attention-backend", "--dp-size"}
)


def planned(*extra: str, known: frozenset[str] | None = KNOWN, dp: int | None = None) -> Launch:
    """A start with these flags of the user's."""
    return plan("py", "./m", host="127.0.0.1", port=30000, dp=dp, multi_item=True, extra=extra, known=known)


def test_the_command() -> None:
    """As it was measured; none of the ordinary way's flags but the one that fits."""
    assert planned().shown == (
        "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION=0 SGLANG_FLASHINFER_WORKSPACE_SIZE=1073741824 OMP_NUM_THREADS=1 "
        "py -m sglang.launch_server --model-path ./m --host 127.0.0.1 --port 30000 --enable-mis "
        "--attention-backend flashinfer --max-prefill-tokens 32768"
    )
    assert planned().environment == environment({})
    assert "--dp-size 2" in planned(dp=2).shown


def test_the_users_own_variables() -> None:
    """What only tunes is theirs to set; what keeps the scheduler alive isn't. The rest is nobody's business."""
    own = {
        "OMP_NUM_THREADS": "4",
        "SGLANG_FLASHINFER_WORKSPACE_SIZE": "2147483648",
        "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION": "1",
        "HOME": "/root",
    }
    launch = plan("py", "./m", host="h", port=1, multi_item=True, known=KNOWN, environ=own)
    assert launch.environment == {
        "OMP_NUM_THREADS": "4",
        "SGLANG_FLASHINFER_WORKSPACE_SIZE": "2147483648",
        "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION": "0",
    }


def test_a_variable_that_is_set_to_nothing() -> None:
    """As `OMP_NUM_THREADS: ${OMP_NUM_THREADS}` in a compose file: PyTorch would take all cores."""
    assert environment({"OMP_NUM_THREADS": ""}) == environment({})


def test_the_ordinary_way_needs_no_variables() -> None:
    """Its command stays as it is."""
    assert plan("py", "./m", host="h", port=1, known=None, environ={"OMP_NUM_THREADS": "4"}).environment == {}


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (["--attention-backend", "fa3"], "FlashInfer's attention"),
        (["--attention-backend=triton"], "FlashInfer's attention"),
        (["--prefill-att", "fa3"], "FlashInfer's attention"),
        (["--device", "cpu"], "--engine local --multi-item"),
        (["--enable-tokenizer-batch-encode"], "refuse every /v1/score"),
        (["--prefill-only-disable-kv-cache"], "FlashAttention 3 or 4"),
        (["--enable-hierarchical-cache"], "no prefix cache"),
        (["--allow-auto-truncate"], "cuts the prompt's end"),
    ],
)
def test_what_cannot_go_with_it(extra: list[str], reason: str) -> None:
    """Named with its reason, before SGLang takes a minute to say so."""
    with pytest.raises(InvalidInputError, match=reason) as refused:
        planned(*extra)
    assert refused.value.field == "extra argument"


@pytest.mark.parametrize("extra", [["--attention-backend", "flashinfer"], ["--device", "cuda"], ["--dp-size", "2"]])
def test_what_can(extra: list[str]) -> None:
    """The user's flag, once."""
    flags = planned(*extra).flags
    assert flags.count(extra[0]) == 1
    assert flags[-2:] == tuple(extra)


def test_an_sglang_without_it() -> None:
    """Older ones had another."""
    with pytest.raises(InvalidInputError, match=r"has no --enable-mis; install SGLang 0\.5\.16"):
        check_flags([], KNOWN - {ENABLE})


def test_turned_on_past_the_option() -> None:
    """The ordinary way's flags would make SGLang refuse every list."""
    for word in (ENABLE, f"{ENABLE}=1"):
        with pytest.raises(InvalidInputError, match="pass --multi-item before the --"):
            plan("py", "./m", host="h", port=1, extra=[word], known=KNOWN)


def fake_python(folder: Path, line: str) -> str:
    """An interpreter that prints that."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\necho '{line}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_no_gpu(tmp_path: Path) -> None:
    """The remedy does the same without one."""
    with pytest.raises(InvalidInputError, match=r"needs an NVIDIA GPU.*--engine local --multi-item"):
        check_cuda(fake_python(tmp_path, "[false, true]"))


def test_no_flashinfer(tmp_path: Path) -> None:
    """A GPU alone isn't enough."""
    with pytest.raises(SGLangNotFoundError, match="needs FlashInfer"):
        check_cuda(fake_python(tmp_path, "[true, false]"))


@pytest.mark.parametrize("line", ["[true, true]", "no answer"])
def test_nothing_to_object_to(tmp_path: Path, line: str) -> None:
    """Where it can't tell, SGLang itself will."""
    check_cuda(fake_python(tmp_path, line))


def test_this_interpreter_is_asked() -> None:
    """Real torch, where there is one: on a machine without a GPU it is refused."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InvalidInputError, match="NVIDIA GPU"):
        check_cuda(sys.executable)
