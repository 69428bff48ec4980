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
from qwen3_sglang.check.way import way_of
from qwen3_sglang.names import SOURCE_CLASS, TARGET_CLASS
from qwen3_sglang.protocol.ways import Said

KEY = "s3cret-of-the-test"


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        (Said(True, TARGET_CLASS), ["multi-item scoring", "v1/score-multi-item", "nothing faster"]),
        (Said(False, TARGET_CLASS), ["a prompt per document", "asks v1/classify", "--multi-item"]),
        (Said(False, SOURCE_CLASS), ["original checkpoint", "v1/score-labels", "--multi-item"]),
        (Said(), ["doesn't tell", "asks v1/classify", "no gateway"]),
        (Said(None, TARGET_CLASS), ["doesn't tell", "asks v1/score", "a balancer"]),
        (Said(True, TARGET_CLASS, embedded=True), ["embedded server, multi-item", "SGLang on a GPU"]),
        (Said(False, TARGET_CLASS, embedded=True), ["embedded server, a prompt", "SGLang on a GPU"]),
    ],
)
def test_each_way(said: Said, parts: list[str]) -> None:
    """How it runs, how it is asked, what would be faster; never a fault."""
    finding = way_of(said)
    assert finding.ok
    assert not finding.note
    assert all(part in finding.text for part in parts), finding.text


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
        kept = repr(vars(client)) + repr(client.said())
    assert "multi-item scoring" in findings[1].text
    assert KEY not in str(findings) + kept + caplog.text + capsys.readouterr().err
