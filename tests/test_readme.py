"""Every code block of the README does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from llama_index.core import QueryBundle
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import BaseRetriever as LlamaRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from typer.testing import CliRunner

from qwen3_sglang.cli.app import app
from qwen3_sglang.local import run_in_thread

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```\w+\n.*?```", re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
URL = "http://127.0.0.1:30000"
TEXTS = ["Gravity is a force.", "The capital of China is Beijing.", "Tea is a drink."]


class Texts(BaseRetriever):
    """Any LangChain retriever."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(text) for text in TEXTS]


class Nodes(LlamaRetriever):
    """Any LlamaIndex retriever."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]


@pytest.fixture(scope="module")
def base_url(converted_toy: Path) -> Iterator[str]:
    """The embedded server in the place of the one on port 30000."""
    with run_in_thread(converted_toy, device="cpu", dtype="float32") as url:
        yield url


@pytest.mark.parametrize("block", PYTHON, ids=["langchain", "llama_index", "core"])
def test_python_block(block: str, base_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run as it stands, against the toy; the right text comes out on top."""
    names = {"retriever": Nodes() if "llama_index" in block else Texts(), "llm": MockLLM()}
    assert URL in block
    exec(compile(block.replace(URL, base_url), "README.md", "exec"), names)  # noqa: S102 - the README's own code
    printed = capsys.readouterr().out
    assert "Beijing" in printed or printed.startswith("1 "), printed
    assert "Gravity" not in printed


def test_two_commands_are_in_the_makefile() -> None:
    """`make demo` and `make test` exist and do their own set-up."""
    for line in SHELL[0].splitlines():
        words = shlex.split(line, comments=True)
        planned = subprocess.run([*words, "-n", "-B"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert "-m venv" in planned
        assert "pip install" in planned


def test_serving_block(base_url: str, causal_toy: Path, tmp_path: Path) -> None:
    """convert and check run as written (the toy for the hub's name); the launch line is what convert suggests."""
    convert, launch, check = (shlex.split(line) for line in SHELL[1].splitlines())
    target = str(tmp_path / "reranker")
    swap = {"Qwen/Qwen3-Reranker-0.6B": str(causal_toy), "./reranker": target, URL: base_url}
    made = CliRunner().invoke(app, [swap.get(word, word) for word in convert[1:]])
    assert made.exit_code == 0, made.output
    assert " ".join(swap.get(word, word) for word in launch[:-2]) in made.output
    said = CliRunner().invoke(app, [swap.get(word, word) for word in check[1:]])
    assert said.exit_code == 0, said.output
    assert "usable" in said.output


def test_it_is_short() -> None:
    """A README is read in five minutes; what doesn't fit belongs to a page of docs/."""
    assert len(README.split()) < 900


def test_both_languages_say_the_same() -> None:
    """The Chinese README has the code blocks that were run above, the same sections, and the same links."""
    assert BLOCK.findall(CHINESE) == BLOCK.findall(README)
    prose = [BLOCK.sub("", text) for text in (README, CHINESE)]
    assert len({tuple(re.findall(r"^(#+) ", text, re.MULTILINE)) for text in prose}) == 1
    english, chinese = (set(re.findall(r"\]\(([^)]+)\)", text)) for text in prose)
    assert english ^ chinese == {"README.md", "README.zh-CN.md"}
    assert len({tuple(sorted(set(re.findall(r"`[^`\n]+`", text)))) for text in prose}) == 1
    assert len({tuple(sorted(re.findall(r"\d[\d.,]*\d|\d", text))) for text in prose}) == 1
