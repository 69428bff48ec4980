"""What convert() refuses: each a real broken folder, each with what to do.

Most of it is what tensors.py finds.

Tests of `convert/folder.py`, `convert/tensors.py`.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spoil import edit_header, edit_json

from qwen3_sglang.convert import convert, parity
from qwen3_sglang.convert.checkpoint import INDEX, open_shards
from qwen3_sglang.convert.tensors import expected_shapes
from qwen3_sglang.errors import ConversionError

EMBED = "model.embed_tokens.weight"
REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda s: (s / "config.json").unlink(), r"config\.json: missing"),
    "broken config": (lambda s: (s / "config.json").write_text("{"), r"config\.json: can't be read"),
    "other model": (
        lambda s: edit_json(s / "config.json", architectures=["Qwen2ForCausalLM"]),
        "Qwen2ForCausalLM.*use a Qwen3-Reranker",
    ),
    "no architecture": (lambda s: edit_json(s / "config.json", architectures=None), "architectures is None"),
    "vision": (
        lambda s: edit_json(s / "config.json", architectures=["Qwen3VLForConditionalGeneration"]),
        "images and text; use Qwen3-Reranker",
    ),
    "no layers": (lambda s: edit_json(s / "config.json", num_hidden_layers=None), "num_hidden_layers is None"),
    "adapter": (lambda s: (s / "adapter_config.json").write_text("{}"), "LoRA adapter; merge it"),
    "no tokenizer": (
        lambda s: (s / "tokenizer.json").unlink(),
        r"neither tokenizer\.json nor vocab\.json: .* tokenizer\.save_pretrained",
    ),
    "no head": (
        lambda s: edit_json(s / "config.json", architectures=["Qwen3ForSequenceClassification"]),
        r"no score\.weight: .* set \"architectures\" to \[\"Qwen3ForCausalLM\"\]",
    ),
    "quantized": (lambda s: edit_json(s / "config.json", quantization_config={"bits": 4}), "unquantized"),
    "no weights": (lambda s: (s / "model.safetensors").unlink(), "neither model.safetensors nor"),
    "pickles": (lambda s: (s / "model.safetensors").rename(s / "pytorch_model.bin"), "pickled"),
    "truncated": (lambda s: os.truncate(s / "model.safetensors", 100_000), "the file has"),
    "empty": (lambda s: os.truncate(s / "model.safetensors", 0), "truncated"),
    "corrupt": (
        lambda s: (s / "model.safetensors").write_bytes((20).to_bytes(8, "little") + b"?" * 50),
        "header is corrupt",
    ),
    "shape": (
        lambda s: edit_header(s / "model.safetensors", lambda h: h["lm_head.weight"].update(shape=[256])),
        "has shape",
    ),
    "embedding's shape": (
        lambda s: edit_header(s / "model.safetensors", lambda h: h[EMBED].update(shape=[256, h[EMBED]["shape"][0]])),
        r"embed_tokens\.weight has shape .* as config\.json says",
    ),
    "other sizes": (lambda s: edit_json(s / "config.json", hidden_size=512), "has shape .*512.* as config"),
    "lost tensor": (
        lambda s: edit_header(
            s / "model.safetensors", lambda h: h.update({"x": h.pop("model.layers.2.mlp.up_proj.weight")})
        ),
        r"model\.layers\.2\.mlp\.up_proj\.weight is missing",
    ),
    "lost head": (
        lambda s: edit_header(s / "model.safetensors", lambda h: h.update({"x": h.pop("lm_head.weight")})),
        r"lm_head\.weight is missing",
    ),
    "byte range": (
        lambda s: edit_header(s / "model.safetensors", lambda h: h["lm_head.weight"].update(dtype="F32")),
        "doesn't match its shape",
    ),
    "FP8": (
        lambda s: edit_header(s / "model.safetensors", lambda h: h["lm_head.weight"].update(dtype="F8_E4M3")),
        "F8_E4M3 is a quantized weight; convert the unquantized",
    ),
    "GPTQ": (
        lambda s: edit_header(
            s / "model.safetensors",
            lambda h: h.update({"model.layers.0.mlp.up_proj.qweight": h.pop("model.layers.0.mlp.up_proj.weight")}),
        ),
        "qweight of type .* quantized",
    ),
    "compressed": (lambda s: edit_json(s / "config.json", compression_config={"bits": 8}), "unquantized"),
    "dtype": (
        lambda s: edit_header(s / "model.safetensors", lambda h: h["lm_head.weight"].update(dtype="I16")),
        "type I16",
    ),
    "yes": (
        lambda s: edit_json(s / "tokenizer.json", model={"vocab": {"no": 1}}),
        '"yes" isn\'t a single token',
    ),
    "no": (lambda s: edit_json(s / "tokenizer.json", model={"vocab": {"yes": 1}}), '"no" isn\'t a single'),
    "equal rows": (
        lambda s: edit_json(s / "tokenizer.json", model={"vocab": {"yes": 1, "no": 1}}),
        'rows of "yes" and "no" in .* are equal',
    ),
    "row": (
        lambda s: edit_json(s / "tokenizer.json", model={"vocab": {"yes": 1, "no": 10**6}}),
        "none for token 1000000",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(source: Path, case: str) -> None:
    """Each names what is wrong, and writes nothing."""
    spoil, message = REFUSALS[case]
    spoil(source)
    with pytest.raises(ConversionError, match=message) as caught:
        convert(source, source.parent / "out")
    assert str(source) in str(caught.value)
    assert os.listdir(source.parent) == ["source"]


def test_a_missing_shard_is_named(sharded: Path, tmp_path: Path) -> None:
    """The index names a file that isn't there."""
    source = Path(shutil.copytree(sharded, tmp_path / "source"))
    victim = min(source.glob("*.safetensors"))
    victim.unlink()
    with pytest.raises(ConversionError, match=victim.name):
        convert(source, tmp_path / "out")


