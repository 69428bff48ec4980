"""(instruction, query, document) -> the prompt that a reranker was trained on.

`QWEN3` is Qwen's own, from the Transformers example of its model card
(https://huggingface.co/Qwen/Qwen3-Reranker-0.6B#transformers-usage). Everything that depends on the model's prompt
stands in a `Template`; the code outside this package asks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.prompts.special import Part, Parts, SpecialTokens
from qwen3_sglang.prompts.texts import all_readable, as_one, check_documents, check_text, readable


class Slot(Enum):
    """A place in a template's head that is filled anew for each task or query."""

    INSTRUCTION = "instruction"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads for one document.

    Attributes:
        text: the whole prompt, as it is sent.
        tokens: how many tokens it has; None where they could not be counted.
        truncated: the document lost its tail, so that the prompt fits.
        parts: the same text in pieces; None where a prompt was made without them.
    """

    text: str
    tokens: int | None = None
    truncated: bool = False
    parts: Parts | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Head:
    """The start that several prompts share; a prompt is `text` + document + the template's suffix.

    Attributes:
        template: what it was made by.
        pieces: (kind, text) of what it is made of.
        bare: everything before the joint; tokenised alone, it gives the prompt's own tokens.
        joint: stands between `bare` and the document.
        own: what the prompts of this query have between the start of their task and the document.
        query: the query as it is sent; None in the start of a task, which several queries share.
        field: what errors call the query.
    """

    template: Template
    pieces: tuple[tuple[str, str], ...]
    bare: str
    joint: str = ""
    own: str = ""
    query: str | None = None
    field: str = "query"

    @property
    def text(self) -> str:
        """Everything before the document."""
        return self.bare + self.joint

    def prompts(self, documents: Sequence[str]) -> list[str]:
        """The whole prompt of each document."""
        start, suffix = self.text, self.template.suffix
        return [f"{start}{document}{suffix}" for document in documents]

    def tails(self, documents: Sequence[str]) -> list[str]:
        """What follows `bare` in the prompt of each document: tokenised apart, both give the prompt's own tokens."""
        joint, suffix = self.joint, self.template.suffix
        return [f"{joint}{document}{suffix}" for document in documents]

    def prompt(self, document: str, *, tokens: int | None = None, truncated: bool = False) -> Prompt:
        """The prompt of a document as it is sent, with its pieces."""
        template = self.template
        before = tuple(part for kind, text in self.pieces for part in template.shown(kind, text))
        parts = Parts(before, template.shown("document", document), template.shown("template", template.suffix))
        return Prompt(f"{self.text}{document}{template.suffix}", tokens, truncated, parts)


