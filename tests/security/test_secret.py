"""However a peer writes a secret that it repeats, it is hidden.

Tests of `secret.py`.
"""

from __future__ import annotations

import html
import json
import math
import string
from base64 import b32encode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwen3_sglang import RerankClient
from qwen3_sglang.errors import Qwen3SGLangError
from qwen3_sglang.secret import MASK, Bearer, Hidden, HiddenBytes, SecretStr, hide
from ways import Answer, Server, use

PRINTABLE = string.ascii_letters + string.digits + string.punctuation
KEYS = st.text(PRINTABLE, min_size=8, max_size=40).filter(lambda key: "*" not in key)
ESCAPES: list[Callable[[str], str]] = [
    lambda char: char,
    lambda char: f"\\u{ord(char):04x}",
    lambda char: f"\\u{ord(char):04X}",
    lambda char: json.dumps(char)[1:-1],
    lambda char: f"\\{char}" if char in '/"\\' else char,
    lambda char: f"%{ord(char):02x}",
    lambda char: f"%{ord(char):02X}",
    lambda char: quote(char, safe=""),
    lambda char: f"%25{ord(char):02X}",
    html.escape,
    lambda char: f"&#{ord(char)};",
    lambda char: f"&#x{ord(char):x};",
    lambda char: f"\\x{ord(char):02x}",
    lambda char: f"\\{ord(char):03o}",
    lambda char: f"\\u{{{ord(char):x}}}",
    lambda char: {"/": "&sol;", "+": "&plus;", "=": "&equals;", "_": "&lowbar;", "'": "&apos;"}.get(char, char),
]
WHOLE: list[Callable[[str], str]] = [
    str,
    json.dumps,
    lambda key: json.dumps(json.dumps(key)),
    lambda key: json.dumps(json.dumps({"error": f"Bearer {key}"})),
    lambda key: json.dumps(key).replace("/", "\\/"),
    repr,
    lambda key: repr(f"Bearer {key}".encode()),
    quote,
    quote_plus,
    lambda key: quote(quote(key, safe=""), safe=""),
    html.escape,
    lambda key: b64encode(key.encode()).decode(),
    lambda key: urlsafe_b64encode(key.encode()).decode().rstrip("="),
    lambda key: b64encode(f"Bearer {key}".encode()).decode(),
    lambda key: b64encode(f"u:{key}@".encode()).decode(),
    lambda key: b64encode(f"me:{key}".encode()).decode(),
    lambda key: key.encode().hex(),
    lambda key: key.encode().hex().upper(),
    lambda key: b32encode(key.encode()).decode(),
    lambda key: b32encode(f"Bearer {key}".encode()).decode().lower().rstrip("="),
]


@settings(max_examples=60)
@given(KEYS, st.sampled_from(WHOLE))
def test_no_usual_encoding_shows_a_key(key: str, encode: Callable[[str], str]) -> None:
    """Nothing of it is left beside the mask, whatever is around it."""
    said = encode(key)
    assert hide(said, [SecretStr(key)]) != said
    assert encode("").strip() == "" or MASK in hide(said, [SecretStr(key)])
    left = hide(f"<<{said}>>", [SecretStr(key)])
    assert key not in left
    assert said not in left


@settings(max_examples=60)
@given(KEYS, st.data())
@example("sk/made=up&key", None)
def test_no_mixture_of_escapes_shows_a_key(key: str, data: st.DataObject | None) -> None:
    """Each character may be written in its own way."""
    ways = [ESCAPES[i % len(ESCAPES)] if data is None else data.draw(st.sampled_from(ESCAPES)) for i in range(len(key))]
    said = "".join(way(char) for way, char in zip(ways, key, strict=True))
    assert hide(f"<{said}>", [SecretStr(key)]).strip("\\") in {f"<{MASK}>", f"<{MASK}\\>"}


@given(st.text(), KEYS)
def test_what_is_no_key_stays(text: str, key: str) -> None:
    """Only the key is taken out."""
    if not set(key.lower()) <= set(text.lower()) and not set(text) & set("\\%&"):
        assert hide(text, [SecretStr(key)]) == text


@pytest.mark.parametrize("password", ["pä/ss wörd", "密码", "🔑"])
def test_passwords_of_any_script(password: str) -> None:
    """A proxy's may have letters that a key can't have."""
    for said in (password, quote(password), json.dumps(password)[1:-1], password.encode().decode("latin-1")):
        assert hide(f"<{said}>", [SecretStr(password)]) == f"<{MASK}>"


KEY = "sk-a/b=c&d+e?0123456789"
REPEATED = [
    json.dumps({"error": {"message": f"no key {KEY}"}}).replace("/", "\\/"),
    json.dumps({"message": KEY}).replace("=", "\\u003d").replace("&", "\\u0026"),
    json.dumps({"detail": json.dumps({"key": KEY}).replace("/", "\\/")}),
    f"<p>{html.escape(KEY)}</p>",
    f"GET /?key={quote(KEY, safe='')}",
]


@pytest.mark.parametrize("said", REPEATED)
@pytest.mark.parametrize("status", [200, 400, 401, 404, 500, 503])
@pytest.mark.parametrize("mode", ["client sync", "client async"])
def test_a_message_shows_no_key(origin: Server, said: str, status: int, mode: str) -> None:
    """Read as JSON or not, whatever the status."""

    origin.answer = Answer(status, said.encode())
    with pytest.raises(Qwen3SGLangError) as caught:
        use(mode, base_url=origin.url, api_key=KEY, timeout=10.0, max_retries=0).call()
    assert status == 200 or MASK in str(caught.value)
    assert not [form for form in (KEY, quote(KEY, safe=""), KEY.replace("/", "\\/")) if form in repr(caught.value)]


