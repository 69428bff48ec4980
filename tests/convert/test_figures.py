"""The figures of a conversion by themselves, at their edges: shapes, labels, samples, room, P(yes).

Tests of `convert/tensors.py`, `convert/labels.py`, `convert/verify.py`, `convert/copying.py`, `convert/parity.py`,
`convert/checkpoint.py`, `convert/classifier.py`, `convert/memory.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from qwen3_sglang.convert import Parity, Probe, checkpoint, copying, parity
from qwen3_sglang.convert.checkpoint import Entry, Shard, encode_header, read_any_json, read_shard, without
from qwen3_sglang.convert.classifier import _template
from qwen3_sglang.convert.copying import check_space
from qwen3_sglang.convert.labels import cosine, dot, label_names, minus, said_yes, says_no
from qwen3_sglang.convert.parity import check_parity, memory_needed, obstacle
from qwen3_sglang.convert.tensors import by_name, expected_shapes, tensor_faults
from qwen3_sglang.convert.verify import _samples
from qwen3_sglang.errors import ConversionError
from stand_in import seen_by

CONFIG: dict[str, Any] = {
    "vocab_size": 11,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 3,
    "tie_word_embeddings": True,
}


def shapes(**more: Any) -> dict[str, tuple[int, ...]]:
    return dict(expected_shapes(Path("config.json"), {**CONFIG, **more}))


def test_every_tensor_of_a_model() -> None:
    """As transformers names and shapes them."""
    found = shapes()
    layer = {name.removeprefix("model.layers.1."): shape for name, shape in found.items() if ".layers.1." in name}
    assert layer == {
        "self_attn.q_proj.weight": (12, 8),
        "self_attn.k_proj.weight": (6, 8),
        "self_attn.v_proj.weight": (6, 8),
        "self_attn.o_proj.weight": (8, 12),
        "self_attn.q_norm.weight": (3,),
        "self_attn.k_norm.weight": (3,),
        "mlp.gate_proj.weight": (12, 8),
        "mlp.up_proj.weight": (12, 8),
        "mlp.down_proj.weight": (8, 12),
        "input_layernorm.weight": (8,),
        "post_attention_layernorm.weight": (8,),
    }
    outside = {name: shape for name, shape in found.items() if ".layers." not in name}
    assert outside == {"model.embed_tokens.weight": (11, 8), "model.norm.weight": (8,)}
    assert len(found) == 2 + 2 * len(layer)


def test_what_a_config_adds() -> None:
    """A head of its own, biases, and 128 dimensions per head where none are named."""
    assert shapes(tie_word_embeddings=False)["lm_head.weight"] == (11, 8)
    biases = {
        name: shape for name, shape in shapes(attention_bias=True).items() if name.endswith("0.self_attn.q_proj.bias")
    }
    assert biases == {"model.layers.0.self_attn.q_proj.bias": (12,)}
    assert sum(name.endswith(".bias") for name in shapes(attention_bias=True)) == 6
    config = {key: value for key, value in CONFIG.items() if key != "head_dim"}
    plain = dict(expected_shapes(Path("config.json"), config))
    assert plain["model.layers.0.self_attn.q_norm.weight"] == (128,)


@pytest.mark.parametrize(
    ("key", "value", "usable"),
    [
        ("hidden_size", 0, False),
        ("hidden_size", 1, True),
        ("hidden_size", True, False),
        ("hidden_size", 8.0, False),
        ("vocab_size", 2**40, True),
        ("vocab_size", 2**40 + 1, False),
        ("num_hidden_layers", 10**4 + 1, False),
        ("num_hidden_layers", None, False),
    ],
)
def test_sizes_of_a_config(key: str, value: Any, usable: bool) -> None:
    """Positive whole numbers, and none that nobody has."""
    if usable:
        assert shapes(**{key: value})
    else:
        with pytest.raises(ConversionError, match=f"{key} is {value}, not a positive number"):
            shapes(**{key: value})


def model(changes: Mapping[str, Entry] | None = None, drop: int = 0) -> list[str]:
    """What is wrong with a model of these shapes but for `changes`, and without its last `drop` tensors."""
    right = list(shapes().items())[: len(shapes()) - drop]
    tensors = {name: Entry("BF16", shape, 0, 2 * math.prod(shape)) for name, shape in right} | dict(changes or {})
    folder = Path("folder")
    shard = Shard(folder / "model.safetensors", 8, tensors, {})
    return list(tensor_faults(folder, by_name([shard]), CONFIG, lm_head=True))


def test_missing_tensors_are_counted() -> None:
    """One is; of more the first is named."""
    assert model() == []
    [one] = model(drop=1)
    assert one.startswith(
        "folder: model.layers.1.post_attention_layernorm.weight is missing from the weights: a server"
    )
    [three] = model(drop=3)
    assert three.startswith("folder: model.layers.1.mlp.down_proj.weight and 2 more tensors are missing")


def test_tensors_of_another_shape_are_counted() -> None:
    """With both shapes; a vocabulary that was resized is told apart."""
    norm = {f"model.layers.{n}.input_layernorm.weight": Entry("BF16", (9,), 0, 18) for n in (0, 1)}
    [both] = model(norm)
    assert (
        "model.layers.0.input_layernorm.weight has shape [9], not [8] as config.json says, and 1 more: a server" in both
    )
    [one] = model({"model.norm.weight": Entry("BF16", (9,), 0, 18)})
    assert "has shape [9], not [8] as config.json says: a server won't start" in one
    [resized] = model({"model.embed_tokens.weight": Entry("BF16", (12, 8), 0, 192)})
    assert "the vocabulary was resized. Set vocab_size to 12 in config.json" in resized
    [wider] = model({"model.embed_tokens.weight": Entry("BF16", (12, 9), 0, 216)})
    assert "resized" not in wider


def test_bytes_that_do_not_fit_a_shape() -> None:
    """By the width of the type."""
    assert model({"model.norm.weight": Entry("F32", (8,), 0, 32)}) == []
    [wrong] = model({"model.norm.weight": Entry("F32", (8,), 0, 16)})
    assert "the byte range of model.norm.weight doesn't match its shape" in wrong
    [kind] = model({"model.norm.weight": Entry("F64", (8,), 0, 64)})
    assert "model.norm.weight has type F64; use a checkpoint in BF16, F16, F32" in kind


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("module.model.norm.weight", '"module." in the tensor names'),
        ("base_model.model.model.norm.weight", '"base_model.model." in the tensor names'),
        ("model.layers.0.self_attn.q_proj.lora_A.weight", '"lora_A." in the tensor names'),
        ("_orig_mod.lm_head.weight", '"_orig_mod." in the tensor names'),
        ("wrapped.model.embed_tokens.weight", 'the tensor names begin with "wrapped."'),
        ("model.norm.qweight", "is a quantized weight"),
    ],
)
def test_names_that_tell_a_wrapper(name: str, said: str) -> None:
    """Which part of them, and whose it is; nothing else is said then."""
    [found] = model({name: Entry("BF16", (8,), 0, 16)})
    assert said in found


class Labels(NamedTuple):
    """What a config says, and what follows of two labels."""

    config: dict[str, Any]
    names: list[str]
    yes: int | None


@pytest.mark.parametrize(
    "case",
    [
        Labels({}, ["LABEL_0", "LABEL_1"], None),
        Labels({"num_labels": 1}, ["LABEL_0"], None),
        Labels({"num_labels": 3}, ["LABEL_0", "LABEL_1", "LABEL_2"], None),
        Labels({"num_labels": 4}, ["LABEL_0", "LABEL_1"], None),
        Labels({"num_labels": True}, ["LABEL_0", "LABEL_1"], None),
        Labels({"id2label": {"0": "No!", "1": "YES"}}, ["No!", "YES"], 1),
        Labels({"id2label": {"0": "yes", "1": "no"}}, ["yes", "no"], 0),
        Labels({"id2label": {"0": "yes", "1": "no"}, "num_labels": 3}, ["LABEL_0", "LABEL_1", "LABEL_2"], None),
        Labels({"id2label": {"0": "a", "1": "no"}}, ["a", "no"], 0),
        Labels({"id2label": {"0": "label yes", "1": "b"}}, ["label yes", "b"], 0),
        Labels({"id2label": {"0": "yes", "1": "true"}}, ["yes", "true"], None),
        Labels({"id2label": {"0": "0", "1": "1"}}, ["0", "1"], None),
        Labels({"id2label": {"0": "1", "1": "0"}}, ["1", "0"], 0),
        Labels({"id2label": {"0": "a"}}, ["a"], None),
        Labels({"id2label": ["no", "yes"]}, [], None),
        Labels({"label2id": {"relevant": 0, "irrelevant": 1}}, ["LABEL_0", "LABEL_1"], 0),
        Labels({"label2id": {"no": 0, "yes": True}}, ["LABEL_0", "LABEL_1"], 1),
    ],
    ids=str,
)
def test_which_of_two_labels_is_yes(case: Labels) -> None:
    """By words in many spellings; numbers only where they stand the wrong way round."""
    assert label_names(case.config) == case.names
    assert said_yes(case.config, 2) == case.yes


def test_one_label() -> None:
    """Yes, no, or neither."""
    assert [said_yes({"id2label": {"0": name}}, 1) for name in ("relevant", "no", "score")] == [0, None, None]
    assert [says_no({"id2label": {"0": name}}) for name in ("relevant", "Not relevant", "score")] == [
        False,
        True,
        False,
    ]


def test_angles_between_rows() -> None:
    """None where there is no angle."""
    assert dot([1, 2, 3], [4, 5, 6]) == 32
    assert minus([3, 5], [1, 7]) == [2, -2]
    assert cosine([3.0, 4.0], [4.0, 3.0]) == pytest.approx(0.96)
    assert cosine([3.0, 4.0], [-3.0, -4.0]) == pytest.approx(-1)
    others: list[list[float] | None] = [None, [1.0], [0.0, 0.0], [math.inf, 0.0], [math.nan, 0.0]]
    assert [cosine([1.0, 2.0], other) for other in others] == [None] * 5


@pytest.mark.parametrize(
    ("size", "found"),
    [
        (0, [(0, 0)]),
        (1, [(0, 1)]),
        (4096, [(0, 4096)]),
        (4097, [(0, 4096), (1, 4096)]),
        (10_000, [(0, 4096), (2952, 4096), (5904, 4096)]),
    ],
)
def test_samples_of_a_tensor(size: int, found: list[tuple[int, int]]) -> None:
    """The first, middle and last bytes; of a small one all, once."""
    assert list(_samples(Entry("BF16", (), 100, 100 + size))) == found


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(("needed", "fits"), [(2_000_000_000, True), (2_000_000_001, False)])
def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: int, fits: bool) -> None:
    """As much as is free is enough; the folder needn't be there yet."""
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(2_000_000_000)

    seen_by(monkeypatch, copying, "shutil", disk_usage=usage)
    folder = tmp_path / "not" / "there"
    if fits:
        check_space(folder, needed, linking=False)
    else:
        with pytest.raises(ConversionError, match=r"2\.00 GB are needed, and 2\.00 GB are free.*--link"):
            check_space(folder, needed, linking=False)
    assert asked == [tmp_path]


