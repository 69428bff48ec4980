"""Is the checkpoint in a folder one that SGLang serves rightly, one that a conversion makes so, or neither?

`convert`, `check` and `serve` ask `judge` and nobody else, so that they never contradict each other.
Headers and a few rows are read, never a whole tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qwen3_sglang.check import Finding
from qwen3_sglang.convert.checkpoint import INDEX, SINGLE, Shard, open_shards, read_json
from qwen3_sglang.convert.classifier import Classifier, head_remarks, says_template, score_rows
from qwen3_sglang.convert.folder import classifier_config, quantized_by, read_config
from qwen3_sglang.convert.head import Head, Rows, build_head
from qwen3_sglang.convert.hub import DOWNLOADED
from qwen3_sglang.convert.provenance import NOTHING_SAYS, chats
from qwen3_sglang.convert.remarks import Remark, Verdict, as_findings, fault, fine, note, verdict_of
from qwen3_sglang.convert.symlinks import check_links
from qwen3_sglang.convert.tensors import UNQUANTIZED, Found, by_name, tensor_faults
from qwen3_sglang.convert.vocabulary import Tokens, find_tokens
from qwen3_sglang.errors import ConversionError
from qwen3_sglang.names import EMBEDDINGS, LM_HEAD, NO, SOURCE_CLASS, TARGET_CLASS, YES


@dataclass(frozen=True, slots=True)
class Source:
    """What a conversion starts from.

    Attributes:
        folder: where it is.
        shards: its weight files.
        rows: where its P(yes) comes from.
        head: the head that is written in their place.
        config: the config.json that is written.
    """

    folder: Path
    shards: Sequence[Shard]
    rows: Rows
    head: Head
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be done with a folder, and why.

    Attributes:
        folder: the folder.
        remarks: what was found, in the order of looking.
        source: what a conversion starts from; None where there is nothing to convert.
    """

    folder: Path
    remarks: list[Remark]
    source: Source | None = None

    @property
    def verdict(self) -> Verdict:
        """Serve it, convert it, or neither."""
        return verdict_of(self.remarks)

    @property
    def findings(self) -> list[Finding]:
        """The remarks with what to do."""
        return as_findings(self.remarks, self.folder)

    @property
    def notes(self) -> list[str]:
        """What is worth knowing about the source and stays so after a conversion."""
        return [remark.text for remark in self.remarks if remark.note and not remark.mended]

    def convertible(self) -> Source:
        """What a conversion starts from.

        Raises:
            ConversionError: the folder can't be converted, or a conversion would change nothing.
        """
        if self.verdict is Verdict.UNUSABLE:
            reason = next(remark.text for remark in self.remarks if not remark.ok and not remark.mended)
            raise ConversionError(reason if str(self.folder) in reason else f"{self.folder}: {reason}")
        if self.source is None:
            raise ConversionError(f"{self.folder}: converted already, serve it as it is")
        check_links(self.folder, DOWNLOADED)
        return self.source


