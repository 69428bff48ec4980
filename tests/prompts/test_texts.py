"""What texts are read as: NFC in linear time, and only what UTF-8 can hold."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3_sglang.errors import InvalidInputError, QueryError
from qwen3_sglang.prompts import texts
from qwen3_sglang.prompts.texts import (
    BETWEEN,
    SLICE,
    Together,
    all_readable,
    as_one,
    bytes_in_nfc,
    check_documents,
    check_encodable,
    check_text,
    nfc,
    readable,
    short_ascii,
    source_length,
)

EVERY = list(map(chr, range(sys.maxunicode + 1)))
ODD = "a\u0301\u0323\u0344\u0345\u0f73\u0f71\u302a가각\u11a8\u1100\u1161e é\u3099かẫǕ\U0001d160-"


@given(text=st.text(st.sampled_from(ODD), max_size=200), repeat=st.integers(1, 40))
def test_nfc_is_nfc(text: str, repeat: int) -> None:
    """Also where runs of marks are put in order first."""
    assert nfc(text * repeat, sys.maxsize) == unicodedata.normalize("NFC", text * repeat)


@given(text=st.text(st.sampled_from(ODD), max_size=50), length=st.integers(1, 200_000))
def test_a_start_of_nfc(text: str, length: int) -> None:
    """Of the length that is asked for, and little more."""
    long = (text + "x") * 4000
    whole = unicodedata.normalize("NFC", long)
    found = nfc(long, length)
    assert whole.startswith(found)
    assert min(length, len(whole)) <= len(found)


@pytest.mark.parametrize(("length", "slices"), [(1, 1), (SLICE, 1), (SLICE + 1, 2), (2 * SLICE + 1, 3), (9 * SLICE, 3)])
def test_no_more_of_nfc_is_made_than_is_asked_for(length: int, slices: int) -> None:
    """By whole slices, so that the rest of a huge text costs nothing."""
    assert len(nfc("ab" * (3 * SLICE // 2), length)) == slices * SLICE


def test_the_length_of_nfc_is_counted_piece_by_piece() -> None:
    """Pieces that compose become shorter: what is asked for is there all the same, and not a piece more."""
    text = "e\u0301" * (SLICE // 2) + "a" * (4 * SLICE)
    for length, made in ((SLICE // 2, 1), (SLICE // 2 + 1, 3), (3 * SLICE // 2, 3), (3 * SLICE // 2 + 1, 5)):
        assert len(nfc(text, length)) == made * SLICE // 2


@pytest.mark.parametrize("unit", ["e\u0301", "a", "가", "字\u3099", "\u3099", "ka\u0323\u0328", "\u1100\u1161\u11a8"])
def test_a_long_text_is_normalised_in_slices(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is written: no call into C sees more than a slice and what can't be cut from it, nor far less."""
    monkeypatch.setattr(texts, "SLICE", 64)
    seen: list[int] = []

    def normalize(form: Literal["NFC", "NFD"], text: str) -> str:
        seen.append(len(text))
        return unicodedata.normalize(form, text)

    watched = SimpleNamespace(**{**vars(unicodedata), "normalize": normalize})
    texts._all_alone()
    monkeypatch.setattr(texts, "unicodedata", watched)
    text = (unit * 20 + "x") * 40
    assert nfc(text, len(text)) == unicodedata.normalize("NFC", text)
    pieces = [size for size in seen if size > len(unit)]  # not the marks that are put in order
    assert min(pieces[:-1]) >= 64
    assert max(pieces) <= 64 + 20 * len(unit) + 1


