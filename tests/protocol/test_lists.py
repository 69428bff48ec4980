"""What is asked, in which order, without a server.

Tests of `protocol/exchange.py` and `protocol/served.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from qwen3_sglang import errors
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.endpoints import ENDPOINTS
from qwen3_sglang.protocol.exchange import Pause, Request, Run, ask
from qwen3_sglang.protocol.lists import make_ready, score_documents
from qwen3_sglang.protocol.responses import Response
from qwen3_sglang.protocol.retry import Patience
from qwen3_sglang.protocol.served import Served, ask_served, check_served, check_way, served_or_named
from qwen3_sglang.protocol.ways import Said
from qwen3_sglang.ranking import Outcome, Score, Scores
from steps import PATIENCE, Letters, after, where

HEAD = QWEN3.head("q")


def asked(step: Request | Pause) -> Request:
    """It is a request, not a pause."""
    assert isinstance(step, Request)
    return step


def first(call: Call, documents: list[str]) -> Request:
    """The first request."""
    return asked(after(score_documents(call, documents, where)))


@pytest.mark.parametrize(
    ("info", "error"),
    [
        (b'{"architectures":["Qwen3ForCausalLM"]}', errors.UnconvertedModelError),
        (b'{"architectures":["LlamaForCausalLM"]}', errors.ModelMismatchError),
        (b'{"architectures":["Qwen3ForSequenceClassification"]}', errors.DocumentError),
        (b"nothing", errors.DocumentError),
    ],
)
def test_a_refusal_is_explained_by_what_is_served(info: bytes, error: type[errors.ServerError]) -> None:
    """The flow asks /model_info after a refusal, and only then."""
    steps = score_documents(Call("toy", HEAD, 8192, PATIENCE), ["p"], where)
    assert json.loads(asked(after(steps)).body or b"") == {"model": "toy", "input": [f"{HEAD.text}p{QWEN3.suffix}"]}
    assert asked(after(steps, Response("u", 400, b'{"message":"not an embedding model"}'))).path == "/model_info"
    with pytest.raises(errors.ServerError) as caught:
        after(steps, Response("u", 200, info))
    assert type(caught.value) is error


@pytest.mark.parametrize("collect", [True, False])
def test_a_query_beside_which_nothing_fits(collect: bool) -> None:
    """Each document has that for its outcome, where the call collects what goes wrong; also in one sequence."""
    long = QWEN3.head("why " * 200)
    call = Call("m", long, 300, PATIENCE, tokenizer=Letters(), collect=collect)
    for steps, several in ((score_documents(call, ["a", "b"], where), True), (make_ready(call, ["a", "b"]), False)):
        if not collect:
            with pytest.raises(errors.QueryError, match="of 300 tokens"):
                after(steps)
            continue
        with pytest.raises(StopIteration) as stop:
            after(steps)
        found = stop.value.value if several else [stop.value.value] * 2
        assert [type(one) for one in found] == [errors.QueryError] * 2


@pytest.mark.parametrize(
    ("owner", "error"),
    [("sglang", errors.NotSGLangError), ("vllm", errors.DocumentError), (None, errors.DocumentError)],
)
def test_sglangs_own_classify_is_told_from_vllms(owner: str | None, error: type[errors.ServerError]) -> None:
    """It is there, and refuses every list; only the model list says whose it is."""
    steps = score_documents(Call("toy", HEAD, 8192, PATIENCE, endpoint="classify"), ["p"], where)
    after(steps)
    assert asked(after(steps, Response("u", 400, b'{"message":"At least one of text"}'))).path == "/v1/models"
    with pytest.raises(error) as caught:
        after(steps, Response("u", 200, json.dumps({"data": [{"id": "toy", "owned_by": owner}]}).encode()))
    assert ('endpoint="v1/classify"' in str(caught.value)) == (owner == "sglang")


@pytest.mark.parametrize(
    ("row", "limit"),
    [
        ({"max_model_len": 512}, 511),
        ({"max_model_len": 2}, 1),
        ({"max_model_len": 1}, None),
        ({"max_model_len": 0}, None),
        ({"max_model_len": -2}, None),
        ({}, None),
        ({"max_model_len": None}, None),
        ({"max_model_len": "512"}, None),
    ],
)
def test_the_servers_limit(row: dict[str, object], limit: int | None) -> None:
    """SGLang refuses a prompt of exactly its context length; a gateway may not say any."""
    steps = ask_served(PATIENCE)
    assert asked(after(steps)).path == "/v1/models"
    with pytest.raises(StopIteration) as stop:
        after(steps, Response("u", 200, json.dumps({"data": [{"id": "toy", **row}]}).encode()))
    assert (stop.value.value.model, stop.value.value.max_length) == ("toy", limit)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 500, 501, 200])
def test_a_named_model_needs_no_list(status: int) -> None:
    """Whatever a gateway answers to /v1/models; without the name it is an error."""
    for model in ("toy", None):
        steps = served_or_named(replace(PATIENCE, max_retries=0), model)
        assert asked(after(steps)).path == "/v1/models"
        with pytest.raises(StopIteration if model else errors.ServerError) as stop:
            after(steps, Response("u", status, b"{}"))
        if model:
            assert stop.value.value == Served("toy")
            assert stop.value.value.certain is (status != 503)


@pytest.mark.parametrize(
    ("rows", "served"),
    [
        ({"chat": 512, "toy": 4096}, Served("toy", 4095)),
        ({"zoo": 512, "toy": 4096}, Served("toy", 4095)),
        ({"chat": 512, "other": 4096}, Served("toy")),
        ({"alias": 512}, Served("alias", 511)),
    ],
)
def test_a_gateway_that_lists_several_models(rows: dict[str, int], served: Served) -> None:
    """The limit of the model that was named, not of the first."""
    steps = served_or_named(PATIENCE, "toy")
    after(steps)
    data = [{"id": name, "max_model_len": limit} for name, limit in rows.items()]
    with pytest.raises(StopIteration) as stop:
        after(steps, Response("u", 200, json.dumps({"data": data}).encode()))
    assert stop.value.value == served


def test_of_several_models_the_first_is_meant() -> None:
    """Where none is named."""
    steps = served_or_named(PATIENCE, None)
    after(steps)
    data = [{"id": name, "max_model_len": limit} for name, limit in (("a", 512), ("b", 4096), ("c", 2048))]
    with pytest.raises(StopIteration) as stop:
        after(steps, Response("u", 200, json.dumps({"data": data}).encode()))
    assert stop.value.value == Served("a", 511)


@pytest.mark.parametrize(
    ("failure", "why"),
    [(Response("u", 418, b""), "(418)"), (errors.ServerUnreachableError("u", "x"), "(ServerUnreachableError)")],
)
def test_why_a_list_is_done_without(
    failure: errors.ServerError | Response, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says the status, or what kind of failure there was instead of an answer."""
    caplog.set_level(logging.INFO)
    steps = served_or_named(replace(PATIENCE, max_retries=0), "toy")
    after(steps)
    with pytest.raises(StopIteration):
        after(steps, failure)
    assert f"no usable model list {why}" in caplog.text


