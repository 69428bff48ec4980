"""What version 0.1 pickled and named still loads, wherever its modules are now.

Tests of `_moved.py`.
"""

from __future__ import annotations

import base64
import importlib
import pickle
from typing import Any

import pytest

from qwen3_sglang import Prompt, RerankClient, RerankResult
from qwen3_sglang._moved import MOVED, PACKAGE

# Written by version 0.1.0 with pickle.dumps.
PICKLED = {
    "client": (
        "gASV9AEAAAAAAACMCWZ1bmN0b29sc5SMB3BhcnRpYWyUk5SME3F3ZW4zX3NnbGFuZy5jbGllbnSUjAxSZXJhbmtDbGllbnSUk5SF"
        "lFKUKGgFjBJodHRwOi8vMTI3LjAuMC4xOjGUhZR9lCiMBW1vZGVslE6MC2luc3RydWN0aW9ulIxKR2l2ZW4gYSB3ZWIgc2VhcmNo"
        "IHF1ZXJ5LCByZXRyaWV2ZSByZWxldmFudCBwYXNzYWdlcyB0aGF0IGFuc3dlciB0aGUgcXVlcnmUjApiYXRjaF9zaXpllEsgjA9t"
        "YXhfY29uY3VycmVuY3mUSyCMB3RpbWVvdXSUSwWMD2Nvbm5lY3RfdGltZW91dJRHQCQAAAAAAACMDHJlYWRfdGltZW91dJROjAtt"
        "YXhfcmV0cmllc5ROjAhvbl9lcnJvcpSMBXJhaXNllIwHYmFja29mZpSMEnF3ZW4zX3NnbGFuZy5yZXRyeZSMB0JhY2tvZmaUk5Qp"
        "gZRdlChHP/AAAAAAAABHQAAAAAAAAABlYowKbWF4X2xlbmd0aJROjAl0b2tlbml6ZXKUTowVZXNjYXBlX3NwZWNpYWxfdG9rZW5z"
        "lIiMCGVuZHBvaW50lIwLdjEvY2xhc3NpZnmUjApjYWNoZV9zaXpllEsAjAZ2ZXJpZnmUiHVOdJRiKVKULg=="
    ),
    "result": (
        "gASVdgAAAAAAAACMFHF3ZW4zX3NnbGFuZy5yYW5raW5nlIwMUmVyYW5rUmVzdWx0lJOUKYGUTn2UKIwFaW5kZXiUSwGMBXNjb3Jl"
        "lEc/4AAAAAAAAIwFbG9naXSURwAAAAAAAAAAjAl0cnVuY2F0ZWSUiYwFZXJyb3KUTnWGlGIu"
    ),
    "prompt": ("gASVMQAAAAAAAACME3F3ZW4zX3NnbGFuZy5wcm9tcHSUjAZQcm9tcHSUk5QpgZRdlCiMAXiUSwOJZWIu"),
    "langchain": (
        "gASV9gEAAAAAAACMHWxhbmdjaGFpbl9xd2VuM19zZ2xhbmcucmVyYW5rlIwRUXdlbjNTR0xhbmdSZXJhbmuUk5QpgZR9lCiMCF9f"
        "ZGljdF9flH2UKIwEbmFtZZROjAhiYXNlX3VybJSMEmh0dHA6Ly8xMjcuMC4wLjE6MZSMB2FwaV9rZXmUTowFbW9kZWyUTowKYmF0"
        "Y2hfc2l6ZZRLIIwPbWF4X2NvbmN1cnJlbmN5lEsgjAd0aW1lb3V0lEdATgAAAAAAAIwPY29ubmVjdF90aW1lb3V0lEdAJAAAAAAA"
        "AIwMcmVhZF90aW1lb3V0lE6MC21heF9yZXRyaWVzlE6MCG9uX2Vycm9ylIwFcmFpc2WUjAptYXhfbGVuZ3RolE6MCXRva2VuaXpl"
        "cpROjBVlc2NhcGVfc3BlY2lhbF90b2tlbnOUiIwIZW5kcG9pbnSUjAt2MS9jbGFzc2lmeZSMCmNhY2hlX3NpemWUSwCMBnZlcmlm"
        "eZSIjAtpbnN0cnVjdGlvbpROjAV0b3BfbpRLA4wJbWluX3Njb3JllE51jBJfX3B5ZGFudGljX2V4dHJhX1+UTowXX19weWRhbnRp"
        "Y19maWVsZHNfc2V0X1+Uj5QoaBxoCJCMFF9fcHlkYW50aWNfcHJpdmF0ZV9flH2UjAdfY2xpZW50lE5zdWIu"
    ),
    "llama_index": (
        "gASVAQMAAAAAAACMH2xsYW1hX2luZGV4X3F3ZW4zX3NnbGFuZy5yZXJhbmuUjBFRd2VuM1NHTGFuZ1JlcmFua5STlCmBlH2UKIwI"
        "X19kaWN0X1+UfZQojBBjYWxsYmFja19tYW5hZ2VylIwfbGxhbWFfaW5kZXguY29yZS5jYWxsYmFja3MuYmFzZZSMD0NhbGxiYWNr"
        "TWFuYWdlcpSTlCmBlH2UKIwIaGFuZGxlcnOUXZSMCl90cmFjZV9tYXCUjAtjb2xsZWN0aW9uc5SMC2RlZmF1bHRkaWN0lJOUjAhi"
        "dWlsdGluc5SMBGxpc3SUk5SFlFKUdWKMCGJhc2VfdXJslIwSaHR0cDovLzEyNy4wLjAuMToxlIwHYXBpX2tleZROjAVtb2RlbJRO"
        "jApiYXRjaF9zaXpllEsgjA9tYXhfY29uY3VycmVuY3mUSyCMB3RpbWVvdXSUR0BOAAAAAAAAjA9jb25uZWN0X3RpbWVvdXSUR0Ak"
        "AAAAAAAAjAxyZWFkX3RpbWVvdXSUTowLbWF4X3JldHJpZXOUTowIb25fZXJyb3KUjAVyYWlzZZSMCm1heF9sZW5ndGiUTowJdG9r"
        "ZW5pemVylE6MFWVzY2FwZV9zcGVjaWFsX3Rva2Vuc5SIjAhlbmRwb2ludJSMC3YxL2NsYXNzaWZ5lIwKY2FjaGVfc2l6ZZRLAIwG"
        "dmVyaWZ5lIiMC2luc3RydWN0aW9ulE6MBXRvcF9ulEsDjAltaW5fc2NvcmWUTowNbWV0YWRhdGFfbW9kZZSMF2xsYW1hX2luZGV4"
        "LmNvcmUuc2NoZW1hlIwMTWV0YWRhdGFNb2RllJOUjAVlbWJlZJSFlFKUjBRrZWVwX3JldHJpZXZhbF9zY29yZZSJjA1zaG93X3By"
        "b2dyZXNzlIl1jBJfX3B5ZGFudGljX2V4dHJhX1+UTowXX19weWRhbnRpY19maWVsZHNfc2V0X1+Uj5QoaCxoGJCMFF9fcHlkYW50"
        "aWNfcHJpdmF0ZV9flH2UjAdfY2xpZW50lE5zdWIu"
    ),
}