def test_an_error_has_no_context(origin: Server) -> None:
    """Also where the caller is handling another: what hangs on the error holds no answer, and no key."""
    origin.answer = Answer(200, f"no JSON, but {KEY}".encode())
    client, own = RerankClient(origin.url, api_key=KEY), LookupError("the caller's own")

    def call() -> None:
        try:
            raise own
        finally:
            client.rerank("q", ["d"])

    with pytest.raises(Qwen3SGLangError) as caught:
        call()
    assert (caught.value.__cause__, caught.value.__context__) == (None, own)


@settings(max_examples=60)
@given(KEYS, st.integers(4, 40), st.sampled_from(WHOLE), st.sampled_from(["…", ""]))
def test_a_key_that_was_cut_off_is_hidden_too(key: str, length: int, encode: Callable[[str], str], mark: str) -> None:
    """A message that was shortened may end within it."""
    said = f"<{encode(key)}"[: length + 1] + mark
    left = hide(said, [SecretStr(key)])
    assert not any(key[:size] in left for size in range(5, len(key) + 1))


@pytest.mark.parametrize("mode", ["client sync", "client async"])
@pytest.mark.parametrize("before", [70, 84, 98, 112])
def test_a_long_answer_shows_no_part_of_a_key(origin: Server, mode: str, before: int) -> None:
    """Wherever its quotation ends."""
    origin.answer = Answer(200, ("x" * before + KEY + "y" * 300).encode())
    with pytest.raises(Qwen3SGLangError) as caught:
        use(mode, base_url=origin.url, api_key=KEY, max_retries=0).call()
    assert KEY[:5] not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "said", "hidden"),
    [
        ("key", "6b6579", False),
        ("keys", "6b657973", True),
        ("keys5", "a2V5czU", False),
        ("keys56", "a2V5czU2", True),
    ],
)
def test_a_code_that_may_be_a_word_stays(key: str, said: str, hidden: bool) -> None:
    """Hexadecimal or base64 of fewer than eight characters occurs by chance."""
    assert hide(f"<{said}>", [SecretStr(key)]) == (f"<{MASK}>" if hidden else f"<{said}>")


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("after", range(4))
def test_a_login_in_base64_shows_the_name_alone(before: int, after: int) -> None:
    """However many bytes stand around the key: of the others only those characters are left that hold them too."""
    size = before + len(KEY) + after
    encoded = b64encode(b"<" * before + KEY.encode() + b">" * after).decode()
    front, mask, rest = hide(encoded, [SecretStr(KEY)]).partition(MASK)
    assert mask
    assert encoded.startswith(front)
    assert encoded.endswith(rest)
    assert len(front) == math.ceil(before * 8 / 6)
    assert len(rest.rstrip("=")) <= math.ceil(size * 8 / 6) - (before + len(KEY)) * 8 // 6


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (KEY[:3], KEY[:3]),
        (KEY[:4], MASK),
        (KEY[:4] + "…", MASK + "…"),
        (KEY[:4] + ", it says", KEY[:4] + ", it says"),
        (KEY[:6] + "\\u002", MASK),
        (KEY[:6] + "%2", MASK),
        (KEY[:6] + "%252", MASK),
        (KEY[:6] + "&#x0002", MASK),
        (KEY[:6] + "&lowba…", MASK + "…"),
        (KEY[:6] + "\\", MASK),
        (KEY + "%", MASK + "%"),
    ],
)
def test_where_a_quotation_ends_within_the_key(end: str, left: str) -> None:
    """Four characters of it are enough, and an escape that was begun goes with them; what goes on is no such end."""
    assert hide(f"he said {end}", [SecretStr(KEY)]) == f"he said {left}"


def test_secrets_of_a_call_are_all_hidden() -> None:
    """Each of them, the empty one aside, in every place."""
    secrets = [SecretStr(""), SecretStr("first-key"), SecretStr("other-key")]
    assert hide("other-key, first-key, other-key", secrets) == f"{MASK}, {MASK}, {MASK}"
    assert hide("nothing", []) == "nothing"


def test_what_stands_for_a_secret() -> None:
    """In a repr; the value is still there for whoever sends it."""
    assert repr(SecretStr(KEY)) == f"SecretStr('{MASK}')"
    bearer = Bearer(SecretStr(KEY))
    assert (repr(bearer), str(bearer)) == (f"'Bearer {MASK}'", f"Bearer {KEY}")
    assert (repr(Hidden(KEY)), str(Hidden(KEY))) == (f"'{MASK}'", KEY)
    assert (repr(HiddenBytes(b"key")), bytes(HiddenBytes(b"key"))) == (f"b'{MASK}'", b"key")


@pytest.mark.parametrize(("key", "hidden"), [("Sk-Ab/cd", True), ("Sk-Ab/c", False)])
@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase])
def test_a_key_in_another_case(key: str, hidden: bool, change: Callable[[str], str]) -> None:
    """A proxy may change it; a short one may then be an ordinary word."""
    said = change(f"<{key}>")
    assert hide(said, [SecretStr(key)]) == (f"<{MASK}>" if hidden else said)
