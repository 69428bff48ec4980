"""Tokens of every script, and that BM25 finds the right document by them.

Tests of `evaluate/bm25.py`.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from judged_data import write_lines

from qwen3_sglang.evaluate import load_dataset, tokens
from qwen3_sglang.evaluate.bm25 import Index, order, search

ZH_CORPUS = {
    "d1": "长城是古代为抵御北方侵扰而修建的防御工程。",
    "d2": "故宫位于北京中轴线的中心，曾是明清两代的皇宫。",
    "d3": "蒸馏水是通过加热蒸发再冷凝得到的纯净水。",
    "d4": "光合作用把二氧化碳和水转化为有机物并放出氧气。",
    "d5": "黄河流经九个省区，最后注入渤海。",
    "d6": "围棋的棋盘由横竖各十九条线组成。",
    "d9": "茶叶经过杀青、揉捻和干燥制成绿茶。",
    "d11": "纸是用植物纤维制成的薄片。",
}
ZH_QUERIES = {"d2": "明清皇宫在哪里", "d4": "植物如何放出氧气", "d5": "黄河注入哪片海", "d9": "绿茶怎么制作"}

# Templates and words for corpora of our own: two sentences per document, and a question that repeats neither of them.
SCRIPTS = {
    "chinese": (
        [
            "位于{p}的{a}由{n}管理，主要出产{c}。", "{n}在{p}创办了一家{a}，以{c}闻名。",
            "来到{p}的游客都会参观{a}，并购买{n}监制的{c}。",
        ],
        ["想在{p}买{c}，应该去谁的{a}？", "{n}的{a}卖{c}吗，是不是在{p}？"],
        {
            "p": ["北京", "上海", "成都", "广州", "西安", "杭州", "青岛", "昆明"],
            "a": ["博物馆", "茶园", "书店", "渔场", "陶瓷厂", "果园"],
            "n": ["王老师", "李工程师", "张医生", "陈船长", "赵厨师", "周教授", "吴木匠"],
            "c": ["丝绸", "绿茶", "瓷器", "海鱼", "苹果", "古籍", "蜂蜜", "雨伞"],
        },
    ),
    "japanese": (
        [
            "{p}にある{a}は{n}が営んでおり、{c}で知られている。", "{n}は{p}で{a}を開き、毎日{c}を作っている。",
            "{p}を訪れる人は{a}に寄り、{n}のすすめる{c}を買う。",
        ],
        ["{p}で{c}を買える{a}はだれのものですか", "{n}の{a}は{p}のどこで{c}を売っていますか"],
        {
            "p": ["京都", "大阪", "札幌", "横浜", "奈良", "長崎", "仙台", "金沢"],
            "a": ["パン屋", "美術館", "温泉旅館", "本屋", "りんご園", "喫茶店"],
            "n": ["田中さん", "佐藤さん", "山本さん", "鈴木さん", "小林さん", "中村さん", "高橋さん"],
            "c": ["抹茶ケーキ", "手ぬぐい", "はちみつ", "古い地図", "ガラスの器", "わさび漬け", "木の人形", "梅干し"],
        },
    ),
    "korean": (
        [
            "{p}에 있는 {a}은 {n}가 운영하며 {c}으로 유명하다.", "{n}는 {p}에서 {a}을 열고 날마다 {c}을 만든다.",
            "{p}을 찾는 사람들은 {a}에 들러 {n}가 권하는 {c}을 산다.",
        ],
        ["{p}에서 {c}을 파는 {a}의 주인은 누구입니까?", "{n}의 {a}에서는 {c}도 팝니까, {p}입니까?"],
        {
            "p": ["서울", "부산", "대구", "광주", "제주", "전주", "강릉", "경주"],
            "a": ["빵집", "박물관", "서점", "찻집", "과수원", "양조장"],
            "n": ["김선생", "이박사", "박기자", "최감독", "정교수", "한목수", "오선장"],
            "c": ["꿀", "도자기", "사과", "녹차", "부채", "한지", "막걸리", "오징어"],
        },
    ),
    "thai": (
        [
            "{a}ที่{p}ดูแลโดย{n}และมีชื่อเสียงเรื่อง{c}", "{n}เปิด{a}ใน{p}และทำ{c}ทุกวัน",
            "คนที่มาเที่ยว{p}มักแวะ{a}เพื่อซื้อ{c}ที่{n}แนะนำ",
        ],
        ["{c}ของ{n}ซื้อได้จาก{a}ไหน", "ใน{p}ใครเป็นเจ้าของ{a}ที่ขาย{c}"],
        {
            "p": ["กรุงเทพ", "เชียงใหม่", "ภูเก็ต", "ขอนแก่น", "สงขลา", "ระยอง", "ลำปาง", "อยุธยา"],
            "a": ["ร้านหนังสือ", "พิพิธภัณฑ์", "สวนผลไม้", "ร้านกาแฟ", "โรงสี", "ฟาร์มปลา"],
            "n": ["ครูสมชาย", "หมอวิภา", "ลุงประเสริฐ", "ป้าสมศรี", "ช่างอนันต์", "กัปตันมานพ", "อาจารย์ดวงใจ"],
            "c": ["น้ำผึ้ง", "ผ้าไหม", "ทุเรียน", "ชาเขียว", "ร่ม", "เครื่องปั้น", "น้ำปลา", "แผนที่เก่า"],
        },
    ),
}  # fmt: skip


@pytest.fixture(params=["pairs", "icu"])
def splitting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Without icu4py and with it."""
    tokens._icu.cache_clear()
    if request.param == "icu":
        pytest.importorskip("icu4py")
    else:
        monkeypatch.setitem(sys.modules, "icu4py.breakers", None)
    yield str(request.param)
    tokens._icu.cache_clear()


