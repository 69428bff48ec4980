"""Documents made ready for lists that the server turns into one sequence of tokens (multi-item scoring). No I/O.

The sequence is the query, then a delimiter and the item for each document, then a last delimiter. The server refuses
one that isn't shorter than its context, so what each document takes in it must be known before lists are made.

With a tokenizer on this machine all of that is exact, and token ids are sent, which the server needn't compute on the
thread that all its requests share. Without one, texts are sent, and tokens are estimated from bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from qwen3_sglang.prompts import truncate
from qwen3_sglang.prompts.template import Head
from qwen3_sglang.prompts.tokenizer import TokenizerFailedError
from qwen3_sglang.prompts.truncate import Fitted, Tokenizer
from qwen3_sglang.protocol.exchange import Steps, computed
from qwen3_sglang.protocol.tokenizing import TokenCounter

DELIMITER = 1  # token before each item, and after the last one
_PORTION = 2**20  # characters that are tokenised in one go, by all cores
_BYTES_PER_TOKEN = 2  # text has 3 to 5; a list whose estimate is too low is refused, and halved
_WINDOW = 8  # as in `truncate`: characters per token, generously


@dataclass(frozen=True, slots=True)
class Item:
    """What follows the query for one document.

    Attributes:
        sent: as it is sent: a text, or token ids.
        tokens: what it takes in a list, its delimiter included.
        truncated: the document lost its tail, so that its prompt fits.
    """

    sent: str | list[int]
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Packable:
    """Documents of one head, ready for lists.

    Attributes:
        query: what all of them share, as it is sent: a text, or token ids.
        tokens: what it takes in a list, the last delimiter included.
        items: by document.
    """

    query: str | list[int]
    tokens: int
    items: dict[str, Item]


def make_packable(counter: TokenCounter, head: Head, documents: Sequence[str], limit: int) -> Steps[Packable]:
    """The documents, cut where a prompt would have more than `limit` tokens.

    Raises:
        QueryError: the query and the instruction leave no room for a document.
        InvalidInputError: the tokenizer isn't the model's.
        ServerError: the server's tokenizer can't be asked, or its answers make no sense.
    """
    if counter.tokenizer is not None:
        try:
            return (yield from _in_ids(counter, counter.tokenizer, head, documents, limit))
        except TokenizerFailedError:  # what the counter does then, it logs
            pass
    return (yield from _in_text(counter, head, documents, limit))


def _in_text(counter: TokenCounter, head: Head, documents: Sequence[str], limit: int) -> Steps[Packable]:
    fitted = yield from counter.fit(head, documents, limit)
    tails = head.tails([one.text for one in fitted])
    items = {
        document: Item(tail, _estimate(tail) + DELIMITER, one.truncated)
        for document, tail, one in zip(documents, tails, fitted, strict=True)
    }
    return Packable(head.bare, _estimate(head.bare) + DELIMITER, items)


def _estimate(text: str) -> int:
    return len(text.encode()) // _BYTES_PER_TOKEN + 1


def _in_ids(
    counter: TokenCounter, tokenizer: Tokenizer, head: Head, documents: Sequence[str], limit: int
) -> Steps[Packable]:
    if len(head.bare) > limit * _WINDOW:  # mostly too long by far, which `fit` finds out before it tokenises the rest
        yield from counter.fit(head, documents[:1], limit)
    query = list[int]()
    items: dict[str, Item] = {}
    for part in truncate.portions(documents, limit, _PORTION):
        query, suffix, whole = yield from computed(partial(_tokenised, tokenizer, head, documents[part], limit))
        room = limit - len(query) - len(suffix)
        longer = [document for document in documents[part] if not _fits(whole.get(document), room)]
        cut = yield from _cut(counter, tokenizer, head, longer, limit)
        for document in documents[part]:
            body, truncated = cut.get(document) or (whole[document], False)
            items[document] = Item([*body, *suffix], len(body) + len(suffix) + DELIMITER, truncated)
    return Packable(query, len(query) + DELIMITER, items)


def _tokenised(
    tokenizer: Tokenizer, head: Head, documents: Sequence[str], limit: int
) -> tuple[list[int], list[int], dict[str, list[int]]]:
    """Token ids of the query, of the suffix, and of joint and document, by document.

    There are none of a document that is too long to look at the whole of it. All in one go: whoever waits for a thread
    waits once.
    """
    short = [text for text in documents if len(text) < limit * _WINDOW]
    bodies = [f"{head.joint}{text}" for text in short]
    query, suffix, *found = tokenizer.encode([head.bare, head.template.suffix, *bodies])
    return query, suffix, dict(zip(short, found, strict=True))


def _fits(ids: list[int] | None, room: int) -> bool:
    return ids is not None and len(ids) <= room


def _cut(
    counter: TokenCounter, tokenizer: Tokenizer, head: Head, documents: Sequence[str], limit: int
) -> Steps[dict[str, tuple[list[int], bool]]]:
    """Document -> (token ids of joint and document, whether it was cut), of documents that may be too long."""
    if not documents:
        return {}
    fitted: list[Fitted] = yield from counter.fit(head, documents, limit)
    bodies = [f"{head.joint}{one.text}" for one in fitted]
    ids = yield from computed(partial(tokenizer.encode, bodies))
    return {document: (found, one.truncated) for document, found, one in zip(documents, ids, fitted, strict=True)}


def packed(documents: Sequence[str], ready: Packable, room: int, most: int) -> list[list[str]]:
    """Lists of at most `most` documents and `room` tokens, in the documents' order; a long document is alone.

    A document that takes more than half of a list would make every other one in it wait for a sequence that is mostly
    its own.
    """
    room -= ready.tokens
    together: list[list[str]] = [[]]
    alone: list[list[str]] = []
    left = room
    for document in documents:
        tokens = ready.items[document].tokens
        if 2 * tokens > room:
            alone.append([document])
            continue
        if tokens > left or len(together[-1]) >= most:
            together.append([])
            left = room
        together[-1].append(document)
        left -= tokens
    return [part for part in chain(together, alone) if part]
