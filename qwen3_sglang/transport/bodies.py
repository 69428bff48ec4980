"""The bodies of answers, as much of them as is needed."""

from __future__ import annotations

import aiohttp
import urllib3

from qwen3_sglang.protocol.responses import MOST_OF_A_FAILURE, is_success


def most(limit: int, status: int) -> int:
    """The most bytes of a body to read: one more than allowed, which shows that it is too long."""
    return limit + 1 if is_success(status) else MOST_OF_A_FAILURE


def read(raw: urllib3.BaseHTTPResponse, limit: int) -> bytes:
    """The whole body, or its first `limit` bytes."""
    body = b""
    # Until nothing comes, also after the first piece: only then does urllib3 notice that one was cut short.
    while (room := limit - len(body)) and (part := raw.read(room, decode_content=False)):
        body += part
    return body


async def aread(content: aiohttp.StreamReader, limit: int) -> bytes:
    """The same of an async body."""
    parts, size = [], 0
    while size < limit and (part := await content.readany()):
        parts.append(part)
        size += len(part)
    return b"".join(parts)[:limit]
