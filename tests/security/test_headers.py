"""`headers=` and `api_key_header=`: sent with every request, by every way, and shown no more than the key.

Tests of `options/headers.py`.
"""

from __future__ import annotations

import copy
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from langchain_core.load import dumps, loads
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from langchain_qwen3_sglang import Qwen3SGLangRerank as LangChainRerank
from llama_index_qwen3_sglang import Qwen3SGLangRerank as LlamaIndexRerank
from qwen3_sglang import RerankClient
from qwen3_sglang.errors import InvalidInputError, Qwen3SGLangError
from qwen3_sglang.options.headers import Headers, read_headers
from qwen3_sglang.secret import SecretStr
from ways import Answer, Server, use

VALUE = "tenant-secret-0123456789"
SHOWN = {"x-api-key": VALUE, "X-Route": "gpu-pool"}


def wrong(value: object, words: str, **more: Any) -> InvalidInputError:
    """Refused by the client, in these words; no value shown."""
    with pytest.raises(InvalidInputError, match=words) as caught:
        RerankClient("http://127.0.0.1:9", headers=value, **more)  # type: ignore[arg-type] # what is wrong
    assert caught.value.field == "headers"
    assert VALUE not in str(caught.value)
    assert VALUE not in repr(caught.value)
    return caught.value


def test_every_request_has_them(origin: Server, way: str) -> None:
    """Client and adapters, sync and async; the key goes under its own name, and no other."""
    made, call = use(
        way, base_url=origin.url, headers=SHOWN, api_key="sk-1", api_key_header="X-Gateway-Key", endpoint="v1/classify"
    )
    call()
    assert len(origin.seen) == 2
    for seen in origin.seen:
        assert (seen["x-api-key"], seen["x-route"], seen["x-gateway-key"]) == (VALUE, "gpu-pool", "sk-1")
        assert "authorization" not in seen
    assert VALUE not in repr(made)


def test_the_discovery_has_them_too(origin: Server) -> None:
    """A gateway asks for its header at every path."""
    RerankClient(origin.url, headers=SHOWN).score("q", ["d"])
    assert len(origin.seen) == 4
    assert {seen["x-api-key"] for seen in origin.seen} == {VALUE}


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_a_login_of_ones_own(
    origin: Server, way: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It counts instead of ~/.netrc; beside a key it is refused, unless the key has another name."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    use(way, base_url=origin.url, headers={name: "Basic " + VALUE}).call()
    assert {seen["authorization"] for seen in origin.seen} == {f"Basic {VALUE}"}
    wrong({name: VALUE}, "api_key is sent under that name", api_key="sk-1")
    RerankClient(origin.url, headers={name: VALUE}, api_key="sk-1", api_key_header="x-key")


@pytest.mark.parametrize("name", ["X-Key", "x-key"])
def test_a_key_and_a_header_of_one_name(name: str) -> None:
    """Case makes no difference."""
    wrong({name: VALUE}, "api_key is sent under that name", api_key="sk-1", api_key_header="x-KEY")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *(({name: VALUE}, "sets it by itself") for name in ("Host", "content-length", "Transfer-Encoding")),
        *(({name: VALUE}, "sets it by itself") for name in ("Connection", "TE", "Expect", "Accept-Encoding")),
        *(({name: VALUE}, "letters, digits and hyphens") for name in ("", "a b", "a:", "é", "a\r\nb", f"k {VALUE}", 3)),
        *(
            ({"a": text}, "printable ASCII")
            for text in ("", " ", f"{VALUE}\n", f"{VALUE}\r\nX: y", f" {VALUE}", "é", 3)
        ),
        ({"a": VALUE, "A": VALUE}, "name each header once"),
        (f"no colon {VALUE}", "letters, digits and hyphens"),
        ([("a", VALUE)], "pass a mapping"),
        (3, "pass a mapping"),
    ],
)
def test_what_is_refused(value: object, words: str) -> None:
    """By RFC 9110, and what the client sets; a line end would begin a header of the value's own."""
    wrong(value, words)