def test_a_servers_words_are_not_logged_before_the_key_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    """They may repeat it; what leaves the transport is without it, this doesn't leave."""
    caplog.set_level(logging.DEBUG)
    steps = served_or_named(PATIENCE, "toy")
    after(steps)
    with pytest.raises(StopIteration):
        after(steps, Response("u", 200, b"<html>the key was sk-123</html>"))
    assert "max_length=" in caplog.text
    assert "sk-123" not in caplog.text


@pytest.mark.parametrize(
    "failure",
    [errors.ServerUnreachableError("u", "x"), errors.ServerTimeoutError("u", "x"), Response("u", 503, b"starting")],
)
def test_a_list_that_may_come_later_is_done_without_for_now(failure: errors.ServerError | Response) -> None:
    """It is asked for again by the next call, and a model that isn't named can't be done without."""
    for model in ("toy", None):
        steps = served_or_named(replace(PATIENCE, max_retries=0), model)
        after(steps)
        with pytest.raises(StopIteration if model else errors.ServerError) as stop:
            after(steps, failure)
        if model:
            assert stop.value.value == Served("toy")
            assert not stop.value.value.certain


def test_a_named_models_list_takes_a_third_of_the_time() -> None:
    """Whatever the server does there, the scores still have the rest."""
    left = [9.0]
    steps = served_or_named(replace(PATIENCE, left=lambda: left[0], max_retries=None), "toy")
    assert asked(after(steps)).seconds == pytest.approx(3)
    assert isinstance(after(steps, Response("u", 503, b"later")), Pause)
    after(steps)
    left[0] = 6.02
    with pytest.raises(StopIteration) as stop:
        after(steps, Response("u", 503, b"later"))
    assert stop.value.value == Served("toy")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b'{"tokens":[[1]],"count":[1]}', errors.ProtocolError),
        (200, b'{"tokens":[1,2,3],"count":3}', errors.ProtocolError),
        (400, b"broken", errors.RequestRejectedError),
        (401, b'{"error":"Unauthorized"}', errors.AuthenticationError),
    ],
)
def test_a_broken_tokenizer_never_cuts(status: int, body: bytes, error: type[errors.ServerError]) -> None:
    """Three texts are asked for: head, suffix and document."""
    steps = score_documents(Call("toy", HEAD, 300, PATIENCE), ["long " * 100], where)
    assert asked(after(steps)).path == "/tokenize"
    with pytest.raises(error):
        after(steps, Response("u", status, body))


