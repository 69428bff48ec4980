"""judge(): every way we know for a checkpoint to be wrong, each a folder with that one fault.

What it says of the head is classifier.py's, and the remedies are remarks.py's.

Tests of `convert/remarks.py`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from qwen3_sglang.check import Finding
from qwen3_sglang.convert import classifier, convert
from qwen3_sglang.convert.checkpoint import INDEX, SINGLE, Shard, read_bytes
from qwen3_sglang.convert.inspect import inspect_checkpoint, judge
from qwen3_sglang.convert.remarks import Verdict
from qwen3_sglang.convert.vocabulary import find_tokens
from qwen3_sglang.errors import ConversionError
from qwen3_sglang.names import EMBEDDINGS, LM_HEAD
from qwen3_sglang.toy.wiring import WIDTH

NAMELESS = {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": None}
SWAPPED = {"id2label": {"0": "yes", "1": "no"}, "label2id": None}
Tensors = dict[str, torch.Tensor]


def edit_config(folder: Path, **changes: Any) -> None:
    """Set keys of config.json; None removes one."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def edit_tensors(folder: Path, change: Callable[[Tensors], object]) -> None:
    """Rewrite the weights as one file, as other converters do."""
    tensors: Tensors = {}
    for path in folder.glob("*.safetensors"):
        tensors |= load_file(path)
        path.unlink()
    (folder / INDEX).unlink(missing_ok=True)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / SINGLE)


def swap_rows(tensors: Tensors) -> None:
    """Row 0 becomes that of "yes"."""
    tensors["score.weight"] = tensors["score.weight"].flip(0)


def plain_rows(folder: Path, **more: Any) -> Callable[[Tensors], None]:
    """The usual recipe's head, [w_no; w_yes]."""
    tokens = find_tokens(folder)

    def change(tensors: Tensors) -> None:
        tensors["score.weight"] = tensors[EMBEDDINGS][[tokens.no, tokens.yes]]
        tensors.update(more)

    return change


def set_tensor(name: str, value: torch.Tensor | list[float]) -> Callable[[Path], None]:
    """A fault: this tensor has this value."""
    return lambda folder: edit_tensors(folder, lambda t: t.update({name: torch.as_tensor(value).bfloat16()}))


def drop_tensor(name: str) -> Callable[[Path], None]:
    """A fault: this tensor isn't there."""
    return lambda folder: edit_tensors(folder, lambda t: t.pop(name))


def set_config(**changes: Any) -> Callable[[Path], None]:
    """A fault: these keys of config.json; None for a missing one."""
    return lambda folder: edit_config(folder, **changes)


def remove_tokenizer(folder: Path) -> None:
    """Weights without the files that read text."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def forget_yes(folder: Path) -> None:
    """A tokenizer that cuts "yes" in pieces."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    del tokenizer["model"]["vocab"]["yes"]
    path.write_text(json.dumps(tokenizer))


def one_row(folder: Path) -> None:
    """What vLLM's converter writes."""
    edit_tensors(folder, lambda t: t.update({name: t[name][1:] for name in ("score.weight", "score.bias")}))
    edit_config(folder, id2label={"0": "LABEL_0"}, label2id=None)


