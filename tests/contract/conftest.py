"""The same tests against every server: the embedded one always, real SGLang and its gateway where their venvs are.

"multi-item" is the embedded one with multi-item scoring, which SGLang itself does on an NVIDIA GPU only.

SGLang's venv is $SGLANG_CPU_VENV, or ~/.cache/qwen3-sglang/sglang-cpu; tests/sglang_cpu/install.sh makes it. The
gateway's is $SMG_VENV, or ~/.cache/qwen3-sglang/smg; the message of a skipped test says how to make it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qwen3_sglang.convert import convert
from qwen3_sglang.local import run_in_thread
from real_sglang import gateway, needs_gateway, needs_sglang, real_sglang


class Servers:
    """Servers by what they serve; of real SGLang one at a time, since each keeps a core busy even when idle."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._embedded: dict[tuple[Path, str | None, bool], str] = {}
        self._real: tuple[tuple[str, Path, str | None, bool], str] | None = None
        self._stack, self._real_stack = ExitStack(), ExitStack()

    def __call__(self, kind: str, model: Path, api_key: str | None = None, *, exact: bool = False) -> str:
        """The base_url of a server of that kind, started where none is running; an exact one computes in float32."""
        if kind not in {"embedded", "multi-item"}:
            return self._start_real((kind, model, api_key, exact))
        what = model, api_key, kind == "multi-item"
        if what not in self._embedded:
            run = run_in_thread(model, device="cpu", dtype="float32", api_key=api_key, multi_item=what[2])
            self._embedded[what] = self._stack.enter_context(run)
        return self._embedded[what]

    def _start_real(self, what: tuple[str, Path, str | None, bool]) -> str:
        kind, model, api_key, exact = what
        needs_gateway() if kind == "gateway" else needs_sglang()
        if self._real is None or self._real[0] != what:
            self._real_stack.close()
            flags = [*(["--api-key", api_key] if api_key else []), *(["--dtype", "float32"] if exact else [])]
            real = real_sglang(model, self._logs / "sglang.log", *flags)
            url = self._real_stack.enter_context(gateway(model, self._logs) if kind == "gateway" else real)
            self._real = what, url
        return self._real[1]

    def stop_real(self) -> None:
        """What runs of real SGLang, if anything; the next call for it starts it anew."""
        self._real_stack.close()
        self._real = None

    def stop(self) -> None:
        """All of them."""
        self.stop_real()
        self._stack.close()


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """start(kind, model, api_key=None, exact=False) -> base_url."""
    servers = Servers(tmp_path_factory.mktemp("sglang"))
    yield servers
    servers.stop()


@pytest.fixture(scope="session", params=["embedded", "sglang"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which server."""
    return str(request.param)


@pytest.fixture
def base_url(start: Callable[..., str], kind: str, converted_toy: Path) -> str:
    """The converted toy behind that server."""
    return start(kind, converted_toy)


@pytest.fixture(scope="session")
def one_label_toy(converted_toy: Path) -> Path:
    """What other converters make: one row, which SGLang's softmax turns into 1.0."""
    from safetensors.torch import load_file, save_file  # noqa: PLC0415 - slow to import

    folder = converted_toy.parent / "one-label"
    shutil.copytree(converted_toy, folder)
    [shard] = [f for f in folder.glob("*.safetensors") if "score.weight" in load_file(f)]
    tensors = load_file(shard)
    save_file({name: t[1:].clone() for name, t in tensors.items()}, shard, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def tied_sharded(causal_toy: Path) -> Path:
    """A random checkpoint with tied embeddings in three shards, converted: what 0.6B and 4B look like on disk."""
    import torch  # noqa: PLC0415 - slow to import
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM  # noqa: PLC0415 - the same

    torch.manual_seed(0)
    config = Qwen3Config.from_pretrained(causal_toy)
    config.tie_word_embeddings, config.rope_theta = True, 1_000_000
    source = causal_toy.parent / "tied"
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(source, max_shard_size="2MB")
    AutoTokenizer.from_pretrained(causal_toy).save_pretrained(source)
    assert len(list(source.glob("*.safetensors"))) > 1
    return convert(source, causal_toy.parent / "tied-converted", verify=False)