def judge(folder: str | Path) -> Judgement:
    """What is to be done with the checkpoint in `folder`.

    Raises:
        ConversionError: `folder` is no folder; all that is wrong inside becomes a remark.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ConversionError(f"{path}: not a folder; name a checkpoint's folder")
    try:
        config = read_config(path)
        if config["architectures"] == [SOURCE_CLASS]:
            return _language_model(path, config)
        return _classifier(path, config)
    except (ConversionError, OSError) as error:
        return Judgement(path, [fault(str(error))])


def inspect_checkpoint(folder: str | Path) -> list[Finding]:
    """Findings on the checkpoint in `folder`, good and bad; it is usable if every finding is ok.

    Raises:
        ConversionError: `folder` is no folder.
    """
    return judge(folder).findings


def _language_model(folder: Path, config: Mapping[str, Any]) -> Judgement:
    """Check all that a conversion needs, so that `check` never recommends one that would be refused."""
    check_links(folder, DOWNLOADED)
    if quantized_by(config):
        raise ConversionError(f"{folder / 'config.json'}: {quantized_by(config)} is set; {UNQUANTIZED}")
    shards = open_shards(folder)
    found = by_name(shards)
    faults = list(tensor_faults(folder, found, config, lm_head=True))
    if faults:
        return Judgement(folder, list(map(fault, faults)))
    tokens = find_tokens(folder)
    _check_vocabulary(tokens, found)
    # transformers 5 shares the embeddings only where the file has no head of its own, or an equal one.
    rows = Rows(LM_HEAD if LM_HEAD in found else EMBEDDINGS, tokens.no, tokens.yes)
    source = _source(folder, shards, config, tokens, rows, template=False if chats(folder, config) else None)
    text = f"not converted: architectures is {[SOURCE_CLASS]}, which generates text and gives no P(yes)"
    remarks = [fault(text, mended=True)]
    if config.get("tie_word_embeddings") and source.head != build_head(shards, replace(rows, weight=EMBEDDINGS)):
        remarks.append(note(OWN_HEAD))
    if chats(folder, config):
        remarks.append(note(f"template: {NOTHING_SAYS}"))
    return Judgement(folder, remarks, source)


def _source(
    folder: Path,
    shards: Sequence[Shard],
    config: Mapping[str, Any],
    tokens: Tokens,
    rows: Rows,
    *,
    template: bool | None,
) -> Source:
    """Raises ConversionError when no head can be made of the rows, or no config of the config."""
    new = classifier_config(config, tokens.pad, template)
    return Source(folder, shards, rows, build_head(shards, rows), new)


OWN_HEAD = (
    f'{LM_HEAD}: its rows of "no" and "yes" differ from those of the embeddings, though tie_word_embeddings says that '
    f"they are shared. Those of {LM_HEAD} are used, as transformers 5 does; transformers 4 and SGLang, given the "
    "unconverted model, use the embeddings'. If the head wasn't trained, remove it from the file"
)


def _check_vocabulary(tokens: Tokens, found: Found) -> None:
    rows = found[EMBEDDINGS][1].shape[0]
    if tokens.largest >= rows:
        raise ConversionError(
            f"{tokens.path}: has token ids up to {tokens.largest}, but the weights have {rows} rows of embeddings, "
            f"none for token {tokens.largest}: tokens were added and the model wasn't resized. Use the tokenizer that "
            "belongs to the weights, or save the model after model.resize_token_embeddings(len(tokenizer))"
        )


def _classifier(folder: Path, config: Mapping[str, Any]) -> Judgement:
    remarks = [fine(f"architecture: {TARGET_CLASS}")]
    tokens = _tokenizer(folder, remarks)
    remarks += _padding(config)
    stale = _stale_file(folder)
    if stale:
        return Judgement(folder, [*remarks, fault(stale)])
    try:
        shards = open_shards(folder)
        found = by_name(shards)
        remarks += _weights(folder, config, found, tokens)
        model = Classifier(folder, config, found, tokens)
        remarks += head_remarks(model)
    except (ConversionError, OSError) as error:
        return Judgement(folder, [*remarks, fault(f"weights: {error}")])
    verdict = verdict_of(remarks)
    if verdict is Verdict.UNUSABLE or tokens is None or not any(remark.mended for remark in remarks):
        return Judgement(folder, remarks)
    if quantized_by(config):
        return Judgement(folder, _unmendable(remarks, f"weights: quantized, so they can't be converted; {UNQUANTIZED}"))
    try:
        if verdict is Verdict.CONVERTIBLE:
            check_links(folder, DOWNLOADED)
        rows, known = score_rows(model), says_template(model)
        return Judgement(folder, remarks, _source(folder, shards, config, tokens, rows, template=known))
    except ConversionError as error:
        return Judgement(folder, _unmendable(remarks, str(error)))


def _tokenizer(folder: Path, remarks: list[Remark]) -> Tokens | None:
    try:
        tokens = find_tokens(folder)
    except ConversionError as error:
        remarks.append(fault(f"tokenizer: {error}"))
        return None
    remarks.append(fine(f'tokenizer: "{NO}" is token {tokens.no}, "{YES}" is token {tokens.yes}'))
    return tokens


def _padding(config: Mapping[str, Any]) -> Iterator[Remark]:
    if config.get("pad_token_id") is None:
        yield note(
            "config.json has no pad_token_id: SGLang doesn't need it, but transformers refuses to score two texts at "
            "once; set it to the id of <|endoftext|>, or convert the folder",
            mended=True,
        )


def _stale_file(folder: Path) -> str:
    if not ((folder / SINGLE).is_file() and (folder / INDEX).is_file()):
        return ""
    index = read_json(folder / INDEX).get("weight_map")
    if isinstance(index, dict) and set(map(str, index.values())) == {SINGLE}:
        return ""
    return (
        f"weights: both {SINGLE} and {INDEX}, which names other files: transformers loads the one, SGLang the "
        "others, so they may score differently; remove what is stale and check again"
    )


def _weights(folder: Path, config: Mapping[str, Any], found: Found, tokens: Tokens | None) -> Iterator[Remark]:
    if quantized_by(config):
        yield note("weights: quantized, so whether all tensors are there isn't checked")
        return
    faults = list(tensor_faults(folder, found, config, lm_head=False))
    yield from map(fault, faults)
    if not faults:
        if tokens is not None:
            _check_vocabulary(tokens, found)
        yield fine("weights: all tensors of the model, in their shapes")
    if LM_HEAD in found:
        _, entry = found[LM_HEAD]
        size = f"{(entry.end - entry.begin) / 1e6:,.1f} MB"
        yield note(f"weights: {LM_HEAD} is left over ({size}): scores don't change, disk is wasted", mended=True)


def _unmendable(remarks: list[Remark], reason: str) -> list[Remark]:
    """Remarks on a folder that can't be converted; they are faults only where it would need to be."""
    if verdict_of(remarks) is Verdict.CONVERTIBLE:
        return [*remarks, fault(reason)]
    return [replace(remark, mended=False) for remark in remarks]
