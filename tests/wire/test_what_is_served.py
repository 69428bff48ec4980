"""All answers of one call come from one model; what was known of another is forgotten.

Tests of `scoring/learned.py`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from asking import Ask
from peer import LATER, Asked, Peer, answer, framed, peer, right

from qwen3_sglang import Backoff, RerankClient, errors


class Model:
    """What a peer serves at the moment; `listed` is its name in the list of models, None where there is no list."""

    def __init__(self, name: str = "first") -> None:
        self.name = name
        self.listed: str | None = name
        self.limit = 8192
        self.shift = 0.0  # of every score: which model gave it
        self.lock = threading.Lock()

    def replace(self, name: str) -> None:
        """Another model, whose scores differ."""
        self.name = self.listed = name
        self.shift += 0.001

    def behave(self, asked: Asked) -> None:
        """Answer as that model."""
        if not asked.body:
            if self.listed is None:
                asked.say(framed(b"not here", status=b"404 Not Found"))
                return
            asked.say(framed(answer(b"", self.listed, self.limit)))
        elif asked.path == "/tokenize":
            prompts = json.loads(asked.body)["prompt"]
            asked.say(framed(json.dumps({"tokens": [list(text.encode()) for text in prompts]}).encode()))
        elif asked.path == "/detokenize":
            rows = json.loads(asked.body)["tokens"]
            asked.say(framed(json.dumps({"text": [bytes(row).decode() for row in rows]}).encode()))
        elif asked.path not in {"/v1/classify", "/v1/score", "/classify"}:
            asked.say(framed(b"not here", status=b"404 Not Found"))
        else:
            self._score(asked)

    def _score(self, asked: Asked) -> None:
        said = json.loads(asked.good)
        sent = json.loads(asked.body)
        prompts = sent.get("input") or [sent["query"] + item for item in sent["items"]]
        if max(len(prompt.encode()) for prompt in prompts) >= self.limit:
            words = f"The input ({self.limit} tokens or more) is longer than the model's context length"
            asked.say(framed(json.dumps({"object": "error", "message": words}).encode(), status=b"400 Bad Request"))
            return
        for row in said.get("data", ()):
            row["probs"] = [row["probs"][0] - self.shift, row["probs"][1] + self.shift]
        said["scores"] = [[no - self.shift, yes + self.shift] for no, yes in said.get("scores", ())]
        if asked.path != "/v1/score":
            said["model"] = self.name
        asked.say(framed(json.dumps(said).encode()))


@contextmanager
def serving(model: Model) -> Iterator[Peer]:
    """A peer that serves it."""
    with peer(model.behave) as running:
        yield running


def of(shift: float, *scores: float) -> object:
    """The scores of one model alone."""
    return pytest.approx([score + shift for score in scores], abs=1e-9)


@pytest.mark.parametrize("endpoint", ["v1/classify", "v1/score", "classify"])
def test_a_model_that_is_replaced_between_two_calls(ask: Ask, endpoint: str) -> None:
    """The next call has the new model's scores, all of them, also where the old one's were remembered."""
    model = Model()
    with serving(model) as server:

        def restart() -> None:
            model.replace("second")
            server.hang_up()

        client = RerankClient(server.url, endpoint=endpoint, cache_size=100, batch_size=2, max_concurrency=1)
        found = ask(client, [0.1, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4], between=restart)
        assert found == [of(0, 0.1, 0.2, 0.3), of(0.001, 0.1, 0.2, 0.3, 0.4)]
        assert client.model() == "second"


@pytest.mark.parametrize("kept", [False, True], ids=["", "behind a proxy"])
@pytest.mark.parametrize("cache_size", [0, 100])
@pytest.mark.parametrize("endpoint", ["v1/classify", "v1/score", "classify"])
def test_a_model_that_is_replaced_within_a_call(ask: Ask, endpoint: str, cache_size: int, kept: bool) -> None:
    """The call begins anew: no ranking holds scores of two models. A proxy keeps its connections meanwhile."""
    model, lists = Model(), 0

    def behave(asked: Asked) -> None:
        nonlocal lists
        lists += bool(asked.body)
        if lists == 2 and model.name == "first":
            model.replace("second")
            if not kept:
                asked.hang_up()
                server.hang_up()
                return
        model.behave(asked)

    with peer(behave) as server:
        client = RerankClient(server.url, endpoint=endpoint, batch_size=2, max_concurrency=1, cache_size=cache_size)
        assert ask(client, [0.1, 0.2, 0.3, 0.4]) == [of(0.001, 0.1, 0.2, 0.3, 0.4)]


def test_a_model_that_is_replaced_again_and_again(ask: Ask) -> None:
    """Two workers that serve different models: an error that names both."""
    model = Model()

    def behave(asked: Asked) -> None:
        model.replace("first" if model.name == "second" else "second")
        model.behave(asked)

    with peer(behave) as server:
        [failure] = ask(RerankClient(server.url, batch_size=1), [0.1, 0.2, 0.3, 0.4])
        assert isinstance(failure, errors.ModelReplacedError)
        assert "first" in str(failure)
        assert "second" in str(failure)


@pytest.mark.parametrize("told", [None, "alias"])
def test_a_gateway_that_answers_under_another_name(ask: Ask, told: str | None) -> None:
    """What was asked and what answers may differ, as long as what answers stays."""
    model = Model("real")
    model.listed = "alias"
    with serving(model) as server:
        client = RerankClient(server.url, model=told, batch_size=1)
        assert ask(client, [0.1, 0.2], [0.3]) == [of(0, 0.1, 0.2), of(0, 0.3)]
        assert client.model() == "alias"


def test_a_gateway_that_lists_nothing(ask: Ask) -> None:
    """/v1/score names whatever it was asked for, so there is nothing to compare: it works all the same."""
    model = Model()
    model.listed = None
    with serving(model) as server:
        client = RerankClient(server.url, model="any", max_length=8192, endpoint="v1/score", batch_size=1)
        assert ask(client, [0.1, 0.2], [0.3]) == [of(0, 0.1, 0.2), of(0, 0.3)]


@pytest.mark.parametrize("told", [{}, {"model": "first", "max_length": 8000}])
def test_a_context_length_that_went_down(ask: Ask, told: dict[str, object]) -> None:
    """After a restart with a lower limit, documents are cut, as a new client would cut them."""
    model = Model()
    texts = ["p=0.1 " + "x" * 3000, "p=0.2"]
    with serving(model) as server:
        client = RerankClient(server.url, timeout=30, **told)  # type: ignore[arg-type] # options by name
        assert client.score("q", texts) == of(0, 0.1, 0.2)
        model.limit = 2000
        server.hang_up()
        assert client.score("q", texts) == of(0, 0.1, 0.2)
        assert client.rerank("q", texts)[1].truncated
        assert ask(client, [0.3]) == [of(0, 0.3)]


def test_a_model_that_another_call_finds_replaced(ask: Ask) -> None:
    """A call goes on with what it began with: its next list is not taken for the first one of another model."""
    model, armed, long = Model(), threading.Event(), "long " * 80

    def behave(asked: Asked) -> None:
        if not (armed.is_set() and b"p=0.3" in asked.body and asked.path != "/tokenize" and model.name == "first"):
            model.behave(asked)
            return
        old = asked.good.replace(b'"model": "toy"', b'"model": "first"')
        model.replace("second")
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.extend(ask(client, [0.4])))
        thread.start()
        thread.join()
        assert found == [of(0.001, 0.4)]
        asked.say(framed(old))  # what the first model answered, just before

    with peer(behave) as server:
        client = RerankClient(server.url, max_length=600, timeout=10)
        assert client.score("q", ["p=0.1"]) == [0.1]
        armed.set()
        pairs = [("q", "p=0.1"), ("r", f"p=0.2 {long}"), ("s", "p=0.3")]  # the long one is sent in a list of its own
        assert client.score_pairs(pairs) == of(0.001, 0.1, 0.2, 0.3)


NO_LIST: dict[str, Callable[[Asked], object]] = {
    "429": lambda asked: asked.say(framed(b"slowly", status=b"429 Slowly")),
    "502": lambda asked: asked.say(framed(b"bad", status=b"502 Bad")),
    "503": lambda asked: asked.say(framed(b"later", b"Retry-After: 1", status=b"503 Later")),
    "hangs up": lambda asked: asked.hang_up(),
    "is silent": lambda asked: LATER.wait(5),
}


@pytest.mark.parametrize("name", NO_LIST)
def test_a_named_models_list_is_done_without(ask: Ask, name: str) -> None:
    """Whatever is wrong with it, the scores come, each in the time of its call."""

    def behave(asked: Asked) -> None:
        (NO_LIST[name] if asked.path == "/v1/models" else right)(asked)

    with peer(behave) as server:
        client = RerankClient(server.url, model="toy", endpoint="v1/classify", timeout=4, backoff=Backoff(0.01, 0.05))
        assert ask(client, [0.1], [0.2]) == [[0.1], [0.2]]
