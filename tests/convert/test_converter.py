"""convert(): what transformers makes of the result, and what a failure leaves behind.

What is planned and written, and the folders around it (plan.py, write.py, folder.py), is seen in the result.

Tests of `convert/plan.py`, `convert/write.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from qwen3_sglang.convert import convert
from qwen3_sglang.convert.folder import resolve
from qwen3_sglang.errors import ConversionError, InvalidInputError

TEMPLATE = (
    "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\n<Instruct>: Find it\n<Query>: import a module\n"
    "<Document>: {}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
DOCUMENTS = ["The import statement finds a module.", "The import statement.", "Lists are mutable sequences."]


@pytest.mark.parametrize("name", ["toy", "tied", "sharded"])
def test_scores_equal_those_of_the_causal_model(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """softmax of the two labels is sigmoid of the yes and no logits' difference."""
    source: Path = request.getfixturevalue(name)
    target = convert(source, tmp_path / "out", verify=False)
    tokenizer: Any = AutoTokenizer.from_pretrained(target)
    causal: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    classifier: Any = AutoModelForSequenceClassification.from_pretrained(target, dtype=torch.float32)
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    expected: list[float] = []
    for document in DOCUMENTS:
        inputs = tokenizer(TEMPLATE.format(document), return_tensors="pt")
        with torch.no_grad():
            last = causal(**inputs).logits[0, -1]
            got = classifier(**inputs).logits.softmax(-1)[0, 1]
        expected.append(torch.sigmoid(last[yes] - last[no]).item())
        assert got.item() == pytest.approx(expected[-1], abs=1e-5)
    assert any(abs(p - 0.5) > 0.05 and 0.01 < p < 0.99 for p in expected), expected  # else it shows nothing


def test_the_sources_are_of_the_kinds_they_claim(tied: Path, sharded: Path) -> None:
    """Guards the fixtures: a single file in one, several with an index in the other."""
    assert (tied / "model.safetensors").is_file()
    assert len(list(sharded.glob("model-*.safetensors"))) > 1


@pytest.mark.parametrize("name", ["toy", "tied", "sharded"])
def test_files_and_config(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Renamed shards with an index, a config for two labels, the tokenizer, and nothing else changed."""
    source: Path = request.getfixturevalue(name)
    target = convert(source, tmp_path / "out", verify=False)
    shards = len(list(source.glob("*.safetensors")))
    names = sorted(path.name for path in target.glob("*.safetensors"))
    index = json.loads((target / "model.safetensors.index.json").read_text())
    config = json.loads((target / "config.json").read_text())
    assert len(names) <= shards + 1
    assert names == [f"model-{i + 1:05d}-of-{len(names):05d}.safetensors" for i in range(len(names))]
    assert index["weight_map"]["score.weight"] == index["weight_map"]["score.bias"] == names[-1]
    assert "lm_head.weight" not in index["weight_map"]
    assert config["architectures"] == ["Qwen3ForSequenceClassification"]
    assert config["id2label"] == {"0": "no", "1": "yes"}
    assert config["label2id"] == {"no": 0, "yes": 1}
    assert config["pad_token_id"] == 0
    assert (target / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()
    assert os.listdir(tmp_path) == ["out"]


def test_progress_reaches_its_total(sharded: Path, tmp_path: Path) -> None:
    """Bytes done only grow, and end at the total."""
    calls: list[tuple[int, int]] = []
    convert(sharded, tmp_path / "out", verify=False, progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1] == calls[0][1]


def test_folders_made_for_the_target_go_too(sharded: Path, tmp_path: Path) -> None:
    """A failure takes away the parents that it made, and no others."""
    (tmp_path / "here").mkdir()

    def crash(_done: int, _total: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        convert(sharded, tmp_path / "here" / "not" / "yet" / "out", progress=crash)
    assert os.listdir(tmp_path / "here") == []
    assert convert(sharded, tmp_path / "here" / "not" / "yet" / "out", verify=False).is_dir()


def test_no_library_is_needed(sharded: Path, tmp_path: Path) -> None:
    """Without the full check nothing heavy is imported."""
    code = (
        "import sys; from qwen3_sglang.convert import convert; convert(*sys.argv[1:], verify=False); "
        "print({'torch', 'transformers', 'safetensors', 'huggingface_hub'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(sharded), str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("force", [False, True])
def test_a_crash_leaves_nothing_behind(toy: Path, tmp_path: Path, failure: type[BaseException], force: bool) -> None:
    """The temporary folder goes, and with force the earlier checkpoint stays as it was."""
    target = tmp_path / "out"
    if force:
        target.mkdir()
        (target / "config.json").write_text("earlier")

    def crash(_done: int, _total: int) -> None:
        assert any(path.name.endswith(".tmp") for path in tmp_path.iterdir())
        raise failure

    with pytest.raises(failure):
        convert(toy, target, force=force, verify=False, progress=crash)
    assert os.listdir(tmp_path) == (["out"] if force else [])
    assert not force or (target / "config.json").read_text() == "earlier"


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_name_is_no_folder(toy: Path, tmp_path: Path, blank: str) -> None:
    """Such as that of a shell's variable that isn't set: it is not this folder."""
    with pytest.raises(InvalidInputError, match=r"target=.*blank"):
        convert(toy, blank)
    with pytest.raises(InvalidInputError, match=r"source=.*blank"):
        convert(blank, tmp_path / "out")


def test_a_file_on_the_way_to_the_target(toy: Path, tmp_path: Path) -> None:
    """It is named."""
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConversionError, match=r"notes\.txt is a file; name a folder"):
        convert(toy, tmp_path / "notes.txt" / "deep" / "out")


def test_an_existing_target_needs_force(toy: Path, tmp_path: Path) -> None:
    """Refused without force, replaced with it, and no trace of the old one."""
    target = convert(toy, tmp_path / "out", verify=False)
    (target / "old").write_text("old")
    with pytest.raises(ConversionError, match="force"):
        convert(toy, target)
    assert (target / "old").exists()
    convert(toy, target, force=True, verify=False)
    assert not (target / "old").exists()
    assert os.listdir(tmp_path) == ["out"]


def test_force_spares_a_folder_that_is_no_checkpoint(toy: Path, tmp_path: Path) -> None:
    """A mistyped target must not cost anybody their files."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years")
    with pytest.raises(ConversionError, match="isn't a checkpoint"):
        convert(toy, tmp_path / "home", force=True)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("where", [".", "inside", ".."])
def test_source_and_target_must_be_apart(source: Path, where: str) -> None:
    """The same folder, one inside the source, and one around it."""
    (source.parent / "config.json").write_text("{}")  # so that force alone would replace the outer folder
    with pytest.raises(ConversionError, match="another folder"):
        convert(source, source / where, force=True)
    assert (source / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ["./missing", "/missing/model", "missing", "a/b/c"])
def test_a_path_is_never_looked_up_on_the_hub(name: str, tmp_path: Path) -> None:
    """Only owner/name is a hub name."""
    with pytest.raises(ConversionError, match="not a folder"):
        convert(name, tmp_path / "out")


def test_hub_name_is_downloaded(tmp_path: Path) -> None:
    """owner/name goes to the downloader, whose folder is used."""
    asked: list[str] = []

    def download(name: str) -> Path:
        asked.append(name)
        return tmp_path

    assert resolve("owner/name", download) == tmp_path
    assert asked == ["owner/name"]
