"""The rerankers that are compared: where each comes from, and how it is pointed at a server of ours.

Imports are inside the functions, since each peer lives in a virtual environment of its own. No key is real.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import asyncio
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from peer_server import Asked, Fault, PeerServer
from pydantic import SecretStr

KEY = "sk-made-up-0123456789"


class Peer(NamedTuple):
    """``requirement`` is for pip, "" for our own; ``address`` says how the peer is told where its server is."""

    title: str
    framework: str
    requirement: str
    address: str
    make: Callable[..., Any]


def _ours_langchain(server: PeerServer, **options: Any) -> Any:
    from langchain_qwen3_sglang import Qwen3SGLangRerank

    return Qwen3SGLangRerank(base_url=server.url, api_key=SecretStr(KEY), **options)


def _ours_llama_index(server: PeerServer, **options: Any) -> Any:
    from llama_index_qwen3_sglang import Qwen3SGLangRerank

    return Qwen3SGLangRerank(base_url=server.url, api_key=SecretStr(KEY), **options)


def _lc_cohere(server: PeerServer, **options: Any) -> Any:
    from langchain_cohere import CohereRerank

    return CohereRerank(base_url=server.url, cohere_api_key=KEY, model="toy", **options)


def _lc_nvidia(server: PeerServer, **options: Any) -> Any:
    from langchain_nvidia_ai_endpoints import NVIDIARerank

    return NVIDIARerank(base_url=f"{server.url}/v1", api_key=KEY, model="toy", **options)


def _lc_reranker(server: PeerServer, **options: Any) -> Any:
    from langchain_reranker.rerankers import init_reranker

    return init_reranker("custom:toy", base_url=server.url, api_key=KEY, **options)


def _lc_oci(server: PeerServer, **options: Any) -> Any:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from langchain_oci import OCIGenAIRerank

    kept = tempfile.TemporaryDirectory(prefix="compare-peers-")
    _HELD.append(kept)  # removed when the process ends
    folder = Path(kept.name)
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(pem)
    lines = {
        "user": "ocid1.user.oc1..aaaa",
        "tenancy": "ocid1.tenancy.oc1..aaaa",
        "fingerprint": ":".join(["00"] * 16),
        "region": "us-chicago-1",
        "key_file": folder / "key.pem",
    }
    config = folder / "config"
    config.write_text("[DEFAULT]\n" + "".join(f"{name}={value}\n" for name, value in lines.items()))
    config.chmod(0o600)
    (folder / "key.pem").chmod(0o600)
    own = {"service_endpoint": server.url, "compartment_id": "ocid1.compartment.oc1..aaaa", "model_id": "toy"}
    return OCIGenAIRerank(auth_file_location=str(config), **own, **options)


def _lc_jina(server: PeerServer, **options: Any) -> Any:
    from langchain_community.document_compressors import jina_rerank

    jina_rerank.JINA_API_URL = f"{server.url}/rerank"  # no option has it
    return jina_rerank.JinaRerank(jina_api_key=KEY, **options)


def _li_tei(server: PeerServer, **options: Any) -> Any:
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    return TextEmbeddingInference(base_url=server.url, auth_token=KEY, **options)


def _li_nvidia(server: PeerServer, **options: Any) -> Any:
    from llama_index.postprocessor.nvidia_rerank import NVIDIARerank

    warnings.simplefilter("ignore")  # it says that it doesn't know the model
    return NVIDIARerank(base_url=f"{server.url}/v1", api_key=KEY, model="toy", **options)


def _li_cohere(server: PeerServer, **options: Any) -> Any:
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    return CohereRerank(base_url=server.url, api_key=KEY, model="toy", **options)


def _li_siliconflow(server: PeerServer, **options: Any) -> Any:
    from llama_index.postprocessor.siliconflow_rerank import SiliconFlowRerank

    return SiliconFlowRerank(base_url=f"{server.url}/rerank", api_key=KEY, **options)


def _li_google(server: PeerServer, **options: Any) -> Any:
    """Its clients are replaced, since no option has an address; they speak gRPC, so a translator stands between."""
    import grpc
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import discoveryengine_v1 as google
    from google.cloud.discoveryengine_v1.services.rank_service.transports import (
        RankServiceGrpcAsyncIOTransport,
        RankServiceGrpcTransport,
    )
    from llama_index.postprocessor.google_rerank import GoogleRerank

    try:
        asyncio.get_running_loop()
    except RuntimeError:  # its constructor needs a current event loop, and asyncio.run leaves none behind
        asyncio.set_event_loop(asyncio.new_event_loop())
    made = GoogleRerank(project_id="made-up", credentials=AnonymousCredentials(), **options)
    address = _translate_grpc(server, grpc, google)
    made._client = google.RankServiceClient(transport=RankServiceGrpcTransport(channel=grpc.insecure_channel(address)))

    channel = grpc.aio.insecure_channel(address)  # in the constructor's event loop, as the real one does
    made._async_client = google.RankServiceAsyncClient(transport=RankServiceGrpcAsyncIOTransport(channel=channel))
    return made


def _translate_grpc(server: PeerServer, grpc: Any, google: Any) -> str:
    def rank(request: Any, context: Any) -> Any:
        asked = Asked(str(request), [record.content for record in request.records], request.top_n, 0)
        answer = server.answer(asked)
        if isinstance(answer, Fault):
            code = grpc.StatusCode.UNAUTHENTICATED if answer.status == 401 else grpc.StatusCode.UNAVAILABLE
            context.abort(code, "refused")
        return google.RankResponse(records=[google.RankingRecord(id=str(i), score=p) for i, p in answer])

    method = grpc.unary_unary_rpc_method_handler(rank, google.RankRequest.deserialize, google.RankResponse.serialize)
    handler = grpc.method_handlers_generic_handler("google.cloud.discoveryengine.v1.RankService", {"Rank": method})
    running = grpc.server(ThreadPoolExecutor(64), handlers=[handler])
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    _HELD.append(running)  # it stops when nobody holds it
    return f"127.0.0.1:{port}"


_HELD: list[Any] = []

LI = "llama-index-postprocessor-"
PEERS = {
    "lc-ours": Peer("**qwen3-sglang**", "langchain", "", "`base_url`", _ours_langchain),
    "lc-cohere": Peer("Cohere", "langchain", "langchain-cohere==0.6.0", "`base_url`", _lc_cohere),
    "lc-nvidia": Peer("NVIDIA", "langchain", "langchain-nvidia-ai-endpoints==1.5.0", "`base_url`", _lc_nvidia),
    "lc-reranker": Peer("langchain-reranker", "langchain", "langchain-reranker==0.1.4", "`base_url`", _lc_reranker),
    "lc-oci": Peer("OCI", "langchain", "langchain-oci==0.4.0", "`service_endpoint`", _lc_oci),
    "lc-jina": Peer("Jina", "langchain", "langchain-community==0.4.2", "no: a constant was replaced", _lc_jina),
    "li-ours": Peer("**qwen3-sglang**", "llama_index", "", "`base_url`", _ours_llama_index),
    "li-tei": Peer("TEI", "llama_index", f"{LI}tei-rerank==0.6.0", "`base_url`", _li_tei),
    "li-nvidia": Peer("NVIDIA", "llama_index", f"{LI}nvidia-rerank==0.7.0", "`base_url`", _li_nvidia),
    "li-cohere": Peer("Cohere", "llama_index", f"{LI}cohere-rerank==0.10.0", "`base_url`", _li_cohere),
    "li-silicon": Peer("SiliconFlow", "llama_index", f"{LI}siliconflow-rerank==0.5.0", "`base_url`", _li_siliconflow),
    "li-google": Peer(
        "Google", "llama_index", f"{LI}google-rerank==0.2.0", "no: its clients were replaced", _li_google
    ),
}


def versions(peer: Peer) -> str:
    """The package's and its framework's, as installed here."""
    names = [peer.requirement.partition("==")[0] or "qwen3-sglang", f"{peer.framework.replace('_', '-')}-core"]
    return ", ".join(f"{name} {version(name)}" for name in names)
