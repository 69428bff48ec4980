"""/v1/score: what its body may hold, and one sequence of a query and its items against separate prompts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwen3_sglang import local
from qwen3_sglang.local.engine import Engine
from qwen3_sglang.local.items import prompts_of_sequence, read_score
from qwen3_sglang.prompts.template import QWEN3

SCORE = "/v1/score"
EXACT = 1e-4
CONTEXT = 8192


@pytest.fixture(scope="module")
def ordinary(converted_toy: Path) -> Iterator[str]:
    """One prompt per item."""
    with local.run_in_thread(converted_toy, device="cpu", dtype="float32") as url:
        yield url


@pytest.fixture(scope="module")
def multi_item(converted_toy: Path) -> Iterator[str]:
    """One sequence per list."""
    with local.run_in_thread(converted_toy, device="cpu", dtype="float32", multi_item=True) as url:
        yield url


@pytest.fixture(params=["ordinary", "multi_item"])
def url(request: pytest.FixtureRequest) -> str:
    """Either."""
    return str(request.getfixturevalue(request.param))


def post(url: str, body: object, path: str = SCORE) -> requests.Response:
    """One bare request."""
    return requests.post(url + path, json=body, timeout=60)


def scores(url: str, **body: Any) -> list[list[float]]:
    """The rows of one request."""
    answer = post(url, body)
    assert answer.status_code == 200, answer.text
    rows: list[list[float]] = answer.json()["scores"]
    return rows


QUERY = QWEN3.head("What is the capital of China?").text
DOCUMENTS = [
    "The capital of China is Beijing.",
    "Gravity is a force that attracts two bodies towards each other. " * 20,
    "9999 9999",
    "",
    "A capital letter starts a sentence. 大きな文字 🙂",
    "The capital of China is Beijing.",
]
ITEMS = [f" {document}{QWEN3.suffix}" for document in DOCUMENTS]


def test_a_sequence_scores_as_its_items_alone(ordinary: str, multi_item: str) -> None:
    """In any order, beside long neighbours and beside equal ones."""
    alone = [scores(ordinary, query=QUERY, items=[item])[0] for item in ITEMS]
    for order in (list(range(len(ITEMS))), list(reversed(range(len(ITEMS)))), [1, 1, 4]):
        together = scores(multi_item, query=QUERY, items=[ITEMS[place] for place in order])
        assert together == [pytest.approx(alone[place], abs=EXACT) for place in order]


IDS = st.lists(st.integers(0, 300), min_size=1, max_size=40)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=st.one_of(st.just([]), IDS), items=st.lists(IDS, min_size=1, max_size=6))
def test_any_ids_score_as_alone(ordinary: str, multi_item: str, query: list[int], items: list[list[int]]) -> None:
    """Whatever the items begin with: what they share is never taken for the query's."""
    together = scores(multi_item, query=query, items=items)
    assert together == [
        pytest.approx(scores(ordinary, query=query, items=[item])[0], rel=EXACT, abs=EXACT) for item in items
    ]


def test_query_and_items_are_tokenised_apart(multi_item: str, converted_toy: Path) -> None:
    """As SGLang does there: a word that begins in the query and ends in the item is two."""
    encode = Engine(converted_toy, device="cpu", dtype="float32").encode
    parts = ("The capital of Chi", "na is Beijing.")
    ids = [encode(part) for part in parts]
    assert [*ids[0], *ids[1]] != encode("".join(parts))
    by_text = scores(multi_item, query=parts[0], items=[parts[1]])
    assert by_text == [pytest.approx(row) for row in scores(multi_item, query=ids[0], items=[ids[1]])]


def test_what_a_sequence_counts_as(multi_item: str) -> None:
    """The query once, each item, and a delimiter before each item and at the end."""
    usage = post(multi_item, {"query": [1] * 7, "items": [[1] * 3, [2] * 5]}).json()["usage"]
    assert usage == {"prompt_tokens": 7 + 3 + 5 + 3, "total_tokens": 18, "completion_tokens": 0}