def add_token(folder: Path) -> None:
    """A tokenizer that grew after the model was built."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"].append({"content": "<mine>", "id": 1_000_000})
    path.write_text(json.dumps(tokenizer))


def quantized_without_bias(folder: Path) -> None:
    """What a conversion would mend, if it could."""
    edit_config(folder, quantization_config={"bits": 8})
    drop_tensor("score.bias")(folder)


def leave_lm_head(folder: Path) -> None:
    """A converter that adds the head and drops nothing."""
    edit_tensors(folder, lambda t: t.update({LM_HEAD: torch.zeros_like(t[EMBEDDINGS])}))


def first_shard(folder: Path) -> Path:
    """The one that holds the model, not the head."""
    return min(folder.glob("*.safetensors"))


def add_stale_single_file(folder: Path) -> None:
    """What a tool that adds shards to a folder leaves there."""
    shutil.copyfile(first_shard(folder), folder / SINGLE)


MENDED = "run `qwen3-sglang convert "
SAVE = "save your own model again with save_pretrained"
# fault -> how it is made from the converted toy, what is said of the scores, what to do
PROBLEMS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json: missing", "saved with save_pretrained"),
    "other class": (set_config(architectures=["BertModel"]), "no reranker that SGLang serves", "use a Qwen3-Reranker"),
    "no class": (set_config(architectures=None), "architectures is None", "use a Qwen3-Reranker"),
    "adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "LoRA adapter", "remove that file"),
    "one row": (one_row, "every document scores 1.0", MENDED),
    "three rows": (set_tensor("score.weight", torch.ones(3, WIDTH)), f"[3, {WIDTH}]", SAVE),
    "narrow": (set_tensor("score.weight", torch.ones(2, 64)), f"a reranker has [1, {WIDTH}] or [2, {WIDTH}]", SAVE),
    "one id2label": (set_config(id2label={"0": "no"}), "one label: id2label", MENDED),
    "no labels": (set_config(id2label={}), "labels: id2label of config.json is {}", MENDED),
    "list of labels": (set_config(id2label=["no", "yes"]), "labels: id2label", 'set "id2label"'),
    "named labels": (set_config(id2label={"a": "no", "b": "yes"}), "labels: id2label", 'set "id2label"'),
    "num_labels": (set_config(num_labels=3), "num_labels of config.json is 3", MENDED),
    "no head": (drop_tensor("score.weight"), "random head", SAVE),
    "no bias": (drop_tensor("score.bias"), "(up to 0.088)", MENDED),
    "infinite bias": (set_tensor("score.bias", [0.0, float("inf")]), "no document gets a score", SAVE),
    "short bias": (set_tensor("score.bias", [0.0]), "score.bias is [1], not [2]", SAVE),
    "equal rows": (set_tensor("score.weight", torch.ones(2, WIDTH)), "every document scores the same", SAVE),
    "broken rows": (set_tensor("score.weight", torch.full((2, WIDTH), torch.nan)), "not finite", SAVE),
    "swapped names": (set_config(**SWAPPED), 'label 0 is "yes"', MENDED),
    "no tokenizer": (remove_tokenizer, "can't read text", "tokenizer.save_pretrained"),
    "yes in pieces": (forget_yes, '"yes" isn\'t a single token', "copy the tokenizer files"),
    "too many tokens": (add_token, "has token ids up to 1000000", "resize_token_embeddings"),
    "missing shard": (lambda f: first_shard(f).unlink(), "the index names this shard", "save the checkpoint again"),
    "truncated": (lambda f: os.truncate(first_shard(f), 100_000), "the file has", "save the checkpoint again"),
    "no weights": (lambda f: [p.unlink() for p in f.glob("*.safetensors*")], "neither model.safetensors", "name a"),
    "missing layer": (drop_tensor("model.layers.1.mlp.up_proj.weight"), "layers.1.mlp.up_proj", "save the checkpoint"),
    "other shape": (
        set_config(num_key_value_heads=1),
        f"not [128, {WIDTH}] as config.json says",
        "save the checkpoint again",
    ),
    "vocabulary": (set_config(vocab_size=1_000_000), "the vocabulary was resized", "Set vocab_size to"),
    "no layers": (set_config(num_hidden_layers=None), "num_hidden_layers is None", "save the checkpoint again"),
    "stale file": (add_stale_single_file, "they may score differently", "remove what is stale"),
    "quantized": (quantized_without_bias, "quantized, so they can't be converted", "quantize afterwards"),
}
NOTES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no id2label": (set_config(id2label=None, label2id=None), "LABEL_0", 'set "id2label"'),
    "nameless": (set_config(**NAMELESS), "neither ['LABEL_0', 'LABEL_1'] nor the weights", "check URL"),
    "no template": (set_config(**NAMELESS), "trained with Qwen's template", "questions whose answers you know"),
    "no padding": (set_config(pad_token_id=None), "two texts at once", "<|endoftext|>"),
    "bias": (set_tensor("score.bias", [0.0, 0.5]), "moves P(yes) by up to 0.124", "transformers ignores it"),
    "lm_head": (leave_lm_head, "lm_head.weight is left over", MENDED),
    "trained head": (set_tensor("score.weight", torch.eye(2, WIDTH)), "moves in steps", MENDED),
    "quantized": (set_config(quantization_config={"bits": 8}), "isn't checked", ""),
}


@pytest.fixture
def folder(converted_toy: Path, tmp_path: Path) -> Path:
    """The converted toy, to be broken."""
    return Path(shutil.copytree(converted_toy, tmp_path / "converted"))


@pytest.fixture
def tied_folder(tied: Path, tmp_path: Path) -> Path:
    """A converted checkpoint that still has the rows of "yes" and "no", among its embeddings."""
    return convert(tied, tmp_path / "tied", verify=False)


def texts(findings: list[Finding], *, ok: bool = True, note: bool = False) -> list[str]:
    """What the findings of one kind say."""
    return [finding.text for finding in findings if (finding.ok, finding.note) == (ok, note)]


@pytest.mark.parametrize("name", ["toy", "tied", "sharded"])
def test_what_our_converter_writes_is_all_right(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """No problem and no note, whichever checkpoint it came from."""
    findings = inspect_checkpoint(convert(request.getfixturevalue(name), tmp_path / "out", verify=False))
    assert len(findings) == len(texts(findings)) > 5, findings


@pytest.mark.parametrize("case", PROBLEMS)
def test_problems(folder: Path, case: str) -> None:
    """Found, what it does to the scores, and what to do."""
    spoil, message, remedy = PROBLEMS[case]
    spoil(folder)
    problems = texts(inspect_checkpoint(folder), ok=False)
    assert any(message in problem and remedy in problem for problem in problems), problems


@pytest.mark.parametrize("case", NOTES)
def test_notes(folder: Path, case: str) -> None:
    """Told, with what to do, but the folder is usable."""
    spoil, message, remedy = NOTES[case]
    spoil(folder)
    findings = inspect_checkpoint(folder)
    assert all(finding.ok for finding in findings), findings
    assert any(message in text and remedy in text for text in texts(findings, note=True)), findings


def test_an_unconverted_checkpoint_has_one_thing_to_do(causal_toy: Path) -> None:
    """Not a list of all that the conversion will mend anyway."""
    [finding] = inspect_checkpoint(causal_toy)
    assert not finding.ok
    assert f"qwen3-sglang convert {causal_toy}" in finding.text


@pytest.mark.parametrize("labels", [NAMELESS, SWAPPED, {"id2label": {"0": "no", "1": "yes"}}])
def test_swapped_rows_are_seen_in_the_weights(tied_folder: Path, labels: dict[str, Any]) -> None:
    """Whatever the names say: row 0 of the head is along w_yes - w_no."""
    edit_config(tied_folder, **labels)
    edit_tensors(tied_folder, swap_rows)
    [problem] = texts(inspect_checkpoint(tied_folder), ok=False)
    assert "labels swapped" in problem


def test_swapped_names_of_right_rows(tied_folder: Path) -> None:
    """Only the names need mending, and that is what it says."""
    edit_config(tied_folder, **SWAPPED)
    [problem] = texts(inspect_checkpoint(tied_folder), ok=False)
    assert 'label 0 is "yes", but row 1 is' in problem
    assert 'set "id2label": {"0": "no", "1": "yes"}' in problem


def test_nameless_labels_of_right_rows(tied_folder: Path) -> None:
    """LABEL_0 and LABEL_1 need no note where the rows tell."""
    edit_config(tied_folder, **NAMELESS)
    findings = inspect_checkpoint(tied_folder)
    assert 'labels: 1 is "yes", as the rows show' in texts(findings)
    assert len(texts(findings)) == len(findings)


def test_a_left_over_lm_head_tells_the_order(toy: Path, folder: Path) -> None:
    """An untied model's own rows of "yes" and "no" are there, not among its embeddings."""
    head = load_file(toy / SINGLE)[LM_HEAD]
    edit_config(folder, **NAMELESS)
    edit_tensors(folder, lambda tensors: (tensors.update({LM_HEAD: head}), swap_rows(tensors)))
    [problem] = texts(inspect_checkpoint(folder), ok=False)
    assert "every score is upside down" in problem


