"""Other libraries' words for our options, so that an error can name the right one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

OURS = {
    "api_base": "base_url",
    "base_path": "base_url",
    "endpoint_url": "base_url",
    "host": "base_url",
    "openai_api_base": "base_url",
    "server_url": "base_url",
    "url": "base_url",
    "auth_token": "api_key",
    "key": "api_key",
    "openai_api_key": "api_key",
    "token": "api_key",
    "model_id": "model",
    "model_name": "model",
    "instruct": "instruction",
    "prompt": "instruction",
    "query_instruction": "instruction",
    "system_prompt": "instruction",
    "task": "instruction",
    "k": "top_n",
    "limit": "top_n",
    "num_results": "top_n",
    "top_k": "top_n",
    "cutoff": "min_score",
    "score_threshold": "min_score",
    "similarity_cutoff": "min_score",
    "similarity_threshold": "min_score",
    "threshold": "min_score",
    "chunk_size": "batch_size",
    "max_batch_size": "batch_size",
    "concurrency": "max_concurrency",
    "max_workers": "max_concurrency",
    "num_workers": "max_concurrency",
    "request_timeout": "timeout",
    "max_retry": "max_retries",
    "num_retries": "max_retries",
    "retries": "max_retries",
    "max_seq_length": "max_length",
    "max_tokens": "max_length",
    "max_tokens_per_doc": "max_length",
    "truncate": "max_length",
    "ssl_verify": "verify",
    "verify_ssl": "verify",
}


def unknown_options(given: Iterable[str], known: Collection[str]) -> str | None:
    """What is wrong with names that aren't options, and which option each may mean; None where all are known.

    Values are never shown: a misspelled `api_key` has one.
    """
    unknown = [name for name in given if name not in known]
    return "; ".join(f"unknown option {name}{_meant(name, known)}" for name in unknown) or None


def _meant(name: str, known: Collection[str]) -> str:
    lower = name.lower()
    ours = OURS.get(lower)
    close = [ours] if ours in known else get_close_matches(lower, sorted(known), 1)
    return f": it is called {close[0]} here" if close else f" (there are {', '.join(sorted(known))})"