def owned_by(owner: str) -> Response:
    """A model list."""
    return Response("u", 200, json.dumps({"data": [{"id": "m", "owned_by": owner}]}).encode())


@pytest.mark.parametrize(
    ("endpoint", "refusal", "models", "words"),
    [
        ("v1/classify", Response("u", 404, b"{}"), owned_by("vllm"), 'endpoint="classify"'),
        ("v1/score", Response("u", 404, b"{}"), owned_by("vllm"), 'endpoint="classify"'),
        ("v1/score", Response("u", 404, b"{}"), owned_by("gateway"), 'endpoint="v1/classify"'),
        ("classify", Response("u", 200, b"[]"), owned_by("sglang"), 'endpoint="v1/classify"'),
        ("v1/classify", Response("u", 404, b"{}"), owned_by("sglang"), "wrong path in base_url"),
        ("v1/score", Response("u", 404, b"{}"), Response("u", 404, b"{}"), "wrong path in base_url"),
    ],
)
def test_a_missing_endpoint_names_the_right_one(endpoint: str, refusal: Response, models: Response, words: str) -> None:
    """By who says that it owns the model."""
    steps = score_documents(Call("m", HEAD, 8192, PATIENCE, endpoint=endpoint), ["d"], where)
    assert asked(after(steps)).path == ENDPOINTS[endpoint].path
    assert asked(after(steps, refusal)).path == "/v1/models"
    with pytest.raises(errors.NotSGLangError, match=words):
        after(steps, models)


def test_each_endpoint_gets_the_same_prompt() -> None:
    """The query goes once with /v1/score, and with every prompt elsewhere."""
    bodies = {
        name: json.loads(first(Call("m", HEAD, 8192, PATIENCE, endpoint=name), ["a", "b"]).body or b"")
        for name in ENDPOINTS
    }
    assert bodies["v1/classify"] == bodies["classify"] == {"model": "m", "input": HEAD.prompts("ab")}
    score = bodies["v1/score"]
    assert [score["query"] + item for item in score["items"]] == bodies["classify"]["input"]
    assert score["apply_softmax"] is True


