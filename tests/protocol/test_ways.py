"""What a server says of itself -> how it is asked; what can't be asked costs nothing, and nothing else is kept.

Tests of `protocol/ways.py` and `protocol/call.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from qwen3_sglang import errors
from qwen3_sglang.prompts.template import QWEN3
from qwen3_sglang.prompts.tokenizer import TokenizerFailedError
from qwen3_sglang.protocol.call import Call
from qwen3_sglang.protocol.endpoints import ENDPOINTS
from qwen3_sglang.protocol.exchange import Pause, Request, Run, Steps
from qwen3_sglang.protocol.lists import score_documents
from qwen3_sglang.protocol.responses import Response
from qwen3_sglang.protocol.ways import REFUSED, Said, Way, ask_answer_ids, ask_said, ask_way, chosen, refused
from steps import PATIENCE, Letters, after, where

ORIGINAL, CONVERTED = "Qwen3ForCausalLM", "Qwen3ForSequenceClassification"
KEY = "sk-secret-0123456789"
WITHOUT_IDS = replace(QWEN3, answer_ids=None)
GONE = errors.ServerUnreachableError("u", "hung up")


def ok(**fields: Any) -> Response:
    """A 200 with these fields."""
    return Response("u", 200, json.dumps(fields).encode())


def info(multi_item: object) -> Response:
    """/server_info as SGLang's, with its keys."""
    return ok(api_key=KEY, launch_command=f'--api-key {KEY} "enable_mis": true', enable_mis=multi_item)


def model(architecture: object) -> Response:
    """/model_info."""
    return ok(architectures=[architecture], is_generation=architecture == ORIGINAL)


def run(steps: Steps[Any], answers: dict[str, Any]) -> tuple[Any, list[str]]:
    """What they come to, and which paths they asked."""
    running, paths = Run(steps), []
    step = running.step()
    while step is not None:
        assert isinstance(step, Request), step
        paths.append(step.path)
        step = running.step(answers.get(step.path, Response("u", 404, b"not found")))
    return running.result, paths


@pytest.mark.parametrize(
    ("said", "endpoint"),
    [
        (Said(), "v1/classify"),
        (Said(False, CONVERTED), "v1/classify"),
        (Said(False, None), "v1/classify"),
        (Said(False, "LlamaForCausalLM"), "v1/classify"),
        (Said(False, ORIGINAL), "v1/score-labels"),
        (Said(None, ORIGINAL), "v1/score-labels"),
        (Said(True, CONVERTED), "v1/score-multi-item"),
        (Said(True, None), "v1/score-multi-item"),
        (Said(True, ORIGINAL), "v1/score-labels-multi-item"),
        (Said(None, CONVERTED), "v1/score"),
    ],
)
def test_the_order_of_choice(said: Said, endpoint: str) -> None:
    """Where multi-item scoring can't be ruled out, nothing but /v1/score: another route would end its scheduler."""
    assert chosen(said) == endpoint
    assert not said.multi_item or ENDPOINTS[endpoint].path == "/v1/score"


CANT_BE_ASKED = [
    Response("u", 404, b"not found"),
    Response("u", 401, b'{"error":"Unauthorized"}'),
    Response("u", 405, b""),
    Response("u", 501, b""),
    Response("u", 503, b"busy"),
    Response("u", 302, b"", location="http://elsewhere"),
    Response("u", 200, b"<html>"),
    Response("u", 200, b"[" * 100_000),
    Response("u", 200, b'{"enable_mis":"yes","architectures":"Qwen3ForCausalLM"}'),
    Response("u", 200, b'{"architectures":[]}'),
    Response("u", 200, b"[1]"),
    GONE,
    errors.ServerTimeoutError("u", "silent"),
    errors.ProtocolError("u", "too long"),
]


@pytest.mark.parametrize("answer", CANT_BE_ASKED, ids=lambda one: str(getattr(one, "status", "")))
def test_what_cant_be_asked_fails_nothing(answer: object) -> None:
    """Each question once, without retry; what refuses the first isn't asked the second."""
    steps = ask_way(PATIENCE, QWEN3, "toy", None)
    way, paths = run(steps, dict.fromkeys(("/server_info", "/model_info"), answer))
    assert way == Way("v1/classify", said=Said())
    refuses = isinstance(answer, Response) and answer.status != 200
    assert paths == ["/model_info", "/server_info"][: 1 if refuses else 2]


