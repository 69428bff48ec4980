"""The template, character by character, and what may go into it."""

from __future__ import annotations

import pytest

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.prompt import build_prompts

EXPECTED = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    "provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
    "<Query>: What is the capital of China?\n<Document>: Beijing.<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


def test_template_is_qwens_own() -> None:
    """The exact prompt of Qwen's Transformers example."""
    assert build_prompts("What is the capital of China?", ["Beijing."]) == [EXPECTED]


def test_instruction_is_changeable() -> None:
    """Another task takes the instruction's place and nothing else's."""
    [prompt] = build_prompts("q", ["d"], "Find code")
    assert "<Instruct>: Find code\n<Query>: q\n<Document>: d<|im_end|>" in prompt


@pytest.mark.parametrize(
    ("query", "documents", "instruction", "field"),
    [
        ("", ["d"], "i", "query"),
        (" \n\t", ["d"], "i", "query"),
        (None, ["d"], "i", "query"),
        ("q", ["d"], "  ", "instruction"),
        ("q", ["d", 7], "i", "documents[1]"),
        ("q", [None], "i", "documents[0]"),
        ("q", "one text", "i", "documents"),
        ("q", {"d"}, "i", "documents"),
        ("q\ud800", ["d"], "i", "query"),
        ("q", ["\udfff"], "i", "documents[0]"),
    ],
)
def test_bad_input_names_the_field(query: object, documents: object, instruction: str, field: str) -> None:
    """Each refusal names what is wrong and what to pass."""
    with pytest.raises(InvalidInputError, match=r"pass|remove") as caught:
        build_prompts(query, documents, instruction)  # type: ignore[arg-type]
    assert caught.value.field == field
