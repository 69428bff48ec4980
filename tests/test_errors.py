"""The tree of errors: drawn as it is, every error names what it is about, and all of them survive a pickle."""

from __future__ import annotations

import importlib
import inspect
import pickle
import re

import pytest

import qwen3_sglang
from qwen3_sglang import errors
from qwen3_sglang.errors import (
    ConversionError,
    DocumentError,
    InvalidInputError,
    MissingDependencyError,
    QueryError,
    Qwen3SGLangError,
    ServerError,
    SGLangNotFoundError,
    StartupError,
    UnknownOptionError,
)

URL, MESSAGE = "http://gpu:30000/v1/classify", "what happened there"
TREE = [
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, Qwen3SGLangError) and one.__module__ == errors.__name__
]
OF_SERVERS = [one for one in TREE if issubclass(one, ServerError) and one is not DocumentError]
EXAMPLES: list[Qwen3SGLangError] = [
    InvalidInputError("top_n", 0, "pass an integer of at least 1"),
    QueryError("query", "", "pass a text that isn't blank"),
    UnknownOptionError("top_k", None, "unknown option top_k: it is called top_n here"),
    MissingDependencyError("torch", "convert"),
    SGLangNotFoundError("/opt/python", "this Python has no SGLang"),
    ConversionError("config.json is missing"),
    StartupError("the server stopped"),
    DocumentError(URL, MESSAGE, [2, 5], status=400, query=1),
    *(one(URL, MESSAGE, status=503, retry_after=2.5) for one in OF_SERVERS),
]


def test_the_tree_is_drawn_as_it_is() -> None:
    """Every class once, below its base; what else it is stands behind it."""
    drawn: list[tuple[str, str | None, str | None]] = []
    above: list[str] = []
    for line in re.findall(r"^    (?=[│├└ Q])(.*)$", errors.__doc__ or "", re.MULTILINE):
        found = re.match(r"([│├└─ ]*)(\w+)(?: \((\w+)\))?", line)
        assert found
        depth, name = len(found[1]) // 4, found[2]
        del above[depth:]
        drawn.append((name, above[-1] if above else None, found[3]))
        above.append(name)
    there = {(one.__name__, _base(one), _other(one)) for one in TREE}
    assert set(drawn) == there
    assert len(drawn) == len(there)


def _base(error: type[Qwen3SGLangError]) -> str | None:
    return None if error is Qwen3SGLangError else error.__bases__[0].__name__


def _other(error: type[Qwen3SGLangError]) -> str | None:
    return error.__bases__[1].__name__ if len(error.__bases__) > 1 else None


def test_every_error_has_an_example() -> None:
    """In this file; the base is raised by nobody."""
    assert {type(example) for example in EXAMPLES} | {Qwen3SGLangError} == set(TREE)


def test_every_error_is_exported() -> None:
    """From the package itself."""
    assert {one.__name__ for one in TREE} <= set(qwen3_sglang.__all__)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_pickled_error_says_the_same(error: Qwen3SGLangError) -> None:
    """Process pools and task queues pickle what a worker raises."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - written on the same line
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("kind", OF_SERVERS, ids=lambda kind: kind.__name__)
def test_a_servers_error_says_where_and_what(kind: type[ServerError]) -> None:
    """The address first, then what happened there; each under its own name."""
    error = kind(URL, MESSAGE, status=503, retry_after=2.5)
    assert (error.url, error.message, error.status, error.retry_after) == (URL, MESSAGE, 503, 2.5)
    assert str(error) == f"{URL}: {MESSAGE}"
    error.attempts = 2
    assert str(error) == f"{URL}: {MESSAGE} (tried 2 times)"


def test_a_documents_error_says_which() -> None:
    """Its places, and the query that has it."""
    error = DocumentError(URL, MESSAGE, [2, 5], status=400, query=1)
    assert (error.url, error.reason, error.index, error.indices, error.query) == (URL, MESSAGE, 2, (2, 5), 1)
    assert str(error) == f"{URL}: query 1, document 2 (also 5): {MESSAGE}"


def test_a_documents_error_without_more() -> None:
    """One place, or none: nothing is said of others, nor of a query."""
    assert str(DocumentError(URL, MESSAGE, [2])) == f"{URL}: document 2: {MESSAGE}"
    assert str(DocumentError(URL, MESSAGE, [0, 3, 4])) == f"{URL}: document 0 (also 3, 4): {MESSAGE}"
    assert str(DocumentError(URL, MESSAGE, [0], query=0)) == f"{URL}: query 0, document 0: {MESSAGE}"
    assert str(DocumentError(URL, MESSAGE)) == f"{URL}: {MESSAGE}"
    assert DocumentError(URL, MESSAGE).attempts == 1


def test_a_long_value_is_shown_by_both_ends() -> None:
    """Eighty characters at most; a path says most at its end. A value that can't be shown is its type."""
    fits, longer = "x" * 78, "a" * 40 + "b" * 39  # and two quotation marks

    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    assert str(InvalidInputError("path", fits, "no")) == f"path={fits!r}: no"
    assert str(InvalidInputError("path", longer, "no")) == f"path='{'a' * 38}…{'b' * 39}': no"
    assert str(InvalidInputError("path", Shy(), "no")) == "path=<Shy>: no"


def test_an_unusable_value_says_which_and_what_instead() -> None:
    """The name, the value, and then the remedy."""
    error = InvalidInputError("top_n", 0, "pass an integer of at least 1")
    assert (error.field, error.value, error.remedy) == ("top_n", 0, "pass an integer of at least 1")
    assert str(error) == "top_n=0: pass an integer of at least 1"


def test_a_missing_package_says_how_to_install_it() -> None:
    """Its own name, and the extra that brings it."""
    error = MissingDependencyError("torch", "convert")
    assert (error.name, error.extra) == ("torch", "convert")
    assert str(error) == 'the package that provides "torch" is missing: pip install "qwen3-sglang[convert]"'
    other = SGLangNotFoundError("/opt/python", "this Python has no SGLang")
    assert (other.python, other.reason) == ("/opt/python", "this Python has no SGLang")
    assert str(other).startswith("/opt/python: this Python has no SGLang; install")


@pytest.mark.parametrize(
    ("path", "name"), [("serving.in_thread", "StartupError"), ("serving.sglang_command", "SGLangNotFoundError")]
)
def test_an_earlier_import_path_has_the_same_class(path: str, name: str) -> None:
    """Where it was defined in version 0.1."""
    assert getattr(importlib.import_module(f"qwen3_sglang.{path}"), name) is getattr(errors, name)
