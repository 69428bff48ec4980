"""A model hub on this machine: as much of the Hugging Face hub's HTTP as huggingface_hub asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOT_FOUND = (404, "RepoNotFound", "Repository not found")
# What the hub says of a repository that it keeps from you: status, X-Error-Code, X-Error-Message.
HIDDEN = (401, "RepoNotFound", "Repository Not Found")  # unknown or private: without a token it doesn't tell which
GATED = (403, "GatedRepo", "Access to this model is restricted")
GATED_UNKNOWN = (401, "GatedRepo", "Access to this model is restricted")  # without a token
BROKEN = (500, "", "Internal Error")
SLOW_DOWN = (429, "", "Too many requests")


@dataclass
class Hub:
    """A hub that serves folders as models.

    Attributes:
        models: the folder behind each name.
        refusals: names that are answered with an error instead.
        broken: files whose download ends after half of the bytes, at every attempt.
        asked: method and path of every request.
    """

    models: dict[str, Path]
    refusals: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What makes huggingface_hub ask here."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}


@contextmanager
def serve_hub(models: dict[str, Path]) -> Iterator[Hub]:
    """Yield a hub that serves `models`."""
    hub = Hub(models)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0].strip("/")
        api = path.startswith("api/models/")
        owner, model, *rest = path.removeprefix("api/models/").split("/")
        name = f"{owner}/{model}"
        if refusal := self.hub.refusals.get(name) or (None if name in self.hub.models else NOT_FOUND):
            self._refuse(*refusal)
        elif api and rest[:1] == ["tree"]:
            self._json([_entry(file) for file in _files(self.hub.models[name])])
        elif api:
            siblings = [{"rfilename": file.name} for file in _files(self.hub.models[name])]
            self._json({"_id": "1", "id": name, "modelId": name, "sha": COMMIT, "siblings": siblings})
        elif rest[:1] == ["resolve"] and (file := self.hub.models[name] / rest[-1]).is_file():
            self._file(file)
        else:
            self._refuse(404, "EntryNotFound", "Entry not found")

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, json.dumps({"error": message}).encode(), {"X-Error-Code": code, "X-Error-Message": message})

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _file(self, file: Path) -> None:
        content = file.read_bytes()
        headers = {"ETag": f'"{_blob(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if file.name in self.hub.broken and self.command == "GET":
            self._send(200, content[: len(content) // 2], headers, len(content))
            self.close_connection = True
        else:
            self._send(200, content, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _entry(file: Path) -> dict[str, object]:
    content = file.read_bytes()
    return {"type": "file", "path": file.name, "size": len(content), "oid": _blob(content)}


def _blob(content: bytes) -> str:
    """Git's name of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