def test_common_texts_do_without_the_table_of_what_composes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a slice behind the first one there is a common letter, marks or not."""

    def table() -> None:
        raise AssertionError("it takes 50 ms")

    monkeypatch.setattr(texts, "SLICE", 64)
    monkeypatch.setattr(texts, "_all_alone", table)
    for unit in ("e" + "\u0301" * 20, "か" + "\u3099" * 20, "\u1100\u1161\u11a8" * 15 + " "):
        text = unit * 40 + "x" * 200
        assert nfc(text, sys.maxsize) == unicodedata.normalize("NFC", text)


def test_how_far_is_looked_for_a_common_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the slice behind each piece, and no further: a script without any would be read to its end each time."""
    looked: list[tuple[int, int]] = []

    def search(_: str, begin: int, end: int) -> None:
        looked.append((begin, end))

    monkeypatch.setattr(texts, "SLICE", 64)
    monkeypatch.setattr(texts, "_ALONE", SimpleNamespace(search=search))
    nfc("\u05d0" * (3 * 64), sys.maxsize)
    assert looked == [(64, 128), (128, 192)]


def test_what_composes_is_found_once() -> None:
    """It takes 50 ms."""
    assert texts._all_alone() is texts._all_alone()


@pytest.mark.parametrize("size", [1, 2, 3, 40])
def test_the_source_of_a_short_normal_form(size: int) -> None:
    """Four characters may become one, and one three."""
    assert source_length("\u03b1\u0313\u0300\u0345" * 100, size) == 4 * size
    assert source_length("\u1100\u1161\u11a8" * 100, size) == 3 * size
    assert source_length("\U0001d160" * 100, size) == size // 3
    assert source_length("é" * 20, size) == min(size, 20)
    assert source_length("e" * 20, size) == min(size, 20)