def made(script: str, size: int = 240) -> tuple[dict[str, str], dict[str, str]]:
    """(documents, a question for each of 60 of them); every document is another choice of words."""
    templates, questions, words = SCRIPTS[script]
    chosen = random.Random(7).sample(list(itertools.product(*words.values())), size)  # noqa: S311 - no secret
    facts = [dict(zip(words, choice, strict=True)) for choice in chosen]
    corpus = {str(n): templates[n % len(templates)].format(**fact) for n, fact in enumerate(facts)}
    return corpus, {str(n): questions[n % len(questions)].format(**facts[n]) for n in range(0, size, 4)}


@pytest.mark.usefixtures("splitting")
@pytest.mark.parametrize("script", SCRIPTS)
def test_recall_in_every_script(script: str) -> None:
    """Of 240 documents, the right one is among the first ten at least nine times in ten."""
    corpus, queries = made(script)
    assert len(set(corpus.values())) == 240
    found = search(corpus, queries, 10)
    assert sum(name in places for name, places in found.items()) / len(queries) >= 0.9


@pytest.mark.usefixtures("splitting")
def test_the_right_document_comes_first_in_chinese() -> None:
    """Each question shares a word or two with its document, and characters with others."""
    found = search(ZH_CORPUS, ZH_QUERIES, 5)
    assert {query: places[0] for query, places in found.items()} == {query: query for query in ZH_QUERIES}
    assert all("d6" not in places for places in found.values())


def test_a_folder_in_chinese_says_how_it_was_cut(tmp_path: Path, splitting: str) -> None:
    """So that two reports can be compared."""
    write_lines(tmp_path / "corpus.jsonl", [{"_id": name, "text": text} for name, text in ZH_CORPUS.items()])
    write_lines(tmp_path / "queries.jsonl", [{"_id": name, "text": text} for name, text in ZH_QUERIES.items()])
    write_lines(tmp_path / "qrels" / "test.tsv", [f"{name}\t{name}\t1" for name in ZH_QUERIES])
    assert ("ICU" in load_dataset(tmp_path).first_stage) == (splitting == "icu")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("maxLength", "max_length"),
        ("maxLength", "the MAX length"),
        ("parseHTTPResponse", "http response"),
        ("utf8", "UTF-8"),
        ("std::vector<int>", "vector of int"),
        ("snake_case_name", "snakeCaseName"),
        ("Straße", "STRASSE"),
        ("ＧＰＵ", "gpu"),
        ("हिन्दी", "हिन्दी में"),
        ("می‌خواهم", "میخواهم"),
        ("GPU加速", "用GPU"),
        ("カタカナ", "ｶﾀｶﾅ"),
        ("茶", "绿茶怎么制作"),
    ],
)
def test_these_meet(one: str, other: str) -> None:
    """They share a token."""
    assert set(tokens.tokens(one)) & set(tokens.tokens(other))


@pytest.mark.parametrize(
    ("one", "other"), [("cats", "dogs"), ("the cat", "the dog"), ("的海", "的山"), ("हिन्दी", "हिम")]
)
def test_these_dont_meet(one: str, other: str) -> None:
    """Stop words, particles and halves of words are no hit."""
    assert not set(tokens.tokens(one)) & set(tokens.tokens(other))


def test_the_best_are_the_first_of_all() -> None:
    """However few are asked for; texts without a word of the query aren't among them."""
    texts = ["fish swim", *(f"cats {'purr ' * count}" + "dogs bark " * (7 - count) for count in range(7)), "birds sing"]
    index = Index(texts)
    scores = list(index.scores("cats that purr"))
    whole = sorted((place for place in range(len(texts)) if scores[place] > 0), key=lambda place: -scores[place])
    assert len({scores[place] for place in whole}) == len(whole) == 7
    for depth in (1, 2, 6, 7, 8, 100):
        assert index.best("cats that purr", depth) == whole[:depth]
    assert index.best("the whales", 3) == []
    assert index.scores("whales") is None
    assert Index(["", "the"]).best("the", 3) == []


def test_documents_of_a_query_in_their_order() -> None:
    """By their score over all rows' words; without a hit, last, by neither their place nor their text alone."""
    rows = [("cats purr", ["fish", "cats purr", "cats"]), ("fish", ["fish swim", "fish"]), ("whales", list("abcdef"))]
    first, second, none = order(rows)
    assert first == [1, 2, 0]
    assert second == [1, 0]
    assert sorted(none) == list(range(6))
    turned = [(query, documents[::-1]) for query, documents in rows]
    for (_, documents), (_, other), places, others in zip(rows, turned, order(rows), order(turned), strict=True):
        assert [documents[place] for place in places] == [other[place] for place in others]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The cats, it's said, don't purr", ["cats", "said", "don", "purr"]),
        ("maxLength2", ["maxlength2", "max", "length", "2"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("snake_case", ["snakecase", "snake", "case"]),
        ("_", []),
        ("42", ["42"]),
    ],
)
def test_words_of_a_text(text: str, found: list[str]) -> None:
    """Identifiers whole and in parts, without stop words; in the text's order."""
    assert tokens.tokens(text) == found
