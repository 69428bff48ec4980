"""For every option of both adapters, a value that works and values that are refused. A new option is a line here."""

from __future__ import annotations

import math
from typing import Any

OPTIONS: dict[str, tuple[Any, list[Any]]] = {
    "base_url": ("http://127.0.0.1:1", ["nonsense", "ftp://host", "http://host/v1", 3]),
    "api_key": ("sk-another", ["two\nlines", 3]),
    "api_key_header": ("x-api-key", ["", "two words", "Host", 3]),
    "headers": ({"x-tenant": "acme"}, [{"Host": "a"}, {"a b": "c"}, {"a": "two\nlines"}, {"a": ""}, {"a": 3}, 3, "a"]),
    "model": ("toy", ["", 3, "a\udcff"]),
    "instruction": ("Find the law", [" ", 3]),
    "batch_size": (1, [0, True, "2"]),
    "max_concurrency": (1, [0, 1.5]),
    "timeout": (30.0, [0.0, math.inf, "soon"]),
    "connect_timeout": (3.0, [0.0, "soon"]),
    "read_timeout": (5.0, [0.0, "soon"]),
    "max_retries": (2, [-1, 1.5]),
    "on_error": ("passthrough", ["ignore"]),
    "max_length": (700, [0, "8192"]),
    "long_documents": ("chunks", ["chunk", None]),
    "chunk_overlap": (5, [-1, True, "9"]),
    "max_chunks": (3, [0, 1.5]),
    "tokenizer": (".", [" ", 3]),
    "escape_special_tokens": (False, ["no"]),
    "endpoint": ("v1/score", ["v1/rerank", 3]),
    "cache_size": (9, [-1, None]),
    "verify": (False, ["", "nowhere.pem", 3]),
    "top_n": (2, [0, -1, True, "3"]),
    "min_score": (0.5, [-0.1, 1.1, math.nan, "high"]),
    "keep_retrieval_score": (True, ["yes", None]),
}
