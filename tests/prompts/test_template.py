"""The template, character by character, and what may go into it; special tokens (`special`) are broken there.

Tests of `prompts/special.py`.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.prompts.template import QWEN3, Prompt, Slot, Template, build_prompts
from qwen3_sglang.prompts.texts import SLICE
from qwen3_sglang.scoring.queries import prepare_many

EXPECTED = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    "provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
    "<Query>: What is the capital of China?\n<Document>: Beijing.<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
FIXED = [piece for piece in QWEN3.start if isinstance(piece, str)]
FRAME = "".join(FIXED) + QWEN3.suffix


def test_template_is_qwens_own() -> None:
    """The exact prompt of Qwen's Transformers example."""
    assert build_prompts("What is the capital of China?", ["Beijing."]) == [EXPECTED]


def test_the_models_own_figures() -> None:
    """The length that Qwen recommends, the longest token of its vocabulary, and its tokens for "no" and "yes"."""
    assert (QWEN3.max_length, QWEN3.longest_token) == (8192, 128)
    assert dict(zip(QWEN3.answers, QWEN3.answer_ids or (), strict=True)) == {"no": 2152, "yes": 9693}


def test_a_template_of_ones_own_has_the_same_limits() -> None:
    """Where it names none; the ids of its answers aren't known."""
    own = Template((Slot.QUERY,), "?")
    assert (own.max_length, own.longest_token, own.answers, own.answer_ids) == (8192, 128, ("no", "yes"), None)
    assert (own.joint, own.special_tokens) == ("", ())


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
    ],
)
def test_bad_input_names_the_field(query: object, documents: object, instruction: str, field: str) -> None:
    """Each refusal names what is wrong and what to pass."""
    with pytest.raises(InvalidInputError, match="pass") as caught:
        build_prompts(query, documents, instruction)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_what_utf_8_cannot_hold_is_replaced() -> None:
    """In each of the three texts; all else stays."""
    [prompt] = build_prompts("q\ud800?", ["\udfff é \ud83d\ude00 <\udc00|im_end|>"], "i\udc80")
    assert (
        "<Instruct>: i\ufffd\n<Query>: q\ufffd?\n<Document>: \ufffd é \ufffd\ufffd <\ufffd|im_end|><|im_end|>" in prompt
    )


def test_breaking_in_parts_is_breaking_in_one() -> None:
    """Long texts are worked on in slices; a token on the border of two is broken too."""
    for offset in range(14):
        text = "x" * (SLICE - offset) + "<|im_end|>" + "y" * SLICE + "<think>"
        assert QWEN3.escape(text) == text.replace("<|", "< |").replace("<t", "< t")


@pytest.fixture(scope="module")
def tokenizer(causal_toy: Path) -> Any:
    """The toy's: Qwen's split, normaliser and special tokens."""
    return Tokenizer.from_file(str(causal_toy / "tokenizer.json"))


def special_ids(tokenizer: Any, text: str) -> list[int]:
    """The special tokens that `text` is read as."""
    special = {tokenizer.token_to_id(token) for token in QWEN3.special_tokens}
    assert None not in special
    return [token for token in tokenizer.encode(text, add_special_tokens=False).ids if token in special]


def pieces() -> list[str]:
    """What an attacker would build from: whole special tokens, their parts, and the template's own marks."""
    halves = [token[:cut] for token in QWEN3.special_tokens for cut in (1, 2, 4, -1)]
    rest = [token[cut:] for token in QWEN3.special_tokens for cut in (1, 2, 4, -1)]
    marks = [*FIXED, QWEN3.suffix, "<Query>:", "<Document>:", "\n", " ", "\u200b", "\u0338", "\uff1c", "e\u0301"]
    return [*QWEN3.special_tokens, *halves, *rest, *marks]


HOSTILE = st.lists(st.one_of(st.sampled_from(pieces()), st.text(max_size=3)), min_size=1, max_size=12).map("".join)
TEXTS = HOSTILE.filter(str.strip)


@given(query=TEXTS, document=HOSTILE, instruction=TEXTS)
def test_only_the_templates_own_special_tokens(tokenizer: Any, query: str, document: str, instruction: str) -> None:
    """Whatever the texts hold, the prompt's ids have the template's special tokens and no other."""
    [prompt] = build_prompts(query, [document], instruction)
    assert special_ids(tokenizer, prompt) == special_ids(tokenizer, FRAME)


@given(document=HOSTILE)
def test_breaking_loses_no_text(document: str) -> None:
    """A space after a "<" is all that changes, and breaking twice changes nothing more."""
    broken = QWEN3.escape(document)
    assert broken.replace(" ", "") == document.replace(" ", "")
    assert QWEN3.escape(broken) == broken


def test_broken_tokens_stay_readable() -> None:
    """What is special is broken; what only looks like it isn't touched."""
    assert QWEN3.escape("a <|im_end|> b </think> <b> <|x|> <think >") == (
        "a < |im_end|> b < /think> <b> <|x|> <think >"
    )


def test_escaping_can_be_turned_off(tokenizer: Any) -> None:
    """For texts that were made harmless before."""
    [prompt] = build_prompts("q", ["<|im_end|>"], escape=False)
    assert len(special_ids(tokenizer, prompt)) == len(special_ids(tokenizer, FRAME)) + 1


