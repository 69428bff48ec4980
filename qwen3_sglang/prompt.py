"""(instruction, query, document) -> the prompt Qwen3-Reranker was trained on.

The template is Qwen's own, from the Transformers example of its model card
(https://huggingface.co/Qwen/Qwen3-Reranker-0.6B#transformers-usage).
"""

from __future__ import annotations

from collections.abc import Sequence

from qwen3_sglang.errors import InvalidInputError

DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"

PREFIX = (
    "<|im_start|>system\n"
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


def prompt_head(query: str, instruction: str = DEFAULT_INSTRUCTION) -> str:
    """The part that every document of one call shares; the server's prefix cache works on it."""
    return f"{PREFIX}<Instruct>: {instruction}\n<Query>: {query}\n<Document>: "


def build_prompts(query: str, documents: Sequence[str], instruction: str = DEFAULT_INSTRUCTION) -> list[str]:
    """One prompt a document, in the documents' order.

    Raises:
        InvalidInputError: a blank query or instruction, or a document that isn't a string.
    """
    check_text("query", query)
    check_text("instruction", instruction)
    check_documents(documents)
    head = prompt_head(query, instruction)
    return [f"{head}{document}{SUFFIX}" for document in documents]


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
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            raise InvalidInputError(f"documents[{index}]", document, "pass a string")
        _check_encodable(f"documents[{index}]", document)


def _check_encodable(field: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        remedy = 'remove the lone surrogates, for example text.encode("utf-8", "replace").decode()'
        raise InvalidInputError(field, value, remedy) from None
