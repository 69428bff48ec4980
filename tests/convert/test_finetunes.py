"""Fine-tunes: what each kind becomes, compared with what transformers, or arithmetic, makes of it.

These are the tests of classifier.py, labels.py, provenance.py and of the wrappers in tensors.py.

Tests of `convert/classifier.py`, `convert/labels.py`, `convert/provenance.py`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from finetunes import classifier, token_rows
from safetensors.torch import load_file, save_file
from spoil import edit_json
from transformers import AutoModel, AutoTokenizer

from qwen3_sglang.convert import Parity, convert, parity
from qwen3_sglang.convert.inspect import judge
from qwen3_sglang.convert.remarks import Verdict
from qwen3_sglang.errors import ConversionError

TEXTS = ["The import statement finds a module.", "The import statement.", "Lists are mutable sequences.", "x"]
YES, NO = 1, 0


def p_yes(body: Path, weight: torch.Tensor, bias: torch.Tensor) -> list[float]:
    """softmax of a two-label head over the last hidden state, or the sigmoid of one of one label."""
    tokenizer: Any = AutoTokenizer.from_pretrained(body)
    model: Any = AutoModel.from_pretrained(body, dtype=torch.float32)
    scores = []
    for text in TEXTS:
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, -1] @ weight.T + bias
        scores.append(float(logits.softmax(-1)[YES] if len(logits) > 1 else logits.sigmoid()[0]))
    return scores


def converted_scores(folder: Path) -> list[float]:
    """Of what convert wrote."""
    tensors = {name: value.float() for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}
    assert tensors["score.weight"].shape[0] == len(tensors["score.bias"]) == 2
    return p_yes(folder, tensors["score.weight"], tensors["score.bias"])


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The full check without its long prompts."""
    monkeypatch.setattr(parity, "LONG", 50)


def checked(source: Path, target: Path) -> tuple[Path, list[str]]:
    """Converted with the full check; what was noted on the way."""
    reports: list[Parity] = []
    notes: list[str] = []
    convert(source, target, verify=True, report=reports.append, note=notes.append)
    assert len(reports[0].probes) > 8
    assert len({round(probe.source, 3) for probe in reports[0].probes}) > 2, "it shows nothing"
    return target, notes


# labels, bias, the config's names -> which row is yes
KINDS: dict[str, tuple[int, list[float] | None, dict[str, str] | None, int]] = {
    "one label": (1, None, None, 0),
    "one label with a bias": (1, [0.75], None, 0),
    "one label, named": (1, None, {"0": "relevant"}, 0),
    "two labels": (2, None, {"0": "LABEL_0", "1": "LABEL_1"}, YES),
    "two labels with a bias": (2, [0.5, -1.25], {"0": "No", "1": "Yes"}, YES),
    "two labels, swapped": (2, [0.5, -1.25], {"0": "Yes", "1": "No"}, NO),
    "two labels, swapped in other words": (2, None, {"0": "RELEVANT", "1": "not_relevant"}, NO),
    "two labels, swapped truth values": (2, None, {"0": "True", "1": "False"}, NO),
    "two labels, half named": (2, None, {"0": "yes", "1": "LABEL_1"}, NO),
}


@pytest.mark.parametrize("case", KINDS)
@pytest.mark.usefixtures("short")
def test_a_head_that_was_trained_anew(tied: Path, tmp_path: Path, case: str) -> None:
    """Two rows of the same meaning; a bias that is there keeps its own, and one that isn't is zero."""
    labels, bias, names, yes = KINDS[case]
    named = {} if names is None else {"id2label": names, "label2id": {v: int(k) for k, v in names.items()}}
    source = classifier(tied, tmp_path / "source", labels=labels, bias=bias, **named)
    target, notes = checked(source, tmp_path / "out")
    weight = load_file(source / "model.safetensors")["score.weight"].float()
    shift = torch.tensor(bias or [0.0] * labels)
    if labels == 2 and yes == NO:
        weight, shift = weight.flip(0), shift.flip(0)
    expected = p_yes(source, weight, shift)
    assert converted_scores(target) == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.05
    config = json.loads((target / "config.json").read_text())
    assert (config["id2label"], config["label2id"]) == ({"0": "no", "1": "yes"}, {"no": 0, "yes": 1})
    assert "num_labels" not in config
    right = case == "two labels with a bias"  # but coarse, which a conversion mends
    assert judge(source).verdict is (Verdict.READY if right else Verdict.CONVERTIBLE)
    assert judge(target).verdict is Verdict.READY
    assert any("Qwen's template" in note for note in notes)
    assert any("Qwen's template" in finding.text and finding.note for finding in judge(target).findings)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.usefixtures("short")