class Server:
    """A server in words: full above `room` documents per list, and refusing whatever is in `bad`."""

    def __init__(
        self, room: int = 99, bad: Sequence[str] = (), down: int = 0, status: int = 503, refusal: int = 400
    ) -> None:
        self.room, self.bad, self.down, self.status, self.refusal = room, bad, down, status, refusal
        self.lists: list[list[str]] = []
        self.paths: list[str] = []
        self.pauses: list[float] = []

    def answer(self, request: Request) -> Response:
        """As SGLang answers it."""
        self.paths.append(request.path)
        if request.path != "/v1/classify":
            return Response("u", 200, b'{"architectures":["Qwen3ForSequenceClassification"]}')
        texts = [
            text.removeprefix(HEAD.text).removesuffix(QWEN3.suffix) for text in json.loads(request.body or b"")["input"]
        ]
        self.lists.append(texts)
        if self.down:
            self.down -= 1
            return Response("u", self.status, b"down", retry_after=3.0)
        if len(texts) > self.room:
            return Response("u", 503, b'{"message":"The request queue is full."}')
        if set(texts) & set(self.bad):
            return Response("u", self.refusal, b'{"message":"too long"}')
        rows = [{"index": i, "label": "", "probs": [1 - float(t), float(t)]} for i, t in enumerate(texts)]
        return Response("u", 200, json.dumps({"data": rows}).encode())

    def run(self, documents: list[str], patience: Patience = PATIENCE, *, collect: bool = False) -> list[Outcome]:
        """What the flow makes of it."""
        run = Run(score_documents(Call("m", HEAD, 8192, patience, collect=collect), documents, where))
        step = run.step()
        while step is not None:
            if isinstance(step, Pause):
                self.pauses.append(step.seconds)
                step = run.step()
            else:
                step = run.step(self.answer(step))
        return run.result


TEXTS = [f"0.{digit}" for digit in range(1, 9)]


@pytest.mark.parametrize("room", range(1, 9))
def test_a_full_queue_halves_the_list(room: int) -> None:
    """Every document gets its score, whatever there is room for; a pause before each smaller size."""
    server = Server(room=room)
    assert [s.p_yes for s in server.run(TEXTS) if isinstance(s, Score)] == [float(text) for text in TEXTS]
    passed = [sent for sent in server.lists if len(sent) <= room]
    assert [text for sent in passed for text in sent] == TEXTS
    assert set(server.paths) == {"/v1/classify"}
    refused = len(server.lists) - len(passed)
    assert server.pauses == [0.5, 1.0, 2.0][:refused]


@pytest.mark.parametrize("bad", [["0.1"], ["0.8"], ["0.4", "0.5"], TEXTS])
def test_one_bad_document_costs_the_others_nothing(bad: list[str]) -> None:
    """The guilty ones are found by halving, the rest keeps its scores; the model is asked for once."""
    server = Server(bad=bad)
    found = dict(zip(TEXTS, server.run(TEXTS, collect=True), strict=True))
    assert [text for text, outcome in found.items() if isinstance(outcome, errors.DocumentError)] == bad
    assert all(outcome.p_yes == float(text) for text, outcome in found.items() if isinstance(outcome, Score))
    assert server.paths.count("/model_info") == 1
    assert server.pauses == []


@pytest.mark.parametrize(("refusal", "ours"), [(400, True), (413, True), (422, False), (401, False)])
def test_which_refusals_may_be_one_documents(refusal: int, ours: bool) -> None:
    """What is refused for its content or its size; anything else is the whole list's."""
    server = Server(bad=["0.3"], refusal=refusal)
    with pytest.raises(errors.ServerError) as caught:
        server.run(TEXTS)
    assert isinstance(caught.value, errors.DocumentError) is ours
    assert (caught.value.status, len(server.lists) > 1) == (refusal, ours)


def test_the_first_bad_document_is_named() -> None:
    """Without collecting, nothing is asked after it."""
    server = Server(bad=["0.3", "0.7"])
    with pytest.raises(errors.DocumentError, match=r"document 2: .*too long") as caught:
        server.run(TEXTS)
    assert (caught.value.index, caught.value.status) == (2, 400)
    assert [len(sent) for sent in server.lists] == [8, 4, 2, 2, 1]


def test_full_and_bad_at_once() -> None:
    """Both reasons for smaller lists in one."""
    outcomes = Server(room=4, bad=["0.6"]).run(TEXTS, collect=True)
    assert [isinstance(outcome, Score) for outcome in outcomes] == [True] * 5 + [False] + [True] * 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 504])
def test_what_passes_is_sent_again_and_not_explained(status: int) -> None:
    """After Retry-After and the backoff; the same list, nothing else."""
    server = Server(down=2, status=status)
    assert len(server.run(TEXTS)) == 8
    assert server.lists == [TEXTS] * 3
    assert set(server.paths) == {"/v1/classify"}
    assert server.pauses == [3.5, 4.0]


