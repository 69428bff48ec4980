"""A planned conversion, carried out: weights, index, config and the small files, into a folder that exists."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qwen3_sglang.convert.checkpoint import INDEX, copy_shard, read_shard, write_shard
from qwen3_sglang.convert.copying import link
from qwen3_sglang.convert.plan import DROPPED, Plan
from qwen3_sglang.names import BIAS, WEIGHT

Progress = Callable[[int, int], None]


def write(folder: Path, plan: Plan, progress: Progress | None) -> None:
    """Write the converted checkpoint into `folder`; `progress` is called with (bytes copied, bytes to copy)."""
    _write_weights(folder, plan, progress)
    _write_json(folder / "config.json", plan.source.config)
    for path in plan.small_files():
        shutil.copyfile(path, folder / path.name)


def _write_weights(folder: Path, plan: Plan, progress: Progress | None) -> None:
    kept = plan.kept
    # transformers would load a file called model.safetensors alone, index or not; so all are renamed.
    paths = [folder / f"model-{i + 1:05d}-of-{len(kept) + 1:05d}.safetensors" for i in range(len(kept) + 1)]
    tell = _reporter(plan.copied_bytes(), progress)
    pairs = zip(kept, paths[:-1], strict=True)
    for shard, path in sorted(pairs, key=lambda pair: not plan.links(pair[0])):  # a link that fails does so at once
        if plan.links(shard):
            link(shard.path, path)
        else:
            copy_shard(shard, path, DROPPED, tell)
    head = plan.source.head
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


def _write_index(folder: Path, paths: Sequence[Path]) -> None:
    written = [read_shard(path) for path in paths]
    total = sum(entry.end - entry.begin for shard in written for entry in shard.tensors.values())
    weight_map = {name: shard.path.name for shard in written for name in shard.tensors}
    _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="ascii")  # escaped: a lone surrogate has no UTF-8
