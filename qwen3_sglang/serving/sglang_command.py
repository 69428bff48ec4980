"""The command that starts real SGLang for reranking: `python -m sglang.launch_server` and the flags that pay off.

Everything here is pure but `known_flags`, which asks an interpreter's SGLang which flags it has. Which ones are worth
setting, and what they measured, is in docs/serving.md.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from qwen3_sglang.errors import InvalidInputError, SGLangNotFoundError
from qwen3_sglang.names import API_KEY_VARIABLE

KEY_SHOWN = f'"${API_KEY_VARIABLE}"'
# Left out where the installed SGLang doesn't have them; all others were asked for, so SGLang may refuse them itself.
TUNED = (
    ("--enable-tokenizer-batch-encode",),
    ("--chunked-prefill-size", "16384"),
    ("--max-prefill-tokens", "32768"),
    ("--schedule-policy", "lpm"),
)
RIVALS = {"--enable-dynamic-batch-tokenizer": "--enable-tokenizer-batch-encode"}  # SGLang refuses both at once
TRUNCATE = "--allow-auto-truncate"
KEY_FLAG = "--api-key"
SECRETS = {KEY_FLAG: KEY_SHOWN, "--admin-api-key": "'***'", "--ssl-keyfile-password": "'***'"}
MODULE = "sglang.launch_server"
# SGLang takes its key from argv only, where `ps` shows it to every user. sys.argv is the same to SGLang, and isn't
# what `ps` shows. run_module with alter_sys makes it __main__ as `python -m` does, which its child processes rely on.
KEYED = (
    f"import os, runpy, sys; sys.argv[1:1] = ['{KEY_FLAG}', os.environ.pop('{API_KEY_VARIABLE}')]; "
    f"runpy.run_module('{MODULE}', run_name='__main__', alter_sys=True)"
)
ASK = """
import argparse, importlib.util, json, sys
if importlib.util.find_spec("sglang") is None:
    print("null")
    sys.exit()
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser(add_help=False)
ServerArgs.add_cli_args(parser)
print(json.dumps([name for action in parser._actions for name in action.option_strings]))
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """A start of SGLang.

    Attributes:
        python: the interpreter that has SGLang.
        flags: all of SGLang's flags but the key.
        keyed: whether the environment holds the key, in QWEN3_SGLANG_API_KEY.
        known: the flags that this SGLang has; None when that isn't known.
    """

    python: str
    flags: tuple[str, ...]
    keyed: bool = False
    known: Collection[str] | None = None

    @property
    def argv(self) -> list[str]:
        """What is run; the key isn't in it."""
        return [self.python, *(("-c", KEYED) if self.keyed else ("-m", MODULE)), *self.flags]

    @property
    def shown(self) -> str:
        """What a person would type for it, quoted for a shell and without secrets."""
        words = [*map(shlex.quote, [self.python, "-m", MODULE]), *_masked(self.flags, self.known)]
        return " ".join([*words, KEY_FLAG, KEY_SHOWN] if self.keyed else words)


def plan(
    python: str,
    model: str,
    *,
    host: str,
    port: int,
    dp: int | None = None,
    context_length: int | None = None,
    served_model_name: str | None = None,
    api_key: str | None = None,
    extra: Sequence[str] = (),
    known: Collection[str] | None = None,
) -> Launch:
    """The command that starts SGLang for `model`; a flag in `extra` replaces ours.

    Raises:
        InvalidInputError: `extra` holds a flag that spoils the scores.
    """
    check_extra(extra, known)
    asked: list[tuple[str, object]] = [("--model-path", model), ("--host", host), ("--port", port)]
    asked += [("--dp-size", dp), ("--context-length", context_length), ("--served-model-name", served_model_name)]
    options: list[tuple[str, ...]] = [(flag, str(value)) for flag, value in asked if value is not None]
    options += [option for option in TUNED if option[0] not in unknown_tuned(known)]
    given = {_name(word, known) for word in extra}
    given |= {RIVALS[name] for name in given & RIVALS.keys()}
    ours = [word for option in options if option[0] not in given for word in option]
    return Launch(python, (*ours, *extra), keyed=bool(api_key) and KEY_FLAG not in given, known=known)


def unknown_tuned(known: Collection[str] | None) -> list[str]:
    """The tuning flags that the installed SGLang doesn't have."""
    return [] if known is None else [flag for flag, *_ in TUNED if flag not in known]


def check_extra(extra: Sequence[str], known: Collection[str] | None = None) -> None:
    """Raise InvalidInputError for what isn't a flag, and for the flag that makes scores silently wrong."""
    if extra and not extra[0].startswith("-"):
        raise InvalidInputError("extra argument", extra[0], "pass one MODEL; SGLang's own flags come after --")
    if any(_name(word, known) == TRUNCATE for word in extra):
        remedy = (
            "leave it out: it cuts the prompt's end, where Qwen3-Reranker's template asks for the answer, so that long "
            "documents get wrong scores without an error; the client cuts the document instead (max_length)"
        )
        raise InvalidInputError("extra argument", TRUNCATE, remedy)


def known_flags(python: str) -> frozenset[str]:
    """The flags of the SGLang that `python` imports, from its own parser, or else from its --help.

    Raises:
        InvalidInputError: `python` can't be run.
        SGLangNotFoundError: it has no SGLang that can be imported.
    """
    asked = _run(python, "-c", ASK)
    flags = _answer(asked.stdout)
    if flags is None and asked.returncode == 0:
        raise SGLangNotFoundError(python, "this Python has no SGLang")
    flags = flags or flags_in_help(_run(python, "-m", MODULE, "--help").stdout)
    if not flags:
        lines = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
        raise SGLangNotFoundError(python, f"SGLang is there but can't be imported ({lines[-1]})")
    return flags


def flags_in_help(text: str) -> frozenset[str]:
    """The flags that argparse's help lists; those that its explanations mention are not among them."""
    lines = re.findall(r"^  (--\S.*)$", text, re.MULTILINE)
    return frozenset(flag for line in lines for flag in re.findall(r"(?:^|, )(--[\w-]+)", line.split("  ")[0]))


def _answer(stdout: str) -> frozenset[str] | None:
    try:  # what is imported may print too, so it is the last line
        names = json.loads(stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return frozenset()
    return None if names is None else frozenset(names)


def _run(python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run([python, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - the user's own interpreter
    except OSError as error:
        remedy = f"name the Python interpreter that has SGLang ({error.strerror})"
        raise InvalidInputError("python", python, remedy) from None


def _name(word: str, known: Collection[str] | None) -> str:
    """The flag that `word` sets; argparse takes any beginning that fits only one."""
    name = word.split("=", maxsplit=1)[0]
    if known is None or name in known or not name.startswith("--"):
        return name
    full = [flag for flag in known if flag.startswith(name)]
    return full[0] if len(full) == 1 else name


def _masked(flags: Sequence[str], known: Collection[str] | None) -> Iterator[str]:
    """The flags quoted for a shell, secrets replaced."""
    hide = ""
    for word in flags:
        name = _name(word, known)
        if hide:
            yield hide
            hide = ""
        elif name in SECRETS and "=" in word:
            yield f"{name}={SECRETS[name]}"
        else:
            hide = SECRETS.get(name, "")
            yield shlex.quote(word)