def test_a_head_made_of_the_rows_of_no_and_yes(tied: Path, tmp_path: Path, labels: int, turned: bool) -> None:
    """The scores are those of the language model, whichever way the rows stand and whatever the names say."""
    rows = token_rows(tied)
    weight = rows[1:] - rows[:1] if labels == 1 else rows
    weight = weight if not turned else -weight if labels == 1 else weight.flip(0)
    source = classifier(tied, tmp_path / "source", labels=labels, weight=weight)
    target, notes = checked(source, tmp_path / "out")
    plain = convert(tied, tmp_path / "plain", verify=False)
    assert converted_scores(target) == pytest.approx(converted_scores(plain), abs=2e-3)  # its row was rounded once more
    assert notes == []


def test_one_label_of_a_doubtful_name(tied: Path, tmp_path: Path) -> None:
    """Whether high means yes isn't guessed."""
    source = classifier(tied, tmp_path / "source", labels=1, id2label={"0": "irrelevant"}, label2id=None)
    with pytest.raises(ConversionError, match=r"'irrelevant'.*can't be told.*set \"id2label\""):
        convert(source, tmp_path / "out", verify=False)
    assert judge(source).verdict is Verdict.UNUSABLE


@pytest.mark.usefixtures("short")
def test_label2id_tells_where_id2label_does_not(tied: Path, tmp_path: Path) -> None:
    """transformers leaves id2label out of a file where it is the default."""
    source = classifier(tied, tmp_path / "source", labels=2)
    edit_json(source / "config.json", id2label=None, label2id={"yes": 0, "no": 1})
    weight = load_file(source / "model.safetensors")["score.weight"].float()
    target = convert(source, tmp_path / "out", verify=False)
    assert converted_scores(target) == pytest.approx(p_yes(source, weight.flip(0), torch.zeros(2)), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.usefixtures("short")
def test_other_types_and_a_head_in_a_file_of_its_own(tied: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    """The head's type is its own; a shard that holds nothing else goes."""
    source = classifier(tied, tmp_path / "source", labels=1)
    tensors = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    head = {"score.weight": tensors.pop("score.weight").to(dtype)}
    files = {"model-00001-of-00002.safetensors": tensors, "model-00002-of-00002.safetensors": head}
    for name, held in files.items():
        save_file(held, source / name, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {tensor: name for name, held in files.items() for tensor in held}}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    target, _ = checked(source, tmp_path / "out")
    assert len(list(target.glob("*.safetensors"))) == 2
    assert load_file(max(target.glob("*.safetensors")))["score.weight"].dtype == dtype
    linked = convert(source, tmp_path / "linked", link=True, verify=False)
    assert min(linked.glob("*.safetensors")).samefile(source / "model-00001-of-00002.safetensors")


TEMPLATE = (
    "{%- set i = 'find it' %}<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
    'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    "<Instruct>: {{ i }}\n<Query>: {{ query }}\n<Document>: {{ document }}<|im_end|>\n<|im_start|>assistant\n"
    "<think>\n\n</think>\n\n"
)
SAYS: dict[str, Callable[[Path], object]] = {
    "jinja": lambda f: (f / "chat_template.jinja").write_text(TEMPLATE),
    "tokenizer_config": lambda f: edit_json(f / "tokenizer_config.json", chat_template=TEMPLATE),
    "several templates": lambda f: edit_json(
        f / "tokenizer_config.json", chat_template=[{"name": "rerank", "template": TEMPLATE}]
    ),
    "sentence-transformers": lambda f: (f / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"rerank": TEMPLATE}})
    ),
}
SILENT: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "another": lambda f: (f / "chat_template.jinja").write_text("{{ messages[0].content }}"),
    "without think": lambda f: (f / "chat_template.jinja").write_text(TEMPLATE.replace("think", "x")),
    "a folder": lambda f: (f / "chat_template.jinja").mkdir(),
}


