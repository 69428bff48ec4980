"""The command that starts SGLang: which flags it has, which win, and what is shown of it.

Tests of `serving/loopback.py`.
"""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pytest

from qwen3_sglang.errors import InvalidInputError, MissingDependencyError
from qwen3_sglang.serving import multi_item
from qwen3_sglang.serving.loopback import is_loopback
from qwen3_sglang.serving.sglang_command import (
    TUNED,
    Launch,
    SGLangNotFoundError,
    check_extra,
    flags_in_help,
    known_flags,
    plan,
    unknown_tuned,
)
from real_sglang import VENV, needs_sglang

KNOWN = frozenset({flag for flag, *_ in TUNED} | {"--allow-auto-truncate", "--dp-size", "--port", "--api-key"})
HELP = """usage: serve [-h] [--model-path MODEL_PATH]
             [--dp-size DP_SIZE]

options:
  -h, --help            show this help message and exit
  --model-path MODEL_PATH, --model MODEL_PATH
                        The path; see
  --dp-size DP_SIZE, --data-parallel-size DP_SIZE
                        Not with --enable-dp-attention.
  --schedule-policy {lpm,fcfs}  Use --max-prefill-tokens too.
"""


def planned(*extra: str, known: frozenset[str] | None = KNOWN, api_key: str | None = None) -> Launch:
    """A start with these flags of the user's."""
    return plan("py", "./m", host="127.0.0.1", port=30000, extra=extra, known=known, api_key=api_key)


def fake_python(folder: Path, *lines: str) -> str:
    """An interpreter that runs these lines of shell, whatever it is asked."""
    path = folder / "python"
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_tuned_command() -> None:
    """What measured best, after what was asked for."""
    assert planned().shown == (
        "py -m sglang.launch_server --model-path ./m --host 127.0.0.1 --port 30000 --enable-tokenizer-batch-encode "
        "--chunked-prefill-size 16384 --max-prefill-tokens 32768 --schedule-policy lpm"
    )
    assert shlex.split(planned().shown) == planned().argv


def test_options_become_flags() -> None:
    """Several GPUs, the context length and the name."""
    launch = plan("py", "./m", host="::1", port=1, dp=2, context_length=4096, served_model_name="a b", known=KNOWN)
    assert "--dp-size 2 --context-length 4096 --served-model-name 'a b'" in launch.shown


def test_flags_that_sglang_lacks_are_left_out() -> None:
    """Only those for speed; what was asked for stays, so that SGLang itself refuses it."""
    known = KNOWN - {"--schedule-policy", "--dp-size"}
    launch = plan("py", "./m", host="h", port=1, dp=2, known=known)
    assert "--schedule-policy" not in launch.flags
    assert "lpm" not in launch.flags
    assert "--dp-size" in launch.flags
    assert unknown_tuned(known) == ["--schedule-policy"]


def test_without_an_answer_all_flags_are_there() -> None:
    """Printed on a machine without SGLang."""
    assert unknown_tuned(None) == []
    assert planned(known=None).flags == planned().flags


@pytest.mark.parametrize(
    "extra", [("--schedule-policy", "fcfs"), ("--schedule-policy=fcfs",), ("--schedule-p", "fcfs")]
)
def test_the_users_flags_win(extra: tuple[str, ...]) -> None:
    """However they are written; ours is gone, theirs comes last."""
    flags = planned(*extra).flags
    assert flags[-len(extra) :] == extra
    assert "lpm" not in flags


def test_a_flag_that_excludes_one_of_ours() -> None:
    """SGLang refuses the two together."""
    assert "--enable-tokenizer-batch-encode" not in planned("--enable-dynamic-batch-tokenizer").flags


@pytest.mark.parametrize("word", ["--allow-auto-truncate", "--allow-auto-truncate=1", "--allow-a"])
def test_truncation_by_the_server_is_refused(word: str) -> None:
    """It cuts the suffix, and nothing would tell."""
    with pytest.raises(InvalidInputError, match="cuts the prompt's end"):
        check_extra(["--device", "cpu", word], KNOWN)


