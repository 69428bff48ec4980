"""A Qwen3 checkpoint whose weights are written by hand, not trained: for tests and demos.

P(yes) grows with the share of the query's content words that occur in the document, read through
Qwen3-Reranker's real template. Architecture Qwen3ForCausalLM, 3 layers, about 5M parameters, built in seconds
from nothing but the standard library's own documentation (for the tokenizer). It knows words, not meaning.

How it works (one line each)::

    layer 0 attention  every token looks back at the markers "<Query>:" and "<Document>:"; query tokens see
                       one, document tokens see both, so two channels tell the section (fq, fd)
    layer 0 MLP        qw = the token's weight, in the query only
    layer 1 head 0     a document token looks for the same word in the query: m = its weight, else 0
    layer 1 head 1     it looks for the same word in the document so far: dup falls with each repeat
    layer 1 MLP        new = m at a word's first occurrence only
    layer 2            the last token sums `new` (matched weight) and `qw` (asked weight)
    lm_head            yes = GAIN * (matched - TAU * asked), no = 0
"""

from __future__ import annotations

import pydoc_data.topics
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen3_sglang.errors import MissingDependencyError
from qwen3_sglang.names import EMBEDDINGS, LM_HEAD, YES
from qwen3_sglang.prompts.template import DOCUMENT_MARK, QUERY_MARK, QWEN3

if TYPE_CHECKING:
    from torch import Tensor

    Head = tuple[Tensor, Tensor, Tensor, Tensor]  # rows of q, k, v and columns of o that belong to one head

ID, HIDDEN, HEAD, GAIN, TAU = 88, 256, 128, 4.0, 0.5
CHANNELS = ["one", "qmark", "dmark", "sink", "idf", "fq", "fd", "m", "dup", "new", "qw", "sumd", "sumq"]
CH = {name: ID + i for i, name in enumerate(CHANNELS)}
SLOW = [*range(16, 64), *range(80, 128)]  # head dims that RoPE at theta 1e18 barely turns
U, V, W, IDS = SLOW[0], SLOW[1], SLOW[2], SLOW[8:]
MARKERS = [QUERY_MARK, DOCUMENT_MARK]
ENDINGS = ("ing", "ed", "es", "s", "ly")
SHORTEST_STEM = 4
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
STOP_WORDS = """
a an the of to in on for and or is are was be by with as at it its this that from what which who how why when
where do does did i you he she they we me my your can could would should will not no yes if than then so
"""
STOP = frozenset(STOP_WORDS.split())


def build_toy(out: str | Path) -> Path:
    """Write the toy checkpoint (bfloat16 weights, config, tokenizer) into folder `out`; return its path.

    Raises MissingDependencyError when torch, transformers or tokenizers isn't installed.
    """
    _require_libraries()
    folder = Path(out)
    with _silent_transformers():
        tokenizer = _build_tokenizer()
        _build_model(tokenizer).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def _require_libraries() -> None:
    try:
        import tokenizers  # noqa: F401, PLC0415
        import torch  # noqa: F401, PLC0415
        import transformers  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingDependencyError((error.name or "transformers").split(".")[0], "local") from error


@contextmanager
def _silent_transformers() -> Iterator[None]:
    """Saving draws a progress bar; it is put back as it was, since the switch is the whole process's."""
    from transformers.utils import logging as untyped  # noqa: PLC0415

    logging: Any = untyped
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _build_model(tokenizer: Any) -> Any:
    import torch  # noqa: PLC0415
    from transformers import Qwen3Config, Qwen3ForCausalLM  # noqa: PLC0415

    vocab: dict[str, int] = tokenizer.get_vocab()
    make_config: Any = Qwen3Config  # its signature lacks rope_theta, which it takes
    config = make_config(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=HEAD,
        max_position_embeddings=8192,
        rope_theta=1e18,
        tie_word_embeddings=False,
        eos_token_id=vocab["<|im_end|>"],
        pad_token_id=vocab["<|endoftext|>"],
    )
    with (
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
    ):  # the initial weights are random, and all overwritten
        model: Any = Qwen3ForCausalLM(config)
        _write_weights(model.state_dict(), vocab)
    return model.to(torch.bfloat16)