@pytest.mark.parametrize("case", [*SAYS, *SILENT])
def test_a_chat_template_tells(tied: Path, tmp_path: Path, case: str) -> None:
    """Before the conversion and after it."""
    source = classifier(tied, tmp_path / "source", labels=1)
    (SAYS | SILENT)[case](source)
    notes: list[str] = []
    target = convert(source, tmp_path / "out", verify=False, note=notes.append)
    after = [finding.text for finding in judge(target).findings if finding.note]
    assert [any("Qwen's template" in text for text in texts) for texts in (notes, after)] == [case in SILENT] * 2


@pytest.mark.parametrize(("name", "noted"), [("chat-model", True), ("My-Reranker-v2", False)])
def test_a_language_model_for_chats(tied: Path, tmp_path: Path, name: str, noted: bool) -> None:
    """Qwen3 itself can be converted, to no use; a reranker with its older template is told by its name."""
    source = Path(shutil.copytree(tied, tmp_path / name))
    (source / "chat_template.jinja").write_text("{{ messages }}")
    notes: list[str] = []
    target = convert(source, tmp_path / "out", verify=False, note=notes.append)
    assert any("Qwen's template" in note for note in notes) == noted
    assert any("Qwen's template" in finding.text for finding in judge(target).findings) == noted


@pytest.mark.usefixtures("short")
def test_an_own_head_beside_tied_embeddings(tied: Path, tmp_path: Path) -> None:
    """The rows that transformers scores with count, and it is said; without a difference nothing is."""
    for change in (0.0, 0.5):
        source = Path(shutil.copytree(tied, tmp_path / f"source-{change}"))
        tensors = load_file(source / "model.safetensors")
        embeddings = tensors["model.embed_tokens.weight"]
        head = (
            embeddings + change * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(3)).bfloat16()
        )
        save_file(tensors | {"lm_head.weight": head}, source / "model.safetensors", {"format": "pt"})
        target, notes = checked(source, tmp_path / f"out-{change}")
        assert any("lm_head.weight" in note and "transformers" in note for note in notes) == bool(change)
        assert "lm_head.weight" not in load_file(min(target.glob("*.safetensors")))


PREFIXES = {
    "base_model.model.": "PEFT.*merge_and_unload",
    "module.": r"DistributedDataParallel.*model\.module\.save_pretrained",
    "_orig_mod.": r"torch\.compile.*model\._orig_mod\.save_pretrained",
    "module._orig_mod.": "save the model inside",
    "_fsdp_wrapped_module.": "FSDP.*gather",
    "reranker.": "a wrapper's prefix.*save the model inside",
}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("labels", [0, 1])
def test_prefixes_of_wrappers(tied: Path, tmp_path: Path, prefix: str, labels: int) -> None:
    """Named, with what to do for a fine-tune of one's own."""
    source = (
        classifier(tied, tmp_path / "source", labels=1) if labels else Path(shutil.copytree(tied, tmp_path / "source"))
    )
    tensors = load_file(source / "model.safetensors")
    save_file({prefix + name: value for name, value in tensors.items()}, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConversionError, match=f'"{prefix}".*{PREFIXES[prefix]}') as caught:
        convert(source, tmp_path / "out", verify=False)
    assert "download" not in str(caught.value)
    assert any(str(caught.value).endswith(finding.text) for finding in judge(source).findings)


@pytest.mark.parametrize("part", ["_orig_mod", "lora_A.default", "base_layer", "modules_to_save.default"])
def test_wrappers_inside_a_name(tied: Path, tmp_path: Path, part: str) -> None:
    """Compiled layers, adapters that weren't merged."""
    source = Path(shutil.copytree(tied, tmp_path / "source"))
    tensors = load_file(source / "model.safetensors")
    tensors[f"model.layers.0.{part}.weight"] = tensors.pop("model.layers.0.mlp.up_proj.weight")
    save_file(tensors, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConversionError, match=part.split(".", maxsplit=1)[0]):
        convert(source, tmp_path / "out", verify=False)