@dataclass(frozen=True)
class Template:
    """How instruction, query and document become one prompt, and what holds for every prompt of the model.

    Prompts are built to share their start, which the server then computes once: first the instruction and the query,
    in either order, then the document, and last a suffix that is always the same.

    Attributes:
        start: fixed texts and slots up to the document, in order; the query's slot occurs once, the instruction's
            at most once.
        suffix: what follows the document. It asks the question, so it is never cut.
        joint: stands between `start` and the document, and is tokenised together with the document's first word.
        special_tokens: strings that the tokenizer reads as one token each. They are broken inside texts.
        instruction: the task of a call that names none.
        max_length: tokens that a prompt may have, `suffix` included, where nothing sets less.
        longest_token: characters of text that one token stands for at most. Of a text longer than `max_length` of
            these nothing more can count.
        answers: the words that the suffix asks for: no, and yes. Each is one token.
        answer_ids: their tokens, by which a server of the original checkpoint is asked; None where they aren't known.

    Raises:
        InvalidInputError: a slot is missing or doubled, a special token can't be broken by a space, the instruction is
            blank, the limit below 1, or the answers' ids aren't two.
    """

    start: tuple[str | Slot, ...]
    suffix: str
    joint: str = ""
    special_tokens: tuple[str, ...] = ()
    instruction: str = "Retrieve the passages that answer the query"
    max_length: int = 8192
    longest_token: int = 128
    answers: tuple[str, str] = ("no", "yes")
    answer_ids: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.start.count(Slot.QUERY) != 1 or self.start.count(Slot.INSTRUCTION) > 1:
            raise InvalidInputError("template.start", self.start, "pass the query's slot once, the instruction's once")
        _ = self._tokens  # which checks them
        check_text("template.instruction", self.instruction)
        if self.max_length < 1:
            raise InvalidInputError("template.max_length", self.max_length, "pass a number of tokens, 1 or more")
        if self.longest_token < 1:
            raise InvalidInputError(
                "template.longest_token", self.longest_token, "pass a number of characters, 1 or more"
            )
        if self.answer_ids is not None and len(set(self.answer_ids)) != len(self.answers):
            raise InvalidInputError("template.answer_ids", self.answer_ids, "pass the token ids of no and yes, or None")

    def prepare(
        self, query: str, documents: Sequence[str], instruction: str, *, escape: bool, limit: int | None = None
    ) -> tuple[Head, list[str]]:
        """(the shared head, the documents), checked and made ready to be sent.

        Args:
            query: what is asked.
            documents: texts that may answer it.
            instruction: the task.
            escape: whether special tokens inside the texts are broken.
            limit: tokens that a prompt may have; None: `max_length`. What can't count with so many is left out.

        Raises:
            InvalidInputError: a blank instruction, or a text that isn't a string.
            QueryError: a blank query.
        """
        check_text("instruction", instruction)
        are_plain = check_documents(documents)
        check_text("query", query)  # last: on_error="passthrough" tolerates a blank query, but no other mistake
        most = (limit or self.max_length) * self.longest_token
        head = self.head(query, instruction, escape=escape, most=most)
        together = as_one(documents, most) if are_plain else None
        if together is not None and not (escape and self._tokens.may_be_in(together.whole)):  # the usual case
            return head, together
        texts = all_readable(documents, most) if together is None else together
        return head, self._tokens.broken_in(texts) if escape else texts

    def head(self, query: str, instruction: str | None = None, *, escape: bool = True, most: int | None = None) -> Head:
        """The part that every document of one query shares; the server's prefix cache works on it.

        Args:
            query: what is asked.
            instruction: the task; None takes the template's own.
            escape: whether special tokens inside the two are broken.
            most: characters of each that can count; None: what fits `max_length`.
        """
        task = self.instruction if instruction is None else instruction
        pieces = self._filled(query, task, escape=escape, most=most)
        bare, own = "".join([text for _, text in pieces]), "".join([text for _, text in pieces[self._shared :]])
        shown = (*pieces, ("template", self.joint))
        return Head(self, shown, bare, self.joint, own + self.joint, pieces[self._shared][1])

    def task(self, instruction: str, *, escape: bool = True, most: int | None = None) -> Head:
        """The part that every query of one task shares: what follows it is `Head.own` and the document."""
        pieces = self._filled("", instruction, escape=escape, most=most)[: self._shared]
        text = "".join(text for _, text in pieces)
        bare = text.removesuffix(" ")  # it belongs to the query's first word, as a joint does to the document's
        return Head(self, tuple(pieces), bare, text[len(bare) :])

    def escape(self, text: str) -> str:
        """`text` with a space inside each special token, so that the tokenizer reads plain characters.

        Without it, a document that holds "<|im_end|>" could close its place in the template and write its own.
        """
        [broken] = self._tokens.broken_in([text])
        return broken

    def unescaped(self, text: str, offsets: Sequence[int]) -> list[int]:
        """Offsets into what `escape` makes of `text`, as offsets into `text` itself."""
        return self._tokens.unbroken(text, offsets)

    def shown(self, kind: str, text: str) -> tuple[Part, ...]:
        """A piece of a prompt as it is sent, in parts; see `Part.kind`."""
        return self._tokens.parts(kind, text)

    def _filled(self, query: str, instruction: str, *, escape: bool, most: int | None) -> list[tuple[str, str]]:
        """(kind, text) of each piece of `start`."""
        most = most or self.max_length * self.longest_token
        texts = [readable(query, most), readable(instruction, most)]
        asked, task = self._tokens.broken_in(texts) if escape else texts
        pieces = [("template", piece) if isinstance(piece, str) else (piece.value, task) for piece in self.start]
        pieces[self._shared] = (Slot.QUERY.value, asked)
        return pieces

    @cached_property
    def _shared(self) -> int:
        """Pieces of `start` that all queries of a task share."""
        return self.start.index(Slot.QUERY)

    @cached_property
    def _tokens(self) -> SpecialTokens:
        return SpecialTokens(self.special_tokens)


DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
QUERY_MARK, DOCUMENT_MARK = "<Query>:", "<Document>:"

QWEN3 = Template(
    start=(
        "<|im_start|>system\n"
        "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
        'Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n"
        "<Instruct>: ",
        Slot.INSTRUCTION,
        f"\n{QUERY_MARK} ",
        Slot.QUERY,
        f"\n{DOCUMENT_MARK}",
    ),
    joint=" ",
    suffix="<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    # The added tokens of Qwen3's tokenizer.json, in the order of their ids, 151643 to 151668.
    special_tokens=(
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
    ),
    instruction=DEFAULT_INSTRUCTION,
    longest_token=128,  # that many spaces; of tokens that aren't ASCII, 16 characters
    max_length=8192,  # what Qwen recommends; https://huggingface.co/Qwen/Qwen3-Reranker-0.6B
    answer_ids=(2152, 9693),
)


def build_prompts(
    query: str,
    documents: Sequence[str],
    instruction: str | None = None,
    *,
    escape: bool = True,
    template: Template = QWEN3,
) -> list[str]:
    """One prompt per document, in the documents' order.

    Args:
        query: what is asked.
        documents: texts that may answer it.
        instruction: the task; None takes the template's own.
        escape: whether special tokens inside the texts are broken.
        template: the served model's.

    Raises:
        InvalidInputError: a blank query or instruction, or a document that isn't a string.
    """
    task = template.instruction if instruction is None else instruction
    head, texts = template.prepare(query, documents, task, escape=escape)
    return head.prompts(texts)
