"""Does anything in a folder say that its model was trained with Qwen's template, which all prompts here follow?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qwen3_sglang.prompts.template import build_prompts

# Where a chat template, or the prompts of sentence-transformers, may be.
FILES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json", "config_sentence_transformers.json")
MAX_BYTES = 16 * 2**20
MARK, KNOWN, UNKNOWN = "qwen3_sglang", {"template": "Qwen's"}, {"template": "unknown"}  # convert's key in config.json
NOTHING_SAYS = (
    "nothing in the folder says that the model was trained with Qwen's template, in which every prompt is written: "
    "with another one its scores may mean little; try it on questions whose answers you know"
)


def template_known(folder: Path, config: Mapping[str, Any]) -> bool | None:
    """Whether the model was trained with Qwen's template, by a chat template or by a conversion's note."""
    if config.get(MARK) == KNOWN or any(_is_qwens(folder / name) for name in FILES):
        return True
    return False if config.get(MARK) == UNKNOWN else None


def chats(folder: Path, config: Mapping[str, Any]) -> bool:
    """Is a language model for chats rather than for reranking, as far as its files tell?

    It has a chat template, which isn't Qwen's for reranking, and isn't called a reranker. Earlier revisions of
    Qwen3-Reranker have such a template too, but their names say what they are.
    """
    template = any('"chat_template"' in _text(folder / name) or name.endswith(".jinja") for name in _present(folder))
    real = folder.resolve()
    names = (real.name, real.parent.parent.name if real.parent.name == "snapshots" else "", config.get("_name_or_path"))
    return template and not template_known(folder, config) and "rerank" not in str(names).lower()


def _present(folder: Path) -> list[str]:
    return [name for name in FILES if _text(folder / name)]


def _is_qwens(path: Path) -> bool:
    text = _text(path).replace("\\u003c", "<").replace("\\u003e", ">")  # as some write JSON
    return all(part in text for part in _parts())


def _text(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _parts() -> list[str]:
    """Pieces of the template that a chat template which makes the same prompts has in it, however it is quoted."""
    [prompt] = build_prompts("q", ["d"])
    sentence = max(prompt.splitlines(), key=len).partition(".")[0]
    return [sentence, *re.findall(r"</?\w+>", prompt)]
