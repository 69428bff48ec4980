"""Values stay as they were made: dataclasses are frozen, and have no attributes beside their fields.

And a flag's name stands in each call: `read(True)` says nothing.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import is_dataclass
from types import FunctionType, ModuleType

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
# What they are called by passes it by place: frameworks, and a caller that has nothing else to say.
BY_PLACE = {
    "cli.app._print_version",
    "langchain_qwen3_sglang.documents._scored",
    "langchain_qwen3_sglang.rerank._delivered",
    "langchain_qwen3_sglang.rerank._one_may_be_to_blame",
    "llama_index_qwen3_sglang.nodes._scored",
    "llama_index_qwen3_sglang.progress.progress_bar",
    "local.engine.Engine.decode",
}


def modules() -> Iterator[ModuleType]:
    """Every one."""
    for package in PACKAGES:
        root = importlib.import_module(package)
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def dataclasses() -> Iterator[tuple[str, type]]:
    """Every dataclass that is defined here, under its name without the package's."""
    for module in modules():
        for value in vars(module).values():
            if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__:
                yield f"{module.__name__.removeprefix('qwen3_sglang.')}.{value.__qualname__}", value


def functions() -> Iterator[tuple[str, FunctionType]]:
    """Every function and method that is written here, under its name as above."""
    for module in modules():
        own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
        for value in [*vars(module).values(), *(one for kind in own for one in vars(kind).values())]:
            function = inspect.unwrap(getattr(value, "__func__", value))
            if isinstance(function, FunctionType) and function.__code__.co_filename == module.__file__:
                yield f"{module.__name__.removeprefix('qwen3_sglang.')}.{function.__qualname__}", function


def test_all_but_a_few_are_frozen() -> None:
    """So that a value can be shared between threads and kept in sets."""
    changing = {name for name, one in dataclasses() if not one.__dataclass_params__.frozen}  # type: ignore[attr-defined]
    assert changing == CHANGING


def test_all_but_a_few_have_their_fields_alone() -> None:
    """A name that is misspelt where one is set is an error; and a million of them take little memory."""
    keeping = {name for name, one in dataclasses() if any("__dict__" in vars(base) for base in one.__mro__)}
    assert keeping == KEEPING


def test_a_flag_is_passed_by_its_name() -> None:
    """All but a few can't be passed by place."""
    by_place = {
        name
        for name, function in functions()
        for one in inspect.signature(function).parameters.values()
        if one.annotation == "bool" and one.kind is not one.KEYWORD_ONLY
    }
    assert by_place == BY_PLACE
