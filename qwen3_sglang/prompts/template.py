"""(instruction, query, document) -> the prompt Qwen3-Reranker was trained on.

The template is Qwen's own, from the Transformers example of its model card
(https://huggingface.co/Qwen/Qwen3-Reranker-0.6B#transformers-usage).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qwen3_sglang.errors import InvalidInputError

DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"

PREFIX = (
    "<|im_start|>system\n"
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"

# The added tokens of Qwen3's tokenizer.json, in the order of their ids, 151643 to 151668.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
# One pass is enough: each has its only "<" at its start and none has a space, so two can't overlap and
# breaking one can't make another.
_SPECIAL = re.compile("<(?=(?:" + "|".join(re.escape(token[1:]) for token in SPECIAL_TOKENS) + "))")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads for one document.

    Attributes:
        text: the whole prompt, as it is sent.
        tokens: how many tokens it has; None where nobody could count them.
        truncated: the document lost its tail, so that the prompt fits.
    """

    text: str
    tokens: int | None = None
    truncated: bool = False


def escape_special_tokens(text: str) -> str:
    """`text` with a space after the "<" of each special token, so that the tokenizer reads plain characters.

    Without it, a document that holds "<|im_end|>" could close its place in the template and write its own.
    """
    return _SPECIAL.sub("< ", text) if "<" in text else text


def task_head(instruction: str = DEFAULT_INSTRUCTION) -> str:
    """The part that every query of one task shares."""
    return f"{PREFIX}<Instruct>: {instruction}\n<Query>: "


def prompt_head(query: str, instruction: str = DEFAULT_INSTRUCTION) -> str:
    """The part that every document of one query shares; the server's prefix cache works on it."""
    return f"{task_head(instruction)}{query}\n<Document>: "


def prepare(query: str, documents: Sequence[str], instruction: str, *, escape: bool) -> tuple[str, list[str]]:
    """(the shared head, the documents), checked, and their special tokens broken where `escape` says so.

    A prompt is head + document + SUFFIX.

    Raises:
        InvalidInputError: a blank query or instruction, or a document that isn't a string.
    """
    check_text("query", query)
    check_text("instruction", instruction)
    check_documents(documents)
    query, instruction, texts = plain(query), plain(instruction), list(map(plain, documents))
    if not escape:
        return prompt_head(query, instruction), texts
    head = prompt_head(escape_special_tokens(query), escape_special_tokens(instruction))
    return head, [escape_special_tokens(text) if "<" in text else text for text in texts]


# A string subclass as the string that it is: an enum or Jinja's Markup turns into other text where it is put together.
plain: Callable[[str], str] = str.__str__


def build_prompts(
    query: str, documents: Sequence[str], instruction: str = DEFAULT_INSTRUCTION, *, escape: bool = True
) -> list[str]:
    """One prompt a document, in the documents' order.

    Raises:
        InvalidInputError: a blank query or instruction, or a document that isn't a string.
    """
    head, texts = prepare(query, documents, instruction, escape=escape)
    return [f"{head}{text}{SUFFIX}" for text in texts]


def check_text(field: str, value: object) -> None:
    """Refuse what can't be asked about: not a string, or nothing but white space."""
    if not isinstance(value, str):
        raise InvalidInputError(field, value, "pass a string")
    if not value.strip():
        raise InvalidInputError(field, value, "pass a text that isn't blank")
    _check_encodable(field, value)


def check_documents(documents: object) -> None:
    """Refuse one string (it would be read letter by letter) and any item that isn't a string."""
    if isinstance(documents, (str, bytes)) or not isinstance(documents, Sequence):
        raise InvalidInputError("documents", documents, "pass a list of strings")
    try:
        if all(map(str.isascii, documents)):  # the usual case, in a third of the time
            return
    except TypeError:
        pass
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            raise InvalidInputError(f"documents[{index}]", document, "pass a string")
        if not document.isascii():
            _check_encodable(f"documents[{index}]", document)


def _check_encodable(field: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        remedy = 'remove the lone surrogates, for example text.encode("utf-8", "replace").decode()'
        raise InvalidInputError(field, value, remedy) from None