def load(name: str) -> Any:
    """What the old version wrote."""
    return pickle.loads(base64.b64decode(PICKLED[name]))  # noqa: S301 - it stands above


def test_a_client_of_an_earlier_version_loads() -> None:
    """Its backoff, too, whose module has moved."""
    with pytest.warns(DeprecationWarning, match="moved"):
        client = load("client")
    assert isinstance(client, RerankClient)
    assert (client.settings.base_url, client.settings.timeout) == ("http://127.0.0.1:1", 5)
    assert (client.settings.backoff.base, client.settings.backoff.cap) == (1.0, 2.0)


def test_values_of_an_earlier_version_load() -> None:
    """Results and prompts."""
    assert load("result") == RerankResult(1, 0.5, 0.0)
    with pytest.warns(DeprecationWarning, match="moved"):
        assert load("prompt") == Prompt("x", 3)


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_reranker_of_an_earlier_version_loads(framework: str) -> None:
    """With every option that has come since at its default."""
    reranker = load(framework)
    assert (reranker.base_url, reranker.top_n) == ("http://127.0.0.1:1", 3)
    assert {name: getattr(reranker, name) for name in type(reranker).model_fields}
    reranker._connect()


@pytest.mark.parametrize("old", MOVED)
def test_an_old_import_path_works(old: str) -> None:
    """It hands out the very same objects, and says where they are now."""
    new = importlib.import_module(f"{PACKAGE}.{MOVED[old]}")
    name = next(name for name in vars(new) if not name.startswith("_") and name != "annotations")
    with pytest.warns(DeprecationWarning, match=f"{PACKAGE}.{MOVED[old]}"):
        assert getattr(importlib.import_module(f"{PACKAGE}.{old}"), name) is getattr(new, name)