def test_a_question_takes_a_share_of_the_time() -> None:
    """A server that is silent there leaves most of it to the call."""
    for left, seconds in ((60.0, 5.0), (8.0, 1.0)):
        step = next(ask_way(msgspec.structs.replace(PATIENCE, left=lambda left=left: left), QWEN3, "toy", None))
        assert isinstance(step, Request)
        assert step.seconds == seconds


def test_nothing_else_of_a_servers_configuration_is_kept() -> None:
    """SGLang shows its keys there."""
    way, _ = run(ask_way(PATIENCE, QWEN3, "toy", None), {"/server_info": info(True), "/model_info": model(CONVERTED)})
    assert way == Way("v1/score-multi-item", said=Said(True, CONVERTED))
    assert KEY not in repr(way)
    assert KEY not in repr(info(True))


def test_vllm_is_asked_nothing() -> None:
    """Its model list has said it."""
    assert run(ask_way(PATIENCE, QWEN3, "toy", "vllm"), {}) == (Way("classify"), [])


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        (ok(tokens=[[5], [6]]), (5, 6)),
        (ok(tokens=[[6], [5]]), (6, 5)),
        (ok(tokens=[[5], [5]]), (2152, 9693)),
        (ok(tokens=[[500], [500]]), (2152, 9693)),
        (ok(tokens=[[5], [6], [7]]), (2152, 9693)),
        (ok(tokens=[[5], [6, 7]]), (2152, 9693)),
        (ok(tokens=[[5], [True]]), (2152, 9693)),
        (ok(tokens=[["5"], ["6"]]), (2152, 9693)),
        (ok(tokens=[[5, 6], [7]]), (2152, 9693)),
        (ok(tokens=[[5]]), (2152, 9693)),
        (ok(tokens="56"), (2152, 9693)),
        (ok(tokens=[[True], [6]]), (2152, 9693)),
        (Response("u", 404, b""), (2152, 9693)),
        (GONE, (2152, 9693)),
    ],
)
def test_the_answers_tokens(answer: object, ids: tuple[int, int]) -> None:
    """The server's own; the template's where it has no tokenizer to ask."""
    answers = {"/server_info": info(False), "/model_info": model(ORIGINAL), "/tokenize": answer}
    way, paths = run(ask_way(PATIENCE, QWEN3, "toy", "sglang"), answers)
    assert (way.endpoint, way.answer_ids) == ("v1/score-labels", ids)
    assert paths == ["/model_info", "/server_info", "/tokenize"]


def test_without_the_answers_tokens_a_refusal_explains() -> None:
    """A template that doesn't name them, and nobody who knows."""
    way, _ = run(ask_way(PATIENCE, WITHOUT_IDS, "toy", None), {"/model_info": model(ORIGINAL)})
    assert (way.endpoint, way.answer_ids) == ("v1/classify", None)


def test_the_servers_tokenizer_is_asked_for_the_words_alone() -> None:
    """Nothing added: with a token in front, no word would be one token."""
    step = next(ask_answer_ids(PATIENCE, QWEN3, "toy"))
    assert isinstance(step, Request)
    assert step.path == "/tokenize"
    assert json.loads(step.body or b"") == {"model": "toy", "prompt": ["no", "yes"], "add_special_tokens": False}


@pytest.mark.parametrize(("error", "ids"), [(TokenizerFailedError("odd"), (2152, 9693)), (ZeroDivisionError(), None)])
def test_a_tokenizer_here_that_fails(error: Exception, ids: tuple[int, int] | None) -> None:
    """The template's tokens, where its library failed; what isn't that is raised."""

    class Broken(Letters):
        def encode(self, texts: list[str]) -> list[list[int]]:
            raise error

    steps = ask_answer_ids(PATIENCE, QWEN3, "toy", Broken())
    with pytest.raises(ZeroDivisionError if ids is None else StopIteration) as stop:
        after(steps)
    assert ids is None or stop.value.value == ids  # type: ignore[attr-defined] # it is a StopIteration


