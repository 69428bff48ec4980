"""The command that starts real SGLang for reranking: `python -m sglang.launch_server` and the flags that pay off.

Everything here is pure but `known_flags`, which asks an interpreter's SGLang which flags it has. Which ones are worth
setting, and what they measured, is in docs/serving.md.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from qwen3_sglang.errors import InvalidInputError, SGLangNotFoundError
from qwen3_sglang.names import API_KEY_VARIABLE
from qwen3_sglang.serving import multi_item as mis
from qwen3_sglang.serving.flags import flag_name

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
        environment: variables that SGLang reads.
    """

    python: str
    flags: tuple[str, ...]
    keyed: bool = False
    known: Collection[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def argv(self) -> list[str]:
        """What is run; the key isn't in it."""
        return [self.python, *(("-c", KEYED) if self.keyed else ("-m", MODULE)), *self.flags]

    @property
    def shown(self) -> str:
        """What a person would type for it, quoted for a shell and without secrets."""
        words = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        words += [*map(shlex.quote, [self.python, "-m", MODULE]), *_masked(self.flags, self.known)]
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
    multi_item: bool = False,
    extra: Sequence[str] = (),
    known: Collection[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Launch:
    """The command that starts SGLang for `model`; a flag in `extra` or a variable in `environ` replaces ours.

    Raises:
        InvalidInputError: `extra` holds a flag that spoils the scores, or that can't go with multi-item scoring.
    """
    check_extra(extra, known, multi_item=multi_item)
    asked: list[tuple[str, object]] = [("--model-path", model), ("--host", host), ("--port", port)]
    asked += [("--dp-size", dp), ("--context-length", context_length), ("--served-model-name", served_model_name)]
    options: list[tuple[str, ...]] = [(flag, str(value)) for flag, value in asked if value is not None]
    options += mis.ASKED if multi_item else ()
    left_out = unknown_tuned(known, multi_item=multi_item)
    options += [option for option in (mis.TUNED if multi_item else TUNED) if option[0] not in left_out]
    given = {flag_name(word, known) for word in extra}
    given |= {RIVALS[name] for name in given & RIVALS.keys()}
    ours = [word for option in options if option[0] not in given for word in option]
    keyed = bool(api_key) and KEY_FLAG not in given
    return Launch(python, (*ours, *extra), keyed, known, mis.environment(environ or {}) if multi_item else {})


def unknown_tuned(known: Collection[str] | None, *, multi_item: bool = False) -> list[str]:
    """The tuning flags that the installed SGLang doesn't have."""
    tuned = mis.TUNED if multi_item else TUNED
    return [] if known is None else [flag for flag, *_ in tuned if flag not in known]


def check_extra(extra: Sequence[str], known: Collection[str] | None = None, *, multi_item: bool = False) -> None:
    """Whether SGLang takes `extra`, and scores right with it.

    Raises:
        InvalidInputError: the first word isn't a flag; a flag makes scores silently wrong, or can't go with the way
            of serving.
    """
    if extra and not extra[0].startswith("-"):
        raise InvalidInputError("extra argument", extra[0], "pass one MODEL; SGLang's own flags come after --")
    if any(flag_name(word, known) == TRUNCATE for word in extra):
        remedy = (
            "leave it out: it cuts the prompt's end, where Qwen3-Reranker's template asks for the answer, so that long "
            "documents get wrong scores without an error; the client cuts the document instead (max_length)"
        )
        raise InvalidInputError("extra argument", TRUNCATE, remedy)
    check_way = mis.check_flags if multi_item else mis.check_ordinary
    check_way(extra, known)


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


def _masked(flags: Sequence[str], known: Collection[str] | None) -> Iterator[str]:
    """The flags quoted for a shell, secrets replaced."""
    hide = ""
    for word in flags:
        name = flag_name(word, known)
        if hide:
            yield hide
            hide = ""
        elif name in SECRETS and "=" in word:
            yield f"{name}={SECRETS[name]}"
        else:
            hide = SECRETS.get(name, "")
            yield shlex.quote(word)
