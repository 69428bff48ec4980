"""docs/long_documents.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qwen3_sglang.settings import OPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "long_documents.md").read_text(encoding="utf-8")
URL = "http://127.0.0.1:30000"


def test_the_page_runs_and_prints_what_it_shows(toy_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every block, one after the other, against the toy."""
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        assert URL in block
        code = compile(block.replace(URL, toy_url), "long_documents.md", "exec")
        exec(code, names)  # noqa: S102 - the page's own code
    assert capsys.readouterr().out == "".join(re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def test_defaults_are_the_tables() -> None:
    """As the table of options has them."""
    for name, value in re.findall(r"`(chunk_overlap|max_chunks)` (?:\w+ )?\((\d+)\)", PAGE):
        assert OPTIONS[name].default == int(value)
    assert f"chunk_overlap` tokens ({OPTIONS['chunk_overlap'].default})" in PAGE
    assert f"max_chunks` chunks ({OPTIONS['max_chunks'].default})" in PAGE