@pytest.mark.parametrize(("short", "reason"), [(0, ""), (1, "it needs 1.0 GB of memory, and 1.0 GB are free")])
def test_memory_for_the_full_check(monkeypatch: pytest.MonkeyPatch, short: int, reason: str) -> None:
    """Exactly enough is enough: 5 bytes per parameter and 1 GB."""
    shard = Shard(Path("m"), 8, {"a": Entry("BF16", (3, 4), 0, 24), "b": Entry("BF16", (5,), 24, 34)}, {})
    needed = memory_needed([shard])
    assert needed == 10**9 + 5 * 17
    monkeypatch.setattr(parity, "free_memory", lambda: needed - short)
    assert obstacle(None, [shard]) == reason


def test_how_far_apart_scores_may_be() -> None:
    """A ten thousandth; not a number is never near."""
    check_parity(Parity((Probe("near", 1, 0.5, 0.5 + 1e-4 - 1e-12), Probe("same", 1, 0.5, 0.5))), Path("out"))
    for far in (0.5 + 1.001e-4, 0.5 - 1.001e-4, math.nan):
        with pytest.raises(ConversionError, match=r"more than 0\.0001 apart"):
            check_parity(Parity((Probe("far", 1, 0.5, far),)), Path("out"))
    assert Probe("p", 1, 0.25, 0.75).difference == Probe("p", 1, 0.75, 0.25).difference == 0.5
    assert Parity().max_difference == 0
    assert Parity((Probe("p", 1, 0.5, 0.75), Probe("p", 1, 0.5, 0.5))).max_difference == 0.25
    assert math.isnan(Parity((Probe("p", 1, 0.5, math.nan), Probe("p", 1, 0.5, 0.75))).max_difference)


