"""One answer over a blocking connection, read within its bounds and without http.client's guesses.

http.client takes any interim answer but 100 for the answer, reads chunks of a negative size and guesses at lengths;
a socket's own timeout starts anew with each byte.
"""

from __future__ import annotations

import io
import re
import socket
from http.client import HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import Any

from qwen3_sglang.protocol.responses import is_success
from qwen3_sglang.transport.bounds import CODED, Bounds, BrokenHTTPError, blocking, under_way
from qwen3_sglang.transport.layers import pending, shut_down

MOST_LINE = 2**16  # bytes of one line of headers, as http.client has it
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_SWITCHING, _FIRST_FINAL = 101, 200


class _Reads(io.RawIOBase):
    """A socket's bytes, each read within what is left of the bounds."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self.sock = sock
        self.head = True
        self.over = False
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.over:
            return 0
        bounds = blocking()
        self.sock.settimeout(bounds.seconds(reading=True))
        size = self._raw.readinto(buffer) or 0
        bounds.took(size, head=self.head)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class StrictResponse(HTTPResponse):
    """http.client's, without its guesses."""

    _surplus: bool  # known once the answer is over

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reads = _Reads(sock, self.fp.detach())
        self.fp: Any = io.BufferedReader(self._reads)

    def begin(self) -> None:
        """Read the status and the headers of the answer itself."""
        super().begin()
        self._reads.head = False
        self._check_framing()

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc] # typeshed leaves it out
            if status == _SWITCHING:
                raise BrokenHTTPError("it switches to another protocol (101), which wasn't asked for")
            if status >= _FIRST_FINAL:
                return version, status, reason
            while self._line().strip():
                """The headers of an interim answer."""

    def _check_framing(self) -> None:
        """How long the answer is must be said once, and clearly."""
        headers = self.headers
        if headers.defects:
            raise BrokenHTTPError("a line among its headers is none")
        codings, lengths = headers.get_all("Transfer-Encoding", []), headers.get_all("Content-Length", [])
        if codings and (lengths or [coding.strip().lower() for coding in codings] != ["chunked"]):
            raise BrokenHTTPError(CODED)
        if codings and not self.chunked:  # http.client looks for the word without the spaces that may be around it
            self.chunked, self.chunk_left, self.will_close = True, None, self._check_close()  # type: ignore[attr-defined] # typeshed leaves it out
        if lengths and not re.fullmatch(r"[0-9]{1,18}", ",".join(lengths).strip(), re.ASCII):
            raise BrokenHTTPError("its Content-Length isn't one number")

    def _read_next_chunk_size(self) -> int:
        found = _CHUNK_SIZE.fullmatch(self._line())
        if found is None:
            raise BrokenHTTPError("a chunk has no usable size")
        return int(found[1], 16)

    def _get_chunk_left(self) -> int | None:
        if self.chunk_left == 0:
            if self._safe_read(2) != b"\r\n":  # type: ignore[attr-defined] # typeshed leaves it out
                raise BrokenHTTPError("a chunk is longer than it says")
            self.chunk_left = None
        return super()._get_chunk_left()  # type: ignore[misc, no-any-return] # typeshed leaves it out

    def _read_and_discard_trailer(self) -> None:
        while self._line().strip():
            """A trailer says nothing that is needed."""

    def _line(self) -> bytes:
        line: bytes = self.fp.readline(MOST_LINE)
        if not line:
            raise RemoteDisconnected("the connection was closed within the answer")
        if not line.endswith(b"\n"):
            raise IncompleteRead(b"") if len(line) < MOST_LINE else BrokenHTTPError("a line has no end")
        return line

    def read(self, amt: int | None = None) -> bytes:
        """The next part of the body. After the last one, the connection is fit for another request, or ended."""
        was_open = self.fp is not None
        part = super().read(amt)
        bounds = under_way.get()
        if was_open and isinstance(bounds, Bounds):
            bounds.read(part)
            if self.fp is None:
                self._judge(bounds)
        return part

    def _judge(self, bounds: Bounds) -> None:
        bounds.let_go()
        bounds.whole(bounds.carried, surplus=self._surplus, good=is_success(self.status))
        if bounds.spent:
            shut_down(self._reads.sock)

    def _close_conn(self) -> None:
        """The answer is over: whatever came after it wasn't asked for, so nothing may follow on this connection."""
        self._reads.over = True
        self._surplus = bool(self.fp.peek()) or pending(self._reads.sock)
        super()._close_conn()  # type: ignore[misc] # typeshed leaves it out