def test_a_head_of_other_rows_is_told_apart(tied_folder: Path) -> None:
    """A head that was trained anew points elsewhere: no claim either way."""
    torch.manual_seed(5)
    set_tensor("score.weight", torch.randn(2, 32))(tied_folder)
    findings = inspect_checkpoint(tied_folder)
    assert any("trained anew" in text and "Qwen's template" in text for text in texts(findings, note=True))
    assert not texts(findings, ok=False)


def test_plain_rows_are_coarse_but_usable(tied_folder: Path) -> None:
    """[w_no; w_yes] with a zero bias: right order, a note on how coarse."""
    edit_tensors(tied_folder, plain_rows(tied_folder))
    findings = inspect_checkpoint(tied_folder)
    [note] = texts(findings, note=True)
    assert "0.0035 on average, 0.028 at most" in note
    assert not texts(findings, ok=False)


def test_the_usual_recipe(tied: Path, tmp_path: Path) -> None:
    """As people run it, with transformers: no bias is the problem, coarse rows are a note."""
    causal: Any = AutoModelForCausalLM.from_pretrained(tied, dtype=torch.bfloat16)
    model: Any = AutoModelForSequenceClassification.from_pretrained(tied, num_labels=2, dtype=torch.bfloat16)
    tokens = find_tokens(tied)
    with torch.no_grad():
        model.score.weight.copy_(causal.get_input_embeddings().weight[[tokens.no, tokens.yes]])
    model.save_pretrained(tmp_path / "out")
    shutil.copyfile(tied / "tokenizer.json", tmp_path / "out" / "tokenizer.json")
    findings = inspect_checkpoint(tmp_path / "out")
    [problem] = texts(findings, ok=False)
    assert "no score.bias" in problem
    assert any("moves in steps" in text for text in texts(findings, note=True))