@pytest.mark.parametrize(
    ("names", "architecture"), [([ORIGINAL, "X"], ORIGINAL), (["X", ORIGINAL], "X"), ([ORIGINAL, None], ORIGINAL)]
)
def test_the_first_architecture_counts(names: list[object], architecture: str) -> None:
    """As in a checkpoint's configuration."""
    answers = {"/server_info": info(False), "/model_info": ok(architectures=names)}
    assert run(ask_said(PATIENCE), answers)[0] == Said(False, architecture)


@pytest.mark.parametrize(("frontend", "embedded"), [("qwen3-sglang", True), ("another", False), (None, False)])
def test_who_says_to_be_the_embedded_server(frontend: str | None, embedded: bool) -> None:
    """By its name."""
    answers = {"/server_info": info(False), "/model_info": ok(architectures=[CONVERTED], frontend=frontend)}
    assert run(ask_said(PATIENCE), answers)[0] == Said(False, CONVERTED, embedded)


@pytest.mark.parametrize("multi_item", [True, False, None])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_what_a_multi_item_server_must_not_be_asked(endpoint: str, multi_item: bool | None) -> None:
    """Anything but /v1/score; another server may be asked whatever the user names."""
    found = refused(endpoint, Said(multi_item, CONVERTED))
    assert (found is not None) is (multi_item is True and not endpoint.startswith("v1/score"))
    if found is not None:
        assert (found.field, found.value, found.remedy) == ("endpoint", endpoint, REFUSED)


def scoring(said: Said | None, endpoint: str = "v1/classify") -> Steps[Any]:
    """One document, asked as such a server is."""
    call = Call("toy", QWEN3.head("q"), 8192, PATIENCE, endpoint=endpoint, said=said)
    return score_documents(call, ["d"], where)


def lost(steps: Steps[Any]) -> Run[Any]:
    """The first request finds its connection gone, and the wait after that is over."""
    running: Run[Any] = Run(steps)
    assert isinstance(running.step(), Request)
    assert isinstance(running.step(GONE), Pause)
    return running


def test_a_lost_connection_has_the_way_asked_before_anything_is_sent_again() -> None:
    """A server that came back for multi-item scoring must not get one /v1/classify."""
    running = lost(scoring(Said(False, CONVERTED)))
    step = running.step()
    assert isinstance(step, Request)
    assert step.path == "/model_info"
    running.step(model(CONVERTED))
    with pytest.raises(errors.ModelReplacedError, match="v1/score-multi-item"):
        running.step(info(True))


@pytest.mark.parametrize("answers", [(model(CONVERTED), info(False)), (GONE, GONE)], ids=["the same", "can't be asked"])
def test_the_same_way_goes_on(answers: tuple[Any, Any]) -> None:
    """And so does a call that can't find out."""
    running = lost(scoring(Said(False, CONVERTED)))
    running.step()
    running.step(answers[0])
    step = running.step(answers[1])
    assert isinstance(step, Request)
    assert step.path == "/v1/classify"


def test_a_named_endpoint_is_sent_again_at_once() -> None:
    """It asks nothing, then as before."""
    step = lost(scoring(None)).step()
    assert isinstance(step, Request)
    assert step.path == "/v1/classify"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (None, errors.UnconvertedModelError),
        (Said(), errors.ModelReplacedError),
        (Said(False, ORIGINAL), errors.UnconvertedModelError),
    ],
)
def test_an_original_checkpoint_in_its_place(said: Said | None, error: type[errors.ServerError]) -> None:
    """A call that looked begins anew; one that was told where to ask, or knew it, says what to do."""
    running: Run[Any] = Run(scoring(said))
    running.step()
    step = running.step(Response("u", 400, b'{"message":"not an embedding model"}'))
    assert isinstance(step, Request)
    assert step.path == "/model_info"
    with pytest.raises(error, match='endpoint="auto"'):
        running.step(model(ORIGINAL))


def test_a_multi_item_servers_refusal_names_the_remedy() -> None:
    """Of a route that its scheduler would not survive."""
    running: Run[Any] = Run(scoring(None))
    running.step()
    with pytest.raises(errors.NotSGLangError, match='endpoint="auto"'):
        running.step(Response("u", 400, b'{"message":"started with --multi-item: /v1/score only"}'))