@pytest.mark.parametrize(
    ("down", "sizes"), [(1, [8, 8]), (2, [8, 8, 4, 4]), (3, [8, 8, 4, 4, 4]), (4, [8, 8, 4, 4, 2, 2, 2, 2])]
)
def test_503_again_halves_the_list(down: int, sizes: list[int]) -> None:
    """A gateway hides the full queue behind an open breaker; the waits go on growing, each document has its score."""
    server = Server(down=down)
    patience = replace(PATIENCE, max_retries=None)
    assert [s.p_yes for s in server.run(TEXTS, patience) if isinstance(s, Score)] == [float(text) for text in TEXTS]
    assert [len(sent) for sent in server.lists] == sizes
    assert set(server.paths) == {"/v1/classify"}
    assert server.pauses == [3.5, 4.0, 5.0, 7.0][:down]


def test_503_after_a_success_counts_from_one() -> None:
    """Only what comes in a row halves: the second half waits once, and is sent whole."""

    class Once(Server):
        def answer(self, request: Request) -> Response:
            self.down += len(self.lists) == 3
            return super().answer(request)

    server = Once(down=2)
    assert len(server.run(TEXTS, replace(PATIENCE, max_retries=None))) == 8
    assert [len(sent) for sent in server.lists] == [8, 8, 4, 4, 4]
    assert server.pauses == [3.5, 4.0, 3.5]


@pytest.mark.parametrize("max_retries", [0, 1, 2, 5])
def test_halving_is_no_way_around_max_retries(max_retries: int) -> None:
    """However often the list is halved, nothing is sent more often than that."""
    server = Server(down=99)
    with pytest.raises(errors.ServerOverloadedError) as caught:
        server.run(TEXTS, replace(PATIENCE, max_retries=max_retries))
    assert (len(server.lists), caught.value.attempts) == (max_retries + 1, max_retries + 1)


@pytest.mark.parametrize(("status", "sent"), [(503, 3), (401, 1), (404, 1), (422, 1)])
def test_patience_ends(status: int, sent: int) -> None:
    """After max_retries; at once for any other 4xx."""
    server = Server(down=9, status=status)
    with pytest.raises(errors.ServerError) as caught:
        server.run(TEXTS)
    assert (len(server.lists), caught.value.attempts, caught.value.status) == (sent, sent, status)


def test_a_lone_document_waits_for_a_full_queue() -> None:
    """It can't be halved: it is sent again until there is no more patience."""
    server = Server(room=0)
    with pytest.raises(errors.ServerOverloadedError, match="queue is full"):
        server.run(["0.5"])
    assert server.lists == [["0.5"]] * 3
    assert set(server.paths) == {"/v1/classify"}


def test_what_fits_is_not_measured_again() -> None:
    """A call that divided its documents knows: long ones are sent as they are."""
    long = "word " * 500
    for fits, path in ((True, "/v1/classify"), (False, "/tokenize")):
        assert first(Call("m", HEAD, 400, PATIENCE, fits=fits), [long]).path == path


@pytest.mark.parametrize("tried", range(4))
def test_tries_go_on_where_larger_lists_ended(tried: int) -> None:
    """Those of the same documents in larger lists count."""
    steps = ask(Request("/x"), replace(PATIENCE, max_retries=3), tried=tried)
    after(steps)
    for attempt in range(tried + 1, 4):
        pause = after(steps, Response("u", 503, b"down"))
        assert isinstance(pause, Pause)
        assert pause.failure is not None
        assert pause.failure.attempts == attempt
        after(steps)
    with pytest.raises(errors.ServerOverloadedError) as caught:
        after(steps, Response("u", 503, b"down"))
    assert caught.value.attempts == 4


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_each_request_has_a_line_for_who_debugs(caplog: pytest.LogCaptureFixture, level: int) -> None:
    """Sizes and status, and none of the server's words."""
    caplog.set_level(level)
    for request, reply in (
        (Request("/x"), Response("http://u/x", 200, b"words")),
        (Request("/x", b"abc"), Response("http://u/x", 200, b"")),
        (Request("/x", b"abc"), errors.ServerUnreachableError("http://u/x", "secret")),
    ):
        steps = ask(request, replace(PATIENCE, max_retries=0))
        after(steps)
        with pytest.raises((StopIteration, errors.ServerUnreachableError)):
            after(steps, reply)
    lines = [
        "http://u/x: asked, HTTP 200 with 5 bytes",
        "http://u/x: 3 bytes sent, HTTP 200 with 0 bytes",
        "http://u/x: 3 bytes sent, ServerUnreachableError",
    ]
    assert caplog.messages == (lines if level == logging.DEBUG else [])