def test_the_source_of_a_normal_form_that_ends_with_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long text no more is normalised than shows that there are more."""
    monkeypatch.setattr(texts, "SLICE", 4)
    text = ("e\u0301" * 3 + "abc") * 6
    sizes = [len(unicodedata.normalize("NFC", text[:size])) for size in range(len(text) + 1)]
    for length in range(max(sizes) + 2):
        assert source_length(text, length) == max(size for size, made in enumerate(sizes) if made <= length)


def test_every_combining_mark_is_one() -> None:
    """Of whatever Unicode this Python knows; those as well that only their decomposition shows to be one."""
    marks = [c for c in EVERY if unicodedata.combining(unicodedata.normalize("NFD", c)[0])]
    assert len(marks) > 900
    assert [c for c in marks if not texts._LONG_RUN.fullmatch(c * 32)] == []


@pytest.mark.parametrize("mark", ["\u0300", "\u0301", "\u0344", "\u0345", "\u3099", "\u0f71"])
def test_a_mark_stays_with_its_letter(mark: str) -> None:
    """Though a slice ends between them, and nothing but letters of one script follows."""
    text = "a" * (SLICE - 1) + "e" + mark + "\u05d0" * (3 * SLICE)
    assert nfc(text, len(text)) == unicodedata.normalize("NFC", text)
    shifted = "a" * (SLICE - 2) + "e" + mark + "\u05d0" * (3 * SLICE)
    assert nfc(shifted, len(shifted)) == unicodedata.normalize("NFC", shifted)


def test_nothing_composes_across_a_border() -> None:
    """Texts are taken apart in front of characters that no other composes with: of many at once, then of all others."""
    pairs = [unicodedata.decomposition(c).split() for c in EVERY]
    second = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}
    # Jamo compose by rule.
    second |= {c for c in EVERY[0x1100:0x1200] if 1 in {len(unicodedata.normalize("NFC", s + c)) for s in "\u1100가"}}
    apart = [unicodedata.normalize("NFD", c)[0] for c in EVERY]
    joins = {c for c, first in zip(EVERY, apart, strict=True) if unicodedata.combining(first) or first in second}
    assert len(joins) > 900
    alone = [c for c in EVERY if texts._ALONE.match(c)]
    assert len(alone) > 30_000
    assert joins.isdisjoint(alone)
    every = texts._all_alone()
    assert {c for c in EVERY if not every.match(c)} == joins


@given(text=st.text(st.sampled_from(ODD), max_size=60), enough=st.integers(0, 300))
def test_bytes_are_never_underestimated(text: str, enough: int) -> None:
    """And exact where there are enough at most."""
    found, true = bytes_in_nfc(text, enough), len(unicodedata.normalize("NFC", text).encode())
    assert (found <= enough) <= (true <= enough)
    if true <= enough and not texts._LONG_RUN.search(text):
        assert found == true


@given(text=st.text(st.characters(), max_size=30), most=st.integers(0, 40))
def test_what_is_read_can_be_sent(text: str, most: int) -> None:
    """As long as it was, each lone surrogate replaced."""
    found = readable(text, most)
    assert found.encode().decode() == found
    assert len(found) == min(most, len(text))
    assert all(new in (old, "\ufffd") for old, new in zip(text, found, strict=False))


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("query", " \n", QueryError),
        ("query", "", QueryError),
        ("query", 5, InvalidInputError),
        ("instruction", " ", InvalidInputError),
    ],
)
def test_only_a_blank_query_is_run_time_data(field: str, value: object, kind: type[InvalidInputError]) -> None:
    """A wrong type is a mistake in the program, and so is a blank instruction."""
    with pytest.raises(InvalidInputError) as caught:
        check_text(field, value)
    assert type(caught.value) is kind


def test_a_text_that_starts_with_a_million_spaces_is_blank() -> None:
    """No prompt has room for what follows them; with one space fewer, it is a text."""
    with pytest.raises(QueryError, match="blank"):
        check_text("query", " " * 2**20 + "x")
    check_text("query", " " * (2**20 - 1) + "x")


def test_a_subclass_of_str_is_a_string() -> None:
    """And whatever else stands in the list is named by its place."""

    class Text(str):
        __slots__ = ()

    assert check_documents(["a", Text("b")]) is False
    assert check_documents(["a", "b"]) is check_documents([]) is True
    with pytest.raises(InvalidInputError, match=r"documents\[1\]=7"):
        check_documents(["a", 7])


@pytest.mark.parametrize(
    ("texts", "most", "longest"),
    [
        (["ab", "", "c"], 3, 2),
        (["ab", "c"], 2, None),
        (["\u00e4", "\u4e2d\U0001f600"], 9, 2),
        (["a", "\ud800"], 9, None),
        (["\ud83d", "\ude00"], 9, None),
        ([], 9, 0),
        (["x" * 2**17, "y" * 2**17], 2**20, 2**17),
        (["x" * 2**17, "y" * 2**17, "z"], 2**20, None),
    ],
)
def test_texts_that_are_read_as_they_are(texts: list[str], most: int, longest: int | None) -> None:
    """Short ones together; a surrogate is alone in its own text, whatever the next one begins with."""
    found = as_one(texts, most)
    if longest is None:
        assert found is None
        return
    assert isinstance(found, Together)
    assert found == texts
    assert found is not texts
    assert (found.whole, found.longest) == (BETWEEN.join(texts), longest)


class Changing(Sequence[str]):
    """Another text each time it is read."""

    times = 0

    def __len__(self) -> int:
        return 1

    def __getitem__(self, place: Any) -> Any:
        if place:
            raise IndexError
        self.times += 1
        return "x" * self.times


def test_a_list_that_changes_meanwhile_is_read_once() -> None:
    """What is sent is what is remembered: another thread may write to the caller's list."""
    found = as_one(Changing(), 9)
    assert found is not None
    assert [found.whole] == found
    assert found.longest == len(found[0])


@pytest.mark.parametrize(("texts", "most"), [(["ab", "c"], 2), (["ab", "c"], 1), (["\u00e4"], 9), ([], 0)])
def test_texts_that_were_looked_at_as_one_are_not_looked_at_again(texts: list[str], most: int) -> None:
    """What is known of them says the same as a look at each."""
    found = as_one(texts, 9)
    assert found is not None
    assert short_ascii(found, most) == short_ascii(texts, most) == (all(map(str.isascii, texts)) and most != 1)