def test_a_second_model_is_refused() -> None:
    """What comes first after MODEL must be a flag."""
    with pytest.raises(InvalidInputError, match="after --"):
        check_extra(["other"])


def test_the_key_is_neither_shown_nor_in_the_arguments() -> None:
    """`ps` shows arguments to everybody."""
    launch = planned(api_key="s3cret")
    assert "s3cret" not in launch.shown
    assert not any("s3cret" in word for word in launch.argv)
    assert launch.shown.endswith('--api-key "$QWEN3_SGLANG_API_KEY"')
    assert launch.argv[3:] == [*launch.flags]


@pytest.mark.parametrize("extra", [("--api-key", "s3cret"), ("--api-key=s3cret",), ("--api-k", "s3cret")])
def test_a_key_among_the_users_flags_is_masked(extra: tuple[str, ...]) -> None:
    """It wins over --api-key, and isn't shown either."""
    launch = planned(*extra, api_key="ours")
    assert not launch.keyed
    assert "s3cret" not in launch.shown
    assert launch.shown.count("$QWEN3_SGLANG_API_KEY") == 1


def test_other_secrets_are_masked() -> None:
    """The admin's key and the certificate's password."""
    shown = planned("--admin-api-key", "s3cret", "--ssl-keyfile-password=s3cret", "--device", "cpu").shown
    assert "s3cret" not in shown
    assert shown.endswith("--device cpu")


@pytest.mark.parametrize(
    ("host", "reachable"),
    [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("gpu1", True)],  # noqa: S104 - nothing listens
)
def test_open_addresses(host: str, reachable: bool) -> None:
    """Loopback addresses need no key."""
    assert is_loopback(host) != reachable


def test_flags_in_help() -> None:
    """Those that are listed, not those that an explanation mentions."""
    assert flags_in_help(HELP) == {
        "--model-path",
        "--model",
        "--dp-size",
        "--data-parallel-size",
        "--schedule-policy",
    }


def test_the_parsers_answer(tmp_path: Path) -> None:
    """The last line, whatever the import printed before."""
    python = fake_python(tmp_path, "echo loading", """echo '["--port", "--host"]'""")
    assert known_flags(python) == {"--port", "--host"}


def test_help_where_the_parser_cannot_be_asked(tmp_path: Path) -> None:
    """An SGLang with another inside still has --help."""
    python = fake_python(tmp_path, '[ "$1" = -c ] && exit 1', "echo '  --port PORT  The port.'")
    assert known_flags(python) == {"--port"}


def test_no_sglang(tmp_path: Path) -> None:
    """Both ways out: install it, or the embedded engine."""
    with pytest.raises(MissingDependencyError, match=r"pip install sglang.*--engine local"):
        known_flags(fake_python(tmp_path, "echo null"))


def test_a_broken_sglang(tmp_path: Path) -> None:
    """The reason is what it said last."""
    with pytest.raises(SGLangNotFoundError, match=r"can't be imported \(ImportError: libcuda\)"):
        known_flags(fake_python(tmp_path, "echo Traceback >&2", "echo 'ImportError: libcuda' >&2", "exit 1"))


def test_no_such_python(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(InvalidInputError, match="name the Python interpreter"):
        known_flags(str(tmp_path / "none"))


def test_the_flags_of_real_sglang() -> None:
    """It knows all that we may pass, and those that we refuse."""
    needs_sglang()
    known = known_flags(str(VENV / "bin/python"))
    assert unknown_tuned(known) == unknown_tuned(known, multi_item=True) == []
    assert {flag for flag, *_ in multi_item.ASKED} | set(multi_item.REFUSED) <= known | {"--enable-hicache"}
    assert {"--model-path", "--dp-size", "--context-length", "--served-model-name", "--api-key"} <= known
    assert "--allow-auto-truncate" in known
