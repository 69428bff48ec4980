"""Turn a Qwen3-Reranker checkpoint into the two-label classifier that SGLang can serve.

Two rows of the language model's head are read, everything else is copied byte for byte, or linked: no torch, and no
more memory for 8B parameters than for 0.6B. Only the full check at the end, `parity`, loads the models.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import INDEX, Shard, copy_shard, open_shards, read_shard, write_shard
from qwen3_sglang.convert.copying import check_space
from qwen3_sglang.convert.copying import link as link_file
from qwen3_sglang.convert.folder import (
    check_apart,
    check_target,
    classifier_config,
    download,
    read_config,
    resolve,
    small_files,
    staged,
)
from qwen3_sglang.convert.head import Head, build_head, find_tokens
from qwen3_sglang.convert.parity import Parity, Probe, check_parity, compare, missing_library, obstacle
from qwen3_sglang.convert.tensors import check_tensors
from qwen3_sglang.convert.verify import verify as verify_files
from qwen3_sglang.errors import ConversionError, MissingDependencyError, Qwen3SGLangError
from qwen3_sglang.names import BIAS, LM_HEAD, WEIGHT

__all__ = ["Parity", "Probe", "convert"]

SLACK = 2**24  # room for the headers, the index and the head
Progress = Callable[[int, int], None]
Report = Callable[[Parity], None]


@dataclass(frozen=True)
class _Plan:
    """What is written, all of it known before the first byte is."""

    folder: Path
    shards: Sequence[Shard]
    tokens: Mapping[str, int]
    head: Head
    config: dict[str, Any]
    linking: bool
    skipped: str  # why the full check isn't run; empty when it is

    @property
    def kept(self) -> list[Shard]:
        """The shards of which anything remains."""
        return [shard for shard in self.shards if shard.tensors.keys() - {LM_HEAD}]

    def links(self, shard: Shard) -> bool:
        """Is it linked? The shard that holds the language model's head is rewritten without it."""
        return self.linking and LM_HEAD not in shard.tensors

    def copied_bytes(self) -> int:
        """What copy_shard will report: whole files, or the tensors that are kept of one."""
        return sum(_kept_bytes(shard) for shard in self.kept if not self.links(shard))


def convert(
    source: str | Path,
    target: str | Path,
    *,
    force: bool = False,
    link: bool = False,
    verify: bool | None = None,
    progress: Progress | None = None,
    report: Report | None = None,
) -> Path:
    """Convert `source`, a folder or a name on the Hugging Face hub, into folder `target`; return its path.

    The target appears only once it is complete and verified; a failure leaves nothing behind.

    Args:
        source: the checkpoint's folder, or owner/name on the hub.
        target: the folder to write.
        force: replace an earlier checkpoint there.
        link: hard-link the shards that need no change instead of copying them; source and target must be on one
            disk. The two checkpoints then share those bytes: editing a weight file of one in place edits the other,
            while deleting one leaves the other whole. A file of the hub's cache is linked to its real file.
        verify: the files are always read back and compared. True also compares P(yes) of source and target with
            torch and transformers, in float32, which takes 5 bytes of memory a parameter (42 GB for 8B); False
            doesn't; None does where the libraries and the memory are there.
        progress: called with (bytes copied, bytes to copy).
        report: called once with the figures of that comparison, or with a note why there are none; before a
            comparison that fails raises.

    Raises:
        ConversionError: the source can't be converted, the disk or memory is too small, or the result is wrong.
        MissingDependencyError: a hub name without huggingface_hub; `verify` without torch and transformers.
    """
    goal = Path(target).expanduser()
    check_target(goal, force=force)
    if verify and missing_library():  # before a download of gigabytes
        raise MissingDependencyError(missing_library(), "local")
    try:
        folder = resolve(source, download)
        check_apart(folder, goal)
        plan = _plan(folder, linking=link, verify=verify)
        _write(plan, goal, progress, report)
    except OSError as error:
        if isinstance(error, Qwen3SGLangError):
            raise
        raise ConversionError(
            f"{source} -> {goal}: {error}; check the disk's space and the folders' permissions"
        ) from error
    return goal


def _plan(folder: Path, *, linking: bool, verify: bool | None) -> _Plan:
    config = read_config(folder)
    shards = open_shards(folder)
    check_tensors(folder, shards, config)
    tokens = find_tokens(folder)
    head = build_head(shards, config, tokens)
    new = classifier_config(folder, config, tokens)
    return _Plan(folder, shards, tokens, head, new, linking, obstacle(verify, shards))


def _write(plan: _Plan, goal: Path, progress: Progress | None, report: Report | None) -> None:
    files = small_files(plan.folder)
    needed = plan.copied_bytes() + sum(path.stat().st_size for path in files) + SLACK
    check_space(goal, needed, linking=plan.linking)
    with staged(goal) as temporary:
        _write_weights(temporary, plan, progress)
        _write_json(temporary / "config.json", plan.config)
        for path in files:
            shutil.copyfile(path, temporary / path.name)
        verify_files(temporary, plan.kept, plan.head, plan.config, linked=plan.linking)
        parity = Parity(note=plan.skipped) if plan.skipped else compare(plan.folder, temporary, plan.tokens)
        if report is not None:
            report(parity)
        check_parity(parity, goal)


def _write_weights(folder: Path, plan: _Plan, progress: Progress | None) -> None:
    kept = plan.kept
    # transformers would load a file called model.safetensors alone, index or not; so all are renamed.
    paths = [folder / f"model-{i + 1:05d}-of-{len(kept) + 1:05d}.safetensors" for i in range(len(kept) + 1)]
    tell = _reporter(plan.copied_bytes(), progress)
    pairs = zip(kept, paths[:-1], strict=True)
    for shard, path in sorted(pairs, key=lambda pair: not plan.links(pair[0])):  # a link that fails does so at once
        if plan.links(shard):
            link_file(shard.path, path)
        else:
            copy_shard(shard, path, LM_HEAD, tell)
    head = plan.head
    weight = (WEIGHT, head.dtype, (2, head.hidden), head.weight)
    write_shard(paths[-1], [weight, (BIAS, head.dtype, (2,), head.bias)])
    _write_index(folder, paths)


def _reporter(total: int, progress: Progress | None) -> Callable[[int], None]:
    done = 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    return report


def _kept_bytes(shard: Shard) -> int:
    size = shard.path.stat().st_size
    gone = shard.tensors.get(LM_HEAD)
    return size if gone is None else size - shard.data_start - (gone.end - gone.begin)


def _write_index(folder: Path, paths: Sequence[Path]) -> None:
    written = [read_shard(path) for path in paths]
    total = sum(entry.end - entry.begin for shard in written for entry in shard.tensors.values())
    weight_map = {name: shard.path.name for shard in written for name in shard.tensors}
    _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
