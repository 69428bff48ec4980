"""Is a server, or a checkpoint's folder, usable? What was found, in plain words."""

from qwen3_sglang.check.server import IRRELEVANT, QUERY, RELEVANT, Finding, check_server

__all__ = ["IRRELEVANT", "QUERY", "RELEVANT", "Finding", "check_server"]