def test_an_embedding_model_is_told_by_its_tensors(source: Path) -> None:
    """Qwen3-Embedding says Qwen3ForCausalLM too; its tensors have no prefix, and it has no head."""

    def rename(header: dict[str, Any]) -> None:
        header["unused"] = header.pop("lm_head.weight")
        for name in [name for name in header if name.startswith("model.")]:
            header[name.removeprefix("model.")] = header.pop(name)

    edit_header(source / "model.safetensors", rename)
    with pytest.raises(ConversionError, match=r"embedding model such as Qwen3-Embedding.*use a Qwen3-Reranker"):
        convert(source, source.parent / "out")


@pytest.mark.parametrize("sign", ["folder", "modules"])
def test_an_embedding_model_is_told_by_its_pooling(source: Path, sign: str) -> None:
    """One that was saved with the prefix still says how it pools."""
    if sign == "folder":
        (source / "1_Pooling").mkdir()
    else:
        (source / "modules.json").write_text('[{"type": "sentence_transformers.models.Pooling", "path": "p"}]')
    with pytest.raises(ConversionError, match=r"pooling module.*use a Qwen3-Reranker"):
        convert(source, source.parent / "out")


@pytest.mark.parametrize("modules", ['[{"type": "sentence_transformers.cross_encoder.models.LogitScore"}]', "{}", "["])
def test_a_reranker_may_come_with_sentence_transformers_files(source: Path, modules: str) -> None:
    """Newer revisions of Qwen3-Reranker do."""
    (source / "modules.json").write_text(modules)
    (source / "config_sentence_transformers.json").write_text("{}")
    (source / "1_LogitScore").mkdir()
    assert convert(source, source.parent / "out", verify=False).is_dir()


@pytest.mark.parametrize("config", [True, False])
def test_gguf_alone(source: Path, config: bool) -> None:
    """The folder of a llama.cpp model, with and without a config."""
    (source / "model.safetensors").rename(source / "model-Q4_K_M.gguf")
    if not config:
        (source / "config.json").unlink()
    with pytest.raises(ConversionError, match=r"GGUF.*use the original checkpoint"):
        convert(source, source.parent / "out")


def test_an_adapter_alone(tmp_path: Path) -> None:
    """As peft saves it: no config.json, no model.safetensors."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (source / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ConversionError, match="merge_and_unload"):
        convert(source, tmp_path / "out")


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("alone", [True, False])
def test_a_pickle_is_never_run(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool) -> None:
    """Neither where it is all there is, nor beside safetensors when the models are loaded for the full check."""
    monkeypatch.setattr(parity, "LONG", 50)
    mark = tmp_path / "mark"
    (source / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    if alone:
        (source / "model.safetensors").unlink()
        with pytest.raises(ConversionError, match=r"can run code.*safetensors"):
            convert(source, tmp_path / "out")
    else:
        convert(source, tmp_path / "out", verify=True)
    assert not mark.exists()
    pickle.loads((source / "pytorch_model.bin").read_bytes())  # noqa: S301 - shows that the bomb is live
    assert mark.exists()


def test_a_shard_that_lacks_a_promised_tensor(sharded: Path, tmp_path: Path) -> None:
    """All files are there, but one isn't the file the index was made for."""
    source = Path(shutil.copytree(sharded, tmp_path / "source"))
    index = json.loads((source / INDEX).read_text())
    index["weight_map"]["model.extra.weight"] = victim = min(index["weight_map"].values())
    (source / INDEX).write_text(json.dumps(index))
    with pytest.raises(ConversionError, match=rf"{victim}: lacks model\.extra\.weight.*download"):
        convert(source, tmp_path / "out")


def test_a_truncated_shard(sharded: Path, tmp_path: Path) -> None:
    """A download that stopped."""
    source = Path(shutil.copytree(sharded, tmp_path / "source"))
    victim = max(source.glob("*.safetensors"))
    os.truncate(victim, victim.stat().st_size - 1)
    with pytest.raises(ConversionError, match=rf"{victim.name}.*the file has.*download"):
        convert(source, tmp_path / "out")


@pytest.mark.parametrize("name", ["toy", "tied", "sharded"])
def test_the_architectures_tensors_are_transformers_own(name: str, request: pytest.FixtureRequest) -> None:
    """Nothing is expected that a saved model lacks, and nothing of it is left unchecked."""
    source: Path = request.getfixturevalue(name)
    expected = dict(expected_shapes(source / "config.json", json.loads((source / "config.json").read_text())))
    assert expected == {name: entry.shape for shard in open_shards(source) for name, entry in shard.tensors.items()}
