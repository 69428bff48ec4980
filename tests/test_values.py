"""Values stay as they were made: dataclasses are frozen, and have no attributes beside their fields."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import is_dataclass

PACKAGES = ("qwen3_sglang", "langchain_qwen3_sglang", "llama_index_qwen3_sglang")
# Work under way, or what the caller owns.
CHANGING = {
    "evaluate.jsonl._Row",
    "evaluate.scoring._State",
    "llama_index_qwen3_sglang.query.RerankQueryBundle",
    "local.batcher._Job",
    "local.sharing.Node",
    "local.sharing.Plan",
    "ranking.RerankResult",
}
# They keep what they compute once, or show their defaults on the class; LlamaIndex's own class has more anyway.
KEEPING = {
    "convert.classifier.Classifier",
    "llama_index_qwen3_sglang.query.RerankQueryBundle",
    "prompts.chunks.Chunking",
    "prompts.special.SpecialTokens",
    "prompts.template.Template",
}


def dataclasses() -> Iterator[tuple[str, type]]:
    """Every dataclass that is defined here, under its name without the package's."""
    for package in PACKAGES:
        root = importlib.import_module(package)
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if found.name.endswith("__main__"):
                continue
            module = importlib.import_module(found.name)
            for value in vars(module).values():
                if isinstance(value, type) and is_dataclass(value) and value.__module__ == found.name:
                    yield f"{found.name.removeprefix('qwen3_sglang.')}.{value.__qualname__}", value


def test_all_but_a_few_are_frozen() -> None:
    """So that a value can be shared between threads and kept in sets."""
    changing = {name for name, one in dataclasses() if not one.__dataclass_params__.frozen}  # type: ignore[attr-defined]
    assert changing == CHANGING


def test_all_but_a_few_have_their_fields_alone() -> None:
    """A name that is misspelt where one is set is an error; and a million of them take little memory."""
    keeping = {name for name, one in dataclasses() if any("__dict__" in vars(base) for base in one.__mro__)}
    assert keeping == KEEPING