@given(
    documents=st.lists(HOSTILE | st.sampled_from(["<|im_", "end|>", "\ud83d", "\ude00", "", "plain"])),
    escape=st.booleans(),
)
def test_documents_are_read_as_each_alone_is(documents: list[str], escape: bool) -> None:
    """Looking at all of them as one finds neither more nor less."""
    alone = [QWEN3.prepare("q", [one], "task", escape=escape)[1][0] for one in documents]
    assert QWEN3.prepare("q", documents, "task", escape=escape)[1] == alone


def test_normalising_makes_no_special_token() -> None:
    """Qwen's tokenizer normalises to NFC; no other character becomes one that special tokens are made of."""
    letters = set("".join(QWEN3.special_tokens))
    made = [c for c in map(chr, range(128, 0x110000)) if set(unicodedata.normalize("NFC", c)) & letters]
    assert made == []


class Loud(str):
    """As an enum of strings or Jinja's Markup: other text once it is put together with something."""

    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"

    def __format__(self, spec: str) -> str:
        return "LOUD"

    def __radd__(self, other: str) -> str:
        return "LOUD"


@pytest.mark.parametrize("escape", [True, False])
def test_subclasses_are_read_as_the_strings_they_are(escape: bool) -> None:
    """Of one query and of several."""
    wanted = build_prompts("q", ["a", "b"], "task", escape=escape)
    assert build_prompts(Loud("q"), [Loud("a"), Loud("b")], Loud("task"), escape=escape) == wanted
    plain, loud = (
        prepare_many(
            QWEN3, [(kind("q"), [kind("a"), kind("b")]), ("r", ["c"])], kind("task"), escape=escape, field="queries"
        )
        for kind in (str, Loud)
    )
    assert [group.texts for group in loud.groups(300)] == [group.texts for group in plain.groups(300)]
    assert loud.groups(8192) == plain.groups(8192)


@given(query=TEXTS, document=HOSTILE, instruction=TEXTS)
def test_the_parts_are_the_prompt(query: str, document: str, instruction: str) -> None:
    """Joined they are what is sent; only the template's own special tokens count as special."""
    head, [text] = QWEN3.prepare(query, [document], instruction, escape=True)
    prompt = head.prompt(text)
    assert prompt.parts is not None
    parts = [part for some in prompt.parts for part in some]
    assert "".join(part.text for part in parts) == prompt.text == build_prompts(query, [document], instruction)[0]
    assert "".join(part.text for part in parts if part.kind == "special") == (
        "<|im_start|><|im_end|><|im_start|><|im_end|><|im_start|><think></think>"
    )


def test_parts_are_no_part_of_a_prompts_identity() -> None:
    """A prompt made by hand equals the one that was sent, and shows no more."""
    prompt = QWEN3.head("q").prompt("d", tokens=3)
    assert prompt == Prompt(prompt.text, 3)
    assert repr(prompt) == repr(Prompt(prompt.text, 3))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"start": ("no slot",)}, "template.start"),
        ({"start": (Slot.QUERY, " ", Slot.QUERY)}, "template.start"),
        ({"start": (Slot.INSTRUCTION, Slot.QUERY, Slot.INSTRUCTION)}, "template.start"),
        ({"start": (Slot.QUERY,), "special_tokens": ("x",)}, "template.special_tokens"),
        ({"start": (Slot.QUERY,), "special_tokens": ("< s>",)}, "template.special_tokens"),
        ({"start": (Slot.QUERY,), "instruction": " "}, "template.instruction"),
        ({"start": (Slot.QUERY,), "max_length": 0}, "template.max_length"),
        ({"start": (Slot.QUERY,), "longest_token": 0}, "template.longest_token"),
        ({"start": (Slot.QUERY,), "answer_ids": (5, 5)}, "template.answer_ids"),
        ({"start": (Slot.QUERY,), "answer_ids": (5,)}, "template.answer_ids"),
        ({"start": (Slot.QUERY,), "answer_ids": (5, 6, 7)}, "template.answer_ids"),
    ],
)
def test_a_template_that_cannot_work_is_named(options: dict[str, Any], field: str) -> None:
    """When it is made, not at the first prompt."""
    with pytest.raises(InvalidInputError, match="pass") as caught:
        Template(**{"suffix": "?", **options})
    assert caught.value.field == field


def test_the_least_template() -> None:
    """One token of one character, and a special token of two."""
    least = Template((Slot.QUERY,), "?", special_tokens=("ab",), max_length=1, longest_token=1)
    assert least.escape("xaby") == "xa by"


def test_only_what_can_count_is_kept() -> None:
    """Of each text, by the call's limit or the template's own: 2 characters per token."""
    small = Template((Slot.INSTRUCTION, "|", Slot.QUERY, "|"), ".", max_length=5, longest_token=2)
    long = "0123456789abc"
    for limit, kept in ((3, "012345"), (None, "0123456789"), (6, "0123456789ab")):
        head, texts = small.prepare(long, [long, "d"], long, escape=False, limit=limit)
        assert (head.text, texts) == (f"{kept}|{kept}|", [kept, "d"])
    assert small.head(long, long).text == "0123456789|0123456789|"
    assert small.head(long, long, most=4).text == "0123|0123|"
    assert small.task(long).text == "0123456789|"
    assert small.task(long, most=4).text == "0123|"


def test_an_error_shows_even_what_has_no_repr() -> None:
    """The value is the caller's."""

    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(InvalidInputError) as caught:
        build_prompts("q", [Shy()])  # type: ignore[list-item]
    assert str(caught.value) == "documents[0]=<Shy>: pass a string"
