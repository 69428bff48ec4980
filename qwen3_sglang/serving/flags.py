"""SGLang's flags as a user may write them: `--flag value`, `--flag=value`, or the beginning of a flag's name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence


def flag_name(word: str, known: Collection[str] | None) -> str:
    """The flag that `word` sets; argparse takes any beginning that fits only one."""
    name = word.split("=", maxsplit=1)[0]
    if known is None or name in known or not name.startswith("--"):
        return name
    full = [flag for flag in known if flag.startswith(name)]
    return full[0] if len(full) == 1 else name


def flag_values(words: Sequence[str], known: Collection[str] | None) -> Iterator[tuple[str, str | None]]:
    """Each flag in `words` and its value; None where the flag has none."""
    for place, word in enumerate(words):
        if not word.startswith("--"):
            continue
        _, equals, value = word.partition("=")
        following = words[place + 1] if place + 1 < len(words) else "--"
        yield flag_name(word, known), value if equals else None if following.startswith("--") else following