def test_what_prompts_count_as(ordinary: str) -> None:
    """The query as often as there are items."""
    usage = post(ordinary, {"query": [1] * 7, "items": [[1] * 3, [2] * 5]}).json()["usage"]
    assert usage["prompt_tokens"] == 2 * 7 + 3 + 5


def test_a_list_is_shorter_than_the_context(multi_item: str) -> None:
    """Delimiters count; at the context length it is refused, in SGLang's words."""
    longest = CONTEXT - 1 - 10 - 3  # the query's 10 tokens, three delimiters
    body = {"query": [1] * 10, "items": [[2] * (longest // 2), [3] * (longest - longest // 2)]}
    assert post(multi_item, body).status_code == 200
    body["items"][1].append(3)
    answer = post(multi_item, body)
    words = f"The input ({CONTEXT} tokens) is longer than the model's context length ({CONTEXT} tokens)."
    expected = {"object": "error", "message": words, "type": "BadRequestError", "param": None, "code": 400}
    assert (answer.status_code, answer.json()) == (400, expected)


def test_prompts_alone_may_be_as_long_together(ordinary: str) -> None:
    """Without multi-item scoring each has the context for itself."""
    assert post(ordinary, {"query": [1] * 10, "items": [[2] * 4100, [3] * 4100]}).status_code == 200


@pytest.mark.parametrize("items", [[[1], []], ["a", ""]])
def test_an_item_without_tokens_has_no_score(multi_item: str, items: list[Any]) -> None:
    """SGLang would read its neighbour's end there."""
    query = "q" if isinstance(items[0], str) else [1]
    answer = post(multi_item, {"query": query, "items": items})
    assert answer.status_code == 400
    assert "items[1] is empty" in answer.json()["message"]


def test_classify_is_refused_where_it_would_end_the_scheduler(multi_item: str) -> None:
    """A typed 400 that names the route; the server goes on."""
    answer = post(multi_item, {"input": "a"}, "/v1/classify")
    assert (answer.status_code, answer.json()["type"]) == (400, "BadRequestError")
    assert "POST /v1/score only" in answer.json()["message"]
    assert len(scores(multi_item, query="a", items=["b"])) == 1


def test_the_order_is_fixed_in_a_sequence(ordinary: str, multi_item: str) -> None:
    """`item_first` moves the query behind the item elsewhere; multi-item scoring ignores it."""
    front = f"{QUERY} {DOCUMENTS[0]}"
    body: dict[str, Any] = {"query": QWEN3.suffix, "items": [front], "apply_softmax": True}
    [[_, turned]] = scores(ordinary, **body, item_first=True)
    [[_, plain]] = scores(ordinary, **body)
    assert abs(turned - plain) > 10 * EXACT
    assert scores(multi_item, **body, item_first=True) == [pytest.approx([1 - plain, plain], abs=EXACT)]


def test_it_tells_which_way_it_serves(ordinary: str, multi_item: str) -> None:
    """What SGLang's /server_info tells of it, and none of its secrets."""
    told = [requests.get(f"{url}/server_info", timeout=30).json() for url in (ordinary, multi_item)]
    assert [answer["enable_mis"] for answer in told] == [False, True]
    models = [requests.get(f"{url}/model_info", timeout=30).json() for url in (ordinary, multi_item)]
    assert {answer["frontend"] for answer in models} == {"qwen3-sglang"}


def test_the_models_name_is_repeated(url: str) -> None:
    """Whatever it is; SGLang's own default where there is none."""
    for body, name in (({"model": "any"}, "any"), ({"model": ""}, ""), ({}, "default")):
        assert post(url, {"query": "a", "items": ["b"], **body}).json()["model"] == name


def test_no_items(url: str) -> None:
    """No scores, no tokens."""
    answer = post(url, {"query": "a", "items": []}).json()
    assert (answer["scores"], answer["usage"]["prompt_tokens"]) == ([], 0)


def test_one_text_is_a_list_of_one(url: str) -> None:
    """A single item needs no list, and a prompt may do without a query."""
    assert scores(url, query="a", items=" b") == scores(url, query="a", items=[" b"])
    assert len(scores(url, items="b")) == len(scores(url, query=None, items=[[1]])) == 1


@pytest.mark.parametrize("word", [True, 1, 1.0, "true", "True", "yes", "on", "1", "t", "y"])
def test_what_is_true(url: str, word: object) -> None:
    """As pydantic reads it."""
    [row] = scores(url, query="a", items=["b"], apply_softmax=word)
    assert sum(row) == pytest.approx(1)


def test_temperature(url: str) -> None:
    """It divides the logits."""
    [[no, yes]] = scores(url, query="a", items=["b"])
    [[_, halved]] = scores(url, query="a", items=["b"], apply_softmax=True, temperature=2)
    [[_, other]] = scores(url, query="a", items=["b"], apply_softmax=True)
    assert other != halved
    [[_, cold]] = scores(url, query="a", items=["b"], apply_softmax=True, temperature=1e-300)
    assert cold == (1.0 if yes > no else 0.0)


REFUSED = [
    ({"query": "a"}, "items must be provided"),
    ({"query": [1], "items": ["a"]}, "Invalid combination of query/items types for score_request."),
    ({"query": "a", "items": [[1]]}, "Invalid combination of query/items types for score_request."),
    ({"query": "a", "items": ["b"], "temperature": 2}, "temperature requires apply_softmax=True"),
    (
        {"query": "a", "items": ["b"], "return_token_logprobs": True},
        "return_token_logprobs is only supported for CausalLM models",
    ),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_refuses_in_sglangs_words(url: str, body: dict[str, Any], message: str) -> None:
    """Both ways, with the same body."""
    answer = post(url, body)
    expected = {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
    assert (answer.status_code, answer.json()) == (400, expected)


MALFORMED = [
    {"query": 5, "items": ["a"]},
    {"query": "a", "items": [5]},
    {"query": "a", "items": ["a", [1]]},
    {"query": "a", "items": ["a"], "model": None},
    {"query": "a", "items": ["a"], "apply_softmax": None},
    {"query": "a", "items": ["a"], "apply_softmax": "maybe"},
    {"query": "a", "items": ["a"], "apply_softmax": 2},
    {"query": "a", "items": ["a"], "item_first": []},
    {"query": "a", "items": ["a"], "apply_softmax": True, "temperature": 0},
    {"query": "a", "items": ["a"], "apply_softmax": True, "temperature": None},
    {"query": "a", "items": ["a"], "apply_softmax": True, "temperature": True},
]


@pytest.mark.parametrize("body", MALFORMED)
def test_refuses_a_wrong_shape(url: str, body: dict[str, Any]) -> None:
    """Before anything is tokenised."""
    answer = post(url, body)
    assert (answer.status_code, answer.json()["type"]) == (400, "Bad Request")


def test_a_token_outside_the_vocabulary(url: str) -> None:
    """In the query as in an item."""
    for body in ({"query": [10**6], "items": [[1]]}, {"query": [1], "items": [[1], [10**6]]}):
        answer = post(url, body)
        assert (answer.status_code, "out of vocabulary" in answer.json()["message"]) == (400, True)


def test_a_long_query_is_not_multiplied_in_memory() -> None:
    """Joined with a thousand items, it is refused before they are all there."""
    asked = read_score({"query": [1] * 20_000, "items": [[1]] * 1000})
    with pytest.raises(Exception, match="tokens at once"):
        prompts_of_sequence(asked, lambda text: [], 40_960, 100)


@pytest.mark.parametrize("lists", [1, 7])
def test_many_lists_at_once(multi_item: str, ordinary: str, lists: int) -> None:
    """Each gets its own scores back."""
    expected = scores(ordinary, query=QUERY, items=ITEMS)

    async def ask(shift: int) -> bool:
        order = [(place + shift) % len(ITEMS) for place in range(len(ITEMS))]
        rows = await asyncio.to_thread(scores, multi_item, query=QUERY, items=[ITEMS[place] for place in order])
        return rows == [pytest.approx(expected[place], abs=EXACT) for place in order]

    async def run(asks: Callable[[int], Any]) -> list[bool]:
        return list(await asyncio.gather(*map(asks, range(lists))))

    assert all(asyncio.run(run(ask)))
