"""docs/observability.md says what is so: every block runs, and prints what the page shows."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("openinference.instrumentation.langchain")
pytest.importorskip("openinference.instrumentation.llama_index")
pytest.importorskip("opentelemetry.instrumentation.aiohttp_client")
pytest.importorskip("opentelemetry.instrumentation.requests")

from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor

from notebooks import run_cells

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
PACKAGES = ("qwen3_sglang", "langchain_qwen3_sglang", "llama_index_qwen3_sglang")


@pytest.fixture
def as_before() -> Iterator[None]:
    """The page instruments the whole process, and logs."""
    handlers = list(logging.getLogger("qwen3_sglang").handlers)
    yield
    logging.getLogger("qwen3_sglang").handlers = handlers
    for one in (LangChainInstrumentor, LlamaIndexInstrumentor, AioHttpClientInstrumentor, RequestsInstrumentor):
        one().uninstrument()


def without_scores(text: str) -> str:
    """The model behind the tests may be another than the page's."""
    return re.sub(r"0\.\d{3,}", "0.…", text)


@pytest.mark.usefixtures("as_before")
async def test_the_page_runs_and_prints_what_it_shows(toy_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every block, one after the other, against the toy."""
    cells = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    shown = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    named = await run_cells(cells, {"http://127.0.0.1:30000": toy_url}, "observability.md")
    for one in ("rerank", "reranker"):
        await named[one].aclose()
    assert without_scores(capsys.readouterr().out) == without_scores("".join(shown))


def test_every_logger_is_on_the_page() -> None:
    """Those of the command apart, and of what runs a server."""
    inner = {"cli", "convert", "evaluate", "local", "playground", "serving", "toy", "check"}
    loggers = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "getLogger(__name__)" in path.read_text(encoding="utf-8") and not inner & set(path.relative_to(ROOT).parts)
    }
    assert loggers
    assert [name for name in loggers if f"`{name}`" not in PAGE] == []
