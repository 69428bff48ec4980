"""What an error says, in the words of the command line: `--url`, not `base_url=`; and the remedy for the system's own.

The library's messages name Python arguments, since most of its users call it from Python.
"""

from __future__ import annotations

import errno
import os
import re

from rich.markup import escape

from qwen3_sglang.errors import InvalidInputError, Qwen3SGLangError, ServerUnreachableError
from qwen3_sglang.settings import OPTIONS

START = (
    "SGLang takes minutes to start; if none was started: `qwen3-sglang serve MODEL`, or without a GPU "
    "`qwen3-sglang serve MODEL --engine local`"
)
# Arguments that aren't options of a connection.
_ARGUMENTS = (
    "top_n",
    "min_score",
    "force",
    "port",
    "host",
    "threads",
    "dp",
    "multi_item",
    "qps",
    "documents",
    "tokens",
    "margin",
    "converted",
    "field",
    "html",
    "json",
    "scores",
    "open",
    "fresh",
    "relevant",
    "run",
    "split",
    "qrels",
    "top_k",
    "target_recall",
    "target_precision",
    "recall_at",
    "expect",
    "keep_serving",
    "link",
    "engine",
    "device",
    "dtype",
    "python",
    "print",
    "context_length",
    "served_model_name",
    "allow_host",
)
_VERIFY = "the environment variable REQUESTS_CA_BUNDLE"
FLAGS = {name: "--" + name.replace("_", "-") for name in (*OPTIONS, *_ARGUMENTS)}
FLAGS |= {"base_url": "--url", "verify": _VERIFY, "headers": "--header"}
_NAMES = "|".join(FLAGS)
_ELSEWHERE = "free some space, or name a place on another disk (TMPDIR for temporary files)"
_REMEDIES = {
    errno.EADDRINUSE: "the port is taken; pass another --port",
    errno.ENOSPC: f"the disk is full; {_ELSEWHERE}",
    errno.EDQUOT: f"your quota is used up; {_ELSEWHERE}",
    errno.EFBIG: "the file is larger than this disk or `ulimit -f` allows; raise that, or name a place on another disk",
    errno.EISDIR: "that is a folder; name a file",
    errno.ENOTDIR: "a part of that path is a file; name a folder",
    errno.EACCES: "permission is missing; name a place that you may use",
    errno.EROFS: "that disk is read-only; name a place that you may write",
}


def explain(error: BaseException) -> str | None:
    """The error as one line with its remedy, in rich markup; None for an error that no user can remedy."""
    if isinstance(error, InvalidInputError):
        return escape(f"{_flag(error.field)} {_value(error.value)}: {in_words(error.remedy)}")
    if isinstance(error, Qwen3SGLangError):
        return escape(" ".join([in_words(str(error)), *hints(error)]))
    if isinstance(error, UnicodeEncodeError):
        return escape(f"the terminal's encoding, {error.encoding}, lacks a character; set PYTHONUTF8=1")
    if isinstance(error, MemoryError):
        return "memory ran out; stop other programs, take a smaller model, or send fewer documents at once"
    return _explain_system(error)


def _explain_system(error: BaseException) -> str | None:
    system = _of_the_system(error)
    if system is not None:
        remedy = _REMEDIES.get(system.errno or 0, "see what the system says")
        return escape(f"{system.filename or 'the system'}: {system.strerror or system}: {remedy}")
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # pathlib's
        return "no home directory is known for a path that begins with ~; write it in full, or set HOME"
    return None


def _of_the_system(error: BaseException) -> OSError | None:
    """The system's error; safetensors and tokenizers raise their own, with its number in their words."""
    if isinstance(error, OSError):
        return error
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else None


def in_words(text: str) -> str:
    """A library's message, its Python arguments as options of the command."""
    text = text.replace(" (api_key_header=)", "")  # no option of the command
    text = re.sub(r", or None\b[^;:,]*", ", or leave it out", text)
    text = re.sub(r"\b(?:connect|read)_timeout=(?=\d)", "", text)
    text = re.sub(rf"(?<![\w.?&-])({_NAMES})=(?=\d)", lambda found: f"{FLAGS[found[1]]} ", text)
    text = re.sub(rf"(?<![\w.?&-])({_NAMES})=(?!\w)", lambda found: FLAGS[found[1]], text)
    text = re.sub(
        r"(?<![\w.?&-])(base_url|api_key|max_length|max_chunks|chunk_overlap|top_n|min_score)\b",
        lambda found: FLAGS[found[1]],
        text,
    )
    return re.sub(r"\buse force\b|\bforce(?= won't)", lambda found: found[0].replace("force", "--force"), text)


def hints(error: BaseException) -> list[str]:
    """Further help, such as how to start a server where none listens."""
    return [f"({START})"] if isinstance(error, ServerUnreachableError) and is_refusal(error.message) else []


def is_refusal(text: str) -> bool:
    """Whether nothing listens at the server's address; a proxy that refuses says nothing about that."""
    return "refused" in text and "NO_PROXY" not in text


def _flag(field: str) -> str:
    name, _, part = field.replace("-", "_").partition(".")
    return FLAGS.get(name, field) if not part else field


def _value(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"  # noqa: PLR2004 - a line of a terminal