@pytest.mark.parametrize("name", ["", "two words", "Host", "a\nb", 3])
def test_the_keys_header_is_a_name_too(name: Any) -> None:
    """Checked alike."""
    with pytest.raises(InvalidInputError) as caught:
        RerankClient("http://127.0.0.1:9", api_key="sk-1", api_key_header=name)
    assert caught.value.field == "api_key_header"


FORMS = [SHOWN, {name: SecretStr(value) for name, value in SHOWN.items()}, f"x-api-key: {VALUE}\n\nX-Route:gpu-pool\n"]


@pytest.mark.parametrize("given", FORMS, ids=["mapping", "secrets", "lines"])
def test_forms(given: Any) -> None:
    """A mapping, secrets of any library, lines of text, the environment's too."""
    read = read_headers(given)
    assert isinstance(read, Headers)
    assert {name: one.get_secret_value() for name, one in read.items()} == SHOWN
    assert read_headers({}) is None
    assert read_headers("") is None


def test_from_the_environment(origin: Server, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One per line."""
    monkeypatch.setenv("QWEN3_SGLANG_HEADERS", f"x-api-key: {VALUE}\nx-route: a: b")
    use(way, base_url=origin.url).call()
    assert {(seen["x-api-key"], seen["x-route"]) for seen in origin.seen} == {(VALUE, "a: b")}


@pytest.mark.parametrize("body", [VALUE, VALUE.replace("-", "\\u002d"), VALUE.encode().hex()])
def test_a_peer_that_repeats_them(origin: Server, way: str, body: str) -> None:
    """In any spelling, and with a scheme in front of it; nothing that the failure refers to shows them."""
    origin.answer = Answer(400, body.encode())
    made, call = use(way, base_url=origin.url, headers={"Authorization": f"Basic {VALUE}"})
    with pytest.raises(Qwen3SGLangError) as caught:
        call()
    shown = [
        str(caught.value),
        repr(caught.value),
        "".join(traceback.format_exception(caught.value)),
        pretty_repr(made),
    ]
    assert not [text for text in shown if VALUE in text or body in text]
    assert "**********" in str(caught.value)


def test_a_traceback_with_locals(way: str) -> None:
    """As an application's logger may print it."""
    from rich.console import Console  # noqa: PLC0415 - here alone

    console = Console(record=True, width=200, file=None, quiet=True)
    try:
        use(way, base_url="http://127.0.0.1:9", headers={"x-api-key": VALUE}, max_retries=0).call()
    except Qwen3SGLangError as error:
        console.print(Traceback.from_exception(type(error), error, None, show_locals=True))
    assert VALUE not in console.export_text()


@pytest.mark.parametrize("kind", [RerankClient, LangChainRerank, LlamaIndexRerank])
def test_pickles_have_none(kind: Any) -> None:
    """As of the key; the environment has them where the copy runs."""
    made = kind(base_url="http://127.0.0.1:9", headers=SHOWN)
    dumped = pickle.dumps(made)
    assert VALUE.encode() not in dumped
    assert not getattr(pickle.loads(dumped), "headers", None)  # noqa: S301 - ours
    assert VALUE not in repr(made)
    assert VALUE not in pretty_repr(getattr(made, "settings", made))


def test_dumps_of_the_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain's names the variable, LlamaIndex's leaves them out."""
    made = LangChainRerank(base_url="http://127.0.0.1:9", headers=SHOWN)
    written = dumps(made)
    assert VALUE not in written
    monkeypatch.setenv("QWEN3_SGLANG_HEADERS", f"x-api-key: {VALUE}")
    again = loads(
        written, secrets_from_env=True, allowed_objects=[LangChainRerank], valid_namespaces=["langchain_qwen3_sglang"]
    )
    assert again._connect().settings.headers["x-api-key"].get_secret_value() == VALUE
    assert VALUE not in LlamaIndexRerank(base_url="http://127.0.0.1:9", headers=SHOWN).to_json()
    assert VALUE not in made.model_dump_json()


def test_copies_of_an_adapter_keep_them() -> None:
    """As the key."""
    made = LangChainRerank(base_url="http://127.0.0.1:9", headers=SHOWN)
    for copied in (copy.copy(made), copy.deepcopy(made), made.model_copy(update={"top_n": 3})):
        assert copied._connect().settings.headers["x-api-key"].get_secret_value() == VALUE