def checked(limit: int | None, *names: str, call: Call | None = None) -> None:
    """What the list of models says now is what the call began with."""
    steps = check_served(call or Call("toy", HEAD, 300, PATIENCE))
    assert asked(after(steps)).path == "/v1/models"
    data = [{"id": name, "max_model_len": limit} for name in names]
    with pytest.raises(StopIteration):
        after(steps, Response("u", 200, json.dumps({"data": data}).encode()))


def test_a_context_that_became_too_short() -> None:
    """As many tokens as the call counts on are enough; a list that names no limit or no model says nothing."""
    for limit in (None, 301, 302):
        checked(limit, "toy")
    checked(1)
    with pytest.raises(errors.ModelReplacedError, match="it takes 299 tokens now, fewer than the 300 that it took"):
        checked(300, "toy")


def test_a_list_of_models_that_changed() -> None:
    """One of the names of before is enough."""
    call = Call("toy", HEAD, 300, PATIENCE)
    checked(None, "toy", call=call)
    checked(None, "other", "toy", call=call)
    with pytest.raises(errors.ModelReplacedError, match='as "toy" before and as "other" now'):
        checked(None, "other", call=call)


@pytest.mark.parametrize("reply", [errors.ServerUnreachableError("u", "gone"), Response("u", 404, b"{}")])
def test_a_list_of_models_that_cant_be_asked_now(reply: object) -> None:
    """Asked once; not every gateway has one."""
    steps = check_served(Call("toy", HEAD, 300, PATIENCE))
    after(steps)
    with pytest.raises(StopIteration):
        after(steps, reply)


@pytest.mark.parametrize(
    ("before", "architecture", "replaced"),
    [
        (Said(False, "Qwen3ForSequenceClassification"), "Qwen3ForSequenceClassification", False),
        (Said(False, "Qwen3ForSequenceClassification"), "Qwen3ForCausalLM", True),
        (Said(False, "Qwen3ForCausalLM"), "Qwen3ForSequenceClassification", True),
        (Said(False, "Qwen3ForSequenceClassification"), None, False),
        (Said(False, "Qwen3ForCausalLM"), None, False),
    ],
)
def test_the_way_is_checked_again(before: Said, architecture: str | None, replaced: bool) -> None:
    """A server that runs another way gets nothing of this call; one that says nothing now is taken for the same."""
    steps = check_way(Call("toy", HEAD, 300, PATIENCE, said=before))
    after(steps)
    last = Response("u", 404, b"{}")
    if architecture is not None:
        after(steps, Response("u", 200, json.dumps({"architectures": [architecture]}).encode()))
        last = Response("u", 200, b'{"enable_mis":false}')
    with pytest.raises(errors.ModelReplacedError if replaced else StopIteration):
        after(steps, last)


def test_a_way_that_was_named_is_not_asked_for() -> None:
    """The call didn't look before either."""
    with pytest.raises(StopIteration):
        after(check_way(Call("toy", HEAD, 300, PATIENCE)))


@pytest.mark.parametrize("count", [1, 300])
def test_an_answer_to_the_whole_list_is_handed_on_as_it_came(count: int) -> None:
    """The usual case: nothing is made of each score."""
    steps = score_documents(Call("m", HEAD, 8192, PATIENCE), [f"d{number}" for number in range(count)], where)
    after(steps)
    rows = [{"index": i, "label": "yes", "probs": [0.25, 0.75], "num_classes": 2} for i in range(count)]
    with pytest.raises(StopIteration) as stop:
        after(steps, Response("u", 200, json.dumps({"data": rows}).encode()))
    assert isinstance(stop.value.value, Scores)
    assert [score.p_yes for score in stop.value.value] == [0.75] * count
