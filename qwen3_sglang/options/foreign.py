"""Other libraries' words for our options, so that an error can name the right one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

# Our word -> what others call it; a word that may stand for two of them is the first one's here. Capitals, "_" and "-"
# don't count: "topK" is read as "top_k".
_WORDS = {
    "base_url": "address api_base api_url base base_path base_uri endpoint_url host inference_server_url "
    "openai_api_base openai_base_url server server_url target uri url",
    "api_key": "access_token auth_token authorization bearer bearer_token key openai_api_key token",
    "model": "checkpoint deployment model_id model_name model_path model_uid served_model_name",
    "instruction": "default_instruction instruct prompt query_instruction query_prompt system_prompt task "
    "task_description",
    "batch_size": "bs chunk_size embed_batch_size max_batch_size mini_batch_size",
    "max_concurrency": "concurrency concurrent_requests max_concurrent max_connections max_parallel max_workers n_jobs "
    "num_workers parallelism workers",
    "timeout": "deadline max_wait request_timeout time_limit timeout_ms timeout_s timeout_seconds",
    "max_retries": "attempts max_attempts max_retry n_retries num_retries retries retry",
    "on_error": "error_handling errors fail_open ignore_errors raise_on_error",
    "max_length": "context_length max_doc_length max_input_length max_model_len max_seq_length max_tokens "
    "max_tokens_per_doc max_tokens_per_document model_max_length truncate truncate_prompt_tokens truncation",
    "long_documents": "long_document_strategy",
    "chunk_overlap": "overlap overlap_tokens",
    "max_chunks": "max_chunks_per_doc max_chunks_per_document",
    "tokenizer": "tokenizer_file tokenizer_name tokenizer_path",
    "escape_special_tokens": "escape sanitize strip_special_tokens",
    "endpoint": "api endpoint_path path route",
    "cache_size": "cache cache_maxsize max_cache_size",
    "verify": "ca_bundle insecure parity ssl ssl_verify tls_verify verify_ssl verify_tls",
    "top_n": "final_k k limit max_documents max_results n num_docs num_results rerank_top_k rerank_top_n "
    "return_top_k similarity_top_k top top_k",
    "min_score": "cutoff min_relevance min_similarity minimum_score relevance_threshold score_cutoff score_threshold "
    "similarity_cutoff similarity_threshold threshold",
    "progress": "callback on_progress progress_bar show_progress",
    "on_progress": "callback on_batch progress progress_bar progress_callback show_progress show_progress_bar",
    "show_progress": "progress progress_bar show_progress_bar verbose",
    "query": "q query_bundle query_str query_text question search_query",
    "query_str": "q query query_text question search_query",
    "documents": "candidates chunks corpus docs items nodes passages sentences texts",
    "nodes": "candidates chunks docs documents items passages texts",
    "text_pairs": "inputs pairs query_document_pairs sentence_pairs sentences",
    "pairs": "inputs query_document_pairs sentence_pairs sentences text_pairs",
    "queries": "batch inputs questions rows",
    "fetch_k": "candidates first_stage_k initial_k num_candidates pool_size retrieve_k",
    "base_retriever": "first_stage retriever",
    "reranker": "base_compressor compressor document_compressor rerank",
    "document_prompt": "doc_prompt document_template prompt_template",
    "metadata_keys": "fields metadata_fields metadata_mode rank_fields",
    "metadata_mode": "document_prompt metadata_keys rank_fields",
    "source": "checkpoint model model_id model_name model_path repo repo_id src",
    "target": "dest destination dst out out_dir outdir output output_dir output_path save_dir to",
    "force": "exist_ok overwrite replace",
    "link": "hardlink links symlink",
    "model_dir": "checkpoint model model_id model_name model_path path",
    "allow_hosts": "allowed_hosts hosts trusted_hosts",
    "dtype": "data_type precision torch_dtype",
    "threads": "n_threads num_threads",
    "name": "model_name served_model_name",
    "scores": "cache cache_file score_file store",
    "recall_at": "cutoffs k ks k_values",
    "fresh": "force no_cache overwrite refresh",
    "client": "model reranker",
    "dataset": "data queries",
    "instructions": "instruction prompts tasks",
    "keep_retrieval_score": "keep_original_score keep_score",
}


_ALMOST = 0.85  # how alike two names are, by difflib: a letter more or less, or two exchanged


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


_MEANT = {ours: {_plain(word) for word in words.split()} for ours, words in _WORDS.items()}


def unknown_options(
    given: Iterable[str], known: Collection[str], elsewhere: Mapping[str, str] | None = None
) -> str | None:
    """What is wrong with names that aren't options, and which option each may mean; None where all are known.

    `elsewhere` says of options that aren't among the known ones where they belong. Values are never shown: a
    misspelled `api_key` has one.
    """
    unknown = [name for name in given if name not in known]
    return "; ".join(f"unknown option {name}{_meant(name, known, elsewhere or {})}" for name in unknown) or None


def slips(given: Iterable[str], known: Collection[str]) -> list[str]:
    """Names that are almost one of the known options; another library's word is none, since it may be meant so."""
    plain = {_plain(ours) for ours in known}
    return [name for name in given if name not in known and get_close_matches(_plain(name), plain, 1, _ALMOST)]


def _meant(name: str, known: Collection[str], elsewhere: Mapping[str, str]) -> str:
    others = {other: where for other, where in elsewhere.items() if other not in known}
    exact = name if name in others else None  # before a known one that it comes close to
    ours = exact or _ours(name, known) or _ours(name, others)
    if ours is None:
        return f" (there are {', '.join(sorted(known))})"
    return f": pass {ours} to {others[ours]}" if ours in others else f": it is called {ours} here"


def _ours(name: str, known: Collection[str]) -> str | None:
    """The one of the known options that the name is another word for, or comes close to."""
    plain = _plain(name)
    for ours in known:
        if plain == _plain(ours):
            return ours
    for ours, words in _MEANT.items():
        if ours in known and plain in words:
            return ours
    return next(iter(get_close_matches(name.lower(), sorted(known), 1)), None)
