"""A tokenizer on this machine, for cutting long documents without asking the server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwen3_sglang.errors import InvalidInputError, MissingDependencyError

_PARALLEL = "TOKENIZERS_PARALLELISM"
_PANIC = "PanicException"  # what Rust's panics become: a BaseException that can't be imported


class TokenizerFailedError(Exception):
    """The library failed on these texts; says why. It never leaves the client: documents are cut by bytes then."""


class LocalTokenizer:
    """A checkpoint's tokenizer.json, read by the `tokenizers` library."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, nothing added.

        Raises:
            TokenizerFailedError: the library fails on one of them.
        """
        with _failures():
            if _alone():
                return [self._tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
            # "fast" leaves out where each token begins and ends, a fifth of the work
            return [found.ids for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: list[list[int]]) -> list[str]:
        """Text of each list of ids, special tokens included.

        Raises:
            TokenizerFailedError: the library fails on one of them.
        """
        with _failures():
            if _alone():
                return [self._tokenizer.decode(row, skip_special_tokens=False) for row in ids]
            return list(self._tokenizer.decode_batch(ids, skip_special_tokens=False))


_forked: list[bool] = []  # one entry in a forked child
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _forked.append(True))


def _alone() -> bool:
    """Whether texts must be read one by one: a forked child has none of the library's threads.

    The library takes care of that by itself, unless the user's variable says otherwise: then a batch never ends there.
    """
    return bool(_forked) and _PARALLEL in os.environ


@contextmanager
def _failures() -> Iterator[None]:
    """What the library raises, panics included, as one error of ours."""
    try:
        yield
    except Exception as error:  # the library raises a bare Exception
        raise TokenizerFailedError(f"the tokenizer failed ({error})") from None
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise TokenizerFailedError(f"the tokenizer panicked ({error})") from None


def load_tokenizer(path: str) -> LocalTokenizer:
    """The tokenizer in folder `path`, or in the file itself.

    Raises:
        InvalidInputError: there is none, or it can't be read.
        MissingDependencyError: the `tokenizers` library isn't installed.
    """
    given = Path(path).expanduser()
    file = given / "tokenizer.json" if given.is_dir() else given
    if not file.is_file():
        raise InvalidInputError("tokenizer", path, "pass a folder with a tokenizer.json, or that file")
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - only who passes tokenizer= needs it
    except ImportError:
        raise MissingDependencyError("tokenizers", "tokenizer") from None
    try:
        with _failures():
            tokenizer: Any = Tokenizer.from_file(str(file))
    except TokenizerFailedError as error:
        remedy = f"pass the served model's tokenizer.json; this one can't be read ({error})"
        raise InvalidInputError("tokenizer", path, remedy) from None
    tokenizer.no_truncation()  # a checkpoint can carry a limit of its own, which would hide what is too long
    tokenizer.no_padding()
    return LocalTokenizer(tokenizer)