def _build_tokenizer() -> Any:
    """Byte-level BPE over the standard library's documentation, with Qwen's split, special tokens and markers."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    tok: Any = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tok.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tok.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    make_trainer: Any = trainers.BpeTrainer
    trainer = make_trainer(
        vocab_size=8000, special_tokens=list(QWEN3.special_tokens), show_progress=False, initial_alphabet=alphabet
    )
    # The template's own words must be single tokens, "yes" and "no" above all.
    words = ["yes no assistant system user"] * 500
    tok.train_from_iterator([*pydoc_data.topics.topics.values(), *words], trainer)
    tok.add_tokens([AddedToken(marker, normalized=False, special=False) for marker in MARKERS])
    wrap: Any = PreTrainedTokenizerFast
    return wrap(
        tokenizer_object=tok,
        eos_token="<|im_end|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
    )


def _stem(token: str) -> str:
    word = token.replace("Ġ", "").lower()
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= SHORTEST_STEM:
            return word[: -len(ending)]
    return word


def _embeddings(vocab: dict[str, int], size: int) -> Tensor:
    """[size, HIDDEN]: a random direction of norm 4.5 for each word stem, then the flag channels."""
    import torch  # noqa: PLC0415

    table = torch.zeros(size, HIDDEN)
    for token, i in vocab.items():
        word = _stem(token)
        seeded = torch.Generator().manual_seed(zlib.crc32(word.encode()))
        direction = torch.randn(ID, generator=seeded)
        table[i, :ID] = direction / direction.norm() * 4.5
        table[i, CH["one"]] = 4
        if re.fullmatch(r"[^\W_]+", word) and word not in STOP and token not in QWEN3.special_tokens:
            table[i, CH["idf"]] = 2 * min(1.0, 0.25 + 0.15 * len(word))
    table[vocab[QUERY_MARK], CH["qmark"]] = table[vocab[DOCUMENT_MARK], CH["dmark"]] = 4
    table[vocab["<|im_start|>"], CH["sink"]] = 4
    return table


def _write_weights(state: dict[str, Tensor], vocab: dict[str, int]) -> None:
    """Overwrite every tensor of `state` in place."""
    for name, weight in state.items():
        weight.fill_(1.0 if "norm" in name else 0.0)
    table = state[EMBEDDINGS]
    table.copy_(_embeddings(vocab, table.shape[0]))
    _write_sections(state)
    _write_matches(state)
    _write_sums(state)
    state[LM_HEAD][vocab[YES], CH["sumd"]] = GAIN
    state[LM_HEAD][vocab[YES], CH["sumq"]] = -GAIN * TAU


def _at(state: dict[str, Tensor], layer: int, name: str) -> Tensor:
    return state[f"model.layers.{layer}.{name}.weight"]


def _attention(state: dict[str, Tensor], layer: int, scale: float) -> tuple[Head, Head]:
    """Views on the projections of the layer's two heads; `scale` sets how sharp their softmax is."""
    _at(state, layer, "self_attn.q_norm").fill_(scale)
    _at(state, layer, "self_attn.k_norm").fill_(scale)
    q, k, v, o = (_at(state, layer, f"self_attn.{x}_proj") for x in "qkvo")

    def head(h: int) -> Head:
        rows = slice(h * HEAD, (h + 1) * HEAD)
        return q[rows], k[rows], v[rows], o[:, rows]

    return head(0), head(1)


def _gate(state: dict[str, Tensor], layer: int, terms: dict[str, float], up: str, down: str) -> None:
    for name, weight in terms.items():
        _at(state, layer, "mlp.gate_proj")[0, CH[name]] = weight
    _at(state, layer, "mlp.up_proj")[0, CH[up]] = 1
    _at(state, layer, "mlp.down_proj")[CH[down], 0] = 0.1


def _write_sections(state: dict[str, Tensor]) -> None:
    (q, k, v, o), _ = _attention(state, 0, 2.0)
    q[U, CH["one"]] = 1
    k[U, CH["qmark"]] = k[U, CH["dmark"]] = 3
    k[U, CH["sink"]], k[V, CH["one"]] = 1, 1
    v[0, CH["qmark"]] = v[1, CH["dmark"]] = 1
    o[CH["fq"], 0] = o[CH["fd"], 1] = 1
    _gate(state, 0, {"fq": 4, "fd": -12, "one": -4}, "idf", "qw")


def _write_matches(state: dict[str, Tensor]) -> None:
    import torch  # noqa: PLC0415

    identity = torch.eye(ID, HIDDEN)
    (q, k, v, o), (q1, k1, v1, o1) = _attention(state, 1, 3.0)
    q[IDS], k[IDS] = identity, identity
    q[U, CH["one"]], q[V, CH["one"]] = 1.1, 0.77
    k[U, CH["fq"]], k[U, CH["fd"]] = 4.4 / 7.76, -3 * 4.4 / 7.76
    k[U, CH["sink"]], k[V, CH["sink"]] = 40, 28
    v[0, CH["idf"]], o[CH["m"], 0] = 1, 1
    q1[IDS], k1[IDS] = 0.7 * identity, identity
    q1[U, CH["one"]] = q1[V, CH["one"]] = 1.1
    k1[U, CH["fd"]] = 4.4 / 3.88
    k1[U, CH["dmark"]], k1[V, CH["dmark"]], k1[W, CH["dmark"]] = 40, 40, 40 * 0.86
    v1[0, CH["dmark"]], o1[CH["dup"], 0] = -1, 1
    _gate(state, 1, {"dup": -20, "one": -20 * 0.46}, "m", "new")


def _write_sums(state: dict[str, Tensor]) -> None:
    sums = (("new", "sumd"), ("qw", "sumq"))
    for (q, k, v, o), (source, total) in zip(_attention(state, 2, 1.7), sums, strict=True):
        q[U, CH["one"]] = 1
        k[U, CH[source]], k[V, CH["one"]], k[U, CH["sink"]] = 2, 0.5, 40
        v[0, CH[source]], o[CH[total], 0] = 1, 1
