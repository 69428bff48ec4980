"""Flags as they may be written."""

from __future__ import annotations

import pytest

from qwen3_sglang.serving.flags import flag_name, flag_values

KNOWN = frozenset({"--device", "--dp-size", "--enable-mis", "--chunked-prefill-size"})


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--device", "cpu"], [("--device", "cpu")]),
        (["--device=cpu"], [("--device", "cpu")]),
        (["--dev", "cpu", "--enable-m"], [("--device", "cpu"), ("--enable-mis", None)]),
        (["--enable-mis", "--device", "cpu"], [("--enable-mis", None), ("--device", "cpu")]),
        (["--chunked-prefill-size", "-1"], [("--chunked-prefill-size", "-1")]),
        (["--device="], [("--device", "")]),
        ([], []),
    ],
)
def test_values(words: list[str], found: list[tuple[str, str | None]]) -> None:
    """With an equals sign or without, shortened or whole."""
    assert list(flag_values(words, KNOWN)) == found


def test_a_beginning_that_fits_two_stays() -> None:
    """And so does any where the flags aren't known."""
    assert flag_name("--d", KNOWN) == "--d"
    assert flag_name("--dev", None) == "--dev"
