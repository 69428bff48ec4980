"""A Qwen3 checkpoint whose weights are written by hand, not trained: for tests and demos.

P(yes) grows with the share of the query's words that the document has, rare words counting for more, as BM25 does it:
the toy knows words, not meaning. It is built for the texts that it is to rank, from which come its tokenizer and the
words' weights, and it reads them through Qwen3-Reranker's real template. Qwen3ForCausalLM, 3 layers, under 10 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwen3_sglang.errors import MissingDependencyError
from qwen3_sglang.names import EMBEDDINGS, LM_HEAD, SOURCE_CLASS, YES
from qwen3_sglang.toy.corpus import sample

SINGLE = "model.safetensors"


def build_toy(out: str | Path, texts: Iterable[str] | None = None) -> Path:
    """Write a toy checkpoint (bfloat16 weights, config, tokenizer) into folder `out`; return its path.

    Args:
        out: the folder; made where it isn't there.
        texts: the documents that it is to rank; of more than two million characters an even share is read.
            Default: paragraphs of Python's own documentation.

    Raises:
        InvalidInputError: `texts` is one string, has no text, or has something that isn't a string.
        MissingDependencyError: torch, transformers or tokenizers isn't installed.
    """
    _require_libraries()
    documents = sample(texts)
    from qwen3_sglang.toy.tokenizer import train  # noqa: PLC0415 - not before they are known to be there

    folder = Path(out)
    with _silent_transformers():
        tokenizer = train(documents)
        folder.mkdir(parents=True, exist_ok=True)
        _write_model(folder, tokenizer, documents)
        tokenizer.save_pretrained(folder)
    return folder


def _require_libraries() -> None:
    try:
        import tokenizers  # noqa: F401, PLC0415 - asks whether it is there
        import torch  # noqa: F401, PLC0415 - asks whether it is there
        import transformers  # noqa: F401, PLC0415 - asks whether it is there
    except ImportError as error:
        raise MissingDependencyError((error.name or "transformers").split(".")[0], "local") from error


@contextmanager
def _silent_transformers() -> Iterator[None]:
    """Saving draws a progress bar; it is put back as it was, since the switch is the whole process's."""
    from transformers.utils import logging as untyped  # noqa: PLC0415 - only an extra brings it

    logging: Any = untyped
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _write_model(folder: Path, tokenizer: Any, documents: list[str]) -> None:
    import torch  # noqa: PLC0415 - only an extra brings it
    from safetensors.torch import save_file  # noqa: PLC0415 - only an extra brings it

    from qwen3_sglang.toy import wiring  # noqa: PLC0415 - only an extra brings it
    from qwen3_sglang.toy.tokenizer import ROLES, spellings  # noqa: PLC0415 - only an extra brings it
    from qwen3_sglang.toy.words import weights, word_of  # noqa: PLC0415 - only an extra brings it

    # The space in front is the template's, between "<Document>:" and the document.
    ids = [encoded.ids for encoded in tokenizer.backend_tokenizer.encode_batch([f" {text}" for text in documents])]
    texts = spellings(tokenizer)
    words = {i: word for i, text in texts.items() if text not in ROLES and (word := word_of(text)) is not None}
    config = _config(tokenizer)
    table = wiring.embeddings(texts, words, weights(words, ids), config.vocab_size)
    mean = sum(map(len, ids)) / len(ids)
    state = _tensors(config)
    wiring.write(state, table, tokenizer.get_vocab()[YES], mean)
    save_file({name: t.to(torch.bfloat16) for name, t in state.items()}, folder / SINGLE, metadata={"format": "pt"})
    config.save_pretrained(folder)


def _tensors(config: Any) -> dict[str, Any]:
    """Every tensor of the model, nothing in it yet. transformers' own class would take seconds to import."""
    import torch  # noqa: PLC0415 - only an extra brings it

    from qwen3_sglang.local.body import PREFIX, Body  # noqa: PLC0415 - only an extra brings it

    with torch.device("meta"):
        shapes = {f"{PREFIX}{name}": tensor.shape for name, tensor in Body(config.to_dict()).state_dict().items()}
    shapes[LM_HEAD] = shapes[EMBEDDINGS]
    return {name: torch.empty(shape) for name, shape in shapes.items()}


def _config(tokenizer: Any) -> Any:
    from transformers import Qwen3Config  # noqa: PLC0415 - only an extra brings it

    from qwen3_sglang.toy import wiring  # noqa: PLC0415 - only an extra brings it

    make: Any = Qwen3Config  # its signature lacks rope_theta, which it takes
    return make(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=wiring.WIDTH,
        intermediate_size=64,
        num_hidden_layers=wiring.LAYERS,
        num_attention_heads=wiring.HEADS,
        num_key_value_heads=wiring.HEADS,
        head_dim=wiring.HEAD,
        max_position_embeddings=8192,
        rope_theta=wiring.ROPE_THETA,
        tie_word_embeddings=False,
        architectures=[SOURCE_CLASS],
        dtype="bfloat16",
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
