"""House rules of what can be made and called, over every module.

Values stay as they were made: dataclasses are frozen, and have no attributes beside their fields. Every argument may be
passed by its name, and a switch is off where nothing is passed. A flag's name stands in each call: `read(True)` says
nothing. What is walked through side by side is equally long.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import FunctionType, ModuleType

from msgspec import Struct

PACKAGES = ("qwen3_sglang", "langchain_qwen3_sglang", "llama_index_qwen3_sglang")
# Work under way, what the caller owns, or what each call makes several of, in a third of the time.
CHANGING = {
    "evaluate.jsonl._Row",
    "evaluate.scoring._State",
    "llama_index_qwen3_sglang.query.RerankQueryBundle",
    "local.batcher._Job",
    "local.sharing.Node",
    "local.sharing.Plan",
    "protocol.responses.Response",
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


# Switches that are on where nothing is passed.
ON = {
    "client.RerankClient.__init__(escape_special_tokens)",
    "client.RerankClient.__init__(verify)",
    "evaluate.jsonl._Row(ordered)",
    "local.engine.Engine.decode(skip_special_tokens)",
    "options.option.Option(adapters)",
    "prompts.chunks.Divided(whole)",
    "prompts.template.Template.head(escape)",
    "prompts.template.Template.task(escape)",
    "prompts.template.build_prompts(escape)",
    "protocol.served.Served(certain)",
    "transport.bounds.Budget.whole(good)",
}


def modules() -> Iterator[ModuleType]:
    """Every module of the three packages."""
    for package in PACKAGES:
        root = importlib.import_module(package)
        yield root
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def short(module: ModuleType, name: str) -> str:
    """The name without the core package's."""
    return f"{module.__name__}.{name}".removeprefix("qwen3_sglang.")


def classes() -> Iterator[tuple[ModuleType, type]]:
    """Every class, with the module that defines it."""
    for module in modules():
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                yield module, value


def dataclasses() -> Iterator[tuple[str, type]]:
    """Every dataclass or Struct that is defined here, under its name without the package's."""
    for module, value in classes():
        if is_dataclass(value) or issubclass(value, Struct):
            yield short(module, value.__qualname__), value


def functions() -> Iterator[tuple[str, inspect.Parameter]]:
    """Every parameter of every function and method that is written here, beside its function's name."""
    owners = [(module, vars(module)) for module in modules()]
    owners += [(module, vars(one)) for module, one in classes()]
    for module, names in owners:
        for value in names.values():
            function = inspect.unwrap(getattr(value, "__func__", value))
            if isinstance(function, FunctionType) and function.__code__.co_filename == module.__file__:
                for parameter in inspect.signature(function).parameters.values():
                    yield short(module, function.__qualname__), parameter


def test_all_but_a_few_are_frozen() -> None:
    """So that a value can be shared between threads and kept in sets."""
    kinds = {name: getattr(one, "__dataclass_params__", None) or one.__struct_config__ for name, one in dataclasses()}
    assert {name for name, how in kinds.items() if not how.frozen} == CHANGING


def test_all_but_a_few_have_their_fields_alone() -> None:
    """A name that is misspelt where one is set is an error; and a million of them take little memory."""
    keeping = {name for name, one in dataclasses() if any("__dict__" in vars(base) for base in one.__mro__)}
    assert keeping == KEEPING


def test_every_argument_has_a_name() -> None:
    """None can be passed by its place alone."""
    assert [name for name, parameter in functions() if parameter.kind is parameter.POSITIONAL_ONLY] == []


def test_switches_are_off() -> None:
    """But for a few: what isn't asked for doesn't happen."""
    fields = [(name, one) for name, kind in dataclasses() for one in inspect.signature(kind).parameters.values()]
    assert {f"{name}({one.name})" for name, one in [*functions(), *fields] if one.default is True} == ON


def test_a_flag_is_passed_by_its_name() -> None:
    """All but a few can't be passed by place."""
    flags = [(name, one) for name, one in functions() if one.annotation == "bool"]
    assert {name for name, one in flags if one.kind is not one.KEYWORD_ONLY} == BY_PLACE


def test_what_is_zipped_is_equally_long() -> None:
    """And if a mistake makes it otherwise, that is an error: nothing is left out without a word."""
    trees = [ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8")) for module in modules()]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    zips = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "zip"]
    assert [ast.unparse(one) for one in zips if "strict=True" not in map(ast.unparse, one.keywords)] == []