@pytest.mark.parametrize("documents", ["one", b"one", {"a"}, 7, None])
def test_what_is_no_list_of_texts(documents: object) -> None:
    """One string would be read letter by letter."""
    with pytest.raises(InvalidInputError, match="pass a list of strings") as caught:
        check_documents(documents)
    assert caught.value.field == "documents"


def test_a_name_that_cannot_be_sent() -> None:
    """A name isn't mended as a text is: it would be another one."""
    check_encodable("model", "mod\u00e9l")
    with pytest.raises(InvalidInputError, match="without lone surrogates") as caught:
        check_encodable("model", "a\ud800")
    assert caught.value.field == "model"


class _Other(str):
    """As an enum of strings: other text once it is put together with something."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other"


@pytest.mark.parametrize("most", [2, 3, 4])
@pytest.mark.parametrize("whole", ["abc", "a\u00e9c", "ab\ud800", "\udc00bc"])
def test_every_text_is_cut_and_mended_alike(whole: str, most: int) -> None:
    """One or several, the usual case or not; a subclass is read as the string that it is."""
    wanted = whole[:most].replace("\ud800", "\ufffd").replace("\udc00", "\ufffd")
    assert readable(whole, most) == wanted
    for texts_ in ([whole], ["x", whole], [_Other(whole), "x"]):
        assert wanted in all_readable(texts_, most)
        assert len(all_readable(texts_, most)) == len(texts_)
        assert set(map(type, all_readable(texts_, most))) == {str}
    assert all_readable([], most) == []


def test_a_surrogate_in_any_slice_is_mended() -> None:
    """Long texts are worked on in slices."""
    for place in (0, SLICE - 1, SLICE, 2 * SLICE):
        whole = "x" * place + "\ud800" + "y" * (2 * SLICE - place)
        assert readable(whole, len(whole)) == whole.replace("\ud800", "\ufffd")


def test_how_many_bytes_there_are() -> None:
    """Exact up to what is enough; an upper bound beyond, and where marks are too many to be looked at."""
    assert [bytes_in_nfc(text, 9) for text in ("", "abc", "\u00e9", "e\u0301", "\U0001d160")] == [0, 3, 2, 2, 12]
    assert bytes_in_nfc("\U0001d160" * 3, 4) == 36
    assert bytes_in_nfc("\U0001d160" * 4, 4) == 16
    marks = "a" + "\u0301" * 32
    assert bytes_in_nfc(marks, 99) == 3 * len(marks.encode())
    assert bytes_in_nfc(marks[:-1], 99) == len(unicodedata.normalize("NFC", marks[:-1]).encode())


@pytest.mark.parametrize(
    ("document", "remedy"),
    [
        ({"text": "a"}, 'pass a string: document["text"]'),
        ({"id": 1, "page_content": "a"}, 'pass a string: document["page_content"]'),
        ({"body": "a"}, "pass a string"),
        (SimpleNamespace(page_content="a"), "pass a string: document.page_content"),
        (SimpleNamespace(get_content=str, text="a"), "pass a string: document.get_content()"),
        (SimpleNamespace(text=7), "pass a string"),
    ],
)
def test_other_libraries_documents(document: object, remedy: str) -> None:
    """The message says where their text is."""
    with pytest.raises(InvalidInputError) as caught:
        check_documents(["a", document])
    assert (caught.value.field, caught.value.remedy) == ("documents[1]", remedy)


@pytest.mark.parametrize(
    ("documents", "remedy"),
    [
        ((text for text in "ab"), "pass a list of strings: list(documents)"),
        ({"a"}, "pass a list of strings: list(documents)"),
        ({"a": "b"}, "pass a list of strings"),
        ("ab", "pass a list of strings"),
        (None, "pass a list of strings"),
    ],
)
def test_what_is_no_list(documents: object, remedy: str) -> None:
    """A generator, which could be read once only, and others."""
    with pytest.raises(InvalidInputError) as caught:
        check_documents(documents)
    assert caught.value.remedy == remedy


def test_slices_are_short() -> None:
    """One step of work stays far below the 50 ms that an event loop may be held."""
    assert SLICE <= 2**16