def test_a_constant_bias_cancels(folder: Path) -> None:
    """The same for both labels: no problem, since the softmax takes no notice."""
    set_tensor("score.bias", [0.5, 0.5])(folder)
    findings = inspect_checkpoint(folder)
    assert "head: score.bias is 0.5 twice, which the softmax cancels" in texts(findings)
    assert not texts(findings, ok=False)


def test_the_bound_of_a_missing_bias_is_that_of_the_initialisation(folder: Path) -> None:
    """1 / sqrt(hidden), torch's own for a linear layer; P(yes) moves most at one half."""
    drop_tensor("score.bias")(folder)
    [problem] = texts(inspect_checkpoint(folder), ok=False)
    torch.manual_seed(0)
    drawn = torch.stack([torch.nn.Linear(WIDTH, 2).bias.detach() for _ in range(2000)])
    off = torch.sigmoid((drawn[:, 1] - drawn[:, 0]).abs() / 2) * 2 - 1  # furthest apart: half to either side of 0
    assert f"(up to {drawn.abs().max().item():.3f})"[:-2] in problem
    most = 1 / math.sqrt(WIDTH) / 2
    assert f"off by up to {most:.3f}" in problem
    assert 0.8 * most < off.max().item() <= most


def test_vocab_json_serves_as_tokenizer(folder: Path) -> None:
    """The older files, without tokenizer.json."""
    vocab = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(vocab))
    findings = inspect_checkpoint(folder)
    assert len(texts(findings)) == len(findings)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    """A typed error, not a finding about a checkpoint that isn't there."""
    with pytest.raises(ConversionError, match="not a folder"):
        inspect_checkpoint(tmp_path / "missing")


def test_tensors_are_never_read_whole(tied_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows of the head, two of the embeddings and the bias, though the file holds thousands of rows."""
    sizes: list[int] = []

    def counted(shard: Shard, begin: int, length: int) -> bytes:
        sizes.append(length)
        return read_bytes(shard, begin, length)

    monkeypatch.setattr(classifier, "read_bytes", counted)
    inspect_checkpoint(tied_folder)
    assert sorted(sizes) == [4, 64, 64, 64, 64]


FOLDERS = {**PROBLEMS, **NOTES, "right": (lambda _: None, "", "")}


@pytest.mark.parametrize("case", FOLDERS)
def test_the_commands_never_contradict_each_other(folder: Path, tmp_path: Path, case: str) -> None:
    """What is to be converted can be, and is ready then; what is ready isn't refused; what is neither is refused."""
    FOLDERS[case][0](folder)
    judgement = judge(folder)
    assert all(finding.ok for finding in judgement.findings) == (judgement.verdict is Verdict.READY)
    if judgement.verdict is Verdict.READY and not any(remark.mended for remark in judgement.remarks):
        assert all("convert " not in finding.text for finding in judgement.findings if not finding.note)
        with pytest.raises(ConversionError, match="converted already"):
            convert(folder, tmp_path / "out", verify=False)
        return
    if judgement.verdict is Verdict.UNUSABLE:
        assert not any(MENDED in finding.text for finding in judgement.findings)
        with pytest.raises(ConversionError) as refused:
            convert(folder, tmp_path / "out", verify=False)
        assert str(folder) in str(refused.value)
        assert any(not f.ok and f.text in str(refused.value) for f in judgement.findings)
        return
    after = judge(convert(folder, tmp_path / "out", verify=False))
    assert after.verdict is Verdict.READY
    assert not any(remark.mended for remark in after.remarks), after.findings


def test_a_remedy_can_be_pasted_into_a_shell(causal_toy: Path, tmp_path: Path) -> None:
    """A path with a space is quoted."""
    source = Path(shutil.copytree(causal_toy, tmp_path / "my model"))
    assert f"convert '{source}' TARGET" in judge(source).findings[0].text
