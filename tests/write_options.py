"""Write what follows from the table of options (qwen3_sglang/settings.py), so that nothing repeats it by hand.

python tests/write_options.py     writes RerankClient's signature and "Args", the adapters' fields, docs/options.md
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from qwen3_sglang.options.option import Option
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.protocol.retry import DEFAULT_BACKOFF
from qwen3_sglang.settings import OPTIONS, Settings

ROOT = Path(__file__).parents[1]
CLIENT, FIELDS, PAGE = ROOT / "qwen3_sglang/client.py", ROOT / "qwen3_sglang/connection.py", ROOT / "docs/options.md"
WIDTH = 120
# What a field takes where pydantic has a type of its own for it.
PYDANTIC = {
    "str | SecretLike | None": "SecretStr | None",
    "Mapping[str, str | SecretLike] | str | None": "Named",
    "str | os.PathLike[str] | None": "OptionalPath",
    "bool | str | os.PathLike[str]": "Bundle",
}
# Defaults that have a name.
NAMED = {"DEFAULT_BACKOFF": DEFAULT_BACKOFF, "QWEN3": QWEN3}
_NAMES = "|".join(name for name in OPTIONS if "_" in name)
NOT_OPTIONS = {"callback_manager", "name"}  # the frameworks' own


def takes(name: str) -> str:
    """The annotation of what may be passed."""
    return OPTIONS[name].takes or str(Settings.__dataclass_fields__[name].type)


def code(value: object) -> str:
    """A default as it stands in a signature."""
    for name, named in NAMED.items():
        if value is named:
            return name
    return json.dumps(value) if isinstance(value, str) else repr(value)


def client_source(source: str) -> str:
    """client.py with RerankClient's arguments: the signature and "Args"."""
    found = next(node for node in ast.parse(source).body if getattr(node, "name", "") == "RerankClient")
    assert isinstance(found, ast.ClassDef)
    made = next(node for node in found.body if getattr(node, "name", "") == "__init__")
    assert isinstance(made, ast.FunctionDef)
    asked = [f"{name}: {takes(name)} = {code(OPTIONS[name].default)}," for name in OPTIONS]
    lines = source.splitlines()
    # From the end to the start, so that line numbers hold.
    signature = ["    def __init__(", *_indented(8, ["self,", asked[0], "*,", *asked[1:]]), "    ) -> None:"]
    lines[made.lineno - 1 : _body(made, lines)] = signature
    start = next(n for n in range(found.lineno, made.lineno) if lines[n] == "    Args:") + 1
    end = next(n for n in range(start, made.lineno) if lines[n] == "    Raises:") - 1
    lines[start:end] = [line for name in OPTIONS for line in _argument(name)]
    return "\n".join(lines) + "\n"


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _body(function: ast.FunctionDef, lines: list[str]) -> int:
    """The line after the one that ends the signature."""
    return next(n for n in range(function.lineno - 1, len(lines)) if lines[n].endswith("-> None:")) + 1


def _indented(width: int, lines: list[str]) -> list[str]:
    return [" " * width + line for line in lines]


def _argument(name: str) -> list[str]:
    one = OPTIONS[name]
    otherwise = f" None: {one.shown.replace('`', '')}." if one.shown and one.default is None else ""
    return textwrap.wrap(
        f"{name}: {one.help}{otherwise}",
        WIDTH - 1,
        initial_indent=" " * 8,
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    )


def fields_source(source: str) -> str:
    """connection.py with the fields of the adapters."""
    found = next(node for node in ast.parse(source).body if getattr(node, "name", "") == "Connection")
    assert isinstance(found, ast.ClassDef)
    written = [node for node in found.body if isinstance(node, ast.AnnAssign) and _is_option(node.value)]
    lines = source.splitlines()
    lines[written[0].lineno - 1 : written[-1].end_lineno] = [
        f'    {name}: {PYDANTIC.get(takes(name), takes(name))} = option("{name}")'
        for name, one in OPTIONS.items()
        if one.adapters
    ]
    return "\n".join(lines) + "\n"


def _is_option(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and _name(value) == "option"


def page(source: str) -> str:
    """docs/options.md with its tables."""
    rows = [f"| {name} | {default} | {text} |" for name, default, text in (*_connection_rows(), *_adapter_rows())]
    table = "\n".join(["| option | default | what it does |", "|---|---|---|", *rows])
    before, _, rest = source.partition("| option |")
    return before + table + "\n\n" + rest.partition("\n\n")[2]


def _connection_rows() -> Iterator[tuple[str, str, str]]:
    for name, one in OPTIONS.items():
        only = "" if one.adapters else "`RerankClient` only. "
        yield f"`{name}`", one.shown or f"`{_shown(one)}`", only + _escaped(one.help)


def _shown(one: Option) -> str:
    return repr(one.default) if one.default is DEFAULT_BACKOFF else code(one.default)


def _escaped(text: str) -> str:
    """Values and options as code, in a cell of a table."""
    return re.sub(rf'"[^"]+"|\b(?:None|True|False|{_NAMES})\b', r"`\g<0>`", text).replace("|", "\\|")


def _adapter_rows() -> Iterator[tuple[str, str, str]]:
    """What the rerankers have beside the connection."""
    # Here, so that a broken table can be written anew: importing them needs the files that are written.
    import langchain_qwen3_sglang  # noqa: PLC0415 - see above
    import llama_index_qwen3_sglang  # noqa: PLC0415 - see above

    chain = langchain_qwen3_sglang.Qwen3SGLangRerank.model_fields
    index = llama_index_qwen3_sglang.Qwen3SGLangRerank.model_fields
    for name, field in {**chain, **{name: field for name, field in index.items() if name not in chain}}.items():
        if name not in OPTIONS and name not in NOT_OPTIONS:
            only = "" if name in chain and name in index else f"{'LangChain' if name in chain else 'LlamaIndex'} only. "
            default = str(field.default) if hasattr(field.default, "name") else code(field.default)
            yield f"`{name}`", f"`{default}`", only + _escaped(field.description or "")


def written(path: Path) -> str:
    """One of the files, as it should be."""
    make = {CLIENT: client_source, FIELDS: fields_source, PAGE: page}[path]
    return make(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for target in (CLIENT, FIELDS, PAGE):
        target.write_text(written(target), encoding="utf-8")
