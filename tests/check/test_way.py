"""What a check says of the way a server runs."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qwen3_sglang import RerankClient, local
from qwen3_sglang.check import check_server
from qwen3_sglang.check.way import in_words
from qwen3_sglang.names import SOURCE_CLASS, TARGET_CLASS
from qwen3_sglang.protocol.endpoints import CLASSIFY, LABELS, PACKED, PACKED_LABELS, SCORE, VLLM_CLASSIFY
from qwen3_sglang.protocol.ways import Said, Way

KEY = "s3cret-of-the-test"


@pytest.mark.parametrize(
    ("way", "parts"),
    [
        (Way(PACKED, said=Said(True, TARGET_CLASS)), ["/v1/score: multi-item scoring", "nothing faster"]),
        (Way(PACKED_LABELS, (1, 2), Said(True, SOURCE_CLASS)), ["original checkpoint", "nothing faster"]),
        (Way(CLASSIFY, said=Said(False, TARGET_CLASS)), ["/v1/classify", "a prompt of its own", "--multi-item"]),
        (Way(CLASSIFY, said=Said()), ["/v1/classify", "doesn't say"]),
        (Way(SCORE), ["/v1/score", "doesn't say"]),
        (Way(VLLM_CLASSIFY), ["/classify", "vLLM"]),
        (Way(PACKED, said=Said(True, TARGET_CLASS, embedded=True)), ["multi-item scoring", "SGLang on a GPU"]),
        (Way(CLASSIFY, said=Said(False, TARGET_CLASS, embedded=True)), ["a prompt of its own", "SGLang on a GPU"]),
    ],
)
def test_each_way(way: Way, parts: list[str]) -> None:
    """How it runs, how it is asked, what would be faster; usable as it is."""
    text, note = in_words(way)
    assert all(part in text for part in parts), text
    assert not note


def test_what_conversion_adds() -> None:
    """The original checkpoint works; a note says what it lacks."""
    text, note = in_words(Way(LABELS, (1, 2), Said(False, SOURCE_CLASS)))
    assert note
    assert "works as it is" in text
    assert "qwen3-sglang convert SRC DST" in text


@pytest.mark.parametrize("multi_item", [False, True])
def test_of_a_real_server(converted_toy: Path, multi_item: bool) -> None:
    """It is asked at both routes, and stays usable."""
    run = local.run_in_thread(converted_toy, device="cpu", dtype="float32", multi_item=multi_item)
    with run as url, RerankClient(url) as client:
        findings = list(check_server(client))
    assert all(finding.ok for finding in findings), findings
    assert ("multi-item scoring" in findings[1].text) is multi_item
    assert "embedded server" in findings[1].text


class Telling(http.server.BaseHTTPRequestHandler):
    """SGLang's /server_info, which shows its keys; nothing else that is right."""

    def do_GET(self) -> None:
        """Every route."""
        answers: dict[str, dict[str, Any]] = {
            "/v1/models": {"data": [{"id": "toy", "max_model_len": 100}]},
            "/server_info": {"enable_mis": True, "api_key": KEY, "launch_command": f"x --api-key {KEY}"},
            "/model_info": {"architectures": [TARGET_CLASS]},
        }
        body = json.dumps(answers.get(self.path, {})).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def telling() -> Iterator[str]:
    """That server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Telling) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_keys_are_never_shown(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Those of the server's own command, which the client was never given."""
    caplog.set_level("DEBUG")
    with telling() as url, RerankClient(url) as client:
        findings = list(check_server(client))
        kept = repr(vars(client)) + repr(client.way())
    assert "multi-item scoring" in findings[1].text
    assert KEY not in str(findings) + kept + caplog.text + capsys.readouterr().err