def test_p_yes_of_logits() -> None:
    """Of any size."""
    found = [parity._p_yes(*pair) for pair in ((0.0, 0.0), (0.0, math.log(3)), (1e4, 0.0), (0.0, 1e4))]
    assert found == pytest.approx([0.5, 0.75, 0.0, 1.0])


def test_what_a_pair_is_called() -> None:
    """Query and document, 60 characters of them."""
    assert parity._label(("query", "document")) == "query / document"
    assert len(parity._label(("query", "word " * 50))) <= 60
    assert parity._label(("query", "word " * 50)).endswith(" ...")


def test_a_header_is_padded() -> None:
    """So that the data begin at a multiple of eight, whatever the names' lengths."""
    for length in range(1, 10):
        raw = encode_header({"n" * length: Entry("BF16", (2,), 0, 4)}, {})
        assert len(raw) % 8 == 0
        assert int.from_bytes(raw[:8], "little") == len(raw) - 8
        assert json.loads(raw[8:])["__metadata__"] == {"format": "pt"}


def test_tensors_move_up() -> None:
    """Over what is dropped before them, empty ones too."""
    tensors = {
        "a": Entry("BF16", (1,), 0, 2),
        "gone": Entry("BF16", (2,), 2, 6),
        "empty": Entry("BF16", (0,), 6, 6),
        "b": Entry("BF16", (3,), 6, 12),
        "also": Entry("BF16", (1,), 12, 14),
        "c": Entry("BF16", (1,), 14, 16),
    }
    found = without(tensors, {"gone", "also"})
    assert {name: (one.begin, one.end) for name, one in found.items()} == {
        "a": (0, 2), "empty": (2, 2), "b": (2, 8), "c": (8, 10),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "usable"),
    [
        (b"", False),
        ((2).to_bytes(8, "little") + b"{}", True),
        ((1).to_bytes(8, "little") + b"{", False),
        ((3).to_bytes(8, "little") + b"{}", False),
        ((2).to_bytes(8, "little") + b"{}x", False),
        ((2).to_bytes(7, "little"), False),
    ],
)
def test_the_least_file(tmp_path: Path, raw: bytes, usable: bool) -> None:
    """Eight bytes and an empty header; no byte more."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(raw)
    if usable:
        assert (read_shard(path).tensors, read_shard(path).data_start) == ({}, 10)
    else:
        with pytest.raises(ConversionError):
            read_shard(path)


def test_the_largest_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many bytes as the limit."""
    monkeypatch.setattr(checkpoint, "MAX_JSON", 10)
    path = tmp_path / "tokenizer.json"
    path.write_text("[" + " " * 8 + "]")
    assert read_any_json(path) == []
    path.write_text("[" + " " * 9 + "]")
    with pytest.raises(ConversionError, match="more than 10 bytes"):
        read_any_json(path)


class Head(NamedTuple):
    """What a remark on the template is made of."""

    folder: Path
    config: dict[str, Any]
    likeness: float | None
    made_of_tokens: bool | None


def test_what_is_said_of_a_template(tmp_path: Path) -> None:
    """Nothing where the head tells; else that nothing does, and how far a head is from one of tokens."""
    told: Any = Head(tmp_path, {}, 0.9, True)
    anew: Any = Head(tmp_path, {}, -0.123, False)
    gone: Any = Head(tmp_path, {}, None, None)
    assert list(_template(told)) == []
    [far] = _template(anew)
    assert "so it was trained anew (cosine -0.12); nothing in the folder says" in far.text
    [unknown] = _template(gone)
    assert unknown.text.startswith("template: nothing in the folder says")
